/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim_world.h"

/* The storage of simulated hosts: what hyper.h promises of its requests, the times they take, what
 * faults leave behind, and that the witness sees what must never happen. */

#define OFF_VM "6d0b6b0e-0000-4000-8000-000000000002"
#define MIB ((gint64)1024 * 1024)
#define GIB (1024 * MIB)

#define POOLS(more)                                                                                \
    "'pools': [{'name': 'local', 'type': 'dir', 'target_path': '/local', 'active': true,"          \
    "           'capacity_bytes': 21474836480" more "},"                                           \
    "          {'name': 'nas', 'type': 'netfs', 'target_path': '/nas', 'active': true,"            \
    "           'source': 'nas:/export'},"                                                         \
    "          {'name': 'cold', 'type': 'dir', 'target_path': '/cold', 'active': false}]"

static const char *const fabric_text =
    "{'link_mibps': 100, 'disk_mibps': 200, 'hosts': ["
    " {'uri': '" URI_A "', 'reaches': ['ceph1'], 'facts': {'hostname': 'a', " POOLS(
        ", 'volumes': [{'name': 'base.qcow2', 'format': 'qcow2', 'capacity_bytes': 10737418240,"
        "               'allocation_bytes': 2147483648}]") "},"
                                                           "  'files': [{'path': '/dev/lun1', "
                                                           "'storage': 'lun1', 'kind': 'block'}],"
                                                           "  'vms': ["
                                                           "   {'uuid': '" VM
                                                           "', 'name': 'web1', 'state': 'running', "
                                                           "'persistent': true,"
                                                           "    'memory_kib': 262144, 'disks': ["
                                                           "     {'target': 'vda', 'device': "
                                                           "'disk', 'type': 'file', 'format': "
                                                           "'qcow2',"
                                                           "      'source': '/local/web1.qcow2', "
                                                           "'backing_path': '/local/base.qcow2'},"
                                                           "     {'target': 'vdb', 'device': "
                                                           "'disk', 'type': 'file', 'format': "
                                                           "'raw',"
                                                           "      'source': '/nas/web1.raw'}]},"
                                                           "   {'uuid': '" OFF_VM
                                                           "', 'name': 'old', 'state': 'off', "
                                                           "'persistent': true,"
                                                           "    'memory_kib': 262144, 'snapshots': "
                                                           "0, 'disks': ["
                                                           "     {'target': 'vda', 'device': "
                                                           "'disk', 'type': 'file', 'format': "
                                                           "'raw',"
                                                           "      'source': '/local/old.raw'}]}]},"
                                                           " {'uri': '" URI_B
                                                           "', 'facts': {'hostname': 'b', " POOLS(
                                                               "") "},"
                                                                   "  'files': [{'path': "
                                                                   "'/dev/lun1', 'storage': "
                                                                   "'lun1', 'kind': 'block'}]}]}";

/* Runs until it is answered, for an hour at most. */
static const GwReply *await(World *world, guint64 id)
{
    for (int i = 0; i < 36000 && world_reply(world, id) == NULL; i++)
        world_run_for(world, SECOND / 10);
    assert_non_null(world_reply(world, id));
    return world_reply(world, id);
}

static void connect(World *world, const char *id, const char *uri)
{
    assert_null(await(world, world_connect(world, id, uri))->error);
}

static void open_world_with(World *world, gboolean agents)
{
    world_open(world, world_clock(), fabric_text, agents);
    connect(world, "A", agents ? AGENT_A : URI_A);
    connect(world, "B", agents ? AGENT_B : URI_B);
}

static void open_world(World *world)
{
    open_world_with(world, FALSE);
}

/* The end of most tests: the witness has seen nothing, and all is where it should be. */
static void close_world(World *world, gboolean clean)
{
    g_auto(GStrv) violations = gw_sim_violations(world->sim);
    g_auto(GStrv) wrong = gw_sim_check_disks(world->sim);

    if (clean && violations[0] != NULL)
        fail_msg("the witness saw: %s", violations[0]);
    if (clean && wrong[0] != NULL)
        fail_msg("at the end: %s", wrong[0]);
    if (!clean)
        assert_true(violations[0] != NULL || wrong[0] != NULL);
    world_close(world);
}

/* Requests --------------------------------------------------------------------------------- */

static GwVolume *volume(const char *pool, const char *name)
{
    GwVolume *made = gw_volume_new();
    made->pool = g_strdup(pool);
    made->name = g_strdup(name);
    return made;
}

static GwVolume *file(const char *path)
{
    GwVolume *made = gw_volume_new();
    made->path = g_strdup(path);
    return made;
}

static const GwReply *ask(World *world, GwRequest *request)
{
    return await(world, world_submit(world, request));
}

