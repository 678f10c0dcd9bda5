/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "plan/reach.h"

/* Default storage locations of a host (R16): what a person may put there. */

#define LOCATIONS_MAX 64

static gboolean is_pool(const GwHostFacts *facts, const char *location)
{
    g_autofree char *clean = *location == '/' ? gw_share_clean_path(location) : NULL;

    for (guint i = 0; facts->pools != NULL && i < facts->pools->len; i++) {
        const GwPool *pool = facts->pools->pdata[i];
        g_autofree char *target =
            pool->target_path != NULL ? gw_share_clean_path(pool->target_path) : NULL;
        if (g_strcmp0(pool->name, location) == 0 ||
            (clean != NULL && g_strcmp0(target, clean) == 0))
            return TRUE;
    }
    return FALSE;
}

static char *pool_names(const GwHostFacts *facts)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (guint i = 0; facts->pools != NULL && i < facts->pools->len; i++)
        g_ptr_array_add(names, ((GwPool *)facts->pools->pdata[i])->name);
    g_ptr_array_add(names, NULL);
    return names->len > 1 ? g_strjoinv(", ", (char **)names->pdata) : g_strdup("none");
}

static gboolean check_location(const GwHost *host, const GwHostFacts *facts, const char *location,
                               GError **error)
{
    if (facts == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait until it answers, then set them.",
                     "the storage pools of host '%s' are not known yet: it has not answered",
                     host->name);
        return FALSE;
    }
    if (is_pool(facts, location))
        return TRUE;
    g_autofree char *names = pool_names(facts);
    g_autofree char *remedy = g_strdup_printf(
        "Give a storage pool or the path of one (there: %s), or make it one first: virsh "
        "pool-define-as, pool-autostart, pool-start.",
        names);
    gw_error_set(error, GW_ERR_INVALID, remedy,
                 "'%.300s' is no storage pool of host '%s', and no path of one", location,
                 host->name != NULL ? host->name : host->uri);
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
