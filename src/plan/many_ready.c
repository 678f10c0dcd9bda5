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
    guint begun;  /* moves that have begun to empty it */
    guint active; /* of them: those under way */
    guint open;   /* moves that are not over */
} Source;

static gboolean is_active(const GwPlannedMove *move, GHashTable *beginning)
{
    return move->state == (int)GW_PLANNED_RUNNING ||
           (move->state == (int)GW_PLANNED_WAITING && beginning != NULL && move->vm_uuid != NULL &&
            g_hash_table_contains(beginning, move->vm_uuid));
}

/* What a new plan does not know of (@history) counts where it went well, or is under way: a host
 * that is half empty goes on before another begins. */
static void count_move(Source *source, const GwPlannedMove *move, gboolean history,
                       GHashTable *beginning)
{
    gboolean active = is_active(move, beginning);

    source->active += active;
    source->begun += active || move->state == (int)GW_PLANNED_DONE ||
                     (!history && move->state != (int)GW_PLANNED_WAITING);
    source->open += history ? active : !is_over(move);
}

/* The hosts that VMs pass on a detour are none that are emptied: nothing ever goes to one of those.
 */
static GHashTable *passed_hosts(const GwMigrationPlan *plan)
{
    GHashTable *hosts = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < plan->moves->len; i++) {
        char *host = ((GwPlannedMove *)plan->moves->pdata[i])->destination_host_id;
        if (host != NULL)
            g_hash_table_add(hosts, host);
    }
    return hosts;
}

/* host id -> Source, of those that are emptied. */
static GHashTable *list_sources(const GwMigrationPlan *plan, guint first, GHashTable *beginning)
{
    GHashTable *sources = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GHashTable) passed = passed_hosts(plan);

    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (move->source_host_id == NULL || g_hash_table_contains(passed, move->source_host_id))
            continue;
        Source *source = g_hash_table_lookup(sources, move->source_host_id);
        if (source == NULL) {
            source = g_new0(Source, 1);
            g_hash_table_insert(sources, move->source_host_id, source);
        }
        count_move(source, move, i < first, beginning);
    }
    return sources;
}

/* Hosts emptied at one time: one that has begun goes on, another waits. Of several that have begun
 * (one was given up, and has room again), no more than that go on at one time. */
static gboolean may_open(const GwMigrationPlan *plan, guint first, guint index,
                         GHashTable *beginning, char **why)
{
    const GwPlannedMove *move = plan->moves->pdata[index];
    gint64 most = plan->request != NULL ? plan->request->hosts_at_once : 0;
    gint64 open = 0;
    GHashTableIter iter;
    gpointer value;

    if (plan->kind != (int)GW_PLAN_DRAIN || most <= 0)
        return TRUE;
    g_autoptr(GHashTable) sources = list_sources(plan, first, beginning);
    const Source *own = g_hash_table_lookup(sources, gw_plan_text(move->source_host_id));
    if (own == NULL || own->active > 0)
        return TRUE;
    g_hash_table_iter_init(&iter, sources);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Source *source = value;
        open += source->active > 0 || (own->begun == 0 && source->begun > 0 && source->open > 0);
    }
    if (open >= most && why != NULL)
        *why = g_strdup_printf("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                               " hosts at one time are being emptied",
                               open, most);
    return open < most;
}

gboolean gw_plan_move_ready_from(const GwMigrationPlan *plan, guint first, guint index,
                                 GHashTable *beginning, char **why)
{
    const GwPlannedMove *move = index < plan->moves->len ? plan->moves->pdata[index] : NULL;

    if (move == NULL || move->state != (int)GW_PLANNED_WAITING) {
        if (why != NULL)
            *why = g_strdup("it does not wait");
        return FALSE;
    }
    return in_turn(plan, first, index, why) && may_open(plan, first, index, beginning, why);
}

gboolean gw_plan_move_ready(const GwMigrationPlan *plan, guint index, char **why)
{
    return gw_plan_move_ready_from(plan, 0, index, NULL, why);
}
