/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"

/* Content of volumes over libvirt's streams, with holes.
 *
 * Nothing holds a stream back: libvirt's client queues whatever the host sends, read or not
 * (virnetclientstream.c), and libvirtd queues whatever it is sent, written or not (virfdstream.c).
 * So both go in pieces, and what is queued has a ceiling: a piece read is asked for by its length,
 * a piece written is ended, which waits until it is on its way to the storage.
 *
 * A hole that is written moves libvirtd's place in the file and cuts the file off there: what the
 * file held after that is gone, what it held in the hole's place stays. So whoever writes holes
 * cuts the file off first (gw_lv_cut). To block devices libvirtd writes zeros.
 *
 * libvirtd forgets an error of the last bytes before the end of a stream: only reading back shows
 * what was written. And libvirtd 11.3 dies of a full disk under a stream ("virsh vol-upload" shows
 * it), so whoever writes sees to it that there is room for the next piece. */

#define READ_PIECE_BYTES (32 * 1024 * 1024)
#define BUFFER_BYTES (1024 * 1024)
#define IN_HOLE (-3) /* of virStreamRecvFlags */

static gboolean fail(GError **error, virStreamPtr stream)
{
    gw_lv_error(error);
    if (stream != NULL)
        virStreamAbort(stream);
    return FALSE;
}

/* Reading ------------------------------------------------------------------------------------- */

/* The next bytes, or hole, of @stream, at most @left; *@got 0: its end. */
static gboolean receive(virStreamPtr stream, guint8 *buffer, guint64 left, guint64 *got,
                        gboolean *hole, GError **error)
{
    long long length = 0;
    int n = virStreamRecvFlags(stream, (char *)buffer, MIN(BUFFER_BYTES, left),
                               VIR_STREAM_RECV_STOP_AT_HOLE);

    *hole = n == IN_HOLE;
    if (n >= 0) {
        *got = (guint64)n;
        return TRUE;
    }
    if (n != IN_HOLE || virStreamRecvHole(stream, &length, 0) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    *got = length > 0 ? MIN((guint64)length, left) : 0;
    return TRUE;
}

static gboolean read_stream(virStreamPtr stream, guint8 *buffer, guint64 length, GwLvContent each,
                            gpointer user, GError **error)
{
    while (length > 0) {
        guint64 got = 0;
        gboolean hole = FALSE;
        if (!receive(stream, buffer, length, &got, &hole, error))
            return FALSE;
        if (got == 0) {
            gw_error_set(error, GW_ERR_CONFLICT, "Let nothing write to it, and try again.",
                         "it is shorter than it was said to be");
            return FALSE;
        }
        if (!each(user, hole ? NULL : buffer, got, error))
            return FALSE;
        length -= got;
    }
    return TRUE;
}

static gboolean read_piece(virConnectPtr ptr, virStorageVolPtr volume, guint64 offset,
                           guint64 length, guint8 *buffer, GwLvContent each, gpointer user,
                           GError **error)
{
    g_autoptr(virStream) stream = virStreamNew(ptr, 0);

    if (stream == NULL || virStorageVolDownload(volume, stream, offset, length,
                                                VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    if (!read_stream(stream, buffer, length, each, user, error)) {
        virStreamAbort(stream);
        return FALSE;
    }
    if (virStreamFinish(stream) < 0)
        virStreamAbort(stream); /* all that was asked for is here: its end does not matter */
    return TRUE;
}

gboolean gw_lv_read(virConnectPtr ptr, virStorageVolPtr volume, guint64 offset, guint64 length,
                    GwLvContent each, gpointer user, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(BUFFER_BYTES);

    while (length > 0) {
        guint64 piece = MIN(length, READ_PIECE_BYTES);
        if (!read_piece(ptr, volume, offset, piece, buffer, each, user, error))
            return FALSE;
        offset += piece;
        length -= piece;
    }
    return TRUE;
}

/* Writing ------------------------------------------------------------------------------------- */

void gw_lv_writer_clear(GwLvWriter *writer)
{
    if (writer->stream == NULL)
        return;
    virStreamAbort(writer->stream);
    g_clear_pointer(&writer->stream, virStreamFree);
}

static gboolean open_writer(GwLvWriter *writer, GError **error)
{
    if (writer->stream != NULL)
        return TRUE;
    writer->stream = virStreamNew(writer->ptr, 0);
    writer->unproved = 0;
    if (writer->stream != NULL && virStorageVolUpload(writer->volume, writer->stream, writer->at, 0,
                                                      VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) == 0)
        return TRUE;
    gw_lv_error(error);
    g_clear_pointer(&writer->stream, virStreamFree);
    return FALSE;
}

gboolean gw_lv_write_end(GwLvWriter *writer, GError **error)
{
    gboolean well = writer->stream == NULL || virStreamFinish(writer->stream) == 0;

    if (!well)
        fail(error, writer->stream);
    g_clear_pointer(&writer->stream, virStreamFree);
    return well;
}

static gboolean send_bytes(GwLvWriter *writer, const guint8 *data, guint64 length, GError **error)
{
    while (length > 0) {
        int n = virStreamSend(writer->stream, (const char *)data, MIN(length, BUFFER_BYTES));
        if (n < 0) {
            fail(error, writer->stream);
            g_clear_pointer(&writer->stream, virStreamFree);
            return FALSE;
        }
        data += n;
        length -= (guint64)n;
        writer->at += (guint64)n;
        writer->unproved += (guint64)n;
    }
    return TRUE;
}

static gboolean send_hole(GwLvWriter *writer, guint64 length, GError **error)
{
    if (virStreamSendHole(writer->stream, (long long)length, 0) < 0) {
        fail(error, writer->stream);
        g_clear_pointer(&writer->stream, virStreamFree);
        return FALSE;
    }
    writer->at += length;
    return TRUE;
}

gboolean gw_lv_write(GwLvWriter *writer, const guint8 *data, guint64 length, GError **error)
{
    if (length == 0)
        return TRUE;
    if (!open_writer(writer, error))
        return FALSE;
    if (!(data != NULL ? send_bytes(writer, data, length, error)
                       : send_hole(writer, length, error)))
        return FALSE;
    return writer->unproved < GW_LV_WRITE_PIECE_BYTES || gw_lv_write_end(writer, error);
}

gboolean gw_lv_cut(virConnectPtr ptr, virStorageVolPtr volume, guint64 length, GError **error)
{
    g_auto(GwLvWriter) writer = { .ptr = ptr, .volume = volume, .at = length - 1 };

    /* The hole's end, and so the file's, is where it is cut; its one byte keeps what it held. */
    return gw_lv_write(&writer, NULL, 1, error) && gw_lv_write_end(&writer, error);
}
