/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a peer's libvirt may ask: recorded moves pass unchanged in whatever pieces they come, and
 * nothing else does. */
#include "unit.h"

#include <string.h>

#include "transport/rpc_filter.h"

#define SOCKET "unix:///tmp/rec/s/mig.sock"
#define DISKS "unix:///tmp/rec/s/nbd.sock"
#define KVM_UUID "8e490cda-b7f1-54a3-b7ec-4364c3ce5b90"
#define REMOTE 0x20008086

static const GwRpcFilterConfig kvm = { .vm_uuid = KVM_UUID,
                                       .vm_name = "reckvm1",
                                       .migration_uri = SOCKET,
                                       .disks_uri = DISKS,
                                       .prepare = TRUE };
static const GwRpcFilterConfig stock = { .vm_uuid = "cd7c5851-61a5-5941-991a-2f21087926a1",
                                         .vm_name = "recstock1",
                                         .migration_uri = SOCKET,
                                         .prepare = TRUE };
static const GwRpcFilterConfig disk = { .vm_uuid = "e2d54e4d-d207-5990-8dfc-a2eb73d72f0a",
                                        .vm_name = "copyk",
                                        .migration_uri = SOCKET,
                                        .disks_uri = DISKS,
                                        .prepare = TRUE };

/* Two disks to volumes of other names, with detection of zeroes and a definition to keep. */
static const GwRpcFilterConfig moved = { .vm_uuid = "5b1f0c4e-6d0a-4f57-9d58-3a2f4c1d7e90",
                                         .vm_name = "copyd",
                                         .migration_uri = SOCKET,
                                         .disks_uri = DISKS,
                                         .prepare = TRUE,
                                         .paused = TRUE,
                                         .no_post_copy = TRUE };

static const GwRpcFilterConfig moved_memory = { .vm_uuid = "5b1f0c4e-6d0a-4f57-9d58-3a2f4c1d7e90",
                                                .vm_name = "copyd",
                                                .migration_uri = SOCKET,
                                                .prepare = TRUE };

static const GwRpcFilterConfig post = { .vm_uuid = "c792b194-04a5-5426-8491-bad9f710a7e0",
                                        .vm_name = "post",
                                        .migration_uri = SOCKET,
                                        .disks_uri = DISKS,
                                        .prepare = TRUE };
static const GwRpcFilterConfig post_paused = { .vm_uuid = "c792b194-04a5-5426-8491-bad9f710a7e0",
                                               .vm_name = "post",
                                               .migration_uri = SOCKET,
                                               .disks_uri = DISKS,
                                               .prepare = TRUE,
                                               .paused = TRUE };

/* From the client to the server, whole connections, of libvirt 11.3 (kvm) and 9.0 (stock). */
static const struct {
    const char *name;
    const GwRpcFilterConfig *config;
} recorded[] = {
    { "kvm-unix", &kvm },
    { "kvm-paused-multifd", &kvm },
    { "kvm-autoconverge-bw", &kvm },
    { "kvm-cancel", &kvm },
    { "kvm-disk", &disk },
    { "kvm-slow-keepalive", &disk },
    { "kvm-postcopy", &post },
    { "kvm-paused-multifd-disk", &post_paused },
    { "kvm-moved-disks", &moved },
    { "kvm-moved-disks-multifd", &moved },
    { "stock-unix", &stock },
    { "stock-paused-multifd", &stock },
    { "stock-autoconverge-bw", &stock },
    { "stock-cancel", &stock },
    { "cross-kvm-stock", &kvm },
    { "cross-stock-kvm", &stock },
    { "check-version", &kvm },
    { "check-hostname", &kvm },
};

static GByteArray *load(const char *name)
{
    g_autofree char *path = g_strconcat(GW_CORPUS "/rpc_filter/", name, ".bin", NULL);
    char *bytes = NULL;
    gsize length = 0;

    UNIT_OK(g_file_get_contents(path, &bytes, &length, error));
    assert_true(length > 100);
    return g_byte_array_new_take((guint8 *)bytes, length);
}

/* In pieces of @piece bytes (0: of random sizes). Each is on the heap, so that an overrun is seen.
 */
