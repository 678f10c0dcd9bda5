/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* Hosts come and go. A CONNECT goes through: the name's addresses, a session to the agent, the
 * local socket, the wrapped driver's CONNECT over that; its reply and the agent's facts answer it.
 *
 * A host is lost once: the session and libvirt's connection go together, and each of them says so.
 * Whoever says it first is believed, and what the wrapped driver still has is taken from it by a
 * DISCONNECT. The next CONNECT waits for the answer to that: then a loss that the driver noticed
 * earlier (the event says when) can only be of the connection before. */

void gw_fleet_host_free(gpointer data)
{
    GwFleetHost *host = data;

    g_free(host->id);
    g_free(host->agent_id);
    g_free(host->address);
    g_free(host->reached);
    g_free(host->lost_early);
    gw_agent_facts_free(host->facts);
    g_free(host);
}

/* Failing ------------------------------------------------------------------------------------- */

/* "kvm1: why" */
static GError *told_of(const GwFleetHost *host, const GError *why)
{
    GError *error = NULL;
    int code = why->domain == GW_ERROR ? why->code : GW_ERR_UNREACHABLE;
    const char *remedy = gw_error_remedy(why);

    gw_error_set(&error, (GwErrorCode)code, remedy != NULL ? remedy : GW_FLEET_REMEDY_AGENT,
                 "%s: %s", host->address != NULL ? host->address : host->id, why->message);
    return error;
}

static void connect_failed(GwFleetHost *host, const GError *why)
{
    if (host->connecting != NULL)
        gw_fleet_task_fail(host->connecting, told_of(host, why));
}

static void cancel_connecting(GwFleetHost *host)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_CANCELLED, "Connect again if it is still wanted.",
                 "overtaken by a later request");
    connect_failed(host, error);
}

static void go_on_connecting(GwFleetHost *host);

static void detached(GwFleetTask *task)
{
    GwFleetHost *host = task->host;

    host->detaching--;
    gw_fleet_task_answer(task, g_steal_pointer(&task->inner)); /* nobody's: only forgotten */
    if (host->detaching == 0)
        go_on_connecting(host);
}

/* Takes the host from the wrapped driver. */
static void detach(GwFleetHost *host)
{
    GwFleetTask *task = gw_fleet_task_new(host, gw_request_new(GW_OP_DISCONNECT, host->id, NULL));

    task->own = TRUE;
    task->finish = detached;
    host->detaching++;
    host->announced = FALSE;
    gw_fleet_task_pass(task);
}

static void tell_lost(GwFleetHost *host, const char *why)
{
    GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_HOST_LOST, host->id, NULL);

    host->announced = FALSE;
    event->text = gw_text_printable(why, GW_TEXT_MESSAGE_MAX);
    gw_fleet_emit(host->fleet, event);
}

void gw_fleet_link_is_down(GwFleetHost *host, const GError *why)
{
    gboolean known = host->announced;
    g_autofree char *text = g_strdup_printf("the agent's session ended: %s", why->message);

    detach(host);
    connect_failed(host, why);
    if (known)
        tell_lost(host, text);
}

void gw_fleet_inner_lost(GwFleet *fleet, GwHyperEvent *event)
{
    GwFleetHost *host = event->host_id != NULL ? gw_fleet_host(fleet, event->host_id) : NULL;

    if (host == NULL || !host->has_agent) {
        gw_fleet_emit(fleet, event);
        return;
    }
    gboolean old = event->at_us < host->inner_since_us;
    if (!old && host->announced) {
        tell_lost(host, event->text != NULL ? event->text : "libvirt's connection was lost");
    } else if (!old && host->connecting != NULL) {
        g_free(host->lost_early);
        host->lost_early = g_strdup(event->text != NULL ? event->text : "lost");
    }
    gw_hyper_event_free(event);
}

void gw_fleet_connect_overdue(GwFleetTask *task)
{
    GwFleetHost *host = task->host;
    g_autoptr(GError) error = NULL;
    gboolean up = gw_fleet_link_is_usable(host);

    gw_error_set(&error, GW_ERR_TIMEOUT,
                 up ? "Check that libvirtd runs on the host." : GW_FLEET_REMEDY_AGENT,
                 up ? "libvirt did not answer through the agent in time"
                    : "the agent did not accept a session in time");
    if (!up)
        gw_fleet_link_drop(host, error);
    detach(host);
    connect_failed(host, error);
}

/* Connecting ---------------------------------------------------------------------------------- */

