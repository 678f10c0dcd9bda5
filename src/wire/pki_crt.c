/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What certificates say: made by the authority, read by everybody. */
#include <sodium.h>
#include <string.h>

#include "base/error.h"
#include "wire/pki.h"

#define URN "urn:godwit:"
#define SERIAL_BYTES 16
#define NAME_MAX_BYTES 256

/* Making ------------------------------------------------------------------------------------ */

static int begin(GwCrt *crt, const char *common_name, const char *uri, gint64 now_s,
                 gint64 expires_s)
{
    unsigned char serial[SERIAL_BYTES];

    randombytes_buf(serial, sizeof(serial));
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of full length */
    int status = gnutls_x509_crt_set_version(crt, 3);
    if (status >= 0)
        status = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
    if (status >= 0)
        status = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                               (unsigned)strlen(common_name));
    if (status >= 0)
        status = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri,
                                                      (unsigned)strlen(uri), GNUTLS_FSAN_SET);
    /* Clocks differ: who is up to two days behind shall take it too. */
    if (status >= 0)
        status = gnutls_x509_crt_set_activation_time(crt, (time_t)(now_s - 2 * GW_PKI_DAY_S));
    if (status >= 0)
        status = gnutls_x509_crt_set_expiration_time(crt, (time_t)expires_s);
    return status;
}

static int name_keys(GwCrt *crt, GwCrt *issuer)
{
    unsigned char id[64];
    size_t size = sizeof(id);

    int status = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &size);
    if (status >= 0)
        status = gnutls_x509_crt_set_subject_key_id(crt, id, size);
    size = sizeof(id);
    if (status >= 0)
        status = gnutls_x509_crt_get_subject_key_id(issuer, id, &size, NULL);
    if (status >= 0)
        status = gnutls_x509_crt_set_authority_key_id(crt, id, size);
    return status;
}

GwCrt *gw_pki_make_ca(GwKey *key, const char *fabric_id, int days, gint64 now_s, GError **error)
{
    g_autoptr(GwCrt) crt = NULL;
    g_autofree char *uri = g_strconcat(URN, fabric_id, ":authority", NULL);

    int status = gnutls_x509_crt_init(&crt);
    if (status >= 0)
        status = begin(crt, "Godwit authority", uri, now_s, now_s + (gint64)days * GW_PKI_DAY_S);
    if (status >= 0)
        status = gnutls_x509_crt_set_key(crt, key);
    if (status >= 0)
        status = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (status >= 0)
        status = name_keys(crt, crt);
    if (status >= 0)
        status = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
    return gw_pki_failed(status, "making the authority's certificate", NULL, error)
               ? NULL
               : g_steal_pointer(&crt);
}

static int limit_to_sessions(GwCrt *crt)
{
    int status = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    return status;
}

GwCrt *gw_pki_make_leaf(GwPublic *key, GwCrt *ca, GwKey *ca_key, const char *fabric_id,
                        const char *host_id, int days, gint64 now_s, GError **error)
{
    g_autoptr(GwCrt) crt = NULL;
    g_autofree char *uri = host_id != NULL ? g_strconcat(URN, fabric_id, ":host:", host_id, NULL)
                                           : g_strconcat(URN, fabric_id, ":controller", NULL);
    gint64 ends = gnutls_x509_crt_get_expiration_time(ca);

    if (now_s >= ends) {
        gw_error_set(error, GW_ERR_CONFLICT, "Set the controller's clock, or begin a new fabric.",
                     "the fabric's authority ended %" G_GINT64_FORMAT " days ago",
                     (now_s - ends) / GW_PKI_DAY_S);
        return NULL;
    }
    int status = gnutls_x509_crt_init(&crt);
    if (status >= 0)
        status = begin(crt, host_id != NULL ? "Godwit host" : "Godwit controller", uri, now_s,
                       MIN(now_s + (gint64)days * GW_PKI_DAY_S, ends));
    if (status >= 0)
        status = gnutls_x509_crt_set_pubkey(crt, key);
    if (status >= 0)
        status = limit_to_sessions(crt);
    if (status >= 0)
        status = name_keys(crt, ca);
    if (status >= 0)
        status = gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0);
    return gw_pki_failed(status, "making a certificate", NULL, error) ? NULL
                                                                      : g_steal_pointer(&crt);
}

/* Reading ----------------------------------------------------------------------------------- */

/* All of these are the other's word: whatever differs from what we make is refused. */
static gboolean refuse(GError **error, const char *observed, const char *required)
{
    gw_error_set(error, GW_ERR_INVALID, "Use a certificate that the fabric's controller made.",
                 "the certificate %s, required is %s", observed, required);
    return FALSE;
}

