/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/host_show.h"

#include "cli/columns.h"
#include "cli/format.h"
#include "cli/prediction.h"
#include "model/host.h"

/* "1/2": slots in use and the limit (R23). */
static char *show_slots(json_t *row, const char *used, const char *limit)
{
    return g_strdup_printf("%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, gw_at_int(row, used, 0),
                           gw_at_int(row, limit, 0));
}

static char *show_live(GwSession *session, json_t *row, const char *path)
{
    return show_slots(row, path, "live_limit");
}

static char *show_storage(GwSession *session, json_t *row, const char *path)
{
    return show_slots(row, path, "storage_limit");
}

/* "24 h"; 0: not at all. */
static char *show_keep(GwSession *session, json_t *row, const char *path)
{
    gint64 seconds = gw_at_int(row, path, -1);

    if (seconds < 0)
        return g_strdup("");
    return seconds == 0 ? g_strdup("no") : gw_format_seconds(seconds);
}

/* "OK", or what is being done to it. */
static char *show_status(GwSession *session, json_t *row, const char *path)
{
    const char *maintenance = gw_at_text(row, "maintenance");
    g_autofree char *status = gw_show_text(session, row, path);

    if (maintenance == NULL || g_strcmp0(maintenance, "none") == 0)
        return g_steal_pointer(&status);
    g_autofree char *line = gw_format_line(maintenance);
    return g_strdup_printf("%s, %s%s", status, line,
                           g_str_equal(line, "entering") ? " maintenance" : "");
}

const GwColumn gw_host_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "STATUS", "status", show_status, .state = TRUE },
    { "CPUS", "facts.cpus", .right = TRUE },
    { "MEMORY", "facts.memory_kib", gw_show_kib, .right = TRUE },
    { "FREE", "facts.free_memory_kib", gw_show_kib, .right = TRUE },
    { "LIVE", "live_in_use", show_live, .right = TRUE },
    { "STORAGE", "storage_in_use", show_storage, .right = TRUE },
    { "URI", "uri", .cut = TRUE },
    { .header = NULL },
};

/* What is not used is not said. */
static char *show_more(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, 0) > 0 ? gw_show_text(session, row, path) : g_strdup("");
}

static char *show_reserve_kib(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, 0) > 0 ? gw_show_kib(session, row, path) : g_strdup("");
}

static char *show_reserve_bytes(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, 0) > 0 ? gw_show_bytes(session, row, path) : g_strdup("");
}

static char *show_maintenance(GwSession *session, json_t *row, const char *path)
{
    g_autofree char *word = gw_show_text(session, row, path);
    return g_str_equal(word, "none") ? g_strdup("") : g_steal_pointer(&word);
}

const GwColumn gw_host_sheet[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "Status", "status", .state = TRUE },
    { "Reason", "status_reason" },
    { "Remedy", "status_remedy" },
    { "Maintenance", "maintenance", show_maintenance, .state = TRUE },
    { "Last answer", "last_seen" },
    { "Group", "group_id" },
    { "URI", "uri" },
    { "Peer URI", "peer_uri" },
    { "Migration address", "migration_address" },
    { "Live migration", "live_migration_enabled", gw_show_yes_no },
    { "Live slots in use", "live_in_use", show_live },
    { "Storage slots in use", "storage_in_use", show_storage },
    { "Method", "method" },
    { "Bandwidth, MiB/s", "bandwidth_mibps" },
    { "Default storage", "default_storage", gw_show_list },
    { "Old copies are kept", "keep_source_s", show_keep },
    { "Tags", "tags", gw_show_list },
    { "Physical networks", "network_tags", gw_show_list },
    { "CPU reserve, %", "cpu_reserve_percent", show_more },
    { "Memory reserve", "memory_reserve_kib", show_reserve_kib },
    { "Disk reserve", "disk_reserve_bytes", show_reserve_bytes },
    { "Completion time-out, s/GiB", "completion_timeout_s_per_gib" },
    { "Progress time-out, s", "progress_timeout_s" },
    { "Host name", "facts.hostname" },
    { "Architecture", "facts.arch" },
    { "CPU", "facts.cpu_model" },
    { "CPUs", "facts.cpus" },
    { "Memory", "facts.memory_kib", gw_show_kib },
    { "Free memory", "facts.free_memory_kib", gw_show_kib },
    { "CPU used", "facts.usage.cpu_permille", gw_show_permille },
    { "Its VMs' network", "facts.usage.network_bps", gw_show_known_rate },
    { "libvirt", "facts.libvirt_version", gw_show_version },
    { "QEMU", "facts.qemu_version", gw_show_version },
    { "Bridges", "facts.bridges", gw_show_list },
    { "Agent", "facts.agent.version" },
    { "Agent's protocol", "facts.agent.wire_version" },
    { "Certificate", "agent_certificate_serial" },
    { "Certificate ends", "agent_certificate_expires_at" },
    { "Clock ahead, ms", "facts.agent.clock_offset_ms" },
    { "Agent's memory", "facts.agent.resident_bytes", gw_show_bytes },
    { "Agent's sessions", "facts.agent.sessions" },
    { "Agent's streams", "facts.agent.streams" },
    { "Agent's warnings", "facts.agent.warnings", gw_show_list },
    { .header = NULL },
};

