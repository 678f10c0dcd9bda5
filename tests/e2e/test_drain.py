# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts are emptied and get their VMs back, by plans, on three real hosts (R19, R49, R58)."""
import contextlib
import json

import pytest

from support import labs
from support.api import ApiError, words
from support.controller import Controller

pytestmark = pytest.mark.long

SIZES = (72, 80, 96, 112)  # MiB; different, so that a plan has an order to choose
FAILED, REFUSED, CANCELLED, CONFLICT = 1, 3, 5, 8  # exit statuses of the command line
SLOW = "40mbit"  # a move takes seconds, so that there is a middle
SILENCE_MS = 5000  # of a guest, on a machine that others may keep busy


@pytest.fixture(scope="module", name="three")
def a_lab_of_three_hosts(lab, all_guests):
    """Without the guests of other tests: a drain would move them too."""
    labs.command("up", "--hosts", "3")
    all_guests.remove_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labs, "HOSTS", ("kvm1", "kvm2", "kvm3"))
        yield lab
    all_guests.remove_all()


@pytest.fixture(scope="module", name="controller")
def a_controller_of_three_hosts(three, tmp_path_factory):
    with Controller(tmp_path_factory.mktemp("drain")).managing_lab() as controller:
        yield controller


@pytest.fixture(name="four")
def four_guests(guests, controller):
    """On kvm1, where each test begins."""
    found = [guests.get(beside=True, memory=size, interval=5000) for size in SIZES]
    for guest in found:
        if guest.where() != "kvm1":
            controller.move(guest, target="kvm1")
        guest.reset()
    wait_listed(controller, "kvm1", found)
    yield found
    labs.rate("none")
    if controller.api.hosts()["kvm1"]["maintenance"] != "none":
        controller.cli("host", "maintenance", "kvm1", "off")


def wait_listed(controller, host, guests):
    """A plan is made of what the controller has seen."""
    wanted = {guest.name for guest in guests}

    def listed():
        host_id = controller.api.hosts()[host]["id"]
        return wanted == {row["name"] for row in controller.api.items("/vms")
                          if row["host_id"] == host_id and "job_id" not in row}

    labs.eventually("%s on %s alone" % (sorted(wanted), host), listed, 20)


def places(guests):
    return {guest.name: guest.where() for guest in guests}


def maintenance(controller, host="kvm1"):
    return controller.api.hosts()[host]["maintenance"]


def all_on(guests, host):
    return set(places(guests).values()) == {host}


def begin(controller, *command):
    """A plan in the background: its job's id."""
    return controller.cli(*command, "--no-wait", "-q").stdout.split()[-1]


def children(controller, job_id):
    return [job for job in controller.api.items("/jobs") if job.get("part_of") == job_id]


def copying(controller, job_id, count=1):
    """The moves under way, once there are that many and their memory goes over."""
    def found():
        rows = [job for job in children(controller, job_id) if job["state"] == "copying"]
        return rows if len(rows) >= count else None
    return labs.eventually("%d moves under way" % count, found, 30)


def moves(controller, job_id, state=None):
    """The plan's, as they are; those in one state alone."""
    return [row for row in controller.api.job(job_id)["plan"]["moves"]
            if state in (None, row["state"])]


def drain_paused(controller):
    """A drain of kvm1 that was paused under its first move, once that is over: its job's id."""
    labs.rate(SLOW)
    job_id = begin(controller, "host", "drain", "kvm1", "--moves-at-once", "1")
    copying(controller, job_id)
    controller.cli("job", "pause", job_id)
    labs.eventually("the move under way to end",
                    lambda: not moves(controller, job_id, "running"), 60)
    labs.rate("none")
    states = [row["state"] for row in moves(controller, job_id)]
    assert states.count("done") == 1 and states.count("waiting") == 3, states
    return job_id


