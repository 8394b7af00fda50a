# SPDX-License-Identifier: GPL-2.0-or-later
"""How a root file system lies on the host when a guest boots from it.

    with LAYOUTS["hostovl"](rootfs, work) as layout: layout.share, layout.late()

plain    a copy of it, shared as it is
hostovl  a host overlayfs over it, as a container engine of the host makes it, shared
kata     a tmpfs is shared, and the overlayfs is mounted at ID/rootfs in it when the daemon already
         runs: late() does that

What the guest wrote is in layout.upper; None for plain. All of it lies in `work`, a directory on a
file system that can be an overlayfs's upper; the mounts go away at the end, the directories stay
until somebody removes `work`.
"""

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import hostfs

CONTAINER = "0123456789abcdef"


@dataclass
class Layout:
    share: Path
    upper: Path = None
    late: Callable = lambda: None


def overlay_words(lower, work, upper=None):
    for name in ("upper", "work"):
        (work / name).mkdir(exist_ok=True)
    return f"lowerdir={lower},upperdir={upper or work / 'upper'},workdir={work / 'work'}"


@contextmanager
def plain(rootfs, work):
    subprocess.run(["cp", "-a", "--reflink=auto", rootfs, work / "root"], check=True)
    yield Layout(work / "root")


@contextmanager
def hostovl(rootfs, work, upper=None):
    words = overlay_words(rootfs, work, upper)
    with hostfs.mounted(work / "merged", "-t", "overlay", "-o", words, "overlay") as point:
        yield Layout(point, upper or work / "upper")


@contextmanager
def kata(rootfs, work):
    words = overlay_words(rootfs, work)
    with ExitStack() as stack:
        share = stack.enter_context(
            hostfs.mounted(work / "sandbox", "-t", "tmpfs", "-o", "mode=755", "tmpfs"))
        # The daemon is a slave of the mount namespace it was started in: what is mounted later
        # reaches it only below a mount that is shared, as Kata's is.
        hostfs.run("mount", "--make-rshared", share)

        def late():
            point = share / CONTAINER / "rootfs"
            point.parent.mkdir()
            stack.enter_context(hostfs.mounted(point, "-t", "overlay", "-o", words, "overlay"))

        yield Layout(share, work / "upper", late)


def again(layout, work, how):
    """A copy of the upper directory, made by tar or rsync as an administrator would."""
    copy = work / f"upper-{how}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    if how == "tar":
        pack = ["tar", "-C", layout.upper, "--xattrs", "--xattrs-include=*", "--acls", "-cf", "-", "."]
        unpack = ["tar", "-C", copy, "--xattrs", "--xattrs-include=*", "--acls", "-xpf", "-"]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            subprocess.run(unpack, stdin=packing.stdout, check=True)
        if packing.returncode:
            raise RuntimeError("tar could not read the upper directory")
    else:
        subprocess.run(["rsync", "-aAXH", "--numeric-ids", f"{layout.upper}/", f"{copy}/"],
                       check=True)
    return copy


LAYOUTS = {"plain": plain, "hostovl": hostovl, "kata": kata}
