/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/job.h"

#include "model/migration_plan.h"

const GwEnum gw_transfer_enum = {
    "TransferType", (const char *const[]){ "None", "Live", "Live (VSM)", "Network",
                                           "Fast file copy", "SAN", "Register", "Storage", NULL }
};

const GwEnum gw_job_state_enum = { "JobState", (const char *const[]){
                                                   "checking", "queued", "preparing", "copying",
                                                   "settling", "committing", "cleaning", "held",
                                                   "done", "failed", "cancelled", NULL } };

gboolean gw_job_state_is_final(GwJobState state)
{
    return state == GW_JOB_DONE || state == GW_JOB_FAILED || state == GW_JOB_CANCELLED;
}

GW_DEFINE_RECORD(
    GwMoveOptions, gw_move_options, "MoveOptions", "What may be chosen for one move.",
    GW_F(GwMoveOptions, method, GW_ENUM, .of_enum = &gw_method_enum,
         .doc = "Speed method; default: the source host's (R24)."),
    GW_F(GwMoveOptions, bandwidth_mibps, GW_INT, .max = 1000000,
         .doc = "Bandwidth limit in MiB/s; 0: the host's."),
    GW_F(GwMoveOptions, max_downtime_ms, GW_INT, .max = 60000,
         .doc = "Longest pause QEMU may aim at, in ms; 0: its default (300)."),
    GW_F(GwMoveOptions, channels, GW_INT, .max = 64,
         .doc = "Connections of Multichannel; 0: the default (2)."),
    GW_F(GwMoveOptions, post_copy, GW_BOOL, .doc = "The move may be switched to post-copy."),
    GW_F(GwMoveOptions, no_auto_converge, GW_BOOL, .doc = "Never slow the guest down."),
    GW_F(GwMoveOptions, tls, GW_BOOL, .doc = "Encrypt the migration stream by QEMU's TLS."),
    GW_F(GwMoveOptions, completion_timeout_s_per_gib, GW_INT, .max = 1000000,
         .doc = "Completion time-out in seconds per GiB; 0: the host's (R59)."),
    GW_F(GwMoveOptions, progress_timeout_s, GW_INT, .max = 1000000,
         .doc = "Progress time-out in seconds; 0: the host's (R60)."),
    GW_F(GwMoveOptions, transfer, GW_ENUM, .of_enum = &gw_transfer_enum,
         .doc = "This transfer type and no other; None: the best there is."),
    GW_F(GwMoveOptions, storage, GW_STRING,
         .doc = "Where disks go that cannot stay: a pool, a pool's path, or a share path whose "
                "server is an FQDN (R16, R17). Default: the pool of the same name, or the first "
                "default location."),
    GW_F(GwMoveOptions, disks, GW_ARRAY, .of = &gw_disk_choice_record, .max = GW_DISK_CHOICES_MAX,
         .doc = "Chosen for single disks (R38), each once."),
    GW_F(GwMoveOptions, nics, GW_ARRAY, .of = &gw_nic_choice_record, .max = GW_NIC_CHOICES_MAX,
         .doc = "Networks chosen for single adapters (R40), each once; the others get the best "
                "match."),
    GW_F(GwMoveOptions, hbas, GW_ARRAY, .of = &gw_hba_choice_record, .max = GW_HBA_CHOICES_MAX,
         .doc = "HBAs of the destination chosen for single virtual HBAs (R41), each once; the "
                "others get the best match."),
    GW_F(GwMoveOptions, copy_all, GW_BOOL, .doc = "Copy also disks that both hosts reach."),
    GW_F(GwMoveOptions, network, GW_BOOL,
         .doc = "Transfer over the network even if a SAN transfer is available (R39)."),
    GW_F(GwMoveOptions, flatten, GW_BOOL,
         .doc = "One image for each disk; else backing chains are kept as they are."),
    GW_F(GwMoveOptions, start, GW_BOOL, .doc = "Start the VM after it was moved off (R42)."),
    GW_F(GwMoveOptions, wait_for_merge, GW_BOOL,
         .doc = "Wait for a running merge instead of refusing (R31)."),
    GW_F(GwMoveOptions, add_default_storage, GW_BOOL,
         .doc = "Add the path to the destination's default locations (R18, R37)."),
    GW_F(GwMoveOptions, keep_source_s, GW_INT, .min = -1, .max = GW_KEEP_SOURCE_MAX_S,
         .doc = "How long old copies are kept for Undo, s; 0: the host's policy; -1: not at "
                "all."));

