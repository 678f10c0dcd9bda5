/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/facts.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/fs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/text.h"
#include "model/network.h"

#define INTERFACES_MAX 512
#define MOUNTS_MAX 8192
#define TEXT_MAX ((gsize)8 * 1024 * 1024)
#define CLONE_BYTES 4096
#define DIRECT_BYTES 4096

/* Files of the kernel's, whose size is not told. */
static char *read_text(const char *path)
{
    char *text = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, NULL) || length > TEXT_MAX)
        g_clear_pointer(&text, g_free);
    return text;
}

/* Interfaces ----------------------------------------------------------------------------------- */

static char *read_word(const char *sys_folder, const char *name, const char *what)
{
    g_autofree char *path = g_build_filename(sys_folder, "class/net", name, what, NULL);
    char *text = read_text(path);
    return text != NULL ? g_strstrip(text) : NULL;
}

static gint64 read_number(const char *sys_folder, const char *name, const char *what,
                          gint64 otherwise)
{
    g_autofree char *text = read_word(sys_folder, name, what);
    char *end = NULL;

    if (text == NULL || *text == '\0')
        return otherwise;
    gint64 value = g_ascii_strtoll(text, &end, 10);
    return *end == '\0' ? value : otherwise;
}

static guint bits_of(const guint8 *mask, gsize size)
{
    guint bits = 0;

    for (gsize i = 0; i < size * 8 && (mask[i / 8] & (0x80u >> (i % 8))) != 0; i++)
        bits++;
    return bits;
}

static guint prefix_of(const struct sockaddr *mask)
{
    if (mask == NULL)
        return 0;
    return mask->sa_family == AF_INET6
               ? bits_of(((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr, 16)
               : bits_of((const guint8 *)&((const struct sockaddr_in *)mask)->sin_addr, 4);
}

static char **subnets_of(const struct ifaddrs *all, const char *name)
{
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    char text[INET6_ADDRSTRLEN];

    for (const struct ifaddrs *each = all; each != NULL; each = each->ifa_next) {
        if (each->ifa_addr == NULL || strcmp(each->ifa_name, name) != 0 ||
            (each->ifa_addr->sa_family != AF_INET && each->ifa_addr->sa_family != AF_INET6))
            continue;
        const void *at = each->ifa_addr->sa_family == AF_INET
                             ? (void *)&((struct sockaddr_in *)each->ifa_addr)->sin_addr
                             : (void *)&((struct sockaddr_in6 *)each->ifa_addr)->sin6_addr;
        g_autofree char *subnet =
            inet_ntop(each->ifa_addr->sa_family, at, text, sizeof text) != NULL
                ? gw_subnet_of(text, prefix_of(each->ifa_netmask))
                : NULL;
        if (subnet != NULL)
            g_strv_builder_add(list, subnet);
    }
    char **subnets = g_strv_builder_end(list);
    gw_text_sort(subnets); /* two addresses of one are told once */
    return subnets;
}

static gboolean is_bridge(const char *sys_folder, const char *name)
{
    g_autofree char *path = g_build_filename(sys_folder, "class/net", name, "bridge", NULL);
    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

static char **addresses_of(const struct ifaddrs *all, const char *name)
{
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    char text[INET6_ADDRSTRLEN];

    for (const struct ifaddrs *each = all; each != NULL; each = each->ifa_next) {
        if (each->ifa_addr == NULL || strcmp(each->ifa_name, name) != 0)
            continue;
        int family = each->ifa_addr->sa_family;
        const void *at =
            family == AF_INET    ? (void *)&((struct sockaddr_in *)each->ifa_addr)->sin_addr
            : family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)each->ifa_addr)->sin6_addr
                                 : NULL;
        if (at != NULL && inet_ntop(family, at, text, sizeof text) != NULL)
            g_strv_builder_add(list, text);
    }
    return g_strv_builder_end(list);
}

static GwInterface *interface_of(const char *sys_folder, const char *name,
                                 const struct ifaddrs *all)
{
    GwInterface *interface = gw_interface_new();
    g_autofree char *state = read_word(sys_folder, name, "operstate");
    gint64 speed = read_number(sys_folder, name, "speed", -1);

    interface->name = gw_text_printable(name, IFNAMSIZ);
    interface->speed_mbps = speed > 0 ? speed : -1;
    interface->mtu = MAX(read_number(sys_folder, name, "mtu", 0), 0);
    /* Virtual ones often say "unknown" while they carry. */
    interface->up = state != NULL && (strcmp(state, "up") == 0 || strcmp(state, "unknown") == 0);
    interface->addresses = addresses_of(all, name);
    interface->subnets = subnets_of(all, name);
    interface->bridge = is_bridge(sys_folder, name);
    return interface;
}

/* The kernel lists them in no order. Owned. */
static char **interface_names(const char *folder)
{
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name = NULL;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (strcmp(name, "lo") != 0 && strcmp(name, "bonding_masters") != 0)
            g_strv_builder_add(list, name);
    }
    g_clear_pointer(&dir, g_dir_close);
    char **names = g_strv_builder_end(list);
    gw_text_sort(names);
    return names;
}

