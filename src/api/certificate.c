/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/certificate.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#include <arpa/inet.h>

#define DAY 86400
#define AUTHORITY_DAYS 7300
#define SERVER_DAYS 800 /* some clients take no certificate of more than 825 days */
#define RENEW_DAYS 60
#define PEM_MAX (256 * 1024)

typedef struct gnutls_x509_crt_int Crt;
typedef struct gnutls_x509_privkey_int Key;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Crt, gnutls_x509_crt_deinit)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Key, gnutls_x509_privkey_deinit)

void gw_certificate_free(GwCertificate *certificate)
{
    if (certificate == NULL)
        return;
    g_free(certificate->certificate);
    if (certificate->key != NULL)
        explicit_bzero(certificate->key, strlen(certificate->key));
    g_free(certificate->key);
    g_free(certificate);
}

static gboolean failed(int status, const char *what, const char *path, GError **error)
{
    if (status >= 0)
        return FALSE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Check the certificate and key files, or move them away: new ones are made then.",
                 "%s %s: %s", what, path, gnutls_strerror(status));
    return TRUE;
}

static gboolean read_pem(const char *path, char **text, GError **error)
{
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size > PEM_MAX) {
        gw_error_set(error, GW_ERR_INVALID, "Give a PEM file.", "%s is too large for a PEM file",
                     path);
        return FALSE;
    }
    return g_file_get_contents(path, text, NULL, error);
}

static gboolean write_pem(const char *path, const gnutls_datum_t *pem, int mode, GError **error)
{
    return g_file_set_contents_full(path, (const char *)pem->data, pem->size,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    mode, error);
}

static Key *import_key(const char *pem, const char *path, GError **error)
{
    gnutls_datum_t datum = { (unsigned char *)pem, (unsigned)strlen(pem) };
    g_autoptr(Key) key = NULL;

    if (failed(gnutls_x509_privkey_init(&key), "key", path, error) ||
        failed(gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0), "key", path,
               error))
        return NULL;
    return g_steal_pointer(&key);
}

static Crt *import_certificate(const char *pem, const char *path, GError **error)
{
    gnutls_datum_t datum = { (unsigned char *)pem, (unsigned)strlen(pem) };
    g_autoptr(Crt) crt = NULL;

    if (failed(gnutls_x509_crt_init(&crt), "certificate", path, error) ||
        failed(gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_PEM), "certificate", path,
               error))
        return NULL;
    return g_steal_pointer(&crt);
}

static Key *make_key(const char *path, GError **error)
{
    g_autoptr(Key) key = NULL;
    gnutls_datum_t pem = { NULL, 0 };

    if (failed(gnutls_x509_privkey_init(&key), "make key", path, error) ||
        failed(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                            GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
               "make key", path, error) ||
        failed(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                                 &pem),
               "make key", path, error))
        return NULL;
    gboolean written = write_pem(path, &pem, 0600, error);
    explicit_bzero(pem.data, pem.size);
    gnutls_free(pem.data);
    return written ? g_steal_pointer(&key) : NULL;
}

static gboolean check_key_mode(const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0) {
        gw_error_set(error, GW_ERR_INVALID, "chmod 0600 it, and think of making a new one.",
                     "key %s can be read or changed by others (mode %04o)", path,
                     st.st_mode & 07777);
        return FALSE;
    }
    return TRUE;
}

static Key *load_or_make_key(const char *path, GError **error)
{
    g_autofree char *pem = NULL;

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return make_key(path, error);
    if (!check_key_mode(path, error) || !read_pem(path, &pem, error))
        return NULL;
    Key *key = import_key(pem, path, error);
    explicit_bzero(pem, strlen(pem));
    return key;
}

/* Certificates ---------------------------------------------------------------------------- */

