/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/attest.h"
#include "agent/warden_internal.h"

typedef struct {
    GwWarden *warden;
    char *vm_uuid;
    gint64 epoch;
    GwWardenSaw saw;
    gpointer user;
} Look;

gint64 gw_warden_count(const GwWarden *warden, const char *vm_uuid, GwVmProcess *first)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) found = gw_attest_processes(warden->paths.proc_folder, vm_uuid, &error);

    if (found == NULL) {
        g_warning("%s", error->message);
        return -1;
    }
    if (warden->paths.shared_kernel)
        gw_attest_keep_own(warden->paths.proc_folder, found);
    if (first != NULL && found->len > 0)
        *first = g_array_index(found, GwVmProcess, 0);
    return found->len;
}

static GwWord word_of(const GwWarden *warden, const char *vm_uuid, const GwReply *reply)
{
    const GwLook *look = reply->look;
    GwWord word = GW_WORD_UNKNOWN;

    if (reply->error != NULL || look == NULL)
        return word;
    word.side = gw_side_of(look->present, look->state, look->reason);
    word.job_active = look->job_active;
    word.persistent = look->persistent;
    g_strlcpy(word.reason, look->reason != NULL ? look->reason : "", sizeof word.reason);
    word.processes = gw_warden_count(warden, vm_uuid, NULL);
    return word;
}

static void looked(const GwReply *reply, gpointer user)
{
    Look *look = user;
    GwWord word = word_of(look->warden, look->vm_uuid, reply);

    if (reply->error != NULL)
        g_debug("look at VM %s: %s", look->vm_uuid, reply->error->message);
    look->saw(look->warden, look->vm_uuid, look->epoch, &word, look->user);
    g_free(look->vm_uuid);
    g_free(look);
}

void gw_warden_look(GwWarden *warden, const char *vm_uuid, gint64 epoch, GwWardenSaw saw,
                    gpointer user)
{
    Look *look = g_new0(Look, 1);

    *look = (Look){ warden, g_strdup(vm_uuid), epoch, saw, user };
    gw_virt_ask(warden->virt, GW_OP_LOOK, vm_uuid, 0, GW_WARDEN_LOOK_US, looked, look);
}
