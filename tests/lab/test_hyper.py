# SPDX-License-Identifier: LGPL-2.1-or-later
"""The libvirt driver on real hosts: every operation, and what it does when a host goes away."""
import json
import os
import signal
import socket
import time

import pytest

from hyper_driver import PROGRAM, Driver
from lab_program import Lab

lab = Lab(os.environ.get("GODWIT_LAB_NAME") or "t")
STATE = lab.state
NOBODY = "00000000-0000-4000-8000-000000000000"

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
              pytest.mark.skipif(not os.path.exists(PROGRAM), reason="%s is not built" % PROGRAM)]


@pytest.fixture(scope="module", name="hosts")
def lab_is_up():
    lab("install")
    lab("up", "--hosts", "2")
    yield {host["name"]: host for host in json.loads(lab("status", "--json").stdout)["hosts"]}
    lab("down")


@pytest.fixture(scope="module", name="guest")
def one_guest(hosts):
    """The UUID of a guest that writes 5 MiB/s; tests leave it running on one host."""
    lab("guest", "start", "hyper", "--host", "kvm1", "--dirty", "5")
    uuid = lab("virsh", "kvm1", "domuuid", "hyper").stdout.strip()
    yield uuid
    lab("guest", "stop", "hyper", check=False)


@pytest.fixture(name="driver")
def connected(hosts):
    driver = Driver()
    for name, host in hosts.items():
        driver.good("connect", name, 12, text=host["uri"])
    yield driver
    driver.close()


@pytest.fixture(name="ends")
def source_and_destination(driver, guest):
    found = [name for name in ("kvm1", "kvm2") if driver.look(name, guest)["state"] == "running"]
    assert len(found) == 1, "the guest runs on %s" % found
    return found[0], "kvm2" if found[0] == "kvm1" else "kvm1"


def how(hosts, destination, peer_to_peer, **more):
    move = {"destination": destination, "peer_to_peer": peer_to_peer, "persist": True,
            "unsafe": True, "migration_uri": "tcp://" + hosts[destination]["address"], **more}
    if peer_to_peer:
        move["peer_uri"] = "qemu+tls://%s/system" % destination
    return move


def test_facts(driver, hosts):
    facts = driver.good("facts", "kvm1")["facts"]
    assert facts["hostname"] == "kvm1" and facts["bridges"] == ["br0"]
    assert {(net["name"], net["kind"], net["bridge"]) for net in facts["networks"]} == {
        ("lab", "libvirt", "br0"), ("br0", "bridge", "br0")}
    pools = {pool["name"]: pool for pool in facts["pools"]}
    assert pools["shared"]["target_path"] == STATE + "/shared" and pools["shared"]["active"]
    assert pools["shared"]["capacity_bytes"] > pools["shared"]["available_bytes"] > 0
    assert 0 < facts["free_memory_kib"] < facts["memory_kib"]
    assert facts["libvirt_version"] >= 9000000 and facts["qemu_version"] >= 7002000
    assert any(machine.startswith("pc-q35-") for machine in facts["machines"])
    assert "q35" not in facts["machines"]
    assert facts["host_uuid"] != driver.good("facts", "kvm2")["facts"]["host_uuid"]


def test_bridge_without_carrier(driver, hosts):  # R40
    lab("exec", "kvm1", "ip", "link", "add", "idle0", "type", "bridge")
    try:
        facts = driver.good("facts", "kvm1")["facts"]
    finally:
        lab("exec", "kvm1", "ip", "link", "del", "idle0")
    assert facts["bridges"] == ["br0", "idle0"]
    assert "idle0" in {net["name"] for net in facts["networks"]}


def test_list_and_look(driver, guest, ends):
    source, destination = ends
    listed = driver.good("list-vms", source)["vms"]
    vm = next(vm for vm in listed if vm["uuid"] == guest)
    assert vm["name"] == "hyper" and vm["state"] == "running" and vm["host_id"] == source
    assert vm["persistent"] and not vm["autostart"] and not vm["incoming"] and "error" not in vm
    assert vm["disks"][0]["capacity_bytes"] > 0 and vm["disks"][0]["cache"] == "none"
    assert driver.good("get-vm", source, vm=guest)["vms"] == [vm]
    assert guest in driver.good("get-xml", source, vm=guest)["text"]
    assert driver.look(destination, NOBODY) == driver.look(destination, guest)
    assert not driver.look(destination, NOBODY)["present"]
    assert driver.good("get-vm", destination, vm=NOBODY)["vms"] == []
    assert driver.bad("get-xml", destination, vm=NOBODY)["code"] == "not-found"
    assert driver.bad("look", source, vm="rubbish")["code"] == "invalid"
    assert "progress" not in driver.good("progress", source, vm=guest)


