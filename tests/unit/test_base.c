/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/options.h"
#include "base/text.h"

/* Errors ------------------------------------------------------------------------------------- */

static void test_error_carries_its_remedy(void **state)
{
    g_autoptr(GError) error = NULL;
    gw_error_set(&error, GW_ERR_CONFLICT, "Choose another.", "host '%s' exists", "kvm1");
    unit_assert_error(error, GW_ERR_CONFLICT, "host 'kvm1' exists");
    assert_string_equal(gw_error_remedy(error), "Choose another.");

    /* Callers prefix where they were; copies and hand-overs keep the remedy. */
    g_prefix_error(&error, "adding: ");
    g_autoptr(GError) copy = g_error_copy(error);
    assert_string_equal(copy->message, "adding: host 'kvm1' exists");
    assert_string_equal(gw_error_remedy(copy), "Choose another.");
    g_autoptr(GError) handed = NULL;
    g_propagate_error(&handed, g_steal_pointer(&copy));
    assert_string_equal(gw_error_remedy(handed), "Choose another.");
}

static void test_error_without_remedy(void **state)
{
    g_autoptr(GError) ours = NULL;
    g_autoptr(GError) theirs = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "no such file");
    gw_error_set(&ours, GW_ERR_INTERNAL, NULL, "a defect");
    gw_error_set(NULL, GW_ERR_INTERNAL, "Nobody reads this.", "ignored");
    assert_null(gw_error_remedy(ours));
    assert_null(gw_error_remedy(theirs));
    assert_null(gw_error_remedy(NULL));
}

static void test_error_message_cannot_drive_a_terminal(void **state)
{
    g_autofree char *flood = g_strnfill(100000, 'x');
    g_autoptr(GError) error = NULL;
    gw_error_set(&error, GW_ERR_OPERATION, NULL, "host said: \x1b[2J\x07\r \xff%s", flood);
    assert_null(strchr(error->message, '\x1b'));
    assert_null(strchr(error->message, '\x07'));
    assert_null(strchr(error->message, '\r'));
    assert_true(g_utf8_validate(error->message, -1, NULL));
    assert_int_equal(g_utf8_strlen(error->message, -1), GW_TEXT_MESSAGE_MAX);
}

static void test_error_code_words(void **state)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (int code = GW_ERR_INTERNAL; code <= GW_ERR_BUSY; code++) {
        const char *word = gw_error_code_word(code);
        assert_true(g_hash_table_add(seen, (gpointer)word));
        assert_int_equal(gw_error_code_from_word(word), code);
    }
    assert_string_equal(gw_error_code_word((GwErrorCode)4711), "internal");
    assert_int_equal(gw_error_code_from_word("no such word"), GW_ERR_INTERNAL);
    assert_int_equal(gw_error_code_from_word(NULL), GW_ERR_INTERNAL);
}

/* Text --------------------------------------------------------------------------------------- */

static void check_name(const char *name, const char *refused_because)
{
    g_autoptr(GError) error = NULL;
    gboolean good = gw_text_check_name("host name", name, &error);
    assert_int_equal(good, refused_because == NULL);
    if (refused_because != NULL) {
        unit_assert_error(error, GW_ERR_INVALID, refused_because);
        assert_true(g_str_has_prefix(error->message, "host name"));
    }
}

static void test_names(void **state)
{
    g_autofree char *longest = g_strnfill(255, 'n');
    g_autofree char *too_long = g_strnfill(300, 'n');
    GString *umlauts = g_string_new(NULL);
    for (int i = 0; i < 255; i++)
        g_string_append(umlauts, "\xc3\xbc");

    check_name("kvm1", NULL);
    check_name("<b onclick='x'>R&D</b>", NULL); /* whoever prints it escapes it */
    check_name("\xe6\x9d\xb1\xe4\xba\xac rack 3", NULL);
    check_name(longest, NULL);
    check_name(umlauts->str, NULL); /* characters count, not bytes */
    check_name(NULL, "empty");
    check_name("", "empty");
    check_name(too_long, "300 characters");
    check_name("a\nb", "control");
    check_name("a\tb", "control");
    check_name("\x1b[31mred", "control");
    check_name("a\x7f", "control");
    check_name("a\xe2\x80\xae"
               "b",
               "control character");
    check_name("a\xc2\x9b"
               "31m",
               "control"); /* C1: CSI in one character */
    check_name("\xff\xfe", "UTF-8");
    check_name("\xc0\xaf", "UTF-8");
    check_name(" kvm1", "blank");
    check_name("kvm1\xc2\xa0", "blank");
    g_string_free(umlauts, TRUE);
}

