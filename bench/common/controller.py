# SPDX-License-Identifier: LGPL-2.1-or-later
"""A controller of the bench's own, and a client that talks to it."""
import glob
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .machine import BenchError, read

API = "/api/v1"
STARTED = re.compile(r"listening on https://[0-9.]+:(\d+)")


class Controller:
    """godwitd in a state folder of its own; the folder goes with it unless it is kept for a restart."""

    def __init__(self, build, simulate=None, address="127.0.0.1"):
        self.build = build
        self.address = address
        self.simulate = simulate
        self.folder = tempfile.mkdtemp(prefix="godwit-bench-")
        self.process = None
        self.port = None
        self.local = threading.local()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_unused):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Returns the seconds until it said that it listens."""
        log_path = self.folder + "/log"
        argv = [self.build + "/godwitd", "--state-dir", self.folder + "/state", "--listen",
                self.address, "--port", "0"]
        if self.simulate is not None:
            argv += ["--simulate", self.simulate]
        begun = time.monotonic()
        with open(log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        while True:
            said = STARTED.search(read(log_path))
            if said:
                break
            if self.process.poll() is not None:
                raise BenchError("godwitd ended: " + read(log_path)[-600:])
            time.sleep(0.005)
        self.port = int(said.group(1))
        self.local = threading.local()
        return time.monotonic() - begun

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BenchError("godwitd did not stop within 20 s") from None
        finally:
            self.process = None

    def environment(self):
        """What the command line needs to find this controller."""
        state = self.folder + "/state"
        return dict(os.environ, GODWIT_SERVER="https://%s:%d" % (self.address, self.port),
                    GODWIT_CA=state + "/tls/ca.pem", GODWIT_TOKEN_FILE=state + "/admin.token")

    # Requests ------------------------------------------------------------------------------------

    def connection(self):
        """One connection for each thread, kept open."""
        if not hasattr(self.local, "connection"):
            context = ssl.create_default_context(cafile=self.folder + "/state/tls/ca.pem")
            self.local.connection = http.client.HTTPSConnection(
                self.address, self.port, context=context, timeout=120)
            self.local.token = read(self.folder + "/state/admin.token").strip()
        return self.local.connection

    def request(self, method, path, body=None):
        """Status and body as bytes. An idle connection that was closed meanwhile is opened anew."""
        connection = self.connection()
        headers = {"Authorization": "Bearer " + self.local.token}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" \
                else "application/json"
            body = json.dumps(body)
        for again in (False, True):
            try:
                connection.request(method, API + path, body=body, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                connection.close()
                if again or method != "GET":
                    raise
        raise AssertionError("unreachable")

    def call(self, method, path, body=None):
        status, text = self.request(method, path, body)
        if status >= 300:
            raise BenchError("%s %s: %d %s" % (method, path, status, text[:600].decode()))
        return json.loads(text) if text else None

    def change(self, path, body):
        return self.call("PATCH", path, body)

    def items(self, path):
        """All pages of a list."""
        found, cursor = [], None
        mark = "&" if "?" in path else "?"
        while True:
            page = self.call("GET", path + (mark + "cursor=" + cursor if cursor else ""))
            found += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return found

    def add_hosts(self, uris, threads=16):
        """In parallel; returns the seconds it took."""
        begun = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda uri: self.call("POST", "/hosts", {"uri": uri}), uris))
        return time.monotonic() - begun

    def wait_until_ok(self, count, patience=300, word=None):
        """Waits until that many hosts answered and were listed (@word: in that very status);
        returns the seconds."""
        begun = time.monotonic()
        while True:
            hosts = self.items("/hosts?limit=10000")
            ready = sum(host["status"].startswith("OK") and word in (None, host["status"])
                        for host in hosts)
            if ready == count:
                return time.monotonic() - begun
            if time.monotonic() - begun > patience:
                raise BenchError("only %d of %d hosts are OK after %d s: %s" % (
                    ready, count, patience, [(host["status"], host.get("error"))
                                             for host in hosts[:8]]))
            time.sleep(0.02)

    def wait_for_job(self, job_id, patience=600):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            job = self.call("GET", "/jobs/" + job_id)
            if job["state"] in ("done", "failed", "cancelled", "held"):
                return job
            time.sleep(0.02)
        raise BenchError("job %s does not end" % job_id)

    # The process ----------------------------------------------------------------------------------

    def memory_kib(self):
        """RSS and PSS, its peak as well."""
        pid = self.process.pid
        rollup = read("/proc/%d/smaps_rollup" % pid)
        status = read("/proc/%d/status" % pid)
        return {"rss": int(re.search(r"^Rss:\s+(\d+)", rollup, re.M).group(1)),
                "pss": int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1)),
                "peak": int(re.search(r"^VmHWM:\s+(\d+)", status, re.M).group(1))}

    def cpu_seconds(self):
        """Of all its threads, ended ones included, to a hundredth; of living ones to the nanosecond."""
        fields = read("/proc/%d/stat" % self.process.pid).rpartition(")")[2].split()
        ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        exact = 0
        for path in glob.glob("/proc/%d/task/*/schedstat" % self.process.pid):
            exact += int(read(path).split()[0])
        return max(ticks, exact / 1e9)
