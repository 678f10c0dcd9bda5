/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sqlite3.h>

#include "base/clock.h"
#include "base/json.h"
#include "store/store.h"

/* sqlite.c: records and the journal, and how SQLite is asked. sqlite_open.c: the file they are in.
 */

#define GW_SQLITE_BODY_MAX ((gsize)64 * GW_JSON_TEXT_MAX) /* bytes of one body */

struct GwStore {
    char *path;
    int lock_fd;
    GwClock *clock;
    GMutex lock;
    sqlite3 *db; /* guarded by lock */
};

/* Both return FALSE. Reports what SQLite just answered: */
gboolean gw_sqlite_failed(const GwStore *store, int rc, GError **error);
gboolean gw_sqlite_damaged(const GwStore *store, const char *what, GError **error);
gboolean gw_sqlite_run(GwStore *store, const char *sql, GError **error);
/* The first column of the first row: "" where there is none. */
char *gw_sqlite_ask(GwStore *store, const char *sql, GError **error);
void gw_sqlite_roll_back(GwStore *store);
