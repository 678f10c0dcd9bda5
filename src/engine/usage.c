/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* What hosts and VMs use, read from each host about once a minute, for ratings (R33) and
 * predictions (R66). Figures never stand quite still: only those that changed noticeably make a new
 * picture, and none is told in the feed, which is for what happens. */

#define INTERVAL_US (60 * (gint64)G_USEC_PER_SEC)
#define FIRST_US (1 * (gint64)G_USEC_PER_SEC)  /* after a host came: it tells no rates yet */
#define SECOND_US (5 * (gint64)G_USEC_PER_SEC) /* at least this long after the first */
#define READ_TIMEOUT_US (30 * (gint64)G_USEC_PER_SEC)
#define NOTICEABLE 10 /* a tenth */

typedef struct {
    char *host_id;
    gint64 due_us;
    gint64 read_us; /* when it answered last */
    gboolean busy;  /* being read: not in the queue */
    guint reads;    /* since it came */
} Watched;

struct GwUsageWatch {
    gint64 interval_us; /* negative: nothing is read */
    GHashTable *hosts;  /* id -> Watched */
    GQueue queue;       /* Watched, by the time they are due; lent */
};

static void watched_free(gpointer data)
{
    Watched *watched = data;

    g_free(watched->host_id);
    g_free(watched);
}

GwUsageWatch *gw_usage_new(gint64 interval_us)
{
    GwUsageWatch *watch = g_new0(GwUsageWatch, 1);

    watch->interval_us = interval_us != 0 ? interval_us : INTERVAL_US;
    watch->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, watched_free);
    g_queue_init(&watch->queue);
    return watch;
}

void gw_usage_free(GwUsageWatch *watch)
{
    if (watch == NULL)
        return;
    g_queue_clear(&watch->queue);
    g_hash_table_unref(watch->hosts);
    g_free(watch);
}

/* Pictures --------------------------------------------------------------------------------- */

/* Below these a difference is noise, whatever part of the figure it is. */
typedef struct {
    const char *name;
    gint64 least;
} Figure;

static const Figure figures[] = {
    { "cpu_permille", 20 },     { "memory_used_kib", 8192 },
    { "disk_read_bps", 65536 }, { "disk_write_bps", 65536 },
    { "network_bps", 65536 },   { "disk_allocated_bytes", 16 * 1024 * 1024 },
};

static gint64 *figure_of(const GwRecord *record, gpointer usage, const char *name)
{
    for (const GwField *field = record->fields; field->name != NULL; field++) {
        if (strcmp(field->name, name) == 0)
            return (gint64 *)G_STRUCT_MEMBER_P(usage, field->offset);
    }
    return NULL;
}

static gboolean is_noticeable(gint64 before, gint64 now, gint64 least)
{
    if (before < 0 || now < 0)
        return before != now;
    gint64 difference = MAX(before, now) - MIN(before, now);
    return difference > least && difference > MAX(before, now) / NOTICEABLE;
}

/* A figure that could not be read this time (a job keeps the VM busy) stays what it was. TRUE: one
 * is noticeably different. @before may be NULL. */
static gboolean merge(const GwRecord *record, gpointer before, gpointer now)
{
    gboolean changed = FALSE;

    for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
        gint64 *fresh = figure_of(record, now, figures[i].name);
        const gint64 *old = before != NULL ? figure_of(record, before, figures[i].name) : NULL;
        if (fresh == NULL)
            continue;
        *fresh = *fresh < 0 && old != NULL ? *old : *fresh;
        changed = changed || is_noticeable(old != NULL ? *old : -1, *fresh, figures[i].least);
    }
    return changed;
}

static void put_vm_usage(GwEngine *engine, const GwVm *old, GwVmUsage *usage)
{
    GwVm *vm = gw_vm_copy(old);

    gw_vm_usage_free(vm->usage);
    vm->usage = usage;
    gw_fabric_put_vm(gw_engine_change(engine), vm);
}

static void take_vm(GwEngine *engine, const char *host_id, const GwVm *read)
{
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), host_id, read->uuid);

    if (vm == NULL || !gw_vm_is_active(vm) || read->usage == NULL)
        return;
    g_autoptr(GwVmUsage) usage = gw_vm_usage_copy(read->usage);
    if (!merge(&gw_vm_usage_record, vm->usage, usage))
        return;
    if (vm->usage != NULL) {
        usage->dirty_bps = vm->usage->dirty_bps;
        g_free(usage->dirty_sampled_at);
        usage->dirty_sampled_at = g_strdup(vm->usage->dirty_sampled_at);
    }
    g_free(usage->sampled_at);
    usage->sampled_at = gw_engine_rfc3339(engine);
    put_vm_usage(engine, vm, g_steal_pointer(&usage));
}

