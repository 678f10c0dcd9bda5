/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h> /* to prepare damaged files from outside */
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

typedef struct {
    char *dir;
    char *path;
} Place;

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    return remove(path);
}

static int make_place(void **state)
{
    Place *place = g_new0(Place, 1);
    place->dir = g_dir_make_tmp("godwit-store-XXXXXX", NULL);
    place->path = g_build_filename(place->dir, "godwit.db", NULL);
    *state = place;
    return place->dir != NULL ? 0 : -1;
}

static int remove_place(void **state)
{
    Place *place = *state;
    umount2(place->dir, MNT_DETACH);
    nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    g_free(place->dir);
    g_free(place->path);
    g_free(place);
    return 0;
}

static GwStore *open_store(const char *path)
{
    GwStore *store = NULL;
    UNIT_OK((store = gw_store_open(path, error)) != NULL);
    return store;
}

static void assert_refused(const char *path, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwStore) store = gw_store_open(path, &error);
    assert_null(store);
    unit_assert_error(error, GW_ERR_STORE, part);
    assert_non_null(strstr(error->message, path));
}

static json_t *named(const char *name, gsize padding)
{
    g_autofree char *pad = g_strnfill(padding, 'x');
    return json_pack("{s:s,s:s,s:s}", "name", name, "uri", name, "pad", pad);
}

static void put_host(GwStore *store, const char *id, const char *name)
{
    g_autoptr(GwBatch) batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_HOST, id, named(name, 0));
    UNIT_OK(gw_store_commit(store, batch, error));
}

static gboolean has(GwStore *store, GwKind kind, const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) body = gw_store_get(store, kind, id, &error);
    assert_null(error);
    return body != NULL;
}

static gboolean count_one(const char *id, json_t *body, gpointer user, GError **error)
{
    (*(guint *)user)++;
    return TRUE;
}

static guint count(GwStore *store, GwKind kind)
{
    guint n = 0;
    UNIT_OK(gw_store_each(store, kind, count_one, &n, error));
    return n;
}

static guint journal_length(GwStore *store, const char *job)
{
    g_autoptr(GPtrArray) rows = NULL;
    UNIT_OK((rows = gw_store_journal(store, job, error)) != NULL);
    return rows->len;
}

/* Runs SQL beside the store, without the guards. */
static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", sql, sqlite3_errmsg(db));
    assert_int_equal(rc, SQLITE_OK);
    sqlite3_close(db);
}

/* Durability -------------------------------------------------------------------------------- */

static void test_durable_across_reopen(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    g_autoptr(GwBatch) batch = gw_batch_new();

    for (int kind = 0; kind < GW_KIND_COUNT; kind++) {
        gw_batch_put(batch, kind, "a", named("first \xc3\xa9 \"quoted\" \n", 0));
        gw_batch_put(batch, kind, "b", named("second", 0));
    }
    gw_batch_journal(batch, "a", 17, "copying", "job-started", "why not");
    gw_batch_journal(batch, "a", 18, "settling", NULL, NULL);
    UNIT_OK(gw_store_commit(store, batch, error));

    g_autoptr(GwBatch) later = gw_batch_new();
    gw_batch_remove(later, GW_KIND_TOKEN, "b");
    gw_batch_remove(later, GW_KIND_TOKEN, "never there");
    gw_batch_put(later, GW_KIND_HOST, "b", named("third", 0));
    UNIT_OK(gw_store_commit(store, later, error));
    gw_store_close(g_steal_pointer(&store));

    store = open_store(place->path);
    for (int kind = 0; kind < GW_KIND_COUNT; kind++) {
        g_autoptr(GwJson) expected = named("first \xc3\xa9 \"quoted\" \n", 0);
        g_autoptr(GwJson) body = gw_store_get(store, kind, "a", NULL);
        assert_true(json_equal(body, expected));
        assert_int_equal(count(store, kind), kind == GW_KIND_TOKEN ? 1 : 2);
    }
    g_autoptr(GwJson) changed = gw_store_get(store, GW_KIND_HOST, "b", NULL);
    assert_string_equal(json_string_value(json_object_get(changed, "name")), "third");

    g_autoptr(GPtrArray) rows = gw_store_journal(store, "a", NULL);
    assert_int_equal(rows->len, 2);
    const GwJournalRow *row = rows->pdata[0];
    assert_int_equal(row->wall_us, 17);
    assert_string_equal(row->state, "copying");
    assert_string_equal(row->event, "job-started");
    assert_string_equal(row->why, "why not");
    const GwJournalRow *next = rows->pdata[1];
    assert_true(next->sequence > row->sequence);
    assert_string_equal(next->why, "");
}

