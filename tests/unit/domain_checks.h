/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "model/verdict.h"

/* What must hold of any domain XML at all, odd or hostile: it is read or refused with a reason;
 * what was read is fit to be stored; every verdict on it says why; and what is rewritten of it
 * loses nothing but what is meant. Shared by the unit test, the fuzzer and tests/bulk_xml. */

typedef struct {
    guint domains;
    guint unreadable; /* refused by the reader, each with its reason */
    guint partly;     /* read, with something left out that is named (vm->error) */
    guint verdicts;
    guint suitable;
    guint errors;   /* findings that block */
    guint warnings; /* findings that do not */
    guint rewritten;
    guint refused;     /* rewritings that were refused, each with its reason */
    guint nodes;       /* elements and attributes that were compared after rewriting */
    GHashTable *rules; /* name of a rule -> how often it found something; NULL: not counted */
} GwDomainTally;

/* NULL: all holds. Else what does not, in words; free with g_free. */
char *gw_check_domain(const char *text, GwDomainTally *tally);

/* Of a move's findings and transfer types: NULL, or what is not said. domain_verdicts.c */
char *gw_check_findings(const GPtrArray *findings, GwDomainTally *tally);
char *gw_check_verdicts(const GwVm *vm, GwDomainTally *tally);
/* domain_rewriting.c */
/* What of @was is lost or changed in @is, beside what new images of @format, as files, change in
 * the disks of @targets; NULL: nothing. */
char *gw_check_rewritten(const char *was, const char *is, const char *format,
                         const char *const *targets);
char *gw_check_rewriting(const char *text, const GwVm *vm, GwDomainTally *tally);
