"""What the QEMUs themselves say, by a socket of their own that libvirt knows nothing of."""
import glob
import json
import os
import socket

from .hosts import known_hosts, members
from .run import command_line


def ask(path, *commands):
    """Runs QMP commands on one socket and returns their results; OSError when nobody answers."""
    handle = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    handle.settimeout(3)
    folder = os.open(os.path.dirname(path), os.O_PATH)
    try:
        # A unix socket's address holds 108 bytes; through a handle any path fits.
        handle.connect("/proc/self/fd/%d/%s" % (folder, os.path.basename(path)))
        stream = handle.makefile("rw")
        json.loads(stream.readline())
        results = []
        for command in ("qmp_capabilities",) + commands:
            stream.write(json.dumps({"execute": command}) + "\n")
            stream.flush()
            results.append(next_result(stream))
        return results[1:]
    finally:
        os.close(folder)
        handle.close()


def next_result(stream):
    while True:
        line = stream.readline()
        if not line:
            raise OSError("QEMU closed its socket")
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(answer["error"].get("desc", "QMP error"))
        if "return" in answer:
            return answer["return"]


def option(arguments, name):
    """The value that follows -name on a QEMU's command line."""
    for word, value in zip(arguments, arguments[1:]):
        if word == name:
            return value
    return ""


def running_qemus():
    """Every QEMU of the lab's hosts: {host, pid, name, uuid, status, running}; running is None when
    the QEMU does not answer, which is not the same as stopped."""
    found = []
    for member in members():
        arguments = command_line(member["pid"])
        uuid = option(arguments, "-uuid")
        if not uuid or "qemu" not in os.path.basename(arguments[0]):
            continue
        name = option(arguments, "-name").replace("guest=", "").split(",")[0]
        row = {"host": member["host"], "pid": member["pid"], "name": name, "uuid": uuid,
               "status": "no answer", "running": None}
        # By the process's own root, so that one is seen whose host is otherwise gone.
        path = "/proc/%d/root/run/libvirt/gw-%s.sock" % (member["pid"], name)
        try:
            status = ask(path, "query-status")[0]
            row.update(status=status["status"], running=status["running"])
        except (OSError, ValueError) as error:
            row["status"] = "no answer: %s" % error
        found.append(row)
    return sorted(found, key=lambda row: (row["name"], row["host"]))


def doubles(qemus):
    """UUIDs with more than one QEMU whose CPUs run."""
    hosts = {}
    for row in qemus:
        if row["running"]:
            hosts.setdefault(row["uuid"], []).append("%s (pid %d)" % (row["host"], row["pid"]))
    return {uuid: where for uuid, where in hosts.items() if len(where) > 1}


def stale_sockets():
    """Sockets no process holds: what a killed QEMU left."""
    live = {(row["host"], row["name"]) for row in running_qemus()}
    return [path for host in known_hosts() if host.keeper_pid()
            for path in glob.glob(host.base + "/run/gw-*.sock")
            if (host.name, os.path.basename(path)[3:-5]) not in live]
