/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/digest.h"
#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"

/* Copies between hosts without agents: what is read at the one is written at the other, through the
 * controller, then read back and compared by its digest: nothing else shows that it arrived
 * (libvirt_stream.c). */

#define PACE_US (100 * G_TIME_SPAN_MILLISECOND)
#define SPARE_BYTES (1024 * 1024) /* that a copy leaves free beyond what it needs */
#define PIECE_BYTES (32 * 1024 * 1024)
#define BLOCKS (PIECE_BYTES / GW_DIGEST_BLOCK)

typedef struct {
    GwLvTask *task;
    const GwCopy *copy;
    GwLvPlace from, to;
    GwLvWriter writer;
    GwDigest *digest;
    GwCopyResult *result;
    gboolean file;    /* @to is one: it can be cut off */
    guint64 length;   /* of the content */
    guint64 at;       /* content seen */
    guint64 start;    /* what is before that is there already */
    gint64 began_us;  /* to write */
    gboolean proving; /* all was written */
    /* Of a delta: */
    guint8 *block; /* being collected */
    gsize filled;
    guint8 there[BLOCKS][GW_DIGEST_BYTES]; /* of the blocks of the piece, at the destination */
} Copying;

static void clear_copying(Copying *copying)
{
    gw_lv_writer_clear(&copying->writer);
    gw_lv_place_close(&copying->from);
    gw_lv_place_close(&copying->to);
    gw_digest_free(copying->digest);
    g_free(copying->block);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copying, clear_copying)

/* @done: what is surely at the destination: where a copy that is broken off can go on. */
static void tell_progress(Copying *copying, const char *phase, guint64 done)
{
    gint64 elapsed_us = MAX(g_get_monotonic_time() - copying->began_us, 1);
    GwProgress *progress = gw_progress_new();

    progress->phase = g_strdup(phase);
    progress->total_bytes = (gint64)copying->length;
    progress->processed_bytes = (gint64)done;
    progress->remaining_bytes = (gint64)(copying->length - done);
    progress->percent = copying->length > 0 ? (gint64)(done * 100.0 / copying->length) : 100;
    progress->elapsed_ms = elapsed_us / 1000;
    progress->bandwidth_bps = (gint64)(copying->result->sent_bytes * 1e6 / elapsed_us);
    guint64 copied = done > copying->start ? done - copying->start : 0;
    progress->eta_ms =
        copied > 0 ? (gint64)((copying->length - done) * 1.0 / copied * elapsed_us / 1000) : -1;
    progress->converging = TRUE;
    g_mutex_lock(&copying->task->driver->lock);
    GwProgress *old = copying->task->copied;
    copying->task->copied = progress;
    g_mutex_unlock(&copying->task->driver->lock);
    gw_progress_free(old);
}

/* Writing ------------------------------------------------------------------------------------- */

/* Sleeps until what was sent is not more than the limit allows. */
static gboolean pace(Copying *copying, GError **error)
{
    gint64 limit = copying->copy->bandwidth_mibps;

    for (;;) {
        if (!gw_lv_copy_wanted(copying->task, error))
            return FALSE;
        double due_us = limit > 0 ? copying->result->sent_bytes / (limit * 1048576.0) * 1e6 : 0;
        gint64 early_us = copying->began_us + (gint64)due_us - g_get_monotonic_time();
        if (early_us <= 0)
            return TRUE;
        g_usleep((gulong)MIN(early_us, PACE_US));
    }
}

static gboolean is_zero(const guint8 *data, guint64 length)
{
    return data[0] == 0 && memcmp(data, data + 1, length - 1) == 0;
}

