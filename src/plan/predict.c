/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/predict.h"

#include <math.h>

#include "plan/precopy.h"
#include "plan/rule.h"
#include "plan/shared.h"

/* What a move would take (R66), as an interval: the model of learn.c with what is known of the VM,
 * and as wide as what is not known makes it. */

#define QUANTILE 1.2816 /* of a normal distribution: 10 % are beyond it, either way */
#define SAMPLE_S 2.0    /* how long what a VM dirties is sampled for */
#define FIGURE_MAX 1e15
#define EMULATOR_BYTES (24.0 * 1048576) /* of a VM's process that are not the guest's */
#define LITTLE 8 /* a guest that uses less than this part of its memory, or huge pages */

/* Spreads (of logarithms) that uncertain knowledge adds. */
#define SD_BESIDE 0.4 /* of what is beside the copy, where no move of that class was seen */
#define SD_PAIR 0.3
#define SD_DOUBT 0.15 /* of one move, for what the fit says of moves of another size */
#define SD_GUESSED 0.8
#define SD_FABRIC 0.5
#define SD_MEASURED 0.4
#define SD_USE_UNKNOWN 0.4
#define SD_DIRTY_UNKNOWN 0.35
#define SD_THROTTLED 0.2
#define SD_ENDLESS 0.7
#define SD_OTHERS 0.25
#define SD_DISKS_UNKNOWN 0.3

/* A controller finishes a move every few seconds, and asks of one link each time: what moves taught
 * is sorted by their hosts at once, and learned from when it is asked for. */
struct GwPredictor {
    GArray *taught;    /* GwTaught, the newest first */
    GHashTable *pairs; /* pair -> GArray of its part of those, whose texts these borrow */
    GHashTable *fits;  /* class, pair -> GwFit: what was asked for; of the fabric without a pair */
};

static void take_pair(GHashTable *pairs, const GwTaught *taught)
{
    GArray *own = g_hash_table_lookup(pairs, taught->pair);

    if (own == NULL) {
        own = g_array_new(FALSE, FALSE, sizeof(GwTaught));
        g_hash_table_insert(pairs, taught->pair, own);
    }
    g_array_append_val(own, *taught);
}

GwPredictor *gw_predictor_new(const GwFabric *fabric)
{
    GwPredictor *predictor = g_new0(GwPredictor, 1);

    predictor->taught = gw_taught_jobs(fabric);
    predictor->pairs =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
    predictor->fits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < predictor->taught->len; i++)
        take_pair(predictor->pairs, &g_array_index(predictor->taught, GwTaught, i));
    return predictor;
}

void gw_predictor_free(GwPredictor *predictor)
{
    if (predictor == NULL)
        return;
    g_hash_table_unref(predictor->fits);
    g_hash_table_unref(predictor->pairs);
    g_array_unref(predictor->taught);
    g_free(predictor);
}

static char *fit_key(GwMoveClass class, const char *pair)
{
    return g_strdup_printf("%d %s", (int)class, pair != NULL ? pair : "");
}

static const GwFit *learn(const GwPredictor *predictor, const GArray *taught, GwMoveClass class,
                          const char *pair, const GwFit *prior)
{
    GwFit fit = gw_fit_learn(taught, class, pair, prior);
    GwFit *kept = g_memdup2(&fit, sizeof fit);

    g_hash_table_insert(predictor->fits, fit_key(class, pair), kept);
    return kept;
}

static const GwFit *fabric_fit(const GwPredictor *predictor, GwMoveClass class)
{
    g_autofree char *key = fit_key(class, NULL);
    const GwFit *known = g_hash_table_lookup(predictor->fits, key);

    if (known != NULL)
        return known;
    GwFit prior = gw_fit_prior(class);
    return learn(predictor, predictor->taught, class, NULL, &prior);
}

