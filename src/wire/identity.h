/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Who is who in a fabric. Its authority, kept by the controller, signs one certificate for the
 * controller and one for each host; who somebody is stands in the certificate's URI name
 * (urn:godwit:FABRIC:controller, urn:godwit:FABRIC:host:HOST_ID), never in an address or a DNS
 * name. Times are wall seconds; certificates begin two days before they are made, since clocks
 * differ. */

typedef enum { GW_PEER_CONTROLLER, GW_PEER_HOST } GwPeerRole;

typedef struct {
    GwPeerRole role;
    char *fabric_id;
    char *host_id; /* NULL of a controller */
    char *serial;  /* of the certificate, lower-case hex */
    gint64 expires_s;
} GwPeer;
void gw_peer_free(GwPeer *peer);
GwPeer *gw_peer_copy(const GwPeer *peer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPeer, gw_peer_free)

#define GW_IDENTITY_HOST_DAYS 90
#define GW_IDENTITY_RENEW_DAYS 30 /* before the end */

/* The authority ------------------------------------------------------------------------------- */

/* The CA's key and certificate, the key that signs tickets, and the controller's own certificate,
 * in @folder (0700; made at the first start, keys 0600). Any thread. */
typedef struct GwAuthority GwAuthority;
GwAuthority *gw_authority_open(const char *folder, gint64 now_s, GError **error);
void gw_authority_free(GwAuthority *authority);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwAuthority, gw_authority_free)
const char *gw_authority_fabric_id(const GwAuthority *authority);
const char *gw_authority_ca_pem(const GwAuthority *authority);
/* Ed25519, 32 bytes: what agents check tickets with; and the 64-byte key that signs them. */
const guint8 *gw_authority_ticket_public(const GwAuthority *authority);
const guint8 *gw_authority_ticket_secret(const GwAuthority *authority);
/* A certificate (PEM) for the key of @request_pem, a PKCS #10 request whose own names are ignored.
 * *@serial (may be NULL) is its serial. Hostile input: GW_ERR_INVALID. */
char *gw_authority_issue(GwAuthority *authority, const char *request_pem, const char *host_id,
                         int days, gint64 now_s, char **serial, GError **error);

/* A new key and a request for it, PEM. Wipe *@key_pem when done. */
gboolean gw_identity_request(char **key_pem, char **request_pem, GError **error);
/* Who a certificate says it is; checks its form, not who signed it. */
GwPeer *gw_identity_read(const char *certificate_pem, GError **error);

/* Credentials of sessions --------------------------------------------------------------------- */

/* What a session needs to prove who it is and to judge the other; shared, immutable but for the
 * revoked serials and the clock's offset. */
typedef struct GwCredentials GwCredentials;
GwCredentials *gw_credentials_new(const char *certificate_pem, const char *key_pem,
                                  const char *ca_pem, GError **error);
/* The controller's own, made or renewed as needed. */
GwCredentials *gw_authority_credentials(GwAuthority *authority, gint64 now_s, GError **error);
GwCredentials *gw_credentials_ref(GwCredentials *credentials);
void gw_credentials_unref(GwCredentials *credentials);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCredentials, gw_credentials_unref)
const GwPeer *gw_credentials_self(const GwCredentials *credentials);
/* From any thread; sessions that are already there are not ended by it. */
void gw_credentials_set_revoked(GwCredentials *credentials, const char *const *serials);
gboolean gw_credentials_is_revoked(GwCredentials *credentials, const char *serial);
/* How far the fabric's time (the controller's) is ahead of this machine's clock, seconds: a host
 * whose clock is a day off must not refuse certificates and tickets for that. */
void gw_credentials_set_offset(GwCredentials *credentials, gint64 offset_s);
gint64 gw_credentials_now_s(const GwCredentials *credentials);

/* GnuTLS, for session.c: a TLS 1.3 session with ALPN "godwit/1" that demands the other's
 * certificate; and, after the handshake, who it is: signed by the fabric's CA, in time by
 * gw_credentials_now_s, not revoked, of the same fabric (else GW_ERR_UNAUTHORIZED with the reason
 * and the remedy). */
struct gnutls_session_int;
struct gnutls_session_int *gw_credentials_tls(GwCredentials *credentials, gboolean dialling,
                                              GError **error);
GwPeer *gw_credentials_judge(GwCredentials *credentials, struct gnutls_session_int *tls,
                             GError **error);
