/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/xml.h"
#include "model/storage.h"

/* The <source> of a disk or of an image below it, as it is to be for another image
 * (formatdomain.html, "Hard drives, floppy disks, CDROMs"). */

/* Of which type a disk is with this image; @was: of which it is, or NULL. libvirt finds a volume of
 * a pool by itself: a disk that was so named stays so named, another is only where nobody said its
 * path. Static. */
const char *gw_definition_source_type(const char *was, const GwVolume *to);
/* Takes away what was said of the old image; how its server is talked to stays where the protocol
 * does, and a person's labels where it is of the @same_nature, a file or a device here. */
void gw_definition_source_prune(xmlNode *source, const GwVolume *to, gboolean same_nature);
/* Names the image, as one of @type. */
gboolean gw_definition_source_name(xmlNode *source, const char *type, const GwVolume *to,
                                   GError **error);
