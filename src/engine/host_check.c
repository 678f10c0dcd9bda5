/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/reachable.h"

/* "godwit host check": everything that a move between two hosts needs. Agents try it for real;
 * without them the controller tells what it can find out by itself. */

#define CHECK_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define TRIAL_S 120
#define AGENT_LINES_MAX 200

typedef struct {
    Call *call;
    char *host_id, *peer_id; /* the peer: NULL where the host is checked alone */
    GPtrArray *lines;
    guint outstanding;
} HostCheck;

static void add(GPtrArray *lines, const char *name, const char *host_id, GwCheckOutcome outcome,
                const char *required, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(7, 8);

static void add(GPtrArray *lines, const char *name, const char *host_id, GwCheckOutcome outcome,
                const char *required, const char *remedy, const char *format, ...)
{
    GwCheckLine *line = gw_check_line_new();
    va_list args;

    va_start(args, format);
    line->observed = g_strdup_vprintf(format, args);
    va_end(args);
    line->name = g_strdup(name);
    line->host_id = g_strdup(host_id);
    line->outcome = (int)outcome;
    line->required = g_strdup(required);
    line->remedy = outcome != GW_CHECK_OK ? g_strdup(remedy) : NULL;
    g_ptr_array_add(lines, line);
}

/* What the picture says ---------------------------------------------------------------------- */

static void check_status(GPtrArray *lines, const GwHost *host)
{
    gboolean there = host->status == GW_HOST_OK || host->status == GW_HOST_OK_LIMITED;

    add(lines, "reachable", host->id, there ? GW_CHECK_OK : GW_CHECK_FAILED,
        "the controller has a connection to it",
        host->status_remedy != NULL ? host->status_remedy : "Look at it: godwit host show.",
        "%s%s%s", gw_enum_word(&gw_host_status_enum, host->status),
        host->status_reason != NULL ? ": " : "",
        host->status_reason != NULL ? host->status_reason : "");
    add(lines, "live-migration", host->id,
        host->live_migration_enabled ? GW_CHECK_OK : GW_CHECK_FAILED, "live moves are allowed",
        "Allow them: godwit host set HOST --live-migration yes.", "%s",
        host->live_migration_enabled ? "allowed" : "not allowed");
}

static void check_slots(GPtrArray *lines, const GwFabric *fabric, const GwHost *host)
{
    GwSlots used = gw_slots_in_use(fabric, host->id);
    GwCheckOutcome outcome = host->live_limit == 0           ? GW_CHECK_FAILED
                             : used.live >= host->live_limit ? GW_CHECK_WARNING
                                                             : GW_CHECK_OK;

    add(lines, "slots", host->id, outcome, "a free slot for a live move",
        outcome == GW_CHECK_FAILED ? "Raise the limit: godwit host set HOST --live-limit N."
                                   : "Wait, or raise the limit: godwit host set HOST --live-limit "
                                     "N.",
        "%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " in use", used.live, host->live_limit);
}

static void check_versions(GPtrArray *lines, const GwHost *host, const GwHost *peer)
{
    const GwHostFacts *a = host->facts, *b = peer->facts;

    if (a == NULL || b == NULL)
        return;
    gboolean older = b->qemu_version / 1000000 < a->qemu_version / 1000000;
    add(lines, "versions", peer->id, older ? GW_CHECK_WARNING : GW_CHECK_OK,
        "QEMU there is not older than here", "Update QEMU there before VMs move to it.",
        "QEMU %" G_GINT64_FORMAT ".%" G_GINT64_FORMAT " here, %" G_GINT64_FORMAT
        ".%" G_GINT64_FORMAT " there",
        a->qemu_version / 1000000, a->qemu_version / 1000 % 1000, b->qemu_version / 1000000,
        b->qemu_version / 1000 % 1000);
    gboolean same = g_strcmp0(a->arch, b->arch) == 0;
    add(lines, "architecture", peer->id, same ? GW_CHECK_OK : GW_CHECK_FAILED,
        "both hosts have the same", "Choose a host of the same architecture.", "%s here, %s there",
        a->arch != NULL ? a->arch : "unknown", b->arch != NULL ? b->arch : "unknown");
}

static gboolean shows(const GwHost *host, const char *share_id)
{
    const GPtrArray *pools = host->facts != NULL ? host->facts->pools : NULL;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (pool->active && g_strcmp0(pool->share_id, share_id) == 0)
            return TRUE;
    }
    return FALSE;
}

static void check_storage(GPtrArray *lines, const GwHost *host, const GwHost *peer)
{
    const GPtrArray *pools = host->facts != NULL ? host->facts->pools : NULL;
    g_autoptr(GString) both = g_string_new(NULL);

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (pool->active && pool->share_id != NULL && shows(peer, pool->share_id))
            g_string_append_printf(both, "%s%s", both->len > 0 ? ", " : "", pool->name);
    }
    add(lines, "shared-storage", peer->id, both->len > 0 ? GW_CHECK_OK : GW_CHECK_WARNING,
        "a pool that both hosts see, for moves that copy no disks",
        "Mount the same storage on both, or declare it: godwit share add NAME HOST:POOL "
        "HOST:POOL. Without it disks are copied.",
        "%s", both->len > 0 ? both->str : "none");
}

