/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/hbas.h"

#include <string.h>

#include "plan/rule.h"
#include "plan/vports.h"

/* Virtual HBAs (R41). A WWPN is logged in to its SAN once at a time, so the destination needs a
 * virtual HBA of its own for the same LUNs, as with Hyper-V's second set of addresses. libvirt
 * finds a disk by the name of its pool: that is what the two have in common. Where there is none, a
 * VM that is off takes its own along, to the HBA that a person chose, or that suits best: the same
 * WWPN leaves one host before it comes to the other. */

#define HBAS_NAMED 20 /* of a host, in one sentence */

/* The name of the pool in "pool/volume". */
static char *pool_name(const GwDisk *disk)
{
    if (g_strcmp0(disk->type, "volume") != 0 || disk->source == NULL || *disk->source == '/')
        return NULL;
    return g_strndup(disk->source, strcspn(disk->source, "/"));
}

static const GwPool *pool_called(const GwHost *host, const char *name)
{
    return gw_record_find(&gw_pool_record, gw_plan_facts(host)->pools, "name", name);
}

gboolean gw_plan_is_virtual_hba(const GwPool *pool)
{
    return pool != NULL && pool->wwpn != NULL;
}

const GwHba *gw_plan_hba_called(const GwHost *host, const char *name)
{
    return name != NULL ? gw_record_find(&gw_hba_record, gw_plan_facts(host)->hbas, "name", name)
                        : NULL;
}

const GwHbaChoice *gw_plan_hba_choice(const GwPlanInput *input, const char *wwpn)
{
    const GPtrArray *choices = gw_plan_options(input)->hbas;

    for (guint i = 0; choices != NULL && i < choices->len; i++) {
        const GwHbaChoice *choice = choices->pdata[i];
        if (gw_hba_same_wwn(choice->wwpn, wwpn))
            return choice;
    }
    return NULL;
}

/* Who asks about one move by itself may have nothing that is shared: *@own is made then. */
static GwVports vports_of(const GwPlanInput *input, GwPlanShared **own)
{
    if (input->shared == NULL)
        *own = gw_plan_shared_new(input->fabric);
    return (GwVports){ .shared = input->shared != NULL ? input->shared : *own,
                       .job_id = input->job_id };
}

char *gw_plan_list_hbas(const GwPlanInput *input)
{
    const GPtrArray *hbas = gw_plan_facts(input->destination)->hbas;
    GString *out = g_string_new(NULL);
    g_autoptr(GwPlanShared) own = NULL;
    const GwVports vports = vports_of(input, &own);

    for (guint i = 0; hbas != NULL && i < MIN(hbas->len, HBAS_NAMED); i++) {
        const GwHba *hba = hbas->pdata[i];
        gint64 free = gw_plan_hba_room(hba), left = gw_vports_left(&vports, hba);
        g_string_append_printf(
            out, "%s%s (SAN %s, %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " virtual ones free",
            i > 0 ? ", " : "", gw_plan_text(hba->name), gw_plan_text(hba->fabric_wwn), free,
            hba->max_vports);
        if (left < free)
            g_string_append_printf(out, ", %" G_GINT64_FORMAT " of them promised to jobs",
                                   free - left);
        g_string_append_c(out, ')');
    }
    return gw_plan_list_end(out);
}

/* The destination has a pool of that name. */
static void use_own(const GwPlanInput *input, GwHbaMove *move, const GwPool *here,
                    const GwPool *there)
{
    const char *to = gw_plan_host_name(input->destination);
    g_autofree char *quoted = gw_plan_quote(there->name);

    if (gw_hba_same_wwn(here->wwpn, there->wwpn)) {
        move->why = g_strdup_printf("%s is logged in with the same WWPN %s in its pool '%s'", to,
                                    there->wwpn, there->name);
        move->remedy = g_strdup_printf("A WWPN is logged in once. Give the pool on %s one of its "
                                       "own, zoned to the same LUNs: virsh pool-edit %s.",
                                       to, quoted);
        return;
    }
    move->how = GW_HBA_OWN;
    move->to = g_strdup(there->parent_hba);
    move->wwpn = g_strdup(there->wwpn);
    move->why = g_strdup_printf("%s has a virtual HBA of its own for it, %s", to, there->wwpn);
}

