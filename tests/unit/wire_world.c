/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What never comes; long, for a machine that is busy. */
#define LATE_US (240 * G_USEC_PER_SEC)

static gint64 now_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

GwCredentials *world_host(GwAuthority *authority, const char *host_id)
{
    g_autofree char *key = NULL;
    g_autofree char *request = NULL;

    assert_true(gw_identity_request(&key, &request, NULL));
    g_autofree char *certificate =
        gw_authority_issue(authority, request, host_id, 30, now_s(), NULL, NULL);
    assert_non_null(certificate);
    return gw_credentials_new(certificate, key, gw_authority_ca_pem(authority), NULL);
}

World *world_new(void)
{
    World *world = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    world->folder = g_dir_make_tmp("godwit-wire-XXXXXX", NULL);
    world->authority = gw_authority_open(world->folder, now_s(), &error);
    assert_non_null(world->authority);
    world->controller = gw_authority_credentials(world->authority, now_s(), &error);
    world->one = world_host(world->authority, "host-one");
    world->two = world_host(world->authority, "host-two");
    assert_true(world->controller != NULL && world->one != NULL && world->two != NULL);
    world->loop = gw_loop_new_manual();
    return world;
}

static void remove_folder(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name = NULL;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    if (dir != NULL)
        g_dir_close(dir);
    g_rmdir(folder);
}

void world_free(World *world)
{
    gw_loop_free(world->loop);
    gw_credentials_unref(world->controller);
    gw_credentials_unref(world->one);
    gw_credentials_unref(world->two);
    gw_authority_free(world->authority);
    remove_folder(world->folder);
    g_free(world->folder);
    g_free(world);
}

void world_until(World *world, Until done, gconstpointer data)
{
    gint64 late_us = g_get_monotonic_time() + LATE_US;

    while (!done(data)) {
        assert_true(g_get_monotonic_time() < late_us);
        gw_loop_turn(world->loop, 100);
    }
}

void world_turns(World *world, guint n)
{
    for (guint i = 0; i < n; i++)
        gw_loop_turn(world->loop, 0);
}

void world_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    close(listener);
}

int world_listen(char **text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4096), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    *text = g_strdup_printf("127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

/* Ends of streams ----------------------------------------------------------------------------- */

static guint64 sum(guint64 so_far, const guint8 *bytes, gsize length)
{
    for (gsize i = 0; i < length; i++)
        so_far = (so_far ^ bytes[i]) * 1099511628211u;
    return so_far;
}

static void fill(End *end, guint8 *into, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        end->seed = end->seed * 6364136223846793005u + 1442695040888963407u;
        into[i] = (guint8)(end->seed >> 56);
    }
}

static void maybe_end(End *end)
{
    if (end->end_said || end->keep_open || end->sent < end->to_send)
        return;
    end->end_said = TRUE;
    gw_stream_end(end->stream);
}

static gsize on_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    End *end = user;
    gsize most = end->piece > 0 ? MIN(end->piece, room) : room;
    gsize n = end->echo ? MIN(end->kept->len, most) : (gsize)MIN(end->to_send - end->sent, most);

    assert_ptr_equal(stream, end->stream);
    end->pulls++;
    if (end->echo) {
        memcpy(into, end->kept->data, n);
        g_byte_array_remove_range(end->kept, 0, (guint)n);
        gw_stream_consumed(stream, n);
        if (end->kept->len == 0 && end->ended > 0 && !end->end_said) {
            end->end_said = TRUE;
            gw_stream_end(stream);
        }
    } else {
        fill(end, into, n);
    }
    end->sum_sent = sum(end->sum_sent, into, n);
    end->sent += n;
    if (!end->echo)
        maybe_end(end);
    return n;
}

static void on_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    End *end = user;

    end->received += length;
    end->peer->received += length;
    end->sum_received = sum(end->sum_received, bytes, length);
    if (end->echo || end->stalled)
        g_byte_array_append(end->kept, bytes, (guint)length);
    else
        gw_stream_consumed(stream, length);
    if (end->echo)
        gw_stream_ready(stream);
}

static void on_opened(GwStream *stream, gpointer user)
{
    ((End *)user)->opened++;
}

static void on_ended(GwStream *stream, gpointer user)
{
    End *end = user;

    end->ended++;
    if (end->echo ? end->kept->len > 0 : end->to_send > end->sent)
        return;
    if (!end->end_said && !end->stalled) {
        end->end_said = TRUE;
        gw_stream_end(stream);
    }
}

static void on_gone(GwStream *stream, const GError *why, gpointer user)
{
    End *end = user;

    assert_ptr_equal(stream, end->stream);
    end->gone++;
    end->why = why != NULL ? g_error_copy(why) : NULL;
    end->stream = NULL;
}

static const GwStreamOps end_ops = { on_opened, on_pull, on_push, on_ended, on_gone };

static End *end_new(Peer *peer)
{
    End *end = g_new0(End, 1);

    end->peer = peer;
    end->kept = g_byte_array_new();
    g_ptr_array_add(peer->ends, end);
    return end;
}

static void end_free(gpointer data)
{
    End *end = data;

    assert_null(end->stream);
    assert_int_equal(end->gone, 1);
    g_byte_array_unref(end->kept);
    g_clear_error(&end->why);
    g_free(end);
}

End *end_open(Peer *peer, const GwStreamShare *share, guint64 to_send)
{
    End *end = end_new(peer);

    end->to_send = to_send;
    end->seed = peer->ends->len;
    end->stream =
        gw_stream_open(peer->session, json_pack("{s:s}", "kind", "echo"), share, &end_ops, end);
    gw_stream_ready(end->stream);
    return end;
}

