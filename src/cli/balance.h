/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"
#include "model/balance.h"

/* How a host group is balanced, as people say it (options of "group set") and read it. */

/* What was given of the settings, into @body's "balance". */
gboolean gw_put_balance(const GwArgs *args, json_t *body, GError **error);
#define GW_BALANCE_OPTIONS                                                                         \
    { "balance", GW_OPTION_CHOICE, NULL,                                                           \
      "How it is balanced: off, recommend (what to move is shown) or automatic.",                  \
      .of_enum = &gw_balance_mode_enum },                                                          \
        { "balance-threshold", GW_OPTION_INT, "POINTS",                                            \
          "The imbalance from which an automatic round begins, percentage points.", .max = 100 },  \
        { "balance-gain", GW_OPTION_INT, "POINTS",                                                 \
          "What a move has to even out at least for each ten minutes that it takes.",              \
          .max = 100 },                                                                            \
        { "balance-moves",                                                                         \
          GW_OPTION_INT,                                                                           \
          "N",                                                                                     \
          "At most so many VMs in one round.",                                                     \
          .min = 1,                                                                                \
          .max = GW_BALANCE_MOVES_MAX },                                                           \
        { "balance-cool-down", GW_OPTION_TEXT, "TIME",                                             \
          "How long a VM that has moved is left where it is, as in 6h; none." },                   \
        { "balance-pause", GW_OPTION_TEXT, "TIME",                                                 \
          "The least time between two automatic rounds, as in 1h; none." },                        \
        { "balance-schedule", GW_OPTION_TEXT, "TIMES",                                             \
          "When automatic rounds may begin, as in \"mon-fri 20:00-06:00\"; always." },             \
    {                                                                                              \
        "balance-inherit", GW_OPTION_FLAG, NULL, "Balance it together with its parent again."      \
    }

/* "34.0 -> 3.1 points": @path ends in "before", beside it is "after". */
char *gw_show_points(GwSession *session, json_t *row, const char *path);
/* The hosts before and after @plan; nothing where it is no balance. */
void gw_print_balance_hosts(GwSession *session, json_t *plan);
/* A BalanceStatus. */
void gw_print_balance(GwSession *session, json_t *status);
