/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/args.h"

#define GW_SYSTEM_CONFIG "/etc/godwit/client.conf"

typedef enum {
    GW_OUTPUT_TABLE,
    GW_OUTPUT_JSON,
    GW_OUTPUT_YAML,
} GwOutput;

/* Where the controller is and how to print. Each from the first that has it: the command line,
 * the environment, the user's client.conf, the system's, the default. */
typedef struct {
    char *server;
    char *ca_file;
    char *token_file;
    GwOutput output;
    gboolean no_color;
    gint64 retry_s;
} GwSettings;

/* A row for each: how it is called in each place. */
typedef struct {
    const char *option;   /* and the key in client.conf, group [client] */
    const char *variable; /* NULL: none */
    const char *fallback;
    const char *doc;
} GwSettingRow;
extern const GwSettingRow gw_setting_rows[]; /* ends with a row without option */

GwSettings *gw_settings_load(const GwArgs *args, const char *const *config_files, GError **error);
/* The user's file and the system's, NULL-terminated. */
char **gw_settings_files(void);
void gw_settings_free(GwSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwSettings, gw_settings_free)
