/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

#include <string.h>

const GwEnum gw_role_enum = { "Role", (const char *const[]){ "public", "read", "operate",
                                                             "administer", NULL } };

const GwRoute *const gw_routes[] = { gw_group_routes, gw_host_routes,   gw_vm_routes,
                                     gw_job_routes,   gw_kept_routes,   gw_share_routes,
                                     gw_agent_routes, gw_rule_routes,   gw_plan_routes,
                                     gw_cpu_routes,   gw_system_routes, NULL };

/* Walks pattern and segments side by side; *@id gets the segment at {id}, borrowed. */
static gboolean matches(const char *pattern, char **segments, const char **id)
{
    const char *p = pattern;

    for (guint i = 0; segments[i] != NULL; i++) {
        if (*p != '/')
            return FALSE;
        p++;
        gsize length = strcspn(p, "/");
        if (length == 4 && memcmp(p, "{id}", 4) == 0) {
            if (*segments[i] == '\0')
                return FALSE;
            *id = segments[i];
        } else if (strlen(segments[i]) != length || memcmp(p, segments[i], length) != 0) {
            return FALSE;
        }
        p += length;
    }
    return *p == '\0';
}

const GwRoute *gw_route_find(const char *method, char **segments, char **id, char **allow)
{
    g_autoptr(GString) methods = g_string_new(NULL);

    for (guint t = 0; gw_routes[t] != NULL; t++) {
        for (const GwRoute *route = gw_routes[t]; route->method != NULL; route++) {
            const char *found = NULL;
            if (!matches(route->path, segments, &found))
                continue;
            if (strcmp(route->method, method) == 0) {
                *id = g_strdup(found);
                return route;
            }
            g_string_append_printf(methods, "%s%s%s", methods->len > 0 ? ", " : "", route->method,
                                   strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
        }
    }
    *allow = methods->len > 0 ? g_strdup(methods->str) : NULL;
    return NULL;
}
