/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/warden.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/copies.h"
#include "agent/warden_internal.h"
#include "base/error.h"

#define FRONT_PATIENCE_MS 3000

/* The process: its parts, and what the main thread waits for. */
typedef struct {
    GwWarden warden;
    int ipc_fd;
    int signals_fd;
    GwWatch *signals;
    int clock_fd; /* readable when the host's clock was set */
    GwWatch *clock;
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

static void on_clock_set(gpointer user, guint32 events)
{
    Process *process = user;
    guint64 count = 0;

    if (read(process->clock_fd, &count, sizeof count) < 0 && errno == ECANCELED)
        gw_calls_clock_set(&process->warden);
}

static void watch_clock(Process *process)
{
    const struct itimerspec never = { .it_value = { .tv_sec = (time_t)G_MAXINT64 / 1000000000 } };
    const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;

    process->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (process->clock_fd < 0)
        return;
    if (timerfd_settime(process->clock_fd, flags, &never, NULL) == 0)
        process->clock =
            gw_watch_new(process->warden.loop, process->clock_fd, EPOLLIN, on_clock_set, process);
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
    const GwIpcOps ops = { warden, gw_calls_call, gw_calls_notice, on_closed };
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
    watch_clock(process);
    gw_warden_send_credentials(warden);
    report_damaged(warden);
    return gw_permits_load(warden, error);
}

static void begin(gpointer data)
{
    Process *process = data;

    gw_permits_init(&process->warden);
    gw_copies_init(&process->warden);
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

    gw_copies_free(warden);
    gw_permits_free(warden);
    gw_virt_free(warden->virt);
    g_clear_pointer(&process->signals, gw_watch_free);
    if (process->signals_fd >= 0)
        close(process->signals_fd);
    g_clear_pointer(&process->clock, gw_watch_free);
    if (process->clock_fd >= 0)
        close(process->clock_fd);
    g_clear_pointer(&warden->guard, gw_guard_free);
    gw_ipc_free(ipc);
    if (process->ipc_fd >= 0)
        close(process->ipc_fd);
    gw_epochs_free(warden->epochs);
    gw_agent_state_free(warden->state);
    g_hash_table_unref(warden->links);
    if (warden->starter_fd >= 0)
        close(warden->starter_fd); /* it ends, and with it what it started */
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
    process->clock_fd = -1;
    process->open = open;
    g_mutex_init(&process->mutex);
    g_cond_init(&process->changed);
    g_queue_init(&process->warden.warnings);
    process->warden.starter_fd = config->starter_fd > 0 ? config->starter_fd : -1;
    set_paths(&process->warden.paths, config);
    process->warden.loop = gw_loop_new("warden");
    return process;
}

static void process_free(Process *process)
{
    /* A thread that hangs in a dead file system still has the loop to come back to; the process
     * ends without it. */
    if (process->warden.reading_facts || process->warden.errands > 0)
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
