/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "engine/engine.h"

/* The REST and SSE API over the engine (DESIGN.md, API). */

#define GW_API_PORT 8447

typedef struct {
    const char *address;          /* to listen on; an IP address */
    guint16 port;                 /* 0: any free one */
    gboolean plain;               /* no TLS; loopback addresses only (tests, a proxy before it) */
    const char *certificate_path; /* PEM; made with key_path where neither exists, and beside it */
    const char *key_path;         /* ca.pem, which clients trust */
    const char *const *names;     /* more names clients use for this controller; may be NULL */
    gsize body_max;               /* bytes of a request's body */
    guint connections_max;
    guint connections_per_address_max;
    guint streams_max;       /* of the connections, those that may follow /events */
    guint request_timeout_s; /* for a whole request to arrive; also for an idle connection */
    guint reply_timeout_s;   /* for a whole reply to be taken (/events excepted) */
    guint keep_alive_s;      /* between comments on a quiet /events */
} GwApiConfig;

#define GW_API_CONFIG_DEFAULT                                                                      \
    {                                                                                              \
        .address = "127.0.0.1", .port = GW_API_PORT, .body_max = 1024 * 1024,                      \
        .connections_max = 1000, .connections_per_address_max = 400, .streams_max = 300,           \
        .request_timeout_s = 30, .reply_timeout_s = 120, .keep_alive_s = 15                        \
    }

typedef struct GwApi GwApi;

/* Listens and serves on threads of its own until it is stopped; @engine must outlive it. Errors:
 * address or port not usable, certificate or key not readable or not a pair (INVALID, CONFLICT). */
GwApi *gw_api_start(GwEngine *engine, const GwApiConfig *config, GError **error);
/* Ends streams within a second, waits for requests that are being answered. */
void gw_api_stop(GwApi *api);
/* The port really listened on. */
guint16 gw_api_port(const GwApi *api);
/* "sha256:HEX" of the public key that it is served with, by which agents know it; NULL: no TLS. */
const char *gw_api_fingerprint(const GwApi *api);
/* The OpenAPI 3.1 document. New reference. */
json_t *gw_api_openapi(void);
