/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "records.h"

/* The records' own description drives these tests, so that a new field is tested the day it is
 * written. A failure names its seed. */
static const guint32 seeds[] = { 1, 2, 3, 7, 42, 1999, 65537, 20240229, 0x7fffffff, 0xffffffff };

#define AT(self, field, T) (*(T *)((char *)(self) + (field)->offset))

static void fill(const GwRecord *record, gpointer self, GRand *rand);

static char *random_text(GRand *rand)
{
    static const char *const pieces[] = {
        "web1", "<b>", "\"", "\\", "\n", "\t", "\xc3\xa9", "\xe6\x9d\xb1", "\xf0\x9f\x90\xa6",
        "/",    "'",   " ",
    };
    GString *text = g_string_new("x");
    for (int n = g_rand_int_range(rand, 0, 20); n > 0; n--)
        g_string_append(text, pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]);
    return g_string_free(text, FALSE);
}

static gint64 random_int(const GwField *f, GRand *rand)
{
    gboolean bounded = f->min != 0 || f->max != 0;
    gint64 max = bounded ? f->max : G_MAXINT64;

    switch (g_rand_int_range(rand, 0, 3)) {
    case 0:
        return f->min;
    case 1:
        return max;
    default:
        return MIN(f->min + (gint64)g_rand_int(rand), max);
    }
}

static int count_words(const GwEnum *e)
{
    int n = 0;
    while (e->words[n] != NULL)
        n++;
    return n;
}

static char **random_strings(GRand *rand)
{
    int n = g_rand_int_range(rand, 1, 5);
    char **strings = g_new0(char *, (gsize)n + 1);
    for (int i = 0; i < n; i++)
        strings[i] = random_text(rand);
    return strings;
}

static GPtrArray *random_array(const GwRecord *of, GRand *rand)
{
    GPtrArray *array = gw_record_array(of);
    for (int n = g_rand_int_range(rand, 1, 4); n > 0; n--) {
        gpointer item = gw_record_new(of);
        fill(of, item, rand);
        g_ptr_array_add(array, item);
    }
    return array;
}

static void fill_field(const GwField *f, gpointer self, GRand *rand)
{
    switch (f->type) {
    case GW_STRING:
        AT(self, f, char *) = random_text(rand);
        break;
    case GW_BOOL:
        AT(self, f, gboolean) = TRUE;
        break;
    case GW_INT:
        AT(self, f, gint64) = random_int(f, rand);
        break;
    case GW_DOUBLE:
        AT(self, f, double) = g_rand_double_range(rand, -1e12, 1e12);
        break;
    case GW_ENUM:
        AT(self, f, int) = g_rand_int_range(rand, 0, count_words(f->of_enum));
        break;
    case GW_STRINGS:
        AT(self, f, char **) = random_strings(rand);
        break;
    case GW_OBJECT:
        AT(self, f, gpointer) = gw_record_new(f->of);
        fill(f->of, AT(self, f, gpointer), rand);
        break;
    case GW_ARRAY:
        AT(self, f, GPtrArray *) = random_array(f->of, rand);
        break;
    }
}

/* Every field set, so that none can be forgotten on the way. */
static void fill(const GwRecord *record, gpointer self, GRand *rand)
{
    for (const GwField *f = record->fields; f->name != NULL; f++)
        fill_field(f, self, rand);
}

static gpointer filled(const GwRecord *record, guint32 seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    gpointer self = gw_record_new(record);
    fill(record, self, rand);
    g_rand_free(rand);
    return self;
}

typedef gpointer (*Decode)(const GwRecord *record, json_t *json, GError **error);

static void check_same(const GwRecord *record, gconstpointer self, gpointer again, guint32 seed)
{
    if (again == NULL || !gw_record_equal(record, self, again))
        fail_msg("%s, seed %u", record->name, seed);
    g_autoptr(GwJson) a = gw_record_to_json(record, self);
    g_autoptr(GwJson) b = gw_record_to_json(record, again);
    if (!json_equal(a, b))
        fail_msg("%s, seed %u: the JSON differs", record->name, seed);
    gw_record_free(record, again);
}

