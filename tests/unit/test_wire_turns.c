/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose turn it is, and how fast, by counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/bucket.h"
#include "wire/scheduler.h"

typedef struct {
    GwTurn turn;
    guint64 sent, backlog;
} Sender;

static void join(GwScheduler *scheduler, Sender *sender, GwClass class, const char *group,
                 guint weight)
{
    *sender = (Sender){ .backlog = G_MAXINT64 };
    sender->turn.owner = sender;
    gw_scheduler_join(scheduler, &sender->turn, &(GwStreamShare){ class, group, weight });
    gw_scheduler_set(&sender->turn, TRUE);
}

/* Sends @bytes in all; pieces are at most @piece. */
static void run(GwScheduler *scheduler, guint64 bytes, gsize piece)
{
    for (guint64 sent = 0; sent < bytes;) {
        gsize room = 0;
        GwTurn *turn = gw_scheduler_next(scheduler, GW_CLASS_BULK, &room);

        if (turn == NULL)
            return;
        Sender *sender = turn->owner;
        gsize n = (gsize)MIN(sender->backlog, MIN(room, piece));
        assert_true(room >= 1);
        sender->sent += n;
        sender->backlog -= n;
        sent += n;
        gw_scheduler_sent(turn, n);
        gw_scheduler_set(turn, sender->backlog > 0);
    }
}

static double jain(const double *shares, guint n)
{
    double total = 0, squares = 0;

    for (guint i = 0; i < n; i++) {
        total += shares[i];
        squares += shares[i] * shares[i];
    }
    return total * total / (n * squares);
}

/* A VM with seven streams gets what one with one gets, whatever the size of their pieces. */
static void test_groups_are_equal(void **state)
{
    GwScheduler *scheduler = gw_scheduler_new();
    Sender senders[8];

    join(scheduler, &senders[0], GW_CLASS_NORMAL, "vm-a", 0);
    for (guint i = 1; i < 8; i++)
        join(scheduler, &senders[i], GW_CLASS_NORMAL, "vm-b", 0);
    run(scheduler, 100 * 1000 * 1000, 9000);
    guint64 b = 0;
    for (guint i = 1; i < 8; i++)
        b += senders[i].sent;
    const double shares[2] = { (double)senders[0].sent, (double)b };
    assert_true(jain(shares, 2) > 0.999);
    /* And within the group as well. */
    for (guint i = 2; i < 8; i++)
        assert_true(senders[i].sent * 100 > senders[1].sent * 98 &&
                    senders[i].sent * 98 < senders[1].sent * 100);
    for (guint i = 0; i < 8; i++)
        gw_scheduler_leave(&senders[i].turn);
    gw_scheduler_free(scheduler);
}

static void test_weights(void **state)
{
    GwScheduler *scheduler = gw_scheduler_new();
    Sender light, usual, heavy;

    join(scheduler, &light, GW_CLASS_NORMAL, "light", 1);
    join(scheduler, &usual, GW_CLASS_NORMAL, "usual", 0);
    join(scheduler, &heavy, GW_CLASS_NORMAL, "heavy", 100);
    run(scheduler, 222 * 1000 * 1000, G_MAXSIZE);
    assert_in_range(light.sent, 1900 * 1000, 2100 * 1000);
    assert_in_range(usual.sent, 19 * 1000 * 1000, 21 * 1000 * 1000);
    assert_in_range(heavy.sent, 195 * 1000 * 1000, 205 * 1000 * 1000);
    gw_scheduler_leave(&light.turn);
    gw_scheduler_leave(&usual.turn);
    gw_scheduler_leave(&heavy.turn);
    gw_scheduler_free(scheduler);
}

/* A later class gets what an earlier one leaves, and nothing before. */
static void test_classes(void **state)
{
    GwScheduler *scheduler = gw_scheduler_new();
    Sender senders[GW_CLASS_COUNT];
    gsize room = 0;

    for (int i = GW_CLASS_COUNT - 1; i >= 0; i--) {
        join(scheduler, &senders[i], (GwClass)i, "vm", 0);
        senders[i].backlog = 1000000;
    }
    for (int i = 0; i < GW_CLASS_COUNT; i++) {
        run(scheduler, 1000000, 5000);
        for (int j = 0; j < GW_CLASS_COUNT; j++)
            assert_int_equal(senders[j].sent, j <= i ? 1000000 : 0);
    }
    assert_null(gw_scheduler_next(scheduler, GW_CLASS_BULK, &room));
    gw_scheduler_set(&senders[GW_CLASS_BULK].turn, TRUE);
    assert_null(gw_scheduler_next(scheduler, GW_CLASS_CONTROL, &room));
    assert_ptr_equal(gw_scheduler_next(scheduler, GW_CLASS_BULK, &room),
                     &senders[GW_CLASS_BULK].turn);
    for (int i = 0; i < GW_CLASS_COUNT; i++)
        gw_scheduler_leave(&senders[i].turn);
    gw_scheduler_free(scheduler);
}

