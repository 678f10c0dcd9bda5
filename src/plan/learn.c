/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/learn.h"

#include <math.h>

#include "plan/precopy.h"

#define MIB 1048576.0
#define AGEING 0.96      /* what the next older move counts beside the one after it */
#define PRIOR_WEIGHT 1.0 /* of what is known beforehand, in moves */
#define SPREAD_WEIGHT 3.0
#define LOG_MAX 2.0      /* one odd move does not overturn the rest */
#define CHANGED 0.4      /* of the logarithm, twice in a row: the link is another one now */
#define CHANGE_MAX 8     /* moves after which it is none any more: older ones have aged */
#define DIRTY_GUESS 0.02 /* of the memory in use, each second, where it was not sampled */

GwFit gw_fit_prior(GwMoveClass class)
{
    GwFit fit = { .fixed_s = 1.0,
                  .setup_s = 0.2,
                  .memory_s = 1 / (110 * MIB), /* 1 Gbit/s */
                  .disk_s = 1 / (80 * MIB),
                  .downtime_s = { 0.06, 0.25 },
                  .wire_sd = 0.35,
                  .total_sd = 0.25,
                  .downtime_sd = 0.5 };

    if (gw_class_is_live(class)) {
        fit.fixed_s = class == GW_CLASS_LIVE ? 0.4 : class == GW_CLASS_VSM ? 0.6 : 2.0;
        fit.setup_s = 0.7;
    }
    if (class == GW_CLASS_FAST)
        fit.disk_s = 1 / (1024 * MIB);
    if (class == GW_CLASS_STORAGE)
        fit.disk_s = 1 / (150 * MIB);
    return fit;
}

/* The model ---------------------------------------------------------------------------------- */

static double guest_bps(const GwFit *fit, const GwKnown *known, double wire)
{
    double bps = 1 / (fit->memory_s * MAX(known->share, 1));

    if (known->limit_bps > 0)
        bps = MIN(bps, known->limit_bps);
    return bps / MAX(wire, 0.001);
}

static double disk_seconds(const GwFit *fit, const GwKnown *known)
{
    double each = fit->disk_s * MAX(known->share, 1);

    if (known->limit_bps > 0)
        each = MAX(each, 1 / known->limit_bps);
    return each * known->disk_bytes;
}

static GwPrecopy run_precopy(const GwFit *fit, const GwKnown *known, double wire)
{
    double dirty = known->dirty_bps >= 0 ? known->dirty_bps : known->use_bytes * DIRTY_GUESS;

    return gw_precopy_run(&(GwPrecopyInput){
        .memory_bytes = known->use_bytes,
        .dirty_bps = dirty,
        .guest_bps = guest_bps(fit, known, wire),
        .downtime_s = known->downtime_s,
        .auto_converge = known->auto_converge,
    });
}

GwModelled gw_fit_apply(const GwFit *fit, GwMoveClass class, const GwKnown *known)
{
    GwModelled out = { .downtime_s = -1, .converges = TRUE };
    double before = fit->fixed_s + fit->setup_s;
    double copy = disk_seconds(fit, known);

    out.bytes = known->disk_bytes;
    if (gw_class_is_live(class)) {
        double wire = known->wire * exp(fit->wire);
        GwPrecopy precopy = run_precopy(fit, known, wire);
        copy += precopy.seconds + precopy.last_s;
        out.bytes += precopy.bytes * wire;
        out.downtime_s = fit->downtime_s[known->by_resume ? 1 : 0] + precopy.last_s;
        out.converges = precopy.converges;
        out.throttle = precopy.throttle;
    }
    out.seconds = (before + copy) * exp(fit->total);
    out.copy_part = copy / MAX(before + copy, 1e-9);
    return out;
}

/* Learning ----------------------------------------------------------------------------------- */

typedef struct {
    const GwTaught *taught;
    double weight;
} Lesson;

typedef struct {
    GArray *lessons; /* Lesson, the newest first */
    GwMoveClass class;
    const GwFit *prior;
} Class;

static double log_ratio(double came, double said)
{
    return CLAMP(log(MAX(came, 1e-6) / MAX(said, 1e-6)), -LOG_MAX, LOG_MAX);
}

/* What the copy of a finished move takes by @fit. */
static double copy_seconds(const GwFit *fit, const GwTaught *t)
{
    return fit->setup_s +
           (fit->memory_s * t->memory_bytes + fit->disk_s * t->disk_bytes) * t->known.share;
}

/* Solves the symmetric @m x = @b of 3 by Gauss; m is well away from singular by its prior. */
static void solve(double m[3][3], const double b[3], double x[3])
{
    double a[3][4];

    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            a[i][k] = m[i][k];
        a[i][3] = b[i];
    }
    for (int i = 0; i < 3; i++) {
        for (int r = i + 1; r < 3; r++) {
            double factor = a[r][i] / a[i][i];
            for (int k = i; k < 4; k++)
                a[r][k] -= factor * a[i][k];
        }
    }
    for (int i = 2; i >= 0; i--) {
        x[i] = a[i][3];
        for (int k = i + 1; k < 3; k++)
            x[i] -= a[i][k] * x[k];
        x[i] /= a[i][i];
    }
}

