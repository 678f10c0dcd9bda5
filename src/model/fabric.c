/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/fabric.h"

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
    fabric->places = gw_vm_places_new();
    g_hash_table_add(fabric->own, fabric->places);
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
    gw_vm_places_unref(fabric->places);
    g_hash_table_unref(fabric->own);
    g_free(fabric);
}

GwFabric *gw_fabric_next(const GwFabric *fabric)
{
    GwFabric *next = fabric_alloc(fabric->revision + 1);

    next->wall_us = fabric->wall_us;
    next->groups = g_hash_table_ref(fabric->groups);
    next->hosts = g_hash_table_ref(fabric->hosts);
    next->shares = g_hash_table_ref(fabric->shares);
    next->jobs = g_hash_table_ref(fabric->jobs);
    next->kept = g_hash_table_ref(fabric->kept);
    next->rules = g_hash_table_ref(fabric->rules);
    next->vms = g_hash_table_ref(fabric->vms);
    next->places = gw_vm_places_ref(fabric->places);
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

static GwVmPlaces *own_places(GwFabric *fabric)
{
    GwVmPlaces *shared = fabric->places;

    if (g_hash_table_contains(fabric->own, shared))
        return shared;
    fabric->places = gw_vm_places_copy(shared);
    gw_vm_places_unref(shared);
    g_hash_table_add(fabric->own, fabric->places);
    return fabric->places;
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
    GHashTable *vms = own_vms(fabric, vm->host_id);

    if (g_hash_table_lookup(vms, vm->uuid) == NULL)
        gw_vm_places_add(own_places(fabric), vm->uuid, vm->host_id);
    g_hash_table_replace(vms, vm->uuid, vm);
}

void gw_fabric_remove_vm(GwFabric *fabric, const char *host_id, const char *uuid)
{
    if (gw_fabric_vm(fabric, host_id, uuid) == NULL)
        return;
    gw_vm_places_remove(own_places(fabric), uuid, host_id);
    g_hash_table_remove(own_vms(fabric, host_id), uuid);
}

static void remove_places_of(GwFabric *fabric, const char *host_id)
{
    GHashTable *vms = g_hash_table_lookup(fabric->vms, host_id);
    GHashTableIter iter;
    gpointer uuid;

    if (vms == NULL)
        return;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        gw_vm_places_remove(own_places(fabric), uuid, host_id);
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

    remove_places_of(fabric, host_id);
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

const GwVm *gw_fabric_next_vm(const GwFabric *fabric, const char *uuid, guint *at)
{
    const char *host_id = uuid != NULL ? gw_vm_places_next(fabric->places, uuid, at) : NULL;
    return host_id != NULL ? gw_fabric_vm(fabric, host_id, uuid) : NULL;
}
