/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/error.h"
#include "base/text.h"
#include "store/batch.h"
#include "store/sqlite_internal.h"

#define REPLY_KEPT_US                                                                              \
    (G_GINT64_CONSTANT(24) * 3600 * G_USEC_PER_SEC) /* for how long a retry finds its answer */

static const char *const tables[GW_KIND_COUNT] = {
    [GW_KIND_GROUP] = "host_group",
    [GW_KIND_HOST] = "host",
    [GW_KIND_SHARE] = "share",
    [GW_KIND_JOB] = "job",
    [GW_KIND_TOKEN] = "token",
    [GW_KIND_EPOCH] = "vm_epoch",
    [GW_KIND_REPLY] = "reply",
    [GW_KIND_JOIN_TOKEN] = "join_token",
    [GW_KIND_CERTIFICATE] = "certificate",
    [GW_KIND_KEPT_VOLUME] = "kept_volume",
    [GW_KIND_PLACEMENT_RULE] = "placement_rule",
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sqlite3_stmt, sqlite3_finalize)

/* Errors --------------------------------------------------------------------------------- */

static const char remedy_restore[] =
    "Nothing was changed. Move the file and those beside it (-wal, -shm) away and keep them; then "
    "put the last backup in its place.";
static const char remedy_access[] = "Let the controller's user write the file and its directory.";

static const struct {
    int answer;
    GwErrorCode code;
    const char *what;
    const char *remedy;
} refusals[] = {
    { SQLITE_FULL, GW_ERR_STORE, "the disk is full",
      "Free space on the file system that holds it." },
    { SQLITE_CORRUPT, GW_ERR_STORE, "it is damaged", remedy_restore },
    { SQLITE_NOTADB, GW_ERR_STORE, "it is not a database", remedy_restore },
    { SQLITE_READONLY, GW_ERR_STORE, "it cannot be written", remedy_access },
    { SQLITE_CANTOPEN, GW_ERR_STORE, "it cannot be opened", remedy_access },
    { SQLITE_PERM, GW_ERR_STORE, "access is denied", remedy_access },
    { SQLITE_BUSY, GW_ERR_STORE, "another program keeps it busy",
      "End the program that has it open." },
    { SQLITE_IOERR, GW_ERR_STORE, "reading or writing failed",
      "Check the disk and the kernel's log." },
    { SQLITE_CONSTRAINT, GW_ERR_CONFLICT, "a record contradicts another",
      "Choose another name or URI." },
    { SQLITE_TOOBIG, GW_ERR_TOO_LARGE, "a record is too large", "Store less in one record." },
};

/* Some ways of meeting a full disk come as plain I/O errors. */
static int reason(const GwStore *store, int rc)
{
    int number = store->db != NULL ? sqlite3_system_errno(store->db) : 0;

    if (rc == SQLITE_IOERR_SHMSIZE ||
        ((rc & 0xff) == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT)))
        return SQLITE_FULL;
    return rc & 0xff;
}

gboolean gw_sqlite_failed(const GwStore *store, int rc, GError **error)
{
    const char *detail = store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc);

    for (guint i = 0; i < G_N_ELEMENTS(refusals); i++) {
        if (refusals[i].answer == reason(store, rc)) {
            gw_error_set(error, refusals[i].code, refusals[i].remedy, "database '%s': %s (%s)",
                         store->path, refusals[i].what, detail);
            return FALSE;
        }
    }
    gw_error_set(error, GW_ERR_STORE, "Try again; if it stays, restore the last backup.",
                 "database '%s': %s", store->path, detail);
    return FALSE;
}

gboolean gw_sqlite_damaged(const GwStore *store, const char *what, GError **error)
{
    gw_error_set(error, GW_ERR_STORE, remedy_restore, "database '%s' is damaged: %s", store->path,
                 what);
    return FALSE;
}

/* Statements ----------------------------------------------------------------------------- */

gboolean gw_sqlite_run(GwStore *store, const char *sql, GError **error)
{
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK || gw_sqlite_failed(store, rc, error);
}

/* @table is one of our own names; data is always bound. */
static sqlite3_stmt *prepare(GwStore *store, const char *head, const char *table, const char *tail,
                             GError **error)
{
    sqlite3_stmt *statement = NULL;
    g_autofree char *sql = g_strconcat(head, table, tail, NULL);
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK)
        gw_sqlite_failed(store, rc, error);
    return statement;
}

/* Runs a statement that answers no rows. */
static gboolean finish(GwStore *store, sqlite3_stmt *statement, GError **error)
{
    int rc = sqlite3_step(statement);

    return rc == SQLITE_DONE || gw_sqlite_failed(store, rc, error);
}

