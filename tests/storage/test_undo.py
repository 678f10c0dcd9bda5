# SPDX-License-Identifier: LGPL-2.1-or-later
"""Undo (I4): back again, and what a failure left is repaired."""
import time

from support import disks, labs
from support.api import words


def done(controller, job, seconds=120):
    job = controller.api.wait_final(job["id"], seconds)
    assert job["state"] == "done", words(job)
    return job


def undo(controller, job):
    plan = controller.api.post("/jobs/%s/undo" % job["id"], dry_run="true")
    assert plan["possible"] and plan["steps"], plan
    back = done(controller, controller.api.post("/jobs/%s/undo" % job["id"]))
    assert back["undoes"] == job["id"]
    assert controller.api.job(job["id"])["undone_by"] == back["id"]
    return back


def test_of_a_live_move(controller, make):
    guest = make("ulive")
    images = disks.images("kvm1", guest.name)
    job = done(controller, controller.api.migrate(guest.name, "kvm2"))
    undo(controller, job)
    assert guest.where() == "kvm1" and disks.images("kvm1", guest.name) == images


def test_of_a_move_off_is_a_delta(controller, make):
    """Only what changed since goes over the wire."""
    guest = make("uoff", spread_fill=64)
    guest.spread(0)
    guest.shut_down("kvm1")
    job = done(controller, controller.api.migrate(guest.name, "kvm2", start=True))
    guest.answers()
    guest.spread(5)
    time.sleep(2)
    before = guest.sum()
    guest.shut_down("kvm2")
    back = undo(controller, job)
    result = back["result"]
    assert result["disk_same_bytes"] > result["disk_sent_bytes"], result
    labs.virsh("kvm1", "start", guest.name)
    guest.answers()
    text = open(labs.lab_guests.console(guest.name), encoding="utf-8", errors="replace").read()
    assert "sum " + before in text.split("kernel is up")[-1]


def test_of_a_storage_migration(controller, make):
    guest = make("usto")
    images = disks.images("kvm1", guest.name)
    job = done(controller, controller.api.post("/vms/usto/migrate-storage", {"storage": "ext4"}))
    undo(controller, job)
    assert disks.images("kvm1", guest.name) == images


def test_command_line(controller, make):
    guest = make("ucli")
    job = done(controller, controller.api.migrate(guest.name, "kvm2"))
    said = controller.cli("job", "undo", job["id"], "--dry-run").stdout
    assert "kvm1" in said and guest.where() == "kvm2"
    controller.cli("job", "undo", job["id"])
    assert guest.where() == "kvm1"
