/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fleet_world.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MS G_TIME_SPAN_MILLISECOND

static GwRequest *look_request(void)
{
    GwRequest *request = gw_request_new(GW_OP_LOOK, "h1", VM);

    request->timeout_us = 3000 * MS;
    return request;
}

static void fails_with(World *world, GwRequest *request, GwErrorCode code, const char *part)
{
    g_autoptr(GwReply) reply = ask(world, request);

    unit_assert_error(reply->error, code, part);
}

/* Connecting ---------------------------------------------------------------------------------- */

static int connect_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* What libvirt's client says at the local socket goes to the host and back. */
static void check_socket(World *world)
{
    const char *uri = last_request(world, GW_OP_CONNECT)->text;
    const char *prefix = "qemu+unix:///system?socket=";
    char heard[8] = { 0 };
    GStatBuf status;

    UNIT_OK(gw_host_check_uri(uri, error));
    assert_true(g_str_has_prefix(uri, prefix));
    g_autofree char *path = g_uri_unescape_string(uri + strlen(prefix), NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    assert_int_equal(g_stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    int fd = connect_socket(path);
    assert_int_equal(write(fd, "libvirt", 7), 7);
    for (gsize got = 0; got < 7;) {
        ssize_t more = read(fd, heard + got, 7 - got);
        assert_true(more > 0);
        got += (gsize)more;
    }
    assert_string_equal(heard, "libvirt");
    close(fd);
}

/* A bridge without a port that carries is down, and adapters can be attached to it all the same. */
static void check_bridges(const GwHostFacts *facts)
{
    const GwNetwork *isolated = gw_record_find(&gw_network_record, facts->networks, "name", "br1");

    assert_int_equal(facts->networks->len, 2);
    assert_string_equal(((GwNetwork *)facts->networks->pdata[0])->name,
                        "br0"); /* the agent's last */
    assert_string_equal(facts->bridges[0], "br0");
    assert_string_equal(facts->bridges[1], "br1");
    assert_string_equal(isolated->kind, "bridge");
    assert_true(isolated->active);
    assert_int_equal(isolated->mtu, 9000);
}

static void test_connect(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    g_autoptr(GwReply) reply = ask(&world, connect_request("h1", agent));
    assert_null(reply->error);
    assert_string_equal(reply->facts->hostname, "kvm");
    assert_string_equal(reply->facts->agent->boot_id, "boot-1");
    assert_int_equal(reply->facts->agent->wire_version, GW_WIRE_VERSION);
    assert_null(strchr(reply->facts->agent->warnings[0], '\x1b')); /* fit for a terminal */
    assert_int_equal(json_integer_value(json_object_get(agent->hello, "incarnation")), 7);
    assert_non_null(json_string_value(json_object_get(agent->hello, "run")));
    check_bridges(reply->facts);
    check_socket(&world);

    g_autoptr(GwReply) facts = ask(&world, gw_request_new(GW_OP_FACTS, "h1", NULL));
    assert_null(facts->error);
    assert_string_equal(facts->facts->agent->version, "0.1.0");

    g_autoptr(GwReply) off = ask(&world, gw_request_new(GW_OP_DISCONNECT, "h1", NULL));
    assert_null(off->error);
    fails_with(&world, gw_request_new(GW_OP_CLOSE, "h1", VM), GW_ERR_UNREACHABLE, "not connected");
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 0); /* it was asked for */
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

static void test_wrong_host_answers(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_2);

    g_autoptr(GwReply) reply = ask(&world, connect_request("h1", agent));
    assert_non_null(reply->error);
    assert_non_null(strstr(reply->error->message, "127.0.0.1"));
    assert_non_null(gw_error_remedy(reply->error));
    assert_int_equal(count_requests(&world, GW_OP_CONNECT), 0); /* libvirt was never asked */
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 0);
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

static void test_names(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);
    GwRequest *named = connect_request("h1", agent);
    GwRequest *nowhere = connect_request("h2", agent);

    g_free(named->text);
    named->text = g_strdup_printf("godwit://localhost:%u/" HOST_1, agent->port);
    g_autoptr(GwReply) reply = ask(&world, named);
    assert_null(reply->error);

    g_free(nowhere->text);
    nowhere->text = g_strdup("godwit://kvm1.invalid/" HOST_2);
    fails_with(&world, nowhere, GW_ERR_UNREACHABLE, "kvm1.invalid");
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

/* A port that accepts and says nothing. */
static void test_black_hole(void **state)
{
    World world;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    world_open(&world);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    Agent nobody = { .id = (char *)HOST_1, .port = ntohs(address.sin_port) };
    GwRequest *request = connect_request("h1", &nobody);
    gint64 began = g_get_monotonic_time();

    request->timeout_us = 300 * MS;
    fails_with(&world, request, GW_ERR_TIMEOUT, "did not accept a session");
    assert_true(g_get_monotonic_time() - began >= 300 * MS);
    world_free(&world);
    close(fd);
}

static void test_overtaken(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    world.holds = TRUE;
    guint64 first = submit(&world, connect_request("h1", agent));
    await_requests(&world, GW_OP_CONNECT, 1);
    guint64 second = submit(&world, connect_request("h1", agent));
    g_autoptr(GwReply) early = await(&world, first);
    unit_assert_error(early->error, GW_ERR_CANCELLED, "overtaken");
    await_requests(&world, GW_OP_CONNECT, 2);
    release(&world); /* answers both: only the second is wanted */
    g_autoptr(GwReply) late = await(&world, second);
    assert_null(late->error);
    world_close_fleet(&world);
    assert_int_equal(count_replies(&world, first), 0);
    assert_int_equal(agent->ready, 1); /* the session was not made anew */
    agent_free(agent);
    world_free(&world);
}

static void test_facts_are_late(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);
    GwRequest *request = connect_request("h1", agent);

    agent_manner(agent, MUTE, NULL);
    request->timeout_us = 1500 * MS;
    g_autoptr(GwReply) reply = ask(&world, request);
    assert_null(reply->error);
    assert_string_equal(reply->facts->hostname, "kvm");
    assert_non_null(reply->facts->agent); /* there is one, that is known */
    assert_non_null(strstr(reply->facts->agent->warnings[0], "does not say"));
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

static void test_long_folder(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);
    GwFleet *fleet = (GwFleet *)world.fleet;

    g_free(fleet->folder);
    fleet->folder = g_strnfill(200, 'x');
    fails_with(&world, connect_request("h1", agent), GW_ERR_INVALID, "path of a local socket");
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

/* Losing -------------------------------------------------------------------------------------- */

static void test_agent_dies(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    connect_well(&world, "h1", agent);
    gint64 before = g_get_monotonic_time();
    agent_kill(agent);
    await_events(&world, GW_EVENT_HOST_LOST, 1);
    libvirt_loses(&world, "h1", g_get_monotonic_time()); /* it notices as well */
    fails_with(&world, connect_request("h1", agent), GW_ERR_UNREACHABLE, "127.0.0.1");
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 1);
    agent_free(agent);

    Agent *again = agent_new(&world, HOST_1, HOST_1);
    connect_well(&world, "h1", again);
    libvirt_loses(&world, "h1", before); /* late news of the connection before */
    g_autoptr(GwReply) look = ask(&world, look_request());
    assert_null(look->error);
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 1);
    libvirt_loses(&world, "h1", g_get_monotonic_time()); /* of this one */
    await_events(&world, GW_EVENT_HOST_LOST, 2);
    world_close_fleet(&world);
    agent_free(again);
    world_free(&world);
}

