/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* The API's client: one controller, one token, connections kept open between calls. Not for use by
 * several threads at once. */
typedef struct GwClient GwClient;

#define GW_CLIENT_ANSWER_MAX (32 * 1024 * 1024) /* bytes of one answer */
#define GW_CLIENT_PAGES_MAX 10000               /* pages of one list */
#define GW_CLIENT_ITEMS_MAX 1000000             /* items of one list */

typedef struct {
    const char *server;  /* https://127.0.0.1:8447 */
    const char *ca_file; /* certificates that the controller's must be signed by; NULL: system's */
    const char *token_file; /* holds the bearer token, alone on its line */
} GwClientConfig;

/* Errors: GW_ERR_INVALID (URL), GW_ERR_UNAUTHORIZED (token file), GW_ERR_UNREACHABLE (CA file). */
GwClient *gw_client_new(const GwClientConfig *config, GError **error);
void gw_client_free(GwClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwClient, gw_client_free)

/* While @fd is readable, calls and streams end with GW_ERR_CANCELLED at once (a signalfd, say). */
void gw_client_set_interrupt(GwClient *client, int fd);
/* How long a call may take in all; default 60 s. */
void gw_client_set_timeout(GwClient *client, int timeout_ms);

/* One request under /api/v1; @path begins with a slash, its parts escaped by gw_client_segment.
 * @body may be NULL and stays the caller's. Returns what was answered (JSON null for an empty
 * answer), *@status its HTTP status (may be NULL). Statuses of 400 and above are errors with the
 * problem's code, detail and remedy; a broken connection is GW_ERR_UNREACHABLE. A POST carries an
 * Idempotency-Key and is sent again, once, where the connection broke before the answer. */
json_t *gw_client_call(GwClient *client, const char *method, const char *path, json_t *body,
                       int *status, GError **error);
json_t *gw_client_get(GwClient *client, const char *path, GError **error);
/* All items of a list, page after page; @path may hold a query. A new JSON array. */
json_t *gw_client_list(GwClient *client, const char *path, GError **error);

/* The problem document of the last call that was refused, for its findings ("errors"); borrowed
 * until the next call, NULL where there was none. */
json_t *gw_client_problem(const GwClient *client);
const char *gw_client_server(const GwClient *client);

/* @text as one part of a path, whatever it holds. Free with g_free. */
char *gw_client_segment(const char *text);
