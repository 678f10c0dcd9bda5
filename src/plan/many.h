/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/matrix.h"

/* What the parts of gw_plan_many share. A plan is made in four steps: what is to move, and where it
 * may go (many_read.c, many_undrain.c); a sequence of moves, one after another, that is sound at
 * each step (many_assign.c, many_sequence.c, over the books of many_books.c); what of it can be
 * done at one time, and when (many_schedule.c); the words (many_write.c, many_stays.c). */

#define MANY_NONE G_MAXUINT

typedef struct {
    const GwHost *host;
    guint shape;
    gboolean emptied;  /* by this drain: nothing goes there */
    gboolean allowed;  /* as a destination, by the request */
    gboolean opened;   /* by an undrain under way: maintenance that it is in was said since */
    gint64 free_kib;   /* without reserves and what other jobs bring */
    gint64 cpu_free;   /* permille of one CPU, without reserves; MANY_UNKNOWN: not seen */
    gboolean cpu_hard; /* a reserve is set: it is left alone, as in ratings; else a host that is too
                          busy is only the last to be chosen */
    const GwPlacementPolicy *policy;
    GwSlots slots;      /* for this plan */
    double link_bps;    /* bytes per second */
    gboolean predicted; /* the link is as predictions take it */
} ManyHost;

#define MANY_CPUS_MAX 1000000 /* of a host, whatever it says */
#define MANY_UNKNOWN (G_MAXINT64 / 4)

typedef struct {
    const GwVm *vm;
    guint home; /* where it is */
    guint shape;
    guint target;      /* it goes there and nowhere else; MANY_NONE: wherever it may */
    gint64 memory_kib; /* what it takes where it goes */
    gint64 frees_kib;  /* what its home surely gets back */
    gint64 cpu;        /* permille of one CPU */
    guint unit;
    guint similar;  /* those of one number began from one image; MANY_NONE: nothing is known */
    GArray *groups; /* guint: of many->groups, that it must stay apart from */
    char *why;      /* BALANCE: in words; NULL: it does not move */
    double gain;    /* BALANCE: percentage points */
} ManyVm;

/* VMs of which no two may be on one host: by a rule, or since they have one name. */
typedef struct {
    const GwPlacementRule *rule; /* NULL: one name or UUID */
    const char *name;
} ManyGroup;

/* A member of a group that does not move itself, or that another job brings. */
typedef struct {
    guint group, host;
} ManyOther;

/* VMs that go to one host, one right after another: required to be together; mostly a single one.
 */
typedef struct {
    GArray *vms; /* guint */
    gint64 memory_kib;
    guint must;       /* the host of those that are together with it and do not move; MANY_NONE */
    char *impossible; /* why none of it can leave; NULL */
} ManyUnit;

/* One step: a VM goes from one host to another. */
typedef struct {
    guint vm, from, to;
    gboolean detour;
    gboolean loose;  /* it needs no room that another step makes, and takes none that one needs */
    gint64 points;   /* of the destination, 0 to 1,000,000 */
    gint64 left_kib; /* what is left there then */
    /* Of the schedule: */
    double bytes, fixed_ms, cap_bps;
    double starts_ms, ends_ms;
    double low, high;   /* of the time, by the likely one */
    double guessed_bps; /* what its path is taken for; 0: that is known */
    gint64 downtime_ms; /* 0: not predicted */
    int converges;      /* GwConverges, as predicted */
    guint after;        /* index of the step that it waits for last; MANY_NONE */
    guint wave;
    GwSlots takes;
} ManyStep;

typedef struct {
    const GwFabric *fabric;
    const GwPlanRequest *request;
    const GwPredictor *predictor;
    GwMatrix *matrix;
    GArray *hosts;             /* ManyHost, by name */
    GArray *vms;               /* ManyVm: those that are to move, by host and name */
    GArray *units;             /* ManyUnit */
    GArray *groups;            /* ManyGroup */
    GArray *others;            /* ManyOther */
    GHashTable *host_index;    /* id -> index + 1 */
    GHashTable *vm_index;      /* GwVm -> index + 1 */
    GArray *steps;             /* ManyStep, in order */
    GHashTable *left;          /* UUIDs of VMs whose moves were left out by hand */
    GHashTable *vports;        /* GwHba -> how many other plans have still to hand over to it */
    GHashTable *elsewhere;     /* VM and host -> GwVm: as it would be there, on its way */
    GPtrArray *notes;          /* char * */
    guint endless;             /* steps that are not predicted to end */
    gboolean trying;           /* alternatives are estimated: nothing is said of them */
    GPtrArray *stays;          /* GwPlannedStay: those that are known from the beginning */
    GwBalanceFigures *figures; /* BALANCE */
    gint64 lower_bound_ms, total_ms;
    gboolean measured; /* links are known */
} Many;

