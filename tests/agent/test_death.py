# SPDX-License-Identifier: LGPL-2.1-or-later
"""Agents die at every phase of a move: before the handover the VM stays, after it it is where the
far end says; and the links between them break."""
import time

import pytest

from support import labs
from support.api import words


def start_move(controller, guest):
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    return source, job["id"]


@pytest.mark.parametrize("which", ["source", "destination"])
def test_while_copying(controller, guest, slow_line, which):
    source, job_id = start_move(controller, guest)
    controller.api.wait_copying(job_id, 1 << 20)
    victim = source if which == "source" else labs.other(source)
    labs.agent(victim, "kill")
    time.sleep(0.5)
    labs.agent(victim, "start")
    job = controller.api.wait_final(job_id)
    assert job["state"] == "failed" and guest.where() == source, words(job)
    labs.rate("none")
    controller.wait_hosts()
    _, job_id = start_move(controller, guest)
    assert controller.api.wait_final(job_id)["state"] == "done", "the next move is not refused"


@pytest.mark.parametrize("which", ["source", "destination"])
@pytest.mark.parametrize("delay", [0.05, 0.25, 0.5])
def test_around_the_handover(controller, guests, which, delay):
    """Wherever it hits, exactly one side runs in the end."""
    guest = guests.get(disk="none")
    source, job_id = start_move(controller, guest)
    controller.api.wait_until(job_id, lambda row: row["state"] not in (
        "queued", "checking"), 20, 0)
    time.sleep(delay)
    victim = source if which == "source" else labs.other(source)
    labs.agent(victim, "kill")
    time.sleep(0.3)
    labs.agent(victim, "start")
    job = controller.api.wait_final(job_id)
    assert job["state"] in ("done", "failed"), words(job)
    print(words(job))


@pytest.mark.parametrize("which", ["source", "destination"])
def test_agent_and_controller_die_together(controller, guests, which):
    guest = guests.get(disk="none")
    labs.rate("100mbit")
    source, job_id = start_move(controller, guest)
    controller.api.wait_copying(job_id, 1 << 20)
    controller.kill()
    victim = source if which == "source" else labs.other(source)
    labs.agent(victim, "kill")
    time.sleep(1)
    labs.agent(victim, "start")
    labs.rate("none")
    labs.eventually("the VM to run somewhere", lambda: guest.where() is not None, 30)
    controller.start()
    job = controller.api.wait_final(job_id)
    assert job["state"] in ("done", "failed"), words(job)


def test_a_frozen_agent_is_given_up(controller, guest, slow_line):
    source, job_id = start_move(controller, guest)
    controller.api.wait_copying(job_id, 1 << 20)
    labs.agent(labs.other(source), "stop")
    controller.api.wait_until(job_id, lambda row: row["state"] != "copying", 60, 0.5)
    labs.agent(labs.other(source), "cont")
    job = controller.api.wait_final(job_id)
    assert job["state"] == "failed" and guest.where() == source, words(job)


def test_the_agent_restarts_and_the_host_is_ok_again(controller, guest):
    for host in labs.HOSTS:
        labs.agent(host, "kill")
        labs.eventually("the host to be lost", lambda: controller.api.hosts()[host][
            "status"] == "Not responding", 10)
        labs.agent(host, "start")
        controller.wait_hosts()
