/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/copier.h"

typedef struct {
    const GwCopierTask *task;
    const GwCopierWatch *watch;
    GwCopierFigures *figures;
    gint64 told_us; /* when the watch was told last */
    gint64 due_us;  /* what was sent is worth so much time */
    guint8 *block;  /* GW_COPY_BLOCK bytes */
    guint8 *frame;  /* GW_COPY_PAYLOAD_MAX bytes: what came last */
} GwCopier;

/* Tells the watch where it is time to. */
void gw_copier_tick(GwCopier *copier);

/* copy_channel.c: the socket. Errors of it are UNREACHABLE. */
/* @head, then @bytes. */
gboolean gw_copy_send(int fd, const guint8 *head, gsize head_length, const guint8 *bytes,
                      gsize length, GError **error);
/* Waits for a frame; FAIL is returned as @error. */
gboolean gw_copy_receive(GwCopier *copier, int fd, GwCopyFrame *frame, GError **error);
/* Whether one has come, or the end. */
gboolean gw_copy_has_come(int fd);
/* Says why it fails, and waits until the other has heard, or does not listen. */
void gw_copy_say_failed(GwCopier *copier, int fd, const GError *error);

gboolean gw_copier_send(GwCopier *copier, int file, int socket, GError **error);
gboolean gw_copier_receive(GwCopier *copier, int file, int socket, GError **error);
gboolean gw_copier_local(GwCopier *copier, int from, int to, GError **error);
