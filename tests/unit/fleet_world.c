/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fleet_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "folder.h"

#define PATIENCE_US (10 * G_TIME_SPAN_SECOND)

static GMutexLocker *hold(World *world)
{
    return g_mutex_locker_new(&world->lock);
}
#define LOCKED(world)                                                                              \
    G_GNUC_UNUSED g_autoptr(GMutexLocker)                                                          \
    locker G_GNUC_UNUSED = hold(world)

/* Waits, with the lock, until @condition holds. */
#define WAIT_FOR(world, condition)                                                                 \
    do {                                                                                           \
        gint64 wait_until = g_get_monotonic_time() + PATIENCE_US;                                  \
        gboolean in_time = TRUE;                                                                   \
        while (!(condition) && in_time)                                                            \
            in_time = g_cond_wait_until(&(world)->changed, &(world)->lock, wait_until);            \
        if (!(condition)) {                                                                        \
            g_mutex_unlock(&(world)->lock);                                                        \
            fail_msg("waited in vain for %s", #condition);                                         \
        }                                                                                          \
    } while (0)

/* The wrapped driver -------------------------------------------------------------------------- */

static GPtrArray *one(const GwRecord *record, gpointer item)
{
    GPtrArray *array = gw_record_array(record);

    g_ptr_array_add(array, item);
    return array;
}

static GwReply *usual_reply(const World *world, const GwRequest *request)
{
    gboolean fails = world->fails;
    GwReply *reply = gw_reply_new(request->id);

    reply->at_us = g_get_monotonic_time();
    if (fails) {
        gw_error_set(&reply->error, GW_ERR_OPERATION, "Look into its log.", "libvirt said no");
    } else if (request->op == GW_OP_CONNECT || request->op == GW_OP_FACTS) {
        reply->facts = gw_host_facts_new();
        reply->facts->hostname = g_strdup("kvm");
    } else if (request->op == GW_OP_LOOK) {
        reply->look = g_new0(GwLook, 1);
        reply->look->present = TRUE;
    } else if (request->op == GW_OP_LIST_VMS && world->vm != NULL) {
        reply->vms = one(&gw_vm_record, gw_vm_copy(world->vm));
    } else if (request->op == GW_OP_VOLUME_LOOK && request->volume != NULL) {
        reply->volumes = one(&gw_volume_record, gw_volume_copy(request->volume));
    }
    return reply;
}

static void libvirt_submit(GwHyper *hyper, GwRequest *request)
{
    World *world = ((FakeLibvirt *)hyper)->world;

    g_mutex_lock(&world->lock);
    gboolean now = !world->holds || request->op == GW_OP_DISCONNECT;
    GwReply *reply = now ? usual_reply(world, request) : NULL;
    g_ptr_array_add(world->requests, request);
    if (!now)
        request->number = -1; /* owed */
    g_cond_broadcast(&world->changed);
    g_mutex_unlock(&world->lock);
    if (reply != NULL)
        hyper->sink.reply(reply, hyper->sink.user);
}

static void libvirt_close(GwHyper *hyper)
{
}

static const GwHyperDriver fake_driver = {
    .name = "fake",
    .submit = libvirt_submit,
    .close = libvirt_close,
};

void release(World *world)
{
    g_autoptr(GPtrArray) replies = g_ptr_array_new();

    g_mutex_lock(&world->lock);
    world->holds = FALSE;
    for (guint i = 0; i < world->requests->len; i++) {
        GwRequest *request = world->requests->pdata[i];
        if (request->number == -1)
            g_ptr_array_add(replies, usual_reply(world, request));
        request->number = 0;
    }
    g_mutex_unlock(&world->lock);
    for (guint i = 0; i < replies->len; i++)
        world->libvirt.base.sink.reply(replies->pdata[i], world->libvirt.base.sink.user);
}

void libvirt_loses(World *world, const char *host_id, gint64 at_us)
{
    GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_HOST_LOST, host_id, NULL);

    event->text = g_strdup("libvirt lost it");
    event->at_us = at_us;
    world->libvirt.base.sink.event(event, world->libvirt.base.sink.user);
}

