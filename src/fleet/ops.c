/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* What an agent is needed for: the process table beside libvirt's word, leave for a move,
 * measurements, trials, certificates. Answers are hostile until read. */

#define LINES_MAX 512 /* of a check */
#define SERIALS_MAX 4096
#define MEASURE_BYTES (16 * 1024 * 1024) /* gently: less than a second of a 1 Gbit/s link */
#define MEASURE_MS 1000
#define TEXT_MAX (64 * 1024) /* of a certificate or a request for one */
#define PATH_URI_MAX 1024

/* With the agent's and libvirt's word -------------------------------------------------------- */

static void set_deadline(GwFleetTask *task)
{
    gint64 timeout = task->request->timeout_us;

    gw_fleet_task_set_deadline(task, timeout > 0 ? timeout : GW_FLEET_CALL_US);
}

static void bad_answer(GwFleetTask *task, const char *what)
{
    GError *error = NULL;

    gw_error_set(&error, GW_ERR_INVALID,
                 "Install the same version of Godwit on the host as on the controller.",
                 "%s: %s: the agent's answer cannot be used: %s", task->host->address,
                 gw_op_word(task->op), what);
    gw_fleet_task_fail(task, error);
}

/* Ends @task where the agent failed it. */
static gboolean agent_failed(GwFleetTask *task)
{
    GError *error = g_steal_pointer(&task->agent_error);

    if (error == NULL)
        return FALSE;
    g_prefix_error(&error, "%s: %s: ", task->host->address, gw_op_word(task->op));
    gw_fleet_task_fail(task, error);
    return TRUE;
}

