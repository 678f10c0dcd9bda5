# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host whose only slot is taken, so that moves queue (R20)."""
import contextlib

from . import labs


@contextlib.contextmanager
def taken_slot(controller, guests):
    """One slot at kvm2, taken by a move that takes long."""
    kvm2 = "/hosts/" + controller.api.hosts()["kvm2"]["id"]
    controller.api.patch(kvm2, {"live_limit": 1})
    blocker = guests.get(beside=True, disk="none", memory=96, dirty=8)
    try:
        job = controller.api.migrate(blocker.name, labs.other(blocker.where()), bandwidth_mibps=1)
        controller.api.wait_copying(job["id"])
        yield job
        controller.api.cancel(job["id"])
        assert controller.api.wait_final(job["id"])["state"] == "cancelled"
    finally:
        controller.start()
        controller.api.patch(kvm2, {"live_limit": 2})
