/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/sim_storage.h"

#include <string.h>

/* Which data an image holds, as a number; and the witness of what must never happen to it. Every
 * VM knows which number each of its disks has to hold: it writes a new one whenever it begins to
 * run, stops, or is looked at. Whoever runs on an image with another one has lost data. */

#define CHAIN_MAX 64

void gw_sim_violation(GwSim *sim, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_ptr_array_add(sim->violations, g_strdup_vprintf(format, args));
    va_end(args);
}

guint gw_sim_new_content(GwSim *sim)
{
    return ++sim->last_content;
}

static guint expected(const GwSim *sim, const SimVm *vm, const char *target)
{
    g_autofree char *key = g_strdup_printf("%s/%s", vm->vm->uuid, target);
    return GPOINTER_TO_UINT(g_hash_table_lookup(sim->contents, key));
}

static void expect(GwSim *sim, const SimVm *vm, const char *target, guint content)
{
    g_hash_table_replace(sim->contents, g_strdup_printf("%s/%s", vm->vm->uuid, target),
                         GUINT_TO_POINTER(content));
}

static gboolean is_own(const GwDisk *disk)
{
    return disk->source != NULL && gw_disk_is_writable(disk) && !disk->shareable;
}

/* Why @vm must not run on what @disk is on @host; NULL: it may. Owned. */
static char *wrong_with(GwSim *sim, const SimHost *host, const SimVm *vm, const GwDisk *disk)
{
    g_autofree char *missing = gw_sim_missing(sim, host, disk);
    const SimImage *image = gw_sim_image_of_disk(sim, host, disk);
    guint wanted = is_own(disk) ? expected(sim, vm, disk->target) : 0;

    if (missing != NULL)
        return g_strdup_printf("image %s is not there", missing);
    if (image != NULL && wanted != 0 && image->content != wanted)
        return g_strdup_printf("image %s holds stale data", disk->source);
    for (guint i = 0; image != NULL && i < CHAIN_MAX; i++) {
        const SimImage *lower = gw_sim_image_below(sim, host, image);
        if (lower != NULL && image->below != lower->content)
            return g_strdup_printf("image %s, below %s, holds stale data",
                                   image->volume->backing_path, disk->source);
        image = lower;
    }
    return NULL;
}

/* The same of its NVRAM or TPM state. libvirt makes an empty one where there is none: all the more
 * it must not be missed. */
static char *wrong_with_state(GwSim *sim, const SimHost *host, const SimVm *vm, const char *target)
{
    g_autofree char *path = gw_sim_state_path(vm->vm, target);
    const SimImage *image = gw_sim_image_at(sim, host, path, NULL);
    guint wanted = expected(sim, vm, target);

    if (path == NULL)
        return NULL;
    if (image == NULL)
        return g_strdup_printf("its %s, %s, is not there", target, path);
    return wanted != 0 && image->content != wanted
               ? g_strdup_printf("its %s, %s, holds stale data", target, path)
               : NULL;
}

static void write_states(GwSim *sim, const SimHost *host, const SimVm *vm)
{
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *path = gw_sim_state_path(vm->vm, gw_sim_states[i]);
        SimImage *image = gw_sim_image_at(sim, host, path, NULL);
        if (image == NULL)
            continue;
        image->content = gw_sim_new_content(sim);
        expect(sim, vm, gw_sim_states[i], image->content);
    }
}

void gw_sim_writes(GwSim *sim, const SimHost *host, const SimVm *vm)
{
    write_states(sim, host, vm);
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        const GwDisk *disk = vm->vm->disks->pdata[i];
        SimImage *image = is_own(disk) ? gw_sim_image_of_disk(sim, host, disk) : NULL;
        if (image == NULL)
            continue;
        image->content = gw_sim_new_content(sim);
        image->written = TRUE;
        expect(sim, vm, disk->target, image->content);
    }
}

static void open_images(GwSim *sim, const SimHost *host, SimVm *vm)
{
    vm->writing = g_ptr_array_new_with_free_func(gw_sim_image_unref);
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        const GwDisk *disk = vm->vm->disks->pdata[i];
        SimImage *image = is_own(disk) ? gw_sim_image_of_disk(sim, host, disk) : NULL;
        if (image == NULL)
            continue;
        if (image->writers > 0)
            gw_sim_violation(sim, "%s writes to %s on %s beside another", vm->vm->name,
                             disk->source, host->uri);
        image->writers++;
        g_ptr_array_add(vm->writing, gw_sim_image_ref(image));
    }
}

void gw_sim_close_images(SimVm *vm)
{
    for (guint i = 0; vm->writing != NULL && i < vm->writing->len; i++)
        ((SimImage *)vm->writing->pdata[i])->writers--;
    g_clear_pointer(&vm->writing, g_ptr_array_unref);
}

void gw_sim_runs_elsewhere(GwSim *sim, const SimHost *host, SimVm *vm)
{
    if (vm->writing == NULL)
        return;
    gw_sim_close_images(vm);
    open_images(sim, host, vm);
    gw_sim_writes(sim, host, vm);
}

void gw_sim_runs(GwSim *sim, const SimHost *host, SimVm *vm)
{
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        g_autofree char *wrong = wrong_with(sim, host, vm, vm->vm->disks->pdata[i]);
        if (wrong != NULL)
            gw_sim_violation(sim, "%s runs on %s, and %s", vm->vm->name, host->uri, wrong);
    }
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *wrong = wrong_with_state(sim, host, vm, gw_sim_states[i]);
        if (wrong != NULL)
            gw_sim_violation(sim, "%s runs on %s, and %s", vm->vm->name, host->uri, wrong);
    }
    gw_sim_close_images(vm);
    open_images(sim, host, vm);
    gw_sim_writes(sim, host, vm);
}

