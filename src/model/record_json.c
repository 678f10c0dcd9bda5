/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/record_internal.h"

#include <string.h>

#include "base/error.h"

/* Records as JSON: written, read from whoever sent it, and described. */

#define STRING_MAX (256 * 1024) /* bytes of one string value */
#define STORED_STRING_MAX                                                                          \
    (16 * 1024 * 1024)    /* the same in what we wrote: XML of a host among it                     \
                           */
#define ARRAY_MAX 1000000 /* elements of one list */

typedef enum {
    LENIENT = 1 << 0, /* ours: skip unknown keys, clamp numbers, take any text */
    REQUEST = 1 << 1, /* refuse read-only keys */
    PARTIAL = 1 << 2, /* required keys may be missing */
} DecodeMode;

/* Encoding ------------------------------------------------------------------------------- */

static json_t *encode(const GwRecord *record, gconstpointer self, guint hidden);

/* What a host says may be any bytes; a string that cannot be stored would go missing silently. */
static json_t *encode_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string_nocheck(valid);
}

static json_t *encode_field(const GwField *f, gconstpointer self, guint hidden)
{
    switch (f->type) {
    case GW_STRING: {
        const char *text = MEMBER_CONST(self, f, char *);
        return text != NULL ? encode_text(text) : NULL;
    }
    case GW_BOOL:
        return json_boolean(MEMBER_CONST(self, f, gboolean));
    case GW_INT:
        return json_integer(MEMBER_CONST(self, f, gint64));
    case GW_DOUBLE:
        return json_real(MEMBER_CONST(self, f, double));
    case GW_ENUM:
        return json_string(gw_enum_word(f->of_enum, MEMBER_CONST(self, f, int)));
    case GW_STRINGS: {
        json_t *list = json_array();
        char **words = MEMBER_CONST(self, f, char **);
        for (guint i = 0; words != NULL && words[i] != NULL; i++)
            json_array_append_new(list, encode_text(words[i]));
        return list;
    }
    case GW_OBJECT: {
        gconstpointer inner = MEMBER_CONST(self, f, gpointer);
        return inner != NULL ? encode(f->of, inner, hidden) : NULL;
    }
    case GW_ARRAY: {
        json_t *list = json_array();
        const GPtrArray *array = MEMBER_CONST(self, f, GPtrArray *);
        for (guint i = 0; array != NULL && i < array->len; i++)
            json_array_append_new(list, encode(f->of, array->pdata[i], hidden));
        return list;
    }
    }
    return NULL;
}

static json_t *encode(const GwRecord *record, gconstpointer self, guint hidden)
{
    json_t *object = json_object();

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if ((f->flags & hidden) != 0)
            continue;
        json_t *value = encode_field(f, self, hidden);
        if (value != NULL)
            json_object_set_new_nocheck(object, f->name, value);
    }
    return object;
}

json_t *gw_record_to_json(const GwRecord *record, gconstpointer self)
{
    return encode(record, self, 0);
}

json_t *gw_record_to_public_json(const GwRecord *record, gconstpointer self)
{
    return encode(record, self, GW_INTERNAL);
}

/* Decoding ------------------------------------------------------------------------------- */

static gpointer decode(const GwRecord *record, json_t *json, guint mode, GError **error);

static gboolean wrong_type(const GwField *f, const char *wanted, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, f->doc, "'%s' must be %s", f->name, wanted);
    return FALSE;
}

/* Line ends and tabs are text; what else drives a terminal is not. */
static gboolean has_control(const char *text)
{
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        if (g_unichar_iscntrl(g_utf8_get_char(p)) && *p != '\n' && *p != '\t')
            return TRUE;
    }
    return FALSE;
}

static gboolean check_text(const GwField *f, json_t *json, guint mode, GError **error)
{
    gboolean lenient = (mode & LENIENT) != 0;

    if (!json_is_string(json))
        return wrong_type(f, "a string", error);
    if (json_string_length(json) > (lenient ? STORED_STRING_MAX : STRING_MAX) ||
        strlen(json_string_value(json)) != json_string_length(json)) {
        return wrong_type(f, "a string under 256 KiB without NUL", error);
    }
    if (!lenient && has_control(json_string_value(json)))
        return wrong_type(f, "a string without control characters", error);
    return TRUE;
}

static gboolean decode_int(const GwField *f, json_t *json, guint mode, gint64 *out, GError **error)
{
    gboolean bounded = f->min != 0 || f->max != 0;
    gint64 min = bounded ? f->min : 0;
    gint64 max = bounded ? f->max : G_MAXINT64;

    if (!json_is_integer(json))
        return wrong_type(f, "an integer", error);
    gint64 value = json_integer_value(json);
    if ((value < min || value > max) && (mode & LENIENT) == 0) {
        gw_error_set(error, GW_ERR_INVALID, f->doc,
                     "'%s' is %" G_GINT64_FORMAT ", must be from %" G_GINT64_FORMAT
                     " to %" G_GINT64_FORMAT,
                     f->name, value, min, max);
        return FALSE;
    }
    *out = CLAMP(value, min, max);
    return TRUE;
}

