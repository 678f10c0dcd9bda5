/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who connects costs us a little before it has proved who it is; so those are few, the oldest goes
 * for a new one, and an address (of IPv6: a network of 64 bits) has only so many of them. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/session_internal.h"

#define ACCEPTS_PER_TURN 64
#define WAIT_AFTER_FAILURE_US (100 * 1000)

typedef struct {
    guint8 bytes[16];
} Origin;

/* What listener and sessions share, whatever their loops. */
typedef struct {
    gint refs;
    GMutex mutex; /* everything below */
    gboolean closed;
    GQueue unproved; /* of Guest, the oldest first */
    guint sessions;  /* all, unproved included */
    GwSessionConfig config;
} Shared;

/* One connection. */
typedef struct {
    gint refs;
    Shared *shared;
    GwLoop *loop;
    Origin origin;
    gboolean unproved; /* in the queue; under the mutex */
    GList link;
    int fd;             /* until it is a session */
    GwSession *session; /* on its loop only */
    gboolean dropped;   /* on its loop only */
} Guest;

struct GwListener {
    Shared *shared;
    GwListenerLimits limits;
    GwLoop **loops;
    guint n_loops, next_loop;
    int fd;
    GwWatch *watch;
    GwTimer *again;
};

static Shared *shared_ref(Shared *shared)
{
    g_atomic_int_inc(&shared->refs);
    return shared;
}

static void shared_unref(Shared *shared)
{
    if (!g_atomic_int_dec_and_test(&shared->refs))
        return;
    gw_credentials_unref(shared->config.credentials);
    json_decref(shared->config.hello);
    g_free((gpointer)shared->config.ops);
    g_mutex_clear(&shared->mutex);
    g_free(shared);
}

static void guest_unref(Guest *guest)
{
    if (!g_atomic_int_dec_and_test(&guest->refs))
        return;
    shared_unref(guest->shared);
    g_free(guest);
}

/* Under the mutex. */
static void leave_queue(Guest *guest)
{
    if (!guest->unproved)
        return;
    guest->unproved = FALSE;
    g_queue_unlink(&guest->shared->unproved, &guest->link);
}

/* On the guest's loop ------------------------------------------------------------------------- */

static void on_proved(gpointer hook)
{
    Guest *guest = hook;

    g_mutex_lock(&guest->shared->mutex);
    leave_queue(guest);
    g_mutex_unlock(&guest->shared->mutex);
}

static void on_finished(gpointer hook)
{
    Guest *guest = hook;

    guest->session = NULL;
    g_mutex_lock(&guest->shared->mutex);
    leave_queue(guest);
    guest->shared->sessions--;
    g_mutex_unlock(&guest->shared->mutex);
    guest_unref(guest);
}

static void become_session(gpointer data)
{
    Guest *guest = data;
    Shared *shared = guest->shared;

    g_mutex_lock(&shared->mutex);
    gboolean wanted = !shared->closed && !guest->dropped;
    GwSessionConfig config = shared->config;
    config.loop = guest->loop;
    if (wanted)
        guest->session = gw_session_new_unconnected(&config, FALSE);
    g_mutex_unlock(&shared->mutex);
    if (!wanted) {
        close(guest->fd);
        on_finished(guest);
        return;
    }
    guest->session->hook = guest;
    guest->session->proved = on_proved;
    guest->session->finished = on_finished;
    gw_session_start(guest->session, guest->fd);
}

static void drop(gpointer data)
{
    Guest *guest = data;

    guest->dropped = TRUE;
    if (guest->session != NULL) {
        GError *why = NULL;
        gw_error_set(&why, GW_ERR_REFUSED, NULL, "it made way before it had proved who it is");
        gw_session_end(guest->session, why);
    }
    guest_unref(guest);
}

/* On the listener's --------------------------------------------------------------------------- */

static Origin origin_of(const struct sockaddr_storage *address)
{
    Origin origin = { { 0 } };

    if (address->ss_family == AF_INET) {
        memcpy(origin.bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6))
            memcpy(origin.bytes, in6->s6_addr + 12, 4);
        else
            memcpy(origin.bytes, in6->s6_addr, 8);
    }
    return origin;
}

/* Under the mutex: the oldest that is unproved, of @origin or (NULL) of all; *@count of them. */
static Guest *oldest(Shared *shared, const Origin *origin, guint *count)
{
    Guest *found = NULL;

    *count = 0;
    for (GList *link = shared->unproved.head; link != NULL; link = link->next) {
        Guest *guest = link->data;

        if (origin != NULL && memcmp(&guest->origin, origin, sizeof *origin) != 0)
            continue;
        if (found == NULL)
            found = guest;
        (*count)++;
    }
    return found;
}

