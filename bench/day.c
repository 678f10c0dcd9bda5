/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/day_internal.h"

#include <stdio.h>

#define LINK_MIBPS 1100 /* 10 Gbit/s */
#define HOSTS_PER_RACK_SMALL 5
#define HOSTS_PER_RACK_LARGE 20
#define LARGE 100
#define RULES_MOST 100     /* adding one looks at all there are, on every host */
#define BEGIN_S 1700006400 /* a midnight */
#define USAGE_EVERY_S 300
#define SETTLE_MINUTES 180 /* for what is still under way at the end */

/* Small things ----------------------------------------------------------------------------- */

void day_break(Day *day, const char *key, const char *format, ...)
{
    va_list args;

    if (!g_hash_table_add(day->found, g_strdup(key)))
        return;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    gint64 minute = day_now(day) / MINUTES(1);
    g_ptr_array_add(day->broken, g_strdup_printf("seed %u, %02d:%02d: %s", day->options->seed,
                                                 (int)(minute / 60), (int)(minute % 60), what));
    if (day->options->verbose)
        fprintf(stderr, "BROKEN %s\n", (char *)day->broken->pdata[day->broken->len - 1]);
}

void day_say(const Day *day, const char *format, ...)
{
    va_list args;

    if (!day->options->verbose)
        return;
    gint64 second = day_now(day) / SECONDS(1);
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "%02d:%02d:%02d %s\n", (int)(second / 3600), (int)(second / 60 % 60),
            (int)(second % 60), what);
}

gint64 day_now(const Day *day)
{
    return gw_clock_now_us(day->world.clock);
}

guint day_any(Day *day, guint count)
{
    return (guint)g_rand_int_range(day->rand, 0, (gint32)MAX(count, 1));
}

gboolean day_happens(Day *day, double times_a_day)
{
    return g_rand_double(day->rand) < times_a_day * day->options->step_s / 86400;
}

DayHost *day_host(const Day *day, guint index)
{
    return day->hosts->pdata[index];
}

guint day_host_index(const Day *day, const char *which)
{
    guint found = GPOINTER_TO_UINT(g_hash_table_lookup(day->host_index, which));
    return found > 0 ? found - 1 : G_MAXUINT;
}

gboolean day_is_up(const Day *day, guint host)
{
    return day_now(day) >= day_host(day, host)->away_until_us;
}

/* The world -------------------------------------------------------------------------------- */

static void guest_free(gpointer data)
{
    g_free(((Guest *)data)->uuid);
    g_free(data);
}

static void host_free(gpointer data)
{
    g_free(((DayHost *)data)->name);
    g_free(((DayHost *)data)->uri);
    g_free(((DayHost *)data)->id);
    g_free(data);
}

static void rule_free(gpointer data)
{
    DayRule *rule = data;

    gw_placement_rule_free(rule->rule);
    g_ptr_array_unref(rule->guests);
    g_free(rule);
}

/* Most guests dirty little memory; of 20 one does much, of 200 one as much as a link carries. */
static gint64 dirty_bps(Day *day)
{
    guint roll = day_any(day, 200);
    gint64 mib = 1024 * 1024;

    if (roll == 0)
        return 900 * mib;
    return (roll < 10 ? 100 + (gint64)day_any(day, 300) : (gint64)day_any(day, 40)) * mib;
}

Guest *day_add_guest(Day *day, const char *uuid, GuestState wanted)
{
    Guest *guest = g_new0(Guest, 1);

    guest->uuid = g_strdup(uuid);
    guest->wanted = wanted;
    guest->cpu_permille = 50 + day_any(day, 1500);
    guest->dirty_bps = dirty_bps(day);
    guest->phase = day_any(day, 5);
    g_ptr_array_add(day->guests, guest);
    g_hash_table_insert(day->guest_of, guest->uuid, guest);
    return guest;
}

