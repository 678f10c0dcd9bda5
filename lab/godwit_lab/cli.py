"""The lab's command line."""
import argparse
import json
import os
import shutil
import signal
import sys
import time

from . import agents, guests, hosts, install, net, storage, witness
from .run import lock, read_json, run, write_json
from .settings import BRIDGE, CACHE, GATEWAY, LOCAL, LabError, SHARED, STATE


def do_install(_options):
    with lock():
        install.install()


def do_up(options):
    begun = time.monotonic()
    with lock():
        install.require_installed()
        rate = options.rate or read_json(STATE + "/rate.json") or "none"
        if rate != "none":
            net.rate_bits(rate)
        hosts.up(options.hosts, options.stock, rate, options.agents)
        witness.start()
    for host in hosts.known_hosts():
        print("%-8s %s" % (host.name, host.address if agents.wanted() else host.uri))
    print("up after %.1f s" % (time.monotonic() - begun))


def do_down(options):
    with lock():
        witness.stop()
        hosts.down()
        if not options.purge:
            for name in ("rate.json", "witness"):
                path = STATE + "/" + name
                shutil.rmtree(path) if os.path.isdir(path) else \
                    os.path.exists(path) and os.unlink(path)
        else:
            purge()


def purge():
    """All of this lab; the cache as well if it is its own, and no other lab lives by it."""
    users = hosts.other_labs() if CACHE.startswith(STATE + "/") else []
    for name in os.listdir(STATE):
        path = os.path.join(STATE, name)
        if users and path == CACHE:
            print("the cache stays, which other labs use: " + " ".join(sorted(users)))
        elif os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    if not os.listdir(STATE):
        os.rmdir(STATE)


def status():
    rows = []
    for host in hosts.known_hosts():
        versions = read_json(host.base + "/versions.json") or {}
        rows.append({"name": host.name, "uri": None if agents.wanted() else host.uri,
                     "address": host.address, "agent_pid": agents.pid(host),
                     "libvirt": versions.get("libvirt"), "qemu": versions.get("qemu"),
                     "keeper_pid": host.keeper_pid(), "libvirtd_pid": host.libvirtd_pid(),
                     "socket": host.base + "/run/libvirt-sock",
                     "up": host.keeper_pid() is not None and host.libvirtd_pid() is not None})
    return {"state_dir": STATE, "hosts": rows, "guests": guests.listing(),
            "rate": read_json(STATE + "/rate.json") or "none", "shared_dir": SHARED,
            "local_dir": LOCAL, "bridge": BRIDGE, "gateway": GATEWAY,
            "witness": witness.is_running()}


def do_status(options):
    found = status()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for host in found["hosts"]:
        print("%-8s %-4s %-15s libvirt %-8s QEMU %-8s %s" % (
            host["name"], "up" if host["up"] else "DOWN", host["address"], host["libvirt"],
            host["qemu"], host["uri"] or "agent " + ("runs" if host["agent_pid"] else "is off")))
    for guest in found["guests"]:
        print("guest %-12s %-15s %s" % (guest["name"], guest["address"], ", ".join(
            "%s on %s" % (state, where) for where, state in guest["hosts"].items()) or "gone"))
    print("rate %s; witness %s; shared folder %s" % (
        found["rate"], "runs" if found["witness"] else "is stopped", found["shared_dir"]))
    if not found["hosts"]:
        print("no hosts: run `lab/lab up`")
    return 0


def do_rate(options):
    with lock():
        if options.rate != "none":
            net.rate_bits(options.rate)
        write_json(STATE + "/rate.json", options.rate)
        for host in hosts.known_hosts():
            net.shape(host.name, host.keeper_pid(), options.rate)


def do_exec(options):
    if not options.command:
        raise LabError("say what to run: lab/lab exec kvm1 ip address")
    argv = hosts.find_host(options.host).enter() + options.command
    os.execvp(argv[0], argv)


def do_virsh(options):
    argv = hosts.find_host(options.host).enter() + ["virsh", "-c", "qemu:///system"]
    argv += options.arguments
    os.execvpe(argv[0], argv, hosts.clean_environment())


def do_libvirtd(options):
    signals = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}
    with lock():
        host = hosts.find_host(options.host)
        if options.action == "start":
            hosts.restart_libvirtd(host, options.locks)
        else:
            hosts.signal_libvirtd(host, signals[options.action])


def do_storage(options):
    with lock():
        storage.add(options.kinds, options.host)


def do_agent(options):
    host = hosts.find_host(options.host)
    signals = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}
    with lock():
        if options.action == "start":
            agents.start(host, options.program)
        elif options.action == "forget":
            agents.forget(host)
        else:
            agents.send(host, signals[options.action])


def do_sshd(options):
    with lock():
        host = hosts.find_host(options.host)
        print(" ".join(agents.start_sshd(host)))


