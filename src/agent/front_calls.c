/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "agent/front_internal.h"
#include "base/error.h"

/* What the warden asks of the front; at home but where it says otherwise. */

#define TIMEOUT_MS_MAX (10 * 60 * 1000)
#define REVOKED_MAX 4096

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void answer(Front *front, guint64 id, const GError *error)
{
    gw_ipc_answer(front->ipc, id, error == NULL ? json_object() : NULL, -1, error);
}

/* Credentials --------------------------------------------------------------------------------- */

static void set_revoked(GwCredentials *credentials, const json_t *serials)
{
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    size_t index;
    json_t *each;

    json_array_foreach (serials, index, each) {
        if (index < REVOKED_MAX && json_is_string(each))
            g_strv_builder_add(list, json_string_value(each));
    }
    g_auto(GStrv) strings = g_strv_builder_end(list);
    gw_credentials_set_revoked(credentials, (const char *const *)strings);
}

static void start_accepting(Front *front)
{
    g_autofree GwLoop **loops = g_new(GwLoop *, front->n_lanes);
    g_autoptr(GwJson) hello = json_object(); /* a session says the usual by itself */
    const GwListenerLimits limits = GW_LISTENER_LIMITS;
    GwSessionOps ops = gw_front_session_ops;
    ops.user = front;
    const GwSessionConfig config = {
        .loop = GW_FRONT_HOME(front), .credentials = front->credentials, .hello = hello, .ops = &ops
    };

    for (guint i = 0; i < front->n_lanes; i++)
        loops[i] = front->lanes[i].loop;
    for (guint i = 0; i < front->n_listen_fds; i++)
        g_ptr_array_add(front->acceptors, gw_listener_new(&config, front->listen_fds[i], loops,
                                                          front->n_lanes, &limits));
    front->n_listen_fds = 0; /* taken */
}

typedef struct {
    Lane *lane;
    GwCredentials *credentials;
} Revocation;

/* On each lane: who was let in before. */
static void end_revoked(gpointer data)
{
    g_autofree Revocation *what = data;
    GHashTableIter iter;
    gpointer value;
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_UNAUTHORIZED, "Let the host join the fabric anew.",
                 "the certificate was revoked");
    g_hash_table_iter_init(&iter, what->lane->links);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Link *link = value;
        if (link->peer != NULL && gw_credentials_is_revoked(what->credentials, link->peer->serial))
            gw_session_close(link->session, error);
    }
    gw_credentials_unref(what->credentials);
}

static void end_revoked_everywhere(Front *front)
{
    for (guint i = 0; i < front->n_lanes; i++) {
        Revocation *what = g_new(Revocation, 1);
        *what = (Revocation){ &front->lanes[i], gw_credentials_ref(front->credentials) };
        gw_loop_post(front->lanes[i].loop, end_revoked, what);
    }
}

static gboolean new_credentials(Front *front, const json_t *params, GError **error)
{
    const char *certificate = text_of(params, "certificate");
    const char *key = text_of(params, "key"), *ca = text_of(params, "ca");

    if (certificate == NULL || key == NULL || ca == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "credentials without certificate, key or CA");
        return FALSE;
    }
    if (g_strcmp0(certificate, front->certificate) == 0)
        return TRUE;
    GwCredentials *credentials = gw_credentials_new(certificate, key, ca, error);
    if (credentials == NULL)
        return FALSE;
    g_clear_pointer(&front->credentials, gw_credentials_unref);
    front->credentials = credentials;
    g_free(front->certificate);
    front->certificate = g_strdup(certificate);
    return TRUE;
}

static void take_credentials(Front *front, guint64 id, const json_t *params, int fd)
{
    g_autoptr(GError) error = NULL;

    if (!new_credentials(front, params, &error)) {
        answer(front, id, error);
        return;
    }
    set_revoked(front->credentials, json_object_get(params, "revoked"));
    gw_credentials_set_offset(front->credentials,
                              json_integer_value(json_object_get(params, "offset_s")));
    for (guint i = 0; i < front->acceptors->len; i++)
        gw_listener_set_credentials(g_ptr_array_index(front->acceptors, i), front->credentials);
    start_accepting(front);
    end_revoked_everywhere(front);
    answer(front, id, NULL);
}

/* Words to a peer ----------------------------------------------------------------------------- */

typedef struct {
    Front *front;
    guint64 id; /* of the warden's call; 0: a notice */
    char *method;
    json_t *params;
    gint64 deadline_us;
    Link *link; /* while the peer thinks */
    json_t *result;
    GError *error;
} Word;

static void word_free(Word *word)
{
    g_clear_pointer(&word->link, gw_front_link_unref);
    g_free(word->method);
    json_decref(word->params);
    json_decref(word->result);
    g_clear_error(&word->error);
    g_free(word);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Word, word_free)

static Word *word_new(Front *front, guint64 id, const json_t *params)
{
    const char *method = text_of(params, "method");
    const json_t *arguments = json_object_get(params, "params");
    gint64 ms = json_integer_value(json_object_get(params, "timeout_ms"));
    Word *word = g_new0(Word, 1);

    word->front = front;
    word->id = id;
    word->method = g_strdup(method != NULL ? method : "");
    word->params = arguments != NULL ? json_deep_copy(arguments) : json_object();
    word->deadline_us = g_get_monotonic_time() + CLAMP(ms, 1, TIMEOUT_MS_MAX) * 1000;
    return word;
}

