/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/many.h"

/* What the parts of a balance share: who takes part (balance_read.c), the figure (balance_load.c),
 * the moves (balance.c, balance_fill.c) and the words (balance_words.c). The plan itself is made of
 * the moves by the machinery of many.h. docs/balance.md tells it to people. */

typedef enum {
    BALANCE_MEMORY,
    BALANCE_CPU,
    BALANCE_NETWORK,
    BALANCE_RESOURCES,
} BalanceResource;

/* What a host has, and what of it is in use; a resource that is not known has no whole. */
typedef struct {
    gboolean in; /* it takes part */
    double used[BALANCE_RESOURCES];
    double whole[BALANCE_RESOURCES]; /* without reserves */
} BalanceHost;

typedef struct {
    guint count;
    BalanceHost *hosts;                /* as many->hosts */
    double weights[BALANCE_RESOURCES]; /* together 1 */
    double level[BALANCE_RESOURCES];   /* percent: the load that all would have, were it even */
} BalanceLoads;

/* What VMs take of their host. */
typedef struct {
    double need[BALANCE_RESOURCES];
    gboolean assumed[BALANCE_RESOURCES]; /* it was not seen */
} BalanceNeed;

#define BALANCE_FULL 90.0 /* percent of memory beyond which a host is under pressure */
#define BALANCE_FILL_TO                                                                            \
    80.0 /* percent up to which hosts are filled: below that, or it never ends */

BalanceLoads *balance_loads_new(const Many *many, const GwPlacementPolicy *policy);
BalanceLoads *balance_loads_copy(const BalanceLoads *loads);
void balance_loads_free(BalanceLoads *loads);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BalanceLoads, balance_loads_free)
BalanceNeed balance_need(const Many *many, guint unit);
/* Percent; below 0: not known. */
double balance_load(const BalanceLoads *loads, guint host, BalanceResource resource);
/* Root of the weighted mean of the squares of what hosts are off the level, percentage points. */
double balance_imbalance(const BalanceLoads *loads);
/* How far the host is above the level by the weights; below 0: it has room. */
double balance_excess(const BalanceLoads *loads, guint host);
/* By how many points two hosts come closer to the level if @need goes from the one to the other,
 * and @back (NULL: nothing) the other way. What was assumed is never a gain. @by gets what of it
 * each resource is; may be NULL. */
double balance_gain(const BalanceLoads *loads, guint from, guint to, const BalanceNeed *need,
                    const BalanceNeed *back, BalanceResource *by);
/* Percent of its memory that the host has in use beyond BALANCE_FULL. */
double balance_pressure_of(const BalanceLoads *loads, guint host);
double balance_pressure(const BalanceLoads *loads);
/* What was assumed changes nothing: it is not known on either. */
void balance_move(BalanceLoads *loads, guint from, guint to, const BalanceNeed *need);

typedef struct {
    Many *many;
    const GwBalanceSettings *settings;
    const GwPlacementPolicy *policy;
    ManyBooks *books;
    BalanceLoads *loads;
    GArray *hops;     /* ManyHop */
    GPtrArray *units; /* of each host: GArray of those that are there and have not moved */
    guint left;       /* VMs that may still move in this round */
} Balance;

/* Where a unit may go, and what that is worth. */
typedef struct {
    guint unit, from, to;
    double gain;  /* points */
    double worth; /* without what it costs */
} BalanceChoice;

/* balance.c */
guint balance_size(const Balance *balance, guint unit);
/* Points that a move of the unit has to gain: the minimum for each ten minutes that it takes. */
double balance_cost(const Balance *balance, guint unit, guint from, guint to);
/* It goes; @why (taken) says why. */
void balance_take(Balance *balance, guint unit, guint to, double gain, char *why);
/* balance_fill.c */
void balance_fill(Balance *balance);

/* balance_words.c */
char *balance_why(const Balance *balance, const BalanceChoice *choice, BalanceResource by,
                  const BalanceNeed *need, const BalanceNeed *back);
char *balance_why_pressure(const Balance *balance, const BalanceChoice *choice);
char *balance_why_fill(const Balance *balance, guint from, guint to, guint count);
GwBalanceFigures *balance_figures(const Balance *balance, const BalanceLoads *before);
/* What a person should know besides. */
void balance_notes(const Balance *balance);
