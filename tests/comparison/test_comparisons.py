"""Comparisons from start to end over the scripted engine, through the class that services own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from qwen_webui.checkpoints import Library
from qwen_webui.comparison import (
    Comparison,
    Comparisons,
    Difference,
    Prompt,
    Wanted,
    as_csv,
    as_json,
    as_markdown,
)
from qwen_webui.comparison.results import MOST_KEPT, Results
from qwen_webui.engines.process import ProcessLoader
from qwen_webui.engines.scripted import Script, ScriptedLoader
from qwen_webui.errors import (
    Conflict,
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    NotFound,
    OutOfMemory,
    WebUIError,
)
from qwen_webui.models import ModelManager
from qwen_webui.stored import delete_everything
from qwen_webui.types import Constraint, Message, Sampling
from tests.serving import FakeLibrary, make_manager, managing, soon

ME = "me"


def prompt(text: str = "Say it") -> Prompt:
    return Prompt(text, (Message("system", "Be brief."), Message("user", text)))


def wanted(*names: str, texts: tuple[str, ...] = ("Say it",)) -> Wanted:
    return Wanted(names, tuple(map(prompt, texts)), Sampling())


def speaking(**texts: str) -> dict[str, Script]:
    return {name: Script(words=tuple(text.split())) for name, text in texts.items()}


@asynccontextmanager
async def comparing(
    folder: Path,
) -> AsyncIterator[tuple[Comparisons, ModelManager, ScriptedLoader]]:
    async with managing(folder / "tokenizer") as (manager, _, loader):
        comparisons = Comparisons(manager, folder)
        try:
            yield comparisons, manager, loader
        finally:
            await comparisons.close()


async def ended(comparisons: Comparisons, begun: Comparison) -> Comparison:
    seen: Comparison | None = begun
    async with asyncio.timeout(20):
        while seen is not None:
            seen = await comparisons.changed(seen)
    return comparisons.get(begun.owner, begun.id)


async def test_every_checkpoint_answers_every_prompt_and_the_first_is_the_measure(
    tmp_path: Path,
) -> None:
    async with comparing(tmp_path) as (comparisons, manager, loader):
        loader.scripts = speaking(two="a b c", three="a x", one="a b c")
        before = len(loader.requests)
        begun = await comparisons.start(wanted("two", "three", "one", texts=("P", "Q")), ME)
        assert begun.state == "waiting" and comparisons.current() == begun
        found = await ended(comparisons, begun)
        assert (found.state, found.error, found.previous) == ("done", None, "one")
        assert (found.answers_done, found.answers_wanted) == (6, 6)
        assert comparisons.current() is None and not found.active
        told = [[(a.text, a.equal, a.ended) for a in column.answers] for column in found.columns]
        assert told == [
            [("a b c", None, "stop")] * 2,
            [("a x", False, "stop")] * 2,
            [("a b c", True, "stop")] * 2,
        ]
        assert found.columns[1].answers[0].difference == Difference(2, 2, "b", "x")
        for column in found.columns:
            assert (column.state, column.kernel) == ("done", "scripted")
            assert column.weights_bytes and column.peak_bytes and column.load_seconds is not None
            assert column.tokens_per_second and column.first_token_seconds is not None
        assert loader.loads == ["one", "two", "three", "one"]
        asked = [r for r in loader.requests[before:] if r.id.startswith(found.id)]
        assert [r.messages for r in asked] == [prompt(t).messages for t in ("P", "Q")] * 3
        assert {r.sampling.temperature for r in asked} == {0.0}
        assert {r.sampling.repetition_penalty for r in asked} == {1.0}
        assert (manager.status().state, manager.status().name) == ("ready", "one")


async def test_text_arrives_as_tokens_do(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, _, loader):
        loader.script = Script(words=("a", "b", "c"), delay=0.02)
        seen: Comparison | None = await comparisons.start(wanted("one"), ME)
        texts, states = [], []
        while seen is not None:
            texts.append(seen.columns[0].answers[0].text)
            states.append(seen.state)
            seen = await comparisons.changed(seen)
        assert list(dict.fromkeys(texts)) == ["", "a", "a b", "a b c"]
        assert list(dict.fromkeys(states)) == ["waiting", "running", "restoring", "done"]


@pytest.mark.parametrize("error", [OutOfMemory("There was no room."), EngineCrashed("It died.")])
async def test_a_checkpoint_that_cannot_be_loaded_is_a_failed_column(
    tmp_path: Path, error: WebUIError
) -> None:
    async with comparing(tmp_path) as (comparisons, manager, loader):
        loader.scripts = {"two": Script(load_error=error)}
        names = ("two", "huge", "torn", "three")
        found = await ended(comparisons, await comparisons.start(wanted(*names), ME))
        assert [c.state for c in found.columns] == ["failed", "failed", "failed", "done"]
        assert all(c.error for c in found.columns[:3]) and "GiB" in str(found.columns[1].error)
        answer = found.columns[3].answers[0]
        assert (answer.equal, answer.difference) == (None, None)
        assert found.state == "done" and manager.status().name == "one"


async def test_all_failed_is_a_failed_comparison(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, manager, _):
        found = await ended(comparisons, await comparisons.start(wanted("torn"), ME))
        assert (found.state, found.error) == ("failed", "Torn has a truncated file.")
        assert manager.status().name == "one"


async def test_a_process_that_dies_costs_one_answer(tmp_path: Path) -> None:
    def deadly(*_: object) -> str:
        if loader.requests[-1].messages[-1].content == "P":
            loader.die()
        return "alive"

    async with comparing(tmp_path) as (comparisons, manager, loader):
        loader.scripts = {"two": Script(answer=deadly, delay=0.001)}
        found = await ended(
            comparisons, await comparisons.start(wanted("two", texts=("P", "Q")), ME)
        )
        first, second = found.columns[0].answers
        assert "ended unexpectedly" in str(first.error)
        assert (second.text, second.error) == ("alive", None)
        assert (found.state, manager.status().name) == ("done", "one")


@pytest.mark.parametrize("when", ["at once", "downloading", "loading", "prefill", "answering"])
async def test_a_cancelled_comparison_keeps_what_was_answered(tmp_path: Path, when: str) -> None:
    async with comparing(tmp_path) as (comparisons, manager, loader):
        loader.scripts = speaking(one="all of it")
        # Slow, but not so slow that the first short answer after a load takes long.
        loader.scripts["two"] = {
            "prefill": Script(prefill=0.4),
            "answering": Script(words=("word",) * 40, delay=0.05),
        }.get(when, Script(load_delay=30))
        second = "far" if when == "downloading" else "two"
        begun = await comparisons.start(wanted("one", second, "three"), ME)
        if when == "loading":
            await soon(lambda: loader.loads[-1] == "two")
        elif when == "downloading":
            await soon(lambda: manager.status().target == "far")
        elif when in ("prefill", "answering"):
            await soon(lambda: loader.requests[-1].id == f"{begun.id}-1-0")
        async with asyncio.timeout(5):
            await comparisons.cancel(ME, begun.id)
            found = await ended(comparisons, begun)
        assert (found.state, manager.status().name) == ("cancelled", "one")
        assert manager.status().state == "ready"
        assert found.columns[2].state == "not_run"
        if when != "at once":
            assert found.columns[0].answers[0].text == "all of it"
            assert found.columns[0].state == "done"
        await comparisons.cancel(ME, begun.id)
        assert comparisons.get(ME, begun.id) == found


async def test_one_at_a_time_for_everybody(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, _, loader):
        loader.script = Script(words=("word",) * 9, delay=30)
        starts = [comparisons.start(wanted("one"), owner) for owner in (ME, "another")]
        results = await asyncio.gather(*starts, return_exceptions=True)
        assert [type(result) for result in results] == [Comparison, Conflict]
        begun = comparisons.current()
        assert begun is not None
        with pytest.raises(Conflict):
            await comparisons.delete(ME, begun.id)
        for wrong in (comparisons.cancel, comparisons.delete):
            with pytest.raises(NotFound):
                await wrong("another", begun.id)
        assert await comparisons.listed("another") == ()


def _many(count: int) -> Wanted:
    return wanted("one", texts=tuple(map(str, range(count))))


REFUSED: tuple[tuple[Wanted, type[Exception]], ...] = (
    (wanted(), InvalidRequest),
    (wanted("one", "two", "three", "torn", "far"), InvalidRequest),
    (wanted("one", "one"), InvalidRequest),
    (wanted("one", "none"), NotFound),
    (_many(0), InvalidRequest),
    (_many(21), InvalidRequest),
    (wanted("one", texts=("  ",)), InvalidRequest),
    (wanted("one", texts=("long " * 2000,)), ContextLengthExceeded),
    (Wanted(("one",), (Prompt("", ()),), Sampling()), InvalidRequest),
    (Wanted(("one",), (Prompt("", (Message("assistant", "Hi"),)),), Sampling()), InvalidRequest),
    (dataclasses.replace(wanted("one"), sampling=Sampling(top_p=2.0)), InvalidRequest),
    (
        dataclasses.replace(wanted("one"), sampling=Sampling(constraint=Constraint("regex", "a"))),
        InvalidRequest,
    ),
)


@pytest.mark.parametrize(("asked", "error"), REFUSED)
async def test_what_cannot_be_compared_is_refused_at_once(
    tmp_path: Path, asked: Wanted, error: type[Exception]
) -> None:
    async with comparing(tmp_path) as (comparisons, _, loader):
        with pytest.raises(error):
            await comparisons.start(asked, ME)
        assert comparisons.current() is None and loader.loads == ["one"]
        assert (
            await ended(comparisons, await comparisons.start(wanted("one"), ME))
        ).state == "done"


async def test_results_are_kept_for_their_owner_and_can_be_deleted(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, manager, _):
        found = [
            await ended(comparisons, await comparisons.start(wanted("one"), ME)) for _ in range(2)
        ]
        again = Comparisons(manager, tmp_path)
        assert await again.listed(ME) == (found[1], found[0])
        assert again.get(ME, found[0].id) == found[0]
        for id, owner in ((found[0].id, "another"), ("none", ME), ("../x", ME)):
            with pytest.raises(NotFound):
                again.get(owner, id)
            with pytest.raises(NotFound):
                await again.delete(owner, id)
        await again.delete(ME, found[0].id)
        assert await Comparisons(manager, tmp_path).listed(ME) == (found[1],)
        delete_everything(tmp_path)
        assert not (tmp_path / "comparisons").exists()


async def test_the_newest_twenty_are_kept_and_a_damaged_file_harms_none(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, _, _loader):
        one = await ended(comparisons, await comparisons.start(wanted("one"), ME))
    results = Results(tmp_path / "kept")
    for number in range(MOST_KEPT + 2):
        created = f"2026-01-01T00:00:{number:02}"
        results.keep(dataclasses.replace(one, id=f"{number:032}", created=created))
    (tmp_path / "kept" / f"{MOST_KEPT:032}.json").write_text("{")
    kept = Results(tmp_path / "kept").listed(ME)
    assert [int(each.id) for each in kept] == [MOST_KEPT + 1, *range(MOST_KEPT - 1, 1, -1)]


async def test_the_end_of_the_program_ends_it_and_keeps_it(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, manager, loader):
        loader.scripts = speaking(one="all of it")
        loader.scripts["two"] = Script(words=("word",) * 40, delay=0.05)
        begun = await comparisons.start(wanted("one", "two"), ME)
        await soon(lambda: loader.requests[-1].id == f"{begun.id}-1-0")
        async with asyncio.timeout(5):
            await manager.drain(0.1)
            await comparisons.close()
        kept = Comparisons(manager, tmp_path).get(ME, begun.id)
        assert kept.state == "cancelled"
        assert kept.columns[0].answers[0].text == "all of it"


async def test_exports_hold_everything_but_the_owner(tmp_path: Path) -> None:
    async with comparing(tmp_path) as (comparisons, _, loader):
        loader.scripts = speaking(one="=1+1 ``` a", two="=1+1 ``` b")
        asked = wanted("one", "two", "torn")
        found = await ended(comparisons, await comparisons.start(asked, "owner-of-it"))
    value = json.loads(as_json(found))
    assert value["id"] == found.id and "owner" not in value
    assert [column["answers"][0]["text"] for column in value["columns"]][:2] == [
        "=1+1 ``` a",
        "=1+1 ``` b",
    ]
    table, page = as_csv(found), as_markdown(found)
    assert len(table.splitlines()) == 4 and ",'=1+1 ``` a," in table
    assert "````text\n=1+1 ``` a\n````" in page and "Failed: Torn has a truncated file." in page
    assert not [text for text in (as_json(found), table, page) if "owner-of-it" in text]


@pytest.mark.slow
async def test_two_embedded_checkpoints_for_real(tmp_path: Path) -> None:
    library = Library(tmp_path / "models", hub="huggingface", endpoint=None, offline=True)
    manager = make_manager(cast(FakeLibrary, library), cast(ScriptedLoader, ProcessLoader()))
    comparisons = Comparisons(manager, tmp_path)
    try:
        names = ("demo-fp16", "demo-gptq-int4")
        asked = dataclasses.replace(
            wanted(*names, texts=("What is rain?",)), sampling=Sampling(max_new_tokens=24)
        )
        begun = await comparisons.start(asked, ME)
        async with asyncio.timeout(120):
            seen: Comparison | None = begun
            while seen is not None:
                seen = await comparisons.changed(seen)
        found = comparisons.get(ME, begun.id)
        assert (found.state, found.error, found.previous) == ("done", None, None)
        for column in found.columns:
            (answer,) = column.answers
            assert answer.text and answer.usage and answer.token_ids, column
            assert column.weights_bytes and column.peak_bytes and column.kernel
        first, second = (column.answers[0] for column in found.columns)
        assert second.equal == (first.text == second.text) == (second.difference is None)
        assert manager.status().state == "empty"
    finally:
        await comparisons.close()
        await manager.close()
