# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of what is tested: guest kernel x host file system x daemon options x scripts.

One row is one start of the daemon and one machine. A boot costs seconds under TCG, a script less:
put scripts that can share a boot into one row. Add a row, and tests/guest/run does the rest.
"""

from dataclasses import dataclass, field

MAP = {"xattr": True, "xattrmap": ":map:trusted.:user.virtiofs.:"}


@dataclass(frozen=True)
class Row:
    name: str
    kernel: str
    hostfs: str
    options: dict
    scripts: tuple
    cpus: int = 1
    queues: int = 1
    boots: int = 1
    reset: str = ""  # how the next boot comes: "" the guest reboots, "monitor" QEMU resets it
    uid: int = 0  # who runs the daemon
    env: dict = field(default_factory=dict)  # for the scripts in the guest
    dmesg_allow: str = ""  # regular expression of kernel warnings that belong to the row
    timeout: int = 300
    host_checks: bool = True


PLAIN = ("basics", "overlay", "thousand")

ROWS = [
    Row("6.1-ext4", "6.1", "ext4", MAP, PLAIN),
    Row("6.12-ext4", "6.12", "ext4", MAP, PLAIN),
    Row("6.1-ext4-lower-on-share", "6.1", "ext4", MAP, ("overlay",), env={"LOWER": "share"}),
    Row("6.12-ext4-lower-on-share", "6.12", "ext4", MAP, ("overlay",), env={"LOWER": "share"}),
    Row("6.12-ext4-four-queues", "6.12", "ext4", MAP, ("multiqueue", "overlay", "thousand"),
        cpus=4, queues=4),
    Row("6.1-ext4-reboot", "6.1", "ext4", MAP, ("reboot", "overlay"), boots=2),
    Row("6.12-ext4-reboot", "6.12", "ext4", MAP, ("reboot", "overlay"), boots=2),
    Row("6.12-ext4-reset", "6.12", "ext4", MAP, ("reboot", "overlay"), boots=2, reset="monitor"),
]
