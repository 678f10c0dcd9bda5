/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A day of a simulated data centre: bench/run day. Prints one JSON object; what was broken goes to
 * stderr, and makes it fail. */
#include <stdio.h>

#include "bench/day.h"

int main(int argc, char **argv)
{
    gint hosts = 1000, vms = 10000, minutes = DAY_MINUTES, step = 30, pause = 60, seed = 1;
    gboolean verbose = FALSE;
    const GOptionEntry entries[] = {
        { "hosts", 0, 0, G_OPTION_ARG_INT, &hosts, "of the fabric (1000)", "N" },
        { "vms", 0, 0, G_OPTION_ARG_INT, &vms, "of the fabric (10000)", "N" },
        { "minutes", 0, 0, G_OPTION_ARG_INT, &minutes, "of the day (1440)", "N" },
        { "step", 0, 0, G_OPTION_ARG_INT, &step, "seconds between two looks (30)", "N" },
        { "pause", 0, 0, G_OPTION_ARG_INT, &pause, "minutes between two racks (60)", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of everything (1)", "N" },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "say what happens", NULL },
        { .long_name = NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("");
    g_autoptr(GPtrArray) broken = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || hosts < 4 || hosts > 1000 ||
        vms < 1 || vms > 10000 || minutes < 1 || minutes > 100000 || step < 1 || step > 600 ||
        pause < 1 || pause > 100000) {
        fprintf(stderr, "bench-day: %s\n", error != NULL ? error->message : "wrong numbers");
        return 2;
    }
    const DayOptions options = { .seed = (guint32)seed,
                                 .hosts = (guint)hosts,
                                 .vms = (guint)vms,
                                 .minutes = (guint)minutes,
                                 .step_s = (guint)step,
                                 .pause_minutes = (guint)pause,
                                 .verbose = verbose };
    g_autoptr(GwJson) report = day_run(&options, broken);
    g_autofree char *text = gw_json_text(report);
    puts(text);
    for (guint i = 0; i < broken->len; i++)
        fprintf(stderr, "%s\n", (char *)broken->pdata[i]);
    return broken->len > 0 ? 1 : 0;
}
