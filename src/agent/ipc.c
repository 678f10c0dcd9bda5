/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define QUEUE_MAX (8 * 1024 * 1024) /* bytes that wait for a reader that does not read */
/* So much waits that calls are refused and notices dropped: what others make us say must not use up
 * the queue, which would end the agent. */
#define QUEUE_BUSY (QUEUE_MAX / 2)
#define BUFFER (1024 * 1024) /* of the socket, so that the largest packet passes in one go */
#define TURN 64              /* packets read before others on the loop have their turn */
#define METHOD_MAX 64

typedef struct {
    char *text;
    gsize length;
    int fd; /* ours, or -1 */
} Packet;

typedef struct {
    GwIpcDone done;
    gpointer user;
} Pending;

struct GwIpc {
    GwLoop *loop;
    int fd; /* -1 once it is over */
    GwWatch *watch;
    GwIpcOps ops;
    GQueue packets; /* Packet, that the socket did not take yet */
    gsize queued;
    GHashTable *calls;     /* ours: id to Pending */
    GHashTable *to_answer; /* the other's ids */
    guint64 last_id;
    guint busy; /* inside callbacks: freed only after them */
    gboolean freed;
    char *buffer;
};

static void packet_free(Packet *packet)
{
    if (packet->fd >= 0)
        close(packet->fd);
    g_free(packet->text);
    g_free(packet);
}

static guint64 *id_copy(guint64 id)
{
    return g_memdup2(&id, sizeof id);
}

static json_t *error_to_json(const GError *error)
{
    const char *word = error->domain == GW_ERROR ? gw_error_code_word(error->code) : "internal";
    const char *remedy = gw_error_remedy(error);
    g_autofree char *message = gw_text_printable(error->message, GW_TEXT_MESSAGE_MAX);
    json_t *json = json_pack("{s:s, s:s}", "code", word, "message", message);

    if (remedy != NULL)
        json_object_set_new(json, "remedy", json_string(remedy));
    return json;
}

static GError *error_from_json(const json_t *json)
{
    const char *code = json_string_value(json_object_get(json, "code"));
    const char *message = json_string_value(json_object_get(json, "message"));
    const char *remedy = json_string_value(json_object_get(json, "remedy"));
    g_autofree char *clean = remedy != NULL ? gw_text_printable(remedy, GW_TEXT_MESSAGE_MAX) : NULL;
    GError *error = NULL;

    gw_error_set(&error, gw_error_code_from_word(code), clean, "%s",
                 message != NULL ? message : "an error without a message");
    return error;
}

/* Sending ------------------------------------------------------------------------------------- */

/* Nothing more can be said. The watch sees the hang-up and tells, from the loop. */
static void break_off(GwIpc *ipc)
{
    if (ipc->fd >= 0)
        shutdown(ipc->fd, SHUT_RDWR);
}

/* 1: sent, 0: later, -1: never. */
static int send_packet(GwIpc *ipc, const Packet *packet)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec part = { packet->text, packet->length };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (packet->fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &packet->fd, sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(ipc->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    return (gsize)sent == packet->length ? 1 : -1;
}

static void flush(GwIpc *ipc)
{
    Packet *packet;

    while (ipc->fd >= 0 && (packet = g_queue_peek_head(&ipc->packets)) != NULL) {
        int sent = send_packet(ipc, packet);
        if (sent == 0)
            break;
        if (sent < 0) {
            break_off(ipc);
            break;
        }
        g_queue_pop_head(&ipc->packets);
        ipc->queued -= packet->length;
        packet_free(packet);
    }
    if (ipc->watch != NULL)
        gw_watch_set(ipc->watch, EPOLLIN | (g_queue_is_empty(&ipc->packets) ? 0u : EPOLLOUT));
}

/* @json is stolen. FALSE: larger than a packet may be, nothing is sent. */
static gboolean send_json(GwIpc *ipc, json_t *json, int fd)
{
    g_autofree char *text = gw_json_text(json);
    gsize length = strlen(text);

    json_decref(json);
    if (length > GW_IPC_PACKET_MAX)
        return FALSE;
    if (ipc->fd < 0)
        return TRUE;
    Packet *packet = g_new(Packet, 1);
    *packet = (Packet){ g_steal_pointer(&text), length, -1 };
    if (fd >= 0 && (packet->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        packet_free(packet);
        break_off(ipc); /* an answer that lost its descriptor would mislead */
        return TRUE;
    }
    g_queue_push_tail(&ipc->packets, packet);
    ipc->queued += length;
    if (ipc->queued > QUEUE_MAX)
        break_off(ipc);
    else
        flush(ipc);
    return TRUE;
}

static void fail_call(GwIpcDone done, gpointer user, GwErrorCode code, const char *message)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, code, NULL, "%s", message);
    done(NULL, -1, error, user);
}

