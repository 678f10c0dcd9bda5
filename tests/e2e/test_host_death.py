# SPDX-License-Identifier: LGPL-2.1-or-later
"""What hosts lose in the middle of a move: their libvirtd, or a QEMU (RECOVERY, failure catalogue).
The VM is never lost nor doubled, and the job says which host holds it."""
import contextlib
import os
import signal
import time

import pytest

from support import labs
from support.api import words

LATE = 40 << 20  # of some 45 MiB that such a guest sends


def begin(controller, guest, least_bytes=1):
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    job = controller.api.wait_copying(job["id"], least_bytes)
    assert job["state"] == "copying", words(job)
    return source, labs.other(source), job


def settled(controller, job, *states):
    job = controller.api.wait_final(job["id"], 60)
    print("%s (%s)" % (words(job), "; ".join(
        "%s: %s" % (step["state"], step["why"]) for step in job["steps"][3:])))
    assert job["state"] in states, words(job)
    return job


@contextlib.contextmanager
def started_again(*victims):
    """By a service manager: each (host, seconds from now)."""
    timers = [labs.start_later(name, seconds) for name, seconds in victims]
    try:
        yield
    finally:
        for timer in timers:
            timer.join()


def kill_libvirtd(controller, job, victim):
    """SIGKILL, and a service manager that starts it again 3 s later."""
    labs.libvirtd(victim, "kill")
    with started_again((victim, 3)):
        settled(controller, job, "done", "failed")


@pytest.mark.parametrize("least", [
    pytest.param(1, id="copying"), pytest.param(LATE, id="near the end", marks=pytest.mark.long)])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_libvirtd_killed(controller, guest, slow_line, side, least):
    source, target, job = begin(controller, guest, least)
    kill_libvirtd(controller, job, source if side == "source" else target)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_libvirtd_killed_at_the_switchover(controller, guest, slow_line, side):
    """Memory is over and the source is paused; between Perform and Finish either daemon dies."""
    source, target, job = begin(controller, guest)
    labs.libvirtd(target, "stop")  # so that the Finish waits
    labs.rate("none")
    labs.eventually("the source to be paused", lambda: "paused (migrating)" in labs.virsh(
        source, "domstate", "--reason", guest.name).stdout, 20)
    time.sleep(1.5)  # it is paused before Perform is over
    victim = source if side == "source" else target
    labs.libvirtd(victim, "kill")
    if side == "source":
        labs.libvirtd(target, "cont")
    begun = time.monotonic()
    with started_again((victim, 3)):
        settled(controller, job, "done", "failed")
    guest.wait_heard()
    print("settled %.1f s after the kill; the guest was silent for %.1f s" % (
        time.monotonic() - begun, guest.report()["max_gap_ms"] / 1000))


@pytest.mark.parametrize("side", ["source", "destination"])
def test_libvirtd_killed_driven_by_the_controller(controller, guest, slow_line, peers_apart, side):
    source, target, job = begin(controller, guest)
    kill_libvirtd(controller, job, source if side == "source" else target)


def test_destination_qemu_killed(controller, guest, slow_line):
    """Only a copy dies: the VM stays where it is."""
    source, target, job = begin(controller, guest)
    os.kill(guest.qemu(target), signal.SIGKILL)
    settled(controller, job, "failed")
    assert guest.where() == source


def test_source_qemu_killed(controller, guest, slow_line):
    """The VM itself dies. Its definition stays, and the job says that it does not run."""
    source, target, job = begin(controller, guest)
    guest.dies = True
    os.kill(guest.qemu(source), signal.SIGKILL)
    job = settled(controller, job, "failed")
    assert "does not run" in job["error"]["message"]
    assert guest.states() == {source: "shut off"}


@pytest.mark.long
def test_both_libvirtds_killed(controller, guest, slow_line):
    """A power glitch of the management, not of the guests."""
    source, target, job = begin(controller, guest)
    for name in (source, target):
        labs.libvirtd(name, "kill")
    with started_again((source, 2), (target, 5)):
        settled(controller, job, "done", "failed")
