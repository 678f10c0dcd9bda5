/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "transport/rpc_filter.h"

/* The arguments of the two calls that the filter looks into, as XDR: not for anybody outside this
 * room. */

#define GW_RPC_STRING_MAX (4 * 1024 * 1024) /* of a definition or a cookie, as libvirt has it */

/* What the filter was given, copied. */
typedef struct {
    char *vm_uuid, *vm_name, *migration_uri, *disks_uri;
    gboolean prepare, paused, no_post_copy;
} GwRpcLeave;

/* domain_migrate_prepare3_params and domain_migrate_finish3_params: FALSE where a field is not the
 * ticket's (FORBIDDEN) or the whole is not such arguments (INVALID). */
gboolean gw_rpc_check_prepare(const GwRpcLeave *leave, const guint8 *args, gsize length,
                              GError **error);
gboolean gw_rpc_check_finish(const GwRpcLeave *leave, const guint8 *args, gsize length,
                             GError **error);
/* connect_open: of QEMU's system driver and nothing else. */
gboolean gw_rpc_check_open(const GwRpcLeave *leave, const guint8 *args, gsize length,
                           GError **error);

/* "…: not what the ticket allows", FORBIDDEN, with the remedy. Returns FALSE. */
gboolean gw_rpc_forbid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Not libvirt's protocol: INVALID. Returns FALSE. */
gboolean gw_rpc_invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
