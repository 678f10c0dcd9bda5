/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/vports.h"

#include "plan/hbas.h"

/* A job that is done is believed for as long, and then the host: who removed it since may have. */
#define BELIEVED_S 60

/* A virtual HBA that a job hands over to a host, and that the host does not show yet. */
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

/* A host's facts come a moment after its last job's end. By the picture's time: a plan is made of
 * nothing else. */
static gboolean is_just_done(const GwFabric *fabric, const GwJob *job)
{
    if (job->state != (int)GW_JOB_DONE || job->finished_at == NULL || fabric->wall_us == 0)
        return FALSE;
    g_autoptr(GDateTime) at = g_date_time_new_from_iso8601(job->finished_at, NULL);
    if (at == NULL)
        return FALSE;
    gint64 age_s = fabric->wall_us / G_USEC_PER_SEC - g_date_time_to_unix(at);
    return age_s >= 0 && age_s <= BELIEVED_S;
}

static int by_id(gconstpointer a, gconstpointer b)
{
    return g_strcmp0((*(GwJob *const *)a)->id, (*(GwJob *const *)b)->id);
}

/* By id; the caller's array of borrowed jobs. */
static GPtrArray *list_givers(const GwFabric *fabric)
{
    GPtrArray *givers = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->hbas != NULL &&
            (!gw_job_state_is_final((GwJobState)job->state) || is_just_done(fabric, job)))
            g_ptr_array_add(givers, value);
    }
    g_ptr_array_sort(givers, by_id);
    return givers;
}

static const GArray *promises_of(GwPlanShared *shared)
{
    if (shared->vports != NULL)
        return shared->vports;
    g_autoptr(GPtrArray) givers = list_givers(shared->fabric);
    shared->vports = g_array_new(FALSE, FALSE, sizeof(Promise));
    for (guint i = 0; i < givers->len; i++)
        add_promises(shared->fabric, givers->pdata[i], shared->vports);
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
