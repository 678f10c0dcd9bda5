/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "agent/commit.h"

/* One agent against single words; then two of them, with two hosts, a libvirt that fails in all the
 * ways that were seen, a network that loses and delays, and agents that die. */

#define MS(n) ((gint64)(n)*1000)

static GwWord word_of(GwSide side, const char *reason, gboolean job, gint64 processes)
{
    GwWord word = { .side = side, .job_active = job, .persistent = TRUE, .processes = processes };
    g_strlcpy(word.reason, reason, sizeof word.reason);
    return word;
}

static guint step(GwCommit *commit, GwCommitEventKind kind, GwWord word)
{
    return gw_commit_step(
        commit,
        &(GwCommitEvent){
            .kind = kind, .word = word, .news = gw_commit_news(commit), .now_us = MS(1) },
        NULL);
}

static const GwWord none = GW_WORD_UNKNOWN;
#define RUNNING_MOVED word_of(GW_SIDE_RUNNING, "booted", TRUE, 1)
#define RUNNING word_of(GW_SIDE_RUNNING, "booted", FALSE, 1)
#define LEFT_PAUSED word_of(GW_SIDE_MIGRATING, "migration", FALSE, 1)
#define WHOLE word_of(GW_SIDE_PAUSED, "user", FALSE, 1)
#define ABSENT word_of(GW_SIDE_ABSENT, "", FALSE, 0)
#define MIGRATED word_of(GW_SIDE_MIGRATED, "migrated", FALSE, 0)

static GwWord closed_absent(void)
{
    GwWord word = ABSENT;
    word.closed = TRUE;
    return word;
}

static GwWord moved_away(void)
{
    GwWord word = MIGRATED;
    word.moved = TRUE;
    return word;
}

/* One destination ------------------------------------------------------------------------------ */

static void test_destination_fast_path(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(FALSE, 0);

    assert_true(step(commit, GW_COMMIT_BEGIN, none) & GW_COMMIT_DO_LOOK);
    step(commit, GW_COMMIT_LOOKED, ABSENT);
    guint todo = step(commit, GW_COMMIT_SOURCE_GONE, none);
    assert_true(todo & GW_COMMIT_DO_LOOK);
    assert_false(todo & GW_COMMIT_DO_RESUME); /* not before a look of its own */
    todo = step(commit, GW_COMMIT_LOOKED, WHOLE);
    assert_true(todo & GW_COMMIT_DO_RESUME);
    todo = gw_commit_step(commit, &(GwCommitEvent){ .kind = GW_COMMIT_RESUMED, .ok = TRUE }, NULL);
    assert_true(todo & GW_COMMIT_DO_PERSIST);
    assert_true(gw_commit_is_over(commit));
    /* A person pauses it afterwards: it stays so. */
    assert_false(step(commit, GW_COMMIT_LOOKED, WHOLE) & GW_COMMIT_DO_RESUME);
    assert_false(step(commit, GW_COMMIT_ATTESTED, moved_away()) & GW_COMMIT_DO_RESUME);
}

static void test_destination_every_word(void **state)
{
    for (int s = 0; s < GW_SIDE_COUNT; s++) {
        for (int flags = 0; flags < 256; flags++) {
            g_autoptr(GwCommit) commit = gw_commit_new(FALSE, 0);
            GwWord peer = { .side = (GwSide)s,
                            .job_active = flags & 1,
                            .persistent = (flags & 2) != 0,
                            .processes = (flags >> 2) % 4 - 1,
                            .ran = (flags & 16) != 0,
                            .moved = (flags & 32) != 0,
                            .closed = (flags & 64) != 0 };
            gboolean whole = (flags & 128) != 0;
            step(commit, GW_COMMIT_LOOKED,
                 whole ? WHOLE : word_of(GW_SIDE_MIGRATING, "migration", TRUE, 1));
            gboolean resumed = (step(commit, GW_COMMIT_ATTESTED, peer) & GW_COMMIT_DO_RESUME) != 0;
            gboolean gone = s == GW_SIDE_ABSENT || s == GW_SIDE_OFF || s == GW_SIDE_MIGRATED;
            gboolean may = whole && gone && peer.processes == 0 && peer.moved && !peer.ran;
            if (resumed != may)
                fail_msg("%s, flags %d: %s", gw_side_word((GwSide)s), flags,
                         resumed ? "resumed" : "not resumed");
        }
    }
}