GPtrArray *gw_facts_interfaces(const char *sys_folder)
{
    GPtrArray *list = gw_record_array(&gw_interface_record);
    g_autofree char *folder = g_build_filename(sys_folder, "class/net", NULL);
    g_auto(GStrv) names = interface_names(folder);
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) < 0)
        all = NULL;
    for (guint i = 0; i < INTERFACES_MAX && names[i] != NULL; i++)
        g_ptr_array_add(list, interface_of(sys_folder, names[i], all));
    if (all != NULL)
        freeifaddrs(all);
    return list;
}

/* File systems --------------------------------------------------------------------------------- */

typedef struct {
    char *point, *type, *source;
    gboolean read_only;
} Mount;

static void free_mount(gpointer data)
{
    Mount *mount = data;

    g_free(mount->point);
    g_free(mount->type);
    g_free(mount->source);
    g_free(mount);
}

/* Blanks stand there as \040, and so on. */
static char *unescape(const char *text)
{
    g_autofree char *plain = g_strcompress(text);
    return gw_text_printable(plain, PATH_MAX);
}

/* proc(5): id parent major:minor root point options fields… - type source options */
static Mount *parse_mount(const char *line)
{
    g_auto(GStrv) parts = g_strsplit(line, " - ", 2);
    g_auto(GStrv) left = parts[0] != NULL ? g_strsplit(parts[0], " ", 0) : NULL;
    g_auto(GStrv) right =
        parts[0] != NULL && parts[1] != NULL ? g_strsplit(parts[1], " ", 0) : NULL;

    if (left == NULL || right == NULL || g_strv_length(left) < 6 || g_strv_length(right) < 3)
        return NULL;
    Mount *mount = g_new0(Mount, 1);
    mount->point = unescape(left[4]);
    mount->type = unescape(right[0]);
    mount->source = unescape(right[1]);
    g_auto(GStrv) own = g_strsplit(left[5], ",", 0), super = g_strsplit(right[2], ",", 0);
    mount->read_only = g_strv_contains((const char *const *)own, "ro") ||
                       g_strv_contains((const char *const *)super, "ro");
    return mount;
}

static GPtrArray *read_mounts(const char *mountinfo)
{
    GPtrArray *mounts = g_ptr_array_new_with_free_func(free_mount);
    g_autofree char *text = read_text(mountinfo);
    g_auto(GStrv) lines = text != NULL ? g_strsplit(text, "\n", MOUNTS_MAX) : NULL;

    for (guint i = 0; lines != NULL && lines[i] != NULL; i++) {
        Mount *mount = parse_mount(lines[i]);
        if (mount != NULL)
            g_ptr_array_add(mounts, mount);
    }
    return mounts;
}

