/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/verdict.h"

/* Answers of the API that are not records of the fabric. */

/* RFC 9457 problem details. */
typedef struct {
    char *type;
    char *title;
    gint64 status;
    char *detail;
    char *code;
    char *remedy;
    char *instance;
    GPtrArray *errors; /* GwFinding */
} GwProblem;
GW_DECLARE_RECORD(GwProblem, gw_problem)

typedef struct {
    char *version;
    char *started_at;  /* RFC 3339 */
    char *user;        /* whose token asked */
    char *fingerprint; /* sha256:HEX of the public key that the API is served with; NULL: no TLS */
    gint64 groups;
    gint64 hosts;
    gint64 hosts_not_responding;
    gint64 vms;
    gint64 vms_running;
    gint64 shares;
    gint64 jobs_active;
    gint64 jobs_held;
    gint64 revision;
} GwStatus;
GW_DECLARE_RECORD(GwStatus, gw_status)

typedef struct {
    char *status; /* "ok" */
} GwHealth;
GW_DECLARE_RECORD(GwHealth, gw_health)