static const GwReply *ask_pool(World *world, const char *host, const char *pool)
{
    GwRequest *request = gw_request_new(GW_OP_POOL_LOOK, host, NULL);
    request->text = g_strdup(pool);
    return ask(world, request);
}

static const GwReply *ask_volume(World *world, GwOp op, const char *host, GwVolume *what,
                                 gint64 number)
{
    GwRequest *request = gw_request_new(op, host, NULL);
    request->volume = what;
    request->number = number;
    return ask(world, request);
}

static const GwReply *ask_create(World *world, const char *host, const char *pool, const char *name,
                                 const char *format, gint64 gib, gint64 number)
{
    GwVolume *made = volume(pool, name);
    made->format = g_strdup(format);
    made->capacity_bytes = gib * GIB;
    return ask_volume(world, GW_OP_VOLUME_CREATE, host, made, number);
}

static const GwReply *ask_disk(World *world, GwOp op, const char *vm, const char *target,
                               GwVolume *what)
{
    GwRequest *request = gw_request_new(op, "A", vm);
    request->text = g_strdup(target);
    request->volume = what;
    return ask(world, request);
}

static GwDiskMove *disk_move(const char *target, GwDiskHow how, GwVolume *to)
{
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    move->target = g_strdup(target);
    move->how = how;
    move->images = gw_record_array(&gw_image_move_record);
    image->to = to;
    g_ptr_array_add(move->images, image);
    return move;
}

static GwRequest *copy_request(const char *from_host, GwVolume *from, const char *host,
                               GwVolume *to, int how)
{
    GwRequest *request = gw_request_new(GW_OP_VOLUME_COPY, host, NULL);
    GwCopy *copy = request->copy = g_new0(GwCopy, 1);

    copy->id = g_strdup("copy1");
    copy->from_host_id = g_strdup(from_host);
    copy->from = from;
    copy->to_host_id = g_strdup(host);
    copy->to = to;
    copy->how = how;
    return request;
}

static gint64 allocation(World *world, const char *host, GwVolume *what)
{
    const GwReply *reply = ask_volume(world, GW_OP_VOLUME_LOOK, host, what, 0);
    assert_null(reply->error);
    assert_int_equal(reply->volumes->len, 1);
    return ((const GwVolume *)reply->volumes->pdata[0])->allocation_bytes;
}

/* Tests ------------------------------------------------------------------------------------ */

static void pools_say_what_is_left(void **unused)
{
    World world;

    open_world(&world);
    const GwPool *pool = ask_pool(&world, "A", "local")->pool;
    assert_int_equal(pool->capacity_bytes, 20 * GIB);
    assert_int_equal(pool->available_bytes, 16 * GIB); /* base 2, web1 1, old 1 */
    assert_int_equal(ask_pool(&world, "A", "nowhere")->error->code, GW_ERR_NOT_FOUND);
    assert_int_equal(ask_pool(&world, "A", "cold")->error->code, GW_ERR_CONFLICT);
    /* One source is one storage. */
    assert_int_equal(ask_pool(&world, "A", "nas")->pool->available_bytes,
                     ask_pool(&world, "B", "nas")->pool->available_bytes);
    gw_sim_fill_pool(world.sim, URI_A, "local", 60000);
    assert_int_equal(ask_pool(&world, "A", "local")->pool->available_bytes, 0);
    assert_int_equal(ask_create(&world, "A", "local", "x", "qcow2", 1, 0)->error->code,
                     GW_ERR_OPERATION);
    close_world(&world, TRUE);
}

static void chains_are_told_whole(void **unused)
{
    World world;

    open_world(&world);
    const GPtrArray *chain =
        ask_volume(&world, GW_OP_VOLUME_LOOK, "A", file("/local/web1.qcow2"), 1)->volumes;
    assert_int_equal(chain->len, 2);
    const GwVolume *top = chain->pdata[0], *base = chain->pdata[1];
    assert_string_equal(top->pool, "local");
    assert_string_equal(top->name, "web1.qcow2");
    assert_string_equal(top->backing_path, "/local/base.qcow2");
    assert_int_equal(top->capacity_bytes, 10 * GIB);
    assert_int_equal(base->allocation_bytes, 2 * GIB);
    assert_null(base->backing_path);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_LOOK, "B", volume("local", "web1.qcow2"), 1)->volumes->len,
        0);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_LOOK, "B", volume("nas", "web1.raw"), 0)->volumes->len, 1);
    close_world(&world, TRUE);
}

