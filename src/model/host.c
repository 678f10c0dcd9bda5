/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/host.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

GW_DEFINE_RECORD(
    GwGroup, gw_group, "HostGroup", "A host group: a node of the tree under All Hosts.",
    GW_F(GwGroup, id, GW_STRING, .flags = GW_READ_ONLY, .doc = "Identifier."),
    GW_F(GwGroup, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name, unique in its parent."),
    GW_F(GwGroup, parent_id, GW_STRING, .doc = "The parent's id; absent only for All Hosts."),
    GW_F(GwGroup, placement, GW_OBJECT, .of = &gw_placement_policy_record,
         .doc = "How VMs are placed in it; absent: as in its parent."),
    GW_F(GwGroup, balance, GW_OBJECT, .of = &gw_balance_settings_record,
         .doc = "How it is balanced; absent: together with its parent."));

GW_DEFINE_RECORD(
    GwPool, gw_pool, "StoragePool", "A storage pool of the host.",
    GW_F(GwPool, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name on the host."),
    GW_F(GwPool, type, GW_STRING, .doc = "libvirt's pool type."),
    GW_F(GwPool, target_path, GW_STRING, .doc = "Where its volumes appear on the host."),
    GW_F(GwPool, source, GW_STRING, .doc = "What the storage is: server:/export, target, device."),
    GW_F(GwPool, wwpn, GW_STRING,
         .doc = "World-wide port name of a virtual HBA; absent: it is none."),
    GW_F(GwPool, parent_hba, GW_STRING, .doc = "The HBA that carries it; absent: not told."),
    GW_F(GwPool, share_id, GW_STRING,
         .doc = "Equal on two hosts exactly when they see the same storage; absent: local."),
    GW_F(GwPool, active, GW_BOOL, .doc = "Whether it is started."),
    GW_F(GwPool, capacity_bytes, GW_INT, .doc = "Size in bytes."),
    GW_F(GwPool, available_bytes, GW_INT, .doc = "Free space in bytes."));

GW_DEFINE_RECORD(
    GwHostFacts, gw_host_facts, "HostFacts", "What a host says of itself.",
    GW_F(GwHostFacts, host_uuid, GW_STRING, .doc = "libvirt's UUID of the host."),
    GW_F(GwHostFacts, hostname, GW_STRING, .doc = "The name the host gives itself."),
    GW_F(GwHostFacts, arch, GW_STRING, .doc = "CPU architecture."),
    GW_F(GwHostFacts, cpus, GW_INT, .doc = "Logical CPUs."),
    GW_F(GwHostFacts, cpu_model, GW_STRING, .doc = "libvirt's name of the CPU model."),
    GW_F(GwHostFacts, cpu_xml, GW_STRING, .flags = GW_INTERNAL, .doc = "CPU description."),
    GW_F(GwHostFacts, vm_cpus, GW_ARRAY, .of = &gw_host_cpu_record, .flags = GW_INTERNAL,
         .doc = "What it can give VMs as a CPU."),
    GW_F(GwHostFacts, memory_kib, GW_INT, .doc = "Memory in KiB."),
    GW_F(GwHostFacts, free_memory_kib, GW_INT, .doc = "Free memory in KiB."),
    GW_F(GwHostFacts, libvirt_version, GW_INT, .doc = "major * 1000000 + minor * 1000 + release."),
    GW_F(GwHostFacts, qemu_version, GW_INT, .doc = "major * 1000000 + minor * 1000 + release."),
    GW_F(GwHostFacts, machines, GW_STRINGS, .flags = GW_INTERNAL, .doc = "Known machine types."),
    GW_F(GwHostFacts, bridges, GW_STRINGS, .doc = "Bridges of the host."),
    GW_F(GwHostFacts, networks, GW_ARRAY, .of = &gw_network_record, .doc = "libvirt networks."),
    GW_F(GwHostFacts, pools, GW_ARRAY, .of = &gw_pool_record, .doc = "Storage pools."),
    GW_F(GwHostFacts, hbas, GW_ARRAY, .of = &gw_hba_record,
         .doc = "HBAs that can carry virtual ones (NPIV)."),
    GW_F(GwHostFacts, usage, GW_OBJECT, .of = &gw_host_usage_record,
         .doc = "How busy it is; absent: not seen yet."),
    GW_F(GwHostFacts, agent, GW_OBJECT, .of = &gw_agent_facts_record,
         .doc = "What the agent says; absent without one."));

const GwEnum gw_host_status_enum = { "HostStatus",
                                     (const char *const[]){ "Connecting", "OK", "OK (Limited)",
                                                            "Not responding", NULL } };

const GwEnum gw_maintenance_enum = {
    "Maintenance", (const char *const[]){ "none", "entering", "in maintenance", NULL }
};

const GwEnum gw_method_enum = { "SpeedMethod",
                                (const char *const[]){ "default", "standard", "compression",
                                                       "multichannel", NULL } };

GW_DEFINE_RECORD(
    GwHost, gw_host, "Host", "A managed host.",
    GW_F(GwHost, id, GW_STRING, .flags = GW_READ_ONLY, .doc = "Identifier."),
    GW_F(GwHost, name, GW_STRING, .doc = "Name, unique; default: the host's own."),
    GW_F(
        GwHost, uri, GW_STRING, .flags = GW_REQUIRED,
        .doc = "libvirt URI by which the controller reaches it, e.g. qemu+ssh://root@kvm1/system."),
    GW_F(GwHost, group_id, GW_STRING, .doc = "The host group it is in; default: All Hosts."),
    GW_F(GwHost, peer_uri, GW_STRING,
         .doc = "libvirt URI by which other hosts reach it; default: derived from uri."),
    GW_F(GwHost, migration_address, GW_STRING,
         .doc = "Address that receives migration data; default: the URI's host."),
    GW_F(GwHost, management_bridge, GW_STRING,
         .doc = "Bridge that carries the host's own management address; VMs on it are not moved "
                "(R52); default: none."),
    GW_F(GwHost, live_migration_enabled, GW_BOOL, .doc = "Whether live moves are allowed (R1)."),
    GW_F(GwHost, live_limit, GW_INT, .min = 0, .max = 64,
         .doc = "Simultaneous live migrations, in and out together, 0 to 64 (R20)."),
    GW_F(GwHost, storage_limit, GW_INT, .min = 0, .max = 64,
         .doc = "Simultaneous storage migrations, in and out together, 0 to 64 (R21)."),
    GW_F(GwHost, live_in_use, GW_INT, .flags = GW_READ_ONLY, .doc = "Live slots in use (R23)."),
    GW_F(GwHost, storage_in_use, GW_INT, .flags = GW_READ_ONLY, .doc = "Storage slots in use."),
    GW_F(GwHost, method, GW_ENUM, .of_enum = &gw_method_enum, .doc = "Speed method (R24)."),
    GW_F(GwHost, bandwidth_mibps, GW_INT, .max = 1000000,
         .doc = "Bandwidth limit of one move in MiB/s; 0: none."),
    GW_F(GwHost, default_storage, GW_STRINGS,
         .doc = "Pools, or their paths, where VMs' disks go by default (R16)."),
    GW_F(GwHost, keep_source_s, GW_INT, .min = 0, .max = GW_KEEP_SOURCE_MAX_S,
         .doc = "How long old copies of moved disks are kept for Undo, s; 0: not at all."),
    GW_F(GwHost, completion_timeout_s_per_gib, GW_INT, .min = 0, .max = 1000000,
         .doc = "Completion time-out in seconds per GiB to move; 0: none (R59)."),
    GW_F(GwHost, progress_timeout_s, GW_INT, .min = 0, .max = 1000000,
         .doc = "Progress time-out in seconds; 0: none (R60)."),
    GW_F(GwHost, maintenance, GW_ENUM, .of_enum = &gw_maintenance_enum, .flags = GW_READ_ONLY,
         .doc = "Whether it may be given VMs (R49)."),
    GW_F(GwHost, tags, GW_STRINGS, .doc = "Words and key=value, for placement rules (R57)."),
    GW_F(GwHost, network_tags, GW_STRINGS,
         .doc = "NAME=TAG: the physical network behind a network or bridge of it, for matching "
                "(R40)."),
    GW_F(GwHost, cpu_reserve_percent, GW_INT, .max = 100,
         .doc = "CPU left alone, percent, beside what its group leaves alone."),
    GW_F(GwHost, memory_reserve_kib, GW_INT, .doc = "Memory left alone, KiB."),
    GW_F(GwHost, disk_reserve_bytes, GW_INT, .doc = "Space left alone in each pool, bytes."),
    GW_F(GwHost, status, GW_ENUM, .of_enum = &gw_host_status_enum, .flags = GW_READ_ONLY,
         .doc = "Status."),
    GW_F(GwHost, status_reason, GW_STRING, .flags = GW_READ_ONLY, .doc = "Why it has this status."),
    GW_F(GwHost, status_remedy, GW_STRING, .flags = GW_READ_ONLY, .doc = "What to do about it."),
    GW_F(GwHost, last_seen, GW_STRING, .flags = GW_READ_ONLY, .doc = "Last answer, RFC 3339."),
    GW_F(GwHost, agent_certificate_serial, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "Serial of the last certificate that was made for its agent."),
    GW_F(GwHost, agent_certificate_expires_at, GW_STRING, .flags = GW_READ_ONLY,
         .doc = "When that certificate ends, RFC 3339."),
    GW_F(GwHost, facts, GW_OBJECT, .of = &gw_host_facts_record, .flags = GW_READ_ONLY,
         .doc = "What the host says of itself."));

GW_DEFINE_RECORD(GwShareMember, gw_share_member, "ShareMember",
                 "A pool of a host that shows the share.",
                 GW_F(GwShareMember, host_id, GW_STRING, .flags = GW_REQUIRED, .doc = "Host id."),
                 GW_F(GwShareMember, pool, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "Pool name on that host."));

GW_DEFINE_RECORD(
    GwShare, gw_share, "Share", "A directory declared shared between hosts, and proved so.",
    GW_F(GwShare, id, GW_STRING, .flags = GW_READ_ONLY, .doc = "Identifier."),
    GW_F(GwShare, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name, unique."),
    GW_F(GwShare, members, GW_ARRAY, .of = &gw_share_member_record, .flags = GW_REQUIRED,
         .doc = "The pools that show it, one for each host."),
    GW_F(GwShare, proved, GW_BOOL, .flags = GW_READ_ONLY,
         .doc = "A marker written through one member was read through all others."),
    GW_F(GwShare, locks_proved, GW_BOOL, .flags = GW_READ_ONLY,
         .doc = "A disk lock taken through one member is refused through the others."),
    GW_F(GwShare, proved_at, GW_STRING, .flags = GW_READ_ONLY, .doc = "When, RFC 3339."),
    GW_F(GwShare, reason, GW_STRING, .flags = GW_READ_ONLY, .doc = "Why it is not proved."));

GwHost *gw_host_new_default(void)
{
    GwHost *host = gw_host_new();
    host->group_id = g_strdup(GW_GROUP_ROOT);
    host->live_migration_enabled = TRUE;
    host->live_limit = GW_LIMIT_DEFAULT;
    host->storage_limit = GW_LIMIT_DEFAULT;
    host->completion_timeout_s_per_gib = 800;
    host->progress_timeout_s = 150;
    host->keep_source_s = GW_KEEP_SOURCE_DEFAULT_S;
    return host;
}

static gboolean bad_uri(const char *why, GError **error)
{
    /* The URI itself is left out: a person may have put a password into it. */
    gw_error_set(error, GW_ERR_INVALID,
                 "Give a libvirt URI such as qemu+ssh://root@kvm1/system or "
                 "qemu+tls://kvm1.example.org/system.",
                 "no libvirt URI of a QEMU host: %s", why);
    return FALSE;
}

/* libvirt decodes the parts before it uses them, so what they decode to counts. */
static gboolean check_uri_characters(const char *uri, GError **error)
{
    g_autofree char *decoded = g_uri_unescape_string(uri, NULL);

    for (const char *p = uri; *p != '\0'; p++) {
        if (!g_ascii_isgraph(*p))
            return bad_uri("it holds a blank, a control or a non-ASCII character", error);
    }
    if (decoded == NULL)
        return bad_uri("it holds a malformed %XX", error);
    for (const char *p = decoded; *p != '\0'; p++) {
        if (g_ascii_iscntrl(*p))
            return bad_uri("it holds an encoded control character", error);
    }
    return TRUE;
}

/* libvirt hands user and host to programs such as ssh. */
static gboolean check_uri_authority(GUri *uri, GError **error)
{
    g_autofree char *user =
        g_uri_get_userinfo(uri) ? g_uri_unescape_string(g_uri_get_userinfo(uri), NULL) : NULL;
    const char *host = g_uri_get_host(uri);

    if (user != NULL && strchr(user, ':') != NULL)
        return bad_uri("a password in it would show up in logs; use keys or certificates", error);
    if ((user != NULL && *user == '-') || (host != NULL && *host == '-'))
        return bad_uri("user and host must not begin with '-'", error);
    return TRUE;
}

/* A list of what is harmless: others make libvirt run a program (command, netcat) or lead to
 * another driver (name, mode). libvirt compares without case and splits at ';' too. */
static gboolean check_uri_parameters(const char *query, GError **error)
{
    static const char *const harmless[] = { "socket",    "keyfile",      "known_hosts",
                                            "no_tty",    "sshauth",      "known_hosts_verify",
                                            "no_verify", "no_sanity",    "pkipath",
                                            "proxy",     "tls_priority", NULL };
    GUriParamsIter iter;
    g_autoptr(GError) broken = NULL;

    g_uri_params_iter_init(&iter, query, -1, "&;", G_URI_PARAMS_NONE);
    for (;;) {
        g_autofree char *name = NULL, *value = NULL;
        if (!g_uri_params_iter_next(&iter, &name, &value, &broken))
            break;
        g_autofree char *lower = g_ascii_strdown(name, -1);
        if (!g_strv_contains(harmless, lower))
            return bad_uri("it has a parameter that is not accepted (accepted: socket, keyfile, "
                           "known_hosts, known_hosts_verify, sshauth, no_tty, no_verify, "
                           "no_sanity, pkipath, proxy, tls_priority)",
                           error);
    }
    return broken == NULL || bad_uri(broken->message, error);
}

gboolean gw_host_check_uri(const char *uri, GError **error)
{
    static const char *const schemes[] = { "qemu",         "qemu+ssh",    "qemu+tls", "qemu+unix",
                                           "qemu+libssh2", "qemu+libssh", "qemu+tcp", NULL };

    if (uri == NULL || strlen(uri) > 1024)
        return bad_uri("it must have from 1 to 1024 characters", error);
    if (!check_uri_characters(uri, error))
        return FALSE;
    if (gw_host_agent_uri(uri, NULL, NULL, NULL))
        return TRUE;
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED, NULL);
    if (parsed == NULL)
        return bad_uri("it cannot be parsed", error);
    if (!g_strv_contains(schemes, g_uri_get_scheme(parsed)))
        return bad_uri("the scheme must be qemu or qemu+TRANSPORT", error);
    if (strcmp(g_uri_get_path(parsed), "/system") != 0 &&
        strcmp(g_uri_get_path(parsed), "/session") != 0)
        return bad_uri("the path must be /system", error);
    if (g_uri_get_fragment(parsed) != NULL)
        return bad_uri("it has a fragment (#)", error);
    if (!check_uri_authority(parsed, error))
        return FALSE;
    return g_uri_get_query(parsed) == NULL || check_uri_parameters(g_uri_get_query(parsed), error);
}

gboolean gw_host_agent_uri(const char *uri, char **address, guint16 *port, char **host_id)
{
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED, NULL);

    if (parsed == NULL || g_strcmp0(g_uri_get_scheme(parsed), GW_AGENT_SCHEME) != 0)
        return FALSE;
    const char *host = g_uri_get_host(parsed), *path = g_uri_get_path(parsed);
    gsize id = *path == '/' ? strspn(path + 1, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") : 0;
    if (host == NULL || *host == '\0' || *host == '-' || id != 26 || path[27] != '\0' ||
        g_uri_get_userinfo(parsed) != NULL || g_uri_get_query(parsed) != NULL ||
        g_uri_get_fragment(parsed) != NULL)
        return FALSE;
    if (address != NULL)
        *address = g_strdup(host);
    if (port != NULL)
        *port = g_uri_get_port(parsed) > 0 ? (guint16)g_uri_get_port(parsed) : GW_AGENT_PORT;
    if (host_id != NULL)
        *host_id = g_strdup(path + 1);
    return TRUE;
}

gboolean gw_host_has_agent(const GwHost *host)
{
    return host->uri != NULL && gw_host_agent_uri(host->uri, NULL, NULL, NULL);
}

char *gw_host_uri_address(const char *uri)
{
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED, NULL);
    const char *address = parsed != NULL ? g_uri_get_host(parsed) : NULL;

    return address != NULL && *address != '\0' ? g_strdup(address) : NULL;
}

char *gw_host_peer_uri(const GwHost *host)
{
    if (host->peer_uri != NULL && *host->peer_uri != '\0')
        return g_strdup(host->peer_uri);

    if (gw_host_has_agent(host))
        return NULL; /* only through the agents */
    g_autoptr(GUri) parsed = g_uri_parse(host->uri, G_URI_FLAGS_ENCODED, NULL);
    if (parsed == NULL || g_uri_get_host(parsed) == NULL || *g_uri_get_host(parsed) == '\0')
        return NULL;
    /* The query holds the controller's own files (keys, sockets): no use on another host. */
    return g_uri_join(G_URI_FLAGS_ENCODED, g_uri_get_scheme(parsed), g_uri_get_userinfo(parsed),
                      g_uri_get_host(parsed), g_uri_get_port(parsed), g_uri_get_path(parsed), NULL,
                      NULL);
}
