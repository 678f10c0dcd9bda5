#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the checks: ./check [fast | NAME...]

Without a name: fast, then, side by side, the API, the command line and the unit tests under clang's
sanitizers, and the tests on the lab's hosts. Every test case is counted; the last line is their sum.
A step whose room has no tests yet, or that cannot run here, counts as skipped and says why.
"""
import collections
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import floors

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build-check"
JOBS = str(min(os.cpu_count() or 1, 4))
# The labs that steps bring up, by name. Whoever keeps a lab of his own is not disturbed.
LABS = {"lab": ["t", "tt", "ta"], "e2e": ["chk"], "agent": ["agc"],
        "storage": ["stc"]}
SHOWN_LINES = 40  # of a failure


class Interrupted(Exception):
    """Somebody asked us to stop."""


class Tally:
    """What a step found."""

    def __init__(self):
        self.passed = 0
        self.failed = []   # (case, why)
        self.skipped = []  # (case, reason)

    def case(self, name, why=None):
        if why is None:
            self.passed += 1
        else:
            self.failed.append((name, why))

    def skip(self, name, reason):
        self.skipped.append((name, reason))

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = f"{self.passed} passed, {len(self.failed)} failed"
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")


# Programs ----------------------------------------------------------------------------------------

running = set()  # to be ended where we are interrupted
interrupted = threading.Event()
priority = threading.local()  # .last, where that is what this thread runs


def end_group(process):
    """Ends a program and all it started, by their own group."""
    for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def comes_last(pid):
    """Only what nobody else wants. Nice counts within a session; where sessions are groups of their
    own to the scheduler, the session has one as well."""
    try:
        os.setpriority(os.PRIO_PGRP, pid, 19)
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("19", encoding="ascii")
    except OSError:  # it is over already, or there are no such groups
        pass


def run(argv, log, timeout, env=None, cwd=ROOT):
    """Runs a program with its output in OUT/logs/@log. Returns (exit status or None, output)."""
    path = OUT / "logs" / log
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write("$ " + " ".join(map(str, argv)) + "\n")
        out.flush()
        with subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                              env=dict(os.environ, **(env or {}))) as process:
            running.add(process)
            if getattr(priority, "last", False):
                comes_last(process.pid)
            try:
                if interrupted.is_set():  # it was begun as all others were ended
                    end_group(process)
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                end_group(process)
                status = None
                out.write(f"\nnot done within {timeout} s\n")
            except BaseException:
                end_group(process)
                raise
            finally:
                running.discard(process)
    return status, path.read_text(encoding="utf-8", errors="replace")


def tail(text):
    return "\n".join(text.rstrip().splitlines()[-SHOWN_LINES:])


def sources(*suffixes):
    """The tree's own files, without what is ignored."""
    try:
        names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                               capture_output=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):  # a tarball
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                 if not any(part.startswith(("build", ".")) for part in p.relative_to(ROOT).parts)]
    return sorted(n for n in names if n.endswith(suffixes) and (ROOT / n).is_file())


# Meson -------------------------------------------------------------------------------------------

def build(tally, name, options, env=None, targets=lambda folder: []):
    """Sets up and builds build-check/@name, or its @targets: one case. Returns the folder, or None."""
    folder = OUT / name
    setup = ["meson", "setup", folder, *options]
    if (folder / "build.ninja").exists():
        setup.insert(2, "--reconfigure")
    elif folder.exists():
        shutil.rmtree(folder)
    status, output = run(setup, f"{name}-setup.log", 120, env)
    if status == 0:
        status, output = run(["ninja", "-C", folder, "-j", JOBS, "-k", "0", *targets(folder)],
                             f"{name}-build.log", 3600, env)
    tally.case(f"build {name}", None if status == 0 else tail(output))
    return folder if status == 0 else None


def skip_reason(suite):
    """A test that skips says 'skip: why' on a line of its own, or None."""
    for out in suite.iter("system-out"):
        found = re.search(r"^\W*skip:? (.*)$", out.text or "", re.M | re.I)
        if found:
            return found.group(1)
    return None


def short(name):
    """'godwit.godwit:unit / store' and 'godwit.store' are 'store'."""
    return re.split(r"[./:]", name)[-1].strip()


def read_junit(tally, path):
    """Counts a JUnit file's cases. Returns {test: number of failures}."""
    failures = collections.Counter()
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        output = tail(suite.findtext("system-out", "") + "\n" + suite.findtext("system-err", ""))
        for case in suite.iter("testcase"):
            test = short(case.get("classname") or suite.get("name"))
            name = f"{test}: {case.get('name')}"
            bad = [case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None]
            skipped = case.find("skipped")
            if bad:
                failures[test] += 1
                failures[short(case.get("name"))] += 1
                tally.case(name, tail(bad[0].text or "") or output or "see the log")
                output = None  # shown once
            elif skipped is None:
                tally.case(name)
            elif skipped.get("message") or skip_reason(suite):
                tally.skip(name, skipped.get("message") or skip_reason(suite))
            else:
                tally.case(name, "skipped, or ran no case, without saying why")
    return failures


def meson_tests(tally, folder, names, log, env=None, options=()):
    """Runs the named tests of a build and counts their cases."""
    logs = folder / "meson-logs"
    for old in logs.glob(f"{log}*"):
        old.unlink()
    run(["meson", "test", "-C", folder, "--no-rebuild", "--num-processes", JOBS, "--logbase", log,
         *options, *names], f"{log}.log", 1800, env)
    junit, lines = list(logs.glob(f"{log}*.junit.xml")), list(logs.glob(f"{log}*.json"))
    if not junit or not lines:
        tally.case(log, tail((OUT / "logs" / f"{log}.log").read_text(encoding="utf-8")))
        return
    failures = read_junit(tally, junit[0])
    told = [json.loads(line) for line in lines[0].read_text(encoding="utf-8").splitlines()]
    ran = {short(test["name"]) for test in told}
    for name in sorted(set(names) - ran):  # meson itself died
        tally.case(f"{name} (did not run)", tail((OUT / "logs" / f"{log}.log").read_text(encoding="utf-8")))
    # A program that died after its last good case has no failed case: it is one itself.
    for test in told:
        name = short(test["name"])
        if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP") and not failures[name]:
            tally.case(f"{name} ({test['result'].lower()})",
                       tail(test.get("stdout", "") + "\n" + test.get("stderr", "")))


def all_tests(folder):
    text = subprocess.run(["meson", "introspect", "--tests", folder], text=True,
                          capture_output=True, check=True).stdout
    return [test["name"] for test in json.loads(text)]


GCC = ["--werror", "-Dbuildtype=debugoptimized"]


def gcc_folder(tally):
    """The build that tests run from; made where this run has not made it already."""
    if not gcc_folder.made:
        folder = build(tally, "gcc", GCC, {"CC": "gcc"})
        gcc_folder.made = [folder]
    return gcc_folder.made[0]


gcc_folder.made = []


# Steps -------------------------------------------------------------------------------------------

def step_format(tally):
    """clang-format agrees with every C file"""
    files = sources(".c", ".h")
    if shutil.which("clang-format") is None:
        tally.skip("format", "clang-format is not installed")
        return
    _, output = run(["clang-format", "--dry-run", "-Werror", *files], "format.log", 300)
    wrong = dict(re.findall(r"^([^:\n]+):(\d+):\d+: error:", output, re.M))
    for name, line in wrong.items():
        tally.case(f"format {name}", f"{name}:{line}: run clang-format -i {name}")
    if not wrong:
        tally.case("format", None if files else "found no C files")


def step_floors(tally):
    """includes go downwards only, and the test finds planted violations"""
    for name, why in floors.self_test():
        tally.case(name, why)
    wrong = [(name, why) for name, why in floors.tree_cases(ROOT / "src") if why]
    for name, why in wrong or [("floors of the tree", None)]:
        tally.case(name, why)