/* Through text, as the store does it; and as a copy. */
static void round_trip(const GwRecord *record, guint32 seed)
{
    gpointer self = filled(record, seed);
    g_autoptr(GwJson) json = gw_record_to_json(record, self);
    g_autofree char *text = gw_json_text(json);
    g_autoptr(GwJson) parsed = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, NULL);
    assert_non_null(parsed);

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if (json_object_get(json, f->name) == NULL)
            fail_msg("%s.%s was not encoded", record->name, f->name);
    }
    check_same(record, self, gw_record_from_json(record, parsed, NULL), seed);
    check_same(record, self, gw_record_from_stored(record, parsed, NULL), seed);
    check_same(record, self, gw_record_copy(record, self), seed);
    gw_record_free(record, self);
}

static void test_round_trip_of_every_record(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        for (guint s = 0; s < G_N_ELEMENTS(seeds); s++)
            round_trip(all_records[i], seeds[s]);
    }
}

static void test_difference_in_any_field_is_seen(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        gpointer self = filled(record, 5);
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            gpointer other = gw_record_copy(record, self);
            g_autoptr(GwJson) json = gw_record_to_json(record, other);
            json_object_del(json, f->name);
            gpointer without = gw_record_from_stored(record, json, NULL);
            gboolean zero = f->type == GW_ENUM  ? AT(self, f, int) == 0
                            : f->type == GW_INT ? AT(self, f, gint64) == 0
                                                : FALSE;
            if (without != NULL && !zero && gw_record_equal(record, self, without))
                fail_msg("%s.%s is not compared", record->name, f->name);
            gw_record_free(record, without);
            gw_record_free(record, other);
        }
        gw_record_free(record, self);
    }
}

static void test_empty_records(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        gpointer self = gw_record_new(record);
        gpointer copy = gw_record_copy(record, self);
        assert_true(gw_record_equal(record, self, copy));
        assert_false(gw_record_equal(record, self, NULL));
        gw_record_free(record, copy);
        gw_record_free(record, self);
        gw_record_free(record, NULL);
        assert_null(gw_record_copy(record, NULL));
    }
}

static void test_references_are_counted(void **state)
{
    GwDisk *disk = gw_disk_new();
    disk->target = g_strdup("vda");
    GwDisk *second = gw_record_ref(disk);
    assert_ptr_equal(second, disk);
    gw_disk_free(disk);
    assert_string_equal(second->target, "vda");
    gw_disk_free(second);
}

/* A copy shares nothing: changing and freeing one leaves the other (ASan watches). */
static void test_copies_are_independent(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        gpointer self = filled(record, 11);
        g_autoptr(GwJson) before = gw_record_to_json(record, self);
        gw_record_free(record, gw_record_copy(record, self));
        gpointer copy = gw_record_copy(record, self);
        gw_record_free(record, self);
        g_autoptr(GwJson) after = gw_record_to_json(record, copy);
        assert_true(json_equal(before, after));
        gw_record_free(record, copy);
    }
}

/* Strictness --------------------------------------------------------------------------------- */

static json_t *parse(const char *text)
{
    json_t *json = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, NULL);
    assert_non_null(json);
    return json;
}

static void refused_by(Decode decode, const GwRecord *record, json_t *json, const char *part)
{
    g_autoptr(GError) error = NULL;
    assert_null(decode(record, json, &error));
    assert_non_null(error);
    assert_int_equal(error->code, GW_ERR_INVALID);
    if (strstr(error->message, part) == NULL)
        fail_msg("'%s' is not in: %s", part, error->message);
}

