/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* undo_words.c: what undoing does, step by step, for people. */

/* "Copy vda back from …, to … of …, onto the copy kept there: only what changed since". @live: the
 * VM runs. */
char *gw_undo_copy_words(const GwFabric *fabric, const GwJob *job, const GwDiskMove *move,
                         const GwVm *vm);
/* What a failed job left: what takes @task back; NULL: nothing is left of it. */
char *gw_undo_left_words(const GwFabric *fabric, const GwJob *job, const GwTask *task);
/* A host's name, or its id where it is not managed any more. */
const char *gw_undo_host(const GwFabric *fabric, const char *host_id);
/* Where the disk was before, and is to be again; NULL: nothing of it was copied. */
const GwVolume *gw_undo_old_place(const GwDiskMove *move);
