/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* Preflight: the source is asked for the VM as it is now, the destination for its facts and for a
 * remnant of the same VM; then, at once, for its opinion of the VM's CPU and both for the storage
 * that would be copied (check_storage.c); then the planner judges. */

typedef struct {
    char *vm_uuid, *source_id, *destination_id;
    char *own_job_id; /* the job being checked: it does not stand in its own way */
    GwMoveOptions *options;
    CheckFn done;
    gpointer user;
    guint outstanding;
    GError *error;
    GwVm *vm;
    StorageCheck *storage;
    GwCpuVerdict cpu;
    char *cpu_why;
} Check;

/* It travels with its requests as their number: each is answered exactly once, by the driver or by
 * its deadline, and the last answer ends the check. */

static void check_free(Check *check)
{
    g_free(check->vm_uuid);
    g_free(check->source_id);
    g_free(check->destination_id);
    g_free(check->own_job_id);
    gw_move_options_free(check->options);
    g_clear_error(&check->error);
    gw_storage_check_free(check->storage);
    gw_vm_free(check->vm);
    g_free(check->cpu_why);
    g_free(check);
}

static GwMovePlan *make_plan(const GwPlanInput *input, const GwMoveDecision *decision)
{
    GwMovePlan *plan = gw_move_plan_new();

    plan->vm_uuid = g_strdup(input->vm->uuid);
    plan->vm_name = g_strdup(input->vm->name);
    plan->source_host_id = g_strdup(input->source->id);
    plan->source_host_name = g_strdup(input->source->name);
    plan->candidate = gw_plan_candidate(input);
    plan->commit_by_resume = decision->commit_by_resume;
    plan->method = g_strdup(decision->method_words);
    return plan;
}

void gw_check_take(CheckResult *result, GwJob *job)
{
    g_clear_pointer(&job->disks, g_ptr_array_unref);
    job->disks = g_steal_pointer(&result->disks);
    g_clear_pointer(&job->nics, g_ptr_array_unref);
    job->nics = g_steal_pointer(&result->nics);
    g_clear_pointer(&job->hbas, g_ptr_array_unref);
    job->hbas = g_steal_pointer(&result->hbas);
    job->transfer = result->plan->candidate->transfer;
}

/* Moves of a plan, and jobs that begin, are checked far more often than anybody looks. */
void gw_check_explain(CheckResult *result)
{
    const GwPlanInput *input = &result->input;
    GwMovePlan *plan = result->plan;
    g_autoptr(GwMoveDecision) decision = gw_plan_decide(input);

    if (input->source != input->destination)
        gw_plan_rate(input, plan->candidate);
    plan->script_cli = gw_plan_script_cli(input);
    plan->script_virsh = gw_plan_script_virsh(input, decision, TRUE);
}

void gw_check_reserve(CheckResult *result)
{
    if (result->error == NULL && result->input.source != result->input.destination)
        gw_plan_keeps_reserve(&result->input, &result->error);
}

static GError *refusal(const GwCandidate *candidate, const char *vm_name)
{
    GError *error = NULL;

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        if (finding->severity != GW_SEVERITY_ERROR)
            continue;
        gw_error_set(&error, GW_ERR_REFUSED, finding->remedy, "'%s' cannot move to %s: %s; %s (%s)",
                     vm_name, candidate->host_name, finding->observed, finding->required,
                     finding->requirement);
        return error;
    }
    gw_error_set(&error, GW_ERR_REFUSED, NULL, "'%s' cannot move to %s", vm_name,
                 candidate->host_name);
    return error;
}

static GPtrArray *disks_of(const GwPlanInput *input)
{
    g_autoptr(GwStoragePlan) plan = gw_plan_storage(input);
    return g_ptr_array_ref(plan->disks);
}

static void judge(GwEngine *engine, Check *check, CheckResult *result)
{
    GwPlanInput *input = &result->input;

    if (!gw_storage_check_input(engine, check->storage, input)) {
        gw_error_set(&result->error, GW_ERR_NOT_FOUND, NULL, "a host of the move was removed");
        return;
    }
    input->cpu = check->cpu;
    input->cpu_why = check->cpu_why;
    result->vm = gw_vm_copy(check->vm);
    result->decision = gw_plan_decide(input);
    result->plan = make_plan(input, result->decision);
    gw_predictions_add(engine, input, result->plan->candidate);
    if (result->plan->candidate->suitable) {
        result->disks = disks_of(input);
        if (result->plan->candidate->nics != NULL)
            result->nics = g_ptr_array_ref(result->plan->candidate->nics);
        result->hbas = g_ptr_array_ref(result->plan->candidate->hbas);
        return;
    }
    result->error = refusal(result->plan->candidate, check->vm->name);
    g_clear_pointer(&result->decision, gw_move_decision_free);
}

