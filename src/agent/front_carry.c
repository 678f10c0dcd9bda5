/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "agent/front_internal.h"
#include "base/error.h"
#include "wire/ticket.h"

/* A socket of the warden's that is carried to a peer: one stream, by name, whose end is the answer.
 * Listeners are for programs that dial by themselves; a copier does not. */

#define CARRIES_MAX 64
#define GROUP_MAX 256

typedef struct {
    Front *front;
    guint64 id; /* the warden's call */
    json_t *what;
    char *group;
    int fd;
    Link *link; /* once it is carried */
    GError *error;
} Carry;

/* Home. */
static void over(Carry *carry)
{
    carry->front->carries--;
    gw_ipc_answer(carry->front->ipc, carry->id, carry->error == NULL ? json_object() : NULL, -1,
                  carry->error);
    if (carry->fd >= 0)
        close(carry->fd);
    if (carry->link != NULL)
        gw_front_link_unref(carry->link);
    json_decref(carry->what);
    g_clear_error(&carry->error);
    g_free(carry->group);
    g_free(carry);
}

static void over_at_home(Link *link, gpointer data)
{
    over(data);
}

/* On the lane. */
static void on_done(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    Carry *carry = user;

    if (why != NULL)
        carry->error = g_error_copy(why);
    gw_front_stream_counted(carry->link, -1);
    gw_front_at_home(carry->link, over_at_home, carry);
}

/* On the lane. */
static void begin(Link *link, gpointer data)
{
    Carry *carry = data;
    const GwPumpConfig config = { .share = { GW_CLASS_BULK, carry->group, 0 },
                                  .done = on_done,
                                  .user = carry };
    int fd = carry->fd;

    carry->link = gw_front_link_ref(link);
    if (link->session == NULL) {
        gw_error_set(&carry->error, GW_ERR_UNREACHABLE, "Copy again: it goes on where it was.",
                     "the session to the other host ended");
        gw_front_at_home(link, over_at_home, carry);
        return;
    }
    carry->fd = -1;
    gw_front_stream_counted(link, 1);
    gw_pump_open(link->session, g_steal_pointer(&carry->what), fd, &config);
}

static void on_link(Link *link, const GError *error, gpointer user)
{
    Carry *carry = user;

    if (link != NULL) {
        gw_front_on_lane(link, begin, carry);
        return;
    }
    carry->error = g_error_copy(error);
    over(carry);
}

void gw_front_carry(Front *front, guint64 id, const json_t *params, int fd)
{
    const json_t *what = json_object_get(params, "what"), *peer = json_object_get(params, "peer");
    const char *kind = json_string_value(json_object_get(what, "kind"));
    const char *group = json_string_value(json_object_get(params, "group"));
    g_autoptr(GError) error = NULL;

    if (fd < 0 || gw_stream_kind_from_word(kind) != GW_STREAM_FILE || group == NULL ||
        strlen(group) > GROUP_MAX || front->carries >= CARRIES_MAX) {
        gw_error_set(&error, GW_ERR_INVALID, NULL, "no file stream, or one too many");
        if (fd >= 0)
            close(fd);
        gw_ipc_answer(front->ipc, id, NULL, -1, error);
        return;
    }
    Carry *carry = g_new0(Carry, 1);
    *carry = (Carry){
        .front = front, .id = id, .what = json_deep_copy(what), .group = g_strdup(group), .fd = fd
    };
    front->carries++;
    gw_front_peer_need(front, peer, FALSE, on_link, carry);
}