static gboolean decode_enum(const GwField *f, json_t *json, int *out, GError **error)
{
    int value = json_is_string(json) ? gw_enum_value(f->of_enum, json_string_value(json)) : -1;

    if (value < 0) {
        g_autofree char *words = g_strjoinv(", ", (char **)f->of_enum->words);
        g_autofree char *wanted = g_strdup_printf("one of: %s", words);
        return wrong_type(f, wanted, error);
    }
    *out = value;
    return TRUE;
}

static gboolean decode_strings(const GwField *f, json_t *json, guint mode, char ***out,
                               GError **error)
{
    if (!json_is_array(json) || json_array_size(json) > ARRAY_MAX)
        return wrong_type(f, "a list of strings", error);

    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (gsize i = 0; i < json_array_size(json); i++) {
        json_t *item = json_array_get(json, i);
        if (!check_text(f, item, mode, error))
            return FALSE;
        g_strv_builder_add(builder, json_string_value(item));
    }
    *out = g_strv_builder_end(builder);
    return TRUE;
}

static gboolean decode_array(const GwField *f, json_t *json, guint mode, GPtrArray **out,
                             GError **error)
{
    if (!json_is_array(json) || json_array_size(json) > ARRAY_MAX)
        return wrong_type(f, "a list", error);
    if (f->max > 0 && (gint64)json_array_size(json) > f->max && (mode & LENIENT) == 0) {
        gw_error_set(error, GW_ERR_INVALID, f->doc,
                     "'%s' has %" G_GSIZE_FORMAT " elements, must have at most %" G_GINT64_FORMAT,
                     f->name, json_array_size(json), f->max);
        return FALSE;
    }

    g_autoptr(GPtrArray) array = gw_record_array(f->of);
    for (gsize i = 0; i < json_array_size(json); i++) {
        gpointer item = decode(f->of, json_array_get(json, i), mode & ~PARTIAL, error);
        if (item == NULL) {
            g_prefix_error(error, "%s[%" G_GSIZE_FORMAT "]: ", f->name, i);
            return FALSE;
        }
        g_ptr_array_add(array, item);
    }
    *out = g_steal_pointer(&array);
    return TRUE;
}

/* Replaces one member; on an error it keeps what it had. */
static gboolean decode_field(const GwField *f, gpointer self, json_t *json, guint mode,
                             GError **error)
{
    switch (f->type) {
    case GW_STRING:
        if (!check_text(f, json, mode, error))
            return FALSE;
        gw_record_clear_field(f, self);
        MEMBER(self, f, char *) = g_strdup(json_string_value(json));
        return TRUE;
    case GW_BOOL:
        if (!json_is_boolean(json))
            return wrong_type(f, "true or false", error);
        MEMBER(self, f, gboolean) = json_is_true(json);
        return TRUE;
    case GW_INT:
        return decode_int(f, json, mode, &MEMBER(self, f, gint64), error);
    case GW_DOUBLE:
        if (!json_is_number(json))
            return wrong_type(f, "a number", error);
        MEMBER(self, f, double) = json_number_value(json);
        return TRUE;
    case GW_ENUM:
        return decode_enum(f, json, &MEMBER(self, f, int), error);
    case GW_STRINGS: {
        char **strings = NULL;
        if (!decode_strings(f, json, mode, &strings, error))
            return FALSE;
        gw_record_clear_field(f, self);
        MEMBER(self, f, char **) = strings;
        return TRUE;
    }
    case GW_OBJECT: {
        gpointer inner = decode(f->of, json, mode & ~PARTIAL, error);
        if (inner == NULL) {
            g_prefix_error(error, "%s: ", f->name);
            return FALSE;
        }
        gw_record_clear_field(f, self);
        MEMBER(self, f, gpointer) = inner;
        return TRUE;
    }
    case GW_ARRAY: {
        GPtrArray *array = NULL;
        if (!decode_array(f, json, mode, &array, error))
            return FALSE;
        gw_record_clear_field(f, self);
        MEMBER(self, f, GPtrArray *) = array;
        return TRUE;
    }
    }
    return FALSE;
}

static gboolean decode_key(const GwRecord *record, gpointer self, const char *key, json_t *value,
                           guint mode, GError **error)
{
    const GwField *f = gw_record_field(record, key);

    if (f == NULL) {
        if ((mode & LENIENT) != 0)
            return TRUE;
        gw_error_set(error, GW_ERR_INVALID, "Remove the field, or check its spelling.",
                     "unknown field '%s' in %s", key, record->name);
        return FALSE;
    }
    if ((mode & REQUEST) != 0 && (f->flags & (GW_READ_ONLY | GW_INTERNAL)) != 0) {
        gw_error_set(error, GW_ERR_INVALID, "Remove the field.", "'%s' of %s cannot be set",
                     f->name, record->name);
        return FALSE;
    }
    if (json_is_null(value) && (mode & PARTIAL) != 0 && (f->flags & GW_REQUIRED) == 0 &&
        (f->type == GW_STRING || f->type == GW_OBJECT)) {
        gw_record_clear_field(f, self);
        return TRUE;
    }
    return decode_field(f, self, value, mode, error);
}

