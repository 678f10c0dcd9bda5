/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Pools, volumes and files as the fabric's file describes them, and those that its VMs imply. */

#define GIB ((gint64)1024 * 1024 * 1024)
#define CAPACITY_DEFAULT (10 * GIB)
#define ALLOCATION_DEFAULT (1 * GIB)
#define STATE_BYTES ((gint64)540672)
#define POOL_DEFAULT (1024 * GIB)

static gboolean wrong(GError **error, const char *words)
{
    gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.", "%s", words);
    return FALSE;
}

/* Details of an image that another host's pool, or a VM, brought before. */
static void put_image(GwSim *sim, SimStore *store, const char *name, const GwVolume *volume)
{
    SimImage *image = gw_sim_add_image(sim, store, name, volume);
    GwVolume *own = image->volume;

    image->from_start = image->written = TRUE;
    if (own->format == NULL)
        own->format = g_strdup("raw");
    if (own->kind == NULL)
        own->kind = g_strdup("file");
    if (own->capacity_bytes == 0)
        own->capacity_bytes = CAPACITY_DEFAULT;
    gint64 bytes = volume->allocation_bytes > 0 ? volume->allocation_bytes
                                                : MIN(ALLOCATION_DEFAULT, own->capacity_bytes);
    if (own->length_bytes == 0)
        own->length_bytes = strcmp(own->format, "raw") == 0 ? own->capacity_bytes : bytes;
    gint64 room = store->capacity_bytes;
    store->capacity_bytes = 0; /* what is there fits */
    gw_sim_allocate(sim, image, bytes);
    store->capacity_bytes = room;
}

static gboolean load_volumes(GwSim *sim, SimStore *store, json_t *list, GError **error)
{
    for (gsize i = 0; i < json_array_size(list); i++) {
        g_autoptr(GwVolume) volume =
            gw_record_from_json(&gw_volume_record, json_array_get(list, i), error);
        if (volume == NULL || !gw_volume_check_name(volume->name, error))
            return FALSE;
        if (!g_hash_table_contains(store->images, volume->name))
            put_image(sim, store, volume->name, volume);
    }
    return TRUE;
}

/* Takes from @json what the pool's record does not know. */
static gboolean load_pool(GwSim *sim, SimHost *host, json_t *json, GError **error)
{
    g_autoptr(GwJson) volumes = json_incref(json_object_get(json, "volumes"));
    const char *storage = json_string_value(json_object_get(json, "storage"));
    gboolean told = json_object_get(json, "available_bytes") != NULL;
    g_autofree char *key = g_strdup(storage);

    if (json_object_get(json, "storage") != NULL && storage == NULL)
        return wrong(error, "'storage' of a pool is a text");
    if (volumes != NULL && !json_is_array(volumes))
        return wrong(error, "'volumes' of a pool is a list");
    json_object_del(json, "volumes");
    json_object_del(json, "storage");
    g_autoptr(GwPool) pool = gw_record_from_json(&gw_pool_record, json, error);
    if (pool == NULL)
        return FALSE;
    if (pool->name == NULL)
        return wrong(error, "a pool needs a name");
    if (key != NULL)
        g_hash_table_replace(host->storages, g_strdup(pool->name), g_steal_pointer(&key));
    SimStore *store = gw_sim_store_of_pool(sim, host, pool);
    if (store->capacity_bytes == 0 && pool->capacity_bytes > 0) {
        store->capacity_bytes = pool->capacity_bytes;
        store->other_bytes = told ? pool->capacity_bytes - pool->available_bytes : -1;
    }
    return load_volumes(sim, store, volumes, error);
}

gboolean gw_sim_load_pools(GwSim *sim, SimHost *host, json_t *facts, GError **error)
{
    json_t *pools = json_object_get(facts, "pools");

    if (pools != NULL && !json_is_array(pools))
        return wrong(error, "'pools' is a list");
    for (gsize i = 0; i < json_array_size(pools); i++) {
        if (!json_is_object(json_array_get(pools, i)))
            return wrong(error, "a pool is an object");
        if (!load_pool(sim, host, json_array_get(pools, i), error))
            return FALSE;
    }
    return TRUE;
}

static gboolean load_file(GwSim *sim, SimHost *host, json_t *entry, GError **error)
{
    g_autoptr(GwJson) json = json_deep_copy(entry);
    g_autofree char *storage = g_strdup(json_string_value(json_object_get(json, "storage")));
    json_object_del(json, "storage");
    g_autoptr(GwVolume) file = gw_record_from_json(&gw_volume_record, json, error);

    if (file == NULL)
        return FALSE;
    if (file->path == NULL || file->path[0] != '/')
        return wrong(error, "a file needs an absolute 'path'");
    g_autofree char *key = g_strconcat("storage:", storage, NULL);
    SimStore *store = storage != NULL ? gw_sim_store(sim, key) : host->own;
    if (storage != NULL)
        g_hash_table_replace(host->files, g_strdup(file->path), store);
    if (!g_hash_table_contains(store->images, file->path))
        put_image(sim, store, file->path, file);
    return TRUE;
}

