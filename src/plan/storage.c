/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/storage.h"

#include <string.h>

/* Where each disk of a VM goes, and how (R2, R13, R14, R27, R34). */

void gw_storage_plan_free(GwStoragePlan *plan)
{
    if (plan == NULL)
        return;
    g_ptr_array_unref(plan->disks);
    g_ptr_array_unref(plan->transfers);
    g_ptr_array_unref(plan->findings);
    g_free(plan);
}

static void way_free(gpointer data)
{
    GwDiskWay *way = data;

    g_free(way->not_reached);
    g_free(way->no_clone);
    g_free(way);
}

void gw_storage_find(GwStorage *st, const GwRule *rule, char *observed, char *required,
                     char *remedy)
{
    gw_rule_add(rule, st->plan->findings, observed, required, remedy);
}

void gw_storage_show(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < input->storage->findings->len; i++) {
        GwFinding *finding = input->storage->findings->pdata[i];
        if (strcmp(finding->rule, self->name) == 0)
            g_ptr_array_add(findings, gw_finding_copy(finding));
    }
}

static void settle(GwDiskWay *way, GwDiskHow how, char *why)
{
    g_free(way->move->why);
    way->move->how = (int)how;
    way->move->why = why;
}

static gboolean is_removable(const GwDisk *disk)
{
    return g_strcmp0(disk->device, "cdrom") == 0 || g_strcmp0(disk->device, "floppy") == 0;
}

/* Whether the destination gets to the disk where it is: as its address says, unless the host was
 * asked and tried in vain (R28). */
static void note_reached(GwStorage *st, GwDiskWay *way)
{
    const GwReach *reach = way->reach;
    const GwDiskReached *tried =
        gw_record_find(&gw_disk_reached_record, st->input->reached, "target", way->disk->target);

    way->reached = reach->how != GW_REACH_NOT;
    if (!way->reached)
        way->not_reached = g_strdup(reach->why);
    if (way->reached && tried != NULL && tried->told && !tried->reached) {
        way->reached = FALSE;
        way->not_reached =
            g_strdup_printf("%s tried to reach it in vain: %s",
                            gw_plan_host_name(st->input->destination), gw_plan_text(tried->why));
    }
}

static const GwReach *reach_of(const GPtrArray *reaches, const GwDisk *disk)
{
    for (guint i = 0; i < reaches->len; i++) {
        if (((const GwReach *)reaches->pdata[i])->disk == disk)
            return reaches->pdata[i];
    }
    return NULL;
}

static GwDiskWay *add_way(GwStorage *st, const GPtrArray *reaches, const GwDisk *disk)
{
    GwDiskWay *way = g_new0(GwDiskWay, 1);
    GwDiskMove *move = gw_disk_move_new();

    way->disk = disk;
    way->images = gw_record_find(&gw_disk_images_record, st->input->images, "target", disk->target);
    way->choice =
        gw_record_find(&gw_disk_choice_record, st->options->disks, "target", disk->target);
    way->move = move;
    move->target = g_strdup(disk->target);
    move->images = gw_record_array(&gw_image_move_record);
    if (disk->source != NULL && !is_removable(disk)) {
        way->reach = st->within ? NULL : reach_of(reaches, disk);
        way->lun = gw_storage_is_lun(disk, gw_storage_pool_of(st, way));
        if (way->reach != NULL)
            note_reached(st, way);
    }
    g_ptr_array_add(st->ways, way);
    g_ptr_array_add(st->plan->disks, move);
    return way;
}

/* How its content is copied; before it is known whether another form is asked for. */
static GwDiskHow copy_how(const GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    gboolean converts = gw_storage_converts(st, way, place);

    if (st->running && st->within)
        return GW_DISK_BLOCK_COPY;
    /* What nobody writes to is copied as a file: libvirt mirrors no read-only disk. */
    if (st->running)
        return way->disk->readonly ? GW_DISK_NETWORK : GW_DISK_MIRROR;
    if (st->within && converts)
        return GW_DISK_CONVERT;
    if (!converts && way->clones && st->options->transfer != (int)GW_TRANSFER_NETWORK)
        return GW_DISK_FAST_COPY;
    return GW_DISK_NETWORK;
}