static void volumes_are_made_once_and_removed(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "new", "raw", 5, 0)->error);
    assert_int_equal(ask_create(&world, "B", "local", "new", "raw", 5, 0)->error->code,
                     GW_ERR_CONFLICT);
    assert_null(ask_create(&world, "B", "local", "new", "raw", 5, 1)->error);
    assert_int_equal(ask_create(&world, "B", "local", "new", "raw", 6, 1)->error->code,
                     GW_ERR_CONFLICT);
    assert_int_equal(ask_create(&world, "B", "local", "../x", "raw", 5, 0)->error->code,
                     GW_ERR_INVALID);
    g_auto(GStrv) leaks = gw_sim_leaks(world.sim, NULL);
    assert_int_equal(g_strv_length(leaks), 1);
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "new"), 0)->error);
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "new"), 0)->error);
    close_world(&world, TRUE);
}

/* libvirt refuses what its own VMs use; the witness sees what another host's VM loses. */
static void what_vms_use_is_not_deleted(void **unused)
{
    static const char *const used[] = { "web1.qcow2", "base.qcow2", "old.raw" };
    World world;

    open_world(&world);
    for (guint i = 0; i < G_N_ELEMENTS(used); i++)
        assert_int_equal(
            ask_volume(&world, GW_OP_VOLUME_DELETE, "A", volume("local", used[i]), 0)->error->code,
            GW_ERR_CONFLICT);
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("nas", "web1.raw"), 0)->error);
    g_auto(GStrv) violations = gw_sim_violations(world.sim);
    assert_non_null(strstr(violations[0], "was deleted"));
    close_world(&world, FALSE);
}

/* 1 GiB at 100 MiB/s. */
static void a_copy_takes_what_the_link_says(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "old.raw", "raw", 10, 0)->error);
    gint64 begun = gw_clock_now_us(world.clock);
    guint64 id = world_submit(&world, copy_request("A", file("/local/old.raw"), "B",
                                                   volume("local", "old.raw"), GW_DISK_NETWORK));
    world_run_for(&world, 5 * SECOND);
    GwRequest *progress = gw_request_new(GW_OP_COPY_PROGRESS, "B", NULL);
    progress->text = g_strdup("copy1");
    const GwProgress *half = ask(&world, progress)->progress;
    assert_in_range(half->percent, 40, 60);
    assert_int_equal(half->total_bytes, GIB);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "old.raw"), 0)->error->code,
        GW_ERR_CONFLICT);
    const GwReply *reply = await(&world, id);
    assert_null(reply->error);
    assert_in_range(reply->at_us - begun, 10240000, 10260000);
    assert_int_equal(reply->copied->read_bytes, GIB);
    assert_true(reply->copied->verified);
    assert_int_equal(gw_sim_content(world.sim, URI_A, "/local/old.raw"),
                     gw_sim_content(world.sim, URI_B, "/local/old.raw"));
    assert_int_equal(allocation(&world, "B", volume("local", "old.raw")), GIB);
    close_world(&world, TRUE);
}

/* Block jobs ------------------------------------------------------------------------------- */

static void assert_disk(const World *world, const char *uri, const char *vm, const char *target,
                        const char *source)
{
    g_autoptr(GwDisk) disk = gw_sim_disk(world->sim, uri, vm, target);
    assert_non_null(disk);
    assert_string_equal(disk->source, source);
}

/* 3 GiB of a chain of two at 200 MiB/s. */
static void a_mirror_is_ready_and_pivoted(void **unused)
{
    World world;

    open_world(&world);
    assert_int_equal(
        ask_disk(&world, GW_OP_BLOCK_COPY, VM, "vda", volume("local", "flat"))->error->code,
        GW_ERR_NOT_FOUND);
    assert_null(ask_create(&world, "A", "nas", "flat", "qcow2", 10, 0)->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_COPY, VM, "vda", volume("nas", "flat"))->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_COPY, VM, "vda", volume("nas", "flat"))->error);
    world_run_for(&world, 7 * SECOND);
    const GwReply *half = ask_disk(&world, GW_OP_BLOCK_PROGRESS, VM, "vda", NULL);
    assert_string_equal(half->progress->phase, "disks");
    assert_in_range(half->progress->percent, 30, 60);
    assert_string_equal(half->text, "/local/web1.qcow2");
    assert_int_equal(
        ask_disk(&world, GW_OP_BLOCK_PIVOT, VM, "vda", volume("nas", "flat"))->error->code,
        GW_ERR_CONFLICT);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("nas", "flat"), 0)->error->code,
        GW_ERR_CONFLICT);
    world_run_for(&world, 10 * SECOND);
    assert_string_equal(ask_disk(&world, GW_OP_BLOCK_PROGRESS, VM, "vda", NULL)->progress->phase,
                        "ready");
    assert_null(ask_disk(&world, GW_OP_BLOCK_PIVOT, VM, "vda", volume("nas", "flat"))->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_PIVOT, VM, "vda", volume("nas", "flat"))->error);
    assert_disk(&world, URI_A, VM, "vda", "/nas/flat");
    const GwReply *after = ask_disk(&world, GW_OP_BLOCK_PROGRESS, VM, "vda", NULL);
    assert_null(after->progress);
    assert_string_equal(after->text, "/nas/flat");
    assert_int_equal(allocation(&world, "A", volume("nas", "flat")), 3 * GIB);
    assert_int_not_equal(gw_sim_content(world.sim, URI_A, "/nas/flat"),
                         gw_sim_content(world.sim, URI_A, "/local/web1.qcow2"));
    assert_null(
        ask_volume(&world, GW_OP_VOLUME_DELETE, "A", volume("local", "web1.qcow2"), 0)->error);
    close_world(&world, TRUE);
}