def waiting_guests(controller, job_id, guests):
    """[(guest, where it is to go)], in the plan's order."""
    by_name = {guest.name: guest for guest in guests}
    return [(by_name[row["vm_name"]], row["destination_host_name"])
            for row in moves(controller, job_id, "waiting")]


def ended(controller, job_id, state, seconds=240):
    """The drain's job, which did not go by its first plan alone."""
    job = controller.api.wait_final(job_id, seconds)
    for step in job["steps"]:
        print("%s: %s" % (step["state"], step["why"]))
    assert job["state"] == state, words(job)
    return job


def history(job):
    return "\n".join(step["why"] for step in job["steps"])


def never_silent(guests):
    for guest in guests:
        guest.wait_heard()
        assert guest.problems() == [], guest.report()
        gap = guest.report()["max_gap_ms"]
        print("%s: silent for %d ms" % (guest.name, gap))
        assert gap < SILENCE_MS, guest.report()


def test_looked_at_applied_and_brought_back(controller, four, tmp_path):
    """As a person does it: read the plan, keep it, carry it out, work on the host, undo it."""
    shown = controller.cli("host", "drain", "kvm1", "--dry-run").stdout
    print(shown)
    for text in ("drain kvm1", "4 in 1 wave", "kvm1 → kvm", "memory left then"):
        assert text in shown, shown
    for guest in four:
        assert guest.name in shown and guest.uuid not in shown, shown
    assert controller.api.hosts()["kvm1"]["id"] not in shown, "names, not ids"
    path = str(tmp_path / "kvm1.json")
    controller.cli("host", "drain", "kvm1", "--plan-file", path)
    assert all_on(four, "kvm1") and maintenance(controller) == "none", "nothing was changed"
    assert controller.cli("plan", "show", path).stdout.split("\n")[0].endswith("drain kvm1")

    applied = controller.cli("plan", "apply", path).stdout
    print(applied)
    assert "Done: Drain kvm1" in applied and "4 of 4 VMs" in applied, applied
    with open(path, encoding="utf-8") as kept:
        planned = {row["vm_name"]: row["destination_host_name"]
                   for row in json.load(kept)["moves"]}
    assert places(four) == planned, "each where the plan says"
    never_silent(four)

    labs.eventually("kvm1 to be empty", lambda: maintenance(controller) == "in maintenance")
    refused = controller.cli("vm", "migrate", four[0].name, "kvm1", check=False)
    assert refused.returncode == REFUSED, refused.stderr
    assert "maintenance" in refused.stderr and "R49" in refused.stderr, refused.stderr
    again = controller.cli("plan", "apply", path, check=False)
    assert again.returncode == CONFLICT and "is not on kvm1 any more" in again.stderr, again.stderr

    back = controller.cli("host", "undrain", "kvm1").stdout
    assert "Done: Bring VMs back to kvm1" in back, back
    assert all_on(four, "kvm1") and maintenance(controller) == "none"
    never_silent(four)


def test_paused_and_resumed(controller, four):
    """What is under way ends, nothing else begins; on resume the rest goes."""
    job_id = drain_paused(controller)
    assert list(places(four).values()).count("kvm1") == 3
    assert maintenance(controller) == "entering"
    said = controller.cli("job", "show", job_id).stdout
    assert "1 of 4 VMs" in said and "Pause requested" in said, said
    assert len(children(controller, job_id)) == 1, "none began meanwhile"
    controller.cli("job", "resume", job_id)
    watched = controller.cli("job", "watch", job_id)
    assert "4 of 4 VMs" in watched.stdout, watched.stdout
    assert "kvm1" not in places(four).values()
    never_silent(four)


