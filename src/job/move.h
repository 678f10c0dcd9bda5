/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/life.h"
#include "job/reconcile.h"

/* The life of a live move as a table (job/life.h). docs/states.md shows it as a picture. */

typedef enum {
    GW_MOVE_SLOTS,    /* slots are free at both ends */
    GW_MOVE_CHECKED,  /* preflight on fresh facts passed */
    GW_MOVE_REFUSED,  /* preflight refused, or a host could not be asked */
    GW_MOVE_MERGING,  /* preflight passed but for a merge that is to be waited for (R31) */
    GW_MOVE_PREPARED, /* what recovery needs is saved, autostart is off */
    GW_MOVE_NOT_PREPARED,
    GW_MOVE_RETURNED,    /* libvirt's call came back; whatever it says, the outcome is unknown */
    GW_MOVE_PROGRESS,    /* statistics came */
    GW_MOVE_NO_JOB,      /* statistics say that no migration is under way */
    GW_MOVE_LOOKED,      /* both hosts were asked (or did not answer) */
    GW_MOVE_ACTED,       /* a settling step came back, well or not */
    GW_MOVE_TIMER,       /* the wake time passed */
    GW_MOVE_TOO_LONG,    /* completion time-out (R59) */
    GW_MOVE_STALLED,     /* progress time-out (R60) */
    GW_MOVE_HOST_BACK,   /* a host answers again */
    GW_MOVE_CANCEL,      /* asked by a person (R58) */
    GW_MOVE_CHANGE,      /* a person changes bandwidth or downtime */
    GW_MOVE_POST_COPY,   /* a person switches to post-copy */
    GW_MOVE_KEEP_SOURCE, /* a person's answer to a held move */
    GW_MOVE_KEEP_DESTINATION,
    GW_MOVE_RESTART, /* the controller started anew and found the job in its store */
    GW_MOVE_EVENT_COUNT
} GwMoveEventKind;

typedef struct {
    GwMoveEventKind kind;
    const GError *error; /* REFUSED, NOT_PREPARED, RETURNED, ACTED: what went wrong, or NULL */
    const GwProgress *progress; /* PROGRESS */
    GwSeen source, destination; /* LOOKED */
    gint64 now_us;              /* monotonic */
    gint64 wall_us;
} GwMoveEvent;

/* What is to be done; each comes back as the event named. */
typedef enum {
    GW_DO_CHECK,        /* -> CHECKED or REFUSED */
    GW_DO_PREPARE,      /* -> PREPARED or NOT_PREPARED */
    GW_DO_MIGRATE,      /* -> RETURNED */
    GW_DO_PROGRESS,     /* ask for statistics -> PROGRESS or NO_JOB */
    GW_DO_ABORT,        /* nothing comes back: the call's return does */
    GW_DO_APPLY_CHANGE, /* bandwidth and downtime of options; nothing comes back */
    GW_DO_POST_COPY,    /* nothing comes back */
    GW_DO_LOOK,         /* at both hosts -> LOOKED */
    GW_DO_SETTLE,       /* a step of move->settle -> ACTED; those of storage take long */
    GW_DO_STATS,        /* completed figures; nothing comes back but numbers in the result */
    GW_DO_ALARM,        /* the VM ran twice: log at the highest level */
    GW_DO_CLOSE,        /* the agents do nothing more by themselves; nothing comes back */
    GW_DO_STOP,         /* what is being prepared is broken off: NOT_PREPARED comes of it */
    GW_DO_COUNT
} GwMoveDo;

typedef GwLifeOutcome GwMoveOutcome; /* its effects: GwMoveDo */

typedef struct {
    GwJob *job; /* the durable part; owned */
    GwLifeTimes times;
    /* Volatile, like those. */
    gint64 abort_again_us;                       /* an abort was asked for: when to ask again */
    gint64 least_disk_bytes, least_memory_bytes; /* low-water marks that progress is measured by */
    gint64 mirrored_bytes;        /* of disks, the most that was ever told of this copy */
    gint64 paused_us, resumed_us; /* source's pause and destination's resume, as events said */
    gint64 waiting_since_us;      /* settling: since when nothing could be decided */
    guint waits;                  /* looks in a row that decided nothing */
    guint repeats;                /* of the same settling step in a row */
    GwSettle settle;              /* the step under way */
    GwSettle said;                /* what the last look came to */
    GwSeen source, destination;
    gboolean fenced; /* both agents ended the move's leave: neither acts by itself any more */
    guint fences;    /* how often they were asked to */
    guint autostarts, storages; /* how often those were to be put right */
    gboolean figures;           /* the completed figures were asked for */
    gboolean copied;            /* statistics were seen: bytes went over */
    gboolean calling;           /* our own migrate call has not returned */
    gboolean called;            /* this process made a migrate call, so it knows how */
} GwMove;

/* Takes ownership of @job. */
GwMove *gw_move_new(GwJob *job, gint64 now_us);
void gw_move_free(GwMove *move);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwMove, gw_move_free)

/* Carries one event into the move. An event that the state does not know is refused
 * (GW_ERR_CONFLICT, with what the state is) and changes nothing; persons' events are answered with
 * that error, others are late news and may be dropped. */
gboolean gw_move_step(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome,
                      GError **error);
/* The earliest time at which TIMER, TOO_LONG or STALLED is due; 0: none. */
gint64 gw_move_next_us(const GwMove *move);
/* Which of them is due at @now_us; FALSE: none. */
gboolean gw_move_due(const GwMove *move, gint64 now_us, GwMoveEventKind *kind);

const char *gw_move_event_word(GwMoveEventKind kind);

/* The table itself, for the docs and for the test that walks every row. */
typedef GwLifeRow GwMoveRow; /* its events: GwMoveEventKind */
const GwMoveRow *gw_move_rows(guint *count);
