/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/warden.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/warden_internal.h"
#include "base/error.h"

#define FRONT_PATIENCE_MS 3000
#define SERIALS_MAX_LENGTH 128
#define RUN_MAX 64

/* The process: its parts, and what the main thread waits for. */
typedef struct {
    GwWarden warden;
    int ipc_fd;
    int signals_fd;
    GwWatch *signals;
    GwVirtOpen open;
    GError *error;
    GMutex mutex;
    GCond changed;
    gboolean over;
    int status;
} Process;

static void finish(Process *process, int status)
{
    g_mutex_lock(&process->mutex);
    process->over = TRUE;
    process->status = status;
    g_cond_signal(&process->changed);
    g_mutex_unlock(&process->mutex);
}

/* Small things for all parts ------------------------------------------------------------------- */

gint64 gw_warden_now_s(const GwWarden *warden)
{
    return g_get_real_time() / G_USEC_PER_SEC + warden->state->offset_s;
}

char *gw_warden_libvirt_socket(const GwWarden *warden)
{
    static const char modular[] = "/run/libvirt/virtqemud-sock";

    if (warden->paths.libvirt_socket != NULL)
        return g_strdup(warden->paths.libvirt_socket);
    return g_strdup(access(modular, F_OK) == 0 ? modular : "/run/libvirt/libvirt-sock");
}

void gw_warden_alarm(GwWarden *warden, const char *vm_uuid, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_critical("%s", text);
    if (g_queue_get_length(&warden->warnings) >= GW_WARDEN_WARNINGS_MAX)
        g_free(g_queue_pop_head(&warden->warnings));
    g_queue_push_tail(&warden->warnings, text);
    gw_warden_tell_front(warden, "controller-notice",
                         json_pack("{s:s, s:{s:s?, s:s}}", "method", "alarm", "params", "vm_uuid",
                                   vm_uuid, "text", text));
}

/* The front ------------------------------------------------------------------------------------ */

void gw_warden_answer(GwWarden *warden, guint64 id, json_t *result_stolen, int fd,
                      const GError *error)
{
    if (warden->ipc != NULL && id != 0)
        gw_ipc_answer(warden->ipc, id, result_stolen, fd, error);
    else
        json_decref(result_stolen);
}

void gw_warden_ask_front(GwWarden *warden, const char *method, json_t *params_stolen, int fd,
                         GwIpcDone done, gpointer user)
{
    g_autoptr(GError) error = NULL;

    if (warden->ipc != NULL) {
        gw_ipc_call(warden->ipc, method, params_stolen, fd, done, user);
        return;
    }
    json_decref(params_stolen);
    gw_error_set(&error, GW_ERR_CANCELLED, NULL, "the agent ends");
    done(NULL, -1, error, user);
}

void gw_warden_tell_front(GwWarden *warden, const char *method, json_t *params_stolen)
{
    if (warden->ipc != NULL)
        gw_ipc_notice(warden->ipc, method, params_stolen);
    else
        json_decref(params_stolen);
}

/* The front's credentials ---------------------------------------------------------------------- */

static void credentials_taken(const json_t *result, int fd, const GError *error, gpointer user)
{
    if (fd >= 0)
        close(fd);
    if (error != NULL)
        g_warning("the front does not take the host's certificate: %s", error->message);
}

void gw_warden_send_credentials(GwWarden *warden)
{
    const GwAgentState *state = warden->state;
    json_t *revoked = json_array();

    for (guint i = 0; state->revoked != NULL && state->revoked[i] != NULL; i++)
        json_array_append_new(revoked, json_string(state->revoked[i]));
    gw_warden_ask_front(
        warden, "credentials",
        json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s}", "certificate", state->certificate_pem,
                  "key", state->key_pem, "ca", state->ca_pem, "revoked", revoked, "offset_s",
                  (json_int_t)state->offset_s, "incarnation", (json_int_t)state->incarnation, "run",
                  state->run != NULL ? state->run : ""),
        -1, credentials_taken, NULL);
}

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

