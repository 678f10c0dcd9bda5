# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a person does to a move while it waits or copies: cancel, time-outs, limits, post-copy
(R58, R59, R60)."""
import re
import time

import pytest

from support import labs
from support.api import ApiError, words
from support.slots import taken_slot

BUSY = 40  # MiB/s that the guest dirties; the line carries 12


@pytest.fixture(name="busy")
def a_guest_that_does_not_converge(guest, slow_line):
    guest.dirty(BUSY)
    yield guest
    guest.dirty(0)


def begin(controller, guest, **options):
    source = guest.where()
    options.setdefault("method", "standard")
    job = controller.api.migrate(guest.name, labs.other(source), no_auto_converge=True, **options)
    job = controller.api.wait_copying(job["id"])
    assert job["state"] == "copying", words(job)
    return source, job


def test_cancel_while_copying(controller, busy):
    """At once, although the guest dirties memory faster than it is copied; a second request does
    no harm, and one after the end is told so."""
    source, job = begin(controller, busy)
    begun = time.monotonic()
    assert controller.api.cancel(job["id"])["cancel_requested"]
    try:
        controller.api.cancel(job["id"])
    except ApiError as error:
        assert error.status == 409, error
    job = controller.api.wait_final(job["id"], 20)
    print("cancelled after %.1f s: %s" % (time.monotonic() - begun, words(job)))
    assert job["state"] == "cancelled" and busy.where() == source
    with pytest.raises(ApiError) as late:
        controller.api.cancel(job["id"])
    assert late.value.status == 409


def test_cancel_at_once(controller, busy):
    """Before libvirt's job exists an abort could be lost."""
    source = busy.where()
    for delay in (0, 0.05, 0.2):
        job = controller.api.migrate(busy.name, labs.other(source), no_auto_converge=True)
        time.sleep(delay)
        controller.api.cancel(job["id"])
        job = controller.api.wait_final(job["id"], 20)
        assert job["state"] == "cancelled" and busy.where() == source, words(job)


def test_completion_time_out(controller, busy):
    """R59: 40 s/GiB for 128 MiB are 5 s."""
    source, job = begin(controller, busy, completion_timeout_s_per_gib=40)
    job = controller.api.wait_final(job["id"], 30)
    print(words(job))
    assert job["state"] == "failed" and busy.where() == source
    assert re.search(r"not complete after \d+ s \(completion time-out\); pass \d+, \d+ MiB left, "
                     r"copying \d+ MiB/s, the guest dirties \d+ MiB/s", job["error"]["message"])
    assert "--max-downtime" in job["error"]["remedy"]


def test_progress_time_out(controller, busy):
    """R60: the guest dirties what is copied, so that never less is left."""
    source, job = begin(controller, busy, progress_timeout_s=4)
    job = controller.api.wait_final(job["id"], 50)
    print(words(job))
    assert job["state"] == "failed" and busy.where() == source
    assert re.search(r"no progress for 4 s \(progress time-out\): never less than \d+ MiB left",
                     job["error"]["message"])


def test_more_bandwidth_finishes_it(controller, guest):
    source, job = begin(controller, guest, bandwidth_mibps=1)
    time.sleep(2)
    now = controller.api.job(job["id"])
    assert now["state"] == "copying" and now["progress"]["percent"] < 60
    controller.api.patch("/jobs/" + job["id"], {"bandwidth_mibps": 1000})
    job = controller.api.wait_final(job["id"], 20)
    assert job["state"] == "done" and guest.where() == labs.other(source), words(job)


@pytest.mark.long
def test_more_downtime_finishes_it(controller, busy):
    source, job = begin(controller, busy)
    labs.eventually("that it does not converge", lambda: controller.api.job(job["id"])[
        "progress"]["iteration"] >= 3, 40)
    controller.api.patch("/jobs/" + job["id"], {"max_downtime_ms": 20000})
    job = controller.api.wait_final(job["id"], 40)
    print("%s; downtime %d ms" % (words(job), (job.get("result") or {}).get("downtime_ms", -1)))
    assert job["state"] == "done" and busy.where() == labs.other(source), words(job)


def test_post_copy_was_not_allowed(controller, busy):
    _, job = begin(controller, busy)
    with pytest.raises(ApiError) as refused:
        controller.api.post("/jobs/%s/post-copy" % job["id"])
    assert refused.value.status == 409 and "--post-copy" in refused.value.problem["remedy"]
    controller.api.cancel(job["id"])
    controller.api.wait_final(job["id"], 20)


def test_post_copy(controller, busy):
    """The way out for a guest that never converges."""
    source = busy.where()
    job = controller.api.migrate(busy.name, labs.other(source), method="standard", post_copy=True,
                                 no_auto_converge=True)
    job = controller.api.wait_copying(job["id"])
    if job["state"] == "failed":
        assert busy.where() == source and job["error"]["message"]
        pytest.skip("post-copy cannot begin on these hosts: " + job["error"]["message"])
    controller.api.post("/jobs/%s/post-copy" % job["id"])
    job = controller.api.wait_final(job["id"], 50)
    assert job["state"] == "done" and busy.where() == labs.other(source), words(job)
    busy.wait_heard()
    silent = busy.report()["max_gap_ms"]
    print("downtime %d ms by us, %.0f ms seen by the witness, of %d ms in all" % (
        job["result"]["downtime_ms"], silent, job["result"]["total_ms"]))
    assert 0 <= job["result"]["downtime_ms"] < silent + 250, "not all of the post-copy phase"


def test_cancel_while_queued(controller, guests):
    guest = guests.get()
    source = guest.where()
    with taken_slot(controller, guests):
        job = controller.api.migrate(guest.name, labs.other(source))
        controller.api.wait_state(job["id"], "queued")
        job = controller.api.cancel(job["id"])
        assert job["state"] == "cancelled", words(job)
        assert not any(step["state"] == "copying" for step in job["steps"])
    assert guest.where() == source


def test_post_copy_needs_locks(controller, guests):
    guest = guests.get(disk="none")
    with pytest.raises(ApiError) as refused:
        controller.api.migrate(guest.name, labs.other(guest.where()), post_copy=True)
    problem = refused.value.problem
    assert problem["code"] == "refused" and "post-copy" in str(problem["errors"]), problem
    assert all(row["observed"] and row["required"] and row["remedy"] for row in problem["errors"])
