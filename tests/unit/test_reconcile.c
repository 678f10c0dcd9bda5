/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "job/reconcile.h"
#include "model/vm.h"

/* The table of RECOVERY, over every pair of words that two hosts can say. */

#define HAS_NO_PROCESS(s) ((s) == GW_SIDE_ABSENT || (s) == GW_SIDE_OFF || (s) == GW_SIDE_MIGRATED)
#define IS_WHOLE(s) ((s) == GW_SIDE_RUNNING || (s) == GW_SIDE_PAUSED)
#define IS_STOPPED(s) ((s) == GW_SIDE_PAUSED || (s) == GW_SIDE_MIGRATING)

typedef void (*Each)(GwSeen source, GwSeen destination, GwIntent intent);

static void for_every_pair(Each each)
{
    for (int s = 0; s < GW_SIDE_COUNT; s++) {
        for (int d = 0; d < GW_SIDE_COUNT; d++) {
            for (int flags = 0; flags < 512; flags++) {
                GwSeen source = { (GwSide)s, flags & 1, (flags & 2) != 0, FALSE, FALSE, FALSE };
                GwSeen destination = { (GwSide)d, (flags & 4) != 0, (flags & 8) != 0, FALSE, FALSE,
                                       FALSE };
                GwIntent intent = { (flags & 16) != 0, (flags & 32) != 0, (flags & 64) != 0,
                                    (flags & 128) != 0, (flags & 256) != 0 };
                if (intent.source_old && intent.destination_old)
                    continue;
                each(source, destination, intent);
            }
        }
    }
}

static void explain(GwSeen source, GwSeen destination, GwSettle settle)
{
    g_autofree char *a = gw_seen_words(source);
    g_autofree char *b = gw_seen_words(destination);
    fail_msg("%s x %s -> %s", a, b, gw_settle_word(settle));
}

/* A definition without persistence, or absence with it, no host can say. */
static gboolean is_possible(GwSeen seen)
{
    gboolean defined = seen.side == GW_SIDE_OFF || seen.side == GW_SIDE_MIGRATED;
    if (seen.side == GW_SIDE_ABSENT)
        return !seen.persistent && !seen.job_active;
    return !defined || (seen.persistent && !seen.job_active);
}

static void check_safety(GwSeen source, GwSeen destination, GwIntent intent)
{
    const char *why = NULL;
    GwSettle settle = gw_reconcile(source, destination, intent, &why);
    gboolean ok = TRUE;

    assert_non_null(why);
    if (!is_possible(source) || !is_possible(destination))
        return;
    switch (settle) {
    case GW_SETTLE_RESUME_SOURCE:
        ok = HAS_NO_PROCESS(destination.side) && IS_STOPPED(source.side) && !source.job_active &&
             !intent.source_old;
        if (intent.unwatched) /* it may have run and stopped unseen */
            ok = ok && destination.side == GW_SIDE_ABSENT && intent.vm_persistent;
        break;
    case GW_SETTLE_RESUME_DESTINATION:
        ok = HAS_NO_PROCESS(source.side) && destination.side == GW_SIDE_PAUSED &&
             !intent.destination_old;
        break;
    case GW_SETTLE_DESTROY_SOURCE:
        ok = (IS_WHOLE(destination.side) || intent.source_old) && IS_STOPPED(source.side) &&
             !source.job_active;
        break;
    case GW_SETTLE_DESTROY_DESTINATION:
        ok =
            (source.side == GW_SIDE_RUNNING || IS_STOPPED(source.side) || intent.destination_old) &&
            !source.job_active && destination.side != GW_SIDE_RUNNING;
        break;
    case GW_SETTLE_UNDEFINE_SOURCE:
        ok = HAS_NO_PROCESS(source.side) && destination.side != GW_SIDE_ABSENT &&
             destination.persistent;
        break;
    case GW_SETTLE_UNDEFINE_DESTINATION:
        ok = HAS_NO_PROCESS(destination.side) && source.persistent;
        break;
    case GW_SETTLE_KEEP_SOURCE:
        ok = source.side == GW_SIDE_RUNNING && destination.side == GW_SIDE_ABSENT;
        break;
    case GW_SETTLE_COMMITTED:
        ok = source.side == GW_SIDE_ABSENT && destination.side == GW_SIDE_RUNNING;
        break;
    case GW_SETTLE_STOPPED:
        ok = HAS_NO_PROCESS(source.side) && HAS_NO_PROCESS(destination.side);
        break;
    case GW_SETTLE_PAUSE_SOURCE:
        ok = source.side == GW_SIDE_RUNNING && destination.side == GW_SIDE_RUNNING &&
             !source.job_active;
        break;
    case GW_SETTLE_DEFINE_SOURCE:
    case GW_SETTLE_DEFINE_DESTINATION:
        ok = intent.vm_persistent || source.persistent || destination.persistent;
        break;
    case GW_SETTLE_AUTOSTART_SOURCE: /* the move's own, not the table's */
    case GW_SETTLE_AUTOSTART_DESTINATION:
    case GW_SETTLE_FENCE:
    case GW_SETTLE_STORAGE_BACK:
    case GW_SETTLE_STORAGE_ON:
        ok = FALSE;
        break;
    case GW_SETTLE_WAIT:
    case GW_SETTLE_WATCH:
    case GW_SETTLE_HOLD:
    case GW_SETTLE_COUNT:
        break;
    }
    if (!ok)
        explain(source, destination, settle);
}

