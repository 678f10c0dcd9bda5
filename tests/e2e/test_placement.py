# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where VMs may go, and where they go by themselves, on real hosts (R33, R45, R46, R49, R57)."""
import contextlib
import json

import pytest

from support import labs

REFUSED = 3  # exit status of the command line


def pair(guests):
    """Two guests that run side by side."""
    first = guests.get(memory=128)
    second = guests.get(beside=True, memory=96)
    return first, second


def come_together(controller, first, second):
    if second.where() == first.where():
        controller.move(second)
    assert first.where() != second.where()


@contextlib.contextmanager
def rule(controller, name, *words):
    controller.cli("rule", "add", name, *words)
    yield
    controller.cli("rule", "remove", name)


@contextlib.contextmanager
def maintenance(controller, host):
    yield json.loads(controller.cli("host", "maintenance", host, "on", "-o", "json").stdout)
    controller.cli("host", "maintenance", host, "off")


def stars(controller, vm):
    rows = json.loads(controller.cli("vm", "candidates", vm, "-o", "json").stdout)
    return {row["host_name"]: row["rating"]["stars"] for row in rows}


def test_apart_refuses_until_it_is_removed(controller, guests):
    first, second = pair(guests)
    come_together(controller, first, second)
    there = second.where()
    with rule(controller, "pair", "apart", first.name, second.name):
        refused = controller.cli("vm", "migrate", first.name, there, check=False)
        assert refused.returncode == REFUSED and "R57" in refused.stderr, refused.stderr
        assert "'pair'" in refused.stderr and "Remedy" in refused.stderr, refused.stderr
        assert stars(controller, first.name)[there] == 0
        assert first.where() != there
        other = controller.cli("rule", "add", "both", "together", first.name, second.name,
                               check=False)
        assert other.returncode != 0 and "pair" in other.stderr, other.stderr
    assert stars(controller, first.name)[there] > 0
    moved = controller.cli("vm", "migrate", first.name, there)
    assert first.where() == there, moved.stdout


def test_to_the_best_host_of_a_group(controller, guest):
    """The dry run shows the choice, and the move goes there."""
    there = labs.other(guest.where())
    dry = json.loads(controller.cli("vm", "migrate", guest.name, "All Hosts", "--dry-run", "-o",
                                    "json").stdout)
    assert dry["candidate"]["host_name"] == there and dry["candidate"]["suitable"]
    rating = dry["candidate"]["rating"]
    assert rating["stars"] > 0 and rating["factors"]
    explained = controller.cli("explain", guest.name, there).stdout
    assert "Rating Explanation" in explained and "★" in explained, explained
    controller.cli("vm", "migrate", "--to-group", "All Hosts", guest.name)
    assert guest.where() == there


def test_a_host_in_maintenance_takes_no_vm(controller, guest):
    here, there = guest.where(), labs.other(guest.where())
    with maintenance(controller, there) as host:
        assert host["maintenance"] == "in maintenance", "nothing runs there"
        refused = controller.cli("vm", "migrate", guest.name, there, check=False)
        assert refused.returncode == REFUSED and "R49" in refused.stderr, refused.stderr
        left = controller.cli("vm", "migrate", "--to-group", "All Hosts", guest.name, check=False)
        assert left.returncode == REFUSED and "maintenance" in left.stderr, left.stderr
        stays = json.loads(controller.cli("host", "explain", here, "-o", "json").stdout)
        row = next(row for row in stays if row["vm_name"] == guest.name)
        assert not row["leaves"] and "maintenance" in row["why"], row
    assert guest.where() == here
    with maintenance(controller, here) as host:
        assert host["maintenance"] == "entering", "the guest still runs there"
        controller.move(guest)
        labs.eventually("in maintenance once empty", lambda: controller.api.hosts()[here][
            "maintenance"] == "in maintenance")


@pytest.fixture(autouse=True)
def nothing_stays(controller):
    yield
    for name in labs.HOSTS:
        controller.cli("host", "maintenance", name, "off")
    for row in controller.api.items("/rules"):
        controller.api.call("DELETE", "/rules/" + row["id"])
