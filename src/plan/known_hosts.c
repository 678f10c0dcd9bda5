/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/known_hosts.h"

#include <string.h>

#include "plan/rule.h"

/* Records do not change once they are published: what was read of one holds for as long as a
 * picture has it. A list of candidates of 1,000 hosts then looks at 1,000 small entries, not at all
 * there is to know of each host, and at each of 10,000 VMs. */

/* More are left from hosts as they were once. */
#define SHAPES_PER_HOST 8
#define SHAPE_BYTES_MAX (64 * 1024 * 1024)

/* The bytes of a shape, and its number. */
typedef struct {
    gconstpointer bytes;
    gsize length;
    guint hash, number;
} Shape;

typedef struct {
    GwHost *host; /* a reference */
    guint shape;
    guint round;     /* when it was seen last */
    GHashTable *vms; /* whose these are; a reference; NULL: not read */
    GArray *marks;   /* guint32: what the VMs are called, and where their disks are */
} Entry;

struct GwKnownHosts {
    gboolean kept; /* for other pictures, too: VMs are worth reading */
    guint round;
    GHashTable *hosts;  /* GwHost -> Entry */
    GHashTable *shapes; /* Shape */
    gsize shape_bytes;  /* of theirs */
    GHashTable *twice;  /* UUIDs of machines that several hosts claim to be; borrowed from them */
    gboolean dropped;   /* hosts were, since it was made */
    GwHostShape *writer;
};

/* Eight bytes at a time: a shape has some hundred. */
static guint hash_bytes(gconstpointer bytes, gsize length)
{
    guint64 hash = length, word = 0;

    for (gsize i = 0; i < length; i += sizeof(word)) {
        word = 0;
        memcpy(&word, (const guint8 *)bytes + i, MIN(length - i, sizeof(word)));
        hash = (hash ^ word) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (guint)hash;
}

static guint hash_text(gconstpointer text)
{
    return hash_bytes(text, strlen(text));
}

static guint hash_of_shape(gconstpointer shape)
{
    return ((const Shape *)shape)->hash;
}

static gboolean equal_shapes(gconstpointer pa, gconstpointer pb)
{
    const Shape *a = pa, *b = pb;
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void free_shape(gpointer data)
{
    Shape *shape = data;

    g_free((gpointer)shape->bytes);
    g_free(shape);
}

static void free_entry(gpointer data)
{
    Entry *entry = data;

    gw_host_free(entry->host);
    g_clear_pointer(&entry->vms, g_hash_table_unref);
    g_clear_pointer(&entry->marks, g_array_unref);
    g_free(entry);
}

static GwKnownHosts *known_new(gboolean kept)
{
    GwKnownHosts *known = g_new0(GwKnownHosts, 1);

    known->kept = kept;
    known->hosts = g_hash_table_new_full(NULL, NULL, NULL, free_entry);
    known->shapes = g_hash_table_new_full(hash_of_shape, equal_shapes, free_shape, NULL);
    known->twice = g_hash_table_new(hash_text, g_str_equal);
    known->writer = gw_host_shape_new();
    return known;
}

GwKnownHosts *gw_known_hosts_new(void)
{
    return known_new(TRUE);
}

GwKnownHosts *gw_known_hosts_for_once(void)
{
    return known_new(FALSE);
}

void gw_known_hosts_free(GwKnownHosts *known)
{
    if (known == NULL)
        return;
    g_hash_table_unref(known->twice);
    g_hash_table_unref(known->hosts);
    g_hash_table_unref(known->shapes);
    gw_host_shape_free(known->writer);
    g_free(known);
}

static guint number_of(GwKnownHosts *known, const GwHost *host)
{
    Shape shape = { 0 };

    shape.bytes = gw_host_shape_bytes(known->writer, host, FALSE, NULL, &shape.length);
    shape.hash = hash_bytes(shape.bytes, shape.length);
    const Shape *same = g_hash_table_lookup(known->shapes, &shape);
    if (same != NULL)
        return same->number;
    Shape *own = g_memdup2(&shape, sizeof(shape));
    own->bytes = g_memdup2(shape.bytes, shape.length);
    own->number = g_hash_table_size(known->shapes);
    known->shape_bytes += shape.length;
    g_hash_table_add(known->shapes, own);
    return own->number;
}

/* Two entries of one machine are told from two machines by it. */
static void find_twice(GwKnownHosts *known, const GwFabric *fabric)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(hash_text, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        char *uuid = gw_plan_facts(value)->host_uuid;
        if (uuid != NULL && !g_hash_table_add(seen, uuid))
            g_hash_table_add(known->twice, uuid);
    }
}

static gboolean has_gone(gpointer host, gpointer entry, gpointer known)
{
    (void)host;
    return ((const Entry *)entry)->round != ((const GwKnownHosts *)known)->round;
}

/* Whether there is anything new. */
static gboolean look_at(GwKnownHosts *known, GwHost *host)
{
    Entry *entry = g_hash_table_lookup(known->hosts, host);
    gboolean is_new = entry == NULL;

    if (is_new) {
        entry = g_new0(Entry, 1);
        entry->host = gw_record_ref(host);
        entry->shape = number_of(known, host);
        g_hash_table_insert(known->hosts, host, entry);
    }
    entry->round = known->round;
    return is_new;
}

void gw_known_look(GwKnownHosts *known, const GwFabric *fabric)
{
    guint count = g_hash_table_size(fabric->hosts);
    gboolean changed = FALSE;
    GHashTableIter iter;
    gpointer host;

    if (g_hash_table_size(known->shapes) > SHAPES_PER_HOST * (count + 1) ||
        known->shape_bytes > SHAPE_BYTES_MAX) {
        known->shape_bytes = 0;
        g_hash_table_remove_all(known->twice);
        g_hash_table_remove_all(known->hosts);
        g_hash_table_remove_all(known->shapes);
    }
    known->round++;
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host))
        changed |= look_at(known, host);
    changed |= g_hash_table_size(known->hosts) > count || known->dropped;
    if (!changed)
        return;
    known->dropped = FALSE;
    g_hash_table_remove_all(known->twice);
    g_hash_table_foreach_remove(known->hosts, has_gone, known);
    find_twice(known, fabric);
}

