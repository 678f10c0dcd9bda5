/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/storage.h"

#include <string.h>

#include "base/error.h"

GW_DEFINE_RECORD(
    GwVolume, gw_volume, "Volume", "An image as a host has it, or as it is to be made.",
    GW_F(GwVolume, pool, GW_STRING, .doc = "Its pool; absent: it is in none."),
    GW_F(GwVolume, name, GW_STRING, .doc = "Its name in the pool."),
    GW_F(GwVolume, path, GW_STRING, .doc = "Absolute path; of a network disk protocol:name."),
    GW_F(GwVolume, server, GW_STRING, .doc = "Server of a network disk."),
    GW_F(GwVolume, kind, GW_STRING, .doc = "file, block, network or directory."),
    GW_F(GwVolume, format, GW_STRING, .doc = "raw, qcow2, …"),
    GW_F(GwVolume, capacity_bytes, GW_INT, .doc = "What the guest sees, bytes."),
    GW_F(GwVolume, allocation_bytes, GW_INT, .doc = "What it takes of its storage, bytes."),
    GW_F(GwVolume, length_bytes, GW_INT, .doc = "Length of the file or device, bytes."),
    GW_F(GwVolume, modified, GW_STRING, .doc = "When its content changed last, as its host says."),
    GW_F(GwVolume, cluster_bytes, GW_INT, .doc = "Cluster size of a qcow2, bytes; 0: its default."),
    GW_F(GwVolume, compat, GW_STRING, .doc = "Version of a qcow2: 0.10 or 1.1."),
    GW_F(GwVolume, lazy_refcounts, GW_BOOL, .doc = "Lazy reference counts (qcow2)."),
    GW_F(GwVolume, extended_l2, GW_BOOL, .doc = "Extended L2 entries (qcow2)."),
    GW_F(GwVolume, encrypted, GW_BOOL, .doc = "It is encrypted."),
    GW_F(GwVolume, internal_snapshots, GW_INT, .min = -1, .max = G_MAXINT64,
         .doc = "Snapshots inside it; -1: not told."),
    GW_F(GwVolume, backing_path, GW_STRING, .doc = "The image below it; absent: none."),
    GW_F(GwVolume, backing_format, GW_STRING, .doc = "Format of that image."),
    GW_F(GwVolume, owner, GW_STRING, .doc = "User that owns it, a number (R30)."),
    GW_F(GwVolume, group, GW_STRING, .doc = "Group that owns it, a number."),
    GW_F(GwVolume, mode, GW_STRING, .doc = "Permissions, octal."),
    GW_F(GwVolume, label, GW_STRING, .doc = "Security label."),
    GW_F(GwVolume, acl, GW_STRING, .doc = "Access list beyond the mode."),
    GW_F(GwVolume, used_by, GW_STRING,
         .doc = "Of a block device: the VM of its host that has it; absent: none is known."));

const GwEnum gw_disk_how_enum = {
    "DiskHow", (const char *const[]){ "stays", "mirror", "with memory", "block copy", "network",
                                      "fast copy", "convert", "san", "left", NULL }
};

GW_DEFINE_RECORD(GwImageMove, gw_image_move, "ImageMove",
                 "One image of a chain, from where it is to what it becomes.",
                 GW_F(GwImageMove, from, GW_OBJECT, .of = &gw_volume_record, .doc = "As it is."),
                 GW_F(GwImageMove, to, GW_OBJECT, .of = &gw_volume_record, .doc = "As it becomes."),
                 GW_F(GwImageMove, create, GW_BOOL, .doc = "It is made for this move."),
                 GW_F(GwImageMove, replace, GW_BOOL,
                      .doc = "A kept copy of it is in the way, and is removed first."),
                 GW_F(GwImageMove, delta, GW_BOOL,
                      .doc = "A kept copy of it is there: only what differs is sent."),
                 GW_F(GwImageMove, flatten, GW_BOOL,
                      .doc = "It takes the content of all images below as well."));

GW_DEFINE_RECORD(
    GwDiskMove, gw_disk_move, "DiskMove", "Where one disk goes, and how.",
    GW_F(GwDiskMove, target, GW_STRING, .doc = "The disk, e.g. vda; nvram; tpm."),
    GW_F(GwDiskMove, how, GW_ENUM, .of_enum = &gw_disk_how_enum, .doc = "How it gets there."),
    GW_F(GwDiskMove, why, GW_STRING, .doc = "Why so."),
    GW_F(GwDiskMove, images, GW_ARRAY, .of = &gw_image_move_record,
         .doc = "Its images, the top first; empty: nothing is copied."),
    GW_F(GwDiskMove, left, GW_ARRAY, .of = &gw_volume_record,
         .doc = "Images below it that it does not need as one image: they become old copies."),
    GW_F(GwDiskMove, need_bytes, GW_INT, .doc = "What the destination needs for it, bytes."),
    GW_F(GwDiskMove, copy_bytes, GW_INT, .doc = "What is to be copied at most, bytes."));

