/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "domain_checks.h"
#include "plan/dumps.h"
#include "plan/plan.h"

#define GIB ((gint64)1 << 30)

/* Two hosts that can do anything, so that what a VM is judged by is its own definition. */

static void add_pool(GwHostFacts *facts, const char *name, const char *type, const char *path,
                     const char *source)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup(name);
    pool->type = g_strdup(type);
    pool->target_path = g_strdup(path);
    pool->source = g_strdup(source);
    pool->active = TRUE;
    pool->capacity_bytes = 1000 * GIB;
    pool->available_bytes = 900 * GIB;
    g_ptr_array_add(facts->pools, pool);
}

static void add_host(GwFabric *fabric, const char *id)
{
    static const char *const machines[] = { "pc-q35-8.2", "pc-i440fx-8.2", NULL };
    static const char *const bridges[] = { "br0", NULL };
    GwHost *host = gw_host_new_default();
    GwHostFacts *facts = gw_host_facts_new();
    GwNetwork *network = gw_network_new();

    host->id = g_strdup(id);
    host->name = g_strdup(id);
    host->uri = g_strdup_printf("qemu+ssh://%s/system", id);
    host->status = (int)GW_HOST_OK_LIMITED;
    host->facts = facts;
    facts->host_uuid = g_strdup_printf("%s-uuid", id);
    facts->arch = g_strdup("x86_64");
    facts->cpus = 16;
    facts->memory_kib = facts->free_memory_kib = 1024 * 1024 * 1024;
    facts->libvirt_version = 11003000;
    facts->qemu_version = 10000000;
    facts->machines = g_strdupv((char **)machines);
    facts->bridges = g_strdupv((char **)bridges);
    facts->networks = gw_record_array(&gw_network_record);
    network->name = g_strdup("default");
    network->kind = g_strdup("libvirt");
    network->active = TRUE;
    g_ptr_array_add(facts->networks, network);
    facts->pools = gw_record_array(&gw_pool_record);
    add_pool(facts, "default", "dir", "/var/lib/libvirt/images", NULL);
    add_pool(facts, "nas", "netfs", "/srv/nas", "nas.example.org:/export");
    gw_fabric_put_host(fabric, host);
}

static gboolean is_said(const char *text)
{
    return text != NULL && *text != '\0' && g_utf8_validate(text, -1, NULL);
}

char *gw_check_findings(const GPtrArray *findings, GwDomainTally *tally)
{
    for (guint i = 0; i < findings->len; i++) {
        const GwFinding *f = findings->pdata[i];
        if (!is_said(f->rule) || !is_said(f->requirement) || !is_said(f->observed) ||
            !is_said(f->required) || !is_said(f->remedy))
            return g_strdup_printf("finding %u (%s) does not say all: observed '%s', required "
                                   "'%s', remedy '%s'",
                                   i, f->rule, f->observed, f->required, f->remedy);
        if (f->severity == (int)GW_SEVERITY_ERROR)
            tally->errors++;
        else
            tally->warnings++;
        if (tally->rules != NULL) {
            guint count = GPOINTER_TO_UINT(g_hash_table_lookup(tally->rules, f->rule));
            g_hash_table_replace(tally->rules, g_strdup(f->rule), GUINT_TO_POINTER(count + 1));
        }
    }
    return NULL;
}

static gboolean blocks(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        if (((const GwFinding *)findings->pdata[i])->severity == (int)GW_SEVERITY_ERROR)
            return TRUE;
    }
    return FALSE;
}

static char *check_lines(char **lines, const char *what)
{
    g_auto(GStrv) owned = lines;

    if (owned == NULL || owned[0] == NULL)
        return g_strdup_printf("a move that can be done has no %s script", what);
    for (guint i = 0; owned[i] != NULL; i++) {
        if (!is_said(owned[i]))
            return g_strdup_printf("line %u of the %s script is empty or no UTF-8", i, what);
    }
    return NULL;
}

/* A move that can be done can be decided and written down. */
static char *check_decision(const GwPlanInput *input)
{
    g_autoptr(GwMoveDecision) decision = gw_plan_decide(input);
    char *wrong = NULL;

    if (!is_said(decision->method_words))
        return g_strdup("its method is not said");
    if (g_strcmp0(input->source->id, input->destination->id) != 0 &&
        (wrong = check_lines(gw_plan_script_virsh(input, decision, FALSE), "virsh")) != NULL)
        return wrong;
    return check_lines(gw_plan_script_cli(input), "godwit");
}

