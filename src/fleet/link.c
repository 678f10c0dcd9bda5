/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* A session to an agent, and the local socket through which libvirt's client reaches the host's
 * libvirt: what connects there is carried as a stream. The socket lies in a folder that only this
 * user can enter. */

#define BACKLOG 64
#define PAUSE_US (100 * G_TIME_SPAN_MILLISECOND) /* after a connection could not be taken */

/* The socket ---------------------------------------------------------------------------------- */

static void close_socket(GwFleetLink *link)
{
    g_clear_pointer(&link->watch, gw_watch_free);
    g_clear_pointer(&link->pause, gw_timer_free);
    if (link->listen_fd >= 0)
        close(link->listen_fd);
    link->listen_fd = -1;
    if (link->path != NULL)
        g_unlink(link->path);
    g_clear_pointer(&link->path, g_free);
}

static void link_unref(GwFleetLink *link)
{
    GwFleet *fleet = link->fleet;

    if (--link->refs > 0)
        return;
    close_socket(link);
    g_free(link->software);
    g_free(link);
    g_mutex_lock(&fleet->lock);
    fleet->open_links--;
    g_cond_broadcast(&fleet->changed);
    g_mutex_unlock(&fleet->lock);
}

static void stream_done(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    GwFleetLink *link = user;

    if (why != NULL)
        g_debug("a libvirt connection through an agent ended: %s", why->message);
    link->streams--;
    link_unref(link);
}

static void carry(GwFleetLink *link, int fd)
{
    GwPumpConfig config = {
        .share = { .class = GW_CLASS_CONTROL },
        .done = stream_done,
        .user = link,
    };

    link->streams++;
    link->refs++; /* a pump may outlive the session: what came last still goes to its socket */
    gw_pump_open(link->session, json_pack("{s:s}", "kind", "libvirt"), fd, &config);
}

static void on_pause_over(gpointer user)
{
    GwFleetLink *link = user;

    gw_watch_set(link->watch, EPOLLIN);
}

static void on_connection(gpointer user, guint32 events)
{
    GwFleetLink *link = user;
    int fd = accept4(link->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        /* Out of descriptors or memory: it stays readable, and would keep the loop busy. */
        gw_watch_set(link->watch, 0);
        gw_timer_set(link->pause, g_get_monotonic_time() + PAUSE_US);
        return;
    }
    if (link->streams >= GW_FLEET_STREAMS_MAX)
        close(fd);
    else
        carry(link, fd);
}

static gboolean socket_failed(const GwFleetLink *link, const char *what, GError **error)
{
    gw_error_set(error, GW_ERR_STORE, "Check the state folder and that its disk has room.",
                 "cannot %s the local socket %s: %s", what, link->path, g_strerror(errno));
    return FALSE;
}

static gboolean open_socket(GwFleetLink *link, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    /* A name of its own for each link: what still wants the one before does not get this one. */
    link->path = g_strdup_printf("%s/%" G_GUINT64_FORMAT GW_FLEET_SOCKET, link->fleet->folder,
                                 ++link->fleet->next_socket);
    if (g_strlcpy(address.sun_path, link->path, sizeof address.sun_path) >=
        sizeof address.sun_path) {
        gw_error_set(error, GW_ERR_INVALID, "Choose a shorter state folder (--state-dir).",
                     "the path of a local socket has %zu bytes, at most %zu are allowed: %s",
                     strlen(link->path), sizeof address.sun_path - 1, link->path);
        return FALSE;
    }
    link->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->listen_fd < 0)
        return socket_failed(link, "make", error);
    if (bind(link->listen_fd, (struct sockaddr *)&address, sizeof address) < 0)
        return socket_failed(link, "bind", error);
    if (g_chmod(link->path, 0600) < 0 || listen(link->listen_fd, BACKLOG) < 0)
        return socket_failed(link, "listen on", error);
    link->pause = gw_timer_new(link->fleet->loop, on_pause_over, link);
    link->watch = gw_watch_new(link->fleet->loop, link->listen_fd, EPOLLIN, on_connection, link);
    return TRUE;
}

char *gw_fleet_link_uri(const GwFleetLink *link)
{
    g_autofree char *path = g_uri_escape_string(link->path, "/", FALSE);

    return g_strconcat("qemu+unix:///system?socket=", path, NULL);
}

gboolean gw_fleet_link_is_usable(const GwFleetHost *host)
{
    return host->link != NULL && host->link->ready;
}

/* The session --------------------------------------------------------------------------------- */

