/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "wire/identity.h"

/* Keys, requests and certificates as GnuTLS has them: shared by the authority, who makes them, and
 * the credentials, which judge them. Not for anybody outside this room. */

#define GW_PKI_DAY_S 86400
#define GW_PKI_PEM_MAX (16 * 1024) /* bytes of one certificate, key or request as text */

typedef struct gnutls_x509_crt_int GwCrt;
typedef struct gnutls_x509_privkey_int GwKey;
typedef struct gnutls_x509_crq_int GwCrq;
typedef struct gnutls_pubkey_st GwPublic;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCrt, gnutls_x509_crt_deinit)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwKey, gnutls_x509_privkey_deinit)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCrq, gnutls_x509_crq_deinit)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPublic, gnutls_pubkey_deinit)

/* Whether @text may stand for a host, a fabric or a job in a name: 1 to 64 of A-Z a-z 0-9 . _ - */
gboolean gw_pki_is_id(const char *text);
#define GW_PKI_ID_MAX 64

/* TRUE where @status is an error of GnuTLS, which is then told as INVALID: "@what: …". */
gboolean gw_pki_failed(int status, const char *what, const char *remedy, GError **error);

GwKey *gw_pki_key_new(GError **error);
GwKey *gw_pki_key_import(const char *pem, GError **error);
char *gw_pki_key_export(GwKey *key, GError **error); /* wipe it when done */
GwCrt *gw_pki_crt_import(const char *pem, GError **error);
char *gw_pki_crt_export(GwCrt *crt, GError **error);
/* The public key of a request, checked: small enough, signed by that key, P-256. */
GwPublic *gw_pki_request_import(const char *pem, GError **error);
gboolean gw_pki_is_pair(GwCrt *crt, GwKey *key);
gboolean gw_pki_crt_is_p256(GwCrt *crt);

/* urn:godwit:FABRIC:authority */
GwCrt *gw_pki_make_ca(GwKey *key, const char *fabric_id, int days, gint64 now_s, GError **error);
/* A certificate of @host_id (NULL: the controller) for @key, signed by the CA and
 * never valid for longer than it. */
GwCrt *gw_pki_make_leaf(GwPublic *key, GwCrt *ca, GwKey *ca_key, const char *fabric_id,
                        const char *host_id, int days, gint64 now_s, GError **error);

/* The fabric of a CA's certificate, with its form checked. */
char *gw_pki_read_ca(GwCrt *ca, GError **error);
/* Who a leaf's certificate says it is, with its form checked; not who signed it. */
GwPeer *gw_pki_read_leaf(GwCrt *crt, GError **error);
/* Whether @crt is signed by @ca as a CA may; nothing of time. */
gboolean gw_pki_is_signed_by(GwCrt *crt, GwCrt *ca);
