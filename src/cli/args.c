/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/args.h"

#include <string.h>

#include "base/error.h"

typedef struct {
    GwArgs *args;
    char **next; /* the word to read */
} Parser;

void gw_args_free(GwArgs *args)
{
    if (args == NULL)
        return;
    g_ptr_array_unref(args->words);
    g_hash_table_unref(args->values);
    g_hash_table_unref(args->all);
    g_free(args);
}

static const GwOption *in_list(const GwOption *options, const char *name, char letter)
{
    for (const GwOption *o = options; o != NULL && o->name != NULL; o++) {
        if (letter != 0 ? o->letter == letter : g_strcmp0(o->name, name) == 0)
            return o;
    }
    return NULL;
}

static const GwOption *find_option(const GwArgs *args, const char *name, char letter)
{
    const GwOption *own = args->command != NULL ? args->command->options : NULL;
    const GwOption *found = in_list(own, name, letter);

    return found != NULL ? found : in_list(gw_global_options, name, letter);
}

/* What to say at the end of an error: where to read more. */
static char *help_hint(const GwArgs *args)
{
    if (args->command != NULL)
        return g_strdup_printf("See: godwit help %s", args->command->name);
    if (args->group != NULL)
        return g_strdup_printf("See: godwit help %s", args->group);
    return g_strdup("See: godwit help");
}

static gboolean unknown_option(const GwArgs *args, const char *dashes, const char *name,
                               GError **error)
{
    const char *near = *(dashes + 1) != '\0' ? gw_option_nearest(args->command, name) : NULL;
    g_autofree char *hint = help_hint(args);
    g_autofree char *remedy =
        near != NULL ? g_strdup_printf("Did you mean --%s? %s", near, hint) : g_strdup(hint);
    const char *blank = args->command != NULL ? " for this command" : "";

    gw_error_set(error, GW_ERR_INVALID, remedy, "unknown option %s%.100s%s", dashes, name, blank);
    return FALSE;
}

static gboolean check_int(const GwOption *option, const char *text, GError **error)
{
    g_autoptr(GError) why = NULL;
    gint64 value = 0;

    if (g_ascii_string_to_signed(text, 10, option->min, option->max, &value, &why))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, option->doc,
                 "--%s must be a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                 ", not '%.100s'",
                 option->name, option->min, option->max, text);
    return FALSE;
}

static gboolean check_choice(const GwOption *option, const char *text, GError **error)
{
    const char *const *words = gw_option_words(option);

    if (g_strv_contains(words, text))
        return TRUE;
    g_autofree char *joined = g_strjoinv(", ", (char **)words);
    gw_error_set(error, GW_ERR_INVALID, option->doc, "--%s must be one of %s, not '%.100s'",
                 option->name, joined, text);
    return FALSE;
}

static void add_to_all(GwArgs *args, const char *name, const char *text)
{
    GPtrArray *texts = g_hash_table_lookup(args->all, name);

    if (texts == NULL) {
        texts = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_replace(args->all, g_strdup(name), texts);
    }
    g_ptr_array_add(texts, g_strdup(text));
}

static gboolean set_option(GwArgs *args, const GwOption *option, const char *text, GError **error)
{
    if (option->type == GW_OPTION_INT && !check_int(option, text, error))
        return FALSE;
    if ((option->type == GW_OPTION_CHOICE || option->type == GW_OPTION_SWITCH) &&
        !check_choice(option, text, error))
        return FALSE;
    if (option->type == GW_OPTION_TEXT && !g_utf8_validate(text, -1, NULL)) {
        gw_error_set(error, GW_ERR_INVALID, option->doc, "--%s is not valid UTF-8", option->name);
        return FALSE;
    }
    g_hash_table_replace(args->values, g_strdup(option->name), g_strdup(text));
    if (option->many)
        add_to_all(args, option->name, text);
    return TRUE;
}

/* @inline_value: what stood after "=" or the letter, or NULL. */
static gboolean take_value(Parser *parser, const GwOption *option, const char *inline_value,
                           GError **error)
{
    if (option->type == GW_OPTION_FLAG) {
        if (inline_value == NULL)
            return set_option(parser->args, option, "", error);
        gw_error_set(error, GW_ERR_INVALID, option->doc, "--%s takes no value", option->name);
        return FALSE;
    }
    if (inline_value == NULL && *parser->next == NULL) {
        gw_error_set(error, GW_ERR_INVALID, option->doc, "--%s needs a value", option->name);
        return FALSE;
    }
    if (inline_value == NULL)
        inline_value = *parser->next++;
    return set_option(parser->args, option, inline_value, error);
}

static gboolean take_long(Parser *parser, const char *word, GError **error)
{
    const char *equals = strchr(word, '=');
    g_autofree char *name =
        equals != NULL ? g_strndup(word, (gsize)(equals - word)) : g_strdup(word);
    const GwOption *option = find_option(parser->args, name, 0);

    if (option == NULL)
        return unknown_option(parser->args, "--", name, error);
    return take_value(parser, option, equals != NULL ? equals + 1 : NULL, error);
}

