# SPDX-License-Identifier: LGPL-2.1-or-later
"""A controller whose hosts have agents. The lab is the ordinary one, whose libvirtds listen as well,
so that whatever takes turns with the agents does so on the same hosts and the same guest."""
import os
import subprocess

from .controller import Controller
from .machine import BenchError
from .process import tree

PORT = 8447


class AgentController(Controller):
    def __init__(self, build, lab):
        super().__init__(build, address=lab.gateway)
        self.lab = lab
        self.agent = os.path.abspath(build) + "/godwit-agent"

    def add_lab(self):
        """Each host's agent joins and is started; waits until all hosts are OK, not limited."""
        for host in self.lab.hosts:
            self.join(host)
            self.lab.lab("agent", host["name"], "start", "--program", self.agent)
        self.wait_until_ok(len(self.lab.hosts), 60, word="OK")

    def join(self, host):
        leave = self.call("POST", "/join-tokens", {"name": host["name"],
                                                   "address": host["address"]})
        argv = self.lab.inside(host["name"], self.agent, "join", "--controller",
                               "%s:%d" % (self.address, self.port), "--fingerprint",
                               leave["fingerprint"], "--token-file", "-")
        done = subprocess.run(argv, input=leave["token"] + "\n", text=True, capture_output=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise BenchError("%s does not join: %s" % (host["name"], done.stderr.strip()[-600:]))


def pids(lab, name):
    """The agent's two processes on a host."""
    found = next(host["agent_pid"] for host in lab.status()["hosts"] if host["name"] == name)
    if found is None:
        raise BenchError("the agent of %s does not run" % name)
    return tree(found)
