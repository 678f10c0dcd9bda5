/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/copies.h"

/* What the warden's files about copies share. */

typedef enum {
    GW_FILE_COPY_OPENING,
    GW_FILE_COPY_RUNNING,
    GW_FILE_COPY_DONE,
    GW_FILE_COPY_FAILED
} GwFileCopyState;

/* One copy. It lives in the table; what comes late finds it by its id and number. */
typedef struct {
    GwWarden *warden;
    char *id, *path, *to_path; /* @to_path: of a local one */
    guint64 number;
    GwTicket *ticket; /* NULL: a local one */
    char *ticket_text;
    json_t *peer; /* of the source: where the destination is */
    GwCopierTask task;
    GwFileCopyState state;
    int front_fd; /* of an expected one: until its stream has come; -1 */
    int pidfd, report_fd;
    GwWatch *process, *reports;
    GwTimer *stall;
    GwCopierFigures figures;
    GError *why;
    GError *link_why; /* why its stream ended, as the front says */
    gint64 over_us;
    GArray *waiting; /* guint64: calls that wait for its end */
} GwFileCopy;

/* copies.c: those there are. @number 0: whichever has the id. NULL: none. */
GwFileCopy *gw_copies_find(GwWarden *warden, const char *id, guint64 number);

/* copies_run.c: one while it runs. */
/* Opens its files, starts its copier and answers @call. Takes @copy. */
void gw_file_copy_begin(GwWarden *warden, guint64 call, GwFileCopy *copy, gboolean create);
/* Its copier; what is told of it comes as of any that ends. */
void gw_file_copy_kill(GwFileCopy *copy);
void gw_file_copy_free(gpointer copy);
