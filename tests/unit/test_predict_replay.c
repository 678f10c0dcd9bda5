/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "scenario.h"

/* How well predictions would have done on moves that were really made, by bench/predict.py: each is
 * predicted from what was known before it, and then learned from. Every link is a fabric of its
 * own. A file of other such moves is read with GODWIT_REPLAY=FILE. */

#define MIB ((gint64)1048576)
#define MOVES_MAX 512
#define SETTLED 3 /* moves over a link after which it is known */

enum { TIME, DOWNTIME, BYTES, FIGURES };
static const char *const figure_names[] = { "time", "downtime", "bytes" };

typedef struct {
    const char *link, *disk; /* of the row that it is of */
    guint nth;               /* over its link */
    double came[FIGURES];    /* 0: nothing to compare */
    GwInterval said[FIGURES];
} Outcome;

typedef struct {
    json_t *rows;
    Outcome outcomes[MOVES_MAX];
    guint count;
} Replay;

/* Two hosts with a share whose locks hold. */
static const char fabric_of_two[] =
    "{'destination': 'kvm2', 'options': {}, 'hosts': [{'id': 'kvm1'}, {'id': 'kvm2'}],"
    " 'shares': [{'id': 'S1', 'name': 'images', 'proved': true, 'locks_proved': true, 'members':"
    "  [{'host_id': 'kvm1', 'pool': 'images'}, {'host_id': 'kvm2', 'pool': 'images'}]}],"
    " 'vms': [{'disks': [{'source': '/var/lib/libvirt/images/web1.qcow2', 'cache': 'none'}]}]}";

static Scenario *fabric_new(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "base.json", NULL);
    g_autofree char *text = g_strdelimit(g_strdup(fabric_of_two), "'", '"');
    g_autoptr(GwJson) base = gw_json_load(path, &error);
    g_autoptr(GwJson) in = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, &error);
    Scenario *s = base != NULL && in != NULL ? scenario_new(base, in, &error) : NULL;

    if (s == NULL)
        fail_msg("%s", error->message);
    return s;
}

/* The candidate that the move was: what its disks were to need was asked of the host then. */
static GwCandidate *candidate_of(const GwJob *job)
{
    GwCandidate *candidate = gw_candidate_new();

    candidate->suitable = TRUE;
    candidate->transfer = job->transfer;
    candidate->disks = gw_record_array(&gw_disk_move_record);
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++)
        g_ptr_array_add(candidate->disks, gw_disk_move_copy(job->disks->pdata[i]));
    return candidate;
}

static GwPrediction *predict(Scenario *s, const GwJob *job, const GwVm *seen)
{
    g_autoptr(GPtrArray) images = g_ptr_array_new(); /* they were asked */
    g_autoptr(GwCandidate) candidate = candidate_of(job);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(s->fabric);
    GwPlanInput input = scenario_input(s);
    GwVm *vm = (GwVm *)s->vm;

    vm->memory_kib = seen->memory_kib;
    vm->max_memory_kib = seen->max_memory_kib;
    gw_vm_usage_free(vm->usage);
    vm->usage = gw_vm_usage_copy(seen->usage);
    /* No lock says that the source is gone: the destination waits for word of it. */
    ((GwDisk *)vm->disks->pdata[0])->shareable = job->commit_by_resume;
    input.images = images;
    input.destination = gw_fabric_host(s->fabric, "kvm2");
    return gw_predict(predictor, &input, candidate);
}

static void assert_interval(const GwInterval *interval)
{
    assert_non_null(interval);
    assert_true(interval->low >= 0);
    assert_true(interval->low <= interval->likely);
    assert_true(interval->likely <= interval->high);
}

static void assert_sane(const GwPrediction *said)
{
    assert_interval(said->total_ms);
    assert_interval(said->bytes);
    assert_interval(said->downtime_ms);
    assert_true(said->link_bps >= 0);
    assert_true(said->dirty_bps >= -1);
    assert_true(said->memory_bytes >= 0 && said->disk_bytes >= 0);
    assert_true(g_strv_length(said->basis) > 0);
}

/* As docs/prediction.md counts it: without the queue; and of a mirror libvirt counts holes. */
static void note(Outcome *outcome, const GwJob *job, const GwPrediction *said)
{
    const GwMoveResult *result = job->result;

    outcome->came[TIME] = (double)(result->total_ms - result->queued_ms);
    outcome->came[DOWNTIME] = (double)result->downtime_ms;
    outcome->came[BYTES] =
        strcmp(outcome->disk, "local") == 0 ? 0 : (double)result->transferred_bytes;
    outcome->said[TIME] = *said->total_ms;
    outcome->said[DOWNTIME] = *said->downtime_ms;
    outcome->said[BYTES] = *said->bytes;
}