static gboolean feed_all(GwRpcFilter *filter, const GByteArray *in, guint piece, GRand *rand,
                         GByteArray *out, GError **error)
{
    for (guint at = 0; at < in->len;) {
        guint size = piece > 0 ? piece : (guint)g_rand_int_range(rand, 1, 3000);
        size = MIN(size, in->len - at);
        g_autofree guint8 *copy = g_memdup2(in->data + at, size);
        if (!gw_rpc_filter_feed(filter, copy, size, out, error))
            return FALSE;
        at += size;
    }
    return TRUE;
}

static void recorded_moves_pass_unchanged(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(8447);
    static const guint pieces[] = { 1, 27, 28, 29, 4096, 1 << 20, 0, 0, 0 };

    for (guint i = 0; i < G_N_ELEMENTS(recorded); i++) {
        g_autoptr(GByteArray) in = load(recorded[i].name);
        for (guint p = 0; p < G_N_ELEMENTS(pieces); p++) {
            g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(recorded[i].config);
            g_autoptr(GByteArray) out = g_byte_array_new();
            UNIT_OK(feed_all(filter, in, pieces[p], rand, out, error));
            assert_int_equal(out->len, in->len);
            assert_memory_equal(out->data, in->data, in->len);
        }
    }
}

/* A cut at any byte gives the whole packets before it and no more. */
static void cut_anywhere(void **state)
{
    g_autoptr(GByteArray) in = load("kvm-unix");

    for (guint cut = 0; cut < in->len; cut++) {
        g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(&kvm);
        g_autoptr(GByteArray) out = g_byte_array_new();
        UNIT_OK(gw_rpc_filter_feed(filter, in->data, cut, out, error));
        assert_true(out->len <= cut);
        assert_memory_equal(out->data, in->data, out->len);
        guint end = 0;
        while (end < out->len)
            end += (guint)in->data[end + 2] << 8 | in->data[end + 3];
        assert_int_equal(end, out->len);
    }
}

/* Packets made here --------------------------------------------------------------------------- */

static void put_u32(GByteArray *out, guint32 value)
{
    guint8 bytes[] = { (guint8)(value >> 24), (guint8)(value >> 16), (guint8)(value >> 8),
                       (guint8)value };
    g_byte_array_append(out, bytes, 4);
}

static void put_bytes(GByteArray *out, const char *bytes, gsize length)
{
    put_u32(out, (guint32)length);
    g_byte_array_append(out, (const guint8 *)bytes, (guint)length);
    g_byte_array_append(out, (const guint8 *)"\0\0\0", (guint)(-length & 3));
}

static void put_text(GByteArray *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static GByteArray *packet(guint32 program, guint32 procedure, guint32 type, const GByteArray *args)
{
    GByteArray *out = g_byte_array_new();

    put_u32(out, 28 + (args != NULL ? args->len : 0));
    put_u32(out, program);
    put_u32(out, 1);
    put_u32(out, procedure);
    put_u32(out, type);
    put_u32(out, 7);
    put_u32(out, 0);
    if (args != NULL)
        g_byte_array_append(out, args->data, args->len);
    return out;
}

/* One packet, into a new filter. */
static void refused_by(const GwRpcFilterConfig *config, const GByteArray *in, GwErrorCode code,
                       const char *part)
{
    static const guint pieces[] = { 1, 1 << 20 };

    for (guint p = 0; p < G_N_ELEMENTS(pieces); p++) {
        g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(config);
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        g_autoptr(GError) again = NULL;
        if (feed_all(filter, in, pieces[p], NULL, out, &error))
            fail_msg("it passed, '%s' was to be refused", part);
        unit_assert_error(error, code, part);
        assert_int_equal(out->len, 0);
        assert_false(gw_rpc_filter_feed(filter, in->data, in->len, out, &again)); /* for good */
        assert_int_equal(out->len, 0);
    }
}

static void passes(const GwRpcFilterConfig *config, const GByteArray *in)
{
    g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(config);
    g_autoptr(GByteArray) out = g_byte_array_new();

    UNIT_OK(feed_all(filter, in, 1, NULL, out, error));
    assert_int_equal(out->len, in->len);
    assert_memory_equal(out->data, in->data, in->len);
}

/* Every number that libvirt has or may come to have, but those that a move needs. */
static void every_other_procedure_is_refused(void **state)
{
    static const guint32 allowed[] = { 1, 2, 3, 4, 59, 60, 66, 70, 110, 157, 303, 306, 360, 361 };
    guint refused = 0;

    for (guint32 number = 0; number < 2000; number++) {
        gboolean is_allowed = FALSE;
        for (guint i = 0; i < G_N_ELEMENTS(allowed); i++)
            is_allowed = is_allowed || allowed[i] == number;
        if (is_allowed)
            continue;
        g_autoptr(GByteArray) in = packet(REMOTE, number, 0, NULL);
        refused_by(&kvm, in, GW_ERR_FORBIDDEN, "procedure");
        refused++;
    }
    assert_int_equal(refused, 2000 - G_N_ELEMENTS(allowed));
    g_autoptr(GByteArray) negative = packet(REMOTE, (guint32)-1, 0, NULL);
    refused_by(&kvm, negative, GW_ERR_FORBIDDEN, "procedure -1");
}

static void other_programs_are_refused(void **state)
{
    static const guint32 programs[] = { 0x20008087, 0x00008064, 0x06900690,
                                        0,          0x87539319, 0xffffffff };

    for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
        for (guint32 number = 0; number < 10; number++) {
            g_autoptr(GByteArray) in = packet(programs[i], number, 0, NULL);
            refused_by(&kvm, in, GW_ERR_FORBIDDEN, "program");
        }
    }
}