/* What the host has to say of itself, kept short: it may say much. */
static void read_hello(GwFleetLink *link, const json_t *hello)
{
    const char *software = json_string_value(json_object_get(hello, "software"));

    g_free(link->software);
    link->software = gw_text_printable(software != NULL ? software : "unknown", 64);
}

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    GwFleetLink *link = user;
    GwFleetHost *host = link->host;
    g_autoptr(GError) error = NULL;

    if (host == NULL)
        return; /* given up, and on its way out */
    read_hello(link, hello);
    if (!open_socket(link, &error)) {
        gw_fleet_link_drop(host, error);
        gw_fleet_link_is_down(host, error);
        return;
    }
    link->ready = TRUE;
    g_free(host->reached);
    host->reached = g_strdup(gw_session_address(session));
    gw_fleet_link_is_up(host);
}

/* An agent that says more than this in a minute says nothing that a person could read. */
static gboolean may_tell(GwFleetLink *link, guint *count, guint most)
{
    gint64 now = g_get_monotonic_time();

    if (now - link->minute_us > 60 * G_TIME_SPAN_SECOND) {
        link->minute_us = now;
        link->alarms = 0;
        link->changes = 0;
    }
    return (*count)++ < most;
}

static void alarm_came(GwFleetLink *link, const json_t *params)
{
    const char *uuid = json_string_value(json_object_get(params, "vm_uuid"));
    const char *text = json_string_value(json_object_get(params, "text"));

    if (text == NULL || !may_tell(link, &link->alarms, GW_FLEET_ALARMS_MAX))
        return;
    GwHyperEvent *event = gw_hyper_event_new(
        GW_EVENT_ALARM, link->host->id, uuid != NULL && g_uuid_string_is_valid(uuid) ? uuid : NULL);
    event->text = gw_text_printable(text, GW_TEXT_MESSAGE_MAX);
    gw_fleet_emit(link->fleet, event);
}

static void facts_changed(GwFleetLink *link)
{
    if (may_tell(link, &link->changes, GW_FLEET_CHANGES_MAX))
        gw_fleet_emit(link->fleet,
                      gw_hyper_event_new(GW_EVENT_FACTS_CHANGED, link->host->id, NULL));
}

static void on_notice(GwSession *session, const char *method, const json_t *params, gpointer user)
{
    GwFleetLink *link = user;

    if (link->host == NULL)
        return;
    if (strcmp(method, "alarm") == 0)
        alarm_came(link, params);
    else if (strcmp(method, "facts-changed") == 0)
        facts_changed(link);
    else
        g_debug("an agent's notice that this version does not know");
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    GwFleetLink *link = user;
    GwFleetHost *host = link->host;
    g_autoptr(GError) reason = NULL;

    if (host != NULL) {
        if (why != NULL)
            reason = g_error_copy(why);
        else
            gw_error_set(&reason, GW_ERR_UNREACHABLE, GW_FLEET_REMEDY_AGENT,
                         "the agent ended the session");
        host->link = NULL;
        link->host = NULL;
        close_socket(link);
        gw_fleet_link_is_down(host, reason);
    }
    link_unref(link);
}

/* What a controller says of itself besides what every side says. */
static json_t *make_hello(const GwFleet *fleet)
{
    return json_pack("{s:I, s:s}", "incarnation", (json_int_t)fleet->incarnation, "run",
                     fleet->run);
}

/* Asked anew for each session: the controller's certificate is renewed in time. */
static GwCredentials *credentials_of(GwFleet *fleet, GError **error)
{
    GwCredentials *credentials =
        gw_authority_credentials(fleet->authority, g_get_real_time() / G_USEC_PER_SEC, error);

    if (credentials != NULL && fleet->revoked != NULL)
        gw_credentials_set_revoked(credentials, (const char *const *)fleet->revoked);
    return credentials;
}

gboolean gw_fleet_link_dial(GwFleetHost *host, const char *const *addresses, GError **error)
{
    GwFleet *fleet = host->fleet;
    g_autoptr(GwCredentials) credentials = credentials_of(fleet, error);
    g_autoptr(GwJson) hello = make_hello(fleet);

    if (credentials == NULL)
        return FALSE;
    GwFleetLink *link = g_new0(GwFleetLink, 1);
    GwSessionOps ops = {
        .user = link, .ready = on_ready, .notice = on_notice, .closed = on_closed
    };
    link->fleet = fleet;
    link->refs = 1;
    link->host = host;
    link->listen_fd = -1;
    GwSessionConfig config = { .loop = fleet->loop,
                               .credentials = credentials,
                               .hello = hello,
                               .ops = &ops,
                               .expect_host_id = host->agent_id };
    host->link = link;
    g_mutex_lock(&fleet->lock);
    fleet->open_links++;
    g_mutex_unlock(&fleet->lock);
    link->session = gw_session_dial(&config, addresses);
    return TRUE;
}

void gw_fleet_link_drop(GwFleetHost *host, const GError *why)
{
    GwFleetLink *link = g_steal_pointer(&host->link);

    if (link == NULL)
        return;
    link->host = NULL;
    link->ready = FALSE;
    close_socket(link);
    gw_session_close(link->session, why);
}
