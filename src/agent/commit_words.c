/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/commit.h"

/* What the agents say to each other, as JSON; the other may say anything. */

json_t *gw_word_to_json(const GwWord *word)
{
    return json_pack("{s:{s:s, s:b, s:b}, s:I, s:b, s:b, s:b}", "seen", "side",
                     gw_side_word(word->side), "job_active", word->job_active, "persistent",
                     word->persistent, "processes", (json_int_t)word->processes, "closed",
                     word->closed, "ran", word->ran, "moved", word->moved);
}

static GwSide side_from_word(const char *word)
{
    for (int i = 0; word != NULL && i < GW_SIDE_COUNT; i++) {
        if (strcmp(word, gw_side_word((GwSide)i)) == 0)
            return (GwSide)i;
    }
    return GW_SIDE_UNKNOWN;
}

static gboolean get_bool(const json_t *json, const char *key, gboolean *out)
{
    const json_t *value = json_object_get(json, key);

    *out = json_is_true(value);
    return json_is_boolean(value);
}

GwWord gw_word_from_json(const json_t *answer)
{
    const json_t *seen = json_object_get(answer, "seen");
    const json_t *processes = json_object_get(answer, "processes");
    GwWord word = GW_WORD_UNKNOWN;

    GwSide side = side_from_word(json_string_value(json_object_get(seen, "side")));
    if (!get_bool(seen, "job_active", &word.job_active) ||
        !get_bool(seen, "persistent", &word.persistent) ||
        !get_bool(answer, "closed", &word.closed) || !get_bool(answer, "ran", &word.ran) ||
        !get_bool(answer, "moved", &word.moved) || !json_is_integer(processes))
        return GW_WORD_UNKNOWN;
    json_int_t count = json_integer_value(processes);
    word.processes = count >= 0 && count <= G_MAXINT ? count : -1;
    word.side = side;
    return word;
}
