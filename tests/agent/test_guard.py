# SPDX-License-Identifier: LGPL-2.1-or-later
"""What agents guard: epochs, autostart, their disk, their own rights; and `godwit host check`."""
import os
import re

import pytest

from support import labs
from support.api import ApiError, words


def agent_processes(host):
    found = {}
    for record in labs.agents.processes(labs.host(host)):
        with open("/proc/%d/status" % record["pid"], encoding="ascii") as status:
            found[record["pid"]] = dict(re.findall(r"^(\w+):\s+(.*)$", status.read(), re.M))
    return found


def test_who_faces_the_network_has_no_rights(controller):
    """One process listens; it is not root, has no capability, cannot gain any, and is filtered."""
    said = labs.command("exec", "kvm1", "ss", "-Hltnp").stdout
    front = {int(pid) for pid in re.findall(r"pid=(\d+)", said)}
    assert len(front) == 1, said
    status = agent_processes("kvm1")[front.pop()]
    assert status["Uid"].split()[0] != "0" and status["Gid"].split()[0] != "0"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_the_other_process_is_not_on_the_network(controller):
    said = labs.command("exec", "kvm1", "ss", "-Htanp").stdout
    talking = {int(pid) for pid in re.findall(r"pid=(\d+)", said)}
    wardens = [pid for pid, status in agent_processes("kvm1").items()
               if status["Uid"].split()[0] == "0"]
    # The warden, and what starts copiers for it.
    assert len(wardens) == 2 and not talking & set(wardens)
    assert all(agent_processes("kvm1")[pid]["NoNewPrivs"] == "1" for pid in wardens)


def test_a_full_disk_under_the_agents_state(controller, guest):
    """No leave is given that could be forgotten: the move is refused, the VM stays."""
    target = labs.other(guest.where())
    inside = labs.host(target).enter()
    folder = labs.agents.STATE_SEEN
    labs.net.run(inside + ["sh", "-c", "cp -a %s /run/kept && mount -t tmpfs -o size=64k,mode=700 "
                           "full %s && cp -a /run/kept/. %s/ && "
                           "(dd if=/dev/zero of=%s/fill bs=1k 2>/dev/null; true)" % (
                               (folder,) * 4)])
    labs.agent(target, "kill")
    labs.agent(target, "start")
    try:
        controller.wait_hosts()
        job = controller.api.migrate(guest.name, target)
        job = controller.api.wait_final(job["id"])
        assert job["state"] == "failed", words(job)
        assert "space" in job["error"]["message"] or "full" in job["error"]["message"], words(job)
        assert job["error"]["remedy"] and guest.where() != target
    finally:
        labs.agent(target, "kill")
        labs.net.run(inside + ["sh", "-c", "umount %s && rm -rf /run/kept" % folder])
        labs.agent(target, "start")
        controller.wait_hosts()
    job = controller.api.migrate(guest.name, target)
    assert controller.api.wait_final(job["id"])["state"] == "done"


@pytest.mark.parametrize("clock", ["+1d", "-1d"])
def test_a_clock_that_is_a_day_off(controller, guest, clock):
    """The agent follows the controller's time for certificates and tickets, and says what is wrong
    with its own."""
    target = labs.other(guest.where())
    labs.agent(target, "kill")
    labs.agents.start(labs.host(target), clock=clock)
    try:
        labs.eventually("the host to be OK, with a warning about its clock", lambda: (
            controller.api.hosts()[target]["status"] == "OK" and
            "clock" in (controller.api.hosts()[target].get("status_reason") or "")), 30)
        offset = controller.api.hosts()[target]["facts"]["agent"]["clock_offset_ms"]
        assert abs(abs(offset) - 86400000) < 5000 and (offset > 0) == (clock[0] == "+"), offset
        job = controller.api.wait_final(controller.api.migrate(guest.name, target)["id"])
        assert job["state"] == "done", words(job)
    finally:
        labs.agent(target, "kill")
        labs.agent(target, "start")
        controller.wait_hosts()


def test_a_vm_that_left_does_not_start_again(controller, guest):
    """The source host is set back to a state with the VM's definition and autostart, as by a
    backup, and its libvirt starts anew: the guard takes autostart away before, or pauses what
    started; the VM runs once."""
    source = guest.where()
    xml = labs.virsh(source, "dumpxml", "--inactive", guest.name).stdout
    job = controller.api.migrate(guest.name, labs.other(source))
    assert controller.api.wait_final(job["id"])["state"] == "done"
    path = labs.settings.STATE + "/left.xml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(xml)
    labs.virsh(source, "define", path)
    labs.virsh(source, "autostart", guest.name)
    try:
        labs.libvirtd(source, "kill")
        labs.libvirtd(source, "start")
        labs.eventually("the guard to take autostart away", lambda: "disable" in labs.virsh(
            source, "dominfo", guest.name).stdout.split("Autostart:")[1].split()[0], 15)
        assert not guest.report()["doubled"]
    finally:
        labs.virsh(source, "destroy", guest.name, check=False)
        labs.virsh(source, "undefine", guest.name, check=False)
        os.unlink(path)


def test_host_check(controller):
    done = controller.cli("host", "check", "kvm1", "kvm2")
    print(done.stdout)
    assert "failed" not in done.stdout
    for name in ("libvirt", "certificate", "clock"):
        assert name in done.stdout.lower(), name


def test_host_check_finds_what_is_broken(controller):
    labs.libvirtd("kvm2", "stop")
    try:
        done = controller.cli("host", "check", "kvm1", "kvm2", check=False)
        assert done.returncode != 0 and "failed" in done.stdout, done.stdout + done.stderr
    finally:
        labs.libvirtd("kvm2", "cont")
        controller.wait_hosts()


def test_facts(controller):
    host = controller.api.hosts()["kvm1"]
    facts = host["facts"]["agent"]
    names = {row["name"]: row for row in facts["interfaces"]}
    assert names["eth0"]["mtu"] == 1500 and names["eth0"]["up"]
    assert any(labs.host("kvm1").address in address for address in names["eth0"]["addresses"])
    assert facts["file_systems"] and all(row["capacity_bytes"] > 0
                                         for row in facts["file_systems"])
    assert facts["certificate_expires_at"] and facts["boot_id"] and facts["resident_bytes"] > 0


@pytest.mark.parametrize("name", ["kvm9", "x" * 300])
def test_check_of_an_unknown_host(controller, name):
    with pytest.raises(ApiError) as refused:
        controller.api.post("/hosts/%s/check" % name, {})
    assert refused.value.status in (400, 404)
