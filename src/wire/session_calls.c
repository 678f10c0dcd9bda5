/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "wire/session_internal.h"

#define METHOD_MAX 64

/* One of ours. Once it timed out it waits on without @done, so that an answer that comes late is
 * known, and since the other still counts it. */
typedef struct {
    GwSession *session;
    guint32 id;
    GwCallDone done;
    gpointer user;
    GwTimer *timer;
    GError *failed; /* told in the session's turn */
} Call;

static void call_free(Call *call)
{
    gw_timer_free(call->timer);
    g_clear_error(&call->failed);
    g_free(call);
}

static void tell(Call *call, const json_t *result, const GError *error)
{
    GwCallDone done = g_steal_pointer(&call->done);

    if (done != NULL)
        done(call->session, result, error, call->user);
}

static void on_timeout(gpointer user)
{
    Call *call = user;
    g_autoptr(GError) why = NULL;

    g_clear_pointer(&call->timer, gw_timer_free);
    gw_error_set(&why, GW_ERR_TIMEOUT, NULL, "the other side did not answer in time");
    tell(call, NULL, why);
}

static void fail_later(GwSession *session, Call *call, GError *why_stolen)
{
    g_clear_pointer(&call->timer, gw_timer_free);
    call->failed = why_stolen;
    g_queue_push_tail(&session->failed_calls, call);
    gw_session_defer(session);
}

void gw_session_tell_calls(GwSession *session)
{
    /* Those that a callback makes come with the next turn. */
    for (guint n = session->failed_calls.length; n > 0; n--) {
        Call *call = g_queue_pop_head(&session->failed_calls);

        tell(call, NULL, call->failed);
        call_free(call);
    }
}

void gw_session_fail_calls(GwSession *session, const GError *why)
{
    GHashTableIter iter;
    gpointer call = NULL;

    g_hash_table_iter_init(&iter, session->calls);
    while (g_hash_table_iter_next(&iter, NULL, &call)) {
        g_hash_table_iter_steal(&iter);
        fail_later(session, call, g_error_copy(why));
    }
    g_hash_table_remove_all(session->asked);
}

void gw_session_free_calls(GwSession *session)
{
    for (Call *call; (call = g_queue_pop_head(&session->failed_calls)) != NULL;)
        call_free(call);
}

static json_t *call_json(const char *method, json_t *params_stolen)
{
    return json_pack("{s:s, s:o}", "method", method, "params",
                     params_stolen != NULL ? params_stolen : json_object());
}

static guint32 new_id(GwSession *session)
{
    guint32 id;

    do
        id = session->next_call_id++;
    while (id == 0 || g_hash_table_contains(session->calls, GUINT_TO_POINTER(id)));
    return id;
}

void gw_session_call(GwSession *session, const char *method, json_t *params_stolen,
                     gint64 timeout_us, GwCallDone done, gpointer user)
{
    g_autoptr(GwJson) json = call_json(method, params_stolen);
    Call *call = g_new0(Call, 1);
    GError *why = NULL;

    call->session = session;
    call->done = done;
    call->user = user;
    if (!gw_session_is_up(session)) {
        gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the session is closed");
    } else if (g_hash_table_size(session->calls) >= GW_SESSION_CALLS_MAX) {
        gw_error_set(&why, GW_ERR_TOO_LARGE, NULL, "%d calls wait for an answer already",
                     GW_SESSION_CALLS_MAX);
    } else {
        call->id = new_id(session);
        if (!gw_session_send_json(session, GW_FRAME_CALL, call->id, json))
            gw_error_set(&why, GW_ERR_TOO_LARGE, NULL, "the call '%s' is over %d bytes", method,
                         GW_FRAME_TEXT_MAX);
    }
    if (why != NULL) {
        fail_later(session, call, why);
        return;
    }
    g_hash_table_insert(session->calls, GUINT_TO_POINTER(call->id), call);
    call->timer = gw_timer_new(session->loop, on_timeout, call);
    gw_timer_set(call->timer, g_get_monotonic_time() + CLAMP(timeout_us, 1, G_MAXINT64 / 2));
}

void gw_session_on_answer(GwSession *session, guint32 id, const json_t *json)
{
    const json_t *result = json_object_get(json, "result");
    const json_t *error = json_object_get(json, "error");
    gpointer call = NULL;

    if ((result == NULL) == (error == NULL)) {
        gw_session_violation(session, "an ANSWER without either a result or an error");
        return;
    }
    g_autoptr(GError) why = error != NULL ? gw_session_error_from_json(error) : NULL;
    if (error != NULL && why == NULL) {
        gw_session_violation(session, "an ANSWER whose error has no message");
        return;
    }
    if (!g_hash_table_steal_extended(session->calls, GUINT_TO_POINTER(id), NULL, &call)) {
        gw_session_violation(session, "an ANSWER to the call %u, which was not made", id);
        return;
    }
    tell(call, why != NULL ? NULL : result, why);
    call_free(call);
}

