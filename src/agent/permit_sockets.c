/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "agent/warden_internal.h"
#include "base/error.h"

/* The sockets at which a leave's source host lets libvirt connect: made here, listened at by the
 * front. */

static void ignore_answer(const json_t *result, int fd, const GError *error, gpointer user)
{
    if (fd >= 0)
        close(fd);
}

void gw_permits_stop_listening(GwLeave *leave)
{
    GwWarden *warden = leave->warden;

    for (guint i = 0; i < GW_LEAVE_SOCKETS; i++) {
        GwLeaveSocket *each = &leave->sockets[i];
        if (each->id != NULL && warden->ipc != NULL)
            gw_warden_ask_front(warden, "unlisten", json_pack("{s:s}", "listener", each->id), -1,
                                ignore_answer, NULL);
        if (each->fd >= 0) {
            close(each->fd);
            gw_sockets_remove(warden, each->name);
        }
        each->fd = -1;
        g_clear_pointer(&each->id, g_free);
    }
}

typedef struct {
    GwWarden *warden;
    guint64 id; /* the front's call; 0: nobody waits */
    char *vm_uuid;
    gint64 epoch;
    guint waits;
    GError *error;
} Listening;

json_t *gw_permits_paths(const GwLeave *leave)
{
    static const char *const keys[GW_LEAVE_SOCKETS] = { "peer_uri", "migration_uri", "disks_uri" };
    json_t *answer = json_object();

    for (guint i = 0; leave->is_source && i < GW_LEAVE_SOCKETS; i++) {
        const char *folder = leave->warden->paths.run_folder;
        if (leave->sockets[i].name == NULL)
            continue;
        g_autofree char *text = g_strconcat(i == 0 ? "qemu+unix:///system?socket=" : "unix://",
                                            folder, "/", leave->sockets[i].name, NULL);
        json_object_set_new(answer, keys[i], json_string(text));
    }
    return answer;
}

static void listened(const json_t *result, int fd, const GError *error, gpointer user)
{
    Listening *wait = user;

    if (fd >= 0)
        close(fd);
    if (error != NULL && wait->error == NULL)
        wait->error = g_error_copy(error);
    if (--wait->waits > 0)
        return;
    GwLeave *leave = gw_permits_find(wait->warden, wait->vm_uuid, wait->epoch);
    if (leave != NULL && wait->error != NULL) {
        gw_permits_drop(leave); /* asked for again, it is made anew */
        leave = NULL;
    }
    if (leave == NULL && wait->error == NULL)
        gw_error_set(&wait->error, GW_ERR_CONFLICT, NULL, "the leave was closed meanwhile");
    if (wait->id != 0)
        gw_warden_answer(wait->warden, wait->id,
                         wait->error == NULL ? gw_permits_paths(leave) : NULL, -1, wait->error);
    else if (wait->error != NULL)
        g_warning("the front does not listen: %s", wait->error->message);
    g_clear_error(&wait->error);
    g_free(wait->vm_uuid);
    g_free(wait);
}

gboolean gw_permits_make_sockets(GwLeave *leave, GError **error)
{
    GwWarden *warden = leave->warden;

    if (!gw_sockets_folder(warden, error))
        return FALSE;
    for (guint i = 0; i < GW_LEAVE_SOCKETS; i++) {
        GwLeaveSocket *each = &leave->sockets[i];
        if ((leave->ticket->kinds & each->kind) == 0)
            continue;
        each->name = gw_sockets_name(leave->ticket, each->kind, warden->paths.run_folder);
        each->fd = gw_sockets_listen(warden, each->name, each->kind != GW_STREAM_RPC, error);
        if (each->fd < 0)
            return FALSE;
    }
    return TRUE;
}

void gw_permits_hand_over(GwLeave *leave, guint64 id)
{
    GwWarden *warden = leave->warden;
    Listening *wait = g_new0(Listening, 1);

    *wait = (Listening){ .warden = warden,
                         .id = id,
                         .vm_uuid = g_strdup(leave->ticket->vm_uuid),
                         .epoch = leave->ticket->epoch,
                         .waits = 1 };
    for (guint i = 0; i < GW_LEAVE_SOCKETS; i++) {
        GwLeaveSocket *each = &leave->sockets[i];
        if (each->fd < 0)
            continue;
        each->id = g_strdup_printf("%" G_GUINT64_FORMAT, ++warden->last_listener);
        wait->waits++;
        gw_warden_ask_front(warden, "listen",
                            json_pack("{s:s, s:s, s:s, s:s, s:O}", "listener", each->id, "kind",
                                      gw_stream_kind_word((GwStreamKind)each->kind), "ticket",
                                      leave->ticket_text, "group", leave->ticket->vm_uuid, "peer",
                                      leave->peer),
                            each->fd, listened, wait);
    }
    /* So that the first stream need not wait for a handshake. */
    gw_warden_ask_front(warden, "connect", json_pack("{s:O}", "peer", leave->peer), -1,
                        ignore_answer, NULL);
    listened(NULL, -1, NULL, wait);
}
