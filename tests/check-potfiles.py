#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares po/POTFILES.in with the files that have translatable strings.

usage: check-potfiles.py ROOT [--write]
"""
import os
import re
import sys

FOLDERS = ("app", "cli", "data", "libpeft-glib")
MARKS = re.compile(r'\b(?:_|N_|C_|NC_|ngettext|Q_)\s*\(\s*"|translatable="yes"')
ENDINGS = (".c", ".h", ".ui", ".blp", ".desktop.in", ".metainfo.xml.in", ".gschema.xml")


def find(root):
    for folder in FOLDERS:
        for path, folders, names in os.walk(os.path.join(root, folder)):
            for name in names:
                full = os.path.join(path, name)
                if not name.endswith(ENDINGS):
                    continue
                with open(full, encoding="utf-8") as file:
                    text = file.read()
                if MARKS.search(text) or name.endswith((".desktop.in", ".metainfo.xml.in")):
                    yield os.path.relpath(full, root)


def main():
    root = sys.argv[1]
    list_path = os.path.join(root, "po", "POTFILES.in")
    found = sorted(find(root))
    if "--write" in sys.argv[2:]:
        with open(list_path, "w", encoding="utf-8") as file:
            file.write("".join(name + "\n" for name in found))
        return 0
    with open(list_path, encoding="utf-8") as file:
        listed = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    missing = sorted(set(found) - set(listed))
    stale = sorted(set(listed) - set(found))
    for name in missing:
        print(f"{name}: has translatable strings, but is not in po/POTFILES.in")
    for name in stale:
        print(f"{name}: in po/POTFILES.in without translatable strings")
    if listed != sorted(listed):
        print("po/POTFILES.in: expected a sorted list")
    if missing or stale:
        print("`tests/check-potfiles.py . --write` writes the list anew")
    return 1 if missing or stale or listed != sorted(listed) else 0


if __name__ == "__main__":
    sys.exit(main())
