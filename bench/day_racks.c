/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "bench/day_internal.h"

/* Teams that go from rack to rack: empty it, two hosts at a time, work on it, and fill it again. */

#define HOSTS_AT_ONCE 2
#define HOSTS_PER_TEAM 250
#define PATCH_MINUTES 20
/* More than what is slowest here, with hosts of the rack away for half an hour: one that is not
 * over by then hangs. */
#define PATIENCE_MINUTES 180
#define TRIES 12 /* an hour: a VM of it may be in another team's job */

void day_teams_new(Day *day)
{
    guint count = 1 + day->options->hosts / HOSTS_PER_TEAM;

    day->teams = g_array_new(FALSE, TRUE, sizeof(Team));
    for (guint i = 0; i < count; i++) {
        Team team = { .next_us = day_now(day) + MINUTES(30 + 10 * i), .rack = G_MAXUINT };
        g_array_append_val(day->teams, team);
    }
}

void day_teams_free(Day *day)
{
    for (guint i = 0; i < day->teams->len; i++)
        g_free(g_array_index(day->teams, Team, i).job_id);
    g_array_unref(day->teams);
}

gboolean day_is_serviced(const Day *day, guint rack)
{
    for (guint i = 0; i < day->teams->len; i++) {
        const Team *team = &g_array_index(day->teams, Team, i);
        if (team->state != RACK_IDLE && team->rack == rack)
            return TRUE;
    }
    return FALSE;
}

static GwPlanRequest *request_of(const Day *day, const Team *team, GwPlanKind kind)
{
    GwPlanRequest *request = gw_plan_request_new();
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (guint i = 0; i < day->hosts->len; i++) {
        if (day_host(day, i)->rack == team->rack)
            g_strv_builder_add(names, day_host(day, i)->name);
    }
    request->kind = (int)kind;
    request->hosts = g_strv_builder_end(names);
    if (kind == GW_PLAN_DRAIN) {
        request->maintenance = TRUE;
        request->hosts_at_once = HOSTS_AT_ONCE;
    }
    return request;
}

static double cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static GwMigrationPlan *make_plan(Day *day, const GwPlanRequest *request, GError **error)
{
    double begun = cpu_ms();
    GwMigrationPlan *plan = gw_engine_plan(day->world.engine, request, error);
    double took = cpu_ms() - begun;

    day->tally.plan_cpu_ms += took;
    day->tally.plan_cpu_most_ms = MAX(day->tally.plan_cpu_most_ms, took);
    day->tally.plans++;
    return plan;
}

/* Whether it is under way now. */
static gboolean begin(Day *day, Team *team, GwPlanKind kind)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwPlanRequest) request = request_of(day, team, kind);
    g_autoptr(GwMigrationPlan) plan = make_plan(day, request, &error);
    g_autoptr(GwJob) job =
        plan != NULL ? gw_engine_apply_plan(day->world.engine, plan, "a team", &error) : NULL;

    if (job == NULL) {
        day_say(day, "rack %u: %s", team->rack, error->message);
        return FALSE;
    }
    g_free(team->job_id);
    team->job_id = g_strdup(job->id);
    team->began_us = day_now(day);
    team->planned_ms = plan->total_ms != NULL ? plan->total_ms->likely : 0;
    team->pause_us = day_any(day, 3) == 0 ? day_now(day) + SECONDS(day_any(day, 120)) : 0;
    team->resume_us = team->pause_us > 0 ? team->pause_us + SECONDS(30 + day_any(day, 270)) : 0;
    day_say(day, "rack %u: %s of %u moves, %u stay", team->rack,
            gw_enum_word(&gw_plan_kind_enum, (int)kind), plan->moves->len, plan->stays->len);
    return TRUE;
}

static void pause_now_and_then(Day *day, Team *team)
{
    gboolean on = team->pause_us > 0;
    gint64 *due = on ? &team->pause_us : &team->resume_us;

    if (*due == 0 || day_now(day) < *due)
        return;
    *due = 0;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_pause_job(day->world.engine, team->job_id, on, NULL);
}

static gint64 wall_ms(const char *text)
{
    g_autoptr(GDateTime) time = text != NULL ? g_date_time_new_from_iso8601(text, NULL) : NULL;
    return time != NULL ? g_date_time_to_unix(time) * 1000 : 0;
}

/* What no order could have beaten, by how long its moves really took: those of a host go through
 * its slots, and so many hosts are emptied at one time. Seconds. */
static double least_s(const Day *day, const GwFabric *fabric, const GwJob *plan)
{
    g_autofree double *busy = g_new0(double, day->hosts->len);
    double longest = 0, sum = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        const GwHost *from = gw_fabric_host(fabric, job->source_host_id);
        if (g_strcmp0(job->part_of, plan->id) != 0 || job->result == NULL || from == NULL ||
            job->state != (int)GW_JOB_DONE)
            continue;
        double took = (double)(job->result->total_ms - job->result->queued_ms) / 1000;
        guint index = day_host_index(day, from->name);
        double slots = (double)MAX(day_host(day, index)->slots_most, 1);
        longest = MAX(longest, took);
        busy[index] += took / slots;
        sum += took / slots / HOSTS_AT_ONCE;
        longest = MAX(longest, busy[index]);
    }
    return MAX(longest, sum);
}

