/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/attest.h"
#include "agent/warden_internal.h"
#include "base/error.h"

/* Carries out what commit.c decides, and brings it the news. */

/* Of one host, under way: each reads the whole process table, on the loop that all commits wait
 * for. Who is refused asks again. */
#define ATTESTS_MAX 32

/* A step may end a leave: callers look it up again by these. */
typedef struct {
    GwWarden *warden;
    char *vm_uuid;
    gint64 epoch;
    guint64 call; /* of the front, to be answered */
    guint news;   /* when the look for it began */
    GwTicket *ticket;
    char *asker; /* the host that asked; counted */
} Question;

static Question *question_of(const GwLeave *leave)
{
    Question *question = g_new0(Question, 1);

    question->warden = leave->warden;
    question->vm_uuid = g_strdup(leave->ticket->vm_uuid);
    question->epoch = leave->ticket->epoch;
    return question;
}

static void free_question(Question *question)
{
    g_free(question->vm_uuid);
    g_free(question->asker);
    gw_ticket_free(question->ticket);
    g_free(question);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Question, free_question)

static GwLeave *leave_of(const Question *question)
{
    return gw_permits_find(question->warden, question->vm_uuid, question->epoch);
}

static void step(GwLeave *leave, GwCommitEvent event)
{
    event.now_us = g_get_monotonic_time();
    gw_commits_step(leave, &event);
}

/* Effects -------------------------------------------------------------------------------------- */

gboolean gw_commits_answer_later(GwWarden *warden, const char *vm_uuid, guint64 id)
{
    GArray *waiting = g_hash_table_lookup(warden->resuming, vm_uuid);

    if (waiting != NULL)
        g_array_append_val(waiting, id);
    return waiting != NULL;
}

static void answer_waiting(GwWarden *warden, const char *vm_uuid)
{
    GArray *waiting = g_hash_table_lookup(warden->resuming, vm_uuid);

    for (guint i = 0; waiting != NULL && i < waiting->len; i++)
        gw_warden_answer(warden, g_array_index(waiting, guint64, i), json_object(), -1, NULL);
    g_hash_table_remove(warden->resuming, vm_uuid);
}

static void resumed(const GwReply *reply, gpointer user)
{
    g_autoptr(Question) question = user;
    GwLeave *leave = leave_of(question);

    answer_waiting(question->warden, question->vm_uuid);

    if (reply->error != NULL)
        g_warning("VM %s cannot be resumed: %s", question->vm_uuid, reply->error->message);
    else
        g_message("VM %s is resumed here (epoch %" G_GINT64_FORMAT ")", question->vm_uuid,
                  question->epoch);
    if (leave != NULL && leave->commit != NULL)
        step(leave, (GwCommitEvent){ .kind = GW_COMMIT_RESUMED, .ok = reply->error == NULL });
}

static void do_resume(GwLeave *leave, const char *why)
{
    g_autoptr(GError) error = NULL;

    if (!gw_permits_is_open(leave, &error)) {
        g_warning("VM %s is not resumed: %s", leave->ticket->vm_uuid, error->message);
        step(leave, (GwCommitEvent){ .kind = GW_COMMIT_CLOSED });
        return;
    }
    g_message("VM %s: %s", leave->ticket->vm_uuid, why != NULL ? why : "resumed");
    if (!g_hash_table_contains(leave->warden->resuming, leave->ticket->vm_uuid))
        g_hash_table_insert(leave->warden->resuming, g_strdup(leave->ticket->vm_uuid),
                            g_array_new(FALSE, FALSE, sizeof(guint64)));
    gw_virt_ask(leave->warden->virt, GW_OP_RESUME, leave->ticket->vm_uuid, 0, GW_WARDEN_RESUME_US,
                resumed, question_of(leave));
}

static void saw(GwWarden *warden, const char *vm_uuid, gint64 epoch, const GwWord *word,
                gpointer user)
{
    GwLeave *leave = gw_permits_find(warden, vm_uuid, epoch);

    if (leave != NULL && leave->commit != NULL)
        step(leave, (GwCommitEvent){
                        .kind = GW_COMMIT_LOOKED, .word = *word, .news = GPOINTER_TO_UINT(user) });
}

