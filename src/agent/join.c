/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/join.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/membership.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/join.h"
#include "model/join.h"
#include "wire/identity.h"

#define TOKEN_MAX 256
#define ADDRESSES_MAX 64

typedef struct {
    char *controller, *fingerprint, *token_file, *replace;
    int port;
    MembershipOptions common;
} Options;

static void options_clear(Options *options)
{
    g_free(options->controller);
    g_free(options->fingerprint);
    g_free(options->token_file);
    g_free(options->replace);
    membership_options_clear(&options->common);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean missing(const char *option, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID,
                 "godwit host add NAME --join, at the controller, prints the whole command.",
                 "--%s is missing", option);
    return FALSE;
}

static gboolean parse(Options *options, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "controller", 0, 0, G_OPTION_ARG_STRING, &options->controller,
          "The controller's address as this host reaches it", "HOST[:PORT]" },
        { "fingerprint", 0, 0, G_OPTION_ARG_STRING, &options->fingerprint,
          "What the controller is known by", "sha256:HEX" },
        { "token-file", 0, 0, G_OPTION_ARG_FILENAME, &options->token_file,
          "Holds the join token; -: standard input", "FILE" },
        { "port", 0, 0, G_OPTION_ARG_INT, &options->port,
          "Where the agent is reached, if not at the port it listens on", "PORT" },
        { "replace", 0, 0, G_OPTION_ARG_STRING, &options->replace,
          "Join again where this host is in this fabric already", "FABRIC" },
        G_OPTION_ENTRY_NULL,
    };

    if (!membership_parse(&options->common, "- join a fabric with a join token", entries, argc,
                          argv, error))
        return FALSE;
    if (options->controller == NULL)
        return missing("controller", error);
    if (options->fingerprint == NULL)
        return missing("fingerprint", error);
    if (options->token_file == NULL)
        return missing("token-file", error);
    if (options->port < 0 || options->port > 65535) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "port %d is not from 1 to 65535", options->port);
        return FALSE;
    }
    return gw_client_join_check(options->controller, options->fingerprint, error);
}

/* What is asked ------------------------------------------------------------------------------ */

static gboolean bad_token(const char *path, const char *why, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID,
                 "It holds one token, as godwit host add NAME --join prints it.",
                 "token file '%s': %s", path, why);
    return FALSE;
}

static gboolean read_token(const char *path, char token[TOKEN_MAX + 1], GError **error)
{
    gboolean own = strcmp(path, "-") == 0;
    int fd = own ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    gsize length = 0;
    gssize got = 1;

    if (fd < 0)
        return bad_token(path, g_strerror(errno), error);
    while (length < TOKEN_MAX && got > 0) {
        got = read(fd, token + length, TOKEN_MAX - length);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            length += (gsize)got;
    }
    if (!own)
        close(fd);
    token[length] = '\0';
    g_strstrip(token);
    if (got < 0)
        return bad_token(path, "it cannot be read", error);
    if (length == TOKEN_MAX || !g_str_has_prefix(token, GW_JOIN_TOKEN_PREFIX) ||
        strpbrk(token, " \t\r\n") != NULL)
        return bad_token(path, "it does not hold a join token", error);
    return TRUE;
}

