# SPDX-License-Identifier: LGPL-2.1-or-later
"""The godwit program against a controller that is a script."""
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import threading
import time
import unicodedata

import pytest

import fake as fakes
from conftest import PROGRAM, ROOT
from fake import FINDINGS, MIB, RESULT, SMOOTH, STUCK, progress
from terminal import Terminal

EVERYTHING = [
    "host add", "host list", "host show", "host set", "host storage", "host maintenance",
    "host explain", "host remove", "host refresh", "host check", "host drain", "host undrain",
    "group list", "group show", "group add", "group remove", "group set", "group balance", "vm list", "vm show",
    "vm start", "vm candidates", "vm migrate", "vm migrate-storage", "job list", "job show",
    "job watch", "job cancel", "job set", "job post-copy", "job settle", "job undo", "job pause",
    "job resume", "kept list", "kept show", "kept remove", "rule list", "rule show", "rule add",
    "rule set", "rule remove", "plan moves", "plan show", "plan apply", "cpu baseline", "share list",
    "share add", "share show", "share prove", "share remove", "explain", "status", "events", "completion",
    "help", "version",
]


def bodies(fake, method, ending):
    return [b for m, p, b in fake.requests if m == method and p.split("?")[0].endswith(ending)]


# Output ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, args", [
    ("vm-list", ["vm", "list"]),
    ("vm-show", ["vm", "show", "web1"]),
    ("vm-candidates", ["vm", "candidates", "web1", "-v"]),
    ("vm-dry-run", ["vm", "migrate", "web1", "kvm2", "--dry-run"]),
    ("vm-storage-dry-run", ["vm", "migrate-storage", "web1", "fast", "--dry-run"]),
    ("host-list", ["host", "list"]),
    ("host-storage", ["host", "storage", "kvm1"]),
    ("kept-list", ["kept", "list"]),
    ("kept-show", ["kept", "show", "01JD4ZQ6T5J8S0M3E9V7KEPT01"]),
    ("job-undo", ["job", "undo", fakes.JOB % 1, "--dry-run"]),
    ("host-show", ["host", "show", "kvm1"]),
    ("group-list", ["group", "list"]),
    ("job-list", ["job", "list"]),
    ("job-show", ["job", "show", fakes.JOB % 1]),
    ("rule-list", ["rule", "list"]),
    ("rule-show", ["rule", "show", "webs"]),
    ("group-show", ["group", "show", "Rack 1"]),
    ("group-balance", ["group", "balance", "All Hosts"]),
    ("explain", ["explain", "web1"]),
    ("explain-host", ["explain", "web1", "kvm2"]),
    ("host-explain", ["host", "explain", "kvm1"]),
    ("cpu-baseline", ["cpu", "baseline"]),
    ("share-list", ["share", "list"]),
    ("share-show", ["share", "show", "images"]),
    ("status", ["status"]),
])
@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_golden(fake, godwit, golden, name, args, form):
    fake.groups += [{"id": "g1", "name": "Berlin", "parent_id": "all-hosts"},
                    {"id": "g2", "name": "Rack 1", "parent_id": "g1"},
                    {"id": "g3", "name": "Hamburg", "parent_id": "all-hosts"},
                    {"id": "g4", "name": "lost", "parent_id": "gone"}]
    fake.groups[1]["placement"] = {
        "goal": "fill", "cpu_weight": 80, "memory_weight": 50, "disk_weight": 50,
        "network_weight": 0, "cpu_reserve_percent": 10, "memory_reserve_kib": 4 * MIB,
        "disk_reserve_bytes": 0}
    fake.rules += [{"id": "r1", "name": "webs", "kind": "apart", "required": True,
                    "vms": [fakes.U1, fakes.U2, "6f1b1c1e-0000-4000-8000-0000000000ff"],
                    "comment": "one may fail"},
                   {"id": "r2", "name": "fast", "kind": "run-on", "required": False,
                    "disabled": True, "vms": [fakes.U1], "hosts": ["host-1", "gone"],
                    "host_tags": ["ssd", "rack=3"]}]
    fake.vms.append(fakes.default_vm("6f1b1c1e-0000-4000-8000-000000000003", "old", state="off"))
    fake.shares += [{"id": "s1", "name": "images", "proved": False, "locks_proved": False,
                     "reason": "kvm2 does not see the marker",
                     "members": [{"host_id": "host-1", "pool": "default"},
                                 {"host_id": "host-2", "pool": "images"}]}]
    fake.new_job(vm_name="web1", title="Migrate web1 from kvm1 to kvm2", state="copying",
                 source_host_id="host-1", destination_host_id="host-2", transfer="Live",
                 progress=progress(percent=42, iteration=2, bandwidth_bps=110 * MIB),
                 disks=fakes.disk_moves(), keep_source_s=86400,
                 tasks=[{"kind": "volume-create", "state": "done", "host_id": "host-2",
                         "target": "vda", "copied_bytes": 0, "total_bytes": 0},
                        {"kind": "volume-copy", "state": "failed", "host_id": "host-2",
                         "target": "vda", "copied_bytes": MIB, "total_bytes": 4 * MIB,
                         "why": "the disk is full"}],
                 steps=None)
    fake.moves, fake.transfers = fakes.disk_moves(), fakes.TRANSFERS
    fake.kept = [fakes.default_kept(2, trouble="kvm1 does not answer"), fakes.default_kept(1)]
    fake.hosts[0].update(default_storage=["fast", "/srv/images"], keep_source_s=86400)
    fake.vms[0]["disks"][0]["backing_depth"] = 1
    fake.vms[0].update(nvram="/var/lib/libvirt/qemu/nvram/web1_VARS.fd", tpm="emulator")
    fake.findings = FINDINGS[1:]
    run = godwit(*args, "-o", form)
    assert (run.status, run.err) == (0, "")
    if form == "json":
        json.loads(run.out)
    golden(f"{name}.{form}", run.out)


def test_cpu_baseline_of_some_hosts(fake, godwit):
    done = godwit("cpu", "baseline", "kvm1", "Rack 1", "--virt-type", "qemu")
    assert done.status == 0, done.err
    assert fake.asked_baseline == {"hosts": "kvm1,Rack 1", "virt_type": "qemu"}
    plain = godwit("cpu", "baseline", LC_ALL="C").out
    assert re.search(r"^kvm1 +\. +no +\?$", plain, re.M), plain
    assert godwit("cpu", "baseline", "--virt-type", "xen").status == 2


def test_no_common_cpu(fake, godwit):
    fake.baseline = {"virt_type": "kvm", "kind": "hypervisor", "error": "nothing \x1b[31min common",
                     "features": [], "machines": [], "hosts": [], "vms": [], "pairs": []}
    done = godwit("cpu", "baseline")
    assert done.status == 0 and "There is no CPU that all of them can give a VM (kvm)" in done.out
    assert "\x1b" not in done.out


def test_restart_pending(fake, godwit):
    change = {"what": "machine", "now": "pc-q35-7.2", "after": "pc-q35-10.0", "why": "Redefined."}
    fake.vms[0]["restart_changes"] = [change]
    fake.restart = {"changes": [change], "gains": ["kvm2", "kvm3"], "loses": [],
                    "commands": ["virsh shutdown web1", "godwit vm start web1"]}
    listed = godwit("vm", "list").out
    assert re.search(r"^web1 .* pending ", listed, re.M), listed
    assert not re.search(r"^db1 .* pending ", listed, re.M), listed
    shown = godwit("vm", "show", "web1").out
    assert "It could then move to: kvm2, kvm3" in shown and "move no more" not in shown
    assert re.search(r"^machine +pc-q35-7.2 +pc-q35-10.0$", shown, re.M), shown
    assert "  virsh shutdown web1\n  godwit vm start web1\n" in shown



def test_lists_are_read_page_by_page(fake, godwit):
    fake.page = 7
    fake.vms = [fakes.default_vm(f"6f1b1c1e-0000-4000-8000-{n:012d}", f"vm{n}")
                for n in range(100)]
    run = godwit("vm", "list", "-o", "json")
    assert [v["name"] for v in json.loads(run.out)] == [f"vm{n}" for n in range(100)]


def test_a_list_without_end_is_refused(fake, godwit):
    fake.raw["/hosts"] = (200, "application/json", b'{"items": [], "next": "same"}')
    run = godwit("host", "list")
    assert run.status == 1 and "leads to itself" in run.err


def test_filters_reach_the_controller(fake, godwit):
    run = godwit("vm", "list", "--host", "kvm2", "--state", "off", "-o", "json")
    assert [v["name"] for v in json.loads(run.out)] == ["db1"]
    assert godwit("job", "list", "--active", "--vm", "a b&c").status == 0
    assert any("active=true" in p and "vm=a%20b%26c" in p for _, p, _ in fake.requests)


def test_empty_lists_say_so(fake, godwit):
    fake.hosts.clear()
    assert "No hosts. Add one: godwit host add" in godwit("host", "list").out
    assert godwit("host", "list", "-o", "json").out.strip() == "[]"
    assert godwit("host", "list", "-q").out == ""


def test_nothing_is_cut_in_a_pipe_but_on_a_terminal(fake, godwit, environment):
    fake.vms = [fakes.default_vm(fakes.U1, "n" * 200)]
    assert "n" * 200 in godwit("vm", "list").out
    terminal = Terminal([PROGRAM, "vm", "list"], environment(fake.url), columns=60)
    assert terminal.finish() == 0
    lines = terminal.plain.replace("\r", "").rstrip("\n").split("\n")
    assert len(lines) == 2 and all(len(line) <= 60 for line in lines)


