# SPDX-License-Identifier: GPL-2.0-or-later
"""50,000 random system calls on --mount and on ext4 itself, for each of a few sets of options.

The seeds are fixed, so that a run can be compared with the last one; DIFFER_SEED=N takes another,
DIFFER_COUNT=N more calls.
"""

import os

import local

DIFFER = os.environ["DIFFER"]
COUNT = os.environ.get("DIFFER_COUNT", "50000")

# Not --whiteout=emulate, where all whiteouts are one; nor --killpriv-v2, for which the kernel's FUSE
# client leaves chown(-1, -1) out (test_posix.py knows); nor --writeback, where it asks for holes
# before it has written.
WAYS = [
    ["--xattr"],
    ["--overlay-upper"],
    ["--cache=never", "--allow-mmap", "--posix-acl"],
    ["--xattr", "--timeout=0.001", "--inode-file-handles=never"],
]


def nested(folder):
    """So deep that a random symlink upwards does not leave it for the other side's."""
    path = folder / "a" / "b" / "c" / "d"
    path.mkdir(parents=True)
    return path


def main():
    local.enter()
    tap = local.Tap()
    with local.Place() as place:
        ext4 = place.image("ext4")
        for number, options in enumerate(WAYS):
            here = f"{number}-reference"
            there = f"{number}-ours"
            reference = nested(ext4 / here)
            ours = nested(ext4 / there).relative_to(ext4)
            with local.Mounted(place, ext4, "--mount-options=dev,suid", *options) as mounted:
                tap.program(" ".join(options), [DIFFER, reference, mounted.path / ours, COUNT,
                                                os.environ.get("DIFFER_SEED", number + 1)])
                tap.case(mounted.stop() == 0, f"{' '.join(options)}: ends well", mounted.words())
    tap.end()


main()