/* Under the mutex. */
static void make_way(Guest *guest)
{
    leave_queue(guest);
    g_atomic_int_inc(&guest->refs);
    gw_loop_post(guest->loop, drop, guest);
}

/* Under the mutex: room for one more from @origin, or not. */
static gboolean make_room(GwListener *listener, const Origin *origin)
{
    Shared *shared = listener->shared;
    guint mine = 0, all = 0;
    Guest *my_oldest = oldest(shared, origin, &mine);

    if (mine >= listener->limits.unproved_per_address_max) {
        if (my_oldest != NULL)
            make_way(my_oldest);
        return my_oldest != NULL;
    }
    Guest *all_oldest = oldest(shared, NULL, &all);
    if (all >= listener->limits.unproved_max || shared->sessions >= listener->limits.sessions_max) {
        if (all_oldest != NULL)
            make_way(all_oldest);
        return all_oldest != NULL;
    }
    return TRUE;
}

static Guest *guest_new(GwListener *listener, const Origin *origin, int fd)
{
    Guest *guest = g_new0(Guest, 1);

    guest->refs = 1;
    guest->shared = shared_ref(listener->shared);
    guest->loop = listener->loops[listener->next_loop++ % listener->n_loops];
    guest->origin = *origin;
    guest->fd = fd;
    guest->link.data = guest;
    guest->unproved = TRUE;
    g_queue_push_tail_link(&listener->shared->unproved, &guest->link);
    listener->shared->sessions++;
    return guest;
}

static void welcome(GwListener *listener, const struct sockaddr_storage *address, int fd)
{
    Shared *shared = listener->shared;
    Origin origin = origin_of(address);
    Guest *guest = NULL;

    g_mutex_lock(&shared->mutex);
    if (make_room(listener, &origin))
        guest = guest_new(listener, &origin, fd);
    g_mutex_unlock(&shared->mutex);
    if (guest != NULL)
        gw_loop_post(guest->loop, become_session, guest);
    else
        close(fd);
}

static void on_ready(gpointer user, guint32 events)
{
    GwListener *listener = user;

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address = { 0 };
        socklen_t length = sizeof address;
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            welcome(listener, &address, fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays and would be told of without end. */
            gw_watch_set(listener->watch, 0);
            gw_timer_set(listener->again, g_get_monotonic_time() + WAIT_AFTER_FAILURE_US);
            return;
        }
    }
}

static void on_again(gpointer user)
{
    GwListener *listener = user;

    gw_watch_set(listener->watch, EPOLLIN);
}

static Shared *shared_new(const GwSessionConfig *config)
{
    Shared *shared = g_new0(Shared, 1);

    shared->refs = 1;
    g_mutex_init(&shared->mutex);
    shared->config = *config;
    shared->config.credentials = gw_credentials_ref(config->credentials);
    shared->config.hello = config->hello != NULL ? json_deep_copy(config->hello) : NULL;
    shared->config.ops = g_memdup2(config->ops, sizeof *config->ops);
    shared->config.expect_host_id = NULL;
    return shared;
}

GwListener *gw_listener_new(const GwSessionConfig *config, int fd, GwLoop *const *loops,
                            guint n_loops, const GwListenerLimits *limits)
{
    GwListener *listener = g_new0(GwListener, 1);

    g_return_val_if_fail(n_loops > 0, NULL);
    listener->shared = shared_new(config);
    listener->limits = *limits;
    listener->loops = g_memdup2(loops, n_loops * sizeof *loops);
    listener->n_loops = n_loops;
    listener->fd = fd;
    listener->again = gw_timer_new(config->loop, on_again, listener);
    listener->watch = gw_watch_new(config->loop, fd, EPOLLIN, on_ready, listener);
    return listener;
}

void gw_listener_set_credentials(GwListener *listener, GwCredentials *credentials)
{
    Shared *shared = listener->shared;

    g_mutex_lock(&shared->mutex);
    GwCredentials *old = shared->config.credentials;
    shared->config.credentials = gw_credentials_ref(credentials);
    g_mutex_unlock(&shared->mutex);
    gw_credentials_unref(old);
}

guint gw_listener_unproved(GwListener *listener)
{
    g_mutex_lock(&listener->shared->mutex);
    guint count = listener->shared->unproved.length;
    g_mutex_unlock(&listener->shared->mutex);
    return count;
}

void gw_listener_free(GwListener *listener)
{
    if (listener == NULL)
        return;
    g_mutex_lock(&listener->shared->mutex);
    listener->shared->closed = TRUE;
    g_mutex_unlock(&listener->shared->mutex);
    gw_watch_free(listener->watch);
    gw_timer_free(listener->again);
    close(listener->fd);
    shared_unref(listener->shared);
    g_free(listener->loops);
    g_free(listener);
}
