# SPDX-License-Identifier: GPL-2.0-or-later
"""Load on --mount for a while, SOAK_SECONDS for each set of options (8): nothing is lost, and the
daemon has as many files open and about as much memory afterwards as before."""

import os

import local

SOAK = os.environ["SOAK"]
SECONDS = os.environ.get("SOAK_SECONDS", "8")
WAYS = [["--xattr"], ["--overlay-upper", "--writeback"], ["--cache=never", "--allow-mmap"]]
SLACK_KIB = 64 << 10  # buffers that are kept for the next burst


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def main():
    local.enter()
    tap = local.Tap()
    with local.Place() as place:
        ext4 = place.image("ext4")
        for number, options in enumerate(WAYS):
            name = " ".join(options)
            folder = ext4 / str(number)
            folder.mkdir()
            with local.Mounted(place, ext4, *options) as mounted:
                path = mounted.path / str(number)
                os.listdir(path)
                worker = mounted.worker()
                files, kib = len(os.listdir(f"/proc/{worker}/fd")), memory(worker)
                tap.program(name, [SOAK, path, SECONDS], timeout=int(SECONDS) + 120)
                few = local.soon(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= files + 8)
                tap.case(few, f"{name}: as many open files as before",
                         f"{files} then, {len(os.listdir(f'/proc/{worker}/fd'))} now")
                tap.case(memory(worker) < kib + SLACK_KIB, f"{name}: as much memory as before",
                         f"{kib} KiB then, {memory(worker)} KiB now")
                tap.case(mounted.stop() == 0, f"{name}: ends well", mounted.words())
    tap.end()


main()
