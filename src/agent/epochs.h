/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Each VM's highest epoch that this host has seen, on disk, across restarts (RECOVERY.md): leave
 * for an older move of the VM is refused, also where the controller that gave it never learned of
 * the newer one. An epoch is closed when its move is over; a closed one is refused as well, so a
 * ticket cannot be used again. One file for each VM (FOLDER/epochs/UUID): a damaged one is of one
 * VM, whose moves are refused until a person has looked. */
typedef struct GwEpochs GwEpochs;

#define GW_EPOCHS_NOTE_MAX 16384 /* bytes */

GwEpochs *gw_epochs_open(const char *folder, GError **error);
void gw_epochs_free(GwEpochs *epochs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwEpochs, gw_epochs_free)
/* Raises the VM's epoch and makes it durable before it returns TRUE. Lower, or closed: CONFLICT;
 * disk full: STORE, and nothing is changed. The same epoch again, by the same job: TRUE. */
gboolean gw_epochs_raise(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error);
gboolean gw_epochs_check(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error);
/* The highest epoch that was seen of the VM, open or closed; 0: none. */
gint64 gw_epochs_seen(const GwEpochs *epochs, const char *vm_uuid);
/* Durable before it returns TRUE; TRUE also where it is closed already, where a newer one is open,
 * and where there was none (then it is written: a ticket of it may still be under way). */
gboolean gw_epochs_close(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, GError **error);

/* Remembers that the VM left this host in its current epoch, with @note (where it went), until NULL
 * says that it is back. A failed move back changes nothing of it. */
gboolean gw_epochs_set_left(GwEpochs *epochs, const char *vm_uuid, const char *note,
                            GError **error);
/* The note, or NULL where the VM did not leave. Belongs to @epochs. */
const char *gw_epochs_left(const GwEpochs *epochs, const char *vm_uuid);
/* The VMs that left; free with g_strfreev. */
char **gw_epochs_list_left(const GwEpochs *epochs);
/* The files that could not be read; NULL-terminated, belongs to @epochs. */
const char *const *gw_epochs_damaged(const GwEpochs *epochs);
