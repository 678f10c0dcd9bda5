/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/shape_host.h"

#include <string.h>

#include "plan/vports.h"

/* What rules do not see of a host, or not as it is. A field that is not named here counts whole: so
 * does one that is added later, until somebody shows that no rule looks at it. */
typedef enum {
    COUNTS,
    LEFT_OUT,
    WHETHER, /* a number: only whether there is any */
    ADDRESS, /* a URI: that it is remote, and how, but not where */
    ROOM,    /* of an HBA: how many more it can carry */
} Use;

typedef struct {
    const GwRecord *record;
    const char *field;
    Use use;
} FieldUse;

static const FieldUse uses[] = {
    { &gw_host_record, "id", LEFT_OUT },
    { &gw_host_record, "name", LEFT_OUT },
    { &gw_host_record, "uri", ADDRESS },
    { &gw_host_record, "peer_uri", ADDRESS },
    { &gw_host_record, "group_id", LEFT_OUT },
    { &gw_host_record, "migration_address", LEFT_OUT },
    { &gw_host_record, "live_limit", WHETHER },
    { &gw_host_record, "storage_limit", WHETHER },
    { &gw_host_record, "live_in_use", LEFT_OUT },
    { &gw_host_record, "storage_in_use", LEFT_OUT },
    { &gw_host_record, "cpu_reserve_percent", LEFT_OUT },
    { &gw_host_record, "memory_reserve_kib", LEFT_OUT },
    { &gw_host_record, "disk_reserve_bytes", LEFT_OUT },
    { &gw_host_record, "status_reason", LEFT_OUT },
    { &gw_host_record, "status_remedy", LEFT_OUT },
    { &gw_host_record, "last_seen", LEFT_OUT },
    { &gw_host_record, "agent_certificate_serial", LEFT_OUT },
    { &gw_host_record, "agent_certificate_expires_at", LEFT_OUT },
    { &gw_host_facts_record, "host_uuid", LEFT_OUT }, /* unless two hosts claim it */
    { &gw_host_facts_record, "hostname", LEFT_OUT },
    { &gw_host_facts_record, "cpu_xml", LEFT_OUT }, /* with its counters; rules read vm_cpus */
    { &gw_host_facts_record, "memory_kib", WHETHER },
    { &gw_host_facts_record, "free_memory_kib", LEFT_OUT },
    { &gw_host_facts_record, "usage", LEFT_OUT },
    { &gw_pool_record, "capacity_bytes", WHETHER },
    { &gw_pool_record, "available_bytes", LEFT_OUT },
    { &gw_hba_record, "wwnn", LEFT_OUT },
    { &gw_hba_record, "wwpn", LEFT_OUT },
    { &gw_hba_record, "max_vports", ROOM },
    { &gw_hba_record, "vports", LEFT_OUT },
    { &gw_agent_facts_record, "boot_id", LEFT_OUT },
    { &gw_agent_facts_record, "clock_offset_ms", LEFT_OUT },
    { &gw_agent_facts_record, "certificate_serial", LEFT_OUT },
    { &gw_agent_facts_record, "certificate_expires_at", LEFT_OUT },
    { &gw_agent_facts_record, "resident_bytes", LEFT_OUT },
    { &gw_agent_facts_record, "sessions", LEFT_OUT },
    { &gw_agent_facts_record, "streams", LEFT_OUT },
    { &gw_agent_facts_record, "interfaces", LEFT_OUT },
    { &gw_agent_facts_record, "links", LEFT_OUT },
    { &gw_agent_facts_record, "warnings", LEFT_OUT },
    { &gw_file_system_record, "capacity_bytes", LEFT_OUT },
    { &gw_file_system_record, "available_bytes", LEFT_OUT },
};

/* The fields of a record that count, and how; ends with a row whose field is NULL. */
typedef struct Step Step;
struct Step {
    const GwField *field;
    Use use;
    Step *of; /* the steps of objects and arrays */
};

struct GwHostShape {
    Step *steps;
    guint8 *bytes;
    gsize length, size;
    const char *id; /* of the host that is being written */
};

static Use use_of(const GwRecord *record, const GwField *field)
{
    for (guint i = 0; i < G_N_ELEMENTS(uses); i++) {
        if (uses[i].record == record && strcmp(uses[i].field, field->name) == 0)
            return uses[i].use;
    }
    return COUNTS;
}

/* No record of a host's holds another of its own kind. */
static Step *steps_of(const GwRecord *record)
{
    GArray *steps = g_array_new(TRUE, TRUE, sizeof(Step));

    for (const GwField *f = record->fields; f->name != NULL; f++) {
        Step step = { .field = f, .use = use_of(record, f) };
        if (step.use == LEFT_OUT)
            continue;
        if (f->type == GW_OBJECT || f->type == GW_ARRAY)
            step.of = steps_of(f->of);
        g_array_append_val(steps, step);
    }
    return (Step *)(gpointer)g_array_free(steps, FALSE);
}

static void free_steps(Step *steps)
{
    for (Step *s = steps; s->field != NULL; s++) {
        if (s->of != NULL)
            free_steps(s->of);
    }
    g_free(steps);
}

GwHostShape *gw_host_shape_new(void)
{
    GwHostShape *shape = g_new0(GwHostShape, 1);

    shape->steps = steps_of(&gw_host_record);
    shape->size = 4096;
    shape->bytes = g_malloc(shape->size);
    return shape;
}

