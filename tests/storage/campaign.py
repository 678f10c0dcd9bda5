#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The storage campaign: random guests that write all over their disks, moved by every transfer type,
their content compared before and after.

Each guest has one or two disks of random pool, format, size and load, with or without an image
below. It goes through all transfer types that there are for it, in random order; several guests do
so beside each other. After each: the guest read every block back and found what it wrote, or, where
it was off, booted and found the very sum it left; the witness has no problem with it; it is defined
on one host, in one QEMU. In the end no pool holds a file of it beyond its images and kept copies,
and the kept copies go when they are told to.

It begins with a positive control: a block that is changed behind a guest's back, while it runs and
while it is off, must be caught. --seed makes guests and orders the same again, --record FILE adds a
line of JSON for each transfer. The exit status is 0 where nothing was corrupted and nothing failed;
a refusal is no failure, but is listed with its reason.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

os.environ.setdefault("GODWIT_LAB_NAME", "camp")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import disks, labs  # noqa: E402
from support.agent_controller import AgentController  # noqa: E402
from support.api import ApiError, words  # noqa: E402
from support.disks import DiskGuest  # noqa: E402
from support.guest import DEFAULTS  # noqa: E402

KINDS = ("xfs", "ext4", "gluster", "iscsi")
FILE_POOLS = ("local", "xfs", "ext4", "gluster")
SECOND = "second"  # another pool on each host's xfs
TYPES = ("Live", "Live (VSM)", "Storage, running", "Storage, other format", "Network",
         "Fast file copy", "SAN", "Register", "Undo")
FIRST_BLOCK = 1024  # of the guest's own blocks of 4 KiB, lab/guest/spread.c


class Corrupted(AssertionError):
    """What a guest wrote is not what it, or its next boot, reads."""


class Failed(AssertionError):
    """A transfer that did not do what it was asked for."""


def random_options(dice):
    """A guest as the issue's figures want it; of its disks the first decides which types there are."""
    pool = dice.choice(FILE_POOLS * 3 + ("shared", "shared", "shared", "iscsi", "iscsi", "iscsi"))
    form = "raw" if pool == "iscsi" else dice.choice(("raw", "qcow2"))
    below = pool != "iscsi" and dice.choice((None, None, "empty", "full"))
    size = dice.randrange(32, 97, 4)
    more = []
    if dice.random() < 0.4:
        # Of the same kind, so that Register and SAN are still what there is.
        other = pool if pool in ("shared", "iscsi") else dice.choice(FILE_POOLS)
        more = ["%s:%d:%s" % (other, dice.randrange(32, 97, 4),
                              "raw" if other == "iscsi" else dice.choice(("raw", "qcow2")))]
    return dict(DEFAULTS, host=dice.choice(labs.HOSTS), memory=dice.choice((80, 88, 96)),
                disk=pool, format="qcow2" if below == "empty" else form, disk_size=size,
                below=below == "empty", covered=below == "full", more_disks=more, spread=96,
                spread_fill=dice.randrange(8, 25), spread_rate=dice.randrange(20, 201),
                fill=30, uefi=False, tpm=False, discard=False)


class Pools:
    """Files of all pools, and which guest each belongs to by its name."""

    def __init__(self):
        self.second = disks.folder("xfs") + "/" + SECOND

    def make(self):
        for host in labs.HOSTS:
            os.makedirs(disks.inside(host, self.second), exist_ok=True)
            labs.virsh(host, "pool-create-as", SECOND, "dir", "--target", self.second)

    def files(self, host):
        found = disks.files(host) - {self.second}
        return found | {self.second + "/" + name for name in
                        os.listdir(disks.inside(host, self.second))}

    def of(self, guest):
        """{(host, path)}; what both hosts see is given once."""
        seen = set()
        for host in labs.HOSTS:
            for path in self.files(host):
                if os.path.basename(path).startswith(guest.name):
                    seen.add((self.owner(host, path), path))
        return seen

    @staticmethod
    def owner(host, path):
        both = tuple(disks.folder(pool) + "/" for pool in ("shared", "gluster"))
        return "both" if path.startswith(both) else host


