/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/vm_places.h"

#include <string.h>

#define PARTS                                                                                      \
    256 /* of 10,000 VMs each holds 40: copied in a moment, and looked through in less             \
         */

typedef struct {
    guint hash;
    char *uuid, *host_id; /* counted strings */
} Place;

/* Never changed: another takes its place. */
typedef struct {
    gatomicrefcount refs;
    guint count;
    Place places[];
} Part;

struct GwVmPlaces {
    gatomicrefcount refs;
    Part *parts[PARTS]; /* NULL: empty */
};

static Part *part_new(guint count)
{
    Part *part = g_malloc(sizeof(Part) + count * sizeof(Place));

    g_atomic_ref_count_init(&part->refs);
    part->count = 0;
    return part;
}

static void part_unref(Part *part)
{
    if (part == NULL || !g_atomic_ref_count_dec(&part->refs))
        return;
    for (guint i = 0; i < part->count; i++) {
        g_ref_string_release(part->places[i].uuid);
        g_ref_string_release(part->places[i].host_id);
    }
    g_free(part);
}

static void take(Part *part, const Place *place)
{
    part->places[part->count++] = (Place){ place->hash, g_ref_string_acquire(place->uuid),
                                           g_ref_string_acquire(place->host_id) };
}

GwVmPlaces *gw_vm_places_new(void)
{
    GwVmPlaces *places = g_new0(GwVmPlaces, 1);
    g_atomic_ref_count_init(&places->refs);
    return places;
}

GwVmPlaces *gw_vm_places_copy(const GwVmPlaces *places)
{
    GwVmPlaces *copy = gw_vm_places_new();

    for (guint i = 0; i < PARTS; i++) {
        copy->parts[i] = places->parts[i];
        if (copy->parts[i] != NULL)
            g_atomic_ref_count_inc(&copy->parts[i]->refs);
    }
    return copy;
}

GwVmPlaces *gw_vm_places_ref(GwVmPlaces *places)
{
    g_atomic_ref_count_inc(&places->refs);
    return places;
}

void gw_vm_places_unref(GwVmPlaces *places)
{
    if (places == NULL || !g_atomic_ref_count_dec(&places->refs))
        return;
    for (guint i = 0; i < PARTS; i++)
        part_unref(places->parts[i]);
    g_free(places);
}

void gw_vm_places_add(GwVmPlaces *places, const char *uuid, const char *host_id)
{
    guint hash = g_str_hash(uuid);
    Part *old = places->parts[hash % PARTS];
    Part *part = part_new((old != NULL ? old->count : 0) + 1);

    for (guint i = 0; old != NULL && i < old->count; i++)
        take(part, &old->places[i]);
    part->places[part->count++] =
        (Place){ hash, g_ref_string_new(uuid), g_ref_string_new(host_id) };
    places->parts[hash % PARTS] = part;
    part_unref(old);
}

static gboolean is_of(const Place *place, guint hash, const char *uuid)
{
    return place->hash == hash && strcmp(place->uuid, uuid) == 0;
}

void gw_vm_places_remove(GwVmPlaces *places, const char *uuid, const char *host_id)
{
    guint hash = g_str_hash(uuid);
    Part *old = places->parts[hash % PARTS];
    Part *part = old != NULL && old->count > 1 ? part_new(old->count) : NULL;

    for (guint i = 0; part != NULL && i < old->count; i++) {
        const Place *place = &old->places[i];
        if (!is_of(place, hash, uuid) || strcmp(place->host_id, host_id) != 0)
            take(part, place);
    }
    places->parts[hash % PARTS] = part;
    part_unref(old);
}

const char *gw_vm_places_next(const GwVmPlaces *places, const char *uuid, guint *at)
{
    guint hash = g_str_hash(uuid);
    const Part *part = places->parts[hash % PARTS];

    while (part != NULL && *at < part->count) {
        const Place *place = &part->places[(*at)++];
        if (is_of(place, hash, uuid))
            return place->host_id;
    }
    return NULL;
}
