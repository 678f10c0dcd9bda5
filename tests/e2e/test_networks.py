# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest moves to a host whose bridge is called otherwise, is attached there, and comes back (R40)."""
import re
import subprocess

import pytest

from support import labs
from support.api import ApiError

THERE = "guests9"


def ip(host, *words):
    return subprocess.run(labs.host(host).enter() + ["ip"] + list(words), check=True, text=True,
                          capture_output=True).stdout


def rename(host, old, new):
    ip(host, "link", "set", old, "down")
    ip(host, "link", "set", old, "name", new)
    ip(host, "link", "set", new, "up")
    labs.eventually("libvirt tells " + new,
                    lambda: " %s " % new in labs.virsh(host, "iface-list").stdout)


def tag(controller, host, *tags):
    controller.api.patch("/hosts/" + controller.api.hosts()[host]["id"],
                         {"network_tags": list(tags)})


def taps(host, bridge):
    """The devices that are on the bridge, by the kernel's word."""
    return re.findall(r"^\d+: (vnet\d+)", ip(host, "-o", "link", "show", "master", bridge), re.M)


def definition(host, guest, *options):
    said = labs.virsh(host, "dumpxml", *options, guest.name).stdout
    return re.search(r"<interface.*?</interface>", said, re.S).group(0)


@pytest.fixture(name="renamed")
def a_host_whose_bridge_is_called_otherwise(controller, guest):
    source = guest.where()
    away = labs.other(source)
    rename(away, "br0", THERE)
    yield source, away
    tag(controller, source)
    tag(controller, away)
    if guest.where() != source:
        controller.move(guest, target=source, nics=[{"mac": guest_mac(guest), "network": "br0"}])
    rename(away, THERE, "br0")


def guest_mac(guest):
    return re.search(r"mac address='([^']+)'", definition(guest.where(), guest)).group(1)


def test_by_the_declared_physical_network(controller, guest, renamed):
    """R40: no choice is needed once an administrator said what is behind both; undo brings back."""
    source, away = renamed
    mac = guest_mac(guest)
    with pytest.raises(ApiError) as refused:
        controller.api.migrate(guest.name, away)
    assert "bridge 'br0', which does not exist on %s" % away in str(refused.value)
    assert "--nic %s=none" % mac in refused.value.problem["remedy"]

    tag(controller, source, "br0=guests")
    tag(controller, away, THERE + "=guests")
    guest.reset()
    job = controller.move(guest, target=away)
    assert [(nic["match"], nic["to"]["source"]) for nic in job["nics"]] == [("tag", THERE)]
    assert taps(away, THERE) == re.findall(r"target dev='(vnet\d+)'", definition(away, guest))
    assert "bridge='%s'" % THERE in definition(away, guest, "--inactive")
    guest.wait_heard()  # its heartbeats pass that bridge

    said = controller.cli("job", "undo", job["id"], "--dry-run").stdout
    assert "Attach adapter %s to bridge 'br0' of %s again" % (mac, source) in said
    controller.cli("job", "undo", job["id"])
    assert guest.where() == source
    assert taps(source, "br0") and not taps(away, THERE)
    assert "bridge='br0'" in definition(source, guest, "--inactive")
    guest.wait_heard()


def test_none_and_a_choice(controller, guest, renamed):
    """R40: without a network its link is down and its tap on no bridge; the way back gives it one."""
    source, away = renamed
    mac = guest_mac(guest)
    job = controller.move(guest, target=away, nics=[{"mac": mac, "none": True}])
    assert job["nics"][0]["match"] == "chosen" and not taps(away, THERE)
    assert "link state='down'" in definition(away, guest)
    back = controller.api.wait_final(controller.api.post("/jobs/%s/undo" % job["id"])["id"])
    assert back["state"] == "done", back
    assert "link state='down'" not in definition(source, guest) and taps(source, "br0")
    guest.reset()

    said = controller.cli("vm", "migrate", guest.name, away, "--nic", mac + "=" + THERE).stdout
    assert "Downtime" in said and taps(away, THERE)
    guest.wait_heard()
