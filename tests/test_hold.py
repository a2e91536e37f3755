"""The model kept for a job: who waits, who is refused, and what is loaded afterwards. Scripted
engine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from qwen_webui.engines.scripted import Script
from qwen_webui.errors import (
    Conflict,
    EngineCrashed,
    ModelNotReady,
    Overloaded,
    QueueTimeout,
    ShuttingDown,
)
from qwen_webui.models import ModelManager
from qwen_webui.types import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Message,
    Queued,
    Sampling,
    TextDelta,
)
from tests.serving import managing, soon, until

WHY = "A job has the model."


def ask(name: str = "request") -> GenerationRequest:
    return GenerationRequest(name, (Message("user", "Hi"),), Sampling(max_new_tokens=50))


async def events(manager: ModelManager, name: str = "request") -> list[GenerationEvent]:
    async with aclosing(manager.stream(ask(name))) as stream:
        return [event async for event in stream]


def said(found: list[GenerationEvent]) -> str:
    return "".join(event.text for event in found if isinstance(event, TextDelta))


def named(manager_answers: dict[str, str]) -> dict[str, Script]:
    return {name: Script(words=(text,)) for name, text in manager_answers.items()}


async def test_who_asks_meanwhile_waits_knows_why_and_gets_the_model_from_before(
    tmp_path: Path,
) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        loader.scripts = named({"one": "first", "two": "second"})
        before = manager.status()
        async with manager.reserved(WHY) as reserved:
            info = await reserved.load("two")
            reserved.tell(1, 3)
            waiting = asyncio.create_task(events(manager))
            await soon(lambda: manager.status().waiting == 1)
            own = [event async for event in reserved.stream(ask("job"))]
            now = manager.status()
            assert (now.state, now.name, now.held_for, now.waiting) == ("swapping", "one", WHY, 1)
            assert now.held_progress and (now.held_progress.done, now.held_progress.total) == (1, 3)
            assert info.checkpoint.name == "two" and said(own) == "second"
        found = await waiting
        assert found[0] == Queued(1, WHY) and said(found) == "first"
        after = manager.status()
        assert (after.state, after.name, after.held_for) == ("ready", "one", None)
        assert before.info and after.info and before.info.checkpoint == after.info.checkpoint
        assert loader.loads == ["one", "two", "one"]
        assert said(await events(manager)) == "first"


async def test_who_asked_before_is_answered_first(tmp_path: Path) -> None:
    async with managing(tmp_path, max_running=1) as (manager, _, loader):
        loader.script = Script(words=("word",) * 20, delay=0.01)
        earlier = [asyncio.create_task(events(manager, f"{n}")) for n in range(2)]
        await soon(lambda: manager.status().waiting == 1)
        async with manager.reserved(WHY):
            assert all(task.done() for task in earlier)
        for found in await asyncio.gather(*earlier):
            assert isinstance(found[-1], Finished)


async def test_what_runs_too_long_is_cut_as_by_a_swap(tmp_path: Path) -> None:
    async with managing(tmp_path, drain_seconds=0.1) as (manager, _, loader):
        loader.script = Script(words=("word",) * 50, delay=30)
        long = asyncio.create_task(events(manager))
        await soon(lambda: loader.running == 1)
        async with manager.reserved(WHY):
            loader.script = Script()
            with pytest.raises(Exception, match="unloaded"):
                await long
        assert said(await events(manager)) == "Echo: Hi"


async def test_no_other_load_unload_or_job_is_taken(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        async with manager.reserved(WHY):
            with pytest.raises(Conflict, match=WHY):
                manager.start_load("three")
            with pytest.raises(Conflict, match=WHY):
                await manager.unload()
            with pytest.raises(Conflict, match=WHY):
                async with manager.reserved("Another."):
                    pass
            await manager.cancel_load()
        assert loader.loads == ["one"]
        await manager.load("three")
        assert manager.status().name == "three"


async def test_a_load_asked_for_before_is_done_first(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        manager.start_load("three")
        async with manager.reserved(WHY) as reserved:
            assert reserved.previous is not None and reserved.previous.name == "three"
            await reserved.load("two")
        assert loader.loads == ["one", "three", "two", "three"]


async def test_the_line_is_as_long_as_ever_and_refusals_say_why(tmp_path: Path) -> None:
    async with managing(tmp_path, max_waiting=1, queue_timeout=0.3) as (manager, _, _):
        async with manager.reserved(WHY):
            waiting = asyncio.create_task(events(manager))
            await soon(lambda: manager.status().waiting == 1)
            with pytest.raises(Overloaded, match=WHY):
                await events(manager)
            with pytest.raises(QueueTimeout, match=WHY):
                await waiting
        assert said(await events(manager)) == "Echo: Hi"


async def test_a_waiter_that_goes_away_harms_nobody(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, _):
        async with manager.reserved(WHY):
            waiting = asyncio.create_task(events(manager))
            await soon(lambda: manager.status().waiting == 1)
            waiting.cancel()
            await soon(lambda: manager.status().waiting == 0)
        assert said(await events(manager)) == "Echo: Hi"


@pytest.mark.parametrize("how", ["error", "cancelled", "load fails"])
async def test_however_the_job_ends_the_model_is_given_back(tmp_path: Path, how: str) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        loader.scripts = {"three": Script(load_delay=30)}
        loading = asyncio.Event()

        async def job() -> None:
            async with manager.reserved(WHY) as reserved:
                await reserved.load("two")
                if how == "error":
                    raise RuntimeError("a fault of the job")
                loading.set()
                await reserved.load("torn" if how == "load fails" else "three")

        task = asyncio.create_task(job())
        if how == "cancelled":
            await soon(lambda: loader.loads[-1] == "three")
            task.cancel()
        await asyncio.wait((task,), timeout=10)
        assert task.done()
        assert task.cancelled() == (how == "cancelled")
        assert task.cancelled() or task.exception() is not None
        assert (manager.status().state, manager.status().name) == ("ready", "one")
        assert said(await events(manager)) == "Echo: Hi"


async def test_a_job_cancelled_again_while_it_gives_back_does_not_cut_that_off(
    tmp_path: Path,
) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        loaded = asyncio.Event()

        async def job() -> None:
            async with manager.reserved(WHY) as reserved:
                await reserved.load("two")
                loader.scripts = {"one": Script(load_delay=0.2)}
                loaded.set()
                await asyncio.sleep(30)

        task = asyncio.create_task(job())
        await loaded.wait()
        task.cancel()
        await soon(lambda: loader.loads == ["one", "two", "one"])
        task.cancel()
        await asyncio.wait((task,))
        await until(manager, lambda status: status.state == "ready")
        assert manager.status().name == "one" and said(await events(manager)) == "Echo: Hi"


async def test_a_death_of_the_process_is_repaired(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        async with manager.reserved(WHY) as reserved:
            await reserved.load("two")
            loader.scripts = {"two": Script(die_at=0)}
            with pytest.raises(EngineCrashed):
                _ = [event async for event in reserved.stream(ask("job"))]
            loader.scripts = {}
            await reserved.load("two")
            assert said([event async for event in reserved.stream(ask("job"))]) == "Echo: Hi"
            loader.die()
        assert said(await events(manager)) == "Echo: Hi"
        assert (manager.status().state, manager.status().name) == ("ready", "one")


async def test_what_cannot_be_given_back_is_said(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        async with manager.reserved(WHY) as reserved:
            await reserved.load("two")
            loader.scripts = {"one": Script(load_error=EngineCrashed("It died."))}
            waiting = asyncio.create_task(events(manager))
            await soon(lambda: manager.status().waiting == 1)
        assert reserved.lost is not None
        with pytest.raises(ModelNotReady, match="loaded before"):
            await waiting
        assert manager.status().state == "failed"
        loader.scripts = {}
        await manager.load("one")
        assert said(await events(manager)) == "Echo: Hi"


async def test_nothing_loaded_before_is_nothing_loaded_after(tmp_path: Path) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        await manager.unload()
        async with manager.reserved(WHY) as reserved:
            await reserved.load("two")
            with pytest.raises(ModelNotReady, match=WHY):
                await events(manager)
        assert manager.status().state == "empty" and loader.engine is None


@pytest.mark.parametrize("when", ["waiting", "loading", "answering", "giving back"])
async def test_the_end_of_the_server_ends_the_job_at_once(tmp_path: Path, when: str) -> None:
    async with managing(tmp_path) as (manager, _, loader):
        slow = Script(words=("word",) * 50, delay=30)

        async def job() -> None:
            async with manager.reserved(WHY) as reserved:
                await reserved.load("two")
                if when == "giving back":
                    loader.scripts = {"one": Script(load_delay=30)}
                    return
                loader.scripts = {"two": slow}
                _ = [event async for event in reserved.stream(ask("job"))]

        if when == "loading":
            loader.scripts = {"two": Script(load_delay=30)}
        if when == "waiting":
            loader.script = slow
            other = asyncio.create_task(events(manager))
            await soon(lambda: loader.running == 1)
        task = asyncio.create_task(job())
        if when == "waiting":
            await soon(lambda: manager.status().held_for is not None)
        elif when == "answering":
            await soon(lambda: bool(loader.requests) and loader.requests[-1].id == "job")
        else:
            await soon(lambda: len(loader.loads) == (2 if when == "loading" else 3))
        async with asyncio.timeout(5):
            await manager.drain(0.1)
            await asyncio.wait((task,))
        error = None if task.cancelled() else task.exception()
        assert task.cancelled() or isinstance(error, ShuttingDown)
        if when == "waiting":
            with pytest.raises(ShuttingDown):
                await other