gboolean gw_sim_load_files(GwSim *sim, SimHost *host, json_t *json, GError **error)
{
    json_t *files = json_object_get(json, "files");
    json_t *servers = json_object_get(json, "reaches");
    g_autofree char *key = g_strconcat("host:", host->uri, NULL);

    host->own = gw_sim_store(sim, key);
    for (gsize i = 0; i < json_array_size(files); i++) {
        if (!load_file(sim, host, json_array_get(files, i), error))
            return FALSE;
    }
    if (servers == NULL)
        return TRUE;
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    for (gsize i = 0; i < json_array_size(servers); i++) {
        const char *name = json_string_value(json_array_get(servers, i));
        if (name == NULL)
            return wrong(error, "'reaches' is a list of servers");
        g_strv_builder_add(names, name);
    }
    host->reaches = g_strv_builder_end(names);
    return TRUE;
}

/* What VMs imply --------------------------------------------------------------------------- */

static void imply(GwSim *sim, const SimHost *host, const char *path, const char *server,
                  const GwVolume *like)
{
    g_autofree char *name = NULL;

    if (path == NULL || *path == '\0')
        return;
    SimStore *store = gw_sim_resolve(sim, host, path, server, &name);
    if (!g_hash_table_contains(store->images, name))
        put_image(sim, store, name, like);
}

static void imply_disk(GwSim *sim, const SimHost *host, const GwDisk *disk)
{
    GwVolume like = {
        .format = disk->format,
        .kind = disk->type,
        .server = disk->source_host,
        .capacity_bytes = disk->capacity_bytes,
        .backing_path = disk->backing_path,
        .backing_format = disk->backing_path != NULL ? (char *)"qcow2" : NULL,
    };
    GwVolume lower = { .format = like.backing_format, .capacity_bytes = disk->capacity_bytes };

    imply(sim, host, disk->backing_path, disk->source_host, &lower);
    imply(sim, host, disk->source, disk->source_host, &like);
}

static void imply_of_vm(GwSim *sim, const SimHost *host, const GwVm *vm)
{
    GwVolume state = { .format = vm->nvram_format,
                       .capacity_bytes = STATE_BYTES,
                       .allocation_bytes = STATE_BYTES };

    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++)
        imply_disk(sim, host, vm->disks->pdata[i]);
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *path = gw_sim_state_path(vm, gw_sim_states[i]);
        state.kind = i == 0 ? (char *)"file" : (char *)"directory";
        imply(sim, host, path, NULL, &state);
    }
}

static void imply_one(GwSim *sim, const SimHost *host, SimVm *vm, gpointer unused)
{
    imply_of_vm(sim, host, vm->vm);
}

static void know_one(GwSim *sim, const SimHost *host, SimVm *vm, gpointer unused)
{
    gw_sim_know_contents(sim, host, vm);
}

static void run_one(GwSim *sim, const SimHost *host, SimVm *vm, gpointer unused)
{
    if (gw_vm_is_running(vm->vm))
        gw_sim_runs(sim, host, vm);
}

static void bind_images(GwSim *sim, const SimHost *host, const SimStore *store)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, store->images);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SimImage *image = value;
        const SimImage *lower = image->below == 0 && image->volume->backing_path != NULL
                                    ? gw_sim_image_below(sim, host, image)
                                    : NULL;
        if (lower != NULL)
            image->below = lower->content;
    }
}

/* Every image says what it needs of the one below it. Chains are seen from any host that has them:
 * another one may have another storage at the same path. */
static void bind_chains(GwSim *sim, const SimHost *host)
{
    const GPtrArray *pools = host->facts->pools;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_direct_hash, g_direct_equal);
    GHashTableIter iter;
    gpointer store;

    for (guint i = 0; pools != NULL && i < pools->len; i++)
        g_hash_table_add(seen, gw_sim_store_of_pool(sim, host, pools->pdata[i]));
    g_hash_table_iter_init(&iter, host->files);
    while (g_hash_table_iter_next(&iter, NULL, &store))
        g_hash_table_add(seen, store);
    g_hash_table_add(seen, host->own);
    g_hash_table_add(seen, gw_sim_store(sim, "network"));
    g_hash_table_iter_init(&iter, seen);
    while (g_hash_table_iter_next(&iter, &store, NULL)) {
        if (store != NULL)
            bind_images(sim, host, store);
    }
}

static void bind_space(SimStore *store)
{
    if (g_str_has_prefix(store->key, "host:") || strcmp(store->key, "network") == 0)
        return;
    if (store->capacity_bytes == 0)
        store->capacity_bytes = POOL_DEFAULT + store->used_bytes;
    else if (store->other_bytes >= 0)
        store->other_bytes = MAX(0, store->other_bytes - store->used_bytes);
    else
        store->other_bytes = 0;
}

void gw_sim_load_disks_of(GwSim *sim, const SimHost *host, const SimVm *vm)
{
    imply_of_vm(sim, host, vm->vm);
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        SimImage *image = gw_sim_image_of_disk(sim, host, vm->vm->disks->pdata[i]);
        const SimImage *lower = image != NULL && image->volume->backing_path != NULL
                                    ? gw_sim_image_below(sim, host, image)
                                    : NULL;
        if (lower != NULL)
            image->below = lower->content;
    }
    gw_sim_know_contents(sim, host, vm);
}

void gw_sim_load_disks(GwSim *sim)
{
    GHashTableIter iter;
    gpointer store;

    gw_sim_each_vm(sim, imply_one, NULL);
    for (guint i = 0; i < sim->hosts->len; i++)
        bind_chains(sim, sim->hosts->pdata[i]);
    g_hash_table_iter_init(&iter, sim->stores);
    while (g_hash_table_iter_next(&iter, NULL, &store))
        bind_space(store);
    gw_sim_each_vm(sim, know_one, NULL);
    gw_sim_each_vm(sim, run_one, NULL);
}
