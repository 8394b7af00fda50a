# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scripts of the guest left on the share, looked at from the host.

CHECKS has the functions per script; each is a test of its own and gets the script's folder on the
share. Names of tests are "host.SCRIPT.NAME".
"""

import hashlib
import os
import stat

STORED = "user.virtiofs."


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} where {expected!r} was expected")


def whiteouts_are_char_devices(folder):
    for name in ("deleted", "dir-deleted", "moved", "dir-kept"):
        st = os.lstat(folder / "upper" / name)
        equal((name, stat.S_ISCHR(st.st_mode), st.st_rdev), (name, True, 0))


def opaque_mark_is_stored_by_the_map(folder):
    equal(os.getxattr(folder / "upper" / "dir-opaque", STORED + "trusted.overlay.opaque"), b"y")


def nothing_is_stored_as_trusted(folder):
    for path in [folder / "upper", *(folder / "upper").iterdir()]:
        names = os.listxattr(path, follow_symlinks=False)
        equal([name for name in names if name.startswith("trusted.")], [])


def contents_are_the_guests(folder):
    upper = folder / "upper"
    equal((upper / "created").read_text(), "new\n")
    equal((upper / "changed").read_text(), "lower changed\nmore\n")
    equal((upper / "replaced").read_text(), "a\n")
    equal(os.readlink(upper / "recreated"), "target")
    equal((upper / "kept").stat().st_uid, 1000)


def hard_links_are_one_file(folder):
    first, second = (os.stat(folder / "upper" / name) for name in ("linked", "linked2"))
    equal((first.st_ino, first.st_nlink >= 2), (second.st_ino, True))


def listing(folder):
    """For people: what quickstart shows of the same folder."""
    lines = []
    for path in sorted((folder / "upper").iterdir()):
        st = os.lstat(path)
        marks = [f"{name}={os.getxattr(path, name, follow_symlinks=False)!r}"
                 for name in os.listxattr(path, follow_symlinks=False) if name.endswith("opaque")]
        kind = "whiteout" if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0 else ""
        lines.append(f"{stat.filemode(st.st_mode)} {st.st_nlink} {st.st_uid}:{st.st_gid} "
                     f"{path.name} {kind}{' '.join(marks)}".rstrip())
    return lines


def sums_match(folder):
    lines = (folder / "sums").read_text().splitlines()
    equal(len(lines), 1000)
    for line in lines:
        digest, name = line.split()
        equal((name, hashlib.sha256((folder / name).read_bytes()).hexdigest()), (name, digest))


def all_files_are_there(folder):
    equal(sum(1 for path in folder.glob("d?/*")), 400)
    for cpu in range(1, 4):
        equal((folder / f"copy-{cpu}").read_bytes() == (folder / "copy-0").read_bytes(), True)


def quickstart_whiteouts(folder):
    for name in ("deleted", "moved"):
        st = os.lstat(folder / "upper" / name)
        equal((name, stat.S_ISCHR(st.st_mode), st.st_rdev), (name, True, 0))


def quickstart_opaque_mark(folder):
    equal(os.getxattr(folder / "upper" / "dir", STORED + "trusted.overlay.opaque"), b"y")


def quickstart_contents(folder):
    upper = folder / "upper"
    equal((upper / "created").read_text(), "made in the guest\n")
    equal((upper / "linked").samefile(upper / "created"), True)
    equal((upper / "kept").read_text(), "lower kept\nand more\n")
    equal((upper / "made-away" / "file").read_text(), "deep\n")


CHECKS = {
    "quickstart": [quickstart_whiteouts, quickstart_opaque_mark, quickstart_contents],
    "overlay": [whiteouts_are_char_devices, opaque_mark_is_stored_by_the_map,
                nothing_is_stored_as_trusted, contents_are_the_guests, hard_links_are_one_file],
    "thousand": [sums_match],
    "multiqueue": [all_files_are_there],
}
