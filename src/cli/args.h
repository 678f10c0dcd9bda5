/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/command.h"

/* A command line, checked against the command's row. */
struct GwArgs {
    const GwCommand *command; /* NULL: none was given, or only a group */
    const char *group;        /* where only a group was given */
    GPtrArray *words;         /* positional arguments, borrowed from argv */
    GHashTable *values;       /* option name -> text, "" for a flag */
    GHashTable *all;          /* name of an option that may be given often -> its texts */
};

/* @argv without the program's name. Errors: GW_ERR_INVALID with the usage or the nearest name as
 * remedy. Options may stand anywhere; after "--" everything is an argument. */
GwArgs *gw_args_parse(char **argv, GError **error);
void gw_args_free(GwArgs *args);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwArgs, gw_args_free)

gboolean gw_args_has(const GwArgs *args, const char *option);
/* Whether the command, given so, needs no controller. */
gboolean gw_args_is_offline(const GwArgs *args);
/* NULL where it was not given. */
const char *gw_args_text(const GwArgs *args, const char *option);
/* All texts of an option that may be given several times, in their order; NULL: it was not given.
 */
const GPtrArray *gw_args_all(const GwArgs *args, const char *option);
gint64 gw_args_int(const GwArgs *args, const char *option, gint64 fallback);
/* The argument at @index, NULL where there is none. */
const char *gw_args_word(const GwArgs *args, guint index);
/* The fields that the given options name (GwOption.key), as a new object. */
json_t *gw_args_body(const GwArgs *args);
