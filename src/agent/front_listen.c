/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front_internal.h"
#include "base/error.h"
#include "wire/ticket.h"

/* Local sockets whose connections are carried to a peer: libvirt's RPC, QEMU's channels, NBD. */

#define LISTENERS_MAX 4096
#define TURN 16
#define PAUSE_US (200 * 1000) /* where no descriptor is left: not to be asked again at once */
#define TEXT_MAX 256

typedef struct {
    gatomicrefcount refs; /* the table's, and of each connection that is carried */
    Front *front;
    GwWatch *watch; /* home's; NULL once it is no more */
    GwTimer *pause;
    int fd;
    guint kind;
    char *ticket; /* NULL: none */
    char *group;
    json_t *peer;
    char *host_id; /* of @peer */
    gint logged;   /* atomic: why it fails was said */
} Listener;

static Listener *listener_ref(Listener *listener)
{
    g_atomic_ref_count_inc(&listener->refs);
    return listener;
}

static void listener_unref(Listener *listener)
{
    if (!g_atomic_ref_count_dec(&listener->refs))
        return;
    g_free(listener->ticket);
    g_free(listener->group);
    g_free(listener->host_id);
    json_decref(listener->peer);
    g_free(listener);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_unref)

/* Out of the table: nothing more is accepted, what is carried goes on. */
void gw_front_listener_free(gpointer data)
{
    Listener *listener = data;

    g_clear_pointer(&listener->watch, gw_watch_free);
    g_clear_pointer(&listener->pause, gw_timer_free);
    close(listener->fd);
    listener_unref(listener);
}

gboolean gw_front_listens_to(Front *front, const char *host_id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, front->listeners);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_str_equal(((Listener *)value)->host_id, host_id))
            return TRUE;
    }
    return FALSE;
}

/* A local connection -------------------------------------------------------------------------- */

typedef struct {
    Listener *listener;
    Link *link; /* once it is carried */
    int fd;
} Local;

static void local_free(Local *local)
{
    if (local->fd >= 0)
        close(local->fd);
    if (local->link != NULL)
        gw_front_link_unref(local->link);
    listener_unref(local->listener);
    g_free(local);
}

static void say_once(Listener *listener, const GError *why)
{
    if (g_atomic_int_compare_and_exchange(&listener->logged, 0, 1))
        g_warning("what is sent to %s (%s) does not get there: %s", listener->host_id,
                  gw_stream_kind_word((GwStreamKind)listener->kind), why->message);
}

static void on_done(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    Local *local = user;

    if (why != NULL)
        say_once(local->listener, why);
    else
        g_atomic_int_set(&local->listener->logged, 0);
    gw_front_stream_counted(local->link, -1);
    local_free(local);
}

/* On the lane. */
static void carry(Link *link, gpointer data)
{
    Local *local = data;
    const Listener *listener = local->listener;
    gboolean rpc = listener->kind == GW_STREAM_RPC;
    const GwPumpConfig config = { .share = { rpc ? GW_CLASS_CONTROL : GW_CLASS_NORMAL,
                                             listener->group, 0 },
                                  .done = on_done,
                                  .user = local };
    int fd = local->fd;

    if (link->session == NULL) { /* it went down since: the program sees its socket closed */
        local_free(local);
        return;
    }
    json_t *what = json_pack("{s:s}", "kind", gw_stream_kind_word((GwStreamKind)listener->kind));
    if (listener->ticket != NULL)
        json_object_set_new(what, "ticket", json_string(listener->ticket));
    local->fd = -1;
    local->link = gw_front_link_ref(link);
    gw_front_stream_counted(link, 1);
    gw_pump_open(link->session, what, fd, &config);
}

static void on_link(Link *link, const GError *error, gpointer user)
{
    Local *local = user;

    if (link != NULL) {
        gw_front_on_lane(link, carry, local);
        return;
    }
    say_once(local->listener, error);
    local_free(local);
}

/* Listening ----------------------------------------------------------------------------------- */

static void on_pause_over(gpointer user)
{
    gw_watch_set(((Listener *)user)->watch, EPOLLIN);
}

static void on_connection(gpointer user, guint32 events)
{
    g_autoptr(Listener) listener = listener_ref(user);

    for (guint i = 0; i < TURN && listener->watch != NULL; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            g_warning("a local connection has to wait: %s", g_strerror(errno));
            gw_watch_set(listener->watch, 0);
            gw_timer_set(listener->pause, g_get_monotonic_time() + PAUSE_US);
        }
        if (fd < 0)
            break;
        Local *local = g_new0(Local, 1);
        *local = (Local){ listener_ref(listener), NULL, fd };
        gw_front_peer_need(listener->front, listener->peer, FALSE, on_link, local);
    }
}

static char *copy_text(const json_t *params, const char *key, gsize max)
{
    const char *text = json_string_value(json_object_get(params, key));

    return text != NULL && strlen(text) <= max ? g_strdup(text) : NULL;
}

/* The listener's name in the table: a text or a number. */
static char *read_id(const json_t *params)
{
    const json_t *id = json_object_get(params, "listener");

    return json_is_string(id) || json_is_integer(id) ? gw_json_text(id) : NULL;
}

static Listener *listener_new(Front *front, const json_t *params, int fd)
{
    const json_t *peer = json_object_get(params, "peer");
    Listener *listener = g_new0(Listener, 1);

    g_atomic_ref_count_init(&listener->refs);
    listener->front = front;
    listener->fd = fd;
    listener->kind = gw_stream_kind_from_word(json_string_value(json_object_get(params, "kind")));
    listener->ticket = copy_text(params, "ticket", GW_TICKET_MAX * 2);
    listener->group = copy_text(params, "group", TEXT_MAX);
    listener->host_id = copy_text(peer, "host_id", TEXT_MAX);
    listener->peer = json_deep_copy(peer);
    return listener;
}

static gboolean is_complete(const Listener *listener)
{
    const guint kinds =
        GW_STREAM_RPC | GW_STREAM_MIGRATION | GW_STREAM_DISK | GW_STREAM_ECHO; /* echo: a check */

    return listener->fd >= 0 && (listener->kind & kinds) != 0 && listener->host_id != NULL;
}

void gw_front_listen(Front *front, guint64 id, const json_t *params, int fd)
{
    g_autofree char *key = read_id(params);
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) listener = listener_new(front, params, fd);

    if (key == NULL || !is_complete(listener) ||
        g_hash_table_size(front->listeners) >= LISTENERS_MAX ||
        g_hash_table_contains(front->listeners, key)) {
        gw_error_set(&error, GW_ERR_INVALID, NULL,
                     "a listener that is incomplete, or one too many");
        if (fd >= 0)
            close(fd);
        gw_ipc_answer(front->ipc, id, NULL, -1, error);
        return;
    }
    listener->pause = gw_timer_new(GW_FRONT_HOME(front), on_pause_over, listener);
    listener->watch = gw_watch_new(GW_FRONT_HOME(front), fd, EPOLLIN, on_connection, listener);
    g_hash_table_insert(front->listeners, g_steal_pointer(&key), g_steal_pointer(&listener));
    gw_ipc_answer(front->ipc, id, json_object(), -1, NULL);
}

void gw_front_unlisten(Front *front, guint64 id, const json_t *params)
{
    g_autofree char *key = read_id(params);

    if (key != NULL)
        g_hash_table_remove(front->listeners, key);
    gw_ipc_answer(front->ipc, id, json_object(), -1, NULL);
}