/* @text must live until the statement is done. A text over the limit is reported here, so that it
 * cannot be stored as NULL. */
static gboolean bind(GwStore *store, sqlite3_stmt *statement, int index, const char *text,
                     GError **error)
{
    int rc = sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);

    return rc == SQLITE_OK || gw_sqlite_failed(store, rc, error);
}

static const char *column(sqlite3_stmt *statement, int index)
{
    const char *text = (const char *)sqlite3_column_text(statement, index);
    return text != NULL ? text : "";
}

char *gw_sqlite_ask(GwStore *store, const char *sql, GError **error)
{
    g_autoptr(sqlite3_stmt) statement = prepare(store, sql, "", "", error);
    int rc = statement != NULL ? sqlite3_step(statement) : SQLITE_ERROR;

    if (statement == NULL)
        return NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        gw_sqlite_failed(store, rc, error);
        return NULL;
    }
    return g_strdup(rc == SQLITE_ROW ? column(statement, 0) : "");
}

void gw_sqlite_roll_back(GwStore *store)
{
    /* After some errors (a full disk) SQLite has rolled back already. */
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Writing -------------------------------------------------------------------------------- */

static gboolean insert_entry(GwStore *store, const GwJournalEntry *entry, GError **error)
{
    g_autoptr(sqlite3_stmt) insert =
        prepare(store, "INSERT INTO ", "journal",
                " (job_id, wall_us, state, event, why) VALUES ($1, $2, $3, $4, $5)", error);

    if (insert == NULL)
        return FALSE;
    sqlite3_bind_int64(insert, 2, entry->wall_us);
    return bind(store, insert, 1, entry->job_id, error) &&
           bind(store, insert, 3, entry->state, error) &&
           bind(store, insert, 4, entry->event, error) &&
           bind(store, insert, 5, entry->why, error) && finish(store, insert, error);
}

static gboolean delete_rows(GwStore *store, const char *table, const char *where, const char *id,
                            GError **error)
{
    g_autoptr(sqlite3_stmt) statement = prepare(store, "DELETE FROM ", table, where, error);

    return statement != NULL && bind(store, statement, 1, id, error) &&
           finish(store, statement, error);
}

static gboolean remove_record(GwStore *store, const GwChange *change, GError **error)
{
    if (change->kind == GW_KIND_JOB &&
        !delete_rows(store, "journal", " WHERE job_id = $1", change->id, error))
        return FALSE;
    return delete_rows(store, tables[change->kind], " WHERE id = $1", change->id, error);
}

static gboolean put_record(GwStore *store, const GwChange *change, GError **error)
{
    g_autofree char *body = gw_json_text(change->body);
    g_autoptr(sqlite3_stmt) upsert =
        prepare(store, "INSERT INTO ", tables[change->kind],
                " (id, body, changed_us) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET "
                "body = excluded.body, changed_us = excluded.changed_us",
                error);

    if (upsert == NULL)
        return FALSE;
    sqlite3_bind_int64(upsert, 3, gw_clock_wall_us(store->clock));
    return bind(store, upsert, 1, change->id, error) && bind(store, upsert, 2, body, error) &&
           finish(store, upsert, error);
}

static gboolean forget_old_replies(GwStore *store, GError **error)
{
    g_autoptr(sqlite3_stmt) statement =
        prepare(store, "DELETE FROM ", "reply", " WHERE changed_us < $1", error);

    if (statement == NULL)
        return FALSE;
    sqlite3_bind_int64(statement, 1, gw_clock_wall_us(store->clock) - REPLY_KEPT_US);
    return finish(store, statement, error);
}

/* Removes go before puts: a name that one record gives up may be taken by another. */
static gboolean apply(GwStore *store, const GwBatch *batch, GError **error)
{
    gboolean replies = FALSE;

    for (guint i = 0; i < batch->journal->len; i++) {
        if (!insert_entry(store, batch->journal->pdata[i], error))
            return FALSE;
    }
    for (int puts = 0; puts <= 1; puts++) {
        for (guint i = 0; i < batch->changes->len; i++) {
            const GwChange *change = batch->changes->pdata[i];
            gboolean put = change->body != NULL;

            replies = replies || change->kind == GW_KIND_REPLY;
            if (put != (puts == 1))
                continue;
            if (!(put ? put_record : remove_record)(store, change, error)) {
                g_prefix_error(error, "%s '%s': ", tables[change->kind], change->id);
                return FALSE;
            }
        }
    }
    return !replies || forget_old_replies(store, error);
}

gboolean gw_store_commit(GwStore *store, const GwBatch *batch, GError **error)
{
    if (gw_batch_is_empty(batch))
        return TRUE;

    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&store->lock);
    if (!gw_sqlite_run(store, "BEGIN IMMEDIATE", error))
        return FALSE;
    if (apply(store, batch, error) && gw_sqlite_run(store, "COMMIT", error))
        return TRUE;
    gw_sqlite_roll_back(store);
    return FALSE;
}

