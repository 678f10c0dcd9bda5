/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/day_internal.h"

/* What came of jobs, and the report. */

#define MOVES_PER_VM_MOST 6 /* of one plan, with its detours and failures: more is a loop */

static void note_prediction(Day *day, const GwJob *job)
{
    const GwInterval *said = job->prediction != NULL ? job->prediction->total_ms : NULL;
    gint64 took = job->result->total_ms - job->result->queued_ms;
    double error = 0;

    if (said == NULL || took <= 0)
        return;
    error = fabs((double)(said->likely - took)) / (double)took;
    g_array_append_val(day->errors, error);
    day->inside += said->low <= took && took <= said->high;
}

static void note_move(Day *day, const GwJob *job)
{
    day->tally.moves++;
    day->tally.part_of_plans += job->part_of != NULL;
    if (job->state != (int)GW_JOB_DONE || job->result == NULL)
        return;
    double waited = (double)job->result->queued_ms;
    g_array_append_val(day->waited_ms, waited);
    note_prediction(day, job);
}

/* A plan that moves a VM again and again does not end by itself (complaint 3). */
static void check_plan(Day *day, const GwFabric *fabric, const GwJob *plan)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (g_strcmp0(job->part_of, plan->id) != 0)
            continue;
        guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, job->vm_uuid)) + 1;
        g_hash_table_insert(counts, job->vm_uuid, GUINT_TO_POINTER(count));
        if (count > MOVES_PER_VM_MOST)
            day_break(day, plan->id, "'%s' moved %s %u times", plan->title, job->vm_name, count);
    }
}

static void count_reason(Day *day, const GwJob *job)
{
    const char *code = job->error != NULL && job->error->code != NULL ? job->error->code : "none";
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(day->reasons, code));

    g_hash_table_insert(day->reasons, g_strdup(code), GUINT_TO_POINTER(count + 1));
    day_say(day, "'%s' failed: %s: %s", job->title, code,
            job->error != NULL ? job->error->message : "");
}

static void note(Day *day, const GwFabric *fabric, const GwJob *job)
{
    day->tally.jobs++;
    day->tally.done += job->state == (int)GW_JOB_DONE;
    day->tally.failed += job->state == (int)GW_JOB_FAILED;
    day->tally.cancelled += job->state == (int)GW_JOB_CANCELLED;
    if (job->state == (int)GW_JOB_FAILED)
        count_reason(day, job);
    if (job->state != (int)GW_JOB_DONE && (job->error == NULL || job->error->message == NULL))
        day_break(day, job->id, "'%s' is %s and does not say why", job->title,
                  gw_enum_word(&gw_job_state_enum, job->state));
    if (job->plan != NULL)
        check_plan(day, fabric, job);
    else if (job->vm_uuid != NULL)
        note_move(day, job);
}

void day_jobs_look(Day *day, const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (gw_job_state_is_final((GwJobState)job->state) &&
            g_hash_table_add(day->over, g_strdup(job->id)))
            note(day, fabric, job);
    }
    /* Each controller numbers from where no other does. */
    guint64 feed = gw_feed_last(gw_engine_feed(day->world.engine));
    if (day->feed_last > 0 && feed > day->feed_last)
        day->tally.feed += feed - day->feed_last;
    day->feed_last = feed;
}

/* The report ------------------------------------------------------------------------------- */

static int compare(gconstpointer a, gconstpointer b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Sorts @values. */
static double percentile(GArray *values, guint percent)
{
    if (values->len == 0)
        return 0;
    g_array_sort(values, compare);
    return g_array_index(values, double, (values->len - 1) * percent / 100);
}

static double sum(const GArray *values)
{
    double all = 0;

    for (guint i = 0; i < values->len; i++)
        all += g_array_index(values, double, i);
    return all;
}

static double cpu_s(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

void day_jobs_say(const Day *day)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    day_say(day,
            "so far: %u moves, %u of %u jobs failed, %u of %u racks emptied, %u of %u predictions "
            "hold, %u broken, %.0f s of CPU, %ld MiB",
            day->tally.moves, day->tally.failed, day->tally.jobs, day->tally.drained,
            day->tally.drains, day->inside, day->errors->len, day->broken->len, cpu_s(&usage),
            usage.ru_maxrss / 1024);
}

static json_t *reasons(const Day *day)
{
    json_t *counts = json_object();
    GHashTableIter iter;
    gpointer code, count;

    g_hash_table_iter_init(&iter, day->reasons);
    while (g_hash_table_iter_next(&iter, &code, &count))
        json_object_set_new(counts, code, json_integer(GPOINTER_TO_UINT(count)));
    return counts;
}

static json_t *happened(const DayTally *t)
{
    return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "created",
                     (int)t->created, "removed", (int)t->removed, "started", (int)t->started,
                     "stopped", (int)t->stopped, "resized", (int)t->resized, "carried",
                     (int)t->carried, "asked", (int)t->asked, "refused", (int)t->refused,
                     "power_lost", (int)t->power_lost, "cut_off", (int)t->cut_off, "limits",
                     (int)t->limits, "kills", (int)t->kills);
}

json_t *day_report(Day *day)
{
    const DayTally *t = &day->tally;
    struct rusage usage;
    json_t *report = json_object();
    const struct {
        const char *key;
        double value;
    } figures[] = {
        { "jobs", t->jobs },
        { "moves", t->moves },
        { "moves_of_plans", t->part_of_plans },
        { "jobs_done", t->done },
        { "jobs_failed", t->failed },
        { "jobs_cancelled", t->cancelled },
        { "jobs_held", t->held },
        { "moves_at_once", t->moves_most },
        { "waited_s_median", percentile(day->waited_ms, 50) / 1000 },
        { "waited_s_90", percentile(day->waited_ms, 90) / 1000 },
        { "drains", t->drains },
        { "drained", t->drained },
        { "undrains", t->undrains },
        { "undrained", t->undrained },
        { "makespan_s_sum", sum(day->makespans_s) },
        { "bound_s_sum", sum(day->bounds_s) },
        { "ratio_median", percentile(day->ratios, 50) },
        { "ratio_90", percentile(day->ratios, 90) },
        { "predicted", day->errors->len },
        { "prediction_error_median", percentile(day->errors, 50) },
        { "prediction_error_90", percentile(day->errors, 90) },
        { "inside_interval", day->errors->len > 0 ? (double)day->inside / day->errors->len : 0 },
        { "plans", t->plans },
        { "plan_cpu_ms_sum", t->plan_cpu_ms },
        { "plan_cpu_ms_most", t->plan_cpu_most_ms },
        { "events", (double)t->feed },
        { "looks", t->looks },
        { "checks", (double)t->checks },
        { "broken", day->broken->len },
    };

    for (guint i = 0; i < G_N_ELEMENTS(figures); i++)
        json_object_set_new(report, figures[i].key, json_real(figures[i].value));
    getrusage(RUSAGE_SELF, &usage);
    json_object_set_new(report, "most_mib", json_real((double)usage.ru_maxrss / 1024));
    json_object_set_new(report, "cpu_s", json_real(cpu_s(&usage)));
    json_object_set_new(report, "failed", reasons(day));
    json_object_set_new(report, "happened", happened(t));
    return report;
}
