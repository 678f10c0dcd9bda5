/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GLib as Debian builds it is not instrumented, so ThreadSanitizer cannot see what its locks and
 * queues order, and would call every use of them a race. Preloaded, this tells it: each wrapper
 * says "release" before it hands over and "acquire" after it took. See ./check tsan. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

/* Without a trailing semicolon, as GLib's own prototypes stand in the header. */
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

void g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)(mutex);
    __tsan_acquire(mutex);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    gboolean taken = REAL(g_mutex_trylock)(mutex);
    if (taken)
        __tsan_acquire(mutex);
    return taken;
}

void g_mutex_unlock(GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_mutex_unlock)(mutex);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    __tsan_release(mutex);
    REAL(g_cond_wait)(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    __tsan_release(mutex);
    gboolean signalled = REAL(g_cond_wait_until)(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return signalled;
}

/* What a queue does with its own nodes is its own business. */
static void begin_inside(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void end_inside(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

void g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
    __tsan_release(queue);
    begin_inside();
    REAL(g_async_queue_push)(queue, data);
    end_inside();
}

gpointer g_async_queue_pop(GAsyncQueue *queue)
{
    begin_inside();
    gpointer data = REAL(g_async_queue_pop)(queue);
    end_inside();
    __tsan_acquire(queue);
    return data;
}

gpointer g_async_queue_try_pop(GAsyncQueue *queue)
{
    begin_inside();
    gpointer data = REAL(g_async_queue_try_pop)(queue);
    end_inside();
    __tsan_acquire(queue);
    return data;
}

gpointer g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
    begin_inside();
    gpointer data = REAL(g_async_queue_timeout_pop)(queue, timeout);
    end_inside();
    __tsan_acquire(queue);
    return data;
}

typedef struct {
    GFunc work;
    gpointer user;
} Pool;

static void work_in_pool(gpointer data, gpointer user)
{
    Pool *pool = user;
    __tsan_acquire(data);
    pool->work(data, pool->user);
}

GThreadPool *g_thread_pool_new(GFunc work, gpointer user, gint max, gboolean exclusive,
                               GError **error)
{
    Pool *pool = g_new0(Pool, 1); /* lives as long as the test */
    pool->work = work;
    pool->user = user;
    return REAL(g_thread_pool_new)(work_in_pool, pool, max, exclusive, error);
}

gboolean g_thread_pool_push(GThreadPool *pool, gpointer data, GError **error)
{
    __tsan_release(data);
    return REAL(g_thread_pool_push)(pool, data, error);
}

gboolean(g_atomic_ref_count_dec)(gatomicrefcount *count)
{
    __tsan_release(count);
    gboolean last = REAL(g_atomic_ref_count_dec)(count);
    __tsan_acquire(count);
    return last;
}