static char *check_candidate(const GwPlanInput *input, GwDomainTally *tally)
{
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(input);
    char *wrong = gw_check_findings(candidate->findings, tally);

    tally->verdicts++;
    tally->suitable += candidate->suitable;
    if (wrong != NULL)
        return wrong;
    if (candidate->suitable == blocks(candidate->findings))
        return g_strdup("whether it is suitable is not what its findings say");
    for (guint i = 0; i < candidate->transfers->len; i++) {
        const GwTransferOption *option = candidate->transfers->pdata[i];
        if (!is_said(option->explanation))
            return g_strdup_printf("transfer type %d is not explained", option->transfer);
    }
    for (guint i = 0; i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        if (!is_said(move->why))
            return g_strdup_printf("how disk %s goes is not explained", move->target);
    }
    gw_plan_rate(input, candidate);
    if (candidate->rating == NULL)
        return g_strdup("it is not rated");
    return candidate->suitable ? check_decision(input) : NULL;
}

static char *check_ways(GwPlanInput *input, GwDomainTally *tally)
{
    static const GwMoveOptions ways[] = {
        { .copy_all = FALSE },
        { .copy_all = TRUE, .storage = (char *)"default" },
        { .copy_all = TRUE, .storage = (char *)"nas", .flatten = TRUE },
    };
    char *wrong = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(ways) && wrong == NULL; i++) {
        input->options = &ways[i];
        wrong = check_candidate(input, tally);
    }
    return wrong;
}

static char *check_outlooks(const GPtrArray *transfers, GwDomainTally *tally)
{
    for (guint i = 0; i < transfers->len; i++) {
        const GwTransferOutlook *outlook = transfers->pdata[i];
        char *wrong = gw_check_findings(outlook->findings, tally);
        if (wrong != NULL)
            return wrong;
        if (!is_said(outlook->explanation))
            return g_strdup_printf("outlook of type %d is not explained", outlook->transfer);
        for (guint k = 0; outlook->depends[k] != NULL; k++) {
            if (!is_said(outlook->depends[k]))
                return g_strdup_printf("what type %d depends on is not said", outlook->transfer);
        }
    }
    return NULL;
}

/* The same from the dump alone, and with a host's capabilities. */
static char *check_explanation(const GwDumps *dumps, GwDomainTally *tally)
{
    g_autoptr(GwExplanation) explanation = gw_plan_explain_dumps(dumps);
    char *wrong = gw_check_findings(explanation->findings, tally);

    tally->verdicts++;
    if (wrong != NULL || (wrong = check_outlooks(explanation->transfers, tally)) != NULL)
        return wrong;
    if (blocks(explanation->findings) && !explanation->refused)
        return g_strdup("what blocks a move does not refuse it");
    for (guint i = 0; i < explanation->untold->len; i++) {
        const GwUntold *untold = explanation->untold->pdata[i];
        if (!is_said(untold->required) || !is_said(untold->tells) || untold->rules[0] == NULL)
            return g_strdup_printf("of %s it is not said how to learn it", untold->subject);
    }
    return NULL;
}

static char *check_dumps(const GwVm *vm, const GwHostFacts *facts, GwDomainTally *tally)
{
    char *wrong = NULL;

    for (int way = 0; way < 4 && wrong == NULL; way++) {
        const GwDumps dumps = { vm, (way & 1) != 0, NULL, (way & 2) != 0 ? facts : NULL };
        wrong = check_explanation(&dumps, tally);
    }
    return wrong;
}

char *gw_check_verdicts(const GwVm *vm, GwDomainTally *tally)
{
    static const GwVmState states[] = { GW_VM_RUNNING, GW_VM_OFF };
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    char *wrong = NULL;

    add_host(fabric, "kvm1");
    add_host(fabric, "kvm2");
    for (guint s = 0; s < G_N_ELEMENTS(states) && wrong == NULL; s++) {
        GwVm *own = gw_vm_copy(vm);
        g_free(own->host_id);
        own->host_id = g_strdup("kvm1");
        own->state = (int)states[s];
        own->persistent = TRUE;
        gw_fabric_put_vm(fabric, own);
        GwPlanInput input = { .fabric = fabric,
                              .vm = own,
                              .source = gw_fabric_host(fabric, "kvm1"),
                              .destination = gw_fabric_host(fabric, "kvm2") };
        wrong = check_ways(&input, tally);
    }
    return wrong != NULL ? wrong : check_dumps(vm, gw_fabric_host(fabric, "kvm2")->facts, tally);
}
