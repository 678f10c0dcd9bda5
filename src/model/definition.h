/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/storage.h"

/* A VM's definition (domain XML) as it is to be elsewhere. Through libxml2, never by text: what is
 * not known here is kept as it is. */

/* @xml with the sources of the disks of @disks (GwDiskMove) as they become: type, path, pool,
 * device or server, format, and what lies below it (none where it was flattened; a chain whose
 * images moved is named anew). "nvram" changes <os><nvram>. Disks that stay are left alone. An
 * error where a disk is not there, or @xml cannot be read. Free with g_free. */
char *gw_definition_with_disks(const char *xml, const GPtrArray *disks, GError **error);
/* The same of a running VM's inactive definition: a disk that was plugged in for the time it runs
 * is not in it, and left out. */
char *gw_definition_inactive(const char *xml, const GPtrArray *disks, GError **error);
/* The same with both definitions inside a snapshot's XML; a disk that it does not have is left out
 * of it: the snapshot may be older. */
char *gw_definition_snapshot(const char *xml, const GPtrArray *disks, GError **error);
/* @xml with discard "unmap" for the disks of @targets: without it QEMU writes zeroes where a mirror
 * asks for a hole. Of a running VM's definition alone: it is not what the VM's owner chose. */
char *gw_definition_unmap(const char *xml, const char *const *targets, GError **error);
/* The <disk> of @target as gw_definition_with_disks would make it, alone, and named by its path
 * where there is one: what libvirt's block copy is given. */
char *gw_definition_disk(const char *xml, const char *target, const GwVolume *volume,
                         GError **error);