static gboolean take_letters(Parser *parser, const char *letters, GError **error)
{
    for (const char *p = letters; *p != '\0'; p++) {
        const GwOption *option = find_option(parser->args, NULL, *p);
        if (option == NULL)
            return unknown_option(parser->args, "-", p, error);
        if (option->type != GW_OPTION_FLAG)
            return take_value(parser, option, p[1] != '\0' ? p + 1 : NULL, error);
        if (!take_value(parser, option, NULL, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean unknown_command(GwArgs *args, const char *name, GError **error)
{
    g_autofree char *near = gw_command_nearest(name);
    g_autofree char *hint = help_hint(args);
    g_autofree char *remedy =
        near != NULL ? g_strdup_printf("Did you mean: godwit %s? %s", near, hint) : g_strdup(hint);

    gw_error_set(error, GW_ERR_INVALID, remedy, "unknown command '%.100s'", name);
    return FALSE;
}

static gboolean take_word(Parser *parser, const char *word, GError **error)
{
    GwArgs *args = parser->args;

    if (args->command != NULL) {
        if (!g_utf8_validate(word, -1, NULL) || *word == '\0') {
            gw_error_set(error, GW_ERR_INVALID, NULL, "an argument is %s",
                         *word == '\0' ? "empty" : "not valid UTF-8");
            return FALSE;
        }
        g_ptr_array_add(args->words, (gpointer)word);
        return TRUE;
    }
    if (args->group == NULL && gw_command_group_find(word) != NULL) {
        args->group = gw_command_group_find(word)->name;
        return TRUE;
    }
    g_autofree char *name =
        args->group != NULL ? g_strdup_printf("%s %s", args->group, word) : g_strdup(word);
    args->command = gw_command_find(name);
    if (args->command == NULL) {
        /* For the suggestion, the second word tells more: "migrate web1", "vms list". */
        g_autofree char *both = args->group == NULL && *parser->next != NULL
                                    ? g_strdup_printf("%s %s", word, *parser->next)
                                    : g_strdup(name);
        g_autofree char *near = gw_command_nearest(both);
        return unknown_command(args, near != NULL ? both : name, error);
    }
    return TRUE;
}

static gboolean check_count(const GwArgs *args, GError **error)
{
    guint least = 0;
    guint most = 0;

    for (const GwArgument *a = args->command->arguments; a != NULL && a->name != NULL; a++) {
        least += a->count == GW_ARGUMENT_ONE || a->count == GW_ARGUMENT_MANY ? 1 : 0;
        most = a->count >= GW_ARGUMENT_MANY ? G_MAXUINT : most + 1;
    }
    if (args->command->offline_with != NULL && gw_args_has(args, args->command->offline_with))
        least = most = 0;
    if (args->words->len >= least && args->words->len <= most)
        return TRUE;
    g_autofree char *usage = gw_command_usage(args->command);
    g_autofree char *remedy = g_strdup_printf("Usage: godwit %s %s", args->command->name, usage);
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s: %s", args->command->name,
                 args->words->len < least ? "an argument is missing" : "too many arguments");
    return FALSE;
}

static gboolean parse(Parser *parser, GError **error)
{
    gboolean only_words = FALSE;

    while (*parser->next != NULL) {
        const char *word = *parser->next++;
        gboolean fine = TRUE;
        if (!only_words && strcmp(word, "--") == 0)
            only_words = TRUE;
        else if (!only_words && g_str_has_prefix(word, "--"))
            fine = take_long(parser, word + 2, error);
        else if (!only_words && word[0] == '-' && word[1] != '\0')
            fine = take_letters(parser, word + 1, error);
        else
            fine = take_word(parser, word, error);
        if (!fine)
            return FALSE;
    }
    gboolean asks = gw_args_has(parser->args, "help") || gw_args_has(parser->args, "version");
    return asks || parser->args->command == NULL || check_count(parser->args, error);
}

GwArgs *gw_args_parse(char **argv, GError **error)
{
    g_autoptr(GwArgs) args = g_new0(GwArgs, 1);
    Parser parser = { args, argv };

    args->words = g_ptr_array_new();
    args->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    args->all =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    return parse(&parser, error) ? g_steal_pointer(&args) : NULL;
}

gboolean gw_args_has(const GwArgs *args, const char *option)
{
    return g_hash_table_contains(args->values, option);
}

gboolean gw_args_is_offline(const GwArgs *args)
{
    const char *with = args->command->offline_with;
    return args->command->offline || (with != NULL && gw_args_has(args, with));
}

const char *gw_args_text(const GwArgs *args, const char *option)
{
    return g_hash_table_lookup(args->values, option);
}

const GPtrArray *gw_args_all(const GwArgs *args, const char *option)
{
    return g_hash_table_lookup(args->all, option);
}

gint64 gw_args_int(const GwArgs *args, const char *option, gint64 fallback)
{
    const char *text = gw_args_text(args, option);
    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

const char *gw_args_word(const GwArgs *args, guint index)
{
    return index < args->words->len ? args->words->pdata[index] : NULL;
}

static json_t *value_of(const GwOption *option, const char *text)
{
    switch (option->type) {
    case GW_OPTION_FLAG:
        return json_true();
    case GW_OPTION_SWITCH:
        return json_boolean(strcmp(text, "yes") == 0);
    case GW_OPTION_INT:
        return json_integer(g_ascii_strtoll(text, NULL, 10));
    case GW_OPTION_TEXT:
    case GW_OPTION_CHOICE:
        break;
    }
    return json_string(text);
}

/* @key: of a field, or of one of a record that is a field, "options.method". Takes @value. */
static void set_at(json_t *body, const char *key, json_t *value)
{
    const char *dot = strchr(key, '.');
    g_autofree char *head = dot != NULL ? g_strndup(key, (gsize)(dot - key)) : NULL;

    if (dot == NULL) {
        json_object_set_new(body, key, value);
        return;
    }
    json_t *inner = json_object_get(body, head);
    if (inner == NULL) {
        inner = json_object();
        json_object_set_new(body, head, inner);
    }
    json_object_set_new(inner, dot + 1, value);
}

json_t *gw_args_body(const GwArgs *args)
{
    json_t *body = json_object();

    for (const GwOption *o = args->command->options; o != NULL && o->name != NULL; o++) {
        const char *text = gw_args_text(args, o->name);
        if (o->key != NULL && text != NULL)
            set_at(body, o->key, value_of(o, text));
    }
    return body;
}
