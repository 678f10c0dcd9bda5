/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "base/error.h"
#include "base/text.h"

/* Keeps the picture of each host current: connect, list once, then follow events. */

#define CONNECT_TIMEOUT_US (15 * G_USEC_PER_SEC)
#define AWAIT_US (2 * G_USEC_PER_SEC) /* between looks for an agent that is about to start */
#define RELISTS_MAX 3                 /* that fail in a row */
#define ALARM_SHOWN_US (24 * 3600 * (gint64)G_USEC_PER_SEC)

void gw_host_run_free(gpointer data)
{
    HostRun *run = data;
    g_free(run->id);
    g_free(run->renew_trouble);
    g_free(run->alarm);
    g_hash_table_unref(run->asking);
    g_hash_table_unref(run->heard);
    g_free(run);
}

HostRun *gw_inventory_find(GwEngine *engine, const char *host_id)
{
    return host_id != NULL ? g_hash_table_lookup(engine->hosts, host_id) : NULL;
}

/* Status ----------------------------------------------------------------------------------- */

static void set_status(GwEngine *engine, const char *host_id, GwHostStatus status,
                       const char *reason, const char *remedy)
{
    const GwHost *old = gw_fabric_host(gw_engine_now(engine), host_id);
    if (old == NULL)
        return;

    GwHost *host = gw_host_copy(old);
    host->status = status;
    g_free(host->status_reason);
    g_free(host->status_remedy);
    host->status_reason = g_strdup(reason);
    host->status_remedy = g_strdup(remedy);
    if (status == GW_HOST_OK || status == GW_HOST_OK_LIMITED) {
        g_free(host->last_seen);
        host->last_seen = gw_engine_rfc3339(engine);
    }
    gw_fabric_put_host(gw_engine_change(engine), host);
    gw_engine_tell(engine, "host", host_id, NULL);
    engine->schedule = TRUE;
}

static void add_warning(GPtrArray *all, const char *text)
{
    if (text != NULL && *text != '\0')
        g_ptr_array_add(all, (gpointer)text);
}

/* Nothing of it stops a move, but a person should know it. NULL: nothing. */
static char *warnings(GwEngine *engine, const HostRun *run, const GwHost *host)
{
    const GwAgentFacts *agent = host->facts != NULL ? host->facts->agent : NULL;
    gboolean alarmed = gw_clock_now_us(engine->clock) < run->alarm_until_us;
    g_autofree char *certificate = gw_certificates_warning(engine, run, host);
    g_autofree char *said =
        agent != NULL && agent->warnings != NULL ? g_strjoinv("; ", agent->warnings) : NULL;
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    add_warning(all, alarmed ? run->alarm : NULL);
    add_warning(all, certificate);
    add_warning(all, said);
    if (all->len == 0)
        return NULL;
    g_ptr_array_add(all, NULL);
    g_autofree char *joined = g_strjoinv("; ", (char **)all->pdata);
    return gw_text_printable(joined, GW_TEXT_MESSAGE_MAX);
}

void gw_inventory_show_up(GwEngine *engine, const char *host_id)
{
    const HostRun *run = gw_inventory_find(engine, host_id);
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);

    if (run == NULL || host == NULL || !run->listed)
        return;
    if (!gw_host_has_agent(host)) {
        set_status(engine, host_id, GW_HOST_OK_LIMITED,
                   "no agent on this host: the controller reaches it by libvirt alone", NULL);
        return;
    }
    g_autofree char *reason = warnings(engine, run, host);
    if (host->status != GW_HOST_OK || g_strcmp0(reason, host->status_reason) != 0)
        set_status(engine, host_id, GW_HOST_OK, reason,
                   reason != NULL ? "See docs/agent.md, Troubleshooting." : NULL);
}

static void answer_waiter(GwEngine *engine, HostRun *run)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), run->id);
    GError *error = NULL;

    if (run->waiter == NULL)
        return;
    if (host == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, NULL, "the host was removed again");
    gw_engine_answer(g_steal_pointer(&run->waiter), gw_host_copy(host), error);
}

