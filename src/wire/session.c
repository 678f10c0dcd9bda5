/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/session.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "wire/session_internal.h"

#define MESSAGE_MAX 1000 /* characters of what goes over the wire; both fit GW_FRAME_OPEN_MAX */
#define REMEDY_MAX 400
#define VERSION_LIMIT 1000000

GwSessionTimes gw_session_times = {
    .handshake_us = GW_SESSION_HANDSHAKE_US,
    .quiet_us = GW_SESSION_QUIET_US,
    .ping_us = 5 * G_USEC_PER_SEC,
    .linger_us = G_USEC_PER_SEC,
    .connect_us = 3 * G_USEC_PER_SEC,
};

gboolean gw_session_hears(const GwSession *session)
{
    return session->state == GW_SESSION_HELLO || session->state == GW_SESSION_READY;
}

gboolean gw_session_is_up(const GwSession *session)
{
    return session->state < GW_SESSION_CLOSING;
}

/* Errors on the wire --------------------------------------------------------------------------- */

json_t *gw_session_error_json(const GError *error)
{
    if (error == NULL)
        return json_object();

    GwErrorCode code = error->domain == GW_ERROR ? (GwErrorCode)error->code : GW_ERR_INTERNAL;
    g_autofree char *message = gw_text_printable(error->message, MESSAGE_MAX);
    g_autofree char *remedy = gw_text_printable(gw_error_remedy(error), REMEDY_MAX);
    json_t *json = json_pack("{s:s, s:s}", "code", gw_error_code_word(code), "message", message);
    if (remedy[0] != '\0')
        json_object_set_new(json, "remedy", json_string(remedy));
    return json;
}

GError *gw_session_error_from_json(const json_t *json)
{
    const char *message = json_string_value(json_object_get(json, "message"));
    const char *code = json_string_value(json_object_get(json, "code"));
    const char *remedy = json_string_value(json_object_get(json, "remedy"));
    GError *error = NULL;

    if (message == NULL)
        return NULL;
    g_autofree char *clean = remedy != NULL ? gw_text_printable(remedy, REMEDY_MAX) : NULL;
    gw_error_set(&error, gw_error_code_from_word(code), clean, "%s", message);
    return error;
}

/* The session's turn ----------------------------------------------------------------------------
 */

static void free_session(gpointer data)
{
    GwSession *session = data;

    gw_stream_free_all(session);
    gw_session_free_calls(session);
    g_hash_table_unref(session->unanswered);
    g_hash_table_unref(session->streams);
    g_hash_table_unref(session->calls);
    g_hash_table_unref(session->asked);
    gw_scheduler_free(session->scheduler);
    gw_grant_set(&session->shared, NULL);
    g_byte_array_unref(session->wire);
    g_byte_array_unref(session->early);
    g_byte_array_unref(session->control);
    g_byte_array_unref(session->payload);
    gw_credentials_unref(session->credentials);
    gw_peer_free(session->peer);
    json_decref(session->hello);
    g_clear_error(&session->why);
    g_free(session->expect_host_id);
    g_free(session->address);
    g_free(session);
}

static void tell_all(GwSession *session)
{
    g_autoptr(GError) why = session->why != NULL ? g_error_copy(session->why) : NULL;

    if (why == NULL)
        gw_error_set(&why, GW_ERR_CANCELLED, NULL, "the session was closed");
    gw_stream_end_all(session, why);
    gw_session_fail_calls(session, why);
    gw_stream_tell_gone(session);
    gw_session_tell_calls(session);
}

/* The connection is over: the last words, then the end. */
static void finish(GwSession *session)
{
    gw_session_io_stop(session);
    g_clear_pointer(&session->dial, gw_dial_free);
    g_clear_pointer(&session->deadline, gw_timer_free);
    g_clear_pointer(&session->alive, gw_timer_free);
    g_clear_pointer(&session->limit_timer, gw_timer_free);
    tell_all(session);
    if (session->ops.closed != NULL)
        session->ops.closed(session, session->why, session->ops.user);
    /* What was opened or called by the last callback is told as well. */
    tell_all(session);
    session->state = GW_SESSION_FINISHED;
    if (session->finished != NULL)
        session->finished(session->hook);
    gw_loop_post(session->loop, free_session, session);
}

static void take_turn(gpointer data)
{
    GwSession *session = data;

    session->turn_posted = FALSE;
    if (session->state == GW_SESSION_FINISHED)
        return;
    gw_stream_tell_gone(session);
    gw_session_tell_calls(session);
    if (session->state >= GW_SESSION_CLOSING && !session->streams_told) {
        session->streams_told = TRUE;
        tell_all(session);
    }
    if (session->state != GW_SESSION_ENDED)
        gw_session_flush(session);
    if (session->state == GW_SESSION_ENDED)
        finish(session);
}

void gw_session_defer(GwSession *session)
{
    if (session->turn_posted || session->state == GW_SESSION_FINISHED)
        return;
    session->turn_posted = TRUE;
    gw_loop_post(session->loop, take_turn, session);
}

