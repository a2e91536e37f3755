"""POST /v1/completions: texts gone on with, or scored, without any chat template."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from qwen_webui.api.described import body, refusals, stream_of
from qwen_webui.api.events import CLIENT_GONE, Event, EventStream, while_connected
from qwen_webui.api.openai.answers import answers, copies
from qwen_webui.api.openai.chat import DONE, END, REFUSALS, head, log_answers, note_caller
from qwen_webui.api.openai.echoes import echoes
from qwen_webui.api.openai.examples import TEXT, TEXT_EVENTS
from qwen_webui.api.openai.models import Served
from qwen_webui.api.openai.pieces import Piece, PieceWriter, joined
from qwen_webui.api.openai.reading import in_openai_words, read_openai_body
from qwen_webui.api.openai.shapes import Completion, TokenUsage
from qwen_webui.api.openai.text_body import TextBody
from qwen_webui.api.wire import JSON
from qwen_webui.errors import ModelSwitching
from qwen_webui.services import Services
from qwen_webui.types import Finished, TextDelta, Usage

log = logging.getLogger(__name__)

ABOUT = """\
Go on with one text or several, as OpenAI's older API does: no chat template, and control tokens in
the prompt count. With `"echo": true, "max_tokens": 0, "logprobs": 0` nothing is generated, and the
log-probability of every token of the prompt is told.

Streams are like those of /v1/chat/completions, of Completion pieces.
"""


@dataclass(frozen=True)
class _Asked:
    """One request on its way."""

    services: Services
    request: Request
    body: TextBody

    def counted(self, ends: dict[int, Usage]) -> TokenUsage:
        """The counts of the whole request, told to the log too."""
        n = self.body.n or 1
        usage = TokenUsage.of((end for place, end in ends.items() if place % n == 0), ends.values())
        self.request.scope["state"]["tokens"] = usage.completion_tokens
        return usage


def add_completion_routes(router: APIRouter, services: Services) -> None:
    """Put the routes of this file into `router`."""

    @router.post(
        "/v1/completions",
        summary="Go on with a text, or score it",
        description=ABOUT,
        response_model=Completion,
        responses=refusals(*REFUSALS) | stream_of(Completion, example=TEXT_EVENTS, last=END),
        openapi_extra=body(TextBody, TEXT),
    )
    async def completions(request: Request) -> Response:
        asked = _Asked(services, request, await read_openai_body(request, TextBody))
        note_caller(request, asked.body.user)
        if services.settings.log_prompts:
            prompts = json.dumps(asked.body.prompts)
            log.info("%s prompts: %s", request.scope["state"]["request_id"], prompts)
        with in_openai_words(asked.body.names):
            asked.body.asks()  # refused before anything is sent
        if asked.body.stream:
            return EventStream(_events(asked), error_name=None)
        whole = await while_connected(request.receive, _whole(asked))
        if whole is None:
            return Response(status_code=CLIENT_GONE)
        return Response(whole.model_dump_json(exclude_unset=True), media_type=JSON)


async def _events(asked: _Asked) -> AsyncGenerator[Event, None]:
    common: dict[str, Any] = {"object": "text_completion"}
    if asked.body.wants_usage:
        common["usage"] = None  # in every chunk but the last
    writers: dict[int, PieceWriter] = {}
    ends: dict[int, Usage] = {}
    async with aclosing(_pieces(asked)) as pieces:
        async for place, piece in pieces:
            if isinstance(piece, Served):
                common |= head(piece, "cmpl")
                continue
            writer = writers.setdefault(place, PieceWriter(place, asked.body.logprobs))
            yield _event(Completion(**common, choices=[writer.choice(piece)]))
            if piece.usage is not None:
                ends[place] = piece.usage
    usage = asked.counted(ends)
    if asked.body.wants_usage:
        yield _event(Completion(**common | {"usage": usage}, choices=[]))
    yield DONE


async def _whole(asked: _Asked) -> Completion:
    common: dict[str, Any] = {}
    gathered: dict[int, list[Piece]] = {}
    async with aclosing(_pieces(asked)) as pieces:
        async for place, piece in pieces:
            if isinstance(piece, Served):
                common = head(piece, "cmpl")
            else:
                gathered.setdefault(place, []).append(piece)
    whole = {place: joined(gathered[place]) for place in sorted(gathered)}
    log_answers(asked.services, asked.request, [piece.text for piece in whole.values()])
    usage = asked.counted({place: p.usage for place, p in whole.items() if p.usage is not None})
    choices = [PieceWriter(k, asked.body.logprobs).choice(piece) for k, piece in whole.items()]
    return Completion(**common, object="text_completion", choices=choices, usage=usage)


async def _pieces(asked: _Asked) -> AsyncGenerator[tuple[int, Piece | Served], None]:
    """Who answers, first; then what there is of every answer, with its place."""
    services, request, sent = asked.services, asked.request, asked.body
    n = sent.n or 1
    served: Served | None = None
    with in_openai_words(sent.names):
        asks = [ask for one in sent.asks() for ask in copies(one, n)]
        if sent.echo:
            score = sent.logprobs is not None
            served, found = await echoes(services, request, sent.prompts, sent.model, score=score)
            yield 0, served
            for place in range(len(found) * n):
                yield place, Piece.of_echo(found[place // n], last=not asks)
        if not asks:
            return
        async with aclosing(answers(services, request, asks, sent.model)) as events:
            async for place, event in events:
                if isinstance(event, Served):
                    if served is None:
                        yield place, event
                    elif served != event:
                        raise ModelSwitching(
                            "The model was swapped for another meanwhile. Send it once more.",
                            retry_after=1,
                        )
                elif isinstance(event, TextDelta) and (event.text or event.logprobs):
                    yield place, Piece.of_text(event)
                elif isinstance(event, Finished):
                    yield place, Piece.of_end(event)


def _event(chunk: Completion) -> Event:
    return Event(chunk.model_dump_json(exclude_unset=True))