/* libvirtd restarts: the agent's session stays, and attests. */
static void test_libvirt_dies(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    connect_well(&world, "h1", agent);
    libvirt_loses(&world, "h1", g_get_monotonic_time());
    await_events(&world, GW_EVENT_HOST_LOST, 1);
    connect_well(&world, "h1", agent);
    assert_int_equal(agent->ready, 1);
    agent_kill(agent);
    await_events(&world, GW_EVENT_HOST_LOST, 2);
    world_close_fleet(&world);
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 2);
    agent_free(agent);
    world_free(&world);
}

static void test_lost_while_connecting(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    world.holds = TRUE;
    guint64 id = submit(&world, connect_request("h1", agent));
    await_requests(&world, GW_OP_CONNECT, 1);
    libvirt_loses(&world, "h1", g_get_monotonic_time());
    release(&world);
    g_autoptr(GwReply) reply = await(&world, id);
    unit_assert_error(reply->error, GW_ERR_UNREACHABLE, "broke at once");
    assert_int_equal(count_events(&world, GW_EVENT_HOST_LOST), 0);
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

/* Looking ------------------------------------------------------------------------------------- */

static void test_look(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    connect_well(&world, "h1", agent);
    world.processes = 2;
    g_autoptr(GwReply) look = ask(&world, look_request());
    assert_null(look->error);
    assert_true(look->look->present);
    assert_true(look->look->attested);
    assert_int_equal(look->look->processes, 2);
    g_autoptr(GwJson) params = agent_called(agent, "processes");
    assert_string_equal(json_string_value(json_object_get(params, "vm_uuid")), VM);

    agent_manner(agent, FAIL, NULL); /* "cannot tell" is not absence */
    fails_with(&world, look_request(), GW_ERR_OPERATION, "the agent cannot");
    agent_manner(agent, SAY, NULL);
    agent_answer(agent, json_pack("{s:i}", "count", -1));
    fails_with(&world, look_request(), GW_ERR_INVALID, "how many processes");
    agent_answer(agent, json_pack("{s:s}", "count", "0"));
    fails_with(&world, look_request(), GW_ERR_INVALID, "how many processes");
    agent_answer(agent, NULL);
    world.fails = TRUE;
    fails_with(&world, look_request(), GW_ERR_OPERATION, "libvirt said no");
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

static void test_late_answers(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);
    GwRequest *mute = look_request(), *held = look_request();

    connect_well(&world, "h1", agent);
    agent_manner(agent, MUTE, NULL);
    mute->timeout_us = 200 * MS;
    fails_with(&world, mute, GW_ERR_TIMEOUT, "in time");
    agent_manner(agent, SAY, NULL);

    world.holds = TRUE;
    held->timeout_us = 200 * MS;
    guint64 id = submit(&world, held);
    g_autoptr(GwReply) reply = await(&world, id);
    unit_assert_error(reply->error, GW_ERR_TIMEOUT, "libvirt");
    release(&world); /* now it answers: nobody waits */
    g_autoptr(GwReply) next = ask(&world, look_request());
    assert_null(next->error);
    assert_int_equal(count_replies(&world, id), 0);
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

/* Leave --------------------------------------------------------------------------------------- */

static GwPermit *permit_of(void)
{
    GwPermit *permit = g_new0(GwPermit, 1);

    permit->job_id = g_strdup(JOB);
    permit->vm_uuid = g_strdup(VM);
    permit->vm_name = g_strdup("web1");
    permit->epoch = 3;
    permit->source_host_id = g_strdup("h1");
    permit->destination_host_id = g_strdup("h2");
    permit->lifetime_s = 600;
    permit->channels = 4;
    permit->commit_by_resume = TRUE;
    return permit;
}

static GwRequest *permit_request(const char *host_id)
{
    GwRequest *request = gw_request_new(GW_OP_PERMIT, host_id, VM);

    request->permit = permit_of();
    return request;
}

static char *permitted(World *world, Agent *agent, const char *host_id)
{
    g_autoptr(GwReply) reply = ask(world, permit_request(host_id));

    if (reply->error != NULL)
        fail_msg("permit: %s", reply->error->message);
    assert_int_equal(reply->paths != NULL, strcmp(host_id, "h1") == 0);
    g_autoptr(GwJson) params = agent_called(agent, "permit");
    return g_strdup(json_string_value(json_object_get(params, "ticket")));
}

static GwTicket *open_ticket(World *world, const char *text)
{
    gsize length = 0;
    g_autofree guint8 *bytes = g_base64_decode(text, &length);
    GwTicket *ticket = NULL;

    UNIT_OK((ticket = gw_ticket_open(bytes, length, gw_authority_ticket_public(world->authority),
                                     error)) != NULL);
    return ticket;
}

static void check_ticket(World *world, const char *text, gboolean disks)
{
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    g_autoptr(GwTicket) ticket = open_ticket(world, text);
    const char *fabric = gw_authority_fabric_id(world->authority);

    UNIT_OK(gw_ticket_check(ticket, fabric, HOST_1, HOST_2, GW_STREAM_RPC, now, error));
    UNIT_OK(gw_ticket_check(ticket, fabric, HOST_1, HOST_2, GW_STREAM_MIGRATION, now, error));
    assert_int_equal(gw_ticket_check(ticket, fabric, HOST_1, HOST_2, GW_STREAM_DISK, now, NULL),
                     disks);
    assert_int_equal(ticket->streams_max >= 6 + 32, disks);
    assert_false(gw_ticket_check(ticket, fabric, HOST_1, HOST_2, GW_STREAM_ECHO, now, NULL));
    assert_false(gw_ticket_check(ticket, fabric, HOST_2, HOST_1, GW_STREAM_RPC, now, NULL));
    assert_false(gw_ticket_check(ticket, fabric, HOST_1, HOST_2, GW_STREAM_RPC, now + 700, NULL));
    assert_int_equal(ticket->epoch, 3);
    assert_true(ticket->streams_max >= 6);
    assert_true(ticket->commit_by_resume);
}

static void check_peer(Agent *agent, const char *host_id, guint16 port)
{
    g_autoptr(GwJson) params = agent_called(agent, "permit");
    const json_t *peer = json_object_get(params, "peer");
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);

    assert_string_equal(json_string_value(json_object_get(peer, "host_id")), host_id);
    assert_string_equal(json_string_value(json_array_get(json_object_get(peer, "addresses"), 0)),
                        address);
}

static void test_permit(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);

    connect_well(&world, "h1", one);
    fails_with(&world, permit_request("h1"), GW_ERR_UNREACHABLE, "h2"); /* where is it? */
    connect_well(&world, "h2", two);
    g_autofree char *first = permitted(&world, one, "h1");
    g_autofree char *other = permitted(&world, two, "h2");
    g_autofree char *again = permitted(&world, one, "h1");
    assert_string_equal(first, other);
    assert_string_equal(first, again);
    check_ticket(&world, first, FALSE);
    check_peer(one, HOST_2, two->port);
    check_peer(two, HOST_1, one->port);

    GwRequest *close_one = gw_request_new(GW_OP_CLOSE, "h1", VM);
    GwRequest *close_two = gw_request_new(GW_OP_CLOSE, "h2", VM);
    close_one->text = g_strdup(JOB);
    close_two->text = g_strdup(JOB);
    close_one->number = close_two->number = 3;
    gw_reply_free(ask(&world, close_one));
    gw_reply_free(ask(&world, close_two));
    g_autoptr(GwJson) params = agent_called(two, "close");
    assert_string_equal(json_string_value(json_object_get(params, "job")), JOB);
    assert_int_equal(json_integer_value(json_object_get(params, "epoch")), 3);
    g_autofree char *anew = permitted(&world, one, "h1");
    assert_string_not_equal(first, anew);
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

/* Leave for a copy of disks is given where disks are copied, and never beside post-copy. */
static void test_permit_for_disks(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);
    GwRequest *request = permit_request("h1"), *post_copy = permit_request("h1");

    connect_well(&world, "h1", one);
    connect_well(&world, "h2", two);
    g_autofree char *without = permitted(&world, one, "h1");
    request->permit->disks = TRUE;
    gw_reply_free(ask(&world, request));
    g_autoptr(GwJson) params = agent_called(one, "permit");
    const char *with = json_string_value(json_object_get(params, "ticket"));
    assert_string_not_equal(with, without);
    check_ticket(&world, with, TRUE);

    post_copy->permit->disks = post_copy->permit->post_copy = TRUE;
    post_copy->permit->commit_by_resume = FALSE;
    fails_with(&world, post_copy, GW_ERR_INVALID, "a copy of disks");
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

/* What the agent says is handed to the host's libvirt. */
static void test_permit_lies(void **state)
{
    static const char *const peers[] = {
        "qemu+ssh://evil.example.org/system",
        "qemu+unix:///system?socket=/run/../etc/x",
        "qemu+unix:///system?socket=/run/x&command=/bin/sh",
        "qemu+unix:///system?socket=/run/x&socket=/run/y",
        "qemu+unix:///system?socket=run/x",
        "",
    };
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);

    connect_well(&world, "h1", one);
    connect_well(&world, "h2", two);
    for (guint i = 0; i < G_N_ELEMENTS(peers); i++) {
        agent_answer(one, json_pack("{s:s, s:s, s:s}", "peer_uri", peers[i], "migration_uri",
                                    "unix:///run/m", "disks_uri", "unix:///run/d"));
        fails_with(&world, permit_request("h1"), GW_ERR_INVALID, "URIs of local sockets");
    }
    agent_answer(one,
                 json_pack("{s:s, s:s, s:s}", "peer_uri", "qemu+unix:///system?socket=/run/r",
                           "migration_uri", "tcp://192.0.2.1:1", "disks_uri", "unix:///run/d"));
    fails_with(&world, permit_request("h1"), GW_ERR_INVALID, "URIs of local sockets");
    GwRequest *both = permit_request("h1");
    both->permit->post_copy = TRUE;
    both->permit->epoch = 4;
    g_autoptr(GwReply) refused = ask(&world, both);
    assert_non_null(refused->error); /* RECOVERY: never together */
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

/* The other things an agent does -------------------------------------------------------------- */

static void test_agent_ops(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);
    GwRequest *measure = gw_request_new(GW_OP_MEASURE, "h1", NULL);
    GwRequest *check = gw_request_new(GW_OP_CHECK, "h1", NULL);
    GwRequest *install = gw_request_new(GW_OP_RENEW, "h1", NULL);

    connect_well(&world, "h1", one);
    connect_well(&world, "h2", two);
    measure->text = g_strdup("h2");
    agent_answer(one, json_pack("{s:s, s:i}", "host_id", HOST_2, "bytes_per_s", 1000));
    g_autoptr(GwReply) link = ask(&world, measure);
    assert_null(link->error);
    assert_int_equal(link->link->bytes_per_s, 1000);
    assert_string_equal(link->link->host_id, "h2");

    agent_answer(one, json_pack("{s:[{s:s, s:s, s:s}]}", "lines", "name", "socket", "outcome",
                                "warning", "observed", "\x1b[31mred"));
    g_autoptr(GwReply) lines = ask(&world, check);
    assert_null(lines->error);
    const GwCheckLine *line = lines->lines->pdata[0];
    assert_int_equal(line->outcome, GW_CHECK_WARNING);
    assert_null(strchr(line->observed, '\x1b'));
    fails_with(&world, gw_request_new(GW_OP_RENEW, "h1", NULL), GW_ERR_INVALID, "request");

    agent_answer(one, json_pack("{s:s}", "request", "PEM"));
    g_autoptr(GwReply) renew = ask(&world, gw_request_new(GW_OP_RENEW, "h1", NULL));
    assert_string_equal(renew->text, "PEM");
    install->text = g_strdup("CERTIFICATE");
    g_autoptr(GwReply) installed = ask(&world, install);
    assert_null(installed->error);
    g_autoptr(GwJson) params = agent_called(one, "install-certificate");
    assert_string_equal(json_string_value(json_object_get(params, "certificate")), "CERTIFICATE");
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

static void check_trial(World *world, Agent *asked, const char *host_id, const char *other_id,
                        const char *from, const char *to)
{
    GwRequest *request = gw_request_new(GW_OP_CHECK, host_id, NULL);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    const char *fabric = gw_authority_fabric_id(world->authority);
    g_autoptr(GwTicket) ticket = NULL;
    gsize length = 0;

    request->text = g_strdup(other_id);
    request->permit = permit_of();
    request->permit->trial = TRUE;
    agent_answer(asked, json_pack("{s:[]}", "lines"));
    g_autoptr(GwReply) reply = ask(world, request);
    assert_null(reply->error);
    g_autoptr(GwJson) params = agent_called(asked, "check");
    g_autofree guint8 *bytes =
        g_base64_decode(json_string_value(json_object_get(params, "ticket")), &length);
    UNIT_OK((ticket = gw_ticket_open(bytes, length, gw_authority_ticket_public(world->authority),
                                     error)) != NULL);
    UNIT_OK(gw_ticket_check(ticket, fabric, from, to, GW_STREAM_ECHO, now, error));
    assert_false(gw_ticket_check(ticket, fabric, from, to, GW_STREAM_MIGRATION, now, NULL));
    assert_false(ticket->commit_by_resume);
    const json_t *peer = json_object_get(params, "peer");
    assert_string_equal(json_string_value(json_object_get(peer, "host_id")), to);
}

/* Each host is given leave to the other, and no trial counts as leave for a move. */
static void test_trial(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);

    connect_well(&world, "h1", one);
    connect_well(&world, "h2", two);
    check_trial(&world, one, "h1", "h2", HOST_1, HOST_2);
    check_trial(&world, two, "h2", "h1", HOST_2, HOST_1);
    agent_answer(one, NULL);
    agent_answer(two, NULL);
    g_autofree char *first = permitted(&world, one, "h1");
    g_autofree char *other = permitted(&world, two, "h2");
    check_ticket(&world, first, FALSE);
    assert_string_equal(first, other);
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

static void test_notices(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);

    connect_well(&world, "h1", agent);
    agent_notice(agent, "unheard-of", json_object());
    agent_notice(agent, "alarm", json_pack("{s:n}", "text"));
    agent_notice(agent, "alarm", json_pack("{s:s, s:s}", "vm_uuid", VM, "text", "kept\x07 it off"));
    agent_notice(agent, "facts-changed", json_object());
    await_events(&world, GW_EVENT_FACTS_CHANGED, 1);
    assert_int_equal(count_events(&world, GW_EVENT_ALARM), 1);
    const GwHyperEvent *event = world.events->pdata[0];
    assert_string_equal(event->vm_uuid, VM);
    assert_string_equal(event->host_id, "h1");
    assert_null(strchr(event->text, '\x07'));
    for (guint i = 0; i < 2 * GW_FLEET_ALARMS_MAX; i++)
        agent_notice(agent, "alarm", json_pack("{s:n, s:s}", "vm_uuid", "text", "again"));
    agent_notice(agent, "facts-changed", json_object());
    await_events(&world, GW_EVENT_FACTS_CHANGED, 2);
    assert_int_equal(count_events(&world, GW_EVENT_ALARM), GW_FLEET_ALARMS_MAX);
    world_close_fleet(&world);
    agent_free(agent);
    world_free(&world);
}

