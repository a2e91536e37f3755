"""Files to documents, seen from the web process: starts the reading process and watches it.

Holds the limits of time and amount and kills what exceeds them; what the file is and says is the
other process's business. A reader that nobody listens to any more ends its process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from qwen_webui.documents.values import Document, Kind, Limits, Page, Unit
from qwen_webui.documents.wire import (
    Beat,
    Ended,
    Job,
    Opened,
    PageRead,
    Refused,
    Report,
    report_of,
)
from qwen_webui.errors import DocumentError, UnsupportedDocument
from qwen_webui.types import Progress

MODULE = "qwen_webui.documents.reading"
# Libraries that compute in threads of their own reserve memory for each processor.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}
_KEPT = ("PATH", "LANG", "LC_ALL", "TESSDATA_PREFIX", "SYSTEMROOT", "LD_LIBRARY_PATH")

log = logging.getLogger(__name__)


_USUAL = Limits()


class DocumentReader:
    """Reads files, at most `at_once` at a time; more wait their turn."""

    def __init__(self, limits: Limits = _USUAL, *, at_once: int = 2) -> None:
        self.limits = limits
        self._turns = asyncio.Semaphore(at_once)

    async def read(self, path: Path, name: str) -> AsyncGenerator[Progress | Document, None]:
        """Progress in pages (total 0: not known), then the Document of the file at `path`.

        Raises UnsupportedDocument for a file of the wrong kind and DocumentError for one that is
        damaged, encrypted, empty, too large or too slow. To close the stream ends the process.
        """
        _check_size(path, self.limits)
        pages: list[Page] = []
        opened, ended = Opened("text", 0), Ended("part", "")
        job = Job(str(path.resolve()), name, self.limits)
        async with self._turns, aclosing(_run(job, self.limits.stall_seconds)) as reports:
            yield Progress("reading", 0, 0, "pages")
            async for report in reports:
                if isinstance(report, Opened):
                    opened = report
                elif isinstance(report, PageRead):
                    pages.append(report.page)
                    yield Progress("reading", len(pages), opened.total, "pages")
                elif isinstance(report, Ended):
                    ended = report
        yield _document(name, opened.kind, ended.unit, pages, ended.title, opened.locked)

    async def recognise(
        self, path: Path, document: Document, languages: str, numbers: tuple[int, ...] = ()
    ) -> AsyncGenerator[Progress | Document, None]:
        """Progress in pages, then `document` with the text of its scanned pages (or of those of
        `numbers`) as Tesseract reads it.

        `languages`: Tesseract's names joined with "+" (Ocr.argument); each page is read in the one
        that fits it.
        """
        wanted = numbers or document.to_recognise
        if not wanted:
            yield document
            return
        found: dict[int, Page] = {}
        job = Job(str(path.resolve()), document.name, self.limits, wanted, languages)
        async with (
            self._turns,
            aclosing(_run(job, self.limits.recognise_stall_seconds)) as reports,
        ):
            yield Progress("recognising", 0, len(wanted), "pages")
            async for report in reports:
                if isinstance(report, PageRead):
                    found[report.page.number] = report.page
                    yield Progress("recognising", len(found), len(wanted), "pages")
        pages = tuple(found.get(page.number, page) for page in document.pages)
        yield dataclasses.replace(document, pages=pages)


def _check_size(path: Path, limits: Limits) -> None:
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise DocumentError(
            f"The file has {size / 2**20:,.1f} MiB; at most {limits.file_bytes // 2**20} MiB are "
            "read. Split it into smaller files.",
            code="document_too_large",
        )


def _document(
    name: str, kind: Kind, unit: Unit, pages: list[Page], title: str, locked: bool
) -> Document:
    if not pages:
        raise DocumentError(
            "The file holds no text, no page and no table to read. Choose another file.",
            code="document_empty",
        )
    if all(page.state == "failed" for page in pages):
        raise DocumentError(
            "Not one page of the file could be read: it is damaged. Save it again with the program "
            "that made it, or print it to a new PDF."
        )
    return Document(name, kind, unit, tuple(pages), title, locked)


async def _run(job: Job, stall_seconds: float) -> AsyncGenerator[Report, None]:
    """What the reading process reports, within the limits of time and amount."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", MODULE, str(os.getpid())),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=_environment(),
        limit=job.limits.page_characters * 4 + 65_536,
        start_new_session=True,
    )
    try:
        async for report in _reports(process, job, stall_seconds):
            yield report
    finally:
        # The whole group: Tesseract is a child of the child.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _reports(
    process: Process, job: Job, stall_seconds: float
) -> AsyncGenerator[Report, None]:
    assert process.stdin is not None and process.stdout is not None, "asked for as pipes"
    process.stdin.write(job.line().encode() + b"\n")
    deadline = time.monotonic() + job.limits.seconds
    pages = characters = 0
    while True:
        report = await _next(process.stdout, stall_seconds, deadline)
        if isinstance(report, Refused):
            raise _error_of(report, job)
        if isinstance(report, PageRead):
            pages += 1
            characters += len(report.page.text)
            _check_amount(job.limits, pages, characters, report.page)
        if not isinstance(report, Beat):
            yield report
        if isinstance(report, Ended):
            return


async def _next(stream: asyncio.StreamReader, stall_seconds: float, deadline: float) -> Report:
    left = deadline - time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, min(stall_seconds, left))):
            line = await stream.readline()
    except TimeoutError:
        raise DocumentError(
            "The file could not be read in time: its reader came no further. It may be damaged or "
            "made to keep a reader busy. Save it again, or as another format, or in smaller parts.",
            code="document_timeout",
        ) from None
    except ValueError as error:
        raise _one_page_too_long() from error
    if not line:
        raise DocumentError(
            "The file could not be read: its reader ended early, as one does that needs more "
            "memory or time than is allowed. Split the file, or save it again.",
        )
    try:
        return report_of(line)
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError("The file could not be read: its reader broke.") from error


def _check_amount(limits: Limits, pages: int, characters: int, page: Page) -> None:
    if len(page.text) > limits.page_characters:
        raise _one_page_too_long()
    if pages > limits.pages or characters > limits.characters:
        raise DocumentError(
            f"The file holds more than {limits.pages:,} pages or {limits.characters:,} characters "
            "of text, which is the most that is read. Split it into smaller files.",
            code="document_too_large",
        )


def _one_page_too_long() -> DocumentError:
    return DocumentError(
        "One page of the file holds more text than any page has. Save it in smaller parts.",
        code="document_too_large",
    )


def _error_of(report: Refused, job: Job) -> DocumentError | UnsupportedDocument:
    if report.detail:
        log.warning("the reader of a .%s file ended with %s", job.name[-8:], report.detail)
    if report.code == UnsupportedDocument.code:
        return UnsupportedDocument(report.message)
    return DocumentError(report.message, code=report.code)


def _environment() -> dict[str, str]:
    """No key and no setting of this program goes to a process that hostile files may take over."""
    found = str(Path(__file__).resolve().parents[2])
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_ENVIRONMENT, "PYTHONPATH": found, "PYTHONDONTWRITEBYTECODE": "1"}
