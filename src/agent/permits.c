/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "agent/copies.h"
#include "agent/files.h"
#include "agent/warden_internal.h"
#include "base/error.h"

/* Leave for moves: given by the controller, kept on disk, ended by it or by time. */

#define FOLDER "permits"
#define FILE_MAX ((gsize)64 * 1024)
#define LEAVES_MAX 1024
#define ADDRESSES_MAX 8
#define ADDRESS_MAX 64
/* After its end a leave opens nothing, but the other agent's questions are still answered. */
#define AFTER_END_S 3600

static const guint socket_kinds[GW_LEAVE_SOCKETS] = { GW_STREAM_RPC, GW_STREAM_MIGRATION,
                                                      GW_STREAM_DISK };

/* What comes ----------------------------------------------------------------------------------- */

GwTicket *gw_permits_ticket(const GwWarden *warden, const json_t *text, GError **error)
{
    const char *base64 = json_string_value(text);
    gsize length = 0;

    if (base64 == NULL || strlen(base64) > GW_TICKET_MAX * 2) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, "Let the controller begin the move.",
                     "there is no ticket, or one that is too long");
        return NULL;
    }
    g_autofree guchar *bytes = g_base64_decode(base64, &length);
    return gw_ticket_open(bytes, length, warden->state->ticket_public, error);
}

static gboolean bad_peer(GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, NULL,
                 "the peer must be the ticket's other host, with at most %d addresses",
                 ADDRESSES_MAX);
    return FALSE;
}

json_t *gw_permits_peer(const json_t *peer, const char *host_id, GError **error)
{
    const json_t *addresses = json_object_get(peer, "addresses");
    g_autoptr(GwJson) list = json_array();
    size_t index = 0;
    json_t *each = NULL;

    if (g_strcmp0(json_string_value(json_object_get(peer, "host_id")), host_id) != 0 ||
        json_array_size(addresses) > ADDRESSES_MAX) {
        bad_peer(error);
        return NULL;
    }
    json_array_foreach (addresses, index, each) {
        const char *text = json_string_value(each);
        if (text == NULL || strlen(text) > ADDRESS_MAX) {
            bad_peer(error);
            return NULL;
        }
        json_array_append_new(list, json_string(text));
    }
    return json_pack("{s:s, s:O}", "host_id", host_id, "addresses", list);
}

/* Whose move it is, and whether it is time; not yet its epoch. */
static gboolean check_ticket(const GwWarden *warden, const GwTicket *ticket, gboolean *is_source,
                             GError **error)
{
    const char *own = warden->state->host_id;
    guint any = ticket->kinds & -ticket->kinds;

    *is_source = strcmp(ticket->source_id, own) == 0;
    if (!*is_source && strcmp(ticket->destination_id, own) != 0) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, "Ask the controller for a ticket of this move.",
                     "the ticket is for the hosts %s and %s, this is %s", ticket->source_id,
                     ticket->destination_id, own);
        return FALSE;
    }
    return gw_ticket_check(ticket, warden->state->fabric_id, ticket->source_id,
                           ticket->destination_id, any, gw_warden_now_s(warden), error);
}

/* On disk -------------------------------------------------------------------------------------- */

static char *folder_of(const GwWarden *warden)
{
    return g_build_filename(warden->paths.state_folder, FOLDER, NULL);
}

static gboolean save(const GwLeave *leave, guint flags, GError **error)
{
    g_autofree char *folder = folder_of(leave->warden);
    g_autoptr(GwJson) json = json_pack("{s:s, s:O, s:i}", "ticket", leave->ticket_text, "peer",
                                       leave->peer, "flags", (int)flags);
    g_autofree char *text = gw_json_text(json);

    return gw_files_folder(folder, error) &&
           gw_files_write(folder, leave->ticket->vm_uuid, text, strlen(text), error);
}

gboolean gw_permits_save(GwLeave *leave, GError **error)
{
    return save(leave, leave->commit != NULL ? gw_commit_flags(leave->commit) : 0, error);
}

/* Life ----------------------------------------------------------------------------------------- */

GwLeave *gw_permits_find(GwWarden *warden, const char *vm_uuid, gint64 epoch)
{
    /* There are none any more while the agent ends. */
    GwLeave *leave = warden->leaves != NULL ? g_hash_table_lookup(warden->leaves, vm_uuid) : NULL;
    return leave != NULL && leave->ticket->epoch == epoch ? leave : NULL;
}

