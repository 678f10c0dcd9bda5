#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fault campaign: real moves through agents, with something killed, frozen or cut at a random
moment, judged from outside.

Each trial moves a running guest and strikes once or twice: the controller, either agent, libvirtd
or QEMU is killed (SIGKILL) or frozen for a while, or the link between the hosts is cut. What was
killed is started again after a random pause, as a service manager would. When the job is over, the
invariants are checked: the VM is defined on exactly one host and runs in at most one QEMU, by
libvirt and by the process table; it was never seen doubled, set back or silent for ever by the
witness; its memory and disk verify; the job says what is true; nothing is left over.

A guest whose own QEMU was struck may be dead in the end (that is what killing it means), but then
it is off, defined once, and starts. --record FILE adds each trial as a line of JSON; --seed makes
the strikes the same again. --plant double is the positive control: it must be caught.
"""
import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback

os.environ.setdefault("GODWIT_LAB_NAME", "camp")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import labs  # noqa: E402
from support.agent_controller import AgentController  # noqa: E402
from support.api import ApiError  # noqa: E402
from support.guest import Guests  # noqa: E402

TARGETS = ("controller", "source agent", "destination agent", "source libvirtd",
           "destination libvirtd", "source QEMU", "destination QEMU", "link")
# Of what can be frozen; a frozen controller or QEMU is the same to its peers as a slow one.
FREEZES = ("source agent", "destination agent", "source libvirtd", "destination libvirtd")


class Strike:
    def __init__(self, dice, span):
        self.target = dice.choice(TARGETS)
        self.kind = "cut" if self.target == "link" else \
            dice.choice(["kill", "kill", "freeze"]) if self.target in FREEZES else "kill"
        self.at = dice.uniform(0, span)
        self.back = dice.uniform(0.1, 4)

    def words(self):
        return "%s %s at %.2f s, back after %.2f s" % (self.kind, self.target, self.at, self.back)


class Trial:
    def __init__(self, world, number, seed):
        self.world = world
        self.number = number
        dice = random.Random("%s/%d" % (seed, number))
        # The same guest for some trials: booting one takes as long as a trial.
        self.options = world.kinds[number // 8 % len(world.kinds)]
        self.rate = dice.choice(["200mbit", "400mbit", "1gbit"])
        self.strikes = [Strike(dice, 4.0 if self.rate == "200mbit" else 2.0)
                        for _ in range(dice.choice([1, 1, 2]))]
        self.timers = []
        self.guest_may_die = False
        self.errors = []

    def run(self):
        guest = self.world.guests.get(**self.options)
        self.guest = guest
        self.source = guest.where()
        self.target = labs.other(self.source)
        labs.eventually("the guest to be listed", lambda: [
            row["state"] for row in self.world.controller.api.vms(guest.name)] == ["running"], 30)
        labs.rate(self.rate)
        begun = time.monotonic()
        try:
            self.job_id = self.world.controller.api.migrate(guest.name, self.target,
                                                            method="standard")["id"]
            for strike in self.strikes:
                self.later(strike.at, self.strike, strike)
            self.wait_for_timers()
        finally:
            self.wait_for_timers()
            labs.rate("none")
        self.settle()
        self.took = time.monotonic() - begun

    def later(self, seconds, what, *arguments):
        def guarded():
            try:
                what(*arguments)
            except (labs.LabError, ProcessLookupError, OSError):
                pass  # what was to be struck is gone by another strike, or by the move's own end
            except Exception:  # pylint: disable=broad-except
                self.errors.append(traceback.format_exc())
        timer = threading.Timer(seconds, guarded)
        self.timers.append(timer)
        timer.start()

    def wait_for_timers(self):
        while self.timers:
            self.timers.pop(0).join()

    def host_of(self, target):
        return self.source if target.startswith("source") else self.target

    def strike(self, strike):
        host, what = self.host_of(strike.target), strike.target.split()[-1]
        if what == "controller":
            self.world.controller.kill()
            self.later(strike.back, self.world.controller.start, False)
        elif what == "link":
            self.world.cut(host, True)
            self.later(strike.back, self.world.cut, host, False)
        elif what == "QEMU":
            pid = self.guest.qemu(host)
            if pid is not None:
                self.guest_may_die = True
                os.kill(pid, signal.SIGKILL)
        else:
            act = labs.agent if what == "agent" else labs.libvirtd
            act(host, "stop" if strike.kind == "freeze" else "kill")
            self.later(strike.back, act, host, "cont" if strike.kind == "freeze" else "start")

    def settle(self):
        """Everything is back: the job must come to its end, and what is true be what it says."""
        assert not self.errors, "\n".join(self.errors)
        for host in labs.HOSTS:
            self.world.cut(host, False)
        labs.mend()
        controller = self.world.controller
        controller.start(wait_hosts=False)
        controller.wait_hosts(60)
        try:
            self.job = controller.api.wait_final(self.job_id, 90)
        except ApiError as error:
            if error.status != 404:
                raise
            self.job = {"state": "forgotten"}  # killed before it had been accepted
        self.guest.dies = self.guest_may_die and not self.is_running()
        self.world.guests.begin()
        self.world.guests.given.append(self.guest)
        if not self.guest.dies:
            self.guest.wait_heard()
        self.world.guests.check(controller)

    def is_running(self):
        return "running" in self.guest.states().values()

    def record(self, verdict, why=None):
        return {"trial": self.number, "verdict": verdict, "why": why, "guest": self.options,
                "rate": self.rate, "strikes": [strike.words() for strike in self.strikes],
                "targets": [strike.target for strike in self.strikes],
                "job": getattr(self, "job", {}).get("state"),
                "died_with_its_qemu": getattr(getattr(self, "guest", None), "dies", None),
                "steps": [step["state"] + ": " + step["why"] for step in
                          getattr(self, "job", {}).get("steps", [])],
                "gap_ms": self.gap(), "seconds": round(getattr(self, "took", 0), 1)}

    def gap(self):
        try:
            return round(self.guest.report()["max_gap_ms"])
        except (labs.LabError, KeyError, AttributeError):
            return None


class World:
    """The lab, a controller and its guests, for all trials."""

    def __init__(self, locks):
        self.kinds = [{"disk": "shared"}, {"disk": "none"}, {"disk": "shared", "dirty": 10}]
        self.locks = locks
        self.folder = tempfile.mkdtemp(prefix="godwit-campaign-")
        self.controller = AgentController(self.folder)
        self.guests = Guests()

    def __enter__(self):
        labs.command("install")
        labs.command("down")
        labs.command("up", "--agents", "--hosts", "2")
        labs.locks(self.locks)
        self.controller.start()
        self.controller.manage_lab()
        assert self.controller.share()["locks_proved"] == self.locks, self.controller.share()
        return self

    def __exit__(self, *_unused):
        try:
            self.controller.stop()
            self.guests.remove_all()
        finally:
            labs.command("down")

    def cut(self, host, off):
        """Cuts the host's own link, as a pulled cable does; the guests' links are others."""
        labs.net.run(["ip", "link", "set", labs.net.host_link(host), "down" if off else "up"])

    def begin_anew(self):
        """After a fault: nothing of it shall be counted again."""
        for guest in list(self.guests.known.values()):
            guest.remove()
        self.guests.known = {}


def plant_double(world):
    """A second QEMU of a running VM, beside it: the judge must say so."""
    guest = world.guests.get(disk="none")
    source = guest.where()
    xml = labs.virsh(source, "dumpxml", guest.name).stdout
    path = labs.settings.STATE + "/planted.xml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(xml)
    labs.virsh(labs.other(source), "create", path)
    time.sleep(6)
    try:
        world.guests.begin()
        world.guests.given.append(guest)
        world.guests.check(world.controller)
    except AssertionError as caught:
        print("caught, as it must be: %s" % str(caught).splitlines()[0])
        return 0
    finally:
        labs.virsh(labs.other(source), "destroy", guest.name, check=False)
        os.unlink(path)
    print("A DOUBLED GUEST WAS NOT CAUGHT: the campaign proves nothing")
    return 1


def one(world, number, options, tally):
    trial = Trial(world, number, options.seed)
    try:
        trial.run()
        row = trial.record("ok")
    except Exception as error:  # pylint: disable=broad-except
        row = trial.record("FAULT", str(error) or traceback.format_exc())
        world.begin_anew()
    for target in row["targets"]:
        tally["struck: " + target] += 1
    tally["verdict: " + row["verdict"]] += 1
    tally["job: %s" % row["job"]] += 1
    tally["guest ended with its QEMU"] += bool(row["died_with_its_qemu"])
    print("%4d %-5s %-9s gap %6s ms  %s%s" % (
        number, row["verdict"], row["job"], row["gap_ms"], "; ".join(row["strikes"]),
        "\n     " + row["why"][:1500] if row["why"] else ""), flush=True)
    if options.record:
        with open(options.record, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
    return row["verdict"] == "ok"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="number of the first trial")
    parser.add_argument("--seed", default="godwit")
    parser.add_argument("--minutes", type=float, default=600, help="stop in time")
    parser.add_argument("--locks", action="store_true", help="image locks hold between the hosts "
                        "(default: they do not, so that the agents commit by resume)")
    parser.add_argument("--record", metavar="FILE")
    parser.add_argument("--plant", choices=["double"])
    options = parser.parse_args()
    until = time.monotonic() + options.minutes * 60
    tally = collections.Counter()
    with World(options.locks) as world:
        if options.plant:
            return plant_double(world)
        for number in range(options.first, options.first + options.trials):
            if time.monotonic() > until:
                break
            one(world, number, options, tally)
    for what, count in sorted(tally.items()):
        print("%-28s %d" % (what, count))
    return 1 if tally["verdict: FAULT"] else 0


if __name__ == "__main__":
    sys.exit(main())
