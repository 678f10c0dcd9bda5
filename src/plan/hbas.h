/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* Where each virtual HBA of the VM goes (R41): GwHbaMove, in the order of its disks. Owned by the
 * caller. */
GPtrArray *gw_plan_hbas(const GwPlanInput *input);
/* That of @disk, a volume of a virtual HBA's pool; NULL: it is none. */
const GwHbaMove *gw_plan_hba_of(const GPtrArray *hbas, const GwDisk *disk);
