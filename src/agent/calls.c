/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/copies.h"
#include "agent/warden_internal.h"
#include "base/error.h"

/* What the front asks and tells: who the controller is, and the calls of the controller and of
 * other agents. */

#define SERIALS_MAX_LENGTH 128
#define RUN_MAX 64

/* The controller ------------------------------------------------------------------------------- */

static gboolean refuse_controller(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_FORBIDDEN,
                 "Stop the controller that runs from an old copy of the state folder.", "%s", why);
    return FALSE;
}

gboolean gw_warden_obeys(const GwWarden *warden, const json_t *peer, GError **error)
{
    const GwAgentState *state = warden->state;
    const char *role = json_string_value(json_object_get(peer, "role"));
    const char *fabric = json_string_value(json_object_get(peer, "fabric_id"));
    const char *run = json_string_value(json_object_get(peer, "run"));

    if (g_strcmp0(role, "controller") != 0 || g_strcmp0(fabric, state->fabric_id) != 0)
        return refuse_controller(error, "only this fabric's controller may ask that");
    if (json_integer_value(json_object_get(peer, "incarnation")) == state->incarnation &&
        state->run != NULL && g_strcmp0(run, state->run) == 0)
        return TRUE;
    return refuse_controller(error, "this host follows another controller");
}

/* Whether a controller that has come may stay; remembers the newest. */
static gboolean judge_controller(GwWarden *warden, const json_t *params, GError **error)
{
    GwAgentState *state = warden->state;
    gint64 incarnation = json_integer_value(json_object_get(params, "incarnation"));
    const char *run = json_string_value(json_object_get(params, "run"));
    const char *fabric = json_string_value(json_object_get(params, "fabric_id"));

    if (g_strcmp0(fabric, state->fabric_id) != 0 || incarnation < 1 || run == NULL ||
        *run == '\0' || strlen(run) > RUN_MAX)
        return refuse_controller(error, "a controller that does not say which one it is");
    /* A copy of the state folder counts itself up as well: who is here keeps the host. One that
     * died is gone when its connection is, at the latest when it has been quiet for too long. */
    if (warden->controller_session != 0 && state->run != NULL && strcmp(run, state->run) != 0)
        return refuse_controller(error, "this host follows a controller that is connected to it");
    if (incarnation < state->incarnation)
        return refuse_controller(error, "a later start of this controller was here already");
    if (incarnation == state->incarnation && state->run != NULL && strcmp(run, state->run) != 0)
        return refuse_controller(error,
                                 "another controller with the same incarnation was here already");
    if (incarnation == state->incarnation && state->run != NULL)
        return TRUE;
    g_free(state->run);
    state->run = g_strdup(run);
    state->incarnation = incarnation;
    return TRUE;
}

/* What no setting of a clock changes. */
static gint64 running_us(void)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (gint64)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* A clock that is off by a second or two is not worth a write at each connection. */
static gboolean follow_clock(GwWarden *warden, const json_t *params)
{
    const json_t *wall = json_object_get(params, "wall_us");
    gint64 now_us = g_get_real_time();

    if (!json_is_integer(wall) || json_integer_value(wall) < 0)
        return FALSE;
    gint64 offset_s = (json_integer_value(wall) - now_us) / G_USEC_PER_SEC;
    warden->clock_told = TRUE;
    warden->clock_apart_us = now_us - running_us();
    if (ABS(offset_s - warden->state->offset_s) <= 2)
        return FALSE;
    warden->state->offset_s = offset_s;
    return TRUE;
}

static void save_state(GwWarden *warden)
{
    g_autoptr(GError) error = NULL;

    /* A full disk must not lock the controller out, who is the one to help. */
    if (!gw_agent_state_save(warden->paths.state_folder, warden->state, &error))
        g_warning("%s", error->message);
}

/* What was learnt of a clock that was right in another life of ours says nothing of a step: that
 * one may be what makes it right again. */
void gw_calls_clock_set(GwWarden *warden)
{
    gint64 apart_us = g_get_real_time() - running_us();

    if (!warden->clock_told ||
        !gw_agent_state_clock_set(warden->state, &warden->clock_apart_us, apart_us))
        return;
    g_message("the host's clock was set; the fabric's time goes on as it did");
    save_state(warden);
    gw_warden_send_credentials(warden);
}

