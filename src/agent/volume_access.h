/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* What a file belongs to: owner, group, mode, access list, security label (R30). Blocks for as long
 * as the file system does. */

/* {"owner", "group", "mode", "label", "acl"}: numbers as text; null where there is none, or it is
 * not told. With @set (an object with any of them) those are set before; what is null or missing
 * there stays. With @others (an array of paths, of which the first 1024 are looked at) "same" is
 * those of them that are this very file or block device under another name. NULL with @error, which
 * says what could not be set. */
json_t *gw_volume_access(const char *path, const json_t *set, const json_t *others, GError **error);
