/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection: TLS between two buffers of ciphertext, so that GnuTLS never waits and a full
 * buffer, not each record, is a call of the kernel. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/session_internal.h"

#define TURN_BYTES (256 * 1024) /* read or sent before the loop's others have their turn */

#define TRIES_MAX 32 /* of something in TLS that asks to be done again */

/* Buffers of a turn, of which a loop needs only one: between turns everything is used up. */
typedef struct {
    guint8 cipher[GW_SESSION_CHUNK];
    guint8 plain_in[GW_SESSION_CHUNK];
    guint8 plain_out[GW_SESSION_FILL_MAX];
} Scratch;

static Scratch *scratch_of_thread(void)
{
    static GPrivate scratches = G_PRIVATE_INIT(g_free);
    Scratch *scratch = g_private_get(&scratches);

    if (scratch == NULL) {
        scratch = g_malloc(sizeof *scratch);
        g_private_set(&scratches, scratch);
    }
    return scratch;
}

/* Under TLS --------------------------------------------------------------------------------------
 */

static ssize_t pull(gnutls_transport_ptr_t pointer, void *into, size_t room)
{
    GwSession *session = pointer;
    gsize n = MIN(room, session->in_length);

    if (n == 0) {
        gnutls_transport_set_errno(session->tls, EAGAIN);
        return -1;
    }
    memcpy(into, session->in, n);
    session->in += n;
    session->in_length -= n;
    return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t pointer, unsigned ms)
{
    return ((GwSession *)pointer)->in_length > 0;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *bytes, size_t length)
{
    GwSession *session = pointer;

    g_byte_array_append(session->wire, bytes, (guint)length);
    return (ssize_t)length;
}

static gboolean begin_tls(GwSession *session, GError **error)
{
    session->tls = gw_credentials_tls(session->credentials, session->dialling, error);
    if (session->tls == NULL)
        return FALSE;
    gnutls_transport_set_ptr(session->tls, session);
    gnutls_transport_set_pull_function(session->tls, pull);
    gnutls_transport_set_pull_timeout_function(session->tls, pull_timeout);
    gnutls_transport_set_push_function(session->tls, push);
    return TRUE;
}

/* Out --------------------------------------------------------------------------------------------
 */

/* Where so much waits to go out that the other seems to send without reading, we stop reading. */
static void watch_again(GwSession *session)
{
    guint32 events = 0;

    if (session->watch == NULL)
        return;
    if (session->state == GW_SESSION_CLOSING || gw_session_queued(session) < GW_SESSION_QUEUE_PAUSE)
        events |= EPOLLIN;
    if (session->wire->len > session->wire_at && !session->write_broken)
        events |= EPOLLOUT;
    gw_watch_set(session->watch, events);
}

static gboolean encrypt(GwSession *session, const guint8 *bytes, gsize length)
{
    if (session->tls == NULL) {
        g_byte_array_append(session->wire, bytes, (guint)length);
        return TRUE;
    }
    for (int tries = 0; length > 0;) {
        ssize_t n = gnutls_record_send(session->tls, bytes, length);

        if ((n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN) && tries++ < TRIES_MAX)
            continue;
        if (n <= 0) {
            GError *why = NULL;
            gw_error_set(&why, GW_ERR_INTERNAL, NULL, "TLS failed: %s", gnutls_strerror((int)n));
            gw_session_end(session, why);
            return FALSE;
        }
        bytes += n;
        length -= (gsize)n;
    }
    return TRUE;
}

/* FALSE: the kernel takes no more for now. */
static gboolean write_wire(GwSession *session)
{
    while (session->wire_at < session->wire->len) {
        ssize_t n = send(session->fd, session->wire->data + session->wire_at,
                         session->wire->len - session->wire_at, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            /* What the other said last may still be there to read; that tells the end. */
            session->write_broken = errno != EAGAIN && errno != EWOULDBLOCK;
            return FALSE;
        }
        session->wire_at += (gsize)n;
    }
    g_byte_array_set_size(session->wire, 0);
    session->wire_at = 0;
    return TRUE;
}

