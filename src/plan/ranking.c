/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/known_hosts.h"
#include "plan/matrix.h"
#include "plan/rating.h"
#include "plan/storage_images.h"

/* All hosts in the order of their ratings, while a person waits. Of hosts that are alike one is
 * judged (matrix.h); of each by itself only the rules are asked whose answer is its own, and it is
 * rated by its own resources. Words are made for those alone that are read first. */

/* What a shape's verdict comes to, in the order of the rules: a finding that all its hosts share,
 * or a rule that is to be asked of each. */
typedef struct {
    const GwRule *rule; /* NULL: it is the finding */
    GwFinding *finding; /* without words */
} Step;

typedef struct {
    const GwMatrixCell *cell;
    GArray *steps;       /* Step */
    GPtrArray *findings; /* where no rule finds any of its own on a host: errors first */
    gboolean suitable;
    gboolean spoiled; /* the host that was judged may use what would be written there */
} Verdict;

typedef struct {
    GwPlanInput input;
    GwMatrix *matrix;
    guint vm_shape, kind;
    GPtrArray *verdicts; /* Verdict by the host's shape */
    GHashTable *apart;   /* ids of hosts that this VM has something of its own with */
    GwKnownHosts *known; /* NULL: nothing is kept */
    guint32 uuid, name;  /* the VM's, as marks */
    GPtrArray *found;    /* GwFinding of the host that is being judged */
} Ranking;

/* Verdicts ---------------------------------------------------------------------------------- */

static void verdict_free(gpointer data)
{
    Verdict *verdict = data;

    if (verdict == NULL)
        return;
    for (guint i = 0; i < verdict->steps->len; i++)
        gw_finding_free(g_array_index(verdict->steps, Step, i).finding);
    g_array_unref(verdict->steps);
    g_ptr_array_unref(verdict->findings);
    g_free(verdict);
}

/* Its words name the host that was judged for all of them. */
static GwFinding *without_words(const GwRule *rule, const GwFinding *finding)
{
    GwFinding *bare = gw_finding_new();

    bare->rule = g_strdup(finding->rule);
    bare->requirement = g_strdup(finding->requirement);
    bare->severity = finding->severity;
    bare->required = g_strdup(rule->summary);
    return bare;
}

/* To look at all VMs of a host takes longest. */
static gboolean may_have(const Ranking *ranking, guint32 mark)
{
    const GwHost *host = ranking->input.destination;

    return ranking->known == NULL ||
           gw_known_may_have(ranking->known, host,
                             g_hash_table_lookup(ranking->input.fabric->vms, host->id), mark);
}

/* Whether a VM of the destination may use what would be written there: its verdict is its own then,
 * in place of what volume-there found. */
static gboolean may_be_in_use(const Ranking *ranking, const GwMatrixCell *cell)
{
    const GPtrArray *disks = cell->candidate->disks;

    for (guint i = 0; cell->copies && i < disks->len; i++) {
        const GwDiskMove *move = disks->pdata[i];
        for (guint k = 0; move->images != NULL && k < move->images->len; k++) {
            const GwVolume *to = ((const GwImageMove *)move->images->pdata[k])->to;
            if (to != NULL && may_have(ranking, gw_known_mark(to->path)) &&
                gw_images_user(&ranking->input, to->path) != NULL)
                return TRUE;
        }
    }
    return FALSE;
}

static void add_steps(const Ranking *ranking, Verdict *verdict, const GwRule *rule)
{
    const GPtrArray *findings = verdict->cell->candidate->findings;
    Step step = { .rule = rule };

    /* What is found while disks are placed is the shape's, unless it is in use: may_be_in_use. */
    if (gw_matrix_is_changing(rule->name) && rule->check != gw_storage_show) {
        if ((rule->when & ranking->kind) != 0)
            g_array_append_val(verdict->steps, step);
        return;
    }
    for (guint i = 0; i < findings->len; i++) {
        const GwFinding *finding = findings->pdata[i];
        if (g_strcmp0(finding->rule, rule->name) != 0)
            continue;
        step = (Step){ .finding = without_words(rule, finding) };
        g_array_append_val(verdict->steps, step);
        g_ptr_array_add(verdict->findings, gw_record_ref(step.finding));
    }
}

static Verdict *verdict_new(const Ranking *ranking, const GwMatrixCell *cell)
{
    Verdict *verdict = g_new0(Verdict, 1);

    verdict->cell = cell;
    verdict->steps = g_array_new(FALSE, FALSE, sizeof(Step));
    verdict->findings = gw_record_array(&gw_finding_record);
    for (guint i = 0; gw_rules[i] != NULL; i++)
        add_steps(ranking, verdict, gw_rules[i]);
    verdict->suitable = gw_findings_sort(verdict->findings);
    verdict->spoiled = may_be_in_use(ranking, cell);
    return verdict;
}

static const Verdict *verdict_of(Ranking *ranking, const GwHost *host)
{
    guint shape = gw_shapes_number_of_host(gw_matrix_shapes(ranking->matrix), host);

    if (ranking->verdicts->len <= shape)
        g_ptr_array_set_size(ranking->verdicts, (int)shape + 1);
    if (ranking->verdicts->pdata[shape] == NULL) {
        const GwMatrixCell *cell =
            gw_matrix_cell(ranking->matrix, ranking->input.vm, ranking->vm_shape, host, shape);
        ranking->verdicts->pdata[shape] = verdict_new(ranking, cell);
    }
    return ranking->verdicts->pdata[shape];
}

/* Hosts ------------------------------------------------------------------------------------- */

