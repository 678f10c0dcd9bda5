/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* How much memory a VM dirties, sampled when a prediction is asked for (R66): for two seconds, or
 * for one where a move is about to begin, if the last sample is older than a minute, never while
 * the VM is copied, few at a time. What could not be sampled is unknown, and that is not asked
 * again for a minute either. What else the VM uses is read along with it. */

#define FRESH_S 60
#define SAMPLE_MS 2000
#define BRIEF_MS 1000 /* QEMU's shortest */
/* How long a move waits at most: the sample's second, and one more reading where QEMU is late. */
#define BRIEF_WAIT_US (1500 * (gint64)1000)
#define READ_AGAIN_US (300 * (gint64)1000)
#define READS_MAX 8
#define CALL_TIMEOUT_US (5 * (gint64)G_USEC_PER_SEC)
#define AT_ONCE 16
#define AT_ONCE_OF_HOST 2
/* Of those that nobody waits for: somebody who waits always finds room beside them. */
#define LATER_AT_ONCE (AT_ONCE / 2)
#define LATER_AT_ONCE_OF_HOST (AT_ONCE_OF_HOST - 1)
#define LATER_MAX 64 /* that wait for room: nobody waits for them */

typedef struct {
    char *key; /* "host/uuid" */
    char *host_id, *uuid;
    gint64 read_us; /* when to read it; 0: a request is under way */
    gint64 end_us;  /* when the sample will be there */
    gint64 span_ms;
    guint reads;
    GArray *waiting; /* Waiter */
} Sample;

typedef struct {
    GwSampled done;
    gpointer user;
    gint64 until_us; /* goes on then without it; 0: waits as long as it takes */
} Waiter;

static void sample_free(gpointer data)
{
    Sample *sample = data;

    g_free(sample->key);
    g_free(sample->host_id);
    g_free(sample->uuid);
    g_array_unref(sample->waiting);
    g_free(sample);
}

GHashTable *gw_dirty_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, sample_free);
}

static void begin_later(GwEngine *engine);

/* Takes it out first: who waited may ask for the next one. */
static void end(GwEngine *engine, Sample *sample)
{
    g_hash_table_steal(engine->dirty, sample->key);
    for (guint i = 0; i < sample->waiting->len; i++) {
        const Waiter *waiter = &g_array_index(sample->waiting, Waiter, i);
        waiter->done(engine, waiter->user);
    }
    sample_free(sample);
    begin_later(engine);
}

static void read_it(GwEngine *engine, Sample *sample);

/* Before a job prepares anything, its VM runs as it does without it. */
static gboolean is_copied(GwEngine *engine, const GwVm *vm)
{
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), vm->uuid);

    return vm->job_active ||
           (job != NULL && job->state != (int)GW_JOB_QUEUED && job->state != (int)GW_JOB_CHECKING);
}

/* A sample that came while a move began is of a guest that a copy works on. */
static gboolean is_moving(GwEngine *engine, const Sample *sample)
{
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), sample->host_id, sample->uuid);

    return vm == NULL || is_copied(engine, vm);
}

static void was_read(GwEngine *engine, const GwReply *reply, const char *key, gint64 unused)
{
    Sample *sample = g_hash_table_lookup(engine->dirty, key);
    gint64 now = gw_clock_now_us(engine->clock);

    (void)unused;
    if (sample == NULL)
        return;
    if (reply->error == NULL && reply->dirty_bps < 0 && ++sample->reads < READS_MAX) {
        sample->read_us = MAX(sample->end_us, now + READ_AGAIN_US);
        return;
    }
    if (!is_moving(engine, sample))
        gw_usage_put_dirty(engine, sample->host_id, sample->uuid,
                           reply->error == NULL ? reply->dirty_bps : -1);
    end(engine, sample);
}