/* Sessions are many and mostly idle: they keep no large buffer. */
void gw_session_io_trim(GwSession *session)
{
    if (session->wire->len == 0)
        g_free(g_byte_array_steal(session->wire, NULL));
}

/* All is said: the end of TLS, then that of the connection. TRUE: there is more to write. */
static gboolean shut(GwSession *session)
{
    if (session->tls != NULL && !session->shut) {
        session->shut = TRUE;
        gnutls_bye(session->tls, GNUTLS_SHUT_WR);
        return TRUE;
    }
    shutdown(session->fd, SHUT_WR);
    return FALSE;
}

void gw_session_flush(GwSession *session)
{
    gint64 left = TURN_BYTES;

    if (session->fd < 0 || session->state <= GW_SESSION_CONNECTING)
        return;
    while (!session->write_broken && write_wire(session)) {
        if (session->state == GW_SESSION_HANDSHAKE || session->state >= GW_SESSION_ENDED)
            break;
        if (left <= 0) {
            gw_session_defer(session);
            break;
        }
        guint8 *plain = scratch_of_thread()->plain_out;
        gsize n = gw_session_fill(session, plain);
        if (n == 0 && (session->state != GW_SESSION_CLOSING || !shut(session)))
            break;
        if (!encrypt(session, plain, n))
            break;
        left -= (gint64)n;
    }
    watch_again(session);
}

void gw_session_take_plain(GwSession *session, GByteArray *out)
{
    guint8 *plain = scratch_of_thread()->plain_out;

    for (gsize n; session->state < GW_SESSION_ENDED && (n = gw_session_fill(session, plain)) > 0;)
        g_byte_array_append(out, plain, (guint)n);
    if (session->state == GW_SESSION_CLOSING)
        gw_session_end(session, NULL);
}

/* In ---------------------------------------------------------------------------------------------
 */

static void end_of_tls(GwSession *session, int status)
{
    GError *why = NULL;

    if (status == GNUTLS_E_FATAL_ALERT_RECEIVED)
        gw_error_set(&why, GW_ERR_UNAUTHORIZED, "Look at the other side's journal for the reason.",
                     "the other side ended TLS: %s",
                     gnutls_alert_get_name(gnutls_alert_get(session->tls)));
    else if (status == 0 || status == GNUTLS_E_PREMATURE_TERMINATION)
        gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the connection ended");
    else
        gw_error_set(&why, GW_ERR_INVALID, NULL, "TLS failed: %s", gnutls_strerror(status));
    gw_session_end(session, why);
}

/* Who answered must be who was dialled. */
static gboolean is_expected(GwSession *session, GError **error)
{
    const GwPeer *peer = session->peer;

    if (!session->dialling)
        return TRUE;
    if (session->expect_host_id == NULL
            ? peer->role == GW_PEER_CONTROLLER
            : peer->role == GW_PEER_HOST && g_str_equal(peer->host_id, session->expect_host_id))
        return TRUE;
    gw_error_set(error, GW_ERR_UNAUTHORIZED, "Correct the address, or enrol the host again.",
                 "dialled %s, but %s answered",
                 session->expect_host_id != NULL ? session->expect_host_id : "the controller",
                 peer->role == GW_PEER_HOST ? peer->host_id : "the controller");
    return FALSE;
}

static void shake_hands(GwSession *session)
{
    g_autoptr(GError) error = NULL;
    int status = GNUTLS_E_AGAIN;

    for (int idle = 0; idle < 2 && status < 0 && !gnutls_error_is_fatal(status);) {
        gsize before = session->in_length;

        status = gnutls_handshake(session->tls);
        idle = session->in_length == before ? idle + 1 : 0;
    }
    if (status < 0 && !gnutls_error_is_fatal(status))
        return;
    if (status < 0) {
        gnutls_alert_send_appropriate(session->tls, status);
        write_wire(session);
        end_of_tls(session, status);
        return;
    }
    session->state = GW_SESSION_HELLO;
    session->peer = gw_credentials_judge(session->credentials, session->tls, &error);
    if (session->peer != NULL && is_expected(session, &error))
        gw_session_greet(session);
    else
        gw_session_close(session, error);
}

