/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The network-facing process. @ipc_fd leads to the warden, @listen_fds are the TCP sockets that the
 * warden bound before it gave up nothing and we gave up everything. Drops all rights first
 * (gw_sandbox_enter), then serves until the warden goes away. Returns the exit status.
 *
 * Calls to the warden: "open" (a peer, or the controller, wants a stream: its fd comes back),
 * "call" (a peer's or the controller's call that is the warden's to answer), notices "notice" (of a
 * peer), "controller" ({"connected": bool}).
 * Calls from the warden: "credentials", "listen" (with a listening unix socket: what connects there
 * is carried to a peer), "unlisten", "peer-call" (dials the peer where no session is up),
 * "peer-notice", "limits". docs/agent-protocol.md has their params. */
int gw_front_main(int ipc_fd, const int *listen_fds, guint n_listen_fds);