/* Ending -----------------------------------------------------------------------------------------
 */

void gw_session_end(GwSession *session, GError *why_stolen)
{
    if (session->state >= GW_SESSION_ENDED) {
        g_clear_error(&why_stolen);
        return;
    }
    /* Where we closed it, the reason is ours. */
    if (session->state == GW_SESSION_CLOSING)
        g_clear_error(&why_stolen);
    else
        session->why = why_stolen;
    session->state = GW_SESSION_ENDED;
    gw_session_defer(session);
}

void gw_session_close(GwSession *session, const GError *why)
{
    if (!gw_session_is_up(session))
        return;
    session->why = why != NULL ? g_error_copy(why) : NULL;
    if (session->state < GW_SESSION_HELLO) {
        session->state = GW_SESSION_ENDED;
    } else {
        g_autoptr(GwJson) json = gw_session_error_json(why);

        gw_session_send_json(session, GW_FRAME_BYE, 0, json);
        session->state = MAX(session->state, GW_SESSION_CLOSING);
        gw_timer_set(session->deadline, g_get_monotonic_time() + session->times.linger_us);
    }
    gw_session_defer(session);
}

static void break_off(GwSession *session, GError *why_stolen)
{
    g_autoptr(GError) why = why_stolen;

    gw_session_close(session, why);
}

void gw_session_violation(GwSession *session, const char *format, ...)
{
    g_autoptr(GError) why = NULL;
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(&why, GW_ERR_INVALID, NULL, "the protocol was broken: %s", what);
    gw_session_close(session, why);
}

/* Deadlines --------------------------------------------------------------------------------------
 */

static void on_deadline(gpointer user)
{
    GwSession *session = user;
    GError *why = NULL;

    if (session->state < GW_SESSION_READY)
        gw_error_set(&why, GW_ERR_TIMEOUT, NULL, "no greeting within %.1f s",
                     (double)session->times.handshake_us / G_USEC_PER_SEC);
    gw_session_end(session, why);
}

/* Asks when it has been quiet, and from time to time while data comes, since windows need to know
 * the delay. */
static void on_alive(gpointer user)
{
    GwSession *session = user;
    gint64 now_us = g_get_monotonic_time(), quiet_us = now_us - session->heard_us;

    if (session->state != GW_SESSION_READY)
        return;
    if (quiet_us >= session->times.quiet_us) {
        GError *why = NULL;
        gw_error_set(&why, GW_ERR_UNREACHABLE, "Look at the other side and at the network.",
                     "nothing was heard for %.1f s", (double)quiet_us / G_USEC_PER_SEC);
        gw_session_end(session, why);
        return;
    }
    if (quiet_us >= session->times.ping_us || session->received_bytes != session->received_before)
        gw_session_ping(session);
    session->received_before = session->received_bytes;
    gw_session_io_trim(session);
    gw_timer_set(session->alive,
                 MIN(now_us + session->times.ping_us, session->heard_us + session->times.quiet_us));
}

static void on_limit(gpointer user)
{
    gw_session_defer(user);
}

/* HELLO ------------------------------------------------------------------------------------------
 */

void gw_session_greet(GwSession *session)
{
    g_autoptr(GwJson) hello =
        json_pack("{s:[i,i], s:s, s:I}", "versions", GW_WIRE_VERSION_MIN, GW_WIRE_VERSION,
                  "software", GW_VERSION, "wall_us", (json_int_t)g_get_real_time());

    if (session->hello != NULL)
        json_object_update_missing(hello, session->hello);
    session->state = GW_SESSION_HELLO;
    gw_session_send_json(session, GW_FRAME_HELLO, 0, hello);
    gw_session_want(session);
}

static gboolean read_versions(const json_t *hello, int versions[2])
{
    const json_t *array = json_object_get(hello, "versions");

    if (!json_is_array(array) || json_array_size(array) != 2)
        return FALSE;
    for (gsize i = 0; i < 2; i++) {
        const json_t *number = json_array_get(array, i);
        json_int_t value = json_integer_value(number);

        if (!json_is_integer(number) || value < 1 || value > VERSION_LIMIT)
            return FALSE;
        versions[i] = (int)value;
    }
    return versions[0] <= versions[1];
}

static gboolean agree_on_version(GwSession *session, const json_t *hello)
{
    int theirs[2];

    if (!read_versions(hello, theirs) || !json_is_string(json_object_get(hello, "software")) ||
        !json_is_integer(json_object_get(hello, "wall_us"))) {
        gw_session_violation(session, "a HELLO without versions, software and wall_us");
        return FALSE;
    }
    session->version = MIN(theirs[1], GW_WIRE_VERSION);
    if (session->version >= MAX(theirs[0], GW_WIRE_VERSION_MIN))
        return TRUE;

    GError *why = NULL;
    gw_error_set(&why, GW_ERR_UNSUPPORTED, "Update the older side.",
                 "no common version of the protocol: %d to %d here (%s), %d to %d there (%s)",
                 GW_WIRE_VERSION_MIN, GW_WIRE_VERSION, GW_VERSION, theirs[0], theirs[1],
                 json_string_value(json_object_get(hello, "software")));
    break_off(session, why);
    return FALSE;
}

