/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <string.h>

#include "unit.h"

/* What tests of definitions say of XML. */

/* @text without the white space between elements, so that tests name what matters. */
static inline char *tight(char *text)
{
    GString *out = g_string_new(NULL);
    const char *at = text;

    while (*at != '\0') {
        const char *word = at + strspn(at, " \n");
        gboolean between = out->len > 0 && out->str[out->len - 1] == '>' && *word == '<';
        if (between)
            at = word;
        g_string_append_c(out, *at++);
    }
    g_free(text);
    return g_string_free(out, FALSE);
}

static inline void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        print_error("'%s' is not in: %s\n", part, text);
    assert_non_null(strstr(text, part));
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        print_error("'%s' is in: %s\n", part, text);
    assert_null(strstr(text, part));
}
