/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gio/gio.h>
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/definition.h"

/* The part of a migration that is about disks which QEMU copies, and adapters that are attached
 * elsewhere: which, how, and what the VM's definitions are at the destination. They are read here,
 * secrets included, handed to libvirt, and go no other way. */

/* Headers older than the host's libvirt do not have it. */
#define PARAM_DETECT_ZEROES "migrate_disks_detect_zeroes"
#define DETECT_ZEROES_SINCE 10009000 /* libvirt 10.9.0 */

static gboolean is_mirrored(const GwDiskMove *move)
{
    return move->how == GW_DISK_MIRROR && move->images != NULL && move->images->len > 0;
}

guint gw_lv_copied_disks(const GwMigrate *move)
{
    guint count = 0;

    for (guint i = 0; move->disks != NULL && i < move->disks->len; i++)
        count += is_mirrored(move->disks->pdata[i]) ? 1 : 0;
    return count;
}

/* How much of a disk QEMU is to copy. */
typedef enum {
    COPY_EITHER, /* it has one image only */
    COPY_TOP,    /* what lies below is at the destination already */
    COPY_ALL,    /* into one image */
} Depth;

static Depth depth_of(const GwDiskMove *move)
{
    const GwImageMove *top = move->images->pdata[0];

    if (!top->flatten && (move->images->len > 1 || top->to->backing_path != NULL))
        return COPY_TOP;
    return top->from != NULL && top->from->backing_path != NULL ? COPY_ALL : COPY_EITHER;
}

/* libvirt takes one depth for all. */
static gboolean find_depth(const GwMigrate *move, Depth *depth, GError **error)
{
    const char *seen[COPY_ALL + 1] = { NULL };

    for (guint i = 0; i < move->disks->len; i++) {
        const GwDiskMove *disk = move->disks->pdata[i];
        if (is_mirrored(disk))
            seen[depth_of(disk)] = disk->target;
    }
    if (seen[COPY_TOP] != NULL && seen[COPY_ALL] != NULL) {
        gw_error_set(error, GW_ERR_UNSUPPORTED,
                     "Flatten all disks of this move, or keep the images of all.",
                     "disk %s keeps the images below it and disk %s becomes one image: libvirt "
                     "copies the disks of one move either way, not both",
                     seen[COPY_TOP], seen[COPY_ALL]);
        return FALSE;
    }
    *depth = seen[COPY_TOP] != NULL ? COPY_TOP : COPY_ALL;
    return TRUE;
}

gboolean gw_lv_disk_flags(const GwMigrate *move, guint *flags, GError **error)
{
    Depth depth = COPY_ALL;

    *flags = 0;
    if (gw_lv_copied_disks(move) == 0)
        return TRUE;
    if (move->post_copy) {
        gw_error_set(error, GW_ERR_INVALID, "Move it without post-copy.",
                     "post-copy and a copy of disks exclude each other: neither host would have "
                     "the whole VM if one failed");
        return FALSE;
    }
    if (!find_depth(move, &depth, error))
        return FALSE;
    *flags = depth == COPY_TOP ? VIR_MIGRATE_NON_SHARED_INC : VIR_MIGRATE_NON_SHARED_DISK;
    return TRUE;
}

/* Which -------------------------------------------------------------------------------------- */

/* Zeroes of an image that has all its room are not made holes: whoever gave it all wants it so. */
static gboolean is_sparse(const GwDiskMove *disk)
{
    const GwVolume *from = ((const GwImageMove *)disk->images->pdata[0])->from;

    return from == NULL || from->capacity_bytes == 0 ||
           from->allocation_bytes < from->capacity_bytes;
}

/* The targets of @move's disks that are copied; each belongs to @move. Free with g_free. */
static char **mirrored_targets(const GwMigrate *move, gboolean sparse)
{
    g_autoptr(GPtrArray) targets = g_ptr_array_new();

    for (guint i = 0; i < move->disks->len; i++) {
        const GwDiskMove *disk = move->disks->pdata[i];
        if (is_mirrored(disk) && (!sparse || is_sparse(disk)))
            g_ptr_array_add(targets, disk->target);
    }
    g_ptr_array_add(targets, NULL);
    return (char **)g_ptr_array_steal(targets, NULL);
}

static gboolean can_detect_zeroes(virConnectPtr source, guint64 destination)
{
    unsigned long here = 0;

    return virConnectGetLibVersion(source, &here) == 0 && here >= DETECT_ZEROES_SINCE &&
           destination >= DETECT_ZEROES_SINCE;
}

/* Those whose holes stay holes. It takes two things (docs/measured.md): the source finds zeroes and
 * asks for holes, and the destination does as it is asked; one alone fills a raw image. */
