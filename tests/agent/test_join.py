# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a host gets its agent and loses it: leave to join, certificates, two controllers, ssh."""
import os
import subprocess

import pytest

from support import labs
from support.agent_controller import AGENT, AgentController
from support.api import ApiError, words


@pytest.fixture(name="stranger", scope="module")
def a_host_that_has_not_joined(lab):
    """A third host, without agent, for this file alone."""
    labs.command("up", "--agents", "--hosts", "3")
    yield "kvm3"


@pytest.fixture(autouse=True)
def clean(stranger, controller):
    yield
    host = labs.host(stranger)
    if labs.agents.processes(host):
        labs.agent(stranger, "kill")
    labs.agents.forget(host)
    for name, row in controller.api.hosts().items():
        if name not in labs.HOSTS:
            controller.api.call("DELETE", "/hosts/" + row["id"])


def join(controller, leave, fingerprint=None, token=None):
    return subprocess.run(
        labs.host("kvm3").enter() + [
            AGENT, "join", "--controller", "%s:%d" % (controller.ADDRESS, controller.api.port),
            "--fingerprint", fingerprint or leave["fingerprint"], "--token-file", "-"],
        input=(token or leave["token"]) + "\n", text=True, capture_output=True, timeout=30)


def leave_for(controller, **more):
    return controller.api.post("/join-tokens", dict(
        {"name": "kvm3", "address": labs.host("kvm3").address}, **more))


def test_a_token_is_good_for_one_host(controller):
    leave = leave_for(controller)
    assert join(controller, leave).returncode == 0
    labs.command("agent", "kvm3", "forget")
    again = join(controller, leave)
    assert again.returncode != 0 and "token" in again.stderr
    assert leave["token"] not in again.stderr + controller.log(), "no secret in a log"


def test_a_wrong_token(controller):
    done = join(controller, leave_for(controller), token="godwit-join-" + "0" * 64)
    assert done.returncode != 0 and "token" in done.stderr


def test_another_controller_in_between(controller):
    """Nothing is told to who does not have the key that the fingerprint names."""
    leave = leave_for(controller)
    done = join(controller, leave, fingerprint="sha256:" + "ab" * 32)
    assert done.returncode != 0 and "fingerprint" in done.stderr, done.stderr
    assert join(controller, leave).returncode == 0, "the token was not spent on that"


def test_two_controllers_claim_one_host(controller, tmp_path):
    """The first keeps it; the second is told so, and how it could be otherwise."""
    assert join(controller, leave_for(controller)).returncode == 0
    other = AgentController(tmp_path)
    try:
        other.start(wait_hosts=False)
        done = join(other, leave_for(other))
        assert done.returncode != 0 and "leave" in done.stderr, done.stderr
    finally:
        other.stop()


def test_an_old_copy_of_the_controller_is_refused(controller, guest):
    """A copy of the state folder is started while the controller runs: the agents keep to theirs,
    and the host is not taken from it."""
    copy = AgentController(os.path.dirname(controller.state) + "/copy")
    subprocess.run(["mkdir", "-p", os.path.dirname(copy.state)], check=True)
    subprocess.run(["cp", "-a", controller.state, copy.state], check=True)
    try:
        copy.start(wait_hosts=False)
        labs.eventually("the copy to be refused", lambda: any(
            row["status"] == "Not responding" and "controller" in (row.get("status_reason") or "")
            for row in copy.api.items("/hosts")), 20)
        controller.wait_hosts()
    finally:
        copy.stop()
        subprocess.run(["rm", "-rf", os.path.dirname(copy.state)], check=True)
    job = controller.api.migrate(guest.name, labs.other(guest.where()))
    assert controller.api.wait_final(job["id"])["state"] == "done"


def test_a_removed_host_is_no_longer_believed(controller):
    """Its certificate is revoked: its agent can no longer reach the others."""
    leave = leave_for(controller)
    assert join(controller, leave).returncode == 0
    labs.agents.start(labs.host("kvm3"), AGENT)
    labs.eventually("kvm3 to be OK", lambda: controller.api.hosts()["kvm3"]["status"] == "OK", 20)
    controller.api.call("DELETE", "/hosts/" + controller.api.hosts()["kvm3"]["id"])
    assert "kvm3" not in controller.api.hosts()


def test_installed_by_ssh(controller):
    """godwit host add kvm3 --install: one command, and the host is OK."""
    ssh = labs.command("sshd", "kvm3").stdout.strip()
    address = labs.host("kvm3").address
    done = controller.cli("host", "add", "kvm3", "--install", "--address", address,
                          "--ssh-command", ssh + " root@" + address, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = labs.host("kvm3").inside("/usr/local/sbin/godwit-agent")
    assert os.access(installed, os.X_OK)
    labs.agents.start(labs.host("kvm3"), AGENT)  # there is no service manager in the lab's hosts
    controller.wait_hosts()


def test_ssh_that_does_not_work(controller):
    done = controller.cli("host", "add", "kvm3", "--install", "--ssh-command", "false", check=False)
    assert done.returncode != 0 and "ssh" in done.stderr, done.stderr
    assert "kvm3" not in controller.api.hosts()


def test_a_host_that_joined_takes_part_at_once(controller, guests):
    guest = guests.get(disk="none")
    assert join(controller, leave_for(controller)).returncode == 0
    labs.agents.start(labs.host("kvm3"), AGENT)
    controller.wait_hosts()
    with pytest.raises(ApiError):
        controller.api.migrate(guest.name, "kvm4")
    for target in ("kvm3", guest.where()):
        job = controller.api.wait_final(controller.api.migrate(guest.name, target)["id"])
        assert job["state"] == "done" and job["commit_by_resume"], words(job)