static void attested(const json_t *result, int fd, const GError *error, gpointer user)
{
    g_autoptr(Question) question = user;
    GwLeave *leave = leave_of(question);

    if (fd >= 0)
        close(fd);
    if (error != NULL)
        g_debug("VM %s: the other agent does not answer: %s", question->vm_uuid, error->message);
    if (leave != NULL && leave->commit != NULL)
        step(leave, (GwCommitEvent){ .kind = GW_COMMIT_ATTESTED,
                                     .word = error == NULL ? gw_word_from_json(result)
                                                           : GW_WORD_UNKNOWN });
}

static json_t *ticket_params(const GwLeave *leave)
{
    return json_pack("{s:s}", "ticket", leave->ticket_text);
}

static void do_attest(GwLeave *leave)
{
    gw_warden_ask_front(leave->warden, "peer-call",
                        json_pack("{s:O, s:s, s:o, s:i}", "peer", leave->peer, "method", "attest",
                                  "params", ticket_params(leave), "timeout_ms", GW_WARDEN_PEER_MS),
                        -1, attested, question_of(leave));
}

static void do_left(GwLeave *leave)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *note = gw_guard_note(leave);

    if (!gw_epochs_set_left(leave->warden->epochs, leave->ticket->vm_uuid, note, &error))
        g_warning("%s", error->message);
}

static void do_persist(GwLeave *leave)
{
    g_autoptr(GError) error = NULL;

    /* What it holds is a help after a restart; without it the controller settles. */
    if (!gw_permits_save(leave, &error))
        g_warning("%s", error->message);
}

/* The process of the VM ------------------------------------------------------------------------ */

static void stop_watching(GwLeave *leave)
{
    g_clear_pointer(&leave->watch, gw_watch_free);
    if (leave->pidfd >= 0)
        close(leave->pidfd);
    leave->pidfd = -1;
}

static void on_ended(gpointer user, guint32 events)
{
    GwLeave *leave = user;
    GwWord word = GW_WORD_UNKNOWN;

    stop_watching(leave);
    word.processes = gw_warden_count(leave->warden, leave->ticket->vm_uuid, NULL);
    step(leave, (GwCommitEvent){ .kind = GW_COMMIT_ENDED, .word = word });
}

static void do_watch(GwLeave *leave)
{
    GwWarden *warden = leave->warden;
    GwVmProcess process;

    if (leave->pidfd >= 0 || gw_warden_count(warden, leave->ticket->vm_uuid, &process) != 1)
        return;
    leave->pidfd = gw_attest_watch(warden->paths.proc_folder, &process);
    if (leave->pidfd >= 0)
        leave->watch = gw_watch_new(warden->loop, leave->pidfd, EPOLLIN, on_ended, leave);
}

/* Steps ---------------------------------------------------------------------------------------- */

static void set_timer(GwLeave *leave)
{
    gint64 now_us = g_get_monotonic_time();
    gint64 now_s = gw_warden_now_s(leave->warden);
    /* Looked at now and then, since the fabric's time is not the one that timers count. */
    gint64 end_s = leave->ticket->expires_s - now_s;
    gint64 due = now_us + CLAMP(end_s, 1, 60) * G_USEC_PER_SEC;
    gint64 next = leave->commit != NULL ? gw_commit_next_us(leave->commit) : 0;

    gw_timer_set(leave->timer, next > 0 ? MIN(next, due) : due);
}

static void carry_out(GwLeave *leave, guint todo, const char *why)
{
    GwWarden *warden = leave->warden;

    /* In the order in which a guest waits for them. */
    if (todo & GW_COMMIT_DO_RESUME)
        do_resume(leave, why);
    if (todo & GW_COMMIT_DO_NOTICE)
        gw_warden_tell_front(warden, "peer-notice",
                             json_pack("{s:O, s:s, s:o}", "peer", leave->peer, "method",
                                       "source-gone", "params", ticket_params(leave)));
    if (todo & GW_COMMIT_DO_ATTEST)
        do_attest(leave);
    if (todo & GW_COMMIT_DO_LOOK)
        gw_warden_look(warden, leave->ticket->vm_uuid, leave->ticket->epoch, saw,
                       GUINT_TO_POINTER(gw_commit_news(leave->commit)));
    if (todo & GW_COMMIT_DO_WATCH)
        do_watch(leave);
    if (todo & GW_COMMIT_DO_LEFT)
        do_left(leave);
    if (todo & GW_COMMIT_DO_PERSIST)
        do_persist(leave);
    if (todo & GW_COMMIT_DO_ALARM_TWICE)
        gw_warden_alarm(warden, leave->ticket->vm_uuid,
                        "VM %s (%s) runs on both hosts of its move: stop one of them",
                        leave->ticket->vm_name, leave->ticket->vm_uuid);
}

