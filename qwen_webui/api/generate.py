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

from qwen_webui.api.described import Examples, body, refusals, stream_of
from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.wire import (
    JSON,
    AnswerOut,
    FinishOut,
    GenerateBody,
    HeldPlaceOut,
    PlaceOut,
    TextOut,
    UsageOut,
    place_out,
    read_body,
)
from qwen_webui.services import Services
from qwen_webui.types import ChatTurn, Finished, GenerationEvent, LeftOut, Queued, TextDelta

log = logging.getLogger(__name__)

ABOUT = """\
Answer one prompt, as one user turn in the model's chat template.

With `"stream": true` the answer is a stream of server-sent events: `{"text"}` for each piece of
text, `{"usage", "model", "finish_reason"}` last; `event: queued` with `{"place"}` while the request
waits (and `why`, while a job has the model), `event: error` with `{"error"}` when it fails after
the start.

While a checkpoint is swapped for another the request waits in line; while the very first one is
loaded it is refused with 503 `model_not_ready` and Retry-After.

With `schema`, `regex` or `choices` (at most one of them) every finished answer keeps to it: it is
constrained while it is generated, brought to a valid end inside `max_new_tokens`, and checked.
"""


EXAMPLES: Examples = {
    "A prompt": {"prompt": "Write a short poem about rain.", "max_new_tokens": 128},
    "With a system message": {"prompt": "Hello!", "system": "Answer in French."},
    "A stream": {"prompt": "Tell me a story.", "stream": True},
    "JSON of a schema": {
        "prompt": "Ada is 36.",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
        },
    },
    "One of several": {"prompt": "Is rain wet?", "choices": ["yes", "no"]},
    "A pattern": {"prompt": "When was Ada born?", "regex": "[0-9]{4}-[0-9]{2}-[0-9]{2}"},
}
STREAM = """\
data: {"text":"Hello"}

data: {"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"cached_tokens":0,\
"seconds_to_first_token":0.1,"seconds":0.1,"tokens_per_second":0.0},"model":"demo-fp16",\
"finish_reason":"stop"}

"""


def generate_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Answers"])

    @router.post(
        "/api/generate",
        summary="Answer one prompt",
        description=ABOUT,
        response_model=AnswerOut,
        responses=refusals(400, 404, 408, 413, 422, 504)
        | stream_of(TextOut, FinishOut, PlaceOut, HeldPlaceOut, example=STREAM),
        openapi_extra=body(GenerateBody, EXAMPLES),
    )
    async def generate(request: Request) -> Response:
        asked = await read_body(request, GenerateBody)
        # Clients may repeat the name they give a request; what an engine runs must not.
        turn = asked.turn(f"{request.scope['state']['request_id']}.{secrets.token_hex(4)}")
        if services.settings.log_prompts:
            log.info("%s prompt: %s", turn.request_id, json.dumps(asked.prompt))
        if asked.stream:
            return EventStream(_events(services, turn, request))
        answer = await while_connected(request.receive, _whole(services, turn, request))
        if answer is None:
            return Response(status_code=CLIENT_GONE)
        return Response(answer.model_dump_json(), media_type=JSON)

    return router


async def _events(
    services: Services, turn: ChatTurn, request: Request
) -> AsyncGenerator[Event, None]:
    name = None
    async with aclosing(services.assistant.answer(turn)) as events:
        async for event in events:
            if isinstance(event, Queued):
                yield Event(place_out(event), "queued")
                continue
            name = name or _serving(services, event)
            if isinstance(event, TextDelta) and event.text:
                yield Event(TextOut(text=event.text))
            elif isinstance(event, Finished):
                yield Event(finish_of(name, event, request))


async def _whole(services: Services, turn: ChatTurn, request: Request) -> AnswerOut:
    parts: list[str] = []
    finish = name = None
    async with aclosing(services.assistant.answer(turn)) as events:
        async for event in events:
            name = name or _serving(services, event)
            if isinstance(event, TextDelta):
                parts.append(event.text)
            elif isinstance(event, Finished):
                finish = finish_of(name, event, request)
    assert finish is not None, "an answer that raises nothing ends with Finished"
    text = "".join(parts)
    if services.settings.log_prompts:
        log.info("%s answer: %s", turn.request_id, json.dumps(text))
    return AnswerOut(text=text, **dict(finish))


def _serving(services: Services, event: GenerationEvent) -> str | None:
    """Who answers, told at an engine's first event, while it cannot be swapped."""
    before = isinstance(event, Queued | LeftOut)
    return None if before else services.manager.status().name


def finish_of(name: str | None, event: Finished, request: Request) -> FinishOut:
    """The end of an answer on the wire; its tokens are told to the log as well."""
    request.scope["state"]["tokens"] = event.usage.completion_tokens
    return FinishOut(
        usage=UsageOut.of(event.usage),
        model=name or "",
        finish_reason=event.reason,
    )
