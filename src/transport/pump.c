/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transport/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

/* Of a unix socket: fewer turns for a fast link, and still under a millisecond of what hides from
 * QEMU's estimate of the bandwidth (it takes what it could write for what got through). */
#define SOCKET_BUFFER (512 * 1024)
#define SCRATCH (64 * 1024)
/* After the stream is over, how long the socket's reader may take nothing of what is left. */
#define DRAIN_US (60 * G_USEC_PER_SEC)

typedef struct {
    GwLoop *loop;
    GwStream *stream; /* NULL once it is gone */
    int fd;
    gboolean is_socket;
    GwWatch *watch; /* NULL before it is open, and after a hang-up: level-triggered, that would
                       never rest */
    GwTimer *drain; /* once the stream is gone with something left to write */
    GwPumpConfig config;
    GError *why;
    guint64 read_bytes, written_bytes;
    gboolean hung_up;     /* nothing more will come than what the socket holds */
    gboolean want_read;   /* the stream could take bytes and the socket had none */
    gboolean read_ended;  /* told the stream so */
    gboolean write_ended; /* the other said so: shut down after the backlog */
    gboolean shut;        /* done so */
    gboolean broken;      /* reset: gone comes */
    GByteArray *held;     /* through the filter, for the stream; from @held_at */
    gsize held_at;
    GByteArray *backlog; /* for the socket; from @backlog_at. At most a window, and what the filter
                            held back */
    gsize backlog_at;
    gsize unacknowledged; /* came from the stream, and was not said to be consumed */
} Pump;

static void pump_free(Pump *pump)
{
    g_clear_pointer(&pump->watch, gw_watch_free);
    g_clear_pointer(&pump->drain, gw_timer_free);
    if (pump->is_socket)
        shutdown(pump->fd, SHUT_RDWR); /* whoever else has a copy: this is the end of it */
    close(pump->fd);
    if (pump->config.done != NULL)
        pump->config.done(pump->config.user, pump->read_bytes, pump->written_bytes, pump->why);
    if (pump->config.to_stream.free != NULL)
        pump->config.to_stream.free(pump->config.to_stream.filter);
    if (pump->config.to_socket.free != NULL)
        pump->config.to_socket.free(pump->config.to_socket.filter);
    g_clear_pointer(&pump->held, g_byte_array_unref);
    g_clear_pointer(&pump->backlog, g_byte_array_unref);
    g_clear_error(&pump->why);
    g_free(pump);
}

static void break_stream(Pump *pump, const GError *why)
{
    if (pump->broken)
        return;
    pump->broken = TRUE;
    g_clear_pointer(&pump->watch, gw_watch_free);
    if (pump->stream != NULL)
        gw_stream_reset(pump->stream, why);
}

static void break_by_errno(Pump *pump, const char *what, int code)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_UNREACHABLE, NULL, "the local socket cannot be %s: %s", what,
                 g_strerror(code));
    break_stream(pump, error);
}

static gsize backlog_length(const Pump *pump)
{
    return pump->backlog != NULL ? pump->backlog->len - pump->backlog_at : 0;
}

static void update_watch(Pump *pump)
{
    guint32 events = (pump->want_read && !pump->read_ended ? EPOLLIN : 0u) |
                     (backlog_length(pump) > 0 ? EPOLLOUT : 0u);

    if (pump->watch != NULL)
        gw_watch_set(pump->watch, events);
}

/* From the socket to the stream --------------------------------------------------------------- */

static void end_reading(Pump *pump)
{
    pump->read_ended = TRUE;
    update_watch(pump);
    gw_stream_end(pump->stream);
}

/* 0: nothing now, or nothing ever again, which was then said. */
static gsize read_socket(Pump *pump, guint8 *into, gsize room)
{
    ssize_t got;

    do {
        got = read(pump->fd, into, room);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        pump->read_bytes += (guint64)got;
        return (gsize)got;
    }
    if (got == 0 || errno == EBADF) { /* EBADF: the writing end of a pipe */
        end_reading(pump);
    } else if ((errno == EAGAIN || errno == EWOULDBLOCK) && !pump->hung_up) {
        pump->want_read = TRUE;
        update_watch(pump);
    } else {
        break_by_errno(pump, "read", errno);
    }
    return 0;
}

