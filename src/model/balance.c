/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/balance.h"

#include "model/placement.h"

const GwEnum gw_balance_mode_enum = { "BalanceMode", (const char *const[]){ "off", "recommend",
                                                                            "automatic", NULL } };

GW_DEFINE_RECORD(
    GwBalanceSettings, gw_balance_settings, "BalanceSettings", "How a host group is balanced.",
    GW_F(GwBalanceSettings, mode, GW_ENUM, .of_enum = &gw_balance_mode_enum,
         .doc = "off; recommend: what to move is shown; automatic: it is moved as well."),
    GW_F(GwBalanceSettings, threshold, GW_INT, .max = 100,
         .doc = "Imbalance from which an automatic round begins, percentage points."),
    GW_F(GwBalanceSettings, minimum_gain, GW_INT, .max = 100,
         .doc = "What a move evens out at least for each ten minutes that it takes, points."),
    GW_F(GwBalanceSettings, vm_cool_down_s, GW_INT, .max = GW_BALANCE_SECONDS_MAX,
         .doc = "How long a VM that has moved is left where it is, seconds."),
    GW_F(GwBalanceSettings, cool_down_s, GW_INT, .max = GW_BALANCE_SECONDS_MAX,
         .doc = "How long after a round the next automatic one begins at the earliest, seconds."),
    GW_F(GwBalanceSettings, moves_at_most, GW_INT, .min = 1, .max = GW_BALANCE_MOVES_MAX,
         .doc = "VMs that one round moves at most."),
    GW_F(GwBalanceSettings, schedule, GW_STRING,
         .doc = "When automatic rounds may begin (mon-fri 20:00-06:00); absent, or always: at any "
                "time."));

GwBalanceSettings *gw_balance_settings_new_default(void)
{
    GwBalanceSettings *settings = gw_balance_settings_new();

    settings->mode = GW_BALANCE_OFF;
    settings->threshold = GW_BALANCE_THRESHOLD_DEFAULT;
    settings->minimum_gain = GW_BALANCE_GAIN_DEFAULT;
    settings->vm_cool_down_s = GW_BALANCE_COOL_DOWN_DEFAULT_S;
    settings->cool_down_s = GW_BALANCE_PAUSE_DEFAULT_S;
    settings->moves_at_most = GW_BALANCE_MOVES_DEFAULT;
    return settings;
}

#define LOAD(what, when)                                                                           \
    "Load of " what " " when " the plan, percent of what there is without reserves; -1: not "      \
    "known."

GW_DEFINE_RECORD(GwBalanceHost, gw_balance_host, "BalanceHost", "A host before and after a plan.",
                 GW_F(GwBalanceHost, host_id, GW_STRING, .doc = "The host's id."),
                 GW_F(GwBalanceHost, host_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwBalanceHost, memory_before, GW_DOUBLE, .doc = LOAD("memory", "before")),
                 GW_F(GwBalanceHost, memory_after, GW_DOUBLE, .doc = LOAD("memory", "after")),
                 GW_F(GwBalanceHost, cpu_before, GW_DOUBLE, .doc = LOAD("CPU", "before")),
                 GW_F(GwBalanceHost, cpu_after, GW_DOUBLE, .doc = LOAD("CPU", "after")),
                 GW_F(GwBalanceHost, network_before, GW_DOUBLE, .doc = LOAD("network", "before")),
                 GW_F(GwBalanceHost, network_after, GW_DOUBLE, .doc = LOAD("network", "after")),
                 GW_F(GwBalanceHost, vms_before, GW_INT,
                      .doc = "VMs that run there before the plan."),
                 GW_F(GwBalanceHost, vms_after, GW_INT, .doc = "VMs that run there after it."));

GW_DEFINE_RECORD(
    GwBalanceFigures, gw_balance_figures, "BalanceFigures", "What a plan does for its host group.",
    GW_F(GwBalanceFigures, group_id, GW_STRING, .doc = "The host group's id."),
    GW_F(GwBalanceFigures, group_name, GW_STRING, .doc = "Its name."),
    GW_F(GwBalanceFigures, goal, GW_ENUM, .of_enum = &gw_goal_enum, .doc = "balance or fill."),
    GW_F(GwBalanceFigures, imbalance_before, GW_DOUBLE,
         .doc = "How far hosts are from the even load before the plan, percentage points."),
    GW_F(GwBalanceFigures, imbalance_after, GW_DOUBLE, .doc = "The same after it."),
    GW_F(GwBalanceFigures, pressure_before, GW_DOUBLE,
         .doc = "Memory in use beyond 90 percent, summed over hosts, percentage points."),
    GW_F(GwBalanceFigures, pressure_after, GW_DOUBLE, .doc = "The same after it."),
    GW_F(GwBalanceFigures, hosts, GW_ARRAY, .of = &gw_balance_host_record,
         .doc = "The hosts that were looked at, by name."));
