/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/check_internal.h"
#include "base/error.h"

/* The path to the peer of a check: a session, and streams through it. */

#define PROBE_US (5 * G_USEC_PER_SEC)
#define ECHO_BYTES ((gsize)64 * 1024)

/* One stream through the front to the peer and back. */
typedef struct {
    Check *check;
    const char *name, *required; /* of the line */
    char *socket;                /* its name in the run folder */
    char *listener;
    int listen_fd, fd;
    GwWatch *watch;
    GwTimer *timer;
    GByteArray *out, *in;
    gsize sent, wanted; /* so many bytes are to come back */
    gboolean echo;      /* the same ones */
    void (*then)(Check *check);
} Probe;

static void ignore_answer(const json_t *result, int fd, const GError *error, gpointer user)
{
    if (fd >= 0)
        close(fd);
}

static void end_probe(Probe *probe, const char *failed)
{
    Check *check = probe->check;
    void (*then)(Check * check) = probe->then;
    gboolean same =
        !probe->echo || (probe->in->len == probe->out->len &&
                         memcmp(probe->in->data, probe->out->data, probe->in->len) == 0);

    if (failed == NULL && !same)
        failed = "what came back is not what was sent";
    gw_check_add(
        check, probe->name, check->peer_id, failed == NULL ? GW_CHECK_OK : GW_CHECK_FAILED,
        failed == NULL ? "answered" : failed, probe->required,
        "See that the other host's agent runs and that no firewall closes its port (8447).");
    g_clear_pointer(&probe->watch, gw_watch_free);
    gw_timer_free(probe->timer);
    if (probe->fd >= 0)
        close(probe->fd);
    if (probe->listen_fd >= 0)
        close(probe->listen_fd);
    gw_sockets_remove(check->warden, probe->socket);
    gw_warden_ask_front(check->warden, "unlisten", json_pack("{s:s}", "listener", probe->listener),
                        -1, ignore_answer, NULL);
    g_byte_array_unref(probe->out);
    g_byte_array_unref(probe->in);
    g_free(probe->socket);
    g_free(probe->listener);
    g_free(probe);
    then(check);
}

static void probe_late(gpointer user)
{
    end_probe(user, "no answer within 5 s");
}

static void probe_ready(gpointer user, guint32 events)
{
    Probe *probe = user;
    guint8 chunk[16384];

    if ((events & EPOLLOUT) != 0 && probe->sent < probe->out->len) {
        gssize done =
            write(probe->fd, probe->out->data + probe->sent, probe->out->len - probe->sent);
        probe->sent += done > 0 ? (gsize)done : 0;
    }
    gssize got = read(probe->fd, chunk, sizeof chunk);
    if (got > 0)
        g_byte_array_append(probe->in, chunk, (guint)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_probe(probe, "the stream was refused or broke");
        return;
    }
    if (probe->in->len >= probe->wanted) {
        end_probe(probe, NULL);
        return;
    }
    gw_watch_set(probe->watch, EPOLLIN | (probe->sent < probe->out->len ? EPOLLOUT : 0));
}

static void probe_listens(const json_t *result, int fd, const GError *error, gpointer user)
{
    Probe *probe = user;
    GwWarden *warden = probe->check->warden;

    if (fd >= 0)
        close(fd);
    if (error != NULL) {
        end_probe(probe, error->message);
        return;
    }
    probe->fd = gw_sockets_connect(warden, probe->socket, NULL, NULL);
    if (probe->fd < 0) {
        end_probe(probe, "the agent's own socket cannot be connected to");
        return;
    }
    probe->timer = gw_timer_new(warden->loop, probe_late, probe);
    gw_timer_set(probe->timer, g_get_monotonic_time() + PROBE_US);
    probe->watch = gw_watch_new(warden->loop, probe->fd, EPOLLIN | EPOLLOUT, probe_ready, probe);
}

