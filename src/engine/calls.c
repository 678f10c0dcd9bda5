/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/records_internal.h"

/* Calls of other threads, which wait for the loop's answer; and what many of them do: look
 * something up, make a change durable. */

#define CALL_TIMEOUT_US (40 * G_USEC_PER_SEC)

static void call_unref(Call *call)
{
    if (!g_atomic_int_dec_and_test(&call->refs))
        return;
    g_clear_error(&call->error);
    g_mutex_clear(&call->lock);
    g_cond_clear(&call->cond);
    g_free(call);
}

void gw_engine_answer(Call *call, gpointer result, GError *error)
{
    call->result = result;
    call->error = error;
    g_ptr_array_add(call->engine->answered, call);
}

void gw_calls_deliver(GwEngine *engine)
{
    for (guint i = 0; i < engine->answered->len; i++) {
        Call *call = engine->answered->pdata[i];
        if (call->over != NULL)
            call->over(engine, g_steal_pointer(&call->result), call->error, call->user);
        g_mutex_lock(&call->lock);
        call->done = TRUE;
        g_cond_signal(&call->cond);
        g_mutex_unlock(&call->lock);
        call_unref(call);
    }
    g_ptr_array_set_size(engine->answered, 0);
}

static void run_call(GwEngine *engine, gpointer data)
{
    Call *call = data;
    call->fn(engine, call);
}

static void wait_for_call(GwEngine *engine, Call *call)
{
    if (engine->loop == NULL) {
        gint64 until = gw_clock_now_us(engine->clock) + CALL_TIMEOUT_US;
        while (!call->done && gw_clock_now_us(engine->clock) < until) {
            gint64 before = gw_clock_now_us(engine->clock);
            if (!gw_engine_turn(engine, until - before) && gw_clock_now_us(engine->clock) == before)
                break;
        }
        return;
    }
    /* The deadlines of what the loop asks hosts are shorter than this one. */
    g_mutex_lock(&call->lock);
    while (!call->done)
        g_cond_wait(&call->cond, &call->lock);
    g_mutex_unlock(&call->lock);
}

static void run_call_in_turn(GwEngine *engine, gpointer data)
{
    gw_records_in_turn(engine, run_call, data);
}

/* Frees @call when both sides are through. */
static gpointer take_answer(Call *call, gpointer *extra, GError **error)
{
    gpointer result = g_steal_pointer(&call->result);

    if (call->error != NULL)
        g_propagate_error(error, g_steal_pointer(&call->error));
    if (extra != NULL)
        *extra = call->extra;
    call_unref(call);
    return result;
}

static Call *new_call(GwEngine *engine, CallFn fn, gconstpointer a, gconstpointer b,
                      gconstpointer c)
{
    Call *call = g_new0(Call, 1);

    g_mutex_init(&call->lock);
    g_cond_init(&call->cond);
    call->refs = 2;
    call->engine = engine;
    call->fn = fn;
    call->in[0] = a;
    call->in[1] = b;
    call->in[2] = c;
    return call;
}

gpointer gw_engine_call(GwEngine *engine, CallFn fn, gconstpointer a, gconstpointer b,
                        gconstpointer c, gpointer *extra, GError **error)
{
    Call *call = new_call(engine, fn, a, b, c);

    gw_engine_post(engine, run_call, call);
    wait_for_call(engine, call);
    return take_answer(call, extra, error);
}

gpointer gw_engine_call_in_turn(GwEngine *engine, CallFn fn, gconstpointer a, gconstpointer b,
                                GError **error)
{
    Call *call = new_call(engine, fn, a, b, NULL);

    gw_engine_post(engine, run_call_in_turn, call);
    wait_for_call(engine, call);
    return take_answer(call, NULL, error);
}

void gw_call_from_loop(GwEngine *engine, CallFn fn, gconstpointer a, CallOver over, gpointer user)
{
    Call *call = g_new0(Call, 1);

    g_mutex_init(&call->lock);
    g_cond_init(&call->cond);
    call->refs = 1; /* nobody waits for it */
    call->engine = engine;
    call->in[0] = a;
    call->over = over;
    call->user = user;
    fn(engine, call);
}

/* What many of them do --------------------------------------------------------------------- */

const GwHost *gw_engine_find_host(GwEngine *engine, const char *which, GError **error)
{
    const GwHost *host = which != NULL ? gw_fabric_find_host(gw_engine_now(engine), which) : NULL;

    if (host == NULL)
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'",
                     which != NULL ? which : "");
    return host;
}

const GwHost *gw_call_find_host(GwEngine *engine, Call *call, const char *which)
{
    GError *error = NULL;
    const GwHost *host = gw_engine_find_host(engine, which, &error);

    if (host == NULL)
        gw_engine_answer(call, NULL, error);
    return host;
}

GError *gw_engine_store_error(GwEngine *engine, const char *what)
{
    GError *error = NULL;

    gw_error_set(&error, GW_ERR_STORE,
                 "Free space under the controller's database, then try again.",
                 "%s cannot be recorded: %s", what, engine->store_trouble);
    return error;
}

/* What waits for the journal. */
typedef struct {
    const CallCommit *commit;
    Call *call;
    gpointer data;
} Committing;

static void end(Committing *committing, gpointer result, GError *error)
{
    if (committing->call != NULL && (result != NULL || error != NULL))
        gw_engine_answer(committing->call, result, error);
    else
        g_clear_error(&error);
    if (committing->commit->free != NULL)
        committing->commit->free(committing->data);
    g_free(committing);
}

static void committed(GwEngine *engine, gpointer data)
{
    Committing *committing = data;
    end(committing, committing->commit->done(engine, committing->data), NULL);
}

static void not_committed(GwEngine *engine, gpointer data)
{
    Committing *committing = data;
    const CallCommit *commit = committing->commit;

    if (commit->failed != NULL)
        commit->failed(engine, committing->data);
    end(committing, NULL,
        gw_engine_store_error(engine, commit->what != NULL ? commit->what : "the change"));
}

void gw_call_commit(GwEngine *engine, Call *call, GwBatch *batch, const CallCommit *commit,
                    gpointer data)
{
    Committing *committing = g_new0(Committing, 1);

    committing->commit = commit;
    committing->call = call;
    committing->data = data;
    gw_engine_journal(engine, batch, committed, not_committed, committing);
}
