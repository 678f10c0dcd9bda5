/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/front_internal.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"

/* Sessions, from their first word to their last; on their lanes but where it says home. */

#define RUN_MAX 128 /* characters of a controller's run */
#define REFUSALS_LOGGED 100
/* Of a host, on their way to the warden: what is over is dropped, and nobody relies on it. */
#define NOTICES_MAX 64
/* Of a host, calls and streams, that the warden has not answered. */
#define QUESTIONS_MAX (GW_IPC_CALLS_MAX / 4)

json_t *gw_front_peer_json(const Link *link)
{
    const GwPeer *peer = link->peer;
    json_t *json =
        json_pack("{s:s, s:s}", "role", peer->role == GW_PEER_CONTROLLER ? "controller" : "host",
                  "fabric_id", peer->fabric_id);

    if (peer->host_id != NULL)
        json_object_set_new(json, "host_id", json_string(peer->host_id));
    if (peer->role != GW_PEER_CONTROLLER)
        return json;
    json_object_set_new(json, "session", json_integer((json_int_t)link->number));
    json_object_set_new(json, "incarnation", json_integer(link->incarnation));
    json_object_set_new(json, "run", json_string(link->run != NULL ? link->run : ""));
    return json;
}

static Lane *lane_of(Front *front, GwSession *session)
{
    GwLoop *loop = gw_session_loop(session);

    for (guint i = 0; i < front->n_lanes; i++) {
        if (front->lanes[i].loop == loop)
            return &front->lanes[i];
    }
    g_assert_not_reached();
}

static Link *link_of(Front *front, GwSession *session)
{
    return g_hash_table_lookup(lane_of(front, session)->links, session);
}

/* A controller comes and goes ----------------------------------------------------------------- */

static void close_link(Link *link, gpointer why)
{
    g_autoptr(GError) error = why;

    if (link->session != NULL)
        gw_session_close(link->session, error);
}

/* Home. An older controller, or a second of one number: the warden keeps count of them. */
static void on_judged(const json_t *result, int fd, const GError *error, gpointer user)
{
    Link *link = user;

    if (error != NULL) {
        if (error->code != GW_ERR_UNREACHABLE &&
            link->lane->front->controllers_refused++ < REFUSALS_LOGGED)
            g_warning("a controller's session is refused: %s", error->message);
        gw_front_on_lane(link, close_link, g_error_copy(error));
    }
    gw_front_link_unref(link);
}

static json_t *controller_json(const Link *link, gboolean connected)
{
    json_t *json = gw_front_peer_json(link);

    json_object_del(json, "role");
    json_object_set_new(json, "connected", json_boolean(connected));
    json_object_set_new(json, "wall_us", json_integer(link->wall_us));
    return json;
}

/* Home. */
static void link_up(Link *link, gpointer unused)
{
    Front *front = link->lane->front;

    link->number = ++front->last_link;
    if (link->peer->role == GW_PEER_HOST) {
        gw_front_peer_up(link, NULL);
        return;
    }
    g_hash_table_add(front->controllers, gw_front_link_ref(link));
    gw_ipc_call(front->ipc, "controller", controller_json(link, TRUE), -1, on_judged,
                gw_front_link_ref(link));
}

/* Home. */
static void link_down(Link *link, gpointer why)
{
    Front *front = link->lane->front;

    gw_front_measure_over(link);
    if (g_hash_table_remove(front->controllers, link))
        gw_ipc_notice(front->ipc, "controller", controller_json(link, FALSE));
    gw_front_peer_down(link, why);
}

/* The session's callbacks --------------------------------------------------------------------- */

static void take_hello(Link *link, const json_t *hello)
{
    const char *run = json_string_value(json_object_get(hello, "run"));

    link->incarnation = json_integer_value(json_object_get(hello, "incarnation"));
    link->wall_us = json_integer_value(json_object_get(hello, "wall_us"));
    link->run = run != NULL && strlen(run) <= RUN_MAX ? g_strdup(run) : NULL;
}

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    Front *front = user;
    Lane *lane = lane_of(front, session);
    Link *link = g_hash_table_lookup(lane->links, session);

    if (link == NULL) {
        link = gw_front_link_new(lane, FALSE);
        link->session = session;
        g_hash_table_insert(lane->links, session, link);
    }
    link->peer = gw_peer_copy(gw_session_peer(session));
    link->ready = TRUE;
    take_hello(link, hello);
    gw_session_set_bucket(session, front->bucket);
    g_atomic_int_inc(&front->sessions);
    g_debug("session with %s at %s",
            link->peer->host_id != NULL ? link->peer->host_id : "controller",
            gw_session_address(session));
    gw_front_at_home(link, link_up, NULL);
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    Front *front = user;
    Lane *lane = lane_of(front, session);
    Link *link = g_hash_table_lookup(lane->links, session);

    if (link == NULL) { /* it never proved who it is */
        g_debug("%s: %s", gw_session_address(session), why != NULL ? why->message : "closed");
        return;
    }
    if (link->ready)
        g_atomic_int_add(&front->sessions, -1);
    link->session = NULL;
    gw_front_at_home(link, link_down, why != NULL ? g_error_copy(why) : NULL);
    g_hash_table_remove(lane->links, session);
}

