/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire/loop_internal.h"

#define EVENTS_PER_TURN 64

typedef struct {
    void (*fn)(gpointer data);
    gpointer data;
} Post;

struct GwLoop {
    int epoll_fd, event_fd;
    GThread *thread;
    gboolean manual;

    GMutex mutex; /* posts, stopping */
    GArray *posts;
    gboolean stopping;

    GArray *running;   /* the posts of this turn */
    GPtrArray *timers; /* a heap, the earliest first */
    gint64 turn_us;    /* while timers run: the time of their turn, else 0 */
    GPtrArray *buried; /* watches removed in this turn, which may still be in its events */
    guint n_watches, n_timers;
};

struct GwWatch {
    GwLoop *loop;
    int fd;
    guint32 events;
    gboolean dead;
    GwReady ready;
    gpointer user;
};

struct GwTimer {
    GwLoop *loop;
    gint64 at_us; /* 0: not set */
    guint index;  /* in the heap, where it is set */
    void (*due)(gpointer user);
    gpointer user;
};

/* Timers ------------------------------------------------------------------------------------- */

static GwTimer *timer_at(GwLoop *loop, guint index)
{
    return g_ptr_array_index(loop->timers, index);
}

static void heap_place(GwLoop *loop, guint index, GwTimer *timer)
{
    loop->timers->pdata[index] = timer;
    timer->index = index;
}

static void heap_up(GwLoop *loop, guint index)
{
    GwTimer *timer = timer_at(loop, index);

    while (index > 0 && timer_at(loop, (index - 1) / 2)->at_us > timer->at_us) {
        heap_place(loop, index, timer_at(loop, (index - 1) / 2));
        index = (index - 1) / 2;
    }
    heap_place(loop, index, timer);
}

static void heap_down(GwLoop *loop, guint index)
{
    GwTimer *timer = timer_at(loop, index);

    for (guint child; (child = 2 * index + 1) < loop->timers->len; index = child) {
        if (child + 1 < loop->timers->len &&
            timer_at(loop, child + 1)->at_us < timer_at(loop, child)->at_us)
            child++;
        if (timer_at(loop, child)->at_us >= timer->at_us)
            break;
        heap_place(loop, index, timer_at(loop, child));
    }
    heap_place(loop, index, timer);
}

static void heap_remove(GwTimer *timer)
{
    GwLoop *loop = timer->loop;
    guint index = timer->index;
    GwTimer *last = timer_at(loop, loop->timers->len - 1);

    g_ptr_array_set_size(loop->timers, (gint)loop->timers->len - 1);
    timer->at_us = 0;
    if (last == timer)
        return;
    heap_place(loop, index, last);
    heap_up(loop, index);
    heap_down(loop, last->index);
}

GwTimer *gw_timer_new(GwLoop *loop, void (*due)(gpointer user), gpointer user)
{
    GwTimer *timer = g_new0(GwTimer, 1);

    timer->loop = loop;
    timer->due = due;
    timer->user = user;
    loop->n_timers++;
    return timer;
}

void gw_timer_set(GwTimer *timer, gint64 at_us)
{
    GwLoop *loop = timer->loop;

    if (timer->at_us != 0)
        heap_remove(timer);
    if (at_us == 0)
        return;
    /* What a timer sets while timers run comes with the next turn: otherwise one that always asks
     * for "now" would keep everything else waiting. */
    timer->at_us = MAX(at_us, loop->turn_us + 1);
    g_ptr_array_add(loop->timers, timer);
    heap_up(loop, loop->timers->len - 1);
}

void gw_timer_free(GwTimer *timer)
{
    if (timer == NULL)
        return;
    gw_timer_set(timer, 0);
    timer->loop->n_timers--;
    g_free(timer);
}

static void run_timers(GwLoop *loop)
{
    loop->turn_us = g_get_monotonic_time();
    while (loop->timers->len > 0 && timer_at(loop, 0)->at_us <= loop->turn_us) {
        GwTimer *timer = timer_at(loop, 0);

        heap_remove(timer);
        timer->due(timer->user);
    }
    loop->turn_us = 0;
}

/* Watches ------------------------------------------------------------------------------------ */

static void control(GwWatch *watch, int operation, guint32 events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    if (epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event) < 0 &&
        operation != EPOLL_CTL_DEL)
        g_critical("cannot wait on descriptor %d: %s", watch->fd, g_strerror(errno));
}

GwWatch *gw_watch_new(GwLoop *loop, int fd, guint32 events, GwReady ready, gpointer user)
{
    GwWatch *watch = g_new0(GwWatch, 1);

    watch->loop = loop;
    watch->fd = fd;
    watch->ready = ready;
    watch->user = user;
    loop->n_watches++;
    gw_watch_set(watch, events);
    return watch;
}

void gw_watch_set(GwWatch *watch, guint32 events)
{
    if (watch->events == events)
        return;
    /* One that waits for nothing leaves the set, which would otherwise tell of hang-ups without
     * end. */
    control(watch,
            events == 0          ? EPOLL_CTL_DEL
            : watch->events == 0 ? EPOLL_CTL_ADD
                                 : EPOLL_CTL_MOD,
            events);
    watch->events = events;
}

void gw_watch_free(GwWatch *watch)
{
    if (watch == NULL)
        return;
    gw_watch_set(watch, 0);
    watch->dead = TRUE;
    watch->loop->n_watches--;
    g_ptr_array_add(watch->loop->buried, watch);
}

static void run_watches(GwLoop *loop, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        GwWatch *watch = events[i].data.ptr;
        guint64 count;

        if (watch == NULL) {
            if (read(loop->event_fd, &count, sizeof count) < 0)
                continue;
        } else if (!watch->dead && watch->events != 0) {
            watch->ready(watch->user, events[i].events);
        }
    }
}

