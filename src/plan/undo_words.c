/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/undo.h"

#include <string.h>

#include "plan/rule.h"

const char *gw_undo_host(const GwFabric *fabric, const char *host_id)
{
    const GwHost *host = gw_fabric_host(fabric, host_id);
    return host != NULL ? gw_plan_host_name(host) : gw_plan_text(host_id);
}

const GwVolume *gw_undo_old_place(const GwDiskMove *move)
{
    if (!gw_plan_is_copied(move) || move->images == NULL || move->images->len == 0)
        return NULL;
    const GwImageMove *top = gw_disk_move_top(move);
    return top->to != NULL ? top->from : NULL;
}

static char *place_words(const GwVolume *volume)
{
    if (volume->pool == NULL)
        return g_strdup(gw_plan_text(volume->path));
    return g_strdup_printf("%s/%s", volume->pool, gw_plan_text(volume->name));
}

static const GwKeptVolume *kept_of(const GwFabric *fabric, const GwJob *job, const char *target,
                                   const GwVolume *old)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (kept->volume != NULL && g_strcmp0(kept->vm_uuid, job->vm_uuid) == 0 &&
            g_strcmp0(kept->host_id, job->source_host_id) == 0 &&
            g_strcmp0(kept->target, target) == 0 && g_strcmp0(kept->volume->pool, old->pool) == 0 &&
            (old->pool != NULL ? g_strcmp0(kept->volume->name, old->name) == 0
                               : g_strcmp0(kept->volume->path, old->path) == 0))
            return kept;
    }
    return NULL;
}

char *gw_undo_copy_words(const GwFabric *fabric, const GwJob *job, const GwDiskMove *move,
                         const GwVm *vm)
{
    const GwVolume *old = gw_undo_old_place(move);
    const GwKeptVolume *kept = kept_of(fabric, job, move->target, old);
    gboolean one_host = g_strcmp0(job->source_host_id, job->destination_host_id) == 0;
    const GwVolume *now = gw_disk_move_top(move)->to;
    gboolean chain = move->images->len > 1 && !gw_disk_move_is_delta(move);
    /* As the planner decides it: only a file's copy can be compared with an old one. */
    gboolean comparable =
        kept != NULL && (!gw_plan_is_live(vm) || (!chain && gw_plan_is_comparable(fabric, kept)));
    gboolean delta = comparable && !one_host && g_strcmp0(old->format, now->format) == 0 &&
                     old->capacity_bytes == now->capacity_bytes;
    g_autofree char *from = place_words(now);
    g_autofree char *to = place_words(old);

    return g_strdup_printf("Copy %s from %s of %s back to %s of %s, %s", gw_plan_text(move->target),
                           from, gw_undo_host(fabric, job->destination_host_id), to,
                           gw_undo_host(fabric, job->source_host_id),
                           delta          ? "onto the copy that was kept there: only what changed "
                                            "since"
                           : kept != NULL ? "in place of the copy that was kept there"
                                          : "made anew: no copy was kept there");
}

char *gw_undo_left_words(const GwFabric *fabric, const GwJob *job, const GwTask *task)
{
    const char *on = gw_undo_host(fabric, task->host_id);
    gboolean begun = task->state == (int)GW_TASK_DOING || task->state == (int)GW_TASK_UNDOING;
    gboolean made =
        task->made && (task->state == (int)GW_TASK_DONE || task->state == (int)GW_TASK_FAILED);

    if (task->turn != (int)GW_TASK_BEFORE || (!begun && !made))
        return NULL;
    if (task->kind == (int)GW_TASK_VOLUME_CREATE && task->volume != NULL) {
        g_autofree char *what = place_words(task->volume);
        return g_strdup_printf("Delete %s of %s, made for %s%s", what, on,
                               gw_plan_text(task->target), begun ? ", if it is there" : "");
    }
    if (task->kind == (int)GW_TASK_DEFINE)
        return g_strdup_printf("Remove the definition of %s from %s", gw_plan_text(job->vm_name),
                               on);
    if (task->kind == (int)GW_TASK_OVERLAY && task->volume != NULL) {
        g_autofree char *what = place_words(task->volume);
        return g_strdup_printf("Merge %s of %s into the image below it; %s has to run", what, on,
                               gw_plan_text(job->vm_name));
    }
    if (task->kind == (int)GW_TASK_SNAPSHOTS_FORGET)
        return g_strdup_printf("Give the records of its snapshots back to %s", on);
    if (task->kind == (int)GW_TASK_HBA_START && task->volume != NULL)
        return g_strdup_printf("Log virtual HBA '%s' out at %s, and remove its definition there",
                               gw_plan_text(task->volume->pool), on);
    if (task->kind == (int)GW_TASK_HBA_STOP && task->volume != NULL)
        return g_strdup_printf("Log virtual HBA '%s' in at %s again",
                               gw_plan_text(task->volume->pool), on);
    return NULL;
}

