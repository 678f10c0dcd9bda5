/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/fabric.h"

/* Fabrics made by chance, the same for the same options: for benches of the planner, for tests of
 * what must hold in all of them, and for whole days in the simulator. Sizes are skewed, as real
 * ones are: hosts   64 GiB 1 of 7, 128 GiB 2, 256 GiB 2, 512 GiB 1, 1 TiB 1; 64 CPUs VMs     60 %
 * 1-4 GiB, 30 % 4-16 GiB, 8 % 32 GiB, 2 % 64 GiB; a disk of 20-500 GiB used    half of the VMs have
 * been seen: a half to all of their memory, and 0-1 of a CPU */

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
    guint hosts_per_rack;  /* a host group each, some with reserves, goals and tags; 0: no groups */
    guint old_percent;     /* of racks, with older libvirt and QEMU, and without the newest machine
                              type, which a fifth of the VMs elsewhere have */
    guint rack_rules;      /* placement rules that hold at the beginning: racks only */
    guint agent_percent;   /* of hosts: reached through an agent */
} FabricOptions;

GwFabric *fabric_make(const FabricOptions *options);
/* "h0000", "vm00000" */
char *fabric_host_id(guint host);
char *fabric_vm_uuid(guint vm);

/* fabric_racks.c: groups, tags, versions and rules of @fabric's racks. */
void fabric_add_racks(GwFabric *fabric, const FabricOptions *options);
/* fabric_sim.c: the same as a file of the simulator (docs/simulator.md), in which what hosts have
 * free follows from their VMs. New reference. */
json_t *fabric_sim_json(const GwFabric *fabric, gint64 link_mibps);
/* What that file does not hold, as bodies for the API, by collection: host-groups, hosts (their
 * group by its name), rules. Of fabrics without odd hosts. New reference. */
json_t *fabric_setup_json(const GwFabric *fabric);
