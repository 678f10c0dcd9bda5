/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What QEMU says of a block job, of the events that libvirt hands on as they are. Pure: hostile
 * text, no connection. */

typedef struct {
    char *job;       /* its name: KIND-TARGET-NODE, as libvirt makes it */
    char *operation; /* of a request that failed: read, write, flush; NULL: not told */
    char *error;     /* in QEMU's words; NULL: none */
    gboolean over;   /* the job has ended */
} GwBlockNews;
void gw_block_news_clear(GwBlockNews *news);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwBlockNews, gw_block_news_clear)

/* @event: QEMU's name of it; @details: its data, JSON. FALSE: it says nothing of a block job. */
gboolean gw_block_news_read(const char *event, const char *details, GwBlockNews *news);
/* Whether that is a job of this disk. */
gboolean gw_block_news_is_of(const GwBlockNews *news, const char *target);