void gw_ipc_call(GwIpc *ipc, const char *method, json_t *params_stolen, int fd, GwIpcDone done,
                 gpointer user)
{
    json_t *json = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)(ipc->last_id + 1), "method",
                             method, "params", params_stolen);

    if (json == NULL || ipc->fd < 0 || ipc->queued > QUEUE_BUSY ||
        g_hash_table_size(ipc->calls) >= GW_IPC_CALLS_MAX) {
        gboolean over = ipc->fd < 0;
        json_decref(json);
        fail_call(done, user, over ? GW_ERR_UNREACHABLE : GW_ERR_CONFLICT,
                  over ? "the agent's other process is gone"
                       : "too many questions to the agent's other process are open");
        return;
    }
    guint64 id = ++ipc->last_id;
    Pending *pending = g_new(Pending, 1);
    *pending = (Pending){ done, user };
    g_hash_table_insert(ipc->calls, id_copy(id), pending);
    if (send_json(ipc, json, fd))
        return;
    g_hash_table_remove(ipc->calls, &id);
    fail_call(done, user, GW_ERR_TOO_LARGE,
              "a question to the agent's other process is larger than a packet");
}

void gw_ipc_answer(GwIpc *ipc, guint64 id, json_t *result_stolen, int fd, const GError *error)
{
    g_autoptr(GError) large = NULL;
    json_t *json = json_pack("{s:I}", "id", (json_int_t)id);

    if (!g_hash_table_remove(ipc->to_answer, &id)) {
        json_decref(result_stolen); /* asked by who is gone */
        json_decref(json);
        return;
    }
    if (error != NULL) {
        json_decref(result_stolen);
        json_object_set_new(json, "error", error_to_json(error));
        send_json(ipc, json, -1);
        return;
    }
    json_object_set_new(json, "result", result_stolen != NULL ? result_stolen : json_object());
    if (send_json(ipc, json, fd))
        return;
    gw_error_set(&large, GW_ERR_TOO_LARGE, NULL, "the answer is larger than %d bytes",
                 GW_IPC_PACKET_MAX);
    send_json(ipc, json_pack("{s:I, s:o}", "id", (json_int_t)id, "error", error_to_json(large)),
              -1);
}

void gw_ipc_notice(GwIpc *ipc, const char *method, json_t *params_stolen)
{
    json_t *json = json_pack("{s:s, s:o}", "method", method, "params", params_stolen);

    if (ipc->queued > QUEUE_BUSY) {
        json_decref(json);
        return;
    }
    if (json == NULL || !send_json(ipc, json, -1))
        g_warning("a notice '%s' to the agent's other process could not be sent", method);
}

/* Receiving ----------------------------------------------------------------------------------- */

static void fail_calls(GwIpc *ipc, const GError *why)
{
    g_autoptr(GHashTable) calls = g_steal_pointer(&ipc->calls);
    GHashTableIter iter;
    gpointer value;

    ipc->calls = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    g_hash_table_iter_init(&iter, calls);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Pending *pending = value;
        pending->done(NULL, -1, why, pending->user);
    }
}

static void end(GwIpc *ipc)
{
    g_clear_pointer(&ipc->watch, gw_watch_free);
    if (ipc->fd >= 0)
        close(ipc->fd);
    ipc->fd = -1;
    g_queue_clear_full(&ipc->packets, (GDestroyNotify)packet_free);
    ipc->queued = 0;
    g_hash_table_remove_all(ipc->to_answer);
}

static void over(GwIpc *ipc, const GError *why)
{
    end(ipc);
    fail_calls(ipc, why);
    if (!ipc->freed && ipc->ops.closed != NULL)
        ipc->ops.closed(ipc, why, ipc->ops.user);
}

static gboolean bad_packet(GError **error, const char *what)
{
    gw_error_set(error, GW_ERR_INVALID, NULL, "the agent's other process sent %s", what);
    return FALSE;
}

static gboolean take_answer(GwIpc *ipc, guint64 id, const json_t *json, int *fd, GError **error)
{
    const json_t *result = json_object_get(json, "result");
    const json_t *problem = json_object_get(json, "error");
    Pending *pending = g_hash_table_lookup(ipc->calls, &id);

    if (pending == NULL)
        return bad_packet(error, "an answer that nobody asked for");
    if ((result == NULL) == (problem == NULL))
        return bad_packet(error, "an answer that is neither result nor error");
    Pending call = *pending;
    g_hash_table_remove(ipc->calls, &id);
    g_autoptr(GError) failed = problem != NULL ? error_from_json(problem) : NULL;
    call.done(result, failed == NULL ? *fd : -1, failed, call.user);
    if (failed == NULL)
        *fd = -1;
    return TRUE;
}

