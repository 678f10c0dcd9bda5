# SPDX-License-Identifier: LGPL-2.1-or-later
"""Undo (I4): back again, and what a failure left is repaired."""
import time

import pytest

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
    guest = make("uoff", spread_fill=64, spread_rate=2)
    guest.spread(0)
    guest.shut_down("kvm1")
    job = done(controller, controller.api.migrate(guest.name, "kvm2", start=True))
    guest.answers()
    time.sleep(2)
    before = guest.sum()
    guest.shut_down("kvm2")
    back = undo(controller, job)
    result = back["result"]
    assert result["disk_same_bytes"] > 16 << 20, result
    assert result["disk_sent_bytes"] < result["disk_bytes"] - (16 << 20), result
    labs.virsh("kvm1", "start", guest.name)
    guest.answers()
    text = open(labs.lab_guests.console(guest.name), encoding="utf-8", errors="replace").read()
    assert "sum " + before in text.split("kernel is up")[-1]


def test_of_a_running_guest_is_a_delta(controller, make):
    """Only what changed since goes over the wire, while the guest writes on."""
    guest = make("udelta", spread_fill=64, format="raw")
    guest.spread(0)
    images = disks.images("kvm1", guest.name)
    job = done(controller, controller.api.migrate(guest.name, "kvm2"))
    time.sleep(2)
    back = undo(controller, job)
    assert [disk["how"] for disk in back["disks"] if disk["images"]] == ["mirror"], back["disks"]
    result = back["result"]
    assert result["disk_same_bytes"] > result["disk_sent_bytes"], result
    assert guest.where() == "kvm1" and disks.images("kvm1", guest.name) == images


@pytest.mark.long
def test_of_a_running_guest_is_cancelled(controller, make):
    """It goes on with one image, and nothing is left of the other."""
    guest = make("ucancel", spread_fill=64, format="raw")
    guest.spread(0)
    job = done(controller, controller.api.migrate(guest.name, "kvm2"))
    guest.spread(100)
    time.sleep(3)
    guest.spread(5)
    images = disks.images("kvm2", guest.name)
    back = controller.api.migrate(guest.name, "kvm1", bandwidth_mibps=4)
    labs.eventually("the guest to write above its disk",
                    lambda: disks.images("kvm2", guest.name) != images, 30)
    controller.api.cancel(back["id"])
    back = controller.api.wait_final(back["id"], 120)
    assert back["state"] == "cancelled", words(back)
    assert guest.where() == "kvm2" and disks.images("kvm2", guest.name) == images
    undo(controller, job)


@pytest.mark.long
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
