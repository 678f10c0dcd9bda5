/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "client/transfer.h"

#define TOKEN_MAX 4096        /* bytes of the token file */
#define CALL_TIMEOUT_MS 60000 /* twice what the controller gives a host to answer */

/* Configuration ---------------------------------------------------------------------------- */

static char *check_server(const char *server, GError **error)
{
    static const char remedy[] = "Give the controller's address, e.g. https://kvmhub:8447.";
    g_autoptr(GError) why = NULL;
    g_autoptr(GUri) uri = g_uri_parse(server, G_URI_FLAGS_ENCODED, &why);

    if (uri == NULL) {
        gw_error_set(error, GW_ERR_INVALID, remedy, "server '%.200s': %s", server, why->message);
        return NULL;
    }
    /* A token must never cross a network in the clear. */
    if (strcmp(g_uri_get_scheme(uri), "https") != 0) {
        gw_error_set(error, GW_ERR_INVALID, remedy, "server '%.200s' is not an https URL", server);
        return NULL;
    }
    if (g_uri_get_host(uri) == NULL || *g_uri_get_host(uri) == '\0' ||
        g_uri_get_userinfo(uri) != NULL || g_uri_get_query(uri) != NULL ||
        strcmp(g_uri_get_path(uri), "/") > 0) {
        gw_error_set(error, GW_ERR_INVALID, remedy,
                     "server '%.200s' must be https://HOST[:PORT] and no more", server);
        return NULL;
    }
    gsize length = strlen(server);
    while (length > 0 && server[length - 1] == '/')
        length--;
    return g_strndup(server, length);
}

static gboolean token_text_is_fine(const char *token)
{
    for (const char *p = token; *p != '\0'; p++) {
        if (!g_ascii_isgraph(*p))
            return FALSE;
    }
    return *token != '\0';
}

static gboolean token_error(const char *path, const char *what, GError **error)
{
    gw_error_set(error, GW_ERR_UNAUTHORIZED,
                 "Run as a user who may read it, or name another by --token-file, "
                 "GODWIT_TOKEN_FILE or client.conf; godwitd writes its first token to "
                 "admin.token in its state folder.",
                 "token file '%s': %s", path, what);
    return FALSE;
}

/* Reads at most TOKEN_MAX bytes: the path may be anything, /dev/zero too. */
static gboolean read_token(const char *path, char *token, GError **error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return token_error(path, g_strerror(errno), error);
    gsize length = fread(token, 1, TOKEN_MAX, file);
    gboolean failed = ferror(file) != 0;
    fclose(file);

    if (failed)
        return token_error(path, "it cannot be read", error);
    if (length == TOKEN_MAX)
        return token_error(path, "it is larger than a token can be", error);
    token[length] = '\0';
    g_strstrip(token);
    if (!token_text_is_fine(token))
        return token_error(path, "it does not hold one token and nothing else", error);
    return TRUE;
}

static gboolean load_token(GwClient *client, const char *path, GError **error)
{
    char token[TOKEN_MAX + 1] = { 0 };
    gboolean fine = read_token(path, token, error);

    if (fine)
        client->authorization = g_strconcat("Authorization: Bearer ", token, NULL);
    explicit_bzero(token, sizeof(token));
    return fine;
}

static gboolean check_ca(const char *path, GError **error)
{
    if (path == NULL || access(path, R_OK) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_UNREACHABLE,
                 "Copy the controller's tls/ca.pem from its state folder and name it by --ca, "
                 "GODWIT_CA or client.conf; start godwitd once where it is missing there.",
                 "CA file '%s': %s", path, g_strerror(errno));
    return FALSE;
}

GwClient *gw_client_new(const GwClientConfig *config, GError **error)
{
    g_autoptr(GwClient) client = g_new0(GwClient, 1);

    client->interrupt_fd = -1;
    client->timeout_ms = CALL_TIMEOUT_MS;
    client->clock = gw_clock_new_system();
    client->server = check_server(config->server, error);
    if (client->server == NULL || !check_ca(config->ca_file, error) ||
        !load_token(client, config->token_file, error))
        return NULL;
    client->ca_file = g_strdup(config->ca_file);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->multi = curl_multi_init();
    return g_steal_pointer(&client);
}