static gboolean lies_under(const char *path, const char *point)
{
    gsize length = strlen(point);

    if (strcmp(point, "/") == 0)
        return *path == '/';
    return strncmp(path, point, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The longest that it lies under; of two at one place the later covers the earlier. */
static const Mount *mount_of(const GPtrArray *mounts, const char *path)
{
    const Mount *best = NULL;

    for (guint i = 0; i < mounts->len; i++) {
        const Mount *each = mounts->pdata[i];
        if (lies_under(path, each->point) &&
            (best == NULL || strlen(each->point) >= strlen(best->point)))
            best = each;
    }
    return best;
}

static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* Network file systems mostly lack that. */
    g_autofree char *name = g_build_filename(folder, ".godwit-XXXXXX", NULL);
    fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(name);
    return fd;
}

/* Tried: the type alone does not tell (XFS made without it, an overlay above one that has it). */
static gboolean can_clone(const char *folder)
{
    char block[CLONE_BYTES] = { 1 };
    int from = open_nameless(folder), to = from >= 0 ? open_nameless(folder) : -1;
    gboolean ok = to >= 0 && write(from, block, sizeof block) == (gssize)sizeof block &&
                  ioctl(to, FICLONE, from) == 0;

    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return ok;
}

/* Cache modes none and directsync need it; some network and stacked file systems lack it. */
static gboolean can_go_direct(const char *folder)
{
    g_autofree char *name = g_build_filename(folder, ".godwit-XXXXXX", NULL);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

    if (fd < 0) {
        fd = g_mkstemp_full(name, O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
        if (fd >= 0 || errno == EINVAL) /* some make the file before they refuse the flag */
            unlink(name);
    }
    void *block = NULL;
    gboolean ok = fd >= 0 && posix_memalign(&block, DIRECT_BYTES, DIRECT_BYTES) == 0;
    if (ok) {
        memset(block, 0, DIRECT_BYTES);
        ok = pwrite(fd, block, DIRECT_BYTES, 0) == DIRECT_BYTES;
    }
    free(block);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Where two hosts show the same, they see one file system: a network one by its server and export,
 * as it was mounted. None of a local one: hosts that were cloned have its UUID as well, and taking
 * two disks for one would lose a VM's. */
static char *id_of(const Mount *mount, gboolean network)
{
    /* "server:/export", "//server/share"; a tag or a bare name says nothing of where it leads. */
    if (!network || (strchr(mount->source, ':') == NULL && !g_str_has_prefix(mount->source, "//")))
        return NULL;
    return g_strconcat(mount->type, ":", mount->source, NULL);
}

static gboolean is_network(const char *type)
{
    static const char *const types[] = {
        "nfs",       "nfs4",       "cifs",           "smb3", "ceph", "ocfs2",
        "gfs2",      "lustre",     "fuse.glusterfs", "9p",   "gpfs", "beegfs",
        "fuse.ceph", "fuse.sshfs", "virtiofs",       NULL
    };
    return g_strv_contains(types, type);
}

static GwFileSystem *file_system_of(const Mount *mount, const char *path)
{
    GwFileSystem *fs = gw_file_system_new();
    struct statvfs st;

    fs->path = g_strdup(mount->point);
    fs->type = g_strdup(mount->type);
    fs->source = g_strdup(mount->source);
    fs->read_only = mount->read_only;
    fs->network = is_network(mount->type);
    if (statvfs(path, &st) == 0) {
        fs->capacity_bytes = (gint64)st.f_blocks * (gint64)st.f_frsize;
        fs->available_bytes = (gint64)st.f_bavail * (gint64)st.f_frsize;
        fs->read_only = fs->read_only || (st.f_flag & ST_RDONLY) != 0;
        fs->block_bytes = (gint64)st.f_bsize;
    }
    fs->reflink = !fs->read_only && can_clone(path);
    fs->direct_io = !fs->read_only && can_go_direct(path);
    fs->id = id_of(mount, fs->network);
    return fs;
}

GPtrArray *gw_facts_file_systems(const char *mountinfo, const char *const *paths)
{
    GPtrArray *list = gw_record_array(&gw_file_system_record);
    g_autoptr(GPtrArray) mounts = read_mounts(mountinfo);

    for (guint i = 0; paths[i] != NULL; i++) {
        const Mount *mount = mount_of(mounts, paths[i]);
        if (mount != NULL &&
            gw_record_find(&gw_file_system_record, list, "path", mount->point) == NULL)
            g_ptr_array_add(list, file_system_of(mount, paths[i]));
    }
    return list;
}

/* Others --------------------------------------------------------------------------------------- */

char *gw_facts_boot_id(const char *proc_folder)
{
    g_autofree char *path = g_build_filename(proc_folder, "sys/kernel/random/boot_id", NULL);
    g_autofree char *text = read_text(path);
    return text != NULL ? gw_text_printable(g_strstrip(text), 64) : NULL;
}

gint64 gw_facts_resident(const char *proc_folder, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/statm", proc_folder, (int)pid);
    g_autofree char *text = read_text(path);
    g_auto(GStrv) fields = text != NULL ? g_strsplit(text, " ", 3) : NULL;

    if (fields == NULL || g_strv_length(fields) < 2)
        return 0;
    return g_ascii_strtoll(fields[1], NULL, 10) * sysconf(_SC_PAGESIZE);
}