/* Why @hba suits, in words; owned. */
static char *why_hba(const GwHba *hba, const GwHba *from, gboolean chosen)
{
    if (chosen)
        return g_strdup("as chosen");
    if (gw_plan_hba_same_fabric(from, hba))
        return g_strdup_printf("it is on the same SAN %s", hba->fabric_wwn);
    return g_strdup_printf("it has most room, but is on SAN %s, not on %s",
                           gw_plan_text(hba->fabric_wwn),
                           from != NULL ? gw_plan_text(from->fabric_wwn) : "(unknown)");
}

/* Another one for the same LUNs lets the VM move while it runs. */
static char *own_words(const GwPlanInput *input, const GwHbaMove *move, const GwHba *hba,
                       const GwHba *from)
{
    g_autofree char *why = why_hba(hba, from, move->chosen);

    return g_strdup_printf("Give %s a virtual HBA of its own: define and start a pool '%s' there, "
                           "carried by %s (%s), with a WWPN that is zoned to the same LUNs",
                           gw_plan_host_name(input->destination), move->pool, hba->name, why);
}

/* Two hosts cannot be logged in with one WWPN, and a running VM needs its LUNs on both at once. */
static void runs(const GwPlanInput *input, GwHbaMove *move, const GwHba *hba, const GwHba *from)
{
    const char *name = gw_plan_vm_name(input->vm);
    g_autofree char *own = own_words(input, move, hba, from);

    move->why = g_strdup_printf("%s has none of its own for the same LUNs, and %s runs: a WWPN is "
                                "logged in at one host at a time",
                                gw_plan_host_name(input->destination), name);
    move->remedy = g_strdup_printf("%s (a second set of addresses, as Hyper-V alternates between "
                                   "two). Or shut %s down: its virtual HBA is then handed over.",
                                   own, name);
}

static gboolean is_behind(const GwVm *vm, const char *pool)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        g_autofree char *name = pool_name(vm->disks->pdata[i]);
        if (g_strcmp0(name, pool) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Another VM of the source that would lose its disks; NULL: there is none. */
static const GwVm *other_behind(const GwPlanInput *input, const char *pool)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(input->fabric, input->source->id);

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        if (g_strcmp0(vm->uuid, input->vm->uuid) != 0 && is_behind(vm, pool))
            return vm;
    }
    return NULL;
}

static void has_others(const GwPlanInput *input, GwHbaMove *move, const GwHba *hba,
                       const GwHba *from, const GwVm *other)
{
    g_autofree char *own = own_words(input, move, hba, from);

    move->why = g_strdup_printf("VM %s of %s has disks behind it as well, and would lose them",
                                gw_plan_vm_name(other), gw_plan_host_name(input->source));
    move->remedy =
        g_strdup_printf("%s. Or give each of the two VMs a virtual HBA of its own.", own);
}

/* The names of what the VM has in the pool. */
static char **volumes_behind(const GwVm *vm, const char *pool)
{
    g_autoptr(GStrvBuilder) volumes = g_strv_builder_new();

    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        g_autofree char *name = pool_name(disk);
        if (g_strcmp0(name, pool) == 0 && strchr(disk->source, '/') != NULL)
            g_strv_builder_add(volumes, strchr(disk->source, '/') + 1);
    }
    return g_strv_builder_end(volumes);
}

static void hand_over(const GwPlanInput *input, GwHbaMove *move, const GwHba *hba,
                      const GwHba *from)
{
    g_autofree char *why = why_hba(hba, from, move->chosen);

    move->how = GW_HBA_HANDED_OVER;
    move->wwpn = g_strdup(move->source_wwpn);
    move->volumes = volumes_behind(input->vm, move->pool);
    move->why = g_strdup_printf("%s is off: it leaves %s, and logs in through %s of %s (%s)",
                                gw_plan_vm_name(input->vm), gw_plan_host_name(input->source),
                                hba->name, gw_plan_host_name(input->destination), why);
}

