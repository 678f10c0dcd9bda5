# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the planner takes for large fabrics, and how well its drains do.

The planner by itself, without a controller: one VM rated against all hosts, preflight of every VM
against every host, a drain of many hosts; the memory of that. Then the drain's moves in the plan's
order against those that people use without one, by one model of links and guests (bench/makespan.c):
two at a time by name, all at once, one by one; and what no order can beat."""
import json
import os
import subprocess

from common import report
from common.machine import BenchError

ROWS = [("rated_ms", "one VM rated against all hosts", "ms of CPU"),
        ("told_ms", "  and the first of them in words", "ms of CPU"),
        ("anew_ms", "  and nothing known of the hosts before", "ms of CPU"),
        ("explained_ms", "  and every rating explained", "ms of CPU"),
        ("matrix_ms", "every VM against every host", "ms of CPU"),
        ("matrix_verdicts", "  verdicts that were made for it", ""),
        ("drain_ms", "a plan that drains the hosts", "ms of CPU"),
        ("drain_moves", "  its moves", ""), ("drain_stays", "  VMs that stay", ""),
        ("fabric_mib", "memory: the fabric alone", "MiB"),
        ("matrix_mib", "  at most, with all of the matrix", "MiB"),
        ("drain_mib", "  at most, with the plans", "MiB"),
        ("planned_s", "makespan: as planned", "s"), ("two_s", "  two at a time, by name", "s"),
        ("all_s", "  all at once", "s"), ("one_s", "  one by one", "s"),
        ("bound_s", "  no order can beat", "s")]


def add_options(parser):
    parser.add_argument("--hosts", type=int, default=1000, help="of the fabric (1000)")
    parser.add_argument("--vms", type=int, default=10000, help="of the fabric (10000)")
    parser.add_argument("--drained", type=int, default=100, help="hosts that are emptied (100)")
    parser.add_argument("--rules", type=int, default=200, help="placement rules (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the fabric (1)")


def run(options):
    program = os.path.join(options.build, "bench", "bench-plan")
    words = ["--%s=%d" % (name, getattr(options, name))
             for name in ("hosts", "vms", "drained", "rules", "runs", "seed")]
    try:
        done = subprocess.run([program] + words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError("%s: %s" % (program, getattr(error, "stderr", "") or error)) from error
    found = json.loads(done.stdout)
    rows = {key: report.row(what, unit, found[key]) for key, what, unit in ROWS}
    ratios = [report.ratio("%s to as planned" % rows[key]["what"].strip(), rows[key],
                           rows["planned_s"]) for key in ("two_s", "all_s", "one_s", "bound_s")]
    return {"rows": list(rows.values()), "ratios": ratios}
