/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copier.h"

#include <string.h>

#include "agent/copier_internal.h"
#include "base/error.h"
#include "base/text.h"

#define TELL_US (250 * 1000)
#define HOW_MAX 200

void gw_copier_figures_clear(GwCopierFigures *figures)
{
    g_clear_pointer(&figures->digest, g_free);
    g_clear_pointer(&figures->how, g_free);
}

void gw_copier_tick(GwCopier *copier)
{
    gint64 now_us = g_get_monotonic_time();

    if (copier->watch == NULL || now_us < copier->told_us + TELL_US)
        return;
    copier->told_us = now_us;
    copier->watch->progress(copier->figures, copier->watch->user);
}

gboolean gw_copier_run(const GwCopierTask *task, int file, int other, const GwCopierWatch *watch,
                       GwCopierFigures *figures, GError **error)
{
    g_autofree guint8 *block = g_malloc(GW_COPY_BLOCK), *frame = g_malloc(GW_COPY_PAYLOAD_MAX);
    GwCopier copier = {
        .task = task, .watch = watch, .figures = figures, .block = block, .frame = frame
    };

    *figures = (GwCopierFigures){ 0 };
    switch ((GwCopierRole)task->role) {
    case GW_COPIER_SEND:
        return gw_copier_send(&copier, file, other, error);
    case GW_COPIER_RECEIVE:
        return gw_copier_receive(&copier, file, other, error);
    default:
        return gw_copier_local(&copier, file, other, error);
    }
}

/* Reports -------------------------------------------------------------------------------------- */

char *gw_copier_report_put(const char *state, const GwCopierFigures *figures, const GError *error)
{
    const GwCopierFigures *f = figures;
    g_autoptr(GwJson) json = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:b, s:s?}", "state", state, "read",
        (json_int_t)f->read, "sent", (json_int_t)f->sent, "written", (json_int_t)f->written, "same",
        (json_int_t)f->same, "total", (json_int_t)f->total, "position", (json_int_t)f->position,
        "digest", f->digest, "verified", f->verified, "how", f->how);

    if (error != NULL) {
        g_autofree char *message = gw_text_printable(error->message, GW_COPY_TEXT_MAX);
        json_object_set_new(
            json, "error",
            json_pack("{s:s, s:s, s:s?}", "code",
                      gw_error_code_word(error->domain == GW_ERROR ? (GwErrorCode)error->code
                                                                   : GW_ERR_OPERATION),
                      "message", message, "remedy", gw_error_remedy(error)));
    }
    return gw_json_text(json);
}

static gboolean get_number(const json_t *json, const char *key, guint64 *out)
{
    const json_t *value = json_object_get(json, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return FALSE;
    *out = (guint64)json_integer_value(value);
    return TRUE;
}

static const char *state_of(const json_t *json)
{
    static const char *const states[] = { "running", "done", "failed" };
    const char *said = json_string_value(json_object_get(json, "state"));

    for (guint i = 0; said != NULL && i < G_N_ELEMENTS(states); i++) {
        if (strcmp(said, states[i]) == 0)
            return states[i];
    }
    return NULL;
}

static char *text_of(const json_t *json, const char *key, gsize max)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? gw_text_printable(text, max) : NULL;
}

static void get_error(const json_t *json, GError **why)
{
    g_autofree char *message = text_of(json, "message", GW_COPY_TEXT_MAX);
    g_autofree char *remedy = text_of(json, "remedy", GW_COPY_TEXT_MAX);
    const char *code = json_string_value(json_object_get(json, "code"));

    gw_error_set(why, code != NULL ? gw_error_code_from_word(code) : GW_ERR_INTERNAL, remedy, "%s",
                 message != NULL ? message : "the copier failed and did not say why");
}

gboolean gw_copier_report_get(const char *bytes, gsize length, const char **state,
                              GwCopierFigures *figures, GError **why, GError **error)
{
    g_autoptr(GwJson) json = gw_json_parse(bytes, length, GW_COPIER_REPORT_MAX, error);
    GwCopierFigures new = { 0 };
    const char *word = json != NULL ? state_of(json) : NULL;

    if (json == NULL)
        return FALSE;
    if (word == NULL || !get_number(json, "read", &new.read) ||
        !get_number(json, "sent", &new.sent) || !get_number(json, "written", &new.written) ||
        !get_number(json, "same", &new.same) || !get_number(json, "total", &new.total) ||
        !get_number(json, "position", &new.position)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a report of a copier that says nothing");
        return FALSE;
    }
    new.digest = text_of(json, "digest", GW_COPY_DIGEST_TEXT);
    new.how = text_of(json, "how", HOW_MAX);
    new.verified = json_is_true(json_object_get(json, "verified"));
    *state = word;
    gw_copier_figures_clear(figures);
    *figures = new;
    if (strcmp(word, "failed") == 0 && why != NULL) {
        g_clear_error(why);
        get_error(json_object_get(json, "error"), why);
    }
    return TRUE;
}