def test_cancelled(controller, four):
    """The moves under way are cancelled with it: those VMs run on where they are."""
    labs.rate(SLOW)
    job_id = begin(controller, "host", "drain", "kvm1")
    moving = {job["vm_name"] for job in copying(controller, job_id, 2)}
    with pytest.raises(ApiError) as twice:
        controller.api.post("/plans/apply", controller.api.job(job_id)["plan"])
    assert twice.value.status == 409, "one plan for a host at a time"
    controller.cli("job", "cancel", job_id)
    watched = controller.cli("job", "watch", job_id, check=False)
    assert watched.returncode == CANCELLED, (watched.returncode, watched.stderr)
    labs.rate("none")
    for job in children(controller, job_id):
        assert job["state"] in ("cancelled", "done"), job
        assert (places(four)[job["vm_name"]] == "kvm1") == (job["state"] == "cancelled"), job
    assert {job["vm_name"] for job in children(controller, job_id)} >= moving
    assert "kvm1" in places(four).values(), "a cancel of %s moves nothing more" % moving
    assert controller.api.job(job_id)["error"]["code"] == "cancelled"
    never_silent(four)


def test_what_cannot_leave_is_named_and_runs_on(controller, guests, four):
    """Its disk is kvm1's own, and copying was not asked for (R13)."""
    stays = guests.get(beside=True, memory=88, interval=5000, disk="local")
    wait_listed(controller, "kvm1", four + [stays])
    dry = json.loads(controller.cli("host", "drain", "kvm1", "--dry-run", "-o", "json").stdout)
    assert [row["vm_name"] for row in dry["stays"]] == [stays.name]
    assert {row["vm_name"] for row in dry["moves"]} == {guest.name for guest in four}
    shown = controller.cli("host", "drain", "kvm1", "--dry-run").stdout
    assert "does not reach all disks" in shown and "--storage" in shown, shown

    drained = controller.cli("host", "drain", "kvm1", check=False)
    print(drained.stdout + drained.stderr)
    assert drained.returncode == FAILED
    assert "4 of 5 VMs" in drained.stderr and "'%s' stays on kvm1" % stays.name in drained.stderr
    assert "Remedy" in drained.stderr
    assert stays.where() == "kvm1" and "kvm1" not in places(four).values()
    assert maintenance(controller) == "entering", "not while something runs there"
    never_silent(four + [stays])


@contextlib.contextmanager
def dead_libvirtd(controller, host):
    """Killed until the end; the controller has noticed."""
    labs.libvirtd(host, "kill")
    try:
        labs.eventually("%s to be missed" % host, lambda: not controller.api.hosts()[host][
            "status"].startswith("OK"), 30)
        yield
    finally:
        labs.libvirtd(host, "start")


def test_a_destination_disappears_before_its_turn(controller, four):
    """What was to go there goes elsewhere; what had arrived there runs on, and is counted once."""
    labs.rate(SLOW)
    job_id = begin(controller, "host", "drain", "kvm1", "--moves-at-once", "1")
    labs.eventually("the second move", lambda: moves(controller, job_id, "done") and copying(
        controller, job_id), 60)
    under_way = moves(controller, job_id, "running")[0]["destination_host_name"]
    lost, left = ("kvm2", "kvm3") if under_way == "kvm3" else ("kvm3", "kvm2")
    stranded = {guest.name for guest, to in waiting_guests(controller, job_id, four) if to == lost}
    assert stranded, "the plan uses both: %s" % moves(controller, job_id)
    with dead_libvirtd(controller, lost):
        labs.rate("none")
        job = ended(controller, job_id, "done")
        assert {name for name, host in places(four).items() if host == left} >= stranded
    assert "%s takes no VMs any more" % lost in history(job), job["steps"]
    assert job["plan_progress"]["planned_again"] >= 1, job["plan_progress"]
    assert job["plan_progress"]["vms_moved"] == 4 and not job["plan"]["stays"], job["plan"]
    controller.wait_hosts()
    assert places(four) == {row["vm_name"]: row["destination_host_name"]
                            for row in job["plan"]["moves"]}, "each once, as the job says"
    labs.eventually("kvm1 to be empty", lambda: maintenance(controller) == "in maintenance")
    never_silent(four)


