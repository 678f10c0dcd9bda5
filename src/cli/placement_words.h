/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "cli/args.h"

/* What is typed about placement, as fields of requests. */

/* All of an option that may be given often, each a list with commas, as an array in @body; an empty
 * text: none. Nothing where it was not given. */
void gw_put_list(const GwArgs *args, const char *option, const char *key, json_t *body);
/* --reserve-cpu, --reserve-memory, --reserve-disk, where they were given. */
gboolean gw_put_reserves(const GwArgs *args, json_t *body, GError **error);
/* Those options' rows, for hosts and host groups. */
#define GW_RESERVE_OPTIONS                                                                         \
    { "reserve-cpu", GW_OPTION_INT, "PERCENT", "CPU left alone on each host, percent.",            \
      .max = 100 },                                                                                \
        { "reserve-memory", GW_OPTION_TEXT, "SIZE",                                                \
          "Memory left alone on each host: 4GiB, 512MiB; 0: none." },                              \
    {                                                                                              \
        "reserve-disk", GW_OPTION_TEXT, "SIZE",                                                    \
            "Space left alone in each storage pool: 100GiB; 0: none."                              \
    }
