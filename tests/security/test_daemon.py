#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as its caller and an administrator see it: started, connected to, looked at in /proc,
ended in every way.

Usage: test_daemon.py [TEST...], with VIRTIOFSD naming the program."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import outside
from outside import NEEDED, caps, need_root, ordinary_user, status, wait_until
from tap import Skip, expect, expect_equal, run, test

DAEMON = os.environ["VIRTIOFSD"]
READY = "Waiting for vhost-user socket connection"
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
VHOST_USER_GET_FEATURES = 1


class Daemon:
    """A started daemon with a share and a socket of its own; use it as a context."""

    def __init__(self, *options, prefix=(), user=None, ready=True):
        self.top = tempfile.mkdtemp(prefix="virtiofsd-")
        self.share = os.path.join(self.top, "share")
        self.path = os.path.join(self.top, "socket")
        os.mkdir(self.share)
        if user:
            for path in (self.top, self.share):
                os.chown(path, user.pw_uid, user.pw_gid)
        self.connection = None
        self.process = subprocess.Popen(
            [*prefix, DAEMON, "--socket-path", self.path, "--shared-dir", self.share, *options],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=ENV)
        if ready:
            line = self.process.stderr.readline()
            expect(READY in line, "not ready:", line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.top)

    @property
    def pid(self):
        return self.process.pid

    @property
    def worker(self):
        below = outside.children(self.pid)
        return below[0] if below else self.pid

    def connect(self):
        """Returns once the worker serves: it has answered a message."""
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(5)
        self.connection.connect(self.path)
        self.connection.sendall(struct.pack("<III", VHOST_USER_GET_FEATURES, 1, 0))
        answer = self.connection.recv(20)
        expect_equal(len(answer), 20, "answer to GET_FEATURES")
        return self

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def left_over(self):
        return sorted(set(os.listdir(self.top)) - {"share"})

    def wait(self, seconds=3):
        return self.process.wait(seconds)


def check_confined(pid, in_userns):
    for which in ("CapPrm", "CapEff", "CapBnd"):
        expect_equal(caps(pid, which), NEEDED, which)
    for which in ("CapInh", "CapAmb"):
        expect_equal(caps(pid, which), set(), which)
    for task in os.listdir(f"/proc/{pid}/task"):
        expect_equal(status(f"{pid}/task/{task}")["Seccomp"], "2", f"thread {task}")
        expect_equal(status(f"{pid}/task/{task}")["NoNewPrivs"], "1", f"thread {task}")
        expect_equal(status(f"{pid}/task/{task}")["CapEff"], status(pid)["CapEff"], task)
    for kind in ("mnt", "pid", "net", "ipc", "uts") + (("user",) if in_userns else ()):
        expect(outside.namespace(pid, kind) != outside.namespace("self", kind), kind)
    expect_equal([m[0] for m in outside.mounts(pid)], ["/"], "mounts")
    expect_equal(os.readlink(f"/proc/{pid}/cwd"), "/", "working directory")


@test
def worker_is_confined_as_promised():
    need_root()
    with Daemon() as daemon:
        daemon.connect()
        check_confined(daemon.worker, False)
        expect_equal(status(daemon.worker)["Groups"].strip(), "", "groups")


@test
def ordinary_user_is_confined_too():
    with ordinary_user() as (user, prefix):
        with Daemon(prefix=prefix, user=user) as daemon:
            daemon.connect()
            check_confined(daemon.worker, True)
            os.kill(daemon.pid, signal.SIGTERM)
            expect_equal(daemon.wait(1), 0)
            expect_equal(daemon.left_over(), [], "files")


@test
def descriptors_are_the_committed_ones():
    need_root()
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "expected-fds.daemon"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and line[0] != "#"]
    wanted = sorted(line for line in lines if line[0] != "?")
    optional = [line[1:].strip() for line in lines if line[0] == "?"]
    with Daemon() as daemon:
        daemon.connect()
        got = sorted("socket" if target.startswith("socket:") else target
                     for number, target in outside.fds(daemon.worker).items() if number > 2)
        for target in optional:
            if got.count(target) > wanted.count(target):
                wanted = sorted([*wanted, target])
        expect_equal(got, wanted, "descriptors above 2")


@test
def supervisor_holds_only_the_pid_file():
    need_root()
    with Daemon() as daemon:
        daemon.connect()
        expect(daemon.worker != daemon.pid, "two processes")
        expect_equal(caps(daemon.pid, "CapEff"), {"dac_override", "kill"})
        above = [t.split(":")[0] for n, t in outside.fds(daemon.pid).items() if n > 2]
        expect_equal(sorted(above), sorted([daemon.path + ".pid", "pipe", "anon_inode"]))


@test
def readiness_comes_with_socket_and_pid_file():
    with Daemon() as daemon:
        expect_equal(daemon.left_over(), ["socket", "socket.pid"])
        expect_equal(os.stat(daemon.path).st_mode & 0o777, 0o700, "socket mode")
        expect_equal(os.stat(daemon.path + ".pid").st_mode & 0o777, 0o600, "pid file mode")
        with open(daemon.path + ".pid", encoding="utf-8") as file:
            expect_equal(int(file.read()), daemon.pid)


@test
def name_and_parent_are_what_callers_look_for():
    with Daemon() as daemon:
        expect_equal(status(daemon.pid)["Name"], "virtiofsd")
        expect_equal(status(daemon.pid)["PPid"], str(os.getpid()))
        daemon.connect()
        expect_equal(status(daemon.worker)["Name"], "virtiofsd")


