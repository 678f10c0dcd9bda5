/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rating.h"

#include <string.h>

#include "base/text.h"

/* What a resource adds to a rating, in words (I8). A list of 1,000 hosts has 4,000 of these: they
 * are put together without printf. */

/* Longer than any text that is kept (GW_TEXT_MESSAGE_MAX). */
typedef struct {
    char text[2 * GW_TEXT_MESSAGE_MAX];
    gsize length;
} Words;

static void put(Words *out, const char *text)
{
    gsize length = MIN(strlen(text), sizeof(out->text) - 1 - out->length);

    memcpy(out->text + out->length, text, length);
    out->length += length;
}

/* Names from hosts may hold anything, and may be cut. */
static char *take(Words *out)
{
    out->text[out->length] = '\0';
    out->length = 0;
    return gw_text_printable(out->text, GW_TEXT_MESSAGE_MAX);
}

static void put_number(Words *out, gint64 value)
{
    char digits[24];
    guint at = sizeof(digits) - 1;

    for (value = MAX(value, 0); value > 9; value /= 10)
        digits[--at] = (char)('0' + value % 10);
    digits[--at] = (char)('0' + value);
    digits[sizeof(digits) - 1] = '\0';
    put(out, digits + at);
}

/* @part of @whole with one decimal, rounded as printf does. */
static void put_ratio(Words *out, gint64 part, gint64 whole)
{
    gint64 tenths = part % whole * 10 / whole, rest = part % whole * 10 % whole;

    tenths += rest * 2 > whole || (rest * 2 == whole && tenths % 2 == 1);

    const char decimal[] = { '.', (char)('0' + tenths % 10), '\0' };
    put_number(out, part / whole + tenths / 10);
    put(out, decimal);
}

static void put_size(Words *out, gint64 kib)
{
    if (kib < 1024 * 1024)
        put_number(out, kib / 1024);
    else
        put_ratio(out, kib, 1024 * 1024);
    put(out, kib < 1024 * 1024 ? " MiB" : " GiB");
}

static void put_amount(Words *out, GwResourceKind kind, gint64 value)
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

static void put_unseen(Words *out, const GwPlanInput *input, GwResourceKind kind,
                       const GwResource *r)
{
    const char *on = gw_plan_host_name(input->destination);

    if (r->free) {
        put(out, r->chosen ? "The disks of " : "No disk of ");
        put(out, gw_plan_vm_name(input->vm));
        put(out, r->chosen ? " that are copied have places of their own on " : " is copied to ");
        put(out, on);
        return;
    }
    if (kind == GW_RESOURCE_DISK && r->pool == NULL) {
        put(out, on);
        put(out, " has no place for the disks that are copied");
        return;
    }
    put(out, "How much ");
    put(out, nouns[kind]);
    if (kind == GW_RESOURCE_DISK) {
        put(out, " of pool '");
        put(out, gw_plan_text(r->pool->name));
        put(out, "'");
    }
    put(out, " of ");
    put(out, on);
    put(out, " is in use is not known");
}

static const char *const guesses[GW_RESOURCES] = {
    "",
    "; what the VM uses was not seen: half of its vCPUs",
    "; how large the disks are is not known",
    "; the link's speed is not told: 1 Gbit/s",
};

/* "With web1, kvm2 has 24.0 GiB of 62.0 GiB of memory left beside a reserve of 2.0 GiB of memory"
 */
static void put_seen(Words *out, const GwPlanInput *input, GwResourceKind kind, const GwResource *r)
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
    if (r->chosen)
        return "Places that were chosen for single disks are not rated.";
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
static char *about(Words *out, const char *before, const char *on, const char *after)
{
    put(out, before);
    put(out, on);
    put(out, after);
    return take(out);
}

static char *remedy_words(Words *out, const GwPlanInput *input, const GwResources *resources,
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
                     GwRatingFactor *factor)
{
    const GwResource *r = &resources->of[kind];
    gboolean seen = !r->free && !r->unknown && (kind != GW_RESOURCE_DISK || r->pool != NULL);
    Words out;

    out.length = 0;
    if (seen)
        put_seen(&out, input, kind, r);
    else
        put_unseen(&out, input, kind, r);
    factor->observed = take(&out);
    factor->required = g_strdup(required_words(resources, kind, r));
    if (factor->lowers || factor->excludes)
        factor->remedy = remedy_words(&out, input, resources, kind);
}
