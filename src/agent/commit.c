/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/commit.h"

#include <string.h>

#define MS(n) ((gint64)(n)*1000)
#define IDLE_US MS(2000)      /* source: nothing has begun, or it is being copied */
#define WAITING_US MS(1000)   /* destination: until it is whole, and between questions */
#define UNSETTLED_US MS(500)  /* source: paused, and nobody moves it */
#define GONE_US MS(50)        /* destination: the source is gone, so each moment is downtime */
#define AGAIN_US MS(200)      /* after a resume that failed, or a look to be repeated */
#define OVER_US MS(10 * 1000) /* nothing to do: only so that news is not missed for ever */
#define GONE_PATIENCE_US MS(60 * 1000) /* so long the quick looks go on */
/* A process that ends so soon after its CPUs stopped for the migration ended because it moved: a
 * guest that was started again takes longer to end, and the news of it to come. Later, libvirt is
 * asked why it ended. */
#define FRESH_US MS(3000)

struct GwCommit {
    gboolean is_source;
    guint flags;
    gboolean dirty; /* the flags are to be persisted */
    gboolean closed;
    GwWord own;
    gint64 wake_us;
    gboolean resuming; /* a resume is under way */
    guint looks;       /* under way */
    guint news;        /* how many came: a look that began before the last one is stale */

    /* Source. */
    gboolean stopped; /* its CPUs stand still for the migration, and libvirt has been heard since */
    gint64 stopped_us; /* since when, by libvirt\'s news; 0: never told */
    gboolean ran_once; /* one look saw it run without a job */
    gboolean asking;
    gboolean noticed;
    guint agreed; /* rounds in a row that said: resume the source */

    /* Destination. */
    guint doubles; /* questions in a row, each asked while it ran here, that said: there as well */
    gboolean asked_running; /* the question under way was asked while it ran here */
    gboolean owed;          /* such a question has still to be asked */
    gboolean gone;          /* the source's agent said so by itself */
    gint64 gone_us;
};

GwCommit *gw_commit_new(gboolean is_source, guint flags)
{
    GwCommit *commit = g_new0(GwCommit, 1);

    commit->is_source = is_source;
    commit->flags = flags;
    commit->own = GW_WORD_UNKNOWN;
    return commit;
}

void gw_commit_free(GwCommit *commit)
{
    g_free(commit);
}

guint gw_commit_flags(const GwCommit *commit)
{
    return commit->flags;
}

gint64 gw_commit_next_us(const GwCommit *commit)
{
    return commit->wake_us;
}

gboolean gw_commit_is_over(const GwCommit *commit)
{
    return commit->closed || (!commit->is_source && (commit->flags & GW_COMMIT_RAN) != 0) ||
           (commit->is_source && commit->noticed);
}

static void set_flag(GwCommit *commit, GwCommitFlags flag)
{
    commit->dirty = commit->dirty || (commit->flags & flag) == 0;
    commit->flags |= flag;
}

static gboolean has_flag(const GwCommit *commit, GwCommitFlags flag)
{
    return (commit->flags & flag) != 0;
}

/* Words ---------------------------------------------------------------------------------------- */

static gboolean is_gone(GwSide side)
{
    return side == GW_SIDE_ABSENT || side == GW_SIDE_OFF || side == GW_SIDE_MIGRATED;
}

/* Absent is what libvirt and the process table say together; where they differ, something is under
 * way that neither shows whole. */
static GwSeen seen_of(const GwWord *word)
{
    gboolean agree = word->processes == (is_gone(word->side) ? 0 : 1);

    return (GwSeen){
        .side = agree ? word->side : GW_SIDE_UNKNOWN,
        .job_active = word->job_active,
        .persistent = word->persistent,
    };
}

static gboolean is_attested_gone(const GwWord *word)
{
    return is_gone(word->side) && word->processes == 0;
}

static GwSettle settle(const GwCommit *commit, const GwWord *peer, const char **why)
{
    const GwWord *source = commit->is_source ? &commit->own : peer;
    const GwWord *destination = commit->is_source ? peer : &commit->own;
    gboolean own_ran = has_flag(commit, GW_COMMIT_RAN);
    GwIntent intent = {
        .vm_persistent = source->persistent || destination->persistent,
        .source_old = commit->is_source ? peer->ran : own_ran,
        .destination_old = commit->is_source ? own_ran : peer->ran,
    };
    return gw_reconcile(seen_of(source), seen_of(destination), intent, why);
}

