/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/records_internal.h"

/* How hosts get their agents, over the simulated fabric and a virtual clock. Before the fabric
 * stand simulated agents: machine "a.example.org" is reached as qemu+tls://a.example.org/system,
 * and as godwit://a.example.org:PORT/ID by whoever joined from there. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define DAYS(n) SECONDS((gint64)(n)*86400)

typedef struct {
    GwHyper base;
    GwHyper *inner;
} Agents;

/* What the agents were told and asked, since the test began. */
static struct {
    GHashTable *revoked;     /* host id -> the serials, as told last */
    GHashTable *certificate; /* host id -> the last one installed */
    GHashTable *peers;       /* host id -> the peer of the last check, "" for none */
    guint renewals;
    guint too_late; /* connected before anything was told of what is revoked */
    gboolean refuse_renewal, ask_nonsense;
} said;

static void answer(Agents *agents, GwRequest *request, GwReply *reply)
{
    agents->base.sink.reply(reply, agents->base.sink.user);
    gw_request_free(request);
}

static void renew(Agents *agents, GwRequest *request)
{
    GwReply *reply = gw_reply_new(request->id);
    g_autofree char *key = NULL;

    if (said.refuse_renewal)
        gw_error_set(&reply->error, GW_ERR_OPERATION, "Free space there.", "the disk is full");
    else if (request->text != NULL)
        g_hash_table_replace(said.certificate, g_strdup(request->host_id), g_strdup(request->text));
    else if (said.ask_nonsense)
        reply->text = g_strdup("-----BEGIN NONSENSE-----\n");
    else
        assert_true(gw_identity_request(&key, &reply->text, NULL));
    said.renewals++;
    answer(agents, request, reply);
}

static void try_all(Agents *agents, GwRequest *request)
{
    GwReply *reply = gw_reply_new(request->id);
    GwCheckLine *line = gw_check_line_new();

    line->name = g_strdup("echo");
    line->outcome = GW_CHECK_OK;
    line->observed =
        g_strdup(request->permit != NULL && request->permit->trial ? "with a permit" : "alone");
    reply->lines = gw_record_array(&gw_check_line_record);
    g_ptr_array_add(reply->lines, line);
    g_hash_table_replace(said.peers, g_strdup(request->host_id),
                         g_strdup(request->text != NULL ? request->text : ""));
    answer(agents, request, reply);
}

static void submit(GwHyper *hyper, GwRequest *request)
{
    Agents *agents = (Agents *)hyper;
    g_autofree char *address = NULL;

    switch (request->op) {
    case GW_OP_REVOKED:
        g_hash_table_replace(said.revoked, g_strdup(request->host_id), g_strdup(request->text));
        answer(agents, request, gw_reply_new(request->id));
        break;
    case GW_OP_RENEW:
        renew(agents, request);
        break;
    case GW_OP_CHECK:
        try_all(agents, request);
        break;
    case GW_OP_CONNECT:
        said.too_late += !g_hash_table_contains(said.revoked, request->host_id);
        if (gw_host_agent_uri(request->text, &address, NULL, NULL)) {
            g_free(request->text);
            request->text = g_strdup_printf("qemu+tls://%s/system", address);
        }
        gw_hyper_submit(agents->inner, request);
        break;
    default:
        gw_hyper_submit(agents->inner, request);
    }
}

static void close_agents(GwHyper *hyper)
{
    gw_hyper_close(((Agents *)hyper)->inner);
    g_free(hyper);
}

static gint64 next_us(GwHyper *hyper)
{
    GwHyper *inner = ((Agents *)hyper)->inner;
    return inner->driver->next_us(inner);
}

static void run(GwHyper *hyper, gint64 now_us)
{
    GwHyper *inner = ((Agents *)hyper)->inner;
    inner->driver->run(inner, now_us);
}

