/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/install.h"
#include "model/join.h"

#define DEFAULT_PORT 8447

void gw_join_offer_clear(GwJoinOffer *offer)
{
    json_t *token = json_object_get(offer->token, "token");

    if (json_is_string(token))
        explicit_bzero((char *)json_string_value(token), json_string_length(token));
    g_free(offer->controller);
    json_decref(offer->token);
}

static gboolean is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || g_str_has_prefix(host, "127.") ||
           strcmp(host, "::1") == 0;
}

/* Whether it names a machine, and perhaps a port, and nothing else. */
static gboolean is_address(GUri *uri)
{
    const char *path = g_uri_get_path(uri);

    return g_uri_get_host(uri) != NULL && g_uri_get_userinfo(uri) == NULL &&
           (*path == '\0' || strcmp(path, "/") == 0) && g_uri_get_query(uri) == NULL &&
           g_uri_get_fragment(uri) == NULL;
}

/* As the agent's host reaches it: --controller, or what we reach it by where that means the same
 * everywhere. */
static char *controller_address(GwSession *session, const GwArgs *args, GError **error)
{
    const char *given = gw_args_text(args, "controller");
    g_autoptr(GUri) server = g_uri_parse(session->settings->server, G_URI_FLAGS_ENCODED, NULL);
    int own_port =
        server != NULL && g_uri_get_port(server) > 0 ? g_uri_get_port(server) : DEFAULT_PORT;
    g_autofree char *url = given != NULL ? g_strconcat("https://", given, NULL) : NULL;
    g_autoptr(GUri) uri =
        url != NULL ? g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL) : g_uri_ref(server);
    const char *host = uri != NULL && is_address(uri) ? g_uri_get_host(uri) : NULL;

    if (host == NULL || !gw_join_check_address(host, error)) {
        if (host == NULL)
            gw_error_set(error, GW_ERR_INVALID, "Give ADDRESS or ADDRESS:PORT.",
                         "--controller '%.200s' is no address", given != NULL ? given : "");
        return NULL;
    }
    if (given == NULL && is_loopback(host)) {
        gw_error_set(error, GW_ERR_INVALID,
                     "Give the address by which the host reaches it: --controller ADDRESS[:PORT]; "
                     "godwitd must listen there (--listen).",
                     "the controller is known here as '%s', which means another machine there",
                     host);
        return NULL;
    }
    int port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : own_port;
    gboolean v6 = strchr(host, ':') != NULL;
    return g_strdup_printf("%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* Whether a host of this name or id is managed already: then it is that one that gets the agent. */
static gboolean look_up(GwJoinOffer *offer, GwSession *session, const char *name, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GwJson) host = gw_session_find(session, "/hosts", "host", name, &why);

    offer->known = host != NULL;
    if (host != NULL || g_error_matches(why, GW_ERROR, GW_ERR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean add_group(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    const char *group = gw_args_text(args, "group");

    return group == NULL ||
           gw_session_put_id(session, body, "group_id", "/host-groups", "group", group, error);
}

static gboolean check_options(const GwArgs *args, GError **error)
{
    static const char *const others[] = { "peer-uri", "migration-address", NULL };

    for (guint i = 0; others[i] != NULL; i++) {
        if (!gw_args_has(args, others[i]))
            continue;
        gw_error_set(error, GW_ERR_INVALID, "Leave it out: with agents moves go through them.",
                     "--%s has no meaning for a host with an agent", others[i]);
        return FALSE;
    }
    return TRUE;
}

gboolean gw_join_offer_make(GwJoinOffer *offer, GwSession *session, const GwArgs *args,
                            GError **error)
{
    const char *given = gw_args_text(args, "name");
    const char *name = given != NULL ? given : gw_args_word(args, 0);
    const char *address = gw_args_text(args, "address");
    g_autoptr(GwJson) body = json_object();

    if (!check_options(args, error))
        return FALSE;
    offer->controller = controller_address(session, args, error);
    if (offer->controller == NULL || !look_up(offer, session, name, error) ||
        !add_group(session, args, body, error))
        return FALSE;
    json_object_set_new(body, offer->known ? "host" : "name", json_string(name));
    if (address != NULL)
        json_object_set_new(body, "address", json_string(address));
    offer->token = gw_client_call(session->client, "POST", "/join-tokens", body, NULL, error);
    if (offer->token == NULL)
        return FALSE;
    if (gw_at_text(offer->token, "token") != NULL &&
        gw_at_text(offer->token, "fingerprint") != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Let godwitd serve TLS itself: agents know it by its key.",
                 "the controller has no fingerprint");
    return FALSE;
}

void gw_join_offer_withdraw(const GwJoinOffer *offer, GwSession *session)
{
    const char *id = gw_at_text(offer->token, "id");

    if (id == NULL)
        return;
    g_autofree char *segment = gw_client_segment(id);
    g_autofree char *path = g_strconcat("/join-tokens/", segment, NULL);
    json_decref(gw_client_call(session->client, "DELETE", path, NULL, NULL, NULL));
}

/* By hand ------------------------------------------------------------------------------------ */

int gw_print_join(GwSession *session, const GwArgs *args, GError **error)
{
    g_auto(GwJoinOffer) offer = { 0 };

    if (!gw_join_offer_make(&offer, session, args, error))
        return GW_EXIT_FAILED;
    g_autofree char *fingerprint = gw_format_line(gw_at_text(offer.token, "fingerprint"));
    g_autofree char *token = gw_format_line(gw_at_text(offer.token, "token"));
    g_autofree char *end = gw_format_line(gw_at_text(offer.token, "expires_at"));
    g_autofree char *command =
        g_strdup_printf("godwit-agent join --controller %s --fingerprint %s --token-file -",
                        offer.controller, fingerprint);

    json_object_set_new(offer.token, "command", json_string(command));
    json_object_set_new(offer.token, "controller", json_string(offer.controller));
    if (gw_print_document(session, offer.token))
        return GW_EXIT_OK;
    g_print("On %s, with godwit-agent installed, as root:\n\n  %s\n\nIt reads the token from its "
            "standard input; paste this line, then Ctrl-D:\n\n  %s\n\nGood once, until %s. Then: "
            "systemctl enable --now godwit-agent\n",
            gw_args_word(args, 0), command, token, end);
    return GW_EXIT_OK;
}
