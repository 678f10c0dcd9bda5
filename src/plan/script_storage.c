/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/script.h"

#include <string.h>

#include "base/text.h"
#include "plan/rule.h"

/* Disks in virsh's words. Where virsh has none, a comment says what is to be done. */

#define XML_FILE "vm.xml" /* in the folder where the script runs; so is the one below */
#define IMAGE_FILE "image.tmp"

/* Names from hosts may hold a line end: nothing of them may leave the comment. */
void gw_script_comment(GStrvBuilder *lines, char *text)
{
    g_autofree char *clean = gw_text_printable(text, GW_TEXT_MESSAGE_MAX);

    for (char *p = clean; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    }
    gw_script_take(lines, g_strdup_printf("# %s", clean));
    g_free(text);
}

static const GwImageMove *image_at(const GwDiskMove *move, guint i)
{
    return move->images->pdata[i];
}

/* The volume as it is to be, without what lies below it: an image is filled before it is chained.
 */
static char *create_line(const GwPlanInput *input, const GwImageMove *image)
{
    const GwVolume *to = image->to;
    GString *line = gw_script_virsh(input, input->destination, "vol-create-as");

    gw_script_add_word(line, to->pool);
    gw_script_add_word(line, to->name);
    g_string_append_printf(line, " %" G_GINT64_FORMAT "b", to->capacity_bytes);
    if (g_strcmp0(to->kind, "block") != 0)
        g_string_append(line, " --allocation 0");
    if (to->format != NULL) {
        g_string_append(line, " --format");
        gw_script_add_word(line, to->format);
    }
    if (to->backing_path != NULL) {
        g_string_append(line, " --backing-vol");
        gw_script_add_word(line, to->backing_path);
        g_string_append(line, " --backing-vol-format");
        gw_script_add_word(line, gw_plan_text(to->backing_format));
    }
    return g_string_free(line, FALSE);
}

static void make_volume(GStrvBuilder *lines, const GwPlanInput *input, const GwImageMove *image)
{
    if (image->to->pool == NULL || (!image->create && !image->replace))
        return;
    if (image->replace) {
        GString *line = gw_script_virsh(input, input->destination, "vol-delete --pool");
        gw_script_add_word(line, image->to->pool);
        gw_script_add_word(line, image->to->name);
        gw_script_take(lines, g_string_free(line, FALSE));
    }
    gw_script_take(lines, create_line(input, image));
}

static char *transfer_line(const GwPlanInput *input, const GwHost *host, const char *command,
                           const GwVolume *volume)
{
    GString *line = gw_script_virsh(input, host, command);

    if (volume->pool != NULL) {
        g_string_append(line, " --pool");
        gw_script_add_word(line, volume->pool);
    }
    gw_script_add_word(line, volume->pool != NULL ? volume->name : volume->path);
    g_string_append(line, " " IMAGE_FILE " --sparse");
    return g_string_free(line, FALSE);
}

/* A file that virsh has no word for. */
static gboolean is_loose(const GwVolume *volume)
{
    return volume->pool == NULL && g_strcmp0(volume->kind, "block") != 0;
}

/* The bytes of a file as they are. */
static void copy_bytes(GStrvBuilder *lines, const GwPlanInput *input, const GwImageMove *image)
{
    if (is_loose(image->to) ||
        (image->from->pool == NULL && g_strcmp0(image->from->kind, "block") != 0 &&
         gw_share_pool_of_path(input->source, image->from->path) == NULL)) {
        gw_script_comment(
            lines,
            g_strdup_printf("Copy %s of %s to %s of %s as root, with its owner and mode "
                            "(rsync -aAXS): it is in no pool.",
                            gw_plan_text(image->from->path), gw_plan_host_name(input->source),
                            gw_plan_text(image->to->path), gw_plan_host_name(input->destination)));
        return;
    }
    make_volume(lines, input, image);
    gw_script_take(lines, transfer_line(input, input->source, "vol-download", image->from));
    gw_script_take(lines, transfer_line(input, input->destination, "vol-upload", image->to));
}

/* What virsh has no word for is done on the host. */
static void on_host(GStrvBuilder *lines, const GwPlanInput *input, const GwImageMove *image,
                    const char *command)
{
    g_autofree char *from = gw_plan_quote(image->from->path);
    g_autofree char *to = gw_plan_quote(image->to->path);

    gw_script_comment(lines,
                      g_strdup_printf("On %s: %s %s %s", gw_plan_host_name(input->destination),
                                      command, from, to));
    if (image->to->pool != NULL) {
        GString *line = gw_script_virsh(input, input->destination, "pool-refresh");
        gw_script_add_word(line, image->to->pool);
        gw_script_take(lines, g_string_free(line, FALSE));
    }
}

