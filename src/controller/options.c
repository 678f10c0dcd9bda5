/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "controller/options.h"

#include "api/api.h"
#include "base/error.h"
#include "base/options.h"
#include "engine/engine_config.h"

#define CONFIG_FILE "/etc/godwit/godwitd.conf"
#define GROUP "controller"
#define PORT_UNSET (-1)
#define UNSET (-1)
#define JOB_HISTORY_UNSET (-1)
#define USAGE_INTERVAL_S 60
#define USAGE_INTERVAL_MAX_S 86400

void options_clear(Options *options)
{
    g_free(options->state_dir);
    g_free(options->listen);
    g_strfreev(options->names);
    g_free(options->simulate);
}

static gboolean read_file(Options *options, GError **error)
{
    g_autoptr(GKeyFile) file = gw_options_load(CONFIG_FILE, error);

    if (file == NULL)
        return FALSE;
    if (options->state_dir == NULL)
        options->state_dir = g_key_file_get_string(file, GROUP, "state-dir", NULL);
    if (options->listen == NULL)
        options->listen = g_key_file_get_string(file, GROUP, "listen", NULL);
    if (options->names == NULL)
        options->names = g_key_file_get_string_list(file, GROUP, "name", NULL, NULL);
    if (options->usage_interval_s == UNSET &&
        g_key_file_has_key(file, GROUP, "usage-interval", NULL))
        options->usage_interval_s = g_key_file_get_integer(file, GROUP, "usage-interval", NULL);
    if (options->job_history == JOB_HISTORY_UNSET &&
        g_key_file_has_key(file, GROUP, "job-history", NULL))
        options->job_history = g_key_file_get_integer(file, GROUP, "job-history", NULL);
    if (options->port == PORT_UNSET && g_key_file_has_key(file, GROUP, "port", NULL))
        options->port = g_key_file_get_integer(file, GROUP, "port", NULL);
    return TRUE;
}

/* Clients use the address we listen on as a name, unless it stands for every address. */
static void add_listen_name(Options *options)
{
    static const char *const none[] = { "0.0.0.0", "::", "127.0.0.1", "::1", NULL };
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    if (g_strv_contains(none, options->listen))
        return;
    if (options->names != NULL)
        g_strv_builder_addv(names, (const char **)options->names);
    g_strv_builder_add(names, options->listen);
    g_strfreev(options->names);
    options->names = g_strv_builder_end(names);
}

static void set_defaults(Options *options)
{
    if (options->state_dir == NULL)
        options->state_dir = g_strdup("/var/lib/godwit");
    if (options->listen == NULL)
        options->listen = g_strdup("127.0.0.1");
    if (options->port == PORT_UNSET)
        options->port = GW_API_PORT;
    if (options->usage_interval_s == UNSET)
        options->usage_interval_s = USAGE_INTERVAL_S;
    if (options->job_history == JOB_HISTORY_UNSET)
        options->job_history = GW_JOB_HISTORY_DEFAULT;
    add_listen_name(options);
}

gboolean options_parse(Options *options, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
          "Database, token and TLS key (default: /var/lib/godwit)", "DIR" },
        { "listen", 0, 0, G_OPTION_ARG_STRING, &options->listen,
          "IP address to listen on (default: 127.0.0.1)", "ADDRESS" },
        { "port", 0, 0, G_OPTION_ARG_INT, &options->port, "Port (default: 8447; 0: any free one)",
          "PORT" },
        { "name", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->names,
          "One more name for the certificate that is made at the first start", "NAME" },
        { "simulate", 0, 0, G_OPTION_ARG_FILENAME, &options->simulate,
          "Manage the simulated fabric in FILE instead of real hosts", "FILE" },
        { "usage-interval", 0, 0, G_OPTION_ARG_INT, &options->usage_interval_s,
          "Seconds between looks at what hosts and VMs use (default: 60; 0: never)", "SECONDS" },
        { "job-history", 0, 0, G_OPTION_ARG_INT, &options->job_history,
          "Jobs that are over to keep in the database beside those that are listed (default: "
          "10000)",
          "N" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL },
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- the Godwit controller");

    options->port = PORT_UNSET;
    options->usage_interval_s = UNSET;
    options->job_history = JOB_HISTORY_UNSET;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!gw_options_parse(context, "godwitd --help", argc, argv, error) ||
        !read_file(options, error))
        return FALSE;
    set_defaults(options);
    if (options->port < 0 || options->port > 65535) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "port %d is not from 0 to 65535", options->port);
        return FALSE;
    }
    if (options->usage_interval_s < 0 || options->usage_interval_s > USAGE_INTERVAL_MAX_S) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "usage-interval %d is not from 0 to %d",
                     options->usage_interval_s, USAGE_INTERVAL_MAX_S);
        return FALSE;
    }
    if (options->job_history < 0 || options->job_history > GW_JOB_HISTORY_MAX) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "job-history %d is not from 0 to %d",
                     options->job_history, GW_JOB_HISTORY_MAX);
        return FALSE;
    }
    return TRUE;
}
