/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "agent/copies.h"
#include "agent/warden_internal.h"
#include "base/error.h"

/* The front asks to open a local socket for a stream. It has looked at the ticket; it also faces
 * the network, so everything is looked at again. */

#define NO_MOVE (GW_STREAM_ECHO | GW_STREAM_DISCARD | GW_STREAM_RPC)

typedef struct {
    const char *role, *host_id, *fabric_id;
    guint kind;
    gint64 streams;
    GwLeave *leave; /* by which it is granted; NULL: none is needed */
} Wish;

static gboolean read_wish(const json_t *params, Wish *wish, GError **error)
{
    const json_t *peer = json_object_get(params, "peer"), *what = json_object_get(params, "what");
    const json_t *streams = json_object_get(params, "streams");

    wish->role = json_string_value(json_object_get(peer, "role"));
    wish->host_id = json_string_value(json_object_get(peer, "host_id"));
    wish->fabric_id = json_string_value(json_object_get(peer, "fabric_id"));
    wish->kind = gw_stream_kind_from_word(json_string_value(json_object_get(what, "kind")));
    wish->streams = json_is_integer(streams) ? json_integer_value(streams) : 0;
    wish->leave = NULL;
    if (wish->role != NULL && wish->fabric_id != NULL && wish->kind != 0 && wish->streams >= 0)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, NULL, "a stream of an unknown kind, or of nobody");
    return FALSE;
}

static gboolean forbid(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_FORBIDDEN, "Let the controller begin the move.", "%s", why);
    return FALSE;
}

/* A check's ticket begins no VM; it names no move that this host was told of. */
static gboolean is_trial(const GwTicket *ticket)
{
    return (ticket->kinds & ~(guint)NO_MOVE) == 0;
}

/* The leave that the controller gave here, under the ticket that it renewed last; what the peer
 * shows may be the first one. */
static GwLeave *find_leave(GwWarden *warden, const GwTicket *ticket, GError **error)
{
    if (!gw_epochs_check(warden->epochs, ticket->vm_uuid, ticket->epoch, ticket->job_id, error))
        return NULL;
    GwLeave *leave = gw_permits_find(warden, ticket->vm_uuid, ticket->epoch);
    if (leave == NULL || leave->is_source ||
        strcmp(leave->ticket->source_id, ticket->source_id) != 0) {
        forbid(error, "this host was given no leave for that move");
        return NULL;
    }
    return gw_permits_is_open(leave, error) ? leave : NULL;
}

/* *@ticket is the one that counts. */
static gboolean check_peer(GwWarden *warden, Wish *wish, const json_t *what, GwTicket **shown,
                           const GwTicket **counts, GError **error)
{
    *shown = gw_permits_ticket(warden, json_object_get(what, "ticket"), error);
    if (*shown == NULL)
        return FALSE;
    *counts = *shown;
    if (!is_trial(*shown)) {
        wish->leave = find_leave(warden, *shown, error);
        if (wish->leave == NULL)
            return FALSE;
        *counts = wish->leave->ticket;
    }
    /* What is shown must be right but for its end, which a renewal may have put off. */
    if (!gw_ticket_check(*shown, warden->state->fabric_id, wish->host_id, warden->state->host_id,
                         wish->kind, MIN(gw_warden_now_s(warden), (*shown)->expires_s - 1), error))
        return FALSE;
    if (!gw_ticket_check(*counts, warden->state->fabric_id, wish->host_id, warden->state->host_id,
                         wish->kind, gw_warden_now_s(warden), error))
        return FALSE;
    if (wish->streams >= (*counts)->streams_max) {
        gw_error_set(error, GW_ERR_CONFLICT, "Move with fewer channels.",
                     "the ticket allows %u streams at one time", (*counts)->streams_max);
        return FALSE;
    }
    return TRUE;
}

static json_t *uri_of(const GwWarden *warden, const GwTicket *ticket, guint kind)
{
    g_autofree char *name = gw_sockets_name(ticket, kind, warden->paths.run_folder);
    return json_sprintf("unix://%s/%s", warden->paths.run_folder, name);
}