static void controller_came(GwWarden *warden, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;
    gint64 before = warden->state->incarnation;

    if (judge_controller(warden, params, &error)) {
        gboolean moved = follow_clock(warden, params);
        warden->controller_session = json_integer_value(json_object_get(params, "session"));
        if (moved || before != warden->state->incarnation) {
            save_state(warden);
            gw_warden_send_credentials(warden);
        }
    }
    gw_warden_answer(warden, id, error == NULL ? json_object() : NULL, -1, error);
}

static void controller_went(GwWarden *warden, const json_t *params)
{
    if (json_integer_value(json_object_get(params, "session")) == warden->controller_session)
        warden->controller_session = 0;
}

/* Calls ---------------------------------------------------------------------------------------- */

static void call_processes(GwWarden *warden, guint64 id, const json_t *params)
{
    const char *vm_uuid = json_string_value(json_object_get(params, "vm_uuid"));
    g_autoptr(GError) error = NULL;
    gint64 count = -1;

    if (vm_uuid == NULL || !g_uuid_string_is_valid(vm_uuid))
        gw_error_set(&error, GW_ERR_INVALID, NULL, "no VM's UUID");
    else if ((count = gw_warden_count(warden, vm_uuid, NULL)) < 0)
        gw_error_set(&error, GW_ERR_UNKNOWN_OUTCOME, "Look at the agent's journal.",
                     "the process table cannot be read whole");
    gw_warden_answer(warden, id,
                     error == NULL ? json_pack("{s:I}", "count", (json_int_t)count) : NULL, -1,
                     error);
}

static void call_revoked(GwWarden *warden, guint64 id, const json_t *params)
{
    const json_t *list = json_object_get(params, "serials");
    g_autoptr(GStrvBuilder) serials = g_strv_builder_new();
    g_autoptr(GError) error = NULL;
    size_t index = 0;
    json_t *each = NULL;

    if (!json_is_array(list) || json_array_size(list) > GW_STATE_REVOKED_MAX)
        gw_error_set(&error, GW_ERR_INVALID, NULL, "a list of at most %d serials is needed",
                     GW_STATE_REVOKED_MAX);
    json_array_foreach (list, index, each) {
        const char *text = json_string_value(each);
        if (error == NULL && (text == NULL || strlen(text) > SERIALS_MAX_LENGTH))
            gw_error_set(&error, GW_ERR_INVALID, NULL, "serial %zu is none", index);
        if (error == NULL)
            g_strv_builder_add(serials, text);
    }
    if (error == NULL) {
        g_strfreev(warden->state->revoked);
        warden->state->revoked = g_strv_builder_end(serials);
        gw_warden_send_credentials(warden); /* counts at once, whatever the disk says */
        gw_agent_state_save(warden->paths.state_folder, warden->state, &error);
    }
    gw_warden_answer(warden, id, error == NULL ? json_object() : NULL, -1, error);
}

/* What the front does, asked through us because it asks us about every call. */
typedef struct {
    GwWarden *warden;
    guint64 id;
    char *host_id; /* measured */
} Passed;

static void passed(const json_t *result, int fd, const GError *error, gpointer user)
{
    Passed *pass = user;

    if (fd >= 0)
        close(fd);
    if (error == NULL && pass->host_id != NULL)
        g_hash_table_replace(pass->warden->links, g_strdup(pass->host_id), json_deep_copy(result));
    gw_warden_answer(pass->warden, pass->id, error == NULL ? json_deep_copy(result) : NULL, -1,
                     error);
    g_free(pass->host_id);
    g_free(pass);
}

static void pass_on(GwWarden *warden, guint64 id, const char *method, const json_t *params,
                    const char *host_id)
{
    Passed *pass = g_new0(Passed, 1);

    *pass = (Passed){ warden, id, g_strdup(host_id) };
    gw_warden_ask_front(warden, method, json_deep_copy(params), -1, passed, pass);
}

static void call_limits(GwWarden *warden, guint64 id, const json_t *params)
{
    pass_on(warden, id, "limits", params, NULL);
}

static void call_measure(GwWarden *warden, guint64 id, const json_t *params)
{
    const json_t *peer = json_object_get(params, "peer");
    pass_on(warden, id, "measure", params, json_string_value(json_object_get(peer, "host_id")));
}

