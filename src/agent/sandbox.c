/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sandbox_calls.h"
#include "base/error.h"

#define REMEDY                                                                                     \
    "Start the agent as root by its own unit; it gives up what it does not need by itself."

static gboolean failed(GError **error, const char *what)
{
    gw_error_set(error, GW_ERR_OPERATION, REMEDY, "sandbox: %s: %s", what, g_strerror(errno));
    return FALSE;
}

/* Capabilities -------------------------------------------------------------------------------- */

/* glibc has no call for these, and two numbers are no reason for a library. */
static gboolean set_capabilities(guint64 keep, GError **error)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = {
        { (guint32)keep, (guint32)keep, 0 },
        { (guint32)(keep >> 32), (guint32)(keep >> 32), 0 },
    };

    if (syscall(SYS_capset, &head, data) != 0)
        return failed(error, "set the capabilities");
    return TRUE;
}

static gboolean check_capabilities(guint64 keep, GError **error)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };

    if (syscall(SYS_capget, &head, data) != 0)
        return failed(error, "read the capabilities");
    guint64 left = data[0].permitted | (guint64)data[1].permitted << 32;
    guint64 passed_on = data[0].inheritable | (guint64)data[1].inheritable << 32;
    if ((left & ~keep) == 0 && passed_on == 0)
        return TRUE;
    errno = EPERM;
    return failed(error, "capabilities are left over");
}

/* So that no program started later could have them again. Needs CAP_SETPCAP. */
static gboolean drop_bounding(guint64 keep, GError **error)
{
    for (guint cap = 0; cap < 64; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            break; /* the kernel knows no more */
        if (has == 1 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return failed(error, "drop the bounding set");
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return failed(error, "clear the ambient capabilities");
    return TRUE;
}

/* User and root folder ------------------------------------------------------------------------ */

static gboolean find_user(const char *name, uid_t *uid, gid_t *gid, GError **error)
{
    struct passwd entry, *found = NULL;
    char text[4096];
    int problem = getpwnam_r(name, &entry, text, sizeof text, &found);

    if (found == NULL || entry.pw_uid == 0 || entry.pw_gid == 0) {
        gw_error_set(error, GW_ERR_NOT_FOUND,
                     "Make a system user of that name, or name another by --user.",
                     "sandbox: user '%s': %s", name,
                     found != NULL  ? "is root, or of root's group"
                     : problem == 0 ? "there is none"
                                    : g_strerror(problem));
        return FALSE;
    }
    *uid = entry.pw_uid;
    *gid = entry.pw_gid;
    return TRUE;
}

static gboolean is_empty(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry = NULL;

    if (entries == NULL)
        return FALSE;
    while ((entry = readdir(entries)) != NULL &&
           (g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, "..")))
        ;
    closedir(entries);
    return entry == NULL;
}

/* Another's folder, or one with something in it, would be no prison. */
static gboolean check_folder(int folder, const char *path, GError **error)
{
    struct stat st;

    if (fstat(folder, &st) != 0)
        return failed(error, path);
    if (st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && is_empty(folder))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Let it be an empty folder that only root may write to.",
                 "sandbox: %s is not root's own, or not empty", path);
    return FALSE;
}

static gboolean enter_folder(const char *path, GError **error)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (folder < 0)
        return failed(error, path);
    gboolean good = check_folder(folder, path, error);
    if (good && (fchdir(folder) != 0 || chroot(".") != 0 || chdir("/") != 0))
        good = failed(error, "change the root folder");
    close(folder);
    return good;
}

static gboolean become(uid_t uid, gid_t gid, GError **error)
{
    uid_t real, effective, saved;

    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return failed(error, "become the agent's user");
    if (getresuid(&real, &effective, &saved) != 0 || real != uid || effective != uid ||
        saved != uid || getgroups(0, NULL) != 0 || setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
        errno = EPERM;
        return failed(error, "root was not given up");
    }
    return TRUE;
}

/* No program by exec may have more, nobody may look into the memory (keys), none of it on disk. */
static gboolean close_memory(GError **error)
{
    const struct rlimit none = { 0, 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(error, "refuse new privileges");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
        return failed(error, "refuse core dumps");
    return TRUE;
}

/* Asked for late: a change of rights forgets it. */
static gboolean end_with(pid_t parent, GError **error)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return failed(error, "end with the parent");
    if (getppid() == parent)
        return TRUE;
    errno = ESRCH;
    return failed(error, "the parent is gone");
}

static gboolean enter(const char *user, const char *empty_folder, GError **error)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    uid_t uid;
    gid_t gid;

    if (!find_user(user, &uid, &gid, error) || !enter_folder(empty_folder, error) ||
        !drop_bounding(0, error))
        return FALSE;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0)
        return failed(error, "lock the secure bits");
    return become(uid, gid, error) && set_capabilities(0, error) && check_capabilities(0, error) &&
           close_memory(error);
}

gboolean gw_sandbox_enter(const char *user, const char *empty_folder, GError **error)
{
    return enter(user, empty_folder, error) && gw_sandbox_filter_calls(GW_SANDBOX_FRONT, error);
}

gboolean gw_sandbox_copier(const char *user, const char *empty_folder, pid_t parent, GError **error)
{
    return enter(user, empty_folder, error) && end_with(parent, error) &&
           gw_sandbox_filter_calls(GW_SANDBOX_COPIER, error);
}

/* KILL: its end is sent to its children as a signal of its own, of another user by then. */
gboolean gw_sandbox_starter(pid_t parent, GError **error)
{
    const guint64 keep = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_SETPCAP |
                         1ULL << CAP_SYS_CHROOT | 1ULL << CAP_KILL;

    return drop_bounding(keep, error) && set_capabilities(keep, error) &&
           check_capabilities(keep, error) && close_memory(error) && end_with(parent, error);
}

/* CHOWN, FOWNER and DAC_*: the folder of sockets, what libvirt and an emulator of another user
 * listen on; SYS_PTRACE: the process table where /proc hides what others run; KILL: the front. */
gboolean gw_sandbox_warden(GError **error)
{
    const guint64 keep = 1ULL << CAP_CHOWN | 1ULL << CAP_FOWNER | 1ULL << CAP_DAC_OVERRIDE |
                         1ULL << CAP_DAC_READ_SEARCH | 1ULL << CAP_KILL | 1ULL << CAP_SYS_PTRACE;

    return drop_bounding(keep, error) && set_capabilities(keep, error) &&
           check_capabilities(keep, error) && close_memory(error);
}
