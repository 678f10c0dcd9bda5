/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"

/* Preflight: the source is asked for the VM as it is now, the destination for its facts, for a
 * remnant of the same VM and for its opinion of the VM's CPU; then the planner judges. */

typedef struct {
    char *vm_uuid, *source_id, *destination_id;
    char *own_job_id; /* the job being checked: it does not stand in its own way */
    GwMoveOptions *options;
    CheckFn done;
    gpointer user;
    guint outstanding;
    GError *error;
    GwVm *vm;
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
    plan->script_cli = gw_plan_script_cli(input);
    plan->script_virsh = gw_plan_script_virsh(input, decision, TRUE);
    return plan;
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

static void judge(GwEngine *engine, Check *check, CheckResult *result)
{
    const GwFabric *fabric = gw_engine_now(engine);
    GwPlanInput input = {
        .fabric = fabric,
        .vm = check->vm,
        .source = gw_fabric_host(fabric, check->source_id),
        .destination = gw_fabric_host(fabric, check->destination_id),
        .options = check->options,
        .cpu = check->cpu,
        .cpu_why = check->cpu_why,
        .job_id = check->own_job_id,
    };
    if (input.source == NULL || input.destination == NULL) {
        gw_error_set(&result->error, GW_ERR_NOT_FOUND, NULL, "a host of the move was removed");
        return;
    }
    result->vm = gw_vm_copy(check->vm);
    result->decision = gw_plan_decide(&input);
    result->plan = make_plan(&input, result->decision);
    if (result->plan->candidate->suitable)
        return;
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
    gw_vm_free(result.vm);
    g_clear_error(&result.error);
    check_free(check);
}

/* One of several answers is in. */
static void answered(GwEngine *engine, Check *check, const GwReply *reply,
                     void (*all)(GwEngine *, Check *))
{
    if (reply->error != NULL && check->error == NULL)
        check->error = g_error_copy(reply->error);
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
    finish(engine, check);
}

static void compare_cpu(GwEngine *engine, Check *check)
{
    if (check->error != NULL || check->vm->cpu_xml == NULL) {
        finish(engine, check);
        return;
    }
    GwRequest *request = gw_request_new(GW_OP_CPU_COMPARE, check->destination_id, check->vm_uuid);
    request->text = g_strdup(check->vm->cpu_xml);
    request->text2 = g_strdup(check->vm->machine);
    request->number = g_strcmp0(check->vm->virt_type, "qemu") == 0;
    gw_engine_ask(engine, request, compared, NULL, (gint64)GPOINTER_TO_SIZE(check));
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
    answered(engine, check, reply, compare_cpu);
}

static void destination_vm(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    if (reply->error == NULL)
        gw_inventory_put_vm(engine, check->destination_id, check->vm_uuid, reply->vms);
    answered(engine, check, reply, compare_cpu);
}

static void destination_facts(GwEngine *engine, const GwReply *reply, const char *key,
                              gint64 number)
{
    Check *check = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    if (reply->error == NULL)
        gw_inventory_put_facts(engine, check->destination_id, reply->facts);
    answered(engine, check, reply, compare_cpu);
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
    check->outstanding = 3;
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, source_id, vm_uuid), source_vm, NULL,
                  number);
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, destination_id, vm_uuid), destination_vm,
                  NULL, number);
    gw_engine_ask(engine, gw_request_new(GW_OP_FACTS, destination_id, NULL), destination_facts,
                  NULL, number);
}
