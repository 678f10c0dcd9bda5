/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/help.h"

/* The scripts hold the words of the table; names of hosts, VMs and jobs are asked for when the key
 * is pressed ("godwit --quiet names KIND", a line each). Names come from outside: no script ever
 * lets the shell evaluate one. */

static void put_option_words(GString *out, const GwOption *options)
{
    for (const GwOption *o = options; o != NULL && o->name != NULL; o++)
        g_string_append_printf(out, " --%s", o->name);
}

/* What completes the last argument of a command, or its only one. */
static const char *argument_kind(const GwCommand *command, guint index)
{
    guint i = 0;

    for (const GwArgument *a = command->arguments; a != NULL && a->name != NULL; a++, i++) {
        if (i == index || a->count >= GW_ARGUMENT_MANY)
            return a->complete;
    }
    return NULL;
}

typedef void (*EachCommand)(GString *out, const GwCommand *command);

static void each_command(GString *out, EachCommand each)
{
    const GwCommand *command = NULL;

    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (!command->hidden)
            each(out, command);
    }
}

/* The words that may stand first, or second after @group. */
static void put_command_words(GString *out, const char *group)
{
    const GwCommand *command = NULL;

    for (const GwCommandGroup *g = gw_command_groups; group == NULL && g->name != NULL; g++)
        g_string_append_printf(out, " %s", g->name);
    for (guint i = 0; (command = gw_command_at(i)) != NULL; i++) {
        if (command->hidden || !gw_command_in_group(command, group))
            continue;
        g_string_append_printf(out, " %s",
                               group != NULL ? strchr(command->name, ' ') + 1 : command->name);
    }
}

/* bash and zsh share a state: $command is "vm migrate", $place the index of the argument. Each
 * answers with $words (fixed) or $kind (names to ask for). */
static void put_case_of_command(GString *out, const GwCommand *command)
{
    const char *first = argument_kind(command, 0);
    const char *second = argument_kind(command, 1);
    const char *later = argument_kind(command, 2);

    g_string_append_printf(out, "    '%s')\n        gw_opts=\"", command->name);
    put_option_words(out, command->options);
    /* Three are told apart: "rule add NAME KIND VM…". */
    g_string_append_printf(out,
                           "\"\n        case $gw_place in 0) gw_kind=%s ;; 1) gw_kind=%s ;; *) "
                           "gw_kind=%s ;; esac\n",
                           first != NULL ? first : "''", second != NULL ? second : "''",
                           later != NULL ? later : "''");
    if (strcmp(command->name, "completion") == 0)
        g_string_append(out, "        gw_words='bash zsh fish'\n");
    if (strcmp(command->name, "help") == 0) {
        g_string_append(out, "        gw_words='");
        put_command_words(out, NULL);
        g_string_append(out, "'\n");
    }
    g_string_append(out, "        ;;\n");
}

static void put_case_of_option(GString *out, const char *command, const GwOption *options)
{
    for (const GwOption *o = options; o != NULL && o->name != NULL; o++) {
        const char *const *words = gw_option_words(o);
        if (o->type == GW_OPTION_FLAG)
            continue;
        g_string_append_printf(out, "    '%s --%s'", command, o->name);
        if (o->letter != 0)
            g_string_append_printf(out, "|'%s -%c'", command, o->letter);
        g_string_append(out, ")\n");
        if (words != NULL) {
            g_string_append(out, "        gw_words=$'");
            for (guint i = 0; words[i] != NULL; i++)
                g_string_append_printf(out, "%s%s", i > 0 ? "\\n" : "", words[i]);
            g_string_append(out, "'\n");
        }
        g_string_append_printf(out, "        gw_kind=%s; gw_value=yes ;;\n",
                               o->complete != NULL ? o->complete : "''");
    }
}

static void put_options_of_command(GString *out, const GwCommand *command)
{
    put_case_of_option(out, command->name, command->options);
}

/* "--host|--state|", the options whose value is the next word. */
static void put_value_options(GString *out, const GwOption *options)
{
    for (const GwOption *o = options; o != NULL && o->name != NULL; o++) {
        if (o->type == GW_OPTION_FLAG)
            continue;
        g_string_append_printf(out, "--%s|", o->name);
        if (o->letter != 0)
            g_string_append_printf(out, "-%c|", o->letter);
    }
}

static void put_value_options_of_command(GString *out, const GwCommand *command)
{
    put_value_options(out, command->options);
}

