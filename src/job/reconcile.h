/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What is true is what both hosts say now; this table says what to do about it (RECOVERY.md). The
 * same rows settle an ordinary success, a failure, a cancel and a controller's restart, so there is
 * no path that only a crash exercises. */

/* One host's word on the VM. */
typedef enum {
    GW_SIDE_UNKNOWN,  /* no answer: never taken for absence */
    GW_SIDE_ABSENT,   /* the host answered that it has no such VM */
    GW_SIDE_OFF,      /* defined, no process */
    GW_SIDE_MIGRATED, /* defined, its process ended because it migrated away */
    GW_SIDE_RUNNING,
    GW_SIDE_PAUSED,    /* complete and paused: by a person, or waiting for our commit */
    GW_SIDE_MIGRATING, /* paused because a migration is, or was, under way */
    GW_SIDE_POST_COPY, /* part of its memory is on the other host */
    GW_SIDE_OTHER,     /* a state we do not know: taken for "still in progress" */
    GW_SIDE_COUNT
} GwSide;

typedef struct {
    GwSide side;
    gboolean job_active; /* a migration is under way here, in or out */
    gboolean persistent;
    gboolean autostart;
    gboolean by_guest; /* OFF because the guest shut itself down, for which it had to run */
    gboolean lingers;  /* UNKNOWN because libvirt knows no process of it, yet there is one */
} GwSeen;

typedef enum {
    GW_SETTLE_WAIT,        /* ask again later; start nothing */
    GW_SETTLE_WATCH,       /* the move is still under way: follow it */
    GW_SETTLE_KEEP_SOURCE, /* over: the VM is where it was */
    GW_SETTLE_COMMITTED,   /* over: the VM runs at the destination, and nowhere else */
    GW_SETTLE_STOPPED,     /* over: the VM does not run, its definition is in one place */
    GW_SETTLE_RESUME_SOURCE,
    GW_SETTLE_RESUME_DESTINATION, /* the commit */
    GW_SETTLE_DESTROY_SOURCE,
    GW_SETTLE_DESTROY_DESTINATION,
    GW_SETTLE_UNDEFINE_SOURCE,
    GW_SETTLE_UNDEFINE_DESTINATION,
    GW_SETTLE_DEFINE_SOURCE, /* from the XML saved before the move (I2) */
    GW_SETTLE_DEFINE_DESTINATION,
    GW_SETTLE_AUTOSTART_SOURCE, /* what preparing took away, where the VM stays */
    GW_SETTLE_AUTOSTART_DESTINATION,
    GW_SETTLE_PAUSE_SOURCE, /* the VM runs twice: stop one at once, then hold */
    GW_SETTLE_FENCE,        /* the agents do nothing more by themselves: the move's, not the table's
                             */
    GW_SETTLE_STORAGE_BACK, /* the VM stayed: what was made of volumes is removed; the move's too */
    GW_SETTLE_STORAGE_ON,   /* it is at the destination: its old copies are kept, or removed */
    GW_SETTLE_HOLD,         /* only a person can say */
    GW_SETTLE_COUNT
} GwSettle;

/* What the move was meant to be; decides rows that the hosts' words alone leave open. */
typedef struct {
    gboolean rolling_back;  /* cancelled, timed out: prefer the source where both are whole */
    gboolean vm_persistent; /* the VM had a persistent definition before the move */
    /* Whose memory the disk has left behind: it is never run again (I9). */
    gboolean source_old, destination_old;
    gboolean unwatched; /* the destination runs without our commit: it may have run unseen */
} GwIntent;

/* Never fails: what no row covers is HOLD. *@why is a static sentence for the journal. */
GwSettle gw_reconcile(GwSeen source, GwSeen destination, GwIntent intent, const char **why);

/* What an agent found in the process table, @processes of the VM, on top of what libvirt says: a
 * process that libvirt does not know of makes the side unknown. That libvirt knows of one more than
 * there is changes nothing: it will notice. */
GwSeen gw_seen_attested(GwSeen seen, gint64 processes);

/* @state: GwVmState; @reason: libvirt's word. */
GwSide gw_side_of(gboolean present, int state, const char *reason);
const char *gw_side_word(GwSide side);
const char *gw_settle_word(GwSettle settle);
/* "running, migration under way" for people and the journal; owned. */
char *gw_seen_words(GwSeen seen);
