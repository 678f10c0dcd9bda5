/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <locale.h>
#include <sys/stat.h>

#include "agent/join.h"
#include "agent/run.h"

/* godwit-agent: what a host runs to be moved to and from without any set-up between hosts. */

/* A command is one row; its own --help says its options. */
static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "run", "serve as the agent of this host", agent_run },
    { "join", "take this host into a controller's fabric", agent_join },
    { "leave", "take this host out of its fabric", agent_leave },
    { "status", "show which fabric this host is in", agent_status },
};

static void print_help(void)
{
    g_print("godwit-agent COMMAND [OPTION...]\n\n");
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        g_print("  %-8s  %s\n", commands[i].name, commands[i].summary);
    g_print("\ngodwit-agent COMMAND --help says more; --version prints the version.\n");
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    umask(0077);
    if (argc == 2 && g_str_equal(argv[1], "--version")) {
        g_print("godwit-agent %s\n", GW_VERSION);
        return 0;
    }
    for (guint i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++) {
        if (!g_str_equal(argv[1], commands[i].name))
            continue;
        g_autofree char *name = g_strconcat("godwit-agent ", commands[i].name, NULL);
        g_set_prgname(name); /* what --help calls it */
        return commands[i].run(argc - 1, argv + 1);
    }
    print_help();
    return argc == 2 && g_str_equal(argv[1], "--help") ? 0 : 2;
}