static void finish(GwEngine *engine, Check *check)
{
    CheckResult result = { 0 };

    if (check->error != NULL)
        result.error = g_steal_pointer(&check->error);
    else
        judge(engine, check, &result);
    check->done(engine, &result, check->user);
    gw_move_plan_free(result.plan);
    gw_move_decision_free(result.decision);
    g_clear_pointer(&result.disks, g_ptr_array_unref);
    g_clear_pointer(&result.nics, g_ptr_array_unref);
    g_clear_pointer(&result.hbas, g_ptr_array_unref);
    gw_vm_free(result.vm);
    g_clear_error(&result.error);
    check_free(check);
}

/* One of several answers is in. */
static void answered(GwEngine *engine, Check *check, const GError *error,
                     void (*all)(GwEngine *, Check *))
{
    if (error != NULL && check->error == NULL)
        check->error = g_error_copy(error);
    if (--check->outstanding == 0)
        all(engine, check);
}

static void compared(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    /* "Cannot tell" (old libvirt, odd CPU) is not a verdict; the rule says so as a warning. */
    if (reply->error == NULL)
        check->cpu = reply->verdict ? GW_CPU_COMPATIBLE : GW_CPU_INCOMPATIBLE;
    check->cpu_why = g_strdup(reply->error == NULL ? reply->text : reply->error->message);
    answered(engine, check, NULL, finish);
}

static gboolean is_one_host(const Check *check)
{
    return g_strcmp0(check->source_id, check->destination_id) == 0;
}

static void compare_cpu(GwEngine *engine, Check *check)
{
    if (check->vm->cpu_xml == NULL || is_one_host(check))
        return;
    check->outstanding++;
    GwRequest *request = gw_request_new(GW_OP_CPU_COMPARE, check->destination_id, check->vm_uuid);
    request->text = g_strdup(check->vm->cpu_xml);
    request->text2 = g_strdup(check->vm->machine);
    request->number = g_strcmp0(check->vm->virt_type, "qemu") == 0;
    gw_engine_ask(engine, request, compared, NULL, (gint64)GPOINTER_TO_SIZE(check));
}

static void storage_told(GwEngine *engine, const GError *error, gpointer user)
{
    answered(engine, user, error, finish);
}

/* Both are asked at once: each takes a round trip. */
static void ask_more(GwEngine *engine, Check *check)
{
    if (check->error != NULL) {
        finish(engine, check);
        return;
    }
    check->storage = gw_storage_check_new((StorageAsk){
        .vm = check->vm,
        .source_id = check->source_id,
        .destination_id = check->destination_id,
        .own_job_id = check->own_job_id,
        .options = check->options,
    });
    check->outstanding = 1;
    compare_cpu(engine, check);
    gw_storage_check_begin(engine, check->storage, storage_told, check);
}

static void source_vm(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    if (reply->error == NULL) {
        gw_inventory_put_vm(engine, check->source_id, check->vm_uuid, reply->vms);
        const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), check->source_id, check->vm_uuid);
        if (vm != NULL)
            check->vm = gw_vm_copy(vm);
        else if (check->error == NULL)
            gw_error_set(&check->error, GW_ERR_NOT_FOUND, "Look where it is now: godwit vm list.",
                         "the VM is not on its host any more");
    }
    answered(engine, check, reply->error, ask_more);
}

static void destination_vm(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    if (reply->error == NULL)
        gw_inventory_put_vm(engine, check->destination_id, check->vm_uuid, reply->vms);
    answered(engine, check, reply->error, ask_more);
}

static void destination_facts(GwEngine *engine, const GwReply *reply, const char *key,
                              gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    if (reply->error == NULL)
        gw_inventory_put_facts(engine, check->destination_id, reply->facts);
    answered(engine, check, reply->error, ask_more);
}

void gw_check_begin(GwEngine *engine, const char *vm_uuid, const char *source_id,
                    const char *destination_id, const GwMoveOptions *options,
                    const char *own_job_id, CheckFn done, gpointer user)
{
    Check *check = g_new0(Check, 1);
    gint64 number = (gint64)GPOINTER_TO_SIZE(check);

    check->vm_uuid = g_strdup(vm_uuid);
    check->source_id = g_strdup(source_id);
    check->destination_id = g_strdup(destination_id);
    check->own_job_id = g_strdup(own_job_id);
    check->options = gw_move_options_copy(options);
    check->done = done;
    check->user = user;
    check->outstanding = is_one_host(check) ? 2 : 3;
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, source_id, vm_uuid), source_vm, NULL,
                  number);
    if (!is_one_host(check))
        gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, destination_id, vm_uuid), destination_vm,
                      NULL, number);
    gw_engine_ask(engine, gw_request_new(GW_OP_FACTS, destination_id, NULL), destination_facts,
                  NULL, number);
}
