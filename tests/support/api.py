# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the API, of the standard library alone."""
import http.client
import json
import ssl
import threading
import time
import uuid
from urllib.parse import quote, urlencode

FINAL = ("done", "failed", "cancelled")


class ApiError(Exception):
    def __init__(self, status, problem):
        super().__init__("%s: %s" % (status, json.dumps(problem)))
        self.status = status
        self.problem = problem if isinstance(problem, dict) else {}

    @property
    def code(self):
        return self.problem.get("code")


class Api:
    def __init__(self, port, ca, token, address="127.0.0.1"):
        self.port = port
        self.address = address
        self.tls = ssl.create_default_context(cafile=ca)
        self.token = token
        self.here = threading.local()  # a connection for each thread

    def connection(self):
        if getattr(self.here, "connection", None) is None:
            self.here.connection = http.client.HTTPSConnection(
                self.address, self.port, context=self.tls, timeout=60)
        return self.here.connection

    def exchange(self, method, path, text, headers):
        connection = self.connection()
        try:
            connection.request(method, "/api/v1" + path, text, headers)
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.here.connection = None
            raise OSError("no answer: %r" % error) from error

    def call(self, method, path, body=None, content_type="application/json", **query):
        """The answer's JSON; ApiError for a problem; OSError where nobody answers."""
        headers = {"Authorization": "Bearer " + self.token}
        text = None
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = content_type
        if query:
            path += "?" + urlencode(query)
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        try:
            answer, said = self.exchange(method, path, text, headers)
        except OSError:
            # An idle connection may have been closed meanwhile; the key makes a repeat harmless.
            answer, said = self.exchange(method, path, text, headers)
        value = json.loads(said) if said else None
        if answer.status >= 400:
            raise ApiError(answer.status, value)
        return value

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def post(self, path, body=None, **query):
        return self.call("POST", path, {} if body is None else body, **query)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def items(self, path, **query):
        found = []
        while True:
            page = self.get(path, **query)
            found += page["items"]
            if not page.get("next"):
                return found
            query["cursor"] = page["next"]

    # The fabric's words.

    def hosts(self):
        return {row["name"]: row for row in self.items("/hosts")}

    def vms(self, name):
        return [row for row in self.items("/vms") if row["name"] == name]

    def job(self, job_id):
        return self.get("/jobs/" + job_id)

    def migrate(self, vm, destination, **options):
        return self.post("/vms/%s/migrate" % quote(vm, safe=""),
                         {"destination": destination, "options": options})

    def cancel(self, job_id):
        return self.post("/jobs/%s/cancel" % job_id)

    def wait_until(self, job_id, what, seconds, pause=0.05):
        """The job once what(job) holds."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.job(job_id)
            if what(job):
                return job
            assert time.monotonic() < deadline, "job after %g s: %s" % (
                seconds, json.dumps(job, indent=1))
            time.sleep(pause)

    def wait_state(self, job_id, *states, seconds=30, pause=0.01):
        """The job once it is in one of these states; a final one ends the wait as well."""
        job = self.wait_until(job_id, lambda row: row["state"] in states + FINAL, seconds, pause)
        assert job["state"] in states, "wanted %s: %s" % (states, json.dumps(job, indent=1))
        return job

    def wait_copying(self, job_id, least_bytes=1, seconds=30):
        """The job once bytes went over, and it still copies."""
        return self.wait_until(
            job_id, lambda row: row["state"] in FINAL or row["state"] == "copying" and
            row.get("progress", {}).get("processed_bytes", 0) >= least_bytes, seconds, 0.02)

    def wait_final(self, job_id, seconds=60):
        return self.wait_until(job_id, lambda row: row["state"] in FINAL, seconds)


def words(job):
    """A job in a line, for what a test prints."""
    error = job.get("error") or {}
    return "%s %s%s" % (job["title"], job["state"],
                        ": " + error.get("message", "") if error else "")
