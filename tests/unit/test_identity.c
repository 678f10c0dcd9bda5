/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is who: what an authority makes, and every certificate that must not pass a handshake. */
#include "unit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/pki.h"

#define DAY 86400

typedef struct {
    char *folder;
    GwAuthority *authority;
    gint64 now_s;
} Fabric;

static gint64 wall_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static Fabric *fabric_new(void)
{
    Fabric *fabric = g_new0(Fabric, 1);

    fabric->folder = g_dir_make_tmp("godwit-identity-XXXXXX", NULL);
    fabric->now_s = wall_s();
    UNIT_OK((fabric->authority = gw_authority_open(fabric->folder, fabric->now_s, error)) != NULL);
    return fabric;
}

static char *file_of(const Fabric *fabric, const char *name)
{
    return g_build_filename(fabric->folder, name, NULL);
}

static void fabric_free(Fabric *fabric)
{
    static const char *const names[] = { "authority.pem", "controller.pem", "authority.pem.new",
                                         "controller.pem.new", "link" };

    gw_authority_free(fabric->authority);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = file_of(fabric, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(fabric->folder), 0);
    g_free(fabric->folder);
    g_free(fabric);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fabric, fabric_free)

/* Credentials of a host whose certificate was made at @made_s for @days. */
static GwCredentials *host_at(Fabric *fabric, const char *host_id, int days, gint64 made_s)
{
    g_autofree char *key = NULL;
    g_autofree char *request = NULL;
    g_autofree char *serial = NULL;
    g_autofree char *pem = NULL;
    GwCredentials *credentials = NULL;

    UNIT_OK(gw_identity_request(&key, &request, error));
    UNIT_OK((pem = gw_authority_issue(fabric->authority, request, host_id, days, made_s, &serial,
                                      error)) != NULL);
    UNIT_OK((credentials = gw_credentials_new(pem, key, gw_authority_ca_pem(fabric->authority),
                                              error)) != NULL);
    assert_string_equal(gw_credentials_self(credentials)->serial, serial);
    return credentials;
}

static GwCredentials *host_new(Fabric *fabric, const char *host_id)
{
    return host_at(fabric, host_id, GW_IDENTITY_HOST_DAYS, fabric->now_s);
}

static GwCredentials *controller_new(Fabric *fabric)
{
    GwCredentials *credentials = NULL;

    UNIT_OK((credentials = gw_authority_credentials(fabric->authority, fabric->now_s, error)) !=
            NULL);
    return credentials;
}

/* Handshakes ---------------------------------------------------------------------------------- */

typedef struct {
    gnutls_session_t dialler, accepter;
    int fds[2];
    int dialler_status, accepter_status;
} Pair;

static void pair_shake(Pair *pair)
{
    gboolean d_done = FALSE, a_done = FALSE;

    for (int i = 0; i < 100 && !(d_done && a_done); i++) {
        if (!d_done) {
            pair->dialler_status = gnutls_handshake(pair->dialler);
            d_done = pair->dialler_status >= 0 || gnutls_error_is_fatal(pair->dialler_status);
        }
        if (!a_done) {
            pair->accepter_status = gnutls_handshake(pair->accepter);
            a_done = pair->accepter_status >= 0 || gnutls_error_is_fatal(pair->accepter_status);
        }
    }
}

static void pair_init(Pair *pair, gnutls_session_t dialler, gnutls_session_t accepter)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair->fds),
                     0);
    pair->dialler = dialler;
    pair->accepter = accepter;
    gnutls_transport_set_int(dialler, pair->fds[0]);
    gnutls_transport_set_int(accepter, pair->fds[1]);
    pair_shake(pair);
}

static void pair_clear(Pair *pair)
{
    gnutls_deinit(pair->dialler);
    gnutls_deinit(pair->accepter);
    close(pair->fds[0]);
    close(pair->fds[1]);
}

static gnutls_session_t tls_new(GwCredentials *credentials, gboolean dialling)
{
    gnutls_session_t tls = NULL;

    UNIT_OK((tls = gw_credentials_tls(credentials, dialling, error)) != NULL);
    return tls;
}