/* The other's calls -------------------------------------------------------------------------------
 */

static gboolean read_call(GwSession *session, const char *what, const json_t *json,
                          const char **method, const json_t **params)
{
    *method = json_string_value(json_object_get(json, "method"));
    *params = json_object_get(json, "params");
    if (*method != NULL && strlen(*method) <= METHOD_MAX && json_is_object(*params))
        return TRUE;
    gw_session_violation(session, "a %s without a method and params", what);
    return FALSE;
}

void gw_session_on_call(GwSession *session, guint32 id, const json_t *json)
{
    const char *method = NULL;
    const json_t *params = NULL;

    if (!read_call(session, "CALL", json, &method, &params))
        return;
    if (g_hash_table_contains(session->asked, GUINT_TO_POINTER(id))) {
        gw_session_violation(session, "a second CALL %u before the first was answered", id);
        return;
    }
    if (g_hash_table_size(session->asked) >= GW_SESSION_CALLS_MAX) {
        gw_session_violation(session, "more than %d calls at one time", GW_SESSION_CALLS_MAX);
        return;
    }
    g_hash_table_add(session->asked, GUINT_TO_POINTER(id));
    if (session->ops.call != NULL) {
        session->ops.call(session, id, method, params, session->ops.user);
    } else {
        g_autoptr(GError) why = NULL;
        gw_error_set(&why, GW_ERR_UNSUPPORTED, NULL, "no calls are answered here");
        gw_session_answer(session, id, NULL, why);
    }
}

static void answer_error(GwSession *session, guint32 id, const GError *error)
{
    g_autoptr(GwJson) json = json_pack("{s:o}", "error", gw_session_error_json(error));

    gw_session_send_json(session, GW_FRAME_ANSWER, id, json);
}

void gw_session_answer(GwSession *session, guint32 id, json_t *result_stolen, const GError *error)
{
    g_autoptr(GwJson) json =
        json_pack("{s:o}", "result", result_stolen != NULL ? result_stolen : json_object());

    /* Not there: the session is ending. */
    if (!g_hash_table_remove(session->asked, GUINT_TO_POINTER(id)) || !gw_session_is_up(session))
        return;
    if (error != NULL) {
        answer_error(session, id, error);
    } else if (!gw_session_send_json(session, GW_FRAME_ANSWER, id, json)) {
        g_autoptr(GError) why = NULL;
        gw_error_set(&why, GW_ERR_TOO_LARGE, NULL, "the answer is over %d bytes",
                     GW_FRAME_TEXT_MAX);
        answer_error(session, id, why);
    }
}

/* Notices and pings -------------------------------------------------------------------------------
 */

void gw_session_notice(GwSession *session, const char *method, json_t *params_stolen)
{
    g_autoptr(GwJson) json = call_json(method, params_stolen);

    if (gw_session_is_up(session) && !gw_session_send_json(session, GW_FRAME_NOTICE, 0, json))
        g_warning("a notice '%s' is over %d bytes and was not sent", method, GW_FRAME_TEXT_MAX);
}

void gw_session_on_notice(GwSession *session, const json_t *json)
{
    const char *method = NULL;
    const json_t *params = NULL;

    if (read_call(session, "NOTICE", json, &method, &params) && session->ops.notice != NULL)
        session->ops.notice(session, method, params, session->ops.user);
}

void gw_session_ping(GwSession *session)
{
    guint8 payload[8] = { 0 };

    if (session->state != GW_SESSION_READY || session->ping_us != 0)
        return;
    session->ping++;
    session->ping_us = g_get_monotonic_time();
    gw_put_u32(payload, (guint32)(session->ping >> 32));
    gw_put_u32(payload + 4, (guint32)session->ping);
    gw_session_send(session, GW_FRAME_PING, 0, payload, sizeof payload);
}

void gw_session_on_ping(GwSession *session, const guint8 *payload)
{
    /* Somebody who asks without reading gets the last answer only. */
    if (session->pong_at > 0) {
        memcpy(session->control->data + session->pong_at - 1, payload, 8);
        return;
    }
    gw_session_send(session, GW_FRAME_PONG, 0, payload, 8);
    if (session->control->len >= 8)
        session->pong_at = session->control->len - 8 + 1;
}

void gw_session_on_pong(GwSession *session, const guint8 *payload)
{
    guint64 echoed = (guint64)gw_get_u32(payload) << 32 | gw_get_u32(payload + 4);

    if (session->ping_us == 0 || echoed != session->ping) {
        gw_session_violation(session, "a PONG that no PING asked for");
        return;
    }
    session->rtt_us = g_get_monotonic_time() - session->ping_us;
    session->ping_us = 0;
}
