/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/front_internal.h"
#include "base/error.h"

/* Sessions to other hosts, at home: one that this side dialled for each host, shared by all that
 * need it, and those that the other side dialled. */

#define WAITERS_MAX 4096
#define ADDRESSES_MAX 8
#define ADDRESS_MAX 64
#define UNUSED_US (300 * G_USEC_PER_SEC)
/* That one host dialled: more than one only where it has not noticed the end of the one before. All
 * places for sessions would else be one host's, and the controller's with them. */
#define ACCEPTED_MAX 4

typedef struct {
    PeerDone done;
    gpointer user;
} Waiter;

struct Peer {
    char *host_id;
    Link *dialled; /* a reference; NULL: none */
    gboolean up;   /* @dialled is ready */
    GQueue waiters;
    GPtrArray *accepted; /* Link, one reference each; ready */
    gint64 used_us;
};

void gw_front_peer_free(gpointer data)
{
    Peer *peer = data;

    g_queue_clear_full(&peer->waiters, g_free);
    g_ptr_array_unref(peer->accepted);
    g_clear_pointer(&peer->dialled, gw_front_link_unref);
    g_free(peer->host_id);
    g_free(peer);
}

static Peer *get_peer(Front *front, const char *host_id)
{
    Peer *peer = g_hash_table_lookup(front->peers, host_id);

    if (peer != NULL)
        return peer;
    peer = g_new0(Peer, 1);
    peer->host_id = g_strdup(host_id);
    g_queue_init(&peer->waiters);
    peer->accepted = g_ptr_array_new_with_free_func((GDestroyNotify)gw_front_link_unref);
    g_hash_table_insert(front->peers, peer->host_id, peer);
    return peer;
}

static void forget_if_empty(Front *front, Peer *peer)
{
    if (peer->dialled == NULL && peer->accepted->len == 0 && g_queue_is_empty(&peer->waiters))
        g_hash_table_remove(front->peers, peer->host_id);
}

/* Dialling ------------------------------------------------------------------------------------ */

typedef struct {
    GwCredentials *credentials;
    char *host_id;
    char **addresses;
} Dial;

/* On the lane. */
static void dial(Link *link, gpointer data)
{
    Dial *what = data;
    GwSessionOps ops = gw_front_session_ops;
    g_autoptr(GwJson) hello = json_object();
    ops.user = link->lane->front;
    const GwSessionConfig config = { .loop = link->lane->loop,
                                     .credentials = what->credentials,
                                     .hello = hello,
                                     .ops = &ops,
                                     .expect_host_id = what->host_id };

    link->session = gw_session_dial(&config, (const char *const *)what->addresses);
    g_hash_table_insert(link->lane->links, link->session, gw_front_link_ref(link));
    gw_credentials_unref(what->credentials);
    g_free(what->host_id);
    g_strfreev(what->addresses);
    g_free(what);
}

static void start_dial(Front *front, Peer *peer, char **addresses_stolen)
{
    Dial *what = g_new(Dial, 1);
    Lane *lane = &front->lanes[front->next_lane++ % front->n_lanes];

    *what =
        (Dial){ gw_credentials_ref(front->credentials), g_strdup(peer->host_id), addresses_stolen };
    peer->dialled = gw_front_link_new(lane, TRUE);
    gw_front_on_lane(peer->dialled, dial, what);
}

static char **read_addresses(const json_t *json)
{
    g_autoptr(GStrvBuilder) addresses = g_strv_builder_new();
    size_t index;
    json_t *each;

    json_array_foreach (json, index, each) {
        const char *text = json_string_value(each);
        if (index < ADDRESSES_MAX && text != NULL && strlen(text) <= ADDRESS_MAX)
            g_strv_builder_add(addresses, text);
    }
    return g_strv_builder_end(addresses);
}

static Link *find_ready(const Peer *peer, gboolean any)
{
    if (peer->up)
        return peer->dialled;
    return any && peer->accepted->len > 0
               ? g_ptr_array_index(peer->accepted, peer->accepted->len - 1)
               : NULL;
}

static void refuse(PeerDone done, gpointer user, GwErrorCode code, const char *message)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, code, NULL, "%s", message);
    done(NULL, error, user);
}

