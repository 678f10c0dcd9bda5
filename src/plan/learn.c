/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/learn.h"

#include <math.h>

#define AGEING 0.96      /* what the next older move counts beside the one after it */
#define PRIOR_WEIGHT 1.0 /* of what is known beforehand, in moves */
#define SPREAD_WEIGHT 3.0
#define LOG_MAX 2.0 /* one odd move does not overturn the rest */
#define DOWNTIME_LEAST 0.02
#define DOWNTIME_MAX 10.0
#define DOWNTIME_SD 0.1 /* of what is expected of it beforehand, s */
#define DOWNTIME_OFF 0.2
#define LAST_SD 0.4
#define CHANGED 0.4  /* of the logarithm, twice in a row: the link is another one now */
#define CHANGE_MAX 8 /* moves after which it is none any more: older ones have aged */

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

/* The inverse of the symmetric @m by Gauss and Jordan; it is well away from singular by its prior.
 */
static void invert(double m[3][3], double inverse[3][3])
{
    double a[3][6] = { { 0 } };

    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            a[i][k] = m[i][k];
        a[i][3 + i] = 1;
    }
    for (int i = 0; i < 3; i++) {
        double pivot = a[i][i];
        for (int k = 0; k < 6; k++)
            a[i][k] /= pivot;
        for (int r = 0; r < 3; r++) {
            double factor = r == i ? 0 : a[r][i];
            for (int k = 0; k < 6; k++)
                a[r][k] -= factor * a[i][k];
        }
    }
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            inverse[i][k] = a[i][3 + k];
    }
}

/* Least squares of three figures, drawn towards what they were before. */
typedef struct {
    double m[3][3], b[3];
} Squares;

static void add_row(Squares *squares, const double row[3], double value, double weight)
{
    for (int k = 0; k < 3; k++) {
        squares->b[k] += weight * row[k] * value;
        for (int l = 0; l < 3; l++)
            squares->m[k][l] += weight * row[k] * row[l];
    }
}

static void solve(Squares *squares, double x[3], double inverse[3][3])
{
    invert(squares->m, inverse);
    for (int i = 0; i < 3; i++) {
        x[i] = 0;
        for (int k = 0; k < 3; k++)
            x[i] += inverse[i][k] * squares->b[k];
    }
}

/* One step of least squares of relative errors, in units of @scale, drawn towards the prior. */
static void fit_step(const Class *class, const double prior[3], double scale[3], GwFit *fit)
{
    Squares squares = { 0 };
    double x[3] = { 0 };

    /* A rate may be anything; what a copy needs beside it may not be ten times what it was. */
    for (int k = 0; k < 3; k++) {
        double stiff = k == 0 ? scale[k] / prior[k] : 1;
        squares.m[k][k] = (k == 0 ? 0.1 : 0.3) * PRIOR_WEIGHT * stiff * stiff;
        squares.b[k] = squares.m[k][k] * prior[k] / scale[k];
    }
    fit->rate_moves = 0;
    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (t->known.limit_bps > 0 || t->copy_s <= 0)
            continue; /* how fast it was is what a person chose */
        fit->rate_moves++;
        double row[3] = { scale[0], scale[1] * t->memory_bytes * t->known.share,
                          scale[2] * t->disk_bytes * t->known.share };
        add_row(&squares, row, t->copy_s, lesson->weight / (t->copy_s * t->copy_s));
    }
    solve(&squares, x, fit->doubt);
    for (int k = 0; k < 3; k++) {
        for (int l = 0; l < 3; l++)
            fit->doubt[k][l] *= scale[k] * scale[l];
    }
    for (int k = 0; k < 3; k++) /* no negative times, and no leaps */
        scale[k] *= isfinite(x[k]) ? CLAMP(x[k], 0.2, 5) : 1;
}

