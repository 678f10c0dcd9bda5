/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copy_open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define FOLDER_MODE 0711 /* of one that is missing: libvirt's own, of NVRAM and TPM state */

/* Paths ---------------------------------------------------------------------------------------- */

static gboolean bad_path(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, "Name the file by its full path, as it is.",
                 "a path that cannot be taken: %s", why);
    return FALSE;
}

gboolean gw_copy_check_path(const char *path, GError **error)
{
    g_autofree char *printable = NULL;

    if (path == NULL || *path != '/' || path[1] == '\0')
        return bad_path(error, "it does not begin with /, or is no more than that");
    if (strlen(path) >= PATH_MAX)
        return bad_path(error, "it is too long");
    printable = gw_text_printable(path, PATH_MAX);
    if (strcmp(printable, path) != 0)
        return bad_path(error, "it has control characters, or is no UTF-8");
    g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);
    for (guint i = 0; parts[i] != NULL; i++) {
        if (*parts[i] == '\0' || strcmp(parts[i], ".") == 0 || strcmp(parts[i], "..") == 0)
            return bad_path(error, "an empty part, '.' or '..' in it");
    }
    return TRUE;
}

static gboolean failed(GError **error, int number, const char *path)
{
    GwErrorCode code = number == ENOENT ? GW_ERR_NOT_FOUND : GW_ERR_OPERATION;
    const char *remedy = "Look at the file, and at the file system it is on.";

    if (number == ELOOP) {
        code = GW_ERR_REFUSED;
        remedy = "Name the file that the link leads to.";
    } else if (number == EROFS) {
        remedy = "Mount the file system writable, or choose another place.";
    } else if (number == ENOENT) {
        remedy = "Make it first; look whether its file system is mounted.";
    }
    gw_error_set(error, code, remedy, "%s cannot be opened: %s", path,
                 number == ELOOP ? "it is a symbolic link" : g_strerror(number));
    return FALSE;
}

