# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes through the libvirt driver on real hosts: looked at, made, copied, removed, reached."""
import hashlib
import inspect
import os
import time

import pytest

from hyper_driver import PROGRAM, Driver
from test_hyper import STATE, lab, lab_is_up  # noqa: F401

LOCAL = STATE + "/local/"  # of each host its own
MIB = 1024 * 1024

pytestmark = [pytest.mark.long,
              pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
              pytest.mark.skipif(not os.path.exists(PROGRAM), reason="%s is not built" % PROGRAM)]


def run(host, script):
    return lab("exec", host, "sh", "-ec", "cd %s\n%s" % (LOCAL, script)).stdout.strip()


@pytest.fixture(name="driver")
def connected(hosts):
    driver = Driver()
    for name, host in hosts.items():
        driver.good("connect", name, 12, text=host["uri"])
        run(name, "rm -rf v-*")
    yield driver
    for name in hosts:
        run(name, "rm -rf v-*")
        pools = lab("virsh", name, "pool-list", "--all", "--name").stdout
        assert "godwit" not in pools, "a pool of ours was left behind"
    driver.close()


def volume(name, image_format="raw", **more):
    return dict(pool="local", name=name, format=image_format, **more)


def copy(number, source, destination, **more):
    return dict({"id": number, "from_host": "kvm1", "to_host": "kvm2", "from": source,
                 "to": destination}, **more)


def looked(driver, host, wanted, chain=False):
    return driver.good("volume-look", host, volume=wanted, number=int(chain))["volumes"]


def content(host, name):
    """Its digest, length, and blocks of 512 bytes that it takes."""
    told = run(host, "sha256sum < %s; stat -c '%%s %%b' %s" % (name, name)).split()
    return told[0], int(told[2]), int(told[3])


def digest(path):
    """What both ends of a copy compute (src/base/digest.h)."""
    blocks = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as file:
        while block := file.read(MIB):
            blocks.update(hashlib.blake2b(block, digest_size=32).digest())
    return "blake2b:" + blocks.hexdigest()


def test_a_volume_is_made_as_asked_and_once(driver):
    wanted = volume("v-a&b", "qcow2", capacity_bytes=1000000001, cluster_bytes=131072,
                    compat="1.1", lazy_refcounts=True, extended_l2=True, mode="0640",
                    owner="64055", group="64055")
    driver.good("volume-create", "kvm1", volume=wanted)
    found = looked(driver, "kvm1", wanted)[0]
    assert found["capacity_bytes"] == 1000000512  # QEMU counts sectors
    assert {key: found[key] for key in wanted if key != "capacity_bytes"} == \
        {key: wanted[key] for key in wanted if key != "capacity_bytes"}
    # There already; after a restart, and never written to, that is well.
    assert driver.bad("volume-create", "kvm1", volume=wanted)["code"] == "conflict"
    driver.good("volume-create", "kvm1", volume=wanted, number=1)
    run("kvm1", "qemu-io -f qcow2 -c 'write 0 4k' 'v-a&b'")
    assert driver.bad("volume-create", "kvm1", volume=wanted, number=1)["code"] == "conflict"
    driver.good("volume-delete", "kvm1", volume=wanted)
    driver.good("volume-delete", "kvm1", volume=wanted)
    assert looked(driver, "kvm1", wanted) == []


@pytest.mark.parametrize("allocation", [0, 3 * MIB + 5])
def test_a_raw_volume_keeps_its_exact_size(driver, allocation):
    wanted = volume("v-raw", capacity_bytes=3 * MIB + 5, allocation_bytes=allocation)
    driver.good("volume-create", "kvm1", volume=wanted)
    assert looked(driver, "kvm1", wanted)[0]["length_bytes"] == 3 * MIB + 5
    driver.good("volume-create", "kvm1", volume=wanted, number=1)
    run("kvm1", "printf x | dd of=v-raw conv=notrunc status=none")
    assert driver.bad("volume-create", "kvm1", volume=wanted, number=1)["code"] == "conflict"


def test_chains_are_followed_by_what_is_stated(driver):
    run("kvm1", "mkdir v-dir; qemu-img create -q -f raw v-dir/base 5M;"
        "qemu-img create -q -f qcow2 -F raw -b v-dir/base v-mid;"
        "qemu-img create -q -f qcow2 -F qcow2 -b v-mid v-top; qemu-img snapshot -c one v-top")
    chain = looked(driver, "kvm1", volume("v-top", "qcow2"), chain=True)
    assert [image["path"] for image in chain] == [LOCAL + name for name in
                                                  ("v-top", "v-mid", "v-dir/base")]
    assert [image.get("pool") for image in chain] == ["local", "local", None]
    assert [image["format"] for image in chain] == ["qcow2", "qcow2", "raw"]
    assert [image["internal_snapshots"] for image in chain] == [1, 0, 0]
    # What a guest wrote into a raw disk is content, whatever it looks like.
    raw = looked(driver, "kvm1", volume("v-top"), chain=True)
    assert len(raw) == 1 and raw[0]["capacity_bytes"] == raw[0]["length_bytes"]