void gw_sim_stops(GwSim *sim, const SimHost *host, SimVm *vm)
{
    if (vm->writing == NULL)
        return;
    gw_sim_writes(sim, host, vm);
    gw_sim_close_images(vm);
}

void gw_sim_settle_content(GwSim *sim, const SimImage *image)
{
    for (guint i = 0; image->writers > 0 && i < sim->hosts->len; i++) {
        const SimHost *host = sim->hosts->pdata[i];
        GHashTableIter iter;
        gpointer vm;

        g_hash_table_iter_init(&iter, host->vms);
        while (g_hash_table_iter_next(&iter, NULL, &vm)) {
            const SimVm *runs = vm;
            if (runs->writing != NULL && g_ptr_array_find(runs->writing, image, NULL))
                gw_sim_writes(sim, host, runs);
        }
    }
}

void gw_sim_know_contents(GwSim *sim, const SimHost *host, const SimVm *vm)
{
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        const GwDisk *disk = vm->vm->disks->pdata[i];
        const SimImage *image = is_own(disk) ? gw_sim_image_of_disk(sim, host, disk) : NULL;
        if (image != NULL)
            expect(sim, vm, disk->target, image->content);
    }
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *path = gw_sim_state_path(vm->vm, gw_sim_states[i]);
        const SimImage *image = gw_sim_image_at(sim, host, path, NULL);
        if (image != NULL)
            expect(sim, vm, gw_sim_states[i], image->content);
    }
}

/* From outside ----------------------------------------------------------------------------- */

static char **texts(GPtrArray *list)
{
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

char **gw_sim_violations(GwSim *sim)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    GPtrArray *list = g_ptr_array_new();

    for (guint i = 0; i < sim->violations->len; i++)
        g_ptr_array_add(list, g_strdup(sim->violations->pdata[i]));
    return texts(list);
}

static void check_vm(GwSim *sim, const SimHost *host, SimVm *vm, gpointer user)
{
    GPtrArray *list = user;
    const GPtrArray *defined = gw_sim_defined(vm);

    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        const GwDisk *disk = vm->vm->disks->pdata[i];
        const GwDisk *said = gw_record_find(&gw_disk_record, defined, "target", disk->target);
        g_autofree char *wrong = wrong_with(sim, host, vm, disk);
        if (wrong != NULL)
            g_ptr_array_add(list, g_strdup_printf("%s on %s: %s", vm->vm->name, host->uri, wrong));
        if (vm->vm->persistent && (said == NULL || g_strcmp0(said->source, disk->source) != 0))
            g_ptr_array_add(list,
                            g_strdup_printf("%s on %s is on %s, and its definition says %s",
                                            vm->vm->name, host->uri, disk->source,
                                            said != NULL ? said->source : "that there is none"));
    }
    for (guint i = 0; gw_sim_states[i] != NULL; i++) {
        g_autofree char *wrong = wrong_with_state(sim, host, vm, gw_sim_states[i]);
        if (wrong != NULL)
            g_ptr_array_add(list, g_strdup_printf("%s on %s: %s", vm->vm->name, host->uri, wrong));
    }
}

char **gw_sim_check_disks(GwSim *sim)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    GPtrArray *list = g_ptr_array_new();

    gw_sim_each_vm(sim, check_vm, list);
    return texts(list);
}

static gboolean is_kept(GwSim *sim, const SimImage *image, const GPtrArray *kept)
{
    for (guint i = 0; kept != NULL && i < kept->len; i++) {
        const GwKeptVolume *old = kept->pdata[i];
        const SimHost *host = gw_sim_host_by_name(sim, old->host_id);
        if (host != NULL && old->volume != NULL && gw_sim_image_of(sim, host, old->volume) == image)
            return TRUE;
    }
    return FALSE;
}

static gboolean is_used_anywhere(GwSim *sim, const SimImage *image)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        if (gw_sim_is_used(sim, sim->hosts->pdata[i], image))
            return TRUE;
    }
    return FALSE;
}

char **gw_sim_leaks(GwSim *sim, const GPtrArray *kept)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter stores, images;
    gpointer store, image;

    g_hash_table_iter_init(&stores, sim->stores);
    while (g_hash_table_iter_next(&stores, NULL, &store)) {
        g_hash_table_iter_init(&images, ((SimStore *)store)->images);
        while (g_hash_table_iter_next(&images, NULL, &image)) {
            const SimImage *it = image;
            if (!it->from_start && !it->libvirts && !is_kept(sim, it, kept) &&
                !is_used_anywhere(sim, it))
                g_ptr_array_add(list, g_strdup_printf("%s %s", it->store->key, it->name));
        }
    }
    return texts(list);
}

guint gw_sim_content(GwSim *sim, const char *uri, const char *path)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    const SimImage *image = host != NULL ? gw_sim_image_at(sim, host, path, NULL) : NULL;

    if (image == NULL)
        return 0;
    gw_sim_settle_content(sim, image);
    return image->content;
}

void gw_sim_remove_by_hand(GwSim *sim, const char *uri, const char *path)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    SimImage *image = host != NULL ? gw_sim_image_at(sim, host, path, NULL) : NULL;

    if (image != NULL)
        gw_sim_remove_image(image);
}

GwDisk *gw_sim_disk(GwSim *sim, const char *uri, const char *vm_uuid, const char *target)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    const SimVm *vm = host != NULL ? gw_sim_find(host, vm_uuid) : NULL;
    const GwDisk *disk =
        vm != NULL ? gw_record_find(&gw_disk_record, vm->vm->disks, "target", target) : NULL;
    return disk != NULL ? gw_disk_copy(disk) : NULL;
}
