"""The shelf through its front door: real files, the real reading process, real disks that are full.

Rows and folders by themselves are tested in test_store_documents.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from qwen_webui.documents import intake, memo, shelf, texts
from qwen_webui.documents.intake import NAME_CHARACTERS, shown_name
from qwen_webui.documents.ocr import Ocr
from qwen_webui.documents.planning import Library
from qwen_webui.documents.reader import MODULE, DocumentReader
from qwen_webui.documents.shelf import Shelf
from qwen_webui.documents.values import Document, Limits, Page
from qwen_webui.errors import (
    Conflict,
    DocumentError,
    InvalidRequest,
    ModelNotReady,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    StoreError,
    UnsupportedDocument,
    WebUIError,
)
from qwen_webui.store import Store, StoredDocument, folders
from qwen_webui.tokens import EstimatedTokenizer
from qwen_webui.types import Progress
from tests.documents import making
from tests.serving import soon

OWNER, OTHER = "a" * 32, "b" * 32
TEXT = b"The Lorna is a ship.\n\nHer captain is Pella Grint.\n"


class House:
    """A shelf over a store in a folder of its own."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.uploads = folder / "uploads"
        self.store = store
        self.now = 1_700_000_000.0
        self.tokenizer: EstimatedTokenizer | None = EstimatedTokenizer()
        # None: nothing is made ready ahead.
        self.context: int | None = None
        self.open()

    def open(self, limits: Limits | None = None) -> None:
        self.shelf = Shelf(
            self.store,
            self.present,
            lambda: self.now,
            DocumentReader(limits or Limits()),
            lambda: self.context,
        )

    def present(self) -> EstimatedTokenizer:
        if self.tokenizer is None:
            raise ModelNotReady("Nothing is loaded.")
        return self.tokenizer

    async def steps(
        self, data: bytes = TEXT, name: str = "ship.txt", owner: str = OWNER, **more: str
    ) -> list[Progress | StoredDocument]:
        received = await self.shelf.receive(owner, pieces(data))
        async with aclosing(self.shelf.upload(owner, received, name, **more)) as items:
            return [item async for item in items]

    async def upload(self, *given: object, **more: str) -> StoredDocument:
        last = (await self.steps(*given, **more))[-1]  # type: ignore[arg-type]
        assert isinstance(last, StoredDocument)
        return last

    def left(self) -> list[str]:
        return sorted(os.listdir(self.uploads)) if self.uploads.exists() else []


