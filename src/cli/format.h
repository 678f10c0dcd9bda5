/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* Values for people. All strings are owned by the caller. */

char *gw_format_bytes(gint64 bytes);           /* "512 MiB", "1.5 GiB" */
char *gw_format_rate(gint64 bytes_per_second); /* "110 MiB/s" */
char *gw_format_ms(gint64 ms);                 /* "350 ms", "12.3 s", "2 min 5 s", "1 h 2 min" */
/* Rounded, for what is only predicted: "3 s", "1 min 20 s", "12 min", "1 h 5 min". */
char *gw_format_about_ms(gint64 ms);
char *gw_format_seconds(gint64 seconds); /* "45 s", "90 min", "36 h", "7 d": exact */
char *gw_format_version(gint64 version); /* libvirt's counting: "10.0.2" */

/* Text from outside for one line of a terminal: printable, line breaks as blanks. */
char *gw_format_line(const char *text);

/* Columns that @text takes on a terminal; and @text cut to @columns, with an ellipsis. */
int gw_format_width(const char *text);
char *gw_format_cut(const char *text, int columns, gboolean utf8);

/* Members by path ("facts.memory_kib"); borrowed, NULL, or the fallback where absent. */
json_t *gw_at(json_t *json, const char *path);
const char *gw_at_text(json_t *json, const char *path);
gint64 gw_at_int(json_t *json, const char *path, gint64 fallback);
gboolean gw_at_true(json_t *json, const char *path);
