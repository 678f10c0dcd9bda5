/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* The process with the rights: libvirt's socket, the folder of sockets, the process table, the
 * state on disk. It never touches the network (front.h does).
 *
 * Every path is here, so that tests and several hosts on one machine can have their own. NULL is
 * the default of an installed agent. */
typedef struct {
    const char *state_folder;   /* /var/lib/godwit-agent */
    const char *run_folder;     /* /run/libvirt/godwit: sockets that libvirt and QEMU use */
    const char *libvirt_socket; /* /run/libvirt/virtqemud-sock where it is, else libvirt-sock */
    const char *qemu_conf;      /* /etc/libvirt/qemu.conf */
    const char *emulator_group; /* that of qemu.conf, else libvirt-qemu, qemu or kvm, else root */
    const char *proc_folder;    /* /proc */
    const char *sys_folder;     /* /sys */
    /* Several hosts share this kernel and its process table (a lab): only processes of our UTS
     * namespace are of this host. Never on a real one, where a process elsewhere counts. */
    gboolean shared_kernel;
    int starter_fd; /* copy_starter.h's, taken; 0: no files can be copied */
} GwWardenConfig;

#define GW_WARDEN_STATE_FOLDER "/var/lib/godwit-agent"
#define GW_WARDEN_RUN_FOLDER "/run/libvirt/godwit"

/* Serves until the front goes away, or SIGTERM or SIGINT comes, which the caller has blocked in
 * every thread before it calls. @ipc_fd (taken): a SOCK_SEQPACKET socket that leads to the front;
 * @front: its process, ended (SIGTERM, then SIGKILL) and waited for before this returns; 0: none.
 * Returns the exit status. */
int gw_warden_main(const GwWardenConfig *config, int ipc_fd, pid_t front);
