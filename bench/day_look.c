/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/day_internal.h"

/* What must hold, all along and at the end: asked of the simulated world, not of the controller. */

#define LOST_PATIENCE_US                                                                           \
    MINUTES(5)              /* a VM is in the middle of something for a few seconds at most */
#define HAND_US MINUTES(30) /* what somebody did to a host may be seen as late as a move takes */
#define FEED_PER_MOVE 400
#define FEED_PER_LOOK 40

static void see(const char *uri, const GwVm *vm, gpointer user)
{
    Day *day = user;
    guint host = day_host_index(day, uri);
    Guest *guest = g_hash_table_lookup(day->guest_of, vm->uuid);

    if (guest == NULL || host == G_MAXUINT) {
        day_break(day, vm->uuid, "a VM %s that nobody made is on %s", vm->uuid, uri);
        return;
    }
    guest->defined += vm->persistent;
    if (!gw_vm_is_active(vm))
        return;
    if (guest->active < G_N_ELEMENTS(guest->places))
        guest->places[guest->active] = host;
    guest->active++;
    guest->running += gw_vm_is_running(vm);
    day_host(day, host)->taken_kib += MAX(vm->memory_kib, vm->max_memory_kib);
}

static void survey(Day *day)
{
    for (guint i = 0; i < day->hosts->len; i++)
        day_host(day, i)->taken_kib = 0;
    for (guint i = 0; i < day->guests->len; i++) {
        Guest *guest = day->guests->pdata[i];
        guest->active = guest->running = guest->defined = 0;
    }
    gw_sim_survey(day->world.sim, see, day);
}

/* I1: where a VM in flight runs is not known until the host that is away says so. */
static gboolean waits_for_a_host(Day *day, const Guest *guest)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwJob *held = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (held == NULL && g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!gw_job_state_is_final((GwJobState)job->state) &&
            g_strcmp0(job->vm_uuid, guest->uuid) == 0)
            held = job;
    }
    for (guint i = 0; held != NULL && i < day->hosts->len; i++) {
        const DayHost *host = day_host(day, i);
        gboolean is_end = g_strcmp0(host->id, held->source_host_id) == 0 ||
                          g_strcmp0(host->id, held->destination_host_id) == 0;
        if (is_end && day_now(day) < host->away_until_us + LOST_PATIENCE_US)
            return TRUE;
    }
    return FALSE;
}

/* I1; and nobody is powered off (complaint 4). One that lost its host is off until it is started;
 * during a switchover a VM is paused for a moment. */
static void check_guest(Day *day, Guest *guest)
{
    if (guest->running > 1)
        day_break(day, guest->uuid, "%s runs on %u hosts", guest->uuid, guest->running);
    gboolean as_it_ought =
        guest->wanted == GUEST_RUNS ? guest->running == 1 || guest->shaken : guest->active == 0;
    if (as_it_ought)
        guest->lost_us = 0;
    else if (guest->lost_us == 0)
        guest->lost_us = day_now(day);
    else if (day_now(day) - guest->lost_us > LOST_PATIENCE_US && !waits_for_a_host(day, guest))
        day_break(day, guest->uuid, "%s is to be %s; %u hosts have a process of it, %u run it",
                  guest->uuid, guest->wanted == GUEST_RUNS ? "running" : "off", guest->active,
                  guest->running);
    if (guest->wanted == GUEST_RUNS && guest->active == 0 && !guest->shaken)
        day_break(day, guest->uuid, "%s was powered off", guest->uuid);
}

/* The plan that brings a VM there, or just did; NULL: none. */
static const GwJob *planned_arrival(const Day *day, const GwFabric *fabric, const DayHost *host)
{
    const GwHost *known = gw_fabric_host(fabric, host->id);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        gboolean recent =
            !g_hash_table_contains(day->over, job->id) && job->state >= (int)GW_JOB_COPYING;
        if (recent && job->part_of != NULL && known != NULL &&
            g_strcmp0(job->destination_host_id, known->id) == 0)
            return job;
    }
    return NULL;
}

/* A host may be short of memory by someone else's doing, never by a plan's (complaint 6). */
static void check_memory(Day *day, const GwFabric *fabric, DayHost *host)
{
    gboolean is_short = host->taken_kib + host->reserve_kib > host->memory_kib;

    if (is_short && !host->short_of_memory && day->tally.looks > 0 &&
        day_now(day) - host->hand_us > HAND_US) {
        const GwJob *job = planned_arrival(day, fabric, host);
        if (job != NULL)
            day_break(day, host->name,
                      "'%s' broke the reserve of %s: %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                      " MiB are taken, %" G_GINT64_FORMAT " are to be left",
                      job->title, host->name, host->taken_kib / 1024, host->memory_kib / 1024,
                      host->reserve_kib / 1024);
    }
    host->short_of_memory = is_short;
}

static gboolean is_at(const Guest *guest, guint host)
{
    for (guint i = 0; i < MIN(guest->active, G_N_ELEMENTS(guest->places)); i++) {
        if (guest->places[i] == host)
            return TRUE;
    }
    return FALSE;
}

static gboolean has_tag(const GwFabric *fabric, const DayHost *host, char *const *tags)
{
    const GwHost *known = gw_fabric_host(fabric, host->id);

    for (guint i = 0; tags[i] != NULL; i++) {
        if (known->tags != NULL && g_strv_contains((const char *const *)known->tags, tags[i]))
            return TRUE;
    }
    return FALSE;
}

