# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator sees of a process from outside: /proc/PID and signals."""

import atexit
import functools
import os
import pwd
import shutil
import subprocess
import time
from contextlib import contextmanager

from tap import Skip

CAPS = ("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid",
        "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin",
        "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
        "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource",
        "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control",
        "setfcap")

# the nine of docs/security.rst
NEEDED = {"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "setgid", "setuid",
          "mknod", "setfcap"}


def status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def caps(pid, which):
    mask = int(status(pid)[which], 16)
    return {CAPS[i] if i < len(CAPS) else str(i) for i in range(64) if mask >> i & 1}


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def exists(pid):
    """A zombie counts as gone: it holds nothing any more."""
    try:
        return not status(pid)["State"].startswith(("Z", "X"))
    except (FileNotFoundError, ProcessLookupError):
        return False


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def mounts(pid):
    """(mount point, file system type, propagation) of each mount the process can reach."""
    result = []
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, right = line.split(" - ")
            fields = left.split()
            result.append((fields[4], right.split()[0], " ".join(fields[6:])))
    return result


def fds(pid):
    result = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            result[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return result


def wait_until(condition, seconds=1.0):
    """True as soon as it holds; the time it took is the caller's to measure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def need(program):
    if not shutil.which(program):
        raise Skip(f"needs {program}")


def _user_tool(*words):
    """useradd and userdel lock /etc/passwd; another test may hold it."""
    for _ in range(50):
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return
        if "lock" not in result.stderr:
            break
        time.sleep(0.1)
    raise AssertionError(f"{words[0]}: {result.stderr}")


@functools.cache
def _make_user():
    need("useradd")
    name = f"virtiofsd-t{os.getpid()}"
    _user_tool("useradd", "--no-create-home", "--system", "--add-subids-for-system", name)
    atexit.register(_user_tool, "userdel", name)
    return pwd.getpwnam(name)


@contextmanager
def ordinary_user():
    """A user of its own with subordinate ids, and the command prefix that runs a program as it."""
    need_root()
    need("setpriv")
    user = _make_user()
    yield user, ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]


def subordinate_ids(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(name + ":"):
                _, first, count = line.strip().split(":")
                return int(first), int(count)
    raise Skip(f"{name} has no ids in {path}")