static int open_folder(const char *path, gboolean create)
{
    g_autofree char *folder = g_path_get_dirname(path);

    if (create && g_mkdir_with_parents(folder, FOLDER_MODE) != 0)
        return -1;
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Opens and looks: a FIFO does not hold us up, and a device is not what a link elsewhere says. */
static int open_last(const char *path, int flags, gboolean create, struct stat *st, GError **error)
{
    g_autofree char *name = g_path_get_basename(path);
    gboolean in_dev = g_str_has_prefix(path, "/dev/");
    int folder = open_folder(path, create), fd = -1, number = errno;

    if (folder >= 0) {
        fd = openat(folder, name,
                    flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (in_dev ? 0 : O_NOFOLLOW));
        if (fd < 0 && errno == ENOENT && create)
            fd = openat(folder, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        number = errno;
        close(folder);
    }
    if (fd < 0) {
        failed(error, number, path);
        return -1;
    }
    /* Of a path alone a link is opened, not followed. */
    if (fstat(fd, st) == 0 && (S_ISBLK(st->st_mode) || (S_ISREG(st->st_mode) && !in_dev)))
        return fd;
    close(fd);
    if (S_ISLNK(st->st_mode))
        failed(error, ELOOP, path);
    else
        gw_error_set(error, GW_ERR_INVALID, "Name an image file or a block device.",
                     "%s is neither a regular file nor a block device", path);
    return -1;
}

int gw_copy_open_path(const char *path, GError **error)
{
    struct stat st;

    return gw_copy_check_path(path, error) ? open_last(path, O_PATH, FALSE, &st, error) : -1;
}

/* Who has it ----------------------------------------------------------------------------------- */

static gboolean in_use(GError **error, const char *path, const char *who)
{
    gw_error_set(error, GW_ERR_CONFLICT,
                 "Shut the VM that uses it down, or choose another image; to find it: "
                 "virsh domblklist, lsof.",
                 "%s is in use: %s", path, who);
    return FALSE;
}

static gboolean is_same(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode))
        return S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static gboolean can_write(int process, const char *descriptor)
{
    g_autofree char *name = g_strdup_printf("fdinfo/%s", descriptor);
    char text[512];
    int fd = openat(process, name, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return TRUE; /* what cannot be told is taken for the worse */
    text[got] = '\0';
    const char *flags = strstr(text, "flags:");
    return flags == NULL || (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static gboolean has_open(int process, const struct stat *wanted, gboolean to_write)
{
    int folder = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *each = NULL;
    gboolean found = FALSE;

    while (dir != NULL && !found && (each = readdir(dir)) != NULL) {
        struct stat st;
        found = g_ascii_isdigit(each->d_name[0]) && fstatat(folder, each->d_name, &st, 0) == 0 &&
                is_same(wanted, &st) && (!to_write || can_write(process, each->d_name));
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

static gboolean is_emulator(int process)
{
    char exe[PATH_MAX];
    ssize_t length = readlinkat(process, "exe", exe, sizeof exe - 1);

    if (length < 0)
        return FALSE;
    exe[length] = '\0';
    const char *name = strrchr(exe, '/') != NULL ? strrchr(exe, '/') + 1 : exe;
    return strstr(name, "qemu") != NULL || strstr(name, "kvm") != NULL;
}

/* What an emulator has open without QEMU's locks (a file system without them, locking=off). */
static gboolean ask_table(const char *proc, const char *path, const struct stat *st,
                          GwCopyOpenRole role, GError **error)
{
    DIR *dir = opendir(proc);
    struct dirent *each = NULL;
    gboolean used = FALSE;

    if (dir == NULL)
        return in_use(error, path, "the process table cannot be read, so that may be");
    while (!used && (each = readdir(dir)) != NULL) {
        if (!g_ascii_isdigit(each->d_name[0]))
            continue;
        int process = openat(dirfd(dir), each->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (process < 0)
            continue;
        used = is_emulator(process) && has_open(process, st, role == GW_COPY_OPEN_SOURCE);
        if (used) {
            g_autofree char *who =
                g_strdup_printf("an emulator, process %s, has it open", each->d_name);
            in_use(error, path, who);
        }
        close(process);
    }
    closedir(dir);
    return !used;
}

/* A device that holds a mounted file system, swap, or a part of another device, whatever name it
 * was given; the kernel keeps it ours for as long as it is open. */
static int take_device(int fd, const char *path, GError **error)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    int taken = open(link, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (taken < 0 && errno == EBUSY)
        in_use(error, path, "the kernel has it mounted, or as a part of another device");
    else if (taken < 0)
        failed(error, errno, path);
    close(fd);
    return taken;
}

/* QEMU's locks --------------------------------------------------------------------------------- */

/* block/file-posix.c: a byte read-locked at 100 + n says "I use permission n", one at 200 + n "I
 * share it with nobody"; to ask whether somebody has one is to ask for its write lock. */
#define USES 100
#define SHARES_NOT 200
enum { READ, WRITE, WRITE_SAME, RESIZE };

static gboolean lock(int fd, off_t byte, off_t length)
{
    struct flock range = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = length
    };

    /* Where there are no locks there is nobody to hold one. */
    return fcntl(fd, F_OFD_SETLK, &range) == 0 || (errno != EAGAIN && errno != EACCES);
}

static gboolean is_free(int fd, off_t byte, off_t length)
{
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = length
    };

    return fcntl(fd, F_OFD_GETLK, &range) != 0 || range.l_type == F_UNLCK;
}

static gboolean take_locks(int fd, const char *path, GwCopyOpenRole role, GError **error)
{
    gboolean ok;

    if (role == GW_COPY_OPEN_SOURCE)
        ok = lock(fd, USES + READ, 1) && lock(fd, SHARES_NOT + WRITE, 1) &&
             lock(fd, SHARES_NOT + RESIZE, 1) && is_free(fd, USES + WRITE, 1) &&
             is_free(fd, USES + RESIZE, 1) && is_free(fd, SHARES_NOT + READ, 1);
    else
        ok = is_free(fd, USES, RESIZE + 1) && lock(fd, USES + WRITE, 1) &&
             lock(fd, SHARES_NOT, RESIZE + 1) && is_free(fd, SHARES_NOT + WRITE, 1);
    return ok || in_use(error, path,
                        "a QEMU or another copy, here or on a host that shares the storage, holds "
                        "its image lock");
}

int gw_copy_open(const char *proc, const char *path, GwCopyOpenRole role, gboolean create,
                 GError **error)
{
    struct stat st;
    int fd = -1;

    if (!gw_copy_check_path(path, error))
        return -1;
    fd = open_last(path, role == GW_COPY_OPEN_SOURCE ? O_RDONLY : O_RDWR, create, &st, error);
    if (fd >= 0 && role == GW_COPY_OPEN_DESTINATION && S_ISBLK(st.st_mode))
        fd = take_device(fd, path, error);
    if (fd < 0)
        return -1;
    if (take_locks(fd, path, role, error) && ask_table(proc, path, &st, role, error))
        return fd;
    close(fd);
    return -1;
}
