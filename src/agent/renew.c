/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/warden_internal.h"
#include "base/error.h"
#include "wire/identity.h"

/* A new certificate before the old one ends. The new key stays in memory until its certificate is
 * there: with both of them, or neither, is how the host is found after a power cut. */

static void wipe(char **text)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text));
    g_clear_pointer(text, g_free);
}

void gw_renew_call(GwWarden *warden, guint64 id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *request = NULL;

    wipe(&warden->next_key_pem);
    if (!gw_identity_request(&warden->next_key_pem, &request, &error)) {
        gw_warden_answer(warden, id, NULL, -1, error);
        return;
    }
    gw_warden_answer(warden, id, json_pack("{s:s}", "request", request), -1, NULL);
}

static gboolean check(const GwWarden *warden, const char *certificate, GError **error)
{
    const GwAgentState *state = warden->state;

    if (certificate == NULL || warden->next_key_pem == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Ask for a request first.",
                     "no certificate, or none was asked for");
        return FALSE;
    }
    g_autoptr(GwPeer) who = gw_identity_read(certificate, error);
    if (who == NULL)
        return FALSE;
    if (who->role != GW_PEER_HOST || g_strcmp0(who->host_id, state->host_id) != 0 ||
        g_strcmp0(who->fabric_id, state->fabric_id) != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the certificate is not this host's");
        return FALSE;
    }
    /* Also says whether key and certificate belong together. */
    g_autoptr(GwCredentials) credentials =
        gw_credentials_new(certificate, warden->next_key_pem, state->ca_pem, error);
    return credentials != NULL;
}

static gboolean install(GwWarden *warden, const char *certificate, GError **error)
{
    GwAgentState *state = warden->state;
    char *old_certificate = state->certificate_pem, *old_key = state->key_pem;

    state->certificate_pem = g_strdup(certificate);
    state->key_pem = warden->next_key_pem;
    if (!gw_agent_state_save(warden->paths.state_folder, state, error)) {
        g_free(state->certificate_pem);
        state->certificate_pem = old_certificate;
        state->key_pem = old_key;
        return FALSE;
    }
    warden->next_key_pem = NULL;
    g_free(old_certificate);
    wipe(&old_key);
    gw_warden_send_credentials(warden);
    return TRUE;
}

void gw_renew_install(GwWarden *warden, guint64 id, const json_t *params)
{
    const char *certificate = json_string_value(json_object_get(params, "certificate"));
    g_autoptr(GError) error = NULL;
    gboolean ok = check(warden, certificate, &error) && install(warden, certificate, &error);

    gw_warden_answer(warden, id, ok ? json_object() : NULL, -1, error);
}