/* @before: what was decided of the VM's others. */
static const GwHba *best_hba(const GwPlanInput *input, const GPtrArray *before, const GwHba *from)
{
    g_autoptr(GwPlanShared) own = NULL;
    g_autoptr(GPtrArray) taken = g_ptr_array_new();
    GwVports vports = vports_of(input, &own);

    for (guint i = 0; i < before->len; i++) {
        const GwHbaMove *move = before->pdata[i];
        if (move->how == (int)GW_HBA_HANDED_OVER)
            g_ptr_array_add(taken, (gpointer)gw_plan_hba_called(input->destination, move->to));
    }
    vports.taken = taken;
    return gw_vports_best(&vports, input->destination, from);
}

gboolean gw_plan_hba_has_room(const GwPlanInput *input, const GwHba *hba)
{
    g_autoptr(GwPlanShared) own = NULL;
    const GwVports vports = vports_of(input, &own);
    return gw_vports_left(&vports, hba) > 0;
}

static void not_there(const GwPlanInput *input, const GPtrArray *taken, GwHbaMove *move,
                      const GwHbaChoice *choice)
{
    const char *to = gw_plan_host_name(input->destination);
    const GwHba *from = gw_plan_hba_called(input->source, move->from);
    const GwHba *hba = choice != NULL ? gw_plan_hba_called(input->destination, choice->parent)
                                      : best_hba(input, taken, from);

    if (hba == NULL && choice != NULL) {
        move->why = g_strdup("the HBA that was chosen cannot be had there");
        move->remedy = g_strdup("Correct the choice, or leave it out.");
        return;
    }
    if (hba == NULL) {
        g_autofree char *list = gw_plan_list_hbas(input);
        move->why =
            g_strdup_printf("%s has no HBA with room for a virtual one (it has: %s)", to, list);
        move->remedy = g_strdup("Choose a host on the same SAN whose HBAs offer NPIV: virsh "
                                "nodedev-list --cap vports.");
        return;
    }
    const GwVm *other = other_behind(input, move->pool);
    move->to = g_strdup(hba->name);
    if (gw_plan_is_live(input->vm))
        runs(input, move, hba, from);
    else if (other != NULL)
        has_others(input, move, hba, from, other);
    else
        hand_over(input, move, hba, from);
}

/* The destination has one for the same pool that is logged in nowhere. */
static void start_own(const GwPlanInput *input, GwHbaMove *move, const GwPool *there)
{
    g_autofree char *quoted = gw_plan_quote(there->name);

    if (gw_hba_same_wwn(move->source_wwpn, there->wwpn)) {
        move->why = g_strdup_printf("%s has a definition of it too, with the same WWPN",
                                    gw_plan_host_name(input->destination));
        move->remedy = g_strdup_printf("Remove that, which must not be started beside this one: "
                                       "virsh pool-undefine %s.",
                                       quoted);
        return;
    }
    move->to = g_strdup(there->parent_hba);
    move->why = g_strdup_printf("the virtual HBA that %s has for it is not active",
                                gw_plan_host_name(input->destination));
    move->remedy = g_strdup_printf("Start it there: virsh pool-start %s.", quoted);
}

static void name_taken(const GwPlanInput *input, GwHbaMove *move, const GwPool *there)
{
    move->why =
        g_strdup_printf("%s has another pool '%s' (%s)", gw_plan_host_name(input->destination),
                        there->name, gw_plan_text(there->type));
    move->remedy = g_strdup("Call that pool otherwise: libvirt finds a disk by its pool's name.");
}

/* Any pool of the host that has the WWPN; NULL: there is none. */
static const GwPool *pool_with(const GwHost *host, const char *wwpn)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (gw_plan_is_virtual_hba(pool) && gw_hba_same_wwn(pool->wwpn, wwpn))
            return pool;
    }
    return NULL;
}

/* Under another name: VMs there may use it, and libvirt defines no second pool of one WWPN. */
static void wwpn_taken(const GwPlanInput *input, GwHbaMove *move, const GwPool *there)
{
    g_autofree char *quoted = gw_plan_quote(there->name);

    move->why = g_strdup_printf("%s has the same WWPN %s in its pool '%s'%s",
                                gw_plan_host_name(input->destination), there->wwpn, there->name,
                                there->active ? ", which is active" : "");
    move->remedy = g_strdup_printf("A WWPN is logged in once. Remove that pool (virsh pool-destroy "
                                   "where it is active, virsh pool-undefine %s), or give it a WWPN "
                                   "of its own: virsh pool-edit %s.",
                                   quoted, quoted);
}