static void test_revoked(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);
    GwRequest *request = gw_request_new(GW_OP_REVOKED, "h2", NULL);

    connect_well(&world, "h1", one);
    connect_well(&world, "h2", two);
    GwFleet *fleet = (GwFleet *)world.fleet;
    const GwFleetHost *host = gw_fleet_host(fleet, "h1");
    request->text = g_strdup_printf("00ff\n%s\n", gw_session_peer(host->link->session)->serial);
    g_autoptr(GwReply) reply = ask(&world, request);
    assert_null(reply->error);
    g_autoptr(GwJson) params = agent_called(two, "revoked");
    assert_int_equal(json_array_size(json_object_get(params, "serials")), 2);
    await_events(&world, GW_EVENT_HOST_LOST, 1); /* its session ended */
    g_autoptr(GwReply) again = ask(&world, connect_request("h1", one));
    assert_non_null(again->error);
    world_close_fleet(&world);
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

/* A controller that starts knows of them before it dials. */
static void test_revoked_before_the_first(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1);

    GwRequest *request = gw_request_new(GW_OP_REVOKED, "h1", NULL);
    request->text = g_strdup(one->serial);
    g_autoptr(GwReply) told = ask(&world, request);
    assert_non_null(told->error); /* there is no agent yet that could be told */
    g_autoptr(GwReply) refused = ask(&world, connect_request("h1", one));
    assert_non_null(refused->error);
    world_close_fleet(&world);
    agent_free(one);
    world_free(&world);
}

