/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fleet_world.h"

#include <string.h>

/* Copies by agents that say what they are told to: how the fleet begins them, follows them, begins
 * again, and says what became of them. */

#define MIB ((gint64)1024 * 1024)

typedef struct {
    World world;
    Agent *from, *to;
} Stage;

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);

    world_open(&stage->world);
    stage->from = agent_new(&stage->world, HOST_1, HOST_1);
    stage->to = agent_new(&stage->world, HOST_2, HOST_2);
    connect_well(&stage->world, "h1", stage->from);
    connect_well(&stage->world, "h2", stage->to);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    Stage *stage = *state;

    world_close_fleet(&stage->world);
    agent_free(stage->from);
    agent_free(stage->to);
    world_free(&stage->world);
    g_free(stage);
    return 0;
}

static GwVolume *volume_at(const char *pool, const char *path)
{
    GwVolume *volume = gw_volume_new();

    volume->pool = g_strdup(pool);
    volume->path = g_strdup(path);
    volume->kind = g_strdup("file");
    return volume;
}

static GwRequest *copy_request(gboolean local)
{
    GwRequest *request = gw_request_new(GW_OP_VOLUME_COPY, local ? "h1" : "h2", VM);
    GwCopy *copy = request->copy = g_new0(GwCopy, 1);

    copy->id = g_strdup("job-1-vda");
    copy->from_host_id = g_strdup("h1");
    copy->from = volume_at("default", "/images/web1.qcow2");
    copy->to_host_id = g_strdup(request->host_id);
    copy->to = volume_at("pool2", "/pool2/web1.qcow2");
    copy->how = local ? GW_DISK_FAST_COPY : GW_DISK_NETWORK;
    copy->bandwidth_mibps = 3;
    if (local)
        return request;
    copy->permit = g_new0(GwPermit, 1);
    copy->permit->job_id = g_strdup(JOB);
    copy->permit->vm_uuid = g_strdup(VM);
    copy->permit->vm_name = g_strdup("web1");
    copy->permit->epoch = 3;
    copy->permit->source_host_id = g_strdup("h1");
    copy->permit->destination_host_id = g_strdup("h2");
    copy->permit->files = TRUE;
    return request;
}

static json_t *status(const char *state, gint64 position)
{
    return json_pack("{s:{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:s}}", "result", "state",
                     state, "read", (json_int_t)(9 * MIB), "sent", (json_int_t)(5 * MIB), "written",
                     (json_int_t)(4 * MIB), "same", (json_int_t)MIB, "total",
                     (json_int_t)(10 * MIB), "position", (json_int_t)position, "digest",
                     "blake2b:00", "verified", strcmp(state, "done") == 0, "how",
                     "between the \x1b[2Jagents");
}

static json_t *failure(const char *code, const char *message, gint64 position)
{
    json_t *says = status("failed", position);

    json_object_set_new(
        json_object_get(says, "result"), "error",
        json_pack("{s:s, s:s, s:s}", "code", code, "message", message, "remedy", "Make room."));
    return says;
}

static json_t *param(Agent *agent, const char *method, const char *key)
{
    g_autoptr(GwJson) call = agent_called(agent, method);

    assert_non_null(call);
    return json_incref(json_object_get(call, key));
}

static void assert_text(json_t *value_stolen, const char *wanted)
{
    g_autoptr(GwJson) value = value_stolen;
    assert_string_equal(json_string_value(value), wanted);
}

static gint64 integer(json_t *value_stolen)
{
    g_autoptr(GwJson) value = value_stolen;
    return json_integer_value(value);
}

/* Its old copy may be deleted on the word of this. */
static void what_was_not_read_back_is_not_done(void **state)
{
    Stage *stage = *state;
    json_t *said = status("done", 10 * MIB);

    json_object_set_new(json_object_get(said, "result"), "verified", json_false());
    agent_script(stage->to, "copy-status", json_pack("[o]", said));
    agent_script(stage->from, "copy-status", json_pack("[o]", status("done", 10 * MIB)));
    g_autoptr(GwReply) reply = ask(&stage->world, copy_request(FALSE));
    assert_non_null(reply->error);
    assert_null(reply->copied);
    assert_non_null(strstr(reply->error->message, "read it back"));
    assert_non_null(gw_error_remedy(reply->error));
}

