/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets: each field survives, and nothing that is not exactly the controller's word passes. */
#include "unit.h"

#include <sodium.h>
#include <string.h>

#include "wire/ticket.h"

#define NOW 1700000000

static guint8 public_key[32], secret[64];

static GwTicket good(void)
{
    return (GwTicket){
        .fabric_id = (char *)"01FABRIC000000000000000000",
        .job_id = (char *)"01J0B0000000000000000000AB",
        .vm_uuid = (char *)"0f3c1d2e-4b5a-6978-8796-a5b4c3d2e1f0",
        .vm_name = (char *)"web é 1",
        .epoch = 0x1122334455667788,
        .source_id = (char *)"kvm1",
        .destination_id = (char *)"kvm2",
        .not_before_s = NOW - 60,
        .expires_s = NOW + 3600,
        .kinds = GW_STREAM_RPC | GW_STREAM_MIGRATION,
        .streams_max = 20,
        .commit_by_resume = TRUE,
    };
}

static GBytes *sign(const GwTicket *ticket)
{
    GBytes *bytes = NULL;

    UNIT_OK((bytes = gw_ticket_sign(ticket, secret, error)) != NULL);
    return bytes;
}

static GwTicket *open_bytes(const guint8 *data, gsize length, GError **error)
{
    /* On the heap and of exact size, so that a reader's overrun is seen. */
    g_autofree guint8 *copy = g_memdup2(data, length);

    return gw_ticket_open(copy, length, public_key, error);
}

static void every_field_survives(void **state)
{
    GwTicket ticket = good();
    g_autoptr(GBytes) bytes = sign(&ticket);
    g_autoptr(GwTicket) back = NULL;
    gsize length = 0;
    const guint8 *data = g_bytes_get_data(bytes, &length);

    UNIT_OK((back = open_bytes(data, length, error)) != NULL);
    assert_string_equal(back->fabric_id, ticket.fabric_id);
    assert_string_equal(back->job_id, ticket.job_id);
    assert_string_equal(back->vm_uuid, ticket.vm_uuid);
    assert_string_equal(back->vm_name, ticket.vm_name);
    assert_true(back->epoch == ticket.epoch);
    assert_string_equal(back->source_id, ticket.source_id);
    assert_string_equal(back->destination_id, ticket.destination_id);
    assert_int_equal(back->not_before_s, ticket.not_before_s);
    assert_int_equal(back->expires_s, ticket.expires_s);
    assert_int_equal(back->kinds, ticket.kinds);
    assert_int_equal(back->streams_max, ticket.streams_max);
    assert_true(back->commit_by_resume);
    assert_false(back->post_copy);
}

static void ids_are_drawn(void **state)
{
    GwTicket ticket = good();
    g_autoptr(GBytes) a = sign(&ticket);
    g_autoptr(GBytes) b = sign(&ticket);

    assert_false(g_bytes_equal(a, b));
    assert_memory_not_equal((const guint8 *)g_bytes_get_data(a, NULL) + 1,
                            (const guint8 *)g_bytes_get_data(b, NULL) + 1, GW_TICKET_ID);
}

static void flags_and_kinds_are_kept_apart(void **state)
{
    static const guint kinds[] = { GW_STREAM_RPC,  GW_STREAM_MIGRATION, GW_STREAM_DISK,
                                   GW_STREAM_FILE, GW_STREAM_ECHO,      GW_STREAM_DISCARD };

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        GwTicket ticket = good();
        ticket.kinds = kinds[i];
        ticket.commit_by_resume = FALSE;
        ticket.post_copy = i % 2 == 0;
        g_autoptr(GBytes) bytes = sign(&ticket);
        g_autoptr(GwTicket) back =
            open_bytes(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), NULL);
        assert_non_null(back);
        assert_int_equal(back->kinds, kinds[i]);
        assert_int_equal(back->post_copy, i % 2 == 0);
        assert_false(back->commit_by_resume);
        assert_int_equal(gw_stream_kind_from_word(gw_stream_kind_word(kinds[i])), kinds[i]);
    }
    assert_int_equal(gw_stream_kind_from_word("libvirt"), GW_STREAM_LIBVIRT);
    assert_int_equal(gw_stream_kind_from_word("nothing"), 0);
    assert_int_equal(gw_stream_kind_from_word(NULL), 0);
}

