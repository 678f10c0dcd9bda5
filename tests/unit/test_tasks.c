/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/error.h"
#include "job/tasks.h"

/* Which tasks a job has, and whose turn it is. */

static GwVolume *volume(const char *pool, const char *name)
{
    GwVolume *made = gw_volume_new();
    made->pool = g_strdup(pool);
    made->name = g_strdup(name);
    made->path = g_strdup_printf("/%s/%s", pool, name);
    made->kind = g_strdup("file");
    made->allocation_bytes = 1000;
    made->capacity_bytes = 4000;
    return made;
}

static GwDiskMove *add_disk(GwJob *job, const char *target, GwDiskHow how)
{
    GwDiskMove *disk = gw_disk_move_new();
    disk->target = g_strdup(target);
    disk->how = (int)how;
    disk->images = gw_record_array(&gw_image_move_record);
    if (job->disks == NULL)
        job->disks = gw_record_array(&gw_disk_move_record);
    g_ptr_array_add(job->disks, disk);
    return disk;
}

static GwImageMove *add_image(GwDiskMove *disk, const char *name)
{
    GwImageMove *image = gw_image_move_new();
    image->from = volume("old", name);
    image->to = volume("new", name);
    image->create = TRUE;
    g_ptr_array_add(disk->images, image);
    return image;
}

static GwJob *new_job(const char *kind)
{
    GwJob *job = gw_job_new();
    job->id = g_strdup("J");
    job->kind = g_strdup(kind);
    job->source_host_id = g_strdup("A");
    job->destination_host_id = g_strdup(strcmp(kind, GW_JOB_KIND_STORAGE) == 0 ? "A" : "B");
    job->options = gw_move_options_new();
    job->keep_source_s = 3600;
    return job;
}

/* One line for each task: "before B volume-create vda top". */
static char *list(const GwJob *job)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        g_string_append_printf(text, "%s %s %s", gw_enum_word(&gw_task_turn_enum, task->turn),
                               task->host_id, gw_enum_word(&gw_task_kind_enum, task->kind));
        if (task->target != NULL)
            g_string_append_printf(text, " %s", task->target);
        if (task->volume != NULL)
            g_string_append_printf(text, " %s/%s", task->volume->pool, task->volume->name);
        if (task->peer_host_id != NULL)
            g_string_append_printf(text, " from %s", task->peer_host_id);
        if (task->delta)
            g_string_append(text, " delta");
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

static void is_list(const GwJob *job, const char *expected)
{
    g_autofree char *text = list(job);
    assert_string_equal(text, expected);
}

static void live_move_with_its_disks(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_MIGRATE);
    g_autoptr(GwVm) vm = gw_vm_new();
    GwDiskMove *vda = add_disk(job, "vda", GW_DISK_MIRROR);
    add_image(vda, "top");
    add_image(vda, "base")->replace = TRUE;
    add_disk(job, "vdb", GW_DISK_STAYS);
    add_disk(job, "nvram", GW_DISK_WITH_MEMORY);
    vm->snapshots = 2;

    gw_tasks_make(job, vm);
    is_list(job, "before B volume-replace vda new/base\n"
                 "before B volume-create vda new/base\n"
                 "before B volume-create vda new/top\n"
                 "before B volume-copy vda new/base from A\n"
                 "before A snapshots-forget\n"
                 "after B snapshots-remember\n"
                 "after A volume-keep vda old/top\n"
                 "after A volume-keep vda old/base\n");
    assert_int_equal(((GwTask *)job->tasks->pdata[3])->how, GW_DISK_NETWORK);
    (void)state;
}

static void live_move_of_what_differs(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_MIGRATE);
    GwDiskMove *vda = add_disk(job, "vda", GW_DISK_MIRROR);
    add_image(vda, "over");
    GwImageMove *base = add_image(vda, "base");
    base->delta = TRUE;
    base->create = FALSE;

    gw_tasks_make(job, NULL);
    is_list(job, "before B volume-create vda new/over\n"
                 "before A volume-create vda old/over\n"
                 "before A overlay vda old/over\n"
                 "before B volume-copy vda new/base from A delta\n"
                 "after B merge vda new/over\n"
                 "after B volume-delete vda new/over\n"
                 "after A volume-delete vda old/over\n"
                 "after A volume-keep vda old/base\n");
    assert_string_equal(((GwTask *)job->tasks->pdata[2])->from->name, "base");
    assert_string_equal(((GwTask *)job->tasks->pdata[4])->from->name, "base");
    (void)state;
}