/* The fabric keeps the job with what is said of it now, as a controller would have. */
static void replay_row(Scenario *s, json_t *row, Outcome *outcome)
{
    g_autoptr(GError) error = NULL;
    GwJob *job = gw_record_from_stored(&gw_job_record, json_object_get(row, "job"), &error);
    g_autoptr(GwVm) seen = gw_record_from_stored(&gw_vm_record, json_object_get(row, "vm"), &error);

    if (error != NULL)
        fail_msg("%s", error->message);
    g_free(job->source_host_id);
    g_free(job->destination_host_id);
    job->source_host_id = g_strdup("kvm1");
    job->destination_host_id = g_strdup("kvm2");
    gw_prediction_free(job->prediction);
    job->prediction = predict(s, job, seen);
    assert_sane(job->prediction);
    note(outcome, job, job->prediction);
    gw_fabric_put_job(s->fabric, job);
}

static Replay *replay_file(const char *path)
{
    g_autoptr(GError) error = NULL;
    Replay *replay = g_new0(Replay, 1);
    Scenario *s = NULL;

    replay->rows = gw_json_load(path, &error);
    if (replay->rows == NULL)
        fail_msg("%s", error->message);
    assert_true(json_array_size(replay->rows) <= MOVES_MAX);
    for (; replay->count < json_array_size(replay->rows); replay->count++) {
        json_t *row = json_array_get(replay->rows, replay->count);
        Outcome *outcome = &replay->outcomes[replay->count];
        outcome->link = json_string_value(json_object_get(row, "link"));
        outcome->disk = json_string_value(json_object_get(row, "disk"));
        outcome->nth = (guint)json_integer_value(json_object_get(row, "nth"));
        if (outcome->nth == 0) {
            g_clear_pointer(&s, scenario_free);
            s = fabric_new();
        }
        replay_row(s, row, outcome);
    }
    g_clear_pointer(&s, scenario_free);
    return replay;
}

static void replay_free(Replay *replay)
{
    json_decref(replay->rows);
    g_free(replay);
}

/* What they come to --------------------------------------------------------------------------- */

typedef struct {
    guint moves, covered, narrow;
    double errors[MOVES_MAX], widths[MOVES_MAX];
} Tally;

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void count(Tally *tally, double came, const GwInterval *said)
{
    double wide = (double)said->high / (double)MAX(said->low, 1);

    tally->widths[tally->moves] = wide;
    tally->errors[tally->moves++] = exp(fabs(log(came / (double)MAX(said->likely, 1))));
    tally->covered += came >= (double)said->low && came <= (double)said->high;
    tally->narrow += wide <= 2;
}

/* Of those over @link and with @disk (NULL: any), from the @first of a link on. */
static Tally tally_of(const Replay *replay, int figure, const char *link, const char *disk,
                      guint first)
{
    Tally tally = { 0 };

    for (guint i = 0; i < replay->count; i++) {
        const Outcome *outcome = &replay->outcomes[i];
        if ((link == NULL || strcmp(outcome->link, link) == 0) &&
            (disk == NULL || strcmp(outcome->disk, disk) == 0) && outcome->nth >= first &&
            outcome->came[figure] > 0)
            count(&tally, outcome->came[figure], &outcome->said[figure]);
    }
    qsort(tally.errors, tally.moves, sizeof(double), ascending);
    qsort(tally.widths, tally.moves, sizeof(double), ascending);
    return tally;
}

static void print_tally(const char *name, const Tally *tally)
{
    if (tally->moves == 0)
        return;
    print_message("#   %-22s %3u moves: off x%.2f, 90 %% x%.2f; covered %3.0f %%; width x%.2f, "
                  "<= 2 %3.0f %%\n",
                  name, tally->moves, tally->errors[tally->moves / 2],
                  tally->errors[tally->moves * 9 / 10], 100.0 * tally->covered / tally->moves,
                  tally->widths[tally->moves / 2], 100.0 * tally->narrow / tally->moves);
}