def test_broken_chains_say_what_is_wrong(driver):
    run("kvm1", "qemu-img create -q -u -f qcow2 -F raw -b gone v-gone 5M;"
        "qemu-img create -q -u -f qcow2 -F raw -b nbd://x/y v-net 5M;"
        "qemu-img create -q -u -f qcow2 -F qcow2 -b v-one v-loop 5M;"
        "qemu-img create -q -u -f qcow2 -F qcow2 -b v-loop v-one 5M;"
        "qemu-img create -q -f raw v-base 5M;"
        "qemu-img create -q -f qcow2 -F raw -b v-base v-bare;"
        # The header's first extension states the format: made one that nobody knows.
        "printf '\\001\\001\\001\\001' | dd of=v-bare bs=1 seek=112 conv=notrunc status=none")
    for name, code, words in (("v-gone", "not-found", LOCAL + "gone"),
                              ("v-net", "unsupported", "nbd://x/y"),
                              ("v-loop", "invalid", "loop"),
                              ("v-bare", "invalid", "does not say which format")):
        told = driver.bad("volume-look", "kvm1", volume=volume(name, "qcow2"), number=1)
        assert told["code"] == code and words in told["message"], told
    assert "qemu-img rebase -u -F" in told["remedy"]


def test_files_outside_pools_are_reached(driver):
    path = "/var/lib/libvirt/swtpm/6b3b6b8e-0000-4000-8000-000000000001/tpm2/tpm2-00.permall"
    wanted = {"path": path, "format": "raw", "capacity_bytes": 4000, "mode": "0600"}
    # One that a crash left behind goes, too.
    run("kvm1", "mkdir v-left; virsh pool-create-as godwit-folder-left dir --target %sv-left" %
        LOCAL)
    assert looked(driver, "kvm1", wanted) == []
    driver.good("volume-create", "kvm1", volume=wanted)
    assert looked(driver, "kvm1", wanted)[0]["length_bytes"] == 4000
    driver.good("volume-delete", "kvm1", volume=wanted)
    assert looked(driver, "kvm1", wanted) == []
    for bad in ("relative", "/a/../b", "/a//b", "/a/"):
        assert driver.bad("volume-look", "kvm1", volume={"path": bad})["code"] == "invalid"


