/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/storage_words.h"

#include <string.h>

#include "base/error.h"
#include "cli/format.h"
#include "model/job.h"

/* Disks ----------------------------------------------------------------------------------- */

#define DISK_REMEDY                                                                                \
    "Give TARGET:POOL[/NAME] or TARGET:/PATH, then ,name=NAME or ,format=raw|qcow2 as needed: "    \
    "vda:fast, vda:fast/web1.qcow2, vdb:/srv/images,name=data.raw,format=raw."

static gboolean bad_disk(GError **error, const char *text, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, DISK_REMEDY, "--disk '%.300s': %s", text, why);
    return FALSE;
}

/* The length of "word" in ",word=", 0 where @p does not begin so. A comma is otherwise a character
 * like any other: paths and names may hold it. */
static gsize setting_at(const char *p)
{
    gsize length = 0;

    while (*p == ',' && g_ascii_islower(p[1 + length]))
        length++;
    return length > 0 && p[1 + length] == '=' ? length : 0;
}

static const char *next_setting(const char *p)
{
    while (*p != '\0' && setting_at(p) == 0)
        p++;
    return p;
}

static gboolean put_name(json_t *disk, const char *text, const char *name, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (json_object_get(disk, "name") != NULL)
        return bad_disk(error, text, "the volume's name is given twice");
    if (!gw_volume_check_name(name, &why))
        return bad_disk(error, text, why->message);
    json_object_set_new(disk, "name", json_string(name));
    return TRUE;
}

static gboolean put_setting(json_t *disk, const char *text, const char *key, const char *value,
                            GError **error)
{
    if (strcmp(key, "name") == 0)
        return put_name(disk, text, value, error);
    if (strcmp(key, "format") != 0)
        return bad_disk(error, text, "only name= and format= can be set");
    if (json_object_get(disk, "format") != NULL)
        return bad_disk(error, text, "the format is given twice");
    if (strcmp(value, "raw") != 0 && strcmp(value, "qcow2") != 0)
        return bad_disk(error, text, "the format must be raw or qcow2");
    json_object_set_new(disk, "format", json_string(value));
    return TRUE;
}

static gboolean put_storage(json_t *disk, const char *text, const char *storage, GError **error)
{
    gboolean whole = *storage == '/' || strchr(storage, ':') != NULL || *storage == '\\';
    const char *slash = whole ? NULL : strchr(storage, '/');
    g_autofree char *pool =
        slash != NULL ? g_strndup(storage, (gsize)(slash - storage)) : g_strdup(storage);

    if (*pool != '\0')
        json_object_set_new(disk, "storage", json_string(pool));
    return slash == NULL || put_name(disk, text, slash + 1, error);
}

static gboolean read_settings(json_t *disk, const char *text, const char *p, GError **error)
{
    while (*p != '\0') {
        gsize length = setting_at(p);
        const char *value = p + 1 + length + 1;
        const char *end = next_setting(value);
        g_autofree char *key = g_strndup(p + 1, length);
        g_autofree char *said = g_strndup(value, (gsize)(end - value));
        if (!put_setting(disk, text, key, said, error))
            return FALSE;
        p = end;
    }
    return TRUE;
}

json_t *gw_disk_choice_read(const char *text, GError **error)
{
    const char *colon = strchr(text, ':');
    g_autoptr(GwJson) disk = json_object();

    if (colon == NULL || colon == text || next_setting(text) < colon) {
        bad_disk(error, text, "it does not begin with a disk's target and a colon");
        return NULL;
    }
    const char *settings = next_setting(colon + 1);
    g_autofree char *target = g_strndup(text, (gsize)(colon - text));
    g_autofree char *storage = g_strndup(colon + 1, (gsize)(settings - colon - 1));
    json_object_set_new(disk, "target", json_string(target));
    if (!put_storage(disk, text, storage, error) || !read_settings(disk, text, settings, error))
        return NULL;
    if (json_object_size(disk) > 1)
        return g_steal_pointer(&disk);
    bad_disk(error, text, "nothing is said about the disk");
    return NULL;
}

static gboolean is_chosen(json_t *disks, json_t *disk)
{
    for (gsize i = 0; i < json_array_size(disks); i++) {
        if (g_strcmp0(gw_at_text(json_array_get(disks, i), "target"), gw_at_text(disk, "target")) ==
            0)
            return TRUE;
    }
    return FALSE;
}

json_t *gw_disk_choices(const GwArgs *args, GError **error)
{
    const GPtrArray *given = gw_args_all(args, "disk");
    g_autoptr(GwJson) disks = json_array();

    for (guint i = 0; given != NULL && i < given->len; i++) {
        g_autoptr(GwJson) disk = gw_disk_choice_read(given->pdata[i], error);
        if (disk == NULL)
            return NULL;
        if (is_chosen(disks, disk)) {
            bad_disk(error, given->pdata[i], "this disk is chosen twice");
            return NULL;
        }
        json_array_append(disks, disk);
    }
    return g_steal_pointer(&disks);
}

/* Times ----------------------------------------------------------------------------------- */

static gint64 unit_of(const char *word)
{
    static const struct {
        const char *word;
        gint64 seconds;
    } units[] = { { "", 1 },     { "s", 1 },     { "m", 60 },       { "min", 60 },
                  { "h", 3600 }, { "d", 86400 }, { "w", 7 * 86400 } };

    for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strcmp(units[i].word, word) == 0)
            return units[i].seconds;
    }
    return 0;
}

gboolean gw_duration_read(const char *option, const char *text, gint64 none, gint64 *seconds,
                          GError **error)
{
    char *end = NULL;

    if (strcmp(text, "none") == 0) {
        *seconds = none;
        return TRUE;
    }
    gint64 number = g_ascii_isdigit(*text) ? g_ascii_strtoll(text, &end, 10) : 0;
    gint64 unit = end != NULL ? unit_of(end) : 0;
    if (number > 0 && unit > 0 && number <= GW_KEEP_SOURCE_MAX_S / unit) {
        *seconds = number * unit;
        return TRUE;
    }
    gw_error_set(error, GW_ERR_INVALID,
                 "Give a number with s, min, h, d or w, at most 365d: 30min, 24h, 7d; or none.",
                 "--%s is '%.100s', which is no time", option, text);
    return FALSE;
}

gboolean gw_put_keep_source(const GwArgs *args, gint64 none, json_t *body, GError **error)
{
    const char *text = gw_args_text(args, "keep-source");
    gint64 seconds = 0;

    if (text == NULL)
        return TRUE;
    if (!gw_duration_read("keep-source", text, none, &seconds, error))
        return FALSE;
    json_object_set_new(body, "keep_source_s", json_integer(seconds));
    return TRUE;
}

/* Transfer types -------------------------------------------------------------------------- */

const char *const gw_transfer_words[] = { "live", "live-vsm", "network", "fast-copy",
                                          "san",  "register", NULL };

const char *gw_transfer_of_word(const char *word)
{
    static const GwTransfer transfers[] = { GW_TRANSFER_LIVE,    GW_TRANSFER_LIVE_VSM,
                                            GW_TRANSFER_NETWORK, GW_TRANSFER_FAST_COPY,
                                            GW_TRANSFER_SAN,     GW_TRANSFER_REGISTER };

    for (guint i = 0; gw_transfer_words[i] != NULL; i++) {
        if (strcmp(gw_transfer_words[i], word) == 0)
            return gw_enum_word(&gw_transfer_enum, (int)transfers[i]);
    }
    return NULL;
}
