/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undo_world.h"

#include <string.h>

#define GIB ((gint64)1 << 30)

static json_t *vm_json(const char *uuid, const char *name, const char *state, const char *source)
{
    json_t *vm = world_vm_json(uuid, name);

    json_object_set_new(vm, "memory_kib", json_integer(4194304));
    json_object_set_new(vm, "max_memory_kib", json_integer(4194304));
    json_object_set_new(vm, "state", json_string(state));
    json_object_set_new(vm, "state_reason",
                        json_string(strcmp(state, "off") == 0 ? "shutdown" : "booted"));
    json_object_set_new(vm, "disks",
                        json_pack("[{s:s,s:s,s:s,s:s,s:s,s:s,s:I}]", "target", "vda", "device",
                                  "disk", "type", "file", "source", source, "format", "raw",
                                  "cache", "none", "capacity_bytes", (json_int_t)GIB));
    return vm;
}

static json_t *host_json(guint index)
{
    json_t *host = world_host_json(index);

    json_object_set_new(json_object_get(host, "facts"), "pools",
                        json_pack("[{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:s,s:b}]", "name", "local",
                                  "type", "dir", "target_path", "/vms", "active", 1, "name", "nas",
                                  "type", "netfs", "target_path", "/nas", "source",
                                  "nas.example.org:/export", "active", 1));
    return host;
}

void undo_open_with(World *world, const char *other)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < 3; i++)
        json_array_append_new(hosts, host_json(i));
    json_object_set_new(json_array_get(hosts, 0), "vms",
                        json_pack("[o,o]", vm_json(UNDO_WEB, "web", "off", "/vms/web.raw"),
                                  vm_json(UNDO_RUN, "run", "running", "/nas/run.raw")));
    if (other != NULL)
        json_object_set_new(json_array_get(hosts, 2), "vms",
                            json_pack("[o]", vm_json(UNDO_OTHER, "other", "off", other)));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i,s:i}", "hosts", hosts, "link_mibps", 100, "dirty_mibps", 0));
    world_start(world);
    for (guint i = 0; i < 3; i++)
        world_add_host(world, i);
    world_run(world, SECONDS(2));
}

void undo_open(World *world)
{
    undo_open_with(world, NULL);
}

void undo_plant(World *world, const char *at, const char *what, guint times)
{
    for (guint i = 0; i < times; i++) {
        g_autoptr(GwJson) fault =
            json_pack("{s:s,s:s,s:i,s:i}", "at", at, "do", what, "percent", 0, "ms", 1000);
        UNIT_OK(gw_sim_fault(world->sim, fault, error));
    }
}

char *undo_begin(World *world, const char *vm, const char *host)
{
    g_autoptr(GwMoveRequest) request = storage_request_to(host);
    return storage_begin(world, vm, request);
}

GwJob *undo_await_end(World *world, const char *id, GwJobState state)
{
    for (int i = 0; i < 3600; i++) {
        g_autoptr(GwJob) job = world_job(world, id);
        if (gw_job_state_is_final((GwJobState)job->state)) {
            if (job->state != (int)state)
                fail_msg("'%s' is %s: %s", job->title, gw_enum_word(&gw_job_state_enum, job->state),
                         job->error != NULL ? job->error->message : "no error");
            return g_steal_pointer(&job);
        }
        world_run(world, SECONDS(1));
    }
    g_autoptr(GwJob) job = world_job(world, id);
    fail_msg("'%s' does not end: %s, %s", job->title, gw_enum_word(&gw_job_state_enum, job->state),
             job->waiting_for != NULL ? job->waiting_for : "");
    return NULL;
}

void undo_ends(World *world, const char *id, GwJobState state)
{
    G_GNUC_UNUSED g_autoptr(GwJob) job = undo_await_end(world, id, state);
}

void undo_cancel(World *world, const char *id)
{
    GError *error = NULL;
    g_autoptr(GwJob) job = gw_engine_cancel_job(world->engine, id, &error);

    if (job == NULL)
        fail_msg("not cancelled: %s", error->message);
}

guint undo_content(World *world, guint host, const char *path)
{
    g_autofree char *uri = world_uri(host);
    return gw_sim_content(world->sim, uri, path);
}

gboolean undo_is_at(World *world, guint host, const char *uuid, GwVmState state)
{
    g_autofree char *uri = world_uri(host);
    g_autoptr(GwLook) look = gw_sim_look(world->sim, uri, uuid);
    return look != NULL && look->present && look->state == (int)state;
}

void undo_check(World *world, const char *when)
{
    storage_check_witness(world, when);
    assert_int_equal(gw_sim_definitions(world->sim, UNDO_WEB), 1);
    assert_int_equal(gw_sim_definitions(world->sim, UNDO_RUN), 1);
    assert_int_equal(gw_sim_most_running(world->sim, UNDO_RUN), 1);
}
