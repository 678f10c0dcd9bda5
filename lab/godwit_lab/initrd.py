"""The guests' kernel and initrd: our program as /init, and the modules it loads, in order."""
import glob
import os

from .settings import CACHE, LabError

WANTED = ["virtio_pci", "virtio_blk", "virtio_net", "button", "evdev"]
KERNEL = CACHE + "/bin/vmlinuz"
INITRD = CACHE + "/bin/initrd"


def module_depends(path):
    """The names in the module's own "depends=" record; the package carries no modules.dep."""
    with open(path, "rb") as source:
        content = source.read()
    at = content.find(b"\0depends=")
    if at < 0:
        return []
    value = content[at + 9:content.index(b"\0", at + 9)].decode()
    return [name.replace("-", "_") for name in value.split(",") if name]


def load_order(root):
    """Paths of the wanted modules and all they need, dependencies first."""
    files = {os.path.basename(path)[:-3].replace("-", "_"): path
             for path in glob.glob(root + "/lib/modules/*/kernel/**/*.ko", recursive=True)}
    order = []

    def visit(name):
        if name not in files:
            raise LabError("the kernel package has no module %s" % name)
        if files[name] in order:
            return
        for other in module_depends(files[name]):
            visit(other)
        order.append(files[name])

    for name in WANTED:
        visit(name)
    return order


def entry(name, mode, data=b"", device=(0, 0)):
    """One member of a "newc" cpio archive."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def build():
    guest = CACHE + "/bin/guest"
    if os.path.exists(INITRD) and os.path.getmtime(INITRD) >= os.path.getmtime(guest):
        return
    kernels = glob.glob(CACHE + "/kernel/boot/vmlinuz-*")
    if len(kernels) != 1:
        raise LabError("no kernel in %s/kernel: run `lab/lab install`" % CACHE)
    parts = [entry("dev", 0o40755), entry("dev/console", 0o20600, device=(5, 1)),
             entry("modules", 0o40755)]
    for number, path in enumerate(load_order(CACHE + "/kernel")):
        with open(path, "rb") as source:
            parts.append(entry("modules/%02d-%s" % (number, os.path.basename(path)), 0o100644,
                               source.read()))
    with open(guest, "rb") as source:
        parts.append(entry("init", 0o100755, source.read()))
    parts.append(entry("TRAILER!!!", 0))
    temporary = "%s.%d" % (INITRD, os.getpid())
    with open(temporary, "wb") as out:
        out.write(b"".join(parts))
    if not os.path.exists(KERNEL):
        os.link(kernels[0], KERNEL)
    os.replace(temporary, INITRD)
