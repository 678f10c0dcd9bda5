/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "fleet/copies_internal.h"

/* What agents are asked about a copy, and the end of its request. */

#define CALL_US (60 * G_TIME_SPAN_SECOND) /* opening a file of a slow network file system */
#define AWAY_US (10 * G_TIME_SPAN_MINUTE) /* so long an agent may not be reached */

static GwFleetTask *task_of(const GwFleetCopy *copy)
{
    return gw_fleet_task_find(copy->fleet, copy->serial);
}

const GwCopy *gw_fleet_copy_wish(const GwFleetCopy *copy)
{
    return task_of(copy)->request->copy;
}

void gw_fleet_copy_finish(GwFleetCopy *copy, GError *error)
{
    GwFleetTask *task = task_of(copy);
    GwReply *reply = task != NULL ? gw_reply_new(task->id) : NULL;

    if (error != NULL)
        g_prefix_error(&error, "%s: copy: ", copy->to->address);
    if (reply != NULL) {
        reply->error = error;
        reply->copied = error == NULL ? g_steal_pointer(&copy->result) : NULL;
    } else {
        g_clear_error(&error);
    }
    g_hash_table_remove(copy->fleet->copies, copy->id);
    if (reply != NULL)
        gw_fleet_task_answer(task, reply);
}

void gw_fleet_copy_wait(GwFleetCopy *copy, gint64 span_us, void (*then)(GwFleetCopy *copy))
{
    copy->then = then;
    gw_timer_set(copy->timer, g_get_monotonic_time() + span_us);
}

void gw_fleet_copy_due(gpointer user)
{
    GwFleetCopy *copy = user;

    if (task_of(copy) == NULL)
        g_hash_table_remove(copy->fleet->copies, copy->id); /* its request was given up */
    else
        copy->then(copy);
}

/* Asking --------------------------------------------------------------------------------------- */

typedef struct {
    GwFleet *fleet;
    char *id;
    guint turn;
    GwFleetHost *host;
    GwFleetAnswered answered;
} Question;

static void on_answer(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    g_autofree Question *question = user;
    g_autofree char *id = question->id;
    GwFleetCopy *copy = g_hash_table_lookup(question->fleet->copies, id);

    if (copy == NULL || copy->turn != question->turn)
        return;
    if (task_of(copy) == NULL) { /* its request was given up */
        g_hash_table_remove(copy->fleet->copies, copy->id);
        return;
    }
    if (error == NULL || error->code != GW_ERR_UNREACHABLE)
        copy->seen_us = g_get_monotonic_time();
    question->answered(copy, question->host, result, error);
}

void gw_fleet_copy_ask(GwFleetCopy *copy, GwFleetHost *host, const char *method,
                       json_t *params_stolen, GwFleetAnswered answered)
{
    copy->turn++;
    if (!gw_fleet_link_is_usable(host)) {
        g_autoptr(GError) error = NULL;
        json_decref(params_stolen);
        gw_error_set(&error, GW_ERR_UNREACHABLE, GW_FLEET_REMEDY_AGENT,
                     "the agent of %s is not connected", host->address);
        answered(copy, host, NULL, error);
        return;
    }
    Question *question = g_new0(Question, 1);
    *question = (Question){ copy->fleet, g_strdup(copy->id), copy->turn, host, answered };
    gw_session_call(host->link->session, method, params_stolen, CALL_US, on_answer, question);
}

json_t *gw_fleet_copy_by_id(const GwFleetCopy *copy)
{
    return json_pack("{s:s}", "copy", copy->id);
}

gboolean gw_fleet_copy_is_local(const GwFleetCopy *copy)
{
    return copy->from == copy->to;
}

gboolean gw_fleet_copy_is_away(const GwFleetCopy *copy, const GError *error)
{
    return (error->code == GW_ERR_UNREACHABLE || error->code == GW_ERR_TIMEOUT) &&
           g_get_monotonic_time() < copy->seen_us + AWAY_US;
}

/* Stopping ------------------------------------------------------------------------------------- */

static void fail_now(GwFleetCopy *copy)
{
    gw_fleet_copy_finish(copy, g_steal_pointer(&copy->why));
}

static void stopped_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    fail_now(copy);
}

static void stopped_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                         const GError *error)
{
    if (gw_fleet_copy_is_local(copy))
        fail_now(copy);
    else
        gw_fleet_copy_ask(copy, copy->to, "copy-stop", gw_fleet_copy_by_id(copy), stopped_to);
}

/* Both ends, as far as they can be reached; who cannot ends by itself when the other does. */
void gw_fleet_copy_fail(GwFleetCopy *copy, const GError *why)
{
    g_clear_error(&copy->why);
    copy->why = g_error_copy(why);
    gw_timer_set(copy->timer, 0);
    gw_fleet_copy_ask(copy, copy->from, "copy-stop", gw_fleet_copy_by_id(copy), stopped_from);
}
