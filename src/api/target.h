/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#define GW_TARGET_MAX 8192 /* bytes of a request's target */

/* Splits a raw request target into its decoded path segments and query. Segments are decoded after
 * the split, so a %2F stays inside its segment. Refused: bad or NUL escapes, control characters,
 * what is not UTF-8, empty segments, "." and ".." (nothing here is a file, but what stands before
 * us may normalise them), doubled query names. */
gboolean gw_target_parse(const char *target, char ***segments, GHashTable **query, GError **error);
