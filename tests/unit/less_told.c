/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "less_told.h"

#include "plan/restart.h"

static gboolean happens(const LessTold *how, guint percent)
{
    return (guint)g_rand_int_range(how->random, 0, 100) < percent;
}

static gint64 extreme(const LessTold *how, const GwField *field)
{
    gint64 most = field->min == 0 && field->max == 0 ? G_MAXINT64 : field->max;
    return g_rand_boolean(how->random) ? field->min : most;
}

/* By which others know it: without that it would be something else. */
static gboolean is_identity(const GwField *field)
{
    static const char *const names[] = { "id", "uuid", "host_id", "vm_uuid", NULL };
    return g_strv_contains(names, field->name);
}

static void thin(const GwRecord *record, json_t *json, const LessTold *how)
{
    for (const GwField *field = record->fields; field->name != NULL; field++) {
        json_t *value = json_object_get(json, field->name);
        if (value == NULL || is_identity(field))
            continue;
        if ((field->flags & GW_REQUIRED) == 0 && happens(how, how->percent)) {
            json_object_del(json, field->name);
            continue;
        }
        if (field->type == GW_OBJECT)
            thin(field->of, value, how);
        else if (field->type == GW_INT && happens(how, how->extremes))
            json_object_set_new(json, field->name, json_integer(extreme(how, field)));
        for (gsize i = 0; field->type == GW_ARRAY && i < json_array_size(value); i++)
            thin(field->of, json_array_get(value, i), how);
    }
}

static gpointer thinner(const GwRecord *record, gconstpointer item, const LessTold *how)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) json = gw_record_to_json(record, item);

    thin(record, json, how);
    gpointer copy = gw_record_from_stored(record, json, &error);
    if (copy == NULL)
        g_error("%s", error->message);
    return copy;
}

static void thin_list(const GwRecord *record, GPtrArray *list, const LessTold *how)
{
    for (guint i = 0; list != NULL && i < list->len; i++) {
        gpointer whole = list->pdata[i];
        list->pdata[i] = thinner(record, whole, how);
        gw_record_free(record, whole);
    }
}

/* As the engine does with what a host says of a VM. */
static void put_vm(GwFabric *fabric, GwVm *vm)
{
    g_clear_pointer(&vm->restart_changes, g_ptr_array_unref);
    if (vm->next != NULL)
        vm->restart_changes = gw_plan_restart_changes(gw_fabric_host(fabric, vm->host_id), vm);
    gw_fabric_put_vm(fabric, vm);
}

static void thin_jobs(GwFabric *fabric, const LessTold *how)
{
    g_autoptr(GList) jobs = g_hash_table_get_values(fabric->jobs);

    for (const GList *at = jobs; at != NULL; at = at->next)
        gw_fabric_put_job(fabric, thinner(&gw_job_record, at->data, how));
}

void less_told(Scenario *s, const LessTold *how)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(s->fabric);
    g_autofree char *uuid = g_strdup(s->vm->uuid);
    g_autofree char *at = g_strdup(s->vm->host_id);
    g_autofree char *to = s->destination != NULL ? g_strdup(s->destination->id) : NULL;

    for (guint i = 0; i < hosts->len; i++)
        gw_fabric_put_host(s->fabric, thinner(&gw_host_record, hosts->pdata[i], how));
    g_autoptr(GPtrArray) now = gw_fabric_list_hosts(s->fabric);
    for (guint i = 0; i < now->len; i++) {
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(s->fabric, ((GwHost *)now->pdata[i])->id);
        for (guint k = 0; k < vms->len; k++)
            put_vm(s->fabric, thinner(&gw_vm_record, vms->pdata[k], how));
    }
    thin_jobs(s->fabric, how);
    thin_list(&gw_disk_images_record, s->images, how);
    thin_list(&gw_volume_record, s->there, how);
    thin_list(&gw_disk_reached_record, s->reached, how);
    s->vm = gw_fabric_vm(s->fabric, at, uuid);
    s->destination = to != NULL ? gw_fabric_host(s->fabric, to) : NULL;
}
