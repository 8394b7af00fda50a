# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of what is tested: guest kernel x host file system x daemon options x scripts.

One row is one start of the daemon and one machine. A boot costs seconds under TCG, a script less:
put scripts that can share a boot into one row. Add a row, and tests/guest/run does the rest.
"""

import os
from dataclasses import dataclass, field

MAP = {"xattr": True, "xattrmap": ":map:trusted.:user.virtiofs.:"}


@dataclass(frozen=True)
class Life:
    """Another daemon on the same share, and another machine with it."""
    scripts: tuple
    options: dict
    before: tuple = ()  # what the host does to the share first: names in hostview.ACTIONS


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
    ordinary_user: bool = False  # runs the daemon, in a user namespace that has all ids
    env: dict = field(default_factory=dict)  # for the scripts in the guest
    dmesg_allow: str = ""  # regular expression of kernel warnings that belong to the row
    timeout: int = 300
    host_checks: bool = True
    whiteouts: str = "native"  # or "link": how this host stores them
    then: tuple = ()  # further lives, one after the other


PLAIN = ("basics", "overlay", "thousand")
OVERLAY = {"overlay-upper": True}

# Where a whiteout is a symbolic link on the host, and where there are no file handles: there a
# 6.12 guest is told so at its mount, and overlayfs says that it does without an index.
EMULATED = ("overlay", "overlay-two-fs", "overlay-redirect", "overlay-userxattr", "fuse")
NO_INDEX = "falling back to (index|xino)=off"


def overlay_row(series, hostfs, user=False):
    """All that an overlay on one host file system has to show, in one boot; then a second boot
    with a new daemon for what must outlive it.

    Left out: four-queue guests (nothing in an overlay depends on the queue); other file systems
    than ext4 and overlayfs under a daemon that is an ordinary user (what differs there is the
    daemon's rights, not the file system); and with 6.1 the long lists of operations where the
    daemon does the same as on another file system of the table: as on ext4 where whiteouts are
    native, as on overlay where they are links."""
    emulated = hostfs in EMULATED
    scripts = ("overlay", "overlay-user", "overlay-options")
    if series != "6.1" or hostfs in ("ext4", "overlay", "overlay-two-fs", "fuse"):
        scripts = ("overlay", "overlay-raw", "overlay-ops", "overlay-user", "overlay-options")
    if hostfs.startswith("overlay") and not user:
        scripts += ("hostlower",)
    return Row(f"{series}-overlay-upper-{hostfs}{'-user' if user else ''}", series, hostfs, OVERLAY,
               scripts, ordinary_user=user, whiteouts="link" if emulated else "native",
               env={"DAEMON": "user" if user else "root"},
               dmesg_allow=NO_INDEX if series != "6.1" and (emulated or user) else "",
               then=(Life(("overlay-again",), OVERLAY),))


def submount_row(series, announced):
    options = {**OVERLAY, "announce-submounts" if announced else "no-announce-submounts": True}
    return Row(f"{series}-submount-{'announced' if announced else 'plain'}", series, "overlay",
               options, ("submount",), env={"ANNOUNCED": "yes" if announced else "no"},
               dmesg_allow=NO_INDEX if series != "6.1" else "")


def soak_row(series, hostfs):
    return Row(f"{series}-soak-{hostfs}", series, hostfs, OVERLAY, ("soak",), timeout=580,
               env={"SOAK_SEED": os.environ.get("SOAK_SEED", "1"),
                    "SOAK_OPERATIONS": os.environ.get("SOAK_OPERATIONS", "20000")})


SERIES = ("6.1", "6.12")
HOSTS = ("ext4", "xfs", "btrfs", "tmpfs", *EMULATED)

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
    # What other daemons wrote with the map alone, and native whiteouts, is read as it is.
    *(Row(f"{series}-inherit", series, "ext4", MAP, ("overlay",), env={"LOWER": "share"},
          host_checks=False, then=(Life(("overlay-inherit",), OVERLAY),)) for series in SERIES),
    *(overlay_row(series, hostfs) for hostfs in HOSTS for series in SERIES),
    *(overlay_row("6.12", hostfs, user=True) for hostfs in ("ext4", "overlay")),
    *(submount_row(series, announced) for announced in (True, False) for series in SERIES),
    *(soak_row(series, hostfs) for hostfs in ("ext4", "overlay") for series in SERIES),
]