static void copy_image(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move,
                       const GwImageMove *image)
{
    if (move->how == (int)GW_DISK_FAST_COPY) {
        on_host(lines, input, image, "cp --reflink=always --sparse=always --preserve=all");
    } else if (move->how == (int)GW_DISK_CONVERT) {
        g_autofree char *command =
            g_strdup_printf("qemu-img convert -f %s -O %s", gw_plan_text(image->from->format),
                            gw_plan_text(image->to->format));
        on_host(lines, input, image, command);
    } else {
        copy_bytes(lines, input, image);
    }
}

/* All files of the disk, the lowest first. */
static void copy_disk(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move)
{
    for (guint i = move->images->len; i > 0; i--)
        copy_image(lines, input, move, image_at(move, i - 1));
}

static gboolean is_elsewhere(const GwImageMove *image)
{
    return g_strcmp0(image->from->path, image->to->path) != 0 ||
           g_strcmp0(image->from->format, image->to->format) != 0 || image->flatten;
}

/* What the definition names that is at another place then. */
static void say_changes(GStrvBuilder *lines, const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (!gw_plan_is_copied(move) || move->images->len == 0 || !is_elsewhere(image_at(move, 0)))
            continue;
        const GwVolume *to = image_at(move, 0)->to;
        gw_script_comment(lines, g_strdup_printf("In " XML_FILE ", let %s be %s%s%s.",
                                                 gw_plan_text(move->target), gw_plan_text(to->path),
                                                 to->format != NULL ? ", " : "",
                                                 to->format != NULL ? to->format : ""));
    }
    gw_script_say_nics(lines, input);
}

static gboolean needs_xml(const GwPlanInput *input)
{
    if (gw_nic_moves_change(input->nics))
        return TRUE;
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (gw_plan_is_copied(move) && move->images->len > 0 && is_elsewhere(image_at(move, 0)))
            return TRUE;
    }
    return FALSE;
}

gboolean gw_script_writes_files(const GwPlanInput *input)
{
    gboolean within = gw_plan_is_within(input);

    if (within ? input->vm->persistent : !gw_plan_is_live(input->vm) || needs_xml(input))
        return TRUE;
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        gboolean by_qemu = move->how == (int)GW_DISK_MIRROR || move->how == (int)GW_DISK_BLOCK_COPY;
        if (gw_plan_is_copied(move) && move->images->len > (by_qemu ? 1 : 0))
            return TRUE;
    }
    return FALSE;
}

/* The guest writes above its disk while that is copied; what is above is migrated, and merged. */
static void lay_above(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move,
                      const char *vm)
{
    const GwVolume *above = image_at(move, 0)->from;
    GString *rest = g_string_new("--no-metadata --disk-only --atomic");

    for (guint i = 0; input->vm->disks != NULL && i < input->vm->disks->len; i++) {
        const GwDisk *disk = input->vm->disks->pdata[i];
        gboolean this = g_strcmp0(disk->target, move->target) == 0;
        g_autofree char *spec = this
                                    ? g_strdup_printf("%s,snapshot=external,driver=qcow2,file=%s",
                                                      disk->target, above->path)
                                    : g_strdup_printf("%s,snapshot=no", gw_plan_text(disk->target));
        g_string_append(rest, " --diskspec");
        gw_script_add_word(rest, spec);
    }
    gw_script_take(lines, gw_script_on(input, input->source, "snapshot-create-as", vm, rest->str));
    gw_script_comment(
        lines, g_strdup_printf("When it has moved, on %s: virsh blockcommit, --active --shallow "
                               "--wait --pivot, for %s; then remove %s, and %s of %s.",
                               gw_plan_host_name(input->destination), move->target,
                               image_at(move, 0)->to->path, above->path,
                               gw_plan_host_name(input->source)));
    g_string_free(rest, TRUE);
}

void gw_script_before_live(GStrvBuilder *lines, const GwPlanInput *input, const char *vm)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (!gw_plan_is_copied(move))
            continue;
        gboolean mirrored = move->how == (int)GW_DISK_MIRROR;
        if (gw_disk_move_is_delta(move))
            lay_above(lines, input, move, vm);
        for (guint k = move->images->len; k > (mirrored ? 1 : 0); k--)
            copy_bytes(lines, input, image_at(move, k - 1));
        if (mirrored && move->images->len > 0)
            make_volume(lines, input, image_at(move, 0));
    }
    if (!needs_xml(input))
        return;
    gw_script_take(lines,
                   gw_script_on(input, input->source, "dumpxml --migratable", vm, " > " XML_FILE));
    say_changes(lines, input);
}

