/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_words.h"

static void add_move(GString *out, guint number, const GwPlannedMove *move)
{
    g_string_append_printf(out, "%2u. wave %" G_GINT64_FORMAT, number, move->wave);
    if (move->after > 0)
        g_string_append_printf(out, ", after %" G_GINT64_FORMAT, move->after);
    g_string_append_printf(out, "  %.1f-%.1f s  %s: %s -> %s  %s", (double)move->starts_ms / 1000,
                           (double)move->ends_ms / 1000, move->vm_name, move->source_host_name,
                           move->destination_host_name,
                           gw_enum_word(&gw_transfer_enum, move->transfer));
    if (move->storage != NULL)
        g_string_append_printf(out, " to pool %s", move->storage);
    g_string_append_printf(out, "  %.1f stars%s", move->stars, move->detour ? "  (detour)" : "");
    if (move->gain > 0)
        g_string_append_printf(out, "  gains %.1f points", move->gain);
    g_string_append_printf(out, "\n    %s\n", move->why);
    if (move->doubt != NULL)
        g_string_append_printf(out, "    in doubt: %s\n", move->doubt);
}

static void add_stay(GString *out, const GwPlannedStay *stay)
{
    g_string_append_printf(out, "stays: %s on %s\n    %s\n", stay->vm_name, stay->host_name,
                           stay->why);
    for (guint i = 0; i < stay->findings->len; i++) {
        const GwFinding *f = stay->findings->pdata[i];
        g_string_append_printf(out,
                               "    %s (%s)\n      observed: %s\n      required: %s\n"
                               "      remedy:   %s\n",
                               f->rule, f->requirement, f->observed, f->required, f->remedy);
    }
}

static void add_load(GString *out, const char *what, double before, double after)
{
    if (before >= 0)
        g_string_append_printf(out, "  %s %.1f -> %.1f %%", what, before, after);
}

static void add_balance(GString *out, const GwBalanceFigures *balance)
{
    g_string_append_printf(out, "%s of %s: imbalance %.1f -> %.1f, pressure %.1f -> %.1f points\n",
                           gw_enum_word(&gw_goal_enum, balance->goal), balance->group_name,
                           balance->imbalance_before, balance->imbalance_after,
                           balance->pressure_before, balance->pressure_after);
    for (guint i = 0; i < balance->hosts->len; i++) {
        const GwBalanceHost *host = balance->hosts->pdata[i];
        g_string_append_printf(out, "  %s", host->host_name);
        add_load(out, "memory", host->memory_before, host->memory_after);
        add_load(out, "CPU", host->cpu_before, host->cpu_after);
        add_load(out, "network", host->network_before, host->network_after);
        g_string_append_printf(out, "  VMs %" G_GINT64_FORMAT " -> %" G_GINT64_FORMAT "\n",
                               host->vms_before, host->vms_after);
    }
}

char *plan_words(const GwMigrationPlan *plan)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(
        out,
        "%s: %u moves in %" G_GINT64_FORMAT " waves, %u stay; %.1f s (%.1f-%.1f), "
        "at least %.1f s\n",
        gw_enum_word(&gw_plan_kind_enum, plan->kind), plan->moves->len, plan->waves,
        plan->stays->len, (double)plan->total_ms->likely / 1000, (double)plan->total_ms->low / 1000,
        (double)plan->total_ms->high / 1000, (double)plan->lower_bound_ms / 1000);
    if (plan->balance != NULL)
        add_balance(out, plan->balance);
    for (guint i = 0; i < plan->moves->len; i++)
        add_move(out, i + 1, plan->moves->pdata[i]);
    for (guint i = 0; i < plan->stays->len; i++)
        add_stay(out, plan->stays->pdata[i]);
    for (guint i = 0; plan->notes != NULL && plan->notes[i] != NULL; i++)
        g_string_append_printf(out, "note: %s\n", plan->notes[i]);
    return g_string_free(out, FALSE);
}
