/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/reconcile.h"

#include "model/vm.h"

#define BIT(side) (1u << (side))
#define UNKNOWN BIT(GW_SIDE_UNKNOWN)
#define ABSENT BIT(GW_SIDE_ABSENT)
#define OFF BIT(GW_SIDE_OFF)
#define MIGRATED BIT(GW_SIDE_MIGRATED)
#define RUNNING BIT(GW_SIDE_RUNNING)
#define PAUSED BIT(GW_SIDE_PAUSED)
#define MIGRATING BIT(GW_SIDE_MIGRATING)
#define POST_COPY BIT(GW_SIDE_POST_COPY)
#define OTHER BIT(GW_SIDE_OTHER)
#define ANY (BIT(GW_SIDE_COUNT) - 1)
#define DEFINED (OFF | MIGRATED)
#define GONE (ABSENT | DEFINED) /* no process */

typedef enum { EITHER, YES, NO } Flag;

typedef struct {
    guint source;
    Flag source_job;
    guint destination;
    Flag destination_job;
    Flag rolling_back;
    GwSettle settle;
    const char *why;
    Flag source_old, destination_old, may_have_run; /* of the intent */
} Row;

/* The first row that matches decides. */
static const Row rows[] = {
    { UNKNOWN, EITHER, ANY, EITHER, EITHER, GW_SETTLE_WAIT,
      .why = "the source does not answer, and no answer is not absence" },
    { ANY, EITHER, UNKNOWN, EITHER, EITHER, GW_SETTLE_WAIT,
      .why = "the destination does not answer, and no answer is not absence" },
    { OTHER, EITHER, ANY, EITHER, EITHER, GW_SETTLE_WAIT,
      .why = "the source is in a state this version does not know: taken for in progress" },
    { ANY, EITHER, OTHER, EITHER, EITHER, GW_SETTLE_WAIT,
      .why = "the destination is in a state this version does not know: taken for in progress" },

    /* A source that is still sending was asked just before it handed over: no double. */
    { RUNNING, NO, RUNNING, EITHER, EITHER, GW_SETTLE_PAUSE_SOURCE,
      .why = "the VM runs on both hosts: the side whose migration was cancelled stops at once" },

    { POST_COPY, YES, ANY, EITHER, EITHER, GW_SETTLE_WATCH,
      .why = "post-copy is under way; the source is never resumed" },
    { ANY, EITHER, POST_COPY, YES, EITHER, GW_SETTLE_WATCH,
      .why = "post-copy is under way; the source is never resumed" },
    { POST_COPY, NO, ANY, EITHER, EITHER, GW_SETTLE_HOLD,
      .why = "post-copy broke off: each host holds a part of the memory" },
    { RUNNING | PAUSED | MIGRATING, EITHER, POST_COPY, NO, EITHER, GW_SETTLE_HOLD,
      .why = "post-copy broke off: each host holds a part of the memory" },
    { GONE, EITHER, POST_COPY, NO, EITHER, GW_SETTLE_HOLD,
      .why = "post-copy broke off and the source is gone: the memory is incomplete" },

    { RUNNING | MIGRATING | PAUSED, YES, ANY, EITHER, EITHER, GW_SETTLE_WATCH,
      .why = "the source's libvirt is still moving it" },

    { RUNNING, NO, PAUSED | MIGRATING, EITHER, EITHER, GW_SETTLE_DESTROY_DESTINATION,
      .why = "the source runs and moves nothing: what waits at the destination is a remnant" },
    { RUNNING, NO, DEFINED, EITHER, EITHER, GW_SETTLE_UNDEFINE_DESTINATION,
      .why = "the source runs: the definition at the destination is a remnant of this move" },
    { RUNNING, NO, ABSENT, EITHER, EITHER, GW_SETTLE_KEEP_SOURCE,
      .why = "the source runs and the destination has nothing" },

    { GONE, EITHER, PAUSED | MIGRATING, EITHER, EITHER, GW_SETTLE_DESTROY_DESTINATION,
      .why = "the VM ran on at the source and stopped there: the destination's memory is old",
      .destination_old = YES },
    { PAUSED | MIGRATING, NO, PAUSED, EITHER, EITHER, GW_SETTLE_DESTROY_DESTINATION,
      .why = "the VM ran on at the source: the destination's memory is old",
      .destination_old = YES },
    { PAUSED | MIGRATING, NO, PAUSED | MIGRATING | GONE, EITHER, EITHER, GW_SETTLE_DESTROY_SOURCE,
      .why = "the VM ran at the destination: the source's memory is old", .source_old = YES },
    { PAUSED | MIGRATING, NO, GONE, EITHER, EITHER, GW_SETTLE_HOLD,
      .why = "the destination may have run and stopped: the source's memory may be old",
      .may_have_run = YES },

    { PAUSED | MIGRATING, NO, RUNNING, EITHER, EITHER, GW_SETTLE_DESTROY_SOURCE,
      .why = "the destination runs: the paused source is never resumed" },
    { PAUSED | MIGRATING, NO, PAUSED, EITHER, YES, GW_SETTLE_DESTROY_DESTINATION,
      .why = "both are whole and neither runs; the move was called off" },
    { PAUSED | MIGRATING, NO, PAUSED, EITHER, NO, GW_SETTLE_DESTROY_SOURCE,
      .why = "both are whole and neither runs: the source gives way before the destination is "
             "resumed" },
    { PAUSED | MIGRATING, NO, MIGRATING, EITHER, EITHER, GW_SETTLE_DESTROY_DESTINATION,
      .why = "nobody drives the move any more and the destination is not complete" },
    { PAUSED | MIGRATING, NO, GONE, EITHER, EITHER, GW_SETTLE_RESUME_SOURCE,
      .why = "the destination has no process: the paused source is the only one" },

    { GONE, EITHER, PAUSED, EITHER, EITHER, GW_SETTLE_RESUME_DESTINATION,
      .why = "the source is seen gone: the destination may run" },
    { GONE, EITHER, MIGRATING, EITHER, EITHER, GW_SETTLE_WAIT,
      .why = "the source is gone and the destination is finishing" },
    { DEFINED, EITHER, RUNNING, EITHER, EITHER, GW_SETTLE_UNDEFINE_SOURCE,
      .why = "the destination runs: the source's definition would be a twin" },
    { ABSENT, EITHER, RUNNING, EITHER, EITHER, GW_SETTLE_COMMITTED,
      .why = "the destination runs and the source has nothing" },

    { OFF, EITHER, DEFINED, EITHER, EITHER, GW_SETTLE_UNDEFINE_SOURCE,
      .why = "it ran at the destination and stopped there", .source_old = YES },
    { MIGRATED, EITHER, DEFINED, EITHER, EITHER, GW_SETTLE_UNDEFINE_SOURCE,
      .why = "it moved and was then shut down at the destination" },
    { OFF, EITHER, DEFINED, EITHER, EITHER, GW_SETTLE_UNDEFINE_DESTINATION,
      .why =
          "it stopped on the source: the definition at the destination is a remnant of this move" },
    { DEFINED, EITHER, ABSENT, EITHER, EITHER, GW_SETTLE_STOPPED,
      .why = "it stopped on the source during the move" },
    { ABSENT, EITHER, DEFINED, EITHER, EITHER, GW_SETTLE_STOPPED,
      .why = "it moved and was then shut down at the destination" },
    { ABSENT, EITHER, ABSENT, EITHER, EITHER, GW_SETTLE_STOPPED,
      .why = "it was transient and has stopped" },
};