static void test_printable(void **state)
{
    static const struct {
        const char *text;
        gsize max;
        const char *printable;
    } rows[] = {
        { NULL, 10, "" },
        { "", 10, "" },
        { "two\nlines\tand", 99, "two\nlines\tand" },
        { "\x1b[0m\r", 99, "\xef\xbf\xbd[0m\xef\xbf\xbd" },
        { "\xc2\x85", 9, "\xef\xbf\xbd" },
        { "\xe2\x80\xae"
          "exe.\xe2\x81\xa6",
          9,
          "\xef\xbf\xbd"
          "exe.\xef\xbf\xbd" },
        { "a\xff"
          "b",
          9,
          "a\xef\xbf\xbd"
          "b" },
        { "\xc3\xbc\xc3\xbc\xc3\xbc", 2, "\xc3\xbc\xc3\xbc" },
        { "abc", 0, "" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *printable = gw_text_printable(rows[i].text, rows[i].max);
        assert_string_equal(printable, rows[i].printable);
    }
}

static void sorted(const char *list, const char *expected)
{
    g_auto(GStrv) words = g_strsplit(list, " ", 0);

    gw_text_sort(words);
    g_autofree char *joined = g_strjoinv(" ", words);
    assert_string_equal(joined, expected);
}

static void test_sort(void **state)
{
    sorted("b a", "a b");
    sorted("b a b c a b", "a b c");
    sorted("a a a", "a");
    sorted("a", "a");
    sorted("", "");
    gw_text_sort(NULL);
    (void)state;
}

static void test_ids_sort_by_time_and_do_not_repeat(void **state)
{
    const gint64 start = G_GINT64_CONSTANT(1700000000000000);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *before = gw_text_new_id(0);

    for (int i = 0; i < 20000; i++) {
        char *id = gw_text_new_id(start + i / 100 * 1000);
        assert_int_equal(strlen(id), 26);
        assert_int_equal(strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
        /* Earlier milliseconds sort before later ones. */
        if (i % 100 == 0) {
            assert_true(strcmp(before, id) < 0);
            g_free(g_steal_pointer(&before));
            before = g_strndup(id, 10);
        }
        assert_true(g_str_has_prefix(id, before));
        assert_true(g_hash_table_add(seen, id));
    }
    g_autofree char *far = gw_text_new_id(start * 3);
    assert_true(strcmp(before, far) < 0);
}

/* JSON --------------------------------------------------------------------------------------- */

static void json_refused(const char *text, gsize length, gsize max, GwErrorCode code,
                         const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) json = gw_json_parse(text, length, max, &error);
    assert_null(json);
    unit_assert_error(error, code, part);
}

static void test_json_ceiling(void **state)
{
    g_autoptr(GwJson) at_ceiling = gw_json_parse("[1,2]", 5, 5, NULL);
    assert_int_equal(json_array_size(at_ceiling), 2);
    json_refused("[1,2]", 5, 4, GW_ERR_TOO_LARGE, "5 bytes, at most 4");
}

static void test_json_malformed(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        { "", "line 1" },
        { "{", "line 1" },
        { "{\"a\": 1, \"a\": 2}", "duplicate" },
        { "{\"a\": {\"b\": 1, \"b\": 1}}", "duplicate" },
        { "[1] trailing", "end of file" },
        { "{'a': 1}", "line 1" },
        { "[NaN]", "line 1" },
        { "[1e999]", "overflow" },
        { "[99999999999999999999]", "too big" },
        { "\"\xff\"", "unable to decode byte" },
        { "\"a\\u0000b\"", "\\u0000" },
        { "\"\\ud800\"", "invalid Unicode" },
        { "\"raw \x01 control\"", "control character" },
        { "\xef\xbb\xbf[]", "line 1" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        json_refused(rows[i].text, strlen(rows[i].text), 4096, GW_ERR_INVALID, rows[i].part);
    json_refused("[1\0]", 4, 4096, GW_ERR_INVALID, "not valid JSON");
}

static void test_json_deep_nesting(void **state)
{
    enum { DEEP = 500000 };
    g_autofree char *lists = g_strnfill(DEEP, '[');
    json_refused(lists, DEEP, GW_JSON_TEXT_MAX, GW_ERR_INVALID, "more than 64 levels");

    GString *objects = g_string_new(NULL);
    for (int i = 0; i < 100000; i++)
        g_string_append(objects, "{\"a\":");
    json_refused(objects->str, objects->len, GW_JSON_TEXT_MAX, GW_ERR_INVALID,
                 "more than 64 levels");
    g_string_free(objects, TRUE);
}

static void test_json_text(void **state)
{
    const char *source = "{\"z\": [1, true],\n \"a\": null}";
    g_autoptr(GwJson) json = gw_json_parse(source, strlen(source), 99, NULL);
    g_autofree char *line = gw_json_text(json);
    g_autofree char *pretty = gw_json_pretty(json);
    assert_string_equal(line, "{\"z\":[1,true],\"a\":null}");
    assert_string_equal(pretty, "{\n  \"z\": [\n    1,\n    true\n  ],\n  \"a\": null\n}\n");
    g_autoptr(GwJson) word = gw_json_parse("\"w\"", 3, 99, NULL);
    g_autofree char *text = gw_json_text(word);
    assert_string_equal(text, "\"w\"");
}

static void test_json_load(void **state)
{
    g_autoptr(GError) error = NULL;
    assert_null(gw_json_load("/nonexistent/fabric.json", &error));
    unit_assert_error(error, GW_ERR_INVALID, "/nonexistent/fabric.json");
    g_clear_error(&error);

    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("godwit-json-XXXXXX", &path, NULL);
    assert_true(fd >= 0);
    g_close(fd, NULL);
    assert_true(g_file_set_contents(path, "{\"a\": }", -1, NULL));
    assert_null(gw_json_load(path, &error));
    unit_assert_error(error, GW_ERR_INVALID, path);
    assert_true(g_file_set_contents(path, "{\"a\": 1}", -1, NULL));
    g_autoptr(GwJson) json = gw_json_load(path, NULL);
    assert_int_equal(json_integer_value(json_object_get(json, "a")), 1);
    g_unlink(path);
}

/* Options ------------------------------------------------------------------------------------ */

static gboolean parse_words(const char *words, int *port, GError **error)
{
    const GOptionEntry entries[] = { { "port", 0, 0, G_OPTION_ARG_INT, port, "Port", "PORT" },
                                     G_OPTION_ENTRY_NULL };
    g_autoptr(GOptionContext) context = g_option_context_new("- test");
    g_auto(GStrv) owned = g_strsplit(words, " ", 0);
    g_autofree char **argv = g_memdup2(owned, (g_strv_length(owned) + 1) * sizeof *owned);
    char **at = argv;
    int argc = (int)g_strv_length(owned);

    g_option_context_add_main_entries(context, entries, NULL);
    return gw_options_parse(context, "program --help", &argc, &at, error);
}

static void test_options_words(void **state)
{
    static const char *const wrong[][2] = {
        { "program --prot 1", "--prot; see program --help" },
        { "program --port x", "; see program --help" },
        { "program --port 1 more", "unexpected 'more'; see program --help" },
    };
    int port = 0;

    UNIT_OK(parse_words("program --port 8447", &port, error));
    assert_int_equal(port, 8447);
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(parse_words(wrong[i][0], &port, &error));
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
        assert_non_null(strstr(error->message, wrong[i][1]));
    }
}

static void test_options_file(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("godwit-options-XXXXXX", &path, NULL);

    assert_true(fd >= 0);
    close(fd);
    assert_true(g_file_set_contents(path, "[agent]\nport=9000\n", -1, NULL));
    g_autoptr(GKeyFile) file = gw_options_load(path, &error);
    assert_null(error);
    assert_int_equal(g_key_file_get_integer(file, "agent", "port", NULL), 9000);

    assert_true(g_file_set_contents(path, "port=9000\n", -1, NULL));
    assert_null(gw_options_load(path, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    assert_true(g_str_has_prefix(error->message, path)); /* whoever reads it knows which file */
    g_clear_error(&error);

    /* There need not be one. */
    assert_int_equal(g_remove(path), 0);
    g_autoptr(GKeyFile) none = gw_options_load(path, &error);
    assert_non_null(none);
    assert_null(error);
    g_auto(GStrv) groups = g_key_file_get_groups(none, NULL);
    assert_null(groups[0]);

    /* But what is there must be readable. */
    assert_null(gw_options_load(g_get_tmp_dir(), &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_carries_its_remedy),
        cmocka_unit_test(test_error_without_remedy),
        cmocka_unit_test(test_error_message_cannot_drive_a_terminal),
        cmocka_unit_test(test_error_code_words),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_ids_sort_by_time_and_do_not_repeat),
        cmocka_unit_test(test_json_ceiling),
        cmocka_unit_test(test_json_malformed),
        cmocka_unit_test(test_json_deep_nesting),
        cmocka_unit_test(test_json_text),
        cmocka_unit_test(test_json_load),
        cmocka_unit_test(test_options_words),
        cmocka_unit_test(test_options_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
