/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "cli/args.h"

/* What is typed about storage, as fields of requests. */

/* TARGET:STORAGE[/NAME][,name=NAME][,format=raw|qcow2] as a DiskChoice. STORAGE is a pool,
 * optionally with the volume's name after a slash; what begins with "/" is a path, and what holds a
 * colon a share path, both as they are (their volume's name is said by name=). STORAGE may be empty
 * where something else is said. */
json_t *gw_disk_choice_read(const char *text, GError **error);
/* All of --disk, as an array (empty: none was given); no disk twice. */
json_t *gw_disk_choices(const GwArgs *args, GError **error);

/* "90", "90s", "30min", "24h", "7d", "2w" in seconds, 1 to GW_KEEP_SOURCE_MAX_S; @none for "none".
 */
gboolean gw_duration_read(const char *option, const char *text, gint64 none, gint64 *seconds,
                          GError **error);
/* Puts --keep-source, where it was given, into @body as keep_source_s. */
gboolean gw_put_keep_source(const GwArgs *args, gint64 none, json_t *body, GError **error);

/* What --transfer takes: words that can be typed, for those of gw_transfer_enum. */
extern const char *const gw_transfer_words[];
/* The API's word for one of them. */
const char *gw_transfer_of_word(const char *word);
