/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/pki.h"

#include <string.h>

#include "base/error.h"

gboolean gw_pki_is_id(const char *text)
{
    gsize length = text != NULL ? strlen(text) : 0;

    if (length < 1 || length > GW_PKI_ID_MAX)
        return FALSE;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
           length;
}

gboolean gw_pki_failed(int status, const char *what, const char *remedy, GError **error)
{
    if (status >= 0)
        return FALSE;
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s: %s", what, gnutls_strerror(status));
    return TRUE;
}

static gboolean as_datum(const char *pem, const char *what, gnutls_datum_t *datum, GError **error)
{
    gsize length = pem != NULL ? strlen(pem) : 0;

    if (length == 0 || length > GW_PKI_PEM_MAX) {
        gw_error_set(error, GW_ERR_INVALID, "Give one PEM text as it was made.",
                     "%s has %" G_GSIZE_FORMAT " bytes, 1 to %d are allowed", what, length,
                     GW_PKI_PEM_MAX);
        return FALSE;
    }
    datum->data = (unsigned char *)pem;
    datum->size = (unsigned)length;
    return TRUE;
}

static char *take_text(gnutls_datum_t *pem)
{
    char *text = g_strndup((const char *)pem->data, pem->size);

    explicit_bzero(pem->data, pem->size);
    gnutls_free(pem->data);
    return text;
}

/* Keys ------------------------------------------------------------------------------------- */

GwKey *gw_pki_key_new(GError **error)
{
    g_autoptr(GwKey) key = NULL;

    int status = gnutls_x509_privkey_init(&key);
    if (status >= 0)
        status = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                              GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    return gw_pki_failed(status, "making a key", NULL, error) ? NULL : g_steal_pointer(&key);
}

GwKey *gw_pki_key_import(const char *pem, GError **error)
{
    g_autoptr(GwKey) key = NULL;
    gnutls_datum_t datum;

    if (!as_datum(pem, "the key", &datum, error))
        return NULL;
    int status = gnutls_x509_privkey_init(&key);
    if (status >= 0)
        status =
            gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
    return gw_pki_failed(status, "reading the key", "Restore it from a backup.", error)
               ? NULL
               : g_steal_pointer(&key);
}

char *gw_pki_key_export(GwKey *key, GError **error)
{
    gnutls_datum_t pem = { NULL, 0 };

    int status =
        gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
    return gw_pki_failed(status, "writing the key", NULL, error) ? NULL : take_text(&pem);
}

gboolean gw_pki_is_pair(GwCrt *crt, GwKey *key)
{
    unsigned char of_crt[64], of_key[64];
    size_t crt_size = sizeof(of_crt), key_size = sizeof(of_key);

    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, of_crt, &crt_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >= 0 &&
           crt_size == key_size && memcmp(of_crt, of_key, crt_size) == 0;
}

/* Certificates and requests as text -------------------------------------------------------- */

GwCrt *gw_pki_crt_import(const char *pem, GError **error)
{
    g_autoptr(GwCrt) crt = NULL;
    gnutls_datum_t datum;

    if (!as_datum(pem, "the certificate", &datum, error))
        return NULL;
    int status = gnutls_x509_crt_init(&crt);
    if (status >= 0)
        status = gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_PEM);
    return gw_pki_failed(status, "reading the certificate", "Ask the controller for a new one.",
                         error)
               ? NULL
               : g_steal_pointer(&crt);
}

char *gw_pki_crt_export(GwCrt *crt, GError **error)
{
    gnutls_datum_t pem = { NULL, 0 };

    int status = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    return gw_pki_failed(status, "writing the certificate", NULL, error) ? NULL : take_text(&pem);
}

/* The curve by way of the raw key: a request does not tell it. */
static gboolean is_p256(GwPublic *key)
{
    gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
    gnutls_datum_t x = { NULL, 0 }, y = { NULL, 0 };

    if (gnutls_pubkey_get_pk_algorithm(key, NULL) != GNUTLS_PK_ECDSA ||
        gnutls_pubkey_export_ecc_raw2(key, &curve, &x, &y, 0) < 0)
        return FALSE;
    gnutls_free(x.data);
    gnutls_free(y.data);
    return curve == GNUTLS_ECC_CURVE_SECP256R1;
}

gboolean gw_pki_crt_is_p256(GwCrt *crt)
{
    g_autoptr(GwPublic) key = NULL;

    return gnutls_pubkey_init(&key) >= 0 && gnutls_pubkey_import_x509(key, crt, 0) >= 0 &&
           is_p256(key);
}

GwPublic *gw_pki_request_import(const char *pem, GError **error)
{
    static const char remedy[] = "Let the host make a new request.";
    g_autoptr(GwCrq) request = NULL;
    g_autoptr(GwPublic) key = NULL;
    gnutls_datum_t datum;

    if (!as_datum(pem, "the certificate request", &datum, error))
        return NULL;
    int status = gnutls_x509_crq_init(&request);
    if (status >= 0)
        status = gnutls_x509_crq_import(request, &datum, GNUTLS_X509_FMT_PEM);
    if (status >= 0)
        status = gnutls_pubkey_init(&key);
    if (status >= 0)
        status = gnutls_pubkey_import_x509_crq(key, request, 0);
    if (gw_pki_failed(status, "reading the certificate request", remedy, error))
        return NULL;
    if (!is_p256(key)) {
        gw_error_set(
            error, GW_ERR_INVALID, remedy,
            "the key of the certificate request is not an elliptic one of the curve P-256");
        return NULL;
    }
    /* Who asks must have the key, or it could be given somebody else's. */
    status = gnutls_x509_crq_verify(request, 0);
    return gw_pki_failed(status, "the certificate request is not signed by its key", remedy, error)
               ? NULL
               : g_steal_pointer(&key);
}
