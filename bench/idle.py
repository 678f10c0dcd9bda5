# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the controller costs at rest, and how it bears a large fabric.

Part "real": memory and CPU time while nothing happens, with the lab's hosts. Part "simulated": the
same with a large simulated fabric, whose world lives in the same process (its own memory is told
apart by what the process holds before the first host is added); how long adding all hosts takes, a
restart until all of them are OK again, and listing all VMs, at rest and while moves run."""
import json
import os
import subprocess
import tempfile
import time

from common import lab, report
from common.controller import Controller
from common.machine import BenchError

PARTS = ["real", "simulated"]
HOSTS_PER_SHARE = 100


def add_options(parser):
    parser.add_argument("--part", choices=PARTS, action="append",
                        help="only this one (default: both); may be given twice")
    parser.add_argument("--seconds", type=float, default=60, help="idle time measured (60)")
    parser.add_argument("--hosts", type=int, default=1000, help="simulated hosts (1000)")
    parser.add_argument("--vms-per-host", type=int, default=10, help="and VMs of each (10)")
    parser.add_argument("--moves", type=int, default=50, help="moves at once while listing (50)")
    parser.add_argument("--threads", type=int, default=16, help="hosts added in parallel (16)")


class Rows:
    """Figures by name, in the order they first came."""

    def __init__(self):
        self.units, self.values = {}, {}

    def add(self, what, unit, value):
        self.units[what] = unit
        self.values.setdefault(what, []).append(value)

    def rows(self):
        return [report.row(what, self.units[what], values)
                for what, values in self.values.items()]


def measure_idle(rows, controller, options, what):
    time.sleep(3)  # what the start has left to do
    for _ in range(options.runs):
        before, begun = controller.cpu_seconds(), time.monotonic()
        time.sleep(options.seconds)
        spent = controller.cpu_seconds() - before
        rows.add("%s: CPU per minute" % what, "s", spent * 60 / (time.monotonic() - begun))
        memory = controller.memory_kib()
        rows.add("%s: RSS" % what, "MiB", memory["rss"] / 1024)
        rows.add("%s: PSS" % what, "MiB", memory["pss"] / 1024)


def run_real(rows, options):
    with lab.Lab() as hosts, Controller(options.build) as controller:
        controller.add_hosts([host["uri"] for host in hosts.hosts])
        controller.wait_until_ok(len(hosts.hosts))
        measure_idle(rows, controller, options, "idle, %d real hosts" % len(hosts.hosts))
        return {"hosts": hosts.versions()}


# The simulated fabric -----------------------------------------------------------------------------

def write_fabric(options, path, link):
    """Without racks and what differs between them: each VM can go to any host of its share. Returns
    the hosts of the file."""
    program = os.path.join(options.build, "bench", "make-fabric")
    words = ["--hosts=%d" % options.hosts, "--vms=%d" % (options.hosts * options.vms_per_host),
             "--hosts-per-share=%d" % HOSTS_PER_SHARE, "--hosts-per-rack=0", "--off=0",
             "--link=%d" % link, "--output=" + path]
    try:
        subprocess.run([program] + words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError("%s: %s" % (program, getattr(error, "stderr", "") or error)) from error
    with open(path, encoding="utf-8") as file:
        return json.load(file)["hosts"]


def uris(hosts):
    return [host["uri"] for host in hosts]


def grow(rows, controller, options, hosts):
    """Adds all hosts to a controller that has none."""
    world = controller.memory_kib()
    spent = controller.cpu_seconds()
    begun = time.monotonic()
    controller.add_hosts(uris(hosts), options.threads)
    rows.add("adding all hosts, %d in parallel" % options.threads, "s", time.monotonic() - begun)
    controller.wait_until_ok(options.hosts)
    rows.add("adding all hosts, until all are OK", "s", time.monotonic() - begun)
    rows.add("adding all hosts, CPU", "s", controller.cpu_seconds() - spent)
    memory = controller.memory_kib()
    rows.add("RSS of the simulated world alone", "MiB", world["rss"] / 1024)
    rows.add("RSS with all hosts", "MiB", memory["rss"] / 1024)
    rows.add("RSS that the fabric adds", "MiB", (memory["rss"] - world["rss"]) / 1024)


def restart(rows, controller, options):
    controller.stop()
    begun = time.monotonic()
    rows.add("restart, until it listens (world loaded)", "s", controller.start())
    controller.wait_until_ok(options.hosts)
    rows.add("restart, until all hosts are OK", "s", time.monotonic() - begun)
    rows.add("restart, CPU", "s", controller.cpu_seconds())


def list_vms(rows, controller, options, when):
    wanted = options.hosts * options.vms_per_host
    for limit, name in ((10000, "one request"), (100, "pages of 100")):
        begun = time.monotonic()
        found = len(controller.items("/vms?limit=%d" % limit))
        rows.add("listing all VMs, %s%s" % (name, when), "ms", (time.monotonic() - begun) * 1000)
        # During a move two hosts may hold a VM.
        if found < wanted or (not when and found != wanted):
            raise BenchError("%d VMs are listed, not %d" % (found, wanted))
    begun = time.monotonic()
    text = controller.request("GET", "/vms?limit=10000")[1]
    rows.add("the same without decoding%s" % when, "ms", (time.monotonic() - begun) * 1000)
    rows.add("bytes of the whole list%s" % when, "MiB", len(text) / 1048576)


def sent_kib(vm):
    return vm.get("usage", {}).get("memory_used_kib", vm["memory_kib"])


def vm_to_move(host):
    """The first of which 2 to 4 GiB are sent, or none."""
    return next((vm for vm in host["vms"] if 2 << 20 <= sent_kib(vm) <= 4 << 20), None)


def begin_moves(controller, options, hosts):
    """From as many hosts to as many others of the same share; returns the jobs."""
    share = hosts[:HOSTS_PER_SHARE]
    sources = [host for host in share if vm_to_move(host) is not None][:options.moves]
    if len(sources) < options.moves:
        raise BenchError("too few VMs of 2 to 4 GiB for --moves: more --vms-per-host")
    targets = [host for host in share if host not in sources]
    jobs = []
    for source, target in zip(sources, targets):
        path = "/vms/%s/migrate" % vm_to_move(source)["uuid"]
        jobs.append(controller.call("POST", path, {"destination": target["facts"]["hostname"]}))
    return [job["id"] for job in jobs]


def running(controller, jobs):
    states = {job["id"]: job["state"] for job in controller.items("/jobs?limit=1000")}
    return sum(states[job] == "copying" for job in jobs)


def list_while_moving(rows, controller, options, hosts):
    jobs = begin_moves(controller, options, hosts)
    deadline = time.monotonic() + 30
    while running(controller, jobs) < options.moves:
        if time.monotonic() > deadline:
            raise BenchError("only %d of %d moves run" % (running(controller, jobs), options.moves))
        time.sleep(0.05)
    for _ in range(options.runs):
        spent, begun = controller.cpu_seconds(), time.monotonic()
        list_vms(rows, controller, options, ", %d moves run" % options.moves)
        time.sleep(0.2)
        rows.add("CPU per second, %d moves run" % options.moves, "s",
                 (controller.cpu_seconds() - spent) / (time.monotonic() - begun))
        rows.add("moves that ran then", "", running(controller, jobs))
    for job in jobs:
        if controller.wait_for_job(job)["state"] != "done":
            raise BenchError("a simulated move failed: %s" % controller.call("GET", "/jobs/" + job))


def run_simulated(rows, options):
    if options.moves * 2 > min(options.hosts, HOSTS_PER_SHARE):
        raise BenchError("--moves takes twice as many hosts, of one share (%d at most)" %
                         HOSTS_PER_SHARE)
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as folder:
        path = os.path.join(folder, "fabric.json")
        hosts = write_fabric(options, path, link=1000)
        for _ in range(options.runs - 1):
            with Controller(options.build, path) as controller:
                grow(rows, controller, options, hosts)
        with Controller(options.build, path) as controller:
            grow(rows, controller, options, hosts)
            measure_idle(rows, controller, options, "idle, %d simulated hosts" % options.hosts)
            for _ in range(options.runs):
                list_vms(rows, controller, options, "")
            for _ in range(options.runs):
                restart(rows, controller, options)
        hosts = write_fabric(options, path, link=40)  # a move takes a minute
        with Controller(options.build, path) as controller:
            controller.add_hosts(uris(hosts), options.threads)
            controller.wait_until_ok(options.hosts)
            list_while_moving(rows, controller, options, hosts)
    return {}


def run(options):
    rows = Rows()
    machine = {}
    runners = {"real": run_real, "simulated": run_simulated}
    for part in options.part or PARTS:
        machine.update(runners[part](rows, options))
    return {"machine": machine, "rows": rows.rows()}