/* What the filter holds a peer's libvirt to. */
static json_t *answer_of(const GwWarden *warden, const GwTicket *ticket, guint kind)
{
    json_t *answer = json_pack("{s:s}", "vm_uuid", ticket->vm_uuid);

    if (kind != GW_STREAM_RPC)
        return answer;
    json_object_set_new(answer, "vm_name", json_string(ticket->vm_name));
    json_object_set_new(answer, "paused", json_boolean(ticket->commit_by_resume));
    json_object_set_new(answer, "post_copy", json_boolean(ticket->post_copy));
    if (ticket->kinds & GW_STREAM_MIGRATION)
        json_object_set_new(answer, "migration_uri", uri_of(warden, ticket, GW_STREAM_MIGRATION));
    if (ticket->kinds & GW_STREAM_DISK)
        json_object_set_new(answer, "disks_uri", uri_of(warden, ticket, GW_STREAM_DISK));
    return answer;
}

static int connect_for(GwWarden *warden, const GwTicket *ticket, guint kind, GError **error)
{
    if (kind == GW_STREAM_RPC)
        return gw_sockets_connect_libvirt(warden, error);
    g_autofree char *name = gw_sockets_name(ticket, kind, warden->paths.run_folder);
    if (name == NULL) {
        forbid(error, "no such stream leads to this host");
        return -1;
    }
    return gw_sockets_connect(warden, name, ticket->vm_uuid, error);
}

/* To the copier that the controller had made for it. */
static json_t *open_file(GwWarden *warden, const Wish *wish, const json_t *what, int *fd,
                         GError **error)
{
    g_autofree char *vm_uuid = NULL;

    *fd = gw_copies_open(warden, wish->host_id, what, &vm_uuid, error);
    return *fd >= 0 ? json_pack("{s:s}", "vm_uuid", vm_uuid) : NULL;
}

static json_t *open_for_peer(GwWarden *warden, Wish *wish, const json_t *what, int *fd,
                             GError **error)
{
    g_autoptr(GwTicket) shown = NULL;
    const GwTicket *ticket = NULL;
    gboolean needs_none = wish->kind & (GW_STREAM_ECHO | GW_STREAM_DISCARD);

    if (wish->host_id == NULL || strcmp(wish->fabric_id, warden->state->fabric_id) != 0) {
        forbid(error, "a host of another fabric");
        return NULL;
    }
    if (needs_none && json_object_get(what, "ticket") == NULL)
        return json_object();
    if (wish->kind == GW_STREAM_FILE)
        return open_file(warden, wish, what, fd, error);
    if (!check_peer(warden, wish, what, &shown, &ticket, error))
        return NULL;
    if (!needs_none) {
        *fd = connect_for(warden, ticket, wish->kind, error);
        if (*fd < 0 || (wish->leave != NULL && !gw_given_add(wish->leave, wish->kind, *fd, error)))
            return NULL;
    }
    return answer_of(warden, ticket, wish->kind);
}

static json_t *open_for_controller(GwWarden *warden, const Wish *wish, const json_t *peer, int *fd,
                                   GError **error)
{
    if (!gw_warden_obeys(warden, peer, error))
        return NULL;
    if (wish->kind & (GW_STREAM_ECHO | GW_STREAM_DISCARD))
        return json_object();
    if (wish->kind != GW_STREAM_LIBVIRT) {
        forbid(error, "such a stream is for hosts");
        return NULL;
    }
    *fd = gw_sockets_connect_libvirt(warden, error);
    return *fd >= 0 ? json_object() : NULL;
}

void gw_warden_open(GwWarden *warden, guint64 id, const json_t *params)
{
    const json_t *peer = json_object_get(params, "peer"), *what = json_object_get(params, "what");
    g_autoptr(GError) error = NULL;
    json_t *answer = NULL;
    Wish wish;
    int fd = -1;

    if (read_wish(params, &wish, &error)) {
        if (strcmp(wish.role, "controller") == 0)
            answer = open_for_controller(warden, &wish, peer, &fd, &error);
        else if (strcmp(wish.role, "host") == 0)
            answer = open_for_peer(warden, &wish, what, &fd, &error);
        else
            forbid(&error, "neither a controller nor a host");
    }
    gw_warden_answer(warden, id, answer, fd, error);
    if (fd >= 0)
        close(fd);
}