static void wait_or_dial(Front *front, Peer *peer, const json_t *addresses, PeerDone done,
                         gpointer user)
{
    if (peer->dialled == NULL) {
        g_auto(GStrv) list = read_addresses(addresses);
        if (front->credentials == NULL || list[0] == NULL) {
            refuse(done, user, GW_ERR_UNREACHABLE,
                   list[0] == NULL ? "no address of the host is known" : "no certificate yet");
            forget_if_empty(front, peer);
            return;
        }
        start_dial(front, peer, g_steal_pointer(&list));
    } else if (peer->waiters.length >= WAITERS_MAX) {
        refuse(done, user, GW_ERR_CONFLICT, "too many wait for a session to the host");
        return;
    }
    Waiter *waiter = g_new(Waiter, 1);
    *waiter = (Waiter){ done, user };
    g_queue_push_tail(&peer->waiters, waiter);
}

void gw_front_peer_need(Front *front, const json_t *peer_json, gboolean any, PeerDone done,
                        gpointer user)
{
    const char *host_id = json_string_value(json_object_get(peer_json, "host_id"));

    if (host_id == NULL || *host_id == '\0' || strlen(host_id) > 128) {
        refuse(done, user, GW_ERR_INVALID, "the peer's host id is missing");
        return;
    }
    Peer *peer = get_peer(front, host_id);
    Link *link = find_ready(peer, any);
    peer->used_us = g_get_monotonic_time();
    if (link != NULL)
        done(link, NULL, user);
    else
        wait_or_dial(front, peer, json_object_get(peer_json, "addresses"), done, user);
}

/* Coming and going ---------------------------------------------------------------------------- */

static void tell_waiters(Peer *peer, Link *link, const GError *error)
{
    GQueue waiters = peer->waiters;
    Waiter *waiter;

    g_queue_init(&peer->waiters);
    while ((waiter = g_queue_pop_head(&waiters)) != NULL) {
        waiter->done(link, error, waiter->user);
        g_free(waiter);
    }
}

static void close_surplus(Link *link, gpointer unused)
{
    g_autoptr(GError) error = NULL;

    if (link->session == NULL)
        return;
    gw_error_set(&error, GW_ERR_CONFLICT, NULL, "this host has %d later sessions here",
                 ACCEPTED_MAX);
    gw_session_close(link->session, error);
}

static void add_accepted(Peer *peer, Link *link)
{
    g_ptr_array_add(peer->accepted, gw_front_link_ref(link));
    for (guint i = 0; i + ACCEPTED_MAX < peer->accepted->len; i++)
        gw_front_on_lane(g_ptr_array_index(peer->accepted, i), close_surplus, NULL);
}

void gw_front_peer_up(Link *link, gpointer unused)
{
    Front *front = link->lane->front;
    Peer *peer = get_peer(front, link->peer->host_id);

    peer->used_us = g_get_monotonic_time();
    if (!link->dialled) {
        add_accepted(peer, link);
    } else if (link == peer->dialled) {
        peer->up = TRUE;
        tell_waiters(peer, link, NULL);
    }
}

static gboolean has_dialled(gpointer key, gpointer value, gpointer link)
{
    return ((Peer *)value)->dialled == link;
}

void gw_front_peer_down(Link *link, GError *why_stolen)
{
    Front *front = link->lane->front;
    g_autoptr(GError) why = why_stolen;
    Peer *peer = link->dialled || link->peer == NULL || link->peer->host_id == NULL
                     ? g_hash_table_find(front->peers, has_dialled, link)
                     : g_hash_table_lookup(front->peers, link->peer->host_id);

    if (peer == NULL)
        return;
    if (peer->dialled == link) {
        if (why == NULL)
            gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the session to the host ended");
        /* A reference of the task's keeps it. */
        g_clear_pointer(&peer->dialled, gw_front_link_unref);
        peer->up = FALSE;
        tell_waiters(peer, NULL, why);
    } else {
        g_ptr_array_remove(peer->accepted, link);
    }
    forget_if_empty(front, peer);
}

static void close_unused(Link *link, gpointer unused)
{
    if (link->session != NULL && g_atomic_int_get(&link->users) == 0)
        gw_session_close(link->session, NULL);
}

/* A stream that is asked for between the look and the close fails as by a lost connection; that is
 * 5 minutes after the last one, on a path that nothing listens for. */
void gw_front_peers_sweep(Front *front)
{
    gint64 now_us = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, front->peers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Peer *peer = value;
        if (!peer->up || g_atomic_int_get(&peer->dialled->users) > 0 ||
            gw_front_listens_to(front, peer->host_id))
            peer->used_us = now_us;
        else if (now_us - peer->used_us > UNUSED_US)
            gw_front_on_lane(peer->dialled, close_unused, NULL);
    }
}
