# SPDX-License-Identifier: LGPL-2.1-or-later
"""From asking for a move to libvirt's beginning it.

Begins just before the client writes POST /vms/{id}/migrate on a connection that is open. Between lie
the request, preflight on fresh facts from both hosts, the journal (twice, on disk), the queue, and a
connection of its own to the source. Ends are taken from the source libvirtd's log, whose debug lines
of migration are switched on for this (millisecond time stamps of this machine's clock):
  accepted     the client has the 202
  begun        libvirtd was called: the first line of qemuMigrationSrcPerform
  QEMU told    the first line of qemuMigrationSrcRun: the destination's QEMU waits, ours is told"""
import datetime
import os
import re
import time

import idle
import move
from common import lab as labs
from common import moves
from common.controller import Controller
from common.machine import BenchError, read

GUEST = "bench"
STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})\+0000: .* (\w+):\d+ : ", re.M)
BEGUN, TOLD = "qemuMigrationSrcPerform", "qemuMigrationSrcRun"


def add_options(parser):
    parser.add_argument("--memory", type=int, default=256, metavar="MiB")
    parser.set_defaults(move_busy=0.7, move_patience=60)


def log_path(host):
    """libvirtd's log lies in the host's folder, beside its run folder."""
    return os.path.join(os.path.dirname(os.path.dirname(host["socket"])), "log", "libvirtd.log")


def log_migrations(lab, host):
    """Lets libvirtd write down what it does about migrations."""
    log = "1:file:/var/log/libvirt/libvirtd.log"
    for words in (["daemon-log-filters", "1:qemu.qemu_migration"], ["daemon-log-outputs", log]):
        lab.lab("exec", host["name"], "virt-admin", "-c", "libvirtd:///system", *words)


def first_after(text, function, at):
    for stamp, name in STAMP.findall(text):
        when = datetime.datetime.strptime(stamp + "+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
        if name == function and when >= at - 0.001:
            return (when - at) * 1000
    raise BenchError("libvirtd's log has no %s after the request" % function)


def one(rows, controller, lab, options):
    source, target = moves.where_is(lab, GUEST)
    moves.wait_until_seen(controller, lab, GUEST, source)
    moves.quiet_before(options)
    size = os.path.getsize(log_path(source))
    controller.call("GET", "/hosts?limit=1")
    at = time.time()
    job = controller.call("POST", "/vms/%s/migrate" % GUEST,
                          {"destination": target["name"], "options": {"method": "standard"}})
    rows.add("accepted", "ms", (time.time() - at) * 1000)
    ended = controller.wait_for_job(job["id"])
    if ended["state"] != "done":
        raise BenchError("the move is %s: %s" % (ended["state"], ended.get("error")))
    text = read(log_path(source))[max(size - 4096, 0):]
    rows.add("begun", "ms", first_after(text, BEGUN, at))
    rows.add("QEMU told", "ms", first_after(text, TOLD, at))
    time.sleep(1)
    problems = lab.witness(GUEST)["problems"]
    if problems:
        raise BenchError("the witness saw: " + "; ".join(problems))


def run(options):
    rows = idle.Rows()
    with labs.Lab() as lab, Controller(options.build) as controller:
        move.prepare(controller, lab)
        for host in lab.hosts:
            log_migrations(lab, host)
        lab.start_guest(GUEST, options.memory)
        try:
            for _ in range(options.runs):
                one(rows, controller, lab, options)
        finally:
            lab.stop_guest(GUEST)
        return {"machine": {"hosts": lab.versions()}, "rows": rows.rows()}
