/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/shared.h"
#include "plan/storage.h"

/* The places of a host where disks can go, and what is left in them (R16, R17, R26). */

typedef struct {
    const char *type;
    const char *kind; /* of its volumes */
} Holds;

static const Holds holds[] = {
    { "dir", "file" },      { "fs", "file" },         { "netfs", "file" },  { "vstorage", "file" },
    { "logical", "block" }, { "gluster", "network" }, { "rbd", "network" },
};

const char *gw_storage_kind_of(const GwPool *pool)
{
    for (guint i = 0; i < G_N_ELEMENTS(holds); i++) {
        if (g_strcmp0(pool->type, holds[i].type) == 0)
            return holds[i].kind;
    }
    return NULL;
}

gboolean gw_storage_holds_images(const GwPool *pool)
{
    return gw_storage_kind_of(pool) != NULL;
}

char *gw_storage_size(gint64 bytes)
{
    return gw_plan_size(bytes / 1024);
}

char *gw_storage_list_pools(const GwHost *host)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;
    GString *out = g_string_new(NULL);
    guint listed = 0;

    for (guint i = 0; pools != NULL && i < pools->len && listed < 20; i++) {
        const GwPool *pool = pools->pdata[i];
        if (!pool->active || !gw_storage_holds_images(pool))
            continue;
        g_autofree char *size = gw_storage_size(pool->available_bytes);
        g_string_append_printf(out, "%s%s (%s free)", listed++ > 0 ? ", " : "",
                               gw_plan_text(pool->name), size);
    }
    return gw_plan_list_end(out);
}

static const GwPool *unusable(const GwPool *pool, const GwHost *host, GError **error)
{
    const char *on = gw_plan_host_name(host);

    if (!pool->active) {
        g_autofree char *quoted = gw_plan_quote(pool->name);
        g_autofree char *remedy =
            g_strdup_printf("Start it on %s: virsh pool-start %s.", on, quoted);
        gw_error_set(error, GW_ERR_CONFLICT, remedy, "pool '%s' of %s is not active",
                     gw_plan_text(pool->name), on);
        return NULL;
    }
    if (!gw_storage_holds_images(pool)) {
        gw_error_set(error, GW_ERR_INVALID, "Choose a pool of a directory, a share or volumes.",
                     "pool '%s' of %s is of type %s, in which no images can be made",
                     gw_plan_text(pool->name), on, gw_plan_text(pool->type));
        return NULL;
    }
    return pool;
}

/* "\\server\share", "//server/share", "server:/export", "gluster://server/volume": the server's
 * part and the rest, or NULL where it is none of them. */
static char *share_server(const char *storage, char **source)
{
    g_autofree char *text = g_strdelimit(g_strdup(storage), "\\", '/');
    const char *begin = text;

    if (g_str_has_prefix(begin, "gluster://"))
        begin += strlen("gluster:");
    if (g_str_has_prefix(begin, "//")) {
        *source = g_strdup(begin);
        begin += strspn(begin, "/");
        return g_strndup(begin, strcspn(begin, "/"));
    }
    const char *path = *begin == '/' ? NULL : strstr(begin, ":/");
    if (path == NULL)
        return NULL;
    *source = g_strdup(begin);
    return g_strndup(begin, (gsize)(path - begin));
}

/* R17: a short name may be another machine for each host. */
static gboolean check_server(const char *server, const char *storage, GError **error)
{
    if (*server != '\0' && strpbrk(server, ".:") != NULL && !gw_share_is_loopback(server))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Name the server by its FQDN, as in \\\\fileserver1.contoso.com\\share or "
                 "nas.example.org:/export.",
                 "the share path '%s' names its server '%s', which may be another machine for "
                 "each host (R17)",
                 storage, server);
    return FALSE;
}

/* The pool of @host whose storage is @source ("//server/share", "server:/export"). */
static const GwPool *pool_of_share(const GwHost *host, const char *source)
{
    static const char *const types[] = { "netfs", "gluster" };
    const GPtrArray *pools = gw_plan_facts(host)->pools;

    for (guint t = 0; t < G_N_ELEMENTS(types); t++) {
        const GwPool meant = { .type = (char *)types[t], .source = (char *)source };
        g_autofree char *id = gw_share_own_id(&meant);
        for (guint i = 0; id != NULL && pools != NULL && i < pools->len; i++) {
            g_autofree char *own = gw_share_own_id(pools->pdata[i]);
            if (g_strcmp0(own, id) == 0)
                return pools->pdata[i];
        }
    }
    return NULL;
}

static gboolean is_path_of(const GwPool *pool, const char *clean)
{
    if (pool->target_path == NULL || *pool->target_path != '/')
        return FALSE;
    g_autofree char *own = gw_share_clean_path(pool->target_path);
    return strcmp(own, clean) == 0;
}

static const GwPool *pool_of_directory(const GwHost *host, const char *path)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;
    g_autofree char *clean = gw_share_clean_path(path);

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        if (is_path_of(pools->pdata[i], clean))
            return pools->pdata[i];
    }
    return NULL;
}

