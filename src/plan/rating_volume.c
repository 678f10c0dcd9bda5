/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "plan/rating.h"
#include "plan/storage.h"

/* The best volume of a host for what is copied there, by free space (R26). */

/* Chosen for this one disk by name: no choice is left. */
static gboolean has_own_place(const GwPlanInput *input, const char *target)
{
    const GwDiskChoice *choice =
        gw_record_find(&gw_disk_choice_record, gw_plan_options(input)->disks, "target", target);
    return choice != NULL && choice->storage != NULL;
}

static gboolean is_counted(const GwPlanInput *input, const GwDiskMove *move)
{
    return gw_plan_is_copied(move) && !has_own_place(input, move->target);
}

gboolean gw_rating_is_copied(const GwPlanInput *input, const GwCandidate *candidate)
{
    for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++) {
        if (is_counted(input, candidate->disks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

/* What is copied needs, as planned from the images. In a list of candidates nobody was asked for
 * them: then it is what the VM's disks take now, at most what those that are copied can grow to. */
static gint64 sum_need(const GwPlanInput *input, const GwCandidate *candidate)
{
    const GwVmUsage *usage = input->vm->usage;
    gint64 need = 0, capacity = 0;

    for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        if (!is_counted(input, move))
            continue;
        const GwDisk *disk =
            gw_record_find(&gw_disk_record, input->vm->disks, "target", move->target);
        need += CLAMP(move->need_bytes, 0, G_MAXINT64 / 4 - need);
        capacity += CLAMP(disk != NULL ? disk->capacity_bytes : 0, 0, G_MAXINT64 / 4 - capacity);
    }
    if (input->images != NULL && need > 0)
        return need;
    gint64 taken = usage != NULL ? CLAMP(usage->disk_allocated_bytes, 0, G_MAXINT64 / 4) : 0;
    if (taken > 0 && capacity > 0)
        return MIN(taken, capacity);
    return MAX(taken, capacity);
}

gint64 gw_rating_disk_reserve(const GwPlanInput *input, const GwPlacementPolicy *policy)
{
    return CLAMP(policy->disk_reserve_bytes, 0, G_MAXINT64 / 4) +
           CLAMP(input->destination->disk_reserve_bytes, 0, G_MAXINT64 / 4);
}

static gboolean is_default(const GwHost *host, const GwPool *pool)
{
    for (guint i = 0; host->default_storage != NULL && host->default_storage[i] != NULL; i++) {
        if (g_strcmp0(host->default_storage[i], pool->name) == 0 ||
            gw_plan_find_storage(host, host->default_storage[i], NULL) == pool)
            return TRUE;
    }
    return FALSE;
}

static GwVolumeChoice weigh(const GwPlanInput *input, const GwPool *pool, gint64 need,
                            gint64 reserve)
{
    GwVolumeChoice choice = { .pool = pool, .need = need, .told = pool->capacity_bytes > 0 };

    if (!choice.told)
        return choice;
    gint64 promised = gw_shared_promised_bytes(input, pool->name);
    gint64 usable = CLAMP(pool->available_bytes, 0, pool->capacity_bytes);
    choice.whole = MAX(pool->capacity_bytes - reserve, 0);
    choice.left = usable - MIN(promised, G_MAXINT64 / 4) - reserve - need;
    choice.fits = choice.left >= 0;
    return choice;
}

/* One of which nothing is known may fit; one that is known to be too small does not. */
static int rank(const GwVolumeChoice *choice)
{
    return choice->pool == NULL ? 0 : choice->fits ? 3 : !choice->told ? 2 : 1;
}

static gboolean is_better(const GwHost *host, const GwVolumeChoice *a, const GwVolumeChoice *b)
{
    if (rank(a) != rank(b) || b->pool == NULL)
        return rank(a) > rank(b);
    if (a->left != b->left)
        return a->left > b->left;
    gboolean default_a = is_default(host, a->pool), default_b = is_default(host, b->pool);
    if (!default_a != !default_b)
        return default_a;
    return g_strcmp0(a->pool->name, b->pool->name) < 0;
}

GwVolumeChoice gw_rating_volume(const GwPlanInput *input, const GwCandidate *candidate,
                                gboolean defaults)
{
    const GwHost *host = input->destination;
    const GPtrArray *pools = gw_plan_facts(host)->pools;
    const char *chosen = gw_plan_options(input)->storage;
    gint64 reserve = gw_rating_disk_reserve(input, gw_plan_policy(input->fabric, host));
    gint64 need = sum_need(input, candidate);
    GwVolumeChoice best = { .need = need };

    if (chosen != NULL) {
        const GwPool *pool = gw_plan_find_storage(host, chosen, NULL);
        return pool != NULL ? weigh(input, pool, need, reserve) : best;
    }
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (!pool->active || !gw_storage_holds_images(pool) ||
            (defaults && !is_default(host, pool)))
            continue;
        GwVolumeChoice choice = weigh(input, pool, need, reserve);
        guint others = best.others + (best.pool != NULL);
        if (is_better(host, &choice, &best))
            best = choice;
        best.others = others;
    }
    return best;
}

static char *volume_words(const char *on, const GwVolumeChoice *choice)
{
    if (choice->pool == NULL)
        return g_strdup_printf("%s has no active pool that takes images", on);
    if (!choice->told)
        return g_strdup_printf("it is not known how much is free in it%s",
                               choice->others > 0 ? ", nor does any other fit" : "");
    g_autofree char *left = gw_storage_size(MAX(choice->left, 0));
    g_autofree char *need = gw_storage_size(choice->need);
    const char *most = choice->others == 0 ? "" : ", the most of the pools that it could be";
    if (!choice->fits)
        return g_strconcat(need, " do not fit into it",
                           choice->others > 0 ? ", nor into another" : "", NULL);
    if (choice->need == 0)
        return g_strconcat(left, " are left in it", most, "; how large the disks are is not known",
                           NULL);
    return g_strconcat(left, " are left in it after the ", need, " that are copied", most, NULL);
}

char *gw_rating_volume_words(const GwPlanInput *input, const GwVolumeChoice *choice)
{
    g_autofree char *words = volume_words(gw_plan_host_name(input->destination), choice);
    return gw_text_printable(words, GW_TEXT_MESSAGE_MAX);
}
