/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* A record describes a plain struct once; encoding, decoding, copying, freeing and its OpenAPI
 * schema all follow from that one description, so they cannot disagree. */

typedef struct GwRecord GwRecord;

typedef struct {
    const char *name;         /* schema name */
    const char *const *words; /* NULL-terminated; the value is the index */
} GwEnum;

typedef enum {
    GW_STRING,  /* char *, NULL encodes as absent */
    GW_BOOL,    /* gboolean */
    GW_INT,     /* gint64 */
    GW_DOUBLE,  /* double */
    GW_ENUM,    /* int, words in .of_enum */
    GW_STRINGS, /* char **, NULL-terminated; NULL encodes as [] */
    GW_OBJECT,  /* pointer to the record in .of; NULL encodes as absent */
    GW_ARRAY,   /* GPtrArray * of the record in .of; NULL encodes as [] */
} GwFieldType;

enum {
    GW_REQUIRED = 1 << 0,  /* decoding fails where it is missing */
    GW_READ_ONLY = 1 << 1, /* decoding a request refuses it (gw_record_from_request) */
    GW_INTERNAL = 1 << 2,  /* stored and decoded, but never served */
};

typedef struct {
    const char *name; /* the JSON key, which is the C member's name */
    GwFieldType type;
    gsize offset;
    const GwRecord *of;
    const GwEnum *of_enum;
    guint flags;
    gint64 min, max; /* GW_INT: inclusive bounds, both 0 for 0..G_MAXINT64. GW_ARRAY: max is how
                        many a request may have; 0: no ceiling of its own */
    const char *doc; /* one sentence, with the unit */
} GwField;

struct GwRecord {
    const char *name; /* schema name: "Vm" */
    gsize size;
    const GwField *fields; /* ends with a row whose name is NULL */
    GDestroyNotify destroy;
    const char *doc;
};

/* Records are counted, so that pictures of the fabric can share them: new gives the first
 * reference, free gives one back and frees with the last. Never allocate one in another way. */
gpointer gw_record_new(const GwRecord *record);
gpointer gw_record_ref(gpointer self);
void gw_record_free(const GwRecord *record, gpointer self);
gpointer gw_record_copy(const GwRecord *record, gconstpointer self);
gboolean gw_record_equal(const GwRecord *record, gconstpointer a, gconstpointer b);
/* @self gets all that a request may set as @from has it, and keeps the rest. */
void gw_record_take_settings(const GwRecord *record, gpointer self, gconstpointer from);

/* What is stored: every field. New reference. */
json_t *gw_record_to_json(const GwRecord *record, gconstpointer self);
/* What is served: without GW_INTERNAL fields. New reference. */
json_t *gw_record_to_public_json(const GwRecord *record, gconstpointer self);
/* Appends the same as text, without the fields that have any flag of @hidden (GW_INTERNAL: what is
 * served). For long lists: no tree is built. @self need not come from gw_record_new. */
void gw_record_write(const GwRecord *record, gconstpointer self, guint hidden, GString *out);
/* Appends @text as a JSON string. */
void gw_record_write_string(GString *out, const char *text);
/* Strict: unknown keys, wrong types, numbers out of bounds and strings with control characters
 * (other than line ends and tabs) are errors that name the key. gw_record_from_stored reads what we
 * wrote, and whatever gw_record_to_json could write: an unknown key is skipped, so that a newer
 * controller's rows can be read; a number out of bounds is clamped and a text taken as it is, since
 * some of both came from hosts, and no host may make the store unreadable. */
gpointer gw_record_from_json(const GwRecord *record, json_t *json, GError **error);
gpointer gw_record_from_stored(const GwRecord *record, json_t *json, GError **error);
/* A request's body: strict, and GW_READ_ONLY or GW_INTERNAL keys are refused. */
gpointer gw_record_from_request(const GwRecord *record, json_t *json, GError **error);
/* Changes @self by the keys present in @json (a merge of a PATCH body, RFC 7396: null takes an
 * optional text or object away; an object or a list replaces the old one), or leaves it whole. */
gboolean gw_record_patch(const GwRecord *record, gpointer self, json_t *json, GError **error);
/* The JSON schema (OpenAPI 3.1) of the served form; other records by $ref. New reference. */
json_t *gw_record_schema(const GwRecord *record);

const char *gw_enum_word(const GwEnum *e, int value);
/* -1 where @word is none of them. */
int gw_enum_value(const GwEnum *e, const char *word);

/* A GPtrArray that owns its elements. */
GPtrArray *gw_record_array(const GwRecord *record);
/* The element whose string member @key equals @value, or NULL. Belongs to @array (may be NULL). */
gpointer gw_record_find(const GwRecord *record, const GPtrArray *array, const char *key,
                        const char *value);

/* Declares TYPE's record and typed new, free and copy. */
#define GW_DECLARE_RECORD(Type, prefix)                                                            \
    extern const GwRecord prefix##_record;                                                         \
    static inline Type *prefix##_new(void)                                                         \
    {                                                                                              \
        return gw_record_new(&prefix##_record);                                                    \
    }                                                                                              \
    static inline void prefix##_free(Type *self)                                                   \
    {                                                                                              \
        gw_record_free(&prefix##_record, self);                                                    \
    }                                                                                              \
    static inline Type *prefix##_copy(const Type *self)                                            \
    {                                                                                              \
        return gw_record_copy(&prefix##_record, self);                                             \
    }                                                                                              \
    G_DEFINE_AUTOPTR_CLEANUP_FUNC(Type, prefix##_free)

/* Defines it: the field rows follow. */
#define GW_DEFINE_RECORD(Type, prefix, schema_name, text, ...)                                     \
    static void prefix##_destroy(gpointer self)                                                    \
    {                                                                                              \
        gw_record_free(&prefix##_record, self);                                                    \
    }                                                                                              \
    static const GwField prefix##_fields[] = { __VA_ARGS__, { .name = NULL } };                    \
    const GwRecord prefix##_record = { schema_name, sizeof(Type), prefix##_fields,                 \
                                       prefix##_destroy, text }

/* Rows of a field table. T is the struct, m its member. */
#define GW_F(T, m, kind, ...)                                                                      \
    {                                                                                              \
        .name = #m, .type = kind, .offset = G_STRUCT_OFFSET(T, m), __VA_ARGS__                     \
    }