static GwHyper *open_agents(GwHyperSink sink, gpointer world, GError **error)
{
    static const GwHyperDriver driver = { "agents", submit, close_agents, next_us, run };
    Agents *agents = g_new0(Agents, 1);

    (void)error;
    agents->base.driver = &driver;
    agents->base.sink = sink;
    agents->inner = gw_sim_attach(((World *)world)->sim, sink);
    return &agents->base;
}

/* The world -------------------------------------------------------------------------------- */

static void open_world(World *world)
{
    json_t *a = world_host_json(0);

    said.revoked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    said.certificate = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    said.peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    said.renewals = 0;
    said.refuse_renewal = said.ask_nonsense = FALSE;
    json_object_set_new(a, "vms", json_pack("[o]", world_vm_json(VM, "web1")));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:[o,o,o]}", "hosts", a, world_host_json(1), world_host_json(2)));
    g_autofree char *folder = g_build_filename(world->folder, "fabric", NULL);
    UNIT_OK((world->authority = gw_authority_open(folder, 1700000000, error)) != NULL);
    world->open_hyper = open_agents;
    world_start(world);
}

static void close_world(World *world)
{
    GwAuthority *authority = world->authority;
    g_autofree char *folder = g_build_filename(world->folder, "fabric", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    world_free(world);
    gw_authority_free(authority);
    g_hash_table_unref(said.revoked);
    g_hash_table_unref(said.certificate);
    g_hash_table_unref(said.peers);
}

static GwJoinToken *make_token(World *world, const char *name, const char *host)
{
    g_autoptr(GwJoinToken) wanted = gw_join_token_new();
    GwJoinToken *token = NULL;

    wanted->name = g_strdup(name);
    wanted->host = g_strdup(host);
    UNIT_OK((token = gw_engine_add_join_token(world->engine, wanted, "tester", error)) != NULL);
    return token;
}

static GwJoinRequest *make_request(const char *token)
{
    GwJoinRequest *request = gw_join_request_new();
    g_autofree char *key = NULL;

    request->token = g_strdup(token);
    request->hostname = g_strdup("named-by-itself");
    assert_true(gw_identity_request(&key, &request->request, NULL));
    return request;
}

static GwJoinAnswer *join(World *world, const char *token, const char *peer)
{
    g_autoptr(GwJoinRequest) request = make_request(token);
    GwJoinAnswer *given = NULL;

    UNIT_OK((given = gw_engine_join(world->engine, request, peer, error)) != NULL);
    return given;
}

/* Host @index of the fabric joins; returns its id. */
static char *join_host(World *world, guint index)
{
    g_autofree char *name = g_strdup_printf("%c", (char)('a' + index));
    g_autofree char *address = g_strdup_printf("%s.example.org", name);
    g_autoptr(GwJoinToken) token = make_token(world, name, NULL);
    g_autoptr(GwJoinAnswer) given = join(world, token->token, address);

    world_run(world, SECONDS(5));
    return g_strdup(given->host_id);
}

static void refused(World *world, const char *token, GwErrorCode code, const char *part)
{
    g_autoptr(GwJoinRequest) request = make_request(token);
    g_autoptr(GError) error = NULL;

    assert_null(gw_engine_join(world->engine, request, "a.example.org", &error));
    unit_assert_error(error, code, part);
}

static GwHost *host_of(World *world, const char *id)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwHost *host = gw_fabric_find_host(fabric, id);

    if (host == NULL)
        fail_msg("no host %s", id);
    return gw_host_copy(host);
}

static guint count_tokens(World *world)
{
    g_autoptr(GPtrArray) tokens = gw_engine_join_tokens(world->engine, NULL);

    for (guint i = 0; i < tokens->len; i++)
        assert_null(((GwJoinToken *)tokens->pdata[i])->token);
    return tokens->len;
}

/* Tokens ----------------------------------------------------------------------------------- */