/* For people, and for a controller on this same machine. */
static json_t *own_addresses(void)
{
    struct ifaddrs *all = NULL;
    json_t *list = json_array();

    if (getifaddrs(&all) != 0)
        return list;
    for (const struct ifaddrs *i = all; i != NULL && json_array_size(list) < ADDRESSES_MAX;
         i = i->ifa_next) {
        char text[NI_MAXHOST] = "";
        int family = i->ifa_addr != NULL ? i->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t size =
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if ((family != AF_INET && family != AF_INET6) || (i->ifa_flags & IFF_LOOPBACK) != 0 ||
            (i->ifa_flags & IFF_UP) == 0)
            continue;
        if (getnameinfo(i->ifa_addr, size, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 &&
            strchr(text, '%') == NULL)
            json_array_append_new(list, json_string(text));
    }
    freeifaddrs(all);
    return list;
}

static json_t *make_body(const Options *options, const char *token, const char *request)
{
    int port = options->port != 0 ? options->port : membership_port();
    json_t *body = json_pack("{s:s, s:s, s:o}", "token", token, "request", request, "addresses",
                             own_addresses());

    if (port != 0)
        json_object_set_new(body, "port", json_integer(port));
    json_object_set_new(body, "hostname", json_string(g_get_host_name()));
    return body;
}

static GwJoinAnswer *ask(const Options *options, const char *token, const char *request,
                         GError **error)
{
    g_autoptr(GwJson) body = make_body(options, token, request);
    g_autoptr(GwJson) answer =
        gw_client_join(options->controller, options->fingerprint, body, error);
    json_t *sent = json_object_get(body, "token");

    explicit_bzero((char *)json_string_value(sent), json_string_length(sent));
    return answer != NULL ? gw_record_from_stored(&gw_join_answer_record, answer, error) : NULL;
}

/* What is kept ------------------------------------------------------------------------------- */

static gboolean bad_answer(const char *what, GError **error)
{
    gw_error_set(error, GW_ERR_INTERNAL, "Update the agent and the controller to one version.",
                 "the controller's answer cannot be used: %s", what);
    return FALSE;
}

/* Whether certificate, key, authority and ids belong together: what is wrong here would show only
 * when the first peer refuses us. */
static gboolean check_answer(const GwJoinAnswer *answer, const char *key, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GwCredentials) credentials =
        gw_credentials_new(answer->certificate, key, answer->authority, &why);

    if (credentials == NULL)
        return bad_answer(why->message, error);
    const GwPeer *self = gw_credentials_self(credentials);
    if (self->role != GW_PEER_HOST || g_strcmp0(self->host_id, answer->host_id) != 0)
        return bad_answer("its certificate is not for the host it names", error);
    if (g_strcmp0(self->fabric_id, answer->fabric_id) != 0)
        return bad_answer("its certificate is not of the fabric it names", error);
    return TRUE;
}

static gboolean keep(const Options *options, const GwJoinAnswer *answer, const char *key,
                     GError **error)
{
    g_autoptr(GwAgentState) state = g_new0(GwAgentState, 1);
    g_autoptr(GwClock) clock = gw_clock_new_system();
    gsize length = 0;
    g_autofree guchar *ticket_key = g_base64_decode(answer->ticket_key, &length);

    if (!check_answer(answer, key, error))
        return FALSE;
    if (length != sizeof(state->ticket_public))
        return bad_answer("its ticket key is of another length", error);
    memcpy(state->ticket_public, ticket_key, length);
    state->host_id = g_strdup(answer->host_id);
    state->fabric_id = g_strdup(answer->fabric_id);
    state->certificate_pem = g_strdup(answer->certificate);
    state->key_pem = g_strdup(key);
    state->ca_pem = g_strdup(answer->authority);
    state->offset_s = (answer->wall_us - gw_clock_wall_us(clock)) / G_USEC_PER_SEC;
    return gw_agent_state_save(options->common.state_dir, state, error);
}

/* The command -------------------------------------------------------------------------------- */

/* A host has one fabric: two controllers that both drive its VMs would undo each other's work. */
static gboolean check_free(const Options *options, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GwAgentState) state = gw_agent_state_load(options->common.state_dir, &why);

    if (state == NULL && g_error_matches(why, GW_ERROR, GW_ERR_NOT_FOUND))
        return TRUE;
    if (state == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at it; then: godwit-agent leave.",
                     "this host may be in a fabric already: %s", why->message);
        return FALSE;
    }
    if (g_strcmp0(options->replace, state->fabric_id) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT,
                 "If that fabric's controller shall manage it no longer, remove it there (godwit "
                 "host remove); then, here: godwit-agent leave.",
                 "this host is in fabric %s already, as host %s", state->fabric_id, state->host_id);
    return FALSE;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

static gboolean join(const Options *options, GError **error)
{
    char token[TOKEN_MAX + 1] = "";
    char *key = NULL;
    g_autofree char *request = NULL;
    g_autoptr(GwJoinAnswer) answer = NULL;

    /* What fails here costs no token. */
    gboolean ready = check_free(options, error) && membership_prepare(&options->common, error) &&
                     read_token(options->token_file, token, error) &&
                     gw_identity_request(&key, &request, error);
    if (ready)
        answer = ask(options, token, request, error);
    explicit_bzero(token, sizeof(token));
    gboolean joined = answer != NULL && keep(options, answer, key, error);
    wipe(key);
    if (joined)
        g_print("joined fabric %s as host %s\n", answer->fabric_id, answer->host_id);
    return joined;
}

int agent_join(int argc, char **argv)
{
    g_auto(Options) options = { 0 };
    g_autoptr(GError) error = NULL;

    gboolean joined = parse(&options, &argc, &argv, &error) && join(&options, &error);
    return joined ? 0 : membership_complain(error);
}
