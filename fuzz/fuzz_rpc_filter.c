/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hostile libvirt through the filters of the VMs whose moves were recorded. However the bytes are
 * cut, the same must pass; what passes is what came, in whole packets of procedures that a move
 * needs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/rpc_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SOCKET "unix:///tmp/rec/s/mig.sock"
#define DISKS "unix:///tmp/rec/s/nbd.sock"

static const GwRpcFilterConfig configs[] = {
    { .vm_uuid = "8e490cda-b7f1-54a3-b7ec-4364c3ce5b90",
      .vm_name = "reckvm1",
      .migration_uri = SOCKET,
      .prepare = TRUE },
    { .vm_uuid = "cd7c5851-61a5-5941-991a-2f21087926a1",
      .vm_name = "recstock1",
      .migration_uri = SOCKET,
      .prepare = TRUE },
    { .vm_uuid = "e2d54e4d-d207-5990-8dfc-a2eb73d72f0a",
      .vm_name = "copyk",
      .migration_uri = SOCKET,
      .disks_uri = DISKS,
      .prepare = TRUE },
    { .vm_uuid = "c792b194-04a5-5426-8491-bad9f710a7e0",
      .vm_name = "post",
      .migration_uri = SOCKET,
      .disks_uri = DISKS,
      .prepare = TRUE,
      .no_post_copy = TRUE },
    { .prepare = FALSE },
};

static guint32 u32_at(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static gboolean is_known(guint32 program, guint32 procedure, gboolean moves)
{
    static const guint32 plain[] = { 1, 2, 3, 4, 59, 60, 66, 70, 110, 157, 360, 361 };

    if (program == 0x6b656570)
        return procedure == 1 || procedure == 2;
    for (guint i = 0; i < G_N_ELEMENTS(plain); i++) {
        if (program == 0x20008086 && procedure == plain[i])
            return TRUE;
    }
    return program == 0x20008086 && moves && (procedure == 303 || procedure == 306);
}

static void check_passed(const GByteArray *out, gboolean moves)
{
    guint at = 0;

    while (at < out->len) {
        guint32 length = out->len - at >= 28 ? u32_at(out->data + at) : 0;
        if (length < 28 || length > out->len - at ||
            !is_known(u32_at(out->data + at + 4), u32_at(out->data + at + 12), moves))
            abort();
        at += length;
    }
}

static gboolean feed(const GwRpcFilterConfig *config, const uint8_t *data, size_t size, guint piece,
                     GByteArray *out)
{
    g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(config);
    g_autoptr(GError) error = NULL;

    for (size_t at = 0; at < size; at += piece) {
        gboolean fed = gw_rpc_filter_feed(filter, data + at, MIN(piece, size - at), out, &error);
        if (fed != (error == NULL))
            abort();
        if (!fed)
            return FALSE;
    }
    return TRUE;
}

/* The VM that the bytes speak of; where of none, the filter of a check, by their number. */
static const GwRpcFilterConfig *choose(const uint8_t *data, size_t size)
{
    for (guint i = 0; i < G_N_ELEMENTS(configs); i++) {
        const char *uuid = configs[i].vm_uuid;
        if (uuid != NULL && memmem(data, size, uuid, strlen(uuid)) != NULL)
            return &configs[i];
    }
    return &configs[size % G_N_ELEMENTS(configs)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const GwRpcFilterConfig *config = choose(data, size);
    guint piece = size > 0 ? 1 + data[size - 1] : 1;
    g_autoptr(GByteArray) whole = g_byte_array_new();
    g_autoptr(GByteArray) pieces = g_byte_array_new();
    gboolean a = feed(config, data, size, G_MAXUINT / 2, whole);
    gboolean b = feed(config, data, size, piece, pieces);

    if (a != b || whole->len != pieces->len || whole->len > size ||
        (whole->len > 0 && (memcmp(whole->data, pieces->data, whole->len) != 0 ||
                            memcmp(whole->data, data, whole->len) != 0)))
        abort();
    check_passed(whole, config->prepare);
    return 0;
}
