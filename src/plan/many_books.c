/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"
#include "plan/rating.h"

/* Who is where while a plan is made, and what is left on each host. A VM on its way is at both
 * ends: it arrives when its move begins, and departs when that ends. */

static gpointer beside_key(guint group, guint host)
{
    return GSIZE_TO_POINTER((((gsize)group + 1) << 32) | host);
}

static void count_beside(ManyBooks *books, guint group, guint host, int by)
{
    gpointer key = beside_key(group, host);
    int count = GPOINTER_TO_INT(g_hash_table_lookup(books->beside, key)) + by;

    if (count > 0)
        g_hash_table_insert(books->beside, key, GINT_TO_POINTER(count));
    else
        g_hash_table_remove(books->beside, key);
}

ManyBooks *many_books_new(const Many *many)
{
    ManyBooks *books = g_new0(ManyBooks, 1);
    guint count = MAX(many->hosts->len, 1);

    books->many = many;
    books->at = g_new(guint, MAX(many->vms->len, 1));
    books->memory_kib = g_new(gint64, count);
    books->cpu = g_new(gint64, count);
    books->incoming_ms = g_new0(double, count);
    books->beside = g_hash_table_new(NULL, NULL);
    books->space = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    books->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    many_vports_open(books);
    for (guint h = 0; h < many->hosts->len; h++) {
        books->memory_kib[h] = many_host(many, h)->free_kib;
        books->cpu[h] = many_host(many, h)->cpu_free;
    }
    for (guint i = 0; i < many->others->len; i++) {
        const ManyOther *other = &g_array_index(many->others, ManyOther, i);
        count_beside(books, other->group, other->host, 1);
    }
    for (guint v = 0; v < many->vms->len; v++) {
        const ManyVm *item = many_vm(many, v);
        books->at[v] = item->home;
        for (guint i = 0; i < item->groups->len; i++)
            count_beside(books, g_array_index(item->groups, guint, i), item->home, 1);
    }
    return books;
}

void many_books_free(ManyBooks *books)
{
    if (books == NULL)
        return;
    g_free(books->at);
    g_free(books->memory_kib);
    g_free(books->cpu);
    g_free(books->incoming_ms);
    g_hash_table_unref(books->beside);
    g_hash_table_unref(books->space);
    g_hash_table_unref(books->files);
    many_vports_close(books);
    g_free(books);
}

const GwVm *many_vm_at(const Many *many, guint vm, guint host)
{
    gpointer key = GSIZE_TO_POINTER((((gsize)vm + 1) << 32) | host);
    GwVm *there = g_hash_table_lookup(many->elsewhere, key);

    if (host == many_vm(many, vm)->home)
        return many_vm(many, vm)->vm;
    if (there == NULL) {
        there = gw_vm_copy(many_vm(many, vm)->vm);
        g_free(there->host_id);
        there->host_id = g_strdup(many_host(many, host)->host->id);
        g_hash_table_insert(many->elsewhere, key, there);
    }
    return there;
}

const GwMatrixCell *many_cell(const Many *many, guint vm, guint from, guint to)
{
    const ManyVm *item = many_vm(many, vm);
    const ManyHost *there = many_host(many, to);

    if (from == to)
        return NULL;
    if (from == item->home)
        return gw_matrix_cell(many->matrix, item->vm, item->shape, there->host, there->shape);
    const GwVm *on_its_way = many_vm_at(many, vm, from);
    return gw_matrix_cell(many->matrix, on_its_way, gw_matrix_vm_shape(many->matrix, on_its_way),
                          there->host, there->shape);
}

gboolean many_is_closed(const Many *many, guint vm, guint host)
{
    const ManyHost *there = many_host(many, host);

    return there->host->maintenance != (int)GW_MAINTENANCE_NONE &&
           (many_vm(many, vm)->target != host || there->opened);
}

ManyFit many_may(const Many *many, guint vm, guint from, guint to)
{
    const ManyVm *item = many_vm(many, vm);
    const ManyHost *there = many_host(many, to);
    const ManyUnit *unit = many_unit(many, item->unit);

    if (there->emptied || (!there->allowed && item->target != to) ||
        (unit->must != MANY_NONE && unit->must != to))
        return MANY_NOT_ASKED;
    if (from == to)
        return MANY_HERE;
    if (many_is_closed(many, vm, to))
        return MANY_IMPOSSIBLE;
    const GwMatrixCell *cell = many_cell(many, vm, from, to);
    if (!cell->possible)
        return MANY_IMPOSSIBLE;
    return cell->copies && !many->request->storage ? MANY_COPIES : MANY_FITS;
}

gboolean many_is_end(const Many *many, guint vm, guint host)
{
    const ManyVm *item = many_vm(many, vm);

    if (item->target != MANY_NONE)
        return host == item->target;
    return host != item->home;
}

gboolean many_unit_ends(const Many *many, guint unit, guint host)
{
    const GArray *vms = many_unit(many, unit)->vms;

    for (guint i = 0; i < vms->len; i++) {
        if (!many_is_end(many, g_array_index(vms, guint, i), host))
            return FALSE;
    }
    return TRUE;
}

const ManyGroup *many_apart(const ManyBooks *books, guint vm, guint host)
{
    const GArray *groups = many_vm(books->many, vm)->groups;

    for (guint i = 0; i < groups->len; i++) {
        guint group = g_array_index(groups, guint, i);
        if (g_hash_table_contains(books->beside, beside_key(group, host)))
            return &g_array_index(books->many->groups, ManyGroup, group);
    }
    return NULL;
}

