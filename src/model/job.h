/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/host.h"
#include "model/storage.h"

typedef enum {
    GW_TRANSFER_NONE,
    GW_TRANSFER_LIVE,      /* both hosts reach the VM's storage (R2, R4) */
    GW_TRANSFER_LIVE_VSM,  /* memory and disks (R13) */
    GW_TRANSFER_NETWORK,   /* the VM is off: its disks are copied over the network (R3) */
    GW_TRANSFER_FAST_COPY, /* the VM is off: reflink or server-side copy (R34) */
    GW_TRANSFER_SAN,       /* the VM is off: its LUNs are handed over, not copied (R27) */
    GW_TRANSFER_REGISTER,  /* the VM is off and both hosts reach its disks: only the definition
                              moves */
    GW_TRANSFER_STORAGE,   /* within one host (R14) */
} GwTransfer;
extern const GwEnum gw_transfer_enum;

/* What a person may choose for one move. Zero means: the host's or the product's default. */
typedef struct {
    int method; /* GwMethod */
    gint64 bandwidth_mibps;
    gint64 max_downtime_ms;
    gint64 channels;           /* of Multichannel */
    gboolean post_copy;        /* may switch to post-copy */
    gboolean no_auto_converge; /* do not slow the guest down to converge */
    gboolean tls;              /* encrypt QEMU's migration stream by its own TLS */
    gint64 completion_timeout_s_per_gib;
    gint64 progress_timeout_s;
    int transfer;      /* GwTransfer: this one or none; NONE: the best there is */
    char *storage;     /* where the disks go that cannot stay: pool, path of a pool, or share path;
                          NULL: the pool of the same name, or the first default location */
    GPtrArray *disks;  /* GwDiskChoice: chosen for single disks (R38) */
    GPtrArray *nics;   /* GwNicChoice: chosen for single adapters (R40) */
    GPtrArray *hbas;   /* GwHbaChoice: chosen for single virtual HBAs (R41) */
    gboolean copy_all; /* also disks that both hosts reach are copied */
    gboolean network;  /* over the network even if a SAN transfer is available (R39) */
    gboolean flatten;  /* one image for each disk; else backing chains are kept */
    gboolean start;    /* start the VM after it was moved off (R42) */
    gboolean wait_for_merge;      /* wait for a running merge instead of refusing (R31) */
    gboolean add_default_storage; /* R18, R37 */
    gint64 keep_source_s;         /* how long old copies are kept for Undo; -1: not at all */
} GwMoveOptions;
GW_DECLARE_RECORD(GwMoveOptions, gw_move_options)

/* As libvirt's job statistics say it; sizes in bytes, rates in bytes per second, times in ms. */
typedef struct {
    char *phase; /* waiting, setup, memory, switchover, post-copy, settling, … */
    gint64 percent;
    gint64 iteration;
    gint64 processed_bytes;
    gint64 remaining_bytes;
    gint64 total_bytes;
    gint64 bandwidth_bps;
    gint64 dirty_rate_bps;
    gint64 elapsed_ms;
    gint64 eta_ms; /* -1: unknown */
    gint64 expected_downtime_ms;
    gint64 throttle_percent;
    gint64 disk_total_bytes; /* of disks; part of the bytes above */
    gint64 disk_processed_bytes;
    gint64 disk_remaining_bytes;
    gboolean converging; /* FALSE: dirtied as fast as copied; there is no honest ETA */
    char *note;
} GwProgress;
GW_DECLARE_RECORD(GwProgress, gw_progress)

typedef struct {
    gint64 total_ms; /* from accepted to settled */
    gint64 queued_ms;
    gint64 copy_ms;     /* libvirt's migration job */
    gint64 downtime_ms; /* from the source's pause to the destination's resume; -1: not seen */
    gint64 downtime_libvirt_ms; /* QEMU's own figure; -1: not told */
    gint64 transferred_bytes;
    gint64 iterations;
    char *drive;       /* who drove it: "peer-to-peer" or "controller" */
    char *method;      /* what was really used, in words */
    gint64 disk_bytes; /* of disks, read at the source; part of nothing above */
    gint64 disk_sent_bytes;
    gint64 disk_same_bytes; /* that the destination had already (delta) */
} GwMoveResult;
GW_DECLARE_RECORD(GwMoveResult, gw_move_result)

#define GW_JOB_KIND_MIGRATE "vm-migrate"          /* a live move, with or without its disks */
#define GW_JOB_KIND_TRANSFER "vm-transfer"        /* a VM that is off moves to another host */
#define GW_JOB_KIND_STORAGE "vm-migrate-storage"  /* disks move within their host */
#define GW_JOB_KIND_REPAIR "job-repair"           /* what a failed job left is cleaned up */
#define GW_JOB_KIND_VOLUME_REMOVE "volume-remove" /* a kept copy's time is over */
#define GW_JOB_KIND_PROVE "share-prove"
/* Those that carry out a GwMigrationPlan; their children are moves. */
#define GW_JOB_KIND_DRAIN "host-drain"
#define GW_JOB_KIND_UNDRAIN "host-undrain"
#define GW_JOB_KIND_MOVES "vms-migrate"
#define GW_JOB_KIND_BALANCE "group-balance"

