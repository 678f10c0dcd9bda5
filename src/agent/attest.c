/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/attest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

#define COMMAND_LINE_MAX ((gsize)8 * 1024 * 1024) /* bytes; the kernel gives a program less */
#define TRIES 3                                   /* at a process that changes under our eyes */

/* What is looked at of one process. GONE: it ended while it was looked at. */
typedef enum { IS_VM, IS_OTHER, IS_GONE, CANNOT_TELL } Verdict;

typedef struct {
    char state;
    gint64 threads;
    guint64 start_ticks;
    gboolean like_emulator; /* by its short name */
} Stat;

/* Files ---------------------------------------------------------------------------------------- */

static GByteArray *read_file(int proc, pid_t pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("%d/%s", (int)pid, name);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint8 chunk[16384];
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return NULL;
    for (;;) {
        gssize got = read(fd, chunk, sizeof chunk);
        int number = errno;
        if (got < 0 && number == EINTR)
            continue;
        if (got < 0 || bytes->len > COMMAND_LINE_MAX) {
            close(fd);
            errno = got < 0 ? number : EFBIG;
            return NULL;
        }
        if (got == 0)
            break;
        g_byte_array_append(bytes, chunk, (guint)got);
    }
    close(fd);
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return g_steal_pointer(&bytes);
}

static gboolean is_like_emulator(const char *name)
{
    const char *base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    return strstr(base, "qemu") != NULL || strstr(base, "kvm") != NULL;
}

/* proc(5): pid (comm) state ppid … The name may hold anything, so what follows it is found from the
 * end. */
static gboolean parse_stat(char *text, Stat *out)
{
    enum { STATE = 0, THREADS = 17, START = 19 };
    char *open = strchr(text, '('), *end = strrchr(text, ')');

    if (open == NULL || end == NULL || end < open || end[1] != ' ')
        return FALSE;
    *end = '\0';
    g_auto(GStrv) fields = g_strsplit(end + 2, " ", START + 2);
    if (g_strv_length(fields) <= START || fields[STATE][0] == '\0')
        return FALSE;
    out->like_emulator = is_like_emulator(open + 1);
    out->state = fields[STATE][0];
    out->threads = g_ascii_strtoll(fields[THREADS], NULL, 10);
    out->start_ticks = g_ascii_strtoull(fields[START], NULL, 10);
    return TRUE;
}

static gboolean read_stat(int proc, pid_t pid, Stat *out)
{
    g_autoptr(GByteArray) bytes = read_file(proc, pid, "stat");

    if (bytes == NULL)
        return FALSE;
    if (!parse_stat((char *)bytes->data, out)) {
        errno = EINVAL;
        return FALSE;
    }
    return TRUE;
}

/* One process ---------------------------------------------------------------------------------- */

static gboolean has_gone(void)
{
    return errno == ENOENT || errno == ESRCH;
}

/* Whether the arguments, each ended by a NUL, are a QEMU's of this VM. */
static gboolean is_of_vm(const GByteArray *line, const char *vm_uuid)
{
    const char *at = (const char *)line->data, *end = at + line->len;
    gboolean uuid_next = FALSE;

    if (!is_like_emulator(at))
        return FALSE;
    for (; at < end; at += strlen(at) + 1) {
        if (uuid_next && g_ascii_strcasecmp(at, vm_uuid) == 0)
            return TRUE;
        uuid_next = strcmp(at, "-uuid") == 0 || strcmp(at, "--uuid") == 0;
    }
    return FALSE;
}

/* No arguments: a kernel thread, or a process that has given its memory back. Neither runs a guest,
 * but for a leader that ended before its threads did. */
static Verdict judge_bare(int proc, pid_t pid, const Stat *stat)
{
    g_autofree char *path = g_strdup_printf("%d/exe", (int)pid);
    char exe[4096];
    gssize length = readlinkat(proc, path, exe, sizeof exe - 1);

    if (stat->state == 'Z' || stat->state == 'X' || (length < 0 && errno == ENOENT))
        return stat->threads > 1 && stat->like_emulator ? CANNOT_TELL : IS_OTHER;
    if (length < 0)
        return has_gone() ? IS_GONE : CANNOT_TELL;
    exe[length] = '\0';
    return is_like_emulator(exe) ? CANNOT_TELL : IS_OTHER;
}