static gboolean teaches(const GArray *taught, GwMoveClass class)
{
    for (guint i = 0; taught != NULL && i < taught->len; i++) {
        GwMoveClass other = g_array_index(taught, GwTaught, i).class;
        if (other == class || (gw_class_is_live(class) && gw_class_is_live(other)))
            return TRUE;
    }
    return FALSE;
}

/* NULL: none of their moves says anything of that class. */
static const GwFit *pair_fit(const GwPredictor *predictor, GwMoveClass class, const char *pair)
{
    const GArray *taught = g_hash_table_lookup(predictor->pairs, pair);
    g_autofree char *key = fit_key(class, pair);
    const GwFit *known = g_hash_table_lookup(predictor->fits, key);

    if (known != NULL || !teaches(taught, class))
        return known;
    GwFit prior = *fabric_fit(predictor, class);
    /* Those of the fabric scatter by their links as well, which these two hosts' own do not. */
    prior.total_sd = MIN(prior.total_sd, SD_PAIR);
    return learn(predictor, taught, class, pair, &prior);
}

double gw_predictor_link_bps(const GwPredictor *predictor)
{
    return 1 / fabric_fit(predictor, GW_CLASS_LIVE)->memory_s;
}

/* The link ----------------------------------------------------------------------------------- */

static gint64 measured_from(const GwHost *from, const GwHost *to)
{
    const GwAgentFacts *agent = gw_plan_facts(from)->agent;

    for (guint i = 0; agent != NULL && agent->links != NULL && i < agent->links->len; i++) {
        const GwLinkFacts *link = agent->links->pdata[i];
        if (g_strcmp0(link->host_id, to->id) == 0)
            return link->bytes_per_s;
    }
    return 0;
}

/* Measured from either end, once a day, gently: what moves showed since is better. */
static void take_measured(GwForecast *forecast)
{
    const GwPlanInput *input = forecast->input;
    gint64 bps = MAX(measured_from(input->source, input->destination),
                     measured_from(input->destination, input->source));

    if (bps <= 0 || gw_plan_is_within(input))
        return;
    forecast->link = GW_LINK_MEASURED;
    forecast->fit.memory_s = 1 / (double)bps;
    forecast->fit.disk_s = MAX(forecast->fit.disk_s, 1 / (double)bps);
}

static void find_fit(const GwPredictor *predictor, GwForecast *forecast)
{
    const GwPlanInput *input = forecast->input;
    g_autofree char *pair = gw_taught_pair(input->source->id, input->destination->id);
    const GwFit *own = pair_fit(predictor, forecast->class, pair);
    const GwFit *fabric = fabric_fit(predictor, forecast->class);

    forecast->fit = own != NULL ? *own : *fabric;
    forecast->fabric_moves = fabric->rate_moves;
    if (own == NULL) {
        forecast->fit.moves = forecast->fit.own_moves = forecast->fit.rate_moves = 0;
        forecast->fit.weight = 0;
    }
    forecast->link = forecast->fit.rate_moves > 0 ? GW_LINK_MOVES
                     : fabric->rate_moves > 0     ? GW_LINK_FABRIC
                                                  : GW_LINK_GUESSED;
    /* Their moves may all have been limited, and taught everything but the link. */
    if (forecast->link != GW_LINK_MOVES)
        take_measured(forecast);
}

/* Of all seconds. */
static double link_sd(const GwForecast *forecast, const GwModelled *said)
{
    const GwKnown *known = &forecast->known;
    double memory = MAX(said->bytes - known->disk_bytes, 0);

    switch (forecast->link) {
    case GW_LINK_MOVES:
        return SD_DOUBT * gw_fit_doubt(&forecast->fit, memory, known->disk_bytes, known->share) /
               MAX(said->seconds, 1e-3);
    case GW_LINK_FABRIC:
        return SD_FABRIC * said->copy_part;
    case GW_LINK_MEASURED:
        return SD_MEASURED * said->copy_part;
    case GW_LINK_GUESSED:
        break;
    }
    return SD_GUESSED * said->copy_part;
}

