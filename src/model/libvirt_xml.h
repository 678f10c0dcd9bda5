/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/xml.h"
#include "model/host.h"
#include "model/vm.h"

/* What libvirt says in XML, as records. Pure functions of hostile text: no connection, no I/O; unit
 * tests and a fuzzer call them. */

#define GW_LIBVIRT_DEVICES_MAX 1024 /* of one kind in one VM; the rest is named in vm->error */
#define GW_LIBVIRT_CPU_XML_MAX (64 * 1024) /* bytes; a larger <cpu> is left out */
#define GW_LIBVIRT_VALUE_MAX 4096          /* bytes of one name, path or address */

/* A domain's definition. State, snapshots and the like are not in it and stay zero. What is there
 * but unusable (a path that is too long, too many devices) is left out and named in vm->error. */
GwVm *gw_libvirt_vm_from_xml(const char *text, GError **error);
/* The UUID of a domain's definition, in lower case. Free with g_free. */
char *gw_libvirt_uuid_from_xml(const char *text, GError **error);
/* A storage pool's definition: name, type, where it is seen and what it is. */
GwPool *gw_libvirt_pool_from_xml(const char *text, GError **error);
/* A node device that is an HBA of NPIV; NULL without an error where it is another device. */
GwHba *gw_libvirt_hba_from_xml(const char *text, GError **error);
/* A libvirt network; its bridge is NULL where it has none. */
GwNetwork *gw_libvirt_network_from_xml(const char *text, GError **error);
/* A host interface that is a bridge, as a network of kind "bridge"; NULL: it is none. */
GwNetwork *gw_libvirt_bridge_from_xml(const char *text);
/* host_uuid, arch, cpu_xml, cpu_model and machines of virConnectGetCapabilities. */
gboolean gw_libvirt_capabilities_into(GwHostFacts *facts, const char *text, GError **error);

/* libvirt_xml_cpu.c. What a <cpu> element says, without its text. Names that are none of a feature
 * or model are left out, and those above GW_CPU_FEATURES_MAX. */
GwCpu *gw_libvirt_cpu_read(GwXml *xml, xmlNode *cpu);
/* The same of a text of its own, with it. */
GwCpu *gw_libvirt_cpu_from_xml(const char *text, GError **error);
/* What the hypervisor can give VMs, of virConnectGetDomainCapabilities, without .features (which
 * only libvirt can expand); NULL: nothing that can be used. */
GwHostCpu *gw_libvirt_host_cpu_from_xml(const char *text);
/* What a definition asks for at the next start: machine and CPU. */
GwVmNext *gw_libvirt_next_from_xml(const char *text, GError **error);

/* One disk of a running VM, as a block job of libvirt leaves its traces in the definition. */
typedef struct {
    char *source;       /* as GwDisk says it: path, pool/volume, protocol:name; NULL: no medium */
    char *backing_path; /* the image right below it; NULL: none, or not told */
    char *mirror;       /* what it is copied or merged to; NULL: no such job */
    char *job;          /* copy, active-commit */
    gboolean ready;     /* that holds all that the disk does */
} GwLibvirtDisk;
void gw_libvirt_disk_clear(GwLibvirtDisk *disk);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwLibvirtDisk, gw_libvirt_disk_clear)
/* FALSE: there is no such disk, or no such XML. */
gboolean gw_libvirt_disk_from_xml(const char *text, const char *target, GwLibvirtDisk *disk,
                                  GError **error);
/* The targets of a definition's disks. Free with g_strfreev; NULL where it cannot be read. */
char **gw_libvirt_targets_from_xml(const char *text, GError **error);
/* The name of a snapshot. Free with g_free. */
char *gw_libvirt_snapshot_from_xml(const char *text, GError **error);
