/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

#define BACKLOG 4096
#define ADDRESSES_MAX 64

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

static gboolean read_address(const char *text, guint16 port, Address *address)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        return TRUE;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) != 1)
        return FALSE;
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(port);
    return TRUE;
}

/* -1 with errno. @both: an IPv6 socket that takes IPv4 as well. */
static int listen_on(const Address *address, gboolean both)
{
    int family = address->any.sa_family, yes = 1, no = !both;
    socklen_t length = family == AF_INET ? sizeof address->v4 : sizeof address->v6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, &address->any, length) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int problem = errno;
    close(fd);
    errno = problem;
    return -1;
}

static gboolean add(GArray *fds, const char *text, guint16 port, gboolean both, GError **error)
{
    Address address;

    if (!read_address(text, port, &address)) {
        gw_error_set(error, GW_ERR_INVALID, "Give an IP address, no name.",
                     "'%s' is no address to listen on", text);
        return FALSE;
    }
    int fd = listen_on(&address, both);
    if (fd < 0) {
        gw_error_set(error, GW_ERR_OPERATION, "See what else listens there (ss -ltnp).",
                     "cannot listen on %s port %u: %s", text, port, g_strerror(errno));
        return FALSE;
    }
    g_array_append_val(fds, fd);
    return TRUE;
}

static gboolean add_all(GArray *fds, guint16 port, GError **error)
{
    g_autoptr(GError) no_v6 = NULL;

    return add(fds, "::", port, TRUE, &no_v6) || add(fds, "0.0.0.0", port, FALSE, error);
}

GArray *agent_listen(const char *const *addresses, guint16 port, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    gboolean good = TRUE;

    if (addresses == NULL || addresses[0] == NULL)
        good = add_all(fds, port, error);
    for (guint i = 0; good && addresses != NULL && addresses[i] != NULL; i++) {
        good = i < ADDRESSES_MAX && add(fds, addresses[i], port, FALSE, error);
        if (i == ADDRESSES_MAX)
            gw_error_set(error, GW_ERR_INVALID, NULL, "more than %d addresses", ADDRESSES_MAX);
    }
    if (good)
        return g_steal_pointer(&fds);
    for (guint i = 0; i < fds->len; i++)
        close(g_array_index(fds, int, i));
    return NULL;
}