static void test_a_host_joins(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, NULL, NULL);
    assert_true(g_str_has_prefix(token->token, GW_JOIN_TOKEN_PREFIX));
    assert_int_equal(strlen(token->token), strlen(GW_JOIN_TOKEN_PREFIX) + 64);
    assert_string_equal(token->expires_at, "2023-11-14T23:13:20Z");
    assert_string_equal(token->created_by, "tester");
    assert_int_equal(count_tokens(&world), 1);

    g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    g_autoptr(GwPeer) who = gw_identity_read(given->certificate, NULL);
    assert_int_equal(who->role, GW_PEER_HOST);
    assert_string_equal(who->host_id, given->host_id);
    assert_string_equal(who->fabric_id, given->fabric_id);
    assert_string_equal(given->host_id, token->host_id);
    assert_string_equal(given->fabric_id, gw_authority_fabric_id(world.authority));
    gsize length = 0;
    g_autofree guint8 *key = g_base64_decode(given->ticket_key, &length);
    assert_int_equal(length, 32);
    assert_memory_equal(key, gw_authority_ticket_public(world.authority), 32);
    assert_int_equal(given->wall_us, gw_clock_wall_us(world.clock));

    g_autoptr(GwHost) before = host_of(&world, given->host_id);
    assert_int_equal(before->status, GW_HOST_CONNECTING);
    assert_string_equal(before->name, "named-by-itself");
    g_autofree char *uri = g_strdup_printf("godwit://a.example.org:8447/%s", given->host_id);
    assert_string_equal(before->uri, uri);
    assert_string_equal(before->agent_certificate_serial, who->serial);
    world_run(&world, SECONDS(5));
    g_autoptr(GwHost) after = host_of(&world, given->host_id);
    assert_int_equal(after->status, GW_HOST_OK);
    assert_null(after->status_reason);
    assert_int_equal(count_tokens(&world), 0);
    refused(&world, token->token, GW_ERR_UNAUTHORIZED, "unknown, used or expired");
    close_world(&world);
}

static void test_no_agents_without_an_authority(void **unused)
{
    World world;
    g_autoptr(GwJoinToken) wanted = gw_join_token_new();
    g_autoptr(GError) error = NULL;
    (void)unused;

    world_make(&world, gw_clock_new_virtual(0), json_pack("{s:[o]}", "hosts", world_host_json(0)));
    world_start(&world);
    assert_null(gw_engine_add_join_token(world.engine, wanted, "tester", &error));
    unit_assert_error(error, GW_ERR_UNSUPPORTED, "no authority");
    refused(&world, "godwit-join-00", GW_ERR_UNSUPPORTED, "no authority");
    world_free(&world);
}

static void test_tokens_end(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, "a", NULL);
    world_run(&world, SECONDS(3599));
    assert_true(gw_engine_knows_join_token(world.engine, token->token, NULL));
    world_run(&world, SECONDS(1));
    refused(&world, token->token, GW_ERR_UNAUTHORIZED, "unknown, used or expired");
    assert_int_equal(count_tokens(&world), 0);

    g_autoptr(GwJoinToken) other = make_token(&world, "a", NULL);
    UNIT_OK(gw_engine_remove_join_token(world.engine, other->id, error));
    refused(&world, other->token, GW_ERR_UNAUTHORIZED, "unknown, used or expired");
    g_autoptr(GError) error = NULL;
    assert_false(gw_engine_remove_join_token(world.engine, other->id, &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "no join token");
    close_world(&world);
}

static void test_what_is_no_token(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, "a", NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token->token, -1);
    g_autofree char *longer = g_strconcat(token->token, "0", NULL);
    g_autofree char *huge = g_strnfill(100000, 'x');
    const char *const wrong[] = {
        "", "x", GW_JOIN_TOKEN_PREFIX, token->token + 1, longer, huge, token->id, hash, NULL
    };

    for (guint i = 0; wrong[i] != NULL; i++)
        refused(&world, wrong[i], GW_ERR_UNAUTHORIZED, "unknown, used or expired");
    assert_int_equal(count_tokens(&world), 1);
    close_world(&world);
}

