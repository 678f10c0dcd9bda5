/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/rule.h"

/* What the parts of the scripts share (R43): script.c, script_cli.c, script_storage.c. */

/* " --option 7" where @value is set. */
void gw_script_number(GString *line, const char *option, gint64 value);
void gw_script_flag(GString *line, const char *option, gboolean set);
/* A blank, and @word as the shell takes it as it is. */
void gw_script_word(GString *line, const char *word);
/* "virsh -c URI command". */
GString *gw_script_virsh(const GwPlanInput *input, const GwHost *host, const char *command);
/* Appends @line (taken). */
void gw_script_take(GStrvBuilder *lines, char *line);

/* What stands before libvirt's migration of a VM whose disks are copied too: their volumes, and a
 * definition that names them. */
void gw_script_before_vsm(GStrvBuilder *lines, const GwPlanInput *input);
/* The options of that migration. */
void gw_script_vsm_options(GString *line, const GwPlanInput *input);
/* A VM that is off, to another host; and disks within their host. */
void gw_script_off(GStrvBuilder *lines, const GwPlanInput *input);
void gw_script_within(GStrvBuilder *lines, const GwPlanInput *input);
