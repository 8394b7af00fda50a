#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract with those who start the daemon: each is played here with its own words, its own
descriptors, its own idea of when the daemon is ready, and its own way to end it.

The command lines are those of the callers' sources, literally; only paths differ. Kata's two
runtimes are looked at most closely, since a sandbox there hangs or dies when the contract breaks.

Usage: test_callers.py [TEST...], with VIRTIOFSD naming the program."""

import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "security"), str(HERE.parent / "guest")]

import hostfs  # noqa: E402
import outside  # noqa: E402
from outside import need_root, wait_until  # noqa: E402
from tap import expect, expect_equal, run, test  # noqa: E402

DAEMON = os.environ["VIRTIOFSD"]
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
READY = "Waiting for vhost-user socket connection"
GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 1, 15, 16, 17
F_PROTOCOL_FEATURES = 1 << 30
PROTOCOL_F_MQ = 1 << 0
PROTOCOL_F_REPLY_ACK = 1 << 3
NEED_REPLY = 1 << 3



def fragment(name):
    with open(HERE.parent.parent / "contrib" / "kata" / name, "rb") as file:
        return tomllib.load(file)


# With what we tell administrators to write, so that engines in the guest work; and without.
KATA_GO = fragment("configuration-qemu.toml.fragment")["virtio_fs_extra_args"]
KATA_RS = fragment("configuration-qemu-runtime-rs.toml.fragment")["virtio_fs_extra_args"]
KATA_GO_DEFAULT = ["--thread-pool-size=1", "--announce-submounts"]
KATA_RS_DEFAULT = ["--thread-pool-size=1", "-o", "announce_submounts"]


class Place:
    """A directory to share, and where sockets go; everything in it is gone afterwards."""

    def __enter__(self):
        self.top = Path(tempfile.mkdtemp(prefix="virtiofsd-call-"))
        self.share = self.top / "shared"
        self.share.mkdir()
        self.socket = self.top / "vhost-fs.sock"
        self.processes = []
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            # A reader may still be at it, and the last reference closes it all the same.
            process.stderr = None
        shutil.rmtree(self.top)

    def start(self, *words, **how):
        """Like a caller's exec: nothing between it and the daemon."""
        null = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([DAEMON, *map(str, words)],
                                   **{**null, "env": ENV, **how})
        self.processes.append(process)
        return process

    def start_with_listener(self, *words, nonblocking=True, **how):
        """The caller listens and hands its socket over as descriptor 3."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen(128)
            listener.setblocking(not nonblocking)
            # With dup2 from a number that is not 3 the descriptor loses close-on-exec.
            high = os.dup(listener.fileno()) if listener.fileno() == 3 else listener.fileno()
            process = self.start(*words, preexec_fn=lambda: os.dup2(high, 3), pass_fds=(3,), **how)
            if high != listener.fileno():
                os.close(high)
        return process


def connect(path, seconds=10):
    """What QEMU does: connect, and ask. Returns the open connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(str(path))
    features = ask(connection, GET_FEATURES)
    expect(features & F_PROTOCOL_FEATURES, "no protocol features in", hex(features))
    expect(features & 1 << 32, "not virtio 1:", hex(features))
    expect(ask(connection, GET_PROTOCOL_FEATURES) & PROTOCOL_F_MQ, "no MQ")
    connection.sendall(struct.pack("<IIIQ", SET_PROTOCOL_FEATURES, 1, 8, PROTOCOL_F_MQ))
    expect(ask(connection, GET_QUEUE_NUM) >= 2, "too few queues")
    return connection


def ask(connection, request):
    connection.sendall(struct.pack("<III", request, 1, 0))
    answer = connection.recv(20)
    expect_equal(len(answer), 20, f"answer to {request}")
    number, flags, _, value = struct.unpack("<IIIQ", answer)
    expect_equal((number, flags & 7), (request, 5), "header of the answer")
    return value


def family(process):
    """The process and all that came from it."""
    found = [process.pid]
    for pid in found:
        found += outside.children(pid)
    return found


