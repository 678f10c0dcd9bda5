/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/progress.h"

#include <string.h>

#include "cli/format.h"
#include "cli/plan_progress.h"
#include "model/job.h"

#define LABEL_MAX 20 /* columns of a bar's label */
#define PHASE_MAX 20
#define BAR_MIN 8
#define BAR_MAX 32

char *gw_progress_label(json_t *job)
{
    const char *label = gw_at_text(job, "vm_name");

    if (label == NULL || *label == '\0')
        label = gw_at_text(job, "title");
    return gw_format_line(label);
}

/* Images below the running disks are copied before libvirt's migration begins. */
static gboolean is_copying(json_t *job)
{
    const char *state = gw_at_text(job, "state");

    return g_strcmp0(state, "copying") == 0 || (g_strcmp0(state, "preparing") == 0 &&
                                                gw_at_int(job, "progress.disk_total_bytes", 0) > 0);
}

char *gw_progress_phase(json_t *job)
{
    if (gw_plan_progress_is(job))
        return gw_plan_progress_phase(job);
    g_autofree char *state = gw_format_line(gw_at_text(job, "state"));
    g_autofree char *phase = gw_format_line(gw_at_text(job, "progress.phase"));

    /* Before and after the copy the phase is only what was last heard. */
    if (is_copying(job) && *phase != '\0' && strcmp(phase, state) != 0)
        return g_strdup_printf("%s (%s)", state, phase);
    return g_steal_pointer(&state);
}

static void take(GPtrArray *facts, const char *format, char *value)
{
    char **halves = g_strsplit(format, "%", 2);

    g_ptr_array_add(facts, g_strconcat(halves[0], value, halves[1], NULL));
    g_strfreev(halves);
    g_free(value);
}

static void take_disk_facts(GPtrArray *facts, json_t *progress)
{
    gint64 total = gw_at_int(progress, "disk_total_bytes", 0);
    g_autofree char *all = gw_format_bytes(total);
    g_autofree char *done =
        gw_format_bytes(CLAMP(gw_at_int(progress, "disk_processed_bytes", 0), 0, MAX(total, 0)));

    if (total > 0)
        g_ptr_array_add(facts, g_strdup_printf("disks %s of %s", done, all));
}

static void take_copy_facts(GPtrArray *facts, json_t *job)
{
    static const struct {
        const char *path;
        char *(*show)(gint64);
        const char *format;
    } rows[] = {
        { "bandwidth_bps", gw_format_rate, "%" },
        { "remaining_bytes", gw_format_bytes, "% left" },
        { "processed_bytes", gw_format_bytes, "% sent" },
        { "dirty_rate_bps", gw_format_rate, "dirtied %" },
        { "expected_downtime_ms", gw_format_ms, "downtime ~%" },
    };
    json_t *progress = gw_at(job, "progress");
    gint64 dirty = gw_at_int(progress, "dirty_rate_bps", 0);
    gint64 eta = gw_at_int(progress, "eta_ms", -1);
    gint64 predicted = gw_at_int(job, "prediction.total_ms.likely", 0);
    gint64 pass = gw_at_int(progress, "iteration", 0);
    gint64 throttle = gw_at_int(progress, "throttle_percent", 0);

    if (json_is_false(gw_at(progress, "converging")) && dirty > 0)
        g_ptr_array_add(facts, g_strdup("not converging"));
    else if (eta > 0)
        take(facts, "ETA %", gw_format_ms(eta));
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gint64 value = gw_at_int(progress, rows[i].path, 0);
        if (value > 0)
            take(facts, rows[i].format, rows[i].show(value));
        if (i == 0 && pass > 0)
            g_ptr_array_add(facts, g_strdup_printf("pass %" G_GINT64_FORMAT, pass));
        if (i == 0)
            take_disk_facts(facts, progress);
    }
    if (throttle > 0)
        g_ptr_array_add(facts, g_strdup_printf("guest slowed %" G_GINT64_FORMAT " %%", throttle));
    if (predicted > 0)
        take(facts, "predicted % in all", gw_format_ms(predicted));
}