def test_ascii_where_the_locale_is(fake, godwit):
    fake.groups += [{"id": "g1", "name": "Berlin", "parent_id": "all-hosts"}]
    run = godwit("group", "list", LC_ALL="C")
    assert run.out.isascii() and "`-Berlin" in run.out


def test_colors_only_on_a_terminal_that_wants_them(fake, godwit, environment):
    def shown(*args, **more):
        terminal = Terminal([PROGRAM, "vm", "list", *args], environment(fake.url, **more))
        assert terminal.finish() == 0
        return terminal.text

    assert "\x1b[32m" in shown()
    assert "\x1b" not in shown("--no-color")
    assert "\x1b" not in shown(NO_COLOR="1")
    assert "\x1b" not in shown(TERM="dumb")
    assert "\x1b" not in godwit("vm", "list").out


# Names from outside ---------------------------------------------------------------------------

HOSTILE = ["\x1b]0;owned\x07\x1b[31mred", "two\nlines\tand\rmore", "\u009b31mC1", "del\x7f",
           "n" * 300, "日本語" * 40, "$(touch /tmp/owned)`id`", "'\"\\ ; rm -rf", "--help", "é" * 10]


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_hostile_names_drive_no_terminal(fake, godwit, form):
    fake.vms = [fakes.default_vm(f"6f1b1c1e-0000-4000-8000-{n:012d}", name, state_reason=name)
                for n, name in enumerate(HOSTILE)]
    fake.hosts[0]["name"] = HOSTILE[0]
    for args in (["vm", "list"], ["vm", "show", "--", HOSTILE[0]], ["host", "list"]):
        run = godwit("-o", form, *args)
        assert run.status == 0, run.err
        bad = [c for c in run.out if unicodedata.category(c) == "Cc" and c != "\n"]
        assert bad == [], f"{args} printed control characters"
        if form == "json" and args[1] == "list" and args[0] == "vm":
            assert [v["name"] for v in json.loads(run.out)] == HOSTILE
    if form == "table":
        assert len(godwit("vm", "list").out.splitlines()) == 1 + len(HOSTILE)


def test_hostile_names_in_paths(fake, godwit):
    for name in (".", "..", "a/b", "a?b#c", "a%2Fb", "ü", "x" * 300):
        fake.requests.clear()
        run = godwit("vm", "show", name)
        assert run.status == 7, run.err
        path = fake.requests[0][1]
        assert path.startswith("/api/v1/vms/") and path.count("/") == 4 and "?" not in path


def test_hostile_errors_are_made_safe(fake, godwit):
    text = json.dumps({"detail": "bad\x1b[2J", "remedy": "do\x1b[31m", "code": "refused",
                       "errors": [{"observed": "o\x1b", "remedy": "r\x07"}]}).encode()
    fake.raw["/vms/web1/migrate"] = (422, "application/problem+json", text)
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == 3 and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", run.err)


# Answers that are none ------------------------------------------------------------------------

@pytest.mark.parametrize("content", [b"{", b"nonsense", b"\xff\xfe", b'{"a":1,"a":2}',
                                     b"[" * 100000])
def test_invalid_json(fake, godwit, content):
    fake.raw["/status"] = (200, "application/json", content)
    run = godwit("status")
    assert run.status == 1 and "cannot be used" in run.err and "Remedy" in run.err


def test_a_list_of_the_wrong_shape(fake, godwit):
    for content in (b'"text"', b"7", b"null", b'{"items": 3}', b"[[1], 2, null, {}]",
                    b'[{"name": 7, "facts": [], "status": {"x": 1}}]'):
        fake.raw["/hosts"] = (200, "application/json", content)
        run = godwit("host", "list")
        assert run.status in (0, 1), run.err


def test_answer_without_end_is_bounded(fake, godwit):
    sent = []

    def hundred_megabytes():
        for _ in range(100):
            sent.append(1)
            yield b'"' + b"x" * (MIB - 1)

    fake.raw["/hosts"] = (200, "application/json", hundred_megabytes)
    run = godwit("host", "list")
    assert run.status == 1 and "larger than is accepted" in run.err
    assert len(sent) < 60, "the program read on past its ceiling"


def test_ten_thousand_vms(fake, godwit):
    fake.vms = [fakes.default_vm(f"6f1b1c1e-0000-4000-8000-{n:012d}", f"vm{n}")
                for n in range(10000)]
    begin = time.monotonic()
    run = godwit("vm", "list")
    assert len(run.out.splitlines()) == 10001
    assert time.monotonic() - begin < 30


def test_not_a_controller(fake, godwit):
    fake.raw["/status"] = (503, "text/html", b"<h1>later\x1b[31m</h1>")
    run = godwit("status")
    assert run.status == 4 and "503" in run.err and "\x1b" not in run.err
    fake.raw["/status"] = (302, "text/html", b"")
    assert godwit("status").status == 1


# Reaching the controller ----------------------------------------------------------------------

def test_controller_not_running(fake, godwit):
    fake.stop()
    run = godwit("vm", "list")
    assert run.status == 4 and "cannot be reached" in run.err
    assert "Start godwitd" in run.err and "--server" in run.err


def test_wrong_token(fake, godwit):
    fake.token = "another"
    run = godwit("vm", "list")
    assert run.status == 4 and "token" in run.err and "Remedy" in run.err


@pytest.mark.parametrize("content", [None, b"", b"two words", b"line\nbreak", b"x" * 5000,
                                     b"a\x00b", "ü".encode()])
def test_token_file_that_is_none(fake, godwit, tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    run = godwit("vm", "list", "--token-file", str(path))
    if content == b"a\x00b":  # read up to the NUL: a token, but not the right one
        assert run.status == 4
        return
    assert run.status == 4 and str(path) in run.err and fake.requests == []


def test_token_file_without_end(godwit):
    assert godwit("vm", "list", "--token-file", "/dev/zero", timeout=10).status == 4


def test_certificate_of_another_ca(fake, godwit, folder):
    run = godwit("vm", "list", "--ca", str(folder / "other.pem"))
    assert run.status == 4 and "certificate" in run.err and "--ca" in run.err
    assert fake.requests == []


def test_certificate_of_another_address(folder, environment, fake, godwit):
    fake.stop()
    fake.certificate = "elsewhere"
    fake.start()
    run = godwit("vm", "list")
    assert run.status == 4 and "certificate" in run.err and fake.requests == []


def test_ca_file_that_is_none(fake, godwit, tmp_path):
    assert "No such file" in godwit("vm", "list", "--ca", str(tmp_path / "none")).err
    (tmp_path / "bad").write_text("no certificate")
    run = godwit("vm", "list", "--ca", str(tmp_path / "bad"))
    assert run.status == 4 and fake.requests == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:8447", "https://u:p@127.0.0.1", "nonsense",
                                 "https://", "https://h/path", "https://h?q=1", "file:///etc"])
def test_server_must_be_https(godwit, url):
    run = godwit("vm", "list", "--server", url)
    assert run.status == 2 and "server" in run.err


def test_a_hanging_controller_is_given_up_on_for_completion(fake, godwit):
    fake.delay["/hosts"] = 8
    begin = time.monotonic()
    assert godwit("names", "hosts").status == 4
    assert time.monotonic() - begin < 6


def test_host_error_is_not_a_controller_error(fake, godwit):
    run = godwit("host", "add", "qemu+ssh://root@unreachable/system")
    assert run.status == 1 and "does not answer" in run.err and "sshd" in run.err


# Configuration --------------------------------------------------------------------------------

def test_configuration_file(fake, godwit, tmp_path, folder):
    path = tmp_path / "config" / "godwit" / "client.conf"
    path.parent.mkdir(parents=True)
    path.write_text(f"[client]\nserver = {fake.url}\nca = {folder}/ca.pem\n"
                    f"token-file = {folder}/token\noutput = json\n")
    run = godwit("host", "list", GODWIT_SERVER="", GODWIT_CA="", GODWIT_TOKEN_FILE="")
    assert run.status == 0 and len(json.loads(run.out)) == 2
    # The environment goes before the file, the command line before both.
    assert godwit("host", "list", GODWIT_SERVER="https://127.0.0.1:1").status == 4
    assert godwit("host", "list", "--server", fake.url, "-o", "table",
                  GODWIT_SERVER="https://127.0.0.1:1").out.startswith("NAME")
    for text, word in (("[client]\nsrever = x\n", "srever"), ("[other]\n", "[client]"),
                       ("nonsense", "client.conf"), ("[client]\noutput = xml\n", "xml"),
                       ("[client]\nretry-time = soon\n", "soon"), ("#" * 70000, "64 KiB")):
        path.write_text(text)
        run = godwit("host", "list")
        assert run.status == 2 and word in run.err


# The command line -----------------------------------------------------------------------------