static void test_a_token_outlives_the_controller(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, "a", NULL);
    world_kill(&world);
    world_start(&world);
    assert_int_equal(count_tokens(&world), 1);
    g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    world_kill(&world);
    world_start(&world);
    refused(&world, token->token, GW_ERR_UNAUTHORIZED, "unknown, used or expired");
    g_autoptr(GwPeer) who = gw_identity_read(given->certificate, NULL);
    g_autoptr(GwHost) host = host_of(&world, given->host_id);
    assert_string_equal(host->agent_certificate_serial, who->serial);
    close_world(&world);
}

/* Whatever is wrong with a request costs no token. */
static void test_bad_requests(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, "a", NULL);
    g_autofree char *huge = g_strnfill(20000, 'A');
    static const char cut[] = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n"
                              "-----END CERTIFICATE REQUEST-----\n";
    const char *const wrong[] = { "", "nonsense", cut };

    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GwJoinRequest) request = make_request(token->token);
        g_autoptr(GError) error = NULL;
        g_free(request->request);
        request->request = g_strdup(wrong[i]);
        assert_null(gw_engine_join(world.engine, request, "a.example.org", &error));
        assert_int_equal(error->code, GW_ERR_INVALID);
        assert_non_null(gw_error_remedy(error));
    }
    g_autoptr(GwJoinRequest) large = make_request(token->token);
    g_autoptr(GError) error = NULL;
    g_free(large->request);
    large->request = g_steal_pointer(&huge);
    assert_null(gw_engine_join(world.engine, large, "a.example.org", &error));
    unit_assert_error(error, GW_ERR_TOO_LARGE, "larger than");
    g_clear_error(&error);

    g_autoptr(GwJoinRequest) nowhere = make_request(token->token);
    assert_null(gw_engine_join(world.engine, nowhere, "a b/c?d", &error));
    unit_assert_error(error, GW_ERR_INVALID, "no address of a host");
    g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    assert_non_null(given->certificate);
    close_world(&world);
}

static void test_where_an_agent_is_reached(void **unused)
{
    static const struct {
        const char *of_token, *peer, *own;
        const char *uri;
    } rows[] = {
        { "10.0.0.9", "10.0.0.1", "10.0.0.2", "godwit://10.0.0.9:9000/" },
        { NULL, "10.0.0.1", "10.0.0.2", "godwit://10.0.0.1:9000/" },
        { NULL, "127.0.0.1", "10.0.0.2", "godwit://10.0.0.2:9000/" },
        { NULL, "127.0.0.1", "fe80::1", "godwit://127.0.0.1:9000/" },
        { NULL, "fd00::7", NULL, "godwit://[fd00::7]:9000/" },
        { NULL, NULL, "10.0.0.2", "godwit://named-by-itself:9000/" },
    };
    World world;
    (void)unused;

    open_world(&world);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("host %u", i);
        g_autoptr(GwJoinToken) wanted = gw_join_token_new();
        wanted->name = g_steal_pointer(&name);
        wanted->address = g_strdup(rows[i].of_token);
        g_autoptr(GwJoinToken) token =
            gw_engine_add_join_token(world.engine, wanted, "tester", NULL);
        g_autoptr(GwJoinRequest) request = make_request(token->token);
        request->port = 9000;
        request->addresses = g_new0(char *, 2);
        request->addresses[0] = g_strdup(rows[i].own);
        g_autoptr(GwJoinAnswer) given = NULL;
        UNIT_OK((given = gw_engine_join(world.engine, request, rows[i].peer, error)) != NULL);
        g_autoptr(GwHost) host = host_of(&world, given->host_id);
        assert_true(g_str_has_prefix(host->uri, rows[i].uri));
        assert_true(gw_host_has_agent(host));
    }
    close_world(&world);
}

/* Hosts that are managed already ------------------------------------------------------------- */

