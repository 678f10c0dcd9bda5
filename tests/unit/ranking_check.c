/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ranking_check.h"

#include "plan/matrix.h"
#include "plan/rule.h"
#include "unit.h"

static char *text_of(const GwCandidate *candidate)
{
    GString *text = g_string_new(NULL);

    gw_record_write(&gw_candidate_record, candidate, 0, text);
    return g_string_free(text, FALSE);
}

/* Without what only explains; @asked: types that are asked for are judged by their explanation. */
static GwCandidate *brief_of(const GwCandidate *candidate, gboolean asked)
{
    GwCandidate *copy = gw_candidate_copy(candidate);

    if (!asked)
        g_clear_pointer(&copy->transfers, g_ptr_array_unref);
    g_clear_pointer(&copy->rating->factors, g_ptr_array_unref);
    g_clear_pointer(&copy->rating->storage_why, g_free);
    return copy;
}

/* The words of a finding are those of the list, or all are left out but what the rule requires. */
static void take_words(GwFinding *finding, const GwFinding *wordless)
{
    const GwRule *rule = NULL;

    if (wordless->observed != NULL)
        return;
    for (guint i = 0; gw_rules[i] != NULL; i++)
        rule = g_strcmp0(gw_rules[i]->name, finding->rule) == 0 ? gw_rules[i] : rule;
    assert_non_null(rule);
    g_clear_pointer(&finding->observed, g_free);
    g_clear_pointer(&finding->remedy, g_free);
    g_free(finding->required);
    finding->required = g_strdup(rule->summary);
}

static void take_details(GwCandidate *wanted, const GwCandidate *got)
{
    guint count = MIN(wanted->findings->len, got->findings->len);

    for (guint i = 0; i < count; i++)
        take_words(wanted->findings->pdata[i], got->findings->pdata[i]);
    if (got->transfers != NULL)
        return; /* a host that this VM has something of its own with is judged in full */
    g_clear_pointer(&wanted->transfers, g_ptr_array_unref);
    g_clear_pointer(&wanted->disks, g_ptr_array_unref);
    g_clear_pointer(&wanted->hbas, g_ptr_array_unref);
    g_clear_pointer(&wanted->nics, g_ptr_array_unref);
}

static void check(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options, guint told,
                  GwKnownHosts *known, const GPtrArray *full)
{
    g_autoptr(GPtrArray) ranking = gw_plan_ranking(fabric, vm, options, told, known);
    guint seen[2] = { 0, 0 };

    assert_int_equal(ranking->len, full->len);
    for (guint i = 0; i < full->len; i++) {
        const GwCandidate *all = full->pdata[i], *got = ranking->pdata[i];
        gboolean asked = (options != NULL && options->transfer != (int)GW_TRANSFER_NONE) ||
                         g_strcmp0(all->host_id, vm->host_id) == 0;
        g_autoptr(GwCandidate) wanted = brief_of(all, asked);
        if (seen[got->suitable]++ >= told)
            take_details(wanted, got);
        g_autofree char *wanted_text = text_of(wanted);
        g_autofree char *got_text = text_of(got);
        assert_string_equal(got_text, wanted_text);
    }
}

GPtrArray *ranking_check(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                         guint told, GwKnownHosts *known)
{
    GPtrArray *full = gw_plan_candidates(fabric, vm, options);

    check(fabric, vm, options, told, NULL, full);
    if (known != NULL)
        check(fabric, vm, options, told, known, full);
    return full;
}

/* Hosts that are alike ---------------------------------------------------------------------- */

static void replace(char **text, const char *old, const char *new)
{
    GString *changed = g_string_new(*text);

    g_string_replace(changed, old, new, 1);
    g_free(*text);
    *text = g_string_free(changed, FALSE);
}

static void change_pools(GPtrArray *pools, guint number)
{
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        GwPool *pool = pools->pdata[i];
        pool->available_bytes = pool->available_bytes / 4 * (1 + number * 3);
        pool->capacity_bytes += pool->capacity_bytes > 0 ? number << 30 : 0;
    }
}

static GwHost *alike(const GwHost *host, guint number)
{
    GwHost *copy = gw_host_copy(host);

    g_free(copy->id);
    copy->id = g_strdup_printf("%s-like-%u", host->id, number);
    g_free(copy->name);
    copy->name = g_strdup_printf("%u like %s", number, gw_plan_text(host->name));
    if (copy->uri != NULL && gw_host_has_agent(copy))
        replace(&copy->uri, host->id, copy->id);
    copy->memory_reserve_kib += number;
    copy->cpu_reserve_percent = number * 10;
    if (copy->facts == NULL)
        return copy;
    g_free(copy->facts->host_uuid);
    copy->facts->host_uuid =
        g_strdup_printf("20000000-0000-4000-8000-%08x%04u", g_str_hash(host->id), number);
    copy->facts->free_memory_kib = copy->facts->free_memory_kib / 4 * (1 + number * 3);
    g_clear_pointer(&copy->facts->cpu_xml, g_free);
    change_pools(copy->facts->pools, number);
    return copy;
}

void ranking_check_alike(GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);

    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        g_autoptr(GwHost) own = gw_host_copy(host);
        gw_fabric_put_host(fabric, alike(own, 1));
        gw_fabric_put_host(fabric, alike(own, 2));
        g_autoptr(GwShapes) shapes = gw_shapes_new(fabric, options, NULL);
        g_autofree char *first = g_strdup_printf("%s-like-1", own->id);
        g_autofree char *second = g_strdup_printf("%s-like-2", own->id);
        assert_int_equal(gw_shapes_number_of_host(shapes, gw_fabric_host(fabric, first)),
                         gw_shapes_number_of_host(shapes, gw_fabric_host(fabric, second)));
    }
    g_ptr_array_unref(ranking_check(fabric, vm, options, 0, NULL));
    g_ptr_array_unref(ranking_check(fabric, vm, options, 2, NULL));
}
