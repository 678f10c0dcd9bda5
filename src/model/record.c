/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/record_internal.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"

const char *gw_enum_word(const GwEnum *e, int value)
{
    for (int i = 0; e->words[i] != NULL; i++) {
        if (i == value)
            return e->words[i];
    }
    return "unknown";
}

int gw_enum_value(const GwEnum *e, const char *word)
{
    for (int i = 0; word != NULL && e->words[i] != NULL; i++) {
        if (strcmp(e->words[i], word) == 0)
            return i;
    }
    return -1;
}

/* The count stands before the record, at the alignment malloc promises. */
typedef union {
    gatomicrefcount refs;
    max_align_t align;
} Header;

static Header *header_of(gpointer self)
{
    return (Header *)self - 1;
}

gpointer gw_record_new(const GwRecord *record)
{
    Header *header = g_malloc0(sizeof(Header) + record->size);
    g_atomic_ref_count_init(&header->refs);
    return header + 1;
}

gpointer gw_record_ref(gpointer self)
{
    g_atomic_ref_count_inc(&header_of(self)->refs);
    return self;
}

GPtrArray *gw_record_array(const GwRecord *record)
{
    return g_ptr_array_new_with_free_func(record->destroy);
}

const GwField *gw_record_field(const GwRecord *record, const char *name)
{
    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

gpointer gw_record_find(const GwRecord *record, const GPtrArray *array, const char *key,
                        const char *value)
{
    const GwField *field = gw_record_field(record, key);

    g_return_val_if_fail(field != NULL && field->type == GW_STRING, NULL);
    for (guint i = 0; array != NULL && i < array->len; i++) {
        if (g_strcmp0(MEMBER(array->pdata[i], field, char *), value) == 0)
            return array->pdata[i];
    }
    return NULL;
}

void gw_record_clear_field(const GwField *f, gpointer self)
{
    switch (f->type) {
    case GW_STRING:
        g_clear_pointer(&MEMBER(self, f, char *), g_free);
        break;
    case GW_STRINGS:
        g_clear_pointer(&MEMBER(self, f, char **), g_strfreev);
        break;
    case GW_OBJECT:
        gw_record_free(f->of, MEMBER(self, f, gpointer));
        MEMBER(self, f, gpointer) = NULL;
        break;
    case GW_ARRAY:
        g_clear_pointer(&MEMBER(self, f, GPtrArray *), g_ptr_array_unref);
        break;
    case GW_BOOL:
    case GW_INT:
    case GW_DOUBLE:
    case GW_ENUM:
        break;
    }
}

void gw_record_free(const GwRecord *record, gpointer self)
{
    if (self == NULL || !g_atomic_ref_count_dec(&header_of(self)->refs))
        return;
    for (const GwField *f = record->fields; f->name != NULL; f++)
        gw_record_clear_field(f, self);
    g_free(header_of(self));
}

static GPtrArray *copy_array(const GwRecord *of, const GPtrArray *array)
{
    if (array == NULL)
        return NULL;
    GPtrArray *copy = gw_record_array(of);
    for (guint i = 0; i < array->len; i++)
        g_ptr_array_add(copy, gw_record_copy(of, array->pdata[i]));
    return copy;
}

gpointer gw_record_copy(const GwRecord *record, gconstpointer self)
{
    if (self == NULL)
        return NULL;
    gpointer copy = gw_record_new(record);
    memcpy(copy, self, record->size);

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if (f->type == GW_STRING)
            MEMBER(copy, f, char *) = g_strdup(MEMBER_CONST(self, f, char *));
        else if (f->type == GW_STRINGS)
            MEMBER(copy, f, char **) = g_strdupv(MEMBER_CONST(self, f, char **));
        else if (f->type == GW_OBJECT)
            MEMBER(copy, f, gpointer) = gw_record_copy(f->of, MEMBER_CONST(self, f, gpointer));
        else if (f->type == GW_ARRAY)
            MEMBER(copy, f, GPtrArray *) = copy_array(f->of, MEMBER_CONST(self, f, GPtrArray *));
    }
    return copy;
}

static gsize member_size(const GwField *f)
{
    switch (f->type) {
    case GW_BOOL:
        return sizeof(gboolean);
    case GW_INT:
        return sizeof(gint64);
    case GW_DOUBLE:
        return sizeof(double);
    case GW_ENUM:
        return sizeof(int);
    default:
        return sizeof(gpointer);
    }
}

void gw_record_take_settings(const GwRecord *record, gpointer self, gconstpointer from)
{
    gpointer copy = gw_record_copy(record, from);

    /* They change places: what @self held goes with the copy. */
    for (const GwField *f = record->fields; f->name != NULL; f++) {
        char held[sizeof(gint64)];
        gsize size = member_size(f);
        if ((f->flags & (GW_READ_ONLY | GW_INTERNAL)) != 0)
            continue;
        g_assert(size <= sizeof held);
        memcpy(held, G_STRUCT_MEMBER_P(self, f->offset), size);
        memcpy(G_STRUCT_MEMBER_P(self, f->offset), G_STRUCT_MEMBER_P(copy, f->offset), size);
        memcpy(G_STRUCT_MEMBER_P(copy, f->offset), held, size);
    }
    gw_record_free(record, copy);
}

static gboolean arrays_equal(const GwRecord *of, const GPtrArray *a, const GPtrArray *b)
{
    guint length_a = a != NULL ? a->len : 0;
    guint length_b = b != NULL ? b->len : 0;

    if (length_a != length_b)
        return FALSE;
    for (guint i = 0; i < length_a; i++) {
        if (!gw_record_equal(of, a->pdata[i], b->pdata[i]))
            return FALSE;
    }
    return TRUE;
}

static gboolean strings_equal(char **a, char **b)
{
    static const char *const none[] = { NULL };
    return g_strv_equal(a != NULL ? (const char *const *)a : none,
                        b != NULL ? (const char *const *)b : none);
}

static gboolean fields_equal(const GwField *f, gconstpointer a, gconstpointer b)
{
    switch (f->type) {
    case GW_STRING:
        return g_strcmp0(MEMBER_CONST(a, f, char *), MEMBER_CONST(b, f, char *)) == 0;
    case GW_BOOL:
        return !MEMBER_CONST(a, f, gboolean) == !MEMBER_CONST(b, f, gboolean);
    case GW_INT:
        return MEMBER_CONST(a, f, gint64) == MEMBER_CONST(b, f, gint64);
    case GW_DOUBLE:
        return memcmp(&MEMBER_CONST(a, f, double), &MEMBER_CONST(b, f, double), sizeof(double)) ==
               0;
    case GW_ENUM:
        return MEMBER_CONST(a, f, int) == MEMBER_CONST(b, f, int);
    case GW_STRINGS:
        return strings_equal(MEMBER_CONST(a, f, char **), MEMBER_CONST(b, f, char **));
    case GW_OBJECT:
        return gw_record_equal(f->of, MEMBER_CONST(a, f, gpointer), MEMBER_CONST(b, f, gpointer));
    case GW_ARRAY:
        return arrays_equal(f->of, MEMBER_CONST(a, f, GPtrArray *),
                            MEMBER_CONST(b, f, GPtrArray *));
    }
    return FALSE;
}

gboolean gw_record_equal(const GwRecord *record, gconstpointer a, gconstpointer b)
{
    if (a == NULL || b == NULL)
        return a == b;
    for (const GwField *f = record->fields; f->name != NULL; f++) {
        if (!fields_equal(f, a, b))
            return FALSE;
    }
    return TRUE;
}
