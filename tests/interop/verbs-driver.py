#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Verbs of PeftModel through introspection, for tests whose Python has no gi: the request is JSON on standard input.

{"model": FOLDER, "adapters": [FOLDER…], "combine": {"weights": […], "type": "ties", "rank": 0, "density": 1.0, "frequency": false},
 "output": FOLDER}
"""

import json
import sys

import gi

gi.require_version("Peft", "1.0")
from gi.repository import Peft  # noqa: E402


def main():
    request = json.load(sys.stdin)
    base = Peft.BaseModel.load(request["model"], None, Peft.LoadDType.FLOAT32, None)
    model = Peft.Model.new(base)
    names = [f"adapter-{i}" for i in range(len(request["adapters"]))]
    for folder, name in zip(request["adapters"], names):
        model.load_adapter(folder, name)
    combine = request["combine"]
    kind = getattr(Peft.Combination, combine["type"].upper())
    model.add_weighted_adapter(names, combine["weights"], "new", kind, combine.get("rank", 0), combine.get("density", 1.0),
                               combine.get("frequency", False))
    model.save_adapter("new", request["output"])


main()