/* What was not merged is the guest's last data: it is not deleted, whoever asks for it. */
static void an_image_that_was_not_merged_stays(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_MIGRATE);
    GwDiskMove *vda = add_disk(job, "vda", GW_DISK_MIRROR);
    g_autoptr(GError) error = NULL;
    add_image(vda, "over");
    GwImageMove *base = add_image(vda, "base");
    base->delta = TRUE;
    base->create = FALSE;
    (void)state;

    gw_tasks_make(job, NULL);
    for (guint i = 0; i < 3; i++) {
        gw_task_begin(job->tasks->pdata[i], FALSE);
        gw_task_end(job->tasks->pdata[i], NULL);
    }
    GwTask *overlay = job->tasks->pdata[2];
    assert_ptr_equal(gw_tasks_next_undo(job), overlay);
    gw_task_begin(overlay, TRUE);
    gw_error_set(&error, GW_ERR_CONFLICT, NULL, "the VM is not running");
    gw_task_end(overlay, error);
    assert_true(gw_tasks_stands_on(job, job->tasks->pdata[1]));
    assert_ptr_equal(gw_tasks_next_undo(job), job->tasks->pdata[0]); /* the destination's goes */
    gw_task_begin(job->tasks->pdata[0], TRUE);
    gw_task_end(job->tasks->pdata[0], NULL);
    assert_null(gw_tasks_next_undo(job));

    gw_tasks_undo_again(job);
    assert_ptr_equal(gw_tasks_next_undo(job), overlay);
    gw_task_begin(overlay, TRUE);
    gw_task_end(overlay, NULL);
    assert_ptr_equal(gw_tasks_next_undo(job), job->tasks->pdata[1]);

    GwTask *merge = job->tasks->pdata[4];
    gw_task_pass(merge, error);
    assert_true(gw_tasks_stands_on(job, job->tasks->pdata[5]));
    assert_false(gw_tasks_stands_on(job, job->tasks->pdata[6]));
}

/* A mirror copies everything: the kept copy in its way is made anew, and the chain that was not
 * kept is deleted. */
static void live_move_back_onto_a_kept_copy(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_MIGRATE);
    GwImageMove *image = add_image(add_disk(job, "vda", GW_DISK_MIRROR), "top");
    image->delta = TRUE;
    image->create = FALSE;
    job->keep_source_s = 0;

    gw_tasks_make(job, NULL);
    is_list(job, "before B volume-replace vda new/top\n"
                 "before B volume-create vda new/top\n"
                 "after A volume-delete vda old/top\n");
    (void)state;
}

static void two_disks_above_one_image(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_MIGRATE);
    GwDiskMove *vda = add_disk(job, "vda", GW_DISK_MIRROR);
    GwDiskMove *vdb = add_disk(job, "vdb", GW_DISK_MIRROR);
    add_image(vda, "a");
    add_image(vda, "base");
    add_image(vdb, "b");
    add_image(vdb, "base");

    gw_tasks_make(job, NULL);
    is_list(job, "before B volume-create vda new/base\n"
                 "before B volume-create vda new/a\n"
                 "before B volume-create vdb new/b\n"
                 "before B volume-copy vda new/base from A\n"
                 "after A volume-keep vda old/a\n"
                 "after A volume-keep vda old/base\n"
                 "after A volume-keep vdb old/b\n");
    (void)state;
}

static void cold_move_over_the_network(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_TRANSFER);
    g_autoptr(GwVm) vm = gw_vm_new();
    GwImageMove *image = add_image(add_disk(job, "vda", GW_DISK_NETWORK), "top");
    add_image(add_disk(job, "nvram", GW_DISK_NETWORK), "vars");
    image->delta = TRUE;
    image->create = FALSE;
    job->vm_autostart = TRUE;
    job->options->start = TRUE;
    vm->snapshots = 1;

    gw_tasks_make(job, vm);
    is_list(job, "before A autostart\n"
                 "before B volume-create nvram new/vars\n"
                 "before B volume-copy vda new/top from A delta\n"
                 "before B volume-copy nvram new/vars from A\n"
                 "before B define from A\n"
                 "before A snapshots-forget\n"
                 "after A undefine from B\n"
                 "after B snapshots-remember\n"
                 "after B autostart\n"
                 "after B start\n"
                 "after A volume-keep vda old/top\n"
                 "after A volume-keep nvram old/vars\n");
    (void)state;
}

static void cold_move_without_a_copy(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_TRANSFER);
    add_disk(job, "vda", GW_DISK_SAN);
    add_disk(job, "vdb", GW_DISK_STAYS);

    gw_tasks_make(job, NULL);
    is_list(job, "before B define from A\n"
                 "after A undefine from B\n");
    (void)state;
}