/* Both or neither: "absent" is what libvirt and the process table say together. */
static void looked(GwFleetTask *task)
{
    const json_t *count = json_object_get(task->said, "count");

    if (task->inner->error != NULL) {
        gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
        return;
    }
    if (agent_failed(task))
        return;
    if (!json_is_integer(count) || json_integer_value(count) < 0 || task->inner->look == NULL) {
        bad_answer(task, "it does not say how many processes the VM has");
        return;
    }
    task->inner->look->attested = TRUE;
    task->inner->look->processes = json_integer_value(count);
    gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

/* Asks the agent, and libvirt with the task's own request. */
static void ask_both(GwFleetTask *task, const char *method, json_t *params, gint64 patience_us)
{
    GwRequest *request = g_steal_pointer(&task->request);

    task->wants_inner = TRUE;
    gw_fleet_task_ask_agent(task, method, params, patience_us);
    gw_fleet_task_ask_inner(task, request);
}

static void look(GwFleetTask *task)
{
    json_t *params = json_pack("{s:s?}", "vm_uuid", task->request->vm_uuid);

    task->finish = looked;
    ask_both(task, "processes", params, gw_fleet_task_left_us(task));
}

static void facts_came(GwFleetTask *task)
{
    if (task->inner->error == NULL && task->inner->facts != NULL)
        gw_fleet_merge_facts(task->host, task->inner->facts, task->said, task->agent_error);
    gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

static void ask_facts(GwFleetTask *task)
{
    task->finish = facts_came;
    ask_both(task, "facts", json_object(),
             MIN(GW_FLEET_FACTS_US, gw_fleet_task_left_us(task) * 3 / 4));
}

/* The agent's alone --------------------------------------------------------------------------- */

json_t *gw_fleet_peer(GwFleet *fleet, const char *host_id, const char *address, GError **error)
{
    const GwFleetHost *host = gw_fleet_host(fleet, host_id);

    if (address == NULL && host != NULL)
        address = host->reached;
    if (address == NULL || (host != NULL && !host->has_agent)) {
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Connect it first; both hosts of a move need their agents.",
                     "the agent of host %s has not been reached yet", host_id);
        return NULL;
    }
    const char *id = host != NULL ? host->agent_id : host_id;
    return json_pack("{s:s, s:[s]}", "host_id", id, "addresses", address);
}

static json_t *permit_params(const GwFleetTask *task, GError **error)
{
    const GwPermit *permit = task->request->permit;
    const char *self = task->request->host_id;
    gboolean source = permit != NULL && g_strcmp0(self, permit->source_host_id) == 0;

    if (permit == NULL || permit->source_host_id == NULL || permit->destination_host_id == NULL ||
        (!source && g_strcmp0(self, permit->destination_host_id) != 0)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no leave for a move of this host");
        return NULL;
    }
    g_autoptr(GwJson) peer = source
                                 ? gw_fleet_peer(task->fleet, permit->destination_host_id,
                                                 permit->destination_address, error)
                                 : gw_fleet_peer(task->fleet, permit->source_host_id, NULL, error);
    if (peer == NULL)
        return NULL;
    g_autofree char *ticket = gw_fleet_leave(task->fleet, permit, self, error);
    return ticket != NULL ? json_pack("{s:s, s:O}", "ticket", ticket, "peer", peer) : NULL;
}

static json_t *close_params(const GwFleetTask *task, GError **error)
{
    const GwRequest *request = task->request;

    gw_fleet_leave_closed(task->fleet, request->text, request->host_id);
    return json_pack("{s:s?, s:s?, s:I}", "job", request->text, "vm_uuid", request->vm_uuid,
                     "epoch", (json_int_t)request->number);
}

static json_t *measure_params(const GwFleetTask *task, GError **error)
{
    const char *other = task->request->text;

    if (other == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no host to measure the path to");
        return NULL;
    }
    json_t *peer = gw_fleet_peer(task->fleet, other, NULL, error);
    return peer != NULL ? json_pack("{s:o, s:i, s:i}", "peer", peer, "bytes_max", MEASURE_BYTES,
                                    "ms_max", MEASURE_MS)
                        : NULL;
}

static json_t *check_params(const GwFleetTask *task, GError **error)
{
    const GwRequest *request = task->request;
    const GwPermit *permit = request->permit;
    g_autoptr(GwJson) params = json_pack("{s:n, s:n}", "peer", "ticket");

    if (request->text == NULL)
        return g_steal_pointer(&params);
    gboolean there = permit != NULL && g_strcmp0(permit->destination_host_id, request->text) == 0;
    json_t *peer = gw_fleet_peer(task->fleet, request->text,
                                 there ? permit->destination_address : NULL, error);
    if (peer == NULL)
        return NULL;
    json_object_set_new(params, "peer", peer);
    if (permit == NULL)
        return g_steal_pointer(&params);
    /* From who is asked to the other, whichever of the two the permit calls the source. */
    g_autofree char *ticket =
        gw_fleet_trial(task->fleet, permit, request->host_id, request->text, error);
    if (ticket == NULL)
        return NULL;
    json_object_set_new(params, "ticket", json_string(ticket));
    return g_steal_pointer(&params);
}

static gboolean is_listed(const json_t *serials, const char *serial)
{
    const json_t *item = NULL;
    gsize index = 0;

    json_array_foreach (serials, index, item) {
        if (strcmp(json_string_value(item), serial) == 0)
            return TRUE;
    }
    return FALSE;
}

/* The fleet takes them to heart itself: the sessions of who was revoked end now. */
static void take_revoked(GwFleet *fleet, const json_t *serials)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    const json_t *item = NULL;
    gsize index = 0;
    GHashTableIter iter;
    gpointer value = NULL;

    json_array_foreach (serials, index, item)
        g_ptr_array_add(list, g_strdup(json_string_value(item)));
    g_ptr_array_add(list, NULL);
    g_strfreev(fleet->revoked);
    fleet->revoked = (char **)g_ptr_array_steal(list, NULL);

    gw_error_set(&why, GW_ERR_UNAUTHORIZED, "Enrol the host again if it is to be managed.",
                 "the host's certificate was revoked");
    g_hash_table_iter_init(&iter, fleet->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwFleetHost *host = value;
        if (gw_fleet_link_is_usable(host) &&
            is_listed(serials, gw_session_peer(host->link->session)->serial)) {
            gw_fleet_link_drop(host, why);
            gw_fleet_link_is_down(host, why);
        }
    }
}