void gw_inventory_answer_when_listed(GwEngine *engine, const char *host_id, Call *call)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    g_assert(run != NULL && run->waiter == NULL);
    run->waiter = call;
}

/* 1, 2, 4 … 30 s: soon after a restart of libvirtd, gently with a host that is off. */
static gint64 back_off(guint failures)
{
    return MIN((gint64)1 << MIN(failures, 5), 30) * G_USEC_PER_SEC;
}

static void retry_at(GwEngine *engine, HostRun *run, gint64 at_us)
{
    run->retry_us = at_us;
    gw_inventory_due(engine, at_us);
}

static void lost(GwEngine *engine, HostRun *run, const char *reason, const char *remedy)
{
    run->connected = FALSE;
    run->listed = FALSE;
    run->busy = FALSE;
    run->facts_us = 0;
    run->relist_us = 0;
    run->facts_busy = FALSE;
    run->renewing = FALSE;
    run->alarm_until_us = 0;
    run->listing = FALSE;
    g_hash_table_remove_all(run->heard);
    g_hash_table_remove_all(run->asking);
    if (gw_clock_now_us(engine->clock) < run->awaited_us) {
        retry_at(engine, run, gw_clock_now_us(engine->clock) + AWAIT_US);
        set_status(engine, run->id, GW_HOST_CONNECTING, reason, remedy);
        return;
    }
    retry_at(engine, run, gw_clock_now_us(engine->clock) + back_off(run->failures++));
    set_status(engine, run->id, GW_HOST_NOT_RESPONDING, reason, remedy);
    answer_waiter(engine, run);
}

/* Connecting ------------------------------------------------------------------------------- */

/* Its first list since it was connected. */
static void host_is_back(GwEngine *engine, HostRun *run)
{
    run->listed = run->seen = TRUE;
    run->awaited_us = 0;
    gw_inventory_show_up(engine, run->id);
    gw_certificates_host_up(engine, run);
    answer_waiter(engine, run);
    gw_jobs_host_back(engine, run->id);
    gw_tasks_host_back(engine, run->id);
    gw_links_host_up(engine, run->id);
    gw_usage_host_up(engine, run->id);
}

/* A busy libvirtd that cannot list once more is no host that does not answer: not at once. */
static void list_failed(GwEngine *engine, HostRun *run, const GError *error)
{
    run->listing = FALSE;
    if (run->listed && run->failures < RELISTS_MAX) {
        run->failures++;
        gw_inventory_relist(engine, run);
    } else
        lost(engine, run, error->message, gw_error_remedy(error));
}

static void list_came(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    (void)unused;
    if (run == NULL || !run->connected)
        return;
    run->busy = FALSE;
    gw_inventory_due(engine, run->relist_us); /* wanted meanwhile */
    if (reply->error != NULL) {
        list_failed(engine, run, reply->error);
        return;
    }
    gw_inventory_take_list(engine, host_id, reply->vms);
    run->failures = 0;
    if (!run->listed)
        host_is_back(engine, run);
}

static void ask_list(GwEngine *engine, HostRun *run)
{
    run->relist_us = 0;
    run->listing = TRUE;
    gw_engine_ask(engine, gw_request_new(GW_OP_LIST_VMS, run->id, NULL), list_came, run->id, 0);
}

/* An address may come to lead elsewhere. That another machine does not have a VM says nothing about
 * the one that a move was about. */
static gboolean is_another_machine(const GwHost *known, const GwHostFacts *facts)
{
    const char *uuid = known != NULL && known->facts != NULL ? known->facts->host_uuid : NULL;
    return uuid != NULL && facts->host_uuid != NULL && strcmp(uuid, facts->host_uuid) != 0;
}

/* Who adds a host by its URI is told at once that it is there already; an agent joins before
 * anybody has seen the machine. Of two, the one that has been there keeps it. */
