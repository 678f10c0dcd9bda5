/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "base/text.h"
#include "engine/inventory.h"
#include "engine/jobs_internal.h"

/* Shares: a directory declared shared is proved so (R2). A marker with a fresh number is written
 * through the first member and must be read through every other; then the marker's write lock is
 * taken through the first and must be refused through every other. Both are facts of that moment:
 * "share-prove" can be run again at any time. */

typedef enum { WRITE, READ, LOCK, LOCK_REFUSED, CLEAN, STEP_COUNT } ProofStep;

typedef struct {
    GwEngine *engine;
    GwJob *job;
    GwShare *share; /* as it will be when the proof is done */
    char *marker;
    gint64 number;
    ProofStep step;
    guint member; /* being asked */
} Proof;

static void proof_free(Proof *proof)
{
    gw_job_free(proof->job);
    gw_share_free(proof->share);
    g_free(proof->marker);
    g_free(proof);
}

static const GwShareMember *member(const Proof *proof, guint index)
{
    return proof->share->members->pdata[index];
}

/* Ending ----------------------------------------------------------------------------------- */

static void put_job(GwEngine *engine, const GwJob *job, GwBatch *batch, const char *why)
{
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, gw_clock_wall_us(engine->clock),
                     gw_enum_word(&gw_job_state_enum, job->state), "proof", why);
    gw_jobs_show(engine, job);
}

static void put_share(GwEngine *engine, const GwShare *share, GwBatch *batch)
{
    gw_batch_put(batch, GW_KIND_SHARE, share->id, gw_record_to_json(&gw_share_record, share));
    gw_fabric_put_share(gw_engine_change(engine), gw_share_copy(share));
    gw_engine_tell(engine, "share", share->id, NULL);
    gw_inventory_derive_shares(engine);
}

static void say(Proof *proof, const char *phase, guint percent)
{
    GwJob *job = proof->job;

    gw_progress_free(job->progress);
    job->progress = gw_progress_new();
    job->progress->phase = g_strdup(phase);
    job->progress->percent = percent;
    job->progress->converging = TRUE;
    gw_jobs_show(proof->engine, job);
}

static void end(Proof *proof)
{
    GwEngine *engine = proof->engine;
    GwShare *share = proof->share;
    GwBatch *batch = gw_batch_new();

    if (g_hash_table_contains(gw_engine_now(engine)->shares, share->id)) {
        g_free(share->proved_at);
        share->proved_at = gw_engine_rfc3339(engine);
        put_share(engine, share, batch);
    }
    proof->job->state = share->proved ? GW_JOB_DONE : GW_JOB_FAILED;
    if (!share->proved) {
        proof->job->error = gw_job_error_new();
        proof->job->error->code = g_strdup("operation-failed");
        proof->job->error->message = g_strdup(share->reason);
        proof->job->error->remedy =
            g_strdup("Mount the same file system under the pool's path on every host, start the "
                     "pools, then: godwit share prove.");
    }
    say(proof, share->proved ? "done" : "failed", share->proved ? 100 : 0);
    proof->job->finished_at = gw_engine_rfc3339(engine);
    put_job(engine, proof->job, batch,
            !share->proved        ? share->reason
            : share->locks_proved ? "shared, and its locks hold between hosts"
                                  : "shared; its locks do not hold between hosts");
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
    proof_free(proof);
}

/* Steps ------------------------------------------------------------------------------------ */

static void next_step(Proof *proof);

static void clean_came(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Proof *proof = GSIZE_TO_POINTER((gsize)number);

    (void)engine;
    (void)key;
    if (reply->error != NULL)
        g_warning("share '%s': marker '%s' may be left behind: %s", proof->share->name,
                  proof->marker, reply->error->message);
    end(proof);
}

static void go(Proof *proof, ProofStep step, guint first_member)
{
    proof->step = step;
    proof->member = first_member;
    next_step(proof);
}

static void disproved(Proof *proof, char *reason)
{
    proof->share->proved = FALSE;
    proof->share->locks_proved = FALSE;
    g_free(proof->share->reason);
    proof->share->reason = reason;
    go(proof, CLEAN, 0);
}

static void locks_unproved(Proof *proof, char *reason)
{
    proof->share->locks_proved = FALSE;
    g_free(proof->share->reason);
    proof->share->reason = reason;
    go(proof, CLEAN, 0);
}

static void judge_read(Proof *proof, const GwReply *reply, const char *host)
{
    if (reply->error != NULL)
        disproved(proof, g_strdup_printf("reading the marker through %s: %s", host,
                                         reply->error->message));
    else if (!reply->verdict)
        disproved(proof, g_strdup_printf(
                             "a marker written through %s is not seen through %s: these "
                             "are different storage",
                             gw_engine_host_name(proof->engine, member(proof, 0)->host_id), host));
    else if (proof->member + 1 < proof->share->members->len)
        go(proof, READ, proof->member + 1);
    else {
        proof->share->proved = TRUE;
        go(proof, LOCK, 0);
    }
}

