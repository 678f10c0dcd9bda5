# SPDX-License-Identifier: LGPL-2.1-or-later
"""Migrate Storage within a host (R14 to R18), running and off."""
import contextlib
import os

import pytest

from support import disks, labs
from support.api import ApiError, words


def migrate_storage(controller, guest, seconds=120, **request):
    job = controller.api.post("/vms/%s/migrate-storage" % guest.name, request)
    job = controller.api.wait_final(job["id"], seconds)
    assert job["state"] == "done", words(job)
    return job


@pytest.mark.parametrize("kind", ["xfs", pytest.param("gluster", marks=pytest.mark.long)])
def test_running(controller, make, kind):
    """R14: the whole VM, running, to another pool; the old copy is kept."""
    guest = make("srun" + kind[0], more_disks=["local:64:raw"])
    job = migrate_storage(controller, guest, storage=kind)
    found = disks.images("kvm1", guest.name)
    assert all(chain[0].startswith(disks.folder(kind) + "/") for chain in found.values()), found
    assert {row["how"] for row in job["disks"]} == {"block copy"}
    kept = [row for row in controller.api.items("/kept-volumes") if row["vm_uuid"] == guest.uuid]
    assert {row["target"] for row in kept} == {"vda", "vdb"}
    # The stored definition follows: it boots from there.
    guest.spread(0)
    before = guest.sum()
    guest.shut_down("kvm1")
    labs.virsh("kvm1", "start", guest.name)
    guest.answers()
    assert guest.sum() == before or guest.told("disks")["errors"] == "0"


@pytest.mark.long
def test_one_disk_in_another_format(controller, make):
    """Chosen disks alone; conversion on request."""
    guest = make("sone", format="raw", more_disks=["local:64:qcow2"])
    migrate_storage(controller, guest, disks=[
        {"target": "vda", "storage": "ext4", "format": "qcow2", "name": "one.qcow2"}])
    found = disks.images("kvm1", guest.name)
    assert found["vda"] == [disks.folder("ext4") + "/one.qcow2"]
    assert found["vdb"][0].startswith(disks.folder("local"))
    root = labs.virsh("kvm1", "dumpxml", guest.name).stdout
    assert "type='qcow2'" in root


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"format": "raw"}])
def test_off(controller, make, options):
    guest = make("soff%d" % len(options))
    guest.spread(0)
    before = guest.sum()
    guest.shut_down("kvm1")
    migrate_storage(controller, guest, storage="btrfs", **options)
    labs.virsh("kvm1", "start", guest.name)
    guest.answers()
    after = guest.told("disks")
    assert after["errors"] == "0"
    guest.spread(0)
    assert int(after["blocks"]) >= 12288 and before is not None


def test_reflink_where_there_is_one(controller, make):
    """R34: tried on the file system, not assumed."""
    guest = make("sfast", disk="xfs")
    guest.shut_down("kvm1")
    os.makedirs(disks.inside("kvm1", disks.folder("xfs") + "/second"), exist_ok=True)
    labs.virsh("kvm1", "pool-create-as", "second", "dir", "--target",
               disks.folder("xfs") + "/second")
    try:
        controller.api.post("/hosts/%s/refresh" % controller.api.hosts()["kvm1"]["id"])
        labs.eventually("the pool to be known", lambda: any(
            row["name"] == "second" for row in controller.api.hosts()["kvm1"]["facts"]["pools"]))
        job = migrate_storage(controller, guest, storage="second")
        assert {row["how"] for row in job["disks"]} == {"fast copy"}, job["disks"]
        labs.virsh("kvm1", "start", guest.name)
        guest.answers()
        migrate_storage(controller, guest, storage="xfs", disks=[
            {"target": "vda", "storage": "xfs", "name": "sfast-2.qcow2"}])
    finally:
        for row in controller.api.items("/kept-volumes"):
            controller.api.wait_final(
                controller.api.call("DELETE", "/kept-volumes/" + row["id"])["id"], 30)
        labs.virsh("kvm1", "pool-destroy", "second", check=False)
        os.rmdir(disks.inside("kvm1", disks.folder("xfs") + "/second"))


@pytest.mark.long
def test_default_location_is_added(controller, make):
    """R16, R18."""
    guest = make("sdef")
    migrate_storage(controller, guest, storage="ext4", add_default_storage=True)
    host = controller.api.hosts()["kvm1"]
    assert host["default_storage"] == ["ext4"]
    rows = controller.api.get("/hosts/%s/storage-locations" % host["id"])["items"]
    assert [row["pool"] for row in rows if row["is_default"]] == ["ext4"]
    controller.api.patch("/hosts/" + host["id"], {"default_storage": []})


