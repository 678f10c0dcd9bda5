# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine that figures come from, and how busy others keep it."""
import os
import platform
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
SOURCE = os.path.dirname(HERE)


class BenchError(Exception):
    """Something a person must know: what was seen, and what to do about it."""


class Ended(SystemExit):
    """By a signal. What has turns of its own may catch it to tell what it has; all else ends."""


def end(number, _frame):
    raise Ended("bench/run: ended by %s" % signal.Signals(number).name)


def first_line(*argv):
    try:
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (said.stdout or said.stderr).strip().splitlines()
    return lines[0] if lines else None


def read(path):
    with open(path, encoding="utf-8", errors="replace") as text:
        return text.read()


def describe(build):
    """Cores, memory and versions, as they are printed above each table."""
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    total = int(re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo")).group(1))
    return {"cores": os.cpu_count(), "cpu": model.group(1) if model else platform.machine(),
            "memory_mib": total // 1024, "kernel": platform.release(),
            "python": platform.python_version(),
            "godwit": first_line(os.path.join(build, "godwitd"), "--version"),
            "commit": first_line("git", "-C", SOURCE, "describe", "--always", "--dirty"),
            "buildtype": buildtype(build)}


def buildtype(build):
    said = subprocess.run(["meson", "introspect", "--buildoptions", build], capture_output=True,
                          text=True, check=False).stdout
    found = re.search(r'"name": "buildtype", "value": "(\w+)"', said)
    return found.group(1) if found else "unknown"


def load():
    """Running and waiting processes, averaged over a minute."""
    return float(read("/proc/loadavg").split()[0])


def cpu_busy(seconds):
    """The share of all cores that was not idle meanwhile: quicker to fall than the load."""
    def now():
        fields = [int(word) for word in read("/proc/stat").splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = now()
    time.sleep(seconds)
    later, idle_later = now()
    return 1 - (idle_later - idle) / max(later - total, 1)


def wait_for_quiet(most, patience):
    """Waits until others leave the machine alone. Returns how busy it is in the end (0 to 1), which
    goes with the result: a figure from a busy machine is not hidden, but it is named."""
    deadline = time.monotonic() + patience
    busy = cpu_busy(2)
    while busy > most and time.monotonic() < deadline:
        print("waiting: %.0f %% of the cores busy, load %.1f" % (busy * 100, load()),
              file=sys.stderr)
        time.sleep(5)
        busy = cpu_busy(2)
    return busy
