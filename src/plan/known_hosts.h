/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"
#include "plan/shape_host.h"

/* What plan.h's GwKnownHosts knows of the picture that it looked at last. */

/* Reads what is new in @fabric, and forgets what has gone. */
void gw_known_look(GwKnownHosts *known, const GwFabric *fabric);
/* The shape of @host, without what names it in other records: numbers from 0, the same for hosts
 * that are alike. */
guint gw_known_shape(GwKnownHosts *known, const GwHost *host);
/* Whether another entry has the UUID of @host's machine. */
gboolean gw_known_is_twice(const GwKnownHosts *known, const GwHost *host);
/* FALSE: @host, which has @vms (may be NULL), has surely none of @vm's UUID, nor of its name. */
gboolean gw_known_may_hold(GwKnownHosts *known, const GwHost *host, GHashTable *vms,
                           const GwVm *vm);
/* Writes @host's shape; one for all, by turns. */
GwHostShape *gw_known_writer(GwKnownHosts *known);
