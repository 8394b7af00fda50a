# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of --mount: made, served, confined, and gone when the daemon is, however that ends."""

import os
import signal
import subprocess
import time
from pathlib import Path

import local

USER = 60021  # an ordinary one


def is_gone(mounted):
    return local.soon(lambda: not local.is_mounted(mounted.path), 3)


def serves(tap, place, share):
    (share / "hello").write_text("hello")
    with local.Mounted(place, share) as mounted:
        (mounted.path / "new").write_text("new")
        tap.case((mounted.path / "hello").read_text() == "hello", "what is shared is read")
        tap.case((share / "new").read_text() == "new", "what is written is in the share")
        status = os.stat(mounted.path / "hello")
        tap.case(status.st_ino == os.stat(share / "hello").st_ino, "inode numbers are the share's")
        line = next(line for line in open("/proc/self/mounts") if f" {mounted.path} " in line)
        tap.case(line.startswith(f"{share} {mounted.path} fuse.virtiofsd "), "the list of mounts "
                 "says what it is", line)
        for word in ("default_permissions", "allow_other", "nosuid", "nodev"):
            tap.case(word in line.split()[3].split(","), f"it is mounted {word}", line)
        as_user = subprocess.run(["setpriv", f"--reuid={USER}", "--clear-groups", "cat",
                                  str(mounted.path / "hello")], capture_output=True, text=True)
        tap.case(as_user.stdout == "hello", "others may look in", as_user.stderr)
        (share / "hello").chmod(0o600)
        time.sleep(1.1)  # as long as attributes stay cached
        as_user = subprocess.run(["setpriv", f"--reuid={USER}", "--clear-groups", "cat",
                                  str(mounted.path / "hello")], capture_output=True, text=True)
        tap.case("Permission denied" in as_user.stderr, "as far as permissions go", as_user.stderr)


def ends(tap, place, share):
    """However it ends, its caller finds the directory empty."""
    def end_by(name, sandbox, kill, status, needs_wait):
        options = [f"--sandbox={sandbox}"]
        with local.Mounted(place, share, *options) as mounted:
            (mounted.path / "file").write_text("x")
            kill(mounted)
            try:
                seen = mounted.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                seen = None
            at_once = not local.is_mounted(mounted.path)
            tap.case(seen == status, f"{name}, {sandbox}: status {status}",
                     f"{seen}\n{mounted.words()}")
            tap.case(at_once if not needs_wait else is_gone(mounted),
                     f"{name}, {sandbox}: it is unmounted {'soon' if needs_wait else 'by then'}")

    def signal_it(sig):
        return lambda mounted: mounted.process.send_signal(sig)

    def unmount(mounted):
        local.run("umount", mounted.path)

    for sandbox in ("namespace", "chroot", "none"):
        alone = sandbox == "none"

        def crash(mounted):
            pid = mounted.process.pid if alone else mounted.worker()
            os.kill(pid, signal.SIGKILL)

        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            end_by(sig.name, sandbox, signal_it(sig), 0, False)
        end_by("umount", sandbox, unmount, 0, False)
        end_by("a crash of the worker", sandbox, crash, -9 if alone else 128 + 9, alone)
        end_by("SIGKILL", sandbox, signal_it(signal.SIGKILL), -9, True)


def ends_in_use(tap, place, share):
    with local.Mounted(place, share, at="busy") as mounted:
        file = open(mounted.path / "open", "w")
        began = time.monotonic()
        status = mounted.stop()
        tap.case(status == 0, "a mount in use: status 0", f"{status} {mounted.words()}")
        tap.case(time.monotonic() - began < 3, "a mount in use: no long wait")
        tap.case(not local.is_mounted(mounted.path), "a mount in use is detached")
        try:
            file.write("late")
            file.close()
            tap.case(False, "what is still open fails")
        except OSError:
            tap.case(True, "what is still open fails")


def covered(tap, place, share):
    """Something else at the same place is not unmounted in its stead."""
    with local.Mounted(place, share, at="covered") as mounted:
        local.run("umount", "--lazy", mounted.path)
        local.run("mount", "-t", "tmpfs", "tmpfs", mounted.path)
        mounted.process.wait(timeout=10)
        tap.case(local.is_mounted(mounted.path), "another mount at its place stays")
        local.run("umount", mounted.path)


