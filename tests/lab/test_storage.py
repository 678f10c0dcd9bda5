"""The lab's storage: each kind does what it is there for, and a guest notices when its disk does
not hold what it wrote."""
import json
import os
import subprocess
import time

import pytest

from test_lab import STATE, eventually, lab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")


@pytest.fixture(scope="module", name="stores")
def hosts_with_storage():
    lab("install")
    lab("up", "--hosts", "2")
    lab("storage", "xfs", "btrfs", "ext4", "small", "slow", "gluster", "iscsi")
    yield STATE + "/stores/"
    lab("down")


def inside(host, *words):
    return subprocess.run([lab.program, "exec", host] + list(words), env=lab.env, text=True,
                          capture_output=True, timeout=60)


def write_mib(host, path, mib):
    return inside(host, "dd", "if=/dev/urandom", "of=" + path, "bs=1M", "count=%d" % mib,
                  "oflag=direct")


@pytest.mark.parametrize("kind, clones", [("xfs", True), ("btrfs", True), ("ext4", False)])
def test_which_file_systems_clone(stores, kind, clones):
    path = stores + kind + "/one"
    assert write_mib("kvm1", path, 2).returncode == 0
    done = inside("kvm1", "cp", "--reflink=always", path, path + ".clone")
    assert (done.returncode == 0) == clones, done.stderr
    inside("kvm1", "rm", "-f", path, path + ".clone")


def test_each_host_has_its_own(stores):
    inside("kvm1", "touch", stores + "xfs/mine")
    assert inside("kvm2", "test", "-e", stores + "xfs/mine").returncode != 0
    inside("kvm1", "rm", stores + "xfs/mine")


def test_small_is_soon_full(stores):
    done = write_mib("kvm1", stores + "small/much", 200)
    assert done.returncode != 0 and "No space left" in done.stderr
    inside("kvm1", "rm", "-f", stores + "small/much")


def test_slow_keeps_its_pace(stores):
    """16 MiB at 8 MiB/s, of which a first burst may be free: never under a second."""
    begun = time.monotonic()
    assert write_mib("kvm1", stores + "slow/some", 24).returncode == 0
    assert time.monotonic() - begun > 1
    inside("kvm1", "rm", "-f", stores + "slow/some")


def test_gluster_is_one_for_all(stores):
    lab("prove-shared", stores + "gluster")
    held = subprocess.Popen([lab.program, "exec", "kvm1", "flock", stores + "gluster", "-c",
                             "python3 -c 'import fcntl,struct,time;f=open(\"%sgluster/l\",\"w\");"
                             "fcntl.fcntl(f,37,struct.pack(\"hhqqi\",1,0,0,0,0));print(1,flush=True)"
                             ";time.sleep(30)'" % stores], env=lab.env, stdout=subprocess.PIPE)
    try:
        assert held.stdout.readline() == b"1\n"
        other = inside("kvm2", "python3", "-c", "import fcntl,struct;f=open('%sgluster/l','w');"
                       "fcntl.fcntl(f,37,struct.pack('hhqqi',1,0,0,0,0))" % stores)
        assert "Resource temporarily unavailable" in other.stderr, other
    finally:
        held.kill()
        held.wait()
    inside("kvm1", "pkill", "-f", "gluster/l")


def test_lun_is_seen_by_both(stores):
    lab("guest", "start", "san", "--disk", "iscsi", "--format", "raw", "--disk-size", "32")
    record = json.load(open(STATE + "/guests/san.json", encoding="utf-8"))
    server, target, number = record["made"]["vda"]
    lab("virsh", "kvm1", "destroy", "san")
    for host in ("kvm1", "kvm2"):
        done = inside(host, "qemu-io", "-f", "raw", "-r", "-c", "read 0 4k",
                      "iscsi://%s/%s/%d" % (server, target, number))
        assert "read 4096/4096" in done.stdout, done
    lab("guest", "stop", "san")


def disks(name):
    words = lab("guest", "tell", name, "disks").stdout.split()
    return dict(word.split("=") for word in words)


def verify(name):
    before = int(disks(name)["verified"])
    lab("guest", "tell", name, "verify")
    eventually("a pass over the disks of " + name,
               lambda: int(disks(name)["verified"]) > before)
    return int(disks(name)["errors"])


def test_changed_block_is_caught(stores):
    """Positive control: what somebody else writes to the image is noticed; and nothing before."""
    lab("guest", "start", "spr", "--disk", "ext4", "--format", "raw", "--disk-size", "128",
        "--more-disks", "xfs:64:qcow2", "--spread", "40", "--spread-fill", "32",
        "--spread-rate", "20")
    eventually("the fill", lambda: disks("spr")["filled"] == "1")
    assert verify("spr") == 0
    image = stores + "ext4/spr.img"
    assert inside("kvm1", "dd", "if=/dev/zero", "of=" + image, "bs=4k", "seek=1500", "count=1",
                  "conv=notrunc", "oflag=direct").returncode == 0
    assert verify("spr") == 1
    lab("guest", "stop", "spr")


def test_content_survives_a_boot(stores):
    lab("guest", "start", "boot", "--disk", "btrfs", "--format", "qcow2", "--disk-size", "128",
        "--spread", "40", "--spread-fill", "32", "--spread-rate", "0", "--below")
    eventually("the fill", lambda: disks("boot")["filled"] == "1")
    before = disks("boot")["sum"]
    lab("virsh", "kvm1", "shutdown", "boot")
    eventually("the end", lambda: "shut off" in lab("virsh", "kvm1", "domstate", "boot").stdout)
    lab("virsh", "kvm1", "start", "boot")
    eventually("an answer", lambda: lab("guest", "tell", "boot", "disks", check=False).returncode
               == 0)
    assert disks("boot")["sum"] == before
    lab("guest", "stop", "boot")


def test_down_frees_the_devices(stores):
    lab("guest", "start", "dev", "--disk", "block", "--format", "raw", "--disk-size", "32")
    assert STATE in subprocess.run(["losetup", "-l"], capture_output=True, text=True).stdout
    lab("down")
    assert STATE not in subprocess.run(["losetup", "-l"], capture_output=True, text=True).stdout
    with open("/proc/mounts", encoding="utf-8") as mounts:
        assert STATE not in mounts.read()