static const GwHost *twin_of(const GwFabric *fabric, const char *host_id, const GwHostFacts *facts)
{
    const GwHost *known = gw_fabric_host(fabric, host_id);
    GHashTableIter iter;
    gpointer value;

    if (known == NULL || known->facts != NULL || facts->host_uuid == NULL)
        return NULL;
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwHost *other = value;
        if (strcmp(other->id, host_id) != 0 && other->facts != NULL &&
            g_strcmp0(other->facts->host_uuid, facts->host_uuid) == 0)
            return other;
    }
    return NULL;
}

static void connected(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    (void)unused;
    if (run == NULL)
        return;
    if (reply->error != NULL) {
        lost(engine, run, reply->error->message, gw_error_remedy(reply->error));
        return;
    }
    if (is_another_machine(gw_fabric_host(gw_engine_now(engine), host_id), reply->facts)) {
        gw_engine_ask(engine, gw_request_new(GW_OP_DISCONNECT, host_id, NULL), NULL, host_id, 0);
        lost(engine, run, "another machine answers at this URI: its libvirt host UUID differs",
             "Correct the address. If the host was installed anew, remove it and add it again.");
        return;
    }
    const GwHost *twin = twin_of(gw_engine_now(engine), host_id, reply->facts);
    if (twin != NULL) {
        g_autofree char *why =
            g_strdup_printf("this machine is managed as host '%s' already", twin->name);
        gw_engine_ask(engine, gw_request_new(GW_OP_DISCONNECT, host_id, NULL), NULL, host_id, 0);
        lost(engine, run, why, "Remove one of the two; its VMs go on running.");
        return;
    }
    run->connected = TRUE;
    run->retry_us = 0;
    gw_inventory_due(engine, run->renew_us);
    gw_inventory_put_facts(engine, host_id, reply->facts);
    ask_list(engine, run);
}

static void connect_host(GwEngine *engine, HostRun *run)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), run->id);
    GwRequest *request = gw_request_new(GW_OP_CONNECT, run->id, NULL);

    run->retry_us = 0;
    run->busy = TRUE;
    gw_certificates_host_comes(engine, run);
    request->text = g_strdup(host->uri);
    request->timeout_us = CONNECT_TIMEOUT_US;
    gw_engine_ask(engine, request, connected, run->id, 0);
}

static HostRun *new_run(GwEngine *engine, const char *host_id)
{
    HostRun *run = g_new0(HostRun, 1);

    run->id = g_strdup(host_id);
    run->asking = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run->heard = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_replace(engine->hosts, run->id, run);
    return run;
}

void gw_inventory_start_host(GwEngine *engine, const char *host_id)
{
    connect_host(engine, new_run(engine, host_id));
}

void gw_inventory_await_agent(GwEngine *engine, const char *host_id, gint64 span_us)
{
    HostRun *run = new_run(engine, host_id);
    gint64 now = gw_clock_now_us(engine->clock);

    run->awaited_us = now + span_us;
    retry_at(engine, run, now + AWAIT_US);
    set_status(engine, host_id, GW_HOST_CONNECTING, "its agent has joined and is expected to start",
               NULL);
}

void gw_inventory_stop_host(GwEngine *engine, const char *host_id)
{
    HostRun *run = gw_inventory_find(engine, host_id);
    if (run != NULL)
        answer_waiter(engine, run);
    g_hash_table_remove(engine->hosts, host_id);
    gw_engine_ask(engine, gw_request_new(GW_OP_DISCONNECT, host_id, NULL), NULL, host_id, 0);
}

void gw_inventory_stop(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer run;

    g_hash_table_iter_init(&iter, engine->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &run))
        answer_waiter(engine, run);
    g_hash_table_remove_all(engine->hosts);
}

/* Events ----------------------------------------------------------------------------------- */

/* A VM that moved here is announced while nothing of it has come, and takes its memory until it
 * goes on: without that a host would seem to have room which is long taken. */
static gboolean changes_memory(const char *lifecycle)
{
    static const char *const words[] = { "started", "resumed", "stopped", "crashed", NULL };
    return lifecycle != NULL && g_strv_contains(words, lifecycle);
}

