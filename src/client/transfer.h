/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <curl/curl.h>

#include "base/clock.h"
#include "client/client.h"

/* Inside the room: the client, and one HTTP exchange over libcurl, shared by calls and the event
 * stream. */

struct GwClient {
    GwClock *clock;
    int timeout_ms; /* of a call */
    CURLM *multi;
    char *server;
    char *ca_file;
    char *authorization; /* the header line; never printed */
    int interrupt_fd;
    json_t *problem;
};

typedef struct Transfer Transfer;
typedef gboolean (*TransferSink)(gpointer user, const char *bytes, gsize length);

struct Transfer {
    CURL *easy;
    struct curl_slist *headers;
    gboolean done;
    CURLcode result;
    gsize header_bytes;
    gboolean sink_refused; /* the sink's ceiling ended the transfer */
    TransferSink sink;
    gpointer user;
    char errors[CURL_ERROR_SIZE];
};

/* Prepares and starts GET (or @method) of @path with the client's server, CA and token.
 * @sink gets the body; when it returns FALSE the transfer ends. */
Transfer *gw_transfer_new(GwClient *client, const char *method, const char *path, TransferSink sink,
                          gpointer user);
void gw_transfer_header(Transfer *transfer, const char *name, const char *value);
void gw_transfer_start(GwClient *client, Transfer *transfer);
void gw_transfer_free(GwClient *client, Transfer *transfer);
/* The HTTP status, 0 as long as no headers have come. */
int gw_transfer_status(const Transfer *transfer);
/* The content type without parameters, "" where none was said. */
char *gw_transfer_content_type(const Transfer *transfer);
/* Sets @error for a transfer that ended with a libcurl error. */
void gw_transfer_error(const GwClient *client, const Transfer *transfer, GError **error);

/* Lets all transfers go on, waiting at most @timeout_ms for something to happen. FALSE:
 * GW_ERR_CANCELLED by the interrupt. */
gboolean gw_client_pump(GwClient *client, int timeout_ms, GError **error);

/* problem.c: sets @error from an answer of status 400 or above and returns its problem document
 * (new reference), or NULL where it is none. */
json_t *gw_problem_read(int status, const char *content_type, const char *text, gsize length,
                        GError **error);
