/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/undo.h"

#include <string.h>

#include "plan/rule.h"

/* What undoing a job would be now: the way back of one that is done, the repair of one that failed.
 * Whether the way back is open is the preflight's to say, when it is asked for. */

static void refuse(GwUndoPlan *plan, char *why, char *remedy)
{
    plan->why_not = why;
    plan->remedy = remedy;
}

static gboolean is_move(const GwJob *job)
{
    static const char *const kinds[] = { GW_JOB_KIND_MIGRATE, GW_JOB_KIND_TRANSFER,
                                         GW_JOB_KIND_STORAGE, NULL };
    return job->kind != NULL && g_strv_contains(kinds, job->kind);
}

static gboolean is_within(const GwJob *job)
{
    return g_strcmp0(job->kind, GW_JOB_KIND_STORAGE) == 0;
}

static const GwJob *find(const GwFabric *fabric, const char *id)
{
    return id != NULL ? g_hash_table_lookup(fabric->jobs, id) : NULL;
}

/* Jobs that cannot be undone whatever has become of them. */
static gboolean check_kind(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job)
{
    if (is_move(job))
        return TRUE;
    if (g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) == 0)
        refuse(plan, g_strdup("what it removed is gone"),
               g_strdup("Keep old copies for longer: godwit host set HOST --keep-source 7d."));
    else if (g_strcmp0(job->kind, GW_JOB_KIND_REPAIR) == 0)
        refuse(plan, g_strdup("it only removed what another job had left"),
               g_strdup("There is nothing to do."));
    else if (g_strcmp0(job->kind, GW_JOB_KIND_PROVE) == 0)
        refuse(plan, g_strdup("it looked at a share, and changed nothing"),
               g_strdup("To forget the share: godwit share remove SHARE."));
    else if (job->plan != NULL)
        refuse(plan, g_strdup("it carries out a plan of many moves, each of which is a job"),
               gw_undo_plan_remedy(fabric, job));
    else
        refuse(plan,
               g_strdup_printf("a job of kind '%s' changes nothing that could be taken back",
                               gw_plan_text(job->kind)),
               g_strdup("There is nothing to do."));
    return FALSE;
}

static gboolean check_over(GwUndoPlan *plan, const GwJob *job)
{
    if (gw_job_state_is_final((GwJobState)job->state))
        return TRUE;
    if (job->state == (int)GW_JOB_HELD)
        refuse(plan, g_strdup("it is held, and waits for an answer"),
               g_strdup_printf("Answer it first: godwit job settle %s.", job->id));
    else
        refuse(plan,
               g_strdup_printf("it is not over (%s)", gw_enum_word(&gw_job_state_enum, job->state)),
               g_strdup_printf("Wait for it, or cancel it: godwit job cancel %s.", job->id));
    return FALSE;
}

/* A try that failed may be made again. */
static gboolean check_not_undone(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job)
{
    const GwJob *by = find(fabric, job->undone_by);

    if (job->undone_by == NULL ||
        (by != NULL && (by->state == (int)GW_JOB_FAILED || by->state == (int)GW_JOB_CANCELLED)))
        return TRUE;
    gboolean under_way = by != NULL && !gw_job_state_is_final((GwJobState)by->state);
    refuse(plan,
           g_strdup_printf("it %s undone by job %s", under_way ? "is being" : "was already",
                           job->undone_by),
           under_way ? g_strdup_printf("Wait for that job: godwit job show %s.", job->undone_by)
                     : g_strdup_printf("To have it again, undo that one: godwit job undo %s.",
                                       job->undone_by));
    return FALSE;
}

/* Whether what @later did is in force: not where it was undone, nor where it is the undoing of
 * something later than @job. */