static GwHyper *open_fake(GwHyperSink sink, gpointer user, GError **error)
{
    World *world = user;

    world->libvirt = (FakeLibvirt){ { &fake_driver, sink }, world };
    return &world->libvirt.base;
}

/* The sink ------------------------------------------------------------------------------------ */

/* A host is lost at most once for each time that it was connected. */
static void follow(World *world, const GwReply *reply)
{
    GwOp op = (GwOp)(reply->id & 0xff);

    if (op == GW_OP_CONNECT)
        world->connected = reply->error == NULL;
    else if (op == GW_OP_DISCONNECT)
        world->connected = FALSE;
}

static void take_reply(GwReply *reply, gpointer user)
{
    World *world = user;
    LOCKED(world);

    g_assert_false(world->closed);
    if (world->follows)
        follow(world, reply);
    g_ptr_array_add(world->replies, reply);
    g_cond_broadcast(&world->changed);
}

static void take_event(GwHyperEvent *event, gpointer user)
{
    World *world = user;
    LOCKED(world);

    g_assert_false(world->closed);
    if (world->follows && event->kind == GW_EVENT_HOST_LOST) {
        g_assert_true(world->connected);
        world->connected = FALSE;
    }
    g_ptr_array_add(world->events, event);
    g_cond_broadcast(&world->changed);
}

void world_open(World *world)
{
    GwHyperSink sink = { take_reply, take_event, world };

    *world = (World){ .processes = 1 };
    g_mutex_init(&world->lock);
    g_cond_init(&world->changed);
    world->requests = g_ptr_array_new_with_free_func((GDestroyNotify)gw_request_free);
    world->replies = g_ptr_array_new_with_free_func((GDestroyNotify)gw_reply_free);
    world->events = g_ptr_array_new_with_free_func((GDestroyNotify)gw_hyper_event_free);
    world->folder = g_dir_make_tmp("godwit-fleet-XXXXXX", NULL);
    assert_non_null(world->folder);
    g_autofree char *fabric = g_build_filename(world->folder, "fabric", NULL);
    g_autofree char *links = g_build_filename(world->folder, "links", NULL);
    UNIT_OK((world->authority =
                 gw_authority_open(fabric, g_get_real_time() / G_USEC_PER_SEC, error)) != NULL);
    GwFleetConfig config = { world->authority, links, 7 };
    UNIT_OK((world->fleet = gw_fleet_open_over(sink, &config, open_fake, world, error)) != NULL);
}

void world_close_fleet(World *world)
{
    gw_hyper_close(g_steal_pointer(&world->fleet));
    LOCKED(world);
    world->closed = TRUE;
}

void world_free(World *world)
{
    if (world->fleet != NULL)
        world_close_fleet(world);
    gw_authority_free(world->authority);
    folder_remove(world->folder);
    g_free(world->folder);
    g_ptr_array_unref(world->requests);
    g_ptr_array_unref(world->replies);
    g_ptr_array_unref(world->events);
    g_mutex_clear(&world->lock);
    g_cond_clear(&world->changed);
}

/* Agents -------------------------------------------------------------------------------------- */

static void agent_ready(GwSession *session, const json_t *hello, gpointer user)
{
    Agent *agent = user;
    LOCKED(agent->world);

    agent->session = session;
    g_ptr_array_add(agent->open, session);
    agent->ready++;
    json_decref(agent->hello);
    agent->hello = json_deep_copy(hello);
    g_cond_broadcast(&agent->world->changed);
}

static void agent_closed(GwSession *session, const GError *why, gpointer user)
{
    Agent *agent = user;
    LOCKED(agent->world);

    if (agent->session == session)
        agent->session = NULL;
    g_ptr_array_remove(agent->open, session);
    g_cond_broadcast(&agent->world->changed);
}

static void agent_open(GwSession *session, GwStream *stream, const json_t *what, gpointer user)
{
    GwPumpConfig config = { .share = { .class = GW_CLASS_CONTROL } };

    gw_pump_accept_echo(stream, &config);
}

