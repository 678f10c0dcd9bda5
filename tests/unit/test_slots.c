/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plan/plan.h"

static void add_host(GwFabric *fabric, const char *id, gint64 live, gint64 storage)
{
    GwHost *host = gw_host_new_default();

    host->id = g_strdup(id);
    host->name = g_strdup(id);
    host->live_limit = live;
    host->storage_limit = storage;
    gw_fabric_put_host(fabric, host);
}

static const GwJob *add_job(GwFabric *fabric, const char *id, GwJobState state, GwTransfer transfer,
                            const char *from, const char *to)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup(id);
    job->state = (int)state;
    job->transfer = (int)transfer;
    job->source_host_id = g_strdup(from);
    job->destination_host_id = g_strdup(to);
    gw_fabric_put_job(fabric, job);
    return job;
}

static GwFabric *two_hosts(void)
{
    GwFabric *fabric = gw_fabric_new();

    add_host(fabric, "kvm1", 2, 2);
    add_host(fabric, "kvm2", 2, 2);
    add_host(fabric, "kvm3", 2, 2);
    return fabric;
}

static void states_that_hold(void **state)
{
    static const gboolean holds[] = {
        [GW_JOB_CHECKING] = TRUE, [GW_JOB_QUEUED] = FALSE,    [GW_JOB_PREPARING] = TRUE,
        [GW_JOB_COPYING] = TRUE,  [GW_JOB_SETTLING] = TRUE,   [GW_JOB_COMMITTING] = TRUE,
        [GW_JOB_CLEANING] = TRUE, [GW_JOB_HELD] = TRUE,       [GW_JOB_DONE] = FALSE,
        [GW_JOB_FAILED] = FALSE,  [GW_JOB_CANCELLED] = FALSE,
    };
    for (guint i = 0; i < G_N_ELEMENTS(holds); i++) {
        g_autoptr(GwFabric) fabric = two_hosts();
        add_job(fabric, "J", (GwJobState)i, GW_TRANSFER_LIVE, "kvm1", "kvm2");
        assert_int_equal(gw_slots_in_use(fabric, "kvm1").live, holds[i] ? 1 : 0);
        assert_int_equal(gw_slots_in_use(fabric, "kvm2").live, holds[i] ? 1 : 0);
        assert_int_equal(gw_slots_in_use(fabric, "kvm3").live, 0);
    }
}

static void a_transfer_takes(void **state)
{
    static const struct {
        GwTransfer transfer;
        gint64 live, storage;
    } rows[] = {
        { GW_TRANSFER_NONE, 0, 0 },     { GW_TRANSFER_LIVE, 1, 0 },
        { GW_TRANSFER_LIVE_VSM, 1, 1 }, /* R22 */
        { GW_TRANSFER_NETWORK, 0, 1 },  { GW_TRANSFER_FAST_COPY, 0, 1 },
        { GW_TRANSFER_SAN, 0, 0 },      { GW_TRANSFER_REGISTER, 0, 0 },
        { GW_TRANSFER_STORAGE, 0, 1 },  { (GwTransfer)99, 0, 0 },
        { (GwTransfer)-1, 0, 0 },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        GwSlots slots = gw_slots_of_transfer(rows[i].transfer);
        assert_int_equal(slots.live, rows[i].live);
        assert_int_equal(slots.storage, rows[i].storage);
    }
}

/* R20: 1 + 1, 2 out, or 2 in; the third waits, and says why. */
static void both_ends_count(void **state)
{
    static const struct {
        const char *from_a, *to_a, *from_b, *to_b;
    } rows[] = { { "kvm1", "kvm2", "kvm1", "kvm3" },   /* 2 out */
                 { "kvm2", "kvm1", "kvm3", "kvm1" },   /* 2 in */
                 { "kvm2", "kvm1", "kvm1", "kvm3" } }; /* 1 + 1 */

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwFabric) fabric = two_hosts();
        g_autofree char *why = NULL;
        add_job(fabric, "A", GW_JOB_COPYING, GW_TRANSFER_LIVE, rows[i].from_a, rows[i].to_a);
        const GwJob *b =
            add_job(fabric, "B", GW_JOB_QUEUED, GW_TRANSFER_LIVE, rows[i].from_b, rows[i].to_b);
        assert_true(gw_slots_fit(fabric, b, NULL));
        ((GwJob *)b)->state = GW_JOB_HELD;
        const GwJob *c = add_job(fabric, "C", GW_JOB_QUEUED, GW_TRANSFER_LIVE, "kvm2", "kvm1");
        assert_false(gw_slots_fit(fabric, c, &why));
        assert_string_equal(why, "kvm1 runs 2 of 2 live migrations");
        assert_false(gw_slots_fit(fabric, c, NULL));
    }
}

