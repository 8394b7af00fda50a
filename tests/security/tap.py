# SPDX-License-Identifier: GPL-2.0-or-later
"""Named tests, told in TAP so that meson counts each. A test is a function with a decorator; what
it cannot check here it says by raising Skip, which in CI (CI=true) is a failure."""

import os
import sys
import traceback


class Skip(Exception):
    """Why this test cannot run here."""


_tests = []


def test(func):
    _tests.append(func)
    return func


def expect(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def expect_equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def run():
    """Runs them all, or those named on the command line."""
    wanted = sys.argv[1:]
    tests = [t for t in _tests if not wanted or t.__name__ in wanted]
    failed = 0
    print(f"1..{len(tests)}")
    for number, func in enumerate(tests, 1):
        try:
            func()
            line = f"ok {number} {func.__name__}"
        except Skip as why:
            if os.environ.get("CI") == "true":
                failed += 1
                line = f"not ok {number} {func.__name__} - prerequisite missing: {why}"
            else:
                line = f"ok {number} {func.__name__} # SKIP {why}"
        except Exception:
            failed += 1
            line = f"not ok {number} {func.__name__}"
            for text in traceback.format_exc().splitlines():
                print(f"# {text}")
                print(text, file=sys.stderr)
        print(line, flush=True)
    return 1 if failed else 0