static void other_types_of_packets_are_refused(void **state)
{
    for (guint32 number = 0; number < 400; number += (guint32)unit_step(1)) {
        for (guint32 type = 1; type < 8; type++) {
            g_autoptr(GByteArray) in = packet(REMOTE, number, type, NULL);
            refused_by(&kvm, in, GW_ERR_FORBIDDEN, "type");
        }
    }
    for (guint32 type = 0; type < 8; type++) {
        g_autoptr(GByteArray) in = packet(0x6b656570, 1, type, NULL);
        if (type == 2)
            passes(&kvm, in);
        else
            refused_by(&kvm, in, GW_ERR_FORBIDDEN, "keepalive");
    }
}

static void headers_that_lie(void **state)
{
    static const guint32 lengths[] = { 0, 1, 4, 27, 33554437, 0x7fffffff, 0x80000000, 0xffffffff };
    g_autoptr(GByteArray) in = packet(REMOTE, 66, 0, NULL);

    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        for (guint b = 0; b < 4; b++)
            in->data[b] = (guint8)(lengths[i] >> (24 - 8 * b));
        refused_by(&kvm, in, GW_ERR_INVALID, "bytes");
    }
    g_autoptr(GByteArray) args = g_byte_array_new();
    put_u32(args, 0);
    g_autoptr(GByteArray) more = packet(REMOTE, 66, 0, args);
    refused_by(&kvm, more, GW_ERR_INVALID, "4 bytes of arguments");
    /* Over what is held back for a look, though libvirt would take it. */
    g_autoptr(GByteArray) large = packet(REMOTE, 303, 0, args);
    large->data[0] = 1;
    refused_by(&kvm, large, GW_ERR_INVALID, "arguments");
    g_autoptr(GByteArray) version = packet(REMOTE, 66, 0, NULL);
    version->data[11] = 2;
    refused_by(&kvm, version, GW_ERR_INVALID, "version 2");
    g_autoptr(GByteArray) status = packet(REMOTE, 66, 0, NULL);
    status->data[27] = 1;
    refused_by(&kvm, status, GW_ERR_INVALID, "status 1");
}

static void only_the_system_driver_is_opened(void **state)
{
    static const char *const others[] = {
        "lxc:///",         "qemu:///session",  "qemu+ssh://root@kvm3/system",
        "test:///default", "qemu:///system?x", "",
        "QEMU:///system"
    };

    for (guint i = 0; i <= G_N_ELEMENTS(others); i++) {
        g_autoptr(GByteArray) args = g_byte_array_new();
        put_u32(args, i < G_N_ELEMENTS(others));
        if (i < G_N_ELEMENTS(others))
            put_text(args, others[i]);
        put_u32(args, 0);
        g_autoptr(GByteArray) in = packet(REMOTE, 1, 0, args);
        refused_by(&kvm, in, GW_ERR_FORBIDDEN, "required is qemu:///system");
    }
    g_autoptr(GByteArray) args = g_byte_array_new();
    put_u32(args, 1);
    put_u32(args, 0xfffffffc); /* a length that is not true */
    put_text(args, "qemu:///system");
    g_autoptr(GByteArray) lying = packet(REMOTE, 1, 0, args);
    refused_by(&kvm, lying, GW_ERR_INVALID, "open");
}

