/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile tickets. What has the form of one is signed for it: then it must open, and what it says,
 * signed anew, must have the very same encoding, since each ticket has one. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/ticket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DOMAIN "godwit ticket 1"
#define ID_AT 1

static guint8 public_key[32], secret[64];

static void same_again(const GwTicket *ticket, const guint8 *body, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) again = gw_ticket_sign(ticket, secret, &error);
    const guint8 *bytes = again != NULL ? g_bytes_get_data(again, NULL) : NULL;
    gsize after = ID_AT + GW_TICKET_ID;

    if (bytes == NULL || g_bytes_get_size(again) != size + GW_TICKET_SIGNATURE ||
        bytes[0] != body[0] || memcmp(bytes + after, body + after, size - after) != 0)
        abort();
    if (memcmp(ticket->id, body + ID_AT, GW_TICKET_ID) != 0)
        abort();
}

/* @size: of all but the signature. */
static void try_signed(const guint8 *body, gsize size)
{
    g_autoptr(GError) error = NULL;
    guint8 all[sizeof(DOMAIN) + GW_TICKET_MAX], ticket[GW_TICKET_MAX];

    memcpy(all, DOMAIN, sizeof(DOMAIN));
    memcpy(all + sizeof(DOMAIN), body, size);
    memcpy(ticket, body, size);
    crypto_sign_detached(ticket + size, NULL, all, sizeof(DOMAIN) + size, secret);
    g_autoptr(GwTicket) opened =
        gw_ticket_open(ticket, size + GW_TICKET_SIGNATURE, public_key, &error);
    if (opened == NULL)
        abort();
    same_again(opened, body, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const guint8 seed[crypto_sign_SEEDBYTES] = "a seed that everybody may know";
    g_autoptr(GError) error = NULL;

    if (public_key[0] == 0 && public_key[1] == 0)
        crypto_sign_seed_keypair(public_key, secret, seed);
    g_autoptr(GwTicket) ticket = gw_ticket_open(data, size, public_key, &error);
    if ((ticket == NULL) == (error == NULL))
        abort();
    /* Only the signature is wrong: the form, all fields and the length are right. */
    if (ticket != NULL || g_error_matches(error, GW_ERROR, GW_ERR_UNAUTHORIZED))
        try_signed(data, size - GW_TICKET_SIGNATURE);
    return 0;
}
