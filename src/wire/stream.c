/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each side says exactly one last word of a stream: END, RESET or REFUSED; but RESET may follow an
 * END of its own. A stream that was broken here stays in the table, and counts, until the other's
 * last word comes: what was under way is known and dropped, anything else is a violation. */
#include "wire/session.h"

#include <string.h>

#include "base/error.h"
#include "wire/session_internal.h"

#define REFUSALS_MAX 1024 /* unconfirmed ones over GW_SESSION_STREAMS_MAX before it is too much */

GwStream *gw_stream_find(GwSession *session, guint32 id)
{
    return g_hash_table_lookup(session->streams, GUINT_TO_POINTER(id));
}

gboolean gw_stream_is_past(const GwSession *session, guint32 id)
{
    gboolean ours = (id & 1) == (session->next_id & 1);

    return ours ? id < session->next_id : id <= session->last_id;
}

static guint count(const GwSession *session)
{
    return g_hash_table_size(session->streams) + session->zombies;
}

static GwStream *stream_new(GwSession *session, guint32 id, GwStreamState state)
{
    GwStream *stream = g_new0(GwStream, 1);

    stream->session = session;
    stream->id = id;
    stream->state = state;
    stream->turn.owner = stream;
    stream->credited_us = g_get_monotonic_time();
    return stream;
}

static void stream_free(GwStream *stream)
{
    gw_scheduler_leave(&stream->turn);
    g_clear_error(&stream->why);
    g_free(stream);
}

static void give_window(GwStream *stream)
{
    stream->window = stream->allowed = gw_window_first(stream->session);
    stream->session->windows += stream->window - GW_STREAM_WINDOW_MIN;
}

/* Ends -------------------------------------------------------------------------------------------
 */

/* Whoever has it learns of it in the session's turn. */
static void tell_later(GwStream *stream, const GError *why)
{
    gw_scheduler_leave(&stream->turn);
    gw_window_release(stream);
    if (stream->told || !stream->answered)
        return;
    stream->told = TRUE;
    if (why != NULL && stream->why == NULL)
        stream->why = g_error_copy(why);
    g_queue_push_tail(&stream->session->gone, stream);
    gw_session_defer(stream->session);
}

/* Out of the table. Who was asked and has not answered still holds it. */
static void remove_stream(GwStream *stream)
{
    GwSession *session = stream->session;

    if (stream->state == GW_STREAM_OVER)
        return;
    g_hash_table_remove(session->streams, GUINT_TO_POINTER(stream->id));
    stream->state = GW_STREAM_OVER;
    if (!stream->answered)
        session->zombies++;
}

/* One that was told and left the table has no more use; where telling is still to come, that frees
 * it. */
static void bury(GwStream *stream, gboolean told_already)
{
    remove_stream(stream);
    if (told_already)
        stream_free(stream);
}

void gw_stream_tell_gone(GwSession *session)
{
    /* Those that a callback adds come with the next turn. */
    for (guint n = session->gone.length; n > 0; n--) {
        GwStream *stream = g_queue_pop_head(&session->gone);

        if (stream->ops.gone != NULL)
            stream->ops.gone(stream, stream->why, stream->user);
        stream->tomb = TRUE;
        g_clear_error(&stream->why);
        if (stream->state == GW_STREAM_OVER)
            stream_free(stream);
    }
}

static void maybe_over(GwStream *stream)
{
    if (!stream->end_sent || !stream->end_received)
        return;
    gboolean tomb = stream->tomb;
    if (!tomb)
        tell_later(stream, NULL);
    bury(stream, tomb);
}

static void last_word(GwStream *stream, GwFrameType type, const GError *why)
{
    GwSession *session = stream->session;

    stream->end_sent = TRUE;
    if (type == GW_FRAME_END) {
        gw_session_send(session, GW_FRAME_END, stream->id, NULL, 0);
        return;
    }
    g_autoptr(GwJson) json = gw_session_error_json(why);
    gw_session_send_json(session, type, stream->id, json);
}

/* Broken from here. */
static void break_stream(GwStream *stream, GwFrameType type, const GError *why)
{
    stream->state = GW_STREAM_BROKEN;
    last_word(stream, type, why);
    tell_later(stream, why);
    if (stream->end_received)
        remove_stream(stream);
}

void gw_stream_end_all(GwSession *session, const GError *why)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, session->streams);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwStream *stream = value;
        gboolean tomb = stream->tomb;

        g_hash_table_iter_steal(&iter);
        stream->state = GW_STREAM_OVER;
        if (!stream->answered)
            session->zombies++;
        if (tomb)
            stream_free(stream);
        else
            tell_later(stream, why);
    }
}

/* Those that nobody answered to the end are freed with the session. */
void gw_stream_free_all(GwSession *session)
{
    GHashTableIter iter;
    gpointer stream = NULL;

    g_hash_table_iter_init(&iter, session->unanswered);
    while (g_hash_table_iter_next(&iter, &stream, NULL))
        stream_free(stream);
    while ((stream = g_queue_pop_head(&session->gone)) != NULL)
        stream_free(stream);
}

/* Ours -------------------------------------------------------------------------------------------
 */

