/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/hyper.h"
#include "wire/identity.h"

/* The controller's driver for hosts with an agent. It keeps one session to each agent (back-off
 * 1 to 30 s is the engine's, by CONNECT), reaches the host's libvirt through it (a local socket
 * that only this user may open, carried as a stream) and hands everything else to the libvirt
 * driver that it wraps; hosts without an agent go straight there.
 *
 * A host has an agent where its URI is godwit://ADDRESS[:PORT]/HOST_ID. */

typedef struct {
    GwAuthority *authority; /* must outlive the fleet */
    const char *folder;     /* for the local sockets; made 0700 */
    gint64 incarnation;     /* of this controller: goes up at every start */
} GwFleetConfig;

/* Takes @libvirt's place as @sink's driver: opens its own libvirt driver inside. */
GwHyper *gw_fleet_open(GwHyperSink sink, const GwFleetConfig *config, GError **error);

/* Counts this start of the controller in the file @path, durably, before it returns: 1, 2, …; 0
 * with @error. */
gint64 gw_fleet_next_incarnation(const char *path, GError **error);
