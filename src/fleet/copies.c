/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* Copies of files by agents. They copy by themselves, whether or not the controller is there; it is
 * told to begin, looks every half second, and begins again where one was lost: what is there
 * already is not sent again. */

#define POLL_US (500 * G_TIME_SPAN_MILLISECOND)
#define PAUSE_US G_TIME_SPAN_SECOND
#define CALL_US (60 * G_TIME_SPAN_SECOND) /* opening a file of a slow network file system */
#define AWAY_US (10 * G_TIME_SPAN_MINUTE) /* so long an agent may not be reached */
#define TRIES_MAX 10                      /* that got no further than the one before */
#define MIB ((gint64)1024 * 1024)

/* The request that is under way, by the copy's id. */
struct GwFleetCopy {
    GwFleet *fleet;
    guint64 serial; /* of its task */
    char *id;
    GwFleetHost *from, *to; /* the same: within one host */
    GwCopyResult *result;   /* as far as it is known */
    gint64 position, total, resume_bytes;
    gint64 began_us, seen_us; /* when it was begun, and an agent answered last */
    guint tries;
    guint turn; /* counts questions: a late answer finds another */
    GwTimer *timer;
    void (*then)(GwFleetCopy *copy); /* when it is due */
    gboolean to_done, from_done;
    GError *why; /* of the end that failed first, while the other is asked */
    gboolean aborted;
};

void gw_fleet_copy_free(gpointer data)
{
    GwFleetCopy *copy = data;

    gw_timer_free(copy->timer);
    gw_copy_result_free(copy->result);
    g_clear_error(&copy->why);
    g_free(copy->id);
    g_free(copy);
}

static GwFleetTask *task_of(const GwFleetCopy *copy)
{
    return gw_fleet_task_find(copy->fleet, copy->serial);
}

static const GwCopy *wish_of(const GwFleetCopy *copy)
{
    return task_of(copy)->request->copy;
}

/* Ends the request; takes @error, NULL: it went well. */
static void finish(GwFleetCopy *copy, GError *error)
{
    GwFleetTask *task = task_of(copy);
    GwReply *reply = task != NULL ? gw_reply_new(task->id) : NULL;

    if (error != NULL)
        g_prefix_error(&error, "%s: copy: ", copy->to->address);
    if (reply != NULL) {
        reply->error = error;
        reply->copied = error == NULL ? g_steal_pointer(&copy->result) : NULL;
    } else {
        g_clear_error(&error);
    }
    g_hash_table_remove(copy->fleet->copies, copy->id);
    if (reply != NULL)
        gw_fleet_task_answer(task, reply);
}

static void wait_for(GwFleetCopy *copy, gint64 span_us, void (*then)(GwFleetCopy *copy))
{
    copy->then = then;
    gw_timer_set(copy->timer, g_get_monotonic_time() + span_us);
}

static void on_due(gpointer user)
{
    GwFleetCopy *copy = user;

    if (task_of(copy) == NULL)
        g_hash_table_remove(copy->fleet->copies, copy->id); /* its request was given up */
    else
        copy->then(copy);
}

/* Asking --------------------------------------------------------------------------------------- */

typedef void (*Answered)(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                         const GError *error);

typedef struct {
    GwFleet *fleet;
    char *id;
    guint turn;
    GwFleetHost *host;
    Answered answered;
} Question;

static void on_answer(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    g_autofree Question *question = user;
    g_autofree char *id = question->id;
    GwFleetCopy *copy = g_hash_table_lookup(question->fleet->copies, id);

    if (copy == NULL || copy->turn != question->turn)
        return;
    if (task_of(copy) == NULL) { /* its request was given up */
        g_hash_table_remove(copy->fleet->copies, copy->id);
        return;
    }
    if (error == NULL || error->code != GW_ERR_UNREACHABLE)
        copy->seen_us = g_get_monotonic_time();
    question->answered(copy, question->host, result, error);
}

static void ask(GwFleetCopy *copy, GwFleetHost *host, const char *method, json_t *params_stolen,
                Answered answered)
{
    copy->turn++;
    if (!gw_fleet_link_is_usable(host)) {
        g_autoptr(GError) error = NULL;
        json_decref(params_stolen);
        gw_error_set(&error, GW_ERR_UNREACHABLE, GW_FLEET_REMEDY_AGENT,
                     "the agent of %s is not connected", host->address);
        answered(copy, host, NULL, error);
        return;
    }
    Question *question = g_new0(Question, 1);
    *question = (Question){ copy->fleet, g_strdup(copy->id), copy->turn, host, answered };
    gw_session_call(host->link->session, method, params_stolen, CALL_US, on_answer, question);
}

