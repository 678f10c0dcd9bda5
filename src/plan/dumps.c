/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/dumps.h"

#include <string.h>

#include "base/text.h"
#include "plan/reach.h"
#include "plan/storage.h"

#define SOURCE "the source"
#define DESTINATION "the destination"
#define PLACE "POOL" /* that of the destination where copies go, which a person chooses */

typedef struct {
    const GwDumps *dumps;
    GwFabric *fabric;
    GwHost *source, *destination;
    GwVm *vm;
    GHashTable *folders; /* where its disks are that the destination may have, or not */
    GwCandidate *candidate;
} World;

/* A world ------------------------------------------------------------------------------------- */

static void add_pool(GwHost *host, const char *name, const char *path)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup(name);
    pool->type = g_strdup("dir");
    pool->target_path = g_strdup(path);
    pool->active = TRUE;
    g_ptr_array_add(host->facts->pools, pool);
}

static void add_share(World *world, const char *folder)
{
    GwShare *share = gw_share_new();

    share->id = g_strdup(folder);
    share->name = g_strdup(folder);
    share->proved = TRUE;
    share->members = gw_record_array(&gw_share_member_record);
    for (int i = 0; i < 2; i++) {
        GwShareMember *member = gw_share_member_new();
        member->host_id = g_strdup(i == 0 ? SOURCE : DESTINATION);
        member->pool = g_strdup(folder);
        g_ptr_array_add(share->members, member);
    }
    gw_fabric_put_share(world->fabric, share);
}

/* The folder, or pool, of a disk whose address says nothing of another host; NULL: it says. */
static char *folder_of(const GwDisk *disk)
{
    if (disk->source == NULL || g_strcmp0(disk->device, "cdrom") == 0 ||
        g_strcmp0(disk->device, "floppy") == 0)
        return NULL;
    if (g_strcmp0(disk->type, "volume") == 0 && *disk->source != '/')
        return g_strndup(disk->source, strcspn(disk->source, "/"));
    gboolean block = g_strcmp0(disk->type, "block") == 0;
    if (*disk->source != '/' || (!block && g_strcmp0(disk->type, "file") != 0) ||
        (block && gw_reach_is_world_wide(disk->source)))
        return NULL;
    return g_path_get_dirname(disk->source);
}

static void add_folder(World *world, const char *folder, gboolean shared)
{
    /* A pool that is known by name alone is somewhere. */
    g_autofree char *path = *folder == '/' ? g_strdup(folder) : g_strconcat("/pool/", folder, NULL);

    if (!g_hash_table_add(world->folders, g_strdup(folder)))
        return;
    add_pool(world->source, folder, path);
    if (!shared)
        return;
    add_pool(world->destination, folder, path);
    add_share(world, folder);
}

static GwHost *add_host(World *world, const char *name, const GwHostFacts *told)
{
    GwHost *host = gw_host_new_default();

    host->id = g_strdup(name);
    host->name = g_strdup(name);
    host->status = (int)GW_HOST_OK_LIMITED;
    host->facts = told != NULL ? gw_host_facts_copy(told) : gw_host_facts_new();
    g_clear_pointer(&host->facts->pools, g_ptr_array_unref);
    host->facts->pools = gw_record_array(&gw_pool_record);
    gw_fabric_put_host(world->fabric, host);
    return host;
}

static void add_vm(World *world)
{
    world->vm = gw_vm_copy(world->dumps->vm);
    g_free(world->vm->host_id);
    world->vm->host_id = g_strdup(SOURCE);
    world->vm->state = (int)(world->dumps->off ? GW_VM_OFF : GW_VM_RUNNING);
    world->vm->persistent = TRUE;
    gw_fabric_put_vm(world->fabric, world->vm);
}

/* The VM between two hosts that are as the dumps tell; @shared: the destination has what its disks
 * live on, else it has a pool for copies. */
