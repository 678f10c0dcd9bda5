/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transport/rpc_filter.h"

#include <string.h>

#include "base/error.h"
#include "transport/rpc_args.h"

/* A packet (libvirt's virnetprotocol.x), all big-endian: u32 length of the whole, u32 program,
 * u32 version, i32 procedure, u32 type, u32 serial, u32 status, then what the procedure's
 * arguments are. */
#define HEADER 28
#define LOOK_MAX (4 * 1024 * 1024 + HEADER)
#define PROGRAM_REMOTE 0x20008086
#define PROGRAM_KEEPALIVE 0x6b656570

enum { TYPE_CALL = 0, TYPE_MESSAGE = 2 };

typedef gboolean (*CheckArgs)(const GwRpcLeave *leave, const guint8 *args, gsize length,
                              GError **error);

/* All that may pass: recorded from libvirt 9.0 and 11.3 on the source of peer-to-peer moves, and
 * what a check asks. None but those with a check has arguments that choose anything. */
static const struct Procedure {
    guint32 program, procedure, type;
    gsize args_min, args_max; /* bytes */
    gboolean moves;           /* only where a VM may be prepared */
    CheckArgs check;
} procedures[] = {
    { PROGRAM_KEEPALIVE, 1, TYPE_MESSAGE, 0, 0, FALSE, NULL }, /* ping */
    { PROGRAM_KEEPALIVE, 2, TYPE_MESSAGE, 0, 0, FALSE, NULL }, /* pong */
    { PROGRAM_REMOTE, 1, TYPE_CALL, 8, 256, FALSE, gw_rpc_check_open },
    { PROGRAM_REMOTE, 2, TYPE_CALL, 0, 0, FALSE, NULL },   /* close */
    { PROGRAM_REMOTE, 3, TYPE_CALL, 0, 0, FALSE, NULL },   /* get type */
    { PROGRAM_REMOTE, 4, TYPE_CALL, 0, 0, FALSE, NULL },   /* get version */
    { PROGRAM_REMOTE, 59, TYPE_CALL, 0, 0, FALSE, NULL },  /* get hostname */
    { PROGRAM_REMOTE, 60, TYPE_CALL, 4, 4, FALSE, NULL },  /* supports feature */
    { PROGRAM_REMOTE, 66, TYPE_CALL, 0, 0, FALSE, NULL },  /* auth list */
    { PROGRAM_REMOTE, 70, TYPE_CALL, 0, 0, FALSE, NULL },  /* auth polkit: asks of the agent */
    { PROGRAM_REMOTE, 110, TYPE_CALL, 0, 0, FALSE, NULL }, /* get URI */
    { PROGRAM_REMOTE, 157, TYPE_CALL, 0, 0, FALSE, NULL }, /* get library version */
    { PROGRAM_REMOTE, 360, TYPE_CALL, 0, 0, FALSE, NULL }, /* register close callback */
    { PROGRAM_REMOTE, 361, TYPE_CALL, 0, 0, FALSE, NULL }, /* unregister it */
    { PROGRAM_REMOTE, 303, TYPE_CALL, 12, LOOK_MAX - HEADER, TRUE, gw_rpc_check_prepare },
    { PROGRAM_REMOTE, 306, TYPE_CALL, 16, LOOK_MAX - HEADER, TRUE, gw_rpc_check_finish },
};

struct GwRpcFilter {
    GwRpcLeave leave;
    GByteArray *packet; /* what has come of the packet that comes */
    gsize length;       /* of the whole packet; 0: its header has not come */
    const struct Procedure *procedure;
    gboolean ended; /* refused something */
};

GwRpcFilter *gw_rpc_filter_new(const GwRpcFilterConfig *config)
{
    GwRpcFilter *filter = g_new0(GwRpcFilter, 1);

    filter->leave.vm_uuid = g_strdup(config->vm_uuid);
    filter->leave.vm_name = g_strdup(config->vm_name);
    filter->leave.migration_uri = g_strdup(config->migration_uri);
    filter->leave.disks_uri = g_strdup(config->disks_uri);
    filter->leave.prepare = config->prepare && config->vm_uuid != NULL && config->vm_name != NULL;
    filter->leave.paused = config->paused;
    filter->leave.no_post_copy = config->no_post_copy;
    filter->packet = g_byte_array_new();
    return filter;
}

void gw_rpc_filter_free(GwRpcFilter *filter)
{
    if (filter == NULL)
        return;
    g_free(filter->leave.vm_uuid);
    g_free(filter->leave.vm_name);
    g_free(filter->leave.migration_uri);
    g_free(filter->leave.disks_uri);
    g_byte_array_unref(filter->packet);
    g_free(filter);
}