def readers() -> list[psutil.Process]:
    """Reading processes that are there now."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if MODULE in child.cmdline():
                found.append(child)
    return found


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house: House | None = None
    store = await Store.open(tmp_path / "conversations.sqlite3", clock=lambda: house.now)
    house = House(tmp_path, store)
    yield house
    await house.shelf.close()
    await house.shelf.close()
    await store.close()
    assert not [name for name in house.left() if name.startswith("incoming-")]


def counted(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> list[object]:
    """What `where.name` is called with from now on."""
    calls: list[object] = []
    real: Callable[..., object] = getattr(where, name)

    def call(*given: object, **named: object) -> object:
        calls.append(given)
        return real(*given, **named)

    monkeypatch.setattr(where, name, call)
    return calls


# In, and out again.


async def test_an_upload_is_read_in_a_child_and_kept(house: House) -> None:
    data = making.pdf(["Page one says this.", "Page two says that."])
    *progress, kept = await house.steps(data, "../../a\u202eb/ship.pdf")
    assert isinstance(kept, StoredDocument)
    assert progress == [
        Progress("reading", 0, 0, "pages"),
        Progress("reading", 1, 2, "pages"),
        Progress("reading", 2, 2, "pages"),
    ]
    assert kept == StoredDocument(
        id=kept.id,
        name="ship.pdf",
        kind="pdf",
        unit="page",
        pages=2,
        bytes=len(data),
        created=house.now,
        expires=house.now + 7 * 24 * 3600,
    )
    assert house.left() == [kept.id]
    assert (house.uploads / kept.id / "original").read_bytes() == data
    assert await house.shelf.list(OWNER, None) == (kept,)
    assert await house.shelf.get(OWNER, kept.id) == kept
    document = await house.shelf.document(OWNER, kept.id)
    assert [page.text for page in document.pages] == ["Page one says this.", "Page two says that."]
    diagnosis = await house.shelf.diagnosis(OWNER, kept.id)
    assert (len(diagnosis.pages), diagnosis.words) == (2, 8)
    await house.shelf.delete(OWNER, kept.id)
    assert house.left() == []
    assert await house.shelf.list(OWNER, None) == ()


async def test_two_uploads_at_once_go_to_their_conversations(house: House) -> None:
    talk = await house.store.create(OWNER)
    mine, theirs = await asyncio.gather(
        house.upload(TEXT, "one.txt", conversation=talk.id),
        house.upload(b"Another one.", "two.txt", OTHER),
    )
    assert (mine.conversation, mine.expires) == (talk.id, None)
    assert await house.shelf.list(OWNER, talk.id) == (mine,)
    assert await house.shelf.list(OWNER, None) == ()
    assert await house.shelf.list(OTHER, None) == (theirs,)
    assert (await house.shelf.document(OTHER, theirs.id)).pages[0].text == "Another one."


async def test_pasted_text_is_a_document_without_a_file(house: House) -> None:
    talk = await house.store.create(OWNER)
    text = "洛安号是一艘船。\ud800\n\n" * 800
    kept = await house.shelf.paste(OWNER, text, "pasted.txt", conversation=talk.id)
    assert (kept.kind, kept.unit, kept.original, kept.conversation) == (
        *("text", "part", False),
        talk.id,
    )
    assert kept.pages > 1
    assert os.listdir(house.uploads / kept.id) == ["text.json"]
    document = await house.shelf.document(OWNER, kept.id)
    assert document.pages[0].text.startswith("洛安号是一艘船。")
    for text, error in ((" \n", DocumentError), ("x" * 10_000_001, PayloadTooLarge)):
        with pytest.raises(error):
            await house.shelf.paste(OWNER, text, "pasted.txt")
    assert house.left() == [kept.id]


NAMES = [
    ("report.pdf", "report.pdf"),
    ("C:\\fakepath\\a b.pdf", "a b.pdf"),
    ("../../etc/passwd", "passwd"),
    ("a\0b\r\nc\u2028d.txt", "ab c d.txt"),
    ("evil\u202egpj.exe.txt", "evilgpj.exe.txt"),
    ("\u2066x\u2069.md", "x.md"),
    ("..", "document"),
    ("dir/", "document"),
    ("", "document"),
    ("\ud800.txt", ".txt"),
    ("e\u0301te\u0301.txt", "été.txt"),
    ("船" * 300 + ".docx", "船" * 194 + "….docx"),
    ("x" * 300, "x" * 199 + "…"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_name_is_cleaned(name: str, shown: str) -> None:
    assert shown_name(name) == shown
    assert len(shown) <= NAME_CHARACTERS


# What must not stay, and what must not be seen.


async def test_what_cannot_be_read_is_not_kept(house: House) -> None:
    refused: list[tuple[bytes, str, type[WebUIError]]] = [
        (b"", "empty.txt", DocumentError),
        (b"%PDF-1.7 broken", "a.pdf", DocumentError),
        (b"\x7fELF\0\0", "a.txt", UnsupportedDocument),
        (TEXT, "x" * 5_000 + ".txt", PayloadTooLarge),
    ]
    for data, name, error in refused:
        with pytest.raises(error):
            await house.upload(data, name)
    assert house.left() == []
    assert await house.shelf.list(OWNER, None) == ()


async def test_a_file_over_the_limit_is_refused_before_it_is_whole(house: House) -> None:
    await house.shelf.close()
    house.open(Limits(file_bytes=3 << 20))
    sent = 0

    async def far_more() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(16):
            sent += 1 << 20
            yield b"x" * (1 << 20)

    with pytest.raises(PayloadTooLarge, match="3 MiB"):
        await house.shelf.receive(OWNER, far_more())
    assert sent == 4 << 20
    assert house.left() == []


async def test_another_owners_document_is_as_one_that_never_was(house: House) -> None:
    kept = await house.upload()
    talk = await house.store.create(OWNER)
    said = set()
    for owner, id in ((OTHER, kept.id), (OWNER, "0" * 32)):

        async def recognised(owner: str = owner, id: str = id) -> None:
            async for _ in house.shelf.recognise(owner, id):
                pass

        for attempt in (
            house.shelf.get(owner, id),
            house.shelf.document(owner, id),
            house.shelf.diagnosis(owner, id),
            house.shelf.library(owner, [id], 4096),
            house.shelf.delete(owner, id),
            recognised(),
        ):
            with pytest.raises(NotFound) as error:
                await attempt
            said.add((error.value.message, error.value.param))
    assert len(said) == 1
    with pytest.raises(NotFound):
        await house.shelf.library(OTHER, [kept.id], 4096)
    for place in (talk.id, "0" * 32):
        with pytest.raises(NotFound):
            await house.upload(TEXT, "x.txt", OTHER, conversation=place)
        with pytest.raises(NotFound):
            await house.shelf.paste(OTHER, "x", "x.txt", conversation=place)
        with pytest.raises(NotFound):
            await house.shelf.list(OTHER, place)
    assert house.left() == [kept.id]


@pytest.mark.parametrize("moment", ["arriving", "reading", "placing", "placed"])
async def test_a_cancelled_upload_leaves_nothing(
    house: House, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, gate = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def slow() -> AsyncIterator[bytes]:
        yield TEXT * 40_000
        if moment == "arriving":
            reached.set()
            await asyncio.sleep(60)

    if moment in ("placing", "placed"):
        place = house.store.documents._folders.place

        def held(*given: object) -> None:
            if moment == "placed":
                place(*given)  # type: ignore[arg-type]
            loop.call_soon_threadsafe(reached.set)
            gate.wait(10)
            if moment == "placing":
                place(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(house.store.documents._folders, "place", held)

    async def upload() -> None:
        received = await house.shelf.receive(OWNER, slow())
        async for item in house.shelf.upload(OWNER, received, "ship.txt"):
            if moment == "reading" and isinstance(item, Progress) and item.done:
                reached.set()
                await asyncio.sleep(60)

    task = asyncio.create_task(upload())
    async with asyncio.timeout(20):
        await reached.wait()
    assert len(house.left()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await soon(lambda: house.left() == [])
    assert await house.shelf.list(OWNER, None) == ()
    assert house.left() == []
    await soon(lambda: not readers())


async def test_a_stream_that_is_closed_early_leaves_nothing(house: House) -> None:
    received = await house.shelf.receive(OWNER, pieces(TEXT))
    items = house.shelf.upload(OWNER, received, "ship.txt")
    assert isinstance(await anext(items), Progress)
    await items.aclose()
    assert house.left() == []


async def test_what_was_received_and_not_used_goes_with_its_task(house: House) -> None:
    async def visit() -> None:
        path = await house.shelf.receive(OWNER, pieces(TEXT))
        assert path.read_bytes() == TEXT
        raise InvalidRequest("Something else was wrong.")

    with pytest.raises(InvalidRequest):
        await asyncio.create_task(visit())
    await soon(lambda: house.left() == [])


async def test_a_sender_who_breaks_off_leaves_nothing(house: House) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await house.shelf.receive(OWNER, broken())
    assert house.left() == []


@pytest.mark.parametrize("when", ["beginning", "receiving", "finishing", "pasting"])
async def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    house: House, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability line 31: the disk that uploads go to."""
    kept = await house.upload()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        if when == "finishing":
            broken.setattr(os, "fsync", full)
        else:
            broken.setattr(folders, "_new" if when == "beginning" else "_write", full)
        with pytest.raises(StoreError, match="disk with the data folder is full") as error:
            if when == "pasting":
                await house.shelf.paste(OWNER, "some text", "x.txt")
            else:
                await house.upload()
    assert error.value.status == 507
    assert house.left() == [kept.id]
    assert (await house.upload()).pages == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a disk of a few pages")
