/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/epochs.h"
#include "agent/files.h"
#include "agent/state.h"
#include "folder.h"

/* What must survive a restart, a full disk and a damaged file. */

#define VM "0b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e"
#define OTHER "1b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e"
#define JOB "01J0000000000000000000000A"
#define JOB2 "01J0000000000000000000000B"

static int setup(void **state)
{
    char *folder = g_dir_make_tmp("godwit-epochs-XXXXXX", NULL);
    *state = folder;
    return folder == NULL;
}

static GwEpochs *open_or_fail(const char *folder)
{
    g_autoptr(GError) error = NULL;
    GwEpochs *epochs = gw_epochs_open(folder, &error);

    if (epochs == NULL)
        fail_msg("%s", error->message);
    return epochs;
}

static void assert_refused(gboolean ok, GError **error, GwErrorCode code)
{
    assert_false(ok);
    assert_true(g_error_matches(*error, GW_ERROR, (int)code));
    g_clear_error(error);
}

static void test_order(void **state)
{
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    g_autoptr(GError) why = NULL;

    assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_CONFLICT);
    UNIT_OK(gw_epochs_raise(epochs, VM, 3, JOB, error));
    UNIT_OK(gw_epochs_raise(epochs, VM, 3, JOB, error));
    UNIT_OK(gw_epochs_check(epochs, VM, 3, JOB, error));
    assert_refused(gw_epochs_raise(epochs, VM, 3, JOB2, &why), &why, GW_ERR_CONFLICT);
    assert_refused(gw_epochs_check(epochs, VM, 3, JOB2, &why), &why, GW_ERR_CONFLICT);
    assert_refused(gw_epochs_raise(epochs, VM, 2, JOB, &why), &why, GW_ERR_CONFLICT);
    assert_refused(gw_epochs_check(epochs, VM, 4, JOB, &why), &why, GW_ERR_CONFLICT);
    UNIT_OK(gw_epochs_raise(epochs, VM, 7, JOB2, error));
    assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_CONFLICT);
    assert_int_equal(gw_epochs_seen(epochs, VM), 7);
    assert_int_equal(gw_epochs_seen(epochs, OTHER), 0);
}

static void test_close_is_for_good(void **state)
{
    g_autoptr(GError) why = NULL;
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        UNIT_OK(gw_epochs_raise(epochs, VM, 5, JOB, error));
        UNIT_OK(gw_epochs_close(epochs, VM, 5, error));
        UNIT_OK(gw_epochs_close(epochs, VM, 5, error));
        UNIT_OK(gw_epochs_close(epochs, VM, 4, error)); /* over anyway */
        /* One that was never open here: its ticket may still come. */
        UNIT_OK(gw_epochs_close(epochs, OTHER, 9, error));
    }
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    assert_refused(gw_epochs_raise(epochs, VM, 5, JOB, &why), &why, GW_ERR_CONFLICT);
    assert_refused(gw_epochs_check(epochs, VM, 5, JOB, &why), &why, GW_ERR_CONFLICT);
    assert_refused(gw_epochs_raise(epochs, OTHER, 9, JOB, &why), &why, GW_ERR_CONFLICT);
    UNIT_OK(gw_epochs_raise(epochs, OTHER, 10, JOB, error));
    UNIT_OK(gw_epochs_raise(epochs, VM, 6, JOB2, error));
    /* A late close of the old one leaves the new one open. */
    UNIT_OK(gw_epochs_close(epochs, VM, 5, error));
    UNIT_OK(gw_epochs_check(epochs, VM, 6, JOB2, error));
}

static void test_left_survives(void **state)
{
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        UNIT_OK(gw_epochs_raise(epochs, VM, 5, JOB, error));
        UNIT_OK(gw_epochs_set_left(epochs, VM, "to \"kvm2\"", error));
        UNIT_OK(gw_epochs_close(epochs, VM, 5, error));
    }
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    assert_string_equal(gw_epochs_left(epochs, VM), "to \"kvm2\"");
    assert_null(gw_epochs_left(epochs, OTHER));
    g_auto(GStrv) left = gw_epochs_list_left(epochs);
    assert_int_equal(g_strv_length(left), 1);
    assert_string_equal(left[0], VM);
    /* A move back that only begins does not bring it back. */
    UNIT_OK(gw_epochs_raise(epochs, VM, 6, JOB2, error));
    assert_non_null(gw_epochs_left(epochs, VM));
    UNIT_OK(gw_epochs_set_left(epochs, VM, NULL, error));
    assert_null(gw_epochs_left(epochs, VM));
    UNIT_OK(gw_epochs_check(epochs, VM, 6, JOB2, error));
}

