/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transport/rpc_args.h"

#include <string.h>

#include "base/error.h"
#include "base/xml.h"

/* libvirt's remote_protocol.x: at most so many parameters in a migration's call. */
#define PARAMS_MAX 64
#define SHORT_MAX 4096 /* of a text that is no XML: a URI, a name, a method */
/* Far over any VM's, and far below what libvirt would take: a parsed tree is thirty times as large
 * as its text can be made. */
#define XML_MAX (1024 * 1024)

gboolean gw_rpc_forbid(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(error, GW_ERR_FORBIDDEN,
                 "Move the VM by the controller, which gives both hosts a ticket of one wording; "
                 "if it did, look to the source host, which asks for more than a move needs.",
                 "the other host's libvirt asked for %s", why);
    return FALSE;
}

gboolean gw_rpc_invalid(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(error, GW_ERR_INVALID, "Look to the source host: this is not its libvirt.",
                 "not libvirt's protocol: %s", why);
    return FALSE;
}

/* XDR ---------------------------------------------------------------------------------------- */

typedef struct {
    const guint8 *at, *end;
    gboolean broken; /* more was asked for than there is, or over a ceiling */
} Xdr;

typedef struct {
    const char *at; /* not ended by NUL */
    gsize length;
} Text;

static guint32 xdr_u32(Xdr *xdr)
{
    if (xdr->broken || xdr->end - xdr->at < 4) {
        xdr->broken = TRUE;
        return 0;
    }
    const guint8 *at = xdr->at;
    xdr->at += 4;
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

/* Counted bytes, padded to four. */
static Text xdr_bytes(Xdr *xdr, gsize max)
{
    gsize length = xdr_u32(xdr);
    gsize padded = (length + 3) & ~(gsize)3;

    if (xdr->broken || length > max || (gsize)(xdr->end - xdr->at) < padded) {
        xdr->broken = TRUE;
        return (Text){ NULL, 0 };
    }
    Text text = { (const char *)xdr->at, length };
    xdr->at += padded;
    return text;
}

/* What libvirt takes as C strings must not end before its length says: the two would then be
 * different texts. */
static Text xdr_text(Xdr *xdr, gsize max)
{
    Text text = xdr_bytes(xdr, max);

    if (text.length > 0 && memchr(text.at, '\0', text.length) != NULL)
        xdr->broken = TRUE;
    return xdr->broken ? (Text){ NULL, 0 } : text;
}

static gboolean text_is(Text text, const char *expected)
{
    return text.at != NULL && strlen(expected) == text.length &&
           memcmp(text.at, expected, text.length) == 0;
}

/* Definitions and cookies -------------------------------------------------------------------- */

/* The first such child is what libvirt takes; that there is one only, and no other that a reader
 * could take instead, is ours to ask. */
static gboolean check_child(GwXml *xml, xmlNode *parent, const char *what, const char *child,
                            const char *expected, gboolean any_case, GError **error)
{
    g_autofree char *path = g_strconcat("./", child, NULL);
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, parent, path);
    g_autofree char *value = nodes->len > 0 ? gw_xml_string(xml, nodes->pdata[0], ".") : NULL;

    if (nodes->len != 1)
        return gw_rpc_forbid(error, "%s with %u elements <%s>, required is one", what, nodes->len,
                             child);
    gboolean same =
        any_case ? g_ascii_strcasecmp(value, expected) == 0 : strcmp(value, expected) == 0;
    return same ? TRUE
                : gw_rpc_forbid(error, "%s whose <%s> is '%.300s', required is the ticket's '%s'",
                                what, child, value, expected);
}

static gboolean check_identity(const GwRpcLeave *leave, GwXml *xml, xmlNode *node, const char *what,
                               GError **error)
{
    return check_child(xml, node, what, "uuid", leave->vm_uuid, TRUE, error) &&
           check_child(xml, node, what, "name", leave->vm_name, FALSE, error);
}

static gboolean is_root(GwXml *xml, const char *name)
{
    g_autofree char *path = g_strconcat("/", name, NULL);

    return gw_xml_has(xml, NULL, path);
}

static GwXml *parse(Text text, const char *what, GError **error)
{
    if (text.length > XML_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Reduce the definition's size (metadata, devices).",
                     "the other host's libvirt sent %s of %" G_GSIZE_FORMAT
                     " bytes, at most %d are looked into",
                     what, text.length, XML_MAX);
        return NULL;
    }
    g_autofree char *copy = g_strndup(text.at, text.length);
    GwXml *xml = gw_xml_parse(copy, error);

    if (xml == NULL)
        g_prefix_error(error, "%s of the other host's libvirt: ", what);
    return xml;
}

