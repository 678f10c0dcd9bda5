# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end tests stand on: a lab of their own, a controller, a guest, the witness.

After every test that has a guest the same is checked: the VM is defined on exactly one host and
runs in exactly one QEMU, by libvirt's word and by the process table (I1, I2); its memory and disk
are right (I9); every job is final and says what is true (I3, I6); nothing is left over.
"""
import os
import sys

import pytest

os.environ.setdefault("GODWIT_LAB_NAME", "e2e")  # before the lab's modules read it
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import labs  # noqa: E402
from support.controller import Controller  # noqa: E402
from support.fixtures import (KEEP, a_factory_of_guests,  # noqa: E402,F401
                              a_running_controller, a_slow_line, every_guest,
                              pytest_collection_modifyitems, the_ordinary_guest)


@pytest.fixture(scope="session", name="lab")
def lab_is_up():
    with labs.up("--hosts", "2", keep=KEEP):
        yield labs


@pytest.fixture(scope="session", name="main_controller")
def the_session_controller(lab, tmp_path_factory):
    with Controller(tmp_path_factory.mktemp("godwitd")).managing_lab() as controller:
        yield controller


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
