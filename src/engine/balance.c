/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/plans_internal.h"

/* Host groups that are balanced: every few minutes each is looked at, and what a plan would move is
 * kept as its recommendation. Where that is wanted, a round begins by itself: an ordinary job that
 * carries out that plan. What has been done before is read from the jobs, so a restart changes
 * nothing but the time of the next look. */

#define FIRST_US (2 * 60 * (gint64)G_USEC_PER_SEC) /* after the start: usage is read by then */
#define LOOK_US (5 * 60 * (gint64)G_USEC_PER_SEC)
#define STANDS_FOR 2 /* looks in a row: a peak is over by the second */
#define USER "balance"

typedef struct {
    char *group_id;
    GwMigrationPlan *plan; /* of the last look; NULL: none, or what it rests on has changed */
    GwBalanceFigures *figures;
    char *looked_at;
    char *waits;
    char *job_id;
    guint over; /* looks in a row that found it uneven enough */
} Watched;

struct GwBalanceWatch {
    GHashTable *groups; /* id -> Watched */
    GTimeZone *zone;    /* the controller's, for schedules */
    gint64 due_us;      /* of the next looks; 0: nothing is balanced */
    gboolean wanted;    /* all groups, as soon as a picture is published */
    GQueue *waiting;    /* ids of groups that are still to be looked at, in order */
    gboolean looking;   /* at one of them */
};

static void watched_free(gpointer data)
{
    Watched *watched = data;

    g_free(watched->group_id);
    gw_migration_plan_free(watched->plan);
    gw_balance_figures_free(watched->figures);
    g_free(watched->looked_at);
    g_free(watched->waits);
    g_free(watched->job_id);
    g_free(watched);
}

GwBalanceWatch *gw_balance_new(void)
{
    GwBalanceWatch *watch = g_new0(GwBalanceWatch, 1);

    watch->groups = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, watched_free);
    watch->zone = g_time_zone_new_local();
    watch->waiting = g_queue_new();
    return watch;
}

void gw_balance_free(GwBalanceWatch *watch)
{
    if (watch == NULL)
        return;
    g_hash_table_unref(watch->groups);
    g_time_zone_unref(watch->zone);
    g_queue_free_full(watch->waiting, g_free);
    g_free(watch);
}

static Watched *watch_group(GwEngine *engine, const GwGroup *group)
{
    Watched *watched = g_hash_table_lookup(engine->balance->groups, group->id);

    if (watched == NULL) {
        watched = g_new0(Watched, 1);
        watched->group_id = g_strdup(group->id);
        g_hash_table_insert(engine->balance->groups, watched->group_id, watched);
    }
    return watched;
}

/* Takes @why. */
static void set_waits(Watched *watched, char *why)
{
    g_free(watched->waits);
    watched->waits = why;
}

/* Rounds ----------------------------------------------------------------------------------------
 */

static void begun(GwEngine *engine, gpointer result, const GError *error, gpointer user)
{
    g_autofree char *group_id = user;
    g_autoptr(GwJob) job = result;
    Watched *watched = g_hash_table_lookup(engine->balance->groups, group_id);

    if (watched == NULL)
        return;
    if (job == NULL) {
        set_waits(watched, g_strdup(error != NULL ? error->message : "the controller stops"));
        return;
    }
    g_free(watched->job_id);
    watched->job_id = g_strdup(job->id);
    watched->over = 0;
    set_waits(watched, g_strdup_printf("the job '%s'", job->title));
}

/* Until when the group rests, RFC 3339; NULL: it does not. Times of one form sort as text. */
static char *rests_until(GwEngine *engine, const GwGroup *group, const GwBalanceSettings *settings)
{
    const char *last = gw_balance_last(engine->published, group);
    g_autoptr(GDateTime) ended = last != NULL ? g_date_time_new_from_iso8601(last, NULL) : NULL;
    g_autoptr(GDateTime) until =
        ended != NULL ? g_date_time_add_seconds(
                            ended, (double)CLAMP(settings->cool_down_s, 0, GW_BALANCE_SECONDS_MAX))
                      : NULL;

    if (until == NULL ||
        g_date_time_to_unix(until) <= gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC)
        return NULL;
    return g_date_time_format(until, "%Y-%m-%dT%H:%M:%SZ");
}

