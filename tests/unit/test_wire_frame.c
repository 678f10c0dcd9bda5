/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "wire/frame.h"

/* What docs/agent-protocol.md and frame.h say of each type. */
static const struct {
    GwFrameType type;
    guint32 shortest, longest;
    gboolean of_session;
} types[] = {
    { GW_FRAME_HELLO, 2, GW_FRAME_OPEN_MAX, TRUE },
    { GW_FRAME_OPEN, 6, GW_FRAME_OPEN_MAX, FALSE },
    { GW_FRAME_OPENED, 4, 4, FALSE },
    { GW_FRAME_REFUSED, 2, GW_FRAME_OPEN_MAX, FALSE },
    { GW_FRAME_DATA, 1, GW_FRAME_DATA_MAX, FALSE },
    { GW_FRAME_CREDIT, 4, 4, FALSE },
    { GW_FRAME_END, 0, 0, FALSE },
    { GW_FRAME_RESET, 2, GW_FRAME_OPEN_MAX, FALSE },
    { GW_FRAME_CALL, 2, GW_FRAME_TEXT_MAX, FALSE },
    { GW_FRAME_ANSWER, 2, GW_FRAME_TEXT_MAX, FALSE },
    { GW_FRAME_NOTICE, 2, GW_FRAME_TEXT_MAX, TRUE },
    { GW_FRAME_PING, 8, 8, TRUE },
    { GW_FRAME_PONG, 8, 8, TRUE },
    { GW_FRAME_BYE, 2, GW_FRAME_OPEN_MAX, TRUE },
};

static gboolean passes(GwFrameType type, guint32 id, guint32 length, int *code)
{
    g_autoptr(GError) error = NULL;
    guint8 header[GW_FRAME_HEADER];
    GwFrame frame = { 0 };

    gw_frame_put(header, (GwFrame){ type, id, length });
    gboolean passed = gw_frame_get(header, &frame, &error);
    assert_true(passed == (error == NULL));
    if (passed) {
        assert_int_equal(frame.type, type);
        assert_int_equal(frame.id, id);
        assert_int_equal(frame.length, length);
    } else {
        assert_int_equal(frame.type, 0); /* not written */
        *code = error->code;
    }
    return passed;
}

static void test_every_type_and_bound(void **state)
{
    assert_int_equal(G_N_ELEMENTS(types), GW_FRAME_TYPES - 1);
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        guint32 id = types[i].of_session ? 0 : 0x01020304, other = types[i].of_session ? 1 : 0;
        guint32 low = types[i].shortest, high = types[i].longest;
        int code = 0;

        assert_true(passes(types[i].type, id, low, &code));
        assert_true(passes(types[i].type, id, high, &code));
        assert_false(passes(types[i].type, id, high + 1, &code));
        assert_int_equal(code, low == high ? GW_ERR_INVALID : GW_ERR_TOO_LARGE);
        assert_false(passes(types[i].type, id, G_MAXUINT32, &code));
        if (low > 0)
            assert_false(passes(types[i].type, id, low - 1, &code));
        assert_false(passes(types[i].type, other, low, &code));
        assert_string_not_equal(gw_frame_word(types[i].type), "unknown");
    }
}

static void test_unknown_types(void **state)
{
    for (guint type = 0; type < 256; type++) {
        gboolean known = type >= 1 && type < GW_FRAME_TYPES;
        guint8 header[GW_FRAME_HEADER] = { (guint8)type };
        GwFrame frame = { 0 };

        if (!known) {
            assert_false(gw_frame_get(header, &frame, NULL));
            assert_string_equal(gw_frame_word(type), "unknown");
        }
    }
}

static void test_reserved_bytes(void **state)
{
    for (guint at = 1; at < 4; at++) {
        guint8 header[GW_FRAME_HEADER];
        GwFrame frame = { 0 };

        gw_frame_put(header, (GwFrame){ GW_FRAME_END, 7, 0 });
        assert_true(gw_frame_get(header, &frame, NULL));
        header[at] = 1;
        assert_false(gw_frame_get(header, &frame, NULL));
    }
}

static void test_layout(void **state)
{
    static const guint8 wanted[GW_FRAME_HEADER] = { 5, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0x12, 0x34 };
    guint8 header[GW_FRAME_HEADER];

    gw_frame_put(header, (GwFrame){ GW_FRAME_DATA, 0x01020304, 0x1234 });
    assert_memory_equal(header, wanted, sizeof wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_and_bound),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_reserved_bytes),
        cmocka_unit_test(test_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
