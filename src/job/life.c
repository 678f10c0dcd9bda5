/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/life.h"

#include "base/clock.h"
#include "base/error.h"

/* The table -------------------------------------------------------------------------------- */

const GwLifeRow *gw_life_find(const GwLifeRow *rows, guint count, GwJobState state, guint event)
{
    for (guint i = 0; i < count; i++) {
        if (rows[i].state == state && rows[i].event == event)
            return &rows[i];
    }
    return NULL;
}

void gw_life_refuse(const GwJob *job, const char *event, GError **error)
{
    gw_error_set(error, GW_ERR_CONFLICT, "Look at the job's state: godwit job show.",
                 "'%s' is not possible while the job is %s", event,
                 gw_enum_word(&gw_job_state_enum, job->state));
}

void gw_life_add_effect(GwLifeOutcome *outcome, guint effect)
{
    g_assert(outcome->count < GW_LIFE_EFFECTS_MAX);
    outcome->effects[outcome->count++] = effect;
}

/* States ----------------------------------------------------------------------------------- */

static char *rfc3339(gint64 wall_us)
{
    g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
    g_autofree char *text = g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%03dZ", text, (int)(wall_us % G_USEC_PER_SEC / 1000));
}

void gw_life_enter(GwJob *job, GwJobState next, GwLifeMoment at, const char *why,
                   GwLifeOutcome *outcome)
{
    GwJobStep *step = gw_job_step_new();

    job->state = (int)next;
    step->at = rfc3339(at.wall_us);
    step->state = g_strdup(gw_enum_word(&gw_job_state_enum, (int)next));
    step->event = g_strdup(at.event);
    step->why = g_strdup(why);
    if (job->steps == NULL)
        job->steps = gw_record_array(&gw_job_step_record);
    g_ptr_array_add(job->steps, step);
    while (job->steps->len > GW_LIFE_STEPS_MAX) { /* how it began stays */
        g_ptr_array_remove_index(job->steps, 1);
        job->steps_dropped++;
    }
    outcome->journal = TRUE;
}

void gw_life_set_phase(GwJob *job, const char *phase)
{
    if (job->progress == NULL)
        job->progress = gw_progress_new();
    gw_life_replace(&job->progress->phase, phase);
}

void gw_life_start(GwJob *job, GwLifeMoment at)
{
    g_free(job->started_at);
    job->started_at = rfc3339(at.wall_us);
}

void gw_life_begin(GwJob *job, const GwLifeTimes *times, GwLifeMoment at)
{
    gw_life_start(job, at);
    g_clear_pointer(&job->waiting_for, g_free);
    if (job->result == NULL)
        job->result = gw_move_result_new();
    job->result->queued_ms = (at.now_us - times->created_us) / 1000;
    gw_life_set_phase(job, "checking");
}

void gw_life_finish(GwJob *job, GwLifeTimes *times, GwJobState state, GwLifeMoment at,
                    const char *why, GwLifeOutcome *outcome)
{
    if (job->result == NULL)
        job->result = gw_move_result_new();
    job->result->total_ms = (at.now_us - times->created_us) / 1000;
    g_free(job->finished_at);
    job->finished_at = rfc3339(at.wall_us);
    g_clear_pointer(&job->waiting_for, g_free);
    gw_life_disarm(times);
    gw_life_enter(job, state, at, why, outcome);
    gw_life_set_phase(job, gw_enum_word(&gw_job_state_enum, (int)state));
}

/* Errors ----------------------------------------------------------------------------------- */

void gw_life_replace(char **slot, const char *text)
{
    char *old = *slot;

    *slot = g_strdup(text);
    g_free(old);
}

void gw_life_set_error(GwJob *job, const char *code, const char *message, const char *remedy)
{
    gw_job_error_free(job->error);
    job->error = gw_job_error_new();
    job->error->code = g_strdup(code);
    job->error->message = g_strdup(message);
    job->error->remedy = g_strdup(remedy);
}

void gw_life_take_error(GwJob *job, const GError *error, const char *remedy)
{
    if (error == NULL)
        return;
    GwErrorCode code = error->domain == GW_ERROR ? (GwErrorCode)error->code : GW_ERR_INTERNAL;
    const char *its = gw_error_remedy(error);
    gw_life_set_error(job, gw_error_code_word(code), error->message, its != NULL ? its : remedy);
}

/* Timers ----------------------------------------------------------------------------------- */

gint64 gw_life_due_after(gint64 now_us, gint64 span_s)
{
    return span_s > 0 ? now_us + span_s * G_USEC_PER_SEC : 0;
}

void gw_life_disarm(GwLifeTimes *times)
{
    times->wake_us = times->too_long_us = times->stalled_us = 0;
}

gint64 gw_life_next_us(const GwLifeTimes *times)
{
    return gw_earlier(times->wake_us, gw_earlier(times->too_long_us, times->stalled_us));
}
