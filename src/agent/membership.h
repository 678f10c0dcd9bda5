/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "agent/state.h"

/* What join, leave and status have in common. */

typedef struct {
    char *state_dir;
} MembershipOptions;

void membership_options_clear(MembershipOptions *options);
/* Reads the command line (@entries and --state-dir) and, for what it does not say, the agent's
 * configuration. INVALID. */
gboolean membership_parse(MembershipOptions *options, const char *summary,
                          const GOptionEntry *entries, int *argc, char ***argv, GError **error);
/* The port that the agent is configured to listen on; 0: the default. */
int membership_port(void);
/* Whether the state folder can be written: before a token is used up for nothing. */
gboolean membership_prepare(const MembershipOptions *options, GError **error);
/* Prints @error for a person; the exit status. */
int membership_complain(const GError *error);