static void test_destination_asks_every_second(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(FALSE, 0);

    assert_true(step(commit, GW_COMMIT_LOOKED, WHOLE) & GW_COMMIT_DO_ATTEST);
    assert_true(gw_commit_next_us(commit) <= MS(1001));
    step(commit, GW_COMMIT_ATTESTED, none);
    assert_true(step(commit, GW_COMMIT_TIMER, none) & GW_COMMIT_DO_LOOK);
    assert_true(step(commit, GW_COMMIT_LOOKED, WHOLE) & GW_COMMIT_DO_ATTEST);
    /* Neither an unreadable table nor two processes are a VM that can be run. */
    step(commit, GW_COMMIT_ATTESTED, none);
    step(commit, GW_COMMIT_LOOKED, word_of(GW_SIDE_PAUSED, "user", FALSE, -1));
    assert_false(step(commit, GW_COMMIT_ATTESTED, moved_away()) & GW_COMMIT_DO_RESUME);
    step(commit, GW_COMMIT_LOOKED, word_of(GW_SIDE_PAUSED, "user", FALSE, 2));
    assert_false(step(commit, GW_COMMIT_ATTESTED, moved_away()) & GW_COMMIT_DO_RESUME);
}

/* I1: the alarm that a VM runs twice is two answers, each to a question asked while it ran here. */
static void test_alarm_takes_two_answers(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(FALSE, 0);

    assert_true(step(commit, GW_COMMIT_LOOKED, WHOLE) & GW_COMMIT_DO_ATTEST);
    /* It was asked before it ran here; the source answered that it still ran. */
    assert_false(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
    guint todo = step(commit, GW_COMMIT_ATTESTED, RUNNING);
    assert_false(todo & GW_COMMIT_DO_ALARM_TWICE);
    assert_true(todo & GW_COMMIT_DO_LOOK);
    assert_true(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
    todo = step(commit, GW_COMMIT_ATTESTED, RUNNING);
    assert_false(todo & GW_COMMIT_DO_ALARM_TWICE);
    assert_true(todo & GW_COMMIT_DO_LOOK);
    assert_true(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
    assert_true(step(commit, GW_COMMIT_ATTESTED, RUNNING) & GW_COMMIT_DO_ALARM_TWICE);
    assert_false(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST); /* said once */
}

static void test_no_alarm_where_the_source_is_not_running(void **state)
{
    GwWord no_process = word_of(GW_SIDE_RUNNING, "", FALSE, 0);
    const GwWord words[] = { RUNNING_MOVED, LEFT_PAUSED, ABSENT, MIGRATED, none, no_process };

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GwCommit) commit = gw_commit_new(FALSE, 0);
        assert_true(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
        assert_true(step(commit, GW_COMMIT_ATTESTED, RUNNING) & GW_COMMIT_DO_LOOK);
        assert_true(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
        assert_int_equal(step(commit, GW_COMMIT_ATTESTED, words[i]), 0);
        assert_false(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_ATTEST);
    }
}

static void test_closed_does_nothing(void **state)
{
    for (int source = 0; source < 2; source++) {
        g_autoptr(GwCommit) commit = gw_commit_new(source, GW_COMMIT_MOVING);
        step(commit, GW_COMMIT_CLOSED, none);
        for (int kind = 0; kind <= GW_COMMIT_CLOSED; kind++) {
            for (int times = 0; times < 3; times++) {
                guint todo =
                    step(commit, (GwCommitEventKind)kind, source ? LEFT_PAUSED : WHOLE) |
                    step(commit, GW_COMMIT_ATTESTED, source ? closed_absent() : moved_away());
                assert_false(todo & (GW_COMMIT_DO_RESUME | GW_COMMIT_DO_ATTEST));
            }
        }
        assert_int_equal(gw_commit_next_us(commit), 0);
    }
}

/* One source ----------------------------------------------------------------------------------- */

static void test_source_fast_path(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);

    assert_true(step(commit, GW_COMMIT_BEGIN, none) & GW_COMMIT_DO_WATCH);
    step(commit, GW_COMMIT_LOOKED, RUNNING_MOVED);
    assert_int_equal(step(commit, GW_COMMIT_STOPPED, none), 0); /* no write while it stands still */
    guint todo = step(commit, GW_COMMIT_ENDED, word_of(GW_SIDE_UNKNOWN, "", FALSE, 0));
    assert_true(todo & GW_COMMIT_DO_NOTICE);
    assert_true(todo & GW_COMMIT_DO_LEFT);
    assert_true(todo & GW_COMMIT_DO_PERSIST);
}

static void test_source_that_ran_on_is_not_gone(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);
    gboolean close = FALSE;

    step(commit, GW_COMMIT_LOOKED, RUNNING_MOVED);
    step(commit, GW_COMMIT_STOPPED, none);
    step(commit, GW_COMMIT_STARTED, none); /* "migration canceled" */
    guint todo = step(commit, GW_COMMIT_ENDED, word_of(GW_SIDE_UNKNOWN, "", FALSE, 0));
    assert_false(todo & GW_COMMIT_DO_NOTICE);
    GwWord off = word_of(GW_SIDE_OFF, "shutdown", FALSE, 0);
    assert_false(step(commit, GW_COMMIT_LOOKED, off) & GW_COMMIT_DO_NOTICE);
    g_autoptr(GwJson) answer = gw_commit_attest(commit, &off, &close);
    GwWord said = gw_word_from_json(answer);
    assert_true(said.ran);
    assert_false(said.moved);
    assert_true(close);
}

static void test_source_in_a_blind_moment(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);

    step(commit, GW_COMMIT_LOOKED, RUNNING_MOVED);
    step(commit, GW_COMMIT_STOPPED, none);
    step(commit, GW_COMMIT_BLIND, none); /* it may have been resumed since */
    assert_false(step(commit, GW_COMMIT_ENDED, word_of(GW_SIDE_UNKNOWN, "", FALSE, 0)) &
                 GW_COMMIT_DO_NOTICE);
    assert_false(step(commit, GW_COMMIT_LOOKED, word_of(GW_SIDE_OFF, "unknown", FALSE, 0)) &
                 GW_COMMIT_DO_NOTICE);
    /* libvirt's own word that it moved, or that a restarted daemon ended it, will do. */
    assert_true(step(commit, GW_COMMIT_LOOKED, word_of(GW_SIDE_OFF, "daemon", FALSE, 0)) &
                GW_COMMIT_DO_NOTICE);
}

