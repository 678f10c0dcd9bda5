/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/reachable.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

#define CONNECT_MS 3000

static struct addrinfo *look_up(const char *name, guint16 port, GError **error)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    g_autofree char *service = g_strdup_printf("%u", port);
    int status = getaddrinfo(name, port != 0 ? service : NULL, &hints, &found);

    if (status == 0)
        return found;
    gw_error_set(error, GW_ERR_UNREACHABLE, "Correct the name, or the name service.",
                 "it cannot be looked up: %s", gai_strerror(status));
    return NULL;
}

char *gw_reachable_resolve(const char *name, GError **error)
{
    struct addrinfo *found = look_up(name, 0, error);
    char text[NI_MAXHOST] = "";

    if (found == NULL)
        return NULL;
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return g_strdup(text);
}

/* 0, or the errno. */
static int connect_to(const struct addrinfo *to)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    int why = 0;
    socklen_t size = sizeof(why);

    if (fd < 0)
        return errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
        why = errno;
    if (why == EINPROGRESS)
        why = poll(&wait, 1, CONNECT_MS) == 1 &&
                      getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) == 0
                  ? why
                  : ETIMEDOUT;
    close(fd);
    return why;
}

gboolean gw_reachable_connect(const char *name, guint16 port, GError **error)
{
    struct addrinfo *found = look_up(name, port, error);
    int why = found != NULL ? connect_to(found) : 0;

    if (found == NULL)
        return FALSE;
    freeaddrinfo(found);
    if (why != 0)
        gw_error_set(error, GW_ERR_UNREACHABLE, "Open the port.", "%s", g_strerror(why));
    return why == 0;
}

guint16 gw_reachable_port_of_uri(const char *uri)
{
    static const struct {
        const char *scheme;
        guint16 port;
    } ports[] = {
        { "qemu+ssh", 22 },    { "qemu+libssh", 22 }, { "qemu+libssh2", 22 },
        { "qemu+tls", 16514 }, { "qemu", 16514 },     { "qemu+tcp", 16509 },
    };
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED, NULL);

    if (parsed != NULL && g_uri_get_port(parsed) > 0)
        return (guint16)g_uri_get_port(parsed);
    for (guint i = 0; parsed != NULL && i < G_N_ELEMENTS(ports); i++) {
        if (strcmp(g_uri_get_scheme(parsed), ports[i].scheme) == 0)
            return ports[i].port;
    }
    return 0;
}
