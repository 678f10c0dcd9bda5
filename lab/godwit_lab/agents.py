"""Agents: godwit-agent inside a host, as a service manager would run it; and ssh to install it."""
import contextlib
import os
import signal

from .run import (all_pids, command_line, is_same_process, kill_all, read_json, record_of, run,
                  wait_for, write, write_json)
from .settings import AGENT_PORT, CACHE, HERE, LabError, STATE

STATE_SEEN = "/var/lib/godwit-agent"  # by the host; each has its own
PROGRAM = os.path.join(os.environ.get("GODWIT_BUILD") or os.path.dirname(HERE) + "/build",
                       "godwit-agent")
USER = "godwit-agent"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
KEY = STATE + "/ssh/key"


def wanted():
    """Whether this lab's hosts are reached by agents alone."""
    return os.path.exists(STATE + "/agents")


def want(with_agents, known):
    if with_agents == wanted() or not with_agents and known:
        return
    if known:
        raise LabError("hosts without agents are up: run `lab/lab down` first")
    if with_agents:
        write(STATE + "/agents", "\n")
    else:
        os.unlink(STATE + "/agents")


def remove_mount_point():
    """Hosts' mounts need the folder on the machine; where an agent of its own lives in it, it is
    not empty and stays."""
    with contextlib.suppress(OSError):
        os.rmdir(STATE_SEEN)


def add_user(etc):
    """The account of the agent's network-facing process, which a package would make."""
    for name, line in (("passwd", USER + ":x:64447:64447::/nonexistent:/usr/sbin/nologin\n"),
                       ("group", USER + ":x:64447:\n")):
        with open("/etc/" + name, encoding="utf-8") as source:
            text = source.read()
        write(etc + "/" + name, text if line in text else text + line)


def record_path(host):
    return host.base + "/agent.json"


def pid(host):
    record = read_json(record_path(host))
    return record["pid"] if is_same_process(record) else None


def start(host, program=PROGRAM, clock=None):
    """Starts the agent of a host, which has joined a fabric. @clock: how wrong its idea of the time
    of day is, as in "+1d" (the clock that counts from the start of the machine stays right)."""
    from .hosts import spawn  # that module needs this one
    if pid(host) is not None:
        return
    if not os.path.exists(program):
        raise LabError("%s is missing: build first, or name it by --program" % program)
    pid_file = host.base + "/agent.pid"
    if os.path.exists(pid_file):
        os.unlink(pid_file)
    wrong = ["env", "LD_PRELOAD=" + FAKETIME, "FAKETIME=" + clock, "FAKETIME_DONT_FAKE_MONOTONIC=1",
             "DONT_FAKE_MONOTONIC=1"] if clock else []
    spawn(host.enter() + [CACHE + "/bin/reaper", pid_file] + wrong + [program, "run", "--listen",
                          host.address, "--port", str(AGENT_PORT), "--shared-kernel"],
          host.base + "/agent.log")
    wait_for("process of the agent", lambda: os.path.exists(pid_file), 5)
    with open(pid_file, encoding="utf-8") as text:
        write_json(record_path(host), record_of(int(text.read())))


def processes(host):
    """Every process of the host's agent: the warden, the front, and what lingers of either."""
    keeper = os.readlink("/proc/%d/ns/net" % host.keeper_pid())
    found = []
    for number in all_pids():
        name = os.path.basename((command_line(number) or [""])[0])
        try:
            inside = os.readlink("/proc/%d/ns/net" % number) == keeper
        except OSError:
            continue
        if inside and name.startswith("godwit-agent"):
            found.append(record_of(number))
    return found


def send(host, number):
    """Sends a signal to the agent's processes; of a kill, waits for their end."""
    records = processes(host)
    if not records:
        raise LabError("the agent of %s does not run" % host.name)
    if number == signal.SIGKILL:
        kill_all(records, patience=0)
        return
    for record in records:
        if is_same_process(record):
            os.kill(record["pid"], number)


def forget(host):
    """Takes away the agent's state, as if it had never joined."""
    if pid(host) is not None:
        raise LabError("the agent of %s runs: run `lab/lab agent %s kill`" % (
            host.name, host.name))
    run(["find", host.base + "/agent", "-mindepth", "1", "-delete"])


def start_sshd(host):
    """Lets the machine's root in by a key of the lab's own. Returns the ssh command to use."""
    from .hosts import spawn
    folder = os.path.dirname(KEY)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path in (KEY, folder + "/host"):
        if not os.path.exists(path):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    with open(KEY + ".pub", encoding="utf-8") as source:
        write(folder + "/authorized", source.read(), 0o600)
    config = folder + "/config-" + host.name
    write(config, "\n".join([
        "ListenAddress " + host.address, "HostKey %s/host" % folder, "PidFile none",
        "AuthorizedKeysFile %s/authorized" % folder, "StrictModes no", "UsePAM no",
        "PasswordAuthentication no", "PermitRootLogin prohibit-password", ""]))
    run(host.enter() + ["mkdir", "-p", "/run/sshd"])
    if not is_same_process(read_json(host.base + "/sshd.json")):
        pid_file = host.base + "/sshd.pid"
        spawn(host.enter() + [CACHE + "/bin/reaper", pid_file, "/usr/sbin/sshd", "-D", "-e", "-f",
                              config], host.base + "/sshd.log")
        wait_for("process of sshd", lambda: os.path.exists(pid_file), 5)
        with open(pid_file, encoding="utf-8") as text:
            write_json(host.base + "/sshd.json", record_of(int(text.read())))
    return ["ssh", "-i", KEY, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"]
