/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/log.h"

#include <string.h>
#include <unistd.h>

static struct {
    const char *name;
    gboolean journal, own_socket, verbose, set;
} target;

static const char *level_of(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return "<3>";
    if (level & G_LOG_LEVEL_WARNING)
        return "<4>";
    return level & G_LOG_LEVEL_MESSAGE ? "<5>" : level & G_LOG_LEVEL_INFO ? "<6>" : "<7>";
}

static const char *message_of(const GLogField *fields, gsize n_fields)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE") && fields[i].length < 0)
            return fields[i].value;
    }
    return "";
}

/* One write: lines of two processes must not mix. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer user)
{
    if ((level & G_LOG_LEVEL_DEBUG) && !target.verbose)
        return G_LOG_WRITER_HANDLED;
    if (target.journal && target.own_socket &&
        g_log_writer_journald(level, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
        return G_LOG_WRITER_HANDLED;
    g_autofree char *line =
        g_strdup_printf("%sgodwit-agent %s: %s\n", target.journal ? level_of(level) : "",
                        target.name, message_of(fields, n_fields));
    ssize_t written G_GNUC_UNUSED = write(STDERR_FILENO, line, strlen(line));
    return G_LOG_WRITER_HANDLED;
}

void agent_log_init(const char *name, gboolean own_socket)
{
    target.name = name;
    target.own_socket = own_socket;
    target.journal = g_log_writer_is_journald(STDERR_FILENO);
    target.verbose = g_getenv("G_MESSAGES_DEBUG") != NULL;
    if (!target.set) /* GLib takes one once, and the front begins as a copy of the warden */
        g_log_set_writer_func(write_log, NULL, NULL);
    target.set = TRUE;
}
