/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/command.h"

/* Help, man pages and completion, all from the command table. Owned by the caller. */

char *gw_help_overview(void);
char *gw_help_group(const GwCommandGroup *group);
char *gw_help_command(const GwCommand *command);

/* The scdoc source of godwit(1) (@group NULL) or of godwit-GROUP(1). */
char *gw_man_page(const GwCommandGroup *group);

/* The completion script for bash, zsh or fish; NULL for another shell. */
char *gw_completion_script(const char *shell);