/* A clock that is off by a second or two is not worth a write at each connection. */
static gboolean follow_clock(GwWarden *warden, const json_t *params)
{
    const json_t *wall = json_object_get(params, "wall_us");

    if (!json_is_integer(wall))
        return FALSE;
    gint64 offset_s = (json_integer_value(wall) - g_get_real_time()) / G_USEC_PER_SEC;
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
    { "permit", gw_permits_permit }, { "close", gw_permits_close },
    { "processes", call_processes }, { "facts", call_facts },
    { "measure", call_measure },     { "check", gw_check_call },
    { "revoked", call_revoked },     { "limits", call_limits },
    { "renew", call_renew },         { "install-certificate", gw_renew_install },
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

static void on_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
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

static void on_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user)
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

static void on_closed(GwIpc *ipc, const GError *why, gpointer user)
{
    g_message("the front is gone: the agent ends%s%s", why != NULL ? ": " : "",
              why != NULL ? why->message : "");
    finish((Process *)user, 1);
}

/* libvirt -------------------------------------------------------------------------------------- */

static void on_up(gpointer user)
{
    GwWarden *warden = user;

    g_message("libvirt is there");
    gw_guard_up(warden->guard);
}

static void on_down(const char *why, gpointer user)
{
    g_message("libvirt is not there: %s", why);
    gw_commits_news(user, NULL);
}

static void on_event(const GwHyperEvent *event, gpointer user)
{
    GwWarden *warden = user;

    gw_commits_news(warden, event);
    gw_guard_news(warden->guard, event);
    if (event->kind == GW_EVENT_FACTS_CHANGED)
        gw_warden_tell_front(warden, "controller-notice",
                             json_pack("{s:s, s:{}}", "method", "facts-changed", "params"));
}

/* Start and end -------------------------------------------------------------------------------- */

static char *path_or(const char *given, const char *usual)
{
    return g_strdup(given != NULL ? given : usual);
}

static void set_paths(GwWardenPaths *paths, const GwWardenConfig *config)
{
    paths->state_folder = path_or(config->state_folder, GW_WARDEN_STATE_FOLDER);
    paths->run_folder = path_or(config->run_folder, GW_WARDEN_RUN_FOLDER);
    paths->libvirt_socket = g_strdup(config->libvirt_socket);
    paths->qemu_conf = path_or(config->qemu_conf, "/etc/libvirt/qemu.conf");
    paths->emulator_group = g_strdup(config->emulator_group);
    paths->proc_folder = path_or(config->proc_folder, "/proc");
    paths->sys_folder = path_or(config->sys_folder, "/sys");
    paths->shared_kernel = config->shared_kernel;
}

static void clear_paths(GwWardenPaths *paths)
{
    g_free(paths->state_folder);
    g_free(paths->run_folder);
    g_free(paths->libvirt_socket);
    g_free(paths->qemu_conf);
    g_free(paths->emulator_group);
    g_free(paths->proc_folder);
    g_free(paths->sys_folder);
}

static char *uri_of(const GwWarden *warden)
{
    if (warden->paths.libvirt_socket == NULL)
        return g_strdup("qemu:///system");
    return g_strconcat("qemu+unix:///system?socket=", warden->paths.libvirt_socket, NULL);
}

static void on_signal(gpointer user, guint32 events)
{
    finish(user, 0);
}

static void watch_signals(Process *process)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    process->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (process->signals_fd >= 0)
        process->signals =
            gw_watch_new(process->warden.loop, process->signals_fd, EPOLLIN, on_signal, process);
}

static void report_damaged(GwWarden *warden)
{
    for (const char *const *each = gw_epochs_damaged(warden->epochs); *each != NULL; each++)
        gw_warden_alarm(warden, *each,
                        "what this host knew of the moves of VM %s is damaged: it is not moved "
                        "through here until the file %s/epochs/%s is removed",
                        *each, warden->paths.state_folder, *each);
}

static gboolean begin_parts(Process *process, GError **error)
{
    GwWarden *warden = &process->warden;
    const GwIpcOps ops = { warden, on_call, on_notice, on_closed };
    const GwVirtOps virt_ops = { warden, on_up, on_down, on_event };
    g_autofree char *uri = uri_of(warden);

    warden->state = gw_agent_state_load(warden->paths.state_folder, error);
    if (warden->state == NULL)
        return FALSE;
    warden->epochs = gw_epochs_open(warden->paths.state_folder, error);
    if (warden->epochs == NULL || !gw_sockets_folder(warden, error))
        return FALSE;
    warden->ipc = gw_ipc_new(warden->loop, process->ipc_fd, &ops);
    process->ipc_fd = -1;
    warden->guard = gw_guard_new(warden);
    warden->virt = gw_virt_new(warden->loop, uri, process->open, &virt_ops, error);
    if (warden->virt == NULL)
        return FALSE;
    watch_signals(process);
    gw_warden_send_credentials(warden);
    report_damaged(warden);
    return gw_permits_load(warden, error);
}

