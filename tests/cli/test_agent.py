# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a host gets its agent, by the godwit program: with a controller and an ssh that are scripts."""
import io
import json
import pathlib
import platform
import shlex
import subprocess
import sys
import tarfile
import time

import pytest

from conftest import PROGRAM
from fake import FABRIC, FINGERPRINT, JOIN_TOKEN

SSH = pathlib.Path(__file__).parent / "ssh.py"


@pytest.fixture
def far(tmp_path):
    """The other machine: what it answers, and what it was asked."""
    class Far:
        folder = tmp_path / "far"
        files = tmp_path / "prefix"

        def answers(self, **steps):
            probe = steps.setdefault("probe", {}).setdefault("values", {})
            probe.setdefault("arch", platform.machine())
            probe.setdefault("time", str(int(time.time())))
            (self.folder / "answers.json").write_text(json.dumps(steps))

        @property
        def asked(self):
            log = self.folder / "log"
            lines = log.read_text().splitlines() if log.exists() else []
            return [json.loads(line) for line in lines]

        @property
        def steps(self):
            return [entry["step"] for entry in self.asked]

        def script(self, step):
            """What is given to the far end's shell."""
            command = next(e["argv"][-1] for e in self.asked if e["step"] == step)
            words = shlex.split(command)
            assert words[:2] == ["sh", "-c"] and len(words) == 3
            return words[2]

        def stdin(self, step):
            return (self.folder / f"{step}.stdin").read_bytes()

        @property
        def way(self):
            return ["--ssh-command", f"{shlex.quote(sys.executable)} {SSH} {self.folder} 'a b'"]

        @property
        def options(self):
            return [*self.way, "--controller", "192.0.2.1:9447", "--agent-files", str(self.files)]

    far = Far()
    far.folder.mkdir()
    for name, text in {"sbin/godwit-agent": "program", "share/man/man8/godwit-agent.8": "page",
                       "lib/systemd/system/godwit-agent.service": "unit",
                       "lib/sysusers.d/godwit-agent.conf": "user"}.items():
        path = far.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    far.answers()
    return far


def posted(fake, path):
    return [b for m, p, b in fake.requests if m == "POST" and p.endswith(path)]


# Installing -----------------------------------------------------------------------------------

def test_install(fake, godwit, far):
    run = godwit("host", "add", "kvm9", "--install", "--address", "192.0.2.9", *far.options)
    assert run.status == 0, run.err
    assert far.steps == ["probe", "copy", "join", "user", "start"]
    assert "Host kvm9 added, status OK" in run.out
    assert posted(fake, "/join-tokens") == [{"name": "kvm9", "address": "192.0.2.9"}]
    with tarfile.open(fileobj=io.BytesIO(far.stdin("copy"))) as tar:
        found = {m.name: (m.mode, m.uid, tar.extractfile(m).read()) for m in tar}
    assert found == {
        "sbin/godwit-agent": (0o755, 0, b"program"),
        "lib/systemd/system/godwit-agent.service": (0o644, 0, b"unit"),
        "lib/sysusers.d/godwit-agent.conf": (0o644, 0, b"user"),
        "share/man/man8/godwit-agent.8": (0o644, 0, b"page")}
    assert far.stdin("join") == JOIN_TOKEN.encode() + b"\n"
    line = next(x for x in far.script("join").splitlines() if x.startswith("godwit-agent join"))
    assert shlex.split(line)[:9] == ["godwit-agent", "join", "--controller", "192.0.2.1:9447",
                                     "--fingerprint", FINGERPRINT, "--token-file", "-", "&&"]


def test_no_secret_is_in_a_command_line(fake, godwit, far):
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert run.status == 0
    for entry in far.asked:
        assert JOIN_TOKEN not in json.dumps(entry["argv"])
        assert entry["argv"][2] == "a b"  # split as a shell would, and passed on as it is
    assert JOIN_TOKEN not in run.out + run.err


def test_the_scripts_are_shell(fake, godwit, far):
    assert godwit("host", "add", "kvm9", "--install", *far.options).status == 0
    assert len(far.steps) == 5
    for step in far.steps:
        for shell in ["sh", "bash"]:
            done = subprocess.run([shell, "-n", "-c", far.script(step)], capture_output=True)
            assert (done.returncode, done.stderr) == (0, b"")


