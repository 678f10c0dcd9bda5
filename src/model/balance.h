/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* Balancing a host group (R46): how it is to be done, and how uneven its hosts are. What the
 * figures mean is in docs/balance.md. */

typedef enum {
    GW_BALANCE_OFF,
    GW_BALANCE_RECOMMEND, /* a standing recommendation, carried out by hand */
    GW_BALANCE_AUTOMATIC, /* rounds begin by themselves */
} GwBalanceMode;
extern const GwEnum gw_balance_mode_enum;

#define GW_BALANCE_SECONDS_MAX (31 * 86400)
#define GW_BALANCE_MOVES_MAX 1000
#define GW_BALANCE_THRESHOLD_DEFAULT 15
#define GW_BALANCE_GAIN_DEFAULT 3
#define GW_BALANCE_COOL_DOWN_DEFAULT_S 21600
#define GW_BALANCE_PAUSE_DEFAULT_S 3600
#define GW_BALANCE_MOVES_DEFAULT 10

/* Of a host group. One without takes its parent's, and is balanced together with it; one that has
 * its own is balanced by itself. */
typedef struct {
    int mode;              /* GwBalanceMode */
    gint64 threshold;      /* imbalance, in percentage points, from which a round begins */
    gint64 minimum_gain;   /* of a move, in points, for each ten minutes that it takes */
    gint64 vm_cool_down_s; /* a VM that has moved is left where it is for so long */
    gint64 cool_down_s;    /* between two automatic rounds of the group */
    gint64 moves_at_most;  /* in one round */
    char *schedule;        /* when automatic rounds may begin; NULL: always */
} GwBalanceSettings;
GW_DECLARE_RECORD(GwBalanceSettings, gw_balance_settings)

/* New settings with the product's defaults: off. */
GwBalanceSettings *gw_balance_settings_new_default(void);

#define GW_SCHEDULE_LENGTH_MAX 1000
#define GW_SCHEDULE_ALWAYS "always"

/* Whether @schedule can be read: "mon-fri 20:00-06:00, sat sun 00:00-24:00 UTC". */
gboolean gw_schedule_check(const char *schedule, GError **error);
/* Whether it allows @wall_us (since 1970), in @zone (NULL: UTC) but for parts that say UTC. A span
 * that goes on after midnight belongs to the day on which it began. Without a schedule: always.
 * One that cannot be read allows nothing. */
gboolean gw_schedule_is_open(const char *schedule, gint64 wall_us, GTimeZone *zone);

/* A host before and after a plan, in percent of what it has without its reserves; -1: not known. */
typedef struct {
    char *host_id;
    char *host_name;
    double memory_before, memory_after;
    double cpu_before, cpu_after;
    double network_before, network_after;
    gint64 vms_before, vms_after; /* that run */
} GwBalanceHost;
GW_DECLARE_RECORD(GwBalanceHost, gw_balance_host)

/* What a plan does for its group; in percentage points. */
typedef struct {
    char *group_id;
    char *group_name;
    int goal; /* GwGoal */
    double imbalance_before, imbalance_after;
    double pressure_before, pressure_after; /* of memory: what hosts have beyond 90 percent */
    GPtrArray *hosts;                       /* GwBalanceHost, by name */
} GwBalanceFigures;
GW_DECLARE_RECORD(GwBalanceFigures, gw_balance_figures)
