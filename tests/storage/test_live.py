# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live (VSM): running VMs between hosts that share nothing (R8, R12, R13, R22, R38)."""
import os
import time

import pytest

from support import disks, labs
from support.api import ApiError, words


def sizes(host, guest):
    return {target: disks.allocated(host, chain[0])
            for target, chain in disks.images(host, guest.name).items()}


def kept(controller, guest):
    return [row for row in controller.api.items("/kept-volumes") if row["vm_uuid"] == guest.uuid]


@pytest.mark.parametrize("form", ["qcow2", pytest.param("raw", marks=pytest.mark.long)])
def test_there_sparse(controller, make, form):
    """R12, R13, R22: the disk is there before the memory, sparse as it was, format and all."""
    guest = make("v" + form, format=form, disk_size=1024)
    job = controller.move(guest)
    guest.spread(0)
    assert job["transfer"] == "Live (VSM)"
    copies = kept(controller, guest)
    assert [row["target"] for row in copies] == ["vda"]
    # The old copy is as it was when the VM went.
    before = disks.allocated("kvm1", copies[0]["volume"]["path"])
    after = sizes("kvm2", guest)["vda"]
    print("allocated before %d, after %d; %s" % (before, after, job["result"]))
    assert after <= before * 1.05 + (1 << 20)
    assert job["result"]["disk_bytes"] > 40 << 20


def test_several_disks_each_elsewhere(controller, make):
    """R38, R16: a place for each disk; a raw one becomes qcow2 on the way; a block device."""
    guest = make("vmany", disk="xfs", more_disks=["btrfs:128:raw", "block:64:raw"])
    device = labs.lab_storage.add_block_device(labs.host("kvm2"), "there", 64)
    controller.move(guest, storage="ext4", disks=[
        {"target": "vdb", "storage": "local", "name": "second.qcow2", "format": "qcow2"},
        {"target": "vdc", "storage": device}])
    found = disks.images("kvm2", guest.name)
    assert found == {"vda": [disks.folder("ext4") + "/vmany.qcow2"],
                     "vdb": [disks.folder("local") + "/second.qcow2"], "vdc": [device]}


def test_a_device_under_another_name_is_in_use(controller, make):
    """I4: one device has several names; what a VM has under one is not written to by another."""
    make("vhas", host="kvm2", disk="block", format="raw", disk_size=32, spread_fill=8)
    make("vwant", format="raw", disk_size=32, spread_fill=8)
    device = disks.images("kvm2", "vhas")["vda"][0]
    alias = "/dev/godwit-%s-alias" % labs.settings.NAME
    os.symlink(device, alias)
    try:
        with pytest.raises(ApiError) as refused:
            controller.api.migrate("vwant", "kvm2", disks=[{"target": "vda", "storage": alias}])
    finally:
        os.unlink(alias)
    assert refused.value.code == "refused"
    assert "in use by VM 'vhas' (as %s)" % device in str(refused.value)


@pytest.mark.parametrize("flatten", [False, pytest.param(True, marks=pytest.mark.long)])
def test_backing_chain(controller, make, flatten):
    """The whole chain kept, or flattened, by choice."""
    guest = make("vchain%d" % flatten, below=True)
    source = guest.where()
    assert len(disks.images(source, guest.name)["vda"]) == 2
    controller.move(guest, flatten=flatten)
    assert len(disks.images(guest.where(), guest.name)["vda"]) == (1 if flatten else 2)


def test_firmware_and_tpm_go_along(controller, make):
    """UEFI variables and TPM state."""
    guest = make("vuefi", uefi=True, tpm=True, memory=256)
    controller.move(guest)
    host = guest.where()
    assert labs.host(host).virsh("dumpxml", guest.name).stdout.count("<nvram") == 1
    guest.shut_down(host)
    labs.virsh(host, "start", guest.name)
    guest.answers(120)


@pytest.mark.long
def test_and_back_again(controller, make):
    """The kept copy in the way is ours, and is replaced."""
    guest = make("vback")
    controller.move(guest)
    controller.move(guest)
    rows = kept(controller, guest)
    assert len(rows) == 1, rows


@pytest.mark.long
def test_shared_disks_stay(controller, make):
    """R4: only what the destination does not reach is copied."""
    guest = make("vpart", disk="shared", more_disks=["local:64:raw"])
    job = controller.move(guest)
    hows = {row["target"]: row["how"] for row in job["disks"]}
    assert hows == {"vda": "stays", "vdb": "mirror"}
    assert job["transfer"] == "Live (VSM)"


