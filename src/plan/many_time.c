/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"
#include "plan/rule.h"

/* How long one move takes by itself, and what no order can beat. */

#define FIXED_MS 1500 /* preflight, the start of the destination, the commit */
#define MIB 1048576.0

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

void many_estimate(Many *many, ManyStep *step)
{
    const ManyVm *item = many_vm(many, step->vm);
    const GwMatrixCell *cell = many_cell(many, step->vm, step->from, step->to);

    step->takes = gw_slots_of_transfer((GwTransfer)cell->candidate->transfer);
    step->bytes = (double)many_copy_bytes(many, step->vm, step->from, step->to);
    if (gw_plan_is_live(item->vm))
        step->bytes += (double)item->memory_kib * 1024;
    step->fixed_ms = FIXED_MS;
    step->cap_bps = bandwidth_bps(many, step->from, step->to);
    /* Nothing is known but sizes: between half of it, where memory is empty, and twice. */
    step->low = 0.5;
    step->high = 2;
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
    return (gint64)bound;
}