def test_cpu_compare(driver, guest, ends):
    vm = driver.good("get-vm", ends[0], vm=guest)["vms"][0]
    own = driver.good("cpu-compare", ends[1], text=vm["cpu_xml"], text2=vm["machine"], number=1)
    assert own["verdict"]
    foreign = "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model></cpu>"
    other = driver.good("cpu-compare", ends[1], text=foreign, text2=vm["machine"], number=1)
    assert not other["verdict"] and "features" in other["text"]
    vague = driver.bad("cpu-compare", ends[1], text="<cpu mode='host-passthrough'/>", number=0)
    assert vague["code"] == "unsupported"


def named(model):
    return "<cpu mode='custom'><model fallback='forbid'>%s</model></cpu>" % model


def test_cpu_models(driver):
    """What a host tells of its models is what its comparison says."""
    told = next(cpu for cpu in driver.good("facts", "kvm1")["facts"]["vm_cpus"]
                if cpu["virt_type"] == "qemu")
    assert told["usable"] and told["blocked"] and len(told["features"]) > 20
    assert set(told["extra"]) <= set(told["features"])
    assert not set(told["missing"]) & set(told["features"])
    for line in told["blocked"][::8]:
        refused = driver.good("cpu-compare", "kvm1", text=named(line.split()[0]), number=1)
        assert not refused["verdict"], line
    for model in told["usable"][::4]:
        assert driver.good("cpu-compare", "kvm1", text=named(model), number=1)["verdict"], model
    newer = driver.good("cpu-compare", "kvm1", text=named("Zen99"), number=1)
    assert not newer["verdict"] and "Zen99" in newer["text"], newer


def test_cpu_baseline(driver):
    cpus = [next(cpu["xml"] for cpu in driver.good("facts", name)["facts"]["vm_cpus"]
                 if cpu["virt_type"] == "qemu") for name in ("kvm1", "kvm2")]
    whole = driver.good("cpu-baseline", "kvm1", definitions=cpus, number=1)["cpu"]
    smaller = cpus[1].replace("</cpu>", "<feature policy='disable' name='aes'/></cpu>")
    less = driver.good("cpu-baseline", "kvm1", definitions=[cpus[0], smaller], number=1)["cpu"]
    assert set(whole["features"]) - set(less["features"]) == {"aes"}
    assert driver.good("cpu-compare", "kvm2", text=less["xml"], number=1)["verdict"]
    assert driver.bad("cpu-baseline", "kvm1", definitions=[], number=1)["code"] == "invalid"
    assert driver.bad("cpu-baseline", "kvm1", definitions=["<rubbish/>"])["code"] == "invalid"
    assert driver.bad("cpu-baseline", "kvm1", definitions=[named("a")] * 65)["code"] == "invalid"


@pytest.mark.parametrize("peer_to_peer", [True, False], ids=["p2p", "direct"])
@pytest.mark.parametrize("paused", [True, False], ids=["paused", "running"])
def test_move(driver, hosts, guest, ends, peer_to_peer, paused):
    source, destination = ends
    move = how(hosts, destination, peer_to_peer, paused=paused, bandwidth_mibps=200)
    number = driver.send("migrate", source, vm=guest, migrate=move)
    longest, seen = 0, []
    while number not in driver.replies:
        begun = time.monotonic()
        found = driver.good("get-vm", destination, vm=guest)["vms"]
        seen += [vm["incoming"] for vm in found]
        driver.look(destination, guest)
        driver.good("progress", source, vm=guest)
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.05)
    assert "error" not in driver.wait(number), driver.wait(number)
    assert longest < 5, "the destination kept a question waiting for %.1f s" % longest
    assert True in seen

    left, come = driver.look(source, guest), driver.look(destination, guest)
    assert (left["state"], left["reason"], left["persistent"]) == ("off", "migrated", True)
    assert (come["state"], come["reason"]) == (("paused", "user") if paused
                                               else ("running", "migrated"))
    assert come["persistent"] and not come["job_active"] and not left["job_active"]
    result = driver.good("stats", destination, vm=guest)["result"]
    assert result["copy_ms"] > 0 and result["transferred_bytes"] > 10 * 2**20
    assert result["iterations"] > 0 and result["downtime_libvirt_ms"] >= 0
    driver.event({"event": "iteration", "host": source, "vm": guest})
    driver.event({"event": "vm-lifecycle", "host": source, "text": "stopped", "text2": "migrated"})
    driver.event({"event": "vm-lifecycle", "host": destination, "text": "defined"})

    for _ in range(2):  # each is idempotent
        driver.good("resume", destination, vm=guest)
        driver.good("undefine", source, vm=guest)
    assert driver.look(destination, guest)["state"] == "running"
    assert not driver.look(source, guest)["present"]
    assert driver.bad("undefine", destination, vm=guest)["code"] == "conflict"


