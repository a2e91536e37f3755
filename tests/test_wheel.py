"""The wheel carries everything the program needs, and works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("qwen_webui-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def run(site: Path, cwd: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Python elsewhere, with the wheel's package first on its path."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_personas_demo_and_texts_come_along(unpacked: Path, tmp_path: Path) -> None:
    done = run(
        unpacked,
        tmp_path,
        "import qwen_webui, qwen_webui.ui.page\n"
        "from qwen_webui.personas import Personas, builtin_folder\n"
        "from qwen_webui.checkpoints import catalogue\n"
        "demo = [s.name for s in catalogue() if s.family == 'demo' and s.folder]\n"
        "print(qwen_webui.__file__)\n"
        "print([p.id for p in Personas.load(builtin_folder()).all()], demo)\n"
        "from qwen_webui.examples import load_examples\n"
        "print(len(load_examples()))",
    )
    assert done.returncode == 0, done.stderr
    where, found, examples = done.stdout.splitlines()
    assert where.startswith(str(unpacked))
    assert int(examples) >= 8
    assert found == (
        "['general', 'code', 'writing', 'translator', 'extraction', 'analyst'] "
        "['demo-fp16', 'demo-gptq-int8', 'demo-gptq-int4', 'demo-awq-int4']"
    )


@pytest.mark.slow
def test_it_answers_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = "import sys; from qwen_webui.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ("chat", "你好", "--temperature", "0", "--data-dir", str(tmp_path / "data"))
    done = run(unpacked, tmp_path, code, *words)
    assert done.returncode == 0, done.stderr
    assert "qwen-webui" in done.stdout
