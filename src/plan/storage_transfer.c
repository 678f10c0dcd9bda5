/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/shared.h"
#include "plan/storage.h"

/* The transfer types (R34): which one it comes to, and why each of them is there or is not. */

static gboolean is_san_pool(const GwPool *pool)
{
    static const char *const types[] = { "iscsi", "iscsi-direct", "scsi", "mpath", NULL };
    return pool != NULL && pool->type != NULL && g_strv_contains(types, pool->type);
}

gboolean gw_storage_is_lun(const GwDisk *disk, const GwPool *pool)
{
    if (g_strcmp0(disk->type, "network") == 0)
        return g_str_has_prefix(disk->source, "iscsi:");
    if (is_san_pool(pool))
        return TRUE;
    if (g_strcmp0(disk->type, "block") != 0 || *disk->source != '/')
        return FALSE;
    g_autofree char *clean = gw_share_clean_path(disk->source);
    return gw_reach_is_world_wide(clean);
}

/* Whether the destination sees the source's file under its own path, so that it can clone it. */
static gboolean sees_file(const GwStorage *st, const GwDiskWay *way, const GwFileSystem *there)
{
    const GwReach *reach = way->reach;

    if (reach->how != GW_REACH_NOT && !reach->other_path)
        return TRUE;
    const GwFileSystem *here = gw_storage_file_system(st->input->source, way->disk->source);
    return here != NULL && here->id != NULL && g_strcmp0(here->id, there->id) == 0 &&
           g_strcmp0(here->path, there->path) == 0;
}

static char *no_clone_words(const GwFileSystem *fs, const char *on)
{
    return g_strdup_printf("the file system %s of %s (%s) cannot clone files, as was tried",
                           gw_plan_text(fs->path), on, gw_plan_text(fs->type));
}

gboolean gw_storage_clones(const GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                           char **why)
{
    const GwHost *host = st->input->destination;
    const char *on = gw_plan_host_name(host);
    const char *kind = place->pool != NULL ? gw_storage_kind_of(place->pool) : "block";

    if (strcmp(kind, "file") != 0 || *way->disk->source != '/' ||
        g_strcmp0(way->disk->type, "block") == 0) {
        *why = g_strdup("only files can be cloned, by the file system that they are on");
        return FALSE;
    }
    const GwFileSystem *to = gw_storage_file_system(host, place->pool->target_path);
    const GwFileSystem *from = gw_storage_file_system(host, way->disk->source);
    if (to == NULL) {
        *why = g_strdup_printf("no agent of %s tells whether the file system of pool '%s' can "
                               "clone files",
                               on, gw_plan_text(place->pool->name));
        return FALSE;
    }
    if (!st->within && !sees_file(st, way, to)) {
        *why = g_strdup_printf("%s does not see the file, so nothing there could clone it", on);
        return FALSE;
    }
    if (from != to) {
        *why = g_strdup_printf("it is on another file system than pool '%s' of %s",
                               gw_plan_text(place->pool->name), on);
        return FALSE;
    }
    if (!to->reflink)
        *why = no_clone_words(to, on);
    return to->reflink;
}

gboolean gw_storage_is_unreadable(const GwStorage *st, const GwDiskWay *way)
{
    return !st->running && gw_plan_is_copied(way->move) &&
           g_strcmp0(way->disk->type, "network") == 0 && gw_storage_pool_of(st, way) == NULL;
}

/* The first disk that moves this way; NULL: none. */
static const GwDiskWay *first_with(const GwStorage *st, GwDiskHow how)
{
    for (guint i = 0; i < st->ways->len; i++) {
        const GwDiskWay *way = st->ways->pdata[i];
        if (way->move->how == (int)how)
            return way;
    }
    return NULL;
}

static const GwDiskWay *first_copied(const GwStorage *st)
{
    for (guint i = 0; i < st->ways->len; i++) {
        const GwDiskWay *way = st->ways->pdata[i];
        if (gw_plan_is_copied(way->move))
            return way;
    }
    return NULL;
}