static void test_only_the_owner_may_read(void **state)
{
    Place *place = *state;
    static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
    mode_t old = umask(0);
    gw_store_close(open_store(place->path));
    assert_int_equal(chmod(place->path, 0644), 0);
    g_autoptr(GwStore) store = open_store(place->path);
    put_host(store, "a", "a");
    umask(old);

    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = g_strconcat(place->path, suffixes[i], NULL);
        struct stat found;
        assert_int_equal(stat(path, &found), 0);
        assert_int_equal(found.st_mode & 0777, 0600);
    }
}

static void test_last_change_in_a_batch_wins(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    g_autoptr(GwBatch) batch = gw_batch_new();

    assert_true(gw_batch_is_empty(batch));
    UNIT_OK(gw_store_commit(store, batch, error));
    gw_batch_put(batch, GW_KIND_HOST, "put-remove", named("1", 0));
    gw_batch_remove(batch, GW_KIND_HOST, "put-remove");
    gw_batch_remove(batch, GW_KIND_HOST, "remove-put");
    gw_batch_put(batch, GW_KIND_HOST, "remove-put", named("2", 0));
    gw_batch_put(batch, GW_KIND_HOST, "joined", named("3", 0));
    gw_batch_journal(batch, "j", 1, "s", "first", "");
    gw_batch_put(batch, GW_KIND_HOST, "joined", named("4", 0));
    gw_batch_put(batch, GW_KIND_JOB, "joined", named("other kind", 0));
    gw_batch_journal(batch, "j", 2, "s", "second", "");
    assert_false(gw_batch_is_empty(batch));
    UNIT_OK(gw_store_commit(store, batch, error));

    assert_false(has(store, GW_KIND_HOST, "put-remove"));
    assert_true(has(store, GW_KIND_HOST, "remove-put"));
    assert_true(has(store, GW_KIND_JOB, "joined"));
    g_autoptr(GwJson) joined = gw_store_get(store, GW_KIND_HOST, "joined", NULL);
    assert_string_equal(json_string_value(json_object_get(joined, "name")), "4");
    g_autoptr(GPtrArray) rows = gw_store_journal(store, "j", NULL);
    assert_int_equal(rows->len, 2);
    assert_string_equal(((GwJournalRow *)rows->pdata[1])->event, "second");
}

typedef struct {
    GwStore *store;
    GString *seen;
} Visit;

static gboolean visit(const char *id, json_t *body, gpointer user, GError **error)
{
    Visit *v = user;
    g_string_append(v->seen, id);
    /* The store may be used from here. */
    assert_true(has(v->store, GW_KIND_SHARE, id));
    if (strcmp(id, "c") != 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CANCELLED, "Go on.", "stopped at %s", id);
    return FALSE;
}

static void test_each_goes_by_id_and_can_stop(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    g_autoptr(GwBatch) batch = gw_batch_new();
    static const char *const ids[] = { "d", "b", "c", "a" };

    for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
        gw_batch_put(batch, GW_KIND_SHARE, ids[i], named(ids[i], 0));
    UNIT_OK(gw_store_commit(store, batch, error));

    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    Visit v = { store, seen };
    assert_false(gw_store_each(store, GW_KIND_SHARE, visit, &v, &error));
    assert_string_equal(seen->str, "abc");
    unit_assert_error(error, GW_ERR_CANCELLED, "stopped at c");
}

static void test_contradiction_stores_nothing(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    put_host(store, "a", "kvm1");

    g_autoptr(GwBatch) batch = gw_batch_new();
    gw_batch_journal(batch, "j", 1, "s", "e", "w");
    gw_batch_put(batch, GW_KIND_SHARE, "s", named("s", 0));
    gw_batch_put(batch, GW_KIND_HOST, "b", named("kvm1", 0));
    g_autoptr(GError) refusal = NULL;
    assert_false(gw_store_commit(store, batch, &refusal));
    unit_assert_error(refusal, GW_ERR_CONFLICT, "host 'b'");
    assert_int_equal(count(store, GW_KIND_HOST), 1);
    assert_int_equal(count(store, GW_KIND_SHARE), 0);
    assert_int_equal(journal_length(store, "j"), 0);

    /* The same batch is right once it also takes the name away. */
    gw_batch_remove(batch, GW_KIND_HOST, "a");
    UNIT_OK(gw_store_commit(store, batch, error));
    assert_true(has(store, GW_KIND_HOST, "b"));
    assert_int_equal(journal_length(store, "j"), 1);
}

