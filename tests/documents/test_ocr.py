"""Scanned pages: what is offered, what is missing, and reading them with Tesseract itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from qwen_webui.documents import ocr
from qwen_webui.documents.ocr import Ocr, find_ocr, find_tesseract, ocr_of
from qwen_webui.documents.reader import DocumentReader
from qwen_webui.documents.values import Document
from qwen_webui.types import Progress
from tests.documents import making
from tests.documents.reading import read

CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
with_tesseract = pytest.mark.skipif(
    find_tesseract() is None, reason="Tesseract (Debian: tesseract-ocr) is not installed"
)
LISTED = "List of available languages in somewhere (3):\nchi_sim\neng\nosd\n"


def test_what_is_there_is_understood() -> None:
    assert ocr_of(LISTED) == Ocr(True, ("eng", "chi_sim"))
    assert ocr_of(LISTED).argument == "chi_sim+eng"
    assert ocr_of("List (1):\neng\n") == Ocr(True, ("eng",), "apt install tesseract-ocr-chi-sim")
    assert ocr_of("List (0):\n").available is False


async def test_without_tesseract_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert await find_ocr() == Ocr(False, (), ocr.INSTALL)
    assert ocr.INSTALL.startswith("apt install tesseract-ocr ")


async def recognised(folder: Path, data: bytes, languages: str) -> tuple[Document, list[Progress]]:
    document = await read(folder, "scan.pdf", data)
    found: list[Progress] = []
    async for item in DocumentReader().recognise(folder / "upload", document, languages):
        if isinstance(item, Document):
            return item, found
        found.append(item)
    raise AssertionError("OCR ends with the document")


@with_tesseract
async def test_a_scanned_page_is_read(tmp_path: Path) -> None:
    data = making.scanned(["The Lorna is a ship.", "It is 48 metres long."], "A page of text.")
    document, progress = await recognised(tmp_path, data, "eng")
    assert [page.state for page in document.pages] == ["ok", "recognised"]
    assert " ".join(document.pages[1].text.split()) == "The Lorna is a ship. It is 48 metres long."
    assert progress == [Progress("recognising", n, 1, "pages") for n in (0, 1)]
    assert document.to_recognise == ()


@with_tesseract
@pytest.mark.skipif(not CJK.is_file(), reason="no Chinese font (Debian: fonts-noto-cjk)")
async def test_a_scanned_chinese_page_is_read(tmp_path: Path) -> None:
    if "chi_sim" not in (await find_ocr()).languages:
        pytest.skip("Tesseract's Chinese (Debian: tesseract-ocr-chi-sim) is not installed")
    data = making.scanned(
        ["青浦博物馆于一九一二年开馆。", "馆长是沈青禾，门票二十元。"], font_path=str(CJK)
    )
    document, _ = await recognised(tmp_path, data, "chi_sim+eng")
    assert "于一九一二年开馆" in document.pages[0].text
    assert "门票二十元" in document.pages[0].text


@with_tesseract
async def test_with_both_languages_english_stays_english(tmp_path: Path) -> None:
    languages = (await find_ocr()).argument
    document, _ = await recognised(tmp_path, making.scanned(["The Lorna is a ship."]), languages)
    assert document.pages[0].text == "The Lorna is a ship."


@with_tesseract
async def test_ocr_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    task = asyncio.create_task(
        recognised(tmp_path, making.scanned(["One line after the other."] * 20), "eng")
    )
    children: list[psutil.Process] = []
    while not any(child.name() == "tesseract" for child in children):
        await asyncio.sleep(0.01)
        assert not task.done(), "cancelled while Tesseract reads"
        children = psutil.Process().children(recursive=True)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive
