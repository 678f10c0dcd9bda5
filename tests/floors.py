#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads every #include under src/ and fails on the first that breaks the floors.

Each room includes only itself and rooms of floors below it, and each outside library is seen by the
rooms that own it. A failure names file:line and the rule. --self-test plants violations and checks
that each is found.
"""
import argparse
import pathlib
import re
import sys
import tempfile

FLOOR = {
    "base": 0,
    "model": 1,
    "plan": 2, "job": 2,
    "store": 3, "hyper": 3, "cluster": 3, "wire": 3, "transport": 3,
    "engine": 4, "fleet": 4,
    "api": 5, "client": 5,
    "controller": 6, "agent": 6, "cli": 6,
}
# Rooms of one floor do not see each other, but for:
SAME_FLOOR = {("transport", "wire")}
# Rooms that see less than all floors below.
ONLY = {
    "api": {"base", "model", "engine"},
    "client": {"base", "model"},
    "cli": {"base", "model", "plan", "client"},
}
NEVER = {
    "agent": {"store", "plan", "engine", "api"},
}
# Outside libraries: which files may include a header. The first pattern that matches decides.
LIBRARIES = [
    (r"libvirt/", r"hyper/libvirt[^/]*\.[ch]"),
    (r"sqlite3\.h", r"store/sqlite[^/]*\.[ch]"),
    (r"libpq|postgres", r"store/postgres\.c"),
    (r"microhttpd\.h", r"api/.*"),
    (r"wslay/", r"api/.*"),
    (r"curl/", r"client/.*"),
    (r"libsmartcols|smartcols", r"cli/.*"),
    (r"gnutls/", r"(wire|api)/.*"),
    (r"libxml/", r"base/xml\.[ch]"),
    (r"yaml\.h", r"(api|cli|controller)/.*"),
    (r"sodium\.h", r"(base|wire|engine|api)/.*"),
    (r"seccomp\.h", r"agent/.*"),
    (r"(acl/|sys/acl\.h)", r"agent/volume_access\.c"),
    (r"libnbd\.h", r"transport/.*"),
    (r"zstd\.h", r"transport/.*"),
]
# The pure rooms decide; they do no I/O, read no clock and start no thread.
PURE = {"model", "plan", "job"}
IMPURE_HEADERS = re.compile(
    r"^(unistd|fcntl|time|pthread|threads|stdio|signal|poll|dirent)\.h$|^sys/|^netinet/|^arpa/|"
    r"^gio/|^glib/gstdio\.h$")
IMPURE_CALLS = re.compile(
    r"\b(g_get_monotonic_time|g_get_real_time|g_date_time_new_now\w*|gw_clock_\w+|time|"
    r"clock_gettime|gettimeofday|g_thread_\w+|g_mutex_\w+|g_file_get_contents|g_random_\w+|rand|"
    r"random|fopen|open|socket|sleep|usleep|g_usleep)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def strip_comments(text):
    """Comments and strings away, line numbers kept."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda m: "\n" * m.group().count("\n") + " ", text, flags=re.S)


def check_room(room, other):
    if other == room:
        return None
    if other in NEVER.get(room, ()):
        return f"{room} never includes {other}"
    if room in ONLY:
        return None if other in ONLY[room] else \
            f"{room} includes only {', '.join(sorted(ONLY[room]))}"
    if FLOOR[other] > FLOOR[room]:
        return f"{room} (floor {FLOOR[room]}) includes only floors below; " \
               f"{other} is on floor {FLOOR[other]}"
    if FLOOR[other] == FLOOR[room] and (room, other) not in SAME_FLOOR:
        return f"{room} and {other} are rooms of one floor"
    return None


def check_include(room, name, quote, target):
    """The rule that the include breaks, or None. @name is the path below src/."""
    head = target.split("/")[0]
    if quote == '"' and "/" not in target:
        return "write the room too: #include \"ROOM/FILE.h\""
    if quote == '"' or head in FLOOR and target.endswith(".h"):
        if head not in FLOOR:
            return f"there is no room '{head}'"
        return check_room(room, head)
    for header, owners in LIBRARIES:
        if re.match(header, target):
            return None if re.fullmatch(owners, name) else f"<{target}> belongs to {owners}"
    if room in PURE and IMPURE_HEADERS.search(target):
        return f"{room} is pure: no I/O, clock or thread (<{target}>)"
    return None


def check_file(root, path):
    """[(line, rule)] of one file."""
    name = path.relative_to(root).as_posix()
    room = name.split("/")[0]
    if room not in FLOOR or "/" not in name:
        return [(1, f"'{name}' is in no room of DESIGN's table")]
    text = path.read_text(encoding="utf-8")
    broken = []
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            rule = check_include(room, name, found.group(1), found.group(2))
            if rule:
                broken.append((number, rule))
    if room in PURE:
        for number, line in enumerate(strip_comments(text).splitlines(), 1):
            found = IMPURE_CALLS.search(line)
            if found:
                broken.append((number, f"{room} is pure: no call of {found.group(1)}()"))
    return broken


