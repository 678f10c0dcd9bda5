/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef struct {
    char *certificate; /* PEM, the chain to be shown */
    char *key;         /* PEM */
} GwCertificate;

void gw_certificate_free(GwCertificate *certificate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCertificate, gw_certificate_free)

/* "sha256:HEX" of the public key; it stays the same when the certificate is renewed. */
char *gw_certificate_fingerprint(const GwCertificate *certificate);

/* Reads the certificate and its key, and checks that they belong together. Where neither exists
 * they are made, signed by an authority of our own that is kept beside the certificate (ca.pem,
 * which clients trust, and ca-key.pem): so the certificate can be renewed, which happens here when
 * fewer than 60 of its 800 days are left, and clients notice nothing. Keys are made 0600; a key
 * that others may read is refused. @names (may be NULL) are further DNS names and addresses. */
GwCertificate *gw_certificate_ensure(const char *certificate_path, const char *key_path,
                                     const char *const *names, gint64 wall_us, GError **error);
