/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/feed.h"

static void push(GwFeed *feed, int n)
{
    gw_feed_push(feed, "vm", g_strdup_printf("{\"n\":%d}", n));
}

static GPtrArray *take(GwFeed *feed, guint64 after, guint max, gboolean *lost)
{
    return gw_feed_wait(feed, after, max, 0, lost);
}

static const char *data_of(GPtrArray *items, guint i)
{
    return ((GwFeedItem *)items->pdata[i])->data;
}

static void items_come_in_order(void **state)
{
    GwFeed *feed = gw_feed_new(8);
    guint64 start = gw_feed_last(feed);
    gboolean lost = TRUE;

    for (int i = 1; i <= 5; i++)
        push(feed, i);
    g_autoptr(GPtrArray) some = take(feed, start, 3, &lost);
    assert_false(lost);
    assert_int_equal(some->len, 3);
    assert_string_equal(data_of(some, 0), "{\"n\":1}");
    assert_int_equal(((GwFeedItem *)some->pdata[2])->id, start + 3);
    g_autoptr(GPtrArray) rest = take(feed, start + 3, 100, &lost);
    assert_false(lost);
    assert_int_equal(rest->len, 2);
    assert_string_equal(data_of(rest, 1), "{\"n\":5}");
    assert_int_equal(gw_feed_last(feed), start + 5);
    gw_feed_free(feed);
}

static void nothing_new_is_not_lost(void **state)
{
    GwFeed *feed = gw_feed_new(4);
    gboolean lost = TRUE;

    g_autoptr(GPtrArray) none = take(feed, gw_feed_last(feed), 10, &lost);
    assert_false(lost);
    assert_int_equal(none->len, 0);
    gw_feed_free(feed);
}

static void a_reader_behind_the_ring_has_lost(void **state)
{
    GwFeed *feed = gw_feed_new(4);
    guint64 start = gw_feed_last(feed);
    gboolean lost = FALSE;

    for (int i = 1; i <= 5; i++)
        push(feed, i);
    g_autoptr(GPtrArray) none = take(feed, start, 10, &lost);
    assert_true(lost);
    assert_int_equal(none->len, 0);
    g_autoptr(GPtrArray) all = take(feed, start + 1, 10, &lost); /* exactly what is held */
    assert_false(lost);
    assert_int_equal(all->len, 4);
    gw_feed_free(feed);
}

static void large_items_push_out_more(void **state)
{
    GwFeed *feed = gw_feed_new(1000);
    guint64 start = gw_feed_last(feed);
    const gsize mib = 1024 * 1024;
    gboolean lost = FALSE;

    for (int i = 1; i <= 40; i++)
        gw_feed_push(feed, "host", g_strnfill(mib, 'x'));
    g_autoptr(GPtrArray) held = take(feed, start + 24, 100, &lost);
    assert_false(lost);
    assert_int_equal(held->len, 16);
    g_autoptr(GPtrArray) none = take(feed, start + 23, 100, &lost);
    assert_true(lost);
    assert_int_equal(none->len, 0);

    /* One that is larger than all that is allowed pushes out the rest, and is served. */
    gw_feed_push(feed, "host", g_strnfill(20 * mib, 'x'));
    g_autoptr(GPtrArray) huge = take(feed, start + 40, 100, &lost);
    assert_false(lost);
    assert_int_equal(huge->len, 1);
    push(feed, 1);
    g_autoptr(GPtrArray) after = take(feed, start + 41, 100, &lost);
    assert_false(lost);
    assert_int_equal(after->len, 1);
    assert_string_equal(data_of(after, 0), "{\"n\":1}");
    gw_feed_free(feed);
}

