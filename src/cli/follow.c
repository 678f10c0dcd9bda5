/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/follow.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/format.h"
#include "cli/plan_progress.h"
#include "cli/progress.h"
#include "client/events.h"
#include "model/job.h"

#define TICK_MS 1000
#define ASK_AGAIN_US (10 * G_USEC_PER_SEC) /* asking while the stream is up: events are hints */
#define LINE_EVERY_US (3 * G_USEC_PER_SEC)
#define PAINT_EVERY_US (G_USEC_PER_SEC / 10)

typedef enum {
    SHOW_NOTHING,
    SHOW_LINES,   /* plain lines, for a pipe */
    SHOW_BARS,    /* redrawn in place, for a terminal */
    SHOW_RECORDS, /* each change as JSON or YAML */
} ShowMode;

typedef struct {
    char *id;
    json_t *job; /* as last heard */
    char *phase; /* as last printed */
    gint64 printed_us;
    gboolean over;
} Followed;

typedef struct {
    GwSession *session;
    GPtrArray *all; /* Followed */
    ShowMode mode;
    gboolean streaming;
    gint64 asked_us;
    gint64 down_since_us; /* -1: the controller answers */
    guint painted;        /* lines on the terminal that are ours to redraw */
    gint64 painted_us;
} Watch;

static gint64 now_us(const Watch *watch)
{
    return gw_clock_now_us(watch->session->clock);
}

static void followed_free(gpointer data)
{
    Followed *f = data;

    g_free(f->id);
    g_free(f->phase);
    json_decref(f->job);
    g_free(f);
}

/* Showing --------------------------------------------------------------------------------- */

static struct winsize terminal_size(void)
{
    struct winsize size = { .ws_col = 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
    return size;
}

static ShowMode choose_mode(const GwSession *session, guint jobs)
{
    const char *term = g_getenv("TERM");
    gboolean dumb = term == NULL || strcmp(term, "dumb") == 0;

    if (session->settings->output != GW_OUTPUT_TABLE)
        return SHOW_RECORDS;
    if (session->quiet)
        return SHOW_NOTHING;
    /* More bars than lines could not be redrawn in place. */
    if (!session->terminal || dumb || jobs >= terminal_size().ws_row)
        return SHOW_LINES;
    return SHOW_BARS;
}

static void erase_bars(Watch *watch)
{
    if (watch->painted > 0)
        g_print("\033[%uA\033[J", watch->painted);
    watch->painted = 0;
}

static void paint_bars(Watch *watch)
{
    int columns = terminal_size().ws_col - 1; /* a full line would wrap on some terminals */

    erase_bars(watch);
    for (guint i = 0; i < watch->all->len; i++) {
        Followed *f = watch->all->pdata[i];
        g_autofree char *bar =
            gw_progress_bar(f->job, columns, watch->session->utf8, watch->session->color);
        g_print("%s\n", bar);
        watch->painted++;
    }
    watch->painted_us = now_us(watch);
}

static void put_line(Watch *watch, const char *text)
{
    g_autoptr(GDateTime) now =
        g_date_time_new_from_unix_local(gw_clock_wall_us(watch->session->clock) / G_USEC_PER_SEC);
    g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S%:z");

    g_print("%s %s\n", stamp, text);
}

/* Something to know beside the progress: it stays on the terminal. */
static void put_note(Watch *watch, const char *text)
{
    g_autofree char *line = gw_format_line(text);

    erase_bars(watch);
    if (watch->mode == SHOW_LINES)
        put_line(watch, line);
    else if (watch->mode == SHOW_BARS)
        g_print("%s\n", line);
    else
        g_printerr("godwit: %s\n", line);
}

static void show_line(Watch *watch, Followed *f)
{
    g_autofree char *phase = gw_progress_phase(f->job);
    g_autofree char *line = gw_progress_line(f->job);
    gboolean same = g_strcmp0(phase, f->phase) == 0;

    if (same && now_us(watch) - f->printed_us < LINE_EVERY_US)
        return;
    put_line(watch, line);
    f->printed_us = now_us(watch);
    g_free(f->phase);
    f->phase = g_steal_pointer(&phase);
}

static void show(Watch *watch, Followed *f)
{
    if (watch->mode == SHOW_RECORDS)
        gw_print_record(watch->session, f->job);
    else if (watch->mode == SHOW_LINES)
        show_line(watch, f);
    else if (watch->mode == SHOW_BARS &&
             (f->over || now_us(watch) - watch->painted_us >= PAINT_EVERY_US))
        paint_bars(watch);
}

/* Hearing --------------------------------------------------------------------------------- */

static gboolean is_over(json_t *job)
{
    const char *state = gw_at_text(job, "state");
    int value = gw_enum_value(&gw_job_state_enum, state);

    /* A state of a newer controller is "still in progress". */
    return value >= 0 && (gw_job_state_is_final((GwJobState)value) || value == GW_JOB_HELD);
}

/* With those that are not kept. */
static gint64 count_steps(json_t *job)
{
    return (gint64)json_array_size(gw_at(job, "steps")) + gw_at_int(job, "steps_dropped", 0);
}

/* An event can have waited here while an answer overtook it. A job's history only grows, and
 * between two steps libvirt's job only gets older. */
static gboolean is_older(json_t *job, json_t *than)
{
    gint64 steps = count_steps(job), known = count_steps(than);

    if (steps != known)
        return steps < known;
    return gw_at_int(job, "progress.elapsed_ms", 0) < gw_at_int(than, "progress.elapsed_ms", 0);
}

static void hear(Watch *watch, Followed *f, json_t *job)
{
    gboolean news = f->job == NULL || json_equal(f->job, job) == 0;

    if (f->over || !json_is_object(job) || gw_at_text(job, "state") == NULL ||
        is_older(job, f->job))
        return;
    json_incref(job);
    json_decref(f->job);
    f->job = job;
    f->over = is_over(job);
    if (news || watch->mode == SHOW_BARS)
        show(watch, f);
}

/* FALSE: nothing more can be learnt, @error says why. */
static gboolean controller_is_gone(Watch *watch, GError *why, GError **error)
{
    gint64 retry_s = watch->session->settings->retry_s;
    gboolean answered = gw_client_problem(watch->session->client) != NULL;

    if (answered || !g_error_matches(why, GW_ERROR, GW_ERR_UNREACHABLE)) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (watch->down_since_us < 0) {
        watch->down_since_us = now_us(watch);
        g_autofree char *text = g_strdup_printf(
            "%s; the job goes on without it; trying again for %" G_GINT64_FORMAT " s", why->message,
            retry_s);
        put_note(watch, text);
    }
    gboolean wait = now_us(watch) - watch->down_since_us < retry_s * G_USEC_PER_SEC;
    if (!wait)
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "When the controller is back: godwit job watch, with the job's id.",
                     "the controller has been away for %" G_GINT64_FORMAT " s: %s", retry_s,
                     why->message);
    g_error_free(why);
    return wait;
}