/* One step of least squares of relative errors, in units of @scale, drawn towards the prior. */
static void fit_step(const Class *class, const double prior[3], double scale[3])
{
    double m[3][3] = { { 0 } }, b[3] = { 0 }, x[3] = { 0 };

    /* A rate may be anything; what a copy needs beside it may not be ten times what it was. */
    for (int k = 0; k < 3; k++) {
        double stiff = k == 0 ? scale[k] / prior[k] : 1;
        m[k][k] = (k == 0 ? 0.1 : 0.3) * PRIOR_WEIGHT * stiff * stiff;
        b[k] = m[k][k] * prior[k] / scale[k];
    }
    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (t->known.limit_bps > 0 || t->copy_s <= 0)
            continue; /* how fast it was is what a person chose */
        double row[3] = { scale[0], scale[1] * t->memory_bytes * t->known.share,
                          scale[2] * t->disk_bytes * t->known.share };
        double weight = lesson->weight / (t->copy_s * t->copy_s);
        for (int k = 0; k < 3; k++) {
            b[k] += weight * row[k] * t->copy_s;
            for (int l = 0; l < 3; l++)
                m[k][l] += weight * row[k] * row[l];
        }
    }
    solve(m, b, x);
    for (int k = 0; k < 3; k++) /* no negative times, and no leaps */
        scale[k] *= isfinite(x[k]) ? CLAMP(x[k], 0.2, 5) : 1;
}

static void learn_rates(const Class *class, GwFit *fit)
{
    const double prior[3] = { class->prior->setup_s, class->prior->memory_s, class->prior->disk_s };
    double scale[3] = { prior[0], prior[1], prior[2] };

    for (int step = 0; step < 6; step++)
        fit_step(class, prior, scale);
    fit->setup_s = CLAMP(scale[0], 0.01, 600);
    fit->memory_s = CLAMP(scale[1], 1e-11, 1e-3);
    fit->disk_s = CLAMP(scale[2], 1e-11, 1e-3);
}

/* A mean of logarithms with its spread, both drawn towards what is known beforehand. */
typedef struct {
    double weight, sum, squares;
} Mean;

static void add(Mean *mean, double weight, double value)
{
    mean->weight += weight;
    mean->sum += weight * value;
    mean->squares += weight * value * value;
}

static double mean_of(const Mean *mean, double prior, double prior_weight)
{
    return (prior * prior_weight + mean->sum) / (prior_weight + mean->weight);
}

/* Around @middle; few moves say less of it than they seem to. */
static double spread_of(const Mean *mean, double middle, double prior)
{
    double own = mean->squares - 2 * middle * mean->sum + middle * middle * mean->weight;
    double all = (SPREAD_WEIGHT * prior * prior + MAX(own, 0)) / (SPREAD_WEIGHT + mean->weight);

    return sqrt(all * (1 + 1 / (1 + mean->weight)));
}

static void learn_fixed(const Class *class, GwFit *fit)
{
    Mean fixed = { 0 }, downtime[2] = { { 0 } };

    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        add(&fixed, lesson->weight, log(MAX(t->fixed_s, 0.01)));
        if (t->downtime_s >= 0 && !t->has_known)
            add(&downtime[t->known.by_resume ? 1 : 0], lesson->weight,
                log(MAX(t->downtime_s, 0.005)));
    }
    fit->fixed_s = exp(mean_of(&fixed, log(class->prior->fixed_s), PRIOR_WEIGHT));
    for (int k = 0; k < 2; k++)
        fit->downtime_s[k] =
            exp(mean_of(&downtime[k], log(class->prior->downtime_s[k]), PRIOR_WEIGHT));
}

/* What goes over the wire, and what the guest stands still beside the last pages. */
static void learn_memory(const Class *class, GwFit *fit)
{
    Mean wire = { 0 }, base[2] = { { 0 } };

    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (!t->has_known || t->memory_bytes <= 0)
            continue;
        GwPrecopy precopy = run_precopy(fit, &t->known, t->known.wire * exp(fit->wire));
        add(&wire, lesson->weight, log_ratio(t->memory_bytes, precopy.bytes * t->known.wire));
        if (t->downtime_s >= 0)
            add(&base[t->known.by_resume ? 1 : 0], lesson->weight,
                log(MAX(t->downtime_s - precopy.last_s, 0.005)));
    }
    fit->wire = mean_of(&wire, class->prior->wire, PRIOR_WEIGHT);
    fit->wire_sd = spread_of(&wire, fit->wire, class->prior->wire_sd);
    for (int k = 0; k < 2; k++) {
        if (base[k].weight > 0)
            fit->downtime_s[k] =
                exp(mean_of(&base[k], log(class->prior->downtime_s[k]), PRIOR_WEIGHT));
    }
}

