/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "plan/many.h"
#include "plan/rule.h"

/* What a plan rests on, a line for each: VMs, where they are and how large; hosts, what they are
 * and allow; the rules. The lines are made with the plan and stay in it, whatever somebody changes
 * of its moves: so it is the fabric alone that makes another fingerprint of them. Free memory and
 * the like are not in it: they change all the time, and are looked at before each move. */

#define DIGEST_LENGTH 16
#define LINES_MAX (2 * GW_PLAN_VMS_MAX + 2 * GW_PLAN_HOSTS_MAX + 1)

static void add_text(GChecksum *sum, const char *text)
{
    const char *word = text != NULL ? text : "-";

    g_checksum_update(sum, (const guchar *)word, -1);
    g_checksum_update(sum, (const guchar *)"\n", 1);
}

static void add_number(GChecksum *sum, gint64 number)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number);
    add_text(sum, text);
}

static char *digest_of(GChecksum *sum)
{
    char *text = g_strndup(g_checksum_get_string(sum), DIGEST_LENGTH);

    g_checksum_free(sum);
    return text;
}

typedef struct {
    const GwFabric *fabric;
    GwShapes *shapes;
    GHashTable *expected; /* uuid -> host id; of VMs that the plan has moved */
    GHashTable *known;    /* uuids that a line tells of */
} Rest;

/* uuid -> host id where the plan has taken the VM by now. "" where it may be anywhere: a move that
 * runs has a job, which knows better. */
static GHashTable *expected_hosts(const GwMigrationPlan *plan)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (move->vm_uuid == NULL || move->state == (int)GW_PLANNED_WAITING)
            continue;
        const char *at = g_hash_table_lookup(table, move->vm_uuid);
        gboolean done = move->state == (int)GW_PLANNED_DONE && (at == NULL || *at != '\0');
        g_hash_table_insert(table, move->vm_uuid,
                            done ? (gpointer)gw_plan_text(move->destination_host_id)
                                 : (gpointer) "");
    }
    return table;
}

static void rest_init(Rest *rest, const GwFabric *fabric, const GwMigrationPlan *plan)
{
    *rest = (Rest){ .fabric = fabric,
                    .shapes = gw_shapes_new(fabric, NULL, NULL),
                    .expected = expected_hosts(plan),
                    .known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
}

static void rest_clear(Rest *rest)
{
    gw_shapes_free(rest->shapes);
    g_hash_table_unref(rest->expected);
    g_hash_table_unref(rest->known);
}

/* Lines ----------------------------------------------------------------------------------------
 */

/* New VMs on a host that is being emptied, too: the drain would not be one. */
static void add_newcomers(GChecksum *sum, const Rest *rest, const char *host_id)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(rest->fabric, host_id);

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        if (gw_plan_is_live(vm) && vm->uuid != NULL &&
            !g_hash_table_contains(rest->known, vm->uuid))
            add_text(sum, vm->uuid);
    }
}

/* What the plan does with the host, beside moves: a drain itself puts it into maintenance, and an
 * undrain opens it. */
static const char *const host_words[] = { "host", "drain", "undrain" };
typedef enum { AS_IT_IS, EMPTIED, OPENED } HostUse;

static char *line_of_host(const Rest *rest, const char *id, HostUse use)
{
    const GwHost *host = gw_fabric_host(rest->fabric, id);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    const char *word = host_words[use];

    if (host == NULL) {
        g_checksum_free(sum);
        return g_strdup_printf("%s %s gone", word, id);
    }
    g_autoptr(GwHost) copy = gw_host_copy(host);
    if (use != AS_IT_IS)
        copy->maintenance = (int)GW_MAINTENANCE_NONE;
    gsize length = 0;
    const guchar *shape = gw_shapes_of_host(rest->shapes, copy, &length);
    g_checksum_update(sum, shape, (gssize)length);
    add_number(sum, host->live_limit);
    add_number(sum, host->storage_limit);
    add_number(sum, host->memory_reserve_kib);
    add_number(sum, host->cpu_reserve_percent);
    add_number(sum, host->disk_reserve_bytes);
    const GwPlacementPolicy *policy = gw_plan_policy(rest->fabric, host);
    add_number(sum, policy->memory_reserve_kib);
    add_number(sum, policy->cpu_reserve_percent);
    add_number(sum, policy->disk_reserve_bytes);
    add_number(sum, gw_plan_facts(host)->memory_kib);
    if (use == EMPTIED)
        add_newcomers(sum, rest, id);
    g_autofree char *digest = digest_of(sum);
    return g_strdup_printf("%s %s %s", word, id, digest);
}

