/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/volume_access.h"

#include <acl/libacl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/acl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/copy_open.h"
#include "base/error.h"

#define LABEL_ATTRIBUTE "security.selinux"
#define LABEL_MAX 1024
#define ACL_MAX ((gsize)16 * 1024)
#define OTHERS_MAX 1024

/* A descriptor of a path alone is used through here: no other file can have come in its place. */
static char *link_of(int fd)
{
    return g_strdup_printf("/proc/self/fd/%d", fd);
}

/* As it is ------------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* Beyond what the mode says; NULL: nothing. */
static char *get_acl(const char *link)
{
    g_autofree char *text = NULL;

    if (acl_extended_file(link) != 1)
        return NULL;
    acl_t acl = acl_get_file(link, ACL_TYPE_ACCESS);
    char *said = acl != NULL ? acl_to_any_text(acl, NULL, ',', TEXT_NUMERIC_IDS) : NULL;
    if (said != NULL && strlen(said) <= ACL_MAX)
        text = g_strdup(said);
    if (said != NULL)
        acl_free(said);
    if (acl != NULL)
        acl_free(acl);
    return g_steal_pointer(&text);
}

static char *get_label(const char *link)
{
    char label[LABEL_MAX + 1];
    ssize_t length = getxattr(link, LABEL_ATTRIBUTE, label, LABEL_MAX);

    return length > 0 ? g_strndup(label, (gsize)length) : NULL;
}

static json_t *get(int fd, const char *path, GError **error)
{
    g_autofree char *link = link_of(fd), *acl = get_acl(link), *label = get_label(link);
    struct stat st;

    if (fstat(fd, &st) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Look at the file system it is on.",
                     "%s cannot be looked at: %s", path, g_strerror(errno));
        return NULL;
    }
    g_autofree char *owner = g_strdup_printf("%u", st.st_uid);
    g_autofree char *group = g_strdup_printf("%u", st.st_gid);
    g_autofree char *mode = g_strdup_printf("0%03o", st.st_mode & 07777);
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "owner", owner, "group", group, "mode", mode,
                     "label", text_or_null(label), "acl", text_or_null(acl));
}

/* As it is to be ------------------------------------------------------------------------------- */

static gboolean cannot(GError **error, const char *path, const char *what, const char *why)
{
    gw_error_set(error, GW_ERR_OPERATION,
                 "Set it by hand (chown, chmod, setfacl, chcon), or see whether the file system "
                 "can hold it.",
                 "%s: its %s cannot be set: %s", path, what, why);
    return FALSE;
}

/* FALSE: it is there, and no number. */
static gboolean number_of(const json_t *set, const char *key, guint base, guint max, gint64 *out)
{
    const char *text = json_string_value(json_object_get(set, key));
    guint64 value = 0;

    *out = -1;
    if (text == NULL)
        return TRUE;
    if (!g_ascii_string_to_unsigned(text, base, 0, max, &value, NULL))
        return FALSE;
    *out = (gint64)value;
    return TRUE;
}

static gboolean set_acl(const char *link, const char *text, const char *path, GError **error)
{
    acl_t acl = strlen(text) <= ACL_MAX ? acl_from_text(text) : NULL;
    gboolean ok =
        acl != NULL && acl_valid(acl) == 0 && acl_set_file(link, ACL_TYPE_ACCESS, acl) == 0;
    int number = acl != NULL ? errno : EINVAL;

    if (acl != NULL)
        acl_free(acl);
    return ok || cannot(error, path, "access list", g_strerror(number));
}

static gboolean set_owner(const char *link, gint64 owner, gint64 group, const char *path,
                          GError **error)
{
    if (owner < 0 && group < 0)
        return TRUE;
    return chown(link, owner < 0 ? (uid_t)-1 : (uid_t)owner,
                 group < 0 ? (gid_t)-1 : (gid_t)group) == 0 ||
           cannot(error, path, "owner", g_strerror(errno));
}

/* The mode after the owner, whose change takes bits of it away, and after the access list, whose
 * mask it is a part of. */
static gboolean put(int fd, const char *path, const json_t *set, GError **error)
{
    g_autofree char *link = link_of(fd);
    const char *acl = json_string_value(json_object_get(set, "acl"));
    const char *label = json_string_value(json_object_get(set, "label"));
    gint64 owner, group, mode;

    if (!number_of(set, "owner", 10, G_MAXUINT32 - 1, &owner) ||
        !number_of(set, "group", 10, G_MAXUINT32 - 1, &group) ||
        /* Nothing of an image is to be run as its owner. */
        !number_of(set, "mode", 8, 0777, &mode) || (label != NULL && strlen(label) > LABEL_MAX)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "owner, group, mode or label are none");
        return FALSE;
    }
    if (!set_owner(link, owner, group, path, error) ||
        (acl != NULL && !set_acl(link, acl, path, error)))
        return FALSE;
    if (mode >= 0 && chmod(link, (mode_t)mode) != 0)
        return cannot(error, path, "mode", g_strerror(errno));
    if (label != NULL && setxattr(link, LABEL_ATTRIBUTE, label, strlen(label), 0) != 0)
        return cannot(error, path, "security label", g_strerror(errno));
    return TRUE;
}

/* Others that are the same -----------------------------------------------------------------------
 */

static gboolean is_same(const struct stat *one, const struct stat *other)
{
    if (S_ISBLK(one->st_mode) && S_ISBLK(other->st_mode))
        return one->st_rdev == other->st_rdev;
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Links are followed: what is at the end of them counts. */
static json_t *same_as(int fd, const json_t *others)
{
    json_t *same = json_array(), *item = NULL;
    struct stat here, there;
    gsize index = 0;

    if (fstat(fd, &here) != 0)
        return same;
    json_array_foreach (others, index, item) {
        const char *path = json_string_value(item);
        if (index == OTHERS_MAX)
            break;
        if (path != NULL && *path == '/' && stat(path, &there) == 0 && is_same(&here, &there))
            json_array_append(same, item);
    }
    return same;
}

json_t *gw_volume_access(const char *path, const json_t *set, const json_t *others, GError **error)
{
    int fd = gw_copy_open_path(path, error);
    json_t *answer = NULL;

    if (fd < 0)
        return NULL;
    if (set == NULL || put(fd, path, set, error))
        answer = get(fd, path, error);
    if (answer != NULL && others != NULL)
        json_object_set_new(answer, "same", same_as(fd, others));
    close(fd);
    return answer;
}
