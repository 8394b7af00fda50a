# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories to share, each on a file system of its own kind.

    with hostfs.KINDS["ext4"]() as share: ...

Each is a context manager that gives a path and takes everything away again. tests/guest/run works
in a mount namespace of its own, and loop devices are freed with their mount, so that nothing stays
behind even when the run is killed.
"""

import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path


class Missing(Exception):
    """This machine cannot make such a file system."""


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{command[0]}: {(done.stderr or done.stdout).strip()}")


@contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="virtiofsd-share-") as path:
        yield Path(path)


@contextmanager
def mounted(point, *arguments):
    point.mkdir(exist_ok=True)
    run("mount", *arguments, point)
    try:
        yield point
    finally:
        # Lazily: a daemon that failed to end must not keep the next test from running.
        subprocess.run(["umount", "-l", str(point)], check=False)


def loop(mkfs, *mkfs_options, size="1G"):
    @contextmanager
    def share():
        with folder() as work:
            run("truncate", "-s", size, work / "image")
            run(mkfs, *mkfs_options, work / "image")
            with mounted(work / "mnt", "-o", "loop", work / "image") as point:
                yield point
    return share


@contextmanager
def tmpfs():
    with folder() as work, mounted(work / "mnt", "-t", "tmpfs", "-o", "size=512m", "tmpfs") as point:
        yield point


def overlay(options="", two_filesystems=False, lower=None):
    """A host overlayfs; lower: a function that fills the lower directory."""
    @contextmanager
    def share():
        with ExitStack() as stack:
            upper = stack.enter_context(EXT4())
            below = stack.enter_context(EXT4()) if two_filesystems else upper
            for path in (below / "lower", upper / "upper", upper / "work"):
                path.mkdir()
            if lower:
                lower(below / "lower")
            words = f"lowerdir={below}/lower,upperdir={upper}/upper,workdir={upper}/work"
            work = stack.enter_context(folder())
            yield stack.enter_context(
                mounted(work / "mnt", "-t", "overlay", "-o", words + options, "overlay"))
    return share


EXT4 = loop("mkfs.ext4", "-q", "-F", "-m", "0")

KINDS = {
    "ext4": EXT4,
    "xfs": loop("mkfs.xfs", "-q"),
    "btrfs": loop("mkfs.btrfs", "-q"),
    "tmpfs": tmpfs,
    "overlay": overlay(),
    "overlay-two-fs": overlay(two_filesystems=True),
    "overlay-redirect": overlay(",redirect_dir=on"),
    "overlay-userxattr": overlay(",userxattr"),
}
