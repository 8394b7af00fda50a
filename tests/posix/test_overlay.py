# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's own overlayfs with its upper layer on --mount: the same kernel code and the same gate
("remote upper") as in a guest, at native speed.

Each step is a line of shell, run on an overlay whose upper is ext4 and on one whose upper is on our
mount; what is said and what is there must be the same, also after both were mounted anew.
"""

import os
import subprocess

import local

POSIX = os.environ["POSIX"]
# Without two in which the kernel itself goes wrong on an upper layer that is FUSE. "link" looks at
# a second name again and again: see posix.c on ESTALE. "acl": FUSE only marks the mode as unknown
# when an ACL is set, overlayfs copies the old one at once, and goes by it as long as the inode is
# cached.
TOPICS = ["open", "rename", "unlink", "perm", "owner", "time", "io", "space", "xattr", "dir", "name",
          "lock"]

USER = "setpriv --reuid=1000 --regid=1000 --clear-groups"

STEPS = """
rm f1
echo new > f1
echo more >> f2
rm -r d1
mkdir d1; echo x > d1/new
mv f3 moved
mv f4 f5
mv d2/inside d2/renamed
ln f6 linked
ln -s f6 symbolic
rm -r d3 && ln -s nowhere d3
chmod 600 f7
chown 1000:1000 f8
touch -d @12345.678 f9
truncate -s 3 f10
setfattr -n user.a -v 1 f11
cp -a d4 d5
rm d4/inside d4/sub/deep; rmdir d4/sub d4
mkdir d4
rmdir d4; echo file > d4
rm s1; echo file > s1
rm s2; mkdir s2
mv s3 s4
rm d6/a d6/b; rm -r d6; mkdir d6; mkdir d6/c
mv d6/c d6/d
mkdir -p d7/x; mv d7/x d7/y
mkdir p; echo 1 > p/q; mv p pp; mv pp/q .; mv q pp
echo a > n1; echo b > n2; mv n1 n2
mkfifo fifo; rm fifo; mkfifo fifo
exec 9<>f12; rm f12; echo gone >&9; exec 9>&-
USER rm u1
USER sh -c 'echo >u1'
USER rm -r ud
USER mkdir ud
USER ln -s x us
USER mv u2 u3
USER rm us; USER sh -c 'echo >us'
USER sh -c 'echo more >>u4'
USER chmod 700 u5
USER rm f1
for i in $(seq 200); do echo $i > many$i; done; rm many1*
for i in $(seq 50); do rm -r d8; mkdir d8; echo $i > d8/x; done
rm -r d9; rm d10/inside; ls d9 d10
mv d10 d11
mv d11/sub d12
rm -rf d1 d2 d4 d5
"""


def make_lower(lower):
    lower.mkdir()
    for number in range(1, 13):
        (lower / f"f{number}").write_text(f"lower {number}\n")
        folder = lower / f"d{number}"
        (folder / "sub").mkdir(parents=True)
        (folder / "inside").write_text("inside")
        (folder / "sub" / "deep").write_text("deep")
        os.symlink(f"f{number}", lower / f"s{number}")
    for name in ("a", "b"):
        (lower / "d6" / name).write_text(name)
    for number in range(1, 6):
        (lower / f"u{number}").write_text("user's")
        os.chown(lower / f"u{number}", 1000, 1000)
    (lower / "ud").mkdir()
    os.chown(lower / "ud", 1000, 1000)
    lower.chmod(0o777)


def state(path):
    """All that is in a tree but times and inode numbers."""
    listing = subprocess.run("find . -printf '%P %y %m %U:%G %s %l\\n' | "
                             "sed 's/\\( d [^ ]* [^ ]*\\) [0-9]*/\\1/' | sort; "
                             "find . -type f | sort | xargs cat; getfattr -R -h -d . 2>&1 | sort",
                             shell=True, cwd=path, capture_output=True, text=True)
    return listing.stdout + listing.stderr


def act(step, path):
    done = subprocess.run(["sh", "-c", step.replace("USER", USER)], cwd=path, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return f"{done.returncode}\n{done.stdout}"


class Pair:
    """Two overlays on one lower layer."""

    def __init__(self, place, lower, uppers):
        self.place, self.lower, self.uppers = place, lower, uppers

    def __enter__(self):
        self.paths = [self.place.overlay(f"merged{side}", self.lower, upper / "up", upper / "work")
                      for side, upper in enumerate(self.uppers)]
        return self

    def __exit__(self, *_):
        for path in self.paths:
            self.place.unmount(path)

    def compare(self, tap, name):
        states = [state(path) for path in self.paths]
        return tap.case(states[0] == states[1], name, difference(*states))


def difference(a, b):
    left, right = a.splitlines(), b.splitlines()
    return "\n".join([f"ext4: {line}" for line in left if line not in right][:5] +
                     [f"ours: {line}" for line in right if line not in left][:5])


def bad_cases(path, *words):
    """Names of the POSIX cases that fail there, each with the reason, and how many there are."""
    done = subprocess.run([POSIX, *words, str(path), *TOPICS], capture_output=True, text=True,
                          errors="replace")
    lines = done.stdout.splitlines()
    bad = {line.split(" - ", 1)[1]: lines[index + 1] for index, line in enumerate(lines)
           if line.startswith("not ok ")}
    return bad, len([line for line in lines if line.startswith(("ok ", "not ok "))]), lines[-1]


def posix(tap, pair, name):
    """ESTALE is the kernel's own bug, which posix.c tells of."""
    bad, count, _ = bad_cases(pair.paths[0])
    ours, n, last = bad_cases(pair.paths[1], "--fuse")
    more = [f"{case} {why}" for case, why in ours.items()
            if case not in bad and "ESTALE" not in why]
    tap.case(n > 1000 and not last.startswith("Bail"), f"{name}: {n} POSIX cases",
             f"{count} on ext4; {last}")
    tap.case(not more, f"{name}: none fails that does not on ext4", "\n".join(more[:20]))