static gboolean decode_into(const GwRecord *record, gpointer self, json_t *json, guint mode,
                            GError **error)
{
    const char *key = NULL;
    json_t *value = NULL;

    if (!json_is_object(json)) {
        gw_error_set(error, GW_ERR_INVALID, "Send its fields in braces: {…}.",
                     "%s must be a JSON object", record->name);
        return FALSE;
    }
    json_object_foreach (json, key, value) {
        if (!decode_key(record, self, key, value, mode, error))
            return FALSE;
    }
    for (const GwField *f = record->fields; f->name != NULL && (mode & PARTIAL) == 0; f++) {
        if ((f->flags & GW_REQUIRED) != 0 && json_object_get(json, f->name) == NULL) {
            gw_error_set(error, GW_ERR_INVALID, f->doc, "%s needs '%s'", record->name, f->name);
            return FALSE;
        }
    }
    return TRUE;
}

static gpointer decode(const GwRecord *record, json_t *json, guint mode, GError **error)
{
    gpointer self = gw_record_new(record);

    if (!decode_into(record, self, json, mode, error)) {
        gw_record_free(record, self);
        return NULL;
    }
    return self;
}

gpointer gw_record_from_json(const GwRecord *record, json_t *json, GError **error)
{
    return decode(record, json, 0, error);
}

gpointer gw_record_from_stored(const GwRecord *record, json_t *json, GError **error)
{
    return decode(record, json, LENIENT, error);
}

gpointer gw_record_from_request(const GwRecord *record, json_t *json, GError **error)
{
    return decode(record, json, REQUEST, error);
}

gboolean gw_record_patch(const GwRecord *record, gpointer self, json_t *json, GError **error)
{
    gpointer trial = gw_record_copy(record, self);

    if (!decode_into(record, trial, json, REQUEST | PARTIAL, error)) {
        gw_record_free(record, trial);
        return FALSE;
    }
    /* They change places: what @self held goes with the trial. */
    g_autofree char *held = g_memdup2(self, record->size);
    memcpy(self, trial, record->size);
    memcpy(trial, held, record->size);
    gw_record_free(record, trial);
    return TRUE;
}

/* Schema --------------------------------------------------------------------------------- */

static json_t *reference(const GwRecord *record)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", record->name);
}

static json_t *int_schema(const GwField *f)
{
    json_t *schema = json_pack("{s:s,s:s,s:I}", "type", "integer", "format", "int64", "minimum",
                               (json_int_t)f->min);
    gboolean bounded = f->min != 0 || f->max != 0;

    if (bounded && f->max != G_MAXINT64)
        json_object_set_new(schema, "maximum", json_integer(f->max));
    return schema;
}

static json_t *array_schema(const GwField *f)
{
    json_t *schema = json_pack("{s:s,s:o}", "type", "array", "items", reference(f->of));

    if (f->max > 0)
        json_object_set_new(schema, "maxItems", json_integer(f->max));
    return schema;
}

static json_t *field_schema(const GwField *f)
{
    switch (f->type) {
    case GW_STRING:
        return json_pack("{s:s}", "type", "string");
    case GW_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case GW_INT:
        return int_schema(f);
    case GW_DOUBLE:
        return json_pack("{s:s}", "type", "number");
    case GW_ENUM: {
        json_t *words = json_array();
        for (int i = 0; f->of_enum->words[i] != NULL; i++)
            json_array_append_new(words, json_string(f->of_enum->words[i]));
        return json_pack("{s:s,s:o}", "type", "string", "enum", words);
    }
    case GW_STRINGS:
        return json_pack("{s:s,s:{s:s}}", "type", "array", "items", "type", "string");
    case GW_OBJECT:
        return json_pack("{s:[o]}", "allOf", reference(f->of));
    case GW_ARRAY:
        return array_schema(f);
    }
    return json_object();
}

json_t *gw_record_schema(const GwRecord *record)
{
    json_t *properties = json_object();
    json_t *required = json_array();

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if ((f->flags & GW_INTERNAL) != 0)
            continue;
        json_t *schema = field_schema(f);
        json_object_set_new(schema, "description", json_string(f->doc));
        if ((f->flags & GW_READ_ONLY) != 0)
            json_object_set_new(schema, "readOnly", json_true());
        json_object_set_new(properties, f->name, schema);
        if ((f->flags & GW_REQUIRED) != 0)
            json_array_append_new(required, json_string(f->name));
    }
    return json_pack("{s:s,s:s,s:o,s:o,s:b}", "type", "object", "description", record->doc,
                     "properties", properties, "required", required, "additionalProperties", 0);
}