static void test_a_managed_host_gets_an_agent(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    world_add_host(&world, 0);
    world_run(&world, SECONDS(1));
    g_autoptr(GwHost) before = host_of(&world, "a");
    assert_int_equal(before->status, GW_HOST_OK_LIMITED);
    g_autoptr(GwJoinToken) token = make_token(&world, NULL, "a");
    assert_string_equal(token->host_id, before->id);
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    world_run(&world, SECONDS(5));
    g_autoptr(GwHost) after = host_of(&world, "a");
    assert_string_equal(after->id, before->id);
    assert_int_equal(after->status, GW_HOST_OK);
    assert_true(gw_host_has_agent(after));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_non_null(gw_fabric_vm(fabric, after->id, VM));
    close_world(&world);
}

static void test_who_cannot_join(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJoinToken) wanted = gw_join_token_new();
    (void)unused;

    open_world(&world);
    world_add_host(&world, 0);
    world_add_host(&world, 1);
    world_run(&world, SECONDS(1));
    wanted->name = g_strdup("a");
    assert_null(gw_engine_add_join_token(world.engine, wanted, "tester", &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "managed already");
    g_clear_error(&error);
    wanted->host = g_strdup("nobody");
    assert_null(gw_engine_add_join_token(world.engine, wanted, "tester", &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "no host 'nobody'");
    g_clear_error(&error);
    g_free(wanted->host);
    wanted->host = NULL;
    wanted->group_id = g_strdup("no group");
    assert_null(gw_engine_add_join_token(world.engine, wanted, "tester", &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "no host group");
    g_clear_error(&error);
    g_free(wanted->group_id);
    wanted->group_id = NULL;
    wanted->address = g_strdup("a/b");
    assert_null(gw_engine_add_join_token(world.engine, wanted, "tester", &error));
    unit_assert_error(error, GW_ERR_INVALID, "no address of a host");
    g_clear_error(&error);

    /* A name that two tokens promise goes to the first. */
    g_autoptr(GwJoinToken) first = make_token(&world, "c", NULL);
    g_autoptr(GwJoinToken) second = make_token(&world, "c", NULL);
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given = join(&world, first->token, "c.example.org");
    refused(&world, second->token, GW_ERR_CONFLICT, "has the name 'c' already");

    /* A host's way is not exchanged under a move. */
    g_autoptr(GwJoinToken) busy = make_token(&world, NULL, "a");
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("b");
    g_autoptr(GwJob) job = gw_engine_migrate(world.engine, "web1", request, "tester", NULL, NULL);
    assert_non_null(job);
    refused(&world, busy->token, GW_ERR_CONFLICT, "uses host 'a'");
    close_world(&world);
}

static void test_an_agent_is_of_one_host(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;
    g_autoptr(GwHost) host = gw_host_new_default();
    (void)unused;

    open_world(&world);
    host->uri = g_strdup("godwit://a.example.org:8447/01JD4ZQ6T5J8S0M3E9V7B2K101");
    assert_null(gw_engine_add_host(world.engine, host, &error));
    unit_assert_error(error, GW_ERR_INVALID, "is not this host's");
    g_clear_error(&error);

    g_autofree char *id = join_host(&world, 0);
    g_autoptr(GwHost) joined = host_of(&world, id);
    g_free(joined->uri);
    joined->uri = g_strdup("godwit://a.example.org:8447/01JD4ZQ6T5J8S0M3E9V7B2K101");
    assert_null(world_change_host(world.engine, joined, &error));
    unit_assert_error(error, GW_ERR_INVALID, "is not this host's");
    close_world(&world);
}

static void test_a_machine_is_managed_once(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    world_add_host(&world, 0);
    world_run(&world, SECONDS(1));
    g_autoptr(GwJoinToken) token = make_token(&world, "again", NULL);
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    world_run(&world, SECONDS(200));
    g_autoptr(GwHost) twin = host_of(&world, "again");
    assert_int_equal(twin->status, GW_HOST_NOT_RESPONDING);
    assert_non_null(strstr(twin->status_reason, "managed as host 'a' already"));
    g_autoptr(GwHost) first = host_of(&world, "a");
    assert_int_equal(first->status, GW_HOST_OK_LIMITED);
    close_world(&world);
}

static void test_an_agent_that_does_not_start(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwJoinToken) token = make_token(&world, "a", NULL);
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given =
        join(&world, token->token, "elsewhere.example.org");
    world_run(&world, SECONDS(60));
    g_autoptr(GwHost) soon = host_of(&world, "a");
    assert_int_equal(soon->status, GW_HOST_CONNECTING);
    assert_non_null(soon->status_reason);
    world_run(&world, SECONDS(120));
    g_autoptr(GwHost) late = host_of(&world, "a");
    assert_int_equal(late->status, GW_HOST_NOT_RESPONDING);
    close_world(&world);
}

/* Certificates ------------------------------------------------------------------------------- */

static void test_who_goes_is_revoked(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    g_autofree char *b = join_host(&world, 1);
    g_autoptr(GwHost) gone = host_of(&world, a);
    assert_string_equal(g_hash_table_lookup(said.revoked, b), "");
    g_autoptr(GwJoinToken) pending = make_token(&world, NULL, "a");
    UNIT_OK(gw_engine_remove_host(world.engine, a, error));
    world_run(&world, SECONDS(1));
    assert_string_equal(g_hash_table_lookup(said.revoked, b), gone->agent_certificate_serial);
    refused(&world, pending->token, GW_ERR_UNAUTHORIZED, "unknown, used or expired");

    /* Told again to who is connected later, also by the next controller. */
    g_hash_table_remove_all(said.revoked);
    world_kill(&world);
    said.too_late = 0;
    world_start(&world);
    world_run(&world, SECONDS(5));
    assert_int_equal(said.too_late, 0);
    assert_string_equal(g_hash_table_lookup(said.revoked, b), gone->agent_certificate_serial);
    assert_false(g_hash_table_contains(said.revoked, a));

    /* Until it has ended by itself. */
    said.refuse_renewal = FALSE;
    world_run(&world, DAYS(95));
    g_autofree char *c = join_host(&world, 2);
    UNIT_OK(gw_engine_remove_host(world.engine, c, error));
    world_run(&world, SECONDS(1));
    assert_null(strstr(g_hash_table_lookup(said.revoked, b), gone->agent_certificate_serial));
    close_world(&world);
}

static void test_who_joins_anew_loses_the_old(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    g_autofree char *b = join_host(&world, 1);
    g_autoptr(GwHost) before = host_of(&world, a);
    g_autoptr(GwJoinToken) token = make_token(&world, NULL, "a");
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given = join(&world, token->token, "a.example.org");
    world_run(&world, SECONDS(5));
    g_autoptr(GwHost) after = host_of(&world, a);
    assert_string_not_equal(after->agent_certificate_serial, before->agent_certificate_serial);
    assert_string_equal(g_hash_table_lookup(said.revoked, b), before->agent_certificate_serial);
    assert_int_equal(after->status, GW_HOST_OK);

    /* So does who is reached without an agent from now on. */
    g_free(after->uri);
    after->uri = world_uri(0);
    g_autoptr(GwHost) plain = NULL;
    UNIT_OK((plain = world_change_host(world.engine, after, error)) != NULL);
    world_run(&world, SECONDS(5));
    assert_non_null(strstr(g_hash_table_lookup(said.revoked, b), after->agent_certificate_serial));
    close_world(&world);
}

static void commit_limit(GwEngine *engine, Call *call)
{
    GwHost *host = gw_host_copy(gw_fabric_host(gw_engine_now(engine), call->in[0]));

    host->live_limit = 7;
    gw_records_commit(engine, call, GW_KIND_HOST, host, host->id, NULL);
}

static void limit_set(GwEngine *engine, gpointer host, const GError *error, gpointer user)
{
    (void)engine;
    (void)user;
    assert_null(error);
    gw_host_free(host);
}

static void set_limit(GwEngine *engine, gpointer id)
{
    gw_call_from_loop(engine, commit_limit, id, limit_set, NULL);
}

/* What is being stored of the host while it joins anew is not taken back. */
static void test_joining_waits_for_a_change(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    g_autoptr(GwJoinToken) token = make_token(&world, NULL, "a");
    gw_engine_post(world.engine, set_limit, a);
    G_GNUC_UNUSED g_autoptr(GwJoinAnswer) given = join(&world, token->token, "c.example.org");
    g_autoptr(GwHost) after = host_of(&world, a);
    assert_non_null(strstr(after->uri, "c.example.org"));
    assert_int_equal(after->live_limit, 7);
    close_world(&world);
}

static void test_certificates_are_renewed(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    g_autoptr(GwHost) before = host_of(&world, a);
    world_run(&world, DAYS(59));
    assert_int_equal(said.renewals, 0);
    world_run(&world, DAYS(3));
    assert_int_equal(said.renewals, 2); /* asked for a request, given the certificate */
    g_autoptr(GwHost) after = host_of(&world, a);
    g_autoptr(GwPeer) who = gw_identity_read(g_hash_table_lookup(said.certificate, a), NULL);
    assert_string_equal(who->host_id, a);
    assert_string_equal(after->agent_certificate_serial, who->serial);
    assert_string_not_equal(before->agent_certificate_serial, who->serial);
    assert_null(after->status_reason);

    /* The next controller knows of it, and removing revokes both: the old one is still good. */
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(5));
    g_autoptr(GwHost) loaded = host_of(&world, a);
    assert_string_equal(loaded->agent_certificate_serial, who->serial);
    g_autofree char *b = join_host(&world, 1);
    UNIT_OK(gw_engine_remove_host(world.engine, a, error));
    world_run(&world, SECONDS(1));
    const char *serials = g_hash_table_lookup(said.revoked, b);
    assert_non_null(strstr(serials, who->serial));
    assert_non_null(strstr(serials, before->agent_certificate_serial));
    close_world(&world);
}

