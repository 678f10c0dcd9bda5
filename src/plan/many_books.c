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
    g_free(books);
}

/* The VM as it would be on its way, on a host that it does not come from. */
static const GwVm *vm_at(const Many *many, guint vm, guint host)
{
    gpointer key = GSIZE_TO_POINTER((((gsize)vm + 1) << 32) | host);
    GwVm *there = g_hash_table_lookup(many->elsewhere, key);

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
    const GwVm *on_its_way = vm_at(many, vm, from);
    return gw_matrix_cell(many->matrix, on_its_way, gw_matrix_vm_shape(many->matrix, on_its_way),
                          there->host, there->shape);
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
    /* What left it for maintenance comes back to it: that ends before. */
    if (there->host->maintenance != (int)GW_MAINTENANCE_NONE && item->target != to)
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

/* Room for what is copied ----------------------------------------------------------------- */

typedef struct {
    char *storage; /* what it is, however many hosts see it */
    const GwPool *pool;
    gint64 bytes;
    char *file; /* host and path */
} Need;

static void need_clear(gpointer data)
{
    Need *need = data;

    g_free(need->storage);
    g_free(need->file);
}

static const char *base_of(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path;
}

/* The cell is another VM's of the same shape: the file has this one's name where it had that one's.
 */
static char *file_of(const Many *many, guint host, const GwVm *vm, const GwMatrixCell *cell,
                     const char *target, const GwVolume *to)
{
    const GwDisk *own = gw_record_find(&gw_disk_record, vm->disks, "target", target);
    const GwDisk *other = gw_record_find(&gw_disk_record, cell->vm->disks, "target", target);
    const char *name = base_of(to->path);

    if (own != NULL && other != NULL && own->source != NULL &&
        g_strcmp0(base_of(other->source), name) == 0)
        name = base_of(own->source);
    g_autofree char *folder = g_path_get_dirname(to->path);
    return g_strdup_printf("%s\n%s/%s", many_host(many, host)->host->id, folder, name);
}

/* What it will take: what is allocated, where that was seen, or else the most that it can. The
 * images themselves were not read for a plan. */
static gint64 bytes_of(const GwVm *vm, const GwDiskMove *move, const GwVolume *to)
{
    const GwDisk *disk = gw_record_find(&gw_disk_record, vm->disks, "target", move->target);
    gboolean single = vm->disks != NULL && vm->disks->len == 1;
    gint64 most = MAX(to->capacity_bytes, disk != NULL ? disk->capacity_bytes : 0);

    if (single && vm->usage != NULL && vm->usage->disk_allocated_bytes > 0)
        most = vm->usage->disk_allocated_bytes;
    return CLAMP(MAX(move->need_bytes, most), 0, G_MAXINT64 / 1024);
}

static GArray *needs_of(const Many *many, guint vm, guint from, guint host)
{
    GArray *needs = g_array_new(FALSE, TRUE, sizeof(Need));
    const GwMatrixCell *cell = many_cell(many, vm, from, host);
    const GwHost *to_host = many_host(many, host)->host;
    const GwVm *own = many_vm(many, vm)->vm;

    g_array_set_clear_func(needs, need_clear);
    for (guint i = 0; cell != NULL && cell->copies && i < cell->candidate->disks->len; i++) {
        const GwDiskMove *move = cell->candidate->disks->pdata[i];
        const GwImageMove *top =
            gw_plan_is_copied(move) && move->images->len > 0 ? move->images->pdata[0] : NULL;
        if (top == NULL || top->to == NULL)
            continue;
        Need need = { .bytes = bytes_of(own, move, top->to) };
        need.pool = top->to->pool != NULL
                        ? gw_record_find(&gw_pool_record, gw_plan_facts(to_host)->pools, "name",
                                         top->to->pool)
                        : NULL;
        if (need.pool != NULL) {
            need.storage = gw_share_id_of_pool(many->fabric, to_host, need.pool);
            if (need.storage == NULL)
                need.storage = g_strdup_printf("%s\n%s", to_host->id, need.pool->name);
        }
        if (top->to->path != NULL)
            need.file = file_of(many, host, own, cell, move->target, top->to);
        g_array_append_val(needs, need);
    }
    return needs;
}

/* What is left of its storage, beside what other jobs and the reserve take. */
static gint64 *space_of(const ManyBooks *books, guint host, const Need *need)
{
    gint64 *left = g_hash_table_lookup(books->space, need->storage);
    const GwHost *on = many_host(books->many, host)->host;

    if (left == NULL) {
        left = g_new(gint64, 1);
        *left =
            need->pool->capacity_bytes <= 0
                ? G_MAXINT64 / 2 /* not told */
                : MAX(need->pool->available_bytes, 0) -
                      CLAMP(on->disk_reserve_bytes, 0, G_MAXINT64 / 4) -
                      gw_plan_promised_bytes(books->many->fabric, on->id, need->pool->name, NULL);
        g_hash_table_insert(books->space, g_strdup(need->storage), left);
    }
    return left;
}

/* The disks of the VMs that are there now; asked for once for each host. */
static void read_files(const ManyBooks *books, guint host)
{
    const GwHost *on = many_host(books->many, host)->host;
    GHashTable *vms = g_hash_table_lookup(books->many->fabric->vms, on->id);
    GHashTableIter iter;
    gpointer value;

    if (g_hash_table_contains(books->files, on->id))
        return;
    g_hash_table_add(books->files, g_strdup(on->id));
    if (vms == NULL)
        return;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = value;
        for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
            const GwDisk *disk = vm->disks->pdata[i];
            const char *paths[] = { disk->source, disk->backing_path };
            for (guint k = 0; k < G_N_ELEMENTS(paths); k++) {
                if (paths[k] != NULL)
                    g_hash_table_insert(books->files, g_strdup_printf("%s\n%s", on->id, paths[k]),
                                        vm->uuid);
            }
        }
    }
}