static gboolean counts_after(const GwFabric *fabric, const GwJob *job, const GwJob *later)
{
    const GwJob *by = find(fabric, later->undone_by);

    if (later->state != (int)GW_JOB_DONE || !is_move(later) ||
        g_strcmp0(later->vm_uuid, job->vm_uuid) != 0 || g_strcmp0(later->id, job->id) <= 0)
        return FALSE;
    if (by != NULL && by->state == (int)GW_JOB_DONE)
        return FALSE;
    return later->undoes == NULL || g_strcmp0(later->undoes, job->id) <= 0;
}

static const GwJob *last_after(const GwFabric *fabric, const GwJob *job)
{
    const GwJob *last = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (counts_after(fabric, job, value) &&
            (last == NULL || g_strcmp0(((const GwJob *)value)->id, last->id) > 0))
            last = value;
    }
    return last;
}

static const GwVm *anywhere(const GwFabric *fabric, const char *uuid)
{
    GHashTableIter iter;
    gpointer host;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, &host, NULL)) {
        const GwVm *vm = uuid != NULL ? gw_fabric_vm(fabric, host, uuid) : NULL;
        if (vm != NULL)
            return vm;
    }
    return NULL;
}

/* The VM where the job left it; NULL: it is not, and @plan says why. */
static const GwVm *where_left(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job)
{
    const char *name = gw_plan_text(job->vm_name);
    const char *on = gw_undo_host(fabric, job->destination_host_id);
    const GwVm *vm = gw_fabric_vm(fabric, job->destination_host_id, job->vm_uuid);
    const GwVm *other = vm == NULL ? anywhere(fabric, job->vm_uuid) : NULL;
    const GwJob *later = last_after(fabric, job);

    if (later != NULL)
        refuse(plan, g_strdup_printf("%s was moved again since, by job %s", name, later->id),
               g_strdup_printf("Undo that one first: godwit job undo %s.", later->id));
    else if (gw_fabric_host(fabric, job->source_host_id) == NULL)
        refuse(plan,
               g_strdup_printf("%s, where it came from, is no longer managed",
                               gw_undo_host(fabric, job->source_host_id)),
               g_strdup("Add that host again, or move the VM elsewhere: godwit vm migrate."));
    else if (other != NULL)
        refuse(plan,
               g_strdup_printf("%s is not on %s any more, but on %s", name, on,
                               gw_undo_host(fabric, other->host_id)),
               g_strdup("Move it where it is to be: godwit vm migrate."));
    else if (vm == NULL)
        refuse(plan,
               g_strdup_printf("%s is on no managed host: it was deleted, or its host does "
                               "not answer",
                               name),
               g_strdup("If it is on a host that does not answer, see to that first: godwit host "
                        "list."));
    return plan->why_not == NULL ? vm : NULL;
}

/* The disk back to its pool, name and format. NULL: it has no such place to be named by. */
static GwDiskChoice *choice_back(const GwDiskMove *move)
{
    const GwVolume *old = gw_undo_old_place(move);
    const GwVolume *now = gw_disk_move_top(move)->to;
    gboolean device = old->pool == NULL && g_strcmp0(old->kind, "block") == 0;

    if (old->pool == NULL && !device)
        return NULL;
    GwDiskChoice *choice = gw_disk_choice_new();
    choice->target = g_strdup(move->target);
    choice->storage = g_strdup(device ? old->path : old->pool);
    if (!device)
        choice->name = g_strdup(old->name);
    if (old->format != NULL && g_strcmp0(old->format, now->format) != 0)
        choice->format = g_strdup(old->format);
    return choice;
}

/* Takes over @line. */
static void say(GStrvBuilder *steps, char *line)
{
    g_strv_builder_add(steps, line);
    g_free(line);
}

/* The choices that bring the copied disks back, each said in @steps. FALSE: one has no way back
 * within its host. */
