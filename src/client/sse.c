/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/sse.h"

#include <string.h>

#define ID_MAX 256 /* bytes; an id goes back in a header */

void gw_stream_event_free(GwStreamEvent *event)
{
    if (event == NULL)
        return;
    g_free(event->id);
    g_free(event->type);
    g_free(event->data);
    g_free(event);
}

void gw_sse_init(GwSse *sse)
{
    *sse = (GwSse){ .line = g_string_new(NULL), .data = g_string_new(NULL), .first_line = TRUE };
    g_queue_init(&sse->events);
}

void gw_sse_restart(GwSse *sse)
{
    g_string_truncate(sse->line, 0);
    g_string_truncate(sse->data, 0);
    g_clear_pointer(&sse->type, g_free);
    sse->after_cr = FALSE;
    sse->first_line = TRUE;
}

void gw_sse_clear(GwSse *sse)
{
    g_string_free(sse->line, TRUE);
    g_string_free(sse->data, TRUE);
    g_free(sse->type);
    g_free(sse->id);
    g_queue_clear_full(&sse->events, (GDestroyNotify)gw_stream_event_free);
}

static gboolean dispatch(GwSse *sse)
{
    if (sse->data->len == 0) {
        g_clear_pointer(&sse->type, g_free);
        return TRUE;
    }
    if (g_queue_get_length(&sse->events) >= GW_SSE_QUEUE_MAX)
        return FALSE;

    GwStreamEvent *event = g_new0(GwStreamEvent, 1);
    g_string_truncate(sse->data, sse->data->len - 1); /* the newline after its last line */
    event->data = g_strndup(sse->data->str, sse->data->len);
    event->type = sse->type != NULL ? g_steal_pointer(&sse->type) : g_strdup("message");
    event->id = g_strdup(sse->id);
    g_queue_push_tail(&sse->events, event);
    g_string_truncate(sse->data, 0);
    return TRUE;
}

/* The id returns in a request header: one that could break out of it is no id. */
static gboolean usable_id(const char *value)
{
    gsize length = strlen(value);

    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isprint(value[i]))
            return FALSE;
    }
    return length <= ID_MAX;
}

static gboolean set_field(GwSse *sse, const char *field, const char *value)
{
    if (strcmp(field, "data") == 0) {
        if (sse->data->len + strlen(value) >= GW_SSE_EVENT_MAX)
            return FALSE;
        g_string_append(sse->data, value);
        g_string_append_c(sse->data, '\n');
    } else if (strcmp(field, "event") == 0) {
        g_free(sse->type);
        sse->type = g_strdup(value);
    } else if (strcmp(field, "id") == 0 && usable_id(value)) {
        g_free(sse->id);
        sse->id = g_strdup(value);
    } else if (strcmp(field, "retry") == 0) {
        guint64 ms = 0;
        if (g_ascii_string_to_unsigned(value, 10, 0, 3600 * 1000, &ms, NULL))
            sse->retry_ms = (guint)ms;
    }
    return TRUE;
}

static gboolean end_line(GwSse *sse)
{
    char *line = sse->line->str;
    gboolean fine = TRUE;

    if (sse->first_line && g_str_has_prefix(line, "\xef\xbb\xbf"))
        line += 3;
    sse->first_line = FALSE;
    if (*line == '\0') {
        fine = dispatch(sse);
    } else if (*line != ':') {
        char *value = strchr(line, ':');
        if (value != NULL) {
            *value++ = '\0';
            value += *value == ' ';
        }
        fine = set_field(sse, line, value != NULL ? value : "");
    }
    g_string_truncate(sse->line, 0);
    return fine;
}

gboolean gw_sse_feed(GwSse *sse, const char *bytes, gsize length)
{
    for (gsize i = 0; i < length; i++) {
        char c = bytes[i];
        gboolean pair = c == '\n' && sse->after_cr; /* the second half of CR LF */

        sse->after_cr = c == '\r';
        if (pair)
            continue;
        if (c == '\n' || c == '\r') {
            if (!end_line(sse))
                return FALSE;
        } else if (c != '\0') {
            if (sse->line->len >= GW_SSE_EVENT_MAX)
                return FALSE;
            g_string_append_c(sse->line, c);
        }
    }
    return TRUE;
}
