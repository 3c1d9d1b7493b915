#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the symbols that the library exports with the list of those that are public.

usage: check-symbols.py NM LIBRARY LIST METHOD…
Every method adds peft_METHOD_config_get_type.
"""
import subprocess
import sys


def main():
    nm, library, list_path, *methods = sys.argv[1:]
    lines = subprocess.run(
        [nm, "-D", "--defined-only", "--format=posix", library],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    # Instrumented builds export more.
    found = {
        name for name, kind in (line.split()[:2] for line in lines)
        if kind != "A" and not name.startswith(("__asan", "__ubsan", "__odr_asan", "__sanitizer"))
    }
    with open(list_path, encoding="utf-8") as file:
        expected = set(file.read().split())
    expected |= {f"peft_{method.replace('-', '_')}_config_get_type" for method in methods}
    status = 0
    for name in sorted(found - expected):
        print(f"{name}: exported, but not in {list_path}")
        status = 1
    for name in sorted(expected - found):
        print(f"{name}: in {list_path}, but not exported")
        status = 1
    for name in sorted(found):
        if not name.startswith("peft_"):
            print(f"{name}: expected a name that begins with peft_")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