GW_DEFINE_RECORD(
    GwProgress, gw_progress, "Progress", "How far a move is.",
    GW_F(GwProgress, phase, GW_STRING, .doc = "Phase."),
    GW_F(GwProgress, percent, GW_INT, .doc = "0 to 100, never going back."),
    GW_F(GwProgress, iteration, GW_INT, .doc = "Pass over the memory."),
    GW_F(GwProgress, processed_bytes, GW_INT, .doc = "Bytes sent."),
    GW_F(GwProgress, remaining_bytes, GW_INT, .doc = "Bytes still to send."),
    GW_F(GwProgress, total_bytes, GW_INT, .doc = "Bytes to move in all."),
    GW_F(GwProgress, bandwidth_bps, GW_INT, .doc = "Bytes per second sent."),
    GW_F(GwProgress, dirty_rate_bps, GW_INT, .doc = "Bytes per second dirtied by the guest."),
    GW_F(GwProgress, elapsed_ms, GW_INT, .doc = "Since libvirt's job began, ms."),
    GW_F(GwProgress, eta_ms, GW_INT, .min = -1, .max = G_MAXINT64,
         .doc = "Time left in ms; -1: unknown."),
    GW_F(GwProgress, expected_downtime_ms, GW_INT, .doc = "QEMU's estimate, ms."),
    GW_F(GwProgress, throttle_percent, GW_INT, .doc = "How far auto-converge slows the guest."),
    GW_F(GwProgress, disk_total_bytes, GW_INT, .doc = "Bytes of disks to move in all."),
    GW_F(GwProgress, disk_processed_bytes, GW_INT, .doc = "Bytes of disks moved."),
    GW_F(GwProgress, disk_remaining_bytes, GW_INT, .doc = "Bytes of disks still to move."),
    GW_F(GwProgress, converging, GW_BOOL, .doc = "False: dirtied as fast as it is copied."),
    GW_F(GwProgress, note, GW_STRING, .doc = "In words."));

GW_DEFINE_RECORD(
    GwMoveResult, gw_move_result, "MoveResult", "The figures of a finished move.",
    GW_F(GwMoveResult, total_ms, GW_INT, .doc = "From accepted to settled, ms."),
    GW_F(GwMoveResult, queued_ms, GW_INT, .doc = "Waited for slots, ms."),
    GW_F(GwMoveResult, copy_ms, GW_INT, .doc = "Copying, ms."),
    GW_F(GwMoveResult, downtime_ms, GW_INT, .min = -1, .max = G_MAXINT64,
         .doc = "From the source's pause to the destination's resume as the controller saw it, ms; "
                "-1: not seen (R48)."),
    GW_F(GwMoveResult, downtime_libvirt_ms, GW_INT, .min = -1, .max = G_MAXINT64,
         .doc = "The hypervisor's own figure, ms; -1: not told."),
    GW_F(GwMoveResult, transferred_bytes, GW_INT, .doc = "Bytes sent."),
    GW_F(GwMoveResult, iterations, GW_INT, .doc = "Passes over the memory."),
    GW_F(GwMoveResult, drive, GW_STRING, .doc = "peer-to-peer or controller."),
    GW_F(GwMoveResult, method, GW_STRING, .doc = "The speed method really used."),
    GW_F(GwMoveResult, disk_bytes, GW_INT, .doc = "Bytes of disks read at the source."),
    GW_F(GwMoveResult, disk_sent_bytes, GW_INT, .doc = "Bytes of disks sent."),
    GW_F(GwMoveResult, disk_same_bytes, GW_INT,
         .doc = "Bytes of disks that the destination had already."));

GW_DEFINE_RECORD(GwJobError, gw_job_error, "JobError",
                 "Why a job failed, or what did not work beside one that is done.",
                 GW_F(GwJobError, code, GW_STRING, .doc = "Error code."),
                 GW_F(GwJobError, message, GW_STRING, .doc = "What was observed and required."),
                 GW_F(GwJobError, remedy, GW_STRING, .doc = "What to do about it."));

