/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/join.h"

#include <curl/curl.h>
#include <string.h>

#include "base/error.h"
#include "client/transfer.h"

#define PATH "/api/v1/agents/join"
#define ANSWER_MAX ((gsize)256 * 1024)
#define CONNECT_TIMEOUT_S 10L
#define TIMEOUT_S 60L
#define HASH_BYTES 32

/* Words of the command line ------------------------------------------------------------------- */

static char *url_of(const char *controller, GError **error)
{
    g_autofree char *url = g_strconcat("https://", controller, NULL);
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
    const char *host = uri != NULL ? g_uri_get_host(uri) : NULL;

    if (host == NULL || *host == '\0' || *host == '-' || g_uri_get_userinfo(uri) != NULL ||
        *g_uri_get_path(uri) != '\0' || g_uri_get_query(uri) != NULL ||
        g_uri_get_fragment(uri) != NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Give HOST or HOST:PORT, e.g. 10.0.0.1:8447.",
                     "'%.200s' is no address of a controller", controller);
        return NULL;
    }
    const char *bracket = strchr(host, ':') != NULL ? "[" : "";
    int port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : GW_CLIENT_PORT;
    return g_strdup_printf("https://%s%s%s:%d" PATH, bracket, host, *bracket != '\0' ? "]" : "",
                           port);
}

/* libcurl's form of the same. */
static char *pin_of(const char *fingerprint, GError **error)
{
    const char *hex = g_str_has_prefix(fingerprint, "sha256:") ? fingerprint + 7 : "";
    guint8 hash[HASH_BYTES];
    gboolean fine = strlen(hex) == sizeof(hash) * 2;

    for (gsize i = 0; fine && i < sizeof(hash); i++) {
        int high = g_ascii_xdigit_value(hex[2 * i]), low = g_ascii_xdigit_value(hex[2 * i + 1]);
        fine = high >= 0 && low >= 0;
        hash[i] = (guint8)((high & 15) << 4 | (low & 15));
    }
    if (!fine) {
        gw_error_set(error, GW_ERR_INVALID,
                     "Copy it from the controller's log, or from godwit host add NAME --join.",
                     "'%.100s' is no fingerprint (sha256: and 64 hex digits)", fingerprint);
        return NULL;
    }
    g_autofree char *base64 = g_base64_encode(hash, sizeof(hash));
    return g_strconcat("sha256//", base64, NULL);
}

gboolean gw_client_join_check(const char *controller, const char *fingerprint, GError **error)
{
    g_autofree char *url = url_of(controller, error);
    g_autofree char *pin = url != NULL ? pin_of(fingerprint, error) : NULL;

    return pin != NULL;
}

/* The exchange ------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    GString *answer = user;

    if (answer->len + size * count > ANSWER_MAX)
        return 0;
    g_string_append_len(answer, bytes, (gssize)(size * count));
    return size * count;
}

static void set_options(CURL *easy, const char *url, const char *pin)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    /* The controller is known by its key, which no name, no authority and no clock can change: the
     * host's clock may be far off, and it has no authority's certificate yet. */
    curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, pin);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "godwit-agent/" GW_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
}

static void transfer_error(CURLcode result, const char *controller, const char *said,
                           GError **error)
{
    const char *why = *said != '\0' ? said : curl_easy_strerror(result);

    if (result == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
        gw_error_set(error, GW_ERR_UNAUTHORIZED,
                     "Compare it with the controller's log; if it is not the same, somebody else "
                     "answers at that address. Nothing was sent.",
                     "what answers at %s has another key than the fingerprint says", controller);
    else if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
             result == CURLE_OPERATION_TIMEDOUT)
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Check the address; godwitd must listen on it (--listen), and its port must "
                     "be open to this host.",
                     "the controller at %s cannot be reached: %s", controller, why);
    else
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Look at the controller's log (journalctl -u godwitd); then make a new token "
                     "and join again.",
                     "the connection to the controller at %s broke: %s", controller, why);
}

static json_t *read_answer(CURL *easy, const GString *answer, GError **error)
{
    long status = 0;
    const char *type = NULL;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    if (status == 200)
        return gw_json_parse(answer->str, answer->len, ANSWER_MAX, error);
    g_autofree char *bare = type != NULL ? g_strndup(type, strcspn(type, "; ")) : g_strdup("");
    json_decref(gw_problem_read((int)status, bare, answer->str, answer->len, error));
    return NULL;
}

json_t *gw_client_join(const char *controller, const char *fingerprint, const json_t *body,
                       GError **error)
{
    g_autofree char *url = url_of(controller, error);
    g_autofree char *pin = url != NULL ? pin_of(fingerprint, error) : NULL;
    char said[CURL_ERROR_SIZE] = "";

    if (pin == NULL)
        return NULL;
    g_autoptr(GString) answer = g_string_new(NULL);
    char *text = gw_json_text(body);
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    set_options(easy, url, pin);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, text);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, said);
    CURLcode result = curl_easy_perform(easy);
    json_t *json = NULL;
    if (result == CURLE_OK)
        json = read_answer(easy, answer, error);
    else
        transfer_error(result, controller, said, error);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    explicit_bzero(text, strlen(text));
    g_free(text);
    return json;
}
