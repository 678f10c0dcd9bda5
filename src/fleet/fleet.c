/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>

#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* The driver that knows agents: what comes in, from the engine and from the wrapped driver, is
 * posted to the fleet's loop and handled there, in order. */

#define CLOSE_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

typedef struct {
    GwFleet *fleet;
    GwRequest *request;
    GwReply *reply;
    GwHyperEvent *event;
} Post;

static void post(GwFleet *fleet, void (*fn)(gpointer data), Post what)
{
    what.fleet = fleet;
    gw_loop_post(fleet->loop, fn, g_memdup2(&what, sizeof what));
}

/* The sink ------------------------------------------------------------------------------------ */

void gw_fleet_emit(GwFleet *fleet, GwHyperEvent *event)
{
    if (event->at_us == 0)
        event->at_us = g_get_monotonic_time();
    if (fleet->closing)
        gw_hyper_event_free(event);
    else
        fleet->base.sink.event(event, fleet->base.sink.user);
}

static void take_reply(gpointer data)
{
    g_autofree Post *what = data;

    gw_fleet_task_inner_came(what->fleet, what->reply);
}

static void take_event(gpointer data)
{
    g_autofree Post *what = data;

    if (what->event->kind == GW_EVENT_HOST_LOST)
        gw_fleet_inner_lost(what->fleet, what->event);
    else
        gw_fleet_emit(what->fleet, what->event);
}

static void inner_reply(GwReply *reply, gpointer user)
{
    post(user, take_reply, (Post){ .reply = reply });
}

static void inner_event(GwHyperEvent *event, gpointer user)
{
    post(user, take_event, (Post){ .event = event });
}

/* Requests ------------------------------------------------------------------------------------ */

GwFleetHost *gw_fleet_host(GwFleet *fleet, const char *id)
{
    return g_hash_table_lookup(fleet->hosts, id);
}

static GwFleetHost *make_host(GwFleet *fleet, const char *id)
{
    GwFleetHost *host = gw_fleet_host(fleet, id);

    if (host != NULL)
        return host;
    host = g_new0(GwFleetHost, 1);
    host->fleet = fleet;
    host->id = g_strdup(id);
    g_hash_table_insert(fleet->hosts, host->id, host);
    return host;
}

static void dispatch(GwFleetTask *task)
{
    gboolean agent = task->host->has_agent;

    if (task->op == GW_OP_CONNECT)
        gw_fleet_connect(task);
    else if (task->op == GW_OP_DISCONNECT && agent)
        gw_fleet_disconnect(task);
    else if (gw_fleet_copies_it(task->fleet, task->request))
        gw_fleet_copy_op(task);
    else if (agent && task->op == GW_OP_VOLUME_LOOK)
        gw_fleet_volume_look(task);
    else if (agent && task->op == GW_OP_VOLUME_DELETE)
        gw_fleet_volume_delete(task);
    else if (gw_fleet_op_needs_agent(task->op) ||
             (agent && (task->op == GW_OP_LOOK || task->op == GW_OP_FACTS)))
        gw_fleet_agent_op(task);
    else
        gw_fleet_task_pass(task);
}

static void take_request(gpointer data)
{
    g_autofree Post *what = data;
    GwFleet *fleet = what->fleet;
    GwRequest *request = what->request;

    if (fleet->closing) {
        gw_request_free(request);
        return;
    }
    dispatch(gw_fleet_task_new(make_host(fleet, request->host_id != NULL ? request->host_id : ""),
                               request));
}

static void submit(GwHyper *hyper, GwRequest *request)
{
    post((GwFleet *)hyper, take_request, (Post){ .request = request });
}

/* Opening and closing ------------------------------------------------------------------------- */

static void begin_closing(gpointer data)
{
    GwFleet *fleet = data;

    fleet->closing = TRUE;
}

static void end_links(gpointer data)
{
    GwFleet *fleet = data;
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, fleet->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        gw_fleet_link_drop(value, NULL);
    g_hash_table_remove_all(fleet->copies);
    g_hash_table_remove_all(fleet->tasks);
    g_ptr_array_set_size(fleet->lookups, 0);
    g_clear_pointer(&fleet->timer, gw_timer_free);
}