static const GwVm *find_vm(const GwFabric *fabric, const char *uuid, const char *host_id)
{
    const GwVm *found = gw_fabric_vm(fabric, host_id, uuid);
    GHashTableIter iter;
    gpointer vms;

    if (found != NULL)
        return found;
    g_hash_table_iter_init(&iter, fabric->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vms)) {
        const GwVm *vm = g_hash_table_lookup(vms, uuid);
        if (vm != NULL && (found == NULL || gw_vm_is_active(vm)))
            found = vm;
    }
    return found;
}

/* @host_id: where it was when the plan was made; that is what is said where the plan itself has
 * moved it since. */
static char *line_of_vm(const Rest *rest, const char *uuid, const char *host_id)
{
    const char *expected = g_hash_table_lookup(rest->expected, uuid);
    const char *now_at = expected != NULL && *expected != '\0' ? expected : host_id;
    const GwVm *vm = find_vm(rest->fabric, uuid, now_at);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

    add_number(sum, vm != NULL ? gw_plan_memory_kib(vm) : 0);
    add_number(sum, vm != NULL && gw_plan_is_live(vm));
    g_autofree char *digest = digest_of(sum);
    gboolean planned = vm != NULL && ((expected != NULL && *expected == '\0') ||
                                      g_strcmp0(vm->host_id, now_at) == 0);
    return g_strdup_printf("vm %s %s %s", uuid,
                           vm == NULL ? "gone"
                           : planned  ? host_id
                                      : gw_plan_text(vm->host_id),
                           digest);
}

static char *line_of_rules(const GwFabric *fabric)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

    for (guint i = 0; i < rules->len; i++) {
        const GwPlacementRule *rule = rules->pdata[i];
        if (!rule->required || rule->disabled)
            continue;
        GString *text = g_string_new(NULL);
        gw_record_write(&gw_placement_rule_record, rule, 0, text);
        add_text(sum, text->str);
        g_string_free(text, TRUE);
    }
    g_autofree char *digest = digest_of(sum);
    return g_strdup_printf("rules %s", digest);
}

/* The line as it would be now; NULL: it is none. */
static char *line_now(const Rest *rest, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint count = g_strv_length(words);

    if (count == 2 && strcmp(words[0], "rules") == 0)
        return line_of_rules(rest->fabric);
    if (count == 2 && strcmp(words[0], "stays") == 0)
        return g_strdup(line);
    for (guint use = 0; count == 3 && use < G_N_ELEMENTS(host_words); use++) {
        if (strcmp(words[0], host_words[use]) == 0)
            return line_of_host(rest, words[1], (HostUse)use);
    }
    if (count == 4 && strcmp(words[0], "vm") == 0)
        return line_of_vm(rest, words[1], words[2]);
    return NULL;
}

/* Making them ---------------------------------------------------------------------------------- */

static void add_host(const Rest *rest, GHashTable *seen, GPtrArray *lines, const char *id,
                     HostUse use)
{
    if (id != NULL && g_hash_table_add(seen, (gpointer)id))
        g_ptr_array_add(lines, line_of_host(rest, id, use));
}

static void add_vms(const Rest *rest, const GwMigrationPlan *plan, GPtrArray *lines)
{
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (move->vm_uuid != NULL && g_hash_table_add(rest->known, g_strdup(move->vm_uuid)))
            g_ptr_array_add(lines,
                            line_of_vm(rest, move->vm_uuid, gw_plan_text(move->source_host_id)));
    }
    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (stay->vm_uuid != NULL && g_hash_table_add(rest->known, g_strdup(stay->vm_uuid)))
            g_ptr_array_add(lines, g_strdup_printf("stays %s", stay->vm_uuid));
    }
}