static void test_a_renewal_that_fails_is_said(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    said.refuse_renewal = TRUE;
    world_run(&world, DAYS(61));
    g_autoptr(GwHost) warned = host_of(&world, a);
    assert_int_equal(warned->status, GW_HOST_OK);
    assert_non_null(strstr(warned->status_reason, "ends on 2024-02-12"));
    assert_non_null(strstr(warned->status_reason, "the disk is full"));
    assert_non_null(warned->status_remedy);
    said.refuse_renewal = FALSE;
    said.ask_nonsense = TRUE;
    world_run(&world, SECONDS(7200));
    g_autoptr(GwHost) still = host_of(&world, a);
    assert_non_null(still->status_reason);
    assert_null(strstr(still->status_reason, "the disk is full"));
    said.ask_nonsense = FALSE;
    world_run(&world, SECONDS(7200));
    g_autoptr(GwHost) fine = host_of(&world, a);
    assert_null(fine->status_reason);
    close_world(&world);
}

/* Checks ------------------------------------------------------------------------------------- */

static const GwCheckLine *line_of(const GPtrArray *lines, const char *name, const char *host_id)
{
    for (guint i = 0; i < lines->len; i++) {
        const GwCheckLine *line = lines->pdata[i];
        if (strcmp(line->name, name) == 0 && g_strcmp0(line->host_id, host_id) == 0)
            return line;
    }
    fail_msg("no line '%s'", name);
    return NULL;
}