/* Both judge the other; what is not asked for may be NULL. */
static void meet(GwCredentials *dialler, GwCredentials *accepter, GwPeer **of_dialler,
                 GError **dialler_refused, GwPeer **of_accepter, GError **accepter_refused)
{
    Pair pair;

    pair_init(&pair, tls_new(dialler, TRUE), tls_new(accepter, FALSE));
    assert_int_equal(pair.dialler_status, 0);
    assert_int_equal(pair.accepter_status, 0);
    assert_int_equal(gnutls_protocol_get_version(pair.dialler), GNUTLS_TLS1_3);
    g_autoptr(GwPeer) seen_by_accepter =
        gw_credentials_judge(accepter, pair.accepter, accepter_refused);
    g_autoptr(GwPeer) seen_by_dialler =
        gw_credentials_judge(dialler, pair.dialler, dialler_refused);
    if (of_dialler != NULL)
        *of_dialler = g_steal_pointer(&seen_by_accepter);
    if (of_accepter != NULL)
        *of_accepter = g_steal_pointer(&seen_by_dialler);
    pair_clear(&pair);
}

static void members_know_each_other(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) controller = controller_new(fabric);
    g_autoptr(GwCredentials) host = host_new(fabric, "01HOST0000000000000000000A");
    g_autoptr(GwPeer) of_controller = NULL;
    g_autoptr(GwPeer) of_host = NULL;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    meet(controller, host, &of_controller, &e1, &of_host, &e2);
    assert_null(e1);
    assert_null(e2);
    assert_int_equal(of_controller->role, GW_PEER_CONTROLLER);
    assert_null(of_controller->host_id);
    assert_string_equal(of_controller->fabric_id, gw_authority_fabric_id(fabric->authority));
    assert_int_equal(of_host->role, GW_PEER_HOST);
    assert_string_equal(of_host->host_id, "01HOST0000000000000000000A");
    assert_string_equal(of_host->serial, gw_credentials_self(host)->serial);
    assert_int_equal(of_host->expires_s, fabric->now_s + 90 * DAY);
}

/* Who must not pass --------------------------------------------------------------------------- */

/* @judge refuses the other; @part is in the reason. */
static void refused(GwCredentials *judge, GwCredentials *other, const char *part)
{
    g_autoptr(GwPeer) as_dialler = NULL;
    g_autoptr(GwPeer) as_accepter = NULL;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    meet(other, judge, &as_dialler, NULL, NULL, &e1);
    assert_null(as_dialler);
    unit_assert_error(e1, GW_ERR_UNAUTHORIZED, part);
    meet(judge, other, NULL, &e2, &as_accepter, NULL);
    assert_null(as_accepter);
    unit_assert_error(e2, GW_ERR_UNAUTHORIZED, part);
}

static void accepted(GwCredentials *judge, GwCredentials *other)
{
    g_autoptr(GwPeer) peer = NULL;
    g_autoptr(GError) error = NULL;

    meet(other, judge, &peer, NULL, NULL, &error);
    assert_null(error);
    assert_non_null(peer);
}

static void another_fabrics_are_refused(void **state)
{
    g_autoptr(Fabric) ours = fabric_new();
    g_autoptr(Fabric) theirs = fabric_new();
    g_autoptr(GwCredentials) host = host_new(ours, "kvm1");
    g_autoptr(GwCredentials) stranger = host_new(theirs, "kvm1");
    g_autoptr(GwCredentials) controller = controller_new(theirs);

    assert_string_not_equal(gw_authority_fabric_id(ours->authority),
                            gw_authority_fabric_id(theirs->authority));
    refused(host, stranger, gw_authority_fabric_id(theirs->authority));
    refused(host, controller, gw_authority_fabric_id(theirs->authority));
}

/* A host of an authority that calls itself by our fabric's name. */
static GwCredentials *forged_new(const char *fabric_id, const char *host_id, gint64 now_s)
{
    g_autofree char *key_pem = NULL;
    g_autofree char *request = NULL;
    GwCredentials *forged = NULL;

    UNIT_OK(gw_identity_request(&key_pem, &request, error));
    g_autoptr(GwKey) ca_key = gw_pki_key_new(NULL);
    g_autoptr(GwCrt) made = gw_pki_make_ca(ca_key, fabric_id, 100, now_s, NULL);
    g_autofree char *ca_pem = gw_pki_crt_export(made, NULL);
    g_autoptr(GwCrt) ca = gw_pki_crt_import(ca_pem, NULL);
    g_autoptr(GwPublic) key = gw_pki_request_import(request, NULL);
    g_autoptr(GwCrt) crt = gw_pki_make_leaf(key, ca, ca_key, fabric_id, host_id, 10, now_s, NULL);
    g_autofree char *pem = gw_pki_crt_export(crt, NULL);
    UNIT_OK((forged = gw_credentials_new(pem, key_pem, ca_pem, error)) != NULL);
    return forged;
}

