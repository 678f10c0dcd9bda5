/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ratings, placement rules and placement, as far as golden scenarios show them badly: rules that
 * contradict each other, numbers at their bounds, order, size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "plan/rule_conflicts.h"
#include "scenario.h"

#define UUID_FORMAT "%08u-0000-0000-0000-000000000000"

static Scenario *ask(const char *json)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "base.json", NULL);
    g_autoptr(GwJson) base = gw_json_load(path, &error);
    g_autoptr(GwJson) in = gw_json_parse(json, strlen(json), GW_JSON_TEXT_MAX, &error);
    Scenario *s = base != NULL && in != NULL ? scenario_new(base, in, &error) : NULL;

    if (s == NULL)
        fail_msg("%s", error->message);
    return s;
}

/* Contradictions --------------------------------------------------------------------------- */

/* Three hosts, kvm2 and kvm3 with tags; VMs a, b, c, d by a letter for their UUID. */
static const char world[] =
    "{\"hosts\": [{\"id\": \"kvm1\"}, {\"id\": \"kvm2\", \"tags\": [\"ssd\"]},"
    " {\"id\": \"kvm3\", \"tags\": [\"ssd\", \"gpu\"]}],"
    " \"vms\": [{\"uuid\": \"a\", \"name\": \"vm-a\"}, {\"uuid\": \"b\", \"name\": \"vm-b\"},"
    " {\"uuid\": \"c\", \"name\": \"vm-c\", \"host_id\": \"kvm2\"},"
    " {\"uuid\": \"d\", \"name\": \"vm-d\", \"nics\": [{\"type\": \"network\","
    " \"source\": \"dmz\"}]}], \"rules\": [%s]}";

#define RULE(name, kind, rest)                                                                     \
    "{\"id\": \"" name "\", \"name\": \"" name "\", \"kind\": \"" kind "\", " rest "}"
#define MUST "\"required\": true, "

typedef struct {
    const char *others; /* the rules there are */
    const char *rule;
    const char *wanted; /* a part of the message; NULL: it can be kept */
} CheckRow;

