"""What was read of documents, held in memory for the next question: texts, counts, indexes.

Bounded, made in threads, once each. Whose a document is was asked before: here everybody may.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from qwen_webui.documents.diagnosis import Diagnosis, diagnose
from qwen_webui.documents.memo import Memo
from qwen_webui.documents.planning import Library
from qwen_webui.documents.saving import load
from qwen_webui.documents.values import Document
from qwen_webui.errors import InvalidRequest
from qwen_webui.store import StoredDocument
from qwen_webui.store.documents import Documents
from qwen_webui.store.folders import missing
from qwen_webui.tokens import ChatTokenizer

T = TypeVar("T")

# Characters of documents in memory at a time: of those that are looked at, and of those that are
# ready to be searched.
KEPT_CHARACTERS = 20_000_000
KEPT_PAGES = 200_000
# Characters of the documents of one question.
ASKED_CHARACTERS = 20_000_000
_PAGE_CHARACTERS = 100
_AT_ONCE = 2

# Which text of a document: OCR gives it another one.
_Version = tuple[str, int]


class Texts:
    """Documents, diagnoses and libraries of a store's documents."""

    def __init__(self, documents: Documents, tokenizer: Callable[[], ChatTokenizer]) -> None:
        """`tokenizer` gives the present one or raises ModelNotReady."""
        self._documents = documents
        self._tokenizer = tokenizer
        self._counted_by: ChatTokenizer | None = None
        self._texts = Memo[_Version, Document](KEPT_CHARACTERS, _characters)
        self._diagnoses = Memo[_Version, Diagnosis](KEPT_PAGES, lambda found: len(found.pages))
        self._libraries = Memo[tuple[tuple[_Version, ...], int], Library](
            KEPT_CHARACTERS, lambda library: sum(map(_characters, library.documents))
        )
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._building: dict[threading.Event, frozenset[str]] = {}

    async def document(self, kept: StoredDocument) -> Document:
        """Its text. Raises NotFound when it was deleted meanwhile."""

        async def make() -> Document:
            return await asyncio.to_thread(load, await self._documents.text(kept))

        return await self._texts.get(_version(kept), make)

    async def diagnosis(self, kept: StoredDocument) -> Diagnosis:
        """It, page by page. Raises NotFound and ModelNotReady."""
        tokenizer = self._present_tokenizer()

        async def make() -> Diagnosis:
            document = await self.document(kept)
            return await self._in_turn(lambda: diagnose(document, tokenizer.count))

        return await self._diagnoses.get(_version(kept), make)

    async def library(self, kept: Sequence[StoredDocument], context: int) -> Library:
        """All in that order, ready to be searched. Raises NotFound, ModelNotReady, and
        InvalidRequest for more text than can be asked at once."""
        tokenizer = self._present_tokenizer()

        async def make() -> Library:
            stop = threading.Event()
            self._building[stop] = frozenset(one.id for one in kept)
            try:
                documents = await self._asked(kept)
                return await self._in_turn(
                    lambda: Library.of(documents, tokenizer.count, context, _until(stop))
                )
            finally:
                del self._building[stop]

        return await self._libraries.get((tuple(map(_version, kept)), context), make)

    def forget(self, ids: Sequence[str]) -> None:
        """Drop everything of these documents, and end what is made of them: NotFound to whoever
        waits for it."""
        gone = set(ids)
        for stop, documents in self._building.items():
            if documents & gone:
                stop.set()
        self._texts.forget(lambda version: version[0] in gone)
        self._diagnoses.forget(lambda version: version[0] in gone)
        self._libraries.forget(lambda key: any(version[0] in gone for version in key[0]))

    async def close(self) -> None:
        """Drop everything, and make nothing any more."""
        for stop in self._building:
            stop.set()
        await self._libraries.close()
        await self._diagnoses.close()
        await self._texts.close()

    async def _asked(self, kept: Sequence[StoredDocument]) -> list[Document]:
        documents: list[Document] = []
        characters = 0
        for one in kept:
            documents.append(await self.document(one))
            characters += _characters(documents[-1])
            if characters > ASKED_CHARACTERS:
                raise InvalidRequest(
                    f"The documents together have more than {ASKED_CHARACTERS:,} characters, "
                    "which is the most for one question. Ask fewer of them at a time.",
                    code="documents_too_large",
                )
        return documents

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """In a thread, with few beside it: they share the processor with whoever answers."""
        async with self._turns:
            return await asyncio.to_thread(work)

    def _present_tokenizer(self) -> ChatTokenizer:
        """The present one; what another has counted is dropped. Nothing may wait between this and
        the memo, or what one tokenizer counted would be kept under the next."""
        tokenizer = self._tokenizer()
        if tokenizer is not self._counted_by:
            self._diagnoses.forget(lambda _: True)
            self._libraries.forget(lambda _: True)
            self._counted_by = tokenizer
        return tokenizer


def _until(stop: threading.Event) -> Callable[[], None]:
    """What ends the work of a thread once `stop` is set."""

    def look() -> None:
        if stop.is_set():
            raise missing()

    return look


def _version(kept: StoredDocument) -> _Version:
    return kept.id, kept.revision


def _characters(document: Document) -> int:
    """Of its text, and a little for a page, which takes room without text too."""
    return sum(len(page.text) + _PAGE_CHARACTERS for page in document.pages)
