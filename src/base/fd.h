/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <unistd.h>

/* Closes *@fd, unless it is -1, and makes it that. */
static inline void gw_fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A descriptor that is closed where its scope ends. Hand it over with g_steal_fd. */
#define GW_AUTO_FD __attribute__((cleanup(gw_fd_close))) int