/* Questions to the warden --------------------------------------------------------------------- */

static gint count_question(Link *link, gint by)
{
    GHashTable *asking = link->lane->front->asking;
    const char *host_id = link->peer->host_id;
    gint count = GPOINTER_TO_INT(g_hash_table_lookup(asking, host_id)) + by;

    if (count > 0)
        g_hash_table_replace(asking, g_strdup(host_id), GINT_TO_POINTER(count));
    else
        g_hash_table_remove(asking, host_id);
    return count;
}

gboolean gw_front_ask_begin(Link *link, GError **error)
{
    if (link->peer->role != GW_PEER_HOST || count_question(link, 1) <= QUESTIONS_MAX)
        return TRUE;
    count_question(link, -1);
    gw_error_set(error, GW_ERR_CONFLICT, "Ask less at one time.",
                 "%d questions of this host wait for an answer already", QUESTIONS_MAX);
    return FALSE;
}

void gw_front_ask_end(Link *link)
{
    if (link->peer->role == GW_PEER_HOST)
        count_question(link, -1);
}

/* Calls and notices for the warden ------------------------------------------------------------ */

/* What a host may ask of another, whatever the warden would say. */
static gboolean may_call(const Link *link, const char *method)
{
    return link->peer->role == GW_PEER_CONTROLLER || g_str_equal(method, "attest") ||
           g_str_equal(method, "measure-target");
}

typedef struct {
    guint32 id; /* 0: a notice */
    char *method;
    json_t *params;
    json_t *result;
    GError *error;
    Link *link; /* while the warden thinks */
} Word;

static void word_free(Word *word)
{
    g_free(word->method);
    json_decref(word->params);
    json_decref(word->result);
    g_clear_error(&word->error);
    g_free(word);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Word, word_free)

static void give_answer(Link *link, gpointer data)
{
    g_autoptr(Word) word = data;

    if (link->session != NULL)
        gw_session_answer(link->session, word->id, g_steal_pointer(&word->result), word->error);
}

void gw_front_answer(Link *link, guint32 id, json_t *result_stolen, const GError *error)
{
    Word *word = g_new0(Word, 1);

    word->id = id;
    word->result = result_stolen;
    word->error = error != NULL ? g_error_copy(error) : NULL;
    gw_front_on_lane(link, give_answer, word);
}

static void on_answered(const json_t *result, int fd, const GError *error, gpointer user)
{
    g_autoptr(Word) word = user;
    json_t *copy = result != NULL ? json_deep_copy(result) : NULL;

    if (fd >= 0)
        g_close(fd, NULL);
    gw_front_ask_end(word->link);
    gw_front_answer(word->link, word->id, copy, error);
    gw_front_link_unref(word->link);
}

/* Home. */
static void ask_warden(Link *link, gpointer data)
{
    g_autoptr(Word) word = data;
    GwIpc *ipc = link->lane->front->ipc;
    json_t *params = json_pack("{s:o, s:s, s:O}", "peer", gw_front_peer_json(link), "method",
                               word->method, "params", word->params);

    if (word->id == 0) {
        g_atomic_int_add(&link->notices, -1);
        gw_ipc_notice(ipc, "notice", params);
        return;
    }
    g_autoptr(GError) error = NULL;
    if (!gw_front_ask_begin(link, &error)) {
        json_decref(params);
        gw_front_answer(link, word->id, NULL, error);
        return;
    }
    word->link = gw_front_link_ref(link);
    gw_ipc_call(ipc, "call", params, -1, on_answered, g_steal_pointer(&word));
}

static void forward(Link *link, guint32 id, const char *method, const json_t *params)
{
    Word *word = g_new0(Word, 1);

    word->id = id;
    word->method = g_strdup(method);
    word->params = json_deep_copy(params);
    gw_front_at_home(link, ask_warden, word);
}

static void on_call(GwSession *session, guint32 id, const char *method, const json_t *params,
                    gpointer user)
{
    Link *link = link_of(user, session);

    if (!may_call(link, method)) {
        g_autoptr(GError) error = NULL;
        gw_error_set(&error, GW_ERR_FORBIDDEN, NULL, "a host may not ask '%s' of another", method);
        gw_session_answer(session, id, NULL, error);
    } else if (g_str_equal(method, "measure-target")) {
        gw_front_at_home(link, gw_front_measure_target, GUINT_TO_POINTER(id));
    } else {
        forward(link, id, method, params);
    }
}

static void on_notice(GwSession *session, const char *method, const json_t *params, gpointer user)
{
    Link *link = link_of(user, session);

    if (link->peer->role != GW_PEER_CONTROLLER && !g_str_equal(method, "source-gone"))
        return;
    if (g_atomic_int_add(&link->notices, 1) < NOTICES_MAX)
        forward(link, 0, method, params);
    else
        g_atomic_int_add(&link->notices, -1);
}

const GwSessionOps gw_front_session_ops = { NULL,    on_ready,  gw_front_stream_asked,
                                            on_call, on_notice, on_closed };
