/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"

/* Where drains took VMs from, and which of those have come back since: by the jobs that are
 * remembered, the oldest first. Only moves that were done count. */

static gboolean is_kind(const GwJob *job, const char *kind)
{
    return job->plan != NULL && g_strcmp0(job->kind, kind) == 0;
}

static ManyAway *away_of(ManyHistory *history, const char *vm_uuid)
{
    ManyAway *away = g_hash_table_lookup(history->by_vm, vm_uuid);

    if (away == NULL) {
        away = g_new0(ManyAway, 1);
        away->vm_uuid = vm_uuid;
        away->from = g_array_new(FALSE, FALSE, sizeof(ManyLeft));
        g_ptr_array_add(history->away, away);
        g_hash_table_insert(history->by_vm, (gpointer)vm_uuid, away);
    }
    return away;
}

static guint find_left(const ManyAway *away, const char *host_id)
{
    for (guint i = 0; i < away->from->len; i++) {
        if (g_strcmp0(g_array_index(away->from, ManyLeft, i).host_id, host_id) == 0)
            return i;
    }
    return MANY_NONE;
}

/* What it left after that host does not count any more. FALSE: no drain took it from there. */
static gboolean comes_back(ManyHistory *history, const char *vm_uuid, const char *host_id)
{
    const ManyAway *away = g_hash_table_lookup(history->by_vm, vm_uuid);
    guint left = away != NULL ? find_left(away, host_id) : MANY_NONE;

    if (left == MANY_NONE)
        return FALSE;
    g_array_set_size(away->from, left);
    return TRUE;
}

/* A host to which others came is lived in again: its next drain begins anew. */
static void arrives(ManyHistory *history, const char *vm_uuid, const char *host_id)
{
    if (!comes_back(history, vm_uuid, host_id))
        g_hash_table_add(history->filled, (gpointer)host_id);
}

static void forget_host(ManyHistory *history, const char *host_id)
{
    for (guint i = 0; i < history->away->len; i++) {
        const ManyAway *away = history->away->pdata[i];
        guint left = find_left(away, host_id);
        if (left != MANY_NONE)
            g_array_remove_index(away->from, left);
    }
}

/* The done moves of one job's plan: of each VM the first and the last. Of ManyLeft. */
static GArray *list_moved(const GwMigrationPlan *plan)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(ManyLeft));
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (move->state != (int)GW_PLANNED_DONE || move->vm_uuid == NULL ||
            move->source_host_id == NULL || move->destination_host_id == NULL)
            continue;
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(seen, move->vm_uuid));
        if (number > 0) {
            g_array_index(list, ManyLeft, number - 1).last = move;
            continue;
        }
        ManyLeft left = { .host_id = move->source_host_id, .first = move, .last = move };
        g_array_append_val(list, left);
        g_hash_table_insert(seen, move->vm_uuid, GUINT_TO_POINTER(list->len));
    }
    return list;
}

static void read_drain(ManyHistory *history, const GwJob *job)
{
    g_autoptr(GArray) moved = list_moved(job->plan);

    for (guint i = 0; i < moved->len; i++) {
        const ManyLeft *left = &g_array_index(moved, ManyLeft, i);
        if (g_hash_table_remove(history->filled, left->host_id))
            forget_host(history, left->host_id);
    }
    for (guint i = 0; i < moved->len; i++) {
        const ManyLeft *left = &g_array_index(moved, ManyLeft, i);
        g_hash_table_add(history->drained, (gpointer)left->host_id);
        comes_back(history, left->first->vm_uuid, left->host_id); /* by whatever way */
        g_array_append_val(away_of(history, left->first->vm_uuid)->from, *left);
        arrives(history, left->first->vm_uuid, left->last->destination_host_id);
    }
}

static void read_undrain(ManyHistory *history, const GwFabric *fabric, const GwJob *job)
{
    g_autoptr(GArray) moved = list_moved(job->plan);
    const GwPlanRequest *request = job->plan->request;

    for (guint i = 0; i < moved->len; i++) {
        const ManyLeft *left = &g_array_index(moved, ManyLeft, i);
        comes_back(history, left->first->vm_uuid, left->last->destination_host_id);
    }
    /* Over and done: what it did not find does not come back years later. */
    if (job->state != (int)GW_JOB_DONE || request == NULL || request->undoes != NULL)
        return;
    for (guint i = 0; request->hosts != NULL && request->hosts[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(fabric, request->hosts[i]);
        if (host != NULL)
            forget_host(history, host->id);
    }
}

/* A move that no plan of these made: by hand, or of several chosen by hand. */
static void read_move(ManyHistory *history, const GwFabric *fabric, const GwJob *job)
{
    const GwJob *whole =
        job->part_of != NULL ? g_hash_table_lookup(fabric->jobs, job->part_of) : NULL;

    if (job->vm_uuid == NULL || job->state != (int)GW_JOB_DONE ||
        job->destination_host_id == NULL ||
        g_strcmp0(job->source_host_id, job->destination_host_id) == 0 ||
        (whole != NULL &&
         (is_kind(whole, GW_JOB_KIND_DRAIN) || is_kind(whole, GW_JOB_KIND_UNDRAIN))))
        return;
    arrives(history, job->vm_uuid, job->destination_host_id);
}

/* Ids sort by time. */
static int by_id(gconstpointer a, gconstpointer b)
{
    return strcmp((*(GwJob *const *)a)->id, (*(GwJob *const *)b)->id);
}

static void away_free(gpointer data)
{
    ManyAway *away = data;

    g_array_unref(away->from);
    g_free(away);
}

static ManyHistory *empty_history(void)
{
    ManyHistory *history = g_new0(ManyHistory, 1);

    history->away = g_ptr_array_new_with_free_func(away_free);
    history->by_vm = g_hash_table_new(g_str_hash, g_str_equal);
    history->drained = g_hash_table_new(g_str_hash, g_str_equal);
    history->filled = g_hash_table_new(g_str_hash, g_str_equal);
    return history;
}

ManyHistory *many_history_new(const GwFabric *fabric)
{
    ManyHistory *history = empty_history();
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    g_ptr_array_sort(jobs, by_id);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (is_kind(job, GW_JOB_KIND_DRAIN))
            read_drain(history, job);
        else if (is_kind(job, GW_JOB_KIND_UNDRAIN))
            read_undrain(history, fabric, job);
        else
            read_move(history, fabric, job);
    }
    return history;
}

ManyHistory *many_history_of(const GwJob *drain)
{
    ManyHistory *history = empty_history();

    read_drain(history, drain);
    return history;
}

void many_history_free(ManyHistory *history)
{
    g_ptr_array_unref(history->away);
    g_hash_table_unref(history->by_vm);
    g_hash_table_unref(history->drained);
    g_hash_table_unref(history->filled);
    g_free(history);
}

const ManyLeft *many_left_first(const ManyAway *away, GHashTable *wanted)
{
    for (guint i = 0; i < away->from->len; i++) {
        const ManyLeft *left = &g_array_index(away->from, ManyLeft, i);
        if (wanted == NULL || g_hash_table_contains(wanted, left->host_id))
            return left;
    }
    return NULL;
}
