"""The READMEs say what is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_webui.command_flags import COMMANDS, parser_of
from qwen_webui.settings import Settings, flag

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")


def test_tables_and_trees_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", READMES)
def test_flags_commands_links_and_images_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"<!-- files -->.*?<!-- /files -->", "", text, flags=re.DOTALL)
    known = {flag(field) for field in Settings.model_fields}
    for command in COMMANDS:
        known |= set(re.findall(r"--[a-z][a-z-]+", parser_of(command).format_help()))
    known |= {"--gpus"}  # docker's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known
    assert set(re.findall(r"app\.py ([a-z][a-z-]+)", text)) <= set(COMMANDS)
    local = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_both_languages_show_the_same_commands() -> None:
    blocks = []
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        found = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        blocks.append([re.sub(r"\s*#.*", "", block) for block in found])
    assert blocks[0] == blocks[1]