static guint32 u32_at(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static const char *program_word(guint32 program)
{
    switch (program) {
    case PROGRAM_REMOTE:
        return "remote";
    case PROGRAM_KEEPALIVE:
        return "keepalive";
    case 0x20008087:
        return "qemu";
    case 0x00008064:
        return "lxc";
    case 0x06900690:
        return "admin";
    default:
        return "unknown";
    }
}

static const struct Procedure *find_procedure(guint32 program, guint32 procedure, guint32 type)
{
    for (guint i = 0; i < G_N_ELEMENTS(procedures); i++) {
        if (procedures[i].program == program && procedures[i].procedure == procedure &&
            procedures[i].type == type)
            return &procedures[i];
    }
    return NULL;
}

/* Decides by the header alone all that can be: nothing of a refused packet is waited for. */
static gboolean check_header(GwRpcFilter *filter, const guint8 *header, GError **error)
{
    gsize length = u32_at(header);
    guint32 program = u32_at(header + 4), version = u32_at(header + 8);
    guint32 number = u32_at(header + 12), type = u32_at(header + 16), status = u32_at(header + 24);

    if (length < HEADER || length > GW_RPC_PACKET_MAX)
        return gw_rpc_invalid(error, "a packet of %" G_GSIZE_FORMAT " bytes, %d to %d are allowed",
                              length, HEADER, GW_RPC_PACKET_MAX);
    const struct Procedure *procedure = find_procedure(program, number, type);
    if (procedure == NULL)
        return gw_rpc_forbid(error,
                             "procedure %d of the %s program (0x%x) by a packet of type %u, which "
                             "no move needs",
                             (gint32)number, program_word(program), program, type);
    if (procedure->moves && !filter->leave.prepare)
        return gw_rpc_forbid(error, "procedure %u, a move, by a stream that is for a check only",
                             number);
    if (version != 1 || status != 0)
        return gw_rpc_invalid(error, "version %u and status %u, required are 1 and 0", version,
                              status);
    if (length - HEADER < procedure->args_min || length - HEADER > procedure->args_max)
        return gw_rpc_invalid(error,
                              "procedure %u with %" G_GSIZE_FORMAT " bytes of arguments, "
                              "%" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT " are allowed",
                              number, length - HEADER, procedure->args_min, procedure->args_max);
    filter->length = length;
    filter->procedure = procedure;
    return TRUE;
}

/* Takes what the packet still lacks; FALSE where the bytes ended before it did. */
static gboolean take_until(GwRpcFilter *filter, gsize until, const guint8 **at, gsize *left)
{
    gsize lacks = until - filter->packet->len;
    gsize take = MIN(lacks, *left);

    g_byte_array_append(filter->packet, *at, (guint)take);
    *at += take;
    *left -= take;
    return take == lacks;
}

static gboolean pass_packet(GwRpcFilter *filter, GByteArray *out, GError **error)
{
    const guint8 *packet = filter->packet->data;

    if (filter->procedure->check != NULL &&
        !filter->procedure->check(&filter->leave, packet + HEADER, filter->length - HEADER, error))
        return FALSE;
    g_byte_array_append(out, packet, (guint)filter->length);
    /* A definition's room is given back: the stream goes on for as long as the move. */
    if (filter->length > 64 * 1024) {
        g_byte_array_unref(filter->packet);
        filter->packet = g_byte_array_new();
    }
    g_byte_array_set_size(filter->packet, 0);
    filter->length = 0;
    return TRUE;
}

static gboolean feed(GwRpcFilter *filter, const guint8 *bytes, gsize length, GByteArray *out,
                     GError **error)
{
    while (length > 0) {
        if (filter->length == 0) {
            if (!take_until(filter, HEADER, &bytes, &length))
                return TRUE;
            if (!check_header(filter, filter->packet->data, error))
                return FALSE;
        }
        if (!take_until(filter, filter->length, &bytes, &length))
            return TRUE;
        if (!pass_packet(filter, out, error))
            return FALSE;
    }
    return TRUE;
}

gboolean gw_rpc_filter_feed(GwRpcFilter *filter, const guint8 *bytes, gsize length, GByteArray *out,
                            GError **error)
{
    if (filter->ended)
        return gw_rpc_invalid(error, "more came after a packet that was refused");
    if (feed(filter, bytes, length, out, error))
        return TRUE;
    filter->ended = TRUE;
    g_byte_array_set_size(filter->packet, 0);
    return FALSE;
}
