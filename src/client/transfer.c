/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/transfer.h"

#include <string.h>

#include "base/error.h"

#define API "/api/v1"
#define HEADERS_MAX (64 * 1024) /* bytes of all headers of an answer */
#define CONNECT_TIMEOUT_S 10L

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    Transfer *transfer = user;

    if (!transfer->sink(transfer->user, bytes, size * count)) {
        transfer->sink_refused = TRUE;
        return 0;
    }
    return size * count;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
    Transfer *transfer = user;

    transfer->header_bytes += size * count;
    if (transfer->header_bytes > HEADERS_MAX) {
        transfer->sink_refused = TRUE;
        return 0;
    }
    return size * count;
}

Transfer *gw_transfer_new(GwClient *client, const char *method, const char *path, TransferSink sink,
                          gpointer user)
{
    Transfer *transfer = g_new0(Transfer, 1);
    g_autofree char *url = g_strconcat(client->server, API, path, NULL);
    CURL *easy = curl_easy_init();

    transfer->easy = easy;
    transfer->sink = sink;
    transfer->user = user;
    transfer->headers = curl_slist_append(NULL, client->authorization);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    /* A proxy from the environment would see who is managed, and break 127.0.0.1. */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (client->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "godwit/" GW_VERSION);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->errors);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    return transfer;
}

void gw_transfer_header(Transfer *transfer, const char *name, const char *value)
{
    g_autofree char *line = g_strdup_printf("%s: %s", name, value);
    transfer->headers = curl_slist_append(transfer->headers, line);
}

void gw_transfer_start(GwClient *client, Transfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_multi_add_handle(client->multi, transfer->easy);
}

static void wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *h = headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(headers);
}

void gw_transfer_free(GwClient *client, Transfer *transfer)
{
    if (transfer == NULL)
        return;
    curl_multi_remove_handle(client->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    wipe_headers(transfer->headers);
    g_free(transfer);
}

int gw_transfer_status(const Transfer *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

char *gw_transfer_content_type(const Transfer *transfer)
{
    const char *type = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    if (type == NULL)
        return g_strdup("");
    g_autofree char *bare = g_strndup(type, strcspn(type, "; "));
    return g_ascii_strdown(bare, -1);
}

static void tls_error(const GwClient *client, const char *why, GError **error)
{
    gw_error_set(error, GW_ERR_UNREACHABLE,
                 "Use the ca.pem of this very controller (--ca), and an address its certificate "
                 "names (--server).",
                 "the certificate of %s is not accepted by CA file '%s': %s", client->server,
                 client->ca_file != NULL ? client->ca_file : "(the system's)", why);
}

void gw_transfer_error(const GwClient *client, const Transfer *transfer, GError **error)
{
    const char *why =
        *transfer->errors != '\0' ? transfer->errors : curl_easy_strerror(transfer->result);

    if (transfer->sink_refused) {
        gw_error_set(error, GW_ERR_TOO_LARGE,
                     "Narrow the request; report it where it was a small one.",
                     "the answer of %s is larger than is accepted (%d MiB)", client->server,
                     GW_CLIENT_ANSWER_MAX / (1024 * 1024));
        return;
    }
    switch (transfer->result) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        tls_error(client, why, error);
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Start godwitd (systemctl start godwitd), or give its address by --server.",
                     "the controller at %s cannot be reached: %s", client->server, why);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Look at the controller's log (journalctl -u godwitd), and at the network "
                     "between here and there.",
                     "the controller at %s did not answer in time: %s", client->server, why);
        break;
    default:
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Check that --server names a Godwit controller, and that it still runs.",
                     "the connection to %s broke: %s", client->server, why);
    }
}

static void take_finished(GwClient *client)
{
    int left = 0;
    CURLMsg *message = NULL;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        char *owner = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        ((Transfer *)(gpointer)owner)->done = TRUE;
        ((Transfer *)(gpointer)owner)->result = result;
    }
}

gboolean gw_client_pump(GwClient *client, int timeout_ms, GError **error)
{
    struct curl_waitfd interrupt = { .fd = client->interrupt_fd, .events = CURL_WAIT_POLLIN };
    guint extra = client->interrupt_fd >= 0 ? 1 : 0;
    int running = 0;
    int before = 0;

    curl_multi_perform(client->multi, &before);
    take_finished(client);
    curl_multi_poll(client->multi, &interrupt, extra, timeout_ms, NULL);
    curl_multi_perform(client->multi, &running);
    take_finished(client);
    if (extra > 0 && (interrupt.revents & CURL_WAIT_POLLIN) != 0) {
        gw_error_set(error, GW_ERR_CANCELLED, NULL, "interrupted");
        return FALSE;
    }
    return TRUE;
}
