"""Which size and precision of Qwen2.5 for this server's machine, or for one that is named.

Reads the query; the advice is advice/'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request

from qwen_webui.advice import advise, imagined, server_machine, usual_context
from qwen_webui.advice.machine import LARGEST_GIB, MOST_CARDS
from qwen_webui.advice.rules import LONGEST_CONTEXT, SHORTEST_CONTEXT
from qwen_webui.advice.told import AdviceTold, told
from qwen_webui.api.described import refusals
from qwen_webui.api.wire import refuse_other_parameters
from qwen_webui.language import wanted_language
from qwen_webui.measure.speed import measured_here
from qwen_webui.services import Services
from qwen_webui.types import Use

ABOUT = """\
Size and precision for a use and a context, with the memory forecast, the expected speed, the
reasons with their sources, what else there would be, and what to know before.

Of this server's machine, what the loaded checkpoint would give back counts as free. With `memory`
it is another machine that is only named: `cards` equal cards of that many GiB each, or with
`cards=0` none and that much memory. The program uses one card. Nothing is loaded by this.
"""
NAMES = ("use", "context", "memory", "cards", "card", "language")
UseQuery = Annotated[Use, Query(description="What the model is wanted for")]
ContextQuery = Annotated[
    int | None,
    Query(
        ge=SHORTEST_CONTEXT,
        le=LONGEST_CONTEXT,
        description="Tokens of context; left out: what the server was started with",
        examples=[8192],
    ),
]
MemoryQuery = Annotated[
    float | None,
    Query(gt=0, le=LARGEST_GIB, description="GiB of each card of a named machine", examples=[24]),
]
CardsQuery = Annotated[
    int | None,
    Query(ge=0, le=MOST_CARDS, description="How many cards it has; needs `memory`", examples=[1]),
]
CardQuery = Annotated[
    str,
    Query(max_length=100, description="Their name, for the speed", examples=["RTX 4090"]),
]
LanguageQuery = Annotated[
    Literal["en", "zh"] | None,
    Query(description="Of the sentences; left out: what `Accept-Language` asks for"),
]


def advice_routes(services: Services) -> APIRouter:
    """The router of this file."""
    router = APIRouter(tags=["Checkpoints"])
    settings = services.settings

    @router.get(
        "/api/advice",
        summary="Which checkpoint for this machine and use",
        description=ABOUT,
        responses=refusals(422, 504),
    )
    async def advice(
        request: Request,
        use: UseQuery = "chat",
        context: ContextQuery = None,
        memory: MemoryQuery = None,
        cards: CardsQuery = None,
        card: CardQuery = "",
        language: LanguageQuery = None,
    ) -> AdviceTold:
        refuse_other_parameters(request, NAMES)
        measured: Mapping[str, float] = {}
        named = memory is not None or cards is not None or bool(card)
        if named:
            machine = imagined(memory, cards, card)
        else:
            machine = await server_machine(services.manager)
            measured = await asyncio.to_thread(
                measured_here, settings.data_dir, machine.room, settings.engine_path
            )
        specs = services.library.all()
        usable = [spec for spec in specs if spec.folder or not settings.offline]
        wanted = usual_context(settings.max_context) if context is None else context
        found = advise(usable, machine, use, wanted, measured=measured)
        spoken = wanted_language(language, request.headers.get("accept-language", ""))
        return told(found, spoken)

    return router
