/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/exits.h"
#include "cli/help.h"
#include "cli/settings.h"

/* Appends @text so that scdoc takes every character as itself. */
static void put(GString *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr("_*\\#+[]|<>-.`~", *p) != NULL)
            g_string_append_c(out, '\\');
        g_string_append_c(out, *p);
    }
}

/* "*left*" on a line, @doc indented below it. */
static void put_item(GString *out, const char *left, const char *doc)
{
    g_string_append_c(out, '*');
    put(out, left);
    g_string_append(out, "*\n\t");
    put(out, doc);
    g_string_append(out, "\n\n");
}

static void put_options(GString *out, const GwOption *options)
{
    for (const GwOption *o = options; o != NULL && o->name != NULL; o++) {
        g_autofree char *usage = gw_option_usage(o);
        put_item(out, usage, o->doc);
    }
}

static void put_paragraphs(GString *out, const char *text)
{
    if (*text == '\0')
        return;
    put(out, text);
    g_string_append(out, "\n\n");
}

static void put_examples(GString *out, const GwExample *examples)
{
    for (const GwExample *e = examples; e->command != NULL; e++) {
        put_paragraphs(out, e->doc);
        g_string_append(out, "```\n");
        g_string_append_printf(out, "%s\n```\n\n", e->command);
    }
}

static void put_command(GString *out, const GwCommand *command)
{
    g_autofree char *usage = gw_command_usage(command);
    g_autofree char *full = g_strdup_printf("godwit %s", command->name);

    g_string_append_printf(out, "## %s\n\n", full);
    g_string_append_c(out, '*');
    put(out, full);
    g_string_append(out, "* ");
    put(out, usage);
    g_string_append(out, "\n\n");
    put(out, command->summary);
    g_string_append(out, ".\n\n");
    put_paragraphs(out, command->description);
    for (const GwArgument *a = command->arguments; a != NULL && a->name != NULL; a++)
        put_item(out, a->name, a->doc);
    put_options(out, command->options);
    put_examples(out, command->examples);
    if (command->requirements != NULL)
        g_string_append_printf(out, "Requirements: %s.\n\n", command->requirements);
}

static void put_commands(GString *out, const char *group)
{
    const GwCommand *command = NULL;

    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (!command->hidden && gw_command_in_group(command, group))
            put_command(out, command);
    }
}

static void put_exits(GString *out)
{
    g_string_append(out, "# EXIT STATUS\n\n");
    for (const GwExitRow *row = gw_exit_rows; row->doc != NULL; row++) {
        g_autofree char *status = g_strdup_printf("%d", row->status);
        put_item(out, status, row->doc);
    }
}

static void put_settings(GString *out)
{
    g_string_append(out, "# ENVIRONMENT\n\n");
    for (const GwSettingRow *row = gw_setting_rows; row->option != NULL; row++) {
        if (row->variable != NULL)
            put_item(out, row->variable, row->doc);
    }
    put_item(out, "NO_COLOR", "No colours, where it is set and not empty.");
    g_string_append(out, "# FILES\n\n");
    put_item(out, "~/.config/godwit/client.conf, " GW_SYSTEM_CONFIG,
             "Settings, the user's before the system's; the command line and the environment go "
             "before both. A group [client] with these keys:");
    g_string_append(out, "```\n[client]\n");
    for (const GwSettingRow *row = gw_setting_rows; row->option != NULL; row++)
        g_string_append_printf(out, "# %s\n%s = %s\n", row->doc, row->option, row->fallback);
    g_string_append(out, "```\n\n");
    put_item(out, "/var/lib/godwit/tls/ca.pem, /var/lib/godwit/admin.token",
             "Where godwitd leaves its CA and the first administrator's token. On other machines "
             "put copies where only you can read them, and name them by --ca and --token-file.");
}

static void put_groups(GString *out)
{
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++) {
        const GwCommand *command = NULL;
        g_string_append_printf(out, "## %s\n\n%s: *godwit-%s*(1).\n\n", g->name, g->summary,
                               g->name);
        for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
            if (gw_command_in_group(command, g->name))
                put_item(out, command->name, command->summary);
        }
    }
}

static void put_see_also(GString *out)
{
    g_string_append(out, "# SEE ALSO\n\n*godwit*(1), ");
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++)
        g_string_append_printf(out, "*godwit-%s*(1), ", g->name);
    g_string_append(out, "*godwitd*(8), *virsh*(1)\n");
}

static void put_overview(GString *out)
{
    g_string_append(
        out,
        "godwit(1) \"Godwit " GW_VERSION "\" \"Godwit Manual\"\n\n# NAME\n\n"
        "godwit - move running virtual machines between libvirt/QEMU hosts\n\n"
        "# SYNOPSIS\n\n*godwit* _COMMAND_ [arguments] [options]\n\n# DESCRIPTION\n\n"
        "Talks to the controller, *godwitd*(8), which watches the hosts and moves the VMs. "
        "Options may stand anywhere; after \\-\\- everything is an argument.\n\n# OPTIONS\n\n");
    put_options(out, gw_global_options);
    g_string_append(out, "# COMMANDS\n\n");
    put_groups(out);
    put_commands(out, NULL);
    put_exits(out);
    put_settings(out);
}

static void put_group(GString *out, const GwCommandGroup *group)
{
    g_string_append_printf(out,
                           "godwit-%s(1) \"Godwit " GW_VERSION "\" \"Godwit Manual\"\n\n# NAME\n\n"
                           "godwit-%s - ",
                           group->name, group->name);
    g_autofree char *small = g_utf8_strdown(group->summary, 1);
    g_string_append_printf(out, "%s%s\n\n# DESCRIPTION\n\n", small, group->summary + 1);
    put_paragraphs(out, group->description);
    g_string_append(out, "Options of all commands, exit status and files: *godwit*(1).\n\n"
                         "# COMMANDS\n\n");
    put_commands(out, group->name);
}

char *gw_man_page(const GwCommandGroup *group)
{
    GString *out = g_string_new(NULL);

    if (group != NULL)
        put_group(out, group);
    else
        put_overview(out);
    put_see_also(out);
    return g_string_free(out, FALSE);
}
