/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/xml.h"
#include "hyper/sim_storage.h"

/* Definitions: what is left of a VM when its process is gone. Their XML has the disks as libvirt's
 * has, and the whole record in <description>, so that it can be defined again elsewhere. */

GPtrArray *gw_sim_disks_copy(const GPtrArray *disks)
{
    GPtrArray *copy = gw_record_array(&gw_disk_record);

    for (guint i = 0; disks != NULL && i < disks->len; i++)
        g_ptr_array_add(copy, gw_disk_copy(disks->pdata[i]));
    return copy;
}

GPtrArray *gw_sim_defined(const SimVm *vm)
{
    return vm->defined != NULL ? vm->defined : vm->vm->disks;
}

static void set_text(char **text, const char *value)
{
    char *copy = g_strdup(value);
    g_free(*text);
    *text = copy;
}

void gw_sim_forget_live(SimVm *vm)
{
    if (vm->defined != NULL) {
        g_clear_pointer(&vm->vm->disks, g_ptr_array_unref);
        vm->vm->disks = g_steal_pointer(&vm->defined);
    }
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        GwDisk *disk = vm->vm->disks->pdata[i];
        disk->block_job = FALSE;
        g_clear_pointer(&disk->block_job_kind, g_free);
    }
}

/* Disks that become others ------------------------------------------------------------------ */

static const char *type_of(const GwVolume *volume)
{
    return volume->kind != NULL && strcmp(volume->kind, "directory") != 0 ? volume->kind : "file";
}

static void apply_move(const SimHost *host, GwDisk *disk, const GwDiskMove *move)
{
    const GwImageMove *top = move->images->pdata[0];
    const GwImageMove *lower =
        move->images->len > 1 && !top->flatten ? move->images->pdata[1] : NULL;
    g_autofree char *path = gw_sim_path_of(host, top->to);
    g_autofree char *below = lower != NULL && lower->to != NULL
                                 ? gw_sim_path_of(host, lower->to)
                                 : g_strdup(top->flatten ? NULL : top->to->backing_path);

    set_text(&disk->source, path);
    set_text(&disk->source_host, top->to->server);
    set_text(&disk->type, type_of(top->to));
    set_text(&disk->backing_path, below);
    disk->backing_depth = below != NULL ? MAX(1, (gint64)move->images->len - 1) : 0;
    if (top->to->format != NULL)
        set_text(&disk->format, top->to->format);
}

gboolean gw_sim_apply_moves(const SimHost *host, GwVm *vm, GPtrArray *disks, const GPtrArray *moves,
                            GError **error)
{
    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwDiskMove *move = moves->pdata[i];
        const GwImageMove *top =
            move->images != NULL && move->images->len > 0 ? move->images->pdata[0] : NULL;
        GwDisk *disk = gw_record_find(&gw_disk_record, disks, "target", move->target);

        if (top == NULL || top->to == NULL || g_strcmp0(move->target, "tpm") == 0)
            continue;
        g_autofree char *path = gw_sim_path_of(host, top->to);
        if (path == NULL || (disk == NULL && g_strcmp0(move->target, "nvram") != 0)) {
            gw_error_set(error, GW_ERR_NOT_FOUND, NULL,
                         "the VM has no disk %s, or its pool is not here", move->target);
            return FALSE;
        }
        if (disk != NULL)
            apply_move(host, disk, move);
        else
            set_text(&vm->nvram, path);
    }
    return TRUE;
}

/* XML -------------------------------------------------------------------------------------- */

static void write_disk(const GwDisk *disk, GString *xml)
{
    static const char *const attributes[][2] = {
        { "file", "file" }, { "block", "dev" }, { "network", "name" }, { "volume", "volume" }
    };
    const char *attribute = "file";

    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        if (g_strcmp0(disk->type, attributes[i][0]) == 0)
            attribute = attributes[i][1];
    }
    g_autofree char *text = g_markup_printf_escaped(
        "<disk type='%s' device='%s'><driver name='qemu' type='%s'/>",
        disk->type != NULL ? disk->type : "file", disk->device != NULL ? disk->device : "disk",
        disk->format != NULL ? disk->format : "raw");
    g_autofree char *source =
        disk->source != NULL ? g_markup_printf_escaped("<source %s='%s'/>", attribute, disk->source)
                             : g_strdup("");
    g_autofree char *target =
        g_markup_printf_escaped("<target dev='%s' bus='%s'/></disk>", disk->target,
                                disk->bus != NULL ? disk->bus : "virtio");
    g_string_append(xml, text);
    g_string_append(xml, source);
    g_string_append(xml, target);
}

