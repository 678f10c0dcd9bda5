# SPDX-License-Identifier: LGPL-2.1-or-later
"""A day of a simulated data centre: what its drains take, and whether all that must hold did.

The whole controller (engine, store, planner, jobs) over the simulator, under a virtual clock: load by
the hour, VMs made, started, stopped and removed, moved and resized by hand, hosts without power or
cut off, slots changed, the controller killed, and teams that empty rack after rack, two hosts at a
time, and fill them again. A witness looks all along: every VM runs once and is nowhere powered off,
no slot, reserve or required rule is broken by a plan, every drain ends and says what stays. What was
broken is printed, and makes the bench fail. One day is its seed."""
import json
import os
import subprocess

from common import report
from common.machine import BenchError

ROWS = [("moves", "moves", ""), ("moves_of_plans", "  of plans", ""),
        ("jobs_failed", "jobs that failed", ""), ("jobs_cancelled", "  that were called off", ""),
        ("moves_at_once", "moves at once on one host, at most", ""),
        ("waited_s_median", "a move waits, half of them at most", "s"),
        ("waited_s_90", "  90 % at most", "s"),
        ("drains", "racks to be emptied", ""), ("drained", "  that were", ""),
        ("undrained", "  that were filled again", ""),
        ("makespan_s_sum", "time to empty them", "s"), ("bound_s_sum", "  no order can beat", "s"),
        ("ratio_median", "  to that of each, half of them at most", ""),
        ("ratio_90", "  90 % at most", ""),
        ("predicted", "moves that were predicted", ""),
        ("prediction_error_median", "  by so much of their time, half of them at most", ""),
        ("prediction_error_90", "  90 % at most", ""),
        ("inside_interval", "  share within the interval", ""),
        ("plans", "plans that teams asked for", ""),
        ("plan_cpu_ms_sum", "  all of them", "ms of CPU"),
        ("plan_cpu_ms_most", "  the longest", "ms of CPU"),
        ("checks", "times that a VM was looked for on all hosts", ""),
        ("events", "events in the feed", ""), ("most_mib", "memory, with the simulated world", "MiB"),
        ("cpu_s", "CPU time, with the simulated world", "s")]


def add_options(parser):
    parser.add_argument("--hosts", type=int, default=1000, help="4 to 1000 (1000)")
    parser.add_argument("--vms", type=int, default=10000, help="up to 10000 (10000)")
    parser.add_argument("--minutes", type=int, default=1440, help="of the day (1440)")
    parser.add_argument("--step", type=int, default=30, help="seconds between two looks (30)")
    parser.add_argument("--pause", type=int, default=60,
                        help="minutes of a team between two racks (60); it has 250 hosts")
    parser.add_argument("--seed", type=int, default=1, help="of everything (1)")
    parser.add_argument("--verbose", action="store_true", help="say what happens")


def run(options):
    program = os.path.join(options.build, "bench", "bench-day")
    words = ["--%s=%d" % (name, getattr(options, name))
             for name in ("hosts", "vms", "minutes", "step", "pause", "seed")]
    words += ["--verbose"] if options.verbose else []
    try:
        done = subprocess.run([program] + words, check=False, stdout=subprocess.PIPE,
                              stderr=None if options.verbose else subprocess.PIPE, text=True)
    except OSError as error:
        raise BenchError("%s: %s" % (program, error)) from error
    if done.returncode != 0:
        raise BenchError("%s: %s" % (program, done.stderr or "see above"))
    found = json.loads(done.stdout)
    rows = [report.row(what, unit, [found[key]]) for key, what, unit in ROWS]
    rows += [report.row("failed: " + code.replace("_", " "), "", [count])
             for code, count in sorted(found["failed"].items())]
    rows += [report.row("happened: " + what.replace("_", " "), "", [count])
             for what, count in sorted(found["happened"].items())]
    return {"rows": rows, "ratios": []}
