/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/placement.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

const GwEnum gw_goal_enum = { "PlacementGoal", (const char *const[]){ "balance", "fill", NULL } };

GW_DEFINE_RECORD(
    GwPlacementPolicy, gw_placement_policy, "PlacementPolicy",
    "How VMs are placed in a host group (R26, R46).",
    GW_F(GwPlacementPolicy, goal, GW_ENUM, .of_enum = &gw_goal_enum,
         .doc = "balance: the host with the most left is best; fill: the fullest with room."),
    GW_F(GwPlacementPolicy, cpu_weight, GW_INT, .max = GW_WEIGHT_MAX,
         .doc = "How much CPU counts, 0 to 100."),
    GW_F(GwPlacementPolicy, memory_weight, GW_INT, .max = GW_WEIGHT_MAX,
         .doc = "How much memory counts, 0 to 100."),
    GW_F(GwPlacementPolicy, disk_weight, GW_INT, .max = GW_WEIGHT_MAX,
         .doc = "How much free disk space counts, 0 to 100."),
    GW_F(GwPlacementPolicy, network_weight, GW_INT, .max = GW_WEIGHT_MAX,
         .doc = "How much network load counts, 0 to 100."),
    GW_F(GwPlacementPolicy, cpu_reserve_percent, GW_INT, .max = 100,
         .doc = "CPU left alone on each host, percent."),
    GW_F(GwPlacementPolicy, memory_reserve_kib, GW_INT,
         .doc = "Memory left alone on each host, KiB."),
    GW_F(GwPlacementPolicy, disk_reserve_bytes, GW_INT,
         .doc = "Space left alone in each storage pool, bytes."));

GwPlacementPolicy *gw_placement_policy_new_default(void)
{
    GwPlacementPolicy *policy = gw_placement_policy_new();

    policy->cpu_weight = GW_WEIGHT_DEFAULT;
    policy->memory_weight = GW_WEIGHT_DEFAULT;
    policy->disk_weight = GW_WEIGHT_DEFAULT;
    policy->network_weight = GW_WEIGHT_DEFAULT;
    return policy;
}

const GwEnum gw_placement_rule_kind_enum = { "PlacementRuleKind",
                                             (const char *const[]){ "together", "apart", "run-on",
                                                                    "keep-off", "network", NULL } };

GW_DEFINE_RECORD(
    GwPlacementRule, gw_placement_rule, "PlacementRule", "A rule about where VMs may run (R57).",
    GW_F(GwPlacementRule, id, GW_STRING, .flags = GW_READ_ONLY, .doc = "Identifier."),
    GW_F(GwPlacementRule, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name, unique."),
    GW_F(GwPlacementRule, kind, GW_ENUM, .of_enum = &gw_placement_rule_kind_enum,
         .flags = GW_REQUIRED,
         .doc = "together (affinity), apart (anti-affinity), run-on, keep-off, network."),
    GW_F(GwPlacementRule, required, GW_BOOL,
         .doc = "It excludes hosts; otherwise it is a preference and lowers their rating."),
    GW_F(GwPlacementRule, disabled, GW_BOOL, .doc = "It is kept, but not applied."),
    GW_F(GwPlacementRule, vms, GW_STRINGS, .doc = "The VMs' UUIDs."),
    GW_F(GwPlacementRule, networks, GW_STRINGS, .doc = "Names of networks, of kind network."),
    GW_F(GwPlacementRule, hosts, GW_STRINGS, .doc = "Ids of hosts."),
    GW_F(GwPlacementRule, host_tags, GW_STRINGS, .doc = "Tags of hosts."),
    GW_F(GwPlacementRule, comment, GW_STRING, .doc = "Why the rule is there, for people."));

static gboolean tag_is_fine(const char *tag)
{
    gsize length = strlen(tag);

    if (length == 0 || length > GW_TAG_LENGTH_MAX || tag[0] == '=')
        return FALSE;
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isgraph(tag[i]) || tag[i] == ',')
            return FALSE;
    }
    return TRUE;
}

gboolean gw_tags_check(char *const *tags, GError **error)
{
    guint count = 0;

    for (; tags != NULL && tags[count] != NULL; count++) {
        if (count < GW_TAGS_MAX && tag_is_fine(tags[count]))
            continue;
        if (count >= GW_TAGS_MAX)
            gw_error_set(error, GW_ERR_INVALID, "Use fewer.", "there are more than %d tags",
                         GW_TAGS_MAX);
        else
            gw_error_set(
                error, GW_ERR_INVALID, "A tag is a word or key=value, without blanks and commas.",
                "tag %u is empty, too long or has a character that tags cannot have", count + 1);
        return FALSE;
    }
    return TRUE;
}

