/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "api/call.h"

/* One row feeds dispatch, authorisation, OpenAPI and the client. */

typedef enum {
    GW_ROLE_PUBLIC, /* no token */
    GW_ROLE_READ,
    GW_ROLE_OPERATE,
    GW_ROLE_ADMINISTER,
} GwRole;
extern const GwEnum gw_role_enum;

typedef struct {
    const char *name;
    const char *type; /* JSON schema's: string, boolean, integer */
    const char *doc;
} GwParam;

typedef enum {
    GW_ANSWER_RECORD,
    GW_ANSWER_PAGE,  /* {"items": [...], "next": cursor} */
    GW_ANSWER_ITEMS, /* {"items": [...]}, always whole */
    GW_ANSWER_EMPTY,
    GW_ANSWER_EVENTS, /* text/event-stream */
    GW_ANSWER_JSON,   /* a document of its own */
} GwAnswerKind;

typedef struct {
    guint status; /* 0 ends the list */
    GwAnswerKind kind;
    const GwRecord *record;
    const char *doc;
} GwAnswer;

typedef gboolean (*GwHandler)(GwCall *call, GError **error);

struct GwRoute {
    const char *method;
    const char *path;      /* "/api/v1/hosts/{id}"; at most one {id} */
    const char *operation; /* "getHost" */
    GwRole role;
    const GwRecord *body; /* NULL: none is taken */
    gboolean merge;       /* the body holds only what changes: not decoded for the handler */
    gboolean secret;      /* body or answer hold one: nothing is kept for an Idempotency-Key */
    gboolean lines;       /* texts in the body may have several lines */
    gsize body_max;       /* bytes; 0: as configured */
    const GwParam *query; /* ends with a row without name; NULL: none */
    GwAnswer answers[3];
    const char *summary;
    const char *requirement; /* "R6" */
    GwHandler handler;
};

/* All tables, NULL-terminated; each ends with a row without method. */
extern const GwRoute *const gw_routes[];
extern const GwRoute gw_group_routes[], gw_host_routes[], gw_vm_routes[], gw_job_routes[],
    gw_share_routes[], gw_agent_routes[], gw_kept_routes[], gw_plan_routes[], gw_rule_routes[],
    gw_cpu_routes[], gw_system_routes[];
/* Parameters that every page takes. */
#define GW_PAGE_PARAMS                                                                             \
    { "limit", "integer", "At most so many items, 1 to 10000; default 100." },                     \
    {                                                                                              \
        "cursor", "string", "Where to go on: next of the page before."                             \
    }
#define GW_PAGE_LIMIT_DEFAULT 100
#define GW_PAGE_LIMIT_MAX 10000

/* The row of @method and the decoded @segments, or NULL; *@id (owned) gets what stands for {id},
 * *@allow (owned) the methods that the path does take, NULL where it is unknown. */
const GwRoute *gw_route_find(const char *method, char **segments, char **id, char **allow);

/* What makes the items of a list distinct and ordered, as the list is sorted. */
typedef struct {
    const GwRecord *record;
    gboolean descending;
    void (*keys)(gconstpointer item, const char *keys[3]);
    void (*write)(gconstpointer item, GString *out); /* NULL: the record's public form */
} GwPageKind;

/* Answers with the page of @items (owned array of borrowed records of call->fabric; taken) that
 * limit and cursor ask for. */
gboolean gw_call_answer_page(GwCall *call, const GwPageKind *kind, GPtrArray *items,
                             GError **error);
