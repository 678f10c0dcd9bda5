/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/agent.h"

/* How a host gets its agent: a token that is good for one host, once; what the agent asks with it;
 * and what it gets. */

#define GW_JOIN_TOKEN_PREFIX "godwit-join-"
#define GW_JOIN_LIFETIME_S 3600
#define GW_JOIN_LIFETIME_MIN_S 300
#define GW_JOIN_LIFETIME_MAX_S 86400

typedef struct {
    char *id;
    char *name;        /* of the host to be; NULL: what the host calls itself */
    char *group_id;    /* NULL: All Hosts */
    char *address;     /* where its agent is reached; NULL: where it joins from */
    char *host;        /* id or name of a managed host that gets the agent; NULL: a new host */
    gint64 lifetime_s; /* 0: an hour */
    char *host_id;     /* who the agent will be */
    char *created_at;
    char *created_by;
    char *expires_at;
    char *fingerprint; /* of the controller's key, "sha256:HEX" */
    char *fabric_id;   /* which fabric it leads into */
    char *token;       /* shown once */
    gint64 expires_s;  /* wall seconds; what counts */
} GwJoinToken;
GW_DECLARE_RECORD(GwJoinToken, gw_join_token)

/* What godwit-agent asks. The token is all that proves it; the key never leaves the host. */
typedef struct {
    char *token;
    char *request; /* PKCS #10, PEM */
    gint64 port;   /* that the agent listens on; 0: the default */
    char *hostname;
    char **addresses; /* of the host, as it sees them */
} GwJoinRequest;
GW_DECLARE_RECORD(GwJoinRequest, gw_join_request)

typedef struct {
    char *host_id;
    char *fabric_id;
    char *certificate; /* PEM */
    char *authority;   /* the fabric's CA, PEM */
    char *ticket_key;  /* base64 of the Ed25519 public key that checks tickets */
    gint64 wall_us;    /* the fabric's time */
} GwJoinAnswer;
GW_DECLARE_RECORD(GwJoinAnswer, gw_join_answer)

/* A certificate that the fabric's authority made for a host, kept until it ends by itself: who
 * removes a host must know which ones to revoke. */
typedef struct {
    char *serial;
    char *host_id;
    gint64 issued_s, expires_s; /* wall seconds */
    gint64 revoked_s;           /* 0: it is good */
    char *reason;               /* why it was revoked */
} GwIssued;
GW_DECLARE_RECORD(GwIssued, gw_issued)

/* "godwit host check H PEER" */
typedef struct {
    char *peer; /* id or name of the other host; NULL: the host alone */
} GwCheckRequest;
GW_DECLARE_RECORD(GwCheckRequest, gw_check_request)

/* Whether @address can stand in a URI as its host: a DNS name or an IP address, without port. */
gboolean gw_join_check_address(const char *address, GError **error);
/* godwit://ADDRESS:PORT/HOST_ID, an IPv6 address in brackets. */
char *gw_join_uri(const char *address, gint64 port, const char *host_id);
