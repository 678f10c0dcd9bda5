/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/explanation.h"

GW_DEFINE_RECORD(GwUntold, gw_untold, "Untold", "What a move rests on and no dump tells.",
                 GW_F(GwUntold, subject, GW_STRING, .doc = "What it is about."),
                 GW_F(GwUntold, rules, GW_STRINGS, .doc = "The rules that could not judge it."),
                 GW_F(GwUntold, required, GW_STRING, .doc = "What has to be so."),
                 GW_F(GwUntold, tells, GW_STRING, .doc = "How to learn it."));

GW_DEFINE_RECORD(GwTransferOutlook, gw_transfer_outlook, "TransferOutlook",
                 "A transfer type as far as dumps tell (R34).",
                 GW_F(GwTransferOutlook, transfer, GW_ENUM, .of_enum = &gw_transfer_enum,
                      .doc = "Transfer type."),
                 GW_F(GwTransferOutlook, possible, GW_BOOL,
                      .doc = "Possible, if all that it depends on is so."),
                 GW_F(GwTransferOutlook, explanation, GW_STRING, .doc = "Why it is, or is not."),
                 GW_F(GwTransferOutlook, depends, GW_STRINGS, .doc = "What has to be so."),
                 GW_F(GwTransferOutlook, findings, GW_ARRAY, .of = &gw_finding_record,
                      .doc = "What was found of this type alone."));

GW_DEFINE_RECORD(GwExplanation, gw_explanation, "Explanation",
                 "What dumps of a VM and its hosts tell of a move.",
                 GW_F(GwExplanation, vm_uuid, GW_STRING, .doc = "The VM's UUID."),
                 GW_F(GwExplanation, vm_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwExplanation, state, GW_ENUM, .of_enum = &gw_vm_state_enum,
                      .doc = "What it is judged as: running or off."),
                 GW_F(GwExplanation, refused, GW_BOOL,
                      .doc = "It does not move so, whatever the dumps do not tell."),
                 GW_F(GwExplanation, findings, GW_ARRAY, .of = &gw_finding_record,
                      .doc = "What was found, whatever the dumps do not tell."),
                 GW_F(GwExplanation, transfers, GW_ARRAY, .of = &gw_transfer_outlook_record,
                      .doc = "Every transfer type between two hosts."),
                 GW_F(GwExplanation, untold, GW_ARRAY, .of = &gw_untold_record,
                      .doc = "What the dumps do not tell."));
