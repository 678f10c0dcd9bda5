/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "agent/front_internal.h"
#include "base/error.h"
#include "transport/rpc_filter.h"
#include "wire/ticket.h"

/* Streams that others open: the warden says whether, and gives the socket. */

#define REFUSALS_LOGGED 20 /* of one session: nobody fills the journal from outside */
#define HOST_KINDS                                                                                 \
    (GW_STREAM_RPC | GW_STREAM_MIGRATION | GW_STREAM_DISK | GW_STREAM_FILE | GW_STREAM_ECHO |      \
     GW_STREAM_DISCARD)
#define CONTROLLER_KINDS (GW_STREAM_LIBVIRT | GW_STREAM_ECHO | GW_STREAM_DISCARD)

/* One that is asked for, and then carried. */
typedef struct {
    Link *link;
    GwStream *stream; /* until it is accepted or refused */
    guint kind;
    json_t *what;
    GBytes *ticket; /* NULL: none */
    int fd;
    json_t *result;
    GError *error;
} Carried;

void gw_front_stream_counted(Link *link, gint by)
{
    g_atomic_int_add(&link->users, by);
    g_atomic_int_add(&link->lane->front->streams, by);
}

/* The ticket's own bytes: text that says the same in another way is the same ticket. */
static GBytes *ticket_of(const json_t *what)
{
    const char *text = json_string_value(json_object_get(what, "ticket"));
    gsize length = 0;

    if (text == NULL)
        return NULL;
    guchar *bytes = g_base64_decode(text, &length);
    return g_bytes_new_take(bytes, length);
}

static gint count_ticket(Front *front, GBytes *ticket, gint by)
{
    gint count = GPOINTER_TO_INT(g_hash_table_lookup(front->tickets, ticket));

    if (count + by > 0)
        g_hash_table_insert(front->tickets, g_bytes_ref(ticket), GINT_TO_POINTER(count + by));
    else
        g_hash_table_remove(front->tickets, ticket);
    return count;
}

/* Home, the end of each. */
static void forget(Link *link, gpointer data)
{
    Carried *carried = data;

    if (carried->kind == GW_STREAM_DISCARD)
        gw_front_measure_over(link);
    if (carried->ticket != NULL) {
        count_ticket(link->lane->front, carried->ticket, -1);
        g_bytes_unref(carried->ticket);
    }
    if (carried->fd >= 0)
        close(carried->fd);
    json_decref(carried->what);
    json_decref(carried->result);
    g_clear_error(&carried->error);
    gw_front_link_unref(carried->link);
    g_free(carried);
}

static void on_done(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    Carried *carried = user;

    g_debug("%s stream over: %" G_GUINT64_FORMAT " bytes came, %" G_GUINT64_FORMAT " went%s%s",
            gw_stream_kind_word((GwStreamKind)carried->kind), written_bytes, read_bytes,
            why != NULL ? ": " : "", why != NULL ? why->message : "");
    gw_front_stream_counted(carried->link, -1);
    gw_front_at_home(carried->link, forget, carried);
}

/* Accepting ----------------------------------------------------------------------------------- */

static gboolean filter_pass(gpointer filter, const guint8 *bytes, gsize length, GByteArray *out,
                            GError **error)
{
    return gw_rpc_filter_feed(filter, bytes, length, out, error);
}