def walk(tap, place, lower_fs, ext4, share, name, options):
    lower = lower_fs / name
    plain = ext4 / f"plain-{name}"
    make_lower(lower)
    with local.Mounted(place, share, "--overlay-upper", "--mount-options=dev,suid",
                       *options, at=f"at-{name}") as mounted:
        for folder in (plain, plain / "up", plain / "work", mounted.path / "up",
                       mounted.path / "work"):
            folder.mkdir()
        uppers = [plain, mounted.path]
        with Pair(place, lower, uppers) as pair:
            for step in STEPS.strip().splitlines():
                said = [act(step, path) for path in pair.paths]
                tap.case(said[0] == said[1], f"{name}: {step}", difference(*said))
            pair.compare(tap, f"{name}: the same is there")
        with Pair(place, lower, uppers) as pair:
            pair.compare(tap, f"{name}: and when both are mounted anew")
            posix(tap, pair, name)
        tap.case(mounted.stop() == 0, f"{name}: ends well", mounted.words())


def main():
    local.enter()
    tap = local.Tap()
    with local.Place() as place:
        # layers on different file systems, as ours always are: some numbers follow from that
        lower = place.image("ext4", "lower", "500M")
        ext4 = place.image("ext4", "upper")
        for folder in ("native", "emulated", "low", "up", "work"):
            (ext4 / folder).mkdir()
        outer = place.overlay("outer", ext4 / "low", ext4 / "up", ext4 / "work")
        walk(tap, place, lower, ext4, ext4 / "native", "ext4", [])
        walk(tap, place, lower, ext4, ext4 / "emulated", "emulated", ["--whiteout=emulate"])
        walk(tap, place, lower, ext4, outer, "overlay", [])
    tap.end()


main()