static gboolean open_allowed(GwSession *session, GError **error)
{
    if (!gw_session_is_up(session))
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "the session is closed");
    else if (count(session) >= GW_SESSION_STREAMS_MAX)
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL, "%u streams are open already",
                     GW_SESSION_STREAMS_MAX);
    else if (session->next_id > G_MAXUINT32 - 2)
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL, "the session has used up its streams");
    else
        return TRUE;
    return FALSE;
}

static gboolean send_open(GwStream *stream, const json_t *what, GError **error)
{
    g_autofree char *text = gw_json_text(what);
    gsize length = text != NULL ? strlen(text) : 0;
    guint8 payload[GW_FRAME_OPEN_MAX];

    if (length < 2 || length > sizeof payload - 4) {
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL, "what the stream is takes over %d bytes",
                     GW_FRAME_OPEN_MAX);
        return FALSE;
    }
    gw_put_u32(payload, (guint32)stream->window);
    memcpy(payload + 4, text, length);
    gw_session_send(stream->session, GW_FRAME_OPEN, stream->id, payload, length + 4);
    return TRUE;
}

static void set_answered(GwStream *stream)
{
    stream->answered = TRUE;
    g_hash_table_remove(stream->session->unanswered, stream);
}

static void set_ops(GwStream *stream, const GwStreamShare *share, const GwStreamOps *ops,
                    gpointer user)
{
    set_answered(stream);
    stream->ops = *ops;
    stream->user = user;
    gw_scheduler_join(stream->session->scheduler, &stream->turn, share);
}

GwStream *gw_stream_open(GwSession *session, json_t *what_stolen, const GwStreamShare *share,
                         const GwStreamOps *ops, gpointer user)
{
    GwStream *stream = stream_new(session, 0, GW_STREAM_OVER);
    g_autoptr(GwJson) what = what_stolen;
    g_autoptr(GError) why = NULL;

    stream->ours = TRUE;
    set_ops(stream, share, ops, user);
    if (!open_allowed(session, &why)) {
        tell_later(stream, why);
        return stream;
    }
    give_window(stream);
    stream->id = session->next_id;
    if (!send_open(stream, what, &why)) {
        tell_later(stream, why);
        return stream;
    }
    session->next_id += 2;
    stream->state = GW_STREAM_OPENING;
    g_hash_table_insert(session->streams, GUINT_TO_POINTER(stream->id), stream);
    return stream;
}

/* The answer to one of ours, or NULL: nothing of it, or a violation. */
static GwStream *find_opening(GwSession *session, guint32 id, const char *word)
{
    GwStream *stream = gw_stream_find(session, id);

    if (stream != NULL && stream->ours && stream->state == GW_STREAM_OPENING)
        return stream;
    /* We broke it meanwhile. (A second answer to such a one goes unseen, and does no harm.) */
    if (stream != NULL && stream->ours && stream->state == GW_STREAM_BROKEN)
        return stream;
    gw_session_violation(session, "%s for the stream %u, which does not wait for it", word, id);
    return NULL;
}

void gw_stream_on_opened(GwSession *session, guint32 id, guint32 window)
{
    GwStream *stream = find_opening(session, id, "OPENED");

    if (stream == NULL || stream->state == GW_STREAM_BROKEN)
        return;
    if (window > GW_STREAM_CREDIT_MAX / 2) {
        gw_session_violation(session, "an OPENED with a window of %u bytes", window);
        return;
    }
    stream->state = GW_STREAM_OPEN;
    stream->credit = window;
    gw_stream_say_end(stream);
    gw_stream_update(stream);
    gw_session_want(session);
    if (stream->ops.opened != NULL)
        stream->ops.opened(stream, stream->user);
}

void gw_stream_on_refused(GwSession *session, guint32 id, const json_t *json)
{
    GwStream *stream = find_opening(session, id, "REFUSED");
    g_autoptr(GError) why = gw_session_error_from_json(json);

    if (stream == NULL)
        return;
    if (why == NULL)
        gw_error_set(&why, GW_ERR_REFUSED, NULL, "the other side refused the stream");
    stream->end_received = TRUE;
    if (!stream->end_sent)
        last_word(stream, GW_FRAME_END, NULL);
    if (!stream->tomb)
        tell_later(stream, why);
    maybe_over(stream);
}

/* The other's ------------------------------------------------------------------------------------
 */

static gboolean check_new_id(GwSession *session, guint32 id)
{
    if ((id & 1) == (session->next_id & 1))
        gw_session_violation(session, "an OPEN with the id %u, which is ours to give", id);
    else if (id <= session->last_id)
        gw_session_violation(session, "an OPEN with the id %u after %u", id, session->last_id);
    else if (count(session) >= GW_SESSION_STREAMS_MAX + REFUSALS_MAX)
        gw_session_violation(session, "more than %u streams", GW_SESSION_STREAMS_MAX);
    else
        return TRUE;
    return FALSE;
}

