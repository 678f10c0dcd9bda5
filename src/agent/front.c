/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/front.h"

#include <fcntl.h>
#include <signal.h>

#include "agent/front_internal.h"
#include "agent/sandbox.h"
#include "base/error.h"

#define SWEEP_US (30 * G_USEC_PER_SEC)

/* What the main thread waits for while the lanes work. */
static struct {
    GMutex mutex;
    GCond changed;
    gboolean over;
} warden_gone;

/* Posting between lanes and home -------------------------------------------------------------- */

typedef struct {
    Link *link;
    LinkFn fn;
    gpointer data;
} Task;

static void run_task(gpointer data)
{
    g_autofree Task *task = data;

    task->fn(task->link, task->data);
    gw_front_link_unref(task->link);
}

static void post(GwLoop *loop, Link *link, LinkFn fn, gpointer data)
{
    Task *task = g_new(Task, 1);

    *task = (Task){ gw_front_link_ref(link), fn, data };
    gw_loop_post(loop, run_task, task);
}

void gw_front_on_lane(Link *link, LinkFn fn, gpointer data)
{
    post(link->lane->loop, link, fn, data);
}

void gw_front_at_home(Link *link, LinkFn fn, gpointer data)
{
    post(GW_FRONT_HOME(link->lane->front), link, fn, data);
}

Link *gw_front_link_new(Lane *lane, gboolean dialled)
{
    Link *link = g_new0(Link, 1);

    g_atomic_ref_count_init(&link->refs);
    link->lane = lane;
    link->dialled = dialled;
    return link;
}

Link *gw_front_link_ref(Link *link)
{
    g_atomic_ref_count_inc(&link->refs);
    return link;
}

void gw_front_link_unref(Link *link)
{
    if (!g_atomic_ref_count_dec(&link->refs))
        return;
    gw_peer_free(link->peer);
    g_free(link->run);
    g_free(link);
}

/* Serving ------------------------------------------------------------------------------------- */

static void on_closed(GwIpc *ipc, const GError *why, gpointer user)
{
    g_message("the warden is gone: the front ends");
    g_mutex_lock(&warden_gone.mutex);
    warden_gone.over = TRUE;
    g_cond_signal(&warden_gone.changed);
    g_mutex_unlock(&warden_gone.mutex);
}

static void on_sweep(gpointer user)
{
    Front *front = user;

    gw_front_peers_sweep(front);
    gw_timer_set(front->idle, g_get_monotonic_time() + SWEEP_US);
}

static void link_unref(gpointer link)
{
    gw_front_link_unref(link);
}

static Front *front_new(const GwFrontConfig *config, guint threads)
{
    Front *front = g_new0(Front, 1);

    front->n_lanes = threads;
    front->lanes = g_new0(Lane, threads);
    front->listen_fds = g_memdup2(config->listen_fds, sizeof(int) * config->n_listen_fds);
    front->n_listen_fds = config->n_listen_fds;
    front->bucket = gw_bucket_new();
    front->acceptors = g_ptr_array_new();
    front->controllers = g_hash_table_new_full(NULL, NULL, link_unref, NULL);
    front->peers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_front_peer_free);
    front->listeners =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, gw_front_listener_free);
    front->tickets =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    front->asking = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < threads; i++) {
        g_autofree char *name = g_strdup_printf("lane-%u", i);
        front->lanes[i].front = front;
        front->lanes[i].links = g_hash_table_new_full(NULL, NULL, NULL, link_unref);
        front->lanes[i].loop = gw_loop_new(name);
    }
    return front;
}

typedef struct {
    Front *front;
    int ipc_fd;
} Begin;

static void begin(gpointer data)
{
    Begin *what = data;
    Front *front = what->front;
    const GwIpcOps ops = { front, gw_front_warden_call, gw_front_warden_notice, on_closed };

    front->idle = gw_timer_new(GW_FRONT_HOME(front), on_sweep, front);
    on_sweep(front);
    front->ipc = gw_ipc_new(GW_FRONT_HOME(front), what->ipc_fd, &ops);
}

static guint count_threads(const GwFrontConfig *config)
{
    guint wanted = config->threads != 0 ? config->threads : MIN(g_get_num_processors(), 4);

    return CLAMP(wanted, 1, GW_FRONT_THREADS_MAX);
}

static int serve(const GwFrontConfig *config, int memory_fd, guint threads)
{
    signal(SIGPIPE, SIG_IGN);
    gw_error_quark(); /* GLib registers it at its first use, which is no matter for several lanes */
    Front *front = front_new(config, threads);
    Begin what = { front, config->ipc_fd };
    front->memory_fd = memory_fd;
    gw_loop_run(GW_FRONT_HOME(front), begin, &what);
    g_mutex_lock(&warden_gone.mutex);
    while (!warden_gone.over)
        g_cond_wait(&warden_gone.changed, &warden_gone.mutex);
    g_mutex_unlock(&warden_gone.mutex);
    return 0;
}

static int open_memory(void)
{
    return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

int gw_front_serve(const GwFrontConfig *config)
{
    return serve(config, open_memory(), count_threads(config));
}

int gw_front_main(const GwFrontConfig *config)
{
    g_autoptr(GError) error = NULL;
    int memory_fd = open_memory();
    guint threads = count_threads(config); /* reads /sys, which is gone afterwards */

    if (!gw_sandbox_enter(config->user, config->empty_folder, &error)) {
        const char *remedy = gw_error_remedy(error);
        g_warning("the front does not start: %s %s", error->message, remedy != NULL ? remedy : "");
        return 1;
    }
    return serve(config, memory_fd, threads);
}