GW_DEFINE_RECORD(
    GwDiskChoice, gw_disk_choice, "DiskChoice", "What is chosen for one disk (R38).",
    GW_F(GwDiskChoice, target, GW_STRING, .flags = GW_REQUIRED, .doc = "The disk, e.g. vda."),
    GW_F(GwDiskChoice, storage, GW_STRING,
         .doc = "A pool, the path of one, a share path or a block device; default: as the rest."),
    GW_F(GwDiskChoice, name, GW_STRING, .doc = "Name of the volume; default: as it is called now."),
    GW_F(GwDiskChoice, format, GW_STRING, .doc = "raw or qcow2; default: as it is."));

GW_DEFINE_RECORD(GwDiskImages, gw_disk_images, "DiskImages",
                 "What the source says of the images of a disk.",
                 GW_F(GwDiskImages, target, GW_STRING, .doc = "The disk."),
                 GW_F(GwDiskImages, images, GW_ARRAY, .of = &gw_volume_record,
                      .doc = "Its chain, the top first."),
                 GW_F(GwDiskImages, error, GW_STRING, .doc = "Why it could not be read."));

GW_DEFINE_RECORD(GwDiskReached, gw_disk_reached, "DiskReached",
                 "Whether a host gets to what a disk lives on (R28).",
                 GW_F(GwDiskReached, target, GW_STRING, .doc = "The disk."),
                 GW_F(GwDiskReached, reached, GW_BOOL, .doc = "It does."),
                 GW_F(GwDiskReached, told, GW_BOOL, .doc = "It was tried."),
                 GW_F(GwDiskReached, why, GW_STRING, .doc = "Why not."));

const GwEnum gw_task_kind_enum = {
    "TaskKind",
    (const char *const[]){
        "volume-create",      "volume-replace", "volume-copy", "block-copy",
        "block-pivot",        "define",         "undefine",    "snapshots-forget",
        "snapshots-remember", "start",          "autostart",   "volume-keep",
        "volume-delete",      "overlay",        "merge",       "hba-stop",
        "hba-start",          "hba-check",      "hba-forget",  NULL }
};

const GwEnum gw_task_state_enum = { "TaskState",
                                    (const char *const[]){ "todo", "doing", "done", "failed",
                                                           "undoing", "undone", NULL } };

const GwEnum gw_task_turn_enum = { "TaskTurn", (const char *const[]){ "before", "after", NULL } };

GW_DEFINE_RECORD(GwTask, gw_task, "Task", "One step of a job on a host.",
                 GW_F(GwTask, kind, GW_ENUM, .of_enum = &gw_task_kind_enum, .doc = "What is done."),
                 GW_F(GwTask, turn, GW_ENUM, .of_enum = &gw_task_turn_enum,
                      .doc = "Before or after the VM is over."),
                 GW_F(GwTask, state, GW_ENUM, .of_enum = &gw_task_state_enum,
                      .doc = "How far it is."),
                 GW_F(GwTask, host_id, GW_STRING, .doc = "Where."),
                 GW_F(GwTask, peer_host_id, GW_STRING, .doc = "Where it comes from."),
                 GW_F(GwTask, target, GW_STRING, .doc = "The disk it is about."),
                 GW_F(GwTask, volume, GW_OBJECT, .of = &gw_volume_record,
                      .doc = "What it makes, fills or removes."),
                 GW_F(GwTask, from, GW_OBJECT, .of = &gw_volume_record, .doc = "What it reads."),
                 GW_F(GwTask, how, GW_ENUM, .of_enum = &gw_disk_how_enum,
                      .doc = "How it is copied."),
                 GW_F(GwTask, delta, GW_BOOL, .doc = "Only what differs is sent."),
                 GW_F(GwTask, made, GW_BOOL, .doc = "It is known that we made it."),
                 GW_F(GwTask, lost, GW_BOOL,
                      .doc = "An answer was lost: it may be done, whatever was said since."),
                 GW_F(GwTask, copied_bytes, GW_INT, .doc = "How far a copy surely got, bytes."),
                 GW_F(GwTask, total_bytes, GW_INT, .doc = "How long it is, bytes."),
                 GW_F(GwTask, why, GW_STRING, .doc = "Why it failed."));

GW_DEFINE_RECORD(GwCopyResult, gw_copy_result, "CopyResult", "What a finished copy says of itself.",
                 GW_F(GwCopyResult, read_bytes, GW_INT,
                      .doc = "Read of the source, without holes."),
                 GW_F(GwCopyResult, sent_bytes, GW_INT, .doc = "Sent."),
                 GW_F(GwCopyResult, written_bytes, GW_INT, .doc = "Written at the destination."),
                 GW_F(GwCopyResult, same_bytes, GW_INT, .doc = "That were there already."),
                 GW_F(GwCopyResult, digest, GW_STRING,
                      .doc = "Of the whole content, equal at both ends."),
                 GW_F(GwCopyResult, verified, GW_BOOL, .doc = "The destination's was read back."),
                 GW_F(GwCopyResult, how, GW_STRING, .doc = "In words."));