def forgotten(folder):
    """Sources that no meson.build names: a test among them would never run, and nobody would know."""
    compiled = (folder / "compile_commands.json").read_text(encoding="utf-8")
    return [name for name in sources(".c")
            if name.startswith(("src/", "tests/unit/")) and f"/{name}\"" not in compiled]


def step_build(tally):
    """builds with gcc, warnings are errors; every source is part of it"""
    folder = gcc_folder(tally)
    if folder:
        lost = forgotten(folder)
        tally.case("every source is built", ", ".join(lost) + ": in no meson.build" if lost else None)


def run_selected(tally, log, wanted):
    folder = gcc_folder(tally)
    if folder is None:
        tally.skip(log, "nothing was built")
        return
    names = [name for name in all_tests(folder) if wanted(name)]
    if names:
        meson_tests(tally, folder, names, log)
    else:
        tally.skip(log, "there are none yet")


def step_unit(tally):
    """unit tests and the fuzzers' corpora"""
    run_selected(tally, "unit", lambda name: name != "scenarios")


def step_scenarios(tally):
    """golden scenarios of the pure rooms"""
    run_selected(tally, "scenarios", lambda name: name == "scenarios")


def step_clang(tally):
    """builds with clang, warnings are errors; unit tests under AddressSanitizer and UBSan"""
    folder = build(tally, "clang", [*GCC, "-Doptimization=1", "-Db_lundef=false",
                                    "-Db_sanitize=address,undefined"], {"CC": "clang"})
    if folder:
        meson_tests(tally, folder, [], "clang-unit", {
            "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            # Of random trials and moments a quarter: the unit step goes through all.
            "GODWIT_EFFORT": "25",
        }, ["--timeout-multiplier", "4"])


begun_labs = set()

# Each test of theirs has a server of its own, or one for each worker.
BOTH_CORES = ("-n", "2") if importlib.util.find_spec("xdist") else ()


def pytest(tally, folder, timeout, env=None, more=()):
    where = ROOT / "tests" / folder
    if not list(where.glob("test_*.py")):
        tally.skip(folder, f"tests/{folder} has no tests yet")
        return
    built = gcc_folder(tally)
    if built is None:
        tally.skip(folder, "nothing was built")
        return
    junit = OUT / f"{folder}.junit.xml"
    junit.unlink(missing_ok=True)
    status, output = run(
        [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no",
         f"--junitxml={junit}", *more, where], f"{folder}.log", timeout,
        {"GODWIT_BUILD": str(built), "API_SERVER": str(built / "tests/api-server"),
         "GODWIT": str(built / "godwit"), **(env or {})})
    failures = read_junit(tally, junit) if junit.exists() else {}
    if status != 0 and not sum(failures.values()):
        tally.case(folder, tail(output))


def lab_pytest(tally, folder, timeout, *more):
    if os.geteuid() != 0:
        tally.skip(folder, "the lab's namespaces and mounts need root")
        return
    if subprocess.run([ROOT / "scripts/install-packages", "lab"], check=False).returncode != 0:
        tally.case(folder, "the lab's packages are missing and could not be installed")
        return
    begun_labs.update(LABS[folder])
    pytest(tally, folder, timeout, {"GODWIT_LAB_NAME": LABS[folder][0]}, more)


def step_api(tally):
    """the API over the network, with hostile clients"""
    pytest(tally, "api", 900, more=(*BOTH_CORES, "-m", "not long"))


def step_cli(tally):
    """the command line against a server of its own"""
    pytest(tally, "cli", 900, more=BOTH_CORES)


def step_lab(tally):
    """the lab catches what it must"""
    lab_pytest(tally, "lab", 1500, "-m", "not long")


def step_e2e(tally):
    """the product on real hosts"""
    lab_pytest(tally, "e2e", 1500, "-m", "not long")


def step_agent(tally):
    """moves through agents, on hosts with no other port open"""
    lab_pytest(tally, "agent", 1500)


def step_storage(tally):
    """moves of disks on real storage"""
    lab_pytest(tally, "storage", 1500, "-m", "not long")