class Trial:
    """One guest, from its first boot to its last copy."""

    def __init__(self, world, number, seed):
        self.world = world
        self.api = world.controller.api
        self.dice = random.Random("%s/%d" % (seed, number))
        self.guest = DiskGuest("c%03d" % number, random_options(self.dice))
        self.last_job = None
        self.now = None

    # What it goes through.

    def plan(self):
        kind = self.guest.options["disk"]
        anywhere = ["Live (VSM)", "Storage, running", "Storage, other format", "Network",
                    "Fast file copy"]
        in_place = {"shared": ["Live", "Register"], "iscsi": ["Live", "SAN"]}.get(kind, [])
        # Where a disk is reached by both hosts, what follows takes it away from there.
        self.dice.shuffle(in_place)
        self.dice.shuffle(anywhere)
        order = in_place + anywhere
        order.insert(self.dice.randrange(1, len(order) + 1), "Undo")
        return order

    def run(self):
        try:
            self.begin()
            for what in self.plan():
                self.now = what
                self.step(what)
            self.now = "at the end"
            self.finish()
        except Exception as error:  # pylint: disable=broad-except
            verdict = "corrupted" if isinstance(error, Corrupted) else "failed"
            self.note(verdict, "%s\n%s" % (error, "" if isinstance(error, AssertionError) and str(
                error) else traceback.format_exc()))
        finally:
            self.clear()

    def begin(self):
        self.now = "at the beginning"
        self.guest.start()
        self.guest.filled()
        if self.guest.options["covered"]:
            self.cover()
        self.guest.reset()
        self.listed("running")

    def cover(self):
        """An image above the first disk's, as a person's snapshot makes one: data lies below."""
        path = "%s/%s-top.qcow2" % (disks.folder(self.guest.options["disk"]), self.guest.name)
        spec = ["--diskspec", "vda,snapshot=external,file=" + path]
        for number in range(len(self.guest.options["more_disks"])):
            spec += ["--diskspec", "vd%s,snapshot=no" % "bcd"[number]]
        labs.virsh(self.guest.where(), "snapshot-create-as", self.guest.name, "top", "--disk-only",
                   "--no-metadata", *spec)

    def step(self, what):
        begun = time.monotonic()
        act = {"Live": self.live, "Live (VSM)": self.live_vsm, "Network": self.network,
               "Storage, running": self.storage, "Storage, other format": self.convert,
               "Fast file copy": self.fast_copy, "SAN": self.handed_over,
               "Register": self.handed_over, "Undo": self.undo}[what]
        try:
            act()
            self.verdict = ("done", None)
        except ApiError as error:
            verdict = "refused" if error.status in (409, 422) else "failed"
            self.verdict = (verdict, error.problem.get("detail") or str(error))
        except Failed as error:
            self.verdict = ("failed", str(error))
        self.judge()
        self.note(*self.verdict, seconds=time.monotonic() - begun)
        if self.dice.random() < 0.6:
            self.forget_kept()

    # The transfers.

    def finished(self, job, transfer=None):
        job = self.api.wait_final(job["id"], 240)
        if job["state"] != "done":
            raise Failed("%s\n%s" % (words(job), json.dumps(job)))
        if job.get("error"):
            raise Failed("done, but: %s\n%s" % (words(job), json.dumps(job)))
        if transfer is not None and job["transfer"] != transfer:
            raise Failed("%s was asked for: %s" % (transfer, json.dumps(job)))
        self.last_job = job
        return job

    def elsewhere(self, *also):
        """A pool that holds none of its disks: nothing is in the way there."""
        chains = disks.images(self.host(), self.guest.name).values()
        pools = [pool for pool in FILE_POOLS + also if not any(
            os.path.dirname(path) == disks.folder(pool) for chain in chains for path in chain)]
        return self.dice.choice(pools)

    def host(self):
        return next(iter(self.guest.states()))

    def live(self):
        self.finished(self.api.migrate(self.guest.name, labs.other(self.host()),
                                       transfer="Live"), "Live")

    def live_vsm(self):
        options = {"storage": self.elsewhere(), "copy_all": True,
                   "flatten": self.dice.random() < 0.3}
        self.finished(self.api.migrate(self.guest.name, labs.other(self.host()), **options),
                      "Live (VSM)")

    def migrate_storage(self, **request):
        return self.finished(self.api.post("/vms/%s/migrate-storage" % self.guest.name, request))

    def storage(self):
        self.migrate_storage(storage=self.elsewhere(), flatten=self.dice.random() < 0.3)

    def convert(self):
        """Each to the other format; a chain becomes one image on the way."""
        root = labs.virsh(self.host(), "dumpxml", self.guest.name).stdout
        is_raw = "type='raw'" in root.split("<disk")[1].split("</disk>")[0].split("<source")[0]
        self.migrate_storage(storage=self.elsewhere(), flatten=True,
                             format="qcow2" if is_raw else "raw")

    def off(self):
        """Shuts it down; what it remembers of its disks."""
        before = self.guest.sum()
        try:
            self.guest.shut_down(self.host())
        except AssertionError:
            self.guest.shut_down(self.host())  # a button that was pressed while it still booted
        self.listed("off")
        return before

    def boot(self, before):
        if self.guest.where() is None:
            labs.virsh(self.host(), "start", self.guest.name)
        self.guest.answers()
        with open(labs.lab_guests.console(self.guest.name), encoding="utf-8",
                  errors="replace") as text:
            said = re.findall(r"spread: .* sum ([0-9a-f]+)", text.read().split("kernel is up")[-1])
        if said[-1:] != [before]:
            raise Corrupted("left with sum %s, booted with %s" % (before, said))
        self.guest.filled()
        self.listed("running")

    @contextlib.contextmanager
    def while_off(self):
        before = self.off()
        try:
            yield
        finally:
            self.boot(before)

    def network(self):
        pool = self.elsewhere()
        with self.while_off():
            options = {"storage": pool, "transfer": "Network", "copy_all": True}
            try:
                job = self.api.migrate(self.guest.name, labs.other(self.host()), **options)
            except ApiError as error:
                if "lies below" not in str(error):
                    raise
                self.note("refused", error.problem.get("detail") or str(error))
                self.migrate_storage(storage=pool, flatten=True)  # the remedy
                job = self.api.migrate(self.guest.name, labs.other(self.host()),
                                       **dict(options, storage=self.elsewhere()))
            self.finished(job, "Network")

    def fast_copy(self):
        """Within the host's xfs, where files are cloned; first it must be there, as one image: what
        has another below it is written anew."""
        chains = disks.images(self.host(), self.guest.name).values()
        if not all(len(chain) == 1 and os.path.dirname(chain[0]) == disks.folder("xfs")
                   for chain in chains):
            self.migrate_storage(storage="xfs", flatten=True)
        with self.while_off():
            job = self.migrate_storage(storage=SECOND, flatten=True)
            if {row["how"] for row in job["disks"]} != {"fast copy"}:
                raise Failed("not cloned: %s" % json.dumps(job["disks"]))

    def handed_over(self):
        """SAN and Register: nothing is copied."""
        with self.while_off():
            job = self.finished(self.api.migrate(self.guest.name, labs.other(self.host())),
                                self.now)
            if job["result"].get("disk_bytes"):
                raise Failed("it copied: %s" % json.dumps(job))

    def undo(self):
        if self.last_job is None:
            raise Failed("nothing was done before")
        if self.dice.random() < 0.5:
            with self.while_off():
                self.undo_now()
        else:
            self.undo_now()

    def undo_now(self):
        undone = self.last_job["id"]
        back = self.finished(self.api.post("/jobs/%s/undo" % undone))
        if self.api.job(undone).get("undone_by") != back["id"]:
            raise Failed("not noted in what was undone")

    # The judge.

    def listed(self, state):
        labs.eventually("%s to be listed once, as %s" % (self.guest.name, state), lambda: [
            (row["state"], row.get("job_id")) for row in self.api.vms(self.guest.name)] ==
            [(state, None)], 30)

    def judge(self):
        guest = self.guest
        states = guest.states()
        assert list(states.values()) == ["running"], "one running, no twin (I1, I2): %s" % states
        host = next(iter(states))
        qemus = [(row["host"], row["running"]) for row in labs.qemus(guest.uuid)]
        assert qemus == [(host, True)], qemus
        self.listed("running")
        try:
            guest.verified_disks()
        except AssertionError as error:
            raise Corrupted(str(error)) from error
        guest.wait_verified(60)
        if guest.problems():
            raise Corrupted(json.dumps(guest.problems()))

    def kept(self):
        return [row for row in self.api.items("/kept-volumes")
                if row["vm_uuid"] == self.guest.uuid]

    def forget_kept(self):
        """What another kept copy stands on goes after that one; while a VM arrives at its host none
        can be removed. The copy is on the list until the controller has taken note of the job."""
        deadline = time.monotonic() + 90
        why = "nothing"
        while self.kept():
            assert time.monotonic() < deadline, "kept still: %s; %s" % (why, self.kept())
            for row in self.kept():
                why = self.remove_kept(row["id"]) or why
            time.sleep(0.2)

    def remove_kept(self, kept_id):
        """Why it could not be done just now; None where it was."""
        try:
            job = self.api.call("DELETE", "/kept-volumes/" + kept_id)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return error.problem["detail"]
        job = self.api.wait_final(job["id"], 60)
        said = words(job)
        assert job["state"] == "done" or "stands on it" in said or "is arriving" in said, \
            "%s\n%s" % (said, json.dumps(job))
        return None if job["state"] == "done" else said

    def finish(self):
        self.forget_kept()
        assert self.kept() == [], self.kept()
        self.guest.verified_disks()  # what was deleted was not its own
        owned = {path for chain in disks.images(self.host(), self.guest.name).values()
                 for path in chain}
        stray = {(host, path) for host, path in self.world.pools.of(self.guest)
                 if path not in owned or host not in ("both", self.host())}
        assert not stray, "left: %s; its images: %s" % (sorted(stray), sorted(owned))

    def clear(self):
        """Whatever happened, nothing of it is in the way of those that come."""
        try:
            for job in self.api.items("/jobs", active="true"):
                if job.get("vm_uuid") == self.guest.uuid:
                    self.api.cancel(job["id"])
            self.guest.remove()
            labs.eventually("the VM to be gone", lambda: not self.api.vms(self.guest.name), 30)
            with contextlib.suppress(AssertionError):
                self.forget_kept()
            for host, path in self.world.pools.of(self.guest):
                os.unlink(disks.inside(labs.HOSTS[0] if host == "both" else host, path))
        except Exception:  # pylint: disable=broad-except
            self.note("failed", "clearing up: " + traceback.format_exc())

    def note(self, verdict, why=None, seconds=0):
        options = self.guest.options
        self.world.note({
            "guest": self.guest.name, "type": self.now, "verdict": verdict, "why": why,
            "seconds": round(seconds, 1), "options": {key: options[key] for key in (
                "host", "disk", "format", "disk_size", "below", "covered", "more_disks", "memory",
                "spread_fill", "spread_rate")}})


