# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moves of disks, on real storage, between hosts with agents. After each test: the VM is where the
job says, on the images its definition names and no others; all of its memory and disks is as the
guest wrote it (I9); in every pool of every host there is nothing but images of guests, kept copies
that the API lists, and what was there before."""
import contextlib
import os
import sys

import pytest

os.environ.setdefault("GODWIT_LAB_NAME", "sto")  # before the lab's modules read it
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import disks, labs  # noqa: E402
from support.agent_controller import AgentController  # noqa: E402
from support.disks import DiskGuest  # noqa: E402
from support.fixtures import KEEP, pytest_collection_modifyitems  # noqa: E402,F401
from support.guest import DEFAULTS  # noqa: E402

KINDS = ["xfs", "btrfs", "ext4", "small", "slow", "gluster", "iscsi"]
DISK_DEFAULTS = dict(DEFAULTS, disk="local", disk_size=256, format="qcow2", spread=96,
                     spread_fill=48, spread_rate=100, below=False, more_disks=None, uefi=False,
                     tpm=False, discard=False)


@pytest.fixture(scope="session", name="lab")
def lab_is_up():
    with labs.up("--agents", "--hosts", "2", storage=KINDS, anew=True, keep=KEEP):
        yield labs


@pytest.fixture(scope="session", name="main_controller")
def the_session_controller(lab, tmp_path_factory):
    with AgentController(tmp_path_factory.mktemp("godwitd")).managing_lab() as controller:
        yield controller


@pytest.fixture(name="controller")
def a_running_controller(main_controller):
    main_controller.start()
    yield main_controller
    labs.mend()
    main_controller.start()
    main_controller.wait_hosts()


@pytest.fixture(name="before")
def what_is_there_before(lab):
    return {host: disks.files(host) for host in labs.HOSTS}


@pytest.fixture(name="make")
def a_maker_of_guests(controller, before):
    """make(...) starts a guest with disks and, once they are filled, returns it."""
    made = []

    def start(name, **options):
        guest = DiskGuest(name, dict(DISK_DEFAULTS, **options))
        made.append(guest)
        guest.start()
        guest.filled()
        guest.reset()
        labs.eventually("%s to be listed" % name, lambda: controller.api.vms(name), 15)
        return guest

    yield start
    try:
        labs.mend()
        controller.start()
        controller.wait_hosts()
        for job in controller.api.items("/jobs", active="true"):
            controller.api.wait_final(job["id"], 60)
        for guest in made:
            check(guest, controller)
        check_files(made, controller, before)
    finally:
        for job in controller.api.items("/jobs", active="true"):
            controller.api.cancel(job["id"])
        for guest in made:
            guest.remove()
        forget_kept(controller)
        for host in labs.HOSTS:
            for path in disks.files(host) - before[host]:
                with contextlib.suppress(FileNotFoundError):  # gone, through the other host
                    os.unlink(disks.inside(host, path))


def check(guest, controller):
    states = guest.states()
    assert len(states) == 1, "defined on one host (I2): %s" % states
    host, state = next(iter(states.items()))
    listed = [(row["host_id"], row["state"]) for row in controller.api.vms(guest.name)]
    assert len(listed) == 1 or labs.eventually("one row of the VM", lambda: len(
        controller.api.vms(guest.name)) == 1, 10)
    if state != "running":
        assert labs.qemus(guest.uuid) == []
        return
    qemus = labs.qemus(guest.uuid)
    assert [(row["host"], row["running"]) for row in qemus] == [(host, True)], qemus
    guest.wait_verified()
    guest.verified_disks()
    assert guest.problems() == [], guest.report()


def check_files(made, controller, before):
    hosts = {row["id"]: name for name, row in controller.api.hosts().items()}
    owned = {host: set(before[host]) for host in labs.HOSTS}
    for guest in made:
        for host in guest.states():
            for chain in disks.images(host, guest.name).values():
                owned[host] |= set(chain)
    for kept in controller.api.items("/kept-volumes"):
        owned[hosts[kept["host_id"]]].add(kept["volume"]["path"])
    everywhere = set().union(*owned.values())
    for host in labs.HOSTS:
        stray = {path for path in disks.files(host) - owned[host]
                 if not (path in everywhere and path.startswith((disks.folder("shared") + "/",
                                                                 disks.folder("gluster") + "/")))}
        assert stray == set(), "left on %s: %s" % (host, stray)


def forget_kept(controller):
    # The newest come first, and an image after what stands on it.
    for kept in reversed(controller.api.items("/kept-volumes")):
        job = controller.api.call("DELETE", "/kept-volumes/" + kept["id"])
        controller.api.wait_final(job["id"], 30)