gboolean gw_permits_is_open(GwLeave *leave, GError **error)
{
    const GwTicket *ticket = leave->ticket;
    gint64 now_s = gw_warden_now_s(leave->warden);

    if (!gw_epochs_check(leave->warden->epochs, ticket->vm_uuid, ticket->epoch, ticket->job_id,
                         error))
        return FALSE;
    if (!leave->closed && now_s < ticket->expires_s)
        return TRUE;
    gw_error_set(error, GW_ERR_UNAUTHORIZED, "Let the controller renew the leave.",
                 "the leave for the move is over");
    return FALSE;
}

static void free_leave(gpointer data)
{
    GwLeave *leave = data;

    gw_commits_end(leave);
    gw_permits_stop_listening(leave);
    for (guint i = 0; i < GW_LEAVE_SOCKETS; i++)
        g_free(leave->sockets[i].name);
    g_ptr_array_unref(leave->given);
    gw_timer_free(leave->timer);
    json_decref(leave->peer);
    gw_ticket_free(leave->ticket);
    g_free(leave->ticket_text);
    g_free(leave);
}

void gw_permits_drop(GwLeave *leave)
{
    GwWarden *warden = leave->warden;
    g_autofree char *folder = folder_of(warden);
    g_autofree char *vm_uuid = g_strdup(leave->ticket->vm_uuid);
    g_autoptr(GError) error = NULL;

    g_hash_table_remove(warden->leaves, vm_uuid);
    if (!gw_files_remove(folder, vm_uuid, &error))
        g_warning("%s", error->message);
}

gboolean gw_permits_shut(GwLeave *leave, GError **error)
{
    const GwTicket *ticket = leave->ticket;
    gboolean ok = gw_epochs_close(leave->warden->epochs, ticket->vm_uuid, ticket->epoch, error);

    /* Also where the disk refused: then it is not said to anybody, but nothing begins here. */
    leave->closed = TRUE;
    gw_permits_stop_listening(leave);
    gw_given_cut(leave);
    gw_commits_step(leave, &(GwCommitEvent){ .kind = GW_COMMIT_CLOSED });
    return ok;
}

static void on_timer(gpointer user)
{
    GwLeave *leave = user;
    gint64 now_s = gw_warden_now_s(leave->warden);

    if (now_s >= leave->ticket->expires_s + AFTER_END_S) {
        gw_permits_drop(leave);
        return;
    }
    if (now_s >= leave->ticket->expires_s)
        gw_permits_stop_listening(leave);
    gw_commits_timer(leave);
}

static GwLeave *new_leave(GwWarden *warden, GwTicket *ticket_stolen, const char *ticket_text,
                          json_t *peer_stolen, gboolean is_source)
{
    GwLeave *leave = g_new0(GwLeave, 1);

    leave->warden = warden;
    leave->ticket = ticket_stolen;
    leave->ticket_text = g_strdup(ticket_text);
    leave->is_source = is_source;
    leave->peer = peer_stolen;
    leave->pidfd = -1;
    leave->given = g_ptr_array_new_with_free_func(gw_given_free);
    for (guint i = 0; i < GW_LEAVE_SOCKETS; i++)
        leave->sockets[i] = (GwLeaveSocket){ .kind = socket_kinds[i], .fd = -1 };
    leave->timer = gw_timer_new(warden->loop, on_timer, leave);
    return leave;
}

/* Permit --------------------------------------------------------------------------------------- */

/* The same move again: a later end. What the front listens with stays: the destination's agent
 * looks at the end of the ticket that it was given last. */
static gboolean renew(GwLeave *leave, GwTicket *ticket_stolen, const char *text, json_t *peer,
                      GError **error)
{
    const GwTicket *old = leave->ticket;
    gboolean same = strcmp(old->source_id, ticket_stolen->source_id) == 0 &&
                    strcmp(old->destination_id, ticket_stolen->destination_id) == 0 &&
                    old->commit_by_resume == ticket_stolen->commit_by_resume;

    if (!same || leave->closed) {
        gw_ticket_free(ticket_stolen);
        gw_error_set(error, GW_ERR_CONFLICT, "Move the VM again: each move has a new epoch.",
                     "leave for that epoch was given to another move, or is over");
        return FALSE;
    }
    gw_ticket_free(leave->ticket);
    leave->ticket = ticket_stolen;
    g_free(leave->ticket_text);
    leave->ticket_text = g_strdup(text);
    json_decref(leave->peer);
    leave->peer = json_incref(peer);
    gw_commits_timer(leave);
    return gw_permits_save(leave, error);
}