static char *why_copied(const GwStorage *st, const GwDiskWay *way, GwDiskHow how)
{
    static const char *const words[] = {
        [GW_DISK_MIRROR] = "copied by QEMU before the memory",
        [GW_DISK_BLOCK_COPY] = "mirrored while the VM runs, which then goes on with the copy",
        [GW_DISK_NETWORK] = "copied over the network",
        [GW_DISK_FAST_COPY] = "cloned by the file system",
        [GW_DISK_CONVERT] = "written anew on its host",
    };
    const char *what = how == GW_DISK_NETWORK && st->within ? "copied on its host" : words[how];

    if (way->not_reached != NULL)
        return g_strdup_printf("%s: %s", what, way->not_reached);
    if (way->lun && way->reached && st->options->network)
        return g_strdup_printf("%s although its SAN could hand it over, as asked", what);
    if (how == GW_DISK_NETWORK && way->no_clone != NULL)
        return g_strdup_printf("%s: %s", what, way->no_clone);
    return g_strdup(what);
}

/* Formats and chains that this way of copying cannot make. */
static gboolean check_form(GwStorage *st, const GwDiskWay *way, GwPlace *place, GwDiskHow how)
{
    const char *target = gw_plan_text(way->disk->target);
    gboolean whole = place->pool != NULL && (g_strcmp0(place->pool->type, "logical") == 0 ||
                                             g_strcmp0(place->pool->type, "rbd") == 0);

    /* A volume group's or Ceph's volumes are the bytes that the guest sees. */
    if (whole && g_strcmp0(place->format, "raw") != 0) {
        if (way->choice == NULL || way->choice->format == NULL)
            place->format = "raw";
        else
            gw_storage_find(
                st, &gw_rule_disk_format,
                g_strdup_printf("Disk %s is to be %s in pool '%s' of type %s", target,
                                place->format, gw_plan_text(place->pool->name), place->pool->type),
                g_strdup("Format raw: a volume of such a pool has no form of its own."),
                g_strdup_printf("Choose --disk %s:POOL,format=raw, or a pool of files.", target));
    }
    if (!gw_storage_converts(st, way, place))
        return how == copy_how(st, way, place);
    if (how == GW_DISK_NETWORK || how == GW_DISK_FAST_COPY)
        gw_storage_find(
            st, &gw_rule_disk_format,
            g_strdup_printf("Disk %s (%s) would become %s%s on its way, while nothing runs that "
                            "converts it",
                            target, gw_plan_text(way->disk->format), gw_plan_text(place->format),
                            st->options->flatten ? ", one image," : ""),
            g_strdup("A copy between hosts of a VM that is off, or of a read-only disk, is byte "
                     "for byte."),
            g_strdup("Convert it on its host before or after: godwit vm migrate-storage VM --disk "
                     "TARGET:POOL,format=FORMAT (or --flatten)."));
    return how == copy_how(st, way, place);
}

static void check_cold_source(GwStorage *st, const GwDiskWay *way)
{
    if (!gw_storage_is_unreadable(st, way))
        return;
    gw_storage_find(st, &gw_rule_storage_reach,
                    g_strdup_printf("Disk %s (%s) is opened by QEMU itself and is in no pool of "
                                    "%s, so nothing reads it while the VM is off",
                                    gw_plan_text(way->disk->target), way->disk->source,
                                    gw_plan_host_name(st->input->source)),
                    g_strdup("A disk that its host shows as a file, a device or a volume of a "
                             "pool."),
                    g_strdup("Start the VM and move it live (Live (VSM)), or hand it over (SAN)."));
}

static void refuse_self(GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    gw_storage_find(st, &gw_rule_volume_there,
                    g_strdup_printf("The copy of disk %s would be the disk itself: both hosts see "
                                    "%s in pool '%s'",
                                    gw_plan_text(way->disk->target), place->name,
                                    gw_plan_text(place->pool->name)),
                    g_strdup("Another name or another place for a copy."),
                    g_strdup_printf("Leave --copy-all out, or choose: --disk %s:POOL/NAME.",
                                    gw_plan_text(way->disk->target)));
}

/* Only what QEMU, or a file's reader, can read from one end to the other. */
static gboolean is_copyable(const GwDisk *disk)
{
    static const char *const types[] = { "file", "block", "network", "volume", NULL };
    return disk->type != NULL && g_strv_contains(types, disk->type);
}