def prove(folder):
    """A fresh marker written through each host and read through every other: the only proof that a
    folder is shared. Returns what was seen where it should not, or not where it should."""
    failures = []
    for writer in hosts.known_hosts():
        marker = "%s/.marker-%s-%d" % (folder, writer.name, time.time_ns())
        text = "%s %d" % (writer.name, time.time_ns())
        run(writer.enter() + ["sh", "-c", 'printf %s "$1" > "$2" && sync "$2"', "sh", text, marker])
        for reader in hosts.known_hosts():
            seen = run(reader.enter() + ["cat", marker], check=False).stdout
            if seen != text:
                failures.append("%s does not see in %s what %s wrote" % (
                    reader.name, folder, writer.name))
        run(writer.enter() + ["rm", "-f", marker])
    return failures


def do_prove_shared(options):
    if len(hosts.known_hosts()) < 2:
        raise LabError("sharing takes two hosts: run `lab/lab up`")
    failures = prove(options.folder)
    if failures:
        raise LabError("%s is not shared: %s" % (options.folder, "; ".join(failures)))
    print("%s is shared by %s" % (options.folder,
                                  ", ".join(host.name for host in hosts.known_hosts())))


def do_guest_start(options):
    values = dict(vars(options))
    host = values.pop("host")
    values.pop("function")
    with lock():
        guests.start(host, values)


def do_guest_stop(options):
    with lock():
        if not guests.remove(options.name):
            print("no guest %s" % options.name)


def do_guest_list(options):
    rows = guests.listing()
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("%-12s %-15s %4d MiB  %-7s %s" % (
            row["name"], row["address"], row["memory_mib"], row["disk"], ", ".join(
                "%s on %s" % (state, where) for where, state in row["hosts"].items()) or "gone"))


def do_guest_tell(options):
    print(witness.tell_guest(guests.find_guest(options.name)["address"],
                             " ".join(options.command)))


def do_witness_start(_options):
    with lock():
        install.require_installed()
        witness.start()


def do_witness_stop(_options):
    with lock():
        witness.stop()


def do_witness_report(options):
    found = witness.report(options.guest, options.since)
    print(json.dumps(found, indent=2) if options.json else witness.table(found))
    if options.reset:
        witness.command("reset " + options.guest if options.guest else "reset")
    return 0 if found["verdict"] == "clean" else 3


def add_guest_commands(commands):
    guest = commands.add_parser("guest", help="start, stop, list and command guests")
    inner = guest.add_subparsers(required=True, metavar="COMMAND")
    start = inner.add_parser("start", help="define and start a guest that checks itself")
    start.add_argument("name")
    start.add_argument("--host", default="kvm1")
    start.add_argument("--memory", type=int, default=256, metavar="MiB")
    start.add_argument("--vcpus", type=int, default=1)
    start.add_argument("--dirty", type=int, default=0, metavar="MiB/s",
                       help="rewrite this much memory per second (default 0)")
    start.add_argument("--working-set", type=int, default=0, metavar="MiB",
                       help="rewrite only within this much (default: all that is filled)")
    start.add_argument("--fill", type=int, default=50, metavar="PERCENT",
                       help="share of memory to fill with checked pages (default 50)")
    start.add_argument("--verify", type=int, default=32, metavar="MiB/s",
                       help="read back and compare at this rate (default 32, 0: full speed)")
    start.add_argument("--interval", type=int, default=1000, metavar="us",
                       help="time between heartbeats (default 1000)")
    start.add_argument("--disk-interval", type=int, default=50, metavar="ms",
                       help="time between writes to the first disk (default 50)")
    start.add_argument("--disk", choices=["shared", "local", "none"] + storage.KINDS + ["block"],
                       default="shared", help="the first disk's pool, a LUN (iscsi) or a block "
                       "device")
    start.add_argument("--more-disks", action="append", metavar="POOL:MiB[:FORMAT[:below]]",
                       help="another disk; with an image below it")
    start.add_argument("--below", action="store_true", help="the first disk has an image below it")
    start.add_argument("--discard", action="store_true", help="discards reach the images")
    start.add_argument("--spread", type=int, default=0, metavar="MiB",
                       help="write at random within this much of each disk (default 0: not)")
    start.add_argument("--spread-fill", type=int, default=0, metavar="MiB",
                       help="and fill so much of each when it starts")
    start.add_argument("--spread-rate", type=int, default=100, metavar="N",
                       help="random writes a second (default 100)")
    start.add_argument("--uefi", action="store_true", help="with UEFI firmware and its variables")
    start.add_argument("--tpm", action="store_true", help="with an emulated TPM")
    start.add_argument("--disk-size", type=int, default=64, metavar="MiB")
    start.add_argument("--format", choices=["raw", "qcow2"], default="raw")
    start.add_argument("--cache", default="none", help="the disk's cache mode, or default")
    start.add_argument("--no-lock", action="store_true",
                       help="QEMU's image locks do not hold, as between most real hosts")
    start.add_argument("--nic", choices=["bridge", "network"], default="bridge",
                       help="bridge br0, or the libvirt network lab (default bridge)")
    start.add_argument("--address", metavar="IP")
    start.add_argument("--machine", default="pc-q35-7.2")
    start.add_argument("--transient", action="store_true", help="no persistent definition")
    start.add_argument("--persistent", dest="transient", action="store_false", help="the default")
    start.set_defaults(function=do_guest_start)
    stop = inner.add_parser("stop", help="destroy and undefine a guest, and delete its disk")
    stop.add_argument("name")
    stop.set_defaults(function=do_guest_stop)
    listing = inner.add_parser("list", help="list guests and where they are")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(function=do_guest_list)
    tell = inner.add_parser("tell", help="command a guest: ping, flip [N], stale [N], dirty MiB/s, disks, verify, "
                          "spread N, latency")
    tell.add_argument("name")
    tell.add_argument("command", nargs="+")
    tell.set_defaults(function=do_guest_tell)


