"""Routes of the page under /ui/documents: taken in with progress, listed, looked at, deleted.

A file is the body of its request, and what comes of it a line of JSON each, the last one with the
document or with what is wrong with it. Documents are the shelf's; its looks are upload_view.py's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from qwen_webui.chat.assistant import RESERVE
from qwen_webui.documents.diagnosis import Diagnosis, diagnose
from qwen_webui.errors import InvalidRequest, ModelNotReady, NotFound, WebUIError
from qwen_webui.services import Services
from qwen_webui.store import StoredDocument
from qwen_webui.types import Progress
from qwen_webui.ui import upload_view
from qwen_webui.ui.json_wire import UNSTORED, sent_values
from qwen_webui.ui.page_view import page_view
from qwen_webui.ui.texts import AllTexts, Texts
from qwen_webui.ui.upload_view import Json
from qwen_webui.ui.visitor import language_of, owner_of

log = logging.getLogger(__name__)

# A proxy gives up on an answer that is silent for a minute; a page under OCR may take as long.
BEAT_SECONDS = 15.0
# Tokens around a text in a question: who answers, the question, what marks the pages.
_AROUND = 400
_PASTED_WORDS = 6
_PASTED_CHARACTERS = 60


def upload_routes(services: Services, texts: AllTexts) -> APIRouter:
    """The router of this file."""
    router = APIRouter(prefix="/ui/documents", include_in_schema=False)
    desk = _Desk(services, texts)
    _add_taking_in(router, desk)
    _add_looking(router, desk)
    return router


@dataclass(frozen=True)
class _Desk:
    services: Services
    texts: AllTexts
    making: set[asyncio.Task[None]] = field(default_factory=set)

    def t(self, request: Request) -> Texts:
        return self.texts[language_of(request)]


def _add_taking_in(router: APIRouter, desk: _Desk) -> None:
    shelf = desk.services.documents

    @router.post("")
    async def upload(request: Request) -> Response:
        t = desk.t(request)
        try:
            owner, place = owner_of(request), request.query_params.get("conversation")
            received = await shelf.receive(owner, _body(request))
        except ClientDisconnect:
            return Response(status_code=400)
        except WebUIError as error:
            return _refused(error, t)
        name = request.query_params.get("name", "")
        target = _Target(desk.services, owner, place)

        async def steps() -> AsyncGenerator[Json, None]:
            async with target as conversation:
                reading = shelf.upload(owner, received, name, conversation=conversation)
                async with aclosing(reading) as items:
                    async for item in items:
                        yield _told(item, t)

        return _lines(steps(), t, desk)

    @router.post("/paste")
    async def paste(request: Request) -> Response:
        t = desk.t(request)
        try:
            sent = await sent_values(request)
            text, place = sent.get("text"), sent.get("conversation")
            if not isinstance(text, str) or not isinstance(place, str | None):
                raise InvalidRequest("The page is out of date. Reload it.", param="text")
            owner = owner_of(request)
            name = pasted_name(text, t)
            async with _Target(desk.services, owner, place) as conversation:
                kept = await shelf.paste(owner, text, name, conversation=conversation)
        except WebUIError as error:
            return _refused(error, t)
        return JSONResponse(_told(kept, t), headers=UNSTORED)

    @router.post("/{id}/recognise")
    async def recognise(id: str, request: Request) -> Response:
        t = desk.t(request)
        try:
            owner = owner_of(request)
            await shelf.get(owner, id)
        except WebUIError as error:
            return _refused(error, t)

        async def steps() -> AsyncGenerator[Json, None]:
            async with aclosing(shelf.recognise(owner, id)) as items:
                async for item in items:
                    yield _told(item, t)

        return _lines(steps(), t, desk)


def _add_looking(router: APIRouter, desk: _Desk) -> None:
    shelf = desk.services.documents

    @router.get("")
    async def listed(request: Request) -> Response:
        t = desk.t(request)
        try:
            place = request.query_params.get("conversation") or None
            found = await shelf.list(owner_of(request), place)
        except WebUIError as error:
            return _refused(error, t)
        chips = [upload_view.chip(document, t) for document in found]
        return JSONResponse({"documents": chips}, headers=UNSTORED)

    @router.delete("/{id}")
    async def delete(id: str, request: Request) -> Response:
        try:
            await shelf.delete(owner_of(request), id)
        except WebUIError as error:
            return _refused(error, desk.t(request))
        return Response(status_code=204, headers=UNSTORED)

    @router.get("/{id}/diagnosis")
    async def diagnosis(id: str, request: Request) -> Response:
        t = desk.t(request)
        try:
            html = await _diagnosis(desk.services, owner_of(request), id, t)
        except WebUIError as error:
            return _refused(error, t)
        return HTMLResponse(html, headers=UNSTORED)

    @router.get("/{id}/pages/{number}")
    async def page(id: str, number: int, request: Request) -> Response:
        t = desk.t(request)
        try:
            document = await shelf.document(owner_of(request), id)
            if document.page(number) is None:
                raise NotFound("The document has no such page.", param="page")
        except WebUIError as error:
            return _refused(error, t)
        return HTMLResponse(page_view(document, number, (), t), headers=UNSTORED)


class _Target:
    """Where a document goes: a conversation; "" a new one; None none. To be entered; what was
    begun for a document that fails is taken back."""

    def __init__(self, services: Services, owner: str, place: str | None) -> None:
        self._store, self._shelf = services.store, services.documents
        self._owner, self._place = owner, place
        self._begun = ""

    async def __aenter__(self) -> str | None:
        if self._place != "":
            return self._place
        self._begun = (await self._store.create(self._owner)).id
        return self._begun

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._begun:
            await asyncio.shield(self._take_back())

    async def _take_back(self) -> None:
        with suppress(NotFound):
            found = await self._store.get(self._owner, self._begun)
            if not found.messages and not await self._shelf.list(self._owner, self._begun):
                await self._store.delete(self._owner, self._begun)


def pasted_name(text: str, t: Texts) -> str:
    """What a pasted text is called: that it was pasted, and how it begins."""
    begins = " ".join(text[:1_000].split()[:_PASTED_WORDS])[:_PASTED_CHARACTERS].strip()
    return t("documents.pasted", begins=begins.replace("/", " ").replace("\\", " "))


async def _diagnosis(services: Services, owner: str, id: str, t: Texts) -> str:
    shelf = services.documents
    kept = await shelf.get(owner, id)
    context, room = None, None
    found: Diagnosis
    try:
        found = await shelf.diagnosis(owner, id)
        info = services.manager.status().info
        if info is not None:
            context = info.max_context
            room = context - min(RESERVE, context // 4) - min(_AROUND, context // 4)
    except ModelNotReady:
        document = await shelf.document(owner, id)
        found = await asyncio.to_thread(diagnose, document, len)
    ocr = await shelf.ocr()
    return upload_view.diagnosis_html(kept, found, room=room, context=context, ocr=ocr, t=t)


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk


def _told(item: Progress | StoredDocument, t: Texts) -> Json:
    if isinstance(item, Progress):
        return upload_view.step(item, t)
    return {"document": upload_view.chip(item, t), "conversation": item.conversation or ""}


def _refused(error: WebUIError, t: Texts) -> Response:
    told = upload_view.refusal(error, t)
    return JSONResponse({"error": told}, status_code=error.status, headers=UNSTORED)


def _lines(steps: AsyncGenerator[Json, None], t: Texts, desk: _Desk) -> Response:
    headers = {**UNSTORED, "x-accel-buffering": "no"}
    lines = _Lines(steps, t, desk.making).written()
    return StreamingResponse(lines, headers=headers, media_type="application/x-ndjson")


class _Lines:
    """Steps as lines. They are made in a task of their own: a page that goes away cancels the
    response at whatever it waits for, and a child process must be ended in order all the same."""

    def __init__(
        self, steps: AsyncGenerator[Json, None], t: Texts, making: set[asyncio.Task[None]]
    ) -> None:
        """`making` keeps the tasks, of which the loop itself holds no more than a weak hint."""
        self._steps, self._t, self._making = steps, t, making
        self._made: asyncio.Queue[Json | None] = asyncio.Queue()

    async def written(self) -> AsyncGenerator[bytes, None]:
        """A line for each step, an empty one where nothing comes for long, an error as the last."""
        making = asyncio.create_task(self._make(), name="document-lines")
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        try:
            while True:
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        told = await self._made.get()
                except TimeoutError:
                    yield b"\n"
                    continue
                if told is None:
                    return
                yield json.dumps(told).encode() + b"\n"
        finally:
            making.cancel()

    async def _make(self) -> None:
        try:
            async with aclosing(self._steps) as steps:
                async for told in steps:
                    self._made.put_nowait(told)
        except WebUIError as error:
            self._made.put_nowait({"error": upload_view.refusal(error, self._t)})
        except Exception:
            log.exception("a document failed")
            broken = WebUIError("Something inside the program went wrong.")
            self._made.put_nowait({"error": upload_view.refusal(broken, self._t)})
        finally:
            self._made.put_nowait(None)