/* Where old copies of the VM are kept, and where jobs brought it from or are to bring it. */
static GHashTable *find_apart(const GwFabric *fabric, const GwVm *vm)
{
    GHashTable *apart = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_add(apart, vm->host_id);
    g_hash_table_iter_init(&iter, fabric->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (kept->host_id != NULL && g_strcmp0(kept->vm_uuid, vm->uuid) == 0)
            g_hash_table_add(apart, kept->host_id);
    }
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (g_strcmp0(job->vm_uuid, vm->uuid) != 0)
            continue;
        if (job->source_host_id != NULL)
            g_hash_table_add(apart, job->source_host_id);
        if (job->destination_host_id != NULL)
            g_hash_table_add(apart, job->destination_host_id);
    }
    return apart;
}

/* Whether the rule may find anything of this host. */
static gboolean is_to_be_asked(const Ranking *ranking, const GwRule *rule)
{
    return rule != &gw_rule_vm_twin || may_have(ranking, ranking->uuid) ||
           may_have(ranking, ranking->name);
}

/* What is found of the host, by its shape's verdict and by itself. */
static void judge(Ranking *ranking, const Verdict *verdict, GwCandidate *candidate)
{
    const GwStoragePlan storage = { .disks = verdict->cell->candidate->disks };
    GPtrArray *found = ranking->found;

    g_ptr_array_set_size(found, 0);
    ranking->input.storage = &storage;
    for (guint i = 0; i < verdict->steps->len; i++) {
        const Step *step = &g_array_index(verdict->steps, Step, i);
        if (step->rule == NULL)
            g_ptr_array_add(found, gw_record_ref(step->finding));
        else if (is_to_be_asked(ranking, step->rule))
            gw_rule_run(step->rule, ranking->kind, &ranking->input, found);
    }
    ranking->input.storage = NULL;
    if (found->len == verdict->findings->len) {
        candidate->findings = g_ptr_array_ref(verdict->findings);
        candidate->suitable = verdict->suitable;
        return;
    }
    candidate->suitable = gw_findings_sort(found);
    candidate->findings = found;
    ranking->found = gw_record_array(&gw_finding_record);
}

static GwCandidate *candidate_in_full(Ranking *ranking)
{
    GwCandidate *candidate = gw_plan_candidate(&ranking->input);

    gw_plan_rate(&ranking->input, candidate);
    return candidate;
}

static GwCandidate *candidate_of(Ranking *ranking, const GwHost *host)
{
    ranking->input.destination = host;
    if (host == ranking->input.source || g_hash_table_contains(ranking->apart, host->id))
        return candidate_in_full(ranking);
    const Verdict *verdict = verdict_of(ranking, host);
    if (verdict->spoiled || may_be_in_use(ranking, verdict->cell))
        return candidate_in_full(ranking);
    GwCandidate *candidate = gw_candidate_new();
    candidate->host_id = g_strdup(host->id);
    candidate->host_name = g_strdup(gw_plan_host_name(host));
    candidate->transfer = verdict->cell->candidate->transfer;
    judge(ranking, verdict, candidate);
    /* Where they would go is told of another host; what that takes is the same. */
    candidate->disks = verdict->cell->candidate->disks;
    gw_plan_rate(&ranking->input, candidate);
    candidate->disks = NULL;
    return candidate;
}

/* The list ---------------------------------------------------------------------------------- */

/* Of those that will do, and of those that will not. */
static void tell(Ranking *ranking, GPtrArray *candidates, guint count)
{
    guint told[2] = { 0, 0 };

    for (guint i = 0; i < candidates->len; i++) {
        GwCandidate *candidate = candidates->pdata[i];
        if (told[candidate->suitable]++ >= count)
            continue;
        ranking->input.destination = gw_fabric_host(ranking->input.fabric, candidate->host_id);
        candidates->pdata[i] = gw_plan_candidate(&ranking->input);
        ((GwCandidate *)candidates->pdata[i])->rating = g_steal_pointer(&candidate->rating);
        gw_candidate_free(candidate);
    }
}

static void clear(Ranking *ranking)
{
    gw_matrix_free(ranking->matrix);
    g_ptr_array_unref(ranking->verdicts);
    g_hash_table_unref(ranking->apart);
    g_ptr_array_unref(ranking->found);
}

GPtrArray *gw_plan_ranking(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                           guint told, GwKnownHosts *known)
{
    GPtrArray *candidates = gw_record_array(&gw_candidate_record);
    Ranking ranking = { .input = { .fabric = fabric, .vm = vm, .options = options, .brief = TRUE },
                        .known = known,
                        .uuid = gw_known_mark(vm->uuid),
                        .name = gw_known_mark(vm->name),
                        .kind = gw_plan_is_live(vm) ? GW_RULE_LIVE : GW_RULE_OFF };
    GHashTableIter iter;
    gpointer host;

    ranking.input.source = gw_fabric_host(fabric, vm->host_id);
    if (ranking.input.source == NULL)
        return candidates; /* its host has just been removed */
    ranking.matrix = gw_matrix_new(fabric, options, known);
    ranking.input.shared = gw_matrix_shared(ranking.matrix);
    ranking.vm_shape = gw_matrix_vm_alone(ranking.matrix, vm);
    ranking.verdicts = g_ptr_array_new_with_free_func(verdict_free);
    ranking.apart = find_apart(fabric, vm);
    ranking.found = gw_record_array(&gw_finding_record);
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host))
        g_ptr_array_add(candidates, candidate_of(&ranking, host));
    gw_candidates_sort(candidates);
    tell(&ranking, candidates, told);
    clear(&ranking);
    return candidates;
}