/* Read at once: who knows it already says so. */
static void began(GwEngine *engine, const GwReply *reply, const char *key, gint64 unused)
{
    Sample *sample = g_hash_table_lookup(engine->dirty, key);

    (void)unused;
    if (sample == NULL)
        return;
    if (reply->error == NULL) {
        sample->end_us = gw_clock_now_us(engine->clock) + sample->span_ms * 1000;
        read_it(engine, sample);
        return;
    }
    g_debug("dirty rate of %s: %s", key, reply->error->message);
    if (!is_moving(engine, sample))
        gw_usage_put_dirty(engine, sample->host_id, sample->uuid, -1);
    end(engine, sample);
}

static void ask(GwEngine *engine, const Sample *sample, GwOp op, ReplyFn done)
{
    GwRequest *request = gw_request_new(op, sample->host_id, sample->uuid);

    request->number = sample->span_ms;
    request->timeout_us = CALL_TIMEOUT_US;
    gw_engine_ask(engine, request, done, sample->key, 0);
}

static void read_it(GwEngine *engine, Sample *sample)
{
    sample->read_us = 0;
    ask(engine, sample, GW_OP_DIRTY_READ, was_read);
}

/* When to sample ---------------------------------------------------------------------------- */

static gboolean is_fresh(GwEngine *engine, const GwVm *vm)
{
    const char *text = vm->usage != NULL ? vm->usage->dirty_sampled_at : NULL;
    g_autoptr(GDateTime) at = text != NULL ? g_date_time_new_from_iso8601(text, NULL) : NULL;
    gint64 now_s = gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC;

    if (at == NULL)
        return FALSE;
    gint64 age_s = now_s - g_date_time_to_unix(at);
    return age_s >= 0 && age_s <= FRESH_S;
}

static gboolean has_room(GwEngine *engine, const char *host_id, guint all_max, guint here_max)
{
    GHashTableIter iter;
    gpointer value;
    guint here = 0;

    g_hash_table_iter_init(&iter, engine->dirty);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        here += strcmp(((const Sample *)value)->host_id, host_id) == 0;
    return here < here_max && g_hash_table_size(engine->dirty) < all_max;
}

static gboolean is_wanted(GwEngine *engine, const GwVm *vm)
{
    const HostRun *run = g_hash_table_lookup(engine->hosts, vm->host_id);

    return engine->usage_wanted && run != NULL && run->listed && gw_vm_is_running(vm) &&
           !is_copied(engine, vm) && !is_fresh(engine, vm);
}

static Sample *begin(GwEngine *engine, const GwVm *vm, char *key_taken, gint64 span_ms)
{
    Sample *sample = g_new0(Sample, 1);

    sample->key = key_taken;
    sample->host_id = g_strdup(vm->host_id);
    sample->uuid = g_strdup(vm->uuid);
    sample->span_ms = span_ms;
    sample->waiting = g_array_new(FALSE, FALSE, sizeof(Waiter));
    g_hash_table_insert(engine->dirty, sample->key, sample);
    gw_usage_read_now(engine, vm->host_id); /* it is back before the sample is */
    ask(engine, sample, GW_OP_DIRTY_START, began);
    return sample;
}

/* It is sampled now. */
static void not_later(GwEngine *engine, const char *key)
{
    GList *there = g_queue_find_custom(engine->dirty_later, key, (GCompareFunc)strcmp);

    if (there == NULL)
        return;
    g_free(there->data);
    g_queue_delete_link(engine->dirty_later, there);
}

static void sample_for(GwEngine *engine, const GwVm *vm, gint64 span_ms, Waiter waiter)
{
    g_autofree char *key = g_strdup_printf("%s/%s", vm->host_id, vm->uuid);
    Sample *sample = g_hash_table_lookup(engine->dirty, key);

    if (sample == NULL && is_wanted(engine, vm) &&
        has_room(engine, vm->host_id, AT_ONCE, AT_ONCE_OF_HOST)) {
        not_later(engine, key);
        sample = begin(engine, vm, g_steal_pointer(&key), span_ms);
    }
    if (sample == NULL && waiter.done != NULL)
        waiter.done(engine, waiter.user);
    else if (waiter.done != NULL)
        g_array_append_val(sample->waiting, waiter);
}

void gw_dirty_sample(GwEngine *engine, const GwVm *vm, GwSampled done, gpointer user)
{
    sample_for(engine, vm, SAMPLE_MS, (Waiter){ done, user, 0 });
}

