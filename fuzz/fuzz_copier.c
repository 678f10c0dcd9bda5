/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both ends of a copy against another end that says anything. The first byte: which end it is, and
 * what it was asked to do; the rest is what comes. Whatever that is, it ends with success or a
 * reason, success only where the digests are equal, and the file is no longer than it was to be. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/copier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB (1024 * 1024)
#define INPUT_MAX ((size_t)64 * 1024) /* fits into a socket: nobody writes while it reads */
#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

/* 130 MiB, three windows, with little in them. */
static int sparse_file(gboolean full)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    REQUIRE(fd >= 0 && ftruncate(fd, 130 * MIB) == 0);
    for (int i = 0; full && i < 130; i += 13)
        REQUIRE(pwrite(fd, "content", 7, (off_t)i * MIB) == 7);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];

    if (size == 0 || size > INPUT_MAX)
        return 0;
    GwCopierTask task = { .role = data[0] & 1 ? GW_COPIER_SEND : GW_COPIER_RECEIVE,
                          .length = 130 * MIB,
                          .delta = (data[0] & 2) != 0,
                          .resume_bytes = (data[0] & 4) != 0 ? 65 * MIB : 0 };
    int fd = sparse_file(data[0] & (1 | 8));
    g_auto(GwCopierFigures) figures = { 0 };
    g_autoptr(GError) error = NULL;

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    if (size > 1)
        REQUIRE(send(pair[1], data + 1, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1);
    shutdown(pair[1], SHUT_WR);
    gboolean ok = gw_copier_run(&task, fd, pair[0], NULL, &figures, &error);
    REQUIRE(ok == (error == NULL) && (!ok || figures.verified));
    REQUIRE(lseek(fd, 0, SEEK_END) <= 130 * MIB && figures.position <= 130 * MIB);
    close(pair[0]);
    close(pair[1]);
    close(fd);
    return 0;
}
