/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/many.h"
#include "plan/rule.h"

/* What a drain took away comes back: to where its job's plan took it from. Whatever has changed
 * since is said, and does not keep the rest. */

static gboolean is_drain(const GwJob *job)
{
    return g_strcmp0(job->kind, GW_JOB_KIND_DRAIN) == 0 && job->plan != NULL;
}

/* Whether the plan took VMs from the host. */
static gboolean emptied(const GwJob *job, const GwHost *host)
{
    const GPtrArray *moves = job->plan->moves;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (g_strcmp0(move->source_host_id, host->id) == 0)
            return TRUE;
    }
    return FALSE;
}

/* The last drain of the host; ids sort by time. */
static const GwJob *last_drain(const GwFabric *fabric, const GwHost *host)
{
    const GwJob *last = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (is_drain(job) && emptied(job, host) && (last == NULL || strcmp(job->id, last->id) > 0))
            last = job;
    }
    return last;
}

/* Where the VM is now: the one that runs, where there are several. */
static const GwVm *find_vm(const GwFabric *fabric, const char *uuid)
{
    const GwVm *found = NULL;
    GHashTableIter iter;
    gpointer vms;

    g_hash_table_iter_init(&iter, fabric->vms);
    while (uuid != NULL && g_hash_table_iter_next(&iter, NULL, &vms)) {
        const GwVm *vm = g_hash_table_lookup(vms, uuid);
        if (vm != NULL && (found == NULL || gw_vm_is_active(vm)))
            found = vm;
    }
    return found;
}

static void note_changes(Many *many, const GwPlannedMove *move, const GwVm *vm)
{
    const char *name = gw_plan_vm_name(vm);
    gint64 memory = gw_plan_memory_kib(vm);

    if (g_strcmp0(vm->host_id, move->destination_host_id) != 0) {
        const GwHost *now = gw_fabric_host(many->fabric, vm->host_id);
        many_note(many, "%s was moved on since, to %s; it comes back from there.", name,
                  now != NULL ? gw_plan_host_name(now) : "(unknown)");
    }
    if (memory > move->memory_kib && move->memory_kib > 0) {
        g_autofree char *was = gw_plan_size(move->memory_kib);
        g_autofree char *is = gw_plan_size(memory);
        many_note(many, "%s has grown since, from %s to %s of memory.", name, was, is);
    }
}

/* One VM of the drain's plan. */
static void bring_back(Many *many, const GwPlannedMove *move, guint home)
{
    const GwVm *vm = find_vm(many->fabric, move->vm_uuid);

    if (vm == NULL) {
        many_note(many, "%s is gone: no host has it any more.", gw_plan_text(move->vm_name));
        return;
    }
    if (g_strcmp0(vm->host_id, move->source_host_id) == 0) {
        many_note(many, "%s is back on %s already.", gw_plan_vm_name(vm),
                  gw_plan_host_name(many_host(many, home)->host));
        return;
    }
    note_changes(many, move, vm);
    many_add_vm(many, vm, home);
}

static void read_job(Many *many, const GwJob *job, GHashTable *wanted)
{
    const GPtrArray *moves = job->plan->moves;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        guint home = many_host_index(many, move->source_host_id);
        if (move->state != (int)GW_PLANNED_DONE || move->vm_uuid == NULL)
            continue;
        /* Of one that made a detour the first move says where it came from. */
        if (!g_hash_table_add(seen, move->vm_uuid))
            continue;
        if (wanted != NULL && !g_hash_table_contains(wanted, move->source_host_id))
            continue;
        if (home == MANY_NONE)
            many_note(many, "%s cannot go back: %s is no longer managed.",
                      gw_plan_text(move->vm_name), gw_plan_text(move->source_host_name));
        else
            bring_back(many, move, home);
    }
}

static gboolean read_given(Many *many, GHashTable *wanted, GError **error)
{
    const GwJob *job = gw_fabric_find_job(many->fabric, many->request->undoes, error);

    if (job == NULL)
        return FALSE;
    if (!is_drain(job)) {
        gw_error_set(error, GW_ERR_INVALID, "See the drains: godwit job list.",
                     "job %s is no drain, but %s: only a drain's plan says what to bring back",
                     job->id, gw_plan_text(job->kind));
        return FALSE;
    }
    if (!gw_job_state_is_final((GwJobState)job->state)) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or cancel it: godwit job cancel.",
                     "drain %s is not over yet", job->id);
        return FALSE;
    }
    read_job(many, job, wanted);
    return TRUE;
}

gboolean many_read_undrain(Many *many, GError **error)
{
    char **names = many->request->hosts;
    g_autoptr(GHashTable) wanted = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; names != NULL && names[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(many->fabric, names[i]);
        if (host == NULL) {
            gw_error_set(error, GW_ERR_NOT_FOUND, "See the hosts: godwit host list.",
                         "there is no host '%s'", names[i]);
            return FALSE;
        }
        g_hash_table_add(wanted, host->id);
    }
    if (many->request->undoes != NULL)
        return read_given(many, g_hash_table_size(wanted) > 0 ? wanted : NULL, error);
    for (guint h = 0; h < many->hosts->len; h++) {
        const GwHost *host = many_host(many, h)->host;
        if (!g_hash_table_contains(wanted, host->id))
            continue;
        const GwJob *job = last_drain(many->fabric, host);
        g_autoptr(GHashTable) one = g_hash_table_new(g_str_hash, g_str_equal);
        g_hash_table_add(one, host->id);
        if (job == NULL)
            many_note(many, "No drain of %s is known: nothing is brought back to it.",
                      gw_plan_host_name(host));
        else
            read_job(many, job, one);
    }
    return TRUE;
}