static void world_make(World *world, const GwDumps *dumps, gboolean shared)
{
    static const char *const place[] = { PLACE, NULL };

    world->dumps = dumps;
    world->fabric = gw_fabric_new();
    world->folders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    world->source = add_host(world, SOURCE, dumps->source);
    world->destination = add_host(world, DESTINATION, dumps->destination);
    add_vm(world);
    for (guint i = 0; world->vm->disks != NULL && i < world->vm->disks->len; i++) {
        g_autofree char *folder = folder_of(world->vm->disks->pdata[i]);
        if (folder != NULL)
            add_folder(world, folder, shared);
    }
    if (!shared) {
        add_pool(world->destination, PLACE, "/" PLACE);
        world->destination->default_storage = g_strdupv((char **)place);
    }
    const GwPlanInput input = { .fabric = world->fabric,
                                .vm = world->vm,
                                .source = world->source,
                                .destination = world->destination };
    world->candidate = gw_plan_candidate(&input);
}

static void world_clear(World *world)
{
    gw_candidate_free(world->candidate);
    g_hash_table_unref(world->folders);
    gw_fabric_unref(world->fabric);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_clear)

/* Findings ------------------------------------------------------------------------------------ */

static gboolean is_error(const GwFinding *finding)
{
    return finding->severity == (int)GW_SEVERITY_ERROR;
}

static gboolean has_finding(const GPtrArray *findings, const GwFinding *like)
{
    for (guint i = 0; i < findings->len; i++) {
        if (gw_record_equal(&gw_finding_record, findings->pdata[i], like))
            return TRUE;
    }
    return FALSE;
}