static const CheckRow check_rows[] = {
    { "", RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"), NULL },
    { "", RULE("r", "together", MUST "\"vms\": [\"a\"]"), "between VMs" },
    { "", RULE("r", "run-on", MUST "\"vms\": [], \"hosts\": [\"kvm1\"]"), "VMs and hosts" },
    { "", RULE("r", "apart", MUST "\"vms\": [\"a\", \"gone\"]"), "has a VM gone, which rule 'r'" },
    { "", RULE("r", "run-on", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm9\"]"),
      "no host kvm9, which rule 'r'" },
    /* together and apart, directly, by way of a third, and by the rule itself */
    { RULE("old", "apart", MUST "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", MUST "\"vms\": [\"b\", \"a\"]"),
      "rule 'r' would have 'vm-a' and 'vm-b' run together, and rule 'old' apart" },
    { RULE("old", "together", MUST "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "apart", MUST "\"vms\": [\"a\", \"b\", \"c\"]"),
      "rule 'r' would have 'vm-a' and 'vm-b' run apart, and rule 'old' together" },
    { RULE("one", "together", MUST "\"vms\": [\"a\", \"b\"]") ", " RULE(
          "two", "apart", MUST "\"vms\": [\"a\", \"c\"]"),
      RULE("r", "together", MUST "\"vms\": [\"b\", \"c\"]"),
      "rule 'r' would have 'vm-a' and 'vm-c' run together, and rule 'two' apart" },
    { RULE("one", "together", MUST "\"vms\": [\"a\", \"b\"]") ", " RULE(
          "two", "together", MUST "\"vms\": [\"b\", \"c\"]"),
      RULE("r", "apart", MUST "\"vms\": [\"a\", \"c\"]"), "run apart, and rule '" },
    /* one that is preferred gives way; one that cannot be kept at all is refused as well */
    { RULE("old", "apart", "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"), NULL },
    { RULE("old", "apart", MUST "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", "\"vms\": [\"a\", \"b\"]"), "rule 'old' apart" },
    { RULE("old", "apart", MUST "\"disabled\": true, \"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"), NULL },
    { RULE("old", "apart", MUST "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", MUST "\"disabled\": true, \"vms\": [\"a\", \"b\"]"), NULL },
    /* it takes its own place */
    { RULE("r", "apart", MUST "\"vms\": [\"a\", \"b\"]"),
      RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"), NULL },
    /* hosts that are left */
    { "", RULE("r", "run-on", MUST "\"vms\": [\"a\"], \"host_tags\": [\"ssd\", \"gpu\"]"), NULL },
    { "", RULE("r", "run-on", MUST "\"vms\": [\"a\"], \"host_tags\": [\"ssd\", \"none\"]"),
      "rule 'r' leaves no host: none of the 3 hosts" },
    { "",
      RULE("r", "keep-off",
           MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"], "
                "\"host_tags\": [\"ssd\"]"),
      "rule 'r' leaves no host" },
    { "", RULE("r", "network", MUST "\"networks\": [\"x\"], \"host_tags\": [\"none\"]"),
      "rule 'r' leaves no host" },
    { RULE("old", "run-on", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"]"),
      RULE("r", "run-on", MUST "\"vms\": [\"b\", \"a\"], \"host_tags\": [\"ssd\"]"),
      "rule 'r' leaves no host for 'vm-a' beside rule 'old'" },
    { RULE("old", "run-on", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"]"),
      RULE("r", "keep-off", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"]"),
      "rule 'r' leaves no host for 'vm-a' beside rule 'old'" },
    /* one that leaves no host by itself, since tags have changed, is to blame alone */
    { RULE("old", "run-on", MUST "\"vms\": [\"a\"], \"host_tags\": [\"none\"]"),
      RULE("r", "run-on", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"]"),
      "rule 'old' leaves no host for 'vm-a' already: none of the 3 hosts" },
    { RULE("old", "run-on", MUST "\"vms\": [\"a\"], \"host_tags\": [\"none\"]"),
      RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"),
      "rule 'old' leaves no host for 'vm-a' already: none of the 3 hosts" },
    { RULE("one", "run-on", MUST "\"vms\": [\"a\"], \"hosts\": [\"kvm1\"]") ", " RULE(
          "two", "run-on", MUST "\"vms\": [\"b\"], \"hosts\": [\"kvm2\"]"),
      RULE("r", "together", MUST "\"vms\": [\"a\", \"b\"]"), "rule 'r' leaves no host for 'vm-" },
    { RULE("old", "network", MUST "\"networks\": [\"dmz\"], \"hosts\": [\"kvm2\"]"),
      RULE("r", "keep-off", MUST "\"vms\": [\"d\"], \"hosts\": [\"kvm2\"]"),
      "rule 'r' leaves no host for 'vm-d' beside rule 'old'" },
    { RULE("old", "keep-off", MUST "\"vms\": [\"d\"], \"hosts\": [\"kvm2\"]"),
      RULE("r", "network", MUST "\"networks\": [\"dmz\"], \"hosts\": [\"kvm2\"]"),
      "rule 'r' leaves no host for 'vm-d' beside rule 'old'" },
    { RULE("old", "network", MUST "\"networks\": [\"dmz\"], \"hosts\": [\"kvm2\"]"),
      RULE("r", "keep-off", MUST "\"vms\": [\"c\"], \"hosts\": [\"kvm2\"]"), NULL },
    /* as many hosts as VMs that are apart */
    { "", RULE("r", "apart", MUST "\"vms\": [\"a\", \"b\", \"c\", \"d\"]"),
      "rule 'r' keeps 4 VMs apart, and there are 3 hosts" },
    { "", RULE("r", "apart", MUST "\"vms\": [\"a\", \"b\", \"c\", \"a\"]"), NULL },
    { RULE("old", "apart", MUST "\"vms\": [\"a\", \"b\", \"c\"]"),
      RULE("r", "run-on", MUST "\"vms\": [\"a\", \"b\", \"c\"], \"host_tags\": [\"ssd\"]"),
      "rule 'r' leaves 2 hosts for the 3 VMs that rule 'old' keeps apart" },
    { RULE("old", "run-on", MUST "\"vms\": [\"a\", \"b\"], \"host_tags\": [\"gpu\"]"),
      RULE("r", "apart", MUST "\"vms\": [\"a\", \"b\"]"),
      "rule 'r' keeps 2 VMs apart, and there are 1 hosts" },
};

static void check_one(const CheckRow *row)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *json = g_strdup_printf(world, row->others);
    Scenario *s = ask(json);
    g_autoptr(GwJson) text = gw_json_parse(row->rule, strlen(row->rule), GW_JSON_TEXT_MAX, &error);
    g_autoptr(GwPlacementRule) rule = gw_record_from_json(&gw_placement_rule_record, text, &error);

    assert_non_null(rule);
    gboolean kept = gw_plan_check_rule(s->fabric, rule, &error);
    if (kept != (row->wanted == NULL) || (!kept && strstr(error->message, row->wanted) == NULL))
        fail_msg("%s beside %s: %s", row->rule, row->others, kept ? "kept" : error->message);
    if (!kept)
        assert_non_null(gw_error_remedy(error));
    scenario_free(s);
}

static GPtrArray *conflicts_among(const char *rules)
{
    g_autofree char *json = g_strdup_printf(world, rules);
    Scenario *s = ask(json);
    GPtrArray *conflicts = gw_plan_rule_conflicts(s->fabric);

    scenario_free(s);
    return conflicts;
}

/* Tags and hosts change after a rule was made: it is said which ones cannot be kept any more. */
static void conflicts_of_rules_that_are_there(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) none = conflicts_among(
        RULE("t1", "run-on", MUST "\"vms\": [\"a\"], \"host_tags\": [\"ssd\"]") ", " RULE(
            "gone", "run-on",
            MUST
            "\"vms\": [\"b\", \"gone\"], \"hosts\": [\"kvm1\", \"kvm9\"]") ", " RULE("off",
                                                                                     "run-on",
                                                                                     MUST
                                                                                     "\"disable"
                                                                                     "d\": "
                                                                                     "true, "
                                                                                     "\"vms\": "
                                                                                     "[\"a\"], "
                                                                                     "\"host_"
                                                                                     "tags\": "
                                                                                     "[\"none\""
                                                                                     "]") ","
                                                                                          " " RULE(
                                                                                              "sof"
                                                                                              "t",
                                                                                              "run-"
                                                                                              "on",
                                                                                              "\"vm"
                                                                                              "s\":"
                                                                                              " ["
                                                                                              "\"a"
                                                                                              "\"],"
                                                                                              " \"h"
                                                                                              "ost_"
                                                                                              "tags"
                                                                                              "\": "
                                                                                              "[\"n"
                                                                                              "one"
                                                                                              "\""
                                                                                              "]"));
    assert_int_equal(none->len, 0);

    g_autoptr(GPtrArray) alone = conflicts_among(
        RULE("t1", "run-on", MUST "\"vms\": [\"a\", \"b\"], \"host_tags\": [\"none\"]") ", " RULE(
            "t2", "run-on", MUST "\"vms\": [\"b\", \"c\"], \"hosts\": [\"kvm1\"]"));
    assert_int_equal(alone->len, 2);
    const GwRuleConflict *first = alone->pdata[0], *second = alone->pdata[1];
    assert_string_equal(first->rule_id, "t1");
    assert_non_null(strstr(first->observed, "rule 't1' leaves no host: none of the 3 hosts"));
    assert_non_null(first->remedy);
    assert_int_equal(g_strv_length(first->vms), 2);
    assert_true(g_strv_contains((const char *const *)first->vms, "a"));
    assert_true(g_strv_contains((const char *const *)first->vms, "b"));
    assert_string_equal(second->rule_name, "t2");
    assert_non_null(strstr(second->observed, "rule 't1' leaves no host for 'vm-b' already"));
    assert_int_equal(g_strv_length(second->vms), 1); /* c has one */

    g_autoptr(GPtrArray) both = conflicts_among(
        RULE("t1", "network", MUST "\"networks\": [\"dmz\"], \"host_tags\": [\"gpu\"]") ", " RULE(
            "t2", "keep-off", MUST "\"vms\": [\"d\"], \"hosts\": [\"kvm3\"]"));
    assert_int_equal(both->len, 2);
    first = both->pdata[0];
    assert_non_null(strstr(first->observed, "leaves no host for 'vm-d' beside rule 't2'"));
    assert_int_equal(g_strv_length(first->vms), 1);
    assert_string_equal(first->vms[0], "d");
}