static gboolean check_definition(const GwRpcLeave *leave, Text text, GError **error)
{
    static const char what[] = "a definition";
    g_autoptr(GwXml) xml = parse(text, what, error);

    if (xml == NULL)
        return FALSE;
    if (!is_root(xml, "domain"))
        return gw_rpc_forbid(error, "%s that is not a <domain>", what);
    return check_identity(leave, xml, NULL, what, error);
}

/* Besides who is moved, a cookie holds the definition that is to stay on this host. */
static gboolean check_cookie_xml(const GwRpcLeave *leave, Text text, GError **error)
{
    static const char what[] = "a migration's cookie";
    g_autoptr(GwXml) xml = parse(text, what, error);

    if (xml == NULL)
        return FALSE;
    if (!is_root(xml, "qemu-migration"))
        return gw_rpc_forbid(error, "%s that is not a <qemu-migration>", what);
    if (!check_identity(leave, xml, NULL, what, error))
        return FALSE;
    g_autoptr(GPtrArray) domains = gw_xml_nodes(xml, NULL, "./domain");
    if (domains->len > 1)
        return gw_rpc_forbid(error, "%s with %u definitions to keep, required is one at most", what,
                             domains->len);
    return domains->len == 0 ||
           check_identity(leave, xml, domains->pdata[0], "a definition to keep", error);
}

/* A cookie is empty or a C string with its NUL. */
static gboolean check_cookie(const GwRpcLeave *leave, Text cookie, GError **error)
{
    if (cookie.length == 0)
        return TRUE;
    const char *nul = memchr(cookie.at, '\0', cookie.length);
    if (nul == NULL || (gsize)(nul - cookie.at) != cookie.length - 1)
        return gw_rpc_invalid(error, "a migration's cookie that does not end where it says");
    return check_cookie_xml(leave, (Text){ cookie.at, cookie.length - 1 }, error);
}

/* Parameters --------------------------------------------------------------------------------- */

enum { TYPE_INT = 1, TYPE_UINT, TYPE_LLONG, TYPE_ULLONG, TYPE_DOUBLE, TYPE_BOOLEAN, TYPE_STRING };

typedef enum { ANY, DEFINITION, NAME, MIGRATION_URI, DISKS_URI } Check;

/* Those that tune a move, and those of the ticket. Not here, and so refused: where else to listen
 * (listen_address, disks_port), where to send viewers (graphics_uri), another definition to keep
 * (persistent_xml, which the cookie carries). */
static const struct Param {
    const char *name;
    guint32 type;
    Check check;
    gboolean repeats;
} params[] = {
    { "destination_xml", TYPE_STRING, DEFINITION, FALSE },
    { "destination_name", TYPE_STRING, NAME, FALSE },
    { "migrate_uri", TYPE_STRING, MIGRATION_URI, FALSE },
    { "disks_uri", TYPE_STRING, DISKS_URI, FALSE },
    { "migrate_disks", TYPE_STRING, ANY, TRUE },
    { "migrate_disks_detect_zeroes", TYPE_STRING, ANY, TRUE },
    { "bandwidth", TYPE_ULLONG, ANY, FALSE },
    { "bandwidth.postcopy", TYPE_ULLONG, ANY, FALSE },
    { "bandwidth.avail.switchover", TYPE_ULLONG, ANY, FALSE },
    { "parallel.connections", TYPE_INT, ANY, FALSE },
    { "compression", TYPE_STRING, ANY, TRUE },
    { "compression.mt.level", TYPE_INT, ANY, FALSE },
    { "compression.mt.threads", TYPE_INT, ANY, FALSE },
    { "compression.mt.dthreads", TYPE_INT, ANY, FALSE },
    { "compression.xbzrle.cache", TYPE_ULLONG, ANY, FALSE },
    { "compression.zlib.level", TYPE_INT, ANY, FALSE },
    { "compression.zstd.level", TYPE_INT, ANY, FALSE },
    { "auto_converge.initial", TYPE_INT, ANY, FALSE },
    { "auto_converge.increment", TYPE_INT, ANY, FALSE },
    { "tls.destination", TYPE_STRING, ANY, FALSE },
};
G_STATIC_ASSERT(G_N_ELEMENTS(params) <= 32); /* one bit each */

/* What is remembered of the parameters: bit i of @seen is params[i]'s. */
typedef struct {
    guint32 seen;
} Seen;

