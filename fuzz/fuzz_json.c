/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile JSON through the parser into every record. What is accepted must survive a round trip;
 * what a PATCH refuses must leave the record as it was. */
#include <stdint.h>
#include <stdlib.h>

#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_record(const GwRecord *record, json_t *json)
{
    gpointer strict = gw_record_from_json(record, json, NULL);
    gpointer stored = gw_record_from_stored(record, json, NULL);
    gpointer request = gw_record_from_request(record, json, NULL);

    if ((strict != NULL && stored == NULL) || (request != NULL && strict == NULL))
        abort();
    if (stored != NULL) {
        g_autoptr(GwJson) again = gw_record_to_json(record, stored);
        gpointer back = gw_record_from_stored(record, again, NULL);
        if (back == NULL || !gw_record_equal(record, stored, back))
            abort();
        gw_record_free(record, back);
    }
    gw_record_free(record, strict);
    gw_record_free(record, stored);
    gw_record_free(record, request);
}

static void try_patch(const GwRecord *record, json_t *json)
{
    gpointer self = gw_record_new(record);
    gpointer before = gw_record_copy(record, self);

    if (!gw_record_patch(record, self, json, NULL) && !gw_record_equal(record, self, before))
        abort();
    gw_record_free(record, before);
    gw_record_free(record, self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GwJson) json = gw_json_parse((const char *)data, size, GW_JSON_TEXT_MAX, NULL);

    for (guint i = 0; json != NULL && i < G_N_ELEMENTS(all_records); i++) {
        try_record(all_records[i], json);
        try_patch(all_records[i], json);
    }
    return 0;
}