def check_tree(root):
    """{file: [(line, rule)]} for every C file below @root."""
    files = sorted(p for p in root.rglob("*") if p.suffix in (".c", ".h"))
    return {p.relative_to(root).as_posix(): check_file(root, p) for p in files}


# Self-test: planted files, and whether each is to be found.
PLANTED = [
    ("base/a.c", '#include "model/vm.h"', True),
    ("base/a.c", '#include "base/json.h"', False),
    ("model/a.c", '#include "base/json.h"', False),
    ("model/a.c", "#include <stdio.h>", True),
    ("model/a.h", '  #  include "store/store.h"', True),
    ("plan/a.c", '#include "model/fabric.h"', False),
    ("plan/a.c", '#include "hyper/hyper.h"', True),
    ("plan/a.c", '#include "job/job.h"', True),
    ("plan/a.c", '#include "base/clock.h"\nlong f(void) { return gw_clock_now_us(0); }', True),
    ("plan/a.c", "/* time( is only said */\nint g;", False),
    ("plan/a.c", 'const char *t = "open(";', False),
    ("plan/a.c", "long f(void) { return time(0); }", True),
    ("job/a.c", '#include "plan/plan.h"', True),
    ("job/a.c", "#include <pthread.h>", True),
    ("store/a.c", '#include "hyper/hyper.h"', True),
    ("store/sqlite.c", "#include <sqlite3.h>", False),
    ("store/batch.c", "#include <sqlite3.h>", True),
    ("hyper/libvirt.c", "#include <libvirt/libvirt.h>", False),
    ("hyper/libvirt_vm.c", "#include <libvirt/virterror.h>", False),
    ("hyper/sim.c", "#include <libvirt/libvirt.h>", True),
    ("engine/a.c", "#include <libvirt/libvirt.h>", True),
    ("transport/a.c", '#include "wire/wire.h"', False),
    ("wire/a.c", '#include "transport/t.h"', True),
    ("engine/a.c", '#include "store/store.h"', False),
    ("engine/a.c", '#include "api/api.h"', True),
    ("api/a.c", '#include "engine/engine.h"', False),
    ("api/a.c", '#include "plan/plan.h"', True),
    ("api/a.c", '#include "store/store.h"', True),
    ("api/a.c", "#include <microhttpd.h>", False),
    ("client/a.c", "#include <microhttpd.h>", True),
    ("client/a.c", "#include <curl/curl.h>", False),
    ("cli/a.c", "#include <curl/curl.h>", True),
    ("cli/a.c", '#include "client/client.h"', False),
    ("cli/a.c", '#include "plan/dumps.h"', False),
    ("cli/a.c", '#include "hyper/hyper.h"', True),
    ("cli/a.c", '#include "engine/engine.h"', True),
    ("cli/a.c", "#include <engine/engine.h>", True),
    ("agent/a.c", '#include "store/store.h"', True),
    ("agent/a.c", '#include "transport/t.h"', False),
    ("controller/a.c", '#include "store/store.h"', False),
    ("attic/a.c", "int x;", True),
    ("plan/a.c", '#include "../hyper/hyper.h"', True),
    ("plan/a.c", '#include "local.h"', True),
]


def self_test():
    """[(case, why it failed or None)]"""
    cases = []
    for number, (name, text, wanted) in enumerate(PLANTED):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir()
            path.write_text("\n\n" + text + "\n", encoding="utf-8")
            broken = check_tree(pathlib.Path(folder))[name]
        last = text.strip().splitlines()[-1].strip()
        what = f"planted {number}: {name}: {last}"
        at = text.count("\n") + 3
        if bool(broken) != wanted:
            cases.append((what, "found" if broken else "not found"))
        elif wanted and broken[0][0] not in (at, 1):
            cases.append((what, f"found at line {broken[0][0]}, it is at {at}"))
        else:
            cases.append((what, None))
    return cases


def tree_cases(root):
    """[(case, why it failed or None)], one for each file."""
    return [(f"floors of src/{name}",
             "\n".join(f"src/{name}:{line}: {rule}" for line, rule in broken) or None)
            for name, broken in check_tree(root).items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="check the planted violations")
    parser.add_argument("root", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "src")
    args = parser.parse_args()

    cases = self_test() if args.self_test else tree_cases(args.root)
    for what, why in cases:
        if why:
            print(why if why.startswith("src/") else f"{what}: {why}", file=sys.stderr)
    bad = sum(1 for _, why in cases if why)
    print(f"{len(cases) - bad} passed, {bad} failed")
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
