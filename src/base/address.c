/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

static void mask(guint8 *bytes, gsize size, guint prefix)
{
    for (gsize i = 0; i < size; i++) {
        guint kept = CLAMP((gint)prefix - (gint)(i * 8), 0, 8);
        bytes[i] &= (guint8)(0xff00 >> kept);
    }
}

static gboolean says_nothing(const guint8 *bytes, gboolean v6)
{
    static const guint8 zero[16] = { 0 };

    if (memcmp(bytes, zero, v6 ? 15 : 4) == 0) /* any, and ::1 */
        return TRUE;
    if (v6)
        return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
    return bytes[0] == 127 || (bytes[0] == 169 && bytes[1] == 254);
}

char *gw_subnet_of(const char *address, guint prefix)
{
    gboolean v6 = address != NULL && strchr(address, ':') != NULL;
    gsize size = v6 ? 16 : 4;
    guint8 bytes[16] = { 0 };
    char text[INET6_ADDRSTRLEN];

    if (address == NULL || inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes) != 1 || prefix == 0 ||
        prefix >= size * 8 || says_nothing(bytes, v6))
        return NULL;
    mask(bytes, size, prefix);
    if (inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text) == NULL)
        return NULL;
    return g_strdup_printf("%s/%u", text, prefix);
}

guint gw_prefix_of(const char *netmask)
{
    struct in_addr address;

    if (netmask == NULL || inet_pton(AF_INET, netmask, &address) != 1)
        return 0;
    guint32 bits = ntohl(address.s_addr);
    guint prefix = 0;
    while (prefix < 32 && (bits & (0x80000000u >> prefix)) != 0)
        prefix++;
    return prefix;
}
