/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "plan/rating.h"

/* Automatic placement: the best host, and the best pool on it (R26, R46). */

#define GROUP_DEPTH_MAX 64

typedef struct {
    GwPlanInput input; /* of the host that is looked at */
    const GwMoveOptions *options;
    const GwHost *host;   /* where to: this one, or … */
    const GwGroup *group; /* … one of this group's; neither: any */
    GwCandidate *best;
    GwMoveOptions *chosen; /* for the best */
    guint looked;          /* hosts in which to look, but for the VM's own */
    guint pathless;        /* of them without the default location that is needed (R46) */
} Search;

static gboolean is_in_group(const GwFabric *fabric, const GwHost *host, const GwGroup *wanted)
{
    const char *id = host->group_id != NULL ? host->group_id : GW_GROUP_ROOT;

    for (guint depth = 0; id != NULL && depth < GROUP_DEPTH_MAX; depth++) {
        if (g_strcmp0(id, wanted->id) == 0)
            return TRUE;
        const GwGroup *group = g_hash_table_lookup(fabric->groups, id);
        id = group != NULL ? group->parent_id : NULL;
    }
    return FALSE;
}

static gboolean is_wanted(const Search *search, const GwHost *host)
{
    if (search->host != NULL)
        return host == search->host;
    return search->group == NULL || is_in_group(search->input.fabric, host, search->group);
}

static gboolean will_do(const GwCandidate *candidate)
{
    return candidate->suitable && candidate->rating->stars > 0;
}

/* Of two that will not do, the one with the fewest reasons is nearer. The VM's own host is none to
 * speak of. */
static int compare_reasons(const Search *search, const GwCandidate *a, const GwCandidate *b)
{
    gboolean own_a = g_strcmp0(a->host_id, search->input.source->id) == 0;
    gboolean own_b = g_strcmp0(b->host_id, search->input.source->id) == 0;

    if (own_a != own_b)
        return own_a ? 1 : -1;
    if (a->rating->factors->len != b->rating->factors->len)
        return a->rating->factors->len < b->rating->factors->len ? -1 : 1;
    return gw_rating_compare(a, b);
}

static gboolean is_better(const Search *search, const GwCandidate *candidate)
{
    if (search->best == NULL)
        return TRUE;
    if (will_do(candidate) != will_do(search->best))
        return will_do(candidate);
    return (will_do(candidate) ? gw_rating_compare(candidate, search->best)
                               : compare_reasons(search, candidate, search->best)) < 0;
}

/* R46: in a host group, disks go only where a path for VMs is configured. */
static void refuse_pathless(Search *search, GwCandidate *candidate)
{
    const char *name = gw_plan_host_name(search->input.destination);
    GwFinding *finding = gw_finding_new();

    finding->rule = g_strdup("storage-place");
    finding->requirement = g_strdup("R46");
    finding->severity = (int)GW_SEVERITY_ERROR;
    finding->observed =
        g_strdup_printf("%s has no default storage location that takes images, and disks of %s are "
                        "to be copied",
                        name, gw_plan_vm_name(search->input.vm));
    finding->required = g_strdup("A default storage location: placement in a host group uses no "
                                 "other.");
    finding->remedy =
        g_strdup_printf("Set one in the settings of %s, place the VM on a host by its "
                        "name, or choose the storage.",
                        name);
    g_ptr_array_insert(candidate->findings, 0, finding);
    candidate->suitable = FALSE;
    search->pathless++;
}

/* With the best pool where one is to be chosen: *@own gets the options with it, *@why the reason.
 */
static GwCandidate *look(Search *search, GwMoveOptions **own, char **why)
{
    GwCandidate *candidate = gw_plan_candidate(&search->input);
    gboolean group = search->host == NULL;

    if (gw_plan_options(&search->input)->storage != NULL ||
        !gw_rating_is_copied(&search->input, candidate))
        return candidate;
    GwVolumeChoice choice = gw_rating_volume(&search->input, candidate, group);
    if (choice.pool == NULL) {
        if (group)
            refuse_pathless(search, candidate);
        return candidate;
    }
    *own = search->options != NULL ? gw_move_options_copy(search->options) : gw_move_options_new();
    (*own)->storage = g_strdup(choice.pool->name);
    *why = gw_rating_volume_words(&search->input, &choice);
    search->input.options = *own;
    gw_candidate_free(candidate);
    return gw_plan_candidate(&search->input);
}