def is_child_called_virtiofsd(process):
    # Kata's tests look for it with pgrep -P; cgroups and labels follow from it.
    expect_equal(outside.status(process.pid)["Name"], "virtiofsd", "name")
    expect_equal(int(outside.status(process.pid)["PPid"]), os.getpid(), "parent")


def nobody_is_left(pids, seconds=1.0):
    expect(wait_until(lambda: not any(outside.exists(pid) for pid in pids), seconds),
           "still there after", seconds, "s:", [pid for pid in pids if outside.exists(pid)])


def ends_with_its_front_end(process, connection):
    pids = family(process)
    connection.close()
    expect_equal(process.wait(5), 0, "status after the front end went")
    nobody_is_left(pids)


def ends_by(process, how):
    pids = family(process)
    began = time.monotonic()
    process.send_signal(how)
    process.wait(5)
    expect(time.monotonic() - began < 1, "took", time.monotonic() - began, "s")
    nobody_is_left(pids)


class LineReader:
    """runtime-rs: reads lines of UTF-8 from standard error until the one it waits for, and then only
    as long as a thread of it likes. A second such line makes it panic."""

    def __init__(self, stream):
        self.lines = []
        self.problem = None
        self.is_ready = threading.Event()
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        for raw in stream:
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as problem:
                self.problem = f"not UTF-8: {problem}"
                return
            self.lines.append(line)
            if READY in line:
                self.is_ready.set()

    def wait(self):
        expect(self.is_ready.wait(10), "the line did not come; there was:", self.lines)

    def done(self):
        self.thread.join(5)
        expect_equal(self.problem, None, "standard error")
        expect_equal(sum(READY in line for line in self.lines), 1, f"ready lines in {self.lines}")


def kata_go(place, words=KATA_GO):
    return place.start_with_listener("--syslog", "--cache=auto", f"--shared-dir={place.share}",
                                     "--fd=3", *words)


@test
def kata_go_starts_and_serves():
    need_root()
    with Place() as place:
        process = kata_go(place)
        # QEMU connects at once, whether or not the daemon has come far.
        connection = connect(place.socket)
        is_child_called_virtiofsd(process)
        for number in range(3):
            target = os.readlink(f"/proc/{process.pid}/fd/{number}")
            expect_equal(target, "/dev/null", f"descriptor {number}")
        ends_with_its_front_end(process, connection)


@test
def kata_go_as_installed_and_with_selinux():
    need_root()
    for words in (KATA_GO_DEFAULT, [*KATA_GO_DEFAULT, "--xattr"]):
        with Place() as place:
            process = kata_go(place, words)
            ends_with_its_front_end(process, connect(place.socket))


@test
def kata_go_in_the_older_dialect():
    need_root()
    with Place() as place:
        process = place.start_with_listener(
            "--syslog", "-o", "cache=auto", "-o", "no_posix_lock", "-o", f"source={place.share}",
            "--fd=3", "-f", *KATA_GO)
        ends_with_its_front_end(process, connect(place.socket))


@test
def kata_go_takes_a_blocking_listener_too():
    need_root()
    with Place() as place:
        process = place.start_with_listener("--syslog", "--cache=never",
                                            f"--shared-dir={place.share}", "--fd=3", *KATA_GO,
                                            nonblocking=False)
        ends_with_its_front_end(process, connect(place.socket))


@test
def kata_go_stops_qemu_then_kills_the_pid_it_knows():
    need_root()
    with Place() as place:
        process = kata_go(place)
        connection = connect(place.socket)
        connection.close()
        ends_by(process, signal.SIGKILL)


@test
def kata_go_kill_leaves_nobody_behind_while_qemu_is_still_there():
    need_root()
    with Place() as place:
        process = kata_go(place)
        with connect(place.socket):
            ends_by(process, signal.SIGKILL)


