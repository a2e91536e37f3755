"""The store through its front door, on real files; damage and full disks are real ones too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qwen_webui.errors import InvalidRequest, NotFound, StoreError
from qwen_webui.store import Conversation, Store, StoredMessage, schema
from qwen_webui.types import Message, Usage

OWNER, OTHER = "a" * 32, "b" * 32
USAGE = Usage(12, 34, 5, 0.25, 2.25)


class Clock:
    """Time that moves one second a look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path, clock=Clock())
    yield store
    await store.close()


def said(text: str) -> StoredMessage:
    return StoredMessage("user", text)


def answered(text: str) -> StoredMessage:
    return StoredMessage("assistant", text)


async def titles(store: Store, search: str = "", owner: str = OWNER) -> list[str]:
    return [entry.title for entry in await store.list(owner, search)]


async def test_a_conversation_is_kept_whole_across_a_restart(path: Path) -> None:
    store = await Store.open(path, clock=Clock())
    begun = await store.create(OWNER, persona="code")
    question = StoredMessage("user", "Name a prime.\n\n```\n2\n```", created=5.0)
    answer = StoredMessage(
        *("assistant", "十七 🙂", "code", "demo-awq-int4", "awq-int4", USAGE, False, "stop", 6.0)
    )
    await store.append(OWNER, begun.id, [question, answer])
    cut = StoredMessage("assistant", "partial", usage=USAGE, stopped=True, created=7.0)
    await store.append(OWNER, begun.id, [cut])
    await store.close()

    store = await Store.open(path)
    found = await store.get(OWNER, begun.id)
    await store.close()
    assert found == Conversation(
        id=begun.id,
        title="Name a prime. ``` 2 ```",
        persona="code",
        created=begun.created,
        updated=begun.created + 2,
        messages=(question, answer, cut),
    )
    assert found.history[1] == Message("assistant", "十七 🙂")


async def test_ids_are_128_random_bits(store: Store) -> None:
    ids = {(await store.create(OWNER)).id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(bytes.fromhex(id)) == 16 for id in ids)


async def test_the_list_is_by_recency_and_renaming_does_not_change_it(store: Store) -> None:
    first = await store.create(OWNER, title="first")
    second = await store.create(OWNER, title="second")
    assert await titles(store) == ["second", "first"]
    await store.append(OWNER, first.id, [said("again")])
    assert await titles(store) == ["first", "second"]
    entry = await store.rename(OWNER, second.id, "  a\nnew\tname ")
    assert entry.title == "a new name"
    assert await titles(store) == ["first", "a new name"]
    assert [entry.messages for entry in await store.list(OWNER)] == [1, 0]


@pytest.mark.parametrize("title", ["", " \n\t ", "x" * 201])
async def test_a_title_out_of_bounds_is_refused(store: Store, title: str) -> None:
    begun = await store.create(OWNER, title="kept")
    with pytest.raises(InvalidRequest) as error:
        await store.rename(OWNER, begun.id, title)
    assert error.value.param == "title"
    assert await titles(store) == ["kept"]


async def test_a_long_first_question_gives_a_short_title(store: Store) -> None:
    begun = await store.create(OWNER)
    entry = await store.append(OWNER, begun.id, [said("\n word" * 1000), answered("fine")])
    assert len(entry.title) <= 60
    assert entry.title.startswith("word word")
    assert entry.title.endswith("…")


SEARCHES = [
    ("洛安", ["ship"]),
    ("海", ["ship"]),
    ("SHIP", ["ship"]),
    ("café", ["drinks"]),
    ("ABC", ["drinks"]),
    ("100%", ["drinks"]),
    ("1_0", []),
    ("coffee ship", []),
    ("船长 洛安号", ["ship"]),
    ("'; --", []),
    ("\ud800\0", []),
    ("  ", ["drinks", "ship"]),
]


@pytest.mark.parametrize(("search", "expected"), SEARCHES)
async def test_search_finds_titles_and_text(store: Store, search: str, expected: list[str]) -> None:
    ship = await store.create(OWNER, title="ship")
    await store.append(OWNER, ship.id, [said("洛安号在海上"), answered("船长是沈青禾")])
    drinks = await store.create(OWNER, title="drinks")
    await store.append(OWNER, drinks.id, [said("CAFÉ, coffee 100% ＡＢＣ 110")])
    assert await titles(store, search) == expected


async def test_a_search_follows_edits_and_new_titles(store: Store) -> None:
    begun = await store.create(OWNER, title="old")
    await store.append(OWNER, begun.id, [said("before")])
    await store.replace_tail(OWNER, begun.id, 0, [said("after")])
    await store.rename(OWNER, begun.id, "new")
    assert [await titles(store, word) for word in ("old", "before", "new", "after")] == [
        *([], []),
        *(["new"], ["new"]),
    ]