static json_t *usual_answer(const Agent *agent, const char *method)
{
    if (strcmp(method, "processes") == 0)
        return json_pack("{s:I}", "count", (json_int_t)agent->world->processes);
    if (strcmp(method, "facts") == 0)
        return json_pack("{s:s, s:s, s:[s], s:[{s:s,s:b,s:b,s:i}, {s:s,s:b,s:b}, {s:s,s:b,s:b}]}",
                         "version", "0.1.0", "boot_id", "boot-1", "warnings",
                         "its certificate\x1b[2J ends soon", "interfaces", "name", "br1", "bridge",
                         1, "up", 0, "mtu", 9000, "name", "eth0", "bridge", 0, "up", 1, "name",
                         "br0", "bridge", 1, "up", 1);
    if (strcmp(method, "permit") == 0)
        return json_pack("{s:s, s:s, s:s}", "peer_uri",
                         "qemu+unix:///system?socket=/run/libvirt/godwit/" JOB ".rpc",
                         "migration_uri", "unix:///run/libvirt/godwit/" JOB ".m", "disks_uri",
                         "unix:///run/libvirt/godwit/" JOB ".d");
    return json_object();
}

/* With the lock: what the script says next; NULL: nothing. */
static json_t *scripted(const Agent *agent, const char *method)
{
    json_t *list = json_object_get(agent->script, method);

    if (json_array_size(list) > 1) {
        json_t *head = json_incref(json_array_get(list, 0));
        json_array_remove(list, 0);
        return head;
    }
    return json_incref(json_array_get(list, 0));
}

static void agent_call(GwSession *session, guint32 id, const char *method, const json_t *params,
                       gpointer user)
{
    Agent *agent = user;
    g_autoptr(GError) error = NULL;
    json_t *answer = NULL;

    g_mutex_lock(&agent->world->lock);
    Manner manner = g_strcmp0(agent->except, method) == 0 ? SAY : agent->manner;
    g_ptr_array_add(agent->calls,
                    json_pack("{s:s, s:o}", "method", method, "params", json_deep_copy(params)));
    answer = agent->answer != NULL && strcmp(method, "facts") != 0 ? json_incref(agent->answer)
                                                                   : usual_answer(agent, method);
    g_autoptr(GwJson) said = scripted(agent, method);
    g_cond_broadcast(&agent->world->changed);
    g_mutex_unlock(&agent->world->lock);
    if (said != NULL) {
        const char *code = json_string_value(json_object_get(said, "error"));
        g_clear_pointer(&answer, json_decref);
        if (code != NULL)
            gw_error_set(&error, gw_error_code_from_word(code), "Mend it.", "%s",
                         json_string_value(json_object_get(said, "message")));
        else
            answer = json_deep_copy(json_object_get(said, "result"));
        gw_session_answer(session, id, answer, error);
        return;
    }
    if (manner == FAIL)
        gw_error_set(&error, GW_ERR_OPERATION, "Mend it.", "the agent cannot");
    if (manner == MUTE || manner == FAIL)
        g_clear_pointer(&answer, json_decref);
    if (manner != MUTE)
        gw_session_answer(session, id, answer, error);
}

static GwCredentials *certify(World *world, const char *host_id)
{
    char *key = NULL, *request = NULL;
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    GwCredentials *credentials = NULL;

    UNIT_OK(gw_identity_request(&key, &request, error));
    g_autofree char *certificate =
        gw_authority_issue(world->authority, request, host_id, 90, now, NULL, NULL);
    assert_non_null(certificate);
    UNIT_OK((credentials = gw_credentials_new(
                 certificate, key, gw_authority_ca_pem(world->authority), error)) != NULL);
    g_free(key);
    g_free(request);
    return credentials;
}

typedef struct {
    Agent *agent;
    GwCredentials *credentials;
    int fd;
} Start;

