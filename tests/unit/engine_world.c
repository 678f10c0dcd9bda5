/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <glib/gstdio.h>

static guint agents;

void world_set_agents(guint mask)
{
    agents = mask;
}

char *world_uri(guint index)
{
    if ((agents >> index & 1) != 0)
        return g_strdup_printf("godwit://%c.example.org/01J0000000000000000000000%c",
                               (char)('a' + index), (char)('A' + index));
    return g_strdup_printf("qemu+tls://%c.example.org/system", (char)('a' + index));
}

/* In memory where there is such a place: hundreds of trials commit thousands of times. */
static char *make_folder(void)
{
    const char *base = g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir();
    char *path = g_build_filename(base, "godwit-engine-XXXXXX", NULL);
    assert_non_null(g_mkdtemp(path));
    return path;
}

json_t *world_host_json(guint index)
{
    g_autofree char *uri = world_uri(index);
    g_autofree char *name = g_strdup_printf("%c.example.org", (char)('a' + index));
    g_autofree char *uuid = g_strdup_printf("aaaaaaaa-0000-4000-8000-%012u", index);

    return json_pack("{s:s, s:{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:[s], s:[{s:s,s:s,s:b}],"
                     " s:[{s:s,s:s,s:s,s:s,s:b}]}}",
                     "uri", uri, "facts", "host_uuid", uuid, "hostname", name, "arch", "x86_64",
                     "cpus", 8, "memory_kib", 33554432, "free_memory_kib", 30000000,
                     "libvirt_version", 11003000, "qemu_version", 10000002, "machines",
                     "pc-q35-7.2", "networks", "name", "lab", "kind", "libvirt", "active", 1,
                     "pools", "name", "images", "type", "netfs", "target_path", "/images", "source",
                     "nas:/images", "active", 1);
}

json_t *world_vm_json(const char *uuid, const char *name)
{
    g_autofree char *disk = g_strdup_printf("/images/%s.raw", name);

    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:i,s:i,s:i,s:s,s:s,s:s,"
                     " s:[{s:s,s:s,s:s,s:s,s:s,s:s}], s:[{s:s,s:s}]}",
                     "uuid", uuid, "name", name, "state", "running", "state_reason", "booted",
                     "persistent", 1, "autostart", 1, "vcpus", 1, "memory_kib", 262144,
                     "max_memory_kib", 262144, "virt_type", "qemu", "arch", "x86_64", "machine",
                     "pc-q35-7.2", "disks", "target", "vda", "device", "disk", "type", "file",
                     "source", disk, "format", "raw", "cache", "none", "nics", "type", "network",
                     "source", "lab");
}

static GwHyper *open_sim(GwHyperSink sink, gpointer user, GError **error)
{
    (void)error;
    return gw_sim_attach(user, sink);
}

void world_start(World *world)
{
    GError *error = NULL;
    g_autofree char *path = g_build_filename(world->folder, "godwit.db", NULL);

    world->store = gw_store_open(path, &error);
    assert_null(error);
    GwEngineConfig config = {
        .clock = world->clock,
        .store = world->store,
        .open_hyper = world->open_hyper != NULL ? world->open_hyper : open_sim,
        .user = world->open_hyper != NULL ? (gpointer)world : world->sim,
        .authority = world->authority,
        .usage_interval_us = world->usage_interval_us,
        .job_history = world->job_history,
    };
    world->engine = gw_engine_new(&config, &error);
    assert_null(error);
}

void world_kill(World *world)
{
    gw_engine_free(world->engine);
    gw_store_close(world->store);
}

void world_pass(World *world, gint64 span_us)
{
    gw_sim_pass(world->sim, gw_clock_now_us(world->clock) + span_us);
}

void world_run(World *world, gint64 span_us)
{
    gw_engine_run_until(world->engine, gw_clock_now_us(world->clock) + span_us);
}

void world_add_host(World *world, guint index)
{
    g_autoptr(GwHost) host = gw_host_new_default();
    GError *error = NULL;

    host->name = g_strdup_printf("%c", (char)('a' + index));
    host->uri = world_uri(index);
    host->method = GW_METHOD_STANDARD;
    g_autoptr(GwHost) added = gw_engine_add_host(world->engine, host, &error);
    assert_null(error);
    assert_non_null(added);
}

void world_make(World *world, GwClock *clock, json_t *json)
{
    GError *error = NULL;

    world->folder = make_folder();
    world->clock = clock;
    world->authority = NULL;
    world->open_hyper = NULL;
    world->usage_interval_us = 0;
    world->job_history = 0;
    world->sim = gw_sim_new(world->clock, json, &error);
    assert_null(error);
    json_decref(json);
}

void world_free(World *world)
{
    world_kill(world);
    gw_sim_free(world->sim);
    gw_clock_free(world->clock);
    g_autoptr(GDir) dir = g_dir_open(world->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(world->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(world->folder);
    g_free(world->folder);
}

GwJob *world_job(World *world, const char *id)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwJob *job = gw_fabric_find_job(fabric, id, NULL);
    assert_non_null(job);
    return gw_job_copy(job);
}

static gboolean edit_host(gpointer host, gpointer wanted, GError **error)
{
    (void)error;
    gw_record_take_settings(&gw_host_record, host, wanted);
    return TRUE;
}

static gboolean edit_group(gpointer group, gpointer wanted, GError **error)
{
    (void)error;
    gw_record_take_settings(&gw_group_record, group, wanted);
    return TRUE;
}

static gboolean edit_rule(gpointer rule, gpointer wanted, GError **error)
{
    (void)error;
    gw_record_take_settings(&gw_placement_rule_record, rule, wanted);
    return TRUE;
}

GwHost *world_change_host(GwEngine *engine, const GwHost *host, GError **error)
{
    return gw_engine_change_host(engine, host->id, edit_host, (gpointer)host, error);
}

GwGroup *world_change_group(GwEngine *engine, const GwGroup *group, GError **error)
{
    return gw_engine_change_group(engine, group->id, edit_group, (gpointer)group, error);
}

GwPlacementRule *world_change_rule(GwEngine *engine, const GwPlacementRule *rule, GError **error)
{
    return gw_engine_change_rule(engine, rule->id, edit_rule, (gpointer)rule, error);
}