async def test_a_small_disk_really_full(tmp_path: Path) -> None:
    """reliability line 31, with a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = await asyncio.create_subprocess_exec(
        *("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await made.wait() != 0:
        pytest.skip("no file system can be mounted here")
    try:
        store = await Store.open(disk / "conversations.sqlite3")
        house = House(disk, store)
        with pytest.raises(StoreError, match="is full") as error:
            await house.upload(b"word " * 500_000)
        assert error.value.status == 507
        assert house.left() == []
        assert (await house.upload()).pages == 1
        await house.shelf.close()
        await store.close()
    finally:
        await (await asyncio.create_subprocess_exec("umount", "-l", str(disk))).wait()


async def test_deleting_a_conversation_takes_its_documents_and_what_is_held(house: House) -> None:
    talk = await house.store.create(OWNER)
    one = await house.upload(TEXT, "one.txt", conversation=talk.id)
    await house.shelf.library(OWNER, [one.id], 4096)
    await house.shelf.diagnosis(OWNER, one.id)
    held = house.shelf._texts
    memos = (held._texts, held._diagnoses, held._libraries)
    assert all(memo.cost for memo in memos)
    await house.store.delete(OWNER, talk.id)
    assert house.left() == []
    with pytest.raises(NotFound):
        await house.shelf.document(OWNER, one.id)
    await soon(lambda: not any(memo.cost for memo in memos))


async def test_expired_documents_are_swept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await house.upload()
    await house.shelf.close()
    monkeypatch.setattr(shelf, "SWEEP_SECONDS", 0.02)
    house.open()
    await asyncio.sleep(0.1)
    assert house.left() == [kept.id]
    house.now += 7 * 24 * 3600
    await soon(lambda: house.left() == [])
    with pytest.raises(NotFound):
        await house.shelf.get(OWNER, kept.id)


async def test_there_is_a_limit_of_documents(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_webui.store.documents.MOST_OF_A_CONVERSATION", 2)
    talk = await house.store.create(OWNER)
    for _ in range(2):
        await house.shelf.paste(OWNER, "text", "x.txt", conversation=talk.id)
    reading = counted(monkeypatch, DocumentReader, "read")
    with pytest.raises(InvalidRequest, match="2 documents in this conversation") as error:
        await house.upload(TEXT, "ship.txt", conversation=talk.id)
    assert error.value.code == "too_many_documents"
    assert reading == []
    assert len(house.left()) == 2


async def test_few_uploads_are_under_way_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MOST_OF_OWNER", 2)
    monkeypatch.setattr(intake, "MOST", 3)
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield TEXT
        await gate.wait()

    async def upload(owner: str) -> str:
        received = await house.shelf.receive(owner, slow())
        async with aclosing(house.shelf.upload(owner, received, "ship.txt")) as items:
            return [item async for item in items][-1].id  # type: ignore[union-attr]

    async def refused(owner: str, words: str) -> None:
        sent = counted(monkeypatch, house.store.documents, "begin")
        with pytest.raises(Overloaded, match=words) as error:
            await house.shelf.receive(owner, slow())
        assert (error.value.code, error.value.retry_after) == ("too_many_uploads", 5)
        with pytest.raises(Overloaded):
            await house.shelf.paste(owner, "text", "x.txt")
        assert sent == [], "not a byte is taken"

    tasks = [asyncio.create_task(upload(OWNER)) for _ in range(2)]
    await soon(lambda: len(house.left()) == 2)
    await refused(OWNER, "2 of your documents are on their way")
    tasks.append(asyncio.create_task(upload(OTHER)))
    await soon(lambda: len(house.left()) == 3)
    await refused("c" * 32, "taking in 3 documents")
    # Whatever an upload comes to, its place is free again.
    tasks.pop().cancel()
    gate.set()
    assert len(set(await asyncio.gather(*tasks))) == 2
    with pytest.raises(DocumentError):
        await house.upload(b"", "empty.txt")
    for _ in range(3):
        await house.shelf.paste(OWNER, "text", "x.txt")
    assert not house.shelf._intake._on_their_way


async def test_an_owner_keeps_so_many_bytes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_webui.store.documents.MOST_BYTES", 1 << 20)
    monkeypatch.setattr("qwen_webui.store.documents.MOST_BYTES_WITHOUT", 2 << 20)
    one, two = [(await house.store.create(OWNER)).id for _ in range(2)]
    # A file, and as much text of it.
    file = b"All the ships of the line. " * 15_000
    first = await house.upload(file, "a.txt", conversation=one)
    reading = counted(monkeypatch, DocumentReader, "read")
    with pytest.raises(PayloadTooLarge, match=r"more than 1 MiB.*Delete some") as error:
        await house.upload(file, "b.txt", conversation=two)
    assert (error.value.code, error.value.status) == ("documents_full", 413)
    assert reading == [], "it is not read first"
    # What only its text makes too much is refused when it is read.
    await house.upload(file, "b.txt")
    with pytest.raises(PayloadTooLarge, match="more than 2 MiB"):
        await house.upload(file + file, "c.txt")
    assert len(reading) == 2 and len(house.left()) == 2
    await house.upload(file, "b.txt", OTHER)
    await house.shelf.delete(OWNER, first.id)
    await house.upload(file, "b.txt", conversation=two)


# What is held in memory.


async def test_texts_and_diagnoses_are_read_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await house.upload()
    loads = counted(monkeypatch, texts, "load")
    diagnoses = counted(monkeypatch, texts, "diagnose")
    for _ in range(2):
        await asyncio.gather(
            *(house.shelf.document(OWNER, kept.id) for _ in range(3)),
            *(house.shelf.diagnosis(OWNER, kept.id) for _ in range(3)),
            *(house.shelf.library(OWNER, [kept.id], 4096) for _ in range(3)),
        )
    assert (len(loads), len(diagnoses)) == (1, 1)


async def test_a_library_is_built_once_for_each_tokenizer_and_context(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await house.upload(), await house.upload(b"A second one.", "two.md")
    made: list[tuple[int, bool]] = []
    of = Library.of

    def build(documents: object, count: object, context: int, look: object) -> Library:
        made.append((context, threading.current_thread() is threading.main_thread()))
        return of(documents, count, context, look)  # type: ignore[arg-type]

    monkeypatch.setattr(Library, "of", build)
    ids = [one.id, two.id]
    first, again = await asyncio.gather(*(house.shelf.library(OWNER, ids, 4096) for _ in range(2)))
    assert first is again
    assert [document.name for document in first.documents] == ["ship.txt", "two.md"]
    assert made == [(4096, False)]
    assert await house.shelf.library(OWNER, ids, 4096) is first
    turned = await house.shelf.library(OWNER, [two.id, one.id], 4096)
    assert [document.name for document in turned.documents] == ["two.md", "ship.txt"]
    assert (await house.shelf.library(OWNER, ids, 1024)) is not first
    assert [context for context, _ in made] == [4096, 4096, 1024]

    house.tokenizer = EstimatedTokenizer()
    assert await house.shelf.library(OWNER, ids, 4096) is not first
    assert len(made) == 4
    house.tokenizer = None
    for attempt in (house.shelf.library(OWNER, ids, 4096), house.shelf.diagnosis(OWNER, one.id)):
        with pytest.raises(ModelNotReady):
            await attempt
    assert (await house.shelf.document(OWNER, one.id)).name == "ship.txt"


async def test_a_deletion_while_a_library_is_built_is_not_outlived_by_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await house.upload()
    begun, gate = threading.Event(), threading.Event()
    of = Library.of

    def build(*given: object) -> Library:
        begun.set()
        gate.wait(10)
        return of(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Library, "of", build)
    task = asyncio.create_task(house.shelf.library(OWNER, [kept.id], 4096))
    await soon(begun.is_set)
    await house.shelf.delete(OWNER, kept.id)
    await asyncio.sleep(0.05)
    gate.set()
    with pytest.raises(NotFound):
        await task
    assert house.shelf._texts._libraries.cost == 0


async def test_a_document_is_made_ready_before_it_is_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.context = 4096
    begun, gate = threading.Event(), threading.Event()
    made: list[list[str]] = []
    of = Library.of

    def build(documents: list[Document], *rest: object) -> Library:
        made.append([document.name for document in documents])
        begun.set()
        gate.wait(10)
        return of(documents, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Library, "of", build)
    place = (await house.store.create(OWNER)).id
    ids = [(await house.upload(TEXT, "0.txt", conversation=place)).id]
    await soon(begun.is_set)
    # It is read on while the index is built, and of what follows only the last wish is kept.
    ids += [(await house.upload(TEXT, f"{n}.txt", conversation=place)).id for n in (1, 2)]
    asking = asyncio.create_task(house.shelf.library(OWNER, ids, 4096))
    gate.set()
    library = await asking
    await soon(lambda: not house.shelf._ahead._tasks)
    assert made == [["0.txt"], ["0.txt", "1.txt", "2.txt"]]
    assert await house.shelf.library(OWNER, ids, 4096) is library
    alone = await house.upload(TEXT, "alone.txt")
    await soon(lambda: made[-1] == ["alone.txt"])
    await house.shelf.library(OWNER, [alone.id], 4096)
    assert len(made) == 3


async def test_what_is_made_ready_ends_with_its_document_and_with_the_program(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.context = 4096
    looked, ended = threading.Event(), threading.Event()

    def endless(documents: object, count: object, context: int, look: Callable[[], None]) -> None:
        with contextlib.suppress(NotFound):
            while not ended.is_set():
                look()
                looked.set()
            return
        ended.set()
        raise NotFound("Gone.")

    monkeypatch.setattr(Library, "of", endless)
    for ending in ("deleted", "closed"):
        kept = await house.upload()
        await soon(looked.is_set)
        if ending == "deleted":
            await house.shelf.delete(OWNER, kept.id)
        else:
            await house.shelf.close()
        await soon(ended.is_set)
        await soon(lambda: not house.shelf._ahead._tasks)
        looked.clear()
        ended.clear()


async def test_too_much_for_one_question_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "ASKED_CHARACTERS", 250)
    one, two = await house.upload(), await house.upload(b"A second one.", "two.md")
    await house.shelf.library(OWNER, [one.id], 4096)
    with pytest.raises(InvalidRequest, match="more than 250 characters") as error:
        await house.shelf.library(OWNER, [one.id, two.id], 4096)
    assert error.value.code == "documents_too_large"


async def test_a_memo_keeps_what_was_used_last_within_its_bound() -> None:
    made: list[str] = []
    kept = memo.Memo[str, str](10, len)

    async def get(key: str) -> str:
        async def make() -> str:
            made.append(key)
            return key * 4

        return await kept.get(key, make)

    for key in "abaca":
        assert await get(key) == key * 4
    assert made == ["a", "b", "c"]
    assert await get("b") == "bbbb"
    assert made == ["a", "b", "c", "b"]
    assert kept.cost == 8
    await kept.close()
    assert kept.cost == 0


async def test_an_error_and_a_lost_asker_spoil_no_memo() -> None:
    kept = memo.Memo[str, str](10, len)
    gate = asyncio.Event()
    tries = 0

    async def make() -> str:
        nonlocal tries
        tries += 1
        await gate.wait()
        if tries == 1:
            raise InvalidRequest("not now")
        return "made"

    lost = asyncio.create_task(kept.get("key", make))
    stays = asyncio.create_task(kept.get("key", make))
    await asyncio.sleep(0)
    lost.cancel()
    gate.set()
    with pytest.raises(InvalidRequest):
        await stays
    gate.clear()
    lost = asyncio.create_task(kept.get("key", make))
    await asyncio.sleep(0)
    lost.cancel()
    gate.set()
    assert await kept.get("key", make) == "made"
    assert tries == 2


# OCR.


class FakeOcr:
    """In place of Tesseract: the reading of pages is tested in test_ocr.py."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Ocr) -> None:
        async def find() -> Ocr:
            return found

        monkeypatch.setattr(shelf, "find_ocr", find)
        monkeypatch.setattr(DocumentReader, "recognise", self.recognise)
        self.gate = asyncio.Event()
        self.asked: list[tuple[bytes, str, tuple[int, ...]]] = []
        self.error: DocumentError | None = None

    async def recognise(
        self, path: Path, document: Document, languages: str, numbers: tuple[int, ...] = ()
    ) -> AsyncIterator[Progress | Document]:
        self.asked.append((path.read_bytes()[:5], languages, numbers))
        yield Progress("recognising", 0, 1, "pages")
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        page = Page(2, "What the picture says.", state="recognised")
        yield dataclasses.replace(document, pages=(document.pages[0], page))