static void check_silence(GwSeen source, GwSeen destination, GwIntent intent)
{
    const char *why = NULL;
    GwSettle settle = gw_reconcile(source, destination, intent, &why);

    if ((source.side == GW_SIDE_UNKNOWN || destination.side == GW_SIDE_UNKNOWN) &&
        settle != GW_SETTLE_WAIT)
        explain(source, destination, settle);
}

/* Once memory may lie on both sides, the source is neither resumed nor destroyed by us. */
static void check_post_copy(GwSeen source, GwSeen destination, GwIntent intent)
{
    const char *why = NULL;
    GwSettle settle = gw_reconcile(source, destination, intent, &why);
    gboolean split = source.side == GW_SIDE_POST_COPY || destination.side == GW_SIDE_POST_COPY;

    if (split && settle != GW_SETTLE_WAIT && settle != GW_SETTLE_WATCH && settle != GW_SETTLE_HOLD)
        explain(source, destination, settle);
}

/* What the step does to the two hosts, as libvirt does it. */
static void apply(GwSettle settle, GwSeen *source, GwSeen *destination)
{
    GwSeen *side =
        settle == GW_SETTLE_RESUME_DESTINATION || settle == GW_SETTLE_DESTROY_DESTINATION ||
                settle == GW_SETTLE_UNDEFINE_DESTINATION || settle == GW_SETTLE_DEFINE_DESTINATION
            ? destination
            : source;
    switch (settle) {
    case GW_SETTLE_RESUME_SOURCE:
    case GW_SETTLE_RESUME_DESTINATION:
        side->side = GW_SIDE_RUNNING;
        break;
    case GW_SETTLE_DESTROY_SOURCE:
    case GW_SETTLE_DESTROY_DESTINATION:
        side->side = side->persistent ? GW_SIDE_OFF : GW_SIDE_ABSENT;
        break;
    case GW_SETTLE_UNDEFINE_SOURCE:
    case GW_SETTLE_UNDEFINE_DESTINATION:
        *side = (GwSeen){ .side = GW_SIDE_ABSENT };
        break;
    case GW_SETTLE_DEFINE_SOURCE:
    case GW_SETTLE_DEFINE_DESTINATION:
        side->persistent = TRUE;
        if (side->side == GW_SIDE_ABSENT)
            side->side = GW_SIDE_OFF;
        break;
    case GW_SETTLE_PAUSE_SOURCE:
        side->side = GW_SIDE_PAUSED;
        break;
    default:
        break;
    }
}

static gboolean is_end(GwSettle settle)
{
    return settle == GW_SETTLE_WAIT || settle == GW_SETTLE_WATCH || settle == GW_SETTLE_HOLD ||
           settle == GW_SETTLE_KEEP_SOURCE || settle == GW_SETTLE_COMMITTED ||
           settle == GW_SETTLE_STOPPED;
}

/* From wherever it begins, it ends in a few steps; and no step on the way takes the last definition
 * or the last whole copy away (I2). */
static void check_it_ends(GwSeen source, GwSeen destination, GwIntent intent)
{
    if (!is_possible(source) || !is_possible(destination))
        return;
    const GwSeen first_source = source, first_destination = destination;

    for (int step = 0; step < 8; step++) {
        const char *why = NULL;
        gboolean defined = source.persistent || destination.persistent;
        GwSettle settle = gw_reconcile(source, destination, intent, &why);
        if (is_end(settle))
            return;
        apply(settle, &source, &destination);
        if (defined && !source.persistent && !destination.persistent)
            explain(first_source, first_destination, settle);
    }
    explain(first_source, first_destination, GW_SETTLE_COUNT);
}

static void test_no_row_endangers_the_vm(void **unused)
{
    (void)unused;
    for_every_pair(check_safety);
}

static void test_silence_is_never_absence(void **unused)
{
    (void)unused;
    for_every_pair(check_silence);
}

static void test_post_copy_is_left_alone(void **unused)
{
    (void)unused;
    for_every_pair(check_post_copy);
}

static void test_it_always_ends(void **unused)
{
    (void)unused;
    for_every_pair(check_it_ends);
}

