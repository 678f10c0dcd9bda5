/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tunnel.h"

#include "base/error.h"

#include <stdio.h>

static const char usage[] =
    "sink|blast|ping|pong END...: an END is unix:PATH or tcp:ADDRESS:PORT\n"
    "  tunnel permit --authority FOLDER --source ID=ADDRESS:PORT --destination ID=ADDRESS:PORT\n\n"
    "The ends of what bench/tunnel.py measures, and (permit) a controller that gives two agents\n"
    "leave for it until its stdin ends.";

static gboolean run(const char *what, char **ends, gint count, const PermitOptions *permit,
                    GError **error)
{
    if (g_strcmp0(what, "permit") == 0)
        return run_permit(permit, error);
    if (what != NULL && ends[0] != NULL) {
        if (g_str_equal(what, "sink"))
            return run_sink(ends, error);
        if (g_str_equal(what, "blast"))
            return run_blast(ends, error);
        if (g_str_equal(what, "pong"))
            return run_pong(ends, error);
        if (g_str_equal(what, "ping"))
            return run_ping(ends, count, error);
    }
    gw_error_set(error, GW_ERR_INVALID, NULL, "see tunnel --help");
    return FALSE;
}

int main(int argc, char **argv)
{
    PermitOptions permit = { .count = 1 };
    g_autofree char *uuid = NULL;
    gint count = 1000;
    const GOptionEntry entries[] = {
        { "authority", 0, 0, G_OPTION_ARG_FILENAME, &permit.authority,
          "permit: the fabric folder of a godwitd that does not run", "FOLDER" },
        { "source", 0, 0, G_OPTION_ARG_STRING, &permit.source, "permit: an agent",
          "ID=ADDRESS:PORT" },
        { "destination", 0, 0, G_OPTION_ARG_STRING, &permit.destination, "permit: the other",
          "ID=ADDRESS:PORT" },
        { "vms", 0, 0, G_OPTION_ARG_INT, &permit.count, "permit: made-up VMs (1)", "N" },
        /* Only to be seen in the process table: an agent connects to a VM's emulator alone. */
        { "uuid", 0, 0, G_OPTION_ARG_STRING, &uuid, "sink, pong: the made-up VM's", "UUID" },
        { "count", 0, 0, G_OPTION_ARG_INT, &count, "ping: round trips (1000)", "N" },
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(usage);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    gboolean done = g_option_context_parse(context, &argc, &argv, &error) &&
                    run(argv[1], argc > 1 ? argv + 2 : argv + 1, count, &permit, &error);
    if (!done)
        fprintf(stderr, "tunnel: %s\n", error->message);
    g_free(permit.authority);
    g_free(permit.source);
    g_free(permit.destination);
    return done ? 0 : 1;
}