/* Moves made here ----------------------------------------------------------------------------- */

typedef struct {
    const char *xml, *name, *uri, *disks, *cookie;
    gsize cookie_length; /* 0: the text with its NUL */
    guint32 flags;
    gboolean finish;
    void (*more)(GByteArray *params, guint *count); /* parameters besides */
} Move;

#define XML "<domain type='kvm'><name>reckvm1</name><uuid>" KVM_UUID "</uuid></domain>"
#define COOKIE                                                                                     \
    "<qemu-migration><name>reckvm1</name><uuid>" KVM_UUID                                          \
    "</uuid><feature name='persistent'/>" XML "</qemu-migration>"
#define MOVE .xml = XML, .uri = SOCKET, .cookie = COOKIE, .flags = 0x1b

static void put_string(GByteArray *params, guint *count, const char *field, const char *value)
{
    if (value == NULL)
        return;
    put_text(params, field);
    put_u32(params, 7);
    put_text(params, value);
    (*count)++;
}

static GByteArray *move_packet(const Move *move)
{
    g_autoptr(GByteArray) params = g_byte_array_new();
    g_autoptr(GByteArray) args = g_byte_array_new();
    guint count = 0;

    put_string(params, &count, "destination_xml", move->xml);
    put_string(params, &count, "migrate_uri", move->uri);
    put_string(params, &count, "disks_uri", move->disks);
    put_string(params, &count, "destination_name", move->name);
    if (move->more != NULL)
        move->more(params, &count);
    put_u32(args, count);
    g_byte_array_append(args, params->data, params->len);
    if (move->cookie != NULL)
        put_bytes(args, move->cookie,
                  move->cookie_length > 0 ? move->cookie_length : strlen(move->cookie) + 1);
    else
        put_u32(args, 0);
    put_u32(args, move->flags);
    if (move->finish)
        put_u32(args, 0);
    return packet(REMOTE, move->finish ? 306 : 303, 0, args);
}

static void moves(const GwRpcFilterConfig *config, const Move *move)
{
    g_autoptr(GByteArray) in = move_packet(move);

    passes(config, in);
}

static void forbidden(const GwRpcFilterConfig *config, const Move *move, const char *part)
{
    g_autoptr(GByteArray) in = move_packet(move);

    refused_by(config, in, GW_ERR_FORBIDDEN, part);
}

static void the_tickets_move_passes(void **state)
{
    moves(&kvm, &(Move){ MOVE });
    moves(&kvm, &(Move){ MOVE, .name = "reckvm1" });
    moves(&kvm, &(Move){ MOVE, .name = "reckvm1", .finish = TRUE });
    moves(&kvm, &(Move){ .name = "reckvm1", .finish = TRUE, .flags = 0x1b }); /* cancelled */
    moves(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .disks = DISKS, .flags = 0x5b });
}

static void another_vm_is_refused(void **state)
{
    static const char other_uuid[] =
        "<domain><name>reckvm1</name><uuid>8e490cda-b7f1-54a3-b7ec-4364c3ce5b91</uuid></domain>";
    static const char other_name[] =
        "<domain><name>reckvm2</name><uuid>" KVM_UUID "</uuid></domain>";
    static const char two[] = "<domain><uuid>" KVM_UUID "</uuid><name>reckvm1</name>"
                              "<name>reckvm2</name></domain>";
    static const char none[] = "<domain><name>reckvm1</name></domain>";
    static const char deeper[] =
        "<domain><name>reckvm1</name><metadata><uuid>" KVM_UUID "</uuid></metadata></domain>";
    static const char foreign[] =
        "<domain xmlns='urn:x'><name>reckvm1</name><uuid>" KVM_UUID "</uuid></domain>";
    static const char root[] = "<network><name>reckvm1</name><uuid>" KVM_UUID "</uuid></network>";

    forbidden(&kvm, &(Move){ .xml = other_uuid, .uri = SOCKET }, "<uuid>");
    forbidden(&kvm, &(Move){ .xml = other_name, .uri = SOCKET }, "<name>");
    forbidden(&kvm, &(Move){ .xml = two, .uri = SOCKET }, "2 elements <name>");
    forbidden(&kvm, &(Move){ .xml = none, .uri = SOCKET }, "0 elements <uuid>");
    forbidden(&kvm, &(Move){ .xml = deeper, .uri = SOCKET }, "0 elements <uuid>");
    forbidden(&kvm, &(Move){ .xml = foreign, .uri = SOCKET }, "not a <domain>");
    forbidden(&kvm, &(Move){ .xml = root, .uri = SOCKET }, "not a <domain>");
    forbidden(&kvm, &(Move){ .uri = SOCKET }, "without its definition");
    forbidden(&kvm, &(Move){ MOVE, .name = "reckvm2" }, "new name");
    forbidden(&kvm, &(Move){ .finish = TRUE, .name = "reckvm2" }, "new name");
    forbidden(&kvm, &(Move){ .finish = TRUE }, "without the VM's name");
    for (guint i = 0; i < G_N_ELEMENTS(recorded); i++) {
        if (recorded[i].config == &kvm)
            continue;
        g_autoptr(GByteArray) in = load(recorded[i].name);
        g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(&kvm);
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        assert_false(gw_rpc_filter_feed(filter, in->data, in->len, out, &error));
        unit_assert_error(error, GW_ERR_FORBIDDEN, "asked for");
        assert_true(out->len < 500); /* what connects, but no prepare */
    }
}

