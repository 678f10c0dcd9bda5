/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "base/error.h"
#include "domain_checks.h"
#include "model/definition.h"
#include "model/libvirt_xml.h"

/* Compares what was rewritten with what it was made of, node by node. What a new image changes in
 * its disk is written down here a second time, from libvirt's documentation and not from the code
 * under test. */

typedef struct {
    const char *format; /* of the new images */
    GHashTable *moved;  /* targets of the disks that have one */
    guint nodes;
} Rewriting;

static gboolean is_one_of(const xmlChar *name, const char *const *names)
{
    return names != NULL && g_strv_contains(names, (const char *)name);
}

/* What an element may lose, and get, with a new image that is a file. */
typedef struct {
    const char *const *attributes;
    const char *const *elements;
} Meant;

static const Meant nothing = { NULL, NULL };

static const char *const disk_attributes[] = { "type", NULL };
static const char *const disk_elements[] = { "backingStore", "mirror", "privateData", "auth",
                                             NULL };
static const char *const disk_new[] = { "backingStore", "mirror", "privateData", "auth",
                                        "driver",       "source", NULL };
static const Meant of_disk = { disk_attributes, disk_elements };
static const char *const driver_attributes[] = { "type", NULL };
static const char *const raw_attributes[] = { "type", "discard_no_unref", NULL };
static const char *const raw_elements[] = { "metadata_cache", NULL };
static const Meant of_driver = { driver_attributes, NULL };
static const Meant of_raw_driver = { raw_attributes, raw_elements };
/* Where the image is, what part of it is used, and how its server is talked to. */
static const char *const source_attributes[] = { "file",        "dev",       "dir",      "pool",
                                                 "volume",      "mode",      "protocol", "name",
                                                 "query",       "index",     "type",     "managed",
                                                 "fdgroup",     "namespace", "path",     "driver",
                                                 "tlsHostname", "tls",       NULL };
static const char *const source_elements[] = {
    "host",       "slices",    "dataStore", "snapshot",  "address",  "privateData",  "auth",
    "ssl",        "initiator", "config",    "cookies",   "identity", "reservations", "seclabel",
    "knownHosts", "readahead", "timeout",   "reconnect", NULL
};
static const Meant of_source = { source_attributes, source_elements };

static char *target_of(xmlNode *disk)
{
    for (xmlNode *child = disk->children; child != NULL; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, "target") == 0) {
            xmlChar *value = xmlGetNoNsProp(child, (const xmlChar *)"dev");
            char *copy = g_strdup((const char *)value);
            xmlFree(value);
            return copy;
        }
    }
    return NULL;
}

static gboolean is_in(const xmlNode *node, const char *name, const char *parent)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0 &&
           node->parent != NULL && node->parent->name != NULL &&
           strcmp((const char *)node->parent->name, parent) == 0;
}

static gboolean is_moved_disk(const Rewriting *r, xmlNode *node)
{
    if (!is_in(node, "disk", "devices"))
        return FALSE;
    g_autofree char *target = target_of(node);
    return target != NULL && g_hash_table_contains(r->moved, target);
}

static const Meant *meant_of(const Rewriting *r, xmlNode *node)
{
    if (is_moved_disk(r, node))
        return &of_disk;
    if (node->parent == NULL || !is_moved_disk(r, node->parent))
        return &nothing;
    if (strcmp((const char *)node->name, "source") == 0)
        return &of_source;
    if (strcmp((const char *)node->name, "driver") == 0)
        return strcmp(r->format, "qcow2") == 0 ? &of_driver : &of_raw_driver;
    return &nothing;
}

static gboolean is_blank(const xmlNode *node)
{
    return node->type == XML_TEXT_NODE && xmlIsBlankNode(node);
}

static xmlNode *next_of(xmlNode *node, const char *const *leave_out)
{
    while (node != NULL &&
           (is_blank(node) || (node->type == XML_ELEMENT_NODE && is_one_of(node->name, leave_out))))
        node = node->next;
    return node;
}

static char *differs(xmlNode *node, const char *what)
{
    xmlChar *path = xmlGetNodePath(node);
    char *words =
        g_strdup_printf("%s (line %ld): %s", (const char *)path, xmlGetLineNo(node), what);

    xmlFree(path);
    return words;
}

