/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/attest.h"
#include "agent/warden_internal.h"
#include "base/error.h"
#include "base/fd.h"

/* The folder of sockets, in which emulators make theirs: nothing in it is trusted for its name. */

/* Sticky: an emulator that a guest has taken over cannot remove another VM's socket. */
#define FOLDER_MODE 01771
#define SOCKET_MODE 0660
#define OWN_SOCKET_MODE 0600
#define BACKLOG 64
#define CONF_MAX ((gsize)1024 * 1024)

static void fail(GError **error, const char *what, const char *folder, const char *name)
{
    int number = errno;

    gw_error_set(error, number == ENOSPC ? GW_ERR_STORE : GW_ERR_OPERATION,
                 "Look at the folder's owner and mode, and at the agent's journal.", "%s %s/%s: %s",
                 what, folder, name, g_strerror(number));
}

/* The emulator's group --------------------------------------------------------------------------
 */

/* group = "kvm", as qemu.conf has it; the last one counts. */
static char *group_of_conf(const char *path)
{
    g_autofree char *text = NULL;
    char *found = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, NULL) || length > CONF_MAX)
        return NULL;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) parts = g_strsplit(g_strstrip(lines[i]), "=", 2);
        if (parts[0] == NULL || parts[1] == NULL || strcmp(g_strstrip(parts[0]), "group") != 0)
            continue;
        char *value = g_strstrip(parts[1]);
        char *end = *value == '"' ? strchr(value + 1, '"') : NULL;
        if (end == NULL)
            continue;
        g_free(found);
        found = g_strndup(value + 1, (gsize)(end - value - 1));
    }
    return found;
}

static gboolean find_group(const char *name, gid_t *gid)
{
    char *end = NULL;

    if (name == NULL || *name == '\0')
        return FALSE;
    /* "+107" and "107" are numbers to libvirt. */
    guint64 number = g_ascii_strtoull(*name == '+' ? name + 1 : name, &end, 10);
    if (end != NULL && *end == '\0' && number <= G_MAXINT32) {
        *gid = (gid_t)number;
        return TRUE;
    }
    const struct group *group = getgrnam(name);
    if (group == NULL)
        return FALSE;
    *gid = group->gr_gid;
    return TRUE;
}

gid_t gw_sockets_group(const GwWarden *warden)
{
    static const char *const usual[] = { "libvirt-qemu", "qemu", "kvm" };
    g_autofree char *conf = group_of_conf(warden->paths.qemu_conf);
    gid_t gid = 0;

    if (find_group(warden->paths.emulator_group, &gid) || find_group(conf, &gid))
        return gid;
    for (guint i = 0; i < G_N_ELEMENTS(usual); i++) {
        if (find_group(usual[i], &gid))
            return gid;
    }
    return 0;
}

/* The folder ------------------------------------------------------------------------------------
 */

static int open_folder(const GwWarden *warden, GError **error)
{
    struct stat st;
    int fd = open(warden->paths.run_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        fail(error, "cannot open", warden->paths.run_folder, ".");
        return -1;
    }
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & S_IWOTH) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Remove it; the agent makes it anew.",
                     "%s is not a folder of the agent's own", warden->paths.run_folder);
        close(fd);
        return -1;
    }
    return fd;
}

gboolean gw_sockets_folder(const GwWarden *warden, GError **error)
{
    const char *folder = warden->paths.run_folder;
    g_autofree char *parent = g_path_get_dirname(folder);

    if (g_mkdir_with_parents(parent, 0755) < 0 || (mkdir(folder, 0700) < 0 && errno != EEXIST)) {
        fail(error, "cannot make", folder, ".");
        return FALSE;
    }
    GW_AUTO_FD fd = open_folder(warden, error);
    if (fd < 0)
        return FALSE;
    if (fchown(fd, (uid_t)-1, gw_sockets_group(warden)) < 0 || fchmod(fd, FOLDER_MODE) < 0) {
        fail(error, "cannot give to the emulator's group", folder, ".");
        return FALSE;
    }
    return TRUE;
}

char *gw_sockets_name(const GwTicket *ticket, guint kind, const char *run_folder)
{
    const char *middle = kind == GW_STREAM_MIGRATION ? ".tunnelmigrate.dest."
                         : kind == GW_STREAM_DISK    ? ".disk.tunnelmigrate.dest."
                                                     : NULL;
    if (kind == GW_STREAM_RPC)
        return g_strconcat(ticket->job_id, ".rpc", NULL);
    if (middle == NULL)
        return NULL;
    g_autofree char *name = g_strconcat(ticket->job_id, middle, ticket->vm_name, NULL);
    if (strlen(run_folder) + 1 + strlen(name) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return g_steal_pointer(&name);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, ticket->vm_name, -1);
    return g_strdup_printf("%s%s%.32s", ticket->job_id, middle, digest);
}

/* Listening -------------------------------------------------------------------------------------
 */

static gboolean set_path(struct sockaddr_un *address, const char *folder, const char *name,
                         GError **error)
{
    address->sun_family = AF_UNIX;
    int length = g_snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", folder, name);
    if (length > 0 && (gsize)length < sizeof address->sun_path)
        return TRUE;
    gw_error_set(error, GW_ERR_TOO_LARGE, "Give the agent a folder with a shorter name.",
                 "a socket's path may have %zu bytes: %s/%s", sizeof address->sun_path - 1, folder,
                 name);
    return FALSE;
}

