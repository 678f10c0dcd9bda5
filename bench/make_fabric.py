#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a simulated fabric for `godwitd --simulate FILE` (docs/simulator.md).

Its records are as large as those of real hosts: a CPU description of a kilobyte, tens of machine
types, a qcow2 disk and an adapter for each VM. The same options always give the same file.
"""
import argparse
import json
import sys
import uuid

NAMESPACE = uuid.UUID("6f0f0a5e-0d7a-5f5e-9c4c-2f6a1d0c7b11")
FEATURES = """ss vmx pdcm hypervisor tsc_adjust clflushopt clwb umip pku md-clear stibp arch-capabilities
    ssbd xsaves pdpe1gb ibpb ibrs amd-stibp amd-ssbd rdctl-no ibrs-all skip-l1dfl-vmentry mds-no
    pschange-mc-no fb-clear""".split()
CPU_XML = "<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Skylake-Server" \
    "</model><vendor>Intel</vendor>%s</cpu>" % "".join(
        "<feature policy='require' name='%s'/>" % name for name in FEATURES)
MACHINES = ["pc-q35-%s" % v for v in "10.0 9.2 9.1 9.0 8.2 8.1 8.0 7.2 7.1 7.0 6.2 6.1 6.0 5.2 5.1"
            .split()] + ["pc-i440fx-%s" % v for v in "10.0 9.2 9.0 8.2 8.0 7.2 6.2 5.2".split()]
MIB = 1024 * 1024


def fixed_uuid(*words):
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, words))))


def host_uri(number):
    return "qemu+tls://h%04d.example.org/system" % number


def make_vm(number, folder, memory_mib):
    name = "vm%05d" % number
    return {
        "uuid": fixed_uuid("vm", number), "name": name, "state": "running",
        "state_reason": "booted", "persistent": True, "autostart": number % 4 == 0,
        "vcpus": 2, "memory_kib": memory_mib * 1024, "max_memory_kib": memory_mib * 1024,
        "virt_type": "kvm", "arch": "x86_64", "machine": "pc-q35-7.2", "cpu_mode": "host-model",
        "cpu_model": "Skylake-Server", "cpu_xml": CPU_XML,
        "disks": [{"target": "vda", "bus": "virtio", "device": "disk", "type": "file",
                   "source": "%s/%s.qcow2" % (folder, name), "format": "qcow2", "cache": "none",
                   "capacity_bytes": 20 * 1024 * MIB}],
        "nics": [{"mac": "52:54:00:%02x:%02x:%02x" % (number >> 16, number >> 8 & 255,
                                                       number & 255),
                  "type": "bridge", "source": "br0", "model": "virtio"}],
    }


def make_host(number, options):
    """Hosts come in blocks that share one NFS export; between blocks there is no common one."""
    block = (number - 1) // options.hosts_per_share + 1
    vms = [make_vm((number - 1) * options.vms_per_host + i, "/srv/vms", options.memory)
           for i in range(1, options.vms_per_host + 1)]
    used_kib = options.vms_per_host * options.memory * 1024
    return {
        "uri": host_uri(number), "latency_ms": options.latency,
        "facts": {
            "host_uuid": fixed_uuid("host", number), "hostname": "h%04d.example.org" % number,
            "arch": "x86_64", "cpus": 32, "cpu_model": "Skylake-Server", "cpu_xml": CPU_XML,
            "memory_kib": used_kib * 4, "free_memory_kib": used_kib * 3,
            "libvirt_version": 11003000, "qemu_version": 10000002, "machines": MACHINES,
            "bridges": ["br0"],
            "networks": [{"name": "default", "kind": "libvirt", "bridge": "virbr0",
                          "active": True}],
            "pools": [{"name": "vms", "type": "netfs", "target_path": "/srv/vms",
                       "source": "nas%02d.example.org:/export/vms" % block, "active": True,
                       "capacity_bytes": 4 << 40, "available_bytes": 2 << 40},
                      {"name": "images", "type": "dir", "active": True,
                       "target_path": "/var/lib/libvirt/images"}],
        },
        "vms": vms,
    }


def make_fabric(options):
    return {"link_mibps": options.link, "dirty_mibps": options.dirty,
            "hosts": [make_host(number, options) for number in range(1, options.hosts + 1)]}


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/make_fabric.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--hosts", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--vms-per-host", type=int, default=10, help="default 10")
    parser.add_argument("--hosts-per-share", type=int, default=100,
                        help="hosts that reach one NFS export (default 100)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MiB", help="of a VM")
    parser.add_argument("--link", type=int, default=1000, metavar="MiB/s", help="of every host")
    parser.add_argument("--dirty", type=int, default=20, metavar="MiB/s", help="by every VM")
    parser.add_argument("--latency", type=int, default=1, metavar="ms", help="of every answer")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    out = open(options.output, "w", encoding="utf-8") if options.output else sys.stdout
    with out:
        json.dump(make_fabric(options), out)
        out.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
