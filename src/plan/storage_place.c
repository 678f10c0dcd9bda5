/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/storage.h"

/* Where disks can go, and which of these places is meant (R16, R17, R38). */

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
    if (listed == 0)
        g_string_append(out, "none");
    return g_string_free(out, FALSE);
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

/* What the move of one disk still needs of @pool. What is copied already shows in the pool's own
 * free space, so only the rest counts. */
static gint64 promised_by(const GwJob *job, const GwDiskMove *move, const char *pool)
{
    const GwImageMove *top =
        move->images != NULL && move->images->len > 0 ? move->images->pdata[0] : NULL;

    if (top == NULL || top->to == NULL || g_strcmp0(top->to->pool, pool) != 0)
        return 0;
    gint64 percent = job->state >= (int)GW_JOB_COPYING && job->progress != NULL
                         ? CLAMP(job->progress->percent, 0, 100)
                         : 0;
    return CLAMP(move->need_bytes, 0, G_MAXINT64 / 1000000) / 100 * (100 - percent);
}

gint64 gw_plan_promised_bytes(const GwFabric *fabric, const char *host_id, const char *pool,
                              const char *job_id)
{
    gint64 sum = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        /* Of two that wait, only the earlier counts against the later, as with memory. */
        if (gw_job_state_is_final((GwJobState)job->state) || job->disks == NULL ||
            g_strcmp0(job->destination_host_id, host_id) != 0 ||
            (job_id != NULL && g_strcmp0(job->id, job_id) >= 0))
            continue;
        for (guint i = 0; i < job->disks->len; i++)
            sum += MIN(promised_by(job, job->disks->pdata[i], pool), G_MAXINT64 / 2 - sum);
    }
    return sum;
}

void gw_place_clear(GwPlace *place)
{
    g_free(place->name);
    *place = (GwPlace){ 0 };
}

const GwPool *gw_storage_pool_of(const GwStorage *st, const GwDiskWay *way)
{
    const GwDisk *disk = way->disk;
    const GPtrArray *pools = gw_plan_facts(st->input->source)->pools;
    const GwVolume *top =
        way->images != NULL && way->images->images != NULL && way->images->images->len > 0
            ? way->images->images->pdata[0]
            : NULL;

    if (top != NULL && top->pool != NULL)
        return gw_record_find(&gw_pool_record, pools, "name", top->pool);
    if (way->reach != NULL && way->reach->source != NULL)
        return way->reach->source;
    if (*disk->source == '/')
        return gw_share_pool_of_path(st->input->source, disk->source);
    if (g_strcmp0(disk->type, "volume") != 0)
        return NULL;
    g_autofree char *name = g_strndup(disk->source, strcspn(disk->source, "/"));
    return gw_record_find(&gw_pool_record, pools, "name", name);
}

/* A pool's, not a person's: only where it can be used as it is. */
static const GwPool *pool_of_same_name(const GwStorage *st, const GwDiskWay *way)
{
    const GwPool *own = gw_storage_pool_of(st, way);
    const GwPool *pool =
        own != NULL && !st->within
            ? gw_record_find(&gw_pool_record, gw_plan_facts(st->input->destination)->pools, "name",
                             own->name)
            : NULL;

    return pool != NULL && pool->active && gw_storage_holds_images(pool) ? pool : NULL;
}

static const GwPool *first_default(const GwStorage *st)
{
    char **given = st->input->destination->default_storage;

    for (guint i = 0; given != NULL && given[i] != NULL; i++) {
        const GwPool *pool = gw_plan_find_storage(st->input->destination, given[i], NULL);
        if (pool != NULL)
            return pool;
    }
    return NULL;
}

static void add_no_place(GwStorage *st, const GwDiskWay *way)
{
    const char *to = gw_plan_host_name(st->input->destination);
    g_autofree char *list = gw_storage_list_pools(st->input->destination);
    const GwPool *own = gw_storage_pool_of(st, way);

    gw_storage_find(
        st, &gw_rule_storage_place,
        st->within ? g_strdup_printf("%s has no default storage location for disk %s", to,
                                     gw_plan_text(way->disk->target))
        : own != NULL
            ? g_strdup_printf("Disk %s is to be copied, and %s has neither an active pool '%s' nor "
                              "a default storage location",
                              gw_plan_text(way->disk->target), to, gw_plan_text(own->name))
            : g_strdup_printf("Disk %s is to be copied, and %s has no default storage location",
                              gw_plan_text(way->disk->target), to),
        g_strdup_printf("A place for it. Pools of %s: %s.", to, list),
        g_strdup_printf("Choose one (--storage POOL), or set the default storage locations of %s.",
                        to));
}

static void add_error(GwStorage *st, const GwRule *rule, const GwDiskWay *way, GError *error)
{
    gw_storage_find(st, rule,
                    g_strdup_printf("Disk %s: %s", gw_plan_text(way->disk->target), error->message),
                    g_strdup("A pool of the destination, by its name or path, or a share path "
                             "whose server is an FQDN."),
                    g_strdup(gw_error_remedy(error)));
    g_error_free(error);
}

static const char *base_name(const char *source)
{
    const char *slash = strrchr(source, '/');
    return slash != NULL ? slash + 1 : source;
}