/* R21: two live and two storage migrations at once; Live (VSM) needs one of each. */
static void kinds_are_independent(void **state)
{
    g_autoptr(GwFabric) fabric = two_hosts();
    g_autofree char *why = NULL;

    add_job(fabric, "A", GW_JOB_COPYING, GW_TRANSFER_NETWORK, "kvm1", "kvm2");
    add_job(fabric, "B", GW_JOB_COPYING, GW_TRANSFER_NETWORK, "kvm1", "kvm2");
    const GwJob *live = add_job(fabric, "C", GW_JOB_QUEUED, GW_TRANSFER_LIVE, "kvm1", "kvm2");
    assert_true(gw_slots_fit(fabric, live, &why));
    assert_null(why);
    const GwJob *vsm = add_job(fabric, "D", GW_JOB_QUEUED, GW_TRANSFER_LIVE_VSM, "kvm3", "kvm2");
    assert_false(gw_slots_fit(fabric, vsm, &why));
    assert_string_equal(why, "kvm2 runs 2 of 2 storage migrations");
    assert_int_equal(gw_slots_in_use(fabric, "kvm2").storage, 2);
}

static void a_job_does_not_count_against_itself(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    add_host(fabric, "kvm1", 1, 0);
    add_host(fabric, "kvm2", 1, 0);
    const GwJob *job = add_job(fabric, "A", GW_JOB_PREPARING, GW_TRANSFER_LIVE, "kvm1", "kvm2");
    assert_true(gw_slots_fit(fabric, job, NULL));
}

static void a_move_within_a_host_counts_once(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    add_host(fabric, "kvm1", 1, 1);
    add_job(fabric, "A", GW_JOB_COPYING, GW_TRANSFER_NETWORK, "kvm1", "kvm1");
    assert_int_equal(gw_slots_in_use(fabric, "kvm1").storage, 1);
}

static void limits_of_zero_and_lost_hosts(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autofree char *why = NULL;
    add_host(fabric, "kvm1", 2, 0);
    add_host(fabric, "kvm2", 0, 2);

    const GwJob *live = add_job(fabric, "A", GW_JOB_QUEUED, GW_TRANSFER_LIVE, "kvm1", "kvm2");
    assert_false(gw_slots_fit(fabric, live, &why));
    assert_string_equal(why, "kvm2 allows no live migrations (its limit is 0)");
    g_clear_pointer(&why, g_free);
    const GwJob *vsm = add_job(fabric, "B", GW_JOB_QUEUED, GW_TRANSFER_LIVE_VSM, "kvm1", "kvm2");
    assert_false(gw_slots_fit(fabric, vsm, &why));
    assert_string_equal(why, "kvm1 allows no storage migrations (its limit is 0)");
    g_clear_pointer(&why, g_free);
    const GwJob *lost = add_job(fabric, "C", GW_JOB_QUEUED, GW_TRANSFER_LIVE, "kvm1", "gone");
    assert_false(gw_slots_fit(fabric, lost, &why));
    assert_string_equal(why, "host gone is no longer managed");
    assert_false(gw_slots_fit(fabric, lost, NULL));
    /* A job that moves nothing (proving a share) takes nothing, wherever. */
    const GwJob *proof = add_job(fabric, "D", GW_JOB_QUEUED, GW_TRANSFER_NONE, "kvm2", NULL);
    assert_true(gw_slots_fit(fabric, proof, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_that_hold),
        cmocka_unit_test(a_transfer_takes),
        cmocka_unit_test(both_ends_count),
        cmocka_unit_test(kinds_are_independent),
        cmocka_unit_test(a_job_does_not_count_against_itself),
        cmocka_unit_test(a_move_within_a_host_counts_once),
        cmocka_unit_test(limits_of_zero_and_lost_hosts),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