def test_lun_of_a_vm_that_has_just_come(controller, make):
    """R12, R14: no facts tell the size of its LUN yet; its own QEMU does. Three times, since the
    facts of the host may be quicker."""
    guest = make("slun", disk="iscsi", format="raw", disk_size=64, spread_fill=16, memory=88)
    for number in range(3):
        target = labs.other(guest.where())
        job = controller.api.migrate(guest.name, target, transfer="Live")
        job = controller.api.wait_final(job["id"], 60)
        assert job["state"] == "done", words(job)
        plan = controller.api.post("/vms/slun/migrate-storage?dry_run=true", {"storage": "xfs"})
        sizes = [image["to"]["capacity_bytes"] for disk in plan["candidate"]["disks"]
                 for image in disk["images"]]
        assert sizes == [64 << 20], "round %d: %s" % (number, plan["candidate"]["disks"])
    migrate_storage(controller, guest, storage="xfs")


def test_what_qemu_says_of_a_full_place(controller, make):
    """I8: why a mirror ended, not only that it did; the VM goes on where it was."""
    guest = make("sfull", format="raw", disk_size=64, spread_fill=48, spread_rate=0)
    job = controller.api.post("/vms/sfull/migrate-storage", {"storage": "small",
                                                             "bandwidth_mibps": 4})
    controller.api.wait_copying(job["id"])
    filler = disks.inside("kvm1", disks.folder("small") + "/filler")
    try:
        with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(b"x" * 65536)
        job = controller.api.wait_final(job["id"], 90)
    finally:
        os.unlink(filler)
    assert job["state"] == "failed", words(job)
    assert "QEMU says: No space left on device" in job["error"]["message"], words(job)
    assert disks.images("kvm1", "sfull")["vda"][0].startswith(disks.folder("local"))


@pytest.mark.long
def test_cancel(controller, make):
    guest = make("scan", spread_fill=90)
    job = controller.api.post("/vms/%s/migrate-storage" % guest.name, {"storage": "slow"})
    controller.api.wait_copying(job["id"])
    controller.api.cancel(job["id"])
    job = controller.api.wait_final(job["id"], 60)
    assert job["state"] == "cancelled", words(job)
    assert disks.images("kvm1", guest.name)["vda"][0].startswith(disks.folder("local"))


def test_controller_dies(controller, make):
    """I3, I5: the next one goes on with the mirror that runs."""
    guest = make("sdie")
    job = controller.api.post("/vms/%s/migrate-storage" % guest.name, {"storage": "slow"})
    controller.api.wait_copying(job["id"])
    controller.kill()
    controller.start()
    job = controller.api.wait_final(job["id"], 120)
    assert job["state"] == "done", words(job)


@pytest.mark.long
def test_shared_disk_is_refused(controller, make):
    """R15, with the way on: nobody may copy what another VM writes to."""
    guest = make("sshare", format="raw")
    xml = labs.virsh("kvm1", "dumpxml", "--inactive", guest.name).stdout
    guest.shut_down("kvm1")
    path = labs.settings.GUESTS + "/sshare.shareable.xml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(xml.replace("<target dev='vda'", "<shareable/><target dev='vda'"))
    labs.virsh("kvm1", "define", path)
    os.unlink(path)
    labs.virsh("kvm1", "start", guest.name)
    guest.answers()
    labs.eventually("the change to be seen", lambda: any(
        disk["shareable"] for disk in controller.api.vms(guest.name)[0]["disks"]), 15)
    with pytest.raises(ApiError) as refused:
        controller.api.post("/vms/sshare/migrate-storage", {"storage": "ext4"})
    assert "R15" in str(refused.value)


@pytest.mark.long
def test_merge_is_refused_or_waited_for(controller, make):
    """R31."""
    guest = make("smerge", disk="slow", below=True, spread_fill=40)
    labs.virsh("kvm1", "blockcommit", guest.name, "vda", "--active", "--bandwidth", "4")
    with pytest.raises(ApiError) as refused:
        controller.api.post("/vms/smerge/migrate-storage", {"storage": "ext4"})
    assert "R31" in str(refused.value)
    job = controller.api.post("/vms/smerge/migrate-storage",
                              {"storage": "ext4", "wait_for_merge": True})
    job = controller.api.wait_until(job["id"], lambda row: row.get("waiting_for"), 20)
    assert "vda" in job["waiting_for"]
    labs.eventually("the merge to be ready", lambda: "100" in labs.virsh(
        "kvm1", "blockjob", guest.name, "vda").stdout, 60)
    labs.virsh("kvm1", "blockjob", guest.name, "vda", "--pivot")
    assert controller.api.wait_final(job["id"], 60)["state"] == "done"
