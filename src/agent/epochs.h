/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Each VM's highest epoch that this host has seen, on disk, across restarts (RECOVERY.md): leave
 * for an older move of the VM is refused, also where the controller that gave it never learned of
 * the newer one. An epoch is closed when its move is over; a closed one is refused as well, so a
 * ticket cannot be used again. */
typedef struct GwEpochs GwEpochs;

GwEpochs *gw_epochs_open(const char *folder, GError **error);
void gw_epochs_free(GwEpochs *epochs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwEpochs, gw_epochs_free)
/* Raises the VM's epoch and makes it durable before it returns TRUE. Lower, or closed: CONFLICT;
 * disk full: STORE, and nothing is changed. The same epoch again, by the same job: TRUE. */
gboolean gw_epochs_raise(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error);
gboolean gw_epochs_check(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error);
gboolean gw_epochs_close(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, GError **error);