static gboolean holds_for(Day *day, const GwFabric *fabric, const DayRule *rule, const Guest *guest)
{
    for (guint i = 0; i < MIN(guest->active, G_N_ELEMENTS(guest->places)); i++) {
        const DayHost *host = day_host(day, guest->places[i]);
        if (rule->rule->kind == (int)GW_RULE_KIND_RUN_ON &&
            !has_tag(fabric, host, rule->rule->host_tags))
            return FALSE;
        if (rule->rule->kind == (int)GW_RULE_KIND_KEEP_OFF &&
            has_tag(fabric, host, rule->rule->host_tags))
            return FALSE;
        for (guint k = 0; k < rule->guests->len; k++) {
            const Guest *other = rule->guests->pdata[k];
            if (rule->rule->kind == (int)GW_RULE_KIND_APART && other != guest &&
                is_at(other, guest->places[i]))
                return FALSE;
        }
    }
    return TRUE;
}

/* Those that are together may be apart while they follow each other; that is looked at when nothing
 * of theirs is under way. */
static void check_rule(Day *day, const GwFabric *fabric, DayRule *rule)
{
    gboolean holds = TRUE;

    if (!rule->rule->required)
        return;
    for (guint i = 0; i < rule->guests->len; i++)
        holds = holds && holds_for(day, fabric, rule, rule->guests->pdata[i]);
    if (holds)
        rule->excused = FALSE;
    else if (!rule->excused)
        day_break(day, rule->rule->id, "'%s' does not hold any more", rule->rule->name);
}

static void check_slots(Day *day, const GwFabric *fabric, GHashTable *slots, DayHost *host)
{
    const GwHost *known = gw_fabric_host(fabric, host->id);
    const GwSlots *in_use = g_hash_table_lookup(slots, host->id);
    gint64 used = in_use != NULL ? in_use->live : 0;

    if (used <= known->live_limit)
        host->slots_allowed = known->live_limit;
    else if (used > host->slots_allowed)
        day_break(day, host->name, "%d moves at once on %s, which takes %d", (int)used, host->name,
                  (int)known->live_limit);
}

void day_look(Day *day)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    g_autoptr(GHashTable) slots = gw_slots_table(fabric);

    survey(day);
    for (guint i = 0; i < day->guests->len; i++)
        check_guest(day, day->guests->pdata[i]);
    day->tally.checks += day->guests->len;
    for (guint i = 0; i < day->hosts->len; i++) {
        check_memory(day, fabric, day_host(day, i));
        check_slots(day, fabric, slots, day_host(day, i));
    }
    for (guint i = 0; i < day->rules->len; i++)
        check_rule(day, fabric, day->rules->pdata[i]);
    day_jobs_look(day, fabric);
    day->tally.looks++;
}

/* The end ---------------------------------------------------------------------------------- */

static void none_of(Day *day, char **words, const char *what)
{
    for (guint i = 0; words[i] != NULL; i++)
        day_break(day, words[i], "%s: %s", what, words[i]);
    g_strfreev(words);
}

static void check_at_end(Day *day, const GwFabric *fabric, const Guest *guest)
{
    guint wanted = guest->wanted == GUEST_RUNS ? 1 : 0;

    if (gw_sim_most_running(day->world.sim, guest->uuid) > 1)
        day_break(day, guest->uuid, "%s ran twice", guest->uuid);
    if (guest->running != wanted || guest->active != wanted || guest->shaken)
        day_break(day, guest->uuid, "%s ends with %u processes, %u running, where %u ought to",
                  guest->uuid, guest->active, guest->running, wanted);
    if (guest->defined != (guest->wanted == GUEST_GONE ? 0 : 1))
        day_break(day, guest->uuid, "%s ends with %u definitions", guest->uuid, guest->defined);
    const GwVm *known = gw_fabric_find_vm(fabric, guest->uuid, NULL);
    if ((known != NULL) != (guest->wanted != GUEST_GONE) ||
        (known != NULL && gw_vm_is_running(known) != (wanted > 0)))
        day_break(day, guest->uuid, "%s is not shown as it is", guest->uuid);
}

void day_look_at_end(Day *day)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < day->guests->len; i++)
        check_at_end(day, fabric, day->guests->pdata[i]);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!gw_job_state_is_final((GwJobState)job->state))
            day_break(day, job->id, "'%s' is still %s, waiting for %s", job->title,
                      gw_enum_word(&gw_job_state_enum, job->state), job->waiting_for);
    }
    for (guint i = 0; i < day->hosts->len; i++) {
        const DayHost *host = day_host(day, i);
        guint most = gw_sim_most_moves(day->world.sim, host->uri);
        day->tally.moves_most = MAX(day->tally.moves_most, most);
        if (most > host->slots_most)
            day_break(day, host->uri, "%u moves at once were under way on %s", most, host->name);
        if (gw_fabric_host(fabric, host->id)->status == (int)GW_HOST_NOT_RESPONDING)
            day_break(day, host->uri, "%s is still missed", host->name);
    }
    none_of(day, gw_sim_violations(day->world.sim), "violated");
    none_of(day, gw_sim_check_disks(day->world.sim), "wrong at the end");
    if (gw_sim_stale_runs(day->world.sim) > 0) /* I9 */
        day_break(day, "stale", "a VM ran with memory older than its disk");
    if (day->tally.feed > (guint64)FEED_PER_MOVE * day->tally.moves +
                              (guint64)FEED_PER_LOOK * day->tally.looks + 1000 +
                              10 * (day->guests->len + day->hosts->len))
        day_break(day, "feed", "%" G_GUINT64_FORMAT " events for %u moves", day->tally.feed,
                  day->tally.moves);
}
