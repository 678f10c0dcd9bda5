/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* The certificates of agents: made, renewed before they end, and revoked when their host goes. The
 * serials that are revoked are told to every agent, when it is connected and when they change. */

#define DAY_S 86400
#define LOOK_US (G_GINT64_CONSTANT(86400) * G_USEC_PER_SEC)
#define RETRY_US (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)
#define KEPT_S (2 * DAY_S) /* after the end: clocks differ */

static gint64 now_s(GwEngine *engine)
{
    return gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC;
}

char *gw_certificates_date(gint64 wall_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(wall_s);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

/* What there is ---------------------------------------------------------------------------- */

static gboolean load_one(const char *id, json_t *body, gpointer user, GError **error)
{
    GwEngine *engine = user;
    GwIssued *issued = gw_record_from_stored(&gw_issued_record, body, error);

    if (issued != NULL)
        g_hash_table_replace(engine->certificates, g_strdup(id), issued);
    return issued != NULL;
}

/* What a host's record says of its certificate follows from these rows: a renewal need not write
 * the record, and cannot undo a change of it that is on its way. */
static void note_last(GwEngine *engine, const GwHost *known)
{
    const GwIssued *last = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->certificates);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwIssued *issued = value;
        if (strcmp(issued->host_id, known->id) == 0 && issued->revoked_s == 0 &&
            (last == NULL || issued->issued_s > last->issued_s))
            last = issued;
    }
    if (last == NULL)
        return;
    GwHost *host = gw_host_copy(known);
    gw_certificates_note(host, last);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

gboolean gw_certificates_load(GwEngine *engine, GError **error)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(gw_engine_now(engine));

    if (!gw_store_each(engine->store, GW_KIND_CERTIFICATE, load_one, engine, error))
        return FALSE;
    for (guint i = 0; i < hosts->len; i++)
        note_last(engine, hosts->pdata[i]);
    return TRUE;
}

/* One that has ended is refused by everybody anyway. */
static void forget_ended(GwEngine *engine, GwBatch *batch)
{
    GHashTableIter iter;
    gpointer serial, value;

    g_hash_table_iter_init(&iter, engine->certificates);
    while (g_hash_table_iter_next(&iter, &serial, &value)) {
        if (((GwIssued *)value)->expires_s + KEPT_S > now_s(engine))
            continue;
        gw_batch_remove(batch, GW_KIND_CERTIFICATE, serial);
        g_hash_table_iter_remove(&iter);
    }
}

char *gw_certificates_issue(GwEngine *engine, const char *request, const char *host_id,
                            GwIssued **issued, GError **error)
{
    g_autofree char *serial = NULL;
    gint64 now = now_s(engine);
    char *certificate = gw_authority_issue(engine->authority, request, host_id,
                                           GW_IDENTITY_HOST_DAYS, now, &serial, error);
    if (certificate == NULL)
        return NULL;
    *issued = gw_issued_new();
    (*issued)->serial = g_steal_pointer(&serial);
    (*issued)->host_id = g_strdup(host_id);
    (*issued)->issued_s = now;
    (*issued)->expires_s = now + (gint64)GW_IDENTITY_HOST_DAYS * DAY_S;
    return certificate;
}

void gw_certificates_note(GwHost *host, const GwIssued *issued)
{
    g_free(host->agent_certificate_serial);
    g_free(host->agent_certificate_expires_at);
    host->agent_certificate_serial = g_strdup(issued->serial);
    host->agent_certificate_expires_at = gw_certificates_date(issued->expires_s);
}

void gw_certificates_add(GwEngine *engine, GwIssued *issued)
{
    g_hash_table_replace(engine->certificates, g_strdup(issued->serial), issued);
}

/* Revoking --------------------------------------------------------------------------------- */

static gboolean is_good(const GwIssued *issued, const char *host_id)
{
    return issued->revoked_s == 0 && strcmp(issued->host_id, host_id) == 0;
}

static GwIssued *revoked_copy(GwEngine *engine, const GwIssued *issued, const char *reason)
{
    GwIssued *copy = gw_issued_copy(issued);

    copy->revoked_s = MAX(now_s(engine), 1);
    copy->reason = g_strdup(reason);
    return copy;
}

void gw_certificates_put_revoked(GwEngine *engine, GwBatch *batch, const char *host_id,
                                 const char *reason)
{
    GHashTableIter iter;
    gpointer serial, value;

    forget_ended(engine, batch);
    g_hash_table_iter_init(&iter, engine->certificates);
    while (g_hash_table_iter_next(&iter, &serial, &value)) {
        if (!is_good(value, host_id))
            continue;
        g_autoptr(GwIssued) copy = revoked_copy(engine, value, reason);
        gw_batch_put(batch, GW_KIND_CERTIFICATE, serial,
                     gw_record_to_json(&gw_issued_record, copy));
    }
}