static void word_answered(Link *link, gpointer data)
{
    g_autoptr(Word) word = data;

    gw_ipc_answer(word->front->ipc, word->id, g_steal_pointer(&word->result), -1, word->error);
}

/* On the lane. */
static void on_peer_answered(GwSession *session, const json_t *result, const GError *error,
                             gpointer user)
{
    Word *word = user;

    word->result = result != NULL ? json_deep_copy(result) : NULL;
    word->error = error != NULL ? g_error_copy(error) : NULL;
    gw_front_at_home(word->link, word_answered, word);
}

/* On the lane. */
static void say(Link *link, gpointer data)
{
    g_autoptr(Word) word = data;

    if (link->session != NULL && word->id == 0) {
        gw_session_notice(link->session, word->method, g_steal_pointer(&word->params));
    } else if (link->session != NULL) {
        gint64 left_us = word->deadline_us - g_get_monotonic_time();
        json_t *params = g_steal_pointer(&word->params);
        word->link = gw_front_link_ref(link);
        const char *method = word->method;
        gw_session_call(link->session, method, params, MAX(left_us, 1), on_peer_answered,
                        g_steal_pointer(&word));
    } else if (word->id != 0) {
        gw_error_set(&word->error, GW_ERR_UNREACHABLE, NULL, "the session to the host ended");
        gw_front_at_home(link, word_answered, g_steal_pointer(&word));
    }
}

static void on_link(Link *link, const GError *error, gpointer user)
{
    g_autoptr(Word) word = user;

    if (link != NULL)
        gw_front_on_lane(link, say, g_steal_pointer(&word));
    else if (word->id != 0)
        gw_ipc_answer(word->front->ipc, word->id, NULL, -1, error);
    else
        g_message("a notice '%s' is lost: %s", word->method, error->message);
}

static void call_peer(Front *front, guint64 id, const json_t *params, int fd)
{
    gw_front_peer_need(front, json_object_get(params, "peer"), TRUE, on_link,
                       word_new(front, id, params));
}

typedef struct {
    Front *front;
    guint64 id;
} Connect;

static void on_connected(Link *link, const GError *error, gpointer user)
{
    g_autofree Connect *connect = user;

    answer(connect->front, connect->id, error);
}

static void connect_peer(Front *front, guint64 id, const json_t *params, int fd)
{
    Connect *connect = g_new(Connect, 1);

    *connect = (Connect){ front, id };
    gw_front_peer_need(front, json_object_get(params, "peer"), FALSE, on_connected, connect);
}

static void tell_controllers(Front *front, const json_t *params)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, front->controllers);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        gw_front_on_lane(key, say, word_new(front, 0, params));
}

/* The rest ------------------------------------------------------------------------------------ */

static void set_limits(Front *front, guint64 id, const json_t *params, int fd)
{
    gint64 rate = json_integer_value(json_object_get(params, "bytes_per_s"));

    gw_bucket_set_rate(front->bucket, MAX(rate, 0));
    answer(front, id, NULL);
}

/* Of the whole process: the second figure of statm is the resident pages. -1: not told. */
static gint64 resident_bytes(const Front *front)
{
    char text[128];
    long long pages = 0;
    ssize_t length = pread(front->memory_fd, text, sizeof text - 1, 0);

    if (length <= 0)
        return -1;
    text[length] = '\0';
    return sscanf(text, "%*s %lld", &pages) == 1 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

static void count(Front *front, guint64 id, const json_t *params, int fd)
{
    gw_ipc_answer(front->ipc, id,
                  json_pack("{s:i, s:i, s:I}", "sessions", g_atomic_int_get(&front->sessions),
                            "streams", g_atomic_int_get(&front->streams), "resident_bytes",
                            (json_int_t)resident_bytes(front)),
                  -1, NULL);
}

static void listen_for(Front *front, guint64 id, const json_t *params, int fd)
{
    gw_front_listen(front, id, params, fd);
}

static void unlisten(Front *front, guint64 id, const json_t *params, int fd)
{
    gw_front_unlisten(front, id, params);
}

static void measure(Front *front, guint64 id, const json_t *params, int fd)
{
    gw_front_measure(front, id, params);
}

static const struct {
    const char *method;
    gboolean takes_fd;
    void (*fn)(Front *front, guint64 id, const json_t *params, int fd);
} calls[] = {
    { "carry", TRUE, gw_front_carry },  { "credentials", FALSE, take_credentials },
    { "listen", TRUE, listen_for },     { "unlisten", FALSE, unlisten },
    { "connect", FALSE, connect_peer }, { "peer-call", FALSE, call_peer },
    { "measure", FALSE, measure },      { "limits", FALSE, set_limits },
    { "counts", FALSE, count },
};

void gw_front_warden_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                          gpointer user)
{
    Front *front = user;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (!g_str_equal(calls[i].method, method))
            continue;
        if (fd >= 0 && !calls[i].takes_fd)
            close(fd);
        calls[i].fn(front, id, params, calls[i].takes_fd ? fd : -1);
        return;
    }
    if (fd >= 0)
        close(fd);
    gw_error_set(&error, GW_ERR_UNSUPPORTED, NULL, "the front knows no '%s'", method);
    gw_ipc_answer(ipc, id, NULL, -1, error);
}

void gw_front_warden_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user)
{
    Front *front = user;

    if (g_str_equal(method, "peer-notice"))
        call_peer(front, 0, params, -1);
    else if (g_str_equal(method, "controller-notice"))
        tell_controllers(front, params);
}
