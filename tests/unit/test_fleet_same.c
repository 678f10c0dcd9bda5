/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fleet_world.h"

#include <string.h>

#include "base/error.h"

/* One device, or one file, under two names: what a VM has under the other is not deleted, and is
 * said to be used. */

#define LV "/dev/vg/web1"
#define MAPPED "/dev/mapper/vg-web1"

typedef struct {
    World world;
    Agent *agent;
} Stage;

static void add_disk(GwVm *vm, const char *source)
{
    GwDisk *disk = gw_disk_new();

    disk->source = g_strdup(source);
    g_ptr_array_add(vm->disks, disk);
}

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);
    GwVm *vm = stage->world.vm = gw_vm_new();

    vm->name = g_strdup("web1");
    vm->nvram = g_strdup("/nvram/web1.fd");
    vm->disks = gw_record_array(&gw_disk_record);
    add_disk(vm, MAPPED);
    add_disk(vm, "iscsi:iqn.2024-01.org.example:disks/1");
    add_disk(vm, NULL);
    world_open(&stage->world);
    stage->world.vm = vm;
    stage->agent = agent_new(&stage->world, HOST_1, HOST_1);
    connect_well(&stage->world, "h1", stage->agent);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    Stage *stage = *state;

    world_close_fleet(&stage->world);
    agent_free(stage->agent);
    world_free(&stage->world);
    gw_vm_free(stage->world.vm);
    g_free(stage);
    return 0;
}

static GwReply *ask_volume(Stage *stage, GwOp op, const char *path, gint64 number)
{
    GwRequest *request = gw_request_new(op, "h1", NULL);

    request->number = number;
    request->volume = gw_volume_new();
    request->volume->path = g_strdup(path);
    request->volume->kind = g_strdup("block");
    return ask(&stage->world, request);
}

static void agent_finds(Stage *stage, const char *same)
{
    json_t *list = same != NULL ? json_pack("[s]", same) : json_array();

    agent_script(stage->agent, "volume-access",
                 json_pack("[{s:{s:s, s:o}}]", "result", "owner", "0", "same", list));
}

static void what_a_vm_has_under_another_name_stays(void **state)
{
    Stage *stage = *state;

    agent_finds(stage, MAPPED);
    g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_DELETE, LV, 0);
    unit_assert_error(reply->error, GW_ERR_CONFLICT, "VM 'web1' (as " MAPPED ")");
    assert_non_null(gw_error_remedy(reply->error));
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_DELETE), 0);
    g_autoptr(GwJson) call = agent_called(stage->agent, "volume-access");
    assert_string_equal(json_string_value(json_object_get(call, "path")), LV);
    const json_t *others = json_object_get(call, "others"); /* no network disk, no empty drive */
    assert_int_equal(json_array_size(others), 2);
}

static void what_no_vm_has_is_for_libvirt_to_judge(void **state)
{
    Stage *stage = *state;

    agent_finds(stage, NULL);
    g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_DELETE, LV, 0);
    assert_null(reply->error);
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_DELETE), 1);
    /* The very path is compared by libvirt, with all that the definitions say. */
    g_autoptr(GwReply) named = ask_volume(stage, GW_OP_VOLUME_DELETE, MAPPED, 0);
    assert_null(named->error);
    g_autoptr(GwJson) call = agent_called(stage->agent, "volume-access");
    assert_int_equal(json_array_size(json_object_get(call, "others")), 1);
}

/* An agent of before says what it belongs to, and nothing of others; and a file that has gone is
 * nobody's. */
static void where_nothing_is_said_libvirt_judges(void **state)
{
    Stage *stage = *state;
    static const char *const codes[] = { NULL, "not-found" };

    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        agent_script(stage->agent, "volume-access",
                     codes[i] == NULL
                         ? json_pack("[{s:{s:s}}]", "result", "owner", "0")
                         : json_pack("[{s:s, s:s}]", "error", codes[i], "message", "gone"));
        g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_DELETE, LV, 0);
        assert_null(reply->error);
        assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_DELETE), i + 1);
    }
}

static void what_cannot_be_told_counts_as_used(void **state)
{
    Stage *stage = *state;

    agent_script(stage->agent, "volume-access",
                 json_pack("[{s:s, s:s}]", "error", "operation-failed", "message", "it hangs"));
    g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_DELETE, LV, 0);
    unit_assert_error(reply->error, GW_ERR_CONFLICT, "it hangs");
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_DELETE), 0);
    stage->world.fails = TRUE;
    g_autoptr(GwReply) unlisted = ask_volume(stage, GW_OP_VOLUME_DELETE, LV, 0);
    unit_assert_error(unlisted->error, GW_ERR_CONFLICT, "libvirt said no");
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_DELETE), 0);
}

/* What was not asked about is not believed. */
static void a_liar_names_nobody(void **state)
{
    Stage *stage = *state;

    agent_finds(stage, "/dev/mapper/other\x1b[2J");
    g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_LOOK, LV, 0);
    assert_null(reply->error);
    assert_null(((GwVolume *)reply->volumes->pdata[0])->used_by);
}

static void a_device_says_who_has_it(void **state)
{
    Stage *stage = *state;

    agent_finds(stage, MAPPED);
    g_autoptr(GwReply) reply = ask_volume(stage, GW_OP_VOLUME_LOOK, LV, 0);
    assert_null(reply->error);
    assert_string_equal(((GwVolume *)reply->volumes->pdata[0])->used_by,
                        "VM 'web1' (as " MAPPED ")");
    /* Of a VM's own disk, looked at with all that is below it, nobody asks. */
    g_autoptr(GwReply) chain = ask_volume(stage, GW_OP_VOLUME_LOOK, LV, 1);
    assert_null(((GwVolume *)chain->volumes->pdata[0])->used_by);
    assert_int_equal(count_requests(&stage->world, GW_OP_LIST_VMS), 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_a_vm_has_under_another_name_stays),
        CASE(what_no_vm_has_is_for_libvirt_to_judge),
        CASE(where_nothing_is_said_libvirt_judges),
        CASE(what_cannot_be_told_counts_as_used),
        CASE(a_liar_names_nobody),
        CASE(a_device_says_who_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