/* What became of each move of a plan is asked for once, at its end: until then it is enough how
 * many. Of another job nothing is left out, and an older controller does not know the question. */
static gboolean is_cut_short(json_t *job)
{
    return gw_plan_progress_is_brief(job) && is_over(job);
}

static json_t *get_job(const Watch *watch, const Followed *f, GError **error)
{
    g_autofree char *segment = gw_client_segment(f->id);
    g_autofree char *path = g_strdup_printf("/jobs/%s", segment);
    g_autofree char *brief =
        g_strconcat(path, gw_plan_progress_is(f->job) ? "?plan=false" : "", NULL);
    json_t *job = gw_client_get(watch->session->client, brief, error);

    if (job == NULL || !is_cut_short(job))
        return job;
    json_decref(job);
    return gw_client_get(watch->session->client, path, error);
}

static gboolean ask_one(Watch *watch, Followed *f, GError **error)
{
    GError *why = NULL;
    g_autoptr(GwJson) job = get_job(watch, f, &why);

    if (job == NULL)
        return controller_is_gone(watch, why, error);
    if (watch->down_since_us >= 0) {
        watch->down_since_us = -1;
        put_note(watch, "the controller answers again");
    }
    hear(watch, f, job);
    return TRUE;
}

static gboolean hear_event(Watch *watch, const GwStreamEvent *event, GError **error)
{
    if (strcmp(event->type, "job") != 0)
        return TRUE;
    g_autoptr(GwJson) job = gw_json_parse(event->data, strlen(event->data), GW_JSON_TEXT_MAX, NULL);
    for (guint i = 0; i < watch->all->len; i++) {
        Followed *f = watch->all->pdata[i];
        if (g_strcmp0(gw_at_text(job, "id"), f->id) != 0)
            continue;
        if (!is_cut_short(job))
            hear(watch, f, job);
        else if (!f->over && !ask_one(watch, f, error))
            return FALSE;
    }
    return TRUE;
}

/* Asks for the state of each; stops at the first that gets no answer. */
static gboolean ask_all(Watch *watch, GError **error)
{
    watch->asked_us = now_us(watch);
    for (guint i = 0; i < watch->all->len; i++) {
        Followed *f = watch->all->pdata[i];
        if (!f->over && !ask_one(watch, f, error))
            return FALSE;
        if (watch->down_since_us >= 0)
            break;
    }
    return TRUE;
}

