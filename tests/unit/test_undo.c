/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What undoing a job would be, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

#define VM_UUID "11111111-2222-3333-4444-555555555555"

typedef struct {
    GwFabric *fabric;
    GwJob *job; /* J1, of the VM from kvm1 to kvm2 */
    GwMoveRequest *move;
    GwStorageRequest *storage;
    GwUndoPlan *plan;
} World;

static void add_host(GwFabric *fabric, const char *id)
{
    GwHost *host = gw_host_new_default();

    host->id = g_strdup(id);
    host->name = g_strdup(id);
    gw_fabric_put_host(fabric, host);
}

static GwVm *add_vm(GwFabric *fabric, const char *host, GwVmState state)
{
    GwVm *vm = gw_vm_new();
    GwDisk *disk = gw_disk_new();

    vm->uuid = g_strdup(VM_UUID);
    vm->name = g_strdup("web1");
    vm->host_id = g_strdup(host);
    vm->state = (int)state;
    vm->disks = gw_record_array(&gw_disk_record);
    disk->target = g_strdup("vda");
    g_ptr_array_add(vm->disks, disk);
    gw_fabric_put_vm(fabric, vm);
    return vm;
}

static GwVolume *volume(const char *pool, const char *name, const char *format)
{
    GwVolume *v = gw_volume_new();

    v->pool = g_strdup(pool);
    v->name = g_strdup(name);
    v->path = g_strdup_printf("/%s/%s", pool != NULL ? pool : "data", name);
    v->format = g_strdup(format);
    v->kind = g_strdup("file");
    v->capacity_bytes = 1 << 30;
    return v;
}

static void add_disk(GwJob *job, GwDiskHow how, GwVolume *from, GwVolume *to)
{
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    move->target = g_strdup("vda");
    move->how = (int)how;
    move->images = gw_record_array(&gw_image_move_record);
    image->from = from;
    image->to = to;
    g_ptr_array_add(move->images, image);
    g_ptr_array_add(job->disks, move);
}

static GwJob *add_job(GwFabric *fabric, const char *id, const char *kind, GwJobState state,
                      const char *from, const char *to)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup(id);
    job->kind = g_strdup(kind);
    job->state = (int)state;
    job->vm_uuid = g_strdup(VM_UUID);
    job->vm_name = g_strdup("web1");
    job->source_host_id = g_strdup(from);
    job->destination_host_id = g_strdup(to);
    job->disks = gw_record_array(&gw_disk_move_record);
    job->tasks = gw_record_array(&gw_task_record);
    gw_fabric_put_job(fabric, job);
    return job;
}

static World begin(const char *kind, GwJobState state, const char *to)
{
    World w = { .fabric = gw_fabric_new() };

    add_host(w.fabric, "kvm1");
    add_host(w.fabric, "kvm2");
    add_host(w.fabric, "kvm3");
    w.job = add_job(w.fabric, "J1", kind, state, "kvm1", to);
    return w;
}

static void ask(World *w)
{
    w->plan = gw_plan_undo(w->fabric, w->job, &w->move, &w->storage);
    assert_string_equal(w->plan->job_id, w->job->id);
    assert_int_equal(w->plan->possible, w->plan->why_not == NULL);
    assert_int_equal(w->plan->possible, w->plan->steps != NULL);
    if (!w->plan->possible) {
        assert_non_null(w->plan->remedy);
        assert_null(w->move);
        assert_null(w->storage);
        assert_null(w->plan->kind);
    }
}

static void end(World *w)
{
    gw_undo_plan_free(w->plan);
    gw_move_request_free(w->move);
    gw_storage_request_free(w->storage);
    gw_fabric_unref(w->fabric);
}

static void refused(World *w, const char *why, const char *remedy)
{
    ask(w);
    assert_false(w->plan->possible);
    assert_string_equal(w->plan->why_not, why);
    assert_string_equal(w->plan->remedy, remedy);
    end(w);
}

static void add_kept(GwFabric *fabric, const char *host, GwVolume *v)
{
    GwKeptVolume *kept = gw_kept_volume_new();

    kept->id = g_strdup("K1");
    kept->vm_uuid = g_strdup(VM_UUID);
    kept->target = g_strdup("vda");
    kept->host_id = g_strdup(host);
    kept->volume = v;
    gw_fabric_put_kept(fabric, kept);
}

