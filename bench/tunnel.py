# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agents' tunnel between two hosts, beside direct TCP and two TLS 1.3 forwarders.

The carriers take turns: bytes that nobody can compress from a program on one host to a program on
the other, as many streams as said, each a connection to a unix socket (of direct: TCP). After a
second's run-up, during --seconds:
  MiB/s     what the receiving program got
  carry     CPU seconds of the carrying processes for each GiB (agents: both processes of both hosts)
  all       the same with the sending and the receiving program
  round     one byte there and back through the same sockets, median and 99 % of --count, one after
            the other, with nothing else going on; and of direct and agents while a stream of
            another VM takes all that it can get
  RSS       of the agent's two processes together: before the first stream, and at the end of a
            --seconds with so many
The agents are real godwit-agents that joined a godwitd; the stream is a ticket's migration stream of
a VM that does not exist. All programs share this machine's cores."""
import os
import shutil
import sys
import tempfile
import time

import carriers
from common import lab as labs
from common import report
from common.machine import BenchError, cpu_busy
from common.process import Program, cpu_seconds, memory_kib

BASE = "direct"
GIB, MIB = 1024 ** 3, 1024 ** 2


def add_options(parser):
    parser.add_argument("--carrier", nargs="+", default=list(carriers.CARRIERS),
                        choices=list(carriers.CARRIERS))
    parser.add_argument("--link", nargs="+", default=["none", "1gbit"], metavar="RATE")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument("--memory-streams", type=int, nargs="+", default=[1, 8], metavar="N",
                        help="how many for the agents' memory (1 8)")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (4)")
    parser.add_argument("--count", type=int, default=2000, help="round trips of each run (2000)")
    parser.add_argument("--turn-busy", type=float, default=0.3, metavar="SHARE",
                        help="before each turn wait until no more of the cores is busy (0.3)")
    parser.add_argument("--turn-patience", type=float, default=20, metavar="SECONDS",
                        help="at most that long (20)")


class Values:
    """Every value, by what it is of."""

    def __init__(self):
        self.found = {}

    def add(self, key, **figures):
        for name, value in figures.items():
            self.found.setdefault(key, {}).setdefault(name, []).append(value)

    def row(self, key, name):
        values = self.found.get(key, {}).get(name, [])
        return report.row(": ".join(str(word) for word in key + (name,)), name.rpartition("_")[2],
                          values)

    def rows(self):
        return [self.row(key, name) for key, names in self.found.items() for name in names]


class Bench:
    def __init__(self, options, lab, folder):
        self.options, self.lab = options, lab
        # The agents connect to nothing that is not called like an emulator.
        self.program = folder + "/qemu-tunnel"
        os.symlink(os.path.abspath(options.build) + "/bench/tunnel", self.program)
        self.carriers = [carriers.CARRIERS[name](lab, folder, options.build)
                         for name in options.carrier]
        self.values = Values()

    def sends(self, carrier, what, ends, *more):
        return Program(self.lab.inside(carrier.source["name"], self.program, what, *more, *ends),
                       patience=120)

    def listens(self, carrier, what, far):
        uuid = ["--uuid", carrier.uuids[far]] if far in carrier.uuids else []
        return Program(self.lab.inside(carrier.target["name"], self.program, what, far, *uuid))

    def quiet(self):
        deadline = time.monotonic() + self.options.turn_patience
        while cpu_busy(0.5) > self.options.turn_busy and time.monotonic() < deadline:
            time.sleep(1)

    def sample(self, carrier, sink, blast):
        count = sink.ask()
        carrying = cpu_seconds(carrier.pids())
        return {"at": count["us"] / 1e6, "bytes": count["bytes"], "carry": carrying,
                "all": carrying + cpu_seconds(sink.pids() + blast.pids())}

    def wait_until_flowing(self, sink, streams):
        deadline = time.monotonic() + 10
        while True:
            got = sink.ask()["bytes"]
            if len(got) == streams and min(got) > 0:
                return
            if time.monotonic() > deadline:
                raise BenchError("of %d streams %d bring bytes" % (
                    streams, sum(each > 0 for each in got)))
            time.sleep(0.05)

    def pour(self, carrier, streams, at_end=None):
        """The difference of two samples while @streams streams run."""
        with self.listens(carrier, "sink", carrier.far) as sink:
            with self.sends(carrier, "blast", [carrier.near] * streams) as blast:
                self.wait_until_flowing(sink, streams)
                time.sleep(1)
                first = self.sample(carrier, sink, blast)
                time.sleep(self.options.seconds)
                last = self.sample(carrier, sink, blast)
                if at_end is not None:
                    at_end()
        seconds = last["at"] - first["at"]
        got = sum(last["bytes"]) - sum(first["bytes"])
        if got == 0:
            raise BenchError("%s: nothing came through" % carrier.name)
        return {"mib_per_s": got / MIB / seconds,
                "carry_s_per_gib": (last["carry"] - first["carry"]) * GIB / got,
                "all_s_per_gib": (last["all"] - first["all"]) * GIB / got}

    def ping(self, carrier, near, far):
        with self.listens(carrier, "pong", far):
            with self.sends(carrier, "ping", [near], "--count", str(self.options.count)) as ping:
                return {key: ping.said[key] for key in ("median_us", "p99_us")}

    def ping_beside(self, carrier):
        """The same while another VM's stream takes all it can get."""
        with self.listens(carrier, "sink", carrier.far) as sink:
            with self.sends(carrier, "blast", [carrier.near]):
                self.wait_until_flowing(sink, 1)
                time.sleep(1)
                return self.ping(carrier, *carrier.beside)

    def memory(self, carrier, streams):
        for host in (carrier.source, carrier.target):
            found = memory_kib(carrier.pids_on(host))
            side = "source" if host is carrier.source else "destination"
            self.values.add(("agent", side, "%d streams" % streams if streams else "idle"),
                            rss_mib=found["rss"] / 1024, pss_mib=found["pss"] / 1024)

    def turn(self, carrier, link):
        for streams in self.options.streams:
            self.quiet()
            got = self.pour(carrier, streams)
            self.values.add((link, streams, carrier.name), **got)
            print("%s, %d streams, %s: %.0f MiB/s, %.2f s/GiB" % (
                link, streams, carrier.name, got["mib_per_s"], got["carry_s_per_gib"]),
                file=sys.stderr, flush=True)
        self.quiet()
        self.values.add((link, "alone", carrier.name),
                        **self.ping(carrier, carrier.near, carrier.far))
        if carrier.beside is not None:
            self.quiet()
            self.values.add((link, "beside a stream", carrier.name), **self.ping_beside(carrier))

    def run(self):
        for carrier in self.carriers:
            carrier.start()
        time.sleep(1)
        agent = next((each for each in self.carriers if each.name == "agents"), None)
        if agent is not None:
            time.sleep(5)
            self.memory(agent, 0)
        for link in self.options.link:
            self.lab.rate(link)
            for number in range(self.options.runs):
                for carrier in self.carriers if number % 2 == 0 else self.carriers[::-1]:
                    self.turn(carrier, link)
        self.lab.rate("none")
        for _ in range(self.options.runs if agent is not None else 0):
            for streams in self.options.memory_streams:
                self.pour(agent, streams, lambda n=streams: self.memory(agent, n))

    def stop(self):
        for carrier in self.carriers:
            carrier.stop()


