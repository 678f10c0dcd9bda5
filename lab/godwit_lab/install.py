"""What the lab needs on a bare Debian 12 machine, fetched once and kept in the cache."""
import glob
import os
import re
import shutil

from .run import lock, run, write
from .settings import CACHE, HERE, LabError, TREE

BACKPORTED = """libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu
    libvirt-daemon-driver-interface libvirt-daemon-driver-storage-iscsi-direct
    libvirt-daemon-lock libvirt-daemon-plugin-lockd
    qemu-system-x86 qemu-utils qemu-block-extra seabios""".split()
WARNINGS = """-Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
    -Wimplicit-fallthrough -Wundef""".split()


def install_packages(group="lab"):
    """The project has one list of packages, and one way to install them without their services."""
    run([os.path.join(HERE, "..", "scripts", "install-packages"), group])


def debian_stanza():
    """The machine's own source of Debian 12, so that backports come from the same mirror."""
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        with open(path, encoding="utf-8") as source:
            for stanza in re.split(r"\n\s*\n", source.read()):
                suites = re.search(r"^Suites:(.*)$", stanza, re.M)
                if suites and "bookworm" in suites.group(1).split():
                    return "deb822", stanza
    for path in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*.list")):
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as source:
            for line in source:
                if re.match(r"deb\s.*\sbookworm\s", line):
                    return "line", line
    raise LabError("no apt source of Debian bookworm found: the lab runs on Debian 12")


def backports_options():
    """Options that give one apt-get call a view of its own, so that the machine's stays as it is.
    Only the hypervisor comes from backports: everything else is what the machine has."""
    base = CACHE + "/backports"
    for folder in ("lists/partial", "archives/partial", "sources"):
        os.makedirs(base + "/" + folder, exist_ok=True)
    for path in glob.glob("/etc/apt/sources.list.d/*.sources") + \
            glob.glob("/etc/apt/sources.list.d/*.list"):
        shutil.copy(path, base + "/sources/")
    if os.path.exists("/etc/apt/sources.list"):
        shutil.copy("/etc/apt/sources.list", base + "/sources/machine.list")
    kind, stanza = debian_stanza()
    if kind == "deb822":
        write(base + "/sources/lab-backports.sources",
              re.sub(r"(?m)^Suites:.*$", "Suites: bookworm-backports", stanza) + "\n")
    else:
        write(base + "/sources/lab-backports.list",
              re.sub(r"\sbookworm\s", " bookworm-backports ", stanza))
    write(base + "/preferences", "Package: src:libvirt src:qemu src:seabios src:ipxe\n"
          "Pin: release n=bookworm-backports\nPin-Priority: 990\n")
    options = {"Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": base + "/sources",
               "Dir::Etc::preferences": base + "/preferences",
               "Dir::Etc::preferencesparts": "/dev/null",
               "Dir::State::lists": base + "/lists", "Dir::Cache": base,
               "Dir::Cache::archives": base + "/archives", "Debug::NoLocking": "1",
               "APT::Sandbox::User": "root"}
    return [word for key, value in options.items() for word in ("-o", key + "=" + value)]


def is_unpacked():
    """All that is wanted today; an older cache lacks what came later."""
    try:
        with open(TREE + "/complete", encoding="utf-8") as names:
            return names.read().split() == BACKPORTED
    except FileNotFoundError:
        return False


def prepare_backports():
    """Unpacks backports' libvirt and QEMU into a tree that hosts lay over their /usr."""
    if is_unpacked():
        return
    print("unpacking libvirt and QEMU of bookworm-backports", flush=True)
    shutil.rmtree(CACHE + "/backports", ignore_errors=True)
    options = backports_options()
    run(["apt-get"] + options + ["update"])
    run(["apt-get"] + options + ["install", "-y", "--download-only", "--reinstall",
                                 "--no-install-recommends"] + BACKPORTED)
    shutil.rmtree(TREE, ignore_errors=True)
    os.makedirs(TREE)
    for package in sorted(glob.glob(CACHE + "/backports/archives/*.deb")):
        run(["dpkg", "-x", package, TREE])
    # Drivers and modules of the machine's own libvirt and QEMU do not fit (QEMU 10 aborts on a
    # module of 7.2): these folders hide the machine's, they do not merge with them.
    for folder in ("libvirt", "qemu"):
        os.setxattr(TREE + "/usr/lib/x86_64-linux-gnu/" + folder, "trusted.overlay.opaque", b"y")
    for folder in ("archives", "lists"):
        shutil.rmtree(CACHE + "/backports/" + folder)
    write(TREE + "/complete", " ".join(BACKPORTED) + "\n")


def prepare_kernel():
    """Downloads and unpacks Debian's cloud kernel. Its modules stay in the cache."""
    target = CACHE + "/kernel"
    if os.path.exists(target + "/complete"):
        return
    print("unpacking the guests' kernel", flush=True)
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    depends = run(["apt-cache", "depends", "linux-image-cloud-amd64"]).stdout
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise LabError("no linux-image-cloud-amd64 to be had: run `apt-get update`, then again")
    # apt-get download writes into the current folder, and has no option for another.
    run(["sh", "-c", 'cd "$1" && apt-get -o APT::Sandbox::User=root download "$2"', "sh", target,
         found.group(1)])
    package = glob.glob(target + "/*.deb")[0]
    run(["dpkg", "-x", package, target])
    os.unlink(package)
    write(target + "/complete", "\n")


def newest(paths):
    return max(os.path.getmtime(path) for path in paths)


def is_fresh(target, sources):
    return os.path.exists(target) and os.path.getmtime(target) >= newest(sources)


def compile_c(target, sources, options=()):
    folder = os.path.dirname(sources[0])
    watched = sources + glob.glob(folder + "/*.h") + glob.glob(HERE + "/guest/*.h")
    if is_fresh(target, watched):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = "%s.%d" % (target, os.getpid())
    run(["cc", "-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE"] + WARNINGS + list(options) +
        ["-o", temporary] + sources)
    os.replace(temporary, target)


def build():
    """Compiles the lab's own programs and the guests' initrd, where their sources are newer."""
    from . import initrd
    compile_c(CACHE + "/bin/guest", sorted(glob.glob(HERE + "/guest/*.c")),
              ["-static", "-pthread", "-fno-tree-vectorize"])
    compile_c(CACHE + "/bin/witness", sorted(glob.glob(HERE + "/witness/*.c")))
    compile_c(CACHE + "/bin/reaper", [HERE + "/reaper/reaper.c"])
    compile_c(CACHE + "/bin/nolock.so", [HERE + "/nolock/nolock.c"],
              ["-shared", "-fPIC", "-ldl"])
    wrapper = CACHE + "/bin/qemu-nolock"
    if not os.path.exists(wrapper):
        write(wrapper, "#!/bin/sh\nLD_PRELOAD=%s/bin/nolock.so exec /usr/bin/qemu-system-x86_64 "
              '"$@"\n' % CACHE, 0o755)
    initrd.build()


def install():
    with lock(CACHE):
        install_packages()
        prepare_backports()
        prepare_kernel()
        build()
    print("installed: the cache is", CACHE)


def require_installed():
    for path in (TREE, CACHE + "/kernel"):
        if not os.path.exists(path + "/complete"):
            raise LabError("%s is not complete: run `lab/lab install`" % path)
    with lock(CACHE):
        build()
