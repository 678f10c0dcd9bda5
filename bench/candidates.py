# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long it takes to check every host of a large fabric as a destination of one VM.

GET /vms/{id}/candidates over a simulated fabric, as a client sees it: with TLS, JSON and decoding.
Each run asks for another VM."""
import os
import tempfile
import time

import idle
from common import report
from common.controller import Controller
from common.machine import BenchError


def add_options(parser):
    parser.add_argument("--hosts", type=int, default=1000, help="simulated hosts (1000)")
    parser.add_argument("--vms-per-host", type=int, default=10, help="and VMs of each (10)")
    parser.add_argument("--threads", type=int, default=16, help="hosts added in parallel (16)")


def ask(controller, path, wanted):
    begun = time.monotonic()
    found = controller.items(path)
    took = (time.monotonic() - begun) * 1000
    if len(found) != wanted or not any(row["suitable"] for row in found):
        raise BenchError("%s: %d candidates, not %d, or none suitable" % (path, len(found), wanted))
    return took


def run(options):
    rows = idle.Rows()
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as folder:
        path = os.path.join(folder, "fabric.json")
        hosts = idle.write_fabric(options, path, link=1000)
        with Controller(options.build, path) as controller:
            controller.add_hosts(idle.uris(hosts), options.threads)
            controller.wait_until_ok(options.hosts)
            controller.call("GET", "/hosts?limit=1")  # the connection is open from here on
            for number in range(options.runs):
                vm = "vm%05d" % (number * 97 % (options.hosts * options.vms_per_host))
                rows.add("candidates of one VM", "ms",
                         ask(controller, "/vms/%s/candidates" % vm, options.hosts))
            for number in range(options.runs):
                vm = "vm%05d" % (number * 97 % (options.hosts * options.vms_per_host))
                rows.add("  as vm candidates asks (brief)", "ms",
                         ask(controller, "/vms/%s/candidates?brief=true" % vm, options.hosts))
            for query in ("", "?brief=true"):
                text = controller.request("GET", "/vms/vm00001/candidates" + query)[1]
                rows.add("bytes of the answer" + (", brief" if query else ""), "KiB",
                         len(text) / 1024)
            for _ in range(options.runs):
                begun = time.monotonic()
                controller.request("GET", "/hosts?limit=1")
                rows.add("for comparison: one host", "ms", (time.monotonic() - begun) * 1000)
    found = rows.rows()
    return {"rows": found, "ratios": [report.ratio("candidates to one host", found[0], found[-1]),
                                      report.ratio("candidates to brief", found[0], found[1])]}
