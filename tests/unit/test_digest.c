/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/digest.h"

#define MIB (1024 * 1024)

static char *digest_of(const guint8 *data, gsize length, gsize piece)
{
    g_autoptr(GwDigest) digest = gw_digest_new();

    for (gsize at = 0; at < length; at += piece)
        gw_digest_update(digest, data + at, MIN(piece, length - at));
    assert_int_equal(gw_digest_length(digest), length);
    return gw_digest_finish(digest);
}

static char *digest_of_zeros(guint64 length)
{
    g_autoptr(GwDigest) digest = gw_digest_new();

    gw_digest_zeros(digest, length);
    assert_int_equal(gw_digest_length(digest), length);
    return gw_digest_finish(digest);
}

static guint8 *pattern(gsize length)
{
    guint8 *data = g_malloc(length);

    for (gsize i = 0; i < length; i++)
        data[i] = (guint8)(i * 7 + i / 251);
    return data;
}

/* Computed by another implementation of BLAKE2b. */
static void is_as_described(void **state)
{
    g_autofree char *none = digest_of(NULL, 0, 1);
    g_autofree char *abc = digest_of((const guint8 *)"abc", 3, 3);
    g_autofree char *zeros = digest_of_zeros(MIB);
    g_autofree char *more = digest_of_zeros(3 * MIB + 5);
    g_autofree guint8 *data = pattern(2 * MIB + 17);
    g_autofree char *mixed = digest_of(data, 2 * MIB + 17, MIB);

    assert_string_equal(none,
                        "blake2b:0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    assert_string_equal(abc,
                        "blake2b:f6674caaed0b83eae0ae556b6c7d45a12463413a4822152989a0c78c9428f4f3");
    assert_string_equal(zeros,
                        "blake2b:17836e1ad3e6b310afd84ca98acc7db488700832a2ba565d060ae2ef49b0e8f3");
    assert_string_equal(more,
                        "blake2b:27f668988f9917e00003f4b0d3e2e77b6c524226a758b14690054798072b3403");
    assert_string_equal(mixed,
                        "blake2b:b0cc6b00d715b22fd36882ce305993bec23fc21896387ba3136573a12cbd733e");
}

static void pieces_do_not_matter(void **state)
{
    static const gsize pieces[] = { 1000, 65536, MIB - 1, MIB, MIB + 1, 3 * MIB };
    const gsize length = 2 * MIB + 4711;
    g_autofree guint8 *data = pattern(length);
    g_autofree char *whole = digest_of(data, length, length);

    for (gsize i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_autofree char *digest = digest_of(data, length, pieces[i]);
        assert_string_equal(digest, whole);
    }
}

/* A hole anywhere is the same as zeros that are there. */
static void holes_are_zeros(void **state)
{
    static const gsize cuts[][2] = { { 0, 5 },           { 17, 3 * MIB },     { MIB, MIB },
                                     { MIB - 1, 2 },     { 5, MIB - 5 },      { MIB + 9, 3 * MIB },
                                     { 0, 5 * MIB - 2 }, { 2 * MIB, 2 * MIB } };
    const gsize length = 5 * MIB - 2;

    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        gsize start = cuts[i][0];
        gsize end = MIN(start + cuts[i][1], length);
        g_autofree guint8 *data = pattern(length);
        memset(data + start, 0, end - start);
        g_autofree char *there = digest_of(data, length, 123457);

        g_autoptr(GwDigest) digest = gw_digest_new();
        gw_digest_update(digest, data, start);
        gw_digest_zeros(digest, end - start);
        gw_digest_update(digest, data + end, length - end);
        g_autofree char *hole = gw_digest_finish(digest);
        assert_string_equal(hole, there);
    }
}

static void any_difference_shows(void **state)
{
    g_autofree guint8 *data = pattern(MIB + 1);
    g_autofree char *before = digest_of(data, MIB + 1, MIB);
    g_autofree char *shorter = digest_of(data, MIB, MIB);

    data[MIB] ^= 1;
    g_autofree char *after = digest_of(data, MIB + 1, MIB);
    assert_string_not_equal(before, after);
    assert_string_not_equal(before, shorter);
    /* Zeros are counted, not passed over. */
    g_autofree char *one = digest_of_zeros(MIB);
    g_autofree char *two = digest_of_zeros(2 * MIB);
    assert_string_not_equal(one, two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_as_described),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(holes_are_zeros),
        cmocka_unit_test(any_difference_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
