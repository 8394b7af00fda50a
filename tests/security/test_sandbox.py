#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The confinement by itself: drives sandbox_probe, which goes the daemon's way into the sandbox
and then tries from inside what a compromised worker would try.

Usage: test_sandbox.py [TEST...], with PROBE naming the program."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import outside
from outside import NEEDED, caps, need_root, ordinary_user, status, wait_until
from tap import expect, expect_equal, run, test

PROBE = os.environ["PROBE"]
# A sanitized program maps memory, signals and exits in ways of its own.
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


class Probe:
    """One running probe; use it as a context."""

    def __init__(self, *args, prefix=(), share=None, env=None, start=True):
        self.share = share or tempfile.mkdtemp(prefix="virtiofsd-share-")
        self.owns_share = share is None
        words = list(args) + ["kill"] if len(args) == 1 else list(args)
        self.process = subprocess.Popen(
            [*prefix, PROBE, *words[:2], self.share, *words[2:]], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(ENV, **(env or {})))
        if start:
            line = self.process.stdout.readline()
            if line != "ready\n":
                raise AssertionError(f"not ready: {line!r} {self.process.stderr.read()!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass
        if self.owns_share:
            shutil.rmtree(self.share)

    @property
    def worker(self):
        below = outside.children(self.process.pid)
        return below[0] if below else self.process.pid

    def tell(self, command):
        """Sends one command; its answer as a dict of words, or None if the worker died."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = {}
        for line in self.process.stdout:
            if line == "done\n":
                return answer
            name, _, rest = line.rstrip("\n").partition(" ")
            answer.setdefault(name, rest)
        return None

    def end(self):
        """Lets it end by itself: status and stderr."""
        self.process.stdin.close()
        self.process.wait(5)
        return self.process.returncode, self.process.stderr.read()


@test
def worker_has_exactly_the_needed_capabilities():
    need_root()
    for confinement in ("namespace", "chroot", "none"):
        with Probe(confinement) as probe:
            for which in ("CapPrm", "CapEff", "CapBnd"):
                expect_equal(caps(probe.worker, which), NEEDED, f"{confinement} {which}")
            for which in ("CapInh", "CapAmb"):
                expect_equal(caps(probe.worker, which), set(), f"{confinement} {which}")


@test
def modcaps_adds_and_takes_away():
    need_root()
    with Probe("namespace", env={"PROBE_MODCAPS": "+sys_admin:-MKNOD:-cap_setfcap"}) as probe:
        wanted = NEEDED - {"mknod", "setfcap"} | {"sys_admin"}
        for which in ("CapPrm", "CapEff", "CapBnd"):
            expect_equal(caps(probe.worker, which), wanted, which)


@test
def supervisor_keeps_what_cleaning_up_takes():
    need_root()
    for confinement in ("namespace", "chroot"):
        with Probe(confinement) as probe:
            pid = probe.process.pid
            expect_equal(caps(pid, "CapEff"), {"dac_override", "kill"}, confinement)
            expect_equal(caps(pid, "CapPrm"), {"dac_override", "kill"}, confinement)
            expect_equal(status(pid)["NoNewPrivs"], "1", confinement)
            expect(set(outside.fds(pid)) <= {0, 1, 2, 3, 4, 5}, outside.fds(pid))
            kinds = sorted(t.split(":")[0] for n, t in outside.fds(pid).items() if n > 2)
            expect_equal(kinds, ["anon_inode", "pipe"], "its signalfd and the worker's report")


@test
def filter_and_no_new_privs_are_on():
    for confinement in ("namespace", "none"):
        with Probe(confinement) as probe:
            expect_equal(status(probe.worker)["Seccomp"], "2", confinement)
            expect_equal(status(probe.worker)["NoNewPrivs"], "1", confinement)
        with Probe(confinement, "none") as probe:
            expect_equal(status(probe.worker)["Seccomp"], "0", confinement)
            expect_equal(status(probe.worker)["NoNewPrivs"], "1", confinement)


@test
def supplementary_groups_are_dropped():
    need_root()
    for confinement in ("namespace", "chroot", "none"):
        with Probe(confinement, prefix=["setpriv", "--groups=4,20,1000"]) as probe:
            expect_equal(status(probe.worker)["Groups"].strip(), "", confinement)


@test
def namespaces_are_its_own():
    need_root()
    with Probe("namespace") as probe:
        for kind in ("mnt", "pid", "net", "ipc", "uts"):
            expect(outside.namespace(probe.worker, kind) != outside.namespace("self", kind), kind)
        expect_equal(outside.namespace(probe.worker, "user"), outside.namespace("self", "user"))
        words = probe.tell("ids")["ids"].split()
        expect_equal(words[5], "1", "pid inside")
        expect_equal(words[-1], "1", "all ids are there")


@test
def nothing_but_the_share_is_mounted():
    need_root()
    with Probe("namespace") as probe:
        expect_equal([m[0] for m in outside.mounts(probe.worker)], ["/"], "mounts")
        expect_equal(os.stat(f"/proc/{probe.worker}/root").st_ino, os.stat(probe.share).st_ino)
        expect_equal(os.readlink(f"/proc/{probe.worker}/cwd"), "/")
        lines = probe.tell("mounts")
        expect(int(lines["mountinfo"]) > 0, "mountinfo is readable inside")


@test
def later_host_mounts_arrive_and_leave():
    need_root()
    top = tempfile.mkdtemp(prefix="virtiofsd-mnt-")
    share = os.path.join(top, "share")
    late = os.path.join(share, "late")
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", top], check=True)
        subprocess.run(["mount", "--make-shared", top], check=True)
        os.makedirs(late)
        with Probe("namespace", share=share) as probe:
            subprocess.run(["mount", "-t", "tmpfs", "none", late], check=True)
            points = [m[0] for m in outside.mounts(probe.worker)]
            expect_equal(points, ["/", "/late"], "after a host mount")
            for point, _, propagation in outside.mounts(probe.worker):
                expect("master:" in propagation and "shared:" not in propagation, point,
                       propagation)
            subprocess.run(["umount", late], check=True)
            expect_equal([m[0] for m in outside.mounts(probe.worker)], ["/"], "after umount")
    finally:
        subprocess.run(["umount", "-l", top], check=False)
        os.rmdir(top)


@test
def descriptors_are_the_committed_ones():
    need_root()
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "expected-fds.probe"), encoding="utf-8") as file:
        wanted = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    # a descriptor the caller leaks must not get in: /etc would be a way out
    leak = os.open("/etc", os.O_PATH | os.O_DIRECTORY)
    os.set_inheritable(leak, True)
    share = tempfile.mkdtemp(prefix="virtiofsd-share-")
    try:
        process = subprocess.Popen([PROBE, "namespace", "kill", share], close_fds=False, env=ENV,
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        expect_equal(process.stdout.readline(), "ready\n")
        worker = outside.children(process.pid)[0]
        got = sorted(t.split(":")[0] for n, t in outside.fds(worker).items() if n > 2)
        # /dev/log: only where a log daemon runs
        expect_equal([g for g in got if g != "socket"], sorted(wanted), "descriptors above 2")
        process.stdin.close()
        process.wait(5)
        process.stdout.close()
    finally:
        os.close(leak)
        shutil.rmtree(share)


@test
def kept_descriptors_lead_nowhere():
    with Probe("namespace") as probe:
        answer = probe.tell("escape")
        expect_equal(answer["proc_dotdot"], "itself", "parent of /proc/self/fd")
        for name in ("proc_up", "proc_core_pattern", "root_up"):
            expect_equal(answer[name], "No such file or directory", name)


@test
def magic_links_serve_xattrs_in_every_thread():
    for confinement in ("namespace", "none"):
        with Probe(confinement) as probe:
            answer = probe.tell("thread")
            for name in ("file", "unshare_fs", "fchdir", "setxattr", "getxattr", "thread"):
                expect_equal(answer.get(name), "ok", f"{confinement} {name}")


@test
def error_paths_walk_under_the_filter():
    with Probe("namespace") as probe:
        expect_equal(probe.tell("errors"), {"errors": "ok"})
        expect_equal(probe.tell("socket"), {"socket": "Permission denied"})
        expect_equal(probe.end()[0], 0, "exit status")


@test
def forbidden_calls_end_the_worker():
    for command in ("mmap-exec", "unshare", "fork", "exec"):
        with Probe("namespace") as probe:
            expect_equal(probe.tell(command), None, command)
            code, error = probe.end()
            expect_equal(code, 128 + signal.SIGSYS, command)
            expect("--seccomp=trap" in error, command, error)


@test
def trap_names_the_call():
    with Probe("namespace", "trap") as probe:
        expect_equal(probe.tell("exec"), None)
        expect("is not allowed" in probe.end()[1], "stderr")


@test
def log_lets_calls_through():
    with Probe("namespace", "log") as probe:
        expect_equal(probe.tell("unshare"), {"unshare_user": "ok"})


@test
def abort_ends_the_worker():
    # also as pid 1 of its namespace, which ignores signals it sends itself
    for confinement in ("namespace", "none"):
        with Probe(confinement) as probe:
            expect_equal(probe.tell("abort"), None, confinement)
            expect(probe.end()[0] != 0, confinement)


@test
def worker_status_becomes_ours():
    with Probe("namespace") as probe:
        expect_equal(probe.tell("fail"), None)
        expect_equal(probe.end()[0], 42)
    with Probe("namespace") as probe:
        os.kill(probe.worker, signal.SIGKILL)
        expect_equal(probe.process.wait(2), 128 + signal.SIGKILL)


@test
def sigkill_of_the_known_process_leaves_nothing():
    for args in (("namespace",), ("chroot",)):
        need_root()
        with Probe(*args) as probe:
            worker = probe.worker
            expect(worker != probe.process.pid, "two processes")
            os.kill(probe.process.pid, signal.SIGKILL)
            expect(wait_until(lambda: not outside.exists(worker)), args, "worker lives on")


@test
def sigterm_ends_both_within_a_second():
    for confinement in ("namespace", "none"):
        for sig in (signal.SIGTERM, signal.SIGINT):
            if sig == signal.SIGINT and confinement == "none":
                continue
            with Probe(confinement) as probe:
                worker = probe.worker
                started = time.monotonic()
                os.kill(probe.process.pid, sig)
                probe.process.wait(2)
                expect(time.monotonic() - started < 1, confinement, sig)
                expect(not outside.exists(worker), "worker lives on")
                if sig == signal.SIGTERM:
                    expect_equal(probe.process.returncode, 0, confinement)


@test
def a_worker_deaf_to_sigterm_is_ended_within_a_second():
    with Probe("namespace") as probe:
        worker = probe.worker
        probe.process.stdin.write("hang\n")
        probe.process.stdin.flush()
        expect_equal(probe.process.stdout.readline(), "hanging\n")
        started = time.monotonic()
        os.kill(probe.process.pid, signal.SIGTERM)
        probe.process.wait(2)
        expect(time.monotonic() - started < 1, "took", time.monotonic() - started)
        expect(not outside.exists(worker), "worker lives on")


@test
def core_dumps_are_off():
    with Probe("namespace") as probe:
        with open(f"/proc/{probe.worker}/limits", encoding="utf-8") as file:
            core = [line for line in file if line.startswith("Max core file size")]
        expect_equal(core[0].split()[4:6], ["0", "0"], "core limit")


@test
def open_files_are_bounded():
    need_root()
    with Probe("namespace") as probe:
        with open(f"/proc/{probe.worker}/limits", encoding="utf-8") as file:
            line = [line for line in file if line.startswith("Max open files")][0]
        with open("/proc/sys/fs/file-max", encoding="utf-8") as file:
            spare = int(file.read()) - 16384
        expect(int(line.split()[3]) <= min(1000000, max(spare, 1024)), line)


@test
def name_and_parent_are_what_callers_look_for():
    with Probe("namespace") as probe:
        name = os.path.basename(PROBE)[:15]
        expect_equal(status(probe.process.pid)["Name"], name)
        expect_equal(status(probe.worker)["Name"], name)
        expect_equal(status(probe.process.pid)["PPid"], str(os.getpid()))


def serves_as_user(*maps):
    with ordinary_user() as (user, prefix):
        share = tempfile.mkdtemp(prefix="virtiofsd-share-")
        os.chown(share, user.pw_uid, user.pw_gid)
        try:
            with Probe("namespace", "kill", *maps, prefix=prefix, share=share) as probe:
                words = probe.tell("ids")["ids"].split()
                expect_equal(words[:4], ["0", "0", "0", "0"], "inside")
                expect_equal(words[-1], "0", "all ids are there")
                expect_equal(probe.tell("thread").get("getxattr"), "ok")
                expect_equal(probe.tell("escape")["proc_dotdot"], "itself")
                for which in ("CapPrm", "CapEff", "CapBnd"):
                    expect_equal(caps(probe.worker, which), NEEDED, which)
                for kind in ("user", "mnt", "pid", "net", "ipc", "uts"):
                    expect(outside.namespace(probe.worker, kind) !=
                           outside.namespace("self", kind), kind)
                owner = os.stat(os.path.join(share, "probe-file")).st_uid
                expect_equal(owner, user.pw_uid, "owner on the host")
                worker = probe.worker
                os.kill(probe.process.pid, signal.SIGKILL)
                expect(wait_until(lambda: not outside.exists(worker)), "worker lives on")
        finally:
            shutil.rmtree(share)


@test
def ordinary_user_is_root_in_a_namespace():
    serves_as_user()


@test
def ordinary_user_brings_subordinate_ids():
    outside.need("newuidmap")
    with ordinary_user() as (user, _):
        uid, uids = outside.subordinate_ids("/etc/subuid", user.pw_name)
        gid, gids = outside.subordinate_ids("/etc/subgid", user.pw_name)
    serves_as_user(f":0:{user.pw_uid}:1:", f":0:{user.pw_gid}:1:",
                   f":1:{uid}:{uids}:", f":1:{gid}:{gids}:")


@test
def masked_proc_is_no_obstacle():
    # as containers do it: something mounted over part of /proc forbids mounting another /proc
    outside.need("unshare")
    with ordinary_user() as (user, prefix):
        share = tempfile.mkdtemp(prefix="virtiofsd-share-")
        os.chown(share, user.pw_uid, user.pw_gid)
        mask = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/tty && exec "$@"', "sh"]
        check = subprocess.run([*mask, *prefix, "unshare", "-Urpf", "mount", "-t", "proc", "proc",
                                "/proc"], capture_output=True, check=False)
        expect(check.returncode != 0, "the mask does not work: nothing would be tested")
        try:
            with Probe("namespace", prefix=[*mask, *prefix], share=share) as probe:
                expect_equal(probe.tell("thread").get("getxattr"), "ok")
                answer = probe.tell("escape")
                expect_equal(answer["proc_dotdot"], "itself")
                expect(int(probe.tell("mounts")["mountinfo"]) > 0, "mountinfo")
        finally:
            shutil.rmtree(share)


@test
def foreign_ids_are_refused_in_words():
    outside.need("newuidmap")
    with ordinary_user() as (user, prefix):
        with Probe("namespace", "kill", ":0:1:1000:", ":0:1:1000:", prefix=prefix, share="/tmp",
                   start=False) as probe:
            code, error = probe.end()
            expect_equal(code, 1)
            expect("/etc/subuid" in error, error)


@test
def without_user_namespaces_one_sentence_says_what_to_do():
    need_root()
    outside.need("unshare")
    script = ('echo 0 > /proc/sys/user/max_user_namespaces && '
              'exec setpriv --bounding-set=-sys_admin "$@"')
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    with Probe("namespace", prefix=prefix, start=False) as probe:
        code, error = probe.end()
        expect_equal(code, 1)
        expect("--sandbox=none" in error and "user namespaces are not permitted" in error, error)


@test
def a_share_that_cannot_be_used_is_named():
    with Probe("namespace", share="/nonexistent/share", start=False) as probe:
        code, error = probe.end()
        expect_equal(code, 1)
        expect("/nonexistent/share" in error and "No such file" in error, error)


@test
def promises_name_tests_that_exist():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../docs/security.rst"), encoding="utf-8") as file:
        promises = file.read().partition("Not promised")[0]
    defined = ""
    for folder in (".", "../proto"):
        for name in os.listdir(os.path.join(here, folder)):
            if name.startswith("test_"):
                with open(os.path.join(here, folder, name), encoding="utf-8") as file:
                    defined += file.read()
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+){3,}\b", promises))
    expect(len(named) > 15, "found only", named)
    for name in named:
        expect(re.search(rf"(def|static void) {name}\(", defined), name)


if __name__ == "__main__":
    sys.exit(run())