@pytest.mark.parametrize("peer_to_peer", [True, False], ids=["p2p", "direct"])
def test_abort_while_copying(driver, hosts, guest, ends, peer_to_peer):
    source, destination = ends
    move = how(hosts, destination, peer_to_peer, paused=True, bandwidth_mibps=8)
    number = driver.send("migrate", source, vm=guest, migrate=move)

    def copying():
        found = driver.good("progress", source, vm=guest).get("progress")
        return found if found and found["phase"] == "memory" and found["bandwidth_bps"] else None
    progress = driver.eventually("copying", copying)
    assert 0 < progress["remaining_bytes"] <= progress["total_bytes"]
    assert progress["eta_ms"] > 1000 and progress["converging"] and progress["iteration"] >= 1
    assert driver.look(source, guest)["job_active"]
    assert driver.look(destination, guest)["job_active"]
    listed = driver.good("list-vms", destination, 5)["vms"]
    assert [vm["incoming"] for vm in listed if vm["uuid"] == guest] == [True]
    driver.good("set-bandwidth", source, vm=guest, number=9)
    driver.good("set-downtime", source, vm=guest, number=250)
    driver.good("abort", source, vm=guest)
    assert driver.wait(number, 10)["error"]["code"] == "cancelled"
    driver.eventually("gone", lambda: not driver.look(destination, guest)["present"])
    assert driver.look(source, guest)["state"] == "running"
    assert not driver.look(source, guest)["job_active"]


def test_abort_at_once(driver, hosts, guest, ends):
    """An abort right behind the move must not be lost before libvirt's job has begun."""
    source, destination = ends
    for pause in (0, 0.05, 0.2):
        move = how(hosts, destination, True, paused=True, bandwidth_mibps=8)
        number = driver.send("migrate", source, vm=guest, migrate=move)
        time.sleep(pause)
        driver.good("abort", source, vm=guest)
        assert driver.wait(number, 10)["error"]["code"] == "cancelled"
        driver.eventually("gone", lambda: not driver.look(destination, guest)["present"])
    assert driver.bad("abort", source, vm=guest)["code"] == "operation-failed"


def test_not_converging_is_said(driver, hosts, guest, ends):
    source, destination = ends
    move = how(hosts, destination, True, paused=True, bandwidth_mibps=30, max_downtime_ms=1)
    number = driver.send("migrate", source, vm=guest, migrate=move)
    driver.event({"event": "iteration", "number": 2}, 60)
    driver.good("set-bandwidth", source, vm=guest, number=2)  # the guest writes 5 MiB/s

    def hopeless():
        found = driver.good("progress", source, vm=guest).get("progress")
        return found if found and not found["converging"] else None
    try:
        progress = driver.eventually("not converging", hopeless, 30)
        assert progress["eta_ms"] == -1 and progress["iteration"] >= 2 and progress["note"]
    finally:
        driver.ask("abort", source, vm=guest)
        driver.wait(number, 15)


