"""Runs of the JSON tab in the store, and a file that the program before them wrote."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from qwen_webui.errors import NotFound
from qwen_webui.store import JsonRun, Store, StoredMessage, schema
from qwen_webui.types import Usage

OWNER, OTHER = "a" * 32, "b" * 32
# Written by version 0.1.0, before there were runs: a conversation of OWNER and a cut one of OTHER.
OLD = Path(__file__).parent / "stored" / "version-2.sqlite3"
RUN = JsonRun(
    prompt="Register 丽丽.\nShe is new.",
    schema='{"type": "object"}',
    answer='{"username": "lili"}',
    outcome="valid",
    max_new_tokens=256,
    closed=True,
    model="demo-fp16",
    precision="fp16",
    usage=Usage(12, 34, 5, 0.25, 2.25),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    times = iter(range(1, 10_000))
    store = await Store.open(path, clock=lambda: float(next(times)))
    yield store
    await store.close()


async def test_a_run_is_kept_whole(store: Store, path: Path) -> None:
    kept = await store.runs.add(OWNER, RUN)
    assert kept == dataclasses.replace(
        RUN, id=kept.id, title="Register 丽丽. She is new.", created=1.0
    )
    assert len(bytes.fromhex(kept.id)) == 16
    again = await Store.open(path)
    assert await again.runs.get(OWNER, kept.id) == kept
    await again.close()


async def test_runs_are_listed_newest_first(store: Store) -> None:
    first = await store.runs.add(OWNER, RUN)
    cut = dataclasses.replace(RUN, answer='{"user', outcome="stopped", usage=None, model=None)
    second = await store.runs.add(OWNER, cut)
    listed = await store.runs.list(OWNER)
    assert [(entry.id, entry.outcome) for entry in listed] == [
        (second.id, "stopped"),
        (first.id, "valid"),
    ]
    assert await store.runs.list(OTHER) == ()
    assert await store.list(OWNER) == ()


async def test_anothers_run_is_missing_like_one_that_never_was(store: Store) -> None:
    mine = await store.runs.add(OWNER, RUN)
    said = set()
    for owner, id in ((OTHER, mine.id), (OWNER, "0" * 32), (OWNER, "' OR 1=1 --"), (OWNER, "\0")):
        calls = (
            store.runs.get(owner, id),
            store.runs.delete(owner, id),
            store.runs.export_json(owner, id),
        )
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, NotFound), result
            said.add(str(result))
    assert len(said) == 1
    assert await store.runs.get(OWNER, mine.id) == mine


@pytest.mark.parametrize("way", ["delete", "delete_all"])
async def test_deleted_runs_are_in_no_file(store: Store, path: Path, way: str) -> None:
    secret = dataclasses.replace(RUN, prompt="the secret word " * 2000, schema="a secret word")
    mine = await store.runs.add(OWNER, secret)
    await store.append(
        OWNER, (await store.create(OWNER)).id, [StoredMessage("user", "a conversation")]
    )
    foreign = await store.runs.add(OTHER, RUN)
    assert b"secret word" in everything_in(path.parent)
    if way == "delete":
        await store.runs.delete(OWNER, mine.id)
    else:
        assert await store.delete_all(OWNER) == 2
        assert await store.list(OWNER) == ()
    assert b"secret word" not in everything_in(path.parent)
    assert await store.runs.list(OWNER) == ()
    assert (await store.runs.get(OTHER, foreign.id)).answer == RUN.answer


async def test_the_export_has_everything_but_the_owner(store: Store) -> None:
    kept = await store.runs.add(OWNER, RUN)
    text = await store.runs.export_json(OWNER, kept.id)
    assert OWNER not in text
    record = json.loads(text)
    assert record.pop("format") == "qwen-webui run"
    assert record.pop("version") == 1
    assert record.pop("created") == "1970-01-01T00:00:01+00:00"
    expected = dataclasses.asdict(kept)
    del expected["created"]
    assert record == expected


async def test_a_file_of_the_program_before_is_brought_forward(path: Path) -> None:
    path.parent.mkdir()
    shutil.copyfile(OLD, path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    store = await Store.open(path)
    (entry,) = await store.list(OWNER, "沈青禾")
    question, answer = (await store.get(OWNER, entry.id)).messages
    assert (question.content, answer.content) == ("洛安号由谁指挥？", "沈青禾。")
    assert (answer.usage, answer.finish_reason) == (Usage(12, 34, 5, 0.25, 2.25), "stop")
    (theirs,) = await store.list(OTHER)
    assert [m.stopped for m in (await store.get(OTHER, theirs.id)).messages] == [False, True]
    assert await store.runs.list(OWNER) == ()
    kept = await store.runs.add(OWNER, RUN)
    assert await store.runs.get(OWNER, kept.id) == kept

    (copy,) = schema.copies(path)
    assert copy.name == "conversations.sqlite3.version-2"
    # The copy has no runs: deleting one must not stumble over that, and must still reach the rest.
    await store.runs.delete(OWNER, kept.id)
    assert await store.delete_all(OWNER) == 1
    await store.close()
    assert "沈青禾".encode() not in everything_in(path.parent)


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())
