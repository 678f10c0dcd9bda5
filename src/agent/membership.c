/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/membership.h"

#include <errno.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/join.h"
#include "agent/warden.h"
#include "base/error.h"
#include "base/options.h"
#include "wire/identity.h"

#define CONFIG_FILE "/etc/godwit/godwit-agent.conf"
#define GROUP "agent"
#define STATE_FILE "host.json"

static GKeyFile *read_config(void)
{
    GKeyFile *file = g_key_file_new();
    g_key_file_load_from_file(file, CONFIG_FILE, G_KEY_FILE_NONE, NULL);
    return file;
}

int membership_port(void)
{
    g_autoptr(GKeyFile) file = read_config();
    int port = g_key_file_get_integer(file, GROUP, "port", NULL);

    return port > 0 && port <= 65535 ? port : 0;
}

void membership_options_clear(MembershipOptions *options)
{
    g_free(options->state_dir);
}

static void set_defaults(MembershipOptions *options)
{
    g_autoptr(GKeyFile) file = read_config();

    if (options->state_dir == NULL)
        options->state_dir = g_key_file_get_string(file, GROUP, "state-dir", NULL);
    if (options->state_dir == NULL)
        options->state_dir = g_strdup(GW_WARDEN_STATE_FOLDER);
}

gboolean membership_parse(MembershipOptions *options, const char *summary,
                          const GOptionEntry *entries, int *argc, char ***argv, GError **error)
{
    const GOptionEntry common[] = {
        { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
          "Identity and epochs (default: " GW_WARDEN_STATE_FOLDER ")", "DIR" },
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(summary);

    g_option_context_add_main_entries(context, common, NULL);
    if (entries != NULL)
        g_option_context_add_main_entries(context, entries, NULL);
    if (!gw_options_parse(context, "--help", argc, argv, error))
        return FALSE;
    set_defaults(options);
    return TRUE;
}

gboolean membership_prepare(const MembershipOptions *options, GError **error)
{
    if (!gw_files_folder(options->state_dir, error))
        return FALSE;
    if (access(options->state_dir, W_OK) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_STORE, "Run it as root.", "the state folder %s: %s",
                 options->state_dir, g_strerror(errno));
    return FALSE;
}

int membership_complain(const GError *error)
{
    const char *remedy = gw_error_remedy(error);

    g_printerr("godwit-agent: %s\n%s%s", error->message, remedy != NULL ? remedy : "",
               remedy != NULL ? "\n" : "");
    return g_error_matches(error, GW_ERROR, GW_ERR_INVALID) ? 2 : 1;
}

/* leave --------------------------------------------------------------------------------------- */

int agent_leave(int argc, char **argv)
{
    MembershipOptions options = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(GwAgentState) state = NULL;

    if (membership_parse(&options, "- leave the fabric", NULL, &argc, &argv, &error)) {
        state = gw_agent_state_load(options.state_dir, &error);
        /* A damaged state is a reason to leave, not to stay. */
        if (g_error_matches(error, GW_ERROR, GW_ERR_STORE))
            g_clear_error(&error);
        /* Only who the host is goes. The epochs stay: what they rule out stays ruled out, whichever
         * fabric the host is in next. */
        if (error == NULL && gw_files_remove(options.state_dir, STATE_FILE, &error))
            g_print("left fabric %s\nStop the agent: systemctl disable --now godwit-agent. At the "
                    "controller: godwit host remove.\n",
                    state != NULL ? state->fabric_id : "(unknown)");
    }
    membership_options_clear(&options);
    return error != NULL ? membership_complain(error) : 0;
}

/* status -------------------------------------------------------------------------------------- */

static void print_status(const GwAgentState *state)
{
    g_autoptr(GwPeer) self = gw_identity_read(state->certificate_pem, NULL);
    g_autoptr(GDateTime) end = self != NULL ? g_date_time_new_from_unix_utc(self->expires_s) : NULL;
    g_autofree char *date = end != NULL ? g_date_time_format(end, "%Y-%m-%dT%H:%M:%SZ") : NULL;

    g_print("fabric: %s\nhost: %s\ncertificate: %s\nexpires: %s\nclock-offset-s: %" G_GINT64_FORMAT
            "\n",
            state->fabric_id, state->host_id, self != NULL ? self->serial : "unreadable",
            date != NULL ? date : "unknown", state->offset_s);
}

int agent_status(int argc, char **argv)
{
    MembershipOptions options = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(GwAgentState) state = NULL;
    int status = 0;

    if (membership_parse(&options, "- say which fabric this host is in", NULL, &argc, &argv,
                         &error))
        state = gw_agent_state_load(options.state_dir, &error);
    if (state != NULL)
        print_status(state);
    else if (g_error_matches(error, GW_ERROR, GW_ERR_NOT_FOUND))
        status = (membership_complain(error), 3);
    else
        status = membership_complain(error);
    membership_options_clear(&options);
    return status;
}