static gboolean is_member(const GwShare *share, const char *host_id)
{
    return gw_record_find(&gw_share_member_record, share->members, "host_id", host_id) != NULL;
}

static void check_shares(GPtrArray *lines, const GwFabric *fabric, const GwHost *host,
                         const GwHost *peer)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->shares);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwShare *share = value;
        if (!is_member(share, host->id) || !is_member(share, peer->id))
            continue;
        add(lines, "share-proved", peer->id,
            !share->proved         ? GW_CHECK_FAILED
            : !share->locks_proved ? GW_CHECK_WARNING
                                   : GW_CHECK_OK,
            "what is written through one host is read through the other, and locks hold between "
            "them",
            "Prove it again: godwit share prove NAME. Without locks moves commit by resume.",
            "share '%s': %s%s%s", share->name,
            !share->proved         ? "not proved"
            : !share->locks_proved ? "proved, but its locks are not"
                                   : "proved with its locks",
            share->reason != NULL ? ": " : "", share->reason != NULL ? share->reason : "");
    }
}

static void check_agents(GPtrArray *lines, const GwHost *host, const GwHost *peer)
{
    gboolean here = gw_host_has_agent(host), there = peer == NULL || gw_host_has_agent(peer);
    const GwHost *without = !here ? host : peer;

    if (here && there)
        return;
    add(lines, "agent", without->id, GW_CHECK_WARNING,
        "an agent on each host: encrypted moves over one port, that end well without the "
        "controller",
        "Install it: godwit host add NAME --install.", "no agent on '%s'", without->name);
}

static void check_picture(HostCheck *check, const GwFabric *fabric, const GwHost *host,
                          const GwHost *peer)
{
    const GwHost *both[] = { host, peer };

    for (guint i = 0; i < G_N_ELEMENTS(both) && both[i] != NULL; i++) {
        check_status(check->lines, both[i]);
        check_slots(check->lines, fabric, both[i]);
    }
    check_agents(check->lines, host, peer);
    if (peer == NULL)
        return;
    check_versions(check->lines, host, peer);
    check_storage(check->lines, host, peer);
    check_shares(check->lines, fabric, host, peer);
}

/* What hosts are asked --------------------------------------------------------------------- */

static void host_check_free(HostCheck *check)
{
    g_free(check->host_id);
    g_free(check->peer_id);
    g_ptr_array_unref(check->lines);
    g_free(check);
}

static void one_less(HostCheck *check)
{
    if (--check->outstanding > 0)
        return;
    gw_engine_answer(check->call, g_ptr_array_ref(check->lines), NULL);
    host_check_free(check);
}