static void a_mirror_that_is_ended_leaves_the_vm(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "A", "local", "b", "raw", 10, 0)->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_COPY, VM, "vdb", volume("local", "b"))->error);
    world_run_for(&world, SECOND);
    assert_null(ask_disk(&world, GW_OP_BLOCK_ABORT, VM, "vdb", NULL)->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_ABORT, VM, "vdb", NULL)->error);
    assert_null(ask_disk(&world, GW_OP_BLOCK_PROGRESS, VM, "vdb", NULL)->progress);
    assert_disk(&world, URI_A, VM, "vdb", "/nas/web1.raw");
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "A", volume("local", "b"), 0)->error);
    /* Only a running VM has one. */
    assert_int_equal(
        ask_disk(&world, GW_OP_BLOCK_COPY, OFF_VM, "vda", volume("local", "c"))->error->code,
        GW_ERR_CONFLICT);
    close_world(&world, TRUE);
}

static void an_overlay_is_written_to_and_merged(void **unused)
{
    World world;

    open_world(&world);
    guint before = gw_sim_content(world.sim, URI_A, "/nas/web1.raw");
    assert_null(ask_disk(&world, GW_OP_OVERLAY, VM, "vdb", volume("nas", "over"))->error);
    assert_null(ask_disk(&world, GW_OP_OVERLAY, VM, "vdb", volume("nas", "over"))->error);
    assert_disk(&world, URI_A, VM, "vdb", "/nas/over");
    guint below = gw_sim_content(world.sim, URI_A, "/nas/web1.raw");
    world_run_for(&world, SECOND);
    assert_int_equal(gw_sim_content(world.sim, URI_A, "/nas/web1.raw"), below);
    assert_int_not_equal(below, before);
    assert_null(ask_disk(&world, GW_OP_MERGE, VM, "vdb", NULL)->error);
    world_run_for(&world, 10 * SECOND);
    assert_null(ask_disk(&world, GW_OP_BLOCK_PIVOT, VM, "vdb", volume("nas", "web1.raw"))->error);
    assert_disk(&world, URI_A, VM, "vdb", "/nas/web1.raw");
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "A", volume("nas", "over"), 0)->error);
    assert_int_equal(ask_disk(&world, GW_OP_MERGE, VM, "vdb", NULL)->error->code, GW_ERR_CONFLICT);
    close_world(&world, TRUE);
}

/* Definitions ------------------------------------------------------------------------------ */

static const GwReply *ask_define_from(World *world, const char *host, const char *peer,
                                      const char *vm, GwDiskMove *move)
{
    GwRequest *request = gw_request_new(GW_OP_DEFINE_FROM, host, vm);

    request->peer_host_id = g_strdup(peer);
    request->disks = gw_record_array(&gw_disk_move_record);
    if (move != NULL)
        g_ptr_array_add(request->disks, move);
    return ask(world, request);
}

static const GwReply *ask_vm(World *world, GwOp op, const char *host, const char *vm)
{
    return ask(world, gw_request_new(op, host, vm));
}

/* A cold move by hand: make, copy, define, undefine, remove; then it boots with its data. */
static void a_vm_moves_cold(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "old.qcow2", "raw", 10, 0)->error);
    assert_null(ask(&world, copy_request("A", file("/local/old.raw"), "B",
                                         volume("local", "old.qcow2"), GW_DISK_NETWORK))
                    ->error);
    for (int i = 0; i < 2; i++)
        assert_null(ask_define_from(&world, "B", "A", OFF_VM,
                                    disk_move("vda", GW_DISK_NETWORK, volume("local", "old.qcow2")))
                        ->error);
    assert_null(ask_vm(&world, GW_OP_UNDEFINE, "A", OFF_VM)->error);
    assert_null(ask_define_from(&world, "B", "A", OFF_VM, NULL)->error); /* it is here */
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "A", volume("local", "old.raw"), 0)->error);
    assert_null(ask_vm(&world, GW_OP_START, "B", OFF_VM)->error);
    assert_disk(&world, URI_B, OFF_VM, "vda", "/local/old.qcow2");
    assert_int_equal(gw_sim_running(world.sim, OFF_VM), 1);
    assert_int_equal(ask_define_from(&world, "B", "A", "no-such-vm", NULL)->error->code,
                     GW_ERR_NOT_FOUND);
    close_world(&world, TRUE);
}

