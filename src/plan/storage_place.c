/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/shared.h"
#include "plan/storage.h"

/* Which place is meant for a disk, and what it is called there (R16, R17, R38). */

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
    const char *a = gw_shared_pool_id(input->shared, own);
    const char *b = gw_shared_pool_id(input->shared, pool);
    if (a != NULL || b != NULL)
        return g_strcmp0(a, b) == 0;
    return gw_shared_share(input->shared, TRUE, input->source, own, input->destination, pool) !=
           NULL;
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
