/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/ticket.h"

#include <sodium.h>
#include <string.h>

#include "base/error.h"
#include "wire/pki.h"

/* Encoded, integers big-endian, one form for each ticket:
 *
 *   u8 version, 16 id, 16 vm_uuid, i64 epoch, i64 not_before_s, i64 expires_s, u16 kinds,
 *   u16 streams_max, u8 flags, text fabric_id, text job_id, text vm_name, text source_id,
 *   text destination_id, 64 signature
 *
 * text: u16 length in bytes, so many bytes. What is signed is DOMAIN and all before the signature.
 */
#define VERSION 1
#define DOMAIN "godwit ticket 1"
#define DOMAIN_SIZE sizeof(DOMAIN) /* with its NUL, so that no other domain begins with it */
#define UUID_BYTES 16
#define JOB_ID_CHARS 26
#define VM_NAME_MAX 512 /* bytes; QEMU's own ceiling is lower */
#define STREAMS_MAX 4096
#define LIFE_MAX_S (31 * 86400)
#define KINDS                                                                                      \
    (GW_STREAM_RPC | GW_STREAM_MIGRATION | GW_STREAM_DISK | GW_STREAM_FILE | GW_STREAM_ECHO |      \
     GW_STREAM_DISCARD)

enum { FLAG_COMMIT_BY_RESUME = 1 << 0, FLAG_POST_COPY = 1 << 1 };
#define FLAGS (FLAG_COMMIT_BY_RESUME | FLAG_POST_COPY)

G_STATIC_ASSERT(GW_TICKET_SIGNATURE == crypto_sign_BYTES);

static const struct {
    guint kind;
    const char *word;
} kind_words[] = {
    { GW_STREAM_RPC, "rpc" },         { GW_STREAM_MIGRATION, "migration" },
    { GW_STREAM_DISK, "disk" },       { GW_STREAM_FILE, "file" },
    { GW_STREAM_ECHO, "echo" },       { GW_STREAM_LIBVIRT, "libvirt" },
    { GW_STREAM_DISCARD, "discard" },
};

const char *gw_stream_kind_word(GwStreamKind kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(kind_words); i++) {
        if (kind_words[i].kind == (guint)kind)
            return kind_words[i].word;
    }
    return "unknown";
}

guint gw_stream_kind_from_word(const char *word)
{
    for (guint i = 0; word != NULL && i < G_N_ELEMENTS(kind_words); i++) {
        if (strcmp(kind_words[i].word, word) == 0)
            return kind_words[i].kind;
    }
    return 0;
}

void gw_ticket_free(GwTicket *ticket)
{
    if (ticket == NULL)
        return;
    g_free(ticket->fabric_id);
    g_free(ticket->job_id);
    g_free(ticket->vm_uuid);
    g_free(ticket->vm_name);
    g_free(ticket->source_id);
    g_free(ticket->destination_id);
    g_free(ticket);
}

/* What a ticket may say ---------------------------------------------------------------------- */

static gboolean invalid(GError **error, const char *what, const char *required)
{
    gw_error_set(error, GW_ERR_INVALID, "Ask the controller for a new ticket.",
                 "%s of the ticket cannot be right, required is %s", what, required);
    return FALSE;
}

static gboolean is_job_id(const char *id)
{
    return id != NULL && strlen(id) == JOB_ID_CHARS &&
           strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == JOB_ID_CHARS;
}

/* It becomes part of a path (docs/agent-protocol.md), and of what people read. */
static gboolean is_vm_name(const char *name)
{
    gsize length = name != NULL ? strlen(name) : 0;

    if (length < 1 || length > VM_NAME_MAX || !g_utf8_validate(name, (gssize)length, NULL))
        return FALSE;
    for (const char *p = name; *p != '\0'; p = g_utf8_next_char(p)) {
        if (*p == '/' || g_unichar_iscntrl(g_utf8_get_char(p)))
            return FALSE;
    }
    return TRUE;
}

/* The same for those that are made and those that come: neither side takes what the other may not
 * say. */
static gboolean check_fields(const GwTicket *ticket, GError **error)
{
    if (!gw_pki_is_id(ticket->fabric_id))
        return invalid(error, "the fabric", "an identifier");
    if (!is_job_id(ticket->job_id))
        return invalid(error, "the job", "an identifier of 26 characters");
    if (!is_vm_name(ticket->vm_name))
        return invalid(error, "the VM's name",
                       "1 to " G_STRINGIFY(VM_NAME_MAX) " bytes of UTF-8 without / and control "
                                                        "characters");
    if (!gw_pki_is_id(ticket->source_id) || !gw_pki_is_id(ticket->destination_id) ||
        strcmp(ticket->source_id, ticket->destination_id) == 0)
        return invalid(error, "the source or destination", "two different hosts' identifiers");
    if (ticket->epoch < 0)
        return invalid(error, "the epoch", "0 or more");
    if (ticket->not_before_s < 0 || ticket->expires_s <= ticket->not_before_s ||
        ticket->expires_s - ticket->not_before_s > LIFE_MAX_S)
        return invalid(error, "the time", "an end after the beginning, at most 31 days");
    if (ticket->kinds == 0 || (ticket->kinds & ~(guint)KINDS) != 0)
        return invalid(error, "the kinds of streams", "at least one of those known");
    if (ticket->streams_max < 1 || ticket->streams_max > STREAMS_MAX)
        return invalid(error, "the number of streams", "1 to " G_STRINGIFY(STREAMS_MAX));
    if (ticket->commit_by_resume && ticket->post_copy)
        return invalid(error, "the manner of the commit",
                       "either commit by resume or post-copy, never both");
    return TRUE;
}

