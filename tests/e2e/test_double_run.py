# SPDX-License-Identifier: LGPL-2.1-or-later
"""The double run (I1, RECOVERY fact 1): libvirt alone runs a VM twice when the destination's Finish
reply is lost for half a minute and no lock holds between the hosts. First it is shown that the
fault does that here and that the witness sees it; then that a move of ours survives the same fault.
"""
import subprocess
import time

import pytest

from support import labs
from support.api import words
from support.controller import Controller

LOST_FOR = 60  # libvirt's own keepalive gives the destination up after 30 s


def test_locks_prevent_it(controller, guests):
    """The same fault where the disk's lock holds between the hosts, and is trusted: whichever side
    gets the lock is the one that runs."""
    guest = guests.get()
    source = guest.where()
    labs.rate("100mbit")
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    assert not controller.api.wait_state(job["id"], "copying")["commit_by_resume"]
    took = lose_the_finish(guest, source, labs.other(source))
    job = controller.api.wait_final(job["id"], 60)
    print("the source gave up after %.0f s; %s; %s" % (
        took, words(job), "; ".join(step["why"] for step in job["steps"][3:])))
    time.sleep(2)
    assert not guest.report()["doubled"] and not job["doubled"]


@pytest.fixture(name="unlocked", scope="module")
def hosts_without_locks(lab, all_guests, tmp_path_factory):
    """Hosts between which no image lock holds, as between most real ones, and a controller that
    found that out by itself."""
    all_guests.remove_all()
    labs.mend()
    labs.locks(False)
    controller = Controller(tmp_path_factory.mktemp("unlocked"))
    try:
        controller.start()
        controller.manage_lab()
        share = controller.share()
        assert share["proved"] and not share["locks_proved"], share
        yield controller
    finally:
        controller.stop()
        all_guests.remove_all()
        labs.mend()
        labs.locks(True)


@pytest.fixture(name="guest")
def a_guest_without_locks(unlocked, all_guests):
    labs.mend()
    all_guests.begin()
    yield all_guests.get()
    labs.mend()
    all_guests.check(unlocked)


def lose_the_finish(guest, source, target):
    """Freezes the destination's libvirtd while memory is still copied, and thaws it when the source
    runs again; returns how long that took."""
    labs.eventually("memory to be copied", lambda: "Memory processed" in labs.virsh(
        source, "domjobinfo", guest.name, check=False).stdout, 20, 0.05)
    labs.libvirtd(target, "stop")
    begun = time.monotonic()
    labs.rate("none")
    labs.eventually("the source to give up", lambda: "running (migration canceled)" in labs.virsh(
        source, "domstate", "--reason", guest.name).stdout, LOST_FOR, 0.3)
    took = time.monotonic() - begun
    labs.libvirtd(target, "cont")
    return took


@pytest.mark.long
def test_plain_libvirt_doubles_it(guest):
    """The positive control: without this the next test would prove nothing."""
    source = guest.where()
    target = labs.other(source)
    labs.rate("100mbit")
    move = subprocess.Popen(
        labs.host(source).enter() + [
            "virsh", "migrate", "--live", "--p2p", "--persistent", "--undefinesource", guest.name,
            "qemu+tls://%s/system" % target],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took = lose_the_finish(guest, source, target)
    labs.eventually("the witness to see two senders", lambda: guest.report()["doubled"], 30)
    found = labs.witness.report(guest.name)
    print("the source gave up after %.0f s; %s" % (took, "; ".join(found["problems"])))
    assert len(found["doubles"]) == 1, "two QEMUs of one UUID run"
    print("virsh said:", move.communicate(timeout=60)[0].strip())
    labs.virsh(target, "destroy", guest.name)
    labs.eventually("the copy to end", lambda: len(labs.qemus(guest.uuid)) == 1)
    labs.virsh(target, "undefine", guest.name, check=False)
    guest.remove()  # two wrote its disk
    guest.start()
    guest.reset()


def test_commit_by_resume_does_not(unlocked, guest):
    """The same fault and the same guest: the destination's copy waits for our resume, which only
    comes after the source is seen stopped."""
    source = guest.where()
    target = labs.other(source)
    labs.rate("100mbit")
    job = unlocked.api.migrate(guest.name, target, method="standard")
    assert unlocked.api.wait_state(job["id"], "copying")["commit_by_resume"]
    took = lose_the_finish(guest, source, target)
    job = unlocked.api.wait_final(job["id"], 60)
    print("the source gave up after %.0f s; %s" % (took, words(job)))
    time.sleep(3)
    report = guest.report()
    assert not report["doubled"] and report["disk_errors"] == 0 and report["went_back"] == 0
    assert job["state"] == "failed" and not job["doubled"] and guest.where() == source
    assert guest.states() == {source: "running"}


def test_commit_by_resume_moves(unlocked, guest):
    """And without a fault it is a move like any other."""
    source = guest.where()
    job = unlocked.api.migrate(guest.name, labs.other(source))
    job = unlocked.api.wait_final(job["id"])
    guest.wait_heard()
    print("downtime %d ms by us, %.0f ms seen by the witness" % (
        job["result"]["downtime_ms"], guest.report()["max_gap_ms"]))
    assert job["state"] == "done" and job["commit_by_resume"], words(job)
    assert guest.where() == labs.other(source)
