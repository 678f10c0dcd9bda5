/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "plan/script.h"

/* R43: what is done with disks, as virsh commands. What virsh has no command for is said in a
 * comment: a script that leaves it out would look complete. */

static void comment(GStrvBuilder *lines, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void comment(GStrvBuilder *lines, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = gw_text_printable(text, GW_TEXT_MESSAGE_MAX);
    g_strdelimit(line, "\n\t", ' '); /* what follows a line's end would be a command */
    gw_script_take(lines, g_strconcat("# ", line, NULL));
}

static const char *where(const GwVolume *volume)
{
    return gw_plan_text(volume->path != NULL ? volume->path : volume->name);
}

static void add_create(GStrvBuilder *lines, const GwPlanInput *input, const GwImageMove *image)
{
    const GwVolume *to = image->to;

    if (image->replace && to->pool != NULL) {
        GString *gone = gw_script_virsh(input, input->destination, "vol-delete --pool");
        gw_script_word(gone, to->pool);
        gw_script_word(gone, to->name);
        gw_script_take(lines, g_string_free(gone, FALSE));
    }
    if (!image->create || to->pool == NULL || to->capacity_bytes <= 0)
        return;
    GString *line = gw_script_virsh(input, input->destination, "vol-create-as");
    gw_script_word(line, to->pool);
    gw_script_word(line, to->name);
    g_string_append_printf(line, " %" G_GINT64_FORMAT "B", to->capacity_bytes);
    if (to->format != NULL) {
        g_string_append(line, " --format");
        gw_script_word(line, to->format);
    }
    if (to->backing_path != NULL && to->backing_format != NULL) {
        g_string_append(line, " --backing-vol");
        gw_script_word(line, to->backing_path);
        g_string_append(line, " --backing-vol-format");
        gw_script_word(line, to->backing_format);
    }
    gw_script_take(lines, g_string_free(line, FALSE));
}

/* Byte for byte, by way of where virsh runs. */
static void add_copy(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move,
                     const GwImageMove *image)
{
    const GwVolume *from = image->from;
    const GwVolume *to = image->to;

    if (from->pool == NULL || to->pool == NULL || move->how == (int)GW_DISK_CONVERT) {
        comment(lines, "Disk %s: copy %s to %s%s%s.", gw_plan_text(move->target), where(from),
                where(to), move->how == (int)GW_DISK_CONVERT ? ", as format " : "",
                move->how == (int)GW_DISK_CONVERT ? gw_plan_text(to->format) : "");
        return;
    }
    GString *get = gw_script_virsh(input, input->source, "vol-download --sparse --pool");
    gw_script_word(get, from->pool);
    gw_script_word(get, from->name);
    g_string_append(get, " copy.img");
    gw_script_take(lines, g_string_free(get, FALSE));
    GString *put = gw_script_virsh(input, input->destination, "vol-upload --sparse --pool");
    gw_script_word(put, to->pool);
    gw_script_word(put, to->name);
    g_string_append(put, " copy.img");
    gw_script_take(lines, g_string_free(put, FALSE));
}

static gboolean is_by_qemu(const GwDiskMove *move)
{
    return move->how == (int)GW_DISK_MIRROR || move->how == (int)GW_DISK_BLOCK_COPY;
}

/* The volumes of each disk, the lowest image first, and the content that QEMU does not bring. */
static void add_volumes(GStrvBuilder *lines, const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        for (guint k = gw_plan_is_copied(move) ? move->images->len : 0; k > 0; k--) {
            const GwImageMove *image = move->images->pdata[k - 1];
            if (image->from == NULL || image->to == NULL)
                continue;
            add_create(lines, input, image);
            if (k > 1 || !is_by_qemu(move))
                add_copy(lines, input, move, image);
        }
    }
}

static void add_definition(GStrvBuilder *lines, const GwPlanInput *input, const char *options)
{
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    GString *line = gw_script_virsh(input, input->source, "dumpxml ");

    g_string_append_printf(line, "%s %s > vm.xml", options, vm);
    gw_script_take(lines, g_string_free(line, FALSE));
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        const GwImageMove *top =
            gw_plan_is_copied(move) && move->images->len > 0 ? move->images->pdata[0] : NULL;
        if (top != NULL && top->to != NULL)
            comment(lines, "In vm.xml, let %s name %s%s%s.", gw_plan_text(move->target),
                    where(top->to), top->to->format != NULL ? ", format " : "",
                    top->to->format != NULL ? top->to->format : "");
    }
}

