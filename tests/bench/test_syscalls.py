# SPDX-License-Identifier: GPL-2.0-or-later
"""Speed that can be kept by counting: system calls per operation, as vfsbench counts them.

A table says for each workload what the floor is (an experiment that does the least a daemon can
do, see docs/performance.rst) and what the daemon needs now. More than "now" fails; so does a whole
call less, because then the table is out of date and would let the gain slip away again. All at
depth 1 with a guest that lets the daemon fall asleep: two of the calls of every request are the
wait for the kick and the signal. (The experiment's own figures for write and untar, 2.6 and 26.7,
have some of these waits missing, because its daemon was not always asleep.)

    VFSBENCH=... VIRTIOFSD=... test_syscalls.py [WORKLOAD...]        prints TAP
"""

import json
import os
import subprocess
import sys

VFSBENCH = os.environ.get("VFSBENCH", "vfsbench")
VIRTIOFSD = os.environ.get("VIRTIOFSD", "virtiofsd")

# workload: (now, floor)
TABLE = {
    "getattr": (3, 3),
    "lookup-hit": (3, 3),
    "lookup-miss": (3, 3),
    "open": (8, 8),              # openat, close, three times two to be woken and to signal
    "getxattr": (3, 3),
    "getxattr-miss": (3, 3),
    "getxattr-hidden": (2, 2),
    "listxattr": (3, 3),
    "setxattr": (3, 3),
    "read-4k": (3, 3),
    "read-128k": (3, 3),
    "read-1m": (3, 3),
    "write-4k": (3, 3),
    "write-1m": (3, 3),
    "create-unlink": (16, 16),
    "untar": (28, 26.7),
    "storm": (5, 5),
    "mkdir-rename": (14, 14),
    "storm-forget": (7, 7),      # a look-up and a FORGET, which needs no signal; one is a close
    "readdirplus": (1.09, 1.09),
    "readdirplus-new": (3.09, 3.09),
}

# Above: a task that the tracer has interrupted enters its wait once more. Below: on a busy machine
# the daemon may find a request before it sleeps.
MORE, LESS = 0.06, 0.7


def count(workloads):
    """{workload: (calls per operation, {name: calls})}"""
    command = [VFSBENCH, "--count", "--rounds=1", "--ms=1", "--storm-files=2000", "--json",
               f"{VIRTIOFSD} --socket-path={{sock}} --shared-dir={{dir}} --overlay-upper",
               *workloads]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        print(f"Bail out! {done.stderr.strip()}")
        sys.exit(1)
    for line in done.stderr.splitlines():
        print(f"# {line}")
    found = {}
    for result in json.loads(done.stdout):
        target = result["targets"][0]
        found[result["workload"]] = (target["calls_per_op"], target["calls"])
    return found


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP counting needs root: the daemon's threads are traced")
        return
    chosen = sys.argv[1:] or list(TABLE)
    found = count(chosen)
    print(f"1..{len(chosen)}")
    for number, name in enumerate(chosen, 1):
        now, floor = TABLE[name]
        calls, by_name = found.get(name, (None, {}))
        good = calls is not None and now - LESS < calls <= now + MORE * max(1, now / 3)
        at = (f"{calls:.2f} system calls, {now} in the table, floor {floor}"
              if calls is not None else "no result")
        print(f"{'ok' if good else 'not ok'} {number} - {name}: {at}")
        if not good:
            for call, times in sorted(by_name.items(), key=lambda item: -item[1]):
                print(f"#   {call} {times:.2f}")


if __name__ == "__main__":
    main()
