/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/matrix.h"
#include "plan/rule.h"

/* What makes two VMs, or two hosts, alike to the rules. A copy of the record is taken, what is its
 * own alone is blanked, and the rest is the shape: a field that is added later counts until
 * somebody shows that no rule looks at it. */

struct GwShapes {
    GHashTable *named; /* id of a host, uuid of a VM -> what names it: shares, rules */
    GHashTable *busy;  /* uuids */
    GHashTable *twice; /* UUIDs of machines that several hosts claim to be */
    gboolean macs;     /* adapters are told apart: networks were chosen for some */
};

static void blank(char **text)
{
    g_clear_pointer(text, g_free);
}

/* Only whether there is one. */
static void flatten_number(gint64 *number)
{
    *number = *number > 0;
}

static void replace(char **text, char *with)
{
    g_free(*text);
    *text = with;
}

/* That it is remote, and how, but not where. */
static void blank_address(char **uri, const char *id)
{
    g_autofree char *address = *uri != NULL ? gw_host_uri_address(*uri) : NULL;
    const char *begin = address != NULL ? strstr(*uri, address) : NULL;

    if (begin != NULL)
        replace(uri,
                g_strdup_printf("%.*s*%s", (int)(begin - *uri), *uri, begin + strlen(address)));
    begin = *uri != NULL && id != NULL && *id != '\0' ? strstr(*uri, id) : NULL;
    if (begin != NULL)
        replace(uri, g_strdup_printf("%.*s*%s", (int)(begin - *uri), *uri, begin + strlen(id)));
}

static void blank_agent(GwAgentFacts *agent)
{
    blank(&agent->boot_id);
    blank(&agent->certificate_serial);
    blank(&agent->certificate_expires_at);
    g_clear_pointer(&agent->interfaces, g_ptr_array_unref);
    g_clear_pointer(&agent->links, g_ptr_array_unref);
    g_clear_pointer(&agent->warnings, g_strfreev);
    agent->clock_offset_ms = agent->resident_bytes = agent->sessions = agent->streams = 0;
    for (guint i = 0; agent->file_systems != NULL && i < agent->file_systems->len; i++) {
        GwFileSystem *fs = agent->file_systems->pdata[i];
        fs->capacity_bytes = fs->available_bytes = 0;
    }
}

static void blank_facts(GwHostFacts *facts, gboolean own_uuid)
{
    if (!own_uuid)
        blank(&facts->host_uuid);
    blank(&facts->hostname);
    flatten_number(&facts->memory_kib);
    facts->free_memory_kib = 0;
    g_clear_pointer(&facts->usage, gw_host_usage_free);
    if (facts->agent != NULL)
        blank_agent(facts->agent);
    for (guint i = 0; facts->pools != NULL && i < facts->pools->len; i++) {
        GwPool *pool = facts->pools->pdata[i];
        flatten_number(&pool->capacity_bytes);
        pool->available_bytes = 0;
    }
    for (guint i = 0; facts->hbas != NULL && i < facts->hbas->len; i++) {
        GwHba *hba = facts->hbas->pdata[i];
        blank(&hba->wwnn);
        blank(&hba->wwpn);
        hba->max_vports = hba->max_vports > hba->vports; /* whether it has room for one */
        hba->vports = 0;
    }
}

/* id -> GPtrArray of words, in an order of their own: tables have none. */
static void add_word(GHashTable *table, const char *id, char *word)
{
    GPtrArray *words = id != NULL ? g_hash_table_lookup(table, id) : NULL;

    if (words == NULL && id != NULL) {
        words = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(table, (gpointer)id, words);
    }
    if (words != NULL)
        g_ptr_array_add(words, word);
    else
        g_free(word);
}

static int compare_words(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void append_words(GString *key, GHashTable *table, const char *id)
{
    GPtrArray *words = id != NULL ? g_hash_table_lookup(table, id) : NULL;

    if (words != NULL)
        g_ptr_array_sort(words, compare_words);
    for (guint i = 0; words != NULL && i < words->len; i++)
        g_string_append_printf(key, "\n%s", (const char *)words->pdata[i]);
}

/* The shares that each host is a member of, and by which pools. */
static void note_shares(GwShapes *shapes, const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->shares);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwShare *share = value;
        for (guint i = 0; share->members != NULL && i < share->members->len; i++) {
            const GwShareMember *member = share->members->pdata[i];
            add_word(shapes->named, member->host_id,
                     g_strdup_printf("share %s %s", gw_plan_text(share->id),
                                     gw_plan_text(member->pool)));
        }
    }
}

/* The placement rules that name a host or a VM. */
static void note_rules(GwShapes *shapes, const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->rules);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwPlacementRule *rule = value;
        gboolean beside =
            rule->kind == (int)GW_RULE_KIND_TOGETHER || rule->kind == (int)GW_RULE_KIND_APART;
        if (rule->disabled || beside)
            continue;
        for (guint i = 0; rule->hosts != NULL && rule->hosts[i] != NULL; i++)
            add_word(shapes->named, rule->hosts[i],
                     g_strdup_printf("rule %s", gw_plan_text(rule->id)));
        for (guint i = 0; rule->vms != NULL && rule->vms[i] != NULL; i++)
            add_word(shapes->named, rule->vms[i],
                     g_strdup_printf("rule %s", gw_plan_text(rule->id)));
    }
}