/* Without an agent ---------------------------------------------------------------------------- */

static void test_agentless(void **state)
{
    World world;
    GwRequest *request = gw_request_new(GW_OP_CONNECT, "h1", NULL);

    world_open(&world);
    request->text = g_strdup("qemu+ssh://root@kvm1/system");
    g_autoptr(GwReply) reply = ask(&world, request);
    assert_null(reply->error);
    assert_null(reply->facts->agent);
    assert_string_equal(last_request(&world, GW_OP_CONNECT)->text, "qemu+ssh://root@kvm1/system");
    g_autoptr(GwReply) look = ask(&world, look_request());
    assert_false(look->look->attested);
    fails_with(&world, permit_request("h1"), GW_ERR_UNSUPPORTED, "no agent");
    fails_with(&world, gw_request_new(GW_OP_MEASURE, "h1", NULL), GW_ERR_UNSUPPORTED, "no agent");
    libvirt_loses(&world, "h1", g_get_monotonic_time());
    await_events(&world, GW_EVENT_HOST_LOST, 1);
    world_free(&world);
}

/* Anything, in any order ---------------------------------------------------------------------- */

static GwRequest *random_request(GRand *random, Agent *agent)
{
    static const GwOp ops[] = { GW_OP_LOOK,    GW_OP_FACTS,   GW_OP_CLOSE,   GW_OP_GET_VM,
                                GW_OP_RESUME,  GW_OP_CONNECT, GW_OP_CONNECT, GW_OP_DISCONNECT,
                                GW_OP_MEASURE, GW_OP_RENEW };
    GwOp op = ops[g_rand_int_range(random, 0, G_N_ELEMENTS(ops))];
    GwRequest *request =
        op == GW_OP_CONNECT ? connect_request("h1", agent) : gw_request_new(op, "h1", VM);

    if (op == GW_OP_CLOSE)
        request->text = g_strdup(JOB);
    request->timeout_us = g_rand_int_range(random, 20, 2000) * MS;
    return request;
}

