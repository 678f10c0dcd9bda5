/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

static gboolean parses(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) json = gw_json_parse(text, strlen(text), 1000000, &error);

    assert_true((json != NULL) == (error == NULL));
    return json != NULL;
}

static char *nested(guint levels)
{
    g_autofree char *open = g_strnfill(levels, '[');
    g_autofree char *close = g_strnfill(levels, ']');
    return g_strconcat(open, close, NULL);
}

static void depth_is_bounded(void **state)
{
    g_autofree char *deepest = nested(GW_JSON_DEPTH_MAX);
    g_autofree char *deeper = nested(GW_JSON_DEPTH_MAX + 1);
    g_autofree char *abyss = nested(400000);

    assert_true(parses(deepest));
    assert_false(parses(deeper));
    assert_false(parses(abyss));
}

static void brackets_in_strings_are_no_levels(void **state)
{
    g_autofree char *brackets = g_strnfill(200, '[');
    g_autofree char *text =
        g_strdup_printf("{\"a\\\"%s\\\\\": [\"%s\", \"\\\\\"]}", brackets, brackets);

    assert_true(parses(text));
}

static void many_brothers_are_no_levels(void **state)
{
    g_autoptr(GString) text = g_string_new("[[]");
    for (int i = 0; i < 1000; i++)
        g_string_append(text, ",{}");
    g_string_append(text, "]");
    assert_true(parses(text->str));
}

static void malformed_text_is_refused(void **state)
{
    static const char *const texts[] = { "",     "{",    "}",    "[1",
                                         "\"",   "]]]]", "1 2",  "{\"a\":1,\"a\":2}",
                                         "\"\\", "nul",  "\xff", "\"\xff\"" };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_false(parses(texts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(brackets_in_strings_are_no_levels),
        cmocka_unit_test(many_brothers_are_no_levels),
        cmocka_unit_test(malformed_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