static void learn_rates(const Class *class, GwFit *fit)
{
    const double prior[3] = { class->prior->setup_s, class->prior->memory_s, class->prior->disk_s };
    double scale[3] = { prior[0], prior[1], prior[2] };

    for (int step = 0; step < 6; step++)
        fit_step(class, prior, scale, fit);
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
    Mean fixed = { 0 };

    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        add(&fixed, lesson->weight, log(MAX(t->fixed_s, 0.01)));
    }
    fit->fixed_s = exp(mean_of(&fixed, log(class->prior->fixed_s), PRIOR_WEIGHT));
}

/* What goes over the wire, the first time and again: what came is shared out to both as they were
 * expected to come. */
static void learn_wire(const Class *class, GwFit *fit)
{
    Mean wire[2] = { { 0 } }, both = { 0 };

    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (!t->has_known || t->memory_bytes <= 0)
            continue;
        GwPrecopy precopy = gw_fit_precopy(fit, &t->known);
        double first = precopy.first_bytes * t->known.wire[0] * exp(fit->wire[0]);
        double again = precopy.again_bytes * t->known.wire[1] * exp(fit->wire[1]);
        double off = log_ratio(t->memory_bytes, first + again);
        double part = again / MAX(first + again, 1);
        add(&both, lesson->weight, off);
        add(&wire[0], lesson->weight * (1 - part), fit->wire[0] + off);
        add(&wire[1], lesson->weight * part, fit->wire[1] + off);
    }
    for (int k = 0; k < 2; k++)
        fit->wire[k] = mean_of(&wire[k], class->prior->wire[k], PRIOR_WEIGHT / 2);
    fit->wire_sd = spread_of(&both, 0, class->prior->wire_sd);
}

/* What the guest stands still beside the last pages, and what of these QEMU leaves to it. */
static void learn_downtime(const Class *class, GwFit *fit)
{
    const double prior[3] = { class->prior->downtime_s[0], class->prior->downtime_s[1],
                              class->prior->last };
    const double sd[3] = { DOWNTIME_SD, DOWNTIME_SD, LAST_SD };
    double x[3], inverse[3][3];
    Squares squares = { 0 };

    for (int k = 0; k < 3; k++) {
        squares.m[k][k] = PRIOR_WEIGHT / (sd[k] * sd[k]);
        squares.b[k] = squares.m[k][k] * prior[k];
    }
    for (guint i = 0; i < class->lessons->len; i++) {
        const Lesson *lesson = &g_array_index(class->lessons, Lesson, i);
        const GwTaught *t = lesson->taught;
        if (!t->has_known || t->downtime_s < 0)
            continue;
        double came = CLAMP(t->downtime_s, 0, DOWNTIME_MAX);
        double row[3] = { !t->known.by_resume, t->known.by_resume,
                          MIN(gw_fit_precopy(fit, &t->known).last_s, t->known.downtime_s) };
        double off = DOWNTIME_OFF * came + 0.05;
        add_row(&squares, row, came, lesson->weight / (off * off));
    }
    solve(&squares, x, inverse);
    for (int k = 0; k < 2; k++)
        fit->downtime_s[k] = CLAMP(x[k], DOWNTIME_LEAST, DOWNTIME_MAX);
    fit->last = CLAMP(x[2], 0.1, 2);
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

    if (pair != NULL && related->len > 0) {
        forget_before_a_change(&link);
        forget_with(same, related);
    }
    fit.moves = related->len;
    fit.own_moves = same->len;
    fit.rate_moves = 0;
    fit.weight = 0;
    if (related->len == 0)
        return fit;
    learn_rates(&link, &fit);
    fit.total = 0;
    learn_fixed(&own, &fit);
    for (int step = 0; step < 3; step++)
        learn_wire(&link, &fit);
    learn_downtime(&link, &fit);
    learn_spread(same->len > 0 ? &own : &link, &fit);
    for (guint i = 0; i < related->len; i++)
        fit.weight += g_array_index(related, Lesson, i).weight;
    return fit;
}
