"""Hosts for agents: libvirt listens nowhere, and of all ports only the agent's can be reached."""
import os
import subprocess

import pytest

from lab_program import Lab

lab = Lab("ta")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")


@pytest.fixture(scope="module", name="addresses", autouse=True)
def a_lab_for_agents():
    lab("install")
    lab("up", "--agents", "--hosts", "2")
    yield [lab("exec", host, "hostname", "-I").stdout.split()[0] for host in ("kvm1", "kvm2")]
    lab("down", "--purge")
    assert not os.path.exists(lab.state)


def connects(host, address, port):
    """0: accepted, 1: refused (it got there), 124: dropped on the way."""
    return lab("exec", host, "timeout", "1", "bash", "-c",
               "</dev/tcp/%s/%d" % (address, port), check=False).returncode


def test_nothing_listens():
    for host in ("kvm1", "kvm2"):
        assert lab("exec", host, "ss", "-Hltnu").stdout == ""


@pytest.mark.parametrize("port", [22, 16509, 16514, 49152])
def test_other_ports_are_closed_between_hosts(addresses, port):
    assert connects("kvm2", addresses[0], port) == 124


def test_the_agents_port_is_open(addresses):
    assert connects("kvm2", addresses[0], 8447) == 1  # nothing listens there yet


def test_the_machine_gets_in_by_ssh(addresses):
    command = lab("sshd", "kvm1").stdout.split()
    done = subprocess.run(command + ["root@" + addresses[0], "hostname"], text=True,
                          capture_output=True, timeout=30)
    assert done.stdout == "kvm1\n", done.stderr
    assert connects("kvm2", addresses[0], 22) == 124


def test_agents_and_agentless_hosts_do_not_mix():
    done = lab("up", "--hosts", "3")
    assert done.returncode == 0  # one more of the same kind
    assert lab("exec", "kvm3", "ss", "-Hltnu").stdout == ""
