# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab, seen from tests: its own modules, and faults."""
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/lab")

from godwit_lab import agents  # noqa: E402
from godwit_lab import guests as lab_guests, hosts, net, qmp, settings  # noqa: E402
from godwit_lab import storage as lab_storage, witness  # noqa: E402,F401
from godwit_lab.run import (LabError, lock as hosts_lock, read_json,  # noqa: E402,F401
                            write_json)

HOSTS = ("kvm1", "kvm2")


def command(*words, check=True):
    done = subprocess.run([ROOT + "/lab/lab"] + list(words), text=True, capture_output=True,
                          timeout=400)
    if check:
        assert done.returncode == 0, "lab %s: %s%s" % (" ".join(words), done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def up(*options, storage=(), anew=False, keep=False):
    """A lab by `lab up OPTIONS`, until the end unless it is to be kept; @anew: none of before."""
    command("install")
    try:
        if anew:
            command("down")
        command("up", *options)
        if storage:
            command("storage", *storage)
        yield
    finally:
        if not keep:
            command("down")


def host(name):
    return hosts.find_host(name)


def other(name):
    return HOSTS[1 - HOSTS.index(name)]


def virsh(name, *words, check=True):
    return host(name).virsh(*words, check=check)


def rate(text):
    write_json(settings.STATE + "/rate.json", text)
    for each in hosts.known_hosts():
        net.shape(each.name, each.keeper_pid(), text)


def libvirtd(name, action):
    """kill, stop or cont, at once; or start, and wait until it answers."""
    if action == "start":
        hosts.restart_libvirtd(host(name))
    else:
        hosts.signal_libvirtd(host(name), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP,
                                           "cont": signal.SIGCONT}[action])


def agent(name, action):
    """kill, stop, cont or start the host's agent."""
    if action == "start":
        agents.start(host(name))
    else:
        agents.send(host(name), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP,
                                 "cont": signal.SIGCONT}[action])


def start_later(name, seconds):
    """Starts the host's libvirtd after a while, as a service manager would."""
    timer = threading.Timer(seconds, libvirtd, (name, "start"))
    timer.start()
    return timer


def locks(hold):
    """Whether the image locks of QEMUs that start from now on hold between the hosts."""
    for each in hosts.known_hosts():
        hosts.restart_libvirtd(each, hold)


def thaw(rows):
    """Lets processes go on; one of them may be ending just now."""
    for row in rows:
        with contextlib.suppress(ProcessLookupError):
            os.kill(row["pid"], signal.SIGCONT)


def mend():
    """Thaws and starts what a test, or its failure, left stopped."""
    for each in hosts.known_hosts():
        if each.libvirtd_pid() is not None:
            hosts.signal_libvirtd(each, signal.SIGCONT)
        else:
            hosts.restart_libvirtd(each)
        if agents.wanted() and os.listdir(each.base + "/agent"):
            thaw(agents.processes(each))
            agents.start(each)
    thaw(qmp.running_qemus())
    if (read_json(settings.STATE + "/rate.json") or "none") != "none":
        rate("none")


def qemus(uuid=None):
    """What the process table says: every QEMU inside the lab's hosts."""
    return [row for row in qmp.running_qemus() if uuid in (None, row["uuid"])]


def eventually(what, probe, seconds=15, pause=0.1):
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, "%s: not within %g s" % (what, seconds)
        time.sleep(pause)
