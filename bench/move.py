# SPDX-License-Identifier: LGPL-2.1-or-later
"""A live move by Godwit and by virsh, side by side.

Each cell is a guest (memory, dirtying or not, on a shared disk or without a disk) and a link. In a
cell the tools take turns within one run, A B then B A, so that drift and direction meet all alike.
  wall      from starting the command to its end
  copy      libvirt's own time of the job, as the destination's `domjobinfo --completed` has it
  downtime  the longest gap in the guest's heartbeats (one a millisecond) as the outside witness saw
            it; in JSON also QEMU's own figure
After every move the witness, the guest and both hosts must be in order, and after every cell the
guest has read back all of its memory; else the bench fails.
  virsh-p2p        virsh migrate --live --p2p --persistent --undefinesource --auto-converge
  virsh-direct     the same without --p2p
  godwit-standard  godwit vm migrate --method standard: the same thing asked of QEMU
  godwit-default   godwit vm migrate: with compression
  agent-standard, agent-default  the same two through the agents, asked of a second godwitd which the
                   same hosts' agents joined
Without a disk no lock can show that the source is gone, so Godwit commits by resume: the
destination stays paused until the source is seen to have ended (--disk none)."""
import contextlib
import json
import os
import sys
import time

from common import lab as labs
from common import moves, report
from common.agents import AgentController
from common.controller import Controller
from common.machine import BenchError

GUEST = "bench"
BASE = "virsh-p2p"
FIGURES = [("wall_s", "WALL s"), ("copy_ms", "COPY ms"), ("downtime_ms", "DOWN ms")]


def add_options(parser):
    parser.add_argument("--memory", type=int, nargs="+", default=[256, 1024], metavar="MiB")
    parser.add_argument("--dirty", type=int, nargs="+", default=[0, 60], metavar="MiB/s",
                        help="rewritten by the guest; 60 is half of 1 Gbit/s (default 0 60)")
    parser.add_argument("--link", nargs="+", default=["none", "1gbit"], metavar="RATE",
                        help="of the hosts' links, as in lab/lab rate (default none 1gbit)")
    parser.add_argument("--disk", nargs="+", default=["shared", "none"],
                        choices=["shared", "none"], help="none: commit by resume")
    parser.add_argument("--tool", nargs="+", default=list(moves.TOOLS), choices=list(moves.TOOLS))
    parser.add_argument("--minutes", type=float, default=600,
                        help="stop in time; the table says how many runs each cell has")
    parser.add_argument("--keep", metavar="FILE", help="append each move to FILE, and go on from "
                        "what it holds: a long run can be broken off")
    parser.add_argument("--move-busy", type=float, default=0.7, metavar="SHARE",
                        help="before each move wait until no more of the cores is busy (0.7)")
    parser.add_argument("--move-patience", type=float, default=60, metavar="SECONDS",
                        help="at most that long (60)")


class Record:
    """All moves so far, in memory and where asked in a file."""

    def __init__(self, path):
        self.path = path
        self.moves = []
        if path is not None and os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                self.moves = [json.loads(line) for line in lines]

    def add(self, cell, move):
        row = dict(move, cell=cell)
        self.moves.append(row)
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")

    def of(self, cell, tool):
        return [row for row in self.moves if row["cell"] == cell and row["tool"] == tool]


def cell_name(memory, dirty, link, disk):
    return "%d MiB, %s, %s%s" % (memory, "dirtying %d MiB/s" % dirty if dirty else "idle",
                                 "unshaped" if link == "none" else link,
                                 "" if disk == "shared" else ", no disk")