static gboolean begin(GwWarden *warden, GwLeave *leave, GError **error)
{
    g_autofree char *vm_uuid = g_strdup(leave->ticket->vm_uuid);

    if (!gw_permits_save(leave, error) ||
        (leave->is_source && !gw_permits_make_sockets(leave, error))) {
        free_leave(leave);
        return FALSE;
    }
    g_hash_table_replace(warden->leaves, g_steal_pointer(&vm_uuid), leave);
    gw_commits_begin(leave);
    return TRUE;
}

/* The leave, new or renewed. */
static GwLeave *permit(GwWarden *warden, const json_t *params, GError **error)
{
    const json_t *text = json_object_get(params, "ticket");
    g_autoptr(GwTicket) ticket = gw_permits_ticket(warden, text, error);
    gboolean is_source = FALSE;

    if (ticket == NULL || !check_ticket(warden, ticket, &is_source, error))
        return NULL;
    g_autoptr(GwJson) peer =
        gw_permits_peer(json_object_get(params, "peer"),
                        is_source ? ticket->destination_id : ticket->source_id, error);
    if (peer == NULL)
        return NULL;
    GwLeave *old = g_hash_table_lookup(warden->leaves, ticket->vm_uuid);
    if (old == NULL && g_hash_table_size(warden->leaves) >= LEAVES_MAX) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for moves to end.",
                     "this host has leave for %d moves already", LEAVES_MAX);
        return NULL;
    }
    /* On disk before anything begins: an older move of this VM is over from here on. */
    if (!gw_epochs_raise(warden->epochs, ticket->vm_uuid, ticket->epoch, ticket->job_id, error))
        return NULL;
    if (old != NULL && old->ticket->epoch == ticket->epoch)
        return renew(old, g_steal_pointer(&ticket), json_string_value(text), peer, error) ? old
                                                                                          : NULL;
    if (old != NULL) {
        gw_given_cut(old);
        gw_permits_drop(old);
    }
    GwLeave *leave = new_leave(warden, g_steal_pointer(&ticket), json_string_value(text),
                               g_steal_pointer(&peer), is_source);
    return begin(warden, leave, error) ? leave : NULL;
}

/* Leave for copies is in the ticket that each of them brings: nothing listens for them, nothing of
 * them is committed, and a move's leave beside it stays as it is. */
static gboolean is_for_copies(GwWarden *warden, const json_t *params, GError **error)
{
    g_autoptr(GwTicket) ticket =
        gw_permits_ticket(warden, json_object_get(params, "ticket"), error);
    gboolean is_source = FALSE;

    return ticket != NULL && gw_copies_is_leave(ticket) &&
           check_ticket(warden, ticket, &is_source, error) &&
           gw_copies_check_ticket(warden, ticket, error);
}

void gw_permits_permit(GwWarden *warden, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;

    if (is_for_copies(warden, params, &error)) {
        gw_warden_answer(warden, id, json_object(), -1, NULL);
        return;
    }
    GwLeave *leave = error == NULL ? permit(warden, params, &error) : NULL;

    if (leave == NULL)
        gw_warden_answer(warden, id, NULL, -1, error);
    else if (leave->is_source && leave->sockets[0].id == NULL && leave->sockets[1].id == NULL)
        gw_permits_hand_over(leave, id);
    else
        gw_warden_answer(warden, id, gw_permits_paths(leave), -1, NULL);
}

/* Close ---------------------------------------------------------------------------------------- */

typedef struct {
    char *note;
    gboolean is_source;
} Left;

/* What the move came to decides whether the VM may start here by itself from now on. */
static void saw_after_close(GwWarden *warden, const char *vm_uuid, gint64 epoch, const GwWord *word,
                            gpointer user)
{
    Left *left = user;
    g_autoptr(GError) error = NULL;
    gboolean gone =
        word->processes == 0 && (word->side == GW_SIDE_MIGRATED || word->side == GW_SIDE_ABSENT);
    gboolean here = word->processes == 1 && word->side == GW_SIDE_RUNNING;
    gboolean ok = TRUE;

    if (left->is_source && gone)
        ok = gw_epochs_set_left(warden->epochs, vm_uuid, left->note, &error);
    else if (here)
        ok = gw_epochs_set_left(warden->epochs, vm_uuid, NULL, &error);
    if (!ok)
        g_warning("%s", error->message);
    g_free(left->note);
    g_free(left);
}

static void close_leave(GwWarden *warden, GwLeave *leave)
{
    g_autofree char *vm_uuid = g_strdup(leave->ticket->vm_uuid);
    gint64 epoch = leave->ticket->epoch;
    Left *left = g_new0(Left, 1);

    left->note = gw_guard_note(leave);
    left->is_source = leave->is_source;
    gw_permits_drop(leave);
    gw_warden_look(warden, vm_uuid, epoch, saw_after_close, left);
}