static void judge_lock(Proof *proof, const GwReply *reply, const char *host)
{
    gboolean first = proof->step == LOCK;

    if (reply->error != NULL)
        locks_unproved(proof, g_strdup_printf("locks could not be tried through %s: %s", host,
                                              reply->error->message));
    else if (first && !reply->verdict)
        locks_unproved(proof, g_strdup_printf("no lock could be taken through %s", host));
    else if (!first && reply->verdict)
        locks_unproved(proof, g_strdup_printf("a disk locked through another host could be locked "
                                              "through %s as well",
                                              host));
    else if (proof->member + 1 < proof->share->members->len)
        go(proof, LOCK_REFUSED, proof->member + 1);
    else {
        proof->share->locks_proved = TRUE;
        go(proof, CLEAN, 0);
    }
}

static void step_came(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Proof *proof = GSIZE_TO_POINTER((gsize)number);
    const char *host = gw_engine_host_name(engine, member(proof, proof->member)->host_id);

    (void)key;
    switch (proof->step) {
    case WRITE:
        if (reply->error != NULL)
            disproved(proof, g_strdup_printf("writing a marker through %s: %s", host,
                                             reply->error->message));
        else
            go(proof, READ, 1);
        break;
    case READ:
        judge_read(proof, reply, host);
        break;
    case LOCK:
    case LOCK_REFUSED:
        judge_lock(proof, reply, host);
        break;
    case CLEAN:
    case STEP_COUNT:
        break;
    }
}

static void ask_member(Proof *proof, GwOp op, guint index, ReplyFn done)
{
    const GwShareMember *asked = member(proof, index);
    GwRequest *request = gw_request_new(op, asked->host_id, NULL);

    request->text = g_strdup(asked->pool);
    request->text2 = g_strdup(proof->marker);
    request->number = proof->number;
    gw_engine_ask(proof->engine, request, done, NULL, (gint64)GPOINTER_TO_SIZE(proof));
}

static void next_step(Proof *proof)
{
    static const struct {
        GwOp op;
        const char *phase;
        guint percent;
    } steps[STEP_COUNT] = {
        [WRITE] = { GW_OP_MARKER_WRITE, "writing a marker", 10 },
        [READ] = { GW_OP_MARKER_READ, "reading it through the others", 30 },
        [LOCK] = { GW_OP_LOCK_HOLD, "taking a lock", 50 },
        [LOCK_REFUSED] = { GW_OP_LOCK_HOLD, "trying the lock through the others", 70 },
        [CLEAN] = { GW_OP_MARKER_REMOVE, "cleaning up", 90 },
    };
    say(proof, steps[proof->step].phase, steps[proof->step].percent);
    if (proof->step != CLEAN) {
        ask_member(proof, steps[proof->step].op, proof->member, step_came);
        return;
    }
    for (guint i = 0; i < proof->share->members->len; i++)
        ask_member(proof, GW_OP_LOCK_DROP, i, NULL);
    ask_member(proof, GW_OP_MARKER_REMOVE, 0, clean_came);
}

static void begin(GwEngine *engine, gpointer data)
{
    Proof *proof = data;
    proof->job->state = GW_JOB_COPYING;
    go(proof, WRITE, 0);
    (void)engine;
}

/* Calls ------------------------------------------------------------------------------------ */

static GwJob *proof_job(GwEngine *engine, const GwShare *share, const char *user)
{
    GwJob *job = gw_jobs_new(engine, GW_JOB_KIND_PROVE, user);

    job->title = g_strdup_printf("Prove that '%s' is shared", share->name);
    job->started_at = gw_engine_rfc3339(engine);
    return job;
}

static gpointer started(GwEngine *engine, gpointer data)
{
    Proof *proof = data;
    GwJob *job = gw_job_copy(proof->job);

    gw_fabric_put_share(gw_engine_change(engine), gw_share_copy(proof->share));
    gw_engine_tell(engine, "share", proof->share->id, NULL);
    begin(engine, proof);
    return job;
}

static void not_started(GwEngine *engine, gpointer proof)
{
    (void)engine;
    proof_free(proof);
}

static const CallCommit start_commit = {
    .what = "the share",
    .done = started,
    .failed = not_started,
};

/* Takes @share. */
static void start_proof(GwEngine *engine, Call *call, GwShare *share, const char *user)
{
    Proof *proof = g_new0(Proof, 1);
    GwBatch *batch = gw_batch_new();

    g_clear_pointer(&share->reason, g_free);
    share->proved = share->locks_proved = FALSE;
    proof->engine = engine;
    proof->share = share;
    proof->job = proof_job(engine, share, user);
    proof->number = (gint64)g_random_int() << 20 | g_random_int_range(0, 1 << 20);
    proof->marker = g_strdup_printf("godwit-proof-%s.raw", proof->job->id);
    gw_batch_put(batch, GW_KIND_SHARE, share->id, gw_record_to_json(&gw_share_record, share));
    gw_batch_put(batch, GW_KIND_JOB, proof->job->id, gw_record_to_json(&gw_job_record, proof->job));
    gw_call_commit(engine, call, batch, &start_commit, proof);
}

