# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts with agents: between them only the agent's port is open, and libvirt listens nowhere, so
that whatever works here went through the agents. Each test ends with the same check as those of
tests/e2e.
"""
import os
import sys

import pytest

os.environ.setdefault("GODWIT_LAB_NAME", "agt")  # before the lab's modules read it
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import labs  # noqa: E402
from support.agent_controller import AgentController  # noqa: E402
from support.fixtures import (KEEP, a_factory_of_guests,  # noqa: E402,F401
                              a_running_controller, a_slow_line, every_guest,
                              pytest_collection_modifyitems, the_ordinary_guest)


@pytest.fixture(scope="session", name="lab")
def lab_is_up():
    with labs.up("--agents", "--hosts", "2", anew=True, keep=KEEP):
        yield labs


@pytest.fixture(scope="session", name="main_controller")
def the_session_controller(lab, tmp_path_factory):
    with AgentController(tmp_path_factory.mktemp("godwitd")).managing_lab() as controller:
        yield controller
