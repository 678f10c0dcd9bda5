/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/copier_internal.h"
#include "base/error.h"

/* The destination's end: writes what comes, tells digests of what it has, and reads all of it back
 * at the end. The other end is another host's; nothing of it is believed. */

#define BUSY_US G_USEC_PER_SEC

typedef struct {
    GwCopier *copier;
    int socket;
    GwCopyFile file;
    guint64 total;
    guint64 position; /* all before it has come */
    guint64 known;    /* what is before it was there before; digests are told of it … */
    guint64 told;     /* … so far to here */
    gint64 busy_us;   /* when the other heard of us last */
} Receiver;

static gboolean unexpected(GError **error, const char *what)
{
    gw_error_set(error, GW_ERR_INVALID, "Install the same version of the agent on both hosts.",
                 "the sender of the copy breaks the protocol: %s", what);
    return FALSE;
}

static gboolean put(Receiver *self, const guint8 *head, gsize head_length, const guint8 *bytes,
                    gsize length, GError **error)
{
    self->busy_us = g_get_monotonic_time();
    self->copier->figures->sent += head_length + length;
    return gw_copy_send(self->socket, head, head_length, bytes, length, error);
}

static gboolean say_busy(gpointer user, guint64 position, GError **error)
{
    Receiver *self = user;
    guint8 head[GW_COPY_PUT_MAX];

    gw_copier_tick(self->copier);
    if (g_get_monotonic_time() < self->busy_us + BUSY_US)
        return TRUE;
    self->copier->told_us = 0;
    gw_copier_tick(self->copier);
    return put(self, head, gw_copy_put_number(head, GW_COPY_BUSY, position), NULL, 0, error);
}

/* What it has ---------------------------------------------------------------------------------- */

static gboolean tell_window(Receiver *self, GError **error)
{
    guint8 digests[GW_COPY_WINDOW * GW_DIGEST_BYTES], head[GW_COPY_PUT_MAX];
    guint64 at = self->told, end = MIN(self->known, at + GW_COPY_WINDOW_BYTES);
    gsize length = 0;

    for (; at < end; at += GW_COPY_BLOCK, length += GW_DIGEST_BYTES) {
        gsize block = (gsize)MIN(end - at, GW_COPY_BLOCK);
        if (!gw_copy_file_block_digest(&self->file, at, block, self->copier->block,
                                       digests + length, error) ||
            !say_busy(self, at, error))
            return FALSE;
    }
    gsize head_length = gw_copy_put_bytes(head, GW_COPY_DIGESTS, self->told, length);
    self->told = end;
    return put(self, head, head_length, digests, length, error);
}

static gboolean tell(Receiver *self, GError **error)
{
    guint64 until = self->position - self->position % GW_COPY_WINDOW_BYTES +
                    GW_COPY_AHEAD * GW_COPY_WINDOW_BYTES;

    while (self->told < MIN(self->known, until)) {
        if (!tell_window(self, error))
            return FALSE;
    }
    return TRUE;
}

/* What comes ----------------------------------------------------------------------------------- */

static gboolean take_data(Receiver *self, const GwCopyFrame *frame, GError **error)
{
    self->copier->figures->written += frame->length;
    return gw_copy_file_write(&self->file, frame->offset, frame->bytes, (gsize)frame->length,
                              error);
}

static gboolean take_same(Receiver *self, const GwCopyFrame *frame, GError **error)
{
    guint64 end = frame->offset + frame->length;

    if (frame->offset % GW_COPY_BLOCK != 0 || end > self->told ||
        (end % GW_COPY_BLOCK != 0 && end != self->total))
        return unexpected(error, "it leaves out what it was told no digest of");
    self->copier->figures->same += frame->length;
    return TRUE;
}

