/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/internal.h"
#include "api/route.h"
#include "base/error.h"

/* A page is written from the picture that the call holds, while it is sent: 10,000 VMs need no more
 * memory than ten. */

#define PART (64 * 1024) /* bytes written at a time */
#define KEYS 3
#define AT_ONCE 200 /* items that are written before, so that the reply has a length */

typedef struct {
    GwFabric *fabric;
    const GwPageKind *kind;
    GPtrArray *items; /* of the page */
    guint next;
    char *cursor; /* of the next page; NULL: this is the last */
} Page;

static void page_free(gpointer data)
{
    Page *page = data;

    g_ptr_array_unref(page->items);
    gw_fabric_unref(page->fabric);
    g_free(page->cursor);
    g_free(page);
}

static gboolean page_next(gpointer data, GString *out)
{
    Page *page = data;
    gsize end = out->len + PART;

    if (page->next == 0)
        g_string_append(out, "{\"items\":[");
    for (; page->next < page->items->len && out->len < end; page->next++) {
        if (page->next > 0)
            g_string_append_c(out, ',');
        if (page->kind->write != NULL)
            page->kind->write(page->items->pdata[page->next], out);
        else
            gw_record_write(page->kind->record, page->items->pdata[page->next], GW_INTERNAL, out);
    }
    if (page->next < page->items->len)
        return TRUE;
    g_string_append_c(out, ']');
    if (page->cursor != NULL) {
        g_string_append(out, ",\"next\":");
        gw_record_write_string(out, page->cursor);
    }
    g_string_append_c(out, '}');
    return FALSE;
}

/* A cursor holds the keys of the last item that was served: what comes after it is well defined
 * also when that item has gone meanwhile. */
static char *make_cursor(const GwPageKind *kind, gconstpointer item)
{
    const char *keys[KEYS] = { NULL };
    g_autoptr(GwJson) list = json_array();

    kind->keys(item, keys);
    for (int i = 0; i < KEYS && keys[i] != NULL; i++)
        json_array_append_new(list, json_string(keys[i]));
    g_autofree char *text = gw_json_text(list);
    char *cursor = g_base64_encode((const guchar *)text, strlen(text));
    g_strdelimit(cursor, "+", '-');
    g_strdelimit(cursor, "/", '_');
    g_strdelimit(cursor, "=", '.');
    return cursor;
}

static json_t *parse_cursor(const char *cursor)
{
    g_autofree char *text = g_strdup(cursor);
    gsize length = 0;

    g_strdelimit(text, "-", '+');
    g_strdelimit(text, "_", '/');
    g_strdelimit(text, ".", '=');
    g_autofree guchar *bytes = g_base64_decode(text, &length);
    json_t *list = gw_json_parse((const char *)bytes, length, 8192, NULL);
    gboolean right =
        json_is_array(list) && json_array_size(list) >= 1 && json_array_size(list) <= KEYS;
    for (gsize i = 0; right && i < json_array_size(list); i++)
        right = json_is_string(json_array_get(list, i));
    if (right)
        return list;
    json_decref(list);
    return NULL;
}

static gboolean is_after(const GwPageKind *kind, gconstpointer item, json_t *cursor)
{
    const char *keys[KEYS] = { NULL };
    int order = 0;

    kind->keys(item, keys);
    for (gsize i = 0; i < KEYS && order == 0; i++)
        order = g_strcmp0(keys[i], json_string_value(json_array_get(cursor, i)));
    return kind->descending ? order < 0 : order > 0;
}

static gboolean read_limit(const GwCall *call, guint *limit, GError **error)
{
    const char *text = gw_call_query(call, "limit");
    guint64 value = GW_PAGE_LIMIT_DEFAULT;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 1, GW_PAGE_LIMIT_MAX, &value, NULL)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "'limit' must be a number from 1 to %d",
                     GW_PAGE_LIMIT_MAX);
        return FALSE;
    }
    *limit = (guint)value;
    return TRUE;
}

static gboolean first_index(const GwCall *call, const GwPageKind *kind, const GPtrArray *items,
                            guint *first, GError **error)
{
    const char *text = gw_call_query(call, "cursor");

    *first = 0;
    if (text == NULL)
        return TRUE;
    g_autoptr(GwJson) cursor = parse_cursor(text);
    if (cursor == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Give 'next' of the page before, or begin anew.",
                     "'cursor' is not one of this API's");
        return FALSE;
    }
    while (*first < items->len && !is_after(kind, items->pdata[*first], cursor))
        (*first)++;
    return TRUE;
}

static Page *page_new(const GwCall *call, const GwPageKind *kind, GPtrArray *items, guint first,
                      guint limit)
{
    Page *page = g_new0(Page, 1);
    guint length = MIN(limit, items->len - first);

    page->fabric = gw_fabric_ref(call->fabric);
    page->kind = kind;
    if (first + length < items->len)
        page->cursor = make_cursor(kind, items->pdata[first + length - 1]);
    page->items = g_ptr_array_ref(items);
    g_ptr_array_remove_range(items, 0, first);
    g_ptr_array_set_size(items, (int)length);
    return page;
}

static void send_page(GwCall *call, Page *page)
{
    GwReply *reply = &call->reply;

    reply->status = 200;
    reply->content_type = "application/json";
    if (page->items->len > AT_ONCE) {
        reply->stream = (GwStream){ .self = page, .next = page_next, .free = page_free };
        return;
    }
    reply->body = g_string_new(NULL);
    while (page_next(page, reply->body))
        ;
    page_free(page);
}

gboolean gw_call_answer_page(GwCall *call, const GwPageKind *kind, GPtrArray *items, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GPtrArray) owned = items;
    guint limit = 0, first = 0;

    if (!read_limit(call, &limit, error) || !first_index(call, kind, items, &first, error))
        return FALSE;
    /* Any change of the fabric changes it; computed without writing the page. */
    g_autofree char *etag = g_strdup_printf("W/\"%s-%" G_GUINT64_FORMAT "\"", call->api->instance,
                                            call->fabric->revision);
    if (gw_call_not_modified(call, etag))
        return TRUE;

    send_page(call, page_new(call, kind, items, first, limit));
    return TRUE;
}