/* The function both shells use: reads $@ (the words before the cursor). */
static void put_state_function(GString *out)
{
    g_string_append(out, "_godwit_state() {\n"
                         "    # In: the words before the cursor. Out: gw_cmd, gw_place, gw_opts, "
                         "gw_words, gw_kind, gw_value.\n"
                         "    local word last='' group='' skip=''\n"
                         "    gw_cmd='' gw_place=0 gw_opts='' gw_words='' gw_kind='' gw_value=''\n"
                         "    for word in \"$@\"; do\n"
                         "        # bash makes three words of --option=value.\n"
                         "        if [ \"$word\" = '=' ]; then skip=yes; continue; fi\n"
                         "        last=$word\n"
                         "        if [ -n \"$skip\" ]; then skip=''; last=''; continue; fi\n"
                         "        case $word in\n");
    g_string_append(out, "        --*=*) ;;\n        ");
    put_value_options(out, gw_global_options);
    each_command(out, put_value_options_of_command);
    g_string_truncate(out, out->len - 1); /* the last bar */
    g_string_append(out, ") skip=yes ;;\n"
                         "        -*) ;;\n"
                         "        *)\n"
                         "            if [ -n \"$gw_cmd\" ]; then gw_place=$((gw_place + 1))\n"
                         "            elif [ -n \"$group\" ]; then gw_cmd=\"$group $word\"\n"
                         "            else\n"
                         "                case $word in\n                ");
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++)
        g_string_append_printf(out, "%s%s", g != gw_command_groups ? "|" : "", g->name);
    g_string_append(out, ") group=$word ;;\n"
                         "                *) gw_cmd=$word ;;\n"
                         "                esac\n"
                         "            fi ;;\n"
                         "        esac\n"
                         "    done\n"
                         "    case \"$gw_cmd $last\" in\n");
    each_command(out, put_options_of_command);
    g_string_append(out, "    esac\n"
                         "    [ -n \"$gw_value\" ] && return\n"
                         "    case \" $last\" in\n");
    put_case_of_option(out, "", gw_global_options);
    g_string_append(out, "    esac\n"
                         "    [ -n \"$gw_value\" ] && return\n"
                         "    if [ -z \"$gw_cmd\" ]; then\n"
                         "        case $group in\n");
    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++) {
        g_string_append_printf(out, "        %s) gw_words='", g->name);
        put_command_words(out, g->name);
        g_string_append(out, "' ;;\n");
    }
    g_string_append(out, "        *) gw_words='");
    put_command_words(out, NULL);
    g_string_append(out, "' ;;\n        esac\n    fi\n    case $gw_cmd in\n");
    each_command(out, put_case_of_command);
    g_string_append(out, "    esac\n    gw_opts=\"$gw_opts");
    put_option_words(out, gw_global_options);
    g_string_append(out, "\"\n}\n\n");
}

static char *bash_script(void)
{
    GString *out =
        g_string_new("# bash completion for godwit; made by: godwit completion bash\n\n");

    put_state_function(out);
    g_string_append(
        out, "_godwit() {\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} name names\n"
             "    local gw_cmd gw_place gw_opts gw_words gw_kind gw_value\n"
             "    COMPREPLY=()\n"
             "    _godwit_state \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
             "    if [[ $cur == -* && -z $gw_value ]]; then\n"
             "        for name in $gw_opts; do\n"
             "            [[ $name == \"$cur\"* ]] && COMPREPLY+=(\"$name\")\n"
             "        done\n"
             "        return\n"
             "    fi\n"
             "    if [[ $gw_kind == files ]]; then\n"
             "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
             "        return\n"
             "    fi\n"
             "    if [[ -n $gw_value ]]; then\n"
             "        mapfile -t names <<<\"$gw_words\"\n"
             "    else\n"
             "        read -r -a names <<<\"$gw_words\"\n"
             "    fi\n"
             "    if [[ -n $gw_kind ]]; then\n"
             "        mapfile -t names < <(godwit names \"$gw_kind\" 2>/dev/null)\n"
             "    fi\n"
             "    for name in \"${names[@]}\"; do\n"
             "        # Names come from outside: they are compared and quoted, never evaluated.\n"
             "        [[ -n $name && $name == \"$cur\"* ]] && COMPREPLY+=(\"$(printf '%q' "
             "\"$name\")\")\n"
             "    done\n"
             "}\n"
             "complete -F _godwit godwit\n");
    return g_string_free(out, FALSE);
}

