# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moves between hosts that have nothing but the agents' port in common (R1, R29, R48, R51)."""
import pytest

from support import labs
from support.api import words


def listening(host):
    """Ports of the host that something listens on."""
    said = labs.command("exec", host, "ss", "-Hltn").stdout
    return {line.split()[3].rpartition(":")[2] for line in said.splitlines()}


def connections(host):
    """The other ends' and own ports of TCP connections that leave the host."""
    said = labs.command("exec", host, "ss", "-Htn", "state", "established").stdout
    ends = [line.split()[2:4] for line in said.splitlines()]
    return {tuple(end.rpartition(":")[2] for end in pair) for pair in ends}


def move(controller, guest, **options):
    job = controller.api.migrate(guest.name, labs.other(guest.where()), **options)
    return controller.api.wait_final(job["id"])


def check_done(job, guest):
    assert job["state"] == "done", words(job)
    assert job["through_agents"] and job["peer_to_peer"]
    report = guest.report()
    assert not report["doubled"] and report["boots"] == 1 and guest.problems() == []


def check_ports(controller, guest):
    """A move during which nothing but the agents' port is open between the hosts."""
    job = controller.api.migrate(guest.name, labs.other(guest.where()), method="standard")
    controller.api.wait_copying(job["id"])
    for host in labs.HOSTS:
        assert listening(host) == {"8447"}, "QEMU and libvirt open no port of their own"
        pairs = connections(host)
        assert pairs and all("8447" in pair for pair in pairs), pairs
    check_done(controller.api.wait_final(job["id"]), guest)


def cancel_a_move(controller, guest):
    """While it copies: the VM stays where it is. The job."""
    source = guest.where()
    job = controller.api.migrate(guest.name, labs.other(source), method="standard")
    controller.api.wait_copying(job["id"])
    controller.api.cancel(job["id"])
    job = controller.api.wait_final(job["id"])
    assert job["state"] == "cancelled" and guest.where() == source, words(job)
    return job


def test_there_and_back(controller, guest):
    for _ in range(2):
        check_done(move(controller, guest), guest)


def test_figures(controller, guest):
    result = move(controller, guest)["result"]
    assert result["transferred_bytes"] > 20 << 20 and result["copy_ms"] > 0
    assert 0 <= result["downtime_ms"] < result["total_ms"]
    assert result["drive"] == "peer-to-peer"


def test_only_the_agents_port_is_used(controller, guest, slow_line):
    for host in labs.HOSTS:
        assert listening(host) == {"8447"}
    check_ports(controller, guest)


@pytest.mark.parametrize("options", [
    {"method": "standard"}, {"method": "compression"}, {"method": "multichannel", "channels": 4},
    {"method": "standard", "bandwidth_mibps": 30}, {"max_downtime_ms": 50},
], ids=lambda options: "-".join(str(value) for value in options.values()))
def test_methods(controller, guest, options):
    check_done(move(controller, guest, **options), guest)


def test_a_busy_guest(controller, guests):
    guest = guests.get(memory=192, dirty=40)
    check_done(move(controller, guest), guest)


def test_a_transient_vm(controller, guests):
    guest = guests.get(transient=True)
    check_done(move(controller, guest), guest)


def test_post_copy_where_locks_are_proved(controller, guests, lab):
    guest = guests.get(memory=192, dirty=60)
    labs.rate("100mbit")
    job = controller.api.migrate(guest.name, labs.other(guest.where()), method="standard",
                                 post_copy=True)
    controller.api.wait_copying(job["id"], 1 << 20)
    controller.api.post("/jobs/%s/post-copy" % job["id"])
    labs.rate("none")
    check_done(controller.api.wait_final(job["id"]), guest)


def test_two_at_once(controller, guests):
    one = guests.get(disk="none", memory=96)
    two = guests.get(beside=True, disk="none", memory=112)
    jobs = [controller.api.migrate(each.name, labs.other(each.where())) for each in (one, two)]
    for job, guest in zip(jobs, (one, two)):
        check_done(controller.api.wait_final(job["id"]), guest)


def test_cancel(controller, guest, slow_line):
    """The VM stays where it is, and goes the next time."""
    cancel_a_move(controller, guest)
    labs.rate("none")
    check_done(move(controller, guest), guest)


def test_nothing_is_left_in_the_folder_of_sockets(controller, guest):
    check_done(move(controller, guest), guest)
    for host in labs.HOSTS:
        labs.eventually("the folder of %s to be empty" % host, lambda at=host: labs.command(
            "exec", at, "ls", "/run/libvirt/godwit").stdout.split() == [], 10)
