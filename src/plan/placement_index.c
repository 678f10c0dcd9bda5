/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/placement_index.h"

#include <string.h>

#include "model/migration_plan.h"
#include "plan/shared.h"

/* A move that the plan of a job still has to begin. */
typedef struct {
    const GwJob *job;
    const GwPlannedMove *move;
} Planned;

struct GwPlacementIndex {
    GwPlanShared *shared;
    char *only;          /* the one VM whose rules are in it; NULL: all rules are */
    GPtrArray *views;    /* GwRuleView of enabled rules, by name, then id */
    GHashTable *of_vm;   /* UUID -> GPtrArray of GwRuleView that name it */
    GPtrArray *networks; /* GwRuleView of kind network */
    GHashTable *between; /* UUIDs of VMs in rules between VMs */
    GHashTable *planned; /* UUID -> GArray of Planned, in the plans' order */
    char *vm_uuid;       /* whom @applied is about */
    char *job_id;
    GPtrArray *applied; /* GwAppliedRule */
    guint named;        /* so many of them name the VM; after them its networks' */
};

static GHashTable *set_of(char *const *words)
{
    GHashTable *set = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; words != NULL && words[i] != NULL; i++) {
        if (!g_hash_table_contains(set, words[i]))
            g_hash_table_insert(set, words[i], GUINT_TO_POINTER(g_hash_table_size(set) + 1));
    }
    return set;
}

GwRuleView *gw_rule_view_new(const GwPlacementRule *rule)
{
    GwRuleView *view = g_new0(GwRuleView, 1);

    view->rule = rule;
    view->hosts = set_of(rule->hosts);
    view->tags = set_of(rule->host_tags);
    view->networks = set_of(rule->networks);
    view->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return view;
}

void gw_rule_view_free(gpointer data)
{
    GwRuleView *view = data;

    if (view == NULL)
        return;
    g_hash_table_unref(view->hosts);
    g_hash_table_unref(view->tags);
    g_hash_table_unref(view->networks);
    g_hash_table_unref(view->places);
    g_free(view);
}

static void applied_free(gpointer data)
{
    GwAppliedRule *applied = data;

    g_clear_pointer(&applied->peers, g_hash_table_unref);
    g_free(applied);
}

/* How many of the rule's tags the host has. */
static guint count_tags(const GwRuleView *view, const GwHost *host)
{
    guint all = g_hash_table_size(view->tags), count = 0;
    g_autofree gboolean *seen = all > 0 ? g_new0(gboolean, all + 1) : NULL;

    for (guint i = 0; all > 0 && host->tags != NULL && host->tags[i] != NULL && count < all; i++) {
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(view->tags, host->tags[i]));
        if (number > 0 && !seen[number])
            count++;
        if (number > 0)
            seen[number] = TRUE; /* a host may name a tag twice */
    }
    return count;
}

static gboolean means(const GwRuleView *view, const GwHost *host)
{
    if (g_hash_table_contains(view->hosts, host->id))
        return TRUE;
    guint all = g_hash_table_size(view->tags);
    guint count = count_tags(view, host);
    return view->rule->kind == (int)GW_RULE_KIND_KEEP_OFF ? count > 0 : all > 0 && count == all;
}

gboolean gw_placement_means(GwRuleView *view, const GwHost *host)
{
    gpointer known = NULL;

    if (!g_hash_table_lookup_extended(view->places, host->id, NULL, &known)) {
        known = GINT_TO_POINTER(means(view, host));
        g_hash_table_insert(view->places, g_strdup(host->id), known);
    }
    return GPOINTER_TO_INT(known);
}

/* The index ------------------------------------------------------------------------------- */

static gboolean is_between_vms(const GwPlacementRule *rule)
{
    return rule->kind == (int)GW_RULE_KIND_TOGETHER || rule->kind == (int)GW_RULE_KIND_APART;
}

static GHashTable *lists(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
}

static GPtrArray *list_of(GHashTable *table, char *key)
{
    GPtrArray *list = g_hash_table_lookup(table, key);

    if (list == NULL) {
        list = g_ptr_array_new();
        g_hash_table_insert(table, key, list);
    }
    return list;
}

static void add_view(GwPlacementIndex *index, GwRuleView *view)
{
    const GwPlacementRule *rule = view->rule;

    if (rule->kind == (int)GW_RULE_KIND_NETWORK)
        g_ptr_array_add(index->networks, view);
    for (guint i = 0; rule->vms != NULL && rule->vms[i] != NULL; i++) {
        GPtrArray *views = list_of(index->of_vm, rule->vms[i]);
        /* Named twice is named once. */
        if (views->len == 0 || views->pdata[views->len - 1] != view)
            g_ptr_array_add(views, view);
        if (is_between_vms(rule))
            g_hash_table_add(index->between, rule->vms[i]);
    }
}