static gboolean bring_back(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job,
                           const GwVm *vm, GPtrArray *choices, GStrvBuilder *steps)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        const GwDiskMove *move = job->disks->pdata[i];
        const GwVolume *old = gw_undo_old_place(move);
        if (old == NULL ||
            gw_record_find(&gw_disk_record, vm->disks, "target", move->target) == NULL)
            continue; /* it stayed, or is no disk, or is not in the VM any more */
        GwDiskChoice *choice = choice_back(move);
        if (choice != NULL) {
            g_ptr_array_add(choices, choice);
            say(steps, gw_undo_copy_words(fabric, job, move, vm));
        } else if (is_within(job)) {
            g_autofree char *dir = g_path_get_dirname(gw_plan_text(old->path));
            refuse(plan,
                   g_strdup_printf("disk %s was at %s, which is in no pool of %s",
                                   gw_plan_text(move->target), gw_plan_text(old->path),
                                   gw_undo_host(fabric, vm->host_id)),
                   g_strdup_printf("Make %s a pool there, and move the disk to it: godwit vm "
                                   "migrate-storage.",
                                   dir));
            return FALSE;
        } else {
            say(steps, g_strdup_printf("Copy %s back to %s, to a default place: %s is in no pool",
                                       move->target, gw_undo_host(fabric, job->source_host_id),
                                       gw_plan_text(old->path)));
        }
    }
    return TRUE;
}

/* Every adapter to what it was on, said where that is something else: the same names might mean
 * another network by now, and what the rules would choose is not asked. */
static GPtrArray *nics_back(const GwFabric *fabric, const GwJob *job, const GwVm *vm,
                            GStrvBuilder *steps)
{
    GPtrArray *choices = gw_record_array(&gw_nic_choice_record);

    for (guint i = 0; job->nics != NULL && i < job->nics->len; i++) {
        const GwNicMove *move = job->nics->pdata[i];
        const GwNic *old = move->from;
        if (!move->changes || move->mac == NULL || old == NULL ||
            gw_record_find(&gw_nic_record, vm->nics, "mac", move->mac) == NULL)
            continue;
        gboolean none = gw_nic_is_none(old);
        if (!none && g_strcmp0(old->type, "network") != 0 && g_strcmp0(old->type, "bridge") != 0)
            continue; /* no such adapter is made by a move */
        GwNicChoice *choice = gw_nic_choice_new();
        choice->mac = g_strdup(move->mac);
        choice->none = none;
        if (!none) {
            choice->network = g_strdup(old->source);
            choice->kind = g_strdup(g_strcmp0(old->type, "bridge") == 0 ? "bridge" : "libvirt");
            choice->port_group = g_strdup(old->port_group);
            choice->link_down = old->link_down;
        }
        g_ptr_array_add(choices, choice);
        g_autofree char *where =
            none ? g_strdup("nothing") : g_strdup_printf("%s '%s'", old->type, old->source);
        say(steps, g_strdup_printf("Attach adapter %s to %s of %s again", move->mac, where,
                                   gw_undo_host(fabric, job->source_host_id)));
    }
    return choices;
}

/* What came along goes back with it, to the HBA that it was on where that is known. */
static GPtrArray *hbas_back(const GwFabric *fabric, const GwJob *job, GStrvBuilder *steps)
{
    GPtrArray *choices = gw_record_array(&gw_hba_choice_record);

    for (guint i = 0; job->hbas != NULL && i < job->hbas->len; i++) {
        const GwHbaMove *move = job->hbas->pdata[i];
        if (move->how != (int)GW_HBA_HANDED_OVER)
            continue;
        say(steps,
            g_strdup_printf("Hand virtual HBA '%s' (%s) back to %s of %s", move->pool,
                            move->source_wwpn, move->from != NULL ? move->from : "the best HBA",
                            gw_undo_host(fabric, job->source_host_id)));
        if (move->from == NULL)
            continue;
        GwHbaChoice *choice = gw_hba_choice_new();
        choice->wwpn = g_strdup(move->source_wwpn);
        choice->parent = g_strdup(move->from);
        g_ptr_array_add(choices, choice);
    }
    return choices;
}

