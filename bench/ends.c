/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tunnel.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef union {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in inet;
} Address;

static const char *path_of(const char *end)
{
    return g_str_has_prefix(end, "unix:") ? end + strlen("unix:") : NULL;
}

static socklen_t parse(const char *end, Address *address, GError **error)
{
    const char *path = path_of(end);
    memset(address, 0, sizeof *address);
    if (path != NULL && strlen(path) < sizeof address->local.sun_path) {
        address->local.sun_family = AF_UNIX;
        g_strlcpy(address->local.sun_path, path, sizeof address->local.sun_path);
        return sizeof address->local;
    }
    g_auto(GStrv) words = g_strsplit(end, ":", 4);
    address->inet.sin_family = AF_INET;
    if (g_strv_length(words) == 3 && g_str_equal(words[0], "tcp") &&
        inet_pton(AF_INET, words[1], &address->inet.sin_addr) == 1) {
        address->inet.sin_port = htons((guint16)g_ascii_strtoull(words[2], NULL, 10));
        return sizeof address->inet;
    }
    gw_error_set(error, GW_ERR_INVALID, NULL, "'%s' is neither unix:PATH nor tcp:ADDRESS:PORT",
                 end);
    return 0;
}

static int fail(int fd, const char *doing, const char *end, GError **error)
{
    gw_error_set(error, GW_ERR_OPERATION, NULL, "%s %s: %s", doing, end, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int end_listen(const char *end, GError **error)
{
    Address address;
    socklen_t length = parse(end, &address, error);
    if (length == 0)
        return -1;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    end_remove(end);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &address.any, length) != 0 || listen(fd, 64) != 0)
        return fail(fd, "listen on", end, error);
    return fd;
}

int end_connect(const char *end, GError **error)
{
    Address address;
    socklen_t length = parse(end, &address, error);
    if (length == 0)
        return -1;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0 || connect(fd, &address.any, length) != 0)
        return fail(fd, "connect to", end, error);
    if (path_of(end) == NULL)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

void end_remove(const char *end)
{
    if (path_of(end) != NULL)
        unlink(path_of(end));
}
