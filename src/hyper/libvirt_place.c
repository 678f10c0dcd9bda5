/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"
#include "model/libvirt_xml.h"

/* Finding volumes. libvirt shows files only as volumes of pools, so where no pool of the host shows
 * the folder of a path (a VM's UEFI variables, its TPM's state, a disk that somebody made by hand),
 * a pool is made for it that passes: not defined, named by the folder, ended when its last user is
 * through. One that a crash left behind is taken over by the next who wants that folder, and ended
 * by the next who wants another. */

#define PASSING_PREFIX "godwit-folder-"
#define REFRESH_TRIES 3

gboolean gw_lv_pool_is_passing(const char *name)
{
    return name != NULL && g_str_has_prefix(name, PASSING_PREFIX);
}

gboolean gw_lv_refresh(virStoragePoolPtr pool, GError **error)
{
    for (int i = 0; i < REFRESH_TRIES; i++) {
        if (virStoragePoolRefresh(pool, 0) == 0)
            return TRUE;
        if (gw_lv_last_code() != VIR_ERR_INTERNAL_ERROR &&
            gw_lv_last_code() != VIR_ERR_OPERATION_INVALID)
            break;
        g_usleep(G_USEC_PER_SEC);
    }
    gw_lv_error(error);
    return FALSE;
}

/* Pools that pass ----------------------------------------------------------------------------- */

static char *passing_name(const char *folder)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, folder, -1);

    return g_strdup_printf(PASSING_PREFIX "%.16s", sum);
}

/* How many use the pool called @name; needs the lock of the host's folders. */
static guint users_of(GwLvHost *host, const char *name)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(host->folders, name));
}

static void set_users(GwLvHost *host, const char *name, guint users)
{
    if (users == 0)
        g_hash_table_remove(host->folders, name);
    else
        g_hash_table_replace(host->folders, g_strdup(name), GUINT_TO_POINTER(users));
}

static void sweep_leftovers(GwLvHost *host, virConnectPtr ptr, const char *wanted)
{
    virStoragePoolPtr *pools = NULL;
    int count =
        virConnectListAllStoragePools(ptr, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT);

    for (int i = 0; i < count; i++) {
        const char *name = virStoragePoolGetName(pools[i]);
        if (gw_lv_pool_is_passing(name) && users_of(host, name) == 0 &&
            g_strcmp0(name, wanted) != 0)
            virStoragePoolDestroy(pools[i]);
        virStoragePoolFree(pools[i]);
    }
    if (count >= 0)
        free(pools);
}

/* NULL with @error unset: the folder is not there. */
static virStoragePoolPtr make_passing(virConnectPtr ptr, const char *name, const char *folder,
                                      guint flags, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ptr, name);

    if (pool != NULL && virStoragePoolIsActive(pool) == 1)
        return pool;
    g_clear_pointer(&pool, virStoragePoolFree);
    g_autofree char *xml = gw_libvirt_folder_xml(name, folder);
    gboolean make = (flags & GW_LV_PLACE_MAKE_FOLDER) != 0;
    pool = virStoragePoolCreateXML(ptr, xml, make ? VIR_STORAGE_POOL_CREATE_WITH_BUILD : 0);
    if (pool == NULL && !(gw_lv_last_code() == VIR_ERR_SYSTEM_ERROR &&
                          strstr(virGetLastErrorMessage(), "No such file or directory") != NULL)) {
        gw_lv_error(error);
        g_prefix_error(error, "the folder '%s' cannot be looked into: ", folder);
    }
    return pool;
}

static gboolean open_passing(GwLvPlace *place, const char *folder, guint flags, GError **error)
{
    GwLvHost *host = place->host;
    g_autofree char *name = passing_name(folder);
    GError *why = NULL;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->folders_lock);

    sweep_leftovers(host, place->ptr, name);
    place->pool = make_passing(place->ptr, name, folder, flags, &why);
    if (place->pool != NULL) {
        set_users(host, name, users_of(host, name) + 1);
        place->passing = g_steal_pointer(&name);
    }
    if (why != NULL)
        g_propagate_error(error, why);
    return why == NULL;
}

static void close_passing(GwLvPlace *place)
{
    GwLvHost *host = place->host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->folders_lock);
    guint users = users_of(host, place->passing) - 1;

    set_users(host, place->passing, users);
    if (users == 0)
        virStoragePoolDestroy(place->pool); /* where it fails, the next sweep ends it */
}

void gw_lv_place_close(GwLvPlace *place)
{
    g_clear_pointer(&place->volume, virStorageVolFree);
    if (place->passing != NULL)
        close_passing(place);
    g_clear_pointer(&place->pool, virStoragePoolFree);
    g_clear_pointer(&place->pool_name, g_free);
    g_clear_pointer(&place->pool_type, g_free);
    g_clear_pointer(&place->name, g_free);
    g_clear_pointer(&place->path, g_free);
    g_clear_pointer(&place->passing, g_free);
}