static void note_drained(Day *day, const GwFabric *fabric, const Team *team, const GwJob *job)
{
    double took = (double)(wall_ms(job->finished_at) - wall_ms(job->created_at)) / 1000;
    double bound = least_s(day, fabric, job), ratio = bound > 0 ? took / bound : 1;

    day->tally.drained++;
    g_array_append_val(day->makespans_s, took);
    g_array_append_val(day->bounds_s, bound);
    if (bound > 0)
        g_array_append_val(day->ratios, ratio);
    day_say(day, "rack %u is empty: %.0f s, planned %.0f s, bound %.0f s", team->rack, took,
            (double)team->planned_ms / 1000, bound);
}

/* Done means empty; failed means that it says what stays, and why (complaints 2 and 3). */
static void check_drained(Day *day, const Team *team, const GwJob *job)
{
    if (job->state == (int)GW_JOB_DONE) {
        for (guint i = 0; i < day->guests->len; i++) {
            const Guest *guest = day->guests->pdata[i];
            for (guint k = 0; k < MIN(guest->active, G_N_ELEMENTS(guest->places)); k++) {
                const DayHost *host = day_host(day, guest->places[k]);
                if (host->rack == team->rack && host->hand_us < team->began_us)
                    day_break(day, job->id, "'%s' is done, and %s runs on %s", job->title,
                              guest->uuid, host->name);
            }
        }
    } else if (job->error == NULL || job->error->message == NULL) {
        day_break(day, job->id, "'%s' failed and does not say why", job->title);
    }
}

static void over(Day *day, const GwFabric *fabric, Team *team, const GwJob *job)
{
    gboolean done = job->state == (int)GW_JOB_DONE;

    if (team->state == RACK_DRAINING)
        check_drained(day, team, job);
    if (!done) {
        day->tally.given_up++;
        day_say(day, "rack %u: '%s' is %s: %s", team->rack, job->title,
                gw_enum_word(&gw_job_state_enum, job->state),
                job->error != NULL ? job->error->message : "-");
    }
    if (team->state == RACK_DRAINING) {
        if (done)
            note_drained(day, fabric, team, job);
        team->state = RACK_PATCHED;
        team->next_us = day_now(day) + MINUTES(PATCH_MINUTES);
        return;
    }
    day->tally.undrained += done;
    team->state = RACK_IDLE;
    team->next_us = day_now(day) + MINUTES(day->options->pause_minutes);
}

static void look_at_job(Day *day, Team *team)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwJob *job = gw_fabric_find_job(fabric, team->job_id, NULL);

    if (job == NULL)
        day_break(day, team->job_id, "the job of rack %u is forgotten", team->rack);
    else if (gw_job_state_is_final((GwJobState)job->state)) {
        over(day, fabric, team, job);
        return;
    } else if (day_now(day) > team->began_us + MINUTES(PATIENCE_MINUTES)) {
        day_break(day, team->job_id, "'%s' hangs: %s, waiting for %s, %s", job->title,
                  gw_enum_word(&gw_job_state_enum, job->state), job->waiting_for,
                  job->progress != NULL ? job->progress->note : "-");
        day_say(day, "rack %u hangs", team->rack);
    } else {
        pause_now_and_then(day, team);
        return;
    }
    G_GNUC_UNUSED g_autoptr(GwJob) cancelled =
        gw_engine_cancel_job(day->world.engine, team->job_id, NULL);
}

static void next_rack(Day *day, Team *team)
{
    for (guint i = 0; i < day->racks; i++) {
        guint rack = day->next_rack++ % day->racks;
        if (day_is_serviced(day, rack))
            continue;
        team->rack = rack;
        if (begin(day, team, GW_PLAN_DRAIN)) {
            team->state = RACK_DRAINING;
            day->tally.drains++;
        } else {
            team->next_us = day_now(day) + MINUTES(5);
        }
        return;
    }
}

static void fill_again(Day *day, Team *team)
{
    if (begin(day, team, GW_PLAN_UNDRAIN)) {
        team->state = RACK_UNDRAINING;
        team->tries = 0;
        day->tally.undrains++;
        return;
    }
    team->next_us = day_now(day) + MINUTES(5);
    if (++team->tries >= TRIES)
        day_break(day, "undrain", "rack %u cannot be filled again", team->rack);
}

static void step(Day *day, Team *team)
{
    switch (team->state) {
    case RACK_IDLE:
        if (day_now(day) >= team->next_us && day_now(day) < day->calm_us)
            next_rack(day, team);
        break;
    case RACK_PATCHED:
        if (day_now(day) >= team->next_us)
            fill_again(day, team);
        break;
    case RACK_DRAINING:
    case RACK_UNDRAINING:
        look_at_job(day, team);
        break;
    }
}

void day_teams_step(Day *day)
{
    for (guint i = 0; i < day->teams->len; i++)
        step(day, &g_array_index(day->teams, Team, i));
}