static void know_host(Day *day, const GwHost *made)
{
    DayHost *host = g_new0(DayHost, 1);
    const GwPlacementPolicy *policy = gw_plan_policy(day->made, made);

    host->name = g_strdup(made->name);
    host->uri = g_strdup(made->uri);
    host->memory_kib = made->facts->memory_kib;
    host->reserve_kib = made->memory_reserve_kib + policy->memory_reserve_kib;
    host->slots_allowed = host->slots_most = made->live_limit;
    host->rack = (guint)g_ascii_strtoull(made->group_id + strlen("rack"), NULL, 10);
    day->racks = MAX(day->racks, host->rack + 1);
    g_ptr_array_add(day->hosts, host);
    g_hash_table_insert(day->host_index, host->name, GUINT_TO_POINTER(day->hosts->len));
    g_hash_table_insert(day->host_index, host->uri, GUINT_TO_POINTER(day->hosts->len));
}

static void add_host(Day *day, const GwHost *made)
{
    g_autoptr(GwHost) host = gw_host_copy(made);
    g_autoptr(GwHost) added = NULL;

    g_clear_pointer(&host->facts, gw_host_facts_free);
    g_clear_pointer(&host->id, g_free);
    UNIT_OK((added = gw_engine_add_host(day->world.engine, host, error)) != NULL);
    day_host(day, day_host_index(day, host->uri))->id = g_strdup(added->id);
}

static void add_group(Day *day, const GwGroup *made)
{
    g_autoptr(GwGroup) group = gw_group_copy(made);
    g_autoptr(GwGroup) added = NULL;

    if (g_strcmp0(made->id, GW_GROUP_ROOT) == 0)
        return;
    g_clear_pointer(&group->id, g_free);
    UNIT_OK((added = gw_engine_add_group(day->world.engine, group, error)) != NULL);
}

static void add_rule(Day *day, const GwPlacementRule *made)
{
    g_autoptr(GwPlacementRule) rule = gw_placement_rule_copy(made);
    DayRule *known = g_new0(DayRule, 1);

    g_clear_pointer(&rule->id, g_free);
    known->guests = g_ptr_array_new();
    known->excused = TRUE; /* until it is seen to hold */
    UNIT_OK((known->rule = gw_engine_add_rule(day->world.engine, rule, error)) != NULL);
    for (guint i = 0; made->vms != NULL && made->vms[i] != NULL; i++) {
        Guest *guest = g_hash_table_lookup(day->guest_of, made->vms[i]);
        guest->ruled = TRUE;
        g_ptr_array_add(known->guests, guest);
    }
    g_ptr_array_add(day->rules, known);
}

static void add_all(Day *day)
{
    g_autoptr(GPtrArray) groups = gw_fabric_list_groups(day->made);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(day->made);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(day->made, NULL);
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(day->made);

    for (guint i = 0; i < groups->len; i++)
        add_group(day, groups->pdata[i]);
    for (guint i = 0; i < hosts->len; i++)
        know_host(day, hosts->pdata[i]);
    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        day_add_guest(day, vm->uuid, vm->state == (int)GW_VM_OFF ? GUEST_OFF : GUEST_RUNS);
    }
    day_load(day);
    for (guint i = 0; i < hosts->len; i++)
        add_host(day, hosts->pdata[i]);
    for (guint i = 0; i < rules->len; i++)
        add_rule(day, rules->pdata[i]);
}

static FabricOptions fabric_options(const DayOptions *options)
{
    gboolean large = options->hosts >= LARGE;

    return (FabricOptions){ .seed = options->seed,
                            .hosts = options->hosts,
                            .vms = options->vms,
                            .hosts_per_share = large                    ? 100
                                               : options->seed % 4 == 0 ? 10
                                                                        : 0,
                            .full_percent = 50,
                            .off_percent = 5,
                            .hosts_per_rack = large ? HOSTS_PER_RACK_LARGE : HOSTS_PER_RACK_SMALL,
                            .old_percent = 20,
                            .rack_rules = MIN(options->vms / 20, RULES_MOST),
                            .agent_percent = large || options->seed % 3 == 0 ? 0 : 50 };
}

