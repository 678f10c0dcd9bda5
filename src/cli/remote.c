/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define OUTPUT_MAX ((gsize)64 * 1024)
#define SAID_MAX 600
#define SSH_FAILED 255

/* Where ------------------------------------------------------------------------------------- */

static gboolean bad(const char *what, const char *value, const char *remedy, GError **error)
{
    gw_error_set(error, GW_ERR_INVALID, remedy, "%s '%.200s' cannot be used", what, value);
    return FALSE;
}

gboolean remote_set(Remote *remote, const char *command, const char *host, const char *user,
                    GError **error)
{
    remote->sudo = strcmp(user, "root") != 0;
    if (command != NULL) {
        int count = 0;
        if (!g_shell_parse_argv(command, &count, &remote->prefix, NULL) || count == 0)
            return bad("--ssh-command", command,
                       "Give a whole command, e.g. \"ssh -p 2222 -J jump root@kvm1\".", error);
        return TRUE;
    }
    /* What begins with '-' would be an option of ssh's. */
    if (*host == '-' || *host == '\0' || strpbrk(host, " \t@") != NULL)
        return bad("host", host, "Give its name or address.", error);
    if (*user == '-' || *user == '\0' || strpbrk(user, " \t@") != NULL)
        return bad("--user", user, "Give the name of a user there.", error);
    g_autofree char *target = g_strconcat(user, "@", host, NULL);
    const char *const words[] = { "ssh",  "-o", "BatchMode=yes", "-o", "ConnectTimeout=15",
                                  target, NULL };
    remote->prefix = g_strdupv((char **)words);
    return TRUE;
}

void remote_clear(Remote *remote)
{
    g_strfreev(remote->prefix);
}

char *remote_words(const Remote *remote)
{
    return g_strjoinv(" ", remote->prefix);
}

/* Running ----------------------------------------------------------------------------------- */

typedef struct {
    GPid pid;
    int in, out, err;
    const GString *input;
    gsize written;
    GString *printed, *said;
} Run;

static char **argv_of(const Remote *remote, const char *script)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *quoted = g_shell_quote(script);
    g_autofree char *command =
        g_strconcat(remote->sudo ? "sudo -n sh -c " : "sh -c ", quoted, NULL);

    g_strv_builder_addv(builder, (const char **)remote->prefix);
    g_strv_builder_add(builder, command);
    return g_strv_builder_end(builder);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void feed(Run *run)
{
    gsize left = run->input != NULL ? run->input->len - run->written : 0;
    gssize sent = left > 0 ? write(run->in, run->input->str + run->written, left) : 0;

    if (sent > 0)
        run->written += (gsize)sent;
    /* Where the far end reads no more, it is about to say why. */
    if ((sent < 0 && errno != EAGAIN && errno != EINTR) || run->input == NULL ||
        run->written == run->input->len)
        close_end(&run->in);
}

static void take(int *fd, GString *into)
{
    char block[4096];
    gssize got = read(*fd, block, sizeof(block));

    if (got > 0 && into->len < OUTPUT_MAX)
        g_string_append_len(into, block, MIN(got, (gssize)(OUTPUT_MAX - into->len)));
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        close_end(fd);
}

static int carry(Run *run)
{
    int status = 0;

    fcntl(run->in, F_SETFL, O_NONBLOCK);
    if (run->input == NULL)
        close_end(&run->in);
    while (run->in >= 0 || run->out >= 0 || run->err >= 0) {
        struct pollfd fds[] = { { .fd = run->in, .events = POLLOUT },
                                { .fd = run->out, .events = POLLIN },
                                { .fd = run->err, .events = POLLIN } };
        /* ssh's control master may keep standard error open: the end of the others counts. */
        if (run->in < 0 && run->out < 0 && poll(&fds[2], 1, 200) == 0)
            break;
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents != 0)
            feed(run);
        if (fds[1].revents != 0)
            take(&run->out, run->printed);
        if (fds[2].revents != 0)
            take(&run->err, run->said);
    }
    close_end(&run->in);
    close_end(&run->out);
    close_end(&run->err);
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    g_spawn_close_pid(run->pid);
    return status;
}

/* The end of it: what went wrong stands last. */
static char *last_words(const GString *said)
{
    g_autofree char *text = g_strndup(said->str + (said->len > SAID_MAX ? said->len - SAID_MAX : 0),
                                      MIN(said->len, SAID_MAX));
    g_strstrip(text);
    g_strdelimit(text, "\r\n", ' ');
    return gw_text_printable(text, SAID_MAX);
}

static gboolean judge(const Remote *remote, const Run *run, int status, GError **error)
{
    g_autofree char *words = remote_words(remote);
    g_autofree char *said = last_words(run->said);
    g_autofree char *remedy = g_strdup_printf(
        "See to it that this works without a question: %s true (ssh-copy-id; --ssh-command for "
        "another port, key or jump host).",
        words);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return TRUE;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SSH_FAILED)
        gw_error_set(error, GW_ERR_OPERATION, remedy, "%s failed: %s", words, said);
    else
        gw_error_set(error, GW_ERR_OPERATION, NULL, "%s", *said != '\0' ? said : "it failed there");
    return FALSE;
}

gboolean remote_run(const Remote *remote, const char *script, const GString *input, char **out,
                    GError **error)
{
    g_auto(GStrv) argv = argv_of(remote, script);
    g_autoptr(GString) printed = g_string_new(NULL);
    g_autoptr(GString) said = g_string_new(NULL);
    Run run = { .input = input, .printed = printed, .said = said };
    g_autoptr(GError) why = NULL;
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

    if (!g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                                  NULL, NULL, &run.pid, &run.in, &run.out, &run.err, &why)) {
        gw_error_set(error, GW_ERR_OPERATION, "Install ssh, or name it with --ssh-command.", "%s",
                     why->message);
        return FALSE;
    }
    sigaction(SIGPIPE, &ignore, &before);
    int status = carry(&run);
    sigaction(SIGPIPE, &before, NULL);
    if (!judge(remote, &run, status, error))
        return FALSE;
    if (out != NULL)
        *out = g_string_free(g_steal_pointer(&printed), FALSE);
    return TRUE;
}
