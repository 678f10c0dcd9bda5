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

typedef enum {
    GW_HBA_NOT,  /* it does not get there */
    GW_HBA_OWN,  /* the destination has one for the same pool, with a WWPN of its own */
    GW_HBA_NONE, /* it is on no HBA, and gets on none; or a person said so */
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
    char *remedy; /* where it does not get there */
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
