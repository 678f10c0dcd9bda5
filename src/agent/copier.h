/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/copy_file.h"
#include "base/json.h"

/* A copier reads one file to a socket, writes one from it, or copies one to another: a process of
 * its own with these descriptors and nothing else (copy_starter.h), so that it is plain sequential
 * code that may block, and that whatever the other end makes of it stays in it. */

typedef enum {
    GW_COPIER_SEND,    /* @file, read-only, to the socket @other */
    GW_COPIER_RECEIVE, /* from the socket @other into @file */
    GW_COPIER_LOCAL,   /* @file, read-only, to the file @other */
} GwCopierRole;

typedef enum {
    GW_COPIER_FAST,    /* reflink, else the kernel's copy, else by reading and writing */
    GW_COPIER_REFLINK, /* only that */
    GW_COPIER_COPY,    /* by reading and writing, compared like one between hosts */
} GwCopierHow;

typedef struct {
    int role;             /* GwCopierRole */
    int how;              /* GwCopierHow, of LOCAL */
    guint64 length;       /* RECEIVE: what is expected; 0: whatever comes */
    guint64 resume_bytes; /* so much of the destination is thought to be right */
    gboolean delta;       /* all of it may be */
    guint64 bytes_per_s;  /* 0: no limit */
} GwCopierTask;

typedef struct {
    guint64 read, sent, written, same, total;
    guint64 position; /* all before it is done */
    char *digest;     /* of the whole; NULL: not taken */
    gboolean verified;
    char *how;
} GwCopierFigures;
void gw_copier_figures_clear(GwCopierFigures *figures);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwCopierFigures, gw_copier_figures_clear)

/* Told how far it is, not too often. */
typedef struct {
    void (*progress)(const GwCopierFigures *figures, gpointer user);
    gpointer user;
} GwCopierWatch;

/* In the process that calls; @file and @other are lent. What is reached is in @figures either way.
 */
gboolean gw_copier_run(const GwCopierTask *task, int file, int other, const GwCopierWatch *watch,
                       GwCopierFigures *figures, GError **error);

/* What a copier tells the warden, one packet each: {"state": "running" | "done" | "failed", …}. The
 * warden believes nothing of it but what it says. */
#define GW_COPIER_REPORT_MAX 8192
char *gw_copier_report_put(const char *state, const GwCopierFigures *figures, const GError *error);
/* Hostile bytes. *@state: lent, one of the three; @why: of "failed". */
gboolean gw_copier_report_get(const char *bytes, gsize length, const char **state,
                              GwCopierFigures *figures, GError **why, GError **error);