static void copy_disk(GwStorage *st, GwDiskWay *way)
{
    g_auto(GwPlace) place = { 0 };
    GwDiskHow fallback = !st->running ? GW_DISK_NETWORK
                         : st->within ? GW_DISK_BLOCK_COPY
                                      : GW_DISK_MIRROR;

    settle(way, fallback, why_copied(st, way, fallback));
    if (!is_copyable(way->disk)) {
        gw_storage_find(st, &gw_rule_storage_reach,
                        g_strdup_printf("Disk %s is of type %s, which can be neither reached from "
                                        "elsewhere nor copied",
                                        gw_plan_text(way->disk->target),
                                        gw_plan_text(way->disk->type)),
                        g_strdup("A file, a block device, a volume or a network disk."),
                        g_strdup("Move its content to such a disk, and detach it."));
        return;
    }
    if (!gw_storage_place(st, way, &place))
        return;
    if (gw_storage_is_there(st, way, &place) && !gw_storage_converts(st, way, &place)) {
        if (st->options->copy_all && way->choice == NULL && !st->within)
            refuse_self(st, way, &place);
        else
            settle(way, GW_DISK_STAYS, g_strdup("it is there already"));
        return;
    }
    way->clones = !st->running && gw_storage_clones(st, way, &place, &way->no_clone);
    GwDiskHow how = copy_how(st, way, &place);
    if (!check_form(st, way, &place, how))
        how = copy_how(st, way, &place); /* its pool asks for another format */
    settle(way, how, why_copied(st, way, how));
    check_cold_source(st, way);
    gw_storage_images(st, way, &place);
}

static gboolean is_chosen(const GwStorage *st, const GwDiskWay *way)
{
    const GwMoveOptions *options = st->options;

    if (way->choice != NULL)
        return TRUE;
    if (!st->within)
        return options->copy_all;
    /* Nothing named at all means everything, to a default location. */
    return options->storage != NULL || options->disks == NULL || options->disks->len == 0;
}

static void plan_within(GwStorage *st, GwDiskWay *way)
{
    if (!is_chosen(st, way))
        settle(way, GW_DISK_STAYS, g_strdup("it was not chosen"));
    else
        copy_disk(st, way);
}

static const char *why_stays(const GwDiskWay *way)
{
    return way->reach->how == GW_REACH_UNSHOWN ? "its address means the same to both hosts"
                                               : "both hosts reach it where it is";
}

static void plan_running(GwStorage *st, GwDiskWay *way)
{
    if (way->reached && !is_chosen(st, way))
        settle(way, GW_DISK_STAYS, g_strdup(why_stays(way)));
    else
        copy_disk(st, way);
}

static void plan_off(GwStorage *st, GwDiskWay *way)
{
    gboolean over = st->options->network || st->options->transfer == (int)GW_TRANSFER_NETWORK;

    if (way->reached && !is_chosen(st, way) && way->lun && !over)
        settle(way, GW_DISK_SAN,
               g_strdup(way->reach->by_hba ? "handed over with its virtual HBA"
                                           : "handed over: both hosts reach the LUN"));
    else if (way->reached && !is_chosen(st, way) && !way->lun)
        settle(way, GW_DISK_STAYS, g_strdup(why_stays(way)));
    else
        copy_disk(st, way);
}

static void plan_disk(GwStorage *st, GwDiskWay *way)
{
    const GwDisk *disk = way->disk;

    if (disk->source == NULL)
        settle(way, GW_DISK_LEFT, g_strdup("an empty drive"));
    else if (is_removable(disk))
        settle(way, GW_DISK_STAYS, g_strdup("removable: it is to be ejected (R53)"));
    else if (st->within)
        plan_within(st, way);
    else if (st->running)
        plan_running(st, way);
    else
        plan_off(st, way);
}

/* NVRAM and TPM state: part of the VM, but in no pool. */
static void plan_state(GwStorage *st, const char *target, const char *path, const char *format,
                       const char *kind)
{
    GwDiskMove *move = gw_disk_move_new();
    const GwPool *pool = NULL;

    move->target = g_strdup(target);
    move->images = gw_record_array(&gw_image_move_record);
    g_ptr_array_add(st->plan->disks, move);
    if (st->within && !st->running && st->options->storage != NULL && strcmp(kind, "file") == 0)
        pool = gw_plan_find_storage(st->input->destination, st->options->storage, NULL);
    if (pool != NULL && strcmp(gw_storage_kind_of(pool), "file") != 0)
        pool = NULL;
    if (st->within && (pool == NULL || gw_share_pool_of_path(st->input->source, path) == pool)) {
        move->how = GW_DISK_STAYS;
        move->why = g_strdup(st->running ? "a running VM keeps the file that it has open"
                                         : "it stays where its host keeps it");
        return;
    }
    if (st->running) {
        move->how = GW_DISK_WITH_MEMORY;
        move->why = g_strdup("it travels with the memory");
        return;
    }
    if (!st->within && strcmp(kind, "file") == 0 &&
        gw_reach_same_path(st->input, kind, path, NULL, NULL)) {
        move->how = GW_DISK_STAYS;
        move->why = g_strdup("both hosts reach it where it is");
        return;
    }
    move->how = GW_DISK_NETWORK;
    move->why = g_strdup("copied with the disks: it is small");
    gw_storage_state_file(st, move, path, format, kind, pool);
}

