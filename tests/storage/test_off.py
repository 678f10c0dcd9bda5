# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that are off, to another host: Network, Fast file copy, SAN, Register (R3, R27, R28, R34, R38,
R39, R42)."""
import pytest

from support import disks, labs
from support.api import ApiError, words


def off(guest, host="kvm1"):
    guest.spread(0)
    before = guest.sum()
    guest.shut_down(host)
    return before


def transfer(controller, guest, seconds=120, **options):
    job = controller.api.migrate(guest.name, "kvm2", **options)
    job = controller.api.wait_final(job["id"], seconds)
    assert job["state"] == "done", words(job)
    return job


def starts_whole(guest, before, host="kvm2"):
    """It boots there, and holds what it held."""
    if guest.where() is None:
        labs.virsh(host, "start", guest.name)
    guest.answers()
    text = open(labs.lab_guests.console(guest.name), encoding="utf-8", errors="replace").read()
    assert "sum " + before in text.split("kernel is up")[-1], "another content than before"


def test_network(controller, make):
    """R3, R38, R42: sparse, checksummed, started after."""
    guest = make("nnet", more_disks=["xfs:64:raw"], uefi=True, memory=256)
    source = {t: disks.allocated("kvm1", c[0]) for t, c in
              disks.images("kvm1", guest.name).items()}
    before = off(guest)
    job = transfer(controller, guest, start=True,
                   disks=[{"target": "vdb", "storage": "btrfs"}])
    assert job["transfer"] == "Network"
    starts_whole(guest, before)
    found = disks.images("kvm2", guest.name)
    assert found["vdb"][0].startswith(disks.folder("btrfs"))
    after = {t: disks.allocated("kvm2", c[0]) for t, c in found.items()}
    assert all(after[t] <= source[t] * 1.05 + (1 << 20) for t in source), (source, after)


def test_chain_goes_along(controller, make):
    guest = make("nchain", below=True)
    before = off(guest)
    transfer(controller, guest)
    starts_whole(guest, before)
    assert len(disks.images("kvm2", guest.name)["vda"]) == 2


def test_register(controller, make):
    """Both reach its disk: nothing is copied."""
    guest = make("nreg", disk="shared")
    before = off(guest)
    assert transfer(controller, guest)["transfer"] == "Register"
    starts_whole(guest, before)


def test_san_by_default_and_network_instead(controller, make):
    """R27, R39: the LUN is handed over; or copied, where one asks for that."""
    guest = make("nsan", disk="iscsi", format="raw", disk_size=128)
    before = off(guest)
    plan = controller.api.post("/vms/nsan/migrate", {"destination": "kvm2"}, dry_run="true")
    offered = {row["transfer"]: row for row in plan["candidate"]["transfers"]}
    assert offered["SAN"]["available"] and plan["candidate"]["transfer"] == "SAN"
    job = transfer(controller, guest)
    assert job["transfer"] == "SAN" and not job["result"].get("disk_bytes")
    starts_whole(guest, before)
    job = controller.api.migrate(guest.name, "kvm1", copy_all=True, storage="local")
    job = controller.api.wait_final(job["id"], 90)
    assert (job["state"], job["transfer"]) == ("done", "Live (VSM)"), words(job)
    assert disks.images("kvm1", guest.name)["vda"][0].startswith(disks.folder("local"))


def test_san_that_is_not_reached(controller, make):
    """R28: what the reference cannot detect."""
    guest = make("nfar", disk="iscsi", format="raw", disk_size=64)
    off(guest)
    labs.lab_storage.hide_target(labs.host("kvm2"))
    try:
        plan = controller.api.post("/vms/nfar/migrate", {"destination": "kvm2"}, dry_run="true")
        text = str(plan["candidate"])
        assert "R28" in text and "storage.godwit.test" in text, text
        assert not {row["transfer"]: row for row in plan["candidate"]["transfers"]}["SAN"][
            "available"]
    finally:
        labs.lab_storage.hide_target(labs.host("kvm2"), False)


def begin_slowly(controller, guest, **options):
    labs.rate("40mbit")
    job = controller.api.migrate(guest.name, "kvm2", **options)
    return controller.api.wait_until(
        job["id"], lambda row: row.get("progress", {}).get("disk_processed_bytes", 0) > 4 << 20,
        60, 0.02)


def test_cancel(controller, make):
    guest = make("ncan")
    off(guest)
    job = begin_slowly(controller, guest)
    controller.api.cancel(job["id"])
    job = controller.api.wait_final(job["id"], 60)
    assert job["state"] == "cancelled" and list(guest.states()) == ["kvm1"], words(job)


@pytest.mark.parametrize("victim", ["controller", "agent1", "agent2"])
def test_resumes(controller, make, victim):
    """The copy goes on where it was."""
    guest = make("nres" + victim[-1])
    before = off(guest)
    job = begin_slowly(controller, guest)
    if victim == "controller":
        controller.kill()
        controller.start()
    else:
        labs.agent("kvm" + victim[-1], "kill")
        labs.agent("kvm" + victim[-1], "start")
    labs.rate("none")
    job = controller.api.wait_final(job["id"], 120)
    assert job["state"] == "done", words(job)
    starts_whole(guest, before)


def test_cannot_be_started_under_us(controller, make):
    """While its disks are copied the copier holds QEMU's own image lock: nobody starts the VM."""
    guest = make("nrun")
    before = off(guest)
    job = begin_slowly(controller, guest)
    started = labs.virsh("kvm1", "start", guest.name, check=False)
    assert started.returncode != 0 and "lock" in started.stderr, started
    labs.rate("none")
    job = controller.api.wait_final(job["id"], 60)
    assert job["state"] == "done", words(job)
    starts_whole(guest, before)


def test_missing_backing_file(controller, make):
    guest = make("nmiss", below=True)
    off(guest)
    base = disks.inside("kvm1", disks.images("kvm1", guest.name)["vda"][1]) if len(
        disks.images("kvm1", guest.name)["vda"]) > 1 else disks.inside(
            "kvm1", disks.folder("local") + "/nmiss-base.qcow2")
    import os
    os.rename(base, base + ".away")
    try:
        with pytest.raises(ApiError) as refused:
            controller.api.migrate(guest.name, "kvm2")
        assert "nmiss-base" in str(refused.value)
    finally:
        os.rename(base + ".away", base)