/* Room for the next piece, and a little more: libvirtd may not survive a full disk. */
static gboolean check_room(Copying *copying, GError **error)
{
    guint64 need = MIN(copying->length - copying->writer.at, GW_LV_WRITE_PIECE_BYTES);
    virStoragePoolInfo info = { 0 };

    need += need / 16 + SPARE_BYTES;
    if (virStoragePoolRefresh(copying->to.pool, 0) < 0)
        virResetLastError(); /* one that libvirtd makes by itself is under way */
    if (virStoragePoolGetInfo(copying->to.pool, &info) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    if (info.capacity == 0 || info.available >= need)
        return TRUE;
    gw_error_set(
        error, GW_ERR_OPERATION, "Free space there, or choose another destination.",
        "the destination's storage is full: %llu bytes are left, the next %" G_GUINT64_FORMAT
        " of the copy need more",
        info.available, need);
    return FALSE;
}

static gboolean write_out(Copying *copying, const guint8 *data, guint64 length, GError **error)
{
    if (copying->file && copying->writer.stream == NULL && !check_room(copying, error))
        return FALSE;
    if (!gw_lv_write(&copying->writer, data, length, error))
        return FALSE;
    if (copying->writer.stream == NULL) /* a piece was ended: all up to here is written */
        tell_progress(copying, "copying", copying->writer.at);
    if (data == NULL)
        return TRUE;
    copying->result->sent_bytes += (gint64)length;
    copying->result->written_bytes += (gint64)length;
    return pace(copying, error);
}

/* The next content of the source: what follows @start is written, zeros as holes. */
static gboolean take_all(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    static const guint8 zero = 0;
    Copying *copying = user;
    guint64 skip = copying->at < copying->start ? MIN(copying->start - copying->at, length) : 0;

    copying->at += length;
    copying->result->read_bytes += data != NULL ? (gint64)length : 0;
    if (data != NULL)
        gw_digest_update(copying->digest, data, length);
    else
        gw_digest_zeros(copying->digest, length);
    if (skip == length)
        return gw_lv_copy_wanted(copying->task, error);
    data = data != NULL && !is_zero(data + skip, length - skip) ? data + skip : NULL;
    length -= skip;
    if (data == NULL && copying->writer.at == 0) {
        /* The first byte of an old file is the one that is not cut off. */
        if (!write_out(copying, &zero, 1, error))
            return FALSE;
        length--;
    }
    return gw_lv_copy_wanted(copying->task, error) && write_out(copying, data, length, error);
}

static gboolean copy_all(Copying *copying, GError **error)
{
    virStorageVolPtr to = copying->to.volume;

    /* What an old file holds in the place of a hole would stay (libvirt_stream.c). */
    if (copying->file && !gw_lv_cut(copying->to.ptr, to, MAX(copying->start, 1), error))
        return FALSE;
    copying->writer = (GwLvWriter){ .ptr = copying->to.ptr, .volume = to, .at = copying->start };
    return gw_lv_read(copying->from.ptr, copying->from.volume, 0, copying->length, take_all,
                      copying, error) &&
           gw_lv_write_end(&copying->writer, error);
}

/* Deltas -------------------------------------------------------------------------------------- */

/* A block of the source is complete: it is sent where the destination's differs. */
static gboolean end_block(Copying *copying, GError **error)
{
    guint64 offset = copying->at - copying->filled;
    guint8 sum[GW_DIGEST_BYTES];
    gsize length = copying->filled;

    copying->filled = 0;
    gw_digest_update(copying->digest, copying->block, length);
    gw_digest_block(copying->block, length, sum);
    if (memcmp(sum, copying->there[offset / GW_DIGEST_BLOCK % BLOCKS], sizeof sum) == 0) {
        copying->result->same_bytes += (gint64)length;
        return gw_lv_copy_wanted(copying->task, error);
    }
    if (copying->writer.at != offset && !gw_lv_write_end(&copying->writer, error))
        return FALSE;
    copying->writer.at = offset;
    return write_out(copying, copying->block, length, error);
}

/* Takes what the block has room for; @data NULL: zeros. How much that was. */
static gsize fill_block(Copying *copying, const guint8 *data, guint64 length)
{
    gsize piece = MIN(length, GW_DIGEST_BLOCK - copying->filled);

    if (data != NULL)
        memcpy(copying->block + copying->filled, data, piece);
    else
        memset(copying->block + copying->filled, 0, piece);
    copying->filled += piece;
    return piece;
}

static gboolean take_block(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    Copying *copying = user;

    copying->result->read_bytes += data != NULL ? (gint64)length : 0;
    while (length > 0) {
        gsize piece = fill_block(copying, data, length);
        data = data != NULL ? data + piece : NULL;
        copying->at += piece;
        length -= piece;
        if ((copying->filled == GW_DIGEST_BLOCK || copying->at == copying->length) &&
            !end_block(copying, error))
            return FALSE;
    }
    return TRUE;
}

/* Collects the digests of the destination's blocks of one piece. */
typedef struct {
    Copying *copying;
    guint64 at;
} Looking;

static gboolean take_there(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    Looking *looking = user;
    Copying *copying = looking->copying;

    while (length > 0) {
        gsize piece = fill_block(copying, data, length);
        data = data != NULL ? data + piece : NULL;
        looking->at += piece;
        length -= piece;
        if (copying->filled == GW_DIGEST_BLOCK || looking->at == copying->length) {
            guint64 block = (looking->at - copying->filled) / GW_DIGEST_BLOCK % BLOCKS;
            gw_digest_block(copying->block, copying->filled, copying->there[block]);
            copying->filled = 0;
        }
    }
    return TRUE;
}

static gboolean copy_changes(Copying *copying, const GwVolume *to, GError **error)
{
    copying->block = g_malloc(GW_DIGEST_BLOCK);
    if (copying->file && to->length_bytes != (gint64)copying->length &&
        !gw_lv_cut(copying->to.ptr, copying->to.volume, copying->length, error))
        return FALSE;
    copying->writer = (GwLvWriter){ .ptr = copying->to.ptr, .volume = copying->to.volume };
    for (guint64 at = 0; at < copying->length; at += PIECE_BYTES) {
        guint64 piece = MIN(copying->length - at, PIECE_BYTES);
        Looking looking = { copying, at };
        if (!gw_lv_read(copying->to.ptr, copying->to.volume, at, piece, take_there, &looking,
                        error) ||
            !gw_lv_read(copying->from.ptr, copying->from.volume, at, piece, take_block, copying,
                        error))
            return FALSE;
        if (copying->writer.stream == NULL)
            tell_progress(copying, "copying", at + piece);
    }
    return gw_lv_write_end(&copying->writer, error);
}

/* Proof --------------------------------------------------------------------------------------- */

static gboolean take_proof(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    Copying *copying = user;

    if (data != NULL)
        gw_digest_update(copying->digest, data, length);
    else
        gw_digest_zeros(copying->digest, length);
    return gw_lv_copy_wanted(copying->task, error);
}

static void renew_digest(Copying *copying)
{
    gw_digest_free(copying->digest);
    copying->digest = gw_digest_new();
}

static gboolean verify(Copying *copying, GError **error)
{
    g_autofree char *read = gw_digest_finish(copying->digest);

    copying->proving = TRUE;
    tell_progress(copying, "verifying", copying->length);
    renew_digest(copying);
    if (!gw_lv_place_refresh(&copying->to, error))
        return FALSE;
    if (copying->to.volume == NULL || !gw_lv_read(copying->to.ptr, copying->to.volume, 0,
                                                  copying->length, take_proof, copying, error)) {
        g_prefix_error(error, "what was written cannot be read back: ");
        return FALSE;
    }
    g_autofree char *written = gw_digest_finish(copying->digest);
    if (strcmp(read, written) != 0) {
        gw_error_set(error, GW_ERR_OPERATION,
                     "Check the destination's storage and the kernel's log there; then copy again.",
                     "what was written (%s) is not what was read (%s)", written, read);
        return FALSE;
    }
    copying->result->digest = g_steal_pointer(&read);
    copying->result->verified = TRUE;
    return TRUE;
}

static char *mtime_of(virStorageVolPtr volume)
{
    char *xml = virStorageVolGetXMLDesc(volume, 0);
    char *mtime = xml != NULL ? gw_libvirt_volume_mtime(xml) : NULL;

    free(xml);
    return mtime;
}

/* Whether nothing wrote to the source meanwhile, as far as its host tells. */
static gboolean check_still(Copying *copying, const char *before, GError **error)
{
    if (!gw_lv_place_refresh(&copying->from, error))
        return FALSE;
    g_autofree char *after = copying->from.volume != NULL ? mtime_of(copying->from.volume) : NULL;
    if (copying->from.volume != NULL && g_strcmp0(before, after) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Let nothing write to it, and copy again.",
                 "the source was written to while it was copied");
    return FALSE;
}

/* All of it ----------------------------------------------------------------------------------- */

static gboolean open_ends(Copying *copying, virConnectPtr from, virConnectPtr to, GError **error)
{
    const GwCopy *copy = copying->copy;
    GwLvDriver *driver = copying->task->driver;

    g_mutex_lock(&driver->lock);
    GwLvHost *source = gw_lv_host(driver, copy->from_host_id);
    g_mutex_unlock(&driver->lock);
    if (!gw_lv_place_open(source, from, copy->from, 0, &copying->from, error) ||
        !gw_lv_place_open(copying->task->host, to, copy->to, 0, &copying->to, error))
        return FALSE;
    gboolean has_source = copying->from.volume != NULL;
    if (has_source && copying->to.volume != NULL)
        return TRUE;
    g_autofree char *words = gw_lv_volume_words(has_source ? copy->to : copy->from);
    gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "%s is not there, at the %s", words,
                 has_source ? "destination" : "source");
    return FALSE;
}

