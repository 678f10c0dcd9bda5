/*
 * reaper PIDFILE COMMAND...: runs a daemon, writes its process id, and waits for it and for
 * whatever its descendants leave behind, as a host's init does at once. A machine's init may be
 * slow at that, and libvirt takes a QEMU for alive until it is reaped: moves would seem to last
 * seconds longer.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_pid(const char *path, pid_t pid)
{
    char part[4096];
    FILE *out;

    snprintf(part, sizeof part, "%s.part", path);
    out = fopen(part, "we");
    if (out == NULL)
        return -1;
    fprintf(out, "%d\n", (int)pid);
    return fclose(out) == 0 ? rename(part, path) : -1;
}

int main(int argc, char **argv)
{
    pid_t daemon_pid;

    if (argc < 3) {
        fprintf(stderr, "usage: reaper PIDFILE COMMAND...\n");
        return 2;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        fprintf(stderr, "reaper: %s\n", strerror(errno));
        return 1;
    }
    daemon_pid = fork();
    if (daemon_pid == 0) {
        execvp(argv[2], argv + 2);
        fprintf(stderr, "reaper: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    if (daemon_pid < 0 || write_pid(argv[1], daemon_pid) != 0) {
        fprintf(stderr, "reaper: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    while (wait(NULL) > 0 || errno == EINTR) /* until no descendant is left */
        continue;
    return 0;
}