static void test_source_left_paused(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);

    step(commit, GW_COMMIT_LOOKED, RUNNING_MOVED);
    assert_true(step(commit, GW_COMMIT_LOOKED, LEFT_PAUSED) & GW_COMMIT_DO_ATTEST);
    /* Absent, but the epoch is not closed there: not enough. */
    assert_false(step(commit, GW_COMMIT_ATTESTED, ABSENT) & GW_COMMIT_DO_RESUME);
    assert_true(step(commit, GW_COMMIT_LOOKED, LEFT_PAUSED) & GW_COMMIT_DO_ATTEST);
    guint todo = step(commit, GW_COMMIT_ATTESTED, closed_absent());
    assert_false(todo & GW_COMMIT_DO_RESUME); /* one look */
    assert_true(todo & GW_COMMIT_DO_LOOK);
    assert_true(step(commit, GW_COMMIT_LOOKED, LEFT_PAUSED) & GW_COMMIT_DO_ATTEST);
    assert_true(step(commit, GW_COMMIT_ATTESTED, closed_absent()) & GW_COMMIT_DO_RESUME);
}

static void test_source_never_called_back(void **state)
{
    static const GwSide whole[] = { GW_SIDE_PAUSED,    GW_SIDE_RUNNING, GW_SIDE_MIGRATING,
                                    GW_SIDE_POST_COPY, GW_SIDE_OTHER,   GW_SIDE_UNKNOWN };

    for (guint i = 0; i < G_N_ELEMENTS(whole); i++) {
        g_autoptr(GwCommit) commit = gw_commit_new(TRUE, GW_COMMIT_MOVING);
        for (int round = 0; round < 4; round++) {
            GwWord peer = word_of(whole[i], "", FALSE, 1);
            peer.closed = TRUE;
            step(commit, GW_COMMIT_LOOKED, LEFT_PAUSED);
            assert_false(step(commit, GW_COMMIT_ATTESTED, peer) & GW_COMMIT_DO_RESUME);
        }
    }
    /* Nor where the destination ran, nor where a process of it lingers. */
    for (int round = 0; round < 8; round++) {
        g_autoptr(GwCommit) commit = gw_commit_new(TRUE, GW_COMMIT_MOVING);
        GwWord peer = closed_absent();
        peer.ran = round % 2;
        peer.processes = round % 2 ? 0 : 1 - round; /* 1 and less than 0 */
        for (int again = 0; again < 3; again++) {
            step(commit, GW_COMMIT_LOOKED, LEFT_PAUSED);
            assert_false(step(commit, GW_COMMIT_ATTESTED, peer) & GW_COMMIT_DO_RESUME);
        }
    }
}

static void test_source_paused_by_a_person(void **state)
{
    static const char *const reasons[] = { "user", "io-error", "watchdog", "crashed", "snapshot" };

    for (guint i = 0; i < G_N_ELEMENTS(reasons); i++) {
        g_autoptr(GwCommit) commit = gw_commit_new(TRUE, GW_COMMIT_MOVING);
        GwWord paused = word_of(GW_SIDE_PAUSED, reasons[i], FALSE, 1);
        for (int round = 0; round < 4; round++) {
            /* Not even asked for: the answer would close the epoch. */
            assert_false(step(commit, GW_COMMIT_LOOKED, paused) & GW_COMMIT_DO_ATTEST);
            assert_false(step(commit, GW_COMMIT_ATTESTED, closed_absent()) & GW_COMMIT_DO_RESUME);
        }
    }
}

