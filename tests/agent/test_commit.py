# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commit by resume by the agents, with and without a controller (I1, I3; RECOVERY)."""
import os
import signal
import time

import pytest

from support import labs
from support.api import words


@pytest.fixture(name="unlocked")
def a_guest_that_no_lock_protects(guests):
    return guests.get(disk="none")


def test_the_agents_commit(controller, unlocked):
    """It is not held up by libvirt's own wait for the source's end."""
    for _ in range(2):
        job = controller.api.migrate(unlocked.name, labs.other(unlocked.where()),
                                     method="standard")
        job = controller.api.wait_final(job["id"])
        assert job["state"] == "done" and job["commit_by_resume"], words(job)
        print("downtime %d ms" % job["result"]["downtime_ms"], unlocked.report()["max_gap_ms"])


def test_locks_make_it_needless(controller, guest):
    job = controller.api.migrate(guest.name, labs.other(guest.where()))
    job = controller.api.wait_final(job["id"])
    assert job["state"] == "done" and not job["commit_by_resume"], words(job)


@pytest.mark.parametrize("kind", ["locks", "no-locks"])
def test_the_controller_dies_and_the_move_completes(controller, guests, kind):
    """kill -9 in the middle; the VM runs at the destination before any controller is back, which
    then finds the move done, with its figures."""
    guest = guests.get(disk="none") if kind == "no-locks" else guests.get()
    labs.rate("100mbit")
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    controller.api.wait_copying(job["id"], 1 << 20)
    controller.kill()
    target = labs.other(source)
    labs.eventually("the VM to run at the destination without a controller",
                    lambda: guest.states().get(target) == "running", 30)
    labs.eventually("the source's QEMU to be gone", lambda: guest.qemu(source) is None, 10)
    assert not guest.report()["doubled"]
    time.sleep(1)
    controller.start()
    job = controller.api.wait_final(job["id"])
    assert job["state"] == "done", words(job)
    assert job["result"]["transferred_bytes"] > 1 << 20 and job["result"]["copy_ms"] > 0, job
    assert guest.report()["boots"] == 1


def test_post_copy_is_refused_where_nothing_is_proved(controller, unlocked):
    plan = controller.api.post("/vms/%s/migrate" % unlocked.name, {
        "destination": labs.other(unlocked.where()), "options": {"post_copy": True}},
        dry_run="true")
    assert plan["commit_by_resume"]
    found = plan["candidate"]["findings"]
    assert any(row["rule"] == "option-conflict" and row["severity"] == "error" for row in found)


def test_a_source_left_paused_is_resumed_without_a_controller(controller, unlocked):
    """The destination's QEMU dies in the stopped phase, or the libvirtd at the end of Perform:
    whatever is left, the agents bring the VM back within 5 s of attestation (RECOVERY, Goals)."""
    source = unlocked.where()
    target = labs.other(source)
    labs.rate("100mbit")
    job = controller.api.migrate(unlocked.name, target, method="standard", max_downtime_ms=3000)
    controller.api.wait_copying(job["id"], 1 << 20)
    controller.kill()
    labs.libvirtd(source, "stop")   # nobody on the source ends the migration
    labs.libvirtd(target, "kill")
    time.sleep(1)
    qemu = unlocked.qemu(target)
    if qemu is not None:
        os.kill(qemu, signal.SIGKILL)
    labs.libvirtd(target, "start")
    labs.rate("none")
    labs.libvirtd(source, "cont")
    begun = time.monotonic()
    labs.eventually("the source to run again", lambda: unlocked.states().get(source) == "running",
                    20)
    print("runs again after %.1f s" % (time.monotonic() - begun))
    unlocked.wait_heard()
    controller.start()
    job = controller.api.wait_final(job["id"])
    assert job["state"] == "failed" and unlocked.where() == source, words(job)
