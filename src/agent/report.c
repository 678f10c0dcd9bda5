/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "agent/facts.h"
#include "agent/warden_internal.h"
#include "base/error.h"
#include "model/host.h"
#include "wire/identity.h"

/* The controller's call "facts": libvirt's pools first, then the file systems in a thread of its
 * own (a dead network file system hangs who looks at it, and the loop carries commits), then the
 * front's counts. */

#define WARN_DAYS 14
#define WARN_CLOCK_S 60

typedef struct {
    GwWarden *warden;
    GwLoop *loop;
    guint64 id;
    GwAgentFacts *facts;
    char *sys_folder, *mountinfo;
    char **paths;
} Report;

static void free_report(Report *report)
{
    gw_agent_facts_free(report->facts);
    g_free(report->sys_folder);
    g_free(report->mountinfo);
    g_strfreev(report->paths);
    g_free(report);
}

/* Warnings ------------------------------------------------------------------------------------- */

static char *time_text(gint64 seconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

static void fill_certificate(const GwWarden *warden, GwAgentFacts *facts, GStrvBuilder *warnings)
{
    g_autoptr(GwPeer) own = gw_identity_read(warden->state->certificate_pem, NULL);

    if (own == NULL)
        return;
    facts->certificate_serial = g_strdup(own->serial);
    facts->certificate_expires_at = time_text(own->expires_s);
    gint64 days = (own->expires_s - gw_warden_now_s(warden)) / 86400;
    if (days < WARN_DAYS) {
        g_autofree char *text = g_strdup_printf(
            "the host's certificate ends in %" G_GINT64_FORMAT " days and was not renewed", days);
        g_strv_builder_add(warnings, text);
    }
}

static char **collect_warnings(GwWarden *warden, GwAgentFacts *facts)
{
    g_autoptr(GStrvBuilder) warnings = g_strv_builder_new();

    fill_certificate(warden, facts, warnings);
    if (ABS(warden->state->offset_s) > WARN_CLOCK_S) {
        g_autofree char *text = g_strdup_printf(
            "the host's clock is %" G_GINT64_FORMAT " s %s the controller's",
            ABS(warden->state->offset_s), warden->state->offset_s > 0 ? "behind" : "ahead of");
        g_strv_builder_add(warnings, text);
    }
    for (GList *each = warden->warnings.head; each != NULL; each = each->next)
        g_strv_builder_add(warnings, each->data);
    return g_strv_builder_end(warnings);
}

static GPtrArray *collect_links(const GwWarden *warden)
{
    GPtrArray *links = gw_record_array(&gw_link_facts_record);
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, warden->links);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwLinkFacts *link = gw_record_from_stored(&gw_link_facts_record, value, NULL);
        if (link != NULL)
            g_ptr_array_add(links, link);
    }
    return links;
}

/* Steps ---------------------------------------------------------------------------------------- */

static void counted(const json_t *result, int fd, const GError *error, gpointer user)
{
    Report *report = user;
    GwWarden *warden = report->warden;
    GwAgentFacts *facts = report->facts;

    if (fd >= 0)
        close(fd);
    if (error == NULL) {
        facts->sessions = json_integer_value(json_object_get(result, "sessions"));
        facts->streams = json_integer_value(json_object_get(result, "streams"));
        facts->resident_bytes = json_integer_value(json_object_get(result, "resident_bytes"));
    }
    facts->resident_bytes += gw_facts_resident("/proc", getpid());
    facts->warnings = collect_warnings(warden, facts);
    facts->links = collect_links(warden);
    gw_warden_answer(warden, report->id, gw_record_to_json(&gw_agent_facts_record, facts), -1,
                     NULL);
    free_report(report);
}

static void machine_read(gpointer user)
{
    Report *report = user;

    if (report->warden->ipc == NULL) { /* the agent has ended */
        free_report(report);
        return;
    }
    report->warden->reading_facts = FALSE;
    gw_warden_ask_front(report->warden, "counts", json_object(), -1, counted, report);
}

static gpointer read_machine(gpointer user)
{
    Report *report = user;

    report->facts->interfaces = gw_facts_interfaces(report->sys_folder);
    report->facts->file_systems =
        gw_facts_file_systems(report->mountinfo, (const char *const *)report->paths);
    gw_loop_post(report->loop, machine_read, report);
    return NULL;
}

static char **paths_of(const GwReply *reply)
{
    g_autoptr(GStrvBuilder) paths = g_strv_builder_new();
    const GPtrArray *pools =
        reply->error == NULL && reply->facts != NULL ? reply->facts->pools : NULL;

    g_strv_builder_add_many(paths, "/var/lib/libvirt", "/var/lib/libvirt/images", NULL);
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (pool->active && pool->target_path != NULL && pool->target_path[0] == '/' &&
            !g_str_has_prefix(pool->target_path, "/dev"))
            g_strv_builder_add(paths, pool->target_path);
    }
    return g_strv_builder_end(paths);
}

static void pools_known(const GwReply *reply, gpointer user)
{
    Report *report = user;

    if (report->warden->ipc == NULL) { /* the agent ends */
        report->warden->reading_facts = FALSE;
        free_report(report);
        return;
    }
    report->paths = paths_of(reply);
    g_thread_unref(g_thread_new("gw-facts", read_machine, report));
}

void gw_facts_call(GwWarden *warden, guint64 id)
{
    g_autoptr(GError) error = NULL;

    /* One at a time: where a file system hangs, threads must not pile up. */
    if (warden->reading_facts) {
        gw_error_set(&error, GW_ERR_TIMEOUT,
                     "Look for a network file system that does not answer (df hangs).",
                     "the host's file systems are still being read");
        gw_warden_answer(warden, id, NULL, -1, error);
        return;
    }
    Report *report = g_new0(Report, 1);
    *report = (Report){ .warden = warden, .loop = warden->loop, .id = id };
    report->facts = gw_agent_facts_new();
    report->facts->version = g_strdup(GW_VERSION);
    report->facts->wire_version = 1;
    report->facts->boot_id = gw_facts_boot_id(warden->paths.proc_folder);
    report->facts->clock_offset_ms = -warden->state->offset_s * 1000;
    report->sys_folder = g_strdup(warden->paths.sys_folder);
    report->mountinfo = g_build_filename(warden->paths.proc_folder, "self/mountinfo", NULL);
    warden->reading_facts = TRUE;
    gw_virt_ask(warden->virt, GW_OP_FACTS, NULL, 0, 4 * GW_WARDEN_LOOK_US, pools_known, report);
}
