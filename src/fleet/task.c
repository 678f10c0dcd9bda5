/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "fleet/fleet_internal.h"

/* Requests under way: numbered, with deadlines, each answered once. */

static void plan_sweep(GwFleet *fleet, gint64 at_us)
{
    if (at_us == 0 || (fleet->timer_us != 0 && fleet->timer_us <= at_us))
        return;
    fleet->timer_us = at_us;
    gw_timer_set(fleet->timer, at_us);
}

GwFleetTask *gw_fleet_task_new(GwFleetHost *host, GwRequest *request)
{
    GwFleet *fleet = host->fleet;
    GwFleetTask *task = g_new0(GwFleetTask, 1);

    task->fleet = fleet;
    task->serial = ++fleet->next_serial;
    task->id = request->id;
    task->op = request->op;
    task->host = host;
    task->request = request;
    g_hash_table_insert(fleet->tasks, &task->serial, task);
    return task;
}

GwFleetTask *gw_fleet_task_find(GwFleet *fleet, guint64 serial)
{
    return g_hash_table_lookup(fleet->tasks, &serial);
}

void gw_fleet_task_free(gpointer data)
{
    GwFleetTask *task = data;

    gw_request_free(task->request);
    gw_reply_free(task->inner);
    gw_reply_free(task->held);
    gw_fleet_same_free(task->same);
    json_decref(task->said);
    g_clear_error(&task->agent_error);
    g_free(task);
}

void gw_fleet_task_set_deadline(GwFleetTask *task, gint64 span_us)
{
    task->deadline_us = g_get_monotonic_time() + span_us;
    plan_sweep(task->fleet, task->deadline_us);
}

gint64 gw_fleet_task_left_us(const GwFleetTask *task)
{
    return MAX(task->deadline_us - g_get_monotonic_time(), G_TIME_SPAN_MILLISECOND);
}

/* Answers ------------------------------------------------------------------------------------- */

void gw_fleet_task_answer(GwFleetTask *task, GwReply *reply)
{
    GwFleet *fleet = task->fleet;
    GwFleetHost *host = task->host;
    gboolean told = !task->own && !fleet->closing;

    if (host->connecting == task)
        host->connecting = NULL;
    reply->id = task->id;
    reply->at_us = g_get_monotonic_time();
    g_hash_table_remove(fleet->tasks, &task->serial);
    if (told)
        fleet->base.sink.reply(reply, fleet->base.sink.user);
    else
        gw_reply_free(reply);
}

void gw_fleet_task_fail(GwFleetTask *task, GError *error)
{
    GwReply *reply = gw_reply_new(task->id);

    reply->error = error;
    gw_fleet_task_answer(task, reply);
}

/* Asking -------------------------------------------------------------------------------------- */

static void settle(GwFleetTask *task)
{
    if (!task->wants_inner && !task->wants_agent)
        task->finish(task);
}

static void answer_as_it_came(GwFleetTask *task)
{
    gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

void gw_fleet_task_ask_inner(GwFleetTask *task, GwRequest *request)
{
    request->id = task->serial;
    task->wants_inner = TRUE;
    if (task->fleet->closing) { /* the wrapped driver may be gone; nobody waits any more */
        gw_request_free(request);
        return;
    }
    gw_hyper_submit(task->fleet->inner, request);
}

void gw_fleet_task_pass(GwFleetTask *task)
{
    if (task->finish == NULL)
        task->finish = answer_as_it_came;
    gw_fleet_task_ask_inner(task, g_steal_pointer(&task->request));
}

void gw_fleet_task_inner_came(GwFleet *fleet, GwReply *reply)
{
    GwFleetTask *task = gw_fleet_task_find(fleet, reply->id);

    if (task == NULL || !task->wants_inner) {
        gw_reply_free(reply);
        return;
    }
    task->wants_inner = FALSE;
    task->inner = reply;
    settle(task);
}

typedef struct {
    GwFleet *fleet;
    guint64 serial;
} Ask;

static void agent_came(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    g_autofree Ask *ask = user;
    GwFleetTask *task = gw_fleet_task_find(ask->fleet, ask->serial);

    if (task == NULL || !task->wants_agent)
        return;
    task->wants_agent = FALSE;
    if (error != NULL)
        task->agent_error = g_error_copy(error);
    else
        task->said = json_deep_copy(result);
    settle(task);
}

void gw_fleet_task_ask_agent(GwFleetTask *task, const char *method, json_t *params_stolen,
                             gint64 timeout_us)
{
    Ask *ask = g_new(Ask, 1);

    ask->fleet = task->fleet;
    ask->serial = task->serial;
    task->wants_agent = TRUE;
    gw_session_call(task->host->link->session, method, params_stolen, timeout_us, agent_came, ask);
}

/* Time ---------------------------------------------------------------------------------------- */

static void overdue(GwFleetTask *task)
{
    GError *error = NULL;

    if (task->op == GW_OP_CONNECT) {
        gw_fleet_connect_overdue(task);
        return;
    }
    gw_error_set(&error, GW_ERR_TIMEOUT,
                 task->wants_agent ? GW_FLEET_REMEDY_AGENT : "Check libvirtd on the host.",
                 "%s: %s: %s did not answer in time", task->host->address, gw_op_word(task->op),
                 task->wants_agent ? "the agent" : "libvirt");
    gw_fleet_task_fail(task, error);
}

void gw_fleet_sweep(gpointer user)
{
    GwFleet *fleet = user;
    gint64 now = g_get_monotonic_time(), next = 0;
    g_autoptr(GArray) late = g_array_new(FALSE, FALSE, sizeof(guint64));
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, fleet->tasks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwFleetTask *task = value;
        if (task->deadline_us == 0)
            continue;
        if (task->deadline_us <= now)
            g_array_append_val(late, task->serial);
        else if (next == 0 || task->deadline_us < next)
            next = task->deadline_us;
    }
    fleet->timer_us = 0;
    plan_sweep(fleet, next);
    /* By number: answering one may end another. */
    for (guint i = 0; i < late->len; i++) {
        GwFleetTask *task = gw_fleet_task_find(fleet, g_array_index(late, guint64, i));
        if (task != NULL)
            overdue(task);
    }
}
