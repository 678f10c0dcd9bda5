/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/fabric.h"

#include <string.h>

#include "base/error.h"

/* A table's keys belong to its records, which never change while it holds them; host ids, keys of
 * the table of VM tables, are counted strings. So a copy takes references, and no memory but its
 * own. */

static GHashTable *record_table(const GwRecord *record)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, record->destroy);
}

static GHashTable *copy_table(GHashTable *table, const GwRecord *record)
{
    GHashTable *copy = record_table(record);
    GHashTableIter iter;
    gpointer id, value;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &id, &value))
        g_hash_table_insert(copy, id, gw_record_ref(value));
    return copy;
}

static void table_unref(gpointer table)
{
    g_hash_table_unref(table);
}

static void id_unref(gpointer id)
{
    g_ref_string_release(id);
}

static GHashTable *vm_tables(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, id_unref, table_unref);
}

static GHashTable *copy_vm_tables(GHashTable *tables)
{
    GHashTable *copy = vm_tables();
    GHashTableIter iter;
    gpointer id, vms;

    g_hash_table_iter_init(&iter, tables);
    while (g_hash_table_iter_next(&iter, &id, &vms))
        g_hash_table_insert(copy, g_ref_string_acquire(id), g_hash_table_ref(vms));
    return copy;
}

static GwFabric *fabric_alloc(guint64 revision)
{
    GwFabric *fabric = g_new0(GwFabric, 1);
    g_atomic_ref_count_init(&fabric->refs);
    fabric->revision = revision;
    fabric->own = g_hash_table_new(g_direct_hash, g_direct_equal);
    return fabric;
}

GwFabric *gw_fabric_new(void)
{
    GwFabric *fabric = fabric_alloc(1);
    GHashTable *const tables[] = {
        fabric->groups = record_table(&gw_group_record),
        fabric->hosts = record_table(&gw_host_record),
        fabric->shares = record_table(&gw_share_record),
        fabric->jobs = record_table(&gw_job_record),
        fabric->kept = record_table(&gw_kept_volume_record),
        fabric->rules = record_table(&gw_placement_rule_record),
        fabric->vms = vm_tables(),
    };
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        g_hash_table_add(fabric->own, tables[i]);
    return fabric;
}

GwFabric *gw_fabric_ref(GwFabric *fabric)
{
    g_atomic_ref_count_inc(&fabric->refs);
    return fabric;
}

void gw_fabric_unref(GwFabric *fabric)
{
    if (fabric == NULL || !g_atomic_ref_count_dec(&fabric->refs))
        return;
    g_hash_table_unref(fabric->groups);
    g_hash_table_unref(fabric->hosts);
    g_hash_table_unref(fabric->shares);
    g_hash_table_unref(fabric->jobs);
    g_hash_table_unref(fabric->kept);
    g_hash_table_unref(fabric->rules);
    g_hash_table_unref(fabric->vms);
    g_hash_table_unref(fabric->own);
    g_free(fabric);
}

GwFabric *gw_fabric_next(const GwFabric *fabric)
{
    GwFabric *next = fabric_alloc(fabric->revision + 1);

    next->groups = g_hash_table_ref(fabric->groups);
    next->hosts = g_hash_table_ref(fabric->hosts);
    next->shares = g_hash_table_ref(fabric->shares);
    next->jobs = g_hash_table_ref(fabric->jobs);
    next->kept = g_hash_table_ref(fabric->kept);
    next->rules = g_hash_table_ref(fabric->rules);
    next->vms = g_hash_table_ref(fabric->vms);
    return next;
}

/* Changing --------------------------------------------------------------------------------- */

/* *@table, made this picture's own: other pictures may share the one it has. */
static GHashTable *own(GwFabric *fabric, GHashTable **table, const GwRecord *record)
{
    if (g_hash_table_contains(fabric->own, *table))
        return *table;
    GHashTable *shared = *table;
    *table = record != NULL ? copy_table(shared, record) : copy_vm_tables(shared);
    g_hash_table_unref(shared);
    g_hash_table_add(fabric->own, *table);
    return *table;
}

static void set_vm_table(GwFabric *fabric, const char *host_id, GHashTable *vms)
{
    GHashTable *tables = own(fabric, &fabric->vms, NULL);

    /* Forgotten before it may be freed: the next table could get its address. */
    g_hash_table_remove(fabric->own, g_hash_table_lookup(tables, host_id));
    g_hash_table_replace(tables, g_ref_string_new(host_id), vms);
    g_hash_table_add(fabric->own, vms);
}