def add_witness_commands(commands):
    parser = commands.add_parser("witness", help="what is seen of the guests from outside")
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    inner.add_parser("start", help="start listening (`up` does)").set_defaults(
        function=do_witness_start)
    inner.add_parser("stop", help="stop listening").set_defaults(function=do_witness_stop)
    report = inner.add_parser("report", help="findings; exit 3 when something is wrong")
    report.add_argument("--json", action="store_true")
    report.add_argument("--reset", action="store_true", help="then begin to count anew")
    report.add_argument("--guest", metavar="NAME")
    report.add_argument("--since", type=float, metavar="TIME",
                        help="hide gaps before this time (seconds since 1970)")
    report.set_defaults(function=do_witness_report)


def parser():
    top = argparse.ArgumentParser(prog="lab/lab", description="Several libvirt hosts on this "
                                  "machine, guests that check themselves, and an outside witness.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    add("install", do_install, "fetch and build what the lab needs (once)")
    up = add("up", do_up, "bring hosts up; what is up already stays as it is")
    up.add_argument("--hosts", type=int, default=2, help="hosts with backports' libvirt and QEMU")
    up.add_argument("--stock", type=int, default=0, help="hosts with Debian 12's own")
    up.add_argument("--rate", help="shape the hosts' links, for example 1gbit, or none")
    up.add_argument("--agents", action="store_true",
                    help="libvirt listens nowhere, and only the agents' port is open (the default "
                    "while such hosts are up)")
    down = add("down", do_down, "remove every trace of hosts and guests")
    down.add_argument("--purge", action="store_true", help="the cache and certificates as well")
    shown = add("status", do_status, "hosts, guests and what they run")
    shown.add_argument("--json", action="store_true")
    rate = add("rate", do_rate, "shape the hosts' links from now on")
    rate.add_argument("rate", help="for example 1gbit, 200mbit, none")
    inside = add("exec", do_exec, "run a command inside a host")
    inside.add_argument("host")
    inside.add_argument("command", nargs=argparse.REMAINDER)
    virsh = add("virsh", do_virsh, "run virsh inside a host")
    virsh.add_argument("host")
    virsh.add_argument("arguments", nargs=argparse.REMAINDER)
    daemon = add("libvirtd", do_libvirtd, "end, freeze, thaw or start a host's libvirtd")
    daemon.add_argument("host")
    daemon.add_argument("action", choices=["kill", "stop", "cont", "start"])
    daemon.add_argument("--no-locks", dest="locks", action="store_const", const=False,
                        help="start: afresh, so that its QEMUs' image locks do not hold")
    daemon.add_argument("--locks", dest="locks", action="store_const", const=True,
                        help="start: afresh, with locks that hold again")
    agent = add("agent", do_agent, "start, end, freeze or thaw a host's agent; or take from it "
                "all that it knows")
    agent.add_argument("host")
    agent.add_argument("action", choices=["start", "kill", "stop", "cont", "forget"])
    agent.add_argument("--program", default=agents.PROGRAM, help="default: %(default)s")
    store = add("storage", do_storage, "give the hosts storage: " + ", ".join(storage.KINDS))
    store.add_argument("kinds", nargs="+", choices=storage.KINDS, metavar="KIND")
    store.add_argument("--host", action="append", help="only this one (may be given again)")
    sshd = add("sshd", do_sshd, "let the machine in by ssh; prints the command that does it")
    sshd.add_argument("host")
    prove_shared = add("prove-shared", do_prove_shared,
                       "write through each host and read through every other")
    prove_shared.add_argument("folder", nargs="?", default=SHARED)
    add_guest_commands(commands)
    add_witness_commands(commands)
    return top


def main(arguments):
    options = parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("lab/lab: namespaces and mounts need root: run it as root", file=sys.stderr)
        return 1
    try:
        return options.function(options) or 0
    except LabError as error:
        print("lab/lab: %s" % error, file=sys.stderr)
        return 1
