/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rating.h"

#include "base/text.h"
#include "plan/placement_words.h"

/* How well a host suits a VM, in stars, and what that rests on (R33). docs/placement.md tells it to
 * people; figures here and there are to agree. */

/* A warning passes: it decides between hosts that are alike, and does not send a VM to a full one
 * because of a note. A rule that is preferred is a person's wish, and counts for more. */
#define WARNING_COSTS (GW_POINTS_HALF_STAR / 2)
#define WARNINGS_COST (GW_POINTS_HALF_STAR * 2)
#define WISH_COSTS (GW_POINTS_HALF_STAR * 2)
#define WISHES_COST (GW_POINTS_HALF_STAR * 5)

#define POLICY_DEPTH_MAX 64 /* a tree of groups is never deeper; a damaged one may be a ring */

const GwPlacementPolicy *gw_plan_policy_of_group(const GwFabric *fabric, const char *group_id)
{
    static const GwPlacementPolicy products = {
        .goal = GW_GOAL_BALANCE,
        .cpu_weight = GW_WEIGHT_DEFAULT,
        .memory_weight = GW_WEIGHT_DEFAULT,
        .disk_weight = GW_WEIGHT_DEFAULT,
        .network_weight = GW_WEIGHT_DEFAULT,
    };
    const char *id = group_id != NULL ? group_id : GW_GROUP_ROOT;

    for (guint depth = 0; id != NULL && depth < POLICY_DEPTH_MAX; depth++) {
        const GwGroup *group = g_hash_table_lookup(fabric->groups, id);
        if (group == NULL)
            break;
        if (group->placement != NULL)
            return group->placement;
        id = group->parent_id;
    }
    return &products;
}

const GwPlacementPolicy *gw_plan_policy(const GwFabric *fabric, const GwHost *host)
{
    return gw_plan_policy_of_group(fabric, host->group_id);
}

/* A factor, and what it takes of the points. */
typedef struct {
    GwRatingFactor *factor;
    gint64 costs;
    guint order;
} Part;

typedef struct {
    const GwPlanInput *input;
    GArray *parts; /* Part; NULL: nobody wants to know */
    gboolean excluded;
    gint64 points;
} Sum;

static double stars_of(gint64 points)
{
    return (double)((points + GW_POINTS_HALF_STAR / 2) / GW_POINTS_HALF_STAR) / 2;
}

/* NULL: as of the parts. */
static GwRatingFactor *add_part(Sum *sum, const char *requirement, gint64 costs, gboolean excludes)
{
    sum->excluded |= excludes;
    if (sum->parts == NULL)
        return NULL;

    Part part = { gw_rating_factor_new(), excludes ? GW_POINTS_MAX : costs, sum->parts->len };

    part.factor->requirement = g_strdup(requirement);
    part.factor->excludes = excludes;
    part.factor->lowers = excludes || costs > 0;
    part.factor->stars = excludes ? 0 : 5 - (double)costs / (GW_POINTS_HALF_STAR * 2);
    g_array_append_val(sum->parts, part);
    return part.factor;
}

/* The errors of preflight, or its warnings. */
static void add_findings(Sum *sum, const GwCandidate *candidate, GwSeverity severity)
{
    gint64 left = WARNINGS_COST;

    for (guint i = 0; candidate->findings != NULL && i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        if (finding->severity != (int)severity)
            continue;
        gboolean error = severity == GW_SEVERITY_ERROR;
        /* What may happen once it is there says nothing against the host. */
        if (!error && g_strcmp0(finding->rule, gw_rule_way_back.name) == 0)
            continue;
        gint64 costs = error ? 0 : MIN(WARNING_COSTS, left);
        GwRatingFactor *factor = add_part(sum, finding->requirement, costs, error);
        left -= costs;
        sum->points -= costs;
        if (factor == NULL)
            continue;
        factor->name = g_strdup(finding->rule);
        factor->observed = g_strdup(finding->observed);
        factor->required = g_strdup(finding->required);
        factor->remedy = g_strdup(finding->remedy);
    }
}

/* Rules that are preferred, and not kept. */
static void add_wishes(Sum *sum)
{
    g_autoptr(GPtrArray) broken = gw_placement_broken(sum->input, FALSE, -1);
    gint64 left = WISHES_COST;

    for (guint i = 0; broken != NULL && i < broken->len; i++) {
        GwBrokenRule *rule = broken->pdata[i];
        gint64 costs = MIN(WISH_COSTS, left);
        GwRatingFactor *factor = add_part(sum, "R57", costs, FALSE);
        left -= costs;
        sum->points -= costs;
        if (factor == NULL)
            continue;
        factor->name = g_strdup_printf("rule '%s'", gw_plan_text(rule->rule->name));
        factor->observed = gw_text_printable(rule->observed, GW_TEXT_MESSAGE_MAX);
        factor->required = gw_text_printable(rule->required, GW_TEXT_MESSAGE_MAX);
        factor->remedy = gw_text_printable(rule->remedy, GW_TEXT_MESSAGE_MAX);
    }
}

