/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "store/lock.h"
#include "store/schema.h"
#include "store/sqlite_internal.h"

/* The file: made whole or not at all, found sound before it is used, and brought to this version's
 * schema. */

#define APPLICATION_ID 0x47645774  /* "GdWt": this file is ours */
#define PAGE 4096                  /* bytes; SQLite's default */
#define BUSY_MS 2000               /* for a backup that reads beside us */
#define WAL_KEPT (4 * 1024 * 1024) /* bytes of the log kept after a large commit */

static gboolean migrate_step(GwStore *store, int from, GError **error)
{
    g_autofree char *version = g_strdup_printf("PRAGMA user_version = %d", from + 1);

    if (gw_sqlite_run(store, "BEGIN IMMEDIATE", error) &&
        gw_sqlite_run(store, schema[from], error) && gw_sqlite_run(store, version, error) &&
        gw_sqlite_run(store, "COMMIT", error))
        return TRUE;
    gw_sqlite_roll_back(store);
    g_prefix_error(error, "migrating to version %d: ", from + 1);
    return FALSE;
}

static gboolean migrate(GwStore *store, int version, GError **error)
{
    for (int i = version; i < (int)G_N_ELEMENTS(schema); i++) {
        if (!migrate_step(store, i, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean open_file(GwStore *store, const char *path, GError **error)
{
    int rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK)
        return gw_sqlite_failed(store, rc, error);
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_MS);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, (int)GW_SQLITE_BODY_MAX + 4096);
    /* The file may have been made by anybody: its schema is not to be
     * tampered with from SQL, and a damaged one keeps its log until it has been found sound. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return TRUE;
}

static void close_file(GwStore *store)
{
    sqlite3_close(g_steal_pointer(&store->db));
}

/* Makes commits durable, and lets the log go when the store is closed. */
static gboolean settle_file(GwStore *store, GError **error)
{
    g_autofree char *mode = gw_sqlite_ask(store, "PRAGMA journal_mode = WAL", error);
    g_autofree char *limit = g_strdup_printf("PRAGMA journal_size_limit = %d", WAL_KEPT);

    if (mode == NULL)
        return FALSE;
    if (strcmp(mode, "wal") != 0) {
        gw_error_set(error, GW_ERR_STORE, "Put it on a local file system.",
                     "database '%s': write-ahead logging is not possible here", store->path);
        return FALSE;
    }
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    /* The first read makes the log's index, so that later ones need no room on the disk. */
    return gw_sqlite_run(store, "PRAGMA synchronous = FULL", error) &&
           gw_sqlite_run(store, "PRAGMA foreign_keys = ON", error) &&
           gw_sqlite_run(store, limit, error) &&
           gw_sqlite_run(store, "SELECT count(*) FROM job", error);
}

static gboolean sync_directory(const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean synced = fd >= 0 && fsync(fd) == 0;
    int number = errno;

    if (fd >= 0)
        close(fd);
    errno = number;
    return synced;
}

static gboolean cannot_create(const char *path, int number, GError **error)
{
    gw_error_set(error, GW_ERR_STORE,
                 number == ENOSPC ? "Free space on the file system that holds it."
                                  : "Let the controller's user write the database's directory.",
                 "cannot create the database '%s': %s", path, g_strerror(number));
    return FALSE;
}

/* What a creation that was interrupted left behind. */
static void remove_trial(const char *trial)
{
    g_autofree char *journal = g_strconcat(trial, "-journal", NULL);

    unlink(trial);
    unlink(journal);
}

/* A database appears under its name only when it is complete. So an empty file there is never one
 * that we left: it is a loss, and is not taken for a new beginning. */
static gboolean create_file(GwStore *store, GError **error)
{
    g_autofree char *trial = g_strconcat(store->path, ".new", NULL);
    g_autofree char *identify =
        g_strdup_printf("PRAGMA page_size = %d; PRAGMA application_id = %d", PAGE, APPLICATION_ID);

    remove_trial(trial);
    int fd = open(trial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return cannot_create(store->path, errno, error);
    close(fd);

    gboolean made = open_file(store, trial, error) && gw_sqlite_run(store, identify, error) &&
                    migrate(store, 0, error);
    close_file(store);
    if (made && (rename(trial, store->path) != 0 || !sync_directory(store->path)))
        made = cannot_create(store->path, errno, error);
    if (!made)
        remove_trial(trial);
    return made;
}

static gboolean check_version(GwStore *store, int *version, GError **error)
{
    g_autofree char *application = gw_sqlite_ask(store, "PRAGMA application_id", error);
    g_autofree char *user = application ? gw_sqlite_ask(store, "PRAGMA user_version", error) : NULL;

    if (user == NULL)
        return FALSE;
    if (atoi(application) != APPLICATION_ID) {
        gw_error_set(error, GW_ERR_STORE, "Give the path of Godwit's own database, or a new one.",
                     "database '%s' belongs to another program", store->path);
        return FALSE;
    }
    *version = atoi(user);
    if (*version < 1)
        return gw_sqlite_damaged(store, "it has no schema version", error);
    if (*version > (int)G_N_ELEMENTS(schema)) {
        gw_error_set(error, GW_ERR_STORE,
                     "Install that version of Godwit or a later one, or restore the backup made "
                     "before the upgrade.",
                     "database '%s' was written by a newer version of Godwit (schema %d, this one "
                     "knows up to %d)",
                     store->path, *version, (int)G_N_ELEMENTS(schema));
        return FALSE;
    }
    return TRUE;
}

static gboolean check_sound(GwStore *store, gboolean whole, GError **error)
{
    g_autofree char *answer = gw_sqlite_ask(store, "PRAGMA integrity_check(1)", error);

    if (answer == NULL)
        return FALSE;
    if (!whole)
        return gw_sqlite_damaged(store, "the end of the file is missing", error);
    return strcmp(answer, "ok") == 0 || gw_sqlite_damaged(store, answer, error);
}

/* What can be told from the file alone. *@exists: FALSE where one has to be made. *@whole: FALSE
 * where its end is missing. */
static gboolean look_at_file(GwStore *store, gboolean *exists, gboolean *whole, GError **error)
{
    g_autofree char *wal = g_strconcat(store->path, "-wal", NULL);
    struct stat log, found;
    gboolean has_log = stat(wal, &log) == 0 && log.st_size > 0;

    *exists = stat(store->path, &found) == 0;
    if (!*exists && errno != ENOENT)
        return cannot_create(store->path, errno, error);
    if (*exists && !S_ISREG(found.st_mode)) {
        gw_error_set(error, GW_ERR_STORE, "Give the path of a file.", "'%s' is not a file",
                     store->path);
        return FALSE;
    }
    if (*exists && found.st_size == 0)
        return gw_sqlite_damaged(store, "the file is empty", error);
    /* A page cut short is filled with zeros by SQLite; only a log may still hold the rest. */
    *whole = !*exists || has_log || found.st_size % PAGE == 0;
    /* A new database would take in what an old log holds. */
    if (!*exists && has_log)
        return gw_sqlite_damaged(store, "its log (-wal) is there, but the database itself is not",
                                 error);
    return TRUE;
}

/* Tokens' hashes and definitions of VMs are nobody else's business. */
static gboolean make_private(const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };

    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = g_strconcat(path, suffixes[i], NULL);
        if (chmod(name, 0600) != 0 && (errno != ENOENT || i == 0))
            return FALSE;
    }
    return TRUE;
}

static gboolean open_checked(GwStore *store, GError **error)
{
    gboolean exists = FALSE, whole = FALSE;
    int version = 0;

    if (!look_at_file(store, &exists, &whole, error))
        return FALSE;
    if (!exists && !create_file(store, error))
        return FALSE;
    if (!open_file(store, store->path, error) || !check_version(store, &version, error) ||
        !check_sound(store, whole, error))
        return FALSE;
    if (!make_private(store->path))
        return cannot_create(store->path, errno, error);
    return migrate(store, version, error) && settle_file(store, error);
}

GwStore *gw_store_open(const char *path, GError **error)
{
    g_autoptr(GwStore) store = g_new0(GwStore, 1);

    g_mutex_init(&store->lock);
    store->clock = gw_clock_new_system();
    /* An absolute path means a file to SQLite, whatever its name is. */
    store->path = g_canonicalize_filename(path, NULL);
    store->lock_fd = gw_store_lock(store->path, error);
    if (store->lock_fd < 0 || !open_checked(store, error))
        return NULL;
    return g_steal_pointer(&store);
}

void gw_store_close(GwStore *store)
{
    if (store == NULL)
        return;
    close_file(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    gw_clock_free(store->clock);
    g_mutex_clear(&store->lock);
    g_free(store->path);
    g_free(store);
}