/* Encoding ----------------------------------------------------------------------------------- */

static gboolean uuid_to_bytes(const char *text, guint8 bytes[UUID_BYTES])
{
    guint n = 0;

    if (text == NULL || strlen(text) != 36)
        return FALSE;
    for (guint i = 0; i < 36; i++) {
        gboolean dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-') || (!dash && !g_ascii_isxdigit(text[i])))
            return FALSE;
        if (dash)
            continue;
        guint8 digit = (guint8)g_ascii_xdigit_value(text[i]);
        bytes[n / 2] = n % 2 == 0 ? (guint8)(digit << 4) : bytes[n / 2] | digit;
        n++;
    }
    return TRUE;
}

static char *uuid_to_text(const guint8 *bytes)
{
    GString *text = g_string_sized_new(36);

    for (guint i = 0; i < UUID_BYTES; i++)
        g_string_append_printf(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                               bytes[i]);
    return g_string_free(text, FALSE);
}

static void put_number(GByteArray *out, guint64 value, guint bytes)
{
    for (guint i = bytes; i > 0; i--) {
        guint8 byte = (guint8)(value >> (8 * (i - 1)));
        g_byte_array_append(out, &byte, 1);
    }
}

static void put_text(GByteArray *out, const char *text)
{
    gsize length = strlen(text);

    put_number(out, length, 2);
    g_byte_array_append(out, (const guint8 *)text, (guint)length);
}

static void put_body(GByteArray *out, const GwTicket *ticket, const guint8 *id, const guint8 *uuid)
{
    guint flags = (ticket->commit_by_resume ? FLAG_COMMIT_BY_RESUME : 0) |
                  (ticket->post_copy ? FLAG_POST_COPY : 0);

    put_number(out, VERSION, 1);
    g_byte_array_append(out, id, GW_TICKET_ID);
    g_byte_array_append(out, uuid, UUID_BYTES);
    put_number(out, (guint64)ticket->epoch, 8);
    put_number(out, (guint64)ticket->not_before_s, 8);
    put_number(out, (guint64)ticket->expires_s, 8);
    put_number(out, ticket->kinds, 2);
    put_number(out, ticket->streams_max, 2);
    put_number(out, flags, 1);
    put_text(out, ticket->fabric_id);
    put_text(out, ticket->job_id);
    put_text(out, ticket->vm_name);
    put_text(out, ticket->source_id);
    put_text(out, ticket->destination_id);
}

GBytes *gw_ticket_sign(const GwTicket *ticket, const guint8 secret[64], GError **error)
{
    guint8 id[GW_TICKET_ID], uuid[UUID_BYTES], signature[GW_TICKET_SIGNATURE];
    g_autoptr(GByteArray) all = g_byte_array_new();

    if (sodium_init() < 0) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "libsodium cannot start");
        return NULL;
    }
    if (!check_fields(ticket, error))
        return NULL;
    if (!uuid_to_bytes(ticket->vm_uuid, uuid)) {
        invalid(error, "the VM's UUID", "32 hex digits with dashes");
        return NULL;
    }
    randombytes_buf(id, sizeof(id));
    g_byte_array_append(all, (const guint8 *)DOMAIN, DOMAIN_SIZE);
    put_body(all, ticket, id, uuid);
    if (all->len - DOMAIN_SIZE + sizeof(signature) > GW_TICKET_MAX) {
        invalid(error, "the length", "at most " G_STRINGIFY(GW_TICKET_MAX) " bytes");
        return NULL;
    }
    crypto_sign_detached(signature, NULL, all->data, all->len, secret);
    g_byte_array_append(all, signature, sizeof(signature));
    return g_bytes_new(all->data + DOMAIN_SIZE, all->len - DOMAIN_SIZE);
}

/* Decoding ----------------------------------------------------------------------------------- */

typedef struct {
    const guint8 *at, *end;
    gboolean broken; /* more was asked for than there is; all that follows is zero then */
} Reader;

static const guint8 *take(Reader *reader, gsize bytes)
{
    static const guint8 nothing[UUID_BYTES];
    const guint8 *at = reader->at;

    if (reader->broken || (gsize)(reader->end - at) < bytes) {
        reader->broken = TRUE;
        return bytes <= sizeof(nothing) ? nothing : NULL;
    }
    reader->at += bytes;
    return at;
}