static void goes_well(void **state)
{
    Stage *stage = *state;

    agent_script(stage->to, "copy-status",
                 json_pack("[o, o]", status("running", MIB), status("done", 10 * MIB)));
    agent_script(stage->from, "copy-status",
                 json_pack("[o, o]", status("running", MIB), status("done", 10 * MIB)));
    GwRequest *request = copy_request(FALSE);
    request->copy->to->owner = g_strdup("64055");
    request->copy->to->mode = g_strdup("0600");
    request->copy->delta = TRUE;
    request->copy->from->length_bytes = 10 * MIB;
    g_autoptr(GwReply) reply = ask(&stage->world, request);
    if (reply->error != NULL)
        fail_msg("%s", reply->error->message);
    assert_int_equal(reply->copied->read_bytes, 9 * MIB);
    assert_int_equal(reply->copied->sent_bytes, 5 * MIB);
    assert_int_equal(reply->copied->written_bytes, 4 * MIB);
    assert_int_equal(reply->copied->same_bytes, MIB);
    assert_true(reply->copied->verified);
    assert_string_equal(reply->copied->digest, "blake2b:00");
    assert_null(strchr(reply->copied->how, '\x1b'));
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_COPY), 0);
    /* What each was told. */
    assert_text(param(stage->to, "copy-expect", "path"), "/pool2/web1.qcow2");
    assert_int_equal(integer(param(stage->to, "copy-expect", "length")), 10 * MIB);
    g_autoptr(GwJson) delta = param(stage->to, "copy-expect", "delta"),
                      create = param(stage->to, "copy-expect", "create");
    assert_true(json_is_true(delta) && json_is_false(create));
    assert_text(param(stage->from, "copy-send", "path"), "/images/web1.qcow2");
    assert_int_equal(integer(param(stage->from, "copy-send", "bytes_per_s")), 3 * MIB);
    g_autoptr(GwJson) peer = param(stage->from, "copy-send", "peer");
    assert_string_equal(json_string_value(json_object_get(peer, "host_id")), HOST_2);
    /* The same ticket for both, and for files alone. */
    g_autoptr(GwJson) one = param(stage->from, "copy-send", "ticket"),
                      two = param(stage->to, "copy-expect", "ticket");
    assert_string_equal(json_string_value(one), json_string_value(two));
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(json_string_value(one), &length);
    g_autoptr(GwTicket) ticket = NULL;
    UNIT_OK((ticket = gw_ticket_open(bytes, length,
                                     gw_authority_ticket_public(stage->world.authority), error)) !=
            NULL);
    assert_int_equal(ticket->kinds, GW_STREAM_FILE);
    g_autoptr(GwJson) set = param(stage->to, "volume-access", "set");
    assert_string_equal(json_string_value(json_object_get(set, "owner")), "64055");
    assert_true(json_is_null(json_object_get(set, "acl")));
}

/* A link that broke, and an agent that was started anew, cost what was not there yet. */
static void begins_again(void **state)
{
    Stage *stage = *state;

    agent_script(stage->to, "copy-status",
                 json_pack("[o, {s:s, s:s}, o]", failure("unreachable", "it broke", 4 * MIB),
                           "error", "not-found", "message", "unknown copy",
                           status("done", 10 * MIB)));
    agent_script(
        stage->from, "copy-status",
        json_pack("[o, o]", failure("unreachable", "it broke", 4 * MIB), status("done", 10 * MIB)));
    g_autoptr(GwReply) reply = ask(&stage->world, copy_request(FALSE));
    if (reply->error != NULL)
        fail_msg("%s", reply->error->message);
    assert_int_equal(count_calls(stage->to, "copy-expect"), 3);
    assert_int_equal(integer(param(stage->to, "copy-expect", "resume_bytes")), 4 * MIB);
    assert_int_equal(count_calls(stage->to, "volume-access"), 0);
}

static void says_the_reason(void **state)
{
    Stage *stage = *state;

    agent_script(
        stage->to, "copy-status",
        json_pack("[o]", failure("operation-failed", "No space\x1b[2J left on device", MIB)));
    agent_script(stage->from, "copy-status",
                 json_pack("[o]", failure("unreachable", "it broke", MIB)));
    g_autoptr(GwReply) reply = ask(&stage->world, copy_request(FALSE));
    unit_assert_error(reply->error, GW_ERR_OPERATION, "left on device");
    assert_null(strchr(reply->error->message, '\x1b'));
    assert_string_equal(gw_error_remedy(reply->error), "Make room.");
    assert_null(reply->copied);
    /* Before it began, and after it failed: both ends. */
    assert_int_equal(count_calls(stage->to, "copy-stop"), 2);
    assert_int_equal(count_calls(stage->from, "copy-stop"), 2);
}

static void is_refused_at_once(void **state)
{
    Stage *stage = *state;

    agent_script(stage->to, "copy-expect",
                 json_pack("[{s:s, s:s}]", "error", "conflict", "message", "it is in use"));
    g_autoptr(GwReply) reply = ask(&stage->world, copy_request(FALSE));
    unit_assert_error(reply->error, GW_ERR_CONFLICT, "it is in use");
    assert_int_equal(count_calls(stage->from, "copy-send"), 0);
}

static void await_calls(Agent *agent, const char *method, guint count)
{
    for (guint i = 0; i < 1000 && count_calls(agent, method) < count; i++)
        g_usleep(10000);
    assert_true(count_calls(agent, method) >= count);
}