static void test_journal_goes_with_its_job(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    g_autoptr(GwBatch) batch = gw_batch_new();
    for (int i = 0; i < 3; i++) {
        gw_batch_journal(batch, "gone", i, "s", "e", "w");
        gw_batch_journal(batch, "kept", i, "s", "e", "w\x1b[2J");
    }
    gw_batch_put(batch, GW_KIND_JOB, "gone", named("gone", 0));
    gw_batch_put(batch, GW_KIND_JOB, "kept", named("kept", 0));
    UNIT_OK(gw_store_commit(store, batch, error));

    g_autoptr(GwBatch) removal = gw_batch_new();
    gw_batch_journal(removal, "gone", 9, "s", "e", "w");
    gw_batch_remove(removal, GW_KIND_JOB, "gone");
    UNIT_OK(gw_store_commit(store, removal, error));
    assert_int_equal(journal_length(store, "gone"), 0);
    g_autoptr(GPtrArray) kept = gw_store_journal(store, "kept", NULL);
    assert_int_equal(kept->len, 3);
    assert_null(strchr(((GwJournalRow *)kept->pdata[0])->why, '\x1b'));
}

static void test_replies_are_kept_for_a_day(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    g_autoptr(GwBatch) batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_REPLY, "old", named("old", 0));
    gw_batch_put(batch, GW_KIND_REPLY, "young", named("young", 0));
    UNIT_OK(gw_store_commit(store, batch, error));
    run_sql(place->path,
            "UPDATE reply SET changed_us = changed_us - 86401000000 WHERE id = 'old';"
            "UPDATE reply SET changed_us = changed_us - 86300000000 WHERE id <> 'old'");

    g_autoptr(GwBatch) another = gw_batch_new();
    gw_batch_put(another, GW_KIND_REPLY, "new", named("new", 0));
    UNIT_OK(gw_store_commit(store, another, error));
    assert_false(has(store, GW_KIND_REPLY, "old"));
    assert_true(has(store, GW_KIND_REPLY, "young"));
    assert_true(has(store, GW_KIND_REPLY, "new"));
}

#define THREADS 4
#define COMMITS 25

static gpointer commit_many(gpointer data)
{
    gpointer *args = data;
    guint good = 0;
    for (int i = 0; i < COMMITS; i++) {
        g_autofree char *id = g_strdup_printf("%d-%d", GPOINTER_TO_INT(args[1]), i);
        g_autoptr(GwBatch) batch = gw_batch_new();
        gw_batch_put(batch, GW_KIND_EPOCH, id, named(id, 0));
        good += gw_store_commit(args[0], batch, NULL);
    }
    return GUINT_TO_POINTER(good);
}

static void test_threads_share_a_store(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    gpointer args[THREADS][2];
    GThread *threads[THREADS];
    guint good = 0;

    for (int i = 0; i < THREADS; i++) {
        args[i][0] = store;
        args[i][1] = GINT_TO_POINTER(i);
        threads[i] = g_thread_new("commit", commit_many, args[i]);
    }
    for (int i = 0; i < THREADS; i++)
        good += GPOINTER_TO_UINT(g_thread_join(threads[i]));
    assert_int_equal(good, THREADS * COMMITS);
    assert_int_equal(count(store, GW_KIND_EPOCH), THREADS * COMMITS);
}

/* Death -------------------------------------------------------------------------------------- */

static gboolean commit_pair(GwStore *store, int i, gsize padding, GError **error)
{
    g_autofree char *id = g_strdup_printf("%06d", i);
    g_autoptr(GwBatch) batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_JOB, id, named(id, padding));
    gw_batch_journal(batch, id, i, "state", "event", "why");
    gw_batch_put(batch, GW_KIND_EPOCH, id, named(id, padding));
    return gw_store_commit(store, batch, error);
}

static gboolean check_pair(const char *id, json_t *body, gpointer user, GError **error)
{
    assert_true(has(user, GW_KIND_EPOCH, id));
    assert_int_equal(journal_length(user, id), 1);
    return TRUE;
}

