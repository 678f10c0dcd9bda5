# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is wrong, hostile or broken, through the whole product: clear answers, nothing harmed (I8).
"""
import os
import shutil
import subprocess
import time
from xml.sax.saxutils import escape

import pytest

from support import labs
from support.api import ApiError, words
from support.controller import PROGRAM, Controller
from support.slots import taken_slot

SMALL = """<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>%s</domain>"""
ODD_UUID = "0dd00000-0000-4000-8000-000000000001"


def problem_of(call, *args, **options):
    with pytest.raises(ApiError) as refused:
        call(*args, **options)
    problem = refused.value.problem
    print(refused.value.status, problem.get("code"), problem.get("detail"), "|",
          problem.get("remedy"))
    assert problem["detail"] and problem["code"]
    return problem


def test_unknown_names(controller, guest):
    assert problem_of(controller.api.migrate, guest.name, "no-such")["code"] == "not-found"
    assert problem_of(controller.api.migrate, "no-such", "kvm2")["code"] == "not-found"
    assert problem_of(controller.api.job, "no-such")["code"] == "not-found"


@pytest.mark.parametrize("uri", [
    "qemu+tls://192.0.2.250/system?pkipath=%(pki)s/client",
    "qemu+tls://%(address)s:9/system?pkipath=%(pki)s/client",
], ids=["no answer", "closed port"])
def test_unreachable_host(controller, uri):
    begun = time.monotonic()
    problem = problem_of(controller.api.post, "/hosts", {"uri": uri % {
        "pki": labs.settings.PKI, "address": labs.host("kvm1").address}})
    assert time.monotonic() - begun < 15
    assert problem["code"] in ("unreachable", "timeout") and problem["remedy"]
    assert len(controller.api.items("/hosts")) == 2, "nothing was stored"


def test_duplicate_host(controller):
    uri = labs.host("kvm1").uri
    assert problem_of(controller.api.post, "/hosts", {"uri": uri})["code"] == "conflict"
    problem = problem_of(controller.api.post, "/hosts", {"uri": uri + "&no_verify=0",
                                                         "name": "again"})
    assert problem["code"] in ("conflict", "invalid")


@pytest.mark.parametrize("uri", [
    "", "kvm1", "http://kvm1/", "qemu+ssh://kvm1/system?command=/bin/sh",
    "qemu+ssh://root:secret@kvm1/system", "qemu+tls://kvm1/system\n",
    "qemu+tls://" + "k" * 5000 + "/system", "test:///default"])
def test_bad_uri(controller, uri):
    problem = problem_of(controller.api.post, "/hosts", {"uri": uri})
    assert problem["code"] in ("invalid", "too-large") and "secret" not in str(problem)


def test_vm_destroyed_while_its_move_waits(controller, guests):
    """What was true when it was checked is checked again before anything is done."""
    guest = guests.get()
    with taken_slot(controller, guests):
        job = controller.api.migrate(guest.name, labs.other(guest.where()))
        controller.api.wait_state(job["id"], "queued")
        guest.dies = True
        labs.virsh(guest.where(), "destroy", guest.name)
    job = controller.api.wait_final(job["id"])
    print(words(job))
    assert job["state"] == "failed" and job["error"]["remedy"]
    assert job["error"]["code"] in ("refused", "operation-failed")


@pytest.mark.parametrize("name", [
    "<script>alert(1)</script>", "a & b; $(reboot) `id` 'q' \"d\"", "..", "-rf", "\u202egnp.exe",
    "red\u009b31m", "tab\tname", "n" * 200], ids=lambda name: ascii(name)[:20])
def test_odd_names(controller, lab, name, tmp_path):
    """Shown as they are, but for what would drive a terminal; moved only by what they name."""
    path = tmp_path / "odd.xml"
    path.write_text(SMALL % (escape(name), ODD_UUID, ""), encoding="utf-8")
    done = labs.virsh("kvm1", "define", str(path), check=False)
    if done.returncode != 0:
        print("libvirt itself refuses it:", done.stderr.strip())
        assert controller.api.items("/vms", host="kvm1") is not None
        return
    try:
        row = labs.eventually("the VM to be listed", lambda: next(
            (vm for vm in controller.api.items("/vms") if vm["uuid"] == ODD_UUID), None))
        said = controller.cli("vm", "list").stdout + controller.cli("vm", "show", ODD_UUID).stdout
        assert not any(ch < " " and ch != "\n" or "\x7f" <= ch <= "\x9f" or
                       "\u202a" <= ch <= "\u202e" for ch in said), ascii(said)
        assert row["state"] == "off"
        job = controller.api.wait_final(controller.api.migrate(ODD_UUID, "kvm2")["id"])
        assert job["state"] == "done" and job["transfer"] == "Register", words(job)
    finally:
        for host in labs.HOSTS:
            labs.virsh(host, "undefine", ODD_UUID, check=False)
    labs.eventually("it to be gone", lambda: not any(
        vm["uuid"] == ODD_UUID for vm in controller.api.items("/vms")))


@pytest.mark.parametrize("mib", [1, 3.9, 9])
def test_large_definition(controller, guest, mib, tmp_path):
    """libvirt's own ceiling is 4 MiB for a text on the wire, and 10 MiB for a file. Whatever a
    definition's size, only its VM shows an error, and the host's others go on."""
    metadata = "<metadata><x:x xmlns:x='http://example.com/x'>%s</x:x></metadata>" % (
        "m" * int(mib * (1 << 20)))
    xml = SMALL % ("large", ODD_UUID, metadata)
    folder = labs.host("kvm1").base + "/libvirt/qemu"
    if mib < 4:
        path = tmp_path / "large.xml"
        path.write_text(xml, encoding="utf-8")
        labs.virsh("kvm1", "define", str(path))
    else:  # too large to be sent; but it may lie there
        labs.libvirtd("kvm1", "kill")
        with open(folder + "/large.xml", "w", encoding="utf-8") as out:
            out.write(xml)
        labs.libvirtd("kvm1", "start")
        controller.wait_hosts()
    try:
        row = labs.eventually("it to be listed", lambda: next(
            (vm for vm in controller.api.items("/vms") if vm["uuid"] == ODD_UUID), None), 20)
        print("%g MiB: %s" % (mib, row.get("error") or "listed whole"))
        assert controller.api.hosts()["kvm1"]["status"].startswith("OK")
        assert [vm["state"] for vm in controller.api.vms(guest.name)] == ["running"]
        if row.get("error"):
            assert "definition cannot be read" in row["error"]
            problem_of(controller.api.migrate, ODD_UUID, "kvm2")
        else:  # it is off, and goes as it is
            job = controller.api.wait_final(controller.api.migrate(ODD_UUID, "kvm2")["id"])
            assert job["state"] == "done" or job["error"]["remedy"], words(job)
    finally:
        for host in labs.HOSTS:
            labs.virsh(host, "undefine", ODD_UUID, check=False)


def test_second_controller_on_one_folder(controller):
    done = subprocess.run([PROGRAM, "--state-dir", controller.state, "--port", "0"], text=True,
                          capture_output=True, timeout=20)
    print(done.stderr.strip())
    assert done.returncode == 1 and "lock" in done.stderr or "use" in done.stderr
    controller.wait_hosts(5)


@pytest.fixture(name="small_disk")
def a_small_file_system(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_disk_full_in_the_middle_of_a_move(guest, slow_line, small_disk):
    """What cannot be recorded waits (I5); the hosts carry the copy on; with space it is settled."""
    second = Controller(small_disk)
    second.log_path = str(small_disk.parent) + "/log"
    guest.moved_by_another = True
    source = guest.where()
    filler = small_disk / "filler"
    try:
        second.start()
        second.manage_lab()
        job = second.api.migrate(guest.name, labs.other(source), method="standard")
        second.api.wait_copying(job["id"])
        handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(handle, b"\0" * 4096)
        os.close(handle)
        labs.rate("none")
        labs.eventually("the VM to run there", lambda: guest.states().get(
            labs.other(source)) == "running", 30)
        time.sleep(2)
        assert second.api.job(job["id"])["state"] not in ("done", "failed"), "not recorded yet"
        assert guest.states()[source] == "shut off", "the definition stays until it may go (I2)"
        problem = problem_of(second.api.post, "/host-groups", {"name": "more"})
        assert problem["code"] == "store" and "space" in problem["remedy"].lower()
        os.unlink(filler)
        job = second.api.wait_final(job["id"], 30)
        assert job["state"] == "done", words(job)
    finally:
        if filler.exists():
            os.unlink(filler)
        second.stop()


def test_damaged_database(lab, tmp_path):
    """Said, and left as it is for whoever wants to mend it; a copy of before works."""
    damaged = Controller(tmp_path)
    damaged.start()
    damaged.api.post("/host-groups", {"name": "kept"})
    damaged.stop()
    database = damaged.state + "/godwit.db"
    shutil.copy(database, database + ".good")
    size = os.path.getsize(database)
    with open(database, "r+b") as out:
        for offset in range(4096, size, 4096):
            out.seek(offset)
            out.write(b"\xa5" * 2000)
    done = subprocess.run([PROGRAM, "--state-dir", damaged.state, "--port", "0"], text=True,
                          capture_output=True, timeout=20)
    print(done.stderr.strip())
    assert done.returncode == 1 and "damaged" in done.stderr and "backup" in done.stderr
    os.replace(database + ".good", database)
    damaged.start()
    try:
        assert "kept" in [group["name"] for group in damaged.api.items("/host-groups")]
    finally:
        damaged.stop()


@pytest.mark.parametrize("text,said", [
    ('{"hosts": [{"uri": "qemu+tls://a/system", "facts": {"flavour": 1}}]}', "unknown field"),
    ('{"hosts": ', "not valid JSON"),
])
def test_simulated_fabric_that_is_none(tmp_path, text, said):
    """Which file it is, what is wrong with it, and what to do."""
    fabric = tmp_path / "fabric.json"
    fabric.write_text(text)
    done = subprocess.run([PROGRAM, "--state-dir", str(tmp_path / "state"), "--port", "0",
                           "--simulate", str(fabric)], text=True, capture_output=True, timeout=20)
    assert done.returncode == 1 and str(fabric) in done.stderr and said in done.stderr
    assert len(done.stderr.splitlines()) == 2, "a remedy"
