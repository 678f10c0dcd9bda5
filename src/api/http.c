/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#include "api/call.h"
#include "api/certificate.h"
#include "api/internal.h"
#include "base/clock.h"
#include "base/error.h"

/* The HTTP library and our calls. A thread for each connection: handlers may block.
 *
 * The library passes a request in three kinds of calls of on_request: once when the headers are
 * there, then with the parts of the body, at last without a part. A reply queued at the first one
 * closes the connection, so that happens only where a huge body shall not be read; all others
 * wait for the last. */

#define STACK_BYTES (512 * 1024)
#define MEMORY_BYTES (32 * 1024) /* of a connection: also the ceiling of its headers */
#define LIST_BLOCK (64 * 1024)
#define EVENT_BLOCK (8 * 1024)

static const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

struct GwHttp {
    GwApi *api;
    struct MHD_Daemon *daemon;
    GwDeadlines *deadlines;
    int listen_fd;
    guint16 port;
};

/* A request: from the first line on. */
typedef struct {
    char *target;
    GwCall *call; /* NULL until the headers are there */
} Request;

static GwDeadline *deadline_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void set_deadline(GwHttp *http, struct MHD_Connection *connection, guint seconds)
{
    GwDeadline *deadline = deadline_of(connection);
    if (deadline != NULL)
        gw_deadline_set(http->deadlines, deadline, seconds);
}

/* Replies ------------------------------------------------------------------------------------ */

typedef struct {
    GwCall *call;
    GString *pending;
    gsize sent; /* of pending */
    gboolean ended;
} Reader;

static ssize_t read_stream(void *cls, uint64_t position, char *buffer, size_t max)
{
    Reader *reader = cls;
    GwStream *stream = &reader->call->reply.stream;

    while (reader->sent == reader->pending->len) {
        if (reader->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        g_string_truncate(reader->pending, 0);
        reader->sent = 0;
        reader->ended = !stream->next(stream->self, reader->pending);
    }
    gsize length = MIN(max, reader->pending->len - reader->sent);
    memcpy(buffer, reader->pending->str + reader->sent, length);
    reader->sent += length;
    return (ssize_t)length;
}

static void free_reader(void *cls)
{
    Reader *reader = cls;
    g_string_free(reader->pending, TRUE);
    g_free(reader);
}

static struct MHD_Response *make_response(GwCall *call)
{
    GwReply *reply = &call->reply;

    if (reply->stream.next == NULL) {
        gsize length = reply->body != NULL ? reply->body->len : 0;
        /* The call outlives its response: it is freed when the request has completed. */
        return MHD_create_response_from_buffer(length, length > 0 ? reply->body->str : (char *)"",
                                               MHD_RESPMEM_PERSISTENT);
    }
    Reader *reader = g_new0(Reader, 1);
    reader->call = call;
    reader->pending = g_string_new(NULL);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
                                             reply->stream.endless ? EVENT_BLOCK : LIST_BLOCK,
                                             read_stream, reader, free_reader);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value != NULL)
        MHD_add_response_header(response, name, value);
}