static GwTransfer transfer_of(const GwStorage *st)
{
    if (!gw_reach_is_known(st->input))
        return GW_TRANSFER_NONE;
    if (st->within)
        return GW_TRANSFER_STORAGE;
    if (st->running)
        return first_copied(st) != NULL ? GW_TRANSFER_LIVE_VSM : GW_TRANSFER_LIVE;
    if (first_with(st, GW_DISK_NETWORK) != NULL)
        return GW_TRANSFER_NETWORK;
    if (first_with(st, GW_DISK_FAST_COPY) != NULL)
        return GW_TRANSFER_FAST_COPY;
    return first_with(st, GW_DISK_SAN) != NULL ? GW_TRANSFER_SAN : GW_TRANSFER_REGISTER;
}

/* Each says why its type is there, or is not; the last word on it is @available. */
typedef char *(*Explain)(const GwStorage *st, gboolean *available);

static char *about(const GwDiskWay *way, const char *why)
{
    return g_strdup_printf("Disk %s: %s.", gw_plan_text(way->disk->target), why);
}

/* Why it is not reached, and what would change that. */
static char *about_reach(const GwDiskWay *way)
{
    const GwReach *reach = way->reach;

    if (way->not_reached == NULL || reach->remedy == NULL)
        return about(way,
                     way->not_reached != NULL ? way->not_reached : "it is chosen to be copied");
    g_autofree char *why = about(way, way->not_reached);
    return g_strdup_printf("%s %s", why, reach->remedy);
}

static char *off_needs_start(const GwStorage *st)
{
    g_autofree char *vm = gw_plan_quote(gw_plan_vm_name(st->input->vm));
    return g_strdup_printf("A live move carries running memory, and %s is off. Start it first: "
                           "godwit vm start %s.",
                           gw_plan_vm_name(st->input->vm), vm);
}

static char *running_needs_off(const GwStorage *st, const char *type)
{
    return g_strdup_printf("%s is for VMs that are off; %s is %s and moves live.", type,
                           gw_plan_vm_name(st->input->vm),
                           gw_enum_word(&gw_vm_state_enum, st->input->vm->state));
}

static char *explain_live(const GwStorage *st, gboolean *available)
{
    if (!st->running)
        return off_needs_start(st);
    const GwDiskWay *copied = first_copied(st);
    if (copied != NULL)
        return about_reach(copied);
    *available = TRUE;
    return g_strdup("Both hosts reach every disk: only the memory moves.");
}

static char *explain_vsm(const GwStorage *st, gboolean *available)
{
    if (!st->running)
        return off_needs_start(st);
    const GwDiskWay *copied = first_copied(st);
    if (copied == NULL)
        return g_strdup("Both hosts reach every disk, so none is to be copied; --copy-all copies "
                        "them nevertheless.");
    *available = TRUE;
    return g_strdup_printf("Disks are copied first, then the memory. %s is %s.",
                           gw_plan_text(copied->disk->target), copied->move->why);
}

static char *explain_network(const GwStorage *st, gboolean *available)
{
    if (st->running)
        return running_needs_off(st, "Network");
    for (guint i = 0; i < st->ways->len; i++) {
        const GwDiskWay *way = st->ways->pdata[i];
        int how = way->move->how;
        if (gw_storage_is_unreadable(st, way))
            return about(way, "QEMU opens it itself, and nothing else reads it");
        if (how == (int)GW_DISK_NETWORK || how == (int)GW_DISK_FAST_COPY ||
            how == (int)GW_DISK_SAN) {
            *available = TRUE;
            return g_strdup_printf("%s %s copied over the network.",
                                   gw_plan_text(way->disk->target),
                                   how == (int)GW_DISK_NETWORK ? "is" : "can be");
        }
    }
    return g_strdup("Both hosts reach every disk: nothing is to be copied; --copy-all copies them "
                    "nevertheless.");
}

