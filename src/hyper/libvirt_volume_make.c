/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"

/* Making and removing volumes. */

/* Making -------------------------------------------------------------------------------------- */

static gboolean only_zeros(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    if (data == NULL || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, NULL, "it was written to");
    return FALSE;
}

/* Whether what is at @place is what was asked for, and nothing was ever written to it. One that
 * was to have all its storage at once shows that only by its content. */
static gboolean is_fresh(const GwLvPlace *place, const GwVolume *found, const GwVolume *volume)
{
    g_autoptr(GwVolume) as_sparse = gw_volume_copy(found);
    gboolean full = volume->allocation_bytes >= volume->capacity_bytes;

    if (full && g_strcmp0(volume->format, "raw") == 0)
        as_sparse->allocation_bytes = 0;
    return gw_libvirt_volume_is_fresh(as_sparse, volume) &&
           (as_sparse->allocation_bytes == found->allocation_bytes ||
            gw_lv_read(place->ptr, place->volume, 0, (guint64)found->length_bytes, only_zeros, NULL,
                       NULL));
}

static gboolean accept_there(const GwLvPlace *place, const GwVolume *volume, gboolean again,
                             GError **error)
{
    g_autoptr(GwVolume) found = gw_lv_volume_read(place, NULL, error);
    if (found == NULL)
        return FALSE;
    if (again && is_fresh(place, found, volume))
        return TRUE;
    g_autofree char *words = gw_lv_volume_words(found);
    gw_error_set(error, GW_ERR_CONFLICT, "Choose another name, or remove it if nobody needs it.",
                 "%s is there already (%s, %" G_GINT64_FORMAT " bytes, %" G_GINT64_FORMAT
                 " of them allocated)",
                 words, found->format, found->capacity_bytes, found->allocation_bytes);
    return FALSE;
}

/* What libvirt wants to know of it: its name is the file's, where only a path is told. */
static GwVolume *wish(const GwLvPlace *place, const GwVolume *volume)
{
    GwVolume *wanted = gw_volume_copy(volume);

    g_free(wanted->name);
    wanted->name = g_strdup(place->name);
    return wanted;
}

static gboolean make(GwLvPlace *place, const GwVolume *volume, GError **error)
{
    g_autoptr(GwVolume) wanted = wish(place, volume);

    if (!gw_volume_check_name(wanted->name, error))
        return FALSE;
    g_autofree char *xml = gw_libvirt_volume_to_xml(wanted, place->pool_type, error);
    if (xml == NULL)
        return FALSE;
    place->volume = virStorageVolCreateXML(place->pool, xml, 0);
    if (place->volume == NULL)
        gw_lv_error(error);
    return place->volume != NULL;
}

gboolean gw_lv_op_volume_create(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwVolume *volume = task->request->volume;
    g_auto(GwLvPlace) place = { .host = NULL };

    if (!gw_lv_place_open(task->host, task->conn->ptr, volume, GW_LV_PLACE_MAKE_FOLDER, &place,
                          error))
        return FALSE;
    if (place.volume != NULL)
        return accept_there(&place, volume, task->request->number == 1, error);
    return make(&place, volume, error);
}

/* Removing ------------------------------------------------------------------------------------ */

gboolean gw_lv_volume_remove(GwLvPlace *place, GError **error)
{
    if (place->volume == NULL)
        return TRUE;
    if (!gw_lv_unused(place, error))
        return FALSE;
    if (virStorageVolDelete(place->volume, 0) < 0 && gw_lv_last_code() != VIR_ERR_NO_STORAGE_VOL) {
        gw_lv_error(error);
        return FALSE;
    }
    g_clear_pointer(&place->volume, virStorageVolFree);
    return TRUE;
}

gboolean gw_lv_op_volume_delete(GwLvTask *task, GwReply *reply, GError **error)
{
    g_auto(GwLvPlace) place = { .host = NULL };

    return gw_lv_place_open(task->host, task->conn->ptr, task->request->volume, 0, &place, error) &&
           gw_lv_volume_remove(&place, error);
}
