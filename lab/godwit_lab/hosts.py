"""Hosts: a mount, network and UTS namespace each, held open by a keeper, with a libvirtd inside."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

from . import agents, net, pki
from .run import (all_pids, command_line, is_same_process, kill_all, read_json, record_of, run,
                  start_time, wait_for, write, write_json)
from .settings import (CACHE, CONSOLES, GATEWAY, GUESTS, HOSTS, LOCAL, LabError, NAME, PKI,
                       PREFIX, SHARED, STATE, STORES, TLS_PORT, TREE)

# What a host has for itself: folder in the host's state -> where the host sees it.
BINDS = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "libvirt": "/etc/libvirt",
         "log": "/var/log/libvirt", "cache": "/var/cache/libvirt", "local": LOCAL,
         "stores": STORES, "agent": agents.STATE_SEEN}
MOST_HOSTS = 40
STORAGE_SERVER = PREFIX + ".5"  # storage.py
STORAGE_NAME = "storage.godwit.test"

KEEPER = """#!/bin/sh
# Becomes the process that holds this host's namespaces open.
set -e
mount --make-rprivate /
%(overlay)s
# What is installed on a host stays on it.
mount -t tmpfs -o mode=755 lab-local /usr/local
mount -t overlay lab-etc -o lowerdir=/etc,upperdir=%(base)s/etc,workdir=%(base)s/work /etc
# A /run of its own. Never a mount point made on the machine for it: removing that directory, even
# from outside, would silently unmount what any other lab has there.
mount -t tmpfs -o mode=755 lab-run /run
mkdir -p /run/libvirt /run/lock %(folders)s
%(binds)s
mount -t sysfs sysfs /sys  # or /sys/class/net would show the machine's interfaces
hostname %(name)s
ip link set lo up
for key in all default; do
    echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/$key/disable_ipv6 || true
done
: > %(base)s/ready
exec sleep infinity
"""

LIBVIRTD_CONF = """host_uuid = "%(uuid)s"
listen_tls = %(listen)d
listen_tcp = 0
listen_addr = "%(address)s"
tls_port = "%(port)d"
auth_tls = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
max_clients = 200
log_filters = "1:qemu.qemu_migration 3:event 3:rpc"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

QEMU_CONF = """security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
default_tls_x509_cert_dir = "/etc/pki/qemu"
default_tls_x509_verify = 1
migrate_tls_x509_cert_dir = "/etc/pki/qemu"
migrate_tls_x509_verify = 1
"""

POOL = """<pool type='dir'>
  <name>%s</name>
  <uuid>%s</uuid>
  <target><path>%s</path></target>
</pool>
"""

NETWORK = """<network>
  <name>lab</name>
  <uuid>%s</uuid>
  <forward mode='bridge'/>
  <bridge name='br0'/>
</network>
"""


class Host:
    """One host, by name: kvmN runs libvirt and QEMU of backports, stockN those of Debian 12."""
    serves = False  # others, so that its ports stay open

    def __init__(self, name):
        kind, number = re.fullmatch(r"(kvm|stock)(\d+)", name).groups()
        self.name = name
        self.stock = kind == "stock"
        self.address = "%s.%d" % (PREFIX, (60 if self.stock else 10) + int(number))
        self.base = HOSTS + "/" + name

    @property
    def uri(self):
        return "qemu+tls://%s/system?pkipath=%s/client" % (self.address, PKI)

    def keeper_pid(self):
        record = read_json(self.base + "/keeper.json")
        return record["pid"] if is_same_process(record) else None

    def libvirtd_pid(self):
        record = read_json(self.base + "/libvirtd.json")
        return record["pid"] if is_same_process(record) else None

    def enter(self):
        """The start of a command line that runs inside this host."""
        pid = self.keeper_pid()
        if pid is None:
            raise LabError("host %s is not up: run `lab/lab up`" % self.name)
        return ["nsenter", "-t", str(pid), "-m", "-n", "-u", "--"]

    def virsh(self, *arguments, check=True):
        return run(self.enter() + ["virsh", "-q", "-c", "qemu:///system"] + list(arguments),
                   check=check, env=clean_environment())

    def inside(self, path):
        """The host's own view of a path, reached from the machine."""
        return "/proc/%s/root%s" % (self.keeper_pid(), path)


