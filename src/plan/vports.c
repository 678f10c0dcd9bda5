/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/vports.h"

#include "plan/hbas.h"

/* A virtual HBA that a job under way hands over to a host, and that the host does not show yet. */
typedef struct {
    const GwJob *job;
    const GwHost *host;
    const GwHba *hba;
} Promise;

gint64 gw_plan_hba_room(const GwHba *hba)
{
    return hba->max_vports - MIN(hba->vports, hba->max_vports);
}

gboolean gw_plan_hba_same_fabric(const GwHba *a, const GwHba *b)
{
    return a != NULL && b != NULL && gw_hba_same_wwn(a->fabric_wwn, b->fabric_wwn);
}

/* Promises ------------------------------------------------------------------------------------- */

/* Once it is logged in there, the host's own count has it. */
static gboolean is_shown(const GwHost *host, const char *wwpn)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (pool->active && gw_plan_is_virtual_hba(pool) && gw_hba_same_wwn(pool->wwpn, wwpn))
            return TRUE;
    }
    return FALSE;
}

static void add_promises(const GwFabric *fabric, const GwJob *job, GArray *promises)
{
    const GwHost *host = gw_fabric_host(fabric, job->destination_host_id);

    for (guint i = 0; host != NULL && i < job->hbas->len; i++) {
        const GwHbaMove *move = job->hbas->pdata[i];
        Promise promise = { job, host, gw_plan_hba_called(host, move->to) };
        if (move->how == (int)GW_HBA_HANDED_OVER && promise.hba != NULL &&
            !is_shown(host, move->wwpn))
            g_array_append_val(promises, promise);
    }
}

static const GArray *promises_of(GwPlanShared *shared)
{
    const GPtrArray *jobs = gw_shared_jobs(shared);

    if (shared->vports != NULL)
        return shared->vports;
    shared->vports = g_array_new(FALSE, FALSE, sizeof(Promise));
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (job->hbas != NULL)
            add_promises(shared->fabric, job, shared->vports);
    }
    return shared->vports;
}

static gint64 promised(const GwVports *vports, const GwHba *hba)
{
    const GArray *promises = promises_of(vports->shared);
    gint64 count = 0;

    for (guint i = 0; i < promises->len; i++) {
        const Promise *promise = &g_array_index(promises, Promise, i);
        count += promise->hba == hba && !gw_job_is_behind(promise->job, vports->job_id);
    }
    return count;
}

void gw_vports_each_promised(GwPlanShared *shared, GwVportsNote note, gpointer user)
{
    const GArray *promises = promises_of(shared);

    for (guint i = 0; i < promises->len; i++) {
        const Promise *promise = &g_array_index(promises, Promise, i);
        note(promise->host, promise->hba, user);
    }
}

/* Room ----------------------------------------------------------------------------------------- */

gint64 gw_vports_left(const GwVports *vports, const GwHba *hba)
{
    gint64 left = gw_plan_hba_room(hba) - promised(vports, hba);

    if (vports->booked != NULL)
        left -= GPOINTER_TO_INT(g_hash_table_lookup(vports->booked, hba));
    for (guint i = 0; vports->taken != NULL && i < vports->taken->len; i++)
        left -= vports->taken->pdata[i] == hba;
    return left;
}

/* The same SAN first, then the one with most room, then by name. */
static gboolean is_better(const GwVports *vports, const GwHba *hba, const GwHba *best,
                          const GwHba *from)
{
    if (best == NULL)
        return TRUE;
    if (gw_plan_hba_same_fabric(from, hba) != gw_plan_hba_same_fabric(from, best))
        return gw_plan_hba_same_fabric(from, hba);
    gint64 left = gw_vports_left(vports, hba), most = gw_vports_left(vports, best);
    return left != most ? left > most : g_strcmp0(hba->name, best->name) < 0;
}

const GwHba *gw_vports_best(const GwVports *vports, const GwHost *host, const GwHba *from)
{
    const GPtrArray *hbas = gw_plan_facts(host)->hbas;
    const GwHba *best = NULL;

    for (guint i = 0; hbas != NULL && i < hbas->len; i++) {
        const GwHba *hba = hbas->pdata[i];
        if (gw_vports_left(vports, hba) > 0 && is_better(vports, hba, best, from))
            best = hba;
    }
    return best;
}

/* Of several moves ----------------------------------------------------------------------------- */

/* What a person chose holds; else it is chosen anew, with what is booked by then. */
static const GwHba *carrier(const GwVports *vports, const GwHost *from, const GwHost *to,
                            const GwHbaMove *move)
{
    const GwHba *chosen = move->chosen ? gw_plan_hba_called(to, move->to) : NULL;

    if (!move->chosen)
        return gw_vports_best(vports, to, gw_plan_hba_called(from, move->from));
    return chosen != NULL && gw_vports_left(vports, chosen) > 0 ? chosen : NULL;
}

GPtrArray *gw_vports_find(const GwVports *vports, const GwHost *from, const GwHost *to,
                          const GPtrArray *hbas)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    GwVports own = *vports;

    own.taken = found;
    for (guint i = 0; hbas != NULL && i < hbas->len; i++) {
        const GwHbaMove *move = hbas->pdata[i];
        if (move->how != (int)GW_HBA_HANDED_OVER)
            continue;
        const GwHba *hba = carrier(&own, from, to, move);
        if (hba == NULL)
            return NULL;
        g_ptr_array_add(found, (gpointer)hba);
    }
    return g_steal_pointer(&found);
}

void gw_vports_book(GHashTable *booked, const GPtrArray *found, int by)
{
    for (guint i = 0; i < found->len; i++) {
        int count = GPOINTER_TO_INT(g_hash_table_lookup(booked, found->pdata[i])) + by;
        g_hash_table_insert(booked, found->pdata[i], GINT_TO_POINTER(count));
    }
}