SCAN = making.scanned(["A line."], "A page of text.")


async def test_ocr_replaces_the_text(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOcr(monkeypatch, Ocr(True, ("eng", "chi_sim")))
    kept = await house.upload(SCAN, "scan.pdf")
    assert kept.to_recognise == (2,)
    before = await house.shelf.library(OWNER, [kept.id], 4096)
    assert (await house.shelf.diagnosis(OWNER, kept.id)).unread == (2,)
    steps = house.shelf.recognise(OWNER, kept.id)
    assert await anext(steps) == Progress("recognising", 0, 1, "pages")
    assert fake.asked == [(b"%PDF-", "chi_sim+eng", (2,))]
    with pytest.raises(Conflict):
        await anext(house.shelf.recognise(OWNER, kept.id))
    assert (await house.shelf.document(OWNER, kept.id)).pages[1].text == ""
    fake.gate.set()
    (changed,) = [step async for step in steps]
    assert changed == dataclasses.replace(kept, to_recognise=(), revision=1)
    assert house.shelf._texts._libraries.cost == 0
    assert await house.shelf.get(OWNER, kept.id) == changed
    document = await house.shelf.document(OWNER, kept.id)
    assert document.pages[1].text == "What the picture says."
    assert (await house.shelf.diagnosis(OWNER, kept.id)).unread == ()
    after = await house.shelf.library(OWNER, [kept.id], 4096)
    assert [len(library.parts[-1].texts) for library in (before, after)] == [1, 2]
    assert [step async for step in house.shelf.recognise(OWNER, kept.id)] == [changed]
    assert len(fake.asked) == 1


async def test_ocr_that_fails_or_is_closed_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOcr(monkeypatch, Ocr(True, ("eng",)))
    kept = await house.upload(SCAN, "scan.pdf")
    steps = house.shelf.recognise(OWNER, kept.id)
    await anext(steps)
    await steps.aclose()
    fake.error = DocumentError("It could not be read.")
    fake.gate.set()
    with pytest.raises(DocumentError, match="could not be read"):
        async for _ in house.shelf.recognise(OWNER, kept.id):
            pass
    assert await house.shelf.get(OWNER, kept.id) == kept
    assert (await house.shelf.document(OWNER, kept.id)).pages[1].text == ""
    fake.gate.clear()
    steps = house.shelf.recognise(OWNER, kept.id)
    await anext(steps)
    await house.shelf.delete(OWNER, kept.id)
    fake.gate.set()
    with pytest.raises(NotFound):
        async for _ in steps:
            pass
    assert house.left() == []


async def test_without_tesseract_what_to_install_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeOcr(monkeypatch, Ocr(False, (), "apt install tesseract-ocr"))
    kept = await house.upload(SCAN, "scan.pdf")
    with pytest.raises(DocumentError, match=r"apt install tesseract-ocr\)") as error:
        await anext(house.shelf.recognise(OWNER, kept.id))
    assert error.value.code == "ocr_missing"
    assert await house.shelf.ocr() == Ocr(False, (), "apt install tesseract-ocr")


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    yield
    assert not readers(), "the reading process ends with its reader"
