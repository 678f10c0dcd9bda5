/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* Lines of a script (R43). script.c: */
/* "virsh -c URI COMMAND" of @host; the caller goes on with it. */
GString *gw_script_virsh(const GwPlanInput *input, const GwHost *host, const char *command);
/* The same with the VM, quoted, and @rest. Owned. */
char *gw_script_on(const GwPlanInput *input, const GwHost *host, const char *command,
                   const char *vm, const char *rest);
/* A blank, and @word quoted. */
void gw_script_add_word(GString *line, const char *word);
/* Takes over @line. */
void gw_script_take(GStrvBuilder *lines, char *line);
/* A comment, cleaned. Takes over @text. */
void gw_script_comment(GStrvBuilder *lines, char *text);

/* script_networks.c: adapters that the definition, which lies in vm.xml, has elsewhere. */
void gw_script_say_nics(GStrvBuilder *lines, const GwPlanInput *input);
/* "--nic MAC=NETWORK" of each choice. */
void gw_script_add_nics(GString *line, const GwMoveOptions *options);

/* script_hbas.c: virtual HBAs that are handed over; needs input->storage. */
void gw_script_say_hbas(GStrvBuilder *lines, const GwPlanInput *input);
/* "--hba WWPN=HBA" of each choice. */
void gw_script_add_hbas(GString *line, const GwMoveOptions *options);

/* script_storage.c: what is done with disks. All need input->storage; @vm is quoted. */
/* Whether it leaves definitions, secrets included, or images where it runs. */
gboolean gw_script_writes_files(const GwPlanInput *input);
/* Makes the volumes that a live move copies to, and what lies below them. */
void gw_script_before_live(GStrvBuilder *lines, const GwPlanInput *input, const char *vm);
/* What the migration itself is told of them. */
void gw_script_migrate_disks(GString *line, const GwPlanInput *input);
/* A VM that is off, to another host. */
void gw_script_off(GStrvBuilder *lines, const GwPlanInput *input, const char *vm);
/* Disks to another place of their host (R14). */
void gw_script_within(GStrvBuilder *lines, const GwPlanInput *input, const char *vm);