def test_pause_destroy_define_start(driver, guest, ends):
    source, destination = ends
    xml = driver.good("get-xml", source, vm=guest)["text"]
    other = xml.replace(guest, NOBODY).replace("<name>hyper<", "<name>hyper2<")
    for _ in range(2):
        driver.good("define", destination, text=other)
    assert driver.look(destination, NOBODY)["state"] == "off"
    for wanted in (1, 0):
        driver.good("autostart", destination, vm=NOBODY, number=wanted)
        assert driver.look(destination, NOBODY)["autostart"] == bool(wanted)
        assert driver.good("list-vms", destination)["vms"][0]["autostart"] == bool(wanted)
    for _ in range(2):
        driver.good("destroy", destination, vm=NOBODY)  # there is no process
        driver.good("undefine", destination, vm=NOBODY)
    assert driver.bad("start", destination, vm=NOBODY)["code"] == "not-found"
    assert driver.bad("start", source, vm=guest)["code"] == "conflict"
    for _ in range(2):
        driver.good("pause", source, vm=guest)
    assert driver.look(source, guest)["reason"] == "user"
    driver.good("resume", source, vm=guest)
    assert driver.bad("define", source, text="<domain/>")["code"] == "invalid"


def test_unreadable_definition_hides_no_other(driver, guest, ends, tmp_path):
    """Each > is written back as four letters: more than libvirt's protocol carries."""
    definition = tmp_path / "bloated.xml"
    definition.write_text("""<domain type='qemu'><name>bloated</name><uuid>%s</uuid>
<description>%s</description><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>
""" % (NOBODY, ">" * 1500000))
    try:
        lab("virsh", ends[0], "define", str(definition))
        vms = {vm["uuid"]: vm for vm in driver.good("list-vms", ends[0])["vms"]}
        assert vms[guest]["state"] == "running" and "error" not in vms[guest]
        assert vms[NOBODY]["name"] == "bloated" and vms[NOBODY]["state"] == "off"
        assert vms[NOBODY]["persistent"] and "cannot be read" in vms[NOBODY]["error"]
        assert "cannot be read" in driver.good("get-vm", ends[0], vm=NOBODY)["vms"][0]["error"]
        assert driver.look(ends[0], NOBODY)["state"] == "off"
    finally:
        driver.ask("undefine", ends[0], vm=NOBODY)


def lock_domain(name, path):
    """What the driver holds a lock with, but for an emulator that ignores locks."""
    return """<domain type='qemu'><name>%s</name><memory unit='MiB'>32</memory>
<os><type>hvm</type></os><devices><emulator>/var/lib/godwit-lab/cache/bin/qemu-nolock</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='%s'/>
<target dev='vda' bus='virtio'/></disk><controller type='usb' model='none'/></devices></domain>
""" % (name, path)


def test_share_and_lock_proof(driver, hosts, tmp_path):
    shared = {"text": "shared", "text2": "proof-1", "number": 42}
    local = {"text": "local", "text2": "proof-1", "number": 42}
    try:
        for _ in range(2):
            driver.good("marker-write", "kvm1", **shared)
        assert driver.good("marker-read", "kvm2", **shared)["verdict"]
        assert not driver.good("marker-read", "kvm2", **dict(shared, number=43))["verdict"]
        assert not driver.good("marker-read", "kvm2", **local)["verdict"]
        for _ in range(2):
            assert driver.good("lock-hold", "kvm1", **shared)["verdict"]
        refused = driver.good("lock-hold", "kvm2", **shared)
        assert not refused["verdict"] and "lock" in refused["text"]
        # The refusal is the lock's: the same VM without locks gets the disk.
        definition = tmp_path / "nolock.xml"
        definition.write_text(lock_domain("nolock", STATE + "/shared/proof-1"))
        lab("virsh", "kvm2", "create", str(definition), "--paused", "--autodestroy", check=True)
        for _ in range(2):
            driver.good("lock-drop", "kvm1", **shared)
        assert driver.good("lock-hold", "kvm2", **shared)["verdict"]
        driver.good("lock-drop", "kvm2", **shared)
    finally:
        lab("virsh", "kvm2", "destroy", "nolock", check=False)
        for host in hosts:
            driver.ask("lock-drop", host, **shared)
        for _ in range(2):
            driver.good("marker-remove", "kvm1", **shared)
    assert not os.path.exists(STATE + "/shared/proof-1")
    assert driver.bad("marker-write", "kvm1", text="shared", text2="../x")["code"] == "invalid"
    assert driver.bad("marker-write", "kvm1", text="none", text2="x")["code"] == "not-found"