static void forged_are_refused(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    const char *id = gw_authority_fabric_id(fabric->authority);
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
    g_autoptr(GwCredentials) forged = forged_new(id, "kvm2", fabric->now_s);
    g_autoptr(GwCredentials) usurper = forged_new(id, NULL, fabric->now_s);

    refused(host, forged, "not signed by");
    refused(host, usurper, "not signed by");
}

static void expired_and_early(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    gint64 now_s = fabric->now_s;
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
    g_autoptr(GwCredentials) expired = host_at(fabric, "kvm2", 10, now_s - 10 * DAY);
    g_autoptr(GwCredentials) old = host_at(fabric, "kvm2", 10, now_s - 10 * DAY + 60);
    g_autoptr(GwCredentials) early = host_at(fabric, "kvm2", 90, now_s + 2 * DAY + 60);
    g_autoptr(GwCredentials) ahead = host_at(fabric, "kvm2", 90, now_s + 2 * DAY - 60);

    refused(host, expired, "valid from");
    accepted(host, old);
    refused(host, early, "the fabric's time is");
    accepted(host, ahead);
}

/* This machine's clock is wrong by so much; with the offset to the fabric's time nothing changes,
 * without it young certificates are still taken, as they begin two days back. */
static void a_clock_that_is_off(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    gint64 now_s = fabric->now_s;
    /* All of the fabric was made by a controller whose clock is a day ahead of ours. */
    g_autoptr(GwCredentials) host = host_at(fabric, "kvm1", 90, now_s + DAY);
    g_autoptr(GwCredentials) young = host_at(fabric, "kvm2", 90, now_s + DAY);
    g_autoptr(GwCredentials) ending = host_at(fabric, "kvm2", 1, now_s - DAY + 3600);
    g_autoptr(GwCredentials) far = host_at(fabric, "kvm2", 90, now_s + 30 * DAY);

    accepted(host, young);
    accepted(host, ending); /* by this machine's clock it lives for another hour */
    gw_credentials_set_offset(host, DAY);
    assert_in_range(gw_credentials_now_s(host) - wall_s(), DAY - 5, DAY + 5);
    accepted(host, young);
    refused(host, ending, "valid from"); /* by the fabric's it ended 23 hours ago */
    refused(host, far, "valid from");
    gw_credentials_set_offset(host, 30 * DAY);
    accepted(host, far);
    gw_credentials_set_offset(host, -30 * DAY);
    refused(host, young, "valid from");
}

static void revoked_are_refused(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
    g_autoptr(GwCredentials) other = host_new(fabric, "kvm2");
    g_autoptr(GwCredentials) third = host_new(fabric, "kvm3");
    g_autofree char *upper = g_ascii_strup(gw_credentials_self(other)->serial, -1);
    const char *serials[] = { "00", upper, NULL };

    accepted(host, other);
    gw_credentials_set_revoked(host, serials);
    refused(host, other, gw_credentials_self(other)->serial);
    accepted(host, third);
    assert_true(gw_credentials_is_revoked(host, upper));
    gw_credentials_set_revoked(host, NULL);
    accepted(host, other);
}

/* A host's certificate never names a controller, whatever its id. */
static void roles_are_not_confused(void **state)
{
    static const char *const ids[] = { "controller", "host", "kvm1:controller", "a:b",   "",
                                       "kvm 1",      "../x", "k\xc3\xa9",       "kvm1\n" };
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
    g_autoptr(GwCredentials) named = host_new(fabric, "controller");
    g_autofree char *key = NULL;
    g_autofree char *request = NULL;
    g_autoptr(GwPeer) peer = NULL;

    meet(named, host, &peer, NULL, NULL, NULL);
    assert_int_equal(peer->role, GW_PEER_HOST);
    assert_string_equal(peer->host_id, "controller");
    UNIT_OK(gw_identity_request(&key, &request, error));
    for (guint i = 2; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(gw_authority_issue(fabric->authority, request, ids[i], 90, fabric->now_s, NULL,
                                       &error));
        unit_assert_error(error, GW_ERR_INVALID, "identifier");
    }
}