static char *explain_fast(const GwStorage *st, gboolean *available)
{
    if (st->running)
        return running_needs_off(st, "Fast file copy");
    const GwDiskWay *network = first_with(st, GW_DISK_NETWORK);
    if (network != NULL)
        return about(network, network->no_clone != NULL ? network->no_clone
                                                        : "it is copied over the network");
    const GwDiskWay *fast = first_with(st, GW_DISK_FAST_COPY);
    if (fast == NULL)
        return g_strdup("No disk is to be copied.");
    *available = TRUE;
    return about(fast, "its file system clones it, as was tried on it");
}

static gboolean was_tried(const GwStorage *st, const GwDiskWay *way)
{
    const GwDiskReached *tried =
        gw_record_find(&gw_disk_reached_record, st->input->reached, "target", way->disk->target);
    return tried != NULL && tried->told;
}

static char *explain_san(const GwStorage *st, gboolean *available)
{
    const char *to = gw_plan_host_name(st->input->destination);
    const GwDiskWay *lun = NULL;

    if (st->running)
        return g_strdup_printf("A LUN is handed over while its VM is off; a live move of %s leaves "
                               "it where it is.",
                               gw_plan_vm_name(st->input->vm));
    for (guint i = 0; i < st->ways->len && lun == NULL; i++) {
        const GwDiskWay *way = st->ways->pdata[i];
        if (way->lun)
            lun = way;
    }
    if (lun == NULL)
        return g_strdup_printf("No disk of %s is a LUN of a SAN (an iSCSI disk, or a block device "
                               "named by its world-wide name).",
                               gw_plan_vm_name(st->input->vm));
    if (!lun->reached)
        return about(lun, gw_plan_text(lun->not_reached));
    if (first_with(st, GW_DISK_SAN) == NULL && st->options->network && lun->choice == NULL &&
        !st->options->copy_all) {
        *available = TRUE;
        return g_strdup_printf("%s reaches the LUN of disk %s; the network is chosen instead.", to,
                               gw_plan_text(lun->disk->target));
    }
    if (first_with(st, GW_DISK_SAN) == NULL)
        return g_strdup_printf("%s reaches the LUN of disk %s, but it is chosen to be copied.", to,
                               gw_plan_text(lun->disk->target));
    const GwDiskWay *copied = first_copied(st);
    if (copied != NULL)
        return g_strdup_printf("The LUN of disk %s is handed over, but disk %s is to be copied.",
                               gw_plan_text(lun->disk->target), gw_plan_text(copied->disk->target));
    *available = TRUE;
    if (lun->reach->by_hba)
        return g_strdup_printf("The LUN of disk %s comes along with its virtual HBA: nothing is "
                               "copied.",
                               gw_plan_text(lun->disk->target));
    return g_strdup_printf("%s reaches the LUN of disk %s%s: it is handed over, not copied.", to,
                           gw_plan_text(lun->disk->target),
                           lun->reach->how == GW_REACH_UNSHOWN && !was_tried(st, lun)
                               ? ", as far as can be seen"
                               : "");
}

static char *explain_register(const GwStorage *st, gboolean *available)
{
    if (st->running)
        return running_needs_off(st, "Register");
    const GwDiskWay *other = first_copied(st);
    if (other != NULL)
        return about_reach(other);
    other = first_with(st, GW_DISK_SAN);
    if (other != NULL)
        return about(other, other->move->why);
    *available = TRUE;
    return g_strdup("Both hosts reach every disk: only the definition moves.");
}

static char *explain_storage(const GwStorage *st, gboolean *available)
{
    (void)st;
    *available = FALSE;
    return g_strdup("Migrate Storage moves disks within their host, and this is another host.");
}

static const Explain explain[] = {
    [GW_TRANSFER_LIVE] = explain_live,       [GW_TRANSFER_LIVE_VSM] = explain_vsm,
    [GW_TRANSFER_NETWORK] = explain_network, [GW_TRANSFER_FAST_COPY] = explain_fast,
    [GW_TRANSFER_SAN] = explain_san,         [GW_TRANSFER_REGISTER] = explain_register,
    [GW_TRANSFER_STORAGE] = explain_storage,
};