static void test_nonsense(void **state)
{
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    g_autoptr(GError) why = NULL;
    g_autofree char *long_job = g_strnfill(65, 'A');

    assert_refused(gw_epochs_raise(epochs, "../../etc/passwd", 1, JOB, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, "", 1, JOB, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, NULL, 1, JOB, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, VM, 0, JOB, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, VM, -4, JOB, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, VM, 1, "", &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_raise(epochs, VM, 1, long_job, &why), &why, GW_ERR_INVALID);
    assert_refused(gw_epochs_set_left(epochs, VM, "x", &why), &why, GW_ERR_INVALID);
    assert_int_equal(gw_epochs_seen(epochs, VM), 0);
}

static void write_raw(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, "epochs", name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(g_chmod(path, 0600), 0);
}

static void test_damaged_is_one_vm(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"epoch\": 3}",
        "{\"epoch\": 0, \"job\": \"\", \"closed\": true}",
        "{\"epoch\": \"3\", \"job\": \"\", \"closed\": true}",
        "{\"epoch\": 3, \"job\": 5, \"closed\": true}",
        "{\"epoch\": 3, \"job\": \"\", \"closed\": 1}",
        "{\"epoch\": 3, \"epoch\": 2, \"job\": \"\", \"closed\": true}",
    };
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        UNIT_OK(gw_epochs_raise(epochs, VM, 3, JOB, error));
        UNIT_OK(gw_epochs_raise(epochs, OTHER, 4, JOB, error));
    }
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) why = NULL;
        write_raw(*state, VM, texts[i]);
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        assert_refused(gw_epochs_raise(epochs, VM, 100, JOB, &why), &why, GW_ERR_STORE);
        assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_STORE);
        assert_refused(gw_epochs_close(epochs, VM, 3, &why), &why, GW_ERR_STORE);
        UNIT_OK(gw_epochs_check(epochs, OTHER, 4, JOB, error));
        assert_string_equal(gw_epochs_damaged(epochs)[0], VM);
        assert_null(gw_epochs_damaged(epochs)[1]);
    }
}

static void test_planted_is_damaged(void **state)
{
    g_autofree char *path = g_build_filename(*state, "epochs", VM, NULL);
    g_autoptr(GError) why = NULL;
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        UNIT_OK(gw_epochs_raise(epochs, VM, 3, JOB, error));
    }
    assert_int_equal(g_chmod(path, 0666), 0);
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_STORE);
    }
    g_unlink(path);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_STORE);
    }
    g_unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not hang */
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    assert_refused(gw_epochs_check(epochs, VM, 3, JOB, &why), &why, GW_ERR_STORE);
}

static void test_full_disk(void **state)
{
    g_autoptr(GError) why = NULL;
    {
        g_autoptr(GwEpochs) epochs = open_or_fail(*state);
        UNIT_OK(gw_epochs_raise(epochs, VM, 3, JOB, error));
        folder_set_full(TRUE);
        gboolean raised = gw_epochs_raise(epochs, VM, 4, JOB2, &why);
        gboolean closed = gw_epochs_close(epochs, VM, 3, NULL);
        folder_set_full(FALSE);
        assert_refused(raised, &why, GW_ERR_STORE);
        assert_false(closed);
        /* Nothing was changed. */
        UNIT_OK(gw_epochs_check(epochs, VM, 3, JOB, error));
    }
    g_autoptr(GwEpochs) epochs = open_or_fail(*state);
    UNIT_OK(gw_epochs_check(epochs, VM, 3, JOB, error));
    UNIT_OK(gw_epochs_raise(epochs, VM, 4, JOB2, error));
}

static void test_foreign_folder(void **state)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *inner = g_build_filename(*state, "open", NULL);

    assert_int_equal(g_mkdir(inner, 0777), 0);
    assert_int_equal(g_chmod(inner, 0777), 0);
    assert_null(gw_epochs_open(inner, &why));
    unit_assert_error(why, GW_ERR_STORE, "only this user");
}

/* The host's identity -------------------------------------------------------------------------- */

