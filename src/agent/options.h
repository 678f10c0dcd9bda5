/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#define AGENT_PORT 8447

/* What `godwit-agent run` is told on its command line or in /etc/godwit/godwit-agent.conf (the
 * former wins). NULL: the default of an installed agent. */
typedef struct {
    char **listen;
    gint port;
    gint threads; /* 0: as many as fit */
    char *user;
    char *empty_dir;
    char *state_dir, *run_dir;
    char *libvirt_socket, *qemu_conf, *emulator_group;
    char *proc_dir, *sys_dir;
    gboolean shared_kernel; /* see warden.h */
} RunOptions;

/* GW_ERR_INVALID where an option or the file is wrong. */
gboolean run_options_parse(RunOptions *options, int *argc, char ***argv, GError **error);
void run_options_clear(RunOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_clear)
