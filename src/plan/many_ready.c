/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/plan.h"
#include "plan/rule.h"

/* Which moves of a plan may begin, by what has become of the others: the order that the plan has
 * proven, whatever time each of them really takes. */

static gboolean is_over(const GwPlannedMove *move)
{
    return move->state == (int)GW_PLANNED_DONE || move->state == (int)GW_PLANNED_SKIPPED;
}

static gboolean waits(char **why, const GwPlannedMove *other, const char *what)
{
    if (why != NULL)
        *why = g_strdup_printf("waits for %s, %s%s", gw_plan_text(other->vm_name), what,
                               other->state == (int)GW_PLANNED_FAILED ? ", whose move failed" : "");
    return FALSE;
}

/* Whether any move of the plan leaves the host: then who enters it, and when, matters. */
static gboolean is_left(const GwMigrationPlan *plan, guint first, const char *host_id)
{
    for (guint i = first; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (g_strcmp0(move->source_host_id, host_id) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Those before it that leave, or enter, where it goes; and its own way until here. */
static gboolean in_turn(const GwMigrationPlan *plan, guint first, guint index, char **why)
{
    const GwPlannedMove *move = plan->moves->pdata[index];
    gboolean mixed = is_left(plan, first, move->destination_host_id);

    for (guint i = first; i < plan->moves->len; i++) {
        const GwPlannedMove *other = plan->moves->pdata[i];
        if (i == index || is_over(other))
            continue;
        if ((gint64)i + 1 == move->after)
            return waits(why, other, "which comes before it");
        if (i < index && g_strcmp0(other->vm_uuid, move->vm_uuid) == 0)
            return waits(why, other, "which is on its way to there");
        if (mixed && other->wave < move->wave &&
            g_strcmp0(other->source_host_id, move->destination_host_id) == 0)
            return waits(why, other, "which makes room for it");
        if (mixed && i < index && other->state == (int)GW_PLANNED_WAITING &&
            g_strcmp0(other->destination_host_id, move->destination_host_id) == 0)
            return waits(why, other, "which goes there before it");
    }
    return TRUE;
}

typedef struct {
    guint begun, open;
} Source;

/* Hosts emptied at one time: one that has begun goes on, another waits. */
static gboolean may_open(const GwMigrationPlan *plan, guint first, guint index, char **why)
{
    const GwPlannedMove *move = plan->moves->pdata[index];
    gint64 most = plan->request != NULL ? plan->request->hosts_at_once : 0;
    g_autoptr(GHashTable) sources = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    gint64 open = 0;
    GHashTableIter iter;
    gpointer value;

    if (plan->kind != (int)GW_PLAN_DRAIN || most <= 0)
        return TRUE;
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *other = plan->moves->pdata[i];
        Source *source = g_hash_table_lookup(sources, other->source_host_id);
        if (source == NULL) {
            source = g_new0(Source, 1);
            g_hash_table_insert(sources, other->source_host_id, source);
        }
        if (i < first && other->state != (int)GW_PLANNED_RUNNING)
            continue; /* where a new plan goes on is for that plan to say */
        source->begun += other->state != (int)GW_PLANNED_WAITING;
        source->open += !is_over(other);
    }
    if (((Source *)g_hash_table_lookup(sources, move->source_host_id))->begun > 0)
        return TRUE;
    g_hash_table_iter_init(&iter, sources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Source *source = value;
        open += source->begun > 0 && source->open > 0;
    }
    if (open >= most && why != NULL)
        *why = g_strdup_printf("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                               " hosts at one time are being emptied",
                               open, most);
    return open < most;
}

gboolean gw_plan_move_ready_from(const GwMigrationPlan *plan, guint first, guint index, char **why)
{
    const GwPlannedMove *move = index < plan->moves->len ? plan->moves->pdata[index] : NULL;

    if (move == NULL || move->state != (int)GW_PLANNED_WAITING) {
        if (why != NULL)
            *why = g_strdup("it does not wait");
        return FALSE;
    }
    return in_turn(plan, first, index, why) && may_open(plan, first, index, why);
}

gboolean gw_plan_move_ready(const GwMigrationPlan *plan, guint index, char **why)
{
    return gw_plan_move_ready_from(plan, 0, index, why);
}
