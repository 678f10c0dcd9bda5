# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody who talks to a guest while it moves (R48)."""
import contextlib
import os
import socket
import struct
import threading
import time

ECHO_PORT = 7


class Seen:
    def __init__(self):
        self.pings = self.pongs = self.sent = self.echoed = self.tcp_rounds = 0
        self.tcp_silence = 0.0
        self.tcp_error = None


def datagrams(address, seen, ended):
    handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    handle.settimeout(0.5)
    while not ended.wait(0.02):
        handle.sendto(b"%d" % seen.sent, (address, ECHO_PORT))
        seen.sent += 1
        with contextlib.suppress(OSError):
            handle.recv(100)
            seen.echoed += 1


def connection(address, seen, ended):
    """One connection for the whole time: each round sends a line and wants it back."""
    try:
        handle = socket.create_connection((address, ECHO_PORT), 5)
        handle.settimeout(20)
        while not ended.wait(0.02):
            line = b"%08d" % seen.tcp_rounds
            begun = time.monotonic()
            handle.sendall(line)
            got = b""
            while len(got) < len(line):
                part = handle.recv(len(line) - len(got))
                if not part:
                    raise OSError("the guest closed the connection")
                got += part
            if got != line:
                raise OSError("sent %r, got %r" % (line, got))
            seen.tcp_silence = max(seen.tcp_silence, time.monotonic() - begun)
            seen.tcp_rounds += 1
        handle.close()
    except OSError as error:
        seen.tcp_error = error


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def pings(address, seen, ended):
    """ICMP echoes; a request that is not answered within half a second is lost."""
    handle = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    number = os.getpid() & 0xffff
    while not ended.wait(0.1):
        seen.pings += 1
        head = struct.pack("!BBHHH", 8, 0, 0, number, seen.pings & 0xffff)
        handle.sendto(head[:2] + struct.pack("!H", checksum(head)) + head[4:], (address, 0))
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            handle.settimeout(max(0.01, deadline - time.monotonic()))
            with contextlib.suppress(OSError):
                packet, sender = handle.recvfrom(200)
                if sender[0] == address and packet[20] == 0 and packet[24:28] == head[4:]:
                    seen.pongs += 1
                    break


@contextlib.contextmanager
def watch(address):
    seen, ended = Seen(), threading.Event()
    threads = [threading.Thread(target=what, args=(address, seen, ended))
               for what in (datagrams, connection, pings)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
