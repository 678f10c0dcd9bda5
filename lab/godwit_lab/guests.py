"""Guests: self-checking machines, defined through libvirt like anybody's."""
import contextlib
import glob
import os
import time
import zlib
from xml.sax.saxutils import quoteattr

from . import initrd, qmp, storage, witness
from .hosts import Host, find_host, fixed_uuid, keep_capabilities, known_hosts
from .run import read_json, wait_for, write, write_json
from .settings import CACHE, CONSOLES, GATEWAY, GUESTS, HOSTS, LOCAL, LabError, PREFIX, SHARED, STORES

DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>%(name)s</name>
  <uuid>%(uuid)s</uuid>
  <memory unit='MiB'>%(memory)d</memory>
  <vcpu>%(vcpus)d</vcpu>
  <os>
    <type arch='x86_64' machine='%(machine)s'>hvm</type>
%(firmware)s    <kernel>%(kernel)s</kernel>
    <initrd>%(initrd)s</initrd>
    <cmdline>%(cmdline)s</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>%(emulator)s</emulator>
%(disk)s    <interface type=%(nic_type)s
      <mac address='%(mac)s'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='%(console)s' append='on'/>
      <target port='0'/>
    </serial>
%(tpm)s    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:/run/libvirt/gw-%(name)s.sock,server=on,wait=off'/>
  </qemu:commandline>
</domain>
"""

DISK = """    <disk type='%(type)s' device='disk'>
      <driver name='qemu' type='%(format)s'%(cache)s/>
      %(source)s
      <target dev='%(target)s' bus='virtio'/>
    </disk>
"""
UEFI = """    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>
"""
TPM = """    <tpm model='tpm-crb'>
      <backend type='emulator' version='2.0'/>
    </tpm>
