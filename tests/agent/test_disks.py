# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moves with the VM's disks between hosts that share nothing but the agents' port (R12, R13)."""
import os

import pytest

from support import labs
from support.api import words

from test_move import cancel_a_move, check_done, check_ports


@pytest.fixture(name="line_of_its_own")
def a_slow_line_without_a_guest():
    """As slow_line, which would bring the ordinary guest."""
    labs.rate("100mbit")
    yield
    labs.rate("none")


def images(host):
    """{name: bytes that it takes} of the host's own pool."""
    folder = labs.settings.LOCAL
    said = labs.command("exec", host, "find", folder, "-type", "f", "-printf", "%f %b\\n").stdout
    return {line.split()[0]: int(line.split()[1]) * 512 for line in said.splitlines()}


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_there(controller, guests, kind):
    guest = guests.get(disk="local", format=kind, disk_size=256, cache="default")
    source = guest.where()
    destination = labs.other(source)
    job = controller.api.migrate(guest.name, destination)
    job = controller.api.wait_final(job["id"])
    check_done(job, guest)
    assert job["transfer"] == "Live (VSM)" and guest.where() == destination, words(job)
    name = os.path.basename(job["disks"][0]["images"][0]["to"]["path"])
    assert images(destination)[name] < 16 << 20, "holes stay holes"


def test_only_the_agents_port_is_used(controller, guests, line_of_its_own):
    guest = guests.get(disk="local", format="qcow2", disk_size=256, cache="default")
    check_ports(controller, guest)


def test_cancel_leaves_nothing(controller, guests, line_of_its_own):
    guest = guests.get(disk="local", format="qcow2", disk_size=256, cache="default")
    job = cancel_a_move(controller, guest)
    name = os.path.basename(job["disks"][0]["images"][0]["to"]["path"])
    assert name not in images(labs.other(guest.where())), "what was made is removed"