void gw_commits_step(GwLeave *leave, const GwCommitEvent *event)
{
    const char *why = NULL;

    if (leave->commit != NULL) {
        guint todo = gw_commit_step(leave->commit, event, &why);
        carry_out(leave, todo, why);
    }
    set_timer(leave);
}

void gw_commits_begin(GwLeave *leave)
{
    if (leave->commit == NULL && leave->ticket->commit_by_resume)
        leave->commit = gw_commit_new(leave->is_source, 0);
    step(leave, (GwCommitEvent){ .kind = GW_COMMIT_BEGIN });
}

void gw_commits_end(GwLeave *leave)
{
    stop_watching(leave);
    g_clear_pointer(&leave->commit, gw_commit_free);
}

void gw_commits_timer(GwLeave *leave)
{
    gint64 due = leave->commit != NULL ? gw_commit_next_us(leave->commit) : 0;

    if (leave->is_source && !leave->closed && leave->pidfd < 0 && leave->commit != NULL &&
        !gw_commit_is_over(leave->commit))
        do_watch(leave);
    if (due > 0 && g_get_monotonic_time() >= due)
        step(leave, (GwCommitEvent){ .kind = GW_COMMIT_TIMER });
    else
        set_timer(leave);
}

/* News ----------------------------------------------------------------------------------------- */

static void tell_all_blind(GwWarden *warden)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, warden->leaves);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        step(value, (GwCommitEvent){ .kind = GW_COMMIT_BLIND });
}

void gw_commits_news(GwWarden *warden, const GwHyperEvent *event)
{
    static const struct {
        const char *word, *detail; /* NULL: any */
        GwCommitEventKind kind;
    } rows[] = {
        { "suspended", "migrated", GW_COMMIT_STOPPED },
        { "resumed", NULL, GW_COMMIT_STARTED },
        { "stopped", "migrated", GW_COMMIT_MIGRATED },
    };
    if (event == NULL) {
        tell_all_blind(warden);
        return;
    }
    GwLeave *leave =
        event->vm_uuid != NULL ? g_hash_table_lookup(warden->leaves, event->vm_uuid) : NULL;
    if (leave == NULL || leave->commit == NULL || event->kind != GW_EVENT_VM_LIFECYCLE)
        return;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (g_strcmp0(event->text, rows[i].word) == 0 &&
            (rows[i].detail == NULL || g_strcmp0(event->text2, rows[i].detail) == 0)) {
            step(leave, (GwCommitEvent){ .kind = rows[i].kind });
            return;
        }
    }
    step(leave, (GwCommitEvent){ .kind = GW_COMMIT_TIMER });
}

/* The other agent ------------------------------------------------------------------------------ */

/* A ticket of a move between this host and the peer, whatever its time: what it asks for is only
 * what was seen, by one of its two hosts. */
static GwTicket *ticket_between(GwWarden *warden, const char *peer_host_id, const json_t *params,
                                GError **error)
{
    g_autoptr(GwTicket) ticket =
        gw_permits_ticket(warden, json_object_get(params, "ticket"), error);
    const char *own = warden->state->host_id;

    if (ticket == NULL)
        return NULL;
    gboolean to_us =
        strcmp(ticket->destination_id, own) == 0 && g_strcmp0(ticket->source_id, peer_host_id) == 0;
    gboolean from_us =
        strcmp(ticket->source_id, own) == 0 && g_strcmp0(ticket->destination_id, peer_host_id) == 0;
    if ((to_us || from_us) && strcmp(ticket->fabric_id, warden->state->fabric_id) == 0)
        return g_steal_pointer(&ticket);
    gw_error_set(error, GW_ERR_FORBIDDEN, NULL, "the ticket is not for these two hosts");
    return NULL;
}

void gw_commits_source_gone(GwWarden *warden, const char *peer_host_id, const json_t *params)
{
    g_autoptr(GwTicket) ticket = ticket_between(warden, peer_host_id, params, NULL);
    GwLeave *leave =
        ticket != NULL ? gw_permits_find(warden, ticket->vm_uuid, ticket->epoch) : NULL;

    if (leave == NULL || leave->commit == NULL || leave->is_source ||
        strcmp(leave->ticket->source_id, peer_host_id) != 0)
        return;
    step(leave, (GwCommitEvent){ .kind = GW_COMMIT_SOURCE_GONE });
}