static void numbers_of_another_process_are_lost(void **state)
{
    GwFeed *feed = gw_feed_new(4);
    gboolean lost = FALSE;

    g_autoptr(GPtrArray) zero = take(feed, 0, 10, &lost);
    assert_true(lost);
    lost = FALSE;
    g_autoptr(GPtrArray) old = take(feed, gw_feed_last(feed) - 1, 10, &lost);
    assert_true(lost);
    lost = FALSE;
    g_autoptr(GPtrArray) future = take(feed, G_MAXUINT64, 10, &lost);
    assert_true(lost);
    assert_int_equal(zero->len + old->len + future->len, 0);
    gw_feed_free(feed);
}

static gpointer wait_for_one(gpointer data)
{
    GwFeed *feed = data;
    gboolean lost = FALSE;
    g_autoptr(GPtrArray) items =
        gw_feed_wait(feed, gw_feed_last(feed), 10, 30 * G_USEC_PER_SEC, &lost);

    return GUINT_TO_POINTER(lost ? 999 : items->len);
}

static void a_push_wakes_a_reader(void **state)
{
    GwFeed *feed = gw_feed_new(4);
    gint64 began = g_get_monotonic_time();
    GThread *reader = g_thread_new("reader", wait_for_one, feed);

    g_usleep(50000);
    push(feed, 1);
    assert_int_equal(GPOINTER_TO_UINT(g_thread_join(reader)), 1);
    assert_true(g_get_monotonic_time() - began < 5 * G_USEC_PER_SEC);
    gw_feed_free(feed);
}

static void closing_wakes_readers_for_good(void **state)
{
    GwFeed *feed = gw_feed_new(4);
    gint64 began = g_get_monotonic_time();
    GThread *reader = g_thread_new("reader", wait_for_one, feed);

    g_usleep(50000);
    gw_feed_close(feed);
    assert_int_equal(GPOINTER_TO_UINT(g_thread_join(reader)), 0);
    assert_int_equal(GPOINTER_TO_UINT(wait_for_one(feed)), 0);
    assert_true(g_get_monotonic_time() - began < 5 * G_USEC_PER_SEC);
    gw_feed_free(feed);
}

static void an_item_outlives_the_feed(void **state)
{
    GwFeed *feed = gw_feed_new(1);
    guint64 start = gw_feed_last(feed);
    gboolean lost = FALSE;

    push(feed, 1);
    g_autoptr(GPtrArray) items = take(feed, start, 1, &lost);
    push(feed, 2);
    gw_feed_free(feed);
    assert_string_equal(data_of(items, 0), "{\"n\":1}");
}

static gpointer push_many(gpointer feed)
{
    for (int i = 0; i < 20000; i++)
        push(feed, i);
    return NULL;
}

/* Readers beside a fast writer see strictly rising numbers without a gap, or are told of one. */
static void a_fast_writer_never_leaves_an_unsaid_gap(void **state)
{
    GwFeed *feed = gw_feed_new(64);
    guint64 after = gw_feed_last(feed);
    guint64 end = after + 20000;
    GThread *writer = g_thread_new("writer", push_many, feed);

    while (after < end) {
        gboolean lost = FALSE;
        g_autoptr(GPtrArray) items = gw_feed_wait(feed, after, 16, G_USEC_PER_SEC, &lost);
        if (lost)
            after = gw_feed_last(feed);
        for (guint i = 0; i < items->len; i++)
            assert_int_equal(((GwFeedItem *)items->pdata[i])->id, ++after);
    }
    g_thread_join(writer);
    assert_int_equal(after, end);
    gw_feed_free(feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order),
        cmocka_unit_test(nothing_new_is_not_lost),
        cmocka_unit_test(a_reader_behind_the_ring_has_lost),
        cmocka_unit_test(large_items_push_out_more),
        cmocka_unit_test(numbers_of_another_process_are_lost),
        cmocka_unit_test(a_push_wakes_a_reader),
        cmocka_unit_test(closing_wakes_readers_for_good),
        cmocka_unit_test(an_item_outlives_the_feed),
        cmocka_unit_test(a_fast_writer_never_leaves_an_unsaid_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
