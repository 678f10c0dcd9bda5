# SPDX-License-Identifier: LGPL-2.1-or-later
"""The controller is killed at every moment of a move; its successor settles the job from what the
hosts say, and no guest is disturbed (I3, I5, I6; RECOVERY rows "client in Perform ...")."""
import time

import pytest

from support import labs
from support.api import words
from support.slots import taken_slot



def die_and_settle(controller, guest, job_id, seconds=60):
    """Kills the controller, starts another, and returns what that made of the job."""
    controller.kill()
    died_in = controller.stored_jobs()[job_id]
    begun = time.monotonic()
    controller.start(wait_hosts=False)
    answers = time.monotonic() - begun
    job = controller.api.wait_final(job_id, seconds)
    print("killed while %s; answers again after %.2f s; %s (%s)" % (
        died_in, answers, words(job), " > ".join(step["state"] for step in job["steps"])))
    return died_in, job


def check_outcome(job, guest, allowed=("done",)):
    assert job["state"] in allowed, words(job)
    report = guest.report()
    assert not report["doubled"] and report["boots"] == 1
    print("longest silence of the guest: %.0f ms" % report["max_gap_ms"])


@pytest.mark.long
def test_queued(controller, guests):
    """It waits in the next controller's queue too, and goes on when a slot is free (R20, I7)."""
    guest = guests.get()
    with taken_slot(controller, guests) as blocker:
        job = controller.api.migrate(guest.name, labs.other(guest.where()))
        job = controller.api.wait_state(job["id"], "queued")
        labs.eventually("why it waits", lambda: "1 of 1 live migrations" in (
            controller.api.job(job["id"]).get("waiting_for") or ""), 5)
        controller.kill()
        assert controller.stored_jobs()[job["id"]] == "queued"
        controller.start()
        controller.api.wait_state(blocker["id"], "copying")
        time.sleep(1)
        assert controller.api.job(job["id"])["state"] == "queued", "the slot is taken still (I7)"
    check_outcome(controller.api.wait_final(job["id"]), guest)


@pytest.mark.parametrize("wait_ms", [0, 15, 40, 90])
def test_soon_after_the_request(controller, guest, wait_ms):
    """Queued, checking, preparing: nothing was begun, so it is begun anew or called off."""
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source))
    time.sleep(wait_ms / 1000)
    died_in, job = die_and_settle(controller, guest, job["id"])
    check_outcome(job, guest, ("done", "failed"))
    if died_in in ("queued", "checking"):
        assert job["state"] == "done", "nothing had begun: it is still in the queue"


@pytest.mark.parametrize("least_mib", [pytest.param(1, id="early", marks=pytest.mark.long),
                                       pytest.param(25, id="late")])
def test_copying_peer_to_peer(controller, guest, slow_line, least_mib):
    """The hosts go on without a controller; the next one finds it under way or done."""
    job = controller.api.migrate(guest.name, labs.other(guest.where()), method="standard")
    controller.api.wait_copying(job["id"], least_mib << 20)
    died_in, job = die_and_settle(controller, guest, job["id"])
    assert died_in == "copying"
    check_outcome(job, guest)


@pytest.mark.parametrize("least_mib", [1, 25], ids=["early", "late"])
def test_copying_driven_by_the_controller(controller, guest, slow_line, peers_apart, least_mib):
    """Here libvirt calls it off when its client dies: the VM stays where it was, and the job says
    so."""
    job = controller.api.migrate(guest.name, labs.other(guest.where()), method="standard")
    controller.api.wait_copying(job["id"], least_mib << 20)
    died_in, job = die_and_settle(controller, guest, job["id"])
    assert died_in == "copying" and job["peer_to_peer"] is False
    check_outcome(job, guest, ("failed",))


def last_moments(controller, guest, delays, **options):
    """Kills at several delays after the copy's last bytes; {state it died in}."""
    died = set()
    for delay in delays:
        job = controller.api.migrate(guest.name, labs.other(guest.where()), **options)
        controller.api.wait_until(job["id"], lambda row: row["state"] in (
            "settling", "committing", "cleaning", "done", "failed"), 60, 0)
        time.sleep(delay / 1000)
        died_in, job = die_and_settle(controller, guest, job["id"])
        check_outcome(job, guest)
        died.add(died_in)
    return died


def test_settling_and_cleaning(controller, guest):
    died = last_moments(controller, guest, (0, 5, 15))
    print("peer-to-peer, locks proved: killed in", sorted(died))
    assert died & {"settling", "cleaning"}, "no kill hit the end of the move"


def test_the_switchover_swept(controller, guest, peers_apart):
    """Driven by the controller, killed around the switchover, whose rows in RECOVERY are the worst:
    a source paused for ever, a stale twin. None may stay."""
    died = {}
    for delay in (0.15, 0.45, 0.75):
        controller.wait_hosts(5)
        job = controller.api.migrate(guest.name, labs.other(guest.where()), method="standard")
        controller.api.wait_until(job["id"], lambda row: row.get("peer_to_peer") is False, 20, 0)
        time.sleep(delay)
        died_in, job = die_and_settle(controller, guest, job["id"])
        check_outcome(job, guest, ("done", "failed"))
        died[delay] = (died_in, job["state"])
    print("driven by the controller, killed after:", died)


def test_settling_and_committing(controller, guests):
    """Without locks the destination waits, paused, for the dead controller's successor: an outage
    as long as that takes, never a double (I1)."""
    guest = guests.get(disk="none")
    died = last_moments(controller, guest, (0, 5, 15))
    print("commit by resume: killed in", sorted(died))
    assert died & {"settling", "committing"}, "no kill hit the commit"
