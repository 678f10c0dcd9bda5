/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "model/host.h"

static void test_good_uris(void **state)
{
    static const char *const uris[] = {
        "qemu:///system",
        "qemu:///session",
        "qemu+ssh://root@kvm1/system",
        "qemu+ssh://root@kvm1.example.org:2222/system?keyfile=/etc/godwit/id&no_tty=1",
        "qemu+ssh://root@[2001:db8::1]/system",
        "qemu+tls://kvm1.example.org/system?pkipath=/etc/godwit/pki",
        "qemu+tcp://10.0.0.1/system",
        "qemu+unix:///system?socket=/run/lab/h1/libvirt-sock",
        "qemu+libssh2://kvm1/system?known_hosts=/etc/godwit/known_hosts",
        "QEMU+ssh://kvm1/system", /* schemes have no case */
    };
    for (guint i = 0; i < G_N_ELEMENTS(uris); i++)
        UNIT_OK(gw_host_check_uri(uris[i], error));
}

static void test_bad_uris(void **state)
{
    static const struct {
        const char *uri;
        const char *part;
    } rows[] = {
        { NULL, "1 to 1024" },
        { "", "cannot be parsed" },
        { "kvm1", "cannot be parsed" },
        { "/system", "cannot be parsed" },
        { "http://kvm1/system", "scheme" },
        { "xen+ssh://kvm1/system", "scheme" },
        { "test:///default", "scheme" },
        { "esx://vcenter/dc/host", "scheme" },
        { "qemu+ext://kvm1/system?command=/bin/sh", "scheme" },
        { "qemu+ssh://kvm1", "path" },
        { "qemu+ssh://kvm1/etc/passwd", "path" },
        { "qemu+ssh://kvm1/system#x", "fragment" },
        /* What makes libvirt run a program on the controller, in every disguise. */
        { "qemu+ssh://kvm1/system?command=/bin/sh", "parameter" },
        { "qemu+ssh://kvm1/system?COMMAND=/bin/sh", "parameter" },
        { "qemu+ssh://kvm1/system?%63ommand=/bin/sh", "parameter" },
        { "qemu+ssh://kvm1/system?no_tty=1&command=/bin/sh", "parameter" },
        { "qemu+ssh://kvm1/system?no_tty=1;command=/bin/sh", "parameter" },
        { "qemu+ssh://kvm1/system?netcat=/tmp/nc", "parameter" },
        { "qemu+ssh://kvm1/system?mode=direct", "parameter" },
        { "qemu+ssh://kvm1/system?name=test:///default", "parameter" },
        { "qemu+ssh://kvm1/system?unheard_of=1", "parameter" },
        { "qemu+ssh://-oProxyCommand=x/system", "begin with '-'" },
        { "qemu+ssh://%2doProxyCommand=x/system", "begin with '-'" },
        { "qemu+ssh://-lroot@kvm1/system", "begin with '-'" },
        { "qemu+ssh://%2dlroot@kvm1/system", "begin with '-'" },
        { "qemu+ssh://root:hunter2@kvm1/system", "password" },
        { "qemu+ssh://root%3Ahunter2@kvm1/system", "password" },
        { "qemu+ssh://kvm1/system\n", "control" },
        { "qemu+ssh://kv m1/system", "blank" },
        { "qemu+ssh://kvm1\x1b[2J/system", "control" },
        { "qemu+ssh://kvm1%0a/system", "encoded control" },
        { "qemu+ssh://kvm1/system?socket=/a%00b", "malformed %XX" },
        { "qemu+ssh://kvm1/system?socket=%zz", "malformed %XX" },
        { "qemu+ssh://k\xc3\xbcvm/system", "non-ASCII" },
        { "qemu+ssh://kvm1:99999/system", "cannot be parsed" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        if (gw_host_check_uri(rows[i].uri, &error))
            fail_msg("accepted: %s", rows[i].uri);
        unit_assert_error(error, GW_ERR_INVALID, rows[i].part);
        assert_null(strstr(error->message, "hunter2"));
    }
    g_autofree char *path = g_strnfill(1100, 'x');
    g_autofree char *endless = g_strconcat("qemu+unix:///system?socket=/", path, NULL);
    g_autoptr(GError) error = NULL;
    assert_false(gw_host_check_uri(endless, &error));
    unit_assert_error(error, GW_ERR_INVALID, "1 to 1024");
}

static void test_addresses(void **state)
{
    static const struct {
        const char *uri;
        const char *address;
    } rows[] = {
        { "qemu+ssh://root@kvm1/system", "kvm1" },
        { "qemu+tls://kvm1.example.org:16514/system", "kvm1.example.org" },
        { "qemu+ssh://[2001:db8::1]/system", "2001:db8::1" },
        { "qemu:///system", NULL },
        { "qemu+unix:///system?socket=/run/x", NULL },
        { "no uri", NULL },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *address = gw_host_uri_address(rows[i].uri);
        if (rows[i].address == NULL)
            assert_null(address);
        else
            assert_string_equal(address, rows[i].address);
    }
}

static void test_peer_uris(void **state)
{
    static const struct {
        const char *uri;
        const char *peer_uri;
        const char *expected;
    } rows[] = {
        { "qemu+ssh://root@kvm1/system", NULL, "qemu+ssh://root@kvm1/system" },
        /* The controller's files mean nothing to another host. */
        { "qemu+ssh://root@kvm1:22/system?keyfile=/etc/godwit/id", NULL,
          "qemu+ssh://root@kvm1:22/system" },
        { "qemu+ssh://[2001:db8::1]/system", NULL, "qemu+ssh://[2001:db8::1]/system" },
        { "qemu+ssh://root@kvm1/system", "qemu+tls://kvm1.storage/system",
          "qemu+tls://kvm1.storage/system" },
        { "qemu+ssh://root@kvm1/system", "", "qemu+ssh://root@kvm1/system" },
        { "qemu:///system", NULL, NULL },
        { "qemu+unix:///system?socket=/run/x", NULL, NULL },
        { "qemu+unix:///system?socket=/run/x", "qemu+unix:///system?socket=/run/y",
          "qemu+unix:///system?socket=/run/y" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwHost) host = gw_host_new_default();
        host->uri = g_strdup(rows[i].uri);
        host->peer_uri = g_strdup(rows[i].peer_uri);
        g_autofree char *peer = gw_host_peer_uri(host);
        if (rows[i].expected == NULL)
            assert_null(peer);
        else
            assert_string_equal(peer, rows[i].expected);
        if (peer != NULL)
            UNIT_OK(gw_host_check_uri(peer, error));
    }
}

static void test_defaults(void **state)
{
    g_autoptr(GwHost) host = gw_host_new_default();
    assert_string_equal(host->group_id, GW_GROUP_ROOT);
    assert_true(host->live_migration_enabled);
    assert_int_equal(host->live_limit, 2);                     /* R20 */
    assert_int_equal(host->storage_limit, 2);                  /* R21 */
    assert_int_equal(host->completion_timeout_s_per_gib, 800); /* R59 */
    assert_int_equal(host->progress_timeout_s, 150);           /* R60 */
    assert_int_equal(host->method, GW_METHOD_DEFAULT);
    assert_int_equal(host->status, GW_HOST_CONNECTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_uris), cmocka_unit_test(test_bad_uris),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_peer_uris),
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