static void begin(gpointer data)
{
    Process *process = data;

    gw_permits_init(&process->warden);
    process->warden.links =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)json_decref);
    if (!begin_parts(process, &process->error))
        finish(process, 1);
}

static void end(gpointer data)
{
    Process *process = data;
    GwWarden *warden = &process->warden;
    /* From here on nothing is said any more; what still waits for an answer is told that there is
     * none, and finds nothing to act on. */
    GwIpc *ipc = g_steal_pointer(&warden->ipc);

    gw_permits_free(warden);
    gw_virt_free(warden->virt);
    g_clear_pointer(&process->signals, gw_watch_free);
    if (process->signals_fd >= 0)
        close(process->signals_fd);
    g_clear_pointer(&warden->guard, gw_guard_free);
    gw_ipc_free(ipc);
    if (process->ipc_fd >= 0)
        close(process->ipc_fd);
    gw_epochs_free(warden->epochs);
    gw_agent_state_free(warden->state);
    g_hash_table_unref(warden->links);
    g_queue_clear_full(&warden->warnings, g_free);
    if (warden->next_key_pem != NULL)
        explicit_bzero(warden->next_key_pem, strlen(warden->next_key_pem));
    g_free(warden->next_key_pem);
    clear_paths(&warden->paths);
}

/* The front ends by itself when the pair closes; it is helped where it does not. */
static void end_front(pid_t front)
{
    if (front <= 0)
        return;
    kill(front, SIGTERM);
    for (int waited = 0; waited < FRONT_PATIENCE_MS; waited += 10) {
        pid_t done = waitpid(front, NULL, WNOHANG);
        if (done == front || (done < 0 && errno != EINTR))
            return;
        g_usleep(10 * 1000);
    }
    kill(front, SIGKILL);
    while (waitpid(front, NULL, 0) < 0 && errno == EINTR)
        ;
}

static Process *process_new(const GwWardenConfig *config, int ipc_fd, GwVirtOpen open)
{
    Process *process = g_new0(Process, 1);

    process->ipc_fd = ipc_fd;
    process->signals_fd = -1;
    process->open = open;
    g_mutex_init(&process->mutex);
    g_cond_init(&process->changed);
    g_queue_init(&process->warden.warnings);
    set_paths(&process->warden.paths, config);
    process->warden.loop = gw_loop_new("warden");
    return process;
}

static void process_free(Process *process)
{
    /* A thread that hangs in a dead file system still has the loop to come back to; the process
     * ends without it. */
    if (process->warden.reading_facts)
        return;
    gw_loop_free(process->warden.loop);
    g_clear_error(&process->error);
    g_mutex_clear(&process->mutex);
    g_cond_clear(&process->changed);
    g_free(process);
}

static void wait_until_over(Process *process)
{
    g_mutex_lock(&process->mutex);
    while (!process->over)
        g_cond_wait(&process->changed, &process->mutex);
    g_mutex_unlock(&process->mutex);
}

static void report_error(const GError *error)
{
    const char *remedy = gw_error_remedy(error);

    if (error != NULL)
        g_critical("%s%s%s", error->message, remedy != NULL ? " " : "",
                   remedy != NULL ? remedy : "");
}

int gw_warden_run(const GwWardenConfig *config, int ipc_fd, GwVirtOpen open)
{
    Process *process = process_new(config, ipc_fd, open);

    gw_loop_run(process->warden.loop, begin, process);
    wait_until_over(process);
    report_error(process->error);
    gw_loop_run(process->warden.loop, end, process);
    int status = process->status;
    process_free(process);
    return status;
}

int gw_warden_main(const GwWardenConfig *config, int ipc_fd, pid_t front)
{
    int status = gw_warden_run(config, ipc_fd, gw_libvirt_open);

    end_front(front);
    return status;
}