static inline ManyHost *many_host(const Many *many, guint index)
{
    return &g_array_index(many->hosts, ManyHost, index);
}

/* Of figures that hosts say, which may be anything. */
static inline gint64 many_ms(double ms)
{
    return ms < 1e15 ? (gint64)MAX(ms, 0) : (gint64)1e15;
}

static inline ManyVm *many_vm(const Many *many, guint index)
{
    return &g_array_index(many->vms, ManyVm, index);
}

static inline ManyUnit *many_unit(const Many *many, guint index)
{
    return &g_array_index(many->units, ManyUnit, index);
}

static inline ManyStep *many_step(const Many *many, guint index)
{
    return &g_array_index(many->steps, ManyStep, index);
}

/* many.c. FALSE where the request is wrong in itself: sizes, and what does not fit its kind. */
gboolean many_check_request(const GwPlanRequest *request, GError **error);
void many_prepare(Many *many, const GwFabric *fabric, const GwPlanRequest *request,
                  const GwPredictor *predictor);
/* many_read.c. FALSE where it names what is not there. */
gboolean many_read(Many *many, GError **error);
void many_clear(Many *many);
/* MANY_NONE: there is none. */
guint many_host_index(const Many *many, const char *id);
/* @vm is to move, to @target (MANY_NONE: wherever it may). */
void many_add_vm(Many *many, const GwVm *vm, guint target);
void many_note(Many *many, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* many_undrain.c: the VMs that a drain took away. */
gboolean many_read_undrain(Many *many, GError **error);
/* many_history.c: which VMs drains took from which hosts, and not back since. All is borrowed from
 * the jobs. */
typedef struct {
    const char *host_id;
    const GwPlannedMove *first, *last; /* of the one drain */
} ManyLeft;
typedef struct {
    const char *vm_uuid;
    GArray *from; /* ManyLeft, the first drain first */
} ManyAway;
typedef struct {
    GPtrArray *away;     /* ManyAway, in the order in which they left */
    GHashTable *by_vm;   /* uuid -> ManyAway */
    GHashTable *drained; /* ids of hosts that any drain took VMs from */
    GHashTable *filled;  /* ids of hosts to which VMs came that no drain had taken from there */
} ManyHistory;
/* By all jobs: since each host was last brought its VMs back, or was lived in again. */
ManyHistory *many_history_new(const GwFabric *fabric);
/* By one drain alone. */
ManyHistory *many_history_of(const GwJob *drain);
void many_history_free(ManyHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ManyHistory, many_history_free)
/* The first of these hosts (NULL: of all) that it left; NULL: none. */
const ManyLeft *many_left_first(const ManyAway *away, GHashTable *wanted);
/* balance_read.c: the VMs of a host group that may be moved to balance it. */
gboolean many_read_balance(Many *many, GError **error);
/* many_rules.c: groups and units, of the VMs that are to move. */
void many_read_rules(Many *many);

/* many_books.c: who is where, and what is left. */
typedef struct {
    const Many *many;
    guint *at;          /* of each VM: the host that it is on */
    gint64 *memory_kib; /* left on each host; as the others */
    gint64 *cpu;
    double *incoming_ms;
    GHashTable *beside;   /* group and host -> how many members it has there */
    GHashTable *space;    /* storage -> bytes left */
    GHashTable *files;    /* host and path -> whose */
    GHashTable *vports;   /* GwHba -> how many are handed over to it */
    GHashTable *carriers; /* VM and host -> GPtrArray of those that carry its virtual HBAs there */
} ManyBooks;

typedef enum {
    MANY_FITS,
    MANY_HERE,       /* it is there already */
    MANY_NOT_ASKED,  /* the host is no destination of this plan */
    MANY_IMPOSSIBLE, /* preflight: for ever */
    MANY_COPIES,     /* only by copying disks, which was not asked for */
    MANY_NO_MEMORY,
    MANY_NO_CPU,
    MANY_APART,
    MANY_NO_SPACE,
    MANY_FILE_THERE,
    MANY_NO_VPORT, /* for a virtual HBA that is handed over */
} ManyFit;

ManyBooks *many_books_new(const Many *many);
void many_books_free(ManyBooks *books);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ManyBooks, many_books_free)
/* Whether a move of the VM between the two is possible at all. */
ManyFit many_may(const Many *many, guint vm, guint from, guint to);
/* Whether it can go there now; without @thorough what costs much is not looked at. */
ManyFit many_fits(const ManyBooks *books, guint vm, guint host, gboolean thorough);
/* At both ends from arrival to departure: a move is the one, later the other. */
void many_arrive(ManyBooks *books, guint vm, guint host);
void many_depart(ManyBooks *books, guint vm, guint host);
/* Which group keeps it away from there; NULL: none. */
const ManyGroup *many_apart(const ManyBooks *books, guint vm, guint host);
/* The verdict on a move between the two; NULL where they are one host. */
const GwMatrixCell *many_cell(const Many *many, guint vm, guint from, guint to);
/* The VM as it is at home, or as it would be on its way, on another host. */
const GwVm *many_vm_at(const Many *many, guint vm, guint host);
/* many_space.c. The part of the books about disks that are copied. Space is given back only while a
 * plan is tried out: what was copied stays kept for Undo. */
