"""Running programs and looking at processes."""
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time

from .settings import LabError, STATE


def run(argv, check=True, input_text=None, env=None):
    """Runs a program and returns its result; a failure names the program and what it said."""
    try:
        done = subprocess.run(argv, input=input_text, text=True, capture_output=True, env=env)
    except FileNotFoundError as error:
        raise LabError("%s is missing: run `lab/lab install`" % argv[0]) from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError("%s: %s" % (" ".join(argv[:12]), said or "exit %d" % done.returncode))
    return done


def write(path, text, mode=0o644):
    """Writes a file so that a reader sees the old or the new one, never half."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path + ".new", mode)
    os.replace(path + ".new", path)


def write_json(path, value):
    write(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path):
    """The file's content, or None when there is none (or only a torn one)."""
    try:
        with open(path, encoding="utf-8") as source:
            return json.load(source)
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def lock(folder=STATE):
    """One change of the lab, or of what all labs share, at a time; the lock goes with the process
    that held it."""
    os.makedirs(folder, exist_ok=True)
    handle = os.open(folder + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def start_time(pid):
    """The kernel's start time of a live process, or None: a pid alone may be somebody else's."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_same_process(record):
    return bool(record) and start_time(record["pid"]) == record["start"]


def record_of(pid):
    return {"pid": pid, "start": start_time(pid)}


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as source:
            return source.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def kill_all(records, patience=3.0):
    """Asks processes to end, then ends them. Each is checked again before each signal."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        left = [record for record in records if is_same_process(record)]
        for record in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record["pid"], number)
                os.kill(record["pid"], signal.SIGCONT)  # a stopped one cannot hear SIGTERM
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = [record for record in left if is_same_process(record)]
        if not left:
            return
    raise LabError("processes survive SIGKILL: %s" % [record["pid"] for record in left])


def wait_for(what, probe, seconds):
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError("%s: not within %g s" % (what, seconds))
        time.sleep(0.02)
