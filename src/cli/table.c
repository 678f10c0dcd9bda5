/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libsmartcols.h>
#include <string.h>

#include "cli/format.h"
#include "cli/session.h"

/* Cells ----------------------------------------------------------------------------------- */

char *gw_show_text(GwSession *session, json_t *row, const char *path)
{
    json_t *value = gw_at(row, path);

    if (json_is_string(value))
        return gw_format_line(json_string_value(value));
    if (value == NULL || json_is_null(value))
        return g_strdup("");
    return gw_json_text(value);
}

static char *show_int(json_t *row, const char *path, char *(*format)(gint64))
{
    gint64 value = gw_at_int(row, path, -1);
    return value >= 0 ? format(value) : g_strdup("");
}

static char *format_kib(gint64 kib)
{
    return gw_format_bytes(MIN(kib, G_MAXINT64 / 1024) * 1024);
}

char *gw_show_bytes(GwSession *session, json_t *row, const char *path)
{
    return show_int(row, path, gw_format_bytes);
}

char *gw_show_kib(GwSession *session, json_t *row, const char *path)
{
    return show_int(row, path, format_kib);
}

char *gw_show_rate(GwSession *session, json_t *row, const char *path)
{
    return show_int(row, path, gw_format_rate);
}

char *gw_show_ms(GwSession *session, json_t *row, const char *path)
{
    return show_int(row, path, gw_format_ms);
}

char *gw_show_version(GwSession *session, json_t *row, const char *path)
{
    return show_int(row, path, gw_format_version);
}

char *gw_show_yes_no(GwSession *session, json_t *row, const char *path)
{
    json_t *value = gw_at(row, path);
    return g_strdup(json_is_boolean(value) ? (json_is_true(value) ? "yes" : "no") : "");
}

char *gw_show_host(GwSession *session, json_t *row, const char *path)
{
    const char *id = gw_at_text(row, path);
    return gw_format_line(id != NULL ? gw_session_host_name(session, id) : "");
}

char *gw_show_count(GwSession *session, json_t *row, const char *path)
{
    return g_strdup_printf("%" G_GSIZE_FORMAT, json_array_size(gw_at(row, path)));
}

char *gw_show_list(GwSession *session, json_t *row, const char *path)
{
    json_t *list = gw_at(row, path);
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        g_autofree char *line = gw_format_line(item);
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", line);
    }
    return g_string_free(text, FALSE);
}

/* Words of states, by what a person should feel: unknown ones have no colour. */
static const char *color_of(const char *word)
{
    static const char *const good[] = { "running", "OK", "OK (Limited)", "done", NULL };
    static const char *const bad[] = { "crashed", "failed", "Not responding", NULL };
    static const char *const watch[] = { "held",     "paused",   "Connecting",
                                         "settling", "entering", NULL };

    if (g_strv_contains(good, word))
        return "green";
    if (g_strv_contains(bad, word))
        return "red";
    /* "OK, in maintenance" is one too. */
    return g_strv_contains(watch, word) || g_str_has_suffix(word, "maintenance") ? "brown" : NULL;
}

static const char *color_of_cell(const GwSession *session, const GwColumn *column, json_t *row,
                                 const char *text)
{
    if (!session->color)
        return NULL;
    if (column->color != NULL)
        return column->color(row, column->path);
    return column->state ? color_of(text) : NULL;
}

/* Tables ---------------------------------------------------------------------------------- */

static struct libscols_table *new_table(const GwSession *session)
{
    struct libscols_table *table = scols_new_table();

    scols_table_enable_ascii(table, !session->utf8);
    scols_table_enable_colors(table, session->color);
    /* In a pipe nothing is cut: whoever reads it wants whole names. */
    scols_table_set_termforce(table,
                              session->terminal ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
    return table;
}

static void add_columns(struct libscols_table *table, const GwColumn *columns, gboolean tree)
{
    for (const GwColumn *c = columns; c->header != NULL; c++) {
        int flags = (c->right ? SCOLS_FL_RIGHT : 0) | (c->cut ? SCOLS_FL_TRUNC : 0) |
                    (c->wrap ? SCOLS_FL_WRAP : 0);
        if (tree && c == columns)
            flags |= SCOLS_FL_TREE;
        scols_table_new_column(table, c->header, 0, flags);
    }
}

static struct libscols_line *add_row(GwSession *session, struct libscols_table *table,
                                     const GwColumn *columns, json_t *row,
                                     struct libscols_line *parent)
{
    struct libscols_line *line = scols_table_new_line(table, parent);

