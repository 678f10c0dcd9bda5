/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/options.h"

#include "agent/front.h"
#include "base/error.h"
#include "base/options.h"

#define CONFIG_FILE "/etc/godwit/godwit-agent.conf"
#define GROUP "agent"
#define UNSET (-1)

void run_options_clear(RunOptions *options)
{
    g_strfreev(options->listen);
    g_free(options->user);
    g_free(options->empty_dir);
    g_free(options->state_dir);
    g_free(options->run_dir);
    g_free(options->libvirt_socket);
    g_free(options->qemu_conf);
    g_free(options->emulator_group);
    g_free(options->proc_dir);
    g_free(options->sys_dir);
}

static void read_text(GKeyFile *file, const char *key, char **value)
{
    if (*value == NULL)
        *value = g_key_file_get_string(file, GROUP, key, NULL);
}

static void read_number(GKeyFile *file, const char *key, gint *value)
{
    if (*value == UNSET && g_key_file_has_key(file, GROUP, key, NULL))
        *value = g_key_file_get_integer(file, GROUP, key, NULL);
}

static gboolean read_file(RunOptions *options, GError **error)
{
    g_autoptr(GKeyFile) file = gw_options_load(CONFIG_FILE, error);

    if (file == NULL)
        return FALSE;
    if (options->listen == NULL)
        options->listen = g_key_file_get_string_list(file, GROUP, "listen", NULL, NULL);
    read_number(file, "port", &options->port);
    read_number(file, "threads", &options->threads);
    read_text(file, "user", &options->user);
    read_text(file, "state-dir", &options->state_dir);
    read_text(file, "run-dir", &options->run_dir);
    read_text(file, "libvirt-socket", &options->libvirt_socket);
    read_text(file, "qemu-conf", &options->qemu_conf);
    read_text(file, "emulator-group", &options->emulator_group);
    options->shared_kernel =
        options->shared_kernel || g_key_file_get_boolean(file, GROUP, "shared-kernel", NULL);
    return TRUE;
}

static gboolean settle(RunOptions *options, GError **error)
{
    if (options->port == UNSET)
        options->port = AGENT_PORT;
    if (options->threads == UNSET)
        options->threads = 0;
    if (options->user == NULL)
        options->user = g_strdup("godwit-agent");
    if (options->empty_dir == NULL)
        options->empty_dir = g_strdup("/run/godwit-agent/empty");
    if (options->port < 1 || options->port > 65535)
        gw_error_set(error, GW_ERR_INVALID, NULL, "port %d is not from 1 to 65535", options->port);
    else if (options->threads < 0 || options->threads > GW_FRONT_THREADS_MAX)
        gw_error_set(error, GW_ERR_INVALID, NULL, "%d threads are not from 1 to %d",
                     options->threads, GW_FRONT_THREADS_MAX);
    else
        return TRUE;
    return FALSE;
}

static gboolean parse(RunOptions *options, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "listen", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->listen,
          "IP address to listen on; may be given again (default: all)", "ADDRESS" },
        { "port", 0, 0, G_OPTION_ARG_INT, &options->port, "Port (default: 8447)", "PORT" },
        { "threads", 0, 0, G_OPTION_ARG_INT, &options->threads,
          "Threads that carry streams (default: one for each processor, at most 4)", "N" },
        { "user", 0, 0, G_OPTION_ARG_STRING, &options->user,
          "Whom the network-facing process becomes (default: godwit-agent)", "NAME" },
        { "empty-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->empty_dir,
          "What it has for a root folder (default: /run/godwit-agent/empty)", "DIR" },
        { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
          "Identity and epochs (default: /var/lib/godwit-agent)", "DIR" },
        { "run-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->run_dir,
          "Sockets for libvirt and QEMU (default: /run/libvirt/godwit)", "DIR" },
        { "libvirt-socket", 0, 0, G_OPTION_ARG_FILENAME, &options->libvirt_socket,
          "libvirt's socket (default: the one that is there)", "PATH" },
        { "qemu-conf", 0, 0, G_OPTION_ARG_FILENAME, &options->qemu_conf,
          "libvirt's settings of QEMU (default: /etc/libvirt/qemu.conf)", "PATH" },
        { "emulator-group", 0, 0, G_OPTION_ARG_STRING, &options->emulator_group,
          "Group that emulators run in (default: by libvirt's settings)", "NAME" },
        { "proc-dir", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options->proc_dir,
          "The process table (default: /proc)", "DIR" },
        { "sys-dir", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options->sys_dir,
          "The devices (default: /sys)", "DIR" },
        { "shared-kernel", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options->shared_kernel,
          "Several hosts share this kernel (a lab); never on a real host", NULL },
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- serve as the agent of this host");

    g_option_context_add_main_entries(context, entries, NULL);
    return gw_options_parse(context, "godwit-agent run --help", argc, argv, error);
}

gboolean run_options_parse(RunOptions *options, int *argc, char ***argv, GError **error)
{
    options->port = UNSET;
    options->threads = UNSET;
    return parse(options, argc, argv, error) && read_file(options, error) && settle(options, error);
}
