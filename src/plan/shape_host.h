/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/host.h"

/* All of a host that rules see and that it can have in common with others, as bytes: of two hosts
 * they are the same exactly when the hosts are alike. A list of 1,000 hosts is told into its shapes
 * while a person waits, so it is written straight from the record, into a buffer that is used
 * again. */
typedef struct GwHostShape GwHostShape;

GwHostShape *gw_host_shape_new(void);
void gw_host_shape_free(GwHostShape *shape);

/* Bytes of @host, valid until the next call. @own_uuid: its machine's UUID is a part of it. @words:
 * char *, what else makes it unlike others, sorted; NULL: nothing. */
gconstpointer gw_host_shape_bytes(GwHostShape *shape, const GwHost *host, gboolean own_uuid,
                                  const GPtrArray *words, gsize *length);
