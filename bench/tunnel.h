/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The parts of build/bench/tunnel, which bench/tunnel.py runs. Each writes JSON lines to stdout and
 * returns FALSE with @error where it could not do its work. */

/* An end is "unix:PATH" or "tcp:ADDRESS:PORT" (numeric). Descriptors, or -1 with @error. */
int end_listen(const char *end, GError **error);
int end_connect(const char *end, GError **error);
/* Takes the socket's path away, if it has one. */
void end_remove(const char *end);

gboolean run_sink(char **ends, GError **error);
gboolean run_blast(char **ends, GError **error);
gboolean run_pong(char **ends, GError **error);
gboolean run_ping(char **ends, gint count, GError **error);

typedef struct {
    char *authority; /* the folder of a fabric's authority, whose controller does not run */
    char *source;    /* HOST_ID=ADDRESS:PORT */
    char *destination;
    gint count; /* tickets, each of a made-up VM */
} PermitOptions;
gboolean run_permit(const PermitOptions *options, GError **error);
