# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs all tests in stages and counts every case; started by tests/run.

A stage is a function that gets the Tally and reports cases to it: one for each line of TAP, one for
each case of a meson test, one for each build. What a stage printed is in BUILD/test-logs/STAGE.log;
the terminal shows a line for each stage and what failed. With CI=true a skipped case is a failed
one, because there nobody looks whether a test still runs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("VIRTIOFSD_BUILD") or TOP / "build")
LOGS = BUILD / "test-logs"
CI = os.environ.get("CI") == "true"

SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:second_deadlock_stack=1"
                    f":suppressions={TOP}/tests/tsan.supp",
    # The run-time of a sanitizer makes system calls of its own, which no filter of ours allows,
    # and its leak checker needs a /proc, which the sandbox takes away.
    "VIRTIOFSD_OPTS": "--seccomp=none --sandbox=none",
}


class Tally:
    """What passed, failed and was skipped so far."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []
        self.stage = ""

    def counts(self):
        return self.passed, len(self.failures), len(self.skips)

    def case(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failures.append(f"{self.stage}: {name}")
            print(f"    FAIL {name}")
            for line in detail.splitlines()[-30:]:
                print(f"         {line}")
            sys.stdout.flush()

    def skip(self, name, reason):
        if CI:
            self.case(name, False, f"skipped: {reason}")
        else:
            self.skips.append(f"{self.stage}: {name}")
            print(f"    SKIP {name}: {reason}", flush=True)

    def summary(self):
        passed, failed, skipped = self.counts()
        return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def execute(command, log, env=None, timeout=1800):
    """(status, output); the output goes to the stage's log as well."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=TOP, env={**os.environ, **(env or {})}, timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = 124, f"{(late.stdout or b'').decode(errors='replace')}\ntimed out"
    except OSError as problem:
        status, output = 127, str(problem)
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / f"{log}.log", "a") as file:
        file.write(f"$ {' '.join(words)}\n{output}\n=> {status}\n")
    return status, output


def tracked(*patterns):
    """The files of the project; of a tree without git, all but build folders."""
    done = subprocess.run(["git", "-c", f"safe.directory={TOP}", "-C", str(TOP), "ls-files", "-z",
                           "--cached", "--others", "--exclude-standard"],
                          capture_output=True, text=True)
    if done.returncode == 0:
        paths = [TOP / name for name in done.stdout.split("\0") if name]
    else:
        paths = [path for path in TOP.rglob("*") if not str(path.relative_to(TOP)).startswith("build")]
    paths = [path for path in paths if path.is_file()]
    return sorted(path for path in paths
                  if not patterns or any(path.match(pattern) for pattern in patterns))


def tap(tally, output, status, program, errors=""):
    """Counts the cases of a program's TAP output; a bad end without a bad case is one itself."""
    lines = output.splitlines()
    bad = planned = seen = 0
    for index, line in enumerate(lines):
        plan = re.match(r"1\.\.(\d+)", line)
        planned = int(plan.group(1)) if plan else planned
        case = re.match(r"(not )?ok\b\s*\d*\s*-?\s*(.*?)(\s*# SKIP\b\s*(.*))?$", line)
        if not case:
            continue
        seen += 1
        if case.group(3):
            tally.skip(f"{program}: {case.group(2)}", case.group(4))
        else:
            detail = []
            for more in lines[index + 1:]:
                if not more.startswith("#"):
                    break
                detail.append(more)
            tally.case(f"{program}: {case.group(2)}", not case.group(1),
                       "\n".join([*errors.splitlines()[-20:], *detail[-30:]]))
            if case.group(1):
                bad, errors = bad + 1, ""  # a program's own words once, not for each of its cases
    if seen == 0 or planned != seen or (status and not bad):
        tally.case(f"{program} ends well", False, "\n".join(
            [f"{seen} of {planned} cases, status {status}", *lines[-10:], *errors.splitlines()[-20:]]))


def formatting(tally):
    for path in tracked("*.c", "*.h"):
        status, output = execute(["clang-format-14", "--dry-run", "-Werror", path], "format")
        tally.case(f"{path.relative_to(TOP)} is formatted", status == 0,
                   "\n".join(output.splitlines()[:3]))


# What cannot carry a comment, or is a licence itself.
NO_SPDX = ("COPYING", "*.json", "*.md", "*.png", "*.bin", "*.in", "tests/*/corpus/*/*",
           "tests/*/corpus/*", ".gitignore", ".clang-format")


def licence(tally):
    wanted = "SPDX-License-Identifier: GPL-2.0-or-later"
    for path in tracked():
        name = path.relative_to(TOP)
        if any(name.match(pattern) for pattern in NO_SPDX):
            continue
        with open(path, errors="replace") as file:
            head = "".join(file.readline() for _ in range(3))
        tally.case(f"{name} has its SPDX line", wanted in head)


def doors(tally):
    status, output = execute([sys.executable, "-B", TOP / "tests" / "doors.py"], "doors")
    tap(tally, output, status, "doors")


