"""Checkpoints that bring code along, given to the program as its user would give them."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.folders import checkpoint_files, write_checkpoint
from tests.serving import write_tokenizer
from tests.test_server import launched

pytestmark = pytest.mark.slow


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._path),)


def with_code(folder: Path, mark: Path) -> None:
    """A config that names modules of its own, which lie beside it."""
    files = checkpoint_files(auto_map={"AutoModelForCausalLM": "modeling.Model"})
    files["modeling.py"] = f"import os\nos.mkdir({str(mark)!r})\n".encode()
    write_tokenizer(write_checkpoint(folder, files))


def with_internal(folder: Path, mark: Path) -> None:
    """A config with a field that transformers takes for its own."""
    files = checkpoint_files(_attn_implementation_internal="evil/kernel")
    write_tokenizer(write_checkpoint(folder, files))


def with_pickle(folder: Path, mark: Path) -> None:
    """Weights as a pickle alone."""
    files = checkpoint_files()
    del files["model.safetensors"]
    files["pytorch_model.bin"] = pickle.dumps(Touch(mark))
    write_tokenizer(write_checkpoint(folder, files))


@pytest.mark.parametrize("write", [with_code, with_internal, with_pickle])
def test_a_checkpoint_with_code_is_refused_and_its_code_never_runs(
    tmp_path: Path, write: Any
) -> None:
    """reliability line 62: with the engine's own process; the page is up and says why"""
    mark = tmp_path / "code-ran"
    write(tmp_path / "tiny", mark)
    values = ("real=1", "trust_remote_code=true")
    with launched(tmp_path, tmp_path / "tiny", *values) as process:
        process.wait_for("/healthz")
        answer = process.get("/readyz")
        assert answer.status_code == 503
        message = answer.json()["error"]["message"]
        words = {
            "with_code": "auto_map",
            "with_internal": "_internal",
            "with_pickle": "safetensors",
        }
        assert words[write.__name__] in message, message
        asked = httpx.post(process.url + "/api/generate", json={"prompt": "Hi"}, timeout=10)
        assert asked.status_code == 503, asked.text
        assert json.dumps(str(tmp_path))[1:-1] not in answer.text + asked.text
    assert not mark.exists()
    pickle.loads(pickle.dumps(Touch(mark)))
    assert mark.is_dir(), "the test's own code works"