static int begin_certificate(Crt *crt, Key *key, const char *name, gint64 now, int days)
{
    unsigned char serial[16];
    unsigned char id[20];
    size_t id_size = sizeof(id);

    int status = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of full length */
    if (status >= 0)
        status = gnutls_x509_crt_set_version(crt, 3);
    if (status >= 0)
        status = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
    if (status >= 0)
        status = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                               (unsigned)strlen(name));
    /* Clocks differ: a client whose clock is a day behind shall take it too. */
    if (status >= 0)
        status = gnutls_x509_crt_set_activation_time(crt, (time_t)(now - DAY));
    if (status >= 0)
        status = gnutls_x509_crt_set_expiration_time(crt, (time_t)(now + (gint64)days * DAY));
    if (status >= 0)
        status = gnutls_x509_crt_set_key(crt, key);
    if (status >= 0)
        status = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_size);
    if (status >= 0)
        status = gnutls_x509_crt_set_subject_key_id(crt, id, id_size);
    return status;
}

static int sign_and_write(Crt *crt, Crt *issuer, Key *issuer_key, const char *path, GError **error)
{
    unsigned char id[64];
    size_t id_size = sizeof(id);
    gnutls_datum_t pem = { NULL, 0 };

    int status = gnutls_x509_crt_get_subject_key_id(issuer, id, &id_size, NULL);
    if (status >= 0)
        status = gnutls_x509_crt_set_authority_key_id(crt, id, id_size);
    if (status >= 0)
        status = gnutls_x509_crt_sign2(crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0);
    if (status >= 0)
        status = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    if (failed(status, "make certificate", path, error))
        return FALSE;
    gboolean written = write_pem(path, &pem, 0644, error);
    gnutls_free(pem.data);
    return written;
}

static Crt *make_authority(Key *key, const char *path, gint64 now, GError **error)
{
    g_autoptr(Crt) crt = NULL;
    g_autofree char *name = g_strdup_printf("Godwit authority of %s", g_get_host_name());

    if (strlen(name) > 64)
        name[64] = '\0'; /* the ceiling of a common name */
    int status = gnutls_x509_crt_init(&crt);
    if (status >= 0)
        status = begin_certificate(crt, key, name, now, AUTHORITY_DAYS);
    if (status >= 0)
        status = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (failed(status, "make certificate", path, error) ||
        !sign_and_write(crt, crt, key, path, error))
        return NULL;
    return g_steal_pointer(&crt);
}

static int add_name(Crt *crt, const char *name)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, name, &v4) == 1)
        return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, &v4, sizeof(v4),
                                                    GNUTLS_FSAN_APPEND);
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, &v6, sizeof(v6),
                                                    GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
                                                (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
}

static int add_names(Crt *crt, const char *const *names)
{
    const char *const own[] = { "localhost", "127.0.0.1", "::1", g_get_host_name(), NULL };
    int status = 0;

    for (int i = 0; own[i] != NULL && status >= 0; i++)
        status = add_name(crt, own[i]);
    for (int i = 0; names != NULL && names[i] != NULL && status >= 0; i++) {
        if (!g_strv_contains(own, names[i]))
            status = add_name(crt, names[i]);
    }
    return status;
}

static gboolean make_server(Key *key, Crt *authority, Key *authority_key, const char *path,
                            const char *const *names, gint64 now, GError **error)
{
    g_autoptr(Crt) crt = NULL;

    int status = gnutls_x509_crt_init(&crt);
    if (status >= 0)
        status = begin_certificate(crt, key, "Godwit controller", now, SERVER_DAYS);
    if (status >= 0)
        status = add_names(crt, names);
    if (status >= 0)
        status = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (status >= 0)
        status = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (failed(status, "make certificate", path, error))
        return FALSE;
    return sign_and_write(crt, authority, authority_key, path, error);
}

/* What is on disk -------------------------------------------------------------------------- */

typedef struct {
    const char *certificate, *key;
    char *authority, *authority_key;
} Paths;

static gboolean issue(const Paths *paths, const char *const *names, gint64 now, GError **error)
{
    g_autofree char *pem = NULL;
    g_autoptr(Crt) authority = NULL;
    g_autoptr(Key) authority_key = load_or_make_key(paths->authority_key, error);

    if (authority_key == NULL)
        return FALSE;
    if (!g_file_test(paths->authority, G_FILE_TEST_EXISTS))
        authority = make_authority(authority_key, paths->authority, now, error);
    else if (read_pem(paths->authority, &pem, error))
        authority = import_certificate(pem, paths->authority, error);
    if (authority == NULL)
        return FALSE;
    g_autoptr(Key) key = load_or_make_key(paths->key, error);
    return key != NULL &&
           make_server(key, authority, authority_key, paths->certificate, names, now, error);
}

