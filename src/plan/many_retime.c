/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/plan.h"
#include "plan/rule.h"

/* Waves and times of a plan whose order somebody changed. The order in which its moves stand is
 * what counts: each follows those above it as gw_plan_move_ready would have it follow them, so that
 * what is proven of these times is what the plan's job does. */

#define LONGEST_MS ((gint64)24 * 3600 * 1000) /* of a move, by a file that says what it likes */

typedef struct {
    const GwHost *host;
    GwSlots used;
    guint moves, begun, ended; /* that leave it */
    gint64 left_wave, left_ms; /* the highest wave, and the last end, of those above */
    gint64 entered_wave;       /* of those above that enter it */
} End;

typedef struct {
    const GwFabric *fabric;
    GwMigrationPlan *plan;
    GHashTable *ends; /* host id -> End */
    GHashTable *last; /* uuid -> the VM's last GwPlannedMove above */
    GPtrArray *running;
    gint64 open; /* hosts that moves have begun to leave, and not all ended */
    gint64 now_ms;
} Retime;

static End *end_of(Retime *r, const char *host_id)
{
    const char *key = gw_plan_text(host_id);
    End *end = g_hash_table_lookup(r->ends, key);

    if (end == NULL) {
        end = g_new0(End, 1);
        end->host = gw_fabric_host(r->fabric, key);
        g_hash_table_insert(r->ends, (gpointer)key, end);
    }
    return end;
}

static gboolean has_slots(const End *end, GwSlots takes)
{
    return end->host == NULL ||
           ((takes.live == 0 || end->used.live + takes.live <= end->host->live_limit) &&
            (takes.storage == 0 || end->used.storage + takes.storage <= end->host->storage_limit));
}

static gboolean fits(Retime *r, const GwPlannedMove *move)
{
    const GwPlanRequest *request = r->plan->request;
    const End *from = end_of(r, move->source_host_id), *to = end_of(r, move->destination_host_id);
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);
    gboolean drain = r->plan->kind == (int)GW_PLAN_DRAIN;

    if (request->moves_at_once > 0 && (gint64)r->running->len >= request->moves_at_once)
        return FALSE;
    if (drain && request->hosts_at_once > 0 && from->begun == 0 &&
        r->open >= request->hosts_at_once)
        return FALSE;
    return has_slots(from, takes) && has_slots(to, takes);
}

static void take(Retime *r, const GwPlannedMove *move, int sign)
{
    End *ends[] = { end_of(r, move->source_host_id), end_of(r, move->destination_host_id) };
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);

    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        ends[i]->used.live += sign * takes.live;
        ends[i]->used.storage += sign * takes.storage;
    }
}

static void finish_until(Retime *r, gint64 ms)
{
    for (guint i = r->running->len; i > 0; i--) {
        const GwPlannedMove *move = r->running->pdata[i - 1];
        if (move->ends_ms > ms)
            continue;
        End *from = end_of(r, move->source_host_id);
        take(r, move, -1);
        if (++from->ended == from->moves)
            r->open--;
        g_ptr_array_remove_index_fast(r->running, i - 1);
    }
    r->now_ms = ms;
}

static gint64 next_end(const Retime *r)
{
    gint64 next = G_MAXINT64;

    for (guint i = 0; i < r->running->len; i++)
        next = MIN(next, ((GwPlannedMove *)r->running->pdata[i])->ends_ms);
    return next;
}

static void wait_for(GwPlannedMove *move, gint64 *begins_ms, gint64 wave, gint64 ends_ms)
{
    move->wave = MAX(move->wave, wave + 1);
    *begins_ms = MAX(*begins_ms, ends_ms);
}

static void place(Retime *r, guint index)
{
    GwPlannedMove *move = r->plan->moves->pdata[index];
    End *from = end_of(r, move->source_host_id), *to = end_of(r, move->destination_host_id);
    const GwPlannedMove *own = g_hash_table_lookup(r->last, gw_plan_text(move->vm_uuid));
    gint64 lasts_ms =
        CLAMP(CLAMP(move->ends_ms, 0, G_MAXINT64 / 4) - CLAMP(move->starts_ms, 0, G_MAXINT64 / 4),
              0, LONGEST_MS);
    gint64 begins_ms = r->now_ms;

    move->wave = 1;
    if (move->after > 0 && move->after <= index) {
        const GwPlannedMove *before = r->plan->moves->pdata[move->after - 1];
        wait_for(move, &begins_ms, before->wave, before->ends_ms);
    }
    if (own != NULL)
        wait_for(move, &begins_ms, own->wave, own->ends_ms);
    if (to->moves > 0) { /* others leave it: in their order */
        wait_for(move, &begins_ms, to->left_wave, to->left_ms);
        move->wave = MAX(move->wave, to->entered_wave);
    }
    finish_until(r, begins_ms);
    while (!fits(r, move) && r->running->len > 0)
        finish_until(r, next_end(r));
    move->starts_ms = r->now_ms;
    move->ends_ms = move->starts_ms + MAX(lasts_ms, 1);
    take(r, move, 1);
    r->open += from->begun++ == 0;
    from->left_wave = MAX(from->left_wave, move->wave);
    from->left_ms = MAX(from->left_ms, move->ends_ms);
    to->entered_wave = MAX(to->entered_wave, move->wave);
    g_ptr_array_add(r->running, move);
    g_hash_table_insert(r->last, (gpointer)gw_plan_text(move->vm_uuid), move);
}

void gw_plan_many_retime(const GwFabric *fabric, GwMigrationPlan *plan)
{
    g_autoptr(GHashTable) ends = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GHashTable) last = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) running = g_ptr_array_new();
    Retime r = { fabric, plan, ends, last, running, 0, 0 };

    plan->waves = 0;
    for (guint i = 0; i < plan->moves->len; i++)
        end_of(&r, ((GwPlannedMove *)plan->moves->pdata[i])->source_host_id)->moves++;
    for (guint i = 0; i < plan->moves->len; i++) {
        place(&r, i);
        plan->waves = MAX(plan->waves, ((GwPlannedMove *)plan->moves->pdata[i])->wave);
    }
}