/* VMs that a job holds, or of which old copies are kept, are like no other. */
static void note_busy(GwShapes *shapes, const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!gw_job_state_is_final((GwJobState)job->state) && job->vm_uuid != NULL)
            g_hash_table_add(shapes->busy, job->vm_uuid);
    }
    g_hash_table_iter_init(&iter, fabric->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (kept->vm_uuid != NULL)
            g_hash_table_add(shapes->busy, kept->vm_uuid);
    }
}

/* Two entries of one machine are told from two machines by it. */
static void note_machines(GwShapes *shapes, const GwFabric *fabric)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        char *uuid = gw_plan_facts(value)->host_uuid;
        if (uuid != NULL && !g_hash_table_add(seen, uuid))
            g_hash_table_add(shapes->twice, uuid);
    }
}

GwShapes *gw_shapes_new(const GwFabric *fabric, const GwMoveOptions *options)
{
    GwShapes *shapes = g_new0(GwShapes, 1);

    shapes->macs = options != NULL && options->nics != NULL && options->nics->len > 0;
    shapes->named =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
    shapes->busy = g_hash_table_new(g_str_hash, g_str_equal);
    shapes->twice = g_hash_table_new(g_str_hash, g_str_equal);
    note_shares(shapes, fabric);
    note_rules(shapes, fabric);
    note_busy(shapes, fabric);
    note_machines(shapes, fabric);
    return shapes;
}

void gw_shapes_free(GwShapes *shapes)
{
    if (shapes == NULL)
        return;
    g_hash_table_unref(shapes->named);
    g_hash_table_unref(shapes->busy);
    g_hash_table_unref(shapes->twice);
    g_free(shapes);
}

char *gw_shapes_of_host(const GwShapes *shapes, const GwHost *host)
{
    const char *uuid = gw_plan_facts(host)->host_uuid;
    g_autoptr(GwHost) copy = gw_host_copy(host);
    GString *key = g_string_new(NULL);

    blank_address(&copy->uri, host->id);
    blank_address(&copy->peer_uri, host->id);
    blank(&copy->id);
    blank(&copy->name);
    blank(&copy->group_id);
    blank(&copy->migration_address);
    blank(&copy->status_reason);
    blank(&copy->status_remedy);
    blank(&copy->last_seen);
    blank(&copy->agent_certificate_serial);
    blank(&copy->agent_certificate_expires_at);
    copy->live_in_use = copy->storage_in_use = 0;
    flatten_number(&copy->live_limit);
    flatten_number(&copy->storage_limit);
    copy->memory_reserve_kib = copy->cpu_reserve_percent = copy->disk_reserve_bytes = 0;
    if (copy->facts != NULL)
        blank_facts(copy->facts, uuid != NULL && g_hash_table_contains(shapes->twice, uuid));
    gw_record_write(&gw_host_record, copy, 0, key);
    append_words(key, shapes->named, host->id);
    return g_string_free(key, FALSE);
}

/* An ordinary file: what rules see of its path is the folder. Two disks in one file stay two disks
 * in one file, and a name that cannot be a volume's stays as it is. */
static gboolean blank_file(const GwVm *vm, guint disk_index, char **source)
{
    const char *slash = *source != NULL ? strrchr(*source, '/') : NULL;

    if (slash == NULL || **source != '/' || g_str_has_prefix(*source, "/dev/") ||
        !gw_volume_check_name(slash + 1, NULL))
        return FALSE;
    guint same = disk_index;
    for (guint i = 0; i < disk_index; i++) {
        const GwDisk *other = vm->disks->pdata[i];
        if (other->source != NULL && g_str_has_suffix(other->source, slash)) {
            same = i;
            break;
        }
    }
    replace(source, g_strdup_printf("%.*s/%u", (int)(slash - *source), *source, same));
    return TRUE;
}

/* FALSE: there is none like it. */
static gboolean blank_disk(const GwVm *vm, guint index, GwDisk *disk)
{
    if (disk->serial != NULL)
        replace(&disk->serial, g_strdup("*"));
    if (disk->wwn != NULL)
        replace(&disk->wwn, g_strdup("*"));
    if (disk->shareable || disk->block_job)
        return FALSE;
    if (disk->source == NULL)
        return TRUE;
    return g_strcmp0(disk->type, "file") == 0 && blank_file(vm, index, &disk->source);
}

char *gw_shapes_of_vm(const GwShapes *shapes, const GwVm *vm)
{
    g_autoptr(GwVm) copy = gw_vm_copy(vm);
    GString *key = g_string_new(NULL);
    gboolean alike =
        vm->uuid != NULL && vm->job_id == NULL && !g_hash_table_contains(shapes->busy, vm->uuid);

    for (guint i = 0; copy->disks != NULL && i < copy->disks->len; i++)
        alike = blank_disk(vm, i, copy->disks->pdata[i]) && alike;
    for (guint i = 0; copy->nics != NULL && i < copy->nics->len; i++) {
        GwNic *nic = copy->nics->pdata[i];
        if (!shapes->macs)
            blank(&nic->mac);
        blank(&nic->target);
        if (gw_nic_is_none(nic)) /* it is called as its device is */
            blank(&nic->source);
    }
    if (copy->nvram != NULL)
        alike = blank_file(vm, 0, &copy->nvram) && alike;
    if (alike) {
        blank(&copy->uuid);
        blank(&copy->name);
    }
    blank(&copy->host_id);
    blank(&copy->state_reason);
    flatten_number(&copy->memory_kib);
    flatten_number(&copy->max_memory_kib);
    g_clear_pointer(&copy->usage, gw_vm_usage_free);
    gw_record_write(&gw_vm_record, copy, 0, key);
    append_words(key, shapes->named, vm->uuid);
    return g_string_free(key, FALSE);
}
