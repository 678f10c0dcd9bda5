# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways from a socket on one host to a socket on the other, for bench/tunnel.py."""
import os
import shutil

from common import agents
from common.agents import AgentController
from common.machine import BenchError
from common.process import Daemon, Program

PKI = "/etc/pki/libvirt"  # each lab host's own: certificates of one authority, for both roles
PORTS = {"direct": 7501, "socat": 7502, "stunnel": 7503, "beside": 7504}


class Carrier:
    """@near is where the source's side is reached, @far where the destination's listens; @beside:
    the same two for another VM, where it has such."""

    name = None
    beside = None
    uuids = {}  # of a far end: the VM whose emulator must listen there

    def __init__(self, lab, folder, build):
        self.lab, self.folder, self.build = lab, folder, os.path.abspath(build)
        self.source, self.target = lab.hosts[0], lab.hosts[1]
        self.daemons = []

    def start(self):
        for daemon in self.daemons:
            daemon.start()

    def stop(self):
        for daemon in self.daemons:
            daemon.stop()

    def pids(self):
        return [pid for daemon in self.daemons for pid in daemon.pids()]

    def path(self, side):
        return "%s/%s-%s" % (self.folder, self.name, side)

    def daemon(self, host, *argv):
        self.daemons.append(Daemon(self.lab.inside(host["name"], *argv), self.path("log")))


class Direct(Carrier):
    """One TCP connection, with nothing between and no secrecy."""
    name = "direct"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.near = self.far = "tcp:%s:%d" % (self.target["address"], PORTS["direct"])
        self.beside = ("tcp:%s:%d" % (self.target["address"], PORTS["beside"]),) * 2


class Socat(Carrier):
    name = "socat"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.near, self.far = "unix:" + self.path("near"), "unix:" + self.path("far")
        tls = ("cert=%s/servercert.pem,key=%s/private/serverkey.pem,cafile=/etc/pki/CA/cacert.pem,"
               "verify=1,openssl-min-proto-version=TLS1.3,nodelay" % (PKI, PKI))
        address = self.target["address"]
        # Its own 8 KiB at a time would be half of a TLS record.
        self.daemon(self.target, "socat", "-b", "65536", "OPENSSL-LISTEN:%d,bind=%s,reuseaddr,fork,"
                    "commonname=%s,%s" % (PORTS["socat"], address, self.source["name"], tls),
                    "UNIX-CONNECT:" + self.path("far"))
        self.daemon(self.source, "socat", "-b", "65536", "UNIX-LISTEN:%s,fork" % self.path("near"),
                    "OPENSSL:%s:%d,commonname=%s,%s" % (address, PORTS["socat"],
                                                        self.target["name"], tls))


STUNNEL = """foreground = yes
pid =
debug = warning
sslVersionMin = TLSv1.3
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
client = %(client)s
accept = %(accept)s
connect = %(connect)s
cert = %(pki)s/servercert.pem
key = %(pki)s/private/serverkey.pem
CAfile = /etc/pki/CA/cacert.pem
verifyChain = yes
"""


class Stunnel(Carrier):
    name = "stunnel"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.near, self.far = "unix:" + self.path("near"), "unix:" + self.path("far")
        tcp = "%s:%d" % (self.target["address"], PORTS["stunnel"])
        self.add(self.target, "no", tcp, self.path("far"))
        self.add(self.source, "yes", self.path("near"), tcp)

    def add(self, host, client, accept, connect):
        config = self.path(host["name"] + ".conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(STUNNEL % {"client": client, "accept": accept, "connect": connect,
                                 "pki": PKI})
        self.daemon(host, "stunnel4", config)


class Agents(Carrier):
    """The agents that a godwitd was joined by; it is ended then, and build/bench/tunnel gives the
    ticket in its place, since no VM is to move."""
    name = "agents"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.controller = AgentController(self.build, self.lab)
        self.permit = None
        self.near = self.far = None

    def start(self):
        self.controller.start()
        self.controller.add_lab()
        ids = {host["name"]: host["id"] for host in self.controller.items("/hosts")}
        self.controller.stop()
        ends = ["%s=%s:%d" % (ids[host["name"]], host["address"], agents.PORT)
                for host in (self.source, self.target)]
        self.permit = Program([self.build + "/bench/tunnel", "permit", "--authority",
                               self.controller.folder + "/state/fabric", "--source", ends[0],
                               "--destination", ends[1], "--vms", "2"])
        self.permit.__enter__()
        self.near, other = ("unix:" + vm["path"] for vm in self.permit.said)
        self.far, self.beside = self.near, (other, other)
        self.uuids = {"unix:" + vm["path"]: vm["uuid"] for vm in self.permit.said}

    def stop(self):
        if self.permit is not None:
            self.permit.__exit__()
        self.controller.__exit__()

    def pids_on(self, host):
        return agents.pids(self.lab, host["name"])

    def pids(self):
        return self.pids_on(self.source) + self.pids_on(self.target)


CARRIERS = {kind.name: kind for kind in (Direct, Agents, Socat, Stunnel)}
NEEDS = {"socat": "socat", "stunnel": "stunnel4"}


def check_installed(names):
    for name in names:
        if name in NEEDS and shutil.which(NEEDS[name]) is None:
            raise BenchError("%s is missing: scripts/install-packages bench, or --carrier "
                             "without %s" % (NEEDS[name], name))
