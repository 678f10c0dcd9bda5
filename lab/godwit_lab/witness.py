"""The witness from the lab's side: starting it, asking it, and reading its findings to a person."""
import json
import os
import socket

from . import qmp
from .hosts import spawn
from .run import is_same_process, kill_all, read_json, record_of, wait_for, write_json
from .settings import CACHE, CONTROL_PORT, GATEWAY, LabError, WITNESS

SOCKET = WITNESS + "/socket"
SILENCE_MS = 1000


def is_running():
    return is_same_process(read_json(WITNESS + "/process.json"))


def command(text):
    """One command to the witness, and its answer."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    try:
        client.connect(SOCKET)
        client.sendall(text.encode() + b"\n")
        parts = []
        while True:
            part = client.recv(1 << 16)
            if not part:
                return b"".join(parts).decode()
            parts.append(part)
    except OSError as error:
        raise LabError("the witness does not answer: run `lab/lab witness start`") from error
    finally:
        client.close()


def start():
    if is_running():
        return
    os.makedirs(WITNESS, exist_ok=True)
    record = record_of(spawn([CACHE + "/bin/witness", GATEWAY, SOCKET], WITNESS + "/log"))
    write_json(WITNESS + "/process.json", record)

    def listens():
        if not is_same_process(record):
            with open(WITNESS + "/log", encoding="utf-8", errors="replace") as text:
                raise LabError("the witness ended: %s (is the lab up?)" % text.read()[-300:])
        return os.path.exists(SOCKET)

    wait_for("witness", listens, 5)


def stop():
    record = read_json(WITNESS + "/process.json")
    if is_same_process(record):
        kill_all([record], patience=1)
    for path in (SOCKET, WITNESS + "/process.json"):
        if os.path.exists(path):
            os.unlink(path)


def is_silent(row):
    """A guest that runs says something every millisecond; one unknown here may still be booting."""
    return row is not None and row["last_seen_ms_ago"] > SILENCE_MS


def report(guest=None, since=None, look_at_hosts=True):
    """All findings: heartbeats' and, unless told not to, which QEMUs run now."""
    found = json.loads(command("report" if since is None else "report %f" % since))
    if guest is not None:
        found["guests"] = {name: row for name, row in found["guests"].items() if name == guest}
        if not found["guests"]:
            raise LabError("the witness never heard of guest %r" % guest)
    problems = ["%s: %s" % (name, problem) for name, row in sorted(found["guests"].items())
                for problem in row["problems"]]
    if look_at_hosts:
        qemus = [row for row in qmp.running_qemus() if guest in (None, row["name"])]
        found["qemus"] = qemus
        found["doubles"] = qmp.doubles(qemus)
        problems += ["%s: runs on %s, but is silent" % (row["name"], row["host"]) for row in qemus
                     if row["running"] and is_silent(found["guests"].get(row["name"]))]
        problems += ["%s: runs on %s" % (uuid, " and ".join(where))
                     for uuid, where in sorted(found["doubles"].items())]
    found["problems"] = problems
    found["verdict"] = "faults" if problems else "clean"
    return found


def table(found):
    """The report for a person."""
    columns = ["GUEST", "RECEIVED", "LOST", "MEDIAN", "99.9 %", "MAX GAP", "STOPPED", "GAPS>20",
               "SENDERS", "MEM ERR", "DISK ERR", "BOOTS", "SEEN", "VERDICT"]
    rows = [columns]
    for name, row in sorted(found["guests"].items()):
        rows.append([name, row["received"], row["lost"], "%.2f ms" % row["median_ms"],
                     "%.2f ms" % row["p999_ms"], "%.1f ms" % row["max_gap_ms"],
                     "%.1f ms" % row["max_gap_stopped_ms"], len(row["gaps_over_20ms"]),
                     row["senders"], row["verify_errors"], row["disk_errors"], row["boots"],
                     "%.0f ms ago" % row["last_seen_ms_ago"],
                     ", ".join(row["problems"]) or "clean"])
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(columns))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in rows]
    for name, row in sorted(found["guests"].items()):
        lines += ["%s: %s" % (name, text) for text in row["doubled_evidence"]]
    for row in found.get("qemus", []):
        lines.append("%s on %s: QEMU %d %s" % (row["name"], row["host"], row["pid"],
                                               row["status"]))
    lines.append("verdict: " + found["verdict"])
    return "\n".join(lines + ["  " + problem for problem in found["problems"]])


def tell_guest(address, text, seconds=2.0):
    """Sends one of the lab's commands to a guest; returns its answer."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(seconds)
    try:
        client.sendto(b"lab " + text.encode(), (address, CONTROL_PORT))
        return client.recv(1500).decode()
    except OSError as error:
        raise LabError("guest %s does not answer on UDP port %d: %s" % (
            address, CONTROL_PORT, error)) from error
    finally:
        client.close()