/* None is stored by half. Returns how many there are. */
static guint check_pairs(GwStore *store)
{
    guint jobs = count(store, GW_KIND_JOB);
    UNIT_OK(gw_store_each(store, GW_KIND_JOB, check_pair, store, error));
    assert_int_equal(count(store, GW_KIND_EPOCH), jobs);
    return jobs;
}

static void child_commits_for_ever(const char *path, int first, int out)
{
    GwStore *store = gw_store_open(path, NULL);
    for (int i = first; store != NULL && commit_pair(store, i, 3000, NULL); i++) {
        if (write(out, &i, sizeof i) != sizeof i)
            break;
    }
    _exit(1);
}

static void test_killed_between_commits(void **state)
{
    Place *place = *state;
    int next = 0;

    for (int round = 0; round < 8; round++) {
        int ends[2];
        int started = next;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t child = fork();
        if (child == 0)
            child_commits_for_ever(place->path, next, ends[1]);
        close(ends[1]);
        /* Until some were acknowledged, then anywhere within the next ones. */
        for (int acked = 0; acked < 5; acked++, next++)
            assert_int_equal(read(ends[0], &(int){ 0 }, sizeof(int)), sizeof(int));
        g_usleep(500 + round * 1700);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        for (int i = 0; read(ends[0], &i, sizeof i) == sizeof i;)
            next = i + 1;
        close(ends[0]);

        g_autoptr(GwStore) store = open_store(place->path);
        guint there = check_pairs(store);
        for (int i = started; i < next; i++) {
            g_autofree char *id = g_strdup_printf("%06d", i);
            assert_true(has(store, GW_KIND_JOB, id));
        }
        /* At most the one whose answer the child could not send any more. */
        assert_in_range(there, (guint)next, (guint)next + 1);
        next = (int)there;
    }
}

static void test_second_process_is_refused(void **state)
{
    Place *place = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        GwStore *store = gw_store_open(place->path, NULL);
        char word = store != NULL ? 'y' : 'n';
        if (write(ends[1], &word, 1) == 1)
            pause();
        _exit(1);
    }
    char word = 0;
    assert_int_equal(read(ends[0], &word, 1), 1);
    assert_int_equal(word, 'y');

    g_autofree char *who = g_strdup_printf("in use by process %d", (int)child);
    gint64 began = g_get_monotonic_time();
    assert_refused(place->path, who);
    assert_true(g_get_monotonic_time() - began < G_USEC_PER_SEC);

    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    gw_store_close(open_store(place->path));
}

static void test_second_store_in_one_process_is_refused(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    assert_refused(place->path, "in use by process");
    put_host(store, "a", "a");
}

/* Damage ------------------------------------------------------------------------------------- */

static void fill(const char *path, int pairs)
{
    g_autoptr(GwStore) store = open_store(path);
    for (int i = 0; i < pairs; i++)
        UNIT_OK(commit_pair(store, i, 700, error));
}

/* The refusal leaves every byte as it is. */
static void assert_refused_and_kept(const char *path, const char *part)
{
    g_autofree char *before = NULL, *after = NULL;
    gsize length_before = 0, length_after = 0;
    assert_true(g_file_get_contents(path, &before, &length_before, NULL));
    assert_refused(path, part);
    assert_true(g_file_get_contents(path, &after, &length_after, NULL));
    assert_int_equal(length_before, length_after);
    assert_memory_equal(before, after, length_before);
}

static void write_at(const char *path, goffset offset, const void *bytes, gsize length)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    close(fd);
}

/* Opens what may be damaged: it is refused, or what can be read of it is true. */
static gboolean opens_truthfully(const char *path, int pairs)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwStore) store = gw_store_open(path, &error);
    if (store == NULL) {
        unit_assert_error(error, GW_ERR_STORE, path);
        return FALSE;
    }
    for (int i = 0; i < pairs; i++) {
        g_autofree char *id = g_strdup_printf("%06d", i);
        g_autoptr(GwJson) expected = named(id, 700);
        g_autoptr(GwJson) job = gw_store_get(store, GW_KIND_JOB, id, &error);
        if (error != NULL) {
            unit_assert_error(error, GW_ERR_STORE, id);
            return FALSE;
        }
        assert_true(json_equal(job, expected));
    }
    return TRUE;
}

