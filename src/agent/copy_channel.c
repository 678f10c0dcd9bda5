/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/copier_internal.h"
#include "base/error.h"

#define LAST_WORD_MS 10000 /* so long a failing end waits until the other has hung up */

static gboolean broken(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_UNREACHABLE, "Copy again: it goes on where it was.",
                 "the connection to the other end of the copy broke: %s", why);
    return FALSE;
}

static gboolean send_all(int fd, struct iovec *parts, gsize n_parts, GError **error)
{
    while (n_parts > 0) {
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return broken(error, g_strerror(errno));
        for (gsize done = (gsize)sent; n_parts > 0; parts++, n_parts--) {
            if (done < parts->iov_len) {
                parts->iov_base = (guint8 *)parts->iov_base + done;
                parts->iov_len -= done;
                break;
            }
            done -= parts->iov_len;
        }
    }
    return TRUE;
}

gboolean gw_copy_send(int fd, const guint8 *head, gsize head_length, const guint8 *bytes,
                      gsize length, GError **error)
{
    struct iovec parts[2] = { { (void *)head, head_length }, { (void *)bytes, length } };

    return send_all(fd, parts, length > 0 ? 2 : 1, error);
}

static gboolean receive_all(int fd, guint8 *into, gsize length, GError **error)
{
    while (length > 0) {
        ssize_t got = recv(fd, into, length, MSG_WAITALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return broken(error, got == 0 ? "it has closed" : g_strerror(errno));
        into += got;
        length -= (gsize)got;
    }
    return TRUE;
}

gboolean gw_copy_receive(GwCopier *copier, int fd, GwCopyFrame *frame, GError **error)
{
    guint8 header[GW_COPY_HEADER];
    GwCopyType type = GW_COPY_FAIL;
    guint32 length = 0;

    *frame = (GwCopyFrame){ 0 };
    if (!receive_all(fd, header, sizeof header, error) ||
        !gw_copy_header_get(header, &type, &length, error))
        return FALSE;
    if (!receive_all(fd, copier->frame, length, error) ||
        !gw_copy_payload_get(type, copier->frame, length, frame, error))
        return FALSE;
    if (type != GW_COPY_FAIL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&frame->error));
    return FALSE;
}

gboolean gw_copy_has_come(int fd)
{
    struct pollfd look = { .fd = fd, .events = POLLIN };

    return poll(&look, 1, 0) == 1;
}

/* What still comes is thrown away: a socket that is closed with something unread in it breaks, and
 * what was said last is lost with it. */
void gw_copy_say_failed(GwCopier *copier, int fd, const GError *error)
{
    guint8 words[GW_COPY_PUT_MAX];
    gsize length = gw_copy_put_fail(words, error);
    gint64 until_us = g_get_monotonic_time() + LAST_WORD_MS * 1000;

    if (!gw_copy_send(fd, words, length, NULL, 0, NULL) || shutdown(fd, SHUT_WR) != 0)
        return;
    for (;;) {
        struct pollfd look = { .fd = fd, .events = POLLIN };
        gint64 left_ms = (until_us - g_get_monotonic_time()) / 1000;
        if (left_ms <= 0 || poll(&look, 1, (int)left_ms) < 1 ||
            recv(fd, copier->frame, GW_COPY_PAYLOAD_MAX, MSG_DONTWAIT) <= 0)
            return;
    }
}