static void start_listening(gpointer data)
{
    Start *start = data;
    Agent *agent = start->agent;
    GwSessionOps ops = { .user = agent,
                         .ready = agent_ready,
                         .open = agent_open,
                         .call = agent_call,
                         .closed = agent_closed };
    g_autoptr(GwJson) hello = json_pack("{s:s}", "software", "0.1.0");
    GwSessionConfig config = {
        .loop = agent->loop, .credentials = start->credentials, .hello = hello, .ops = &ops
    };
    GwListenerLimits limits = GW_LISTENER_LIMITS;

    agent->listener = gw_listener_new(&config, start->fd, &agent->loop, 1, &limits);
}

static int listen_somewhere(guint16 *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

Agent *agent_new(World *world, const char *id, const char *certified_as)
{
    Agent *agent = g_new0(Agent, 1);

    agent->world = world;
    agent->id = g_strdup(id);
    agent->calls = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    agent->open = g_ptr_array_new();
    agent->loop = gw_loop_new("test-agent");
    Start start = { agent, certify(world, certified_as), listen_somewhere(&agent->port) };
    gw_loop_run(agent->loop, start_listening, &start);
    agent->serial = g_strdup(gw_credentials_self(start.credentials)->serial);
    gw_credentials_unref(start.credentials);
    return agent;
}

static void stop_listening(gpointer data)
{
    Agent *agent = data;

    g_clear_pointer(&agent->listener, gw_listener_free);
    LOCKED(agent->world);
    for (guint i = 0; i < agent->open->len; i++)
        gw_session_close(agent->open->pdata[i], NULL);
}

void agent_kill(Agent *agent)
{
    gw_loop_run(agent->loop, stop_listening, agent);
    LOCKED(agent->world);
    WAIT_FOR(agent->world, agent->open->len == 0);
}

static void hang_up(gpointer data)
{
    Agent *agent = data;
    LOCKED(agent->world);

    for (guint i = 0; i < agent->open->len; i++)
        gw_session_close(agent->open->pdata[i], NULL);
}

void agent_hang_up(Agent *agent)
{
    gw_loop_run(agent->loop, hang_up, agent);
}

static void count_unproved(gpointer data)
{
    Agent *agent = data;

    if (agent->listener != NULL && gw_listener_unproved(agent->listener) == 0)
        g_clear_pointer(&agent->listener, gw_listener_free);
}

void agent_free(Agent *agent)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    /* Those that did not prove who they are end by themselves, when their other ends have. */
    while (agent->listener != NULL && g_get_monotonic_time() < until) {
        gw_loop_run(agent->loop, count_unproved, agent);
        if (agent->listener != NULL)
            g_usleep(10000);
    }
    agent_kill(agent);
    gw_loop_free(agent->loop);
    json_decref(agent->answer);
    json_decref(agent->hello);
    json_decref(agent->script);
    g_ptr_array_unref(agent->calls);
    g_ptr_array_unref(agent->open);
    g_free(agent->id);
    g_free(agent->serial);
    g_free(agent);
}

typedef struct {
    Agent *agent;
    const char *method;
    json_t *params;
} Notice;

static void send_notice(gpointer data)
{
    Notice *notice = data;

    gw_session_notice(notice->agent->session, notice->method, notice->params);
}

void agent_notice(Agent *agent, const char *method, json_t *params)
{
    Notice notice = { agent, method, params };

    gw_loop_run(agent->loop, send_notice, &notice);
}

json_t *agent_called(Agent *agent, const char *method)
{
    LOCKED(agent->world);

    for (guint i = agent->calls->len; i > 0; i--) {
        json_t *call = agent->calls->pdata[i - 1];
        if (strcmp(json_string_value(json_object_get(call, "method")), method) == 0)
            return json_incref(json_object_get(call, "params"));
    }
    return NULL;
}

void agent_manner(Agent *agent, Manner manner, const char *except)
{
    LOCKED(agent->world);

    agent->manner = manner;
    agent->except = except;
}

void agent_answer(Agent *agent, json_t *answer_stolen)
{
    LOCKED(agent->world);

    json_decref(agent->answer);
    agent->answer = answer_stolen;
}

