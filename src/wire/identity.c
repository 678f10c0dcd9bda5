/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/identity.h"

#include <string.h>

#include "base/error.h"
#include "wire/pki.h"

void gw_peer_free(GwPeer *peer)
{
    if (peer == NULL)
        return;
    g_free(peer->fabric_id);
    g_free(peer->host_id);
    g_free(peer->serial);
    g_free(peer);
}

GwPeer *gw_peer_copy(const GwPeer *peer)
{
    if (peer == NULL)
        return NULL;
    GwPeer *copy = g_new0(GwPeer, 1);
    *copy = *peer;
    copy->fabric_id = g_strdup(peer->fabric_id);
    copy->host_id = g_strdup(peer->host_id);
    copy->serial = g_strdup(peer->serial);
    return copy;
}

GwPeer *gw_identity_read(const char *certificate_pem, GError **error)
{
    g_autoptr(GwCrt) crt = gw_pki_crt_import(certificate_pem, error);

    return crt != NULL ? gw_pki_read_leaf(crt, error) : NULL;
}

static char *make_request(GwKey *key, GError **error)
{
    static const char name[] = "godwit"; /* replaced by who signs it */
    g_autoptr(GwCrq) request = NULL;
    gnutls_datum_t pem = { NULL, 0 };

    int status = gnutls_x509_crq_init(&request);
    if (status >= 0)
        status = gnutls_x509_crq_set_version(request, 1);
    if (status >= 0)
        status = gnutls_x509_crq_set_dn_by_oid(request, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                               (unsigned)strlen(name));
    if (status >= 0)
        status = gnutls_x509_crq_set_key(request, key);
    if (status >= 0)
        status = gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0);
    if (status >= 0)
        status = gnutls_x509_crq_export2(request, GNUTLS_X509_FMT_PEM, &pem);
    if (gw_pki_failed(status, "making a certificate request", NULL, error))
        return NULL;
    char *text = g_strndup((const char *)pem.data, pem.size);
    gnutls_free(pem.data);
    return text;
}

gboolean gw_identity_request(char **key_pem, char **request_pem, GError **error)
{
    g_autoptr(GwKey) key = gw_pki_key_new(error);
    g_autofree char *request = key != NULL ? make_request(key, error) : NULL;
    char *text = request != NULL ? gw_pki_key_export(key, error) : NULL;

    if (text == NULL)
        return FALSE;
    *key_pem = text;
    *request_pem = g_steal_pointer(&request);
    return TRUE;
}
