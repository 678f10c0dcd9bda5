# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests that tests move, and the check that each test ends with."""
import datetime
import json
import os
import zlib

from . import labs
from .api import FINAL

DEFAULTS = {"host": "kvm1", "memory": 128, "vcpus": 1, "dirty": 0, "working_set": 0, "fill": 50,
            "verify": 100, "interval": 1000, "disk": "shared", "disk_size": 16, "format": "raw",
            "cache": "none", "no_lock": False, "nic": "bridge", "address": None,
            "machine": "pc-q35-7.2", "transient": False}


class Guest:
    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.uuid = None
        self.dies = False  # the scenario kills the QEMU that holds it
        self.moved_by_another = False  # the last move was another controller's
        self.since = None  # jobs from before were about another VM of its UUID

    @property
    def persistent(self):
        return not self.options["transient"]

    def start(self):
        self.since = datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        with labs.hosts_lock():
            record = labs.lab_guests.start(self.options["host"], dict(self.options, name=self.name))
        self.uuid = record["uuid"]
        self.address = record["address"]

    def remove(self):
        with labs.hosts_lock():
            labs.lab_guests.remove(self.name)

    def where(self):
        """Host of the only libvirt that runs it; None when there is no such, or several."""
        found = [name for name, state in labs.lab_guests.where_is(self.name).items()
                 if state == "running"]
        return found[0] if len(found) == 1 else None

    def states(self):
        """{host: libvirt's state}, where it is defined or active."""
        return labs.lab_guests.where_is(self.name)

    def qemu(self, host):
        """The QEMU's pid on this host, or None."""
        return next((row["pid"] for row in labs.qemus(self.uuid) if row["host"] == host), None)

    def dirty(self, mib_per_s):
        for _ in range(5):  # a datagram, to a guest that may be starved of CPU
            try:
                labs.witness.tell_guest(self.address, "dirty %d" % mib_per_s)
                return
            except labs.LabError as error:
                said = error
        raise AssertionError("%s; %s" % (said, labs.qemus(self.uuid)))

    def report(self):
        return labs.witness.report(self.name)["guests"][self.name]

    def problems(self):
        return labs.witness.report(self.name)["problems"]

    def reset(self):
        """The witness counts anew from here."""
        labs.witness.command("reset " + self.name)

    def is_well(self):
        try:
            return self.where() is not None and labs.witness.report(self.name)["problems"] == []
        except labs.LabError:
            return False

    def wait_heard(self):
        """Until it is heard again, so that a silence that just ended is counted."""
        before = self.report()["received"]
        labs.eventually("heartbeats of %s" % self.name,
                        lambda: self.report()["received"] > before + 50)

    def wait_verified(self, seconds=20):
        """Until the guest has read back all of its memory once more."""
        before = self.report()["verify_passes"]
        labs.eventually("another verification of %s" % self.name,
                        lambda: self.report()["verify_passes"] >= before + 2 or self.problems(),
                        seconds)


class Guests:
    """Guests by their options, kept from test to test while they are well. One runs at a time."""

    def __init__(self):
        self.known = {}
        self.given = []

    def begin(self):
        self.given = []

    def get(self, beside=False, **options):
        """@beside: without stopping the others."""
        wanted = dict(DEFAULTS, **options)
        key = json.dumps(wanted, sort_keys=True)
        guest = self.known.get(key)
        if guest is not None and not guest.is_well():
            guest.remove()
            guest = None
        for old_key in [old for old in self.known if old != key and not beside]:
            self.known.pop(old_key).remove()
        if guest is None:
            guest = Guest("g%x" % (zlib.crc32(key.encode()) % 4096), wanted)
            try:
                guest.start()
            except labs.LabError:
                guest.remove()  # half begun it would stand in every later test's way
                raise
            self.known[key] = guest
        if wanted["dirty"] == 0:
            guest.dirty(0)
        guest.dies = guest.moved_by_another = False
        guest.reset()
        self.given.append(guest)
        return guest

    def remove_all(self):
        for guest in self.known.values():
            guest.remove()
        self.known = {}

    def check(self, controller):
        try:
            for job in controller.api.items("/jobs", active="true"):
                controller.api.wait_final(job["id"], 30)
            for guest in self.given:
                check_guest(guest, controller)
            for key in [key for key, guest in self.known.items() if guest.dies]:
                self.known.pop(key).remove()
            check_nothing_left(self.known.values())
        except (AssertionError, labs.LabError):
            self.remove_all()  # the next test begins with a fresh one
            for job in controller.api.items("/jobs", active="true"):
                controller.api.cancel(job["id"])
            raise


def last_job(controller, guest):
    jobs = [job for job in controller.api.items("/jobs", vm=guest.uuid)
            if job["created_at"] >= guest.since]
    return jobs[0] if jobs else None


def check_guest(guest, controller):
    states = guest.states()
    if guest.dies:
        assert labs.qemus(guest.uuid) == []
        assert list(states.values()) == ["shut off"], "defined on one host (I2): %s" % states
        return
    assert list(states.values()) == ["running"], "one running, no twin (I1, I2, R7): %s" % states
    host = next(iter(states))
    qemus = labs.qemus(guest.uuid)
    assert [(row["host"], row["running"]) for row in qemus] == [(host, True)], qemus
    info = labs.virsh(host, "dominfo", guest.name).stdout
    assert ("Persistent:     yes" in info) == guest.persistent, info
    job = last_job(controller, guest)
    if job is not None and not guest.moved_by_another:
        check_truth(job, host, controller)
    guest.wait_verified()
    assert guest.problems() == [], json.dumps(guest.report(), indent=1)
    check_listed(guest, host, controller)


def check_truth(job, host, controller):
    """A job's last word is where the VM is (I3, I6)."""
    assert job["state"] in FINAL, job
    hosts = {row["id"]: row["name"] for row in controller.api.items("/hosts")}
    ends = job["destination_host_id"] if job["state"] == "done" else job["source_host_id"]
    assert hosts.get(ends) == host, "%s on %s: %s" % (job["title"], host, job["state"])
    if job["state"] == "failed":
        assert job["error"]["message"] and job["error"].get("remedy"), job["error"]  # I8


def check_listed(guest, host, controller):
    """The API lists it as running on that host, and nowhere else (R7)."""
    def listed():
        hosts = {row["id"]: row["name"] for row in controller.api.items("/hosts")}
        return [(hosts[row["host_id"]], row["state"], row.get("job_id"))
                for row in controller.api.vms(guest.name)] == [(host, "running", None)]

    controller.wait_hosts()
    labs.eventually("%s to be listed on %s alone" % (guest.name, host), listed, 10)


def check_nothing_left(guests):
    """No orphan QEMU, no stray definition, no file that nobody owns."""
    names = {guest.name for guest in guests}
    uuids = {guest.uuid for guest in guests}
    stray = [row for row in labs.qemus() if row["uuid"] not in uuids]
    assert stray == [], "orphan QEMUs: %s" % stray
    for host in labs.HOSTS:
        listed = set(labs.virsh(host, "list", "--all", "--name").stdout.split())
        assert listed <= names, "stray definitions on %s: %s" % (host, listed - names)
    files = set(os.listdir(labs.settings.SHARED))
    owned = {os.path.basename(path) for guest in guests for path in
             labs.lab_guests.image_everywhere(labs.lab_guests.find_guest(guest.name))}
    assert files <= owned, "left in the shared folder: %s" % (files - owned)

