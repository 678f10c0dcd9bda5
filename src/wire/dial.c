/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/session_internal.h"

struct GwDial {
    GwSession *session;
    char **addresses;
    guint next;
    int fd;
    GwWatch *watch;
    GwTimer *timer;
    GString *failures;
};

static void try_next(GwDial *dial);

static void drop(GwDial *dial)
{
    g_clear_pointer(&dial->watch, gw_watch_free);
    if (dial->fd >= 0)
        close(dial->fd);
    dial->fd = -1;
    gw_timer_set(dial->timer, 0);
}

void gw_dial_free(GwDial *dial)
{
    if (dial == NULL)
        return;
    drop(dial);
    gw_timer_free(dial->timer);
    g_string_free(dial->failures, TRUE);
    g_strfreev(dial->addresses);
    g_free(dial);
}

static void failed(GwDial *dial, const char *why)
{
    drop(dial);
    g_string_append_printf(dial->failures, "%s%s: %s", dial->failures->len > 0 ? "; " : "",
                           dial->addresses[dial->next - 1], why);
    try_next(dial);
}

static void on_connected(gpointer user, guint32 events)
{
    GwDial *dial = user;
    GwSession *session = dial->session;
    int failure = 0;
    socklen_t length = sizeof failure;

    if (session->state != GW_SESSION_CONNECTING)
        return;
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &failure, &length) < 0)
        failure = errno;
    if (failure != 0) {
        failed(dial, g_strerror(failure));
        return;
    }
    int fd = dial->fd;
    g_clear_pointer(&dial->watch, gw_watch_free);
    dial->fd = -1;
    g_clear_pointer(&session->dial, gw_dial_free);
    gw_session_start(session, fd);
}

static void on_late(gpointer user)
{
    GwDial *dial = user;

    if (dial->session->state == GW_SESSION_CONNECTING)
        failed(dial, "no answer");
}

/* "192.0.2.1:8447" or "[2001:db8::1]:8447" */
static struct addrinfo *resolve(const char *address)
{
    static const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                           .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    const char *colon = strrchr(address, ':');

    if (colon == NULL || colon == address || colon[1] == '\0')
        return NULL;
    gboolean bracket = address[0] == '[' && colon[-1] == ']' && colon - address > 2;
    g_autofree char *host = bracket ? g_strndup(address + 1, (gsize)(colon - address) - 2)
                                    : g_strndup(address, (gsize)(colon - address));

    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static const char *begin(GwDial *dial, const char *address)
{
    struct addrinfo *found = resolve(address);
    int status = -1;

    if (found == NULL)
        return "not an IP address and a port";
    dial->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd >= 0)
        status = connect(dial->fd, found->ai_addr, found->ai_addrlen);
    const char *why = status < 0 && errno != EINPROGRESS ? g_strerror(errno) : NULL;
    freeaddrinfo(found);
    return why;
}

static void try_next(GwDial *dial)
{
    GwSession *session = dial->session;
    GError *why = NULL;

    while (dial->addresses[dial->next] != NULL) {
        const char *address = dial->addresses[dial->next++];
        const char *failure = begin(dial, address);

        if (failure == NULL) {
            dial->watch = gw_watch_new(session->loop, dial->fd, EPOLLOUT, on_connected, dial);
            gw_timer_set(dial->timer, g_get_monotonic_time() + session->times.connect_us);
            return;
        }
        drop(dial);
        g_string_append_printf(dial->failures, "%s%s: %s", dial->failures->len > 0 ? "; " : "",
                               address, failure);
    }
    gw_error_set(&why, GW_ERR_UNREACHABLE,
                 "Look whether the agent runs there and its port is open from here.",
                 "no connection: %s", dial->failures->len > 0 ? dial->failures->str : "no address");
    gw_session_end(session, why);
}

GwSession *gw_session_dial(const GwSessionConfig *config, const char *const *addresses)
{
    GwSession *session = gw_session_new_unconnected(config, TRUE);
    GwDial *dial = g_new0(GwDial, 1);
    guint count = MIN(g_strv_length((char **)addresses), GW_SESSION_ADDRESSES_MAX);

    dial->session = session;
    dial->fd = -1;
    dial->failures = g_string_new(NULL);
    dial->timer = gw_timer_new(session->loop, on_late, dial);
    dial->addresses = g_new0(char *, count + 1);
    for (guint i = 0; i < count; i++)
        dial->addresses[i] = g_strdup(addresses[i]);
    session->dial = dial;
    session->state = GW_SESSION_CONNECTING;
    try_next(dial);
    return session;
}