const GwPool *gw_plan_find_storage(const GwHost *host, const char *storage, GError **error)
{
    g_autofree char *source = NULL;
    const GwPool *pool =
        gw_record_find(&gw_pool_record, gw_plan_facts(host)->pools, "name", storage);

    if (pool != NULL)
        return unusable(pool, host, error);
    g_autofree char *server = share_server(storage, &source);
    if (server != NULL) {
        if (!check_server(server, storage, error))
            return NULL;
        pool = pool_of_share(host, source);
    } else if (*storage == '/') {
        pool = pool_of_directory(host, storage);
    }
    if (pool != NULL)
        return unusable(pool, host, error);
    g_autofree char *list = gw_storage_list_pools(host);
    g_autofree char *remedy =
        g_strdup_printf("Choose one of its pools: %s; or make the storage a pool of it.", list);
    gw_error_set(error, GW_ERR_NOT_FOUND, remedy, "%s has no storage pool '%s'%s",
                 gw_plan_host_name(host), storage,
                 *storage == '/' || server != NULL ? " (by name, path or share)" : "");
    return NULL;
}

static gboolean is_default(const GwHost *host, const GwPool *pool)
{
    for (guint i = 0; host->default_storage != NULL && host->default_storage[i] != NULL; i++) {
        const char *given = host->default_storage[i];
        if (g_strcmp0(given, pool->name) == 0 ||
            (*given == '/' && gw_plan_find_storage(host, given, NULL) == pool))
            return TRUE;
    }
    return FALSE;
}

static int compare_locations(gconstpointer pa, gconstpointer pb)
{
    const GwStorageLocation *a = *(GwStorageLocation *const *)pa;
    const GwStorageLocation *b = *(GwStorageLocation *const *)pb;
    gint64 free_a = a->available_bytes - a->promised_bytes;
    gint64 free_b = b->available_bytes - b->promised_bytes;

    if (!a->is_default != !b->is_default)
        return a->is_default ? -1 : 1;
    if (free_a != free_b)
        return free_a > free_b ? -1 : 1;
    return g_strcmp0(a->pool, b->pool);
}

GPtrArray *gw_plan_locations(const GwFabric *fabric, const GwHost *host)
{
    GPtrArray *locations = gw_record_array(&gw_storage_location_record);
    const GPtrArray *pools = gw_plan_facts(host)->pools;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (!pool->active || !gw_storage_holds_images(pool))
            continue;
        GwStorageLocation *location = gw_storage_location_new();
        location->pool = g_strdup(pool->name);
        location->path = g_strdup(pool->target_path);
        location->type = g_strdup(pool->type);
        location->is_default = is_default(host, pool);
        location->capacity_bytes = MAX(pool->capacity_bytes, 0);
        location->available_bytes = MAX(pool->available_bytes, 0);
        location->promised_bytes = gw_plan_promised_bytes(fabric, host->id, pool->name, NULL);
        g_ptr_array_add(locations, location);
    }
    g_ptr_array_sort(locations, compare_locations);
    return locations;
}

void gw_storage_address(GwVolume *volume, const GwPool *pool, const char *name)
{
    volume->pool = g_strdup(pool->name);
    volume->name = g_strdup(name);
    volume->kind = g_strdup(gw_storage_kind_of(pool));
    if (g_strcmp0(volume->kind, "network") != 0) {
        if (pool->target_path != NULL)
            volume->path = g_build_filename(pool->target_path, name, NULL);
        return;
    }
    /* "gluster:SERVERS:VOLUME" */
    g_autofree char *id = gw_share_own_id(pool);
    const char *servers = id != NULL ? strchr(id, ':') : NULL;
    const char *base = servers != NULL ? strrchr(servers + 1, ':') : NULL;
    if (base == NULL)
        return;
    volume->server = g_strndup(servers + 1, (gsize)(base - servers - 1));
    volume->path = g_strdup_printf("%.*s:%s/%s", (int)(servers - id), id, base + 1, name);
}

const GwFileSystem *gw_storage_file_system(const GwHost *host, const char *path)
{
    const GwAgentFacts *agent = gw_plan_facts(host)->agent;
    const GwFileSystem *best = NULL;
    gsize best_length = 0;

    if (path == NULL || *path != '/' || agent == NULL || agent->file_systems == NULL)
        return NULL;
    g_autofree char *clean = gw_share_clean_path(path);
    for (guint i = 0; i < agent->file_systems->len; i++) {
        const GwFileSystem *fs = agent->file_systems->pdata[i];
        gsize length = fs->path != NULL ? strlen(fs->path) : 0;
        while (length > 0 && fs->path[length - 1] == '/')
            length--;
        if (fs->path == NULL || *fs->path != '/' || strncmp(fs->path, clean, length) != 0 ||
            (clean[length] != '/' && clean[length] != '\0'))
            continue;
        if (best == NULL || length >= best_length) {
            best = fs;
            best_length = length;
        }
    }
    return best;
}
