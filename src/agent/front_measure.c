/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/front_internal.h"
#include "base/error.h"
#include "model/agent.h"

/* The path to another host, measured gently: some round trips at rest, then one stream of the last
 * class, that only takes what nobody else wants, and ends early. */

#define PINGS 8
#define PING_MIN_US (10 * 1000) /* between two */
#define PING_MAX_US G_USEC_PER_SEC
#define BYTES_MAX (1024LL * 1024 * 1024)
#define MS_MAX 10000
#define OVER_US (15 * G_USEC_PER_SEC) /* the other side's word for the last byte, and then some */
#define SEGMENT 1448                  /* bytes of data in a segment of an MTU of 1500 */
/* How long one host may measure to us without a word that it is over. */
#define TARGET_US (MS_MAX * 1000 + OVER_US)
/* How long one that had the last turn lets one that was refused meanwhile go first. */
#define LET_OTHERS_US (60 * G_USEC_PER_SEC)

typedef struct {
    Front *front;
    guint64 call; /* of the warden */
    gint64 bytes_max, us_max;
    /* The lane's, from when there is a session: */
    Link *link;
    GwTimer *timer;
    guint pings;
    gint64 round_trips_us[PINGS];
    GwStream *stream;
    gint64 began_us, ended_us;
    gint64 sent_bytes;
    guint64 retransmits;
    gboolean finished; /* pulled as much as was wanted */
    json_t *result;
    GError *error;
} Measure;

/* The end, at home ---------------------------------------------------------------------------- */

static void answer(Measure *measure)
{
    measure->front->measuring = FALSE;
    gw_ipc_answer(measure->front->ipc, measure->call, g_steal_pointer(&measure->result), -1,
                  measure->error);
    if (measure->link != NULL)
        gw_front_link_unref(measure->link);
    g_clear_error(&measure->error);
    g_free(measure);
}

static void answer_at_home(Link *link, gpointer data)
{
    answer(data);
}

static void end(Measure *measure, const GError *error)
{
    g_clear_pointer(&measure->timer, gw_timer_free);
    if (error != NULL)
        measure->error = g_error_copy(error);
    gw_front_stream_counted(measure->link, -1);
    gw_front_at_home(measure->link, answer_at_home, measure);
}

/* The figures --------------------------------------------------------------------------------- */

static int compare(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return (x > y) - (x < y);
}

static double retransmitted(const Measure *measure)
{
    GwSessionCounts counts;

    gw_session_counts(measure->link->session, &counts);
    if (counts.tcp_rtt_us < 0 || measure->sent_bytes == 0)
        return -1;
    double again = (double)(counts.retransmits - measure->retransmits);
    double segments = (double)measure->sent_bytes / SEGMENT + 1;
    return CLAMP(again / (segments + again), 0, 1);
}

static char *now_text(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();

    return g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
}

static json_t *figures(Measure *measure)
{
    g_autoptr(GwLinkFacts) facts = gw_link_facts_new();
    gint64 took_us = MAX(measure->ended_us - measure->began_us, 1);

    qsort(measure->round_trips_us, PINGS, sizeof(gint64), compare);
    facts->host_id = g_strdup(measure->link->peer->host_id);
    facts->measured_at = now_text();
    facts->round_trip_us = measure->round_trips_us[PINGS / 2];
    facts->round_trip_max_us = measure->round_trips_us[PINGS - 1];
    facts->measured_bytes = measure->sent_bytes;
    facts->bytes_per_s = (gint64)((double)measure->sent_bytes * G_USEC_PER_SEC / (double)took_us);
    facts->retransmitted = retransmitted(measure);
    return gw_record_to_json(&gw_link_facts_record, facts);
}

/* The stream, on the lane --------------------------------------------------------------------- */

static gsize on_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    Measure *measure = user;
    gint64 now_us = g_get_monotonic_time();

    if (measure->began_us == 0)
        measure->began_us = now_us;
    gint64 left = measure->bytes_max - measure->sent_bytes;
    if (left <= 0 || now_us - measure->began_us >= measure->us_max) {
        measure->finished = TRUE;
        gw_stream_end(stream);
        return 0;
    }
    gsize length = MIN(room, (gsize)left);
    memset(into, 0, length);
    measure->sent_bytes += (gint64)length;
    return length;
}

static void on_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    gw_stream_consumed(stream, length);
}

/* The other ends its side when it has had the last byte. */
static void on_ended(GwStream *stream, gpointer user)
{
    ((Measure *)user)->ended_us = g_get_monotonic_time();
}

static void on_gone(GwStream *stream, const GError *why, gpointer user)
{
    Measure *measure = user;
    g_autoptr(GError) error = NULL;

    measure->stream = NULL;
    if (why == NULL && measure->finished && measure->ended_us != 0 &&
        measure->link->session != NULL)
        measure->result = figures(measure);
    else if (why == NULL)
        gw_error_set(&error, GW_ERR_INVALID, NULL, "the other host ended the measurement");
    end(measure, why != NULL ? why : error);
}

static void on_opened(GwStream *stream, gpointer user)
{
    gw_stream_ready(stream);
}

static void on_too_long(Measure *measure)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_TIMEOUT, NULL, "the measurement did not come to its end in time");
    gw_stream_reset(measure->stream, error);
}

