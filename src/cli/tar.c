/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/tar.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define BLOCK 512
#define NAME_MAX_LENGTH 99

/* Where the header's fields are, by POSIX: numbers are octal text. */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_TIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_VERSION = 263,
    AT_USER = 265,
    AT_GROUP = 297,
};

static void put_octal(char *header, int at, int digits, guint64 value)
{
    g_autofree char *text = g_strdup_printf("%0*" G_GINT64_MODIFIER "o", digits, value);
    memcpy(header + at, text, strlen(text));
}

static void put_header(GString *tar, const char *name, guint mode, gsize size)
{
    char header[BLOCK] = { 0 };
    guint sum = 0;

    memcpy(header + AT_NAME, name, strlen(name));
    put_octal(header, AT_MODE, 7, mode);
    put_octal(header, AT_UID, 7, 0);
    put_octal(header, AT_GID, 7, 0);
    put_octal(header, AT_SIZE, 11, size);
    put_octal(header, AT_TIME, 11, 0);
    header[AT_TYPE] = '0';
    memcpy(header + AT_MAGIC, "ustar", 6);
    memcpy(header + AT_VERSION, "00", 2);
    memcpy(header + AT_USER, "root", 4);
    memcpy(header + AT_GROUP, "root", 4);
    memset(header + AT_SUM, ' ', 8); /* the sum is taken over blanks in its own place */
    for (gsize i = 0; i < sizeof(header); i++)
        sum += (guchar)header[i];
    put_octal(header, AT_SUM, 6, sum);
    header[AT_SUM + 6] = '\0';
    g_string_append_len(tar, header, sizeof(header));
}

static void fill(GString *tar)
{
    static const char zeros[BLOCK];
    gsize over = tar->len % BLOCK;

    if (over > 0)
        g_string_append_len(tar, zeros, (gssize)(BLOCK - over));
}

gboolean gw_tar_add(GString *tar, const char *name, const char *path, guint mode, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;
    gsize length = 0;

    g_return_val_if_fail(strlen(name) <= NAME_MAX_LENGTH, FALSE);
    if (!g_file_get_contents(path, &text, &length, &why)) {
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "%s", why->message);
        return FALSE;
    }
    if (length > GW_TAR_FILE_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL, "%s is larger than is accepted", path);
        return FALSE;
    }
    put_header(tar, name, mode, length);
    g_string_append_len(tar, text, (gssize)length);
    fill(tar);
    return TRUE;
}

void gw_tar_end(GString *tar)
{
    static const char zeros[2 * BLOCK];
    g_string_append_len(tar, zeros, sizeof(zeros));
}
