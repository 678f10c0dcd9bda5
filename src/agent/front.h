/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The network-facing process. The listening TCP sockets were bound before anything was given up.
 *
 * Calls to the warden: "open" (a peer, or the controller, wants a stream: its fd comes back),
 * "call" (a peer's or the controller's call that is the warden's to answer), "controller" (one has
 * come: may it stay?); notices "notice" (of a peer), "controller" (it has gone).
 * Calls from the warden: "credentials", "listen" (with a listening unix socket: what connects there
 * is carried to a peer), "unlisten", "connect", "peer-call" (dials the peer where no session is
 * up), "measure", "limits", "counts"; notices "peer-notice", "controller-notice".
 * docs/agent-protocol.md has their params. */

#define GW_FRONT_THREADS_MAX 16

typedef struct {
    int ipc_fd; /* leads to the warden; taken */
    const int *listen_fds;
    guint n_listen_fds;
    guint threads;            /* 0: min(processors, 4) */
    const char *user;         /* whom to become */
    const char *empty_folder; /* what to make the root folder */
} GwFrontConfig;

/* Gives up all rights (gw_sandbox_enter), then serves until the warden goes away. To be called
 * before the process has a thread; returns its exit status, with threads still running: _exit. */
int gw_front_main(const GwFrontConfig *config);
/* The same without giving anything up, for tests that are not run by root. */
int gw_front_serve(const GwFrontConfig *config);
