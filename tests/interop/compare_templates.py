# SPDX-License-Identifier: LGPL-2.1-or-later
"""Renders chat templates with transformers' jinja2 sandbox and with ours: equal bytes, or both fail.

Usage: compare_templates.py TEMPLATE-DRIVER FOLDER...
Every *.jinja of the folders is rendered with every conversation below; a .json of the same name beside
it gives special tokens.
"""
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

from transformers.utils import chat_template_utils

NOW = 1753000000
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW)


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Gives the weather of a place.\nSecond line.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, “quoted” & <escaped>"},
                "days": {"type": "integer", "description": "How many", "default": 1},
                "units": {"type": "string", "enum": ["metric", "imperial"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "box": {
                    "type": "object",
                    "description": "Nested",
                    "properties": {"north": {"type": "number", "nullable": True}, "a": {"type": ["string", "null"]}},
                    "required": ["north"],
                },
            },
            "required": ["place"],
        },
        "return": {"type": "string"},
    },
}
SIMPLE_TOOL = {"type": "function", "function": {"name": "noop", "description": "", "parameters": {"type": "object", "properties": {}}}}
COHERE_TOOL = {
    "name": "search",
    "description": "Searches",
    "parameter_definitions": {"query": {"description": "words", "type": "str", "required": True}},
}
ARGUMENTS = {"place": "Zürich", "days": 3, "ratio": 0.5, "flags": [True, None, 1e-7], "box": {"north": 47.4}}


