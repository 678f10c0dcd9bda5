/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine_internal.h"

/* Moving a VM's storage within its host (R14), as callers ask for it: the same preflight, queue and
 * journal as a move to another host, of which this is the one whose destination is its source. */

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
    move->options = gw_plan_storage_options(vm, request);
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
    const GwHost *host = gw_call_find_host(engine, call, call->in[0]);

    if (host != NULL)
        gw_engine_answer(call, gw_plan_locations(gw_engine_now(engine), host), NULL);
}

GPtrArray *gw_engine_locations(GwEngine *engine, const char *host, GError **error)
{
    return gw_engine_call(engine, call_locations, host, NULL, NULL, NULL, error);
}