/* How uneven it has to be, and for how long. NULL: it is. */
static char *lacks(const Watched *watched, const GwBalanceSettings *settings)
{
    const GwBalanceFigures *figures = watched->plan->balance;
    gboolean pressure = figures->pressure_before > figures->pressure_after;

    if (pressure || watched->over >= STANDS_FOR)
        return NULL;
    if (watched->over > 0)
        return g_strdup("the next look: what is uneven then as well is no peak");
    return g_strdup_printf(
        "the imbalance, %.1f points, to reach the threshold of %" G_GINT64_FORMAT,
        figures->imbalance_before, settings->threshold);
}

/* Why no round begins; NULL: nothing is in the way. */
static char *holds_back(GwEngine *engine, const GwGroup *group, const Watched *watched)
{
    const GwBalanceSettings *settings = group->balance;
    gint64 wall_us = gw_clock_wall_us(engine->clock);

    if (settings->mode != (int)GW_BALANCE_AUTOMATIC)
        return NULL;
    char *why = lacks(watched, settings);
    if (why != NULL)
        return why;
    if (!gw_schedule_is_open(settings->schedule, wall_us, engine->balance->zone))
        return g_strdup_printf("the schedule (%s)", settings->schedule);
    g_autofree char *until = rests_until(engine, group, settings);
    return until != NULL ? g_strdup_printf("the end of the cool-down, %s", until) : NULL;
}

/* @proven: the watched plan, ready to be carried out. */
static void consider(GwEngine *engine, const GwGroup *group, Watched *watched,
                     const GwMigrationPlan *proven)
{
    if (watched->plan == NULL)
        return;
    set_waits(watched, holds_back(engine, group, watched));
    if (watched->waits == NULL && group->balance->mode == (int)GW_BALANCE_AUTOMATIC)
        gw_plans_apply(engine, proven, USER, begun, g_strdup(group->id));
}

/* Recommendations -------------------------------------------------------------------------------
 */

/* It would do the same, and what it rests on is as it was. */
static gboolean is_same(const GwMigrationPlan *a, const GwMigrationPlan *b)
{
    gboolean same = a != NULL && b != NULL && a->moves->len == b->moves->len &&
                    g_strcmp0(a->fingerprint, b->fingerprint) == 0;

    for (guint i = 0; same && i < a->moves->len; i++) {
        const GwPlannedMove *one = a->moves->pdata[i], *other = b->moves->pdata[i];
        same = g_strcmp0(one->vm_uuid, other->vm_uuid) == 0 &&
               g_strcmp0(one->source_host_id, other->source_host_id) == 0 &&
               g_strcmp0(one->destination_host_id, other->destination_host_id) == 0;
    }
    return same;
}

/* Takes @plan. One that says the same stands since it was first made. */
static void take(GwEngine *engine, Watched *watched, const GwBalanceSettings *settings,
                 GwMigrationPlan *plan)
{
    const GwBalanceFigures *figures = plan->balance;
    gboolean uneven =
        plan->moves->len > 0 && (figures->goal == (int)GW_GOAL_FILL ||
                                 figures->imbalance_before >= (double)settings->threshold);

    plan->made_at =
        is_same(watched->plan, plan) ? g_strdup(watched->plan->made_at) : gw_engine_rfc3339(engine);
    watched->over = uneven ? watched->over + 1 : 0;
    gw_balance_figures_free(watched->figures);
    watched->figures = gw_balance_figures_copy(figures);
    gw_migration_plan_free(watched->plan);
    watched->plan = plan;
    g_free(watched->looked_at);
    watched->looked_at = gw_engine_rfc3339(engine);
    if (plan->moves->len == 0)
        g_clear_pointer(&watched->plan, gw_migration_plan_free);
}

/* Looks -----------------------------------------------------------------------------------------
 * One at a time, however many groups there are: each plans for as long as a second, and has a core
 * meanwhile. What it finds is proven there as well; the loop looks at what is cheap to know. */

typedef struct {
    GwEngine *engine;
    GThread *thread; /* NULL: done on the loop */
    char *group_id;
    GwFabric *fabric;
    GwPlanRequest *request;
    GwMigrationPlan *plan;
    GwMigrationPlan *proven; /* the same, to be carried out; NULL: nothing is to be */
    GError *error;           /* what the plan would break */
} Look;

