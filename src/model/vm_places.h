/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* On which hosts there is a VM of some UUID: so that nobody who is given a UUID looks through all
 * hosts for it. A part of a picture (fabric.h): what a change does not touch is shared with the
 * picture before. */
typedef struct GwVmPlaces GwVmPlaces;

GwVmPlaces *gw_vm_places_new(void);
/* Costs the same however many VMs there are. */
GwVmPlaces *gw_vm_places_copy(const GwVmPlaces *places);
GwVmPlaces *gw_vm_places_ref(GwVmPlaces *places);
void gw_vm_places_unref(GwVmPlaces *places);

/* By their only owner. A place is added once, and removed only where it is. */
void gw_vm_places_add(GwVmPlaces *places, const char *uuid, const char *host_id);
void gw_vm_places_remove(GwVmPlaces *places, const char *uuid, const char *host_id);

/* The next host's id, borrowed; NULL: there is no other. *@at begins as 0. */
const char *gw_vm_places_next(const GwVmPlaces *places, const char *uuid, guint *at);