/* Handshakes of others ------------------------------------------------------------------------ */

/* A client of our making, of @priority, with or without the certificate and the protocol's name. */
static void stranger_dials(const char *priority, const char *alpn, gboolean certificate, Pair *pair,
                           GwCredentials *accepter, gnutls_certificate_credentials_t *credentials)
{
    gnutls_session_t tls = NULL;

    assert_int_equal(gnutls_init(&tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_priority_set_direct(tls, priority, NULL), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(credentials), 0);
    gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, *credentials);
    if (alpn != NULL) {
        gnutls_datum_t name = { (unsigned char *)alpn, (unsigned)strlen(alpn) };
        gnutls_alpn_set_protocols(tls, &name, 1, 0);
    }
    pair_init(pair, tls, tls_new(accepter, FALSE));
}

static void strangers_do_not_get_in(void **state)
{
    static const struct {
        const char *priority, *alpn;
    } strangers[] = {
        { "NORMAL", "godwit/1" }, /* no certificate */
        { "NORMAL:-VERS-ALL:+VERS-TLS1.2", "godwit/1" },
        { "NORMAL", "h2" },
        { "NORMAL", NULL },
    };
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");

    for (guint i = 0; i < G_N_ELEMENTS(strangers); i++) {
        gnutls_certificate_credentials_t credentials = NULL;
        Pair pair;
        stranger_dials(strangers[i].priority, strangers[i].alpn, FALSE, &pair, host, &credentials);
        if (pair.accepter_status >= 0 || !gnutls_error_is_fatal(pair.accepter_status))
            fail_msg("stranger %u got in: %s", i, gnutls_strerror(pair.accepter_status));
        pair_clear(&pair);
        gnutls_certificate_free_credentials(credentials);
    }
}

/* With a certificate of the fabric, but without the protocol's name: the handshake is done, and
 * judge refuses. */
static void the_protocol_must_be_named(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
    g_autofree char *key = NULL;
    g_autofree char *request = NULL;
    g_autofree char *pem = NULL;
    g_autoptr(GError) why = NULL;
    gnutls_certificate_credentials_t credentials = NULL;
    gnutls_session_t tls = NULL;
    Pair pair;

    UNIT_OK(gw_identity_request(&key, &request, error));
    UNIT_OK((pem = gw_authority_issue(fabric->authority, request, "kvm2", 90, fabric->now_s, NULL,
                                      error)) != NULL);
    gnutls_datum_t pem_datum = { (unsigned char *)pem, (unsigned)strlen(pem) };
    gnutls_datum_t key_datum = { (unsigned char *)key, (unsigned)strlen(key) };
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    assert_int_equal(gnutls_certificate_set_x509_key_mem(credentials, &pem_datum, &key_datum,
                                                         GNUTLS_X509_FMT_PEM),
                     0);
    assert_int_equal(gnutls_init(&tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
    assert_int_equal(gnutls_priority_set_direct(tls, "NORMAL", NULL), 0);
    gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials);
    pair_init(&pair, tls, tls_new(host, FALSE));
    assert_int_equal(pair.accepter_status, 0);
    assert_null(gw_credentials_judge(host, pair.accepter, &why));
    unit_assert_error(why, GW_ERR_UNAUTHORIZED, "required is godwit/1");
    pair_clear(&pair);
    gnutls_certificate_free_credentials(credentials);
}

static void the_suite_is_ours(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) a = host_new(fabric, "kvm1");
    g_autoptr(GwCredentials) b = host_new(fabric, "kvm2");
    Pair pair;

    pair_init(&pair, tls_new(a, TRUE), tls_new(b, FALSE));
    assert_int_equal(gnutls_cipher_get(pair.dialler), GNUTLS_CIPHER_AES_128_GCM);
    /* No tickets: after the handshake the server has nothing more to say. */
    char byte;
    assert_int_equal(gnutls_record_recv(pair.dialler, &byte, 1), GNUTLS_E_AGAIN);
    assert_int_equal(gnutls_session_get_flags(pair.dialler) & GNUTLS_SFLAGS_SESSION_TICKET, 0);
    pair_clear(&pair);
}

/* Certificates of another form ----------------------------------------------------------------- */

typedef struct {
    const char *uris[3];
    const char *dns;
    int ca;
    unsigned usage;
    gboolean server, client, rsa;
} Form;