static void filter_free(gpointer filter)
{
    gw_rpc_filter_free(filter);
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static GwPumpFilter filter_for(const json_t *result)
{
    const GwRpcFilterConfig config = { .vm_uuid = text_of(result, "vm_uuid"),
                                       .vm_name = text_of(result, "vm_name"),
                                       .migration_uri = text_of(result, "migration_uri"),
                                       .disks_uri = text_of(result, "disks_uri"),
                                       .prepare = text_of(result, "migration_uri") != NULL,
                                       .paused = json_is_true(json_object_get(result, "paused")),
                                       .no_post_copy =
                                           !json_is_true(json_object_get(result, "post_copy")) };

    return (GwPumpFilter){ filter_pass, filter_free, gw_rpc_filter_new(&config) };
}

/* What comes back to who sends a VM is what he waits for. */
static GwClass class_of(guint kind)
{
    switch (kind) {
    case GW_STREAM_RPC:
    case GW_STREAM_LIBVIRT:
        return GW_CLASS_CONTROL;
    case GW_STREAM_MIGRATION:
    case GW_STREAM_DISK:
        return GW_CLASS_URGENT;
    case GW_STREAM_ECHO:
        return GW_CLASS_NORMAL;
    default:
        return GW_CLASS_BULK;
    }
}

static void accept_stream(Carried *carried)
{
    GwStream *stream = g_steal_pointer(&carried->stream);
    int fd = carried->fd;
    GwPumpConfig config = { .share = { class_of(carried->kind), text_of(carried->result, "vm_uuid"),
                                       0 },
                            .done = on_done,
                            .user = carried };

    carried->fd = -1;
    gw_front_stream_counted(carried->link, 1);
    if (carried->kind == GW_STREAM_RPC)
        config.to_socket = filter_for(carried->result);
    if (carried->kind == GW_STREAM_ECHO)
        gw_pump_accept_echo(stream, &config);
    else if (carried->kind == GW_STREAM_DISCARD)
        gw_pump_accept_discard(stream, &config);
    else
        gw_pump_accept(stream, fd, &config);
}

/* On the lane, with the warden's word. */
static void decide(Link *link, gpointer data)
{
    Carried *carried = data;
    gboolean needs_fd = !(carried->kind & (GW_STREAM_ECHO | GW_STREAM_DISCARD));

    if (link->session == NULL) { /* and the stream with it */
        gw_front_at_home(link, forget, carried);
        return;
    }
    if (carried->error == NULL && (carried->fd >= 0) != needs_fd)
        gw_error_set(&carried->error, GW_ERR_INTERNAL, NULL, "no socket was given for the stream");
    if (carried->error == NULL && carried->kind == GW_STREAM_RPC &&
        (text_of(carried->result, "vm_uuid") == NULL ||
         text_of(carried->result, "vm_name") == NULL))
        gw_error_set(&carried->error, GW_ERR_INTERNAL, NULL, "no VM was named for the filter");
    if (carried->error == NULL) {
        accept_stream(carried);
        return;
    }
    gw_stream_refuse(carried->stream, carried->error);
    gw_front_at_home(link, forget, carried);
}

/* Asking -------------------------------------------------------------------------------------- */

/* Home. */
static void judged(const json_t *result, int fd, const GError *error, Carried *carried)
{

    carried->fd = fd;
    carried->result = result != NULL ? json_deep_copy(result) : NULL;
    carried->error = error != NULL ? g_error_copy(error) : NULL;
    if (error != NULL && carried->link->refusals++ < REFUSALS_LOGGED)
        g_message("a stream '%s' from %s is refused: %s",
                  gw_stream_kind_word((GwStreamKind)carried->kind),
                  carried->link->peer->host_id != NULL ? carried->link->peer->host_id
                                                       : "the controller",
                  error->message);
    gw_front_on_lane(carried->link, decide, carried);
}

/* Home. */
static void on_opened(const json_t *result, int fd, const GError *error, gpointer user)
{
    Carried *carried = user;

    gw_front_ask_end(carried->link);
    judged(result, fd, error, carried);
}

/* Home. */
static void ask(Link *link, gpointer data)
{
    Carried *carried = data;
    Front *front = link->lane->front;
    gint carries = carried->ticket != NULL ? count_ticket(front, carried->ticket, 1) : 0;
    g_autoptr(GError) error = NULL;

    if (!gw_front_ask_begin(link, &error)) {
        judged(NULL, -1, error, carried);
        return;
    }
    gw_ipc_call(front->ipc, "open",
                json_pack("{s:o, s:O, s:i}", "peer", gw_front_peer_json(link), "what",
                          carried->what, "streams", carries),
                -1, on_opened, carried);
}

static Link *link_of(const Front *front, GwSession *session)
{
    for (guint i = 0; i < front->n_lanes; i++) {
        if (front->lanes[i].loop == gw_session_loop(session))
            return g_hash_table_lookup(front->lanes[i].links, session);
    }
    return NULL;
}

void gw_front_stream_asked(GwSession *session, GwStream *stream, const json_t *what, gpointer user)
{
    Front *front = user;
    Link *link = link_of(front, session);
    guint kind = gw_stream_kind_from_word(text_of(what, "kind"));

    if (link == NULL) {
        g_autoptr(GError) error = NULL;
        gw_error_set(&error, GW_ERR_CANCELLED, NULL, "the session is over");
        gw_stream_refuse(stream, error);
        return;
    }
    guint allowed = link->peer->role == GW_PEER_CONTROLLER ? CONTROLLER_KINDS : HOST_KINDS;
    if ((kind & allowed) == 0) {
        g_autoptr(GError) error = NULL;
        gw_error_set(&error, kind == 0 ? GW_ERR_UNSUPPORTED : GW_ERR_FORBIDDEN, NULL,
                     "a stream of this kind is not for %s",
                     link->peer->role == GW_PEER_CONTROLLER ? "a controller" : "a host");
        gw_stream_refuse(stream, error);
        return;
    }
    Carried *carried = g_new0(Carried, 1);
    *carried = (Carried){ .link = gw_front_link_ref(link),
                          .stream = stream,
                          .kind = kind,
                          .what = json_deep_copy(what),
                          .ticket = ticket_of(what),
                          .fd = -1 };
    gw_front_at_home(link, ask, carried);
}
