/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/agent.h"

/* What the machine says of itself, read from files. Nothing here touches libvirt or the network. */

/* GwInterface of each but the loopback. */
GPtrArray *gw_facts_interfaces(const char *sys_folder);
/* GwFileSystem of those that @paths (NULL-terminated) lie on, each once. May hang where a network
 * file system does. */
GPtrArray *gw_facts_file_systems(const char *mountinfo, const char *const *paths);
/* The kernel's name of this boot; NULL where it cannot be read. */
char *gw_facts_boot_id(const char *proc_folder);
/* Bytes of memory that a process holds; 0 where it cannot be told. */
gint64 gw_facts_resident(const char *proc_folder, pid_t pid);
