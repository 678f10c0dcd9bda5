/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "wire/keyfile.h"
#include "wire/pki.h"

/* One file holds all that makes a fabric: so it is there whole or not at all, whenever the power
 * fails, and one copy of it is a backup. The controller's own certificate is another, since it is
 * renewed and worth nothing. */
#define AUTHORITY_FILE "authority.pem"
#define CONTROLLER_FILE "controller.pem"
#define TICKET_LABEL "GODWIT TICKET KEY"
#define CA_DAYS 7300

struct GwAuthority {
    char *folder;
    char *fabric_id;
    char *ca_pem;
    GMutex lock; /* guards the two that follow, and controller.pem */
    GwCrt *ca;
    GwKey *ca_key;
    guint8 ticket_public[crypto_sign_PUBLICKEYBYTES];
    guint8 ticket_secret[crypto_sign_SECRETKEYBYTES];
};

void gw_authority_free(GwAuthority *authority)
{
    if (authority == NULL)
        return;
    g_free(authority->folder);
    g_free(authority->fabric_id);
    g_free(authority->ca_pem);
    g_clear_pointer(&authority->ca, gnutls_x509_crt_deinit);
    g_clear_pointer(&authority->ca_key, gnutls_x509_privkey_deinit);
    explicit_bzero(authority->ticket_secret, sizeof(authority->ticket_secret));
    g_mutex_clear(&authority->lock);
    g_free(authority);
}

const char *gw_authority_fabric_id(const GwAuthority *authority)
{
    return authority->fabric_id;
}

const char *gw_authority_ca_pem(const GwAuthority *authority)
{
    return authority->ca_pem;
}

const guint8 *gw_authority_ticket_public(const GwAuthority *authority)
{
    return authority->ticket_public;
}

const guint8 *gw_authority_ticket_secret(const GwAuthority *authority)
{
    return authority->ticket_secret;
}

/* The file ---------------------------------------------------------------------------------- */

static char *ticket_key_to_pem(const guint8 *secret, GError **error)
{
    gnutls_datum_t raw = { (unsigned char *)secret, crypto_sign_SECRETKEYBYTES };
    gnutls_datum_t pem = { NULL, 0 };

    if (gw_pki_failed(gnutls_pem_base64_encode2(TICKET_LABEL, &raw, &pem), "writing the ticket key",
                      NULL, error))
        return NULL;
    char *text = g_strndup((const char *)pem.data, pem.size);
    explicit_bzero(pem.data, pem.size);
    gnutls_free(pem.data);
    return text;
}

/* The secret holds its public half, by which a changed byte is seen: agents would refuse every
 * ticket otherwise, and nobody knew why. */
static gboolean take_ticket_key(GwAuthority *authority, const gnutls_datum_t *raw)
{
    if (raw->size != crypto_sign_SECRETKEYBYTES)
        return FALSE;
    crypto_sign_seed_keypair(authority->ticket_public, authority->ticket_secret, raw->data);
    return sodium_memcmp(authority->ticket_secret, raw->data, raw->size) == 0;
}

static gboolean ticket_key_from_pem(GwAuthority *authority, const char *text, GError **error)
{
    gnutls_datum_t pem = { (unsigned char *)text, (unsigned)strlen(text) };
    gnutls_datum_t raw = { NULL, 0 };

    if (gw_pki_failed(gnutls_pem_base64_decode2(TICKET_LABEL, &pem, &raw), "reading the ticket key",
                      NULL, error))
        return FALSE;
    gboolean whole = take_ticket_key(authority, &raw);
    explicit_bzero(raw.data, raw.size);
    gnutls_free(raw.data);
    if (!whole)
        gw_error_set(error, GW_ERR_INVALID, NULL, "its ticket key is not whole");
    return whole;
}