/* Then the last note is of what is past. */
static gboolean is_over(json_t *job)
{
    int state = gw_enum_value(&gw_job_state_enum, gw_at_text(job, "state"));
    return state >= 0 && gw_job_state_is_final((GwJobState)state);
}

/* What is known now, the most wanted first: a narrow terminal leaves the rest out. */
static GPtrArray *facts_of(json_t *job)
{
    GPtrArray *facts = g_ptr_array_new_with_free_func(g_free);
    json_t *progress = gw_at(job, "progress");

    if (gw_at_text(job, "waiting_for") != NULL)
        g_ptr_array_add(facts, gw_format_line(gw_at_text(job, "waiting_for")));
    if (gw_at_true(job, "cancel_requested"))
        g_ptr_array_add(facts, g_strdup("cancel requested"));
    if (gw_plan_progress_is(job)) {
        if (is_copying(job))
            gw_plan_progress_facts(job, facts);
        return facts;
    }
    if (is_copying(job) && progress != NULL)
        take_copy_facts(facts, job);
    if (!is_over(job) && gw_at_text(progress, "note") != NULL &&
        *gw_at_text(progress, "note") != '\0')
        g_ptr_array_add(facts, gw_format_line(gw_at_text(progress, "note")));
    return facts;
}

static gint64 percent_of(json_t *job)
{
    return CLAMP(gw_at_int(job, "progress.percent", 0), 0, 100);
}

char *gw_progress_line(json_t *job)
{
    g_autofree char *label = gw_progress_label(job);
    g_autofree char *phase = gw_progress_phase(job);
    g_autoptr(GPtrArray) facts = facts_of(job);
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "%s: %s", label, phase);
    if (is_copying(job))
        g_string_append_printf(line, ", %d %%", (int)percent_of(job));
    for (guint i = 0; i < facts->len; i++)
        g_string_append_printf(line, ", %s", (char *)facts->pdata[i]);
    return g_string_free(line, FALSE);
}

/* Appends @text cut to @columns. */
static void put_cut(GString *out, const char *text, int columns, gboolean utf8)
{
    g_autofree char *cut = gw_format_cut(text, columns, utf8);
    g_string_append(out, cut);
}

static void put_bar(GString *out, int cells, gint64 percent, gboolean utf8, gboolean color)
{
    int full = (int)(percent * cells / 100);

    g_string_append(out, color ? "[\033[32m" : "[");
    for (int i = 0; i < cells; i++) {
        if (i == full && color)
            g_string_append(out, "\033[0m");
        g_string_append(out, i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."));
    }
    g_string_append(out, color ? "\033[0m]" : "]");
}

/* The facts that fit into @columns, each with two blanks before it. */
static char *fitting_facts(json_t *job, int columns)
{
    g_autoptr(GPtrArray) facts = facts_of(job);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < facts->len; i++) {
        int width = 2 + gw_format_width(facts->pdata[i]);
        if (width > columns)
            break;
        g_string_append_printf(text, "  %s", (char *)facts->pdata[i]);
        columns -= width;
    }
    return g_string_free(text, FALSE);
}

char *gw_progress_bar(json_t *job, int columns, gboolean utf8, gboolean color)
{
    g_autofree char *name = gw_progress_label(job);
    g_autofree char *label = gw_format_cut(name, LABEL_MAX, utf8);
    g_autofree char *phase = gw_progress_phase(job);
    g_autofree char *head = g_strdup_printf("%s  %s ", label, phase);
    GString *line = g_string_new(NULL);
    int left = columns;

    put_cut(line, head, MIN(left, LABEL_MAX + PHASE_MAX), utf8);
    left -= gw_format_width(line->str);
    if (is_copying(job)) {
        g_autofree char *percent = g_strdup_printf(" %3d %%", (int)percent_of(job));
        int tail = gw_format_width(percent);
        int cells = CLAMP(left / 3, BAR_MIN, BAR_MAX);
        if (left >= cells + 2 + tail) {
            put_bar(line, cells, percent_of(job), utf8, color);
            left -= cells + 2;
        }
        if (left >= tail) {
            g_string_append(line, percent);
            left -= tail;
        }
    }
    g_autofree char *facts = fitting_facts(job, left);
    g_string_append(line, facts);
    return g_string_free(line, FALSE);
}