static void test_wrong_types_of_every_field(void **state)
{
    static const char *const values[] = { "{}", "[]", "\"x\"", "17", "true", "null", "1.5", "[1]" };
    static const char *const fits[] = {
        [GW_STRING] = "\"x\"", [GW_BOOL] = "true",  [GW_INT] = "17",  [GW_DOUBLE] = "17 1.5",
        [GW_ENUM] = "",        [GW_STRINGS] = "[]", [GW_OBJECT] = "", [GW_ARRAY] = "[]",
    };
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            for (guint v = 0; v < G_N_ELEMENTS(values); v++) {
                g_auto(GStrv) good = g_strsplit(fits[f->type], " ", -1);
                if (g_strv_contains((const char *const *)good, values[v]))
                    continue;
                if (f->type == GW_OBJECT && strcmp(values[v], "{}") == 0)
                    continue;
                g_autoptr(GwJson) json = json_object();
                json_object_set_new(json, f->name, parse(values[v]));
                refused_by(gw_record_from_json, record, json, f->name);
                refused_by(gw_record_from_stored, record, json, f->name);
            }
        }
    }
}

static void test_not_an_object(void **state)
{
    static const char *const values[] = { "[]", "17", "null", "\"x\"", "true" };
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(GwJson) json = parse(values[i]);
        refused_by(gw_record_from_json, &gw_host_record, json, "Host must be a JSON object");
        refused_by(gw_record_from_request, &gw_host_record, json, "Host must be a JSON object");
    }
}

static void test_unknown_keys(void **state)
{
    g_autoptr(GwJson) json = parse("{\"name\": \"g\", \"nmae\": \"typo\"}");
    refused_by(gw_record_from_json, &gw_group_record, json, "'nmae'");
    refused_by(gw_record_from_request, &gw_group_record, json, "'nmae'");
    /* A newer controller's row. */
    g_autoptr(GwGroup) stored = gw_record_from_stored(&gw_group_record, json, NULL);
    assert_string_equal(stored->name, "g");

    g_autoptr(GwJson) nested = parse(
        "{\"name\": \"s\", \"members\": [{\"host_id\": \"h\", \"pool\": \"p\", \"extra\": 1}]}");
    refused_by(gw_record_from_json, &gw_share_record, nested, "members[0]: unknown field 'extra'");
    g_autoptr(GwShare) share = gw_record_from_stored(&gw_share_record, nested, NULL);
    assert_int_equal(share->members->len, 1);
}

static void test_required_keys(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            if ((f->flags & GW_REQUIRED) == 0)
                continue;
            gpointer self = filled(record, 3);
            g_autoptr(GwJson) json = gw_record_to_json(record, self);
            json_object_del(json, f->name);
            refused_by(gw_record_from_json, record, json, f->name);
            refused_by(gw_record_from_stored, record, json, f->name);
            gw_record_free(record, self);
        }
    }
}

static void test_requests_cannot_set_what_is_ours(void **state)
{
    guint tried = 0;
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        gpointer self = filled(record, 4);
        g_autoptr(GwJson) full = gw_record_to_json(record, self);
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            if ((f->flags & (GW_READ_ONLY | GW_INTERNAL)) == 0)
                continue;
            g_autoptr(GwJson) json = json_object();
            g_autoptr(GError) error = NULL;
            json_object_set(json, f->name, json_object_get(full, f->name));
            refused_by(gw_record_from_request, record, json, f->name);
            assert_false(gw_record_patch(record, self, json, &error));
            unit_assert_error(error, GW_ERR_INVALID, "cannot be set");
            tried++;
        }
        gw_record_free(record, self);
    }
    assert_true(tried >= 15);
}

