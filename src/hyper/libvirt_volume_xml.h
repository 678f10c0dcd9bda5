/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/storage.h"

/* Volumes as libvirt writes and wants them in XML. Pure functions: no connection, no I/O. */

/* A volume of libvirt's; pool stays NULL, and backing_format is what libvirt says, which may be
 * what it probed (hyper/qcow2.h). */
GwVolume *gw_libvirt_volume_from_xml(const char *text, GError **error);
/* When the volume's content was last written, as libvirt says it ("1700000000.123"); NULL where it
 * does not. Free with g_free. */
char *gw_libvirt_volume_mtime(const char *text);

/* What libvirt is to make of @volume in a pool of type @pool_type. An error where such a pool, or
 * libvirt, cannot make it exactly so. Free with g_free. */
char *gw_libvirt_volume_to_xml(const GwVolume *volume, const char *pool_type, GError **error);
/* A pool that shows one folder. */
char *gw_libvirt_folder_xml(const char *name, const char *folder);

/* Whether @path is absolute and names one file: no ".", "..", empty component, control character,
 * or trailing slash; of bounded length. */
gboolean gw_libvirt_path_check(const char *path, GError **error);
/* What backing file @backing of the image at @image is: its absolute path, or an error where it is
 * no file of the host (json:, nbd://, …). Free with g_free. */
char *gw_libvirt_backing_path(const char *image, const char *backing, GError **error);
/* Whether a fresh image of the format, capacity and cluster size of @volume can be as @found: it
 * was never written to. FALSE where that cannot be told. */
gboolean gw_libvirt_volume_is_fresh(const GwVolume *found, const GwVolume *volume);
/* Whether the definition of a domain names @path, or volume @name of @pool (NULL: in none), other
 * than in its metadata: as a disk, below one, as a mirror, NVRAM, kernel, … @vm (may be NULL) is
 * set to its name then. Its TPM's state counts as named. TRUE with *@vm "…" where it cannot be
 * read. */
gboolean gw_libvirt_domain_names(const char *text, const char *path, const char *pool,
                                 const char *name, char **vm);
#define GW_LIBVIRT_BLOCK_DEVICES_MAX 256
/* The block devices that the disks of a domain's definition name, and what lies below them; the
 * first GW_LIBVIRT_BLOCK_DEVICES_MAX. Free with g_strfreev. */
char **gw_libvirt_domain_devices(const char *text);
/* The targets in what virConnectFindStoragePoolSources found: array of char *. */
GPtrArray *gw_libvirt_sources_targets(const char *text);
