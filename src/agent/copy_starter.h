/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "agent/copier.h"

/* A process that starts copiers. The warden cannot: it has threads, after which a fork is good for
 * an exec alone, and has given up the rights that entering a sandbox needs. This one was forked
 * before, keeps those rights and no others, and touches nothing but the one socket pair. When the
 * warden ends, so does it, and every copier with it. */

typedef struct {
    const char *user, *empty_folder; /* as of the front; NULL: no sandbox (a test's) */
} GwCopyStarterConfig;

/* Forks it; @keep_out: a descriptor it must not have (-1: none). Returns the warden's end, -1 with
 * @error. To be called before any thread is made. */
int gw_copy_starter_fork(const GwCopyStarterConfig *config, int keep_out, GError **error);

/* Starts a copier with @file and @other, which stay the caller's. Returns a pidfd of it, and in
 * *@report a non-blocking SOCK_SEQPACKET socket that its reports come from; both the caller's. -1
 * with @error. */
int gw_copy_starter_ask(int starter, const GwCopierTask *task, int file, int other, int *report,
                        GError **error);
