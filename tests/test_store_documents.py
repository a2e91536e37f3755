"""Documents in the store: rows with folders, deletions that take both, what a crash leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from qwen_webui.errors import Conflict, InvalidRequest, NotFound, StoreError
from qwen_webui.store import JsonRun, Store, StoredDocument, StoredMessage, schema
from qwen_webui.store.documents import MOST_OF_A_CONVERSATION, MOST_WITHOUT
from qwen_webui.types import AskedDocument, CallRead, Citation, Citations, Sources, Span

OWNER, OTHER = "a" * 32, "b" * 32
# Written by the program before there were documents: a conversation and a run of OWNER.
OLD = Path(__file__).parent / "stored" / "version-3.sqlite3"
FRESH = StoredDocument("", "ship.pdf", "pdf", "page", 3, 7, 0.0, to_recognise=(2, 3))


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    store = await Store.open(path, clock=clock)
    yield store
    await store.close()


async def kept(
    store: Store,
    owner: str = OWNER,
    *,
    text: bytes = b"the text",
    **fields: object,
) -> StoredDocument:
    """One that is there now."""
    incoming = await store.documents.begin()
    incoming.append(b"original")
    fresh = dataclasses.replace(FRESH, **fields)
    incoming.finish(text, original=fresh.original)
    try:
        return await store.documents.add(owner, fresh, incoming)
    finally:
        incoming.discard()


def folders(path: Path) -> set[str]:
    uploads = path.parent / "uploads"
    return {entry.name for entry in uploads.iterdir()} if uploads.exists() else set()


async def test_a_conversation_that_began_with_a_document_is_titled_by_its_first_question(
    store: Store,
) -> None:
    begun = (await store.create(OWNER)).id
    await kept(store, conversation=begun, name="Schiff ＡＢＣ.pdf")
    await kept(store, conversation=begun, name="second.pdf")

    async def title() -> str:
        assert [entry.id for entry in await store.list(OWNER, "schiff abc")] == [begun]
        (entry,) = await store.list(OWNER)
        assert entry.title == (await store.get(OWNER, begun)).title
        return entry.title

    assert await title() == "Schiff ＡＢＣ.pdf"
    await store.append(OWNER, begun, [StoredMessage("system", "Be kind.")])
    assert await title() == "Schiff ＡＢＣ.pdf"
    await store.append(OWNER, begun, [StoredMessage("user", "Who is the captain?")])
    assert await title() == "Who is the captain?"
    await store.append(OWNER, begun, [StoredMessage("user", "And who else?")])
    assert await title() == "Who is the captain?"


async def test_a_name_that_was_given_before_the_first_question_stays(store: Store) -> None:
    begun = (await store.create(OWNER)).id
    await kept(store, conversation=begun)
    await store.rename(OWNER, begun, "Ships")
    await store.append(OWNER, begun, [StoredMessage("user", "Who is the captain?")])
    assert (await store.get(OWNER, begun)).title == "Ships"


async def test_a_document_is_kept_across_a_restart(path: Path, clock: Clock) -> None:
    store = await Store.open(path, clock=clock)
    talk = await store.create(OWNER)
    mine = await kept(store, conversation=talk.id)
    alone = await kept(store, name="a\ud800b.txt", original=False, expires=clock.now + 5)
    assert mine == dataclasses.replace(FRESH, id=mine.id, created=clock.now, conversation=talk.id)
    assert len(bytes.fromhex(mine.id)) == 16
    await store.close()

    store = await Store.open(path, clock=clock)
    assert await store.documents.list(OWNER, talk.id) == (mine,)
    assert await store.documents.list(OWNER, None) == (alone,)
    assert alone.name == "a\ufffdb.txt"
    assert await store.documents.text(mine) == b"the text"
    assert store.documents.original(mine).read_bytes() == b"original"
    assert {f.name for f in (path.parent / "uploads" / alone.id).iterdir()} == {"text.json"}
    await store.close()


async def test_files_are_the_users_alone(store: Store, path: Path) -> None:
    mine = await kept(store)
    uploads = path.parent / "uploads"
    folder = uploads / mine.id
    for where in (uploads, folder):
        assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert {f.name: stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {
        "original": 0o600,
        "text.json": 0o600,
    }


async def test_anothers_document_is_missing_like_one_that_never_was(store: Store) -> None:
    talk = await store.create(OWNER)
    mine = await kept(store, conversation=talk.id)
    said = set()
    for owner, id in ((OTHER, mine.id), (OWNER, "0" * 32), (OWNER, "../x"), (OWNER, "\ud800\0")):
        calls = (
            store.documents.get(owner, id),
            store.documents.delete(owner, id),
        )
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, NotFound), result
            said.add(str(result))
    assert len(said) == 1
    with pytest.raises(NotFound):
        await store.documents.replace_text(OTHER, mine, b"x", ())
    assert await store.documents.list(OTHER, None) == ()
    places = set()
    for owner, place in ((OTHER, talk.id), (OWNER, "0" * 32)):
        for attempt in (
            store.documents.list(owner, place),
            store.documents.check_room(owner, place, 0),
            kept(store, owner, conversation=place),
        ):
            with pytest.raises(NotFound) as error:
                await attempt
            places.add(error.value.message)
    assert len(places) == 1
    assert await store.documents.text(mine) == b"the text"
    assert await store.documents.list(OWNER, talk.id) == (mine,)


@pytest.mark.parametrize("way", ["document", "conversation", "delete_all"])
async def test_deleting_takes_row_and_folder(store: Store, path: Path, way: str) -> None:
    talk = await store.create(OWNER)
    mine = await kept(store, conversation=talk.id, name="the secret name.pdf")
    alone = await kept(store, name="the secret name.pdf")
    theirs = await kept(store, OTHER)
    told: list[str] = []
    store.documents.watch(lambda ids: told.extend(ids))
    if way == "document":
        await store.documents.delete(OWNER, mine.id)
        await store.documents.delete(OWNER, alone.id)
    elif way == "conversation":
        await store.delete(OWNER, talk.id)
        assert await store.documents.get(OWNER, alone.id) == alone
        await store.documents.delete(OWNER, alone.id)
    else:
        assert await store.delete_all(OWNER) == 2
    assert sorted(told) == sorted([mine.id, alone.id])
    assert folders(path) == {theirs.id}
    assert await store.documents.list(OTHER, None) == (theirs,)
    for gone in (mine, alone):
        with pytest.raises(NotFound):
            await store.documents.get(OWNER, gone.id)
        with pytest.raises(NotFound):
            await store.documents.text(gone)
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert b"secret name" not in b"".join(file.read_bytes() for file in files)


async def test_clearing_the_messages_keeps_the_documents(store: Store) -> None:
    talk = await store.create(OWNER)
    await store.append(OWNER, talk.id, [StoredMessage("user", "x")])
    mine = await kept(store, conversation=talk.id)
    await store.replace_tail(OWNER, talk.id, 0)
    assert await store.documents.list(OWNER, talk.id) == (mine,)


async def test_expired_ones_are_gone_at_once_and_swept(
    store: Store, path: Path, clock: Clock
) -> None:
    short = await kept(store, expires=clock.now + 10)
    long = await kept(store, expires=clock.now + 20)
    clock.now += 10
    with pytest.raises(NotFound):
        await store.documents.get(OWNER, short.id)
    assert await store.documents.list(OWNER, None) == (long,)
    assert folders(path) == {short.id, long.id}
    await store.documents.sweep()
    assert folders(path) == {long.id}


async def test_what_a_crash_leaves_is_swept_and_nothing_else(store: Store, path: Path) -> None:
    mine = await kept(store)
    uploads = path.parent / "uploads"
    (uploads / ("c" * 32)).mkdir()
    (uploads / ("c" * 32) / "original").write_bytes(b"x")
    (uploads / "incoming-0123456789abcdef").mkdir()
    (uploads / "gradio").mkdir()
    (uploads / "note.txt").write_text("mine")
    busy = await store.documents.begin()
    await store.documents.sweep()
    assert folders(path) == {mine.id, "gradio", "note.txt", busy.folder.name}
    busy.discard()
    await store.documents.sweep()
    assert folders(path) == {mine.id, "gradio", "note.txt"}


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from qwen_webui.store import Store, StoredDocument
from qwen_webui.store.folders import Folders

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = await Store.open(Path(sys.argv[1]))
    incoming = await store.documents.begin()
    incoming.append(b"x")
    if sys.argv[2] == "arriving":
        kill()
    incoming.finish(b"t", original=True)
    place = Folders.place
    Folders.place = lambda *given: (place(*given), kill())
    fresh = StoredDocument("", "n", "pdf", "page", 1, 1, 1.0)
    await store.documents.add("o", fresh, incoming)

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["arriving", "placed"])
async def test_a_kill_leaves_nothing_for_good(path: Path, moment: str) -> None:
    command = [sys.executable, "-c", KILLED, str(path), moment]
    child = await asyncio.to_thread(subprocess.run, command, check=False)
    assert child.returncode == -9
    (left,) = folders(path)
    assert left.startswith("incoming-") == (moment == "arriving")
    store = await Store.open(path)
    await store.documents.sweep()
    assert folders(path) == set()
    assert await store.documents.list("o", None) == ()
    await store.close()


async def test_another_program_does_not_sweep_what_is_on_its_way(store: Store, path: Path) -> None:
    incoming = await store.documents.begin()
    code = (
        "import asyncio, sys; from pathlib import Path; from qwen_webui.store import Store\n"
        "async def main():\n"
        "    store = await Store.open(Path(sys.argv[1])); await store.documents.sweep()\n"
        "    await store.close()\n"
        "asyncio.run(main())"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(path)], check=True)
    assert folders(path) == {incoming.folder.name}
    incoming.discard()
    incoming.discard()
    assert folders(path) == set()


async def test_there_is_room_for_so_many(store: Store, path: Path) -> None:
    talk = await store.create(OWNER)
    for place, most in ((talk.id, MOST_OF_A_CONVERSATION), (None, MOST_WITHOUT)):
        for _ in range(most):
            await store.documents.check_room(OWNER, place, 0)
            await kept(store, conversation=place)
        for attempt in (
            store.documents.check_room(OWNER, place, 0),
            kept(store, conversation=place),
        ):
            with pytest.raises(InvalidRequest, match=f"{most} documents") as error:
                await attempt
            assert error.value.code == "too_many_documents"
        assert len(await store.documents.list(OWNER, place)) == most
    assert len(folders(path)) == MOST_OF_A_CONVERSATION + MOST_WITHOUT
    await store.documents.check_room(OTHER, None, 0)


async def test_a_text_is_replaced_whole_or_not_at_all(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await kept(store)
    changed = await store.documents.replace_text(OWNER, mine, b"better", (3,))
    assert changed == dataclasses.replace(mine, to_recognise=(3,), revision=1)
    assert await store.documents.get(OWNER, mine.id) == changed
    assert await store.documents.text(mine) == b"better"
    with pytest.raises(Conflict):
        await store.documents.replace_text(OWNER, mine, b"from an old one", ())

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="full") as error:
        await store.documents.replace_text(OWNER, changed, b"too much", ())
    monkeypatch.undo()
    assert error.value.status == 507
    assert await store.documents.text(mine) == b"better"
    assert await store.documents.get(OWNER, mine.id) == changed
    folder = path.parent / "uploads" / mine.id
    assert {file.name for file in folder.iterdir()} == {"original", "text.json"}
    await store.documents.delete(OWNER, mine.id)
    with pytest.raises(NotFound):
        await store.documents.replace_text(OWNER, changed, b"x", ())
    assert folders(path) == set()


async def test_a_database_that_is_full_leaves_no_folder(store: Store, path: Path) -> None:
    """reliability line 31: the row of a document."""
    writer = store._file._writer
    pages = await writer.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").close())
    with pytest.raises(StoreError, match="disk with the data folder is full") as error:
        await kept(store, name="x" * 100_000)
    assert error.value.status == 507
    assert folders(path) == set()


async def test_a_commit_that_fails_leaves_no_folder(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = store.documents._folders.place

    def placed_and_broken(*given: object) -> None:
        place(*given)  # type: ignore[arg-type]
        raise StoreError("The disk failed.")

    monkeypatch.setattr(store.documents._folders, "place", placed_and_broken)
    with pytest.raises(StoreError, match="disk failed"):
        await kept(store)
    assert folders(path) == set()
    assert await store.documents.list(OWNER, None) == ()


# What an answer read and quotes.

SOURCES = Sources(
    "map_reduce",
    (
        AskedDocument("1" * 32, "ship.pdf", "page", 9),
        AskedDocument("2" * 32, "表.xlsx", "sheet", 2),
    ),
    (
        CallRead(1, "read", (Span(1, 0, 90), Span(2, 0, 40))),
        CallRead(2, "read", (Span(2, 0, 10, 2),)),
        CallRead(3, "answer", inputs=(1, 2)),
    ),
    (
        Span(2, 40, 90),
        Span(4, 0, 90),
        Span(5, 0, 90),
        Span(6, 0, 9),
        Span(9, 0, 9),
        Span(1, 0, 9, 2),
    ),
)
CITATIONS = Citations(
    (
        Citation(1, 1, "It is 48 metres\nlong.", "verified", 3, 20, (Span(1, 5, 22),)),
        Citation(1, 3, "a half \ud83d pair", "other_page", 30, 40, (Span(2, 1, 9),)),
        Citation(2, None, "never said", "not_found", 50, 60),
        Citation(2, 7, "", "no_page", 70, 75),
    )
)


async def test_what_was_read_and_quoted_is_kept(store: Store) -> None:
    talk = await store.create(OWNER)
    answer = StoredMessage("assistant", "x", created=1.0, sources=SOURCES, citations=CITATIONS)
    none = StoredMessage("assistant", "y", created=1.0, sources=SOURCES, citations=Citations(()))
    await store.append(OWNER, talk.id, [answer, none, StoredMessage("user", "z", created=1.0)])
    first, second, third = (await store.get(OWNER, talk.id)).messages
    assert first.sources == SOURCES
    assert first.citations is not None
    assert first.citations.items[1].quote == "a half \ufffd pair"
    assert first.citations.items[0::2] == CITATIONS.items[0::2]
    assert (second.sources, second.citations) == (SOURCES, Citations(()))
    assert (third.sources, third.citations) == (None, None)

    run = await store.runs.add(OWNER, JsonRun("p", "{}", "{}", "valid", sources=SOURCES))
    assert (await store.runs.get(OWNER, run.id)).sources == SOURCES
    exported = json.loads(await store.runs.export_json(OWNER, run.id))
    assert exported["sources"]["documents"][1]["name"] == "表.xlsx"


async def test_exports_say_what_was_quoted_and_what_was_not_read(store: Store) -> None:
    talk = await store.create(OWNER, title="Ships")
    answer = StoredMessage(
        "assistant", "48 metres.", model="demo", sources=SOURCES, citations=CITATIONS
    )
    await store.append(OWNER, talk.id, [answer])
    text = await store.export_markdown(OWNER, talk.id)
    assert text.split("48 metres.\n\n")[1] == (
        "- “It is 48 metres long.” (ship.pdf, page 1): found there\n"
        "- “a half \ufffd pair” (ship.pdf, page 3): not there, but on page 2\n"
        "- “never said” (表.xlsx): not found in the documents\n"
        "- 表.xlsx, sheet 7: there is no such sheet\n\n"
        "Not read of ship.pdf: pages 4–6, 9; in part: page 2\n\n"
        "Not read of 表.xlsx: sheet 1\n\n"
        "*demo*\n"
    )
    chinese = await store.export_markdown(OWNER, talk.id, "zh")
    assert "- “a half \ufffd pair”（ship.pdf，第 3 页）：不在该处，而在第 2 页" in chinese
    assert "ship.pdf 未读：第 4–6、9 页；部分未读：第 2 页" in chinese
    record = json.loads(await store.export_json(OWNER, talk.id))
    (message,) = record["messages"]
    assert [item["verdict"] for item in message["citations"]["items"]] == [
        *("verified", "other_page", "not_found", "no_page"),
    ]
    assert message["sources"]["left_out"][0] == {"page": 2, "start": 40, "end": 90, "document": 1}


async def test_a_file_of_the_program_before_is_brought_forward(path: Path) -> None:
    path.parent.mkdir()
    shutil.copyfile(OLD, path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    store = await Store.open(path)
    (entry,) = await store.list(OWNER, "沈青禾")
    question, answer = (await store.get(OWNER, entry.id)).messages
    assert (question.content, answer.content) == ("洛安号由谁指挥？", "沈青禾。")
    assert (answer.sources, answer.citations, answer.finish_reason) == (None, None, "stop")
    (run,) = await store.runs.list(OWNER)
    assert (await store.runs.get(OWNER, run.id)).answer == '{"username": "lili"}'
    mine = await kept(store, conversation=entry.id)
    assert await store.documents.list(OWNER, entry.id) == (mine,)
    (copy,) = schema.copies(path)
    assert copy.name == "conversations.sqlite3.version-3"
    # The copy knows no documents: deleting must not stumble over that, and must reach the rest.
    await store.delete(OWNER, entry.id)
    assert await store.delete_all(OWNER) == 1
    await store.close()
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert "沈青禾".encode() not in b"".join(file.read_bytes() for file in files)
    assert folders(path) == set()
