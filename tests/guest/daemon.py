# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts and stops the daemon under test, whichever it is.

VIRTIOFSD names the binary; without it the one in the build folder is taken. VIRTIOFSD_OPTS are
further words for its command line. The two command-line
dialects meet only here: which one a daemon speaks it says itself in --print-capabilities, the way
libvirt asks.
"""

import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boot

sys.path.append(str(boot.HERE.parent / "security"))
import outside

USER_LOCK = threading.Lock()


def ordinary_user():
    """A user with subordinate ids: (uid, --uid-map lines, --gid-map lines), all ids mapped."""
    with USER_LOCK, outside.ordinary_user() as (user, _):
        maps = []
        for path, own in (("/etc/subuid", user.pw_uid), ("/etc/subgid", user.pw_gid)):
            first, count = outside.subordinate_ids(path, user.pw_name)
            maps.append([f":0:{own}:1:", f":1:{first}:{count}:"])
        return user.pw_uid, *maps


def binary():
    chosen = os.environ.get("VIRTIOFSD")
    if chosen:
        return Path(chosen)
    return boot.build_dir().parent / "tools" / "virtiofsd" / "virtiofsd"


def has_separate_options(path):
    out = subprocess.run([path, "--print-capabilities"], capture_output=True, text=True).stdout
    try:
        return "separate-options" in json.loads(out).get("features", [])
    except ValueError:
        return True


def arguments(path, share, vhost_socket, options):
    """options: {"xattr": True, "xattrmap": "...", "cache": "auto"}; False leaves a word out, a list
    repeats it."""
    wanted = {name: value for name, value in options.items() if value is not False}
    if has_separate_options(path):
        words = [f"--shared-dir={share}", f"--socket-path={vhost_socket}"]
        for name, value in wanted.items():
            for each in value if isinstance(value, list) else [value]:
                words.append(f"--{name}" if each is True else f"--{name}={each}")
        return words
    words = [f"source={share}"]
    for name, value in wanted.items():
        name = name.replace("-", "_")
        words.append(name if value is True else f"{name}={value}".replace(",", ",,"))
    return [f"--socket-path={vhost_socket}", "-o", ",".join(words)]


class Daemon:
    """with Daemon(share, options) as daemon: ... daemon.socket ...

    Afterwards daemon.problem is None or says what was wrong with the way it ended: a daemon must
    leave with status 0 when its front end is gone."""

    def __init__(self, share, options, uid=0):
        self.work = tempfile.TemporaryDirectory(prefix="virtiofsd-sock-")
        os.chmod(self.work.name, 0o777 if uid else 0o700)
        self.socket = Path(self.work.name) / "vhost.sock"
        self.share = share
        self.options = options
        self.uid = uid
        self.process = None
        self.problem = None

    def __enter__(self):
        path = binary()
        command = [path, *arguments(path, self.share, self.socket, self.options),
                   *os.environ.get("VIRTIOFSD_OPTS", "").split()]
        if self.uid:
            gid = pwd.getpwuid(self.uid).pw_gid
            command = ["setpriv", "--reuid", self.uid, "--regid", gid, "--init-groups", *command]
        self.log = open(Path(self.work.name) / "log", "w+")
        self.process = subprocess.Popen(boot.with_parent(command), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        try:
            self.wait_until_listening()
        except Exception:
            self.end(signal.SIGKILL)
            self.work.cleanup()
            raise
        return self

    def wait_until_listening(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended at start: {self.messages()}")
            if self.is_listening():
                return
            time.sleep(0.01)
        raise RuntimeError(f"the daemon did not listen within 20 s: {self.messages()}")

    def is_listening(self):
        # Flag 10000 is "accepts connections": the file alone appears before listen().
        with open("/proc/net/unix") as table:
            for line in table:
                fields = line.split()
                if fields[-1] == str(self.socket) and fields[3] == "00010000":
                    return True
        return False

    def messages(self):
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace").strip()

    def end(self, how):
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(self, kind, value, trace):
        try:
            status = self.process.wait(0.1 if kind else 10)
            if status:
                self.problem = f"the daemon ended with status {status}: {self.messages()}"
        except subprocess.TimeoutExpired:
            self.problem = "the daemon did not end with its front end"
            self.end(signal.SIGTERM)
        self.output = self.messages()
        self.log.close()
        self.work.cleanup()
