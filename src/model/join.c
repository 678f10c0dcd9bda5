/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/join.h"

#include <string.h>

#include "base/error.h"
#include "model/host.h"

GW_DEFINE_RECORD(
    GwJoinToken, gw_join_token, "JoinToken", "Lets one host's agent join the fabric, once.",
    GW_F(GwJoinToken, id, GW_STRING, .flags = GW_READ_ONLY, .doc = "Identifier."),
    GW_F(GwJoinToken, name, GW_STRING,
         .doc = "Name of the host to be; default: the one it gives itself."),
    GW_F(GwJoinToken, group_id, GW_STRING,
         .doc = "The host group to put it in, by id or name; default: All Hosts."),
    GW_F(GwJoinToken, address, GW_STRING,
         .doc = "Address of the host's agent, without port; default: where it joins from."),
    GW_F(GwJoinToken, host, GW_STRING,
         .doc = "Id or name of a managed host that gets the agent; default: a new host."),
    GW_F(GwJoinToken, lifetime_s, GW_INT, .min = GW_JOIN_LIFETIME_MIN_S,
         .max = GW_JOIN_LIFETIME_MAX_S,
         .doc = "Seconds that it is good for, 300 to 86400; default: 3600."),
    GW_F(GwJoinToken, host_id, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "Id of the host that joins with it."),
    GW_F(GwJoinToken, created_at, GW_STRING, .flags = GW_READ_ONLY, .doc = "When, RFC 3339."),
    GW_F(GwJoinToken, created_by, GW_STRING, .flags = GW_READ_ONLY, .doc = "By whom."),
    GW_F(GwJoinToken, expires_at, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "Until when it is good, RFC 3339."),
    GW_F(GwJoinToken, fingerprint, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "What the agent knows the controller by: sha256:HEX of its public key."),
    GW_F(GwJoinToken, fabric_id, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "The fabric that it leads into."),
    GW_F(GwJoinToken, token, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "The token itself: only in the answer that made it."),
    GW_F(GwJoinToken, expires_s, GW_INT, .flags = GW_INTERNAL, .doc = "The same, since 1970."));

GW_DEFINE_RECORD(
    GwJoinRequest, gw_join_request, "JoinRequest", "What an agent asks to join the fabric.",
    GW_F(GwJoinRequest, token, GW_STRING, .flags = GW_REQUIRED, .doc = "The join token."),
    GW_F(GwJoinRequest, request, GW_STRING, .flags = GW_REQUIRED,
         .doc = "Certificate request (PKCS #10, PEM) of a key that stays on the host."),
    GW_F(GwJoinRequest, port, GW_INT, .min = 1, .max = 65535,
         .doc = "Port that the agent listens on; default: 8447."),
    GW_F(GwJoinRequest, hostname, GW_STRING, .doc = "The name the host gives itself."),
    GW_F(GwJoinRequest, addresses, GW_STRINGS, .doc = "Its addresses, as it sees them."));

GW_DEFINE_RECORD(GwJoinAnswer, gw_join_answer, "JoinAnswer", "What an agent gets that has joined.",
                 GW_F(GwJoinAnswer, host_id, GW_STRING, .flags = GW_REQUIRED, .doc = "Who it is."),
                 GW_F(GwJoinAnswer, fabric_id, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "In which fabric."),
                 GW_F(GwJoinAnswer, certificate, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "Its certificate, PEM."),
                 GW_F(GwJoinAnswer, authority, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "The fabric's authority, PEM."),
                 GW_F(GwJoinAnswer, ticket_key, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "What checks tickets: base64 of an Ed25519 public key."),
                 GW_F(GwJoinAnswer, wall_us, GW_INT,
                      .doc = "The fabric's time, microseconds since 1970."));

GW_DEFINE_RECORD(GwIssued, gw_issued, "IssuedCertificate",
                 "A certificate that was made for a host.",
                 GW_F(GwIssued, serial, GW_STRING, .flags = GW_REQUIRED, .doc = "Its serial, hex."),
                 GW_F(GwIssued, host_id, GW_STRING, .flags = GW_REQUIRED, .doc = "Whose it is."),
                 GW_F(GwIssued, issued_s, GW_INT, .doc = "When it was made, since 1970."),
                 GW_F(GwIssued, expires_s, GW_INT, .doc = "When it ends, since 1970."),
                 GW_F(GwIssued, revoked_s, GW_INT, .doc = "When it was revoked; 0: it was not."),
                 GW_F(GwIssued, reason, GW_STRING, .doc = "Why it was revoked."));

GW_DEFINE_RECORD(GwCheckRequest, gw_check_request, "CheckRequest", "What is to be checked.",
                 GW_F(GwCheckRequest, peer, GW_STRING,
                      .doc = "Id or name of the other host; default: the host alone."));

#define ADDRESS_MAX 253

gboolean gw_join_check_address(const char *address, GError **error)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    gsize length = strlen(address);
    gboolean fine = length > 0 && length <= ADDRESS_MAX && *address != '-' &&
                    (g_hostname_is_ip_address(address) || strspn(address, name) == length);

    if (!fine)
        gw_error_set(error, GW_ERR_INVALID, "Give an IP address or a DNS name, without a port.",
                     "'%.100s' is no address of a host", address);
    return fine;
}

char *gw_join_uri(const char *address, gint64 port, const char *host_id)
{
    gboolean v6 = strchr(address, ':') != NULL;

    return g_strdup_printf(GW_AGENT_SCHEME "://%s%s%s:%" G_GINT64_FORMAT "/%s", v6 ? "[" : "",
                           address, v6 ? "]" : "", port > 0 ? port : GW_AGENT_PORT, host_id);
}
