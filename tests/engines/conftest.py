"""Tiny checkpoints, made once a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.checkpoints import (
    random_weights,
    write_awq,
    write_checkpoint,
    write_gptq,
)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One set of random weights as fp16, gptq-int8, gptq-int4 and awq-int4, and under `dense-*`
    the weights that the packed ones stand for."""
    root = tmp_path_factory.mktemp("checkpoints")
    weights = random_weights()
    write_checkpoint(root / "fp16", weights)
    writers: dict[str, Callable[[Path], dict[str, object]]] = {
        "gptq-int8": lambda folder: dict(write_gptq(folder, weights, 8)),
        "gptq-int4": lambda folder: dict(write_gptq(folder, weights, 4)),
        "awq-int4": lambda folder: dict(write_awq(folder, weights)),
    }
    for name, write in writers.items():
        write_checkpoint(root / f"dense-{name}", write(root / name))
    return {folder.name: folder for folder in root.iterdir()}


@pytest.fixture
def tiny(tiny_folders: dict[str, Path]) -> Path:
    """The unquantised one."""
    return tiny_folders["fp16"]
