#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up the tests that really ran, from the JUnit files of meson and pytest, and prints them in one line."""

import pathlib
import sys
import xml.etree.ElementTree as ET


def cases(folder):
    """(failed, skipped) of every test case; pytest's files stand in for meson's one entry a file."""
    for path in sorted(folder.glob("interop-*.xml")):
        for case in ET.parse(path).iter("testcase"):
            yield (case.find("failure") is not None or case.find("error") is not None, case.find("skipped") is not None)
    for suite in ET.parse(folder / "meson-logs/testlog.junit.xml").iter("testsuite"):
        by_pytest = suite.get("name", "").endswith((":interop", ".interop", "interop"))
        for case in suite.iter("testcase"):
            failed = case.find("failure") is not None or case.find("error") is not None
            # A file that pytest could not even collect has no test of its own.
            if by_pytest and not (failed and not list(folder.glob("interop-*.xml"))):
                continue
            yield failed, case.find("skipped") is not None


passed = failed = skipped = 0
for name in sys.argv[1:]:
    for bad, skip in cases(pathlib.Path(name)):
        failed += bad
        skipped += skip and not bad
        passed += not bad and not skip
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