def test_a_waiting_vm_is_moved_by_hand(controller, four):
    """Past the controller, to where the plan did not mean it to go: there it is left."""
    job_id = drain_paused(controller)
    guest, planned = waiting_guests(controller, job_id, four)[0]
    chosen = "kvm2" if planned == "kvm3" else "kvm3"
    labs.virsh("kvm1", "migrate", "--live", "--p2p", "--tls", "--persistent", "--undefinesource",
               guest.name, "qemu+tls://%s/system" % labs.host(chosen).address)
    guest.moved_by_another = True
    assert guest.states() == {chosen: "running"}
    controller.cli("job", "resume", job_id)
    job = ended(controller, job_id, "done")
    assert "'%s' is not on kvm1 any more" % guest.name in history(job), job["steps"]
    assert job["plan_progress"]["planned_again"] >= 1, job["plan_progress"]
    row, = [row for row in job["plan"]["moves"] if row["vm_uuid"] == guest.uuid]
    assert row["state"] == "skipped" and "job_id" not in row, row
    assert guest.uuid not in {child["vm_uuid"] for child in children(controller, job_id)}
    assert guest.where() == chosen and "kvm1" not in places(four).values()
    assert job["plan_progress"]["vms_moved"] == 3 and not job["plan"]["stays"], job["plan"]
    labs.eventually("kvm1 to be empty", lambda: maintenance(controller) == "in maintenance")
    never_silent(four)


@contextlib.contextmanager
def grown_disk(guest, pool):
    """The VM has another disk, of this pool of kvm1, until the end; by virsh alone."""
    volume = guest.name + "-more.img"
    labs.virsh("kvm1", "vol-create-as", pool, volume, "8M", "--format", "raw")
    path = labs.virsh("kvm1", "vol-path", volume, "--pool", pool).stdout.strip()
    try:
        labs.virsh("kvm1", "attach-disk", guest.name, path, "vdb", "--targetbus", "virtio",
                   "--cache", "none", "--live", "--config")
        yield path
        labs.virsh(guest.where(), "detach-disk", guest.name, "vdb", "--live", "--config")
        labs.eventually("the guest to let go of it", lambda: path not in disks(guest), 30)
    finally:
        labs.virsh("kvm1", "vol-delete", volume, "--pool", pool, check=False)


def disks(guest):
    return labs.virsh(guest.where(), "domblklist", guest.name).stdout


def test_waiting_vms_grow(controller, four):
    """One by a disk that all hosts see: it goes along. Another by one of kvm1 alone: it is said to
    stay (R13), and leaves with the next drain when it has shrunk again."""
    job_id = drain_paused(controller)
    goes, stays = [guest for guest, _ in waiting_guests(controller, job_id, four)][:2]
    with grown_disk(goes, "shared") as path:
        with grown_disk(stays, "local"):
            controller.cli("job", "resume", job_id)
            job = ended(controller, job_id, "failed")
            assert "'%s' stays on kvm1" % stays.name in job["error"]["message"], job["error"]
            assert [row["vm_uuid"] for row in job["plan"]["stays"]] == [stays.uuid]
            said = json.dumps(job["plan"]["stays"][0])
            assert "does not reach all disks" in said and "--storage" in said, said
            assert job["plan_progress"]["planned_again"] >= 1, job["plan_progress"]
            assert job["plan_progress"]["vms_moved"] == 3, job["plan_progress"]
            assert [name for name, host in places(four).items() if host == "kvm1"] == [stays.name]
            assert path in disks(goes), "it goes along"
            assert maintenance(controller) == "entering", "not while something runs there"
        job = ended(controller, begin(controller, "host", "drain", "kvm1"), "done")
        assert job["plan_progress"]["vms_moved"] == 1 and stays.where() != "kvm1"
    labs.eventually("kvm1 to be empty", lambda: maintenance(controller) == "in maintenance")
    never_silent(four)