void gw_permits_close(GwWarden *warden, guint64 id, const json_t *params)
{
    const char *vm_uuid = json_string_value(json_object_get(params, "vm_uuid"));
    gint64 epoch = json_integer_value(json_object_get(params, "epoch"));
    g_autoptr(GError) error = NULL;
    GwLeave *leave = vm_uuid != NULL ? gw_permits_find(warden, vm_uuid, epoch) : NULL;
    gboolean ok = leave != NULL ? gw_permits_shut(leave, &error)
                                : gw_epochs_close(warden->epochs, vm_uuid, epoch, &error);

    if (vm_uuid != NULL)
        gw_copies_close(warden, vm_uuid, epoch);
    if (ok && leave != NULL)
        close_leave(warden, leave);
    if (ok && gw_commits_answer_later(warden, vm_uuid, id))
        return;
    gw_warden_answer(warden, id, ok ? json_object() : NULL, -1, error);
}

/* After a restart ------------------------------------------------------------------------------ */

static GwLeave *read_leave(GwWarden *warden, const char *folder, const char *name, guint *flags,
                           GError **error)
{
    gsize length = 0;
    g_autofree char *text = gw_files_read(folder, name, FILE_MAX, &length, error);
    g_autoptr(GwJson) json = text != NULL ? gw_json_parse(text, length, FILE_MAX, error) : NULL;
    gboolean is_source = FALSE;

    if (json == NULL)
        return NULL;
    const json_t *ticket_text = json_object_get(json, "ticket");
    g_autoptr(GwTicket) ticket = gw_permits_ticket(warden, ticket_text, error);
    if (ticket == NULL || !check_ticket(warden, ticket, &is_source, error))
        return NULL;
    json_t *peer = gw_permits_peer(json_object_get(json, "peer"),
                                   is_source ? ticket->destination_id : ticket->source_id, error);
    if (peer == NULL)
        return NULL;
    *flags = (guint)json_integer_value(json_object_get(json, "flags"));
    return new_leave(warden, g_steal_pointer(&ticket), json_string_value(ticket_text), peer,
                     is_source);
}

static void take_up(GwWarden *warden, const char *folder, const char *name)
{
    g_autoptr(GError) error = NULL;
    guint flags = 0;
    GwLeave *leave = read_leave(warden, folder, name, &flags, &error);

    if (leave == NULL) {
        g_message("leave for a move of VM %s is not taken up: %s", name, error->message);
        gw_files_remove(folder, name, NULL);
        return;
    }
    /* One that is closed opens nothing, but what was seen of its end is still asked for. */
    leave->closed = !gw_epochs_check(warden->epochs, leave->ticket->vm_uuid, leave->ticket->epoch,
                                     leave->ticket->job_id, NULL);
    leave->commit = leave->ticket->commit_by_resume ? gw_commit_new(leave->is_source, flags) : NULL;
    g_hash_table_replace(warden->leaves, g_strdup(leave->ticket->vm_uuid), leave);
    if (leave->closed)
        gw_commits_step(leave, &(GwCommitEvent){ .kind = GW_COMMIT_CLOSED });
    else if (leave->is_source && !gw_permits_make_sockets(leave, &error))
        g_warning("VM %s: %s", name, error->message);
    gw_commits_begin(leave);
    if (leave->is_source && !leave->closed)
        gw_permits_hand_over(leave, 0);
}

gboolean gw_permits_load(GwWarden *warden, GError **error)
{
    g_autofree char *folder = folder_of(warden);
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    DIR *dir = NULL;
    struct dirent *found = NULL;

    if (!gw_files_folder(folder, error))
        return FALSE;
    gw_sockets_sweep(warden, none);
    dir = opendir(folder);
    while (dir != NULL && (found = readdir(dir)) != NULL &&
           g_hash_table_size(warden->leaves) < LEAVES_MAX) {
        if (strlen(found->d_name) == 36 && g_uuid_string_is_valid(found->d_name))
            take_up(warden, folder, found->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return TRUE;
}

void gw_permits_init(GwWarden *warden)
{
    warden->leaves = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_leave);
    warden->resuming =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref);
    warden->attesting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void gw_permits_free(GwWarden *warden)
{
    g_clear_pointer(&warden->leaves, g_hash_table_unref);
    g_clear_pointer(&warden->resuming, g_hash_table_unref);
    g_clear_pointer(&warden->attesting, g_hash_table_unref);
}
