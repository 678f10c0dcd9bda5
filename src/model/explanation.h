/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/verdict.h"

/* What dumps of a VM and its hosts tell of a move, without asking anybody. */

/* Something that a move rests on and no dump tells: neither met nor refused. */
typedef struct {
    char *subject;  /* memory, networks, … */
    char **rules;   /* the preflight rules that could not judge it */
    char *required; /* what has to be so */
    char *tells;    /* how to learn it */
} GwUntold;
GW_DECLARE_RECORD(GwUntold, gw_untold)

/* A transfer type as far as dumps tell: possible, if all that it depends on is so. */
typedef struct {
    int transfer; /* GwTransfer */
    gboolean possible;
    char *explanation;
    char **depends;      /* what has to be so; empty: nothing */
    GPtrArray *findings; /* GwFinding: of this type alone */
} GwTransferOutlook;
GW_DECLARE_RECORD(GwTransferOutlook, gw_transfer_outlook)

typedef struct {
    char *vm_uuid;
    char *vm_name;
    int state;            /* GwVmState: what it is judged as, running or off */
    gboolean refused;     /* whatever the dumps do not tell, it does not move so */
    GPtrArray *findings;  /* GwFinding: whatever the dumps do not tell */
    GPtrArray *transfers; /* GwTransferOutlook: every type between two hosts */
    GPtrArray *untold;    /* GwUntold */
} GwExplanation;
GW_DECLARE_RECORD(GwExplanation, gw_explanation)
