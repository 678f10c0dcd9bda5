/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "cli/args.h"
#include "cli/exits.h"
#include "cli/settings.h"
#include "client/client.h"

/* One run of the program. */
struct GwSession {
    GwClock *clock;
    GwSettings *settings;
    GwClient *client;       /* NULL for commands that need no controller */
    GHashTable *host_names; /* id -> name, read when first needed */
    gboolean terminal;      /* standard output is one */
    gboolean utf8;
    gboolean color;
    gboolean quiet;
    gboolean to_stderr; /* where tables and headings go; else to standard output */
    int interrupt;      /* signalfd of SIGINT, -1 where Ctrl-C ends the program */
};

GwSession *gw_session_new(const GwArgs *args, GError **error);
void gw_session_free(GwSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwSession, gw_session_free)

/* From here on Ctrl-C ends calls and streams with GW_ERR_CANCELLED instead of the program. */
void gw_session_catch_interrupt(GwSession *session);
gboolean gw_session_interrupted(const GwSession *session);

/* A host's name by its id; the id where it is unknown. Borrowed. */
const char *gw_session_host_name(GwSession *session, const char *id);

/* The record that a person named by id or name; @collection is "/hosts", @what "host". */
json_t *gw_session_find(GwSession *session, const char *collection, const char *what,
                        const char *which, GError **error);
/* Its path, "/hosts/ID", for the calls that change it. Free with g_free. */
char *gw_session_find_path(GwSession *session, const char *collection, const char *what,
                           const char *which, GError **error);

/* Puts the id of what a person named into @body, as @key. */
gboolean gw_session_put_id(GwSession *session, json_t *body, const char *key,
                           const char *collection, const char *what, const char *which,
                           GError **error);

/* output.c: what handlers print with. */

/* Prints @json as one document where JSON or YAML was asked for; FALSE: a table is wanted. */
gboolean gw_print_document(GwSession *session, json_t *json);
/* The same for a stream: a line of JSON, or a YAML document, at once. */
gboolean gw_print_record(GwSession *session, json_t *json);
/* A confirmation for people: not with --quiet, JSON or YAML. */
void gw_say(const GwSession *session, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* To standard error; always. */
void gw_complain(const GwSession *session, const GError *error);
/* Findings of a preflight, numbered: observed, required, remedy, requirement. */
void gw_print_findings(const GwSession *session, json_t *findings, gboolean to_stderr);

/* table.c: columns are data. */
typedef char *(*GwShow)(GwSession *session, json_t *row, const char *path);

typedef struct {
    const char *header;
    const char *path; /* member of the row */
    GwShow show;      /* NULL: text */
    gboolean right;
    gboolean cut;                                        /* may be truncated to fit a terminal */
    gboolean state;                                      /* coloured by what the word means */
    gboolean wrap;                                       /* may take several lines of a terminal */
    const char *(*color)(json_t *row, const char *path); /* what else colours it; NULL: nothing */
} GwColumn;

/* Up to a column without header. */
void gw_print_table(GwSession *session, const GwColumn *columns, json_t *rows);
/* Reads what is at @path and prints it; of people, who see no row, says @none. Exit status. */
int gw_print_list(GwSession *session, const char *path, const GwColumn *columns, const char *none,
                  GError **error);
/* @parent_path: the member that holds the parent row's "id". */
void gw_print_tree(GwSession *session, const GwColumn *columns, json_t *rows,
                   const char *parent_path);
/* One record, a line for each column that has a value. */
void gw_print_sheet(GwSession *session, const GwColumn *columns, json_t *row);
/* A heading above a further table of a sheet, with a blank line before it. */
void gw_print_heading(const GwSession *session, const char *text);

char *gw_show_text(GwSession *session, json_t *row, const char *path);
char *gw_show_bytes(GwSession *session, json_t *row, const char *path);
char *gw_show_kib(GwSession *session, json_t *row, const char *path);
char *gw_show_rate(GwSession *session, json_t *row, const char *path);
char *gw_show_ms(GwSession *session, json_t *row, const char *path);
char *gw_show_version(GwSession *session, json_t *row, const char *path);
char *gw_show_yes_no(GwSession *session, json_t *row, const char *path);
char *gw_show_host(GwSession *session, json_t *row, const char *path);
char *gw_show_count(GwSession *session, json_t *row, const char *path);
char *gw_show_list(GwSession *session, json_t *row, const char *path);

/* yaml.c */
/* @json as one YAML document ("---" first); strings that YAML would read as something else are
 * quoted. Free with g_free. */
char *gw_yaml_text(json_t *json);
