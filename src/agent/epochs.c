/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/epochs.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "agent/files.h"
#include "base/error.h"
#include "base/json.h"

#define FILE_MAX ((gsize)64 * 1024)
#define VMS_MAX 100000
#define JOB_MAX 64

typedef struct {
    gint64 epoch;
    char *job_id; /* "" where the epoch was closed before it was ever raised */
    gboolean closed;
    char *note; /* where it went; NULL: it did not leave */
    gboolean damaged;
} Entry;

struct GwEpochs {
    char *folder;
    GHashTable *entries; /* UUID -> Entry */
    GPtrArray *damaged;  /* file names, NULL-terminated */
};

static void free_entry(gpointer data)
{
    Entry *entry = data;

    g_free(entry->job_id);
    g_free(entry->note);
    g_free(entry);
}

/* Reading ------------------------------------------------------------------------------------- */

static gboolean is_uuid(const char *text)
{
    return strlen(text) == 36 && g_uuid_string_is_valid(text);
}

static gboolean decode(const json_t *json, Entry *entry)
{
    const json_t *epoch = json_object_get(json, "epoch"), *closed = json_object_get(json, "closed");
    const char *job = json_string_value(json_object_get(json, "job"));
    const json_t *left = json_object_get(json, "left");

    if (!json_is_integer(epoch) || json_integer_value(epoch) < 1 || !json_is_boolean(closed) ||
        job == NULL || strlen(job) > JOB_MAX || (left != NULL && !json_is_string(left)))
        return FALSE;
    entry->epoch = json_integer_value(epoch);
    entry->closed = json_is_true(closed);
    entry->job_id = g_strdup(job);
    entry->note = g_strdup(json_string_value(left));
    return TRUE;
}

static Entry *read_entry(const GwEpochs *epochs, const char *name)
{
    Entry *entry = g_new0(Entry, 1);
    gsize length = 0;
    g_autofree char *text = gw_files_read(epochs->folder, name, FILE_MAX, &length, NULL);
    g_autoptr(GwJson) json = text != NULL ? gw_json_parse(text, length, FILE_MAX, NULL) : NULL;

    entry->damaged = json == NULL || !decode(json, entry);
    return entry;
}

static gboolean read_all(GwEpochs *epochs, GError **error)
{
    DIR *dir = opendir(epochs->folder);
    struct dirent *found = NULL;

    if (dir == NULL) {
        gw_error_set(error, GW_ERR_STORE, "Look at the agent's state folder.", "cannot read %s: %s",
                     epochs->folder, g_strerror(errno));
        return FALSE;
    }
    while ((found = readdir(dir)) != NULL && g_hash_table_size(epochs->entries) < VMS_MAX) {
        if (!is_uuid(found->d_name))
            continue;
        Entry *entry = read_entry(epochs, found->d_name);
        if (entry->damaged)
            g_ptr_array_add(epochs->damaged, g_strdup(found->d_name));
        g_hash_table_replace(epochs->entries, g_strdup(found->d_name), entry);
    }
    closedir(dir);
    g_ptr_array_add(epochs->damaged, NULL);
    return TRUE;
}

GwEpochs *gw_epochs_open(const char *folder, GError **error)
{
    g_autoptr(GwEpochs) epochs = g_new0(GwEpochs, 1);

    epochs->folder = g_build_filename(folder, "epochs", NULL);
    epochs->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_entry);
    epochs->damaged = g_ptr_array_new_with_free_func(g_free);
    if (!gw_files_folder(folder, error) || !gw_files_folder(epochs->folder, error) ||
        !read_all(epochs, error))
        return NULL;
    return g_steal_pointer(&epochs);
}

void gw_epochs_free(GwEpochs *epochs)
{
    if (epochs == NULL)
        return;
    g_free(epochs->folder);
    g_hash_table_unref(epochs->entries);
    g_ptr_array_unref(epochs->damaged);
    g_free(epochs);
}

/* Writing ------------------------------------------------------------------------------------- */

static gboolean write_entry(const GwEpochs *epochs, const char *vm_uuid, const Entry *entry,
                            GError **error)
{
    g_autoptr(GwJson) json =
        json_pack("{s:I, s:s, s:b, s:s*}", "epoch", (json_int_t)entry->epoch, "job", entry->job_id,
                  "closed", entry->closed, "left", entry->note);
    g_autofree char *text = gw_json_text(json);

    return gw_files_write(epochs->folder, vm_uuid, text, strlen(text), error);
}

/* On disk first: what could not be written did not happen. */
static gboolean put(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                    gboolean closed, const char *note, GError **error)
{
    Entry *entry = g_new0(Entry, 1);

    entry->epoch = epoch;
    entry->job_id = g_strdup(job_id);
    entry->closed = closed;
    entry->note = g_strdup(note);
    if (!write_entry(epochs, vm_uuid, entry, error)) {
        g_prefix_error(error, "the epoch of VM %s: ", vm_uuid);
        free_entry(entry);
        return FALSE;
    }
    g_hash_table_replace(epochs->entries, g_strdup(vm_uuid), entry);
    return TRUE;
}