static void a_running_vm_is_defined_anew_beside_its_process(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "A", "local", "b", "raw", 10, 0)->error);
    assert_null(ask_define_from(&world, "A", "A", VM,
                                disk_move("vdb", GW_DISK_BLOCK_COPY, volume("local", "b")))
                    ->error);
    assert_disk(&world, URI_A, VM, "vdb", "/nas/web1.raw");
    g_auto(GStrv) wrong = gw_sim_check_disks(world.sim);
    assert_non_null(strstr(wrong[0], "its definition says /local/b"));
    assert_null(ask_vm(&world, GW_OP_DESTROY, "A", VM)->error);
    assert_disk(&world, URI_A, VM, "vdb", "/local/b");
    assert_null(ask_vm(&world, GW_OP_START, "A", VM)->error); /* from an empty disk */
    g_auto(GStrv) violations = gw_sim_violations(world.sim);
    assert_non_null(strstr(violations[0], "/local/b holds stale data"));
    close_world(&world, FALSE);
}

static void a_definition_is_read_and_made_again(void **unused)
{
    World world;

    open_world(&world);
    g_autofree char *xml = g_strdup(ask_vm(&world, GW_OP_GET_XML, "A", OFF_VM)->text);
    assert_non_null(strstr(xml, "/local/old.raw"));
    assert_null(ask_vm(&world, GW_OP_UNDEFINE, "A", OFF_VM)->error);
    GwRequest *define = gw_request_new(GW_OP_DEFINE, "A", OFF_VM);
    define->text = g_steal_pointer(&xml);
    assert_null(ask(&world, define)->error);
    assert_null(ask_vm(&world, GW_OP_START, "A", OFF_VM)->error);
    assert_disk(&world, URI_A, OFF_VM, "vda", "/local/old.raw");
    close_world(&world, TRUE);
}

static void snapshots_are_told_forgotten_and_remembered(void **unused)
{
    static const char *const two[] = { "<domainsnapshot><name>one</name></domainsnapshot>",
                                       "<domainsnapshot><name>two</name></domainsnapshot>", NULL };
    World world;

    open_world(&world);
    for (int i = 0; i < 2; i++) {
        GwRequest *remember = gw_request_new(GW_OP_SNAPSHOTS_REMEMBER, "A", OFF_VM);
        remember->definitions = g_strdupv((char **)two);
        remember->text = g_strdup("two");
        assert_null(ask(&world, remember)->error);
    }
    const GwReply *told = ask_vm(&world, GW_OP_SNAPSHOTS, "A", OFF_VM);
    assert_int_equal(g_strv_length(told->definitions), 2);
    assert_string_equal(told->text, "two");
    assert_non_null(ask_vm(&world, GW_OP_UNDEFINE, "A", OFF_VM)->error);
    assert_null(ask_vm(&world, GW_OP_SNAPSHOTS_FORGET, "A", OFF_VM)->error);
    assert_null(ask_vm(&world, GW_OP_UNDEFINE, "A", OFF_VM)->error);
    close_world(&world, TRUE);
}

/* Live moves ------------------------------------------------------------------------------- */

static guint64 submit_move(World *world)
{
    GwRequest *request = gw_request_new(GW_OP_MIGRATE, "A", VM);
    GwMigrate *how = request->migrate = g_new0(GwMigrate, 1);

    how->destination_host_id = g_strdup("B");
    how->peer_to_peer = how->persist = TRUE;
    how->disks = gw_record_array(&gw_disk_move_record);
    g_ptr_array_add(how->disks, disk_move("vda", GW_DISK_MIRROR, volume("local", "web1.qcow2")));
    return world_submit(world, request);
}

/* 3 GiB of disks, then 256 MiB of memory, at 100 MiB/s. */
static void a_live_move_takes_its_disks_along(void **unused)
{
    World world;

    open_world(&world);
    assert_non_null(strstr(await(&world, submit_move(&world))->error->message, "no such volume"));
    assert_null(ask_create(&world, "B", "local", "web1.qcow2", "qcow2", 10, 0)->error);
    gint64 begun = gw_clock_now_us(world.clock);
    guint64 id = submit_move(&world);
    world_run_for(&world, 15 * SECOND);
    const GwProgress *half = ask_vm(&world, GW_OP_PROGRESS, "A", VM)->progress;
    assert_string_equal(half->phase, "disks");
    assert_int_equal(half->disk_total_bytes, 3 * GIB);
    const GwReply *reply = await(&world, id);
    assert_null(reply->error);
    assert_in_range(reply->at_us - begun, 33 * SECOND, 34 * SECOND);
    assert_disk(&world, URI_B, VM, "vda", "/local/web1.qcow2");
    assert_disk(&world, URI_B, VM, "vdb", "/nas/web1.raw");
    assert_int_equal(gw_sim_running(world.sim, VM), 1);
    assert_int_equal(allocation(&world, "B", volume("local", "web1.qcow2")), 3 * GIB);
    /* The source keeps its volume, with what is old now, and its definition. */
    assert_int_equal(allocation(&world, "A", volume("local", "web1.qcow2")), GIB);
    g_auto(GStrv) wrong = gw_sim_check_disks(world.sim);
    assert_non_null(strstr(wrong[0], "/local/web1.qcow2 holds stale data"));
    assert_null(ask_vm(&world, GW_OP_UNDEFINE, "A", VM)->error);
    close_world(&world, TRUE);
}