static json_t *revoked_params(const GwFleetTask *task, GError **error)
{
    g_auto(GStrv) words =
        g_strsplit(task->request->text != NULL ? task->request->text : "", "\n", SERIALS_MAX + 1);
    g_autoptr(GwJson) serials = json_array();

    for (guint i = 0; words[i] != NULL; i++) {
        g_strstrip(words[i]);
        if (*words[i] != '\0')
            json_array_append_new(serials, json_string(words[i]));
    }
    if (g_strv_length(words) > SERIALS_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL, "more than %d revoked certificates",
                     SERIALS_MAX);
        return NULL;
    }
    take_revoked(task->fleet, serials);
    return json_pack("{s:O}", "serials", serials);
}

static json_t *renew_params(const GwFleetTask *task, GError **error)
{
    return task->request->text != NULL ? json_pack("{s:s}", "certificate", task->request->text)
                                       : json_object();
}

/* What they answer --------------------------------------------------------------------------- */

static const char *text_of(const json_t *said, const char *key, gsize max)
{
    const char *text = json_string_value(json_object_get(said, key));
    return text != NULL && strlen(text) <= max ? text : NULL;
}

static gboolean is_socket_uri(const char *uri, const char *prefix)
{
    return uri != NULL && g_str_has_prefix(uri, prefix) && uri[strlen(prefix)] == '/' &&
           strstr(uri, "/../") == NULL;
}

/* They are handed to libvirt: sockets of the host's own, and nothing else. */
static gboolean take_paths(GwFleetTask *task, GwReply *reply)
{
    const char *peer = text_of(task->said, "peer_uri", PATH_URI_MAX);
    const char *migration = text_of(task->said, "migration_uri", PATH_URI_MAX);
    const char *disks = text_of(task->said, "disks_uri", PATH_URI_MAX);

    if (g_strcmp0(task->request->host_id, task->request->permit->source_host_id) != 0 ||
        task->request->permit->files)
        return TRUE;
    if (!is_socket_uri(peer, "qemu+unix:///system?socket=") || strchr(peer, '&') != NULL ||
        strchr(peer, ';') != NULL || !gw_host_check_uri(peer, NULL) ||
        !is_socket_uri(migration, "unix://"))
        return FALSE;
    if (json_object_get(task->said, "disks_uri") != NULL && !is_socket_uri(disks, "unix://"))
        return FALSE;
    reply->paths = g_new0(GwPaths, 1);
    reply->paths->peer_uri = g_strdup(peer);
    reply->paths->migration_uri = g_strdup(migration);
    reply->paths->disks_uri = g_strdup(disks);
    return TRUE;
}

static gboolean take_nothing(GwFleetTask *task, GwReply *reply)
{
    return TRUE;
}

static gboolean take_link(GwFleetTask *task, GwReply *reply)
{
    reply->link = gw_fleet_read_record(&gw_link_facts_record, task->said, NULL);
    if (reply->link == NULL)
        return FALSE;
    g_free(reply->link->host_id); /* we know whom we asked about */
    reply->link->host_id = g_strdup(task->request->text);
    return TRUE;
}

static gboolean take_lines(GwFleetTask *task, GwReply *reply)
{
    const json_t *lines = json_object_get(task->said, "lines");
    json_t *item = NULL;
    gsize index = 0;

    if (!json_is_array(lines) || json_array_size(lines) > LINES_MAX)
        return FALSE;
    reply->lines = gw_record_array(&gw_check_line_record);
    json_array_foreach (lines, index, item) {
        GwCheckLine *line = gw_fleet_read_record(&gw_check_line_record, item, NULL);
        if (line == NULL)
            return FALSE;
        if (line->host_id == NULL)
            line->host_id = g_strdup(task->request->host_id);
        g_ptr_array_add(reply->lines, line);
    }
    return TRUE;
}