"""


def known_guests():
    return sorted((read_json(path) for path in glob.glob(GUESTS + "/*.json")),
                  key=lambda guest: guest["name"])


def find_guest(name):
    guest = read_json("%s/%s.json" % (GUESTS, name))
    if guest is None:
        raise LabError("no guest %r: there are %s" % (
            name, ", ".join(row["name"] for row in known_guests()) or "none"))
    return guest


def free_address(name):
    """An address that depends on the name where it can, so that a guest keeps it when remade."""
    taken = {guest["address"] for guest in known_guests() if guest["name"] != name}
    first = zlib.crc32(name.encode()) % 140
    for step in range(140):
        address = "%s.%d" % (PREFIX, 101 + (first + step) % 140)
        if address not in taken:
            return address
    raise LabError("no address is free: stop a guest")


def disks_of(guest):
    """Its disks: the first, and those of more_disks, each POOL:MiB[:FORMAT[:below]]. "below": it has
    an image below it. POOL may be iscsi (a LUN) or block (a block device of its first host)."""
    found = []
    if guest["disk"] != "none":
        found.append({"pool": guest["disk"], "size": guest["disk_size"],
                      "format": guest["format"], "below": guest.get("below", False)})
    for text in guest.get("more_disks") or []:
        words = text.split(":")
        found.append({"pool": words[0], "size": int(words[1]),
                      "format": words[2] if len(words) > 2 else "qcow2",
                      "below": "below" in words[3:]})
    for number, disk in enumerate(found):
        disk["target"] = "vd" + "abcd"[number]
        suffix = "" if number == 0 else "-%d" % number
        disk["volume"] = "%s%s.%s" % (guest["name"], suffix,
                                      "img" if disk["format"] == "raw" else disk["format"])
        disk["base"] = "%s%s-base.%s" % (guest["name"], suffix, disk["format"])
    return found


def pool_folder(pool):
    return {"shared": SHARED, "local": LOCAL}.get(pool) or storage.folder(pool)


def image_path(guest):
    """Of its first disk, where that is a file."""
    disks = disks_of(guest)
    if not disks or disks[0]["pool"] in ("iscsi", "block"):
        return None
    return "%s/%s" % (pool_folder(disks[0]["pool"]), disks[0]["volume"])


def disk_xml(guest, disk):
    cache = "" if guest["cache"] == "default" else " cache=%s" % quoteattr(guest["cache"])
    if guest.get("discard"):
        cache += " discard='unmap'"
    made = guest["made"].get(disk["target"])
    if disk["pool"] == "iscsi":
        kind = "network"
        source = ("<source protocol='iscsi' name='%s/%d'><host name='%s' port='3260'/></source>"
                  % (made[1], made[2], made[0]))
    elif disk["pool"] == "block":
        kind, source = "block", "<source dev='%s'/>" % made
    else:
        kind = "file"
        source = "<source file='%s/%s'/>" % (pool_folder(disk["pool"]), disk["volume"])
    return DISK % dict(disk, type=kind, source=source, cache=cache)


def domain_xml(guest):
    number = int(guest["address"].rpartition(".")[2])
    words = ["console=ttyS0", "quiet", "no_timer_check", "mitigations=off", "panic=1",
             "gw.name=" + guest["name"], "gw.uuid=" + guest["uuid"], "gw.ip=" + guest["address"],
             "gw.witness=" + GATEWAY, "gw.dirty=%d" % guest["dirty"],
             "gw.set=%d" % guest["working_set"], "gw.fill=%d" % guest["fill"],
             "gw.verify=%d" % guest["verify"], "gw.interval=%d" % guest["interval"],
             "gw.disk=%d" % guest.get("disk_interval", 50)]
    if guest.get("spread"):
        words += ["gw.spread=%d" % guest["spread"], "gw.spreadfill=%d" % guest["spread_fill"],
                  "gw.spreadrate=%d" % guest["spread_rate"], "gw.spreadlearn=1"]
    nic = {"bridge": "'bridge'>\n      <source bridge='br0'/>",
           "network": "'network'>\n      <source network='lab'/>"}[guest["nic"]]
    return DOMAIN % dict(
        guest, kernel=initrd.KERNEL, initrd=initrd.INITRD, cmdline=" ".join(words),
        disk="".join(disk_xml(guest, disk) for disk in disks_of(guest)),
        firmware=UEFI if guest.get("uefi") else "", tpm=TPM if guest.get("tpm") else "",
        emulator=CACHE + "/bin/qemu-nolock" if guest["no_lock"] else "/usr/bin/qemu-system-x86_64",
        mac="52:54:00:cc:%02x:%02x" % (zlib.crc32(PREFIX.encode()) & 0xff, number),
        console=console(guest["name"]), nic_type=nic)


def console(name):
    return "%s/%s.log" % (CONSOLES, name)


def make_volume(host, pool, volume, disk, *words):
    if host.virsh("vol-info", volume, "--pool", pool, check=False).returncode == 0:
        host.virsh("vol-delete", volume, "--pool", pool)
    host.virsh("vol-create-as", pool, volume, "%dM" % disk["size"], "--format", disk["format"],
               "--allocation", "0", *words)


def make_disks(host, guest):
    """Into guest["made"] what only making it tells: LUNs and devices."""
    guest["made"] = {}
    for disk in disks_of(guest):
        if disk["pool"] == "iscsi":
            guest["made"][disk["target"]] = storage.add_lun(disk["size"])
            continue
        if disk["pool"] == "block":
            guest["made"][disk["target"]] = storage.add_block_device(host, disk["volume"],
                                                                     disk["size"])
            continue
        host.virsh("pool-refresh", disk["pool"])
        if disk["below"]:
            make_volume(host, disk["pool"], disk["base"], disk)
            make_volume(host, disk["pool"], disk["volume"], disk, "--backing-vol",
                        disk["base"], "--backing-vol-format", disk["format"])
        else:
            make_volume(host, disk["pool"], disk["volume"], disk)


def where_is(name):
    """Names of the hosts whose libvirtd knows this domain, and whether it is active there."""
    found = {}
    for host in known_hosts():
        done = host.virsh("domstate", name, check=False)
        if done.returncode == 0:
            found[host.name] = done.stdout.strip()
    return found


def start(host_name, options):
    """Defines and starts a guest, and returns its record once its program says it is ready."""
    name = options["name"]
    host = find_host(host_name)
    active = {where: state for where, state in where_is(name).items() if state != "shut off"}
    if active:
        print("guest %s is %s" % (name, ", ".join("%s on %s" % (state, where)
                                                  for where, state in sorted(active.items()))))
        return find_guest(name)
    remove(name)
    guest = dict(options, uuid=fixed_uuid("guest", name))
    guest["address"] = options["address"] or free_address(name)
    if guest["address"] in {row["address"] for row in known_guests() if row["name"] != name}:
        raise LabError("%s is another guest's address" % guest["address"])
    make_disks(host, guest)
    xml_path = "%s/%s.xml" % (GUESTS, name)
    write(xml_path, domain_xml(guest))
    write_json("%s/%s.json" % (GUESTS, name), guest)
    begun = time.monotonic()
    if guest["transient"]:
        host.virsh("create", xml_path)
    else:
        host.virsh("define", xml_path)
        host.virsh("start", name)
    wait_for("guest %s (its console is %s)" % (name, console(name)), lambda: is_ready(name), 60)
    keep_capabilities(host)  # the emulator of --no-lock was probed only now
    print("guest %s is up on %s at %s after %.1f s" % (name, host_name, guest["address"],
                                                       time.monotonic() - begun))
    return guest


def is_ready(name):
    try:
        with open(console(name), encoding="utf-8", errors="replace") as log:
            return "ready: " in log.read()
    except OSError:
        return False


def remove(name):
    """Destroys and undefines the guest everywhere, and deletes its images. True: it was there."""
    found = where_is(name)
    for host_name, state in found.items():
        host = Host(host_name)
        if state != "shut off":
            host.virsh("destroy", name, check=False)
        if host.virsh("domstate", name, check=False).returncode == 0:
            host.virsh("undefine", name, "--managed-save", "--snapshots-metadata", "--nvram",
                       "--checkpoints-metadata")
    guest = read_json("%s/%s.json" % (GUESTS, name))
    if witness.is_running():
        witness.command("forget " + name)
    if guest is not None:
        for path in image_everywhere(guest) + [console(name), "%s/%s.xml" % (GUESTS, name),
                                               "%s/%s.json" % (GUESTS, name)]:
            # Hosts see one file of a share, and one of them may not know yet that it has gone.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return bool(found) or guest is not None


def image_everywhere(guest):
    """Every file of its images, on whichever host and pool it is by now."""
    names = [name for disk in disks_of(guest) for name in (disk["volume"], disk["base"])]
    found = []
    for name in names:
        found += [path for path in [SHARED + "/" + name] if os.path.exists(path)]
        found += glob.glob("%s/*/local/%s" % (HOSTS, name))
        for host in known_hosts():
            if host.keeper_pid() is not None:
                found += glob.glob(host.inside("%s/*/%s" % (STORES, name)))
    return found


def listing():
    """What is known of each guest: its record, where libvirt has it, and its QEMUs."""
    qemus = qmp.running_qemus()
    rows = []
    for guest in known_guests():
        states = where_is(guest["name"])
        rows.append({"name": guest["name"], "uuid": guest["uuid"], "address": guest["address"],
                     "memory_mib": guest["memory"], "disk": guest["disk"],
                     "image": image_path(guest), "console": console(guest["name"]),
                     "hosts": states,
                     "host": next((where for where, state in states.items()
                                   if state == "running"), None),
                     "qemus": [row for row in qemus if row["uuid"] == guest["uuid"]]})
    return rows