char **gw_plan_rests_on(const GwFabric *fabric, const GwMigrationPlan *plan)
{
    GPtrArray *lines = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    gboolean drain = plan->kind == (int)GW_PLAN_DRAIN;
    gboolean undrain = plan->kind == (int)GW_PLAN_UNDRAIN;
    char **names = plan->request != NULL ? plan->request->hosts : NULL;
    Rest rest;

    rest_init(&rest, fabric, plan);
    g_ptr_array_add(lines, line_of_rules(fabric));
    add_vms(&rest, plan, lines);
    for (guint i = 0; drain && names != NULL && names[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(fabric, names[i]);
        add_host(&rest, seen, lines, host != NULL ? host->id : NULL, EMPTIED);
    }
    for (guint i = 0; undrain && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (!move->detour)
            add_host(&rest, seen, lines, move->destination_host_id, OPENED);
    }
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        add_host(&rest, seen, lines, move->source_host_id, AS_IT_IS);
        add_host(&rest, seen, lines, move->destination_host_id, AS_IT_IS);
    }
    rest_clear(&rest);
    g_ptr_array_add(lines, NULL);
    return (char **)g_ptr_array_free(lines, FALSE);
}

/* Comparing them --------------------------------------------------------------------------------
 */

static void read_known(Rest *rest, char **lines)
{
    for (guint i = 0; lines != NULL && lines[i] != NULL; i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", 3);
        if (words[0] != NULL && words[1] != NULL &&
            (strcmp(words[0], "vm") == 0 || strcmp(words[0], "stays") == 0))
            g_hash_table_add(rest->known, g_strdup(words[1]));
    }
}

/* @change: gets the first line that is another one now (borrowed); may be NULL. */
static char *fingerprint_now(const GwFabric *fabric, const GwMigrationPlan *plan,
                             const char **change)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    char **lines = plan->rests_on;
    Rest rest;

    rest_init(&rest, fabric, plan);
    read_known(&rest, lines);
    add_number(sum, plan->kind);
    for (guint i = 0; lines != NULL && lines[i] != NULL && i < LINES_MAX; i++) {
        if (!g_hash_table_add(seen, lines[i]))
            continue; /* said twice: looked at once */
        g_autofree char *now = line_now(&rest, lines[i]);
        add_text(sum, now);
        if (change != NULL && *change == NULL && g_strcmp0(now, lines[i]) != 0)
            *change = lines[i];
    }
    rest_clear(&rest);
    char *text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

char *gw_plan_fingerprint(const GwFabric *fabric, const GwMigrationPlan *plan)
{
    return fingerprint_now(fabric, plan, NULL);
}

/* What the line is about, for people; it may be anything that somebody wrote. */
static char *words_of(const GwFabric *fabric, const GwMigrationPlan *plan, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    gboolean two = words[0] != NULL && words[1] != NULL;
    const GwHost *host = two ? gw_fabric_host(fabric, words[1]) : NULL;

    if (two && strcmp(words[0], "rules") == 0)
        return g_strdup("the set of required placement rules");
    if (two && strcmp(words[0], "vm") == 0) {
        const GwVm *vm = find_vm(fabric, words[1], NULL);
        const GwPlannedMove *move =
            gw_record_find(&gw_planned_move_record, plan->moves, "vm_uuid", words[1]);
        g_autofree char *name = gw_text_printable(vm != NULL     ? gw_plan_vm_name(vm)
                                                  : move != NULL ? gw_plan_text(move->vm_name)
                                                                 : words[1],
                                                  GW_TEXT_NAME_MAX);
        return g_strdup_printf("VM '%s'", name);
    }
    if (host != NULL)
        return g_strdup_printf("host '%s'", gw_plan_host_name(host));
    g_autofree char *text = gw_text_printable(line, GW_TEXT_NAME_MAX);
    return g_strdup_printf("what '%s' names", text);
}

gboolean gw_plan_check_drift(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    static const char remedy[] = "Make the plan again, and look at what is different.";
    const char *change = NULL;
    g_autofree char *now = fingerprint_now(fabric, plan, &change);

    if (change != NULL) {
        g_autofree char *what = words_of(fabric, plan, change);
        gw_error_set(error, GW_ERR_CONFLICT, remedy,
                     "%s has changed since the plan was made, which rests on it", what);
        return FALSE;
    }
    if (g_strcmp0(now, plan->fingerprint) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, remedy,
                 "what the plan rests on does not fit its fingerprint: it was made by another "
                 "controller, or has changed since");
    return FALSE;
}