typedef struct {
    const char *part; /* of the message */
    void (*spoil)(GwTicket *ticket);
} Bad;

#define SPOIL(name, statement)                                                                     \
    static void name(GwTicket *t)                                                                  \
    {                                                                                              \
        statement;                                                                                 \
    }
SPOIL(no_fabric, t->fabric_id = NULL)
SPOIL(fabric_colon, t->fabric_id = (char *)"a:b")
SPOIL(short_job, t->job_id = (char *)"01J0B0000000000000000000A")
SPOIL(path_job, t->job_id = (char *)"../../../etc/passwd/......")
SPOIL(letter_job, t->job_id = (char *)"01J0B0000000000000000000AI")
SPOIL(empty_name, t->vm_name = (char *)"")
SPOIL(latin_name, t->vm_name = (char *)"w\xe9")
SPOIL(slash_name, t->vm_name = (char *)"a/../b")
SPOIL(control_name, t->vm_name = (char *)"a\nb")
SPOIL(uuid_form, t->vm_uuid = (char *)"0f3c1d2e4b5a69788796a5b4c3d2e1f0")
SPOIL(uuid_digit, t->vm_uuid = (char *)"0f3c1d2e-4b5a-6978-8796-a5b4c3d2e1fg")
SPOIL(same_host, t->destination_id = (char *)"kvm1")
SPOIL(host_space, t->destination_id = (char *)"kvm 2")
SPOIL(epoch_below, t->epoch = -1)
SPOIL(backwards, t->expires_s = t->not_before_s)
SPOIL(for_ever, t->expires_s = t->not_before_s + 32 * 86400)
SPOIL(overflowing, t->expires_s = G_MAXINT64)
SPOIL(before_time, t->not_before_s = G_MININT64)
SPOIL(no_kind, t->kinds = 0)
SPOIL(whole_libvirt, t->kinds |= GW_STREAM_LIBVIRT)
SPOIL(unknown_kind, t->kinds |= 1 << 14)
SPOIL(no_stream, t->streams_max = 0)
SPOIL(many_streams, t->streams_max = 4097)
SPOIL(both_commits, t->post_copy = TRUE)

static const Bad bad[] = {
    { "fabric", no_fabric },       { "fabric", fabric_colon },  { "job", short_job },
    { "job", path_job },           { "job", letter_job },       { "name", empty_name },
    { "name", latin_name },        { "name", slash_name },      { "name", control_name },
    { "UUID", uuid_form },         { "UUID", uuid_digit },      { "destination", same_host },
    { "destination", host_space }, { "epoch", epoch_below },    { "time", backwards },
    { "time", for_ever },          { "time", overflowing },     { "time", before_time },
    { "kinds", no_kind },          { "kinds", whole_libvirt },  { "kinds", unknown_kind },
    { "streams", no_stream },      { "streams", many_streams }, { "commit", both_commits },
};

static void what_cannot_be_is_not_signed(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        GwTicket ticket = good();
        bad[i].spoil(&ticket);
        assert_null(gw_ticket_sign(&ticket, secret, &error));
        unit_assert_error(error, GW_ERR_INVALID, bad[i].part);
    }
}

static void long_names_are_bounded(void **state)
{
    g_autofree char *longest = g_strnfill(512, 'n');
    g_autofree char *longer = g_strnfill(513, 'n');
    g_autofree char *host = g_strnfill(64, 'h');
    g_autoptr(GError) error = NULL;
    GwTicket ticket = good();

    ticket.vm_name = longest;
    ticket.source_id = host;
    g_autoptr(GBytes) bytes = sign(&ticket);
    assert_true(g_bytes_get_size(bytes) <= GW_TICKET_MAX);
    g_autoptr(GwTicket) back =
        open_bytes(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), NULL);
    assert_string_equal(back->vm_name, longest);
    ticket.vm_name = longer;
    assert_null(gw_ticket_sign(&ticket, secret, &error));
    unit_assert_error(error, GW_ERR_INVALID, "name");
}