static char **sparse_targets(virConnectPtr source, const GwMigrate *move, guint64 destination)
{
    if (!can_detect_zeroes(source, destination))
        return g_new0(char *, 1);
    return mirrored_targets(move, TRUE);
}

/* Definitions --------------------------------------------------------------------------------- */

static char *read_xml(virDomainPtr domain, guint flags, GError **error)
{
    return gw_lv_xml(domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE | flags, error);
}

/* What runs at the destination. */
static char *live_xml(virDomainPtr domain, const GwMigrate *move, char **sparse, GError **error)
{
    g_autofree char *now = read_xml(domain, 0, error);
    char *moved = now != NULL ? gw_definition_with_disks(now, move->disks, error) : NULL;
    g_autofree char *there = gw_lv_with_nics(moved, move->nics, move->nics_xml, FALSE, error);

    return there != NULL ? gw_definition_unmap(there, (const char *const *)sparse, error) : NULL;
}

/* What is defined there, or NULL with @error unset where nothing is to be. */
static char *persistent_xml(virDomainPtr domain, const GwMigrate *move, GError **error)
{
    if (!move->persist || virDomainIsPersistent(domain) != 1)
        return NULL;
    g_autofree char *now = read_xml(domain, VIR_DOMAIN_XML_INACTIVE, error);

    char *moved = now != NULL ? gw_definition_inactive(now, move->disks, error) : NULL;
    return gw_lv_with_nics(moved, move->nics, move->nics_xml, TRUE, error);
}

static gboolean add_definitions(virDomainPtr domain, const GwMigrate *move, char **sparse,
                                GwLvParams *params, int *size, GError **error)
{
    GError *why = NULL;
    g_autofree char *live = live_xml(domain, move, sparse, &why);
    g_autofree char *persistent = why == NULL ? persistent_xml(domain, move, &why) : NULL;
    gboolean well = why == NULL;

    if (why != NULL)
        g_propagate_prefixed_error(error, why, "the definition at the destination: ");
    well = well && virTypedParamsAddString(&params->list, &params->count, size,
                                           VIR_MIGRATE_PARAM_DEST_XML, live) == 0;
    if (well && persistent != NULL)
        well = virTypedParamsAddString(&params->list, &params->count, size,
                                       VIR_MIGRATE_PARAM_PERSIST_XML, persistent) == 0;
    return well;
}

/* Where --------------------------------------------------------------------------------------- */

/* QEMU at the destination would take disks' content from any network; it listens on the address of
 * the move alone where that is one. */
static char *listen_address(const GwMigrate *move)
{
    if (move->migration_uri == NULL || !g_str_has_prefix(move->migration_uri, "tcp:"))
        return NULL;
    g_autofree char *host = gw_host_uri_address(move->migration_uri);

    return host != NULL && g_hostname_is_ip_address(host) ? g_steal_pointer(&host) : NULL;
}

/* Without sockets for them, disks come by TCP; with a socket for memory alone libvirt would open a
 * port for them all the same. */
static gboolean check_socket(const GwMigrate *move, GError **error)
{
    if (move->disks_uri != NULL || move->migration_uri == NULL ||
        !g_str_has_prefix(move->migration_uri, "unix:"))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, NULL,
                 "the move has a socket for memory and none for its disks");
    return FALSE;
}

gboolean gw_lv_add_disks(virDomainPtr domain, const GwMigrate *move, guint64 destination,
                         GwLvParams *params, GError **error)
{
    int size = params->count;

    if (move->disks == NULL && !gw_nic_moves_change(move->nics))
        return TRUE;
    if (gw_lv_copied_disks(move) == 0) { /* what was copied as files lies elsewhere all the same */
        g_autofree char **none = g_new0(char *, 1);
        return add_definitions(domain, move, none, params, &size, error);
    }
    if (!check_socket(move, error))
        return FALSE;
    g_autofree char **targets = mirrored_targets(move, FALSE);
    g_autofree char **sparse = sparse_targets(virDomainGetConnect(domain), move, destination);
    g_autofree char *address = listen_address(move);
    gboolean well =
        virTypedParamsAddStringList(&params->list, &params->count, &size,
                                    VIR_MIGRATE_PARAM_MIGRATE_DISKS, (const char **)targets) == 0;
    if (well && sparse[0] != NULL)
        well = virTypedParamsAddStringList(&params->list, &params->count, &size,
                                           PARAM_DETECT_ZEROES, (const char **)sparse) == 0;
    if (well && address != NULL)
        well = virTypedParamsAddString(&params->list, &params->count, &size,
                                       VIR_MIGRATE_PARAM_LISTEN_ADDRESS, address) == 0;
    return well && add_definitions(domain, move, sparse, params, &size, error);
}