/* None stays none: what is logged in nowhere shows no LUNs. */
static void stays_none(const GwPlanInput *input, GwHbaMove *move)
{
    g_autofree char *quoted = gw_plan_quote(move->pool);

    move->how = GW_HBA_NONE;
    move->why = g_strdup_printf("it is logged in nowhere, and gets no HBA: its pool is not active "
                                "on %s",
                                gw_plan_host_name(input->source));
    move->remedy = g_strdup_printf("Start it: virsh pool-start %s.", quoted);
}

static void chosen_none(GwHbaMove *move)
{
    move->how = GW_HBA_NONE;
    move->why = g_strdup("none was chosen for it");
}

/* @taken: what was decided of the VM's others. */
static GwHbaMove *plan_one(const GwPlanInput *input, const GPtrArray *taken, const GwPool *here)
{
    const GwPool *there = pool_called(input->destination, here->name);
    const GwPool *same = pool_with(input->destination, here->wwpn);
    const GwHbaChoice *choice = gw_plan_hba_choice(input, here->wwpn);
    GwHbaMove *move = gw_hba_move_new();

    move->pool = g_strdup(here->name);
    move->source_wwpn = g_strdup(here->wwpn);
    move->from = g_strdup(here->parent_hba);
    move->chosen = choice != NULL;
    if (choice != NULL && choice->none)
        chosen_none(move);
    else if (gw_plan_is_virtual_hba(there) && there->active)
        use_own(input, move, here, there);
    else if (gw_plan_is_virtual_hba(there))
        start_own(input, move, there);
    else if (there != NULL)
        name_taken(input, move, there);
    else if (!here->active)
        stays_none(input, move);
    else if (same != NULL)
        wwpn_taken(input, move, same);
    else
        not_there(input, taken, move, choice);
    return move;
}

GPtrArray *gw_plan_hbas(const GwPlanInput *input)
{
    GPtrArray *hbas = gw_record_array(&gw_hba_move_record);
    const GPtrArray *disks = input->vm->disks;

    if (gw_plan_is_within(input))
        return hbas; /* it stays where it is logged in */
    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        g_autofree char *name = pool_name(disks->pdata[i]);
        const GwPool *here = name != NULL ? pool_called(input->source, name) : NULL;
        if (gw_plan_is_virtual_hba(here) &&
            gw_record_find(&gw_hba_move_record, hbas, "pool", here->name) == NULL)
            g_ptr_array_add(hbas, plan_one(input, hbas, here));
    }
    return hbas;
}

const GwHbaMove *gw_plan_hba_of(const GPtrArray *hbas, const GwDisk *disk)
{
    g_autofree char *name = pool_name(disk);
    return name != NULL ? gw_record_find(&gw_hba_move_record, hbas, "pool", name) : NULL;
}

void gw_plan_hbas_settle(const GwPlanInput *input, GPtrArray *hbas)
{
    for (guint i = 0; i < hbas->len; i++) {
        GwHbaMove *move = hbas->pdata[i];
        guint stay = 0, copied = 0;
        gw_plan_hba_disks(input, move, &stay, &copied);
        if (move->how != (int)GW_HBA_HANDED_OVER || stay > 0 || copied == 0)
            continue;
        move->how = GW_HBA_NONE;
        g_clear_pointer(&move->wwpn, g_free);
        g_clear_pointer(&move->to, g_free);
        g_free(move->why);
        move->why = g_strdup("it does not come along: its LUNs are copied");
    }
}

void gw_plan_hba_disks(const GwPlanInput *input, const GwHbaMove *hba, guint *stay, guint *copied)
{
    const GPtrArray *disks = input->vm->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDisk *disk = disks->pdata[i];
        g_autofree char *name = pool_name(disk);
        if (g_strcmp0(name, hba->pool) != 0)
            continue;
        gboolean is_copied = gw_plan_is_copied(gw_plan_disk_move(input, disk->target));
        *(is_copied ? copied : stay) += 1;
    }
}