static int compare_views(gconstpointer pa, gconstpointer pb)
{
    const GwPlacementRule *a = (*(GwRuleView *const *)pa)->rule;
    const GwPlacementRule *b = (*(GwRuleView *const *)pb)->rule;
    int by_name = g_strcmp0(a->name, b->name);
    return by_name != 0 ? by_name : g_strcmp0(a->id, b->id);
}

static gboolean is_wanted(const GwPlacementIndex *index, const GwPlacementRule *rule)
{
    if (rule->disabled)
        return FALSE;
    return index->only == NULL || rule->kind == (int)GW_RULE_KIND_NETWORK ||
           (rule->vms != NULL && g_strv_contains((const char *const *)rule->vms, index->only));
}

static void find_rules(GwPlacementIndex *index)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, index->shared->fabric->rules);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (is_wanted(index, value))
            g_ptr_array_add(index->views, gw_rule_view_new(value));
    }
    g_ptr_array_sort(index->views, compare_views);
    for (guint i = 0; i < index->views->len; i++)
        add_view(index, index->views->pdata[i]);
}

static void add_planned(GwPlacementIndex *index, const GwJob *job, const GwPlannedMove *move)
{
    Planned planned = { job, move };

    if (move->vm_uuid == NULL || move->destination_host_id == NULL ||
        (move->state != (int)GW_PLANNED_WAITING && move->state != (int)GW_PLANNED_RUNNING) ||
        !g_hash_table_contains(index->between, move->vm_uuid))
        return;
    GArray *list = g_hash_table_lookup(index->planned, move->vm_uuid);
    if (list == NULL) {
        list = g_array_new(FALSE, FALSE, sizeof(Planned));
        g_hash_table_insert(index->planned, move->vm_uuid, list);
    }
    g_array_append_val(list, planned);
}

static void find_planned(GwPlacementIndex *index)
{
    const GPtrArray *jobs = gw_shared_jobs(index->shared);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        const GPtrArray *moves = job->plan != NULL ? job->plan->moves : NULL;
        for (guint k = 0; moves != NULL && k < moves->len; k++)
            add_planned(index, job, moves->pdata[k]);
    }
}

static GwPlacementIndex *index_new(GwPlanShared *shared, const char *only)
{
    GwPlacementIndex *index = g_new0(GwPlacementIndex, 1);

    index->shared = shared;
    index->only = g_strdup(only);
    index->views = g_ptr_array_new_with_free_func(gw_rule_view_free);
    index->networks = g_ptr_array_new();
    index->of_vm = lists();
    index->between = g_hash_table_new(g_str_hash, g_str_equal);
    index->planned =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
    index->applied = g_ptr_array_new_with_free_func(applied_free);
    find_rules(index);
    find_planned(index);
    return index;
}

void gw_placement_index_free(GwPlacementIndex *index)
{
    if (index == NULL)
        return;
    g_ptr_array_unref(index->applied);
    g_ptr_array_unref(index->networks);
    g_hash_table_unref(index->of_vm);
    g_hash_table_unref(index->between);
    g_hash_table_unref(index->planned);
    g_ptr_array_unref(index->views);
    g_free(index->only);
    g_free(index->vm_uuid);
    g_free(index->job_id);
    g_free(index);
}

/* Where the others are -------------------------------------------------------------------- */

typedef struct {
    const GwPlanInput *input;
    const GwPlacementIndex *index;
    const char *plan_job; /* whose plan the move asked about carries out; NULL: none */
    GHashTable *peers;
} Search;

static void add_peer(const Search *search, const char *host_id, const char *name, gboolean coming)
{
    GwPeer *peer = g_hash_table_lookup(search->peers, host_id);

    if (peer != NULL) {
        peer->coming = peer->coming && coming;
        return;
    }
    peer = g_new0(GwPeer, 1);
    *peer = (GwPeer){ name, coming };
    g_hash_table_insert(search->peers, g_strdup(host_id), peer);
}

/* It brings the VM to another host, where it will run. */
static gboolean brings(const GwPlanInput *input, const GwJob *job)
{
    if (!gw_plan_is_other_job(input, job) || job->destination_host_id == NULL ||
        g_strcmp0(job->source_host_id, job->destination_host_id) == 0)
        return FALSE;
    return g_strcmp0(job->kind, GW_JOB_KIND_TRANSFER) != 0 ||
           (job->options != NULL && job->options->start);
}

static void add_present(const Search *search, const char *uuid)
{
    const GwVm *vm;
    guint at = 0;

    while ((vm = gw_fabric_next_vm(search->input->fabric, uuid, &at)) != NULL) {
        if (gw_vm_is_active(vm))
            add_peer(search, vm->host_id, gw_plan_vm_name(vm), FALSE);
    }
}

/* Wherever it is, and wherever it may come: none of it may be with the VM. What the same plan does
 * later does not count, since the plan's order keeps them apart. */