static void test_source_asks_nothing_before_the_move(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);
    GwWord words[] = { RUNNING, RUNNING_MOVED, word_of(GW_SIDE_PAUSED, "user", FALSE, 1),
                       word_of(GW_SIDE_PAUSED, "unknown", FALSE, 1) };

    /* The destination is absent before the move begins, and to be asked would close it. */
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GwCommit) fresh = gw_commit_new(TRUE, 0);
        assert_false(step(fresh, GW_COMMIT_LOOKED, words[i]) & GW_COMMIT_DO_ATTEST);
    }
    assert_false(step(commit, GW_COMMIT_LOOKED, RUNNING) & GW_COMMIT_DO_PERSIST);
}

static void test_running_takes_two_looks(void **state)
{
    g_autoptr(GwCommit) commit = gw_commit_new(TRUE, 0);

    step(commit, GW_COMMIT_LOOKED, RUNNING_MOVED);
    step(commit, GW_COMMIT_LOOKED, RUNNING); /* the state was read before the job was */
    assert_int_equal(gw_commit_flags(commit) & GW_COMMIT_RAN, 0);
    assert_true(step(commit, GW_COMMIT_LOOKED, MIGRATED) & GW_COMMIT_DO_NOTICE);

    g_autoptr(GwCommit) other = gw_commit_new(TRUE, 0);
    step(other, GW_COMMIT_LOOKED, RUNNING_MOVED);
    step(other, GW_COMMIT_LOOKED, RUNNING);
    step(other, GW_COMMIT_LOOKED, RUNNING);
    assert_int_not_equal(gw_commit_flags(other) & GW_COMMIT_RAN, 0);
}

/* What comes over the network ------------------------------------------------------------------ */

static void test_hostile_answers(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "{\"seen\": null}",
        "{\"seen\": {\"side\": \"absent\"}, \"processes\": 0}",
        "{\"seen\": {\"side\": \"nowhere\", \"job_active\": false, \"persistent\": false}, "
        "\"processes\": 0, \"closed\": true, \"ran\": false, \"moved\": true}",
        "{\"seen\": {\"side\": \"absent\", \"job_active\": false, \"persistent\": false}, "
        "\"processes\": \"0\", \"closed\": true, \"ran\": false, \"moved\": true}",
        "{\"seen\": {\"side\": \"absent\", \"job_active\": 0, \"persistent\": false}, "
        "\"processes\": 0, \"closed\": true, \"ran\": false, \"moved\": true}",
        "{\"seen\": {\"side\": \"absent\", \"job_active\": false, \"persistent\": false}, "
        "\"processes\": 0, \"closed\": true, \"moved\": true}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GwJson) json = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(gw_word_from_json(json).side, GW_SIDE_UNKNOWN);
    }
    assert_int_equal(gw_word_from_json(NULL).side, GW_SIDE_UNKNOWN);
}

static void test_words_survive_the_way(void **state)
{
    for (int s = 0; s < GW_SIDE_COUNT; s++) {
        GwWord word = { .side = (GwSide)s,
                        .job_active = s & 1,
                        .persistent = (s & 2) != 0,
                        .processes = s - 1,
                        .ran = s % 3 == 0,
                        .moved = s % 3 == 1,
                        .closed = s % 3 == 2 };
        g_autoptr(GwJson) json = gw_word_to_json(&word);
        GwWord back = gw_word_from_json(json);
        assert_int_equal(back.side, word.side);
        assert_int_equal(back.job_active, word.job_active);
        assert_int_equal(back.processes, MAX(word.processes, -1));
        assert_int_equal(back.ran, word.ran);
        assert_int_equal(back.moved, word.moved);
        assert_int_equal(back.closed, word.closed);
    }
}

/* Two agents ----------------------------------------------------------------------------------- */

typedef struct {
    gboolean process, running, job, persistent, incoming;
    gboolean migrating; /* paused for the migration, not by a person */
    char reason[16];
    gint64 memory; /* how far the guest had got in what this copy holds */
} Vm;

typedef struct {
    GwCommit *commit; /* NULL: dead */
    guint flags;      /* on disk */
    gboolean closed;  /* on disk */
    guint life;       /* what is under way is for one life only */
    gboolean blind;   /* libvirt does not talk to it */
} Agent;

typedef enum { LOOK, LOOKED, ASK, ASK_LOOKED, ANSWER, NOTICE, RESUME, RESUMED, ENDED, NEWS } What;

typedef struct {
    What what;
    int to; /* 0: source, 1: destination */
    guint life;
    GwWord word;
    GwCommitEventKind news;
    gboolean ok;
    guint asker_life;
    guint before; /* of a look: the news that had come when it began */
} Message;