GW_DEFINE_RECORD(GwKeptVolume, gw_kept_volume, "KeptVolume",
                 "An old copy of a disk, kept for Undo until its time is over (I4).",
                 GW_F(GwKeptVolume, id, GW_STRING, .flags = GW_REQUIRED, .doc = "Identifier."),
                 GW_F(GwKeptVolume, job_id, GW_STRING, .doc = "The job that left it."),
                 GW_F(GwKeptVolume, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
                 GW_F(GwKeptVolume, vm_name, GW_STRING, .doc = "The VM's name."),
                 GW_F(GwKeptVolume, target, GW_STRING, .doc = "The disk."),
                 GW_F(GwKeptVolume, host_id, GW_STRING, .doc = "Where it is."),
                 GW_F(GwKeptVolume, volume, GW_OBJECT, .of = &gw_volume_record, .doc = "The copy."),
                 GW_F(GwKeptVolume, kept_at, GW_STRING, .doc = "Since when, RFC 3339."),
                 GW_F(GwKeptVolume, expires_at, GW_STRING, .doc = "When it is removed, RFC 3339."),
                 GW_F(GwKeptVolume, expires_s, GW_INT, .flags = GW_INTERNAL,
                      .doc = "The same, seconds since 1970."),
                 GW_F(GwKeptVolume, trouble, GW_STRING, .doc = "Why it could not be removed yet."));

GW_DEFINE_RECORD(
    GwStorageRequest, gw_storage_request, "StorageRequest",
    "Where to move a VM's storage within its host (R14).",
    GW_F(GwStorageRequest, storage, GW_STRING,
         .doc = "Where all of it goes; absent: only the chosen disks move, or, where none is "
                "chosen, all to the host's first default location."),
    GW_F(GwStorageRequest, disks, GW_ARRAY, .of = &gw_disk_choice_record,
         .max = GW_DISK_CHOICES_MAX, .doc = "Chosen disks, each once."),
    GW_F(GwStorageRequest, format, GW_STRING,
         .doc = "raw or qcow2, of all disks; default: as they are."),
    GW_F(GwStorageRequest, flatten, GW_BOOL,
         .doc = "One image for each disk; else backing chains are kept."),
    GW_F(GwStorageRequest, add_default_storage, GW_BOOL,
         .doc = "Add the path to the host's default locations (R18)."),
    GW_F(GwStorageRequest, wait_for_merge, GW_BOOL,
         .doc = "Wait for a running merge instead of refusing (R31)."),
    GW_F(GwStorageRequest, bandwidth_mibps, GW_INT, .max = 1000000,
         .doc = "Bandwidth limit in MiB/s; 0: none."),
    GW_F(GwStorageRequest, keep_source_s, GW_INT, .min = -1, .max = GW_KEEP_SOURCE_MAX_S,
         .doc = "How long old copies are kept for Undo, s; 0: the host's policy; -1: not at all."));

GW_DEFINE_RECORD(GwUndoPlan, gw_undo_plan, "UndoPlan", "What undoing a job would do.",
                 GW_F(GwUndoPlan, job_id, GW_STRING, .doc = "The job to undo."),
                 GW_F(GwUndoPlan, possible, GW_BOOL, .doc = "It can be undone."),
                 GW_F(GwUndoPlan, kind, GW_STRING, .doc = "Kind of the job that would do it."),
                 GW_F(GwUndoPlan, steps, GW_STRINGS, .doc = "What it would do, in order."),
                 GW_F(GwUndoPlan, why_not, GW_STRING, .doc = "Why it cannot."),
                 GW_F(GwUndoPlan, remedy, GW_STRING, .doc = "What to do about that."));

gboolean gw_volume_check_name(const char *name, GError **error)
{
    gboolean well = name != NULL && *name != '\0' && strlen(name) <= GW_VOLUME_NAME_MAX &&
                    g_utf8_validate(name, -1, NULL) && strchr(name, '/') == NULL &&
                    strcmp(name, ".") != 0 && strcmp(name, "..") != 0;

    for (const char *p = name; well && *p != '\0'; p++)
        well = !g_ascii_iscntrl(*p);
    if (!well)
        gw_error_set(error, GW_ERR_INVALID,
                     "Give one file name, without '/', of at most 255 bytes.",
                     "this cannot be a volume's name");
    return well;
}

gboolean gw_disk_move_is_delta(const GwDiskMove *move)
{
    return move->how == (int)GW_DISK_MIRROR && move->images != NULL && move->images->len == 2 &&
           ((const GwImageMove *)move->images->pdata[1])->delta;
}

gboolean gw_same_volume(const GwVolume *a, const GwVolume *b)
{
    if (a == NULL || b == NULL)
        return FALSE;
    if (a->path != NULL && b->path != NULL)
        return strcmp(a->path, b->path) == 0;
    return a->pool != NULL && a->name != NULL && g_strcmp0(a->pool, b->pool) == 0 &&
           g_strcmp0(a->name, b->name) == 0;
}

const GwImageMove *gw_disk_move_top(const GwDiskMove *move)
{
    if (move->images == NULL || move->images->len == 0)
        return NULL;
    return move->images->pdata[gw_disk_move_is_delta(move) ? 1 : 0];
}
