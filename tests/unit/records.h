/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/fabric.h"
#include "model/request.h"
#include "model/verdict.h"

/* Every record there is: for tests by reflection and for the fuzzers. */
static const GwRecord *const all_records[] = {
    &gw_group_record,    &gw_network_record,      &gw_pool_record,       &gw_host_facts_record,
    &gw_host_record,     &gw_share_member_record, &gw_share_record,      &gw_disk_record,
    &gw_nic_record,      &gw_hostdev_record,      &gw_vm_record,         &gw_move_options_record,
    &gw_progress_record, &gw_move_result_record,  &gw_job_error_record,  &gw_job_step_record,
    &gw_job_record,      &gw_move_request_record, &gw_job_change_record, &gw_settle_request_record,
    &gw_finding_record,  &gw_candidate_record,    &gw_move_plan_record,
};