typedef struct {
    GRand *rand;
    gint64 now_us;
    Vm vm[2];
    Agent agent[2];
    GArray *messages;
    gint64 disk; /* how far the newest copy has got */
    int phase;
    gboolean calm; /* no more faults */
    gboolean controller;
    guint agent_resumes[2];
    gboolean lying; /* the source's agent says that it moved whenever it is gone */
    guint violations;
    GString *log;
} World;

static void note(World *world, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(World *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_string_append_vprintf(world->log, format, args);
    g_string_append_c(world->log, '\n');
    va_end(args);
}

static gboolean chance(World *world, int percent)
{
    return g_rand_int_range(world->rand, 0, 100) < percent;
}

static void check_world(World *world)
{
    if (world->vm[0].running && world->vm[1].running)
        fail_msg("the VM runs twice:\n%s", world->log->str);
}

static GwWord word_now(const Vm *vm)
{
    GwSide side = vm->running   ? GW_SIDE_RUNNING
                  : vm->process ? vm->migrating || vm->incoming ? GW_SIDE_MIGRATING : GW_SIDE_PAUSED
                  : !vm->persistent                     ? GW_SIDE_ABSENT
                  : strcmp(vm->reason, "migrated") == 0 ? GW_SIDE_MIGRATED
                                                        : GW_SIDE_OFF;
    GwWord word = word_of(side, vm->reason, vm->process && vm->job, vm->process ? 1 : 0);
    word.persistent = vm->persistent;
    return word;
}

static void post(World *world, Message message)
{
    message.life = world->agent[message.to].life;
    g_array_append_val(world->messages, message);
}

static void carry(World *world, int who, GwCommitEvent event);

static void agent_shut(World *world, int who)
{
    world->agent[who].closed = TRUE;
    carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_CLOSED });
}

static void carry(World *world, int who, GwCommitEvent event)
{
    Agent *agent = &world->agent[who];
    const char *why = NULL;

    if (agent->commit == NULL)
        return;
    event.now_us = world->now_us;
    guint todo = gw_commit_step(agent->commit, &event, &why);
    if (todo & GW_COMMIT_DO_RESUME) {
        assert_false(agent->closed);
        note(world, "%d decides to resume: %s", who, why);
        post(world, (Message){ .what = RESUME, .to = who });
    }
    if (todo & GW_COMMIT_DO_ALARM_TWICE) /* check_world saw that it never does */
        fail_msg("a false alarm that it runs twice:\n%s", world->log->str);
    if (todo & GW_COMMIT_DO_NOTICE) {
        note(world, "%d says that it is gone", who);
        post(world, (Message){ .what = NOTICE, .to = 1 });
    }
    if (todo & GW_COMMIT_DO_ATTEST)
        post(world, (Message){ .what = ASK, .to = 1 - who, .asker_life = agent->life });
    if (todo & GW_COMMIT_DO_LOOK)
        post(world, (Message){ .what = LOOK, .to = who, .before = gw_commit_news(agent->commit) });
    if (todo & GW_COMMIT_DO_PERSIST)
        agent->flags = gw_commit_flags(agent->commit);
}

static void tell(World *world, int who, GwCommitEventKind news)
{
    if (!world->agent[who].blind)
        post(world, (Message){ .what = NEWS, .to = who, .news = news });
}

static void answer(World *world, const Message *message)
{
    Agent *agent = &world->agent[message->to];
    gboolean close = FALSE;

    carry(world, message->to,
          (GwCommitEvent){
              .kind = GW_COMMIT_LOOKED, .word = message->word, .news = message->before });
    g_autoptr(GwJson) json = gw_commit_attest(agent->commit, &message->word, &close);
    if (close && !agent->closed) {
        note(world, "%d closes the epoch", message->to);
        agent_shut(world, message->to);
    }
    Message back = { .what = ANSWER, .to = 1 - message->to, .word = gw_word_from_json(json) };
    back.life = message->asker_life;
    if (world->lying) {
        back.word.moved = TRUE;
        back.word.ran = FALSE;
    }
    g_array_append_val(world->messages, back);
}

static void resume(World *world, int who)
{
    Vm *vm = &world->vm[who];
    gboolean ok = vm->process && !vm->incoming && !vm->job;

    if (ok && !vm->running) {
        note(world, "%d resumed by its agent", who);
        if (vm->memory != world->disk && world->lying)
            world->violations++;
        else if (vm->memory != world->disk)
            fail_msg("old memory runs over a newer disk:\n%s", world->log->str);
        vm->running = TRUE;
        vm->migrating = FALSE;
        world->agent_resumes[who]++;
        tell(world, who, GW_COMMIT_STARTED);
    }
    check_world(world);
    post(world, (Message){ .what = RESUMED, .to = who, .ok = ok });
}

