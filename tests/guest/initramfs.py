# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's root file system, made in memory for each boot: a cpio archive with busybox, our
tool for calls busybox has no command for, the modules that a kernel needs, and the scripts to run.

Everything in it belongs to root with mode 755, whoever builds it: an unreadable root directory
would make each test of an ordinary guest user fail in a way that looks like the daemon's fault.
"""

import lzma
import os
import re
import stat
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

# What must be there, in kernels that build it as modules; what each needs comes first.
MODULES = ["virtio_pci", "virtiofs", "overlay"]


class Cpio:
    """Writes the "newc" form that the kernel unpacks."""

    def __init__(self):
        self.parts = []
        self.count = 0
        self.dirs = set()

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        parent = os.path.dirname(name)
        if parent and parent not in self.dirs:
            self.directory(parent)
        self.count += 1
        fields = [self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + name.encode() + b"\0", data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def directory(self, name):
        self.dirs.add(name)
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def done(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def read_module(path):
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    if path.suffix == ".gz":
        import gzip
        return gzip.decompress(data)
    return data


def modules_in_order(kernel, more=()):
    """(name, contents) of the modules to load, and of `more`. The order comes from the "depends="
    the modules themselves carry, since an unpacked package has no modules.dep."""
    files = {}
    for path in (kernel / "modules").rglob("*.ko*"):
        files[path.name.split(".ko")[0].replace("-", "_")] = path
    order = {}

    def need(name):
        if name in order or name not in files:
            return  # there, or built in
        data = read_module(files[name])
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in (depends.group(1).decode().split(",") if depends else []):
            if other:
                need(other.replace("-", "_"))
        order[name] = data

    for name in (*MODULES, *more):
        need(name)
    return list(order.items())


def guest_tool(build):
    """The static helper, compiled when one of its sources is newer."""
    sources = sorted(HERE.glob("guestfs-*.[ch]"))
    tool = Path(build) / "guestfs-tool"
    if not tool.exists() or any(tool.stat().st_mtime < path.stat().st_mtime for path in sources):
        tool.parent.mkdir(parents=True, exist_ok=True)
        # Two runs may build at once: each makes its own and renames it into place.
        fresh = tool.with_name(f"{tool.name}.{os.getpid()}")
        subprocess.run(["gcc", "-static", "-O2", "-Wall", "-o", fresh,
                        *(path for path in sources if path.suffix == ".c")], check=True)
        os.replace(fresh, tool)
    return tool


def busybox():
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            return Path(path)
    raise FileNotFoundError("busybox is missing (Debian package busybox-static)")


def expected(scripts, boots=1):
    """The names that a guest with these scripts must report, in order."""
    names = []
    for turn in range(1, boots + 1):
        prefix = f"boot{turn}." if boots > 1 else ""
        names.append(f"{prefix}virtiofs_is_mounted")
        for script in scripts:
            found = re.findall(r"^test_([a-z0-9_]*)\(\)", script.read_text(), re.MULTILINE)
            names += [f"{prefix}{script.stem}.{name}" for name in found]
        names.append(f"{prefix}dmesg_is_clean")
    return names


def make(kernel, build, scripts, env):
    """The archive as bytes. env: what the guest's /init reads, a dictionary of plain words."""
    cpio = Cpio()
    for name in ("bin", "dev", "guest", "proc", "sys", "tmp", "etc", "root"):
        cpio.directory(name)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    cpio.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n", 0o644)
    cpio.file("etc/group", b"root:x:0:\nuser:x:1000:\n", 0o644)
    cpio.file("bin/busybox", busybox().read_bytes())
    cpio.file("bin/sh", busybox().read_bytes())
    cpio.file("bin/guestfs-tool", guest_tool(build).read_bytes())
    cpio.file("init", (HERE / "guest-init").read_bytes())
    order = []
    for name, data in modules_in_order(Path(kernel)):
        order.append(f"{name}.ko")
        cpio.file(f"guest/modules/{name}.ko", data, 0o644)
    cpio.file("guest/modules/order", "".join(f"{name}\n" for name in order).encode(), 0o644)
    for number, script in enumerate(scripts):
        # The number keeps the order; /init takes it off with the folder's name.
        cpio.file(f"guest/scripts/{number:02}/{script.name}", script.read_bytes())
    lines = [f"{key}='{value}'\n" for key, value in env.items()]
    cpio.file("guest/env", "".join(lines).encode(), 0o644)
    return cpio.done()
