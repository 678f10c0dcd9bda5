/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/fabric.h"

/* Fabrics made by chance, the same for the same options: for benches of the planner, and for tests
 * of what must hold in all of them. */

typedef struct {
    guint32 seed;
    guint hosts;
    guint vms;
    guint hosts_per_share; /* one NFS export for so many hosts; 0: all */
    guint rules;           /* placement rules */
    guint full_percent;    /* of the hosts' memory that VMs take */
    guint local_percent;   /* of VMs, with their disk on local storage */
    guint off_percent;     /* of VMs */
    guint odd_percent;     /* of hosts and VMs with something that stands in a move's way */
    gboolean small;        /* memory in a few GiB, so that little fits: for tests */
} FabricOptions;

GwFabric *fabric_make(const FabricOptions *options);
/* "h0000", "vm00000" */
char *fabric_host_id(guint host);
char *fabric_vm_uuid(guint vm);
