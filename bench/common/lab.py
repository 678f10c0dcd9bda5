# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lab of the bench's own (lab/README.md): real hosts, guests that check themselves, a witness."""
import json
import os
import subprocess
import sys
import time

from .machine import BenchError, SOURCE

NAME = os.environ.get("GODWIT_LAB_NAME", "bnch")


class Lab:
    """Two hosts or more, up while this is entered; guests and hosts go with it."""

    def __init__(self, rate="none", hosts=2):
        self.rate_word = rate
        self.count = hosts
        self.hosts = []
        self.shared = None
        self.gateway = None
        self.environment = dict(os.environ, GODWIT_LAB_NAME=NAME)

    def lab(self, *arguments, check=True):
        argv = [SOURCE + "/lab/lab"] + list(arguments)
        done = subprocess.run(argv, capture_output=True, text=True, env=self.environment,
                              check=False)
        if check and done.returncode != 0:
            raise BenchError("%s: %s" % (" ".join(argv), (done.stderr or done.stdout).strip()))
        return done.stdout

    def __enter__(self):
        if os.geteuid() != 0:
            raise BenchError("the lab needs root")
        print("lab '%s' comes up" % NAME, file=sys.stderr)
        try:
            self.lab("up", "--hosts", str(self.count), "--rate", self.rate_word)
            status = self.status()
        except BaseException:
            self.lab("down", check=False)
            raise
        self.hosts = status["hosts"]
        self.shared = status["shared_dir"]
        self.gateway = status["gateway"]
        return self

    def __exit__(self, *_unused):
        self.lab("down")

    def status(self):
        return json.loads(self.lab("status", "--json"))

    def versions(self):
        return ", ".join("%s libvirt %s QEMU %s" % (host["name"], host["libvirt"], host["qemu"])
                         for host in self.hosts)

    def host(self, name):
        return next(host for host in self.hosts if host["name"] == name)

    def inside(self, name, *argv):
        """A command line that runs something inside a host, as the same process."""
        keeper = self.host(name)["keeper_pid"]
        return ["nsenter", "-t", str(keeper), "-m", "-n", "-u", "--"] + list(argv)

    def rate(self, word):
        self.lab("rate", word)
        self.rate_word = word

    # Guests ---------------------------------------------------------------------------------------

    def start_guest(self, name, memory, disk="shared", *more):
        self.lab("guest", "start", name, "--host", "kvm1", "--memory", str(memory), "--disk", disk,
                 *more)

    def stop_guest(self, name):
        self.lab("guest", "stop", name)

    def tell(self, name, *words):
        return self.lab("guest", "tell", name, *words)

    def witness(self, name, since=None, reset=False):
        """What the witness saw of a guest; `problems` is empty where all is well."""
        argv = ["witness", "report", "--json", "--guest", name]
        argv += ["--since", "%f" % since] if since is not None else []
        argv += ["--reset"] if reset else []
        found = json.loads(self.lab(*argv, check=False) or "{}")
        if "guests" not in found:
            raise BenchError("the witness does not answer")
        return found

    def virsh(self, host, *arguments, check=True):
        """virsh on this machine, as an administrator's would be: over the host's TLS socket."""
        argv = ["virsh", "-c", self.host(host)["uri"]] + list(arguments)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise BenchError("%s: %s" % (" ".join(argv), done.stderr.strip()))
        return done

    def state(self, host, guest):
        """libvirt's word, or None where the host does not know it."""
        done = self.virsh(host, "domstate", guest, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_for_pass(self, name, passes=2, patience=300):
        """Until the guest has read back all of its memory once more (the pass under way does not
        count)."""
        wanted = self.witness(name)["guests"][name]["verify_passes"] + passes
        deadline = time.monotonic() + patience
        while self.witness(name)["guests"][name]["verify_passes"] < wanted:
            if time.monotonic() > deadline:
                raise BenchError("%s does not finish reading its memory back" % name)
            time.sleep(0.5)
