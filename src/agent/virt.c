/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/virt.h"

#include "base/error.h"

#define HOST "here" /* the only host that this driver is asked about */
#define CONNECT_US (10 * G_USEC_PER_SEC)
#define BACK_OFF_US (100 * G_TIME_SPAN_MILLISECOND)
#define BACK_OFF_MAX_US (5 * G_USEC_PER_SEC)

typedef struct {
    GwVirtDone done;
    gpointer user;
} Pending;

struct GwVirt {
    gatomicrefcount refs; /* the owner's, and one of each post under way */
    GwLoop *loop;
    char *uri;
    GwVirtOps ops;
    GwHyper *hyper;      /* NULL once it is freed: nothing is told any more */
    GHashTable *pending; /* guint64 id -> Pending */
    guint64 last_id;
    GwTimer *timer;
    gint64 back_off_us;
    gboolean up;
};

static void unref(GwVirt *virt)
{
    if (!g_atomic_ref_count_dec(&virt->refs))
        return;
    g_hash_table_unref(virt->pending);
    g_free(virt->uri);
    g_free(virt);
}

/* From the driver's threads to the loop -------------------------------------------------------- */

typedef struct {
    GwVirt *virt;
    GwReply *reply; /* or */
    GwHyperEvent *event;
} Post;

static void go_down(GwVirt *virt, const char *why)
{
    if (virt->timer != NULL)
        gw_timer_set(virt->timer, g_get_monotonic_time() + virt->back_off_us);
    virt->back_off_us = MIN(virt->back_off_us * 2, BACK_OFF_MAX_US);
    if (!virt->up)
        return;
    virt->up = FALSE;
    virt->ops.down(why != NULL ? why : "libvirt's connection broke", virt->ops.user);
}

static void take_reply(GwVirt *virt, const GwReply *reply)
{
    Pending *pending = g_hash_table_lookup(virt->pending, &reply->id);

    if (pending == NULL)
        return;
    Pending copy = *pending;
    g_hash_table_remove(virt->pending, &reply->id);
    copy.done(reply, copy.user);
}

static void run_post(gpointer data)
{
    Post *post = data;

    if (post->virt->hyper == NULL)
        ;
    else if (post->reply != NULL)
        take_reply(post->virt, post->reply);
    else if (post->event->kind == GW_EVENT_HOST_LOST)
        go_down(post->virt, post->event->text);
    else
        post->virt->ops.event(post->event, post->virt->ops.user);
    if (post->reply != NULL)
        gw_reply_free(post->reply);
    if (post->event != NULL)
        gw_hyper_event_free(post->event);
    unref(post->virt);
    g_free(post);
}

static void post(GwVirt *virt, GwReply *reply, GwHyperEvent *event)
{
    Post *copy = g_new0(Post, 1);

    g_atomic_ref_count_inc(&virt->refs);
    *copy = (Post){ virt, reply, event };
    gw_loop_post(virt->loop, run_post, copy);
}

static void on_reply(GwReply *reply, gpointer user)
{
    post(user, reply, NULL);
}

static void on_event(GwHyperEvent *event, gpointer user)
{
    post(user, NULL, event);
}

/* Asking --------------------------------------------------------------------------------------- */

static void answer_none(const Pending *pending)
{
    g_autoptr(GwReply) reply = gw_reply_new(0);

    gw_error_set(&reply->error, GW_ERR_CANCELLED, NULL, "the agent ends");
    pending->done(reply, pending->user);
}

void gw_virt_ask(GwVirt *virt, GwOp op, const char *vm_uuid, gint64 number, gint64 timeout_us,
                 GwVirtDone done, gpointer user)
{
    if (virt->hyper == NULL) {
        answer_none(&(Pending){ done, user });
        return;
    }
    GwRequest *request = gw_request_new(op, HOST, vm_uuid);
    Pending *pending = g_new0(Pending, 1);

    *pending = (Pending){ done, user };
    request->id = ++virt->last_id;
    request->number = number;
    request->timeout_us = timeout_us;
    request->text = op == GW_OP_CONNECT ? g_strdup(virt->uri) : NULL;
    g_hash_table_insert(virt->pending, g_memdup2(&request->id, sizeof request->id), pending);
    gw_hyper_submit(virt->hyper, request);
}

static void connected(const GwReply *reply, gpointer user)
{
    GwVirt *virt = user;

    if (reply->error != NULL) {
        g_debug("libvirt: %s", reply->error->message);
        go_down(virt, reply->error->message);
        return;
    }
    virt->up = TRUE;
    virt->back_off_us = BACK_OFF_US;
    virt->ops.up(virt->ops.user);
}

static void connect_now(gpointer user)
{
    gw_virt_ask(user, GW_OP_CONNECT, NULL, 0, CONNECT_US, connected, user);
}

gboolean gw_virt_is_up(const GwVirt *virt)
{
    return virt->up;
}

GwVirt *gw_virt_new(GwLoop *loop, const char *uri, GwVirtOpen open, const GwVirtOps *ops,
                    GError **error)
{
    GwVirt *virt = g_new0(GwVirt, 1);

    g_atomic_ref_count_init(&virt->refs);
    virt->loop = loop;
    virt->uri = g_strdup(uri);
    virt->ops = *ops;
    virt->pending = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    virt->back_off_us = BACK_OFF_US;
    virt->hyper = open((GwHyperSink){ on_reply, on_event, virt }, error);
    if (virt->hyper == NULL) {
        unref(virt);
        return NULL;
    }
    virt->timer = gw_timer_new(loop, connect_now, virt);
    connect_now(virt);
    return virt;
}

void gw_virt_free(GwVirt *virt)
{
    GHashTableIter iter;
    gpointer pending = NULL;

    if (virt == NULL)
        return;
    gw_hyper_close(virt->hyper);
    virt->hyper = NULL;
    virt->up = FALSE;
    g_clear_pointer(&virt->timer, gw_timer_free);
    g_hash_table_iter_init(&iter, virt->pending);
    while (g_hash_table_iter_next(&iter, NULL, &pending))
        answer_none(pending);
    unref(virt);
}
