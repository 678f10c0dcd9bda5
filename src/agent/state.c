/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/state.h"

#include <string.h>

#include "agent/files.h"
#include "base/error.h"
#include "base/json.h"
#include "model/record.h"

#define STATE_FILE "host.json"
#define STATE_MAX ((gsize)1024 * 1024) /* bytes */
#define PEM_MAX ((gsize)64 * 1024)
#define ID_MAX 64
#define OFFSET_MAX ((gint64)200 * 366 * 86400) /* seconds */

/* As it lies on disk. */
typedef struct {
    char *host_id, *fabric_id;
    char *certificate, *key, *ca;
    char *ticket_key; /* base64 */
    char *run;
    gint64 incarnation, offset_s;
    char **revoked;
} Stored;

extern const GwRecord gw_stored_state_record; /* the macro makes it global */
GW_DEFINE_RECORD(Stored, gw_stored_state, "AgentState", "Who this host is in its fabric.",
                 GW_F(Stored, host_id, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, fabric_id, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, certificate, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, key, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, ca, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, ticket_key, GW_STRING, .flags = GW_REQUIRED),
                 GW_F(Stored, run, GW_STRING), GW_F(Stored, incarnation, GW_INT),
                 GW_F(Stored, offset_s, GW_INT, .min = -OFFSET_MAX, .max = OFFSET_MAX),
                 GW_F(Stored, revoked, GW_STRINGS));

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    g_free(text);
}

static void free_stored(Stored *stored)
{
    if (stored == NULL)
        return;
    wipe(g_steal_pointer(&stored->key));
    gw_record_free(&gw_stored_state_record, stored);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stored, free_stored)

void gw_agent_state_free(GwAgentState *state)
{
    if (state == NULL)
        return;
    g_free(state->host_id);
    g_free(state->fabric_id);
    g_free(state->certificate_pem);
    wipe(state->key_pem);
    g_free(state->ca_pem);
    g_free(state->run);
    g_strfreev(state->revoked);
    g_free(state);
}

/* Checks ------------------------------------------------------------------------------------- */

static gboolean bad(const char *field, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, "Let the host join the fabric again (godwit-agent join).",
                 "the agent's state: %s is missing, too long or malformed", field);
    return FALSE;
}

static gboolean fits(const char *text, gsize max)
{
    return text != NULL && *text != '\0' && strnlen(text, max + 1) <= max;
}

static gboolean check(const Stored *stored, GError **error)
{
    const struct {
        const char *name, *text;
        gsize max;
    } fields[] = {
        { "host_id", stored->host_id, ID_MAX },
        { "fabric_id", stored->fabric_id, ID_MAX },
        { "certificate", stored->certificate, PEM_MAX },
        { "key", stored->key, PEM_MAX },
        { "ca", stored->ca, PEM_MAX },
    };
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!fits(fields[i].text, fields[i].max))
            return bad(fields[i].name, error);
    }
    if (stored->run != NULL && !fits(stored->run, ID_MAX))
        return bad("run", error);
    if (stored->revoked != NULL && g_strv_length(stored->revoked) > GW_STATE_REVOKED_MAX)
        return bad("revoked", error);
    return TRUE;
}

/* Reading ------------------------------------------------------------------------------------- */

static gboolean decode_key(const char *text, guint8 key[32])
{
    gsize length = 0;
    g_autofree guchar *bytes = g_base64_decode(text, &length);

    if (length != 32)
        return FALSE;
    memcpy(key, bytes, 32);
    return TRUE;
}

static GwAgentState *from_stored(Stored *stored)
{
    g_autoptr(GwAgentState) state = g_new0(GwAgentState, 1);

    if (!decode_key(stored->ticket_key, state->ticket_public))
        return NULL;
    state->host_id = g_steal_pointer(&stored->host_id);
    state->fabric_id = g_steal_pointer(&stored->fabric_id);
    state->certificate_pem = g_steal_pointer(&stored->certificate);
    state->key_pem = g_steal_pointer(&stored->key);
    state->ca_pem = g_steal_pointer(&stored->ca);
    state->run = g_steal_pointer(&stored->run);
    state->revoked = g_steal_pointer(&stored->revoked);
    state->incarnation = stored->incarnation;
    state->offset_s = stored->offset_s;
    return g_steal_pointer(&state);
}

static GwAgentState *parse(const char *text, gsize length, GError **error)
{
    g_autoptr(GwJson) json = gw_json_parse(text, length, STATE_MAX, error);

    if (json == NULL)
        return NULL;
    g_autoptr(Stored) stored = gw_record_from_stored(&gw_stored_state_record, json, error);
    if (stored == NULL || !check(stored, error))
        return NULL;
    GwAgentState *state = from_stored(stored);
    if (state == NULL)
        bad("ticket_key", error);
    return state;
}

GwAgentState *gw_agent_state_load(const char *folder, GError **error)
{
    g_autoptr(GError) why = NULL;
    gsize length = 0;
    char *text = gw_files_read(folder, STATE_FILE, STATE_MAX, &length, &why);

    if (text == NULL) {
        if (g_error_matches(why, GW_ERROR, GW_ERR_NOT_FOUND))
            gw_error_set(error, GW_ERR_NOT_FOUND,
                         "Run godwit host add HOST --install, or godwit-agent join on the host.",
                         "this host has not joined a fabric: there is no %s/" STATE_FILE, folder);
        else
            g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    GwAgentState *state = parse(text, length, &why);
    wipe(text);
    /* Not what the parser says of it: that quotes the text, and the text holds the key. */
    if (state == NULL)
        gw_error_set(error, GW_ERR_STORE, "Let the host join the fabric again (godwit-agent join).",
                     "%s/" STATE_FILE " is damaged", folder);
    return state;
}

/* Writing ------------------------------------------------------------------------------------- */

static Stored *to_stored(const GwAgentState *state)
{
    Stored *stored = gw_record_new(&gw_stored_state_record);

    stored->host_id = g_strdup(state->host_id);
    stored->fabric_id = g_strdup(state->fabric_id);
    stored->certificate = g_strdup(state->certificate_pem);
    stored->key = g_strdup(state->key_pem);
    stored->ca = g_strdup(state->ca_pem);
    stored->ticket_key = g_base64_encode(state->ticket_public, sizeof state->ticket_public);
    stored->run = g_strdup(state->run);
    stored->incarnation = state->incarnation;
    stored->offset_s = CLAMP(state->offset_s, -OFFSET_MAX, OFFSET_MAX);
    stored->revoked = g_strdupv(state->revoked);
    return stored;
}

gboolean gw_agent_state_save(const char *folder, const GwAgentState *state, GError **error)
{
    g_autoptr(Stored) stored = to_stored(state);

    if (!check(stored, error) || !gw_files_folder(folder, error))
        return FALSE;
    g_autoptr(GwJson) json = gw_record_to_json(&gw_stored_state_record, stored);
    char *text = gw_json_pretty(json);
    gboolean ok = gw_files_write(folder, STATE_FILE, text, strlen(text), error);
    wipe(text);
    return ok;
}

gboolean gw_agent_state_clock_set(GwAgentState *state, gint64 *was_us, gint64 apart_us)
{
    gint64 step_s = (apart_us - *was_us) / G_USEC_PER_SEC;

    if (step_s == 0)
        return FALSE;
    *was_us += step_s * G_USEC_PER_SEC;
    state->offset_s -= step_s;
    return TRUE;
}
