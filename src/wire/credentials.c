/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "wire/pki.h"

/* Only what every version of ours can do: nothing to be talked down to. AES first, since it is
 * twice as fast where the processor has it, which hosts have. */
#define PRIORITY                                                                                   \
    "NONE:+VERS-TLS1.3:+AEAD:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:+GROUP-X25519:"          \
    "+GROUP-SECP256R1:+SIGN-ECDSA-SECP256R1-SHA256:+CTYPE-X509"
#define ALPN "godwit/1"
#define HANDSHAKE_MAX (16 * 1024) /* bytes of one message: a certificate has 600 */

struct GwCredentials {
    gint refs;
    gnutls_certificate_credentials_t tls;
    GwPeer *self;
    GwClock *clock;
    gint64 ca_expires_s;
    GMutex lock;         /* guards what follows */
    GwCrt *ca;           /* GnuTLS does not say that two threads may verify by one */
    GHashTable *revoked; /* serials */
    gint64 offset_s;
};

GwCredentials *gw_credentials_ref(GwCredentials *credentials)
{
    g_atomic_int_inc(&credentials->refs);
    return credentials;
}

void gw_credentials_unref(GwCredentials *credentials)
{
    if (credentials == NULL || !g_atomic_int_dec_and_test(&credentials->refs))
        return;
    g_clear_pointer(&credentials->tls, gnutls_certificate_free_credentials);
    g_clear_pointer(&credentials->ca, gnutls_x509_crt_deinit);
    gw_peer_free(credentials->self);
    gw_clock_free(credentials->clock);
    g_hash_table_unref(credentials->revoked);
    g_mutex_clear(&credentials->lock);
    g_free(credentials);
}

/* A certificate of our own is checked like another's: better to say it here than to be refused by
 * every peer. */
static gboolean check_own(GwCredentials *credentials, const char *certificate_pem, GError **error)
{
    static const char remedy[] = "Let the host join again, or restore its state folder.";
    g_autofree char *fabric_id = gw_pki_read_ca(credentials->ca, error);
    g_autoptr(GwCrt) crt = fabric_id != NULL ? gw_pki_crt_import(certificate_pem, error) : NULL;

    credentials->self = crt != NULL ? gw_pki_read_leaf(crt, error) : NULL;
    if (credentials->self == NULL)
        return FALSE;
    credentials->ca_expires_s = gnutls_x509_crt_get_expiration_time(credentials->ca);
    if (strcmp(fabric_id, credentials->self->fabric_id) == 0 &&
        gw_pki_is_signed_by(crt, credentials->ca))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, remedy,
                 "the certificate is of fabric %s, the authority is that of fabric %s, which did "
                 "not sign it",
                 credentials->self->fabric_id, fabric_id);
    return FALSE;
}

static gboolean load_key(GwCredentials *credentials, const char *certificate_pem,
                         const char *key_pem, GError **error)
{
    g_autoptr(GwKey) key = gw_pki_key_import(key_pem, error);
    g_autoptr(GwCrt) crt = key != NULL ? gw_pki_crt_import(certificate_pem, error) : NULL;

    if (crt == NULL)
        return FALSE;
    int status = gnutls_certificate_allocate_credentials(&credentials->tls);
    if (status >= 0)
        status = gnutls_certificate_set_x509_key(credentials->tls, &crt, 1, key);
    return !gw_pki_failed(status, "taking the key of the certificate",
                          "Let the host join again, or restore its state folder.", error);
}

GwCredentials *gw_credentials_new(const char *certificate_pem, const char *key_pem,
                                  const char *ca_pem, GError **error)
{
    g_autoptr(GwCredentials) credentials = g_new0(GwCredentials, 1);

    credentials->refs = 1;
    g_mutex_init(&credentials->lock);
    credentials->clock = gw_clock_new_system();
    credentials->revoked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    credentials->ca = gw_pki_crt_import(ca_pem, error);
    if (credentials->ca == NULL || !check_own(credentials, certificate_pem, error) ||
        !load_key(credentials, certificate_pem, key_pem, error))
        return NULL;
    return g_steal_pointer(&credentials);
}

