/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/reach.h"
#include "plan/shared.h"

/* What candidates share of storage: identities of pools, memberships of shares, where the paths of
 * the source's disks are. */

/* Identities ------------------------------------------------------------------------------- */

/* All that an identity is read from; borrowed from the pool that was asked about first. */
typedef struct {
    const char *type, *source;
} PoolKey;

static guint hash_key(gconstpointer data)
{
    const PoolKey *key = data;
    return g_str_hash(key->type) * 31 + g_str_hash(key->source);
}

static gboolean equal_keys(gconstpointer pa, gconstpointer pb)
{
    const PoolKey *a = pa, *b = pb;
    return g_str_equal(a->type, b->type) && g_str_equal(a->source, b->source);
}

const char *gw_shared_pool_id(GwPlanShared *shared, const GwPool *pool)
{
    gpointer id = NULL;

    if (pool->source == NULL || !gw_share_has_server(pool))
        return NULL;
    if (shared->pool_ids == NULL)
        shared->pool_ids = g_hash_table_new_full(hash_key, equal_keys, g_free, g_free);
    PoolKey key = { pool->type, pool->source };
    if (!g_hash_table_lookup_extended(shared->pool_ids, &key, NULL, &id)) {
        id = gw_share_own_id(pool);
        g_hash_table_insert(shared->pool_ids, g_memdup2(&key, sizeof(key)), id);
    }
    return id;
}

/* Shares ----------------------------------------------------------------------------------- */

typedef struct {
    const char *pool;
    const GwShare *share;
} Membership;

static void add_memberships(GwPlanShared *shared, const GwShare *share)
{
    for (guint i = 0; share->members != NULL && i < share->members->len; i++) {
        const GwShareMember *member = share->members->pdata[i];
        Membership membership = { member->pool, share };
        if (member->host_id == NULL)
            continue;
        GArray *list = g_hash_table_lookup(shared->shares, member->host_id);
        if (list == NULL) {
            list = g_array_new(FALSE, FALSE, sizeof(Membership));
            g_hash_table_insert(shared->shares, member->host_id, list);
        }
        g_array_append_val(list, membership);
    }
}

static const GArray *memberships(GwPlanShared *shared, const GwHost *host)
{
    GHashTableIter iter;
    gpointer share;

    if (g_hash_table_size(shared->fabric->shares) == 0)
        return NULL;
    if (shared->shares == NULL) {
        shared->shares =
            g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
        g_hash_table_iter_init(&iter, shared->fabric->shares);
        while (g_hash_table_iter_next(&iter, NULL, &share))
            add_memberships(shared, share);
    }
    return g_hash_table_lookup(shared->shares, host->id);
}

static gboolean is_member(const GArray *list, const GwPool *pool, const GwShare *share)
{
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const Membership *m = &g_array_index(list, Membership, i);
        if (m->share == share && g_strcmp0(m->pool, pool->name) == 0)
            return TRUE;
    }
    return FALSE;
}

const GwShare *gw_shared_share(GwPlanShared *shared, gboolean proved, const GwHost *source,
                               const GwPool *source_pool, const GwHost *destination,
                               const GwPool *destination_pool)
{
    const GArray *here = memberships(shared, source);
    const GArray *there = here != NULL ? memberships(shared, destination) : NULL;
    const GwShare *best = NULL;

    if (there == NULL || !gw_share_may_be_proved(source_pool) ||
        !gw_share_may_be_proved(destination_pool))
        return NULL;
    for (guint i = 0; i < here->len; i++) {
        const Membership *m = &g_array_index(here, Membership, i);
        if (!m->share->proved == !proved && g_strcmp0(m->pool, source_pool->name) == 0 &&
            is_member(there, destination_pool, m->share) && gw_share_is_better(m->share, best))
            best = m->share;
    }
    return best;
}

/* Paths ------------------------------------------------------------------------------------ */

static void path_free(gpointer data)
{
    GwSourcePath *path = data;

    g_free(path->clean);
    g_ptr_array_unref(path->pools);
    g_free(path);
}

static GwSourcePath *path_new(const GwHost *source, const char *path)
{
    const GPtrArray *pools = gw_plan_facts(source)->pools;
    GwSourcePath *seen = g_new0(GwSourcePath, 1);

    seen->clean = gw_share_clean_path(path);
    seen->pools = g_ptr_array_new();
    seen->depth = -1;
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        gssize depth = gw_share_pool_depth(pools->pdata[i], seen->clean);
        if (depth > seen->depth) {
            seen->depth = depth;
            g_ptr_array_set_size(seen->pools, 0);
        }
        if (depth >= 0 && depth == seen->depth)
            g_ptr_array_add(seen->pools, pools->pdata[i]);
    }
    seen->home = seen->pools->len > 0 ? seen->pools->pdata[0] : NULL;
    return seen;
}

const GwSourcePath *gw_shared_path(GwPlanShared *shared, const GwHost *source, const char *path)
{
    if (shared->paths == NULL || shared->paths_of != source) {
        g_clear_pointer(&shared->paths, g_hash_table_unref);
        shared->paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, path_free);
        shared->paths_of = source;
    }
    GwSourcePath *seen = g_hash_table_lookup(shared->paths, path);
    if (seen == NULL) {
        seen = path_new(source, path);
        g_hash_table_insert(shared->paths, g_strdup(path), seen);
    }
    return seen;
}

GPtrArray *gw_shared_explanations(GwPlanShared *shared, const GwVm *vm)
{
    if (shared->explained != vm) {
        gw_vm_free(shared->explained);
        shared->explained = gw_record_ref((gpointer)vm);
        g_clear_pointer(&shared->explanations, g_ptr_array_unref);
        shared->explanations = gw_record_array(&gw_transfer_option_record);
    }
    return shared->explanations;
}

void gw_shared_storage_clear(GwPlanShared *shared)
{
    gw_vm_free(shared->explained);
    g_clear_pointer(&shared->explanations, g_ptr_array_unref);
    g_clear_pointer(&shared->paths, g_hash_table_unref);
    g_clear_pointer(&shared->shares, g_hash_table_unref);
    g_clear_pointer(&shared->pool_ids, g_hash_table_unref);
}