static void test_overwritten_bytes(void **state)
{
    Place *place = *state;
    enum { PAIRS = 20, STEP = 1024 };
    guint8 junk[64];
    g_autofree char *sound = NULL;
    gsize length = 0;
    guint noticed = 0, tried = 0;

    memset(junk, 0xA5, sizeof junk);
    fill(place->path, PAIRS);
    assert_true(g_file_get_contents(place->path, &sound, &length, NULL));
    for (gsize offset = 0; offset + sizeof junk <= length; offset += STEP, tried++) {
        assert_true(g_file_set_contents(place->path, sound, (gssize)length, NULL));
        write_at(place->path, (goffset)offset, junk, sizeof junk);
        noticed += !opens_truthfully(place->path, PAIRS);
    }
    print_message("%u of %u damaged files were refused, the others read true\n", noticed, tried);
    assert_true(noticed >= tried / 3);

    /* The start of any page is its map: never missed. */
    for (gsize offset = 0; offset < length; offset += 4096) {
        assert_true(g_file_set_contents(place->path, sound, (gssize)length, NULL));
        write_at(place->path, (goffset)offset, junk, sizeof junk);
        assert_refused_and_kept(place->path, "database");
    }
}

static void test_truncated(void **state)
{
    Place *place = *state;
    g_autofree char *sound = NULL;
    gsize length = 0;
    fill(place->path, 20);
    assert_true(g_file_get_contents(place->path, &sound, &length, NULL));
    const gsize lengths[] = { 0,    1,    100,        512,           4096,
                              4097, 8192, length / 2, length - 4096, length - 1 };

    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        assert_true(g_file_set_contents(place->path, sound, (gssize)length, NULL));
        assert_int_equal(truncate(place->path, (off_t)lengths[i]), 0);
        assert_refused_and_kept(place->path, "database");
    }
}

static void test_not_ours(void **state)
{
    Place *place = *state;
    assert_true(g_file_set_contents(place->path, "name: kvm1\nuri: qemu:///system\n", -1, NULL));
    assert_refused_and_kept(place->path, "not a database");
    unlink(place->path);

    run_sql(place->path, "CREATE TABLE recipe (id INTEGER PRIMARY KEY)");
    assert_refused_and_kept(place->path, "another program");
}

static void test_newer_version(void **state)
{
    Place *place = *state;
    fill(place->path, 1);
    run_sql(place->path, "PRAGMA user_version = 4711");
    assert_refused_and_kept(place->path, "newer version of Godwit (schema 4711");

    run_sql(place->path, "PRAGMA user_version = 0");
    assert_refused_and_kept(place->path, "no schema version");
}

/* What was written before there were agents. */
static void test_first_schema(void **state)
{
    Place *place = *state;
    g_autoptr(GwBatch) batch = gw_batch_new();

    fill(place->path, 3);
    run_sql(place->path, "DROP TABLE join_token; DROP TABLE certificate; DROP TABLE kept_volume;"
                         "DROP TABLE placement_rule; PRAGMA user_version = 1");
    g_autoptr(GwStore) store = open_store(place->path);
    assert_int_equal(count(store, GW_KIND_JOIN_TOKEN), 0);
    gw_batch_put(batch, GW_KIND_JOIN_TOKEN, "hash", named("a", 0));
    gw_batch_put(batch, GW_KIND_CERTIFICATE, "serial", named("b", 0));
    gw_batch_put(batch, GW_KIND_PLACEMENT_RULE, "apart", named("c", 0));
    UNIT_OK(gw_store_commit(store, batch, error));
    gw_store_close(g_steal_pointer(&store));
    store = open_store(place->path);
    assert_true(has(store, GW_KIND_JOIN_TOKEN, "hash"));
    assert_true(has(store, GW_KIND_CERTIFICATE, "serial"));
    assert_true(has(store, GW_KIND_PLACEMENT_RULE, "apart"));
    assert_int_equal(count(store, GW_KIND_JOB), 3);
}

static void test_log_without_database(void **state)
{
    Place *place = *state;
    g_autofree char *log = g_strconcat(place->path, "-wal", NULL);
    assert_true(g_file_set_contents(log, "what is left of another life", -1, NULL));
    assert_refused(place->path, "-wal");
    assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
    unlink(log);
    gw_store_close(open_store(place->path));
}