@pytest.mark.parametrize("args, words", [
    (["vm", "migarte"], "Did you mean: godwit vm migrate?"),
    (["migrate", "web1"], "Did you mean: godwit vm migrate?"),
    (["vms", "list"], "Did you mean: godwit vm list?"),
    (["vm", "list", "--hots", "x"], "Did you mean --host?"),
    (["vm", "list", "--host"], "needs a value"),
    (["vm", "list", "extra"], "too many arguments"),
    (["vm", "show"], "an argument is missing"),
    (["vm", "migrate", "web1"], "the destination host is missing"),
    (["vm", "migrate", "a", "b", "c"], "--to"),
    (["vm", "migrate", "a", "b", "--method", "fast"], "must be one of"),
    (["vm", "migrate", "a", "b", "--bandwidth", "10x"], "whole number"),
    (["vm", "migrate", "a", "b", "--bandwidth", "-1"], "whole number"),
    (["vm", "migrate", "a", "b", "--channels", "99"], "from 0 to 64"),
    (["vm", "migrate", "a", "b", "--tls=yes"], "takes no value"),
    (["vm", "list", "-o", "xml"], "must be one of"),
    (["vm", "list", "-z"], "unknown option"),
    (["vm", "migrate", "a", "b", "--transfer", "fast"], "must be one of live, live-vsm"),
    (["vm", "migrate", "a", "b", "--disk", "vda"], "a disk's target and a colon"),
    (["vm", "migrate", "a", "b", "--disk", "vda:p", "--disk", "vda:q"], "chosen twice"),
    (["vm", "migrate", "a", "b", "--disk", "vda:p/../q"], "cannot be a volume's name"),
    (["vm", "migrate", "a", "b", "--keep-source", "soon"], "no time"),
    (["vm", "migrate-storage", "a", "p", "--format", "vmdk"], "must be one of raw, qcow2"),
    (["vm", "migrate-storage", "a", "b", "c"], "too many arguments"),
    (["host", "set", "kvm1", "--keep-source", "0"], "no time"),
    (["host", "set", "kvm1"], "nothing to change"),
    (["host", "set", "kvm1", "--reserve-memory", "4"], "no size"),
    (["host", "set", "kvm1", "--reserve-disk", "9999999TiB"], "no size"),
    (["host", "set", "kvm1", "--reserve-disk", "-1GiB"], "no size"),
    (["host", "set", "kvm1", "--reserve-cpu", "101"], "--reserve-cpu"),
    (["host", "maintenance", "kvm1", "maybe"], "neither on nor off"),
    (["host", "maintenance", "kvm1"], "missing"),
    (["group", "set", "All Hosts", "--weight-cpu", "101"], "--weight-cpu"),
    (["group", "set", "All Hosts", "--goal", "spread"], "must be one of balance, fill"),
    (["group", "set", "All Hosts", "--inherit", "--goal", "fill"], "--inherit"),
    (["group", "set", "All Hosts", "--balance", "sometimes"], "off, recommend, automatic"),
    (["group", "set", "All Hosts", "--balance-threshold", "101"], "--balance-threshold"),
    (["group", "set", "All Hosts", "--balance-cool-down", "soon"], "balance-cool-down"),
    (["group", "set", "All Hosts", "--balance-inherit", "--balance", "off"], "--balance-inherit"),
    (["group", "balance", "All Hosts", "--apply", "--dry-run"], "--dry-run"),
    (["vm", "migrate", "web1", "--to", "kvm2", "--to-group", "All Hosts"], "two destinations"),
    (["rule", "add", "webs", "near", "web1"], "no kind of rule"),
    (["rule", "add", "webs"], "missing"),
    (["host", "add", "qemu:///system?command=x"], "not accepted"),
    (["host", "add", "esx://h"], "no libvirt URI"),
    (["job", "settle", "x"], "--keep"),
    (["job", "set", "x"], "nothing to change"),
    (["share", "add", "s", "nocolon"], "HOST:POOL"),
    (["completion", "tcsh"], "bash, zsh or fish"),
    (["vm", "show", ""], "empty"),
    (["frobnicate"], "unknown command"),
    ([], "Usage: godwit"),
    (["vm"], "Usage: godwit vm"),
])
def test_usage_errors(fake, godwit, args, words):
    run = godwit(*args)
    assert run.status == 2 and words in run.err and run.out == ""
    assert [r for r in fake.requests if r[0] != "GET"] == []


def test_options_stand_anywhere(godwit):
    expected = godwit("vm", "list", "-o", "json").out
    for args in (["-o", "json", "vm", "list"], ["vm", "-ojson", "list"],
                 ["vm", "list", "--output=json"], ["--output", "json", "vm", "list", "--"]):
        assert godwit(*args).out == expected


@pytest.mark.parametrize("command", EVERYTHING)
def test_help_of_every_command(godwit, command):
    run = godwit("help", *command.split())
    assert run.status == 0 and f"Usage: godwit {command}" in run.out and "Examples:" in run.out
    assert godwit(*command.split(), "--help").out == run.out
    assert max(len(line) for line in run.out.splitlines()) <= 100, "a line is too long"


def test_help_lists_every_command(godwit):
    out = godwit("help").out
    assert [c for c in EVERYTHING if not re.search(rf"^  {c}\s", out, re.M)] == []
    assert re.findall(r"^  ((?:[a-z][a-z-]* )?[a-z][a-z-]*)(?:  |$)", out, re.M) == EVERYTHING
    assert godwit("--help").out == out
    assert godwit("help", "vm").status == 0 and godwit("help", "vm", "x").status == 2


def test_version(godwit):
    assert re.fullmatch(r"godwit \d+\.\d+\.\d+\n", godwit("version").out)
    assert godwit("--version").out == godwit("version").out


@pytest.mark.parametrize("command", EVERYTHING)
def test_man_page_of_every_command(godwit, command):
    words = command.split()
    source = godwit("man-source", *words[:-1])
    page = subprocess.run(["scdoc"], input=source.out, capture_output=True, text=True)
    assert page.returncode == 0, page.stderr
    shown = subprocess.run(["man", "--local-file", "--warnings", "-"], input=page.stdout,
                           capture_output=True, text=True, env={"MANWIDTH": "100",
                                                                "PATH": "/usr/bin:/bin",
                                                                "LC_ALL": "C.UTF-8"})
    assert shown.returncode == 0 and shown.stderr == ""
    text = re.sub(r".\x08|\x1b\[[0-9;]*m", "", shown.stdout)
    assert f"   godwit {command}\n" in text
    assert "\\" not in text.replace("\\n", "")


def test_every_man_page_that_is_named_is_built(godwit):
    build = (ROOT / "docs" / "man" / "meson.build").read_text()
    built = re.search(r"foreach group : \[(.*)\]", build).group(1)
    named = re.search(r"# SEE ALSO\n\n(.*)", godwit("man-source").out).group(1)
    groups = {command.split()[0] for command in EVERYTHING if " " in command}
    assert set(re.findall(r"'([a-z]+)'", built)) == groups
    assert set(re.findall(r"godwit-([a-z]+)\*\(1\)", named)) == groups


def test_man_page_has_the_tables(godwit):
    page = godwit("man-source").out
    for status in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130):
        assert f"\n*{status}*\n" in page
    for word in ("GODWIT\\_SERVER", "GODWIT\\_CA", "GODWIT\\_TOKEN\\_FILE", "NO\\_COLOR",
                 "client\\.conf"):
        assert word in page


# Completion -----------------------------------------------------------------------------------

@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid(godwit, tmp_path, shell):
    run = godwit("completion", shell)
    assert run.status == 0 and "godwit" in run.out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed to read its script")
    path = tmp_path / shell
    path.write_text(run.out)
    check = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True)
    assert (check.returncode, check.stderr) == (0, "")


