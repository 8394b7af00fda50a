# SPDX-License-Identifier: GPL-2.0-or-later
"""The POSIX cases, on ext4 itself, which shows that they are right, and on --mount of it."""

import os

import local

POSIX = os.environ["POSIX"]

# What the daemon is told, and what the cases have to know of it.
WAYS = [
    (["--xattr"], []),
    (["--posix-acl", "--killpriv-v2"], ["--killpriv"]),
    (["--overlay-upper"], []),
    (["--overlay-upper", "--whiteout=emulate"], []),
    (["--cache=never", "--allow-mmap", "--xattr"], []),
    (["--cache=always", "--writeback", "--posix-acl"], []),
    (["--xattr", "--flock", "--posix-lock"], []),
    (["--xattr", "--allow-direct-io", "--inode-file-handles=never", "--thread-pool-size=0"], []),
    (["--xattr", "--sandbox=chroot", "--tmpfile=on"], []),
]


def on_mount(tap, place, share, options, words, name):
    folder = share / "cases"
    folder.mkdir()
    with local.Mounted(place, share, *options) as mounted:
        tap.program(name, [POSIX, *words, mounted.path / "cases"])
        tap.case(mounted.stop() == 0, f"{name}: the daemon ends well", mounted.words())
    folder.rmdir()


def main():
    local.enter()
    tap = local.Tap()
    with local.Place() as place:
        ext4 = place.image("ext4")
        tap.program("ext4 itself", [POSIX, ext4])
        for options, words in WAYS:
            on_mount(tap, place, ext4, options, words, f"ext4 {' '.join(options)}")
        for folder in ("lower", "upper", "work"):
            (ext4 / folder).mkdir()
        outer = place.overlay("outer", ext4 / "lower", ext4 / "upper", ext4 / "work")
        on_mount(tap, place, outer, ["--overlay-upper"], [], "host overlayfs --overlay-upper")
    tap.end()


main()
