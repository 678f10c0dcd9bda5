# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab's own program, called as people call it."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Lab:
    """A lab by its name."""
    program = ROOT + "/lab/lab"

    def __init__(self, name):
        self.state = "/var/lib/godwit-lab-" + name
        self.env = dict(os.environ, GODWIT_LAB_NAME=name, GODWIT_LAB_STATE=self.state)

    def __call__(self, *words, check=True):
        done = subprocess.run([self.program] + list(words), env=self.env, text=True,
                              capture_output=True, timeout=300)
        if check:
            assert done.returncode == 0, "lab %s: %s%s" % (" ".join(words), done.stdout,
                                                           done.stderr)
        return done
