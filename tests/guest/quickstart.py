# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of contrib/quickstart after the build: one guest, shown as it works.

Called by contrib/quickstart, which has installed and built what is needed. Uses the same machine,
the same daemon start and the same kind of script as the guest tests.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import boot
import daemon
import hostfs
import hostview
import initramfs
from matrix import OVERLAY

SCRIPT = Path(__file__).resolve().parent / "scripts" / "quickstart.sh"
COLOURS = {"PASS": "\033[32mPASS\033[0m", "FAIL": "\033[31mFAIL\033[0m"}


def step(text):
    print(f"==> {text}", flush=True)


class Show:
    """Prints what the guest says while it says it, and remembers what failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.inside = False

    def verdict(self, passed, name, detail=""):
        word = "PASS" if passed else "FAIL"
        self.passed += passed
        self.failed += not passed
        if sys.stdout.isatty():
            word = COLOURS[word]
        text = name.removeprefix("quickstart.").replace("_", " ")
        print(f"  {word}  {text}" + (f"\n        {detail}" if not passed else ""), flush=True)

    def line(self, line):
        if line.startswith("=== show "):
            self.inside = True
            print(f"\n  {line.removeprefix('=== show ')}:")
        elif line == "=== end":
            self.inside = False
            print(flush=True)
        elif self.inside:
            print(f"      {line}")


@contextmanager
def shared_directory():
    """A directory on an overlayfs of the host, as a container's root is one: the case that needs
    --overlay-upper most. It is mounted on an ext4 image, and gone afterwards."""
    with hostfs.KINDS["overlay"]() as share:
        yield share


def chain(share):
    """From the host's disk to the container in the guest."""
    line = next(line for line in Path("/proc/mounts").read_text().splitlines()
                if line.split()[1] == str(share))
    print(f"      on the host:   {line.split()[2]} at {share}")
    print("      to the guest:  virtio-fs, by virtiofsd --overlay-upper")
    print("      in the guest:  overlay, with upper and work on virtio-fs")


def environment(**more):
    return {"TAG": "share", "BOOTS": 1, "RESET": "", "DMESG_ALLOW": "", **more}


def demonstration(series):
    start = time.monotonic()
    show = Show()
    kernel = prepare(series)
    archive = initramfs.make(kernel, boot.build_dir(), [SCRIPT], environment())
    with shared_directory() as share:
        step("ext4 -> host overlayfs -> virtio-fs -> guest overlayfs")
        chain(share)
        step(f"Booting a guest with Linux {(kernel / 'release').read_text().strip()}")
        names = []

        def line(text):
            show.line(text)
            for name, passed, detail in boot.Console(text, None).results():
                names.append(name)
                show.verdict(passed, name, detail)

        with daemon.Daemon(share, OVERLAY) as served:
            console = boot.boot(kernel, archive, served.socket, timeout=120, on_line=line)
        promised = initramfs.expected([SCRIPT])
        for name in promised:
            if name not in names:
                show.verdict(False, name, "the guest did not get that far")
        if console.problem:
            show.verdict(False, "the guest ends by itself", console.problem)
        on_the_host(share, show)
        show.verdict(not served.problem, "the daemon ends with its guest, status 0", served.problem)
        step("What the daemon said")
        print("\n".join(f"      {line}" for line in served.output.splitlines()))
        if show.failed:
            print(f"\n--- the guest's console:\n{console.tail(60)}")
    print(f"\n{show.passed} passed, {show.failed} failed, {time.monotonic() - start:.0f} s")
    return 1 if show.failed else 0


def on_the_host(share, show):
    step(f"The same upper layer on the host, {share}/quickstart.1/upper")
    folder = share / "quickstart.1"
    try:
        print("\n".join(f"      {line}" for line in hostview.listing(folder)))
    except OSError as problem:
        print(f"      {problem}")
    for check in hostview.CHECKS["quickstart"]:
        try:
            check(folder)
            show.verdict(True, f"on the host: {check.__name__}")
        except Exception as problem:
            show.verdict(False, f"on the host: {check.__name__}", str(problem))


def private_mounts():
    """What is mounted here nobody else sees, and it goes with us, however we end."""
    if os.geteuid() == 0 and os.environ.get("VIRTIOFSD_PRIVATE_MOUNTS") != "1":
        os.environ["VIRTIOFSD_PRIVATE_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "slave", sys.executable, "-B",
                              *sys.argv])


def prepare(series):
    step("Guest kernel (Debian's, downloaded and unpacked once, not installed)")
    kernel = boot.kernel(series)
    initramfs.guest_tool(boot.build_dir())
    boot.acceleration()
    return kernel


def shell(series, path):
    path = Path(path).resolve()
    if not path.is_dir():
        print(f"quickstart: {path} is not a directory", file=sys.stderr)
        return 2
    kernel = prepare(series)
    size = shutil.get_terminal_size()
    archive = initramfs.make(kernel, boot.build_dir(), [], environment(
        SHELL_MODE=1, COLUMNS=size.columns, LINES=size.lines, TERM=os.environ.get("TERM", "linux")))
    step(f"A guest with {path} as /share ('exit' leaves; Ctrl-A X pulls the plug)")
    with daemon.Daemon(path, OVERLAY) as served:
        status = boot.shell(kernel, archive, served.socket)
    if served.problem:
        print(f"quickstart: {served.problem}", file=sys.stderr)
    return 1 if status or served.problem else 0


def main():
    parser = argparse.ArgumentParser(prog="contrib/quickstart")
    parser.add_argument("--shell", metavar="DIR", help="a guest shell with DIR as /share")
    parser.add_argument("--kernel", default="6.1", choices=["6.1", "6.12"])
    args = parser.parse_args()
    private_mounts()
    # A plain kill must take the same way out as Ctrl-C: through the context managers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return shell(args.kernel, args.shell) if args.shell else demonstration(args.kernel)
    except KeyboardInterrupt:
        print("\nquickstart: interrupted", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, hostfs.Missing) as problem:
        print(f"quickstart: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
