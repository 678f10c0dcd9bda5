/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rating.h"
#include "plan/storage.h"

/* What a resource adds to a rating, in words (I8). */

static char *amount(GwResourceKind kind, gint64 value)
{
    switch (kind) {
    case GW_RESOURCE_MEMORY:
        return gw_plan_size(value);
    case GW_RESOURCE_DISK:
        return gw_storage_size(value);
    case GW_RESOURCE_CPU:
        return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT, value / 1000,
                               value % 1000 / 100);
    case GW_RESOURCE_NETWORK:
    case GW_RESOURCES:
        break;
    }
    return g_strdup_printf("%" G_GINT64_FORMAT, value / GW_RATING_MEGABIT);
}

/* What follows an amount. */
static const char *const units[GW_RESOURCES] = { " of memory", " CPUs", " of space",
                                                 " Mbit/s of network" };
static const char *const nouns[GW_RESOURCES] = { "memory", "CPU", "space", "network" };

static char *unseen_words(const GwPlanInput *input, GwResourceKind kind, const GwResource *r)
{
    const char *on = gw_plan_host_name(input->destination);

    if (r->free)
        return g_strdup_printf("No disk of %s is copied to %s", gw_plan_vm_name(input->vm), on);
    if (kind == GW_RESOURCE_DISK && r->pool == NULL)
        return g_strdup_printf("%s has no place for the disks that are copied", on);
    if (kind == GW_RESOURCE_DISK)
        return g_strdup_printf("How much is free in pool '%s' of %s is not known",
                               gw_plan_text(r->pool->name), on);
    return g_strdup_printf("How much %s of %s is in use is not known", nouns[kind], on);
}

static const char *guess_words(GwResourceKind kind)
{
    switch (kind) {
    case GW_RESOURCE_CPU:
        return "; what the VM uses was not seen: half of its vCPUs";
    case GW_RESOURCE_NETWORK:
        return "; the link's speed is not told: 1 Gbit/s";
    case GW_RESOURCE_DISK:
        return "; how large the disks are is not known";
    case GW_RESOURCE_MEMORY:
    case GW_RESOURCES:
        break;
    }
    return "";
}

/* "With web1, kvm2 has 24.0 GiB of 62.0 GiB of memory left beside a reserve of 2.0 GiB" */
static char *seen_words(const GwPlanInput *input, GwResourceKind kind, const GwResource *r)
{
    gboolean disk = kind == GW_RESOURCE_DISK, lacks = r->left < 0;
    g_autofree char *left = amount(kind, ABS(r->left));
    g_autofree char *whole = lacks ? NULL : amount(kind, MAX(r->whole, 0));
    g_autofree char *reserve = r->reserve > 0 ? amount(kind, r->reserve) : NULL;
    g_autofree char *beside =
        reserve != NULL ? g_strconcat(" beside a reserve of ", reserve, units[kind], NULL) : NULL;

    return g_strconcat("With ", gw_plan_vm_name(input->vm), ", ", disk ? "pool '" : "",
                       disk ? gw_plan_text(r->pool->name) : "", disk ? "' of " : "",
                       gw_plan_host_name(input->destination), lacks ? " lacks " : " has ", left,
                       lacks ? "" : " of ", lacks ? "" : whole, units[kind], lacks ? "" : " left",
                       beside != NULL ? beside : "", r->assumed ? guess_words(kind) : "", NULL);
}

static const char *required_words(const GwResources *resources, GwResourceKind kind,
                                  const GwResource *r)
{
    if (r->free)
        return "Disks that both hosts reach take no space.";
    if (r->unknown)
        return "Not known counts as half.";
    if (r->excludes && kind == GW_RESOURCE_DISK)
        return "A pool with room for what is copied, beside what is left alone of it.";
    if (r->excludes)
        return "The reserves of the host and of its group are left alone.";
    return resources->policy->goal == (int)GW_GOAL_FILL
               ? "The group fills its hosts: the less is left, the better."
               : "The group balances its hosts: the more is left, the better.";
}

static char *remedy_words(const GwPlanInput *input, const GwResources *resources,
                          GwResourceKind kind)
{
    const GwResource *r = &resources->of[kind];
    const char *on = gw_plan_host_name(input->destination);

    if (kind == GW_RESOURCE_DISK && r->pool == NULL)
        return g_strdup_printf("Define and start a pool on %s, or choose another host.", on);
    if (r->unknown)
        return g_strdup_printf("See that %s answers, and wait for its next answer.", on);
    if (resources->policy->goal == (int)GW_GOAL_FILL && r->left >= 0)
        return g_strdup("Choose a fuller host that has room.");
    if (kind == GW_RESOURCE_DISK)
        return g_strdup_printf("Make room in the pools of %s, or choose another host.", on);
    return g_strdup_printf("Move VMs away from %s, or choose another host.", on);
}

void gw_rating_words(const GwPlanInput *input, const GwResources *resources, GwResourceKind kind,
                     GwRatingFactor *factor)
{
    const GwResource *r = &resources->of[kind];
    gboolean seen = !r->free && !r->unknown && (kind != GW_RESOURCE_DISK || r->pool != NULL);

    factor->observed = seen ? seen_words(input, kind, r) : unseen_words(input, kind, r);
    factor->required = g_strdup(required_words(resources, kind, r));
    if (factor->lowers || factor->excludes)
        factor->remedy = remedy_words(input, resources, kind);
}