static GwAgentState *make_state(void)
{
    GwAgentState *made = g_new0(GwAgentState, 1);

    made->host_id = g_strdup("01J0000000000000000000000H");
    made->fabric_id = g_strdup("01J0000000000000000000000F");
    made->certificate_pem = g_strdup("-----BEGIN CERTIFICATE-----\n");
    made->key_pem = g_strdup("-----BEGIN PRIVATE KEY-----\n");
    made->ca_pem = g_strdup("-----BEGIN CERTIFICATE-----\nca\n");
    for (guint i = 0; i < 32; i++)
        made->ticket_public[i] = (guint8)(200 + i);
    made->incarnation = 4;
    made->run = g_strdup("run");
    made->offset_s = -86400;
    made->revoked = g_strsplit("0a 0b", " ", 0);
    return made;
}

static void test_state_survives(void **state)
{
    g_autoptr(GwAgentState) made = make_state();
    g_autoptr(GError) why = NULL;
    g_autofree char *path = g_build_filename(*state, "host.json", NULL);
    struct stat st;

    assert_null(gw_agent_state_load(*state, &why));
    unit_assert_error(why, GW_ERR_NOT_FOUND, "not joined");
    UNIT_OK(gw_agent_state_save(*state, made, error));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    g_autoptr(GwAgentState) back = gw_agent_state_load(*state, NULL);
    assert_non_null(back);
    assert_string_equal(back->key_pem, made->key_pem);
    assert_memory_equal(back->ticket_public, made->ticket_public, 32);
    assert_int_equal(back->incarnation, 4);
    assert_int_equal(back->offset_s, -86400);
    assert_int_equal(g_strv_length(back->revoked), 2);
}

static void test_state_damaged(void **state)
{
    g_autoptr(GwAgentState) made = make_state();
    g_autofree char *path = g_build_filename(*state, "host.json", NULL);
    g_autofree char *text = NULL;
    gsize length = 0;

    UNIT_OK(gw_agent_state_save(*state, made, error));
    assert_true(g_file_get_contents(path, &text, &length, NULL));
    for (gsize cut = 0; cut + 2 < length; cut += 7) {
        g_autoptr(GError) why = NULL;
        assert_true(g_file_set_contents(path, text, (gssize)cut, NULL));
        assert_int_equal(g_chmod(path, 0600), 0);
        assert_null(gw_agent_state_load(*state, &why));
        unit_assert_error(why, GW_ERR_STORE, "damaged");
        assert_null(strstr(why->message, "PRIVATE"));
    }
    assert_true(g_file_set_contents(path, text, (gssize)length, NULL));
    assert_int_equal(g_chmod(path, 0620), 0);
    g_autoptr(GError) why = NULL;
    assert_null(gw_agent_state_load(*state, &why));
    unit_assert_error(why, GW_ERR_STORE, "only this user");
}

static void test_state_full_disk(void **state)
{
    g_autoptr(GwAgentState) made = make_state();
    g_autoptr(GError) why = NULL;

    UNIT_OK(gw_agent_state_save(*state, made, error));
    made->incarnation = 9;
    folder_set_full(TRUE);
    gboolean ok = gw_agent_state_save(*state, made, &why);
    folder_set_full(FALSE);
    assert_refused(ok, &why, GW_ERR_STORE);
    g_autoptr(GwAgentState) back = gw_agent_state_load(*state, NULL);
    assert_int_equal(back->incarnation, 4);
}

/* The fabric's time is the host's plus the offset: setting the host's clock must not change it. */
static void test_clock_is_set(void **state)
{
    g_autoptr(GwAgentState) made = g_new0(GwAgentState, 1);
    const gint64 day_us = (gint64)86400 * G_USEC_PER_SEC;
    gint64 apart_us = 1000 * day_us;

    made->offset_s = -86400; /* the host is a day fast */
    assert_false(gw_agent_state_clock_set(made, &apart_us, apart_us + 900000));
    assert_int_equal(made->offset_s, -86400);
    assert_true(gw_agent_state_clock_set(made, &apart_us, 999 * day_us)); /* set right */
    assert_int_equal(made->offset_s, 0);
    assert_false(gw_agent_state_clock_set(made, &apart_us, 999 * day_us));
    assert_true(gw_agent_state_clock_set(made, &apart_us, 999 * day_us + 5500000));
    assert_int_equal(made->offset_s, -5);
    assert_int_equal(apart_us, 999 * day_us + 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_close_is_for_good, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_left_survives, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_is_one_vm, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_planted_is_damaged, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_folder, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_state_survives, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_state_damaged, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_state_full_disk, setup, folder_teardown),
        cmocka_unit_test(test_clock_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