static gboolean was_seen(const Seen *seen, Check check)
{
    for (guint i = 0; i < G_N_ELEMENTS(params); i++) {
        if (params[i].check == check && (seen->seen & (guint32)1 << i) != 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean check_text(const char *what, Text value, const char *required, GError **error)
{
    if (required != NULL && text_is(value, required))
        return TRUE;
    return gw_rpc_forbid(error, "%s '%.*s', required is the ticket's %s%s%s", what,
                         (int)MIN(value.length, 300), value.at != NULL ? value.at : "",
                         required != NULL ? "'" : "", required != NULL ? required : "none",
                         required != NULL ? "'" : "");
}

static gboolean check_string(const GwRpcLeave *leave, const struct Param *param, Text value,
                             GError **error)
{
    switch (param->check) {
    case DEFINITION:
        return check_definition(leave, value, error);
    case NAME:
        return check_text("the VM's new name", value, leave->vm_name, error);
    case MIGRATION_URI:
        return check_text("the migration socket", value, leave->migration_uri, error);
    case DISKS_URI:
        return check_text("the disks' socket", value, leave->disks_uri, error);
    case ANY:
        break;
    }
    return TRUE;
}

static gint find_param(Text name)
{
    for (guint i = 0; i < G_N_ELEMENTS(params); i++) {
        if (text_is(name, params[i].name))
            return (gint)i;
    }
    return -1;
}

static gboolean skip_number(Xdr *xdr, guint32 type)
{
    xdr_u32(xdr);
    if (type == TYPE_LLONG || type == TYPE_ULLONG || type == TYPE_DOUBLE)
        xdr_u32(xdr);
    return !xdr->broken;
}

static gboolean check_param(const GwRpcLeave *leave, Xdr *xdr, Seen *seen, GError **error)
{
    Text name = xdr_text(xdr, SHORT_MAX);
    guint32 type = xdr_u32(xdr);

    if (xdr->broken)
        return gw_rpc_invalid(error, "a parameter's length is not true");
    gint i = find_param(name);
    if (i < 0)
        return gw_rpc_forbid(error, "the parameter '%.*s', which no move of a ticket needs",
                             (int)MIN(name.length, 100), name.at);
    const struct Param *param = &params[i];
    if (type != param->type)
        return gw_rpc_invalid(error, "%s is of type %u, required is %u", param->name, type,
                              param->type);
    if (!param->repeats && (seen->seen & (guint32)1 << i) != 0)
        return gw_rpc_forbid(error, "%s twice, required is once", param->name);
    seen->seen |= (guint32)1 << i;
    if (type != TYPE_STRING)
        return skip_number(xdr, type) ? TRUE : gw_rpc_invalid(error, "%s is cut", param->name);
    Text value = xdr_text(xdr, param->check == DEFINITION ? GW_RPC_STRING_MAX : SHORT_MAX);
    if (xdr->broken)
        return gw_rpc_invalid(error, "%s has a length that is not true", param->name);
    return check_string(leave, param, value, error);
}

static gboolean check_params(const GwRpcLeave *leave, Xdr *xdr, Seen *seen, GError **error)
{
    guint32 count = xdr_u32(xdr);

    if (xdr->broken || count > PARAMS_MAX)
        return gw_rpc_invalid(error, "%u parameters, at most %d are allowed", count, PARAMS_MAX);
    for (guint32 i = 0; i < count; i++) {
        if (!check_param(leave, xdr, seen, error))
            return FALSE;
    }
    return TRUE;
}

/* Flags -------------------------------------------------------------------------------------- */

/* As in libvirt-domain.h (virDomainMigrateFlags). */
enum {
    FLAG_LIVE = 1 << 0,
    FLAG_PEER2PEER = 1 << 1,
    FLAG_PERSIST_DEST = 1 << 3,
    FLAG_UNDEFINE_SOURCE = 1 << 4,
    FLAG_PAUSED = 1 << 5,
    FLAG_NON_SHARED_DISK = 1 << 6,
    FLAG_NON_SHARED_INC = 1 << 7,
    FLAG_UNSAFE = 1 << 9,
    FLAG_COMPRESSED = 1 << 11,
    FLAG_ABORT_ON_ERROR = 1 << 12,
    FLAG_AUTO_CONVERGE = 1 << 13,
    FLAG_POSTCOPY = 1 << 15,
    FLAG_TLS = 1 << 16,
    FLAG_PARALLEL = 1 << 17,
    FLAG_SYNCHRONOUS_WRITES = 1 << 18,
    FLAG_POSTCOPY_RESUME = 1 << 19,
    FLAG_ZEROCOPY = 1 << 20,
};
#define FLAGS                                                                                      \
    (FLAG_LIVE | FLAG_PEER2PEER | FLAG_PERSIST_DEST | FLAG_UNDEFINE_SOURCE | FLAG_PAUSED |         \
     FLAG_NON_SHARED_DISK | FLAG_NON_SHARED_INC | FLAG_UNSAFE | FLAG_COMPRESSED |                  \
     FLAG_ABORT_ON_ERROR | FLAG_AUTO_CONVERGE | FLAG_POSTCOPY | FLAG_TLS | FLAG_PARALLEL |         \
     FLAG_SYNCHRONOUS_WRITES | FLAG_POSTCOPY_RESUME | FLAG_ZEROCOPY)

static gboolean check_flags(const GwRpcLeave *leave, guint32 flags, GError **error)
{
    if ((flags & ~(guint32)FLAGS) != 0)
        return gw_rpc_forbid(error, "a migration with the flags 0x%x, allowed are those of 0x%x",
                             flags, (guint)FLAGS);
    if (leave->paused && (flags & FLAG_PAUSED) == 0)
        return gw_rpc_forbid(error, "a VM that starts by itself, required is one that waits to be "
                                    "resumed");
    if ((leave->paused || leave->no_post_copy) && (flags & (FLAG_POSTCOPY | FLAG_POSTCOPY_RESUME)))
        return gw_rpc_forbid(error, "post-copy, which the ticket does not allow");
    return TRUE;
}

/* Calls -------------------------------------------------------------------------------------- */

/* What both begin with; leaves the reader behind the flags. */
static gboolean check_common(const GwRpcLeave *leave, Xdr *xdr, Seen *seen, guint32 *flags,
                             GError **error)
{
    if (!check_params(leave, xdr, seen, error))
        return FALSE;
    Text cookie = xdr_bytes(xdr, GW_RPC_STRING_MAX);
    *flags = xdr_u32(xdr);
    if (xdr->broken)
        return gw_rpc_invalid(error, "a cookie's length is not true");
    return check_cookie(leave, cookie, error) && check_flags(leave, *flags, error);
}

static gboolean check_end(const Xdr *xdr, const char *call, GError **error)
{
    return !xdr->broken && xdr->at == xdr->end
               ? TRUE
               : gw_rpc_invalid(error, "the arguments of %s are not of their length", call);
}

gboolean gw_rpc_check_prepare(const GwRpcLeave *leave, const guint8 *args, gsize length,
                              GError **error)
{
    Xdr xdr = { args, args + length, FALSE };
    Seen seen = { 0 };
    guint32 flags = 0;

    if (!check_common(leave, &xdr, &seen, &flags, error) || !check_end(&xdr, "prepare", error))
        return FALSE;
    if (!was_seen(&seen, DEFINITION))
        return gw_rpc_forbid(error, "a VM without its definition");
    /* Without it QEMU would listen on a TCP port of every network. */
    if (!was_seen(&seen, MIGRATION_URI))
        return gw_rpc_forbid(error, "a migration without a socket, required is the ticket's %s",
                             leave->migration_uri != NULL ? leave->migration_uri
                                                          : "none: it allows none");
    if ((flags & (FLAG_NON_SHARED_DISK | FLAG_NON_SHARED_INC)) != 0 && !was_seen(&seen, DISKS_URI))
        return gw_rpc_forbid(error, "a copy of disks without a socket, required is the ticket's %s",
                             leave->disks_uri != NULL ? leave->disks_uri : "none: it allows none");
    return TRUE;
}

gboolean gw_rpc_check_finish(const GwRpcLeave *leave, const guint8 *args, gsize length,
                             GError **error)
{
    Xdr xdr = { args, args + length, FALSE };
    Seen seen = { 0 };
    guint32 flags = 0;

    if (!check_common(leave, &xdr, &seen, &flags, error))
        return FALSE;
    xdr_u32(&xdr); /* whether it was cancelled */
    if (!check_end(&xdr, "finish", error))
        return FALSE;
    /* It is by its name alone that libvirt finds the VM here. */
    if (!was_seen(&seen, NAME))
        return gw_rpc_forbid(error, "the end of a migration without the VM's name");
    return TRUE;
}

gboolean gw_rpc_check_open(const GwRpcLeave *leave, const guint8 *args, gsize length,
                           GError **error)
{
    Xdr xdr = { args, args + length, FALSE };
    gboolean named = xdr_u32(&xdr) != 0;
    Text name = named ? xdr_text(&xdr, SHORT_MAX) : (Text){ NULL, 0 };

    xdr_u32(&xdr); /* read-only or not */
    if (!check_end(&xdr, "open", error))
        return FALSE;
    /* libvirt would look for a driver by what else is said here, even on another host. */
    if (!named || !text_is(name, "qemu:///system"))
        return gw_rpc_forbid(error, "the connection '%.*s', required is qemu:///system",
                             (int)MIN(name.length, 300), named ? name.at : "");
    return TRUE;
}
