# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Godwit says that a move will take, and what it took.

Guests of different memory, dirtying and storage are moved between two hosts of a lab, over links of
different rates. A link of another rate is another fabric: for each the controller begins with
nothing learned, and the first moves over it are counted like all others. Before each move its plan
is asked for, as a person would; what the job kept as its prediction is held against its result.
  error     how far the likeliest time is from the real one, as a factor (1.2: 20 % off either way)
  coverage  moves whose figure is within the interval of 10 to 90 %; 80 % of them are to be
  width     the interval's end by its beginning; no more than 2 is wanted
Bytes are compared of moves without disks: of a mirror libvirt counts the holes as well. The witness
judges every move, as in `move`."""
import json
import math
import os
import random
import statistics
import sys
import time

from common import lab as labs
from common import moves, report
from common.controller import Controller
from common.machine import BenchError
from move import prepare

GUEST = "bench"
FIGURES = [("total_ms", "time"), ("downtime_ms", "downtime"), ("bytes", "bytes")]
SETTLED = 3  # moves over a link after which it is known


def add_options(parser):
    parser.add_argument("--moves", type=int, default=60, metavar="N", help="in all (60)")
    parser.add_argument("--memory", type=int, nargs="+", default=[96, 128, 256, 384, 512],
                        metavar="MiB")
    parser.add_argument("--dirty", type=int, nargs="+", default=[0, 0, 5, 20, 40, 80],
                        metavar="MiB/s")
    parser.add_argument("--disk", nargs="+", default=["shared", "none", "shared", "local"],
                        choices=["shared", "none", "local"], help="local: copied with the VM")
    parser.add_argument("--link", nargs="+", default=["1gbit", "200mbit", "none"], metavar="RATE",
                        help="of the hosts' links, as in lab/lab rate")
    parser.add_argument("--each", type=int, default=2, metavar="N",
                        help="moves of each guest, there and back (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of guests (1)")
    parser.add_argument("--keep", metavar="FILE",
                        help="write the moves to FILE, as tests/predict/replay.json has them")


def actual(job):
    """What came of it, as the prediction counts it: without the queue, disks included."""
    result = job["result"]
    return {"total_ms": result["total_ms"] - result["queued_ms"],
            "downtime_ms": result["downtime_ms"],
            "bytes": result["transferred_bytes"] + result.get("disk_sent_bytes", 0)}


def bare_disk(disk):
    """What a prediction knows of a disk; where it lies says nothing."""
    return {"target": disk["target"], "how": disk["how"], "copy_bytes": disk.get("copy_bytes", 0),
            "images": [{"delta": bool(image.get("delta"))} for image in disk.get("images", [])]}


class Bench:
    def __init__(self, options, lab):
        self.options, self.lab = options, lab
        self.random = random.Random(options.seed)
        self.controller = None
        self.rows = []

    def seen(self):
        source, target = moves.where_is(self.lab, GUEST)
        moves.wait_until_seen(self.controller, self.lab, GUEST, source)
        return target

    def one_move(self, about):
        target = self.seen()
        body = {"destination": target["name"]}
        plan = self.controller.call("POST", "/vms/%s/migrate?dry_run=true" % GUEST, body)
        if not plan["candidate"]["suitable"]:
            raise BenchError("the move is refused: %s" % plan["candidate"]["findings"])
        vm = self.controller.items("/vms?name=" + GUEST)[0]
        at = time.time()
        self.lab.witness(GUEST, reset=True)
        job = self.controller.wait_for_job(
            self.controller.call("POST", "/vms/%s/migrate" % GUEST, body)["id"])
        if job["state"] != "done":
            raise BenchError("%s: %s" % (job["state"], job.get("error")))
        time.sleep(1)  # what the guest has to say after it
        problems = self.lab.witness(GUEST, since=at)["problems"]
        if problems:
            raise BenchError("the witness saw: %s" % "; ".join(problems))
        self.note(about, vm, job)

    def note(self, about, vm, job):
        kept = {key: job[key] for key in (
            "id", "kind", "title", "state", "transfer", "source_host_id", "destination_host_id",
            "options", "result", "prediction", "commit_by_resume", "started_at", "finished_at")
                if key in job}
        kept["disks"] = [bare_disk(disk) for disk in job.get("disks", [])]
        row = dict(about, vm={key: vm.get(key) for key in (
            "uuid", "name", "memory_kib", "max_memory_kib", "usage")}, job=kept)
        row["nth"] = sum(other["link"] == about["link"] for other in self.rows)
        self.rows.append(row)
        if self.options.keep:
            with open(self.options.keep, "w", encoding="utf-8") as out:
                out.write("[\n%s\n]\n" % ",\n".join(json.dumps(row) for row in self.rows))
        said, came = job["prediction"]["total_ms"], actual(job)
        print("%s: said %.1f s (%.1f-%.1f), took %.1f s; downtime said %s, was %d ms; %.0f of %.0f "
              "MiB" % (about["name"], said["likely"] / 1000, said["low"] / 1000,
                       said["high"] / 1000, came["total_ms"] / 1000,
                       job["prediction"]["downtime_ms"]["likely"], came["downtime_ms"],
                       came["bytes"] / 1048576,
                       job["prediction"]["bytes"]["likely"] / 1048576),
              file=sys.stderr, flush=True)

    def one_guest(self, link, wanted):
        memory, dirty, disk = (self.random.choice(choice) for choice in (
            self.options.memory, self.options.dirty, self.options.disk))
        about = {"link": link, "memory_mib": memory, "dirty_mibps": dirty, "disk": disk,
                 "name": "%s, %d MiB, dirtying %d MiB/s, disk %s" % (link, memory, dirty, disk)}
        self.lab.start_guest(GUEST, memory, disk, "--dirty", str(dirty))
        try:
            self.lab.wait_for_pass(GUEST, passes=1)
            for _ in range(min(self.options.each, wanted)):
                self.one_move(about)
        finally:
            self.lab.stop_guest(GUEST)

    def run_link(self, link, wanted):
        self.lab.rate(link)
        with Controller(self.options.build) as self.controller:
            prepare(self.controller, self.lab)
            before = len(self.rows)
            while len(self.rows) - before < wanted:
                self.one_guest(link, wanted - (len(self.rows) - before))


def within(row, key):
    said = row["job"]["prediction"].get(key)
    came = actual(row["job"])[key]
    return said is not None and said["low"] <= came <= said["high"]


def line_of(name, rows, key):
    rows = [row for row in rows if row["job"]["prediction"].get(key) is not None and
            actual(row["job"])[key] > 0 and (key != "bytes" or row["disk"] != "local")]
    if not rows:
        return [name, "0"] + ["-"] * 5
    off, width = [], []
    for row in rows:
        said = row["job"]["prediction"][key]
        off.append(math.exp(abs(math.log(actual(row["job"])[key] / max(said["likely"], 1)))))
        width.append(said["high"] / max(said["low"], 1))
    off.sort()
    covered = sum(within(row, key) for row in rows) / len(rows)
    return [name, "%d" % len(rows), statistics.median(off),
            off[min(int(0.9 * len(off)), len(off) - 1)], "%.0f %%" % (100 * covered),
            statistics.median(width), sum(value <= 2 for value in width) / len(width) * 100]


def tables_of(rows):
    columns = ["MOVES", "N", "ERROR x", "P90 x", "COVERED", "WIDTH x", "OF THEM <= 2, %"]
    tables = {}
    for key, word in FIGURES:
        lines = [line_of("all", rows, key),
                 line_of("after the first %d of a link" % SETTLED,
                         [row for row in rows if row["nth"] >= SETTLED], key)]
        for what in ("link", "disk"):
            for value in dict.fromkeys(row[what] for row in rows):
                lines.append(line_of("%s %s" % (what, value),
                                     [row for row in rows if row[what] == value], key))
        tables["%s, predicted and real" % word] = report.table(columns, lines)
    return tables


def run(options):
    if options.keep and os.path.exists(options.keep):
        raise BenchError("%s is there already" % options.keep)
    with labs.Lab() as lab:
        bench = Bench(options, lab)
        for number, link in enumerate(options.link):
            share = (options.moves * (number + 1) // len(options.link) -
                     options.moves * number // len(options.link))
            if share > 0:
                bench.run_link(link, share)
        return {"machine": {"hosts": lab.versions()}, "moves": bench.rows,
                "tables": tables_of(bench.rows),
                "notes": ["each link is a fabric of its own, of which nothing is known at first"]}