ManyFit many_fits(const ManyBooks *books, guint vm, guint host, gboolean thorough)
{
    const Many *many = books->many;
    const ManyVm *item = many_vm(many, vm);

    if (books->at[vm] == host)
        return MANY_HERE;
    /* The cheap questions first: a plan asks millions of times. */
    if (item->memory_kib > 0 && books->memory_kib[host] < item->memory_kib)
        return MANY_NO_MEMORY;
    if (item->cpu > 0 && books->cpu[host] < item->cpu && many_host(many, host)->cpu_hard)
        return MANY_NO_CPU;
    ManyFit may = many_may(many, vm, books->at[vm], host);
    if (may != MANY_FITS)
        return may;
    if (many_apart(books, vm, host) != NULL)
        return MANY_APART;
    if (!thorough)
        return MANY_FITS;
    return many_vports_fit(books, vm, host) ? many_space_fits(books, vm, host) : MANY_NO_VPORT;
}

void many_arrive(ManyBooks *books, guint vm, guint host)
{
    const ManyVm *item = many_vm(books->many, vm);

    /* At home it takes what it gave when it left. */
    books->memory_kib[host] -= host == item->home ? item->frees_kib : item->memory_kib;
    if (books->cpu[host] != MANY_UNKNOWN)
        books->cpu[host] -= item->cpu;
    for (guint i = 0; i < item->groups->len; i++)
        count_beside(books, g_array_index(item->groups, guint, i), host, 1);
    many_space_take(books, vm, host);
    many_vports_take(books, vm, host);
    books->at[vm] = host;
}

void many_depart(ManyBooks *books, guint vm, guint host)
{
    const ManyVm *item = many_vm(books->many, vm);

    books->memory_kib[host] += host == item->home ? item->frees_kib : item->memory_kib;
    if (books->cpu[host] != MANY_UNKNOWN)
        books->cpu[host] += item->cpu;
    for (guint i = 0; i < item->groups->len; i++)
        count_beside(books, g_array_index(item->groups, guint, i), host, -1);
}

gboolean many_unit_fits(ManyBooks *books, guint unit, guint host)
{
    const GArray *vms = many_unit(books->many, unit)->vms;
    g_autofree guint *from = g_new(guint, vms->len);
    guint done = 0;

    if (many_unit(books->many, unit)->impossible != NULL)
        return FALSE;
    if (vms->len == 1)
        return many_fits(books, g_array_index(vms, guint, 0), host, TRUE) == MANY_FITS;
    for (; done < vms->len; done++) {
        guint vm = g_array_index(vms, guint, done);
        from[done] = books->at[vm];
        if (from[done] == host)
            continue;
        if (many_fits(books, vm, host, TRUE) != MANY_FITS)
            break;
        many_arrive(books, vm, host);
    }
    gboolean fits = done == vms->len;
    while (done-- > 0) {
        guint vm = g_array_index(vms, guint, done);
        if (from[done] == host)
            continue;
        many_depart(books, vm, host);
        many_space_give_back(books, vm, from[done], host);
        many_vports_give_back(books, vm, host);
        books->at[vm] = from[done];
    }
    return fits;
}

void many_unit_arrive(ManyBooks *books, guint unit, guint host)
{
    const GArray *vms = many_unit(books->many, unit)->vms;

    for (guint i = 0; i < vms->len; i++) {
        guint vm = g_array_index(vms, guint, i);
        if (books->at[vm] != host)
            many_arrive(books, vm, host);
    }
}

void many_unit_depart(ManyBooks *books, guint unit, guint host)
{
    const GArray *vms = many_unit(books->many, unit)->vms;

    for (guint i = 0; i < vms->len; i++)
        many_depart(books, g_array_index(vms, guint, i), host);
}

/* A resource's points, as a rating gives them. */
static gint64 resource_points(gint64 left, gint64 whole, int goal)
{
    if (left < 0 || whole <= 0)
        return 0;
    return goal == (int)GW_GOAL_FILL ? GW_POINTS_MAX - gw_rating_share(left, whole)
                                     : gw_rating_share(left, whole);
}

/* Memory and CPU left by what the host has, weighed as its group weighs them. Disks and networks
 * are not followed through a plan. */
gint64 many_points(const ManyBooks *books, guint host, gint64 memory_kib, gint64 cpu)
{
    const ManyHost *item = many_host(books->many, host);
    const GwHostFacts *facts = gw_plan_facts(item->host);
    gint64 memory_weight = CLAMP(item->policy->memory_weight, 0, GW_WEIGHT_MAX);
    gint64 cpu_weight = CLAMP(item->policy->cpu_weight, 0, GW_WEIGHT_MAX);
    gint64 memory = resource_points(books->memory_kib[host] - memory_kib, facts->memory_kib,
                                    item->policy->goal);
    gint64 busy =
        books->cpu[host] == MANY_UNKNOWN
            ? GW_POINTS_NEUTRAL
            : resource_points(books->cpu[host] - cpu, CLAMP(facts->cpus, 0, MANY_CPUS_MAX) * 1000,
                              item->policy->goal);

    if (memory_weight + cpu_weight == 0)
        memory_weight = cpu_weight = 1;
    return (memory * memory_weight + busy * cpu_weight) / (memory_weight + cpu_weight);
}
