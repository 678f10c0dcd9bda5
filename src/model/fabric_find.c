/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "model/fabric.h"

/* Records of a picture by what a person types, and in the order of lists. */

/* Finding by what a person types --------------------------------------------------------- */

typedef const char *(*NameOf)(gconstpointer record);

static const char *host_name(gconstpointer record)
{
    return ((const GwHost *)record)->name;
}

static const char *group_name(gconstpointer record)
{
    return ((const GwGroup *)record)->name;
}

static const char *share_name(gconstpointer record)
{
    return ((const GwShare *)record)->name;
}

static const char *rule_name(gconstpointer record)
{
    return ((const GwPlacementRule *)record)->name;
}

static gconstpointer find(GHashTable *table, const char *id_or_name, NameOf name_of)
{
    GHashTableIter iter;
    gpointer value;

    if (id_or_name == NULL)
        return NULL;
    gconstpointer by_id = g_hash_table_lookup(table, id_or_name);
    if (by_id != NULL)
        return by_id;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_strcmp0(name_of(value), id_or_name) == 0)
            return value;
    }
    return NULL;
}

const GwHost *gw_fabric_find_host(const GwFabric *fabric, const char *id_or_name)
{
    return find(fabric->hosts, id_or_name, host_name);
}

const GwGroup *gw_fabric_find_group(const GwFabric *fabric, const char *id_or_name)
{
    return find(fabric->groups, id_or_name, group_name);
}

const GwShare *gw_fabric_find_share(const GwFabric *fabric, const char *id_or_name)
{
    return find(fabric->shares, id_or_name, share_name);
}

const GwPlacementRule *gw_fabric_find_rule(const GwFabric *fabric, const char *id_or_name)
{
    return find(fabric->rules, id_or_name, rule_name);
}

/* How well a VM answers for its UUID: during and after a move two hosts hold one. */
static int vm_rank(const GwVm *vm)
{
    if (gw_vm_is_running(vm) && !vm->incoming)
        return 3;
    return gw_vm_is_active(vm) && !vm->incoming ? 2 : vm->incoming ? 0 : 1;
}

typedef struct {
    const GwVm *best;
    gboolean ambiguous;
} VmSearch;

static void consider_vm(VmSearch *search, const GwVm *vm)
{
    const GwVm *best = search->best;

    if (best == NULL) {
        search->best = vm;
        return;
    }
    if (vm_rank(vm) > vm_rank(best)) {
        search->best = vm;
        search->ambiguous = FALSE;
    } else if (vm_rank(vm) == vm_rank(best)) {
        search->ambiguous = TRUE;
    }
}

static void search_host(VmSearch *search, GHashTable *vms, const char *which)
{
    GHashTableIter iter;
    gpointer vm = g_hash_table_lookup(vms, which);

    if (vm != NULL) {
        consider_vm(search, vm);
        return;
    }
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm)) {
        if (g_strcmp0(((GwVm *)vm)->name, which) == 0)
            consider_vm(search, vm);
    }
}

static void search_everywhere(VmSearch *search, const GwFabric *fabric, const char *which)
{
    GHashTableIter iter;
    const GwVm *vm;
    gpointer vms;
    guint at = 0;

    while ((vm = gw_fabric_next_vm(fabric, which, &at)) != NULL)
        consider_vm(search, vm);
    if (search->best != NULL)
        return; /* by its UUID: who asks so need not look at all names */
    g_hash_table_iter_init(&iter, fabric->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vms))
        search_host(search, vms, which);
}

static void search_qualified(VmSearch *search, const GwFabric *fabric, const char *which)
{
    const char *slash = strchr(which, '/');
    if (slash == NULL)
        return;
    g_autofree char *host_part = g_strndup(which, (gsize)(slash - which));
    const GwHost *host = gw_fabric_find_host(fabric, host_part);
    GHashTable *vms = host != NULL ? g_hash_table_lookup(fabric->vms, host->id) : NULL;
    if (vms != NULL)
        search_host(search, vms, slash + 1);
}

const GwVm *gw_fabric_find_vm(const GwFabric *fabric, const char *which, GError **error)
{
    VmSearch search = { NULL, FALSE };

    search_everywhere(&search, fabric, which);
    if (search.best == NULL)
        search_qualified(&search, fabric, which);
    if (search.best == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit vm list.",
                     "no VM '%s' on any managed host", which);
        return NULL;
    }
    if (search.ambiguous) {
        gw_error_set(error, GW_ERR_CONFLICT, "Name it as HOST/NAME or by its UUID.",
                     "several VMs answer to '%s'", which);
        return NULL;
    }
    return search.best;
}

