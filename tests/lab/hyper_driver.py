# SPDX-License-Identifier: LGPL-2.1-or-later
"""hyper-try as an object: requests out, replies and events in (tests/hyper/hyper_try.c)."""
import json
import os
import subprocess
import threading
import time

from lab_program import ROOT

PROGRAM = (os.environ.get("GODWIT_BUILD") or ROOT + "/build") + "/tests/hyper-try"


class Driver:
    """One libvirt driver, in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.replies, self.events, self.twice = {}, [], []
        self.news = threading.Condition()
        self.last = 0
        self.stderr = ""
        self.readers = [threading.Thread(target=self.read), threading.Thread(target=self.read_errors)]
        for reader in self.readers:
            reader.start()

    def read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            with self.news:
                if "reply" not in told:
                    self.events.append(told)
                elif told["reply"] in self.replies:
                    self.twice.append(told)
                else:
                    self.replies[told["reply"]] = told
                self.news.notify_all()

    def read_errors(self):
        self.stderr = self.process.stderr.read()

    def send(self, operation, host, **more):
        self.last += 1
        request = dict(more, id=self.last, op=operation, host=host)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.last

    def wait(self, number, seconds=30):
        with self.news:
            assert self.news.wait_for(lambda: number in self.replies, seconds), \
                "no reply within %s s" % seconds
            return self.replies[number]

    def ask(self, operation, host, seconds=30, **more):
        return self.wait(self.send(operation, host, **more), seconds)

    def good(self, operation, host, seconds=30, **more):
        reply = self.ask(operation, host, seconds, **more)
        assert "error" not in reply, reply["error"]
        return reply

    def bad(self, operation, host, seconds=30, **more):
        return self.ask(operation, host, seconds, **more)["error"]

    def look(self, host, vm):
        return self.good("look", host, vm=vm)["look"]

    def event(self, wanted, seconds=10):
        """The first event that has all of @wanted's keys and values."""
        def find():
            return next((event for event in self.events
                         if wanted.items() <= event.items()), None)
        with self.news:
            assert self.news.wait_for(find, seconds), "no %s within %s s" % (wanted, seconds)
            return find()

    def eventually(self, what, probe, seconds=15):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = probe()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError("%s: not within %d s" % (what, seconds))

    def close(self):
        """Ends it; nothing may have been answered twice, nor said on stderr."""
        self.process.stdin.close()
        begun = time.monotonic()
        status = self.process.wait(30)
        for reader in self.readers:
            reader.join()
        assert status == 0 and self.twice == [] and self.stderr == ""
        return time.monotonic() - begun
