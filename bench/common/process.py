# SPDX-License-Identifier: LGPL-2.1-or-later
"""What processes cost, their children's included; and programs that answer lines with lines."""
import glob
import json
import os
import re
import select
import subprocess

from .machine import BenchError, read


def read_if_there(path):
    """Nothing where the process or thread has ended meanwhile."""
    try:
        return read(path)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def tree(pid):
    """The process and all that it started and that lives."""
    found = [pid]
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        for child in read_if_there(path).split():
            found += tree(int(child))
    return found


def cpu_seconds(pids):
    """Of all living threads, to the nanosecond. What a process that ended had used is not in it."""
    return sum(int((read_if_there(path) or "0").split()[0]) for pid in pids
               for path in glob.glob("/proc/%d/task/*/schedstat" % pid)) / 1e9


def memory_kib(pids):
    """RSS and PSS (shared pages by halves) of all together."""
    found = {"rss": 0, "pss": 0}
    for pid in pids:
        rollup = read("/proc/%d/smaps_rollup" % pid)
        for key in found:
            found[key] += int(re.search(r"^%s:\s+(\d+)" % key.capitalize(), rollup, re.M).group(1))
    return found


class Program:
    """A child that says a line of JSON when it is ready and one for each that it is asked; it ends
    when its stdin does."""

    def __init__(self, argv, patience=15):
        self.argv, self.patience = argv, patience
        self.process = None
        self.said = None

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        try:
            self.said = self.line()
        except BaseException:
            self.__exit__()
            raise
        return self

    def line(self):
        if select.select([self.process.stdout], [], [], self.patience)[0]:
            text = self.process.stdout.readline()
            if text:
                return json.loads(text)
            raise BenchError("%s: %s" % (" ".join(self.argv[-3:]), (
                self.process.stderr.read().decode(errors="replace").strip())[-600:]))
        raise BenchError("%s: says nothing" % " ".join(self.argv[-3:]))

    def ask(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.line()

    def pids(self):
        return tree(self.process.pid)

    def __exit__(self, *_unused):
        try:
            self.process.stdin.close()
            self.process.wait(self.patience)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Daemon:
    """A child that runs until it is ended."""

    def __init__(self, argv, log):
        self.argv, self.log = argv, log
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def pids(self):
        if self.process.poll() is not None:
            raise BenchError("%s ended: %s" % (self.argv[-2:], read(self.log)[-600:]))
        return tree(self.process.pid)

    def stop(self):
        """Its children may outlive it: they go first."""
        if self.process is None:
            return
        for pid in reversed(tree(self.process.pid)):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
