/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"

/* What join_tokens.c and joins.c share. */

void gw_joins_forget_expired(GwEngine *engine);
/* Both answer FALSE. */
gboolean gw_joins_refuse_unknown(GError **error);
gboolean gw_joins_no_authority(GError **error);