static char *make_form(const Form *form)
{
    g_autoptr(GwKey) key = NULL;
    g_autoptr(GwCrt) crt = NULL;

    gnutls_x509_privkey_init(&key);
    gnutls_x509_privkey_generate(
        key, form->rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
        form->rsa ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    gnutls_x509_crt_init(&crt);
    gnutls_x509_crt_set_version(crt, 3);
    gnutls_x509_crt_set_serial(crt, "\x01\x02", 2);
    gnutls_x509_crt_set_activation_time(crt, time(NULL));
    gnutls_x509_crt_set_expiration_time(crt, time(NULL) + DAY);
    for (guint i = 0; i < G_N_ELEMENTS(form->uris) && form->uris[i] != NULL; i++)
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, form->uris[i],
                                             (unsigned)strlen(form->uris[i]), GNUTLS_FSAN_APPEND);
    if (form->dns != NULL)
        gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, form->dns,
                                             (unsigned)strlen(form->dns), GNUTLS_FSAN_APPEND);
    gnutls_x509_crt_set_basic_constraints(crt, (unsigned)form->ca, -1);
    gnutls_x509_crt_set_key_usage(crt, form->usage);
    if (form->server)
        gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (form->client)
        gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    gnutls_x509_crt_set_key(crt, key);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    return gw_pki_crt_export(crt, NULL);
}

#define HOST_URI "urn:godwit:F1:host:kvm1"
#define WELL .usage = GNUTLS_KEY_DIGITAL_SIGNATURE, .server = TRUE, .client = TRUE

static void only_our_form_is_read(void **state)
{
    static const struct {
        Form form;
        const char *part;
    } bad[] = {
        { { .dns = "kvm1", WELL }, "no name of a fabric" },
        { { WELL }, "no name of a fabric" },
        { { .uris = { "urn:other:F1:host:kvm1" }, WELL }, "no name of a fabric" },
        { { .uris = { HOST_URI, "urn:godwit:F1:controller" }, WELL }, "several names" },
        { { .uris = { HOST_URI }, .dns = "kvm1", WELL }, "several names" },
        { { .uris = { "urn:godwit:F1" }, WELL }, "no fabric" },
        { { .uris = { "urn:godwit::controller" }, WELL }, "no fabric" },
        { { .uris = { "urn:godwit:F1:authority" }, WELL }, "neither" },
        { { .uris = { "urn:godwit:F1:controller:x" }, WELL }, "neither" },
        { { .uris = { "urn:godwit:F1:host:" }, WELL }, "neither" },
        { { .uris = { "urn:godwit:F1:host:a:b" }, WELL }, "neither" },
        { { .uris = { "urn:godwit:F1:Controller" }, WELL }, "neither" },
        { { .uris = { HOST_URI }, .ca = 1, WELL }, "an authority's" },
        { { .uris = { HOST_URI }, .usage = GNUTLS_KEY_KEY_CERT_SIGN, .server = 1, .client = 1 },
          "another use" },
        { { .uris = { HOST_URI }, .usage = GNUTLS_KEY_DIGITAL_SIGNATURE, .server = TRUE },
          "both ends" },
        { { .uris = { HOST_URI }, .usage = GNUTLS_KEY_DIGITAL_SIGNATURE, .client = TRUE },
          "both ends" },
        { { .uris = { HOST_URI }, .rsa = TRUE, WELL }, "kind of key" },
    };
    static const Form well = { .uris = { HOST_URI }, WELL };
    g_autofree char *pem = make_form(&well);
    g_autoptr(GwPeer) peer = NULL;

    UNIT_OK((peer = gw_identity_read(pem, error)) != NULL);
    assert_string_equal(peer->fabric_id, "F1");
    assert_string_equal(peer->host_id, "kvm1");
    assert_string_equal(peer->serial, "0102");
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *other = make_form(&bad[i].form);
        g_autoptr(GError) error = NULL;
        assert_null(gw_identity_read(other, &error));
        unit_assert_error(error, GW_ERR_INVALID, bad[i].part);
    }
}