static void contradictions(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(check_rows); i++)
        check_one(&check_rows[i]);
}

/* Bounds ----------------------------------------------------------------------------------- */

static void assert_sane(const GwRating *rating)
{
    assert_non_null(rating);
    assert_true(rating->stars >= 0 && rating->stars <= 5);
    assert_true(rating->stars * 2 == (int)(rating->stars * 2));
    assert_true(rating->points >= 0 && rating->points <= 1000000);
    assert_true((rating->stars == 0) == (rating->points == 0));
    assert_true(rating->factors->len > 0);
    for (guint i = 0; i < rating->factors->len; i++) {
        const GwRatingFactor *f = rating->factors->pdata[i];
        assert_true(f->stars >= 0 && f->stars <= 5);
        assert_non_null(f->name);
        assert_non_null(f->observed);
        assert_non_null(f->required);
        assert_true(f->remedy != NULL || (!f->lowers && !f->excludes));
    }
}

/* Whatever hosts and store say, a rating is between 0 and 5, and says why. */
static void numbers_at_their_bounds(void **state)
{
    static const gint64 bounds[] = { G_MININT64,     -1,        0, 1, 1000, G_MAXINT32,
                                     G_MAXINT64 / 2, G_MAXINT64 };
    Scenario *s = ask("{\"groups\": [{\"id\": \"all-hosts\", \"name\": \"x\", \"placement\": {}}],"
                      "\"hosts\": [{\"id\": \"kvm1\"}, {\"id\": \"kvm2\", \"default_storage\": "
                      "[\"images\"], \"facts\": {\"usage\": {}}}], \"vms\": [{\"usage\": {}, "
                      "\"disks\": [{\"source\": \"/var/lib/libvirt/images/a\"}]}], \"jobs\": "
                      "[{\"state\": \"queued\", \"vm_uuid\": \"x\"}], \"destination\": \"kvm2\"}");
    GwPlanInput input = scenario_input(s);
    GwPlacementPolicy *policy =
        ((GwGroup *)g_hash_table_lookup(s->fabric->groups, "all-hosts"))->placement;
    GwHost *host = (GwHost *)s->destination;
    GwVm *vm = (GwVm *)s->vm;
    GwPool *pool = host->facts->pools->pdata[1];
    GwJob *job = g_hash_table_lookup(s->fabric->jobs, "J1");
    gint64 *const fields[] = {
        &policy->cpu_weight,
        &policy->memory_weight,
        &policy->disk_weight,
        &policy->network_weight,
        &policy->cpu_reserve_percent,
        &policy->memory_reserve_kib,
        &policy->disk_reserve_bytes,
        &host->cpu_reserve_percent,
        &host->memory_reserve_kib,
        &host->disk_reserve_bytes,
        &host->facts->cpus,
        &host->facts->memory_kib,
        &host->facts->free_memory_kib,
        &host->facts->usage->cpu_permille,
        &host->facts->usage->network_bps,
        &vm->vcpus,
        &vm->memory_kib,
        &vm->max_memory_kib,
        &vm->usage->cpu_permille,
        &vm->usage->network_bps,
        &vm->usage->disk_allocated_bytes,
        &pool->capacity_bytes,
        &pool->available_bytes,
        &job->vm_memory_kib,
        &((GwDisk *)vm->disks->pdata[0])->capacity_bytes,
    };
    /* Any one of them, and all of them, at each bound. */
    for (guint f = 0; f <= G_N_ELEMENTS(fields); f++) {
        for (guint b = 0; b < G_N_ELEMENTS(bounds); b++) {
            gint64 before[G_N_ELEMENTS(fields)];
            for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
                before[i] = *fields[i];
                if (f == i || f == G_N_ELEMENTS(fields))
                    *fields[i] = bounds[b];
            }
            for (policy->goal = 0; policy->goal < 2; policy->goal++) {
                g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);
                gw_plan_rate(&input, candidate);
                assert_sane(candidate->rating);
            }
            for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
                *fields[i] = before[i];
        }
    }
    scenario_free(s);
}

