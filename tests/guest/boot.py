# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a guest under QEMU with a virtio-fs share and reads what its console says.

Used by tests/guest/run for the matrix and by contrib/quickstart for its demonstration. boot()
starts one QEMU, waits for it with a limit, and gives back a Console; it never leaves a process
behind: QEMU is told to die with the thread that started it.
"""

import os
import re
import select
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import initramfs

HERE = Path(__file__).resolve().parent
QEMU = "qemu-system-x86_64"

# The TCG of QEMU 7.2 now and then returns from cmpxchg16b with garbage in the flags, which the
# allocator of a 6.12 kernel meets as a double fault; without cx16 the kernel does not use it.
CPU = {"kvm": "max", "tcg": "max,cx16=off"}


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("VIRTIOFSD_TEST_CACHE") or os.path.join(base, "virtiofsd-tests"))


def build_dir():
    return Path(os.environ.get("VIRTIOFSD_BUILD") or HERE.parent.parent / "build") / "guest"


def kernel(series):
    """The folder of one guest kernel, fetched when it is not there."""
    subprocess.run([HERE / "kernels", build_dir(), series], check=True)
    return build_dir() / series


def with_parent(command):
    """The command so that it ends when the thread that starts it does."""
    return ["setpriv", "--pdeathsig", "KILL", *map(str, command)]


class Console:
    """All that a guest printed, and how its machine ended."""

    def __init__(self, text, problem):
        self.text = text
        self.problem = problem  # None, or a sentence

    def results(self):
        """(name, passed, detail) in the order of the console."""
        found = re.findall(r"^TEST (\S+) (PASS|FAIL) ?(.*?)\r*$", self.text, re.MULTILINE)
        return [(name, verdict == "PASS", detail) for name, verdict, detail in found]

    def tail(self, lines=40):
        return "\n".join(self.text.replace("\r", "").splitlines()[-lines:])


class Monitor:
    """The one QMP command that a test needs."""

    def __init__(self, path):
        self.path = path

    def system_reset(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.path))
            stream = sock.makefile("rw")
            stream.readline()  # the greeting
            for command in ("qmp_capabilities", "system_reset"):
                stream.write('{"execute": "%s"}\n' % command)
                stream.flush()
                while '"return"' not in (line := stream.readline()):
                    if not line:
                        raise OSError("QEMU closed its monitor")


def qemu_command(kernel_dir, initrd, vhost_socket, accel, *, cpus=1, queues=1, memory=512,
                 serial="stdio", reboots=False, monitor=None, append="", extra=()):
    command = [
        QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-serial", serial,
        "-machine", "q35,memory-backend=mem", "-accel", accel, "-cpu", CPU[accel],
        "-smp", str(cpus), "-m", f"{memory}M",
        "-object", f"memory-backend-memfd,id=mem,size={memory}M,share=on",
        "-kernel", kernel_dir / "vmlinuz", "-initrd", initrd,
        # A busy host must not look like a hanging guest (nowatchdog) nor like a machine without a
        # timer (no_timer_check: it panics); its self-tests are not ours.
        # A panic reboots, and without -no-reboot would go on for ever: there it just stands.
        "-append", "console=ttyS0 quiet loglevel=1 nowatchdog no_timer_check cryptomgr.notests"
        f" rcupdate.rcu_cpu_stall_suppress=1 panic={0 if reboots else -1} {append}",
    ]
    if vhost_socket:
        command += [
            "-chardev", f"socket,id=fs,path={vhost_socket}",
            "-device", f"vhost-user-fs-pci,chardev=fs,tag=share,num-request-queues={queues}",
        ]
    if not reboots:
        command += ["-no-reboot"]
    if monitor:
        command += ["-qmp", f"unix:{monitor},server=on,wait=off"]
    return [*command, *extra]


def watch(process, timeout, on_line):
    """Reads the console until the machine is off. Returns (text, problem)."""
    end = time.monotonic() + timeout
    text = b""
    seen = 0
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return text, f"the guest did not finish within {timeout:.0f} s"
        if not select.select([process.stdout], [], [], left)[0]:
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            break
        text += data
        while (newline := text.find(b"\n", seen)) >= 0:
            line = text[seen:newline].decode(errors="replace").strip()
            seen = newline + 1
            if "Kernel panic" in line:
                end = min(end, time.monotonic() + 2)
            if on_line:
                on_line(line)
    status = process.wait()
    return text, f"QEMU ended with status {status}" if status else None


def boot(kernel_dir, initrd, vhost_socket, *, timeout=120, on_line=None, accel=None, **how):
    """One run of one machine. initrd: the archive as bytes. how: see qemu_command()."""
    with tempfile.TemporaryDirectory(prefix="virtiofsd-vm-") as work:
        path = Path(work) / "initrd"
        path.write_bytes(initrd)
        monitor = None
        if how.pop("monitor", False):
            monitor = Monitor(Path(work) / "qmp")
            how["monitor"] = monitor.path
        command = qemu_command(Path(kernel_dir), path, vhost_socket, accel or acceleration(), **how)
        process = subprocess.Popen(with_parent(command), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def line(text):
            if monitor and text == "=== reset me":
                monitor.system_reset()
            if on_line:
                on_line(text)

        try:
            text, problem = watch(process, timeout, line)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return Console(text.decode(errors="replace"), problem)


def shell(kernel_dir, initrd, vhost_socket, **how):
    """A machine whose console is this terminal. Ctrl-A X ends it from outside."""
    with tempfile.TemporaryDirectory(prefix="virtiofsd-vm-") as work:
        path = Path(work) / "initrd"
        path.write_bytes(initrd)
        command = qemu_command(Path(kernel_dir), path, vhost_socket, acceleration(),
                               serial="mon:stdio", **how)
        return subprocess.run(with_parent(command), check=False).returncode


def acceleration():
    """"kvm" or "tcg", found out by booting once and remembered until the machine restarts.

    A /dev/kvm that exists and even opens may be unable to run a stock kernel, so only a boot
    tells."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    memo = cache_dir() / "acceleration"
    try:
        known, machine = memo.read_text().split()
        if machine == boot_id:
            return known
    except (OSError, ValueError):
        pass
    found = "tcg"
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        series = next((s for s in ("6.1", "6.12") if (build_dir() / s / "vmlinuz").exists()), "6.1")
        kernel_dir = kernel(series)
        archive = initramfs.make(kernel_dir, build_dir(), [], {"PROBE": "1"})
        console = boot(kernel_dir, archive, None, timeout=10, accel="kvm", memory=256)
        if "=== probe" in console.text:
            found = "kvm"
        else:
            print("guest: /dev/kvm cannot run this kernel; using TCG, which is slower", flush=True)
    else:
        print("guest: no usable /dev/kvm; using TCG, which is slower", flush=True)
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(f"{found} {boot_id}\n")
    return found
