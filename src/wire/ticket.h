/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A ticket is the controller's signed leave for one move: which streams two named hosts may open
 * for which VM, until when. Both ends check it, each by itself; what opens a local socket (the
 * agent's privileged half) checks it again. It is no secret: it is worth nothing to who cannot also
 * prove to be its source. */

#define GW_TICKET_MAX 1024 /* bytes, encoded */
#define GW_TICKET_ID 16    /* bytes */
#define GW_TICKET_SIGNATURE 64

typedef enum {
    GW_STREAM_RPC = 1 << 0,       /* the peer's libvirt, through the filter */
    GW_STREAM_MIGRATION = 1 << 1, /* QEMU's channels: main, multifd, post-copy */
    GW_STREAM_DISK = 1 << 2,      /* NBD */
    GW_STREAM_FILE = 1 << 3,      /* a file of the VM, between two copiers */
    GW_STREAM_ECHO = 1 << 4,      /* comes back as it was sent: checks and measurements */
    GW_STREAM_LIBVIRT = 1 << 5,   /* the whole of libvirt, for the controller alone; needs none */
    GW_STREAM_DISCARD = 1 << 6,   /* is counted and thrown away: measurements */
} GwStreamKind;
/* One bit's word ("migration") and back (0: unknown). */
const char *gw_stream_kind_word(GwStreamKind kind);
guint gw_stream_kind_from_word(const char *word);

typedef struct {
    guint8 id[GW_TICKET_ID];
    char *fabric_id;
    char *job_id;
    char *vm_uuid;
    char *vm_name;
    gint64 epoch;
    char *source_id; /* host ids */
    char *destination_id;
    gint64 not_before_s, expires_s; /* the fabric's time */
    guint kinds;                    /* GwStreamKind, or-ed */
    guint streams_max;              /* of all kinds together, at one time */
    gboolean commit_by_resume;      /* the agents commit: resume the destination once the source
                                       is attested gone */
    gboolean post_copy;             /* allowed: never with commit_by_resume (RECOVERY.md) */
} GwTicket;
void gw_ticket_free(GwTicket *ticket);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwTicket, gw_ticket_free)

/* Draws the id, encodes and signs; free with g_bytes_unref. INVALID where a field is too long. */
GBytes *gw_ticket_sign(const GwTicket *ticket, const guint8 secret[64], GError **error);
/* Hostile bytes: form, bounds, signature; nothing of time or place. */
GwTicket *gw_ticket_open(const guint8 *bytes, gsize length, const guint8 public_key[32],
                         GError **error);

/* Whether @ticket allows a stream of @kind from host @source_id to @destination_id in @fabric_id at
 * @now_s; each refusal says what was required (UNAUTHORIZED). */
gboolean gw_ticket_check(const GwTicket *ticket, const char *fabric_id, const char *source_id,
                         const char *destination_id, guint kind, gint64 now_s, GError **error);
