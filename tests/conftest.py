"""Fixtures that several folders of tests share."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from qwen_webui.settings import Settings


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """What modules before left is collected, and what they keep (torch, the page, every test) is
    not looked through again: a full collection of it takes a second, and engines ask for one at
    each unload."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a run whose data lies in a folder of its own and that never downloads."""
    return Settings(data_dir=tmp_path / "data", offline=True, device="cpu")


@pytest.fixture
def demo_folder() -> Path:
    """The embedded unquantised checkpoint."""
    return Path(__file__).parent.parent / "qwen_webui" / "demo" / "demo-fp16"
