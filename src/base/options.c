/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

#include "base/error.h"

gboolean gw_options_parse(GOptionContext *context, const char *help, int *argc, char ***argv,
                          GError **error)
{
    g_autoptr(GError) problem = NULL;

    if (!g_option_context_parse(context, argc, argv, &problem))
        gw_error_set(error, GW_ERR_INVALID, NULL, "%s; see %s", problem->message, help);
    else if (*argc > 1)
        gw_error_set(error, GW_ERR_INVALID, NULL, "unexpected '%s'; see %s", (*argv)[1], help);
    else
        return TRUE;
    return FALSE;
}

GKeyFile *gw_options_load(const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) problem = NULL;

    if (g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &problem) ||
        g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return g_steal_pointer(&file);
    gw_error_set(error, GW_ERR_INVALID, NULL, "%s: %s", path, problem->message);
    return NULL;
}