GW_DEFINE_RECORD(GwJobStep, gw_job_step, "JobStep", "One step of a job's history.",
                 GW_F(GwJobStep, at, GW_STRING, .doc = "When, RFC 3339."),
                 GW_F(GwJobStep, state, GW_STRING, .doc = "The state entered."),
                 GW_F(GwJobStep, event, GW_STRING, .doc = "What happened."),
                 GW_F(GwJobStep, why, GW_STRING, .doc = "Why the state followed."));

GW_DEFINE_RECORD(
    GwMigrationPlanProgress, gw_migration_plan_progress, "MigrationPlanProgress",
    "How far the job of a plan is, without the plan.",
    GW_F(GwMigrationPlanProgress, vms, GW_INT,
         .doc = "VMs that it is about, with those that stay; each counts once."),
    GW_F(GwMigrationPlanProgress, vms_moved, GW_INT,
         .doc = "Of these: how many are where they are to be."),
    GW_F(GwMigrationPlanProgress, waiting, GW_INT, .doc = "Moves that have not begun."),
    GW_F(GwMigrationPlanProgress, running, GW_INT, .doc = "Moves under way."),
    GW_F(GwMigrationPlanProgress, done, GW_INT, .doc = "Moves that are done."),
    GW_F(GwMigrationPlanProgress, failed, GW_INT, .doc = "Moves that failed."),
    GW_F(GwMigrationPlanProgress, skipped, GW_INT, .doc = "Moves that are not needed any more."),
    GW_F(GwMigrationPlanProgress, stays, GW_INT, .doc = "VMs that cannot move."),
    GW_F(GwMigrationPlanProgress, planned_again, GW_INT,
         .doc = "How often what was left was planned anew: its moves are others then."),
    GW_F(GwMigrationPlanProgress, moving, GW_STRINGS,
         .doc = "Names of the first few VMs that are on their way."));

