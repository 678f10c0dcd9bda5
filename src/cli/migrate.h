/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* vm migrate, the command this program is for. */
extern const GwOption gw_migrate_options[];
int gw_migrate(GwSession *session, const GwArgs *args, GError **error);

/* vm migrate-storage: within the VM's host. */
extern const GwOption gw_migrate_storage_options[];
int gw_migrate_storage(GwSession *session, const GwArgs *args, GError **error);
