/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scenario.h"

#include <string.h>

#include "base/error.h"
#include "plan/restart.h"

/* @over on top of a copy of @base: objects are merged, everything else is replaced. */
static json_t *merged(json_t *base, json_t *over)
{
    json_t *out = json_deep_copy(base);
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach (over, key, value) {
        json_t *old = json_object_get(out, key);
        json_object_set_new(out, key,
                            json_is_object(old) && json_is_object(value) ? merged(old, value)
                                                                         : json_deep_copy(value));
    }
    return out;
}

static void merge_each(json_t *list, json_t *base)
{
    for (gsize i = 0; i < json_array_size(list); i++)
        json_array_set_new(list, i, merged(base, json_array_get(list, i)));
}

static void set_default(json_t *object, const char *key, const char *begin, const char *end)
{
    g_autofree char *text = g_strconcat(begin, end, NULL);
    if (json_object_get(object, key) == NULL)
        json_object_set_new(object, key, json_string(text));
}

static json_t *complete_host(json_t *base, json_t *over)
{
    json_t *host = merged(json_object_get(base, "host"), over);
    const char *id = json_string_value(json_object_get(host, "id"));
    json_t *facts = json_object_get(host, "facts");

    set_default(host, "name", "", id);
    g_autofree char *machine = g_strconcat(id, ".example.org/system", NULL);
    set_default(host, "uri", "qemu+ssh://root@", machine);
    if (json_is_object(facts)) {
        set_default(facts, "host_uuid", "uuid-of-", id);
        merge_each(json_object_get(facts, "pools"), json_object_get(base, "pool"));
    } else {
        json_object_del(host, "facts"); /* null: it has not answered yet */
    }
    return host;
}

static json_t *complete_vm(json_t *base, json_t *over)
{
    json_t *vm = merged(json_object_get(base, "vm"), over);
    merge_each(json_object_get(vm, "disks"), json_object_get(base, "disk"));
    merge_each(json_object_get(vm, "nics"), json_object_get(base, "nic"));
    return vm;
}

static json_t *complete_job(json_t *base, json_t *over)
{
    return merged(json_object_get(base, "job"), over);
}

static json_t *complete_share(json_t *base, json_t *over)
{
    return json_incref(over);
}

typedef json_t *(*Complete)(json_t *base, json_t *over);

static gboolean load(json_t *base, json_t *list, Complete complete, const GwRecord *record,
                     GwFabric *fabric, void (*put)(GwFabric *fabric, gpointer item), GError **error)
{
    for (gsize i = 0; i < json_array_size(list); i++) {
        g_autoptr(GwJson) json = complete(base, json_array_get(list, i));
        gpointer item = gw_record_from_json(record, json, error);
        if (item == NULL)
            return FALSE;
        put(fabric, item);
    }
    return TRUE;
}

static void put_host(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_host(fabric, item);
}

/* As the engine does where a VM's definition is read. */
static void put_vm(GwFabric *fabric, gpointer item)
{
    GwVm *vm = item;

    if (vm->next != NULL) {
        g_clear_pointer(&vm->restart_changes, g_ptr_array_unref);
        vm->restart_changes = gw_plan_restart_changes(gw_fabric_host(fabric, vm->host_id), vm);
    }
    gw_fabric_put_vm(fabric, item);
}

static void put_share(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_share(fabric, item);
}

static void put_kept(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_kept(fabric, item);
}

static void put_group(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_group(fabric, item);
}

static void put_rule(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_rule(fabric, item);
}

static void put_job(GwFabric *fabric, gpointer item)
{
    gw_fabric_put_job(fabric, item);
}

static gboolean load_all(Scenario *s, json_t *base, json_t *in, GError **error)
{
    g_autoptr(GwJson) hosts = json_pack("[{s:s},{s:s}]", "id", "kvm1", "id", "kvm2");
    g_autoptr(GwJson) vms = json_pack("[{}]");
    json_t *their_hosts = json_object_get(in, "hosts");
    json_t *their_vms = json_object_get(in, "vms");

    return load(base, their_hosts != NULL ? their_hosts : hosts, complete_host, &gw_host_record,
                s->fabric, put_host, error) &&
           load(base, their_vms != NULL ? their_vms : vms, complete_vm, &gw_vm_record, s->fabric,
                put_vm, error) &&
           load(base, json_object_get(in, "shares"), complete_share, &gw_share_record, s->fabric,
                put_share, error) &&
           load(base, json_object_get(in, "jobs"), complete_job, &gw_job_record, s->fabric, put_job,
                error) &&
           load(base, json_object_get(in, "groups"), complete_share, &gw_group_record, s->fabric,
                put_group, error) &&
           load(base, json_object_get(in, "rules"), complete_share, &gw_placement_rule_record,
                s->fabric, put_rule, error) &&
           load(base, json_object_get(in, "kept"), complete_share, &gw_kept_volume_record,
                s->fabric, put_kept, error);
}

