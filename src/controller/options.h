/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What godwitd is told on its command line or in /etc/godwit/godwitd.conf (the former wins). */
typedef struct {
    char *state_dir;
    char *listen;
    gint port;
    char **names;
    char *simulate;        /* a fabric's JSON instead of real hosts */
    gint job_history;      /* jobs that only the database keeps still */
    gint usage_interval_s; /* between looks at what hosts and VMs use; 0: none */
    gboolean version;
} Options;

/* GW_ERR_INVALID where an option or the file is wrong. */
gboolean options_parse(Options *options, int *argc, char ***argv, GError **error);
void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)