@test
def second_daemon_on_the_socket_is_refused():
    with Daemon() as daemon:
        second = subprocess.run([DAEMON, "--socket-path", daemon.path, "--shared-dir",
                                 daemon.share], capture_output=True, text=True, timeout=5,
                                check=False)
        expect_equal(second.returncode, 1)
        expect(str(daemon.pid) in second.stderr, second.stderr)
        daemon.connect()


def ends_cleanly(daemon, sig):
    worker = daemon.worker
    started = time.monotonic()
    os.kill(daemon.pid, sig)
    expect_equal(daemon.wait(2), 0, f"status after {sig!r}")
    expect(time.monotonic() - started < 1, sig, "took", time.monotonic() - started)
    expect(not outside.exists(worker), "worker lives on")
    expect_equal(daemon.left_over(), [], "files")


@test
def sigterm_before_a_connection_cleans_up():
    for sandbox in ("namespace", "none"):
        with Daemon("--sandbox", sandbox) as daemon:
            ends_cleanly(daemon, signal.SIGTERM)


@test
def sigterm_while_serving_cleans_up_within_a_second():
    need_root()
    for sandbox in ("namespace", "chroot", "none"):
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with Daemon("--sandbox", sandbox) as daemon:
                daemon.connect()
                ends_cleanly(daemon, sig)


@test
def end_of_the_front_end_is_a_clean_end():
    need_root()
    for sandbox in ("namespace", "chroot", "none"):
        with Daemon("--sandbox", sandbox) as daemon:
            daemon.connect()
            daemon.disconnect()
            expect_equal(daemon.wait(), 0, sandbox)
            expect_equal(daemon.left_over(), [], sandbox)


@test
def sigkill_of_the_known_process_leaves_nothing_running():
    need_root()
    for sandbox in ("namespace", "chroot", "none"):
        with Daemon("--sandbox", sandbox) as daemon:
            daemon.connect()
            worker = daemon.worker
            os.kill(daemon.pid, signal.SIGKILL)
            expect(wait_until(lambda: not outside.exists(worker)), sandbox, "worker lives on")
            expect_equal(daemon.connection.recv(1), b"", "the front end sees the end")


@test
def end_of_the_worker_is_the_end():
    need_root()
    with Daemon() as daemon:
        daemon.connect()
        os.kill(daemon.worker, signal.SIGKILL)
        expect_equal(daemon.wait(), 128 + signal.SIGKILL)
        expect_equal(daemon.left_over(), [], "files")
        expect_equal(daemon.connection.recv(1), b"", "the front end sees the end")


@test
def cgroup_given_to_the_known_pid_holds_the_worker():
    need_root()
    for base in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(os.path.join(base, "cgroup.procs")):
            break
    else:
        raise Skip("no writable cgroup hierarchy")
    group = os.path.join(base, f"virtiofsd-test-{os.getpid()}")
    os.mkdir(group)
    try:
        with Daemon() as daemon:
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="utf-8") as file:
                file.write(str(daemon.pid))
            daemon.connect()
            with open(os.path.join(group, "cgroup.procs"), encoding="utf-8") as file:
                expect_equal(sorted(map(int, file.read().split())),
                             sorted([daemon.pid, daemon.worker]))
        wait_until(lambda: not open(os.path.join(group, "cgroup.procs"),
                                    encoding="utf-8").read())
    finally:
        os.rmdir(group)


@test
def what_cannot_work_is_said_before_a_socket_exists():
    with ordinary_user() as (user, prefix):
        with Daemon("--sandbox=chroot", prefix=prefix, user=user, ready=False) as daemon:
            expect_equal(daemon.wait(), 1)
            expect("--sandbox=namespace" in daemon.process.stderr.read(), "hint")
            expect_equal(daemon.left_over(), [], "files")
    with Daemon("--sandbox=none", "--uid-map=:0:1000:1:", ready=False) as daemon:
        expect_equal(daemon.wait(), 1)
        expect("--sandbox=namespace" in daemon.process.stderr.read(), "hint")
        expect_equal(daemon.left_over(), [], "files")


@test
def modcaps_reach_the_worker():
    need_root()
    with Daemon("--modcaps=+sys_admin:-mknod") as daemon:
        daemon.connect()
        expect_equal(caps(daemon.worker, "CapEff"), NEEDED - {"mknod"} | {"sys_admin"})
        expect_equal(caps(daemon.worker, "CapBnd"), NEEDED - {"mknod"} | {"sys_admin"})


@test
def guest_memory_stays_out_of_dumps():
    with Daemon() as daemon:
        daemon.connect()
        with open(f"/proc/{daemon.worker}/limits", encoding="utf-8") as file:
            core = [line for line in file if line.startswith("Max core file size")]
        expect_equal(core[0].split()[4:6], ["0", "0"], "core limit")
    with ordinary_user() as (user, prefix):
        with Daemon(prefix=prefix, user=user) as daemon:
            daemon.connect()
            look = subprocess.run([*prefix, "ls", f"/proc/{daemon.worker}/fd"],
                                  capture_output=True, check=False)
            expect(look.returncode != 0, "the same user can look into the worker")


@test
def open_files_are_bounded():
    need_root()
    with open("/proc/sys/fs/file-max", encoding="utf-8") as file:
        spare = max(int(file.read()) - 16384, 1024)
    for option, limit in (((), min(1000000, spare)), (("--rlimit-nofile=2000",), 2000)):
        with Daemon(*option) as daemon:
            daemon.connect()
            with open(f"/proc/{daemon.worker}/limits", encoding="utf-8") as file:
                line = [line for line in file if line.startswith("Max open files")][0]
            expect(int(line.split()[3]) <= limit, line)


if __name__ == "__main__":
    sys.exit(run())