static gboolean find(const GwEpochs *epochs, const char *vm_uuid, gint64 epoch, Entry **entry,
                     GError **error)
{
    if (vm_uuid == NULL || !is_uuid(vm_uuid) || epoch < 1) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no VM's UUID, or no epoch");
        return FALSE;
    }
    *entry = g_hash_table_lookup(epochs->entries, vm_uuid);
    if (*entry != NULL && (*entry)->damaged) {
        gw_error_set(error, GW_ERR_STORE,
                     "See where the VM runs; then remove the file and restart the agent.",
                     "%s/%s is damaged: which move of the VM was the last is not known here",
                     epochs->folder, vm_uuid);
        return FALSE;
    }
    return TRUE;
}

/* Whether leave of @epoch for @job_id is (still) good beside what is known. */
static gboolean judge(const Entry *entry, gint64 epoch, const char *job_id, GError **error)
{
    static const char remedy[] = "Move the VM again: each move has a new epoch.";

    if (entry->epoch > epoch)
        gw_error_set(error, GW_ERR_CONFLICT, remedy,
                     "epoch %" G_GINT64_FORMAT " of the VM is over: this host has seen %" //
                     G_GINT64_FORMAT,
                     epoch, entry->epoch);
    else if (entry->epoch == epoch && entry->closed)
        gw_error_set(error, GW_ERR_CONFLICT, remedy,
                     "epoch %" G_GINT64_FORMAT " of the VM is closed", epoch);
    else if (entry->epoch == epoch && strcmp(entry->job_id, job_id) != 0)
        gw_error_set(error, GW_ERR_CONFLICT, remedy,
                     "epoch %" G_GINT64_FORMAT " of the VM belongs to job %s", epoch,
                     entry->job_id);
    else
        return TRUE;
    return FALSE;
}

gboolean gw_epochs_raise(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error)
{
    Entry *entry = NULL;

    if (!find(epochs, vm_uuid, epoch, &entry, error))
        return FALSE;
    if (job_id == NULL || *job_id == '\0' || strlen(job_id) > JOB_MAX) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no job, or one with too long a name");
        return FALSE;
    }
    if (entry == NULL && g_hash_table_size(epochs->entries) >= VMS_MAX) {
        gw_error_set(error, GW_ERR_STORE, "Remove the files of VMs that are no more.",
                     "%s holds %d VMs already", epochs->folder, VMS_MAX);
        return FALSE;
    }
    if (entry != NULL && !judge(entry, epoch, job_id, error))
        return FALSE;
    if (entry != NULL && entry->epoch == epoch)
        return TRUE;
    return put(epochs, vm_uuid, epoch, job_id, FALSE, entry != NULL ? entry->note : NULL, error);
}

gboolean gw_epochs_check(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, const char *job_id,
                         GError **error)
{
    Entry *entry = NULL;

    if (!find(epochs, vm_uuid, epoch, &entry, error))
        return FALSE;
    if (entry == NULL || entry->epoch < epoch) {
        gw_error_set(error, GW_ERR_CONFLICT, "Let the controller give this host leave first.",
                     "this host was given no leave for epoch %" G_GINT64_FORMAT " of the VM",
                     epoch);
        return FALSE;
    }
    return judge(entry, epoch, job_id != NULL ? job_id : "", error);
}

gint64 gw_epochs_seen(const GwEpochs *epochs, const char *vm_uuid)
{
    const Entry *entry = g_hash_table_lookup(epochs->entries, vm_uuid);
    return entry != NULL ? entry->epoch : 0;
}

gboolean gw_epochs_close(GwEpochs *epochs, const char *vm_uuid, gint64 epoch, GError **error)
{
    Entry *entry = NULL;

    if (!find(epochs, vm_uuid, epoch, &entry, error))
        return FALSE;
    if (entry == NULL)
        return put(epochs, vm_uuid, epoch, "", TRUE, NULL, error);
    if (entry->epoch > epoch || (entry->epoch == epoch && entry->closed))
        return TRUE;
    return put(epochs, vm_uuid, epoch, entry->epoch == epoch ? entry->job_id : "", TRUE,
               entry->note, error);
}

/* VMs that left ------------------------------------------------------------------------------- */

gboolean gw_epochs_set_left(GwEpochs *epochs, const char *vm_uuid, const char *note, GError **error)
{
    Entry *entry = NULL;

    if (!find(epochs, vm_uuid, 1, &entry, error))
        return FALSE;
    if (entry == NULL && note == NULL)
        return TRUE;
    if (entry == NULL || (note != NULL && strlen(note) > GW_EPOCHS_NOTE_MAX)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the VM has no epoch here, or too long a note");
        return FALSE;
    }
    if (g_strcmp0(entry->note, note) == 0)
        return TRUE;
    g_autofree char *job_id = g_strdup(entry->job_id);
    return put(epochs, vm_uuid, entry->epoch, job_id, entry->closed, note, error);
}

const char *gw_epochs_left(const GwEpochs *epochs, const char *vm_uuid)
{
    const Entry *entry = g_hash_table_lookup(epochs->entries, vm_uuid);
    return entry != NULL ? entry->note : NULL;
}

char **gw_epochs_list_left(const GwEpochs *epochs)
{
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    GHashTableIter iter;
    gpointer key = NULL, value = NULL;

    g_hash_table_iter_init(&iter, epochs->entries);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (((const Entry *)value)->note != NULL)
            g_strv_builder_add(list, key);
    }
    return g_strv_builder_end(list);
}

const char *const *gw_epochs_damaged(const GwEpochs *epochs)
{
    return (const char *const *)epochs->damaged->pdata;
}
