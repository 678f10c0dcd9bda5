/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/plan_progress.h"

#include <string.h>

#include "cli/format.h"
#include "model/job.h"

#define STAYS_MAX 20 /* in a summary; job show has all */

/* All but the summary's rows is from what is said of a job everywhere, also where its plan is left
 * out: that may be megabytes. */

gboolean gw_plan_progress_is(json_t *job)
{
    return json_is_object(gw_at(job, "plan_progress"));
}

gboolean gw_plan_progress_is_brief(json_t *job)
{
    return gw_plan_progress_is(job) && gw_at(job, "plan") == NULL;
}

char *gw_plan_progress_phase(json_t *job)
{
    const char *state = gw_at_text(job, "state");
    const char *phase = gw_at_text(job, "progress.phase");

    if (g_strcmp0(state, "copying") != 0 || phase == NULL || *phase == '\0')
        return gw_format_line(state);
    /* What is under way ends first: until then it is not quite paused. */
    g_autofree char *moving = gw_plan_progress_moving(job);
    if (strcmp(phase, "paused") == 0 && moving != NULL)
        return g_strdup("pausing");
    return gw_format_line(phase);
}

char *gw_plan_progress_count(json_t *job)
{
    gint64 all = gw_at_int(job, "plan_progress.vms", 0);
    return g_strdup_printf("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " VM%s",
                           gw_at_int(job, "plan_progress.vms_moved", 0), all, all == 1 ? "" : "s");
}

char *gw_plan_progress_moving(json_t *job)
{
    json_t *moving = gw_at(job, "plan_progress.moving");
    gint64 running = gw_at_int(job, "plan_progress.running", 0);
    gsize named = MIN(json_array_size(moving), GW_PLAN_MOVING_SHOWN);
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < named; i++) {
        g_autofree char *name = gw_format_line(json_string_value(json_array_get(moving, i)));
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", name);
    }
    if (running > (gint64)named && named > 0)
        g_string_append_printf(names, " and %" G_GINT64_FORMAT " more", running - (gint64)named);
    return g_string_free(names, named == 0);
}

void gw_plan_progress_facts(json_t *job, GPtrArray *facts)
{
    g_autofree char *moving = gw_plan_progress_moving(job);
    gint64 eta = gw_at_int(job, "progress.eta_ms", 0);
    g_autofree char *moved = gw_plan_progress_count(job);
    gint64 stays = gw_at_int(job, "plan_progress.stays", 0);

    g_ptr_array_add(facts, g_strdup_printf("%s moved", moved));
    if (moving != NULL)
        g_ptr_array_add(facts, g_strdup_printf("now %s", moving));
    if (eta > 0 && !gw_at_true(job, "pause_requested")) {
        g_autofree char *left = gw_format_about_ms(eta);
        g_ptr_array_add(facts, g_strdup_printf("about %s left", left));
    }
    if (stays > 0)
        g_ptr_array_add(facts, g_strdup_printf("%" G_GINT64_FORMAT " cannot move", stays));
}

static char *took_words(json_t *job)
{
    gint64 took = gw_at_int(job, "result.total_ms", 0);
    gint64 said = gw_at_int(job, "plan.total_ms.likely", 0);
    g_autofree char *total = gw_format_about_ms(took);
    g_autofree char *planned = gw_format_about_ms(said);

    if (took <= 0)
        return NULL;
    return said > 0 ? g_strdup_printf("%s; planned: about %s", total, planned)
                    : g_steal_pointer(&total);
}

/* The first is in the job's error already. */
static void put_stays(json_t *stays, GString *out, GwPlanProgressRow put)
{
    gsize count = json_array_size(stays);

    for (gsize i = 1; i < MIN(count, STAYS_MAX); i++) {
        json_t *stay = json_array_get(stays, i);
        g_autofree char *name = gw_format_line(gw_at_text(stay, "vm_name"));
        g_autofree char *why = gw_format_line(gw_at_text(stay, "why"));
        g_autofree char *words = g_strdup_printf("%s: %s", name, why);
        put(out, "Stays", words);
    }
    if (count > STAYS_MAX) {
        g_autofree char *more = g_strdup_printf("%" G_GSIZE_FORMAT " more", count - STAYS_MAX);
        put(out, "Stays", more);
    }
}

void gw_plan_progress_result(json_t *job, GString *out, GwPlanProgressRow put)
{
    g_autofree char *count = gw_plan_progress_count(job);
    g_autofree char *took = took_words(job);

    put(out, "Moved", count);
    put(out, "Took", took);
    put_stays(gw_at(job, "plan.stays"), out, put);
}
