"""Guests: self-checking machines, defined through libvirt like anybody's."""
import glob
import os
import time
import zlib
from xml.sax.saxutils import quoteattr

from . import initrd, qmp, witness
from .hosts import Host, find_host, fixed_uuid, keep_capabilities, known_hosts
from .run import read_json, wait_for, write, write_json
from .settings import CACHE, CONSOLES, GATEWAY, GUESTS, HOSTS, LOCAL, LabError, PREFIX, SHARED

DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>%(name)s</name>
  <uuid>%(uuid)s</uuid>
  <memory unit='MiB'>%(memory)d</memory>
  <vcpu>%(vcpus)d</vcpu>
  <os>
    <type arch='x86_64' machine='%(machine)s'>hvm</type>
    <kernel>%(kernel)s</kernel>
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
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:/run/libvirt/gw-%(name)s.sock,server=on,wait=off'/>
  </qemu:commandline>
</domain>
"""

DISK = """    <disk type='file' device='disk'>
      <driver name='qemu' type='%s'%s/>
      <source file='%s'/>
      <target dev='vda' bus='virtio'/>
    </disk>
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


def image_path(guest):
    if guest["disk"] == "none":
        return None
    return "%s/%s.%s" % (SHARED if guest["disk"] == "shared" else LOCAL, guest["name"],
                         "img" if guest["format"] == "raw" else guest["format"])


def domain_xml(guest):
    number = int(guest["address"].rpartition(".")[2])
    words = ["console=ttyS0", "quiet", "no_timer_check", "mitigations=off", "panic=1",
             "gw.name=" + guest["name"], "gw.uuid=" + guest["uuid"], "gw.ip=" + guest["address"],
             "gw.witness=" + GATEWAY, "gw.dirty=%d" % guest["dirty"],
             "gw.set=%d" % guest["working_set"], "gw.fill=%d" % guest["fill"],
             "gw.verify=%d" % guest["verify"], "gw.interval=%d" % guest["interval"]]
    disk = ""
    if guest["disk"] != "none":
        cache = "" if guest["cache"] == "default" else " cache=%s" % quoteattr(guest["cache"])
        disk = DISK % (guest["format"], cache, image_path(guest))
    nic = {"bridge": "'bridge'>\n      <source bridge='br0'/>",
           "network": "'network'>\n      <source network='lab'/>"}[guest["nic"]]
    return DOMAIN % dict(
        guest, kernel=initrd.KERNEL, initrd=initrd.INITRD, cmdline=" ".join(words), disk=disk,
        emulator=CACHE + "/bin/qemu-nolock" if guest["no_lock"] else "/usr/bin/qemu-system-x86_64",
        mac="52:54:00:cc:%02x:%02x" % (zlib.crc32(PREFIX.encode()) & 0xff, number),
        console=console(guest["name"]), nic_type=nic)


def console(name):
    return "%s/%s.log" % (CONSOLES, name)


def make_disk(host, guest):
    if guest["disk"] == "none":
        return
    path = image_path(guest)
    volume = os.path.basename(path)
    host.virsh("pool-refresh", guest["disk"])
    if host.virsh("vol-info", volume, "--pool", guest["disk"], check=False).returncode == 0:
        host.virsh("vol-delete", volume, "--pool", guest["disk"])
    host.virsh("vol-create-as", guest["disk"], volume, "%dM" % guest["disk_size"], "--format",
               guest["format"], "--allocation",
               "0" if guest["format"] == "qcow2" else "%dM" % 0)


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
    make_disk(host, guest)
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
            host.virsh("undefine", name, "--managed-save", "--snapshots-metadata")
    guest = read_json("%s/%s.json" % (GUESTS, name))
    if witness.is_running():
        witness.command("forget " + name)
    if guest is not None:
        for path in image_everywhere(guest) + [console(name), "%s/%s.xml" % (GUESTS, name),
                                               "%s/%s.json" % (GUESTS, name)]:
            if os.path.exists(path):
                os.unlink(path)
    return bool(found) or guest is not None


def image_everywhere(guest):
    path = image_path(guest)
    if path is None:
        return []
    if guest["disk"] == "shared":
        return [path]
    return glob.glob("%s/*/local/%s" % (HOSTS, os.path.basename(path)))


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