static char *explain_one(const GwStorage *st, GwTransfer transfer, gboolean *available)
{
    if (!gw_reach_is_known(st->input))
        return g_strdup("Not enough is known of the VM and the two hosts.");
    if (!st->within)
        return explain[transfer](st, available);
    *available = transfer == GW_TRANSFER_STORAGE;
    return g_strdup(!*available   ? "It moves within its host."
                    : st->running ? "The VM runs: its disks are mirrored, then it goes on with the "
                                    "copies."
                                  : "The VM is off: its files are copied on the host.");
}

/* R34: a type that is asked for and is not there. */
static void check_asked(GwStorage *st)
{
    GwTransfer asked = (GwTransfer)st->options->transfer;

    if (asked == GW_TRANSFER_NONE || asked == st->plan->transfer)
        return;
    const char *word = gw_enum_word(&gw_transfer_enum, (int)asked);
    const GwTransferOption *option =
        (guint)asked <= st->plan->transfers->len ? st->plan->transfers->pdata[asked - 1] : NULL;
    gw_storage_find(st, &gw_rule_transfer_type,
                    g_strdup_printf("Transfer type %s is asked for: %s", gw_plan_text(word),
                                    option != NULL ? option->explanation : "there is no such type"),
                    g_strdup_printf("A transfer type that is there; this move would be %s.",
                                    gw_enum_word(&gw_transfer_enum, (int)st->plan->transfer)),
                    g_strdup("Leave the type out, or change what the explanation says."));
}

/* R39: the override exists only where a SAN transfer does. */
static void check_override(GwStorage *st)
{
    if (!st->options->network)
        return;
    for (guint i = 0; !st->running && !st->within && i < st->ways->len; i++) {
        const GwDiskWay *way = st->ways->pdata[i];
        if (way->lun && way->reached)
            return;
    }
    gw_storage_find(st, &gw_rule_san_override,
                    g_strdup("A transfer over the network instead of by the SAN is asked for, but "
                             "there is no SAN transfer here"),
                    g_strdup("A VM that is off and has a LUN which the destination reaches."),
                    g_strdup("Leave --network out; it changes nothing."));
}

static GwTransferOption *option_new(const GwStorage *st, GwTransfer transfer)
{
    GwTransferOption *option = gw_transfer_option_new();

    option->transfer = (int)transfer;
    option->explanation = explain_one(st, transfer, &option->available);
    return option;
}

/* Whether a type's explanation names nothing of the destination: then all hosts of a list get the
 * same record. */
static gboolean is_for_all(const GwStorage *st, GwTransfer transfer)
{
    if (st->input->shared == NULL || !st->running || st->within || !gw_reach_is_known(st->input))
        return FALSE;
    return transfer > GW_TRANSFER_LIVE_VSM || first_copied(st) == NULL;
}

static GwTransferOption *shared_option(const GwStorage *st, GwTransfer transfer)
{
    GPtrArray *known = gw_shared_explanations(st->input->shared, st->input->vm);

    if (known->len == 0)
        g_ptr_array_set_size(known, GW_TRANSFER_STORAGE + 1);
    if (known->pdata[transfer] == NULL)
        known->pdata[transfer] = option_new(st, transfer);
    return gw_record_ref(known->pdata[transfer]);
}

void gw_storage_transfers(GwStorage *st)
{
    /* A type that is asked for is judged by its explanation. */
    gboolean explained = !st->input->brief || st->options->transfer != (int)GW_TRANSFER_NONE;

    st->plan->transfer = transfer_of(st);
    for (int t = GW_TRANSFER_LIVE; explained && t <= (int)GW_TRANSFER_STORAGE; t++)
        g_ptr_array_add(st->plan->transfers, is_for_all(st, (GwTransfer)t)
                                                 ? shared_option(st, (GwTransfer)t)
                                                 : option_new(st, (GwTransfer)t));
    if (!gw_reach_is_known(st->input))
        return;
    check_asked(st);
    check_override(st);
}