@pytest.mark.long
def test_slots_of_both_kinds(controller, make):
    """R22: one live and one storage migration, at both ends."""
    guest = make("vslot", spread_fill=96, disk_size=512)
    labs.rate("100mbit")
    job = controller.api.migrate(guest.name, "kvm2")
    controller.api.wait_copying(job["id"])
    uses = {(row["live_in_use"], row["storage_in_use"]) for row in controller.api.items("/hosts")}
    labs.rate("none")
    controller.api.wait_final(job["id"], 90)
    assert uses == {(1, 1)}


def begin_slowly(controller, guest, **options):
    labs.rate("60mbit")
    job = controller.api.migrate(guest.name, labs.other(guest.where()), **options)
    return controller.api.wait_until(
        job["id"], lambda row: row["state"] not in ("queued", "checking", "preparing") and
        row.get("progress", {}).get("disk_processed_bytes", 0) > 8 << 20, 60, 0.02)


def stays(controller, guest, job, source, state="failed"):
    job = controller.api.wait_final(job["id"], 120)
    assert job["state"] == state, words(job)
    assert guest.where() == source
    assert job["error"]["message"]
    return job


def test_cancel_in_the_disks(controller, make):
    """R58: what we made is removed; the VM goes on."""
    guest = make("vcan")
    job = begin_slowly(controller, guest)
    controller.api.cancel(job["id"])
    stays(controller, guest, job, "kvm1", "cancelled")


@pytest.mark.long
def test_controller_dies_at_half(controller, make):
    """I3: the agents and libvirt finish; the next controller finds it done, and keeps the books."""
    guest = make("vdie")
    job = begin_slowly(controller, guest)
    controller.kill()
    labs.rate("none")
    labs.eventually("the VM at kvm2", lambda: guest.where() == "kvm2", 60)
    controller.start()
    assert controller.api.wait_final(job["id"], 60)["state"] == "done"
    assert len(kept(controller, guest)) == 1


@pytest.mark.parametrize("end", ["kvm2", pytest.param("kvm1", marks=pytest.mark.long)])
def test_libvirtd_dies_at_half(controller, make, end):
    """The VM stays where it was, with its data; nothing is left at the other end."""
    guest = make("vlv" + end[-1])
    job = begin_slowly(controller, guest)
    labs.libvirtd(end, "kill")
    labs.rate("none")
    time.sleep(2)
    labs.libvirtd(end, "start")
    job = controller.api.wait_final(job["id"], 120)
    assert guest.where() == ("kvm2" if job["state"] == "done" else "kvm1")


def test_destination_full_before(controller, make):
    """Space is checked before a byte moves (R26, I8)."""
    guest = make("vfull", spread_fill=90)
    with pytest.raises(ApiError) as refused:
        controller.api.migrate(guest.name, "kvm2", storage="small")
    assert refused.value.code == "refused" and "small" in str(refused.value)


@pytest.mark.long
def test_destination_full_during(controller, make):
    guest = make("vgrow", spread_fill=32, disk_size=512, spread=400, spread_rate=0)
    job = controller.api.migrate(guest.name, "kvm2", storage="small")
    controller.api.wait_until(job["id"], lambda row: row["state"] != "queued", 20)
    filler = disks.inside("kvm2", disks.folder("small") + "/filler")
    with open(filler, "wb") as out:
        try:
            while True:
                out.write(b"x" * (1 << 20))
                out.flush()
        except OSError:
            pass
    try:
        job = controller.api.wait_final(job["id"], 90)
        if job["state"] == "failed":
            assert guest.where() == "kvm1"
            assert "space" in job["error"]["message"].lower(), words(job)
    finally:
        os.unlink(filler)


def test_bad_places(controller, make):
    """R16, R17: named, with the remedy."""
    make("vbad")
    for where, said in (("nowhere", "nowhere"), ("../etc", ".."), ("/no/such/path", "/no/such/path"),
                        ("\\\\storage\\vms", "FQDN"), ("storage:/vms", "FQDN")):
        with pytest.raises(ApiError) as refused:
            controller.api.migrate("vbad", "kvm2", storage=where)
        assert said in str(refused.value), where
        assert "remedy" in refused.value.problem, where


@pytest.mark.long
def test_name_that_is_taken(controller, make):
    """What we did not make is not touched."""
    guest = make("vtaken")
    path = disks.inside("kvm2", disks.folder("local") + "/vtaken.qcow2")
    with open(path, "wb") as out:
        out.write(b"somebody's")
    try:
        with pytest.raises(ApiError) as refused:
            controller.api.migrate(guest.name, "kvm2")
        assert "already" in str(refused.value)
        assert open(path, "rb").read() == b"somebody's"
    finally:
        os.unlink(path)