static void add_everywhere(const Search *search, const char *uuid)
{
    const GPtrArray *jobs = gw_shared_jobs_of(search->input, uuid);
    const GArray *planned = g_hash_table_lookup(search->index->planned, uuid);

    add_present(search, uuid);
    for (guint i = 0; jobs != NULL && i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (brings(search->input, job))
            add_peer(search, job->destination_host_id, gw_plan_text(job->vm_name), TRUE);
    }
    for (guint i = 0; planned != NULL && i < planned->len; i++) {
        const Planned *p = &g_array_index(planned, Planned, i);
        if (search->plan_job == NULL || g_strcmp0(p->job->id, search->plan_job) != 0)
            add_peer(search, p->move->destination_host_id, gw_plan_text(p->move->vm_name), TRUE);
    }
}

/* Where it will be in the end: there the VM is to be as well. */
static void add_last(const Search *search, const char *uuid)
{
    const GPtrArray *jobs = gw_shared_jobs_of(search->input, uuid);
    const GArray *planned = g_hash_table_lookup(search->index->planned, uuid);

    if (planned != NULL) {
        const Planned *p = &g_array_index(planned, Planned, planned->len - 1);
        add_peer(search, p->move->destination_host_id, gw_plan_text(p->move->vm_name), TRUE);
        return;
    }
    for (guint i = 0; jobs != NULL && i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!brings(search->input, job))
            continue;
        add_peer(search, job->destination_host_id, gw_plan_text(job->vm_name), TRUE);
        return;
    }
    add_present(search, uuid);
}

static GHashTable *find_peers(const GwPlanInput *input, GwPlacementIndex *index,
                              const GwPlacementRule *rule)
{
    const GwJob *own =
        input->job_id != NULL ? g_hash_table_lookup(input->fabric->jobs, input->job_id) : NULL;
    Search search = { input, index, own != NULL ? own->part_of : NULL,
                      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };

    for (guint i = 0; rule->vms[i] != NULL; i++) {
        if (g_strcmp0(rule->vms[i], input->vm->uuid) == 0)
            continue;
        if (rule->kind == (int)GW_RULE_KIND_APART)
            add_everywhere(&search, rule->vms[i]);
        else
            add_last(&search, rule->vms[i]);
    }
    return search.peers;
}

/* Those of the VM asked about ------------------------------------------------------------- */

static void add_applied(GwPlacementIndex *index, GwRuleView *view, GHashTable *peers)
{
    GwAppliedRule *applied = g_new0(GwAppliedRule, 1);

    applied->view = view;
    applied->peers = peers;
    g_ptr_array_add(index->applied, applied);
}

static void ask_about(const GwPlanInput *input, GwPlacementIndex *index)
{
    const GPtrArray *views = g_hash_table_lookup(index->of_vm, input->vm->uuid);

    g_free(index->vm_uuid);
    g_free(index->job_id);
    index->vm_uuid = g_strdup(input->vm->uuid);
    index->job_id = g_strdup(input->job_id);
    g_ptr_array_set_size(index->applied, 0);
    for (guint i = 0; views != NULL && i < views->len; i++) {
        GwRuleView *view = views->pdata[i];
        add_applied(index, view,
                    is_between_vms(view->rule) ? find_peers(input, index, view->rule) : NULL);
    }
    index->named = index->applied->len;
}

static gboolean is_named(const GwRuleView *view, const char *network)
{
    return network != NULL && g_hash_table_contains(view->networks, network);
}

gboolean gw_placement_is_attached(const GwVm *vm, const GwRuleView *view)
{
    for (guint i = 0; vm->nics != NULL && i < vm->nics->len; i++) {
        const GwNic *nic = vm->nics->pdata[i];
        if (is_named(view, nic->source) || is_named(view, nic->bridge))
            return TRUE;
    }
    return FALSE;
}

/* A list of candidates asks about one VM, whose rules are few. Who asks about a second will ask
 * about many. */
static GwPlacementIndex *index_for(const GwPlanInput *input)
{
    GwPlacementIndex **index = &input->shared->placement;

    if (*index != NULL && (*index)->only != NULL && strcmp((*index)->only, input->vm->uuid) != 0) {
        gw_placement_index_free(*index);
        *index = index_new(input->shared, NULL);
    }
    if (*index == NULL)
        *index = index_new(input->shared, input->vm->uuid);
    return *index;
}

const GPtrArray *gw_placement_applied(const GwPlanInput *input)
{
    if (g_hash_table_size(input->fabric->rules) == 0 || input->vm->uuid == NULL)
        return NULL;
    GwPlacementIndex *index = index_for(input);

    if (g_strcmp0(index->vm_uuid, input->vm->uuid) != 0 ||
        g_strcmp0(index->job_id, input->job_id) != 0)
        ask_about(input, index);
    /* The same VM may be asked about with other adapters. */
    g_ptr_array_set_size(index->applied, (gint)index->named);
    for (guint i = 0; i < index->networks->len; i++) {
        if (gw_placement_is_attached(input->vm, index->networks->pdata[i]))
            add_applied(index, index->networks->pdata[i], NULL);
    }
    return index->applied->len > 0 ? index->applied : NULL;
}