typedef enum {
    GW_JOB_CHECKING,
    GW_JOB_QUEUED,
    GW_JOB_PREPARING,
    GW_JOB_COPYING,
    GW_JOB_SETTLING,   /* asking both hosts what is true, and acting on it */
    GW_JOB_COMMITTING, /* the destination is being resumed */
    GW_JOB_CLEANING,   /* the source's definition is being removed */
    GW_JOB_HELD,       /* needs a person's answer; starts and stops nothing */
    GW_JOB_DONE,
    GW_JOB_FAILED,
    GW_JOB_CANCELLED,
} GwJobState;
extern const GwEnum gw_job_state_enum;

gboolean gw_job_state_is_final(GwJobState state);

typedef struct {
    char *code;
    char *message;
    char *remedy;
} GwJobError;
GW_DECLARE_RECORD(GwJobError, gw_job_error)

/* One line of a job's history: each is also a row of the journal. */
typedef struct {
    char *at; /* RFC 3339 */
    char *state;
    char *event;
    char *why;
} GwJobStep;
GW_DECLARE_RECORD(GwJobStep, gw_job_step)

typedef struct GwMigrationPlan GwMigrationPlan; /* model/migration_plan.h */

/* How far the job of a plan is, without the plan: small, however many moves that has. */
#define GW_PLAN_MOVING_SHOWN 4
typedef struct {
    gint64 vms;       /* that it is about, with those that stay; each once, also after a detour */
    gint64 vms_moved; /* of these: to where they are to be */
    /* Moves. */
    gint64 waiting;
    gint64 running;
    gint64 done;
    gint64 failed;
    gint64 skipped;
    gint64 stays;         /* VMs that cannot move */
    gint64 planned_again; /* how often what was left was planned anew */
    char **moving;        /* names of the first GW_PLAN_MOVING_SHOWN VMs that are on their way */
} GwMigrationPlanProgress;
GW_DECLARE_RECORD(GwMigrationPlanProgress, gw_migration_plan_progress)

typedef struct {
    char *id;
    char *kind;  /* GW_JOB_KIND_… */
    char *title; /* for people: Migrate web1 from kvm1 to kvm2 */
    int state;   /* GwJobState */
    char *vm_uuid;
    char *vm_name;
    char *source_host_id;
    char *destination_host_id;
    int transfer; /* GwTransfer */
    GwMoveOptions *options;
    GwProgress *progress;
    GwMoveResult *result;
    GwJobError *error;
    GPtrArray *steps;     /* GwJobStep */
    gint64 steps_dropped; /* after the first of them: so many are not kept */
    char *user;
    char *waiting_for; /* why it is queued or held, in words */
    gboolean cancel_requested;
    /* What was seen or ordered once and holds from then on, whatever the hosts say later. */
    gboolean source_old;       /* the VM ran at the destination: the source's memory never runs */
    gboolean destination_old;  /* it ran on at the source after the copy */
    gboolean source_gives_way; /* ordered to end although whole: a cancel comes too late */
    gboolean keep_source;      /* a person's answer */
    gboolean keep_destination;
    gboolean doubled; /* it was seen running on both hosts: only a person ends this job */
    char *created_at;
    char *started_at;
    char *finished_at;
    /* What recovery needs, fixed before the first side effect. */
    gint64 epoch;              /* of the VM; higher wins */
    gboolean commit_by_resume; /* destination stays paused until the source is seen gone */
    gboolean peer_to_peer;
    gboolean through_agents; /* every stream of it goes between the two agents */
    gboolean vm_persistent;
    gboolean vm_autostart;
    gint64 vm_memory_kib;
    gint64 completion_timeout_s; /* of the whole copy, as decided; 0: none (R59) */
    gint64 progress_timeout_s;   /* R60 */
    gint64 wall_created_us;
    char *saved_xml;  /* the inactive definition before Begin */
    GPtrArray *disks; /* GwDiskMove: where each disk goes; empty: all stay */
    GPtrArray *nics;  /* GwNicMove: where each adapter goes */
    GPtrArray *hbas;  /* GwHbaMove: where each virtual HBA goes */
    GPtrArray *tasks; /* GwTask: what is, or was, done on the hosts, in order */
    char **snapshots; /* their metadata (XML), parents first, before it is forgotten */
    char *snapshot_current;
    char *undoes;             /* the job that this one undoes */
    char *undone_by;          /* the job that undid this one, or tries to */
    gint64 keep_source_s;     /* as decided */
    GwPrediction *prediction; /* made right before it began; the result says what came of it */
    char *part_of;            /* the job whose plan this move carries out; NULL: none */
    GwMigrationPlan *plan;    /* of a job that carries out a plan */
    GwMigrationPlanProgress *plan_progress; /* of such a job: of the plan, in few words */
    gboolean pause_requested;               /* of such a job: begin no further move */
} GwJob;
GW_DECLARE_RECORD(GwJob, gw_job)