static void another_vm_in_a_cookie_is_refused(void **state)
{
    static const char other[] =
        "<qemu-migration><name>reckvm1</name><uuid>" KVM_UUID
        "</uuid><domain><name>victim</name><uuid>" KVM_UUID "</uuid></domain></qemu-migration>";
    static const char second[] = "<qemu-migration><name>reckvm1</name><uuid>" KVM_UUID "</uuid>" XML
                                 "<domain><name>reckvm1</name></domain>"
                                 "</qemu-migration>";
    static const char name[] =
        "<qemu-migration><name>victim</name><uuid>" KVM_UUID "</uuid></qemu-migration>";
    static const char trailing[] = COOKIE "\0<x/>";
    g_autoptr(GByteArray) in = NULL;

    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .cookie = other },
              "a definition to keep whose <name>");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .cookie = second },
              "2 definitions to keep");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .cookie = name }, "cookie whose <name>");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .cookie = XML }, "not a <qemu-migration>");
    forbidden(&kvm, &(Move){ .finish = TRUE, .name = "reckvm1", .cookie = other },
              "a definition to keep");
    in = move_packet(&(Move){
        .xml = XML, .uri = SOCKET, .cookie = trailing, .cookie_length = sizeof(trailing) });
    refused_by(&kvm, in, GW_ERR_INVALID, "does not end where it says");
    g_byte_array_unref(in);
    in = move_packet(
        &(Move){ .xml = XML, .uri = SOCKET, .cookie = COOKIE, .cookie_length = strlen(COOKIE) });
    refused_by(&kvm, in, GW_ERR_INVALID, "does not end where it says");
}

static void other_sockets_are_refused(void **state)
{
    GwRpcFilterConfig none = kvm, memory = kvm;

    none.migration_uri = none.disks_uri = NULL;
    memory.disks_uri = NULL; /* leave for a move without its disks */
    forbidden(&kvm, &(Move){ .xml = XML, .uri = "tcp:192.0.2.1:49152" }, "migration socket");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET "x" }, "migration socket");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = "" }, "migration socket");
    forbidden(&kvm, &(Move){ .xml = XML }, "without a socket");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .disks = SOCKET }, "disks' socket");
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x5b }, "copy of disks");
    forbidden(&stock, &(Move){ .name = "recstock1", .disks = DISKS, .finish = TRUE }, "none");
    forbidden(&none, &(Move){ MOVE }, "none");
    forbidden(&memory, &(Move){ .xml = XML, .uri = SOCKET, .disks = DISKS, .flags = 0x5b }, "none");
    forbidden(&memory, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x9b }, "allows none");
    moves(&memory, &(Move){ MOVE });
    forbidden(&none, &(Move){ .xml = XML, .flags = 0x1b }, "allows none");
}

/* Real moves that are not the ticket's: they connect, and no further. */
static void recorded_moves_that_are_refused(void **state)
{
    static const struct {
        const char *name;
        const GwRpcFilterConfig *config;
        const char *part;
    } cases[] = {
        { "kvm-plain", &kvm, "without a socket" }, /* QEMU would have listened on TCP */
        { "stock-plain", &stock, "without a socket" },
        { "kvm-tunnelled", &post, "procedure 304" },
        { "kvm-postcopy", &post_paused, "starts by itself" },
        { "kvm-unix", &stock, "<uuid>" },
        { "kvm-moved-disks", &moved_memory, "the disks' socket" },
        { "kvm-moved-disks", &kvm, "<uuid>" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) in = load(cases[i].name);
        g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(cases[i].config);
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        assert_false(gw_rpc_filter_feed(filter, in->data, in->len, out, &error));
        unit_assert_error(error, GW_ERR_FORBIDDEN, cases[i].part);
        assert_in_range(out->len, 200, 500);
    }
}