/* The VM ------------------------------------------------------------------------------------- */

static void know_memory(GwForecast *forecast)
{
    const GwVm *vm = forecast->input->vm;
    double all = (double)MAX(gw_plan_memory_kib(vm), 0) * 1024;
    gint64 used_kib = vm->usage != NULL ? vm->usage->memory_used_kib : -1;
    double used = (double)used_kib * 1024 - EMULATOR_BYTES;

    forecast->use_known = used_kib > 0;
    forecast->known.use_bytes = MIN(all, 1e18);
    if (forecast->use_known)
        forecast->known.use_bytes = CLAMP(used, MIN(all / 64, 16 * 1048576.0), all);
}

static void know_dirtying(GwForecast *forecast)
{
    const GwVmUsage *usage = forecast->input->vm->usage;
    gint64 found = usage != NULL ? usage->dirty_bps : -1;
    gboolean runs = gw_vm_is_running(forecast->input->vm);

    forecast->dirty_found = found;
    forecast->dirty_known = found >= 0 || !runs;
    forecast->known.dirty_bps = !runs ? 0 : -1;
    if (runs && found >= 0)
        forecast->known.dirty_bps =
            MIN(gw_precopy_unsaturate((double)found, forecast->known.use_bytes, SAMPLE_S), 1e15);
}

/* Of all its CPUs: QEMU slows all of them down alike. */
static void know_cpu(GwForecast *forecast)
{
    const GwVm *vm = forecast->input->vm;
    gboolean known = FALSE;
    double used = (double)gw_plan_cpu_permille(vm, &known);

    forecast->known.cpu = known ? CLAMP(used / 1000 / (double)MAX(vm->vcpus, 1), 0.001, 1) : -1;
}

static double capacity_of(const GwVm *vm, const char *target)
{
    const GwDisk *disk = gw_record_find(&gw_disk_record, vm->disks, "target", target);
    return disk != NULL ? (double)MAX(disk->capacity_bytes, 0) : 0;
}

/* What is to be copied was asked of the source, or (in a list, where nothing is) is as much as all
 * disks take of their storage. */
static void know_disks(GwForecast *forecast, const GwCandidate *candidate)
{
    const GwVm *vm = forecast->input->vm;
    gint64 allocated = vm->usage != NULL ? vm->usage->disk_allocated_bytes : -1;
    double told = 0, untold = 0;
    guint unknown = 0;

    for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        if (!gw_plan_is_copied(move))
            continue;
        told += (double)MAX(move->copy_bytes, 0);
        unknown += move->copy_bytes <= 0;
        untold += move->copy_bytes <= 0 ? capacity_of(vm, move->target) : 0;
    }
    forecast->disks_known = unknown == 0 || allocated >= 0;
    if (unknown > 0 && allocated >= 0)
        untold = MIN(untold > 0 ? untold : G_MAXDOUBLE, MAX((double)allocated - told, 0));
    forecast->known.disk_bytes = MIN(told + untold, 1e18);
}

/* Those that hold slots at either host now, this one's own job apart. */
static gint64 count_others(const GwPlanInput *input, int transfer)
{
    const GwJob *own =
        input->job_id != NULL ? g_hash_table_lookup(input->fabric->jobs, input->job_id) : NULL;
    GwSlots takes = gw_slots_of_transfer((GwTransfer)transfer);
    gboolean counted = own != NULL && own->state != (int)GW_JOB_QUEUED;
    gint64 mine = counted ? MAX(takes.live, takes.storage) : 0;
    gint64 here = MAX(input->source->live_in_use, input->source->storage_in_use);
    gint64 there = MAX(input->destination->live_in_use, input->destination->storage_in_use);

    return CLAMP(MAX(here, there) - mine, 0, 100);
}

