/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every unit test begins with: cmocka with the headers it needs, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>

#include "base/error.h"

/* What share, in percent, of their random trials and moments tests go through: GODWIT_EFFORT, else
 * all. ./check goes through all of them once, and under sanitizers, which cost much, through some.
 */
static inline guint unit_effort(void)
{
    const char *text = g_getenv("GODWIT_EFFORT");
    guint64 percent = text != NULL ? g_ascii_strtoull(text, NULL, 10) : 100;
    return (guint)CLAMP(percent, 1, 100);
}

/* So many of @count, and at least one. */
static inline guint unit_trials(guint count)
{
    return MAX(1, count * unit_effort() / 100);
}

/* How far from one moment to the next where it would be @step. */
static inline gint64 unit_step(gint64 step)
{
    return step * 100 / unit_effort();
}

/* An error that a person will read: of our domain and this code, with a remedy, saying @part. */
static inline void unit_assert_error(const GError *error, GwErrorCode code, const char *part)
{
    assert_non_null(error);
    assert_non_null(part);
    if (error->domain != GW_ERROR || error->code != (int)code)
        print_error("unexpected error: %s\n", error->message);
    assert_int_equal(error->domain, GW_ERROR);
    assert_int_equal(error->code, code);
    assert_non_null(gw_error_remedy(error));
    if (strstr(error->message, part) == NULL)
        print_error("'%s' is not in: %s\n", part, error->message);
    assert_non_null(strstr(error->message, part));
}

/* For outcomes that must be good: shows the error where they are not. */
#define UNIT_OK(call_with_error)                                                                   \
    do {                                                                                           \
        g_autoptr(GError) unit_error = NULL;                                                       \
        GError **error = &unit_error;                                                              \
        if (!(call_with_error))                                                                    \
            fail_msg("%s: %s", #call_with_error,                                                   \
                     unit_error != NULL ? unit_error->message : "no error set");                   \
    } while (0)