/* "10000 Mbit/s"; what the kernel does not tell is not shown as a number. */
static char *show_speed(GwSession *session, json_t *row, const char *path)
{
    gint64 speed = gw_at_int(row, path, -1);
    return speed < 0 ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT " Mbit/s", speed);
}

static char *show_us(GwSession *session, json_t *row, const char *path)
{
    return g_strdup_printf("%.2f ms", (double)gw_at_int(row, path, 0) / 1000);
}

const GwColumn gw_interface_columns[] = {
    { "INTERFACE", "name" },
    { "UP", "up", gw_show_yes_no },
    { "SPEED", "speed_mbps", show_speed, .right = TRUE },
    { "MTU", "mtu", .right = TRUE },
    { "ADDRESSES", "addresses", gw_show_list, .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_file_system_columns[] = {
    { "MOUNTED AT", "path", .cut = TRUE },
    { "TYPE", "type" },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "FREE", "available_bytes", gw_show_bytes, .right = TRUE },
    { "REFLINK", "reflink", gw_show_yes_no },
    { "NETWORK", "network", gw_show_yes_no },
    { "SOURCE", "source", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_link_columns[] = {
    { "TO", "host_id", gw_show_host, .cut = TRUE },
    { "AT LEAST", "bytes_per_s", gw_show_rate, .right = TRUE },
    { "ROUND TRIP", "round_trip_us", show_us, .right = TRUE },
    { "LONGEST", "round_trip_max_us", show_us, .right = TRUE },
    { "MEASURED", "measured_at" },
    { .header = NULL },
};

const GwColumn gw_pool_columns[] = {
    { "POOL", "name", .cut = TRUE },
    { "TYPE", "type" },
    { "ACTIVE", "active", gw_show_yes_no },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "FREE", "available_bytes", gw_show_bytes, .right = TRUE },
    { "PATH", "target_path", .cut = TRUE },
    { "SHARED AS", "share_id", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_network_columns[] = {
    { "NETWORK", "name", .cut = TRUE },
    { "KIND", "kind" },
    { "ACTIVE", "active", gw_show_yes_no },
    { "BRIDGE", "bridge", .cut = TRUE },
    { "FORWARD", "forward" },
    { "MTU", "mtu", show_more, .right = TRUE },
    { "VLANS", "vlans", gw_show_list },
    { "SUBNETS", "subnets", gw_show_list, .cut = TRUE },
    { .header = NULL },
};

static const GwColumn hba_columns[] = {
    { "HBA", "name", .cut = TRUE },
    { "WWPN", "wwpn" },
    { "SAN", "fabric_wwn" },
    { "VIRTUAL", "vports", .right = TRUE },
    { "OF", "max_vports", .right = TRUE },
    { .header = NULL },
};

const GwColumn gw_location_columns[] = {
    { "POOL", "pool", .cut = TRUE },
    { "TYPE", "type" },
    { "DEFAULT", "is_default", gw_show_yes_no },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "FREE", "available_bytes", gw_show_bytes, .right = TRUE },
    { "PROMISED", "promised_bytes", gw_show_bytes, .right = TRUE },
    { "PATH", "path", .cut = TRUE },
    { .header = NULL },
};

static void print_part(GwSession *session, json_t *host, const char *path, const char *heading,
                       const GwColumn *columns)
{
    json_t *rows = gw_at(host, path);

    if (json_array_size(rows) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, columns, rows);
}

static void print_host(GwSession *session, json_t *host)
{
    gw_print_sheet(session, gw_host_sheet, host);
    print_part(session, host, "facts.pools", "Storage pools", gw_pool_columns);
    print_part(session, host, "facts.networks", "Networks", gw_network_columns);
    print_part(session, host, "facts.hbas", "HBAs (NPIV)", hba_columns);
    print_part(session, host, "facts.agent.interfaces", "Interfaces", gw_interface_columns);
    print_part(session, host, "facts.agent.file_systems", "File systems", gw_file_system_columns);
    print_part(session, host, "facts.agent.links", "Links to other agents", gw_link_columns);
}

int gw_show_host_record(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) host =
        gw_session_find(session, "/hosts", "host", gw_args_word(args, 0), error);

    if (host != NULL && !gw_print_document(session, host))
        print_host(session, host);
    return GW_EXIT_OK;
}

int gw_show_host_storage(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path =
        gw_session_find_path(session, "/hosts", "host", gw_args_word(args, 0), error);
    if (path == NULL)
        return GW_EXIT_FAILED;
    g_autofree char *list_path = g_strconcat(path, "/storage-locations", NULL);
    return gw_print_list(session, list_path, gw_location_columns,
                         "No active storage pool there can hold disks.", error);
}
