/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fabric.h"

#define GIB_KIB ((gint64)1024 * 1024)

typedef struct {
    const FabricOptions *options;
    GRand *rand;
    GwFabric *fabric;
    gint64 *free_kib; /* of each host */
} Maker;

char *fabric_host_id(guint host)
{
    return g_strdup_printf("h%04u", host);
}

char *fabric_vm_uuid(guint vm)
{
    return g_strdup_printf("00000000-0000-4000-8000-%012u", vm);
}

static gboolean chance(Maker *m, guint percent)
{
    return (guint)g_rand_int_range(m->rand, 0, 100) < percent;
}

static guint below(Maker *m, guint count)
{
    return (guint)g_rand_int_range(m->rand, 0, (gint32)count);
}

static GwPool *make_pool(const char *name, const char *type, const char *path, char *source)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup(name);
    pool->type = g_strdup(type);
    pool->target_path = g_strdup(path);
    pool->source = source;
    pool->active = TRUE;
    pool->capacity_bytes = (gint64)4 << 40;
    pool->available_bytes = (gint64)2 << 40;
    return pool;
}

static char **words(const char *const *list)
{
    return g_strdupv((char **)list);
}

static GwHostFacts *make_facts(Maker *m, guint number)
{
    static const char *const machines[] = { "pc-q35-10.0", "pc-q35-7.2", NULL };
    static const char *const bridges[] = { "br0", NULL };
    static const gint64 sizes[] = { 64, 128, 128, 256, 256, 512, 1024 };
    const FabricOptions *o = m->options;
    GwHostFacts *facts = gw_host_facts_new();
    guint block = o->hosts_per_share > 0 ? number / o->hosts_per_share : 0;

    facts->host_uuid = g_strdup_printf("10000000-0000-4000-8000-%012u", number);
    facts->hostname = g_strdup_printf("h%04u.example.org", number);
    facts->arch = g_strdup("x86_64");
    facts->cpus = o->small ? 8 : 64;
    facts->cpu_model = g_strdup("Skylake-Server");
    facts->memory_kib =
        GIB_KIB * (o->small ? 4 + below(m, 9) : sizes[below(m, G_N_ELEMENTS(sizes))]);
    facts->free_memory_kib = facts->memory_kib;
    facts->libvirt_version = 11003000;
    facts->qemu_version = 10000002;
    facts->machines = words(machines);
    facts->bridges = words(bridges);
    facts->pools = gw_record_array(&gw_pool_record);
    g_ptr_array_add(facts->pools,
                    make_pool("vms", "netfs", "/srv/vms",
                              g_strdup_printf("nas%03u.example.org:/export/vms", block)));
    g_ptr_array_add(facts->pools, make_pool("images", "dir", "/var/lib/libvirt/images", NULL));
    if (chance(m, 50)) {
        facts->usage = gw_host_usage_new();
        facts->usage->cpu_permille = below(m, 900);
    }
    return facts;
}

static void make_odd_host(Maker *m, GwHost *host)
{
    switch (below(m, 8)) {
    case 0:
        host->maintenance = (int)GW_MAINTENANCE_IN;
        break;
    case 1:
        host->live_migration_enabled = FALSE;
        break;
    case 2:
        host->live_limit = 0;
        break;
    case 3:
        host->status = (int)GW_HOST_NOT_RESPONDING;
        break;
    case 4:
        host->memory_reserve_kib = GIB_KIB;
        break;
    case 5:
        host->cpu_reserve_percent = 20;
        break;
    case 6:
        g_clear_pointer(&host->facts->bridges, g_strfreev);
        break;
    default:
        host->storage_limit = 0;
    }
}

static void add_host(Maker *m, guint number)
{
    GwHost *host = gw_host_new_default();

    host->id = fabric_host_id(number);
    host->name = fabric_host_id(number);
    host->uri = g_strdup_printf("qemu+tls://h%04u.example.org/system", number);
    host->status = (int)GW_HOST_OK_LIMITED;
    host->live_limit = 1 + below(m, 3);
    host->storage_limit = 1 + below(m, 2);
    host->facts = make_facts(m, number);
    if (chance(m, m->options->odd_percent))
        make_odd_host(m, host);
    m->free_kib[number] = host->facts->memory_kib;
    gw_fabric_put_host(m->fabric, host);
}

static GwDisk *make_disk(Maker *m, guint number)
{
    static const gint64 sizes[] = { 20, 20, 20, 40, 40, 100, 500 };
    GwDisk *disk = gw_disk_new();
    gboolean local = chance(m, m->options->local_percent);

    disk->target = g_strdup("vda");
    disk->bus = g_strdup("virtio");
    disk->device = g_strdup("disk");
    disk->type = g_strdup("file");
    disk->source =
        g_strdup_printf("%s/vm%05u.qcow2", local ? "/var/lib/libvirt/images" : "/srv/vms", number);
    disk->format = g_strdup("qcow2");
    disk->cache = g_strdup("none");
    disk->capacity_bytes = sizes[below(m, G_N_ELEMENTS(sizes))] << 30;
    if (chance(m, 50)) {
        disk->backing_path = g_strdup_printf("/srv/vms/base-%u.qcow2", below(m, 4));
        disk->backing_depth = 1;
    }
    return disk;
}