def test_the_probe_says_the_truth_of_this_machine(fake, godwit, far):
    assert godwit("host", "add", "kvm9", "--install", *far.options).status == 0
    done = subprocess.run(["sh", "-c", far.script("probe")], capture_output=True, text=True,
                          check=True)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert said["godwit-probe"] == "1" and said["arch"] == platform.machine()
    assert said["uid"].isdigit() and abs(int(said["time"]) - time.time()) < 60


@pytest.mark.parametrize("was, status, log", [
    ("active", 0, "is-active stop join"), ("inactive", 0, "is-active join"),
    ("active", 5, "is-active stop join start"), ("inactive", 5, "is-active join"),
])
def test_the_join_script_leaves_the_agent_as_it_was(fake, godwit, far, tmp_path, was, status, log):
    """An agent that runs is out of the way while it joins, and is back where that fails."""
    assert godwit("host", "add", "kvm9", "--install", *far.options).status == 0
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/order\n'
                                     f'[ "$1" = is-active ] && echo {was}\nexit 0\n')
    (tools / "godwit-agent").write_text(f"#!/bin/sh\necho join >>{tmp_path}/order\n"
                                        f"cat >{tmp_path}/token\nexit {status}\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    script = far.script("join").replace("PATH=/usr/local/sbin", f"PATH={tools}:/usr/local/sbin")
    done = subprocess.run(["sh", "-c", script], input=b"the token\n")
    assert done.returncode == status
    assert (tmp_path / "order").read_text().split() == log.split()
    assert (tmp_path / "token").read_text() == "the token\n"


def test_what_is_there_is_not_copied(fake, godwit, far):
    version = json.loads(godwit("version", "-o", "json").out)["version"]
    far.answers(probe={"values": {"agent": f"godwit-agent {version}"}})
    run = godwit("host", "add", "kvm9", "--install", *far.options[:-2])
    assert run.status == 0, run.err
    assert far.steps == ["probe", "join", "user", "start"]
    assert "is there already" in run.out


def test_a_managed_host_gets_it(fake, godwit, far):
    run = godwit("host", "add", "kvm1", "--install", *far.options)
    assert run.status == 0, run.err
    assert posted(fake, "/join-tokens") == [{"host": "kvm1"}]


def test_again_in_the_same_fabric(fake, godwit, far):
    far.answers(probe={"values": {"fabric": FABRIC}})
    assert godwit("host", "add", "kvm1", "--install", *far.options).status == 0
    words = shlex.split(far.script("join"))
    assert words[words.index("--replace") + 1] == FABRIC


def test_in_another_fabric(fake, godwit, far):
    far.answers(probe={"values": {"fabric": "01AAAAAAAAAAAAAAAAAAAAAAAA"}})
    run = godwit("host", "add", "kvm1", "--install", *far.options)
    assert run.status == 8
    assert "01AAAAAAAAAAAAAAAAAAAAAAAA" in run.err and "godwit-agent leave" in run.err
    assert far.steps == ["probe"] and fake.join_tokens == []


def test_output_for_programs(fake, godwit, far):
    run = godwit("host", "add", "kvm9", "--install", "-o", "json", *far.options)
    assert run.status == 0
    assert json.loads(run.out)["name"] == "kvm9"


def test_without_systemd(fake, godwit, far):
    far.answers(probe={"values": {"systemd": ""}})
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert run.status == 0
    assert "godwit-agent run" in run.err and "start" not in far.steps
    fake.joined_status = "Connecting"  # nobody started it: nothing to wait for
    begun = time.monotonic()
    run = godwit("host", "add", "kvm8", "--install", *far.options)
    assert run.status == 0 and "status Connecting" in run.out
    assert time.monotonic() - begun < 30


def test_a_clock_that_is_off_is_said(fake, godwit, far):
    far.answers(probe={"values": {"time": str(int(time.time()) - 86400)}})
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert run.status == 0
    assert "864" in run.err and "behind" in run.err


@pytest.mark.parametrize("answers, part, fails", [
    ({"probe": {"status": 255, "stderr": "Permission denied (publickey)."}},
     "Permission denied (publickey).", True),
    ({"probe": {"values": {"uid": "1000"}}}, "as root", True),
    ({"probe": {"values": {"libvirt": ""}}}, "no libvirt", True),
    ({"probe": {"values": {"godwit-probe": ""}}}, "does not run commands", True),
    ({"probe": {"values": {"tar": ""}}}, "no tar", True),
    ({"copy": {"status": 1, "stderr": "libsodium.so.23: cannot open"}}, "libsodium.so.23", True),
    ({"copy": {"status": 1, "deaf": True, "stderr": "disk full"}}, "disk full", True),
    ({"join": {"status": 1, "stderr": "the controller cannot be reached"}}, "--listen", True),
    ({"user": {"status": 1, "stderr": "no useradd"}}, "useradd --system", True),
    ({"start": {"status": 1, "stderr": "unit failed"}}, "journalctl -u godwit-agent", True),
])
def test_what_goes_wrong_there(fake, godwit, far, answers, part, fails):
    far.answers(**answers)
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert (run.status != 0) == fails, run.err
    assert part in run.err
    # A token that was not used is taken back.
    assert len(fake.join_tokens) == (1 if "user" in far.steps else 0)


def test_another_kind_of_machine(fake, godwit, far):
    far.answers(probe={"values": {"arch": "riscv64"}})
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert run.status == 0, run.err  # these files were named on purpose
    run = godwit("host", "add", "kvm8", "--install", *far.options[:-2])
    assert run.status == 1 and "riscv64" in run.err
    assert far.steps[-1] == "probe"


def test_a_large_program_and_a_far_end_that_hangs_up(fake, godwit, far):
    (far.files / "sbin/godwit-agent").write_bytes(b"x" * 4_000_000)
    assert godwit("host", "add", "kvm9", "--install", *far.options).status == 0
    assert len(far.stdin("copy")) > 4_000_000
    far.answers(copy={"deaf": True, "status": 3, "stderr": "no room"})
    run = godwit("host", "add", "kvm8", "--install", *far.options)
    assert run.status == 1 and "no room" in run.err


def test_a_build_folder_has_them_too(fake, godwit, far):
    run = godwit("host", "add", "kvm9", "--install", *far.options[:-2])
    assert run.status == 0, run.err
    build = pathlib.Path(PROGRAM).parent
    with tarfile.open(fileobj=io.BytesIO(far.stdin("copy"))) as tar:
        assert "lib/sysusers.d/godwit-agent.conf" in tar.getnames()
        assert tar.extractfile("sbin/godwit-agent").read() == \
            (build / "godwit-agent").read_bytes()


def test_missing_files(fake, godwit, far):
    (far.files / "lib/systemd/system/godwit-agent.service").unlink()
    run = godwit("host", "add", "kvm9", "--install", *far.options)
    assert run.status == 7
    assert "godwit-agent.service" in run.err and "--agent-files" in run.err
    assert fake.join_tokens == []


def test_no_ssh(fake, godwit):
    run = godwit("host", "add", "kvm9", "--install", "--ssh-command", "/nowhere/ssh",
                 "--controller", "192.0.2.1")
    assert run.status == 1 and "/nowhere/ssh" in run.err


def test_a_port_that_is_closed(fake, godwit, far):
    fake.joined_status = "Connecting"
    run = godwit("host", "add", "kvm9", "--install", "--wait", "1", *far.options)
    assert run.status == 1
    assert "godwit://192.0.2.9:8447" in run.err and "as the test wants it" in run.err
    assert "Open the agent's port (8447)" in run.err


@pytest.mark.parametrize("args, part", [
    (["kvm9", "--install", "--join"], "--install does what --join prints"),
    (["qemu+ssh://kvm9/system", "--address", "1.2.3.4"], "for a host that gets an agent"),
    (["kvm9", "--join", "--peer-uri", "qemu+ssh://kvm9/system", "--controller", "a"],
     "no meaning"),
    (["--install", "--controller", "a", "--", "-oProxyCommand=touch /tmp/x"], "cannot be used"),
    (["a@b", "--install", "--controller", "a"], "cannot be used"),
    (["kvm9", "--install", "--controller", "a", "--user=-l"], "cannot be used"),
    (["kvm9", "--install", "--controller", "a", "--ssh-command", "'"], "--ssh-command"),
])
def test_bad_command_lines(fake, godwit, args, part):
    run = godwit("host", "add", *args)
    assert run.status != 0 and part in run.err
    assert fake.join_tokens == []


@pytest.mark.parametrize("controller", ["$(touch /tmp/x)", "a b", "a;b", "-a", "", "a/b", "u@a",
                                        "a:99999", "a?b", "a#b"])
def test_bad_controllers(fake, godwit, far, controller):
    run = godwit("host", "add", "kvm9", "--install", *far.way, f"--controller={controller}")
    assert run.status in (1, 2) and "address" in run.err
    assert far.steps == ["probe"] and fake.join_tokens == []


def test_a_controller_that_only_we_reach(fake, godwit, far):
    run = godwit("host", "add", "kvm9", "--install", *far.way)
    assert run.status != 0
    assert "127.0.0.1" in run.err and "--controller ADDRESS" in run.err
    assert fake.join_tokens == []


# By hand --------------------------------------------------------------------------------------

def test_join(fake, godwit):
    run = godwit("host", "add", "kvm9", "--join", "--controller", "[2001:db8::1]")
    assert run.status == 0, run.err
    command = f"godwit-agent join --controller [2001:db8::1]:{fake.port} --fingerprint " \
        f"{FINGERPRINT} --token-file -"
    assert command in run.out and JOIN_TOKEN in run.out
    assert all(JOIN_TOKEN not in line for line in run.out.splitlines() if "godwit-agent" in line)
    told = json.loads(godwit("host", "add", "kvm1", "--join", "--controller", "192.0.2.1", "-o",
                             "json").out)
    assert told["token"] == JOIN_TOKEN and told["command"].startswith("godwit-agent join")
    assert posted(fake, "/join-tokens")[1] == {"host": "kvm1"}


# Checking -------------------------------------------------------------------------------------

def test_check(fake, godwit):
    fake.lines = [{"name": "reachable", "outcome": "ok", "observed": "OK"},
                  {"name": "clock", "outcome": "warning", "observed": "31 s ahead",
                   "required": "within 30 s", "remedy": "Run chrony."},
                  {"name": "migration-socket", "outcome": "failed", "observed": "refused",
                   "required": "QEMU connects", "remedy": "Load the AppArmor profile."}]
    run = godwit("host", "check", "kvm1", "kvm2")
    assert run.status == 3
    assert "migration-socket on kvm1: failed" in run.out and "Load the AppArmor profile." in run.out
    assert "clock on kvm1: warning" in run.out and "reachable on" not in run.out
    assert posted(fake, "/check") == [{"peer": "kvm2"}]
    shown = godwit("host", "check", "kvm1", "-o", "json")
    assert shown.status == 3 and json.loads(shown.out)[2]["outcome"] == "failed"
    fake.lines = fake.lines[:2]
    assert godwit("host", "check", "kvm1").status == 0
    assert posted(fake, "/check")[-1] == {}


def test_check_of_nobody(fake, godwit):
    assert godwit("host", "check", "nobody").status == 7
    assert godwit("host", "check", "kvm1", "nobody").status == 7
    assert godwit("host", "check").status == 2


def test_hostile_lines_are_printed_safely(fake, godwit):
    fake.lines = [{"name": "x\x1b[31m", "outcome": "failed", "observed": "a\nb\x9b31m",
                   "required": "\x1b]0;owned\x07", "remedy": "r\x1b[2J"}]
    run = godwit("host", "check", "kvm1")
    assert run.status == 3
    assert "\x1b" not in run.out and "\x9b" not in run.out


def test_show_tells_of_the_agent(fake, godwit):
    fake.hosts[0]["agent_certificate_expires_at"] = "2025-02-19T10:00:00Z"
    fake.hosts[0]["facts"]["agent"] = {
        "version": "0.1.0", "wire_version": 1, "clock_offset_ms": -1500,
        "resident_bytes": 20 * 1024**2, "warnings": ["a VM was kept from starting"],
        "interfaces": [{"name": "eth0", "speed_mbps": 10000, "mtu": 9000, "up": True,
                        "addresses": ["192.0.2.9"]},
                       {"name": "br0", "speed_mbps": -1, "mtu": 1500, "up": True}],
        "file_systems": [{"path": "/srv", "type": "xfs", "capacity_bytes": 10**12,
                          "available_bytes": 10**11, "reflink": True}],
        "links": [{"host_id": "host-2", "bytes_per_s": 110 * 1024**2, "round_trip_us": 420,
                   "round_trip_max_us": 900, "measured_at": "2024-11-21T10:00:00Z"}]}
    run = godwit("host", "show", "kvm1")
    assert run.status == 0, run.err
    for part in ["2025-02-19T10:00:00Z", "-1500", "20 MiB", "a VM was kept from starting", "eth0",
                 "10000 Mbit/s", "/srv", "xfs", "110 MiB/s", "0.42 ms", "kvm2"]:
        assert part in run.out, part
    assert "-1 Mbit/s" not in run.out
