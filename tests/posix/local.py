# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of --mount share: TAP, file systems in images, and the daemon on one of them.

Everything is mounted in a mount namespace of the test's own, so that nothing stays behind when it
is killed.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VIRTIOFSD = os.environ.get("VIRTIOFSD", "virtiofsd")
OPTIONS = shlex.split(os.environ.get("VIRTIOFSD_OPTS", ""))


def enter():
    """Runs the script again in a mount namespace of its own, or skips it."""
    if os.environ.get("IN_MOUNT_NAMESPACE"):
        return
    reason = None
    if os.geteuid() != 0:
        reason = "only root can mount images"
    elif not os.path.exists("/dev/fuse"):
        reason = "there is no /dev/fuse"
    elif subprocess.run([VIRTIOFSD, "--help"], capture_output=True,
                        text=True).stdout.find("--mount=") < 0:
        reason = "built without --mount"
    if reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(77)
    os.environ["IN_MOUNT_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "slave", sys.executable, "-B",
                          *sys.argv])


class Tap:
    def __init__(self):
        self.count = self.bad = 0

    def case(self, good, name, detail=""):
        self.count += 1
        self.bad += not good
        print(f"{'' if good else 'not '}ok {self.count} - {name}")
        if not good:
            for line in str(detail).splitlines():
                print(f"# {line}")
        sys.stdout.flush()
        return good

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def program(self, prefix, command, timeout=600):
        """A case for each line of TAP that the program prints, and one if it ends badly."""
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              errors="replace", timeout=timeout)
        lines = done.stdout.splitlines()
        plan = bad = seen = 0
        for index, line in enumerate(lines):
            if line.startswith("1.."):
                plan = int(line[3:])
            good = line.startswith("ok ")
            if good or line.startswith("not ok "):
                seen += 1
                bad += not good
                detail = []
                for more in lines[index + 1:]:
                    if not more.startswith("# "):
                        break
                    detail.append(more[2:])
                self.case(good, f"{prefix}: {line.split(' - ', 1)[-1]}", "\n".join(detail))
        if plan != seen or seen == 0 or (done.returncode and not bad):
            self.case(False, f"{prefix}: {Path(command[0]).name} ends well",
                      "\n".join([f"{seen} of {plan} cases, status {done.returncode}",
                                 *lines[-3:], *done.stderr.splitlines()[-5:]]))

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.bad else 0)


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class Place:
    """A folder for images and mount points, gone with the with."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="virtiofsd-mount-"))
        # images in memory: there is much fsync, and the disk is others' too
        run("mount", "-t", "tmpfs", "-o", "mode=755", "images", self.path)
        self.mounted = [self.path]
        return self

    def __exit__(self, *_):
        for path in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", str(path)], capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def folder(self, name):
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def image(self, fs, name=None, size="2G"):
        """A new file system of that kind, mounted."""
        name = name or fs
        path = self.folder(name)
        file = self.path / f"{name}.img"
        run("truncate", "-s", size, file)
        run(f"mkfs.{fs}", "-q", *(["-F"] if fs == "ext4" else []), file)
        run("mount", "-o", "loop", file, path)
        self.mounted.append(path)
        return path

    def overlay(self, name, lower, upper, work, options=""):
        path = self.folder(name)
        run("mount", "-t", "overlay", "overlay", path, "-o",
            f"lowerdir={lower},upperdir={upper},workdir={work}{options}")
        self.mounted.append(path)
        return path

    def unmount(self, path):
        run("umount", path)
        self.mounted.remove(path)


def is_mounted(path):
    with open("/proc/self/mounts") as mounts:
        return any(line.split()[1] == str(path) for line in mounts)


def soon(condition, seconds=10.0):
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Mounted:
    """The daemon, serving a directory at a mount point."""

    def __init__(self, place, share, *options, at="mount", user=None):
        self.path = place.folder(at)
        self.log = place.path / f"{at}.log"
        prefix = []
        if user is not None:
            os.chown(self.path, user, user)
            prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*prefix, VIRTIOFSD, f"--shared-dir={share}", f"--mount={self.path}", *OPTIONS,
                 *options], stderr=log)
        if not soon(lambda: is_mounted(self.path) or self.process.poll() is not None):
            raise RuntimeError("the daemon neither mounts nor ends")
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon has ended: {self.words()}")

    def words(self):
        return self.log.read_text(errors="replace")

    def worker(self):
        """The process below the daemon that serves; not the one that waits to unmount."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next(int(child) for child in children
                    if Path(f"/proc/{child}/comm").read_text().strip() == "virtiofsd")

    def stop(self):
        """Its status, or None if it has to be killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        if is_mounted(self.path):
            subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True)