static GwMoveOptions *options_back(const GwJob *job, GPtrArray *choices)
{
    GwMoveOptions *options =
        job->options != NULL ? gw_move_options_copy(job->options) : gw_move_options_new();

    /* How to move is kept; where to is what the job came from. */
    options->transfer = (int)GW_TRANSFER_NONE;
    options->copy_all = options->flatten = options->start = options->add_default_storage = FALSE;
    g_clear_pointer(&options->storage, g_free);
    g_clear_pointer(&options->disks, g_ptr_array_unref);
    options->disks = g_ptr_array_ref(choices);
    g_clear_pointer(&options->nics, g_ptr_array_unref);
    g_clear_pointer(&options->hbas, g_ptr_array_unref);
    options->post_copy = FALSE;
    return options;
}

static void plan_move_back(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job,
                           const GwVm *vm, GPtrArray *choices, GStrvBuilder *steps,
                           GwMoveRequest **move)
{
    gboolean live = gw_plan_is_live(vm);
    GwMoveRequest *request = gw_move_request_new();

    request->destination = g_strdup(job->source_host_id);
    request->options = options_back(job, choices);
    request->options->nics = nics_back(fabric, job, vm, steps);
    request->options->hbas = hbas_back(fabric, job, steps);
    plan->kind = g_strdup(live ? GW_JOB_KIND_MIGRATE : GW_JOB_KIND_TRANSFER);
    say(steps,
        g_strdup_printf(live ? "Move %s live from %s back to %s"
                             : "Move %s, which is off, from %s back to %s",
                        gw_plan_text(job->vm_name), gw_undo_host(fabric, job->destination_host_id),
                        gw_undo_host(fabric, job->source_host_id)));
    *move = request;
}

static void plan_storage_back(GwUndoPlan *plan, const GwJob *job, GPtrArray *choices,
                              GStrvBuilder *steps, GwStorageRequest **storage)
{
    GwStorageRequest *request = gw_storage_request_new();

    request->disks = g_ptr_array_ref(choices);
    if (job->options != NULL) {
        request->bandwidth_mibps = job->options->bandwidth_mibps;
        request->keep_source_s = job->options->keep_source_s;
        request->wait_for_merge = job->options->wait_for_merge;
    }
    plan->kind = g_strdup(GW_JOB_KIND_STORAGE);
    say(steps, g_strdup_printf("Let %s go on with %s there", gw_plan_text(job->vm_name),
                               choices->len == 1 ? "that disk" : "those disks"));
    *storage = request;
}

static void plan_back(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job,
                      GwMoveRequest **move, GwStorageRequest **storage)
{
    g_autoptr(GStrvBuilder) steps = g_strv_builder_new();
    g_autoptr(GPtrArray) choices = gw_record_array(&gw_disk_choice_record);
    const GwVm *vm = where_left(plan, fabric, job);

    if (vm == NULL || !bring_back(plan, fabric, job, vm, choices, steps))
        return;
    if (!is_within(job))
        plan_move_back(plan, fabric, job, vm, choices, steps, move);
    else if (choices->len > 0)
        plan_storage_back(plan, job, choices, steps, storage);
    if (plan->kind == NULL) {
        refuse(plan, g_strdup("none of the disks that it moved is in the VM any more"),
               g_strdup("There is nothing to do."));
        return;
    }
    if (choices->len > 0)
        say(steps, g_strdup_printf("Keep the copies on %s for as long as its policy says",
                                   gw_undo_host(fabric, job->destination_host_id)));
    plan->possible = TRUE;
    plan->steps = g_strv_builder_end(steps);
}

