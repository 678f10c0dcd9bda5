/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/method.h"
#include "plan/reach.h"
#include "plan/rule.h"

#define KIB_PER_GIB (1024 * 1024)

void gw_move_decision_free(GwMoveDecision *decision)
{
    if (decision == NULL)
        return;
    g_free(decision->compression);
    g_free(decision->method_words);
    g_free(decision);
}

/* A shareable disk is opened without QEMU's image lock, wherever it lies. */
static gboolean is_locked(const GwReach *reach)
{
    return reach->share != NULL && reach->share->locks_proved && !reach->other_path &&
           !reach->disk->shareable;
}

gboolean gw_plan_locks_cover(const GwPlanInput *input)
{
    guint writable = 0;

    if (input->storage->transfer != GW_TRANSFER_LIVE)
        return FALSE; /* a copy has a lock of its own */
    for (guint i = 0; i < input->reaches->len; i++) {
        const GwReach *reach = input->reaches->pdata[i];
        if (!gw_disk_is_writable(reach->disk))
            continue;
        if (!is_locked(reach))
            return FALSE;
        writable++;
    }
    return writable > 0;
}

/* Whether libvirt would refuse because it takes a proved share for a local directory. The flag
 * switches off all of libvirt's own safety test; the rules here make that test for every disk. */
static gboolean needs_unsafe(const GwPlanInput *input)
{
    for (guint i = 0; i < input->reaches->len; i++) {
        const GwReach *reach = input->reaches->pdata[i];
        if (reach->how == GW_REACH_PROVED && g_strcmp0(reach->source->type, "netfs") != 0 &&
            !gw_plan_is_copied(gw_plan_disk_move(input, reach->disk->target)))
            return TRUE;
    }
    return FALSE;
}

static gint64 first_set(gint64 option, gint64 fallback)
{
    return option > 0 ? option : MAX(fallback, 0);
}

static gint64 bandwidth(const GwPlanInput *input)
{
    gint64 from = MAX(input->source->bandwidth_mibps, 0);
    gint64 to = MAX(input->destination->bandwidth_mibps, 0);
    gint64 both = from == 0 || to == 0 ? MAX(from, to) : MIN(from, to);

    return first_set(gw_plan_options(input)->bandwidth_mibps, both);
}

/* @s_per_gib for @kib, in microseconds rounded up. Both are bounded first, so that nothing below
 * overflows: 10^6 s for each of at most 2^40 KiB (1 PiB) stay under 2^61 us. */
static gint64 scale_us(gint64 s_per_gib, gint64 kib)
{
    gint64 s = CLAMP(s_per_gib, 0, 1000000);
    gint64 bounded = CLAMP(kib, 0, (gint64)1 << 40);
    gint64 rest = s * (bounded % KIB_PER_GIB); /* in s * KiB */

    return s * (bounded / KIB_PER_GIB) * G_USEC_PER_SEC + rest / KIB_PER_GIB * G_USEC_PER_SEC +
           (rest % KIB_PER_GIB * G_USEC_PER_SEC + KIB_PER_GIB - 1) / KIB_PER_GIB;
}

/* R59: memory and disks to copy. Both are bounded, so that the sum does not overflow. */
static gint64 copied_kib(const GwPlanInput *input)
{
    gint64 bytes = 0;

    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (gw_plan_is_copied(move))
            bytes += MIN(move->copy_bytes, G_MAXINT64 / 4 - bytes);
    }
    gint64 memory = gw_plan_is_live(input->vm) && !gw_plan_is_within(input)
                        ? CLAMP(gw_plan_memory_kib(input->vm), 0, G_MAXINT64 / 4)
                        : 0;
    return memory + bytes / 1024 + (bytes % 1024 > 0);
}

static gboolean has_agent(const GwHost *host)
{
    return gw_host_has_agent(host) && gw_plan_facts(host)->agent != NULL;
}

gboolean gw_plan_through_agents(const GwHost *source, const GwHost *destination)
{
    return has_agent(source) && has_agent(destination);
}

GwMoveDecision *gw_plan_decide(const GwPlanInput *input)
{
    GwPlanInput own = *input;
    g_autoptr(GPtrArray) reaches = gw_reach_all(input);
    own.reaches = reaches;
    g_autoptr(GwStoragePlan) storage = gw_plan_storage(&own);
    own.storage = storage;
    const GwMoveOptions *options = gw_plan_options(&own);
    GwMethodChoice choice = gw_method_choose(&own);
    GwMoveDecision *decision = g_new0(GwMoveDecision, 1);

    decision->commit_by_resume = !gw_plan_locks_cover(&own);
    decision->through_agents = gw_plan_through_agents(own.source, own.destination);
    decision->unsafe = needs_unsafe(&own);
    decision->auto_converge = !options->no_auto_converge;
    /* libvirt refuses PAUSED with POSTCOPY; option-conflict has said so. */
    decision->post_copy = options->post_copy && !decision->commit_by_resume;
    decision->tls = options->tls && !decision->through_agents;
    decision->compression = g_strdup(choice.compression);
    decision->channels = choice.channels;
    decision->method_words =
        g_strconcat(choice.words,
                    decision->through_agents ? "; through the agents, encrypted"
                    : decision->tls          ? "; directly between the hosts, encrypted by QEMU"
                                             : "; directly between the hosts",
                    NULL);
    g_free(choice.words);
    decision->bandwidth_mibps = bandwidth(&own);
    decision->max_downtime_ms = options->max_downtime_ms;
    decision->completion_timeout_us = scale_us(
        first_set(options->completion_timeout_s_per_gib, own.source->completion_timeout_s_per_gib),
        copied_kib(&own));
    decision->progress_timeout_us =
        MIN(first_set(options->progress_timeout_s, own.source->progress_timeout_s), 1000000) *
        G_USEC_PER_SEC;
    return decision;
}
