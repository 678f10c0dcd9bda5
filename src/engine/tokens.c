/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"
#include "engine/engine_internal.h"

/* Tokens: 256 random bits, so that a plain SHA-256 of them is all the store needs to know. */

#define TOKEN_BYTES 32

char *gw_tokens_hash(const char *token)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
}

static gboolean load_token(const char *id, json_t *body, gpointer user, GError **error)
{
    GwEngine *engine = user;
    const char *name = json_string_value(json_object_get(body, "user"));

    g_hash_table_replace(engine->tokens, g_strdup(id), g_strdup(name != NULL ? name : "unknown"));
    (void)error;
    return TRUE;
}

static gboolean write_secret(const char *path, const char *secret, GError **error)
{
    g_autofree char *fresh = g_strconcat(path, ".new", NULL);
    g_autofree char *line = g_strconcat(secret, "\n", NULL);

    unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    gboolean written = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line) &&
                       fsync(fd) == 0 && rename(fresh, path) == 0;
    if (!written)
        gw_error_set(error, GW_ERR_STORE, "Check the state folder's permissions and free space.",
                     "cannot write the administrator's token to %s: %s", path, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return written;
}

char *gw_tokens_draw(const char *prefix, GError **error)
{
    guint8 bytes[TOKEN_BYTES];
    GString *token = g_string_new(prefix);

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        g_string_free(token, TRUE);
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "the system gives no random numbers");
        return NULL;
    }
    for (guint i = 0; i < sizeof bytes; i++)
        g_string_append_printf(token, "%02x", bytes[i]);
    return g_string_free(token, FALSE);
}

static gboolean make_first(GwEngine *engine, const char *path, GError **error)
{
    g_autofree char *text = gw_tokens_draw("godwit-", error);
    g_autoptr(GwBatch) batch = gw_batch_new();

    if (text == NULL)
        return FALSE;
    g_autofree char *hash = gw_tokens_hash(text);

    /* The file first: a token nobody has would lock everybody out. */
    if (path != NULL && !write_secret(path, text, error))
        return FALSE;
    gw_batch_put(batch, GW_KIND_TOKEN, hash,
                 json_pack("{s:s,s:s}", "user", "admin", "role", "Administrator"));
    if (!gw_store_commit(engine->store, batch, error))
        return FALSE;
    g_hash_table_replace(engine->tokens, g_steal_pointer(&hash), g_strdup("admin"));
    return TRUE;
}

gboolean gw_tokens_load(GwEngine *engine, const char *path, GError **error)
{
    if (!gw_store_each(engine->store, GW_KIND_TOKEN, load_token, engine, error))
        return FALSE;
    return g_hash_table_size(engine->tokens) > 0 || make_first(engine, path, error);
}

/* By its hash: whether a guess is near tells nothing about the token. */
char *gw_engine_check_token(GwEngine *engine, const char *token, GError **error)
{
    char *user = NULL;

    if (token != NULL && strlen(token) <= GW_TOKEN_MAX) {
        g_autofree char *hash = gw_tokens_hash(token);
        g_mutex_lock(&engine->tokens_lock);
        user = g_strdup(g_hash_table_lookup(engine->tokens, hash));
        g_mutex_unlock(&engine->tokens_lock);
    }
    if (user == NULL)
        gw_error_set(error, GW_ERR_UNAUTHORIZED,
                     "Give a valid token: the first one is in admin.token in the controller's "
                     "state folder.",
                     "no valid token");
    return user;
}

json_t *gw_engine_recall_reply(GwEngine *engine, const char *key, GError **error)
{
    return gw_store_get(engine->store, GW_KIND_REPLY, key, error);
}

gboolean gw_engine_remember_reply(GwEngine *engine, const char *key, json_t *reply, GError **error)
{
    g_autoptr(GwBatch) batch = gw_batch_new();

    gw_batch_put(batch, GW_KIND_REPLY, key, json_incref(reply));
    return gw_store_commit(engine->store, batch, error);
}
