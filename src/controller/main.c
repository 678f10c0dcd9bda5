/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>

#include "api/api.h"
#include "base/error.h"
#include "controller/options.h"
#include "engine/engine_config.h"
#include "fleet/fleet.h"
#include "hyper/hyper.h"
#include "store/store.h"

/* godwitd: the controller. */

typedef struct {
    const Options *options;
    GwClock *clock;
    GwStore *store;
    GwAuthority *authority; /* NULL while simulating: nobody joins such a fabric */
    GwEngine *engine;
    GwApi *api;
    GMainLoop *loop;
} Controller;

/* The real hosts: by their agents where they have one, by libvirt alone where not. */
static GwHyper *open_fleet(Controller *controller, GwHyperSink sink, GError **error)
{
    const char *folder = controller->options->state_dir;
    g_autofree char *counter = g_build_filename(folder, "fabric", "incarnation", NULL);
    g_autofree char *sockets = g_build_filename(folder, "links", NULL);
    gint64 incarnation = gw_fleet_next_incarnation(counter, error);

    if (incarnation == 0)
        return NULL;
    GwFleetConfig config = { controller->authority, sockets, incarnation };
    return gw_fleet_open(sink, &config, error);
}

static GwHyper *open_hyper(GwHyperSink sink, gpointer user, GError **error)
{
    Controller *controller = user;

    if (controller->options->simulate == NULL)
        return open_fleet(controller, sink, error);
    g_autoptr(GwJson) fabric = gw_json_load(controller->options->simulate, error);
    if (fabric == NULL)
        return NULL;
    GwHyper *hyper = gw_sim_open(sink, controller->clock, fabric, error);
    if (hyper == NULL)
        g_prefix_error(error, "%s: ", controller->options->simulate);
    return hyper;
}

static gboolean open_authority(Controller *controller, GError **error)
{
    g_autofree char *folder = g_build_filename(controller->options->state_dir, "fabric", NULL);
    gint64 now_s = gw_clock_wall_us(controller->clock) / G_USEC_PER_SEC;

    if (controller->options->simulate != NULL)
        return TRUE;
    controller->authority = gw_authority_open(folder, now_s, error);
    return controller->authority != NULL;
}

/* The folder holds the token, the key and the database: nobody else's business. */
static gboolean make_state_folder(const char *path, GError **error)
{
    g_autofree char *tls = g_build_filename(path, "tls", NULL);

    if (g_mkdir_with_parents(path, 0700) == 0 && g_chmod(path, 0700) == 0 &&
        g_mkdir_with_parents(tls, 0700) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_STORE, "Choose another one with --state-dir, or make it writable.",
                 "cannot make the state folder %s: %s", path, g_strerror(errno));
    return FALSE;
}

static gboolean start_engine(Controller *controller, GError **error)
{
    const char *folder = controller->options->state_dir;
    g_autofree char *database = g_build_filename(folder, "godwit.db", NULL);
    g_autofree char *token = g_build_filename(folder, "admin.token", NULL);

    controller->clock = gw_clock_new_system();
    controller->store = gw_store_open(database, error);
    /* After the store, whose lock keeps a second controller out of the folder. */
    if (controller->store == NULL || !open_authority(controller, error))
        return FALSE;
    gint64 interval_s = controller->options->usage_interval_s;
    GwEngineConfig config = {
        .clock = controller->clock,
        .store = controller->store,
        .open_hyper = open_hyper,
        .user = controller,
        .admin_token_path = token,
        .authority = controller->authority,
        .job_history = controller->options->job_history > 0 ? controller->options->job_history : -1,
        .usage_interval_us = interval_s > 0 ? interval_s * G_USEC_PER_SEC : -1,
    };
    controller->engine = gw_engine_new(&config, error);
    return controller->engine != NULL;
}

static gboolean start_api(Controller *controller, GError **error)
{
    const Options *options = controller->options;
    g_autofree char *certificate = g_build_filename(options->state_dir, "tls", "server.pem", NULL);
    g_autofree char *key = g_build_filename(options->state_dir, "tls", "server.key", NULL);
    GwApiConfig config = GW_API_CONFIG_DEFAULT;

    config.address = options->listen;
    config.port = (guint16)options->port;
    config.names = (const char *const *)options->names;
    config.certificate_path = certificate;
    config.key_path = key;
    controller->api = gw_api_start(controller->engine, &config, error);
    return controller->api != NULL;
}

static gboolean quit(gpointer user)
{
    g_main_loop_quit(((Controller *)user)->loop);
    return G_SOURCE_CONTINUE;
}

static void serve(Controller *controller)
{
    controller->loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGTERM, quit, controller);
    g_unix_signal_add(SIGINT, quit, controller);
    g_message("listening on https://%s:%u, state in %s", controller->options->listen,
              gw_api_port(controller->api), controller->options->state_dir);
    g_message("fingerprint %s", gw_api_fingerprint(controller->api));
    g_main_loop_run(controller->loop);
    g_message("stopping; guests and running moves go on");
    g_main_loop_unref(controller->loop);
}

static void stop(Controller *controller)
{
    if (controller->api != NULL)
        gw_api_stop(controller->api);
    gw_engine_free(controller->engine);
    gw_authority_free(controller->authority);
    gw_store_close(controller->store);
    gw_clock_free(controller->clock);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_auto(Options) options = { 0 };
    Controller controller = { .options = &options };

    setlocale(LC_ALL, "");
    umask(0077);
    signal(SIGPIPE, SIG_IGN); /* libvirt's client writes to connections that have ended */
    if (!options_parse(&options, &argc, &argv, &error)) {
        g_printerr("godwitd: %s\n", error->message);
        return 2;
    }
    if (options.version) {
        g_print("godwitd %s\n", GW_VERSION);
        return 0;
    }
    gboolean started = make_state_folder(options.state_dir, &error) &&
                       start_engine(&controller, &error) && start_api(&controller, &error);
    if (started) {
        serve(&controller);
    } else {
        const char *remedy = gw_error_remedy(error);
        g_printerr("godwitd: %s\n%s%s", error->message, remedy != NULL ? remedy : "",
                   remedy != NULL ? "\n" : "");
    }
    stop(&controller);
    return started ? 0 : 1;
}