static gboolean has_error(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        if (is_error(findings->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

/* Hosts have no names here, and a sentence begins with a capital letter. */
static void capitalize(char *text)
{
    if (text != NULL && g_ascii_islower(*text) && g_str_has_prefix(text, "the "))
        *text = g_ascii_toupper(*text);
}

/* Those of @world that rest on what is told, and are (@both) or are not in @other. */
static GPtrArray *told_findings(const World *world, const World *other, gboolean both)
{
    GPtrArray *told = gw_record_array(&gw_finding_record);
    const GPtrArray *all = world->candidate->findings;

    for (guint i = 0; i < all->len; i++) {
        const GwFinding *finding = all->pdata[i];
        if (!gw_dumps_is_told(world->dumps, finding->rule) ||
            has_finding(other->candidate->findings, finding) != both)
            continue;
        GwFinding *copy = gw_finding_copy(finding);
        capitalize(copy->observed);
        capitalize(copy->required);
        capitalize(copy->remedy);
        g_ptr_array_add(told, copy);
    }
    return told;
}

/* Transfer types ------------------------------------------------------------------------------ */

static void add_printable(GStrvBuilder *out, char *text)
{
    g_autofree char *clean = gw_text_printable(text, GW_TEXT_MESSAGE_MAX);

    capitalize(clean);
    g_strv_builder_add(out, clean);
    g_free(text);
}

/* What the rules could only warn of: that a SAN or server is reached there too. */
static void depend_on_reach(const World *world, GStrvBuilder *out)
{
    for (guint i = 0; i < world->candidate->findings->len; i++) {
        const GwFinding *finding = world->candidate->findings->pdata[i];
        if (strcmp(finding->rule, "san-reach") == 0)
            add_printable(out, g_strdup_printf("%s %s.", finding->required, finding->observed));
    }
}

static void depend_on_disks(const World *world, GStrvBuilder *out)
{
    const GPtrArray *moves = world->candidate->disks;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwDiskMove *move = moves->pdata[i];
        const GwDisk *disk =
            gw_record_find(&gw_disk_record, world->vm->disks, "target", move->target);
        g_autofree char *folder = disk != NULL ? folder_of(disk) : NULL;
        if (folder == NULL)
            continue;
        if (gw_plan_is_copied(move))
            add_printable(out, g_strdup_printf("A pool of the destination has room for disk %s "
                                               "(%s), whose size no dump tells.",
                                               gw_plan_text(disk->target), disk->source));
        else if (move->how == (int)GW_DISK_STAYS)
            add_printable(out, g_strdup_printf("The destination has the same %s at the same %s "
                                               "(disk %s).",
                                               disk->source, *disk->source == '/' ? "path" : "pool",
                                               gw_plan_text(disk->target)));
    }
}

static const char *const if_possible[] = {
    [GW_TRANSFER_LIVE] = "Only the memory moves, if the destination reaches every disk.",
    [GW_TRANSFER_LIVE_VSM] = "Disks are copied first, then the memory.",
    [GW_TRANSFER_NETWORK] = "Disks are copied over the network.",
    [GW_TRANSFER_FAST_COPY] = "Disks are cloned by a file system that both hosts see.",
    [GW_TRANSFER_SAN] = "Its LUNs are handed over.",
    [GW_TRANSFER_REGISTER] = "Only the definition moves, if the destination reaches every disk.",
};

/* The type that @world comes to is possible in it; of another its own words say why not. */
static GwTransferOutlook *outlook_of(GwTransfer type, const World *world, const World *other)
{
    GwTransferOutlook *outlook = gw_transfer_outlook_new();
    const GwTransferOption *option = world->candidate->transfers->pdata[type - GW_TRANSFER_LIVE];
    g_autoptr(GStrvBuilder) depends = g_strv_builder_new();
    gboolean meant = world->candidate->transfer == (int)type;
    /* Whether a file system clones nobody tells; where files are copied it may. */
    gboolean clones =
        type == GW_TRANSFER_FAST_COPY && world->candidate->transfer == (int)GW_TRANSFER_NETWORK;

    outlook->transfer = (int)type;
    outlook->findings =
        meant || clones ? told_findings(world, other, FALSE) : gw_record_array(&gw_finding_record);
    outlook->possible = (meant || clones) && !has_error(outlook->findings);
    outlook->explanation = g_strdup(meant || clones ? if_possible[type] : option->explanation);
    capitalize(outlook->explanation);
    if (outlook->possible) {
        depend_on_disks(world, depends);
        depend_on_reach(world, depends);
    }
    if (outlook->possible && clones)
        g_strv_builder_add(depends, "That pool and the disk are on one file system, which clones "
                                    "files (xfs, btrfs), and agents tell so.");
    outlook->depends = g_strv_builder_end(depends);
    return outlook;
}

static void explain_transfers(GwExplanation *explanation, const World *shared, const World *copied)
{
    for (int t = GW_TRANSFER_LIVE; t <= (int)GW_TRANSFER_REGISTER; t++) {
        GwTransfer type = (GwTransfer)t;
        gboolean copies = type == GW_TRANSFER_LIVE_VSM || type == GW_TRANSFER_NETWORK ||
                          type == GW_TRANSFER_FAST_COPY;
        GwTransferOutlook *outlook =
            copies ? outlook_of(type, copied, shared) : outlook_of(type, shared, copied);
        g_ptr_array_add(explanation->transfers, outlook);
    }
}

/* What holds whatever is so leaves no type: what it would be, and depend on, is said all the same.
 */
static void forbid(GPtrArray *transfers)
{
    for (guint i = 0; i < transfers->len; i++) {
        GwTransferOutlook *outlook = transfers->pdata[i];
        if (!outlook->possible)
            continue;
        char *would = outlook->explanation;
        outlook->possible = FALSE;
        outlook->explanation = g_strconcat("Not with what was found above. Else: ", would, NULL);
        g_free(would);
    }
}

static gboolean is_any_possible(const GPtrArray *transfers)
{
    for (guint i = 0; i < transfers->len; i++) {
        if (((const GwTransferOutlook *)transfers->pdata[i])->possible)
            return TRUE;
    }
    return FALSE;
}

GwExplanation *gw_plan_explain_dumps(const GwDumps *dumps)
{
    GwExplanation *explanation = gw_explanation_new();
    g_auto(World) shared = { 0 };
    g_auto(World) copied = { 0 };

    world_make(&shared, dumps, TRUE);
    world_make(&copied, dumps, FALSE);
    explanation->vm_uuid = g_strdup(dumps->vm->uuid);
    explanation->vm_name = g_strdup(dumps->vm->name);
    explanation->state = shared.vm->state;
    explanation->findings = told_findings(&shared, &copied, TRUE);
    explanation->transfers = gw_record_array(&gw_transfer_outlook_record);
    explain_transfers(explanation, &shared, &copied);
    explanation->untold = gw_dumps_untold(dumps);
    if (has_error(explanation->findings))
        forbid(explanation->transfers);
    explanation->refused = !is_any_possible(explanation->transfers);
    return explanation;
}