static void agent_checked(GwEngine *engine, const GwReply *reply, const char *host_id,
                          gint64 number)
{
    HostCheck *check = GSIZE_TO_POINTER((gsize)number);

    (void)engine;
    if (reply->error != NULL) {
        const char *remedy = gw_error_remedy(reply->error);
        add(check->lines, "agent", host_id, GW_CHECK_FAILED, "its agent tries what a move needs",
            remedy != NULL ? remedy : "Look at its log: journalctl -u godwit-agent.", "%s",
            reply->error->message);
    }
    for (guint i = 0; reply->lines != NULL && i < MIN(reply->lines->len, AGENT_LINES_MAX); i++) {
        GwCheckLine *line = gw_check_line_copy(reply->lines->pdata[i]);
        if (line->host_id == NULL)
            line->host_id = g_strdup(host_id);
        g_ptr_array_add(check->lines, line);
    }
    one_less(check);
}

static void ask_agent(GwEngine *engine, HostCheck *check, const GwHost *host, const GwHost *other,
                      const GwPermit *permit)
{
    GwRequest *request = gw_request_new(GW_OP_CHECK, host->id, NULL);

    request->text = other != NULL ? g_strdup(other->id) : NULL;
    request->permit = permit != NULL ? gw_permit_copy(permit) : NULL;
    request->timeout_us = CHECK_TIMEOUT_US;
    check->outstanding++;
    gw_engine_ask(engine, request, agent_checked, host->id, (gint64)GPOINTER_TO_SIZE(check));
}

/* Leave for a trial: echo and measuring streams for a VM that there is not. */
static GwPermit *trial_permit(GwEngine *engine, const HostCheck *check)
{
    GwPermit *permit = g_new0(GwPermit, 1);

    permit->job_id = gw_engine_new_id(engine);
    permit->vm_uuid = g_uuid_string_random();
    permit->vm_name = g_strdup("godwit-check");
    permit->epoch = 1;
    permit->source_host_id = g_strdup(check->host_id);
    permit->destination_host_id = g_strdup(check->peer_id);
    permit->lifetime_s = TRIAL_S;
    permit->trial = TRUE;
    return permit;
}

static void ask_agents(GwEngine *engine, HostCheck *check, const GwHost *host, const GwHost *peer)
{
    gboolean pair = peer != NULL && gw_host_has_agent(host) && gw_host_has_agent(peer);

    if (pair) {
        g_autoptr(GwPermit) permit = trial_permit(engine, check);
        ask_agent(engine, check, host, peer, permit);
        ask_agent(engine, check, peer, host, permit);
        return;
    }
    if (gw_host_has_agent(host))
        ask_agent(engine, check, host, NULL, NULL);
    if (peer != NULL && gw_host_has_agent(peer))
        ask_agent(engine, check, peer, NULL, NULL);
}

static void cpu_compared(GwEngine *engine, const GwReply *reply, const char *peer_id, gint64 number)
{
    HostCheck *check = GSIZE_TO_POINTER((gsize)number);
    GwCheckOutcome outcome =
        reply->error != NULL || !reply->verdict ? GW_CHECK_WARNING : GW_CHECK_OK;

    (void)engine;
    add(check->lines, "cpu", peer_id, outcome,
        "the CPU there has all that the CPU here has, so that any VM can move",
        "Give VMs a CPU model that both hosts have; those with one move nevertheless.", "%s",
        reply->error != NULL  ? reply->error->message
        : reply->verdict      ? "it has"
        : reply->text != NULL ? reply->text
                              : "it has not");
    one_less(check);
}

static void ask_cpu(GwEngine *engine, HostCheck *check, const GwHost *host, const GwHost *peer)
{
    if (peer == NULL || host->facts == NULL || host->facts->cpu_xml == NULL)
        return;
    GwRequest *request = gw_request_new(GW_OP_CPU_COMPARE, peer->id, NULL);
    request->text = g_strdup(host->facts->cpu_xml);
    request->timeout_us = CHECK_TIMEOUT_US;
    check->outstanding++;
    gw_engine_ask(engine, request, cpu_compared, peer->id, (gint64)GPOINTER_TO_SIZE(check));
}

