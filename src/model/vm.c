/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/vm.h"

#include <string.h>

GW_DEFINE_RECORD(
    GwDisk, gw_disk, "Disk", "A disk of a VM.",
    GW_F(GwDisk, target, GW_STRING, .doc = "Device in the guest, e.g. vda."),
    GW_F(GwDisk, bus, GW_STRING, .doc = "Bus, e.g. virtio."),
    GW_F(GwDisk, device, GW_STRING, .doc = "disk, cdrom, floppy or lun."),
    GW_F(GwDisk, type, GW_STRING, .doc = "libvirt's source type: file, block, network, …"),
    GW_F(GwDisk, source, GW_STRING, .doc = "Path or name of the image; absent: no medium."),
    GW_F(GwDisk, source_host, GW_STRING, .doc = "Server of a network disk."),
    GW_F(GwDisk, format, GW_STRING, .doc = "Image format as stated in the definition."),
    GW_F(GwDisk, cache, GW_STRING, .doc = "Cache mode; absent: the hypervisor's default."),
    GW_F(GwDisk, readonly, GW_BOOL, .doc = "Read-only."),
    GW_F(GwDisk, shareable, GW_BOOL, .doc = "Shared between VMs (R15)."),
    GW_F(GwDisk, transient, GW_BOOL, .doc = "Changes are dropped at shutdown (R54)."),
    GW_F(GwDisk, backing_depth, GW_INT, .doc = "Number of backing images."),
    GW_F(GwDisk, capacity_bytes, GW_INT, .doc = "Virtual size in bytes; 0: unknown."),
    GW_F(GwDisk, block_job, GW_BOOL, .doc = "A block job runs on it (R31)."),
    GW_F(GwDisk, block_job_kind, GW_STRING,
         .doc = "Which: copy, commit, active-commit, pull, backup."),
    GW_F(GwDisk, serial, GW_STRING, .doc = "Serial number that the guest sees."),
    GW_F(GwDisk, wwn, GW_STRING, .doc = "World-wide name that the guest sees."),
    GW_F(GwDisk, discard, GW_STRING, .doc = "Whether discards reach the image: unmap or ignore."),
    GW_F(GwDisk, detect_zeroes, GW_STRING, .doc = "off, on or unmap."),
    GW_F(GwDisk, io, GW_STRING, .doc = "native, threads or io_uring."),
    GW_F(GwDisk, backing_path, GW_STRING, .doc = "The image right below it."));

GW_DEFINE_RECORD(GwNic, gw_nic, "Nic", "A network adapter of a VM.",
                 GW_F(GwNic, mac, GW_STRING, .doc = "MAC address."),
                 GW_F(GwNic, type, GW_STRING, .doc = "libvirt's interface type."),
                 GW_F(GwNic, source, GW_STRING, .doc = "Network, bridge or device."),
                 GW_F(GwNic, model, GW_STRING, .doc = "Device model."),
                 GW_F(GwNic, target, GW_STRING, .doc = "Its device on the host, e.g. vnet3."),
                 GW_F(GwNic, link_down, GW_BOOL, .doc = "Its link is down."),
                 GW_F(GwNic, mtu, GW_INT, .doc = "Its own MTU, bytes; 0: the network's."),
                 GW_F(GwNic, vlans, GW_STRINGS, .doc = "VLAN tags; several: a trunk."),
                 GW_F(GwNic, port_group, GW_STRING, .doc = "Port group of its network."),
                 GW_F(GwNic, virtual_port, GW_STRING, .doc = "Type of its virtual port."),
                 GW_F(GwNic, bridge, GW_STRING,
                      .doc = "The bridge that its network put it on, while it runs."));

GW_DEFINE_RECORD(GwHostdev, gw_hostdev, "Hostdev", "A device of the host that is passed through.",
                 GW_F(GwHostdev, type, GW_STRING, .doc = "pci, usb, mdev, scsi, …"),
                 GW_F(GwHostdev, address, GW_STRING, .doc = "Its address on the host."));

const GwEnum gw_vm_state_enum = {
    "VmState", (const char *const[]){ "unknown", "running", "blocked", "paused", "shutting down",
                                      "off", "crashed", "suspended", NULL }
};