/* How far off all of it is, by what would have been said of the finished moves. */
static void learn_spread(const Class *class, GwFit *fit)
{
    Mean total = { 0 }, downtime = { 0 };

    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (!t->has_known)
            continue;
        GwModelled said = gw_fit_apply(fit, class->class, &t->known);
        /* Of a move of another class what is beside its copy says nothing. */
        double fixed = t->class == class->class ? t->fixed_s : fit->fixed_s;
        add(&total, lesson->weight, log_ratio(fixed + t->copy_s, said.seconds));
        if (t->downtime_s >= 0 && said.downtime_s >= 0)
            add(&downtime, lesson->weight, log_ratio(MAX(t->downtime_s, 0.005), said.downtime_s));
    }
    double middle = mean_of(&total, 0, 2 * PRIOR_WEIGHT);
    fit->total_sd = spread_of(&total, middle, class->prior->total_sd);
    fit->downtime_sd = spread_of(&downtime, 0, class->prior->downtime_sd);
    fit->total = middle;
}

/* How far off what @fit says of the copy is; 0 where its rate was what a person chose. */
static double copy_off(const GwFit *fit, const GwTaught *t)
{
    return t->known.limit_bps > 0 ? 0 : log_ratio(t->copy_s, copy_seconds(fit, t));
}

/* Whether the newest @count are all as much slower, or faster, than those before them say. */
static gboolean are_others(const Class *class, guint count)
{
    g_autoptr(GArray) before = g_array_copy(class->lessons);
    Class older = { before, class->class, class->prior };
    GwFit fit = *class->prior;

    g_array_remove_range(before, 0, count);
    learn_rates(&older, &fit);
    double first = copy_off(&fit, g_array_index(class->lessons, Lesson, 0).taught);
    for (guint i = 0; i < count; i++) {
        double off = copy_off(&fit, g_array_index(class->lessons, Lesson, i).taught);
        if (fabs(off) < CHANGED || off * first < 0)
            return FALSE;
    }
    return TRUE;
}

/* A link may become another one (a cable, a limit, a neighbour). If the last moves, two at least,
 * went much faster, or slower, than those before, these are forgotten. */
static void forget_before_a_change(const Class *class)
{
    guint changed = 0;

    for (guint count = 2; count <= CHANGE_MAX && count + 2 <= class->lessons->len; count++)
        changed = are_others(class, count) ? count : changed;
    if (changed > 0)
        g_array_set_size(class->lessons, changed);
}

/* Those of @class, or (@related) of all that go over the same link in the same way. */
static GArray *select_lessons(const GArray *taught, GwMoveClass class, const char *pair,
                              gboolean related)
{
    GArray *lessons = g_array_new(FALSE, FALSE, sizeof(Lesson));
    double weight = 1;

    for (guint i = 0; i < taught->len; i++) {
        const GwTaught *t = &g_array_index(taught, GwTaught, i);
        gboolean alike = related && gw_class_is_live(class) && gw_class_is_live(t->class);
        if ((t->class != class && !alike) || (pair != NULL && g_strcmp0(t->pair, pair) != 0))
            continue;
        Lesson lesson = { t, weight };
        g_array_append_val(lessons, lesson);
        weight *= AGEING;
    }
    return lessons;
}

/* Takes out of @same what is older than all of @related: both are parts of one array. */
static void forget_with(GArray *same, const GArray *related)
{
    const GwTaught *oldest = g_array_index(related, Lesson, related->len - 1).taught;

    while (same->len > 0 && g_array_index(same, Lesson, same->len - 1).taught > oldest)
        g_array_set_size(same, same->len - 1);
}

GwFit gw_fit_learn(const GArray *taught, GwMoveClass class, const char *pair, const GwFit *prior)
{
    g_autoptr(GArray) related = select_lessons(taught, class, pair, TRUE);
    g_autoptr(GArray) same = select_lessons(taught, class, pair, FALSE);
    Class link = { related, class, prior };
    Class own = { same, class, prior };
    GwFit fit = *prior;

    fit.moves = related->len;
    fit.own_moves = same->len;
    fit.weight = 0;
    if (related->len == 0)
        return fit;
    if (pair != NULL) {
        forget_before_a_change(&link);
        forget_with(same, related);
    }
    learn_rates(&link, &fit);
    fit.total = 0;
    learn_fixed(&own, &fit);
    for (int step = 0; step < 2; step++)
        learn_memory(&link, &fit);
    learn_spread(same->len > 0 ? &own : &link, &fit);
    for (guint i = 0; i < related->len; i++)
        fit.weight += g_array_index(related, Lesson, i).weight;
    return fit;
}