static void listen_address(GByteArray *params, guint *count)
{
    put_string(params, count, "listen_address", "0.0.0.0");
}

static void disks_port(GByteArray *params, guint *count)
{
    put_text(params, "disks_port");
    put_u32(params, 1);
    put_u32(params, 10809);
    (*count)++;
}

static void second_uri(GByteArray *params, guint *count)
{
    put_string(params, count, "migrate_uri", SOCKET);
}

static void graphics(GByteArray *params, guint *count)
{
    put_string(params, count, "graphics_uri", "spice://192.0.2.1");
}

static void persistent(GByteArray *params, guint *count)
{
    put_string(params, count, "persistent_xml", XML);
}

static void two_disks(GByteArray *params, guint *count)
{
    put_string(params, count, "migrate_disks", "vda");
    put_string(params, count, "migrate_disks", "vdb");
}

static void parameters_are_those_of_a_move(void **state)
{
    forbidden(&kvm, &(Move){ MOVE, .more = listen_address }, "listen_address");
    forbidden(&kvm, &(Move){ MOVE, .more = disks_port }, "disks_port");
    forbidden(&kvm, &(Move){ MOVE, .more = second_uri }, "migrate_uri twice");
    forbidden(&kvm, &(Move){ MOVE, .more = graphics }, "graphics_uri");
    forbidden(&kvm, &(Move){ MOVE, .more = persistent }, "persistent_xml");
    moves(&kvm, &(Move){ MOVE, .more = two_disks });
}

static void flags_are_those_of_a_move(void **state)
{
    GwRpcFilterConfig paused = kvm, careful = kvm;

    paused.paused = TRUE;
    careful.no_post_copy = TRUE;
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x1b | 1 << 2 },
              "flags"); /* tunnelled */
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x1b | 1 << 10 },
              "flags"); /* offline */
    forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x1b | 1 << 14 },
              "flags"); /* RDMA */
    for (guint bit = 21; bit < 32; bit++)
        forbidden(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x1b | 1u << bit }, "flags");
    forbidden(&paused, &(Move){ MOVE }, "starts by itself");
    forbidden(&paused, &(Move){ .name = "reckvm1", .finish = TRUE, .flags = 0x1b }, "by itself");
    moves(&paused, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x3b });
    moves(&kvm, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x801b });
    forbidden(&careful, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x801b }, "post-copy");
    forbidden(&paused, &(Move){ .xml = XML, .uri = SOCKET, .flags = 0x803b }, "post-copy");
}

static void checks_prepare_nothing(void **state)
{
    GwRpcFilterConfig check = kvm;
    GwRpcFilterConfig nobody = { .prepare = TRUE };

    check.prepare = FALSE;
    forbidden(&check, &(Move){ MOVE }, "check only");
    forbidden(&check, &(Move){ .name = "reckvm1", .finish = TRUE }, "check only");
    forbidden(&nobody, &(Move){ MOVE }, "check only"); /* no VM is not any VM */
}

static guint32 u32_at(const GByteArray *bytes, guint at)
{
    return (guint32)bytes->data[at] << 24 | (guint32)bytes->data[at + 1] << 16 |
           (guint32)bytes->data[at + 2] << 8 | bytes->data[at + 3];
}

/* Each count, length and type within the arguments (a number below the packet's length; no four
 * bytes of text are), made a lie of every size. */
