"""Real storage for the hosts: file systems of their own, and a server that some of them share.

Of a host's own, made inside its mount namespace under STORES/KIND, each with a pool of that name:
  xfs, btrfs  on a loop device; files can be cloned (reflink)
  ext4        on a loop device; they cannot
  small       96 MiB of ext4: soon full
  slow        ext4 on a disk that does 8 MiB/s (QEMU's storage daemon throttles it)
From the server, a namespace of its own with its own address and name:
  gluster     a volume of one brick, which every host mounts by FUSE as a pool of type netfs
  iscsi       LUNs of tgt, which a QEMU opens by itself (libiscsi): one for each name asked for
"""
import glob
import os

from .hosts import (HOSTS, Host, STORAGE_NAME, STORAGE_SERVER, find_host, fixed_uuid, known_hosts,
                    spawn, start_keeper)
from .install import install_packages
from .run import record_of, run, wait_for, write, write_json
from .settings import LabError, STORES

LOOPED = {"xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"), "btrfs": ("mkfs.btrfs", "-q"),
          "ext4": ("mkfs.ext4", "-q"), "small": ("mkfs.ext4", "-q"), "slow": ("mkfs.ext4", "-q")}
SIZES_MIB = {"xfs": 16384, "btrfs": 16384, "ext4": 16384, "small": 96, "slow": 4096}
SLOW_BYTES_PER_S = 8 * 1024 * 1024
KINDS = list(LOOPED) + ["gluster", "iscsi"]
VOLUME = "vms"
TARGET = "iqn.2026-11.test.godwit:store"

POOL = """<pool type='dir'>
  <name>%s</name>
  <uuid>%s</uuid>
  <target><path>%s</path></target>
</pool>
"""
NETFS = """<pool type='netfs'>
  <name>gluster</name>
  <source><host name='%s'/><dir path='%s'/><format type='glusterfs'/></source>
  <target><path>%s</path></target>
</pool>
"""


class Server(Host):
    """Where gluster's and tgt's daemons run: a host without libvirt."""
    serves = True

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name = "store"
        self.stock = True
        self.address = STORAGE_SERVER
        self.base = HOSTS + "/store"


def folder(kind):
    """Where hosts see it."""
    return STORES + "/" + kind


def mounts(host):
    with open("/proc/%d/mountinfo" % host.keeper_pid(), encoding="utf-8") as lines:
        return {line.split()[4] for line in lines}


def define_pool(host, name, xml):
    if host.virsh("pool-info", name, check=False).returncode != 0:
        path = "%s/%s.pool.xml" % (host.base, name)
        write(path, xml)
        host.virsh("pool-define", path)
    if "running" not in host.virsh("pool-info", name).stdout:
        host.virsh("pool-start", name)
    host.virsh("pool-autostart", name)


def throttled(host, image):
    """The image as a file that QEMU's storage daemon serves slowly, by FUSE."""
    served = host.base + "/stores/slow.disk"
    write(served, "")
    script = ("--blockdev", "driver=file,node-name=f,filename=" + image,
              "--object", "throttle-group,id=g,x-bps-total=%d" % SLOW_BYTES_PER_S,
              "--blockdev", "driver=throttle,node-name=t,throttle-group=g,file=f",
              "--export", "fuse,id=e,node-name=t,mountpoint=%s,writable=on,growable=off" % served)
    pid = spawn(host.enter() + ["qemu-storage-daemon"] + list(script), host.base + "/slow.log")
    record = record_of(pid)
    write_json(host.base + "/slow.json", record)
    inside = host.inside(served)
    wait_for("the slow disk of " + host.name,
             lambda: os.path.getsize(inside) == os.path.getsize(image), 10)
    return served


def add_looped(host, kind):
    where = folder(kind)
    inside = host.inside(where)
    os.makedirs(inside, exist_ok=True)
    if where not in mounts(host):
        image = "%s/stores/%s.img" % (host.base, kind)
        if not os.path.exists(image):
            with open(image, "wb") as out:
                out.truncate(SIZES_MIB[kind] << 20)
            run(list(LOOPED[kind]) + [image])
        device = throttled(host, image) if kind == "slow" else image
        # The loop device goes with the mount, and the mount with the host.
        run(host.enter() + ["mount", "-o", "loop", device, where])
    define_pool(host, kind, POOL % (kind, fixed_uuid("pool", kind, host.name), where))


def server_up():
    server = Server()
    for part in ("run", "lib", "libvirt", "log", "cache", "local", "agent", "etc", "work",
                 "stores"):
        os.makedirs(server.base + "/" + part, exist_ok=True)
    if server.keeper_pid() is None:
        write(server.base + "/etc/hosts", "127.0.0.1 localhost\n%s %s\n" % (server.address, STORAGE_NAME))
        start_keeper(server)
    return server


