# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests on real hosts, with and without agents; their conftest.py give the lab and
the session's controller."""
import os

import pytest

from . import labs
from .guest import Guests

KEEP = os.environ.get("GODWIT_E2E_KEEP") == "1"  # leave the lab up, for the next run


def pytest_collection_modifyitems(items):
    if os.geteuid() == 0:
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="namespaces and mounts need root"))


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
