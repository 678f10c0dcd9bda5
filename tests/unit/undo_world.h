/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "storage_world.h"

/* Three hosts with storage of their own, and a share that all of them reach; jobs that fail, and
 * are taken back. */

#define UNDO_WEB "6d0b6b0e-0000-4000-8000-000000000001" /* off, on a's own storage */
#define UNDO_RUN "6d0b6b0e-0000-4000-8000-000000000002" /* runs at a, on the share */
#define UNDO_OTHER "6d0b6b0e-0000-4000-8000-000000000003"

void undo_open(World *world);
/* @other: the disk of a VM that is off at c; NULL: there is none. */
void undo_open_with(World *world, const char *other);
/* The next @times at which a host is asked for @at. */
void undo_plant(World *world, const char *at, const char *what, guint times);

/* Begins a move; the job's id, owned. */
char *undo_begin(World *world, const char *vm, const char *host);
void undo_cancel(World *world, const char *id);
/* The job once it is over, which must be in an hour, and so; owned. */
GwJob *undo_await_end(World *world, const char *id, GwJobState state);
void undo_ends(World *world, const char *id, GwJobState state);

/* What is in the file, as a number; 0: there is none. */
guint undo_content(World *world, guint host, const char *path);
gboolean undo_is_at(World *world, guint host, const char *uuid, GwVmState state);
/* All is at rest: nothing was lost, doubled or left. */
void undo_check(World *world, const char *when);
