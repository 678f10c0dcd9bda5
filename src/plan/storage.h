/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/reach.h"
#include "plan/rule.h"

/* What the parts of gw_plan_storage share: where disks go (storage_place.c), what becomes of their
 * images (storage_images.h), and what transfer type that comes to (storage_transfer.c). */

/* One disk of the VM, and the ways it could go. */
typedef struct {
    const GwDisk *disk;
    const GwReach *reach;       /* NULL: no medium, a CD-ROM or floppy; or within one host */
    const GwDiskImages *images; /* NULL: not asked */
    const GwDiskChoice *choice; /* NULL: none */
    gboolean lun;               /* a SAN's: it can be handed over (R27) */
    gboolean reached;           /* the destination gets to it where it is */
    char *not_reached;          /* why not */
    gboolean clones;            /* it can be cloned to where it goes (R34) */
    char *no_clone;             /* why not */
    GwDiskMove *move;           /* in plan->disks */
} GwDiskWay;

typedef struct {
    const GwPlanInput *input;
    const GwMoveOptions *options;
    GwStoragePlan *plan;
    GPtrArray *ways;   /* GwDiskWay */
    GHashTable *taken; /* NULL: nothing yet; see gw_storage_taken */
    gboolean running;  /* QEMU copies; else files are copied */
    gboolean within;   /* one host (R14) */
} GwStorage;

/* "pool\nname" or a path -> GwImageMove: what disks of this VM get already. */
GHashTable *gw_storage_taken(GwStorage *st);

/* Where a disk goes. */
typedef struct {
    const GwPool *pool; /* NULL: a block device */
    const char *device; /* borrowed; NULL: a pool */
    char *name;         /* of the top image in the pool */
    const char *format; /* of the top image; borrowed; NULL: not known */
} GwPlace;

/* FALSE where there is none: a finding says why. */
gboolean gw_storage_place(GwStorage *st, const GwDiskWay *way, GwPlace *place);
void gw_place_clear(GwPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwPlace, gw_place_clear)
/* The pool that the disk is in at the source; NULL: none. */
const GwPool *gw_storage_pool_of(const GwStorage *st, const GwDiskWay *way);
/* Whether the disk is in @place already. */
gboolean gw_storage_is_there(const GwStorage *st, const GwDiskWay *way, const GwPlace *place);
/* Whether images can be made in a pool of this type. */
gboolean gw_storage_holds_images(const GwPool *pool);
/* file, block or network: what volumes of the pool are. */
const char *gw_storage_kind_of(const GwPool *pool);
/* Path and server of volume @name of @pool, into @volume. */
void gw_storage_address(GwVolume *volume, const GwPool *pool, const char *name);
/* The file system of @host that @path is on, as its agent knows it; NULL: not known. */
const GwFileSystem *gw_storage_file_system(const GwHost *host, const char *path);
/* "images (12.0 GiB free), fast (…)" of the host, for people. */
char *gw_storage_list_pools(const GwHost *host);
/* Bytes in words. */
char *gw_storage_size(gint64 bytes);

/* Fills way->move: what each image becomes at @place, and what that needs. */
void gw_storage_images(GwStorage *st, const GwDiskWay *way, const GwPlace *place);
/* NVRAM or TPM state. */
void gw_storage_state_file(GwStorage *st, GwDiskMove *move, const char *path, const char *format,
                           const char *kind, const GwPool *pool);
/* Whether the images of the disk would be written in another form than they are. */
gboolean gw_storage_converts(const GwStorage *st, const GwDiskWay *way, const GwPlace *place);

/* Which type it comes to, and every type with its explanation. */
void gw_storage_transfers(GwStorage *st);

/* Whether it would be copied as a file, but no host shows it as one. */
gboolean gw_storage_is_unreadable(const GwStorage *st, const GwDiskWay *way);
/* Whether the disk is a LUN of a SAN. */
gboolean gw_storage_is_lun(const GwDisk *disk, const GwPool *pool);
/* Whether its file system can clone it to @place; @why where not (owned). */
gboolean gw_storage_clones(const GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                           char **why);

/* A finding of the plan, shown by @rule. Takes the texts. */
void gw_storage_find(GwStorage *st, const GwRule *rule, char *observed, char *required,
                     char *remedy);
/* The check of all rules whose findings are made with the plan. */
void gw_storage_show(const GwRule *self, const GwPlanInput *input, GPtrArray *findings);
