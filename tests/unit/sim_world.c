/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim_world.h"

#include <string.h>

static void take_reply(GwReply *reply, gpointer user)
{
    World *world = user;

    g_mutex_lock(&world->lock);
    g_string_append_printf(world->diary, "%" G_GINT64_FORMAT " reply %" G_GUINT64_FORMAT " %s\n",
                           reply->at_us, reply->id,
                           reply->error != NULL ? reply->error->message : "ok");
    g_ptr_array_add(world->replies, reply);
    g_cond_signal(&world->came);
    g_mutex_unlock(&world->lock);
}

static void take_event(GwHyperEvent *event, gpointer user)
{
    World *world = user;

    g_mutex_lock(&world->lock);
    g_string_append_printf(
        world->diary, "%" G_GINT64_FORMAT " event %d %s %s %s %s\n", event->at_us, (int)event->kind,
        event->host_id, event->vm_uuid != NULL ? event->vm_uuid : "-",
        event->text != NULL ? event->text : "-", event->text2 != NULL ? event->text2 : "-");
    g_mutex_unlock(&world->lock);
    gw_hyper_event_free(event);
}

void world_attach(World *world)
{
    world->hyper = gw_sim_attach(world->sim, (GwHyperSink){ take_reply, take_event, world });
}

GwClock *world_clock(void)
{
    return gw_clock_new_virtual(1700000000 * SECOND);
}

void world_open(World *world, GwClock *clock, const char *fabric, gboolean agents)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(fabric), "'", '"');
    g_autoptr(GString) text = g_string_new(quoted);
    g_autoptr(GError) error = NULL;

    if (agents) {
        g_string_replace(text, URI_A, AGENT_A, 0);
        g_string_replace(text, URI_B, AGENT_B, 0);
    }
    g_autoptr(GwJson) json = gw_json_parse(text->str, text->len, GW_JSON_TEXT_MAX, &error);
    assert_non_null(json);
    assert_null(error);
    *world = (World){ .clock = clock };
    g_mutex_init(&world->lock);
    g_cond_init(&world->came);
    world->replies = g_ptr_array_new_with_free_func((GDestroyNotify)gw_reply_free);
    world->diary = g_string_new(NULL);
    world->sim = gw_sim_new(clock, json, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    world_attach(world);
}

void world_close(World *world)
{
    if (world->hyper != NULL)
        gw_hyper_close(world->hyper);
    gw_sim_free(world->sim);
    gw_clock_free(world->clock);
    g_ptr_array_unref(world->replies);
    g_string_free(world->diary, TRUE);
    g_mutex_clear(&world->lock);
    g_cond_clear(&world->came);
}

void world_run_for(World *world, gint64 span_us)
{
    gint64 until = gw_clock_now_us(world->clock) + span_us;

    for (;;) {
        gint64 next = world->hyper->driver->next_us(world->hyper);
        if (next == 0 || next > until)
            break;
        gw_clock_advance_to(world->clock, next);
        world->hyper->driver->run(world->hyper, gw_clock_now_us(world->clock));
    }
    gw_clock_advance_to(world->clock, until);
}

guint64 world_submit(World *world, GwRequest *request)
{
    guint64 id = request->id = ++world->last_id;
    gw_hyper_submit(world->hyper, request);
    return id;
}

guint64 world_connect(World *world, const char *host_id, const char *uri)
{
    GwRequest *request = gw_request_new(GW_OP_CONNECT, host_id, NULL);
    request->text = g_strdup(uri);
    return world_submit(world, request);
}

const GwReply *world_reply(const World *world, guint64 id)
{
    const GwReply *found = NULL;

    for (guint i = 0; i < world->replies->len; i++) {
        const GwReply *reply = world->replies->pdata[i];
        if (reply->id == id) {
            assert_null(found);
            found = reply;
        }
    }
    return found;
}

void world_add_fault(World *world, const char *at, const char *what, int ms, int percent)
{
    g_autoptr(GwJson) fault =
        json_pack("{s:s,s:s,s:i,s:i}", "at", at, "do", what, "ms", ms, "percent", percent);
    GError *error = NULL;

    assert_true(gw_sim_fault(world->sim, fault, &error));
    assert_null(error);
}
