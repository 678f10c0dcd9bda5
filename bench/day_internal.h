/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bench/day.h"
#include "bench/fabric.h"
#include "plan/plan.h"
#include "tests/unit/engine_world.h"

/* What the files of a day share. day.c: the day itself. day_hands.c: what guests and people do.
 * day_racks.c: racks that are emptied and filled again. day_look.c: what must hold. day_jobs.c:
 * what came of the controller's jobs, and the report. */

#define MINUTES(n) SECONDS(60 * (gint64)(n))

typedef enum {
    GUEST_RUNS,
    GUEST_OFF,
    GUEST_GONE,
} GuestState;

/* A VM as it ought to be, and as it was seen at the last look. */
typedef struct {
    char *uuid;
    GuestState wanted;
    gboolean shaken;  /* its host lost power, or it was shut down under a move: off or running */
    gint64 shaken_us; /* when */
    gboolean ruled;   /* in a placement rule */
    gint64 cpu_permille, dirty_bps; /* at the busiest hour */
    guint phase;                    /* how many hours its day is late */
    guint active, running, defined; /* how many hosts have a process, one that runs, a definition */
    guint places[2];                /* hosts with a process */
    gint64 lost_us;                 /* since when it is not as it ought to be; 0: it is */
} Guest;

typedef struct {
    char *name, *uri, *id; /* the id: the controller's */
    gint64 memory_kib, reserve_kib;
    gint64 taken_kib;         /* by all that has a process there */
    gint64 away_until_us;     /* without power, or cut off */
    gint64 hand_us;           /* when somebody last did something to it past the planner */
    gint64 slots_allowed;     /* as many moves at once as it may have now */
    gint64 slots_most;        /* as it ever may have had */
    gboolean short_of_memory; /* by someone else's doing */
    guint rack;
} DayHost;

typedef struct {
    GwPlacementRule *rule;
    GPtrArray *guests; /* Guest */
    gboolean excused;  /* it was broken by someone else, or from the beginning */
} DayRule;

typedef enum {
    RACK_IDLE,
    RACK_DRAINING,
    RACK_PATCHED, /* empty, or given up: somebody works on it */
    RACK_UNDRAINING,
} RackState;

/* A team that goes from rack to rack. */
typedef struct {
    RackState state;
    guint rack;
    char *job_id;
    gint64 began_us, next_us, pause_us, resume_us;
    gint64 planned_ms;
    guint tries;
} Team;

typedef struct {
    guint created, removed, started, stopped, resized, carried, asked, refused, power_lost, cut_off,
        limits, kills, loads, looks, held;
    guint drains, drained, undrains, undrained, given_up, moves_most;
    guint jobs, moves, done, failed, cancelled, part_of_plans;
    guint64 feed;
    guint64 checks; /* whether a guest runs once, where it ought to */
    double plan_cpu_ms, plan_cpu_most_ms;
    guint plans;
} DayTally;

typedef struct {
    const DayOptions *options;
    World world;
    GwFabric *made;
    GRand *rand;
    GPtrArray *broken;
    GPtrArray *hosts;       /* DayHost */
    GHashTable *host_index; /* URI or name -> index + 1 */
    GPtrArray *guests;      /* Guest */
    GHashTable *guest_of;   /* uuid -> Guest */
    GPtrArray *rules;       /* DayRule */
    GArray *teams;          /* Team */
    guint racks, next_rack;
    GHashTable *over;    /* ids of jobs that were seen to be over */
    GHashTable *found;   /* what was found broken already */
    GHashTable *reasons; /* error code -> jobs that failed by it, as a number */
    GArray *waited_ms, *errors, *ratios, *makespans_s, *bounds_s; /* double */
    guint inside;      /* of errors: moves that took as long as their interval says */
    guint64 feed_last; /* 0: another controller's */
    gint64 end_us, calm_us;
    DayTally tally;
} Day;

/* Once for each @key. */
void day_break(Day *day, const char *key, const char *format, ...) G_GNUC_PRINTF(3, 4);
void day_say(const Day *day, const char *format, ...) G_GNUC_PRINTF(2, 3);
gint64 day_now(const Day *day);
guint day_any(Day *day, guint count);
/* Whether something that happens so often in a day happens within this step. */
gboolean day_happens(Day *day, double times_a_day);
DayHost *day_host(const Day *day, guint index);
/* G_MAXUINT: there is none. By URI or name. */
guint day_host_index(const Day *day, const char *which);
gboolean day_is_up(const Day *day, guint host);

Guest *day_add_guest(Day *day, const char *uuid, GuestState wanted);
/* day_hands.c */
void day_load(Day *day);
void day_disturb(Day *day);
/* What operators do at all times: they start what lost power, and answer jobs that ask. */
void day_operate(Day *day);

/* day_racks.c */
void day_teams_new(Day *day);
void day_teams_free(Day *day);
void day_teams_step(Day *day);
gboolean day_is_serviced(const Day *day, guint rack);

/* day_look.c */
void day_look(Day *day);
void day_look_at_end(Day *day);

/* day_jobs.c */
void day_jobs_look(Day *day, const GwFabric *fabric);
json_t *day_report(Day *day);
/* What it came to so far, for who watches. */
void day_jobs_say(const Day *day);