def keeps_data(tap, place, share):
    data = os.urandom(20 << 20)
    with local.Mounted(place, share, "--writeback", "--cache=always") as mounted:
        (mounted.path / "data").write_bytes(data)
        tap.case(mounted.stop() == 0, "--writeback: ends well", mounted.words())
    tap.case((share / "data").read_bytes() == data, "--writeback: what was written is in the share")


def options(tap, place, share):
    with local.Mounted(place, share, "--readonly", at="ro") as mounted:
        try:
            (mounted.path / "no").write_text("no")
            tap.case(False, "--readonly: nothing is made")
        except OSError as error:
            tap.case(error.errno == 30, "--readonly: nothing is made", error)
    with local.Mounted(place, share, "--mount-options=noatime,suid,dev", at="opts") as mounted:
        line = next(line for line in open("/proc/self/mounts") if f" {mounted.path} " in line)
        words = line.split()[3].split(",")
        tap.case("noatime" in words and "nosuid" not in words and "nodev" not in words,
                 "--mount-options reach mount(2)", line)


def refuses(tap, place, share):
    inside = share / "inside"
    inside.mkdir()
    rows = [
        ("a mount point within the share", share, inside, [], "one within the other"),
        ("a share within the mount point", inside, share, [], "one within the other"),
        ("the share itself", share, share, [], "one within the other"),
        ("a mount point that is not there", share, place.path / "none", [], "cannot be used"),
        ("a mount point that is a file", share, share.parent / "file", [], "not a directory"),
        ("an unknown option", share, place.folder("refused"), ["--mount-options=bogus"],
         "not understood"),
        ("a socket besides", share, place.folder("refused"), ["--socket-path=/s"],
         "exclude each other"),
    ]
    (share.parent / "file").write_text("")
    for name, shared, at, more, words in rows:
        done = subprocess.run([local.VIRTIOFSD, f"--shared-dir={shared}", f"--mount={at}",
                               *local.OPTIONS, *more], capture_output=True, text=True, timeout=20)
        tap.case(done.returncode == 1 and words in done.stderr, f"refused: {name}", done.stderr)
        tap.case(not local.is_mounted(at) or at == share, f"and not mounted: {name}")


def ordinary_user(tap, place, image):
    """By way of fusermount3, whatever the mode of this machine's /dev/fuse."""
    device = place.path / "fuse"
    os.mknod(device, 0o20666, os.makedev(10, 229))
    device.chmod(0o666)
    local.run("mount", "--bind", device, "/dev/fuse")
    users = place.path / "passwd"  # fusermount3 wants a name
    users.write_text(Path("/etc/passwd").read_text() + f"mounter:x:{USER}:{USER}::/:/bin/sh\n")
    users.chmod(0o644)
    local.run("mount", "--bind", users, "/etc/passwd")
    share = image / "user"
    share.mkdir()
    os.chown(share, USER, USER)
    for sandbox in ("namespace", "none"):
        name = f"ordinary user, {sandbox}"
        try:
            with local.Mounted(place, share, f"--sandbox={sandbox}", at="user",
                               user=USER) as mounted:
                def act(*command):
                    return subprocess.run(
                        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
                         *command], capture_output=True, text=True, cwd="/")
                file = mounted.path / sandbox
                done = act("sh", "-c", f"echo mine >{file} && chmod 640 {file} && cat {file}")
                tap.case(done.stdout == "mine\n", f"{name}: writes and reads", done.stderr)
                seen = act("stat", "-c", "%u:%g %a", str(file)).stdout.strip()
                tap.case(seen == f"{USER}:{USER} 640", f"{name}: stays who it is", seen)
                status = os.stat(share / sandbox)
                tap.case((status.st_uid, status.st_gid) == (USER, USER), f"{name}: on the host too")
                os.kill(mounted.process.pid, signal.SIGTERM)
                tap.case(mounted.process.wait(timeout=10) == 0, f"{name}: ends", mounted.words())
                tap.case(not local.is_mounted(mounted.path), f"{name}: and is unmounted")
        except RuntimeError as error:
            tap.case(False, f"{name}: mounts", error)
    local.run("umount", "/dev/fuse")
    local.run("umount", "/etc/passwd")


def main():
    local.enter()
    tap = local.Tap()
    with local.Place() as place:
        image = place.image("ext4", size="1G")
        share = image / "share"
        share.mkdir()
        for test in (serves, ends, ends_in_use, covered, keeps_data, options, refuses):
            test(tap, place, share)
        ordinary_user(tap, place, image)
    tap.end()


main()
