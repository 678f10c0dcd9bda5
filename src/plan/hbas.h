/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* Where each virtual HBA of the VM goes (R41): GwHbaMove, in the order of its disks. Owned by the
 * caller. */
GPtrArray *gw_plan_hbas(const GwPlanInput *input);
/* That of @disk, a volume of a virtual HBA's pool; NULL: it is none. */
const GwHbaMove *gw_plan_hba_of(const GPtrArray *hbas, const GwDisk *disk);
/* Once it is known where the disks go: one that would be handed over, and all of whose LUNs are
 * copied, stays. */
void gw_plan_hbas_settle(const GwPlanInput *input, GPtrArray *hbas);
/* How many disks behind it stay on their LUNs, and how many are copied: added to both. */
void gw_plan_hba_disks(const GwPlanInput *input, const GwHbaMove *hba, guint *stay, guint *copied);
/* What a person chose for the virtual HBA with @wwpn; NULL: nothing. */
const GwHbaChoice *gw_plan_hba_choice(const GwPlanInput *input, const char *wwpn);
gboolean gw_plan_is_virtual_hba(const GwPool *pool);
/* That HBA of @host; NULL: there is none, or @name is NULL. */
const GwHba *gw_plan_hba_called(const GwHost *host, const char *name);
/* Whether @hba of the destination can carry another virtual one, beside what jobs bring to it. */
gboolean gw_plan_hba_has_room(const GwPlanInput *input, const GwHba *hba);
/* Those of the destination: "scsi_host3 (SAN 2001…, 12 of 32 virtual ones free), …", for people;
 * owned. */
char *gw_plan_list_hbas(const GwPlanInput *input);