def step_long(tally):
    """what of api, lab, e2e and storage takes long"""
    pytest(tally, "api", 900, more=("-m", "long"))
    lab_pytest(tally, "lab", 900, "-m", "long")
    lab_pytest(tally, "e2e", 900, "-m", "long")
    lab_pytest(tally, "storage", 1800, "-m", "long")


def analyzers(tally):
    done = subprocess.run([ROOT / "scripts/install-packages", "analyze"], check=False)
    if done.returncode != 0:
        tally.skip("analyzers", "their packages are missing")
    return done.returncode == 0


# What gcc 12's analyzer says wrongly, looked at one by one. A new warning of the same kind in the
# same file is hidden too: keep this short.
FALSE_ALARMS = {
    ("src/api/http.c", "-Wanalyzer-use-of-uninitialized-value"):
        "the end marker of an initialised array",
    ("src/agent/permit_sockets.c", "-Wanalyzer-null-dereference"):
        "where nothing failed there is a leave",
    ("src/base/error.c", "-Wanalyzer-null-dereference"):
        "G_DEFINE_EXTENDED_ERROR's private part, which always exists in our domain",
    ("src/cli/command.c", "-Wanalyzer-use-of-uninitialized-value"):
        "the loops before fill rows[0..m][0..n]",
    ("src/cli/settings.c", "-Wanalyzer-null-dereference"):
        "the row is found in a table that the caller's option is always in",
    ("src/engine/cpu_baseline.c", "-Wanalyzer-null-dereference"):
        "there is a baseline where there is no error",
    ("src/engine/fabric_commands.c", "-Wanalyzer-null-dereference"):
        "there is a host where there is no error",
    ("src/engine/groups.c", "-Wanalyzer-null-dereference"):
        "a copy of a group, or its edited form where there is no error",
    ("src/engine/kept.c", "-Wanalyzer-null-dereference"):
        "asked for twice, within one turn",
    ("src/engine/task_hbas.c", "-Wanalyzer-null-dereference"):
        "an error that matches a code is there",
    ("src/engine/tasks.c", "-Wanalyzer-null-dereference"):
        "a run without its job was ended before",
    ("src/job/work_ends.c", "-Wanalyzer-null-dereference"):
        "gw_life_set_error sets it",
    ("src/plan/many_books.c", "-Wanalyzer-null-dereference"):
        "two hosts that are not the same have a cell",
    ("src/plan/rating.c", "-Wanalyzer-null-dereference"):
        "asked for only where there are parts",
    ("src/plan/undo_words.c", "-Wanalyzer-null-dereference"):
        "what has no old place is not said to go back there",
}


def by_file(tally, what, files, output):
    """One case for each file: it fails where the output warns about it."""
    for name in files:
        known = [kind for place, kind in FALSE_ALARMS if place == name]
        lines = [line for line in output.splitlines()
                 if re.match(rf"(.*/)?{re.escape(name)}:\d+:\d+: (warning|error):", line)
                 and not any(f"[{kind}]" in line for kind in known)]
        tally.case(f"{what} {name}", "\n".join(sorted(set(lines))) or None)


def ninja_targets(folder):
    text = subprocess.run(["ninja", "-C", folder, "-t", "targets", "all"], text=True,
                          capture_output=True, check=True).stdout
    return [line.split(":")[0] for line in text.splitlines()]


def product_objects(folder):
    """Not the tests: they are not judged."""
    return [name for name in ninja_targets(folder) if re.match(r"src/.*\.c\.o$", name)]


def generated_headers(folder):
    return [name for name in ninja_targets(folder) if re.match(r"src/.*\.h$", name)]


