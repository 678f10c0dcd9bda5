/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tunnel.h"

#include "base/error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (256 * 1024)
#define STREAMS_MAX 64
#define WARM_UP 200 /* round trips before those that count */

static guint64 received[STREAMS_MAX]; /* of each connection, in the order of accepting; atomic */
static gint connections;              /* atomic */

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* Of all lines a program is told on stdin; each asks for something. FALSE: no more of them. */
static gboolean is_asked(void)
{
    char line[64];
    return fgets(line, sizeof line, stdin) != NULL;
}

static gpointer swallow(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    int mine = g_atomic_int_add(&connections, 1);
    g_autofree guint8 *buffer = g_malloc(CHUNK);
    ssize_t got;

    while ((got = read(fd, buffer, CHUNK)) > 0 || (got < 0 && errno == EINTR))
        if (got > 0 && mine < STREAMS_MAX)
            __atomic_add_fetch(&received[mine], (guint64)got, __ATOMIC_RELAXED);
    close(fd);
    return NULL;
}

static gpointer echo(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    int on = 1;
    char byte;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
        ;
    close(fd);
    return NULL;
}

typedef struct {
    int fd;
    GThreadFunc serve;
} Listening;

static gpointer accept_all(gpointer data)
{
    Listening *listening = data;
    int fd;
    while ((fd = accept(listening->fd, NULL, NULL)) >= 0)
        g_thread_unref(g_thread_new("serve", listening->serve, GINT_TO_POINTER(fd)));
    return NULL;
}

static gboolean listen_all(char **ends, GThreadFunc serve, GError **error)
{
    for (char **end = ends; *end != NULL; end++) {
        Listening *listening = g_new(Listening, 1); /* for the life of the program */
        *listening = (Listening){ end_listen(*end, error), serve };
        if (listening->fd < 0)
            return FALSE;
        g_thread_unref(g_thread_new("accept", accept_all, listening));
    }
    say("{\"ready\": true}");
    return TRUE;
}

static void remove_all(char **ends)
{
    for (char **end = ends; *end != NULL; end++)
        end_remove(*end);
}

/* Counts what comes; each line on stdin is answered by what came until then. */
gboolean run_sink(char **ends, GError **error)
{
    if (!listen_all(ends, swallow, error))
        return FALSE;
    while (is_asked()) {
        g_autoptr(GString) line = g_string_new(NULL);
        int count = MIN(g_atomic_int_get(&connections), STREAMS_MAX);
        g_string_printf(line, "{\"us\": %" G_GINT64_FORMAT ", \"bytes\": [",
                        g_get_monotonic_time());
        for (int i = 0; i < count; i++)
            g_string_append_printf(line, "%s%" G_GUINT64_FORMAT, i > 0 ? ", " : "",
                                   __atomic_load_n(&received[i], __ATOMIC_RELAXED));
        g_string_append(line, "]}");
        say(line->str);
    }
    remove_all(ends);
    return TRUE;
}

gboolean run_pong(char **ends, GError **error)
{
    if (!listen_all(ends, echo, error))
        return FALSE;
    while (is_asked())
        ;
    remove_all(ends);
    return TRUE;
}

static gpointer pour(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    g_autofree guint32 *buffer = g_malloc(CHUNK);
    for (gsize i = 0; i < CHUNK / sizeof *buffer; i++)
        buffer[i] = g_random_int();
    /* MSG_NOSIGNAL: a carrier that gave up is told by the sink's count. */
    while (send(fd, buffer, CHUNK, MSG_NOSIGNAL) > 0 || errno == EINTR)
        ;
    fprintf(stderr, "tunnel: a stream broke: %s\n", g_strerror(errno));
    return NULL;
}

/* One stream to each end, as fast as it takes them, until stdin ends. */
gboolean run_blast(char **ends, GError **error)
{
    for (char **end = ends; *end != NULL; end++) {
        int fd = end_connect(*end, error);
        if (fd < 0)
            return FALSE;
        g_thread_unref(g_thread_new("pour", pour, GINT_TO_POINTER(fd)));
    }
    say("{\"ready\": true}");
    while (is_asked())
        ;
    return TRUE;
}

static gint by_value(gconstpointer one, gconstpointer other)
{
    gint64 a = *(const gint64 *)one, b = *(const gint64 *)other;
    return a < b ? -1 : a > b;
}

static gint64 now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (gint64)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* One byte there and back, @count times, one after the other. */
gboolean run_ping(char **ends, gint count, GError **error)
{
    if (count < 1 || count > 10000000) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "--count is from 1 to 10000000");
        return FALSE;
    }
    int fd = end_connect(ends[0], error);
    if (fd < 0)
        return FALSE;
    g_autofree gint64 *took = g_new(gint64, count);
    for (gint i = -WARM_UP; i < count; i++) {
        gint64 begun = now_ns();
        char byte = 'p';
        if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || read(fd, &byte, 1) != 1) {
            gw_error_set(error, GW_ERR_OPERATION, NULL, "the echo broke off after %d round trips",
                         i + WARM_UP);
            close(fd);
            return FALSE;
        }
        if (i >= 0)
            took[i] = now_ns() - begun;
    }
    close(fd);
    qsort(took, (gsize)count, sizeof *took, by_value);
    g_autofree char *line = g_strdup_printf(
        "{\"count\": %d, \"median_us\": %.3f, \"p99_us\": %.3f, \"most_us\": %.3f}", count,
        (double)took[count / 2] / 1000, (double)took[(gint64)count * 99 / 100] / 1000,
        (double)took[count - 1] / 1000);
    say(line);
    return TRUE;
}