static GHashTable *own_vms(GwFabric *fabric, const char *host_id)
{
    GHashTable *vms = g_hash_table_lookup(fabric->vms, host_id);

    if (vms != NULL && g_hash_table_contains(fabric->own, vms))
        return vms;
    vms = vms != NULL ? copy_table(vms, &gw_vm_record) : record_table(&gw_vm_record);
    set_vm_table(fabric, host_id, vms);
    return vms;
}

void gw_fabric_put_group(GwFabric *fabric, GwGroup *group)
{
    g_hash_table_replace(own(fabric, &fabric->groups, &gw_group_record), group->id, group);
}

void gw_fabric_put_host(GwFabric *fabric, GwHost *host)
{
    g_hash_table_replace(own(fabric, &fabric->hosts, &gw_host_record), host->id, host);
}

void gw_fabric_put_share(GwFabric *fabric, GwShare *share)
{
    g_hash_table_replace(own(fabric, &fabric->shares, &gw_share_record), share->id, share);
}

void gw_fabric_put_job(GwFabric *fabric, GwJob *job)
{
    g_hash_table_replace(own(fabric, &fabric->jobs, &gw_job_record), job->id, job);
}

void gw_fabric_put_kept(GwFabric *fabric, GwKeptVolume *kept)
{
    g_hash_table_replace(own(fabric, &fabric->kept, &gw_kept_volume_record), kept->id, kept);
}

void gw_fabric_remove_kept(GwFabric *fabric, const char *id)
{
    g_hash_table_remove(own(fabric, &fabric->kept, &gw_kept_volume_record), id);
}

void gw_fabric_put_rule(GwFabric *fabric, GwPlacementRule *rule)
{
    g_hash_table_replace(own(fabric, &fabric->rules, &gw_placement_rule_record), rule->id, rule);
}

void gw_fabric_remove_rule(GwFabric *fabric, const char *id)
{
    g_hash_table_remove(own(fabric, &fabric->rules, &gw_placement_rule_record), id);
}

void gw_fabric_put_vm(GwFabric *fabric, GwVm *vm)
{
    g_hash_table_replace(own_vms(fabric, vm->host_id), vm->uuid, vm);
}

void gw_fabric_remove_vm(GwFabric *fabric, const char *host_id, const char *uuid)
{
    if (gw_fabric_vm(fabric, host_id, uuid) != NULL)
        g_hash_table_remove(own_vms(fabric, host_id), uuid);
}

static gboolean is_kept_at(gpointer id, gpointer kept, gpointer host_id)
{
    (void)id;
    return g_strcmp0(((const GwKeptVolume *)kept)->host_id, host_id) == 0;
}

static void remove_kept_of(GwFabric *fabric, const char *host_id)
{
    if (g_hash_table_find(fabric->kept, is_kept_at, (gpointer)host_id) != NULL)
        g_hash_table_foreach_remove(own(fabric, &fabric->kept, &gw_kept_volume_record), is_kept_at,
                                    (gpointer)host_id);
}

void gw_fabric_remove_host(GwFabric *fabric, const char *host_id)
{
    GHashTable *tables = own(fabric, &fabric->vms, NULL);

    g_hash_table_remove(fabric->own, g_hash_table_lookup(tables, host_id));
    g_hash_table_remove(tables, host_id);
    g_hash_table_remove(own(fabric, &fabric->hosts, &gw_host_record), host_id);
    remove_kept_of(fabric, host_id);
}

void gw_fabric_remove_group(GwFabric *fabric, const char *id)
{
    g_hash_table_remove(own(fabric, &fabric->groups, &gw_group_record), id);
}

void gw_fabric_remove_share(GwFabric *fabric, const char *id)
{
    g_hash_table_remove(own(fabric, &fabric->shares, &gw_share_record), id);
}

void gw_fabric_remove_job(GwFabric *fabric, const char *id)
{
    g_hash_table_remove(own(fabric, &fabric->jobs, &gw_job_record), id);
}

const GwHost *gw_fabric_host(const GwFabric *fabric, const char *id)
{
    return id != NULL ? g_hash_table_lookup(fabric->hosts, id) : NULL;
}

const GwVm *gw_fabric_vm(const GwFabric *fabric, const char *host_id, const char *uuid)
{
    GHashTable *vms = host_id != NULL ? g_hash_table_lookup(fabric->vms, host_id) : NULL;
    return vms != NULL && uuid != NULL ? g_hash_table_lookup(vms, uuid) : NULL;
}

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
    gpointer vms;

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

static int compare_vms(gconstpointer pa, gconstpointer pb)
{
    const GwVm *a = *(GwVm *const *)pa;
    const GwVm *b = *(GwVm *const *)pb;
    int by_name = g_strcmp0(a->name, b->name);

    if (by_name == 0)
        by_name = g_strcmp0(a->uuid, b->uuid);
    return by_name != 0 ? by_name : g_strcmp0(a->host_id, b->host_id);
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