def step_analyze(tally):
    """gcc -fanalyzer and clang-tidy"""
    if not analyzers(tally):
        return
    files = [name for name in sources(".c") if name.startswith("src/")]
    # What was compiled before says nothing again.
    shutil.rmtree(OUT / "fanalyzer", ignore_errors=True)
    if build(tally, "fanalyzer", ["-Dc_args=-fanalyzer"], {"CC": "gcc"}, product_objects):
        output = (OUT / "logs/fanalyzer-build.log").read_text(encoding="utf-8", errors="replace")
        by_file(tally, "-fanalyzer", files, output)
    folder = build(tally, "tidy", GCC, {"CC": "clang"}, generated_headers)
    if folder:
        compiled = (folder / "compile_commands.json").read_text(encoding="utf-8")
        files = [name for name in files if name in compiled]
        _, output = run(["clang-tidy", "--quiet", "-p", folder, *files], "clang-tidy.log", 1800)
        by_file(tally, "clang-tidy", files, output)


def step_valgrind(tally):
    """unit tests under valgrind"""
    folder = gcc_folder(tally) if analyzers(tally) else None
    if folder:
        meson_tests(tally, folder, ["--suite", "unit"], "valgrind",
                    {"G_SLICE": "always-malloc", "GODWIT_UNTIMED": "1"}, [
            "--wrapper", "valgrind -q --error-exitcode=99 --leak-check=full "
            "--errors-for-leak-kinds=definite --trace-children=no", "--timeout-multiplier", "30"])


def step_tsan(tally):
    """unit tests under ThreadSanitizer"""
    folder = build(tally, "tsan", ["-Db_sanitize=thread", "-Db_lundef=false"], {"CC": "gcc"})
    if folder is None:
        return
    shim = folder / "tsan_glib.so"
    flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], text=True, check=True,
                           capture_output=True).stdout.split()
    status, output = run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", shim,
                          ROOT / "tests/tsan_glib.c", *flags], "tsan-shim.log", 60)
    if status != 0:
        tally.case("build tsan_glib", tail(output))
        return
    meson_tests(tally, folder, ["--suite", "unit"], "tsan-unit",
                {"TSAN_OPTIONS": "second_deadlock_stack=1", "G_SLICE": "always-malloc"},
                ["--wrapper", f"env LD_PRELOAD={shim}", "--timeout-multiplier", "10"])


def step_coverage(tally):
    """branches of src/plan and src/job, at least 95 %"""
    if not analyzers(tally):
        return
    folder = build(tally, "coverage", ["-Db_coverage=true", "-Dbuildtype=debug"], {"CC": "gcc"})
    if folder is None:
        return
    for old in folder.rglob("*.gcda"):
        old.unlink()
    meson_tests(tally, folder, [], "coverage-unit")
    for room in ("plan", "job"):
        summary = OUT / f"coverage-{room}.json"
        summary.unlink(missing_ok=True)
        run(["gcovr", "--root", ROOT, "--filter", f"{ROOT}/src/{room}/", "--branches",
             "--exclude-unreachable-branches", "--json-summary", summary, "--json-summary-pretty",
             "--txt", OUT / f"coverage-{room}.txt", folder], f"coverage-{room}.log", 300)
        found = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
        if not found.get("branch_total"):
            tally.skip(f"coverage of src/{room}", "it has no branches yet")
            continue
        percent = found["branch_percent"]
        print(f"  src/{room}: {percent} % of {found['branch_total']} branches "
              f"({OUT.name}/coverage-{room}.txt)")
        tally.case(f"coverage of src/{room}", None if percent >= 95 else
                   f"{percent} % of the branches, at least 95 are required")


LANES = [["lab", "e2e"], ["agent", "storage"], ["api", "cli", "clang"]]
LAB = LANES[0] + LANES[1]
FAST = ["format", "floors", "build", "unit", "scenarios"]
ALL = FAST + LANES[2] + LAB
NAMED = ["long", "analyze", "valgrind", "tsan", "coverage"]
STEPS = {name: globals()[f"step_{name}"] for name in ALL + NAMED}


# The run -----------------------------------------------------------------------------------------