/* What is to be copied, and whether it fits. */
static gboolean measure(Copying *copying, const GwVolume *from, const GwVolume *to, GError **error)
{
    copying->file = g_strcmp0(to->kind, "file") == 0;
    copying->length = (guint64)MAX(from->length_bytes, 0);
    if (copying->length == 0) {
        gw_error_set(error, GW_ERR_UNSUPPORTED, NULL, "'%s' has no length: nothing can be copied",
                     from->path);
        return FALSE;
    }
    if (copying->file || to->length_bytes >= from->length_bytes)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Choose a device that is as long.",
                 "'%s' has %" G_GINT64_FORMAT " bytes, needed are %" G_GINT64_FORMAT, to->path,
                 to->length_bytes, from->length_bytes);
    return FALSE;
}

static gboolean copy_from(Copying *copying, const GwVolume *to, guint64 start, GError **error)
{
    *copying->result = (GwCopyResult){ .how = g_steal_pointer(&copying->result->how) };
    copying->at = 0;
    copying->filled = 0;
    copying->start = start;
    copying->proving = FALSE;
    copying->began_us = g_get_monotonic_time();
    renew_digest(copying);
    tell_progress(copying, "copying", start);
    return (copying->copy->delta ? copy_changes(copying, to, error) : copy_all(copying, error)) &&
           verify(copying, error);
}