/* RECOVERY's own table, row by row. */
static void test_the_published_rows(void **unused)
{
    static const struct {
        GwSeen source, destination;
        GwSettle settle;
    } rows[] = {
        { { GW_SIDE_UNKNOWN, 0, 0, 0, 0, 0 }, { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 }, GW_SETTLE_WAIT },
        { { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 }, { GW_SIDE_UNKNOWN, 0, 0, 0, 0, 0 }, GW_SETTLE_WAIT },
        { { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          { GW_SIDE_ABSENT, 0, 0, 0, 0, 0 },
          GW_SETTLE_KEEP_SOURCE },
        { { GW_SIDE_RUNNING, 1, 1, 0, 0, 0 },
          { GW_SIDE_MIGRATING, 1, 0, 0, 0, 0 },
          GW_SETTLE_WATCH },
        { { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          { GW_SIDE_PAUSED, 0, 0, 0, 0, 0 },
          GW_SETTLE_DESTROY_DESTINATION },
        { { GW_SIDE_MIGRATING, 0, 1, 0, 0, 0 },
          { GW_SIDE_ABSENT, 0, 0, 0, 0, 0 },
          GW_SETTLE_RESUME_SOURCE },
        { { GW_SIDE_MIGRATING, 0, 1, 0, 0, 0 },
          { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          GW_SETTLE_DESTROY_SOURCE },
        { { GW_SIDE_ABSENT, 0, 0, 0, 0, 0 },
          { GW_SIDE_PAUSED, 0, 1, 0, 0, 0 },
          GW_SETTLE_RESUME_DESTINATION },
        { { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          GW_SETTLE_PAUSE_SOURCE },
        /* Asked while it was still sending, and the other a moment later: no double. */
        { { GW_SIDE_RUNNING, 1, 1, 0, 0, 0 }, { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 }, GW_SETTLE_WATCH },
        { { GW_SIDE_POST_COPY, 1, 1, 0, 0, 0 },
          { GW_SIDE_RUNNING, 0, 0, 0, 0, 0 },
          GW_SETTLE_WATCH },
        { { GW_SIDE_POST_COPY, 0, 1, 0, 0, 0 },
          { GW_SIDE_POST_COPY, 0, 0, 0, 0, 0 },
          GW_SETTLE_HOLD },
        { { GW_SIDE_MIGRATED, 0, 1, 0, 0, 0 },
          { GW_SIDE_RUNNING, 0, 1, 0, 0, 0 },
          GW_SETTLE_UNDEFINE_SOURCE },
        { { GW_SIDE_MIGRATED, 0, 1, 0, 0, 0 },
          { GW_SIDE_RUNNING, 0, 0, 0, 0, 0 },
          GW_SETTLE_DEFINE_DESTINATION },
        { { GW_SIDE_OTHER, 0, 1, 0, 0, 0 }, { GW_SIDE_RUNNING, 0, 0, 0, 0, 0 }, GW_SETTLE_WAIT },
    };
    const GwIntent intent = { .vm_persistent = TRUE };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *why = NULL;
        GwSettle settle = gw_reconcile(rows[i].source, rows[i].destination, intent, &why);
        if (settle != rows[i].settle)
            explain(rows[i].source, rows[i].destination, settle);
    }
}

static void test_words_of_libvirt(void **unused)
{
    static const struct {
        int state;
        const char *reason;
        GwSide side;
    } words[] = {
        { GW_VM_RUNNING, "migrated", GW_SIDE_RUNNING },
        { GW_VM_RUNNING, "migration-canceled", GW_SIDE_RUNNING },
        { GW_VM_RUNNING, "post-copy", GW_SIDE_POST_COPY },
        { GW_VM_PAUSED, "user", GW_SIDE_PAUSED },
        { GW_VM_PAUSED, "io-error", GW_SIDE_PAUSED },
        { GW_VM_PAUSED, "migration", GW_SIDE_MIGRATING },
        { GW_VM_PAUSED, "starting-up", GW_SIDE_MIGRATING },
        { GW_VM_PAUSED, "post-copy-failed", GW_SIDE_POST_COPY },
        { GW_VM_OFF, "migrated", GW_SIDE_MIGRATED },
        { GW_VM_OFF, "crashed", GW_SIDE_OFF },
        { GW_VM_UNKNOWN, "a word of tomorrow", GW_SIDE_OTHER },
        { GW_VM_CRASHED, "panicked", GW_SIDE_OTHER },
    };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        assert_int_equal(gw_side_of(TRUE, words[i].state, words[i].reason), words[i].side);
    assert_int_equal(gw_side_of(FALSE, GW_VM_RUNNING, "booted"), GW_SIDE_ABSENT);
}

/* Agents' own commit ----------------------------------------------------------------------- */

/* What may happen by itself after the controller looked: a process ends. */
static gboolean end_process(GwSeen *side, gboolean migrated)
{
    if (side->side < GW_SIDE_RUNNING || side->side > GW_SIDE_MIGRATING)
        return FALSE;
    side->side = !side->persistent ? GW_SIDE_ABSENT : migrated ? GW_SIDE_MIGRATED : GW_SIDE_OFF;
    side->job_active = FALSE;
    return TRUE;
}

/* What an agent then does, who knows nothing of the job but its leave. */
static GwSettle alone(GwSeen source, GwSeen destination)
{
    const char *why = NULL;
    GwIntent intent = { .vm_persistent = source.persistent || destination.persistent };
    GwSettle settle = gw_reconcile(source, destination, intent, &why);
    gboolean takes = settle == GW_SETTLE_RESUME_SOURCE ||
                     (settle == GW_SETTLE_RESUME_DESTINATION && source.side == GW_SIDE_MIGRATED);
    return takes ? settle : GW_SETTLE_WAIT;
}

static guint needs_fence;

/* The controller looks, something happens, an agent acts on it, and then the controller's step
 * strikes. Only a step that destroys may do harm; the move has both agents stop before it. */
static void check_races(GwSeen source, GwSeen destination, GwIntent intent)
{
    const char *why = NULL;
    GwSettle step = gw_reconcile(source, destination, intent, &why);

    if (!is_possible(source) || !is_possible(destination) || intent.unwatched)
        return;
    for (int event = 0; event < 4; event++) {
        GwSeen s = source, d = destination;
        if (event > 0 && !end_process(event == 3 ? &d : &s, event == 1))
            continue;
        GwSettle agent = alone(s, d);
        if (agent == GW_SETTLE_WAIT)
            continue;
        apply(agent, &s, &d);
        gboolean destroys = (step == GW_SETTLE_DESTROY_SOURCE && s.side == GW_SIDE_RUNNING) ||
                            (step == GW_SETTLE_DESTROY_DESTINATION && d.side == GW_SIDE_RUNNING);
        gboolean resumes = (step == GW_SETTLE_RESUME_SOURCE && IS_STOPPED(s.side)) ||
                           (step == GW_SETTLE_RESUME_DESTINATION && IS_STOPPED(d.side));
        needs_fence += destroys;
        if (resumes && (s.side == GW_SIDE_RUNNING || d.side == GW_SIDE_RUNNING))
            explain(source, destination, step);
        if ((s.side == GW_SIDE_RUNNING && step == GW_SETTLE_UNDEFINE_SOURCE) ||
            (d.side == GW_SIDE_RUNNING && step == GW_SETTLE_UNDEFINE_DESTINATION))
            explain(source, destination, step); /* libvirt refuses, but nobody should try */
    }
}

static void test_an_agent_that_is_faster_does_no_harm(void **unused)
{
    (void)unused;
    needs_fence = 0;
    for_every_pair(check_races);
    assert_true(needs_fence > 0); /* else the fence were for nothing */
}

static void test_a_process_that_libvirt_does_not_know(void **unused)
{
    (void)unused;
    for (int side = 0; side < GW_SIDE_COUNT; side++) {
        GwSeen said = { .side = (GwSide)side, .persistent = TRUE };
        GwSeen none = gw_seen_attested(said, 0), one = gw_seen_attested(said, 1);
        assert_memory_equal(&none, &said, sizeof said);
        if (HAS_NO_PROCESS(side)) {
            const char *why = NULL;
            GwSeen paused = { .side = GW_SIDE_PAUSED, .persistent = TRUE };
            assert_int_equal(one.side, GW_SIDE_UNKNOWN);
            assert_true(one.lingers);
            assert_int_equal(gw_reconcile(one, paused, (GwIntent){ .vm_persistent = TRUE }, &why),
                             GW_SETTLE_WAIT);
            assert_non_null(strstr(why, "process table"));
            assert_int_equal(gw_reconcile(paused, one, (GwIntent){ .vm_persistent = TRUE }, &why),
                             GW_SETTLE_WAIT);
            assert_non_null(strstr(why, "destination's libvirt"));
        } else {
            assert_memory_equal(&one, &said, sizeof said);
        }
    }
    /* The table could not be read: an agent says so by a negative number or not at all. */
    assert_int_equal(gw_seen_attested((GwSeen){ .side = GW_SIDE_ABSENT }, -1).side,
                     GW_SIDE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_row_endangers_the_vm),
        cmocka_unit_test(test_silence_is_never_absence),
        cmocka_unit_test(test_post_copy_is_left_alone),
        cmocka_unit_test(test_it_always_ends),
        cmocka_unit_test(test_the_published_rows),
        cmocka_unit_test(test_words_of_libvirt),
        cmocka_unit_test(test_an_agent_that_is_faster_does_no_harm),
        cmocka_unit_test(test_a_process_that_libvirt_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
