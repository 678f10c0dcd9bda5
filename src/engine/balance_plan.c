/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/plans_internal.h"

/* Balances of host groups beside everything else: what they wait for, and what is left of one. All
 * that is known of earlier ones is in their jobs. */

static gboolean is_of_group(const GwFabric *fabric, const GwJob *job, const GwGroup *group)
{
    const GwPlanRequest *request = job->plan != NULL ? job->plan->request : NULL;

    if (g_strcmp0(job->kind, GW_JOB_KIND_BALANCE) != 0 || request == NULL || request->group == NULL)
        return FALSE;
    const GwGroup *its = gw_fabric_find_group(fabric, request->group);
    return its != NULL && strcmp(its->id, group->id) == 0;
}

static gboolean is_within(const GwFabric *fabric, const char *host_id, const GwGroup *group)
{
    const GwHost *host = host_id != NULL ? gw_fabric_host(fabric, host_id) : NULL;
    return host != NULL && gw_plan_is_balanced_with(fabric, host, group);
}

/* Whether the job empties, fills, enters or leaves a host that is balanced with the group. */
static gboolean concerns(const GwFabric *fabric, const GwJob *job, const GwGroup *group)
{
    const GwPlanRequest *request = job->plan != NULL ? job->plan->request : NULL;
    char **hosts = request != NULL ? request->hosts : NULL;

    for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++) {
        if (is_within(fabric, hosts[i], group))
            return TRUE;
    }
    return is_of_group(fabric, job, group) || is_within(fabric, job->source_host_id, group) ||
           is_within(fabric, job->destination_host_id, group);
}

/* The oldest job that is in the way; ids sort by time. @plans: only those that carry out plans. */
static const GwJob *job_in_the_way(const GwFabric *fabric, const GwGroup *group, gboolean plans)
{
    const GwJob *found = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (gw_job_state_is_final((GwJobState)job->state) || (plans && job->plan == NULL) ||
            (found != NULL && strcmp(found->id, job->id) < 0) || !concerns(fabric, job, group))
            continue;
        found = job;
    }
    return found;
}

/* What a host that does not answer holds is not known. One in maintenance may be switched off. */
static const GwHost *silent_host(GwEngine *engine, const GwFabric *fabric, const GwGroup *group)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);

    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        gboolean answers =
            gw_plans_is_answering(engine, host->id) &&
            (host->status == (int)GW_HOST_OK || host->status == (int)GW_HOST_OK_LIMITED);
        if (!answers && host->maintenance == (int)GW_MAINTENANCE_NONE &&
            gw_plan_is_balanced_with(fabric, host, group))
            return host;
    }
    return NULL;
}

char *gw_balance_waits(GwEngine *engine, const GwFabric *fabric, const GwGroup *group)
{
    const GwJob *job = job_in_the_way(fabric, group, FALSE);
    const GwHost *host = job == NULL ? silent_host(engine, fabric, group) : NULL;

    if (job != NULL)
        return g_strdup_printf("the job '%s'", job->title);
    return host != NULL ? g_strdup_printf("host '%s' to answer", host->name) : NULL;
}

const char *gw_balance_last(const GwFabric *fabric, const GwGroup *group)
{
    const char *last = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->finished_at != NULL && (last == NULL || strcmp(job->finished_at, last) > 0) &&
            is_of_group(fabric, job, group))
            last = job->finished_at;
    }
    return last;
}

gboolean gw_balance_may_begin(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    const GwGroup *group =
        plan->request->group != NULL ? gw_fabric_find_group(fabric, plan->request->group) : NULL;

    if (group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "See the host groups: godwit group list.",
                     "the plan's host group is not there any more");
        return FALSE;
    }
    const GwJob *job = job_in_the_way(fabric, group, TRUE);
    if (job == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or cancel it: godwit job list.",
                 "the job '%s' is under way for hosts of '%s'", job->title, group->name);
    return FALSE;
}

gboolean gw_balance_leave_rest(const GwFabric *fabric, const GwMigrationPlan *plan,
                               GwPlanRequest *request)
{
    g_autoptr(GStrvBuilder) left = g_strv_builder_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    /* From the end: what became of a VM's last try is what counts. */
    for (guint i = plan->moves != NULL ? plan->moves->len : 0; i > 0; i--) {
        const GwPlannedMove *move = plan->moves->pdata[i - 1];
        if (move->vm_uuid == NULL || !g_hash_table_add(seen, move->vm_uuid))
            continue;
        if (gw_fabric_find_vm(fabric, move->vm_uuid, NULL) == NULL)
            continue; /* it has gone since */
        if (move->state == (int)GW_PLANNED_WAITING || move->state == (int)GW_PLANNED_FAILED)
            g_strv_builder_add(left, move->vm_uuid);
    }
    g_strfreev(request->vms);
    request->vms = g_strv_builder_end(left);
    return request->vms[0] != NULL;
}