static void print_replay(const Replay *replay)
{
    static const char *const disks[] = { "shared", "local", "none" };

    for (int figure = 0; figure < FIGURES; figure++) {
        Tally all = tally_of(replay, figure, NULL, NULL, 0);
        Tally settled = tally_of(replay, figure, NULL, NULL, SETTLED);
        print_message("# %s\n", figure_names[figure]);
        print_tally("all", &all);
        print_tally("after the first 3", &settled);
        for (guint i = 0; i < replay->count; i++) {
            const char *link = replay->outcomes[i].link;
            Tally of_link = tally_of(replay, figure, link, NULL, 0);
            if (replay->outcomes[i].nth == 0)
                print_tally(link, &of_link);
        }
        for (guint i = 0; i < G_N_ELEMENTS(disks); i++) {
            Tally of_disk = tally_of(replay, figure, NULL, disks[i], 0);
            g_autofree char *name = g_strdup_printf("disk %s", disks[i]);
            print_tally(name, &of_disk);
        }
    }
}

static void print_moves(const Replay *replay)
{
    for (guint i = 0; i < replay->count; i++) {
        const Outcome *o = &replay->outcomes[i];
        print_message("# %s %u:", o->link, o->nth);
        for (int figure = 0; figure < FIGURES; figure++) {
            const GwInterval *said = &o->said[figure];
            double scale = figure == BYTES ? (double)MIB : 1;
            const char *where = o->came[figure] < (double)said->low    ? "BELOW "
                                : o->came[figure] > (double)said->high ? "ABOVE "
                                                                       : "";
            print_message(" %s %s%.0f (%.0f: %.0f-%.0f)", figure_names[figure], where,
                          o->came[figure] / scale, (double)said->likely / scale,
                          (double)said->low / scale, (double)said->high / scale);
        }
        print_message("\n");
    }
}

static Replay *replay_kept(const char *name)
{
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "..", "predict", name, NULL);
    Replay *replay = replay_file(path);

    print_message("# %s\n", name);
    print_replay(replay);
    return replay;
}

/* What they came to is a figure of that lab (docs/measured.md); what is held fast here is that the
 * model stays as good on them (R66: 80 of 100 within the interval, and that no wider than 2). */
typedef struct {
    guint moves, covered; /* at least; covered: of 100 */
    double error, width;  /* at most, of half of them */
    guint narrow;         /* at least, of 100 */
} Floor;

static void hold(const Tally *tally, Floor floor)
{
    assert_true(tally->moves >= floor.moves);
    assert_true(tally->covered * 100 >= tally->moves * floor.covered);
    assert_true(tally->narrow * 100 >= tally->moves * floor.narrow);
    assert_true(tally->errors[tally->moves / 2] <= floor.error);
    assert_true(tally->widths[tally->moves / 2] <= floor.width);
}

static void moves_of_a_busy_machine_are_covered(void **unused)
{
    Replay *replay = replay_kept("replay.json");
    Tally time = tally_of(replay, TIME, NULL, NULL, 0);
    Tally downtime = tally_of(replay, DOWNTIME, NULL, NULL, 0);

    hold(&time, (Floor){ 36, 80, 1.3, 2.2, 45 });
    hold(&downtime, (Floor){ 36, 80, 1.3, 3, 0 });
    replay_free(replay);
}

static void moves_of_a_quiet_machine_are_covered(void **unused)
{
    static const char *const links[] = { "1gbit", "200mbit", "none" };
    Replay *replay = replay_kept("quiet.json");
    Tally time = tally_of(replay, TIME, NULL, NULL, 0);
    Tally downtime = tally_of(replay, DOWNTIME, NULL, NULL, 0);

    hold(&time, (Floor){ 60, 80, 1.2, 1.9, 67 });
    hold(&downtime, (Floor){ 60, 80, 1.35, 2.8, 0 });
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        Tally of_link = tally_of(replay, TIME, links[i], NULL, 0);
        hold(&of_link, (Floor){ 20, 80, 1.25, 2, 50 });
    }
    replay_free(replay);
}

static void another_file_is_told(void **unused)
{
    Replay *replay = replay_file(g_getenv("GODWIT_REPLAY"));

    print_moves(replay);
    print_replay(replay);
    for (guint i = 0; i < replay->count; i++)
        assert_true(replay->outcomes[i].said[TIME].low <= replay->outcomes[i].said[TIME].high);
    replay_free(replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_of_a_busy_machine_are_covered),
        cmocka_unit_test(moves_of_a_quiet_machine_are_covered),
    };
    const struct CMUnitTest told[] = { cmocka_unit_test(another_file_is_told) };

    if (g_getenv("GODWIT_REPLAY") != NULL)
        return cmocka_run_group_tests(told, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