static void connected(GwFleetTask *task)
{
    GwFleetHost *host = task->host;
    g_autoptr(GError) error = NULL;

    if (task->inner->error == NULL && host->lost_early != NULL)
        gw_error_set(&error, GW_ERR_UNREACHABLE, "Check that libvirtd runs on the host.",
                     "libvirt's connection broke at once: %s", host->lost_early);
    else if (task->inner->error == NULL && task->inner->facts == NULL)
        gw_error_set(&error, GW_ERR_INTERNAL, NULL, "connected, but without facts");
    else if (task->inner->error != NULL)
        error = g_error_copy(task->inner->error);
    if (error != NULL) {
        connect_failed(host, error);
        return;
    }
    gw_fleet_merge_facts(host, task->inner->facts, task->said, task->agent_error);
    host->announced = TRUE;
    gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

static void ask_libvirt(GwFleetTask *task)
{
    GwFleetHost *host = task->host;
    GwRequest *request = gw_request_new(GW_OP_CONNECT, host->id, NULL);
    gint64 left = gw_fleet_task_left_us(task);

    request->text = gw_fleet_link_uri(host->link);
    request->timeout_us = left;
    host->inner_since_us = g_get_monotonic_time();
    g_clear_pointer(&host->lost_early, g_free);
    task->finish = connected;
    task->wants_inner = TRUE; /* so that an agent's failure at once does not end it */
    gw_fleet_task_ask_agent(task, "facts", json_object(), MIN(GW_FLEET_FACTS_US, left * 3 / 4));
    gw_fleet_task_ask_inner(task, request);
}

static void go_on_connecting(GwFleetHost *host)
{
    GwFleetTask *task = host->connecting;

    if (task != NULL && task->finish == NULL && host->detaching == 0 &&
        gw_fleet_link_is_usable(host))
        ask_libvirt(task);
}

void gw_fleet_link_is_up(GwFleetHost *host)
{
    go_on_connecting(host);
}

static void dial(GwFleetHost *host, const char *const *addresses)
{
    g_autoptr(GError) error = NULL;

    if (!gw_fleet_link_dial(host, addresses, &error))
        connect_failed(host, error);
}

void gw_fleet_looked_up(GwFleet *fleet, guint64 serial, const char *const *addresses,
                        const GError *error)
{
    GwFleetTask *task = gw_fleet_task_find(fleet, serial);

    if (task == NULL || task->host->connecting != task)
        return;
    if (error != NULL)
        connect_failed(task->host, error);
    else
        dial(task->host, addresses);
}

/* Where the host's agent is to be found, by @task's URI; a link to elsewhere is given up. */
static void aim(GwFleetTask *task, char *address, guint16 port, char *agent_id)
{
    GwFleetHost *host = task->host;
    gboolean same = host->has_agent && strcmp(host->address, address) == 0 && host->port == port &&
                    strcmp(host->agent_id, agent_id) == 0;

    if (!same)
        gw_fleet_link_drop(host, NULL);
    if (!same)
        g_clear_pointer(&host->facts, gw_agent_facts_free);
    if (!same)
        g_clear_pointer(&host->reached, g_free);
    g_free(host->address);
    g_free(host->agent_id);
    host->address = address;
    host->agent_id = agent_id;
    host->port = port;
    host->has_agent = TRUE;
}

static void connect_to_agent(GwFleetTask *task)
{
    GwFleetHost *host = task->host;
    gint64 timeout = task->request->timeout_us;
    g_autoptr(GError) error = NULL;

    gw_fleet_task_set_deadline(task, timeout > 0 ? timeout : GW_FLEET_CONNECT_US);
    host->connecting = task;
    if (!gw_fleet_link_is_usable(host))
        gw_fleet_link_drop(host, NULL); /* of a CONNECT that was overtaken */
    detach(host);
    if (host->link != NULL)
        return; /* only libvirt's connection was lost: goes on when the old one is off */
    g_auto(GStrv) addresses = gw_fleet_numeric(host->address, host->port);
    if (addresses != NULL)
        dial(host, (const char *const *)addresses);
    else if (!gw_fleet_lookup(task, &error))
        connect_failed(host, error);
}

void gw_fleet_connect(GwFleetTask *task)
{
    GwFleetHost *host = task->host;
    char *address = NULL, *agent_id = NULL;
    guint16 port = 0;

    cancel_connecting(host);
    if (task->request->text != NULL &&
        gw_host_agent_uri(task->request->text, &address, &port, &agent_id)) {
        aim(task, address, port, agent_id);
        connect_to_agent(task);
        return;
    }
    gw_fleet_link_drop(host, NULL);
    host->has_agent = FALSE;
    host->announced = FALSE;
    gw_fleet_task_pass(task);
}

void gw_fleet_disconnect(GwFleetTask *task)
{
    GwFleetHost *host = task->host;

    cancel_connecting(host);
    host->announced = FALSE;
    /* The wrapped driver first: it still says good-bye through the session. */
    gw_fleet_task_pass(task);
    gw_fleet_link_drop(host, NULL);
}
