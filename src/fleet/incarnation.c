/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/error.h"
#include "fleet/fleet.h"

/* The number of this start of the controller. Agents refuse a lower one than they have seen: it is
 * of an old copy of the state folder, which knows nothing of the moves since. */

static gboolean read_last(const char *path, gint64 *last, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;

    *last = 0;
    if (!g_file_get_contents(path, &text, NULL, &why)) {
        if (g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            return TRUE;
        gw_error_set(error, GW_ERR_STORE, "Make the file readable.", "%s", why->message);
        return FALSE;
    }
    if (g_ascii_string_to_signed(g_strchomp(text), 10, 1, G_MAXINT64 - 1, last, NULL))
        return TRUE;
    gw_error_set(error, GW_ERR_STORE,
                 "Write a number into it that is higher than every one before: agents refuse a "
                 "lower one.",
                 "%s does not hold a number", path);
    return FALSE;
}

gint64 gw_fleet_next_incarnation(const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    gint64 last = 0;

    if (!read_last(path, &last, error))
        return 0;
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT "\n", last + 1);
    /* On disk before anybody hears of it. */
    if (g_file_set_contents_full(path, text, -1,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &why))
        return last + 1;
    gw_error_set(error, GW_ERR_STORE, "Make the state folder writable, with room on its disk.",
                 "cannot count this start of the controller: %s", why->message);
    return 0;
}