def tool_call(arguments, identifier="abcdef123"):
    return {"id": identifier, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def tool_conversation(arguments, content=""):
    return [
        user("How is the weather?"),
        assistant(content, tool_calls=[tool_call(arguments)]),
        {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "{\"sky\": \"clear\"}"},
        assistant("It is clear."),
    ]


CONVERSATIONS = {
    "user": {"messages": [user("Hello")]},
    "pair": {"messages": [user("Hello"), assistant("Hi there!")]},
    "system": {"messages": [system("Be brief."), user("Hello"), assistant("Hi.")]},
    "multi": {"messages": [system("  Be brief.\n"), user(" one "), assistant("\n1\n"), user("two"), assistant("2"), user("three")]},
    "unicode": {"messages": [user("Grüße 你好 🎉 \u00a0x\u2028y"), assistant("Ελληνικά ΣΣ ß"), user("Привет")]},
    "quotes": {"messages": [user("it's \"quoted\" <b>&amp;</b> {{ x }} {% y %} \\n"), assistant("`a`\t'b'")]},
    "empty": {"messages": [user(""), assistant("")]},
    "none": {"messages": []},
    "two users": {"messages": [user("a"), user("b")]},
    "assistant first": {"messages": [assistant("hm"), user("b")]},
    "system last": {"messages": [user("b"), assistant("c"), system("late")]},
    "long": {"messages": [m for i in range(12) for m in (user(f"question {i}"), assistant(f"answer {i}"))]},
    "think": {"messages": [user("Why?"), assistant("<think>\nhm\n</think>\n\nBecause."), user("And?"), assistant("<think>x</think>So.")]},
    "reasoning": {"messages": [user("Why?"), assistant("Because.", reasoning_content="let me see"), user("More"), assistant("End", reasoning_content="ok")]},
    "thinking": {"messages": [user("Why?"), assistant("Because.", thinking="let me see")]},
    "parts": {"messages": [user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]), assistant([{"type": "text", "text": "three"}])]},
    "image": {"messages": [user([{"type": "image"}, {"type": "text", "text": "what?"}]), assistant("a cat")]},
    "image url": {"messages": [user([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": "x"}}])]},
    "developer": {"messages": [{"role": "developer", "content": "dev"}, user("x")]},
    "bad role": {"messages": [{"role": "robot", "content": "beep"}, user("x")]},
    "null content": {"messages": [user("x"), assistant(None)]},
    "missing content": {"messages": [user("x"), {"role": "assistant"}]},
    "tools unused": {"messages": [user("x")], "tools": [WEATHER]},
    "tools two": {"messages": [system("s"), user("x"), assistant("y")], "tools": [WEATHER, SIMPLE_TOOL]},
    "tools empty": {"messages": [user("x")], "tools": []},
    "tool call": {"messages": tool_conversation(ARGUMENTS), "tools": [WEATHER]},
    "tool call string": {"messages": tool_conversation(json.dumps(ARGUMENTS)), "tools": [WEATHER]},
    "tool call text": {"messages": tool_conversation(ARGUMENTS, "Let me look."), "tools": [WEATHER]},
    "tool call null": {"messages": tool_conversation(ARGUMENTS, None), "tools": [WEATHER]},
    "tool call no tools": {"messages": tool_conversation(ARGUMENTS)},
    "tool call open": {"messages": tool_conversation(ARGUMENTS)[:3], "tools": [WEATHER]},
    "tool calls two": {
        "messages": [
            system("s"), user("x"),
            assistant("", tool_calls=[tool_call({"place": "a"}, "aaaaaaaaa"), tool_call({}, "bbbbbbbbb")]),
            {"role": "tool", "tool_call_id": "aaaaaaaaa", "name": "get_weather", "content": "1"},
            {"role": "tool", "tool_call_id": "bbbbbbbbb", "name": "get_weather", "content": {"a": [1, 2.5, "é"]}},
            assistant("done"), user("thanks"),
        ],
        "tools": [WEATHER, SIMPLE_TOOL],
    },
    "flat call": {"messages": [user("x"), assistant("", tool_calls=[{"id": "123456789", "name": "f", "arguments": {"b": 1, "a": "x"}}]), {"role": "tool", "content": "r"}], "tools": [WEATHER]},
    "cohere tool": {"messages": [user("x"), assistant("y")], "tools": [COHERE_TOOL]},
    "documents": {"messages": [user("x")], "documents": [{"title": "T", "text": "body", "doc_id": 1}, {"title": "U", "text": "more", "doc_id": "2"}]},
    "thinking on": {"messages": [system("s"), user("x")], "enable_thinking": True, "thinking": True},
    "thinking off": {"messages": [system("s"), user("x"), assistant("y"), user("z")], "enable_thinking": False, "thinking": False},
    "effort": {"messages": [user("x")], "reasoning_effort": "high", "date_string": "1 Jan 2025", "builtin_tools": ["python", "browser"]},
    "controls": {"messages": [user("x"), assistant("y")], "controls": ["a", "b"], "citations": True, "available_tools": [WEATHER], "keep_past_thinking": True},
}


def cases():
    for name, conversation in CONVERSATIONS.items():
        for prompt in (False, True):
            yield f"{name}{' +prompt' if prompt else ''}", conversation, prompt


def oracle(template, variables):
    """(text, None), or (None, error)."""
    variables = dict(variables)
    messages = variables.pop("messages")
    tools = variables.pop("tools", None)
    documents = variables.pop("documents", None)
    variables.pop("__strftime_now__")
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
        return compiled.render(messages=messages, tools=tools, documents=documents, **variables), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def oracle_spans(template, variables):
    """Byte spans of {% generation %} blocks, which transformers counts in characters."""
    variables = {k: v for k, v in variables.items() if k not in ("__strftime_now__", "add_generation_prompt")}
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
        text, spans = chat_template_utils._render_with_assistant_indices(
            compiled, variables.pop("messages"), variables.pop("tools"), variables.pop("documents"), False, **variables)
    except Exception:
        return None
    return [[len(text[:start].encode()), len(text[:end].encode())] for start, end in spans]


class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, template, name, variables, mask=False):
        request = {"template": template, "name": name, "variables": variables, "mask": mask}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer.get("text"), answer.get("error"), answer.get("spans")


def special_tokens(path):
    beside = path.with_suffix(".json")
    if not beside.exists():
        return TOKENS
    settings = json.loads(beside.read_text(encoding="utf-8"))
    return {**TOKENS, **{k: v for k, v in settings.items() if k.endswith("_token") and isinstance(v, str)}}


def where(a, b):
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"at {at}: {a[max(0, at - 40):at + 40]!r} against {b[max(0, at - 40):at + 40]!r}"


def main():
    os.environ["TZ"] = "UTC"
    time.tzset()
    chat_template_utils.datetime = FixedDate
    driver = Driver(sys.argv[1])
    compared = rendered = differences = masked = 0
    for folder in sys.argv[2:]:
        for path in sorted(pathlib.Path(folder).glob("*.jinja")):
            template = path.read_bytes().decode("utf-8")
            for name, conversation, prompt in cases():
                variables = {"tools": None, "documents": None, **conversation, "add_generation_prompt": prompt,
                             **special_tokens(path), "__strftime_now__": NOW}
                expected, reason = oracle(template, variables)
                found, error, _ = driver.render(template, path.name, variables)
                compared += 1
                rendered += expected is not None
                if "endgeneration" in template and expected is not None:
                    spans, ours = oracle_spans(template, variables), driver.render(template, path.name, variables, mask=True)
                    masked += bool(spans)
                    if spans != ours[2]:
                        differences += 1
                        print(f"{path.name} [{name}]: spans {spans} against {ours[2] or ours[1]}")
                if expected != found:
                    differences += 1
                    detail = where(expected, found) if None not in (expected, found) else f"jinja2: {reason or 'renders'}; ours: {error or 'renders'}"
                    print(f"{path.name} [{name}]: {detail}")
    print(f"{compared} compared, {rendered} of them rendered by jinja2, {masked} with generation spans, {differences} differences")
    return 1 if differences or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