def test_lost_host(driver, hosts, guest, ends):
    source, destination = ends
    other = "kvm1" if destination == "kvm2" else "kvm2"
    pid = hosts[destination]["libvirtd_pid"]
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        numbers = [driver.send("look", destination, vm=guest) for _ in range(8)]
        assert driver.look(other, guest)["present"]  # nobody else waits
        lost = driver.event({"event": "host-lost", "host": destination}, 25)
        assert lost["text"] and time.monotonic() - begun < 25
        for number in numbers:
            assert driver.wait(number, 3)["error"]["code"] == "unreachable"
        assert driver.bad("list-vms", destination, 2)["code"] == "unreachable"
        assert driver.good("list-vms", other, 5)["vms"]
        begun = time.monotonic()
        error = driver.bad("connect", destination, 13, text=hosts[destination]["uri"])
        assert error["code"] == "timeout" and error["remedy"]
        assert time.monotonic() - begun <= 12
    finally:
        os.kill(pid, signal.SIGCONT)
    driver.good("connect", destination, 12, text=hosts[destination]["uri"])
    driver.good("list-vms", destination)
    driver.good("disconnect", destination)
    assert driver.bad("list-vms", destination)["code"] == "unreachable"
    time.sleep(1)
    assert len([event for event in driver.events if event["event"] == "host-lost"]) == 1


def test_source_stops_answering_while_moving(driver, hosts, guest, ends):
    """The move's own connection ends by its own keep-alive; what became of it is unknown."""
    source, destination = ends
    move = how(hosts, destination, True, paused=True, bandwidth_mibps=3)
    number = driver.send("migrate", source, vm=guest, migrate=move)
    driver.event({"event": "iteration", "host": source})
    os.kill(hosts[source]["libvirtd_pid"], signal.SIGSTOP)
    try:
        error = driver.wait(number, 30)["error"]
        assert error["code"] == "unknown-outcome"
        driver.event({"event": "host-lost", "host": source}, 30)
    finally:
        os.kill(hosts[source]["libvirtd_pid"], signal.SIGCONT)
    driver.good("connect", source, 12, text=hosts[source]["uri"])
    driver.eventually("a job to abort",
                      lambda: "error" not in driver.ask("abort", source, vm=guest))
    driver.eventually("the end", lambda: not driver.look(source, guest)["job_active"])
    driver.eventually("gone", lambda: not driver.look(destination, guest)["present"])
    assert driver.look(source, guest)["state"] == "running"


def test_unreachable(hosts):
    driver = Driver()
    uri = hosts["kvm1"]["uri"]
    address = hosts["kvm1"]["address"]
    with socket.socket() as silent:  # accepts, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        hung = "127.0.0.1:%d" % silent.getsockname()[1]
        begun = time.monotonic()
        numbers = [driver.send("connect", "silent", text=uri.replace(address, hung))
                   for _ in range(10)]
        refused = driver.bad("connect", "closed", 5, text=uri.replace(address, "127.0.0.1:1"))
        assert refused["code"] == "unreachable" and "libvirtd" in refused["remedy"]
        assert "127.0.0.1" in refused["message"]
        errors = [driver.wait(number, 12)["error"] for number in numbers]
        assert time.monotonic() - begun <= 12
        assert {error["code"] for error in errors} == {"timeout", "unreachable"}  # 8 hang at most
        assert all(error["remedy"] for error in errors)
        quick = driver.send("connect", "quick", text=uri.replace(address, hung), timeout_us=1000000)
        assert driver.wait(quick, 3)["error"]["code"] == "timeout"
        assert driver.bad("connect", "x", 5, text="http://kvm1/")["code"] == "invalid"
        assert driver.bad("look", "never", vm=NOBODY)["code"] == "unreachable"
        # What hangs in libvirt does not hold up the end for long.
        assert driver.close() < 8


def test_close_in_the_middle(hosts, guest):
    """The sink is not called after close, whatever is under way."""
    driver = Driver()
    for name, host in hosts.items():
        driver.good("connect", name, 12, text=host["uri"])
    for _ in range(50):
        for name in hosts:
            driver.send("list-vms", name)
            driver.send("facts", name)
            driver.send("look", name, vm=guest)
    assert driver.close() < 8