static Verdict judge_once(int proc, pid_t pid, const char *vm_uuid, GwVmProcess *out)
{
    Stat before, after;

    if (!read_stat(proc, pid, &before))
        return has_gone() ? IS_GONE : CANNOT_TELL;
    g_autoptr(GByteArray) line = read_file(proc, pid, "cmdline");
    if (line == NULL)
        return has_gone() ? IS_GONE : CANNOT_TELL;
    if (!read_stat(proc, pid, &after))
        return has_gone() ? IS_GONE : CANNOT_TELL;
    if (before.start_ticks != after.start_ticks)
        return CANNOT_TELL;
    if (line->len <= 1)
        return judge_bare(proc, pid, &after);
    if (!is_of_vm(line, vm_uuid))
        return IS_OTHER;
    if (after.state == 'Z' || after.state == 'X')
        return after.threads > 1 ? CANNOT_TELL : IS_OTHER;
    *out = (GwVmProcess){ pid, after.start_ticks };
    return IS_VM;
}

static Verdict judge(int proc, pid_t pid, const char *vm_uuid, GwVmProcess *out)
{
    Verdict verdict = CANNOT_TELL;

    for (int i = 0; i < TRIES && verdict == CANNOT_TELL; i++)
        verdict = judge_once(proc, pid, vm_uuid, out);
    return verdict;
}

/* The table ------------------------------------------------------------------------------------ */

static pid_t pid_of(const char *name)
{
    if (*name == '\0' || strspn(name, "0123456789") != strlen(name) || strlen(name) > 9)
        return 0;
    return (pid_t)atoi(name);
}

static gboolean look_at(DIR *dir, pid_t pid, const char *vm_uuid, GArray *found, GError **error)
{
    GwVmProcess process;
    Verdict verdict = judge(dirfd(dir), pid, vm_uuid, &process);

    if (verdict == CANNOT_TELL) {
        gw_error_set(
            error, GW_ERR_UNKNOWN_OUTCOME, "Run the agent as root, and look at that process.",
            "the process table: whether process %d is of VM %s cannot be told", (int)pid, vm_uuid);
        return FALSE;
    }
    if (verdict == IS_VM)
        g_array_append_val(found, process);
    return TRUE;
}

static gboolean walk(DIR *dir, const char *vm_uuid, GArray *found, GError **error)
{
    gboolean whole = FALSE;
    struct dirent *entry = NULL;

    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
        pid_t pid = pid_of(entry->d_name);
        whole = whole || pid == 1;
        if (pid > 0 && !look_at(dir, pid, vm_uuid, found, error))
            return FALSE;
    }
    /* With hidepid, a reader without the rights sees only its own: that would look like absence. */
    if (errno != 0 || !whole) {
        gw_error_set(error, GW_ERR_UNKNOWN_OUTCOME,
                     "Run the agent as root, with a /proc that shows all processes.",
                     "the process table cannot be read whole: %s",
                     errno != 0 ? g_strerror(errno) : "process 1 is not in it");
        return FALSE;
    }
    return TRUE;
}

GArray *gw_attest_processes(const char *proc, const char *vm_uuid, GError **error)
{
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(GwVmProcess));
    DIR *dir = opendir(proc);

    if (dir == NULL) {
        gw_error_set(error, GW_ERR_UNKNOWN_OUTCOME, "Run the agent as root, with /proc mounted.",
                     "the process table %s cannot be read: %s", proc, g_strerror(errno));
        return NULL;
    }
    gboolean ok = walk(dir, vm_uuid, found, error);
    closedir(dir);
    return ok ? g_steal_pointer(&found) : NULL;
}

gboolean gw_attest_is_vm(const char *proc, pid_t pid, const char *vm_uuid)
{
    GwVmProcess process;
    int fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return FALSE;
    Verdict verdict = judge(fd, pid, vm_uuid, &process);
    close(fd);
    return verdict == IS_VM;
}

void gw_attest_keep_own(const char *proc, GArray *processes)
{
    g_autofree char *self = g_build_filename(proc, "self/ns/uts", NULL);
    g_autofree char *own = g_file_read_link(self, NULL);

    for (guint i = processes->len; own != NULL && i-- > 0;) {
        const GwVmProcess *process = &g_array_index(processes, GwVmProcess, i);
        g_autofree char *path = g_strdup_printf("%s/%d/ns/uts", proc, (int)process->pid);
        g_autofree char *other = g_file_read_link(path, NULL);
        if (other != NULL && strcmp(own, other) != 0)
            g_array_remove_index(processes, i);
    }
}

int gw_attest_watch(const char *proc, const GwVmProcess *process)
{
    Stat stat;
    int dir = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return -1;
    /* pidfds are close-on-exec by themselves. */
    int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (fd >= 0 &&
        (!read_stat(dir, process->pid, &stat) || stat.start_ticks != process->start_ticks)) {
        close(fd);
        fd = -1;
        errno = ESRCH;
    }
    int number = errno;
    close(dir);
    errno = number;
    return fd;
}
