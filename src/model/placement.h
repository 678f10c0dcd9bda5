/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* How it is decided where VMs go: a host group's policy, the rules a person makes, and the rating
 * that comes of them, explained (R26, R33, R45, R46, R57). */

typedef enum {
    GW_GOAL_BALANCE, /* the host with the most left is best */
    GW_GOAL_FILL,    /* the fullest that still has room is best */
} GwGoal;
extern const GwEnum gw_goal_enum;

#define GW_WEIGHT_MAX 100
#define GW_WEIGHT_DEFAULT 50

/* Of a host group; one without takes its parent's, All Hosts the product's. Weights say how much
 * each resource counts beside the others, 0 to 100; where all are 0 they count alike. */
typedef struct {
    int goal; /* GwGoal */
    gint64 cpu_weight;
    gint64 memory_weight;
    gint64 disk_weight;
    gint64 network_weight;
    /* What is left alone on each host of the group, beside the host's own reserves. */
    gint64 cpu_reserve_percent;
    gint64 memory_reserve_kib;
    gint64 disk_reserve_bytes; /* of each pool */
} GwPlacementPolicy;
GW_DECLARE_RECORD(GwPlacementPolicy, gw_placement_policy)

/* A new policy with the product's defaults. */
GwPlacementPolicy *gw_placement_policy_new_default(void);

typedef enum {
    GW_RULE_KIND_TOGETHER, /* affinity: the VMs run on one host */
    GW_RULE_KIND_APART,    /* anti-affinity: no two of them run on one host */
    GW_RULE_KIND_RUN_ON,   /* the VMs run on these hosts, or on hosts with all of these tags */
    GW_RULE_KIND_KEEP_OFF, /* the VMs do not run on these hosts, nor on hosts with such a tag */
    GW_RULE_KIND_NETWORK,  /* VMs attached to these networks run only on these hosts, or on hosts
                              with all of these tags */
} GwPlacementRuleKind;
extern const GwEnum gw_placement_rule_kind_enum;

#define GW_RULE_VMS_MAX 10000
#define GW_RULE_HOSTS_MAX 1000
#define GW_TAGS_MAX 10000 /* of a host, or of a rule */
#define GW_TAG_LENGTH_MAX 255

/* A rule that a person makes. One that is required excludes hosts (an error of preflight); one that
 * is preferred lowers their rating. */
typedef struct {
    char *id;
    char *name;
    int kind; /* GwPlacementRuleKind */
    gboolean required;
    gboolean disabled;
    char **vms;       /* UUIDs */
    char **networks;  /* names, of NETWORK */
    char **hosts;     /* ids */
    char **host_tags; /* "ssd", "rack=3" */
    char *comment;
} GwPlacementRule;
GW_DECLARE_RECORD(GwPlacementRule, gw_placement_rule)

/* Shape only: kinds have what they need and nothing else, sizes, names of tags. Whether the VMs and
 * hosts exist, and whether rules contradict each other, is the planner's (gw_plan_check_rule). */
gboolean gw_placement_rule_check(const GwPlacementRule *rule, GError **error);
/* A tag is a word, or key=value: printable, no blanks, at most GW_TAG_LENGTH_MAX bytes. */
gboolean gw_tags_check(char *const *tags, GError **error);

/* One thing that a rating is made of (R33). */
typedef struct {
    char *name; /* "memory", "cpu", "disk", "network", a preflight rule, "rule 'web apart'" */
    char *requirement; /* "R33"; NULL: none */
    double stars;      /* by this factor alone, 0 to 5 */
    gint64 weight;     /* 0: it can only lower or exclude */
    gboolean excludes; /* it alone makes the rating 0 */
    gboolean lowers;   /* the rating would be higher, were it five stars */
    char *observed;
    char *required;
    char *remedy;
} GwRatingFactor;
GW_DECLARE_RECORD(GwRatingFactor, gw_rating_factor)

/* 0 to 5 stars in half steps. Equal input gives equal stars; what decides between equals is in
 * @points, then the host's name, then its id. */
typedef struct {
    double stars;
    gint64 points; /* the same, finer: 0 to 1,000,000 */
    char
        *storage; /* the best pool for the disks that do not stay; NULL: none moves, or none fits */
    char *storage_why;
    GPtrArray *factors; /* GwRatingFactor, what weighs most first */
} GwRating;
GW_DECLARE_RECORD(GwRating, gw_rating)
