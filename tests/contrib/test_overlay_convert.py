# SPDX-License-Identifier: GPL-2.0-or-later
"""contrib/overlay-convert on real upper directories: there and back, and read by the kernel's own
overlayfs in between. Runs in a mount namespace of its own."""

import os
import random
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "security"), str(HERE.parent / "guest")]

import hostfs  # noqa: E402
import tap  # noqa: E402
from tap import Skip, expect, expect_equal, test  # noqa: E402

CONVERT = os.environ.get("CONVERT") or str(HERE.parent.parent / "contrib" / "overlay-convert")
TARGET = "/.virtiofsd-overlay-whiteout/char-0:0"
MAPPED = "user.virtiofs."
JOURNAL = ".virtiofsd-overlay.journal"


def convert(*words, user=None):
    command = [sys.executable, "-B", CONVERT, *map(str, words)]
    if user is not None:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def converted(*words):
    status, output = convert(*words)
    expect_equal(status, 0, output)
    return output


@contextmanager
def layers(kind="ext4"):
    """lower, upper, work and merged on a file system of this kind."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    try:
        with hostfs.KINDS[kind]() as top:
            for name in ("lower", "upper", "work", "merged"):
                (top / name).mkdir()
            yield top
    except hostfs.Missing as why:
        raise Skip(str(why)) from None


@contextmanager
def merged(top, options=""):
    words = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work{options}"
    try:
        with hostfs.mounted(top / "merged", "-t", "overlay", "-o", words, "overlay") as point:
            yield point
    except hostfs.Missing as why:
        raise AssertionError(f"the overlayfs does not mount: {why}") from None


def fill_lower(top):
    lower = top / "lower"
    for name in ("kept", "changed", "deleted", "deleted2", "recreated", "moved", "replaced"):
        (lower / name).write_text(f"lower {name}\n")
    for name in ("kept-dir", "opaque-dir", "deleted-dir", "moved-dir"):
        (lower / name).mkdir()
        (lower / name / "file").write_text(f"in {name}\n")
    (lower / "link").symlink_to("kept")


def work_in(point):
    """Whiteouts, hard links among them, opaque and redirected directories, copied-up files."""
    with open(point / "changed", "a") as file:
        file.write("more\n")
    for name in ("deleted", "deleted2", "recreated"):
        (point / name).unlink()
    (point / "recreated").write_text("again\n")
    subprocess.run(["rm", "-r", point / "deleted-dir", point / "opaque-dir"], check=True)
    (point / "opaque-dir").mkdir()
    (point / "opaque-dir" / "new").write_text("new\n")
    (point / "moved").rename(point / "replaced")
    subprocess.run(["mv", point / "moved-dir", point / "moved-dir2"], check=True)
    os.chown(point / "link", 1000, 1000, follow_symlinks=False)
    (point / "changed").chmod(0o640)


def attributes(path):
    return {name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)}


def snapshot(top, with_attributes=True):
    """All there is about a tree but inode numbers; hard links as groups, for their count includes
    names that the overlayfs keeps in its work directory."""
    found, groups = {}, {}
    for folder, dirs, files in os.walk(top):
        for path in [Path(folder)] + [Path(folder) / name for name in dirs + files]:
            st = path.lstat()
            what = [stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_rdev,
                    st.st_mtime_ns]
            if path.is_symlink():
                what.append(os.readlink(path))
            elif path.is_file():
                what.append(path.read_bytes())
            if with_attributes:
                what.append(attributes(path))
            name = str(path.relative_to(top))
            found[name] = what
            groups.setdefault((st.st_dev, st.st_ino), set()).add(name)
    return found, sorted(sorted(group) for group in groups.values() if len(group) > 1)


def view(point):
    """What a user of the overlayfs sees."""
    return {name: what[:1] + what[5:] for name, what in snapshot(point, False)[0].items()}


def names_of(upper):
    return {name for path in [upper, *upper.rglob("*")] for name in attributes(path)}


def native_whiteouts(upper):
    return sorted(str(p.relative_to(upper)) for p in upper.rglob("*")
                  if stat.S_ISCHR(p.lstat().st_mode) and p.lstat().st_rdev == 0)


def stored_links(upper):
    return sorted(str(p.relative_to(upper)) for p in upper.rglob("*")
                  if p.is_symlink() and os.readlink(p) == TARGET)


def there_and_back(kind, options, *words):
    """The prefix of the native form is user. with --userxattr, trusted. otherwise."""
    prefix = "user.overlay." if "--userxattr" in words else "trusted.overlay."
    with layers(kind) as top:
        upper = top / "upper"
        fill_lower(top)
        with merged(top, options) as point:
            work_in(point)
            seen = view(point)
        before = snapshot(upper)
        whiteouts = native_whiteouts(upper)
        expect(len(whiteouts) >= 4, "the overlay made few whiteouts", whiteouts)
        expect(prefix + "opaque" in names_of(upper), names_of(upper))

        converted("--to", "emulated", "--apply", *words, upper)
        expect_equal(native_whiteouts(upper), [], "native whiteouts that are left")
        expect_equal(stored_links(upper), whiteouts, "stored links")
        expect("user.virtiofs.trusted.overlay.opaque" in names_of(upper), names_of(upper))
        expect_equal({name for name in names_of(upper) if name.startswith(prefix)} -
                     {prefix + "origin"}, set(), "native attributes that are left")

        converted("--to", "native", "--apply", *words, upper)
        expect_equal(snapshot(upper), before, "the upper after both ways")
        with merged(top, options) as point:
            expect_equal(view(point), seen, "what the kernel shows of it")


@test
def there_and_back_on_ext4():
    there_and_back("ext4", "")


@test
def there_and_back_on_xfs():
    there_and_back("xfs", "")


@test
def there_and_back_on_btrfs():
    there_and_back("btrfs", "")


@test
def there_and_back_on_tmpfs():
    there_and_back("tmpfs", "")


@test
def there_and_back_with_redirects_and_metacopy():
    there_and_back("ext4", ",redirect_dir=on,metacopy=on")


@test
def there_and_back_with_userxattr():
    there_and_back("ext4", ",userxattr", "--userxattr")


@test
def an_upper_of_a_share_is_read_by_the_kernel():
    """Written by hand in the form that fs/whiteout.h and fs/xattrmap.h say."""
    with layers() as top:
        fill_lower(top)
        upper = top / "upper"
        for name in ("deleted", "deleted-dir"):
            (upper / name).symlink_to(TARGET)
        (upper / "opaque-dir").mkdir()
        os.setxattr(upper / "opaque-dir", MAPPED + "trusted.overlay.opaque", b"y")
        (upper / "was-moved").mkdir()
        os.setxattr(upper / "was-moved", MAPPED + "trusted.overlay.redirect", b"/moved-dir")
        (upper / "moved-dir").symlink_to(TARGET)
        os.setxattr(upper / "was-moved", "user.note", b"stays")
        converted("--to", "native", "--apply", upper)
        with merged(top, ",redirect_dir=on") as point:
            names = set(os.listdir(point))
            expect(not names & {"deleted", "deleted-dir", "moved-dir"}, names)
            expect_equal(os.listdir(point / "opaque-dir"), [], "opaque directory")
            expect_equal((point / "was-moved" / "file").read_text(), "in moved-dir\n", "redirect")
        expect_equal(attributes(upper / "was-moved")["user.note"], b"stays", "other attribute")


@contextmanager
def share_mounted(share, point):
    """What a guest would see of the share, on this host."""
    daemon = os.environ.get("VIRTIOFSD")
    if not daemon or "--mount=DIR" not in subprocess.run([daemon, "--help"], capture_output=True,
                                                         text=True).stdout:
        raise Skip("needs a daemon with --mount")
    point.mkdir()
    command = [daemon, "--overlay-upper", f"--shared-dir={share}", f"--mount={point}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "Serving" in line:
                break
        else:
            raise AssertionError(f"the daemon did not start: {process.wait()}")
        yield point
    finally:
        process.terminate()
        process.stderr.read()
        process.wait()


@test
def an_upper_made_through_the_daemon_is_read_by_the_kernel():
    """On a host overlayfs, so that whiteouts are stored links; copied to ext4 to be converted."""
    with layers("overlay") as top, layers() as other:
        fill_lower(top)
        with share_mounted(top, other / "share") as share:
            with merged(share, ",redirect_dir=on") as point:
                work_in(point)
                seen = view(point)
        expect(len(stored_links(top / "upper")) >= 4, "few stored whiteouts")
        for name in ("lower", "upper"):
            subprocess.run(["cp", "-aT", top / name, other / name], check=True)
        converted("--to", "native", "--apply", other / "upper")
        with merged(other, ",redirect_dir=on") as point:
            expect_equal(view(point), seen, "what the kernel shows of it")


@test
def hard_linked_whiteouts_stay_linked():
    with layers() as top:
        upper = top / "upper"
        (upper / "dir").mkdir()
        (upper / "a").symlink_to(TARGET)
        for name in ("b", "dir/c"):
            os.link(upper / "a", upper / name, follow_symlinks=False)
        (upper / "alone").symlink_to(TARGET)
        converted("--to", "native", "--apply", upper)
        expect_equal({(upper / name).lstat().st_ino for name in ("a", "b", "dir/c")},
                     {(upper / "a").lstat().st_ino}, "inode numbers")
        expect_equal((upper / "a").lstat().st_nlink, 3, "links")
        expect_equal((upper / "alone").lstat().st_nlink, 1, "links of the other")


@test
def nothing_is_changed_without_apply():
    with layers() as top:
        fill_lower(top)
        with merged(top) as point:
            work_in(point)
        before = snapshot(top / "upper")
        output = converted("--to", "emulated", top / "upper")
        expect("nothing was changed" in output, output)
        expect("whiteout" in output and "overlay.opaque" in output, output)
        expect_equal(snapshot(top / "upper"), before, "the upper")


@test
def what_is_converted_already_is_left_alone():
    with layers() as top:
        fill_lower(top)
        with merged(top) as point:
            work_in(point)
        for form in ("emulated", "native"):
            converted("--to", form, "--apply", top / "upper")
            before = snapshot(top / "upper")
            expect("converted 0 whiteouts and 0 attributes" in
                   converted("--to", form, "--apply", top / "upper"))
            expect_equal(snapshot(top / "upper"), before, "the upper")


@test
def other_symbolic_links_are_neither_changed_nor_followed():
    with layers() as top:
        upper = top / "upper"
        outside = top / "outside"
        outside.mkdir()
        (outside / "whiteout").symlink_to(TARGET)
        os.setxattr(outside, MAPPED + "trusted.overlay.opaque", b"y")
        (upper / "to-dir").symlink_to(outside)
        (upper / "same-length").symlink_to("x" * len(TARGET))
        before = snapshot(outside), snapshot(upper)
        converted("--to", "native", "--apply", upper)
        expect_equal((snapshot(outside), snapshot(upper)), before, "both trees")
        (top / "name").symlink_to(upper)
        status, output = convert("--to", "native", "--apply", top / "name")
        expect_equal(status, 1, output)


@test
def a_pending_journal_is_the_daemons_to_finish():
    with layers() as top:
        upper = top / "upper"
        (upper / "gone").symlink_to(TARGET)
        (top / JOURNAL).mkdir()
        (top / JOURNAL / ".virtiofsd-overlay.tmp.1").symlink_to("v1//.//a//.//b//c//1")
        for where in (upper, top):
            status, output = convert("--to", "native", "--apply", where)
            expect_equal(status, 1, output)
            expect("interrupted" in output, output)
        expect((upper / "gone").is_symlink(), "it was changed all the same")
        (top / JOURNAL / ".virtiofsd-overlay.tmp.1").unlink()
        converted("--to", "native", "--apply", top)
        expect(not (top / JOURNAL).exists(), "the empty journal stays")
        expect_equal(native_whiteouts(upper), ["gone"], "whiteouts")


@test
def temporary_names_of_the_daemon_are_reported():
    with layers() as top:
        name = top / "upper" / ".virtiofsd-overlay.tmp.00000001"
        name.symlink_to(TARGET)
        status, output = convert("--to", "native", "--apply", top / "upper")
        expect_equal(status, 2, output)
        expect("temporary name" in output, output)
        expect(name.is_symlink(), "it was changed")


@test
def what_user_attributes_cannot_hold_is_reported():
    with layers() as top:
        link = top / "upper" / "link"
        link.symlink_to("somewhere")
        os.setxattr(link, "trusted.overlay.origin", b"", follow_symlinks=False)
        output = converted("--to", "emulated", "--apply", top / "upper")
        expect("1 origin" in output, output)
        os.setxattr(link, "trusted.overlay.other", b"1", follow_symlinks=False)
        (top / "upper" / "gone").mkdir()
        os.setxattr(top / "upper" / "gone", "trusted.overlay.opaque", b"y")
        status, output = convert("--to", "emulated", "--apply", top / "upper")
        expect_equal(status, 2, output)
        expect("link: trusted.overlay.other" in output, output)
        expect(MAPPED + "trusted.overlay.opaque" in attributes(top / "upper" / "gone"),
               "it did not go on")


@test
def two_values_under_both_names_are_left_to_a_person():
    with layers() as top:
        folder = top / "upper" / "dir"
        folder.mkdir()
        os.setxattr(folder, "trusted.overlay.redirect", b"one")
        os.setxattr(folder, MAPPED + "trusted.overlay.redirect", b"two")
        status, output = convert("--to", "native", "--apply", top / "upper")
        expect_equal(status, 2, output)
        expect_equal(len(attributes(folder)), 2, "attributes")
        os.setxattr(folder, "trusted.overlay.redirect", b"two")  # as an interruption leaves it
        converted("--to", "native", "--apply", top / "upper")
        expect_equal(attributes(folder), {"trusted.overlay.redirect": b"two"}, "attributes")


@test
def file_handles_are_dropped_on_request():
    with layers() as top:
        fill_lower(top)
        with merged(top, ",index=on") as point:
            work_in(point)
        converted("--to", "emulated", "--apply", "--drop-handles", top / "upper")
        left = {name.rsplit(".", 1)[1] for name in names_of(top / "upper")}
        expect("opaque" in left and not left & {"origin", "upper", "nlink", "uuid"}, left)
        converted("--to", "native", "--apply", top / "upper")
        (top / "work2").mkdir()
        subprocess.run(["rm", "-r", top / "work"], check=True)
        (top / "work2").rename(top / "work")
        with merged(top, ",index=on") as point:
            expect_equal((point / "recreated").read_text(), "again\n", "a file")


@test
def other_file_systems_below_are_not_entered():
    with layers() as top:
        inner = top / "upper" / "mounted"
        with hostfs.mounted(inner, "-t", "tmpfs", "tmpfs"):
            (inner / "gone").symlink_to(TARGET)
            output = converted("--to", "native", "--apply", top / "upper")
            expect("not entered" in output, output)
            expect((inner / "gone").is_symlink(), "it was entered")


@test
def names_do_not_reach_the_terminal_raw():
    with layers() as top:
        (top / "upper" / "a\x1b[2J\nb").symlink_to(TARGET)
        (top / "upper" / os.fsdecode(b"\xff\xfe")).symlink_to(TARGET)
        output = converted("--to", "native", top / "upper")
        expect("\x1b" not in output and "\\x1b[2J\\nb" in output, repr(output))


@test
def a_host_overlayfs_takes_no_native_form():
    with layers("overlay") as top:
        (top / "upper" / "gone").symlink_to(TARGET)
        status, output = convert("--to", "native", "--apply", top / "upper")
        expect_equal(status, 1, output)
        expect("overlayfs" in output, output)


@test
def an_ordinary_user_converts_what_is_theirs():
    with layers() as top:
        upper = top / "upper"
        os.chmod(top.parent, 0o755)
        for name in ("gone", "dir"):
            (upper / name).symlink_to(TARGET) if name == "gone" else (upper / name).mkdir()
            os.chown(upper / name, 1000, 1000, follow_symlinks=False)
        os.chown(upper, 1000, 1000)
        os.setxattr(upper / "dir", MAPPED + "trusted.overlay.opaque", b"y")
        status, output = convert("--to", "native", "--apply", upper, user=1000)
        expect_equal(status, 1, output)
        expect("root" in output, output)
        status, output = convert("--to", "native", "--userxattr", "--apply", upper, user=1000)
        expect_equal(status, 0, output)
        expect_equal(native_whiteouts(upper), ["gone"], "whiteouts")
        expect_equal((upper / "gone").lstat().st_uid, 1000, "owner")
        expect_equal(attributes(upper / "dir"), {"user.overlay.opaque": b"y"}, "attributes")
        os.chown(upper, 0, 0)
        status, output = convert("--to", "emulated", "--userxattr", "--apply", upper, user=1000)
        expect_equal(status, 2, output)
        expect("gone: Permission denied" in output, output)


@test
def bad_lines_end_with_status_1():
    for words in ([], ["--to", "other", "/tmp"], ["--to", "native"],
                  ["--to", "native", "/nonexistent"], ["--to", "native", "/etc/passwd"]):
        status, output = convert(*words)
        expect_equal(status, 1, f"{words}: {output}")
        expect("Traceback" not in output, output)


@test
def a_killed_run_is_finished_by_the_next():
    seed = int(os.environ.get("SEED") or time.time())
    print(f"# SEED={seed}")
    dice = random.Random(seed)
    with layers("tmpfs") as top:
        upper = top / "upper"
        fill_lower(top)
        for number in range(3000):
            name = upper / f"w{number}"
            if number % 3 == 1:
                os.link(upper / f"w{number - 1}", name, follow_symlinks=False)
            else:
                name.symlink_to(TARGET)
            folder = upper / f"d{number}"
            folder.mkdir()
            os.setxattr(folder, MAPPED + "trusted.overlay.opaque", b"y")
        kills = 0
        for form in ("native", "emulated", "native"):
            for _ in range(6):
                child = subprocess.Popen([sys.executable, "-B", CONVERT, "--to", form, "--apply",
                                          "--quiet", str(upper)], stdout=subprocess.DEVNULL)
                time.sleep(0.05 + dice.random() * 0.15)
                child.send_signal(signal.SIGKILL)
                kills += child.wait() == -signal.SIGKILL
                look_at_half_done(upper)
            converted("--to", form, "--apply", "--quiet", upper)
        expect(kills >= 3, f"only {kills} runs were really killed")
        expect_equal(len(native_whiteouts(upper)), 3000, "whiteouts")
        expect_equal(names_of(upper), {"trusted.overlay.opaque"}, "attributes")
        expect_equal([n for n in os.listdir(upper) if n.startswith(".")], [], "leftovers")
        with merged(top) as point:
            expect(not any(n.startswith("w") for n in os.listdir(point)), "a whiteout shows")


def look_at_half_done(upper):
    """Each name holds a whiteout of one form or the other, each directory one opaque mark."""
    for number in range(0, 3000, 7):
        path = upper / f"w{number}"
        st = path.lstat()
        expect(stat.S_ISCHR(st.st_mode) or os.readlink(path) == TARGET, f"{path} is neither")
        expect(attributes(upper / f"d{number}"), f"d{number} has lost its mark")


def main():
    if os.geteuid() == 0 and not os.environ.get("OVERLAY_CONVERT_NS"):
        os.environ["OVERLAY_CONVERT_NS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-B", *sys.argv])
    return tap.run()


if __name__ == "__main__":
    sys.exit(main())
