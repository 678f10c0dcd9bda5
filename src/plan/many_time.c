/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"
#include "plan/predict.h"
#include "plan/rule.h"

/* How long one move takes by itself, and what no order can beat. */

#define FIXED_MS 1500 /* preflight, the start of the destination, the commit */
#define MIB 1048576.0
#define ENDLESS_NAMED 3

static double bandwidth_bps(const Many *many, guint from, guint to)
{
    gint64 limits[] = { many->request->options != NULL ? many->request->options->bandwidth_mibps
                                                       : 0,
                        many_host(many, from)->host->bandwidth_mibps,
                        many_host(many, to)->host->bandwidth_mibps };
    double least = 0;

    for (guint i = 0; i < G_N_ELEMENTS(limits); i++) {
        double bps = (double)limits[i] * MIB;
        if (bps > 0 && (least <= 0 || bps < least))
            least = bps;
    }
    return least;
}

/* Predictions know the paths by moves that were made; the fastest of them shows what a host's link
 * can do at least, and all that run at one time share that. */
static void learn_link(ManyHost *host, double link_bps)
{
    host->link_bps = host->predicted ? MAX(host->link_bps, link_bps) : link_bps;
    host->predicted = TRUE;
}

/* What a drain would hang on is said before it begins, with what to choose (R59, R66). */
static void note_endless(Many *many, const ManyStep *step, const GwPrediction *prediction)
{
    const char *name = gw_plan_vm_name(many_vm(many, step->vm)->vm);

    if (!many->trying && prediction->converges == (int)GW_CONVERGES_NO &&
        many->endless++ < ENDLESS_NAMED)
        many_note(many, "%s is not predicted to arrive. %s", name,
                  prediction->remedy != NULL ? prediction->remedy : "");
}

static void by_prediction(Many *many, ManyStep *step, const GwPrediction *prediction,
                          const GwPredictedPath *path)
{
    double link = (double)MAX(prediction->link_bps, 1);
    double ms = MAX((double)prediction->total_ms->likely, 1);

    step->bytes = (double)MAX(prediction->bytes->likely, 0);
    step->fixed_ms = MAX(ms - step->bytes / link * 1000, 1);
    step->cap_bps = step->cap_bps > 0 ? MIN(step->cap_bps, link) : link;
    step->low = MIN((double)prediction->total_ms->low / ms, 1);
    step->high = MAX((double)prediction->total_ms->high / ms, 1);
    if (prediction->downtime_ms != NULL)
        step->downtime_ms = MAX(prediction->downtime_ms->likely, 0);
    step->converges = prediction->converges;
    note_endless(many, step, prediction);
    if (path->link == GW_LINK_GUESSED && step->bytes > 0)
        step->guessed_bps = path->bps;
    learn_link(many_host(many, step->from), MAX(path->bps, 1));
    learn_link(many_host(many, step->to), MAX(path->bps, 1));
}

/* Nothing is known but sizes: between half of it, where memory is empty, and twice. */
static void by_size(Many *many, ManyStep *step)
{
    const ManyVm *item = many_vm(many, step->vm);

    step->bytes = (double)many_copy_bytes(many, step->vm, step->from, step->to);
    if (gw_plan_is_live(item->vm))
        step->bytes += (double)item->memory_kib * 1024;
    step->fixed_ms = FIXED_MS;
    step->low = 0.5;
    step->high = 2;
}

static GwPrediction *predict(const Many *many, const ManyStep *step, GwPredictedPath *path)
{
    const GwMatrixCell *cell = many_cell(many, step->vm, step->from, step->to);
    GwPlanInput input = { .fabric = many->fabric,
                          .vm = many_vm_at(many, step->vm, step->from),
                          .source = many_host(many, step->from)->host,
                          .destination = many_host(many, step->to)->host,
                          .options = many->request->options,
                          .shared = gw_matrix_shared(many->matrix) };

    return gw_predict_alone(many->predictor, &input, cell->candidate, path);
}

char *many_doubt(const Many *many, const ManyStep *step)
{
    if (many->predictor == NULL || step->converges != (int)GW_CONVERGES_NO)
        return NULL;
    GwPredictedPath path;
    g_autoptr(GwPrediction) prediction = predict(many, step, &path);
    return g_strdup(prediction->remedy != NULL ? prediction->remedy
                                               : "Move it when it writes less.");
}

void many_estimate(Many *many, ManyStep *step)
{
    const GwMatrixCell *cell = many_cell(many, step->vm, step->from, step->to);

    step->takes = gw_slots_of_transfer((GwTransfer)cell->candidate->transfer);
    step->cap_bps = bandwidth_bps(many, step->from, step->to);
    step->guessed_bps = 0;
    by_size(many, step);
    if (many->predictor == NULL)
        return;
    GwPredictedPath path;
    g_autoptr(GwPrediction) prediction = predict(many, step, &path);
    if (prediction->total_ms != NULL && prediction->bytes != NULL)
        by_prediction(many, step, prediction, &path);
}

gint64 many_lower_bound(const Many *many)
{
    g_autofree double *out = g_new0(double, MAX(many->hosts->len, 1));
    g_autofree double *in = g_new0(double, MAX(many->hosts->len, 1));
    double bytes = 0, capacity = 0, bound = 0;

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        double link =
            MIN(many_host(many, step->from)->link_bps, many_host(many, step->to)->link_bps);
        if (step->cap_bps > 0)
            link = MIN(link, step->cap_bps);
        bound = MAX(bound, step->fixed_ms + step->bytes / link * 1000);
        out[step->from] += step->bytes;
        in[step->to] += step->bytes;
        bytes += step->bytes;
    }
    for (guint h = 0; h < many->hosts->len; h++) {
        double link = many_host(many, h)->link_bps;
        bound = MAX(bound, MAX(out[h], in[h]) / link * 1000);
        capacity += many_host(many, h)->allowed ? link : 0;
    }
    if (capacity > 0)
        bound = MAX(bound, bytes / capacity * 1000);
    return many_ms(bound);
}