/* Nothing is known of the hosts at all, not even facts. */
static void hosts_without_facts(void **state)
{
    Scenario *s = ask("{\"hosts\": [{\"id\": \"kvm1\", \"facts\": null}, {\"id\": \"kvm2\", "
                      "\"facts\": null}]}");
    g_autoptr(GPtrArray) candidates = gw_plan_candidates(s->fabric, s->vm, NULL);

    assert_int_equal(candidates->len, 2);
    for (guint i = 0; i < candidates->len; i++)
        assert_sane(((GwCandidate *)candidates->pdata[i])->rating);
    scenario_free(s);
}

/* Size and order ---------------------------------------------------------------------------- */

static char *uuid_of(guint number)
{
    return g_strdup_printf(UUID_FORMAT, number);
}

static void add_host(GwFabric *fabric, const GwHost *like, guint number)
{
    GwHost *host = gw_host_copy(like);

    g_free(host->id);
    g_free(host->name);
    g_free(host->facts->host_uuid);
    host->id = g_strdup_printf("h%04u", number);
    host->name = g_strdup(host->id);
    host->facts->host_uuid = g_strdup(host->id);
    gw_fabric_put_host(fabric, host);
}

static void add_vm(GwFabric *fabric, const GwVm *like, guint number, guint hosts)
{
    GwVm *vm = gw_vm_copy(like);

    g_free(vm->uuid);
    g_free(vm->name);
    g_free(vm->host_id);
    vm->uuid = uuid_of(number);
    vm->name = g_strdup_printf("vm%05u", number);
    vm->host_id = g_strdup_printf("h%04u", number % hosts);
    gw_fabric_put_vm(fabric, vm);
}