static void test_bounds(void **state)
{
    static const struct {
        const char *json;
        gboolean good;
    } rows[] = {
        { "{\"uri\": \"u\", \"live_limit\": 0}", TRUE },
        { "{\"uri\": \"u\", \"live_limit\": 64}", TRUE },
        { "{\"uri\": \"u\", \"live_limit\": 65}", FALSE },
        { "{\"uri\": \"u\", \"live_limit\": -1}", FALSE },
        { "{\"uri\": \"u\", \"live_limit\": 9223372036854775807}", FALSE },
        { "{\"uri\": \"u\", \"bandwidth_mibps\": 1000001}", FALSE },
        { "{\"uri\": \"u\", \"method\": \"compression\"}", TRUE },
        { "{\"uri\": \"u\", \"method\": \"Compression\"}", FALSE },
        { "{\"uri\": \"u\", \"name\": \"tab\\tand line\\nend\"}", TRUE },
        { "{\"uri\": \"u\", \"name\": \"\\u001b[2J\"}", FALSE },
        { "{\"uri\": \"u\", \"name\": \"\\u009b2J\"}", FALSE },
        { "{\"uri\": \"u\", \"name\": \"cr\\r\"}", FALSE },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwJson) json = parse(rows[i].json);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwHost) host = gw_record_from_request(&gw_host_record, json, &error);
        if ((host != NULL) != rows[i].good)
            fail_msg("%s", rows[i].json);
        if (!rows[i].good)
            unit_assert_error(error, GW_ERR_INVALID, "'");
    }
    g_autofree char *flood = g_strnfill(300 * 1024, 'x');
    g_autoptr(GwJson) json = json_pack("{s:s}", "uri", flood);
    refused_by(gw_record_from_request, &gw_host_record, json, "256 KiB");
}

/* Whatever a host made us write, the next start must read. */
static void test_anything_stored_is_read_back(void **state)
{
    g_autoptr(GwJob) job = gw_job_new();
    job->id = g_strdup("J");
    job->kind = g_strdup("vm-migrate");
    job->vm_name = g_strdup("\xff\x1b[2J\r stray");
    job->saved_xml = g_strnfill(3 * 1024 * 1024, 'x');
    job->epoch = -5;
    job->progress = gw_progress_new();
    job->progress->eta_ms = G_MININT64;
    job->result = gw_move_result_new();
    job->result->downtime_ms = -7;

    g_autoptr(GwJson) json = gw_record_to_json(&gw_job_record, job);
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJob) again = gw_record_from_stored(&gw_job_record, json, &error);
    assert_null(error);
    assert_string_equal(again->vm_name, "\xef\xbf\xbd\x1b[2J\r stray");
    assert_string_equal(again->saved_xml, job->saved_xml);
    assert_int_equal(again->epoch, 0);
    assert_int_equal(again->progress->eta_ms, -1);
    assert_int_equal(again->result->downtime_ms, -1);
}

/* Patches ------------------------------------------------------------------------------------ */

static GwHost *some_host(void)
{
    GwHost *host = gw_host_new_default();
    host->id = g_strdup("H");
    host->name = g_strdup("kvm1");
    host->uri = g_strdup("qemu+ssh://kvm1/system");
    host->peer_uri = g_strdup("qemu+tls://kvm1/system");
    return host;
}

static void test_patch_changes_what_it_names(void **state)
{
    g_autoptr(GwHost) host = some_host();
    g_autoptr(GwJson) json = parse("{\"name\": \"kvm2\", \"live_limit\": 4, \"peer_uri\": null}");
    UNIT_OK(gw_record_patch(&gw_host_record, host, json, error));
    assert_string_equal(host->name, "kvm2");
    assert_int_equal(host->live_limit, 4);
    assert_null(host->peer_uri);
    assert_string_equal(host->id, "H");
    assert_string_equal(host->uri, "qemu+ssh://kvm1/system");
    assert_int_equal(host->storage_limit, 2);

    g_autoptr(GwJson) nothing = json_object();
    UNIT_OK(gw_record_patch(&gw_host_record, host, nothing, error));
    assert_string_equal(host->name, "kvm2");
}

