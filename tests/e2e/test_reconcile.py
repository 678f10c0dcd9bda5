# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each row of the reconcile table (RECOVERY.md) on real hosts: a move is under way, the controller
is killed, the two hosts are brought into the row's state, and the next controller settles it."""
import json
import os
import shutil
import signal
import time

import pytest

from support import labs
from support.api import words


class Scene:
    """A move whose controller died, called off by its source's libvirt: running x absent."""

    def __init__(self, controller, guest):
        self.controller = controller
        self.guest = guest
        self.source = guest.where()
        self.target = labs.other(self.source)
        self.job_id = None

    def begin(self):
        job = self.controller.api.migrate(self.guest.name, self.target, method="standard")
        job = self.controller.api.wait_copying(job["id"])
        assert job["state"] == "copying", words(job)
        self.job_id = job["id"]
        self.controller.kill()
        return self

    def call_off(self):
        labs.virsh(self.source, "domjobabort", self.guest.name)
        labs.eventually("the copy to be gone", lambda: self.guest.states() == {
            self.source: "running"} and len(labs.qemus(self.guest.uuid)) == 1, 20)
        labs.rate("none")
        return self

    def let_it_finish(self):
        """The hosts carry a peer-to-peer move through without anybody."""
        labs.rate("none")
        labs.eventually("the source to stop", lambda: self.guest.states().get(
            self.source) == "shut off", 30)
        return self

    def xml(self):
        path = "%s/%s-copy.xml" % (labs.settings.GUESTS, self.guest.name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(labs.virsh(self.source, "dumpxml", "--inactive", self.guest.name).stdout)
        return path

    def split(self, source_runs, target_runs):
        """One machine state on both hosts, as a failed switchover can leave it."""
        first = "%s/%s.save" % (labs.settings.GUESTS, self.guest.name)
        second = first + "2"
        labs.virsh(self.source, "save", self.guest.name, first)
        shutil.copy(first, second)
        for host, path, runs in ((self.source, first, source_runs),
                                 (self.target, second, target_runs)):
            labs.virsh(host, "restore", path, "--running" if runs else "--paused")
            os.unlink(path)
        return self

    def settle(self, *states, seconds=40):
        """The next controller's job, once it is in one of these."""
        self.controller.start(wait_hosts=False)
        job = self.controller.api.wait_state(self.job_id, *states, seconds=seconds)
        print("%s (%s)" % (words(job), "; ".join(
            "%s: %s" % (step["state"], step["why"]) for step in job["steps"][3:])))
        return job


@pytest.fixture(name="scene")
def a_move_whose_controller_died(controller, guests):
    """Without a disk, so that hands can make a second copy, and by resume, since nothing locks."""
    guest = guests.get(disk="none")
    labs.rate("100mbit")
    yield Scene(controller, guest).begin()
    labs.rate("none")


@pytest.fixture(name="locked_scene")
def the_same_with_a_locked_disk(controller, guest, slow_line):
    yield Scene(controller, guest).begin()


def whys(job):
    return " ".join(step["why"] for step in job["steps"])


def test_running_and_absent(locked_scene):
    job = locked_scene.call_off().settle("failed")
    assert "the source runs and the destination has nothing" in whys(job)


def test_running_and_paused_with_a_job(locked_scene):
    """The move is still under way: attach and watch."""
    job = locked_scene.settle("done", seconds=60)
    assert "the source's libvirt is still moving it" in whys(job)


def test_paused_migrating_and_absent(controller, guest, slow_line, peers_apart):
    """The client stops between Perform and Finish, then dies: libvirt leaves the source paused for
    ever (I3). Real, not made by hand."""
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    controller.api.wait_until(job["id"], lambda row: row.get("peer_to_peer") is False and
                              row["state"] == "copying", 20, 0.01)
    controller.api.wait_copying(job["id"])
    os.kill(controller.child.pid, signal.SIGSTOP)
    labs.rate("none")
    labs.eventually("the source to be paused", lambda: "paused (migrating)" in labs.virsh(
        source, "domstate", "--reason", guest.name).stdout, 30)
    time.sleep(1.5)  # it is paused before Perform is over, when libvirt would still call it off
    controller.kill()
    labs.eventually("the copy to be destroyed", lambda: len(labs.qemus(guest.uuid)) == 1, 20)
    left = labs.virsh(source, "domstate", "--reason", guest.name).stdout.strip()
    begun = time.monotonic()
    controller.start(wait_hosts=False)
    job = controller.api.wait_final(job["id"])
    took = time.monotonic() - begun
    print("left %s; runs again %.1f s after the controller's start; %s" % (left, took, words(job)))
    assert left == "paused (migrating)"
    assert job["state"] == "failed" and guest.where() == source
    assert "the paused source is the only one" in whys(job)
    assert took < 15


def test_off_and_running(locked_scene):
    """It finished while nobody looked: only the source's definition is left to be removed."""
    locked_scene.let_it_finish()
    labs.eventually("it runs there", lambda: locked_scene.guest.states() == {
        locked_scene.source: "shut off", locked_scene.target: "running"})
    job = locked_scene.settle("done")
    assert "the source's definition would be a twin" in whys(job)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_unreachable_then_back(locked_scene, side):
    """No answer is never absence: nothing is started nor removed until both hosts answer."""
    scene = locked_scene
    victim = scene.source if side == "source" else scene.target
    scene.call_off()
    labs.libvirtd(victim, "kill")
    scene.controller.start(wait_hosts=False)
    labs.eventually("that it waits for the host", lambda: "does not answer" in (
        scene.controller.api.job(scene.job_id).get("waiting_for") or ""), 20)
    time.sleep(2)
    assert scene.controller.api.job(scene.job_id)["state"] == "settling"
    labs.libvirtd(victim, "start")
    begun = time.monotonic()
    job = scene.controller.api.wait_final(scene.job_id, 40)
    print("settled %.1f s after the host was back: %s" % (time.monotonic() - begun, words(job)))
    assert job["state"] == "failed" and scene.guest.where() == scene.source


def test_the_history_says_why(locked_scene):
    """Every state of a settled job has its reason, and the journal is the same (I5, I8)."""
    job = locked_scene.call_off().settle("failed")
    assert all(step["why"] and step["event"] for step in job["steps"]), json.dumps(job["steps"])
    assert job["error"]["remedy"]


def test_running_and_paused_without_a_job(scene):
    scene.call_off()
    labs.virsh(scene.target, "create", "--paused", scene.xml())
    job = scene.settle("failed")
    assert "what waits at the destination is a remnant" in whys(job)


def test_running_and_defined(scene):
    scene.call_off()
    labs.virsh(scene.target, "define", scene.xml())
    job = scene.settle("failed")
    assert "the definition at the destination is a remnant" in whys(job)


def test_paused_and_running(scene):
    """The destination runs: the source is destroyed, never resumed; the destination's missing
    definition comes first (I2)."""
    scene.call_off().split(source_runs=False, target_runs=True)
    job = scene.settle("done")
    assert "the paused source is never resumed" in whys(job)
    assert scene.guest.where() == scene.target


def test_off_and_paused(scene):
    """The commit: the source is seen gone, so the destination may run."""
    scene.let_it_finish()
    assert scene.guest.states() == {scene.source: "shut off", scene.target: "paused"}
    job = scene.settle("done")
    assert "the source is seen gone: the destination may run" in whys(job)


def test_absent_and_paused(scene):
    scene.let_it_finish()
    labs.virsh(scene.source, "undefine", scene.guest.name)
    job = scene.settle("done")
    assert "the source is seen gone: the destination may run" in whys(job)


def test_both_whole_and_paused(scene):
    """Either could run; the source gives way, since nobody called the move off."""
    scene.call_off().split(source_runs=False, target_runs=False)
    job = scene.settle("done", "failed")
    print("both paused:", job["state"])


@pytest.mark.parametrize("keep", ["source", "destination"])
def test_running_and_running(scene, keep):
    """Planted. One side stops at once, an alarm is given, and a person is asked (I1)."""
    scene.call_off().split(source_runs=True, target_runs=True)
    labs.eventually("the witness to see it", lambda: scene.guest.report()["doubled"])
    job = scene.settle("held")
    assert job["doubled"] and "--keep source|destination" in job["waiting_for"]
    assert "RUNNING ON BOTH HOSTS" in scene.controller.log()
    assert [row["host"] for row in labs.qemus(scene.guest.uuid) if row["running"]] == [scene.target]
    scene.guest.reset()
    # A restart asks again, and decides nothing.
    scene.controller.restart()
    assert scene.controller.api.job(scene.job_id)["state"] == "held"
    scene.controller.wait_hosts()
    said = scene.controller.cli("job", "settle", scene.job_id, "--keep", keep)
    job = scene.controller.api.wait_final(scene.job_id)
    print(said.stdout, words(job))
    assert job["state"] == ("done" if keep == "destination" else "cancelled")
    scene.guest.wait_heard()
    scene.guest.reset()  # the two copies differed; from here on there is one