/* libvirt says things in the order in which they were, and what it says of the end of a process is
 * not overtaken by that end: guests take longer to end than news to come. */
static void flush_news(World *world, int who)
{
    for (guint i = 0; i < world->messages->len;) {
        Message message = g_array_index(world->messages, Message, i);
        if (message.what != NEWS || message.to != who) {
            i++;
            continue;
        }
        g_array_remove_index(world->messages, i);
        if (message.life == world->agent[who].life)
            carry(world, who, (GwCommitEvent){ .kind = message.news });
        i = 0;
    }
}

/* A question whose answer does not come is answered by its time limit. */
static void time_out(World *world, int asker, guint life)
{
    if (world->agent[asker].commit != NULL && world->agent[asker].life == life)
        carry(world, asker, (GwCommitEvent){ .kind = GW_COMMIT_ATTESTED, .word = none });
}

static void deliver(World *world, Message message)
{
    int who = message.to;
    Agent *agent = &world->agent[who];

    if (message.what == RESUME) { /* libvirt's, whoever asked and whether he lives */
        resume(world, who);
        return;
    }
    if (agent->commit == NULL || message.life != agent->life) {
        if (message.what == ASK || message.what == ASK_LOOKED)
            time_out(world, 1 - who, message.asker_life);
        return;
    }
    if (message.what == LOOK || message.what == ASK || message.what == ENDED)
        flush_news(world, who);
    switch (message.what) {
    case LOOK:
        post(world, (Message){ .what = LOOKED,
                               .to = who,
                               .before = message.before,
                               .word = agent->blind ? none : word_now(&world->vm[who]) });
        break;
    case LOOKED:
        carry(world, who,
              (GwCommitEvent){
                  .kind = GW_COMMIT_LOOKED, .word = message.word, .news = message.before });
        break;
    case ASK:
        gw_commit_looking(agent->commit);
        post(world, (Message){ .what = ASK_LOOKED,
                               .to = who,
                               .before = gw_commit_news(agent->commit),
                               .asker_life = message.asker_life,
                               .word = agent->blind ? none : word_now(&world->vm[who]) });
        break;
    case ASK_LOOKED:
        answer(world, &message);
        break;
    case ANSWER:
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_ATTESTED, .word = message.word });
        break;
    case NOTICE:
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_SOURCE_GONE });
        break;
    case RESUMED:
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_RESUMED, .ok = message.ok });
        break;
    case ENDED: {
        GwWord word = none;
        word.processes = world->vm[who].process ? 1 : 0;
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_ENDED, .word = word });
        break;
    }
    case NEWS: /* by flush_news alone */
    case RESUME:
        break;
    }
}

/* What the hosts do ---------------------------------------------------------------------------- */

static void end_process(World *world, int who, const char *reason)
{
    Vm *vm = &world->vm[who];

    if (!vm->process)
        return;
    vm->process = vm->running = vm->job = vm->incoming = vm->migrating = FALSE;
    g_strlcpy(vm->reason, reason, sizeof vm->reason);
    post(world, (Message){ .what = ENDED, .to = who });
    note(world, "%d ends: %s", who, reason);
}

static void drop_destination(World *world)
{
    end_process(world, 1, "destroyed");
    world->vm[1].persistent = FALSE;
    world->vm[1].reason[0] = '\0';
}

static void run_source(World *world)
{
    Vm *vm = &world->vm[0];

    vm->job = FALSE;
    if (vm->memory != world->disk || world->vm[1].running)
        return;
    vm->running = TRUE;
    vm->migrating = FALSE;
    note(world, "libvirt resumes the source");
    tell(world, 0, GW_COMMIT_STARTED);
    check_world(world);
}

