/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/sim_storage.h"

#include <string.h>

/* Storages and the images in them. A host sees an image by the path that its own pool gives it. */

#define CHAIN_MAX 64

/* Images ----------------------------------------------------------------------------------- */

SimImage *gw_sim_image_ref(SimImage *image)
{
    return g_rc_box_acquire(image);
}

static void image_clear(gpointer data)
{
    SimImage *image = data;
    g_free(image->name);
    gw_volume_free(image->volume);
}

void gw_sim_image_unref(gpointer image)
{
    if (image != NULL)
        g_rc_box_release_full(image, image_clear);
}

SimImage *gw_sim_add_image(GwSim *sim, SimStore *store, const char *name, const GwVolume *like)
{
    SimImage *image = g_rc_box_new0(SimImage);

    image->store = store;
    image->name = g_strdup(name);
    image->volume = gw_volume_copy(like);
    g_clear_pointer(&image->volume->pool, g_free);
    g_clear_pointer(&image->volume->name, g_free);
    g_clear_pointer(&image->volume->path, g_free);
    image->volume->allocation_bytes = 0;
    image->content = gw_sim_new_content(sim);
    g_hash_table_replace(store->images, image->name, image);
    return image;
}

void gw_sim_remove_image(SimImage *image)
{
    image->store->used_bytes -= image->volume->allocation_bytes;
    image->gone = TRUE;
    g_hash_table_remove(image->store->images, image->name);
}

/* Storages --------------------------------------------------------------------------------- */

void gw_sim_store_free(gpointer data)
{
    SimStore *store = data;
    g_free(store->key);
    g_hash_table_unref(store->images);
    g_free(store);
}

SimStore *gw_sim_store(GwSim *sim, const char *key)
{
    SimStore *store = g_hash_table_lookup(sim->stores, key);

    if (store == NULL) {
        store = g_new0(SimStore, 1);
        store->key = g_strdup(key);
        store->images = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_sim_image_unref);
        g_hash_table_replace(sim->stores, store->key, store);
    }
    return store;
}

gint64 gw_sim_available(const GwSim *sim, const SimStore *store)
{
    if (gw_clock_now_us(sim->clock) < store->full_until_us)
        return 0;
    if (store->capacity_bytes == 0)
        return G_MAXINT64;
    return MAX(0, store->capacity_bytes - store->other_bytes - store->used_bytes);
}

gboolean gw_sim_allocate(const GwSim *sim, SimImage *image, gint64 bytes)
{
    gint64 more = bytes - image->volume->allocation_bytes;

    if (!image->gone && more > 0 && more > gw_sim_available(sim, image->store))
        return FALSE;
    image->volume->allocation_bytes = bytes;
    image->volume->length_bytes = MAX(image->volume->length_bytes, bytes);
    if (!image->gone)
        image->store->used_bytes += more;
    return TRUE;
}

const GwPool *gw_sim_pool(const SimHost *host, const char *name)
{
    return gw_record_find(&gw_pool_record, host->facts->pools, "name", name);
}

SimStore *gw_sim_store_of_pool(GwSim *sim, const SimHost *host, const GwPool *pool)
{
    const char *said = g_hash_table_lookup(host->storages, pool->name);
    g_autofree char *key = said != NULL ? g_strconcat("storage:", said, NULL)
                           : pool->source != NULL
                               ? g_strconcat("source:", pool->source, NULL)
                               : g_strdup_printf("pool:%s/%s", host->uri, pool->name);
    return gw_sim_store(sim, key);
}

GwPool *gw_sim_pool_answer(GwSim *sim, const SimHost *host, const GwPool *pool)
{
    const SimStore *store = gw_sim_store_of_pool(sim, host, pool);
    GwPool *answer = gw_pool_copy(pool);

    answer->capacity_bytes = pool->active ? store->capacity_bytes : 0;
    answer->available_bytes = pool->active ? gw_sim_available(sim, store) : 0;
    return answer;
}

/* Paths ------------------------------------------------------------------------------------ */

static char *folder_of(const GwPool *pool)
{
    return pool->target_path != NULL ? g_strdup(pool->target_path)
                                     : g_strconcat("/pools/", pool->name, NULL);
}

/* What of @path lies below @folder; NULL: it does not. */
static const char *below(const char *path, const char *folder)
{
    gsize length = strlen(folder);

    while (length > 0 && folder[length - 1] == '/')
        length--;
    return strncmp(path, folder, length) == 0 && path[length] == '/' && path[length + 1] != '\0'
               ? path + length + 1
               : NULL;
}