static gboolean read_question(Scenario *s, json_t *base, json_t *in, GError **error)
{
    static const char *const verdicts[] = { "unknown", "compatible", "incompatible", NULL };
    static const GwEnum verdict_enum = { "CpuVerdict", verdicts };
    json_t *options = json_object_get(in, "options");
    json_t *first = json_array_get(json_object_get(in, "vms"), 0);
    g_autoptr(GwJson) vm = complete_vm(base, first);
    const char *destination = json_string_value(json_object_get(in, "destination"));
    const char *cpu = json_string_value(json_object_get(in, "cpu"));

    s->vm = gw_fabric_vm(s->fabric, json_string_value(json_object_get(vm, "host_id")),
                         json_string_value(json_object_get(vm, "uuid")));
    s->destination = gw_fabric_find_host(s->fabric, destination);
    s->cpu = cpu != NULL ? (GwCpuVerdict)gw_enum_value(&verdict_enum, cpu) : GW_CPU_UNKNOWN;
    s->cpu_why = g_strdup(json_string_value(json_object_get(in, "cpu_why")));
    s->job_id = g_strdup(json_string_value(json_object_get(in, "job_id")));
    s->predict = json_is_true(json_object_get(in, "predict"));
    s->rate = json_is_true(json_object_get(in, "rate"));
    s->place = json_object_get(in, "place") != NULL;
    s->where = g_strdup(json_string_value(json_object_get(in, "place")));
    s->peer_to_peer = json_is_true(json_object_get(in, "peer_to_peer"));
    if (options != NULL)
        s->options = gw_record_from_request(&gw_move_options_record, options, error);
    if (s->vm == NULL || (destination != NULL && s->destination == NULL)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the scenario's VM or destination is missing");
        return FALSE;
    }
    return options == NULL || s->options != NULL;
}

/* A list that the hosts were asked for; absent: they were not. */
static gboolean read_list(json_t *in, const char *key, const GwRecord *record, GPtrArray **out,
                          GError **error)
{
    json_t *list = json_object_get(in, key);

    if (list == NULL)
        return TRUE;
    *out = gw_record_array(record);
    for (gsize i = 0; i < json_array_size(list); i++) {
        gpointer item = gw_record_from_json(record, json_array_get(list, i), error);
        if (item == NULL)
            return FALSE;
        g_ptr_array_add(*out, item);
    }
    return TRUE;
}

static gboolean read_answers(Scenario *s, json_t *in, GError **error)
{
    return read_list(in, "images", &gw_disk_images_record, &s->images, error) &&
           read_list(in, "there", &gw_volume_record, &s->there, error) &&
           read_list(in, "reached", &gw_disk_reached_record, &s->reached, error);
}

Scenario *scenario_new(json_t *base, json_t *in, GError **error)
{
    Scenario *s = g_new0(Scenario, 1);

    s->fabric = gw_fabric_new();
    if (load_all(s, base, in, error) && read_question(s, base, in, error) &&
        read_answers(s, in, error))
        return s;
    scenario_free(s);
    return NULL;
}

void scenario_free(Scenario *s)
{
    gw_fabric_unref(s->fabric);
    gw_move_options_free(s->options);
    g_clear_pointer(&s->images, g_ptr_array_unref);
    g_clear_pointer(&s->there, g_ptr_array_unref);
    g_clear_pointer(&s->reached, g_ptr_array_unref);
    g_free(s->cpu_why);
    g_free(s->job_id);
    g_free(s->where);
    g_free(s);
}

GwPlanInput scenario_input(const Scenario *s)
{
    return (GwPlanInput){
        .fabric = s->fabric,
        .vm = s->vm,
        .source = gw_fabric_host(s->fabric, s->vm->host_id),
        .destination = s->destination,
        .options = s->options,
        .cpu = s->cpu,
        .cpu_why = s->cpu_why,
        .job_id = s->job_id,
        .images = s->images,
        .there = s->there,
        .reached = s->reached,
    };
}

void scenario_complete_plan(json_t *in)
{
    json_t *list = json_object_get(in, "vms");

    for (gsize i = 0; i < json_array_size(list); i++) {
        json_t *vm = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(vm, "name"));
        g_autofree char *path = g_strdup_printf("/srv/vms/%s.qcow2", name);
        if (json_object_get(vm, "uuid") == NULL)
            json_object_set_new(vm, "uuid", json_string(name));
        if (json_object_get(vm, "disks") == NULL)
            json_object_set_new(vm, "disks",
                                json_pack("[{s:s, s:s}]", "source", path, "cache", "none"));
    }
}

static int compare_words(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *scenario_folders(const char *root)
{
    GPtrArray *folders = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(root, 0, &error);
    const char *name = NULL;

    if (dir == NULL)
        g_error("%s", error->message);
    while ((name = g_dir_read_name(dir)) != NULL) {
        char *path = g_build_filename(root, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            g_ptr_array_add(folders, path);
        else
            g_free(path);
    }
    g_ptr_array_sort(folders, compare_words);
    return folders;
}