/* Asking the fleet ---------------------------------------------------------------------------- */

guint64 submit(World *world, GwRequest *request)
{
    guint64 id = ++world->last_id << 8 | (guint)request->op;

    request->id = id;
    gw_hyper_submit(world->fleet, request);
    return id;
}

static GwReply *find_reply(World *world, guint64 id, gboolean take)
{
    for (guint i = 0; i < world->replies->len; i++) {
        GwReply *reply = world->replies->pdata[i];
        if (reply->id == id)
            return take ? g_ptr_array_steal_index(world->replies, i) : reply;
    }
    return NULL;
}

GwReply *await(World *world, guint64 id)
{
    LOCKED(world);

    WAIT_FOR(world, find_reply(world, id, FALSE) != NULL);
    return find_reply(world, id, TRUE);
}

GwReply *ask(World *world, GwRequest *request)
{
    return await(world, submit(world, request));
}

void await_all(World *world, guint count)
{
    LOCKED(world);

    WAIT_FOR(world, world->replies->len >= count);
}

guint count_replies(World *world, guint64 id)
{
    guint count = 0;
    LOCKED(world);

    for (guint i = 0; i < world->replies->len; i++)
        count += ((GwReply *)world->replies->pdata[i])->id == id;
    return count;
}

static guint events_of(const World *world, GwHyperEventKind kind)
{
    guint count = 0;

    for (guint i = 0; i < world->events->len; i++)
        count += ((GwHyperEvent *)world->events->pdata[i])->kind == kind;
    return count;
}

guint count_events(World *world, GwHyperEventKind kind)
{
    LOCKED(world);

    return events_of(world, kind);
}

void await_events(World *world, GwHyperEventKind kind, guint count)
{
    LOCKED(world);

    WAIT_FOR(world, events_of(world, kind) >= count);
}

static const GwRequest *find_request(const World *world, GwOp op, guint *count)
{
    const GwRequest *last = NULL;

    for (guint i = 0; i < world->requests->len; i++) {
        const GwRequest *request = world->requests->pdata[i];
        if (request->op != op)
            continue;
        last = request;
        *count += 1;
    }
    return last;
}

guint count_requests(World *world, GwOp op)
{
    guint count = 0;
    LOCKED(world);

    find_request(world, op, &count);
    return count;
}

const GwRequest *last_request(World *world, GwOp op)
{
    guint count = 0;
    LOCKED(world);

    return find_request(world, op, &count);
}

static gboolean asked_often(const World *world, GwOp op, guint wanted)
{
    guint count = 0;

    find_request(world, op, &count);
    return count >= wanted;
}

void await_requests(World *world, GwOp op, guint count)
{
    LOCKED(world);

    WAIT_FOR(world, asked_often(world, op, count));
}

GwRequest *connect_request(const char *host_id, const Agent *agent)
{
    GwRequest *request = gw_request_new(GW_OP_CONNECT, host_id, NULL);

    request->text = g_strdup_printf("godwit://127.0.0.1:%u/%s", agent->port, agent->id);
    request->timeout_us = 8 * G_TIME_SPAN_SECOND;
    return request;
}

void connect_well(World *world, const char *host_id, const Agent *agent)
{
    g_autoptr(GwReply) reply = ask(world, connect_request(host_id, agent));

    if (reply->error != NULL)
        fail_msg("connect: %s", reply->error->message);
    assert_non_null(reply->facts);
    assert_non_null(reply->facts->agent);
}

void agent_script(Agent *agent, const char *method, json_t *says_stolen)
{
    LOCKED(agent->world);

    if (agent->script == NULL)
        agent->script = json_object();
    json_object_set_new(agent->script, method, says_stolen);
}

guint count_calls(Agent *agent, const char *method)
{
    LOCKED(agent->world);
    guint count = 0;

    for (guint i = 0; i < agent->calls->len; i++)
        count += g_strcmp0(json_string_value(json_object_get(agent->calls->pdata[i], "method")),
                           method) == 0;
    return count;
}
