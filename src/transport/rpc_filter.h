/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What another host's libvirt may ask of ours during a move, and nothing else. libvirt's RPC is a
 * sequence of packets (length, program, version, procedure, type, serial, status, XDR payload); the
 * filter follows the calls of the peer, whatever pieces they come in, and lets pass only the
 * procedures that a peer-to-peer migration needs, and of those that prepare and finish, only for
 * the ticket's VM, with the ticket's sockets. Answers are not looked at. */

#define GW_RPC_PACKET_MAX (33554432 + 4) /* libvirt's own ceiling */

typedef struct GwRpcFilter GwRpcFilter;
typedef struct {
    const char *vm_uuid;
    const char *vm_name;
    const char *migration_uri; /* unix:///… as the ticket's paths give them; NULL: none */
    const char *disks_uri;
    gboolean prepare; /* FALSE: only what connects and asks for versions (a check) */
    gboolean paused;  /* commit by resume: what would start the VM by itself is refused */
    gboolean no_post_copy;
} GwRpcFilterConfig;

GwRpcFilter *gw_rpc_filter_new(const GwRpcFilterConfig *config);
void gw_rpc_filter_free(GwRpcFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwRpcFilter, gw_rpc_filter_free)
/* Follows the next @length bytes and appends to @out those that may go on. A packet whose arguments
 * need no look goes on as it comes; one that is looked into is held back until it is whole, at most
 * 4 MiB. A packet that is refused (GW_ERR_FORBIDDEN: names the procedure, or the field that is not
 * the ticket's), or no packet at all (GW_ERR_INVALID), ends the stream: FALSE, for good. */
gboolean gw_rpc_filter_feed(GwRpcFilter *filter, const guint8 *bytes, gsize length, GByteArray *out,
                            GError **error);
