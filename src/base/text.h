/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#define GW_TEXT_NAME_MAX 255     /* characters of a name a person gives */
#define GW_TEXT_MESSAGE_MAX 2000 /* characters of a message kept from outside */

/* A copy of @text that is safe to print anywhere: valid UTF-8, control characters (which could
 * drive a terminal) and those of writing direction (which could make a name look like another)
 * replaced by U+FFFD, at most @max_chars characters. NULL gives "". */
char *gw_text_printable(const char *text, gsize max_chars);

/* Whether @name may name a thing of ours: valid UTF-8, 1 to GW_TEXT_NAME_MAX characters, no control
 * characters, no leading or trailing blank. Markup is allowed (whoever prints it escapes it).
 * @what ("host name") begins the message. */
gboolean gw_text_check_name(const char *what, const char *name, GError **error);

/* A new identifier: 26 characters of Crockford base 32, sortable by creation time (ULID layout). */
char *gw_text_new_id(gint64 wall_us);

/* Sorts @list (NULL-terminated, owned, may be NULL) and frees what is in it twice, so that equal
 * sets are equal lists. */
void gw_text_sort(char **list);