/* The same picture, put together in another order: the same list. */
static void order_is_the_pictures(void **state)
{
    enum { HOSTS = 40 };
    g_autofree char *first = NULL;

    for (guint turn = 0; turn < 3; turn++) {
        Scenario *s = ask("{}");
        for (guint i = 0; i < HOSTS; i++)
            add_host(s->fabric, gw_fabric_host(s->fabric, "kvm2"),
                     turn == 0   ? i
                     : turn == 1 ? HOSTS - 1 - i
                                 : i * 7 % HOSTS);
        g_autoptr(GPtrArray) candidates = gw_plan_candidates(s->fabric, s->vm, NULL);
        GString *order = g_string_new(NULL);
        for (guint i = 0; i < candidates->len; i++) {
            const GwCandidate *c = candidates->pdata[i];
            g_string_append_printf(order, "%s %" G_GINT64_FORMAT "\n", c->host_name,
                                   c->rating->points);
        }
        g_autofree char *text = g_string_free(order, FALSE);
        if (first == NULL)
            first = g_steal_pointer(&text);
        else
            assert_string_equal(text, first);
        scenario_free(s);
    }
}

static char **many(guint count, const char *format)
{
    char **words = g_new0(char *, count + 1);

    for (guint i = 0; i < count; i++)
        words[i] = g_strdup_printf("%s%05u", format, i);
    return words;
}

static GwPlacementRule *put_rule(GwFabric *fabric, GwPlacementRuleKind kind, const char *id)
{
    GwPlacementRule *rule = gw_placement_rule_new();

    rule->id = g_strdup(id);
    rule->name = g_strdup(id);
    rule->kind = (int)kind;
    rule->required = TRUE;
    gw_fabric_put_rule(fabric, rule);
    return rule;
}