/* Makes what is to be the file's content: key, certificate, ticket key. */
static char *make_fabric(gint64 now_s, GError **error)
{
    g_autofree char *fabric_id = gw_text_new_id(now_s * G_USEC_PER_SEC);
    guint8 ticket_public[crypto_sign_PUBLICKEYBYTES], ticket_secret[crypto_sign_SECRETKEYBYTES];
    g_autoptr(GwKey) key = gw_pki_key_new(error);
    g_autoptr(GwCrt) ca =
        key != NULL ? gw_pki_make_ca(key, fabric_id, CA_DAYS, now_s, error) : NULL;
    g_autofree char *ca_pem = ca != NULL ? gw_pki_crt_export(ca, error) : NULL;
    char *key_pem = ca_pem != NULL ? gw_pki_key_export(key, error) : NULL;

    if (key_pem == NULL)
        return NULL;
    crypto_sign_keypair(ticket_public, ticket_secret);
    char *ticket_pem = ticket_key_to_pem(ticket_secret, error);
    explicit_bzero(ticket_secret, sizeof(ticket_secret));
    char *all = ticket_pem != NULL ? g_strconcat(key_pem, ca_pem, ticket_pem, NULL) : NULL;
    gw_keyfile_wipe(key_pem);
    gw_keyfile_wipe(ticket_pem);
    return all;
}

static gboolean take_fabric(GwAuthority *authority, const char *text, GError **error)
{
    authority->ca_key = gw_pki_key_import(text, error);
    authority->ca = authority->ca_key != NULL ? gw_pki_crt_import(text, error) : NULL;
    authority->ca_pem = authority->ca != NULL ? gw_pki_crt_export(authority->ca, error) : NULL;
    if (authority->ca_pem == NULL)
        return FALSE;
    authority->fabric_id = gw_pki_read_ca(authority->ca, error);
    if (authority->fabric_id == NULL || !ticket_key_from_pem(authority, text, error))
        return FALSE;
    if (!gw_pki_is_pair(authority->ca, authority->ca_key) ||
        !gw_pki_is_signed_by(authority->ca, authority->ca)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "its certificate is not of its key");
        return FALSE;
    }
    return TRUE;
}

/* Says of a file that cannot be used what a person can do; it is never made anew over an old one,
 * since every host would have to join again. */
static gboolean damaged(const char *folder, GError **error, GError *why)
{
    gw_error_set(error, GW_ERR_INVALID,
                 "Restore the folder from a backup. Only to begin a new fabric, which every host "
                 "must join again, move it away.",
                 "the fabric's authority in %s is damaged: %s", folder, why->message);
    g_error_free(why);
    return FALSE;
}

static gboolean load(GwAuthority *authority, const char *path, GError **error)
{
    GError *why = NULL;
    char *text = gw_keyfile_read(path, error);

    if (text == NULL)
        return FALSE;
    gboolean taken = take_fabric(authority, text, &why);
    gw_keyfile_wipe(text);
    return taken ? TRUE : damaged(authority->folder, error, why);
}

static gboolean begin_fabric(const char *folder, const char *path, gint64 now_s, GError **error)
{
    g_autofree char *controller = g_build_filename(folder, CONTROLLER_FILE, NULL);

    /* It is made after the authority: here the authority was, and is lost. */
    if (g_file_test(controller, G_FILE_TEST_EXISTS))
        return damaged(folder, error,
                       g_error_new_literal(GW_ERROR, GW_ERR_INVALID,
                                           AUTHORITY_FILE " is missing beside " CONTROLLER_FILE));
    char *text = make_fabric(now_s, error);
    gboolean written = text != NULL && gw_keyfile_write(path, text, error);
    gw_keyfile_wipe(text);
    return written;
}

GwAuthority *gw_authority_open(const char *folder, gint64 now_s, GError **error)
{
    g_autoptr(GwAuthority) authority = g_new0(GwAuthority, 1);
    g_autofree char *path = g_build_filename(folder, AUTHORITY_FILE, NULL);

    g_mutex_init(&authority->lock);
    if (sodium_init() < 0) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "libsodium cannot start");
        return NULL;
    }
    authority->folder = g_strdup(folder);
    if (!gw_keyfile_folder(folder, error))
        return NULL;
    if (!g_file_test(path, G_FILE_TEST_EXISTS) && !begin_fabric(folder, path, now_s, error))
        return NULL;
    return load(authority, path, error) ? g_steal_pointer(&authority) : NULL;
}

/* Certificates ------------------------------------------------------------------------------- */