static gboolean all_over(const Watch *watch)
{
    for (guint i = 0; i < watch->all->len; i++) {
        if (!((Followed *)watch->all->pdata[i])->over)
            return FALSE;
    }
    return TRUE;
}

static gboolean step(Watch *watch, GwEventStream *stream, GError **error)
{
    g_autoptr(GwStreamEvent) event = NULL;
    g_autoptr(GError) why = NULL;

    switch (gw_event_stream_next(stream, TICK_MS, &event, &why)) {
    case GW_STREAM_OPENED:
        watch->streaming = TRUE;
        return ask_all(watch, error);
    case GW_STREAM_EVENT:
        if (strcmp(event->type, "reset") == 0) /* events were missed */
            return ask_all(watch, error);
        if (!hear_event(watch, event, error))
            return FALSE;
        break;
    case GW_STREAM_DOWN:
        watch->streaming = FALSE;
        if (g_error_matches(why, GW_ERROR, GW_ERR_CANCELLED)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        return ask_all(watch, error);
    case GW_STREAM_IDLE:
        if (watch->mode == SHOW_BARS)
            paint_bars(watch);
        break;
    }
    /* Without a stream the job is asked for; with one now and then, for events can be lost. */
    if (now_us(watch) - watch->asked_us >= (watch->streaming ? ASK_AGAIN_US : TICK_MS * 1000))
        return ask_all(watch, error);
    return TRUE;
}

/* Ending ---------------------------------------------------------------------------------- */

static int exit_of_state(json_t *job)
{
    static const struct {
        GwJobState state;
        int status;
    } rows[] = { { GW_JOB_DONE, GW_EXIT_OK },
                 { GW_JOB_FAILED, GW_EXIT_FAILED },
                 { GW_JOB_CANCELLED, GW_EXIT_CANCELLED },
                 { GW_JOB_HELD, GW_EXIT_HELD } };
    int state = gw_enum_value(&gw_job_state_enum, gw_at_text(job, "state"));

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if ((int)rows[i].state == state)
            return rows[i].status;
    }
    return GW_EXIT_FAILED;
}

static int finish(Watch *watch)
{
    int status = GW_EXIT_OK;

    erase_bars(watch);
    for (guint i = 0; i < watch->all->len; i++) {
        Followed *f = watch->all->pdata[i];
        int own = exit_of_state(f->job);
        gboolean quiet = own == GW_EXIT_OK && watch->session->quiet;
        status = gw_exit_worse(status, own);
        if (watch->mode == SHOW_RECORDS || (quiet && !gw_progress_is_warned(f->job)))
            continue;
        g_autofree char *summary = gw_progress_summary(f->job);
        (own == GW_EXIT_OK && !quiet ? g_print : g_printerr)("%s", summary);
    }
    return status;
}

static int interrupted(Watch *watch)
{
    /* The last bars stay, so that one sees how far it was. */
    watch->painted = 0;
    for (guint i = 0; i < watch->all->len; i++) {
        Followed *f = watch->all->pdata[i];
        if (f->over)
            continue;
        g_autofree char *label = gw_progress_label(f->job);
        g_printerr("Interrupted; %s goes on. To cancel it: godwit job cancel %s  "
                   "To follow it: godwit job watch %s\n",
                   label, f->id, f->id);
    }
    return GW_EXIT_INTERRUPTED;
}

static gboolean add_job(Watch *watch, json_t *job, GError **error)
{
    const char *id = gw_at_text(job, "id");

    if (id == NULL) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "the controller answered a job without an id");
        return FALSE;
    }
    Followed *f = g_new0(Followed, 1);
    f->id = gw_format_line(id);
    g_ptr_array_add(watch->all, f);
    hear(watch, f, job);
    return TRUE;
}

int gw_follow_jobs(GwSession *session, json_t *jobs, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(followed_free);
    Watch watch = { .session = session, .all = all, .down_since_us = -1 };
    GError *why = NULL;

    gw_session_catch_interrupt(session);
    g_autoptr(GwEventStream) stream = gw_event_stream_new(session->client);
    watch.mode = choose_mode(session, (guint)json_array_size(jobs));
    for (gsize i = 0; i < json_array_size(jobs); i++) {
        if (!add_job(&watch, json_array_get(jobs, i), error))
            return GW_EXIT_FAILED;
    }
    while (why == NULL && !all_over(&watch))
        step(&watch, stream, &why);
    if (why == NULL)
        return finish(&watch);
    if (gw_session_interrupted(session)) {
        g_error_free(why);
        return interrupted(&watch);
    }
    erase_bars(&watch);
    g_propagate_error(error, why);
    return GW_EXIT_FAILED;
}