/* Source --------------------------------------------------------------------------------------- */

/* A look reads the state first and the job a moment later; a move that ends in between looks like a
 * VM that runs and is not moved. So it takes two. */
static guint learn_running(GwCommit *commit)
{
    commit->stopped = FALSE;
    if (commit->own.job_active || !has_flag(commit, GW_COMMIT_MOVING)) {
        commit->ran_once = FALSE;
        return 0;
    }
    if (commit->ran_once)
        set_flag(commit, GW_COMMIT_RAN);
    commit->ran_once = TRUE;
    return has_flag(commit, GW_COMMIT_RAN) ? 0 : GW_COMMIT_DO_LOOK;
}

/* Why the process is no more decides whether the destination's memory is the newest: only a VM that
 * did not run on may be resumed there without asking a person. */
static void learn_gone(GwCommit *commit)
{
    gboolean moving = has_flag(commit, GW_COMMIT_MOVING);

    if (strcmp(commit->own.reason, "shutdown") == 0)
        set_flag(commit, GW_COMMIT_RAN); /* the guest did it, for which it had to run */
    if (has_flag(commit, GW_COMMIT_RAN))
        return;
    /* "daemon": a restarted libvirtd killed a source whose move had passed the handover. */
    if (commit->own.side == GW_SIDE_MIGRATED || (moving && commit->stopped) ||
        (moving && strcmp(commit->own.reason, "daemon") == 0))
        set_flag(commit, GW_COMMIT_MOVED);
}

static guint learn_source(GwCommit *commit)
{
    const GwWord *own = &commit->own;

    if (own->job_active || own->side == GW_SIDE_MIGRATING)
        set_flag(commit, GW_COMMIT_MOVING);
    if (own->side == GW_SIDE_RUNNING)
        return learn_running(commit);
    if (own->side == GW_SIDE_MIGRATING)
        commit->stopped = TRUE;
    else if (is_attested_gone(own))
        learn_gone(commit);
    return 0;
}

/* Whether this is the source that a failed move left behind. One that a person paused, or that an
 * I/O error stopped, is not ours to run. */
static gboolean is_left_paused(const GwCommit *commit)
{
    const GwWord *own = &commit->own;

    if (own->job_active || own->processes != 1 || !has_flag(commit, GW_COMMIT_MOVING))
        return FALSE;
    return own->side == GW_SIDE_MIGRATING ||
           (own->side == GW_SIDE_PAUSED && strcmp(own->reason, "unknown") == 0);
}

static guint tell_gone(GwCommit *commit, const char **why)
{
    if (commit->noticed || !has_flag(commit, GW_COMMIT_MOVED) || commit->own.processes != 0)
        return 0;
    commit->noticed = TRUE;
    *why = "the VM's process ended because it moved";
    return GW_COMMIT_DO_NOTICE | GW_COMMIT_DO_LEFT;
}

static guint decide_source(GwCommit *commit, gint64 now_us, const char **why)
{
    guint todo = tell_gone(commit, why);

    commit->wake_us = now_us + (commit->noticed ? OVER_US : IDLE_US);
    if (is_left_paused(commit) && !commit->resuming) {
        commit->wake_us = now_us + UNSETTLED_US;
        if (!commit->asking)
            todo |= GW_COMMIT_DO_ATTEST;
        commit->asking = TRUE;
    } else if (!commit->asking) {
        commit->agreed = 0;
    }
    return todo;
}

static guint attested_source(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    commit->asking = FALSE;
    commit->wake_us = event->now_us + UNSETTLED_US;
    gboolean agree = settle(commit, &event->word, why) == GW_SETTLE_RESUME_SOURCE &&
                     event->word.closed && !event->word.ran && is_left_paused(commit);
    if (!agree || commit->resuming) {
        commit->agreed = 0;
        return 0;
    }
    if (++commit->agreed < 2) /* the two hosts do not answer at one instant */
        return GW_COMMIT_DO_LOOK;
    commit->agreed = 0;
    commit->resuming = TRUE;
    return GW_COMMIT_DO_RESUME;
}

static guint ended(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    commit->own.processes = event->word.processes;
    if (event->word.processes != 0)
        return GW_COMMIT_DO_LOOK | GW_COMMIT_DO_WATCH;
    gboolean fresh =
        commit->stopped && commit->stopped_us > 0 && event->now_us - commit->stopped_us < FRESH_US;
    if (fresh && has_flag(commit, GW_COMMIT_MOVING) && !has_flag(commit, GW_COMMIT_RAN))
        set_flag(commit, GW_COMMIT_MOVED);
    return tell_gone(commit, why) | GW_COMMIT_DO_LOOK;
}

