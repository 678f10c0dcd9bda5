/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What the daemons are told by whoever starts them: words, and a file for what these leave out. */

/* Takes all of the words; @help is the command that explains them, for who got one wrong. */
gboolean gw_options_parse(GOptionContext *context, const char *help, int *argc, char ***argv,
                          GError **error);
/* The settings in @path; none where there is no such file. Free with g_key_file_unref. */
GKeyFile *gw_options_load(const char *path, GError **error);
