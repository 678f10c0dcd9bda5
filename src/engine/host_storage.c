/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "plan/plan.h"

/* Default storage locations of a host (R16): what a person may put there. */

#define LOCATIONS_MAX 64

static gboolean check_location(const GwHost *host, const GwHostFacts *facts, const char *location,
                               GError **error)
{
    if (facts == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait until it answers, then set them.",
                     "the storage pools of host '%s' are not known yet: it has not answered",
                     host->name);
        return FALSE;
    }
    const GwHost known = { .name = host->name, .uri = host->uri, .facts = (GwHostFacts *)facts };
    g_autoptr(GError) why = NULL;
    if (gw_plan_find_storage(&known, location, &why) != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, gw_error_remedy(why), "default storage location: %s",
                 why->message);
    return FALSE;
}

gboolean gw_hosts_check_storage(const GwHost *host, const GwHost *old, const GwHostFacts *facts,
                                GError **error)
{
    char **wanted = host->default_storage;
    guint count = wanted != NULL ? g_strv_length(wanted) : 0;

    if (count > LOCATIONS_MAX) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "%u default storage locations are given, and at most %d are kept", count,
                     LOCATIONS_MAX);
        return FALSE;
    }
    for (guint i = 0; i < count; i++) {
        if (g_strv_contains((const char *const *)wanted + i + 1, wanted[i])) {
            gw_error_set(error, GW_ERR_INVALID, "Give each of them once.",
                         "the default storage location '%.300s' is given twice", wanted[i]);
            return FALSE;
        }
        /* A pool that has gone since must not be in the way of another change. */
        gboolean was = old != NULL && old->default_storage != NULL &&
                       g_strv_contains((const char *const *)old->default_storage, wanted[i]);
        if (!was && !check_location(host, facts, wanted[i], error))
            return FALSE;
    }
    return TRUE;
}