/* Without its volume, which a damaged store may not tell, nothing may be said of the VM instead. */
static gboolean is_of_volume(const GwTask *task)
{
    return task->kind == (int)GW_TASK_VOLUME_KEEP || task->kind == (int)GW_TASK_VOLUME_DELETE ||
           task->kind == (int)GW_TASK_HBA_FORGET;
}

static char *finish_words(const char *what, const char *on)
{
    return g_strdup_printf("Finish what was begun for %s on %s", what, on);
}

char *gw_undo_task_words(const GwFabric *fabric, const GwJob *job, const GwTask *task,
                         GwLeftWay way)
{
    const char *on = gw_undo_host(fabric, task->host_id);
    g_autofree char *what =
        task->volume != NULL ? place_words(task->volume) : g_strdup(gw_plan_text(job->vm_name));

    if (task->volume == NULL && (way == GW_LEFT_BEHIND || is_of_volume(task)))
        return finish_words(what, on);
    if (way == GW_LEFT_BEHIND)
        return g_strdup_printf("Delete %s of %s, made for %s, if no VM of any host that reaches it "
                               "uses it: %s has moved on since",
                               what, on, gw_plan_text(task->target), gw_plan_text(job->vm_name));
    switch ((GwTaskKind)task->kind) {
    case GW_TASK_VOLUME_KEEP:
        return g_strdup_printf("Keep %s of %s as the old copy of %s for as long as its policy says",
                               what, on, gw_plan_text(task->target));
    case GW_TASK_VOLUME_DELETE:
        return g_strdup_printf("Delete %s of %s, the old copy of %s", what, on,
                               gw_plan_text(task->target));
    case GW_TASK_SNAPSHOTS_REMEMBER:
        return g_strdup_printf("Give the records of its snapshots to %s", on);
    case GW_TASK_HBA_FORGET:
        return g_strdup_printf("Remove the definition of virtual HBA '%s' from %s",
                               gw_plan_text(task->volume->pool), on);
    case GW_TASK_AUTOSTART:
        return g_strdup_printf("Let %s start with %s", gw_plan_text(job->vm_name), on);
    default:
        return finish_words(what, on);
    }
}

char *gw_undo_plan_remedy(const GwFabric *fabric, const GwJob *job)
{
    gboolean drain = g_strcmp0(job->kind, GW_JOB_KIND_DRAIN) == 0;
    char **hosts = job->plan->request != NULL ? job->plan->request->hosts : NULL;
    GString *text = NULL;

    if ((!drain && g_strcmp0(job->kind, GW_JOB_KIND_UNDRAIN) != 0) || hosts == NULL ||
        hosts[0] == NULL)
        return g_strdup("Undo its moves one by one: godwit job list.");
    text = g_string_new(drain ? "Bring its VMs back by a plan: godwit host undrain"
                              : "Take its VMs away again by a plan: godwit host drain");
    for (guint i = 0; hosts[i] != NULL; i++)
        g_string_append_printf(text, " %s", gw_undo_host(fabric, hosts[i]));
    g_string_append_c(text, '.');
    return g_string_free(text, FALSE);
}