def clean_environment():
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("LIBVIRT_", "VIRSH_", "XDG_"))}
    env.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return dict(env, LC_ALL="C")


def known_hosts():
    """Hosts that `up` made, in order, whether they live or not."""
    names = os.listdir(HOSTS) if os.path.isdir(HOSTS) else []
    names = [name for name in names if re.fullmatch(r"(kvm|stock)\d+", name)]
    return [Host(name) for name in sorted(names, key=lambda n: (n[0] == "s", int(re.sub(
        r"\D", "", n))))]


def find_host(name):
    for host in known_hosts():
        if host.name == name:
            return host
    raise LabError("no host %r: there are %s" % (
        name, ", ".join(host.name for host in known_hosts()) or "none, run `lab/lab up`"))


def fixed_uuid(*words):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, ".".join((NAME, PREFIX) + words)))


def write_configuration(host):
    """The host's own /etc and libvirt set-up. Not touched while it lives: it lies under a mount."""
    base = host.base
    if host.keeper_pid() is not None:
        return
    pki.prepare_host(host.name, host.address)
    for folder in list(BINDS) + ["etc/mdevctl.d/scripts.d/callouts",
                                  "etc/mdevctl.d/scripts.d/notifiers", "work"]:
        os.makedirs(base + "/" + folder, exist_ok=True)
    names = ["127.0.0.1 localhost", GATEWAY + " machine", STORAGE_SERVER + " " + STORAGE_NAME]
    for i in range(1, MOST_HOSTS + 1):  # also those that come later
        names += ["%s %s" % (other.address, other.name)
                  for other in (Host("kvm%d" % i), Host("stock%d" % i))]
    write(base + "/etc/hosts", "\n".join(names) + "\n")
    write(base + "/etc/hostname", host.name + "\n")
    write(base + "/libvirt/libvirtd.conf", LIBVIRTD_CONF % {
        "uuid": fixed_uuid("host", host.name), "address": host.address, "port": TLS_PORT,
        "listen": 0 if agents.wanted() else 1})
    agents.add_user(base + "/etc")
    # libvirt 9.0 has no such setting: with stock hosts, `virsh migrate` needs --unsafe.
    shared = "" if host.stock else 'shared_filesystems = [ "%s", "%s" ]\n' % (SHARED, CONSOLES)
    write(base + "/libvirt/qemu.conf", QEMU_CONF + shared)
    for name, path in (("shared", SHARED), ("local", LOCAL)):
        define(base + "/libvirt/storage", name, POOL % (
            name, fixed_uuid("pool", name, "" if name == "shared" else host.name), path))
    define(base + "/libvirt/qemu/networks", "lab", NETWORK % fixed_uuid("network"))


def define(folder, name, xml):
    """A definition as libvirtd finds it when it starts: quicker than telling it afterwards."""
    write("%s/%s.xml" % (folder, name), xml)
    os.makedirs(folder + "/autostart", exist_ok=True)
    link = "%s/autostart/%s.xml" % (folder, name)
    if not os.path.lexists(link):
        seen_inside = "/etc/libvirt/" + folder.rpartition("/libvirt/")[2]
        os.symlink("%s/%s.xml" % (seen_inside, name), link)