static void test_patch_is_whole_or_not_at_all(void **state)
{
    static const char *const patches[] = {
        "{\"name\": \"new\", \"live_limit\": 1, \"storage_limit\": 65}",
        "{\"name\": \"new\", \"unknown\": 1}",
        "{\"name\": \"new\", \"id\": \"other\"}",
        "{\"name\": \"new\", \"uri\": null}",
        "{\"name\": \"new\", \"live_limit\": null}",
        "{\"name\": \"new\", \"method\": \"warp\"}",
        "[]",
    };
    for (guint i = 0; i < G_N_ELEMENTS(patches); i++) {
        g_autoptr(GwHost) host = some_host();
        g_autoptr(GwHost) before = gw_host_copy(host);
        g_autoptr(GwJson) json = parse(patches[i]);
        g_autoptr(GError) error = NULL;
        assert_false(gw_record_patch(&gw_host_record, host, json, &error));
        assert_non_null(error);
        assert_true(gw_record_equal(&gw_host_record, host, before));
    }
}

/* What was stored is read, however much it is. */
static void test_a_list_of_a_request_has_a_ceiling(void **state)
{
    for (int count = 256; count <= 257; count++) {
        g_autoptr(GwJson) json = json_pack("{s:[]}", "disks");
        g_autoptr(GError) error = NULL;
        for (int i = 0; i < count; i++)
            json_array_append_new(json_object_get(json, "disks"),
                                  json_pack("{s:s}", "target", "vda"));
        g_autoptr(GwStorageRequest) stored =
            gw_record_from_stored(&gw_storage_request_record, json, NULL);
        assert_int_equal(stored->disks->len, count);
        g_autoptr(GwStorageRequest) asked =
            gw_record_from_request(&gw_storage_request_record, json, &error);
        assert_int_equal(asked != NULL, count == 256);
        if (asked == NULL)
            unit_assert_error(error, GW_ERR_INVALID, "must have at most 256");
    }
    g_autoptr(GwJson) schema = gw_record_schema(&gw_move_options_record);
    json_t *disks = json_object_get(json_object_get(schema, "properties"), "disks");
    assert_int_equal(json_integer_value(json_object_get(disks, "maxItems")), 256);
    (void)state;
}

static void test_patch_of_a_list(void **state)
{
    g_autoptr(GwShare) share = filled(&gw_share_record, 8);
    g_autoptr(GwJson) half = parse("{\"members\": [{\"host_id\": \"h\"}]}");
    g_autoptr(GError) refusal = NULL;
    assert_false(gw_record_patch(&gw_share_record, share, half, &refusal));
    unit_assert_error(refusal, GW_ERR_INVALID, "members[0]: ShareMember needs 'pool'");

    g_autoptr(GwJson) whole = parse("{\"members\": [{\"host_id\": \"h\", \"pool\": \"p\"}]}");
    UNIT_OK(gw_record_patch(&gw_share_record, share, whole, error));
    assert_int_equal(share->members->len, 1);
}

/* Served forms ------------------------------------------------------------------------------- */

static void test_internal_fields_are_not_served(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        gpointer self = filled(record, 9);
        g_autoptr(GwJson) served = gw_record_to_public_json(record, self);
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            gboolean there = json_object_get(served, f->name) != NULL;
            assert_int_equal(there, (f->flags & GW_INTERNAL) == 0);
        }
        gw_record_free(record, self);
    }
    g_autoptr(GwHost) host = filled(&gw_host_record, 9);
    g_autoptr(GwJson) served = gw_record_to_public_json(&gw_host_record, host);
    assert_null(json_object_get(json_object_get(served, "facts"), "cpu_xml"));
}

static void check_property(const GwRecord *record, const GwField *f, json_t *property)
{
    if (property == NULL)
        fail_msg("%s.%s is not in the schema", record->name, f->name);
    const char *words = json_string_value(json_object_get(property, "description"));
    assert_non_null(words);
    assert_true(strlen(words) > 2);
    assert_int_equal(json_is_true(json_object_get(property, "readOnly")),
                     (f->flags & GW_READ_ONLY) != 0);
    if (f->type == GW_ENUM)
        assert_int_equal(json_array_size(json_object_get(property, "enum")),
                         count_words(f->of_enum));
}

