# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chat templates from the wild, rendered by transformers' jinja2 and by ours: compare_templates.py over shared/corpus."""

import os
import pathlib
import subprocess
import sys

import pytest
from conftest import shared

FOLDERS = sorted({p.parent for p in (shared() / "corpus").rglob("*.jinja")}) if shared() is not None else []


@pytest.mark.skipif(not FOLDERS or "PEFT_TEMPLATE_DRIVER" not in os.environ, reason="the templates or the driver are not there")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_folder(folder):
    script = pathlib.Path(__file__).with_name("compare_templates.py")
    result = subprocess.run([sys.executable, "-B", script, os.environ["PEFT_TEMPLATE_DRIVER"], folder], capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
