/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "fleet/fleet_internal.h"

/* What a volume belongs to beyond its mode (R30): libvirt does not say, its host's agent does. */

#define VOLUMES_MAX 32 /* of one chain: as many are asked for */
#define LOOK_US (5 * G_TIME_SPAN_SECOND)

static void ask_access(GwFleetTask *task);

static void take(char **into, const json_t *said, const char *key)
{
    if (*into == NULL)
        *into = gw_fleet_read_text(said, key);
}

static void access_came(GwFleetTask *task)
{
    GwVolume *volume = task->inner->volumes->pdata[task->index++];

    take(&volume->owner, task->said, "owner");
    take(&volume->group, task->said, "group");
    take(&volume->mode, task->said, "mode");
    take(&volume->label, task->said, "label");
    take(&volume->acl, task->said, "acl");
    g_clear_pointer(&task->said, json_decref);
    g_clear_error(&task->agent_error); /* best effort: libvirt's word stays */
    ask_access(task);
}

static void ask_access(GwFleetTask *task)
{
    const GPtrArray *volumes = task->inner->volumes;

    while (volumes != NULL && task->index < MIN(volumes->len, VOLUMES_MAX)) {
        const GwVolume *volume = volumes->pdata[task->index];
        if (g_strcmp0(volume->kind, "file") == 0 && volume->path != NULL &&
            gw_fleet_link_is_usable(task->host)) {
            task->finish = access_came;
            gw_fleet_task_ask_agent(task, "volume-access", json_pack("{s:s}", "path", volume->path),
                                    LOOK_US);
            return;
        }
        task->index++;
    }
    if (task->alone)
        gw_fleet_say_user(task, g_steal_pointer(&task->inner));
    else
        gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

void gw_fleet_volume_look(GwFleetTask *task)
{
    task->alone = task->request->number != 1;
    task->finish = ask_access;
    gw_fleet_task_pass(task);
}