static void plan_states(GwStorage *st)
{
    const GwVm *vm = st->input->vm;

    if (vm->nvram != NULL)
        plan_state(st, "nvram", vm->nvram, vm->nvram_format != NULL ? vm->nvram_format : "raw",
                   "file");
    if (g_strcmp0(vm->tpm, "emulator") == 0) {
        g_autofree char *path = g_strconcat("/var/lib/libvirt/swtpm/", vm->uuid, NULL);
        plan_state(st, "tpm", path, NULL, "directory");
    }
}

/* What a person chose must mean a disk, once, and be something that can be made. */
static void check_choices(GwStorage *st)
{
    const GPtrArray *choices = st->options->disks;

    for (guint i = 0; choices != NULL && i < choices->len; i++) {
        const GwDiskChoice *choice = choices->pdata[i];
        const char *target = gw_plan_text(choice->target);
        const GwDisk *disk =
            gw_record_find(&gw_disk_record, st->input->vm->disks, "target", choice->target);
        const char *wrong = NULL;
        if (disk == NULL)
            wrong = "the VM has no such disk";
        else if (disk->source == NULL || is_removable(disk))
            wrong = "it is an empty or removable drive, which does not move";
        else if (gw_record_find(&gw_disk_choice_record, choices, "target", choice->target) !=
                 choice)
            wrong = "it is chosen for twice";
        else if (choice->format != NULL && strcmp(choice->format, "raw") != 0 &&
                 strcmp(choice->format, "qcow2") != 0)
            wrong = "its format can only become raw or qcow2";
        if (wrong != NULL)
            gw_storage_find(st, &gw_rule_disk_choice,
                            g_strdup_printf("A choice for disk %s: %s", target, wrong),
                            g_strdup_printf("One choice for a disk of %s, of format raw or qcow2.",
                                            gw_plan_vm_name(st->input->vm)),
                            g_strdup("See its disks: godwit vm show VM."));
    }
}

static void check_any_moves(GwStorage *st)
{
    guint errors = st->plan->findings->len;

    for (guint i = 0; i < st->plan->disks->len; i++) {
        int how = ((const GwDiskMove *)st->plan->disks->pdata[i])->how;
        if (how != (int)GW_DISK_STAYS && how != (int)GW_DISK_LEFT)
            return;
    }
    if (errors == 0)
        gw_storage_find(st, &gw_rule_storage_moves,
                        g_strdup_printf("Nothing of %s would move: its disks are there already",
                                        gw_plan_vm_name(st->input->vm)),
                        g_strdup("Another place, name or format for at least one disk."),
                        g_strdup("Choose another pool of the host."));
}

GHashTable *gw_storage_taken(GwStorage *st)
{
    if (st->taken == NULL)
        st->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return st->taken;
}

static GwStoragePlan *plan_storage(const GwPlanInput *input)
{
    GwStoragePlan *plan = g_new0(GwStoragePlan, 1);
    g_autoptr(GPtrArray) ways = g_ptr_array_new_with_free_func(way_free);
    g_autoptr(GPtrArray) own = input->reaches == NULL ? gw_reach_all(input) : NULL;
    GwStorage st = {
        .input = input,
        .options = gw_plan_options(input),
        .plan = plan,
        .ways = ways,
        .running = gw_plan_is_live(input->vm),
        .within = g_strcmp0(input->source->id, input->destination->id) == 0,
    };
    const GPtrArray *disks = input->vm->disks;

    plan->disks = gw_record_array(&gw_disk_move_record);
    plan->transfers = gw_record_array(&gw_transfer_option_record);
    plan->findings = gw_record_array(&gw_finding_record);
    if (gw_reach_is_known(input)) {
        check_choices(&st);
        for (guint i = 0; disks != NULL && i < disks->len; i++)
            plan_disk(&st, add_way(&st, own != NULL ? own : input->reaches, disks->pdata[i]));
        plan_states(&st);
        if (st.within)
            check_any_moves(&st);
    }
    gw_storage_transfers(&st);
    g_clear_pointer(&st.taken, g_hash_table_unref);
    return plan;
}

GwStoragePlan *gw_plan_storage(const GwPlanInput *input)
{
    GwPlanInput own = *input;
    g_autoptr(GwPlanShared) shared =
        input->shared == NULL ? gw_plan_shared_new(input->fabric) : NULL;

    if (shared != NULL)
        own.shared = shared;
    return plan_storage(&own);
}