GW_DEFINE_RECORD(
    GwVm, gw_vm, "Vm", "A VM as one host holds it.",
    GW_F(GwVm, uuid, GW_STRING, .flags = GW_REQUIRED, .doc = "UUID."),
    GW_F(GwVm, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name."),
    GW_F(GwVm, host_id, GW_STRING, .doc = "The host that holds it."),
    GW_F(GwVm, state, GW_ENUM, .of_enum = &gw_vm_state_enum, .doc = "State."),
    GW_F(GwVm, state_reason, GW_STRING, .doc = "libvirt's reason for the state."),
    GW_F(GwVm, persistent, GW_BOOL, .doc = "The host keeps its definition."),
    GW_F(GwVm, autostart, GW_BOOL, .doc = "Starts with the host."),
    GW_F(GwVm, incoming, GW_BOOL, .doc = "Destination of a migration, not running yet."),
    GW_F(GwVm, vcpus, GW_INT, .doc = "Virtual CPUs."),
    GW_F(GwVm, memory_kib, GW_INT, .doc = "Current memory in KiB."),
    GW_F(GwVm, max_memory_kib, GW_INT, .doc = "Maximum memory in KiB."),
    GW_F(GwVm, virt_type, GW_STRING, .doc = "kvm or qemu."),
    GW_F(GwVm, arch, GW_STRING, .doc = "Guest architecture."),
    GW_F(GwVm, machine, GW_STRING, .doc = "Machine type, fixed at boot (R11)."),
    GW_F(GwVm, cpu_mode, GW_STRING, .doc = "CPU mode, fixed at boot (R11)."),
    GW_F(GwVm, cpu_model, GW_STRING, .doc = "CPU model, fixed at boot."),
    GW_F(GwVm, cpu_xml, GW_STRING, .flags = GW_INTERNAL, .doc = "CPU description."),
    GW_F(GwVm, cpu, GW_OBJECT, .of = &gw_cpu_record, .flags = GW_INTERNAL, .doc = "The CPU, read."),
    GW_F(GwVm, next, GW_OBJECT, .of = &gw_vm_next_record, .flags = GW_INTERNAL,
         .doc = "What its definition asks for."),
    GW_F(GwVm, restart_changes, GW_ARRAY, .of = &gw_restart_change_record,
         .doc = "What a restart would change; with any it is pending (R11)."),
    GW_F(GwVm, snapshots, GW_INT, .doc = "Number of snapshots."),
    GW_F(GwVm, job_active, GW_BOOL, .doc = "A libvirt job runs on it."),
    GW_F(GwVm, disks, GW_ARRAY, .of = &gw_disk_record, .doc = "Disks."),
    GW_F(GwVm, nics, GW_ARRAY, .of = &gw_nic_record, .doc = "Network adapters."),
    GW_F(GwVm, hostdevs, GW_ARRAY, .of = &gw_hostdev_record, .doc = "Passed-through devices."),
    GW_F(GwVm, nvram, GW_STRING, .doc = "Path of its UEFI variables."),
    GW_F(GwVm, nvram_format, GW_STRING, .doc = "Format of that file."),
    GW_F(GwVm, tpm, GW_STRING, .doc = "Backend of its TPM, e.g. emulator."),
    GW_F(GwVm, shared_memory, GW_BOOL,
         .doc = "Something outside QEMU holds its memory (vhost-user, virtiofs)."),
    GW_F(GwVm, usage, GW_OBJECT, .of = &gw_vm_usage_record,
         .doc = "How busy it is; absent: not running, or not seen yet."),
    GW_F(GwVm, error, GW_STRING, .doc = "Why the description is incomplete."),
    GW_F(GwVm, job_id, GW_STRING, .doc = "The job that moves it."));

gboolean gw_vm_is_running(const GwVm *vm)
{
    return vm->state == GW_VM_RUNNING || vm->state == GW_VM_BLOCKED;
}

gboolean gw_vm_is_active(const GwVm *vm)
{
    return gw_vm_is_running(vm) || vm->state == GW_VM_PAUSED || vm->state == GW_VM_SUSPENDED ||
           vm->state == GW_VM_SHUTDOWN || (vm->state == GW_VM_CRASHED && vm->job_active);
}

gboolean gw_disk_is_writable(const GwDisk *disk)
{
    return !disk->readonly && disk->source != NULL && g_strcmp0(disk->device, "cdrom") != 0;
}