static json_t *by_id(const GwFleetCopy *copy)
{
    return json_pack("{s:s}", "copy", copy->id);
}

static gboolean is_local(const GwFleetCopy *copy)
{
    return copy->from == copy->to;
}

/* What may get better by itself: an agent that is not there, or does not answer. */
static gboolean is_away(const GwFleetCopy *copy, const GError *error)
{
    return (error->code == GW_ERR_UNREACHABLE || error->code == GW_ERR_TIMEOUT) &&
           g_get_monotonic_time() < copy->seen_us + AWAY_US;
}

/* Stopping ------------------------------------------------------------------------------------- */

static void fail_now(GwFleetCopy *copy)
{
    finish(copy, g_steal_pointer(&copy->why));
}

static void stopped_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    fail_now(copy);
}

static void stopped_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                         const GError *error)
{
    if (is_local(copy))
        fail_now(copy);
    else
        ask(copy, copy->to, "copy-stop", by_id(copy), stopped_to);
}

/* Both ends, as far as they can be reached; who cannot ends by itself when the other does. */
static void fail(GwFleetCopy *copy, const GError *why)
{
    g_clear_error(&copy->why);
    copy->why = g_error_copy(why);
    gw_timer_set(copy->timer, 0);
    ask(copy, copy->from, "copy-stop", by_id(copy), stopped_from);
}

/* Beginning ------------------------------------------------------------------------------------ */

static void begin(GwFleetCopy *copy);
static void poll_to(GwFleetCopy *copy);

static void again(GwFleetCopy *copy, const GError *why)
{
    /* It got further: the count begins anew. */
    copy->tries = copy->position > copy->resume_bytes ? 1 : copy->tries + 1;
    copy->resume_bytes = MAX(copy->resume_bytes, copy->position);
    if (copy->tries > TRIES_MAX)
        fail(copy, why);
    else
        wait_for(copy, PAUSE_US, begin);
}

static void not_begun(GwFleetCopy *copy, const GError *error, void (*retry)(GwFleetCopy *copy))
{
    if (is_away(copy, error))
        wait_for(copy, PAUSE_US, retry);
    else
        fail(copy, error);
}

static void begun(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    copy->to_done = copy->from_done = FALSE;
    if (error != NULL)
        not_begun(copy, error, begin);
    else
        wait_for(copy, POLL_US, poll_to);
}

static char *ticket_for(GwFleetCopy *copy, GwFleetHost *host)
{
    GError *error = NULL;
    char *ticket = gw_fleet_leave(copy->fleet, wish_of(copy)->permit, host->id, &error);

    if (ticket == NULL) {
        fail(copy, error);
        g_clear_error(&error);
    }
    return ticket;
}

static void expected(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    const GwCopy *wish = wish_of(copy);
    g_autoptr(GError) problem = NULL;

    if (error != NULL) {
        not_begun(copy, error, begin);
        return;
    }
    g_autoptr(GwJson) peer =
        gw_fleet_peer(copy->fleet, copy->to->id, wish->permit->destination_address, &problem);
    g_autofree char *ticket = peer != NULL ? ticket_for(copy, copy->from) : NULL;
    if (peer == NULL)
        fail(copy, problem);
    if (ticket != NULL)
        ask(copy, copy->from, "copy-send",
            json_pack("{s:s, s:s, s:s, s:I, s:O}", "ticket", ticket, "copy", copy->id, "path",
                      wish->from->path, "bytes_per_s", (json_int_t)(wish->bandwidth_mibps * MIB),
                      "peer", peer),
            begun);
}

static void expect(GwFleetCopy *copy)
{
    const GwCopy *wish = wish_of(copy);
    g_autofree char *ticket = ticket_for(copy, copy->to);
    /* Outside of pools nobody else makes it: NVRAM, TPM state. */
    gboolean create = wish->to->pool == NULL && g_strcmp0(wish->to->kind, "block") != 0;

    /* There is room for what was looked at; what the source sends is its own word. */
    if (ticket != NULL)
        ask(copy, copy->to, "copy-expect",
            json_pack("{s:s, s:s, s:s, s:b, s:b, s:I, s:I}", "ticket", ticket, "copy", copy->id,
                      "path", wish->to->path, "create", create, "delta", wish->delta,
                      "resume_bytes", (json_int_t)copy->resume_bytes, "length",
                      (json_int_t)MAX(wish->from->length_bytes, 0)),
            expected);
}