void gw_script_migrate_disks(GString *line, const GwPlanInput *input)
{
    g_autoptr(GString) targets = g_string_new(NULL);
    gboolean below = FALSE;

    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (move->how != (int)GW_DISK_MIRROR || move->images->len == 0)
            continue;
        g_string_append_printf(targets, "%s%s", targets->len > 0 ? "," : "",
                               gw_plan_text(move->target));
        below |= image_at(move, 0)->to->backing_path != NULL;
    }
    if (targets->len > 0) {
        g_string_append(line, below ? " --copy-storage-inc --migrate-disks"
                                    : " --copy-storage-all --migrate-disks");
        gw_script_add_word(line, targets->str);
    }
    if (needs_xml(input))
        g_string_append(line, " --xml " XML_FILE " --persistent-xml " XML_FILE);
}

static void copy_all(GStrvBuilder *lines, const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (gw_plan_is_copied(move))
            copy_disk(lines, input, move);
    }
}

/* virsh knows no file of its own: the definition goes through one here. */
static void redefine(GStrvBuilder *lines, const GwPlanInput *input, const char *vm)
{
    gw_script_take(lines, gw_script_on(input, input->source, "dumpxml --inactive --security-info",
                                       vm, " > " XML_FILE));
    say_changes(lines, input);
    GString *line = gw_script_virsh(input, input->destination, "define " XML_FILE);
    gw_script_take(lines, g_string_free(line, FALSE));
}

void gw_script_off(GStrvBuilder *lines, const GwPlanInput *input, const char *vm)
{
    copy_all(lines, input);
    gw_script_say_hbas(lines, input);
    redefine(lines, input, vm);
    if (input->vm->snapshots > 0)
        gw_script_comment(lines,
                          g_strdup("Take its snapshots along: virsh snapshot-dumpxml of each, then "
                                   "virsh snapshot-create --redefine, parents first."));
    gw_script_take(lines, gw_script_on(input, input->source, "undefine", vm,
                                       input->vm->snapshots > 0 ? " --keep-nvram --keep-tpm "
                                                                  "--snapshots-metadata"
                                                                : " --keep-nvram --keep-tpm"));
    if (input->vm->autostart)
        gw_script_take(lines, gw_script_on(input, input->destination, "autostart", vm, ""));
    if (gw_plan_options(input)->start)
        gw_script_take(lines, gw_script_on(input, input->destination, "start", vm, ""));
}

static void block_copy(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move,
                       const char *vm)
{
    gint64 bandwidth = gw_plan_options(input)->bandwidth_mibps;
    g_autoptr(GString) rest = g_string_new(NULL);

    for (guint k = move->images->len; k > 1; k--)
        copy_bytes(lines, input, image_at(move, k - 1));
    const GwImageMove *top = image_at(move, 0);
    make_volume(lines, input, top);
    gw_script_add_word(rest, move->target);
    if (g_strcmp0(top->to->kind, "network") == 0) {
        gw_script_comment(lines, g_strdup_printf("Write the <disk> with %s of %s into disk.xml.",
                                                 gw_plan_text(top->to->path),
                                                 gw_plan_text(top->to->server)));
        g_string_append(rest, " --xml disk.xml");
    } else {
        g_string_append(rest, " --dest");
        gw_script_add_word(rest, top->to->path);
        g_string_append_printf(rest, "%s --format",
                               g_strcmp0(top->to->kind, "block") == 0 ? " --blockdev" : "");
        gw_script_add_word(rest, gw_plan_text(top->to->format));
    }
    g_string_append_printf(rest, "%s --reuse-external --transient-job --wait --verbose --pivot",
                           top->to->backing_path != NULL ? " --shallow" : "");
    if (bandwidth > 0)
        g_string_append_printf(rest, " --bandwidth %" G_GINT64_FORMAT, bandwidth);
    gw_script_take(lines, gw_script_on(input, input->source, "blockcopy", vm, rest->str));
}

void gw_script_within(GStrvBuilder *lines, const GwPlanInput *input, const char *vm)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (!gw_plan_is_copied(move) || move->images->len == 0)
            continue;
        if (move->how == (int)GW_DISK_BLOCK_COPY)
            block_copy(lines, input, move, vm);
        else
            copy_disk(lines, input, move);
    }
    if (input->vm->persistent)
        redefine(lines, input, vm);
}
