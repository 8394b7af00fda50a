# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scripts of the guest left on the share, looked at from the host.

CHECKS has the functions per script; each is a test of its own and gets the script's folder on the
share. Names of tests are "host.SCRIPT.NAME".
"""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

STORED = "user.virtiofs."
WHITEOUT_TARGET = "/.virtiofsd-overlay-whiteout/char-0:0"


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} where {expected!r} was expected")


def form_of_whiteout(path):
    st = os.lstat(path)
    if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
        return "native"
    if stat.S_ISLNK(st.st_mode) and os.readlink(path) == WHITEOUT_TARGET:
        return "link"
    return "none"


def whiteouts_have_the_form_of_this_host(folder, row):
    names = ("deleted", "dir-deleted", "moved", "dir-kept")
    equal([(name, form_of_whiteout(folder / "upper" / name)) for name in names],
          [(name, row.whiteouts) for name in names])


def opaque_mark_is_stored_by_the_map(folder, row):
    equal(os.getxattr(folder / "upper" / "dir-opaque", STORED + "trusted.overlay.opaque"), b"y")


def nothing_is_stored_as_trusted(folder, row):
    for path in [folder / "upper", *(folder / "upper").iterdir()]:
        names = os.listxattr(path, follow_symlinks=False)
        equal([name for name in names if name.startswith("trusted.")], [])


def contents_are_the_guests(folder, row):
    upper = folder / "upper"
    equal((upper / "created").read_text(), "new\n")
    equal((upper / "changed").read_text(), "lower changed\nmore\n")
    equal((upper / "replaced").read_text(), "a\n")
    equal(os.readlink(upper / "recreated"), "target")
    uid = (upper / "kept").stat().st_uid
    equal(uid > 1000 if row.ordinary_user else uid, True if row.ordinary_user else 1000)


def hard_links_are_one_file(folder, row):
    first, second = (os.stat(folder / "upper" / name) for name in ("linked", "linked2"))
    equal((first.st_ino, first.st_nlink >= 2), (second.st_ino, True))


def listing(folder):
    """For people: what quickstart shows of the same folder."""
    lines = []
    for path in sorted((folder / "upper").iterdir()):
        st = os.lstat(path)
        marks = [f"{name}={os.getxattr(path, name, follow_symlinks=False)!r}"
                 for name in os.listxattr(path, follow_symlinks=False) if name.endswith("opaque")]
        form = form_of_whiteout(path)
        kind = f"whiteout, {form}" if form != "none" else ""
        lines.append(f"{stat.filemode(st.st_mode)} {st.st_nlink} {st.st_uid}:{st.st_gid} "
                     f"{path.name} {kind}{' '.join(marks)}".rstrip())
    return lines


def sums_match(folder, row):
    lines = (folder / "sums").read_text().splitlines()
    equal(len(lines), 1000)
    for line in lines:
        digest, name = line.split()
        equal((name, hashlib.sha256((folder / name).read_bytes()).hexdigest()), (name, digest))


def all_files_are_there(folder, row):
    equal(sum(1 for path in folder.glob("d?/*")), 400)
    for cpu in range(1, 4):
        equal((folder / f"copy-{cpu}").read_bytes() == (folder / "copy-0").read_bytes(), True)


def quickstart_whiteouts(folder):
    for name in ("deleted", "moved"):
        equal((name, form_of_whiteout(folder / "upper" / name)), (name, "link"))


def quickstart_opaque_mark(folder):
    equal(os.getxattr(folder / "upper" / "dir", STORED + "trusted.overlay.opaque"), b"y")


def quickstart_contents(folder):
    upper = folder / "upper"
    equal((upper / "created").read_text(), "made in the guest\n")
    equal((upper / "linked").samefile(upper / "created"), True)
    equal((upper / "kept").read_text(), "lower kept\nand more\n")
    equal((upper / "made-away" / "file").read_text(), "deep\n")


def nothing_reserved_is_left(folder, row):
    """No temporary name of the daemon, and no intent in its journal."""
    share = folder.parent
    left = [str(path) for path in share.rglob(".virtiofsd-overlay.*")
            if path.name != ".virtiofsd-overlay.journal" or any(path.iterdir())]
    equal(left, [])


# --- what a script can ask the host to do while its guest runs: host NAME ---


def mount_rootfs(share):
    """As Kata does for each container: <id>/rootfs, an overlayfs of its own. Its layers are not on
    the share."""
    rootfs = share / "containers" / "one" / "rootfs"
    layers = share.parent / "layers"
    for path in (rootfs, layers):
        path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "layers", layers], check=True)
    for name in ("lower/etc", "upper", "work"):
        (layers / name).mkdir(parents=True)
    (layers / "lower" / "etc" / "release").write_text("a container's root\n")
    words = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", words, "rootfs", rootfs], check=True)


def unmount_rootfs(share):
    """Not lazily: nobody may hold it."""
    subprocess.run(["umount", share / "containers" / "one" / "rootfs"], check=True,
                   capture_output=True, text=True)
    subprocess.run(["umount", share.parent / "layers"], check=True)


def copy_up_on_host(share):
    """The host copies up what the guest has open or knows by name."""
    upper = share / "hostlower" / "upper"
    os.chmod(upper / "file", 0o640)
    os.chmod(upper / "dir" / "inside", 0o640)
    os.chmod(upper / "first", 0o640)
    os.utime(upper / "link", (1, 1), follow_symlinks=False)


ACTIONS = {action.__name__: action for action in (mount_rootfs, unmount_rootfs, copy_up_on_host)}


class Helper:
    """Does what the console asks for with "=== host ACTION ANSWER-FILE"."""

    def __init__(self, share):
        self.share = share

    def line(self, text):
        words = text.split()
        if words[:2] != ["===", "host"] or len(words) != 4 or words[2] not in ACTIONS:
            return
        try:
            ACTIONS[words[2]](self.share)
            answer = "ok"
        except (OSError, subprocess.SubprocessError) as problem:
            answer = f"{problem} {getattr(problem, 'stderr', '') or ''}"
        path = self.share / Path(words[3]).name
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(f"{answer}\n")
        os.rename(fresh, path)


OVERLAY_CHECKS = [whiteouts_have_the_form_of_this_host, opaque_mark_is_stored_by_the_map,
                  nothing_is_stored_as_trusted, contents_are_the_guests, hard_links_are_one_file]

CHECKS = {
    "quickstart": [quickstart_whiteouts, quickstart_opaque_mark, quickstart_contents],
    "overlay": OVERLAY_CHECKS,
    "thousand": [sums_match],
    "multiqueue": [all_files_are_there],
    "overlay-ops": [nothing_reserved_is_left],
}