/* Summary --------------------------------------------------------------------------------- */

static void put_row(GString *out, const char *name, const char *value)
{
    if (value != NULL && *value != '\0')
        g_string_append_printf(out, "  %-10s %s\n", name, value);
}

static char *downtime_words(json_t *result)
{
    gint64 seen = gw_at_int(result, "downtime_ms", -1);
    gint64 said = gw_at_int(result, "downtime_libvirt_ms", -1);
    g_autofree char *ours = seen >= 0 ? gw_format_ms(seen) : NULL;
    g_autofree char *theirs = said >= 0 ? gw_format_ms(said) : NULL;

    if (ours != NULL && theirs != NULL)
        return g_strdup_printf("%s measured, %s by QEMU's own count", ours, theirs);
    if (ours != NULL)
        return g_strdup_printf("%s measured", ours);
    if (theirs != NULL)
        return g_strdup_printf("%s by QEMU's own count; not measured", theirs);
    return g_strdup("not seen");
}

/* "3.1 GiB read, 2.0 GiB sent, 1.1 GiB there already"; within a host nothing is sent. */
static char *disk_words(json_t *result)
{
    gint64 read_bytes = gw_at_int(result, "disk_bytes", 0);
    gint64 sent_bytes = gw_at_int(result, "disk_sent_bytes", 0);
    gint64 same_bytes = gw_at_int(result, "disk_same_bytes", 0);
    g_autofree char *read = gw_format_bytes(read_bytes);
    g_autofree char *sent = gw_format_bytes(sent_bytes);
    g_autofree char *same = gw_format_bytes(same_bytes);

    if (read_bytes <= 0)
        return NULL;
    if (sent_bytes <= 0 && same_bytes <= 0)
        return g_strdup_printf("%s read", read);
    return g_strdup_printf("%s read, %s sent%s%s%s", read, sent, same_bytes > 0 ? ", " : "",
                           same_bytes > 0 ? same : "", same_bytes > 0 ? " there already" : "");
}

/* Where memory went over there is more to tell than where only disks did. */
static void put_work_result(GString *out, json_t *result)
{
    g_autofree char *total = gw_format_ms(gw_at_int(result, "total_ms", 0));
    g_autofree char *queued = gw_format_ms(gw_at_int(result, "queued_ms", 0));
    g_autofree char *words = g_strdup_printf("%s (queued %s)", total, queued);
    g_autofree char *disks = disk_words(result);
    g_autofree char *method = gw_format_line(gw_at_text(result, "method"));

    put_row(out, "Total", words);
    put_row(out, "Disks", disks);
    put_row(out, "Method", method);
}

static gboolean leaves_copies(json_t *job)
{
    json_t *disks = gw_at(job, "disks");
    gboolean moved = FALSE;

    for (gsize i = 0; i < json_array_size(disks); i++)
        moved = moved || json_array_size(gw_at(json_array_get(disks, i), "images")) > 0;
    return moved && gw_at_int(job, "keep_source_s", 0) > 0;
}

static void put_undo(GString *out, json_t *job)
{
    g_autofree char *id = gw_format_line(gw_at_text(job, "id"));
    g_autofree char *time = gw_format_seconds(MAX(gw_at_int(job, "keep_source_s", 0), 0));
    g_autofree char *words =
        g_strdup_printf("godwit job undo %s; the old copies are kept for %s", id, time);

    if (leaves_copies(job))
        put_row(out, "Undo", words);
}

/* Of a job that came to nothing: whether it had begun to make something. */
static gboolean leaves_work(json_t *job)
{
    const char *state = gw_at_text(job, "state");
    json_t *tasks = gw_at(job, "tasks");
    gboolean left = FALSE;

    if (g_strcmp0(state, "failed") != 0 && g_strcmp0(state, "cancelled") != 0)
        return FALSE;
    for (gsize i = 0; i < json_array_size(tasks); i++) {
        const char *task = gw_at_text(json_array_get(tasks, i), "state");
        left = left || (g_strcmp0(task, "todo") != 0 && g_strcmp0(task, "undone") != 0);
    }
    return left;
}

