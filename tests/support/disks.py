# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks of guests, seen from tests: where they are, what they take, and that nothing else is left."""
import contextlib
import json
import os
import subprocess
import time
import xml.etree.ElementTree as ElementTree

from . import labs
from .guest import Guest

POOLS = ("shared", "local", "xfs", "btrfs", "ext4", "small", "slow", "gluster")
IGNORED = {"lost+found"}


def folder(pool):
    return labs.lab_guests.pool_folder(pool)


def inside(host, path):
    """The host's own view of a path."""
    return labs.host(host).inside(path)


def files(host):
    """Paths (as the host sees them) of all files in the pools it has."""
    found = set()
    for pool in POOLS:
        with contextlib.suppress(FileNotFoundError):
            found |= {folder(pool) + "/" + name for name in os.listdir(inside(host, folder(pool)))
                      if name not in IGNORED and not name.endswith(".lock")}
    # Images of the lab's own file systems lie beside their mount points.
    return {path for path in found if not path.endswith((".block", ".disk"))}


def images(host, name):
    """{target: [path, path below it, …]} by the live, or else the stored, definition."""
    root = ElementTree.fromstring(labs.virsh(host, "dumpxml", name).stdout)
    found = {}
    for disk in root.iter("disk"):
        chain, node = [], disk
        while node is not None and node.find("source") is not None:
            source = node.find("source")
            chain.append(source.get("file") or source.get("dev") or source.get("name"))
            node = node.find("backingStore")
        # Of a VM that is off libvirt says the top alone.
        if disk.find("backingStore") is None and chain and chain[0].endswith(".qcow2"):
            chain = chain_of(host, chain[0])
        found[disk.find("target").get("dev")] = chain
    return found


def chain_of(host, path):
    said = subprocess.run(labs.host(host).enter() + ["qemu-img", "info", "-U", "--backing-chain",
                                                     "--output=json", path],
                          capture_output=True, text=True, check=False)
    return [row["filename"] for row in json.loads(said.stdout)] if said.returncode == 0 else [path]


def allocated(host, path):
    return os.stat(inside(host, path)).st_blocks * 512


class DiskGuest(Guest):
    """A guest that writes all over its disks."""
    booted = False  # a test shut it down, and started it again

    def problems(self):
        return [text for text in super().problems() if not (self.booted and "rebooted" in text)]

    def told(self, what):
        for _ in range(5):
            with contextlib.suppress(labs.LabError):
                words = labs.witness.tell_guest(self.address, what, 3).split()
                return dict(word.split("=") for word in words if "=" in word)
        raise AssertionError("guest %s does not answer" % self.name)

    def filled(self):
        labs.eventually("%s to fill its disks" % self.name,
                        lambda: self.told("disks")["filled"] == "1", 60)

    def spread(self, per_second):
        self.told("spread %d" % per_second)

    def sum(self):
        """One sum of all blocks that were written, as the guest remembers them; nothing is written
        from here on."""
        self.spread(0)
        time.sleep(0.5)
        return self.told("disks")["sum"]

    def verified_disks(self, seconds=90):
        """Reads every block back; fails where one is not what was written."""
        before = int(self.told("disks")["verified"])
        self.told("verify")
        labs.eventually("the disks of %s to be verified" % self.name,
                        lambda: int(self.told("disks")["verified"]) > before, seconds, 0.3)
        said = self.told("disks")
        assert (said["errors"], said["failures"]) == ("0", "0"), said

    def shut_down(self, host):
        self.booted = True
        labs.virsh(host, "shutdown", self.name)
        labs.eventually("%s to be off" % self.name, lambda: "shut off" in labs.virsh(
            host, "domstate", self.name).stdout, 90)

    def answers(self, seconds=60):
        def said():
            try:
                return labs.witness.tell_guest(self.address, "disks")
            except labs.LabError:
                return None
        labs.eventually("%s to answer" % self.name, said, seconds, 0.3)
