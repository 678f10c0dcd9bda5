# SPDX-License-Identifier: LGPL-2.1-or-later
"""godwitd as a child process that can be killed and started again on one state folder."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

from . import labs
from .api import Api, words

BUILD = os.environ.get("GODWIT_BUILD") or labs.ROOT + "/build"
PROGRAM = BUILD + "/godwitd"
CLI = BUILD + "/godwit"


class Controller:
    ADDRESS = "127.0.0.1"

    def __init__(self, folder):
        self.state = str(folder) + "/state"
        self.log_path = str(folder) + "/log"
        self.child = None
        self.api = None

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def start(self, wait_hosts=True):
        """Starts it, unless it runs, and waits until it answers and has listed its hosts."""
        if self.is_running():
            return
        begun = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([PROGRAM, "--state-dir", self.state, "--listen",
                                           self.ADDRESS, "--port", "0"], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)
        port = labs.eventually("godwitd to listen", lambda: self.port_said(begun), 15, 0.02)
        with open(self.state + "/admin.token", encoding="ascii") as token:
            self.api = Api(port, self.state + "/tls/ca.pem", token.read().strip(),
                           self.ADDRESS)
        if wait_hosts:
            self.wait_hosts()

    def port_said(self, offset):
        text = self.log()[offset:]
        assert self.child.poll() is None, "godwitd ended: " + text[-600:]
        found = re.search(r"listening on https://[0-9.]+:(\d+)", text)
        return found and int(found.group(1))

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_hosts(self, seconds=30):
        labs.eventually("all hosts to answer", lambda: all(
            row["status"].startswith("OK") for row in self.api.items("/hosts")), seconds)

    def kill(self):
        """What a power cut does to the controller."""
        self.child.kill()
        self.child.wait()

    def stop(self):
        if not self.is_running():
            return
        self.child.terminate()
        try:
            assert self.child.wait(20) == 0, "godwitd ended badly: " + self.log()[-600:]
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
            raise

    def restart(self):
        self.kill()
        begun = time.monotonic()
        self.start(wait_hosts=False)
        return time.monotonic() - begun

    def stored_jobs(self):
        """The jobs as the dead controller left them in its database: {id: state}."""
        database = sqlite3.connect("file:%s/godwit.db?mode=ro" % self.state, uri=True)
        try:
            rows = database.execute("SELECT id, body FROM job").fetchall()
        finally:
            database.close()
        return {row[0]: json.loads(row[1])["state"] for row in rows}

    def manage_lab(self):
        """Adds the lab's hosts and proves its shared folder."""
        for name in labs.HOSTS:
            self.api.post("/hosts", {"uri": labs.host(name).uri, "name": name})
        self.wait_hosts()
        self.prove_share()

    @contextlib.contextmanager
    def managing_lab(self):
        """Running, with the lab's hosts, until the end."""
        try:
            self.start()
            self.manage_lab()
            yield self
        finally:
            self.stop()

    def move(self, guest, seconds=120, target=None, **options):
        """Moves it, to the other host if @target is none, and waits for that: the finished job."""
        target = target or labs.other(guest.where())
        job = self.api.migrate(guest.name, target, **options)
        job = self.api.wait_final(job["id"], seconds)
        assert job["state"] == "done", words(job)
        assert guest.where() == target
        return job

    def prove_share(self):
        hosts = self.api.hosts()
        share = {"name": "lab", "members": [{"host_id": hosts[name]["id"], "pool": "shared"}
                                            for name in labs.HOSTS]}
        job = self.api.post("/shares", share)
        job = self.api.wait_final(job["id"], 60)
        assert job["state"] == "done", job

    def share(self):
        return self.api.items("/shares")[0]

    def cli(self, *words, check=True):
        env = dict(os.environ, GODWIT_SERVER="https://%s:%d" % (self.ADDRESS, self.api.port),
                   GODWIT_CA=self.state + "/tls/ca.pem",
                   GODWIT_TOKEN_FILE=self.state + "/admin.token", LC_ALL="C.UTF-8")
        done = subprocess.run([CLI] + list(words), env=env, text=True, capture_output=True,
                              timeout=60)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done
