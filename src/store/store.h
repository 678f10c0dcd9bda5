/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* What must survive: the fabric's configuration, jobs and their journal. One writer at a time; a
 * second process on the same database is refused at once. Threads may share a store: calls are
 * serialised inside. */
typedef struct GwStore GwStore;

typedef enum {
    GW_KIND_GROUP,
    GW_KIND_HOST,
    GW_KIND_SHARE,
    GW_KIND_JOB,
    GW_KIND_TOKEN,       /* id: SHA-256 of the token, hex */
    GW_KIND_EPOCH,       /* id: VM UUID */
    GW_KIND_REPLY,       /* id: Idempotency-Key; what was answered */
    GW_KIND_JOIN_TOKEN,  /* id: SHA-256 of the token, hex */
    GW_KIND_CERTIFICATE, /* id: serial, hex; made for an agent, good or revoked */
    GW_KIND_KEPT_VOLUME,
    GW_KIND_PLACEMENT_RULE,
    GW_KIND_COUNT
} GwKind;

/* Opens or creates. Errors (GW_ERR_STORE) name the remedy: corrupt, made by a newer version, in use
 * by another process, not writable, not a database. Older schemas are migrated in one transaction.
 */
GwStore *gw_store_open(const char *path, GError **error);
void gw_store_close(GwStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwStore, gw_store_close)

/* A set of changes that become durable together. */
typedef struct GwBatch GwBatch;
GwBatch *gw_batch_new(void);
void gw_batch_free(GwBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwBatch, gw_batch_free)
gboolean gw_batch_is_empty(const GwBatch *batch);
/* Steals @body. A later put or remove of the same id in one batch wins. */
void gw_batch_put(GwBatch *batch, GwKind kind, const char *id, json_t *body);
void gw_batch_remove(GwBatch *batch, GwKind kind, const char *id);
/* One row of the append-only journal; @wall_us since 1970. */
void gw_batch_journal(GwBatch *batch, const char *job_id, gint64 wall_us, const char *state,
                      const char *event, const char *why);

/* Durable (fsync'd) when it returns TRUE; on FALSE nothing of it is stored, and it may be tried
 * again (GW_ERR_STORE: disk full, I/O error). @batch stays the caller's. */
gboolean gw_store_commit(GwStore *store, const GwBatch *batch, GError **error);

/* Calls @each with every body of a kind, in the order of ids; a body that is not JSON stops with an
 * error that names it. */
typedef gboolean (*GwStoreEach)(const char *id, json_t *body, gpointer user, GError **error);
gboolean gw_store_each(GwStore *store, GwKind kind, GwStoreEach each, gpointer user,
                       GError **error);
/* New reference; NULL without error where there is none. */
json_t *gw_store_get(GwStore *store, GwKind kind, const char *id, GError **error);

typedef struct {
    gint64 sequence;
    gint64 wall_us;
    char *state, *event, *why;
} GwJournalRow;
/* The journal of a job, oldest first: array that owns its rows. */
GPtrArray *gw_store_journal(GwStore *store, const char *job_id, GError **error);
