/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/settings.h"

#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

#define CONFIG_MAX (64 * 1024) /* bytes of a configuration file */
#define GROUP "client"

const GwSettingRow gw_setting_rows[] = {
    { "server", "GODWIT_SERVER", "https://127.0.0.1:8447", "The controller's URL." },
    { "ca", "GODWIT_CA", "/var/lib/godwit/tls/ca.pem", "The CA file, or 'system'." },
    { "token-file", "GODWIT_TOKEN_FILE", "/var/lib/godwit/admin.token", "The token file." },
    { "output", NULL, "table", "Output format: table, json or yaml." },
    { "retry-time", NULL, "300",
      "Seconds to go on trying when the controller goes away while a job is followed." },
    { .option = NULL },
};

void gw_settings_free(GwSettings *settings)
{
    if (settings == NULL)
        return;
    g_free(settings->server);
    g_free(settings->ca_file);
    g_free(settings->token_file);
    g_free(settings);
}

char **gw_settings_files(void)
{
    g_autoptr(GStrvBuilder) files = g_strv_builder_new();
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "godwit", "client.conf", NULL);

    g_strv_builder_add_many(files, own, GW_SYSTEM_CONFIG, NULL);
    return g_strv_builder_end(files);
}

static gboolean bad_config(const char *path, const char *what, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID,
                 "Correct the file; it may hold [client] with server, ca, token-file, output and "
                 "retry-time.",
                 "configuration file '%s': %s", path, what);
    return FALSE;
}

static const GwSettingRow *find_row(const char *option)
{
    for (const GwSettingRow *row = gw_setting_rows; row->option != NULL; row++) {
        if (strcmp(row->option, option) == 0)
            return row;
    }
    return NULL;
}

/* A misspelt key would otherwise pass in silence. */
static gboolean check_keys(GKeyFile *config, const char *path, GError **error)
{
    g_auto(GStrv) groups = g_key_file_get_groups(config, NULL);

    for (guint g = 0; groups[g] != NULL; g++) {
        if (strcmp(groups[g], GROUP) != 0)
            return bad_config(path, "it has a group other than [client]", error);
        g_auto(GStrv) keys = g_key_file_get_keys(config, groups[g], NULL, NULL);
        for (guint k = 0; keys[k] != NULL; k++) {
            g_autofree char *what = g_strdup_printf("unknown key '%.100s'", keys[k]);
            if (find_row(keys[k]) == NULL)
                return bad_config(path, what, error);
        }
    }
    return TRUE;
}

/* A new key file; empty where there is no file. */
static GKeyFile *load_config(const char *path, GError **error)
{
    g_autoptr(GKeyFile) config = g_key_file_new();
    g_autoptr(GError) why = NULL;
    struct stat info;

    if (stat(path, &info) != 0)
        return g_steal_pointer(&config);
    if (!S_ISREG(info.st_mode) || info.st_size > CONFIG_MAX) {
        bad_config(path, "it is no file of at most 64 KiB", error);
        return NULL;
    }
    if (!g_key_file_load_from_file(config, path, G_KEY_FILE_NONE, &why)) {
        if (g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_ACCES))
            return g_steal_pointer(&config); /* another user's: not meant for us */
        bad_config(path, why->message, error);
        return NULL;
    }
    return check_keys(config, path, error) ? g_steal_pointer(&config) : NULL;
}

static char *choose(const GwSettingRow *row, const GwArgs *args, GPtrArray *configs)
{
    const char *variable = row->variable != NULL ? g_getenv(row->variable) : NULL;

    if (gw_args_has(args, row->option))
        return g_strdup(gw_args_text(args, row->option));
    if (variable != NULL && *variable != '\0')
        return g_strdup(variable);
    for (guint i = 0; i < configs->len; i++) {
        char *value = g_key_file_get_string(configs->pdata[i], GROUP, row->option, NULL);
        if (value != NULL)
            return value;
    }
    return g_strdup(row->fallback);
}

static gboolean read_output(const char *word, GwOutput *output, GError **error)
{
    static const char *const words[] = { "table", "json", "yaml" };

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(words[i], word) == 0) {
            *output = (GwOutput)i;
            return TRUE;
        }
    }
    gw_error_set(error, GW_ERR_INVALID, "Use table, json or yaml.", "output '%.100s' is unknown",
                 word);
    return FALSE;
}

static gboolean read_seconds(const char *text, gint64 *seconds, GError **error)
{
    if (g_ascii_string_to_signed(text, 10, 0, 1000000, seconds, NULL))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Give a number of seconds.",
                 "retry-time '%.100s' is no number from 0 to 1000000", text);
    return FALSE;
}

GwSettings *gw_settings_load(const GwArgs *args, const char *const *config_files, GError **error)
{
    g_autoptr(GPtrArray) configs = g_ptr_array_new_with_free_func((GDestroyNotify)g_key_file_unref);
    g_autoptr(GwSettings) settings = g_new0(GwSettings, 1);

    for (guint i = 0; config_files[i] != NULL; i++) {
        GKeyFile *config = load_config(config_files[i], error);
        if (config == NULL)
            return NULL;
        g_ptr_array_add(configs, config);
    }
    settings->server = choose(find_row("server"), args, configs);
    settings->ca_file = choose(find_row("ca"), args, configs);
    settings->token_file = choose(find_row("token-file"), args, configs);
    settings->no_color = gw_args_has(args, "no-color");
    g_autofree char *output = choose(find_row("output"), args, configs);
    g_autofree char *retry = choose(find_row("retry-time"), args, configs);
    if (!read_output(output, &settings->output, error) ||
        !read_seconds(retry, &settings->retry_s, error))
        return NULL;
    return g_steal_pointer(&settings);
}
