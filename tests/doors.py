#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ground plan as a test: which room may include which, that each header compiles by itself,
and that no header includes itself round a corner.

    tests/doors.py [--cc gcc] [TOP]        prints TAP

A room is a folder of tools/virtiofsd; files beside the rooms (main, options, serve) may use all.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Who may include whom; every room may include itself. The same table stands in the design.
DOORS = {
    "base": set(),
    "transport": {"base"},
    "local": {"base"},
    "host": {"base"},
    "request": {"base"},
    "fs": {"base", "host"},
    "fuse": {"base", "request", "fs"},
    "state": {"base", "fs"},
}

# Whose headers ours may include.
PACKAGES = ["glib-2.0", "json-glib-1.0", "libseccomp", "libcap-ng", "fuse3"]


def includes(path):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', path.read_text(), re.MULTILINE)


def resolve(path, name, source):
    """The file that #include "name" in path means, or None for what the build generates."""
    for candidate in (path.parent / name, source / name):
        if candidate.exists():
            return candidate.resolve()
    return None


def room_of(path, source):
    parts = path.relative_to(source).parts
    return parts[0] if len(parts) > 1 else None


def wrong_doors(room, files, source):
    """Sentences, one for each include that goes through a wall."""
    found = []
    for path in files:
        for name in includes(path):
            target = resolve(path, name, source)
            if target is None:
                if name != "config.h":
                    found.append(f"{path.relative_to(source)} includes \"{name}\", which is nowhere")
                continue
            to = room_of(target, source)
            if to != room and to not in DOORS[room]:
                found.append(f"{path.relative_to(source)} includes \"{name}\": "
                             f"{room} may use {', '.join(sorted(DOORS[room])) or 'no other room'}")
    return found


def cycle(files, source):
    """The first include cycle as a list of names, or None."""
    graph = {path: [t for t in (resolve(path, n, source) for n in includes(path)) if t]
             for path in files}
    state = {}

    def visit(path, trail):
        if state.get(path) == "done":
            return None
        if path in trail:
            return trail[trail.index(path):] + [path]
        for target in graph.get(path, []):
            found = visit(target, trail + [path])
            if found:
                return found
        state[path] = "done"
        return None

    for path in files:
        found = visit(path, [])
        if found:
            return [str(p.relative_to(source)) for p in found]
    return None


def flags():
    known = [p for p in PACKAGES
             if subprocess.run(["pkg-config", "--exists", p]).returncode == 0]
    out = subprocess.run(["pkg-config", "--cflags", *known], capture_output=True, text=True)
    return out.stdout.split()


def compile_alone(header, source, cc, cflags, scratch):
    """What the compiler says about a file that includes nothing but this header, twice."""
    name = header.relative_to(source)
    unit = Path(scratch) / "alone.c"
    unit.write_text(f'#include "{name}"\n#include "{name}"\n')
    command = [cc, "-fsyntax-only", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
               "-Wno-unused-parameter", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
               f"-I{source}", f"-I{scratch}", *cflags, str(unit)]
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


def cases(source, cc):
    """(name, complaints) of each test."""
    files = sorted(path.resolve() for path in source.rglob("*.[ch]"))
    rooms = sorted({room_of(path, source) for path in files} - {None})
    for room in rooms:
        inside = [path for path in files if room_of(path, source) == room]
        if room not in DOORS:
            yield f"room {room}", [f"the folder {room} is not on the ground plan"]
            continue
        yield f"room {room} uses only the doors it has", wrong_doors(room, inside, source)
    ring = cycle(files, source)
    yield "no include cycle", [" -> ".join(ring)] if ring else []
    cflags = flags()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "config.h").write_text('#define VERSION "test"\n')
        for header in (path for path in files if path.suffix == ".h"):
            complaint = compile_alone(header, source, cc, cflags, scratch)
            yield f"{header.relative_to(source)} compiles alone", complaint.splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("top", nargs="?", default=Path(__file__).resolve().parent.parent, type=Path)
    args = parser.parse_args()
    count = failed = 0
    for name, complaints in cases((args.top / "tools" / "virtiofsd").resolve(), args.cc):
        count += 1
        failed += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {count} - {name}")
        for line in complaints:
            print(f"#   {line}")
    print(f"1..{count}")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