def link_word(link):
    return "unshaped" if link == "none" else link


def speed_table(options, values):
    lines = []
    for link in options.link:
        for streams in options.streams:
            base = values.row((link, streams, BASE), "mib_per_s")
            for name in options.carrier:
                rows = [values.row((link, streams, name), key)
                        for key in ("mib_per_s", "carry_s_per_gib", "all_s_per_gib")]
                lines.append([link_word(link), "%d" % streams, name, "%d" % rows[0]["n"],
                              rows[0]["median"], "%s-%s" % (report.number(rows[0]["min"]),
                                                            report.number(rows[0]["max"])),
                              report.ratio("", rows[0], base)["ratio"]] +
                             [row["median"] for row in rows[1:]])
    return report.table(["LINK", "STREAMS", "CARRIER", "RUNS", "MiB/s", "LEAST-MOST", "x",
                         "CARRY s/GiB", "ALL s/GiB"], lines)


def delay_table(options, values):
    lines = []
    for link in options.link:
        for what in ("alone", "beside a stream"):
            base = values.row((link, what, BASE), "median_us")["median"]
            for name in options.carrier:
                middle, late = (values.row((link, what, name), key)
                                for key in ("median_us", "p99_us"))
                if middle["n"] > 0:
                    lines.append([link_word(link), what, name, "%d" % middle["n"],
                                  middle["median"], middle["median"] - base if base else None,
                                  late["median"]])
    return report.table(["LINK", "", "CARRIER", "RUNS", "MEDIAN us", "ADDED us", "99 % us"], lines)


def memory_table(values):
    lines = []
    for key in values.found:
        if key[0] == "agent":
            rss, pss = (values.row(key, name) for name in ("rss_mib", "pss_mib"))
            lines.append([key[2], key[1], "%d" % rss["n"], rss["median"], rss["max"],
                          pss["median"]])
    return report.table(["STREAMS", "AGENT OF THE", "RUNS", "RSS MiB", "MOST", "PSS MiB"],
                        lines) if lines else "-"


def run(options):
    carriers.check_installed(options.carrier)
    folder = tempfile.mkdtemp(prefix="godwit-tunnel-")
    try:
        with labs.Lab() as lab:
            bench = Bench(options, lab, folder)
            try:
                bench.run()
            finally:
                bench.stop()
            return {"machine": {"hosts": lab.versions()}, "figures": bench.values.rows(),
                    "notes": ["x: ratio of medians to %s; medians over the runs" % BASE],
                    "tables": {"throughput": speed_table(options, bench.values),
                               "round trips of one byte": delay_table(options, bench.values),
                               "the agent's memory": memory_table(bench.values)}}
    finally:
        shutil.rmtree(folder)