static void begin_local(GwFleetCopy *copy)
{
    const GwCopy *wish = wish_of(copy);

    ask(copy, copy->to, "copy-local",
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:I}", "copy", copy->id, "from", wish->from->path,
                  "to", wish->to->path, "how", "fast", "delta", wish->delta, "resume_bytes",
                  (json_int_t)copy->resume_bytes),
        begun);
}

static void cleared_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    if (error != NULL)
        not_begun(copy, error, begin);
    else if (is_local(copy))
        begin_local(copy);
    else
        expect(copy);
}

static void cleared_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                         const GError *error)
{
    if (error != NULL)
        not_begun(copy, error, begin);
    else
        ask(copy, copy->to, "copy-stop", by_id(copy), cleared_to);
}

/* What an earlier start of ours, or of this controller, left under way is ended first. */
static void begin(GwFleetCopy *copy)
{
    ask(copy, copy->from, "copy-stop", by_id(copy), is_local(copy) ? cleared_to : cleared_from);
}

/* Looking -------------------------------------------------------------------------------------- */

static gint64 number(const json_t *said, const char *key)
{
    return MAX(json_integer_value(json_object_get(said, key)), 0);
}

static char *text(const json_t *said, const char *key)
{
    const char *raw = json_string_value(json_object_get(said, key));
    return raw != NULL ? gw_text_printable(raw, GW_TEXT_NAME_MAX) : NULL;
}

/* The source's word on what was read and sent, the destination's on the rest. */
static void take_figures(GwFleetCopy *copy, const GwFleetHost *host, const json_t *said)
{
    GwCopyResult *result = copy->result;

    if (host == copy->from) {
        result->read_bytes = number(said, "read");
        result->sent_bytes = number(said, "sent");
    }
    if (host != copy->to)
        return;
    result->written_bytes = number(said, "written");
    result->same_bytes = number(said, "same");
    result->verified = json_is_true(json_object_get(said, "verified"));
    g_free(result->digest);
    result->digest = text(said, "digest");
    g_free(result->how);
    result->how = text(said, "how");
    copy->position = number(said, "position");
    copy->total = number(said, "total");
}

static GError *reason(const json_t *said)
{
    const json_t *error = json_object_get(said, "error");
    g_autofree char *message = text(error, "message"), *remedy = text(error, "remedy");
    const char *code = json_string_value(json_object_get(error, "code"));
    GError *why = NULL;

    gw_error_set(&why, code != NULL ? gw_error_code_from_word(code) : GW_ERR_OPERATION, remedy,
                 "%s", message != NULL ? message : "the agent does not say why");
    return why;
}

static void access_set(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    GError *why = NULL;

    if (error != NULL && is_away(copy, error)) {
        wait_for(copy, PAUSE_US, poll_to); /* both are done, and say so again */
        return;
    }
    if (error != NULL) {
        why = g_error_copy(error);
        g_prefix_error(&why, "it was copied, but: ");
    }
    finish(copy, why);
}

/* R30: it belongs to whom it is to belong. */
static void set_access(GwFleetCopy *copy)
{
    const GwVolume *to = wish_of(copy)->to;

    if (to->owner == NULL && to->group == NULL && to->mode == NULL && to->label == NULL &&
        to->acl == NULL) {
        finish(copy, NULL);
        return;
    }
    ask(copy, copy->to, "volume-access",
        json_pack("{s:s, s:{s:s?, s:s?, s:s?, s:s?, s:s?}}", "path", to->path, "set", "owner",
                  to->owner, "group", to->group, "mode", to->mode, "label", to->label, "acl",
                  to->acl),
        access_set);
}

/* Where both have failed, who saw more than a broken connection knows why. */
static void failed(GwFleetCopy *copy, GError *why_stolen)
{
    g_autoptr(GError) why = why_stolen;

    if (copy->why != NULL && why->code == GW_ERR_UNREACHABLE &&
        copy->why->code != GW_ERR_UNREACHABLE) {
        g_clear_error(&why);
        why = g_error_copy(copy->why);
    }
    g_clear_error(&copy->why);
    if (why->code == GW_ERR_UNREACHABLE)
        again(copy, why);
    else
        fail(copy, why);
}

static void poll_from(GwFleetCopy *copy);