static void take_host(GwEngine *engine, const char *host_id, const GwHostUsage *read)
{
    const GwHost *known = gw_fabric_host(gw_engine_now(engine), host_id);

    if (known == NULL || known->facts == NULL || read == NULL)
        return;
    g_autoptr(GwHostUsage) usage = gw_host_usage_copy(read);
    if (!merge(&gw_host_usage_record, known->facts->usage, usage))
        return;
    g_free(usage->sampled_at);
    usage->sampled_at = gw_engine_rfc3339(engine);
    GwHost *host = gw_host_copy(known);
    gw_host_usage_free(host->facts->usage);
    host->facts->usage = g_steal_pointer(&usage);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

void gw_usage_put_dirty(GwEngine *engine, const char *host_id, const char *uuid, gint64 dirty_bps)
{
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), host_id, uuid);

    if (vm == NULL || !gw_vm_is_active(vm))
        return;
    GwVmUsage *usage = vm->usage != NULL ? gw_vm_usage_copy(vm->usage) : gw_vm_usage_new_unknown();
    usage->dirty_bps = dirty_bps;
    g_free(usage->dirty_sampled_at);
    usage->dirty_sampled_at = gw_engine_rfc3339(engine);
    put_vm_usage(engine, vm, usage);
}

/* Reading ---------------------------------------------------------------------------------- */

static int by_due(gconstpointer a, gconstpointer b, gpointer unused)
{
    gint64 left = ((const Watched *)a)->due_us, right = ((const Watched *)b)->due_us;
    return left < right ? -1 : left > right;
}

/* Whole seconds, so that a large fabric wakes the loop once a second and not once for each host. */
static void enqueue(GwEngine *engine, Watched *watched, gint64 span_us)
{
    gint64 due = gw_clock_now_us(engine->clock) + span_us;

    watched->due_us = due + (G_USEC_PER_SEC - due % G_USEC_PER_SEC) % G_USEC_PER_SEC;
    g_queue_insert_sorted(&engine->usage->queue, watched, by_due, NULL);
}

/* Hosts that came at one time are read at different ones from the second reading on. */
static gint64 span_to_next(const GwUsageWatch *watch, const Watched *watched)
{
    if (watched->reads > 1)
        return watch->interval_us;
    return SECOND_US + g_str_hash(watched->host_id) % MAX(watch->interval_us, 1);
}

static void usage_came(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    Watched *watched = g_hash_table_lookup(engine->usage->hosts, host_id);

    (void)unused;
    if (watched == NULL || !watched->busy)
        return;
    watched->busy = FALSE;
    watched->read_us = gw_clock_now_us(engine->clock);
    watched->reads++;
    enqueue(engine, watched, span_to_next(engine->usage, watched));
    if (reply->error != NULL) {
        g_debug("usage of %s: %s", host_id, reply->error->message);
        return;
    }
    take_host(engine, host_id, reply->usage);
    for (guint i = 0; reply->vms != NULL && i < reply->vms->len; i++)
        take_vm(engine, host_id, reply->vms->pdata[i]);
}

void gw_usage_host_up(GwEngine *engine, const char *host_id)
{
    GwUsageWatch *watch = engine->usage;
    Watched *watched = g_hash_table_lookup(watch->hosts, host_id);

    if (watch->interval_us < 0 || (watched != NULL && watched->busy))
        return;
    if (watched == NULL) {
        watched = g_new0(Watched, 1);
        watched->host_id = g_strdup(host_id);
        g_hash_table_insert(watch->hosts, watched->host_id, watched);
    }
    g_queue_remove(&watch->queue, watched);
    watched->reads = 0;
    enqueue(engine, watched, FIRST_US);
}

static void read_host(GwEngine *engine, Watched *watched)
{
    const HostRun *run = g_hash_table_lookup(engine->hosts, watched->host_id);

    if (run == NULL || !run->listed) { /* it counts anew when it comes back */
        g_hash_table_remove(engine->usage->hosts, watched->host_id);
        return;
    }
    GwRequest *request = gw_request_new(GW_OP_USAGE, watched->host_id, NULL);
    request->timeout_us = READ_TIMEOUT_US;
    watched->busy = TRUE;
    gw_engine_ask(engine, request, usage_came, watched->host_id, 0);
}

/* Rates of a moment are noise, so not twice within a few seconds. */
void gw_usage_read_now(GwEngine *engine, const char *host_id)
{
    Watched *watched = g_hash_table_lookup(engine->usage->hosts, host_id);

    if (watched == NULL || watched->busy)
        return;
    if (watched->reads > 0 && gw_clock_now_us(engine->clock) - watched->read_us < SECOND_US)
        return;
    g_queue_remove(&engine->usage->queue, watched);
    read_host(engine, watched);
}

gint64 gw_usage_next_us(GwEngine *engine)
{
    const Watched *first = g_queue_peek_head(&engine->usage->queue);
    return first != NULL ? first->due_us : 0;
}

void gw_usage_timers(GwEngine *engine, gint64 now_us)
{
    GQueue *queue = &engine->usage->queue;

    for (const Watched *first; (first = g_queue_peek_head(queue)) != NULL;) {
        if (first->due_us > now_us)
            return;
        read_host(engine, g_queue_pop_head(queue));
    }
}
