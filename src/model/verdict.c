/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/verdict.h"

const GwEnum gw_severity_enum = { "Severity", (const char *const[]){ "error", "warning", NULL } };

GW_DEFINE_RECORD(GwFinding, gw_finding, "Finding", "What a preflight rule found.",
                 GW_F(GwFinding, rule, GW_STRING, .doc = "The rule's name."),
                 GW_F(GwFinding, requirement, GW_STRING, .doc = "The requirement it serves."),
                 GW_F(GwFinding, severity, GW_ENUM, .of_enum = &gw_severity_enum,
                      .doc = "error blocks the move, warning does not."),
                 GW_F(GwFinding, observed, GW_STRING, .doc = "What was observed."),
                 GW_F(GwFinding, required, GW_STRING, .doc = "What is required."),
                 GW_F(GwFinding, remedy, GW_STRING, .doc = "What to do about it."));

GW_DEFINE_RECORD(GwTransferOption, gw_transfer_option, "TransferOption",
                 "Whether a transfer type is there, and why not (R34).",
                 GW_F(GwTransferOption, transfer, GW_ENUM, .of_enum = &gw_transfer_enum,
                      .doc = "Transfer type."),
                 GW_F(GwTransferOption, available, GW_BOOL, .doc = "It can be chosen."),
                 GW_F(GwTransferOption, explanation, GW_STRING,
                      .doc = "Why it can or cannot: Deployment and Transfer Explanation."));

GW_DEFINE_RECORD(GwCandidate, gw_candidate, "Candidate", "What moving a VM to a host would be.",
                 GW_F(GwCandidate, host_id, GW_STRING, .doc = "Destination."),
                 GW_F(GwCandidate, host_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwCandidate, transfer, GW_ENUM, .of_enum = &gw_transfer_enum,
                      .doc = "Transfer type (R4, R13)."),
                 GW_F(GwCandidate, suitable, GW_BOOL, .doc = "Nothing blocks the move."),
                 GW_F(GwCandidate, findings, GW_ARRAY, .of = &gw_finding_record,
                      .doc = "What was found."),
                 GW_F(GwCandidate, transfers, GW_ARRAY, .of = &gw_transfer_option_record,
                      .doc = "Every transfer type, and why it is or is not there (R34)."),
                 GW_F(GwCandidate, disks, GW_ARRAY, .of = &gw_disk_move_record,
                      .doc = "Where each disk would go."),
                 GW_F(GwCandidate, hbas, GW_ARRAY, .of = &gw_hba_move_record,
                      .doc = "Where each virtual HBA would go (R41)."),
                 GW_F(GwCandidate, nics, GW_ARRAY, .of = &gw_nic_move_record,
                      .doc = "Where each network adapter would be attached (R40)."),
                 GW_F(GwCandidate, rating, GW_OBJECT, .of = &gw_rating_record,
                      .doc = "How well the host suits the VM (R33)."),
                 GW_F(GwCandidate, prediction, GW_OBJECT, .of = &gw_prediction_record,
                      .doc = "How long the move will take (R66)."));

GW_DEFINE_RECORD(
    GwLeaving, gw_leaving, "Leaving", "Whether a VM could leave its host now (R49).",
    GW_F(GwLeaving, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
    GW_F(GwLeaving, vm_name, GW_STRING, .doc = "Its name."),
    GW_F(GwLeaving, state, GW_ENUM, .of_enum = &gw_vm_state_enum, .doc = "Its state."),
    GW_F(GwLeaving, leaves, GW_BOOL, .doc = "Some host takes it."),
    GW_F(GwLeaving, hosts, GW_INT, .doc = "How many hosts take it."),
    GW_F(GwLeaving, nearest, GW_OBJECT, .of = &gw_candidate_record,
         .doc = "The best host for it; where none takes it, the one that comes nearest."),
    GW_F(GwLeaving, why, GW_STRING, .doc = "Why it stays; absent where it can leave."));

GW_DEFINE_RECORD(GwMovePlan, gw_move_plan, "MovePlan", "A move as it would be done.",
                 GW_F(GwMovePlan, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
                 GW_F(GwMovePlan, vm_name, GW_STRING, .doc = "The VM's name."),
                 GW_F(GwMovePlan, source_host_id, GW_STRING, .doc = "Where it runs."),
                 GW_F(GwMovePlan, source_host_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwMovePlan, candidate, GW_OBJECT, .of = &gw_candidate_record,
                      .doc = "The destination."),
                 GW_F(GwMovePlan, commit_by_resume, GW_BOOL,
                      .doc = "The destination stays paused until the source is seen gone."),
                 GW_F(GwMovePlan, method, GW_STRING,
                      .doc = "The speed method between these versions."),
                 GW_F(GwMovePlan, script_cli, GW_STRINGS, .doc = "As godwit commands (R43)."),
                 GW_F(GwMovePlan, script_virsh, GW_STRINGS, .doc = "As virsh commands (R43)."));
