# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories to share, each on a file system of its own kind.

    with hostfs.KINDS["ext4"]() as share: ...

Each is a context manager that gives a path and takes everything away again. tests/guest/run works
in a mount namespace of its own, and loop devices are freed with their mount, so that nothing stays
behind even when the run is killed.
"""

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boot


class Missing(Exception):
    """This machine cannot make such a file system."""


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{command[0]}: {(done.stderr or done.stdout).strip()}")


@contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="virtiofsd-share-") as path:
        os.chmod(path, 0o711)  # a daemon of an ordinary user must get through
        yield Path(path)


@contextmanager
def mounted(point, *arguments):
    point.mkdir(exist_ok=True)
    run("mount", *arguments, point)
    # What is mounted below it later must reach the daemon in its own mount namespace.
    run("mount", "--make-shared", point)
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


def fill_lower(lower):
    """A share's part that lies in the host's lower layer: what the guest changes there, the host
    copies up. The guest's script is scripts/hostlower.sh."""
    upper = lower / "hostlower" / "upper"
    (upper / "dir").mkdir(parents=True)
    (lower / "hostlower" / "work").mkdir()
    for name in ("file", "moved", "changed", "removed", "dir/inside"):
        (upper / name).write_text(f"host {name}\n")
    (upper / "first").write_text("host linked\n")
    os.link(upper / "first", upper / "second")
    os.symlink("target", upper / "link")
    for folder in ("merged", "moving"):
        (upper / folder).mkdir()
        (upper / folder / "inside").write_text("host\n")


def passthrough_program():
    """A FUSE file system that tells no types and refuses whiteouts (tests/overlay)."""
    source = boot.HERE.parent / "overlay" / "passthroughfs.c"
    program = boot.build_dir() / "passthroughfs"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3", "glib-2.0"],
                               capture_output=True, text=True).stdout.split()
        fresh = program.with_name(f"{program.name}.{os.getpid()}")
        run("gcc", "-O2", "-D_GNU_SOURCE", "-o", fresh, source, *flags)
        os.replace(fresh, program)
    return program


@contextmanager
def fuse():
    with EXT4() as source, folder() as work:
        point = work / "mnt"
        point.mkdir()
        process = subprocess.Popen(boot.with_parent([passthrough_program(), source, point]))
        try:
            end = time.monotonic() + 10
            while not point.is_mount():
                if process.poll() is not None or time.monotonic() > end:
                    raise Missing("the FUSE passthrough did not mount")
                time.sleep(0.02)
            run("mount", "--make-shared", point)
            yield point
        finally:
            subprocess.run(["umount", "-l", str(point)], check=False)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def why_no_nfs():
    """One sentence. Where there is a server, its mountd would have to see into the mount namespace
    of the tests; what NFS refuses of an upper (types, whiteouts, RENAME_WHITEOUT), the FUSE
    passthrough refuses as well."""
    if "\tnfsd\n" in Path("/proc/filesystems").read_text():
        return "an NFS server does not see the file systems that these tests mount for themselves"
    return "this kernel has no nfsd, so that there is nothing to share over NFS"


EXT4 = loop("mkfs.ext4", "-q", "-F", "-m", "0")

KINDS = {
    "ext4": EXT4,
    "xfs": loop("mkfs.xfs", "-q"),
    "btrfs": loop("mkfs.btrfs", "-q"),
    "tmpfs": tmpfs,
    "overlay": overlay(lower=fill_lower),
    "overlay-two-fs": overlay(two_filesystems=True, lower=fill_lower),
    "overlay-redirect": overlay(",redirect_dir=on", lower=fill_lower),
    "overlay-userxattr": overlay(",userxattr", lower=fill_lower),
    "fuse": fuse,
}
