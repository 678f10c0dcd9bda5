/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Requests about pools and volumes. */

#define CHAIN_MAX 64
#define EMPTY_QCOW2_BYTES ((gint64)196608)

static void fail(GwReply *reply, GwErrorCode code, const char *words, const char *name)
{
    gw_error_set(&reply->error, code, NULL, "%s%s%s", words, name != NULL ? ": " : "",
                 name != NULL ? name : "");
}

/* The active pool, or NULL and the reply's error. */
static const GwPool *active_pool(const SimHost *host, const char *name, GwReply *reply)
{
    const GwPool *pool = name != NULL ? gw_sim_pool(host, name) : NULL;

    if (pool == NULL)
        fail(reply, GW_ERR_NOT_FOUND, "there is no such pool", name);
    else if (!pool->active)
        fail(reply, GW_ERR_CONFLICT, "the pool is not active", name);
    return pool != NULL && pool->active ? pool : NULL;
}

static gboolean is_askable(const SimHost *host, const GwVolume *volume, GwReply *reply)
{
    if (volume == NULL || (volume->pool == NULL && volume->path == NULL)) {
        fail(reply, GW_ERR_INVALID, "a volume has a pool and a name, or a path", NULL);
        return FALSE;
    }
    return volume->pool == NULL || (active_pool(host, volume->pool, reply) != NULL &&
                                    gw_volume_check_name(volume->name, &reply->error));
}

/* Looks ------------------------------------------------------------------------------------ */

/* @image as @host shows it at @path. */
static GwVolume *volume_answer(const SimHost *host, const SimImage *image, const char *path)
{
    GwVolume *answer = gw_volume_copy(image->volume);

    answer->path = g_strdup(path);
    answer->modified = g_strdup_printf("%u", image->content);
    for (guint i = 0; host->facts->pools != NULL && i < host->facts->pools->len; i++) {
        const GwPool *pool = host->facts->pools->pdata[i];
        g_autofree char *name = g_path_get_basename(path);
        GwVolume asked = { .pool = pool->name, .name = name };
        g_autofree char *there = gw_sim_path_of(host, &asked);
        if (pool->active && g_strcmp0(there, path) == 0) {
            answer->pool = g_strdup(pool->name);
            answer->name = g_steal_pointer(&name);
            break;
        }
    }
    return answer;
}

static void look_volume(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwVolume *volume = request->volume;
    if (!is_askable(host, volume, reply))
        return;
    g_autofree char *path = gw_sim_path_of(host, volume);
    const SimImage *image = gw_sim_image_at(sim, host, path, volume->server);

    reply->volumes = gw_record_array(&gw_volume_record);
    for (guint i = 0; image != NULL && i < CHAIN_MAX; i++) {
        g_ptr_array_add(reply->volumes, volume_answer(host, image, path));
        if (request->number == 0 || image->volume->backing_path == NULL)
            return;
        g_free(path);
        path = g_strdup(image->volume->backing_path);
        image = gw_sim_image_below(sim, host, image);
        if (image == NULL) {
            g_clear_pointer(&reply->volumes, g_ptr_array_unref);
            fail(reply, GW_ERR_NOT_FOUND, "a backing file is missing", path);
        }
    }
}

/* Make and remove -------------------------------------------------------------------------- */

static gboolean is_same(const GwVolume *a, const GwVolume *b)
{
    return g_strcmp0(a->format, b->format) == 0 && a->capacity_bytes == b->capacity_bytes &&
           g_strcmp0(a->backing_path, b->backing_path) == 0;
}

static gboolean is_free(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply,
                        gboolean *done)
{
    const SimImage *there = gw_sim_image_of(sim, host, request->volume);

    *done = there != NULL && request->number == 1 && !there->written && there->writers == 0 &&
            is_same(there->volume, request->volume);
    if (there != NULL && !*done)
        fail(reply, GW_ERR_CONFLICT, "a volume of this name is there", request->volume->name);
    return there == NULL;
}

static gboolean has_backing(GwSim *sim, const SimHost *host, const GwVolume *volume, GwReply *reply)
{
    gboolean there = volume->backing_path == NULL ||
                     gw_sim_image_at(sim, host, volume->backing_path, volume->server) != NULL;

    if (!there)
        fail(reply, GW_ERR_NOT_FOUND, "the backing file is not there", volume->backing_path);
    return there;
}

static void create_volume(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwVolume *volume = request->volume;
    gboolean done = FALSE;

    if (!is_askable(host, volume, reply))
        return;
    if (volume->pool == NULL || volume->capacity_bytes <= 0) {
        fail(reply, GW_ERR_INVALID, "a volume is made in a pool, with a capacity", NULL);
        return;
    }
    if (!is_free(sim, host, request, reply, &done) || !has_backing(sim, host, volume, reply))
        return;
    SimImage *image =
        gw_sim_add_image(sim, gw_sim_store_of_pool(sim, host, gw_sim_pool(host, volume->pool)),
                         volume->name, volume);
    if (image->volume->format == NULL)
        image->volume->format = g_strdup("raw");
    if (image->volume->kind == NULL)
        image->volume->kind = g_strdup("file");
    gboolean raw = strcmp(image->volume->format, "raw") == 0;
    image->volume->length_bytes = raw ? volume->capacity_bytes : EMPTY_QCOW2_BYTES;
    if (!gw_sim_allocate(sim, image, raw ? 0 : EMPTY_QCOW2_BYTES)) {
        gw_sim_remove_image(image);
        fail(reply, GW_ERR_OPERATION, "no space left on device", volume->pool);
    }
}