const GwJob *gw_fabric_find_job(const GwFabric *fabric, const char *which, GError **error)
{
    const GwJob *found = which != NULL ? g_hash_table_lookup(fabric->jobs, which) : NULL;
    GHashTableIter iter;
    gpointer job;

    if (found != NULL)
        return found;
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (which != NULL && strlen(which) >= 6 && g_hash_table_iter_next(&iter, NULL, &job)) {
        if (!g_str_has_suffix(((GwJob *)job)->id, which))
            continue;
        if (found != NULL) {
            gw_error_set(error, GW_ERR_CONFLICT, "Give more characters of its id.",
                         "several jobs end in '%s'", which);
            return NULL;
        }
        found = job;
    }
    if (found == NULL)
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit job list.", "no job '%s'",
                     which != NULL ? which : "");
    return found;
}

const GwJob *gw_fabric_job_of_host(const GwFabric *fabric, const char *id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!gw_job_state_is_final(job->state) && (g_strcmp0(job->source_host_id, id) == 0 ||
                                                   g_strcmp0(job->destination_host_id, id) == 0))
            return job;
    }
    return NULL;
}

const GwJob *gw_fabric_job_of_vm(const GwFabric *fabric, const char *uuid)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!gw_job_state_is_final(job->state) && g_strcmp0(job->vm_uuid, uuid) == 0)
            return job;
    }
    return NULL;
}

/* Lists ---------------------------------------------------------------------------------- */

static void add_values(GPtrArray *list, GHashTable *table)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_ptr_array_add(list, value);
}

static GPtrArray *sorted(GHashTable *table, GCompareFunc compare)
{
    GPtrArray *list = g_ptr_array_new();
    add_values(list, table);
    g_ptr_array_sort(list, compare);
    return list;
}

#define COMPARE(function, Type, a_expr, b_expr)                                                    \
    static int function(gconstpointer pa, gconstpointer pb)                                        \
    {                                                                                              \
        const Type *a = *(Type *const *)pa;                                                        \
        const Type *b = *(Type *const *)pb;                                                        \
        return g_strcmp0(a_expr, b_expr);                                                          \
    }
COMPARE(compare_groups, GwGroup, a->name, b->name)
COMPARE(compare_hosts, GwHost, a->name, b->name)
COMPARE(compare_shares, GwShare, a->name, b->name)
COMPARE(compare_rules, GwPlacementRule, a->name, b->name)
COMPARE(compare_jobs, GwJob, b->id, a->id)
#undef COMPARE

static int compare_two_vms(const GwVm *a, const GwVm *b)
{
    int by_name = g_strcmp0(a->name, b->name);

    if (by_name == 0)
        by_name = g_strcmp0(a->uuid, b->uuid);
    return by_name != 0 ? by_name : g_strcmp0(a->host_id, b->host_id);
}

static int compare_vms(gconstpointer pa, gconstpointer pb)
{
    return compare_two_vms(*(GwVm *const *)pa, *(GwVm *const *)pb);
}

const GwVm *gw_fabric_first_vm(const GwVm *a, const GwVm *b)
{
    return a == NULL || compare_two_vms(b, a) < 0 ? b : a;
}

GPtrArray *gw_fabric_list_groups(const GwFabric *fabric)
{
    return sorted(fabric->groups, compare_groups);
}

GPtrArray *gw_fabric_list_hosts(const GwFabric *fabric)
{
    return sorted(fabric->hosts, compare_hosts);
}

GPtrArray *gw_fabric_list_shares(const GwFabric *fabric)
{
    return sorted(fabric->shares, compare_shares);
}

GPtrArray *gw_fabric_list_rules(const GwFabric *fabric)
{
    return sorted(fabric->rules, compare_rules);
}

GPtrArray *gw_fabric_list_jobs(const GwFabric *fabric)
{
    return sorted(fabric->jobs, compare_jobs);
}

GPtrArray *gw_fabric_list_vms(const GwFabric *fabric, const char *host_id)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer id, vms;

    g_hash_table_iter_init(&iter, fabric->vms);
    while (g_hash_table_iter_next(&iter, &id, &vms)) {
        if (host_id == NULL || strcmp(id, host_id) == 0)
            add_values(list, vms);
    }
    g_ptr_array_sort(list, compare_vms);
    return list;
}

static int compare_kept(gconstpointer left, gconstpointer right)
{
    const GwKeptVolume *a = *(GwKeptVolume *const *)left, *b = *(GwKeptVolume *const *)right;
    return strcmp(b->id, a->id);
}

GPtrArray *gw_fabric_list_kept(const GwFabric *fabric)
{
    return sorted(fabric->kept, compare_kept);
}