/* What a controller never signs is refused even with its signature: the body of another ticket,
 * changed and signed again. */
static GBytes *signed_again(GByteArray *body)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    guint8 signature[GW_TICKET_SIGNATURE];

    g_byte_array_append(all, (const guint8 *)"godwit ticket 1", 16);
    g_byte_array_append(all, body->data, body->len);
    crypto_sign_detached(signature, NULL, all->data, all->len, secret);
    g_byte_array_append(body, signature, sizeof(signature));
    return g_bytes_new(body->data, body->len);
}

static GByteArray *good_body(void)
{
    GwTicket ticket = good();
    g_autoptr(GBytes) bytes = sign(&ticket);
    GByteArray *body = g_byte_array_new();

    g_byte_array_append(body, g_bytes_get_data(bytes, NULL),
                        (guint)(g_bytes_get_size(bytes) - GW_TICKET_SIGNATURE));
    return body;
}

static void refused_though_signed(GByteArray *body, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = signed_again(body);

    assert_null(open_bytes(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &error));
    unit_assert_error(error, GW_ERR_INVALID, part);
    g_byte_array_unref(body);
}

static void decoding_is_strict(void **state)
{
    enum { AT_FLAGS = 1 + 16 + 16 + 8 * 3 + 2 * 2, AT_FABRIC = AT_FLAGS + 1 };
    g_autoptr(GBytes) same = NULL;
    GByteArray *body = good_body();

    same = signed_again(body);
    g_autoptr(GwTicket) ticket =
        open_bytes(g_bytes_get_data(same, NULL), g_bytes_get_size(same), NULL);
    assert_non_null(ticket);
    g_byte_array_unref(body);

    body = good_body();
    g_byte_array_append(body, (const guint8 *)"", 1);
    refused_though_signed(body, "form"); /* a byte after the end */
    body = good_body();
    g_byte_array_set_size(body, body->len - 1);
    refused_though_signed(body, "form");
    body = good_body();
    body->data[AT_FLAGS] |= 4;
    refused_though_signed(body, "form"); /* a flag we do not know */
    body = good_body();
    body->data[AT_FLAGS] = 3;
    refused_though_signed(body, "commit");
    body = good_body();
    body->data[0] = 2;
    refused_though_signed(body, "version 2");
    body = good_body();
    body->data[AT_FABRIC] = 0xff; /* a length beyond the end */
    refused_though_signed(body, "form");
    body = good_body();
    body->data[AT_FABRIC + 2 + 3] = '\0';
    refused_though_signed(body, "form"); /* a NUL in a text */
    body = good_body();
    body->data[AT_FABRIC + 2 + 3] = ':';
    refused_though_signed(body, "fabric");
    body = good_body();
    body->data[AT_FLAGS - 3] = 0xff;
    refused_though_signed(body, "kinds");
}

static void truncated_at_every_byte(void **state)
{
    GwTicket ticket = good();
    g_autoptr(GBytes) bytes = sign(&ticket);
    const guint8 *data = g_bytes_get_data(bytes, NULL);

    for (gsize length = 0; length < g_bytes_get_size(bytes); length++) {
        g_autoptr(GError) error = NULL;
        assert_null(open_bytes(data, length, &error));
        assert_non_null(gw_error_remedy(error));
    }
    g_autofree guint8 *longer = g_malloc0(GW_TICKET_MAX + 1);
    memcpy(longer, data, g_bytes_get_size(bytes));
    for (gsize more = 1; g_bytes_get_size(bytes) + more <= GW_TICKET_MAX + 1; more += 7)
        assert_null(open_bytes(longer, g_bytes_get_size(bytes) + more, NULL));
}

