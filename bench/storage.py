# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moves of disks by Godwit and by the tools that people have, side by side.

In each part the tools take turns on one guest, A B then B A. The guest has one qcow2 disk (--size,
--used of it filled with data that does not compress) and, while it runs, writes --rate random blocks
of 4 KiB a second to it, O_DIRECT; it says how long those writes took.
  live     to another host that shares nothing: godwit vm migrate (agents, and without), against
           virsh migrate --live --p2p --copy-storage-all
  storage  to another file system of its host, running: godwit vm migrate-storage against
           virsh blockcopy --pivot
  cold     to another host, off: godwit vm migrate (agents, and without) against rsync -S (to a
           daemon) and qemu-img convert (to qemu-nbd): those two move the image alone
  reflink  within one XFS, off: godwit vm migrate-storage against cp --reflink=always
Wall is from starting the command to its end. Wire is what the source's own link sent. Grown is what
the destination's image takes against the source's. Downtime is the longest gap between heartbeats
(one a millisecond) that the outside witness heard. After each turn the guest reads back every
block that it ever wrote; one that is not as it was written fails the bench."""
import glob
import json
import os
import subprocess
import sys
import time

from common import lab as labs
from common import moves, report
from common.agents import AgentController
from common.controller import Controller
from common.machine import BenchError

GUEST = "bench"
PARTS = {
    "live": ["virsh", "godwit", "agents"],
    "storage": ["virsh", "godwit"],
    "cold": ["rsync", "qemu-img", "godwit", "agents"],
    "reflink": ["cp", "agents"],
}
FIGURES = [("wall_s", "WALL s"), ("wire_mib", "WIRE MiB"), ("grown", "GROWN"),
           ("p50_us", "p50 us"), ("p99_us", "p99 us"), ("downtime_ms", "DOWN ms")]
NBD_PORT, RSYNC_PORT = 10809, 8730


def add_options(parser):
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--size", type=int, default=4096, metavar="MiB")
    parser.add_argument("--used", type=int, default=1024, metavar="MiB")
    parser.add_argument("--rate", type=int, default=100, metavar="N", help="writes a second (100)")
    parser.add_argument("--link", default="1gbit", metavar="RATE",
                        help="of the hosts' links (default 1gbit)")
    parser.add_argument("--move-busy", type=float, default=0.7)
    parser.add_argument("--move-patience", type=float, default=30)


class Bench:
    def __init__(self, options, lab, controllers):
        self.options, self.lab, self.controllers = options, lab, controllers
        self.found = []
        self.address = None

    # What is there -------------------------------------------------------------------------------

    def run(self, host, *argv, check=True, **more):
        done = subprocess.run(self.lab.inside(host, *argv), capture_output=True, text=True,
                              check=False, **more)
        if check and done.returncode != 0:
            raise BenchError("%s: %s" % (" ".join(argv), done.stderr.strip()[-500:]))
        return done.stdout

    def inside(self, host, path):
        return "/proc/%d/root%s" % (self.lab.host(host)["keeper_pid"], path)

    def wire(self, host):
        return int(self.run(host, "cat", "/sys/class/net/eth0/statistics/tx_bytes"))

    def image(self, host):
        said = self.lab.virsh(host, "domblklist", GUEST).stdout
        return next(line.split()[1] for line in said.splitlines() if line.split()[:1] == ["vda"])

    def allocated(self, host, path):
        return os.stat(self.inside(host, path)).st_blocks * 512

    def told(self, word):
        said = self.lab.tell(GUEST, word).split()
        return dict(part.split("=") for part in said if "=" in part)

    def verify(self):
        before = int(self.told("disks")["verified"])
        self.told("verify")
        deadline = time.monotonic() + 120
        while int(self.told("disks")["verified"]) == before:
            if time.monotonic() > deadline:
                raise BenchError("the guest does not finish reading its disk back")
            time.sleep(0.5)
        said = self.told("disks")
        if said["errors"] != "0" or said["failures"] != "0":
            raise BenchError("the disk is not as it was written: %s" % said)

    def settle(self, controller, source):
        """Godwit knows what other tools did, and keeps no copies."""
        for other in self.controllers.values():
            for kept in other.items("/kept-volumes"):
                other.wait_for_job(other.call("DELETE", "/kept-volumes/" + kept["id"])["id"])
        ids = {host["name"]: host["id"] for host in controller.items("/hosts")}
        deadline = time.monotonic() + 30
        while True:
            found = controller.items("/vms?name=" + GUEST)
            image = self.image(source)
            if len(found) == 1 and found[0]["host_id"] == ids[source] and \
                    [disk.get("source") for disk in found[0]["disks"]] == [image] and \
                    "job_id" not in found[0]:
                return
            if time.monotonic() > deadline:
                raise BenchError("Godwit does not see %s on %s: %s" % (GUEST, source, found))
            controller.call("POST", "/hosts/%s/refresh" % ids[source])
            time.sleep(0.2)

    def command(self, controller, argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False,
                              env=controller.environment() if controller else None)
        if done.returncode != 0:
            raise BenchError("%s: exit %d: %s" % (" ".join(argv), done.returncode,
                                                  (done.stderr or done.stdout)[-600:]))

    def measure(self, part, tool, host, argv, controller, target=None):
        """One turn. @host: whose link counts; @target: where the new image is, and its guest."""
        running = part in ("live", "storage")
        busy = moves.quiet_before(self.options)
        before_image = self.image(host) if part != "cold" and part != "reflink" else None
        taken = self.allocated(host, before_image) if before_image else None
        if running:
            self.told("latency")
            self.lab.witness(GUEST, reset=True)
        sent, at, begun = self.wire(host), time.time(), time.monotonic()
        self.command(controller, argv)
        row = {"part": part, "tool": tool, "wall_s": time.monotonic() - begun, "busy": busy}
        row["wire_mib"] = (self.wire(host) - sent) / 1048576
        if running:
            said = self.told("latency")
            row["p50_us"], row["p99_us"] = int(said["p50_us"]), int(said["p99_us"])
            row["grown"] = self.allocated(target, self.image(target)) / taken
            time.sleep(1)
            seen = self.lab.witness(GUEST, since=at)
            if seen["problems"]:
                raise BenchError("%s %s: the witness saw %s" % (part, tool, seen["problems"]))
            row["downtime_ms"] = seen["guests"][GUEST]["max_gap_ms"]
        self.found.append(row)
        print("%s: %s: %s" % (part, tool, json.dumps({k: v for k, v in row.items()
                                                      if k not in ("part", "tool")})),
              file=sys.stderr, flush=True)
        return row

    def turns(self, part):
        tools = PARTS[part]
        for turn in range(self.options.runs):
            yield from tools if turn % 2 == 0 else tools[::-1]

    def controller(self, tool):
        return self.controllers["agents" if tool == "agents" else "godwit"]

    def godwit(self, controller, *words):
        return [controller.build + "/godwit"] + list(words)

    # Parts ---------------------------------------------------------------------------------------

    def live(self):
        for tool in self.turns("live"):
            source, target = [host["name"] for host in moves.where_is(self.lab, GUEST)]
            controller = self.controller(tool)
            self.settle(controller, source)
            old = self.image(source)
            if tool == "virsh":
                argv = moves.virsh(self.lab.host(source), self.lab.host(target), GUEST, False)
                argv = argv[:-2] + ["--copy-storage-all"] + argv[-2:]
            else:
                argv = self.godwit(controller, "vm", "migrate", GUEST, target)
            self.measure("live", tool, source, argv, controller, target)
            self.verify()
            if tool == "virsh":
                os.unlink(self.inside(source, old))
                self.run(source, "virsh", "pool-refresh", "local")

    def storage(self):
        host = "kvm1"
        for tool in self.turns("storage"):
            controller = self.controller(tool)
            self.settle(controller, host)
            old = self.image(host)
            there = "ext4" if "/xfs/" in old else "xfs"
            folder = os.path.dirname(self.lab.stores) + "/stores/" + there
            if tool == "virsh":
                argv = self.lab.inside(host, "virsh", "blockcopy", GUEST, "vda", "--dest",
                                       "%s/%s.qcow2" % (folder, GUEST), "--format", "qcow2",
                                       "--transient-job", "--wait", "--pivot")
            else:
                argv = self.godwit(controller, "vm", "migrate-storage", GUEST, there)
            self.measure("storage", tool, host, argv, controller, host)
            self.verify()
            if tool == "virsh":
                os.unlink(self.inside(host, old))
                self.run(host, "virsh", "pool-refresh", os.path.basename(os.path.dirname(old)))

    def is_where(self):
        return next(host["name"] for host in self.lab.hosts
                    if self.lab.state(host["name"], GUEST) is not None)

    def cold(self):
        for tool in self.turns("cold"):
            source = self.is_where()
            target = next(h["name"] for h in self.lab.hosts if h["name"] != source)
            controller = self.controller(tool)
            self.settle(controller, source)
            image = self.image(source)
            taken = self.allocated(source, image)
            new = os.path.dirname(image) + "/copied.qcow2"
            server = None
            if tool == "rsync":
                server, argv = self.rsync(source, target, image)
            elif tool == "qemu-img":
                server, argv = self.convert(source, target, image, new)
            else:
                argv = self.godwit(controller, "vm", "migrate", GUEST, target)
            try:
                row = self.measure("cold", tool, source, argv, controller)
            finally:
                if server is not None:
                    server.terminate()
                    server.wait()
            if tool in ("rsync", "qemu-img"):
                row["grown"] = self.allocated(target, new) / taken
                os.unlink(self.inside(target, new))
            else:
                row["grown"] = self.allocated(target, self.image(target)) / taken

    def wait_for_port(self, source, address, port):
        script = "import socket; socket.create_connection(('%s', %d), 1)" % (address, port)
        for _ in range(50):
            if subprocess.run(self.lab.inside(source, "python3", "-c", script), check=False,
                              capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise BenchError("nobody listens on port %d" % port)

    def rsync(self, source, target, image):
        """To a daemon, so that no ssh is measured."""
        folder = os.path.dirname(image)
        conf = self.inside(target, "/run/rsyncd.conf")
        with open(conf, "w", encoding="utf-8") as out:
            out.write("uid=root\ngid=root\nuse chroot=no\n[b]\npath=%s\nread only=no\n" % folder)
        server = subprocess.Popen(self.lab.inside(
            target, "rsync", "--daemon", "--no-detach", "--port=%d" % RSYNC_PORT,
            "--config=/run/rsyncd.conf"))
        address = self.lab.host(target)["address"]
        self.wait_for_port(source, address, RSYNC_PORT)
        return server, self.lab.inside(source, "rsync", "-S", image,
                                       "rsync://%s:%d/b/copied.qcow2" % (address, RSYNC_PORT))

    def convert(self, source, target, image, new):
        self.run(target, "qemu-img", "create", "-f", "qcow2", new, "%dM" % self.options.size)
        server = subprocess.Popen(self.lab.inside(
            target, "qemu-nbd", "-f", "qcow2", "-p", str(NBD_PORT), "--discard=unmap",
            "--detect-zeroes=unmap", "--persistent", "-e", "8", new))
        address = self.lab.host(target)["address"]
        self.wait_for_port(source, address, NBD_PORT)
        return server, self.lab.inside(source, "qemu-img", "convert", "-n", "-f", "qcow2", "-O",
                                       "raw", image, "nbd://%s:%d" % (address, NBD_PORT))

    def reflink(self):
        """Two folders of one XFS, each a pool."""
        host = "kvm1"
        folder = os.path.dirname(self.image(host))
        second = folder + "/second"
        self.run(host, "mkdir", "-p", second)
        self.run(host, "virsh", "pool-define-as", "second", "dir", "--target", second)
        self.run(host, "virsh", "pool-start", "second")
        for tool in self.turns("reflink"):
            controller = self.controller(tool)
            self.settle(controller, host)
            image = self.image(host)
            if tool == "cp":
                argv = self.lab.inside(host, "cp", "--reflink=always", image, image + ".clone")
            else:
                there = "xfs" if "/second/" in image else "second"
                argv = self.godwit(controller, "vm", "migrate-storage", GUEST, there)
            self.measure("reflink", tool, host, argv, controller)
            if tool == "cp":
                os.unlink(self.inside(host, image + ".clone"))


def start(bench, pool, off):
    options = bench.options
    bench.lab.lab("guest", "start", GUEST, "--host", "kvm1", "--memory", "256", "--disk", pool,
                  "--disk-size", str(options.size), "--format", "qcow2", "--spread",
                  str(options.used + 8), "--spread-fill", str(options.used), "--spread-rate",
                  str(options.rate))
    while bench.told("disks")["filled"] != "1":
        time.sleep(0.5)
    if off:
        bench.lab.virsh("kvm1", "shutdown", GUEST)
        while bench.lab.state("kvm1", GUEST) == "running":
            time.sleep(0.2)


def result_of(options, bench):
    columns = ["PART", "TOOL", "RUNS"] + [name for _, name in FIGURES] + ["x WALL"]
    lines, rows = [], []
    for part in options.part:
        base = None
        for tool in PARTS[part]:
            made = [row for row in bench.found if (row["part"], row["tool"]) == (part, tool)]
            if not made:
                continue
            line = [part, tool, "%d" % len(made)]
            for key, _ in FIGURES:
                found = report.summary([row.get(key) for row in made])
                line.append("-" if found["n"] == 0 else "%s (%s-%s)" % tuple(
                    report.number(found[name]) for name in ("median", "min", "max")))
                if found["n"] > 0:
                    rows.append(report.row("%s: %s: %s" % (part, tool, key),
                                           "x" if key == "grown" else key.rpartition("_")[2],
                                           [row.get(key) for row in made]))
            wall = report.summary([row["wall_s"] for row in made])["median"]
            base = base or wall
            line.append("%.2f" % (wall / base))
            lines.append(line)
    notes = ["median (least-most); x WALL: ratio of medians to the first tool of the part",
             "guest: 256 MiB, %d MiB qcow2, %d MiB of it used, %d random writes of 4 KiB a second "
             "while it runs; link %s" % (options.size, options.used, options.rate, options.link)]
    return {"tables": {"moves of disks": report.table(columns, lines)}, "rows": rows,
            "notes": notes}


def run(options):
    with labs.Lab() as lab:
        lab.lab("storage", "xfs", "ext4")
        lab.stores = glob.glob("/var/lib/godwit-lab-%s" % labs.NAME)[0] + "/stores"
        plain, agents = Controller(options.build), AgentController(options.build, lab)
        with plain, agents:
            for host in lab.hosts:
                plain.call("POST", "/hosts", {"uri": host["uri"], "name": host["name"]})
            plain.wait_until_ok(len(lab.hosts))
            agents.add_lab()
            bench = Bench(options, lab, {"godwit": plain, "agents": agents})
            pools = {"live": "local", "storage": "ext4", "cold": "local", "reflink": "xfs"}
            for part in options.part:
                lab.rate("none")
                start(bench, pools[part], part in ("cold", "reflink"))
                try:
                    lab.rate(options.link)
                    getattr(bench, part)()
                finally:
                    lab.rate("none")
                    lab.stop_guest(GUEST)
            found = result_of(options, bench)
            found["machine"] = {"hosts": lab.versions()}
            return found