static char *xml_of(const SimVm *vm)
{
    GPtrArray *disks = gw_sim_defined(vm);
    g_autoptr(GwVm) record = gw_vm_copy(vm->vm);
    GString *xml = g_string_new(NULL);

    g_clear_pointer(&record->disks, g_ptr_array_unref);
    record->disks = gw_sim_disks_copy(disks);
    g_autoptr(GwJson) json = gw_record_to_json(&gw_vm_record, record);
    g_autofree char *text = gw_json_text(json);
    g_autofree char *head = g_markup_printf_escaped(
        "<domain type='%s'><name>%s</name><uuid>%s</uuid><description>%s</description>",
        record->virt_type != NULL ? record->virt_type : "qemu", record->name, record->uuid, text);
    g_string_append(xml, head);
    if (record->nvram != NULL) {
        g_autofree char *nvram =
            g_markup_printf_escaped("<os><nvram>%s</nvram></os>", record->nvram);
        g_string_append(xml, nvram);
    }
    g_string_append(xml, "<devices>");
    for (guint i = 0; i < record->disks->len; i++)
        write_disk(record->disks->pdata[i], xml);
    g_string_append(xml, "</devices></domain>");
    return g_string_free(xml, FALSE);
}

/* Who changed the disks in the text meant it. */
static void take_disks(GwXml *xml, GwVm *vm)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, "/domain/devices/disk");
    g_autofree char *nvram = gw_xml_string(xml, NULL, "/domain/os/nvram");

    for (guint i = 0; i < nodes->len; i++) {
        g_autofree char *target = gw_xml_string(xml, nodes->pdata[i], "target/@dev");
        g_autofree char *source = gw_xml_string(
            xml, nodes->pdata[i], "source/@file|source/@dev|source/@name|source/@volume");
        g_autofree char *format = gw_xml_string(xml, nodes->pdata[i], "driver/@type");
        GwDisk *disk = gw_record_find(&gw_disk_record, vm->disks, "target", target);
        if (disk == NULL)
            continue;
        set_text(&disk->source, source);
        set_text(&disk->format, format);
    }
    if (nvram != NULL)
        set_text(&vm->nvram, nvram);
}

/* What a definition says, or a VM with nothing but its UUID where it says too little. */
static GwVm *vm_from_xml(const char *text, const char *uuid)
{
    g_autoptr(GwXml) xml = text != NULL ? gw_xml_parse(text, NULL) : NULL;
    g_autofree char *inside = xml != NULL ? gw_xml_string(xml, NULL, "/domain/description") : NULL;
    g_autoptr(GwJson) json =
        inside != NULL ? gw_json_parse(inside, strlen(inside), GW_JSON_TEXT_MAX, NULL) : NULL;
    GwVm *vm = json != NULL ? gw_record_from_stored(&gw_vm_record, json, NULL) : NULL;

    if (vm != NULL) {
        take_disks(xml, vm);
    } else {
        vm = gw_vm_new();
        vm->uuid = g_strdup(uuid);
        vm->name = g_strdup(uuid);
    }
    return vm;
}

/* @like, which is defined elsewhere or nowhere, as a definition of @host. */
static void add_defined(SimHost *host, const GwVm *like)
{
    SimVm *vm = gw_sim_add_vm(host, like);

    vm->vm->state = GW_VM_OFF;
    vm->vm->persistent = TRUE;
    vm->vm->autostart = FALSE;
    vm->vm->snapshots = 0;
    set_text(&vm->vm->state_reason, "unknown");
    set_text(&vm->reason, "unknown");
}

/* Requests --------------------------------------------------------------------------------- */

/* A definition that is there stays. */
static void define(SimHost *host, const GwRequest *request)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (vm != NULL && vm->vm->persistent)
        return;
    g_autoptr(GwVm) said = vm_from_xml(request->text, request->vm_uuid);
    if (vm == NULL) {
        add_defined(host, said);
        return;
    }
    vm->vm->persistent = TRUE;
    if (said->disks != NULL && said->disks->len > 0) {
        g_clear_pointer(&vm->defined, g_ptr_array_unref);
        vm->defined = gw_sim_disks_copy(said->disks);
    }
}