/* Where the destination reaches both, it copies by itself. */
static void cold_move_by_fast_copy(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_TRANSFER);
    add_image(add_disk(job, "vda", GW_DISK_FAST_COPY), "top");

    gw_tasks_make(job, NULL);
    is_list(job, "before B volume-create vda new/top\n"
                 "before B volume-copy vda new/top\n"
                 "before B define from A\n"
                 "after A undefine from B\n"
                 "after A volume-keep vda old/top\n");
    (void)state;
}

static void storage_of_a_running_vm(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_STORAGE);
    GwDiskMove *vda = add_disk(job, "vda", GW_DISK_BLOCK_COPY);
    add_image(vda, "top");
    add_image(vda, "base");
    add_image(add_disk(job, "vdb", GW_DISK_BLOCK_COPY), "data");

    gw_tasks_make(job, NULL);
    is_list(job, "before A volume-create vda new/base\n"
                 "before A volume-create vda new/top\n"
                 "before A volume-create vdb new/data\n"
                 "before A volume-copy vda new/base\n"
                 "before A block-copy vda new/top\n"
                 "before A block-copy vdb new/data\n"
                 "after A block-pivot vda new/top\n"
                 "after A block-pivot vdb new/data\n"
                 "after A volume-keep vda old/top\n"
                 "after A volume-keep vda old/base\n"
                 "after A volume-keep vdb old/data\n");
    (void)state;
}

static void storage_of_a_vm_that_is_off(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_STORAGE);
    add_image(add_disk(job, "vda", GW_DISK_CONVERT), "top");

    gw_tasks_make(job, NULL);
    is_list(job, "before A volume-create vda new/top\n"
                 "before A volume-copy vda new/top\n"
                 "after A define from A\n"
                 "after A volume-keep vda old/top\n");
    assert_int_equal(((GwTask *)job->tasks->pdata[1])->how, GW_DISK_CONVERT);
    (void)state;
}

/* A LUN's or partition's device is nobody's to delete. */
static void a_device_without_a_pool_is_left(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_TRANSFER);
    GwImageMove *image = add_image(add_disk(job, "vda", GW_DISK_NETWORK), "lun");
    g_clear_pointer(&image->from->pool, g_free);
    g_free(image->from->kind);
    image->from->kind = g_strdup("block");

    gw_tasks_make(job, NULL);
    is_list(job, "before B volume-create vda new/lun\n"
                 "before B volume-copy vda new/lun from A\n"
                 "before B define from A\n"
                 "after A undefine from B\n");
    (void)state;
}

static void removing_a_kept_copy(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_VOLUME_REMOVE);
    add_image(add_disk(job, "vda", GW_DISK_LEFT), "top");

    gw_tasks_make(job, NULL);
    is_list(job, "before A volume-delete vda old/top\n");

    /* A job that was made with its tasks keeps them. */
    gw_tasks_make(job, NULL);
    assert_int_equal(job->tasks->len, 1);
    (void)state;
}

/* Turns ------------------------------------------------------------------------------------ */

static GwJob *cold_job(void)
{
    GwJob *job = new_job(GW_JOB_KIND_TRANSFER);
    add_image(add_disk(job, "vda", GW_DISK_NETWORK), "top");
    gw_tasks_make(job, NULL);
    return job; /* create, copy, define; undefine, keep */
}

static GwTask *task_of(const GwJob *job, guint index)
{
    return job->tasks->pdata[index];
}

static void each_in_its_turn(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    guint order[] = { 0, 1, 2 };

    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        GwTask *task = gw_tasks_next(job, GW_TASK_BEFORE);
        assert_ptr_equal(task, task_of(job, order[i]));
        gw_task_begin(task, FALSE);
        assert_ptr_equal(gw_tasks_next(job, GW_TASK_BEFORE), task); /* after a restart: again */
        gw_task_end(task, NULL);
    }
    assert_null(gw_tasks_next(job, GW_TASK_BEFORE));
    assert_false(gw_tasks_committed(job));
    assert_ptr_equal(gw_tasks_next(job, GW_TASK_AFTER), task_of(job, 3));
    gw_task_begin(task_of(job, 3), FALSE);
    assert_true(gw_tasks_committed(job));
    assert_null(gw_tasks_next_undo(job));
    (void)state;
}