@test
def kata_go_daemon_does_not_end_before_qemu():
    # The shim stops the sandbox as soon as the daemon quits, whatever its status.
    need_root()
    with Place() as place:
        process = kata_go(place)
        time.sleep(0.5)
        expect_equal(process.poll(), None, "status without a front end")
        with connect(place.socket) as connection:
            time.sleep(0.5)
            expect_equal(process.poll(), None, "status with a front end")
            ask(connection, GET_FEATURES)


@test
def kata_mounts_a_container_when_the_daemon_already_runs():
    need_root()
    with Place() as place, hostfs.mounted(place.share, "-t", "tmpfs", "tmpfs"):
        hostfs.run("mount", "--make-rshared", place.share)
        process = kata_go(place)
        with connect(place.socket):
            worker = family(process)[-1]
            rootfs = place.share / "0123456789abcdef" / "rootfs"
            rootfs.parent.mkdir()
            with hostfs.mounted(rootfs, "-t", "tmpfs", "-o", "size=4k", "tmpfs"):
                expect(wait_until(lambda: any(point.endswith("/0123456789abcdef/rootfs")
                                              for point, *_ in outside.mounts(worker))),
                       "the daemon does not see it:", outside.mounts(worker))
            # Kata unmounts lazily; what the daemon keeps would pin the host's file system.
            expect(wait_until(lambda: not any(point.endswith("/rootfs")
                                              for point, *_ in outside.mounts(worker))),
                   "the daemon keeps it:", outside.mounts(worker))


def kata_rs(place, words, path=None, **how):
    process = place.start("--socket-path", path or place.socket, "--shared-dir", place.share,
                          "--cache", "auto", *words, stderr=subprocess.PIPE, **how)
    return process, LineReader(process.stderr)


@test
def kata_rs_waits_for_the_line_and_connects():
    need_root()
    for words in (KATA_RS_DEFAULT, [*KATA_RS_DEFAULT, "--xattr"], KATA_RS):
        with Place() as place:
            process, reader = kata_rs(place, words)
            reader.wait()
            connection = connect(place.socket)  # refused if the line came before listen()
            is_child_called_virtiofsd(process)
            ends_with_its_front_end(process, connection)
            reader.done()


@test
def kata_rs_gets_the_line_also_with_syslog():
    need_root()
    with Place() as place:
        process, reader = kata_rs(place, [*KATA_RS, "--syslog"])
        reader.wait()
        ends_with_its_front_end(process, connect(place.socket))
        reader.done()


@test
def kata_rs_rootless_uses_a_relative_socket():
    need_root()
    with Place() as place:
        process, reader = kata_rs(place, KATA_RS_DEFAULT, "vhost-fs.sock", cwd=place.top)
        reader.wait()
        expect(place.socket.is_socket(), "no socket")
        ends_with_its_front_end(process, connect(place.socket))
        reader.done()


@test
def kata_rs_may_close_its_end_of_standard_error():
    need_root()
    with Place() as place:
        process = place.start("--socket-path", place.socket, "--shared-dir", place.share,
                              "--cache", "auto", *KATA_RS, "--log-level=debug",
                              stderr=subprocess.PIPE)
        while READY.encode() not in process.stderr.readline():
            pass
        process.stderr.close()
        connection = connect(place.socket)
        for _ in range(10):
            ask(connection, GET_FEATURES)  # with debug each is a line that nobody reads
        expect_equal(process.poll(), None, "status")
        ends_with_its_front_end(process, connection)


@test
def kata_rs_kills():
    need_root()
    with Place() as place:
        process, reader = kata_rs(place, KATA_RS)
        reader.wait()
        with connect(place.socket):
            ends_by(process, signal.SIGKILL)
        reader.done()


@test
def kata_rs_is_told_why_when_the_line_cannot_come():
    # The shim then panics: the log must say what was wrong, in words.
    need_root()
    with Place() as place:
        shutil.rmtree(place.share)
        process, reader = kata_rs(place, KATA_RS)
        expect_equal(process.wait(10), 1, "status")
        reader.thread.join(5)
        expect_equal(reader.problem, None, "standard error")
        expect(any(str(place.share) in line for line in reader.lines), reader.lines)
        place.share.mkdir()