static void call_facts(GwWarden *warden, guint64 id, const json_t *params)
{
    gw_facts_call(warden, id);
}

static void call_renew(GwWarden *warden, guint64 id, const json_t *params)
{
    gw_renew_call(warden, id);
}

static const struct {
    const char *method;
    void (*call)(GwWarden *warden, guint64 id, const json_t *params);
} controller_calls[] = {
    { "permit", gw_permits_permit },
    { "close", gw_permits_close },
    { "processes", call_processes },
    { "facts", call_facts },
    { "measure", call_measure },
    { "check", gw_check_call },
    { "revoked", call_revoked },
    { "limits", call_limits },
    { "renew", call_renew },
    { "install-certificate", gw_renew_install },
    { "copy-expect", gw_copies_expect },
    { "copy-send", gw_copies_send },
    { "copy-local", gw_copies_local },
    { "copy-status", gw_copies_status },
    { "copy-stop", gw_copies_stop },
    { "volume-access", gw_access_call },
};

static void call_of_controller(GwWarden *warden, guint64 id, const json_t *peer, const char *method,
                               const json_t *params)
{
    g_autoptr(GError) error = NULL;

    if (gw_warden_obeys(warden, peer, &error)) {
        for (guint i = 0; i < G_N_ELEMENTS(controller_calls); i++) {
            if (strcmp(controller_calls[i].method, method) == 0) {
                controller_calls[i].call(warden, id, params);
                return;
            }
        }
        gw_error_set(&error, GW_ERR_UNSUPPORTED, "Update the agent.",
                     "this agent knows no call '%s'", method);
    }
    gw_warden_answer(warden, id, NULL, -1, error);
}

static void call_of_peer(GwWarden *warden, guint64 id, const json_t *peer, const char *method,
                         const json_t *params)
{
    const char *host_id = json_string_value(json_object_get(peer, "host_id"));
    const char *fabric = json_string_value(json_object_get(peer, "fabric_id"));
    g_autoptr(GError) error = NULL;

    if (host_id != NULL && g_strcmp0(fabric, warden->state->fabric_id) == 0 &&
        strcmp(method, "attest") == 0) {
        gw_commits_attest(warden, id, host_id, params);
        return;
    }
    gw_error_set(&error, GW_ERR_FORBIDDEN, NULL, "a host may not ask '%s' of another", method);
    gw_warden_answer(warden, id, NULL, -1, error);
}

void gw_calls_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                   gpointer user)
{
    GwWarden *warden = user;
    const json_t *peer = json_object_get(params, "peer");
    const json_t *inner = json_object_get(params, "params");
    const char *asked = json_string_value(json_object_get(params, "method"));
    const char *role = json_string_value(json_object_get(peer, "role"));

    if (fd >= 0)
        close(fd); /* nothing here takes one */
    if (strcmp(method, "open") == 0) {
        gw_warden_open(warden, id, params);
    } else if (strcmp(method, "controller") == 0) {
        controller_came(warden, id, params);
    } else if (strcmp(method, "call") == 0 && asked != NULL && g_strcmp0(role, "host") == 0) {
        call_of_peer(warden, id, peer, asked, inner);
    } else if (strcmp(method, "call") == 0 && asked != NULL) {
        call_of_controller(warden, id, peer, asked, inner);
    } else {
        g_autoptr(GError) error = NULL;
        gw_error_set(&error, GW_ERR_INVALID, NULL, "no such call");
        gw_warden_answer(warden, id, NULL, -1, error);
    }
}

void gw_calls_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user)
{
    GwWarden *warden = user;
    const json_t *peer = json_object_get(params, "peer");
    const char *host_id = json_string_value(json_object_get(peer, "host_id"));
    const char *said = json_string_value(json_object_get(params, "method"));

    if (strcmp(method, "controller") == 0)
        controller_went(warden, params);
    else if (strcmp(method, "notice") == 0 && host_id != NULL &&
             g_strcmp0(said, "source-gone") == 0 &&
             g_strcmp0(json_string_value(json_object_get(peer, "role")), "host") == 0)
        gw_commits_source_gone(warden, host_id, json_object_get(params, "params"));
}