static void look_free(Look *look)
{
    g_clear_error(&look->error);
    gw_migration_plan_free(look->plan);
    gw_migration_plan_free(look->proven);
    gw_plan_request_free(look->request);
    gw_fabric_unref(look->fabric);
    g_free(look->group_id);
    g_free(look);
}

static void looked(GwEngine *engine, gpointer data)
{
    Look *look = data;
    const GwGroup *group = g_hash_table_lookup(gw_engine_now(engine)->groups, look->group_id);
    Watched *watched = g_hash_table_lookup(engine->balance->groups, look->group_id);

    if (look->thread != NULL && g_hash_table_remove(engine->planners, look->thread))
        g_thread_join(look->thread);
    engine->balance->looking = FALSE;
    /* Switched off meanwhile, no round begins. */
    if (watched != NULL && look->plan != NULL && group != NULL && group->balance != NULL &&
        group->balance->mode != (int)GW_BALANCE_OFF && !g_atomic_int_get(&engine->stopping)) {
        set_waits(watched, NULL);
        take(engine, watched, group->balance, g_steal_pointer(&look->plan));
        consider(engine, group, watched, look->proven);
    }
    if (watched != NULL && look->error != NULL)
        set_waits(watched, g_strdup(look->error->message));
    look_free(look);
}

/* The plan stays as it was made: that is what people are shown. */
static gboolean prove(Look *look)
{
    look->proven = gw_migration_plan_copy(look->plan);
    return gw_plans_prove(look->fabric, look->proven, &look->error);
}

static gpointer look_thread(gpointer data)
{
    Look *look = data;
    g_autoptr(GwPredictor) predictor = gw_predictor_new(look->fabric);

    /* No plan: the group was removed. */
    look->plan = gw_plan_many(look->fabric, look->request, predictor, NULL);
    if (look->plan != NULL && look->plan->moves->len > 0 && !prove(look))
        g_clear_pointer(&look->plan, gw_migration_plan_free);
    gw_engine_post(look->engine, looked, look);
    return NULL;
}

static void begin_look(GwEngine *engine, const char *group_id)
{
    Look *look = g_new0(Look, 1);

    engine->balance->looking = TRUE;
    look->engine = engine;
    look->group_id = g_strdup(group_id);
    look->fabric = gw_fabric_ref(engine->published);
    look->request = gw_plan_request_new();
    look->request->kind = GW_PLAN_BALANCE;
    look->request->group = g_strdup(group_id);
    look->request->as_of = gw_engine_rfc3339(engine);
    if (gw_clock_is_virtual(engine->clock)) { /* the same order of events each time */
        look_thread(look);
        return;
    }
    look->thread = g_thread_new("balance", look_thread, look);
    g_hash_table_add(engine->planners, look->thread);
}

static void look_at(GwEngine *engine, const GwGroup *group)
{
    Watched *watched = watch_group(engine, group);

    set_waits(watched, gw_balance_waits(engine, engine->published, group));
    if (watched->waits == NULL)
        begin_look(engine, watched->group_id);
    else
        watched->over = 0; /* what is uneven then may be of that job's making */
}

static gboolean is_watched(const GwGroup *group)
{
    return group->balance != NULL && group->balance->mode != (int)GW_BALANCE_OFF;
}

static gboolean is_off(gpointer id, gpointer value, gpointer data)
{
    const GwFabric *fabric = data;
    const GwGroup *group = g_hash_table_lookup(fabric->groups, id);

    (void)value;
    return group == NULL || !is_watched(group);
}

/* Those that still wait from the last time keep their place. */
static void want_all(GwEngine *engine)
{
    GwBalanceWatch *watch = engine->balance;
    g_autoptr(GPtrArray) groups = gw_fabric_list_groups(engine->published);

    g_hash_table_foreach_remove(watch->groups, is_off, engine->published);
    for (guint i = 0; i < groups->len; i++) {
        const GwGroup *group = groups->pdata[i];
        if (is_watched(group) &&
            g_queue_find_custom(watch->waiting, group->id, (GCompareFunc)strcmp) == NULL)
            g_queue_push_tail(watch->waiting, g_strdup(group->id));
    }
}