void gw_dirty_sample_briefly(GwEngine *engine, const GwVm *vm, GwSampled done, gpointer user)
{
    gint64 until_us = gw_clock_now_us(engine->clock) + BRIEF_WAIT_US;

    sample_for(engine, vm, BRIEF_MS, (Waiter){ done, user, until_us });
}

/* For who asks next --------------------------------------------------------------------------- */

static const GwVm *vm_of_key(GwEngine *engine, const char *key)
{
    g_auto(GStrv) ids = g_strsplit(key, "/", 2);
    return gw_fabric_vm(gw_engine_now(engine), ids[0], ids[1]);
}

/* The first that has room by now, taken out; what is no longer wanted is left out. Owned. */
static char *take_next(GwEngine *engine)
{
    GList *next = NULL;

    for (GList *item = engine->dirty_later->head; item != NULL; item = next) {
        char *key = item->data;
        const GwVm *vm = vm_of_key(engine, key);
        gboolean wanted =
            vm != NULL && is_wanted(engine, vm) && !g_hash_table_contains(engine->dirty, key);
        next = item->next;
        if (wanted && !has_room(engine, vm->host_id, LATER_AT_ONCE, LATER_AT_ONCE_OF_HOST))
            continue;
        g_queue_delete_link(engine->dirty_later, item);
        if (wanted)
            return key;
        g_free(key);
    }
    return NULL;
}

/* One that is refused at once ends as it begins, and lets others begin: the queue is looked at anew
 * each time. */
static void begin_later(GwEngine *engine)
{
    for (char *key = take_next(engine); key != NULL; key = take_next(engine))
        begin(engine, vm_of_key(engine, key), key, SAMPLE_MS);
}

void gw_dirty_sample_later(GwEngine *engine, const char *host_id, const char *uuid)
{
    g_autofree char *key = g_strdup_printf("%s/%s", host_id, uuid);
    GList *there = g_queue_find_custom(engine->dirty_later, key, (GCompareFunc)strcmp);

    if (there == NULL && g_queue_get_length(engine->dirty_later) < LATER_MAX)
        g_queue_push_tail(engine->dirty_later, g_steal_pointer(&key));
    begin_later(engine);
}

/* Timers -------------------------------------------------------------------------------------- */

static gint64 next_of(const Sample *sample)
{
    gint64 next = sample->read_us;

    for (guint i = 0; i < sample->waiting->len; i++)
        next = gw_earlier(next, g_array_index(sample->waiting, Waiter, i).until_us);
    return next;
}

gint64 gw_dirty_next_us(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;
    gint64 next = 0;

    g_hash_table_iter_init(&iter, engine->dirty);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        next = gw_earlier(next, next_of(value));
    }
    return next;
}

/* Who has waited long enough goes on; the sample may still come, for others. */
static void let_go(GwEngine *engine, Sample *sample, gint64 now_us)
{
    for (guint i = sample->waiting->len; i > 0; i--) {
        Waiter waiter = g_array_index(sample->waiting, Waiter, i - 1);
        if (waiter.until_us == 0 || waiter.until_us > now_us)
            continue;
        g_array_remove_index(sample->waiting, i - 1);
        waiter.done(engine, waiter.user);
    }
}

void gw_dirty_timers(GwEngine *engine, gint64 now_us)
{
    g_autoptr(GList) samples = g_hash_table_get_values(engine->dirty);

    /* None ends here: answers come as messages. Who is let go may begin another one. */
    for (GList *item = samples; item != NULL; item = item->next) {
        Sample *sample = item->data;
        if (sample->read_us != 0 && sample->read_us <= now_us)
            read_it(engine, sample);
        let_go(engine, sample, now_us);
    }
}

void gw_dirty_stop(GwEngine *engine)
{
    g_autoptr(GList) samples = g_hash_table_get_values(engine->dirty);

    g_queue_clear_full(engine->dirty_later, g_free);
    for (GList *item = samples; item != NULL; item = item->next)
        end(engine, item->data);
}