static gsize give_held(Pump *pump, guint8 *into, gsize room)
{
    gsize length = MIN(room, pump->held->len - pump->held_at);

    memcpy(into, pump->held->data + pump->held_at, length);
    pump->held_at += length;
    if (pump->held_at == pump->held->len) {
        g_byte_array_set_size(pump->held, 0);
        pump->held_at = 0;
    }
    return length;
}

static gsize pull_filtered(Pump *pump, guint8 *into, gsize room)
{
    const GwPumpFilter *filter = &pump->config.to_stream;
    guint8 scratch[SCRATCH];

    if (pump->held == NULL)
        pump->held = g_byte_array_new();
    while (pump->held->len == 0) {
        g_autoptr(GError) error = NULL;
        gsize got = read_socket(pump, scratch, sizeof scratch);
        if (got == 0)
            return 0;
        if (!filter->pass(filter->filter, scratch, got, pump->held, &error)) {
            break_stream(pump, error);
            return 0;
        }
    }
    return give_held(pump, into, room);
}

static gsize on_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    Pump *pump = user;

    if (pump->broken || pump->read_ended)
        return 0;
    return pump->config.to_stream.pass != NULL ? pull_filtered(pump, into, room)
                                               : read_socket(pump, into, room);
}

/* From the stream to the socket --------------------------------------------------------------- */

/* -1 with errno. 0: it takes nothing now. */
static gssize write_socket(Pump *pump, const guint8 *bytes, gsize length)
{
    ssize_t put;

    do {
        put = pump->is_socket ? send(pump->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : write(pump->fd, bytes, length);
    } while (put < 0 && errno == EINTR);
    if (put > 0)
        pump->written_bytes += (guint64)put;
    return put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : put;
}

/* Credit goes back for what no longer waits here. What the filter holds back counts as gone, or a
 * packet larger than the window would never become whole; its ceiling is the filter's. */
static void acknowledge(Pump *pump)
{
    gsize waiting = backlog_length(pump);

    if (pump->stream == NULL || pump->broken || pump->unacknowledged <= waiting)
        return;
    gsize gone = pump->unacknowledged - waiting;
    pump->unacknowledged = waiting;
    gw_stream_consumed(pump->stream, gone);
}

/* FALSE: broken. */
static gboolean write_backlog(Pump *pump)
{
    while (backlog_length(pump) > 0) {
        gssize put =
            write_socket(pump, pump->backlog->data + pump->backlog_at, backlog_length(pump));
        if (put < 0) {
            break_by_errno(pump, "written", errno);
            return FALSE;
        }
        if (put == 0)
            return TRUE;
        pump->backlog_at += (gsize)put;
    }
    /* Given back when it is empty: a thousand idle streams must not keep their largest backlog. */
    g_clear_pointer(&pump->backlog, g_byte_array_unref);
    pump->backlog_at = 0;
    return TRUE;
}

static void shut_if_ended(Pump *pump)
{
    if (!pump->write_ended || pump->shut || backlog_length(pump) > 0)
        return;
    pump->shut = TRUE;
    if (pump->is_socket)
        shutdown(pump->fd, SHUT_WR); /* fails where the other end is gone already */
}

static void keep(Pump *pump, const guint8 *bytes, gsize length)
{
    if (pump->backlog == NULL)
        pump->backlog = g_byte_array_new();
    if (pump->backlog_at > pump->backlog->len / 2) {
        g_byte_array_remove_range(pump->backlog, 0, (guint)pump->backlog_at);
        pump->backlog_at = 0;
    }
    g_byte_array_append(pump->backlog, bytes, (guint)length);
}

static gboolean keep_filtered(Pump *pump, const guint8 *bytes, gsize length)
{
    const GwPumpFilter *filter = &pump->config.to_socket;
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    if (!filter->pass(filter->filter, bytes, length, out, &error)) {
        break_stream(pump, error);
        return FALSE;
    }
    if (out->len > 0)
        keep(pump, out->data, out->len);
    return TRUE;
}

/* Straight to the socket where nothing waits before it. FALSE: broken. */
static gboolean write_or_keep(Pump *pump, const guint8 *bytes, gsize length)
{
    gssize put = 0;

    if (backlog_length(pump) == 0 && (put = write_socket(pump, bytes, length)) < 0) {
        break_by_errno(pump, "written", errno);
        return FALSE;
    }
    if ((gsize)put < length)
        keep(pump, bytes + put, length - (gsize)put);
    return TRUE;
}

static void on_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    Pump *pump = user;

    if (pump->broken || pump->write_ended)
        return;
    pump->unacknowledged += length;
    if (pump->config.to_socket.pass == NULL) {
        if (!write_or_keep(pump, bytes, length))
            return;
    } else if (!keep_filtered(pump, bytes, length) || !write_backlog(pump)) {
        return;
    }
    acknowledge(pump);
    update_watch(pump);
}