def run_in(server, *words, check=True):
    return run(server.enter() + list(words), check=check)


def gluster_server(server):
    """A volume of one brick. What glusterd keeps is under the server's own folders."""
    if run_in(server, "gluster", "volume", "info", VOLUME, check=False).returncode == 0:
        return
    base = server.base + "/stores"
    for name in ("glusterd", "brick", "log"):
        os.makedirs(base + "/" + name, exist_ok=True)
    run_in(server, "mkdir", "-p", "/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster")
    for name, path in (("glusterd", "/var/lib/glusterd"), ("log", "/var/log/glusterfs")):
        run_in(server, "mount", "--bind", "%s/%s" % (base, name), path)
    run_in(server, "glusterd", "--pid-file=/run/glusterd.pid")
    wait_for("glusterd", lambda: run_in(server, "gluster", "--mode=script", "volume", "list",
                                        check=False).returncode == 0, 30)
    run_in(server, "gluster", "--mode=script", "volume", "create", VOLUME,
           "%s:%s/brick" % (server.address, base), "force")
    # As for images: O_DIRECT and locks reach the brick.
    for key, value in (("network.remote-dio", "disable"), ("performance.strict-o-direct", "on"),
                       ("performance.write-behind", "off"), ("performance.quick-read", "off"),
                       ("performance.read-ahead", "off"), ("performance.io-cache", "off"),
                       ("performance.stat-prefetch", "off")):
        run_in(server, "gluster", "--mode=script", "volume", "set", VOLUME, key, value)
    run_in(server, "gluster", "--mode=script", "volume", "start", VOLUME)


def add_gluster(host):
    gluster_server(server_up())
    where = folder("gluster")
    os.makedirs(host.inside(where), exist_ok=True)
    run(host.enter() + ["mkdir", "-p", "/var/log/glusterfs"])
    define_pool(host, "gluster", NETFS % (STORAGE_NAME, VOLUME, where))


def target(server, *words, check=True):
    return run_in(server, "tgtadm", "-C", "7", "--lld", "iscsi", *words, check=check)


def iscsi_server(server):
    if target(server, "--op", "show", "--mode", "target", check=False).returncode == 0:
        return
    run_in(server, "tgtd", "-C", "7", "--iscsi", "portal=%s:3260" % server.address)
    wait_for("tgtd", lambda: target(server, "--op", "show", "--mode", "target",
                                    check=False).returncode == 0, 10)
    target(server, "--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET)
    target(server, "--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")


def add_lun(size_mib):
    """A new LUN of that size. Returns (address, target's name, number)."""
    server = server_up()
    iscsi_server(server)
    number = 1 + len(glob.glob(server.base + "/stores/lun*.img"))
    image = "%s/stores/lun%d.img" % (server.base, number)
    with open(image, "wb") as out:
        out.truncate(size_mib << 20)
    target(server, "--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(number),
           "-b", image)
    return STORAGE_NAME, TARGET, number


def hide_target(host, hidden=True):
    """The host does not reach the iSCSI server any more, as if it were not on that SAN; or does."""
    words = ["iptables", "-A" if hidden else "-D", "OUTPUT", "-d", Server().address, "-p", "tcp",
             "--dport", "3260", "-j", "REJECT"]
    run(host.enter() + words)


def add_block_device(host, name, size_mib):
    """A block device of the machine (a loop device), as if it were the host's: its path."""
    image = "%s/stores/%s.block" % (host.base, name)
    with open(image, "wb") as out:
        out.truncate(size_mib << 20)
    return run(["losetup", "--find", "--show", image]).stdout.strip()


def add(kinds, names=None):
    """Makes these kinds of storage on the hosts (all of them unless named)."""
    for kind in kinds:
        if kind not in KINDS:
            raise LabError("no storage %r: there are %s" % (kind, ", ".join(KINDS)))
    install_packages("storage")
    for host in [find_host(name) for name in names] if names else known_hosts():
        os.makedirs(host.base + "/stores", exist_ok=True)
        for kind in kinds:
            if kind == "gluster":
                add_gluster(host)
            elif kind in LOOPED:
                add_looped(host, kind)
    if "iscsi" in kinds:
        iscsi_server(server_up())


def names_of(host):
    """Pools of the host's, beside its usual ones, that this made."""
    return [kind for kind in KINDS if kind != "iscsi" and
            os.path.exists("%s/%s.pool.xml" % (host.base, kind))]
