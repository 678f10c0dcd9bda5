/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include <string.h>

#include "hyper/libvirt_internal.h"

/* Two hosts of libvirt's own test driver, which makes and removes virtual HBAs as pools of type
 * scsi begin and end. It has no LUNs: a volume that is made there stands for one. Its "pool-start"
 * of a defined pool makes no virtual HBA, and so cannot be ended: nothing here ends one that was
 * started again. */

#define WWPN "5001a4a0d2aa0001"
#define VM "11111111-0000-4000-8000-000000000001"
#define POOL(parent, more)                                                                         \
    "<pool type='scsi'><name>vhba1</name><uuid>22222222-0000-4000-8000-000000000001</uuid>"        \
    "<source><adapter type='fc_host' parent='" parent "' " more "wwnn='5001a4a0d2aa0000' "         \
    "wwpn='" WWPN "'/></source><target><path>/dev/disk/by-path</path></target></pool>"
/* As udev names what is behind a virtual HBA; another HBA is another PCI device. */
#define LUN "pci-0000:04:00.1-vport-0x" WWPN "-fc-0x203400a0b85ad1d7-lun-0"

typedef struct {
    virConnectPtr a, b;
    GwHbaMove *hba;
} World;

/* The VM is off at a, with its virtual HBA on scsi_host1, which logs in as its host boots. */
void vport_open(World *world);
void vport_close(World *world);
void vport_add_lun(virConnectPtr ptr, const char *name, int mib);
/* How many virtual HBAs beside the one of the file. */
int vport_logins(virConnectPtr ptr);
/* Which HBA is to carry it; the driver's own likeness of a virtual HBA is on another, whatever is
 * asked. Free with g_free. */
char *vport_parent(virConnectPtr ptr);
/* Logs in by hand, through no pool. */
void vport_log_in(virConnectPtr ptr);
void vport_set_running(virConnectPtr ptr);
/* libvirt prints nothing. */
void vport_silent(void *user, virErrorPtr error);
