# SPDX-License-Identifier: GPL-2.0-or-later
"""What a container engine in a guest has instead of a network: a base image and two packages.

base_image() is a root file system of a few megabytes as a tar archive: busybox, and those programs
of the guest's own Debian that a busybox has not: dpkg with its database, setcap, setfacl. packages()
are .deb files made for the tests, one of them in two versions, so that an upgrade in a later layer
replaces, deletes and renames what an earlier one installed.
"""

import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

PROGRAMS = ["dpkg", "dpkg-deb", "dpkg-split", "dpkg-query", "tar", "setcap", "getcap", "setfacl",
            "getfacl"]

# dpkg does not work without it, and our libraries need no cache.
LDCONFIG = b"#!/bin/sh\nexit 0\n"


def find_program(root, name):
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
        if (root / folder / name).exists():
            return f"{folder}/{name}"
    raise FileNotFoundError(f"{root} has no {name}")


def libraries(root, programs):
    """What the programs are linked with, asked of the guest's own linker."""
    listed = subprocess.run(["chroot", root, "ldd", *(f"/{path}" for path in programs)],
                            check=True, capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(/\S+\.so\S*)\b", listed)))


class Archive:
    """A tar archive in memory; all of root's, and of the same day whenever it is made."""

    def __init__(self):
        self.data = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.data, mode="w")

    def add(self, name, kind, mode, data=b"", target=""):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), target
        entry.mtime = 1_600_000_000
        self.tar.addfile(entry, io.BytesIO(data))

    def directory(self, name, mode=0o755):
        self.add(name, tarfile.DIRTYPE, mode)

    def file(self, name, data, mode=0o755):
        self.add(name, tarfile.REGTYPE, mode, data)

    def link(self, name, target):
        self.add(name, tarfile.SYMTYPE, 0o777, target=target)

    def done(self):
        self.tar.close()
        return self.data.getvalue()


def base_image(root, busybox):
    """root: a Debian root file system; busybox: a static one."""
    archive = Archive()
    # Debian merged /bin and /lib into /usr: so do we, or a library would be there twice.
    for name in ("usr", "usr/bin", "usr/lib", "usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/share",
                 "proc", "sys", "dev", "etc", "etc/dpkg", "etc/dpkg/dpkg.cfg.d", "root", "run",
                 "home", "var", "var/log", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info",
                 "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
        archive.directory(name)
    for name, target in (("bin", "usr/bin"), ("sbin", "usr/bin"), ("usr/sbin", "bin"),
                         ("lib", "usr/lib"), ("lib64", "usr/lib64")):
        archive.link(name, target)
    for name in ("tmp", "var/tmp"):
        archive.directory(name, 0o1777)
    archive.file("usr/bin/busybox", busybox.read_bytes())
    programs = [find_program(root, name) for name in PROGRAMS]
    for path in programs:
        archive.file(f"usr/bin/{Path(path).name}", (root / path).read_bytes())
    for path in libraries(root, programs):
        source = root / path.lstrip("/")
        folder = "usr/lib64" if path.startswith("/lib64/") else "usr/lib/x86_64-linux-gnu"
        # A library of Debian is a link to its file with the whole version: follow it.
        real = source if not source.is_symlink() else source.parent / source.readlink().name
        archive.file(f"{folder}/{source.name}", real.read_bytes())
    archive.file("usr/bin/ldconfig", LDCONFIG)
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet not in [*PROGRAMS, "busybox", "ldconfig", "dpkg", "rpm"]:
            archive.link(f"usr/bin/{applet}", "busybox")
    archive.file("var/lib/dpkg/status", b"", 0o644)
    archive.file("var/lib/dpkg/available", b"", 0o644)
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"
                 b"user:x:1000:1000::/home/user:/bin/sh\n", 0o644)
    archive.file("etc/group", b"root:x:0:\nuser:x:1000:\n", 0o644)
    return archive.done()


def one(tree, version):
    """Files that stay, change and go; a file that becomes a directory; a hard link."""
    share = tree / "usr/share/one"
    share.mkdir(parents=True)
    for number in range(20 if version == 1 else 25):
        if version == 1 or number != 3:
            (share / f"file-{number}").write_text(f"{number} of version {version}\n")
    if version == 1:
        (share / "turns").write_text("a file\n")
    else:
        (share / "turns").mkdir()
        (share / "turns/inner").write_text("now a directory\n")
    (share / "hard").hardlink_to(share / "file-1")
    (share / "soft").symlink_to("file-2")
    (tree / "etc").mkdir()
    (tree / "etc/one.conf").write_text(f"version = {version}\n")
    (tree / "DEBIAN/conffiles").write_text("/etc/one.conf\n")


def two(tree, _version):
    folder = tree / "usr/share/two/deep/er"
    folder.mkdir(parents=True)
    (folder / "file").write_text("two\n")


def package(name, version, fill):
    """One .deb as bytes."""
    with tempfile.TemporaryDirectory(prefix="virtiofsd-deb-") as work:
        tree = Path(work) / "tree"
        (tree / "DEBIAN").mkdir(parents=True, mode=0o755)
        tree.chmod(0o755)
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: nobody <nobody@localhost>\nDescription: for a test\n")
        (tree / "DEBIAN/postinst").write_text(f"#!/bin/sh\necho {name} {version} >>/var/log/{name}\n")
        (tree / "DEBIAN/postinst").chmod(0o755)
        fill(tree, version)
        # Directories were made with this process's umask, which is not the package's business.
        subprocess.run(["chmod", "-R", "u=rwX,go=rX", tree], check=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree,
                        Path(work) / "deb"], check=True, stdout=subprocess.DEVNULL)
        return (Path(work) / "deb").read_bytes()


def packages():
    """{file name: contents} for the build context."""
    return {"one_1.deb": package("one", 1, one), "one_2.deb": package("one", 2, one),
            "two_1.deb": package("two", 1, two)}
