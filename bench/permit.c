/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tunnel.h"

#include "base/error.h"
#include "base/text.h"
#include "wire/session.h"
#include "wire/ticket.h"

#include <stdio.h>

/* A controller that knows of nothing but two agents: it gives them tickets for VMs that there are
 * not, so that what two programs of the bench say to each other goes as a VM's memory would. */

#define PATIENCE_US (15 * G_USEC_PER_SEC)
/* Above that of any godwitd, which counts its starts: the agents must not refuse this one. */
#define INCARNATION (G_GINT64_CONSTANT(1) << 40)

typedef struct {
    const char *name;
    char *host_id, *address;
    GwSession *session; /* on the loop only; NULL once it is closed */
    GAsyncQueue *events;
} Agent;

/* What the loop's thread tells the main one. */
typedef struct {
    json_t *result;
    GError *error; /* neither: the session is ready */
} Event;

static void event_free(Event *event)
{
    json_decref(event->result);
    g_clear_error(&event->error);
    g_free(event);
}

static void push(Agent *agent, const json_t *result, const GError *error)
{
    Event *event = g_new0(Event, 1);
    event->result = json_deep_copy(result);
    event->error = error != NULL ? g_error_copy(error) : NULL;
    g_async_queue_push(agent->events, event);
}

/* The next word of @agent; *@result may be NULL. */
static gboolean await(Agent *agent, const char *what, json_t **result, GError **error)
{
    Event *event = g_async_queue_timeout_pop(agent->events, PATIENCE_US);
    gboolean well = event != NULL && event->error == NULL;

    if (event == NULL)
        gw_error_set(error, GW_ERR_TIMEOUT, NULL, "%s: no answer to %s", agent->name, what);
    else if (event->error != NULL)
        gw_error_set(error, GW_ERR_OPERATION, NULL, "%s: %s: %s", agent->name, what,
                     event->error->message);
    else if (result != NULL)
        *result = json_incref(event->result);
    if (event != NULL)
        event_free(event);
    return well;
}

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    push(user, NULL, NULL);
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    Agent *agent = user;
    g_autoptr(GError) plain = NULL;
    if (why == NULL)
        gw_error_set(&plain, GW_ERR_UNREACHABLE, NULL, "the session ended");
    agent->session = NULL;
    push(agent, NULL, why != NULL ? why : plain);
}

typedef struct {
    Agent *agent;
    const GwSessionConfig *config;
    const char *method;
    json_t *params;
} Order;

static void dial(gpointer data)
{
    Order *order = data;
    const char *addresses[] = { order->agent->address, NULL };
    order->agent->session = gw_session_dial(order->config, addresses);
}

static void answered(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    push(user, result, error);
}

static void ask(gpointer data)
{
    Order *order = data;
    g_autoptr(GError) gone = NULL;
    if (order->agent->session != NULL) {
        gw_session_call(order->agent->session, order->method, order->params, PATIENCE_US, answered,
                        order->agent);
        return;
    }
    json_decref(order->params);
    gw_error_set(&gone, GW_ERR_UNREACHABLE, NULL, "the session has ended");
    push(order->agent, NULL, gone);
}

static void hang_up(gpointer data)
{
    Agent *agent = data;
    if (agent->session != NULL)
        gw_session_close(agent->session, NULL);
}

static gboolean call(GwLoop *loop, Agent *agent, const char *method, json_t *params,
                     json_t **result, GError **error)
{
    Order order = { .agent = agent, .method = method, .params = params };
    gw_loop_run(loop, ask, &order);
    return await(agent, method, result, error);
}

static gboolean agent_init(Agent *agent, const char *name, const char *word, GError **error)
{
    const char *sign = word != NULL ? strchr(word, '=') : NULL;
    if (sign == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "--%s is HOST_ID=ADDRESS:PORT", name);
        return FALSE;
    }
    agent->name = name;
    agent->host_id = g_strndup(word, (gsize)(sign - word));
    agent->address = g_strdup(sign + 1);
    agent->events = g_async_queue_new_full((GDestroyNotify)event_free);
    return TRUE;
}

static void agent_clear(Agent *agent)
{
    g_free(agent->host_id);
    g_free(agent->address);
    g_clear_pointer(&agent->events, g_async_queue_unref);
}

static gboolean connect_agent(GwLoop *loop, GwCredentials *credentials, Agent *agent,
                              const char *run, GError **error)
{
    const GwSessionOps ops = { .user = agent, .ready = on_ready, .closed = on_closed };
    g_autoptr(GwJson) hello = json_pack("{s:s, s:I, s:I, s:s}", "software", GW_VERSION, "wall_us",
                                        (json_int_t)g_get_real_time(), "incarnation",
                                        (json_int_t)INCARNATION, "run", run);
    const GwSessionConfig config = { .loop = loop,
                                     .credentials = credentials,
                                     .hello = hello,
                                     .ops = &ops,
                                     .expect_host_id = agent->host_id };
    Order order = { .agent = agent, .config = &config };
    gw_loop_run(loop, dial, &order);
    return await(agent, "the connection", NULL, error);
}

typedef struct {
    char *job_id, *vm_uuid;
    char *path;
} Leave;

static void leave_free(Leave *leave)
{
    g_free(leave->job_id);
    g_free(leave->vm_uuid);
    g_free(leave->path);
    g_free(leave);
}

