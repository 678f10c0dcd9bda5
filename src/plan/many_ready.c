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

struct GwPlanTurns {
    const GwMigrationPlan *plan;
    guint first;
    GHashTable *left; /* ids of hosts that any move leaves: who enters those, and when, matters */
    GHashTable *pending; /* uuid -> number of the VM's first move that is not over */
    GHashTable *sources; /* host id -> Source, of those that are emptied; NULL: no matter */
};

/* The VM's own way until here. */
static const GwPlannedMove *own_before(const GwPlanTurns *turns, guint index)
{
    const GPtrArray *moves = turns->plan->moves;
    const GwPlannedMove *move = moves->pdata[index];
    guint number =
        GPOINTER_TO_UINT(g_hash_table_lookup(turns->pending, gw_plan_text(move->vm_uuid)));

    return number > 0 && number - 1 < index ? moves->pdata[number - 1] : NULL;
}

/* Those before it that leave, or enter, where it goes; and its own way until here. */
static gboolean in_turn(const GwPlanTurns *turns, guint index, char **why)
{
    const GPtrArray *moves = turns->plan->moves;
    const GwPlannedMove *move = moves->pdata[index];
    const GwPlannedMove *own = own_before(turns, index);
    gboolean mixed = g_hash_table_contains(turns->left, gw_plan_text(move->destination_host_id));

    if (move->after > turns->first && move->after <= moves->len && move->after != index + 1 &&
        !is_over(moves->pdata[move->after - 1]))
        return waits(why, moves->pdata[move->after - 1], "which comes before it");
    if (own != NULL)
        return waits(why, own, "which is on its way to there");
    for (guint i = turns->first; mixed && i < moves->len; i++) {
        const GwPlannedMove *other = moves->pdata[i];
        if (i == index || is_over(other))
            continue;
        if (other->wave < move->wave &&
            g_strcmp0(other->source_host_id, move->destination_host_id) == 0)
            return waits(why, other, "which makes room for it");
        if (i < index && other->state == (int)GW_PLANNED_WAITING &&
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
static gboolean may_open(const GwPlanTurns *turns, guint index, char **why)
{
    const GwPlannedMove *move = turns->plan->moves->pdata[index];
    gint64 most = turns->plan->request != NULL ? turns->plan->request->hosts_at_once : 0;
    gint64 open = 0;
    GHashTableIter iter;
    gpointer value;

    const Source *own =
        turns->sources != NULL
            ? g_hash_table_lookup(turns->sources, gw_plan_text(move->source_host_id))
            : NULL;
    if (own == NULL || own->active > 0)
        return TRUE;
    g_hash_table_iter_init(&iter, turns->sources);
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

GwPlanTurns *gw_plan_turns_new(const GwMigrationPlan *plan, guint first, GHashTable *beginning)
{
    GwPlanTurns *turns = g_new0(GwPlanTurns, 1);
    gint64 most = plan->request != NULL ? plan->request->hosts_at_once : 0;

    turns->plan = plan;
    turns->first = first;
    turns->left = g_hash_table_new(g_str_hash, g_str_equal);
    turns->pending = g_hash_table_new(g_str_hash, g_str_equal);
    if (plan->kind == (int)GW_PLAN_DRAIN && most > 0)
        turns->sources = list_sources(plan, first, beginning);
    for (guint i = first; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        gpointer vm = (gpointer)gw_plan_text(move->vm_uuid);
        g_hash_table_add(turns->left, (gpointer)gw_plan_text(move->source_host_id));
        if (!is_over(move) && !g_hash_table_contains(turns->pending, vm))
            g_hash_table_insert(turns->pending, vm, GUINT_TO_POINTER(i + 1));
    }
    return turns;
}

void gw_plan_turns_free(GwPlanTurns *turns)
{
    if (turns == NULL)
        return;
    g_hash_table_unref(turns->left);
    g_hash_table_unref(turns->pending);
    if (turns->sources != NULL)
        g_hash_table_unref(turns->sources);
    g_free(turns);
}

gboolean gw_plan_turns_ready(const GwPlanTurns *turns, guint index, char **why)
{
    const GPtrArray *moves = turns->plan->moves;
    const GwPlannedMove *move = index < moves->len ? moves->pdata[index] : NULL;

    if (move == NULL || move->state != (int)GW_PLANNED_WAITING) {
        if (why != NULL)
            *why = g_strdup("it does not wait");
        return FALSE;
    }
    return in_turn(turns, index, why) && may_open(turns, index, why);
}

gboolean gw_plan_move_ready(const GwMigrationPlan *plan, guint index, char **why)
{
    g_autoptr(GwPlanTurns) turns = gw_plan_turns_new(plan, 0, NULL);
    return gw_plan_turns_ready(turns, index, why);
}
