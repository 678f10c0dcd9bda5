/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <time.h>

#include "agent/copier_internal.h"
#include "base/error.h"

/* The source's end: reads, skips holes, leaves out what the other has. */

#define BURST_US (100 * 1000) /* a limit may be exceeded by so much time's worth */

typedef struct {
    GwCopier *copier;
    int socket;
    GwCopyFile file;
    GwDigest *digest; /* of all that was read */
    guint64 known;    /* of what is before it the other tells digests */
    guint8 told[GW_COPY_WINDOW][GW_DIGEST_BYTES];
    GwCopyType run; /* ZERO or SAME that is not said yet; 0: none */
    guint64 run_offset, run_length;
    guint64 hole_end; /* what was last looked at ends there … */
    gboolean hole;    /* … and is one */
} Sender;

static void sleep_us(gint64 us)
{
    const struct timespec time = { us / G_USEC_PER_SEC, us % G_USEC_PER_SEC * 1000 };

    nanosleep(&time, NULL);
}

static void keep_limit(GwCopier *copier, gsize bytes)
{
    gint64 now_us = g_get_monotonic_time();

    if (copier->task->bytes_per_s == 0)
        return;
    copier->due_us = MAX(copier->due_us, now_us - BURST_US) +
                     (gint64)((double)bytes * G_USEC_PER_SEC / (double)copier->task->bytes_per_s);
    if (copier->due_us > now_us)
        sleep_us(copier->due_us - now_us);
}

/* The other's reason counts more than that it hung up. */
static gboolean put(Sender *self, const guint8 *head, gsize head_length, const guint8 *bytes,
                    gsize length, GError **error)
{
    GError *broke = NULL, *why = NULL;
    GwCopyFrame frame;

    if (gw_copy_send(self->socket, head, head_length, bytes, length, &broke)) {
        self->copier->figures->sent += head_length + length;
        keep_limit(self->copier, head_length + length);
        return TRUE;
    }
    while (why == NULL)
        gw_copy_receive(self->copier, self->socket, &frame, &why);
    if (g_error_matches(why, GW_ERROR, GW_ERR_UNREACHABLE)) {
        g_clear_error(&why);
        g_propagate_error(error, broke);
    } else {
        g_clear_error(&broke);
        g_propagate_error(error, why);
    }
    return FALSE;
}

static gboolean unexpected(GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, "Install the same version of the agent on both hosts.",
                 "the receiver of the copy breaks the protocol: a frame that is not its turn");
    return FALSE;
}

/* The next that says something. */
static gboolean receive(Sender *self, GwCopyType wanted, GwCopyFrame *frame, GError **error)
{
    do {
        if (!gw_copy_receive(self->copier, self->socket, frame, error))
            return FALSE;
        self->copier->told_us = 0; /* a sign of life is to be passed on */
        gw_copier_tick(self->copier);
    } while (frame->type == GW_COPY_BUSY);
    return frame->type == wanted || unexpected(error);
}

/* Runs ----------------------------------------------------------------------------------------- */

static gboolean flush(Sender *self, GError **error)
{
    guint8 head[GW_COPY_PUT_MAX];
    GwCopyType run = self->run;

    self->run = 0;
    return run == 0 ||
           put(self, head, gw_copy_put_run(head, run, self->run_offset, self->run_length), NULL, 0,
               error);
}

static gboolean say_run(Sender *self, GwCopyType type, guint64 offset, guint64 length,
                        GError **error)
{
    if (type == GW_COPY_SAME)
        self->copier->figures->same += length;
    if (self->run == type) {
        self->run_length += length;
        return TRUE;
    }
    if (!flush(self, error))
        return FALSE;
    self->run = type;
    self->run_offset = offset;
    self->run_length = length;
    return TRUE;
}

static gboolean say_data(Sender *self, guint64 offset, const guint8 *bytes, gsize length,
                         GError **error)
{
    guint8 head[GW_COPY_PUT_MAX];

    return flush(self, error) &&
           put(self, head, gw_copy_put_bytes(head, GW_COPY_DATA, offset, length), bytes, length,
               error);
}

/* Blocks --------------------------------------------------------------------------------------- */

static gboolean is_hole(Sender *self, guint64 offset, guint64 end)
{
    if (offset >= self->hole_end)
        self->hole_end = gw_copy_file_run(&self->file, offset, self->file.length, &self->hole);
    return self->hole && end <= self->hole_end;
}

static gboolean is_there(const Sender *self, guint64 offset, gsize length, const guint8 *bytes)
{
    guint8 digest[GW_DIGEST_BYTES];
    guint64 block = offset % GW_COPY_WINDOW_BYTES / GW_COPY_BLOCK;

    if (offset + length > self->known)
        return FALSE;
    gw_digest_block(bytes, length, digest);
    return memcmp(digest, self->told[block], sizeof digest) == 0;
}

static gboolean send_parts(Sender *self, guint64 offset, gsize length, GError **error)
{
    const guint8 *bytes = self->copier->block;

    while (length > 0) {
        gboolean zero = FALSE;
        gsize part = gw_copy_same_kind(bytes, length, &zero);
        if (zero ? !say_run(self, GW_COPY_ZERO, offset, part, error)
                 : !say_data(self, offset, bytes, part, error))
            return FALSE;
        bytes += part;
        offset += part;
        length -= part;
    }
    return TRUE;
}

