"""POST /api/documents/{id}/ask: a question answered from documents, whole or as events."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui.api.access import owner_of
from qwen_webui.api.described import body, refusals, stream_of
from qwen_webui.api.documents import texts
from qwen_webui.api.documents.answers import (
    AskBody,
    AskOut,
    CitationOut,
    CitationsOut,
    SourcesOut,
)
from qwen_webui.api.documents.shapes import DocumentId
from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.generate import finish_of
from qwen_webui.api.shapes import ProgressOut
from qwen_webui.api.wire import (
    JSON,
    FinishOut,
    HeldPlaceOut,
    PlaceOut,
    TextOut,
    place_out,
    read_body,
)
from qwen_webui.chat import DocumentTurn
from qwen_webui.services import Services
from qwen_webui.types import Citations, Finished, Progress, Queued, Sources, TextDelta

log = logging.getLogger(__name__)


def add_asking(router: APIRouter, services: Services) -> None:
    """Add the route to `router`."""

    @router.post(
        "/api/documents/{id}/ask",
        summary="Ask one document, or several together",
        description=texts.ASK,
        response_model=AskOut,
        responses=refusals(400, 404, 408, 413, 422, 504, 507)
        | stream_of(
            *(SourcesOut, ProgressOut, PlaceOut, HeldPlaceOut, TextOut, CitationsOut, FinishOut),
            example=texts.ASKED,
        ),
        openapi_extra=body(AskBody, texts.QUESTIONS),
    )
    async def ask(request: Request, id: DocumentId) -> Response:
        asked = await read_body(request, AskBody)
        # Clients may repeat the name they give a request; what an engine runs must not.
        turn = asked.turn(f"{request.scope['state']['request_id']}.{secrets.token_hex(4)}")
        if services.settings.log_prompts:
            log.info("%s question: %s", turn.request_id, json.dumps(asked.question))
        whole = DocumentTurn(turn, owner_of(request), (id, *asked.documents), asked.everything)
        events = _answer(services, whole, request)
        if asked.stream:
            return EventStream(events)
        answer = await while_connected(request.receive, _in_one_piece(events))
        if answer is None:
            return Response(status_code=CLIENT_GONE)
        if services.settings.log_prompts:
            log.info("%s answer: %s", turn.request_id, json.dumps(answer.answer))
        return Response(answer.model_dump_json(), media_type=JSON)


async def _answer(
    services: Services, asked: DocumentTurn, request: Request
) -> AsyncGenerator[Event, None]:
    """Every event on the wire; the last is a FinishOut."""
    ids: list[str] = []
    name: str | None = None
    async with aclosing(services.analyst.answer(asked)) as events:
        async for event in events:
            if isinstance(event, Sources):
                ids = [document.id for document in event.documents]
                # Of a long book it takes a tenth of a second.
                yield Event(await asyncio.to_thread(SourcesOut.of, event), "sources")
            elif isinstance(event, Queued):
                yield Event(place_out(event), "queued")
            elif isinstance(event, Progress):
                yield Event(ProgressOut.model_validate(event), "progress")
            elif isinstance(event, TextDelta):
                # While it answers it cannot be swapped; earlier calls another may have answered.
                name = name or services.manager.status().name
                if event.text:
                    yield Event(TextOut(text=event.text))
            elif isinstance(event, Citations):
                items = tuple(CitationOut.of(item, ids) for item in event.items)
                yield Event(CitationsOut(citations=items), "citations")
            elif isinstance(event, Finished):
                yield Event(finish_of(name, event, request))


async def _in_one_piece(events: AsyncGenerator[Event, None]) -> AskOut:
    parts: list[str] = []
    sources: SourcesOut | None = None
    citations = CitationsOut(citations=())
    finish: FinishOut | None = None
    async with aclosing(events) as sent:
        async for event in sent:
            match event.data:
                case SourcesOut():
                    sources = event.data
                case TextOut(text=text):
                    parts.append(text)
                case CitationsOut():
                    citations = event.data
                case FinishOut():
                    finish = event.data
    assert sources is not None and finish is not None, "an answer has both"
    return AskOut(
        answer="".join(parts),
        citations=citations.citations,
        **dict(sources),
        **dict(finish),
    )