static void start_stream(Measure *measure)
{
    static const GwStreamOps ops = { on_opened, on_pull, on_push, on_ended, on_gone };
    const GwStreamShare share = { GW_CLASS_BULK, NULL, 1 };
    GwSessionCounts counts;

    gw_session_counts(measure->link->session, &counts);
    measure->retransmits = counts.retransmits;
    measure->stream = gw_stream_open(measure->link->session, json_pack("{s:s}", "kind", "discard"),
                                     &share, &ops, measure);
    gw_timer_set(measure->timer, g_get_monotonic_time() + measure->us_max + OVER_US);
}

/* Round trips, on the lane -------------------------------------------------------------------- */

static void session_gone(Measure *measure)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_UNREACHABLE, NULL, "the session to the host ended");
    end(measure, error);
}

/* Time for the one before to come back; the counts have the last that did. */
static void ping_again(Measure *measure, gint64 round_trip_us)
{
    gw_session_ping(measure->link->session);
    gw_timer_set(measure->timer,
                 g_get_monotonic_time() + CLAMP(round_trip_us * 2, PING_MIN_US, PING_MAX_US));
}

static void on_timer(gpointer user)
{
    Measure *measure = user;
    GwSessionCounts counts;

    if (measure->stream != NULL) {
        on_too_long(measure);
        return;
    }
    if (measure->link->session == NULL) {
        session_gone(measure);
        return;
    }
    gw_session_counts(measure->link->session, &counts);
    if (counts.rtt_us >= 0)
        measure->round_trips_us[measure->pings++] = counts.rtt_us;
    if (measure->pings < PINGS)
        ping_again(measure, counts.rtt_us);
    else
        start_stream(measure);
}

static void on_granted(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    Measure *measure = user;

    if (error != NULL) {
        end(measure, error);
        return;
    }
    measure->timer = gw_timer_new(measure->link->lane->loop, on_timer, measure);
    ping_again(measure, PING_MAX_US / 20);
}

static void ask_other(Link *link, gpointer data)
{
    Measure *measure = data;

    gw_front_stream_counted(link, 1);
    if (link->session == NULL)
        session_gone(measure);
    else
        gw_session_call(link->session, "measure-target", json_object(), 5 * G_USEC_PER_SEC,
                        on_granted, measure);
}

/* Beginning, at home -------------------------------------------------------------------------- */

static void on_link(Link *link, const GError *error, gpointer user)
{
    Measure *measure = user;

    if (link == NULL) {
        measure->error = g_error_copy(error);
        answer(measure);
        return;
    }
    measure->link = gw_front_link_ref(link);
    gw_front_on_lane(link, ask_other, measure);
}

void gw_front_measure(Front *front, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;

    if (front->measuring) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Try again in some seconds.",
                     "this host measures another path right now");
        gw_ipc_answer(front->ipc, id, NULL, -1, error);
        return;
    }
    Measure *measure = g_new0(Measure, 1);
    measure->front = front;
    measure->call = id;
    measure->bytes_max =
        CLAMP(json_integer_value(json_object_get(params, "bytes_max")), 1, BYTES_MAX);
    measure->us_max =
        CLAMP(json_integer_value(json_object_get(params, "ms_max")), 1, MS_MAX) * 1000;
    front->measuring = TRUE;
    gw_front_peer_need(front, json_object_get(params, "peer"), TRUE, on_link, measure);
}

/* To here ------------------------------------------------------------------------------------- */

static const char *name_of(const Link *link)
{
    return link->peer != NULL && link->peer->host_id != NULL ? link->peer->host_id : "";
}

/* Nobody keeps it for ever by asking again and again. */
static gboolean may_measure(Front *front, const char *who, gint64 now_us)
{
    gboolean again = g_strcmp0(front->measured_last, who) == 0;

    if (front->measured_by != NULL && now_us < front->measured_until_us &&
        !g_str_equal(front->measured_by, who)) {
        front->measured_wanted_us = now_us;
        return FALSE;
    }
    if (again && front->measured_wanted_us != 0 &&
        now_us - front->measured_wanted_us < LET_OTHERS_US)
        return FALSE;
    if (!again)
        front->measured_wanted_us = 0;
    return TRUE;
}

static void set_name(char **at, const char *name)
{
    g_free(*at);
    *at = g_strdup(name);
}

/* Two measurements at once would each find half the path. */
void gw_front_measure_target(Link *link, gpointer call_id)
{
    Front *front = link->lane->front;
    gint64 now_us = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;

    if (may_measure(front, name_of(link), now_us)) {
        set_name(&front->measured_by, name_of(link));
        set_name(&front->measured_last, name_of(link));
        front->measured_until_us = now_us + TARGET_US;
    } else {
        gw_error_set(&error, GW_ERR_CONFLICT, "Try again in some seconds.",
                     "another host measures its path to this one right now, or waits to");
    }
    gw_front_answer(link, GPOINTER_TO_UINT(call_id), error == NULL ? json_object() : NULL, error);
}

void gw_front_measure_over(Link *link)
{
    Front *front = link->lane->front;

    if (g_strcmp0(front->measured_by, name_of(link)) == 0)
        g_clear_pointer(&front->measured_by, g_free);
}