DOMAIN = """<domain type='qemu'><name>v-%s</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type>hvm</type></os><devices><disk type='%s' device='disk'>
<driver name='qemu' type='%s'/><source %s/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""


def test_what_is_used_is_not_removed(driver, tmp_path):
    run("kvm1", "mkdir v-dir; for n in off low deep below pooled; do qemu-img create -q -f raw v-$n 4M;"
        "done; qemu-img create -q -f qcow2 -F raw -b %sv-low v-dir/top;"
        "qemu-img create -q -f qcow2 -F raw -b %sv-deep v-dir/mid;"
        "qemu-img create -q -f qcow2 -F qcow2 -b mid v-dir/last;"
        "qemu-img create -q -f qcow2 -F raw -b v-below v-over; chmod 666 v-* v-dir/*;"
        "chmod 755 v-dir" % (LOCAL, LOCAL))
    for name, kind, image_format, source, begin in (
            ("stopped", "file", "raw", "file='%sv-dir/../v-off'" % LOCAL, "define"),
            ("runs", "file", "qcow2", "file='%sv-dir/top'" % LOCAL, "create"),
            # Of one that is off libvirt names the topmost image alone, here in no pool.
            ("chain", "file", "qcow2", "file='%sv-dir/last'" % LOCAL, "define"),
            ("pool", "volume", "raw", "pool='local' volume='v-pooled'", "define")):
        (tmp_path / name).write_text(DOMAIN % (name, kind, image_format, source))
        lab("virsh", "kvm1", begin, str(tmp_path / name))
    try:
        for image, user in (("v-off", "v-stopped"), ("v-low", "v-runs"), ("v-pooled", "v-pool"),
                            ("v-below", "v-over"), ("v-deep", "v-chain")):
            told = driver.bad("volume-delete", "kvm1", volume=volume(image))
            assert told["code"] == "conflict" and user in told["message"], told
        told = driver.bad("volume-copy", "kvm1", copy=copy(
            "used", volume("v-below"), volume("v-off", capacity_bytes=4 * MIB), to_host="kvm1",
            how="convert"))
        assert told["code"] == "conflict" and "v-stopped" in told["message"]
    finally:
        lab("virsh", "kvm1", "destroy", "v-runs", check=False)
        for name in ("v-stopped", "v-chain", "v-pool"):
            lab("virsh", "kvm1", "undefine", name, check=False)
    driver.good("volume-delete", "kvm1", volume=volume("v-off"))


@pytest.fixture(name="source")
def a_file_with_holes():
    """30 MiB and one byte, of which 4 MiB and a little are there."""
    run("kvm1", "truncate -s %d v-src; dd if=/dev/urandom of=v-src bs=1M count=4 seek=10 "
        "conv=notrunc status=none; printf x | dd of=v-src bs=1 seek=%d conv=notrunc status=none" %
        (30 * MIB + 1, 25 * MIB + 7))
    return volume("v-src")


def test_a_copy_is_the_same_whatever_was_there(driver, source):
    """An old content is nowhere to be seen, and holes are holes."""
    run("kvm2", "dd if=/dev/urandom of=v-dst bs=1M count=40 status=none")
    result = driver.good("volume-copy", "kvm2", copy=copy("c1", source, volume("v-dst")))["copied"]
    there, here = content("kvm1", "v-src"), content("kvm2", "v-dst")
    assert there[:2] == here[:2]
    assert here[2] * 512 < 6 * MIB and result["sent_bytes"] < 6 * MIB
    assert result["verified"] and result["digest"] == digest_on("kvm1", "v-src")
    # Back into the middle of what is there.
    result = driver.good("volume-copy", "kvm2", copy=copy(
        "c1", source, volume("v-dst"), resume_bytes=13 * MIB))["copied"]
    assert result["sent_bytes"] < 3 * MIB and content("kvm2", "v-dst")[:2] == there[:2]
    # A beginning that is not what it was thought to be is found, and mended.
    run("kvm2", "printf y | dd of=v-dst bs=1 seek=%d conv=notrunc status=none" % (11 * MIB))
    driver.good("volume-copy", "kvm2", copy=copy("c1", source, volume("v-dst"),
                                                 resume_bytes=13 * MIB))
    assert content("kvm2", "v-dst")[:2] == there[:2]


def digest_on(host, name):
    return run(host, "python3 - <<'END'\nimport hashlib\nMIB = %d\n%s\nprint(digest('%s'))\nEND" %
               (MIB, inspect.getsource(digest), name))


def test_only_what_differs_is_sent(driver, source):
    run("kvm2", "truncate -s 30M v-dst")
    driver.good("volume-copy", "kvm2", copy=copy("d1", source, volume("v-dst")))
    run("kvm2", "printf y | dd of=v-dst bs=1 seek=%d conv=notrunc status=none;"
        "truncate -s 33M v-dst" % (20 * MIB))
    result = driver.good("volume-copy", "kvm2", copy=copy("d2", source, volume("v-dst"),
                                                          delta=True))["copied"]
    assert result["sent_bytes"] == MIB and result["same_bytes"] == 29 * MIB + 1
    assert content("kvm1", "v-src")[:2] == content("kvm2", "v-dst")[:2]


def test_a_copy_is_aborted_and_goes_on(driver, source):
    run("kvm2", "truncate -s 30M v-dst")
    wanted = copy("a1", source, volume("v-dst"), bandwidth_mibps=1)
    running = driver.send("volume-copy", "kvm2", copy=wanted)
    progress = driver.eventually("it copies", lambda: driver.good(
        "copy-progress", "kvm2", text="a1").get("progress"))
    assert progress["total_bytes"] in (0, 30 * MIB + 1)
    driver.eventually("it has begun", lambda: driver.good(
        "copy-progress", "kvm2", text="a1")["progress"]["total_bytes"] == 30 * MIB + 1)
    assert driver.bad("volume-copy", "kvm2", copy=wanted)["code"] == "conflict"
    driver.good("copy-abort", "kvm2", text="a1")
    assert driver.wait(running)["error"]["code"] == "cancelled"
    driver.good("copy-abort", "kvm2", text="a1")
    assert "progress" not in driver.good("copy-progress", "kvm2", text="a1")
    driver.good("volume-copy", "kvm2", copy=dict(wanted, bandwidth_mibps=0))
    assert content("kvm1", "v-src")[:2] == content("kvm2", "v-dst")[:2]
    # One that has not begun yet.
    running = driver.send("volume-copy", "kvm2", copy=dict(wanted, id="a2"))
    driver.good("copy-abort", "kvm2", text="a2")
    assert driver.wait(running)["error"]["code"] == "cancelled"


def test_a_full_disk_is_said_and_survived(driver, source):
    """libvirtd 11.3 dies of ENOSPC in an upload: it must not come to that."""
    run("kvm2", "mkdir v-small; mount -t tmpfs -o size=8m none v-small;"
        "virsh pool-create-as v-small dir --target %sv-small" % LOCAL)
    try:
        run("kvm1", "dd if=/dev/urandom of=v-src bs=1M count=30 conv=notrunc status=none")
        small = dict(pool="v-small", name="x", format="raw", capacity_bytes=30 * MIB)
        driver.good("volume-create", "kvm2", volume=small)
        told = driver.bad("volume-copy", "kvm2", copy=copy("f1", source, small))
        assert "full" in told["message"] and "Free space" in told["remedy"]
        driver.good("pool-look", "kvm2", text="v-small")
    finally:
        run("kvm2", "virsh pool-destroy v-small; umount v-small")


def test_a_lost_destination_is_no_end(driver, source, hosts):
    run("kvm2", "truncate -s 30M v-dst")
    wanted = copy("l1", source, volume("v-dst"), bandwidth_mibps=1)
    running = driver.send("volume-copy", "kvm2", copy=wanted)
    driver.eventually("it has begun", lambda: driver.good(
        "copy-progress", "kvm2", text="l1").get("progress", {}).get("total_bytes"))
    lab("libvirtd", "kvm2", "kill")
    try:
        assert driver.wait(running)["error"]["code"] == "unreachable"
    finally:
        lab("libvirtd", "kvm2", "start")
    driver.good("connect", "kvm2", 12, text=hosts["kvm2"]["uri"])
    driver.good("volume-copy", "kvm2", copy=dict(wanted, bandwidth_mibps=0))
    assert content("kvm1", "v-src")[:2] == content("kvm2", "v-dst")[:2]


def test_a_source_that_is_written_to_is_no_source(driver, source):
    run("kvm2", "truncate -s 30M v-dst")
    running = driver.send("volume-copy", "kvm2", copy=copy("w1", source, volume("v-dst"),
                                                           bandwidth_mibps=2))
    driver.eventually("it has begun", lambda: driver.good(
        "copy-progress", "kvm2", text="w1").get("progress", {}).get("total_bytes"))
    time.sleep(0.1)  # file systems count time in ticks
    run("kvm1", "printf z | dd of=v-src bs=1 seek=1 conv=notrunc status=none")
    told = driver.wait(running)["error"]
    assert told["code"] == "conflict" and "written to" in told["message"]


def test_copies_within_a_host(driver, source):
    into = volume("v-new", "qcow2", capacity_bytes=30 * MIB + 512)
    driver.good("volume-copy", "kvm1", copy=copy("h1", source, into, to_host="kvm1",
                                                 how="convert"))
    run("kvm1", "qemu-img compare -q -f raw -F qcow2 v-src v-new")
    # The lab's folder clones nothing; then the empty volume is there to be filled otherwise.
    raw = volume("v-clone", capacity_bytes=30 * MIB + 1)
    told = driver.bad("volume-copy", "kvm1", copy=copy("h2", source, raw, to_host="kvm1",
                                                       how="fast copy"))
    assert told["code"] == "unsupported"
    driver.good("volume-copy", "kvm1", copy=copy("h3", source, raw, to_host="kvm1"))
    assert content("kvm1", "v-clone")[:2] == content("kvm1", "v-src")[:2]
    # A raw disk that a guest made look like qcow2 is not given to qemu-img.
    told = driver.bad("volume-copy", "kvm1", copy=copy(
        "h4", volume("v-new"), volume("v-x", capacity_bytes=1), to_host="kvm1", how="convert"))
    assert told["code"] == "unsupported" and "takes its content for qcow2" in told["message"]


def test_what_cannot_be_reached_is_told_from_what_cannot_be_tried(driver):
    told = driver.good("reach", "kvm1", disk={"type": "block", "source": "/dev/disk/by-id/wwn-0x1"})
    assert not told["verdict"] and "is not there" in told["text"]
    told = driver.bad("reach", "kvm1", disk={"type": "network", "source": "rbd:pool/x",
                                             "source_host": "198.51.100.9"})
    assert told["code"] == "unsupported"
