/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/rule.h"

/* Which network of the destination each adapter of a VM gets (R40). networks.c decides,
 * networks_find.c knows what a host's networks are. */

/* A network, or a bridge, of a host that an adapter can be attached to. */
typedef struct {
    const GwHost *host;
    const GwNetwork *network; /* NULL: a bridge of which nothing but the name is known */
    const char *name;         /* NULL: there is none */
    gboolean is_bridge;       /* of kind bridge, not a libvirt network */
    const GwPortGroup *group; /* of a libvirt network; NULL: none */
} GwNetPlace;

/* The place called @name; its name is NULL where there is none. */
GwNetPlace gw_net_find(const GwHost *host, gboolean is_bridge, const char *name);
/* The next of all places of @host: *@at begins as 0. FALSE: there are no more. */
gboolean gw_net_next(const GwHost *host, guint *at, GwNetPlace *place);
/* The bridge that it forwards to and that its host does not have; NULL: none. libvirt calls such a
 * network active all the same. */
const char *gw_net_missing_bridge(const GwNetPlace *place);
/* Whether an adapter can be attached to it. */
gboolean gw_net_is_active(const GwNetPlace *place);
/* Whether @host tells which bridges it has: not where each is known of a libvirt network alone. */
gboolean gw_net_tells_bridges(const GwHost *host);
/* The bridge behind it; NULL: none, or not told. */
const char *gw_net_bridge(const GwNetPlace *place);
/* How it leads out: "bridge", "nat", "isolated", …; a bridge that belongs to a libvirt network
 * leads where that leads. NULL: not told. */
const char *gw_net_forward(const GwNetPlace *place);
/* 0: not told. */
gint64 gw_net_mtu(const GwNetPlace *place);
/* What it gives an adapter that has none of its own; may be NULL. */
char **gw_net_vlans(const GwNetPlace *place);
/* The physical network it is declared to lead to, or NULL. */
const char *gw_net_tag(const GwNetPlace *place);
/* A subnet that both see, borrowed; NULL: none. */
const char *gw_net_common_subnet(const GwNetPlace *a, const GwNetPlace *b);
/* Whether it is, or is on, the bridge of the host's own management address (R52). */
gboolean gw_net_is_management(const GwNetPlace *place);
/* Lists are equal as sets: both are sorted; NULL and an empty one are equal. */
gboolean gw_net_same_vlans(char *const *a, char *const *b);
/* "networks default, lan; bridges br0", for people; owned. */
char *gw_net_list(const GwHost *host);

/* Where @nic is at the source; its name is NULL where it is on no network or bridge that the source
 * tells. */
GwNetPlace gw_net_of_nic(const GwHost *host, const GwNic *nic);
/* The VLANs that are the adapter's own, whatever its network gives; borrowed. */
char **gw_net_own_vlans(const GwNetPlace *at, const GwVm *vm, const GwNic *nic);

/* Of one VM: more are not matched, and not chosen for. Each is held against all networks of both
 * hosts, and no real VM has so many. */
#define GW_NET_NICS_MAX GW_NIC_CHOICES_MAX

/* What a person chose for the adapter, or NULL. */
const GwNicChoice *gw_plan_nic_choice(const GwPlanInput *input, const char *mac);
/* Whether the adapter was on what @choice names, of that kind and in that port group, when a job
 * took the VM away from the destination: what Undo chooses. @port: as a switch's port, too. */
gboolean gw_net_was_chosen(const GwPlanInput *input, const GwNicChoice *choice, gboolean port);
/* The network of the destination that @choice means; its name is NULL where it has none such. A
 * bridge that is named as one is taken at the name where nobody tells whether it is there. */
GwNetPlace gw_net_chosen(const GwPlanInput *input, const GwNic *nic, const GwNicChoice *choice);
/* FALSE: it is hardware of its host, and cannot become anything else by a move. */
gboolean gw_plan_nic_can_change(const GwNic *nic);

/* rules_nic.c, for the rules: @check of each adapter of the VM, with where it would be attached. */
typedef void (*GwNicCheck)(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwNicMove *move);
void gw_nic_each(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                 GwNicCheck check);
static inline gboolean gw_nic_is_type(const GwNic *nic, const char *type)
{
    return g_strcmp0(nic->type, type) == 0;
}
