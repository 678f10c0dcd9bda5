"""The lab's wires: one bridge on the machine, and two links per host.

A host's own address (libvirt, migration) is on eth0, whose rate can be shaped; its guests' bridge
br0 has an uplink of its own, so that a saturated migration link does not delay heartbeats and pass
for downtime.
"""
import ipaddress
import json
import os

from .run import run
from .settings import AGENT_PORT, BRIDGE, GATEWAY, LabError, NAME, PREFIX


def host_link(host):
    return "gl%s-%s" % (NAME, host)


def guest_link(host):
    return "gl%s-%sg" % (NAME, host)


def links():
    return [link["ifname"] for link in json.loads(run(["ip", "-json", "link"]).stdout)]


def refuse_collision():
    """A lab must not take the machine's real network away."""
    wanted = ipaddress.ip_network(PREFIX + ".0/24")
    for link in json.loads(run(["ip", "-json", "-4", "address"]).stdout):
        for address in link["addr_info"]:
            taken = ipaddress.ip_interface(
                "%s/%d" % (address["local"], address["prefixlen"])).network
            if link["ifname"] != BRIDGE and taken.overlaps(wanted):
                raise LabError("%s is in use on %s: set GODWIT_LAB_NET to another /24, "
                               "such as 198.18.7" % (wanted, link["ifname"]))


def bridge_up():
    refuse_collision()
    if BRIDGE not in links():
        run(["ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0",
             "mcast_snooping", "0"])
        run(["ip", "link", "set", BRIDGE, "addrgenmode", "none"])  # no IPv6 chatter on the wire
    run(["ip", "address", "replace", GATEWAY + "/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def connect_host(host, keeper_pid, address):
    """Gives the namespace of this keeper its links. They vanish with the namespace."""
    number = int(address.rpartition(".")[2])
    for outside, inside in ((host_link(host), "eth0"), (guest_link(host), "eth1")):
        if outside in links():
            # The kernel may be taking it away just now, with the namespace of its other end.
            run(["ip", "link", "delete", outside], check=False)
        run(["ip", "link", "add", outside, "type", "veth", "peer", "name", inside,
             "netns", str(keeper_pid)])
        run(["ip", "link", "set", outside, "addrgenmode", "none", "master", BRIDGE, "up"])
    inside = ["nsenter", "-t", str(keeper_pid), "-n"]
    run(inside + ["ip", "-batch", "-"], input_text="""
link set lo up
link set eth0 address 52:54:00:aa:00:%(number)02x
link set eth0 up
address add %(address)s/24 dev eth0
route add default via %(gateway)s
link add br0 address 52:54:00:bb:00:%(number)02x type bridge forward_delay 0 mcast_snooping 0
link set eth1 master br0 up
link set br0 up
""" % {"number": number, "address": address, "gateway": GATEWAY})


def close_ports(keeper_pid):
    """Only the agent's port is open to the other hosts; ssh to the machine alone, which installs
    by it. Replies pass, guests' traffic is bridged past it."""
    run(["nsenter", "-t", str(keeper_pid), "-n", "iptables-restore"], input_text="""*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp --dport %d -j ACCEPT
-A INPUT -s %s -p tcp --dport 22 -j ACCEPT
COMMIT
""" % (AGENT_PORT, GATEWAY))


def rate_bits(rate):
    """tc's spelling of a rate (1gbit, 200mbit, 10mbps) in bits per second."""
    units = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "bit": 1, "kbps": 8e3, "mbps": 8e6,
             "gbps": 8e9}
    for unit, factor in sorted(units.items(), key=lambda row: -len(row[0])):
        if rate.endswith(unit):
            try:
                value = float(rate[:-len(unit)]) * factor
            except ValueError:
                break
            if value >= 1e5:
                return value
    raise LabError("rate %r is not understood: say for example 1gbit, 200mbit or none" % rate)


def shape(host, keeper_pid, rate):
    """Shapes the host's own link both ways. tbf drops what is larger than its bucket, so packets
    must not be merged: segmentation offloads go off while a rate is set."""
    inside = ["nsenter", "-t", str(keeper_pid), "-n"]
    for prefix, device in (([], host_link(host)), (inside, "eth0")):
        switch = "on" if rate == "none" else "off"
        run(prefix + ["ethtool", "-K", device, "tso", switch, "gso", switch, "gro", switch],
            check=False)
        if rate == "none":
            run(prefix + ["tc", "qdisc", "delete", "dev", device, "root"], check=False)
            continue
        bits = rate_bits(rate)
        burst = max(16000, int(bits / 8 / 250))  # what passes in one tick of a 250 Hz kernel
        run(prefix + ["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate",
                      "%dbit" % bits, "burst", str(burst), "latency", "25ms"])


def bridge_down():
    """Removes what `up` made on the machine; host links are gone with their namespaces."""
    ours = "gl%s-" % NAME
    for name in links():
        if name.startswith(ours) and name != BRIDGE and os.path.exists(
                "/sys/class/net/%s/master" % name):
            if os.path.basename(os.readlink("/sys/class/net/%s/master" % name)) == BRIDGE:
                run(["ip", "link", "delete", name], check=False)
    if BRIDGE in links():
        run(["ip", "link", "delete", BRIDGE])
