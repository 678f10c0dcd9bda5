# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPUs on real hosts, under emulation: the common CPU that libvirt works out, and what a restart
would change (R11)."""
import json
import re

import pytest

from support import labs


def baseline(controller, *words):
    return json.loads(controller.cli("cpu", "baseline", *words, "-o", "json").stdout)


def test_baseline_is_what_libvirt_takes(controller, guests, tmp_path):
    guest = guests.get()
    found = baseline(controller, "kvm1", "kvm2")  # of TCG: what the only VM runs with
    assert found["virt_type"] == "qemu" and found["kind"] == "hypervisor", found
    assert "error" not in found and "<model" in found["xml"] and len(found["features"]) > 20, found
    assert {host["host_name"]: host["loses"] for host in found["hosts"]} == {"kvm1": [], "kvm2": []}
    assert found["pairs"] == []
    assert any(machine.startswith("pc-q35-") for machine in found["machines"]), found["machines"]
    row = next(vm for vm in found["vms"] if vm["vm_uuid"] == guest.uuid)
    assert row["fit"] == "fits" and row["above"] == [] and row["cpu"] == "qemu64", row
    text = tmp_path / "cpu.xml"
    text.write_text(found["xml"])
    for name in labs.HOSTS:  # by its own word every host can give it
        labs.virsh(name, "hypervisor-cpu-compare", "--virttype", "qemu", "--error", str(text))


def test_baseline_is_drawn(controller, guests):
    guests.get()
    shown = controller.cli("cpu", "baseline", "kvm1", "kvm2").stdout
    assert "Common CPU (qemu, of what the hosts can give VMs)" in shown
    assert re.search(r"FROM / TO +kvm1 +kvm2\n", shown), shown
    assert re.search(r"\nkvm1 +(\.|·) +(yes|✓)\nkvm2 +(yes|✓) +(\.|·)\n", shown), shown
    refused = controller.cli("cpu", "baseline", "nobody", check=False)
    assert refused.returncode != 0 and "'nobody'" in refused.stderr


@pytest.fixture(name="redefined")
def a_guest_with_another_definition(controller, guests, tmp_path):
    """redefined(old, new, …): its definition with each text replaced, while it runs."""
    guest = guests.get()
    host = guest.where()
    before = labs.virsh(host, "dumpxml", "--inactive", guest.name).stdout

    def define(text):
        path = tmp_path / "domain.xml"
        path.write_text(text)
        labs.virsh(host, "define", str(path))

    def redefine(*pairs):
        text = before
        for pattern, new in pairs:
            text, count = re.subn(pattern, new, text, flags=re.S)
            assert count == 1, (pattern, before)
        define(text)
        return guest
    yield redefine
    define(before)
    labs.eventually("no restart pending", lambda: changes(controller, guest) == {})


def changes(controller, guest):
    vm = controller.api.get("/vms/" + guest.uuid)
    return {row["what"]: (row["now"], row["after"]) for row in vm["restart_changes"]}


def test_restart_pending(controller, redefined):
    guest = redefined((r"machine='pc-q35-7\.2'", "machine='pc-q35-10.0'"),
                      (r">qemu64</model>", ">Nehalem</model>"))
    labs.eventually("a restart pending", lambda: changes(controller, guest) == {
        "machine": ("pc-q35-7.2", "pc-q35-10.0"), "cpu-model": ("qemu64", "Nehalem")})
    listed = controller.cli("vm", "list").stdout
    assert re.search(r"%s .* pending" % guest.name, listed), listed
    shown = controller.cli("vm", "show", guest.name).stdout
    assert "Restart pending" in shown and "Nehalem" in shown, shown
    assert "godwit vm start " + guest.name in shown, shown


def test_restart_pending_of_host_model(controller, redefined):
    guest = redefined((r"<cpu .*?</cpu>", "<cpu mode='host-model'/>"))
    capabilities = labs.virsh(guest.where(), "domcapabilities", "--virttype", "qemu").stdout
    model = re.search(r"<mode name='host-model' supported='yes'>\s*<model[^>]*>([^<]*)<",
                      capabilities).group(1)
    labs.eventually("a restart pending", lambda: changes(controller, guest).get("cpu-model")
                    == ("qemu64", model))
