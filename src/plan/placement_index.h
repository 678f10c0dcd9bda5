/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* Which placement rules concern a VM, which hosts they mean, and where the other VMs of a rule are:
 * looked up, never searched for each host anew. A rule may name 10,000 VMs, a host may have as many
 * tags. */
typedef struct GwPlacementIndex GwPlacementIndex;

void gw_placement_index_free(GwPlacementIndex *index);

/* One rule, prepared. */
typedef struct {
    const GwPlacementRule *rule;
    GHashTable *hosts;    /* ids, of rule->hosts */
    GHashTable *tags;     /* tag -> its number, from 1 */
    GHashTable *networks; /* names */
    GHashTable *places;   /* host id -> whether the rule means that host; as far as asked */
} GwRuleView;

/* Another VM of a rule, at one host. */
typedef struct {
    const char *name;
    gboolean coming; /* a job that is not over brings it there */
} GwPeer;

/* A rule that concerns the VM asked about. */
typedef struct {
    GwRuleView *view;
    GHashTable *peers; /* host id -> GwPeer; of rules between VMs, else NULL */
} GwAppliedRule;

/* GwAppliedRule, by the rules' names; NULL: none. Borrowed until another VM is asked about. Rules
 * of networks are among them where the VM is attached to such a network. */
const GPtrArray *gw_placement_applied(const GwPlanInput *input);
/* Whether the rule's hosts or tags mean @host: all tags of RUN_ON and NETWORK, any of KEEP_OFF. */
gboolean gw_placement_means(GwRuleView *view, const GwHost *host);
/* Whether an adapter of @vm is on one of the rule's networks: on one of that name, or, where
 * libvirt has put it on its network's bridge, on a bridge of that name. */
gboolean gw_placement_is_attached(const GwVm *vm, const GwRuleView *view);

/* placement_check.c looks at a rule that is not in the picture. */
GwRuleView *gw_rule_view_new(const GwPlacementRule *rule);
void gw_rule_view_free(gpointer view);
/* Whether it can be kept beside @others (GwPlacementRule, by name), and no other rules. */
gboolean gw_placement_check_among(const GwFabric *fabric, const GwPlacementRule *rule,
                                  GPtrArray *others, GError **error);

/* placement_related.c. The rules that have to be kept, but for @rule itself, by name; borrowed from
 * @fabric. */
GPtrArray *gw_placement_required(const GwFabric *fabric, const GwPlacementRule *rule);
/* Of @others those beside which @rule is to be looked at, in the same order: by the rest its
 * verdict is the same. @vms: UUID -> GwVm. */
GPtrArray *gw_placement_related(const GwPlacementRule *rule, GPtrArray *others, GHashTable *vms);