static void a_live_move_goes_back(void **state)
{
    World w = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");

    add_vm(w.fabric, "kvm2", GW_VM_RUNNING);
    w.job->options = gw_move_options_new();
    w.job->options->bandwidth_mibps = 9;
    w.job->options->copy_all = TRUE;
    w.job->options->storage = g_strdup("fast");
    ask(&w);
    assert_string_equal(w.plan->kind, GW_JOB_KIND_MIGRATE);
    assert_string_equal(w.move->destination, "kvm1");
    assert_null(w.storage);
    assert_int_equal(w.move->options->bandwidth_mibps, 9);
    assert_false(w.move->options->copy_all);
    assert_null(w.move->options->storage);
    assert_int_equal(w.move->options->disks->len, 0);
    assert_int_equal(g_strv_length(w.plan->steps), 1);
    assert_string_equal(w.plan->steps[0], "Move web1 live from kvm2 back to kvm1");
    end(&w);
}

static void disks_go_back_to_their_places(void **state)
{
    static const struct {
        GwVmState state;
        gboolean kept;
        const char *kind, *words;
    } rows[] = {
        { GW_VM_OFF, TRUE, GW_JOB_KIND_TRANSFER,
          "Copy vda from fast/b.qcow2 of kvm2 back to images/a.qcow2 of kvm1, onto the copy that "
          "was kept there: only what changed since" },
        { GW_VM_RUNNING, TRUE, GW_JOB_KIND_MIGRATE,
          "Copy vda from fast/b.qcow2 of kvm2 back to images/a.qcow2 of kvm1, in place of the "
          "copy that was kept there" },
        { GW_VM_OFF, FALSE, GW_JOB_KIND_TRANSFER,
          "Copy vda from fast/b.qcow2 of kvm2 back to images/a.qcow2 of kvm1, made anew: no copy "
          "was kept there" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_DONE, "kvm2");
        add_vm(w.fabric, "kvm2", rows[i].state);
        add_disk(w.job, GW_DISK_NETWORK, volume("images", "a.qcow2", "qcow2"),
                 volume("fast", "b.qcow2", "qcow2"));
        if (rows[i].kept)
            add_kept(w.fabric, "kvm1", volume("images", "a.qcow2", "qcow2"));
        ask(&w);
        assert_string_equal(w.plan->kind, rows[i].kind);
        assert_string_equal(w.plan->steps[0], rows[i].words);
        const GwDiskChoice *choice = w.move->options->disks->pdata[0];
        assert_string_equal(choice->target, "vda");
        assert_string_equal(choice->storage, "images");
        assert_string_equal(choice->name, "a.qcow2");
        assert_null(choice->format);
        end(&w);
    }
}

static void a_file_of_no_pool_goes_to_a_default_place(void **state)
{
    World w = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");

    add_vm(w.fabric, "kvm2", GW_VM_RUNNING);
    add_disk(w.job, GW_DISK_MIRROR, volume(NULL, "a.qcow2", "qcow2"),
             volume("fast", "a.qcow2", "qcow2"));
    ask(&w);
    assert_int_equal(w.move->options->disks->len, 0);
    assert_string_equal(w.plan->steps[0],
                        "Copy vda back to kvm1, to a default place: /data/a.qcow2 is in no pool");
    end(&w);
}

static void storage_goes_back(void **state)
{
    World w = begin(GW_JOB_KIND_STORAGE, GW_JOB_DONE, "kvm1");

    add_vm(w.fabric, "kvm1", GW_VM_RUNNING);
    add_disk(w.job, GW_DISK_BLOCK_COPY, volume("images", "a.raw", "raw"),
             volume("fast", "a.raw", "qcow2"));
    ask(&w);
    assert_string_equal(w.plan->kind, GW_JOB_KIND_STORAGE);
    assert_null(w.move);
    assert_null(w.storage->storage);
    const GwDiskChoice *choice = w.storage->disks->pdata[0];
    assert_string_equal(choice->storage, "images");
    assert_string_equal(choice->format, "raw");
    assert_string_equal(w.plan->steps[1], "Let web1 go on with that disk there");
    end(&w);
}