/* As it is called now; a LUN's name says nothing, so it is called after the VM. */
static char *default_name(const GwStorage *st, const GwDiskWay *way)
{
    const GwDisk *disk = way->disk;

    if (way->images != NULL && way->images->images != NULL && way->images->images->len > 0) {
        const GwVolume *top = way->images->images->pdata[0];
        if (top->pool != NULL && top->name != NULL && !way->lun)
            return g_strdup(base_name(top->name));
    }
    if (way->lun || g_str_has_prefix(disk->source, "/dev/disk/"))
        return g_strdup_printf("%s-%s", gw_plan_text(st->input->vm->name),
                               gw_plan_text(disk->target));
    return g_strdup(base_name(disk->source));
}

static gboolean check_name(GwStorage *st, const GwDiskWay *way, const char *name)
{
    g_autoptr(GError) error = NULL;

    if (gw_volume_check_name(name, &error))
        return TRUE;
    gw_storage_find(
        st, &gw_rule_volume_name,
        g_strdup_printf("Disk %s would be called '%s'", gw_plan_text(way->disk->target), name),
        g_strdup("One file name: no '/', not '.' or '..', no control characters, at "
                 "most 255 bytes."),
        g_strdup_printf("Choose a name: --disk %s:POOL/NAME.", gw_plan_text(way->disk->target)));
    return FALSE;
}

/* Which pool; NULL: none, and a finding says so. */
static const GwPool *choose_pool(GwStorage *st, const GwDiskWay *way, const char *storage)
{
    GError *error = NULL;

    if (storage != NULL) {
        const GwPool *pool = gw_plan_find_storage(st->input->destination, storage, &error);
        if (pool == NULL) {
            gboolean share = strchr(storage, '\\') != NULL || strstr(storage, ":/") != NULL ||
                             g_str_has_prefix(storage, "//");
            add_error(st,
                      share && g_error_matches(error, GW_ERROR, GW_ERR_INVALID)
                          ? &gw_rule_share_path
                          : &gw_rule_storage_place,
                      way, error);
        }
        return pool;
    }
    const GwPool *pool = pool_of_same_name(st, way);
    if (pool == NULL)
        pool = first_default(st);
    if (pool == NULL)
        add_no_place(st, way);
    return pool;
}

static gboolean is_device(const GwStorage *st, const char *storage)
{
    return storage != NULL && g_str_has_prefix(storage, "/dev/") &&
           gw_plan_find_storage(st->input->destination, storage, NULL) == NULL;
}

/* Written anew where it is, it needs another name beside the old one. */
static void avoid_self(const GwStorage *st, const GwDiskWay *way, GwPlace *place)
{
    if (!st->within || !gw_storage_is_there(st, way, place) || !gw_storage_converts(st, way, place))
        return;
    const char *dot = strrchr(place->name, '.');
    gsize length =
        dot != NULL && dot != place->name ? (gsize)(dot - place->name) : strlen(place->name);
    char *name = g_strdup_printf("%.*s.%s", (int)length, place->name, gw_plan_text(place->format));
    if (strcmp(name, place->name) == 0) {
        g_free(name);
        name = g_strdup_printf("%.*s-1.%s", (int)length, place->name, gw_plan_text(place->format));
    }
    g_free(place->name);
    place->name = name;
}

gboolean gw_storage_place(GwStorage *st, const GwDiskWay *way, GwPlace *place)
{
    const GwDiskChoice *choice = way->choice;
    const char *storage =
        choice != NULL && choice->storage != NULL ? choice->storage : st->options->storage;

    place->format = choice != NULL && choice->format != NULL ? choice->format : way->disk->format;
    if (choice != NULL && choice->storage != NULL && is_device(st, choice->storage)) {
        place->device = choice->storage;
        return TRUE;
    }
    /* A disk that is only to change stays in its pool. */
    if (storage == NULL && st->within && choice != NULL)
        place->pool = gw_storage_pool_of(st, way);
    if (place->pool == NULL)
        place->pool = choose_pool(st, way, storage);
    if (place->pool == NULL)
        return FALSE;
    g_autofree char *name =
        choice != NULL && choice->name != NULL ? g_strdup(choice->name) : default_name(st, way);
    if (!check_name(st, way, name))
        return FALSE;
    place->name = g_steal_pointer(&name);
    if (choice == NULL || choice->name == NULL)
        avoid_self(st, way, place);
    return TRUE;
}

/* Where in its pool the disk is; NULL: it is named by another way. */
static char *relative_name(const GwPool *pool, const char *source)
{
    if (*source != '/') {
        const char *slash = strchr(source, '/');
        return g_strdup(slash != NULL ? slash + 1 : source);
    }
    g_autofree char *clean = gw_share_clean_path(source);
    gssize depth = gw_share_pool_depth(pool, clean);
    return depth >= 0 ? g_strdup(clean + depth + 1) : NULL;
}

static gboolean is_same_storage(const GwStorage *st, const GwPool *own, const GwPool *pool)
{
    const GwPlanInput *input = st->input;

    if (st->within && own == pool)
        return TRUE;
    g_autofree char *a = gw_share_id_of_pool(input->fabric, input->source, own);
    g_autofree char *b = gw_share_id_of_pool(input->fabric, input->destination, pool);
    return a != NULL && g_strcmp0(a, b) == 0;
}

gboolean gw_storage_is_there(const GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    if (place->device != NULL)
        return g_strcmp0(place->device, way->disk->source) == 0 && (st->within || way->lun);
    const GwPool *own = gw_storage_pool_of(st, way);
    if (own == NULL || !is_same_storage(st, own, place->pool))
        return FALSE;
    g_autofree char *name = relative_name(own, way->disk->source);
    return g_strcmp0(name, place->name) == 0;
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