static void know_options(GwForecast *forecast)
{
    const GwMoveDecision *decision = forecast->decision;
    GwKnown *known = &forecast->known;

    gw_taught_wire(decision->method_words, known->wire);
    known->sync_s = gw_taught_sync(forecast->input->source);
    known->limit_bps = (double)CLAMP(decision->bandwidth_mibps, 0, 1 << 30) * 1048576;
    known->downtime_s = decision->max_downtime_ms > 0
                            ? (double)MIN(decision->max_downtime_ms, 3600000) / 1000
                            : 0.3;
    known->auto_converge = decision->auto_converge;
    known->by_resume = decision->commit_by_resume;
    known->share = 1 + (double)forecast->others;
}

/* Intervals ---------------------------------------------------------------------------------- */

static gint64 whole(double value)
{
    return isfinite(value) ? (gint64)CLAMP(value, 0, FIGURE_MAX) : (gint64)FIGURE_MAX;
}

/* How far a figure may be off, as standard deviations of its logarithm. */
typedef struct {
    double down, up;
} Reach;

static double factor(double sd)
{
    return exp(QUANTILE * CLAMP(isfinite(sd) ? sd : 2, 0, 2));
}

static GwInterval *interval(double likely, Reach reach)
{
    GwInterval *made = gw_interval_new();

    made->low = whole(floor(likely / factor(reach.down)));
    made->likely = whole(likely);
    made->high = whole(ceil(likely * factor(reach.up)));
    return made;
}

static double square(double x)
{
    return x * x;
}

/* What is not known of the VM makes uncertain of the copy. */
static double vm_sd(const GwForecast *forecast, const GwModelled *said)
{
    const GwKnown *known = &forecast->known;
    double all = (double)MAX(gw_plan_memory_kib(forecast->input->vm), 0) * 1024;
    double sum = 0;

    if (gw_class_is_live(forecast->class)) {
        gboolean unsure = !forecast->use_known || known->use_bytes * LITTLE < all;
        sum += unsure ? square(SD_USE_UNKNOWN) : 0;
        sum += forecast->dirty_known ? 0 : square(SD_DIRTY_UNKNOWN);
        sum += said->throttle > 0 ? square(SD_THROTTLED) : 0;
        sum += said->converges ? 0 : square(SD_ENDLESS);
    }
    sum += forecast->disks_known ? 0 : square(SD_DISKS_UNKNOWN);
    return sqrt(sum);
}

static double seconds_sd(const GwForecast *forecast, const GwModelled *said)
{
    double copy = square(vm_sd(forecast, said)) + (forecast->others > 0 ? square(SD_OTHERS) : 0);
    double beside = square(SD_BESIDE / (1 + forecast->fit.own_moves));

    return sqrt(square(forecast->fit.total_sd) + square(link_sd(forecast, said)) +
                copy * square(said->copy_part) + beside * square(1 - said->copy_part));
}

static Reach reach(double sd, double likely, double least, double most)
{
    double down = log(MAX(likely, 1e-9) / CLAMP(least, 1e-9, MAX(likely, 1e-9)));
    double up = log(MAX(most, likely) / MAX(likely, 1e-9));

    return (Reach){ hypot(sd, down), hypot(sd, MAX(up, 0)) };
}

/* What the move takes if its guest dirties as little, and as much, as it well may. */
static void fill_intervals(const GwForecast *forecast, const GwModelled *said, GwPrediction *out)
{
    const GwFit *fit = &forecast->fit;
    const GwKnown *known = &forecast->known;
    gboolean live = gw_class_is_live(forecast->class);
    /* A slower link is to a guest as if it dirtied more. */
    double pace_sd = live ? hypot(gw_known_pace_sd(known), link_sd(forecast, said)) : 0;
    GwKnown slow = gw_known_at_pace(known, exp(-pace_sd));
    GwKnown fast = gw_known_at_pace(known, exp(pace_sd));
    GwModelled least = live ? gw_fit_apply(fit, forecast->class, &slow) : *said;
    GwModelled most = live ? gw_fit_apply(fit, forecast->class, &fast) : *said;
    double bytes_sd = live ? hypot(fit->wire_sd, vm_sd(forecast, said)) : vm_sd(forecast, said);

    out->total_ms = interval(said->seconds * 1000, reach(seconds_sd(forecast, said), said->seconds,
                                                         least.seconds, most.seconds));
    out->bytes = interval(
        said->bytes, reach(said->bytes > 0 ? bytes_sd : 0, said->bytes, least.bytes, most.bytes));
    if (said->downtime_s >= 0)
        out->downtime_ms =
            interval(said->downtime_s * 1000, (Reach){ fit->downtime_sd, fit->downtime_sd });
}