static void texts_that_are_none(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autofree char *long_text = g_strnfill(GW_PKI_PEM_MAX + 1, 'A');
    const char *const texts[] = { "", "x", "-----BEGIN CERTIFICATE-----\n", long_text,
                                  gw_authority_ca_pem(fabric->authority) };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) read = NULL;
        g_autoptr(GError) issued = NULL;
        assert_null(gw_identity_read(texts[i], &read));
        unit_assert_error(read, GW_ERR_INVALID, "certificate");
        assert_null(gw_authority_issue(fabric->authority, texts[i], "kvm1", 90, fabric->now_s, NULL,
                                       &issued));
        unit_assert_error(issued, GW_ERR_INVALID, "request");
    }
}

/* A request cut anywhere, with any byte changed, gives no certificate or one for who was meant. */
static void broken_requests(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autofree char *key = NULL;
    g_autofree char *request = NULL;
    guint issued = 0;

    UNIT_OK(gw_identity_request(&key, &request, error));
    char *base64 = strchr(request, '\n') + 1;
    for (gsize at = 0; at < strlen(base64) - 30; at++) {
        char saved = base64[at];
        g_autoptr(GError) error = NULL;
        if (saved == '\n')
            continue;
        base64[at] = saved == 'A' ? 'B' : 'A';
        g_autofree char *pem =
            gw_authority_issue(fabric->authority, request, "kvm1", 90, fabric->now_s, NULL, &error);
        assert_true((pem == NULL) == (error != NULL));
        issued += pem != NULL;
        base64[at] = saved;
    }
    assert_in_range(issued, 0, 1); /* the last digit holds bits that say nothing */
    g_autoptr(GError) error = NULL;
    g_autofree char *whole =
        gw_authority_issue(fabric->authority, request, "kvm1", 90, fabric->now_s, NULL, &error);
    assert_non_null(whole);
    assert_null(
        gw_authority_issue(fabric->authority, request, "kvm1", 0, fabric->now_s, NULL, &error));
    unit_assert_error(error, GW_ERR_INVALID, "0 days");
}

static void credentials_must_fit_together(void **state)
{
    g_autoptr(Fabric) ours = fabric_new();
    g_autoptr(Fabric) theirs = fabric_new();
    g_autofree char *key = NULL;
    g_autofree char *other_key = NULL;
    g_autofree char *request = NULL;
    g_autofree char *other_request = NULL;
    const char *ca = gw_authority_ca_pem(ours->authority);

    UNIT_OK(gw_identity_request(&key, &request, error));
    UNIT_OK(gw_identity_request(&other_key, &other_request, error));
    g_autofree char *pem =
        gw_authority_issue(ours->authority, request, "kvm1", 90, ours->now_s, NULL, NULL);
    const char *const bad[][4] = {
        { pem, other_key, ca, "key" },
        { pem, key, gw_authority_ca_pem(theirs->authority), "did not sign it" },
        { pem, key, pem, "authority's" },
        { ca, key, ca, "authority's" },
        { "", key, ca, "certificate" },
        { pem, "", ca, "key" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(gw_credentials_new(bad[i][0], bad[i][1], bad[i][2], &error));
        unit_assert_error(error, GW_ERR_INVALID, bad[i][3]);
    }
}

/* The folder ----------------------------------------------------------------------------------- */

static guint mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void open_fails(const Fabric *fabric, GwErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;

    assert_null(gw_authority_open(fabric->folder, fabric->now_s, &error));
    unit_assert_error(error, code, part);
}

static void an_authority_stays_the_same(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwAuthority) again = NULL;
    g_autofree char *path = file_of(fabric, "authority.pem");
    g_autofree char *controller_path = file_of(fabric, "controller.pem");
    g_autoptr(GwCredentials) controller = controller_new(fabric);

    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(mode_of(controller_path), 0600);
    assert_int_equal(mode_of(fabric->folder), 0700);
    UNIT_OK((again = gw_authority_open(fabric->folder, fabric->now_s + 5, error)) != NULL);
    assert_string_equal(gw_authority_fabric_id(again), gw_authority_fabric_id(fabric->authority));
    assert_string_equal(gw_authority_ca_pem(again), gw_authority_ca_pem(fabric->authority));
    assert_memory_equal(gw_authority_ticket_public(again),
                        gw_authority_ticket_public(fabric->authority), 32);
    assert_memory_equal(gw_authority_ticket_secret(again),
                        gw_authority_ticket_secret(fabric->authority), 64);
    g_autoptr(GwCredentials) same = gw_authority_credentials(again, fabric->now_s, NULL);
    assert_string_equal(gw_credentials_self(same)->serial, gw_credentials_self(controller)->serial);
}

