/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/migration_plan.h"

const GwEnum gw_plan_kind_enum = {
    "MigrationPlanKind", (const char *const[]){ "drain", "undrain", "moves", "balance", NULL }
};

GW_DEFINE_RECORD(
    GwPlanRequest, gw_plan_request, "MigrationPlanRequest", "What a plan of many moves is to do.",
    GW_F(GwPlanRequest, kind, GW_ENUM, .of_enum = &gw_plan_kind_enum,
         .doc = "drain, undrain, moves or balance."),
    GW_F(GwPlanRequest, hosts, GW_STRINGS,
         .doc = "Ids or names of the hosts to empty, or to bring VMs back to."),
    GW_F(GwPlanRequest, group, GW_STRING,
         .doc = "Host group: what balance is for; else destinations only in it."),
    GW_F(GwPlanRequest, vms, GW_STRINGS, .doc = "UUIDs or names of the VMs of kind moves."),
    GW_F(GwPlanRequest, destinations, GW_STRINGS,
         .doc = "Ids or names of the only destinations; default: all that may."),
    GW_F(GwPlanRequest, hosts_at_once, GW_INT, .max = GW_PLAN_HOSTS_MAX,
         .doc = "How many hosts are emptied at one time; 0: all."),
    GW_F(GwPlanRequest, moves_at_once, GW_INT, .max = GW_PLAN_VMS_MAX,
         .doc = "How many moves at one time, beside the hosts' limits; 0: no further limit."),
    GW_F(GwPlanRequest, cold, GW_BOOL, .doc = "VMs that are off are moved as well."),
    GW_F(GwPlanRequest, storage, GW_BOOL, .doc = "Disks that are not shared may be copied."),
    GW_F(GwPlanRequest, maintenance, GW_BOOL, .doc = "The hosts enter maintenance."),
    GW_F(GwPlanRequest, options, GW_OBJECT, .of = &gw_move_options_record,
         .doc = "Options of each move."),
    GW_F(GwPlanRequest, undoes, GW_STRING, .doc = "The drain's job that undrain takes back."),
    GW_F(GwPlanRequest, leave, GW_STRINGS, .doc = "UUIDs of VMs that are not to be moved."));

const GwEnum gw_planned_state_enum = { "PlannedMoveState",
                                       (const char *const[]){ "waiting", "running", "done",
                                                              "failed", "skipped", NULL } };

GW_DEFINE_RECORD(
    GwPlannedMove, gw_planned_move, "PlannedMove", "One move of a plan.",
    GW_F(GwPlannedMove, wave, GW_INT, .doc = "Those of one wave need nothing of each other."),
    GW_F(GwPlannedMove, after, GW_INT,
         .doc = "Number (from 1) of the move that must be done before; 0: none."),
    GW_F(GwPlannedMove, vm_uuid, GW_STRING, .flags = GW_REQUIRED, .doc = "The VM's UUID."),
    GW_F(GwPlannedMove, vm_name, GW_STRING, .doc = "The VM's name."),
    GW_F(GwPlannedMove, source_host_id, GW_STRING, .flags = GW_REQUIRED, .doc = "Where it is."),
    GW_F(GwPlannedMove, source_host_name, GW_STRING, .doc = "Its name."),
    GW_F(GwPlannedMove, destination_host_id, GW_STRING, .flags = GW_REQUIRED,
         .doc = "Where it goes."),
    GW_F(GwPlannedMove, destination_host_name, GW_STRING, .doc = "Its name."),
    GW_F(GwPlannedMove, transfer, GW_ENUM, .of_enum = &gw_transfer_enum, .doc = "Transfer type."),
    GW_F(GwPlannedMove, storage, GW_STRING, .doc = "Pool for the disks that do not stay."),
    GW_F(GwPlannedMove, starts_ms, GW_INT, .doc = "From the plan's begin, as predicted, ms."),
    GW_F(GwPlannedMove, ends_ms, GW_INT, .doc = "From the plan's begin, as predicted, ms."),
    GW_F(GwPlannedMove, memory_kib, GW_INT, .doc = "The VM's memory, KiB."),
    GW_F(GwPlannedMove, bytes, GW_INT, .doc = "To be moved, as predicted, bytes."),
    GW_F(GwPlannedMove, detour, GW_BOOL, .doc = "Only to make room; it moves on later."),
    GW_F(GwPlannedMove, stars, GW_DOUBLE, .doc = "The destination's rating at that step."),
    GW_F(GwPlannedMove, why, GW_STRING, .doc = "Why there and then."),
    GW_F(GwPlannedMove, state, GW_ENUM, .of_enum = &gw_planned_state_enum, .doc = "State."),
    GW_F(GwPlannedMove, job_id, GW_STRING, .doc = "Its job, once it began."),
    GW_F(GwPlannedMove, error, GW_STRING, .doc = "Of the last try."),
    GW_F(GwPlannedMove, tries, GW_INT, .doc = "How often it was begun."));

GW_DEFINE_RECORD(GwPlannedStay, gw_planned_stay, "PlannedStay", "A VM that cannot move.",
                 GW_F(GwPlannedStay, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
                 GW_F(GwPlannedStay, vm_name, GW_STRING, .doc = "The VM's name."),
                 GW_F(GwPlannedStay, host_id, GW_STRING, .doc = "Where it is."),
                 GW_F(GwPlannedStay, host_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwPlannedStay, why, GW_STRING, .doc = "Why, in one sentence."),
                 GW_F(GwPlannedStay, findings, GW_ARRAY, .of = &gw_finding_record,
                      .doc = "What stands in the way at the host that comes nearest."));

GW_DEFINE_RECORD(GwMigrationPlan, gw_migration_plan, "MigrationPlan",
                 "A plan of many moves, in waves (R19, R49).",
                 GW_F(GwMigrationPlan, kind, GW_ENUM, .of_enum = &gw_plan_kind_enum,
                      .doc = "drain, undrain, moves or balance."),
                 GW_F(GwMigrationPlan, request, GW_OBJECT, .of = &gw_plan_request_record,
                      .doc = "What was asked for."),
                 GW_F(GwMigrationPlan, made_at, GW_STRING, .doc = "When, RFC 3339."),
                 GW_F(GwMigrationPlan, fingerprint, GW_STRING,
                      .doc = "Of all that it rests on: another one means drift."),
                 GW_F(GwMigrationPlan, moves, GW_ARRAY, .of = &gw_planned_move_record,
                      .doc = "The moves, in the order in which they begin."),
                 GW_F(GwMigrationPlan, stays, GW_ARRAY, .of = &gw_planned_stay_record,
                      .doc = "What cannot leave, and why."),
                 GW_F(GwMigrationPlan, waves, GW_INT, .doc = "How many waves."),
                 GW_F(GwMigrationPlan, total_ms, GW_OBJECT, .of = &gw_interval_record,
                      .doc = "How long it will take, ms."),
                 GW_F(GwMigrationPlan, lower_bound_ms, GW_INT,
                      .doc = "No order can be faster, ms."),
                 GW_F(GwMigrationPlan, notes, GW_STRINGS, .doc = "What a person should know."),
                 GW_F(GwMigrationPlan, rests_on, GW_STRINGS,
                      .doc = "What the fingerprint is of: VMs, hosts, rules, each as it was."));