gint64 many_copy_bytes(const Many *many, guint vm, guint from, guint to)
{
    g_autoptr(GArray) needs = needs_of(many, vm, from, to);
    gint64 sum = 0;

    for (guint i = 0; i < needs->len; i++)
        sum += MIN(g_array_index(needs, Need, i).bytes, G_MAXINT64 / 4 - sum);
    return sum;
}

static ManyFit fits_storage(const ManyBooks *books, guint vm, guint host)
{
    g_autoptr(GArray) needs = needs_of(books->many, vm, books->at[vm], host);
    const char *uuid = many_vm(books->many, vm)->vm->uuid;
    g_autoptr(GHashTable) sums = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);

    for (guint i = 0; i < needs->len; i++) {
        const Need *need = &g_array_index(needs, Need, i);
        gint64 *sum = need->storage != NULL ? g_hash_table_lookup(sums, need->storage) : NULL;
        if (need->file != NULL) {
            read_files(books, host);
            const char *user = g_hash_table_lookup(books->files, need->file);
            if (user != NULL && g_strcmp0(user, uuid) != 0)
                return MANY_FILE_THERE;
        }
        if (need->storage == NULL)
            continue;
        if (sum == NULL) {
            sum = g_new0(gint64, 1);
            g_hash_table_insert(sums, need->storage, sum);
        }
        *sum += need->bytes;
        if (*sum > *space_of(books, host, need))
            return MANY_NO_SPACE;
    }
    return MANY_FITS;
}

static void take_storage(ManyBooks *books, guint vm, guint host)
{
    g_autoptr(GArray) needs = needs_of(books->many, vm, books->at[vm], host);

    for (guint i = 0; i < needs->len; i++) {
        Need *need = &g_array_index(needs, Need, i);
        if (need->storage != NULL)
            *space_of(books, host, need) -= need->bytes;
        if (need->file != NULL)
            g_hash_table_insert(books->files, g_steal_pointer(&need->file),
                                many_vm(books->many, vm)->vm->uuid);
    }
}

/* Taken back only while a plan is tried out: what was copied stays kept for Undo. */
static void give_storage_back(ManyBooks *books, guint vm, guint from, guint host)
{
    g_autoptr(GArray) needs = needs_of(books->many, vm, from, host);

    for (guint i = 0; i < needs->len; i++) {
        const Need *need = &g_array_index(needs, Need, i);
        if (need->storage != NULL)
            *space_of(books, host, need) += need->bytes;
        if (need->file != NULL)
            g_hash_table_remove(books->files, need->file);
    }
}

/* ------------------------------------------------------------------------------------------ */

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
    return thorough ? fits_storage(books, vm, host) : MANY_FITS;
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
    take_storage(books, vm, host);
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
        give_storage_back(books, vm, from[done], host);
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
            : resource_points(books->cpu[host] - cpu, facts->cpus * 1000, item->policy->goal);

    if (memory_weight + cpu_weight == 0)
        memory_weight = cpu_weight = 1;
    return (memory * memory_weight + busy * cpu_weight) / (memory_weight + cpu_weight);
}