static char *compare_attributes(Rewriting *r, xmlNode *a, xmlNode *b, const char *const *leave_out)
{
    for (xmlAttr *attr = a->properties; attr != NULL; attr = attr->next) {
        r->nodes++;
        if (attr->ns == NULL && is_one_of(attr->name, leave_out))
            continue;
        xmlChar *was = xmlNodeListGetString(a->doc, attr->children, 1);
        xmlChar *is = attr->ns != NULL ? xmlGetNsProp(b, attr->name, attr->ns->href)
                                       : xmlGetNoNsProp(b, attr->name);
        gboolean equal = is != NULL && xmlStrcmp(was != NULL ? was : (const xmlChar *)"", is) == 0;
        xmlFree(was);
        xmlFree(is);
        if (!equal)
            return differs(a, (const char *)attr->name);
    }
    for (xmlAttr *attr = b->properties; attr != NULL; attr = attr->next) {
        gboolean meant = attr->ns == NULL && is_one_of(attr->name, leave_out);
        if (!meant && xmlHasNsProp(a, attr->name, attr->ns != NULL ? attr->ns->href : NULL) == NULL)
            return differs(a, "an attribute that was not there");
    }
    return NULL;
}

static char *compare(Rewriting *r, xmlNode *a, xmlNode *b);

/* @new: what @b may have in place of what is left out. */
static char *compare_children(Rewriting *r, xmlNode *a, xmlNode *b, const char *const *leave_out)
{
    xmlNode *x = next_of(a->children, leave_out), *y = next_of(b->children, leave_out);

    while (x != NULL || y != NULL) {
        /* A disk without a medium, or without a driver, got one. */
        if (y != NULL && leave_out == disk_elements && y->type == XML_ELEMENT_NODE &&
            is_one_of(y->name, disk_new) &&
            (x == NULL || x->type != y->type || xmlStrcmp(x->name, y->name) != 0)) {
            y = next_of(y->next, leave_out);
            continue;
        }
        if (x == NULL)
            return differs(a, "something that was not there");
        if (y == NULL)
            return differs(x, "lost");
        char *wrong = compare(r, x, y);
        if (wrong != NULL)
            return wrong;
        x = next_of(x->next, leave_out);
        y = next_of(y->next, leave_out);
    }
    return NULL;
}

static char *compare(Rewriting *r, xmlNode *a, xmlNode *b)
{
    if (a->type != b->type || xmlStrcmp(a->name, b->name) != 0)
        return differs(a, "lost, or in another place");
    if (a->type != XML_ELEMENT_NODE)
        return xmlStrcmp(a->content, b->content) == 0 ? NULL : differs(a, "another text");
    const xmlChar *was = a->ns != NULL ? a->ns->href : NULL;
    const xmlChar *is = b->ns != NULL ? b->ns->href : NULL;
    if (xmlStrcmp(was, is) != 0)
        return differs(a, "another namespace");

    const Meant *meant = meant_of(r, a);
    r->nodes++;
    char *wrong = compare_attributes(r, a, b, meant->attributes);
    return wrong != NULL ? wrong : compare_children(r, a, b, meant->elements);
}

static char *compare_texts(Rewriting *r, const char *was, const char *is)
{
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    xmlDoc *a = xmlReadMemory(was, (int)strlen(was), NULL, NULL, options);
    xmlDoc *b = xmlReadMemory(is, (int)strlen(is), NULL, NULL, options);
    char *wrong = a == NULL || b == NULL
                      ? g_strdup("what was rewritten is no XML")
                      : compare(r, xmlDocGetRootElement(a), xmlDocGetRootElement(b));

    xmlFreeDoc(a);
    xmlFreeDoc(b);
    return wrong;
}

char *gw_check_rewritten(const char *was, const char *is, const char *format,
                         const char *const *targets)
{
    g_autoptr(GHashTable) moved = g_hash_table_new(g_str_hash, g_str_equal);
    Rewriting r = { .format = format, .moved = moved };

    for (guint i = 0; targets[i] != NULL; i++)
        g_hash_table_add(moved, (gpointer)targets[i]);
    return compare_texts(&r, was, is);
}

/* Rewritings ---------------------------------------------------------------------------------- */

static GwDiskMove *to_file(const char *target, const char *format, guint number)
{
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    move->target = g_strdup(target);
    move->how = GW_DISK_MIRROR;
    move->images = gw_record_array(&gw_image_move_record);
    image->flatten = TRUE;
    image->to = gw_volume_new();
    image->to->path = g_strdup_printf("/new/place & \"more\"/%u.img", number);
    image->to->kind = g_strdup("file");
    image->to->format = g_strdup(format);
    g_ptr_array_add(move->images, image);
    return move;
}