/* Comings and goings at random: nothing is lost, nobody is asked who has nothing. */
static void test_comings_and_goings(void **state)
{
    GwScheduler *scheduler = gw_scheduler_new();
    static const char *const groups[] = { "a", "b", NULL };
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    Sender senders[40] = { 0 };

    for (guint i = 0; i < 200000; i++) {
        Sender *sender = &senders[g_rand_int_range(rand, 0, G_N_ELEMENTS(senders))];
        gsize room = 0;

        if (sender->turn.group == NULL)
            join(scheduler, sender, (GwClass)g_rand_int_range(rand, 0, GW_CLASS_COUNT),
                 groups[g_rand_int_range(rand, 0, 3)], (guint)g_rand_int_range(rand, 0, 120));
        else if (g_rand_int_range(rand, 0, 5) == 0)
            gw_scheduler_leave(&sender->turn);
        else
            gw_scheduler_set(&sender->turn, g_rand_boolean(rand));
        GwTurn *turn = gw_scheduler_next(scheduler, GW_CLASS_BULK, &room);
        if (turn != NULL) {
            assert_true(turn->active && turn->group != NULL && room >= 1);
            gw_scheduler_sent(turn, (gsize)g_rand_int_range(rand, 0, (gint32)MIN(room, 65536) + 1));
        } else {
            for (guint j = 0; j < G_N_ELEMENTS(senders); j++)
                assert_false(senders[j].turn.group != NULL && senders[j].turn.active);
        }
    }
    for (guint j = 0; j < G_N_ELEMENTS(senders); j++)
        gw_scheduler_leave(&senders[j].turn);
    gw_scheduler_free(scheduler);
}

/* Rates --------------------------------------------------------------------------------------- */

/* All of @n take what they get, for @seconds of a clock that is only counted. */
static void spend(GwGrant *grants, guint n, gint64 *spent, gint64 from_us, gint64 seconds)
{
    for (gint64 now_us = from_us; now_us < from_us + seconds * G_USEC_PER_SEC; now_us += 1000) {
        for (guint i = 0; i < n; i++) {
            gint64 when_us = 0, room = gw_grant_room(&grants[i], now_us, &when_us);

            if (room == 0) {
                assert_true(when_us > now_us);
                continue;
            }
            gw_grant_spend(&grants[i], room);
            spent[i] += room;
        }
    }
}

static void test_rate_is_kept(void **state)
{
    static const gint64 rates[] = { 20 * 1000, 1000 * 1000, 125 * 1000 * 1000 };

    for (guint i = 0; i < G_N_ELEMENTS(rates); i++) {
        GwBucket *bucket = gw_bucket_new();
        GwGrant grant = { 0 };
        gint64 spent = 0;

        gw_grant_set(&grant, bucket);
        gw_bucket_set_rate(bucket, rates[i]);
        spend(&grant, 1, &spent, 50 * G_USEC_PER_SEC, 10);
        assert_in_range(spent, rates[i] * 10 * 95 / 100, rates[i] * 10 * 105 / 100);
        gw_grant_set(&grant, NULL);
        gw_bucket_unref(bucket);
    }
}

static void test_shared_rate_is_fair(void **state)
{
    GwBucket *bucket = gw_bucket_new();
    GwGrant grants[5] = { 0 };
    gint64 spent[5] = { 0 }, total = 0;
    double shares[5];

    gw_bucket_set_rate(bucket, 10 * 1000 * 1000);
    for (guint i = 0; i < 5; i++)
        gw_grant_set(&grants[i], bucket);
    spend(grants, 5, spent, 50 * G_USEC_PER_SEC, 10);
    for (guint i = 0; i < 5; i++) {
        total += spent[i];
        shares[i] = (double)spent[i];
        gw_grant_set(&grants[i], NULL);
    }
    assert_in_range(total, 95 * 1000 * 1000, 105 * 1000 * 1000);
    assert_true(jain(shares, 5) > 0.99);
    gw_bucket_unref(bucket);
}

/* What was not used for an hour is no burst; a new rate reaches those that wait for the old. */
static void test_no_burst_and_new_rate(void **state)
{
    GwBucket *bucket = gw_bucket_new();
    GwGrant grant = { 0 };
    gint64 spent = 0, when_us = 0, hour_us = 3600 * (gint64)G_USEC_PER_SEC;

    gw_grant_set(&grant, bucket);
    assert_int_equal(gw_grant_room(&grant, hour_us, &when_us), G_MAXINT64);
    gw_grant_spend(&grant, 1000 * 1000 * 1000);
    gw_bucket_set_rate(bucket, 1000 * 1000);
    spend(&grant, 1, &spent, hour_us, 1);
    spent = 0;
    spend(&grant, 1, &spent, 2 * hour_us, 1);
    assert_in_range(spent, 950 * 1000, 1100 * 1000);

    gw_bucket_set_rate(bucket, 1); /* a slice of it would take a quarter of an hour */
    while (gw_grant_room(&grant, 3 * hour_us, &when_us) > 0)
        gw_grant_spend(&grant, gw_grant_room(&grant, 3 * hour_us, &when_us));
    gw_bucket_set_rate(bucket, 1000 * 1000);
    assert_true(when_us <= 3 * hour_us + G_USEC_PER_SEC / 10);
    assert_true(gw_grant_room(&grant, when_us, &when_us) > 0);
    gw_grant_set(&grant, NULL);
    gw_bucket_unref(bucket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_equal),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_comings_and_goings),
        cmocka_unit_test(test_rate_is_kept),
        cmocka_unit_test(test_shared_rate_is_fair),
        cmocka_unit_test(test_no_burst_and_new_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