static char *zsh_script(void)
{
    GString *out = g_string_new("#compdef godwit\n"
                                "# zsh completion for godwit; made by: godwit completion zsh\n\n");

    put_state_function(out);
    g_string_append(out, "_godwit() {\n"
                         "    local cur=${words[CURRENT]}\n"
                         "    local -a before names\n"
                         "    before=(\"${(@)words[2,CURRENT-1]}\")\n"
                         "    local gw_cmd gw_place gw_opts gw_words gw_kind gw_value\n"
                         "    _godwit_state \"${before[@]}\"\n"
                         "    if [[ $cur == -* && -z $gw_value ]]; then\n"
                         "        names=(${=gw_opts})\n"
                         "    elif [[ $gw_kind == files ]]; then\n"
                         "        _files\n"
                         "        return\n"
                         "    elif [[ -n $gw_kind ]]; then\n"
                         "        names=(\"${(@f)$(godwit names $gw_kind 2>/dev/null)}\")\n"
                         "    elif [[ -n $gw_value ]]; then\n"
                         "        names=(\"${(@f)gw_words}\")\n"
                         "    else\n"
                         "        names=(${=gw_words})\n"
                         "    fi\n"
                         "    compadd -a names\n"
                         "}\n"
                         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
                         "    _godwit \"$@\"\n"
                         "else\n"
                         "    compdef _godwit godwit\n"
                         "fi\n");
    return g_string_free(out, FALSE);
}

/* fish ------------------------------------------------------------------------------------ */

/* For a single-quoted fish string. */
static void put_fish_quoted(GString *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *p);
    }
}

static void put_fish_option(GString *out, const char *condition, const GwOption *o)
{
    const char *const *words = gw_option_words(o);

    g_string_append_printf(out, "complete -c godwit %s -l %s", condition, o->name);
    if (o->letter != 0)
        g_string_append_printf(out, " -s %c", o->letter);
    if (o->type != GW_OPTION_FLAG)
        g_string_append(out, g_strcmp0(o->complete, "files") == 0 ? " -r -F" : " -x");
    if (words != NULL) {
        g_autofree char *joined = g_strjoinv("\\n", (char **)words);
        g_string_append_printf(out, " -a '(printf \"%s\\n\")'", joined);
    } else if (o->complete != NULL && strcmp(o->complete, "files") != 0) {
        g_string_append_printf(out, " -a '(godwit names %s 2>/dev/null)'", o->complete);
    }
    g_string_append(out, " -d '");
    put_fish_quoted(out, o->doc);
    g_string_append(out, "'\n");
}

static void put_fish_command(GString *out, const GwCommand *command)
{
    g_auto(GStrv) parts = g_strsplit(command->name, " ", 2);
    const char *kind = argument_kind(command, 0);
    g_autofree char *condition = parts[1] != NULL
                                     ? g_strdup_printf("-n '__godwit_at %s %s'", parts[0], parts[1])
                                     : g_strdup_printf("-n '__godwit_at %s'", parts[0]);

    g_string_append_printf(out, "complete -c godwit -f -n '__godwit_wants%s%s' -a %s -d '",
                           parts[1] != NULL ? " " : "", parts[1] != NULL ? parts[0] : "",
                           parts[1] != NULL ? parts[1] : parts[0]);
    put_fish_quoted(out, command->summary);
    g_string_append(out, "'\n");
    if (kind != NULL)
        g_string_append_printf(out, "complete -c godwit -f %s -a '(godwit names %s 2>/dev/null)'\n",
                               condition, kind);
    for (const GwOption *o = command->options; o != NULL && o->name != NULL; o++)
        put_fish_option(out, condition, o);
}

static char *fish_script(void)
{
    GString *out = g_string_new("# fish completion for godwit; made by: godwit completion fish\n\n"
                                "function __godwit_words\n"
                                "    set -l words (commandline -opc)\n"
                                "    string match -v -- '-*' $gw_words[2..-1]\n"
                                "end\n"
                                "function __godwit_wants\n"
                                "    set -l words (__godwit_words)\n"
                                "    test (count $gw_words) -eq (count $argv); "
                                "and test \"$gw_words\" = \"$argv\"\n"
                                "end\n"
                                "function __godwit_at\n"
                                "    set -l words (__godwit_words)\n"
                                "    test (count $gw_words) -ge (count $argv); "
                                "and test \"$gw_words[1..\"(count $argv)\"]\" = \"$argv\"\n"
                                "end\n\n");

    for (const GwCommandGroup *g = gw_command_groups; g->name != NULL; g++)
        g_string_append_printf(out, "complete -c godwit -f -n __godwit_wants -a %s -d '%s'\n",
                               g->name, g->summary);
    for (const GwOption *o = gw_global_options; o->name != NULL; o++)
        put_fish_option(out, "", o);
    each_command(out, put_fish_command);
    return g_string_free(out, FALSE);
}

char *gw_completion_script(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        return bash_script();
    if (strcmp(shell, "zsh") == 0)
        return zsh_script();
    return strcmp(shell, "fish") == 0 ? fish_script() : NULL;
}