/* Reading -------------------------------------------------------------------------------- */

static json_t *read_body(GwStore *store, sqlite3_stmt *statement, GwKind kind, const char *id,
                         GError **error)
{
    g_autoptr(GError) why = NULL;
    const char *text = column(statement, 0);
    json_t *body =
        gw_json_parse(text, (gsize)sqlite3_column_bytes(statement, 0), GW_SQLITE_BODY_MAX, &why);

    if (body == NULL) {
        g_autofree char *what =
            g_strdup_printf("%s '%s' cannot be read: %s", tables[kind], id, why->message);
        gw_sqlite_damaged(store, what, error);
    }
    return body;
}

json_t *gw_store_get(GwStore *store, GwKind kind, const char *id, GError **error)
{
    g_return_val_if_fail((guint)kind < GW_KIND_COUNT, NULL);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&store->lock);
    g_autoptr(sqlite3_stmt) statement =
        prepare(store, "SELECT body FROM ", tables[kind], " WHERE id = $1", error);

    if (statement == NULL || !bind(store, statement, 1, id, error))
        return NULL;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return read_body(store, statement, kind, id, error);
    if (rc != SQLITE_DONE)
        gw_sqlite_failed(store, rc, error);
    return NULL;
}

/* All bodies of a kind by id, or NULL. */
static gboolean read_all(GwStore *store, GwKind kind, GPtrArray *ids, GPtrArray *bodies,
                         GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&store->lock);
    g_autoptr(sqlite3_stmt) statement =
        prepare(store, "SELECT body, id FROM ", tables[kind], " ORDER BY id", error);
    int rc = SQLITE_ERROR;

    while (statement != NULL && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *id = column(statement, 1);
        json_t *body = read_body(store, statement, kind, id, error);
        if (body == NULL)
            return FALSE;
        g_ptr_array_add(ids, g_strdup(id));
        g_ptr_array_add(bodies, body);
    }
    return statement != NULL && (rc == SQLITE_DONE || gw_sqlite_failed(store, rc, error));
}

gboolean gw_store_each(GwStore *store, GwKind kind, GwStoreEach each, gpointer user, GError **error)
{
    g_return_val_if_fail((guint)kind < GW_KIND_COUNT, FALSE);
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) bodies = g_ptr_array_new_with_free_func((GDestroyNotify)gw_json_unref);

    /* Read whole first: @each runs without the lock and may use the store. */
    if (!read_all(store, kind, ids, bodies, error))
        return FALSE;
    for (guint i = 0; i < ids->len; i++) {
        if (!each(ids->pdata[i], bodies->pdata[i], user, error))
            return FALSE;
    }
    return TRUE;
}

static void free_row(gpointer data)
{
    GwJournalRow *row = data;

    g_free(row->state);
    g_free(row->event);
    g_free(row->why);
    g_free(row);
}

GPtrArray *gw_store_journal(GwStore *store, const char *job_id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&store->lock);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(free_row);
    g_autoptr(sqlite3_stmt) statement =
        prepare(store, "SELECT sequence, wall_us, state, event, why FROM ", "journal",
                " WHERE job_id = $1 ORDER BY sequence", error);
    int rc = SQLITE_ERROR;

    if (statement == NULL || !bind(store, statement, 1, job_id, error))
        return NULL;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        GwJournalRow *row = g_new0(GwJournalRow, 1);
        row->sequence = sqlite3_column_int64(statement, 0);
        row->wall_us = sqlite3_column_int64(statement, 1);
        row->state = gw_text_printable(column(statement, 2), GW_TEXT_MESSAGE_MAX);
        row->event = gw_text_printable(column(statement, 3), GW_TEXT_MESSAGE_MAX);
        row->why = gw_text_printable(column(statement, 4), GW_TEXT_MESSAGE_MAX);
        g_ptr_array_add(rows, row);
    }
    if (rc != SQLITE_DONE) {
        gw_sqlite_failed(store, rc, error);
        return NULL;
    }
    return g_steal_pointer(&rows);
}
