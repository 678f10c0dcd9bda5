/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"
#include "model/vm.h"

typedef enum {
    GW_SEVERITY_ERROR,   /* blocks the move */
    GW_SEVERITY_WARNING, /* passes, and is said */
} GwSeverity;
extern const GwEnum gw_severity_enum;

/* One thing a preflight rule found (I8). */
typedef struct {
    char *rule;        /* "pci-passthrough" */
    char *requirement; /* "R55" */
    int severity;      /* GwSeverity */
    char *observed;
    char *required;
    char *remedy;
} GwFinding;
GW_DECLARE_RECORD(GwFinding, gw_finding)

/* Whether a transfer type is there for a VM and a host, and why not (R34). */
typedef struct {
    int transfer; /* GwTransfer */
    gboolean available;
    char *explanation; /* "Deployment and Transfer Explanation", "SAN Explanation" */
} GwTransferOption;
GW_DECLARE_RECORD(GwTransferOption, gw_transfer_option)

/* What moving one VM to one host would be. */
typedef struct {
    char *host_id;
    char *host_name;
    int transfer;             /* GwTransfer, by where the storage is; NONE: no way */
    gboolean suitable;        /* no finding is an error */
    GPtrArray *findings;      /* GwFinding */
    GPtrArray *transfers;     /* GwTransferOption: every type but None, in the enum's order */
    GPtrArray *disks;         /* GwDiskMove: where each disk would go, as far as it is known */
    GPtrArray *hbas;          /* GwHbaMove: where each virtual HBA would go (R41) */
    GPtrArray *nics;          /* GwNicMove: where each adapter would be attached (R40) */
    GwRating *rating;         /* NULL: not rated */
    GwPrediction *prediction; /* NULL: not suitable, or not asked for */
} GwCandidate;
GW_DECLARE_RECORD(GwCandidate, gw_candidate)

/* Whether a VM could leave its host now, and why not (R49). */
typedef struct {
    char *vm_uuid;
    char *vm_name;
    int state;            /* GwVmState */
    gboolean leaves;      /* some host takes it */
    gint64 hosts;         /* how many do */
    GwCandidate *nearest; /* the best of those; where none does, the one that comes nearest; NULL:
                             there is no other host */
    char *why;            /* in one sentence why it stays; NULL: it can leave */
} GwLeaving;
GW_DECLARE_RECORD(GwLeaving, gw_leaving)

/* The answer to a dry run. */
typedef struct {
    char *vm_uuid;
    char *vm_name;
    char *source_host_id;
    char *source_host_name;
    GwCandidate *candidate;
    gboolean commit_by_resume;
    char *method;        /* what the speed method comes to between these two versions, in words */
    char **script_cli;   /* this move as godwit commands (R43) */
    char **script_virsh; /* and as the equivalent virsh lines */
} GwMovePlan;
GW_DECLARE_RECORD(GwMovePlan, gw_move_plan)
