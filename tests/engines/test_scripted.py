"""What the fake engine does beyond the contract: it plays scripts, and strikes where told."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from qwen_webui.engines.base import Engine
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import EngineCrashed, EngineTimeout, OutOfMemory
from qwen_webui.types import LoadPlan, Progress, TextDelta
from tests.engines.asking import first_delta, reply, request
from tests.engines.checkpoints import plan


@pytest.fixture
def bare(tiny: Path) -> LoadPlan:
    """A plan for a checkpoint without files: counted by words."""
    whole = plan(tiny)
    return replace(whole, spec=replace(whole.spec, folder=None))


async def started(loader: ScriptedLoader, what: LoadPlan) -> Engine:
    return await loader.load(what, lambda _: None)


async def test_the_default_echoes_word_by_word(bare: LoadPlan) -> None:
    loader = ScriptedLoader()
    answer = await reply(await started(loader, bare), request("How are  you?"))
    assert [delta.text for delta in answer.deltas] == ["Echo:", " How", " are", "  you?"]
    assert (answer.reason, answer.usage.prompt_tokens) == ("stop", 3)
    assert [asked.messages[-1].content for asked in loader.requests] == ["How are  you?"]


async def test_a_checkpoint_may_have_a_script_of_its_own(bare: LoadPlan) -> None:
    other = replace(bare, spec=replace(bare.spec, name="other"))
    loader = ScriptedLoader(scripts={"other": Script(words=("other", "answers"))})
    engine = await started(loader, bare)
    assert (await reply(engine, request("x"))).text == "Echo: x"
    await engine.close()
    assert (await reply(await started(loader, other), request("x"))).text == "other answers"
    assert loader.loads == [bare.spec.name, "other"]


async def test_delays_are_kept_and_prefill_reports(bare: LoadPlan) -> None:
    loader = ScriptedLoader(Script(words=("a", "b"), prefill=0.1, delay=0.05))
    answer = await reply(await started(loader, bare), request("x"))
    assert isinstance(answer.events[0], Progress)
    assert answer.usage.seconds_to_first_token >= 0.15
    assert answer.usage.seconds >= 0.2


async def test_fail_at_raises_the_error_after_the_tokens_before(bare: LoadPlan) -> None:
    script = Script(words=("a", "b", "c"), fail_at=2, error=OutOfMemory("full"))
    engine = await started(ScriptedLoader(script), bare)
    said = []
    with pytest.raises(OutOfMemory):
        async for event in engine.stream(request("x")):
            said.append(event)
    assert [event.text for event in said if isinstance(event, TextDelta)] == ["a", " b"]


async def test_die_at_takes_every_stream_along_until_a_restart(bare: LoadPlan) -> None:
    loader = ScriptedLoader(Script(words=("a",) * 9, delay=0.05, die_at=3))
    engine = await started(loader, bare)
    ends = await asyncio.gather(
        *(reply(engine, request("x")) for _ in range(2)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [EngineCrashed] * 2
    with pytest.raises(EngineCrashed):
        await reply(engine, request("x"))
    await loader.restart()
    loader.script = Script()
    assert (await reply(await started(loader, bare), request("x"))).text == "Echo: x"
    assert loader.restarts == 1


async def test_hang_at_ends_with_a_timeout(bare: LoadPlan) -> None:
    loader = ScriptedLoader(Script(words=("a", "b"), hang_at=1), stall_seconds=0.1)
    with pytest.raises(EngineTimeout):
        await reply(await started(loader, bare), request("x"))


async def test_a_hanging_stream_can_be_closed(bare: LoadPlan) -> None:
    loader = ScriptedLoader(Script(words=("a", "b"), hang_at=1))
    engine = await started(loader, bare)
    async with aclosing(engine.stream(request("x"))) as events:
        await first_delta(events)
        assert loader.running == 1
    assert (loader.running, loader.peak) == (0, 1)


async def test_loads_take_their_time_and_can_be_cancelled(bare: LoadPlan) -> None:
    loader = ScriptedLoader(Script(load_delay=0.2))
    began = time.monotonic()
    await (await started(loader, bare)).close()
    assert time.monotonic() - began >= 0.2
    load = asyncio.create_task(started(loader, bare))
    await asyncio.sleep(0.05)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert loader.engine is None


async def test_memory_moves_with_load_and_close(bare: LoadPlan) -> None:
    loader = ScriptedLoader()
    empty = await loader.memory()
    engine = await started(loader, bare)
    loaded = await loader.memory()
    assert loaded.used_by_engine - empty.used_by_engine == bare.spec.weights_bytes
    assert empty.free - loaded.free == bare.spec.weights_bytes
    await engine.close()
    assert await loader.memory() == empty