def take_labs_down(total):
    """Whether the tests that brought them up are done, failed or were interrupted."""
    for name in sorted(begun_labs):
        if not pathlib.Path(f"/var/lib/godwit-lab-{name}").exists():
            continue
        status, output = run([ROOT / "lab/lab", "down", "--purge"], f"lab-down-{name}.log", 120,
                             {"GODWIT_LAB_NAME": name})
        if status != 0:
            print(f"lab '{name}' could not be taken down:\n{tail(output)}", flush=True)
            total.case(f"lab {name} taken down", tail(output))


def run_step(name):
    print(f"{name}: {STEPS[name].__doc__}", flush=True)
    tally = Tally()
    begun = time.monotonic()
    try:
        STEPS[name](tally)
    except Interrupted:
        raise
    except Exception as error:  # a defect of a step must not hide the others
        tally.case(name, f"{type(error).__name__}: {error}")
    lines = [f"  FAILED {case}\n    " + why.replace("\n", "\n    ") for case, why in tally.failed]
    lines.append(f"  {name}: {tally} ({time.monotonic() - begun:.0f} s)")
    print("\n".join(lines), flush=True)
    return tally


def run_lane(names, tallies):
    priority.last = names[0] not in LAB
    for name in names:
        if not interrupted.is_set():
            tallies.append((name, run_step(name)))


def run_steps(names, total):
    """In their order. What needs the lab waits most of its time, so that once the rest is done it
    runs in two lanes, with labs of their own, and in a third, of the lowest priority, what does
    not."""
    lanes = [[name for name in names if name in lane] for lane in LANES]
    lanes = [lane for lane in lanes if lane] if set(names) & set(LAB) else []
    for name in names:
        if not any(name in lane for lane in lanes):
            total.add(run_step(name))
    if not lanes:
        return
    # What all of them need, made once.
    gcc_folder(total)
    if os.geteuid() == 0:
        if "storage" in names:  # not while another lane measures; what is missing, its tests say
            run([ROOT / "scripts/install-packages", "storage"], "storage-packages.log", 900)
        status, output = run([ROOT / "lab/lab", "install"], "lab-install.log", 900)
        if status != 0:
            total.case("lab/lab install", tail(output))
            lanes = [lane for lane in lanes if lane[0] not in LAB]
    tallies = []
    threads = [threading.Thread(target=run_lane, args=(lane, tallies)) for lane in lanes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except Interrupted:
        interrupted.set()
        for process in list(running):
            end_group(process)
        for thread in threads:
            if thread.ident:
                thread.join()
        interrupted.clear()
        raise
    finally:
        for _, tally in tallies:
            total.add(tally)
    done = [name for name, _ in tallies]
    for name in [name for lane in lanes for name in lane if name not in done]:
        total.case(name, "it broke off")


def choose(argv):
    if "-h" in argv or "--help" in argv or "help" in argv:
        print(__doc__.strip())
    if {"-h", "--help", "help", "--list"} & set(argv):
        for name, function in STEPS.items():
            group = "fast" if name in FAST else "full" if name in ALL else "named only"
            print(f"  {name:10} {function.__doc__} [{group}]")
        sys.exit(0)
    names = []
    for word in argv or ["all"]:
        more = {"fast": FAST, "all": ALL}.get(word, [word])
        names += [name for name in more if name not in names]
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        sys.exit(f"no step '{unknown[0]}'; there are: fast all {' '.join(STEPS)}")
    return names


def stop(number, _frame):
    # Once is enough: what follows is only tidying up.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def main(argv):
    names = choose(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    total = Tally()
    stopped_by = None
    begun = time.monotonic()
    try:
        run_steps(names, total)
    except Interrupted as error:
        stopped_by = str(error)
    finally:
        take_labs_down(total)
    if total.failed:
        print("\nFailed:")
        for case, _ in total.failed:
            print(f"  {case}")
    if total.skipped:
        print("\nSkipped:")
        for case, reason in total.skipped:
            print(f"  {case}: {reason}")
    print(f"\n{time.monotonic() - begun:.0f} s; logs in {OUT.name}/logs")
    if stopped_by:
        print(f"interrupted by {stopped_by}")
        total.case("the run", "interrupted")
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
