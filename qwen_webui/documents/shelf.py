"""The documents of every owner, taken in, looked at, asked and deleted: services.documents.

Files are read in the reading process. Rows and files are the store's, what is held in memory is
texts.py's, and what is asked of a model is chat's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from qwen_webui.documents.ahead import Ahead
from qwen_webui.documents.diagnosis import Diagnosis
from qwen_webui.documents.intake import Intake, shown_name
from qwen_webui.documents.ocr import Ocr, find_ocr
from qwen_webui.documents.planning import Library
from qwen_webui.documents.reader import DocumentReader
from qwen_webui.documents.saving import dump, pasted
from qwen_webui.documents.texts import Texts
from qwen_webui.documents.values import Document
from qwen_webui.errors import (
    Conflict,
    DocumentError,
    InvalidRequest,
    PayloadTooLarge,
    StoreError,
)
from qwen_webui.store import Store, StoredDocument
from qwen_webui.store.folders import Incoming
from qwen_webui.tokens import ChatTokenizer
from qwen_webui.types import Progress

EXPIRES_SECONDS = 7 * 24 * 3600
SWEEP_SECONDS = 600
log = logging.getLogger(__name__)


class Shelf:
    """Documents by owner and id. Another owner's id is NotFound as one that never was."""

    def __init__(
        self,
        store: Store,
        tokenizer: Callable[[], ChatTokenizer],
        clock: Callable[[], float] = time.time,
        reader: DocumentReader | None = None,
        context: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`tokenizer` gives the present one or raises ModelNotReady; `context` is that of the
        loaded checkpoint, for which documents are made ready to be asked, None for none. Needs a
        running loop."""
        self._documents = store.documents
        self._clock = clock
        self._reader = reader or DocumentReader()
        self._intake = Intake(store.documents, self._reader.limits.file_bytes)
        self._texts = Texts(store.documents, tokenizer)
        self._context = context
        self._ahead = Ahead()
        self._recognising: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._documents.watch(self._deleted)
        self._sweeping = asyncio.create_task(self._sweep(), name="documents-sweep")

    async def close(self) -> None:
        """Stop sweeping, drop what is kept and what is on its way. Closing twice is harmless."""
        self._closed = True
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._intake.close()
        await self._ahead.close()
        await self._texts.close()

    async def receive(self, owner: str, chunks: AsyncIterator[bytes]) -> Path:
        """Write a file to the disk as it comes; give it to `upload` within the same task, or it is
        deleted when that ends. Raises PayloadTooLarge, StoreError for a full disk, and Overloaded
        while too many are on their way."""
        return await self._intake.receive(owner, chunks)

    async def upload(
        self, owner: str, received: Path, name: str, *, conversation: str | None = None
    ) -> AsyncGenerator[Progress | StoredDocument, None]:
        """Read what was received and keep it: Progress in pages, then the document, once, last.

        On any failure, and when the stream is closed before, nothing is left. Raises NotFound for
        a conversation that is not the owner's, InvalidRequest (too_many_documents),
        PayloadTooLarge (documents_full), what DocumentReader.read raises, and StoreError.
        """
        incoming = self._intake.take(received)
        try:
            shown = shown_name(name)
            await self._documents.check_room(owner, conversation, incoming.size)
            document: Document | None = None
            async with aclosing(self._reader.read(received, shown)) as items:
                async for item in items:
                    if isinstance(item, Document):
                        document = item
                    else:
                        yield item
            assert document is not None, "reading ends with a document or an error"
            kept = await self._keep(owner, incoming, document, conversation)
        except BaseException:
            await self._intake.discard(incoming)
            raise
        yield kept

    async def paste(
        self, owner: str, text: str, name: str, *, conversation: str | None = None
    ) -> StoredDocument:
        """Keep a text as a document without a file. Raises as `upload` does."""
        shown = shown_name(name)
        most = self._reader.limits.characters
        if len(text) > most:
            raise PayloadTooLarge(
                f"The text has {len(text):,} characters; {most:,} are the most that is read. "
                "Paste it in smaller parts."
            )
        await self._documents.check_room(owner, conversation, len(text))
        document = await asyncio.to_thread(pasted, text, shown)
        if not document.pages:
            raise DocumentError(
                "The text is empty. Paste at least one word.", code="document_empty"
            )
        incoming = await self._intake.begin(owner)
        try:
            return await self._keep(owner, incoming, document, conversation, text)
        except BaseException:
            await self._intake.discard(incoming)
            raise

    async def list(self, owner: str, conversation: str | None) -> tuple[StoredDocument, ...]:
        """Those of a conversation, or those without one, oldest first. Raises NotFound."""
        return await self._documents.list(owner, conversation)

    async def get(self, owner: str, id: str) -> StoredDocument:
        """What is known of one. Raises NotFound."""
        return await self._documents.get(owner, id)

    async def document(self, owner: str, id: str) -> Document:
        """One with its text. Raises NotFound."""
        return await self._texts.document(await self.get(owner, id))

    async def diagnosis(self, owner: str, id: str) -> Diagnosis:
        """One, page by page. Raises NotFound, and ModelNotReady while nothing counts tokens."""
        return await self._texts.diagnosis(await self.get(owner, id))

    async def library(self, owner: str, ids: Sequence[str], context: int) -> Library:
        """Documents in that order, ready to be searched by a checkpoint of that context.

        Raises NotFound, ModelNotReady while nothing counts tokens, and InvalidRequest for more
        text than can be asked at once.
        """
        kept = [await self.get(owner, id) for id in ids]
        return await self._texts.library(kept, context)

    async def delete(self, owner: str, id: str) -> None:
        """Delete one with its files for good. Raises NotFound."""
        await self._documents.delete(owner, id)

    async def ocr(self) -> Ocr:
        """Whether scanned pages can be read here, and what to install if not."""
        return await find_ocr()

    async def recognise(
        self, owner: str, id: str
    ) -> AsyncGenerator[Progress | StoredDocument, None]:
        """Read the pages that only OCR can: Progress in pages, then the document, once, last.

        Until then the text is the old one. Raises NotFound, DocumentError (ocr_missing) when
        Tesseract is not there, and Conflict while the same is done already.
        """
        kept = await self.get(owner, id)
        if not kept.to_recognise:
            yield kept
            return
        ocr = await self.ocr()
        if not ocr.available:
            raise DocumentError(
                "Scanned pages are read by Tesseract, which is not installed on the server. "
                f"Install it ({ocr.install}) and try again.",
                code="ocr_missing",
            )
        if id in self._recognising:
            raise Conflict("The pages are being read by OCR already. Wait for the end.", param="id")
        self._recognising.add(id)
        try:
            async with aclosing(self._recognised(owner, kept, ocr.argument)) as items:
                async for item in items:
                    yield item
        finally:
            self._recognising.discard(id)

    async def _recognised(
        self, owner: str, kept: StoredDocument, languages: str
    ) -> AsyncGenerator[Progress | StoredDocument, None]:
        document = await self._texts.document(kept)
        original = self._documents.original(kept)
        try:
            reading = self._reader.recognise(original, document, languages, kept.to_recognise)
            async with aclosing(reading) as items:
                async for item in items:
                    if isinstance(item, Document):
                        document = item
                    else:
                        yield item
        except DocumentError:
            await self.get(owner, kept.id)  # NotFound if that is why it could not be read
            raise
        text = await asyncio.to_thread(dump, document)
        changed = await self._documents.replace_text(owner, kept, text, document.to_recognise)
        self._texts.forget([kept.id])
        self._make_ready(owner, changed)
        yield changed

    async def _keep(
        self,
        owner: str,
        incoming: Incoming,
        document: Document,
        conversation: str | None,
        text: str | None = None,
    ) -> StoredDocument:
        """Finish `incoming` and put it in place; `text` is what was pasted, if it was."""
        fresh = StoredDocument(
            id="",
            name=document.name,
            kind=document.kind,
            unit=document.unit,
            pages=len(document.pages),
            bytes=incoming.size if text is None else len(text.encode("utf-8", "replace")),
            created=self._clock(),
            conversation=conversation,
            expires=None if conversation else self._clock() + EXPIRES_SECONDS,
            to_recognise=document.to_recognise,
            original=text is None,
        )
        await asyncio.to_thread(lambda: incoming.finish(dump(document), original=fresh.original))
        adding = asyncio.create_task(self._documents.add(owner, fresh, incoming))
        try:
            kept = await asyncio.shield(adding)
        except asyncio.CancelledError:
            self._intake.later(self._taken_back(owner, adding))
            raise
        # Nothing may wait from here on: a cancelled upload would leave the document there.
        self._intake.placed(incoming)
        self._make_ready(owner, kept)
        return kept

    def _make_ready(self, owner: str, kept: StoredDocument) -> None:
        """What the first question will ask: the documents of the conversation together, in the
        order in which they are listed."""

        async def library() -> None:
            context, place = self._context(), kept.conversation
            if context is not None:
                asked = await self.list(owner, place) if place is not None else (kept,)
                await self._texts.library(asked, context)

        self._ahead.want(kept.conversation or kept.id, library)

    async def _taken_back(self, owner: str, adding: asyncio.Task[StoredDocument]) -> None:
        """Who uploaded it went away while it was put in place."""
        try:
            await self._documents.delete(owner, (await adding).id)
        except (InvalidRequest, StoreError) as error:
            log.warning("a cancelled upload: %s", error.message)

    def _deleted(self, ids: Sequence[str]) -> None:
        if not self._closed:
            self._loop.call_soon_threadsafe(self._texts.forget, ids)

    async def _sweep(self) -> None:
        while True:
            try:
                await self._documents.sweep()
            except StoreError as error:
                log.warning("expired documents could not be deleted: %s", error.message)
            await asyncio.sleep(SWEEP_SECONDS)