/* As measured: a clean failure, and the volume stays. */
static void a_full_destination_fails_the_move(void **unused)
{
    World world;

    open_world(&world);
    world_add_fault(&world, "disks", "full", 60000, 50);
    assert_null(ask_create(&world, "B", "local", "web1.qcow2", "qcow2", 10, 0)->error);
    assert_non_null(strstr(await(&world, submit_move(&world))->error->message, "no space left"));
    assert_in_range(allocation(&world, "B", volume("local", "web1.qcow2")), GIB, 2 * GIB);
    assert_null(gw_sim_look(world.sim, URI_B, VM));
    assert_int_equal(gw_sim_running(world.sim, VM), 1);
    g_auto(GStrv) leaks = gw_sim_leaks(world.sim, NULL);
    assert_int_equal(g_strv_length(leaks), 1);
    close_world(&world, TRUE);
}

/* Starting the source again after its disks went on elsewhere is what must never happen. */
static void the_witness_sees_a_stale_start(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "web1.qcow2", "qcow2", 10, 0)->error);
    assert_null(await(&world, submit_move(&world))->error);
    assert_null(ask_vm(&world, GW_OP_START, "A", VM)->error);
    g_auto(GStrv) violations = gw_sim_violations(world.sim);
    assert_non_null(strstr(violations[0], "holds stale data"));
    assert_non_null(strstr(violations[g_strv_length(violations) - 1], "beside another"));
    close_world(&world, FALSE);
}

/* Faults ----------------------------------------------------------------------------------- */

static guint64 submit_copy(World *world)
{
    GwRequest *request =
        copy_request("A", file("/local/old.raw"), "B", volume("local", "old.raw"), GW_DISK_NETWORK);
    return world_submit(world, request);
}

/* What a copy that was struck leaves: its part, from which it goes on. */
static void a_struck_copy_goes_on_where_it_was(void **unused)
{
    static const struct {
        const char *what;
        GwErrorCode code;
    } faults[] = {
        { "fail", GW_ERR_OPERATION },        { "full", GW_ERR_OPERATION },
        { "break", GW_ERR_UNREACHABLE },     { "host-down", GW_ERR_UNREACHABLE },
        { "peer-down", GW_ERR_UNREACHABLE }, { "power-loss", GW_ERR_UNREACHABLE },
    };

    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        World world;
        open_world(&world);
        assert_null(ask_create(&world, "B", "local", "old.raw", "raw", 10, 0)->error);
        world_add_fault(&world, "volume-copy", faults[i].what, 2000, 50);
        assert_int_equal(await(&world, submit_copy(&world))->error->code, faults[i].code);
        world_run_for(&world, 5 * SECOND);
        connect(&world, "A", URI_A);
        connect(&world, "B", URI_B);
        gint64 part = allocation(&world, "B", volume("local", "old.raw"));
        assert_in_range(part, GIB / 2, GIB / 2 + 64 * MIB);
        assert_int_not_equal(gw_sim_content(world.sim, URI_A, "/local/old.raw"),
                             gw_sim_content(world.sim, URI_B, "/local/old.raw"));
        gint64 begun = gw_clock_now_us(world.clock);
        GwRequest *rest = copy_request("A", file("/local/old.raw"), "B", volume("local", "old.raw"),
                                       GW_DISK_NETWORK);
        rest->copy->resume_bytes = part;
        const GwReply *reply = ask(&world, rest);
        assert_null(reply->error);
        assert_in_range(reply->at_us - begun, 4 * SECOND, 6 * SECOND);
        assert_int_equal(reply->copied->sent_bytes, GIB - part);
        assert_int_equal(gw_sim_content(world.sim, URI_A, "/local/old.raw"),
                         gw_sim_content(world.sim, URI_B, "/local/old.raw"));
        close_world(&world, TRUE);
    }
}