/* The old copy may be deleted once this is done. */
static gboolean is_proved(GwFleetCopy *copy)
{
    g_autoptr(GError) why = NULL;

    if (is_local(copy) || copy->result->verified)
        return TRUE;
    gw_error_set(&why, GW_ERR_OPERATION, "Install the same version of the agent on both hosts.",
                 "the agent says that all was copied, and not that it read it back");
    fail(copy, why);
    return FALSE;
}

static void settle(GwFleetCopy *copy)
{
    if (copy->to_done && copy->from_done && !is_proved(copy))
        return;
    if (copy->to_done && copy->from_done)
        set_access(copy);
    else
        wait_for(copy, POLL_US, poll_to);
}

/* FALSE: the copy was begun anew, failed, or is asked of later. */
static gboolean take_status(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                            const GError *error, gboolean *done)
{
    const char *state = json_string_value(json_object_get(said, "state"));

    if (error != NULL && error->code == GW_ERR_NOT_FOUND) {
        again(copy, error); /* the agent was started anew */
        return FALSE;
    }
    if (error != NULL) {
        not_begun(copy, error, poll_to);
        return FALSE;
    }
    take_figures(copy, host, said);
    *done = g_strcmp0(state, "done") == 0;
    return TRUE;
}

static gboolean has_failed(const json_t *said)
{
    return g_strcmp0(json_string_value(json_object_get(said, "state")), "failed") == 0;
}

static void polled_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                        const GError *error)
{
    if (!take_status(copy, host, said, error, &copy->from_done))
        return;
    if (has_failed(said))
        failed(copy, reason(said));
    else if (copy->why != NULL && !copy->from_done)
        failed(copy, g_steal_pointer(&copy->why));
    else
        settle(copy);
}

static void polled_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    if (!take_status(copy, host, said, error, &copy->to_done))
        return;
    g_clear_error(&copy->why);
    if (has_failed(said))
        copy->why = reason(said);
    copy->from_done = is_local(copy) ? copy->to_done : copy->from_done;
    if (!is_local(copy))
        poll_from(copy);
    else if (copy->why != NULL)
        failed(copy, g_steal_pointer(&copy->why));
    else
        settle(copy);
}

static void poll_to(GwFleetCopy *copy)
{
    ask(copy, copy->to, "copy-status", by_id(copy), polled_to);
}

static void poll_from(GwFleetCopy *copy)
{
    ask(copy, copy->from, "copy-status", by_id(copy), polled_from);
}

/* Requests ------------------------------------------------------------------------------------- */

static gboolean has_agent(const GwFleetHost *host)
{
    return host != NULL && host->has_agent;
}

gboolean gw_fleet_copies_it(GwFleet *fleet, const GwRequest *request)
{
    const GwCopy *copy = request->copy;

    if (request->op == GW_OP_COPY_PROGRESS || request->op == GW_OP_COPY_ABORT)
        return request->text != NULL && g_hash_table_contains(fleet->copies, request->text);
    if (request->op != GW_OP_VOLUME_COPY || copy == NULL || copy->to == NULL ||
        copy->from == NULL || copy->from_host_id == NULL || request->host_id == NULL)
        return FALSE;
    if (!has_agent(gw_fleet_host(fleet, request->host_id)) ||
        !has_agent(gw_fleet_host(fleet, copy->from_host_id)))
        return FALSE;
    return strcmp(copy->from_host_id, request->host_id) == 0 ? copy->how == GW_DISK_FAST_COPY
                                                             : copy->permit != NULL;
}

static gboolean check(const GwFleet *fleet, const GwCopy *wish, GError **error)
{
    if (wish->id == NULL || *wish->id == '\0' || wish->from->path == NULL ||
        wish->to->path == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a copy needs an id, and the paths of both ends");
        return FALSE;
    }
    if (!g_hash_table_contains(fleet->copies, wish->id))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait until it is over, or abort it.",
                 "copy %s is under way", wish->id);
    return FALSE;
}

