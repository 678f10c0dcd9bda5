/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/explanation.h"
#include "plan/plan.h"

/* A move judged from dumps alone, by the rules of every other move. What no dump tells is never
 * guessed: a rule that rests on it is not asked, and is named among what is untold.
 *
 * Whether the destination reaches the VM's disks is what a transfer type depends on, so the VM is
 * judged twice: as if it did, and as if it did not and had a pool for them. What is found both
 * times holds whatever is so. */

typedef struct {
    const GwVm *vm; /* as its definition says; its state is taken from @off */
    gboolean off;   /* judged as one that is off, else as one that runs */
    const GwHostFacts *source, *destination; /* as virsh capabilities says; NULL: not told */
} GwDumps;

/* Never NULL; owned by the caller. */
GwExplanation *gw_plan_explain_dumps(const GwDumps *dumps);

/* Who tells what a rule rests on. */
typedef enum {
    GW_TOLD_BY_DOMAIN,       /* the definition */
    GW_TOLD_BY_ARCHITECTURE, /* capabilities of the destination */
    GW_TOLD_BY_MACHINES,     /* the same, with machine types of the VM's architecture */
    GW_TOLD_BY_VM_CPUS,      /* domain capabilities of the destination, where they are sure */
    GW_TOLD_BY_CPU_MODELS,   /* capabilities of both hosts */
    GW_TOLD_BY_HOST_UUIDS,   /* the same */
    GW_TOLD_BY_DISKS,        /* what a transfer type depends on: its depends say it */
    GW_TOLD_BY_NOBODY,
} GwToldBy;

/* dumps_untold.c. Of a rule that it does not know FALSE: then it is taken for one that rests on the
 * definition. */
gboolean gw_dumps_told_by(const char *rule, GwToldBy *by);
gboolean gw_dumps_is_told(const GwDumps *dumps, const char *rule);
/* GwUntold of @dumps. */
GPtrArray *gw_dumps_untold(const GwDumps *dumps);