static void the_controllers_own_is_renewed(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) first = controller_new(fabric);
    gint64 expires_s = gw_credentials_self(first)->expires_s;

    assert_int_equal(expires_s, fabric->now_s + 90 * DAY);
    g_autoptr(GwCredentials) kept =
        gw_authority_credentials(fabric->authority, expires_s - 30 * DAY, NULL);
    assert_string_equal(gw_credentials_self(kept)->serial, gw_credentials_self(first)->serial);
    g_autoptr(GwCredentials) renewed =
        gw_authority_credentials(fabric->authority, expires_s - 30 * DAY + 1, NULL);
    assert_string_not_equal(gw_credentials_self(renewed)->serial,
                            gw_credentials_self(first)->serial);
    assert_int_equal(gw_credentials_self(renewed)->expires_s, expires_s + 60 * DAY + 1);
}

static void keys_open_to_others_are_refused(void **state)
{
    static const guint modes[] = { 0640, 0604, 0644, 0660, 0601 };
    g_autoptr(Fabric) fabric = fabric_new();
    g_autofree char *path = file_of(fabric, "authority.pem");
    g_autofree char *link_path = file_of(fabric, "link");
    g_autofree char *controller_path = file_of(fabric, "controller.pem");
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        open_fails(fabric, GW_ERR_INVALID, "open to others");
    }
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(fabric->folder, 0770), 0);
    open_fails(fabric, GW_ERR_INVALID, "can be changed by others");
    assert_int_equal(chmod(fabric->folder, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        open_fails(fabric, GW_ERR_INVALID, "user 12345");
        assert_int_equal(chown(path, 0, 0), 0);
    }
    assert_int_equal(rename(path, link_path), 0);
    assert_int_equal(symlink(link_path, path), 0);
    open_fails(fabric, GW_ERR_STORE, "cannot open");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(link_path, path), 0);
    g_autoptr(GwCredentials) controller G_GNUC_UNUSED = controller_new(fabric);
    assert_int_equal(chmod(controller_path, 0644), 0);
    assert_null(gw_authority_credentials(fabric->authority, fabric->now_s, &error));
    unit_assert_error(error, GW_ERR_INVALID, "open to others");
}

/* A crash leaves the half-written file beside the place of the real one. */
static void half_made_is_completed(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autofree char *path = file_of(fabric, "authority.pem");
    g_autofree char *half = file_of(fabric, "authority.pem.new");
    g_autoptr(GwAuthority) made = NULL;

    assert_int_equal(unlink(path), 0);
    UNIT_OK(g_file_set_contents(half, "-----BEGIN PRIV", -1, error));
    UNIT_OK((made = gw_authority_open(fabric->folder, fabric->now_s, error)) != NULL);
    assert_string_not_equal(gw_authority_fabric_id(made),
                            gw_authority_fabric_id(fabric->authority));
    assert_false(g_file_test(half, G_FILE_TEST_EXISTS));
    assert_int_equal(mode_of(path), 0600);
}

static void damaged_is_never_remade(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) controller G_GNUC_UNUSED = controller_new(fabric);
    g_autofree char *path = file_of(fabric, "authority.pem");
    g_autofree char *controller_path = file_of(fabric, "controller.pem");
    g_autofree char *text = NULL;
    gsize length = 0;

    UNIT_OK(g_file_get_contents(path, &text, &length, error));
    gsize last = (gsize)(g_strrstr(text, "-----END") - text);
    for (gsize cut = 0; cut < last; cut += 13) {
        g_autofree char *after = NULL;
        UNIT_OK(g_file_set_contents_full(path, text, (gssize)cut, G_FILE_SET_CONTENTS_CONSISTENT,
                                         0600, error));
        open_fails(fabric, GW_ERR_INVALID, "damaged");
        gsize after_length = 0;
        UNIT_OK(g_file_get_contents(path, &after, &after_length, error));
        assert_int_equal(after_length, cut);
    }
    for (gsize at = last - 80; at < last - 4; at += 7) {
        g_autofree char *changed = g_strdup(text);
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        UNIT_OK(g_file_set_contents_full(path, changed, (gssize)length,
                                         G_FILE_SET_CONTENTS_CONSISTENT, 0600, error));
        open_fails(fabric, GW_ERR_INVALID, "ticket key");
    }
    /* Lost, but the controller's certificate shows that it was. */
    assert_int_equal(unlink(path), 0);
    open_fails(fabric, GW_ERR_INVALID, "authority.pem is missing");
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    UNIT_OK(g_file_set_contents_full(path, text, (gssize)length, G_FILE_SET_CONTENTS_CONSISTENT,
                                     0600, error));
    g_autoptr(GwAuthority) restored = gw_authority_open(fabric->folder, fabric->now_s, NULL);
    assert_string_equal(gw_authority_fabric_id(restored),
                        gw_authority_fabric_id(fabric->authority));
    /* The controller's own can be made again, but only when a person says so. */
    g_autoptr(GError) why = NULL;
    UNIT_OK(g_file_set_contents_full(controller_path, "x", 1, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                     error));
    assert_null(gw_authority_credentials(restored, fabric->now_s, &why));
    unit_assert_error(why, GW_ERR_INVALID, "cannot be used");
}