static const GwPool *pool_of(const GwHost *host, const char *name)
{
    return host->facts != NULL ? gw_record_find(&gw_pool_record, host->facts->pools, "name", name)
                               : NULL;
}

/* Members may name hosts by name; they are stored by id. */
static gboolean check_members(GwEngine *engine, GwShare *share, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    if (share->members == NULL || share->members->len < 2) {
        gw_error_set(error, GW_ERR_INVALID, "Name HOST:POOL for each host that sees it.",
                     "a share needs at least two members");
        return FALSE;
    }
    for (guint i = 0; i < share->members->len; i++) {
        GwShareMember *m = share->members->pdata[i];
        const GwHost *host = gw_fabric_find_host(gw_engine_now(engine), m->host_id);
        if (host == NULL || pool_of(host, m->pool) == NULL) {
            gw_error_set(error, GW_ERR_NOT_FOUND, "Look at the host's pools: godwit host show.",
                         host == NULL ? "no host '%s'" : "host '%s' has no pool '%s'", m->host_id,
                         m->pool);
            return FALSE;
        }
        if (!g_hash_table_add(seen, host->id)) {
            gw_error_set(error, GW_ERR_INVALID, "Name each host once.", "host '%s' is named twice",
                         host->name);
            return FALSE;
        }
        g_free(m->host_id);
        m->host_id = g_strdup(host->id);
    }
    return TRUE;
}

static void call_add_share(GwEngine *engine, Call *call)
{
    GwShare *share = gw_share_copy(call->in[0]);
    GError *error = NULL;

    g_free(share->id);
    share->id = gw_engine_new_id(engine);
    if (gw_text_check_name("the share's name", share->name, &error) &&
        gw_fabric_find_share(gw_engine_now(engine), share->name) != NULL)
        gw_error_set(&error, GW_ERR_CONFLICT, "Choose another name, or prove that one again.",
                     "a share '%s' exists already", share->name);
    if (error != NULL || !check_members(engine, share, &error)) {
        gw_share_free(share);
        gw_engine_answer(call, NULL, error);
        return;
    }
    start_proof(engine, call, share, call->in[1]);
}

static const GwShare *find_share(GwEngine *engine, Call *call)
{
    const GwShare *share = gw_fabric_find_share(gw_engine_now(engine), call->in[0]);
    GError *error = NULL;

    if (share != NULL)
        return share;
    gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit share list.", "no share '%s'",
                 (const char *)call->in[0]);
    gw_engine_answer(call, NULL, error);
    return NULL;
}

static void call_prove_share(GwEngine *engine, Call *call)
{
    const GwShare *share = find_share(engine, call);
    if (share != NULL)
        start_proof(engine, call, gw_share_copy(share), call->in[1]);
}

/* Answers with the id: anything but NULL is success. */
static gpointer removed(GwEngine *engine, gpointer id)
{
    gw_fabric_remove_share(gw_engine_change(engine), id);
    gw_engine_tell(engine, "share", id, NULL);
    gw_inventory_derive_shares(engine);
    return g_strdup(id);
}

static const CallCommit removal_commit = { .done = removed, .free = g_free };

static void call_remove_share(GwEngine *engine, Call *call)
{
    const GwShare *share = find_share(engine, call);
    if (share == NULL)
        return;

    GwBatch *batch = gw_batch_new();
    gw_batch_remove(batch, GW_KIND_SHARE, share->id);
    gw_call_commit(engine, call, batch, &removal_commit, g_strdup(share->id));
}

GwJob *gw_engine_add_share(GwEngine *engine, const GwShare *share, const char *user, GError **error)
{
    return gw_engine_call(engine, call_add_share, share, user, NULL, NULL, error);
}

GwJob *gw_engine_prove_share(GwEngine *engine, const char *id, const char *user, GError **error)
{
    return gw_engine_call(engine, call_prove_share, id, user, NULL, NULL, error);
}

gboolean gw_engine_remove_share(GwEngine *engine, const char *id, GError **error)
{
    g_autofree char *gone = gw_engine_call(engine, call_remove_share, id, NULL, NULL, NULL, error);
    return gone != NULL;
}

/* A proof is a matter of seconds: one that a restart cut off is not continued but said to be cut
 * off. Its marker is found by name if it was left. */
void gw_shares_restore(GwEngine *engine, GwJob *job)
{
    GwBatch *batch = gw_batch_new();

    job->state = GW_JOB_FAILED;
    job->error = gw_job_error_new();
    job->error->code = g_strdup("operation-failed");
    job->error->message = g_strdup("the controller restarted during the proof");
    job->error->remedy = g_strdup("Prove it again: godwit share prove.");
    job->finished_at = gw_engine_rfc3339(engine);
    put_job(engine, job, batch, "restart");
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
    gw_job_free(job);
}