/* Destination ---------------------------------------------------------------------------------- */

static void learn_destination(GwCommit *commit)
{
    if (!is_gone(commit->own.side) && commit->own.side != GW_SIDE_UNKNOWN)
        set_flag(commit, GW_COMMIT_MOVING);
    if (commit->own.side == GW_SIDE_RUNNING || commit->own.side == GW_SIDE_POST_COPY ||
        (is_gone(commit->own.side) && has_flag(commit, GW_COMMIT_MOVING) &&
         strcmp(commit->own.reason, "shutdown") == 0))
        set_flag(commit, GW_COMMIT_RAN);
}

static guint resume_destination(GwCommit *commit, const GwWord *peer, const char **why)
{
    if (commit->resuming || has_flag(commit, GW_COMMIT_RAN) || !peer->moved || peer->ran ||
        settle(commit, peer, why) != GW_SETTLE_RESUME_DESTINATION)
        return 0;
    commit->resuming = TRUE;
    return GW_COMMIT_DO_RESUME;
}

static guint ask_source(GwCommit *commit)
{
    commit->asking = TRUE;
    commit->asked_running = commit->own.side == GW_SIDE_RUNNING;
    return GW_COMMIT_DO_ATTEST;
}

static guint decide_destination(GwCommit *commit, gint64 now_us, const char **why)
{
    static const GwWord gone = { .side = GW_SIDE_MIGRATED, .processes = 0, .moved = TRUE };
    gboolean whole = commit->own.side == GW_SIDE_PAUSED && !commit->own.job_active;
    gboolean quick = commit->gone && now_us - commit->gone_us < GONE_PATIENCE_US;

    commit->wake_us = now_us + (quick ? GONE_US : WAITING_US);
    if (has_flag(commit, GW_COMMIT_RAN))
        commit->wake_us = now_us + OVER_US;
    if (commit->gone)
        return resume_destination(commit, &gone, why);
    if (!whole || commit->asking || commit->resuming || has_flag(commit, GW_COMMIT_RAN))
        return 0;
    return ask_source(commit);
}

/* It runs here, and not through us: does it run there as well? */
static guint look_for_double(GwCommit *commit)
{
    if (commit->own.side != GW_SIDE_RUNNING) {
        commit->doubles = 0;
        return 0;
    }
    if (commit->asking || !commit->owed)
        return 0;
    commit->owed = FALSE;
    return ask_source(commit);
}

/* A question that was asked while the VM stood still here is answered by a source that still runs,
 * and rightly so; and a look at a source reads its state and its job at two moments. So it takes
 * two answers in a row, each to a question that a look here saw running before. */
static guint attested_destination(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    gboolean twice = event->word.side == GW_SIDE_RUNNING && !event->word.job_active &&
                     event->word.processes != 0;

    commit->asking = FALSE;
    if (commit->own.side != GW_SIDE_RUNNING)
        return resume_destination(commit, &event->word, why);
    if (!commit->asked_running)
        commit->owed = TRUE;
    else
        commit->doubles = twice ? commit->doubles + 1 : 0;
    if (commit->doubles == 2)
        return GW_COMMIT_DO_ALARM_TWICE;
    commit->owed = commit->owed || commit->doubles == 1;
    return commit->owed ? GW_COMMIT_DO_LOOK : 0;
}

static guint source_gone(GwCommit *commit, gint64 now_us)
{
    if (commit->is_source || commit->gone)
        return 0;
    commit->gone = TRUE;
    commit->gone_us = now_us;
    return GW_COMMIT_DO_LOOK;
}

/* Events --------------------------------------------------------------------------------------- */

static guint looked(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    guint todo = 0;

    commit->looks -= commit->looks > 0 ? 1 : 0;
    if (event->news != commit->news) /* what it says may be from before the news */
        return commit->looks == 0 ? GW_COMMIT_DO_LOOK : 0;
    commit->own = event->word;
    if (event->word.side == GW_SIDE_UNKNOWN) {
        commit->wake_us = event->now_us + UNSETTLED_US;
        commit->agreed = 0;
        return 0;
    }
    if (commit->is_source)
        todo = learn_source(commit) | decide_source(commit, event->now_us, why);
    else {
        gboolean first = !has_flag(commit, GW_COMMIT_RAN);
        learn_destination(commit);
        commit->owed = commit->owed || (first && has_flag(commit, GW_COMMIT_RAN));
        todo = decide_destination(commit, event->now_us, why) | look_for_double(commit);
    }
    return todo;
}