/* Two files that are each well, of different fabrics. */
static void a_mixed_folder_is_refused(void **state)
{
    g_autoptr(Fabric) ours = fabric_new();
    g_autoptr(Fabric) theirs = fabric_new();
    g_autoptr(GwCredentials) controller G_GNUC_UNUSED = controller_new(theirs);
    g_autofree char *from = file_of(theirs, "controller.pem");
    g_autofree char *to = file_of(ours, "controller.pem");
    g_autoptr(GError) error = NULL;

    assert_int_equal(rename(from, to), 0);
    assert_null(gw_authority_credentials(ours->authority, ours->now_s, &error));
    unit_assert_error(error, GW_ERR_INVALID, "did not sign it");
}

static gpointer issue_some(gpointer data)
{
    Fabric *fabric = data;
    guint issued = 0;

    for (guint i = 0; i < 20; i++) {
        g_autoptr(GwCredentials) controller =
            gw_authority_credentials(fabric->authority, fabric->now_s, NULL);
        g_autoptr(GwCredentials) host = host_new(fabric, "kvm1");
        issued += controller != NULL && host != NULL;
    }
    return GUINT_TO_POINTER(issued);
}

static void threads_may_share_an_authority(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("issue", issue_some, fabric);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_int_equal(GPOINTER_TO_UINT(g_thread_join(threads[i])), 20);
}

/* A file system with no room: what was there before is there still. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    g_autoptr(Fabric) fabric = fabric_new();
    g_autoptr(GwCredentials) first G_GNUC_UNUSED = controller_new(fabric);
    g_autofree char *path = file_of(fabric, "controller.pem");
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GError) why = NULL;
    struct rlimit none = { 16, RLIM_INFINITY }, old;

    UNIT_OK(g_file_get_contents(path, &before, NULL, error));
    /* No file may grow over 16 bytes: what a full disk does, without one. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    GwCredentials *renewed =
        gw_authority_credentials(fabric->authority, fabric->now_s + 80 * DAY, &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_null(renewed);
    unit_assert_error(why, GW_ERR_STORE, "cannot write");
    UNIT_OK(g_file_get_contents(path, &after, NULL, error));
    assert_string_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_know_each_other),
        cmocka_unit_test(another_fabrics_are_refused),
        cmocka_unit_test(forged_are_refused),
        cmocka_unit_test(expired_and_early),
        cmocka_unit_test(a_clock_that_is_off),
        cmocka_unit_test(revoked_are_refused),
        cmocka_unit_test(roles_are_not_confused),
        cmocka_unit_test(strangers_do_not_get_in),
        cmocka_unit_test(the_protocol_must_be_named),
        cmocka_unit_test(the_suite_is_ours),
        cmocka_unit_test(only_our_form_is_read),
        cmocka_unit_test(texts_that_are_none),
        cmocka_unit_test(broken_requests),
        cmocka_unit_test(credentials_must_fit_together),
        cmocka_unit_test(an_authority_stays_the_same),
        cmocka_unit_test(the_controllers_own_is_renewed),
        cmocka_unit_test(keys_open_to_others_are_refused),
        cmocka_unit_test(half_made_is_completed),
        cmocka_unit_test(damaged_is_never_remade),
        cmocka_unit_test(a_mixed_folder_is_refused),
        cmocka_unit_test(threads_may_share_an_authority),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