static const char *const resource_names[GW_RESOURCES] = { "memory", "cpu", "disk", "network" };

/* What each resource takes of the points is its weight's share of what it lacks. */
static void add_resources(Sum *sum, const GwResources *resources)
{
    gint64 weights = 0;

    for (int i = 0; i < GW_RESOURCES; i++)
        weights += resources->of[i].weight;
    for (int i = 0; i < GW_RESOURCES; i++) {
        const GwResource *r = &resources->of[i];
        gint64 costs = (GW_POINTS_MAX - r->points) * r->weight / weights;
        sum->points -= costs;
        if (sum->excluded && !r->excludes)
            continue; /* with 0 stars, only what makes them 0 is of interest */
        GwRatingFactor *factor =
            add_part(sum, i == GW_RESOURCE_DISK ? "R26" : "R45", costs, r->excludes);
        if (factor == NULL)
            continue;
        factor->name = g_strdup(resource_names[i]);
        factor->weight = r->weight;
        factor->stars = r->excludes ? 0 : stars_of(r->points);
        factor->lowers = r->excludes || (r->weight > 0 && factor->stars < 5);
        gw_rating_words(sum->input, resources, (GwResourceKind)i, factor);
    }
}

static int compare_parts(gconstpointer pa, gconstpointer pb)
{
    const Part *a = pa, *b = pb;

    if (a->costs != b->costs)
        return a->costs > b->costs ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static GPtrArray *take_factors(Sum *sum)
{
    GPtrArray *factors = gw_record_array(&gw_rating_factor_record);

    g_array_sort(sum->parts, compare_parts);
    for (guint i = 0; i < sum->parts->len; i++) {
        Part *part = &g_array_index(sum->parts, Part, i);
        if (sum->excluded && !part->factor->excludes)
            gw_rating_factor_free(part->factor);
        else
            g_ptr_array_add(factors, part->factor);
    }
    return factors;
}

static void tell_volume(const GwPlanInput *input, const GwResources *resources, GwRating *rating)
{
    const GwVolumeChoice *choice = &resources->volume;

    if (resources->of[GW_RESOURCE_DISK].free)
        return;
    if (!input->brief)
        rating->storage_why = gw_rating_volume_words(input, choice);
    if (choice->pool != NULL && (choice->fits || !choice->told))
        rating->storage = g_strdup(choice->pool->name);
}

static GwRating *rate(const GwPlanInput *input, const GwCandidate *candidate)
{
    g_autoptr(GArray) parts =
        input->brief ? NULL : g_array_sized_new(FALSE, FALSE, sizeof(Part), 8);
    Sum sum = { .input = input, .parts = parts, .points = GW_POINTS_MAX };
    GwRating *rating = gw_rating_new();
    GwResources resources;

    add_findings(&sum, candidate, GW_SEVERITY_ERROR);
    gw_rating_resources(input, candidate, &resources);
    for (int i = 0; i < GW_RESOURCES; i++)
        sum.excluded |= resources.of[i].excludes;
    add_resources(&sum, &resources);
    if (!sum.excluded) {
        add_findings(&sum, candidate, GW_SEVERITY_WARNING);
        add_wishes(&sum);
        /* 0 stars say that nothing is to be placed there; a host that will do has half a star. */
        rating->points = MAX(sum.points, 1);
        rating->stars = MAX(stars_of(rating->points), 0.5);
    }
    if (!input->brief)
        rating->factors = take_factors(&sum);
    tell_volume(input, &resources, rating);
    return rating;
}

void gw_plan_rate(const GwPlanInput *input, GwCandidate *candidate)
{
    GwPlanInput own = *input;
    g_autoptr(GwPlanShared) shared =
        input->shared == NULL ? gw_plan_shared_new(input->fabric) : NULL;

    if (shared != NULL)
        own.shared = shared;
    gw_rating_free(candidate->rating);
    candidate->rating = rate(&own, candidate);
}

int gw_rating_compare(const GwCandidate *a, const GwCandidate *b)
{
    gint64 points_a = a->rating != NULL ? a->rating->points : 0;
    gint64 points_b = b->rating != NULL ? b->rating->points : 0;

    if (!a->suitable != !b->suitable)
        return a->suitable ? -1 : 1;
    if (points_a != points_b)
        return points_a > points_b ? -1 : 1;
    int by_name = g_strcmp0(a->host_name, b->host_name);
    return by_name != 0 ? by_name : g_strcmp0(a->host_id, b->host_id);
}