/* Trust in bytes that are not of this source is found out at the end. */
static void a_wrong_resume_fails_by_its_digest(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "old.raw", "raw", 10, 0)->error);
    GwRequest *request =
        copy_request("A", file("/local/old.raw"), "B", volume("local", "old.raw"), GW_DISK_NETWORK);
    request->copy->resume_bytes = 100 * MIB;
    const GwReply *reply = ask(&world, request);
    assert_int_equal(reply->error->code, GW_ERR_OPERATION);
    assert_non_null(strstr(reply->error->message, "digests differ"));
    close_world(&world, TRUE);
}

static GwPermit *file_permit(void)
{
    GwPermit *permit = g_new0(GwPermit, 1);

    permit->job_id = g_strdup("J1");
    permit->vm_uuid = g_strdup(OFF_VM);
    permit->vm_name = g_strdup("old");
    permit->epoch = 1;
    permit->source_host_id = g_strdup("A");
    permit->destination_host_id = g_strdup("B");
    permit->files = TRUE;
    return permit;
}

static GwRequest *agents_copy(void)
{
    GwRequest *request =
        copy_request("A", file("/local/old.raw"), "B", volume("local", "old.raw"), GW_DISK_NETWORK);
    request->copy->permit = file_permit();
    return request;
}

/* A controller's death ends what goes through it, and nothing else. */
static void copies_between_agents_outlive_the_controller(void **unused)
{
    for (int agents = 0; agents < 2; agents++) {
        World world;
        open_world_with(&world, agents);
        assert_null(ask_create(&world, "B", "local", "old.raw", "raw", 10, 0)->error);
        if (agents)
            world_submit(&world, agents_copy());
        else
            submit_copy(&world);
        world_run_for(&world, 3 * SECOND);
        guint before = world.replies->len;
        gw_hyper_close(world.hyper);
        gw_sim_pass(world.sim, gw_clock_now_us(world.clock) + 60 * SECOND);
        world_attach(&world);
        assert_int_equal(world.replies->len, before);
        connect(&world, "A", agents ? AGENT_A : URI_A);
        connect(&world, "B", agents ? AGENT_B : URI_B);
        gint64 taken = allocation(&world, "B", volume("local", "old.raw"));
        assert_int_equal(taken == GIB, agents);
        gint64 begun = gw_clock_now_us(world.clock);
        if (agents) { /* the same id: how it ended */
            const GwReply *reply = ask(&world, agents_copy());
            assert_null(reply->error);
            assert_string_equal(reply->copied->how, "between the agents");
            assert_in_range(reply->at_us - begun, 0, SECOND);
        }
        close_world(&world, TRUE);
    }
}

static void a_copy_is_stopped(void **unused)
{
    World world;

    open_world(&world);
    assert_null(ask_create(&world, "B", "local", "old.raw", "raw", 10, 0)->error);
    guint64 id = submit_copy(&world);
    world_run_for(&world, 3 * SECOND);
    for (int i = 0; i < 2; i++) {
        GwRequest *stop = gw_request_new(GW_OP_COPY_ABORT, "B", NULL);
        stop->text = g_strdup("copy1");
        assert_null(ask(&world, stop)->error);
    }
    assert_int_equal(await(&world, id)->error->code, GW_ERR_CANCELLED);
    assert_null(ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "old.raw"), 0)->error);
    close_world(&world, TRUE);
}

/* Whatever strikes a mirror, the VM runs on where it was, or went over. */
static void a_struck_mirror_leaves_the_vm(void **unused)
{
    static const struct {
        const char *at, *what;
        gboolean goes_on;
    } faults[] = {
        { "block-copy", "fail", FALSE },     { "block-copy", "full", FALSE },
        { "block-ready", "fail", FALSE },    { "block-copy", "slow", TRUE },
        { "block-copy", "host-down", TRUE }, { "block-ready", "host-down", TRUE },
    };

    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        World world;
        open_world(&world);
        assert_null(ask_create(&world, "A", "local", "b", "raw", 10, 0)->error);
        world_add_fault(&world, faults[i].at, faults[i].what, 2000, 50);
        assert_null(ask_disk(&world, GW_OP_BLOCK_COPY, VM, "vdb", volume("local", "b"))->error);
        world_run_for(&world, 20 * SECOND);
        connect(&world, "A", URI_A);
        const GwReply *reply = ask_disk(&world, GW_OP_BLOCK_PROGRESS, VM, "vdb", NULL);
        assert_int_equal(reply->progress != NULL, faults[i].goes_on);
        assert_string_equal(reply->text, "/nas/web1.raw");
        reply = ask_disk(&world, GW_OP_BLOCK_PIVOT, VM, "vdb", volume("local", "b"));
        assert_int_equal(reply->error == NULL, faults[i].goes_on);
        assert_int_equal(gw_sim_running(world.sim, VM), 1);
        close_world(&world, TRUE);
    }
}