void gw_script_before_vsm(GStrvBuilder *lines, const GwPlanInput *input)
{
    add_volumes(lines, input);
    add_definition(lines, input, "--migratable");
}

/* Of a chain only the top is mirrored; what is below was copied. */
static gboolean keeps_chains(const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        const GwImageMove *top = move->images->len > 0 ? move->images->pdata[0] : NULL;
        if (move->how == (int)GW_DISK_MIRROR && top != NULL && top->to != NULL &&
            top->to->backing_path != NULL)
            return TRUE;
    }
    return FALSE;
}

void gw_script_vsm_options(GString *line, const GwPlanInput *input)
{
    g_autoptr(GString) targets = g_string_new(NULL);

    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (move->how == (int)GW_DISK_MIRROR)
            g_string_append_printf(targets, "%s%s", targets->len > 0 ? "," : "", move->target);
    }
    g_string_append(line, keeps_chains(input) ? " --copy-storage-inc" : " --copy-storage-all");
    if (targets->len > 0) {
        g_string_append(line, " --migrate-disks");
        gw_script_word(line, targets->str);
    }
    g_string_append(line, " --xml vm.xml");
    gw_script_flag(line, "--persistent-xml vm.xml", input->vm->persistent);
}

static void add_on(GStrvBuilder *lines, const GwPlanInput *input, const GwHost *host,
                   const char *command, const char *rest)
{
    GString *line = gw_script_virsh(input, host, command);

    g_string_append_printf(line, " %s", rest);
    gw_script_take(lines, g_string_free(line, FALSE));
}

void gw_script_off(GStrvBuilder *lines, const GwPlanInput *input)
{
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);

    add_volumes(lines, input);
    add_definition(lines, input, "--inactive --security-info");
    add_on(lines, input, input->destination, "define", "vm.xml");
    if (input->vm->autostart)
        add_on(lines, input, input->destination, "autostart", vm);
    g_autofree char *undefine = g_strconcat(vm, " --keep-nvram", NULL);
    add_on(lines, input, input->source, "undefine", undefine);
    if (gw_plan_options(input)->start)
        add_on(lines, input, input->destination, "start", vm);
}

static void add_block_copy(GStrvBuilder *lines, const GwPlanInput *input, const GwDiskMove *move)
{
    const GwImageMove *top = move->images->pdata[0];
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    GString *line = gw_script_virsh(input, input->source, "blockcopy");

    g_string_append_printf(line, " %s", vm);
    gw_script_word(line, move->target);
    g_string_append(line, " --dest");
    gw_script_word(line, where(top->to));
    gw_script_flag(line, "--blockdev", g_strcmp0(top->to->kind, "block") == 0);
    gw_script_flag(line, "--shallow", top->to->backing_path != NULL);
    gw_script_flag(line, "--reuse-external", top->create && top->to->pool != NULL);
    if (top->to->format != NULL) {
        g_string_append(line, " --format");
        gw_script_word(line, top->to->format);
    }
    gw_script_number(line, "--bandwidth", gw_plan_options(input)->bandwidth_mibps);
    g_string_append(line, " --transient-job --wait --verbose --pivot");
    gw_script_take(lines, g_string_free(line, FALSE));
}

void gw_script_within(GStrvBuilder *lines, const GwPlanInput *input)
{
    gboolean redefine = FALSE;

    add_volumes(lines, input);
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        const GwImageMove *top =
            gw_plan_is_copied(move) && move->images->len > 0 ? move->images->pdata[0] : NULL;
        if (top == NULL || top->to == NULL)
            continue;
        if (move->how == (int)GW_DISK_BLOCK_COPY)
            add_block_copy(lines, input, move);
        redefine = redefine || move->how != (int)GW_DISK_BLOCK_COPY;
    }
    if (!redefine && !input->vm->persistent)
        return;
    add_definition(lines, input, "--inactive --security-info");
    add_on(lines, input, input->source, "define", "vm.xml");
}
