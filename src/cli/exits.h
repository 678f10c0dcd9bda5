/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What the program's exit status says; the man page prints the table. */
enum {
    GW_EXIT_OK = 0,
    GW_EXIT_FAILED = 1,
    GW_EXIT_USAGE = 2,
    GW_EXIT_REFUSED = 3,
    GW_EXIT_CONTROLLER = 4,
    GW_EXIT_CANCELLED = 5,
    GW_EXIT_HELD = 6,
    GW_EXIT_NOT_FOUND = 7,
    GW_EXIT_CONFLICT = 8,
    GW_EXIT_INTERRUPTED = 130,
};

typedef struct {
    int status;
    const char *doc;
} GwExitRow;

extern const GwExitRow gw_exit_rows[]; /* ends with a row without doc */

/* @answered: the error is what the controller answered; "unreachable" then speaks of a host. */
int gw_exit_of_error(const GError *error, gboolean answered);
/* Of several VMs: what needs a person's attention first. */
int gw_exit_worse(int a, int b);
