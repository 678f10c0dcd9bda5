/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* `godwit host check`, a handler as those of command.h. */
int gw_check_host(GwSession *session, const GwArgs *args, GError **error);