def set_up(tally, folder, options, env, log):
    """Configures a build folder, or brings its options up to date."""
    words = [f"-D{name}={value}" for name, value in options.items()]
    if (folder / "build.ninja").exists():
        command = ["meson", "configure", folder, *words]
        known = subprocess.run(["meson", "introspect", "--buildoptions", str(folder)],
                               capture_output=True, text=True)
        try:
            now = {entry["name"]: str(entry["value"]).lower()
                   for entry in json.loads(known.stdout)}
            if all(now.get(name) == value for name, value in options.items()):
                return True
        except ValueError:
            shutil.rmtree(folder)  # left by an interrupted set-up
    if not (folder / "build.ninja").exists():
        command = ["meson", "setup", folder, TOP, *words]
    status, output = execute(command, log, env)
    if status:
        tally.case(f"{folder.name} is configured", False, output)
    return status == 0


def build(tally, folder, log, env=None, **options):
    options = {"werror": "true", **options}
    if not set_up(tally, folder, options, env, log):
        return False
    status, output = execute(["ninja", "-C", folder], log, env)
    tally.case(f"{folder.name} builds without a warning", status == 0, output)
    return status == 0


def without_aslr():
    # The sanitizers of gcc 12 meet kernels whose address randomisation they do not expect.
    command = ["setarch", "--addr-no-randomize"]
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []


def meson_test(tally, folder, log, suites, env=None, wrapper=None):
    """Runs the suites and counts their cases, from what meson writes down of each program."""
    known = subprocess.run(["meson", "introspect", "--tests", str(folder)], capture_output=True,
                           text=True)
    there = {suite.split(":")[-1] for test in json.loads(known.stdout or "[]")
             for suite in test["suite"]}
    chosen = [suite for suite in suites if suite in there]
    if not chosen:
        tally.skip(f"tests of {', '.join(suites)} in {folder.name}", "there are none yet")
        return
    written = folder / "meson-logs" / f"testlog{'-' + wrapper.name if wrapper else ''}.json"
    written.unlink(missing_ok=True)
    words = [word for suite in chosen for word in ("--suite", suite)]
    if wrapper:
        words += ["--wrapper", wrapper]
    status, output = execute([*without_aslr(), "meson", "test", "-C", folder, "--no-rebuild",
                              "--print-errorlogs", *words], log, env)
    try:
        programs = [json.loads(line) for line in written.open()]
    except (OSError, ValueError) as problem:
        tally.case(f"{folder.name}: meson test", False, f"{problem}\n{output}")
        return
    bad = len(tally.failures)
    for program in programs:
        report(tally, program)
    if not programs or (status and bad == len(tally.failures)):
        tally.case(f"{folder.name}: meson test", False, output)


def report(tally, program):
    """One program: a case for each line of TAP, or one in all."""
    name = program["name"].split(" / ")[-1]
    output, errors = program.get("stdout") or "", program.get("stderr") or ""
    good = program["result"] in ("OK", "EXPECTEDFAIL")
    if program["result"] == "SKIP" and not re.search(r"^ok", output, re.MULTILINE):
        tally.skip(name, (output.splitlines() or ["the test says so"])[-1])
    elif re.search(r"^(not )?ok\b", output, re.MULTILINE):
        skipped = program["result"] == "SKIP"
        tap(tally, output, 0 if good or skipped else program["returncode"] or 1, name, errors)
    else:
        tally.case(name, good, f"{program['result']}\n{output}\n{errors}")


def gcc(tally):
    if build(tally, BUILD, "gcc"):
        meson_test(tally, BUILD, "gcc", ["unit", "proto", "security", "contrib", "count",
                                       "overlay", "qtest", "mount"])


# What root of a user namespace cannot do, neither as a test nor as a daemon: device nodes, trusted.*
# attributes, ids beyond its 65,536.
NOT_AS_USER = """/names/devices_and_fifos_are_never_opened
/dirs/readdir_types_are_true
/dirs/readdirplus_types_are_true
/xattr/stored_names_are_out_of_reach
/xattr/list_is_no_longer_than_it_says
/ids/translation_of_incus"""


def user(tally):
    """The black-box tests by an ordinary user in a user namespace, as in a rootless container."""
    if build(tally, BUILD, "user"):
        for name in NOT_AS_USER.splitlines():
            print(f"    not as a user: {name}", flush=True)
        meson_test(tally, BUILD, "user", ["proto", "hostile"], {"PROTO_NOT_HERE": NOT_AS_USER},
                   TOP / "tests" / "as-user")


def no_sandbox(tally):
    """The same tests with nothing but the filter and the capabilities around the daemon."""
    if build(tally, BUILD, "none"):
        meson_test(tally, BUILD, "none", ["proto", "hostile"], {"VIRTIOFSD_OPTS": "--sandbox=none"})


def crash(tally):
    folder = BUILD.with_name(f"{BUILD.name}-fault")
    if build(tally, folder, "crash", fault_injection="true"):
        meson_test(tally, folder, "crash", ["crash"])