/* Places -------------------------------------------------------------------------------------- */

static char *type_of(virStoragePoolPtr pool)
{
    char *xml = virStoragePoolGetXMLDesc(pool, 0);
    g_autoptr(GwPool) record = xml != NULL ? gw_libvirt_pool_from_xml(xml, NULL) : NULL;

    free(xml);
    return record != NULL ? g_strdup(record->type) : NULL;
}

gboolean gw_lv_place_refresh(GwLvPlace *place, GError **error)
{
    g_clear_pointer(&place->volume, virStorageVolFree);
    if (place->pool == NULL)
        return TRUE;
    if (!gw_lv_refresh(place->pool, error))
        return FALSE;
    place->volume = virStorageVolLookupByName(place->pool, place->name);
    if (place->volume == NULL && gw_lv_last_code() != VIR_ERR_NO_STORAGE_VOL) {
        gw_lv_error(error);
        return FALSE;
    }
    char *path = place->volume != NULL ? virStorageVolGetPath(place->volume) : NULL;
    if (path != NULL) {
        g_free(place->path);
        place->path = g_strdup(path);
    }
    free(path);
    return TRUE;
}

static gboolean open_in_pool(GwLvPlace *place, const GwVolume *volume, GError **error)
{
    if (!gw_volume_check_name(volume->name, error))
        return FALSE;
    place->pool = virStoragePoolLookupByName(place->ptr, volume->pool);
    if (place->pool == NULL) {
        gw_lv_error(error);
        return FALSE;
    }
    if (virStoragePoolIsActive(place->pool) != 1) {
        gw_error_set(error, GW_ERR_CONFLICT, "Start the pool on its host.",
                     "the pool '%s' is not active", volume->pool);
        return FALSE;
    }
    place->pool_name = g_strdup(volume->pool);
    place->name = g_strdup(volume->name);
    return TRUE;
}

/* A pool of the host's that shows every file of the folder, not only some devices of it. */
static virStoragePoolPtr pool_of_folder(virConnectPtr ptr, const char *folder)
{
    static const char *const types[] = { "dir", "fs", "netfs", NULL };
    virStoragePoolPtr pool = virStoragePoolLookupByTargetPath(ptr, folder);

    if (pool == NULL || gw_lv_pool_is_passing(virStoragePoolGetName(pool))) {
        g_clear_pointer(&pool, virStoragePoolFree);
        return NULL;
    }
    g_autofree char *type = type_of(pool);
    if (type == NULL || !g_strv_contains(types, type))
        g_clear_pointer(&pool, virStoragePoolFree);
    return pool;
}

/* A pool of the host's that has a volume there: a device of LVM, a LUN. */
static virStoragePoolPtr pool_of_volume(virConnectPtr ptr, const char *path, char **name)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ptr, path);
    virStoragePoolPtr pool = volume != NULL ? virStoragePoolLookupByVolume(volume) : NULL;

    if (pool != NULL && gw_lv_pool_is_passing(virStoragePoolGetName(pool)))
        g_clear_pointer(&pool, virStoragePoolFree);
    if (pool != NULL) {
        g_free(*name);
        *name = g_strdup(virStorageVolGetName(volume));
    }
    return pool;
}

static gboolean open_by_path(GwLvPlace *place, const char *path, guint flags, GError **error)
{
    if (!gw_libvirt_path_check(path, error))
        return FALSE;
    g_autofree char *folder = g_path_get_dirname(path);
    place->name = g_path_get_basename(path);
    place->path = g_strdup(path);
    place->pool = pool_of_folder(place->ptr, folder);
    if (place->pool == NULL)
        place->pool = pool_of_volume(place->ptr, path, &place->name);
    if (place->pool == NULL)
        return open_passing(place, folder, flags, error);
    place->pool_name = g_strdup(virStoragePoolGetName(place->pool));
    return TRUE;
}

gboolean gw_lv_place_open(GwLvHost *host, virConnectPtr ptr, const GwVolume *volume, guint flags,
                          GwLvPlace *place, GError **error)
{
    g_auto(GwLvPlace) found = { .host = host, .ptr = ptr };

    if (volume == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no volume is named");
        return FALSE;
    }
    if (!(volume->pool != NULL ? open_in_pool(&found, volume, error)
                               : open_by_path(&found, volume->path, flags, error)))
        return FALSE;
    if (!gw_lv_place_refresh(&found, error))
        return FALSE;
    if (found.pool != NULL)
        found.pool_type = type_of(found.pool);
    *place = found;
    found = (GwLvPlace){ .host = NULL };
    return TRUE;
}
