# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long it takes to empty a host, by Godwit's plan and by what people do without one.

Eight idle guests of different memory are on one of three hosts, all links are shaped, and both ends
of a move take two at a time. The tools take turns on the same guests, A B C D then D C B A; between
turns the guests are brought back by virsh, all at once, unshaped and unmeasured.
  godwit    godwit host drain, by the default method, which compresses
  standard  the same with the hosts' method set to standard: what QEMU sends for virsh as well, so
            that what is left is the plan's
  two       virsh migrate --live --p2p, two at a time in the order of names, to the other two hosts
            in turn
  all       the same, all at once
  one       the same, one by one
Makespan is from starting the first command to the end of the last. Wire is what the host's own link
sent. The bound is what no order can beat: those bytes, at the link's rate. Downtime is of the guest
that was silent longest, as the outside witness heard it. After each turn
every guest runs on exactly one other host, and the witness saw none twice, set back or wrong.
The guests do next to nothing, so that the moves have the cores; what of them was busy before each
turn, all guests running, goes with the figures. Ended by a signal, it prints what it has."""
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from common import lab as labs
from common import moves, report
from common.controller import Controller
from common.machine import BenchError, Ended
from move import prepare

SOURCE = "kvm1"
SLOTS = 2
WORKERS = {"two": SLOTS, "all": None, "one": 1}  # None: as many as there are guests
METHODS = {"godwit": "default", "standard": "standard"}  # of the hosts
TOOLS = list(METHODS) + list(WORKERS)
# As little as a guest can do that still proves itself: it costs some 5 % of a core under TCG.
IDLE = ["--interval", "20000", "--verify", "1", "--disk-interval", "500"]
FIGURES = [("makespan_s", "MAKESPAN s"), ("wire_mib", "WIRE MiB"), ("bound_s", "BOUND s"),
           ("downtime_ms", "DOWN ms"), ("busy_percent", "BUSY %")]


def add_options(parser):
    parser.add_argument("--memory", type=int, nargs="+", metavar="MiB",
                        default=[72, 384, 96, 320, 128, 256, 160, 192],
                        help="of each guest, in the order of their names; less than 72 do not boot")
    parser.add_argument("--link", nargs="+", default=["200mbit", "1gbit"], metavar="RATE",
                        help="of the hosts' links, as in lab/lab rate (default 200mbit 1gbit)")
    parser.add_argument("--tool", nargs="+", default=TOOLS, choices=TOOLS)
    parser.add_argument("--move-busy", type=float, default=0.7, metavar="SHARE",
                        help="before each turn wait until no more of the cores is busy (0.7)")
    parser.add_argument("--move-patience", type=float, default=60, metavar="SECONDS",
                        help="at most that long (60)")


def bytes_per_second(rate):
    found = re.fullmatch(r"([0-9.]+)([mg])bit", rate)
    if not found:
        raise BenchError("%s: a rate like 200mbit or 1gbit, for the bound" % rate)
    return float(found.group(1)) * {"m": 1e6, "g": 1e9}[found.group(2)] / 8


class Bench:
    def __init__(self, options, lab):
        self.options, self.lab = options, lab
        self.controller = None
        self.guests = ["b%02d" % number for number in range(1, len(options.memory) + 1)]
        self.started, self.found = [], []

    # What is where -------------------------------------------------------------------------------

    def others(self):
        return [host["name"] for host in self.lab.hosts if host["name"] != SOURCE]

    def targets(self):
        """To the other hosts in turn: as a person would."""
        others = self.others()
        return {guest: others[number % len(others)] for number, guest in enumerate(self.guests)}

    def place(self, guest):
        states = {host["name"]: self.lab.state(host["name"], guest) for host in self.lab.hosts}
        here = [name for name, state in states.items() if state is not None]
        if len(here) != 1 or states[here[0]] != "running":
            raise BenchError("%s is %s" % (guest, states))
        return here[0]

    def wire(self):
        said = subprocess.run(self.lab.inside(SOURCE, "cat",
                                              "/sys/class/net/eth0/statistics/tx_bytes"),
                              capture_output=True, text=True, check=True)
        return int(said.stdout)

    # Moves ---------------------------------------------------------------------------------------

    def command(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True, check=False,
                              env=self.controller.environment())
        if done.returncode != 0:
            raise BenchError("%s: exit %d: %s" % (" ".join(argv), done.returncode,
                                                  (done.stderr or done.stdout)[-600:]))

    def virsh(self, guest, source, target):
        self.command(moves.virsh(self.lab.host(source), self.lab.host(target), guest, False))

    def empty(self, tool):
        if tool in METHODS:
            self.command([self.controller.build + "/godwit", "host", "drain", SOURCE,
                          "--no-maintenance"])
            return
        targets = self.targets()
        with ThreadPoolExecutor(WORKERS[tool] or len(self.guests)) as pool:
            list(pool.map(lambda guest: self.virsh(guest, SOURCE, targets[guest]), self.guests))

    def bring_back(self):
        """By no tool that learns from it."""
        self.lab.rate("none")
        places = {guest: self.place(guest) for guest in self.guests}
        away = [guest for guest in self.guests if places[guest] != SOURCE]
        with ThreadPoolExecutor(len(self.guests)) as pool:
            list(pool.map(lambda guest: self.virsh(guest, places[guest], SOURCE), away))
        for guest in self.guests:
            moves.wait_until_seen(self.controller, self.lab, guest, self.lab.host(SOURCE))
        self.wait_until_read()

    def wait_until_read(self, patience=30):
        """What another tool moved can be read only a moment after it runs."""
        deadline = time.monotonic() + patience
        while any(vm.get("error") for vm in self.controller.items("/vms")):
            if time.monotonic() > deadline:
                raise BenchError("Godwit cannot read the guests' definitions")
            time.sleep(0.5)

    def downtime(self, since):
        gaps = []
        for guest in self.guests:
            if self.place(guest) == SOURCE:
                raise BenchError("%s is still on %s" % (guest, SOURCE))
            seen = self.lab.witness(guest, since=since)
            if seen["problems"]:
                raise BenchError("the witness saw of %s: %s" % (guest, "; ".join(seen["problems"])))
            gaps.append(seen["guests"][guest]["max_gap_ms"])
        return max(gaps)

    def measure(self, link, tool):
        self.bring_back()
        if tool in METHODS:
            for host in self.controller.items("/hosts"):
                self.controller.change("/hosts/" + host["id"], {"method": METHODS[tool]})
        self.lab.rate(link)
        busy = moves.quiet_before(self.options)
        for guest in self.guests:
            self.lab.witness(guest, reset=True)
        sent, at, begun = self.wire(), time.time(), time.monotonic()
        self.empty(tool)
        row = {"link": link, "tool": tool, "makespan_s": time.monotonic() - begun,
               "busy_percent": busy * 100,
               "wire_mib": (self.wire() - sent) / 1048576}
        row["bound_s"] = row["wire_mib"] * 1048576 / bytes_per_second(link)
        time.sleep(1)  # what the guests have to say after it
        row["downtime_ms"] = self.downtime(at)
        self.found.append(row)
        print("%s: %s: %s" % (link, tool, json.dumps({key: row[key] for key, _ in FIGURES})),
              file=sys.stderr, flush=True)

    def run_link(self, link):
        """A link of another rate is another fabric, of which nothing is learned."""
        bytes_per_second(link)
        with Controller(self.options.build) as self.controller:
            prepare(self.controller, self.lab)
            for host in self.controller.items("/hosts"):
                self.controller.change("/hosts/" + host["id"], {"live_limit": SLOTS})
            for turn in range(self.options.runs):
                for tool in self.options.tool if turn % 2 == 0 else self.options.tool[::-1]:
                    self.measure(link, tool)

    def start(self):
        for guest, memory in zip(self.guests, self.options.memory):
            self.started.append(guest)
            self.lab.start_guest(guest, memory, "shared", *IDLE)

    def stop(self):
        self.lab.rate("none")
        for guest in self.started:
            self.lab.lab("guest", "stop", guest, check=False)  # one may not have come up


def result_of(options, bench):
    lines, rows = [], []
    for link in options.link:
        base = None
        for tool in options.tool:
            made = [row for row in bench.found if (row["link"], row["tool"]) == (link, tool)]
            if not made:
                continue
            line = [link, tool, "%d" % len(made)]
            for key, _ in FIGURES:
                found = report.row("%s: %s: %s" % (link, tool, key), key.rpartition("_")[2],
                                   [row[key] for row in made])
                rows.append(found)
                line.append("%s (%s-%s)" % tuple(report.number(found[name])
                                                 for name in ("median", "min", "max")))
            makespan = report.summary([row["makespan_s"] for row in made])["median"]
            above = report.summary([row["makespan_s"] / row["bound_s"] for row in made])["median"]
            base = base or makespan
            lines.append(line + ["%.2f" % above, "%.2f" % (makespan / base)])
    columns = ["LINK", "TOOL", "RUNS"] + [name for _, name in FIGURES] + ["x BOUND", "x FIRST"]
    return {"tables": {"makespan of a drain": report.table(columns, lines)}, "rows": rows,
            "notes": ["median (least-most); x BOUND: makespan by the bound of the same turn; "
                      "x FIRST: ratio of median makespans to the first tool",
                      "guests: %s MiB, idle, half of it filled; %d moves at a time at each host"
                      % (", ".join(str(size) for size in options.memory), SLOTS)]}


def run(options):
    ended = None
    with labs.Lab(hosts=3) as lab:
        bench = Bench(options, lab)
        try:
            bench.start()
            for link in options.link:
                bench.run_link(link)
        except Ended as error:
            ended = error
        finally:
            bench.stop()
        versions = lab.versions()
    if ended and not bench.found:
        raise ended
    result = dict(result_of(options, bench), machine={"hosts": versions})
    if ended:
        result["notes"].append("%s: turns are missing" % ended)
    return result