/* As much plaintext as there is and fits, or a status below 1. New keys and the like make GnuTLS
 * return without data while there is more to decrypt: only two calls that took nothing are the end.
 */
static ssize_t decrypt(GwSession *session, guint8 *into, gsize room)
{
    ssize_t n = GNUTLS_E_AGAIN;

    for (int idle = 0; idle < 2 && n < 0 && !gnutls_error_is_fatal((int)n);) {
        gsize before = session->in_length;

        n = gnutls_record_recv(session->tls, into, room);
        idle = session->in_length == before ? idle + 1 : 0;
    }
    return n;
}

/* Decrypts all there is; the parser gets it in pieces as large as may be. */
static int read_records(GwSession *session, guint8 *plain)
{
    ssize_t n = 1;

    while (n > 0 && gw_session_hears(session)) {
        gsize have = 0;

        while (have < GW_SESSION_CHUNK &&
               (n = decrypt(session, plain + have, GW_SESSION_CHUNK - have)) > 0)
            have += (gsize)n;
        gw_session_feed(session, plain, have);
    }
    return n > 0 || (n < 0 && !gnutls_error_is_fatal((int)n)) ? GNUTLS_E_AGAIN : (int)n;
}

static void take(GwSession *session, const guint8 *bytes, gsize length)
{
    session->in = bytes;
    session->in_length = length;
    if (session->state == GW_SESSION_HANDSHAKE)
        shake_hands(session);
    if (gw_session_hears(session)) {
        int status = read_records(session, scratch_of_thread()->plain_in);

        if (status != GNUTLS_E_AGAIN && gw_session_hears(session))
            end_of_tls(session, status);
    }
    session->in_length = 0;
}

static void end_of_connection(GwSession *session, int failure)
{
    GError *why = NULL;

    if (failure != 0)
        gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the connection broke: %s",
                     g_strerror(failure));
    else
        gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the other side ended the connection%s",
                     session->state == GW_SESSION_HANDSHAKE ? " during the handshake" : "");
    gw_session_end(session, why);
}

static void read_connection(GwSession *session)
{
    Scratch *scratch = scratch_of_thread();

    for (gsize got = 0; got < TURN_BYTES && session->state < GW_SESSION_ENDED;) {
        ssize_t n = recv(session->fd, scratch->cipher, sizeof scratch->cipher, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            end_of_connection(session, n < 0 ? errno : 0);
            return;
        }
        session->heard_us = g_get_monotonic_time();
        take(session, scratch->cipher, (gsize)n);
        got += (gsize)n;
        if ((gsize)n < sizeof scratch->cipher ||
            gw_session_queued(session) >= GW_SESSION_QUEUE_PAUSE)
            return;
    }
}

static void on_ready(gpointer user, guint32 events)
{
    GwSession *session = user;

    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        read_connection(session);
    gw_session_defer(session);
}

void gw_session_io_start(GwSession *session)
{
    g_autoptr(GError) error = NULL;

    if (!begin_tls(session, &error)) {
        gw_session_end(session, g_steal_pointer(&error));
        return;
    }
    session->watch = gw_watch_new(session->loop, session->fd, EPOLLIN, on_ready, session);
    if (session->dialling)
        take(session, NULL, 0);
    gw_session_defer(session);
}

void gw_session_io_stop(GwSession *session)
{
    g_clear_pointer(&session->watch, gw_watch_free);
    g_clear_pointer(&session->tls, gnutls_deinit);
    if (session->fd >= 0)
        close(session->fd);
    session->fd = -1;
}
