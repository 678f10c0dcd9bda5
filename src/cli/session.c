/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/session.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/format.h"

static gboolean wants_color(const GwSession *session)
{
    const char *no_color = g_getenv("NO_COLOR");
    const char *term = g_getenv("TERM");

    return session->terminal && !session->settings->no_color &&
           (no_color == NULL || *no_color == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

static gboolean connect_client(GwSession *session, GError **error)
{
    const GwSettings *settings = session->settings;
    gboolean system = strcmp(settings->ca_file, "system") == 0;
    GwClientConfig config = { settings->server, system ? NULL : settings->ca_file,
                              settings->token_file };

    session->client = gw_client_new(&config, error);
    return session->client != NULL;
}

GwSession *gw_session_new(const GwArgs *args, GError **error)
{
    g_autoptr(GwSession) session = g_new0(GwSession, 1);
    g_auto(GStrv) files = gw_settings_files();

    session->interrupt = -1;
    session->clock = gw_clock_new_system();
    session->settings = gw_settings_load(args, (const char *const *)files, error);
    if (session->settings == NULL)
        return NULL;
    session->terminal = isatty(STDOUT_FILENO) == 1;
    session->utf8 = g_get_charset(NULL);
    session->color = wants_color(session);
    session->quiet = gw_args_has(args, "quiet");
    if (!gw_args_is_offline(args) && !connect_client(session, error))
        return NULL;
    return g_steal_pointer(&session);
}

void gw_session_free(GwSession *session)
{
    if (session == NULL)
        return;
    gw_client_free(session->client);
    gw_settings_free(session->settings);
    gw_clock_free(session->clock);
    g_clear_pointer(&session->host_names, g_hash_table_unref);
    if (session->interrupt >= 0)
        close(session->interrupt);
    g_free(session);
}

void gw_session_catch_interrupt(GwSession *session)
{
    sigset_t set;

    if (session->interrupt >= 0)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    session->interrupt = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    gw_client_set_interrupt(session->client, session->interrupt);
}

gboolean gw_session_interrupted(const GwSession *session)
{
    struct pollfd waiting = { .fd = session->interrupt, .events = POLLIN };
    return session->interrupt >= 0 && poll(&waiting, 1, 0) == 1;
}

const char *gw_session_host_name(GwSession *session, const char *id)
{
    if (session->host_names == NULL) {
        /* A name is a comfort: where hosts cannot be listed, identifiers are shown. */
        g_autoptr(GwJson) hosts = gw_client_list(session->client, "/hosts", NULL);
        session->host_names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        for (gsize i = 0; i < json_array_size(hosts); i++) {
            json_t *host = json_array_get(hosts, i);
            if (gw_at_text(host, "id") != NULL && gw_at_text(host, "name") != NULL)
                g_hash_table_replace(session->host_names, g_strdup(gw_at_text(host, "id")),
                                     g_strdup(gw_at_text(host, "name")));
        }
    }
    const char *name = g_hash_table_lookup(session->host_names, id);
    return name != NULL ? name : id;
}

static json_t *find_by_name(GwSession *session, const char *collection, const char *what,
                            const char *which, GError **error)
{
    g_autoptr(GwJson) all = gw_client_list(session->client, collection, error);
    json_t *found = NULL;
    guint matches = 0;

    for (gsize i = 0; i < json_array_size(all); i++) {
        json_t *record = json_array_get(all, i);
        if (g_strcmp0(gw_at_text(record, "id"), which) == 0)
            return json_incref(record);
        if (g_strcmp0(gw_at_text(record, "name"), which) == 0) {
            found = record;
            matches++;
        }
    }
    if (all == NULL)
        return NULL;
    if (matches == 1)
        return json_incref(found);
    g_autofree char *remedy = g_strdup_printf("See: godwit %s list", what);
    if (matches == 0)
        gw_error_set(error, GW_ERR_NOT_FOUND, remedy, "no %s '%.255s'", what, which);
    else
        gw_error_set(error, GW_ERR_CONFLICT, "Name it by its identifier.",
                     "%u %ss are named '%.255s'", matches, what, which);
    return NULL;
}

json_t *gw_session_find(GwSession *session, const char *collection, const char *what,
                        const char *which, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *segment = gw_client_segment(which);
    g_autofree char *path = g_strdup_printf("%s/%s", collection, segment);
    json_t *record = gw_client_get(session->client, path, &why);

    if (record != NULL)
        return record;
    if (!g_error_matches(why, GW_ERROR, GW_ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    return find_by_name(session, collection, what, which, error);
}

char *gw_session_find_path(GwSession *session, const char *collection, const char *what,
                           const char *which, GError **error)
{
    g_autoptr(GwJson) record = gw_session_find(session, collection, what, which, error);
    const char *id = gw_at_text(record, "id");

    if (record == NULL)
        return NULL;
    if (id == NULL) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "the controller's %s '%.255s' has no id", what,
                     which);
        return NULL;
    }
    g_autofree char *segment = gw_client_segment(id);
    return g_strdup_printf("%s/%s", collection, segment);
}

gboolean gw_session_put_id(GwSession *session, json_t *body, const char *key,
                           const char *collection, const char *what, const char *which,
                           GError **error)
{
    g_autoptr(GwJson) record = gw_session_find(session, collection, what, which, error);

    if (record == NULL)
        return FALSE;
    json_object_set_new(body, key, json_string(gw_at_text(record, "id")));
    return TRUE;
}
