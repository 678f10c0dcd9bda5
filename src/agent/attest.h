/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The process table's word on a VM: which emulator processes run it. Zombies do not count: they run
 * nothing. The folder is /proc, or a test's. */
typedef struct {
    pid_t pid;
    guint64 start_ticks; /* tells a process from a later one with the same number */
} GwVmProcess;

/* Processes whose command line is a QEMU's with -uuid @vm_uuid; an error where the table cannot be
 * read whole (a process of which that cannot be told, and that is not gone, is an error too:
 * "cannot tell" is not absence). Free with g_array_unref. */
GArray *gw_attest_processes(const char *proc, const char *vm_uuid, GError **error);
/* A descriptor that becomes readable when the process ends (pidfd); -1 with errno. Checks the start
 * time after opening, so it is of that very process. */
int gw_attest_watch(const char *proc, const GwVmProcess *process);
/* Whether process @pid is one of them; FALSE also where that cannot be told. */
gboolean gw_attest_is_vm(const char *proc, pid_t pid, const char *vm_uuid);
/* Only where several hosts share one kernel (a lab): drops those of the other hosts, which are told
 * apart by their UTS namespace. One of which that cannot be told stays. */
void gw_attest_keep_own(const char *proc, GArray *processes);
