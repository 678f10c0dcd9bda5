/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copy_open.h"
#include "agent/volume_access.h"
#include "agent/warden_internal.h"
#include "base/error.h"

/* What a volume belongs to beyond its mode (R30): looked at or set, in a thread. */

typedef struct {
    GwWarden *warden;
    guint64 call;
    char *path;
    json_t *set, *others, *answer;
    GError *error;
} Access;

static void do_access(gpointer data)
{
    Access *access = data;

    access->answer = gw_volume_access(access->path, access->set, access->others, &access->error);
}

static void free_access(Access *access)
{
    g_free(access->path);
    json_decref(access->set);
    json_decref(access->others);
    json_decref(access->answer);
    g_clear_error(&access->error);
    g_free(access);
}

static void access_done(gpointer data)
{
    Access *access = data;

    gw_warden_answer(access->warden, access->call, g_steal_pointer(&access->answer), -1,
                     access->error);
    free_access(access);
}

void gw_access_call(GwWarden *warden, guint64 id, const json_t *params)
{
    const json_t *set = json_object_get(params, "set");
    const json_t *others = json_object_get(params, "others");
    const char *path = json_string_value(json_object_get(params, "path"));
    g_autoptr(GError) error = NULL;

    if (gw_copy_check_path(path, &error)) {
        Access *access = g_new0(Access, 1);
        access->warden = warden;
        access->call = id;
        access->path = g_strdup(path);
        access->set = json_is_object(set) ? json_deep_copy(set) : NULL;
        access->others = json_is_array(others) ? json_deep_copy(others) : NULL;
        if (gw_errand(warden, do_access, access_done, access, &error))
            return;
        free_access(access);
    }
    gw_warden_answer(warden, id, NULL, -1, error);
}
