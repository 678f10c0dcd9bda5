# SPDX-License-Identifier: LGPL-2.1-or-later
"""A controller that is only a script: the routes of /api/v1 over TLS, with the records of src/model,
a fabric in memory, and moves that go through the steps a test lays down."""
import copy
import http.server
import itertools
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

from records import Wrong, check

TOKEN = "fake-token-0123456789abcdef"
JOIN_TOKEN = "godwit-join-" + 64 * "7"
FINGERPRINT = "sha256:" + 64 * "a"
FABRIC = "01JD4ZQ6T5J8S0M3E9V7FABR1C"
U1 = "6f1b1c1e-0000-4000-8000-000000000001"
U2 = "6f1b1c1e-0000-4000-8000-000000000002"
JOB = "01JD4ZQ6T5J8S0M3E9V7B2K1%02d"
MIB = 1024**2
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")  # fast to make


def without_plan(job):
    """As lists and events have it: a plan can be megabytes."""
    return {name: value for name, value in job.items() if name != "plan"}


class Refuse(Exception):
    def __init__(self, status, code, detail, remedy=None, errors=None):
        super().__init__(detail)
        self.status = status
        self.body = {"type": "about:blank", "title": code, "status": status, "code": code,
                     "detail": detail}
        if remedy:
            self.body["remedy"] = remedy
        if errors is not None:
            self.body["errors"] = errors