static char *revoked_serials(GwEngine *engine)
{
    GString *lines = g_string_new(NULL);
    GHashTableIter iter;
    gpointer serial, value;

    g_hash_table_iter_init(&iter, engine->certificates);
    while (g_hash_table_iter_next(&iter, &serial, &value)) {
        if (((GwIssued *)value)->revoked_s != 0)
            g_string_append_printf(lines, "%s%s", lines->len > 0 ? "\n" : "", (char *)serial);
    }
    return g_string_free(lines, FALSE);
}

static void told(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    (void)engine;
    (void)unused;
    /* It hears all of them again when it is connected anew. */
    if (reply->error != NULL)
        g_warning("host %s was not told which certificates are revoked: %s", host_id,
                  reply->error->message);
}

static void tell_one(GwEngine *engine, const char *host_id, const char *serials)
{
    GwRequest *request = gw_request_new(GW_OP_REVOKED, host_id, NULL);

    request->text = g_strdup(serials);
    gw_engine_ask(engine, request, told, host_id, 0);
}

static gboolean has_agent(GwEngine *engine, const HostRun *run)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), run->id);
    return host != NULL && gw_host_has_agent(host);
}

static void tell_all(GwEngine *engine)
{
    g_autofree char *serials = revoked_serials(engine);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const HostRun *run = value;
        if (run->connected && has_agent(engine, run))
            tell_one(engine, run->id, serials);
    }
}

void gw_certificates_revoke(GwEngine *engine, const char *host_id, const char *reason)
{
    GHashTableIter iter;
    gpointer value;
    guint count = 0;

    g_hash_table_iter_init(&iter, engine->certificates);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (!is_good(value, host_id))
            continue;
        g_hash_table_iter_replace(&iter, revoked_copy(engine, value, reason));
        count++;
    }
    if (count > 0)
        tell_all(engine);
}

/* Renewing --------------------------------------------------------------------------------- */

static HostRun *find_run(GwEngine *engine, const char *host_id)
{
    return g_hash_table_lookup(engine->hosts, host_id);
}

/* When the agent's certificate ends: as the agent says, else as it was made; 0: not known. */
static gint64 end_of(const GwHost *host)
{
    const GwAgentFacts *agent = host->facts != NULL ? host->facts->agent : NULL;
    const char *text = agent != NULL && agent->certificate_expires_at != NULL
                           ? agent->certificate_expires_at
                           : host->agent_certificate_expires_at;
    g_autoptr(GDateTime) end = text != NULL ? g_date_time_new_from_iso8601(text, NULL) : NULL;

    return end != NULL ? g_date_time_to_unix(end) : 0;
}

static void renewal_over(GwEngine *engine, HostRun *run, const GError *why)
{
    gint64 now = gw_clock_now_us(engine->clock);

    run->renewing = FALSE;
    run->renew_us = now + (why != NULL ? RETRY_US : LOOK_US);
    gw_inventory_due(engine, run->renew_us);
    g_free(run->renew_trouble);
    run->renew_trouble = why != NULL ? g_strdup(why->message) : NULL;
    if (why == NULL)
        gw_inventory_ask_facts(engine, run->id);
    gw_inventory_show_up(engine, run->id);
}

static void installed(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    HostRun *run = find_run(engine, host_id);

    (void)unused;
    if (run != NULL && run->renewing)
        renewal_over(engine, run, reply->error);
}

/* A certificate on its way through the journal: before it is handed out, it is written down. */
typedef struct {
    GwIssued *issued;
    char *certificate;
} Renewal;

static void renewal_free(Renewal *renewal)
{
    gw_issued_free(renewal->issued);
    g_free(renewal->certificate);
    g_free(renewal);
}

