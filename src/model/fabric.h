/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"
#include "model/vm.h"
#include "model/vm_places.h"

/* An immutable picture of everything managed. The engine publishes a new one after each change;
 * readers hold a reference for as long as they like and never hold the engine up. Elements are
 * shared between pictures: nobody changes one that has been published. */
typedef struct {
    gatomicrefcount refs;
    guint64 revision;
    gint64 wall_us;     /* when it was last changed; 0: nobody says */
    GHashTable *groups; /* id -> GwGroup */
    GHashTable *hosts;  /* id -> GwHost */
    GHashTable *vms;    /* host id -> GHashTable (uuid -> GwVm): one table for each host */
    GHashTable *shares; /* id -> GwShare */
    GHashTable *jobs;   /* id -> GwJob */
    GHashTable *kept;   /* id -> GwKeptVolume */
    GHashTable *rules;  /* id -> GwPlacementRule */
    GwVmPlaces *places; /* UUID -> ids of the hosts whose tables in vms have it */
    GHashTable *own;    /* which tables belong to this picture alone; fabric.c's business */
} GwFabric;

GwFabric *gw_fabric_new(void);
GwFabric *gw_fabric_ref(GwFabric *fabric);
void gw_fabric_unref(GwFabric *fabric);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwFabric, gw_fabric_unref)

/* A new picture that shares everything with @fabric, with the next revision; to be changed by its
 * only owner before it is published, and only by the functions below: a table is copied when the
 * first of them changes it. */
GwFabric *gw_fabric_next(const GwFabric *fabric);

/* Replace or remove; each takes ownership of the record. */
void gw_fabric_put_group(GwFabric *fabric, GwGroup *group);
void gw_fabric_put_host(GwFabric *fabric, GwHost *host);
void gw_fabric_put_share(GwFabric *fabric, GwShare *share);
void gw_fabric_put_job(GwFabric *fabric, GwJob *job);
void gw_fabric_put_vm(GwFabric *fabric, GwVm *vm);
void gw_fabric_remove_vm(GwFabric *fabric, const char *host_id, const char *uuid);
void gw_fabric_put_kept(GwFabric *fabric, GwKeptVolume *kept);
void gw_fabric_remove_kept(GwFabric *fabric, const char *id);
/* Newest first; borrowed records in a new array. */
GPtrArray *gw_fabric_list_kept(const GwFabric *fabric);
void gw_fabric_put_rule(GwFabric *fabric, GwPlacementRule *rule);
void gw_fabric_remove_rule(GwFabric *fabric, const char *id);
/* With its VMs and the old copies that are kept there. */
void gw_fabric_remove_host(GwFabric *fabric, const char *host_id);
void gw_fabric_remove_group(GwFabric *fabric, const char *id);
void gw_fabric_remove_share(GwFabric *fabric, const char *id);
void gw_fabric_remove_job(GwFabric *fabric, const char *id);

/* All return borrowed records, or NULL. */
const GwHost *gw_fabric_host(const GwFabric *fabric, const char *id);
const GwVm *gw_fabric_vm(const GwFabric *fabric, const char *host_id, const char *uuid);
/* The next of the VMs of that UUID, on whatever host; during and after a move there are two. *@at
 * begins as 0. */
const GwVm *gw_fabric_next_vm(const GwFabric *fabric, const char *uuid, guint *at);
/* By id or by name; names are unique among hosts, groups, shares. */
const GwHost *gw_fabric_find_host(const GwFabric *fabric, const char *id_or_name);
const GwGroup *gw_fabric_find_group(const GwFabric *fabric, const char *id_or_name);
const GwShare *gw_fabric_find_share(const GwFabric *fabric, const char *id_or_name);
const GwPlacementRule *gw_fabric_find_rule(const GwFabric *fabric, const char *id_or_name);
/* By UUID or name, optionally "HOST/NAME". Where several match, the running one; an error where
 * none or still several match. */
const GwVm *gw_fabric_find_vm(const GwFabric *fabric, const char *which, GError **error);
/* By full id, or by the last six or more characters of it. */
const GwJob *gw_fabric_find_job(const GwFabric *fabric, const char *which, GError **error);
/* A job, not final, that uses the host; or NULL. */
const GwJob *gw_fabric_job_of_host(const GwFabric *fabric, const char *id);
/* The job, not final, that holds @uuid; or NULL. */
const GwJob *gw_fabric_job_of_vm(const GwFabric *fabric, const char *uuid);

/* Sorted by name (jobs: newest first) into a new array of borrowed records: the order of lists. */
GPtrArray *gw_fabric_list_groups(const GwFabric *fabric);
GPtrArray *gw_fabric_list_hosts(const GwFabric *fabric);
GPtrArray *gw_fabric_list_vms(const GwFabric *fabric, const char *host_id);
/* Which of the two stands first in such a list (@a may be NULL): who looks through a table for one
 * VM names the same one each time. */
const GwVm *gw_fabric_first_vm(const GwVm *a, const GwVm *b);
GPtrArray *gw_fabric_list_shares(const GwFabric *fabric);
GPtrArray *gw_fabric_list_rules(const GwFabric *fabric);
GPtrArray *gw_fabric_list_jobs(const GwFabric *fabric);
