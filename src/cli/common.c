/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/columns.h"
#include "cli/follow.h"
#include "cli/format.h"

gboolean gw_require_change(json_t *body, GError **error)
{
    if (json_object_size(body) > 0)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Give at least one option; --help lists them.",
                 "there is nothing to change");
    return FALSE;
}

int gw_missing_option(const char *command, const char *option, const char *remedy, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s: --%s is missing", command, option);
    return GW_EXIT_USAGE;
}

int gw_remove_record(GwSession *session, const char *collection, const char *what,
                     const char *which, GError **error)
{
    g_autofree char *path = gw_session_find_path(session, collection, what, which, error);
    if (path == NULL)
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) answer = gw_client_call(session->client, "DELETE", path, NULL, NULL, error);

    if (answer != NULL)
        gw_say(session, "Removed: %s %s", what, which);
    return GW_EXIT_OK;
}

json_t *gw_post_action(GwSession *session, const char *collection, const char *what,
                       const char *which, const char *action, json_t *body, GError **error)
{
    g_autofree char *path = gw_session_find_path(session, collection, what, which, error);
    if (path == NULL)
        return NULL;
    g_autofree char *whole = g_strconcat(path, action, NULL);
    return gw_client_call(session->client, "POST", whole, body, NULL, error);
}

int gw_wait_for_job(GwSession *session, const GwArgs *args, json_t *job, GError **error)
{
    g_autoptr(GwJson) jobs = json_pack("[O]", job);

    if (!gw_args_has(args, "no-wait"))
        return gw_follow_jobs(session, jobs, error);
    if (!gw_print_record(session, job)) {
        g_autofree char *id = gw_format_line(gw_at_text(job, "id"));
        g_print("%s\n", id);
    }
    return GW_EXIT_OK;
}
