/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"

/* The standing view of what could not leave a host today (R49): every VM of it against every other
 * host, by what is known. It is worked out on the caller's thread: the planner is pure, and the
 * picture does not change under it. */

static const GwFinding *first_error(const GwCandidate *candidate)
{
    for (guint i = 0; candidate->findings != NULL && i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        if (finding->severity == (int)GW_SEVERITY_ERROR)
            return finding;
    }
    return NULL;
}

static guint errors_of(const GwCandidate *candidate)
{
    guint count = 0;

    for (guint i = 0; candidate->findings != NULL && i < candidate->findings->len; i++)
        count += ((GwFinding *)candidate->findings->pdata[i])->severity == (int)GW_SEVERITY_ERROR;
    return count;
}

/* They come best first; of those that are not suitable the one with the least in its way. */
static GwCandidate *nearest_of(const GPtrArray *candidates, const char *host_id)
{
    GwCandidate *nearest = NULL;

    for (guint i = 0; i < candidates->len; i++) {
        GwCandidate *candidate = candidates->pdata[i];
        if (strcmp(candidate->host_id, host_id) == 0)
            continue;
        if (candidate->suitable)
            return candidate;
        if (nearest == NULL || errors_of(candidate) < errors_of(nearest))
            nearest = candidate;
    }
    return nearest;
}

static char *why_of(const GwCandidate *nearest)
{
    const GwFinding *finding = nearest != NULL ? first_error(nearest) : NULL;

    if (nearest == NULL)
        return g_strdup("There is no other host.");
    if (finding == NULL)
        return g_strdup_printf("%s does not take it.", nearest->host_name);
    return g_strdup_printf("%s: %s; required: %s", nearest->host_name, finding->observed,
                           finding->required);
}

/* In full, what has no words in the ranking. */
static GwCandidate *explained(const GwFabric *fabric, const GwVm *vm, const GwCandidate *nearest)
{
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    const GwPlanInput input = { .fabric = fabric,
                                .vm = vm,
                                .source = gw_fabric_host(fabric, vm->host_id),
                                .destination = gw_fabric_host(fabric, nearest->host_id),
                                .shared = shared };
    GwCandidate *candidate = gw_plan_candidate(&input);

    gw_plan_rate(&input, candidate);
    return candidate;
}

static GwLeaving *judge(const GwFabric *fabric, const GwVm *vm, GwKnownHosts *known)
{
    g_autoptr(GPtrArray) candidates = gw_plan_ranking(fabric, vm, NULL, 0, known);
    GwCandidate *nearest = nearest_of(candidates, vm->host_id);
    GwLeaving *leaving = gw_leaving_new();

    leaving->vm_uuid = g_strdup(vm->uuid);
    leaving->vm_name = g_strdup(vm->name);
    leaving->state = vm->state;
    leaving->nearest = nearest != NULL ? explained(fabric, vm, nearest) : NULL;
    leaving->leaves = nearest != NULL && nearest->suitable;
    for (guint i = 0; i < candidates->len; i++)
        leaving->hosts += ((GwCandidate *)candidates->pdata[i])->suitable ? 1 : 0;
    if (!leaving->leaves)
        leaving->why = why_of(leaving->nearest);
    return leaving;
}

static int stays_first(gconstpointer left, gconstpointer right)
{
    const GwLeaving *a = *(GwLeaving *const *)left;
    const GwLeaving *b = *(GwLeaving *const *)right;

    if (!a->leaves != !b->leaves)
        return a->leaves ? 1 : -1;
    int by_name = g_strcmp0(a->vm_name, b->vm_name);
    return by_name != 0 ? by_name : g_strcmp0(a->vm_uuid, b->vm_uuid);
}

GPtrArray *gw_engine_leaving(GwEngine *engine, const char *host, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwHost *found = gw_fabric_find_host(fabric, host);

    if (found == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'", host);
        return NULL;
    }
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, found->id);
    g_autoptr(GwKnownHosts) known = gw_known_hosts_new(); /* for all of them */
    GPtrArray *all = gw_record_array(&gw_leaving_record);
    for (guint i = 0; i < vms->len; i++)
        g_ptr_array_add(all, judge(fabric, vms->pdata[i], known));
    g_ptr_array_sort(all, stays_first);
    return all;
}
