/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine_internal.h"

/* What moves would take (R66). What finished jobs teach is worked out once for as long as no other
 * has finished. */

struct GwPredictions {
    GwPredictor *predictor; /* NULL: none yet */
    guint done;             /* jobs that it could learn from, and the newest of them */
    char *newest;
};

GwPredictions *gw_predictions_new(void)
{
    return g_new0(GwPredictions, 1);
}

void gw_predictions_free(GwPredictions *predictions)
{
    if (predictions == NULL)
        return;
    gw_predictor_free(predictions->predictor);
    g_free(predictions->newest);
    g_free(predictions);
}

static guint count_done(const GwFabric *fabric, const char **newest)
{
    GHashTableIter iter;
    gpointer value;
    guint done = 0;

    *newest = NULL;
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->state != (int)GW_JOB_DONE)
            continue;
        done++;
        if (*newest == NULL || g_strcmp0(job->finished_at, *newest) > 0)
            *newest = job->finished_at;
    }
    return done;
}

/* By all jobs that have finished; borrowed, for this turn. */
static const GwPredictor *predictor_now(GwEngine *engine)
{
    GwPredictions *known = engine->predictions;
    const char *newest = NULL;
    guint done = count_done(gw_engine_now(engine), &newest);

    if (known->predictor != NULL && done == known->done && g_strcmp0(newest, known->newest) == 0)
        return known->predictor;
    gw_predictor_free(known->predictor);
    known->predictor = gw_predictor_new(gw_engine_now(engine));
    known->done = done;
    g_free(known->newest);
    known->newest = g_strdup(newest);
    return known->predictor;
}

static void add(const GwPredictor *predictor, const GwPlanInput *input, GwCandidate *candidate)
{
    if (!candidate->suitable || candidate->transfer == (int)GW_TRANSFER_NONE)
        return;
    gw_prediction_free(candidate->prediction);
    candidate->prediction = gw_predict(predictor, input, candidate);
}

void gw_predictions_add(GwEngine *engine, const GwPlanInput *input, GwCandidate *candidate)
{
    add(predictor_now(engine), input, candidate);
}

/* Any thread: over @fabric, and what its finished jobs teach. Of the first suitable ones, which a
 * ranking has in full. */
void gw_predictions_add_all(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                            const GPtrArray *candidates)
{
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    guint seen = 0;
    GwPlanInput input = { .fabric = fabric, .vm = vm, .options = options, .shared = shared };

    input.source = gw_fabric_host(fabric, vm->host_id);
    for (guint i = 0; i < candidates->len && seen < GW_TOLD_MAX; i++) {
        GwCandidate *candidate = candidates->pdata[i];
        input.destination = gw_fabric_host(fabric, candidate->host_id);
        if (input.source != NULL && input.destination != NULL)
            add(predictor, &input, candidate);
        seen += candidate->suitable ? 1 : 0;
    }
}

void gw_predictions_note(GwJob *job, const GwMovePlan *plan)
{
    gw_prediction_free(job->prediction);
    job->prediction = gw_prediction_copy(plan->candidate->prediction);
}