void gw_balance_published(GwEngine *engine)
{
    GwBalanceWatch *watch = engine->balance;

    if (watch->wanted)
        want_all(engine);
    watch->wanted = FALSE;
    while (!watch->looking && !g_queue_is_empty(watch->waiting)) {
        g_autofree char *id = g_queue_pop_head(watch->waiting);
        const GwGroup *group = g_hash_table_lookup(engine->published->groups, id);
        if (group != NULL && is_watched(group))
            look_at(engine, group);
    }
}

static gboolean any_watched(const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer group;

    g_hash_table_iter_init(&iter, fabric->groups);
    while (g_hash_table_iter_next(&iter, NULL, &group)) {
        if (is_watched(group))
            return TRUE;
    }
    return FALSE;
}

gint64 gw_balance_next_us(GwEngine *engine)
{
    GwBalanceWatch *watch = engine->balance;

    if (!any_watched(gw_engine_now(engine)))
        watch->due_us = 0;
    else if (watch->due_us == 0)
        watch->due_us = gw_clock_now_us(engine->clock) + FIRST_US;
    return watch->due_us;
}

void gw_balance_timers(GwEngine *engine, gint64 now_us)
{
    gint64 due = gw_balance_next_us(engine);

    if (due == 0 || due > now_us)
        return;
    engine->balance->due_us = now_us + LOOK_US;
    engine->balance->wanted = TRUE;
}

/* Asked -----------------------------------------------------------------------------------------
 */

/* The group whose settings hold for it. */
static const GwGroup *owner_of(const GwFabric *fabric, const GwGroup *group)
{
    const GwBalanceSettings *settings = gw_plan_balance_settings(fabric, group);
    const GwGroup *at = group;

    for (guint depth = 0; at->balance != settings && at->parent_id != NULL && depth < 64; depth++) {
        const GwGroup *parent = g_hash_table_lookup(fabric->groups, at->parent_id);
        if (parent == NULL)
            return group;
        at = parent;
    }
    return at->balance == settings ? at : group;
}

static void call_balance(GwEngine *engine, Call *call)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwGroup *group = gw_fabric_find_group(fabric, call->in[0]);
    GwBalanceStatus *status = gw_balance_status_new();
    GError *error = NULL;

    if (group == NULL) {
        gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit group list.",
                     "no host group '%s'", (const char *)call->in[0]);
        gw_balance_status_free(status);
        gw_engine_answer(call, NULL, error);
        return;
    }
    group = owner_of(fabric, group);
    Watched *watched = g_hash_table_lookup(engine->balance->groups, group->id);
    status->group_id = g_strdup(group->id);
    status->group_name = g_strdup(group->name);
    status->mode = gw_plan_balance_settings(fabric, group)->mode;
    if (status->mode != (int)GW_BALANCE_OFF && (watched == NULL || watched->looked_at == NULL))
        status->waiting_for = g_strdup("the first look at its hosts");
    if (status->mode != (int)GW_BALANCE_OFF && watched != NULL) {
        if (watched->waits != NULL) {
            g_free(status->waiting_for);
            status->waiting_for = g_strdup(watched->waits);
        }
        status->looked_at = g_strdup(watched->looked_at);
        status->job_id = g_strdup(watched->job_id);
        status->figures =
            watched->figures != NULL ? gw_balance_figures_copy(watched->figures) : NULL;
        status->recommendation =
            watched->plan != NULL ? gw_migration_plan_copy(watched->plan) : NULL;
    }
    gw_engine_answer(call, status, NULL);
}

/* What does not hold any more is not recommended; the next look finds out what does. */
static void drop_if_drifted(GwEngine *engine, GwBalanceStatus *status)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);

    if (!gw_plan_check_drift(fabric, status->recommendation, NULL))
        g_clear_pointer(&status->recommendation, gw_migration_plan_free);
}

GwBalanceStatus *gw_engine_balance(GwEngine *engine, const char *group, GError **error)
{
    GwBalanceStatus *status = gw_engine_call(engine, call_balance, group, NULL, NULL, NULL, error);

    if (status != NULL && status->recommendation != NULL)
        drop_if_drifted(engine, status); /* not on the loop: it reads all rules, and hosts whole */
    return status;
}