static void on_ended(GwStream *stream, gpointer user)
{
    Pump *pump = user;

    pump->write_ended = TRUE;
    shut_if_ended(pump);
}

/* Both ways ----------------------------------------------------------------------------------- */

static void on_drain_due(gpointer user)
{
    pump_free(user);
}

/* The socket's readiness once the stream is over: only the backlog is left. */
static void drain(Pump *pump, guint32 events)
{
    guint64 before = pump->written_bytes;

    if (!write_backlog(pump) || backlog_length(pump) == 0 ||
        ((events & (EPOLLHUP | EPOLLERR)) && pump->written_bytes == before)) {
        if (!pump->broken)
            shut_if_ended(pump);
        pump_free(pump);
        return;
    }
    if (pump->written_bytes > before)
        gw_timer_set(pump->drain, g_get_monotonic_time() + DRAIN_US);
}

static void hang_up(Pump *pump)
{
    pump->hung_up = TRUE;
    g_clear_pointer(&pump->watch, gw_watch_free);
    if (!pump->read_ended)
        gw_stream_ready(pump->stream); /* what is left is read, then its end */
}

static void on_socket(gpointer user, guint32 events)
{
    Pump *pump = user;

    if (pump->stream == NULL) {
        drain(pump, events);
        return;
    }
    if (backlog_length(pump) > 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
        if (!write_backlog(pump))
            return;
        acknowledge(pump);
        shut_if_ended(pump);
    }
    if ((events & EPOLLIN) && pump->want_read) {
        pump->want_read = FALSE;
        gw_stream_ready(pump->stream);
    }
    if (events & (EPOLLHUP | EPOLLERR))
        hang_up(pump);
    else
        update_watch(pump);
}

static void begin(Pump *pump)
{
    pump->watch = gw_watch_new(pump->loop, pump->fd, 0, on_socket, pump);
    gw_stream_ready(pump->stream);
}

static void on_opened(GwStream *stream, gpointer user)
{
    begin(user);
}

/* Where the other had said that no more comes, what is left is whole: it is still written, even
 * where the stream broke on the way back. */
static void on_gone(GwStream *stream, const GError *why, gpointer user)
{
    Pump *pump = user;

    pump->stream = NULL;
    pump->why = why != NULL ? g_error_copy(why) : NULL;
    if (pump->broken || !pump->write_ended || backlog_length(pump) == 0) {
        pump_free(pump);
        return;
    }
    pump->drain = gw_timer_new(pump->loop, on_drain_due, pump);
    gw_timer_set(pump->drain, g_get_monotonic_time() + DRAIN_US);
    if (pump->watch == NULL)
        pump->watch = gw_watch_new(pump->loop, pump->fd, EPOLLOUT, on_socket, pump);
    else
        gw_watch_set(pump->watch, EPOLLOUT);
}

static const GwStreamOps pump_ops = { on_opened, on_pull, on_push, on_ended, on_gone };

static Pump *pump_new(GwLoop *loop, int fd, const GwPumpConfig *config)
{
    Pump *pump = g_new0(Pump, 1);
    int domain = 0, size = SOCKET_BUFFER;
    socklen_t length = sizeof domain;

    *pump = (Pump){ .loop = loop, .fd = fd, .config = *config };
    pump->is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0;
    if (pump->is_socket && domain == AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return pump;
}

GwStream *gw_pump_open(GwSession *session, json_t *what_stolen, int fd, const GwPumpConfig *config)
{
    Pump *pump = pump_new(gw_session_loop(session), fd, config);

    pump->stream = gw_stream_open(session, what_stolen, &config->share, &pump_ops, pump);
    return pump->stream;
}

void gw_pump_accept(GwStream *stream, int fd, const GwPumpConfig *config)
{
    Pump *pump = pump_new(gw_session_loop(gw_stream_session(stream)), fd, config);

    pump->stream = stream;
    gw_stream_accept(stream, &config->share, &pump_ops, pump);
    begin(pump);
}
