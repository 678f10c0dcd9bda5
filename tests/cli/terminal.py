# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the program on a pseudo-terminal, and reads what a person would see."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, command, env, columns=100, rows=24):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.raw = b""
        self.process = subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        os.close(slave)

    def read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        try:
            piece = os.read(self.master, 65536) if ready else b""
        except OSError:  # the other side is closed
            return False
        self.raw += piece
        return bool(piece) or not ready

    def wait_for(self, text, timeout=15):
        end = time.monotonic() + timeout
        while text.encode() not in self.raw:
            assert time.monotonic() < end, f"{text!r} did not come; seen: {self.text!r}"
            assert self.read(0.2) or text.encode() in self.raw, f"ended; seen: {self.text!r}"

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self, timeout=20):
        end = time.monotonic() + timeout
        while self.read(0.2) and time.monotonic() < end:
            if self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]:
                break
        status = self.process.wait(timeout=5)
        os.close(self.master)
        return status

    @property
    def text(self):
        return self.raw.decode(errors="replace")

    @property
    def plain(self):
        """Without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text)