static void refuse_itself(Call *call, const GwHost *host)
{
    GError *error = NULL;

    gw_error_set(&error, GW_ERR_INVALID, "Name another host, or none.",
                 "'%s' would be checked against itself", host->name);
    gw_engine_answer(call, NULL, error);
}

static void call_check(GwEngine *engine, Call *call)
{
    const GwHost *host = gw_call_find_host(engine, call, call->in[0]);
    const GwHost *peer = NULL;

    if (host == NULL)
        return;
    if (call->in[1] != NULL) {
        peer = gw_call_find_host(engine, call, call->in[1]);
        if (peer == NULL)
            return;
        if (peer == host) {
            refuse_itself(call, host);
            return;
        }
    }
    HostCheck *check = g_new0(HostCheck, 1);
    check->call = call;
    check->host_id = g_strdup(host->id);
    check->peer_id = peer != NULL ? g_strdup(peer->id) : NULL;
    check->lines = gw_record_array(&gw_check_line_record);
    check->outstanding = 1;
    check_picture(check, gw_engine_now(engine), host, peer);
    ask_cpu(engine, check, host, peer);
    ask_agents(engine, check, host, peer);
    one_less(check);
}

/* What the caller's thread tries ------------------------------------------------------------- */

/* Names are looked up and ports knocked at here, where waiting holds nobody up. */
static void check_address(GPtrArray *lines, const GwHost *host)
{
    g_autofree char *own = gw_host_uri_address(host->uri);
    const char *address = host->migration_address != NULL && *host->migration_address != '\0'
                              ? host->migration_address
                              : own;
    g_autoptr(GError) error = NULL;
    g_autofree char *found = address != NULL ? gw_reachable_resolve(address, &error) : NULL;

    if (address == NULL) {
        add(lines, "migration-address", host->id, GW_CHECK_FAILED, "other hosts can address it",
            "Give it a URI with an address, or godwit host set HOST --migration-address ADDRESS.",
            "its URI has no address");
        return;
    }
    add(lines, "migration-address", host->id, found != NULL ? GW_CHECK_OK : GW_CHECK_FAILED,
        "the address of its migration data can be looked up",
        "Correct the name service, or set an IP address: godwit host set HOST "
        "--migration-address ADDRESS.",
        "%s: %s", address, found != NULL ? found : error->message);
}

static void check_listener(GPtrArray *lines, const GwHost *host)
{
    g_autofree char *uri = gw_host_peer_uri(host);
    g_autofree char *address = uri != NULL ? gw_host_uri_address(uri) : NULL;
    guint16 port = uri != NULL ? gw_reachable_port_of_uri(uri) : 0;
    g_autoptr(GError) error = NULL;

    if (address == NULL || port == 0) {
        add(lines, "libvirt-listener", host->id, GW_CHECK_WARNING,
            "other hosts' libvirt can reach its libvirt",
            "Set one: godwit host set HOST --peer-uri URI; or install the agent. Without it the "
            "controller must live as long as a move.",
            "no URI for other hosts");
        return;
    }
    gboolean open = gw_reachable_connect(address, port, &error);
    add(lines, "libvirt-listener", host->id, open ? GW_CHECK_OK : GW_CHECK_WARNING,
        "other hosts' libvirt can reach its libvirt (tried from the controller)",
        "Start what listens there, open the port, or install the agent: godwit host add NAME "
        "--install.",
        "port %u of %s: %s", port, address, open ? "open" : error->message);
}

static void check_outside(GPtrArray *lines, const GwFabric *fabric, const char *which)
{
    const GwHost *host = which != NULL ? gw_fabric_find_host(fabric, which) : NULL;

    if (host == NULL || gw_host_has_agent(host))
        return;
    check_address(lines, host);
    check_listener(lines, host);
}

GPtrArray *gw_engine_check_host(GwEngine *engine, const char *host, const char *peer,
                                GError **error)
{
    GPtrArray *lines = gw_engine_call(engine, call_check, host, peer, NULL, NULL, error);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);

    if (lines == NULL)
        return NULL;
    check_outside(lines, fabric, host);
    check_outside(lines, fabric, peer);
    return lines;
}