static const GwPool *pool_of_path(const SimHost *host, const char *path, const char **name)
{
    const GwPool *deepest = NULL;

    for (guint i = 0; host->facts->pools != NULL && i < host->facts->pools->len; i++) {
        const GwPool *pool = host->facts->pools->pdata[i];
        g_autofree char *folder = folder_of(pool);
        const char *rest = pool->active ? below(path, folder) : NULL;
        if (rest != NULL && (deepest == NULL || strlen(rest) < strlen(*name))) {
            deepest = pool;
            *name = rest;
        }
    }
    return deepest;
}

SimStore *gw_sim_resolve(GwSim *sim, const SimHost *host, const char *path, const char *server,
                         char **name)
{
    const char *slash = path[0] != '/' && strchr(path, ':') == NULL ? strchr(path, '/') : NULL;
    const char *rest = NULL;

    if (slash != NULL) { /* pool/volume */
        g_autofree char *pool = g_strndup(path, (gsize)(slash - path));
        const GwPool *named = gw_sim_pool(host, pool);
        *name = g_strdup(slash + 1);
        return named != NULL ? gw_sim_store_of_pool(sim, host, named) : host->own;
    }
    if (path[0] != '/') {
        *name = g_strdup_printf("%s/%s", server != NULL ? server : "", path);
        return gw_sim_store(sim, "network");
    }
    SimStore *elsewhere = g_hash_table_lookup(host->files, path);
    const GwPool *pool = elsewhere == NULL ? pool_of_path(host, path, &rest) : NULL;
    *name = g_strdup(pool != NULL ? rest : path);
    if (pool != NULL)
        return gw_sim_store_of_pool(sim, host, pool);
    return elsewhere != NULL ? elsewhere : host->own;
}

SimImage *gw_sim_image_at(GwSim *sim, const SimHost *host, const char *path, const char *server)
{
    g_autofree char *name = NULL;

    if (path == NULL || *path == '\0')
        return NULL;
    const SimStore *store = gw_sim_resolve(sim, host, path, server, &name);
    return g_hash_table_lookup(store->images, name);
}

char *gw_sim_path_of(const SimHost *host, const GwVolume *volume)
{
    const GwPool *pool = volume->pool != NULL ? gw_sim_pool(host, volume->pool) : NULL;

    if (volume->pool == NULL || volume->name == NULL)
        return g_strdup(volume->path);
    if (pool == NULL)
        return NULL;
    g_autofree char *folder = folder_of(pool);
    return g_build_filename(folder, volume->name, NULL);
}

SimImage *gw_sim_image_of(GwSim *sim, const SimHost *host, const GwVolume *volume)
{
    g_autofree char *path = gw_sim_path_of(host, volume);
    return gw_sim_image_at(sim, host, path, volume->server);
}

SimImage *gw_sim_image_of_disk(GwSim *sim, const SimHost *host, const GwDisk *disk)
{
    return gw_sim_image_at(sim, host, disk->source, disk->source_host);
}

SimImage *gw_sim_image_below(GwSim *sim, const SimHost *host, const SimImage *image)
{
    return gw_sim_image_at(sim, host, image->volume->backing_path, image->volume->server);
}

const char *const gw_sim_states[] = { "nvram", "tpm", NULL };

char *gw_sim_state_path(const GwVm *vm, const char *target)
{
    if (strcmp(target, "nvram") == 0)
        return g_strdup(vm->nvram);
    if (g_strcmp0(vm->tpm, "emulator") == 0)
        return g_strconcat("/var/lib/libvirt/swtpm/", vm->uuid, NULL);
    return NULL;
}

gint64 gw_sim_chain_bytes(GwSim *sim, const SimHost *host, const SimImage *image)
{
    gint64 bytes = 0;

    for (guint i = 0; image != NULL && i < CHAIN_MAX; i++) {
        bytes += image->volume->allocation_bytes;
        image = gw_sim_image_below(sim, host, image);
    }
    return bytes;
}

char *gw_sim_missing(GwSim *sim, const SimHost *host, const GwDisk *disk)
{
    const char *path = disk->source;
    const SimImage *image = gw_sim_image_of_disk(sim, host, disk);

    for (guint i = 0; path != NULL && i < CHAIN_MAX; i++) {
        if (image == NULL)
            return g_strdup(path);
        path = image->volume->backing_path;
        image = path != NULL ? gw_sim_image_below(sim, host, image) : NULL;
    }
    return NULL;
}
