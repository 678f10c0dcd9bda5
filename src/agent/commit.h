/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "job/reconcile.h"

/* The commit of one move, as one of its two agents sees it (docs/states.md, "Commit by resume").
 * It is pure: news goes in as events, what is to be done comes out as effects, so that two of them
 * and a network that loses messages can be tried in every order.
 *
 * Of what gw_reconcile says it carries out two things: the destination's agent resumes the
 * destination, the source's agent resumes the source. Never both, because
 * - the destination's resumes only what the source's agent has attested gone: no process, which no
 *   resume at the source can bring back;
 * - the source's resumes only after the destination's agent has attested that there is nothing and
 *   has closed the epoch, durably, after which that agent resumes nothing any more. */
typedef struct GwCommit GwCommit;

/* A host's word, its own or the other's. */
typedef struct {
    GwSide side;
    char reason[32]; /* libvirt's; "" from the other host */
    gboolean job_active;
    gboolean persistent;
    gint64 processes; /* in the table; -1: it could not be read */
    /* Only of the other host, from its memory (see the flags below). */
    gboolean ran, moved, closed;
} GwWord;

#define GW_WORD_UNKNOWN ((GwWord){ .side = GW_SIDE_UNKNOWN, .processes = -1 })

typedef enum {
    GW_COMMIT_BEGIN,       /* leave was given, or the agent started and found it */
    GW_COMMIT_LOOKED,      /* word: this host's own, fresh */
    GW_COMMIT_ATTESTED,    /* word: the other's; unknown where it did not answer */
    GW_COMMIT_SOURCE_GONE, /* the source's agent says so; destination only */
    GW_COMMIT_ENDED,       /* the process ended (pidfd); word.processes: a fresh count */
    GW_COMMIT_STOPPED,     /* libvirt's news: the CPUs stopped for the migration */
    GW_COMMIT_STARTED,     /* libvirt's news: they run (again) */
    GW_COMMIT_MIGRATED,    /* libvirt's news: the process ended because it migrated */
    GW_COMMIT_BLIND,       /* libvirt's connection broke: news may have been missed */
    GW_COMMIT_RESUMED,     /* ok: whether the resume went well */
    GW_COMMIT_TIMER,
    GW_COMMIT_CLOSED, /* the epoch is closed: nothing is done any more */
} GwCommitEventKind;

typedef struct {
    GwCommitEventKind kind;
    GwWord word;
    guint news; /* LOOKED: gw_commit_news when the look began; answers may overtake news */
    gboolean ok;
    gint64 now_us; /* monotonic */
} GwCommitEvent;

/* What is to be done, or-ed. PERSIST before the others (where the disk refuses: not RESUME). */
typedef enum {
    GW_COMMIT_DO_PERSIST = 1 << 0,     /* the flags changed */
    GW_COMMIT_DO_LOOK = 1 << 1,        /* -> LOOKED */
    GW_COMMIT_DO_ATTEST = 1 << 2,      /* ask the other agent -> ATTESTED */
    GW_COMMIT_DO_RESUME = 1 << 3,      /* this host's VM -> RESUMED */
    GW_COMMIT_DO_NOTICE = 1 << 4,      /* source-gone, to the destination's agent */
    GW_COMMIT_DO_LEFT = 1 << 5,        /* remember that the VM left (after NOTICE: no one waits) */
    GW_COMMIT_DO_WATCH = 1 << 6,       /* hold a pidfd of its process -> ENDED */
    GW_COMMIT_DO_ALARM_TWICE = 1 << 7, /* it runs on both hosts */
} GwCommitDo;

/* What survives a restart of the agent. */
typedef enum {
    GW_COMMIT_MOVING = 1 << 0, /* a migration of this epoch was seen under way */
    GW_COMMIT_RAN = 1 << 1,    /* source: it ran on after that; destination: it ran here.
                                  What the other host holds, or held, is old memory (I9) */
    GW_COMMIT_MOVED = 1 << 2,  /* source: its process ended because it moved, and only so */
} GwCommitFlags;

GwCommit *gw_commit_new(gboolean is_source, guint flags);
void gw_commit_free(GwCommit *commit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCommit, gw_commit_free)
guint gw_commit_flags(const GwCommit *commit);

/* Carries one event in; returns what is to be done. *@why (may be NULL) is a static sentence. */
guint gw_commit_step(GwCommit *commit, const GwCommitEvent *event, const char **why);
/* How much libvirt's news has been carried in. */
guint gw_commit_news(const GwCommit *commit);
/* A look was begun that no step asked for; it is carried in as LOOKED. */
void gw_commit_looking(GwCommit *commit);
/* When TIMER is due; 0: never. */
gint64 gw_commit_next_us(const GwCommit *commit);
/* Whether nothing is left to do: it runs here (destination), or left (source), or is closed. */
gboolean gw_commit_is_over(const GwCommit *commit);

/* What this agent answers to the other's "attest", from a look of its own that was just taken and
 * carried in as LOOKED. *@close: the epoch must be closed, durably, before the answer goes out;
 * where that fails, an error goes out instead. */
json_t *gw_commit_attest(const GwCommit *commit, const GwWord *own, gboolean *close);
/* The same for a VM whose move the agents do not commit; nothing is closed by it. */
json_t *gw_word_to_json(const GwWord *word);
/* Hostile; what is missing or not understood is unknown. */
GwWord gw_word_from_json(const json_t *answer);