void gw_client_free(GwClient *client)
{
    if (client == NULL)
        return;
    if (client->multi != NULL)
        curl_multi_cleanup(client->multi);
    if (client->authorization != NULL)
        explicit_bzero(client->authorization, strlen(client->authorization));
    g_free(client->authorization);
    gw_clock_free(client->clock);
    g_free(client->server);
    g_free(client->ca_file);
    json_decref(client->problem);
    g_free(client);
}

void gw_client_set_interrupt(GwClient *client, int fd)
{
    client->interrupt_fd = fd;
}

void gw_client_set_timeout(GwClient *client, int timeout_ms)
{
    client->timeout_ms = timeout_ms;
}

json_t *gw_client_problem(const GwClient *client)
{
    return client->problem;
}

const char *gw_client_server(const GwClient *client)
{
    return client->server;
}

char *gw_client_segment(const char *text)
{
    /* "." and ".." would be resolved as folders by whoever normalises the path. */
    if (strcmp(text, ".") == 0)
        return g_strdup("%2E");
    if (strcmp(text, "..") == 0)
        return g_strdup("%2E%2E");
    return g_uri_escape_string(text, NULL, FALSE);
}

/* Calls ------------------------------------------------------------------------------------ */

static gboolean collect(gpointer user, const char *bytes, gsize length)
{
    GString *text = user;

    if (text->len + length > GW_CLIENT_ANSWER_MAX)
        return FALSE;
    g_string_append_len(text, bytes, (gssize)length);
    return TRUE;
}

typedef struct {
    const char *method;
    const char *path;
    const char *body; /* JSON text or NULL */
    const char *key;  /* Idempotency-Key or NULL */
} Request;

static Transfer *begin(GwClient *client, const Request *request, GString *answer)
{
    Transfer *transfer = gw_transfer_new(client, request->method, request->path, collect, answer);

    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
    gw_transfer_header(transfer, "Accept", "application/json, application/problem+json");
    if (request->body != NULL) {
        /* An action without a body has no type either: "Name:" makes libcurl leave it out. */
        gw_transfer_header(transfer, "Content-Type",
                           *request->body != '\0' ? "application/json" : "");
        gw_transfer_header(transfer, "Expect", "");
        curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)strlen(request->body));
        curl_easy_setopt(transfer->easy, CURLOPT_COPYPOSTFIELDS, request->body);
    }
    if (request->key != NULL)
        gw_transfer_header(transfer, "Idempotency-Key", request->key);
    gw_transfer_start(client, transfer);
    return transfer;
}

static json_t *read_answer(GwClient *client, const Transfer *transfer, const GString *answer,
                           int *status, GError **error)
{
    int code = gw_transfer_status(transfer);
    g_autofree char *type = gw_transfer_content_type(transfer);

    if (status != NULL)
        *status = code;
    if (code >= 400) {
        client->problem = gw_problem_read(code, type, answer->str, answer->len, error);
        return NULL;
    }
    if (code >= 200 && code < 300 && answer->len == 0)
        return json_null();

    g_autoptr(GError) why = NULL;
    json_t *json = NULL;
    if (code >= 200 && code < 300)
        json = gw_json_parse(answer->str, answer->len, GW_CLIENT_ANSWER_MAX, &why);
    if (json == NULL)
        gw_error_set(error, GW_ERR_INTERNAL,
                     "Check that --server names a Godwit controller of a version like this "
                     "program's (godwit version).",
                     "the answer of %s (status %d) cannot be used: %s", client->server, code,
                     why != NULL ? why->message : "neither done nor refused");
    return json;
}

