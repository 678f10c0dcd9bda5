/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "plan/many.h"
#include "plan/rule.h"

/* What drains took away comes back: to where the first of them took it from. Whatever has changed
 * since is said, and does not keep the rest. */

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

static void note_changes(Many *many, const ManyAway *away, const GwVm *vm)
{
    const char *name = gw_plan_vm_name(vm);
    const ManyLeft *latest = &g_array_index(away->from, ManyLeft, away->from->len - 1);
    gint64 was_kib = latest->last->memory_kib;
    gint64 memory = gw_plan_memory_kib(vm);

    if (g_strcmp0(vm->host_id, latest->last->destination_host_id) != 0) {
        const GwHost *now = gw_fabric_host(many->fabric, vm->host_id);
        many_note(many, "%s was moved on since, to %s; it comes back from there.", name,
                  now != NULL ? gw_plan_host_name(now) : "(unknown)");
    }
    if (memory > was_kib && was_kib > 0) {
        g_autofree char *was = gw_plan_size(was_kib);
        g_autofree char *is = gw_plan_size(memory);
        many_note(many, "%s has grown since, from %s to %s of memory.", name, was, is);
    }
}

/* One VM, to where it was. */
static void bring_back(Many *many, const ManyAway *away, const ManyLeft *left)
{
    const GwVm *vm = find_vm(many->fabric, away->vm_uuid);
    guint home = many_host_index(many, left->host_id);

    if (home == MANY_NONE) {
        many_note(many, "%s cannot go back: %s is no longer managed.",
                  gw_plan_text(left->first->vm_name), gw_plan_text(left->first->source_host_name));
        return;
    }
    if (vm == NULL) {
        many_note(many, "%s is gone: no host has it any more.", gw_plan_text(left->first->vm_name));
        return;
    }
    if (g_strcmp0(vm->host_id, left->host_id) == 0) {
        many_note(many, "%s is back on %s already.", gw_plan_vm_name(vm),
                  gw_plan_host_name(many_host(many, home)->host));
        return;
    }
    note_changes(many, away, vm);
    many_add_vm(many, vm, home);
}

/* @wanted: ids of hosts; NULL: all. */
static void read_history(Many *many, const ManyHistory *history, GHashTable *wanted)
{
    g_autoptr(GHashTable) named = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < history->away->len; i++) {
        const ManyAway *away = history->away->pdata[i];
        const ManyLeft *left = many_left_first(away, wanted);
        if (left == NULL)
            continue;
        bring_back(many, away, left);
        for (guint f = 0; f < away->from->len; f++)
            g_hash_table_add(named, (gpointer)g_array_index(away->from, ManyLeft, f).host_id);
    }
    for (guint h = 0; wanted != NULL && h < many->hosts->len; h++) {
        const GwHost *host = many_host(many, h)->host;
        if (!g_hash_table_contains(wanted, host->id) || g_hash_table_contains(named, host->id))
            continue;
        if (g_hash_table_contains(history->drained, host->id))
            many_note(many, "What drains took from %s was brought back already.",
                      gw_plan_host_name(host));
        else
            many_note(many, "No drain of %s is known: nothing is brought back to it.",
                      gw_plan_host_name(host));
    }
}

static gboolean read_given(Many *many, GHashTable *wanted, GError **error)
{
    const GwJob *job = gw_fabric_find_job(many->fabric, many->request->undoes, error);

    if (job == NULL)
        return FALSE;
    if (job->plan == NULL || g_strcmp0(job->kind, GW_JOB_KIND_DRAIN) != 0) {
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
    g_autoptr(ManyHistory) history = many_history_of(job);
    read_history(many, history, wanted);
    return TRUE;
}

/* Undrains under way have opened their hosts when they began. */
static void note_opened(Many *many)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, many->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->plan == NULL || job->plan->request == NULL ||
            g_strcmp0(job->kind, GW_JOB_KIND_UNDRAIN) != 0 || job->state == (int)GW_JOB_QUEUED ||
            gw_job_state_is_final((GwJobState)job->state))
            continue;
        char **hosts = job->plan->request->hosts;
        for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++) {
            guint index = many_host_index(many, hosts[i]);
            if (index != MANY_NONE)
                many_host(many, index)->opened = TRUE;
        }
    }
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
    note_opened(many);
    if (many->request->undoes != NULL)
        return read_given(many, g_hash_table_size(wanted) > 0 ? wanted : NULL, error);
    g_autoptr(ManyHistory) history = many_history_new(many->fabric);
    read_history(many, history, wanted);
    return TRUE;
}
