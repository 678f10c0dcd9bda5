# SPDX-License-Identifier: LGPL-2.1-or-later
"""Four moves at once through the agents over one link: does each get its share?

Guests of equal size leave one host for the other at the same time; the next run goes back. Bytes are
what QEMU says it sent (the job's processed_bytes, read every 50 ms; between two values that differ,
a straight line), from when all four copy to when the first of them no longer does.
  equal      every move the same
  channels   the moves use different numbers of connections (1, 2, 4, 8): a share is a VM's, not a
             connection's
Jain's index of the four: (sum)^2 / (4 x sum of squares); 1 is equal, 0.25 is all to one."""
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import move
from common import lab as labs
from common import moves, report
from common.agents import AgentController
from common.controller import Controller
from common.machine import BenchError

STANDARD = {"method": "standard"}
CASES = {
    "equal": [STANDARD] * 4,
    "channels": [STANDARD] + [{"method": "multichannel", "channels": n} for n in (2, 4, 8)],
}
MIB = 1024 ** 2
FINAL = ("done", "failed", "cancelled", "held")


def add_options(parser):
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--memory", type=int, default=768, metavar="MiB", help="of a guest (768)")
    parser.add_argument("--link", default="1gbit", metavar="RATE", help="the one link (1gbit)")
    parser.add_argument("--wanted", type=float, default=0.95, help="the least index (0.95)")
    parser.add_argument("--direct", action="store_true", help="without agents, for comparison: "
                        "what TCP makes of it")
    parser.set_defaults(move_busy=0.8, move_patience=30)


def jain(shares):
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0


def at(points, when):
    """The bytes at a time, from the times at which the figure changed."""
    for (t0, b0), (t1, b1) in zip(points, points[1:]):
        if t0 <= when <= t1:
            return b0 + (b1 - b0) * (when - t0) / (t1 - t0)
    raise BenchError("no figure of that time")


def shares_of(series):
    """Each move's bytes while all copied, and for how long."""
    begin = max(points[0][0] for points in series)
    end = min(points[-1][0] for points in series)
    if end - begin < 1:
        raise BenchError("the moves copied together for less than a second: larger guests, or a "
                         "slower link")
    return [at(points, end) - at(points, begin) for points in series], end - begin


class Moves:
    """Four moves from asking for them to their end."""

    def __init__(self, controller, names, target, options, through_agents):
        self.controller, self.through_agents = controller, through_agents
        with ThreadPoolExecutor(len(names)) as pool:
            jobs = list(pool.map(lambda pair: controller.call(
                "POST", "/vms/%s/migrate" % pair[0],
                {"destination": target["name"], "options": pair[1]}), zip(names, options)))
        self.ids = [job["id"] for job in jobs]
        self.series = [[] for _ in jobs]

    def look(self, number):
        job = self.controller.call("GET", "/jobs/" + self.ids[number])
        done = (job.get("progress") or {}).get("processed_bytes", 0)
        points = self.series[number]
        if job["state"] == "copying" and done > (points[-1][1] if points else 0):
            points.append((time.monotonic(), done))
        return job

    def watch(self, patience=300):
        deadline = time.monotonic() + patience
        while True:
            jobs = [self.look(number) for number in range(len(self.ids))]
            if all(job["state"] in FINAL for job in jobs):
                break
            if time.monotonic() > deadline:
                raise BenchError("the moves do not end: %s" % [job["state"] for job in jobs])
            time.sleep(0.05)
        for job in jobs:
            through = bool(job.get("through_agents"))
            if job["state"] != "done" or through != self.through_agents:
                raise BenchError("%s: %s, %sthrough the agents: %s" % (
                    job["title"], job["state"], "" if through else "not ", job.get("error")))
        if any(len(points) < 3 for points in self.series):
            raise BenchError("too few figures: %s" % [len(points) for points in self.series])


class Bench:
    def __init__(self, options, controller, lab):
        self.options, self.controller, self.lab = options, controller, lab
        self.names = ["fair%d" % number for number in range(1, 5)]
        self.found = {case: [] for case in options.case}

    def prepare(self):
        for host in self.controller.items("/hosts"):
            self.controller.change("/hosts/" + host["id"], {"live_limit": len(self.names)})
        # Quiet guests: four of them share the machine's cores with what is measured.
        for name in self.names:
            self.lab.start_guest(name, self.options.memory, "shared", "--fill", "75", "--interval",
                                 "20000", "--verify", "8")

    def one(self, case):
        source, target = moves.where_is(self.lab, self.names[0])
        for name in self.names:
            moves.wait_until_seen(self.controller, self.lab, name, source)
        busy = moves.quiet_before(self.options)
        asked = Moves(self.controller, self.names, target, CASES[case],
                      not self.options.direct)
        asked.watch()
        shares, seconds = shares_of(asked.series)
        row = {"case": case, "jain": jain(shares), "shares_mib": [each / MIB for each in shares],
               "seconds": seconds, "mib_per_s": sum(shares) / MIB / seconds, "busy": busy}
        self.found[case].append(row)
        print("%s: %.3f: %s MiB in %.1f s" % (case, row["jain"], ", ".join(
            "%.0f" % each for each in row["shares_mib"]), seconds), file=sys.stderr, flush=True)

    def run(self):
        self.prepare()
        self.lab.rate(self.options.link)
        for _ in range(self.options.runs):
            for case in self.options.case:
                self.one(case)
        for name in self.names:
            self.lab.wait_for_pass(name, 1)
            problems = self.lab.witness(name)["problems"]
            if problems:
                raise BenchError("the witness saw: " + "; ".join(problems))


def result_of(options, found, versions):
    lines, faults = [], []
    for case, runs in found.items():
        index = report.summary([row["jain"] for row in runs])
        shares = [report.summary(each)["median"] for each in zip(*(row["shares_mib"]
                                                                  for row in runs))]
        lines.append([case, "%d" % index["n"], "%.3f" % index["median"], "%.3f" % index["min"],
                      " ".join("%.0f" % each for each in shares),
                      report.summary([row["seconds"] for row in runs])["median"],
                      report.summary([row["mib_per_s"] for row in runs])["median"]])
        if index["median"] < options.wanted and not options.direct:
            faults.append("%s: the median index is below %g" % (case, options.wanted))
    table = report.table(["CASE", "RUNS", "INDEX", "LEAST", "MiB OF EACH", "SECONDS",
                          "MiB/s TOGETHER"], lines)
    return {"machine": {"hosts": versions}, "runs_of": found, "faults": faults, "notes": faults,
            "tables": {"four moves over one link of %s%s" % (
                options.link, ", without agents" if options.direct else ""): table}}


def run(options):
    kind = (lambda lab: Controller(options.build)) if options.direct else \
        (lambda lab: AgentController(options.build, lab))
    with labs.Lab() as lab, kind(lab) as controller:
        if options.direct:
            move.prepare(controller, lab)
        else:
            controller.add_lab()
            move.prove_share(controller, lab)
        bench = Bench(options, controller, lab)
        bench.run()
        return result_of(options, bench.found, lab.versions())