static void make_odd_vm(Maker *m, GwVm *vm)
{
    GwHostdev *device = gw_hostdev_new();

    switch (below(m, 4)) {
    case 0:
        device->type = g_strdup("pci");
        device->address = g_strdup("0000:3b:00.0");
        vm->hostdevs = gw_record_array(&gw_hostdev_record);
        g_ptr_array_add(vm->hostdevs, g_steal_pointer(&device));
        break;
    case 1:
        vm->state = (int)GW_VM_PAUSED;
        break;
    case 2:
        g_free(vm->name);
        vm->name = g_strdup("twin");
        break;
    default:
        g_free(vm->machine);
        vm->machine = g_strdup("pc-q35-99.0");
    }
    gw_hostdev_free(device);
}

/* Skewed: most are small, a few are very large. */
static gint64 vm_memory_kib(Maker *m)
{
    guint roll = below(m, 100);

    if (m->options->small)
        return GIB_KIB * (1 + below(m, 5));
    if (roll < 60)
        return GIB_KIB * (1 + below(m, 4));
    if (roll < 90)
        return GIB_KIB * (4 + 4 * below(m, 4));
    return GIB_KIB * (roll < 98 ? 32 : 64);
}

/* A host with room up to what the fabric is to be filled; any, where none has. */
static guint find_home(Maker *m, gint64 memory_kib)
{
    guint home = 0;

    for (guint i = 0; i < 20; i++) {
        home = below(m, m->options->hosts);
        g_autofree char *id = fabric_host_id(home);
        gint64 all = gw_fabric_host(m->fabric, id)->facts->memory_kib;
        if (m->free_kib[home] - memory_kib >= all * (100 - m->options->full_percent) / 100)
            break;
    }
    return home;
}

static void add_vm(Maker *m, guint number)
{
    GwVm *vm = gw_vm_new();
    gint64 memory = vm_memory_kib(m);
    guint home = find_home(m, memory);
    GwNic *nic = gw_nic_new();

    vm->uuid = fabric_vm_uuid(number);
    vm->name = g_strdup_printf("vm%05u", number);
    vm->host_id = fabric_host_id(home);
    vm->state = (int)(chance(m, m->options->off_percent) ? GW_VM_OFF : GW_VM_RUNNING);
    vm->persistent = TRUE;
    vm->vcpus = 2;
    vm->memory_kib = vm->max_memory_kib = memory;
    vm->virt_type = g_strdup("kvm");
    vm->arch = g_strdup("x86_64");
    vm->machine = g_strdup("pc-q35-7.2");
    vm->cpu_mode = g_strdup("host-model");
    vm->cpu_model = g_strdup("Skylake-Server");
    vm->disks = gw_record_array(&gw_disk_record);
    g_ptr_array_add(vm->disks, make_disk(m, number));
    vm->nics = gw_record_array(&gw_nic_record);
    nic->mac = g_strdup_printf("52:54:00:%02x:%02x:%02x", number >> 16 & 255, number >> 8 & 255,
                               number & 255);
    nic->type = g_strdup("bridge");
    nic->source = g_strdup("br0");
    nic->model = g_strdup("virtio");
    g_ptr_array_add(vm->nics, nic);
    if (chance(m, 50)) {
        vm->usage = gw_vm_usage_new();
        vm->usage->cpu_permille = below(m, 1000);
        vm->usage->memory_used_kib = memory / 2 + memory / 4 * below(m, 3);
    }
    if (chance(m, m->options->odd_percent))
        make_odd_vm(m, vm);
    if (vm->state != (int)GW_VM_OFF)
        m->free_kib[home] -= memory;
    gw_fabric_put_vm(m->fabric, vm);
}

static void add_rule(Maker *m, guint number)
{
    GwPlacementRule *rule = gw_placement_rule_new();
    guint count = 2 + below(m, 3);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GStrvBuilder) uuids = g_strv_builder_new();

    rule->id = g_strdup_printf("rule%04u", number);
    rule->name = g_strdup_printf("rule %u", number);
    rule->kind = (int)(chance(m, 70) ? GW_RULE_KIND_APART : GW_RULE_KIND_TOGETHER);
    rule->required = chance(m, 80);
    rule->disabled = chance(m, 5);
    for (guint i = 0; i < count; i++) {
        char *uuid = fabric_vm_uuid(below(m, m->options->vms));
        if (g_hash_table_add(seen, uuid))
            g_strv_builder_add(uuids, uuid);
    }
    rule->vms = g_strv_builder_end(uuids);
    gw_fabric_put_rule(m->fabric, rule);
}

/* What is left is what VMs have not taken; a host may be a little over. */
static void settle(Maker *m)
{
    for (guint h = 0; h < m->options->hosts; h++) {
        g_autofree char *id = fabric_host_id(h);
        GwHost *host = gw_host_copy(gw_fabric_host(m->fabric, id));
        host->facts->free_memory_kib = MAX(m->free_kib[h], 0);
        gw_fabric_put_host(m->fabric, host);
    }
}

GwFabric *fabric_make(const FabricOptions *options)
{
    Maker m = { options, g_rand_new_with_seed(options->seed), gw_fabric_new(),
                g_new0(gint64, MAX(options->hosts, 1)) };
    GwGroup *root = gw_group_new();

    root->id = g_strdup(GW_GROUP_ROOT);
    root->name = g_strdup("All Hosts");
    gw_fabric_put_group(m.fabric, root);
    for (guint i = 0; i < options->hosts; i++)
        add_host(&m, i);
    for (guint i = 0; i < options->vms; i++)
        add_vm(&m, i);
    for (guint i = 0; options->vms > 1 && i < options->rules; i++)
        add_rule(&m, i);
    if (options->hosts_per_rack > 0)
        fabric_add_racks(m.fabric, options);
    settle(&m);
    g_rand_free(m.rand);
    g_free(m.free_kib);
    return m.fabric;
}