/* It is done all the same, and asked again it succeeds. */
static void a_lost_reply_was_done(void **unused)
{
    World world;

    open_world(&world);
    world_add_fault(&world, "volume-create", "lose-reply", 1000, 0);
    assert_int_equal(ask_create(&world, "B", "local", "n", "raw", 5, 0)->error->code,
                     GW_ERR_UNREACHABLE);
    assert_null(ask_create(&world, "B", "local", "n", "raw", 5, 1)->error);
    world_add_fault(&world, "volume-delete", "lose-reply", 1000, 0);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "n"), 0)->error->code,
        GW_ERR_UNREACHABLE);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_LOOK, "B", volume("local", "n"), 0)->volumes->len, 0);
    world_add_fault(&world, "volume-delete", "fail", 1000, 0);
    assert_int_equal(
        ask_volume(&world, GW_OP_VOLUME_DELETE, "B", volume("local", "n"), 0)->error->code,
        GW_ERR_OPERATION);
    close_world(&world, TRUE);
}

static void hosts_reach_what_they_are_said_to(void **unused)
{
    static const struct {
        const char *host, *type, *source, *server;
        gboolean reached;
    } disks[] = {
        { "A", "file", "/nas/web1.raw", NULL, TRUE },
        { "B", "file", "/nas/web1.raw", NULL, TRUE },
        { "B", "file", "/local/web1.qcow2", NULL, FALSE },
        { "A", "block", "/dev/lun1", NULL, TRUE },
        { "B", "block", "/dev/lun1", NULL, TRUE },
        { "B", "block", "/dev/lun2", NULL, FALSE },
        { "A", "network", "rbd:p/i", "ceph2:6789", FALSE },
    };
    World world;

    open_world(&world);
    for (guint i = 0; i < G_N_ELEMENTS(disks); i++) {
        GwRequest *request = gw_request_new(GW_OP_REACH, disks[i].host, NULL);
        request->disk = gw_disk_new();
        request->disk->type = g_strdup(disks[i].type);
        request->disk->source = g_strdup(disks[i].source);
        request->disk->source_host = g_strdup(disks[i].server);
        const GwReply *reply = ask(&world, request);
        assert_null(reply->error);
        assert_int_equal(reply->verdict, disks[i].reached);
        assert_int_equal(reply->text == NULL, disks[i].reached);
    }
    close_world(&world, TRUE);
}

static void bad_storage_is_refused(void **unused)
{
    static const char *const bad[] = {
        "{'name': 'p', 'storage': 7}",
        "{'name': 'p', 'volumes': {}}",
        "{'name': 'p', 'volumes': [{'name': 'a/b'}]}",
        "{'name': 'p', 'volumes': [{'name': 'a', 'capacity_bytes': -1}]}",
        "{'volumes': []}",
        "7",
    };

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf(
            "{'hosts': [{'uri': 'qemu:///system', 'facts': {'pools': [%s]}}]}", bad[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwClock) clock = gw_clock_new_virtual(0);
        g_strdelimit(text, "'", '"');
        g_autoptr(GwJson) json = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, NULL);
        G_GNUC_UNUSED g_autoptr(GwSim) sim = gw_sim_new(clock, json, &error);
        if (error == NULL)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(error->code, GW_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_say_what_is_left),
        cmocka_unit_test(chains_are_told_whole),
        cmocka_unit_test(volumes_are_made_once_and_removed),
        cmocka_unit_test(what_vms_use_is_not_deleted),
        cmocka_unit_test(a_copy_takes_what_the_link_says),
        cmocka_unit_test(a_mirror_is_ready_and_pivoted),
        cmocka_unit_test(a_mirror_that_is_ended_leaves_the_vm),
        cmocka_unit_test(an_overlay_is_written_to_and_merged),
        cmocka_unit_test(a_vm_moves_cold),
        cmocka_unit_test(a_running_vm_is_defined_anew_beside_its_process),
        cmocka_unit_test(a_definition_is_read_and_made_again),
        cmocka_unit_test(snapshots_are_told_forgotten_and_remembered),
        cmocka_unit_test(a_live_move_takes_its_disks_along),
        cmocka_unit_test(a_full_destination_fails_the_move),
        cmocka_unit_test(the_witness_sees_a_stale_start),
        cmocka_unit_test(a_struck_copy_goes_on_where_it_was),
        cmocka_unit_test(a_wrong_resume_fails_by_its_digest),
        cmocka_unit_test(copies_between_agents_outlive_the_controller),
        cmocka_unit_test(a_copy_is_stopped),
        cmocka_unit_test(a_struck_mirror_leaves_the_vm),
        cmocka_unit_test(a_lost_reply_was_done),
        cmocka_unit_test(hosts_reach_what_they_are_said_to),
        cmocka_unit_test(bad_storage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