static void every_flipped_bit_is_seen(void **state)
{
    GwTicket ticket = good();
    g_autoptr(GBytes) bytes = sign(&ticket);
    gsize length = g_bytes_get_size(bytes);
    g_autofree guint8 *copy = g_memdup2(g_bytes_get_data(bytes, NULL), length);

    for (gsize bit = 0; bit < length * 8; bit++) {
        g_autoptr(GError) error = NULL;
        copy[bit / 8] ^= (guint8)(1 << bit % 8);
        assert_null(open_bytes(copy, length, &error));
        assert_non_null(error);
        copy[bit / 8] ^= (guint8)(1 << bit % 8);
    }
    g_autoptr(GwTicket) whole = open_bytes(copy, length, NULL);
    assert_non_null(whole);
}

static void forged_and_foreign(void **state)
{
    guint8 other_public[32], other_secret[64];
    g_autoptr(GError) error = NULL;
    GwTicket ticket = good();

    crypto_sign_keypair(other_public, other_secret);
    g_autoptr(GBytes) forged = gw_ticket_sign(&ticket, other_secret, NULL);
    assert_null(open_bytes(g_bytes_get_data(forged, NULL), g_bytes_get_size(forged), &error));
    unit_assert_error(error, GW_ERR_UNAUTHORIZED, "not signed");
    /* Signed by the right key, but as something else than a ticket. */
    g_clear_error(&error);
    g_autoptr(GByteArray) body = good_body();
    guint8 signature[GW_TICKET_SIGNATURE];
    crypto_sign_detached(signature, NULL, body->data, body->len, secret);
    g_byte_array_append(body, signature, sizeof(signature));
    assert_null(open_bytes(body->data, body->len, &error));
    unit_assert_error(error, GW_ERR_UNAUTHORIZED, "not signed");
}

static void refused(const GwTicket *ticket, const char *fabric, const char *source,
                    const char *destination, guint kind, gint64 now_s, const char *part)
{
    g_autoptr(GError) error = NULL;

    assert_false(gw_ticket_check(ticket, fabric, source, destination, kind, now_s, &error));
    unit_assert_error(error, GW_ERR_UNAUTHORIZED, part);
}

static void leave_is_for_one_move(void **state)
{
    GwTicket ticket = good();
    const char *fabric = ticket.fabric_id;
    const GwTicket *t = &ticket;

    UNIT_OK(gw_ticket_check(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC, NOW, error));
    UNIT_OK(gw_ticket_check(t, fabric, "kvm1", "kvm2", GW_STREAM_MIGRATION, NOW, error));
    refused(t, "other", "kvm1", "kvm2", GW_STREAM_RPC, NOW, "fabric");
    refused(t, fabric, "kvm3", "kvm2", GW_STREAM_RPC, NOW, "required is kvm3");
    refused(t, fabric, "kvm1", "kvm3", GW_STREAM_RPC, NOW, "required is kvm3");
    refused(t, fabric, "kvm2", "kvm1", GW_STREAM_RPC, NOW, "source"); /* the other way */
    refused(t, fabric, NULL, "kvm2", GW_STREAM_RPC, NOW, "source");   /* the controller */
    refused(t, fabric, "kvm1", "kvm2", GW_STREAM_DISK, NOW, "disk");
    refused(t, fabric, "kvm1", "kvm2", GW_STREAM_LIBVIRT, NOW, "libvirt");
    refused(t, fabric, "kvm1", "kvm2", 0, NOW, "kind");
    refused(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC | GW_STREAM_DISK, NOW, "kind");
    UNIT_OK(gw_ticket_check(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC, NOW - 60, error));
    refused(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC, NOW - 61, "begins in 1 s");
    UNIT_OK(gw_ticket_check(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC, NOW + 3599, error));
    refused(t, fabric, "kvm1", "kvm2", GW_STREAM_RPC, NOW + 3600, "ended 0 s ago");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_survives),
        cmocka_unit_test(ids_are_drawn),
        cmocka_unit_test(flags_and_kinds_are_kept_apart),
        cmocka_unit_test(what_cannot_be_is_not_signed),
        cmocka_unit_test(long_names_are_bounded),
        cmocka_unit_test(decoding_is_strict),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(forged_and_foreign),
        cmocka_unit_test(leave_is_for_one_move),
    };
    if (sodium_init() < 0)
        return 1;
    crypto_sign_keypair(public_key, secret);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
