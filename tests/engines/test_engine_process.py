"""What happens around the worker process: it is killed, hangs, is cancelled, outlived, replaced."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from qwen_webui.engines.process import ProcessLoader
from qwen_webui.errors import EngineCrashed, EngineTimeout, ModelSwitching
from qwen_webui.types import Progress, TextDelta
from tests.engines.asking import endless, first_delta, reply, request
from tests.engines.checkpoints import CONTEXT, plan

LONG = request("the sea " * (CONTEXT // 6), max_new_tokens=4)
# As long, and with no beginning that was kept.
OTHER = request("sea the " * (CONTEXT // 6), max_new_tokens=4)
SLACK = 5


@pytest.fixture
async def loader() -> AsyncIterator[ProcessLoader]:
    found = ProcessLoader(stall_seconds=60)
    yield found
    await found.close()


def worker_of(loader: ProcessLoader) -> psutil.Process:
    assert loader.pid is not None
    return psutil.Process(loader.pid)


async def idle_after(process: psutil.Process, seconds: float) -> bool:
    """Whether the worker stops computing within that time, by the processor time it takes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = sum(process.cpu_times()[:2])
        await asyncio.sleep(0.1)
        if sum(process.cpu_times()[:2]) - before <= 0.02:
            return True
    return False


@pytest.mark.slow
async def test_kill_9_ends_every_stream_and_the_next_load_works(
    loader: ProcessLoader, tiny: Path
) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    worker = worker_of(loader)
    streams = [engine.stream(endless(tiny)) for _ in range(2)]
    for events in streams:
        await first_delta(events)
    worker.kill()
    killed = time.monotonic()
    for events in streams:
        with pytest.raises(EngineCrashed):
            async for _ in events:
                pass
    assert time.monotonic() - killed < 2
    with pytest.raises(EngineCrashed):
        await reply(engine, request())
    with pytest.raises(EngineCrashed):
        await engine.score([1, 2])
    await engine.close()
    await loader.restart()
    assert not worker.is_running(), "a zombie was left"
    again = await loader.load(plan(tiny), lambda _: None)
    assert (await reply(again, request(max_new_tokens=2))).reason == "length"


@pytest.mark.slow
async def test_death_during_a_load(loader: ProcessLoader, tiny: Path) -> None:
    begun = asyncio.Event()
    load = asyncio.create_task(loader.load(plan(tiny), lambda _: begun.set()))
    await begun.wait()
    worker_of(loader).kill()
    with pytest.raises(EngineCrashed):
        await load
    engine = await loader.load(plan(tiny), lambda _: None)
    assert engine.checkpoint.name == plan(tiny).spec.name


@pytest.mark.slow
async def test_a_hanging_worker_is_ended(tiny: Path) -> None:
    loader = ProcessLoader(stall_seconds=2)
    try:
        engine = await loader.load(plan(tiny), lambda _: None)
        events = engine.stream(endless(tiny))
        await first_delta(events)
        worker = worker_of(loader)
        worker.suspend()
        with pytest.raises(EngineTimeout):
            async for _ in events:
                pass
        await loader.restart()
        assert not worker.is_running()
        # A load that gives no sign of life is ended too.
        worker_of(loader).suspend()
        with pytest.raises(EngineTimeout):
            await loader.load(plan(tiny), lambda _: None)
    finally:
        await loader.close()


async def test_a_cancelled_load_leaves_no_process(loader: ProcessLoader, tiny: Path) -> None:
    load = asyncio.create_task(loader.load(plan(tiny), lambda _: None))
    while loader.pid is None:
        await asyncio.sleep(0.01)
    worker = worker_of(loader)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert not worker.is_running() and loader.pid is None


async def test_close_leaves_no_process(tiny: Path) -> None:
    loader = ProcessLoader()
    await loader.load(plan(tiny), lambda _: None)
    worker = worker_of(loader)
    await loader.close()
    await loader.close()
    assert not worker.is_running()


async def test_stop_in_mid_stream_idles_the_worker(loader: ProcessLoader, tiny: Path) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    async with aclosing(engine.stream(endless(tiny))) as events:
        await first_delta(events)
        assert not await idle_after(worker_of(loader), 0.3)
    assert await idle_after(worker_of(loader), 0.5 * SLACK)


@pytest.mark.slow
async def test_stop_in_prefill_idles_the_worker(loader: ProcessLoader, tiny: Path) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    whole = await reply(engine, LONG)
    assert whole.usage.seconds_to_first_token > 0.5, "too short a prefill to be stopped in"
    progress = [event for event in whole.events if isinstance(event, Progress)]
    assert [part.done for part in progress] == sorted(part.done for part in progress)
    assert {part.total for part in progress} == {whole.usage.prompt_tokens}
    async with aclosing(engine.stream(OTHER)) as events:
        assert isinstance(await anext(events), Progress)
    assert await idle_after(worker_of(loader), 0.5 * SLACK)
    assert (await reply(engine, request(max_new_tokens=2))).reason == "length"


@pytest.mark.slow
async def test_close_in_prefill_does_not_wait_for_it(loader: ProcessLoader, tiny: Path) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    whole = await reply(engine, LONG)
    async with aclosing(engine.stream(OTHER)) as events:
        await anext(events)
        began = time.monotonic()
        await engine.close()
        assert time.monotonic() - began < max(0.5 * SLACK, whole.usage.seconds / 2)
        with pytest.raises(ModelSwitching):
            async for _ in events:
                pass


@pytest.mark.slow
async def test_memory_is_answered_while_a_prefill_runs(loader: ProcessLoader, tiny: Path) -> None:
    engine = await loader.load(plan(tiny), lambda _: None)
    async with aclosing(engine.stream(LONG)) as events:
        await anext(events)
        use = await loader.memory()
        assert use.used_by_engine > 0
        assert [e async for e in events if isinstance(e, TextDelta)] != []


async def test_what_the_worker_prints_is_in_the_log(
    loader: ProcessLoader, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "qwen_webui.engines.child")
    await loader.load(plan(tiny), lambda _: None)
    worker = worker_of(loader)
    worker.send_signal(signal.SIGABRT)
    while loader.pid is not None:
        await asyncio.sleep(0.01)
    await loader.restart()
    ended = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(ended) == 1 and f"{worker.pid} ended (-6)" in ended[0].getMessage()


async def test_without_a_worker_memory_comes_from_the_machine(loader: ProcessLoader) -> None:
    use = await loader.memory()
    assert loader.pid is None and use.used_by_engine == 0 and 0 < use.free <= use.total


PARENT = """
import asyncio, sys, os
from pathlib import Path
from qwen_webui.engines.process import ProcessLoader
from tests.engines.asking import endless, first_delta
from tests.engines.checkpoints import plan

async def main():
    loader = ProcessLoader()
    engine = await loader.load(plan(Path(sys.argv[1])), lambda _: None)
    events = engine.stream(endless(Path(sys.argv[1])))
    await first_delta(events)
    print(loader.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.slow
def test_the_worker_dies_with_its_parent(tiny: Path) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    _, alive = psutil.wait_procs([worker], timeout=2 * SLACK)
    assert not alive or alive[0].status() == psutil.STATUS_ZOMBIE