static const GwCandidate *candidate_of(const GPtrArray *candidates, const char *host)
{
    const GwCandidate *found = gw_record_find(&gw_candidate_record, candidates, "host_id", host);
    assert_non_null(found);
    return found;
}

static gboolean has_finding(const GwCandidate *candidate, const char *rule)
{
    return gw_record_find(&gw_finding_record, candidate->findings, "rule", rule) != NULL;
}

/* Hosts and a rule with as many tags as there may be; they come in another order. */
static void ten_thousand_tags(void **state)
{
    enum { HOSTS = 50 };
    Scenario *s = ask("{}");
    GwPlacementRule *all = put_rule(s->fabric, GW_RULE_KIND_RUN_ON, "all");
    GwPlacementRule *none = put_rule(s->fabric, GW_RULE_KIND_KEEP_OFF, "none");

    all->vms = g_strdupv((char *[]){ s->vm->uuid, NULL });
    none->vms = g_strdupv(all->vms);
    all->host_tags = many(GW_TAGS_MAX, "tag");
    none->host_tags = many(GW_TAGS_MAX, "other");
    for (guint i = 0; i < HOSTS; i++) {
        add_host(s->fabric, gw_fabric_host(s->fabric, "kvm2"), i);
        g_autofree char *id = g_strdup_printf("h%04u", i);
        GwHost *host = g_hash_table_lookup(s->fabric->hosts, id);
        host->tags = many(GW_TAGS_MAX, "tag");
        char *first = host->tags[0];
        host->tags[0] = host->tags[GW_TAGS_MAX - 1];
        host->tags[GW_TAGS_MAX - 1] = first;
        if (i == 7) { /* it lacks one, and has another twice */
            g_free(host->tags[5000]);
            host->tags[5000] = g_strdup("tag00004");
        } else if (i == 8) { /* it has one too many */
            g_free(host->tags[5000]);
            host->tags[5000] = g_strdup("other05000");
        }
    }
    g_autoptr(GPtrArray) candidates = gw_plan_candidates(s->fabric, s->vm, NULL);
    assert_true(candidate_of(candidates, "h0006")->suitable);
    assert_true(has_finding(candidate_of(candidates, "h0007"), "run-on"));
    assert_false(has_finding(candidate_of(candidates, "h0007"), "keep-off"));
    assert_true(has_finding(candidate_of(candidates, "h0008"), "run-on"));
    assert_true(has_finding(candidate_of(candidates, "h0008"), "keep-off"));
    assert_true(has_finding(candidate_of(candidates, "kvm2"), "run-on"));
    g_autoptr(GError) error = NULL;
    assert_true(gw_plan_check_rule(s->fabric, all, &error));
    scenario_free(s);
}

/* Rules between as many VMs as there may be, over 1,000 hosts. */
static void ten_thousand_vms(void **state)
{
    enum { HOSTS = 1000 };
    Scenario *s = ask("{\"vms\": [{\"host_id\": \"kvm1\"}]}");
    GwPlacementRule *apart = put_rule(s->fabric, GW_RULE_KIND_APART, "apart");
    GwPlacementRule *together = put_rule(s->fabric, GW_RULE_KIND_TOGETHER, "together");
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < HOSTS; i++)
        add_host(s->fabric, gw_fabric_host(s->fabric, "kvm2"), i);
    apart->vms = g_new0(char *, GW_RULE_VMS_MAX + 1);
    together->vms = g_new0(char *, GW_RULE_VMS_MAX + 1);
    for (guint i = 1; i < GW_RULE_VMS_MAX; i++) {
        add_vm(s->fabric, s->vm, i, HOSTS - 1); /* none on the last */
        apart->vms[i] = uuid_of(i);
        together->vms[i] = uuid_of(i);
    }
    apart->vms[0] = g_strdup(s->vm->uuid);
    together->vms[0] = g_strdup(s->vm->uuid);
    g_autoptr(GPtrArray) candidates = gw_plan_candidates(s->fabric, s->vm, NULL);
    assert_int_equal(candidates->len, HOSTS + 2);
    assert_true(has_finding(candidate_of(candidates, "h0500"), "vm-anti-affinity"));
    assert_false(has_finding(candidate_of(candidates, "h0500"), "vm-affinity"));
    assert_false(has_finding(candidate_of(candidates, "h0999"), "vm-anti-affinity"));
    assert_true(has_finding(candidate_of(candidates, "h0999"), "vm-affinity"));
    assert_false(gw_plan_check_rule(s->fabric, apart, &error));
    assert_non_null(strstr(error->message, "and rule 'together' together"));
    together->disabled = TRUE;
    g_clear_error(&error);
    assert_false(gw_plan_check_rule(s->fabric, apart, &error));
    assert_non_null(strstr(error->message, "keeps 10000 VMs apart, and there are 1002 hosts"));
    scenario_free(s);
}