GW_DEFINE_RECORD(
    GwJob, gw_job, "Job", "A long operation.",
    GW_F(GwJob, id, GW_STRING, .flags = GW_REQUIRED, .doc = "Identifier."),
    GW_F(GwJob, kind, GW_STRING, .flags = GW_REQUIRED,
         .doc = "vm-migrate, vm-transfer, vm-migrate-storage, job-repair, volume-remove or "
                "share-prove."),
    GW_F(GwJob, title, GW_STRING, .doc = "For people."),
    GW_F(GwJob, state, GW_ENUM, .of_enum = &gw_job_state_enum, .flags = GW_REQUIRED,
         .doc = "State."),
    GW_F(GwJob, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
    GW_F(GwJob, vm_name, GW_STRING, .doc = "The VM's name."),
    GW_F(GwJob, source_host_id, GW_STRING, .doc = "Source host."),
    GW_F(GwJob, destination_host_id, GW_STRING, .doc = "Destination host."),
    GW_F(GwJob, transfer, GW_ENUM, .of_enum = &gw_transfer_enum, .doc = "Transfer type (R4)."),
    GW_F(GwJob, options, GW_OBJECT, .of = &gw_move_options_record, .doc = "What was chosen."),
    GW_F(GwJob, progress, GW_OBJECT, .of = &gw_progress_record, .doc = "How far it is (R6)."),
    GW_F(GwJob, result, GW_OBJECT, .of = &gw_move_result_record, .doc = "The figures."),
    GW_F(GwJob, error, GW_OBJECT, .of = &gw_job_error_record,
         .doc = "Why it failed. Of a job that is done: a warning, what did not work beside it."),
    GW_F(GwJob, steps, GW_ARRAY, .of = &gw_job_step_record, .doc = "History."),
    GW_F(GwJob, steps_dropped, GW_INT,
         .doc = "How many steps of the history, after the first, are not kept."),
    GW_F(GwJob, user, GW_STRING, .doc = "Who asked for it."),
    GW_F(GwJob, waiting_for, GW_STRING, .doc = "What it waits for."),
    GW_F(GwJob, cancel_requested, GW_BOOL, .doc = "Somebody asked to cancel it (R58)."),
    GW_F(GwJob, source_old, GW_BOOL, .flags = GW_INTERNAL,
         .doc = "The VM ran at the destination: the source's memory is older than the disk."),
    GW_F(GwJob, destination_old, GW_BOOL, .flags = GW_INTERNAL,
         .doc = "The VM ran on at the source: the destination's memory is older than the disk."),
    GW_F(GwJob, source_gives_way, GW_BOOL, .flags = GW_INTERNAL,
         .doc = "The source was ordered to end in favour of the destination."),
    GW_F(GwJob, keep_source, GW_BOOL, .flags = GW_INTERNAL, .doc = "A person keeps the source."),
    GW_F(GwJob, keep_destination, GW_BOOL, .flags = GW_INTERNAL,
         .doc = "A person keeps the destination."),
    GW_F(GwJob, doubled, GW_BOOL, .doc = "The VM was seen running on both hosts."),
    GW_F(GwJob, created_at, GW_STRING, .doc = "Accepted, RFC 3339."),
    GW_F(GwJob, started_at, GW_STRING, .doc = "Left the queue, RFC 3339."),
    GW_F(GwJob, finished_at, GW_STRING, .doc = "Settled, RFC 3339."),
    GW_F(GwJob, epoch, GW_INT, .doc = "Epoch of the VM that this move holds."),
    GW_F(GwJob, commit_by_resume, GW_BOOL,
         .doc = "The destination stays paused until the source is seen gone."),
    GW_F(GwJob, peer_to_peer, GW_BOOL, .doc = "The source's libvirt drives the move."),
    GW_F(GwJob, through_agents, GW_BOOL, .flags = GW_READ_ONLY,
         .doc = "Every stream of it goes between the two hosts' agents."),
    GW_F(GwJob, vm_persistent, GW_BOOL, .doc = "The VM has a persistent definition."),
    GW_F(GwJob, vm_autostart, GW_BOOL, .doc = "The VM started with its host."),
    GW_F(GwJob, vm_memory_kib, GW_INT, .doc = "Memory to move, KiB."),
    GW_F(GwJob, completion_timeout_s, GW_INT,
         .doc = "The copy is given up after this time; 0: never (R59)."),
    GW_F(GwJob, progress_timeout_s, GW_INT,
         .doc = "It is given up after so long without progress; 0: never (R60)."),
    GW_F(GwJob, wall_created_us, GW_INT, .flags = GW_INTERNAL, .doc = "Accepted, us since 1970."),
    GW_F(GwJob, saved_xml, GW_STRING, .flags = GW_INTERNAL, .doc = "Definition before the move."),
    GW_F(GwJob, disks, GW_ARRAY, .of = &gw_disk_move_record,
         .doc = "Where each disk goes; empty: all stay where they are."),
    GW_F(GwJob, nics, GW_ARRAY, .of = &gw_nic_move_record, .doc = "Where each adapter goes."),
    GW_F(GwJob, hbas, GW_ARRAY, .of = &gw_hba_move_record,
         .doc = "Where each virtual HBA goes (R41)."),
    GW_F(GwJob, tasks, GW_ARRAY, .of = &gw_task_record, .doc = "What is done on the hosts."),
    GW_F(GwJob, snapshots, GW_STRINGS, .flags = GW_INTERNAL,
         .doc = "Metadata of the VM's snapshots before the move, parents first."),
    GW_F(GwJob, snapshot_current, GW_STRING, .flags = GW_INTERNAL,
         .doc = "Which of them was current."),
    GW_F(GwJob, undoes, GW_STRING, .doc = "The job that this one undoes."),
    GW_F(GwJob, undone_by, GW_STRING, .doc = "The job that undid this one, or tries to."),
    GW_F(GwJob, keep_source_s, GW_INT, .max = GW_KEEP_SOURCE_MAX_S,
         .doc = "How long the old copies are kept for Undo, s."),
    GW_F(GwJob, prediction, GW_OBJECT, .of = &gw_prediction_record,
         .doc = "How long it was predicted to take, right before it began (R66)."),
    GW_F(GwJob, part_of, GW_STRING, .doc = "The job whose plan this move carries out."),
    GW_F(GwJob, plan, GW_OBJECT, .of = &gw_migration_plan_record,
         .doc = "The plan that it carries out; not in lists and events, which have "
                "plan_progress."),
    GW_F(GwJob, plan_progress, GW_OBJECT, .of = &gw_migration_plan_progress_record,
         .doc = "How far the plan is that it carries out."),
    GW_F(GwJob, pause_requested, GW_BOOL, .doc = "It begins no further move."));