static void undone_in_reverse_what_was_made(void **state)
{
    g_autoptr(GwJob) job = cold_job();

    for (guint i = 0; i < 3; i++) {
        gw_task_begin(task_of(job, i), FALSE);
        gw_task_end(task_of(job, i), NULL);
    }
    GwTask *define = gw_tasks_next_undo(job);
    assert_ptr_equal(define, task_of(job, 2));
    gw_task_begin(define, TRUE);
    assert_ptr_equal(gw_tasks_next_undo(job), define);
    gw_task_end(define, NULL);
    assert_int_equal(define->state, GW_TASK_UNDONE);
    assert_false(define->made);

    /* The copy made nothing. */
    GwTask *create = gw_tasks_next_undo(job);
    assert_ptr_equal(create, task_of(job, 0));
    gw_task_begin(create, TRUE);
    gw_task_end(create, NULL);
    assert_null(gw_tasks_next_undo(job));
    (void)state;
}

/* A volume that was there before is not ours to delete. */
static void what_failed_made_nothing(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) there = NULL;

    gw_error_set(&there, GW_ERR_CONFLICT, NULL, "it is there already");
    gw_task_begin(task_of(job, 0), FALSE);
    assert_ptr_equal(gw_tasks_next_undo(job), task_of(job, 0)); /* nobody knows yet */
    gw_task_end(task_of(job, 0), there);
    assert_int_equal(task_of(job, 0)->state, GW_TASK_FAILED);
    assert_string_equal(task_of(job, 0)->why, "it is there already");
    assert_null(gw_tasks_next_undo(job));
    (void)state;
}

static void an_undo_that_fails_is_passed_over(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) used = NULL;

    gw_error_set(&used, GW_ERR_CONFLICT, NULL, "in use");
    gw_task_begin(task_of(job, 0), FALSE);
    gw_task_end(task_of(job, 0), NULL);
    gw_task_begin(task_of(job, 0), TRUE);
    gw_task_end(task_of(job, 0), used);
    assert_int_equal(task_of(job, 0)->state, GW_TASK_UNDOING);
    assert_null(gw_tasks_next_undo(job));
    gw_tasks_undo_again(job);
    assert_ptr_equal(gw_tasks_next_undo(job), task_of(job, 0));
    (void)state;
}

static void a_commit_that_was_refused_is_none(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) running = NULL;
    GwTask *undefine = task_of(job, 3);

    assert_true(gw_tasks_take_back(job)); /* nothing was begun */
    gw_error_set(&running, GW_ERR_CONFLICT, NULL, "it runs");
    gw_task_begin(undefine, FALSE);
    assert_false(gw_tasks_take_back(job)); /* it may have been done */
    gw_task_end(undefine, running);
    assert_true(gw_tasks_take_back(job));
    assert_false(gw_tasks_committed(job));

    gw_task_begin(undefine, FALSE);
    gw_task_end(undefine, NULL);
    assert_false(gw_tasks_take_back(job));
    gw_task_begin(task_of(job, 4), FALSE);
    gw_task_end(task_of(job, 4), running);
    assert_false(gw_tasks_take_back(job));
    (void)state;
}

/* The host may have done it when it was asked first, and refuse what is done already. */
static void a_commit_whose_answer_was_lost_is_not_taken_back(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) gone = NULL;
    g_autoptr(GError) runs = NULL;
    GwTask *undefine = task_of(job, 3);

    gw_error_set(&gone, GW_ERR_OPERATION, NULL, "no domain");
    gw_task_begin(undefine, FALSE);
    undefine->lost = TRUE;
    gw_task_end(undefine, gone);
    assert_ptr_equal(gw_tasks_refused(job), undefine);
    assert_false(gw_tasks_take_back(job));
    assert_int_equal(undefine->state, GW_TASK_FAILED);
    undefine->lost = FALSE; /* its host said so */
    assert_true(gw_tasks_take_back(job));

    undefine->lost = TRUE;
    gw_task_begin(undefine, FALSE);
    gw_error_set(&runs, GW_ERR_CONFLICT, NULL, "it runs");
    gw_task_end(undefine, runs); /* the host looked */
    assert_true(gw_tasks_take_back(job));

    undefine->lost = TRUE;
    gw_task_begin(undefine, FALSE);
    gw_task_end(undefine, NULL);
    assert_false(undefine->lost);
    assert_null(gw_tasks_refused(job));
    (void)state;
}

/* A definition that stays must find its disks. */
static void what_a_definition_names_stays_with_it(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) refused = NULL;

    gw_error_set(&refused, GW_ERR_OPERATION, NULL, "it has a saved state");
    for (guint i = 0; i < 3; i++) {
        gw_task_begin(task_of(job, i), FALSE);
        gw_task_end(task_of(job, i), NULL);
    }
    gw_task_begin(task_of(job, 2), TRUE);
    gw_task_end(task_of(job, 2), refused);
    assert_null(gw_tasks_next_undo(job));
    gw_tasks_undo_again(job);
    assert_ptr_equal(gw_tasks_next_undo(job), task_of(job, 2));
    gw_task_begin(task_of(job, 2), TRUE);
    gw_task_end(task_of(job, 2), NULL);
    assert_ptr_equal(gw_tasks_next_undo(job), task_of(job, 0));
    (void)state;
}