static void storage_without_a_way_back(void **state)
{
    World w = begin(GW_JOB_KIND_STORAGE, GW_JOB_DONE, "kvm1");
    add_vm(w.fabric, "kvm1", GW_VM_RUNNING);
    add_disk(w.job, GW_DISK_BLOCK_COPY, volume(NULL, "a.raw", "raw"),
             volume("fast", "a.raw", "raw"));
    refused(&w, "disk vda was at /data/a.raw, which is in no pool of kvm1",
            "Make /data a pool there, and move the disk to it: godwit vm migrate-storage.");

    World gone = begin(GW_JOB_KIND_STORAGE, GW_JOB_DONE, "kvm1");
    g_ptr_array_set_size(add_vm(gone.fabric, "kvm1", GW_VM_OFF)->disks, 0);
    add_disk(gone.job, GW_DISK_NETWORK, volume("images", "a.raw", "raw"),
             volume("fast", "a.raw", "raw"));
    refused(&gone, "none of the disks that it moved is in the VM any more",
            "There is nothing to do.");
}

static void not_where_it_was_left(void **state)
{
    World elsewhere = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    add_vm(elsewhere.fabric, "kvm3", GW_VM_RUNNING);
    refused(&elsewhere, "web1 is not on kvm2 any more, but on kvm3",
            "Move it where it is to be: godwit vm migrate.");

    World deleted = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    refused(&deleted, "web1 is on no managed host: it was deleted, or its host does not answer",
            "If it is on a host that does not answer, see to that first: godwit host list.");

    World unmanaged = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    add_vm(unmanaged.fabric, "kvm2", GW_VM_RUNNING);
    gw_fabric_remove_host(unmanaged.fabric, "kvm1");
    refused(&unmanaged, "kvm1, where it came from, is no longer managed",
            "Add that host again, or move the VM elsewhere: godwit vm migrate.");
}

static void what_was_moved_since(void **state)
{
    World w = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    add_vm(w.fabric, "kvm2", GW_VM_RUNNING);
    GwJob *later = add_job(w.fabric, "J2", GW_JOB_KIND_STORAGE, GW_JOB_DONE, "kvm2", "kvm2");
    GwJob *failed = add_job(w.fabric, "J3", GW_JOB_KIND_MIGRATE, GW_JOB_FAILED, "kvm2", "kvm3");
    ask(&w);
    assert_string_equal(w.plan->why_not, "web1 was moved again since, by job J2");
    assert_string_equal(w.plan->remedy, "Undo that one first: godwit job undo J2.");
    gw_undo_plan_free(g_steal_pointer(&w.plan));

    /* Once that one was undone, neither of the two stands in the way. */
    GwJob *undo = add_job(w.fabric, "J4", GW_JOB_KIND_STORAGE, GW_JOB_DONE, "kvm2", "kvm2");
    undo->undoes = g_strdup(later->id);
    later->undone_by = g_strdup(undo->id);
    assert_int_equal(failed->state, GW_JOB_FAILED);
    ask(&w);
    assert_true(w.plan->possible);
    end(&w);
}