static gboolean take(Receiver *self, const GwCopyFrame *frame, GError **error)
{
    gboolean ok = FALSE;

    if (!gw_copy_check_run(self->position, self->total, frame->offset, frame->length, error))
        return FALSE;
    if (frame->type == GW_COPY_DATA)
        ok = take_data(self, frame, error);
    else if (frame->type == GW_COPY_ZERO)
        ok = gw_copy_file_zero(&self->file, frame->offset, frame->length, self->copier->block,
                               error);
    else if (frame->type == GW_COPY_SAME)
        ok = take_same(self, frame, error);
    else
        unexpected(error, "a frame that is not its turn");
    self->position += frame->length;
    if (ok)
        self->copier->figures->position = self->position;
    gw_copier_tick(self->copier);
    return ok && tell(self, error);
}

static guint64 known_of(const Receiver *self, guint64 had)
{
    const GwCopierTask *task = self->copier->task;
    guint64 known = task->delta ? self->total : MIN(task->resume_bytes, self->total);

    known = MIN(known, had);
    return known == self->total ? known : known - known % GW_COPY_BLOCK;
}

static gboolean begin(Receiver *self, GError **error)
{
    const GwCopierTask *task = self->copier->task;
    guint8 head[GW_COPY_PUT_MAX];
    GwCopyFrame frame;

    if (!gw_copy_receive(self->copier, self->socket, &frame, error))
        return FALSE;
    if (frame.type != GW_COPY_BEGIN)
        return unexpected(error, "it does not begin");
    if (task->length != 0 && frame.length != task->length) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at the source anew, and copy again.",
                     "the source has %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
                     " were expected",
                     frame.length, task->length);
        return FALSE;
    }
    self->total = self->copier->figures->total = frame.length;
    self->known = known_of(self, self->file.length);
    if (!gw_copy_file_size(&self->file, self->total, self->known == 0, error))
        return FALSE;
    return put(self, head, gw_copy_put_number(head, GW_COPY_READY, self->known), NULL, 0, error) &&
           tell(self, error);
}

/* The digest is of what storage gives back, not of what was written. */
static gboolean end(Receiver *self, const GwCopyFrame *frame, GError **error)
{
    GwCopierFigures *figures = self->copier->figures;
    guint8 head[GW_COPY_PUT_MAX];
    char expected[GW_COPY_DIGEST_TEXT + 1];

    memcpy(expected, frame->digest, sizeof expected);
    if (self->position != self->total || frame->length != self->total)
        return unexpected(error, "it ends before its end");
    if (!gw_copy_file_sync(&self->file, error))
        return FALSE;
    figures->digest =
        gw_copy_file_digest(&self->file, self->total, self->copier->block, say_busy, self, error);
    if (figures->digest == NULL)
        return FALSE;
    if (strcmp(figures->digest, expected) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Look at the host's storage and memory.",
                     "what storage gives back is not what was sent: digest %s, expected %s",
                     figures->digest, expected);
        return FALSE;
    }
    figures->verified = TRUE;
    gsize length = gw_copy_put_digest(head, GW_COPY_DONE, self->total, figures->digest);
    return put(self, head, length, NULL, 0, error);
}

static gboolean receive_all(Receiver *self, GError **error)
{
    if (!begin(self, error))
        return FALSE;
    for (;;) {
        GwCopyFrame frame;
        if (!gw_copy_receive(self->copier, self->socket, &frame, error))
            return FALSE;
        if (frame.type == GW_COPY_END)
            return end(self, &frame, error);
        if (!take(self, &frame, error))
            return FALSE;
    }
}

gboolean gw_copier_receive(GwCopier *copier, int file, int socket, GError **error)
{
    Receiver self = { .copier = copier, .socket = socket };
    GError *why = NULL;

    copier->figures->how = g_strdup("between the agents");
    if (gw_copy_file_init(&self.file, file, &why) && receive_all(&self, &why))
        return TRUE;
    gw_copy_say_failed(copier, socket, why);
    g_propagate_error(error, why);
    return FALSE;
}