static void a_remark_ends_a_task(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    g_autoptr(GError) used = NULL;

    gw_error_set(&used, GW_ERR_CONFLICT, NULL, "in use");
    gw_task_begin(task_of(job, 3), FALSE);
    gw_task_end(task_of(job, 3), NULL);
    gw_task_begin(task_of(job, 4), FALSE);
    gw_task_pass(task_of(job, 4), used);
    assert_null(gw_tasks_next(job, GW_TASK_AFTER));
    assert_string_equal(task_of(job, 4)->why, "in use");
    (void)state;
}

static void progress_in_bytes(void **state)
{
    g_autoptr(GwJob) job = new_job(GW_JOB_KIND_STORAGE);
    gint64 done, total;
    add_image(add_disk(job, "vda", GW_DISK_BLOCK_COPY), "a");
    add_image(add_disk(job, "vdb", GW_DISK_BLOCK_COPY), "b");
    gw_tasks_make(job, NULL);

    assert_int_equal(gw_tasks_progress(job, &done, &total), 0);
    assert_int_equal(total, 8000);
    GwTask *first = task_of(job, 2), *second = task_of(job, 3);
    gw_task_begin(first, FALSE);
    gw_task_end(first, NULL);
    gw_task_begin(second, FALSE);
    second->copied_bytes = 9999; /* a host's word */
    assert_int_equal(gw_tasks_progress(job, &done, &total), 100);
    second->copied_bytes = 1000;
    assert_int_equal(gw_tasks_progress(job, &done, &total), 62);
    assert_int_equal(done, 5000);

    g_autoptr(GwJob) none = new_job(GW_JOB_KIND_STORAGE);
    assert_int_equal(gw_tasks_progress(none, NULL, NULL), 100);
    (void)state;
}

static void words_for_people(void **state)
{
    g_autoptr(GwJob) job = cold_job();
    static const char *const expected[] = {
        "making top for vda in new of kvm2",
        "copying vda (top) from kvm1 to new of kvm2",
        "defining the VM at kvm2",
        "removing the definition at kvm2",
        "keeping the old copy top of vda in old of kvm2",
    };
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *words = gw_task_words(task_of(job, i), "kvm2", "kvm1");
        assert_string_equal(words, expected[i]);
    }
    gw_task_begin(task_of(job, 0), TRUE);
    g_autofree char *undo = gw_task_words(task_of(job, 0), "kvm2", NULL);
    assert_string_equal(undo, "undoing: making top for vda in new of kvm2");

    /* Every kind has words of its own, also where little is known of it. */
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int kind = GW_TASK_VOLUME_CREATE; kind <= GW_TASK_MERGE; kind++) {
        g_autoptr(GwTask) task = gw_task_new();
        task->kind = kind;
        assert_true(g_hash_table_add(seen, gw_task_words(task, "h", NULL)));
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_move_with_its_disks),
        cmocka_unit_test(live_move_of_what_differs),
        cmocka_unit_test(an_image_that_was_not_merged_stays),
        cmocka_unit_test(live_move_back_onto_a_kept_copy),
        cmocka_unit_test(two_disks_above_one_image),
        cmocka_unit_test(cold_move_over_the_network),
        cmocka_unit_test(cold_move_without_a_copy),
        cmocka_unit_test(cold_move_by_fast_copy),
        cmocka_unit_test(storage_of_a_running_vm),
        cmocka_unit_test(storage_of_a_vm_that_is_off),
        cmocka_unit_test(a_device_without_a_pool_is_left),
        cmocka_unit_test(removing_a_kept_copy),
        cmocka_unit_test(each_in_its_turn),
        cmocka_unit_test(undone_in_reverse_what_was_made),
        cmocka_unit_test(what_failed_made_nothing),
        cmocka_unit_test(an_undo_that_fails_is_passed_over),
        cmocka_unit_test(a_commit_that_was_refused_is_none),
        cmocka_unit_test(a_commit_whose_answer_was_lost_is_not_taken_back),
        cmocka_unit_test(what_a_definition_names_stays_with_it),
        cmocka_unit_test(a_remark_ends_a_task),
        cmocka_unit_test(progress_in_bytes),
        cmocka_unit_test(words_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