@test
def kata_words_have_no_comma():
    # runtime-rs takes the annotation with further words apart at commas.
    for word in KATA_GO + KATA_RS:
        expect("," not in word, word)
    expect("--overlay-upper" in KATA_GO and "--overlay-upper" in KATA_RS, KATA_GO, KATA_RS)


@test
def libvirt_in_both_dialects():
    need_root()
    for words in (lambda share: ["--shared-dir", share, "--cache", "always", "--sandbox",
                                 "namespace", "--xattr"],
                  lambda share: ["-o", f"source={share},cache=none,sandbox=chroot,xattr,no_flock,"
                                 "no_posix_lock"]):
        with Place() as place:
            process = place.start_with_listener("--fd=3", *words(place.share),
                                                "--thread-pool-size=4", "--rlimit-nofile=4096")
            ends_with_its_front_end(process, connect(place.socket))
        with Place() as place:
            process = place.start_with_listener("--fd=3", *words(place.share))
            with connect(place.socket):
                ends_by(process, signal.SIGTERM)


@test
def libvirt_wrapper_adds_one_word():
    # <binary path=.../> names a script that execs the daemon with "$@" and --overlay-upper.
    need_root()
    with Place() as place:
        wrapper = place.top / "wrapper"
        wrapper.write_text(f'#!/bin/sh\nexec {DAEMON} "$@" --overlay-upper --posix-acl=auto\n')
        wrapper.chmod(0o755)
        out = subprocess.run([wrapper, "--print-capabilities"], capture_output=True, text=True)
        expect_equal(out.returncode, 0, out.stderr)
        expect("separate-options" in out.stdout, out.stdout)
        process = place.start_with_listener("--fd=3", "--shared-dir", place.share,
                                            executable=wrapper)
        ends_with_its_front_end(process, connect(place.socket))


@test
def podman_machine_polls_for_the_socket():
    need_root()
    with outside.ordinary_user() as (user, prefix), Place() as place:
        place.top.chmod(0o755)
        for path in (place.top, place.share):
            os.chown(path, user.pw_uid, user.pw_gid)
        process = place.start("--sandbox", "none", "--socket-path", place.socket, "--shared-dir", ".",
                              "--seccomp=none", cwd=place.share, user=user.pw_uid,
                              group=user.pw_gid, extra_groups=[],
                              env={**ENV, "RUST_LOG": "ERROR"})
        expect(wait_until(place.socket.exists, 10), "no socket")
        connection = connect_when_listening(place.socket)
        ends_with_its_front_end(process, connection)


def connect_when_listening(path):
    """A caller that waits for the path alone may come between bind() and listen()."""
    for _ in range(50):
        try:
            return connect(path)
        except ConnectionRefusedError:
            time.sleep(0.1)
    return connect(path)


@test
def virtme_ng_waits_for_the_pid_file():
    need_root()
    with Place() as place:
        out = subprocess.run([DAEMON, "--help"], capture_output=True, text=True)
        expect("--readonly" in out.stdout, "--help does not name --readonly")
        place.start("--syslog", "--no-announce-submounts", "--posix-acl", "--socket-path",
                    place.socket, "--shared-dir", place.share, "--sandbox", "none", "--cache",
                    "always")
        pid_file = Path(f"{place.socket}.pid")
        expect(wait_until(pid_file.exists, 3), "no pid file")
        connection = connect(place.socket)
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        place.processes[0].wait(5)
        nobody_is_left([pid])
        connection.close()