static void disturb(World *world, GRand *random, Agent *agent)
{
    switch (g_rand_int_range(random, 0, 6)) {
    case 0:
        libvirt_loses(world, "h1", g_get_monotonic_time());
        break;
    case 1:
        libvirt_loses(world, "h1", g_get_monotonic_time() - 100 * MS);
        break;
    case 2:
        agent_manner(agent, (Manner)g_rand_int_range(random, SAY, MUTE + 1), NULL);
        break;
    case 3:
        agent_hang_up(agent);
        break;
    case 4:
        g_usleep((gulong)g_rand_int_range(random, 0, 20000));
        break;
    default:
        agent_manner(agent, SAY, NULL);
        break;
    }
}

/* Whatever comes in between: each request is answered once, and no host is lost twice. */
static void test_storm(void **state)
{
    World world;
    world_open(&world);
    Agent *agent = agent_new(&world, HOST_1, HOST_1);
    guint32 seed = g_random_int();
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint64));

    print_message("# seed %u\n", seed);
    world.follows = TRUE;
    connect_well(&world, "h1", agent);
    for (guint i = 0; i < 600; i++) {
        guint64 id = submit(&world, random_request(random, agent));
        g_array_append_val(ids, id);
        if (i % 4 == 0)
            disturb(&world, random, agent);
        if (i % 32 == 0)
            gw_reply_free(await(&world, id));
    }
    agent_manner(agent, SAY, NULL);
    await_all(&world, ids->len - (ids->len + 31) / 32);
    world_close_fleet(&world);
    assert_int_equal(world.replies->len, ids->len - (ids->len + 31) / 32);
    for (guint i = 0; i < ids->len; i++)
        assert_int_equal(count_replies(&world, g_array_index(ids, guint64, i)), i % 32 != 0);
    agent_free(agent);
    world_free(&world);
}

