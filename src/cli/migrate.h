/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* vm migrate, the command this program is for. */
extern const GwOption gw_migrate_options[];
int gw_migrate(GwSession *session, const GwArgs *args, GError **error);