@test
def those_who_listen_themselves():
    """Incus, LXD, Proxmox, systemd-vmspawn."""
    need_root()
    lines = {
        "Incus": ["--fd=3", "--cache=never", "--shared-dir=SHARE", "--posix-acl=auto"],
        "Incus, with ids": ["--fd=3", "--cache=metadata", "--shared-dir=SHARE",
                            "--translate-uid=map:0:1000000:65536",
                            "--translate-uid=forbid-guest:65536:4294901759",
                            "--translate-gid=map:0:1000000:65536",
                            "--translate-gid=forbid-guest:65536:0"],
        "LXD": ["--fd=3", "--shared-dir", "SHARE", "--cache", "auto", "--allow-direct-io",
                "--thread-pool-size", "8", "--xattr"],
        "Proxmox": ["--fd=3", "--shared-dir=SHARE", "--xattr", "--posix-acl", "--announce-submounts",
                    "--allow-direct-io", "--cache=auto", "--inode-file-handles=prefer", "--syslog"],
        "systemd-vmspawn": ["--shared-dir", "SHARE", "--xattr", "--fd", "3",
                            "--no-announce-submounts", "--log-level=error", "--modcaps=-mknod"],
    }
    for caller, words in lines.items():
        with Place() as place:
            process = place.start_with_listener(
                *(word.replace("SHARE", str(place.share)) for word in words),
                "--overlay-upper", stderr=subprocess.PIPE)
            try:
                ends_with_its_front_end(process, connect(place.socket))
            except Exception as problem:
                raise AssertionError(f"{caller}: {problem}") from problem


@test
def those_who_wait_for_the_socket():
    """cloud-hypervisor, KubeVirt, microvm.nix, QEMU by hand."""
    need_root()
    # 1048576 where this test may ask for as much.
    nofile = min(1048576, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    lines = {
        "cloud-hypervisor": ["--log-level", "debug", "--socket-path=SOCK", "--shared-dir=SHARE",
                             "--cache=never", "--thread-pool-size=1", "--tag", "myfs"],
        "KubeVirt": ["--socket-path=SOCK", "--shared-dir=SHARE", "--sandbox=none", "--cache=auto",
                     "--migration-on-error=guest-error", "--migration-mode=find-paths",
                     "--translate-uid=host:107:0:1"],
        "microvm.nix": ["--socket-path=SOCK", "--socket-group=root", "--shared-dir=SHARE",
                        "--rlimit-nofile", str(nofile), "--thread-pool-size", "4", "--posix-acl",
                        "--xattr", "--cache=auto", "--inode-file-handles=prefer", "--tag=T"],
        "QEMU by hand": ["--shared-dir=SHARE", "--socket-path=SOCK", "--overlay-upper",
                         "--posix-acl=auto"],
    }
    for caller, words in lines.items():
        with Place() as place:
            process = place.start(*(word.replace("SHARE", str(place.share))
                                    .replace("SOCK", str(place.socket)) for word in words))
            try:
                expect(wait_until(place.socket.exists, 10), "no socket")
                ends_with_its_front_end(process, connect_when_listening(place.socket))
            except Exception as problem:
                raise AssertionError(f"{caller}: {problem}") from problem


@test
def user_mode_linux_waits_for_the_answer_it_has_just_agreed_on():
    need_root()
    with Place() as place:
        process = place.start("--socket-path", place.socket, "--shared-dir", place.share, "--tag", "t")
        expect(wait_until(place.socket.exists, 10), "no socket")
        with connect_when_listening(place.socket) as connection:
            expect(ask(connection, GET_PROTOCOL_FEATURES) & PROTOCOL_F_REPLY_ACK, "no REPLY_ACK")
            connection.sendall(struct.pack("<IIIQ", SET_PROTOCOL_FEATURES, 1 | NEED_REPLY, 8,
                                           PROTOCOL_F_MQ | PROTOCOL_F_REPLY_ACK))
            number, flags, _, value = struct.unpack("<IIIQ", connection.recv(20))
            expect_equal((number, flags, value), (SET_PROTOCOL_FEATURES, 5, 0), "answer")
            ends_with_its_front_end(process, connection)


if __name__ == "__main__":
    if os.geteuid() == 0 and os.environ.get("VIRTIOFSD_PRIVATE_MOUNTS") != "1":
        os.environ["VIRTIOFSD_PRIVATE_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    sys.exit(run())