class Bench:
    def __init__(self, options, record, controllers, lab):
        """@controllers: of hosts without agents, and with (None: no tool asks for it)."""
        self.options, self.record = options, record
        self.controllers, self.lab = controllers, lab
        self.deadline = time.monotonic() + options.minutes * 60

    def is_over(self):
        return time.monotonic() > self.deadline

    def missing(self, cell):
        return any(len(self.record.of(cell, tool)) < self.options.runs
                   for tool in self.options.tool)

    def expect_commit(self, controller, disk):
        """What the cell is about must be what Godwit does there."""
        source, target = moves.where_is(self.lab, GUEST)
        moves.wait_until_seen(controller, self.lab, GUEST, source)
        plan = controller.call("POST", "/vms/%s/migrate?dry_run=true" % GUEST,
                               {"destination": target["name"]})
        by_resume = bool(plan.get("commit_by_resume"))
        if by_resume != (disk == "none"):
            raise BenchError("Godwit would %scommit by resume" % ("" if by_resume else "not "))

    def run_cell(self, cell, dirty):
        self.lab.tell(GUEST, "dirty", str(dirty))
        for turn in range(self.options.runs):
            order = self.options.tool if turn % 2 == 0 else self.options.tool[::-1]
            for tool in order:
                if len(self.record.of(cell, tool)) > turn or self.is_over():
                    continue
                controller = self.controllers[moves.is_agents(tool)]
                move = moves.measure(tool, controller, self.lab, GUEST, self.options)
                self.record.add(cell, move)
                print("%s: %-15s wall %.2f s, copy %s ms, down %.0f ms (busy %.0f %%)" % (
                    cell, tool, move["wall_s"], move["copy_ms"], move["downtime_ms"],
                    move["busy"] * 100), file=sys.stderr, flush=True)
        self.lab.wait_for_pass(GUEST)
        problems = self.lab.witness(GUEST)["problems"]
        if problems:
            raise BenchError("%s: the witness saw: %s" % (cell, "; ".join(problems)))

    def run_guest(self, memory, disk):
        cells = [(link, dirty, cell_name(memory, dirty, link, disk))
                 for link in self.options.link for dirty in self.options.dirty]
        cells = [row for row in cells if self.missing(row[2])]
        if not cells or self.is_over():
            return
        self.lab.rate("none")
        self.lab.start_guest(GUEST, memory, disk)
        try:
            for controller in filter(None, self.controllers):
                self.expect_commit(controller, disk)
            for link, dirty, cell in cells:
                if not self.is_over():
                    self.lab.rate(link)
                    self.run_cell(cell, dirty)
        finally:
            self.lab.stop_guest(GUEST)


def prepare(controller, lab):
    """Adds the hosts and the share, and waits for its proof."""
    for host in lab.hosts:
        controller.call("POST", "/hosts", {"uri": host["uri"], "name": host["name"]})
    controller.wait_until_ok(len(lab.hosts))
    prove_share(controller, lab)


def prove_share(controller, lab):
    ids = {host["name"]: host["id"] for host in controller.items("/hosts")}
    job = controller.call("POST", "/shares", {"name": "bench", "members": [
        {"host_id": ids[host["name"]], "pool": "shared"} for host in lab.hosts]})
    if controller.wait_for_job(job["id"])["state"] != "done":
        raise BenchError("the lab's shared folder is not proved shared")


def spread(values):
    found = report.summary(values)
    if found["n"] == 0:
        return "-"
    return "%s (%s-%s)" % tuple(report.number(found[key]) for key in ("median", "min", "max"))


def cell_lines(record, cell, tools):
    lines, rows = [], []
    base = record.of(cell, BASE)
    for tool in tools:
        made = record.of(cell, tool)
        if not made:
            continue
        line = [cell, tool, "%d" % len(made)]
        for key, _ in FIGURES:
            mine = report.row("%s: %s: %s" % (cell, tool, key), key.rpartition("_")[2],
                              [row[key] for row in made])
            theirs = report.row("", "", [row[key] for row in base])
            rows.append(mine)
            factor = report.ratio("", mine, theirs)["ratio"]
            line += [spread([row[key] for row in made]),
                     "-" if factor is None or tool == BASE else "%.2f" % factor]
        sent = report.summary([row["sent_bytes"] for row in made])["median"]
        line += [sent / 1048576 if sent else None,
                 "%.0f %%" % (100 * report.summary([row["busy"] for row in made])["median"])]
        lines.append(line)
    return lines, rows


def result_of(options, record, versions):
    columns = ["CELL", "TOOL", "RUNS"] + [word for _, name in FIGURES for word in (name, "x")] + \
        ["SENT MiB", "BUSY"]
    lines, rows = [], []
    for cell in dict.fromkeys(row["cell"] for row in record.moves):
        more = cell_lines(record, cell, options.tool)
        lines += more[0]
        rows += more[1]
    few = min((int(line[2]) for line in lines), default=0)
    notes = ["median (least-most); x: ratio of medians to %s; BUSY: share of the cores in use just "
             "before a move, the guest's own included" % BASE]
    if few < options.runs:
        notes.append("cells with fewer than %d runs are not finished" % options.runs)
    return {"machine": {"hosts": versions}, "moves": record.moves, "notes": notes,
            "tables": {"live moves": report.table(columns, lines)} if lines else {},
            "figures": rows}


def run(options):
    record = Record(options.keep)
    with labs.Lab() as lab, contextlib.ExitStack() as stack:
        controllers = [stack.enter_context(Controller(options.build)), None]
        prepare(controllers[0], lab)
        if any(moves.is_agents(tool) for tool in options.tool):
            controllers[1] = stack.enter_context(AgentController(options.build, lab))
            controllers[1].add_lab()
            prove_share(controllers[1], lab)
        bench = Bench(options, record, controllers, lab)
        for disk in options.disk:
            for memory in options.memory:
                bench.run_guest(memory, disk)
        return result_of(options, record, lab.versions())