void gw_session_hello(GwSession *session, const json_t *hello)
{
    if (!agree_on_version(session, hello))
        return;
    session->state = GW_SESSION_READY;
    gw_timer_set(session->deadline, 0);
    gw_timer_set(session->alive, g_get_monotonic_time() + session->times.ping_us);
    gw_session_ping(session);
    gw_session_want(session);
    if (session->proved != NULL)
        session->proved(session->hook);
    if (session->ops.ready != NULL)
        session->ops.ready(session, hello, session->ops.user);
}

/* Making one --------------------------------------------------------------------------------------
 */

GwSession *gw_session_new_unconnected(const GwSessionConfig *config, gboolean dialling)
{
    GwSession *session = g_new0(GwSession, 1);

    session->loop = config->loop;
    if (config->credentials != NULL)
        session->credentials = gw_credentials_ref(config->credentials);
    session->hello = config->hello != NULL ? json_deep_copy(config->hello) : NULL;
    session->ops = *config->ops;
    session->expect_host_id = g_strdup(config->expect_host_id);
    session->dialling = dialling;
    session->times = gw_session_times;
    session->fd = -1;
    session->next_id = dialling ? 1 : 2;
    session->next_call_id = 1;
    session->rtt_us = -1;
    session->wire = g_byte_array_new();
    session->early = g_byte_array_new();
    session->control = g_byte_array_new();
    session->payload = g_byte_array_new();
    session->streams = g_hash_table_new(NULL, NULL);
    session->unanswered = g_hash_table_new(NULL, NULL);
    session->calls = g_hash_table_new(NULL, NULL);
    session->asked = g_hash_table_new(NULL, NULL);
    session->scheduler = gw_scheduler_new();
    session->deadline = gw_timer_new(session->loop, on_deadline, session);
    session->alive = gw_timer_new(session->loop, on_alive, session);
    session->limit_timer = gw_timer_new(session->loop, on_limit, session);
    return session;
}

static char *address_of(int fd)
{
    struct sockaddr_storage storage = { 0 };
    socklen_t length = sizeof storage;
    char host[INET6_ADDRSTRLEN], port[8];

    if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0 ||
        (storage.ss_family != AF_INET && storage.ss_family != AF_INET6) ||
        getnameinfo((struct sockaddr *)&storage, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return NULL;
    return g_strdup_printf(storage.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void gw_session_start(GwSession *session, int fd)
{
    int yes = 1, queue = 128 * 1024;

    session->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    /* What lies in the kernel cannot be overtaken by something urgent. */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &queue, sizeof queue);
    g_free(session->address);
    session->address = address_of(fd);
    session->state = GW_SESSION_HANDSHAKE;
    session->heard_us = g_get_monotonic_time();
    gw_timer_set(session->deadline, session->heard_us + session->times.handshake_us);
    gw_session_io_start(session);
}

GwSession *gw_session_new(const GwSessionConfig *config, int fd, gboolean dialling)
{
    GwSession *session = gw_session_new_unconnected(config, dialling);

    gw_session_start(session, fd);
    return session;
}

GwSession *gw_session_new_plain(const GwSessionConfig *config, const GwPeer *peer,
                                gboolean dialling)
{
    GwSession *session = gw_session_new_unconnected(config, dialling);

    session->peer = gw_peer_copy(peer);
    session->heard_us = g_get_monotonic_time();
    gw_session_greet(session);
    return session;
}

/* What is told of it ------------------------------------------------------------------------------
 */

GwLoop *gw_session_loop(const GwSession *session)
{
    return session->loop;
}

const GwPeer *gw_session_peer(const GwSession *session)
{
    return session->peer;
}

int gw_session_version(const GwSession *session)
{
    return session->version;
}

const char *gw_session_address(const GwSession *session)
{
    return session->address != NULL ? session->address : "";
}

void gw_session_set_bucket(GwSession *session, GwBucket *bucket)
{
    gw_grant_set(&session->shared, bucket);
    gw_session_want(session);
}

void gw_session_counts(GwSession *session, GwSessionCounts *counts)
{
    struct tcp_info info = { 0 };
    socklen_t length = sizeof info;

    *counts = (GwSessionCounts){ .sent_bytes = session->sent_bytes,
                                 .received_bytes = session->received_bytes,
                                 .streams = g_hash_table_size(session->streams),
                                 .rtt_us = session->rtt_us,
                                 .tcp_rtt_us = -1 };
    if (session->fd >= 0 && getsockopt(session->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0) {
        counts->tcp_rtt_us = info.tcpi_rtt;
        counts->retransmits = info.tcpi_total_retrans;
    }
}