/* Turns -------------------------------------------------------------------------------------- */

/* Those posted meanwhile come with the next turn. */
static void run_posts(GwLoop *loop)
{
    GArray *posts = loop->running;

    g_mutex_lock(&loop->mutex);
    loop->running = loop->posts;
    loop->posts = posts;
    g_mutex_unlock(&loop->mutex);

    for (guint i = 0; i < loop->running->len; i++) {
        Post post = g_array_index(loop->running, Post, i);
        post.fn(post.data);
    }
    g_array_set_size(loop->running, 0);
}

static int wait_for(GwLoop *loop, int most_ms)
{
    g_mutex_lock(&loop->mutex);
    gboolean posted = loop->posts->len > 0 || loop->stopping;
    g_mutex_unlock(&loop->mutex);
    if (posted)
        return 0;
    if (loop->timers->len == 0)
        return most_ms;

    gint64 left_us = timer_at(loop, 0)->at_us - g_get_monotonic_time();
    gint64 left_ms = left_us <= 0 ? 0 : MIN((left_us + 999) / 1000, G_MAXINT);
    return most_ms < 0 ? (int)left_ms : (int)MIN(left_ms, most_ms);
}

void gw_loop_turn(GwLoop *loop, int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, wait_for(loop, wait_ms));

    run_watches(loop, events, n);
    run_timers(loop);
    run_posts(loop);
    g_ptr_array_set_size(loop->buried, 0);
}

static gboolean is_over(GwLoop *loop)
{
    g_mutex_lock(&loop->mutex);
    gboolean over = loop->stopping && loop->posts->len == 0;
    g_mutex_unlock(&loop->mutex);
    return over;
}

static gpointer run(gpointer data)
{
    GwLoop *loop = data;

    while (!is_over(loop))
        gw_loop_turn(loop, -1);
    return NULL;
}

static void wake(GwLoop *loop)
{
    guint64 one = 1;

    if (!gw_loop_is_current(loop) && write(loop->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        g_critical("cannot wake a loop: %s", g_strerror(errno));
}

void gw_loop_post(GwLoop *loop, void (*fn)(gpointer data), gpointer data)
{
    Post post = { fn, data };

    g_mutex_lock(&loop->mutex);
    gboolean first = loop->posts->len == 0;
    g_array_append_val(loop->posts, post);
    g_mutex_unlock(&loop->mutex);
    if (first)
        wake(loop);
}

typedef struct {
    void (*fn)(gpointer data);
    gpointer data;
    GMutex mutex;
    GCond cond;
    gboolean done;
} Wait;

static void run_waited(gpointer data)
{
    Wait *wait = data;

    wait->fn(wait->data);
    g_mutex_lock(&wait->mutex);
    wait->done = TRUE;
    g_cond_signal(&wait->cond);
    g_mutex_unlock(&wait->mutex);
}

void gw_loop_run(GwLoop *loop, void (*fn)(gpointer data), gpointer data)
{
    Wait wait = { .fn = fn, .data = data };

    g_return_if_fail(!gw_loop_is_current(loop));
    g_mutex_init(&wait.mutex);
    g_cond_init(&wait.cond);
    gw_loop_post(loop, run_waited, &wait);
    g_mutex_lock(&wait.mutex);
    while (!wait.done)
        g_cond_wait(&wait.cond, &wait.mutex);
    g_mutex_unlock(&wait.mutex);
    g_mutex_clear(&wait.mutex);
    g_cond_clear(&wait.cond);
}

gboolean gw_loop_is_current(const GwLoop *loop)
{
    return g_atomic_pointer_get(&((GwLoop *)loop)->thread) == g_thread_self();
}

/* Making and ending one ----------------------------------------------------------------------- */

GwLoop *gw_loop_new_manual(void)
{
    GwLoop *loop = g_new0(GwLoop, 1);
    struct epoll_event event = { .events = EPOLLIN };

    g_mutex_init(&loop->mutex);
    loop->manual = TRUE;
    loop->thread = g_thread_self();
    loop->posts = g_array_new(FALSE, FALSE, sizeof(Post));
    loop->running = g_array_new(FALSE, FALSE, sizeof(Post));
    loop->timers = g_ptr_array_new();
    loop->buried = g_ptr_array_new_with_free_func(g_free);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_fd < 0 || loop->event_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) < 0)
        g_error("cannot make a loop: %s", g_strerror(errno));
    return loop;
}

GwLoop *gw_loop_new(const char *name)
{
    GwLoop *loop = gw_loop_new_manual();

    loop->manual = FALSE;
    loop->thread = NULL;
    GThread *thread = g_thread_new(name, run, loop);
    g_atomic_pointer_set(&loop->thread, thread);
    return loop;
}

void gw_loop_free(GwLoop *loop)
{
    if (loop == NULL)
        return;
    g_mutex_lock(&loop->mutex);
    loop->stopping = TRUE;
    g_mutex_unlock(&loop->mutex);
    if (loop->manual) {
        run(loop);
    } else {
        wake(loop);
        g_thread_join(loop->thread);
    }
    if (loop->n_watches + loop->n_timers > 0)
        g_critical("a loop ends with %u watches and %u timers left", loop->n_watches,
                   loop->n_timers);
    close(loop->epoll_fd);
    close(loop->event_fd);
    g_array_unref(loop->posts);
    g_array_unref(loop->running);
    g_ptr_array_unref(loop->timers);
    g_ptr_array_unref(loop->buried);
    g_mutex_clear(&loop->mutex);
    g_free(loop);
}
