# SPDX-License-Identifier: LGPL-2.1-or-later
"""A controller whose hosts have agents, as an administrator would set it up."""
import subprocess

from . import labs
from .controller import BUILD, Controller

AGENT = BUILD + "/godwit-agent"


class AgentController(Controller):
    ADDRESS = labs.settings.GATEWAY

    def join(self, name, check=True):
        """Gives the host leave to join, and lets its agent do so."""
        host = labs.host(name)
        leave = self.api.post("/join-tokens", {"name": name, "address": host.address})
        done = subprocess.run(
            host.enter() + [AGENT, "join", "--controller", "%s:%d" % (self.ADDRESS, self.api.port),
                            "--fingerprint", leave["fingerprint"], "--token-file", "-"],
            input=leave["token"] + "\n", text=True, capture_output=True, timeout=30)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def manage_lab(self):
        for name in labs.HOSTS:
            self.join(name)
            labs.agents.start(labs.host(name), AGENT)
        self.wait_hosts()
        statuses = {name: host["status"] for name, host in self.api.hosts().items()}
        assert set(statuses.values()) == {"OK"}, statuses
        self.prove_share()

    def wait_hosts(self, seconds=30):
        labs.eventually("all hosts to be OK", lambda: all(
            row["status"] == "OK" for row in self.api.items("/hosts")), seconds)