def complete(environment, fake, godwit, tmp_path, *words):
    """What bash offers for the last of @words."""
    script = tmp_path / "completion.bash"
    script.write_text(godwit("completion", "bash").out)
    (tmp_path / "godwit").unlink(missing_ok=True)
    (tmp_path / "godwit").symlink_to(PROGRAM)
    env = environment(fake.url)
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    code = ('source "$1"; shift; COMP_WORDS=(godwit "$@"); COMP_CWORD=$#; _godwit; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", code, "bash", str(script), *words], env=env,
                          capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("words, expected", [
    (["v"], ["vm", "version"]),
    (["vm", ""], ["list", "show", "start", "candidates", "migrate", "migrate-storage"]),
    (["vm", "mi"], ["migrate", "migrate-storage"]),
    (["vm", "migrate-storage", "web1", ""], ["default"]),
    (["vm", "migrate", "--storage", "d"], ["default"]),
    (["vm", "migrate", "--transfer", "live"], ["live", "live-vsm"]),
    (["kept", "show", ""], ["01JD4ZQ6T5J8S0M3E9V7KEPT01"]),
    (["kept", "list", "--host", "kvm1"], ["kvm1"]),
    (["vm", "migrate", ""], ["web1", "db1"]),
    (["vm", "migrate", "web1", ""], ["kvm1", "kvm2", "All\\ Hosts"]),
    (["vm", "migrate", "--to-group", "A"], ["All\\ Hosts"]),
    (["rule", "show", ""], ["webs"]),
    (["rule", "add", "x", "apart", "w"], ["web1"]),
    (["explain", ""], ["web1", "db1"]),
    (["explain", "--dom"], ["--domain-xml", "--domain-capabilities"]),
    (["vm", "migrate", "web1", "--method", "m"], ["multichannel"]),
    (["vm", "migrate", "web1", "--method", "=", "st"], ["standard"]),
    (["vm", "migrate", "--ban"], ["--bandwidth"]),
    (["-o", "json", "host", "show", "kvm2"], ["kvm2"]),
    (["vm", "list", "--host", "k"], ["kvm1", "kvm2"]),
    (["vm", "list", "--state", "sh"], ["shutting\\ down"]),
    (["-o", ""], ["table", "json", "yaml"]),
    (["completion", "b"], ["bash"]),
    (["group", "set", "All"], ["All\\ Hosts"]),
])
def test_bash_completes(environment, fake, godwit, tmp_path, words, expected):
    fake.kept = [fakes.default_kept(1)]
    fake.rules = [{"id": "r1", "name": "webs", "kind": "apart"}]
    assert complete(environment, fake, godwit, tmp_path, *words) == expected


def test_completion_evaluates_no_name(environment, fake, godwit, tmp_path):
    mark = tmp_path / "owned"
    fake.vms = [fakes.default_vm(fakes.U1, f"$(touch {mark})"),
                fakes.default_vm(fakes.U2, f"`touch {mark}`"),
                fakes.default_vm(fakes.U2, "\x1b[31m")]
    offered = complete(environment, fake, godwit, tmp_path, "vm", "show", "")
    assert len(offered) == 2 and not mark.exists()
    assert complete(environment, fake, godwit, tmp_path, "vm", "show", "$") == offered[:1]


# Changes --------------------------------------------------------------------------------------

def test_hosts(fake, godwit):
    fake.groups.append({"id": "g1", "name": "Lab", "parent_id": "all-hosts"})
    run = godwit("host", "add", "qemu+ssh://root@kvm3/system", "--name", "kvm3", "--group", "Lab",
                 "--peer-uri", "qemu+tls://kvm3/system", "--migration-address", "10.0.9.3")
    assert run.status == 0 and "kvm3" in run.out
    assert bodies(fake, "POST", "/hosts") == [{
        "name": "kvm3", "uri": "qemu+ssh://root@kvm3/system", "group_id": "g1",
        "peer_uri": "qemu+tls://kvm3/system", "migration_address": "10.0.9.3"}]
    assert godwit("host", "set", "kvm3", "--live-limit", "4", "--live-migration", "no",
                  "--method", "standard", "--group", "all-hosts").status == 0
    assert bodies(fake, "PATCH", "/hosts/host-3") == [{
        "live_limit": 4, "live_migration_enabled": False, "method": "standard",
        "group_id": "all-hosts"}]
    assert godwit("host", "refresh", "kvm3").status == 0
    started = godwit("vm", "start", "db1")
    assert started.status == 0 and "db1 is running" in started.out + started.err
    assert godwit("host", "remove", "kvm3").status == 0
    assert [h["name"] for h in fake.hosts] == ["kvm1", "kvm2"]
    run = godwit("host", "remove", "kvm3")
    assert run.status == 7 and "no host 'kvm3'" in run.err and "godwit host list" in run.err


def test_duplicate_is_a_conflict(fake, godwit):
    assert godwit("group", "add", "Lab").status == 0
    run = godwit("group", "add", "Lab")
    assert run.status == 8 and "Choose another name" in run.err


def test_groups(fake, godwit):
    godwit("group", "add", "Berlin")
    godwit("group", "add", "Rack", "--parent", "Berlin")
    godwit("group", "set", "Rack", "--name", "Rack 1", "--parent", "All Hosts")
    assert fake.groups[1:] == [
        {"id": "group-2", "name": "Berlin", "parent_id": "all-hosts"},
        {"id": "group-3", "name": "Rack 1", "parent_id": "all-hosts"}]
    assert godwit("group", "remove", "Rack 1").status == 0 and len(fake.groups) == 2


def test_a_group_cycle_is_shown_once(fake, godwit):
    fake.groups += [{"id": "a", "name": "A", "parent_id": "b"},
                    {"id": "b", "name": "B", "parent_id": "a"},
                    {"id": "c", "name": "C", "parent_id": "c"}]
    run = godwit("group", "list", timeout=10)
    assert sorted(line.split()[-1] for line in run.out.splitlines()[1:]) == \
        ["a", "all-hosts", "b", "c"]


def test_ambiguous_name(fake, godwit):
    fake.groups += [{"id": "a", "name": "Rack"}, {"id": "b", "name": "Rack"}]
    run = godwit("group", "remove", "Rack")
    assert run.status == 8 and "2 groups are named" in run.err and len(fake.groups) == 3


def test_shares(fake, godwit):
    run = godwit("share", "add", "images", "kvm1:default", "kvm2:images")
    assert run.status == 0 and "Done: Prove share images" in run.out
    assert bodies(fake, "POST", "/shares") == [{"name": "images", "members": [
        {"host_id": "host-1", "pool": "default"}, {"host_id": "host-2", "pool": "images"}]}]
    run = godwit("share", "prove", "images", "--no-wait")
    assert run.out == (fakes.JOB % 2) + "\n"
    assert godwit("share", "remove", "images").status == 0 and fake.shares == []


def test_jobs(fake, godwit):
    job = fake.new_job(vm_name="web1", state="copying")["id"]
    held = fake.new_job(state="held", waiting_for="which side is right?")["id"]
    assert godwit("job", "set", job, "--bandwidth", "200", "--max-downtime", "500").status == 0
    assert bodies(fake, "PATCH", job) == [{"bandwidth_mibps": 200, "max_downtime_ms": 500}]
    assert godwit("job", "post-copy", job).status == 0
    run = godwit("job", "post-copy", held)
    assert run.status == 8 and "not copying" in run.err
    assert godwit("job", "settle", held, "--keep", "destination").status == 0
    assert bodies(fake, "POST", "/settle") == [{"keep": "destination"}]
    assert godwit("job", "cancel", job).status == 0
    assert godwit("job", "watch", job).status == 5
    assert godwit("job", "show", "nonsense").status == 7


def planned(state, *moves):
    """What of a drain changes while its moves do."""
    rows = [{"vm_uuid": fakes.U1[:-1] + str(i), "vm_name": name, "source_host_id": "host-1",
             "destination_host_id": "host-2", "state": move} for i, (name, move) in enumerate(moves)]
    done = [name for name, move in moves if move == "done"]
    moving = [name for name, move in moves if move == "running"]
    stay = {"vm_uuid": fakes.U2, "vm_name": "old", "why": "It has a CD-ROM."}
    return {"state": state,
            "progress": fakes.progress("moving VMs", 100 * len(done) // len(moves)),
            "plan": {"kind": "drain", "moves": rows, "stays": [stay, {**stay, "vm_name": "older"}]},
            "plan_progress": {"vms": len(moves) + 1, "vms_moved": len(done), "stays": 1,
                              "running": len(moving), "moving": moving}}


def test_a_plan_is_followed_without_the_plan(fake, godwit):
    """It may be megabytes: how far it is comes with events, and what became of each move is asked
    for once, when it is over."""
    steps = [(0.2, planned("copying", ("web1", "running"), ("web2", "waiting"))),
             (0.2, planned("copying", ("web1", "done"), ("web2", "running"))),
             (0.2, {**planned("failed", ("web1", "done"), ("web2", "done")),
                    "error": {"code": "operation-failed", "message": "'old' stays"}})]
    job = fake.new_job("host-drain", steps, title="Drain kvm1",
                       **planned("queued", ("web1", "waiting"), ("web2", "waiting")))["id"]
    run = godwit("job", "watch", job)
    assert run.status == 1
    assert "Drain kvm1: moving VMs, 0 %, 0 of 3 VMs moved, now web1" in run.out
    assert "Moved      2 of 3 VMs" in run.err
    assert "Stays      older: It has a CD-ROM." in run.err, "that is from the plan"
    asked = [p for m, p, _ in fake.requests if m == "GET" and job in p]
    assert [p for p in asked if "?plan=false" not in p] == asked[:1] + asked[-1:], \
        "whole at first, and in the end"
    assert len(asked) > 2
    for _, kind, data in fake.events:
        assert kind == "job" and "plan" not in json.loads(data)


def test_a_plan_that_is_over_is_asked_for_whole(fake, godwit):
    """Also where no event says that it is."""
    job = fake.new_job("host-drain", None, title="Drain kvm1",
                       **planned("done", ("web1", "done")))["id"]
    run = godwit("job", "watch", job, "-o", "json")
    assert run.status == 0
    assert [m["vm_name"] for m in json.loads(run.out)["plan"]["moves"]] == ["web1"]


# Storage ---------------------------------------------------------------------------------------

def test_a_move_with_disks_says_all_that_was_chosen(fake, godwit):
    run = godwit("vm", "migrate", "web1", "kvm2", "--storage", "nas.example.org:/export/vms",
                 "--disk", "vda:fast/web1.raw,format=raw", "--disk", "vdb:/srv/big,name=b.raw",
                 "--transfer", "live-vsm", "--copy-all", "--network", "--flatten", "--start",
                 "--wait-for-merge", "--keep-source", "7d", "--add-default-storage", "--no-wait")
    assert run.status == 0
    assert bodies(fake, "POST", "/migrate") == [{"destination": "kvm2", "options": {
        "storage": "nas.example.org:/export/vms",
        "disks": [{"target": "vda", "storage": "fast", "name": "web1.raw", "format": "raw"},
                  {"target": "vdb", "storage": "/srv/big", "name": "b.raw"}],
        "transfer": "Live (VSM)", "copy_all": True, "network": True, "flatten": True,
        "start": True, "wait_for_merge": True, "keep_source_s": 604800,
        "add_default_storage": True}}]
    godwit("vm", "migrate", "web1", "kvm2", "--keep-source", "none", "--no-wait")
    assert bodies(fake, "POST", "/migrate")[1]["options"] == {"keep_source_s": -1}
    godwit("vm", "migrate", "web1", "kvm2", "--best-storage", "--no-wait")
    assert bodies(fake, "POST", "/migrate")[2] == {"destination": "kvm2", "options": {},
                                                   "best_storage": True}


def test_a_refusal_says_which_ways_there_are(fake, godwit):
    fake.findings, fake.moves, fake.transfers = FINDINGS, fakes.disk_moves(), fakes.TRANSFERS
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == 3 and run.out == "" and fake.jobs == {}
    for words in ("[R55]", "Deployment and Transfer Explanation", "The VM runs.",
                  "SAN Explanation", "No disk of the VM is a LUN.", "web1.raw in fast"):
        assert words in run.err
    assert run.err.index("Remedy:") < run.err.index("Deployment and Transfer Explanation")
    problem = json.loads(godwit("vm", "migrate", "web1", "kvm2", "-o", "json").err)
    assert problem["errors"] == FINDINGS
    assert "Explanation" not in godwit("-q", "vm", "migrate", "web1", "kvm2").err


def test_a_refused_plan_is_no_script(fake, godwit):
    fake.findings = FINDINGS
    run = godwit("vm", "migrate-storage", "web1", "fast", "--dry-run")
    assert run.status == 3 and "[R55]" in run.out and "virsh" not in run.out
    run = godwit("vm", "migrate-storage", "web1", "fast")
    assert run.status == 3 and "web1 cannot move there" in run.err and fake.jobs == {}


def test_migrate_storage(fake, godwit):
    run = godwit("vm", "migrate-storage", "web1", "fast", "--disk", "vdb:big", "--format", "qcow2",
                 "--flatten", "--wait-for-merge", "--keep-source", "12h", "--bandwidth", "100",
                 "--add-default-storage")
    assert run.status == 0 and run.err == ""
    assert bodies(fake, "POST", "/migrate-storage") == [{
        "storage": "fast", "disks": [{"target": "vdb", "storage": "big"}], "format": "qcow2",
        "flatten": True, "wait_for_merge": True, "keep_source_s": 43200, "bandwidth_mibps": 100,
        "add_default_storage": True}]
    assert "web1: copying (disks), 40 %" in run.out and "disks 1 GiB of 4 GiB" in run.out
    assert run.out.endswith(
        "Done: Move the disks of web1\n"
        "  Total      9.2 s (queued 100 ms)\n"
        "  Disks      3 GiB read, 2 GiB sent, 1 GiB there already\n"
        "  Method     mirrored by QEMU\n"
        f"  Undo       godwit job undo {fakes.JOB % 1}; the old copies are kept for 1 d\n")
    assert godwit("vm", "migrate-storage", "web1", "--disk", "vda:fast", "--no-wait").out == \
        (fakes.JOB % 2) + "\n"
    assert bodies(fake, "POST", "/migrate-storage")[1] == {
        "disks": [{"target": "vda", "storage": "fast"}]}
    assert godwit("vm", "migrate-storage", "web1", "--no-wait").status == 0
    assert bodies(fake, "POST", "/migrate-storage")[2] == {}
    assert godwit("vm", "migrate-storage", "web1", "fast", "--show-script=virsh").out == \
        "virsh blockcopy web1 vda --pivot\n"
    assert godwit("vm", "migrate-storage", "nonsense", "fast").status == 7


def test_what_did_not_work_beside_a_job_is_a_warning(fake, godwit):
    error = {"code": "operation-failed", "message": "done, but: starting web1 at kvm2: no KVM",
             "remedy": "See to that by hand: godwit vm show."}
    fake.steps = [(0.1, {"state": "done", "result": fakes.RESULT, "error": error})]
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == 0 and run.err == ""
    assert "Done, with a warning: " in run.out
    assert f"  Warning    {error['message']}\n  Remedy     {error['remedy']}\n" in run.out
    quiet = godwit("-q", "vm", "migrate", "web1", "kvm2")
    assert quiet.status == 0 and quiet.out == "" and error["message"] in quiet.err
    shown = godwit("job", "show", fakes.JOB % 1).out
    assert re.search(r"^Warning +done, but: starting web1", shown, re.M)
    assert not re.search(r"^Error", shown, re.M)


def test_candidates_as_if(fake, godwit):
    assert godwit("vm", "candidates", "web1", "--storage", "a b&c", "--copy-all").status == 0
    assert fake.requests[-1][1].endswith("/candidates?copy_all=true&brief=true&storage=a%20b%26c")
    # What explains a rating is asked for only where it is shown.
    for shown in (["--explain"], ["-v"], ["--output", "json"]):
        assert godwit("vm", "candidates", "web1", *shown).status == 0
        assert fake.requests[-1][1].endswith("/candidates?copy_all=false")


def test_storage_of_a_host(fake, godwit):
    godwit("host", "set", "kvm1", "--default-storage", "fast,/srv/images", "--keep-source", "7d")
    godwit("host", "set", "kvm1", "--default-storage", "", "--keep-source", "none")
    assert bodies(fake, "PATCH", "/hosts/host-1") == [
        {"default_storage": ["fast", "/srv/images"], "keep_source_s": 604800},
        {"default_storage": [], "keep_source_s": 0}]
    fake.locations = []
    run = godwit("host", "storage", "kvm1")
    assert run.status == 0 and "No active storage pool" in run.out
    assert godwit("host", "storage", "kvm9").status == 7


def test_placement_of_a_host_and_a_group(fake, godwit):
    assert godwit("host", "set", "kvm1", "--tag", "ssd", "--tag", "rack=3,gen2",
                  "--reserve-cpu", "10", "--reserve-memory", "4GiB", "--reserve-disk",
                  "100 gib").status == 0
    assert godwit("host", "set", "kvm1", "--tag", "", "--reserve-memory", "0").status == 0
    assert bodies(fake, "PATCH", "/hosts/host-1") == [
        {"tags": ["ssd", "rack=3", "gen2"], "cpu_reserve_percent": 10,
         "memory_reserve_kib": 4 * MIB, "disk_reserve_bytes": 100 * 1024**3},
        {"tags": [], "memory_reserve_kib": 0}]
    assert godwit("group", "set", "All Hosts", "--goal", "fill", "--weight-memory", "100",
                  "--weight-network", "0", "--reserve-memory", "1G").status == 0
    assert godwit("group", "set", "All Hosts", "--inherit").status == 0
    assert bodies(fake, "PATCH", "/host-groups/all-hosts") == [
        {"placement": {"goal": "fill", "memory_weight": 100, "network_weight": 0,
                       "memory_reserve_kib": MIB}},
        {"placement": None}]


def test_balancing_of_a_group(fake, godwit, tmp_path):
    assert godwit("group", "set", "All Hosts", "--balance", "automatic", "--balance-threshold",
                  "20", "--balance-gain", "2", "--balance-moves", "5", "--balance-cool-down", "12h",
                  "--balance-pause", "none", "--balance-schedule",
                  "mon-fri 20:00-06:00").status == 0
    assert godwit("group", "set", "All Hosts", "--balance-schedule", "always").status == 0
    assert godwit("group", "set", "All Hosts", "--balance-inherit").status == 0
    assert bodies(fake, "PATCH", "/host-groups/all-hosts") == [
        {"balance": {"mode": "automatic", "threshold": 20, "minimum_gain": 2, "moves_at_most": 5,
                     "vm_cool_down_s": 43200, "cool_down_s": 0,
                     "schedule": "mon-fri 20:00-06:00"}},
        {"balance": {"schedule": "always"}}, {"balance": None}]
    assert bodies(fake, "POST", "/plans") == []
    run = godwit("group", "balance", "All Hosts", "--dry-run", "--moves-at-once", "3")
    assert run.status == 0 and "34.0 → 3.1 points" in run.out
    assert bodies(fake, "POST", "/plans") == [
        {"kind": "balance", "group": "All Hosts", "moves_at_once": 3}]
    assert bodies(fake, "POST", "/plans/apply") == [], "it is only shown"
    file = tmp_path / "plan.json"
    assert godwit("group", "balance", "All Hosts", "--plan-file", str(file)).status == 0
    assert godwit("plan", "show", str(file)).out.startswith("Plan ")
    assert bodies(fake, "POST", "/plans/apply") == []
    assert godwit("group", "balance", "All Hosts", "--apply", "--no-wait").status == 0
    assert fake.applied["balance"]["imbalance_before"] == 34.0


@pytest.mark.parametrize("text", ['{"moves": "x"}', '{"moves": ["x"]}', '{"stays": {}}',
                                  '{"kind": "drain", "notes": [1]}', "[]", '"drain"', "{"])
def test_a_file_that_is_no_plan_is_not_shown(godwit, tmp_path, text):
    file = tmp_path / "plan.json"
    file.write_text(text)
    run = godwit("plan", "show", str(file))
    assert run.status != 0
    assert run.out == "" and f"'{file}' is no plan" in run.err and "Make it again." in run.err


def test_a_group_whose_weights_are_all_0(fake, godwit):
    policy = {"goal": "balance", "cpu_weight": 0, "memory_weight": 0, "disk_weight": 0,
              "network_weight": 0}
    alike = "All weights are 0: CPU, memory, disk space and network count alike."
    fake.groups[0]["placement"] = policy
    assert alike in godwit("group", "show", "All Hosts").out
    fake.groups[0]["placement"] = {**policy, "disk_weight": 1}
    assert alike not in godwit("group", "show", "All Hosts").out


def test_rules_that_cannot_be_kept(fake, godwit):
    fake.rules += [{"id": "r1", "name": "t1", "kind": "run-on", "required": True,
                    "vms": [fakes.U1, fakes.U2], "host_tags": ["ssd"]},
                   {"id": "r2", "name": "t2", "kind": "run-on", "required": True,
                    "vms": [fakes.U1], "hosts": ["host-1"]}]
    before = godwit("rule", "list").out
    assert "required!" not in before and "as things are" not in before
    fake.conflicts = [{"rule_id": "r1", "rule_name": "t1", "vms": [fakes.U2],
                       "observed": "rule 't1' leaves no host for 'web2' beside rule 't2'",
                       "remedy": "Change, disable or remove one of the two rules."}]
    lines = godwit("rule", "list").out.splitlines()
    assert [line for line in lines if "required!" in line and line.startswith("t1")]
    assert not [line for line in lines if "required!" in line and line.startswith("t2")]
    assert lines[-1] == "required! cannot be kept as things are: godwit rule show RULE."
    shown = godwit("rule", "show", "t1").out
    assert "rule 't1' leaves no host for 'web2' beside rule 't2'" in shown
    assert "Change, disable or remove one of the two rules." in shown
    assert "VMs without a host" in shown and shown.count(fakes.U2) == 2
    assert "annot be kept" not in godwit("rule", "show", "t2").out


def test_a_drain_says_how_each_vm_moves(fake, godwit):
    run = godwit("host", "drain", "kvm1", "--method", "standard", "--bandwidth", "50",
                 "--post-copy", "--dry-run")
    assert run.status == 0, run.err
    asked = bodies(fake, "POST", "/plans")[0]
    assert asked["hosts"] == ["kvm1"] and asked["kind"] == "drain"
    assert asked["options"] == {"method": "standard", "bandwidth_mibps": 50, "post_copy": True}
    assert not {"method", "bandwidth_mibps", "post_copy"} & set(asked)


def test_maintenance_of_a_host(fake, godwit):
    run = godwit("host", "maintenance", "kvm1", "on")
    assert run.status == 0 and "gets no VM any more" in run.out
    assert "OK (Limited), entering maintenance" in godwit("host", "list").out
    assert re.search(r"^Maintenance +entering$", godwit("host", "show", "kvm1").out, re.M)
    fake.hosts[0]["maintenance"] = "in maintenance"
    assert "OK (Limited), in maintenance" in godwit("host", "list").out
    run = godwit("host", "maintenance", "kvm1", "off")
    assert run.status == 0 and "takes VMs" in run.out
    assert bodies(fake, "POST", "/maintenance") == [{"on": True}, {"on": False}]
    assert "maintenance" not in godwit("host", "list").out
    assert godwit("host", "maintenance", "kvm9", "on").status == 7


def test_rules(fake, godwit):
    assert godwit("rule", "list").out == "No placement rules.\n"
    run = godwit("rule", "add", "webs", "apart", "web1", "kvm1/db1", "--comment", "one may fail")
    assert run.status == 0 and "Rule webs added" in run.out
    assert godwit("rule", "add", "fast", "run-on", "db1", "--host", "kvm1", "--host", "host-2",
                  "--tag", "ssd,gen2", "--preferred").status == 0
    assert godwit("rule", "add", "dmz", "network", "--network", "dmz", "--tag", "dmz").status == 0
    assert bodies(fake, "POST", "/rules") == [
        {"name": "webs", "kind": "apart", "required": True, "vms": [fakes.U1, fakes.U2],
         "comment": "one may fail"},
        {"name": "fast", "kind": "run-on", "required": False, "vms": [fakes.U2],
         "hosts": ["host-1", "host-2"], "host_tags": ["ssd", "gen2"]},
        {"name": "dmz", "kind": "network", "required": True, "networks": ["dmz"],
         "host_tags": ["dmz"]}]
    assert godwit("rule", "set", "fast", "--vm", "web1", "--vm", "db1", "--host", "", "--required",
                  "yes", "--disabled", "no").status == 0
    assert bodies(fake, "PATCH", "/rules/rule-2") == [
        {"required": True, "disabled": False, "vms": [fakes.U1, fakes.U2], "hosts": []}]
    assert godwit("rule", "set", "fast").status == 2
    assert godwit("rule", "remove", "webs").status == 0
    assert [r["name"] for r in fake.rules] == ["fast", "dmz"]
    for args in (["add", "x", "apart", "web1", "none"], ["add", "x", "run-on", "web1", "--host",
                 "kvm9"], ["set", "fast", "--vm", "none"], ["remove", "webs"], ["show", "webs"]):
        assert godwit("rule", *args).status == 7, args
    assert [r["name"] for r in fake.rules] == ["fast", "dmz"]


def test_to_a_host_group(fake, godwit):
    fake.groups.append({"id": "g1", "name": "kvm1", "parent_id": "all-hosts"})
    fake.hosts[1]["group_id"] = "g1"
    assert godwit("vm", "migrate", "web1", "All Hosts", "--no-wait").status == 0
    # A group of a host's name: said to be a group, it is one.
    run = godwit("vm", "migrate", "--to-group", "kvm1", "web1", "db1", "--dry-run")
    assert run.status == 0 and re.search(r"^To +kvm2$", run.out, re.M) and "★★★½☆" in run.out
    assert [b["destination"] for b in bodies(fake, "POST", "/migrate")] == ["All Hosts", "g1", "g1"]
    assert godwit("vm", "migrate", "--to-group", "kvm9", "web1").status == 7


def test_stars(fake, godwit, environment):
    def shown(*args, **more):
        terminal = Terminal([PROGRAM, "vm", "candidates", "web1", *args],
                            environment(fake.url, **more))
        assert terminal.finish() == 0
        return terminal.text

    assert re.search(r"\x1b\[32m★★★½☆", shown()) and re.search(r"\x1b\[31m☆☆☆☆☆", shown())
    explained = shown("--explain")
    assert "\x1b[33m★★★☆☆" in explained and "PCI device 0000:3b:00.0" in explained
    assert "Deployment" not in explained
    run = godwit("vm", "candidates", "web1", "--explain", LC_ALL="C")
    assert run.out.isascii() and "***+." in run.out and "....." in run.out
    # Whatever is answered, five stars are the most.
    for odd, text in ((99.0, "★★★★★"), (-3.0, "☆☆☆☆☆"), (0.2, "☆☆☆☆☆"), (0.25, "½☆☆☆☆")):
        assert text == stars_of(fake, godwit, odd)


def stars_of(fake, godwit, stars):
    row = {"host_id": "host-2", "host_name": "kvm2", "rating": {"stars": stars}}
    fake.raw["/vms/web1/candidates"] = (200, "application/json",
                                        json.dumps({"items": [row]}).encode())
    return godwit("vm", "candidates", "web1").out.splitlines()[1].split()[1]


def test_first_reason(fake, godwit):
    """Of hosts far down in a long list nothing was observed in words: the rule says what it wants."""
    found = {"rule": "network", "severity": "error", "required": "Its network must be there."}
    rows = [{"host_id": "host-2", "host_name": "kvm2", "suitable": False, "findings": [found]},
            {"host_id": "host-3", "host_name": "kvm3", "suitable": False,
             "findings": [dict(found, observed="kvm3 has no network 'lan'")]}]
    fake.raw["/vms/web1/candidates"] = (200, "application/json",
                                        json.dumps({"items": rows}).encode())
    lines = godwit("vm", "candidates", "web1").out.splitlines()
    assert lines[1].endswith("Its network must be there.")
    assert lines[2].endswith("kvm3 has no network 'lan'")


def test_explain(fake, godwit):
    run = godwit("explain", "web1", "All Hosts")
    assert run.status == 0 and re.search(r"^To +kvm2$", run.out, re.M)
    fake.findings = FINDINGS
    run = godwit("explain", "web1", "kvm2")
    assert run.status == 0 and "Rating Explanation" in run.out
    # What the finding says is not said again as a factor.
    assert run.out.count("remedy: Detach the device.") == 1
    assert godwit("explain", "none").status == 7 and godwit("explain", "web1", "kvm9").status == 7
    row = {"host_id": "host-2", "host_name": "kvm2", "suitable": True, "rating": {"stars": 2.0},
           "prediction": {"total_ms": {"low": 1, "likely": 2, "high": 3},
                          "basis": ["link: 110 MiB/s, of 3 moves"]}}
    # Every host, with all that is found of it.
    assert godwit("explain", "web1").status == 0
    assert fake.requests[-1][1].endswith("/vms/web1/placements")
    fake.raw["/vms/web1/placements"] = (200, "application/json",
                                        json.dumps({"items": [row]}).encode())
    assert "link: 110 MiB/s, of 3 moves" in godwit("explain", "web1").out
    fake.vms = []
    assert "No VM is on kvm1." in godwit("host", "explain", "kvm1").out


def test_undo(fake, godwit):
    job = fake.new_job(vm_name="web1", state="done")["id"]
    dry = godwit("job", "undo", job, "--dry-run")
    steps = (f"To undo job {job}, a job of the kind vm-migrate will:\n"
             " 1. send what changed of vda back to kvm1\n 2. move web1 to kvm1\n")
    assert (dry.status, dry.out) == (0, steps) and len(fake.jobs) == 1
    assert godwit("-q", "job", "undo", job, "--dry-run").out == steps
    run = godwit("job", "undo", job)
    assert run.status == 0 and run.out.startswith(steps)
    assert "Done: Undo: Migrate web1 to kvm1" in run.out
    assert fake.jobs[fakes.JOB % 2]["undoes"] == job
    assert godwit("-q", "job", "undo", job, "--no-wait").out == (fakes.JOB % 3) + "\n"
    # A stream of records is of one kind.
    lines = godwit("job", "undo", job, "-o", "json").out.splitlines()
    assert {json.loads(line)["undoes"] for line in lines} == {job}
    assert godwit("job", "undo", "nonsense").status == 7


def test_undo_that_is_not_possible(fake, godwit):
    job = fake.new_job(vm_name="web1", state="done")["id"]
    fake.undo = {"possible": False, "why_not": "the VM has moved on to kvm3",
                 "remedy": "Undo that move first."}
    for more in [], ["--dry-run"]:
        run = godwit("job", "undo", job, *more)
        assert run.status == 3 and run.out == "" and len(fake.jobs) == 1
        assert run.err == ("godwit: the job cannot be undone: the VM has moved on to kvm3\n"
                           "Remedy: Undo that move first.\n")
    run = godwit("job", "undo", job, "--dry-run", "-o", "json")
    assert run.status == 3 and json.loads(run.out)["possible"] is False
    problem = json.loads(godwit("job", "undo", job, "-o", "json").err)
    assert problem["code"] == "refused" and problem["remedy"] == "Undo that move first."


def scripts():
    """The commands that plans show (R43), of all golden scenarios."""
    root = pathlib.Path(__file__).resolve().parents[1] / "scenarios"
    lines = set()
    for path in root.glob("*/plan.json"):
        plan = json.loads(path.read_text())
        # A refused plan shows none; some scenarios are of rules alone, and have no candidates.
        if all(c["suitable"] for c in plan.get("candidates", [])):
            lines.update(plan.get("script_cli", []))
    return sorted(lines)


def test_every_script_can_be_typed(fake, godwit):
    """The planner writes them, this program reads them: what it refuses as misused was never run."""
    lines = scripts()
    assert len(lines) > 20 and any("--disk" in line for line in lines)
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "godwit"
        run = godwit(*words[1:3], "--dry-run", *words[3:])
        assert run.status in (0, 7), f"{line}: {run.err}"


def test_kept_copies(fake, godwit):
    fake.kept = [fakes.default_kept(2, vm_name="db1", host_id="host-2"), fakes.default_kept(1)]
    fake.page = 1
    out = godwit("kept", "list").out
    assert "KEPT02" in out and "KEPT01" in out
    assert "KEPT02" not in godwit("kept", "list", "--vm", "web1").out
    assert "KEPT01" not in godwit("kept", "list", "--host", "kvm2").out
    run = godwit("kept", "remove", fake.kept[1]["id"])
    assert run.status == 0 and "Done: Remove the old copy of vda" in run.out
    assert len(fake.kept) == 1
    assert godwit("kept", "remove", fake.kept[0]["id"], "--no-wait").out == (fakes.JOB % 2) + "\n"
    assert godwit("kept", "list").out == "No old copies are kept.\n"
    assert godwit("kept", "remove", "nonsense").status == 7


def test_hostile_words_about_storage(fake, godwit):
    evil = "\x1b[31mx\ny"
    disks = fakes.disk_moves()
    disks[0].update(why=evil, target=evil)
    disks[0]["images"][0]["to"].update(pool=evil, name=evil)
    fake.moves = disks
    fake.transfers = [{"transfer": "Network", "available": True, "explanation": evil}]
    fake.locations = [{"pool": evil, "path": evil, "type": evil}]
    fake.kept = [fakes.default_kept(1, vm_name=evil, trouble=evil)]
    fake.undo = {"possible": True, "kind": evil, "steps": [evil]}
    job = fake.new_job(state="done", disks=disks,
                       tasks=[{"kind": "define", "state": "todo", "target": evil, "why": evil}])
    for args in (["vm", "migrate", "web1", "kvm2", "--dry-run"], ["host", "storage", "kvm1"],
                 ["vm", "candidates", "web1", "-v"], ["kept", "list"], ["kept", "show",
                 fake.kept[0]["id"]], ["job", "undo", job["id"], "--dry-run"],
                 ["job", "show", job["id"]]):
        run = godwit(*args)
        assert run.status == 0 and "\x1b" not in run.out + run.err


def test_a_lost_answer_begins_no_second_move(fake, godwit):
    fake.drop["/vms/web1/migrate"] = 1
    run = godwit("vm", "migrate", "web1", "kvm2", "--no-wait")
    assert run.status == 0 and len(fake.jobs) == 1
    fake.drop["/vms/web1/migrate"] = 2
    assert godwit("vm", "migrate", "web1", "kvm2", "--no-wait").status == 4


# Moves ----------------------------------------------------------------------------------------

SUMMARY = """Done: Migrate web1 from kvm1 to kvm2
  Downtime   35 ms measured, 30 ms by QEMU's own count
  Total      4.2 s (queued 100 ms, copying 3.1 s)
  Copied     2.1 GiB in 3 passes
  Method     Compression (multifd with zstd)
  Driven by  peer-to-peer
"""


def test_move_in_a_pipe(fake, godwit):
    run = godwit("vm", "migrate", "web1", "kvm2", "--method", "multichannel", "--bandwidth", "100",
                 "--max-downtime", "500", "--channels", "4", "--post-copy", "--tls",
                 "--no-auto-converge", "--completion-timeout", "10", "--progress-timeout", "20")
    assert (run.status, run.err) == (0, "")
    assert run.out.endswith(SUMMARY)
    lines = run.out.removesuffix(SUMMARY).splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 web1: "
    assert all(re.match(stamp, line) for line in lines)
    phases = [re.sub(stamp, "", line).split(",")[0] for line in lines]
    assert phases == ["queued", "preparing", "copying (memory)", "copying (switchover)",
                      "settling", "done"]
    assert "20 %, ETA 14.5 s, 110 MiB/s, pass 1, 1.6 GiB left, 400 MiB sent" in run.out
    assert bodies(fake, "POST", "/migrate") == [{"destination": "kvm2", "options": {
        "method": "multichannel", "bandwidth_mibps": 100, "max_downtime_ms": 500, "channels": 4,
        "post_copy": True, "tls": True, "no_auto_converge": True,
        "completion_timeout_s_per_gib": 10, "progress_timeout_s": 20}}]


def test_move_as_json_lines(fake, godwit):
    run = godwit("vm", "migrate", "web1", "kvm2", "-o", "json")
    records = [json.loads(line) for line in run.out.splitlines()]
    states = [r["state"] for r in records]
    assert run.status == 0 and states[0] == "queued" and states[-1] == "done"
    assert states.count("copying") == 3 and records[-1]["result"]["downtime_ms"] == 35
    assert [r["progress"]["percent"] for r in records if r["state"] == "copying"] == [20, 60, 100]


def test_move_quietly(fake, godwit):
    run = godwit("vm", "migrate", "web1", "kvm2", "-q")
    assert (run.status, run.out, run.err) == (0, "", "")


def test_move_without_events(fake, godwit):
    fake.events_status = 404
    fake.steps = [(w + 0.7, c) for w, c in SMOOTH]
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == 0 and "copying" in run.out and run.out.endswith(SUMMARY)


def test_events_that_never_come(fake, godwit):
    """A stream that says nothing must not hide the end of the job."""
    fake.raw["/events"] = (200, "text/event-stream",
                           lambda: (time.sleep(0.5) or b": still here\n\n" for _ in range(60)))
    run = godwit("vm", "migrate", "web1", "kvm2", timeout=40)
    assert run.status == 0 and run.out.endswith(SUMMARY)


def test_hostile_events(fake, godwit):
    junk = (b"\xff\xfe\x00junk\r\r\n\ndata\ndata: {\n\nevent: job\ndata: [1]\n\n"
            b"event: job\ndata: {\"id\": 7}\n\nid: \x01\ndata: x\n\nretry: 99999999999\n\n")
    fake.raw["/events"] = (200, "text/event-stream", lambda: (junk for _ in range(1000)))
    assert godwit("vm", "migrate", "web1", "kvm2").status == 0
    fake.raw["/events"] = (200, "text/event-stream",
                           lambda: (b"data: " + b"x" * MIB for _ in range(100)))
    assert godwit("vm", "migrate", "web1", "kvm2").status == 0


def test_an_overtaken_event_takes_no_step_back(fake, godwit):
    def step(state):
        return {"at": "2024-11-21T10:00:00Z", "state": state, "event": "e", "why": "w"}

    history = [step("checking"), step("preparing"), step("copying")]
    fake.steps = [
        (0.1, {"state": "copying", "steps": history, "progress": progress(elapsed_ms=900)}),
        (0.1, {"state": "preparing", "steps": history[:2]}),
        (0.1, {"state": "copying", "steps": history, "progress": progress(elapsed_ms=100)}),
        (0.1, {"state": "copying", "steps": history, "progress": progress(elapsed_ms=950)}),
        (0.1, {"state": "done", "steps": history + [step("done")], "result": RESULT}),
    ]
    run = godwit("vm", "migrate", "web1", "kvm2", "-o", "json")
    records = [json.loads(line) for line in run.out.splitlines()]
    assert [r["state"] for r in records] == ["queued", "copying", "copying", "done"]
    assert [r["progress"]["elapsed_ms"] for r in records[1:3]] == [900, 950]


@pytest.mark.parametrize("state, status, words", [
    ("failed", 1, ["Failed: Migrate web1", "no space left on kvm2", "Free some space."]),
    ("cancelled", 5, ["Cancelled: Migrate web1"]),
    ("held", 6, ["Held: Migrate web1", "which side is right?", "godwit job settle 01JD4Z"]),
])
def test_how_a_move_ends(fake, godwit, state, status, words):
    changes = {"state": state}
    if state == "failed":
        changes["error"] = {"code": "operation-failed", "message": "no space left on kvm2",
                            "remedy": "Free some space."}
    if state == "held":
        changes["waiting_for"] = "which side is right?"
    fake.steps = SMOOTH[:2] + [(0.1, changes)]
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == status
    assert [w for w in words if w not in run.err] == []


def test_refusal(fake, godwit):
    fake.findings = FINDINGS
    run = godwit("vm", "migrate", "web1", "kvm2")
    assert run.status == 3 and run.out == "" and fake.jobs == {}
    assert run.err == (
        "godwit: web1 cannot move to kvm2\n"
        " 1. PCI device 0000:3b:00.0 of the host is passed through [R55]\n"
        "    required: no passed-through device\n"
        "    remedy: Detach the device.\n"
        " 2. warning: a CD-ROM is in the drive sda [R53]\n"
        "    required: an empty drive\n"
        "    remedy: Eject it.\n"
        "Remedy: Remove what blocks it, then try again.\n")
    problem = json.loads(godwit("vm", "migrate", "web1", "kvm2", "-o", "json").err)
    assert problem["code"] == "refused" and problem["errors"] == FINDINGS


def test_dry_run_and_scripts(fake, godwit):
    run = godwit("vm", "migrate", "web1", "kvm2", "--show-script=virsh")
    assert run.out == "virsh migrate --live --persistent web1 qemu+ssh://root@kvm2/system\n"
    assert godwit("vm", "migrate", "web1", "kvm2", "--show-script", "cli").out == \
        "godwit vm migrate web1 kvm2\n"
    fake.findings = FINDINGS
    run = godwit("vm", "migrate", "web1", "kvm2", "--dry-run")
    assert run.status == 3 and "[R55]" in run.out and "remedy: Detach" in run.out
    assert fake.jobs == {}


def test_several_vms(fake, godwit):
    run = godwit("vm", "migrate", "--to", "kvm2", "web1", "db1")
    assert run.status == 0
    assert "Done: Migrate web1 from kvm1 to kvm2" in run.out
    assert "Done: Migrate db1 from kvm1 to kvm2" in run.out


def test_several_vms_of_which_one_is_refused(fake, godwit):
    fake.findings = FINDINGS
    run = godwit("vm", "migrate", "--to", "kvm2", "web1", "db1", "nonsense")
    assert run.status == 3
    assert "web1: web1 cannot move" in run.err and "nonsense: no vm" in run.err
    assert "Done: Migrate db1" in run.out


def test_controller_dies_and_comes_back(fake, godwit):
    fake.steps = SMOOTH[:2] + [(3, SMOOTH[2][1])] + SMOOTH[3:]

    def outage():
        while fake.delivered < 2:
            time.sleep(0.05)
        fake.stop()
        time.sleep(1)
        fake.start()

    breaker = threading.Thread(target=outage)
    breaker.start()
    run = godwit("vm", "migrate", "web1", "kvm2")
    breaker.join()
    assert run.status == 0 and run.out.endswith(SUMMARY)
    assert "goes on without it" in run.out and "answers again" in run.out
    assert fake.resumed[0] is None and fake.resumed[-1] is not None, "not resumed by event id"
    assert len(fake.jobs) == 1


def test_controller_dies_for_good(fake, godwit):
    fake.steps = STUCK
    threading.Timer(1.5, fake.stop).start()
    run = godwit("vm", "migrate", "web1", "kvm2", "--retry-time", "2")
    assert run.status == 4 and "has been away for 2 s" in run.err and "job watch" in run.err


def test_token_revoked_meanwhile(fake, godwit):
    fake.steps = STUCK

    def revoke():
        fake.stop()
        fake.token = "another"
        fake.start()

    threading.Timer(1.5, revoke).start()
    assert godwit("vm", "migrate", "web1", "kvm2").status == 4


def test_interrupt_in_a_pipe(fake, environment):
    fake.steps = STUCK
    process = subprocess.Popen([PROGRAM, "vm", "migrate", "web1", "kvm2"],
                               env=environment(fake.url), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    while "copying" not in process.stdout.readline():
        pass
    begin = time.monotonic()
    process.send_signal(2)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - begin < 2
    job = fakes.JOB % 1
    assert process.returncode == 130
    assert f"web1 goes on. To cancel it: godwit job cancel {job}" in err
    assert fake.jobs[job]["state"] == "copying", "the move was touched"


def test_interrupt_before_the_answer(fake, environment):
    fake.delay["/vms/web1/migrate"] = 3
    process = subprocess.Popen([PROGRAM, "vm", "migrate", "web1", "kvm2"],
                               env=environment(fake.url), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    while not fake.requests:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(2)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130 and "may have begun" in err and "job list --active" in err


# On a terminal --------------------------------------------------------------------------------

def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@pytest.mark.parametrize("columns", [200, 100, 80, 50, 30, 12])
def test_bar_fits_the_terminal(fake, environment, columns):
    fake.steps = STUCK
    terminal = Terminal([PROGRAM, "vm", "migrate", "web1", "kvm2"], environment(fake.url),
                        columns=columns)
    terminal.wait_for("not converging" if columns >= 80 else "web1  copying"[:columns - 2])
    fake.change_job(fakes.JOB % 1, **SMOOTH[1][1])
    terminal.wait_for("ETA 14.5 s" if columns >= 80 else "web1")
    fake.change_job(fakes.JOB % 1, **SMOOTH[-1][1])
    assert terminal.finish() == 0
    bars = terminal.plain.split("Done: ")[0]
    assert all(width(line) < columns for line in bars.replace("\r", "").split("\n"))
    assert "35 ms measured" in terminal.plain
    if columns >= 80:
        assert "\x1b[1A\x1b[J" in terminal.text, "not redrawn in place"
        assert "█" in terminal.text and "60 %" in terminal.text


def test_bar_without_color_and_utf8(fake, environment):
    fake.steps = SMOOTH[:2] + [(2, SMOOTH[2][1])] + SMOOTH[3:]
    terminal = Terminal([PROGRAM, "vm", "migrate", "web1", "kvm2"],
                        environment(fake.url, LC_ALL="C", NO_COLOR="1"))
    terminal.wait_for("###")
    assert terminal.finish() == 0
    assert "###" in terminal.text and terminal.text.isascii()
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.text)


def test_dumb_terminal_gets_lines(fake, environment):
    terminal = Terminal([PROGRAM, "vm", "migrate", "web1", "kvm2"],
                        environment(fake.url, TERM="dumb"))
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.text and "web1: copying (memory), 20 %" in terminal.text


def test_bars_of_several_vms(fake, environment):
    fake.vms = [fakes.default_vm(f"6f1b1c1e-0000-4000-8000-{n:012d}", f"vm{n}" + "語" * 30)
                for n in range(3)]
    names = [v["name"] for v in fake.vms]
    terminal = Terminal([PROGRAM, "vm", "migrate", "--to", "kvm2", *names], environment(fake.url))
    assert terminal.finish() == 0
    assert "\x1b[3A\x1b[J" in terminal.text
    assert all(width(line) < 100 for line in
               terminal.plain.split("Done: ")[0].replace("\r", "").split("\n"))


def test_interrupt_on_a_terminal(fake, environment):
    fake.steps = STUCK
    terminal = Terminal([PROGRAM, "vm", "migrate", "web1", "kvm2"], environment(fake.url))
    terminal.wait_for("not converging")
    terminal.interrupt()
    assert terminal.finish() == 130
    assert "goes on" in terminal.text and "godwit job cancel" in terminal.text


def test_hostile_vm_name_in_a_bar(fake, environment):
    fake.vms = [fakes.default_vm(fakes.U1, "\x1b[2Jevil\n\x07")]
    terminal = Terminal([PROGRAM, "vm", "migrate", fakes.U1, "kvm2"], environment(fake.url))
    assert terminal.finish() == 0
    assert "\x1b[2J" not in terminal.text and "\x07" not in terminal.text


# Events ---------------------------------------------------------------------------------------

def test_events(fake, environment):
    process = subprocess.Popen([PROGRAM, "events", "--count", "3", "-o", "json"],
                               env=environment(fake.url), stdout=subprocess.PIPE, text=True)
    while not fake.resumed:
        time.sleep(0.05)
    fake.push("vm", fakes.default_vm(fakes.U1, "web1"))
    fake.push("host", {"id": "host-1", "removed": True})
    fake.stop()
    fake.start()
    fake.push("job", {"id": "j", "title": "x\u009b"})
    out, _ = process.communicate(timeout=20)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0 and "\u009b" not in out
    assert [(e["id"], e["type"]) for e in events] == [("1", "vm"), ("2", "host"), ("3", "job")]
    assert events[0]["data"]["name"] == "web1" and events[2]["data"]["title"] == "x\u009b"


def test_events_for_people(fake, environment):
    process = subprocess.Popen([PROGRAM, "events", "--type", "vm"], env=environment(fake.url),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not fake.resumed:
        time.sleep(0.05)
    fake.push("host", {"id": "host-1", "removed": True})
    fake.push("vm", fakes.default_vm(fakes.U1, "web1\x1b[31m"))
    line = process.stdout.readline()
    assert re.fullmatch(r"\S+ vm     web1\ufffd\[31m: running\n", line)
    process.send_signal(2)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_full_disk_is_noticed(fake, environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "vm", "list", "-o", "json"], env=environment(fake.url),
                              stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "could not be written" in done.stderr


def test_hbas(fake, godwit):
    fake.hosts[0]["facts"]["hbas"] = [
        {"name": "scsi_host5", "wwpn": "10000000c9848141", "fabric_wwn": "2001000dec9877c1",
         "vports": 2, "max_vports": 127}]
    shown = godwit("host", "show", "kvm1").out
    assert re.search(r"^scsi_host5 +10000000c9848141 +2001000dec9877c1 +2 +127$", shown, re.M)
    # No heading where a host has none.
    assert "NPIV" in shown and "NPIV" not in godwit("host", "show", "kvm2").out
