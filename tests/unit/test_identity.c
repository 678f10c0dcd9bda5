/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is who: what an authority makes, and every certificate that must not pass a handshake. */
#include "unit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <gnutls/gnutls.h>
#include <string.h>
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
                                         "link" };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_know_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
