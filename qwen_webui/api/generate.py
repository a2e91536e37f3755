"""POST /api/generate: one prompt answered, in one piece or as server-sent events."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.wire import (
    JSON,
    AnswerOut,
    FinishOut,
    GenerateBody,
    PlaceOut,
    TextOut,
    UsageOut,
    body_schema,
    read_body,
)
from qwen_webui.services import Services
from qwen_webui.types import ChatTurn, Finished, Queued, TextDelta

log = logging.getLogger(__name__)

ABOUT = """\
Answer one prompt, as one user turn in the model's chat template.

With `"stream": true` the answer is a stream of server-sent events: `{"text"}` for each piece of
text, `{"usage", "model", "finish_reason"}` last; `event: queued` with `{"place"}` while the request
waits, `event: error` with `{"error"}` when it fails after the start.

While a checkpoint is swapped for another the request waits in line; while the very first one is
loaded it is refused with 503 `model_not_ready` and Retry-After.
"""


def generate_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter()

    @router.post(
        "/api/generate",
        summary="Answer one prompt",
        description=ABOUT,
        response_model=AnswerOut,
        openapi_extra=body_schema(GenerateBody),
    )
    async def generate(request: Request) -> Response:
        body = await read_body(request, GenerateBody)
        # Clients may repeat the name they give a request; what an engine runs must not.
        turn = body.turn(f"{request.scope['state']['request_id']}.{secrets.token_hex(4)}")
        if services.settings.log_prompts:
            log.info("%s prompt: %s", turn.request_id, json.dumps(body.prompt))
        if body.stream:
            return EventStream(_events(services, turn, request))
        answer = await while_connected(request.receive, _whole(services, turn, request))
        if answer is None:
            return Response(status_code=CLIENT_GONE)
        return Response(answer.model_dump_json(), media_type=JSON)

    return router


async def _events(
    services: Services, turn: ChatTurn, request: Request
) -> AsyncGenerator[Event, None]:
    async with aclosing(services.assistant.answer(turn)) as events:
        async for event in events:
            if isinstance(event, Queued):
                yield Event(PlaceOut(place=event.place), "queued")
            elif isinstance(event, TextDelta) and event.text:
                yield Event(TextOut(text=event.text))
            elif isinstance(event, Finished):
                yield Event(_finish(services, event, request))


async def _whole(services: Services, turn: ChatTurn, request: Request) -> AnswerOut:
    parts: list[str] = []
    finish = None
    async with aclosing(services.assistant.answer(turn)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                parts.append(event.text)
            elif isinstance(event, Finished):
                finish = _finish(services, event, request)
    assert finish is not None, "an answer that raises nothing ends with Finished"
    text = "".join(parts)
    if services.settings.log_prompts:
        log.info("%s answer: %s", turn.request_id, json.dumps(text))
    return AnswerOut(text=text, **dict(finish))


def _finish(services: Services, event: Finished, request: Request) -> FinishOut:
    """Called before the engine is handed back, so that the name is the one that answered."""
    request.scope["state"]["tokens"] = event.usage.completion_tokens
    return FinishOut(
        usage=UsageOut.of(event.usage),
        model=services.manager.status().name or "",
        finish_reason=event.reason,
    )
