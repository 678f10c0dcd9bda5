/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile certificates and certificate requests. The first byte says which, and whether what
 * follows is the text itself or the binary form that is to be put into one. Whatever is issued for
 * a request is for the host it was issued for, whatever the request said. */
#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST = 1, BINARY = 2 };

static GwAuthority *authority(void)
{
    static GwAuthority *made;

    if (made == NULL) {
        g_autofree char *folder = g_dir_make_tmp("godwit-fuzz-XXXXXX", NULL);
        g_autofree char *file = g_build_filename(folder, "authority.pem", NULL);
        made = gw_authority_open(folder, 1700000000, NULL);
        g_unlink(file);
        g_rmdir(folder);
    }
    return made;
}

static char *as_text(const uint8_t *data, size_t size, guint form)
{
    if (!(form & BINARY))
        return g_strndup((const char *)data, size);
    const char *label = form & REQUEST ? "CERTIFICATE REQUEST" : "CERTIFICATE";
    g_autofree char *base64 = g_base64_encode(data, size);
    return g_strdup_printf("-----BEGIN %s-----\n%s\n-----END %s-----\n", label, base64, label);
}

static void try_certificate(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwPeer) peer = gw_identity_read(text, &error);

    if ((peer == NULL) == (error == NULL))
        abort();
    if (peer != NULL && ((peer->role == GW_PEER_HOST) != (peer->host_id != NULL) ||
                         strlen(peer->serial) < 2 || strlen(peer->fabric_id) > 64))
        abort();
}

static void try_request(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *serial = NULL;
    g_autofree char *pem =
        gw_authority_issue(authority(), text, "kvm1", 90, 1700000000, &serial, &error);

    if ((pem == NULL) == (error == NULL))
        abort();
    g_autoptr(GwPeer) peer = pem != NULL ? gw_identity_read(pem, NULL) : NULL;
    if (pem != NULL &&
        (peer == NULL || strcmp(peer->host_id, "kvm1") != 0 || strcmp(peer->serial, serial) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    g_autofree char *text = as_text(data + 1, size - 1, data[0]);
    if (data[0] & REQUEST)
        try_request(text);
    else
        try_certificate(text);
    return 0;
}
