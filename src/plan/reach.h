/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* How a disk is reached from two hosts: worked out once for each pair, read by many rules. */

typedef enum {
    GW_REACH_NOT,
    GW_REACH_UNSHOWN, /* its address means the same everywhere, but nothing shows that the
                         destination gets there (R28) */
    GW_REACH_SAME,    /* both hosts have a pool of the same storage */
    GW_REACH_PROVED,  /* the same only by a proved share: libvirt sees a plain directory */
} GwReachHow;

typedef struct {
    const GwDisk *disk;
    GwReachHow how;
    const GwPool *source;      /* the pool the disk is in, where known */
    const GwPool *destination; /* its counterpart, where known */
    const GwShare *share;      /* the proved share both pools belong to, where there is one */
    gboolean by_hba;           /* its virtual HBA goes along */
    gboolean other_path;       /* the destination shows the storage at another path */
    const GwPool *hidden_by;   /* or at the same, but with this other pool over the disk's path */
    char *why;                 /* where not reached, or not shown */
    char *remedy;
} GwReach;

/* Of @input only the fabric, the two hosts and what is shared are looked at. */
void gw_reach_disk(GwReach *reach, const GwPlanInput *input, const GwDisk *disk);
void gw_reach_free(gpointer reach);

/* Whether @destination reaches what is at @source_path of @source (a file, or what @type says; with
 * @server, a network disk) by that same address; @why gets the reason where not (owned), and may be
 * NULL. */
gboolean gw_reach_same_path(const GwPlanInput *input, const char *type, const char *path,
                            const char *server, char **why);
/* Whether a device's path, cleaned, names the same LUN on every host. */
gboolean gw_reach_is_world_wide(const char *path);

/* Whether enough is known of VM and hosts to say where its storage is. */
gboolean gw_reach_is_known(const GwPlanInput *input);
/* One GwReach for each disk of the VM that has a medium and is no CD-ROM or floppy (those are to be
 * ejected anyway, R53); none at all while not enough is known. Owned by the caller. */
GPtrArray *gw_reach_all(const GwPlanInput *input);

/* share.c, for reach.c: */
/* The identity that @pool has by itself, without any GwShare; NULL: none. */
char *gw_share_own_id(const GwPool *pool);
/* The identity of a network disk's server and name; NULL where its protocol has no pools. */
char *gw_share_id_of_network(const char *protocol, const char *hosts, const char *name);
/* Whether pools of this type are made from a server. */
gboolean gw_share_has_server(const GwPool *pool);
/* Whether a server name means "this host", wherever it is read. */
gboolean gw_share_is_loopback(const char *server);
/* Whether all of the servers in @hosts (a, b:port, …) are names that mean one machine everywhere:
 * none is a loopback, and there is at least one. */
gboolean gw_share_servers_known(const char *hosts);
/* The absolute @path without "..", "." and doubled slashes. */
char *gw_share_clean_path(const char *path);
/* The depth (length of the directory) of @pool where it holds @path, or -1. */
gssize gw_share_pool_depth(const GwPool *pool, const char *path);
/* Whether a share can hold it: only where a directory is shown can a marker be written and read. */
gboolean gw_share_may_be_proved(const GwPool *pool);
/* Which of several shares is taken; @best may be NULL. */
gboolean gw_share_is_better(const GwShare *share, const GwShare *best);
/* A share that both are members of, proved or not as @proved says; NULL: none. */
const GwShare *gw_share_common(const GwFabric *fabric, gboolean proved, const GwHost *source,
                               const GwPool *source_pool, const GwHost *destination,
                               const GwPool *destination_pool);
