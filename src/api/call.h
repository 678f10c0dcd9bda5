/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "api/api.h"
#include "model/answer.h"

/* One request and its reply. Nothing here knows of the HTTP library: http.c fills the request in
 * and carries the reply out, tests may do the same. */

/* Of the body's ceiling: what is read and dropped so that the client can read why. */
#define GW_CALL_DISCARD_FACTOR 16

typedef struct GwRoute GwRoute;

typedef enum {
    GW_HEADER_AUTHORIZATION,
    GW_HEADER_CONTENT_TYPE,
    GW_HEADER_HOST,
    GW_HEADER_ORIGIN,
    GW_HEADER_IF_MATCH,
    GW_HEADER_IF_NONE_MATCH,
    GW_HEADER_IDEMPOTENCY_KEY,
    GW_HEADER_LAST_EVENT_ID,
    GW_HEADER_COUNT
} GwHeader;
extern const char *const gw_header_names[GW_HEADER_COUNT];

/* A reply that is made while it is sent. */
typedef struct {
    gboolean endless;
    gpointer self;
    /* Appends the next part, at most some 64 KiB; FALSE after the last. May wait (up to a second
     * longer than gw_call_gone takes to say so). */
    gboolean (*next)(gpointer self, GString *out);
    GDestroyNotify free;
} GwStream;

typedef struct {
    guint status; /* 0: not decided yet */
    const char *content_type;
    GString *body;
    GwStream stream; /* where next is not NULL, instead of body */
    char *etag;
    char *location;
    char *allow;
    guint retry_after_s;
    gboolean replayed;
} GwReply;

typedef struct {
    GwApi *api;
    GwEngine *engine;
    int socket; /* of the client, for gw_call_gone; -1: none */

    char *method;      /* GET where HEAD was asked */
    char *path;        /* as sent, printable, without the query: for problems and the log */
    char *target;      /* raw, with the query: for the fingerprint of an idempotent request */
    char **segments;   /* decoded */
    GHashTable *query; /* decoded name -> value */
    char *headers[GW_HEADER_COUNT];
    GString *body; /* NULL: none came, or it is not wanted */
    guint64 body_seen;

    const GwRoute *route;
    char *id; /* what stands for {id} */
    char *user;
    GwFabric *fabric;     /* the picture this call sees */
    json_t *json;         /* the body */
    gpointer record;      /* the body as route->body */
    GPtrArray *findings;  /* for the problem, where preflight refuses */
    guint problem_status; /* where the handler fails: instead of the error code's */
    GPtrArray *claims;    /* of char *; NULL: none */

    GwReply reply;
    gint64 began_us;
} GwCall;

/* @target: the request line's target, raw. */
GwCall *gw_call_new(GwApi *api, const char *method, const char *target);
void gw_call_free(GwCall *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCall, gw_call_free)

/* Once the headers are known (@length: the announced body's, -1 for none or unknown): everything
 * that can be refused without the body. FALSE: the reply is decided. */
gboolean gw_call_check_head(GwCall *call, gint64 length);
/* A part of the body. FALSE: far over the ceiling, hang up. */
gboolean gw_call_add_body(GwCall *call, const char *data, gsize length);
/* Decides the reply. */
void gw_call_run(GwCall *call);
/* Whether there is nobody to go on for: the client hung up, or the API stops. */
gboolean gw_call_gone(const GwCall *call);

/* For handlers; all return TRUE, so that they can end in one. -------------------------------- */

/* Answers with a record's public form, with an ETag where the method is GET. */
gboolean gw_call_answer(GwCall *call, guint status, const GwRecord *record, gconstpointer self);
/* Answers with the record's public form, and where it can be found. */
gboolean gw_call_answer_at(GwCall *call, guint status, const char *collection, const char *id,
                           const GwRecord *record, gconstpointer self);
gboolean gw_call_answer_empty(GwCall *call);
/* Answers with {"items": [...]} of borrowed records. */
gboolean gw_call_answer_items(GwCall *call, const GwRecord *record, const GPtrArray *items);
/* What preflight found goes into the problem document: @refused's findings (NULL: none). FALSE, as
 * the error is set. */
gboolean gw_call_refused(GwCall *call, const GwMovePlan *refused);

/* The value of a query parameter, or NULL. */
const char *gw_call_query(const GwCall *call, const char *name);
gboolean gw_call_query_bool(const GwCall *call, const char *name, gboolean *value, GError **error);
/* FALSE and GW_ERR_NOT_FOUND: there is no @what of this id or name. */
gboolean gw_call_not_found(const GwCall *call, const char *what, const char *list, GError **error);

/* Changes are read, changed and written back: one at a time for each thing. Waits until nobody else
 * claims @what; given back when the call ends. */
gboolean gw_call_claim(GwCall *call, const char *what, GError **error);
/* The configuration part of the ETag (volatile facts do not count) must be one of If-Match. */
gboolean gw_call_check_match(GwCall *call, const GwRecord *record, gconstpointer self,
                             GError **error);
/* Reads the fabric anew, e.g. after a claim. */
void gw_call_refresh(GwCall *call);

/* Internal to the room ------------------------------------------------------------------------ */

/* Bytes of a body that this request may have. */
gsize gw_call_body_max(const GwCall *call);
/* Decides 413; FALSE. */
gboolean gw_call_too_large(GwCall *call);
void gw_call_drop_body(GwCall *call);
/* The body as json and record, as the route wants it. */
gboolean gw_call_decode_body(GwCall *call, GError **error);
void gw_call_problem(GwCall *call, const GError *error);
void gw_call_problem_status(GwCall *call, guint status, const GError *error);
/* TRUE where the client holds what the reply would say: the reply is 304 then. */
gboolean gw_call_not_modified(GwCall *call, const char *etag);
/* Idempotency-Key: TRUE where the reply is decided (replayed, or refused). */
gboolean gw_call_replay(GwCall *call);
void gw_call_keep_reply(GwCall *call);
