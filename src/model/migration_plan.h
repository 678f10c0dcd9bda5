/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/balance.h"
#include "model/prediction.h"
#include "model/verdict.h"

/* A plan of many moves: to empty hosts (drain), to bring back what left (undrain), for several VMs
 * chosen by hand, or to balance a host group (R19, R49). It is made by the planner, may be reviewed
 * as a file, and is carried out by one job whose children are the moves. */

typedef enum {
    GW_PLAN_DRAIN,
    GW_PLAN_UNDRAIN,
    GW_PLAN_MOVES,
    GW_PLAN_BALANCE,
} GwPlanKind;
extern const GwEnum gw_plan_kind_enum;

#define GW_PLAN_HOSTS_MAX 1000
#define GW_PLAN_VMS_MAX 10000

/* What is asked for. */
typedef struct {
    int kind;             /* GwPlanKind */
    char **hosts;         /* ids or names: those to empty, or to bring VMs back to; BALANCE: none */
    char *group;          /* id or name: BALANCE: this one; else: destinations only in it */
    char **vms;           /* MOVES: UUIDs or names; BALANCE: only these, none: all */
    char **destinations;  /* ids or names: only these; none: every host that may take them */
    gint64 hosts_at_once; /* how many are being emptied at one time; 0: all */
    gint64 moves_at_once; /* beside the hosts' own limits; 0: no further limit */
    gboolean cold;        /* VMs that are off are moved as well */
    gboolean storage;     /* disks that are not shared may be copied (Live (VSM), Network) */
    gboolean maintenance; /* DRAIN: hosts enter maintenance, and take no VM from now on */
    GwMoveOptions *options; /* of each move */
    char *undoes;           /* UNDRAIN: the drain's job; NULL: all since VMs were brought back */
    char *as_of;            /* BALANCE: RFC 3339; cool-downs are counted to it */
    char **leave;           /* UUIDs of VMs that stay: their moves were left out by hand */
} GwPlanRequest;
GW_DECLARE_RECORD(GwPlanRequest, gw_plan_request)

typedef enum {
    GW_PLANNED_WAITING,
    GW_PLANNED_RUNNING,
    GW_PLANNED_DONE,
    GW_PLANNED_FAILED,
    GW_PLANNED_SKIPPED, /* not needed any more, or given up by hand */
} GwPlannedState;
extern const GwEnum gw_planned_state_enum;

typedef struct {
    gint64 wave;  /* 1 …; those of one wave need nothing of each other */
    gint64 after; /* the number (from 1) of the move that must be done before; 0: none */
    char *vm_uuid;
    char *vm_name;
    char *source_host_id;
    char *source_host_name;
    char *destination_host_id;
    char *destination_host_name;
    int transfer;     /* GwTransfer */
    char *storage;    /* pool for the disks that do not stay */
    gint64 starts_ms; /* from the plan's begin, as predicted */
    gint64 ends_ms;
    gint64 memory_kib;
    gint64 bytes;
    gboolean detour;    /* only to make room: it moves on, or back, later in the plan */
    double stars;       /* of the destination at that step */
    char *why;          /* why there and then */
    double gain;        /* BALANCE: how much closer to each other it brings its hosts, points */
    gint64 downtime_ms; /* as predicted; 0: it is not, or does not run */
    int state;          /* GwPlannedState */
    char *job_id;       /* of the move, once it began */
    char *error;        /* of the last try */
    gboolean timed_out; /* the last try was broken off by a time-out of its own */
    char *doubt;        /* it is not predicted to arrive: what to choose; NULL: it is */
    gint64 tries;
} GwPlannedMove;
GW_DECLARE_RECORD(GwPlannedMove, gw_planned_move)

/* A VM that cannot move, with every reason. */
typedef struct {
    char *vm_uuid;
    char *vm_name;
    char *host_id;
    char *host_name;
    char *why;           /* in one sentence */
    GPtrArray *findings; /* GwFinding: of the host that comes nearest */
} GwPlannedStay;
GW_DECLARE_RECORD(GwPlannedStay, gw_planned_stay)

struct GwMigrationPlan {
    int kind; /* GwPlanKind */
    GwPlanRequest *request;
    char *made_at;     /* RFC 3339 */
    char *fingerprint; /* of all that it rests on: another one means drift */
    GPtrArray *moves;  /* GwPlannedMove, in the order in which they begin */
    GPtrArray *stays;  /* GwPlannedStay */
    gint64 waves;
    GwInterval *total_ms;
    gint64 lower_bound_ms; /* no order can be faster: bytes by capacity */
    char **notes;          /* what a person should know */
    char **rests_on;       /* what the fingerprint is of; not in a job: it is compared once */
    char **closed; /* of a drain's job: ids of the hosts that it put into maintenance itself,
                      and of which nobody has said anything else since */
    GwBalanceFigures *balance; /* BALANCE: what it does for the group */
};
GW_DECLARE_RECORD(GwMigrationPlan, gw_migration_plan)

/* How a host group is balanced just now, and what is recommended. */
typedef struct {
    char *group_id; /* the group whose settings hold, and which is balanced as a whole */
    char *group_name;
    int mode;          /* GwBalanceMode */
    char *looked_at;   /* RFC 3339; NULL: not yet */
    char *waiting_for; /* why nothing is done just now, in words; NULL: nothing is in the way */
    char *job_id;      /* of the last round that began by itself; NULL: none is known */
    GwMigrationPlan *recommendation; /* made_at says since when it stands; NULL: there is none */
    GwBalanceFigures *figures;       /* as of the last look; NULL: not yet */
} GwBalanceStatus;
GW_DECLARE_RECORD(GwBalanceStatus, gw_balance_status)