static void test_schema_lists_all_served_fields(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++) {
        const GwRecord *record = all_records[i];
        g_autoptr(GwJson) schema = gw_record_schema(record);
        json_t *properties = json_object_get(schema, "properties");
        json_t *required = json_object_get(schema, "required");
        gsize served = 0, needed = 0;
        for (const GwField *f = record->fields; f->name != NULL; f++) {
            if ((f->flags & GW_INTERNAL) != 0)
                continue;
            served++;
            needed += (f->flags & GW_REQUIRED) != 0;
            check_property(record, f, json_object_get(properties, f->name));
        }
        assert_int_equal(json_object_size(properties), served);
        assert_int_equal(json_array_size(required), needed);
        assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
        assert_non_null(json_string_value(json_object_get(schema, "description")));
    }
    g_autoptr(GwJson) host = gw_record_schema(&gw_host_record);
    json_t *limit = json_object_get(json_object_get(host, "properties"), "live_limit");
    assert_int_equal(json_integer_value(json_object_get(limit, "minimum")), 0);
    assert_int_equal(json_integer_value(json_object_get(limit, "maximum")), 64);
}

static void test_schema_names_are_unique(void **state)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < G_N_ELEMENTS(all_records); i++)
        assert_true(g_hash_table_add(names, (gpointer)all_records[i]->name));
}

static void test_enums_and_find(void **state)
{
    assert_string_equal(gw_enum_word(&gw_vm_state_enum, GW_VM_SHUTDOWN), "shutting down");
    assert_int_equal(gw_enum_value(&gw_vm_state_enum, "suspended"), GW_VM_SUSPENDED);
    assert_int_equal(gw_enum_value(&gw_job_state_enum, "cancelled"), GW_JOB_CANCELLED);
    assert_int_equal(gw_enum_value(&gw_transfer_enum, "Live (VSM)"), GW_TRANSFER_LIVE_VSM);
    assert_int_equal(gw_enum_value(&gw_host_status_enum, "Not responding"), GW_HOST_NOT_RESPONDING);
    assert_int_equal(gw_enum_value(&gw_vm_state_enum, "no such"), -1);
    assert_int_equal(gw_enum_value(&gw_vm_state_enum, NULL), -1);
    assert_string_equal(gw_enum_word(&gw_vm_state_enum, 99), "unknown");
    assert_string_equal(gw_enum_word(&gw_vm_state_enum, -1), "unknown");

    g_autoptr(GPtrArray) disks = gw_record_array(&gw_disk_record);
    for (int i = 0; i < 3; i++) {
        GwDisk *disk = gw_disk_new();
        disk->target = g_strdup_printf("vd%c", 'a' + i);
        g_ptr_array_add(disks, disk);
    }
    assert_ptr_equal(gw_record_find(&gw_disk_record, disks, "target", "vdb"), disks->pdata[1]);
    assert_null(gw_record_find(&gw_disk_record, disks, "target", "vdz"));
    assert_null(gw_record_find(&gw_disk_record, NULL, "target", "vda"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_every_record),
        cmocka_unit_test(test_difference_in_any_field_is_seen),
        cmocka_unit_test(test_empty_records),
        cmocka_unit_test(test_references_are_counted),
        cmocka_unit_test(test_copies_are_independent),
        cmocka_unit_test(test_wrong_types_of_every_field),
        cmocka_unit_test(test_not_an_object),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_required_keys),
        cmocka_unit_test(test_requests_cannot_set_what_is_ours),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_anything_stored_is_read_back),
        cmocka_unit_test(test_patch_changes_what_it_names),
        cmocka_unit_test(test_patch_is_whole_or_not_at_all),
        cmocka_unit_test(test_a_list_of_a_request_has_a_ceiling),
        cmocka_unit_test(test_patch_of_a_list),
        cmocka_unit_test(test_internal_fields_are_not_served),
        cmocka_unit_test(test_schema_lists_all_served_fields),
        cmocka_unit_test(test_schema_names_are_unique),
        cmocka_unit_test(test_enums_and_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