static gboolean copy_content(Copying *copying, GError **error)
{
    const GwCopy *copy = copying->copy;
    g_autofree char *before = mtime_of(copying->from.volume);
    g_autoptr(GwVolume) from = gw_lv_volume_read(&copying->from, copy->from->format, error);
    g_autoptr(GwVolume) to = from != NULL ? gw_lv_volume_read(&copying->to, "raw", error) : NULL;
    GError *why = NULL;

    if (to == NULL || !measure(copying, from, to, error))
        return FALSE;
    guint64 start = copy->delta ? 0 : (guint64)CLAMP(copy->resume_bytes, 0, to->length_bytes);
    start = MIN(start, copying->length);
    gboolean well = copy_from(copying, to, start, &why);
    if (!well && start > 0 && copying->proving && why->code != GW_ERR_CANCELLED) {
        /* What was thought to be there is not: a host that went down forgets its last writes. */
        g_clear_error(&why);
        gw_lv_writer_clear(&copying->writer);
        well = copy_from(copying, to, 0, &why);
    }
    if (well)
        well = check_still(copying, before, &why);
    if (why != NULL)
        g_propagate_error(error, why);
    return well;
}

gboolean gw_lv_copy_through(GwLvTask *task, const GwCopy *copy, GwCopyResult *result,
                            GError **error)
{
    g_autoptr(virConnect) from = gw_lv_dial_host(task, copy->from_host_id, "source", error);
    if (from == NULL)
        return FALSE;
    g_autoptr(virConnect) to = gw_lv_dial_host(task, task->host->id, "destination", error);
    if (to == NULL)
        return FALSE;
    g_auto(Copying) copying = { .task = task, .copy = copy, .result = result };

    result->how = g_strdup("through the controller");
    if (gw_lv_begin(task, error) && open_ends(&copying, from, to, error) &&
        copy_content(&copying, error))
        return TRUE;
    const char *lost = !gw_lv_alive(from) ? "source" : !gw_lv_alive(to) ? "destination" : NULL;
    if (lost != NULL && error != NULL) { /* goes on where it was, once it is back */
        g_autoptr(GError) why = g_steal_pointer(error);
        gw_error_set(error, GW_ERR_UNREACHABLE, "Check that libvirtd runs there.",
                     "the connection to the %s was lost: %s", lost, why->message);
    }
    return FALSE;
}
