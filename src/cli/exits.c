/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/exits.h"

#include "base/error.h"

const GwExitRow gw_exit_rows[] = {
    { GW_EXIT_OK, "Done as asked." },
    { GW_EXIT_FAILED, "The operation, or its job, failed." },
    { GW_EXIT_USAGE, "The command line, the configuration file or a value in it is wrong." },
    { GW_EXIT_REFUSED, "Preflight refused the move, or a check failed; nothing was touched." },
    { GW_EXIT_CONTROLLER,
      "The controller cannot be reached, or does not accept the token or allow the action." },
    { GW_EXIT_CANCELLED, "The job was cancelled." },
    { GW_EXIT_HELD, "The job is held and waits for a person's answer (godwit job settle)." },
    { GW_EXIT_NOT_FOUND, "No such host, group, VM, job, rule, kept copy or share." },
    { GW_EXIT_CONFLICT, "Right in itself, but not now: a duplicate, or the wrong state." },
    { GW_EXIT_INTERRUPTED, "Interrupted by Ctrl-C; a job that was begun goes on." },
    { 0, NULL },
};

int gw_exit_of_error(const GError *error, gboolean answered)
{
    if (error->domain != GW_ERROR)
        return GW_EXIT_FAILED;
    switch ((GwErrorCode)error->code) {
    case GW_ERR_INVALID:
        return GW_EXIT_USAGE;
    case GW_ERR_REFUSED:
        return GW_EXIT_REFUSED;
    case GW_ERR_UNAUTHORIZED:
    case GW_ERR_FORBIDDEN:
        return GW_EXIT_CONTROLLER;
    case GW_ERR_CANCELLED:
        return GW_EXIT_CANCELLED;
    case GW_ERR_NOT_FOUND:
        return GW_EXIT_NOT_FOUND;
    case GW_ERR_CONFLICT:
    case GW_ERR_BUSY:
        return GW_EXIT_CONFLICT;
    case GW_ERR_UNREACHABLE:
        return answered ? GW_EXIT_FAILED : GW_EXIT_CONTROLLER;
    case GW_ERR_INTERNAL:
    case GW_ERR_TOO_LARGE:
    case GW_ERR_TIMEOUT:
    case GW_ERR_UNKNOWN_OUTCOME:
    case GW_ERR_UNSUPPORTED:
    case GW_ERR_STORE:
    case GW_ERR_OPERATION:
        break;
    }
    return GW_EXIT_FAILED;
}

int gw_exit_worse(int a, int b)
{
    static const int order[] = { GW_EXIT_INTERRUPTED, GW_EXIT_HELD,    GW_EXIT_CONTROLLER,
                                 GW_EXIT_FAILED,      GW_EXIT_REFUSED, GW_EXIT_NOT_FOUND,
                                 GW_EXIT_CONFLICT,    GW_EXIT_USAGE,   GW_EXIT_CANCELLED };

    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return GW_EXIT_OK;
}
