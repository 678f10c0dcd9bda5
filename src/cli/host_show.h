/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* host show, host storage: a host and what it has, in tables. */
int gw_show_host_record(GwSession *session, const GwArgs *args, GError **error);
int gw_show_host_storage(GwSession *session, const GwArgs *args, GError **error);