static int converges(const GwForecast *forecast, const GwModelled *said)
{
    if (!gw_class_is_live(forecast->class))
        return GW_CONVERGES_NOTHING;
    if (gw_forecast_is_too_long(forecast, said))
        return GW_CONVERGES_NO;
    if (!forecast->dirty_known)
        return GW_CONVERGES_UNKNOWN;
    if (!said->converges)
        return forecast->decision->post_copy ? GW_CONVERGES_THROTTLED : GW_CONVERGES_NO;
    return said->throttle > 0 ? GW_CONVERGES_THROTTLED : GW_CONVERGES_YES;
}

static double path_bps(const GwForecast *forecast)
{
    return 1 / (gw_class_is_live(forecast->class) ? forecast->fit.memory_s : forecast->fit.disk_s);
}

/* What the copy gets, of the wire. */
static double link_bps(const GwForecast *forecast)
{
    double bps = path_bps(forecast) / forecast->known.share;

    return forecast->known.limit_bps > 0 ? MIN(bps, forecast->known.limit_bps) : bps;
}

/* Beside @others that use the hosts. */
static GwPrediction *predict(const GwPredictor *predictor, const GwPlanInput *input,
                             const GwCandidate *candidate, gint64 others, GwPredictedPath *path)
{
    g_autoptr(GwMoveDecision) decision = gw_plan_decide(input);
    GwPrediction *out = gw_prediction_new();
    GwForecast forecast = { .input = input,
                            .decision = decision,
                            .class = gw_class_of(candidate->transfer, candidate->disks),
                            .others = others };

    find_fit(predictor, &forecast);
    know_options(&forecast);
    if (gw_class_is_live(forecast.class)) {
        know_memory(&forecast);
        know_dirtying(&forecast);
        know_cpu(&forecast);
    }
    know_disks(&forecast, candidate);
    GwModelled said = gw_fit_apply(&forecast.fit, forecast.class, &forecast.known);
    fill_intervals(&forecast, &said, out);
    out->converges = converges(&forecast, &said);
    out->link_bps = whole(link_bps(&forecast));
    out->dirty_bps = gw_class_is_live(forecast.class) && forecast.known.dirty_bps >= 0
                         ? whole(forecast.known.dirty_bps)
                         : -1;
    out->cpu_permille = whole(MAX(forecast.known.cpu, 0) * 1000);
    out->memory_bytes = whole(forecast.known.use_bytes);
    out->disk_bytes = whole(forecast.known.disk_bytes);
    out->samples = forecast.fit.moves;
    out->basis = gw_forecast_basis(&forecast, &said);
    out->remedy = gw_forecast_remedy(&forecast, &said);
    *path = (GwPredictedPath){ path_bps(&forecast), forecast.link };
    return out;
}

GwPrediction *gw_predict(const GwPredictor *predictor, const GwPlanInput *input,
                         const GwCandidate *candidate)
{
    GwPredictedPath path;

    return predict(predictor, input, candidate, count_others(input, candidate->transfer), &path);
}

GwPrediction *gw_predict_alone(const GwPredictor *predictor, const GwPlanInput *input,
                               const GwCandidate *candidate, GwPredictedPath *path)
{
    return predict(predictor, input, candidate, 0, path);
}
