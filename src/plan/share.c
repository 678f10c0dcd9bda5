/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "plan/reach.h"
#include "plan/rule.h"

/* How the identity of storage is read from its server and name. libvirt gives both in one text
 * ("server:/export", "mon1,mon2:pool", "portal:iqn…"). */
typedef struct {
    const char *type;   /* of the pool, or the protocol of a network disk */
    const char *scheme; /* of the identity */
    const char *ports;  /* the default ports, which say nothing */
} Scheme;

static const Scheme schemes[] = {
    { "netfs", "nfs", ":2049" },          { "gluster", "gluster", ":24007" },
    { "rbd", "rbd", ":6789:3300" },       { "iscsi", "iscsi", ":3260" },
    { "iscsi-direct", "iscsi", ":3260" },
};

static const Scheme *find_scheme(const char *type)
{
    for (guint i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (g_strcmp0(schemes[i].type, type) == 0)
            return &schemes[i];
    }
    return NULL;
}

/* "[::1]:3260" -> "::1", "nas:2049" -> "nas". Modifies @server. */
static char *without_port(char *server)
{
    char *colon = strrchr(server, ':');

    if (*server == '[') {
        char *end = strchr(server, ']');
        if (end != NULL)
            *end = '\0';
        return server + 1;
    }
    if (colon != NULL && strchr(server, ':') == colon)
        *colon = '\0';
    return server;
}

gboolean gw_share_is_loopback(const char *server)
{
    static const char *const names[] = { "localhost",
                                         "localhost.localdomain",
                                         "localhost4",
                                         "localhost6",
                                         "ip6-localhost",
                                         "ip6-loopback",
                                         "::1",
                                         "0.0.0.0",
                                         "::",
                                         NULL };
    g_autofree char *copy = g_ascii_strdown(server, -1);
    const char *name = without_port(copy);

    /* A path is a socket on the host. */
    return *name == '\0' || *name == '/' || g_strv_contains(names, name) ||
           g_str_has_prefix(name, "127.") || g_str_has_prefix(name, "::ffff:127.");
}

gboolean gw_share_servers_known(const char *hosts)
{
    g_auto(GStrv) list = g_strsplit(hosts != NULL ? hosts : "", ",", -1);

    for (guint i = 0; list[i] != NULL; i++) {
        if (gw_share_is_loopback(g_strstrip(list[i])))
            return FALSE;
    }
    return list[0] != NULL;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void strip_default_port(char *server, const Scheme *scheme)
{
    char *colon = strrchr(server, ':');
    if (colon == NULL || colon[1] == '\0')
        return;

    const char *found = strstr(scheme->ports, colon);
    gsize length = strlen(colon);
    if (found != NULL && (found[length] == '\0' || found[length] == ':'))
        *colon = '\0';
}

/* The servers in one form: lower case, sorted, without default ports. */
static char *normal_hosts(const char *hosts, const Scheme *scheme)
{
    g_autofree char *lower = g_ascii_strdown(hosts, -1);
    g_auto(GStrv) list = g_strsplit(lower, ",", -1);
    guint count = g_strv_length(list);

    for (guint i = 0; i < count; i++)
        strip_default_port(g_strstrip(list[i]), scheme);
    qsort(list, count, sizeof(*list), compare_words);
    return g_strjoinv(",", list);
}

/* Without doubled and trailing slashes. */
static char *normal_name(const char *name)
{
    GString *out = g_string_new(NULL);

    for (const char *p = name; *p != '\0'; p++) {
        if (*p != '/' || p[1] != '/')
            g_string_append_c(out, *p);
    }
    if (out->len > 1 && out->str[out->len - 1] == '/')
        g_string_truncate(out, out->len - 1);
    return g_string_free(out, FALSE);
}

static char *make_id(const Scheme *scheme, const char *hosts, const char *name)
{
    if (*name == '\0' || !gw_share_servers_known(hosts))
        return NULL;
    g_autofree char *h = normal_hosts(hosts, scheme);
    g_autofree char *n = normal_name(name);
    /* Only an export is a path; volumes, pools and targets have names. */
    const char *slash = strcmp(scheme->scheme, "nfs") == 0 ? "/" : "";
    return g_strdup_printf("%s:%s:%s%s", scheme->scheme, h, slash, *n == '/' ? n + 1 : n);
}

/* Whether @text, which follows a colon, is a port and more follows. */
static gboolean is_port(const char *text)
{
    gsize digits = strspn(text, "0123456789");
    return digits > 0 && (text[digits] == ',' || text[digits] == ':');
}

/* Where the name of the storage begins in @source, "SERVERS:NAME" or "//SERVER/NAME"; @source
 * itself where it names no server. */
static const char *find_name(const char *source)
{
    static const char *const kinds[] = { "iqn.", "eui.", "naa." };
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *target = strstr(source, kinds[i]);
        if (target != NULL)
            return target;
    }
    const char *slash = g_str_has_prefix(source, "//") ? strchr(source + 2, '/') : NULL;
    if (slash != NULL)
        return slash;
    const char *path = strstr(source, ":/");
    if (path != NULL)
        return path + 1;
    const char *colon = strchr(source, ':');
    while (colon != NULL && is_port(colon + 1))
        colon = strchr(colon + 1, ':');
    return colon != NULL ? colon + 1 : source;
}

