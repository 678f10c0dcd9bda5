/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"

#include "base/error.h"

/* Plans of many moves (R19, R49): the request checked, and the four steps of many.h. */

static guint length_of(char *const *list)
{
    return list != NULL ? g_strv_length((char **)list) : 0;
}

static gboolean check_size(const char *what, guint count, guint most, GError **error)
{
    if (count <= most)
        return TRUE;
    gw_error_set(error, GW_ERR_TOO_LARGE, "Make several plans, one after another.",
                 "%u %s are named; one plan takes at most %u", count, what, most);
    return FALSE;
}

static gboolean refuse(GError **error, const char *remedy, const char *what)
{
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s", what);
    return FALSE;
}

static gboolean check_hosts(const GwPlanRequest *request, GError **error)
{
    gboolean drain = request->kind == (int)GW_PLAN_DRAIN;
    gboolean named = length_of(request->hosts) > 0;

    if (drain && !named)
        return refuse(error, "Name the hosts to empty.", "a drain names no host");
    if (!drain && !named && request->undoes == NULL)
        return refuse(error, "Name the hosts, or the drain's job.",
                      "an undrain names neither a host nor a drain");
    if (length_of(request->vms) > 0)
        return refuse(error, "Name VMs in a plan of kind moves.",
                      "a plan about hosts names VMs as well");
    return TRUE;
}

static gboolean check_kind(const GwPlanRequest *request, GError **error)
{
    switch (request->kind) {
    case GW_PLAN_DRAIN:
    case GW_PLAN_UNDRAIN:
        return check_hosts(request, error);
    case GW_PLAN_MOVES:
        if (length_of(request->vms) == 0)
            return refuse(error, "Name the VMs to move.", "a plan of moves names no VM");
        if (length_of(request->hosts) > 0)
            return refuse(error, "Where VMs may go is said by destinations.",
                          "a plan of moves names hosts");
        return TRUE;
    case GW_PLAN_BALANCE:
        if (request->group == NULL)
            return refuse(error, "Name the host group.", "a balance names no host group");
        if (length_of(request->hosts) + length_of(request->destinations) > 0 || request->cold)
            return refuse(error, "Name the group alone.",
                          "a balance moves VMs that run between the hosts of its group, and "
                          "names no hosts");
        return TRUE;
    default:
        return refuse(error, "Choose drain, undrain, moves or balance.",
                      "the plan's kind is unknown");
    }
}

gboolean many_check_request(const GwPlanRequest *request, GError **error)
{
    if (request->hosts_at_once < 0 || request->moves_at_once < 0)
        return refuse(error, "0 means no limit.", "a limit of the plan is negative");
    return check_size("hosts", length_of(request->hosts), GW_PLAN_HOSTS_MAX, error) &&
           check_size("VMs", length_of(request->vms), GW_PLAN_VMS_MAX, error) &&
           check_size("VMs that stay", length_of(request->leave), GW_PLAN_VMS_MAX, error) &&
           check_size("destinations", length_of(request->destinations), GW_PLAN_HOSTS_MAX, error) &&
           check_kind(request, error);
}

void many_prepare(Many *many, const GwFabric *fabric, const GwPlanRequest *request,
                  const GwPredictor *predictor)
{
    *many =
        (Many){ .fabric = fabric,
                .request = request,
                .predictor = predictor,
                .matrix = gw_matrix_new(fabric, request->options, NULL),
                .hosts = g_array_new(FALSE, FALSE, sizeof(ManyHost)),
                .vms = g_array_new(FALSE, FALSE, sizeof(ManyVm)),
                .units = g_array_new(FALSE, FALSE, sizeof(ManyUnit)),
                .groups = g_array_new(FALSE, FALSE, sizeof(ManyGroup)),
                .others = g_array_new(FALSE, FALSE, sizeof(ManyOther)),
                .steps = g_array_new(FALSE, FALSE, sizeof(ManyStep)),
                .host_index = g_hash_table_new(g_str_hash, g_str_equal),
                .vm_index = g_hash_table_new(NULL, NULL),
                .left = g_hash_table_new(g_str_hash, g_str_equal),
                .vports = g_hash_table_new(NULL, NULL),
                .elsewhere = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)gw_vm_free),
                .notes = g_ptr_array_new_with_free_func(g_free),
                .stays = gw_record_array(&gw_planned_stay_record) };
    for (guint i = 0; request->leave != NULL && request->leave[i] != NULL; i++)
        g_hash_table_add(many->left, request->leave[i]);
}

GwMigrationPlan *gw_plan_many(const GwFabric *fabric, const GwPlanRequest *request,
                              const GwPredictor *predictor, GError **error)
{
    GwMigrationPlan *plan = NULL;
    Many many;

    if (!many_check_request(request, error))
        return NULL;
    many_prepare(&many, fabric, request, predictor);
    if (many_read(&many, error) && check_size("VMs", many.vms->len, GW_PLAN_VMS_MAX, error)) {
        if (request->kind == (int)GW_PLAN_BALANCE)
            many_balance(&many);
        else
            many_sequence(&many);
        many_schedule(&many);
        plan = many_write(&many);
    }
    many_clear(&many);
    return plan;
}
