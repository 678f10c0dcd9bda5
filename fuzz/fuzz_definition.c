/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain XML all the way: read, judged by every rule, and rewritten without a loss. */
#include <stdint.h>
#include <stdlib.h>

#include "domain_checks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    GwDomainTally tally = { 0 };
    g_autofree char *wrong = gw_check_domain(text, &tally);

    if (wrong != NULL) {
        g_printerr("%s\n", wrong);
        abort();
    }
    return 0;
}