/* libvirt's news, of the source. What a look that is under way will say may be older. */
static guint news(GwCommit *commit, GwCommitEventKind kind, gint64 now_us)
{
    commit->news++;
    if (!commit->is_source)
        return GW_COMMIT_DO_LOOK;
    switch (kind) {
    case GW_COMMIT_STOPPED:
        set_flag(commit, GW_COMMIT_MOVING);
        commit->stopped = TRUE;
        commit->stopped_us = now_us;
        return 0; /* the next thing is that it ends, or starts */
    case GW_COMMIT_STARTED:
        if (commit->stopped)
            set_flag(commit, GW_COMMIT_RAN);
        commit->stopped = FALSE;
        break;
    case GW_COMMIT_MIGRATED:
        set_flag(commit, GW_COMMIT_MOVING);
        if (!has_flag(commit, GW_COMMIT_RAN))
            set_flag(commit, GW_COMMIT_MOVED);
        break;
    default: /* GW_COMMIT_BLIND */
        commit->stopped = FALSE;
        commit->ran_once = FALSE;
        return 0;
    }
    return GW_COMMIT_DO_LOOK;
}

static guint resumed(GwCommit *commit, const GwCommitEvent *event)
{
    commit->resuming = FALSE;
    commit->wake_us = event->now_us + AGAIN_US;
    if (event->ok) {
        commit->stopped = FALSE;
        set_flag(commit, GW_COMMIT_RAN);
    }
    return 0;
}

static guint timer(GwCommit *commit, gint64 now_us)
{
    commit->wake_us = now_us + UNSETTLED_US;
    return commit->looks == 0 ? GW_COMMIT_DO_LOOK : 0;
}

static guint carry_in(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    switch (event->kind) {
    case GW_COMMIT_BEGIN:
        return GW_COMMIT_DO_LOOK | (commit->is_source ? GW_COMMIT_DO_WATCH : 0);
    case GW_COMMIT_LOOKED:
        return looked(commit, event, why);
    case GW_COMMIT_ATTESTED:
        return commit->is_source ? attested_source(commit, event, why)
                                 : attested_destination(commit, event, why);
    case GW_COMMIT_SOURCE_GONE:
        return source_gone(commit, event->now_us);
    case GW_COMMIT_ENDED:
        return ended(commit, event, why);
    case GW_COMMIT_STOPPED:
    case GW_COMMIT_STARTED:
    case GW_COMMIT_MIGRATED:
    case GW_COMMIT_BLIND:
        return news(commit, event->kind, event->now_us);
    case GW_COMMIT_RESUMED:
        return resumed(commit, event);
    case GW_COMMIT_TIMER:
        return timer(commit, event->now_us);
    case GW_COMMIT_CLOSED:
        commit->closed = TRUE;
        break;
    }
    return 0;
}

guint gw_commit_news(const GwCommit *commit)
{
    return commit->news;
}

void gw_commit_looking(GwCommit *commit)
{
    commit->looks++;
}

guint gw_commit_step(GwCommit *commit, const GwCommitEvent *event, const char **why)
{
    const char *unused = NULL;
    guint todo = carry_in(commit, event, why != NULL ? why : &unused);

    if (commit->closed) {
        /* What was learnt is still answered to the other agent, and so is what a look says; but
         * nothing is begun any more. */
        commit->wake_us = 0;
        todo &= GW_COMMIT_DO_LEFT | GW_COMMIT_DO_NOTICE;
    }
    /* The CPUs stand still: writing can wait until they do not. */
    if (commit->dirty && event->kind != GW_COMMIT_STOPPED) {
        commit->dirty = FALSE;
        todo |= GW_COMMIT_DO_PERSIST;
    }
    if ((todo & GW_COMMIT_DO_LOOK) != 0)
        commit->looks++;
    return todo;
}

/* What the agents say to each other ------------------------------------------------------------ */

json_t *gw_commit_attest(const GwCommit *commit, const GwWord *own, gboolean *close)
{
    GwWord word = *own;

    word.ran = has_flag(commit, GW_COMMIT_RAN);
    word.moved = has_flag(commit, GW_COMMIT_MOVED);
    word.closed = commit->closed || is_attested_gone(own);
    *close = is_attested_gone(own);
    return gw_word_to_json(&word);
}
