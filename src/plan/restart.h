/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* A VM's CPU and machine are fixed when it boots (R11): what its next start would give it instead,
 * and what of that is sure. */

/* GwRestartChange, an owned array: empty where nothing would change, or nothing is sure. @host:
 * where
 * @vm is, and would be started. */
GPtrArray *gw_plan_restart_changes(const GwHost *host, const GwVm *vm);
/* The CPU that @vm would get by its definition if it started on @host; NULL: not told. Owned. */
GwCpu *gw_plan_next_cpu(const GwHost *host, const GwVm *vm);
/* What is sure of @cpu on @host (R11), of @vm's kind of virtualization. @why as gw_cpu_judge. */
GwCpuVerdict gw_plan_cpu_on(const GwHost *host, const GwVm *vm, const GwCpu *cpu, char **why);
/* Whether a restart of @vm on @source would surely let it run on @destination as far as CPU and
 * machine go. */
gboolean gw_plan_restart_helps(const GwHost *source, const GwVm *vm, const GwHost *destination);
/* The changes, and which hosts they open and close to moves. Owned. */
GwRestart *gw_plan_restart(const GwFabric *fabric, const GwVm *vm);
/* rules_cpu.c. The newest of @machines that is of the same family ("pc-q35") as @machine, or NULL.
 */
const char *gw_plan_newest_machine(char **machines, const char *machine);
/* Whether @machine names one of the canonical machine types of @host; TRUE where it tells none. */
gboolean gw_plan_knows_machine(const GwHost *host, const char *machine);
