/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "cli/session.h"

static int append(void *user, unsigned char *bytes, size_t length)
{
    g_string_append_len(user, (const char *)bytes, (gssize)length);
    return 1;
}

/* Plain only where every YAML reader, of 1.1 as of 1.2, takes it for a string: begins with a letter
 * or a slash, has nothing but harmless characters, and is no word with a meaning. */
static gboolean may_be_plain(const char *text)
{
    static const char *const words[] = { "y",     "n",  "yes", "no",   "true",
                                         "false", "on", "off", "null", NULL };
    g_autofree char *lower = g_ascii_strdown(text, -1);

    if (!g_ascii_isalpha(*text) && *text != '/')
        return FALSE;
    for (const char *p = text; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && strchr("/._-+@ ", *p) == NULL)
            return FALSE;
    }
    return text[strlen(text) - 1] != ' ' && !g_strv_contains(words, lower);
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
    yaml_emitter_emit(emitter, event);
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, gboolean plain)
{
    yaml_event_t event;

    yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                 plain, !plain,
                                 plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, json_t *json);

static void emit_object(yaml_emitter_t *emitter, json_t *json)
{
    yaml_event_t event;
    const char *key = NULL;
    json_t *value = NULL;

    yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    emit(emitter, &event);
    json_object_foreach (json, key, value) {
        emit_scalar(emitter, key, may_be_plain(key));
        emit_value(emitter, value);
    }
    yaml_mapping_end_event_initialize(&event);
    emit(emitter, &event);
}

static void emit_array(yaml_emitter_t *emitter, json_t *json)
{
    yaml_event_t event;

    yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    emit(emitter, &event);
    for (gsize i = 0; i < json_array_size(json); i++)
        emit_value(emitter, json_array_get(json, i));
    yaml_sequence_end_event_initialize(&event);
    emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, json_t *json)
{
    if (json_is_object(json)) {
        emit_object(emitter, json);
    } else if (json_is_array(json)) {
        emit_array(emitter, json);
    } else if (json_is_string(json)) {
        const char *text = json_string_value(json);
        emit_scalar(emitter, text, may_be_plain(text));
    } else {
        g_autofree char *text = gw_json_text(json); /* numbers, true, false, null */
        emit_scalar(emitter, text, TRUE);
    }
}

char *gw_yaml_text(json_t *json)
{
    GString *text = g_string_new(NULL);
    yaml_emitter_t emitter;
    yaml_event_t event;

    yaml_emitter_initialize(&emitter);
    yaml_emitter_set_output(&emitter, append, text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&emitter, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0);
    emit(&emitter, &event);
    emit_value(&emitter, json);
    yaml_document_end_event_initialize(&event, 1);
    emit(&emitter, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&emitter, &event);
    yaml_emitter_flush(&emitter);
    yaml_emitter_delete(&emitter);
    return g_string_free(text, FALSE);
}
