"""Hostile files end in a sentence within 10 s, and the process that asked does not grow."""

from __future__ import annotations

import gc
import socket
import time
from pathlib import Path

import psutil
import pytest

from qwen_webui.documents.reader import DocumentReader
from qwen_webui.documents.values import Document, Limits
from qwen_webui.errors import DocumentError, InvalidRequest, UnsupportedDocument
from tests.documents import hostile
from tests.documents.reading import read

SECONDS = 10


async def refusal(folder: Path, made: hostile.Made) -> InvalidRequest | None:
    """The error that reading ends in, or None; held to the time and to no child left."""
    name, data = made
    before = time.monotonic()
    found: InvalidRequest | None = None
    try:
        await read(folder, name, data)
    except InvalidRequest as error:
        found = error
    assert time.monotonic() - before < SECONDS, name
    assert not psutil.Process().children(), "the reading process is gone"
    return found


@pytest.mark.parametrize("what", hostile.refused())
async def test_hostile_files_are_refused(what: str, tmp_path: Path) -> None:
    error = await refusal(tmp_path, hostile.refused()[what]())
    assert isinstance(error, DocumentError), what
    assert error.status == 422
    assert len(error.message) > 40 and error.message.endswith(".")
    assert str(tmp_path) not in error.message


@pytest.mark.parametrize("what", hostile.lying())
async def test_lying_extensions_are_refused(what: str, tmp_path: Path) -> None:
    error = await refusal(tmp_path, hostile.lying()[what])
    assert isinstance(error, UnsupportedDocument), what
    assert (error.status, error.code) == (415, "unsupported_document")


@pytest.mark.parametrize("what", hostile.survivable())
async def test_strange_files_hurt_nobody(what: str, tmp_path: Path) -> None:
    await refusal(tmp_path, hostile.survivable()[what]())


@pytest.mark.parametrize(
    "extension",
    ["pdf", "docx", "pptx", "xlsx", "txt", "md", "html", "csv", "json", "jsonl", "py", "xml", "qq"],
)
async def test_noise_under_every_extension(extension: str, tmp_path: Path) -> None:
    assert await refusal(tmp_path, hostile.noise(extension)) is not None


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("document_encrypted", "encrypted"),
        ("document_encrypted", "encrypted, old"),
        ("document_empty", "zero bytes"),
        ("document_too_large", "million pages"),
        ("document_too_large", "docx bomb"),
        ("document_unreadable", "docx entities"),
    ],
)
async def test_the_code_says_what_was_wrong(code: str, what: str, tmp_path: Path) -> None:
    error = await refusal(tmp_path, hostile.refused()[what]())
    assert error is not None and error.code == code


@pytest.mark.slow
async def test_this_process_does_not_grow(tmp_path: Path) -> None:
    bombs = [hostile.zip_bomb("bomb.docx", "word/document.xml"), hostile.flate_bomb()]
    for made in bombs:
        await refusal(tmp_path, made)
    gc.collect()
    before = psutil.Process().memory_info().rss
    for made in bombs * 2:
        await refusal(tmp_path, made)
    gc.collect()
    assert psutil.Process().memory_info().rss - before < 16 * 2**20


async def test_nothing_asks_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        address = f"http://127.0.0.1:{port}/x"
        page = (
            f'<base href="{address}"><link rel=stylesheet href="{address}">'
            f'<img src="{address}"><iframe src="{address}"></iframe><p>A text that is read.</p>'
        )
        document = await read(tmp_path, "page.html", page.encode())
        assert isinstance(document, Document)
        assert document.pages[0].text == "A text that is read."
        with pytest.raises(TimeoutError):
            server.accept()


async def test_a_reader_that_stalls_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("A text.")
    reader = DocumentReader(Limits(stall_seconds=0.001))
    with pytest.raises(DocumentError) as caught:
        async for _ in reader.read(path, "a.txt"):
            pass
    assert caught.value.code == "document_timeout"
    assert not psutil.Process().children()