static guint length_of(char *const *strings)
{
    return strings != NULL ? g_strv_length((char **)strings) : 0;
}

static gboolean rule_is_wrong(GError **error, const char *remedy, const char *what)
{
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s", what);
    return FALSE;
}

static gboolean check_sizes(const GwPlacementRule *rule, GError **error)
{
    if (length_of(rule->vms) > GW_RULE_VMS_MAX || length_of(rule->hosts) > GW_RULE_HOSTS_MAX ||
        length_of(rule->networks) > GW_RULE_HOSTS_MAX)
        return rule_is_wrong(error, "Split the rule.",
                             "a rule may name 10000 VMs, 1000 hosts and 1000 networks at most");
    return gw_tags_check(rule->host_tags, error);
}

gboolean gw_placement_rule_check(const GwPlacementRule *rule, GError **error)
{
    guint vms = length_of(rule->vms), networks = length_of(rule->networks);
    guint places = length_of(rule->hosts) + length_of(rule->host_tags);

    if (!check_sizes(rule, error))
        return FALSE;
    switch ((GwPlacementRuleKind)rule->kind) {
    case GW_RULE_KIND_TOGETHER:
    case GW_RULE_KIND_APART:
        if (vms < 2)
            return rule_is_wrong(error, "Name two VMs or more.", "the rule is between VMs");
        if (places + networks > 0)
            return rule_is_wrong(error, "Use run-on or keep-off for hosts, network for networks.",
                                 "a rule between VMs names no hosts, tags or networks");
        return TRUE;
    case GW_RULE_KIND_RUN_ON:
    case GW_RULE_KIND_KEEP_OFF:
        if (vms == 0 || places == 0)
            return rule_is_wrong(error, "Name VMs, and hosts or tags of hosts.",
                                 "the rule is between VMs and hosts");
        if (networks > 0)
            return rule_is_wrong(error, "Use a rule of kind network.",
                                 "this kind of rule names no networks");
        return TRUE;
    case GW_RULE_KIND_NETWORK:
        if (networks == 0 || places == 0)
            return rule_is_wrong(error, "Name networks, and hosts or tags of hosts.",
                                 "the rule is between networks and hosts");
        if (vms > 0)
            return rule_is_wrong(error, "Use a rule of kind run-on.",
                                 "a rule of networks names no VMs");
        return TRUE;
    }
    return rule_is_wrong(error, "Choose together, apart, run-on, keep-off or network.",
                         "the rule has no kind");
}

GW_DEFINE_RECORD(
    GwRatingFactor, gw_rating_factor, "RatingFactor", "One thing that a rating is made of (R33).",
    GW_F(GwRatingFactor, name, GW_STRING, .doc = "What: memory, cpu, disk, network, a rule."),
    GW_F(GwRatingFactor, requirement, GW_STRING, .doc = "The requirement it serves."),
    GW_F(GwRatingFactor, stars, GW_DOUBLE, .doc = "By this factor alone, 0 to 5."),
    GW_F(GwRatingFactor, weight, GW_INT, .doc = "How much it counts; 0: only lowers or excludes."),
    GW_F(GwRatingFactor, excludes, GW_BOOL, .doc = "It alone makes the rating 0."),
    GW_F(GwRatingFactor, lowers, GW_BOOL, .doc = "Without it the rating would be higher."),
    GW_F(GwRatingFactor, observed, GW_STRING, .doc = "What was observed."),
    GW_F(GwRatingFactor, required, GW_STRING, .doc = "What is required, or would be best."),
    GW_F(GwRatingFactor, remedy, GW_STRING, .doc = "What to do about it."));

GW_DEFINE_RECORD(GwRating, gw_rating, "Rating",
                 "How well a host suits a VM, and what that rests on (R33).",
                 GW_F(GwRating, stars, GW_DOUBLE, .doc = "0 to 5, in half steps."),
                 GW_F(GwRating, points, GW_INT, .doc = "The same, finer: 0 to 1,000,000."),
                 GW_F(GwRating, storage, GW_STRING,
                      .doc = "The best storage pool for the disks that do not stay (R26)."),
                 GW_F(GwRating, storage_why, GW_STRING, .doc = "Why that one."),
                 GW_F(GwRating, factors, GW_ARRAY, .of = &gw_rating_factor_record,
                      .doc = "What the rating is made of."));