void end_resume(End *end)
{
    guint n = end->kept->len;

    end->stalled = FALSE;
    g_byte_array_set_size(end->kept, 0);
    gw_stream_consumed(end->stream, n);
    if (end->ended > 0)
        on_ended(end->stream, end);
}

gboolean peer_has_ends(gconstpointer peer)
{
    return ((const Peer *)peer)->ends->len > 0;
}

gboolean end_has_ended(gconstpointer end)
{
    return ((const End *)end)->ended > 0;
}

gboolean end_is_gone(gconstpointer end)
{
    return ((const End *)end)->gone > 0;
}

/* Peers --------------------------------------------------------------------------------------- */

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    Peer *peer = user;

    peer->ready++;
    peer->hello = json_deep_copy(hello);
    assert_non_null(gw_session_peer(session));
    assert_int_equal(gw_session_version(session), GW_WIRE_VERSION);
}

End *peer_accept(Peer *peer, GwStream *stream)
{
    static const GwStreamShare share = { GW_CLASS_NORMAL, NULL, 0 };
    End *end = end_new(peer);

    end->stream = stream;
    end->echo = peer->take == TAKE_ECHO;
    end->stalled = peer->take == TAKE_STALL;
    gw_stream_accept(stream, &share, &end_ops, end);
    return end;
}

static void on_open(GwSession *session, GwStream *stream, const json_t *what, gpointer user)
{
    Peer *peer = user;

    assert_true(json_is_object(what));
    if (peer->take == TAKE_REFUSE) {
        g_autoptr(GError) why = g_error_new(GW_ERROR, GW_ERR_FORBIDDEN, "not this one");
        gw_stream_refuse(stream, why);
        return;
    }
    if (peer->take == TAKE_NOTHING) {
        g_ptr_array_add(peer->pending, stream);
        return;
    }
    peer_accept(peer, stream);
    if (peer->take == TAKE_RESET)
        gw_stream_reset(stream, NULL);
}

static void on_call(GwSession *session, guint32 id, const char *method, const json_t *params,
                    gpointer user)
{
    Peer *peer = user;

    if (peer->silent) {
        g_array_append_val(peer->asked, id);
    } else if (g_str_equal(method, "fail")) {
        g_autoptr(GError) why = NULL;
        gw_error_set(&why, GW_ERR_CONFLICT, "Try tomorrow.", "not now");
        gw_session_answer(session, id, NULL, why);
    } else {
        gw_session_answer(session, id, json_deep_copy(params), NULL);
    }
}

static void on_notice(GwSession *session, const char *method, const json_t *params, gpointer user)
{
    g_ptr_array_add(((Peer *)user)->notices, g_strdup(method));
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    Peer *peer = user;

    assert_true(session == peer->session || peer->session == NULL);
    for (guint i = 0; i < peer->ends->len; i++)
        assert_int_equal(((End *)peer->ends->pdata[i])->gone, 1);
    peer->closed++;
    peer->why = why != NULL ? g_error_copy(why) : NULL;
    peer->session = NULL;
}

const GwSessionOps peer_ops = {
    .ready = on_ready, .open = on_open, .call = on_call, .notice = on_notice, .closed = on_closed
};

Peer *peer_new(GwCredentials *credentials)
{
    Peer *peer = g_new0(Peer, 1);

    peer->credentials = credentials;
    peer->ends = g_ptr_array_new_with_free_func(end_free);
    peer->notices = g_ptr_array_new_with_free_func(g_free);
    peer->pending = g_ptr_array_new();
    peer->asked = g_array_new(FALSE, FALSE, sizeof(guint32));
    return peer;
}

void peer_free(Peer *peer)
{
    assert_int_equal(peer->closed, 1);
    g_ptr_array_unref(peer->ends);
    g_ptr_array_unref(peer->notices);
    g_ptr_array_unref(peer->pending);
    g_array_unref(peer->asked);
    g_clear_error(&peer->why);
    json_decref(peer->hello);
    g_free(peer);
}

GwSessionConfig peer_config(World *world, Peer *peer, const char *expect_host_id)
{
    static GwSessionOps ops;

    ops = peer_ops;
    ops.user = peer;
    return (GwSessionConfig){ .loop = world->loop,
                              .credentials = peer->credentials,
                              .ops = &ops,
                              .expect_host_id = expect_host_id };
}

gboolean peer_is_ready(gconstpointer peer)
{
    return ((const Peer *)peer)->ready > 0;
}

gboolean peer_is_closed(gconstpointer peer)
{
    return ((const Peer *)peer)->closed > 0;
}

void world_join(World *world, Peer *dialling, Peer *accepting)
{
    int fds[2];

    world_pair(fds);
    GwSessionConfig config =
        peer_config(world, dialling, gw_credentials_self(accepting->credentials)->host_id);
    dialling->session = gw_session_new(&config, fds[0], TRUE);
    config = peer_config(world, accepting, NULL);
    accepting->session = gw_session_new(&config, fds[1], FALSE);
    world_until(world, peer_is_ready, dialling);
    world_until(world, peer_is_ready, accepting);
}

void world_part(World *world, Peer *a, Peer *b)
{
    if (a->session != NULL)
        gw_session_close(a->session, NULL);
    world_until(world, peer_is_closed, a);
    world_until(world, peer_is_closed, b);
    peer_free(a);
    peer_free(b);
}
