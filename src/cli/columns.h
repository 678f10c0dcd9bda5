/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* The columns of each table, so that a test can hold them against the records they show. */
extern const GwColumn gw_host_columns[], gw_host_sheet[], gw_pool_columns[], gw_network_columns[];
extern const GwColumn gw_interface_columns[], gw_file_system_columns[], gw_link_columns[];
extern const GwColumn gw_check_columns[];
extern const GwColumn gw_group_columns[];
extern const GwColumn gw_vm_columns[], gw_vm_sheet[], gw_disk_columns[], gw_nic_columns[];
extern const GwColumn gw_hostdev_columns[], gw_candidate_columns[], gw_plan_sheet[];
extern const GwColumn gw_disk_move_columns[], gw_nic_move_columns[], gw_hba_move_columns[];
extern const GwColumn gw_transfer_columns[], gw_location_columns[];
extern const GwColumn gw_job_columns[], gw_job_sheet[], gw_step_columns[], gw_task_columns[];
extern const GwColumn gw_kept_columns[], gw_kept_sheet[];
extern const GwColumn gw_rule_columns[], gw_rule_sheet[], gw_leaving_columns[];
extern const GwColumn gw_planned_move_columns[], gw_planned_stay_columns[];
extern const GwColumn gw_carried_move_columns[], gw_migration_plan_sheet[], gw_plan_job_sheet[];
extern const GwColumn gw_explanation_sheet[], gw_outlook_columns[], gw_untold_columns[];
extern const GwColumn gw_balance_host_columns[], gw_balance_sheet[];
extern const GwColumn gw_share_columns[], gw_share_sheet[], gw_member_columns[];

extern const GwColumn gw_restart_columns[], gw_cpu_host_columns[], gw_cpu_vm_columns[];

/* commands_cpu.c: what a restart of the VM with this UUID on this host would change. */
void gw_print_restart(GwSession *session, const char *uuid, const char *host_id);

/* common.c: what several commands do alike. */

/* A "set" without any option is a mistake to be told, not a change of nothing. */
gboolean gw_require_change(json_t *body, GError **error);
/* Sets the usage error for an option that must be given; returns its exit status. */
int gw_missing_option(const char *command, const char *option, const char *remedy, GError **error);
int gw_remove_record(GwSession *session, const char *collection, const char *what,
                     const char *which, GError **error);
/* Posts @body (may be NULL) to @action ("/refresh") of a record; the answer, owned, or NULL. */
json_t *gw_post_action(GwSession *session, const char *collection, const char *what,
                       const char *which, const char *action, json_t *body, GError **error);
/* migration_plan.c: a plan of many moves, and the job that carries one out, as people read them. */
void gw_print_migration_plan(GwSession *session, json_t *plan);
void gw_print_plan_job(GwSession *session, json_t *job);
/* commands_plan.c: makes the plan that @body asks for; shows or keeps it where that was asked for
 * (--dry-run, --plan-file), else carries it out. */
int gw_run_plan(GwSession *session, const GwArgs *args, json_t *body, GError **error);
/* A job that was just begun: printed where --no-wait was given, else followed to its end. */
int gw_wait_for_job(GwSession *session, const GwArgs *args, json_t *job, GError **error);
#define GW_NO_WAIT_OPTION                                                                          \
    {                                                                                              \
        "no-wait", GW_OPTION_FLAG, NULL, "Return as soon as the job has begun, and print its id."  \
    }
