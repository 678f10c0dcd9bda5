/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/verdict.h"

/* What golden scenarios show of virtual HBAs (R41). */

gboolean scenario_has_hbas(const GwCandidate *candidate);
/* An array of lines. */
json_t *scenario_hbas_json(const GwCandidate *candidate);
/* The same with the reasons, into why.txt. */
void scenario_why_hbas(GString *out, const GwCandidate *candidate);
