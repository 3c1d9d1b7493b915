#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Verbs of PeftModel through introspection, for tests whose Python has no gi: the request is JSON on standard input.

{"model": FOLDER, "adapters": [FOLDER…], "steps": [[NAME, ARGUMENT…]…]} prints what each step gave: "logits" of ids, or what the method
of PeftModel with that name returns, in the end where it is asynchronous;
{…, "texts": [TEXT…], "names": […], "new": N} prints the new ids of texts with an adapter each, generated together and one by one;
{…, "mixed": [[ID…]…], "names": […]} prints the logits of lines with an adapter each;
{…, "swap": [FOLDER…], "ids": [ID…]} prints logits before and after each;
{…, "merge": [ID…]} prints logits before merging, merged, after unmerging, and disabled;
{"model": FOLDER, "adapters": [FOLDER…], "combine": {"weights": […], "type": "ties", "rank": 0, "density": 1.0, "frequency": false},
 "output": FOLDER}
"""

import json
import struct
import sys

import gi

gi.require_version("Peft", "1.0")
from gi.repository import GLib, Peft  # noqa: E402


def logits(model, ids):
    data = model.forward(ids, None).get_bytes().get_data()
    return list(struct.unpack(f"{len(data) // 4}f", data))


def merge(model, names, ids):
    model.set_active(names, [1.0] * len(names))
    out = {"before": logits(model, ids)}
    model.merge(None)
    out["names"], out["merged"] = model.get_merged(), logits(model, ids)
    for refused in (lambda: model.merge(None), lambda: model.delete_adapter(names[0])):
        try:
            refused()
            out["refused"] = False
        except GLib.Error:
            out.setdefault("refused", True)
    out["status"] = json.loads(model.get_status_json())
    model.unmerge()
    out["after"] = logits(model, ids)
    model.set_enabled(False)
    out["disabled"] = logits(model, ids)
    json.dump(out, sys.stdout)


def generate(model, texts, names, new):
    generator = Peft.Generator.new(model)
    generator.set_property("max-new-tokens", new)
    tokens = [[] for _ in texts]
    handler = generator.connect("token", lambda _, i, token, text: tokens[i].append(token) if token >= 0 else None)
    together = [r.get_ids() for r in generator.generate_mixed(texts, names, None)]
    generator.disconnect(handler)
    alone = []
    for text, name in zip(texts, names):
        model.set_active([] if name == "__base__" else [name], None)
        alone.append(generator.generate([text], None)[0].get_ids())
    again = [r.get_ids() for r in generator.generate_mixed(texts, names, None)]
    json.dump({"together": together, "tokens": tokens, "alone": alone, "again": again}, sys.stdout)


def step(model, name, arguments):
    if name == "logits":
        return logits(model, *arguments)
    if not name.endswith("_async"):
        return getattr(model, name)(*arguments)
    loop, out = GLib.MainLoop(), []

    def done(source, result):
        try:
            out.append(getattr(source, name.replace("_async", "_finish"))(result))
        except GLib.Error as error:
            out.append(error.message)
        loop.quit()

    getattr(model, name)(*arguments, done)
    loop.run()
    return out[0]


def main():
    request = json.load(sys.stdin)
    base = Peft.BaseModel.load(request["model"], None, Peft.LoadDType.FLOAT32, None)
    model = Peft.Model.new(base)
    others = [Peft.Model.new(base) for _ in range(request.get("others", 0))]  # noqa: F841
    names = [f"adapter-{i}" for i in range(len(request["adapters"]))]
    for folder, name in zip(request["adapters"], names):
        model.load_adapter(folder, name)
    if "steps" in request:
        return json.dump([step(model, name, arguments) for name, *arguments in request["steps"]], sys.stdout)
    if "texts" in request:
        return generate(model, request["texts"], request["names"], request["new"])
    if "swap" in request:
        out = [logits(model, request["ids"])]
        for folder in request["swap"]:
            model.hotswap_adapter(folder, names[0], None)
            out.append(logits(model, request["ids"]))
        return json.dump(out, sys.stdout)
    if "mixed" in request:
        data = model.forward_mixed([i for line in request["mixed"] for i in line], [len(line) for line in request["mixed"]],
                                   request["names"], None).get_bytes().get_data()
        return json.dump(struct.unpack(f"{len(data) // 4}f", data), sys.stdout)
    if "merge" in request:
        return merge(model, names, request["merge"])
    combine = request["combine"]
    kind = getattr(Peft.Combination, combine["type"].upper())
    model.add_weighted_adapter(names, combine["weights"], "new", kind, combine.get("rank", 0), combine.get("density", 1.0),
                               combine.get("frequency", False), None)
    model.save_adapter("new", request["output"])


main()