def asan(tally):
    folder = BUILD.with_name(f"{BUILD.name}-asan")
    if build(tally, folder, "asan", b_sanitize="address,undefined"):
        meson_test(tally, folder, "asan", ["unit", "proto", "qtest"], SANITIZER_ENV)


def tsan(tally):
    folder = BUILD.with_name(f"{BUILD.name}-tsan")
    if build(tally, folder, "tsan", b_sanitize="thread"):
        meson_test(tally, folder, "tsan", ["unit"], SANITIZER_ENV)
        # Of the races the daemon alone is watched: the tests use GLib's locks, which TSan cannot see.
        if build(tally, BUILD, "tsan"):
            program = folder / "tools" / "virtiofsd" / "virtiofsd"
            meson_test(tally, BUILD, "tsan", ["races"],
                       {**SANITIZER_ENV, "VIRTIOFSD": str(program), "FRONTEND_TIMEOUT_MS": "30000"})


def clang(tally):
    folder = BUILD.with_name(f"{BUILD.name}-clang")
    if build(tally, folder, "clang", {"CC": "clang-14"}):
        meson_test(tally, folder, "clang", ["unit"])


def fuzz(tally):
    folder = BUILD.with_name(f"{BUILD.name}-clang")
    if not (TOP / "tests" / "fuzz" / "meson.build").exists():
        tally.skip("fuzzers", "there are none yet")
    elif build(tally, folder, "fuzz", {"CC": "clang-14"}):
        meson_test(tally, folder, "fuzz", ["fuzz"], SANITIZER_ENV)


def guests(tally, *rows, env=None, log="guest"):
    status, output = execute([sys.executable, "-B", TOP / "tests" / "guest" / "run", *rows], log,
                             {"VIRTIOFSD_BUILD": str(BUILD), **(env or {})})
    tap(tally, output, status, log)


def guest(tally):
    if os.environ.get("VIRTIOFSD") or build(tally, BUILD, "guest"):
        guests(tally)


def guest_quick(tally):
    if os.environ.get("VIRTIOFSD") or build(tally, BUILD, "guest"):
        guests(tally, "6.12-ext4")


def guest_asan(tally):
    folder = BUILD.with_name(f"{BUILD.name}-asan")
    if build(tally, folder, "guest-asan", b_sanitize="address,undefined"):
        program = folder / "tools" / "virtiofsd" / "virtiofsd"
        guests(tally, "6.12-ext4", env={"VIRTIOFSD": str(program), **SANITIZER_ENV},
               log="guest-asan")


def engines(tally):
    """Container engines in guests, all rows: tests/run --engines. A row takes minutes, or much more
    where other work wants the processors too."""
    status, output = execute([TOP / "contrib" / "install-deps", "engines"], "engines")
    if status:
        tally.case("what it needs is installed", False, output)
    elif os.environ.get("VIRTIOFSD") or build(tally, BUILD, "engines"):
        status, output = execute([sys.executable, "-B", TOP / "tests" / "engines" / "run"], "engines",
                                 {"VIRTIOFSD_BUILD": str(BUILD)}, timeout=24 * 3600)
        tap(tally, output, status, "engines")


STAGES = [
    ("format", formatting), ("licence", licence), ("doors", doors), ("gcc", gcc),
    ("user", user), ("none", no_sandbox), ("crash", crash), ("asan", asan),
    ("tsan", tsan), ("clang", clang), ("fuzz", fuzz), ("guest", guest),
    ("guest-asan", guest_asan),
]
QUICK = [("format", formatting), ("licence", licence), ("doors", doors), ("gcc", gcc),
         ("guest", guest_quick)]


def arguments():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE",
                        help=f"only these: {' '.join(name for name, _ in STAGES)}")
    parser.add_argument("--quick", action="store_true",
                        help="one build, one guest: what to run before each commit")
    parser.add_argument("--engines", action="store_true",
                        help="instead of all: container engines in guests, which takes hours")
    args = parser.parse_args()
    unknown = set(args.stages) - {name for name, _ in STAGES}
    if unknown:
        parser.error(f"no such stage: {' '.join(sorted(unknown))}")
    return args


def main():
    args = arguments()
    tally = Tally()
    start = time.monotonic()
    shutil.rmtree(LOGS, ignore_errors=True)
    stages = [("engines", engines)] if args.engines else QUICK if args.quick else STAGES
    for name, stage in stages:
        if args.stages and name not in args.stages:
            continue
        tally.stage = name
        print(f"==> {name}", flush=True)
        before, began = tally.counts(), time.monotonic()
        stage(tally)
        passed, failed, skipped = (now - was for now, was in zip(tally.counts(), before))
        print(f"    {passed} passed, {failed} failed, {skipped} skipped, "
              f"{time.monotonic() - began:.0f} s", flush=True)
    if tally.failures:
        print("\nFailed:")
        print("\n".join(f"  {name}" for name in tally.failures))
    print(f"\nlogs in {LOGS}, {time.monotonic() - start:.0f} s")
    print(tally.summary())
    return 1 if tally.failures or not tally.passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