static void lengths_within_that_lie(void **state)
{
    static const guint32 lies[] = { 0, 3, 6, 8, 100, 4194305, 0x7fffffff, 0xfffffffc, 0xffffffff };
    g_autoptr(GByteArray) good = move_packet(&(Move){ MOVE, .name = "reckvm1", .finish = TRUE });
    guint refused = 0;

    for (guint at = 28; at < good->len - 8; at += 4) { /* not flags and cancelled at the end */
        if (u32_at(good, at) >= good->len)
            continue;
        for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
            g_autoptr(GByteArray) in = g_byte_array_new();
            g_autoptr(GwRpcFilter) filter = gw_rpc_filter_new(&kvm);
            g_autoptr(GByteArray) out = g_byte_array_new();
            g_autoptr(GError) error = NULL;
            g_byte_array_append(in, good->data, good->len);
            for (guint b = 0; b < 4; b++)
                in->data[at + b] = (guint8)(lies[i] >> (24 - 8 * b));
            if (u32_at(good, at) == lies[i])
                continue;
            assert_false(gw_rpc_filter_feed(filter, in->data, in->len, out, &error));
            assert_non_null(gw_error_remedy(error));
            assert_int_equal(out->len, 0);
            refused++;
        }
    }
    /* A count, three parameters of three numbers, a cookie's length. */
    assert_in_range(refused, 80, 11 * G_N_ELEMENTS(lies));
}

/* What would end at a NUL for libvirt, and not for us, or the other way. */
static void texts_end_where_they_say(void **state)
{
    g_autoptr(GByteArray) args = g_byte_array_new();

    put_u32(args, 2);
    put_text(args, "destination_xml");
    put_u32(args, 7);
    put_bytes(args, XML "\0<x/>", sizeof(XML "\0<x/>") - 1);
    put_text(args, "migrate_uri");
    put_u32(args, 7);
    put_text(args, SOCKET);
    put_u32(args, 0);
    put_u32(args, 0x1b);
    g_autoptr(GByteArray) in = packet(REMOTE, 303, 0, args);
    refused_by(&kvm, in, GW_ERR_INVALID, "not true");

    g_autoptr(GByteArray) behind = move_packet(&(Move){ MOVE });
    put_u32(behind, 0); /* four bytes after the arguments */
    behind->data[2] = (guint8)(behind->len >> 8);
    behind->data[3] = (guint8)behind->len;
    refused_by(&kvm, behind, GW_ERR_INVALID, "not of their length");
}

static void hostile_xml_is_refused(void **state)
{
    static const char dtd[] =
        "<!DOCTYPE d [<!ENTITY n 'reckvm1'>]><domain><name>&n;</name><uuid>" KVM_UUID
        "</uuid></domain>";
    g_autoptr(GByteArray) with_dtd = move_packet(&(Move){ .xml = dtd, .uri = SOCKET });
    g_autoptr(GByteArray) no_xml = move_packet(&(Move){ .xml = "reckvm1", .uri = SOCKET });
    g_autoptr(GByteArray) empty = move_packet(&(Move){ .xml = "", .uri = SOCKET });

    refused_by(&kvm, with_dtd, GW_ERR_INVALID, "DTD");
    refused_by(&kvm, no_xml, GW_ERR_INVALID, "XML");
    refused_by(&kvm, empty, GW_ERR_INVALID, "XML");
    /* A text of few bytes for each node: as a tree it would be huge. */
    g_autofree char *nodes = g_strnfill(1024 * 1024 / 4 + 1, ' ');
    g_auto(GStrv) pieces = g_strsplit(nodes, " ", -1);
    g_autofree char *many = g_strjoinv("<a/>", pieces);
    g_autofree char *wide = g_strdup_printf("<domain>%s</domain>", many);
    g_autoptr(GByteArray) large = move_packet(&(Move){ .xml = wide, .uri = SOCKET });
    refused_by(&kvm, large, GW_ERR_TOO_LARGE, "looked into");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_moves_pass_unchanged),
        cmocka_unit_test(recorded_moves_that_are_refused),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(every_other_procedure_is_refused),
        cmocka_unit_test(other_programs_are_refused),
        cmocka_unit_test(other_types_of_packets_are_refused),
        cmocka_unit_test(headers_that_lie),
        cmocka_unit_test(only_the_system_driver_is_opened),
        cmocka_unit_test(the_tickets_move_passes),
        cmocka_unit_test(another_vm_is_refused),
        cmocka_unit_test(another_vm_in_a_cookie_is_refused),
        cmocka_unit_test(other_sockets_are_refused),
        cmocka_unit_test(parameters_are_those_of_a_move),
        cmocka_unit_test(flags_are_those_of_a_move),
        cmocka_unit_test(checks_prepare_nothing),
        cmocka_unit_test(lengths_within_that_lie),
        cmocka_unit_test(texts_end_where_they_say),
        cmocka_unit_test(hostile_xml_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
