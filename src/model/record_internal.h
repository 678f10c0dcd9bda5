/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* What record.c and record_json.c share. */

#define MEMBER(self, field, T) (*(T *)((char *)(self) + (field)->offset))
#define MEMBER_CONST(self, field, T) (*(T const *)((const char *)(self) + (field)->offset))

/* NULL: it has none of that name. */
const GwField *gw_record_field(const GwRecord *record, const char *name);
/* Frees what the field of @self holds. */
void gw_record_clear_field(const GwField *field, gpointer self);
