/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trials.h"

#include <stdlib.h>

char *trial_uuid(guint vm)
{
    return g_strdup_printf("6d0b6b0e-0000-4000-8000-%012u", vm + 1);
}

guint trial_any(Trial *trial, guint count)
{
    return (guint)g_rand_int_range(trial->random, 0, (gint32)count);
}

TrialFault trial_any_fault(GRand *random, const TrialFault *more, guint more_count)
{
    static const TrialFault faults[] = {
        { "setup", "fail" },
        { "copy", "fail" },
        { "switchover", "fail" },
        { "finish", "fail" },
        { "copy", "kill-destination" },
        { "finish", "kill-destination" },
        { "copy", "source-down" },
        { "finish", "source-down" },
        { "copy", "destination-down" },
        { "finish", "destination-down" },
        { "finish", "lose-reply" },
        { "confirm", "lose-reply" },
    };
    guint count = G_N_ELEMENTS(faults);
    guint pick = (guint)g_rand_int_range(random, 0, (gint32)(count + more_count));

    return pick < count ? faults[pick] : more[pick - count];
}

gint64 trial_any_ms(Trial *trial)
{
    return g_rand_int_range(trial->random, 100, TRIAL_DOWN_MS_MAX);
}

void trial_init(Trial *trial, guint32 seed)
{
    *trial = (Trial){ .random = g_rand_new_with_seed(seed), .seed = seed };
    world_set_agents(seed % (1 << TRIAL_HOSTS));
}

void trial_begin(Trial *trial, json_t *fabric)
{
    world_make(&trial->world, gw_clock_new_virtual(SECONDS(1700000000)), fabric);
    world_start(&trial->world);
    for (guint i = 0; i < TRIAL_HOSTS; i++)
        world_add_host(&trial->world, i);
}

void trial_end(Trial *trial)
{
    world_free(&trial->world);
    g_rand_free(trial->random);
}

void trial_kill_and_start(Trial *trial)
{
    gint64 span = (gint64)trial_any(trial, 5000) * 1000;

    world_kill(&trial->world);
    world_pass(&trial->world, span);
    world_start(&trial->world);
}

void trial_plant(Trial *trial, TrialFault fault, gint64 ms, int percent)
{
    g_autoptr(GwJson) json =
        json_pack("{s:s,s:s,s:I}", "at", fault.at, "do", fault.what, "ms", (json_int_t)ms);

    if (percent >= 0)
        json_object_set_new(json, "percent", json_integer(percent));
    UNIT_OK(gw_sim_fault(trial->world.sim, json, error));
}

/* Checks ----------------------------------------------------------------------------------- */

void trial_check_jobs(Trial *trial, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        const char *state = gw_enum_word(&gw_job_state_enum, job->state);
        if (!gw_job_state_is_final(job->state))
            fail_msg("seed %u: '%s' is still %s: %s", trial->seed, job->title, state,
                     job->waiting_for);
        if (job->state != GW_JOB_DONE && job->error == NULL)
            fail_msg("seed %u: '%s' is %s and does not say why", trial->seed, job->title, state);
    }
}

/* Returns whether the host has it. */
static gboolean check_at(Trial *trial, const GwFabric *fabric, guint vm, guint host)
{
    g_autofree char *uuid = trial_uuid(vm);
    g_autofree char *uri = world_uri(host);
    g_autofree char *name = g_strdup_printf("%c", (char)('a' + host));
    g_autoptr(GwLook) look = gw_sim_look(trial->world.sim, uri, uuid);
    const GwVm *known = gw_fabric_vm(fabric, gw_fabric_find_host(fabric, name)->id, uuid);

    if (look != NULL && !look->autostart)
        fail_msg("seed %u: vm%u lost its autostart", trial->seed, vm);
    if ((look != NULL) != (known != NULL) || (look != NULL && look->state != known->state))
        fail_msg("seed %u: vm%u is not shown as host %s has it", trial->seed, vm, name);
    if (known != NULL && known->job_id != NULL)
        fail_msg("seed %u: vm%u is shown as moving", trial->seed, vm);
    if (gw_sim_has_leave(trial->world.sim, uri, uuid))
        fail_msg("seed %u: leave for vm%u is still open on host %s", trial->seed, vm, name);
    return look != NULL;
}

void trial_check_vm(Trial *trial, const GwFabric *fabric, guint vm, guint runs)
{
    g_autofree char *uuid = trial_uuid(vm);
    GwSim *sim = trial->world.sim;
    gboolean free_choice = trial->may_change[vm] || trial->any_may_stop;
    guint seen = gw_sim_running(sim, uuid), listed = 0;

    if (gw_sim_most_running(sim, uuid) > 1)
        fail_msg("seed %u: vm%u ran twice", trial->seed, vm);
    if (gw_sim_definitions(sim, uuid) != 1)
        fail_msg("seed %u: vm%u: %u definitions", trial->seed, vm, gw_sim_definitions(sim, uuid));
    if (seen > 1 || (!free_choice && seen != runs))
        fail_msg("seed %u: vm%u runs %u times", trial->seed, vm, seen);
    for (guint i = 0; i < TRIAL_HOSTS; i++)
        listed += check_at(trial, fabric, vm, i);
    assert_int_equal(listed, 1);
}

static void none_of(const Trial *trial, char **words, const char *what)
{
    if (words[0] != NULL)
        fail_msg("seed %u: %s: %s", trial->seed, what, words[0]);
    g_strfreev(words);
}

void trial_check_disks(Trial *trial, const GPtrArray *known)
{
    none_of(trial, gw_sim_violations(trial->world.sim), "violated");
    none_of(trial, gw_sim_check_disks(trial->world.sim), "wrong at the end");
    none_of(trial, gw_sim_leaks(trial->world.sim, known), "left behind");
    if (gw_sim_stale_runs(trial->world.sim) > 0) /* I9 */
        fail_msg("seed %u: a VM ran with memory older than its disk", trial->seed);
}

static guint32 number_from(const char *variable, guint32 fallback)
{
    const char *text = g_getenv(variable);
    return text != NULL ? (guint32)strtoul(text, NULL, 10) : fallback;
}

guint32 trials_run(guint32 count, void (*run)(guint32 seed, gpointer user), gpointer user)
{
    guint32 first = number_from("GODWIT_SEED", 1);
    guint32 wanted = number_from("GODWIT_TRIALS", unit_trials(count));

    for (guint32 i = 0; i < wanted; i++)
        run(first + i, user);
    return wanted;
}