/* A running VM whose disks are not where @moves say writes to the old ones; NULL: it does not. */
static const char *runs_on_old(const SimHost *host, const SimVm *vm, const GPtrArray *moves)
{
    for (guint i = 0; gw_vm_is_active(vm->vm) && moves != NULL && i < moves->len; i++) {
        const GwDiskMove *move = moves->pdata[i];
        const GwDisk *disk = gw_record_find(&gw_disk_record, vm->vm->disks, "target", move->target);
        gboolean offline = move->how == GW_DISK_NETWORK || move->how == GW_DISK_FAST_COPY ||
                           move->how == GW_DISK_CONVERT;
        if (!offline || move->images == NULL || move->images->len == 0)
            continue;
        const GwImageMove *top = move->images->pdata[0];
        g_autofree char *path = top->to != NULL ? gw_sim_path_of(host, top->to) : NULL;
        if (path != NULL && (disk == NULL || g_strcmp0(disk->source, path) != 0))
            return move->target;
    }
    return NULL;
}

static void define_from(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    const SimHost *peer = gw_sim_host_by_name(sim, request->peer_host_id);
    SimVm *from = peer != NULL ? gw_sim_find(peer, request->vm_uuid) : NULL;
    SimVm *here = gw_sim_find(host, request->vm_uuid);

    if (peer == NULL ||
        (peer != host && (peer->down || gw_clock_now_us(sim->clock) < peer->agent_down_until_us))) {
        gw_error_set(&reply->error, GW_ERR_UNREACHABLE, NULL, "the other host does not answer");
        return;
    }
    if (from == NULL || !from->vm->persistent) {
        if (here == NULL || !here->vm->persistent)
            gw_error_set(&reply->error, GW_ERR_NOT_FOUND, NULL, "no such VM");
        return;
    }
    const char *old = from == here ? runs_on_old(host, here, request->disks) : NULL;
    if (old != NULL) {
        gw_error_set(&reply->error, GW_ERR_CONFLICT, "Shut it down and try again.",
                     "the VM was started, and runs on the old image of %s", old);
        return;
    }
    g_autoptr(GwVm) like = gw_vm_copy(from->vm);
    g_clear_pointer(&like->disks, g_ptr_array_unref);
    like->disks = gw_sim_disks_copy(gw_sim_defined(from));
    if (!gw_sim_apply_moves(host, like, like->disks, request->disks, &reply->error) ||
        !gw_sim_apply_nics(like, request->nics, &reply->error))
        return;
    if (here == NULL) {
        add_defined(host, like);
        return;
    }
    here->vm->persistent = TRUE;
    set_text(&here->vm->nvram, like->nvram);
    GPtrArray **disks = gw_vm_is_active(here->vm) ? &here->defined : &here->vm->disks;
    g_clear_pointer(disks, g_ptr_array_unref);
    *disks = g_steal_pointer(&like->disks);
    if (!gw_vm_is_active(here->vm)) {
        g_clear_pointer(&here->vm->nics, g_ptr_array_unref);
        here->vm->nics = g_steal_pointer(&like->nics);
    }
}

/* Snapshots -------------------------------------------------------------------------------- */

static void tell_snapshots(const SimVm *vm, GwReply *reply)
{
    guint count = vm->snapshots != NULL ? vm->snapshots->len : 0;

    reply->definitions = g_new0(char *, count + 1);
    for (guint i = 0; i < count; i++)
        reply->definitions[i] = g_strdup(vm->snapshots->pdata[i]);
    reply->text = g_strdup(vm->snapshot);
}

static void remember_snapshots(SimVm *vm, const GwRequest *request)
{
    if (vm->snapshots == NULL)
        vm->snapshots = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; request->definitions != NULL && request->definitions[i] != NULL; i++) {
        if (!g_ptr_array_find_with_equal_func(vm->snapshots, request->definitions[i], g_str_equal,
                                              NULL))
            g_ptr_array_add(vm->snapshots, g_strdup(request->definitions[i]));
    }
    if (request->text != NULL)
        set_text(&vm->snapshot, request->text);
    vm->vm->snapshots = vm->snapshots->len;
}

static void forget_snapshots(SimVm *vm)
{
    g_clear_pointer(&vm->snapshots, g_ptr_array_unref);
    g_clear_pointer(&vm->snapshot, g_free);
    vm->vm->snapshots = 0;
}

void gw_sim_define_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (request->op == GW_OP_DEFINE)
        define(host, request);
    else if (request->op == GW_OP_DEFINE_FROM)
        define_from(sim, host, request, reply);
    else if (vm == NULL)
        gw_error_set(&reply->error, GW_ERR_NOT_FOUND, NULL, "no such VM");
    else if (request->op == GW_OP_GET_XML)
        reply->text = xml_of(vm);
    else if (request->op == GW_OP_SNAPSHOTS)
        tell_snapshots(vm, reply);
    else if (request->op == GW_OP_SNAPSHOTS_FORGET)
        forget_snapshots(vm);
    else
        remember_snapshots(vm, request);
}
