#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the tree to its layers: includes point downward only, and every C file names its licence.

usage: check-layers.py [ROOT]
"""
import os
import re
import subprocess
import sys

# What the files of a layer may include besides their own; None is the top level.
ALLOWED = {
    "base": set(),
    "formats": {"base"},
    "text": {"base", "formats"},
    "data": {"base", "formats", "text"},
    "hub": {"base", "formats"},
    "compute": {"base", "formats"},
}
for layer, below in (
    ("nn", {"base", "formats", "text", "data", "hub", "compute"}),
    ("models", {"nn"}),
    ("methods", {"models"}),
    ("train", {"methods"}),
    (None, {"train"}),
):
    for lower in tuple(below):
        below |= ALLOWED[lower] | {lower}
    ALLOWED[layer] = below

LIBRARY = "libpeft-glib"
PROGRAMS = ("cli", "app")
PUBLIC_HEADER = "peft-glib.h"
GENERATED = {"config.h"}
C_SUFFIXES = (".c", ".h", ".cu", ".cuh", ".comp", ".glsl")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
# In two pieces, or this file would find itself.
FOREIGN_PATH = b"/wo" + b"rk/"


def tree_files(root):
    """The files git would commit; in an unpacked archive, all but build folders."""
    git = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
    ) if os.path.exists(os.path.join(root, ".git")) else None
    if git is not None and git.returncode == 0:
        return sorted(os.fsdecode(name) for name in git.stdout.split(b"\0") if name)
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f != "__pycache__" and not f.startswith((".git", "build"))]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def layer_of(path):
    """The layer of a path below the library's folder."""
    return path.split("/")[0] if "/" in path else None


def check_library_include(root, path, included):
    own = layer_of(path)
    if own not in ALLOWED:
        return f"the folder {own} is no layer of check-layers.py"
    if included in GENERATED:
        return None
    # From the library's root first, as the compiler is told; else beside the file.
    target = included
    if not os.path.exists(os.path.join(root, LIBRARY, included)):
        beside = os.path.normpath(os.path.join(os.path.dirname(path), included))
        if os.path.exists(os.path.join(root, LIBRARY, beside)):
            target = beside
    other = layer_of(os.path.normpath(target))
    if other == own or other in ALLOWED[own]:
        return None
    if other is None:
        return f'"{included}": a header of the top level, used below it'
    if other not in ALLOWED:
        return f'"{included}": not in a layer of the library'
    return f'"{included}": the layer {other} is not below {own or "the top level"}'


def check_program_include(root, path, included, system):
    program = path.split("/")[0]
    in_library = os.path.exists(os.path.join(root, LIBRARY, included))
    if included == PUBLIC_HEADER or included in GENERATED:
        return None
    if system:
        return f"<{included}>: a header inside the library" if in_library else None
    for base in (os.path.dirname(path), program):
        target = os.path.normpath(os.path.join(base, included))
        if target.split("/")[0] == program and os.path.exists(os.path.join(root, target)):
            return None
    return f'"{included}": neither <{PUBLIC_HEADER}> nor a header of {program}/'


def check_c(root, path, text):
    if "SPDX-License-Identifier:" not in "\n".join(text.split("\n", 5)[:5]):
        yield 1, "no SPDX-License-Identifier in the first five lines"
    for match in INCLUDE.finditer(text):
        quoted, system = match.groups()
        message = None
        if path.startswith(LIBRARY + "/"):
            inside = path[len(LIBRARY) + 1:]
            if quoted is not None:
                message = check_library_include(root, inside, quoted)
            elif os.path.exists(os.path.join(root, LIBRARY, system)):
                message = f"<{system}>: the library includes its own headers in quotes"
        elif path.split("/")[0] in PROGRAMS:
            message = check_program_include(root, path, quoted or system, quoted is None)
        if message is not None:
            yield text.count("\n", 0, match.start(1) if quoted else match.start(2)) + 1, message


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    root = os.path.abspath(root)
    problems = []
    n_c = 0
    for path in tree_files(root):
        full = os.path.join(root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, "rb") as file:
            content = file.read()
        if FOREIGN_PATH in content:
            line = content.count(b"\n", 0, content.index(FOREIGN_PATH)) + 1
            problems.append(f"{path}:{line}: contains {FOREIGN_PATH.decode()}")
        if path.endswith(C_SUFFIXES):
            n_c += 1
            for line, message in check_c(root, path, content.decode("utf-8")):
                problems.append(f"{path}:{line}: {message}")
    for problem in problems:
        print(problem)
    print(f"{n_c} C files, {len(problems)} problems")
    return 1 if problems or n_c == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
