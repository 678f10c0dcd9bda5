/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/command.h"

#include <string.h>

static const GwCommand *const lists[] = { gw_host_commands, gw_group_commands, gw_vm_commands,
                                          gw_job_commands,  gw_kept_commands,  gw_rule_commands,
                                          gw_plan_commands, gw_cpu_commands,   gw_share_commands,
                                          gw_other_commands };

const GwCommandGroup gw_command_groups[] = {
    { "host", "Manage hosts",
      "A host is any machine with libvirt and QEMU. Godwit needs nothing installed on it; it is "
      "reached by a libvirt URI." },
    { "group", "Manage host groups", "Host groups form a tree under All Hosts." },
    { "vm", "List and move VMs",
      "VMs are named by UUID, by name, or by HOST/NAME where a name exists on several hosts." },
    { "job", "Follow and steer jobs",
      "Every long operation is a job. It goes on whether or not somebody watches. A job is named "
      "by "
      "its identifier." },
    { "kept", "List and remove old copies of disks",
      "After disks were moved their old copies are kept for a while, so that the move can be "
      "undone (godwit job undo)." },
    { "rule", "Say where VMs may run",
      "Placement rules keep VMs together or apart, or on some hosts only. A rule moves nothing: it "
      "counts when a VM is moved." },
    { "plan", "Plan many moves, and carry plans out",
      "A plan says which VM moves where, in which order and when. Draining a host (godwit host "
      "drain) makes one; as a file it can be reviewed before it is carried out." },
    { "cpu", "Compare the CPUs of hosts",
      "A VM's CPU is fixed when it boots. It can move to hosts that can give it all of that CPU." },
    { "share", "Declare and prove shared storage",
      "A directory that several hosts mount from the same place is declared as a share, and "
      "believed once a marker written through one host was read through the others." },
    { .name = NULL },
};

static const char *const output_words[] = { "table", "json", "yaml", NULL };

const GwOption gw_global_options[] = {
    { "output", GW_OPTION_CHOICE, "FORMAT", "How results are printed: table, json or yaml.",
      .letter = 'o', .words = output_words },
    { "server", GW_OPTION_TEXT, "URL", "The controller; default https://127.0.0.1:8447." },
    { "ca", GW_OPTION_TEXT, "FILE",
      "Certificates that the controller's must be signed by, or 'system' for the system's; default "
      "/var/lib/godwit/tls/ca.pem.",
      .complete = "files" },
    { "token-file", GW_OPTION_TEXT, "FILE",
      "File that holds the access token; default /var/lib/godwit/admin.token.",
      .complete = "files" },
    { "retry-time", GW_OPTION_INT, "SECONDS",
      "How long to go on trying when the controller goes away while a job is followed; default "
      "300.",
      .min = 0, .max = 1000000 },
    { "no-color", GW_OPTION_FLAG, NULL, "No colours; the variable NO_COLOR does the same." },
    { "quiet", GW_OPTION_FLAG, NULL, "Print nothing but what was asked for, and errors.",
      .letter = 'q' },
    { "help", GW_OPTION_FLAG, NULL, "Show help and exit.", .letter = 'h' },
    { "version", GW_OPTION_FLAG, NULL, "Show the version and exit." },
    { .name = NULL },
};

const GwCommand *gw_command_at(guint index)
{
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (const GwCommand *c = lists[i]; c->name != NULL; c++) {
            if (index-- == 0)
                return c;
        }
    }
    return NULL;
}

const GwCommand *gw_command_find(const char *name)
{
    const GwCommand *command = NULL;

    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

gboolean gw_command_in_group(const GwCommand *command, const char *group)
{
    const char *blank = strchr(command->name, ' ');

    if (group == NULL)
        return blank == NULL;
    return blank != NULL && strlen(group) == (gsize)(blank - command->name) &&
           strncmp(command->name, group, strlen(group)) == 0;
}

const GwCommandGroup *gw_command_group_find(const char *name)
{
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++) {
        if (strcmp(g->name, name) == 0)
            return g;
    }
    return NULL;
}

/* Nearest names --------------------------------------------------------------------------- */

#define TYPED_MAX 64 /* longer words are no typos of ours */

