/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/session.h"

/* A local socket and a stream, joined: what is read from one goes to the other, both ways, with
 * half-closes carried over and errors breaking both. The seam for TRANSPORT.md's coders: a pump's
 * two directions each pass through a filter. */

/* Looks at, or changes, what passes in one direction. */
typedef struct {
    /* Takes @length bytes, appends to @out what may go on now (the rest it keeps, at most 4 MiB).
     * FALSE with @error breaks the stream, and what is in @out is not passed on. NULL where nothing
     * is to be looked at. */
    gboolean (*pass)(gpointer filter, const guint8 *bytes, gsize length, GByteArray *out,
                     GError **error);
    void (*free)(gpointer filter);
    gpointer filter;
} GwPumpFilter;

typedef struct {
    GwStreamShare share;
    GwPumpFilter to_stream, to_socket;
    /* Told once when all is over; the counts are of the socket's side. */
    void (*done)(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why);
    gpointer user;
} GwPumpConfig;

/* @fd, taken: a connected stream socket (or a pipe's end), made non-blocking. */
GwStream *gw_pump_open(GwSession *session, json_t *what_stolen, int fd, const GwPumpConfig *config);
void gw_pump_accept(GwStream *stream, int fd, const GwPumpConfig *config);
/* Ends of streams without a socket: what comes back as it came; what is counted and thrown away.
 * Of @config share, done and user count; what came is counted as written. */
void gw_pump_accept_echo(GwStream *stream, const GwPumpConfig *config);
void gw_pump_accept_discard(GwStream *stream, const GwPumpConfig *config);
