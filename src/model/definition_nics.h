/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/network.h"

/* A VM's definition with its network adapters as they are to be elsewhere. Through libxml2, never
 * by text: what is not known here is kept as it is (beside definition.h). */

/* @xml with the adapters of @nics (GwNicMove) that change as they become: network or bridge, port
 * group, virtual port, link. An adapter that is on nothing any more becomes of type ethernet with
 * its link down: a tap of its own, that is connected to nothing, and that a running guest's virtio
 * device takes over from (docs/measured.md). An error where an adapter is not there, or @xml cannot
 * be read. Free with g_free. */
char *gw_definition_with_nics(const char *xml, const GPtrArray *nics, GError **error);
/* The same of a running VM's inactive definition, or of both in a snapshot's XML: an adapter that
 * is not in it is left out, and VLANs stay, since all of them are the adapter's own. */
char *gw_definition_inactive_nics(const char *xml, const GPtrArray *nics, GError **error);
/* @xml, with what @saved (the definition before an earlier move) says of those adapters of @nics
 * that come back to where it has them: ports, VLANs, scripts and what else they lost on their way.
 * To be called after one of the above; adapters that @saved has elsewhere, or not, are left alone.
 */
char *gw_definition_restore_nics(const char *xml, const char *saved, const GPtrArray *nics,
                                 GError **error);