static gboolean is_pair(Crt *crt, Key *key)
{
    unsigned char a[20], b[20];
    size_t a_size = sizeof(a), b_size = sizeof(b);

    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, a, &a_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA1, b, &b_size) >= 0 &&
           a_size == b_size && memcmp(a, b, a_size) == 0;
}

static GwCertificate *load(const Paths *paths, gint64 *expires, GError **error)
{
    g_autoptr(GwCertificate) loaded = g_new0(GwCertificate, 1);

    if (!check_key_mode(paths->key, error) ||
        !read_pem(paths->certificate, &loaded->certificate, error) ||
        !read_pem(paths->key, &loaded->key, error))
        return NULL;
    g_autoptr(Crt) crt = import_certificate(loaded->certificate, paths->certificate, error);
    g_autoptr(Key) key = crt != NULL ? import_key(loaded->key, paths->key, error) : NULL;
    if (key == NULL)
        return NULL;
    if (!is_pair(crt, key)) {
        gw_error_set(error, GW_ERR_INVALID, "Give the key that belongs to the certificate.",
                     "key %s does not belong to certificate %s", paths->key, paths->certificate);
        return NULL;
    }
    *expires = gnutls_x509_crt_get_expiration_time(crt);
    return g_steal_pointer(&loaded);
}

/* Whether the certificate is one that we issued, and may issue again. */
static gboolean is_ours(const Paths *paths, const GwCertificate *loaded)
{
    g_autofree char *pem = NULL;

    if (!g_file_test(paths->authority_key, G_FILE_TEST_EXISTS) ||
        !read_pem(paths->authority, &pem, NULL))
        return FALSE;
    g_autoptr(Crt) authority = import_certificate(pem, paths->authority, NULL);
    g_autoptr(Crt) crt = import_certificate(loaded->certificate, paths->certificate, NULL);
    return authority != NULL && crt != NULL && gnutls_x509_crt_check_issuer(crt, authority) != 0;
}

static GwCertificate *ensure(const Paths *paths, const char *const *names, gint64 now,
                             GError **error)
{
    gboolean have_certificate = g_file_test(paths->certificate, G_FILE_TEST_EXISTS);
    gint64 expires = 0;

    if (have_certificate && !g_file_test(paths->key, G_FILE_TEST_EXISTS)) {
        gw_error_set(error, GW_ERR_INVALID,
                     "Put the key there, or move the certificate away: new ones are made then.",
                     "certificate %s has no key: %s does not exist", paths->certificate,
                     paths->key);
        return NULL;
    }
    if (!have_certificate && !issue(paths, names, now, error))
        return NULL;
    g_autoptr(GwCertificate) loaded = load(paths, &expires, error);
    if (loaded == NULL || expires - now > (gint64)RENEW_DAYS * DAY || !is_ours(paths, loaded))
        return g_steal_pointer(&loaded);
    if (!issue(paths, names, now, error))
        return NULL;
    return load(paths, &expires, error);
}

GwCertificate *gw_certificate_ensure(const char *certificate_path, const char *key_path,
                                     const char *const *names, gint64 wall_us, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(certificate_path);
    g_autofree char *authority = g_build_filename(folder, "ca.pem", NULL);
    g_autofree char *authority_key = g_build_filename(folder, "ca-key.pem", NULL);
    Paths paths = { certificate_path, key_path, authority, authority_key };

    GwCertificate *certificate = ensure(&paths, names, wall_us / G_USEC_PER_SEC, error);
    if (certificate == NULL)
        g_prefix_error(error, "TLS: ");
    return certificate;
}

char *gw_certificate_fingerprint(const GwCertificate *certificate)
{
    g_autoptr(Crt) crt = import_certificate(certificate->certificate, "", NULL);
    GString *text = g_string_new("sha256:");
    unsigned char id[32];
    size_t size = sizeof(id);

    /* With SHA-256 the key's id is the hash of its SubjectPublicKeyInfo. */
    if (crt == NULL || gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &size) < 0) {
        g_string_free(text, TRUE);
        return NULL;
    }
    for (gsize i = 0; i < size; i++)
        g_string_append_printf(text, "%02x", id[i]);
    return g_string_free(text, FALSE);
}