    for (gsize i = 0; columns[i].header != NULL; i++) {
        GwShow show = columns[i].show != NULL ? columns[i].show : gw_show_text;
        g_autofree char *text = show(session, row, columns[i].path);
        scols_line_set_data(line, i, *text != '\0' ? text : "-");
        const char *color = color_of_cell(session, &columns[i], row, text);
        if (color != NULL)
            scols_cell_set_color(scols_line_get_cell(line, i), color);
    }
    return line;
}

static void finish(GwSession *session, struct libscols_table *table)
{
    char *text = NULL;

    if (scols_print_table_to_string(table, &text) == 0 && text != NULL)
        (session->to_stderr ? g_printerr : g_print)("%s\n", text);
    free(text);
    scols_unref_table(table);
}

void gw_print_table(GwSession *session, const GwColumn *columns, json_t *rows)
{
    if (json_array_size(rows) == 0)
        return;
    struct libscols_table *table = new_table(session);

    add_columns(table, columns, FALSE);
    for (gsize i = 0; i < json_array_size(rows); i++)
        add_row(session, table, columns, json_array_get(rows, i), NULL);
    finish(session, table);
}

typedef struct {
    GwSession *session;
    struct libscols_table *table;
    const GwColumn *columns;
    json_t *rows;
    const char *parent_path;
    GHashTable *seen; /* rows placed already: a parent may not come back below itself */
} Tree;

static void add_below(Tree *tree, const char *id, struct libscols_line *parent)
{
    for (gsize i = 0; i < json_array_size(tree->rows); i++) {
        json_t *row = json_array_get(tree->rows, i);
        if (g_strcmp0(gw_at_text(row, tree->parent_path), id) != 0 ||
            !g_hash_table_add(tree->seen, row))
            continue;
        struct libscols_line *line =
            add_row(tree->session, tree->table, tree->columns, row, parent);
        if (gw_at_text(row, "id") != NULL)
            add_below(tree, gw_at_text(row, "id"), line);
    }
}

void gw_print_tree(GwSession *session, const GwColumn *columns, json_t *rows,
                   const char *parent_path)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    Tree tree = { session, new_table(session), columns, rows, parent_path, seen };

    add_columns(tree.table, columns, TRUE);
    add_below(&tree, NULL, NULL);
    /* What hangs on nothing (a parent removed meanwhile) is shown all the same. */
    for (gsize i = 0; i < json_array_size(rows); i++) {
        if (g_hash_table_add(seen, json_array_get(rows, i)))
            add_row(session, tree.table, columns, json_array_get(rows, i), NULL);
    }
    finish(session, tree.table);
}

void gw_print_sheet(GwSession *session, const GwColumn *columns, json_t *row)
{
    struct libscols_table *table = new_table(session);

    scols_table_enable_noheadings(table, 1);
    scols_table_new_column(table, "NAME", 0, 0);
    scols_table_new_column(table, "VALUE", 0, SCOLS_FL_WRAP);
    for (const GwColumn *c = columns; c->header != NULL; c++) {
        GwShow show = c->show != NULL ? c->show : gw_show_text;
        g_autofree char *text = show(session, row, c->path);
        if (*text == '\0')
            continue;
        struct libscols_line *line = scols_table_new_line(table, NULL);
        scols_line_set_data(line, 0, c->header);
        scols_line_set_data(line, 1, text);
        const char *color = color_of_cell(session, c, row, text);
        if (color != NULL)
            scols_cell_set_color(scols_line_get_cell(line, 1), color);
    }
    finish(session, table);
}

void gw_print_heading(const GwSession *session, const char *text)
{
    void (*print)(const char *format, ...) = session->to_stderr ? g_printerr : g_print;

    if (session->color)
        print("\n\033[1m%s\033[0m\n", text);
    else
        print("\n%s\n", text);
}

int gw_print_list(GwSession *session, const char *path, const GwColumn *columns, const char *none,
                  GError **error)
{
    g_autoptr(GwJson) rows = gw_client_list(session->client, path, error);

    if (rows != NULL && !gw_print_document(session, rows)) {
        gw_print_table(session, columns, rows);
        if (json_array_size(rows) == 0)
            gw_say(session, "%s", none);
    }
    return GW_EXIT_OK;
}