/* It goes on while the controller does not reach one of them, and is found when it does again. */
static void outlives_a_session(void **state)
{
    Stage *stage = *state;

    agent_script(stage->to, "copy-status", json_pack("[o]", status("running", MIB)));
    agent_script(stage->from, "copy-status", json_pack("[o]", status("running", MIB)));
    guint64 id = submit(&stage->world, copy_request(FALSE));
    await_calls(stage->to, "copy-status", 1);
    agent_hang_up(stage->to);
    await_events(&stage->world, GW_EVENT_HOST_LOST, 1);
    assert_int_equal(count_replies(&stage->world, id), 0);
    agent_script(stage->to, "copy-status", json_pack("[o]", status("done", 10 * MIB)));
    agent_script(stage->from, "copy-status", json_pack("[o]", status("done", 10 * MIB)));
    connect_well(&stage->world, "h2", stage->to);
    g_autoptr(GwReply) reply = await(&stage->world, id);
    assert_null(reply->error);
    assert_int_equal(count_calls(stage->to, "copy-expect"), 1);
}

static void progress_and_abort(void **state)
{
    Stage *stage = *state;
    GwRequest *request = gw_request_new(GW_OP_COPY_PROGRESS, "h2", NULL);

    agent_script(stage->to, "copy-status", json_pack("[o]", status("running", 3 * MIB)));
    agent_script(stage->from, "copy-status", json_pack("[o]", status("running", 3 * MIB)));
    guint64 id = submit(&stage->world, copy_request(FALSE));
    await_calls(stage->from, "copy-status", 1);
    /* The same again, while it is under way. */
    g_autoptr(GwReply) twice = ask(&stage->world, copy_request(FALSE));
    unit_assert_error(twice->error, GW_ERR_CONFLICT, "under way");
    request->text = g_strdup("job-1-vda");
    g_autoptr(GwReply) progress = ask(&stage->world, request);
    assert_int_equal(progress->progress->processed_bytes, 3 * MIB);
    assert_int_equal(progress->progress->total_bytes, 10 * MIB);
    assert_int_equal(progress->progress->percent, 30);
    request = gw_request_new(GW_OP_COPY_ABORT, "h2", NULL);
    request->text = g_strdup("job-1-vda");
    g_autoptr(GwReply) aborted = ask(&stage->world, request);
    assert_null(aborted->error);
    g_autoptr(GwReply) reply = await(&stage->world, id);
    unit_assert_error(reply->error, GW_ERR_CANCELLED, "stopped");
    assert_int_equal(count_calls(stage->to, "copy-stop"), 2);
    /* Over: libvirt's driver may know one of that name. */
    request = gw_request_new(GW_OP_COPY_PROGRESS, "h2", NULL);
    request->text = g_strdup("job-1-vda");
    g_autoptr(GwReply) none = ask(&stage->world, request);
    assert_null(none->error);
    assert_int_equal(count_requests(&stage->world, GW_OP_COPY_PROGRESS), 1);
}

static void within_one_host(void **state)
{
    Stage *stage = *state;

    agent_script(stage->from, "copy-status", json_pack("[o]", status("done", 10 * MIB)));
    g_autoptr(GwReply) reply = ask(&stage->world, copy_request(TRUE));
    assert_null(reply->error);
    assert_int_equal(reply->copied->written_bytes, 4 * MIB);
    assert_text(param(stage->from, "copy-local", "how"), "fast");
    assert_text(param(stage->from, "copy-local", "to"), "/pool2/web1.qcow2");
    assert_int_equal(count_calls(stage->from, "copy-stop"), 1);
}

/* Without leave, or in another format, it is libvirt's to do. */
static void through_the_controller(void **state)
{
    Stage *stage = *state;
    GwRequest *request = copy_request(FALSE);

    g_clear_pointer(&request->copy->permit, gw_permit_free);
    g_autoptr(GwReply) reply = ask(&stage->world, request);
    request = copy_request(TRUE);
    request->copy->how = GW_DISK_CONVERT;
    g_autoptr(GwReply) converted = ask(&stage->world, request);
    assert_true(reply->error == NULL && converted->error == NULL);
    assert_int_equal(count_requests(&stage->world, GW_OP_VOLUME_COPY), 2);
    assert_int_equal(count_calls(stage->to, "copy-expect"), 0);
}

/* Leave for files beside that for the move: neither takes the other's place. */
static void leave_of_both_kinds(void **state)
{
    Stage *stage = *state;
    g_autoptr(GwRequest) copy = copy_request(FALSE);
    const GwPermit *files = copy->copy->permit;

    for (guint i = 0; i < 3; i++) {
        GwRequest *request = gw_request_new(GW_OP_PERMIT, "h1", VM);
        request->permit = gw_permit_copy(files);
        request->permit->files = i != 1;
        if (i != 1)
            agent_script(stage->from, "permit", json_pack("[{s:{}}]", "result"));
        else
            agent_script(stage->from, "permit", json_pack("[]"));
        g_autoptr(GwReply) reply = ask(&stage->world, request);
        assert_null(reply->error);
        assert_int_equal(reply->paths != NULL, i == 1);
    }
    assert_int_equal(count_calls(stage->from, "permit"), 3);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_not_read_back_is_not_done),
        CASE(goes_well),
        CASE(begins_again),
        CASE(says_the_reason),
        CASE(is_refused_at_once),
        CASE(outlives_a_session),
        CASE(progress_and_abort),
        CASE(within_one_host),
        CASE(through_the_controller),
        CASE(leave_of_both_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
