"""The model manager: the line, loads, swaps, crashes. Counts rather than clocks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script, ScriptedEngine, ScriptedLoader
from qwen_webui.errors import (
    CheckpointError,
    Conflict,
    DoesNotFit,
    EngineCrashed,
    EngineTimeout,
    GenerationFailed,
    ModelNotReady,
    ModelSwitching,
    NotFound,
    OutOfMemory,
    Overloaded,
    QueueTimeout,
    ShuttingDown,
)
from qwen_webui.models import ModelManager
from qwen_webui.types import (
    FEW_AT_ONCE,
    Finished,
    GenerationEvent,
    GenerationRequest,
    LoadPlan,
    Message,
    Queued,
    Sampling,
    TextDelta,
)
from tests.serving import FakeLibrary, make_manager, managing, soon, until

LONG = Script(words=tuple(f"w{i}" for i in range(200)), delay=0.02)
SWIFT = Script(words=tuple(f"w{i}" for i in range(20)), delay=0.005)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[ModelManager, FakeLibrary, ScriptedLoader]]:
    async with managing(tmp_path) as parts:
        yield parts


Parts = tuple[ModelManager, FakeLibrary, ScriptedLoader]


def ask(text: str = "Hi") -> GenerationRequest:
    return GenerationRequest(text, (Message("user", text),), Sampling(temperature=0.0))


async def answer(manager: ModelManager, text: str = "Hi") -> str:
    async with aclosing(manager.stream(ask(text))) as events:
        return "".join([e.text async for e in events if isinstance(e, TextDelta)])


def asking(manager: ModelManager, text: str = "Hi") -> asyncio.Task[str]:
    return asyncio.create_task(answer(manager, text))


async def test_load_reports_what_it_did(tmp_path: Path) -> None:
    library, loader = FakeLibrary(tmp_path), ScriptedLoader()
    manager = make_manager(library, loader)
    assert manager.status().state == "empty"
    first = await manager.load("one")
    second = await manager.load("two")
    weights = library.get("one").weights_bytes
    assert (first.name, first.previous, first.freed) == ("one", None, 0)
    assert (second.previous, second.freed, second.loaded) == ("one", weights, weights)
    status = manager.status()
    assert (status.state, status.name, status.target) == ("ready", "two", None)
    assert status.last_swap == second
    assert status.info is not None and status.info.checkpoint.name == "two"
    await manager.close()
    assert loader.closed


async def test_the_first_load_is_seen_and_refuses_requests(tmp_path: Path) -> None:
    loader = ScriptedLoader(Script(load_delay=0.2))
    manager = make_manager(FakeLibrary(tmp_path), loader)
    manager.start_load("one", notes=("chosen for you",))
    status = manager.status()
    assert (status.state, status.target, status.notes) == ("loading", "one", ("chosen for you",))
    with pytest.raises(ModelNotReady) as refused:
        await answer(manager)
    assert refused.value.retry_after
    progress = [status.progress]
    while status.state != "ready":
        status = await manager.changed(status)
        progress.append(status.progress)
    assert {p.done for p in progress if p} == {s * (50 << 20) // 4 for s in range(5)}
    assert status.notes == ("chosen for you",)
    await manager.close()


async def test_the_engine_is_shared_by_max_running(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = SWIFT
    loader.peak = 0
    answers = await asyncio.gather(*(answer(manager) for _ in range(8)))
    assert len(answers) == 8 and len(set(answers)) == 1
    assert loader.peak == 2
    assert (manager.status().running, manager.status().waiting) == (0, 0)


async def test_without_a_number_the_engine_says_how_many(tmp_path: Path) -> None:
    many = dataclasses.replace(SWIFT, at_once=5)
    async with managing(tmp_path, max_running=None) as (manager, _, loader):
        for script, most in ((many, 5), (SWIFT, FEW_AT_ONCE), (many, 5)):
            loader.script = script
            await manager.load("two" if manager.status().name == "one" else "one")
            loader.peak = 0
            await asyncio.gather(*(answer(manager) for _ in range(8)))
            assert (loader.peak, manager.at_once) == (most, most)


async def test_those_who_wait_are_told_their_place(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = SWIFT
    running = [asking(manager), asking(manager)]
    await soon(lambda: loader.running == 2)

    async def places(number: int) -> list[int]:
        async with aclosing(manager.stream(ask(str(number)))) as events:
            return [e.place async for e in events if isinstance(e, Queued)]

    waiting = [asyncio.create_task(places(n)) for n in range(3)]
    seen = await asyncio.gather(*waiting)
    await asyncio.gather(*running)
    assert [places[0] for places in seen] == [1, 2, 3]
    assert seen[2][-1] == 1 and sorted(seen[2], reverse=True) == seen[2]


async def test_a_full_line_says_when_to_come_back(tmp_path: Path) -> None:
    """reliability line 1: 20 at once, 2 run and 4 wait: 6 answers, 14 refusals."""
    async with managing(tmp_path, max_waiting=4) as (manager, _, loader):
        loader.script = SWIFT
        results = await asyncio.gather(
            *(answer(manager) for _ in range(20)), return_exceptions=True
        )
        refused = [r for r in results if isinstance(r, Overloaded)]
        assert len(refused) == 14
        assert sum(isinstance(r, str) for r in results) == 6
        assert all(r.retry_after and r.retry_after >= 1 for r in refused)


async def test_retry_after_follows_recent_durations(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1, max_waiting=1) as (manager, _, loader):
        loader.script = Script(words=("a",) * 12, delay=0.1)
        await answer(manager)
        held = [asking(manager), asking(manager)]
        await soon(lambda: manager.status().waiting == 1)
        with pytest.raises(Overloaded) as refused:
            await answer(manager)
        # Two answers of 1.2 s stand before the next free place.
        assert refused.value.retry_after is not None
        assert 2 <= refused.value.retry_after <= 12
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_a_wait_that_is_too_long_ends_and_starts_nothing(tmp_path: Path) -> None:
    """reliability line 4"""
    async with managing(tmp_path, max_running=1, queue_timeout=0.1) as (manager, _, loader):
        loader.script = LONG
        running = asking(manager, "first")
        await soon(lambda: loader.running == 1)
        with pytest.raises(QueueTimeout) as refused:
            await answer(manager, "second")
        assert refused.value.code == "queue_timeout"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        loader.script = SWIFT
        await answer(manager, "third")
        assert [r.id for r in loader.requests] == ["smoke", "first", "third"]


async def test_a_cancelled_waiter_harms_nobody(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1) as (manager, _, loader):
        loader.script = SWIFT
        first, gone, third = (asking(manager, t) for t in ("first", "gone", "third"))
        await soon(lambda: manager.status().waiting == 2)
        gone.cancel()
        await asyncio.gather(first, third)
        assert [r.id for r in loader.requests[1:]] == ["first", "third"]
        assert manager.status().waiting == 0


async def test_closing_a_stream_frees_the_engine(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = LONG
    stream = manager.stream(ask())
    assert isinstance(await anext(stream), TextDelta)
    await stream.aclose()
    assert (loader.running, manager.status().running) == (0, 0)


async def test_lease_lends_the_engine(kept: Parts) -> None:
    manager, _, _ = kept
    places: list[int] = []
    async with manager.lease(places.append) as engine:
        assert await engine.score([1, 2, 3]) == [-1.0, -1.0]
        assert manager.status().running == 1
    assert (manager.status().running, places) == (0, [])


async def test_a_waiting_swap_is_not_starved(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1) as (manager, _, loader):
        loader.script = SWIFT
        said: list[str] = []

        async def keep_asking(number: int) -> None:
            while manager.status().name != "two":
                said.append(await answer(manager))

        crowd = [asyncio.create_task(keep_asking(n)) for n in range(4)]
        await soon(lambda: manager.status().waiting == 3)
        before = len(said)
        await manager.load("two")
        # One that ran and three who stood before it; whoever came later had to wait.
        assert len(said) - before <= 4
        await asyncio.gather(*crowd)


async def test_running_answers_finish_before_a_swap(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = SWIFT
    running = asking(manager)
    await soon(lambda: loader.running == 1)
    await manager.load("two")
    assert (await running).split() == list(SWIFT.words or ())


async def test_a_swap_cuts_what_takes_too_long(tmp_path: Path) -> None:
    """reliability line 27: in-flight gets model_switching; what waits is served by the new one."""
    async with managing(tmp_path, drain_seconds=0.1) as (manager, _, loader):
        loader.scripts = {"one": LONG, "two": SWIFT}
        running = asking(manager)
        await soon(lambda: loader.running == 1)
        swap = asyncio.create_task(manager.load("two"))
        await soon(lambda: manager.status().state == "swapping")
        waiting = asking(manager, "later")
        with pytest.raises(ModelSwitching):
            await running
        await swap
        assert (await waiting).split() == list(SWIFT.words or ())


async def test_a_reader_who_stalls_cannot_hold_up_a_swap(tmp_path: Path) -> None:
    async with managing(tmp_path, drain_seconds=0.1) as (manager, _, loader):
        loader.scripts = {"one": LONG}
        stalled = manager.stream(ask())
        await anext(stalled)
        await asyncio.wait_for(manager.load("two"), 10)
        with pytest.raises(ModelSwitching):
            async for _ in stalled:
                pass
        assert manager.status().running == 0


async def test_twenty_swaps_under_load_mix_nothing(kept: Parts) -> None:
    """reliability line 27, by counts: no mixed answer, never two alive, no growth."""
    manager, _, loader = kept
    names = ("one", "two", "three")
    loader.scripts = {n: Script(words=(n,) * 5, delay=0.001) for n in names}
    texts: list[str] = []
    done = False

    async def keep_asking() -> None:
        while not done:
            texts.append(await answer(manager))

    crowd = [asyncio.create_task(keep_asking()) for _ in range(4)]
    used = set()
    for number in range(1, 21):
        await manager.load(names[number % 3])
        used.add((await manager.memory()).used_by_engine)
    done = True
    await asyncio.gather(*crowd)
    assert {frozenset(t.split()) for t in texts} <= {frozenset({n}) for n in names}
    assert len(texts) > 20 and len(used) == 1 and loader.restarts == 0


async def test_what_cannot_fit_is_refused_before_anything_is_dropped(kept: Parts) -> None:
    manager, library, loader = kept
    with pytest.raises(DoesNotFit) as refused:
        await manager.load("huge")
    # A CPU computes a small shape in 32 bits.
    assert f"{2 * (1 << 50) / 2**30:.1f}" in refused.value.message
    status = manager.status()
    assert (status.state, status.name, status.error_code) == ("ready", "one", "does_not_fit")
    assert loader.loads == ["one"] and await answer(manager) == "Echo: Hi"
    assert library.get("huge").title in (status.error or "")


async def test_what_the_old_one_gives_back_counts_as_free(tmp_path: Path) -> None:
    loader = ScriptedLoader(total_memory=2 << 30)
    loader.base_memory = 0
    async with managing(tmp_path, loader) as (manager, library, _):
        room = 2 << 30
        library.specs["two"] = dataclasses.replace(library.get("two"), weights_bytes=room // 6)
        library.specs["three"] = dataclasses.replace(library.get("three"), weights_bytes=room // 6)
        await manager.load("two")
        report = await manager.load("three")
        assert report.forecast.free == room
        assert report.forecast.needed * 2 > room - report.forecast.needed // 2


async def test_damaged_files_leave_the_old_one_serving(kept: Parts) -> None:
    """reliability line 28"""
    manager, _, loader = kept
    with pytest.raises(CheckpointError, match="truncated"):
        await manager.load("torn")
    status = manager.status()
    assert (status.state, status.name, status.target) == ("ready", "one", None)
    assert status.error_code == "checkpoint_invalid"
    assert loader.loads == ["one"]
    with pytest.raises(NotFound):
        await manager.load("nothing")
    assert manager.status() == status


async def test_a_load_that_fails_brings_the_old_one_back(kept: Parts) -> None:
    manager, _, loader = kept
    loader.scripts = {"two": Script(load_error=OutOfMemory("No room."))}
    with pytest.raises(OutOfMemory, match=r"No room\."):
        await manager.load("two")
    status = manager.status()
    assert (status.state, status.name, status.error) == ("ready", "one", "No room.")
    assert loader.loads == ["one", "two", "one"]
    assert await answer(manager) == "Echo: Hi"


async def test_a_checkpoint_that_cannot_speak_is_not_served(kept: Parts) -> None:
    manager, _, loader = kept
    loader.scripts = {"two": Script(fail_at=1, error=GenerationFailed("NaN."))}
    with pytest.raises(GenerationFailed, match=r"NaN\."):
        await manager.load("two")
    assert (manager.status().name, loader.loads) == ("one", ["one", "two", "one"])
    assert await answer(manager) == "Echo: Hi"


async def test_when_nothing_can_be_brought_back_the_state_says_so(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = Script(load_error=OutOfMemory("No room."))
    with pytest.raises(OutOfMemory):
        await manager.load("two")
    status = manager.status()
    assert (status.state, status.name, status.info) == ("failed", None, None)
    with pytest.raises(ModelNotReady, match="No room"):
        await answer(manager)
    loader.script = Script()
    await manager.load("two")
    assert manager.status().error is None and await answer(manager) == "Echo: Hi"


async def test_a_download_leaves_the_old_one_serving(kept: Parts) -> None:
    manager, library, _ = kept
    manager.start_load("far")
    status = await until(manager, lambda s: s.state == "downloading")
    assert (status.name, status.target) == ("one", "far")
    assert status.progress is not None and status.progress.unit == "bytes"
    assert await answer(manager) == "Echo: Hi"
    library.arrived.set()
    await until(manager, lambda s: s.name == "far" and s.state == "ready")


async def test_a_cancelled_download_leaves_the_old_one(kept: Parts) -> None:
    manager, library, loader = kept
    load = asyncio.create_task(manager.load("far"))
    await until(manager, lambda s: s.state == "downloading")
    await manager.cancel_load()
    with pytest.raises(Conflict) as cancelled:
        await load
    assert cancelled.value.code == "load_cancelled" and not library.fetching
    assert (manager.status().state, manager.status().name) == ("ready", "one")
    assert loader.loads == ["one"]


async def test_a_swap_cancelled_midway_brings_the_old_one_back(kept: Parts) -> None:
    """reliability line 30"""
    manager, _, loader = kept
    loader.scripts = {"two": Script(load_delay=30)}
    load = asyncio.create_task(manager.load("two"))
    await soon(lambda: loader.loads == ["one", "two"])
    await manager.cancel_load()
    with pytest.raises(Conflict):
        await load
    assert (manager.status().state, manager.status().name) == ("ready", "one")
    # What a load that was cut off left behind is not known, so its process is replaced.
    assert loader.restarts == 1
    assert await answer(manager) == "Echo: Hi"


async def test_a_caller_who_goes_away_does_not_stop_a_load(kept: Parts) -> None:
    manager, _, loader = kept
    loader.scripts = {"two": Script(load_delay=0.1)}
    load = asyncio.create_task(manager.load("two"))
    await soon(lambda: loader.loads == ["one", "two"])
    load.cancel()
    await until(manager, lambda s: s.name == "two" and s.state == "ready")


async def test_two_loads_take_turns(kept: Parts) -> None:
    """reliability line 29"""
    manager, _, loader = kept
    loader.script = Script(load_delay=0.1)
    first, second = (asyncio.create_task(manager.load(n)) for n in ("two", "three"))
    await until(manager, lambda s: s.target == "two")
    with pytest.raises(Conflict) as refused:
        await manager.load("one", wait_turn=False)
    assert refused.value.status == 409
    seen = set()
    status = manager.status()
    while status.name != "three":
        seen.add(status.state)
        status = await manager.changed(status)
    await asyncio.gather(first, second)
    assert loader.loads == ["one", "two", "three"] and "ready" not in seen


async def test_loading_what_is_loaded_changes_nothing(kept: Parts) -> None:
    manager, _, loader = kept
    assert await manager.load("one") == manager.status().last_swap
    assert loader.loads == ["one"] and manager.status().state == "ready"


async def test_unload_leaves_nothing(kept: Parts) -> None:
    manager, _, loader = kept
    await manager.unload()
    assert (manager.status().state, manager.status().name) == ("empty", None)
    assert loader.engine is None
    with pytest.raises(ModelNotReady):
        await answer(manager)
    await manager.load("two")
    assert await answer(manager) == "Echo: Hi"


async def test_memory_that_does_not_come_back_costs_the_process(tmp_path: Path) -> None:
    class Keeping(ScriptedLoader):
        async def load(self, plan: LoadPlan, report: object) -> ScriptedEngine:
            engine = await super().load(plan, report)  # type: ignore[arg-type]
            self.base_memory += plan.spec.weights_bytes
            assert isinstance(engine, ScriptedEngine)
            self.engine = engine
            return engine

        async def memory(self):  # type: ignore[no-untyped-def]
            use = await super().memory()
            engine = self.engine.checkpoint.weights_bytes if self.engine else 0
            return dataclasses.replace(use, used_by_engine=use.used_by_engine - engine)

        async def restart(self) -> None:
            self.base_memory = 0
            await super().restart()

    loader = Keeping(total_memory=2 << 30)
    async with managing(tmp_path, loader) as (manager, library, _):
        report = await manager.load("two")
        assert loader.restarts == 1
        assert report.freed >= library.get("one").weights_bytes


async def test_a_crash_is_told_and_repaired(kept: Parts) -> None:
    """reliability line 24, without a process"""
    manager, _, loader = kept
    loader.script = LONG
    crowd = [asking(manager), asking(manager)]
    await soon(lambda: loader.running == 2)
    loader.script = Script(load_delay=0.2)
    loader.die()
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(r) for r in results] == [EngineCrashed, EngineCrashed]
    assert manager.status().state == "loading"
    # The next request waits for the repair.
    assert await answer(manager) == "Echo: Hi"
    assert (manager.status().state, manager.status().name) == ("ready", "one")
    assert loader.loads == ["one", "one"] and loader.restarts == 1


async def test_a_death_between_requests_is_noticed(kept: Parts) -> None:
    manager, _, loader = kept
    loader.die()
    await until(manager, lambda s: s.state == "loading")
    assert await answer(manager) == "Echo: Hi"
    assert (manager.status().state, loader.restarts) == ("ready", 1)


async def test_those_who_wait_outlive_a_crash(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1) as (manager, _, loader):
        loader.script = LONG
        running = asking(manager)
        await soon(lambda: loader.running == 1)
        waiting = asking(manager, "patient")
        await soon(lambda: manager.status().waiting == 1)
        loader.script = Script()
        loader.die()
        assert await waiting == "Echo: patient"
        with pytest.raises(EngineCrashed):
            await running


async def test_a_hang_ends_in_a_restart(tmp_path: Path) -> None:
    """reliability line 26"""
    async with managing(tmp_path, ScriptedLoader(stall_seconds=0.1)) as (manager, _, loader):
        loader.script = Script(words=("a",) * 9, hang_at=5)
        with pytest.raises(EngineTimeout) as hung:
            await answer(manager)
        assert hung.value.status == 504
        loader.script = Script()
        assert await answer(manager) == "Echo: Hi"
        assert loader.restarts == 1


async def test_out_of_memory_costs_one_request(kept: Parts) -> None:
    """reliability line 25, without a card"""
    manager, _, loader = kept
    loader.script = Script(fail_at=0, error=OutOfMemory("Too long."))
    with pytest.raises(OutOfMemory) as refused:
        await answer(manager)
    assert (refused.value.status, refused.value.code) == (503, "oom")
    loader.script = Script()
    assert await answer(manager) == "Echo: Hi"
    assert loader.loads == ["one"]


async def test_an_engine_that_keeps_dying_is_given_up(kept: Parts) -> None:
    manager, _, loader = kept
    for _ in range(2):
        loader.script = Script(words=("a",) * 9, die_at=6)
        with pytest.raises(EngineCrashed):
            await answer(manager)
        await until(manager, lambda s: s.state == "ready")
    with pytest.raises(EngineCrashed):
        await answer(manager)
    status = await until(manager, lambda s: s.state == "failed")
    assert "3 times" in (status.error or "") and status.error_code == "engine_crashed"
    with pytest.raises(ModelNotReady):
        await answer(manager)
    loader.script = Script()
    await manager.load("one")
    assert await answer(manager) == "Echo: Hi"


async def test_crashes_between_answers_are_not_in_a_row(kept: Parts) -> None:
    manager, _, loader = kept
    for _ in range(4):
        loader.script = Script(words=("a",) * 9, die_at=6)
        with pytest.raises(EngineCrashed):
            await answer(manager)
        loader.script = Script()
        assert await answer(manager) == "Echo: Hi"
    assert manager.status().state == "ready"


async def test_a_repair_that_fails_is_tried_again(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = Script(words=("a",) * 9, die_at=6)
    with pytest.raises(EngineCrashed):
        await answer(manager)
    loader.script = Script(load_error=OutOfMemory("Not yet."))
    waiting = asking(manager)
    await soon(lambda: len(loader.loads) == 2)
    loader.script = Script()
    assert await waiting == "Echo: Hi"
    assert loader.loads == ["one", "one", "one"]


async def test_a_swap_heals_a_crash(tmp_path: Path) -> None:
    async with managing(tmp_path, drain_seconds=30) as (manager, _, loader):
        loader.script = LONG
        running = asking(manager)
        await soon(lambda: loader.running == 1)
        swap = asyncio.create_task(manager.load("two"))
        await until(manager, lambda s: s.state == "swapping")
        loader.script = Script()
        loader.die()
        with pytest.raises(EngineCrashed):
            await running
        assert (await swap).name == "two"
        assert await answer(manager) == "Echo: Hi"
        # Whether the repair or the swap came first in line, the process was replaced once.
        assert loader.loads[-1] == "two" and loader.restarts == 1


async def test_drain_lets_answers_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1) as (manager, _, loader):
        loader.script = SWIFT
        running, waiting = asking(manager), asking(manager)
        await soon(lambda: manager.status().waiting == 1)
        drained = asyncio.create_task(manager.drain(10))
        with pytest.raises(ShuttingDown) as refused:
            await waiting
        assert refused.value.retry_after
        with pytest.raises(ShuttingDown):
            await answer(manager)
        with pytest.raises(ShuttingDown):
            manager.start_load("two")
        assert len((await running).split()) == 20
        await drained


async def test_drain_cuts_what_takes_too_long(kept: Parts) -> None:
    manager, _, loader = kept
    loader.script = LONG
    running = asking(manager)
    await soon(lambda: loader.running == 1)
    await manager.drain(0.1)
    with pytest.raises(ShuttingDown):
        await running


async def test_closing_during_a_load_ends_it(kept: Parts) -> None:
    manager, _, loader = kept
    loader.scripts = {"two": Script(load_delay=30)}
    manager.start_load("two")
    await soon(lambda: loader.loads == ["one", "two"])
    await asyncio.wait_for(manager.close(), 10)
    await manager.close()
    assert loader.closed and loader.loads == ["one", "two"]


async def test_the_events_are_those_of_the_engine(kept: Parts) -> None:
    manager, _, _ = kept
    async with aclosing(manager.stream(ask())) as stream:
        events: list[GenerationEvent] = [event async for event in stream]
    kinds = [type(event) for event in events]
    assert kinds == [TextDelta, TextDelta, Finished]


async def test_forecasts_cover_every_checkpoint(kept: Parts) -> None:
    manager, library, _ = kept
    rows = await manager.forecasts()
    assert [spec for spec, _ in rows] == list(library.all())
    fits = {spec.name: forecast.fits for spec, forecast in rows}
    assert fits["one"] and not fits["huge"]


async def test_five_hundred_requests_leave_nothing_behind(kept: Parts) -> None:
    """reliability line 9, by counts"""
    manager, _, loader = kept
    before = len(asyncio.all_tasks())
    for number in range(500):
        if number % 3:
            await answer(manager)
        else:
            stream = manager.stream(ask())
            await anext(stream)
            await stream.aclose()
    await soon(lambda: len(asyncio.all_tasks()) == before)
    assert (loader.running, manager.status().running, manager.status().waiting) == (0, 0, 0)