/* Edit distance where swapping two neighbours counts once, the commonest slip. */
static guint distance(const char *a, const char *b)
{
    guint rows[TYPED_MAX + 1][TYPED_MAX + 1];
    guint m = (guint)strlen(a);
    guint n = (guint)strlen(b);

    if (m > TYPED_MAX || n > TYPED_MAX)
        return G_MAXUINT;
    for (guint i = 0; i <= m; i++) {
        for (guint j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            guint change = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
            rows[i][j] = MIN(change, 1 + MIN(rows[i - 1][j], rows[i][j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = MIN(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[m][n];
}

static void consider(const char *typed, const char *name, const char **best, guint *least)
{
    guint d = distance(typed, name);

    if (d < *least) {
        *least = d;
        *best = name;
    }
}

/* A third of the word may be wrong: "vm migarte" is near, "frobnicate" is near to nothing. */
static guint tolerance(const char *typed)
{
    return 1 + MAX(1, (guint)strlen(typed) / 3);
}

char *gw_command_nearest(const char *typed)
{
    const char *best = NULL;
    guint least = tolerance(typed);
    const GwCommand *command = NULL;

    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (!command->hidden)
            consider(typed, command->name, &best, &least);
    }
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++)
        consider(typed, g->name, &best, &least);
    if (best != NULL)
        return g_strdup(best);

    /* "migrate web1" is a word of a command, said without its group. */
    const char *blank = strchr(typed, ' ');
    g_autofree char *word =
        blank != NULL ? g_strndup(typed, (gsize)(blank - typed)) : g_strdup(typed);
    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        const char *verb = strchr(command->name, ' ');
        if (verb != NULL && strcmp(verb + 1, word) == 0)
            return g_strdup(command->name);
    }
    return NULL;
}

const char *gw_option_nearest(const GwCommand *command, const char *typed)
{
    const char *best = NULL;
    guint least = tolerance(typed);

    for (const GwOption *o = command != NULL ? command->options : NULL; o != NULL && o->name; o++)
        consider(typed, o->name, &best, &least);
    for (const GwOption *o = gw_global_options; o->name != NULL; o++)
        consider(typed, o->name, &best, &least);
    return best;
}

/* Usage ----------------------------------------------------------------------------------- */

const char *const *gw_option_words(const GwOption *option)
{
    static const char *const yes_no[] = { "yes", "no", NULL };

    if (option->type == GW_OPTION_SWITCH)
        return yes_no;
    return option->of_enum != NULL ? option->of_enum->words : option->words;
}

char *gw_option_usage(const GwOption *option)
{
    GString *text = g_string_new(NULL);
    const char *const *words = gw_option_words(option);

    if (option->letter != 0)
        g_string_append_printf(text, "-%c, ", option->letter);
    g_string_append_printf(text, "--%s", option->name);
    if (option->type == GW_OPTION_FLAG)
        return g_string_free(text, FALSE);
    if (option->value != NULL) {
        g_string_append_printf(text, " %s", option->value);
    } else if (words != NULL) {
        g_autofree char *joined = g_strjoinv("|", (char **)words);
        g_string_append_printf(text, " %s", joined);
    }
    return g_string_free(text, FALSE);
}

char *gw_command_usage(const GwCommand *command)
{
    static const char *const forms[] = {
        [GW_ARGUMENT_ONE] = "%s",
        [GW_ARGUMENT_OPTIONAL] = "[%s]",
        [GW_ARGUMENT_MANY] = "%s…",
        [GW_ARGUMENT_ANY] = "[%s…]",
    };
    GString *text = g_string_new(command->usage);

    for (const GwArgument *a = command->arguments;
         command->usage == NULL && a != NULL && a->name != NULL; a++) {
        char **halves = g_strsplit(forms[a->count], "%s", 2);
        g_string_append_printf(text, "%s%s%s%s", text->len > 0 ? " " : "", halves[0], a->name,
                               halves[1]);
        g_strfreev(halves);
    }
    if (command->usage == NULL && command->options != NULL)
        g_string_append(text, text->len > 0 ? " [options]" : "[options]");
    return g_string_free(text, FALSE);
}