static guint64 take_number(Reader *reader, guint bytes)
{
    const guint8 *at = take(reader, bytes);
    guint64 value = 0;

    for (guint i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static char *take_text(Reader *reader)
{
    gsize length = (gsize)take_number(reader, 2);
    const guint8 *at = take(reader, length);

    /* No text of ours holds a NUL, behind which something could hide. */
    if (!reader->broken && memchr(at, '\0', length) != NULL)
        reader->broken = TRUE;
    return reader->broken ? NULL : g_strndup((const char *)at, length);
}

static gboolean take_body(Reader *reader, GwTicket *ticket)
{
    guint version = (guint)take_number(reader, 1);

    memcpy(ticket->id, take(reader, GW_TICKET_ID), GW_TICKET_ID);
    ticket->vm_uuid = uuid_to_text(take(reader, UUID_BYTES));
    ticket->epoch = (gint64)take_number(reader, 8);
    ticket->not_before_s = (gint64)take_number(reader, 8);
    ticket->expires_s = (gint64)take_number(reader, 8);
    ticket->kinds = (guint)take_number(reader, 2);
    ticket->streams_max = (guint)take_number(reader, 2);
    guint flags = (guint)take_number(reader, 1);
    ticket->commit_by_resume = (flags & FLAG_COMMIT_BY_RESUME) != 0;
    ticket->post_copy = (flags & FLAG_POST_COPY) != 0;
    ticket->fabric_id = take_text(reader);
    ticket->job_id = take_text(reader);
    ticket->vm_name = take_text(reader);
    ticket->source_id = take_text(reader);
    ticket->destination_id = take_text(reader);
    return !reader->broken && reader->at == reader->end && version == VERSION &&
           (flags & ~(guint)FLAGS) == 0;
}

static gboolean is_signed(const guint8 *bytes, gsize body, const guint8 public_key[32])
{
    guint8 all[DOMAIN_SIZE + GW_TICKET_MAX];

    memcpy(all, DOMAIN, DOMAIN_SIZE);
    memcpy(all + DOMAIN_SIZE, bytes, body);
    return sodium_init() >= 0 &&
           crypto_sign_verify_detached(bytes + body, all, DOMAIN_SIZE + body, public_key) == 0;
}

GwTicket *gw_ticket_open(const guint8 *bytes, gsize length, const guint8 public_key[32],
                         GError **error)
{
    g_autoptr(GwTicket) ticket = g_new0(GwTicket, 1);

    if (length <= GW_TICKET_SIGNATURE || length > GW_TICKET_MAX) {
        invalid(error, "the length", "65 to " G_STRINGIFY(GW_TICKET_MAX) " bytes");
        return NULL;
    }
    gsize body = length - GW_TICKET_SIGNATURE;
    Reader reader = { bytes, bytes + body, FALSE };
    if (bytes[0] != VERSION) {
        gw_error_set(error, GW_ERR_INVALID, "Update the agent, or the controller.",
                     "the ticket is of version %u, required is %d", bytes[0], VERSION);
        return NULL;
    }
    /* The form first: it costs less than the signature. */
    if (!take_body(&reader, ticket)) {
        invalid(error, "the form", "the whole of a ticket and nothing after it");
        return NULL;
    }
    if (!check_fields(ticket, error))
        return NULL;
    if (!is_signed(bytes, body, public_key)) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, "Ask the controller for a new ticket.",
                     "the ticket is not signed by this fabric's controller, required is its "
                     "signature");
        return NULL;
    }
    return g_steal_pointer(&ticket);
}

/* Leave -------------------------------------------------------------------------------------- */

static gboolean check_same(const char *what, const char *observed, const char *required,
                           GError **error)
{
    if (g_strcmp0(observed, required) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_UNAUTHORIZED, "Ask the controller for a ticket of this move.",
                 "the ticket is for the %s %s, required is %s", what, observed,
                 required != NULL ? required : "none");
    return FALSE;
}

static gboolean check_ticket_time(const GwTicket *ticket, gint64 now_s, GError **error)
{
    static const char remedy[] =
        "Start the move again; if it comes back, set the clocks of the controller and the hosts.";

    if (now_s < ticket->not_before_s) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, remedy,
                     "the ticket begins in %" G_GINT64_FORMAT " s, required is one that has begun",
                     ticket->not_before_s - now_s);
        return FALSE;
    }
    if (now_s >= ticket->expires_s) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, remedy,
                     "the ticket ended %" G_GINT64_FORMAT " s ago, required is one that has not",
                     now_s - ticket->expires_s);
        return FALSE;
    }
    return TRUE;
}

gboolean gw_ticket_check(const GwTicket *ticket, const char *fabric_id, const char *source_id,
                         const char *destination_id, guint kind, gint64 now_s, GError **error)
{
    if (!check_same("fabric", ticket->fabric_id, fabric_id, error) ||
        !check_same("source", ticket->source_id, source_id, error) ||
        !check_same("destination", ticket->destination_id, destination_id, error))
        return FALSE;
    if (kind == 0 || (ticket->kinds & kind) != kind) {
        gw_error_set(error, GW_ERR_UNAUTHORIZED, "Ask the controller for a ticket of this move.",
                     "the ticket does not allow streams of kind %s, required is one that does",
                     gw_stream_kind_word((GwStreamKind)kind));
        return FALSE;
    }
    return check_ticket_time(ticket, now_s, error);
}