/* R31: a failed job offers Undo, and what that is is asked for first. */
static void put_repair(GString *out, const char *id)
{
    g_autofree char *words =
        g_strdup_printf("godwit job undo %s --dry-run tells what is left to clean up", id);
    put_row(out, "Undo", words);
}

static void put_result(GString *out, json_t *result)
{
    gint64 passes = gw_at_int(result, "iterations", 0);
    g_autofree char *downtime = downtime_words(result);
    g_autofree char *total = gw_format_ms(gw_at_int(result, "total_ms", 0));
    g_autofree char *queued = gw_format_ms(gw_at_int(result, "queued_ms", 0));
    g_autofree char *copying = gw_format_ms(gw_at_int(result, "copy_ms", 0));
    g_autofree char *bytes = gw_format_bytes(gw_at_int(result, "transferred_bytes", 0));
    g_autofree char *total_words =
        g_strdup_printf("%s (queued %s, copying %s)", total, queued, copying);
    g_autofree char *copied = g_strdup_printf("%s in %" G_GINT64_FORMAT " pass%s", bytes, passes,
                                              passes == 1 ? "" : "es");
    g_autofree char *method = gw_format_line(gw_at_text(result, "method"));
    g_autofree char *drive = gw_format_line(gw_at_text(result, "drive"));
    g_autofree char *disks = disk_words(result);

    put_row(out, "Downtime", downtime);
    put_row(out, "Total", total_words);
    put_row(out, "Copied", copied);
    put_row(out, "Disks", disks);
    put_row(out, "Method", method);
    put_row(out, "Driven by", drive);
}

gboolean gw_progress_is_warned(json_t *job)
{
    return g_strcmp0(gw_at_text(job, "state"), "done") == 0 &&
           gw_at_text(job, "error.message") != NULL;
}

static const char *headline(const char *state)
{
    static const char *const rows[][2] = {
        { "done", "Done" }, { "failed", "Failed" }, { "cancelled", "Cancelled" }, { "held", "Held" }
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (g_strcmp0(rows[i][0], state) == 0)
            return rows[i][1];
    }
    return "Job";
}

char *gw_progress_summary(json_t *job)
{
    const char *state = gw_at_text(job, "state");
    g_autofree char *title = gw_format_line(gw_at_text(job, "title"));
    g_autofree char *id = gw_format_line(gw_at_text(job, "id"));
    g_autofree char *message = gw_format_line(gw_at_text(job, "error.message"));
    g_autofree char *remedy = gw_format_line(gw_at_text(job, "error.remedy"));
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "%s%s: %s\n", headline(state),
                           gw_progress_is_warned(job) ? ", with a warning" : "",
                           *title != '\0' ? title : id);
    if (gw_plan_progress_is(job))
        gw_plan_progress_result(job, out, put_row);
    else if (g_strcmp0(state, "done") == 0 && g_strcmp0(gw_at_text(job, "kind"), "vm-migrate") == 0)
        put_result(out, gw_at(job, "result"));
    else if (g_strcmp0(state, "done") == 0 && gw_at(job, "result") != NULL)
        put_work_result(out, gw_at(job, "result"));
    if (g_strcmp0(state, "done") == 0)
        put_undo(out, job);
    else if (leaves_work(job))
        put_repair(out, id);
    put_row(out, gw_progress_is_warned(job) ? "Warning" : "Why", message);
    put_row(out, "Remedy", remedy);
    if (g_strcmp0(state, "held") == 0) {
        g_autofree char *why = gw_format_line(gw_at_text(job, "waiting_for"));
        g_autofree char *how =
            g_strdup_printf("godwit job settle %s --keep source|destination", id);
        put_row(out, "Waits for", why);
        put_row(out, "Decide by", how);
    }
    return g_string_free(out, FALSE);
}
