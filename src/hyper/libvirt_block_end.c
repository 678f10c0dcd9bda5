/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/libvirt_block_end.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "hyper/libvirt_internal.h"

/* Why block jobs ended. libvirt's own event says no more than that one failed, and afterwards
 * nothing is left of it; QEMU's says why, and libvirt hands that on. Kept of jobs that this driver
 * began, until the next of that disk: whoever asks for its progress is told. */

#define DETAILS_MAX 16384           /* bytes of one event */
#define WORDS_US G_TIME_SPAN_SECOND /* the event comes by another line than the answer */

typedef struct {
    char *operation, *error;
    gboolean over;
} End;

static void end_free(gpointer data)
{
    End *end = data;

    g_free(end->operation);
    g_free(end->error);
    g_free(end);
}

/* Reading ------------------------------------------------------------------------------------- */

void gw_block_news_clear(GwBlockNews *news)
{
    g_clear_pointer(&news->job, g_free);
    g_clear_pointer(&news->operation, g_free);
    g_clear_pointer(&news->error, g_free);
}

static char *text(const json_t *data, const char *key)
{
    const char *raw = json_string_value(json_object_get(data, key));
    return raw != NULL && *raw != '\0' ? gw_text_printable(raw, GW_TEXT_NAME_MAX) : NULL;
}

gboolean gw_block_news_read(const char *event, const char *details, GwBlockNews *news)
{
    gboolean failed = g_strcmp0(event, "BLOCK_JOB_ERROR") == 0;
    gboolean cancelled = g_strcmp0(event, "BLOCK_JOB_CANCELLED") == 0;
    gsize length = details != NULL ? strnlen(details, DETAILS_MAX + 1) : 0;

    if (!failed && !cancelled && g_strcmp0(event, "BLOCK_JOB_COMPLETED") != 0)
        return FALSE;
    g_autoptr(GwJson) data = gw_json_parse(details, length, DETAILS_MAX, NULL);
    g_autofree char *job = text(data, "device");
    if (job == NULL)
        return FALSE;
    *news = (GwBlockNews){
        .job = g_steal_pointer(&job),
        .operation = failed ? text(data, "operation") : NULL,
        .error = cancelled ? g_strdup("it was cancelled on its host") : text(data, "error"),
        .over = !failed,
    };
    return TRUE;
}

gboolean gw_block_news_is_of(const GwBlockNews *news, const char *target)
{
    static const char *const kinds[] = { "copy", "commit", NULL };

    for (guint i = 0; kinds[i] != NULL; i++) {
        g_autofree char *name = g_strdup_printf("%s-%s-", kinds[i], target);
        if (g_str_has_prefix(news->job, name))
            return TRUE;
    }
    return FALSE;
}

/* Keeping ------------------------------------------------------------------------------------- */

static char *key_of(const char *uuid, const char *target)
{
    return g_strconcat(uuid, "/", target, NULL);
}

void gw_lv_block_begins(GwLvHost *host, const char *uuid, const char *target)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->driver->lock);

    g_hash_table_replace(host->block_ends, key_of(uuid, target), g_new0(End, 1));
}

void gw_lv_block_forget(GwLvHost *host, const char *uuid, const char *target)
{
    g_autofree char *key = key_of(uuid, target);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->driver->lock);

    g_hash_table_remove(host->block_ends, key);
}

static void take(End *end, GwBlockNews *news)
{
    if (news->operation != NULL) {
        g_free(end->operation);
        end->operation = g_steal_pointer(&news->operation);
    }
    if (news->error != NULL) {
        g_free(end->error);
        end->error = g_steal_pointer(&news->error);
    }
    end->over = end->over || news->over;
}

void gw_lv_block_said(GwLvHost *host, const char *uuid, const char *event, const char *details)
{
    g_autofree char *prefix = key_of(uuid, "");
    g_auto(GwBlockNews) news = { .job = NULL };
    GHashTableIter iter;
    gpointer key, end;

    if (!gw_block_news_read(event, details, &news))
        return;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->driver->lock);
    g_hash_table_iter_init(&iter, host->block_ends);
    while (g_hash_table_iter_next(&iter, &key, &end)) {
        if (g_str_has_prefix(key, prefix) &&
            gw_block_news_is_of(&news, (const char *)key + strlen(prefix))) {
            take(end, &news);
            g_cond_broadcast(&host->driver->changed);
            return;
        }
    }
}

char *gw_lv_block_why(GwLvHost *host, const char *uuid, const char *target)
{
    gint64 until = g_get_monotonic_time() + WORDS_US;
    g_autofree char *key = key_of(uuid, target);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->driver->lock);
    const End *end = g_hash_table_lookup(host->block_ends, key);
    gboolean in_time = TRUE;

    /* Waiting lets go of the lock, so what was found may be gone: it is found again each time. */
    while (in_time && end != NULL && !end->over && !host->driver->closing) {
        in_time = g_cond_wait_until(&host->driver->changed, &host->driver->lock, until);
        end = g_hash_table_lookup(host->block_ends, key);
    }
    if (end == NULL || (end->error == NULL && end->operation == NULL))
        return NULL;
    return g_strdup_printf("QEMU says: %s%s%s%s", end->error != NULL ? end->error : "it failed",
                           end->operation != NULL ? " (" : "",
                           end->operation != NULL ? end->operation : "",
                           end->operation != NULL ? ")" : "");
}

GHashTable *gw_lv_block_ends_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, end_free);
}