static void test_interrupted_creation(void **state)
{
    Place *place = *state;
    g_autofree char *trial = g_strconcat(place->path, ".new", NULL);
    g_autofree char *journal = g_strconcat(trial, "-journal", NULL);
    assert_true(g_file_set_contents(trial, "half", -1, NULL));
    assert_true(g_file_set_contents(journal, "half", -1, NULL));
    fill(place->path, 1);
    assert_false(g_file_test(trial, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
}

static void test_body_that_is_not_json(void **state)
{
    Place *place = *state;
    g_autoptr(GwStore) store = open_store(place->path);
    UNIT_OK(commit_pair(store, 1, 0, error));
    run_sql(place->path, "PRAGMA ignore_check_constraints = 1;"
                         "UPDATE job SET body = '{\"name\":' WHERE id = '000001'");

    guint n = 0;
    g_autoptr(GError) error = NULL;
    assert_false(gw_store_each(store, GW_KIND_JOB, count_one, &n, &error));
    unit_assert_error(error, GW_ERR_STORE, "job '000001'");
    assert_int_equal(n, 0);
    g_clear_error(&error);
    assert_null(gw_store_get(store, GW_KIND_JOB, "000001", &error));
    unit_assert_error(error, GW_ERR_STORE, "job '000001'");
    gw_store_close(g_steal_pointer(&store));
    assert_refused_and_kept(place->path, "damaged");
}

/* Places ------------------------------------------------------------------------------------- */

static void test_bad_places(void **state)
{
    Place *place = *state;
    g_autofree char *nowhere = g_build_filename(place->dir, "no", "such", "godwit.db", NULL);
    assert_refused(nowhere, "No such file");
    g_autofree char *folder = g_build_filename(place->dir, "folder", NULL);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_refused(folder, "not a file");

    /* A lock that leads elsewhere is not followed. */
    g_autofree char *lock = g_strconcat(place->path, ".lock", NULL);
    g_autofree char *target = g_build_filename(place->dir, "target", NULL);
    assert_int_equal(symlink(target, lock), 0);
    assert_refused(place->path, ".lock");
    assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
}

static void test_directory_of_somebody_else(void **state)
{
    Place *place = *state;
    assert_int_equal(chmod(place->dir, 0555), 0);
    setfsuid(65534); /* root may write anywhere */
    assert_refused(place->path, "Permission denied");
    setfsuid(geteuid());
    assert_int_equal(chmod(place->dir, 0755), 0);
    gw_store_close(open_store(place->path));
}

static gboolean write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    gboolean written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Mounts of our own, which go with this process. */
static gboolean enter_mount_namespace(void)
{
    static int entered = -1;
    if (entered >= 0)
        return entered;

    uid_t uid = geteuid();
    g_autofree char *map = g_strdup_printf("0 %d 1", (int)uid);
    entered = unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
              (uid == 0 || write_text("/proc/self/uid_map", map)) &&
              mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0;
    return entered;
}

static void mount_small(const char *dir)
{
    if (!enter_mount_namespace() || mount("tmpfs", dir, "tmpfs", 0, "size=1m") != 0) {
        print_message("skip: no mount namespace here to make a small file system in\n");
        skip();
    }
}

static void test_read_only_file_system(void **state)
{
    Place *place = *state;
    mount_small(place->dir);
    assert_int_equal(mount("none", place->dir, "none", MS_REMOUNT | MS_RDONLY, ""), 0);
    assert_refused(place->path, "Read-only file system");
    assert_int_equal(mount("none", place->dir, "none", MS_REMOUNT, "size=1m"), 0);
    fill(place->path, 2);
    assert_int_equal(mount("none", place->dir, "none", MS_REMOUNT | MS_RDONLY, ""), 0);
    assert_refused(place->path, "Read-only file system");
}

/* Takes all but @left bytes. */
static char *take_room(const char *dir, gsize left)
{
    static const char page[4096];
    char *filler = g_build_filename(dir, "filler", NULL);
    int fd = open(filler, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    goffset size = 0;
    for (ssize_t n; (n = write(fd, page, sizeof page)) > 0;)
        size += n;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(ftruncate(fd, MAX(size - (goffset)left, 0)), 0);
    close(fd);
    return filler;
}

static void test_disk_full_at_any_point(void **state)
{
    Place *place = *state;
    mount_small(place->dir);
    g_autoptr(GwStore) store = open_store(place->path);
    int next = 0;
    guint refused = 0;

    for (gsize left = 0; left <= 20 * 4096; left += 4096) {
        g_autoptr(GError) refusal = NULL;
        g_autofree char *filler = take_room(place->dir, left);
        /* Small and large in turn, as they break off at different writes. */
        while (commit_pair(store, next, left % 8192 == 0 ? 40 : 9000, &refusal))
            next++;
        unit_assert_error(refusal, GW_ERR_STORE, "the disk is full");
        refused++;
        assert_int_equal(check_pairs(store), next);

        assert_int_equal(unlink(filler), 0);
        UNIT_OK(commit_pair(store, next++, 40, error));
        gw_store_close(g_steal_pointer(&store));
        store = open_store(place->path);
        assert_int_equal(check_pairs(store), next);

        g_autoptr(GwBatch) away = gw_batch_new();
        for (int i = 0; i < next; i++) {
            g_autofree char *id = g_strdup_printf("%06d", i);
            gw_batch_remove(away, GW_KIND_JOB, id);
            gw_batch_remove(away, GW_KIND_EPOCH, id);
        }
        UNIT_OK(gw_store_commit(store, away, error));
        next = 0;
    }
    print_message("%u commits met a full disk, %d pairs at the end\n", refused, next);
}

static void test_opening_on_a_full_disk(void **state)
{
    Place *place = *state;
    mount_small(place->dir);
    for (gsize left = 0; left <= 16 * 4096; left += 4096) {
        g_autofree char *filler = take_room(place->dir, left);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwStore) store = gw_store_open(place->path, &error);
        if (store == NULL) {
            unit_assert_error(error, GW_ERR_STORE, place->path);
            assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
        }
        unlink(filler);
    }
    fill(place->path, 3);
    g_autofree char *filler = take_room(place->dir, 0);
    assert_false(opens_truthfully(place->path, 3));
    unlink(filler);
    assert_true(opens_truthfully(place->path, 3));
}

static void test_ten_thousand_jobs(void **state)
{
    Place *place = *state;
    enum { JOBS = 10000 };
    g_autoptr(GwBatch) batch = gw_batch_new();
    for (int i = 0; i < JOBS; i++) {
        g_autofree char *id = g_strdup_printf("%026d", i);
        gw_batch_put(batch, GW_KIND_JOB, id, named(id, 1500));
    }
    GwStore *store = open_store(place->path);
    gint64 began = g_get_monotonic_time();
    UNIT_OK(gw_store_commit(store, batch, error));
    gint64 committed = g_get_monotonic_time();
    gw_store_close(store);

    gint64 reopened = g_get_monotonic_time();
    store = open_store(place->path);
    gint64 opened = g_get_monotonic_time();
    assert_int_equal(count(store, GW_KIND_JOB), JOBS);
    print_message("10,000 jobs: commit %d ms, open and check %d ms, load %d ms\n",
                  (int)((committed - began) / 1000), (int)((opened - reopened) / 1000),
                  (int)((g_get_monotonic_time() - opened) / 1000));
    gw_store_close(store);
}

#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_durable_across_reopen),
        STORE_TEST(test_only_the_owner_may_read),
        STORE_TEST(test_last_change_in_a_batch_wins),
        STORE_TEST(test_each_goes_by_id_and_can_stop),
        STORE_TEST(test_contradiction_stores_nothing),
        STORE_TEST(test_journal_goes_with_its_job),
        STORE_TEST(test_replies_are_kept_for_a_day),
        STORE_TEST(test_threads_share_a_store),
        STORE_TEST(test_killed_between_commits),
        STORE_TEST(test_second_process_is_refused),
        STORE_TEST(test_second_store_in_one_process_is_refused),
        STORE_TEST(test_overwritten_bytes),
        STORE_TEST(test_truncated),
        STORE_TEST(test_not_ours),
        STORE_TEST(test_newer_version),
        STORE_TEST(test_first_schema),
        STORE_TEST(test_log_without_database),
        STORE_TEST(test_interrupted_creation),
        STORE_TEST(test_body_that_is_not_json),
        STORE_TEST(test_bad_places),
        STORE_TEST(test_directory_of_somebody_else),
        STORE_TEST(test_read_only_file_system),
        STORE_TEST(test_disk_full_at_any_point),
        STORE_TEST(test_opening_on_a_full_disk),
        STORE_TEST(test_ten_thousand_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