/* Whether the connection broke where the controller may or may not have acted. */
static gboolean lost_on_the_way(const Transfer *transfer)
{
    return !transfer->sink_refused &&
           (transfer->result == CURLE_GOT_NOTHING || transfer->result == CURLE_RECV_ERROR ||
            transfer->result == CURLE_SEND_ERROR || transfer->result == CURLE_PARTIAL_FILE);
}

static json_t *exchange(GwClient *client, const Request *request, int *status, gboolean *again,
                        GError **error)
{
    GString *answer = g_string_new(NULL);
    Transfer *transfer = begin(client, request, answer);
    json_t *json = NULL;
    gboolean fine = TRUE;

    while (fine && !transfer->done)
        fine = gw_client_pump(client, 1000, error);
    if (fine && transfer->result != CURLE_OK) {
        *again = *again && lost_on_the_way(transfer);
        gw_transfer_error(client, transfer, error);
    } else if (fine) {
        *again = FALSE;
        json = read_answer(client, transfer, answer, status, error);
    } else {
        *again = FALSE;
    }
    gw_transfer_free(client, transfer);
    g_string_free(answer, TRUE);
    return json;
}

json_t *gw_client_call(GwClient *client, const char *method, const char *path, json_t *body,
                       int *status, GError **error)
{
    g_autofree char *text = body != NULL ? gw_json_text(body) : NULL;
    gboolean post = strcmp(method, "POST") == 0;
    g_autofree char *key = post ? g_uuid_string_random() : NULL;
    Request request = { method, path, text != NULL ? text : (post ? "" : NULL), key };
    g_autoptr(GError) first = NULL;
    gboolean again = post || strcmp(method, "GET") == 0;

    g_clear_pointer(&client->problem, json_decref);
    json_t *json = exchange(client, &request, status, &again, &first);
    if (json == NULL && again)
        return exchange(client, &request, status, &again, error);
    if (json == NULL)
        g_propagate_error(error, g_steal_pointer(&first));
    return json;
}

json_t *gw_client_get(GwClient *client, const char *path, GError **error)
{
    return gw_client_call(client, "GET", path, NULL, NULL, error);
}

static gboolean bad_list(const char *path, const char *why, GError **error)
{
    gw_error_set(error, GW_ERR_INTERNAL, NULL, "the list %s cannot be used: %s", path, why);
    return FALSE;
}

/* Appends a page to @all; *@next becomes the cursor of the page after it, or NULL. */
static gboolean take_page(json_t *page, const char *path, json_t *all, char **next, GError **error)
{
    json_t *items = json_is_array(page) ? page : json_object_get(page, "items");
    const char *cursor = json_string_value(json_object_get(page, "next"));
    gboolean stuck = cursor != NULL && g_strcmp0(cursor, *next) == 0;

    if (!json_is_array(items))
        return bad_list(path, "it holds no items", error);
    if (stuck)
        return bad_list(path, "a page leads to itself", error);
    if (json_array_size(all) + json_array_size(items) > GW_CLIENT_ITEMS_MAX)
        return bad_list(path, "it is too long", error);
    json_array_extend(all, items);
    g_free(*next);
    *next = cursor != NULL && *cursor != '\0' ? g_strdup(cursor) : NULL;
    return TRUE;
}

json_t *gw_client_list(GwClient *client, const char *path, GError **error)
{
    g_autoptr(GwJson) all = json_array();
    g_autofree char *next = NULL;

    for (guint pages = 0; pages < GW_CLIENT_PAGES_MAX; pages++) {
        g_autofree char *escaped = next != NULL ? gw_client_segment(next) : NULL;
        g_autofree char *full =
            next != NULL
                ? g_strconcat(path, strchr(path, '?') != NULL ? "&" : "?", "cursor=", escaped, NULL)
                : g_strdup(path);
        g_autoptr(GwJson) page = gw_client_get(client, full, error);
        if (page == NULL || !take_page(page, path, all, &next, error))
            return NULL;
        if (next == NULL)
            return g_steal_pointer(&all);
    }
    bad_list(path, "it has no end", error);
    return NULL;
}
