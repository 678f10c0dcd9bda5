/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many_check.h"

/* Whether there is room on each host in whatever order moves end: times are predictions, and a plan
 * that somebody changed may have waves that make nobody wait. By the rule of gw_plan_move_ready a
 * move that enters a host which others leave waits until those of lower waves have left it, and
 * begins after those above it that enter it too; where nobody leaves, all that enter are there. */

typedef struct {
    gint64 wave, kib;
} Leaver;

typedef struct {
    GArray *leavers; /* Leaver */
    gint64 left_kib; /* beside those that have entered */
    gint64 wave;     /* the highest of those that have entered */
} Room;

static void room_free(gpointer data)
{
    Room *room = data;

    g_array_unref(room->leavers);
    g_free(room);
}

static Room *room_of(const Check *r, GHashTable *rooms, const char *host_id)
{
    Room *room = g_hash_table_lookup(rooms, host_id);
    const CheckPlace *place = g_hash_table_lookup(r->places, host_id);

    if (room == NULL && place != NULL) {
        room = g_new0(Room, 1);
        room->leavers = g_array_new(FALSE, FALSE, sizeof(Leaver));
        room->left_kib = place->memory_kib;
        g_hash_table_insert(rooms, place->host->id, room);
    }
    return room;
}

static gboolean enters(const Check *r, Room *room, guint number, const GwPlannedMove *move,
                       const GwVm *vm, GError **error)
{
    gboolean home = g_strcmp0(vm->host_id, move->destination_host_id) == 0;
    gint64 freed = 0;

    room->left_kib -= home ? check_freed(r, vm, vm->host_id) : check_memory(r, vm);
    room->wave = MAX(room->wave, move->wave);
    for (guint i = 0; i < room->leavers->len; i++) {
        const Leaver *leaver = &g_array_index(room->leavers, Leaver, i);
        freed += leaver->wave < room->wave ? leaver->kib : 0;
    }
    return check_memory(r, vm) == 0 || room->left_kib + freed >= 0 ||
           check_broken(error, number, move,
                        "the destination runs out of memory if others take longer: it waits for "
                        "too few of those that leave");
}

gboolean check_any_order(const Check *r, GError **error)
{
    g_autoptr(GHashTable) rooms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, room_free);
    const GPtrArray *moves = r->plan->moves;

    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwVm *vm = g_hash_table_lookup(r->vms, gw_plan_text(move->vm_uuid));
        Room *from = room_of(r, rooms, gw_plan_text(move->source_host_id));
        if (vm == NULL || from == NULL || move->state != (int)GW_PLANNED_WAITING)
            continue;
        Leaver leaver = { move->wave, check_freed(r, vm, move->source_host_id) };
        g_array_append_val(from->leavers, leaver);
    }
    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwVm *vm = g_hash_table_lookup(r->vms, gw_plan_text(move->vm_uuid));
        Room *to = room_of(r, rooms, gw_plan_text(move->destination_host_id));
        if (vm != NULL && to != NULL && move->state == (int)GW_PLANNED_WAITING &&
            !enters(r, to, i + 1, move, vm, error))
            return FALSE;
    }
    return TRUE;
}