const GwPeer *gw_credentials_self(const GwCredentials *credentials)
{
    return credentials->self;
}

void gw_credentials_set_revoked(GwCredentials *credentials, const char *const *serials)
{
    GHashTable *revoked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (int i = 0; serials != NULL && serials[i] != NULL; i++)
        g_hash_table_add(revoked, g_ascii_strdown(serials[i], -1));
    g_mutex_lock(&credentials->lock);
    GHashTable *old = credentials->revoked;
    credentials->revoked = revoked;
    g_mutex_unlock(&credentials->lock);
    g_hash_table_unref(old);
}

gboolean gw_credentials_is_revoked(GwCredentials *credentials, const char *serial)
{
    g_autofree char *lower = g_ascii_strdown(serial, -1);

    g_mutex_lock(&credentials->lock);
    gboolean revoked = g_hash_table_contains(credentials->revoked, lower);
    g_mutex_unlock(&credentials->lock);
    return revoked;
}

void gw_credentials_set_offset(GwCredentials *credentials, gint64 offset_s)
{
    g_mutex_lock(&credentials->lock);
    credentials->offset_s = offset_s;
    g_mutex_unlock(&credentials->lock);
}

gint64 gw_credentials_now_s(const GwCredentials *credentials)
{
    GMutex *lock = (GMutex *)&credentials->lock;

    g_mutex_lock(lock);
    gint64 offset_s = credentials->offset_s;
    g_mutex_unlock(lock);
    return gw_clock_wall_us(credentials->clock) / G_USEC_PER_SEC + offset_s;
}

/* Sessions ------------------------------------------------------------------------------------ */

struct gnutls_session_int *gw_credentials_tls(GwCredentials *credentials, gboolean dialling,
                                              GError **error)
{
    static const gnutls_datum_t alpn = { (unsigned char *)ALPN, sizeof(ALPN) - 1 };
    gnutls_session_t tls = NULL;

    int status = gnutls_init(&tls, (dialling ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NONBLOCK |
                                       GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS | GNUTLS_NO_EXTENSIONS);
    if (status >= 0)
        status = gnutls_priority_set_direct(tls, PRIORITY, NULL);
    if (status >= 0)
        status = gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials->tls);
    if (status >= 0)
        status = gnutls_alpn_set_protocols(tls, &alpn, 1, GNUTLS_ALPN_MANDATORY);
    if (status >= 0) {
        gnutls_handshake_set_max_packet_length(tls, HANDSHAKE_MAX);
        if (!dialling)
            gnutls_certificate_server_set_request(tls, GNUTLS_CERT_REQUIRE);
        return tls;
    }
    gw_error_set(error, GW_ERR_INTERNAL, NULL, "cannot begin TLS: %s", gnutls_strerror(status));
    if (tls != NULL)
        gnutls_deinit(tls);
    return NULL;
}