/* The move, with the ways it was seen to fail (RECOVERY.md). */
static void libvirt_acts(World *world)
{
    Vm *source = &world->vm[0], *destination = &world->vm[1];

    switch (world->phase) {
    case 0:
        source->job = TRUE;
        *destination = (Vm){ .process = TRUE, .job = TRUE, .incoming = TRUE, .memory = -1 };
        note(world, "copying");
        world->phase = 1;
        break;
    case 1:
        if (chance(world, 15)) {
            drop_destination(world);
            source->job = FALSE;
            note(world, "copying failed");
            world->phase = 9;
            break;
        }
        source->running = FALSE;
        source->migrating = TRUE;
        g_strlcpy(source->reason, "migration", sizeof source->reason);
        tell(world, 0, GW_COMMIT_STOPPED);
        note(world, "stopped");
        world->phase = 2;
        break;
    case 2:
        if (chance(world, 25)) {
            drop_destination(world);
            world->phase = 9;
            if (chance(world, 50))
                run_source(world);
            source->job = FALSE;
            note(world, "the end of the copy failed");
            break;
        }
        destination->memory = source->memory;
        destination->incoming = destination->job = FALSE;
        destination->persistent = TRUE;
        g_strlcpy(destination->reason, "user", sizeof destination->reason);
        tell(world, 1, GW_COMMIT_STOPPED);
        note(world, "finished at the destination");
        world->phase = 3;
        break;
    case 3:
        world->phase = 9;
        if (chance(world, 20)) { /* the reply is lost: the source takes it for a failure */
            run_source(world);
        } else if (chance(world, 15)) { /* its daemon died there */
            source->job = FALSE;
            note(world, "the source stays paused");
        } else {
            source->persistent = chance(world, 70);
            end_process(world, 0, chance(world, 80) ? "migrated" : "daemon");
            if (strcmp(source->reason, "migrated") == 0)
                tell(world, 0, GW_COMMIT_MIGRATED);
        }
        break;
    default:
        if (world->calm)
            break;
        if (source->running && chance(world, 10)) {
            source->persistent = chance(world, 50);
            end_process(world, 0, chance(world, 50) ? "shutdown" : "destroyed");
        } else if (destination->process && chance(world, 3)) {
            end_process(world, 1, "crashed");
            destination->persistent = chance(world, 50);
        }
    }
}

static void kill_agent(World *world, int who)
{
    Agent *agent = &world->agent[who];

    note(world, "agent %d dies", who);
    g_clear_pointer(&agent->commit, gw_commit_free);
    agent->life++;
}

static void start_agent(World *world, int who)
{
    Agent *agent = &world->agent[who];

    note(world, "agent %d starts", who);
    agent->commit = gw_commit_new(who == 0, agent->flags);
    if (agent->closed)
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_CLOSED });
    carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_BEGIN });
}

static void set_blind(World *world, int who, gboolean blind)
{
    flush_news(world, who); /* what a connection brought comes before its end */
    world->agent[who].blind = blind;
    note(world, "libvirt %d %s", who, blind ? "is lost" : "is back");
    if (blind)
        carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_BLIND });
}

/* It settles by the same table, from looks of its own that are not of one instant. */
static void controller_acts(World *world)
{
    static __thread GwWord seen[2];
    static __thread int at;
    const char *why = NULL;

    seen[at] = word_now(&world->vm[at]);
    at = 1 - at;
    GwSeen source = { .side = seen[0].side,
                      .job_active = seen[0].job_active,
                      .persistent = seen[0].persistent };
    GwSeen destination = { .side = seen[1].side,
                           .job_active = seen[1].job_active,
                           .persistent = seen[1].persistent };
    GwIntent intent = { .vm_persistent = TRUE };
    /* Resuming the destination is what both do; the rest of its memory of what ran is the
     * engine's own and tested there. */
    if (gw_reconcile(source, destination, intent, &why) == GW_SETTLE_RESUME_DESTINATION &&
        world->vm[1].memory == world->disk && world->vm[1].process && !world->vm[1].running &&
        !world->vm[0].process) {
        note(world, "the controller resumes the destination");
        world->vm[1].running = TRUE;
        tell(world, 1, GW_COMMIT_STARTED);
    }
}

static void time_passes(World *world)
{
    for (int who = 0; who < 2; who++) {
        Agent *agent = &world->agent[who];
        if (world->vm[who].running)
            world->disk = ++world->vm[who].memory;
        if (agent->commit == NULL) {
            if (world->calm || chance(world, 20))
                start_agent(world, who);
            continue;
        }
        gint64 due = gw_commit_next_us(agent->commit);
        if (due > 0 && world->now_us >= due)
            carry(world, who, (GwCommitEvent){ .kind = GW_COMMIT_TIMER });
        if (world->calm && agent->blind)
            set_blind(world, who, FALSE);
    }
}

static void faults(World *world)
{
    for (int who = 0; who < 2; who++) {
        if (world->agent[who].commit != NULL && chance(world, 2))
            kill_agent(world, who);
        if (chance(world, 2))
            set_blind(world, who, !world->agent[who].blind);
    }
}

static void some_messages(World *world)
{
    for (guint n = world->messages->len; n > 0; n--) {
        guint at = (guint)g_rand_int_range(world->rand, 0, (gint)world->messages->len);
        Message message = g_array_index(world->messages, Message, at);
        gboolean lossy = message.what == ASK || message.what == ANSWER || message.what == NOTICE;
        if (!world->calm && chance(world, 40))
            continue; /* later */
        if (message.what == NEWS) {
            flush_news(world, message.to);
            break;
        }
        g_array_remove_index(world->messages, at);
        if (!world->calm && lossy && chance(world, 40)) {
            if (message.what == ASK)
                time_out(world, 1 - message.to, message.asker_life);
            else if (message.what == ANSWER)
                time_out(world, message.to, message.life);
            continue;
        }
        deliver(world, message);
    }
}