static gboolean flag_matches(Flag wanted, gboolean value)
{
    return wanted == EITHER || (wanted == YES) == (value != FALSE);
}

/* With a definition of its own the destination got through to where its CPUs start; a transient VM
 * leaves no trace at all. */
static gboolean may_have_run(GwSeen destination, GwIntent intent)
{
    return intent.unwatched && ((BIT(destination.side) & DEFINED) != 0 || !intent.vm_persistent);
}

static const Row *find_row(GwSeen source, GwSeen destination, GwIntent intent)
{
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row *row = &rows[i];
        if ((row->source & BIT(source.side)) != 0 &&
            (row->destination & BIT(destination.side)) != 0 &&
            flag_matches(row->source_job, source.job_active) &&
            flag_matches(row->destination_job, destination.job_active) &&
            flag_matches(row->rolling_back, intent.rolling_back) &&
            flag_matches(row->source_old, intent.source_old) &&
            flag_matches(row->destination_old, intent.destination_old) &&
            flag_matches(row->may_have_run, may_have_run(destination, intent)))
            return row;
    }
    return NULL;
}

static gboolean leaves_source(GwSettle settle)
{
    return settle == GW_SETTLE_UNDEFINE_SOURCE || settle == GW_SETTLE_COMMITTED;
}

static gboolean leaves_destination(GwSettle settle)
{
    return settle == GW_SETTLE_UNDEFINE_DESTINATION || settle == GW_SETTLE_KEEP_SOURCE;
}

