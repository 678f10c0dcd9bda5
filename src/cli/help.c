/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/help.h"

#include <string.h>

#define WIDTH 80
#define DOC_COLUMN 28 /* where the explanation of an option or command begins */

/* Appends @text, filled to WIDTH, each line after @indent blanks; the cursor is at @column. */
static void put_filled(GString *out, const char *text, int indent, int column)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    gboolean first = TRUE;

    for (guint i = 0; words[i] != NULL; i++) {
        int width = (int)g_utf8_strlen(words[i], -1);
        if (!first && column + 1 + width > WIDTH) {
            g_string_append_printf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            g_string_append_c(out, ' ');
            column++;
        }
        g_string_append(out, words[i]);
        column += width;
        first = FALSE;
    }
    g_string_append_c(out, '\n');
}

static void put_row(GString *out, const char *left, const char *doc)
{
    int width = 2 + (int)g_utf8_strlen(left, -1);

    g_string_append_printf(out, "  %s", left);
    if (width + 2 > DOC_COLUMN) {
        g_string_append_c(out, '\n');
        width = 0;
    }
    g_string_append_printf(out, "%*s", DOC_COLUMN - width, "");
    put_filled(out, doc, DOC_COLUMN, DOC_COLUMN);
}

static void put_options(GString *out, const char *heading, const GwOption *options)
{
    if (options == NULL || options->name == NULL)
        return;
    g_string_append_printf(out, "\n%s:\n", heading);
    for (const GwOption *o = options; o->name != NULL; o++) {
        g_autofree char *usage = gw_option_usage(o);
        put_row(out, usage, o->doc);
    }
}

static void put_commands(GString *out, const char *group)
{
    const GwCommand *command = NULL;

    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (!command->hidden && gw_command_in_group(command, group))
            put_row(out, command->name, command->summary);
    }
}

char *gw_help_overview(void)
{
    GString *out = g_string_new("Usage: godwit COMMAND [arguments] [options]\n\n"
                                "Moves running virtual machines between libvirt/QEMU hosts.\n");

    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++) {
        g_string_append_printf(out, "\n%s:\n", g->summary);
        put_commands(out, g->name);
    }
    g_string_append(out, "\nOthers:\n");
    put_commands(out, NULL);
    put_options(out, "Options of all commands", gw_global_options);
    g_string_append(out, "\nMore: godwit help COMMAND, man godwit\n");
    return g_string_free(out, FALSE);
}

char *gw_help_group(const GwCommandGroup *group)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "Usage: godwit %s COMMAND [arguments] [options]\n\n", group->name);
    put_filled(out, group->description, 0, 0);
    g_string_append(out, "\nCommands:\n");
    put_commands(out, group->name);
    g_string_append_printf(out, "\nMore: godwit help %s COMMAND, man godwit-%s\n", group->name,
                           group->name);
    return g_string_free(out, FALSE);
}

char *gw_help_command(const GwCommand *command)
{
    g_autofree char *usage = gw_command_usage(command);
    g_auto(GStrv) paragraphs = g_strsplit(command->description, "\n\n", -1);
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "Usage: godwit %s%s%s\n\n%s.\n", command->name,
                           *usage != '\0' ? " " : "", usage, command->summary);
    for (guint i = 0; paragraphs[i] != NULL; i++) {
        g_string_append_c(out, '\n');
        put_filled(out, paragraphs[i], 0, 0);
    }
    if (command->arguments != NULL)
        g_string_append(out, "\nArguments:\n");
    for (const GwArgument *a = command->arguments; a != NULL && a->name != NULL; a++)
        put_row(out, a->name, a->doc);
    put_options(out, "Options", command->options);
    put_options(out, "Options of all commands", gw_global_options);
    g_string_append(out, "\nExamples:\n");
    for (const GwExample *e = command->examples; e->command != NULL; e++)
        g_string_append_printf(out, "  %s\n      %s\n", e->command, e->doc);
    if (command->requirements != NULL)
        g_string_append_printf(out, "\nRequirements: %s\n", command->requirements);
    return g_string_free(out, FALSE);
}
