/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/sim_storage.h"

/* The paths between the hosts' agents: whether they are there, measured, cut. */

gboolean gw_sim_agent_is_up(const GwSim *sim, const SimHost *host)
{
    return gw_sim_has_agent(host) && gw_clock_now_us(sim->clock) >= host->agent_down_until_us;
}

gboolean gw_sim_is_linked(const GwSim *sim, const SimHost *a, const SimHost *b)
{
    gint64 now = gw_clock_now_us(sim->clock);

    return gw_sim_agent_is_up(sim, a) && gw_sim_agent_is_up(sim, b) &&
           !(sim->cut_until_us > now &&
             ((sim->cut[0] == a && sim->cut[1] == b) || (sim->cut[0] == b && sim->cut[1] == a)));
}

/* An agent keeps what it measured last, and tells it with its facts. */
static void keep_link(const SimHost *host, const GwLinkFacts *link)
{
    GwAgentFacts *agent = host->facts->agent;

    if (agent == NULL)
        return;
    if (agent->links == NULL)
        agent->links = gw_record_array(&gw_link_facts_record);
    GwLinkFacts *old =
        gw_record_find(&gw_link_facts_record, agent->links, "host_id", link->host_id);
    if (old != NULL)
        g_ptr_array_remove(agent->links, old);
    g_ptr_array_add(agent->links, gw_link_facts_copy(link));
}

void gw_sim_measure_link(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const SimHost *other = gw_sim_host_by_name(sim, request->text);

    if (other == NULL || other == host || !gw_sim_is_linked(sim, host, other)) {
        gw_error_set(&reply->error, GW_ERR_UNREACHABLE, "See that its port is open.",
                     "the other agent does not answer");
        return;
    }
    reply->link = gw_link_facts_new();
    reply->link->host_id = g_strdup(request->text);
    reply->link->bytes_per_s = sim->link_bps;
    reply->link->round_trip_us = reply->link->round_trip_max_us = 2 * GW_SIM_LINK_US;
    reply->link->retransmitted = -1;
    reply->link->measured_bytes = MIN(sim->link_bps / 10, 16 * 1024 * 1024);
    keep_link(host, reply->link);
}

static void add_line(GwReply *reply, const SimHost *host, const char *name, gboolean ok,
                     const char *required)
{
    GwCheckLine *line = gw_check_line_new();

    line->name = g_strdup(name);
    line->host_id = g_strdup(host->id);
    line->outcome = ok ? GW_CHECK_OK : GW_CHECK_FAILED;
    line->observed = g_strdup(ok ? "it works" : "no answer");
    line->required = g_strdup(required);
    line->remedy = ok ? NULL : g_strdup("See that port 8447 is open between the two hosts.");
    g_ptr_array_add(reply->lines, line);
}

void gw_sim_check_agent(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const SimHost *other = gw_sim_host_by_name(sim, request->text);

    reply->lines = gw_record_array(&gw_check_line_record);
    add_line(reply, host, "agent", TRUE, "An agent that answers.");
    add_line(reply, host, "libvirt", gw_clock_now_us(sim->clock) >= host->libvirtd_down_until_us,
             "A libvirtd that answers the agent.");
    if (request->text != NULL)
        add_line(reply, host, "peer", other != NULL && gw_sim_is_linked(sim, host, other),
                 "The other host's agent answers this one.");
}

void gw_sim_link_cut(GwSim *sim, SimHost *a, SimHost *b, gint64 ms)
{
    sim->cut[0] = a;
    sim->cut[1] = b;
    sim->cut_until_us = gw_clock_now_us(sim->clock) + ms * 1000;
    gw_sim_break_moves(sim, a, b, NULL);
    gw_sim_break_copies(sim, a, b, NULL);
}

void gw_sim_cut_link(GwSim *sim, const char *uri, const char *other_uri, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *a = gw_sim_host_by_uri(sim, uri), *b = gw_sim_host_by_uri(sim, other_uri);
    if (a != NULL && b != NULL)
        gw_sim_link_cut(sim, a, b, ms);
}
