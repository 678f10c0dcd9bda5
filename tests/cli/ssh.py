#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands for ssh: ssh.py FOLDER [WORD...] COMMAND. Writes down what it is asked, and answers as
FOLDER/answers.json says; a step that is not in there succeeds."""
import json
import pathlib
import sys

STEPS = [("probe", "godwit-probe"), ("copy", "tar -xf"), ("join", "godwit-agent join"),
         ("user", "useradd"), ("start", "systemctl daemon-reload")]
PROBE = {"godwit-probe": "1", "uid": "0", "agent": "", "systemd": "yes",
         "libvirt": "/run/libvirt/libvirt-sock", "tar": "yes"}

folder = pathlib.Path(sys.argv[1])
command = sys.argv[-1]
step = next((name for name, part in STEPS if part in command), "other")
answer = json.loads((folder / "answers.json").read_text()).get(step, {})
data = sys.stdin.buffer.read() if not answer.get("deaf") else b""
(folder / f"{step}.stdin").write_bytes(data)
with open(folder / "log", "a") as log:
    log.write(json.dumps({"step": step, "argv": sys.argv}) + "\n")
if step == "probe":
    print("Welcome to this host. uid=7")
    for key, value in {**PROBE, **answer.get("values", {})}.items():
        print(f"{key}={value}")
sys.stderr.write(answer.get("stderr", ""))
sys.exit(answer.get("status", 0))