/* A host that is another one by now has to be read anew anyway, and so have VMs. */
static gboolean is_old(gpointer host, gpointer value, gpointer user)
{
    const GwFabric *fabric = user;
    const char *id = ((const GwHost *)host)->id;
    Entry *entry = value;

    if (gw_fabric_host(fabric, id) != host)
        return TRUE;
    if (entry->vms != NULL && g_hash_table_lookup(fabric->vms, id) != entry->vms) {
        g_clear_pointer(&entry->vms, g_hash_table_unref);
        g_clear_pointer(&entry->marks, g_array_unref);
    }
    return FALSE;
}

void gw_known_hosts_drop_old(GwKnownHosts *known, const GwFabric *fabric)
{
    if (g_hash_table_foreach_remove(known->hosts, is_old, (gpointer)fabric) == 0)
        return;
    known->dropped = TRUE;
    g_hash_table_remove_all(known->twice); /* some are borrowed from those */
}

guint gw_known_shape(GwKnownHosts *known, const GwHost *host)
{
    const Entry *entry = g_hash_table_lookup(known->hosts, host);
    return entry != NULL ? entry->shape : number_of(known, host);
}

gboolean gw_known_is_twice(const GwKnownHosts *known, const GwHost *host)
{
    const char *uuid = gw_plan_facts(host)->host_uuid;
    return uuid != NULL && g_hash_table_size(known->twice) > 0 &&
           g_hash_table_contains(known->twice, uuid);
}

GwHostShape *gw_known_writer(GwKnownHosts *known)
{
    return known->writer;
}

/* VMs --------------------------------------------------------------------------------------- */

guint32 gw_known_mark(const char *text)
{
    return text != NULL ? hash_text(text) : 0;
}

static void add_mark(GArray *marks, const char *text)
{
    guint32 mark = gw_known_mark(text);

    g_array_append_val(marks, mark);
}

static void read_vms(Entry *entry, GHashTable *vms)
{
    GHashTableIter iter;
    gpointer value;

    g_clear_pointer(&entry->vms, g_hash_table_unref);
    entry->vms = g_hash_table_ref(vms);
    if (entry->marks == NULL)
        entry->marks = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_array_set_size(entry->marks, 0);
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = value;
        add_mark(entry->marks, vm->uuid);
        add_mark(entry->marks, vm->name);
        for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
            const GwDisk *disk = vm->disks->pdata[i];
            add_mark(entry->marks, disk->source);
            add_mark(entry->marks, disk->backing_path);
        }
    }
}

gboolean gw_known_may_have(GwKnownHosts *known, const GwHost *host, GHashTable *vms, guint32 mark)
{
    Entry *entry = known->kept ? g_hash_table_lookup(known->hosts, host) : NULL;

    if (vms == NULL)
        return FALSE;
    if (entry == NULL)
        return TRUE;
    if (entry->vms != vms)
        read_vms(entry, vms);
    for (guint i = 0; i < entry->marks->len; i++) {
        if (g_array_index(entry->marks, guint32, i) == mark)
            return TRUE;
    }
    return FALSE;
}
