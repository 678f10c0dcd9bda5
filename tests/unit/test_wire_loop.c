/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/loop_internal.h"

typedef struct {
    GwLoop *loop;
    GArray *order;
    GMutex mutex;
    guint count;
} Notes;

typedef struct {
    Notes *notes;
    int number;
} Note;

static void write_down(gpointer data)
{
    Note *note = data;

    g_assert_true(gw_loop_is_current(note->notes->loop));
    g_array_append_val(note->notes->order, note->number);
    g_free(note);
}

static void nothing(gpointer data)
{
}

static Note *note_new(Notes *notes, int number)
{
    Note *note = g_new0(Note, 1);

    note->notes = notes;
    note->number = number;
    return note;
}

static void test_posts_in_order(void **state)
{
    Notes notes = { .loop = gw_loop_new("test") };

    notes.order = g_array_new(FALSE, FALSE, sizeof(int));
    assert_false(gw_loop_is_current(notes.loop));
    for (int i = 0; i < 10000; i++)
        gw_loop_post(notes.loop, write_down, note_new(&notes, i));
    gw_loop_run(notes.loop, nothing, NULL);
    assert_int_equal(notes.order->len, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(g_array_index(notes.order, int, i), i);
    g_array_unref(notes.order);
    gw_loop_free(notes.loop);
}

static void count_up(gpointer data)
{
    ((Notes *)data)->count++;
}

static gpointer post_many(gpointer data)
{
    Notes *notes = data;

    for (int i = 0; i < 5000; i++)
        gw_loop_post(notes->loop, count_up, notes);
    for (int i = 0; i < 500; i++)
        gw_loop_run(notes->loop, count_up, notes);
    return NULL;
}

static void test_posts_of_many_threads(void **state)
{
    Notes notes = { .loop = gw_loop_new("test") };
    GThread *threads[4];

    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("poster", post_many, &notes);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    gw_loop_free(notes.loop);
    assert_int_equal(notes.count, 4 * 5500);
}

static void post_again(gpointer data)
{
    Notes *notes = data;

    if (++notes->count < 100)
        gw_loop_post(notes->loop, post_again, notes);
}

static void test_ends_after_what_was_posted(void **state)
{
    Notes notes = { .loop = gw_loop_new("test") };

    gw_loop_post(notes.loop, post_again, &notes);
    gw_loop_free(notes.loop);
    assert_int_equal(notes.count, 100);
}

/* Timers -------------------------------------------------------------------------------------- */

typedef struct {
    GwTimer *timer;
    gint64 at_us;
    guint fired;
    gint64 *last_us;
} Alarm;

static void on_alarm(gpointer user)
{
    Alarm *alarm = user;

    assert_true(g_get_monotonic_time() >= alarm->at_us);
    assert_true(alarm->at_us >= *alarm->last_us);
    *alarm->last_us = alarm->at_us;
    alarm->fired++;
}

static void test_timers_in_order(void **state)
{
    GwLoop *loop = gw_loop_new_manual();
    gint64 base_us = g_get_monotonic_time(), last_us = 0;
    Alarm alarms[500] = { 0 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    guint set = 0, fired = 0;

    for (guint i = 0; i < G_N_ELEMENTS(alarms); i++) {
        alarms[i].last_us = &last_us;
        alarms[i].timer = gw_timer_new(loop, on_alarm, &alarms[i]);
    }
    /* Set, moved and stopped in any order: the heap holds. */
    for (guint i = 0; i < 5000; i++) {
        Alarm *alarm = &alarms[g_rand_int_range(rand, 0, G_N_ELEMENTS(alarms))];

        alarm->at_us =
            g_rand_int_range(rand, 0, 4) == 0 ? 0 : base_us + g_rand_int_range(rand, 1, 20000);
        gw_timer_set(alarm->timer, alarm->at_us);
    }
    for (guint i = 0; i < G_N_ELEMENTS(alarms); i++)
        set += alarms[i].at_us != 0;
    while (fired < set) {
        gw_loop_turn(loop, 100);
        fired = 0;
        for (guint i = 0; i < G_N_ELEMENTS(alarms); i++)
            fired += alarms[i].fired;
    }
    for (guint i = 0; i < G_N_ELEMENTS(alarms); i++) {
        assert_int_equal(alarms[i].fired, alarms[i].at_us != 0);
        gw_timer_free(alarms[i].timer);
    }
    gw_loop_free(loop);
}

static void on_now_again(gpointer user)
{
    Alarm *alarm = user;

    alarm->fired++;
    gw_timer_set(alarm->timer, 1);
}

static void on_free_self(gpointer user)
{
    Alarm *alarm = user;

    alarm->fired++;
    g_clear_pointer(&alarm->timer, gw_timer_free);
}

/* One that always asks for "now" gets one call in a turn. */
static void test_timers_leave_turns(void **state)
{
    GwLoop *loop = gw_loop_new_manual();
    Alarm greedy = { 0 }, once = { 0 };

    greedy.timer = gw_timer_new(loop, on_now_again, &greedy);
    once.timer = gw_timer_new(loop, on_free_self, &once);
    gw_timer_set(greedy.timer, 1);
    gw_timer_set(once.timer, 1);
    gw_loop_turn(loop, 0);
    assert_int_equal(greedy.fired, 1);
    assert_int_equal(once.fired, 1);
    assert_null(once.timer);
    g_usleep(10);
    gw_loop_turn(loop, 0);
    assert_int_equal(greedy.fired, 2);
    gw_timer_free(greedy.timer);
    gw_loop_free(loop);
}

/* Watches ------------------------------------------------------------------------------------- */

typedef struct {
    GwWatch *watch, *other;
    guint called;
} Eye;

static void on_remove_both(gpointer user, guint32 events)
{
    Eye *eye = user;

    eye->called++;
    g_clear_pointer(&eye->watch, gw_watch_free);
    g_clear_pointer(&eye->other, gw_watch_free);
}

/* Both are ready; whichever is called first removes itself and the other. */
static void test_watches_removed_in_callbacks(void **state)
{
    GwLoop *loop = gw_loop_new_manual();
    int one[2], two[2];
    Eye eye = { 0 };

    assert_int_equal(pipe(one), 0);
    assert_int_equal(pipe(two), 0);
    assert_int_equal(write(one[1], "x", 1), 1);
    assert_int_equal(write(two[1], "x", 1), 1);
    eye.watch = gw_watch_new(loop, one[0], EPOLLIN, on_remove_both, &eye);
    eye.other = gw_watch_new(loop, two[0], EPOLLIN, on_remove_both, &eye);
    gw_loop_turn(loop, 100);
    gw_loop_turn(loop, 0);
    assert_int_equal(eye.called, 1);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
    gw_loop_free(loop);
}

static void on_event(gpointer user, guint32 events)
{
    ((Eye *)user)->called++;
}

/* A hang-up is not told to one that waits for nothing. */
static void test_watch_for_nothing(void **state)
{
    GwLoop *loop = gw_loop_new_manual();
    int ends[2];
    Eye eye = { 0 };

    assert_int_equal(pipe(ends), 0);
    eye.watch = gw_watch_new(loop, ends[0], EPOLLIN, on_event, &eye);
    close(ends[1]);
    gw_loop_turn(loop, 0);
    gw_loop_turn(loop, 0);
    assert_int_equal(eye.called, 2); /* level-triggered */
    gw_watch_set(eye.watch, 0);
    gw_loop_turn(loop, 0);
    assert_int_equal(eye.called, 2);
    gw_watch_set(eye.watch, EPOLLIN);
    gw_loop_turn(loop, 0);
    assert_int_equal(eye.called, 3);
    gw_watch_free(eye.watch);
    close(ends[0]);
    gw_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_in_order),
        cmocka_unit_test(test_posts_of_many_threads),
        cmocka_unit_test(test_ends_after_what_was_posted),
        cmocka_unit_test(test_timers_in_order),
        cmocka_unit_test(test_timers_leave_turns),
        cmocka_unit_test(test_watches_removed_in_callbacks),
        cmocka_unit_test(test_watch_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