/* What is where it was left may be what the VM lives on. */
static void refuse_left(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job,
                        const GwVm *source, const GwVm *twin)
{
    const char *from = gw_undo_host(fabric, job->source_host_id);
    const char *to = gw_undo_host(fabric, job->destination_host_id);
    const char *name = gw_plan_text(job->vm_name);

    if (source == NULL) {
        refuse(plan,
               g_strdup_printf("%s is not on %s any more: what the job left may be its only data",
                               name, from),
               g_strdup("Look where it is now: godwit vm list."));
        return;
    }
    g_autofree char *quoted = gw_plan_virsh_vm(twin);
    gboolean active = gw_vm_is_active(twin);
    refuse(plan,
           g_strdup_printf("%s is also on %s, where it is %s: what the job left there may be in "
                           "use",
                           name, to, gw_enum_word(&gw_vm_state_enum, twin->state)),
           active && !gw_vm_is_active(source) && gw_left_defined(job)
               ? g_strdup_printf("Say which one stays. The one on %s: virsh destroy %s on %s. The "
                                 "one on %s: virsh undefine %s --keep-nvram --keep-tpm on %s. Then "
                                 "undo again.",
                                 from, quoted, to, to, quoted, from)
           : active
               ? g_strdup_printf("See that it runs on %s; if so, end the other one on %s: virsh "
                                 "destroy %s.",
                                 from, to, quoted)
               : g_strdup_printf("If it is a remnant, remove it on %s: virsh undefine %s "
                                 "--keep-nvram.",
                                 to, quoted));
}

static GwLeftWay way_of(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job)
{
    const GwVm *source = gw_fabric_vm(fabric, job->source_host_id, job->vm_uuid);
    const GwVm *twin = gw_fabric_vm(fabric, job->destination_host_id, job->vm_uuid);
    GwLeftSeen seen = {
        .at_source = source != NULL,
        .at_destination = twin != NULL,
        .active = twin != NULL && gw_vm_is_active(twin),
    };
    GwLeftWay way = gw_left_way(fabric, job, &seen);

    if (way == GW_LEFT_STAYS)
        refuse_left(plan, fabric, job, source, twin);
    return way;
}

static void say_back(const GwFabric *fabric, const GwJob *job, GStrvBuilder *steps)
{
    for (guint i = job->tasks != NULL ? job->tasks->len : 0; i > 0; i--) {
        const GwTask *left = job->tasks->pdata[i - 1];
        char *words =
            gw_left_is_repaired(fabric, job, left) ? gw_undo_left_words(fabric, job, left) : NULL;
        if (words != NULL)
            say(steps, words);
    }
}

static void plan_repair(GwUndoPlan *plan, const GwFabric *fabric, const GwJob *job)
{
    g_autoptr(GStrvBuilder) steps = g_strv_builder_new();
    GwLeftWay way = way_of(plan, fabric, job);

    if (way == GW_LEFT_STAYS)
        return;
    g_autoptr(GPtrArray) tasks = gw_left_tasks(fabric, job, way);
    if (tasks->len == 0) {
        refuse(plan, g_strdup("it left nothing behind: what it made was removed"),
               g_strdup("There is nothing to do."));
        return;
    }
    if (way == GW_LEFT_BACK)
        say_back(fabric, job, steps);
    for (guint i = 0; way != GW_LEFT_BACK && i < tasks->len; i++)
        say(steps, gw_undo_task_words(fabric, job, tasks->pdata[i], way));
    plan->kind = g_strdup(GW_JOB_KIND_REPAIR);
    plan->possible = TRUE;
    plan->steps = g_strv_builder_end(steps);
}

GwUndoPlan *gw_plan_undo(const GwFabric *fabric, const GwJob *job, GwMoveRequest **move,
                         GwStorageRequest **storage)
{
    GwUndoPlan *plan = gw_undo_plan_new();

    *move = NULL;
    *storage = NULL;
    plan->job_id = g_strdup(job->id);
    if (!check_kind(plan, fabric, job) || !check_over(plan, job) ||
        !check_not_undone(plan, fabric, job))
        return plan;
    if (job->state == (int)GW_JOB_DONE)
        plan_back(plan, fabric, job, move, storage);
    else
        plan_repair(plan, fabric, job);
    return plan;
}