void gw_sockets_remove(const GwWarden *warden, const char *name)
{
    GW_AUTO_FD folder = open_folder(warden, NULL);

    if (folder >= 0)
        unlinkat(folder, name, 0);
}

int gw_sockets_listen(const GwWarden *warden, const char *name, gboolean for_emulator,
                      GError **error)
{
    struct sockaddr_un address = { 0 };
    GW_AUTO_FD folder = open_folder(warden, error);
    GW_AUTO_FD fd = -1;

    if (folder < 0 || !set_path(&address, warden->paths.run_folder, name, error))
        return -1;
    if (unlinkat(folder, name, 0) < 0 && errno != ENOENT) {
        fail(error, "cannot remove", warden->paths.run_folder, name);
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0777 & ~(for_emulator ? SOCKET_MODE : OWN_SOCKET_MODE));
    gboolean bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int number = errno;
    umask(before);
    errno = number;
    if (!bound ||
        (for_emulator &&
         fchownat(folder, name, (uid_t)-1, gw_sockets_group(warden), AT_SYMLINK_NOFOLLOW) < 0) ||
        listen(fd, BACKLOG) < 0) {
        fail(error, "cannot listen on", warden->paths.run_folder, name);
        return -1;
    }
    return g_steal_fd(&fd);
}

/* Names that only we make: JOB.rpc, JOB.tunnelmigrate.dest.NAME, JOB.disk.tunnelmigrate.dest.NAME.
 */
static gboolean is_ours(const char *name)
{
    gsize id = strspn(name, "0123456789ABCDEFGHJKMNPQRSTVWXYZ");

    return id == 26 && (strcmp(name + id, ".rpc") == 0 || g_str_has_suffix(name + id, ".check") ||
                        g_str_has_prefix(name + id, ".tunnelmigrate.dest.") ||
                        g_str_has_prefix(name + id, ".disk.tunnelmigrate.dest."));
}

/* A name of ours may also be an emulator's own, on a destination: one on which somebody listens
 * stays. */
static gboolean is_dead(const GwWarden *warden, int folder, const char *name)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid != geteuid())
        return FALSE;
    if (!S_ISSOCK(st.st_mode))
        return TRUE;
    GW_AUTO_FD fd = gw_sockets_connect(warden, name, NULL, NULL);
    return fd < 0;
}

void gw_sockets_sweep(const GwWarden *warden, GHashTable *keep)
{
    DIR *dir = opendir(warden->paths.run_folder);
    struct dirent *found = NULL;

    while (dir != NULL && (found = readdir(dir)) != NULL) {
        if (is_ours(found->d_name) && !g_hash_table_contains(keep, found->d_name) &&
            is_dead(warden, dirfd(dir), found->d_name))
            unlinkat(dirfd(dir), found->d_name, 0);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Connecting ------------------------------------------------------------------------------------
 */

static int connect_to(const struct sockaddr_un *address)
{
    /* Not blocking: who listens may never accept, and this is the loop. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* The folder is open to every emulator: a taken-over guest could wait under another VM's name for
 * that VM's memory. */
static gboolean check_listener(const GwWarden *warden, int fd, const char *vm_uuid, GError **error)
{
    struct ucred who = { 0 };
    socklen_t length = sizeof who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.pid > 0 &&
        gw_attest_is_vm(warden->paths.proc_folder, who.pid, vm_uuid))
        return TRUE;
    gw_error_set(error, GW_ERR_FORBIDDEN, "Look at what runs as the emulator's user.",
                 "process %d listens on the VM's socket and is not that VM's emulator",
                 (int)who.pid);
    return FALSE;
}

int gw_sockets_connect(const GwWarden *warden, const char *name, const char *vm_uuid,
                       GError **error)
{
    struct stat st;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    GW_AUTO_FD folder = open_folder(warden, error);
    GW_AUTO_FD at = -1;
    GW_AUTO_FD fd = -1;

    if (folder < 0)
        return -1;
    at = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0 || fstat(at, &st) < 0) {
        fail(error, "cannot find", warden->paths.run_folder, name);
        return -1;
    }
    if (!S_ISSOCK(st.st_mode)) {
        gw_error_set(error, GW_ERR_FORBIDDEN, "Look at what runs as the emulator's user.",
                     "%s/%s is no socket", warden->paths.run_folder, name);
        return -1;
    }
    /* By the descriptor: what stands under the name may be another by now. */
    g_snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", at);
    fd = connect_to(&address);
    if (fd < 0) {
        fail(error, "cannot connect to", warden->paths.run_folder, name);
        return -1;
    }
    if (vm_uuid != NULL && !check_listener(warden, fd, vm_uuid, error))
        return -1;
    return g_steal_fd(&fd);
}

int gw_sockets_connect_libvirt(const GwWarden *warden, GError **error)
{
    g_autofree char *path = gw_warden_libvirt_socket(warden);
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    struct sockaddr_un address = { 0 };

    if (!set_path(&address, folder, name, error))
        return -1;
    int fd = connect_to(&address);
    if (fd < 0)
        gw_error_set(error, GW_ERR_UNREACHABLE, "Check that libvirtd (or virtqemud) runs.",
                     "cannot connect to %s: %s", path, g_strerror(errno));
    return fd;
}
