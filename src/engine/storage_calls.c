/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"

/* Moving a VM's storage within its host (R14), as callers ask for it: the same preflight, queue and
 * journal as a move to another host, of which this is the one whose destination is its source. */

static GwDiskChoice *choice_of(GPtrArray *choices, const char *target)
{
    return gw_record_find(&gw_disk_choice_record, choices, "target", target);
}

/* The planner knows formats by disk alone. */
static void spread_format(const GwVm *vm, const GwStorageRequest *request, GwMoveOptions *options)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        GwDiskChoice *choice = choice_of(options->disks, disk->target);
        gboolean moves = choice != NULL || request->storage != NULL || request->disks == NULL ||
                         request->disks->len == 0;
        if (!moves || !gw_disk_is_writable(disk))
            continue;
        if (choice == NULL) {
            choice = gw_disk_choice_new();
            choice->target = g_strdup(disk->target);
            g_ptr_array_add(options->disks, choice);
        }
        if (choice->format == NULL)
            choice->format = g_strdup(request->format);
    }
}

static GwMoveOptions *options_of(const GwVm *vm, const GwStorageRequest *request)
{
    GwMoveOptions *options = gw_move_options_new();

    options->transfer = GW_TRANSFER_STORAGE;
    options->storage = g_strdup(request->storage);
    options->disks = gw_record_array(&gw_disk_choice_record);
    for (guint i = 0; request->disks != NULL && i < request->disks->len; i++)
        g_ptr_array_add(options->disks, gw_disk_choice_copy(request->disks->pdata[i]));
    if (request->format != NULL)
        spread_format(vm, request, options);
    options->flatten = request->flatten;
    options->add_default_storage = request->add_default_storage;
    options->wait_for_merge = request->wait_for_merge;
    options->bandwidth_mibps = request->bandwidth_mibps;
    options->keep_source_s = request->keep_source_s;
    return options;
}

/* As a move to the host where it is. */
static GwMoveRequest *as_move(GwEngine *engine, const char *name, const GwStorageRequest *request,
                              GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *vm = gw_fabric_find_vm(fabric, name, error);

    if (vm == NULL)
        return NULL;
    GwMoveRequest *move = gw_move_request_new();
    move->destination = g_strdup(vm->host_id);
    move->options = options_of(vm, request);
    return move;
}

GwMovePlan *gw_engine_plan_storage(GwEngine *engine, const char *vm,
                                   const GwStorageRequest *request, GError **error)
{
    g_autoptr(GwMoveRequest) move = as_move(engine, vm, request, error);

    return move != NULL ? gw_engine_plan_move(engine, vm, move, error) : NULL;
}

GwJob *gw_storage_begin(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                        const char *user, const char *undoes, GwMovePlan **plan, GError **error)
{
    g_autoptr(GwMoveRequest) move = as_move(engine, vm, request, error);
    BeginMove begin = { .vm = vm, .request = move, .user = user, .undoes = undoes };

    if (plan != NULL)
        *plan = NULL;
    return move != NULL ? gw_moves_begin(engine, &begin, plan, error) : NULL;
}

GwJob *gw_engine_migrate_storage(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                                 const char *user, GwMovePlan **plan, GError **error)
{
    return gw_storage_begin(engine, vm, request, user, NULL, plan, error);
}

static void call_locations(GwEngine *engine, Call *call)
{
    const GwHost *host = gw_fabric_find_host(gw_engine_now(engine), call->in[0]);
    GError *error = NULL;

    if (host != NULL) {
        gw_engine_answer(call, gw_plan_locations(gw_engine_now(engine), host), NULL);
        return;
    }
    gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'",
                 (const char *)call->in[0]);
    gw_engine_answer(call, NULL, error);
}

GPtrArray *gw_engine_locations(GwEngine *engine, const char *host, GError **error)
{
    return gw_engine_call(engine, call_locations, host, NULL, NULL, NULL, error);
}