GwSettle gw_reconcile(GwSeen source, GwSeen destination, GwIntent intent, const char **why)
{
    const Row *row = find_row(source, destination, intent);

    if (row == NULL) {
        *why = "what the two hosts say fits no known case";
        return GW_SETTLE_HOLD;
    }
    /* I2: some host holds the definition at every instant, so it is made before one goes. */
    gboolean defined = intent.vm_persistent || source.persistent || destination.persistent;
    if (defined && leaves_source(row->settle) && !destination.persistent) {
        *why = "the destination runs but keeps no definition yet";
        return GW_SETTLE_DEFINE_DESTINATION;
    }
    if (defined && leaves_destination(row->settle) && !source.persistent) {
        *why = "the source runs but keeps no definition any more";
        return GW_SETTLE_DEFINE_SOURCE;
    }
    if (intent.vm_persistent && row->settle == GW_SETTLE_STOPPED && source.side == GW_SIDE_ABSENT &&
        destination.side == GW_SIDE_ABSENT) {
        *why = "no host holds its definition any more: the saved one is put back";
        return GW_SETTLE_DEFINE_SOURCE;
    }
    *why = row->why;
    if (source.lingers)
        *why = "the source's libvirt says that the VM has no process, its process table shows one: "
               "it must end first";
    else if (destination.lingers && source.side != GW_SIDE_UNKNOWN)
        *why = "the destination's libvirt says that the VM has no process, its process table shows "
               "one: it must end first";
    return row->settle;
}

GwSeen gw_seen_attested(GwSeen seen, gint64 processes)
{
    if (processes == 0 || (BIT(seen.side) & GONE) == 0)
        return seen;
    return (GwSeen){ .side = GW_SIDE_UNKNOWN, .lingers = TRUE };
}

static GwSide side_of_paused(const char *reason)
{
    if (g_strcmp0(reason, "post-copy") == 0 || g_strcmp0(reason, "post-copy-failed") == 0)
        return GW_SIDE_POST_COPY;
    if (g_strcmp0(reason, "migration") == 0 || g_strcmp0(reason, "starting-up") == 0)
        return GW_SIDE_MIGRATING;
    return GW_SIDE_PAUSED;
}

GwSide gw_side_of(gboolean present, int state, const char *reason)
{
    if (!present)
        return GW_SIDE_ABSENT;
    switch ((GwVmState)state) {
    case GW_VM_RUNNING:
    case GW_VM_BLOCKED:
    case GW_VM_SHUTDOWN:
        return g_strcmp0(reason, "post-copy") == 0 || g_strcmp0(reason, "post-copy-failed") == 0
                   ? GW_SIDE_POST_COPY
                   : GW_SIDE_RUNNING;
    case GW_VM_PAUSED:
        return side_of_paused(reason);
    case GW_VM_OFF:
        return g_strcmp0(reason, "migrated") == 0 ? GW_SIDE_MIGRATED : GW_SIDE_OFF;
    case GW_VM_SUSPENDED:
        return GW_SIDE_RUNNING; /* its CPUs are the guest's to wake */
    case GW_VM_UNKNOWN:
    case GW_VM_CRASHED:
        break;
    }
    return GW_SIDE_OTHER;
}

const char *gw_side_word(GwSide side)
{
    static const char *const words[GW_SIDE_COUNT] = {
        "no answer", "absent",    "off",       "off (migrated)", "running",
        "paused",    "migrating", "post-copy", "other",
    };
    return (guint)side < GW_SIDE_COUNT ? words[side] : "other";
}

const char *gw_settle_word(GwSettle settle)
{
    static const char *const words[GW_SETTLE_COUNT] = {
        "wait",
        "watch",
        "keep source",
        "committed",
        "stopped",
        "resume source",
        "resume destination",
        "destroy source",
        "destroy destination",
        "undefine source",
        "undefine destination",
        "define source",
        "define destination",
        "autostart at source",
        "autostart at destination",
        "pause source",
        "fence",
        "storage back",
        "storage on",
        "hold",
    };
    return (guint)settle < GW_SETTLE_COUNT ? words[settle] : "hold";
}

char *gw_seen_words(GwSeen seen)
{
    if (seen.lingers)
        return g_strdup("absent to libvirt, but with a process");
    return g_strconcat(gw_side_word(seen.side), seen.job_active ? ", migration under way" : "",
                       NULL);
}
