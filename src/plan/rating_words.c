/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rating.h"

#include <string.h>

#include "base/text.h"

/* What a resource adds to a rating, in words (I8). A list of 1,000 hosts has 4,000 of these: they
 * are put together without printf. */

static void put(GString *out, const char *text)
{
    g_string_append_len(out, text, (gssize)strlen(text));
}

static void put_number(GString *out, gint64 value)
{
    char digits[24];
    guint at = sizeof(digits);

    for (value = MAX(value, 0); value > 9; value /= 10)
        digits[--at] = (char)('0' + value % 10);
    digits[--at] = (char)('0' + value);
    g_string_append_len(out, digits + at, (gssize)(sizeof(digits) - at));
}

/* @part of @whole with one decimal, rounded as printf does. */
static void put_ratio(GString *out, gint64 part, gint64 whole)
{
    gint64 tenths = part % whole * 10 / whole, rest = part % whole * 10 % whole;

    tenths += rest * 2 > whole || (rest * 2 == whole && tenths % 2 == 1);

    put_number(out, part / whole + tenths / 10);
    g_string_append_c(out, '.');
    g_string_append_c(out, (char)('0' + tenths % 10));
}

static void put_size(GString *out, gint64 kib)
{
    if (kib < 1024 * 1024)
        put_number(out, kib / 1024);
    else
        put_ratio(out, kib, 1024 * 1024);
    put(out, kib < 1024 * 1024 ? " MiB" : " GiB");
}

static void put_amount(GString *out, GwResourceKind kind, gint64 value)
{
    switch (kind) {
    case GW_RESOURCE_MEMORY:
        put_size(out, value);
        break;
    case GW_RESOURCE_DISK:
        put_size(out, value / 1024);
        break;
    case GW_RESOURCE_CPU:
        put_ratio(out, value, 1000);
        break;
    case GW_RESOURCE_NETWORK:
    case GW_RESOURCES:
        put_number(out, value / GW_RATING_MEGABIT);
        break;
    }
}

/* What follows an amount. */
static const char *const units[GW_RESOURCES] = { " of memory", " CPUs", " of space",
                                                 " Mbit/s of network" };
static const char *const nouns[GW_RESOURCES] = { "memory", "CPU", "space", "network" };

static void put_unseen(GString *out, const GwPlanInput *input, GwResourceKind kind,
                       const GwResource *r)
{
    const char *on = gw_plan_host_name(input->destination);

    if (r->free)
        g_string_append_printf(out, "No disk of %s is copied to %s", gw_plan_vm_name(input->vm),
                               on);
    else if (kind == GW_RESOURCE_DISK && r->pool == NULL)
        g_string_append_printf(out, "%s has no place for the disks that are copied", on);
    else if (kind == GW_RESOURCE_DISK)
        g_string_append_printf(out, "How much is free in pool '%s' of %s is not known",
                               gw_plan_text(r->pool->name), on);
    else
        g_string_append_printf(out, "How much %s of %s is in use is not known", nouns[kind], on);
}

static const char *const guesses[GW_RESOURCES] = {
    "",
    "; what the VM uses was not seen: half of its vCPUs",
    "; how large the disks are is not known",
    "; the link's speed is not told: 1 Gbit/s",
};

/* "With web1, kvm2 has 24.0 GiB of 62.0 GiB of memory left beside a reserve of 2.0 GiB of memory"
 */
static void put_seen(GString *out, const GwPlanInput *input, GwResourceKind kind,
                     const GwResource *r)
{
    put(out, "With ");
    put(out, gw_plan_vm_name(input->vm));
    put(out, ", ");
    if (kind == GW_RESOURCE_DISK) {
        put(out, "pool '");
        put(out, gw_plan_text(r->pool->name));
        put(out, "' of ");
    }
    put(out, gw_plan_host_name(input->destination));
    put(out, r->left < 0 ? " lacks " : " has ");
    put_amount(out, kind, ABS(r->left));
    if (r->left >= 0) {
        put(out, " of ");
        put_amount(out, kind, r->whole);
    }
    put(out, units[kind]);
    put(out, r->left < 0 ? "" : " left");
    if (r->reserve > 0) {
        put(out, " beside a reserve of ");
        put_amount(out, kind, r->reserve);
        put(out, units[kind]);
    }
    put(out, r->assumed ? guesses[kind] : "");
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

/* @before, the host's name, and @after. */
static char *about(GString *out, const char *before, const char *on, const char *after)
{
    g_string_truncate(out, 0);
    put(out, before);
    put(out, on);
    put(out, after);
    return gw_text_printable(out->str, GW_TEXT_MESSAGE_MAX);
}

static char *remedy_words(GString *out, const GwPlanInput *input, const GwResources *resources,
                          GwResourceKind kind)
{
    static const char other[] = ", or choose another host.";
    const GwResource *r = &resources->of[kind];
    const char *on = gw_plan_host_name(input->destination);

    if (kind == GW_RESOURCE_DISK && r->pool == NULL)
        return about(out, "Define and start a pool on ", on, other);
    if (r->unknown)
        return about(out, "See that ", on, " answers, and wait for its next answer.");
    if (resources->policy->goal == (int)GW_GOAL_FILL && r->left >= 0)
        return g_strdup("Choose a fuller host that has room.");
    if (kind == GW_RESOURCE_DISK)
        return about(out, "Make room in the pools of ", on, other);
    return about(out, "Move VMs away from ", on, other);
}

void gw_rating_words(const GwPlanInput *input, const GwResources *resources, GwResourceKind kind,
                     GwRatingFactor *factor, GString *out)
{
    const GwResource *r = &resources->of[kind];
    gboolean seen = !r->free && !r->unknown && (kind != GW_RESOURCE_DISK || r->pool != NULL);

    g_string_truncate(out, 0);
    if (seen)
        put_seen(out, input, kind, r);
    else
        put_unseen(out, input, kind, r);
    factor->observed = gw_text_printable(out->str, GW_TEXT_MESSAGE_MAX);
    factor->required = g_strdup(required_words(resources, kind, r));
    if (factor->lowers || factor->excludes)
        factor->remedy = remedy_words(out, input, resources, kind);
}