static gboolean take_request(GwFleetTask *task, GwReply *reply)
{
    const char *request = text_of(task->said, "request", TEXT_MAX);

    if (task->request->text == NULL && request == NULL)
        return FALSE;
    reply->text = task->request->text == NULL ? g_strdup(request) : NULL;
    return TRUE;
}

/* Rows ---------------------------------------------------------------------------------------- */

typedef struct {
    const char *method;
    json_t *(*params)(const GwFleetTask *task, GError **error);
    gboolean (*take)(GwFleetTask *task, GwReply *reply);
    const char *expected; /* of the answer */
} AgentOp;

static const AgentOp agent_ops[GW_OP_COUNT] = {
    [GW_OP_PERMIT] = { "permit", permit_params, take_paths,
                       "the URIs of local sockets were expected" },
    [GW_OP_CLOSE] = { "close", close_params, take_nothing, NULL },
    [GW_OP_MEASURE] = { "measure", measure_params, take_link, "a Link record was expected" },
    [GW_OP_CHECK] = { "check", check_params, take_lines, "CheckLine records were expected" },
    [GW_OP_REVOKED] = { "revoked", revoked_params, take_nothing, NULL },
    [GW_OP_RENEW] = { "renew", renew_params, take_request, "a certificate request was expected" },
};

gboolean gw_fleet_op_needs_agent(GwOp op)
{
    return (guint)op < GW_OP_COUNT && agent_ops[op].method != NULL;
}

static void agent_answered(GwFleetTask *task)
{
    g_autoptr(GwReply) reply = gw_reply_new(task->id);

    if (agent_failed(task))
        return;
    if (agent_ops[task->op].take(task, reply))
        gw_fleet_task_answer(task, g_steal_pointer(&reply));
    else
        bad_answer(task, agent_ops[task->op].expected);
}

static void refuse(GwFleetTask *task)
{
    const GwFleetHost *host = task->host;
    GError *error = NULL;

    if (host->has_agent)
        gw_error_set(&error, GW_ERR_UNREACHABLE, GW_FLEET_REMEDY_AGENT,
                     "%s: %s: the host's agent is not connected", host->address,
                     gw_op_word(task->op));
    else
        gw_error_set(&error, GW_ERR_UNSUPPORTED, GW_HYPER_NO_AGENT_REMEDY,
                     "%s: this host has no agent", gw_op_word(task->op));
    gw_fleet_task_fail(task, error);
}

static void ask_agent_alone(GwFleetTask *task, json_t *params)
{
    gboolean installs = task->op == GW_OP_RENEW && task->request->text != NULL;
    const char *method = installs ? "install-certificate" : agent_ops[task->op].method;

    task->finish = agent_answered;
    gw_fleet_task_ask_agent(task, method, params, gw_fleet_task_left_us(task));
}

void gw_fleet_agent_op(GwFleetTask *task)
{
    const AgentOp *op = &agent_ops[task->op];
    g_autoptr(GwJson) params = NULL;
    GError *error = NULL;

    set_deadline(task);
    /* Some change things here as well, whether or not the agent can be asked; what is revoked is
     * known before the first is dialled. */
    if (op->params != NULL && (task->host->has_agent || task->op == GW_OP_REVOKED))
        params = op->params(task, &error);
    if (error != NULL) {
        g_prefix_error(&error, "%s: ", gw_op_word(task->op));
        gw_fleet_task_fail(task, error);
    } else if (!gw_fleet_link_is_usable(task->host)) {
        refuse(task);
    } else if (task->op == GW_OP_LOOK) {
        look(task);
    } else if (task->op == GW_OP_FACTS) {
        ask_facts(task);
    } else {
        ask_agent_alone(task, g_steal_pointer(&params));
    }
}