/* Closing ------------------------------------------------------------------------------------- */

static void test_close_while_busy(void **state)
{
    World world;
    world_open(&world);
    Agent *one = agent_new(&world, HOST_1, HOST_1), *two = agent_new(&world, HOST_2, HOST_2);
    GwRequest *named = connect_request("h3", two);

    connect_well(&world, "h1", one);
    agent_manner(one, MUTE, NULL);
    world.holds = TRUE;
    for (guint i = 0; i < 20; i++)
        submit(&world, look_request());
    submit(&world, connect_request("h2", two));
    g_free(named->text);
    named->text = g_strdup("godwit://kvm1.invalid/" HOST_2);
    submit(&world, named);
    submit(&world, gw_request_new(GW_OP_FACTS, "h1", NULL));
    world_close_fleet(&world); /* the sink fails the test if it is called after this */
    agent_free(one);
    agent_free(two);
    world_free(&world);
}

static void test_close_at_once(void **state)
{
    World world;
    world_open(&world);
    world_free(&world);
}

static void test_incarnation(void **state)
{
    g_autofree char *folder = g_dir_make_tmp("godwit-count-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "incarnation", NULL);
    g_autofree char *nowhere = g_build_filename(folder, "none", "incarnation", NULL);
    g_autoptr(GError) garbage = NULL;
    g_autoptr(GError) missing = NULL;

    for (gint64 i = 1; i <= 3; i++) {
        gint64 number = 0;
        UNIT_OK((number = gw_fleet_next_incarnation(path, error)) != 0);
        assert_int_equal(number, i);
    }
    assert_true(g_file_set_contents(path, "four", -1, NULL));
    assert_int_equal(gw_fleet_next_incarnation(path, &garbage), 0); /* never back to 1 */
    unit_assert_error(garbage, GW_ERR_STORE, "number");
    assert_int_equal(gw_fleet_next_incarnation(nowhere, &missing), 0);
    unit_assert_error(missing, GW_ERR_STORE, "count");
    g_remove(path);
    g_rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_wrong_host_answers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_black_hole),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_facts_are_late),
        cmocka_unit_test(test_long_folder),
        cmocka_unit_test(test_agent_dies),
        cmocka_unit_test(test_libvirt_dies),
        cmocka_unit_test(test_lost_while_connecting),
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_permit),
        cmocka_unit_test(test_permit_for_disks),
        cmocka_unit_test(test_permit_lies),
        cmocka_unit_test(test_agent_ops),
        cmocka_unit_test(test_trial),
        cmocka_unit_test(test_notices),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_revoked_before_the_first),
        cmocka_unit_test(test_agentless),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_close_while_busy),
        cmocka_unit_test(test_close_at_once),
        cmocka_unit_test(test_incarnation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