static void begin_request(GwFleetTask *task)
{
    GwFleet *fleet = task->fleet;
    const GwCopy *wish = task->request->copy;
    GError *error = NULL;

    if (!check(fleet, wish, &error)) {
        gw_fleet_task_fail(task, error);
        return;
    }
    GwFleetCopy *copy = g_new0(GwFleetCopy, 1);
    copy->fleet = fleet;
    copy->serial = task->serial;
    copy->id = g_strdup(wish->id);
    copy->to = task->host;
    copy->from = gw_fleet_host(fleet, wish->from_host_id);
    copy->result = gw_copy_result_new();
    copy->resume_bytes = wish->resume_bytes;
    copy->began_us = copy->seen_us = g_get_monotonic_time();
    copy->timer = gw_timer_new(fleet->loop, on_due, copy);
    g_hash_table_insert(fleet->copies, copy->id, copy);
    if (task->request->timeout_us > 0)
        gw_fleet_task_set_deadline(task, task->request->timeout_us);
    begin(copy);
}

static void tell_progress(GwFleetTask *task, const GwFleetCopy *copy)
{
    GwReply *reply = gw_reply_new(task->id);
    GwProgress *progress = gw_progress_new();
    gint64 elapsed_ms = (g_get_monotonic_time() - copy->began_us) / 1000;
    gint64 done = copy->position - MIN(copy->resume_bytes, copy->position);

    progress->phase = g_strdup("copying");
    progress->total_bytes = progress->disk_total_bytes = copy->total;
    progress->processed_bytes = progress->disk_processed_bytes = copy->position;
    progress->remaining_bytes = progress->disk_remaining_bytes =
        MAX(copy->total - copy->position, 0);
    progress->percent = copy->total > 0 ? copy->position * 100 / copy->total : 0;
    progress->elapsed_ms = elapsed_ms;
    progress->bandwidth_bps = elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0;
    progress->eta_ms = progress->bandwidth_bps > 0
                           ? progress->remaining_bytes * 1000 / progress->bandwidth_bps
                           : -1;
    progress->converging = TRUE;
    reply->progress = progress;
    gw_fleet_task_answer(task, reply);
}

static void abort_request(GwFleetTask *task, GwFleetCopy *copy)
{
    g_autoptr(GError) why = NULL;

    gw_error_set(&why, GW_ERR_CANCELLED, "Copy again: it goes on where it was.",
                 "the copy was stopped");
    gw_fleet_task_answer(task, gw_reply_new(task->id));
    if (!copy->aborted) {
        copy->aborted = TRUE;
        fail(copy, why);
    }
}

void gw_fleet_copy_op(GwFleetTask *task)
{
    GwFleetCopy *copy = task->op != GW_OP_VOLUME_COPY
                            ? g_hash_table_lookup(task->fleet->copies, task->request->text)
                            : NULL;

    if (task->op == GW_OP_VOLUME_COPY)
        begin_request(task);
    else if (task->op == GW_OP_COPY_PROGRESS)
        tell_progress(task, copy);
    else
        abort_request(task, copy);
}

/* What a volume belongs to beyond its mode (R30) ----------------------------------------------- */

#define VOLUMES_MAX 32 /* of one chain: as many are asked for */
#define LOOK_US (5 * G_TIME_SPAN_SECOND)

static void ask_access(GwFleetTask *task);

static void take(char **into, const json_t *said, const char *key)
{
    if (*into == NULL)
        *into = text(said, key);
}

static void access_came(GwFleetTask *task)
{
    GwVolume *volume = task->inner->volumes->pdata[task->index++];

    take(&volume->owner, task->said, "owner");
    take(&volume->group, task->said, "group");
    take(&volume->mode, task->said, "mode");
    take(&volume->label, task->said, "label");
    take(&volume->acl, task->said, "acl");
    g_clear_pointer(&task->said, json_decref);
    g_clear_error(&task->agent_error); /* best effort: libvirt's word stays */
    ask_access(task);
}

static void ask_access(GwFleetTask *task)
{
    const GPtrArray *volumes = task->inner->volumes;

    while (volumes != NULL && task->index < MIN(volumes->len, VOLUMES_MAX)) {
        const GwVolume *volume = volumes->pdata[task->index];
        if (g_strcmp0(volume->kind, "file") == 0 && volume->path != NULL &&
            gw_fleet_link_is_usable(task->host)) {
            task->finish = access_came;
            gw_fleet_task_ask_agent(task, "volume-access", json_pack("{s:s}", "path", volume->path),
                                    LOOK_US);
            return;
        }
        task->index++;
    }
    if (task->alone)
        gw_fleet_say_user(task, g_steal_pointer(&task->inner));
    else
        gw_fleet_task_answer(task, g_steal_pointer(&task->inner));
}

void gw_fleet_volume_look(GwFleetTask *task)
{
    task->alone = task->request->number != 1;
    task->finish = ask_access;
    gw_fleet_task_pass(task);
}
