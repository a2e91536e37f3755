"""The model manager when what it stands on fails at a bad moment. Scripted engine, no clocks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen_webui.engines.base import Engine, Report
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import Conflict, DeviceUnusable, DoesNotFit, EngineCrashed
from qwen_webui.types import LoadPlan, MemoryUse
from tests.serving import FakeLibrary, make_manager, managing, soon, until
from tests.test_models import LONG, answer, asking


class Stubborn(ScriptedLoader):
    """From `stuck` on its engines do not unload, and its `memory` does what `measure` says."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = False
        self.unloading = 0
        self.measure: Callable[[], None] = lambda: None

    async def load(self, plan: LoadPlan, report: Report) -> Engine:
        engine = await super().load(plan, report)
        unload = engine.close

        async def close() -> None:
            self.unloading += 1
            if self.stuck:
                await asyncio.sleep(60)
            await unload()

        engine.close = close  # type: ignore[method-assign]
        return engine

    async def memory(self) -> MemoryUse:
        self.measure()
        return await super().memory()

    async def restart(self) -> None:
        self.stuck = False
        await super().restart()


async def test_a_swap_cancelled_while_the_old_one_unloads(tmp_path: Path) -> None:
    """reliability line 30: what the process still holds is unknown, so it is replaced."""
    async with managing(tmp_path, loader := Stubborn()) as (manager, _, _):
        loader.stuck = True
        swap = asyncio.create_task(manager.load("two"))
        await soon(lambda: loader.unloading == 1)
        await manager.cancel_load()
        with pytest.raises(Conflict):
            await swap
        assert (manager.status().state, manager.status().name) == ("ready", "one")
        assert loader.restarts == 1 and await answer(manager) == "Echo: Hi"
        assert (await manager.load("two")).name == "two"


async def test_an_engine_that_hangs_cannot_hold_up_the_end(tmp_path: Path) -> None:
    """reliability line 22, with an engine that does not let go."""
    async with managing(tmp_path, loader := Stubborn()) as (manager, _, _):
        loader.script, loader.stuck = LONG, True
        running = asking(manager)
        await soon(lambda: loader.running == 1)
        await asyncio.wait_for(manager.drain(0.1), 10)
        assert loader.unloading == 1
        running.cancel()
        loader.stuck = False


async def test_an_unload_that_fails_leaves_nothing_to_lend(tmp_path: Path) -> None:
    def fail() -> None:
        raise DeviceUnusable("The card is gone.")

    async with managing(tmp_path, loader := Stubborn()) as (manager, _, _):
        loader.measure = fail
        with pytest.raises(DeviceUnusable):
            await manager.unload()
        assert (manager.status().state, manager.status().name) == ("empty", None)
        loader.measure = lambda: None
        await manager.load("one")
        assert loader.restarts == 1 and await answer(manager) == "Echo: Hi"


async def test_a_process_that_dies_in_the_first_load_is_not_said_to_come_back(
    tmp_path: Path,
) -> None:
    """reliability line 28: the state is honest."""
    script = Script(load_error=EngineCrashed("It is being restarted. Send it again."))
    manager = make_manager(FakeLibrary(tmp_path), ScriptedLoader(script))
    manager.start_load("one")
    status = await until(manager, lambda s: s.state == "failed")
    assert status.error_code == "engine_crashed" and status.error is not None
    assert "One was being loaded" in status.error and "restarted" not in status.error
    await manager.close()


class Surprising(FakeLibrary):
    """Until it is downloaded, nobody knows how large `far` is."""

    def get(self, name: str):  # type: ignore[no-untyped-def]
        spec = super().get(name)
        arrived = name == "far" and self.arrived.is_set()
        return dataclasses.replace(spec, weights_bytes=1 << 50) if arrived else spec


async def test_what_turns_out_too_large_after_its_download_is_refused(tmp_path: Path) -> None:
    library, loader = Surprising(tmp_path), ScriptedLoader()
    manager = make_manager(library, loader)
    await manager.load("one")
    library.arrived.set()
    known, library.arrived = library.arrived, asyncio.Event()
    load = asyncio.create_task(manager.load("far"))
    await until(manager, lambda s: s.state == "downloading")
    known, library.arrived = library.arrived, known
    known.set()
    with pytest.raises(DoesNotFit):
        await load
    assert loader.loads == ["one"] and await answer(manager) == "Echo: Hi"
    await manager.close()
