/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <jansson.h>

#define GW_JSON_TEXT_MAX (1024 * 1024) /* ceiling of a document from outside, bytes */

static inline void gw_json_unref(json_t *json)
{
    json_decref(json);
}
typedef json_t GwJson; /* json_t by a name that g_autoptr can take */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwJson, gw_json_unref)

#define GW_JSON_DEPTH_MAX 64 /* levels */

/* Parses hostile text: at most @max bytes and GW_JSON_DEPTH_MAX levels, one value, no duplicate
 * keys. New reference. */
json_t *gw_json_parse(const char *text, gsize length, gsize max, GError **error);
/* Reads and parses a file under GW_JSON_TEXT_MAX * 64 bytes (fabric files are large). */
json_t *gw_json_load(const char *path, GError **error);
/* One line, keys in insertion order. Free with g_free. */
char *gw_json_text(const json_t *json);
/* Indented for people and golden files; ends with a newline. Free with g_free. */
char *gw_json_pretty(const json_t *json);