static void look_at(Search *search, const GwHost *host)
{
    g_autoptr(GwMoveOptions) own = NULL;
    char *why = NULL;

    search->input.destination = host;
    search->input.options = search->options;
    search->looked += host != search->input.source;
    GwCandidate *candidate = look(search, &own, &why);
    gw_plan_rate(&search->input, candidate);
    if (why != NULL) {
        g_free(candidate->rating->storage_why);
        candidate->rating->storage_why = why;
    }
    if (!is_better(search, candidate)) {
        gw_candidate_free(candidate);
        return;
    }
    gw_candidate_free(search->best);
    gw_move_options_free(search->chosen);
    search->best = candidate;
    search->chosen = g_steal_pointer(&own);
}

static char *scope_words(const Search *search)
{
    if (search->host != NULL)
        return g_strdup_printf("host '%s'", gw_plan_host_name(search->host));
    if (search->group != NULL)
        return g_strdup_printf("host group '%s'", gw_plan_text(search->group->name));
    return g_strdup("the fabric");
}

static void refuse(const Search *search, GError **error)
{
    const char *vm = gw_plan_vm_name(search->input.vm);
    g_autofree char *scope = scope_words(search);

    if (search->best == NULL || (search->looked == 0 && search->host == NULL)) {
        gw_error_set(error, GW_ERR_REFUSED, "Add hosts to it, or choose another place.",
                     "'%s' finds no place: %s has no %shost", vm, scope,
                     search->best != NULL ? "other " : "");
        return;
    }
    const GwRatingFactor *factor = search->best->rating->factors->pdata[0];
    if (search->host == NULL && search->pathless == search->looked)
        gw_error_set(error, GW_ERR_REFUSED, factor->remedy,
                     "'%s' finds no place: no host of %s has a default storage location for its "
                     "disks, which are to be copied (R46)",
                     vm, scope);
    else if (search->host != NULL)
        gw_error_set(error, GW_ERR_REFUSED, factor->remedy,
                     "'%s' cannot be placed on %s: %s; %s (%s)", vm, scope, factor->observed,
                     factor->required, factor->requirement);
    else
        gw_error_set(error, GW_ERR_REFUSED, factor->remedy,
                     "'%s' finds no place in %s; %s comes nearest of %u: %s; %s (%s)", vm, scope,
                     search->best->host_name, search->looked, factor->observed, factor->required,
                     factor->requirement);
}

static gboolean find_scope(Search *search, const char *where, GError **error)
{
    if (where == NULL)
        return TRUE;
    search->host = gw_fabric_find_host(search->input.fabric, where);
    if (search->host == NULL)
        search->group = gw_fabric_find_group(search->input.fabric, where);
    if (search->host != NULL || search->group != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list, godwit group list.",
                 "no host and no host group '%s'", where);
    return FALSE;
}

static void look_everywhere(Search *search)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, search->input.fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (is_wanted(search, value))
            look_at(search, value);
    }
}

GwCandidate *gw_plan_place(const GwFabric *fabric, const GwVm *vm, const char *where,
                           const GwMoveOptions *options, GwMoveOptions **chosen, GError **error)
{
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    Search search = { .input = { .fabric = fabric, .vm = vm, .shared = shared },
                      .options = options };

    search.input.source = gw_fabric_host(fabric, vm->host_id);
    if (search.input.source == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "the host of '%s' is no longer managed",
                     gw_plan_vm_name(vm));
        return NULL;
    }
    if (!find_scope(&search, where, error))
        return NULL;
    look_everywhere(&search);
    if (search.best == NULL || !will_do(search.best)) {
        refuse(&search, error);
        gw_candidate_free(search.best);
        gw_move_options_free(search.chosen);
        return NULL;
    }
    if (search.chosen == NULL)
        search.chosen = options != NULL ? gw_move_options_copy(options) : gw_move_options_new();
    *chosen = search.chosen;
    return search.best;
}