async def test_ten_thousand_messages_are_searched_at_once(store: Store) -> None:
    text = "一段不太长的中文文字，with some English in it. " * 12
    for number in range(100):
        begun = await store.create(OWNER, title=f"conversation {number}")
        hit = [said("藏着 needle")] if number == 50 else [said("nothing")]
        await store.append(OWNER, begun.id, [answered(text)] * 99 + hit)
    start = time.perf_counter()
    assert await titles(store, "藏着") == ["conversation 50"]
    # Measured 20 to 40 ms on two cores; fivefold slack.
    assert time.perf_counter() - start < 0.2
    start = time.perf_counter()
    assert len(await store.list(OWNER)) == 100
    assert time.perf_counter() - start < 0.1


async def test_anothers_conversation_is_missing_like_one_that_never_was(store: Store) -> None:
    mine = await store.create(OWNER, title="mine")
    await store.append(OWNER, mine.id, [said("secret")])

    async def attempt(owner: str, id: str) -> list[str]:
        calls = [
            store.get(owner, id),
            store.rename(owner, id, "x"),
            store.append(owner, id, [said("x")]),
            store.replace_tail(owner, id, 0),
            store.delete(owner, id),
            store.export_json(owner, id),
            store.export_markdown(owner, id),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, NotFound) for result in results), results
        return [str(result) for result in results]

    assert await attempt(OTHER, mine.id) == await attempt(OTHER, "0" * 32)
    for id in ("", "../x", "' OR 1=1 --", "\ud800", mine.id.upper() + "\0"):
        await attempt(OWNER, id)
    assert await store.list(OTHER) == () == await store.list(OTHER, "secret")
    assert await store.delete_all(OTHER) == 0
    assert (await store.get(OWNER, mine.id)).messages[0].content == "secret"


async def test_the_tail_is_replaced_for_an_edit(store: Store) -> None:
    begun = await store.create(OWNER)
    await store.append(OWNER, begun.id, [said("1"), answered("2"), said("3"), answered("4")])
    await store.replace_tail(OWNER, begun.id, 2, [said("3b")])
    entry = await store.append(OWNER, begun.id, [answered("4b")])
    found = await store.get(OWNER, begun.id)
    assert [message.content for message in found.messages] == ["1", "2", "3b", "4b"]
    assert entry.messages == 4
    for keep in (-1, 5):
        with pytest.raises(InvalidRequest, match="4 messages"):
            await store.replace_tail(OWNER, begun.id, keep)
    assert await store.get(OWNER, begun.id) == found


async def test_what_no_file_can_hold_is_marked_not_refused(store: Store) -> None:
    begun = await store.create(OWNER, title="a\ud800b")
    await store.append(OWNER, begun.id, [said("x\0y\udfff \ud83d\ude00 \u202egnp.exe")])
    found = await store.get(OWNER, begun.id)
    assert found.title == "a\ufffdb"
    assert found.messages[0].content == "x\ufffdy\ufffd 😀 \u202egnp.exe"


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("way", ["delete", "delete_all", "replace_tail"])
async def test_deleted_text_is_in_no_file(store: Store, path: Path, way: str) -> None:
    begun = await store.create(OWNER, title="t")
    other = await store.create(OTHER, title="t")
    await store.append(OWNER, begun.id, [said("the secret word " * 2000)])
    await store.append(OTHER, other.id, [said("stays")])
    assert b"secret word" in everything_in(path.parent)
    if way == "delete":
        await store.delete(OWNER, begun.id)
    elif way == "delete_all":
        assert await store.delete_all(OWNER) == 1
    else:
        await store.replace_tail(OWNER, begun.id, 0)
    assert b"secret word" not in everything_in(path.parent)
    assert (await store.get(OTHER, other.id)).messages[0].content == "stays"


