/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "trials.h"

/* Plans of many moves over a simulated fabric: hosts "a", "b", … that share their storage, VMs vm0,
 * vm1, … (UUIDs as of trials), and what must hold at every instant of a drain. */

#define PLAN_VMS_MAX 12

typedef struct {
    World world;
    guint hosts, vms;
    guint apart[2];      /* two VMs that never run on one host; equal: none */
    GHashTable *drained; /* ids of drains that are done, and whose hosts were seen to be empty */
} PlanWorld;

/* @places: the host of each VM, a letter each: "aab" is vm0 and vm1 on a, vm2 on b. */
json_t *plan_fabric(guint hosts, const char *places);
json_t *plan_vm_json(json_t *fabric, guint vm);
/* @fabric (stolen) was made for @hosts and @vms. */
void plan_open(PlanWorld *world, json_t *fabric, guint hosts, guint vms);
/* What most tests begin with. */
#define PLAN_PLACES "aaaaabcd" /* 8 VMs on 4 hosts, 5 of them on a */
void plan_open_default(PlanWorld *world);
/* The same, with a drain of a under way for half a second; answers its job's id. */
char *plan_open_draining(PlanWorld *world);
void plan_close(PlanWorld *world);
/* The same, after plan_check_vms, where nothing runs on a any more. */
void plan_close_drained(PlanWorld *world);
/* Runs on, and looks every 20 ms whether all still holds. */
void plan_run(PlanWorld *world, gint64 span_us);
/* Runs on until the job is over; it must be so in half an hour. Owned. */
GwJob *plan_run_job(PlanWorld *world, const char *job_id);
/* The same; it must end as done. */
GwJob *plan_run_done(PlanWorld *world, const char *job_id);
void plan_end_done(PlanWorld *world, const char *job_id);

GwPlanRequest *plan_request(GwPlanKind kind, const char *hosts);
/* Stolen. */
GwMigrationPlan *plan_make(PlanWorld *world, GwPlanRequest *request);
GwJob *plan_apply(PlanWorld *world, const GwMigrationPlan *plan);
/* Plans and applies; answers the job's id. */
char *plan_drain(PlanWorld *world, const char *hosts);
char *plan_undrain(PlanWorld *world, const char *hosts);

/* Of a host by its letter. */
int plan_maintenance(PlanWorld *world, char host);
guint plan_running_at(PlanWorld *world, char host);
/* The letter of the one host where the VM runs; fails where there is none, or several. */
char plan_where(PlanWorld *world, guint vm);
/* Every VM is where @places has it. */
void plan_check_places(PlanWorld *world, const char *places);
/* I1, I2 for all VMs, by a witness outside. */
void plan_check_vms(PlanWorld *world);
/* The controller is killed then, and comes back after a while. */
void plan_kill_at(PlanWorld *world, gint64 ms, gint64 away_ms);
/* How many jobs are not over. */
guint plan_unfinished(PlanWorld *world);
GwPlannedMove *plan_move_at(const GwMigrationPlan *plan, guint index);
/* Moves of the job that are in that state. */
guint plan_count(const GwJob *job, GwPlannedState state);
