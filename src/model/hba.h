/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* Virtual HBAs (R41). A VM's own way into a SAN is a storage pool of type scsi with a WWPN of its
 * own: a virtual HBA, which logs in through a Fibre Channel HBA of the host that offers N_Port ID
 * virtualization (NPIV). A WWPN is logged in once at a time. */

/* An HBA of a host that can carry virtual ones. */
typedef struct {
    char *name; /* libvirt's node device: scsi_host5 */
    char *wwnn;
    char *wwpn;
    char *fabric_wwn;  /* of the SAN that it is logged in to; NULL: not told */
    gint64 max_vports; /* virtual HBAs that it can carry */
    gint64 vports;     /* and carries */
} GwHba;
GW_DECLARE_RECORD(GwHba, gw_hba)

#define GW_HBA_LUNS_MAX 4096 /* of one virtual HBA */

/* A LUN as a host sees it. */
typedef struct {
    char *name; /* of the volume in the pool: unit:0:0:1 */
    char *id;   /* by which it is the same on every host; NULL: not told */
    gint64 capacity_bytes;
} GwLun;
GW_DECLARE_RECORD(GwLun, gw_lun)

/* A virtual HBA as its host has it. */
typedef struct {
    char *pool;
    char *uuid; /* of the pool's definition, which goes along with it */
    char *wwpn;
    gboolean active;
    gboolean autostart;
    GPtrArray *luns; /* GwLun; empty while it is not active */
} GwVirtualHba;
GW_DECLARE_RECORD(GwVirtualHba, gw_virtual_hba)

typedef enum {
    GW_HBA_NOT,         /* it does not get there */
    GW_HBA_OWN,         /* the destination has one for the same pool, with a WWPN of its own */
    GW_HBA_NONE,        /* it is on no HBA, and gets on none; or a person said so */
    GW_HBA_HANDED_OVER, /* the VM is off: it leaves the source, and comes to the destination */
} GwHbaHow;
extern const GwEnum gw_hba_how_enum;

typedef struct {
    char *pool;
    char *source_wwpn; /* as it is */
    char *wwpn;        /* that is logged in at the destination; NULL: none is */
    int how;           /* GwHbaHow */
    gboolean chosen;   /* a person said so */
    char *from;        /* the source's HBA; NULL: not told */
    char *to; /* the destination's: that carries its own, or that would suit; NULL: none is known */
    char *why;
    char *remedy;      /* where it does not get there */
    char **volumes;    /* what the VM has behind it, by the names of volumes in the pool */
    GwVirtualHba *was; /* as the source had it right before it was stopped; NULL: not read yet */
} GwHbaMove;
GW_DECLARE_RECORD(GwHbaMove, gw_hba_move)

#define GW_HBA_CHOICES_MAX 64 /* of one request */

/* What a person chose for one virtual HBA. */
typedef struct {
    char *wwpn;    /* of the source's */
    char *parent;  /* the HBA of the destination that is to carry it */
    gboolean none; /* it does not come along: its LUNs are copied */
} GwHbaChoice;
GW_DECLARE_RECORD(GwHbaChoice, gw_hba_choice)
/* Shape only: a WWPN, and an HBA or none. */
gboolean gw_hba_choice_check(const GwHbaChoice *choice, GError **error);
/* Whether both are told, and are one. */
gboolean gw_hba_same_wwn(const char *a, const char *b);
/* Whether each of @volumes, as @was shows it, is the same LUN in @now: BUSY where one is not there
 * (yet), CONFLICT where there is another one. */
gboolean gw_virtual_hba_check(const GwVirtualHba *was, const GwVirtualHba *now,
                              char *const *volumes, GError **error);
/* A copy of @seen that shows those of @volumes alone, in their order; the caller's. */
GwVirtualHba *gw_virtual_hba_with(const GwVirtualHba *seen, char *const *volumes);