/* Shown as the host's reason, and so in the feed, for a day or until it is connected anew. */
static void take_alarm(GwEngine *engine, HostRun *run, const GwHyperEvent *event)
{
    const GwVm *vm = event->vm_uuid != NULL
                         ? gw_fabric_vm(gw_engine_now(engine), run->id, event->vm_uuid)
                         : NULL;
    g_autofree char *text = gw_text_printable(event->text, GW_TEXT_MESSAGE_MAX);
    g_autofree char *name = gw_text_printable(vm != NULL ? vm->name : event->vm_uuid, 255);
    g_autofree char *now = gw_engine_rfc3339(engine);

    g_free(run->alarm);
    run->alarm = g_strdup_printf("alarm of its agent, %s%s%s: %s", now,
                                 *name != '\0' ? ", VM " : "", name, text);
    run->alarm_until_us = gw_clock_now_us(engine->clock) + ALARM_SHOWN_US;
    g_warning("host %s: %s", run->id, run->alarm);
    gw_inventory_show_up(engine, run->id);
}

void gw_inventory_event(GwEngine *engine, const GwHyperEvent *event)
{
    HostRun *run = gw_inventory_find(engine, event->host_id);

    if (run == NULL)
        return;
    switch (event->kind) {
    case GW_EVENT_HOST_LOST:
        if (run->connected)
            lost(engine, run, event->text,
                 "Check that the host is up, that libvirtd runs on it and that the network "
                 "between is open; Godwit goes on trying.");
        break;
    case GW_EVENT_VM_LIFECYCLE:
        gw_inventory_hear(run, event->vm_uuid);
        gw_moves_lifecycle(engine, event);
        gw_works_lifecycle(engine, event);
        if (changes_memory(event->text))
            gw_inventory_ask_facts(engine, run->id);
        gw_inventory_ask_vm(engine, run->id, event->vm_uuid);
        break;
    case GW_EVENT_VM_CHANGED:
        gw_inventory_hear(run, event->vm_uuid);
        gw_inventory_ask_vm(engine, run->id, event->vm_uuid);
        break;
    case GW_EVENT_FACTS_CHANGED:
        gw_inventory_ask_facts(engine, run->id);
        break;
    case GW_EVENT_ALARM:
        take_alarm(engine, run, event);
        gw_moves_alarm(engine, event);
        break;
    case GW_EVENT_ITERATION:
        break; /* the statistics say it too */
    }
}

/* Timers ----------------------------------------------------------------------------------- */

/* Turns are far more frequent than deadlines: the hosts are looked through when one of them is due,
 * not with each turn. */
void gw_inventory_due(GwEngine *engine, gint64 at_us)
{
    engine->hosts_due_us = gw_earlier(engine->hosts_due_us, at_us);
}

gint64 gw_inventory_next_us(GwEngine *engine)
{
    return engine->hosts_due_us;
}

static void find_due(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const HostRun *run = value;
        gw_inventory_due(engine, run->retry_us);
        if (!run->listing)
            gw_inventory_due(engine, run->relist_us);
        if (!run->facts_busy)
            gw_inventory_due(engine, run->facts_us);
        gw_inventory_due(engine, gw_certificates_next_us(run));
    }
}

static void run_timers(GwEngine *engine, HostRun *run, gint64 now_us)
{
    if (run->retry_us != 0 && run->retry_us <= now_us)
        connect_host(engine, run);
    if (run->relist_us != 0 && run->relist_us <= now_us && !run->listing)
        ask_list(engine, run);
    gw_inventory_facts_timers(engine, run, now_us);
    gw_certificates_timers(engine, run, now_us);
}

void gw_inventory_timers(GwEngine *engine, gint64 now_us)
{
    GHashTableIter iter;
    gpointer run;

    if (engine->hosts_due_us == 0 || engine->hosts_due_us > now_us)
        return;
    g_hash_table_iter_init(&iter, engine->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &run))
        run_timers(engine, run, now_us);
    engine->hosts_due_us = 0;
    find_due(engine);
}
