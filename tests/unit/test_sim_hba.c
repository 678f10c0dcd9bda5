/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim_world.h"

#include "base/error.h"

/* Virtual HBAs of simulated hosts (R41): what hyper.h promises of the three requests, each of which
 * can be taken twice, and that the witness sees a WWPN that is logged in at two hosts. */

#define WWPN "5001a4a0d2aa0001"
#define OTHER "6d0b6b0e-0000-4000-8000-000000000002"

static const char *const fabric_text =
    "{'hosts': [{'uri': '" URI_A "', 'facts': {'hostname': 'a', 'hbas': [{'name': 'scsi_host5',"
    "  'max_vports': 8, 'vports': 1}], 'pools': [{'name': 'vhba1', 'type': 'scsi', 'source': '" WWPN
    "', 'wwpn': '" WWPN "', 'parent_hba': 'scsi_host5', 'active': true, 'volumes':"
    "  [{'name': 'unit:0:0:1', 'capacity_bytes': 1073741824}]},"
    "  {'name': 'local', 'type': 'dir', 'target_path': '/local', 'active': true}]},"
    " 'vms': [{'uuid': '" VM "', 'name': 'web1', 'state': 'off', 'persistent': true,"
    "  'disks': [{'target': 'vda', 'device': 'lun', 'type': 'volume', 'format': 'raw',"
    "             'source': 'vhba1/unit:0:0:1'}]}]},"
    " {'uri': '" URI_B "', 'facts': {'hostname': 'b', 'hbas': [{'name': 'scsi_host3',"
    "  'max_vports': 8, 'vports': 0}], 'pools': []}}]}";

static const GwReply *await(World *world, guint64 id)
{
    for (int i = 0; i < 600 && world_reply(world, id) == NULL; i++)
        world_run_for(world, SECOND / 10);
    assert_non_null(world_reply(world, id));
    return world_reply(world, id);
}

static void open_world(World *world)
{
    world_open(world, world_clock(), fabric_text, FALSE);
    assert_null(await(world, world_connect(world, "A", URI_A))->error);
    assert_null(await(world, world_connect(world, "B", URI_B))->error);
}

static const GwReply *look(World *world, const char *host, const char *pool)
{
    GwRequest *request = gw_request_new(GW_OP_HBA_LOOK, host, NULL);

    request->text = g_strdup(pool);
    return await(world, world_submit(world, request));
}

static const GwReply *ask(World *world, GwOp op, const char *host, const char *vm, gint64 number,
                          const char *peer)
{
    GwRequest *request = gw_request_new(op, host, vm);

    request->hba = gw_hba_move_new();
    request->hba->pool = g_strdup("vhba1");
    request->hba->source_wwpn = g_strdup(WWPN);
    request->hba->to = g_strdup("scsi_host3");
    request->number = number;
    request->peer_host_id = g_strdup(peer);
    return await(world, world_submit(world, request));
}

static void is_code(const GwReply *reply, GwErrorCode code)
{
    assert_true(g_error_matches(reply->error, GW_ERROR, (int)code));
}

static void close_world(World *world, gboolean twice)
{
    g_auto(GStrv) violations = gw_sim_violations(world->sim);

    assert_int_equal(violations[0] != NULL, twice);
    world_close(world);
}

static void it_is_looked_at(void **state)
{
    World world;
    open_world(&world);
    const GwVirtualHba *seen = look(&world, "A", "vhba1")->hba;

    assert_true(seen->active);
    assert_string_equal(seen->wwpn, WWPN);
    assert_int_equal(seen->luns->len, 1);
    assert_string_equal(((GwLun *)seen->luns->pdata[0])->name, "unit:0:0:1");
    is_code(look(&world, "A", "local"), GW_ERR_CONFLICT);
    is_code(look(&world, "B", "vhba1"), GW_ERR_NOT_FOUND);
    close_world(&world, FALSE);
}

static void it_goes_from_host_to_host(void **state)
{
    World world;
    open_world(&world);

    for (int i = 0; i < 2; i++)
        assert_null(ask(&world, GW_OP_HBA_STOP, "A", VM, 0, NULL)->error);
    const GwVirtualHba *left = look(&world, "A", "vhba1")->hba;
    assert_false(left->active); /* its definition is kept */
    assert_int_equal(left->luns->len, 0);
    for (int i = 0; i < 2; i++)
        assert_null(ask(&world, GW_OP_HBA_START, "B", VM, 0, "A")->error);
    assert_int_equal(look(&world, "B", "vhba1")->hba->luns->len, 1);
    for (int i = 0; i < 2; i++)
        assert_null(ask(&world, GW_OP_HBA_STOP, "A", VM, 1, NULL)->error);
    is_code(look(&world, "A", "vhba1"), GW_ERR_NOT_FOUND);
    is_code(ask(&world, GW_OP_HBA_START, "A", VM, 0, "A"), GW_ERR_NOT_FOUND);
    close_world(&world, FALSE);
}

static void whoever_uses_it_keeps_it(void **state)
{
    World world;
    open_world(&world);

    is_code(ask(&world, GW_OP_HBA_STOP, "A", OTHER, 0, NULL), GW_ERR_CONFLICT);
    assert_null(await(&world, world_submit(&world, gw_request_new(GW_OP_START, "A", VM)))->error);
    is_code(ask(&world, GW_OP_HBA_STOP, "A", VM, 0, NULL), GW_ERR_CONFLICT);
    assert_true(look(&world, "A", "vhba1")->hba->active);
    close_world(&world, FALSE);
}

static void the_witness_sees_two_logins(void **state)
{
    World world;
    open_world(&world);

    assert_null(ask(&world, GW_OP_HBA_START, "B", VM, 0, "A")->error);
    close_world(&world, TRUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_looked_at),
        cmocka_unit_test(it_goes_from_host_to_host),
        cmocka_unit_test(whoever_uses_it_keeps_it),
        cmocka_unit_test(the_witness_sees_two_logins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