/* Of a disk that shares its name with another it is not known which is meant. */
static gboolean is_alone(const GwVm *vm, const char *target)
{
    guint count = 0;

    for (guint i = 0; i < vm->disks->len; i++)
        count += g_strcmp0(((const GwDisk *)vm->disks->pdata[i])->target, target) == 0;
    return count == 1 && strcmp(target, "nvram") != 0 && strcmp(target, "tpm") != 0;
}

/* The disks that moved are read as they are now, and nothing else of the VM is read differently. */
static char *check_read_again(const GwVm *vm, const GPtrArray *moves, const char *text)
{
    g_autoptr(GwVm) now = gw_libvirt_vm_from_xml(text, NULL);

    if (now == NULL)
        return g_strdup("what was rewritten cannot be read any more");
    for (guint i = 0; i < moves->len; i++) {
        const GwDiskMove *move = moves->pdata[i];
        const GwVolume *to = ((const GwImageMove *)move->images->pdata[0])->to;
        const GwDisk *disk = gw_record_find(&gw_disk_record, now->disks, "target", move->target);
        if (disk == NULL || g_strcmp0(disk->source, to->path) != 0 ||
            g_strcmp0(disk->type, "file") != 0 || g_strcmp0(disk->format, to->format) != 0 ||
            disk->backing_path != NULL)
            return g_strdup_printf("disk %s is not read as it was written", move->target);
    }
    g_ptr_array_set_size(now->disks, 0);
    g_autoptr(GwVm) before = gw_vm_copy(vm);
    g_ptr_array_set_size(before->disks, 0);
    /* What was left out of its disks may be gone with them. */
    g_clear_pointer(&now->error, g_free);
    g_clear_pointer(&before->error, g_free);
    before->shared_memory = now->shared_memory;
    return gw_record_equal(&gw_vm_record, before, now)
               ? NULL
               : g_strdup("something beside the disks is read differently");
}

static char *check_same(const char *text, GwDomainTally *tally)
{
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) error = NULL;
    g_autofree char *same = gw_definition_with_disks(text, NULL, &error);
    Rewriting r = { .format = "raw", .moved = none };

    if (same == NULL)
        return g_strdup_printf("it cannot be written again: %s", error->message);
    tally->rewritten++;
    char *wrong = compare_texts(&r, text, same);
    tally->nodes += r.nodes;
    return wrong;
}

static char *check_moved(const char *text, const GwVm *vm, const char *format, GwDomainTally *tally)
{
    g_autoptr(GHashTable) moved = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) moves = gw_record_array(&gw_disk_move_record);
    g_autoptr(GError) error = NULL;
    Rewriting r = { .format = format, .moved = moved };

    for (guint i = 0; i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->target == NULL || !is_alone(vm, disk->target) ||
            g_strcmp0(disk->device, "lun") == 0)
            continue;
        g_ptr_array_add(moves, to_file(disk->target, format, i));
        g_hash_table_add(moved, disk->target);
    }
    g_autofree char *rewritten = gw_definition_with_disks(text, moves, &error);
    if (rewritten == NULL) {
        tally->refused++;
        return error != NULL && *error->message != '\0'
                   ? g_strdup_printf("its disks cannot be moved: %s", error->message)
                   : g_strdup("its disks cannot be moved, without a reason");
    }
    tally->rewritten++;
    char *wrong = compare_texts(&r, text, rewritten);
    tally->nodes += r.nodes;
    return wrong != NULL ? wrong : check_read_again(vm, moves, rewritten);
}

/* A LUN takes no file: that is refused in words. */
static char *check_luns(const char *text, const GwVm *vm, GwDomainTally *tally)
{
    for (guint i = 0; i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->target == NULL || g_strcmp0(disk->device, "lun") != 0 ||
            !is_alone(vm, disk->target))
            continue;
        g_autoptr(GError) error = NULL;
        g_autoptr(GwDiskMove) move = to_file(disk->target, "raw", i);
        const GwVolume *to = ((const GwImageMove *)move->images->pdata[0])->to;
        g_autofree char *xml = gw_definition_disk(text, disk->target, to, &error);
        if (xml != NULL || error == NULL || gw_error_remedy(error) == NULL)
            return g_strdup_printf("LUN %s became a file, or was refused without a remedy",
                                   disk->target);
        tally->refused++;
    }
    return NULL;
}

char *gw_check_rewriting(const char *text, const GwVm *vm, GwDomainTally *tally)
{
    char *wrong = check_same(text, tally);

    if (wrong == NULL)
        wrong = check_moved(text, vm, "qcow2", tally);
    if (wrong == NULL)
        wrong = check_moved(text, vm, "raw", tally);
    return wrong != NULL ? wrong : check_luns(text, vm, tally);
}