def spawn(argv, log):
    """Starts a process that outlives us and holds none of our files."""
    with open(log, "ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                start_new_session=True, cwd="/", env=clean_environment()).pid


def start_keeper(host):
    """Makes the host's namespaces. What an earlier, killed keeper left in them goes first."""
    if host.keeper_pid() is not None:
        return
    kill_all([record for record in members() if record["host"] == host.name])
    for stale in ("/ready", "/keeper.json", "/libvirtd.json"):
        if os.path.exists(host.base + stale):
            os.unlink(host.base + stale)
    for folder in ("run", "work"):
        shutil.rmtree(host.base + "/" + folder, ignore_errors=True)
        os.makedirs(host.base + "/" + folder)
    overlay = "" if host.stock else \
        "mount -t overlay lab-usr -o ro,lowerdir=%s/usr:/usr /usr" % TREE
    write(host.base + "/keeper.sh", KEEPER % {
        "name": host.name, "base": host.base, "overlay": overlay,
        "folders": agents.STATE_SEEN,
        "binds": "\n".join("mount --bind %s/%s %s" % (host.base, source, target)
                           for source, target in BINDS.items())})
    log = host.base + "/keeper.log"
    pid = spawn(["unshare", "-m", "-n", "-u", "--propagation", "private", "/bin/sh",
                 host.base + "/keeper.sh"], log)
    record = record_of(pid)

    def is_ready():
        if not is_same_process(record):
            with open(log, encoding="utf-8", errors="replace") as text:
                raise LabError("host %s cannot be made: %s" % (host.name, text.read()[-400:]))
        return os.path.exists(host.base + "/ready")

    wait_for("namespaces of " + host.name, is_ready, 10)
    write_json(host.base + "/keeper.json", record)
    net.connect_host(host.name, pid, host.address)
    if agents.wanted() and not host.serves:
        net.close_ports(pid)


def capabilities_cache(host):
    return "%s/capabilities-%s" % (CACHE, "stock" if host.stock else "kvm")


def seed_capabilities(host):
    """Lends the host what another libvirtd found out about these QEMUs: seconds saved. libvirt
    checks by itself whether it still fits."""
    target = host.base + "/cache/qemu/capabilities"
    if os.path.isdir(capabilities_cache(host)) and not os.path.isdir(target):
        shutil.copytree(capabilities_cache(host), target)


def keep_capabilities(host):
    found = host.base + "/cache/qemu/capabilities"
    names = sorted(os.listdir(found)) if os.path.isdir(found) else []
    if names and not all(os.path.exists("%s/%s" % (capabilities_cache(host), n)) for n in names):
        shutil.copytree(found, capabilities_cache(host), dirs_exist_ok=True)


def without_locks(host):
    """Where this file lies, no QEMU of the host gets a real image lock: see nolock.c."""
    return host.base + "/no-locks"


def start_libvirtd(host):
    if host.libvirtd_pid() is not None:
        return
    seed_capabilities(host)
    # One that we lost sight of would hold the sockets.
    kill_all([record for record in members() if record["host"] == host.name and
              os.path.basename((command_line(record["pid"]) or [""])[0]) == "libvirtd"])
    pid_file = host.base + "/libvirtd.pid"
    if os.path.exists(pid_file):
        os.unlink(pid_file)
    # libvirt hands LD_PRELOAD on to the QEMUs that it starts.
    preload = ["env", "LD_PRELOAD=%s/bin/nolock.so" % CACHE] \
        if os.path.exists(without_locks(host)) else []
    spawn(host.enter() + [CACHE + "/bin/reaper", pid_file] + preload +
          ["/usr/sbin/libvirtd"] + ([] if agents.wanted() else ["--listen"]) +
          ["--pid-file", "/run/libvirt/libvirtd.pid"],
          host.base + "/libvirtd.out")
    wait_for("process of libvirtd", lambda: os.path.exists(pid_file), 5)
    with open(pid_file, encoding="utf-8") as text:
        write_json(host.base + "/libvirtd.json", record_of(int(text.read())))


def answers(host):
    """Whether libvirtd takes connections and has finished starting."""
    if host.libvirtd_pid() is None:
        with open(host.base + "/libvirtd.out", encoding="utf-8", errors="replace") as text:
            raise LabError("libvirtd of %s ended: %s" % (host.name, text.read()[-600:]))
    try:
        if not agents.wanted():
            socket.create_connection((host.address, TLS_PORT), 1).close()
    except OSError:
        return False
    return host.virsh("pool-info", "shared", check=False).returncode == 0


def bring_up(host, rate):
    start_keeper(host)
    start_libvirtd(host)
    wait_for("libvirtd of " + host.name, lambda: answers(host), 30)
    for pool in ("shared", "local"):
        host.virsh("pool-start", pool, check=False)  # autostart did, unless its folder was missing
    net.shape(host.name, host.keeper_pid(), rate)
    if read_json(host.base + "/versions.json") is None:
        said = host.virsh("version").stdout
        write_json(host.base + "/versions.json", {
            "libvirt": re.search(r"library: libvirt (\S+)", said).group(1),
            "qemu": re.search(r"hypervisor: QEMU (\S+)", said).group(1)})
    keep_capabilities(host)


def signal_libvirtd(host, number):
    """Sends a signal to the host's libvirtd, which may be stopped: it stays until `cont`."""
    pid = host.libvirtd_pid()
    if pid is None:
        raise LabError("libvirtd of %s does not run" % host.name)
    os.kill(pid, number)
    if number == signal.SIGKILL:
        wait_for("end of libvirtd", lambda: host.libvirtd_pid() is None, 5)


def restart_libvirtd(host, locks=None):
    """Starts libvirtd, ending it first where it runs; its guests live on. @locks: whether QEMUs
    started from now on have image locks that hold (None: as before)."""
    if locks is False:
        write(without_locks(host), "\n")
    elif locks and os.path.exists(without_locks(host)):
        os.unlink(without_locks(host))
    if locks is not None and host.libvirtd_pid() is not None:
        signal_libvirtd(host, signal.SIGKILL)
    start_libvirtd(host)
    wait_for("libvirtd of " + host.name, lambda: answers(host), 30)


def up(count, stock, rate, with_agents=False):
    """Brings up these hosts, and mends those that live already but have lost something."""
    if max(count, stock) > MOST_HOSTS:
        raise LabError("at most %d hosts of a kind" % MOST_HOSTS)
    wanted = [Host("kvm%d" % i) for i in range(1, count + 1)]
    wanted += [Host("stock%d" % i) for i in range(1, stock + 1)]
    for host in known_hosts():
        if host.name not in [other.name for other in wanted]:
            wanted.append(host)
    for folder in [SHARED, LOCAL, STORES, GUESTS, CONSOLES, HOSTS]:
        os.makedirs(folder, exist_ok=True)
    write_json(STATE + "/rate.json", rate)
    agents.want(with_agents, known_hosts())
    net.bridge_up()
    pki.prepare_client()
    with ThreadPoolExecutor() as pool:
        list(pool.map(write_configuration, wanted))
        list(pool.map(lambda host: bring_up(host, rate), wanted))


def mount_namespace(pid):
    try:
        return os.readlink("/proc/%d/ns/mnt" % pid)
    except OSError:
        return None


def host_of(pid):
    """The name of this lab's host whose /etc the process sees, or None. That mount tells, and
    neither a record nor a file can: those may be gone when processes are not."""
    try:
        with open("/proc/%d/mountinfo" % pid, encoding="utf-8", errors="replace") as mounts:
            found = re.search(r"upperdir=%s/(\w+)/etc[,\n]" % re.escape(HOSTS), mounts.read())
    except OSError:
        return None
    return found.group(1) if found else None


def members():
    """Processes inside any host of this lab, as {pid, start, host}."""
    hosts_by_namespace, found = {}, []
    for pid in all_pids():
        namespace = mount_namespace(pid)
        if namespace is None or pid == os.getpid():
            continue
        if namespace not in hosts_by_namespace:
            hosts_by_namespace[namespace] = host_of(pid)
        if hosts_by_namespace[namespace] is not None:
            found.append({"pid": pid, "start": start_time(pid),
                          "host": hosts_by_namespace[namespace]})
    return [record for record in found if record["start"] is not None]


def other_labs():
    """State folders of labs that have hosts, and share what there is only one of: the cache, and
    mount points on the machine."""
    folder = os.path.dirname(os.path.dirname(CACHE))
    found = [os.path.join(folder, name) for name in os.listdir(folder)
             if name.startswith("godwit-lab")]
    return [path for path in found if path != STATE and os.path.isdir(path + "/hosts")]


def drop_block_devices():
    """Loop devices are the machine's: they outlive namespaces."""
    listed = run(["losetup", "--json", "--list", "-O", "NAME,BACK-FILE"]).stdout
    for row in json.loads(listed or "{}").get("loopdevices", []):
        if (row.get("back-file") or "").startswith(HOSTS + "/"):
            run(["losetup", "-d", row["name"]], check=False)


def down():
    """Removes every process, namespace, mount and interface of the lab, whatever state it is in."""
    keepers = [read_json(path) for path in glob.glob(HOSTS + "/*/keeper.json")]
    for _ in range(3):  # a dying daemon may start a child while we look
        kill_all(members(), patience=0.3)
    kill_all([record for record in keepers if is_same_process(record)])
    net.bridge_down()
    drop_block_devices()
    for host in known_hosts():
        shutil.rmtree(host.base)
    for folder in (SHARED, LOCAL, STORES, GUESTS, CONSOLES, HOSTS):
        shutil.rmtree(folder, ignore_errors=True)
    agents.want(False, [])
    if not other_labs():
        agents.remove_mount_point()
