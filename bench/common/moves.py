# SPDX-License-Identifier: LGPL-2.1-or-later
"""One move of a lab guest by one tool, measured from outside and checked."""
import re
import subprocess
import time
import urllib.parse

from .machine import BenchError, cpu_busy, load

# What `virsh domjobinfo --completed` says of a finished move, on its destination, whoever asked for
# the move: the hypervisor's own figures are the same for all tools.
STATISTICS = {"copy_ms": "time_elapsed", "downtime_qemu_ms": "downtime",
              "sent_bytes": "memory_processed", "iterations": "memory_iteration"}


def peer_uri(host):
    """The URI by which another host's libvirt reaches it: without this machine's own key files."""
    return urllib.parse.urlunsplit(urllib.parse.urlsplit(host["uri"])._replace(query=""))


def virsh(source, target, guest, direct):
    """The same as what Godwit asks of libvirt: persistent, auto-converging, over the same address.
    --unsafe because libvirt takes a shared folder for a local one, which for Godwit is proved."""
    argv = ["virsh", "-c", source["uri"], "migrate", "--live"]
    argv += [] if direct else ["--p2p"]
    argv += ["--persistent", "--undefinesource", "--unsafe", "--auto-converge",
             "--migrateuri", "tcp://" + target["address"], guest]
    return argv + [target["uri"] if direct else peer_uri(target)]


def godwit(controller, target, guest, method):
    argv = [controller.build + "/godwit", "vm", "migrate", guest, target["name"]]
    return argv + (["--method", method] if method else [])


TOOLS = {
    "virsh-p2p": lambda c, s, t, g: virsh(s, t, g, False),
    "virsh-direct": lambda c, s, t, g: virsh(s, t, g, True),
    "godwit-standard": lambda c, s, t, g: godwit(c, t, g, "standard"),
    "godwit-default": lambda c, s, t, g: godwit(c, t, g, None),
    "agent-standard": lambda c, s, t, g: godwit(c, t, g, "standard"),
    "agent-default": lambda c, s, t, g: godwit(c, t, g, None),
}


def is_agents(tool):
    """Whether it is asked of the controller whose hosts have agents."""
    return tool.startswith("agent-")


def where_is(lab, guest):
    """The host it runs on, and the other one; it must be on exactly one, and defined on no other."""
    states = {host["name"]: lab.state(host["name"], guest) for host in lab.hosts}
    here = [name for name, state in states.items() if state is not None]
    if len(here) != 1 or states[here[0]] != "running":
        raise BenchError("%s is %s" % (guest, states))
    source = lab.host(here[0])
    return source, next(host for host in lab.hosts if host is not source)


def wait_until_seen(controller, lab, guest, source, patience=20):
    """Until Godwit knows what another tool did."""
    ids = {host["name"]: host["id"] for host in controller.items("/hosts")}
    deadline = time.monotonic() + patience
    while True:
        found = [vm for vm in controller.items("/vms?name=" + guest)]
        if len(found) == 1 and found[0]["host_id"] == ids[source["name"]] and \
                found[0]["state"] == "running" and "job_id" not in found[0]:
            return
        if time.monotonic() > deadline:
            raise BenchError("Godwit does not see %s on %s: %s" % (guest, source["name"], found))
        time.sleep(0.1)


def statistics(lab, target, guest):
    said = lab.virsh(target["name"], "domjobinfo", guest, "--completed", "--rawstats").stdout
    found = dict(re.findall(r"^(\w+):\s+(\d+)\s*$", said, re.M))
    return {key: int(found[name]) if name in found else None for key, name in STATISTICS.items()}


def quiet_before(options):
    """Waits a little for others; how busy the machine is then goes with the figures."""
    deadline = time.monotonic() + options.move_patience
    busy = cpu_busy(1)
    while busy > options.move_busy and time.monotonic() < deadline:
        time.sleep(2)
        busy = cpu_busy(1)
    return busy


def check_way(controller, guest):
    """The last move of the guest went through the agents, as its job says."""
    jobs = [job for job in controller.items("/jobs") if job.get("vm_name") == guest]
    if not jobs or not max(jobs, key=lambda job: job["created_at"]).get("through_agents"):
        raise BenchError("the move of %s did not go through the agents" % guest)


def measure(tool, controller, lab, guest, options):
    """One move. Raises where the guest, the hosts or the witness say that anything went wrong."""
    source, target = where_is(lab, guest)
    wait_until_seen(controller, lab, guest, source)
    busy = quiet_before(options)
    lab.witness(guest, reset=True)
    argv = TOOLS[tool](controller, source, target, guest)
    at, begun = time.time(), time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          env=controller.environment())
    wall = time.monotonic() - begun
    if done.returncode != 0:
        raise BenchError("%s: exit %d: %s" % (tool, done.returncode,
                                              (done.stderr or done.stdout).strip()[-600:]))
    now, _ = where_is(lab, guest)
    if now is not target:
        raise BenchError("%s: %s is still on %s" % (tool, guest, source["name"]))
    if is_agents(tool):
        check_way(controller, guest)
    time.sleep(1)  # what the guest has to say after it
    seen = lab.witness(guest, since=at)
    if seen["problems"]:
        raise BenchError("%s: the witness saw: %s" % (tool, "; ".join(seen["problems"])))
    row = seen["guests"][guest]
    return dict(statistics(lab, target, guest), tool=tool, wall_s=wall, busy=busy, load=load(),
                downtime_ms=row["max_gap_ms"], downtime_stopped_ms=row["max_gap_stopped_ms"],
                direction="%s to %s" % (source["name"], target["name"]))