async def test_files_are_the_users_alone(store: Store, path: Path) -> None:
    begun = await store.create(OWNER)
    await store.append(OWNER, begun.id, [said("x")])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_write_is_done_although_its_caller_is_cancelled(store: Store) -> None:
    begun = await store.create(OWNER)
    gate = threading.Event()
    blocked = asyncio.create_task(store._file._writer.run(lambda _: gate.wait(10)))
    task = asyncio.create_task(store.append(OWNER, begun.id, [said("kept")]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await blocked
    await store.rename(OWNER, begun.id, "behind it in the queue")
    assert [m.content for m in (await store.get(OWNER, begun.id)).messages] == ["kept"]


async def test_the_loop_runs_while_a_write_waits(store: Store) -> None:
    begun = await store.create(OWNER)
    gate = threading.Event()
    blocked = asyncio.create_task(store._file._writer.run(lambda _: gate.wait(10)))
    write = asyncio.create_task(store.append(OWNER, begun.id, [said("x")]))
    # The read goes past the blocked writer, and this loop is free to open the gate.
    assert (await store.get(OWNER, begun.id)).messages == ()
    assert not write.done()
    gate.set()
    assert await blocked
    assert (await write).messages == 1


async def test_parallel_appends_lose_nothing(store: Store) -> None:
    begun = await store.create(OWNER)
    await asyncio.gather(
        *(store.append(OWNER, begun.id, [said(f"q{n}"), answered(f"a{n}")]) for n in range(40))
    )
    texts = [message.content for message in (await store.get(OWNER, begun.id)).messages]
    assert sorted(texts[0::2]) == sorted(f"q{n}" for n in range(40))
    assert [text.replace("q", "a") for text in texts[0::2]] == texts[1::2]


async def test_after_close_there_is_an_error_and_closing_twice_is_harmless(path: Path) -> None:
    store = await Store.open(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.list(OWNER)


async def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(store: Store) -> None:
    """reliability line 31: the conversations."""
    begun = await store.create(OWNER, title="t")
    # SQLite's own limit raises what a full disk raises.
    pages = await store._file._writer.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await store._file._writer.run(
        lambda db: db.execute(f"PRAGMA max_page_count = {pages + 2}").close()
    )
    with pytest.raises(StoreError, match="disk with the data folder is full") as error:
        await store.append(OWNER, begun.id, [said("small"), said("x" * 100_000)])
    assert error.value.status == 507
    assert (await store.get(OWNER, begun.id)).messages == ()
    await store.append(OWNER, begun.id, [said("small")])
    assert len((await store.get(OWNER, begun.id)).messages) == 1


# Files of other versions, foreign files, damage.


def make_version_1(path: Path) -> None:
    """A file as version 1 of the schema wrote it."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        schema.STEPS[0](db)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute(
            "INSERT INTO conversations VALUES (?, ?, 'Über Schiffe', 'general', 1.0, 2.0)",
            ("c" * 32, OWNER),
        )
        for position, (role, text) in enumerate([("user", "洛安号"), ("assistant", "Yes")]):
            db.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, NULL, 'demo-fp16', 1.5)",
                ("c" * 32, position, role, text),
            )


async def test_version_1_is_brought_forward_and_a_copy_kept(path: Path) -> None:
    make_version_1(path)
    before = path.read_bytes()
    store = await Store.open(path)
    question, answer = (await store.get(OWNER, "c" * 32)).messages
    assert question == StoredMessage("user", "洛安号", model="demo-fp16", created=1.5)
    assert answer == StoredMessage("assistant", "Yes", model="demo-fp16", created=1.5)
    assert [await titles(store, word) for word in ("洛安", "ÜBER")] == [["Über Schiffe"]] * 2
    await store.append(OWNER, "c" * 32, [StoredMessage("assistant", "new", usage=USAGE)])
    await store.close()

    (copy,) = schema.copies(path)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT content FROM messages").fetchall() == [("洛安号",), ("Yes",)]
    assert copy.name == "conversations.sqlite3.version-1"
    # A copy put back in its place is a file of version 1 again.
    for file in path.parent.glob("*.sqlite3*"):
        if file != copy:
            file.unlink()
    copy.rename(path)
    store = await Store.open(path)
    assert len((await store.get(OWNER, "c" * 32)).messages) == 2
    await store.close()
    assert before != path.read_bytes()


async def test_deleting_reaches_the_copy_of_a_migration(path: Path) -> None:
    make_version_1(path)
    store = await Store.open(path)
    assert everything_in(path.parent).count("洛安号".encode()) > 1
    await store.delete(OWNER, "c" * 32)
    await store.close()
    assert "洛安号".encode() not in everything_in(path.parent)
    with closing(sqlite3.connect(schema.copies(path)[0])) as db:
        assert db.execute("SELECT count(*) FROM conversations").fetchone() == (0,)


async def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version_1(path)

    def full(db: sqlite3.Connection) -> None:
        schema._version_2(db)
        db.execute(f"PRAGMA max_page_count = {schema._pragma(db, 'page_count')}")
        db.execute("UPDATE messages SET search = zeroblob(100000)")

    monkeypatch.setattr(schema, "STEPS", (schema._version_1, full))
    with pytest.raises(StoreError, match="full"):
        await Store.open(path)
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert len(db.execute("SELECT * FROM messages").fetchone()) == 7
    store = await Store.open(path)
    assert len((await store.get(OWNER, "c" * 32)).messages) == 2
    await store.close()


async def test_without_room_for_the_copy_the_old_file_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version_1(path)
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(StoreError, match=r"No copy .*No space left on device"):
        await Store.open(path)
    assert path.read_bytes() == before
    assert not holding_data(path)


def holding_data(path: Path) -> list[str]:
    """Files beside `path` with anything in them; a reader leaves an empty log and its index."""
    index = path.with_name(path.name + "-shm")
    return [f.name for f in path.parent.iterdir() if f not in (path, index) and f.stat().st_size]


def set_newer(path: Path) -> None:
    make_version_1(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


def set_foreign(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE recipes (name TEXT)")


def set_garbage(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all, but longer than a header " * 100)


def set_damaged(path: Path) -> None:
    make_version_1(path)
    whole = bytearray(path.read_bytes())
    whole[4096 + 8 : 3 * 4096] = b"\xff" * (2 * 4096 - 8)
    path.write_bytes(whole)


def set_truncated(path: Path) -> None:
    make_version_1(path)
    path.write_bytes(path.read_bytes()[: 2 * 4096])


BAD_FILES = [
    (set_newer, r"newer version .*its format is 5, this program knows up to 4"),
    (set_foreign, "another program's database"),
    (set_garbage, "not a SQLite database or is damaged"),
    (set_damaged, "damaged"),
    (set_truncated, "damaged"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD_FILES)
async def test_an_unusable_file_is_refused_and_left_as_it_is(
    path: Path, make: object, sentence: str
) -> None:
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=sentence) as error:
        await Store.open(path)
    assert str(path.parent) not in error.value.message
    assert path.read_bytes() == before
    assert not holding_data(path)


async def test_a_folder_in_its_place_is_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="Is a directory"):
        await Store.open(path)


KILLED_WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from qwen_webui.store import Store, StoredMessage

async def main():
    store = await Store.open(Path(sys.argv[1]))
    begun = await store.create("o")
    await store.append("o", begun.id, [StoredMessage("user", "acknowledged")])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED_WRITER, str(path)], check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    store = await Store.open(path)
    (entry,) = await store.list("o")
    assert (await store.get("o", entry.id)).messages[0].content == "acknowledged"
    await store.close()


async def test_two_programs_on_one_file_see_each_other(store: Store, path: Path) -> None:
    second = await Store.open(path, clock=Clock())
    begun = await second.create(OWNER, title="from the second")
    await store.append(OWNER, begun.id, [said("from the first")])
    assert (await second.get(OWNER, begun.id)).messages[0].content == "from the first"
    await second.close()


# Export.


@pytest.fixture
async def exported(store: Store) -> AsyncIterator[str]:
    begun = await store.create(OWNER, title="A ship", persona="analyst")
    await store.append(
        OWNER,
        begun.id,
        [
            StoredMessage("user", "How *long*?", created=1_700_000_000.0),
            StoredMessage(
                *("assistant", "48 米。\n\n```c\nx;\n```", "analyst", "demo-fp16", "fp16", USAGE),
                finish_reason="stop",
                created=1_700_000_001.0,
            ),
            StoredMessage("assistant", "cut", model="demo-fp16", stopped=True, created=1.0),
        ],
    )
    yield begun.id


async def test_markdown_export(store: Store, exported: str) -> None:
    assert await store.export_markdown(OWNER, exported) == (
        "# A ship\n\n2023-11-14T22:13:21+00:00\n\nPersona: analyst\n\n"
        "## User\n\nHow *long*?\n\n"
        "## Assistant\n\n48 米。\n\n```c\nx;\n```\n\n"
        "*demo-fp16 · fp16 · 34 tokens · 16.5 tokens/s*\n\n"
        "## Assistant\n\ncut\n\n*demo-fp16 · stopped before its end*\n"
    )
    chinese = await store.export_markdown(OWNER, exported, "zh")
    assert "## 用户\n\nHow *long*?" in chinese
    assert "未完成，已停止" in chinese


async def test_json_export(store: Store, exported: str) -> None:
    text = await store.export_json(OWNER, exported)
    assert OWNER not in text
    record = json.loads(text)
    assert record["format"] == "qwen-webui conversation"
    assert (record["title"], record["persona"], record["id"]) == ("A ship", "analyst", exported)
    assert [message["stopped"] for message in record["messages"]] == [False, False, True]
    assert record["messages"][1] == {
        "role": "assistant",
        "content": "48 米。\n\n```c\nx;\n```",
        "persona": "analyst",
        "model": "demo-fp16",
        "precision": "fp16",
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 34,
            "cached_tokens": 5,
            "seconds_to_first_token": 0.25,
            "seconds": 2.25,
            "decode_seconds": None,
        },
        "stopped": False,
        "finish_reason": "stop",
        "created": "2023-11-14T22:13:21+00:00",
        "sources": None,
        "citations": None,
    }


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("store-")]
    assert not left, left
