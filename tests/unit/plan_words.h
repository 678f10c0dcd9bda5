/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/migration_plan.h"

/* A plan for people: a line for each move, each VM that stays, each note. Owned. */
char *plan_words(const GwMigrationPlan *plan);