void gw_stream_on_open(GwSession *session, guint32 id, guint32 window, const json_t *what)
{
    if (!check_new_id(session, id))
        return;
    gboolean full = count(session) >= GW_SESSION_STREAMS_MAX;
    GwStream *stream = stream_new(session, id, GW_STREAM_PENDING);

    session->last_id = id;
    stream->credit = window;
    g_hash_table_insert(session->streams, GUINT_TO_POINTER(id), stream);
    g_hash_table_add(session->unanswered, stream);
    if (!full && session->ops.open != NULL) {
        session->ops.open(session, stream, what, session->ops.user);
        return;
    }
    g_autoptr(GError) why = NULL;
    if (full)
        gw_error_set(&why, GW_ERR_TOO_LARGE, NULL, "%u streams are open already",
                     GW_SESSION_STREAMS_MAX);
    else
        gw_error_set(&why, GW_ERR_UNSUPPORTED, NULL, "no streams are taken here");
    gw_stream_refuse(stream, why);
}

/* The other took it back before it was answered. */
static gboolean is_zombie(GwStream *stream)
{
    if (stream->state != GW_STREAM_OVER)
        return FALSE;
    stream->session->zombies--;
    return TRUE;
}

void gw_stream_accept(GwStream *stream, const GwStreamShare *share, const GwStreamOps *ops,
                      gpointer user)
{
    guint8 payload[4];

    g_return_if_fail(!stream->answered);
    gboolean zombie = is_zombie(stream);
    set_ops(stream, share, ops, user);
    if (zombie) {
        g_autoptr(GError) why = NULL;
        gw_error_set(&why, GW_ERR_CANCELLED, NULL, "the other side took the stream back");
        tell_later(stream, why);
        return;
    }
    give_window(stream);
    stream->state = GW_STREAM_OPEN;
    gw_put_u32(payload, (guint32)stream->window);
    gw_session_send(stream->session, GW_FRAME_OPENED, stream->id, payload, sizeof payload);
}

void gw_stream_refuse(GwStream *stream, const GError *why)
{
    g_return_if_fail(!stream->answered);
    gboolean zombie = is_zombie(stream);
    set_answered(stream);
    if (zombie)
        tell_later(stream, why);
    else
        break_stream(stream, GW_FRAME_REFUSED, why);
}

/* Both's ------------------------------------------------------------------------------------------
 */

void gw_stream_on_reset(GwSession *session, guint32 id, const json_t *json)
{
    GwStream *stream = gw_stream_find(session, id);
    g_autoptr(GError) why = gw_session_error_from_json(json);

    if (stream == NULL) {
        if (!gw_stream_is_past(session, id))
            gw_session_violation(session, "RESET for the stream %u, which does not exist", id);
        return;
    }
    if (why == NULL)
        gw_error_set(&why, GW_ERR_CANCELLED, NULL, "the other side broke the stream");
    stream->end_received = TRUE;
    if (!stream->end_sent)
        last_word(stream, GW_FRAME_RESET, NULL);
    gboolean tomb = stream->tomb;
    if (!tomb)
        tell_later(stream, why);
    bury(stream, tomb);
}

GwStream *gw_stream_find_speaking(GwSession *session, guint32 id, const char *word)
{
    GwStream *stream = gw_stream_find(session, id);

    if (stream == NULL || stream->state == GW_STREAM_OPENING || stream->state == GW_STREAM_PENDING)
        gw_session_violation(session, "%s for the stream %u, which is not open", word, id);
    else if (stream->end_received)
        gw_session_violation(session, "%s for the stream %u after its end", word, id);
    else
        return stream;
    return NULL;
}

void gw_stream_on_end(GwSession *session, guint32 id)
{
    GwStream *stream = gw_stream_find_speaking(session, id, "END");

    if (stream == NULL)
        return;
    stream->end_received = TRUE;
    if (stream->state == GW_STREAM_OPEN && stream->ops.ended != NULL)
        stream->ops.ended(stream, stream->user);
    if (stream->state != GW_STREAM_OVER)
        maybe_over(stream);
}

void gw_stream_say_end(GwStream *stream)
{
    /* While it is pulled, its last bytes are still to go. */
    if (!stream->end_wanted || stream->end_sent || stream->pulling ||
        stream->state != GW_STREAM_OPEN)
        return;
    last_word(stream, GW_FRAME_END, NULL);
    maybe_over(stream);
}

void gw_stream_end(GwStream *stream)
{
    if (stream->end_wanted)
        return;
    stream->end_wanted = TRUE;
    gw_stream_update(stream);
    gw_stream_say_end(stream);
}

void gw_stream_reset(GwStream *stream, const GError *why)
{
    g_autoptr(GError) usual = NULL;

    if (stream->state >= GW_STREAM_BROKEN || stream->told)
        return;
    if (why == NULL)
        gw_error_set(&usual, GW_ERR_CANCELLED, NULL, "the stream was broken");
    if (stream->state == GW_STREAM_PENDING)
        gw_stream_refuse(stream, why != NULL ? why : usual);
    else
        break_stream(stream, GW_FRAME_RESET, why != NULL ? why : usual);
}

GwSession *gw_stream_session(const GwStream *stream)
{
    return stream->session;
}

guint32 gw_stream_id(const GwStream *stream)
{
    return stream->id;
}