/* For a move that this host has (no longer) leave for. */
static json_t *attest_without(GwWarden *warden, const GwTicket *ticket, GwWord word, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (ticket->epoch < 1)
        return gw_word_to_json(&word); /* a check's: no move */
    word.closed =
        !gw_epochs_check(warden->epochs, ticket->vm_uuid, ticket->epoch, ticket->job_id, &why) &&
        g_error_matches(why, GW_ERROR, GW_ERR_CONFLICT) &&
        gw_epochs_seen(warden->epochs, ticket->vm_uuid) >= ticket->epoch;
    gboolean gone =
        word.processes == 0 &&
        (word.side == GW_SIDE_ABSENT || word.side == GW_SIDE_OFF || word.side == GW_SIDE_MIGRATED);
    if (gone && ticket->commit_by_resume && !word.closed) {
        if (!gw_epochs_close(warden->epochs, ticket->vm_uuid, ticket->epoch, error))
            return NULL;
        word.closed = TRUE;
    }
    return gw_word_to_json(&word);
}

static json_t *attest_with(GwLeave *leave, const GwWord *word, guint news, GError **error)
{
    gboolean close = FALSE;

    if (leave->commit == NULL) {
        GwWord copy = *word;
        copy.closed = leave->closed;
        return gw_word_to_json(&copy);
    }
    step(leave, (GwCommitEvent){ .kind = GW_COMMIT_LOOKED, .word = *word, .news = news });
    json_t *answer = gw_commit_attest(leave->commit, word, &close);
    if (close && !gw_permits_shut(leave, error))
        g_clear_pointer(&answer, json_decref);
    return answer;
}

/* How many of the host are under way, with @by. */
static gint count_attests(GwWarden *warden, const char *host_id, gint by)
{
    if (warden->attesting == NULL) /* the agent ends */
        return 0;
    gint count = GPOINTER_TO_INT(g_hash_table_lookup(warden->attesting, host_id)) + by;
    if (count > 0)
        g_hash_table_replace(warden->attesting, g_strdup(host_id), GINT_TO_POINTER(count));
    else
        g_hash_table_remove(warden->attesting, host_id);
    return count;
}

static void saw_for_attest(GwWarden *warden, const char *vm_uuid, gint64 epoch, const GwWord *word,
                           gpointer user)
{
    g_autoptr(Question) question = user;
    g_autoptr(GError) error = NULL;
    GwLeave *leave = leave_of(question);
    json_t *answer = leave != NULL && strcmp(leave->ticket->job_id, question->ticket->job_id) == 0
                         ? attest_with(leave, word, question->news, &error)
                         : attest_without(warden, question->ticket, *word, &error);

    count_attests(warden, question->asker, -1);
    gw_warden_answer(warden, question->call, answer, -1, error);
}

void gw_commits_attest(GwWarden *warden, guint64 id, const char *peer_host_id, const json_t *params)
{
    g_autoptr(GError) error = NULL;
    GwTicket *ticket = ticket_between(warden, peer_host_id, params, &error);

    if (ticket != NULL && count_attests(warden, peer_host_id, 0) >= ATTESTS_MAX) {
        g_clear_pointer(&ticket, gw_ticket_free);
        gw_error_set(&error, GW_ERR_CONFLICT, "Ask again in a second.",
                     "%d questions of this host are under way", ATTESTS_MAX);
    }
    if (ticket == NULL) {
        gw_warden_answer(warden, id, NULL, -1, error);
        return;
    }
    count_attests(warden, peer_host_id, 1);
    Question *question = g_new0(Question, 1);
    *question = (Question){ .warden = warden,
                            .vm_uuid = g_strdup(ticket->vm_uuid),
                            .epoch = ticket->epoch,
                            .call = id,
                            .asker = g_strdup(peer_host_id),
                            .ticket = ticket };
    GwLeave *leave = leave_of(question);
    if (leave != NULL && leave->commit != NULL) {
        gw_commit_looking(leave->commit);
        question->news = gw_commit_news(leave->commit);
    }
    gw_warden_look(warden, ticket->vm_uuid, ticket->epoch, saw_for_attest, question);
}