gboolean gw_share_has_server(const GwPool *pool)
{
    return find_scheme(pool->type) != NULL;
}

char *gw_share_own_id(const GwPool *pool)
{
    const Scheme *scheme = find_scheme(pool->type);
    if (scheme == NULL || pool->source == NULL)
        return NULL;

    const char *name = find_name(pool->source);
    const char *begin = pool->source + strspn(pool->source, "/");
    if (name <= begin)
        return NULL; /* no server: nothing says which machine is meant */
    g_autofree char *hosts = g_strndup(begin, (gsize)(name - begin));
    for (gsize n = strlen(hosts); n > 0 && strchr(":/", hosts[n - 1]) != NULL; n--)
        hosts[n - 1] = '\0';
    return make_id(scheme, hosts, name);
}

char *gw_share_id_of_network(const char *protocol, const char *hosts, const char *name)
{
    const Scheme *scheme = find_scheme(protocol);
    if (scheme == NULL || name == NULL || hosts == NULL)
        return NULL;

    name += strspn(name, "/");
    g_autofree char *first = g_strndup(name, strcspn(name, "/"));
    return make_id(scheme, hosts, first);
}

static gboolean is_member(const GwShare *share, const GwHost *host, const GwPool *pool)
{
    for (guint i = 0; share->members != NULL && i < share->members->len; i++) {
        const GwShareMember *member = share->members->pdata[i];
        if (g_strcmp0(member->host_id, host->id) == 0 && g_strcmp0(member->pool, pool->name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Only where a directory is shown can a marker be written and read. */
gboolean gw_share_may_be_proved(const GwPool *pool)
{
    static const char *const types[] = { "dir", "fs", "netfs", NULL };
    return pool->type != NULL && g_strv_contains(types, pool->type);
}

/* Any order will do, as long as it is the same whenever it is asked. */
gboolean gw_share_is_better(const GwShare *share, const GwShare *best)
{
    if (best == NULL)
        return TRUE;
    if (!share->locks_proved != !best->locks_proved)
        return share->locks_proved;
    return g_strcmp0(share->id, best->id) < 0;
}

const GwShare *gw_share_common(const GwFabric *fabric, gboolean proved, const GwHost *source,
                               const GwPool *source_pool, const GwHost *destination,
                               const GwPool *destination_pool)
{
    const GwShare *best = NULL;
    GHashTableIter iter;
    gpointer value;

    if (!gw_share_may_be_proved(source_pool) || !gw_share_may_be_proved(destination_pool))
        return NULL;
    g_hash_table_iter_init(&iter, fabric->shares);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwShare *share = value;
        if (!share->proved == !proved && is_member(share, source, source_pool) &&
            is_member(share, destination, destination_pool) && gw_share_is_better(share, best))
            best = share;
    }
    return best;
}

char *gw_share_id_of_pool(const GwFabric *fabric, const GwHost *host, const GwPool *pool)
{
    char *own = gw_share_own_id(pool);
    if (own != NULL)
        return own;

    const GwShare *share = gw_share_common(fabric, TRUE, host, pool, host, pool);
    return share != NULL ? g_strdup_printf("share:%s", share->id) : NULL;
}

/* Several iSCSI pools show their LUNs in one directory; the target in the LUN's name tells. */
static gboolean names_target(const GwPool *pool, const char *path)
{
    if (g_strcmp0(pool->type, "iscsi") != 0)
        return TRUE;
    g_autofree char *mark =
        g_strconcat("-iscsi-", pool->source != NULL ? find_name(pool->source) : "", "-lun-", NULL);
    return strstr(path, mark) != NULL;
}

char *gw_share_clean_path(const char *path)
{
    /* GLib keeps two leading slashes apart from one, as POSIX allows; Linux does not. */
    while (path[0] == '/' && path[1] == '/')
        path++;
    return g_canonicalize_filename(path, "/");
}

gssize gw_share_pool_depth(const GwPool *pool, const char *path)
{
    const char *dir = pool->target_path;
    if (!pool->active || dir == NULL || *dir != '/')
        return -1;

    gsize length = strlen(dir);
    while (length > 0 && dir[length - 1] == '/')
        length--;
    if (strncmp(dir, path, length) != 0 || path[length] != '/' || !names_target(pool, path))
        return -1;
    return (gssize)length;
}

const GwPool *gw_share_pool_of_path(const GwHost *host, const char *path)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;
    const GwPool *best = NULL;
    gssize best_depth = -1;

    if (path == NULL || *path != '/')
        return NULL;
    g_autofree char *clean = gw_share_clean_path(path);
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        gssize depth = gw_share_pool_depth(pools->pdata[i], clean);
        if (depth > best_depth) {
            best = pools->pdata[i];
            best_depth = depth;
        }
    }
    return best;
}