static gboolean wait_links(GwFleet *fleet)
{
    gint64 until = g_get_monotonic_time() + CLOSE_PATIENCE_US;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&fleet->lock);

    while (fleet->open_links > 0) {
        if (!g_cond_wait_until(&fleet->changed, &fleet->lock, until))
            return FALSE;
    }
    return TRUE;
}

static void free_fleet(GwFleet *fleet)
{
    g_hash_table_unref(fleet->tasks);
    g_hash_table_unref(fleet->hosts);
    g_hash_table_unref(fleet->leaves);
    g_hash_table_unref(fleet->copies);
    g_ptr_array_unref(fleet->lookups);
    g_strfreev(fleet->revoked);
    g_mutex_clear(&fleet->lock);
    g_cond_clear(&fleet->changed);
    g_free(fleet->folder);
    g_free(fleet->run);
    g_free(fleet);
}

/* The wrapped driver goes while the sessions still carry its connections; then the sessions. What
 * does not end in time is left behind whole. */
static void close_fleet(GwHyper *hyper)
{
    GwFleet *fleet = (GwFleet *)hyper;

    gw_loop_run(fleet->loop, begin_closing, fleet);
    gw_hyper_close(fleet->inner);
    gw_loop_run(fleet->loop, end_links, fleet);
    if (!wait_links(fleet)) {
        g_warning("a session to an agent does not end; it is left behind");
        return;
    }
    gw_loop_free(fleet->loop);
    free_fleet(fleet);
}

static const GwHyperDriver fleet_driver = {
    .name = "fleet",
    .submit = submit,
    .close = close_fleet,
};

static void make_timer(gpointer data)
{
    GwFleet *fleet = data;

    fleet->timer = gw_timer_new(fleet->loop, gw_fleet_sweep, fleet);
}

/* Sockets of a controller that was killed. */
static void sweep_folder(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name = NULL;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *socket = g_build_filename(path, name, NULL);
        if (g_str_has_suffix(name, GW_FLEET_SOCKET))
            g_unlink(socket);
    }
}

static gboolean make_folder(const char *path, GError **error)
{
    GStatBuf status;

    if (g_mkdir_with_parents(path, 0700) == 0 && g_chmod(path, 0700) == 0 &&
        g_stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        sweep_folder(path);
        return TRUE;
    }
    gw_error_set(error, GW_ERR_STORE, "Make the state folder writable.",
                 "cannot make the folder of local sockets %s: %s", path, g_strerror(errno));
    return FALSE;
}

static GwFleet *make_fleet(GwHyperSink sink, const GwFleetConfig *config)
{
    GwFleet *fleet = g_new0(GwFleet, 1);

    fleet->base.driver = &fleet_driver;
    fleet->base.sink = sink;
    fleet->authority = config->authority;
    fleet->folder = g_strdup(config->folder);
    fleet->incarnation = config->incarnation;
    fleet->run = gw_text_new_id(g_get_real_time());
    fleet->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_fleet_host_free);
    fleet->tasks = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, gw_fleet_task_free);
    fleet->leaves = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, gw_fleet_leave_free);
    fleet->copies = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_fleet_copy_free);
    fleet->lookups = g_ptr_array_new_with_free_func(gw_fleet_lookup_abandon);
    g_mutex_init(&fleet->lock);
    g_cond_init(&fleet->changed);
    return fleet;
}

GwHyper *gw_fleet_open_over(GwHyperSink sink, const GwFleetConfig *config,
                            GwFleetOpenInner open_inner, gpointer user, GError **error)
{
    if (!make_folder(config->folder, error))
        return NULL;
    GwFleet *fleet = make_fleet(sink, config);
    GwHyperSink inner_sink = { inner_reply, inner_event, fleet };

    fleet->loop = gw_loop_new("gw-fleet");
    fleet->inner = open_inner(inner_sink, user, error);
    if (fleet->inner == NULL) {
        gw_loop_free(fleet->loop);
        free_fleet(fleet);
        return NULL;
    }
    gw_loop_run(fleet->loop, make_timer, fleet);
    return &fleet->base;
}

static GwHyper *open_libvirt(GwHyperSink sink, gpointer user, GError **error)
{
    return gw_libvirt_open(sink, error);
}

GwHyper *gw_fleet_open(GwHyperSink sink, const GwFleetConfig *config, GError **error)
{
    return gw_fleet_open_over(sink, config, open_libvirt, NULL, error);
}
