/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/known_hosts.h"
#include "plan/matrix.h"
#include "plan/rule.h"
#include "plan/vports.h"

/* What makes two VMs, or two hosts (shape_host.c), alike to the rules. Of a VM a copy of the record
 * is taken, what is its own alone is blanked, and the rest is the shape: a field that is added
 * later counts until somebody shows that no rule looks at it. */

struct GwShapes {
    const GwFabric *fabric;
    GHashTable *of_hosts; /* id -> what names it, sorted: shares, rules */
    GHashTable *of_vms;   /* UUID -> rules that name it, sorted; NULL: not looked for */
    GHashTable *busy;     /* UUIDs; NULL: not looked for */
    GwKnownHosts *known;
    GwKnownHosts *own; /* the same, where nobody gave any */
    guint count;       /* of numbers that were given to hosts */
    GArray *numbers;   /* guint by what is known of a host, from 1; 0: none yet */
    GHashTable *apart; /* text -> number, from 1, of hosts that something sets apart */
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

static GHashTable *table_of_words(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
}

static void sort_words(GHashTable *table)
{
    GHashTableIter iter;
    gpointer words;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &words))
        g_ptr_array_sort(words, compare_words);
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
            add_word(shapes->of_hosts, member->host_id,
                     g_strdup_printf("share %s %s", gw_plan_text(share->id),
                                     gw_plan_text(member->pool)));
        }
    }
}

/* What names the hosts, or the VMs, of a placement rule. */
typedef char **(*NamesOf)(const GwPlacementRule *rule);

static char **hosts_of(const GwPlacementRule *rule)
{
    return rule->hosts;
}

static char **vms_of(const GwPlacementRule *rule)
{
    return rule->vms;
}

/* The placement rules that name a host, or a VM. */
static void note_rules(GHashTable *table, const GwFabric *fabric, NamesOf names_of)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->rules);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwPlacementRule *rule = value;
        gboolean beside =
            rule->kind == (int)GW_RULE_KIND_TOGETHER || rule->kind == (int)GW_RULE_KIND_APART;
        char **names = rule->disabled || beside ? NULL : names_of(rule);
        for (guint i = 0; names != NULL && names[i] != NULL; i++)
            add_word(table, names[i], g_strdup_printf("rule %s", gw_plan_text(rule->id)));
    }
}

/* VMs that a job holds, or of which old copies are kept, are like no other. */
static void note_busy(GwShapes *shapes, const GwFabric *fabric)
{
    GHashTableIter iter;
    gpointer value;

    shapes->busy = g_hash_table_new(g_str_hash, g_str_equal);
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

GwShapes *gw_shapes_new(const GwFabric *fabric, const GwMoveOptions *options, GwKnownHosts *known)
{
    GwShapes *shapes = g_new0(GwShapes, 1);

    shapes->fabric = fabric;
    shapes->macs = options != NULL && options->nics != NULL && options->nics->len > 0;
    shapes->of_hosts = table_of_words();
    shapes->own = known == NULL ? gw_known_hosts_for_once() : NULL;
    shapes->known = known != NULL ? known : shapes->own;
    shapes->numbers = g_array_new(FALSE, TRUE, sizeof(guint));
    shapes->apart = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gw_known_look(shapes->known, fabric);
    note_shares(shapes, fabric);
    note_rules(shapes->of_hosts, fabric, hosts_of);
    sort_words(shapes->of_hosts);
    return shapes;
}

static void note_vport(const GwHost *host, const GwHba *hba, gpointer shapes)
{
    add_word(((GwShapes *)shapes)->of_hosts, host->id,
             g_strdup_printf("vport %s", gw_plan_text(hba->name)));
}

void gw_shapes_note_vports(GwShapes *shapes, GwPlanShared *shared)
{
    gw_vports_each_promised(shared, note_vport, shapes);
    sort_words(shapes->of_hosts);
}

void gw_shapes_free(GwShapes *shapes)
{
    if (shapes == NULL)
        return;
    g_hash_table_unref(shapes->of_hosts);
    g_clear_pointer(&shapes->of_vms, g_hash_table_unref);
    g_clear_pointer(&shapes->busy, g_hash_table_unref);
    gw_known_hosts_free(shapes->own);
    g_array_unref(shapes->numbers);
    g_hash_table_unref(shapes->apart);
    g_free(shapes);
}

static const GPtrArray *words_of_host(const GwShapes *shapes, const GwHost *host)
{
    return host->id != NULL && g_hash_table_size(shapes->of_hosts) > 0
               ? g_hash_table_lookup(shapes->of_hosts, host->id)
               : NULL;
}

gconstpointer gw_shapes_of_host(GwShapes *shapes, const GwHost *host, gsize *length)
{
    return gw_host_shape_bytes(gw_known_writer(shapes->known), host,
                               gw_known_is_twice(shapes->known, host), words_of_host(shapes, host),
                               length);
}

/* Of a host that shares and rules name, or that is not the only entry of its machine. */
static guint number_apart(GwShapes *shapes, const GwHost *host, guint known, const GPtrArray *words)
{
    GString *key = g_string_new(NULL);

    g_string_append_printf(key, "%u", known);
    if (gw_known_is_twice(shapes->known, host))
        g_string_append_printf(key, "\nmachine %s", gw_plan_facts(host)->host_uuid);
    for (guint i = 0; words != NULL && i < words->len; i++)
        g_string_append_printf(key, "\n%s", (const char *)words->pdata[i]);
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(shapes->apart, key->str));
    if (number == 0) {
        number = ++shapes->count;
        g_hash_table_insert(shapes->apart, g_strdup(key->str), GUINT_TO_POINTER(number));
    }
    g_string_free(key, TRUE);
    return number;
}

guint gw_shapes_number_of_host(GwShapes *shapes, const GwHost *host)
{
    guint known = gw_known_shape(shapes->known, host);
    const GPtrArray *words = words_of_host(shapes, host);

    if (words != NULL || gw_known_is_twice(shapes->known, host))
        return number_apart(shapes, host, known, words) - 1;
    if (shapes->numbers->len <= known)
        g_array_set_size(shapes->numbers, known + 1);
    guint *number = &g_array_index(shapes->numbers, guint, known);
    if (*number == 0)
        *number = ++shapes->count;
    return *number - 1;
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

/* Who asks about hosts alone need not read all rules and jobs. */
static void note_vms(GwShapes *shapes)
{
    if (shapes->of_vms != NULL)
        return;
    shapes->of_vms = table_of_words();
    note_rules(shapes->of_vms, shapes->fabric, vms_of);
    sort_words(shapes->of_vms);
    note_busy(shapes, shapes->fabric);
}

char *gw_shapes_of_vm(GwShapes *shapes, const GwVm *vm)
{
    note_vms(shapes);

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
    const GPtrArray *words =
        vm->uuid != NULL ? g_hash_table_lookup(shapes->of_vms, vm->uuid) : NULL;
    for (guint i = 0; words != NULL && i < words->len; i++)
        g_string_append_printf(key, "\n%s", (const char *)words->pdata[i]);
    return g_string_free(key, FALSE);
}