/* The one name of a certificate, a URI of ours, without "urn:godwit:". */
static char *read_name(GwCrt *crt, GError **error)
{
    char name[NAME_MAX_BYTES + 1] = { 0 }, second[NAME_MAX_BYTES + 1];
    size_t size = NAME_MAX_BYTES, second_size = NAME_MAX_BYTES;

    int type = gnutls_x509_crt_get_subject_alt_name(crt, 0, name, &size, NULL);
    if (type != GNUTLS_SAN_URI || strlen(name) != size || !g_str_has_prefix(name, URN)) {
        refuse(error, "has no name of a fabric", "one URI name " URN "…");
        return NULL;
    }
    if (gnutls_x509_crt_get_subject_alt_name(crt, 1, second, &second_size, NULL) !=
        GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
        refuse(error, "has several names", "one URI name " URN "…");
        return NULL;
    }
    return g_strdup(name + strlen(URN));
}

static gboolean check_form(GwCrt *crt, gboolean ca, GError **error)
{
    unsigned critical = 0, usage = 0;

    if (gnutls_x509_crt_get_version(crt) != 3)
        return refuse(error, "is of another version", "X.509 version 3");
    if (!gw_pki_crt_is_p256(crt) ||
        gnutls_x509_crt_get_signature_algorithm(crt) != GNUTLS_SIGN_ECDSA_SHA256)
        return refuse(error, "is of another kind of key or signature", "ECDSA, P-256, SHA-256");
    if ((gnutls_x509_crt_get_ca_status(crt, &critical) > 0) != ca)
        return refuse(error, ca ? "is no authority's" : "is an authority's",
                      ca ? "an authority's" : "a host's or the controller's");
    if (gnutls_x509_crt_get_key_usage(crt, &usage, &critical) < 0 ||
        !(usage & (ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE)))
        return refuse(error, "is for another use",
                      ca ? "to sign certificates" : "to sign sessions");
    return TRUE;
}

static gboolean check_purposes(GwCrt *crt, GError **error)
{
    gboolean server = FALSE, client = FALSE;
    char oid[64];

    for (unsigned i = 0; i < 8; i++) {
        size_t size = sizeof(oid);
        if (gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &size, NULL) < 0)
            break;
        server = server || strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0;
        client = client || strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0;
    }
    return server && client ? TRUE
                            : refuse(error, "is not for both ends of a session",
                                     "the purposes TLS server and TLS client");
}

char *gw_pki_read_ca(GwCrt *ca, GError **error)
{
    if (!check_form(ca, TRUE, error))
        return NULL;
    g_autofree char *name = read_name(ca, error);
    char *end = name != NULL ? strchr(name, ':') : NULL;
    if (name == NULL)
        return NULL;
    if (end == NULL || strcmp(end, ":authority") != 0 || (*end = '\0', !gw_pki_is_id(name))) {
        refuse(error, "names no authority", URN "FABRIC:authority");
        return NULL;
    }
    return g_steal_pointer(&name);
}

static gboolean split_name(char *name, GwPeer *peer, GError **error)
{
    char *role = strchr(name, ':');

    if (role != NULL)
        *role++ = '\0';
    if (role == NULL || !gw_pki_is_id(name))
        return refuse(error, "names no fabric", URN "FABRIC:…");
    peer->fabric_id = g_strdup(name);
    if (strcmp(role, "controller") == 0) {
        peer->role = GW_PEER_CONTROLLER;
        return TRUE;
    }
    if (!g_str_has_prefix(role, "host:") || !gw_pki_is_id(role + strlen("host:")))
        return refuse(error, "names neither a host nor the controller",
                      URN "FABRIC:host:HOST_ID or :controller");
    peer->role = GW_PEER_HOST;
    peer->host_id = g_strdup(role + strlen("host:"));
    return TRUE;
}

static char *read_serial(GwCrt *crt, GError **error)
{
    unsigned char serial[20]; /* RFC 5280's ceiling */
    size_t size = sizeof(serial);

    if (gnutls_x509_crt_get_serial(crt, serial, &size) < 0 || size == 0) {
        refuse(error, "has no serial of 1 to 20 bytes", "one");
        return NULL;
    }
    GString *hex = g_string_new(NULL);
    for (size_t i = 0; i < size; i++)
        g_string_append_printf(hex, "%02x", serial[i]);
    return g_string_free(hex, FALSE);
}

GwPeer *gw_pki_read_leaf(GwCrt *crt, GError **error)
{
    g_autoptr(GwPeer) peer = g_new0(GwPeer, 1);

    if (!check_form(crt, FALSE, error) || !check_purposes(crt, error))
        return NULL;
    g_autofree char *name = read_name(crt, error);
    if (name == NULL || !split_name(name, peer, error))
        return NULL;
    peer->serial = read_serial(crt, error);
    peer->expires_s = gnutls_x509_crt_get_expiration_time(crt);
    return peer->serial != NULL ? g_steal_pointer(&peer) : NULL;
}

gboolean gw_pki_is_signed_by(GwCrt *crt, GwCrt *ca)
{
    unsigned status = 0;

    /* Times are judged by the fabric's clock, not by this machine's. */
    return gnutls_x509_crt_verify(crt, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
           status == 0;
}