static void test_a_check_of_agents(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *a = join_host(&world, 0);
    g_autofree char *b = join_host(&world, 1);
    g_autoptr(GPtrArray) pair = NULL;
    UNIT_OK((pair = gw_engine_check_host(world.engine, "a", "b", error)) != NULL);
    assert_string_equal(line_of(pair, "echo", a)->observed, "with a permit");
    assert_string_equal(line_of(pair, "echo", b)->observed, "with a permit");
    assert_string_equal(g_hash_table_lookup(said.peers, a), b);
    assert_string_equal(g_hash_table_lookup(said.peers, b), a);
    assert_int_equal(line_of(pair, "reachable", b)->outcome, GW_CHECK_OK);
    assert_int_equal(line_of(pair, "slots", a)->outcome, GW_CHECK_OK);
    assert_int_equal(line_of(pair, "shared-storage", b)->outcome, GW_CHECK_OK);
    g_autoptr(GPtrArray) alone = NULL;
    UNIT_OK((alone = gw_engine_check_host(world.engine, a, NULL, error)) != NULL);
    assert_string_equal(line_of(alone, "echo", a)->observed, "alone");
    assert_string_equal(g_hash_table_lookup(said.peers, a), "");
    close_world(&world);
}

static void test_a_check_without_agents(void **unused)
{
    World world;
    g_autoptr(GError) why = NULL;
    (void)unused;

    open_world(&world);
    world_add_host(&world, 0);
    world_add_host(&world, 1);
    world_run(&world, SECONDS(1));
    g_autoptr(GwHost) a = host_of(&world, "a");
    g_autoptr(GwHost) b = host_of(&world, "b");
    g_free(b->migration_address);
    b->migration_address = g_strdup("127.0.0.1");
    b->live_limit = 0;
    b->live_migration_enabled = FALSE;
    gw_host_free(world_change_host(world.engine, b, NULL));
    g_autoptr(GPtrArray) lines = NULL;
    UNIT_OK((lines = gw_engine_check_host(world.engine, "a", "b", error)) != NULL);
    assert_int_equal(line_of(lines, "agent", a->id)->outcome, GW_CHECK_WARNING);
    assert_int_equal(line_of(lines, "slots", b->id)->outcome, GW_CHECK_FAILED);
    assert_non_null(line_of(lines, "slots", b->id)->remedy);
    assert_int_equal(line_of(lines, "live-migration", b->id)->outcome, GW_CHECK_FAILED);
    assert_int_equal(line_of(lines, "migration-address", b->id)->outcome, GW_CHECK_OK);
    assert_string_equal(line_of(lines, "migration-address", b->id)->observed,
                        "127.0.0.1: 127.0.0.1");
    assert_int_equal(line_of(lines, "versions", b->id)->outcome, GW_CHECK_OK);

    assert_null(gw_engine_check_host(world.engine, "a", "nobody", &why));
    unit_assert_error(why, GW_ERR_NOT_FOUND, "no host 'nobody'");
    g_clear_error(&why);
    assert_null(gw_engine_check_host(world.engine, "a", "a", &why));
    unit_assert_error(why, GW_ERR_INVALID, "against itself");
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_joins),
        cmocka_unit_test(test_no_agents_without_an_authority),
        cmocka_unit_test(test_tokens_end),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_a_token_outlives_the_controller),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_where_an_agent_is_reached),
        cmocka_unit_test(test_a_managed_host_gets_an_agent),
        cmocka_unit_test(test_who_cannot_join),
        cmocka_unit_test(test_an_agent_is_of_one_host),
        cmocka_unit_test(test_a_machine_is_managed_once),
        cmocka_unit_test(test_an_agent_that_does_not_start),
        cmocka_unit_test(test_who_goes_is_revoked),
        cmocka_unit_test(test_who_joins_anew_loses_the_old),
        cmocka_unit_test(test_joining_waits_for_a_change),
        cmocka_unit_test(test_certificates_are_renewed),
        cmocka_unit_test(test_a_renewal_that_fails_is_said),
        cmocka_unit_test(test_a_check_of_agents),
        cmocka_unit_test(test_a_check_without_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