static void written_down(GwEngine *engine, gpointer data)
{
    Renewal *renewal = data;
    const GwHost *now = gw_fabric_host(gw_engine_now(engine), renewal->issued->host_id);
    HostRun *run = find_run(engine, renewal->issued->host_id);

    /* The host may have been removed meanwhile; then this one is revoked as all of its others. */
    if (now == NULL || run == NULL) {
        g_autofree char *id = g_strdup(renewal->issued->host_id);
        GwBatch *batch = gw_batch_new();
        gw_certificates_add(engine, g_steal_pointer(&renewal->issued));
        gw_certificates_put_revoked(engine, batch, id, "the host was removed");
        gw_engine_journal(engine, batch, NULL, NULL, NULL);
        gw_certificates_revoke(engine, id, "the host was removed");
        renewal_free(renewal);
        return;
    }
    GwHost *host = gw_host_copy(now);
    gw_certificates_note(host, renewal->issued);
    gw_fabric_put_host(gw_engine_change(engine), host);
    gw_engine_tell(engine, "host", host->id, NULL);
    gw_certificates_add(engine, g_steal_pointer(&renewal->issued));
    GwRequest *request = gw_request_new(GW_OP_RENEW, run->id, NULL);
    request->text = g_strdup(renewal->certificate);
    gw_engine_ask(engine, request, installed, run->id, 0);
    renewal_free(renewal);
}

static void not_written_down(GwEngine *engine, gpointer data)
{
    Renewal *renewal = data;
    HostRun *run = find_run(engine, renewal->issued->host_id);
    g_autoptr(GError) error = gw_engine_store_error(engine, "the change");

    if (run != NULL)
        renewal_over(engine, run, error);
    renewal_free(renewal);
}

static void requested(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    HostRun *run = find_run(engine, host_id);
    g_autoptr(GError) error = reply->error != NULL ? g_error_copy(reply->error) : NULL;

    (void)unused;
    if (run == NULL || !run->renewing)
        return;
    Renewal *renewal = g_new0(Renewal, 1);
    if (error == NULL && reply->text != NULL)
        renewal->certificate =
            gw_certificates_issue(engine, reply->text, host_id, &renewal->issued, &error);
    else if (error == NULL)
        gw_error_set(&error, GW_ERR_OPERATION, "Update the agent.", "it sent no request");
    if (renewal->certificate == NULL) {
        renewal_over(engine, run, error);
        renewal_free(renewal);
        return;
    }
    GwBatch *batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_CERTIFICATE, renewal->issued->serial,
                 gw_record_to_json(&gw_issued_record, renewal->issued));
    gw_engine_journal(engine, batch, written_down, not_written_down, renewal);
}

static void look_at(GwEngine *engine, HostRun *run)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), run->id);
    gint64 end = host != NULL ? end_of(host) : 0;

    run->renew_us = gw_clock_now_us(engine->clock) + LOOK_US;
    gw_inventory_due(engine, run->renew_us);
    if (engine->authority == NULL || end == 0 ||
        end - now_s(engine) > (gint64)GW_IDENTITY_RENEW_DAYS * DAY_S)
        return;
    run->renewing = TRUE;
    gw_engine_ask(engine, gw_request_new(GW_OP_RENEW, run->id, NULL), requested, run->id, 0);
}

/* The driver takes them to heart whether or not the agent can be told yet. */
void gw_certificates_host_comes(GwEngine *engine, const HostRun *run)
{
    g_autofree char *serials = revoked_serials(engine);

    if (*serials == '\0' || !has_agent(engine, run))
        return;
    GwRequest *request = gw_request_new(GW_OP_REVOKED, run->id, NULL);
    request->text = g_steal_pointer(&serials);
    gw_engine_ask(engine, request, NULL, run->id, 0);
}

void gw_certificates_host_up(GwEngine *engine, HostRun *run)
{
    if (!has_agent(engine, run))
        return;
    g_autofree char *serials = revoked_serials(engine);
    tell_one(engine, run->id, serials);
    if (!run->renewing)
        look_at(engine, run);
}

char *gw_certificates_warning(GwEngine *engine, const HostRun *run, const GwHost *host)
{
    gint64 end = end_of(host);
    gint64 left = end - now_s(engine);

    if (end == 0 || left > (gint64)GW_IDENTITY_RENEW_DAYS * DAY_S ||
        (run->renew_trouble == NULL && left > (gint64)GW_IDENTITY_RENEW_DAYS / 2 * DAY_S))
        return NULL;
    g_autofree char *date = gw_certificates_date(end);
    return g_strdup_printf("its agent's certificate ends on %.10s and is not renewed yet%s%s", date,
                           run->renew_trouble != NULL ? ": " : "",
                           run->renew_trouble != NULL ? run->renew_trouble : "");
}

gint64 gw_certificates_next_us(const HostRun *run)
{
    return run->connected && !run->renewing ? run->renew_us : 0;
}

void gw_certificates_timers(GwEngine *engine, HostRun *run, gint64 now_us)
{
    gint64 due = gw_certificates_next_us(run);

    if (due != 0 && due <= now_us)
        look_at(engine, run);
}
