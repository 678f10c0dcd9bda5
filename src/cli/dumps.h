/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* godwit explain --domain-xml: what a VM's dump tells of a move, without a controller. */
int gw_explain_dumps(GwSession *session, const GwArgs *args, GError **error);