ManyFit many_space_fits(const ManyBooks *books, guint vm, guint host);
void many_space_take(ManyBooks *books, guint vm, guint host);
void many_space_give_back(ManyBooks *books, guint vm, guint from, guint host);
/* many_vports.c. The same of virtual HBAs that are handed over, with what other plans have still to
 * hand over. */
void many_vports_read(Many *many);
void many_vports_open(ManyBooks *books);
void many_vports_close(ManyBooks *books);
gboolean many_vports_fit(const ManyBooks *books, guint vm, guint host);
void many_vports_take(ManyBooks *books, guint vm, guint host);
void many_vports_give_back(ManyBooks *books, guint vm, guint host);
/* What is copied at most, bytes of disks. */
gint64 many_copy_bytes(const Many *many, guint vm, guint from, guint to);
/* The same for all of a unit: it goes there whole, or not at all; arrives and departs. */
gboolean many_unit_fits(ManyBooks *books, guint unit, guint host);
void many_unit_arrive(ManyBooks *books, guint unit, guint host);
void many_unit_depart(ManyBooks *books, guint unit, guint host);
/* Whether maintenance keeps it away from there: not where it is to be brought back to, since an
 * undrain opens its hosts before anything moves. */
gboolean many_is_closed(const Many *many, guint vm, guint host);
/* How good the host would be, 0 to 1,000,000, with that much more taken. */
gint64 many_points(const ManyBooks *books, guint host, gint64 memory_kib, gint64 cpu);

/* many_assign.c: for VMs that need no room which others leave. Fills @to with a host for each unit,
 * MANY_NONE where there is none; answers how many VMs go. */
guint many_assign(const Many *many, guint *to);
/* Whether the host is an end of the VM's way. */
gboolean many_is_end(const Many *many, guint vm, guint host);
/* Of all VMs of a unit. */
gboolean many_unit_ends(const Many *many, guint unit, guint host);
/* many_sequence.c: steps for what many_assign placed, or a sequence by which more can move. */
void many_sequence(Many *many);
typedef struct {
    guint unit, to;
} ManyHop;
/* many_search.c: the shortest sequence by which the most units reach their ends, where the fabric
 * is small enough to try all; FALSE where it is not. @hops: of ManyHop; answers how many VMs
 * get there. */
gboolean many_search(const Many *many, GArray *hops, guint *count);
/* The books after these. */
ManyBooks *many_books_after(const Many *many, const GArray *hops);
/* One more: the unit goes there, and is gone from where it was. */
void many_hop(ManyBooks *books, GArray *hops, guint unit, guint to);
/* Steps for hops that are sound one after another. */
void many_take_hops(Many *many, const GArray *hops);
/* balance.c: what is to be moved, as steps. */
void many_balance(Many *many);

/* many_schedule.c: sets the steps' times, and their order to that in which they begin. */
void many_schedule(Many *many);
/* many_time.c: what a step will take; and no order can be faster than the bound. */
void many_estimate(Many *many, ManyStep *step);
/* What to choose where the move is not predicted to arrive; owned. NULL: it is, or nobody knows. */
char *many_doubt(const Many *many, const ManyStep *step);
gint64 many_lower_bound(const Many *many);

/* many_write.c */
GwMigrationPlan *many_write(Many *many);
/* many_stays.c */
void many_write_stays(Many *many, GwMigrationPlan *plan);
