"""The manager over the engine's own process and tiny checkpoints: deaths and damage at bad moments.

What the scripted engine only plays is done here: `kill -9`, a stopped process, torn files.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from safetensors.torch import load_file, save_file

from qwen_webui.checkpoints import Library
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import CheckpointError, Conflict, EngineCrashed, ShuttingDown
from qwen_webui.models import ModelManager
from qwen_webui.types import TextDelta
from tests.engines.asking import endless, first_delta, request
from tests.engines.checkpoints import random_weights, write_checkpoint
from tests.serving import soon, until
from tests.test_server import SLACK, Process

pytestmark = pytest.mark.slow
together = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`good` and `other` are whole, `torn` is cut off, `mad` has weights that are no numbers,
    `hollow` lacks some."""
    root = tmp_path_factory.mktemp("models")
    write_checkpoint(root / "good", random_weights())
    for name in ("other", "torn", "mad"):
        shutil.copytree(root / "good", root / name)
    with (root / "torn" / "model.safetensors").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 1)
    weights = load_file(root / "mad" / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, root / "mad" / "model.safetensors", metadata={"format": "pt"})
    weights = load_file(root / "good" / "model.safetensors")
    del weights["model.layers.0.mlp.down_proj.weight"]
    shutil.copytree(root / "good", root / "hollow")
    save_file(weights, root / "hollow" / "model.safetensors", metadata={"format": "pt"})
    yield root


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loader() -> AsyncIterator[ProcessLoader]:
    loader = ProcessLoader(stall_seconds=60)
    yield loader
    await loader.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    loader: ProcessLoader, folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ModelManager]:
    """One for all: whatever a test did to it, it must serve the next one."""
    library = Library(
        tmp_path_factory.mktemp("library"), hub="huggingface", endpoint=None, offline=True
    )
    library.add_folder(folders / "good")
    library.add_folder(folders / "other")
    library.add_folder(folders / "mad")
    library.add_folder(folders / "hollow")
    manager = ModelManager(
        library,
        loader,
        device="cpu",
        dtype="auto",
        max_context=None,
        max_running=2,
        max_waiting=4,
        queue_timeout=60,
        drain_seconds=1,
    )
    yield manager
    await manager.close()


@pytest_asyncio.fixture(loop_scope="module")
async def manager(shared: ModelManager) -> ModelManager:
    """`good` is loaded, the others are known."""
    if shared.status().name != "good":
        await shared.load("good")
    return shared


async def answer(manager: ModelManager) -> int:
    """How many pieces of text a short answer has."""
    async with aclosing(manager.stream(request(max_new_tokens=3))) as events:
        return len([event async for event in events if isinstance(event, TextDelta)])


async def serves(manager: ModelManager, name: str) -> None:
    status = await until(manager, lambda s: s.state == "ready")
    assert status.name == name and await answer(manager) > 0
    assert manager.status().running == 0


@together
async def test_damaged_checkpoints_leave_the_old_one(manager: ModelManager, folders: Path) -> None:
    """reliability lines 28, 32: one is refused unread, one when its first answer is no number."""
    whole = folders / "other" / "model.safetensors"
    kept = whole.read_bytes()
    try:
        whole.write_bytes(kept[:-1])
        with pytest.raises(CheckpointError, match="cut off"):
            await manager.load("other")
        whole.unlink()
        with pytest.raises(CheckpointError, match="no weights"):
            await manager.load("other")
        await serves(manager, "good")
        with pytest.raises(CheckpointError, match="not finite"):
            await manager.load("mad")
        await serves(manager, "good")
        assert manager.status().error_code == "checkpoint_invalid"
        with pytest.raises(CheckpointError, match=r"not in (its|the model.s) files"):
            await manager.load("hollow")
        await serves(manager, "good")
    finally:
        whole.write_bytes(kept)
    await manager.load("other")
    await serves(manager, "other")


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.6])
@together
async def test_a_swap_cancelled_at_any_moment(manager: ModelManager, seconds: float) -> None:
    """reliability line 30"""
    swap = asyncio.create_task(manager.load("other"))
    await asyncio.sleep(seconds)
    await manager.cancel_load()
    try:
        name = (await swap).name
    except Conflict:
        name = "good"
    await serves(manager, name)
    last = "good" if name == "other" else "other"
    await manager.load(last)
    await serves(manager, last)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.6])
@together
async def test_killed_during_a_swap(
    manager: ModelManager, loader: ProcessLoader, seconds: float
) -> None:
    """reliability line 24: whatever it was doing, one of the two serves afterwards."""
    swap = asyncio.create_task(manager.load("other"))
    await asyncio.sleep(seconds)
    killed = loader.pid
    assert killed is not None, "the worker outlives swaps"
    os.kill(killed, signal.SIGKILL)
    name = "good"
    try:
        name = (await swap).name
    except EngineCrashed as error:
        assert "restarted" not in error.message
    await soon(lambda: loader.pid not in (None, killed), 10 * SLACK)
    await serves(manager, name)
    children = psutil.Process().children()
    assert [c.pid for c in children if c.status() != psutil.STATUS_ZOMBIE] == [loader.pid]
    assert not [c for c in children if c.status() == psutil.STATUS_ZOMBIE]


@together
async def test_killed_during_a_score(manager: ModelManager, loader: ProcessLoader) -> None:
    """reliability line 24"""
    async with manager.lease() as engine:
        scoring = asyncio.create_task(engine.score([1, 2, 3] * 2700))
        await asyncio.sleep(0.2)
        assert loader.pid is not None and not scoring.done()
        os.kill(loader.pid, signal.SIGKILL)
        with pytest.raises(EngineCrashed):
            await asyncio.wait_for(scoring, 2 * SLACK)
    await soon(lambda: manager.status().state != "ready")
    await serves(manager, "good")


@together
async def test_a_stopped_process_cannot_hold_up_the_end(
    manager: ModelManager, loader: ProcessLoader, folders: Path
) -> None:
    """reliability line 22: exit at most five seconds after the drain, whatever hangs. The last of
    those that share the manager, because it ends it."""
    async with aclosing(manager.stream(endless(folders / "good"))) as events:
        await first_delta(events)  # type: ignore[arg-type]
        assert loader.pid is not None
        process = psutil.Process(loader.pid)
        process.suspend()
        ending = asyncio.create_task(manager.drain(0.5))
        with pytest.raises(ShuttingDown):
            async for _ in events:
                pass
        await asyncio.wait_for(ending, 5 * SLACK)
    await asyncio.wait_for(manager.close(), 5 * SLACK)
    assert not process.is_running()


def test_a_truncated_file_is_refused_before_any_load(folders: Path, tmp_path: Path) -> None:
    """reliability line 32: over HTTP, and no engine process was ever started."""
    process = Process(tmp_path / "data", folders / "torn", "real=1")
    try:
        process.wait_for("/healthz")
        error = process.get("/readyz").json()["error"]
        assert error["code"] == "checkpoint_invalid" and "cut off" in error["message"]
        assert str(folders) not in error["message"]
        assert psutil.Process(process.popen.pid).children() == []
    finally:
        process.close()
