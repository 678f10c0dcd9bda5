/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "client/sse.h"
#include "client/transfer.h"

/* All events of @text, fed @step bytes at a time, as "id|type|data;". */
static char *events_of(const char *text, gsize step)
{
    GString *out = g_string_new(NULL);
    GwSse sse;

    gw_sse_init(&sse);
    for (gsize i = 0; i < strlen(text); i += step)
        assert_true(gw_sse_feed(&sse, text + i, MIN(step, strlen(text) - i)));
    for (GwStreamEvent *e = NULL; (e = g_queue_pop_head(&sse.events)) != NULL;) {
        g_string_append_printf(out, "%s|%s|%s;", e->id != NULL ? e->id : "", e->type, e->data);
        gw_stream_event_free(e);
    }
    gw_sse_clear(&sse);
    return g_string_free(out, FALSE);
}

static void test_sse(void **state)
{
    static const char *const rows[][2] = {
        { "data: x\n\n", "|message|x;" },
        { "id: 7\nevent: job\ndata: {}\n\n", "7|job|{};" },
        { "id: 7\r\nevent: job\r\ndata: {}\r\n\r\n", "7|job|{};" },
        { "id: 7\revent: job\rdata: {}\r\r", "7|job|{};" },
        { "\xef\xbb\xbf"
          "data: bom\n\n",
          "|message|bom;" },
        { ": comment\n\ndata:a\ndata: b\ndata:  c\n\n", "|message|a\nb\n c;" },
        { "event: job\n\ndata: x\n\n", "|message|x;" },
        { "id: 1\ndata: a\n\ndata: b\n\n", "1|message|a;1|message|b;" },
        { "id: 1\ndata: a\n\nid\ndata: b\n\n", "1|message|a;|message|b;" },
        { "data\n\n", "|message|;" },
        { "nonsense\nfield: x\ndata: y\n\n", "|message|y;" },
        { "data: unfinished\n", "" },
        { "id: b\x01"
          "ad\ndata: x\n\n",
          "|message|x;" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (gsize step = 1; step <= 9; step++) {
            g_autofree char *events = events_of(rows[i][0], step);
            assert_string_equal(events, rows[i][1]);
        }
    }
}

static void test_sse_ceilings(void **state)
{
    g_autofree char *megabyte = g_strnfill(1024 * 1024, 'x');
    GwSse sse;

    gw_sse_init(&sse); /* one line without end */
    assert_true(gw_sse_feed(&sse, megabyte, 1024 * 1024));
    assert_false(gw_sse_feed(&sse, megabyte, 1024 * 1024));
    gw_sse_clear(&sse);

    gw_sse_init(&sse); /* one event of lines without end */
    gboolean fine = TRUE;
    for (guint i = 0; fine && i < 300; i++)
        fine = gw_sse_feed(&sse, "data: ", 6) && gw_sse_feed(&sse, megabyte, 8192) &&
               gw_sse_feed(&sse, "\n", 1);
    assert_false(fine);
    assert_true(sse.data->len <= GW_SSE_EVENT_MAX);
    gw_sse_clear(&sse);

    gw_sse_init(&sse); /* events that nobody takes */
    fine = TRUE;
    for (guint i = 0; fine && i <= GW_SSE_QUEUE_MAX; i++)
        fine = gw_sse_feed(&sse, "data: x\n\n", 9);
    assert_false(fine);
    gw_sse_clear(&sse);
}

static void test_sse_restart(void **state)
{
    GwSse sse;

    gw_sse_init(&sse);
    const char cut[] = "id: 5\ndata: a\n\nid: 6\nevent: vm\ndata: ha";
    assert_true(gw_sse_feed(&sse, cut, strlen(cut)));
    gw_sse_restart(&sse);
    assert_string_equal(sse.id, "6");
    assert_true(gw_sse_feed(&sse, "data: b\n\n", 9));
    assert_int_equal(g_queue_get_length(&sse.events), 2);
    GwStreamEvent *second = g_queue_peek_tail(&sse.events);
    assert_string_equal(second->data, "b");
    assert_string_equal(second->type, "message");
    gw_sse_clear(&sse);
}

static void test_problem(void **state)
{
    static const struct {
        int status;
        const char *type;
        const char *text;
        GwErrorCode code;
        const char *message;
        const char *remedy;
    } rows[] = {
        { 422, "application/problem+json",
          "{\"code\":\"refused\",\"detail\":\"no\",\"remedy\":\"do\"}", GW_ERR_REFUSED, "no",
          "do" },
        { 404, "application/problem+json", "{\"title\":\"gone\"}", GW_ERR_NOT_FOUND, "gone", NULL },
        { 409, "application/json", "{}", GW_ERR_CONFLICT, "the controller answered 409", NULL },
        { 500, "application/problem+json", "{\"code\":\"nonsense\",\"detail\":7}", GW_ERR_INTERNAL,
          "the controller answered 500", NULL },
        { 503, "text/html", "<h1>", GW_ERR_UNREACHABLE,
          "the controller answered 503 (text/html): <h1>",
          "Check that --server names a Godwit controller and not another service." },
        { 401, "", "", GW_ERR_UNAUTHORIZED, "the controller answered 401 (no content type): ",
          "Check that the token file (--token-file) holds a token of this controller." },
        { 400, "application/json", "[1]", GW_ERR_INVALID,
          "the controller answered 400 (application/json): [1]",
          "Check that --server names a Godwit controller and not another service." },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        G_GNUC_UNUSED g_autoptr(GwJson) problem = gw_problem_read(
            rows[i].status, rows[i].type, rows[i].text, strlen(rows[i].text), &error);
        assert_true(g_error_matches(error, GW_ERROR, (int)rows[i].code));
        assert_string_equal(error->message, rows[i].message);
        if (rows[i].remedy == NULL)
            assert_null(gw_error_remedy(error));
        else
            assert_string_equal(gw_error_remedy(error), rows[i].remedy);
    }
}

static void test_segment(void **state)
{
    static const char *const rows[][2] = {
        { "web1", "web1" }, { "a/b", "a%2Fb" },           { "..", "%2E%2E" },
        { ".", "%2E" },     { "a?b#c", "a%3Fb%23c" },     { "a%2Fb", "a%252Fb" },
        { "ü", "%C3%BC" },  { "a b\r\n", "a%20b%0D%0A" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *segment = gw_client_segment(rows[i][0]);
        assert_string_equal(segment, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sse),         cmocka_unit_test(test_sse_ceilings),
        cmocka_unit_test(test_sse_restart), cmocka_unit_test(test_problem),
        cmocka_unit_test(test_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