static void add_headers(struct MHD_Response *response, const GwReply *reply)
{
    static const char *const always[][2] = {
        { "Cache-Control", "no-store" },
        { "X-Content-Type-Options", "nosniff" },
        { "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { "Referrer-Policy", "no-referrer" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(always); i++)
        add_header(response, always[i][0], always[i][1]);
    add_header(response, "Content-Type", reply->content_type);
    add_header(response, "ETag", reply->etag);
    add_header(response, "Location", reply->location);
    add_header(response, "Allow", reply->allow);
    if (reply->status == 401)
        add_header(response, "WWW-Authenticate", "Bearer realm=\"godwit\"");
    if (reply->replayed)
        add_header(response, "Idempotency-Replayed", "true");
    if (reply->retry_after_s > 0) {
        g_autofree char *seconds = g_strdup_printf("%u", reply->retry_after_s);
        add_header(response, "Retry-After", seconds);
    }
}

static enum MHD_Result send_reply(GwHttp *http, struct MHD_Connection *connection, GwCall *call)
{
    struct MHD_Response *response = make_response(call);

    if (response == NULL)
        return MHD_NO;
    add_headers(response, &call->reply);
    set_deadline(http, connection,
                 call->reply.stream.endless ? 0 : http->api->config.reply_timeout_s);
    enum MHD_Result queued = MHD_queue_response(connection, call->reply.status, response);
    MHD_destroy_response(response);
    return queued;
}

/* Requests ----------------------------------------------------------------------------------- */

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    Request *request = g_new0(Request, 1);

    request->target = g_strdup(target);
    return request;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    GwHttp *http = cls;
    Request *request = *context;

    *context = NULL;
    if (request == NULL)
        return;
    gw_call_free(request->call);
    g_free(request->target);
    g_free(request);
    set_deadline(http, connection, http->api->config.request_timeout_s);
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* The announced length of the body; -1: none or not known. */
static gint64 announced_length(struct MHD_Connection *connection)
{
    const char *text = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    guint64 length = 0;

    if (text == NULL || header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL)
        return -1;
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &length, NULL) ? (gint64)length : -1;
}

/* A client that is answered while it still sends may see only that its connection broke. So the
 * body of a refused request is read and dropped, unless it is huge or the client waits for leave to
 * send it. */
static gboolean is_not_worth_reading(GwHttp *http, struct MHD_Connection *connection, gint64 length)
{
    gint64 max = (gint64)http->api->config.body_max;

    return length > max * GW_CALL_DISCARD_FACTOR ||
           (length > max && header(connection, MHD_HTTP_HEADER_EXPECT) != NULL);
}

static enum MHD_Result begin(GwHttp *http, struct MHD_Connection *connection, Request *request,
                             const char *method)
{
    gint64 length = announced_length(connection);
    GwDeadline *deadline = deadline_of(connection);
    GwCall *call = gw_call_new(http->api, method, request->target);

    request->call = call;
    call->socket = deadline != NULL ? gw_deadline_fd(deadline) : -1;
    for (int i = 0; i < GW_HEADER_COUNT; i++)
        call->headers[i] = g_strdup(header(connection, gw_header_names[i]));
    gboolean refused = !gw_call_check_head(call, length);
    return refused && is_not_worth_reading(http, connection, length)
               ? send_reply(http, connection, call)
               : MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    GwHttp *http = cls;
    Request *request = *context;

    if (request == NULL)
        return MHD_NO;
    if (request->call == NULL)
        return begin(http, connection, request, method);
    if (*size > 0) {
        gboolean go_on = gw_call_add_body(request->call, data, *size);
        *size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    set_deadline(http, connection, 0);
    gw_call_run(request->call);
    return send_reply(http, connection, request->call);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    GwHttp *http = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info == NULL)
            return;
        GwDeadline *deadline = gw_deadline_add(http->deadlines, info->connect_fd);
        gw_deadline_set(http->deadlines, deadline, http->api->config.request_timeout_s);
        *context = deadline;
    } else if (*context != NULL) {
        gw_deadline_remove(http->deadlines, *context);
        *context = NULL;
    }
}

/* Targets are decoded by us (target.c), strictly; the library shall not. */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    return strlen(text);
}

static void on_log(void *cls, const char *format, va_list args) G_GNUC_PRINTF(2, 0);

static void on_log(void *cls, const char *format, va_list args)
{
    g_autofree char *line = g_strdup_vprintf(format, args);
    g_debug("http: %s", g_strchomp(line));
}

/* Life --------------------------------------------------------------------------------------- */

static gboolean start_daemon(GwHttp *http, const GwCertificate *certificate, GError **error)
{
    const GwApiConfig *config = &http->api->config;
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, certificate != NULL ? certificate->certificate : NULL },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, certificate != NULL ? certificate->key : NULL },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)tls_priorities },
        { MHD_OPTION_END, 0, NULL },
    };
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;

    if (certificate == NULL)
        tls[0] = tls[3];
    else
        flags |= MHD_USE_TLS;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT,
        config->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        config->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT,
        MAX(config->request_timeout_s, 2 * config->keep_alive_s),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_END);
    if (http->daemon != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INTERNAL, "Look at the debug log.", "the HTTP server cannot start");
    return FALSE;
}

static GwCertificate *get_certificate(const GwApiConfig *config, GError **error)
{
    g_autoptr(GwClock) clock = gw_clock_new_system();
    return gw_certificate_ensure(config->certificate_path, config->key_path, config->names,
                                 gw_clock_wall_us(clock), error);
}

GwHttp *gw_http_start(GwApi *api, GError **error)
{
    g_autoptr(GwCertificate) certificate = NULL;

    if (!api->config.plain) {
        certificate = get_certificate(&api->config, error);
        if (certificate == NULL)
            return NULL;
        api->fingerprint = gw_certificate_fingerprint(certificate);
    }
    int fd = gw_listen(api->config.address, api->config.port, error);
    if (fd < 0)
        return NULL;

    GwHttp *http = g_new0(GwHttp, 1);
    http->api = api;
    http->listen_fd = fd;
    http->port = gw_listen_port(fd);
    http->deadlines = gw_deadlines_new();
    if (start_daemon(http, certificate, error))
        return http;
    close(fd);
    gw_deadlines_free(http->deadlines);
    g_free(http);
    return NULL;
}

void gw_http_stop(GwHttp *http)
{
    MHD_stop_daemon(http->daemon); /* closes the listening socket too */
    gw_deadlines_free(http->deadlines);
    g_free(http);
}

guint16 gw_http_port(const GwHttp *http)
{
    return http->port;
}