static void day_open(Day *day)
{
    FabricOptions options = fabric_options(day->options);

    g_random_set_seed(day->options->seed); /* by which the engine makes its ids */
    day->rand = g_rand_new_with_seed(day->options->seed);
    day->found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    day->hosts = g_ptr_array_new_with_free_func(host_free);
    day->host_index = g_hash_table_new(g_str_hash, g_str_equal);
    day->guests = g_ptr_array_new_with_free_func(guest_free);
    day->guest_of = g_hash_table_new(g_str_hash, g_str_equal);
    day->rules = g_ptr_array_new_with_free_func(rule_free);
    day->over = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    day->reasons = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GArray **lists[] = { &day->waited_ms, &day->errors, &day->ratios, &day->makespans_s,
                         &day->bounds_s };
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        *lists[i] = g_array_new(FALSE, FALSE, sizeof(double));
    day->made = fabric_make(&options);
    world_make(&day->world, gw_clock_new_virtual(SECONDS(BEGIN_S)),
               fabric_sim_json(day->made, LINK_MIBPS));
    day->world.usage_interval_us = SECONDS(USAGE_EVERY_S);
    world_start(&day->world);
    add_all(day);
    day_teams_new(day);
    day->end_us = day_now(day) + MINUTES(day->options->minutes);
    day->calm_us = day->end_us - MINUTES(day->options->minutes) / 8;
}

static void day_close(Day *day)
{
    day_teams_free(day);
    world_free(&day->world);
    gw_fabric_unref(day->made);
    g_ptr_array_unref(day->rules);
    g_hash_table_unref(day->guest_of);
    g_ptr_array_unref(day->guests);
    g_hash_table_unref(day->host_index);
    g_ptr_array_unref(day->hosts);
    g_hash_table_unref(day->over);
    g_hash_table_unref(day->reasons);
    g_hash_table_unref(day->found);
    GArray *lists[] = { day->waited_ms, day->errors, day->ratios, day->makespans_s, day->bounds_s };
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        g_array_unref(lists[i]);
    g_rand_free(day->rand);
}

/* The day ---------------------------------------------------------------------------------- */

static void step(Day *day)
{
    if (day_now(day) < day->calm_us)
        day_disturb(day);
    day_operate(day);
    day_teams_step(day);
    world_run(&day->world, SECONDS(day->options->step_s));
    day_look(day);
}

static gboolean is_busy(const Day *day)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    GHashTableIter iter;
    gpointer job;

    for (guint i = 0; i < day->teams->len; i++) {
        if (g_array_index(day->teams, Team, i).state != RACK_IDLE)
            return TRUE;
    }
    for (guint i = 0; i < day->guests->len; i++) {
        if (((Guest *)day->guests->pdata[i])->shaken)
            return TRUE;
    }
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &job)) {
        if (!gw_job_state_is_final((GwJobState)((GwJob *)job)->state))
            return TRUE;
    }
    return FALSE;
}

json_t *day_run(const DayOptions *options, GPtrArray *broken)
{
    Day day = { .options = options, .broken = broken };
    gint64 load_us = 0, say_us = 0;

    day_open(&day);
    gint64 last_us = day.end_us + MINUTES(SETTLE_MINUTES);
    while (day_now(&day) < day.end_us || (is_busy(&day) && day_now(&day) < last_us)) {
        if (day_now(&day) >= load_us) {
            day_load(&day);
            load_us = day_now(&day) + MINUTES(15);
        }
        step(&day);
        if (day_now(&day) >= say_us) {
            day_jobs_say(&day);
            say_us = day_now(&day) + MINUTES(60);
        }
    }
    day_look_at_end(&day);
    json_t *report = day_report(&day);
    day_close(&day);
    return report;
}
