/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the planner takes for large fabrics, and how well its drains do: bench/run plan. Prints one
 * JSON object. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "fabric.h"
#include "makespan.h"
#include "plan/matrix.h"
#include "plan/plan.h"

static guint hosts = 1000, vms = 10000, drained = 100, rules = 200, runs = 5;
static gint seed = 1;

static const GOptionEntry entries[] = {
    { "hosts", 0, 0, G_OPTION_ARG_INT, &hosts, "of the fabric (1000)", "N" },
    { "vms", 0, 0, G_OPTION_ARG_INT, &vms, "of the fabric (10000)", "N" },
    { "drained", 0, 0, G_OPTION_ARG_INT, &drained, "hosts that are emptied (100)", "N" },
    { "rules", 0, 0, G_OPTION_ARG_INT, &rules, "placement rules (200)", "N" },
    { "runs", 0, 0, G_OPTION_ARG_INT, &runs, "of each (5)", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the fabric (1)", "N" },
    { .long_name = NULL },
};

/* Of this process's CPU time: others may be busy beside it. */
static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static double resident_mib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static void add(json_t *out, const char *key, double value)
{
    json_t *list = json_object_get(out, key);

    if (list == NULL) {
        list = json_array();
        json_object_set_new(out, key, list);
    }
    json_array_append_new(list, json_real(value));
}

/* How a list of candidates is asked for. */
typedef struct {
    const char *key;
    guint told; /* so many of it in words */
    gboolean kept, explained;
} Way;

static const Way ways[] = {
    { "rated_ms", 0, TRUE, FALSE },
    { "told_ms", GW_TOLD_MAX, TRUE, FALSE },
    { "anew_ms", 0, FALSE, FALSE },
    { "explained_ms", 0, FALSE, TRUE },
};

/* Every host as a destination of one VM, rated and sorted. */
static GPtrArray *rate(const GwFabric *fabric, const GwVm *vm, const Way *way, GwKnownHosts *known)
{
    return way->explained ? gw_plan_candidates(fabric, vm, NULL)
                          : gw_plan_ranking(fabric, vm, NULL, way->told, way->kept ? known : NULL);
}

static void rate_one(const GwFabric *fabric, guint run, const Way *way, GwKnownHosts *known,
                     json_t *out)
{
    g_autofree char *uuid = fabric_vm_uuid(run * 97 % vms);
    const GwVm *vm = gw_fabric_find_vm(fabric, uuid, NULL);
    double begun = now_ms();
    g_autoptr(GPtrArray) candidates = rate(fabric, vm, way, known);

    add(out, way->key, now_ms() - begun);
    if (candidates->len != hosts)
        g_error("%u candidates", candidates->len);
}

/* As a controller is asked: what it knows of hosts it keeps from one list to the next. */
static void rate_some(const GwFabric *fabric, json_t *out)
{
    g_autoptr(GwKnownHosts) known = gw_known_hosts_new();
    const GwVm *vm = gw_fabric_find_vm(fabric, "vm00000", NULL);

    g_ptr_array_unref(gw_plan_ranking(fabric, vm, NULL, 0, known));
    for (guint w = 0; w < G_N_ELEMENTS(ways); w++) {
        for (guint i = 0; i < runs; i++)
            rate_one(fabric, i, &ways[w], known, out);
    }
}

/* Every VM against every host. */
static void whole_matrix(const GwFabric *fabric, json_t *out)
{
    double begun = now_ms();
    g_autoptr(GwMatrix) matrix = gw_matrix_new(fabric, NULL, NULL);
    g_autoptr(GPtrArray) list = gw_fabric_list_hosts(fabric);
    g_autofree guint *shapes = g_new(guint, list->len);
    guint64 possible = 0, pairs = 0;

    for (guint h = 0; h < list->len; h++)
        shapes[h] = gw_matrix_host_shape(matrix, list->pdata[h]);
    for (guint s = 0; s < list->len; s++) {
        g_autoptr(GPtrArray) own = gw_fabric_list_vms(fabric, ((GwHost *)list->pdata[s])->id);
        for (guint v = 0; v < own->len; v++) {
            guint shape = gw_matrix_vm_shape(matrix, own->pdata[v]);
            for (guint h = 0; h < list->len; h++) {
                if (h == s)
                    continue;
                possible += gw_matrix_cell(matrix, own->pdata[v], shape, list->pdata[h], shapes[h])
                                ->possible;
                pairs++;
            }
        }
    }
    add(out, "matrix_ms", now_ms() - begun);
    add(out, "matrix_verdicts", gw_matrix_verdicts(matrix));
    add(out, "matrix_possible", pairs > 0 ? (double)possible / (double)pairs : 0);
}

static GwMigrationPlan *drain(const GwFabric *fabric, json_t *out)
{
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_autoptr(GError) error = NULL;

    request->kind = (int)GW_PLAN_DRAIN;
    for (guint i = 0; i < drained; i++) {
        g_autofree char *id = fabric_host_id(i * (hosts / drained));
        g_strv_builder_add(names, id);
    }
    request->hosts = g_strv_builder_end(names);
    double begun = now_ms();
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    GwMigrationPlan *plan = gw_plan_many(fabric, request, predictor, &error);
    if (plan == NULL)
        g_error("%s", error->message);
    add(out, "drain_ms", now_ms() - begun);
    if (!gw_plan_many_check(fabric, plan, &error))
        g_error("%s", error->message);
    return plan;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("");
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) out = json_object();

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || hosts < 2 || drained < 1 ||
        drained >= hosts || vms < 1 || runs < 1) {
        fprintf(stderr, "bench-plan: %s\n", error != NULL ? error->message : "wrong numbers");
        return 2;
    }
    const FabricOptions options = { .seed = (guint32)seed,
                                    .hosts = hosts,
                                    .vms = vms,
                                    .hosts_per_share = 100,
                                    .rules = rules,
                                    .full_percent = 60,
                                    .local_percent = 2,
                                    .off_percent = 5,
                                    .odd_percent = 2 };
    g_autoptr(GwFabric) fabric = fabric_make(&options);
    add(out, "fabric_mib", resident_mib());
    rate_some(fabric, out);
    for (guint i = 0; i < runs; i++)
        whole_matrix(fabric, out);
    add(out, "matrix_mib", resident_mib());
    for (guint i = 0; i + 1 < runs; i++)
        gw_migration_plan_free(drain(fabric, out));
    g_autoptr(GwMigrationPlan) plan = drain(fabric, out);
    add(out, "drain_mib", resident_mib());
    add(out, "drain_moves", plan->moves->len);
    add(out, "drain_stays", plan->stays->len);
    add(out, "predicted_s", (double)plan->total_ms->likely / 1000);
    makespan_compare(fabric, plan, out);
    g_autofree char *text = gw_json_text(out);
    puts(text);
    return 0;
}
