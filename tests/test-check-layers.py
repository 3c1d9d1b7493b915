#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-layers.py refuses what it should, in small trees made for it."""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check-layers.py")
SPDX = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
HEADERS = [
    f"libpeft-glib/{name}.h"
    for name in ("peft-glib", "peft-model", "base/b", "formats/f", "text/t", "data/d", "hub/h",
                 "compute/c", "compute/cpu/inner", "nn/n", "models/m", "methods/k", "train/r")
] + ["cli/own.h"]


def check(path, line, spdx=SPDX):
    with tempfile.TemporaryDirectory() as root:
        for name, text in [(h, SPDX) for h in HEADERS] + [(path, spdx + line + "\n")]:
            full = os.path.join(root, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True)
        return done.returncode, done.stdout


class Layers(unittest.TestCase):
    def test_allowed(self):
        for path, included in (
            ("libpeft-glib/base/x.c", '"base/b.h"'), ("libpeft-glib/base/x.c", '"config.h"'),
            ("libpeft-glib/base/x.c", "<glib.h>"), ("libpeft-glib/formats/x.c", '"base/b.h"'),
            ("libpeft-glib/data/x.c", '"text/t.h"'), ("libpeft-glib/compute/x.c", '"formats/f.h"'),
            ("libpeft-glib/compute/cpu/x.c", '"compute/c.h"'),
            ("libpeft-glib/compute/cpu/x.c", '"inner.h"'), ("libpeft-glib/nn/x.c", '"text/t.h"'),
            ("libpeft-glib/train/x.c", '"models/m.h"'), ("libpeft-glib/x.c", '"train/r.h"'),
            ("libpeft-glib/x.c", '"peft-model.h"'), ("cli/x.c", "<peft-glib.h>"),
            ("cli/x.c", '"own.h"'), ("tests/x.c", '"train/r.h"'),
        ):
            with self.subTest(path=path, included=included):
                code, out = check(path, f"#include {included}")
                self.assertEqual(code, 0, out)

    def test_refused(self):
        for path, included in (
            ("libpeft-glib/base/x.c", '"formats/f.h"'), ("libpeft-glib/formats/x.c", '"text/t.h"'),
            ("libpeft-glib/text/x.c", '"data/d.h"'), ("libpeft-glib/text/x.c", '"compute/c.h"'),
            ("libpeft-glib/hub/x.c", '"text/t.h"'), ("libpeft-glib/compute/x.c", '"text/t.h"'),
            ("libpeft-glib/compute/x.c", '"nn/n.h"'), ("libpeft-glib/nn/x.c", '"models/m.h"'),
            ("libpeft-glib/models/x.c", '"methods/k.h"'), ("libpeft-glib/methods/x.c", '"train/r.h"'),
            ("libpeft-glib/train/x.c", '"peft-model.h"'), ("libpeft-glib/base/x.c", "<nn/n.h>"),
            ("libpeft-glib/other/x.c", '"base/b.h"'), ("libpeft-glib/nn/x.c", '"../cli/own.h"'),
            ("cli/x.c", '"base/b.h"'), ("cli/x.c", "<base/b.h>"), ("cli/x.c", '"../app/a.h"'),
        ):
            with self.subTest(path=path, included=included):
                code, out = check(path, f"int a;\n#  include {included}")
                self.assertEqual(code, 1, out)
                self.assertIn(f"{path}:3:", out)

    def test_licence_and_path(self):
        code, out = check("tests/x.c", "int a;", spdx="")
        self.assertEqual(code, 1)
        self.assertIn("tests/x.c:1: no SPDX", out)
        code, out = check("docs/x.md", "see /wo" + "rk/x")
        self.assertEqual(code, 1)
        self.assertIn("docs/x.md:2:", out)


if __name__ == "__main__":
    unittest.main()