static gboolean has_in_chain(GwSim *sim, const SimHost *host, const GPtrArray *disks,
                             const SimImage *image)
{
    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const SimImage *at = gw_sim_image_of_disk(sim, host, disks->pdata[i]);
        for (guint k = 0; at != NULL && k < CHAIN_MAX; k++) {
            if (at == image)
                return TRUE;
            at = gw_sim_image_below(sim, host, at);
        }
    }
    return FALSE;
}

static gboolean has_as_state(GwSim *sim, const SimHost *host, const GwVm *vm, const SimImage *image)
{
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *path = gw_sim_state_path(vm, gw_sim_states[i]);
        if (gw_sim_image_at(sim, host, path, NULL) == image)
            return TRUE;
    }
    return FALSE;
}

gboolean gw_sim_is_used(GwSim *sim, const SimHost *host, const SimImage *image)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimVm *vm = value;
        if (has_in_chain(sim, host, vm->vm->disks, image) ||
            has_in_chain(sim, host, vm->defined, image) || has_as_state(sim, host, vm->vm, image))
            return TRUE;
    }
    return FALSE;
}

/* Another image of its storage has it below. */
static gboolean carries_another(GwSim *sim, const SimHost *host, const SimImage *image)
{
    GHashTableIter iter;
    gpointer other;

    g_hash_table_iter_init(&iter, image->store->images);
    while (g_hash_table_iter_next(&iter, NULL, &other)) {
        if (gw_sim_image_below(sim, host, other) == image)
            return TRUE;
    }
    return FALSE;
}

/* A VM that comes to @host, whose definition nobody can read before it is there; NULL: none. */
static const char *arriving(const SimHost *host)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimVm *vm = value;
        if (vm->job && !vm->vm->persistent && vm->vm->state == (int)GW_VM_PAUSED)
            return vm->vm->name;
    }
    return NULL;
}

static gboolean is_unused(GwSim *sim, const SimHost *host, const SimImage *image, const char *path,
                          GwReply *reply)
{
    if (arriving(host) != NULL)
        gw_error_set(&reply->error, GW_ERR_BUSY, "Try again when it has arrived.",
                     "VM '%s' is arriving; whether it uses '%s' cannot be told yet", arriving(host),
                     path);
    else if (gw_sim_is_used(sim, host, image) || image->busy > 0)
        fail(reply, GW_ERR_CONFLICT, "the volume is in use", path);
    return reply->error == NULL;
}

static void prove_volume(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwVolume *volume = request->volume;
    const SimImage *image = volume != NULL && volume->path != NULL
                                ? gw_sim_image_at(sim, host, volume->path, volume->server)
                                : NULL;

    if (volume == NULL || volume->path == NULL)
        fail(reply, GW_ERR_INVALID, "no path of a volume", NULL);
    else if (image != NULL)
        is_unused(sim, host, image, volume->path, reply);
}

/* libvirt of this host refuses only what it knows of: another host's VM is the witness's. */
static void delete_volume(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (!is_askable(host, request->volume, reply))
        return;
    SimImage *image = gw_sim_image_of(sim, host, request->volume);
    g_autofree char *path = gw_sim_path_of(host, request->volume);

    if (image == NULL || !is_unused(sim, host, image, path, reply))
        return;
    if (carries_another(sim, host, image)) {
        fail(reply, GW_ERR_CONFLICT, "another image stands on the volume", path);
        return;
    }
    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimHost *other = sim->hosts->pdata[i];
        if (gw_sim_is_used(sim, other, image))
            gw_sim_violation(sim, "%s was deleted on %s, and a VM of %s has it", path, host->uri,
                             other->uri);
    }
    gw_sim_remove_image(image);
}

/* Reach ------------------------------------------------------------------------------------ */

static gboolean reaches(const SimHost *host, const char *server)
{
    g_autofree char *name = server != NULL ? g_strdup(server) : NULL;

    if (name == NULL || host->reaches == NULL)
        return TRUE;
    if (strchr(name, ',') != NULL)
        *strchr(name, ',') = '\0';
    if (strrchr(name, ':') != NULL)
        *strrchr(name, ':') = '\0';
    return g_strv_contains((const char *const *)host->reaches, name) ||
           g_strv_contains((const char *const *)host->reaches, server);
}

static void try_reach(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwDisk *disk = request->disk;

    if (disk == NULL || disk->source == NULL) {
        fail(reply, GW_ERR_UNSUPPORTED, "there is nothing to try", NULL);
        return;
    }
    g_autofree char *missing = gw_sim_missing(sim, host, disk);
    reply->verdict = reaches(host, disk->source_host) && missing == NULL;
    if (!reaches(host, disk->source_host))
        reply->text = g_strdup_printf("%s does not answer this host", disk->source_host);
    else if (missing != NULL)
        reply->text = g_strdup_printf("%s is not there", missing);
}

void gw_sim_volume_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwPool *pool = NULL;

    switch (request->op) {
    case GW_OP_POOL_LOOK:
        pool = active_pool(host, request->text, reply);
        if (pool != NULL)
            reply->pool = gw_sim_pool_answer(sim, host, pool);
        break;
    case GW_OP_VOLUME_LOOK:
        look_volume(sim, host, request, reply);
        break;
    case GW_OP_VOLUME_CREATE:
        create_volume(sim, host, request, reply);
        break;
    case GW_OP_VOLUME_DELETE:
        delete_volume(sim, host, request, reply);
        break;
    case GW_OP_VOLUME_PROVE:
        prove_volume(sim, host, request, reply);
        break;
    default: /* REACH */
        try_reach(sim, host, request, reply);
        break;
    }
}