static gboolean refuse(GError **error, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean refuse(GError **error, const char *remedy, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(error, GW_ERR_UNAUTHORIZED, remedy, "%s", why);
    return FALSE;
}

static gboolean check_protocol(gnutls_session_t tls, GError **error)
{
    gnutls_datum_t chosen = { NULL, 0 };

    /* MANDATORY refuses another protocol, but not the absence of any. */
    if (gnutls_alpn_get_selected_protocol(tls, &chosen) < 0 || chosen.size != sizeof(ALPN) - 1 ||
        memcmp(chosen.data, ALPN, chosen.size) != 0)
        return refuse(error, "Dial the agents' port with a program of the fabric.",
                      "the other side speaks another protocol, required is " ALPN " by ALPN");
    if (gnutls_protocol_get_version(tls) != GNUTLS_TLS1_3)
        return refuse(error, "Update the other side.",
                      "the other side speaks %s, required is "
                      "TLS 1.3",
                      gnutls_protocol_get_name(gnutls_protocol_get_version(tls)));
    return TRUE;
}

static GwCrt *peer_certificate(gnutls_session_t tls, GError **error)
{
    g_autoptr(GwCrt) crt = NULL;
    unsigned count = 0;
    const gnutls_datum_t *der = gnutls_certificate_get_peers(tls, &count);

    if (der == NULL || count != 1 || der[0].size > GW_PKI_PEM_MAX) {
        refuse(error, "Let the host join the fabric.",
               "the other side showed %u certificates, required is one", count);
        return NULL;
    }
    if (gnutls_x509_crt_init(&crt) < 0 ||
        gnutls_x509_crt_import(crt, &der[0], GNUTLS_X509_FMT_DER) < 0) {
        refuse(error, "Let the host join the fabric.",
               "what the other side showed is no certificate");
        return NULL;
    }
    return g_steal_pointer(&crt);
}

static char *day_of(gint64 at_s)
{
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(at_s);

    return at != NULL ? g_date_time_format(at, "%Y-%m-%d %H:%M UTC") : g_strdup("another age");
}

static gboolean check_time(GwCredentials *credentials, GwCrt *crt, const GwPeer *peer,
                           GError **error)
{
    gint64 now_s = gw_credentials_now_s(credentials);
    gint64 begins_s = gnutls_x509_crt_get_activation_time(crt);
    gint64 ends_s = MIN(peer->expires_s, credentials->ca_expires_s);

    if (now_s >= begins_s && now_s < ends_s)
        return TRUE;
    g_autofree char *now = day_of(now_s);
    g_autofree char *begins = day_of(begins_s);
    g_autofree char *ends = day_of(ends_s);
    return refuse(error,
                  now_s < begins_s ? "Set the clock of the controller and of this host."
                                   : "Renew it: reconnect the host to the controller, or let it "
                                     "join again.",
                  "the certificate of %s %s is valid from %s to %s, the fabric's time is %s",
                  peer->host_id != NULL ? "host" : "the",
                  peer->host_id != NULL ? peer->host_id : "controller", begins, ends, now);
}

static gboolean check_signed(GwCredentials *credentials, GwCrt *crt, const GwPeer *peer,
                             GError **error)
{
    static const char remedy[] = "Let the host join this fabric (godwit host add --install).";

    if (strcmp(peer->fabric_id, credentials->self->fabric_id) != 0)
        return refuse(error, remedy, "the other side is of fabric %s, required is %s",
                      peer->fabric_id, credentials->self->fabric_id);
    g_mutex_lock(&credentials->lock);
    gboolean good = gw_pki_is_signed_by(crt, credentials->ca);
    g_mutex_unlock(&credentials->lock);
    return good ? TRUE
                : refuse(error, remedy,
                         "the other side's certificate is not signed by the authority of fabric "
                         "%s, though it claims to be",
                         peer->fabric_id);
}

GwPeer *gw_credentials_judge(GwCredentials *credentials, struct gnutls_session_int *tls,
                             GError **error)
{
    GError *why = NULL;
    g_autoptr(GwCrt) crt = check_protocol(tls, error) ? peer_certificate(tls, error) : NULL;

    if (crt == NULL)
        return NULL;
    g_autoptr(GwPeer) peer = gw_pki_read_leaf(crt, &why);
    if (peer == NULL) {
        refuse(error, gw_error_remedy(why), "of the other side: %s", why->message);
        g_error_free(why);
        return NULL;
    }
    if (!check_signed(credentials, crt, peer, error) || !check_time(credentials, crt, peer, error))
        return NULL;
    if (gw_credentials_is_revoked(credentials, peer->serial)) {
        refuse(error, "Let the host join again, if it should be one of the fabric.",
               "the certificate %s of host %s is revoked", peer->serial,
               peer->host_id != NULL ? peer->host_id : "(the controller)");
        return NULL;
    }
    return g_steal_pointer(&peer);
}