static gboolean take_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int *fd,
                          GError **error)
{
    g_autoptr(GError) refused = NULL;

    if (g_hash_table_size(ipc->to_answer) >= GW_IPC_CALLS_MAX)
        return bad_packet(error, "more calls than may be open");
    if (!g_hash_table_add(ipc->to_answer, id_copy(id)))
        return bad_packet(error, "a call under the number of an open one");
    if (ipc->ops.call != NULL) {
        ipc->ops.call(ipc, id, method, params, *fd, ipc->ops.user);
        *fd = -1;
        return TRUE;
    }
    gw_error_set(&refused, GW_ERR_UNSUPPORTED, NULL, "no calls are answered here");
    gw_ipc_answer(ipc, id, NULL, -1, refused);
    return TRUE;
}

/* What is left in *@fd is not wanted. */
static gboolean take_packet(GwIpc *ipc, const char *text, gsize length, int *fd, GError **error)
{
    g_autoptr(GwJson) json = gw_json_parse(text, length, GW_IPC_PACKET_MAX, error);
    if (json == NULL)
        return FALSE;
    const json_t *id = json_object_get(json, "id");
    const json_t *params = json_object_get(json, "params");
    const char *method = json_string_value(json_object_get(json, "method"));

    if (!json_is_object(json) ||
        (id != NULL && (!json_is_integer(id) || json_integer_value(id) < 1)))
        return bad_packet(error, "a packet without a form");
    if (method == NULL)
        return id != NULL ? take_answer(ipc, (guint64)json_integer_value(id), json, fd, error)
                          : bad_packet(error, "a packet that is nothing");
    if (!json_is_object(params) || strlen(method) > METHOD_MAX)
        return bad_packet(error, "a call without parameters");
    if (id != NULL)
        return take_call(ipc, (guint64)json_integer_value(id), method, params, fd, error);
    if (ipc->ops.notice != NULL)
        ipc->ops.notice(ipc, method, params, ipc->ops.user);
    return TRUE;
}

/* Takes every descriptor out of @message, keeps one. FALSE: there were more, all are closed. */
static gboolean take_fds(struct msghdr *message, int *fd)
{
    gboolean one = TRUE;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        gsize count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (gsize i = 0; i < count; i++) {
            int each;
            memcpy(&each, CMSG_DATA(head) + i * sizeof(int), sizeof each);
            if (*fd < 0 && one) {
                *fd = each;
                continue;
            }
            one = FALSE;
            close(each);
        }
    }
    if (!one && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return one;
}

/* 1: a packet was taken, 0: none is there, -1: over, with @error. */
static int receive(GwIpc *ipc, GError **error)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control;
    struct iovec part = { ipc->buffer, GW_IPC_PACKET_MAX };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
    int fd = -1;
    ssize_t length = recvmsg(ipc->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    if (length <= 0) {
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "the agent's other process is gone%s%s",
                     length < 0 ? ": " : "", length < 0 ? g_strerror(errno) : "");
        return -1;
    }
    gboolean whole = take_fds(&message, &fd) && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    gboolean good = whole ? take_packet(ipc, ipc->buffer, (gsize)length, &fd, error)
                          : bad_packet(error, "a packet that is too large");
    if (fd >= 0)
        close(fd);
    return good ? 1 : -1;
}

static void destroy(GwIpc *ipc)
{
    g_hash_table_unref(ipc->calls);
    g_hash_table_unref(ipc->to_answer);
    g_free(ipc->buffer);
    g_free(ipc);
}

static void on_ready(gpointer user, guint32 events)
{
    GwIpc *ipc = user;
    g_autoptr(GError) error = NULL;
    int got = 1;

    ipc->busy++;
    if (events & EPOLLOUT)
        flush(ipc);
    for (guint i = 0; i < TURN && got == 1 && !ipc->freed && ipc->fd >= 0; i++)
        got = receive(ipc, &error);
    if (got < 0 && !ipc->freed)
        over(ipc, error);
    if (--ipc->busy == 0 && ipc->freed)
        destroy(ipc);
}

GwIpc *gw_ipc_new(GwLoop *loop, int fd, const GwIpcOps *ops)
{
    GwIpc *ipc = g_new0(GwIpc, 1);
    int size = BUFFER;

    *ipc = (GwIpc){ .loop = loop, .fd = fd, .ops = *ops };
    g_queue_init(&ipc->packets);
    ipc->calls = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    ipc->to_answer = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    ipc->buffer = g_malloc(GW_IPC_PACKET_MAX);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ipc->watch = gw_watch_new(loop, fd, EPOLLIN, on_ready, ipc);
    return ipc;
}

void gw_ipc_free(GwIpc *ipc)
{
    g_autoptr(GError) error = NULL;

    if (ipc == NULL || ipc->freed)
        return;
    ipc->freed = TRUE;
    ipc->busy++;
    end(ipc);
    gw_error_set(&error, GW_ERR_CANCELLED, NULL, "this process ends");
    fail_calls(ipc, error);
    if (--ipc->busy == 0)
        destroy(ipc);
}