static gboolean send_block(Sender *self, guint64 offset, gsize length, GError **error)
{
    guint8 *block = self->copier->block;

    if (is_hole(self, offset, offset + length)) {
        gw_digest_zeros(self->digest, length);
        return say_run(self, GW_COPY_ZERO, offset, length, error);
    }
    if (!gw_copy_file_read(&self->file, offset, block, length, error))
        return FALSE;
    self->copier->figures->read += length;
    gw_digest_update(self->digest, block, length);
    if (is_there(self, offset, length, block))
        return say_run(self, GW_COPY_SAME, offset, length, error);
    return send_parts(self, offset, length, error);
}

/* Windows -------------------------------------------------------------------------------------- */

static gboolean take_digests(Sender *self, guint64 offset, GError **error)
{
    GwCopyFrame frame;
    guint64 end = MIN(self->known, offset + GW_COPY_WINDOW_BYTES);
    guint64 blocks = end > offset ? (end - offset + GW_COPY_BLOCK - 1) / GW_COPY_BLOCK : 0;

    if (blocks == 0)
        return TRUE;
    if (!receive(self, GW_COPY_DIGESTS, &frame, error))
        return FALSE;
    if (frame.offset != offset || frame.n_digests != blocks)
        return unexpected(error);
    memcpy(self->told, frame.bytes, blocks * GW_DIGEST_BYTES);
    return TRUE;
}

/* Hears of its end early; but for where digests of later windows come first. */
static gboolean is_alive(Sender *self, guint64 window_end, GError **error)
{
    GwCopyFrame frame;

    if (window_end < self->known || !gw_copy_has_come(self->socket))
        return TRUE;
    if (!gw_copy_receive(self->copier, self->socket, &frame, error))
        return FALSE;
    return frame.type == GW_COPY_BUSY || unexpected(error);
}

static gboolean send_window(Sender *self, guint64 offset, GError **error)
{
    guint64 end = MIN(self->file.length, offset + GW_COPY_WINDOW_BYTES);

    if (!take_digests(self, offset, error) || !gw_copy_file_is_same(&self->file, error))
        return FALSE;
    for (; offset < end; offset += GW_COPY_BLOCK) {
        if (!is_alive(self, end, error) ||
            !send_block(self, offset, (gsize)MIN(end - offset, GW_COPY_BLOCK), error))
            return FALSE;
        self->copier->figures->position = MIN(end, offset + GW_COPY_BLOCK);
        gw_copier_tick(self->copier);
    }
    /* The other tells no more digests until it knows that we are here; and it is not to think that
     * we are dead. */
    return flush(self, error);
}

static gboolean begin(Sender *self, GError **error)
{
    guint8 head[GW_COPY_PUT_MAX];
    GwCopyFrame frame;

    self->copier->figures->total = self->file.length;
    if (!put(self, head, gw_copy_put_begin(head, self->file.length), NULL, 0, error) ||
        !receive(self, GW_COPY_READY, &frame, error))
        return FALSE;
    self->known = frame.length;
    return (self->known <= self->file.length &&
            (self->known == self->file.length || self->known % GW_COPY_BLOCK == 0)) ||
           unexpected(error);
}

static gboolean end(Sender *self, GError **error)
{
    guint8 head[GW_COPY_PUT_MAX];
    GwCopierFigures *figures = self->copier->figures;
    GwCopyFrame frame;

    if (!flush(self, error) || !gw_copy_file_is_same(&self->file, error))
        return FALSE;
    figures->digest = gw_digest_finish(self->digest);
    gsize length = gw_copy_put_digest(head, GW_COPY_END, self->file.length, figures->digest);
    if (!put(self, head, length, NULL, 0, error) || !receive(self, GW_COPY_DONE, &frame, error))
        return FALSE;
    if (frame.length != self->file.length || strcmp(frame.digest, figures->digest) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Look at the destination's storage and memory.",
                     "what the destination has is not what was sent: digest %s, expected %s",
                     frame.digest, figures->digest);
        return FALSE;
    }
    figures->verified = TRUE;
    return TRUE;
}

static gboolean send_all(Sender *self, GError **error)
{
    if (!begin(self, error))
        return FALSE;
    for (guint64 at = 0; at < self->file.length; at += GW_COPY_WINDOW_BYTES) {
        if (!send_window(self, at, error))
            return FALSE;
    }
    return end(self, error);
}

gboolean gw_copier_send(GwCopier *copier, int file, int socket, GError **error)
{
    g_autofree Sender *self = g_new0(Sender, 1);
    g_autoptr(GwDigest) digest = gw_digest_new();
    GError *why = NULL;

    self->copier = copier;
    self->socket = socket;
    self->digest = digest;
    copier->figures->how = g_strdup("between the agents");
    if (gw_copy_file_init(&self->file, file, &why) && send_all(self, &why))
        return TRUE;
    gw_copy_say_failed(copier, socket, why);
    g_propagate_error(error, why);
    return FALSE;
}