static void turn(World *world)
{
    world->now_us += MS(200);
    time_passes(world);
    if (!world->calm)
        faults(world);
    if (chance(world, 30))
        libvirt_acts(world);
    if (world->controller && chance(world, 20))
        controller_acts(world);
    some_messages(world);
    check_world(world);
}

/* Once all is calm, what the agents can settle is settled. */
static void check_end(World *world, gboolean faultless)
{
    const Vm *source = &world->vm[0], *destination = &world->vm[1];
    gboolean left = source->process && !source->running && source->migrating && !source->job &&
                    !destination->process;

    if (left && !world->agent[0].closed)
        fail_msg("the source stays paused:\n%s", world->log->str);
    if (faultless && strcmp(source->reason, "migrated") == 0 && !source->process &&
        destination->process && !destination->running)
        fail_msg("the destination stays paused:\n%s", world->log->str);
}

enum { SOURCE_RESUMED = 1, DESTINATION_RESUMED = 2, VIOLATED = 4 };

static guint trial(guint32 seed, gboolean faultless, gboolean controller, gboolean lying)
{
    World world = { .rand = g_rand_new_with_seed(seed), .controller = controller, .lying = lying };

    world.log = g_string_new(NULL);
    note(&world, "seed %u", seed);
    world.messages = g_array_new(FALSE, TRUE, sizeof(Message));
    world.calm = faultless;
    world.vm[0] = (Vm){ .process = TRUE, .running = TRUE, .persistent = TRUE, .reason = "booted" };
    start_agent(&world, 0);
    start_agent(&world, 1);
    for (int i = 0; i < 150; i++)
        turn(&world);
    world.calm = TRUE;
    for (int i = 0; i < 150; i++)
        turn(&world);
    check_end(&world, faultless);
    guint came_to = (world.agent_resumes[0] > 0 ? SOURCE_RESUMED : 0) |
                    (world.agent_resumes[1] > 0 ? DESTINATION_RESUMED : 0) |
                    (world.violations > 0 ? VIOLATED : 0);
    for (int who = 0; who < 2; who++)
        gw_commit_free(world.agent[who].commit);
    g_array_unref(world.messages);
    g_string_free(world.log, TRUE);
    g_rand_free(world.rand);
    return came_to;
}

static void many(gboolean faultless, gboolean controller, guint trials)
{
    guint of_source = 0, of_destination = 0;

    for (guint i = 0; i < trials; i++) {
        guint resumes = trial(i * 2654435761u + 1, faultless, controller, FALSE);
        of_source += resumes & SOURCE_RESUMED ? 1 : 0;
        of_destination += resumes & DESTINATION_RESUMED ? 1 : 0;
    }
    print_message("# %u trials: source resumed in %u, destination in %u\n", trials, of_source,
                  of_destination);
    /* Or it proved nothing. */
    assert_true(of_source > trials / 200);
    assert_true(controller || of_destination > trials / 20);
}

static void test_trials_in_calm(void **state)
{
    many(TRUE, FALSE, 4000);
}

static void test_trials_with_faults(void **state)
{
    many(FALSE, FALSE, 20000);
}

static void test_trials_with_faults_and_controller(void **state)
{
    many(FALSE, TRUE, 10000);
}

/* The trials find what they look for. */
static void test_trials_find_a_liar(void **state)
{
    guint found = 0;

    for (guint i = 0; i < 2000; i++)
        found += trial(i * 2654435761u + 1, FALSE, FALSE, TRUE) & VIOLATED ? 1 : 0;
    print_message("# 2000 trials with a lying agent: old memory ran in %u\n", found);
    assert_true(found > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_destination_fast_path),
        cmocka_unit_test(test_destination_every_word),
        cmocka_unit_test(test_destination_asks_every_second),
        cmocka_unit_test(test_alarm_takes_two_answers),
        cmocka_unit_test(test_no_alarm_where_the_source_is_not_running),
        cmocka_unit_test(test_closed_does_nothing),
        cmocka_unit_test(test_source_fast_path),
        cmocka_unit_test(test_source_that_ran_on_is_not_gone),
        cmocka_unit_test(test_source_in_a_blind_moment),
        cmocka_unit_test(test_source_left_paused),
        cmocka_unit_test(test_source_never_called_back),
        cmocka_unit_test(test_source_paused_by_a_person),
        cmocka_unit_test(test_source_asks_nothing_before_the_move),
        cmocka_unit_test(test_running_takes_two_looks),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_words_survive_the_way),
        cmocka_unit_test(test_trials_in_calm),
        cmocka_unit_test(test_trials_with_faults),
        cmocka_unit_test(test_trials_with_faults_and_controller),
        cmocka_unit_test(test_trials_find_a_liar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