def make_certificates(folder):
    """A CA with certificates for 127.0.0.1 and for another address, and a second CA."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "other"):
        run("req", "-x509", *KEY, "-days", "30", "-keyout",
            f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name, address in (("server", "127.0.0.1"), ("elsewhere", "192.0.2.7")):
        (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{address}\n")
        run("req", *KEY, "-keyout", f"{name}.key", "-out",
            f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days",
            "30", "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def default_host(number, name, **changes):
    host = {
        "id": f"host-{number}", "name": name, "uri": f"qemu+ssh://root@{name}/system",
        "group_id": "all-hosts", "live_migration_enabled": True, "live_limit": 2,
        "storage_limit": 2, "live_in_use": 0, "storage_in_use": 0, "method": "default",
        "bandwidth_mibps": 0, "completion_timeout_s_per_gib": 800, "progress_timeout_s": 150,
        "status": "OK (Limited)", "status_reason": "no agent",
        "last_seen": "2024-11-21T10:00:00Z",
        "facts": {
            "host_uuid": f"00000000-0000-4000-8000-00000000000{number}", "hostname": name,
            "arch": "x86_64", "cpus": 16, "cpu_model": "EPYC", "memory_kib": 64 * 1024 * 1024,
            "free_memory_kib": 40 * 1024 * 1024 + 512 * 1024, "libvirt_version": 9000000,
            "qemu_version": 10000002, "bridges": ["br0", "br1"],
            "networks": [{"name": "default", "kind": "libvirt", "bridge": "virbr0",
                          "active": True}],
            "pools": [{"name": "default", "type": "dir", "target_path": "/var/lib/libvirt/images",
                       "active": True, "capacity_bytes": 10**12, "available_bytes": 5 * 10**11}],
        },
    }
    host.update(changes)
    return host


def default_vm(uuid, name, host_id="host-1", **changes):
    vm = {
        "uuid": uuid, "name": name, "host_id": host_id, "state": "running",
        "state_reason": "booted", "persistent": True, "autostart": False, "incoming": False,
        "vcpus": 2, "memory_kib": 2 * 1024 * 1024, "max_memory_kib": 4 * 1024 * 1024,
        "virt_type": "kvm", "arch": "x86_64", "machine": "pc-q35-7.2",
        "cpu_mode": "host-model", "snapshots": 0, "job_active": False,
        "disks": [{"target": "vda", "bus": "virtio", "device": "disk", "type": "file",
                   "source": "/var/lib/libvirt/images/web1.qcow2", "format": "qcow2",
                   "readonly": False, "shareable": False, "transient": False,
                   "backing_depth": 0, "capacity_bytes": 20 * 1024**3, "block_job": False}],
        "nics": [{"mac": "52:54:00:00:00:01", "type": "bridge", "source": "br0",
                  "model": "virtio"}],
        "hostdevs": [],
    }
    vm.update(changes)
    return vm


FINDINGS = [
    {"rule": "pci-passthrough", "requirement": "R55", "severity": "error",
     "observed": "PCI device 0000:3b:00.0 of the host is passed through",
     "required": "no passed-through device", "remedy": "Detach the device."},
    {"rule": "cdrom", "requirement": "R53", "severity": "warning",
     "observed": "a CD-ROM is in the drive sda", "required": "an empty drive",
     "remedy": "Eject it."},
]


def progress(phase="memory", percent=0, **changes):
    value = {"phase": phase, "percent": percent, "iteration": 1, "processed_bytes": 0,
             "remaining_bytes": 0, "total_bytes": 2048 * MIB, "bandwidth_bps": 0,
             "dirty_rate_bps": 0, "elapsed_ms": 0, "eta_ms": -1, "expected_downtime_ms": 0,
             "throttle_percent": 0, "converging": True}
    value.update(changes)
    return value


RESULT = {"total_ms": 4200, "queued_ms": 100, "copy_ms": 3100, "downtime_ms": 35,
          "downtime_libvirt_ms": 30, "transferred_bytes": 2100 * MIB, "iterations": 3,
          "drive": "peer-to-peer", "method": "Compression (multifd with zstd)"}

GIB = 1024**3
TRANSFERS = [
    {"transfer": "Live", "available": False,
     "explanation": "kvm2 does not reach /var/lib/libvirt/images/web1.qcow2."},
    {"transfer": "Live (VSM)", "available": True,
     "explanation": "The disks are copied while the VM runs, before its memory."},
    {"transfer": "Network", "available": False, "explanation": "The VM runs."},
    {"transfer": "SAN", "available": False, "explanation": "No disk of the VM is a LUN."},
]


def rating(stars, *factors):
    return {"stars": stars, "points": int(stars * 200000), "factors": list(factors),
            "storage": "fast", "storage_why": "60 GiB are free there, the most of its pools"}


BALANCE = {
    "group_id": "all-hosts", "group_name": "All Hosts", "goal": "balance",
    "imbalance_before": 34.0, "imbalance_after": 3.1, "pressure_before": 1.5, "pressure_after": 0.0,
    "hosts": [{"host_id": "host-1", "host_name": "kvm1", "memory_before": 91.5,
               "memory_after": 80.0, "cpu_before": 91.0, "cpu_after": 53.5, "network_before": -1.0,
               "network_after": -1.0, "vms_before": 3, "vms_after": 2},
              {"host_id": "host-2", "host_name": "kvm2", "memory_before": 20.0,
               "memory_after": 31.5, "cpu_before": 23.0, "cpu_after": 60.5, "network_before": 1.0,
               "network_after": 2.5, "vms_before": 0, "vms_after": 1}]}
RATINGS = [
    rating(3.5, {"name": "memory", "requirement": "R33", "stars": 3.0, "weight": 50,
                 "excludes": False, "lowers": True,
                 "observed": "38.5 GiB of 64 GiB would be left",
                 "required": "as much as possible", "remedy": "Move other VMs away first."},
           {"name": "cpu", "requirement": "R33", "stars": 4.5, "weight": 50, "excludes": False,
            "lowers": False, "observed": "12 of 16 CPUs are idle"}),
    rating(0.0, {"name": "pci-passthrough", "requirement": "R55", "stars": 0.0, "weight": 0,
                 "excludes": True, "lowers": True,
                 "observed": "PCI device 0000:3b:00.0 of the host is passed through",
                 "required": "no passed-through device", "remedy": "Detach the device."}),
]


def disk_moves(pool="fast", how="mirror"):
    """vda with an image below it goes to @pool as raw; the UEFI variables go with memory."""
    def volume(where, name, form):
        return {"pool": where, "name": name, "format": form, "capacity_bytes": 20 * GIB}

    return [{"target": "vda", "how": how, "why": "kvm2 does not reach it", "copy_bytes": GIB,
             "need_bytes": 20 * GIB,
             "images": [{"from": volume("default", "web1.qcow2", "qcow2"),
                         "to": volume(pool, "web1.raw", "raw"), "create": True},
                        {"from": volume("default", "base.qcow2", "qcow2"),
                         "to": volume(pool, "base.qcow2", "qcow2"), "create": True}]},
            {"target": "nvram", "how": "with memory", "images": []}]


STORAGE_RESULT = {"total_ms": 9200, "queued_ms": 100, "disk_bytes": 3 * GIB,
                  "disk_sent_bytes": 2 * GIB, "disk_same_bytes": GIB, "downtime_ms": -1,
                  "downtime_libvirt_ms": -1, "method": "mirrored by QEMU"}


def default_kept(number, **changes):
    kept = {"id": f"01JD4ZQ6T5J8S0M3E9V7KEPT{number:02}", "job_id": JOB % 1, "vm_uuid": U1,
            "vm_name": "web1", "target": "vda", "host_id": "host-1",
            "volume": {"pool": "default", "name": "web1.qcow2", "format": "qcow2",
                       "path": "/var/lib/libvirt/images/web1.qcow2",
                       "capacity_bytes": 20 * GIB, "allocation_bytes": 3 * GIB},
            "kept_at": "2024-11-21T10:00:05Z", "expires_at": "2024-11-22T10:00:05Z"}
    kept.update(changes)
    return check("gw_kept_volume", kept)


# What a move goes through: (seconds to wait, changes of the job; None removes a field).
SMOOTH = [
    (0.15, {"state": "preparing", "waiting_for": None}),
    (0.15, {"state": "copying", "progress": progress(
        percent=20, processed_bytes=400 * MIB, remaining_bytes=1600 * MIB,
        bandwidth_bps=110 * MIB, eta_ms=14500)}),
    (0.15, {"state": "copying", "progress": progress(
        percent=60, iteration=2, processed_bytes=1200 * MIB, remaining_bytes=800 * MIB,
        bandwidth_bps=110 * MIB, dirty_rate_bps=200 * MIB, converging=False)}),
    (0.15, {"state": "copying", "progress": progress(
        phase="switchover", percent=100, iteration=3, processed_bytes=2100 * MIB,
        bandwidth_bps=110 * MIB, eta_ms=0, expected_downtime_ms=30)}),
    (0.15, {"state": "settling"}),
    (0.1, {"state": "done", "result": RESULT, "finished_at": "2024-11-21T10:00:05Z"}),
]
STUCK = SMOOTH[:3]


NO_RESTART = {"changes": [], "gains": [], "loses": [], "commands": []}
# Of three kinds of hosts, one of which has not told anything.
BASELINE = {
    "virt_type": "kvm", "kind": "hypervisor", "asked_host_id": "host-1", "model": "Haswell",
    "xml": "<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>Haswell</model>\n</cpu>\n",
    "features": ["aes", "avx", "avx2"], "machines": ["pc-i440fx-10.0", "pc-q35-10.0"],
    "hosts": [
        {"host_id": "host-1", "host_name": "kvm1", "model": "Skylake-Server",
         "loses": ["avx512f", "clwb", "pku"]},
        {"host_id": "host-2", "host_name": "kvm2", "model": "Haswell", "loses": []},
        {"host_id": "host-3", "host_name": "kvm3", "loses": [],
         "error": "It has not told anything of itself yet."}],
    "vms": [
        {"vm_uuid": U1, "vm_name": "web1", "host_id": "host-1", "cpu": "Skylake-Server",
         "fit": "change", "above": ["avx512f", "clwb", "pku"],
         "why": "It has more than the common CPU: put that into its definition, and restart it.",
         "commands": ["virsh edit web1", "virsh shutdown web1", "godwit vm start web1"]},
        {"vm_uuid": U2, "vm_name": "db1", "host_id": "host-2", "cpu": "Haswell", "fit": "fits",
         "above": [], "commands": []}],
    "pairs": [{"source_host_id": "host-1", "destination_host_id": "host-2", "unknown": False,
               "why": "it lacks avx512f, clwb, pku"}],
}


class Fake:
    def __init__(self, folder, certificate="server"):
        self.folder = folder
        self.certificate = certificate
        self.port = 0
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.requests = []   # (method, path, body)
        self.wrong = []      # what a real controller would have refused
        self.replies = {}    # Idempotency-Key -> answer
        self.raw = {}        # path -> (status, type, bytes or generator): an answer as it is
        self.drop = {}       # path -> how many times the connection is closed before the answer
        self.delay = {}      # path -> seconds before the answer
        self.events_status = 200
        self.events = []     # (id, type, data)
        self.resumed = []    # Last-Event-ID of each stream
        self.delivered = 0   # events written to a stream
        self.findings = []   # of the next move's preflight
        self.steps = SMOOTH
        self.token = TOKEN
        self.page = 1000
        self.numbers = itertools.count(1)
        self.groups = [{"id": "all-hosts", "name": "All Hosts"}]
        self.hosts = [default_host(1, "kvm1"),
                      default_host(2, "kvm2", live_in_use=1, status="Not responding")]
        self.vms = [default_vm(U1, "web1"), default_vm(U2, "db1", "host-2", state="off")]
        self.shares = []
        self.rules = []
        self.conflicts = []
        self.jobs = {}
        self.kept = []
        self.locations = [
            {"pool": "fast", "path": "/srv/fast", "type": "dir", "is_default": True,
             "capacity_bytes": 100 * GIB, "available_bytes": 60 * GIB, "promised_bytes": 20 * GIB},
            {"pool": "default", "path": "/var/lib/libvirt/images", "type": "dir",
             "is_default": False, "capacity_bytes": 10**12, "available_bytes": 5 * 10**11,
             "promised_bytes": 0}]
        self.moves = []            # disks of the next plan
        self.transfers = []        # and its transfer types
        self.undo = {"possible": True, "kind": "vm-migrate",
                     "steps": ["send what changed of vda back to kvm1", "move web1 to kvm1"]}
        self.restart = dict(NO_RESTART)
        self.baseline = BASELINE
        self.join_tokens = []
        self.joined_status = "OK"  # of a host whose agent has joined
        self.lines = []            # of the next check
        self.server = None
        self.sockets = set()

    # Life ------------------------------------------------------------------------------------

    def start(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                self.request.settimeout(20)
                fake.sockets.add(self.request)
                super().setup()

            def finish(self):
                fake.sockets.discard(self.request)
                try:
                    super().finish()
                except OSError:
                    pass

            def log_message(self, *args):
                pass

            def serve(self):
                try:
                    fake.serve(self)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = serve

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

            def handle_error(self, request, address):
                pass

            def get_request(self):
                plain, address = super().get_request()
                return context.wrap_socket(plain, server_side=True,
                                           do_handshake_on_connect=False), address

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{self.certificate}.crt",
                                self.folder / f"{self.certificate}.key")
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        """As if the process died: no port, and every connection gone."""
        server, self.server = self.server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for connection in list(self.sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.changed:
            self.changed.notify_all()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    # Fabric ----------------------------------------------------------------------------------

    def push(self, kind, data):
        with self.changed:
            self.events.append((str(len(self.events) + 1), kind, json.dumps(data)))
            self.changed.notify_all()

    def change_job(self, job_id, **changes):
        with self.lock:
            job = self.jobs[job_id]
            job.update(copy.deepcopy(changes))
            for name in [n for n, v in job.items() if v is None]:
                del job[name]
            self.push("job", without_plan(check("gw_job", job)))

    def new_job(self, kind="vm-migrate", steps=None, **fields):
        job = {"id": JOB % next(self.numbers), "kind": kind, "state": "queued", "title": "a job",
               "user": "admin", "cancel_requested": False,
               "created_at": "2024-11-21T10:00:00Z", "steps": []}
        job.update(fields)
        with self.lock:
            self.jobs[job["id"]] = check("gw_job", job)
        threading.Thread(target=self.play, args=(job["id"], steps), daemon=True).start()
        return copy.deepcopy(job)

    def play(self, job_id, steps):
        # A slow machine must not make the program miss what it would see on another.
        end = time.monotonic() + 10
        while steps and not self.followed(job_id) and time.monotonic() < end:
            time.sleep(0.02)
        for wait, changes in steps or []:
            time.sleep(wait)
            with self.lock:
                if self.jobs[job_id]["state"] in ("done", "failed", "cancelled", "held"):
                    return
                self.change_job(job_id, **changes)

    def followed(self, job_id):
        """Whether somebody listens to events, and has asked for the job as it was then."""
        with self.lock:
            return any(p.endswith("/events") for _, p, _ in self.requests) and \
                any(m == "GET" and p.split("?")[0].endswith(job_id) for m, p, _ in self.requests)

    # HTTP ------------------------------------------------------------------------------------

    def serve(self, h):
        length = int(h.headers.get("Content-Length") or 0)
        text = h.rfile.read(length)
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.removeprefix("/api/v1")
        body = json.loads(text) if text else None
        with self.lock:
            self.requests.append((h.command, h.path, body))
        if not url.path.startswith("/api/v1/"):
            return self.answer(h, 404, {"title": "no such path"})
        if h.headers.get("Authorization") != f"Bearer {self.token}":
            return self.answer(h, 401, {"title": "no", "status": 401, "code": "unauthorized",
                                        "detail": "the token is not known"}, problem=True)
        time.sleep(self.delay.get(path, 0))
        if self.drop.get(path, 0) > 0:
            self.drop[path] -= 1
            self.act(h, path, query, body)
            h.close_connection = True
            return h.connection.shutdown(socket.SHUT_RDWR)
        if path in self.raw:
            return self.answer_raw(h, *self.raw[path])
        if path == "/events":
            return self.stream(h)
        return self.answer(h, *self.act(h, path, query, body))

    def act(self, h, path, query, body):
        """Does what was asked once for each Idempotency-Key; the answer."""
        key = h.headers.get("Idempotency-Key")
        with self.lock:
            if key is not None and key in self.replies:
                return self.replies[key]
            try:
                reply = self.dispatch(h.command, path, query, body)
            except Refuse as refusal:
                reply = (refusal.status, refusal.body, True)
            except (Wrong, KeyError, TypeError) as wrong:
                self.wrong.append(f"{h.command} {h.path}: {wrong!r}")
                reply = (400, {"title": "invalid", "status": 400, "code": "invalid",
                               "detail": str(wrong)}, True)
            if h.command == "POST":
                if key is None:
                    self.wrong.append(f"{h.path}: POST without Idempotency-Key")
                self.replies[key] = reply
            return reply

    def answer(self, h, status, body, problem=False):
        text = b"" if body is None else json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Type", "application/problem+json" if problem
                      else "application/json")
        if status == 202:
            h.send_header("Location", f"/api/v1/jobs/{body['id']}")
        h.send_header("Content-Length", str(len(text)))
        h.end_headers()
        h.wfile.write(text)

    def answer_raw(self, h, status, kind, content):
        h.send_response(status)
        h.send_header("Content-Type", kind)
        if isinstance(content, bytes):
            h.send_header("Content-Length", str(len(content)))
            h.end_headers()
            h.wfile.write(content)
            return
        h.send_header("Connection", "close")
        h.end_headers()
        h.close_connection = True
        for piece in content():
            h.wfile.write(piece)

    def stream(self, h):
        if self.events_status != 200:
            return self.answer(h, self.events_status, {"title": "no events here"}, problem=True)
        server = self.server
        last = h.headers.get("Last-Event-ID")
        self.resumed.append(last)
        with self.lock:
            after = int(last) if last else len(self.events)
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream; charset=utf-8")
        h.send_header("Connection", "close")
        h.end_headers()
        h.close_connection = True
        h.wfile.write(f"retry: 200\n\nevent: ready\nid: {after}\ndata: {{}}\n\n".encode())
        while self.server is server:
            with self.changed:
                if len(self.events) <= after:
                    self.changed.wait(0.2)
                new = self.events[after:]
                after += len(new)
            for number, kind, data in new:
                h.wfile.write(f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode())
            h.wfile.flush()
            self.delivered = max(self.delivered, after)

    # Routes ----------------------------------------------------------------------------------

    def dispatch(self, method, path, query, body):
        parts = [urllib.parse.unquote(p) for p in path.strip("/").split("/")]
        handler = getattr(self, "on_" + parts[0].replace("-", "_"), None)
        if handler is None:
            raise Refuse(404, "not-found", f"no such path {path}")
        return handler(method, parts[1:], query, body)

    def on_status(self, method, parts, query, body):
        active = [j for j in self.jobs.values() if j["state"] == "copying"]
        return 200, {"version": "0.1.0", "ready": True, "hosts": {"total": 2, "ok": 1},
                     "jobs_active": len(active)}

    def paged(self, items, query):
        start = int(query.get("cursor") or 0)
        size = min(int(query.get("limit") or 1000), self.page)
        answer = {"items": items[start:start + size]}
        if start + size < len(items):
            answer["next"] = str(start + size)
        return 200, answer

    def pick(self, items, what, which, *keys):
        for item in items:
            if which in [item.get(k) for k in keys]:
                return item
        raise Refuse(404, "not-found", f"no {what} '{which}'", f"See: godwit {what} list")

    def crud(self, items, record, what, method, parts, query, body):
        if method == "GET" and not parts:
            return self.paged(items, query)
        if method == "POST" and not parts:
            check(record, body, request=True)
            if any(i["name"] == body.get("name") for i in items):
                raise Refuse(409, "conflict", f"a {what} named '{body['name']}' exists",
                             "Choose another name.")
            item = {"id": f"{what}-{len(items) + 1}", **body}
            items.append(item)
            return 201, item
        item = self.pick(items, what, parts[0], "id")
        if method == "PATCH":
            check(record, body, request=True, partial=True)
            item.update(body)
            for name in [n for n, v in item.items() if v is None]:
                del item[name]
            return 200, item
        if method == "DELETE":
            items.remove(item)
            return 204, None
        return 200, item

    def on_host_groups(self, method, parts, query, body):
        if parts[1:] == ["balance"]:
            group = self.pick(self.groups, "group", parts[0], "id", "name")
            return 200, check("gw_balance_status", {
                "group_id": group["id"], "group_name": group["name"],
                "mode": group.get("balance", {}).get("mode", "off"),
                "looked_at": "2024-11-21T10:10:00Z", "figures": BALANCE,
                "waiting_for": "the schedule (mon-fri 20:00-06:00)",
                "recommendation": self.balance_plan(group)})
        return self.crud(self.groups, "gw_group", "group", method, parts, query, body)

    def on_hosts(self, method, parts, query, body):
        if method == "POST" and not parts:
            check("gw_host", body, request=True)
            if "unreachable" in body["uri"]:
                raise Refuse(502, "unreachable", f"{body['uri']} does not answer",
                             "Check that sshd runs there.")
            host = default_host(len(self.hosts) + 1, body.get("name", "new"))
            host.update(body)
            self.hosts.append(host)
            return 201, host
        if parts[1:] == ["check"]:
            host = self.pick(self.hosts, "host", parts[0], "id")
            check("gw_check_request", body, request=True)
            if "peer" in body:
                self.pick(self.hosts, "host", body["peer"], "id", "name")
            return 200, {"items": [check("gw_check_line", {"host_id": host["id"], **line})
                                   for line in self.lines]}
        if parts[1:] == ["maintenance"]:
            host = self.pick(self.hosts, "host", parts[0], "id")
            check("gw_maintenance_request", body, request=True)
            host["maintenance"] = "entering" if body["on"] else "none"
            return 200, host
        if parts[1:] == ["leaving"]:
            host = self.pick(self.hosts, "host", parts[0], "id")
            return 200, {"items": [check("gw_leaving", r) for r in self.leaving(host)]}
        if parts[1:] == ["storage-locations"]:
            host = self.pick(self.hosts, "host", parts[0], "id")
            return 200, {"items": [check("gw_storage_location", row) for row in self.locations]}
        if parts[1:] == ["refresh"]:
            self.pick(self.hosts, "host", parts[0], "id")
            return 204, None
        return self.crud(self.hosts, "gw_host", "host", method, parts, query, body)

    def leaving(self, host):
        """VMs that are off stay, the others go to kvm2."""
        rows = []
        for vm in (v for v in self.vms if v["host_id"] == host["id"]):
            leaves = vm["state"] == "running"
            nearest = {"host_id": "host-2", "host_name": "kvm2", "suitable": leaves,
                       "transfer": "Live" if leaves else "None", "rating": RATINGS[not leaves],
                       "findings": [] if leaves else FINDINGS}
            rows.append({"vm_uuid": vm["uuid"], "vm_name": vm["name"], "state": vm["state"],
                         "leaves": leaves, "hosts": int(leaves), "nearest": nearest})
            if not leaves:
                rows[-1]["why"] = "kvm2: " + FINDINGS[0]["observed"]
        return sorted(rows, key=lambda r: r["leaves"])

    def balance_plan(self, group):
        return {"kind": "balance", "request": {"kind": "balance", "group": group["name"]},
                "made_at": "2024-11-21T10:00:00Z", "fingerprint": "f", "waves": 1, "notes": [],
                "stays": [], "total_ms": {"low": 8000, "likely": 12000, "high": 15000},
                "lower_bound_ms": 9000, "balance": BALANCE,
                "moves": [{"wave": 1, "after": 0, "vm_uuid": U1, "vm_name": "web1",
                           "source_host_id": "host-1", "source_host_name": "kvm1",
                           "destination_host_id": "host-2", "destination_host_name": "kvm2",
                           "transfer": "Live", "starts_ms": 0, "ends_ms": 12000,
                           "gain": 30.4, "downtime_ms": 310,
                           "why": "kvm1 uses 91 % of its CPU, kvm2 23 %; this evens them to 54 "
                                  "and 60; kvm2 has 24.0 GiB of memory left then."}]}

    def on_plans(self, method, parts, query, body):
        if parts == ["apply"]:
            self.applied = check("gw_migration_plan", body)
            return 202, {"id": JOB % 8, "kind": "group-balance", "title": "Balance All Hosts",
                         "state": "queued", "created_at": "2024-11-21T10:12:00Z"}
        check("gw_plan_request", body, request=True)
        if body["kind"] != "balance":
            plan = self.balance_plan({"name": ""})
            del plan["balance"], plan["moves"][0]["gain"]
            return 200, check("gw_migration_plan", dict(plan, kind=body["kind"], request=body))
        group = self.pick(self.groups, "group", body["group"], "id", "name")
        return 200, check("gw_migration_plan", self.balance_plan(group))

    def on_rules(self, method, parts, query, body):
        if not parts and method == "GET":
            return self.paged(self.rules, query)
        return self.crud(self.rules, "gw_placement_rule", "rule", method, parts, query, body)

    def on_rule_conflicts(self, method, parts, query, body):
        return 200, {"items": [check("gw_rule_conflict", c) for c in self.conflicts]}

    def on_join_tokens(self, method, parts, query, body):
        if method == "DELETE":
            self.join_tokens.remove(self.pick(self.join_tokens, "join token", parts[0], "id"))
            return 204, None
        check("gw_join_token", body, request=True)
        token = {"id": f"token-{len(self.join_tokens)}", "host_id": "host-new", **body,
                 "fingerprint": FINGERPRINT, "fabric_id": FABRIC, "token": JOIN_TOKEN,
                 "expires_at": "2024-11-21T11:00:00Z"}
        self.join_tokens.append(token)
        if "host" in body:
            token["host_id"] = self.pick(self.hosts, "host", body["host"], "id", "name")["id"]
        else:
            self.hosts.append(default_host(7, body["name"], id="host-new", status="Connecting"))
        for host in self.hosts:  # as if it joined at once
            if host["id"] == token["host_id"]:
                host.update(status=self.joined_status, status_reason="as the test wants it",
                            uri=f"godwit://192.0.2.9:8447/{token['host_id']}")
        return 201, check("gw_join_token", token)

    def on_cpu_baseline(self, method, parts, query, body):
        if set(query) - {"hosts", "virt_type"}:
            self.wrong.append(f"cpu-baseline: {query}")
        self.asked_baseline = query
        return 200, check("gw_cpu_baseline", self.baseline)

    def on_vms(self, method, parts, query, body):
        if not parts:
            vms = [v for v in self.vms
                   if query.get("host", v["host_id"]) == v["host_id"]
                   and query.get("state", v["state"]) == v["state"]]
            return self.paged(vms, query)
        vm = self.pick(self.vms, "vm", parts[0].removeprefix("kvm1/"), "uuid", "name")
        if parts[1:] == []:
            return 200, vm
        if parts[1:] in (["candidates"], ["placements"]):
            known = {"copy_all", "storage"} | ({"brief"} if parts[1] == "candidates" else set())
            if set(query) - known:
                self.wrong.append(f"{parts[1]}: {query}")
            rows = [{"host_id": "host-2", "host_name": "kvm2", "transfer": "Live",
                     "suitable": True, "findings": FINDINGS[1:], "disks": self.moves,
                     "transfers": self.transfers, "rating": RATINGS[0]},
                    {"host_id": "host-1", "host_name": "kvm1", "transfer": "None",
                     "suitable": False, "findings": FINDINGS, "rating": RATINGS[1]}]
            return 200, {"items": [check("gw_candidate", r) for r in rows]}
        if parts[1:] == ["restart"] and method == "GET":
            return 200, check("gw_restart", self.restart)
        if parts[1:] == ["start"] and method == "POST":
            return 200, {**vm, "state": "running"}
        if parts[1:] == ["migrate"] and method == "POST":
            return self.migrate(vm, query, body)
        if parts[1:] == ["migrate-storage"] and method == "POST":
            return self.migrate_storage(vm, query, body)
        raise Refuse(404, "not-found", "no such action")

    def destination(self, which):
        """A host, or the last of a group."""
        for group in self.groups:
            if which in (group["id"], group["name"]):
                return [h for h in self.hosts if h["group_id"] == group["id"]][-1]
        return self.pick(self.hosts, "host", which, "id", "name")

    def migrate(self, vm, query, body):
        check("gw_move_request", body, request=True)
        target = self.destination(body["destination"])
        suitable = not any(f["severity"] == "error" for f in self.findings)
        if query.get("dry_run") == "true":
            plan = {"vm_uuid": vm["uuid"], "vm_name": vm["name"],
                    "source_host_id": vm["host_id"], "source_host_name": "kvm1",
                    "candidate": {"host_id": target["id"], "host_name": target["name"],
                                  "transfer": "Live", "suitable": suitable,
                                  "findings": self.findings, "disks": self.moves,
                                  "transfers": self.transfers,
                                  "rating": RATINGS[0 if suitable else 1]},
                    "commit_by_resume": True, "method": "Compression (multifd with zstd)",
                    "script_cli": [f"godwit vm migrate {vm['name']} {target['name']}"],
                    "script_virsh": ["virsh migrate --live --persistent web1 "
                                     "qemu+ssh://root@kvm2/system"]}
            return 200, check("gw_move_plan", plan)
        if not suitable and vm["name"] == "web1":
            raise Refuse(422, "refused", f"{vm['name']} cannot move to {target['name']}",
                         "Remove what blocks it, then try again.", self.findings)
        job = self.new_job(steps=self.steps, vm_uuid=vm["uuid"], vm_name=vm["name"],
                           title=f"Migrate {vm['name']} from kvm1 to {target['name']}",
                           source_host_id=vm["host_id"], destination_host_id=target["id"],
                           transfer="Live", options=body.get("options", {}),
                           waiting_for="a free slot on kvm1")
        return 202, job

    def migrate_storage(self, vm, query, body):
        check("gw_storage_request", body, request=True)
        suitable = not any(f["severity"] == "error" for f in self.findings)
        if query.get("dry_run") == "true":
            plan = {"vm_uuid": vm["uuid"], "vm_name": vm["name"],
                    "source_host_id": vm["host_id"], "source_host_name": "kvm1",
                    "candidate": {"host_id": "host-1", "host_name": "kvm1",
                                  "transfer": "Storage", "suitable": suitable,
                                  "findings": self.findings, "disks": self.moves,
                                  "transfers": self.transfers},
                    "commit_by_resume": False,
                    "script_cli": [f"godwit vm migrate-storage {vm['name']} fast"],
                    "script_virsh": ["virsh blockcopy web1 vda --pivot"]}
            return 200, check("gw_move_plan", plan)
        if not suitable:
            raise Refuse(422, "refused", f"{vm['name']} cannot move there", None, self.findings)
        steps = [(0.1, {"state": "copying", "progress": progress(
            phase="disks", percent=40, disk_total_bytes=4 * GIB, disk_processed_bytes=GIB)}),
                 (0.1, {"state": "done", "result": STORAGE_RESULT})]
        return 202, self.new_job(kind="vm-migrate-storage", steps=steps, vm_uuid=vm["uuid"],
                                 vm_name=vm["name"], title=f"Move the disks of {vm['name']}",
                                 disks=disk_moves(how="block copy"), keep_source_s=86400)

    def on_kept_volumes(self, method, parts, query, body):
        if not parts:
            host = self.pick(self.hosts, "host", query["host"], "id", "name")["id"] \
                if "host" in query else None
            kept = [k for k in self.kept if query.get("vm", k["vm_name"]) == k["vm_name"]
                    and host in (None, k["host_id"])]
            return self.paged(kept, query)
        kept = self.pick(self.kept, "kept volume", parts[0], "id")
        if method == "DELETE":
            self.kept.remove(kept)
            return 202, self.new_job(kind="volume-remove", title="Remove the old copy of vda",
                                     steps=[(0.1, {"state": "done"})])
        return 200, kept

    def on_jobs(self, method, parts, query, body):
        if not parts:
            jobs = sorted(self.jobs.values(), key=lambda j: j["id"], reverse=True)
            if query.get("active") == "true":
                jobs = [j for j in jobs if j["state"] not in ("done", "failed", "cancelled")]
            if "vm" in query:
                jobs = [j for j in jobs if query["vm"] in (j.get("vm_name"), j.get("vm_uuid"))]
            return self.paged([without_plan(j) for j in jobs], query)
        job = self.pick(list(self.jobs.values()), "job", parts[0], "id")
        if method == "GET" and query.get("plan") == "false":
            return 200, without_plan(job)
        if method == "PATCH":
            check("gw_job_change", body, request=True, partial=True)
        elif parts[1:] == ["undo"]:
            if query.get("dry_run") == "true":
                return 200, check("gw_undo_plan", {"job_id": job["id"], **self.undo})
            if not self.undo["possible"]:
                raise Refuse(409, "conflict", "it cannot be undone")
            return 202, self.new_job(kind=self.undo["kind"], steps=self.steps, vm_name="web1",
                                     title="Undo: Migrate web1 to kvm1", undoes=job["id"])
        elif parts[1:] == ["cancel"]:
            self.change_job(job["id"], state="cancelled", cancel_requested=True)
        elif parts[1:] == ["settle"]:
            check("gw_settle_request", body, request=True)
            self.change_job(job["id"], state="done", result=RESULT)
        elif parts[1:] == ["post-copy"] and job["state"] != "copying":
            raise Refuse(409, "conflict", f"the job is {job['state']}, not copying")
        return 200, job

    def on_shares(self, method, parts, query, body):
        if method == "POST":
            if not parts:
                check("gw_share", body, request=True)
                self.shares.append({"id": "share-1", "proved": False, **body})
            proved = [(0.1, {"state": "preparing"}), (0.1, {"state": "done"})]
            return 202, self.new_job(kind="share-prove", title="Prove share images",
                                     steps=proved)
        return self.crud(self.shares, "gw_share", "share", method, parts, query, body)
