"""The container is described truthfully: what it copies exists, what it sets is a setting.

Builds no image: that needs a container engine and the network.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_webui.settings import ENV_PREFIX, Settings, read_settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> Iterator[tuple[str, str]]:
    """Each instruction's word and what follows it, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def only(word: str) -> str:
    found = [rest for name, rest in instructions() if name == word]
    assert len(found) == 1, f"{word} stands {len(found)} times"
    return found[0]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(only("ENV")))


def copied() -> set[str]:
    """What is taken from the build's own folder."""
    copies = [rest.split() for word, rest in instructions() if word == "COPY"]
    return {name for words in copies if "--from=build" not in words for name in words[:-1]}


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert copied() == let_through
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_everything_that_the_build_reads_is_copied() -> None:
    """hatchling reads what pyproject.toml names; the launcher is app.py."""
    assert copied() >= {"app.py", "pyproject.toml", "README.md", "LICENSE"}
    assert copied() >= {"constraints.txt", "qwen_webui", "personas"}


def test_the_environment_holds_settings_that_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {k: v for k, v in environment().items() if k.startswith(ENV_PREFIX)}
    assert {k.removeprefix(ENV_PREFIX).lower() for k in ours} <= set(Settings.model_fields)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = read_settings({})
    assert str(settings.port) == only("EXPOSE")
    assert settings.host == "0.0.0.0"
    assert str(settings.data_dir).startswith(only("VOLUME") + "/")


def test_the_image_is_the_base_install_and_has_no_compiler() -> None:
    """Of the optional parts `quantize` compiles at install; the base has wheels for all."""
    runs = [rest for word, rest in instructions() if word == "RUN"]
    assert [run for run in runs if re.search(r"gcc|build-essential|g\+\+|clang", run)] == []
    (install,) = (run for run in runs if "pip install" in run)
    assert install.endswith(" .")


def test_the_python_is_one_that_the_project_takes() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1, "a virtual environment moves only between equal pythons"
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", bases.pop())
    assert version is not None
    assert version[1] in ("3.11", "3.12", "3.13")


def test_the_health_check_fails_without_a_server_and_is_plain_python() -> None:
    command = json.loads(only("HEALTHCHECK").partition("CMD")[2])
    nobody = {"QWEN_WEBUI_PORT": "9"}  # discard: nothing listens there
    result = subprocess.run([sys.executable, *command[1:]], env=nobody, capture_output=True)
    assert result.returncode != 0
    assert b"URLError" in result.stderr
