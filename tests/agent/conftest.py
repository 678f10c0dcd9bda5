# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts with agents: between them only the agent's port is open, and libvirt listens nowhere, so
that whatever works here went through the agents. Each test ends with the same check as those of
tests/e2e, whose support this uses.
"""
import os
import sys

import pytest

os.environ.setdefault("GODWIT_LAB_NAME", "agt")  # before the lab's modules read it
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "e2e"))

from support import labs  # noqa: E402
from support.agent_controller import AgentController  # noqa: E402
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
        labs.command("down")
        labs.command("up", "--agents", "--hosts", "2")
        yield labs
    finally:
        if not KEEP:
            labs.command("down")


@pytest.fixture(scope="session", name="main_controller")
def the_session_controller(lab, tmp_path_factory):
    controller = AgentController(tmp_path_factory.mktemp("godwitd"))
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
    controller.wait_hosts()
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
