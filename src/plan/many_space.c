/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"
#include "plan/rule.h"

/* Room for what a plan copies: space of each storage, however many hosts see it, and names of
 * files. */

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
                      CLAMP(gw_plan_policy(books->many->fabric, on)->disk_reserve_bytes, 0,
                            G_MAXINT64 / 4) -
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

ManyFit many_space_fits(const ManyBooks *books, guint vm, guint host)
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

void many_space_take(ManyBooks *books, guint vm, guint host)
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
void many_space_give_back(ManyBooks *books, guint vm, guint from, guint host)
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
