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
/* Short for a text; NULL has one, too. */
guint32 gw_known_mark(const char *text);
/* FALSE: @host, which has @vms (may be NULL), has surely none whose UUID or name, nor a disk whose
 * path or backing path is that of @mark. */
gboolean gw_known_may_have(GwKnownHosts *known, const GwHost *host, GHashTable *vms, guint32 mark);
/* Writes @host's shape; one for all, by turns. */
GwHostShape *gw_known_writer(GwKnownHosts *known);