static void start_probe(Check *check, Probe *probe, const char *kind)
{
    GwWarden *warden = check->warden;
    g_autoptr(GError) error = NULL;

    probe->check = check;
    probe->fd = -1;
    probe->in = g_byte_array_new();
    probe->listener = g_strdup_printf("%" G_GUINT64_FORMAT, ++warden->last_listener);
    /* The listener's number keeps two checks of one ticket apart. */
    probe->socket = g_strdup_printf("%s.%s.check", check->ticket->job_id, probe->listener);
    probe->listen_fd = gw_sockets_listen(warden, probe->socket, FALSE, &error);
    if (probe->listen_fd < 0) {
        end_probe(probe, error->message);
        return;
    }
    gw_warden_ask_front(warden, "listen",
                        json_pack("{s:s, s:s, s:s, s:s, s:O}", "listener", probe->listener, "kind",
                                  kind, "ticket", check->ticket_text, "group",
                                  check->ticket->vm_uuid, "peer", check->peer),
                        probe->listen_fd, probe_listens, probe);
}

/* libvirt's RPC, the first call of every connection: which ways to prove oneself are there. */
static void probe_rpc(Check *check)
{
    static const guint8 auth_list[28] = { 0, 0,  0, 28, 0x20, 0x00, 0x80, 0x86, 0, 0, 0, 1, 0, 0,
                                          0, 66, 0, 0,  0,    0,    0,    0,    0, 1, 0, 0, 0, 0 };
    Probe *probe = g_new0(Probe, 1);

    probe->name = "peer-libvirt";
    probe->required = "the other host's libvirt answers through the filter";
    probe->out = g_byte_array_append(g_byte_array_new(), auth_list, sizeof auth_list);
    probe->wanted = sizeof auth_list;
    probe->then = gw_check_finish;
    start_probe(check, probe, "rpc");
}

static void after_echo(Check *check)
{
    if (check->ticket->kinds & GW_STREAM_RPC)
        probe_rpc(check);
    else
        gw_check_finish(check);
}

static void probe_echo(Check *check)
{
    Probe *probe = g_new0(Probe, 1);

    probe->name = "peer-stream";
    probe->required = "a stream to the other host carries bytes both ways";
    probe->out = g_byte_array_sized_new(ECHO_BYTES);
    for (guint i = 0; i < ECHO_BYTES; i++)
        g_byte_array_append(probe->out, &(guint8){ (guint8)(i * 31 + i / 251) }, 1);
    probe->wanted = ECHO_BYTES;
    probe->echo = TRUE;
    probe->then = after_echo;
    start_probe(check, probe, "echo");
}

static void add_session(Check *check, const GError *error)
{
    const char *own = error != NULL ? gw_error_remedy(error) : NULL;

    gw_check_add(
        check, "peer-session", check->peer_id, error != NULL ? GW_CHECK_FAILED : GW_CHECK_OK,
        error != NULL ? error->message : "answered", "the other host's agent answers",
        own != NULL ? own : "See that it runs and that no firewall closes its port (8447).");
}

/* Without a ticket the other agent says nothing, but that it is there is seen. */
static void peer_connected(const json_t *result, int fd, const GError *error, gpointer user)
{
    Check *check = user;

    if (fd >= 0)
        close(fd);
    add_session(check, error);
    gw_check_finish(check);
}

static void peer_answered(const json_t *result, int fd, const GError *error, gpointer user)
{
    Check *check = user;
    GwWord there = gw_word_from_json(result);

    if (fd >= 0)
        close(fd);
    add_session(check, error);
    if (error == NULL)
        gw_check_add(check, "peer-attest", check->peer_id,
                     there.side != GW_SIDE_UNKNOWN && there.processes >= 0 ? GW_CHECK_OK
                                                                           : GW_CHECK_FAILED,
                     there.side == GW_SIDE_UNKNOWN ? "its libvirt does not answer its agent"
                     : there.processes < 0         ? "its process table cannot be read"
                                                   : "libvirt and process table answer",
                     "the other agent can tell which VMs its host has",
                     "Look at libvirt and at the agent's journal on the other host.");
    if (error == NULL && (check->ticket->kinds & GW_STREAM_ECHO) != 0)
        probe_echo(check);
    else
        gw_check_finish(check);
}

void gw_check_peer(Check *check)
{
    if (check->ticket == NULL) {
        gw_warden_ask_front(check->warden, "connect", json_pack("{s:O}", "peer", check->peer), -1,
                            peer_connected, check);
        return;
    }
    gw_warden_ask_front(check->warden, "peer-call",
                        json_pack("{s:O, s:s, s:{s:s}, s:i}", "peer", check->peer, "method",
                                  "attest", "params", "ticket", check->ticket_text, "timeout_ms",
                                  (int)(PROBE_US / 1000)),
                        -1, peer_answered, check);
}
