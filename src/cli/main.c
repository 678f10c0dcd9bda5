/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <locale.h>
#include <stdio.h>

#include "cli/help.h"
#include "cli/session.h"

/* What a command printed may have met a full disk or a closed descriptor. */
static int close_output(int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    g_printerr("godwit: the output could not be written: %s\n", g_strerror(errno));
    return status == GW_EXIT_OK ? GW_EXIT_FAILED : status;
}

static int run_command(const GwArgs *args)
{
    GError *error = NULL;
    g_autoptr(GwSession) session = gw_session_new(args, &error);
    int status = GW_EXIT_FAILED;

    if (session != NULL)
        status = args->command->run(session, args, &error);
    if (error != NULL) {
        gboolean answered = session != NULL && session->client != NULL &&
                            gw_client_problem(session->client) != NULL;
        status = gw_exit_of_error(error, answered);
        gw_complain(session, error);
        g_error_free(error);
    }
    return status;
}

/* --help and --version, and a line without a command. */
static int run_without_command(const GwArgs *args)
{
    gboolean asked = gw_args_has(args, "help");
    g_autofree char *text = NULL;

    if (gw_args_has(args, "version")) {
        g_print("godwit %s\n", GW_VERSION);
        return GW_EXIT_OK;
    }
    if (args->command != NULL)
        text = gw_help_command(args->command);
    else if (args->group != NULL)
        text = gw_help_group(gw_command_group_find(args->group));
    else
        text = gw_help_overview();
    (asked ? g_print : g_printerr)("%s", text);
    return asked ? GW_EXIT_OK : GW_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    GError *error = NULL;

    setlocale(LC_ALL, "");
    g_autoptr(GwArgs) args = gw_args_parse(argv + MIN(argc, 1), &error);
    if (args == NULL) {
        gw_complain(NULL, error);
        g_error_free(error);
        return GW_EXIT_USAGE;
    }
    if (args->command == NULL || gw_args_has(args, "help") || gw_args_has(args, "version"))
        return close_output(run_without_command(args));
    return close_output(run_command(args));
}