static void undone_once(void **state)
{
    World w = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    w.job->undone_by = g_strdup("J2");
    add_job(w.fabric, "J2", GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2", "kvm1");
    refused(&w, "it was already undone by job J2",
            "To have it again, undo that one: godwit job undo J2.");

    World now = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    now.job->undone_by = g_strdup("J2");
    add_job(now.fabric, "J2", GW_JOB_KIND_MIGRATE, GW_JOB_COPYING, "kvm2", "kvm1");
    refused(&now, "it is being undone by job J2", "Wait for that job: godwit job show J2.");

    World again = begin(GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm2");
    add_vm(again.fabric, "kvm2", GW_VM_RUNNING);
    again.job->undone_by = g_strdup("J2");
    GwJob *tried = add_job(again.fabric, "J2", GW_JOB_KIND_MIGRATE, GW_JOB_FAILED, "kvm2", "kvm1");
    tried->undoes = g_strdup("J1");
    ask(&again);
    assert_true(again.plan->possible);
    end(&again);
}

static void what_cannot_be_undone(void **state)
{
    static const struct {
        const char *kind;
        GwJobState state;
        const char *why;
    } rows[] = {
        { GW_JOB_KIND_PROVE, GW_JOB_DONE, "it looked at a share, and changed nothing" },
        { GW_JOB_KIND_VOLUME_REMOVE, GW_JOB_DONE, "what it removed is gone" },
        { GW_JOB_KIND_REPAIR, GW_JOB_DONE, "it only removed what another job had left" },
        { "x", GW_JOB_DONE, "a job of kind 'x' changes nothing that could be taken back" },
        { GW_JOB_KIND_MIGRATE, GW_JOB_COPYING, "it is not over (copying)" },
        { GW_JOB_KIND_MIGRATE, GW_JOB_HELD, "it is held, and waits for an answer" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w = begin(rows[i].kind, rows[i].state, "kvm2");
        ask(&w);
        assert_string_equal(w.plan->why_not, rows[i].why);
        end(&w);
    }
}

/* A plan is taken back by a plan: the command is named, with the hosts. */
static void a_plan_is_taken_back_by_a_plan(void **state)
{
    static const struct {
        const char *kind, *hosts, *remedy;
    } rows[] = {
        { GW_JOB_KIND_DRAIN, "kvm1", "Bring its VMs back by a plan: godwit host undrain kvm1." },
        { GW_JOB_KIND_DRAIN, "kvm1 kvm2",
          "Bring its VMs back by a plan: godwit host undrain kvm1 kvm2." },
        { GW_JOB_KIND_UNDRAIN, "kvm1",
          "Take its VMs away again by a plan: godwit host drain kvm1." },
        { GW_JOB_KIND_MOVES, NULL, "Undo its moves one by one: godwit job list." },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        World w = begin(rows[i].kind, GW_JOB_DONE, "kvm2");
        w.job->plan = gw_migration_plan_new();
        w.job->plan->request = gw_plan_request_new();
        w.job->plan->request->hosts =
            rows[i].hosts != NULL ? g_strsplit(rows[i].hosts, " ", -1) : NULL;
        ask(&w);
        assert_false(w.plan->possible);
        assert_string_equal(w.plan->why_not,
                            "it carries out a plan of many moves, each of which is a job");
        assert_string_equal(w.plan->remedy, rows[i].remedy);
        end(&w);
    }
}

static GwTask *add_task(GwJob *job, GwTaskKind kind, GwTaskState state, gboolean made)
{
    GwTask *task = gw_task_new();

    task->kind = (int)kind;
    task->state = (int)state;
    task->made = made;
    task->host_id = g_strdup("kvm2");
    task->target = g_strdup("vda");
    task->volume = volume("fast", "a.qcow2", "qcow2");
    g_ptr_array_add(job->tasks, task);
    return task;
}

static void a_failed_job_is_repaired(void **state)
{
    World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");

    add_vm(w.fabric, "kvm1", GW_VM_OFF);
    add_vm(w.fabric, "kvm2", GW_VM_OFF);
    add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, FALSE); /* was there already */
    add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_UNDONE, FALSE);
    add_task(w.job, GW_TASK_VOLUME_COPY, GW_TASK_DONE, FALSE);
    add_task(w.job, GW_TASK_SNAPSHOTS_FORGET, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_DEFINE, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_UNDOING, TRUE);
    ask(&w);
    assert_string_equal(w.plan->kind, GW_JOB_KIND_REPAIR);
    assert_null(w.move);
    assert_null(w.storage);
    assert_int_equal(g_strv_length(w.plan->steps), 4);
    assert_string_equal(w.plan->steps[0],
                        "Delete fast/a.qcow2 of kvm2, made for vda, if it is there");
    assert_string_equal(w.plan->steps[1], "Remove the definition of web1 from kvm2");
    assert_string_equal(w.plan->steps[2], "Give the records of its snapshots back to kvm2");
    assert_string_equal(w.plan->steps[3], "Delete fast/a.qcow2 of kvm2, made for vda");
    end(&w);
}

static void nothing_is_repaired_that_may_be_in_use(void **state)
{
    World clean = begin(GW_JOB_KIND_MIGRATE, GW_JOB_CANCELLED, "kvm2");
    add_vm(clean.fabric, "kvm1", GW_VM_RUNNING);
    refused(&clean, "it left nothing behind: what it made was removed", "There is nothing to do.");

    World twin = begin(GW_JOB_KIND_MIGRATE, GW_JOB_FAILED, "kvm2");
    add_vm(twin.fabric, "kvm1", GW_VM_RUNNING);
    add_vm(twin.fabric, "kvm2", GW_VM_PAUSED);
    add_task(twin.job, GW_TASK_DEFINE, GW_TASK_DONE, TRUE);
    refused(&twin,
            "web1 is also on kvm2, where it is paused: what the job left there may be in use",
            "See that it runs on kvm1; if so, end the other one on kvm2: virsh destroy web1.");

    World remnant = begin(GW_JOB_KIND_MIGRATE, GW_JOB_FAILED, "kvm2");
    add_vm(remnant.fabric, "kvm1", GW_VM_RUNNING);
    add_vm(remnant.fabric, "kvm2", GW_VM_OFF);
    refused(&remnant,
            "web1 is also on kvm2, where it is off: what the job left there may be in use",
            "If it is a remnant, remove it on kvm2: virsh undefine web1 --keep-nvram.");

    World lost = begin(GW_JOB_KIND_MIGRATE, GW_JOB_FAILED, "kvm2");
    add_task(lost.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, TRUE);
    refused(&lost, "web1 is not on kvm1 any more: what the job left may be its only data",
            "Look where it is now: godwit vm list.");
}

/* Only the volumes; not what is an old copy by now, or another job's. */
static void what_is_left_behind_is_removed_if_unused(void **state)
{
    World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");
    add_vm(w.fabric, "kvm3", GW_VM_RUNNING);
    add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_SNAPSHOTS_FORGET, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_DEFINE, GW_TASK_UNDOING, TRUE);
    GwJob *later = add_job(w.fabric, "J2", GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm1", "kvm3");
    ask(&w);
    assert_int_equal(g_strv_length(w.plan->steps), 1);
    assert_string_equal(w.plan->steps[0],
                        "Delete fast/a.qcow2 of kvm2, made for vda, if no VM of any host that "
                        "reaches it uses it: web1 has moved on since");
    gw_undo_plan_free(g_steal_pointer(&w.plan));

    add_kept(w.fabric, "kvm2", volume("fast", "a.qcow2", "qcow2"));
    ask(&w);
    assert_string_equal(w.plan->why_not, "it left nothing behind: what it made was removed");
    gw_undo_plan_free(g_steal_pointer(&w.plan));

    /* Nothing says that it ever was whole where it came from. */
    g_free(later->source_host_id);
    later->source_host_id = g_strdup("kvm2");
    ask(&w);
    assert_false(w.plan->possible);
    assert_non_null(strstr(w.plan->why_not, "may be its only data"));
    end(&w);

    World gone = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");
    add_task(gone.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, TRUE);
    add_job(gone.fabric, "J2", GW_JOB_KIND_MIGRATE, GW_JOB_DONE, "kvm1", "kvm3");
    refused(&gone, "web1 is not on kvm1 any more: what the job left may be its only data",
            "Look where it is now: godwit vm list.");
}

static void what_was_to_follow_is_done(void **state)
{
    World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");
    add_vm(w.fabric, "kvm2", GW_VM_OFF);
    GwTask *create = add_task(w.job, GW_TASK_VOLUME_CREATE, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_DEFINE, GW_TASK_UNDOING, TRUE);
    add_task(w.job, GW_TASK_UNDEFINE, GW_TASK_TODO, FALSE)->turn = GW_TASK_AFTER;
    add_task(w.job, GW_TASK_START, GW_TASK_TODO, FALSE)->turn = GW_TASK_AFTER;
    add_task(w.job, GW_TASK_VOLUME_KEEP, GW_TASK_TODO, FALSE)->turn = GW_TASK_AFTER;
    ask(&w);
    assert_int_equal(g_strv_length(w.plan->steps), 1);
    assert_string_equal(
        w.plan->steps[0],
        "Keep fast/a.qcow2 of kvm2 as the old copy of vda for as long as its policy says");
    gw_undo_plan_free(g_steal_pointer(&w.plan));

    create->state = GW_TASK_UNDONE; /* what the definition names is gone */
    ask(&w);
    assert_false(w.plan->possible);
    end(&w);
}

/* R41, R30: virtual HBAs go back where they were, and what was laid above a disk is merged. */
static void hbas_and_overlays_are_taken_back(void **state)
{
    World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");

    add_vm(w.fabric, "kvm1", GW_VM_OFF);
    add_task(w.job, GW_TASK_OVERLAY, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_HBA_STOP, GW_TASK_DONE, TRUE);
    add_task(w.job, GW_TASK_HBA_START, GW_TASK_DOING, FALSE);
    ask(&w);
    assert_int_equal(g_strv_length(w.plan->steps), 3);
    assert_string_equal(w.plan->steps[0],
                        "Log virtual HBA 'fast' out at kvm2, and remove its definition there");
    assert_string_equal(w.plan->steps[1], "Log virtual HBA 'fast' in at kvm2 again");
    assert_string_equal(w.plan->steps[2],
                        "Merge fast/a.qcow2 of kvm2 into the image below it; web1 has to run");
    end(&w);
}

/* Each in its own words; of a task whose volume a damaged store does not tell, nothing is said that
 * would be about the VM instead. */
static void all_that_was_to_follow_is_said(void **state)
{
    static const struct {
        GwTaskKind kind;
        const char *step, *without_volume;
    } rows[] = {
        { GW_TASK_VOLUME_DELETE, "Delete fast/a.qcow2 of kvm2, the old copy of vda",
          "Finish what was begun for web1 on kvm2" },
        { GW_TASK_SNAPSHOTS_REMEMBER, "Give the records of its snapshots to kvm2",
          "Give the records of its snapshots to kvm2" },
        { GW_TASK_HBA_FORGET, "Remove the definition of virtual HBA 'fast' from kvm2",
          "Finish what was begun for web1 on kvm2" },
        { GW_TASK_AUTOSTART, "Let web1 start with kvm2", "Let web1 start with kvm2" },
        { GW_TASK_VOLUME_COPY, "Finish what was begun for fast/a.qcow2 on kvm2",
          "Finish what was begun for web1 on kvm2" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows) * 2; i++) {
        World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");
        gboolean whole = i % 2 == 0;
        add_vm(w.fabric, "kvm2", GW_VM_OFF);
        add_task(w.job, GW_TASK_DEFINE, GW_TASK_DONE, TRUE);
        GwTask *after = add_task(w.job, rows[i / 2].kind, GW_TASK_TODO, FALSE);
        after->turn = GW_TASK_AFTER;
        if (!whole)
            g_clear_pointer(&after->volume, gw_volume_free);
        ask(&w);
        assert_true(w.plan->possible);
        assert_int_equal(g_strv_length(w.plan->steps), 1);
        assert_string_equal(w.plan->steps[0],
                            whole ? rows[i / 2].step : rows[i / 2].without_volume);
        end(&w);
    }
}

static void of_two_one_is_chosen(void **state)
{
    World w = begin(GW_JOB_KIND_TRANSFER, GW_JOB_FAILED, "kvm2");
    add_vm(w.fabric, "kvm1", GW_VM_OFF);
    add_vm(w.fabric, "kvm2", GW_VM_RUNNING);
    add_task(w.job, GW_TASK_DEFINE, GW_TASK_UNDOING, TRUE);
    refused(&w, "web1 is also on kvm2, where it is running: what the job left there may be in use",
            "Say which one stays. The one on kvm1: virsh destroy web1 on kvm2. The one on kvm2: "
            "virsh undefine web1 --keep-nvram --keep-tpm on kvm1. Then undo again.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_move_goes_back),
        cmocka_unit_test(disks_go_back_to_their_places),
        cmocka_unit_test(a_file_of_no_pool_goes_to_a_default_place),
        cmocka_unit_test(storage_goes_back),
        cmocka_unit_test(storage_without_a_way_back),
        cmocka_unit_test(not_where_it_was_left),
        cmocka_unit_test(what_was_moved_since),
        cmocka_unit_test(undone_once),
        cmocka_unit_test(what_cannot_be_undone),
        cmocka_unit_test(a_plan_is_taken_back_by_a_plan),
        cmocka_unit_test(a_failed_job_is_repaired),
        cmocka_unit_test(nothing_is_repaired_that_may_be_in_use),
        cmocka_unit_test(what_is_left_behind_is_removed_if_unused),
        cmocka_unit_test(what_was_to_follow_is_done),
        cmocka_unit_test(hbas_and_overlays_are_taken_back),
        cmocka_unit_test(all_that_was_to_follow_is_said),
        cmocka_unit_test(of_two_one_is_chosen),
    };
    return cmocka_run_group_tests_name("undo", tests, NULL, NULL);
}
