/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/storage.h"

/* What the files share that say what becomes of a disk's images: as they are made
 * (storage_images.c), as only what differs is sent (storage_delta.c), and what is in the way where
 * they go (storage_there.c). */

/* A size that a host says, so that sums of it do not overflow. */
#define GW_IMAGES_BYTES_MAX (G_MAXINT64 / 1024)
gint64 gw_images_bounded(gint64 bytes);
gboolean gw_images_is_qcow2(const GwVolume *volume);
/* Created exactly like @from (R30), but for where it is and, unless NULL, its @format. */
GwVolume *gw_images_like(const GwVolume *from, const char *format, gboolean device);
/* Where @to is, under @name where @place is a pool. */
void gw_images_address(const GwPlace *place, GwVolume *to, const char *name);

/* The copy of disk @target that is kept as @to; NULL: none. */
const GwKeptVolume *gw_images_kept(const GwStorage *st, const char *target, const GwVolume *to);
/* What the destination says is at @to; NULL: nothing, or it was not asked. */
const GwVolume *gw_images_there(const GwStorage *st, const GwVolume *to);
/* The VM of the destination whose disk is at @path; NULL: none that is known. */
const GwVm *gw_images_user(const GwPlanInput *input, const char *path);
/* The finding that something, used by @user (NULL: nobody that is known), is at @to already. */
/* @user: who has it, in words; NULL: nobody that is known. */
void gw_images_find_there(GwStorage *st, const char *disk, const GwVolume *to, const char *user);
/* What is in the way of a new volume: nothing, a kept copy of this disk, or something else. */
void gw_images_check_free(GwStorage *st, const GwDiskWay *way, GwImageMove *image, gboolean named);
void gw_images_check_device(GwStorage *st, const GwDiskWay *way, const GwVolume *to);
/* Two images of one VM must not become one; an image that lies below two of its disks does. FALSE:
 * it is moved with another disk already. */
gboolean gw_images_take_name(GwStorage *st, const GwDiskWay *way, GwImageMove *image);

/* FALSE: it is mirrored whole. */
gboolean gw_images_move_delta(GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                              const GPtrArray *chain);
