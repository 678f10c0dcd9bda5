# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end tests stand on: a lab of their own, a controller, a guest, the witness.

After every test that has a guest the same is checked: the VM is defined on exactly one host and
runs in exactly one QEMU, by libvirt's word and by the process table (I1, I2); its memory and disk
are right (I9); every job is final and says what is true (I3, I6); nothing is left over.
"""
import os

import pytest

os.environ.setdefault("GODWIT_LAB_NAME", "e2e")  # before the lab's modules read it

from support import labs  # noqa: E402
from support.controller import Controller  # noqa: E402
from support.guest import Guests  # noqa: E402

KEEP = os.environ.get("GODWIT_E2E_KEEP") == "1"  # leave the lab up, for the next run


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="namespaces and mounts need root"))


@pytest.fixture(scope="session", name="lab")
def lab_is_up():
    labs.command("install")
    try:
        labs.command("up", "--hosts", "2")
        yield labs
    finally:
        if not KEEP:
            labs.command("down")


@pytest.fixture(scope="session", name="main_controller")
def the_session_controller(lab, tmp_path_factory):
    controller = Controller(tmp_path_factory.mktemp("godwitd"))
    try:
        controller.start()
        controller.manage_lab()
        yield controller
    finally:
        controller.stop()


@pytest.fixture(name="controller")
def a_running_controller(main_controller):
    """The session's controller; started again where a test left it dead."""
    main_controller.start()
    yield main_controller


@pytest.fixture(scope="session", name="all_guests")
def every_guest(lab):
    guests = Guests()
    yield guests
    guests.remove_all()


@pytest.fixture(name="guests")
def a_factory_of_guests(all_guests, controller):
    """guests.get(...) gives a running, clean guest; all given are checked when the test ends."""
    labs.mend()
    all_guests.begin()
    yield all_guests
    labs.mend()
    controller.start()
    all_guests.check(controller)


@pytest.fixture(name="guest")
def the_ordinary_guest(guests):
    return guests.get()


@pytest.fixture(name="slow_line")
def a_slow_line(guest):
    """A move of this guest takes seconds, so that there is a middle to break it in."""
    labs.rate("100mbit")
    yield
    labs.rate("none")


@pytest.fixture(name="peers_apart")
def peers_that_cannot_reach_each_other(controller):
    """Peer-to-peer breaks before its first byte, so that the controller drives the move."""
    def set_peers(uri_of):
        hosts = controller.api.hosts()
        for name in labs.HOSTS:
            controller.api.patch("/hosts/" + hosts[name]["id"], {"peer_uri": uri_of(name)})

    set_peers(lambda name: "qemu+tls://%s:9/system" % labs.host(name).address)
    yield
    labs.mend()
    controller.start()
    set_peers(lambda name: None)