class World:
    """The lab, a controller, its pools, and what came out so far."""

    def __init__(self, record):
        self.record = record
        self.lock = threading.Lock()
        self.tally = collections.Counter()
        self.reasons = collections.Counter()
        self.folder = tempfile.mkdtemp(prefix="godwit-storage-campaign-")
        self.controller = AgentController(self.folder)
        self.pools = Pools()

    def __enter__(self):
        labs.command("install")
        labs.command("down")
        labs.command("up", "--agents", "--hosts", "2")
        labs.command("storage", *KINDS)
        self.pools.make()
        self.controller.start()
        self.controller.manage_lab()
        return self

    def __exit__(self, *_unused):
        try:
            self.controller.stop()
        finally:
            labs.command("down")
        if self.failures() == 0:
            shutil.rmtree(self.folder)
        else:
            print("the controller's state and log are in " + self.folder)

    def failures(self):
        return sum(count for (_what, verdict), count in self.tally.items()
                   if verdict in ("failed", "corrupted"))

    def note(self, row):
        with self.lock:
            self.tally[row["type"], row["verdict"]] += 1
            if row["verdict"] == "refused":
                # One reason, whichever guest and file it names.
                self.reasons[row["type"], re.sub(r"c\d{3}[-.\w]*", "…", row["why"])] += 1
            print("%s %-9s %-22s %6.1f s  %s%s" % (
                row["guest"], row["verdict"], row["type"], row["seconds"],
                "%(disk)s %(format)s %(disk_size)d" % row["options"],
                "\n     " + row["why"][:4000] if row["why"] else ""), flush=True)
            if self.record:
                with open(self.record, "a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")

    def table(self):
        kinds = list(TYPES) + sorted({what for what, _verdict in self.tally} - set(TYPES))
        print("\n%-24s %6s %8s %7s %10s" % ("transfer", "done", "refused", "failed", "corrupted"))
        for what in kinds:
            done, refused, failed, corrupted = (self.tally[what, verdict] for verdict in (
                "done", "refused", "failed", "corrupted"))
            print("%-24s %6d %8d %7d %10s" % (what, done, refused, failed, "%d/%d" % (
                corrupted, done + refused + failed + corrupted)))
        for (what, why), count in sorted(self.reasons.items()):
            print("refused %d times, %s: %s" % (count, what, why))


