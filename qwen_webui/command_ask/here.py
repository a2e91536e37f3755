"""The question asked of a checkpoint that this command loads. No file's text leaves the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from qwen_webui.api.documents.answers import CitationOut, CitationsOut, SourcesOut
from qwen_webui.chat import Analyst, DocumentTurn
from qwen_webui.command_ask.question import FileQuestion
from qwen_webui.command_ask.report import Report
from qwen_webui.command_chat import until_ready
from qwen_webui.documents import Document
from qwen_webui.documents.ocr import find_ocr
from qwen_webui.documents.planning import Library
from qwen_webui.documents.reader import DocumentReader
from qwen_webui.errors import DocumentError, WebUIError
from qwen_webui.models import ModelManager
from qwen_webui.services import Services, close_services, open_services, start_first_load
from qwen_webui.settings import Settings
from qwen_webui.types import (
    ChatTurn,
    Citations,
    Progress,
    Queued,
    Sampling,
    Sources,
    TextDelta,
)

_UNREAD = ("scanned", "garbled", "failed")


class Held:
    """Documents that were read for one question, in place of a shelf. Their ids are places."""

    def __init__(self, documents: Sequence[Document], manager: ModelManager) -> None:
        self._documents = documents
        self._manager = manager

    async def library(self, owner: str, ids: Sequence[str], context: int) -> Library:
        """See chat's Libraries."""
        documents = [self._documents[int(id)] for id in ids]
        count = self._manager.tokenizer().count
        return await asyncio.to_thread(Library.of, documents, count, context)


async def ask_here(settings: Settings, question: FileQuestion, out: TextIO, err: TextIO) -> int:
    """Read the files, load the checkpoint the settings name, answer, and end. Returns the exit
    code."""
    question.check_files()
    services = await open_services(settings)
    try:
        start_first_load(services)
        report = Report(question.files, out, err, as_json=question.as_json)
        documents = [await _named(file, question, report) for file in question.files]
        await until_ready(services, err)
        async with aclosing(_answer(services, question, documents)) as events:
            async for name, data in events:
                report.event(name, data)
        report.end()
        return 0
    finally:
        await close_services(services)


async def _named(file: Path, question: FileQuestion, report: Report) -> Document:
    """See _read; of several files an error says which."""
    try:
        return await _read(file, question, report)
    except WebUIError as error:
        if len(question.files) == 1:
            raise
        message = f"{file.name}: {error.message}"
        raise type(error)(message, code=error.code, param=error.param) from error


async def _read(file: Path, question: FileQuestion, report: Report) -> Document:
    reader = DocumentReader()
    document = await _last(reader.read(file, file.name), file, report)
    if question.ocr and document.to_recognise:
        ocr = await find_ocr()
        if not ocr.available:
            raise DocumentError(
                "Scanned pages are read by Tesseract, which is not installed. Install it "
                f"(`{ocr.install}`), or ask without --ocr.",
                code="ocr_missing",
            )
        document = await _last(reader.recognise(file, document, ocr.argument), file, report)
    unread = [page.number for page in document.pages if page.state in _UNREAD]
    report.unread(file, unread, len(document.pages), document.unit, document.to_recognise)
    return document


async def _last(
    steps: AsyncGenerator[Progress | Document, None], file: Path, report: Report
) -> Document:
    document: Document | None = None
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Document):
                document = step
            else:
                report.reading(file, asdict(step))
    assert document is not None, "what raises nothing ends with the document"
    return document


async def _answer(
    services: Services, question: FileQuestion, documents: Sequence[Document]
) -> AsyncGenerator[tuple[str | None, dict[str, Any]], None]:
    """Its events, as a server sends them."""
    analyst = Analyst(
        services.manager,
        services.personas,
        services.structured,
        services.assistant,
        Held(documents, services.manager),
    )
    sampling = Sampling(
        max_new_tokens=question.max_new_tokens,
        temperature=question.temperature,
        seed=question.seed,
    )
    turn = ChatTurn(question.text, sampling=sampling)
    ids = tuple(map(str, range(len(documents))))
    asked = DocumentTurn(turn, "", ids, question.everything)
    async with aclosing(analyst.answer(asked)) as events:
        async for event in events:
            if isinstance(event, Sources):
                yield "sources", SourcesOut.of(event).model_dump(mode="json")
            elif isinstance(event, Queued):
                yield "queued", asdict(event)
            elif isinstance(event, Progress):
                yield "progress", asdict(event)
            elif isinstance(event, TextDelta):
                yield None, {"text": event.text}
            elif isinstance(event, Citations):
                items = tuple(CitationOut.of(item, ids) for item in event.items)
                yield "citations", CitationsOut(citations=items).model_dump(mode="json")