/* With the lock held. */
static char *issue(GwAuthority *authority, const char *request_pem, const char *host_id, int days,
                   gint64 now_s, char **serial, GError **error)
{
    g_autoptr(GwPublic) key = gw_pki_request_import(request_pem, error);
    g_autoptr(GwCrt) crt = key != NULL
                               ? gw_pki_make_leaf(key, authority->ca, authority->ca_key,
                                                  authority->fabric_id, host_id, days, now_s, error)
                               : NULL;
    g_autofree char *pem = crt != NULL ? gw_pki_crt_export(crt, error) : NULL;
    /* What we give out, everybody must be able to take. */
    g_autoptr(GwPeer) peer = pem != NULL ? gw_identity_read(pem, error) : NULL;

    if (peer == NULL)
        return NULL;
    if (serial != NULL)
        *serial = g_steal_pointer(&peer->serial);
    return g_steal_pointer(&pem);
}

char *gw_authority_issue(GwAuthority *authority, const char *request_pem, const char *host_id,
                         int days, gint64 now_s, char **serial, GError **error)
{
    if (!gw_pki_is_id(host_id)) {
        gw_error_set(error, GW_ERR_INVALID, "Give the host's identifier.",
                     "a host's identifier is 1 to %d letters, digits, points, dashes or "
                     "underscores",
                     GW_PKI_ID_MAX);
        return NULL;
    }
    if (days < 1 || days > CA_DAYS) {
        gw_error_set(error, GW_ERR_INVALID, "Ask for " G_STRINGIFY(GW_IDENTITY_HOST_DAYS) " days.",
                     "a certificate for %d days was asked for, 1 to %d are allowed", days, CA_DAYS);
        return NULL;
    }
    g_mutex_lock(&authority->lock);
    char *pem = issue(authority, request_pem, host_id, days, now_s, serial, error);
    g_mutex_unlock(&authority->lock);
    return pem;
}

/* A new key and certificate in one text, on disk. */
static char *make_controller(GwAuthority *authority, const char *path, gint64 now_s, GError **error)
{
    char *key_pem = NULL, *all = NULL;
    g_autofree char *request = NULL;

    if (!gw_identity_request(&key_pem, &request, error))
        return NULL;
    g_autofree char *pem =
        issue(authority, request, NULL, GW_IDENTITY_HOST_DAYS, now_s, NULL, error);
    if (pem != NULL)
        all = g_strconcat(key_pem, pem, NULL);
    gw_keyfile_wipe(key_pem);
    if (all != NULL && !gw_keyfile_write(path, all, error))
        g_clear_pointer(&all, gw_keyfile_wipe);
    return all;
}

static gboolean needs_renewal(const GwPeer *self, gint64 now_s)
{
    return now_s > self->expires_s - (gint64)GW_IDENTITY_RENEW_DAYS * GW_PKI_DAY_S;
}

static GwCredentials *load_controller(GwAuthority *authority, const char *path, GError **error)
{
    GError *why = NULL;
    char *text = gw_keyfile_read(path, error);

    if (text == NULL)
        return NULL;
    GwCredentials *credentials = gw_credentials_new(text, text, authority->ca_pem, &why);
    gw_keyfile_wipe(text);
    if (credentials != NULL)
        return credentials;
    gw_error_set(error, GW_ERR_INVALID, "Move the file away: a new one is made then.",
                 "the controller's certificate in %s cannot be used: %s", path, why->message);
    g_error_free(why);
    return NULL;
}

static GwCredentials *load_or_make_controller(GwAuthority *authority, gint64 now_s, GError **error)
{
    g_autofree char *path = g_build_filename(authority->folder, CONTROLLER_FILE, NULL);
    g_autoptr(GwCredentials) credentials = NULL;

    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        credentials = load_controller(authority, path, error);
        if (credentials == NULL)
            return NULL;
        if (!needs_renewal(gw_credentials_self(credentials), now_s))
            return g_steal_pointer(&credentials);
    }
    char *text = make_controller(authority, path, now_s, error);
    if (text == NULL)
        return NULL;
    GwCredentials *made = gw_credentials_new(text, text, authority->ca_pem, error);
    gw_keyfile_wipe(text);
    return made;
}

GwCredentials *gw_authority_credentials(GwAuthority *authority, gint64 now_s, GError **error)
{
    g_mutex_lock(&authority->lock);
    GwCredentials *credentials = load_or_make_controller(authority, now_s, error);
    g_mutex_unlock(&authority->lock);
    return credentials;
}
