"""What reading a report, and measuring, load into a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOADED = "import sys, {name}; print([m for m in {others!r} if m in sys.modules])"
WEB = ("torch", "transformers", "pydantic", "fastapi", "gradio")


@pytest.mark.parametrize("name", ["measurement", "writing", "newest"])
def test_little_is_loaded(name: str) -> None:
    code = LOADED.format(name=f"qwen_webui.measure.speed.{name}", others=WEB)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
