/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "fleet/fleet_internal.h"

/* One block device has several paths (/dev/vg/lv and /dev/mapper/vg-lv, /dev/sda and the links of
 * /dev/disk/by-id), and so has a file below a linked folder. Whether a VM of the host has one under
 * another name is seen on the host alone: libvirt says which paths its VMs name, and the agent
 * which of them are the same. */

#define AT_ONCE_MAX 256               /* paths of one question */
#define AT_ONCE_BYTES_MAX (64 * 1024) /* the same */
#define SAME_US (10 * G_TIME_SPAN_SECOND)

struct GwFleetSame {
    char *path;
    GPtrArray *others; /* char *: paths that VMs name */
    GPtrArray *names;  /* char *: whose each is */
    guint first, next; /* the question that is asked: of others, from first up to next */
    void (*then)(GwFleetTask *task, const char *user, const GError *error);
};

void gw_fleet_same_free(GwFleetSame *same)
{
    if (same == NULL)
        return;
    g_free(same->path);
    g_ptr_array_unref(same->others);
    g_ptr_array_unref(same->names);
    g_free(same);
}

/* What VMs name ------------------------------------------------------------------------------- */

static void add(GwFleetSame *same, const char *path, const GwVm *vm)
{
    if (path == NULL || *path != '/' || strlen(path) > AT_ONCE_BYTES_MAX / 2 ||
        strcmp(path, same->path) == 0)
        return; /* that very path is libvirt's to judge */
    g_ptr_array_add(same->others, g_strdup(path));
    g_ptr_array_add(same->names, g_strdup(vm->name != NULL ? vm->name : vm->uuid));
}

static void add_vm(GwFleetSame *same, const GwVm *vm)
{
    add(same, vm->nvram, vm);
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        add(same, disk->source, vm);
        add(same, disk->backing_path, vm);
    }
}

/* Asking -------------------------------------------------------------------------------------- */

static void ask_some(GwFleetTask *task);

static void end(GwFleetTask *task, const char *user, const GError *error)
{
    GwFleetSame *same = g_steal_pointer(&task->same);

    same->then(task, user, error);
    gw_fleet_same_free(same);
}

/* The index in the question, or -1. */
static gint find(const GwFleetSame *same, const char *path)
{
    for (guint i = same->first; path != NULL && i < same->next; i++) {
        if (strcmp(same->others->pdata[i], path) == 0)
            return (gint)i;
    }
    return -1;
}

static char *words_of(const GwFleetSame *same, const json_t *found)
{
    json_t *item = NULL;
    gsize index = 0;

    json_array_foreach (found, index, item) {
        gint at = find(same, json_string_value(item));
        if (at >= 0)
            return g_strdup_printf("VM '%s' (as %s)", (const char *)same->names->pdata[at],
                                   (const char *)same->others->pdata[at]);
    }
    return NULL;
}

static void told(GwFleetTask *task)
{
    g_autoptr(GwJson) said = g_steal_pointer(&task->said);
    g_autoptr(GError) error = g_steal_pointer(&task->agent_error);
    const json_t *found = json_object_get(said, "same");
    g_autofree char *user = words_of(task->same, found);

    /* It is not there; or an older agent, which does not compare. */
    if (g_error_matches(error, GW_ERROR, GW_ERR_NOT_FOUND) || (error == NULL && found == NULL))
        end(task, NULL, NULL);
    else if (error != NULL || user != NULL)
        end(task, user, error);
    else
        ask_some(task);
}

static void ask_some(GwFleetTask *task)
{
    GwFleetSame *same = task->same;
    json_t *others = json_array();
    gsize bytes = 0;

    same->first = same->next;
    for (; same->next < same->others->len; same->next++) {
        const char *path = same->others->pdata[same->next];
        bytes += strlen(path);
        if (bytes > AT_ONCE_BYTES_MAX || same->next - same->first == AT_ONCE_MAX)
            break;
        json_array_append_new(others, json_string(path));
    }
    if (same->next == same->first || !gw_fleet_link_is_usable(task->host)) {
        json_decref(others);
        end(task, NULL, NULL);
        return;
    }
    task->finish = told;
    gw_fleet_task_ask_agent(task, "volume-access",
                            json_pack("{s:s, s:o}", "path", same->path, "others", others), SAME_US);
}

static void listed(GwFleetTask *task)
{
    g_autoptr(GwReply) reply = g_steal_pointer(&task->inner);

    for (guint i = 0; reply->vms != NULL && i < reply->vms->len; i++)
        add_vm(task->same, reply->vms->pdata[i]);
    if (reply->error != NULL)
        end(task, NULL, reply->error);
    else
        ask_some(task);
}

static void begin(GwFleetTask *task, const char *path,
                  void (*then)(GwFleetTask *task, const char *user, const GError *error))
{
    task->same = g_new0(GwFleetSame, 1);
    task->same->path = g_strdup(path);
    task->same->others = g_ptr_array_new_with_free_func(g_free);
    task->same->names = g_ptr_array_new_with_free_func(g_free);
    task->same->then = then;
    task->finish = listed;
    gw_fleet_task_ask_inner(task, gw_request_new(GW_OP_LIST_VMS, task->host->id, NULL));
}

/* Deleting ------------------------------------------------------------------------------------ */

static void judged(GwFleetTask *task, const char *user, const GError *error)
{
    const char *path = task->request->volume->path;
    GError *why = NULL;

    if (error != NULL)
        gw_error_set(&why, GW_ERR_CONFLICT, "Try again when the host answers.",
                     "whether '%s' is used under another name cannot be told: %s", path,
                     error->message);
    else if (user != NULL)
        gw_error_set(&why, GW_ERR_CONFLICT, "Take it out of that VM first, or keep it.",
                     "'%s' is used by %s", path, user);
    task->finish = NULL;
    if (why != NULL)
        gw_fleet_task_fail(task, why);
    else
        gw_fleet_task_pass(task);
}

void gw_fleet_volume_delete(GwFleetTask *task)
{
    const GwVolume *volume = task->request->volume;

    if (volume == NULL || volume->path == NULL || *volume->path != '/')
        gw_fleet_task_pass(task);
    else
        begin(task, volume->path, judged);
}

/* Looking ------------------------------------------------------------------------------------- */

static void looked(GwFleetTask *task, const char *user, const GError *error)
{
    GwReply *reply = g_steal_pointer(&task->held);
    GwVolume *volume = reply->volumes->pdata[0];

    if (user != NULL) /* what cannot be told is not said */
        volume->used_by = g_strdup(user);
    gw_fleet_task_answer(task, reply);
}

void gw_fleet_say_user(GwFleetTask *task, GwReply *reply)
{
    const GwVolume *volume =
        reply->volumes != NULL && reply->volumes->len == 1 ? reply->volumes->pdata[0] : NULL;

    if (volume == NULL || g_strcmp0(volume->kind, "block") != 0 || volume->path == NULL ||
        volume->used_by != NULL) {
        gw_fleet_task_answer(task, reply);
        return;
    }
    task->held = reply;
    begin(task, volume->path, looked);
}