def change_a_block(guest, host):
    """A block of its first disk, which is raw, as a second writer would."""
    path = disks.inside(host, disks.images(host, guest.name)["vda"][0])
    handle = os.open(path, os.O_RDWR)
    try:
        os.pwrite(handle, b"not the guest's " * 256, (FIRST_BLOCK + 700) * 4096)
        os.fsync(handle)
    finally:
        os.close(handle)


def is_caught(what, act):
    try:
        act()
    except Corrupted as caught:
        print("caught, as it must be, %s: %s" % (what, str(caught)[:120]), flush=True)
        return True
    print("A CHANGED BLOCK WAS NOT CAUGHT, %s: the campaign proves nothing" % what)
    return False


def control(world):
    """A block changed behind a guest's back, while it runs and while it is off."""
    trial = Trial(world, 0, "control")
    trial.guest.options.update(disk="local", format="raw", below=False, covered=False,
                               more_disks=[], host="kvm1", spread_rate=0)
    try:
        trial.begin()
        trial.judge()
        change_a_block(trial.guest, "kvm1")
        if not is_caught("running", trial.judge):
            return False

        def changed_while_off():
            with trial.while_off():
                change_a_block(trial.guest, "kvm1")
        trial.guest.remove()
        trial.begin()
        return is_caught("off", changed_while_off)
    finally:
        trial.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--first", type=int, default=1, help="number of the first guest")
    parser.add_argument("--beside", type=int, default=3, help="guests at a time")
    parser.add_argument("--seed", default="godwit")
    parser.add_argument("--minutes", type=float, default=600, help="begin no guest after that")
    parser.add_argument("--record", metavar="FILE")
    options = parser.parse_args()
    until = time.monotonic() + options.minutes * 60
    begun = []

    with World(options.record) as world:
        if not control(world):
            return 1

        def one(number):
            if time.monotonic() < until:
                begun.append(number)
                Trial(world, number, options.seed).run()

        numbers = range(options.first, options.first + options.guests)
        with concurrent.futures.ThreadPoolExecutor(options.beside) as pool:
            for done in [pool.submit(one, number) for number in numbers]:
                done.result()
        world.table()
        print("guests %d, failed %d" % (len(begun), world.failures()))
        return 1 if world.failures() or not begun else 0


if __name__ == "__main__":
    sys.exit(main())