static char *sign(const GwAuthority *authority, const Leave *leave, const Agent *source,
                  const Agent *destination, GError **error)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    const GwTicket ticket = { .fabric_id = (char *)gw_authority_fabric_id(authority),
                              .job_id = leave->job_id,
                              .vm_uuid = leave->vm_uuid,
                              .vm_name = (char *)"bench-tunnel",
                              .epoch = 1,
                              .source_id = source->host_id,
                              .destination_id = destination->host_id,
                              .not_before_s = now_s - 60,
                              .expires_s = now_s + 3600,
                              .kinds = GW_STREAM_MIGRATION,
                              .streams_max = 64 };
    g_autoptr(GBytes) bytes = gw_ticket_sign(&ticket, gw_authority_ticket_secret(authority), error);
    if (bytes == NULL)
        return NULL;
    gsize length;
    const guchar *data = g_bytes_get_data(bytes, &length);
    return g_base64_encode(data, length);
}

static json_t *permit_params(const char *ticket, const Agent *peer)
{
    return json_pack("{s:s, s:{s:s, s:[s]}}", "ticket", ticket, "peer", "host_id", peer->host_id,
                     "addresses", peer->address);
}

/* One VM's leave on both hosts, the destination's first. */
static Leave *permit(GwLoop *loop, const GwAuthority *authority, Agent agents[2], GError **error)
{
    g_autofree Leave *leave = g_new0(Leave, 1);
    g_autoptr(GwJson) result = NULL;
    leave->job_id = gw_text_new_id(g_get_real_time());
    leave->vm_uuid = g_uuid_string_random();
    g_autofree char *ticket = sign(authority, leave, &agents[0], &agents[1], error);

    if (ticket != NULL &&
        call(loop, &agents[1], "permit", permit_params(ticket, &agents[0]), NULL, error) &&
        call(loop, &agents[0], "permit", permit_params(ticket, &agents[1]), &result, error)) {
        const char *uri = json_string_value(json_object_get(result, "migration_uri"));
        if (uri != NULL && g_str_has_prefix(uri, "unix://")) {
            leave->path = g_strdup(uri + strlen("unix://"));
            return g_steal_pointer(&leave);
        }
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "source: permit: the answer has no migration_uri");
    }
    g_free(leave->job_id);
    g_free(leave->vm_uuid);
    return NULL;
}

/* Gives leave, says where, and takes it back when stdin ends. */
static gboolean serve(GwLoop *loop, const GwAuthority *authority, Agent agents[2], gint count,
                      GError **error)
{
    g_autoptr(GPtrArray) leaves = g_ptr_array_new_with_free_func((GDestroyNotify)leave_free);
    g_autoptr(GwJson) paths = json_array();
    gboolean well = TRUE;
    char line[64];

    while (well && leaves->len < (guint)count) {
        Leave *leave = permit(loop, authority, agents, error);
        well = leave != NULL;
        if (well) {
            g_ptr_array_add(leaves, leave);
            json_array_append_new(
                paths, json_pack("{s:s, s:s}", "path", leave->path, "uuid", leave->vm_uuid));
        }
    }
    if (well) {
        g_autofree char *text = gw_json_text(paths);
        puts(text);
        fflush(stdout);
        while (fgets(line, sizeof line, stdin) != NULL)
            ;
    }
    for (guint i = 0; i < leaves->len * 2; i++) {
        const Leave *leave = leaves->pdata[i / 2];
        well &= call(loop, &agents[i % 2], "close",
                     json_pack("{s:s, s:s, s:i}", "job", leave->job_id, "vm_uuid", leave->vm_uuid,
                               "epoch", 1),
                     NULL, well ? error : NULL);
    }
    return well;
}

gboolean run_permit(const PermitOptions *options, GError **error)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    Agent agents[2] = { 0 };
    g_autofree char *run = gw_text_new_id(g_get_real_time());

    if (options->authority == NULL || options->count < 1 || options->count > 64 ||
        !agent_init(&agents[0], "source", options->source, error) ||
        !agent_init(&agents[1], "destination", options->destination, error)) {
        if (error != NULL && *error == NULL)
            gw_error_set(error, GW_ERR_INVALID, NULL, "see tunnel --help");
        agent_clear(&agents[0]);
        return FALSE;
    }
    g_autoptr(GwAuthority) authority = gw_authority_open(options->authority, now_s, error);
    g_autoptr(GwCredentials) credentials =
        authority != NULL ? gw_authority_credentials(authority, now_s, error) : NULL;
    gboolean well = FALSE;
    if (credentials != NULL) {
        g_autoptr(GwLoop) loop = gw_loop_new("permit");
        well = connect_agent(loop, credentials, &agents[0], run, error) &&
               connect_agent(loop, credentials, &agents[1], run, error) &&
               serve(loop, authority, agents, options->count, error);
        for (int i = 0; i < 2; i++) {
            gw_loop_run(loop, hang_up, &agents[i]);
            /* Until closed was called, the loop must not go. */
            while (agents[i].session != NULL && await(&agents[i], "the end", NULL, NULL))
                ;
        }
    }
    agent_clear(&agents[0]);
    agent_clear(&agents[1]);
    return well;
}
