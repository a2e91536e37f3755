"""POST /v1/chat/completions: the route, and the stream or the whole answer it gives."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui.api.described import body, refusals, stream_of
from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.openai.answers import Answered, answers, copies
from qwen_webui.api.openai.chat_body import ChatBody
from qwen_webui.api.openai.chunks import ChoiceWriter, Gathered
from qwen_webui.api.openai.examples import CHAT, CHAT_EVENTS
from qwen_webui.api.openai.models import Served
from qwen_webui.api.openai.reading import in_openai_words, read_openai_body
from qwen_webui.api.openai.shapes import ChatCompletion, ChatCompletionChunk, TokenUsage
from qwen_webui.api.wire import JSON
from qwen_webui.services import Services
from qwen_webui.types import Finished, TextDelta, ToolCallDelta, Usage

log = logging.getLogger(__name__)

ABOUT = """\
Answer a conversation, as OpenAI's API does.

With `"stream": true` the answer is a stream of `data:` lines, each a ChatCompletionChunk, and
`data: [DONE]` last; comments (`: ping`) keep a silent connection open. What fails before the first
piece is a plain error; later it is a `data:` line with `error`, and there is no `[DONE]`.

Nothing is ignored silently: a known parameter that is not supported is refused with
`unsupported_parameter`, an unknown one with `unknown_parameter`. Answers of a `json_schema` or
`json_object` format, and the arguments of tool calls, are valid whatever the model would have
said: they are constrained while they are generated.
"""


# 409, 502 and 507 come of loads that --allow-swap brings about.
REFUSALS = (400, 404, 408, 409, 413, 502, 504, 507)
END = "[DONE]"
DONE = Event(END)


@dataclass(frozen=True)
class _Asked:
    """One request on its way."""

    services: Services
    request: Request
    body: ChatBody

    def answers(self) -> AsyncGenerator[tuple[int, Answered], None]:
        """Every answer's events as they come."""
        asks = copies(self.body.ask(), self.body.n or 1)
        return answers(self.services, self.request, asks, self.body.model)

    def counted(self, ends: list[Usage]) -> TokenUsage:
        """The counts of the whole request, told to the log too."""
        usage = TokenUsage.of(ends[:1], ends)
        self.request.scope["state"]["tokens"] = usage.completion_tokens
        return usage


def add_chat_routes(router: APIRouter, services: Services) -> None:
    """Put the routes of this file into `router`."""

    @router.post(
        "/v1/chat/completions",
        summary="Answer a conversation",
        description=ABOUT,
        response_model=ChatCompletion,
        responses=refusals(*REFUSALS)
        | stream_of(ChatCompletionChunk, example=CHAT_EVENTS, last=END),
        openapi_extra=body(ChatBody, CHAT),
    )
    async def chat(request: Request) -> Response:
        asked = _Asked(services, request, await read_openai_body(request, ChatBody))
        note_caller(request, asked.body.user or asked.body.safety_identifier)
        if services.settings.log_prompts:
            messages = [m.model_dump(exclude_none=True) for m in asked.body.messages]
            log.info("%s messages: %s", request.scope["state"]["request_id"], json.dumps(messages))
        with in_openai_words(asked.body.names):
            asked.body.ask()  # refused before anything is sent
        if asked.body.stream:
            return EventStream(_events(asked), error_name=None)
        whole = await while_connected(request.receive, _whole(asked))
        if whole is None:
            return Response(status_code=CLIENT_GONE)
        return Response(whole.model_dump_json(exclude_unset=True), media_type=JSON)


def note_caller(request: Request, user: str | None) -> None:
    """Write who asks to the log, as far as the client says."""
    if user:
        log.info("%s user %s", request.scope["state"]["request_id"], json.dumps(user[:64]))


def head(served: Served, prefix: str) -> dict[str, Any]:
    """The fields that every piece of one response has in common."""
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": served.model,
        "system_fingerprint": served.fingerprint,
    }


async def _events(asked: _Asked) -> AsyncGenerator[Event, None]:
    common: dict[str, Any] = {}
    if asked.body.wants_usage:
        common["usage"] = None  # in every chunk but the last
    served: Served | None = None
    writers: dict[int, ChoiceWriter] = {}
    ends: list[Usage] = []
    with in_openai_words(asked.body.names):
        async with aclosing(asked.answers()) as events:
            async for place, event in events:
                if isinstance(event, Served):
                    served = event
                    common |= head(event, "chatcmpl") | {"object": "chat.completion.chunk"}
                elif isinstance(event, TextDelta | ToolCallDelta | Finished):
                    assert served is not None, "Served comes before what is said"
                    writer = writers.setdefault(place, ChoiceWriter(place, served.tokenizer))
                    for choice in writer.chunks(event):
                        yield _event(ChatCompletionChunk(**common, choices=[choice]))
                    if isinstance(event, Finished):
                        ends.append(event.usage)
    usage = asked.counted(ends)
    if asked.body.wants_usage:
        yield _event(ChatCompletionChunk(**common | {"usage": usage}, choices=[]))
    yield DONE


async def _whole(asked: _Asked) -> ChatCompletion:
    served: Served | None = None
    gathered = [Gathered() for _ in range(asked.body.n or 1)]
    with in_openai_words(asked.body.names):
        async with aclosing(asked.answers()) as events:
            async for place, event in events:
                if isinstance(event, Served):
                    served = event
                elif isinstance(event, TextDelta | ToolCallDelta | Finished):
                    gathered[place].take(event)
    log_answers(asked.services, asked.request, ["".join(one.text) for one in gathered])
    assert served is not None, "Served comes before what is said"
    choices = [
        one.choice(place, served.tokenizer, logprobs=bool(asked.body.logprobs))
        for place, one in enumerate(gathered)
    ]
    usage = asked.counted([one.end.usage for one in gathered])
    common = head(served, "chatcmpl")
    return ChatCompletion(**common, object="chat.completion", choices=choices, usage=usage)


def log_answers(services: Services, request: Request, texts: list[str]) -> None:
    """If the settings say that texts may be logged."""
    if services.settings.log_prompts:
        log.info("%s answers: %s", request.scope["state"]["request_id"], json.dumps(texts))


def _event(chunk: ChatCompletionChunk) -> Event:
    return Event(chunk.model_dump_json(exclude_unset=True))