void gw_host_shape_free(GwHostShape *shape)
{
    if (shape == NULL)
        return;
    free_steps(shape->steps);
    g_free(shape->bytes);
    g_free(shape);
}

/* What follows tells its own end, so that no two hosts are written alike that are not ------------
 */

static void grow(GwHostShape *out, gsize length)
{
    out->size = 2 * out->size + length;
    out->bytes = g_realloc(out->bytes, out->size);
}

static inline void put(GwHostShape *out, gconstpointer bytes, gsize length)
{
    if (G_UNLIKELY(out->size - out->length < length))
        grow(out, length);
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static inline void put_byte(GwHostShape *out, guint8 byte)
{
    put(out, &byte, sizeof(byte));
}

static inline void put_number(GwHostShape *out, gint64 number)
{
    put(out, &number, sizeof(number));
}

static inline void put_text(GwHostShape *out, const char *text)
{
    put_byte(out, text != NULL);
    if (text != NULL)
        put(out, text, strlen(text) + 1);
}

static void put_words(GwHostShape *out, char *const *words)
{
    for (guint i = 0; words != NULL && words[i] != NULL; i++)
        put_text(out, words[i]);
    put_byte(out, 0);
}

/* The first @length bytes of @text; below 0: none. */
static void put_piece(GwHostShape *out, const char *text, gssize length)
{
    put_number(out, length);
    if (length > 0)
        put(out, text, (gsize)length);
}

/* Where the address in @uri begins, and how long it is; 0: it has none that is surely one. */
static gsize find_address(const char *uri, const char **begin)
{
    const char *authority = strstr(uri, "://");
    gsize length = authority != NULL ? strcspn(authority + 3, "/?#") : 0;
    const char *at = length > 0 ? memchr(authority + 3, '@', length) : NULL;

    if (length == 0)
        return 0;
    *begin = at != NULL ? at + 1 : authority + 3;
    length = (gsize)(authority + 3 + length - *begin);
    gboolean six = **begin == '[';
    *begin += six;
    gsize count = 0;
    while (count + six < length &&
           (g_ascii_isalnum((*begin)[count]) || strchr(six ? ":.%" : "-._", (*begin)[count])))
        count++;
    char after = (*begin)[count];
    return six ? (after == ']' ? count : 0)
               : (after == '\0' || strchr(":/?#", after) != NULL ? count : 0);
}

/* An agent's URI ends with the host's id. */
static void put_address(GwHostShape *out, const char *uri)
{
    const char *begin = NULL;
    gsize length = uri != NULL ? find_address(uri, &begin) : 0;
    const char *rest = length > 0 ? begin + length : uri;
    const char *id =
        rest != NULL && out->id != NULL && *out->id != '\0' ? strstr(rest, out->id) : NULL;

    put_piece(out, uri, length > 0 ? begin - uri : -1);
    put_piece(out, rest, id != NULL ? id - rest : -1);
    put_text(out, id != NULL ? id + strlen(out->id) : rest);
}

#define MEMBER(self, field, T) (*(T const *)((const char *)(self) + (field)->offset))

static void put_record(GwHostShape *out, const Step *steps, gconstpointer self);

static void put_array(GwHostShape *out, const Step *steps, const GPtrArray *array)
{
    for (guint i = 0; array != NULL && i < array->len; i++) {
        put_byte(out, 1);
        put_record(out, steps, array->pdata[i]);
    }
    put_byte(out, 0);
}

static void put_whole(GwHostShape *out, const Step *s, gconstpointer self)
{
    gconstpointer object = NULL;

    switch (s->field->type) {
    case GW_STRING:
        put_text(out, MEMBER(self, s->field, char *));
        break;
    case GW_BOOL:
        put_byte(out, MEMBER(self, s->field, gboolean) != 0);
        break;
    case GW_INT:
        put_number(out, MEMBER(self, s->field, gint64));
        break;
    case GW_DOUBLE:
        put(out, &MEMBER(self, s->field, double), sizeof(double));
        break;
    case GW_ENUM:
        put(out, &MEMBER(self, s->field, int), sizeof(int));
        break;
    case GW_STRINGS:
        put_words(out, MEMBER(self, s->field, char **));
        break;
    case GW_OBJECT:
        object = MEMBER(self, s->field, gpointer);
        put_byte(out, object != NULL);
        if (object != NULL)
            put_record(out, s->of, object);
        break;
    case GW_ARRAY:
        put_array(out, s->of, MEMBER(self, s->field, GPtrArray *));
        break;
    }
}

static void put_record(GwHostShape *out, const Step *steps, gconstpointer self)
{
    for (const Step *s = steps; s->field != NULL; s++) {
        if (s->use == COUNTS)
            put_whole(out, s, self);
        else if (s->use == WHETHER)
            put_byte(out, MEMBER(self, s->field, gint64) > 0);
        else if (s->use == ADDRESS)
            put_address(out, MEMBER(self, s->field, char *));
        else if (s->use == ROOM)
            put_number(out, gw_plan_hba_room(self));
    }
}

gconstpointer gw_host_shape_bytes(GwHostShape *shape, const GwHost *host, gboolean own_uuid,
                                  const GPtrArray *words, gsize *length)
{
    shape->length = 0;
    shape->id = host->id;
    put_record(shape, shape->steps, host);
    put_text(shape, own_uuid && host->facts != NULL ? host->facts->host_uuid : NULL);
    for (guint i = 0; words != NULL && i < words->len; i++)
        put_text(shape, words->pdata[i]);
    *length = shape->length;
    return shape->bytes;
}
