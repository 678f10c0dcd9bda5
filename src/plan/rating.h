/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/shared.h"

/* What the parts of a rating share: resources (rating_resources.c), volumes (rating_volume.c), and
 * what is made of them (rating.c, place.c). Points are 0 to GW_POINTS_MAX, five stars. */

#define GW_POINTS_MAX 1000000
#define GW_POINTS_HALF_STAR (GW_POINTS_MAX / 10)
/* Of what nobody has seen: neither good nor bad. */
#define GW_POINTS_NEUTRAL (GW_POINTS_MAX / 2)

#define GW_RATING_MEGABIT 125000 /* bytes per second */

typedef enum {
    GW_RESOURCE_MEMORY,
    GW_RESOURCE_CPU,
    GW_RESOURCE_DISK,
    GW_RESOURCE_NETWORK,
    GW_RESOURCES,
} GwResourceKind;

/* One resource of the destination with the VM on it; in KiB, permille of one CPU, bytes, or bytes
 * per second. */
typedef struct {
    gint64 weight;
    gint64 points;
    gint64 whole;       /* without reserves */
    gint64 left;        /* of it; below 0: it is short */
    gint64 reserve;     /* what is left alone, the host's and its group's together */
    const GwPool *pool; /* of disk; NULL: nothing is copied, or there is none */
    gboolean unknown;   /* it gets neutral points */
    gboolean assumed;   /* the VM's own part was not seen */
    gboolean excludes;  /* a reserve would not be left, or there is no place */
    gboolean free;      /* of disk: nothing is copied to a place that is to be chosen */
    gboolean chosen;    /* but disks are, to places that were chosen for each */
} GwResource;

/* A pool as the place of what is copied. */
typedef struct {
    const GwPool *pool; /* the best; NULL: there is none */
    gboolean fits;      /* and what is copied leaves its reserve alone */
    gboolean told;      /* its size is */
    gint64 whole, left; /* bytes, without the reserve */
    gint64 need;        /* bytes that are copied; 0: nobody knows */
    guint others;       /* pools that were looked at as well */
} GwVolumeChoice;

typedef struct {
    const GwPlacementPolicy *policy;
    GwResource of[GW_RESOURCES];
    GwVolumeChoice volume; /* unless nothing is copied */
} GwResources;

void gw_rating_resources(const GwPlanInput *input, const GwCandidate *candidate,
                         GwResources *resources);
/* rating_words.c. Sets @factor's texts. */
void gw_rating_words(const GwPlanInput *input, const GwResources *resources, GwResourceKind kind,
                     GwRatingFactor *factor);

/* Whether anything of the VM is copied to a place that nobody chose by name. */
gboolean gw_rating_is_copied(const GwPlanInput *input, const GwCandidate *candidate);
/* The best pool of the destination for what is copied: where it fits, that with the most space
 * left; then a default location before others; then by name. With @options->storage that one.
 * @defaults: only default locations (R46). */
GwVolumeChoice gw_rating_volume(const GwPlanInput *input, const GwCandidate *candidate,
                                gboolean defaults);
char *gw_rating_volume_words(const GwPlanInput *input, const GwVolumeChoice *choice);

/* What is left alone of disk space of the destination, bytes of each pool. */
gint64 gw_rating_disk_reserve(const GwPlanInput *input, const GwPlacementPolicy *policy);
/* The fastest link of @host that is up, as its agent says (libvirt tells nothing of it); where it
 * does not (*@told), what is assumed. */
gint64 gw_rating_link_mbps(const GwHost *host, gboolean *told);
/* @part of @whole as points; 0 where there is no whole. */
gint64 gw_rating_share(gint64 part, gint64 whole);
/* By rating: suitable first, then points, name, id. */
int gw_rating_compare(const GwCandidate *a, const GwCandidate *b);
void gw_candidates_sort(GPtrArray *candidates);