/* One shared part for many questions gives the same answers as one for each. */
static void sharing_changes_nothing(void **state)
{
    Scenario *s = ask("{\"hosts\": [{\"id\": \"kvm1\"}, {\"id\": \"kvm2\"}, {\"id\": \"kvm3\"}], "
                      "\"vms\": [{}, {\"uuid\": \"b\", \"name\": \"b\", \"host_id\": \"kvm2\"}], "
                      "\"jobs\": [{\"state\": \"queued\", \"vm_uuid\": \"c\", \"vm_memory_kib\": "
                      "1048576}]}");
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(s->fabric);
    GwPlacementRule *apart = put_rule(s->fabric, GW_RULE_KIND_APART, "apart");
    const GwVm *const vms[] = { s->vm, gw_fabric_vm(s->fabric, "kvm2", "b") };

    apart->vms = g_strdupv((char *[]){ s->vm->uuid, (char *)"b", NULL });
    for (guint turn = 0; turn < 4; turn++) {
        for (guint h = 1; h <= 3; h++) {
            g_autofree char *id = g_strdup_printf("kvm%u", h);
            GwPlanInput input = { .fabric = s->fabric,
                                  .vm = vms[turn % 2],
                                  .source = gw_fabric_host(s->fabric, vms[turn % 2]->host_id),
                                  .destination = gw_fabric_host(s->fabric, id) };
            g_autoptr(GwCandidate) alone = gw_plan_candidate(&input);
            gw_plan_rate(&input, alone);
            input.shared = shared;
            g_autoptr(GwCandidate) together = gw_plan_candidate(&input);
            gw_plan_rate(&input, together);
            assert_true(gw_record_equal(&gw_candidate_record, alone, together));
        }
    }
    scenario_free(s);
}

/* A host that is compared with others holds the VM already: it takes nothing more there. */
static void rating_of_the_own_host(void **state)
{
    Scenario *s = ask("{\"hosts\": [{\"id\": \"kvm1\", \"facts\": {\"usage\": {\"cpu_permille\": "
                      "500}}}]}");
    g_autoptr(GwCandidate) candidate = gw_candidate_new();
    GwPlanInput input = { .fabric = s->fabric,
                          .vm = s->vm,
                          .source = gw_fabric_host(s->fabric, "kvm1") };

    input.destination = input.source;
    candidate->suitable = TRUE;
    gw_plan_rate(&input, candidate);
    assert_sane(candidate->rating);
    const GwRatingFactor *memory =
        gw_record_find(&gw_rating_factor_record, candidate->rating->factors, "name", "memory");
    assert_non_null(strstr(memory->observed, "has 32.0 GiB of 64.0 GiB"));
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conflicts_of_rules_that_are_there),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(numbers_at_their_bounds),
        cmocka_unit_test(hosts_without_facts),
        cmocka_unit_test(order_is_the_pictures),
        cmocka_unit_test(ten_thousand_tags),
        cmocka_unit_test(ten_thousand_vms),
        cmocka_unit_test(sharing_changes_nothing),
        cmocka_unit_test(rating_of_the_own_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
