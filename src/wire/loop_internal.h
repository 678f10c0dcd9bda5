/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/loop.h"

/* For tests and fuzzers: a loop without a thread, whose turns the caller takes himself. It belongs
 * to the thread that made it. */
GwLoop *gw_loop_new_manual(void);
/* Handles what is there; where nothing is, waits at most @wait_ms for something. */
void gw_loop_turn(GwLoop *loop, int wait_ms);
