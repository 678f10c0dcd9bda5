/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/internal.h"
#include "base/error.h"

#include <arpa/inet.h>

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

static gboolean parse(const char *text, guint16 port, Address *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return TRUE;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return TRUE;
    }
    return FALSE;
}

gboolean gw_listen_is_loopback(const char *text)
{
    Address address;

    if (!parse(text, 0, &address))
        return FALSE;
    if (address.any.sa_family == AF_INET)
        return (ntohl(address.v4.sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
}

static int fail(int fd, const char *text, guint16 port, GError **error)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    gw_error_set(error, GW_ERR_CONFLICT,
                 saved == EADDRINUSE ? "Stop what uses the port, or choose another one."
                                     : "Choose an address of this machine and a port above 1023.",
                 "cannot listen on %s port %u: %s", text, port, g_strerror(saved));
    return -1;
}

int gw_listen(const char *text, guint16 port, GError **error)
{
    Address address;
    const int on = 1;

    if (!parse(text, port, &address)) {
        gw_error_set(error, GW_ERR_INVALID, "Give an IPv4 or IPv6 address, e.g. 127.0.0.1 or ::.",
                     "'%s' is no address to listen on", text);
        return -1;
    }
    socklen_t length = address.any.sa_family == AF_INET ? sizeof(address.v4) : sizeof(address.v6);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, text, port, error);
    /* A restarted controller shall not wait for old connections to be forgotten. Accepted sockets
     * inherit no-delay: small replies and events go out at once. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, &address.any, length) != 0 || listen(fd, SOMAXCONN) != 0)
        return fail(fd, text, port, error);
    return fd;
}

guint16 gw_listen_port(int fd)
{
    Address address;
    socklen_t length = sizeof(address);

    if (getsockname(fd, &address.any, &length) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
}
